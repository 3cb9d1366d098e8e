// SPDX-License-Identifier: Apache-2.0
#include <limits.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "net/tls_internal.h"

#include "rt/rt.h"

#define MAX_PEM_BYTES ((size_t)1 << 20)

// Forward secrecy and authenticated encryption only; TLS 1.3 suites are all of that kind.
const char MS_TLS12_CIPHERS[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
				"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
				"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

// --- Context -----------------------------------------------------------------------------------------

const char *ms_tls_reason(unsigned long code)
{
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
	return reason != NULL ? reason : "unknown reason";
}

static const char *openssl_reason(void)
{
	return ms_tls_reason(ERR_peek_last_error());
}

int ms_tls_refuse_passphrase(char *dst, int size, int writing, void *asked)
{
	(void)dst, (void)size, (void)writing;
	*(bool *)asked = true;
	return -1;
}

static enum ms_err load_chain(SSL_CTX *ctx, BIO *bio, const char *path, struct errinfo *info)
{
	X509 *leaf = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
	if (leaf == NULL)
		return ms_fail(
			info, MS_ERR_TLS,
			"%s holds no readable PEM certificate (%s); it must begin with -----BEGIN CERTIFICATE-----",
			path, openssl_reason());
	int ok = SSL_CTX_use_certificate(ctx, leaf);
	bool expired = X509_cmp_current_time(X509_get0_notAfter(leaf)) < 0;
	X509_free(leaf);
	if (ok != 1)
		return ms_fail(info, MS_ERR_TLS, "the certificate in %s cannot be used: %s", path, openssl_reason());
	if (expired)
		return ms_fail(info, MS_ERR_TLS, "the certificate in %s has expired; clients would refuse it", path);
	X509 *issuer;
	while ((issuer = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
		if (SSL_CTX_add0_chain_cert(ctx, issuer) != 1) {
			X509_free(issuer);
			return ms_fail(info, MS_ERR_TLS, "an issuer certificate in %s cannot be used: %s", path,
				       openssl_reason());
		}
	}
	unsigned long end = ERR_peek_last_error();
	if (ERR_GET_REASON(end) != PEM_R_NO_START_LINE)
		return ms_fail(info, MS_ERR_TLS, "a certificate after the first in %s is damaged: %s", path,
			       openssl_reason());
	ERR_clear_error();
	return MS_OK;
}

static enum ms_err load_key(SSL_CTX *ctx, BIO *bio, const char *path, struct errinfo *info)
{
	bool asked = false;
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, ms_tls_refuse_passphrase, &asked);
	if (key == NULL && asked)
		return ms_fail(info, MS_ERR_TLS, "the private key in %s is encrypted; use one without a passphrase",
			       path);
	if (key == NULL)
		return ms_fail(
			info, MS_ERR_TLS,
			"%s holds no readable PEM private key (%s); it must begin with -----BEGIN PRIVATE KEY-----",
			path, openssl_reason());
	// Checks against the certificate that was loaded before.
	int matches = X509_check_private_key(SSL_CTX_get0_certificate(ctx), key);
	int ok = matches == 1 ? SSL_CTX_use_PrivateKey(ctx, key) : 0;
	EVP_PKEY_free(key);
	if (matches != 1)
		return ms_fail(info, MS_ERR_TLS, "the private key in %s does not belong to the certificate", path);
	if (ok != 1)
		return ms_fail(info, MS_ERR_TLS, "the private key in %s cannot be used: %s", path, openssl_reason());
	return MS_OK;
}

typedef enum ms_err load_fn(SSL_CTX *ctx, BIO *bio, const char *path, struct errinfo *info);

static enum ms_err load_file(SSL_CTX *ctx, const char *path, load_fn *load, struct errinfo *info)
{
	struct slice bytes;
	struct errinfo why;
	ms_errinfo_init(&why);
	enum ms_err err = ms_file_read(path, MAX_PEM_BYTES, &why, &bytes);
	if (err != MS_OK)
		return ms_fail(info, err, "TLS %s: %.*s", load == load_key ? "key" : "certificate", 400, why.message);
	err = MS_ERR_NO_MEMORY;
	BIO *bio = BIO_new_mem_buf(bytes.p, (int)bytes.n);
	ERR_clear_error();
	if (bio != NULL)
		err = load(ctx, bio, path, info);
	else
		(void)ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while reading %s", path);
	ERR_clear_error();
	BIO_free(bio);
	explicit_bzero((char *)(uintptr_t)bytes.p, bytes.n); // a key leaves no copy behind
	free((char *)(uintptr_t)bytes.p);
	return err;
}

// RFC 7301: of the protocols that the client names we speak h2 (`arg` is not NULL) and http/1.1. A client that names only others gets
// the alert no_application_protocol; one without the extension is taken as HTTP/1.1.
static int select_protocol(SSL *ssl, const unsigned char **ret_name, unsigned char *ret_n, const unsigned char *offered,
			   unsigned offered_n, void *arg)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";
	const unsigned skipped = arg != NULL ? 0 : 3;
	(void)ssl;
	unsigned char *chosen;
	if (SSL_select_next_proto(&chosen, ret_n, ours + skipped, sizeof(ours) - 1 - skipped, offered, offered_n) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*ret_name = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static enum ms_err configure(SSL_CTX *ctx, const struct http_tls_options *options, bool h2, struct errinfo *info)
{
	const char *min = options->min_version != NULL ? options->min_version : "1.2";
	int version = strcmp(min, "1.2") == 0 ? TLS1_2_VERSION : strcmp(min, "1.3") == 0 ? TLS1_3_VERSION : 0;
	if (version == 0)
		return ms_fail(info, MS_ERR_TLS, "the least TLS version is \"%s\"; it must be \"1.2\" or \"1.3\"", min);
	static const unsigned char session_context[] = "mainstay";
	SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS); // an idle connection keeps no record buffers
	// Sessions resume by tickets alone: no cache that grows.
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(ctx, select_protocol, h2 ? ctx : NULL);
	if (SSL_CTX_set_min_proto_version(ctx, version) != 1 || SSL_CTX_set_cipher_list(ctx, MS_TLS12_CIPHERS) != 1 ||
	    SSL_CTX_set_session_id_context(ctx, session_context, sizeof(session_context) - 1) != 1)
		return ms_fail(info, MS_ERR_TLS, "OpenSSL refuses the TLS settings: %s", openssl_reason());
	MS_TRY(load_file(ctx, options->cert_file, load_chain, info));
	return load_file(ctx, options->key_file, load_key, info);
}

enum ms_err ms_tls_context_new(const struct http_tls_options *options, bool h2, struct errinfo *info,
			       struct tls_context **ret_context)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	if (ctx == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for TLS");
	enum ms_err err = configure(ctx, options, h2, info);
	if (err != MS_OK) {
		SSL_CTX_free(ctx);
		return err;
	}
	*ret_context = (struct tls_context *)(void *)ctx;
	return MS_OK;
}

struct tls_context *ms_tls_context_ref(struct tls_context *context)
{
	SSL_CTX_up_ref(ctx_of(context));
	return context;
}

void ms_tls_context_unref(struct tls_context *context)
{
	SSL_CTX_free(ctx_of(context));
}

// --- Session -----------------------------------------------------------------------------------------

struct tls *ms_tls_make(SSL_CTX *ctx)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	if (tls == NULL)
		return NULL;
	tls->ssl = SSL_new(ctx);
	tls->in = BIO_new(BIO_s_mem());
	tls->out = BIO_new(BIO_s_mem());
	if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL) {
		BIO_free(tls->in);
		BIO_free(tls->out);
		SSL_free(tls->ssl);
		free(tls);
		return NULL;
	}
	SSL_set_bio(tls->ssl, tls->in, tls->out); // owns both now
	return tls;
}

struct tls *ms_tls_new(struct tls_context *context)
{
	struct tls *tls = ms_tls_make(ctx_of(context));
	if (tls != NULL)
		SSL_set_accept_state(tls->ssl);
	return tls;
}

void ms_tls_free(struct tls *tls)
{
	if (tls == NULL)
		return;
	// OpenSSL spoils the session of a connection that ended without good-byes, which one over HTTP often does.
	if (tls->resume != NULL && tls->reason == 0)
		SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(tls->ssl);
	free(tls);
}

bool ms_tls_feed(struct tls *tls, struct slice ciphertext)
{
	MS_ASSERT(ciphertext.n <= INT_MAX);
	return ciphertext.n == 0 || BIO_write(tls->in, ciphertext.p, (int)ciphertext.n) == (int)ciphertext.n;
}

static enum tls_status status_of(struct tls *tls, int result)
{
	int error = SSL_get_error(tls->ssl, result);
	unsigned long reason = ERR_peek_error();
	if (reason != 0)
		tls->reason = reason;
	ERR_clear_error(); // the queue belongs to the thread: nothing of this session may stay for the next
	if (error == SSL_ERROR_WANT_READ)
		return TLS_MORE;
	if (error == SSL_ERROR_ZERO_RETURN)
		return TLS_CLOSED;
	return TLS_FAILED;
}

enum tls_status ms_tls_read(struct tls *tls, char *dst, size_t room, size_t *ret_n)
{
	MS_ASSERT(room > 0);
	int result = SSL_read_ex(tls->ssl, dst, room, ret_n);
	return result == 1 ? TLS_OK : status_of(tls, result);
}

enum tls_status ms_tls_write(struct tls *tls, struct slice plain)
{
	size_t written;
	if (plain.n == 0)
		return TLS_OK;
	int result = SSL_write_ex(tls->ssl, plain.p, plain.n, &written);
	return result == 1 ? TLS_OK : status_of(tls, result);
}

void ms_tls_close(struct tls *tls)
{
	// Refused during the handshake, where there is nothing to say good-bye to.
	if (SSL_is_init_finished(tls->ssl))
		(void)SSL_shutdown(tls->ssl); // the peer's answer is not awaited
	ERR_clear_error();
}

bool ms_tls_established(const struct tls *tls)
{
	return SSL_is_init_finished(tls->ssl);
}

bool ms_tls_chose_h2(const struct tls *tls)
{
	const unsigned char *name;
	unsigned n;
	SSL_get0_alpn_selected(tls->ssl, &name, &n);
	return n == 2 && memcmp(name, "h2", 2) == 0;
}

struct slice ms_tls_server_name(const struct tls *tls)
{
	const char *name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
	return name != NULL ? ms_slice_cstr(name) : MS_SLICE_EMPTY;
}

struct slice ms_tls_output(const struct tls *tls)
{
	char *p;
	long n = BIO_get_mem_data(tls->out, &p);
	return ms_slice(p, n > 0 ? (size_t)n : 0);
}

void ms_tls_output_done(struct tls *tls)
{
	(void)BIO_reset(tls->out);
}
