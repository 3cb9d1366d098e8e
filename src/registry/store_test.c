// SPDX-License-Identifier: Apache-2.0
// The store folder, with the penguins example as the model that is pushed.
#include <stdio.h>
#include <sys/stat.h>

#include "registry/registry.h"
#include "tests/lib/test.h"

static enum ms_err push(const char *dir, const char *version, struct slice bytes, const char *metadata,
			struct errinfo *info, char *ret_version)
{
	const struct store_push what = {.model = MS_SLICE_LIT("m"),
					.version = ms_slice_cstr(version),
					.bytes = bytes,
					.metadata = metadata != NULL ? ms_slice_cstr(metadata) : MS_SLICE_EMPTY,
					.model_options = &MS_MODEL_DEFAULT_OPTIONS};
	ms_errinfo_init(info);
	return ms_store_push(dir, &what, info, ret_version);
}

static size_t count_versions(const char *dir)
{
	struct arena arena;
	struct store_model *models;
	size_t count, versions = 0;
	ms_arena_init(&arena, 4096, 1 << 20);
	REQUIRE(ms_store_list(dir, &arena, NULL, &models, &count) == MS_OK);
	for (size_t i = 0; i < count; i++)
		versions += models[i].version_count;
	ms_arena_fini(&arena);
	return versions;
}

static struct slice penguins(void)
{
	return ms_test_file("examples/models/penguins/v1.0.0/model.txt");
}

TEST(store_numbers_versions_and_keeps_them)
{
	const char *dir = ms_test_temp_dir();
	struct errinfo info;
	char version[MS_MODEL_VERSION_MAX + 1];
	struct slice bytes = penguins();
	CHECK_OK(push(dir, "", bytes, NULL, &info, version));
	CHECK_STR(version, "1");
	CHECK_OK(push(dir, "v1.9.0", bytes, NULL, &info, version));
	CHECK_OK(push(dir, "", bytes, NULL, &info, version));
	CHECK_STR(version, "v1.9.1");
	CHECK_INT(push(dir, "v1.9.1", bytes, NULL, &info, version), MS_ERR_MODEL_VERSION_EXISTS);
	CHECK_HAS(info.message, "already");
	CHECK_INT(count_versions(dir), 3);
	struct served_model *served;
	REQUIRE(ms_store_load(dir, MS_SLICE_LIT("m"), MS_SLICE_EMPTY, &MS_MODEL_DEFAULT_OPTIONS, &info, &served) ==
		MS_OK);
	CHECK_SLICE(served->version, "v1.9.1");
	CHECK(ms_served_input_index(served, MS_SLICE_LIT("species")) != SIZE_MAX);
	CHECK(ms_served_input_index(served, MS_SLICE_LIT("nothing")) == SIZE_MAX);
	ms_served_unref(served);
}

// A model that names its classes itself is served with those names; 0, 1, … are no names; metadata.json has the last word.
TEST(store_takes_the_labels_of_the_model)
{
	static const struct {
		const char *labels, *metadata, *first;
	} cases[] = {
		{"\"labels\":[\"no\",\"yes\"],", NULL, "no"},
		{"\"labels\":[\"0\",\"1\"],", NULL, NULL},
		{"", NULL, NULL},
		{"\"labels\":[\"no\",\"yes\"],", "{\"labels\":[\"left\",\"right\"]}", "left"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		const char *dir = ms_test_temp_dir();
		struct errinfo info;
		char version[MS_MODEL_VERSION_MAX + 1], text[256];
		struct served_model *served;
		snprintf(text, sizeof(text),
			 "{\"format\":\"mainstay-linear\",\"version\":1,%s\"link\":\"logit\",\"coefficients\":[1]}",
			 cases[i].labels);
		REQUIRE(push(dir, "", ms_slice_cstr(text), cases[i].metadata, &info, version) == MS_OK);
		REQUIRE(ms_store_load(dir, MS_SLICE_LIT("m"), MS_SLICE_EMPTY, &MS_MODEL_DEFAULT_OPTIONS, &info,
				      &served) == MS_OK);
		CHECK_INT(served->labels != NULL, cases[i].first != NULL);
		if (served->labels != NULL)
			CHECK_SLICE(served->labels[0], cases[i].first != NULL ? cases[i].first : "");
		ms_served_unref(served);
	}
}

TEST(store_refuses_what_is_broken_and_keeps_nothing_of_it)
{
	static const char *const metadata[] = {"{",
					       "[]",
					       "{\"sha256\":\"00\"}",
					       "{\"inputs\":[\"a\"]}",
					       "{\"format\":\"pickle\"}",
					       "{\"labels\":[\"a\"]}",
					       ""};
	const char *dir = ms_test_temp_dir();
	struct errinfo info;
	char version[MS_MODEL_VERSION_MAX + 1];
	struct slice bytes = penguins();
	CHECK(push(dir, "1", MS_SLICE_LIT("no model"), NULL, &info, version) != MS_OK);
	CHECK(push(dir, "1", ms_slice_sub(bytes, 0, bytes.n / 2), NULL, &info, version) != MS_OK);
	CHECK_INT(push(dir, "../1", bytes, NULL, &info, version), MS_ERR_MODEL_NAME);
	for (size_t i = 0; i < MS_ARRAY_LEN(metadata); i++)
		CHECK_INT(push(dir, "1", bytes, metadata[i], &info, version), MS_ERR_MODEL_METADATA);
	CHECK_INT(count_versions(dir), 0);
}

TEST(store_aliases_name_versions_and_protect_them)
{
	const char *dir = ms_test_temp_dir();
	const struct slice m = MS_SLICE_LIT("m"), champion = MS_SLICE_LIT("champion"), one = MS_SLICE_LIT("1");
	struct errinfo info;
	char version[MS_MODEL_VERSION_MAX + 1];
	ms_errinfo_init(&info);
	REQUIRE(push(dir, "1", penguins(), NULL, &info, version) == MS_OK);
	CHECK_INT(ms_store_set_alias(dir, m, champion, MS_SLICE_LIT("2"), &info), MS_ERR_MODEL_VERSION_UNKNOWN);
	CHECK_INT(ms_store_set_alias(dir, m, one, one, &info), MS_ERR_CONFLICT);
	CHECK_OK(ms_store_set_alias(dir, m, champion, one, &info));
	CHECK_INT(ms_store_remove(dir, m, one, &info), MS_ERR_MODEL_IN_USE);
	struct served_model *served;
	REQUIRE(ms_store_load(dir, m, champion, &MS_MODEL_DEFAULT_OPTIONS, &info, &served) == MS_OK);
	CHECK_SLICE(served->version, "1");
	ms_served_unref(served);
	CHECK_OK(ms_store_set_alias(dir, m, champion, MS_SLICE_EMPTY, &info));
	CHECK_INT(ms_store_set_alias(dir, m, champion, MS_SLICE_EMPTY, &info), MS_ERR_NOT_FOUND);
	CHECK_OK(ms_store_remove(dir, m, one, &info));
	CHECK_INT(count_versions(dir), 0);
	CHECK_INT(ms_store_remove(dir, MS_SLICE_LIT("other"), MS_SLICE_EMPTY, &info), MS_ERR_MODEL_UNKNOWN);
}

TEST(store_sweeps_what_a_crash_left)
{
	const char *dir = ms_test_temp_dir();
	struct errinfo info;
	char version[MS_MODEL_VERSION_MAX + 1], left[512];
	struct stat st;
	snprintf(left, sizeof(left), "%s/.incoming-0123", dir);
	REQUIRE(mkdir(left, 0700) == 0);
	CHECK_INT(count_versions(dir), 0);
	CHECK_OK(push(dir, "1", penguins(), NULL, &info, version));
	CHECK(stat(left, &st) != 0);
}
