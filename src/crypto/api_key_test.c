// SPDX-License-Identifier: Apache-2.0
#include "crypto/crypto.h"

#include "tests/lib/test.h"

TEST(api_keys_have_their_form)
{
	uint8_t random[MS_API_KEY_RANDOM_SIZE] = {0};
	char key[MS_API_KEY_SIZE];
	size_t n = ms_api_key_make(MS_SLICE_LIT("msk"), random, key);
	CHECK_INT(n, 3 + 1 + 27 + 6);
	CHECK_INT(strlen(key), n);
	CHECK(strncmp(key, "msk_000000000000000000000000000", 31) == 0);
	memset(random, 0xff, sizeof(random));
	ms_api_key_make(MS_SLICE_LIT("ms_live_2"), random, key);
	// 2^160 - 1 in base 62.
	CHECK(strncmp(key, "ms_live_2_", 10) == 0);
	CHECK(strncmp(key + 10, "aWgEPTl1tmebfsQzFP4bxwgy80V", 27) == 0);
	struct slice prefix;
	CHECK(ms_api_key_parse(ms_slice_cstr(key), &prefix));
	CHECK_SLICE(prefix, "ms_live_2");
}

TEST(api_keys_notice_every_slip)
{
	uint8_t random[MS_API_KEY_RANDOM_SIZE];
	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t)ms_rand_u64(ms_test_rand());
	char key[MS_API_KEY_SIZE];
	struct slice prefix;
	size_t n = ms_api_key_make(MS_SLICE_LIT("msk"), random, key);
	CHECK(ms_api_key_parse(ms_slice(key, n), &prefix));
	for (size_t i = 0; i < n; i++) {
		CHECK(!ms_api_key_parse(ms_slice(key, i), &prefix));
		CHECK(!ms_api_key_parse(ms_slice(key + 1 + i, n - 1 - i), &prefix));
		char old = key[i];
		for (unsigned c = 0; c < 256; c++) {
			key[i] = (char)c;
			if (key[i] != old)
				CHECK(!ms_api_key_parse(ms_slice(key, n), &prefix));
		}
		key[i] = old;
	}
	CHECK(!ms_api_key_parse(ms_slice(key, n + 1), &prefix)); // the NUL
	CHECK(!ms_api_key_parse(MS_SLICE_EMPTY, &prefix));
}
