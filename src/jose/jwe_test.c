// SPDX-License-Identifier: Apache-2.0
// wycheproof_test.c runs examples of all algorithms; here is what they do not say.
#include <stdio.h>

#include "jose/jose.h"
#include "jose/jose_test_kit.h"

#include "tests/lib/test.h"

#define MEMORY ((size_t)4 << 20)

// RFC 7516, A.3: A128KW and A128CBC-HS256.
#define KEY_A3 "{\"kty\":\"oct\",\"alg\":\"A128KW\",\"k\":\"GawgguFyGrWKav7AX4VKUg\"}"
#define TOKEN_A3                                                                                                      \
	"eyJhbGciOiJBMTI4S1ciLCJlbmMiOiJBMTI4Q0JDLUhTMjU2In0.6KB707dM9YTIgHtLvtgWQ8mKwboJW3of9locizkDTHzBC2IlrT1oOQ." \
	"AxY8DCtDaGlsbGljb3RoZQ.KDlTtXchhZTGufMYmOYGS4HffxPSUrfmqCHXaI9wOGY.U0m_YmjN04DJvceFICbCVQ"

static struct jwe_key *parse(const char *jwk)
{
	struct jwe_key *key = NULL;
	REQUIRE(ms_jwe_key_parse(ms_slice_cstr(jwk), JWE_ALG_COUNT, NULL, &key) == MS_OK);
	return key;
}

TEST(jwe_example_of_rfc_7516_opens)
{
	struct arena a;
	struct jwe jwe;
	struct jwe_key *key = parse(KEY_A3);
	const struct jwe_key *keys[] = {key};
	ms_arena_init(&a, 4096, MEMORY);
	CHECK_OK(ms_jwe_open(MS_SLICE_LIT(TOKEN_A3), keys, 1, &a, NULL, &jwe));
	CHECK_SLICE(jwe.plaintext, "Live long and prosper.");
	CHECK_SLICE(jwe.header, "{\"alg\":\"A128KW\",\"enc\":\"A128CBC-HS256\"}");
	ms_arena_fini(&a);
	ms_jwe_key_free(key);
}

TEST(no_byte_of_a_jwe_may_change)
{
	struct arena a;
	struct jwe jwe;
	struct jwe_key *key = parse(KEY_A3);
	const struct jwe_key *keys[] = {key, key};
	static char token[] = TOKEN_A3;
	ms_arena_init(&a, 4096, MEMORY);
	for (size_t i = 0; i < sizeof(token) - 1; i++) {
		char old = token[i];
		token[i] = old == 'A' ? 'B' : 'A';
		CHECK_INT(ms_jwe_open(ms_slice_cstr(token), keys, 1, &a, NULL, &jwe), MS_ERR_TOKEN_INVALID);
		token[i] = '*';
		CHECK_INT(ms_jwe_open(ms_slice_cstr(token), keys, 1, &a, NULL, &jwe), MS_ERR_TOKEN_INVALID);
		token[i] = old;
		CHECK_INT(ms_jwe_open(ms_slice(token, i), keys, 1, &a, NULL, &jwe), MS_ERR_TOKEN_INVALID);
		ms_arena_reset(&a);
	}
	CHECK_INT(ms_jwe_open(ms_slice_cstr(token), keys, 0, &a, NULL, &jwe), MS_ERR_TOKEN_INVALID);
	CHECK_INT(ms_jwe_open(ms_slice_cstr(token), keys, 2, &a, NULL, &jwe),
		  MS_ERR_TOKEN_INVALID); // which of the two?
	ms_arena_fini(&a);
	ms_jwe_key_free(key);
}

TEST(jwe_headers_that_are_not_for_us_are_refused)
{
	static const char *const headers[] = {
		"{\"alg\":\"A128KW\",\"enc\":\"A128CBC-HS256\",\"zip\":\"DEF\"}",
		"{\"alg\":\"A128KW\",\"enc\":\"A128CBC-HS256\",\"crit\":[\"exp\"]}",
		"{\"alg\":\"A128KW\",\"enc\":\"A128CBC\"}",
		"{\"alg\":\"A128KW\"}",
		"{\"enc\":\"A128CBC-HS256\"}",
		"{\"alg\":\"RSA1_5\",\"enc\":\"A128CBC-HS256\"}",
		"{\"alg\":\"PBES2-HS256+A128KW\",\"enc\":\"A128CBC-HS256\",\"p2s\":\"AAAAAAAAAAA\",\"p2c\":2147483647}",
		"{\"alg\":\"A256KW\",\"enc\":\"A128CBC-HS256\"}",
		"{\"alg\":\"A128KW\",\"enc\":\"A128CBC-HS256\",\"kid\":\"x\"}",
	};
	struct jwe_key *key = parse(KEY_A3);
	const struct jwe_key *keys[] = {key};
	for (size_t i = 0; i < MS_ARRAY_LEN(headers); i++) {
		struct arena a;
		struct buf token;
		struct jwe jwe;
		ms_arena_init(&a, 4096, MEMORY);
		ms_buf_init(&token, 65536);
		ms_base64url_append(&token, ms_slice_cstr(headers[i]));
		ms_buf_append_cstr(&token, strchr(TOKEN_A3, '.'));
		if (!CHECK_INT(ms_jwe_open(ms_buf_slice(&token), keys, 1, &a, NULL, &jwe), MS_ERR_TOKEN_INVALID))
			printf("# %s\n", headers[i]);
		ms_buf_fini(&token);
		ms_arena_fini(&a);
	}
	ms_jwe_key_free(key);
}

// A secret for `dir` of a size that no content encryption has, and one for another than the token's.
TEST(jwe_content_keys_have_their_size)
{
	static const char *const jwks[] = {
		"{\"kty\":\"oct\",\"alg\":\"dir\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
		"{\"kty\":\"oct\",\"alg\":\"dir\",\"k\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(jwks); i++) {
		struct arena a;
		struct buf token;
		struct jwe jwe;
		struct jwe_key *key = parse(jwks[i]);
		const struct jwe_key *keys[] = {key};
		ms_arena_init(&a, 4096, MEMORY);
		ms_buf_init(&token, 65536);
		ms_base64url_append(&token, MS_SLICE_LIT("{\"alg\":\"dir\",\"enc\":\"A128GCM\"}"));
		ms_buf_append_cstr(&token, "..AAAAAAAAAAAAAAAA.AA.AAAAAAAAAAAAAAAAAAAAAA");
		CHECK_INT(ms_jwe_open(ms_buf_slice(&token), keys, 1, &a, NULL, &jwe), MS_ERR_TOKEN_INVALID);
		ms_buf_fini(&token);
		ms_arena_fini(&a);
		ms_jwe_key_free(key);
	}
}

TEST(jwe_keys_fit_their_algorithm)
{
	static const struct {
		const char *jwk;
		bool ok;
	} cases[] = {
		{KEY_A3, true},
		{"{\"kty\":\"oct\",\"alg\":\"A128KW\",\"use\":\"enc\",\"key_ops\":[\"unwrapKey\"],\"k\":"
		 "\"GawgguFyGrWKav7AX4VKUg\"}",
		 true},
		{"{\"kty\":\"oct\",\"alg\":\"A128GCM\",\"k\":\"GawgguFyGrWKav7AX4VKUg\"}", true},
		{"{\"kty\":\"oct\",\"alg\":\"A256KW\",\"k\":\"GawgguFyGrWKav7AX4VKUg\"}", false},
		{"{\"kty\":\"oct\",\"alg\":\"A256GCM\",\"k\":\"GawgguFyGrWKav7AX4VKUg\"}", false},
		{"{\"kty\":\"oct\",\"alg\":\"dir\",\"k\":\"Gawg\"}", false},
		{"{\"kty\":\"oct\",\"alg\":\"A128KW\",\"use\":\"sig\",\"k\":\"GawgguFyGrWKav7AX4VKUg\"}", false},
		{"{\"kty\":\"oct\",\"alg\":\"A128KW\",\"key_ops\":[\"sign\"],\"k\":\"GawgguFyGrWKav7AX4VKUg\"}", false},
		{"{\"kty\":\"oct\",\"k\":\"GawgguFyGrWKav7AX4VKUg\"}", false},
		{"{\"kty\":\"oct\",\"alg\":\"RSA1_5\",\"k\":\"GawgguFyGrWKav7AX4VKUg\"}", false},
		{"{\"kty\":\"oct\",\"alg\":\"RSA-OAEP\",\"k\":\"GawgguFyGrWKav7AX4VKUg\"}", false},
		{"{\"kty\":\"EC\",\"alg\":\"ECDH-ES\",\"crv\":\"P-256\"," EC_X "," EC_Y "," EC_D "}", true},
		{"{\"kty\":\"EC\",\"alg\":\"ECDH-ES\",\"crv\":\"P-256\"," EC_X "," EC_Y "}", false},
		{"{\"kty\":\"EC\",\"alg\":\"A128KW\",\"crv\":\"P-256\"," EC_X "," EC_Y "," EC_D "}", false},
		{"{\"kty\":\"EC\",\"alg\":\"RSA-OAEP\",\"crv\":\"P-256\"," EC_X "," EC_Y "," EC_D "}", false},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct jwe_key *key = NULL;
		struct errinfo info;
		ms_errinfo_init(&info);
		enum ms_err err = ms_jwe_key_parse(ms_slice_cstr(cases[i].jwk), JWE_ALG_COUNT, &info, &key);
		if (!CHECK_INT(err, cases[i].ok ? MS_OK : MS_ERR_INVALID))
			printf("# %s: %s\n", cases[i].jwk, info.message);
		ms_jwe_key_free(key);
	}
}

static void open_one(void)
{
	struct arena a;
	struct jwe jwe;
	struct jwe_key *key = NULL;
	ms_arena_init(&a, 64, MEMORY);
	enum ms_err err = ms_jwe_key_parse(MS_SLICE_LIT(KEY_A3), JWE_ALG_COUNT, NULL, &key);
	const struct jwe_key *keys[] = {key};
	if (err == MS_OK)
		err = ms_jwe_open(MS_SLICE_LIT(TOKEN_A3), keys, 1, &a, NULL, &jwe);
	CHECK(err == MS_OK || ((err == MS_ERR_NO_MEMORY || err == MS_ERR_LIMIT) && ms_test_allocation_failed()));
	ms_jwe_key_free(key);
	ms_arena_fini(&a);
}

TEST(jwe_survives_failing_allocations)
{
	ms_test_torture(open_one);
}
