// SPDX-License-Identifier: Apache-2.0
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "crypto/crypto.h"

void ms_sha256(struct slice bytes, uint8_t ret_digest[MS_SHA256_SIZE])
{
	unsigned n = 0;
	int ok = EVP_Digest(bytes.n > 0 ? bytes.p : "", bytes.n, ret_digest, &n, EVP_sha256(), NULL);
	MS_ASSERT(ok == 1 && n == MS_SHA256_SIZE);
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
