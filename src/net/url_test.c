// SPDX-License-Identifier: Apache-2.0
#include "net/url.h"

#include <stdio.h>

#include "tests/lib/test.h"

TEST(url_path_decodes)
{
	static const struct {
		const char *raw;
		const char *want;
	} cases[] = {
		{"/", "/"},
		{"/api/v1/models", "/api/v1/models"},
		{"/%61%62", "/ab"},
		{"/a%2Fb%2fc", "/a/b/c"},
		{"/caf%C3%A9/%e2%82%ac", "/caf\xc3\xa9/\xe2\x82\xac"},
		{"/a+b%20c", "/a+b c"},
		{"/%2525", "/%25"},
		{"/...", "/..."},
		{"/.a/b./..c", "/.a/b./..c"},
		{"/a//b/", "/a//b/"},
	};
	struct arena arena;
	ms_arena_init(&arena, 256, 1 << 16);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct slice path = MS_SLICE_EMPTY;
		CHECK_OK(ms_url_decode_path(&arena, ms_slice_cstr(cases[i].raw), NULL, &path));
		CHECK_SLICE(path, cases[i].want);
	}
	// Without escapes nothing is copied.
	struct slice raw = MS_SLICE_LIT("/plain"), path;
	CHECK_OK(ms_url_decode_path(&arena, raw, NULL, &path));
	CHECK(path.p == raw.p);
	ms_arena_fini(&arena);
}

TEST(url_path_refuses)
{
	static const struct {
		struct slice raw;
		const char *message;
	} cases[] = {
		{MS_SLICE_LIT("/%"), "byte 1 of the path"},
		{MS_SLICE_LIT("/a%2"), "byte 2 of the path"},
		{MS_SLICE_LIT("/%g0"), "two hex digits"},
		{MS_SLICE_LIT("/%0g"), "two hex digits"},
		{MS_SLICE_LIT("/% 1"), "two hex digits"},
		{MS_SLICE_LIT("/%%41"), "two hex digits"},
		{MS_SLICE_LIT("/%u0041"), "two hex digits"},
		{MS_SLICE_LIT("/a%00b"), "0x00"},
		{MS_SLICE_LIT("/a%0d%0aX: y"), "0x0d"},
		{MS_SLICE_LIT("/a%7f"), "0x7f"},
		{MS_SLICE_LIT("/a\\b"), "0x5c"},
		{MS_SLICE_LIT("/a%5Cb"), "0x5c"},
		{MS_SLICE_LIT("/%C3"), "not UTF-8 at byte 1"},
		{MS_SLICE_LIT("/%C0%AF"), "not UTF-8"},
		{MS_SLICE_LIT("/%ED%A0%80"), "not UTF-8"},
		{MS_SLICE_LIT("/a/./b"), "'.'"},
		{MS_SLICE_LIT("/.."), "'..'"},
		{MS_SLICE_LIT("/a/../b"), "'..'"},
		{MS_SLICE_LIT("/a/%2e%2E/b"), "'..'"},
		{MS_SLICE_LIT("/a/.%2e"), "'..'"},
		{MS_SLICE_LIT("/a/%2e/"), "'.'"},
		{MS_SLICE_LIT("/a%2f..%2fb"), "'..'"},
		{MS_SLICE_LIT("/..%2fb"), "'..'"},
	};
	struct arena arena;
	ms_arena_init(&arena, 256, 1 << 16);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct errinfo info;
		struct slice path;
		ms_errinfo_init(&info);
		if (!CHECK_INT(ms_url_decode_path(&arena, cases[i].raw, &info, &path), MS_ERR_HTTP_SYNTAX) ||
		    !CHECK_HAS(info.message, cases[i].message))
			printf("# %.*s\n", MS_SLICE_ARG(cases[i].raw));
	}
	ms_arena_fini(&arena);
}

// Every byte escaped in every way gives the byte back, or is refused for what it is.
TEST(url_decodes_every_byte)
{
	struct arena arena;
	ms_arena_init(&arena, 256, 1 << 16);
	for (unsigned c = 0; c < 256; c++) {
		for (unsigned i = 0; i < 2; i++) {
			char raw[8];
			struct slice text;
			snprintf(raw, sizeof(raw), i == 0 ? "%%%02x" : "%%%02X", c);
			bool ok = ms_url_decode(&arena, ms_slice_cstr(raw), URL_DECODE_FORM, &text);
			CHECK_INT(ok, c > 0 && c < 0x80);
			if (ok) {
				CHECK_INT(text.n, 1);
				CHECK_INT(text.p[0], c);
			}
		}
	}
	ms_arena_fini(&arena);
}

TEST(url_query_is_walked)
{
	struct slice query = MS_SLICE_LIT("a=1&&b&=x&c=2=3&"), name, value;
	static const char *const want[][2] = {{"a", "1"}, {"b", ""}, {"", "x"}, {"c", "2=3"}};
	for (size_t i = 0; i < MS_ARRAY_LEN(want); i++) {
		REQUIRE(ms_url_query_next(&query, &name, &value));
		CHECK_SLICE(name, want[i][0]);
		CHECK_SLICE(value, want[i][1]);
	}
	CHECK(!ms_url_query_next(&query, &name, &value));
	query = MS_SLICE_EMPTY;
	CHECK(!ms_url_query_next(&query, &name, &value));
	query = MS_SLICE_LIT("");
	CHECK(!ms_url_query_next(&query, &name, &value));
}

TEST(url_query_values_are_found)
{
	static const struct {
		struct slice query;
		enum url_query found;
		const char *value;
	} cases[] = {
		{MS_SLICE_LIT("name=a"), URL_QUERY_FOUND, "a"},
		{MS_SLICE_LIT("x=1&name=a+b%2Bc&name=d"), URL_QUERY_FOUND, "a b+c"},
		{MS_SLICE_LIT("n%61me=%C3%A9"), URL_QUERY_FOUND, "\xc3\xa9"},
		{MS_SLICE_LIT("name"), URL_QUERY_FOUND, ""},
		{MS_SLICE_LIT("name="), URL_QUERY_FOUND, ""},
		{MS_SLICE_LIT("x=name"), URL_QUERY_ABSENT, NULL},
		{MS_SLICE_LIT("names=1&nam=2"), URL_QUERY_ABSENT, NULL},
		{MS_SLICE_LIT(""), URL_QUERY_ABSENT, NULL},
		{MS_SLICE_LIT("name=%"), URL_QUERY_BAD, NULL},
		{MS_SLICE_LIT("name=%4"), URL_QUERY_BAD, NULL},
		{MS_SLICE_LIT("name=%00"), URL_QUERY_BAD, NULL},
		{MS_SLICE_LIT("name=%ff"), URL_QUERY_BAD, NULL},
		{MS_SLICE_LIT("%zz=1&name=2"), URL_QUERY_BAD, NULL},
		{MS_SLICE_LIT("name=2&%zz=1"), URL_QUERY_FOUND, "2"},
		{MS_SLICE_LIT("x=%zz&name=2"), URL_QUERY_FOUND, "2"},
	};
	struct arena arena;
	ms_arena_init(&arena, 256, 1 << 16);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct slice value;
		enum url_query found = ms_url_query_get(&arena, cases[i].query, MS_SLICE_LIT("name"), &value);
		if (!CHECK_INT(found, cases[i].found))
			printf("# %.*s\n", MS_SLICE_ARG(cases[i].query));
		else if (found == URL_QUERY_FOUND)
			CHECK_SLICE(value, cases[i].value);
	}
	ms_arena_fini(&arena);
}

TEST(url_reports_a_full_arena)
{
	struct arena arena;
	struct slice text, value;
	ms_arena_init(&arena, 64, 64);
	char raw[512];
	memset(raw, 'a', sizeof(raw));
	memcpy(raw, "/%20", 4);
	CHECK_INT(ms_url_decode_path(&arena, ms_slice(raw, sizeof(raw)), NULL, &text), MS_ERR_NO_MEMORY);
	CHECK(!ms_url_decode(&arena, ms_slice(raw, sizeof(raw)), URL_DECODE_TEXT, &text));
	memcpy(raw, "b=+", 3);
	CHECK_INT(ms_url_query_get(&arena, ms_slice(raw, sizeof(raw)), MS_SLICE_LIT("b"), &value), URL_QUERY_BAD);
	ms_arena_fini(&arena);
}
