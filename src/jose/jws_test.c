// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <stdio.h>

#include "jose/jose.h"
#include "jose/jose_test_kit.h"

#include "tests/lib/test.h"

#define MEMORY ((size_t)4 << 20)

static enum ms_err verify(const char *token, const struct jose_key *key, struct arena *arena, struct jws *ret_jws)
{
	struct jose_key *one = (struct jose_key *)(uintptr_t)key;
	return ms_jws_verify(ms_slice_cstr(token), (struct jose_keys){&one, 1}, arena, NULL, ret_jws);
}

#define PAYLOAD "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

TEST(examples_of_the_rfcs_verify)
{
	static const struct {
		const char *jwk;
		enum jose_alg fallback;
		const char *token, *payload;
	} cases[] = {
		{KEY_HS256, JOSE_ALG_COUNT,
		 "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." PAYLOAD ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
		 "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"},
		{KEY_ES256, JOSE_ALG_COUNT,
		 "eyJhbGciOiJFUzI1NiJ9." PAYLOAD
		 ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
		 "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"},
		{KEY_ED25519, JOSE_ED25519,
		 "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-"
		 "09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5B"
		 "hVsPt9g7sVvpAr_MuM0KAg",
		 "Example of Ed25519 signing"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct arena a;
		struct jws jws;
		ms_arena_init(&a, 4096, MEMORY);
		struct jose_key *key = test_key(cases[i].jwk, cases[i].fallback);
		CHECK_OK(verify(cases[i].token, key, &a, &jws));
		CHECK_SLICE(jws.payload, cases[i].payload);
		CHECK(jws.key == key);
		ms_jose_key_unref(key);
		ms_arena_fini(&a);
	}
}

TEST(every_algorithm_signs_what_it_verifies)
{
	for (unsigned alg = 0; alg < JOSE_ALG_COUNT; alg++) {
		struct arena a;
		struct buf token;
		struct jws jws;
		struct jose_key *key = NULL, *other = NULL;
		static const char secret[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdefghij";
		ms_arena_init(&a, 4096, MEMORY);
		ms_buf_init(&token, MS_JWS_MAX);
		if (alg <= JOSE_HS512) {
			REQUIRE(ms_jose_key_hmac(alg, ms_slice(secret, 64), MS_SLICE_LIT("a"), NULL, &key) == MS_OK);
			REQUIRE(ms_jose_key_hmac(alg, ms_slice(secret + 1, 64), MS_SLICE_LIT("b"), NULL, &other) ==
				MS_OK);
		} else {
			REQUIRE(ms_jose_key_generate(alg, NULL, &key) == MS_OK);
			if (alg >= JOSE_RS256 && alg <= JOSE_PS512) { // making one takes long
				char jwk[1024];
				snprintf(jwk, sizeof(jwk), KEY_RSA_FOR("%s"), ms_jose_alg_name(alg));
				other = test_key(jwk, JOSE_ALG_COUNT);
			} else {
				REQUIRE(ms_jose_key_generate(alg, NULL, &other) == MS_OK);
			}
		}
		CHECK(ms_jose_key_is_private(key) && ms_jose_key_alg(key) == (enum jose_alg)alg);
		CHECK_OK(ms_jws_sign(key, MS_SLICE_LIT("at+jwt"), MS_SLICE_LIT("{\"a\":1}"), NULL, &token));
		ms_buf_append_char(&token, '\0');
		struct jose_key *set[] = {other, key};
		CHECK_OK(ms_jws_verify(ms_slice_cstr(token.p), (struct jose_keys){set, 2}, &a, NULL, &jws));
		CHECK_SLICE(jws.payload, "{\"a\":1}");
		CHECK_SLICE(jws.typ, "at+jwt");
		CHECK(jws.key == key);
		CHECK_INT(verify(token.p, other, &a, &jws), MS_ERR_TOKEN_INVALID);
		// Without kid: the only key of that algorithm, or none.
		char header[64];
		snprintf(header, sizeof(header), "{\"alg\":\"%s\"}", ms_jose_alg_name(alg));
		const char *bare = test_token(key, header, "x", &a);
		CHECK_OK(verify(bare, key, &a, &jws));
		CHECK_INT(verify(bare, other, &a, &jws), MS_ERR_TOKEN_INVALID);
		CHECK_INT(ms_jws_verify(ms_slice_cstr(bare), (struct jose_keys){set, 2}, &a, NULL, &jws),
			  MS_ERR_TOKEN_INVALID);
		ms_jose_key_unref(key);
		ms_jose_key_unref(other);
		ms_buf_fini(&token);
		ms_arena_fini(&a);
	}
}

TEST(no_byte_of_a_token_may_change)
{
	struct arena a;
	struct jws jws;
	ms_arena_init(&a, 4096, MEMORY);
	struct jose_key *key = test_key(KEY_ES256, JOSE_ALG_COUNT);
	struct buf token;
	ms_buf_init(&token, MS_JWS_MAX);
	CHECK_OK(ms_jws_sign(key, MS_SLICE_EMPTY, MS_SLICE_LIT("payload"), NULL, &token));
	struct jose_keys keys = {&key, 1};
	CHECK_OK(ms_jws_verify(ms_buf_slice(&token), keys, &a, NULL, &jws));
	for (size_t i = 0; i < token.n; i++) {
		char old = token.p[i];
		static const char others[] = "AB.=+/ \n_";
		for (const char *c = others; *c != '\0'; c++) {
			token.p[i] = *c;
			if (*c != old)
				CHECK_INT(ms_jws_verify(ms_buf_slice(&token), keys, &a, NULL, &jws),
					  MS_ERR_TOKEN_INVALID);
		}
		token.p[i] = old;
		CHECK_INT(ms_jws_verify(ms_slice(token.p, i), keys, &a, NULL, &jws), MS_ERR_TOKEN_INVALID);
		ms_arena_reset(&a);
	}
	ms_buf_append_char(&token, 'A');
	CHECK_INT(ms_jws_verify(ms_buf_slice(&token), keys, &a, NULL, &jws), MS_ERR_TOKEN_INVALID);
	ms_buf_fini(&token);
	ms_jose_key_unref(key);
	ms_arena_fini(&a);
}

TEST(headers_that_say_too_much_or_too_little_are_refused)
{
	static const struct {
		const char *header;
		bool ok;
	} cases[] = {
		{"{\"alg\":\"HS256\"}", true},
		{"{\"alg\":\"HS256\",\"typ\":\"JWT\",\"cty\":\"x\",\"more\":[1,{}]}", true},
		// Keys that a message brings are not looked at.
		{"{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AA\"},\"jku\":\"https://a\",\"x5u\":\"https://"
		 "a\",\"x5c\":[\"a\"]}",
		 true},
		{"{\"alg\":\"hs256\"}", false},
		{"{\"alg\":\"none\"}", false},
		{"{\"alg\":\"HS384\"}", false},
		{"{\"alg\":\"RS256\"}", false},
		{"{\"alg\":\"\"}", false},
		{"{\"alg\":null}", false},
		{"{\"alg\":[\"HS256\"]}", false},
		{"{\"typ\":\"JWT\"}", false},
		{"{}", false},
		{"[]", false},
		{"", false},
		{"{\"alg\":\"HS256\"", false},
		{"{\"alg\":\"HS256\"} x", false},
		{"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", false},
		{"{\"alg\":\"HS256\",\"x\":{\"a\":1,\"a\":2}}", false},
		{"{\"alg\":\"HS256\",\"crit\":[]}", false},
		{"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", false},
		{"{\"alg\":\"HS256\",\"kid\":1}", false},
		{"{\"alg\":\"HS256\",\"kid\":\"\"}", false},
		{"{\"alg\":\"HS256\",\"kid\":\"other\"}", false},
		{"{\"alg\":\"HS256\",\"typ\":{}}", false},
		{"{\"alg\":\"HS256\",\"x\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", false},
		{"{\"alg\":\"HS256\",\"x\":\"\xff\"}", false},
	};
	struct arena a;
	struct jws jws;
	ms_arena_init(&a, 4096, MEMORY);
	struct jose_key *key = test_key(KEY_HS256, JOSE_ALG_COUNT);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		enum ms_err err = verify(test_token(key, cases[i].header, "x", &a), key, &a, &jws);
		if (!CHECK_INT(err, cases[i].ok ? MS_OK : MS_ERR_TOKEN_INVALID))
			printf("# %s\n", cases[i].header);
	}
	ms_jose_key_unref(key);
	ms_arena_fini(&a);
}

// The classic confusion: an HMAC whose secret is the text of a public key.
TEST(a_public_key_is_no_secret)
{
	struct arena a;
	struct jws jws;
	struct buf pem;
	ms_arena_init(&a, 4096, MEMORY);
	ms_buf_init(&pem, 8192);
	struct jose_key *rsa = test_key(KEY_RSA, JOSE_ALG_COUNT), *hmac = NULL;
	ms_jose_key_write(rsa, false, &pem);
	CHECK_OK(ms_jose_key_hmac(JOSE_HS256, ms_buf_slice(&pem), ms_jose_key_id(rsa), NULL, &hmac));
	CHECK_INT(verify(test_token(hmac, "{\"alg\":\"HS256\"}", "x", &a), rsa, &a, &jws), MS_ERR_TOKEN_INVALID);
	CHECK_INT(verify(test_token(hmac, "{\"alg\":\"RS256\"}", "x", &a), rsa, &a, &jws), MS_ERR_TOKEN_INVALID);
	ms_jose_key_unref(hmac);
	ms_jose_key_unref(rsa);
	ms_buf_fini(&pem);
	ms_arena_fini(&a);
}

TEST(ed25519_is_read_by_both_names)
{
	struct arena a;
	struct jws jws;
	ms_arena_init(&a, 4096, MEMORY);
	struct jose_key *key = test_key(KEY_ED25519, JOSE_ED25519);
	CHECK_OK(verify(test_token(key, "{\"alg\":\"EdDSA\"}", "x", &a), key, &a, &jws));
	CHECK_OK(verify(test_token(key, "{\"alg\":\"Ed25519\"}", "x", &a), key, &a, &jws));
	CHECK_INT(verify(test_token(key, "{\"alg\":\"Ed448\"}", "x", &a), key, &a, &jws), MS_ERR_TOKEN_INVALID);
	ms_jose_key_unref(key);
	ms_arena_fini(&a);
}

TEST(tokens_have_a_longest_length)
{
	struct arena a;
	struct jws jws;
	struct buf token;
	ms_arena_init(&a, 4096, MEMORY);
	ms_buf_init(&token, MS_JWS_MAX * 2);
	struct jose_key *key = test_key(KEY_HS256, JOSE_ALG_COUNT);
	static char payload[MS_JWS_MAX];
	memset(payload, 'x', sizeof(payload));
	CHECK_OK(ms_jws_sign(key, MS_SLICE_EMPTY, ms_slice(payload, 40000), NULL, &token));
	CHECK_OK(ms_jws_verify(ms_buf_slice(&token), (struct jose_keys){&key, 1}, &a, NULL, &jws));
	ms_buf_clear(&token);
	CHECK_OK(ms_jws_sign(key, MS_SLICE_EMPTY, ms_slice(payload, 50000), NULL, &token));
	CHECK_INT(ms_jws_verify(ms_buf_slice(&token), (struct jose_keys){&key, 1}, &a, NULL, &jws),
		  MS_ERR_TOKEN_INVALID);
	// An arena that is too small is no fault of the token.
	struct arena small;
	ms_arena_init(&small, 256, 512);
	ms_buf_clear(&token);
	CHECK_OK(ms_jws_sign(key, MS_SLICE_EMPTY, ms_slice(payload, 4000), NULL, &token));
	CHECK_INT(ms_jws_verify(ms_buf_slice(&token), (struct jose_keys){&key, 1}, &small, NULL, &jws),
		  MS_ERR_NO_MEMORY);
	ms_arena_fini(&small);
	ms_jose_key_unref(key);
	ms_buf_fini(&token);
	ms_arena_fini(&a);
}

#define THREADS 4

static void *use_keys(void *data)
{
	struct jose_key **keys = data;
	struct arena a;
	struct buf token;
	ms_arena_init(&a, 4096, MEMORY);
	ms_buf_init(&token, MS_JWS_MAX);
	size_t good = 0;
	for (size_t i = 0; i < 60; i++) {
		struct jws jws;
		struct jose_key *key = ms_jose_key_ref(keys[i % 3]);
		ms_buf_clear(&token);
		ms_arena_reset(&a);
		if (ms_jws_sign(key, MS_SLICE_EMPTY, MS_SLICE_LIT("payload"), NULL, &token) == MS_OK &&
		    ms_jws_verify(ms_buf_slice(&token), (struct jose_keys){keys, 3}, &a, NULL, &jws) == MS_OK &&
		    jws.key == key)
			good++;
		ms_jose_key_unref(key);
	}
	ms_buf_fini(&token);
	ms_arena_fini(&a);
	return (void *)(uintptr_t)good;
}

TEST(keys_may_be_used_by_many_threads)
{
	struct jose_key *keys[] = {test_key(KEY_HS256, JOSE_ALG_COUNT), test_key(KEY_ES256, JOSE_ALG_COUNT),
				   test_key(KEY_ED25519, JOSE_ED25519)};
	pthread_t threads[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		REQUIRE(pthread_create(&threads[i], NULL, use_keys, keys) == 0);
	for (size_t i = 0; i < THREADS; i++) {
		void *good = NULL;
		CHECK(pthread_join(threads[i], &good) == 0 && (uintptr_t)good == 60);
	}
	for (size_t i = 0; i < 3; i++)
		ms_jose_key_unref(keys[i]);
}

static void sign_and_verify(void)
{
	struct arena a;
	struct jws jws;
	struct buf token;
	struct jose_key *key = NULL;
	ms_arena_init(&a, 64, MEMORY);
	ms_buf_init(&token, MS_JWS_MAX);
	enum ms_err err = ms_jose_key_parse(MS_SLICE_LIT(KEY_ES256), JOSE_ALG_COUNT, NULL, &key);
	if (err == MS_OK)
		err = ms_jws_sign(key, MS_SLICE_LIT("JWT"), MS_SLICE_LIT("payload"), NULL, &token);
	if (err == MS_OK)
		err = ms_jws_verify(ms_buf_slice(&token), (struct jose_keys){&key, 1}, &a, NULL, &jws);
	CHECK(err == MS_OK || ((err == MS_ERR_NO_MEMORY || err == MS_ERR_LIMIT) && ms_test_allocation_failed()));
	ms_jose_key_unref(key);
	ms_buf_fini(&token);
	ms_arena_fini(&a);
}

TEST(signatures_survive_failing_allocations)
{
	ms_test_torture(sign_and_verify);
}
