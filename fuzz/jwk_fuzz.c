// SPDX-License-Identifier: Apache-2.0
// Any bytes as a JSON Web Key, a set of them, a key for decryption and a PEM file. A key that was read is written, read and written again,
// and must be equal.
#include "fuzz/fuzz.h"
#include "jose/jose.h"

#define MEMORY ((size_t)4 << 20)

static void check_key(const struct jose_key *key)
{
	struct buf first, second;
	struct jose_key *again = NULL;
	ms_buf_init(&first, MEMORY);
	ms_buf_init(&second, MEMORY);
	ms_jose_key_write(key, true, &first);
	MS_ASSERT(ms_jose_key_parse(ms_buf_slice(&first), JOSE_ALG_COUNT, NULL, &again) == MS_OK);
	MS_ASSERT(ms_slice_eq(ms_jose_key_id(key), ms_jose_key_id(again)) &&
		  ms_jose_key_alg(key) == ms_jose_key_alg(again));
	ms_jose_key_write(again, true, &second);
	MS_ASSERT(ms_buf_ok(&second) && ms_slice_eq(ms_buf_slice(&first), ms_buf_slice(&second)));
	ms_jose_key_unref(again);
	ms_buf_fini(&first);
	ms_buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = ms_slice(data, size);
	struct errinfo info;
	struct jose_key *key = NULL;
	struct jwe_key *jwe_key = NULL;
	struct crypto_key *crypto_key = NULL;
	struct jose_keys keys;
	struct arena arena;
	ms_errinfo_init(&info);
	ms_arena_init(&arena, 4096, MEMORY);
	if (ms_jose_key_parse(text, JOSE_RS256, &info, &key) == MS_OK)
		check_key(key);
	ms_jose_key_unref(key);
	if (ms_jwe_key_parse(text, JWE_ECDH_ES, &info, &jwe_key) == MS_OK)
		ms_jwe_key_free(jwe_key);
	if (ms_jose_keys_parse(text, 4, &arena, &info, &keys) == MS_OK) {
		MS_ASSERT(keys.count <= 4);
		for (size_t i = 0; i < keys.count; i++) {
			check_key(keys.keys[i]);
			ms_jose_key_unref(keys.keys[i]);
		}
	}
	if (ms_crypto_key_from_pem(text, &info, &crypto_key) == MS_OK) {
		MS_ASSERT(ms_crypto_key_bits(crypto_key) <= MS_RSA_MAX_BITS);
		ms_crypto_key_unref(crypto_key);
	}
	ms_arena_fini(&arena);
	return 0;
}
