// SPDX-License-Identifier: Apache-2.0
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

const EVP_MD *ms_crypto_md(enum crypto_hash hash)
{
	switch (hash) {
	case CRYPTO_SHA1:
		return EVP_sha1();
	case CRYPTO_SHA256:
		return EVP_sha256();
	case CRYPTO_SHA384:
		return EVP_sha384();
	case CRYPTO_SHA512:
		return EVP_sha512();
	}
	MS_UNREACHABLE();
}

size_t ms_digest_size(enum crypto_hash hash)
{
	switch (hash) {
	case CRYPTO_SHA1:
		return 20;
	case CRYPTO_SHA256:
		return 32;
	case CRYPTO_SHA384:
		return 48;
	case CRYPTO_SHA512:
		return 64;
	}
	MS_UNREACHABLE();
}

void ms_digest(enum crypto_hash hash, struct slice bytes, uint8_t ret_digest[MS_DIGEST_MAX])
{
	unsigned n = 0;
	int ok = EVP_Digest(ms_bytes(bytes), bytes.n, ret_digest, &n, ms_crypto_md(hash), NULL);
	MS_ASSERT(ok == 1 && n == ms_digest_size(hash));
}

void ms_hmac(enum crypto_hash hash, struct slice key, struct slice message, uint8_t ret_mac[MS_DIGEST_MAX])
{
	MS_ASSERT(key.n <= INT32_MAX);
	unsigned n = 0;
	const void *ok = HMAC(ms_crypto_md(hash), ms_bytes(key), (int)key.n, ms_bytes(message), message.n, ret_mac, &n);
	MS_ASSERT(ok != NULL && n == ms_digest_size(hash));
}

bool ms_hmac_verify(enum crypto_hash hash, struct slice key, struct slice message, struct slice mac)
{
	uint8_t want[MS_DIGEST_MAX];
	ms_hmac(hash, key, message, want);
	bool ok = ms_equal_constant_time(ms_slice(want, ms_digest_size(hash)), mac);
	ms_wipe(want, sizeof(want));
	return ok;
}

void ms_hkdf(enum crypto_hash hash, struct slice secret, struct slice salt, struct slice info, uint8_t *ret_key,
	     size_t n)
{
	size_t size = ms_digest_size(hash);
	MS_ASSERT(n <= 255 * size && info.n <= MS_HKDF_INFO_MAX);
	uint8_t key[MS_DIGEST_MAX], block[MS_DIGEST_MAX + MS_HKDF_INFO_MAX + 1];
	ms_hmac(hash, salt, secret, key);
	size_t before = 0; // of the block in front: none for the first
	for (size_t at = 0, i = 1; at < n; i++) {
		if (info.n > 0)
			memcpy(block + before, info.p, info.n);
		block[before + info.n] = (uint8_t)i;
		uint8_t next[MS_DIGEST_MAX];
		ms_hmac(hash, ms_slice(key, size), ms_slice(block, before + info.n + 1), next);
		memcpy(block, next, size);
		before = size;
		size_t part = MS_MIN(size, n - at);
		memcpy(ret_key + at, next, part);
		at += part;
		ms_wipe(next, sizeof(next));
	}
	ms_wipe(key, sizeof(key));
	ms_wipe(block, sizeof(block));
}

void ms_pbkdf2(enum crypto_hash hash, struct slice password, struct slice salt, uint32_t rounds, uint8_t *ret_key,
	       size_t n)
{
	MS_ASSERT(password.n <= INT32_MAX && salt.n <= INT32_MAX && n >= 1 && n <= INT32_MAX);
	MS_ASSERT(rounds >= 1 && rounds <= INT32_MAX);
	int ok = PKCS5_PBKDF2_HMAC(ms_bytes(password), (int)password.n, ms_bytes(salt), (int)salt.n, (int)rounds,
				   ms_crypto_md(hash), (int)n, ret_key);
	MS_ASSERT(ok == 1);
}

void ms_sha256(struct slice bytes, uint8_t ret_digest[MS_SHA256_SIZE])
{
	uint8_t digest[MS_DIGEST_MAX];
	ms_digest(CRYPTO_SHA256, bytes, digest);
	memcpy(ret_digest, digest, MS_SHA256_SIZE);
}

void ms_sha256_hex(struct slice bytes, char ret_hex[MS_SHA256_HEX_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t digest[MS_SHA256_SIZE];
	ms_sha256(bytes, digest);
	for (size_t i = 0; i < MS_SHA256_SIZE; i++) {
		ret_hex[2 * i] = digits[digest[i] >> 4];
		ret_hex[2 * i + 1] = digits[digest[i] & 15];
	}
	ret_hex[2 * MS_SHA256_SIZE] = '\0';
}

bool ms_equal_constant_time(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || CRYPTO_memcmp(a.p, b.p, a.n) == 0);
}

void ms_wipe(void *bytes, size_t n)
{
	if (n > 0)
		OPENSSL_cleanse(bytes, n);
}

// --- One thread's own ----------------------------------------------------------------------------------

struct hasher {
	EVP_MD *md;
	EVP_MD_CTX *ctx;
};

enum ms_err ms_hasher_new(struct hasher **ret_hasher)
{
	struct hasher *hasher = calloc(1, sizeof(*hasher));
	if (hasher == NULL)
		return MS_ERR_NO_MEMORY;
	hasher->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	hasher->ctx = EVP_MD_CTX_new();
	if (hasher->md != NULL && hasher->ctx != NULL) {
		*ret_hasher = hasher;
		return MS_OK;
	}
	ms_hasher_free(hasher);
	return MS_ERR_NO_MEMORY;
}

void ms_hasher_free(struct hasher *hasher)
{
	if (hasher == NULL)
		return;
	EVP_MD_CTX_free(hasher->ctx);
	EVP_MD_free(hasher->md);
	free(hasher);
}

void ms_hasher_begin(struct hasher *hasher)
{
	int ok = EVP_DigestInit_ex2(hasher->ctx, hasher->md, NULL);
	MS_ASSERT(ok == 1);
}

void ms_hasher_add(struct hasher *hasher, struct slice bytes)
{
	int ok = EVP_DigestUpdate(hasher->ctx, ms_bytes(bytes), bytes.n);
	MS_ASSERT(ok == 1);
}

void ms_hasher_end(struct hasher *hasher, uint8_t ret_digest[MS_SHA256_SIZE])
{
	unsigned n = 0;
	int ok = EVP_DigestFinal_ex(hasher->ctx, ret_digest, &n);
	MS_ASSERT(ok == 1 && n == MS_SHA256_SIZE);
}

void ms_hasher_sha256(struct hasher *hasher, struct slice bytes, uint8_t ret_digest[MS_SHA256_SIZE])
{
	ms_hasher_begin(hasher);
	ms_hasher_add(hasher, bytes);
	ms_hasher_end(hasher, ret_digest);
}
