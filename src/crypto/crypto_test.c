// SPDX-License-Identifier: Apache-2.0
#include "crypto/crypto.h"

#include "tests/lib/test.h"

TEST(sha256_matches_fips_180_4_examples)
{
	char hex[MS_SHA256_HEX_SIZE];
	ms_sha256_hex(MS_SLICE_LIT("abc"), hex);
	CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ms_sha256_hex(MS_SLICE_EMPTY, hex);
	CHECK_STR(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(base64_matches_rfc_4648_examples_and_refuses_the_rest)
{
	static const struct {
		const char *text;
		const char *want; // NULL: refused
	} cases[] = {
		{"", ""},       {"Zg==", "f"},  {"Zm8=", "fo"}, {"Zm9v", "foo"},    {"Zm9vYmFy", "foobar"},
		{"Zg=", NULL},  {"Zg", NULL},   {"Z===", NULL}, {"Zm 9", NULL},     {"Zh==", NULL},
		{"Zm9=", NULL}, {"====", NULL}, {"Z=g=", NULL}, {"Zg==Zg==", NULL},
	};
	struct arena a;
	ms_arena_init(&a, 256, 1 << 16);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct slice bytes = MS_SLICE_EMPTY;
		bool ok = ms_base64_decode(ms_slice_cstr(cases[i].text), &a, &bytes);
		CHECK(ok == (cases[i].want != NULL));
		if (ok && cases[i].want != NULL)
			CHECK_SLICE(bytes, cases[i].want);
	}
	ms_arena_fini(&a);
}

TEST(constant_time_compare_compares)
{
	CHECK(ms_equal_constant_time(MS_SLICE_LIT("abc"), MS_SLICE_LIT("abc")));
	CHECK(!ms_equal_constant_time(MS_SLICE_LIT("abc"), MS_SLICE_LIT("abd")));
	CHECK(!ms_equal_constant_time(MS_SLICE_LIT("abc"), MS_SLICE_LIT("ab")));
}
