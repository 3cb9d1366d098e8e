// SPDX-License-Identifier: Apache-2.0
// TLS: versions, protocols, certificates that cannot be used, reloading, and clients that misbehave.
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/server_test_kit.h"
#include "net/tls.h"

// --- Certificates ------------------------------------------------------------------------------------

struct files {
	char cert[300];
	char key[300];
};

static void name_files(struct files *f, const char *name)
{
	snprintf(f->cert, sizeof(f->cert), "%s/%s.crt", ms_test_temp_dir(), name);
	snprintf(f->key, sizeof(f->key), "%s/%s.key", ms_test_temp_dir(), name);
}

// A self-signed certificate with that common name, valid from now for that many seconds.
static void write_pair(const struct files *f, const char *name, long valid_s, const char *passphrase)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	FILE *cert_file = fopen(f->cert, "w"), *key_file = fopen(f->key, "w");
	REQUIRE(key != NULL && cert != NULL && cert_file != NULL && key_file != NULL);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), -1000);
	X509_gmtime_adj(X509_getm_notAfter(cert), valid_s);
	X509_NAME *subject = X509_get_subject_name(cert);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, subject);
	X509_set_pubkey(cert, key);
	REQUIRE(X509_sign(cert, key, EVP_sha256()) > 0);
	PEM_write_X509(cert_file, cert);
	PEM_write_PrivateKey(key_file, key, passphrase != NULL ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
			     (void *)(uintptr_t)passphrase);
	fclose(cert_file);
	fclose(key_file);
	X509_free(cert);
	EVP_PKEY_free(key);
}

// --- Client ------------------------------------------------------------------------------------------

struct tls_client {
	struct client plain;
	SSL_CTX *ctx;
	SSL *ssl;
};

static void tls_prepare(struct tls_client *t, unsigned port)
{
	client_connect(&t->plain, port);
	struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	setsockopt(t->plain.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	t->ctx = SSL_CTX_new(TLS_client_method());
	t->ssl = SSL_new(t->ctx);
	REQUIRE(t->ssl != NULL && SSL_set_fd(t->ssl, t->plain.fd) == 1);
}

static bool tls_connect(struct tls_client *t, unsigned port)
{
	tls_prepare(t, port);
	return SSL_connect(t->ssl) == 1;
}

static void tls_end(struct tls_client *t)
{
	SSL_free(t->ssl);
	SSL_CTX_free(t->ctx);
	client_close(&t->plain);
	ERR_clear_error();
}

static bool tls_send(struct tls_client *t, const void *p, size_t n)
{
	size_t sent;
	return SSL_write_ex(t->ssl, p, n, &sent) == 1 && sent == n;
}

// Fills plain.in until it has `n` bytes or the stream ends.
static bool tls_need(struct tls_client *t, size_t n)
{
	struct buf *in = &t->plain.in;
	while (in->n < n) {
		size_t got;
		REQUIRE(ms_buf_reserve(in, 16384));
		if (SSL_read_ex(t->ssl, in->p + in->n, 16384, &got) != 1)
			return false;
		in->n += got;
	}
	return true;
}

// The answer to one request; the answer must have a Content-Length.
static int tls_answer(struct tls_client *t, struct answer *ret_answer)
{
	struct buf *in = &t->plain.in;
	const char *end;
	while ((end = in->n > 0 ? memmem(in->p, in->n, "\r\n\r\n", 4) : NULL) == NULL) {
		if (!tls_need(t, in->n + 1))
			return 0;
	}
	struct answer a = {.head = ms_slice(in->p, (size_t)(end - in->p) + 4)};
	uint64_t length = 0;
	struct slice text = answer_header(&a, "Content-Length");
	if (text.p != NULL && (!ms_slice_to_u64(text, &length) || !tls_need(t, a.head.n + (size_t)length)))
		return 0;
	a.head.p = in->p;
	a.body = ms_slice(in->p + a.head.n, (size_t)length);
	a.bytes = a.head.n + (size_t)length;
	a.status = (int)strtol(in->p + 9, NULL, 10);
	*ret_answer = a;
	return a.status;
}

static int tls_ask(struct tls_client *t, const char *request, struct answer *ret_answer)
{
	return tls_send(t, request, strlen(request)) ? tls_answer(t, ret_answer) : 0;
}

static void peer_name(struct tls_client *t, char *dst, int size)
{
	X509 *cert = SSL_get1_peer_certificate(t->ssl);
	REQUIRE(cert != NULL);
	X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, dst, size);
	X509_free(cert);
}

static struct http_tls_options good_options(struct files *f, const char *min_version)
{
	name_files(f, "server");
	write_pair(f, "first", 100000, NULL);
	return (struct http_tls_options){f->cert, f->key, min_version};
}

// --- Traffic -----------------------------------------------------------------------------------------

TEST(tls_serves_requests)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	struct kit kit;
	struct files files;
	struct answer a;
	struct http_tls_options tls = good_options(&files, NULL);
	kit_start(&kit, &(struct kit_options){.tls = &tls, .address = "https://127.0.0.1:0"});
	for (size_t i = 0; i < MS_ARRAY_LEN(versions); i++) {
		struct tls_client t;
		tls_prepare(&t, kit.port);
		SSL_set_min_proto_version(t.ssl, versions[i]);
		SSL_set_max_proto_version(t.ssl, versions[i]);
		SSL_set_alpn_protos(t.ssl, (const unsigned char *)"\x08http/1.1", 9);
		REQUIRE(SSL_connect(t.ssl) == 1);
		const unsigned char *protocol;
		unsigned protocol_n;
		SSL_get0_alpn_selected(t.ssl, &protocol, &protocol_n);
		CHECK_SLICE(ms_slice(protocol, protocol_n), "http/1.1");
		for (int k = 0; k < 50; k++) {
			CHECK_INT(tls_ask(&t, GET("/"), &a), 200);
			CHECK_SLICE(a.body, "hello\n");
			client_consume(&t.plain, a.bytes);
		}
		CHECK(tls_send(&t, GET("/") GET("/items/x"), strlen(GET("/") GET("/items/x"))));
		CHECK_INT(tls_answer(&t, &a), 200);
		client_consume(&t.plain, a.bytes);
		CHECK_INT(tls_answer(&t, &a), 201);
		client_consume(&t.plain, a.bytes);
		CHECK_INT(tls_ask(&t, GET("/big?n=20000000"), &a), 200);
		CHECK_INT(a.body.n, 20000000);
		for (size_t at = 0; at < a.body.n; at += 999)
			REQUIRE(a.body.p[at] == (char)('a' + at % 26));
		client_consume(&t.plain, a.bytes);
		// The end comes in good order.
		CHECK_INT(tls_ask(&t, "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", &a), 200);
		client_consume(&t.plain, a.bytes);
		CHECK(!tls_need(&t, 1));
		CHECK(SSL_get_shutdown(t.ssl) & SSL_RECEIVED_SHUTDOWN);
		tls_end(&t);
	}
	kit_stop(&kit);
}

TEST(tls_takes_large_bodies_and_pipelines)
{
	struct kit kit;
	struct files files;
	struct answer a;
	struct tls_client t;
	struct buf request;
	struct http_tls_options tls = good_options(&files, NULL);
	kit_start(&kit, &(struct kit_options){.tls = &tls});
	REQUIRE(tls_connect(&t, kit.port));
	ms_buf_init(&request, 16 << 20);
	ms_buf_append_cstr(&request, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3000000\r\n\r\n");
	for (size_t i = 0; i < 3000000; i++)
		ms_buf_append_char(&request, (char)(i * 7 >> 4));
	ms_buf_append_cstr(&request, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2dc6c0\r\n");
	for (size_t i = 0; i < 3000000; i++)
		ms_buf_append_char(&request, (char)(i * 5 >> 4));
	ms_buf_append_cstr(&request, "\r\n0\r\n\r\n");
	REQUIRE(ms_buf_ok(&request));
	size_t first = strlen("POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3000000\r\n\r\n");
	CHECK(tls_send(&t, request.p, first + 3000000));
	REQUIRE(tls_answer(&t, &a) == 200);
	CHECK(ms_slice_eq(a.body, ms_slice(request.p + first, 3000000)));
	client_consume(&t.plain, a.bytes);
	CHECK(tls_send(&t, request.p + first + 3000000, request.n - first - 3000000));
	REQUIRE(tls_answer(&t, &a) == 200);
	CHECK(ms_slice_eq(a.body, ms_slice(request.p + request.n - 3000007, 3000000)));
	client_consume(&t.plain, a.bytes);
	// Many at once: more decrypted input than the buffer holds waits inside the session.
	ms_buf_clear(&request);
	for (int i = 0; i < 1500; i++)
		ms_buf_append_cstr(&request, GET("/items/pipelined"));
	CHECK(tls_send(&t, request.p, request.n));
	for (int i = 0; i < 1500; i++) {
		REQUIRE(tls_answer(&t, &a) == 201);
		client_consume(&t.plain, a.bytes);
	}
	CHECK_INT(t.plain.in.n, 0);
	tls_end(&t);
	ms_buf_fini(&request);
	kit_stop(&kit);
}

TEST(tls_answers_later_and_after_a_half_close)
{
	struct kit kit;
	struct files files;
	struct answer a;
	struct tls_client t;
	struct http_tls_options tls = good_options(&files, NULL);
	kit_start(&kit, &(struct kit_options){.tls = &tls});
	REQUIRE(tls_connect(&t, kit.port));
	CHECK(tls_send(&t, GET("/later"), strlen(GET("/later"))));
	REQUIRE(KIT_WAIT(kit.waiting == 1));
	SSL_shutdown(t.ssl); // close_notify of our side
	client_finish(&t.plain);
	kit_answer(&kit, 300000);
	CHECK_INT(tls_answer(&t, &a), 200);
	CHECK_INT(a.body.n, 300000);
	tls_end(&t);
	CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	kit_stop(&kit);
}

// --- What is refused ---------------------------------------------------------------------------------

TEST(tls_refuses_old_versions_and_other_protocols)
{
	struct kit kit;
	struct files files;
	struct tls_client t;
	struct http_tls_options tls = good_options(&files, "1.3");
	kit_start(&kit, &(struct kit_options){.tls = &tls});
	tls_prepare(&t, kit.port);
	SSL_set_max_proto_version(t.ssl, TLS1_2_VERSION);
	CHECK(SSL_connect(t.ssl) != 1);
	CHECK_INT(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION); // it was told why
	tls_end(&t);
	tls_prepare(&t, kit.port);
	SSL_set_alpn_protos(t.ssl, (const unsigned char *)"\x02h3", 3);
	CHECK(SSL_connect(t.ssl) != 1);
	tls_end(&t);
	CHECK(tls_connect(&t, kit.port));
	tls_end(&t);
	kit_stop(&kit);
}

TEST(tls_refuses_renegotiation)
{
	struct kit kit;
	struct files files;
	struct answer a;
	struct tls_client t;
	struct http_tls_options tls = good_options(&files, "1.2");
	kit_start(&kit, &(struct kit_options){.tls = &tls});
	tls_prepare(&t, kit.port);
	SSL_set_max_proto_version(t.ssl, TLS1_2_VERSION);
	REQUIRE(SSL_connect(t.ssl) == 1);
	CHECK_INT(tls_ask(&t, GET("/"), &a), 200);
	SSL_renegotiate(t.ssl);
	CHECK(SSL_do_handshake(t.ssl) != 1 || !tls_send(&t, GET("/"), 10) || tls_answer(&t, &a) == 0);
	tls_end(&t);
	CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	kit_stop(&kit);
}

TEST(tls_resumes_sessions_by_ticket)
{
	struct kit kit;
	struct files files;
	struct answer a;
	struct tls_client t;
	struct http_tls_options tls = good_options(&files, NULL);
	kit_start(&kit, &(struct kit_options){.tls = &tls, .loops = 2});
	REQUIRE(tls_connect(&t, kit.port));
	CHECK_INT(tls_ask(&t, GET("/"), &a), 200);
	CHECK(!SSL_session_reused(t.ssl));
	SSL_SESSION *session = SSL_get1_session(t.ssl);
	SSL_shutdown(t.ssl);
	tls_end(&t);
	for (int i = 0; i < 8; i++) { // on whichever loop
		tls_prepare(&t, kit.port);
		SSL_set_session(t.ssl, session);
		REQUIRE(SSL_connect(t.ssl) == 1);
		CHECK(SSL_session_reused(t.ssl));
		SSL_shutdown(t.ssl); // without a good-bye OpenSSL's client discards the session
		tls_end(&t);
	}
	SSL_SESSION_free(session);
	kit_stop(&kit);
}

TEST(tls_port_tells_plain_http)
{
	struct kit kit;
	struct files files;
	char body[500];
	struct client c;
	struct http_tls_options tls = good_options(&files, NULL);
	kit_start(&kit, &(struct kit_options){.tls = &tls});
	CHECK_INT(kit_ask(&kit, GET("/"), body, sizeof(body)), 400);
	CHECK_HAS(body, "use https://");
	// Anything else that is not TLS ends the connection.
	static const char *const garbage[] = {"\x16\x03\x01\x00\x05hello", "\x80\x01\x02", "\r\n\r\n",
					      "\x15\x03\x01\x00\x02\x01\x00"};
	for (size_t i = 0; i < MS_ARRAY_LEN(garbage); i++) {
		client_connect(&c, kit.port);
		client_send(&c, garbage[i], i == 0 ? 10 : i == 3 ? 7 : strlen(garbage[i]));
		client_finish(&c);
		(void)client_read_to_end(&c);
		CHECK(c.eof || c.reset);
		client_close(&c);
	}
	CHECK_INT(kit.handled, 0);
	CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	kit_stop(&kit);
}

TEST(tls_handshake_has_a_timeout)
{
	struct kit kit;
	struct files files;
	struct client c;
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	limits.header_timeout_ms = 50;
	struct http_tls_options tls = good_options(&files, NULL);
	kit_start(&kit, &(struct kit_options){.tls = &tls, .limits = &limits});
	client_connect(&c, kit.port);
	CHECK(client_read_to_end(&c)); // nothing sent at all
	client_close(&c);
	client_connect(&c, kit.port);
	client_send(&c, "\x16\x03\x01\x02", 4);
	(void)client_read_to_end(&c);
	CHECK(c.eof || c.reset);
	client_close(&c);
	kit_stop(&kit);
}

// The client's bytes are recorded once and then cut at every place.
TEST(tls_clients_leave_during_the_handshake)
{
	struct kit kit;
	struct files files;
	struct http_tls_options tls = good_options(&files, NULL);
	kit_start(&kit, &(struct kit_options){.tls = &tls, .quiet = true});
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *ssl = SSL_new(ctx);
	BIO *out = BIO_new(BIO_s_mem());
	SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
	CHECK(SSL_connect(ssl) != 1); // writes its hello
	char *hello;
	long n = BIO_get_mem_data(out, &hello);
	REQUIRE(n > 100);
	for (long i = 0; i < n; i++) {
		struct client c;
		client_connect(&c, kit.port);
		client_send(&c, hello, (size_t)i);
		if (i % 2 == 0)
			client_reset(&c);
		else
			client_close(&c);
	}
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	kit_stop(&kit);
}

// --- Certificates ------------------------------------------------------------------------------------

static void check_bad(const struct http_tls_options *tls, const char *part)
{
	struct tls_context *context;
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK(ms_tls_context_new(tls, false, &info, &context) != MS_OK);
	CHECK_HAS(info.message, part);
}

TEST(tls_certificates_that_cannot_be_used)
{
	struct files good, other, sealed, old, text;
	struct http_tls_options tls = good_options(&good, NULL);
	name_files(&other, "other");
	name_files(&sealed, "sealed");
	name_files(&old, "old");
	name_files(&text, "text");
	write_pair(&other, "other", 1000, NULL);
	write_pair(&sealed, "sealed", 1000, "secret");
	write_pair(&old, "old", -10, NULL);
	FILE *f = fopen(text.cert, "w");
	REQUIRE(f != NULL);
	fputs("no certificate\n", f);
	fclose(f);

	struct http_tls_options bad = tls;
	bad.min_version = "1.1";
	check_bad(&bad, "must be \"1.2\" or \"1.3\"");
	bad = tls;
	bad.cert_file = text.key; // does not exist
	check_bad(&bad, "text.key");
	bad.cert_file = text.cert;
	check_bad(&bad, "-----BEGIN CERTIFICATE-----");
	bad = tls;
	bad.key_file = text.cert;
	check_bad(&bad, "-----BEGIN PRIVATE KEY-----");
	bad.key_file = other.key;
	check_bad(&bad, "does not belong to the certificate");
	bad = (struct http_tls_options){sealed.cert, sealed.key, NULL};
	check_bad(&bad, "encrypted");
	bad = (struct http_tls_options){old.cert, old.key, NULL};
	check_bad(&bad, "expired");
	// A chain whose second certificate is damaged.
	f = fopen(good.cert, "a");
	REQUIRE(f != NULL);
	fputs("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", f);
	fclose(f);
	check_bad(&tls, "damaged");
}

struct reload {
	enum ms_err err;
	struct errinfo info;
};

static void do_reload(struct kit *kit, void *arg)
{
	struct reload *r = arg;
	ms_errinfo_init(&r->info);
	r->err = ms_http_server_reload_tls(kit->server, &r->info);
}

TEST(tls_reload_changes_new_connections)
{
	struct kit kit;
	struct files files;
	struct answer a;
	struct tls_client t, late;
	struct reload reload;
	char name[100];
	struct http_tls_options tls = good_options(&files, NULL);
	kit_start(&kit, &(struct kit_options){.tls = &tls, .loops = 2});
	REQUIRE(tls_connect(&t, kit.port));
	write_pair(&files, "second", 1000, NULL);
	kit_on_loop(&kit, do_reload, &reload);
	CHECK_OK(reload.err);
	for (int i = 0; i < 8; i++) {
		REQUIRE(tls_connect(&late, kit.port));
		peer_name(&late, name, sizeof(name));
		CHECK_STR(name, "second");
		CHECK_INT(tls_ask(&late, GET("/"), &a), 200);
		tls_end(&late);
	}
	peer_name(&t, name, sizeof(name));
	CHECK_STR(name, "first");
	CHECK_INT(tls_ask(&t, GET("/"), &a), 200); // lives on
	tls_end(&t);
	// What cannot be used changes nothing.
	REQUIRE(truncate(files.key, 0) == 0);
	kit_on_loop(&kit, do_reload, &reload);
	CHECK_INT(reload.err, MS_ERR_TLS);
	REQUIRE(tls_connect(&late, kit.port));
	peer_name(&late, name, sizeof(name));
	CHECK_STR(name, "second");
	tls_end(&late);
	kit_stop(&kit);
}

struct load {
	unsigned port;
	atomic_bool stop;
	atomic_uint asked;
	unsigned failed;
};

static void *make_load(void *arg)
{
	struct load *load = arg;
	while (!load->stop) {
		struct tls_client t;
		struct answer a;
		if (!tls_connect(&t, load->port) || tls_ask(&t, GET("/"), &a) != 200)
			load->failed++;
		load->asked++;
		tls_end(&t);
	}
	return NULL;
}

TEST(tls_reload_under_load)
{
	enum { CLIENTS = 3, RELOADS = 30 };
	struct kit kit;
	struct files files;
	struct reload reload;
	struct load loads[CLIENTS];
	pthread_t threads[CLIENTS];
	struct http_tls_options tls = good_options(&files, NULL);
	kit_start(&kit, &(struct kit_options){.tls = &tls, .loops = 2, .quiet = true});
	memset(loads, 0, sizeof(loads));
	for (size_t i = 0; i < CLIENTS; i++) {
		loads[i].port = kit.port;
		REQUIRE(pthread_create(&threads[i], NULL, make_load, &loads[i]) == 0);
	}
	for (unsigned i = 1; i <= RELOADS; i++) {
		kit_on_loop(&kit, do_reload, &reload);
		CHECK_OK(reload.err);
		CHECK(KIT_WAIT(loads[i % CLIENTS].asked >= i));
	}
	for (size_t i = 0; i < CLIENTS; i++) {
		loads[i].stop = true;
		pthread_join(threads[i], NULL);
		CHECK_INT(loads[i].failed, 0);
	}
	kit_stop(&kit);
}

// --- Streams and tunnels -----------------------------------------------------------------------------

static void echo_data(struct exchange *x, struct slice bytes, void *arg)
{
	(void)arg;
	ms_http_stream_write(x, bytes);
}

static void echo_end(struct exchange *x, const struct http_header *trailers, size_t count, void *arg)
{
	(void)trailers, (void)count, (void)arg;
	ms_http_stream_end(x);
}

static void echo_cut(struct exchange *x, const struct errinfo *info, void *arg)
{
	(void)info, (void)arg;
	ms_http_stream_end(x);
}

static const struct http_body_reader echo_reader = {echo_data, echo_end, echo_cut, UINT64_MAX};

static void get_echo_tunnel(struct exchange *x, void *role)
{
	(void)role;
	ms_http_tunnel_start(x, NULL, 0, &echo_reader, NULL, NULL);
}

static void post_relay(struct exchange *x, void *role)
{
	(void)role;
	const struct http_answer answer = {.status = 200, .content_length = x->req.content_length};
	ms_http_answer_start(x, &answer, NULL, NULL);
	ms_http_body_read(x, &echo_reader, NULL);
}

static void get_names(struct exchange *x, void *role)
{
	(void)role;
	const struct http_request *req = &x->req;
	ms_buf_printf(x->body, "%.*s|%.*s|%u|%d", MS_SLICE_ARG(req->sni), MS_SLICE_ARG(req->authority), req->version,
		      req->tls);
	ms_http_send(x, 200, "text/plain");
}

static const struct route more_routes[] = {
	{.method = HTTP_GET, .pattern = "/tunnel", .handle = get_echo_tunnel, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
	{.method = HTTP_POST, .pattern = "/relay", .handle = post_relay, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
	{.method = HTTP_GET, .pattern = "/names", .handle = get_names, .flags = ROUTE_PUBLIC},
};

TEST(tls_tells_the_name_that_was_asked_for)
{
	struct kit kit;
	struct files files;
	struct answer a;
	struct tls_client t;
	struct http_tls_options tls = good_options(&files, NULL);
	kit_start(&kit,
		  &(struct kit_options){.tls = &tls, .routes = more_routes, .route_count = MS_ARRAY_LEN(more_routes)});
	tls_prepare(&t, kit.port);
	char name[] = "iris.example";
	SSL_set_tlsext_host_name(t.ssl, name);
	REQUIRE(SSL_connect(t.ssl) == 1);
	CHECK_INT(tls_ask(&t, "GET /names HTTP/1.1\r\nHost: a.example:81\r\n\r\n", &a), 200);
	CHECK_SLICE(a.body, "iris.example|a.example:81|11|1");
	tls_end(&t);
	REQUIRE(tls_connect(&t, kit.port));
	CHECK_INT(tls_ask(&t, "GET /names HTTP/1.0\r\n\r\n", &a), 200);
	CHECK_SLICE(a.body, "||10|1");
	tls_end(&t);
	kit_stop(&kit);
}

TEST(tls_carries_streams_and_tunnels)
{
	static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
	static char data[1 << 20];
	struct kit kit;
	struct files files;
	struct answer a;
	struct tls_client t;
	struct http_tls_options tls = good_options(&files, NULL);
	kit_start(&kit,
		  &(struct kit_options){.tls = &tls, .routes = more_routes, .route_count = MS_ARRAY_LEN(more_routes)});
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 11 >> 3);
	for (size_t i = 0; i < MS_ARRAY_LEN(versions); i++) {
		tls_prepare(&t, kit.port);
		SSL_set_max_proto_version(t.ssl, versions[i]);
		REQUIRE(SSL_connect(t.ssl) == 1);
		const char *head = "POST /relay HTTP/1.1\r\nHost: t\r\nContent-Length: 1048576\r\n\r\n";
		CHECK(tls_send(&t, head, strlen(head)) && tls_send(&t, data, sizeof(data)));
		REQUIRE(tls_answer(&t, &a) == 200);
		CHECK(ms_slice_eq(a.body, ms_slice(data, sizeof(data))));
		tls_end(&t);
		tls_prepare(&t, kit.port);
		SSL_set_max_proto_version(t.ssl, versions[i]);
		REQUIRE(SSL_connect(t.ssl) == 1);
		REQUIRE(tls_ask(&t, "GET /tunnel HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
				&a) == 101);
		client_consume(&t.plain, a.bytes);
		CHECK(tls_send(&t, data, 100000));
		REQUIRE(tls_need(&t, 100000));
		CHECK(memcmp(t.plain.in.p, data, 100000) == 0);
		CHECK_INT(t.plain.in.n, 100000);
		CHECK(SSL_shutdown(t.ssl) >= 0); // our end; theirs follows
		CHECK(!tls_need(&t, 100001));
		CHECK((SSL_get_shutdown(t.ssl) & SSL_RECEIVED_SHUTDOWN) != 0);
		tls_end(&t);
		CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	}
	kit_stop(&kit);
}
