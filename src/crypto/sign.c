// SPDX-License-Identifier: Apache-2.0
// What keys do: sign, verify, agree on a secret, decrypt a wrapped key.
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

#define SIGNATURE_MAX (MS_RSA_MAX_BITS / 8)
#define DER_MAX 160 // of an ECDSA signature of P-521: 139

static bool scheme_fits(const struct crypto_key *key, enum crypto_scheme scheme)
{
	switch (scheme) {
	case CRYPTO_RSA_PKCS1:
	case CRYPTO_RSA_PSS:
		return key->kind == CRYPTO_RSA;
	case CRYPTO_ECDSA:
		return key->kind == CRYPTO_P256 || key->kind == CRYPTO_P384 || key->kind == CRYPTO_P521;
	case CRYPTO_EDDSA:
		return key->kind == CRYPTO_ED25519;
	}
	MS_UNREACHABLE();
}

// OpenSSL counts a key's references itself and locks, so a constant key of ours may be used by any thread.
static bool begin(EVP_MD_CTX *ctx, const struct crypto_key *key, enum crypto_scheme scheme, enum crypto_hash hash,
		  bool sign)
{
	MS_ASSERT(scheme_fits(key, scheme));
	const EVP_MD *md = scheme == CRYPTO_EDDSA ? NULL : ms_crypto_md(hash);
	EVP_PKEY_CTX *pctx = NULL;
	if ((sign ? EVP_DigestSignInit(ctx, &pctx, md, NULL, key->pkey)
		  : EVP_DigestVerifyInit(ctx, &pctx, md, NULL, key->pkey)) != 1)
		return false;
	return scheme != CRYPTO_RSA_PSS || (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
					    EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) == 1);
}

// DER of X9.62 to r || s.
static bool from_der(const uint8_t *der, size_t n, size_t half, uint8_t *ret_raw)
{
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
	bool ok = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), ret_raw, (int)half) == (int)half &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(sig), ret_raw + half, (int)half) == (int)half;
	ECDSA_SIG_free(sig);
	return ok;
}

enum ms_err ms_crypto_sign(const struct crypto_key *key, enum crypto_scheme scheme, enum crypto_hash hash,
			   struct slice message, struct buf *out)
{
	MS_ASSERT(key->is_private);
	uint8_t bytes[SIGNATURE_MAX], raw[2 * MS_AGREED_MAX];
	size_t n = sizeof(bytes), size = ms_crypto_key_signature_size(key);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && begin(ctx, key, scheme, hash, true) &&
		  EVP_DigestSign(ctx, bytes, &n, ms_bytes(message), message.n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	if (ok && scheme == CRYPTO_ECDSA)
		ok = from_der(bytes, n, size / 2, raw);
	if (!ok)
		return MS_ERR_NO_MEMORY; // nothing else can fail for a checked key
	MS_ASSERT(scheme == CRYPTO_ECDSA || n == size);
	ms_buf_append(out, scheme == CRYPTO_ECDSA ? raw : bytes, size);
	return ms_buf_ok(out) ? MS_OK : MS_ERR_NO_MEMORY;
}

// A positive INTEGER of DER for a big-endian number of fixed size.
static size_t der_integer(const uint8_t *number, size_t size, uint8_t *dst)
{
	while (size > 1 && number[0] == 0) {
		number++;
		size--;
	}
	size_t sign = number[0] >> 7;
	dst[0] = 0x02;
	dst[1] = (uint8_t)(size + sign);
	dst[2] = 0;
	memcpy(dst + 2 + sign, number, size);
	return 2 + sign + size;
}

// r || s to DER. Whether both are within 1 to the order less 1 is checked when verifying.
static size_t to_der(const uint8_t *raw, size_t half, uint8_t dst[DER_MAX])
{
	uint8_t body[DER_MAX];
	size_t n = der_integer(raw, half, body);
	n += der_integer(raw + half, half, body + n);
	size_t at = 0;
	dst[at++] = 0x30;
	if (n > 127)
		dst[at++] = 0x81;
	dst[at++] = (uint8_t)n;
	memcpy(dst + at, body, n);
	return at + n;
}

bool ms_crypto_verify(const struct crypto_key *key, enum crypto_scheme scheme, enum crypto_hash hash,
		      struct slice message, struct slice signature)
{
	if (signature.n != ms_crypto_key_signature_size(key))
		return false;
	uint8_t der[DER_MAX];
	const uint8_t *bytes = (const uint8_t *)signature.p;
	size_t n = signature.n;
	if (scheme == CRYPTO_ECDSA) {
		n = to_der(bytes, n / 2, der);
		bytes = der;
	}
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx != NULL && begin(ctx, key, scheme, hash, false) &&
		  EVP_DigestVerify(ctx, bytes, n, ms_bytes(message), message.n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return ok;
}

bool ms_crypto_agree(const struct crypto_key *own, const struct crypto_key *peer, uint8_t ret_secret[MS_AGREED_MAX],
		     size_t *ret_n)
{
	MS_ASSERT(own->is_private && own->kind == peer->kind && own->kind != CRYPTO_RSA && own->kind != CRYPTO_ED25519);
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own->pkey, NULL);
	size_t n = MS_AGREED_MAX;
	bool ok = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer(ctx, peer->pkey) == 1 &&
		  EVP_PKEY_derive(ctx, ret_secret, &n) == 1;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	if (ok)
		*ret_n = n;
	return ok;
}

enum ms_err ms_crypto_oaep_open(const struct crypto_key *key, enum crypto_hash hash, struct slice ciphertext,
				struct arena *arena, struct slice *ret_plaintext)
{
	MS_ASSERT(key->is_private && key->kind == CRYPTO_RSA);
	size_t n = (key->bits + 7) / 8;
	if (ciphertext.n != n)
		return MS_ERR_INVALID;
	uint8_t *bytes = ms_arena_alloc(arena, n);
	if (bytes == NULL)
		return MS_ERR_NO_MEMORY;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	bool ok = ctx != NULL && EVP_PKEY_decrypt_init(ctx) == 1 &&
		  EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) == 1 &&
		  EVP_PKEY_CTX_set_rsa_oaep_md(ctx, ms_crypto_md(hash)) == 1 &&
		  EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, ms_crypto_md(hash)) == 1 &&
		  EVP_PKEY_decrypt(ctx, bytes, &n, (const uint8_t *)ciphertext.p, ciphertext.n) == 1;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	if (!ok)
		return MS_ERR_INVALID;
	*ret_plaintext = ms_slice(bytes, n);
	return MS_OK;
}
