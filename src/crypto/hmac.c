// SPDX-License-Identifier: Apache-2.0
// HMAC with a key made ready: the hash of the padded key is computed once, inside and outside, and copied for each message. OpenSSL's
// own HMAC looks its algorithms up by name every time, which takes longer than hashing a token.
#include <openssl/evp.h>
#include <stdlib.h>

#include "crypto/crypto.h"
#include "crypto/internal.h"

struct crypto_hmac {
	enum crypto_hash hash;
	EVP_MD_CTX *inner, *outer;
};

// The state after the one block that is the key with each byte changed by `pad`.
static EVP_MD_CTX *start(const EVP_MD *md, const uint8_t key[128], uint8_t pad)
{
	uint8_t block[128];
	size_t size = (size_t)EVP_MD_get_block_size(md);
	MS_ASSERT(size <= sizeof(block));
	for (size_t i = 0; i < size; i++)
		block[i] = key[i] ^ pad;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (ctx != NULL && (EVP_DigestInit_ex(ctx, md, NULL) != 1 || EVP_DigestUpdate(ctx, block, size) != 1)) {
		EVP_MD_CTX_free(ctx);
		ctx = NULL;
	}
	ms_wipe(block, sizeof(block));
	return ctx;
}

struct crypto_hmac *ms_hmac_new(enum crypto_hash hash, struct slice key)
{
	static const char *const names[] = {[CRYPTO_SHA1] = "SHA1",
					    [CRYPTO_SHA256] = "SHA256",
					    [CRYPTO_SHA384] = "SHA384",
					    [CRYPTO_SHA512] = "SHA512"};
	struct crypto_hmac *hmac = calloc(1, sizeof(*hmac));
	EVP_MD *md = hmac != NULL ? EVP_MD_fetch(NULL, names[hash], NULL) : NULL;
	if (md != NULL) {
		uint8_t padded[128] = {0};
		hmac->hash = hash;
		if (key.n > (size_t)EVP_MD_get_block_size(md)) {
			uint8_t digest[MS_DIGEST_MAX];
			ms_digest(hash, key, digest);
			memcpy(padded, digest, ms_digest_size(hash));
			ms_wipe(digest, sizeof(digest));
		} else if (key.n > 0) {
			memcpy(padded, key.p, key.n);
		}
		hmac->inner = start(md, padded, 0x36);
		hmac->outer = start(md, padded, 0x5c);
		ms_wipe(padded, sizeof(padded));
		EVP_MD_free(md); // the contexts hold it
	}
	if (hmac != NULL && (hmac->inner == NULL || hmac->outer == NULL)) {
		ms_hmac_free(hmac);
		return NULL;
	}
	return hmac;
}

void ms_hmac_free(struct crypto_hmac *hmac)
{
	if (hmac == NULL)
		return;
	EVP_MD_CTX_free(hmac->inner); // clears the state
	EVP_MD_CTX_free(hmac->outer);
	free(hmac);
}

bool ms_hmac_with(const struct crypto_hmac *hmac, struct slice message, uint8_t ret_mac[MS_DIGEST_MAX])
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t digest[MS_DIGEST_MAX];
	size_t size = ms_digest_size(hmac->hash);
	bool ok = ctx != NULL && EVP_MD_CTX_copy_ex(ctx, hmac->inner) == 1 &&
		  EVP_DigestUpdate(ctx, ms_bytes(message), message.n) == 1 &&
		  EVP_DigestFinal_ex(ctx, digest, NULL) == 1 && EVP_MD_CTX_copy_ex(ctx, hmac->outer) == 1 &&
		  EVP_DigestUpdate(ctx, digest, size) == 1 && EVP_DigestFinal_ex(ctx, ret_mac, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	ms_wipe(digest, sizeof(digest));
	return ok;
}
