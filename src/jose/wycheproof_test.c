// SPDX-License-Identifier: Apache-2.0
// Every JOSE case of the Wycheproof project (tests/vectors/README.md). What it calls valid is accepted and the rest refused, but for the
// cases listed here, each with its reason; a case that is listed and does not differ fails as well.
#include <stdio.h>

#include "jose/jose.h"

#include "tests/lib/test.h"

#define MEMORY ((size_t)64 << 20)

#define OTHER_ALG "the key is for another algorithm than the message; an algorithm belongs to a key"
#define NO_ES521 "the key's \"alg\" ES521 does not exist; RFC 7518 says ES512"
#define NO_BASE64 "holds a character that is not base64url"
#define SAME_AS_357 "is letter for letter the message of case 357, which is valid"
#define NO_RSA1_5 "RSA1_5 is never taken"
#define NO_ZIP "compressed plaintexts are never taken"

struct difference {
	int64_t id;
	const char *reason;
};
static const struct difference differences_signature[] = {
	{346, OTHER_ALG},   {347, NO_ES521},    {350, OTHER_ALG}, {351, NO_ES521},
	{367, SAME_AS_357}, {370, SAME_AS_357}, {372, NO_BASE64}, {373, NO_BASE64},
};
static const struct difference differences_encryption[] = {
	{100, NO_RSA1_5}, {101, NO_RSA1_5}, {102, NO_RSA1_5}, {103, NO_RSA1_5}, {104, NO_RSA1_5},
	{105, NO_RSA1_5}, {112, NO_RSA1_5}, {128, NO_RSA1_5}, {135, NO_ZIP},
};

struct suite {
	const char *file;
	size_t tests;
	const struct difference *differences;
	size_t count;
};

static struct slice as_text(const struct json_value *value, struct buf *out)
{
	struct slice text;
	ms_buf_clear(out);
	if (ms_json_as_str(value, &text)) {
		ms_buf_append_slice(out, text);
	} else { // a JSON serialisation, or a key
		struct json_writer w;
		ms_json_writer_init(&w, out);
		ms_json_value(&w, value);
	}
	REQUIRE(ms_buf_ok(out));
	return ms_buf_slice(out);
}

static bool jws_accepted(struct slice key_text, struct slice message, struct arena *arena)
{
	struct jose_keys keys = {0};
	struct jose_key *one = NULL;
	const struct json_value *key;
	struct jws jws;
	REQUIRE(ms_json_parse(key_text, NULL, arena, NULL, &key) == MS_OK);
	enum ms_err err;
	bool is_set = ms_json_get(key, "keys") != NULL;
	if (is_set) {
		err = ms_jose_keys_parse(key_text, 16, arena, NULL, &keys);
	} else {
		err = ms_jose_key_parse(key_text, JOSE_ALG_COUNT, NULL, &one);
		keys = (struct jose_keys){&one, 1};
	}
	if (err != MS_OK) {
		CHECK(err == MS_ERR_INVALID);
		return false;
	}
	err = ms_jws_verify(message, keys, arena, NULL, &jws);
	CHECK(err == MS_OK || err == MS_ERR_TOKEN_INVALID);
	for (size_t i = 0; i < keys.count; i++)
		ms_jose_key_unref(keys.keys[i]);
	return err == MS_OK;
}

static bool jwe_accepted(struct slice key_text, struct slice message, const char *plaintext_hex, struct arena *arena)
{
	struct jwe_key *key = NULL;
	struct jwe jwe;
	enum ms_err err = ms_jwe_key_parse(key_text, JWE_ALG_COUNT, NULL, &key);
	if (err != MS_OK) {
		CHECK(err == MS_ERR_INVALID);
		return false;
	}
	const struct jwe_key *keys[] = {key};
	err = ms_jwe_open(message, keys, 1, arena, NULL, &jwe);
	CHECK(err == MS_OK || err == MS_ERR_TOKEN_INVALID);
	struct slice want;
	if (err == MS_OK && plaintext_hex != NULL && ms_hex_decode(ms_slice_cstr(plaintext_hex), arena, &want))
		CHECK(ms_slice_eq(jwe.plaintext, want));
	ms_jwe_key_free(key);
	return err == MS_OK;
}

static bool accepted(const struct json_value *group, const struct json_value *test, struct arena *arena)
{
	struct buf key, message;
	ms_buf_init(&key, MEMORY);
	ms_buf_init(&message, MEMORY);
	const struct json_value *jws = ms_json_get(test, "jws"), *public_key = ms_json_get(group, "public");
	const struct json_value *private_key = ms_json_get(group, "private");
	bool ok;
	if (jws != NULL) {
		ok = jws_accepted(as_text(public_key != NULL ? public_key : private_key, &key), as_text(jws, &message),
				  arena);
	} else {
		struct slice hex;
		char *text = ms_json_as_str(ms_json_get(test, "pt"), &hex) ? ms_arena_cstr(arena, hex) : NULL;
		ok = jwe_accepted(as_text(private_key, &key), as_text(ms_json_get(test, "jwe"), &message), text, arena);
	}
	ms_buf_fini(&message);
	ms_buf_fini(&key);
	return ok;
}

static bool is_difference(const struct suite *suite, int64_t id)
{
	for (size_t i = 0; i < suite->count; i++) {
		if (suite->differences[i].id == id)
			return true;
	}
	return false;
}

static void run(const struct suite *suite)
{
	struct arena all, one;
	const struct json_value *doc;
	ms_arena_init(&all, 65536, MEMORY);
	ms_arena_init(&one, 65536, MEMORY);
	REQUIRE(ms_json_parse(ms_test_file(suite->file), NULL, &all, NULL, &doc) == MS_OK);
	const struct json_value *groups = ms_json_get(doc, "testGroups");
	size_t seen = 0, different = 0;
	for (size_t i = 0; i < groups->array.count; i++) {
		const struct json_value *group = &groups->array.items[i], *tests = ms_json_get(group, "tests");
		for (size_t k = 0; k < tests->array.count; k++) {
			const struct json_value *test = &tests->array.items[k];
			int64_t id = 0;
			struct slice result = MS_SLICE_EMPTY, comment = MS_SLICE_EMPTY;
			REQUIRE(ms_json_as_i64(ms_json_get(test, "tcId"), &id));
			REQUIRE(ms_json_as_str(ms_json_get(test, "result"), &result));
			REQUIRE(ms_json_as_str(ms_json_get(test, "comment"), &comment));
			bool differs = accepted(group, test, &one) != ms_slice_eq_cstr(result, "valid");
			if (!CHECK(differs == is_difference(suite, id)))
				printf("# %s %d %.*s: %.*s\n", suite->file, (int)id, MS_SLICE_ARG(comment),
				       MS_SLICE_ARG(result));
			different += differs;
			seen++;
			ms_arena_reset(&one);
		}
	}
	CHECK_INT(seen, suite->tests);
	CHECK_INT(different, suite->count);
	ms_arena_fini(&one);
	ms_arena_fini(&all);
}

TEST(wycheproof_signatures)
{
	run(&(struct suite){"tests/vectors/wycheproof/json_web_signature_test.json", 401, differences_signature,
			    MS_ARRAY_LEN(differences_signature)});
}

// RFC 7520, figures 20 and 27, whose keys say a wrong or unknown "alg" there.
TEST(rfc_7520_figures_verify_with_the_right_algorithm)
{
	static const struct {
		int64_t id;
		const char *wrong, *right;
	} figures[] = {{346, "PS256", "PS384"}, {347, "ES521", "ES512"}};
	struct arena arena;
	const struct json_value *doc;
	size_t seen = 0;
	ms_arena_init(&arena, 65536, MEMORY);
	REQUIRE(ms_json_parse(ms_test_file("tests/vectors/wycheproof/json_web_signature_test.json"), NULL, &arena, NULL,
			      &doc) == MS_OK);
	const struct json_value *groups = ms_json_get(doc, "testGroups");
	for (size_t i = 0; i < groups->array.count; i++) {
		const struct json_value *test = &ms_json_get(&groups->array.items[i], "tests")->array.items[0];
		int64_t id = 0;
		REQUIRE(ms_json_as_i64(ms_json_get(test, "tcId"), &id));
		for (size_t k = 0; k < MS_ARRAY_LEN(figures); k++) {
			struct slice token = MS_SLICE_EMPTY;
			if (id != figures[k].id || !ms_json_as_str(ms_json_get(test, "jws"), &token))
				continue;
			struct buf key;
			ms_buf_init(&key, 65536);
			as_text(ms_json_get(&groups->array.items[i], "public"), &key);
			char *at = memmem(key.p, key.n, figures[k].wrong, 5);
			REQUIRE(at != NULL);
			memcpy(at, figures[k].right, 5);
			CHECK(jws_accepted(ms_buf_slice(&key), token, &arena));
			ms_buf_fini(&key);
			seen++;
		}
	}
	CHECK_INT(seen, MS_ARRAY_LEN(figures));
	ms_arena_fini(&arena);
}

TEST(wycheproof_keys)
{
	run(&(struct suite){"tests/vectors/wycheproof/json_web_key_test.json", 26, NULL, 0});
}

TEST(wycheproof_tokens)
{
	run(&(struct suite){"tests/vectors/wycheproof/json_web_crypto_test.json", 83, NULL, 0});
}

TEST(wycheproof_encryption)
{
	run(&(struct suite){"tests/vectors/wycheproof/json_web_encryption_test.json", 139, differences_encryption,
			    MS_ARRAY_LEN(differences_encryption)});
}
