// SPDX-License-Identifier: Apache-2.0
#include "jose/jose_test_kit.h"

#include "jose/internal.h"
#include "tests/lib/test.h"

struct jose_key *test_key(const char *jwk, enum jose_alg fallback)
{
	struct jose_key *key = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_jose_key_parse(ms_slice_cstr(jwk), fallback, &info, &key);
	if (!CHECK_OK(err))
		CHECK_STR(info.message, "");
	REQUIRE(err == MS_OK);
	return key;
}

const char *test_token(const struct jose_key *key, const char *header, const char *payload, struct arena *arena)
{
	const struct jose_alg_row *row = ms_jose_alg_row(key->alg);
	struct buf token, signature;
	ms_buf_init(&token, 1 << 20);
	ms_buf_init(&signature, 2048);
	ms_base64url_append(&token, ms_slice_cstr(header));
	ms_buf_append_char(&token, '.');
	ms_base64url_append(&token, ms_slice_cstr(payload));
	if (key->key != NULL) {
		REQUIRE(ms_crypto_sign(key->key, row->scheme, row->hash, ms_buf_slice(&token), &signature) == MS_OK);
	} else {
		uint8_t mac[MS_DIGEST_MAX];
		ms_hmac(row->hash, key->secret, ms_buf_slice(&token), mac);
		ms_buf_append(&signature, mac, ms_digest_size(row->hash));
	}
	ms_buf_append_char(&token, '.');
	ms_base64url_append(&token, ms_buf_slice(&signature));
	const char *text = ms_arena_cstr(arena, ms_buf_slice(&token));
	REQUIRE(text != NULL);
	ms_buf_fini(&signature);
	ms_buf_fini(&token);
	return text;
}
