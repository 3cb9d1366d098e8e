// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "jose/jose.h"
#include "jose/jose_test_kit.h"

#include "tests/lib/test.h"

#define MEMORY ((size_t)4 << 20)
#define NOW 1000000

static const struct jwt_policy policy = {
	.issuer = {"https://issuer", 14},
	.audience = {"api", 3},
	.now_s = NOW,
	.skew_s = 10,
	.needs_expiry = true,
	.needs_subject = true,
};

struct claims_case {
	const char *claims;
	enum ms_err want;
	const char *field;
};

#define OWN "\"iss\":\"https://issuer\",\"aud\":\"api\",\"sub\":\"7\""
#define VALID OWN ",\"exp\":1000100"

TEST(claims_are_checked)
{
	static const struct claims_case cases[] = {
		{"{" VALID "}", MS_OK, ""},
		{"{" VALID ",\"nbf\":999990,\"iat\":999990,\"jti\":\"x\"}", MS_OK, ""},
		{"{\"iss\":\"https://issuer\",\"aud\":[\"b\",\"api\"],\"sub\":\"7\",\"exp\":1000100}", MS_OK, ""},
		{"{\"aud\":\"api\",\"sub\":\"7\",\"exp\":1000100}", MS_ERR_TOKEN_INVALID, "iss"},
		{"{\"iss\":\"https://issuer/\",\"aud\":\"api\",\"sub\":\"7\",\"exp\":1000100}", MS_ERR_TOKEN_INVALID,
		 "iss"},
		{"{\"iss\":[\"https://issuer\"],\"aud\":\"api\",\"sub\":\"7\",\"exp\":1000100}", MS_ERR_TOKEN_INVALID,
		 "iss"},
		{"{\"iss\":\"https://issuer\",\"sub\":\"7\",\"exp\":1000100}", MS_ERR_TOKEN_INVALID, "aud"},
		{"{\"iss\":\"https://issuer\",\"aud\":\"API\",\"sub\":\"7\",\"exp\":1000100}", MS_ERR_TOKEN_INVALID,
		 "aud"},
		{"{\"iss\":\"https://issuer\",\"aud\":[],\"sub\":\"7\",\"exp\":1000100}", MS_ERR_TOKEN_INVALID, "aud"},
		{"{\"iss\":\"https://issuer\",\"aud\":[\"api\",1],\"sub\":\"7\",\"exp\":1000100}", MS_ERR_TOKEN_INVALID,
		 "aud"},
		{"{\"iss\":\"https://issuer\",\"aud\":{\"api\":1},\"sub\":\"7\",\"exp\":1000100}", MS_ERR_TOKEN_INVALID,
		 "aud"},
		{"{\"iss\":\"https://issuer\",\"aud\":\"api\",\"exp\":1000100}", MS_ERR_TOKEN_INVALID, "sub"},
		{"{\"iss\":\"https://issuer\",\"aud\":\"api\",\"sub\":\"\",\"exp\":1000100}", MS_ERR_TOKEN_INVALID,
		 "sub"},
		{"{\"iss\":\"https://issuer\",\"aud\":\"api\",\"sub\":7,\"exp\":1000100}", MS_ERR_TOKEN_INVALID, "sub"},
		{"{" OWN "}", MS_ERR_TOKEN_INVALID, "exp"},
		{"{" OWN ",\"exp\":\"1000100\"}", MS_ERR_TOKEN_INVALID, "exp"},
		{"{" OWN ",\"exp\":null}", MS_ERR_TOKEN_INVALID, "exp"},
		{"{" OWN ",\"exp\":1e300}", MS_ERR_TOKEN_INVALID, "exp"},
		{"{" OWN ",\"exp\":-1e300}", MS_ERR_TOKEN_INVALID, "exp"},
		{"{" OWN ",\"exp\":9007199254740992}", MS_OK, ""},
		// Valid before exp, with ten seconds of doubt.
		{"{" OWN ",\"exp\":999991}", MS_OK, ""},
		{"{" OWN ",\"exp\":999990}", MS_ERR_TOKEN_EXPIRED, ""},
		{"{" OWN ",\"exp\":999990.9}", MS_ERR_TOKEN_EXPIRED, ""},
		{"{" OWN ",\"exp\":0}", MS_ERR_TOKEN_EXPIRED, ""},
		{"{" OWN ",\"exp\":-5}", MS_ERR_TOKEN_EXPIRED, ""},
		{"{" VALID ",\"nbf\":1000010}", MS_OK, ""},
		{"{" VALID ",\"nbf\":1000011}", MS_ERR_TOKEN_EARLY, ""},
		{"{" VALID ",\"iat\":1000010.5}", MS_OK, ""},
		{"{" VALID ",\"iat\":1000011}", MS_ERR_TOKEN_EARLY, ""},
		{"{" VALID ",\"nbf\":true}", MS_ERR_TOKEN_INVALID, "nbf"},
		{"{" VALID ",\"jti\":5}", MS_ERR_TOKEN_INVALID, "jti"},
		{"{" VALID ",\"sub\":\"8\"}", MS_ERR_TOKEN_INVALID, ""}, // twice
		{"[]", MS_ERR_TOKEN_INVALID, ""},
		{"\"x\"", MS_ERR_TOKEN_INVALID, ""},
		{"", MS_ERR_TOKEN_INVALID, ""},
		{"{" VALID "},", MS_ERR_TOKEN_INVALID, ""},
	};
	struct arena a;
	ms_arena_init(&a, 4096, MEMORY);
	struct jose_key *key = test_key(KEY_HS256, JOSE_ALG_COUNT);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct jwt_claims claims;
		struct errinfo info;
		ms_errinfo_init(&info);
		const char *token = test_token(key, "{\"alg\":\"HS256\"}", cases[i].claims, &a);
		enum ms_err err =
			ms_jwt_verify(ms_slice_cstr(token), (struct jose_keys){&key, 1}, &policy, &a, &info, &claims);
		if (!CHECK_INT(err, cases[i].want) || !CHECK_STR(info.field, cases[i].field))
			printf("# %s\n", cases[i].claims);
	}
	ms_jose_key_unref(key);
	ms_arena_fini(&a);
}

TEST(claims_are_handed_out)
{
	struct arena a;
	struct jwt_claims c;
	ms_arena_init(&a, 4096, MEMORY);
	struct jose_key *key = test_key(KEY_HS256, JOSE_ALG_COUNT);
	const char *text = "{" VALID ",\"iat\":999999.75,\"scope\":\"a b\"}";
	const char *token = test_token(key, "{\"alg\":\"HS256\"}", text, &a);
	REQUIRE(ms_jwt_verify(ms_slice_cstr(token), (struct jose_keys){&key, 1}, &policy, &a, NULL, &c) == MS_OK);
	CHECK_SLICE(c.issuer, "https://issuer");
	CHECK_SLICE(c.subject, "7");
	CHECK(c.id.p == NULL);
	CHECK_INT(c.expires_s, 1000100);
	CHECK_INT(c.issued_s, 999999);
	CHECK_INT(c.not_before_s, INT64_MIN);
	struct slice scope = MS_SLICE_EMPTY;
	CHECK(ms_json_as_str(ms_json_get(c.all, "scope"), &scope));
	CHECK_SLICE(scope, "a b");
	ms_jose_key_unref(key);
	ms_arena_fini(&a);
}

TEST(types_are_promises)
{
	static const struct {
		const char *typ; // NULL: none
		const char *wanted;
		bool ok;
	} cases[] = {
		{NULL, "", true},
		{"JWT", "", true},
		{"jwt", "", true},
		{"application/jwt", "", true},
		{"at+jwt", "", false},
		{"logout+jwt", "", false},
		{"at+jwt", "at+jwt", true},
		{"AT+JWT", "at+jwt", true},
		{"application/at+jwt", "at+jwt", true},
		{"Application/AT+jwt", "at+jwt", true},
		{"at+jwt", "application/at+jwt", true},
		{"JWT", "at+jwt", false},
		{NULL, "at+jwt", false},
		{"at+jwtx", "at+jwt", false},
		{"text/at+jwt", "at+jwt", false},
		{"application/application/at+jwt", "at+jwt", false},
	};
	struct arena a;
	ms_arena_init(&a, 4096, MEMORY);
	struct jose_key *key = test_key(KEY_HS256, JOSE_ALG_COUNT);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct jwt_claims claims;
		struct jwt_policy p = policy;
		char header[128] = "{\"alg\":\"HS256\"}";
		p.typ = ms_slice_cstr(cases[i].wanted);
		if (cases[i].typ != NULL)
			snprintf(header, sizeof(header), "{\"alg\":\"HS256\",\"typ\":\"%s\"}", cases[i].typ);
		const char *token = test_token(key, header, "{" VALID "}", &a);
		enum ms_err err =
			ms_jwt_verify(ms_slice_cstr(token), (struct jose_keys){&key, 1}, &p, &a, NULL, &claims);
		if (!CHECK_INT(err, cases[i].ok ? MS_OK : MS_ERR_TOKEN_INVALID))
			printf("# %s for %s\n", cases[i].typ != NULL ? cases[i].typ : "none", cases[i].wanted);
	}
	ms_jose_key_unref(key);
	ms_arena_fini(&a);
}

TEST(an_expired_token_of_others_is_invalid_first)
{
	struct arena a;
	struct jwt_claims claims;
	ms_arena_init(&a, 4096, MEMORY);
	struct jose_key *key = test_key(KEY_HS256, JOSE_ALG_COUNT);
	char *token = (char *)(uintptr_t)test_token(key, "{\"alg\":\"HS256\"}", "{" OWN ",\"exp\":1}", &a);
	struct jose_keys keys = {&key, 1};
	CHECK_INT(ms_jwt_verify(ms_slice_cstr(token), keys, &policy, &a, NULL, &claims), MS_ERR_TOKEN_EXPIRED);
	token[strlen(token) - 10] ^= 1;
	CHECK_INT(ms_jwt_verify(ms_slice_cstr(token), keys, &policy, &a, NULL, &claims), MS_ERR_TOKEN_INVALID);
	ms_jose_key_unref(key);
	ms_arena_fini(&a);
}

TEST(errors_have_their_names)
{
	CHECK_STR(ms_err_name(MS_ERR_TOKEN_INVALID), "auth.token_invalid");
	CHECK_STR(ms_err_name(MS_ERR_TOKEN_EXPIRED), "auth.token_expired");
	CHECK_STR(ms_err_name(MS_ERR_TOKEN_EARLY), "auth.token_not_yet_valid");
	CHECK_INT(ms_err_http_status(MS_ERR_TOKEN_EARLY), 401);
}

static void verify_a_token(void)
{
	struct arena a;
	struct buf token;
	struct jose_key *key = NULL;
	struct jwt_claims claims;
	static const char secret[32] = "0123456789abcdef0123456789abcde";
	ms_arena_init(&a, 64, MEMORY);
	ms_buf_init(&token, MS_JWS_MAX);
	enum ms_err err = ms_jose_key_hmac(JOSE_HS256, ms_slice(secret, 32), MS_SLICE_EMPTY, NULL, &key);
	if (err == MS_OK)
		err = ms_jws_sign(key, MS_SLICE_EMPTY, MS_SLICE_LIT("{" VALID "}"), NULL, &token);
	if (err == MS_OK)
		err = ms_jwt_verify(ms_buf_slice(&token), (struct jose_keys){&key, 1}, &policy, &a, NULL, &claims);
	CHECK(err == MS_OK || ((err == MS_ERR_NO_MEMORY || err == MS_ERR_LIMIT) && ms_test_allocation_failed()));
	ms_jose_key_unref(key);
	ms_buf_fini(&token);
	ms_arena_fini(&a);
}

TEST(tokens_survive_failing_allocations)
{
	ms_test_torture(verify_a_token);
}
