// SPDX-License-Identifier: Apache-2.0
// Any bytes as a token. First byte 0: the rest is a compact JWS, as it came from the network. 1: a header and a payload with a NUL between
// them, signed here, so that what is behind the signature is reached. 2: a compact JWE. 3: a JWE header, encrypted here by nobody.
#include "fuzz/fuzz.h"
#include "jose/jose.h"

#define MEMORY ((size_t)4 << 20)

static const char hmac_key[] =
	"{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"h\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr8\"}";
static const char ec_key[] = "{\"kty\":\"EC\",\"alg\":\"ES256\",\"kid\":\"e\",\"crv\":\"P-256\",\"x\":"
			     "\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
			     "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}";
static const char wrap_key[] = "{\"kty\":\"oct\",\"alg\":\"A128KW\",\"k\":\"GawgguFyGrWKav7AX4VKUg\"}";
static const char agree_key[] =
	"{\"kty\":\"EC\",\"alg\":\"ECDH-ES\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\"}";

static void check_jws(struct slice token, struct jose_keys keys, bool ours)
{
	struct arena arena;
	struct jws jws;
	struct jwt_claims claims;
	struct errinfo info;
	ms_errinfo_init(&info);
	ms_arena_init(&arena, 4096, MEMORY);
	struct jwt_policy policy = {.now_s = 1800000000, .skew_s = 60};
	enum ms_err err = ms_jws_verify(token, keys, &arena, &info, &jws);
	MS_ASSERT(err == MS_OK || (err == MS_ERR_TOKEN_INVALID && info.message[0] != '\0'));
	MS_ASSERT(err != MS_OK || (jws.key != NULL && (ours || jws.header.n > 0)));
	enum ms_err claims_err = ms_jwt_verify(token, keys, &policy, &arena, &info, &claims);
	MS_ASSERT(claims_err == MS_OK || claims_err == MS_ERR_TOKEN_INVALID || claims_err == MS_ERR_TOKEN_EXPIRED ||
		  claims_err == MS_ERR_TOKEN_EARLY);
	MS_ASSERT(claims_err != MS_OK || (err == MS_OK && claims.all->type == JSON_OBJECT));
	// A token has one text: with a byte more it is none.
	if (err == MS_OK) {
		struct buf longer;
		ms_buf_init(&longer, MS_JWS_MAX + 1);
		ms_buf_append_slice(&longer, token);
		ms_buf_append_char(&longer, 'A');
		MS_ASSERT(ms_jws_verify(ms_buf_slice(&longer), keys, &arena, NULL, &jws) == MS_ERR_TOKEN_INVALID);
		ms_buf_fini(&longer);
	}
	ms_arena_fini(&arena);
}

static void check_signed(struct slice data, struct jose_keys keys)
{
	static const uint8_t secret[32] = {0x03, 0x23, 0x35, 0x4b, 0x2b, 0x0f, 0xa5, 0xbc, 0x83, 0x7e, 0x06,
					   0x65, 0x77, 0x7b, 0xa6, 0x8f, 0x5a, 0xb3, 0x28, 0xe6, 0xf0, 0x54,
					   0xc9, 0x28, 0xa9, 0x0f, 0x84, 0xb2, 0xd2, 0x50, 0x2e, 0xbf};
	size_t at = ms_slice_find(data, '\0');
	struct buf token;
	uint8_t mac[MS_DIGEST_MAX];
	ms_buf_init(&token, MEMORY);
	ms_base64url_append(&token, ms_slice_sub(data, 0, at));
	ms_buf_append_char(&token, '.');
	ms_base64url_append(&token, ms_slice_sub(data, at + 1, data.n));
	ms_hmac(CRYPTO_SHA256, ms_slice(secret, sizeof(secret)), ms_buf_slice(&token), mac);
	ms_buf_append_char(&token, '.');
	ms_base64url_append(&token, ms_slice(mac, 32));
	check_jws(ms_buf_slice(&token), keys, true);
	ms_buf_fini(&token);
}

static void check_jwe(struct slice token)
{
	struct arena arena;
	struct jwe jwe;
	struct jwe_key *wrap = NULL, *agree = NULL;
	MS_ASSERT(ms_jwe_key_parse(ms_slice_cstr(wrap_key), JWE_ALG_COUNT, NULL, &wrap) == MS_OK);
	MS_ASSERT(ms_jwe_key_parse(ms_slice_cstr(agree_key), JWE_ALG_COUNT, NULL, &agree) == MS_OK);
	const struct jwe_key *keys[] = {wrap, agree};
	ms_arena_init(&arena, 4096, MEMORY);
	enum ms_err err = ms_jwe_open(token, keys, 2, &arena, NULL, &jwe);
	MS_ASSERT(err == MS_OK || err == MS_ERR_TOKEN_INVALID);
	MS_ASSERT(err != MS_OK || jwe.plaintext.n < token.n);
	ms_arena_fini(&arena);
	ms_jwe_key_free(wrap);
	ms_jwe_key_free(agree);
}

static void check_jwe_header(struct slice header)
{
	struct buf token;
	ms_buf_init(&token, MEMORY);
	ms_base64url_append(&token, header);
	ms_buf_append_cstr(
		&token, "..AxY8DCtDaGlsbGljb3RoZQ.KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY.U0m_YmjN04DJvceFICbCVQ");
	check_jwe(ms_buf_slice(&token));
	ms_buf_fini(&token);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > MS_JWS_MAX)
		return 0;
	struct slice rest = ms_slice(data + 1, size - 1);
	struct jose_key *set[2] = {NULL, NULL};
	MS_ASSERT(ms_jose_key_parse(ms_slice_cstr(hmac_key), JOSE_ALG_COUNT, NULL, &set[0]) == MS_OK);
	MS_ASSERT(ms_jose_key_parse(ms_slice_cstr(ec_key), JOSE_ALG_COUNT, NULL, &set[1]) == MS_OK);
	struct jose_keys keys = {set, 2};
	if (data[0] % 4 == 0)
		check_jws(rest, keys, false);
	else if (data[0] % 4 == 1)
		check_signed(rest, keys);
	else if (data[0] % 4 == 2)
		check_jwe(rest);
	else
		check_jwe_header(rest);
	ms_jose_key_unref(set[0]);
	ms_jose_key_unref(set[1]);
	return 0;
}
