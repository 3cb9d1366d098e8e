// SPDX-License-Identifier: Apache-2.0
// The client's side of TLS: who is believed, what it says when somebody is not, client certificates, resumption, cut sessions.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/client_test_kit.h"

// --- Certificates ------------------------------------------------------------------------------------

struct identity {
	X509 *cert;
	EVP_PKEY *key;
	struct slice cert_pem, key_pem;
};

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	REQUIRE(e != NULL);
	X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
}

static struct slice pem_of(BIO *bio)
{
	char *p, *copy;
	long n = BIO_get_mem_data(bio, &p);
	copy = malloc((size_t)n);
	REQUIRE(copy != NULL);
	memcpy(copy, p, (size_t)n);
	BIO_free(bio);
	return ms_slice(copy, (size_t)n);
}

// Signed by `issuer`, or by itself; `names` as in subjectAltName, NULL: an authority.
static struct identity make_identity(const char *cn, const char *names, const struct identity *issuer, long valid_s)
{
	static long serial = 1;
	struct identity id = {.cert = X509_new(), .key = EVP_EC_gen("P-256")};
	X509 *cert = id.cert, *by = issuer != NULL ? issuer->cert : cert;
	X509_set_version(cert, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial++);
	X509_gmtime_adj(X509_getm_notBefore(cert), -100000);
	X509_gmtime_adj(X509_getm_notAfter(cert), valid_s);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)cn, -1, -1,
				   0);
	X509_set_issuer_name(cert, X509_get_subject_name(by));
	X509_set_pubkey(cert, id.key);
	if (names != NULL)
		add_extension(cert, by, NID_subject_alt_name, names);
	else
		add_extension(cert, by, NID_basic_constraints, "critical,CA:TRUE");
	REQUIRE(X509_sign(cert, issuer != NULL ? issuer->key : id.key, EVP_sha256()) > 0);
	BIO *c = BIO_new(BIO_s_mem()), *k = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(c, cert);
	PEM_write_bio_PrivateKey(k, id.key, NULL, NULL, 0, NULL, NULL);
	id.cert_pem = pem_of(c);
	id.key_pem = pem_of(k);
	return id;
}

static void free_identity(struct identity *id)
{
	X509_free(id->cert);
	EVP_PKEY_free(id->key);
	free((char *)(uintptr_t)id->cert_pem.p);
	free((char *)(uintptr_t)id->key_pem.p);
}

// --- Peers -------------------------------------------------------------------------------------------

enum ending { END_KEEP, END_GOOD, END_CUT }; // keeps serving; close_notify; the socket alone

// Answers requests over TLS, one connection after the other.
struct tls_peer {
	const struct identity *id;
	const struct identity *client_authority; // NULL: asks for no certificate
	int max_version;
	enum ending ending;
	unsigned connections;
	const char *answer, *behind; // `behind`: in a record of its own, with the answer in one packet
	int listen_fd;
	unsigned port;
	pthread_t thread;
	// What it saw.
	char sni[64], alpn[16], client[64];
	atomic_uint resumed, handshakes, requests;
};

static int choose(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in, unsigned n,
		  void *arg)
{
	(void)ssl, (void)arg;
	static const unsigned char ours[] = "\x08http/1.1";
	return SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_n, ours, 9, in, n) == OPENSSL_NPN_NEGOTIATED
		       ? SSL_TLSEXT_ERR_OK
		       : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *peer_context(struct tls_peer *p)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	REQUIRE(SSL_CTX_use_certificate(ctx, p->id->cert) == 1 && SSL_CTX_use_PrivateKey(ctx, p->id->key) == 1);
	SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"test", 4);
	SSL_CTX_set_alpn_select_cb(ctx, choose, NULL);
	if (p->max_version != 0)
		SSL_CTX_set_max_proto_version(ctx, p->max_version);
	if (p->client_authority != NULL) {
		X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), p->client_authority->cert);
		SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	}
	return ctx;
}

static void note_session(struct tls_peer *p, SSL *ssl)
{
	const char *sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	const unsigned char *alpn;
	unsigned n;
	SSL_get0_alpn_selected(ssl, &alpn, &n);
	snprintf(p->sni, sizeof(p->sni), "%s", sni != NULL ? sni : "");
	snprintf(p->alpn, sizeof(p->alpn), "%.*s", (int)n, n > 0 ? (const char *)alpn : "");
	X509 *cert = SSL_get1_peer_certificate(ssl);
	if (cert != NULL)
		X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, p->client, sizeof(p->client));
	X509_free(cert);
	p->resumed += SSL_session_reused(ssl) == 1;
	p->handshakes++;
}

static void serve(struct tls_peer *p, SSL *ssl)
{
	char bytes[8192];
	size_t n, sent;
	while (SSL_read_ex(ssl, bytes, sizeof(bytes), &n) == 1) { // requests come in one record
		p->requests++;
		int fd = SSL_get_fd(ssl), on = 1, off = 0;
		setsockopt(fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
		bool ok = SSL_write_ex(ssl, p->answer, strlen(p->answer), &sent) == 1;
		if (p->behind != NULL)
			ok = ok && SSL_write_ex(ssl, p->behind, strlen(p->behind), &sent) == 1;
		setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
		if (!ok || p->ending != END_KEEP)
			break;
	}
	if (p->ending == END_GOOD)
		SSL_shutdown(ssl);
}

static void *run_tls_peer(void *arg)
{
	struct tls_peer *p = arg;
	SSL_CTX *ctx = peer_context(p);
	for (unsigned i = 0; i < p->connections; i++) {
		struct pollfd ready = {.fd = p->listen_fd, .events = POLLIN};
		if (poll(&ready, 1, PATIENCE_MS) != 1)
			break;
		int fd = accept(p->listen_fd, NULL, NULL);
		SSL *ssl = SSL_new(ctx);
		SSL_set_fd(ssl, fd);
		if (SSL_accept(ssl) == 1) {
			note_session(p, ssl);
			serve(p, ssl);
		}
		ERR_clear_error();
		SSL_free(ssl);
		close(fd);
	}
	SSL_CTX_free(ctx);
	return NULL;
}

static void tls_peer_start(struct tls_peer *p)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(address);
	if (p->answer == NULL)
		p->answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	p->connections = p->connections > 0 ? p->connections : 1;
	p->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(bind(p->listen_fd, (struct sockaddr *)&address, n) == 0 && listen(p->listen_fd, 64) == 0);
	REQUIRE(getsockname(p->listen_fd, (struct sockaddr *)&address, &n) == 0);
	p->port = ntohs(address.sin_port);
	REQUIRE(pthread_create(&p->thread, NULL, run_tls_peer, p) == 0);
}

static void tls_peer_stop(struct tls_peer *p)
{
	pthread_join(p->thread, NULL);
	close(p->listen_fd);
}

// --- Calls -------------------------------------------------------------------------------------------

static struct http_origin *tls_origin(struct caller_kit *kit, const struct http_origin_options *options, unsigned port)
{
	struct http_origin_options o = *options;
	struct http_origin *origin = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	o.port = port;
	o.tls = true;
	if (o.host.n == 0)
		o.host = MS_SLICE_LIT("localhost");
	(void)CHECK_OK(ms_http_origin_new(kit->client, &o, &info, &origin));
	CHECK_STR(info.message, "");
	REQUIRE(origin != NULL);
	return origin;
}

// One call to a peer of its own; r is to be forgotten.
static void tls_call(struct tls_peer *p, const struct http_origin_options *options, struct record *r)
{
	struct caller_kit kit;
	caller_start(&kit, NULL);
	tls_peer_start(p);
	struct http_origin *origin = tls_origin(&kit, options, p->port);
	struct http_call_options o = caller_options(origin);
	memset(r, 0, sizeof(*r));
	caller_call(&kit, r, &o, NULL);
	ms_http_origin_unref(origin);
	caller_stop(&kit);
	tls_peer_stop(p);
}

TEST(client_tls_believes_who_it_should)
{
	struct identity ca = make_identity("our authority", NULL, NULL, 100000);
	struct identity other = make_identity("other authority", NULL, NULL, 100000);
	struct identity good = make_identity("x", "DNS:localhost,DNS:*.up.test,IP:127.0.0.1", &ca, 100000);
	struct identity late = make_identity("x", "DNS:localhost", &ca, -50000);
	struct identity only_cn = make_identity("localhost", "DNS:elsewhere.test,DNS:two.test", &ca, 100000);
	struct identity alone = make_identity("x", "DNS:localhost", NULL, 100000);
	const struct {
		const struct identity *id;
		const struct http_origin_options o;
		const char *message, *sni; // of a failure; what the peer was asked for
		int version;
	} cases[] = {
		{&good, {.tls_verify = true, .ca_pem = ca.cert_pem}, "", "localhost", TLS1_3_VERSION},
		{&good, {.tls_verify = true, .ca_pem = ca.cert_pem}, "", "localhost", TLS1_2_VERSION},
		{&good, {.tls_verify = true, .ca_pem = ca.cert_pem, .host = MS_SLICE_LIT("127.0.0.1")}, "", "", 0},
		{&good,
		 {.tls_verify = true, .ca_pem = ca.cert_pem, .sni = MS_SLICE_LIT("a.up.test")},
		 "",
		 "a.up.test",
		 0},
		{&good,
		 {.tls_verify = true, .ca_pem = ca.cert_pem, .sni = MS_SLICE_LIT("a.b.up.test")},
		 "not for 'a.b.up.test' but for localhost, *.up.test, an address",
		 NULL,
		 0},
		{&only_cn,
		 {.tls_verify = true, .ca_pem = ca.cert_pem},
		 "the certificate of the upstream is not for 'localhost' but for elsewhere.test, two.test",
		 NULL,
		 0},
		{&only_cn,
		 {.tls_verify = true, .ca_pem = ca.cert_pem, .host = MS_SLICE_LIT("127.0.0.1")},
		 "is not for '127.0.0.1'",
		 NULL,
		 0},
		{&late, {.tls_verify = true, .ca_pem = ca.cert_pem}, "not trusted: certificate has expired", NULL, 0},
		{&good,
		 {.tls_verify = true, .ca_pem = other.cert_pem},
		 "unable to get local issuer certificate",
		 NULL,
		 0},
		{&good, {.tls_verify = true}, "unable to get local issuer certificate", NULL, 0},
		{&alone, {.tls_verify = true, .ca_pem = ca.cert_pem}, "self-signed certificate", NULL, 0},
		{&late, {.tls_verify = false}, "", "localhost", 0},
		{&good, {.tls_verify = true, .ca_pem = ca.cert_pem}, "failed:", NULL, TLS1_1_VERSION},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct tls_peer p = {.id = cases[i].id, .max_version = cases[i].version, .ending = END_GOOD};
		struct record r;
		tls_call(&p, &cases[i].o, &r);
		bool good_end = cases[i].sni != NULL;
		bool ok = CHECK_INT(r.ended, good_end) && CHECK_HAS(r.message, cases[i].message);
		if (good_end)
			ok = ok && CHECK_SLICE(ms_buf_slice(&r.data), "ok") && CHECK_STR(p.sni, cases[i].sni) &&
			     CHECK_STR(p.alpn, "http/1.1");
		else
			ok = ok && CHECK_INT(r.failure, CALL_NO_CONNECTION) && CHECK(!r.sent) &&
			     CHECK_INT(p.requests, 0);
		if (!ok)
			printf("# case %zu: %s\n", i, r.message);
		caller_forget(&r);
	}
	struct identity *all[] = {&ca, &other, &good, &late, &only_cn, &alone};
	for (size_t i = 0; i < MS_ARRAY_LEN(all); i++)
		free_identity(all[i]);
}

TEST(client_tls_shows_its_certificate)
{
	struct identity ca = make_identity("our authority", NULL, NULL, 100000);
	struct identity server = make_identity("x", "DNS:localhost", &ca, 100000);
	struct identity client = make_identity("the gateway", "DNS:gateway", &ca, 100000);
	struct tls_peer p = {.id = &server, .client_authority = &ca, .ending = END_GOOD};
	struct record r;
	tls_call(&p,
		 &(struct http_origin_options){.tls_verify = true,
					       .ca_pem = ca.cert_pem,
					       .client_cert_pem = client.cert_pem,
					       .client_key_pem = client.key_pem},
		 &r);
	CHECK_SLICE(ms_buf_slice(&r.data), "ok");
	CHECK_STR(p.client, "the gateway");
	caller_forget(&r);
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	for (size_t i = 0; i < MS_ARRAY_LEN(versions); i++) {
		p = (struct tls_peer){.id = &server, .client_authority = &ca, .max_version = versions[i]};
		tls_call(&p, &(struct http_origin_options){.tls_verify = true, .ca_pem = ca.cert_pem}, &r);
		// With TLS 1.3 the refusal comes after our side has finished.
		CHECK(r.failed_too);
		CHECK_INT(r.failure, i == 0 ? CALL_NO_CONNECTION : CALL_BROKEN);
		if (!CHECK(strstr(r.message, "alert") != NULL))
			printf("# %s\n", r.message);
		caller_forget(&r);
	}
	free_identity(&ca);
	free_identity(&server);
	free_identity(&client);
}

TEST(client_tls_refuses_material_that_cannot_be_used)
{
	struct identity ca = make_identity("our authority", NULL, NULL, 100000);
	struct identity a = make_identity("a", "DNS:a", &ca, 100000), b = make_identity("b", "DNS:b", &ca, 100000);
	const struct {
		struct slice ca, cert, key;
		const char *message;
	} cases[] = {
		{MS_SLICE_LIT("rubbish"), {0}, {0}, "authority 1 for an upstream is no readable PEM"},
		{MS_SLICE_LIT("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		 {0},
		 {0},
		 "authority 1"},
		{{0}, a.cert_pem, {0}, "must be given together"},
		{{0}, {0}, a.key_pem, "must be given together"},
		{{0}, a.cert_pem, b.key_pem, "does not belong to"},
		{{0}, MS_SLICE_LIT("rubbish"), a.key_pem, "no usable PEM certificate"},
		{{0}, a.cert_pem, MS_SLICE_LIT("rubbish"), "no readable PEM key"},
	};
	struct caller_kit kit;
	caller_start(&kit, NULL);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct errinfo info;
		struct http_origin *origin;
		const struct http_origin_options o = {.host = MS_SLICE_LIT("a"),
						      .port = 1,
						      .tls = true,
						      .ca_pem = cases[i].ca,
						      .client_cert_pem = cases[i].cert,
						      .client_key_pem = cases[i].key};
		ms_errinfo_init(&info);
		CHECK_INT(ms_http_origin_new(kit.client, &o, &info, &origin), MS_ERR_TLS);
		if (!CHECK_HAS(info.message, cases[i].message))
			printf("# case %zu\n", i);
	}
	caller_stop(&kit);
	free_identity(&ca);
	free_identity(&a);
	free_identity(&b);
}

TEST(client_tls_resumes_within_an_origin)
{
	struct identity ca = make_identity("our authority", NULL, NULL, 100000);
	struct identity server = make_identity("x", "DNS:localhost", &ca, 100000);
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	for (size_t i = 0; i < MS_ARRAY_LEN(versions); i++) {
		struct caller_kit kit;
		struct record r[4] = {0};
		struct tls_peer p = {.id = &server, .max_version = versions[i], .ending = END_GOOD, .connections = 4};
		tls_peer_start(&p);
		caller_start(&kit, NULL);
		struct http_origin_options o = {.tls_verify = true, .ca_pem = ca.cert_pem};
		struct http_origin *origin = tls_origin(&kit, &o, p.port);
		o.tls_verify_depth = 3; // another content: shares nothing
		struct http_origin *stranger = tls_origin(&kit, &o, p.port);
		for (int k = 0; k < 4; k++) {
			struct http_call_options call = caller_options(k < 3 ? origin : stranger);
			call.new_connection = true;
			caller_call(&kit, &r[k], &call, NULL);
			CHECK_SLICE(ms_buf_slice(&r[k].data), "ok");
			caller_forget(&r[k]);
			CHECK_INT(p.resumed, k == 0 ? 0 : MS_MIN(k, 2));
		}
		ms_http_origin_unref(origin);
		ms_http_origin_unref(stranger);
		caller_stop(&kit);
		tls_peer_stop(&p);
	}
	free_identity(&ca);
	free_identity(&server);
}

TEST(client_tls_takes_no_cut_body_for_a_whole_one)
{
	struct identity ca = make_identity("our authority", NULL, NULL, 100000);
	struct identity server = make_identity("x", "DNS:localhost", &ca, 100000);
	const struct http_origin_options o = {.tls_verify = true, .ca_pem = ca.cert_pem};
	struct record r;
	struct tls_peer p = {.id = &server, .answer = "HTTP/1.1 200 OK\r\n\r\nall of it", .ending = END_GOOD};
	tls_call(&p, &o, &r);
	CHECK(r.ended);
	CHECK_SLICE(ms_buf_slice(&r.data), "all of it");
	caller_forget(&r);
	p = (struct tls_peer){.id = &server, .answer = p.answer, .ending = END_CUT};
	tls_call(&p, &o, &r);
	CHECK(r.failed_too && r.failure == CALL_BROKEN);
	CHECK_SLICE(ms_buf_slice(&r.data), "all of it");
	caller_forget(&r);
	// Bytes behind the answer, in a record of their own that came with it: the connection is not kept.
	p = (struct tls_peer){.id = &server, .behind = "HTTP/1.1 200 OK\r\n\r\n", .connections = 1};
	struct caller_kit kit;
	caller_start(&kit, NULL);
	tls_peer_start(&p);
	struct http_origin *origin = tls_origin(&kit, &o, p.port);
	struct http_call_options call = caller_options(origin);
	memset(&r, 0, sizeof(r));
	caller_call(&kit, &r, &call, NULL);
	CHECK(r.ended);
	CHECK(KIT_WAIT(caller_metric(&kit, "mainstay_upstream_connections{state=\"open\"}") == 0));
	ms_http_origin_unref(origin);
	caller_stop(&kit);
	tls_peer_stop(&p);
	caller_forget(&r);
	free_identity(&ca);
	free_identity(&server);
}

static void resume_call(void *arg)
{
	struct record *r = arg;
	r->pause_after = 0;
	ms_http_call_resume(r->call);
}

static void write_server_files(const struct identity *id, char cert[300], char key[300])
{
	snprintf(cert, 300, "%s/cert", ms_test_temp_dir());
	snprintf(key, 300, "%s/key", ms_test_temp_dir());
	REQUIRE(ms_file_write_new(cert, id->cert_pem, 0600, NULL) == MS_OK);
	REQUIRE(ms_file_write_new(key, id->key_pem, 0600, NULL) == MS_OK);
}

// Over our own server: kept connections, large bodies both ways, pauses.
TEST(client_tls_talks_to_our_server)
{
	struct identity id = make_identity("localhost", "DNS:localhost", NULL, 100000);
	char cert[300], key[300];
	write_server_files(&id, cert, key);
	const struct http_tls_options tls = {cert, key, NULL};
	struct kit server;
	struct caller_kit kit;
	struct record r[3] = {0};
	kit_start(&server, &(struct kit_options){.tls = &tls, .address = "https://127.0.0.1:0"});
	caller_start(&kit, NULL);
	struct http_origin *origin =
		tls_origin(&kit, &(struct http_origin_options){.tls_verify = true, .ca_pem = id.cert_pem}, server.port);
	struct http_call_options o = caller_options(origin);
	for (int i = 0; i < 50; i++) {
		struct record one = {0};
		caller_call(&kit, &one, &o, NULL);
		CHECK_SLICE(ms_buf_slice(&one.data), "hello\n");
		caller_forget(&one);
	}
	o.target = MS_SLICE_LIT("/stream?n=9000000");
	r[0].pause_after = 2;
	caller_begin(&kit, &r[0], &o);
	REQUIRE(KIT_WAIT(r[0].pieces == 2));
	usleep(100000);
	CHECK_INT(r[0].pieces, 2);
	caller_on_loop(&kit, resume_call, &r[0]);
	REQUIRE(caller_wait(&r[0]));
	CHECK_INT(r[0].data.n, 9000000);
	for (size_t i = 0; i < r[0].data.n; i += 997)
		REQUIRE(r[0].data.p[i] == (char)('a' + i % 26));
	o.target = MS_SLICE_LIT("/length");
	o.method = MS_SLICE_LIT("POST");
	o.has_body = true;
	static char piece[100000];
	caller_begin(&kit, &r[1], &o);
	for (int i = 0; i < 100; i++)
		caller_write(&r[1], piece, sizeof(piece), i == 99);
	REQUIRE(caller_wait(&r[1]));
	CHECK_SLICE(ms_buf_slice(&r[1].data), "10000000");
	CHECK_INT(caller_metric(&kit, "mainstay_upstream_connects_total"), 1);
	caller_forget(&r[0]);
	caller_forget(&r[1]);
	ms_http_origin_unref(origin);
	caller_stop(&kit);
	kit_stop(&server);
	free_identity(&id);
}

// HTTP/2 where both agree to it: all calls on one connection, bodies both ways.
TEST(client_tls_agrees_to_http2)
{
	struct identity id = make_identity("localhost", "DNS:localhost", NULL, 100000);
	char cert[300], key[300];
	write_server_files(&id, cert, key);
	const struct http_tls_options tls = {cert, key, NULL};
	static const enum http_origin_protocol protocols[] = {ORIGIN_AUTO, ORIGIN_H2, ORIGIN_HTTP1};
	for (size_t i = 0; i < MS_ARRAY_LEN(protocols); i++) {
		struct kit server;
		struct caller_kit kit;
		struct record r[8] = {0};
		kit_start(&server, &(struct kit_options){.tls = &tls, .address = "https://127.0.0.1:0"});
		caller_start(&kit, NULL);
		const struct http_origin_options o = {
			.protocol = protocols[i], .tls_verify = true, .ca_pem = id.cert_pem};
		struct http_origin *origin = tls_origin(&kit, &o, server.port);
		struct http_call_options call = caller_options(origin);
		call.target = MS_SLICE_LIT("/later");
		for (int k = 0; k < 6; k++)
			caller_begin(&kit, &r[k], &call);
		REQUIRE(KIT_WAIT(server.waiting == 6));
		CHECK_INT(caller_metric(&kit, "mainstay_upstream_connects_total"),
			  protocols[i] == ORIGIN_HTTP1 ? 6 : 1);
		kit_answer(&server, 300000);
		for (int k = 0; k < 6; k++) {
			REQUIRE(caller_wait(&r[k]));
			CHECK_STR(r[k].message, "");
			CHECK_INT(r[k].data.n, 300000);
		}
		call.target = MS_SLICE_LIT("/length");
		call.method = MS_SLICE_LIT("POST");
		call.has_body = true;
		static char piece[100000];
		caller_begin(&kit, &r[6], &call);
		for (int k = 0; k < 30; k++)
			caller_write(&r[6], piece, sizeof(piece), k == 29);
		REQUIRE(caller_wait(&r[6]));
		CHECK_SLICE(ms_buf_slice(&r[6].data), "3000000");
		for (int k = 0; k < 8; k++)
			caller_forget(&r[k]);
		ms_http_origin_unref(origin);
		caller_stop(&kit);
		kit_stop(&server);
	}
	free_identity(&id);
}

struct at_once {
	struct caller_kit *kit;
	struct record *record;
	const struct http_call_options *options;
};

// The body is there before the connection: the request goes out in one record.
static void begin_with_body(void *arg)
{
	struct at_once *a = arg;
	caller_begin(a->kit, a->record, a->options);
	(void)ms_http_call_write(a->record->call, MS_SLICE_LIT("early"));
	ms_http_call_write_end(a->record->call, NULL, 0);
}

// An upstream of HTTP/1.1 alone: AUTO takes it, each call that waited gets a connection; H2 does not.
TEST(client_tls_falls_back_to_http1)
{
	struct identity id = make_identity("localhost", "DNS:localhost", NULL, 100000);
	struct caller_kit kit;
	struct record r[3] = {0};
	struct tls_peer p = {.id = &id, .connections = 2};
	tls_peer_start(&p);
	caller_start(&kit, NULL);
	struct http_origin_options o = {.protocol = ORIGIN_AUTO, .tls_verify = true, .ca_pem = id.cert_pem};
	struct http_origin *origin = tls_origin(&kit, &o, p.port);
	struct http_call_options call = caller_options(origin);
	call.has_body = true;
	caller_on_loop(&kit, begin_with_body, &(struct at_once){&kit, &r[0], &call});
	REQUIRE(caller_wait(&r[0]));
	CHECK_STR(r[0].message, "");
	CHECK_SLICE(ms_buf_slice(&r[0].data), "ok");
	CHECK_STR(p.alpn, "http/1.1");
	call.has_body = false;
	caller_call(&kit, &r[1], &call, NULL); // on the kept connection
	CHECK_SLICE(ms_buf_slice(&r[1].data), "ok");
	CHECK_INT(p.handshakes, 1);
	ms_http_origin_unref(origin);
	o.protocol = ORIGIN_H2;
	origin = tls_origin(&kit, &o, p.port);
	call.origin = origin;
	call.connect_timeout_ms = 20000;
	struct record *late = &r[2];
	caller_begin(&kit, late, &call);
	usleep(50000);
	if (!CHECK(!late->done)) // the peer serves one connection after the other
		printf("# %s\n", late->message);
	ms_http_origin_unref(origin);
	caller_stop(&kit);
	tls_peer_stop(&p);
	for (int k = 0; k < 3; k++)
		caller_forget(&r[k]);
	p = (struct tls_peer){.id = &id};
	tls_call(&p, &(struct http_origin_options){.protocol = ORIGIN_H2, .tls_verify = true, .ca_pem = id.cert_pem},
		 &r[0]);
	CHECK(r[0].failed_too && r[0].failure == CALL_NO_CONNECTION && !r[0].sent);
	CHECK_HAS(r[0].message, "no application protocol");
	caller_forget(&r[0]);
	free_identity(&id);
}
