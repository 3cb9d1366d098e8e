// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "registry/registry.h"
#include "tests/lib/test.h"

TEST(versions_are_ordered_as_people_read_them)
{
	static const char *const ascending[] = {"1",      "2",      "10",     "v1.0.0-rc1", "v1.0.0-rc2",
						"v1.0.0", "v1.0.1", "v1.9.0", "v1.10.0",    "v2.0.0"};
	for (size_t i = 3; i < MS_ARRAY_LEN(ascending); i++) {
		for (size_t k = 3; k < MS_ARRAY_LEN(ascending); k++) {
			int order = ms_version_cmp(ms_slice_cstr(ascending[i]), ms_slice_cstr(ascending[k]));
			CHECK((order < 0) == (i < k) && (order > 0) == (i > k));
		}
	}
	CHECK(ms_version_cmp(MS_SLICE_LIT("9"), MS_SLICE_LIT("10")) < 0);
	CHECK(ms_version_cmp(MS_SLICE_LIT("v1"), MS_SLICE_LIT("1")) != 0);
	CHECK(ms_version_cmp(MS_SLICE_LIT("007"), MS_SLICE_LIT("7")) != 0);
	CHECK_INT(ms_version_cmp(MS_SLICE_LIT("v1"), MS_SLICE_LIT("v1")), 0);
}

TEST(version_order_is_an_order)
{
	static const char letters[] = "v01.-ab";
	char names[60][8];
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++) {
		size_t n = 1 + (size_t)ms_rand_below(ms_test_rand(), 6);
		for (size_t k = 0; k < n; k++)
			names[i][k] = letters[ms_rand_below(ms_test_rand(), sizeof(letters) - 1)];
		names[i][n] = '\0';
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++) {
		for (size_t k = 0; k < MS_ARRAY_LEN(names); k++) {
			int order = ms_version_cmp(ms_slice_cstr(names[i]), ms_slice_cstr(names[k]));
			int back = ms_version_cmp(ms_slice_cstr(names[k]), ms_slice_cstr(names[i]));
			CHECK((order > 0) == (back < 0) && (order == 0) == (strcmp(names[i], names[k]) == 0));
		}
	}
}

TEST(names_keep_to_the_rules)
{
	static const char *const good[] = {"a", "wine", "v1.0.0", "A_b-c.9", "0"};
	static const char *const bad[] = {"", ".hidden", "-x", "a/b", "a b", "..", "\xc3\xa9", "a\nb", "a*"};
	struct errinfo info;
	for (size_t i = 0; i < MS_ARRAY_LEN(good); i++)
		CHECK_OK(ms_store_check_model_name(ms_slice_cstr(good[i]), NULL));
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		ms_errinfo_init(&info);
		CHECK_INT(ms_store_check_model_name(ms_slice_cstr(bad[i]), &info), MS_ERR_MODEL_NAME);
		CHECK_HAS(info.message, "letters, digits");
	}
	char name[MS_MODEL_NAME_MAX + 2];
	memset(name, 'a', sizeof(name));
	CHECK_OK(ms_store_check_model_name(ms_slice(name, MS_MODEL_NAME_MAX), NULL));
	CHECK_INT(ms_store_check_model_name(ms_slice(name, MS_MODEL_NAME_MAX + 1), NULL), MS_ERR_MODEL_NAME);
	CHECK_INT(ms_store_check_version_name(ms_slice(name, MS_MODEL_VERSION_MAX + 1), NULL), MS_ERR_MODEL_NAME);
}
