// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "jose/jose.h"
#include "jose/jose_test_kit.h"

#include "tests/lib/test.h"

#define MEMORY ((size_t)4 << 20)

TEST(thumbprints_match_the_rfcs)
{
	struct jose_key *rsa = test_key(KEY_RSA, JOSE_ALG_COUNT), *ed = test_key(KEY_ED25519, JOSE_ED25519);
	CHECK_SLICE(ms_jose_key_id(rsa), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
	CHECK_SLICE(ms_jose_key_id(ed), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
	CHECK(!ms_jose_key_is_private(rsa) && ms_jose_key_is_private(ed));
	ms_jose_key_unref(rsa);
	ms_jose_key_unref(ed);
}

TEST(algorithms_have_exact_names)
{
	enum jose_alg alg;
	for (unsigned i = 0; i < JOSE_ALG_COUNT; i++)
		CHECK(ms_jose_alg_find(ms_slice_cstr(ms_jose_alg_name(i)), &alg) && alg == (enum jose_alg)i);
	CHECK(ms_jose_alg_find(MS_SLICE_LIT("Ed25519"), &alg) && alg == JOSE_ED25519);
	static const char *const none[] = {"", "none", "hs256", "HS256 ", "ES256K", "eddsa", "RSA1_5"};
	for (size_t i = 0; i < MS_ARRAY_LEN(none); i++)
		CHECK(!ms_jose_alg_find(ms_slice_cstr(none[i]), &alg));
}

TEST(what_is_written_is_the_same_key)
{
	for (unsigned alg = 0; alg < JOSE_ALG_COUNT; alg++) {
		if (alg > JOSE_RS256 && alg < JOSE_PS512)
			continue; // the same keys, and making them takes long
		struct jose_key *key = NULL;
		static const char secret[64] = "x";
		struct buf all, open, again;
		ms_buf_init(&all, 65536);
		ms_buf_init(&open, 65536);
		ms_buf_init(&again, 65536);
		REQUIRE((alg <= JOSE_HS512 ? ms_jose_key_hmac(alg, ms_slice(secret, 64), MS_SLICE_EMPTY, NULL, &key)
					   : ms_jose_key_generate(alg, NULL, &key)) == MS_OK);
		ms_jose_key_write(key, true, &all);
		ms_buf_append_char(&all, '\0');
		struct jose_key *copy = test_key(all.p, JOSE_ALG_COUNT);
		CHECK(ms_slice_eq(ms_jose_key_id(copy), ms_jose_key_id(key)));
		CHECK(ms_jose_key_is_private(copy));
		ms_jose_key_write(copy, true, &again);
		CHECK_SLICE(ms_buf_slice(&again), all.p);
		if (alg > JOSE_HS512) {
			ms_jose_key_write(copy, false, &open);
			ms_buf_append_char(&open, '\0');
			CHECK(strstr(all.p, "\"d\":") != NULL && strstr(open.p, "\"d\":") == NULL &&
			      strstr(open.p, "\"p\":") == NULL);
			struct jose_key *bare = test_key(open.p, JOSE_ALG_COUNT);
			CHECK(!ms_jose_key_is_private(bare) && ms_slice_eq(ms_jose_key_id(bare), ms_jose_key_id(key)));
			ms_jose_key_unref(bare);
		}
		ms_jose_key_unref(copy);
		ms_jose_key_unref(key);
		ms_buf_fini(&all);
		ms_buf_fini(&open);
		ms_buf_fini(&again);
	}
}

#define EC_REST "\"crv\":\"P-256\"," EC_X "," EC_Y
#define K32 "\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr8\""

TEST(keys_that_are_not_whole_or_not_for_us_are_refused)
{
	static const struct {
		const char *jwk, *why; // why NULL: accepted
	} cases[] = {
		{"{\"kty\":\"EC\",\"alg\":\"ES256\"," EC_REST "}", NULL},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"use\":\"sig\",\"key_ops\":[\"verify\"],\"x5c\":[\"x\"],\"more\":{"
		 "}," EC_REST "}",
		 NULL},
		{"{\"kty\":\"oct\",\"alg\":\"HS256\"," K32 "}", NULL},
		{"{\"kty\":\"EC\"," EC_REST "}", "\"alg\""},
		{"{\"kty\":\"EC\",\"alg\":\"ES999\"," EC_REST "}", "none that is known"},
		{"{\"kty\":\"EC\",\"alg\":\"ES384\"," EC_REST "}", "curve"},
		{"{\"kty\":\"EC\",\"alg\":\"RS256\"," EC_REST "}", "\"kty\" RSA"},
		{"{\"kty\":\"ec\",\"alg\":\"ES256\"," EC_REST "}", "\"kty\" EC"},
		{"{\"kty\":\"EC\",\"alg\":\"EdDSA\"," EC_REST "}", "\"kty\" OKP"},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"use\":\"enc\"," EC_REST "}", "signatures"},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"use\":\"x\"," EC_REST "}", "signatures"},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"use\":\"\"," EC_REST "}", "\"use\""},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"key_ops\":[\"encrypt\"]," EC_REST "}", "signatures"},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"key_ops\":[\"verify\",\"verify\"]," EC_REST "}", "once"},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"key_ops\":\"verify\"," EC_REST "}", "array"},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"key_ops\":[1]," EC_REST "}", "strings"},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"kid\":5," EC_REST "}", "\"kid\""},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"crv\":\"P-256\"," EC_X "}", "\"y\""},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"crv\":\"P-256\"," EC_X "," EC_X ",\"y\":\"AA\"}", "twice"},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"crv\":\"P-256\"," EC_X ",\"y\":\"AA\"}", "32 bytes"},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"crv\":\"P-256\"," EC_X
		 ",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0=\"}",
		 "base64url"},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\",\"crv\":\"P-256\"," EC_X
		 ",\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a4\"}",
		 "belong together"},
		{"{\"kty\":\"EC\",\"alg\":\"ES256\"," EC_REST ",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LM\"}",
		 "belong together"},
		{"{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLg\"}",
		 "32 to 1024 bytes"},
		{"{\"kty\":\"oct\",\"alg\":\"HS384\"," K32 "}", "48 to 1024 bytes"},
		{"{\"kty\":\"oct\",\"alg\":\"HS256\"}", "\"k\""},
		{"{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"\"}", "not empty"},
		{"{\"kty\":\"RSA\",\"alg\":\"RS256\",\"n\":\"AA" RSA_N "\",\"e\":\"AQAB\"}", "zero byte"},
		{"{\"kty\":\"RSA\",\"alg\":\"RS256\",\"n\":\"" RSA_N "\",\"e\":\"Aw\"}", "public exponent"},
		{"{\"kty\":\"RSA\",\"alg\":\"RS256\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"d\":\"AQAB\"}", "d, p, q"},
		{"{\"kty\":\"RSA\",\"alg\":\"RS256\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"oth\":[]}", "two primes"},
		{"{\"alg\":\"ES256\"," EC_REST "}", "\"kty\""},
		{"[]", "object"},
		{"{", "line 1"},
		{"", "line 1"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct jose_key *key = NULL;
		struct errinfo info;
		ms_errinfo_init(&info);
		enum ms_err err = ms_jose_key_parse(ms_slice_cstr(cases[i].jwk), JOSE_ALG_COUNT, &info, &key);
		bool ok = CHECK((err == MS_OK) == (cases[i].why == NULL));
		if (cases[i].why != NULL)
			ok = CHECK_HAS(info.message, cases[i].why) && ok;
		if (!ok)
			printf("# %s\n", cases[i].jwk);
		ms_jose_key_unref(key);
	}
}

TEST(operations_of_a_key_are_kept)
{
	struct arena a;
	struct buf token;
	struct jws jws;
	ms_arena_init(&a, 4096, MEMORY);
	ms_buf_init(&token, 4096);
	struct jose_key *signs = test_key(
		"{\"kty\":\"EC\",\"alg\":\"ES256\",\"key_ops\":[\"sign\"]," EC_REST "," EC_D "}", JOSE_ALG_COUNT);
	struct jose_key *verifies = test_key(
		"{\"kty\":\"EC\",\"alg\":\"ES256\",\"key_ops\":[\"verify\"]," EC_REST "," EC_D "}", JOSE_ALG_COUNT);
	CHECK(ms_jose_key_is_private(signs) && !ms_jose_key_is_private(verifies));
	CHECK_OK(ms_jws_sign(signs, MS_SLICE_EMPTY, MS_SLICE_LIT("x"), NULL, &token));
	CHECK_OK(ms_jws_verify(ms_buf_slice(&token), (struct jose_keys){&verifies, 1}, &a, NULL, &jws));
	CHECK_INT(ms_jws_verify(ms_buf_slice(&token), (struct jose_keys){&signs, 1}, &a, NULL, &jws),
		  MS_ERR_TOKEN_INVALID);
	ms_jose_key_unref(signs);
	ms_jose_key_unref(verifies);
	ms_buf_fini(&token);
	ms_arena_fini(&a);
}

TEST(secrets_have_at_least_the_size_of_the_hash)
{
	static const char secret[2000];
	static const struct {
		enum jose_alg alg;
		size_t n;
	} least[] = {{JOSE_HS256, 32}, {JOSE_HS384, 48}, {JOSE_HS512, 64}};
	for (size_t i = 0; i < MS_ARRAY_LEN(least); i++) {
		struct jose_key *key = NULL;
		CHECK_INT(ms_jose_key_hmac(least[i].alg, ms_slice(secret, least[i].n - 1), MS_SLICE_EMPTY, NULL, &key),
			  MS_ERR_INVALID);
		CHECK_INT(ms_jose_key_hmac(least[i].alg, ms_slice(secret, 1025), MS_SLICE_EMPTY, NULL, &key),
			  MS_ERR_INVALID);
		CHECK_OK(ms_jose_key_hmac(least[i].alg, ms_slice(secret, least[i].n), MS_SLICE_EMPTY, NULL, &key));
		ms_jose_key_unref(key);
	}
	struct jose_key *key = NULL;
	CHECK_INT(ms_jose_key_hmac(JOSE_HS256, ms_slice(secret, 32), ms_slice(secret, 257), NULL, &key),
		  MS_ERR_INVALID);
}

TEST(pem_keys_fit_their_algorithm)
{
	static const char pem[] =
		"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n"
		"-----END PRIVATE KEY-----\n";
	struct jose_key *key = NULL;
	CHECK_OK(ms_jose_key_parse_pem(MS_SLICE_LIT(pem), JOSE_ED25519, MS_SLICE_LIT("mine"), NULL, &key));
	REQUIRE(key != NULL);
	CHECK_SLICE(ms_jose_key_id(key), "mine");
	CHECK(ms_jose_key_is_private(key));
	ms_jose_key_unref(key);
	CHECK_INT(ms_jose_key_parse_pem(MS_SLICE_LIT(pem), JOSE_ES256, MS_SLICE_EMPTY, NULL, &key), MS_ERR_INVALID);
}

// --- Sets ---

#define EC_A "{\"kty\":\"EC\",\"kid\":\"a\"," EC_REST "}"
#define RSA_B "{\"kty\":\"RSA\",\"kid\":\"b\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\"}"

TEST(sets_pass_over_what_is_not_theirs)
{
	static const char jwks[] =
		"{\"keys\":[" EC_A ",{\"kty\":\"XX\"},{\"kty\":\"EC\",\"use\":\"enc\",\"kid\":\"a\"," EC_REST "},"
		"{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\"},{}," RSA_B ",{\"kty\":\"oct\"," K32 "},"
		"{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}],\"more\":1}";
	struct arena a;
	struct jose_keys keys;
	ms_arena_init(&a, 4096, MEMORY);
	CHECK_OK(ms_jose_keys_parse(MS_SLICE_LIT(jwks), 8, &a, NULL, &keys));
	REQUIRE(keys.count == 2);
	CHECK_SLICE(ms_jose_key_id(keys.keys[0]), "a");
	CHECK_INT(ms_jose_key_alg(keys.keys[0]), JOSE_ES256);
	CHECK_SLICE(ms_jose_key_id(keys.keys[1]), "b");
	CHECK_INT(ms_jose_key_alg(keys.keys[1]), JOSE_RS256);
	for (size_t i = 0; i < keys.count; i++)
		ms_jose_key_unref(keys.keys[i]);
	CHECK_OK(ms_jose_keys_parse(MS_SLICE_LIT("{\"keys\":[]}"), 8, &a, NULL, &keys));
	CHECK_INT(keys.count, 0);
	ms_arena_fini(&a);
}

// RFC 7517, A.1: a key for encryption, and one for signatures.
TEST(the_example_set_of_rfc_7517_has_one_key_for_us)
{
	static const char jwks[] =
		"{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
		"\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\",\"use\":\"enc\",\"kid\":\"1\"},"
		"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}]}";
	struct arena a;
	struct jose_keys keys;
	struct jose_key *key = NULL;
	ms_arena_init(&a, 4096, MEMORY);
	CHECK_OK(ms_jose_keys_parse(MS_SLICE_LIT(jwks), 8, &a, NULL, &keys));
	REQUIRE(keys.count == 1);
	CHECK_SLICE(ms_jose_key_id(keys.keys[0]), "2011-04-29");
	ms_jose_key_unref(keys.keys[0]);
	// The other is whole, too: only its use is not ours.
	CHECK_OK(ms_jose_key_parse(
		MS_SLICE_LIT("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
			     "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}"),
		JOSE_ES256, NULL, &key));
	ms_jose_key_unref(key);
	ms_arena_fini(&a);
}

TEST(sets_that_are_ambiguous_are_refused)
{
	static const struct {
		const char *jwks;
		enum ms_err want;
	} cases[] = {
		{"{\"keys\":[" EC_A "," EC_A "]}", MS_ERR_INVALID},
		{"{\"keys\":[" EC_A "," RSA_B "," RSA_B "]}", MS_ERR_INVALID},
		{"{\"keys\":[" EC_A ",{\"kty\":\"oct\",\"kid\":\"c\",\"alg\":\"HS256\"," K32 "}]}", MS_ERR_INVALID},
		{"{\"keys\":[{},{},{},{}]}", MS_ERR_LIMIT},
		{"{\"keys\":[1]}", MS_ERR_INVALID},
		{"{\"keys\":{}}", MS_ERR_INVALID},
		{"{}", MS_ERR_INVALID},
		{"[]", MS_ERR_INVALID},
		{"{\"keys\":[],\"keys\":[]}", MS_ERR_JSON_DUPLICATE_KEY},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct arena a;
		struct jose_keys keys;
		ms_arena_init(&a, 4096, MEMORY);
		if (!CHECK_INT(ms_jose_keys_parse(ms_slice_cstr(cases[i].jwks), 3, &a, NULL, &keys), cases[i].want))
			printf("# %s\n", cases[i].jwks);
		ms_arena_fini(&a);
	}
}

static void parse_a_set(void)
{
	struct arena a;
	struct jose_keys keys;
	ms_arena_init(&a, 64, MEMORY);
	struct buf text;
	ms_buf_init(&text, 65536);
	enum ms_err err = ms_jose_keys_parse(MS_SLICE_LIT("{\"keys\":[" EC_A "," RSA_B "]}"), 8, &a, NULL, &keys);
	if (err == MS_OK) {
		CHECK_INT(keys.count, 2);
		for (size_t i = 0; i < keys.count; i++) {
			ms_jose_key_write(keys.keys[i], false, &text);
			ms_jose_key_unref(keys.keys[i]);
		}
		CHECK(ms_buf_ok(&text) || ms_test_allocation_failed());
	} else {
		CHECK(ms_test_allocation_failed() && (err == MS_ERR_NO_MEMORY || err == MS_ERR_LIMIT));
	}
	ms_buf_fini(&text);
	ms_arena_fini(&a);
}

TEST(sets_survive_failing_allocations)
{
	ms_test_torture(parse_a_set);
}
