// SPDX-License-Identifier: Apache-2.0
#include "net/tls_client.h"

#include <limits.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "net/tls_internal.h"

#define MAX_NAME ((size_t)255)

static const char *last_reason(void)
{
	return ms_tls_reason(ERR_peek_last_error());
}

// --- Authorities -------------------------------------------------------------------------------------

struct tls_authorities *ms_tls_system_authorities(void)
{
	X509_STORE *store = X509_STORE_new();
	if (store != NULL && X509_STORE_set_default_paths(store) != 1) {
		X509_STORE_free(store);
		store = NULL;
	}
	ERR_clear_error(); // a missing folder is none of our business
	return (struct tls_authorities *)(void *)store;
}

void ms_tls_authorities_free(struct tls_authorities *authorities)
{
	X509_STORE_free((X509_STORE *)(void *)authorities);
}

static BIO *open_pem(struct slice pem)
{
	return pem.n <= INT_MAX ? BIO_new_mem_buf(pem.p, (int)pem.n) : NULL;
}

static enum ms_err load_authorities(SSL_CTX *ctx, struct slice pem, struct errinfo *info)
{
	BIO *bio = open_pem(pem);
	if (bio == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while reading the authorities of an upstream");
	size_t count = 0;
	bool ok = true;
	for (X509 *cert; ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL; count++) {
		ok = X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), cert) == 1;
		X509_free(cert);
	}
	bool ended = ok && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	BIO_free(bio);
	if (count > 0 && ended) {
		ERR_clear_error();
		return MS_OK;
	}
	return ms_fail(info, MS_ERR_TLS, "the authority %zu for an upstream is no readable PEM certificate: %s",
		       count + 1, last_reason());
}

// --- Our own certificate -----------------------------------------------------------------------------

static enum ms_err load_chain(SSL_CTX *ctx, BIO *bio, struct errinfo *info)
{
	X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
	int ok = leaf != NULL ? SSL_CTX_use_certificate(ctx, leaf) : 0;
	X509_free(leaf);
	if (ok != 1)
		return ms_fail(info, MS_ERR_TLS,
			       "the client certificate for an upstream is no usable PEM certificate: %s",
			       last_reason());
	for (X509 *issuer; (issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL;) {
		if (SSL_CTX_add0_chain_cert(ctx, issuer) != 1) {
			X509_free(issuer);
			return ms_fail(info, MS_ERR_TLS, "an issuer of the client certificate cannot be used: %s",
				       last_reason());
		}
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return ms_fail(info, MS_ERR_TLS, "an issuer of the client certificate is damaged: %s", last_reason());
	ERR_clear_error();
	return MS_OK;
}

static enum ms_err load_key(SSL_CTX *ctx, BIO *bio, struct errinfo *info)
{
	bool asked = false;
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, ms_tls_refuse_passphrase, &asked);
	if (key == NULL)
		return ms_fail(info, MS_ERR_TLS, "the key of the client certificate %s%s",
			       asked ? "is encrypted; use one without a passphrase" : "is no readable PEM key: ",
			       asked ? "" : last_reason());
	int matches = X509_check_private_key(SSL_CTX_get0_certificate(ctx), key);
	int ok = matches == 1 ? SSL_CTX_use_PrivateKey(ctx, key) : 0;
	EVP_PKEY_free(key);
	return ok == 1 ? MS_OK
		       : ms_fail(info, MS_ERR_TLS, "the key for an upstream does not belong to the client certificate");
}

typedef enum ms_err load_fn(SSL_CTX *ctx, BIO *bio, struct errinfo *info);
static enum ms_err load_pem(SSL_CTX *ctx, struct slice pem, load_fn *load, struct errinfo *info)
{
	BIO *bio = open_pem(pem);
	if (bio == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while reading the client certificate");
	enum ms_err err = load(ctx, bio, info);
	BIO_free(bio);
	return err;
}

// --- Resumption --------------------------------------------------------------------------------------

void ms_tls_resume_clear(struct tls_resume *resume)
{
	SSL_SESSION_free(resume->session);
	resume->session = NULL;
}

static int on_session(SSL *ssl, SSL_SESSION *session)
{
	struct tls *tls = SSL_get_app_data(ssl);
	struct tls_resume *resume = tls->resume;
	if (resume == NULL)
		return 0;
	SSL_SESSION_free(resume->session);
	resume->session = session;
	return 1; // keeps the reference
}

// The names that the certificate is for, as far as there is room.
static void list_names(X509 *cert, char *dst, size_t size)
{
	struct buf b;
	ms_buf_init(&b, 4096);
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; i < sk_GENERAL_NAME_num(names) && b.n < size; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
		if (name->type != GEN_DNS && name->type != GEN_IPADD)
			continue;
		ms_buf_append_cstr(&b, b.n > 0 ? ", " : "");
		if (name->type == GEN_DNS)
			ms_buf_append(&b, ASN1_STRING_get0_data(name->d.dNSName),
				      (size_t)ASN1_STRING_length(name->d.dNSName));
		else
			ms_buf_append_cstr(&b, "an address");
	}
	GENERAL_NAMES_free(names);
	size_t n = MS_MIN(b.n, size - 1);
	memcpy(dst, n > 0 ? b.p : "", n);
	dst[n] = '\0';
	ms_buf_fini(&b);
	ERR_clear_error();
}

// The certificate itself is gone by the time that the handshake has failed.
static int on_verify(int ok, X509_STORE_CTX *store)
{
	int problem = X509_STORE_CTX_get_error(store);
	if (!ok && (problem == X509_V_ERR_HOSTNAME_MISMATCH || problem == X509_V_ERR_IP_ADDRESS_MISMATCH)) {
		SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
		struct tls *tls = SSL_get_app_data(ssl);
		list_names(X509_STORE_CTX_get0_cert(store), tls->names, sizeof(tls->names));
	}
	return ok;
}

// --- Context -----------------------------------------------------------------------------------------

static void offer_protocols(SSL_CTX *ctx, const struct tls_client_options *options)
{
	unsigned char names[12];
	unsigned n = 0;
	if (options->h2) {
		memcpy(names, "\x02h2", 3);
		n = 3;
	}
	if (options->http1) {
		memcpy(names + n, "\x08http/1.1", 9);
		n += 9;
	}
	(void)SSL_CTX_set_alpn_protos(ctx, names, n); // fails when memory is out only: nothing is offered then
}

static enum ms_err configure(SSL_CTX *ctx, const struct tls_client_options *options, struct tls_authorities *system,
			     struct errinfo *info)
{
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
	SSL_CTX_set_verify(ctx, options->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, on_verify);
	if (options->verify_depth > 0)
		SSL_CTX_set_verify_depth(ctx, (int)MS_MIN(options->verify_depth, 100u));
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    SSL_CTX_set_cipher_list(ctx, MS_TLS12_CIPHERS) != 1)
		return ms_fail(info, MS_ERR_TLS, "OpenSSL refuses the TLS settings: %s", last_reason());
	offer_protocols(ctx, options);
	if (options->ca_pem.n > 0)
		MS_TRY(load_authorities(ctx, options->ca_pem, info));
	else if (system != NULL)
		SSL_CTX_set1_cert_store(ctx, (X509_STORE *)(void *)system);
	if ((options->cert_pem.n > 0) != (options->key_pem.n > 0))
		return ms_fail(info, MS_ERR_TLS, "a client certificate and its key must be given together");
	if (options->cert_pem.n == 0)
		return MS_OK;
	MS_TRY(load_pem(ctx, options->cert_pem, load_chain, info));
	return load_pem(ctx, options->key_pem, load_key, info);
}

enum ms_err ms_tls_client_context_new(const struct tls_client_options *options, struct tls_authorities *system,
				      struct errinfo *info, struct tls_context **ret_context)
{
	ERR_clear_error();
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	if (ctx == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for TLS");
	enum ms_err err = configure(ctx, options, system, info);
	ERR_clear_error();
	if (err != MS_OK) {
		SSL_CTX_free(ctx);
		return err;
	}
	*ret_context = (struct tls_context *)(void *)ctx;
	return MS_OK;
}

// --- Session -----------------------------------------------------------------------------------------

static bool set_name(SSL *ssl, struct slice name)
{
	char text[MAX_NAME + 1];
	if (!ms_slice_to_cstr(name, text, sizeof(text)))
		return false;
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	if (X509_VERIFY_PARAM_set1_ip_asc(param, text) == 1)
		return true;
	ERR_clear_error();
	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, text, 0) == 1 && SSL_set_tlsext_host_name(ssl, text) == 1;
}

struct tls *ms_tls_client_new(struct tls_context *context, struct slice name, bool http1_only,
			      struct tls_resume *resume)
{
	struct tls *tls = ms_tls_make(ctx_of(context));
	if (tls == NULL)
		return NULL;
	if (!set_name(tls->ssl, name)) {
		ERR_clear_error();
		ms_tls_free(tls);
		return NULL;
	}
	if (http1_only)
		(void)SSL_set_alpn_protos(tls->ssl, (const unsigned char *)"\x08http/1.1",
					  9); // out of memory: none is offered
	tls->resume = resume;
	SSL_set_app_data(tls->ssl, tls);
	SSL_set_connect_state(tls->ssl);
	if (resume != NULL && resume->session != NULL) {
		(void)SSL_set_session(tls->ssl, resume->session);
		// A ticket of TLS 1.3 is used once (RFC 8446 appendix C.4): the peer sends a new one. One of TLS 1.2 may be all there is.
		if (SSL_SESSION_get_protocol_version(resume->session) >= TLS1_3_VERSION)
			ms_tls_resume_clear(resume);
	}
	return tls;
}

bool ms_tls_resumed(const struct tls *tls)
{
	return SSL_session_reused(tls->ssl) == 1;
}

static enum ms_err name_problem(const struct tls *tls, struct slice name, struct errinfo *info)
{
	return ms_fail(info, MS_ERR_TLS, "the certificate of the upstream is not for '%.*s' but for %s",
		       MS_SLICE_ARG(name), tls->names[0] != '\0' ? tls->names : "no name at all");
}

enum ms_err ms_tls_client_problem(const struct tls *tls, struct slice name, struct errinfo *info)
{
	long verify = SSL_get_verify_result(tls->ssl);
	if (verify == X509_V_ERR_HOSTNAME_MISMATCH || verify == X509_V_ERR_IP_ADDRESS_MISMATCH)
		return name_problem(tls, name, info);
	if (verify != X509_V_OK && ERR_GET_REASON(tls->reason) == SSL_R_CERTIFICATE_VERIFY_FAILED)
		return ms_fail(info, MS_ERR_TLS, "the certificate of the upstream '%.*s' is not trusted: %s",
			       MS_SLICE_ARG(name), X509_verify_cert_error_string(verify));
	if (tls->reason == 0)
		return ms_fail(info, MS_ERR_TLS, "the upstream '%.*s' closed the connection during TLS",
			       MS_SLICE_ARG(name));
	return ms_fail(info, MS_ERR_TLS, "TLS with the upstream '%.*s' failed: %s", MS_SLICE_ARG(name),
		       ms_tls_reason(tls->reason));
}
