// SPDX-License-Identifier: Apache-2.0
// Authenticated encryption: our own boxes (libsodium), and AES as others use it in JWE (OpenSSL).
#include <openssl/err.h>
#include <openssl/evp.h>
#include <sodium.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

#define BOX_VERSION 1
#define TAG_SIZE 16
_Static_assert(MS_BOX_KEY_SIZE == crypto_aead_xchacha20poly1305_ietf_KEYBYTES, "key");
_Static_assert(MS_BOX_NONCE_SIZE == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
_Static_assert(TAG_SIZE == crypto_aead_xchacha20poly1305_ietf_ABYTES, "tag");

void ms_box_seal(const uint8_t key[MS_BOX_KEY_SIZE], const uint8_t nonce[MS_BOX_NONCE_SIZE], struct slice context,
		 struct slice secret, struct buf *out)
{
	if (secret.n > SIZE_MAX / 2 || !ms_buf_reserve(out, secret.n + MS_BOX_OVERHEAD)) {
		out->failed = true;
		return;
	}
	ms_crypto_sodium();
	ms_buf_append_char(out, BOX_VERSION);
	ms_buf_append(out, nonce, MS_BOX_NONCE_SIZE);
	unsigned long long n = 0;
	crypto_aead_xchacha20poly1305_ietf_encrypt((unsigned char *)out->p + out->n, &n, ms_bytes(secret), secret.n,
						   ms_bytes(context), context.n, NULL, nonce, key);
	out->n += n;
}

enum ms_err ms_box_open(const uint8_t key[MS_BOX_KEY_SIZE], struct slice context, struct slice box, struct arena *arena,
			struct slice *ret_secret)
{
	if (box.n < MS_BOX_OVERHEAD || box.p[0] != BOX_VERSION)
		return MS_ERR_INVALID;
	const uint8_t *nonce = (const uint8_t *)box.p + 1;
	uint8_t *bytes = ms_arena_alloc(arena, box.n - MS_BOX_OVERHEAD);
	if (bytes == NULL)
		return MS_ERR_NO_MEMORY;
	ms_crypto_sodium();
	unsigned long long n = 0;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(bytes, &n, NULL, nonce + MS_BOX_NONCE_SIZE,
						       box.n - 1 - MS_BOX_NONCE_SIZE, ms_bytes(context), context.n,
						       nonce, key) != 0)
		return MS_ERR_INVALID;
	*ret_secret = ms_slice(bytes, (size_t)n);
	return MS_OK;
}

// --- AES ---

enum aes_mode { AES_GCM, AES_CBC, AES_WRAP };

static const EVP_CIPHER *aes(enum aes_mode mode, size_t key_size)
{
	MS_ASSERT(key_size == 16 || key_size == 24 || key_size == 32);
	switch (mode) {
	case AES_GCM:
		return key_size == 16 ? EVP_aes_128_gcm() : key_size == 24 ? EVP_aes_192_gcm() : EVP_aes_256_gcm();
	case AES_CBC:
		return key_size == 16 ? EVP_aes_128_cbc() : key_size == 24 ? EVP_aes_192_cbc() : EVP_aes_256_cbc();
	case AES_WRAP:
		return key_size == 16 ? EVP_aes_128_wrap() : key_size == 24 ? EVP_aes_192_wrap() : EVP_aes_256_wrap();
	}
	MS_UNREACHABLE();
}

// What all modes share; `tag` and `context` are of GCM alone.
static enum ms_err aes_open(enum aes_mode mode, struct slice key, const void *iv, struct slice context,
			    struct slice ciphertext, struct slice tag, struct arena *arena, struct slice *ret_plaintext)
{
	if (ciphertext.n > INT32_MAX || context.n > INT32_MAX)
		return MS_ERR_INVALID;
	uint8_t *bytes = ms_arena_alloc(arena, ciphertext.n + 16); // a block more, as OpenSSL asks for
	EVP_CIPHER_CTX *ctx = bytes != NULL ? EVP_CIPHER_CTX_new() : NULL;
	if (ctx == NULL)
		return MS_ERR_NO_MEMORY;
	EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
	int n = 0, rest = 0, ignored = 0;
	bool ok = EVP_DecryptInit_ex(ctx, aes(mode, key.n), NULL, (const uint8_t *)key.p, iv) == 1;
	if (ok && mode == AES_GCM) {
		uint8_t want[TAG_SIZE];
		memcpy(want, tag.p, TAG_SIZE);
		ok = EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, want) == 1 &&
		     EVP_DecryptUpdate(ctx, NULL, &ignored, ms_bytes(context), (int)context.n) == 1;
	}
	ok = ok && EVP_DecryptUpdate(ctx, bytes, &n, ms_bytes(ciphertext), (int)ciphertext.n) == 1 &&
	     EVP_DecryptFinal_ex(ctx, bytes + n, &rest) == 1;
	EVP_CIPHER_CTX_free(ctx);
	ERR_clear_error();
	if (!ok) {
		ms_wipe(bytes, ciphertext.n + 16); // what did not verify is nobody's business
		return MS_ERR_INVALID;
	}
	*ret_plaintext = ms_slice(bytes, (size_t)(n + rest));
	return MS_OK;
}

enum ms_err ms_aes_gcm_open(struct slice key, struct slice nonce, struct slice context, struct slice ciphertext,
			    struct slice tag, struct arena *arena, struct slice *ret_plaintext)
{
	if (nonce.n != 12 || tag.n != TAG_SIZE)
		return MS_ERR_INVALID;
	return aes_open(AES_GCM, key, nonce.p, context, ciphertext, tag, arena, ret_plaintext);
}

enum ms_err ms_aes_cbc_hmac_open(struct slice key, struct slice iv, struct slice context, struct slice ciphertext,
				 struct slice tag, struct arena *arena, struct slice *ret_plaintext)
{
	MS_ASSERT(key.n == 32 || key.n == 48 || key.n == 64);
	enum crypto_hash hash = key.n == 32 ? CRYPTO_SHA256 : key.n == 48 ? CRYPTO_SHA384 : CRYPTO_SHA512;
	size_t half = key.n / 2, n;
	if (iv.n != 16 || tag.n != half || ciphertext.n == 0 || ciphertext.n % 16 != 0)
		return MS_ERR_INVALID;
	if (MS_ADD_OVERFLOWS(context.n, iv.n + 8, &n) || MS_ADD_OVERFLOWS(n, ciphertext.n, &n))
		return MS_ERR_INVALID;
	struct arena_mark mark = ms_arena_mark(arena);
	uint8_t *text = ms_arena_alloc(arena, n), *at = text;
	if (text == NULL)
		return MS_ERR_NO_MEMORY;
	at = mempcpy(at, ms_bytes(context), context.n);
	at = mempcpy(at, iv.p, iv.n);
	at = mempcpy(at, ciphertext.p, ciphertext.n);
	uint64_t bits = (uint64_t)context.n * 8;
	for (size_t i = 8; i-- > 0; bits >>= 8)
		at[i] = (uint8_t)bits;
	uint8_t mac[MS_DIGEST_MAX];
	ms_hmac(hash, ms_slice_sub(key, 0, half), ms_slice(text, n), mac);
	ms_arena_rewind(arena, mark);
	if (!ms_equal_constant_time(ms_slice(mac, half), tag))
		return MS_ERR_INVALID;
	return aes_open(AES_CBC, ms_slice_sub(key, half, half), iv.p, MS_SLICE_EMPTY, ciphertext, MS_SLICE_EMPTY, arena,
			ret_plaintext);
}

enum ms_err ms_aes_unwrap(struct slice key, struct slice wrapped, struct arena *arena, struct slice *ret_key)
{
	if (wrapped.n < 24 || wrapped.n > 72 || wrapped.n % 8 != 0)
		return MS_ERR_INVALID;
	return aes_open(AES_WRAP, key, NULL, MS_SLICE_EMPTY, wrapped, MS_SLICE_EMPTY, arena, ret_key);
}
