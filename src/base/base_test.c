// SPDX-License-Identifier: Apache-2.0
#include "base/base.h"

#include <stdio.h>

#include "tests/lib/test.h"

TEST(arena_keeps_to_its_limit)
{
	struct arena a;
	ms_arena_init(&a, 1024, 4096);
	size_t got = 0;
	while (ms_arena_alloc(&a, 100) != NULL)
		got++;
	CHECK(got >= 20 && got <= 40);
	CHECK(ms_arena_alloc(&a, SIZE_MAX) == NULL);
	CHECK(ms_arena_calloc(&a, SIZE_MAX / 2, 4) == NULL);
	ms_arena_fini(&a);
}

static void count_release(void *object)
{
	(*(int *)object)++;
}

TEST(arena_gives_a_pointer_for_nothing)
{
	struct arena a;
	ms_arena_init(&a, 64, 1024);
	CHECK(ms_arena_alloc(&a, 0) != NULL);
	CHECK(ms_arena_calloc(&a, 0, 8) != NULL);
	ms_arena_fini(&a);
}

TEST(arena_rewind_gives_back_and_releases)
{
	struct arena a;
	int released = 0;
	ms_arena_init(&a, 64, 1 << 20);
	char *first = ms_arena_alloc(&a, 16);
	REQUIRE(first != NULL);
	memset(first, 'x', 16);
	struct arena_mark mark = ms_arena_mark(&a);
	REQUIRE(ms_arena_alloc(&a, 1000) != NULL);
	REQUIRE(ms_arena_defer(&a, count_release, &released));
	ms_arena_rewind(&a, mark);
	CHECK_INT(released, 1);
	CHECK_INT(first[15], 'x');
	REQUIRE(ms_arena_defer(&a, count_release, &released));
	ms_arena_reset(&a);
	CHECK_INT(released, 2);
	ms_arena_fini(&a);
	CHECK_INT(released, 2);
}

TEST(arena_grow_keeps_contents)
{
	struct arena a;
	ms_arena_init(&a, 256, 1 << 16);
	char *p = NULL;
	size_t n = 0;
	for (size_t i = 0; i < 1000; i++, n++) {
		p = ms_arena_grow(&a, p, n, n + 1);
		REQUIRE(p != NULL);
		p[n] = (char)i;
	}
	for (size_t i = 0; i < n; i++)
		CHECK_INT(p[i], (char)i);
	ms_arena_fini(&a);
}

TEST(buf_fails_at_its_maximum_and_stays_failed)
{
	struct buf b;
	ms_buf_init(&b, 10);
	ms_buf_append_cstr(&b, "12345");
	ms_buf_printf(&b, "%d", 678);
	CHECK(ms_buf_ok(&b));
	CHECK_SLICE(ms_buf_slice(&b), "12345678");
	ms_buf_append_cstr(&b, "abc");
	CHECK(!ms_buf_ok(&b));
	ms_buf_append_char(&b, 'd');
	CHECK_SLICE(ms_buf_slice(&b), "12345678");
	ms_buf_clear(&b);
	ms_buf_append_i64(&b, INT64_MIN / 1000000000000);
	CHECK_SLICE(ms_buf_slice(&b), "-9223372");
	ms_buf_consume(&b, 3);
	CHECK_SLICE(ms_buf_slice(&b), "23372");
	ms_buf_fini(&b);
}

TEST(slice_numbers_are_exact_or_refused)
{
	uint64_t u;
	int64_t i;
	CHECK(ms_slice_to_u64(MS_SLICE_LIT("18446744073709551615"), &u) && u == UINT64_MAX);
	CHECK(!ms_slice_to_u64(MS_SLICE_LIT("18446744073709551616"), &u));
	CHECK(!ms_slice_to_u64(MS_SLICE_LIT(""), &u));
	CHECK(!ms_slice_to_u64(MS_SLICE_LIT("+1"), &u));
	CHECK(!ms_slice_to_u64(MS_SLICE_LIT("1 "), &u));
	CHECK(ms_slice_to_i64(MS_SLICE_LIT("-9223372036854775808"), &i) && i == INT64_MIN);
	CHECK(!ms_slice_to_i64(MS_SLICE_LIT("9223372036854775808"), &i));
	CHECK(!ms_slice_to_i64(MS_SLICE_LIT("-"), &i));
}

TEST(slice_next_splits_all_parts)
{
	struct slice rest = MS_SLICE_LIT("a,,b,"), part;
	const char *want[] = {"a", "", "b", ""};
	for (size_t i = 0; i < MS_ARRAY_LEN(want); i++) {
		CHECK(ms_slice_next(&rest, ',', &part));
		CHECK_SLICE(part, want[i]);
	}
	CHECK(!ms_slice_next(&rest, ',', &part));
}

TEST(map_behaves_like_a_model_under_random_use)
{
	enum { KEYS = 300 };
	static char names[KEYS][8];
	bool present[KEYS] = {false};
	struct map m;
	ms_map_init(&m, KEYS, (struct hash_seed){1, 2});
	for (size_t i = 0; i < KEYS; i++)
		snprintf(names[i], sizeof(names[i]), "k%zu", i);
	size_t count = 0;
	for (int step = 0; step < 20000; step++) {
		size_t k = (size_t)ms_rand_below(ms_test_rand(), KEYS);
		struct slice key = ms_slice_cstr(names[k]);
		if (ms_rand_below(ms_test_rand(), 2) == 0) {
			CHECK(ms_map_put(&m, key, names[k], NULL));
			count += !present[k];
			present[k] = true;
		} else {
			CHECK((ms_map_remove(&m, key) != NULL) == present[k]);
			count -= present[k];
			present[k] = false;
		}
		CHECK_INT(m.count, count);
	}
	for (size_t i = 0; i < KEYS; i++)
		CHECK(ms_map_get(&m, ms_slice_cstr(names[i])) == (present[i] ? names[i] : NULL));
	ms_map_fini(&m);
}

TEST(map_refuses_more_than_its_maximum)
{
	struct map m;
	ms_map_init(&m, 1, (struct hash_seed){0, 0});
	int value;
	CHECK(ms_map_put(&m, MS_SLICE_LIT("a"), &value, NULL));
	CHECK(!ms_map_put(&m, MS_SLICE_LIT("b"), &value, NULL));
	CHECK(ms_map_put(&m, MS_SLICE_LIT("a"), &value, NULL));
	ms_map_fini(&m);
}

TEST(utf8_accepts_and_refuses_by_rfc_3629)
{
	static const struct {
		const char *text;
		size_t valid;
	} cases[] = {
		{"plain ascii text of some length", 31},
		{"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9},
		{"\xf4\x8f\xbf\xbf", 4},
		{"ab\xc0\x80", 2},       // overlong
		{"\xe0\x9f\xbf", 0},     // overlong
		{"\xed\xa0\x80", 0},     // surrogate
		{"\xf4\x90\x80\x80", 0}, // above the range
		{"abcdefgh\xe2\x82", 8}, // cut
		{"\x80", 0},
		{"\xff", 0},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++)
		CHECK_INT(ms_utf8_valid_prefix(ms_slice_cstr(cases[i].text)), cases[i].valid);
	for (uint32_t c = 0; c <= 0x10ffff; c += 7) {
		char bytes[4];
		if (c >= 0xd800 && c <= 0xdfff)
			continue;
		size_t n = ms_utf8_encode(c, bytes);
		CHECK_INT(ms_utf8_valid_prefix(ms_slice(bytes, n)), n);
	}
}

TEST(text_suggests_slips_only)
{
	const struct slice names[] = {MS_SLICE_LIT("http.listen"), MS_SLICE_LIT("log.level"), MS_SLICE_LIT("threads")};
	CHECK_INT(ms_text_nearest(MS_SLICE_LIT("log.levle"), names, 3), 1);
	CHECK_INT(ms_text_nearest(MS_SLICE_LIT("Thread"), names, 3), 2);
	CHECK(ms_text_nearest(MS_SLICE_LIT("colour"), names, 3) == SIZE_MAX);
	CHECK(ms_text_nearest(MS_SLICE_LIT(""), names, 3) == SIZE_MAX);
}

TEST(text_formats_times)
{
	char text[MS_RFC3339_SIZE];
	static const struct {
		int64_t ns;
		const char *want;
	} cases[] = {
		{0, "1970-01-01T00:00:00.000Z"},
		{1709164800123456789, "2024-02-29T00:00:00.123Z"},
		{-1, "1969-12-31T23:59:59.999Z"},
		{4102444799999999999, "2099-12-31T23:59:59.999Z"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		CHECK_INT(ms_text_rfc3339(cases[i].ns, text), strlen(cases[i].want));
		CHECK_STR(text, cases[i].want);
	}
}

TEST(times_are_read_as_people_write_them)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{"1970-01-01", 0},
		{"2026-11-20T08:30:00.123Z", 1795163400123000000},
		{"2026-11-20t08:30:00.123456789z", 1795163400123456789},
		{"2026-11-20 09:30+01:00", 1795163400000000000},
		{"2026-11-20T02:00:00-06:30", 1795163400000000000},
		{"2024-02-29", 1709164800000000000},
		{"2016-12-31T23:59:60Z", 1483228799000000000},
		{"2099-12-31T23:59:59.999Z", 4102444799999000000},
	};
	static const char *const bad[] = {"",
					  "2026",
					  "2026-1-01",
					  "2026-13-01",
					  "2026-00-01",
					  "2026-02-29",
					  "2026-11-31",
					  "2026-11-20T08:30:00",
					  "2026-11-20T24:00Z",
					  "2026-11-20T08:30:61Z",
					  "2026-11-20T08:30:00.Z",
					  "2026-11-20T08:30:00Zx",
					  "1969-12-31",
					  "9999-01-01",
					  "2026-11-20T08:30:00+1:00",
					  "2026-11-20x"};
	int64_t ns;
	for (size_t i = 0; i < MS_ARRAY_LEN(good); i++) {
		REQUIRE(ms_text_parse_time(ms_slice_cstr(good[i].text), &ns));
		CHECK_INT(ns, good[i].ns);
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++)
		CHECK(!ms_text_parse_time(ms_slice_cstr(bad[i]), &ns));
	char text[MS_RFC3339_SIZE];
	for (size_t i = 0; i < 1000; i++) {
		int64_t want = (int64_t)ms_rand_below(ms_test_rand(), 9000000000000) * 1000000;
		size_t n = ms_text_rfc3339(want, text);
		CHECK(ms_text_parse_time(ms_slice(text, n), &ns) && ns == want);
	}
}

TEST(errors_have_names_and_printable_messages)
{
	for (int code = 0; code < MS_ERR_COUNT; code++) {
		CHECK(ms_err_name((enum ms_err)code)[0] != '\0');
		CHECK(ms_err_http_status((enum ms_err)code) >= 200 && ms_err_http_status((enum ms_err)code) < 600);
	}
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK_INT(ms_fail(&info, MS_ERR_INVALID, "bad %s", "a\nb\xff"), MS_ERR_INVALID);
	CHECK_STR(info.message, "bad a?b?");
	CHECK_INT(ms_fail(NULL, MS_ERR_LIMIT, "nobody asks"), MS_ERR_LIMIT);
}

static void check_escaped(struct slice text, const char *want)
{
	char dst[256];
	size_t taken;
	size_t n = ms_text_json_escape(text, dst, sizeof(dst), &taken);
	CHECK_SLICE(ms_slice(dst, n), want);
	CHECK_INT(taken, text.n);
}

TEST(text_escapes_json)
{
	check_escaped(MS_SLICE_EMPTY, "");
	check_escaped(MS_SLICE_LIT("plain /text~"), "plain /text~");
	check_escaped(MS_SLICE_LIT("\"\\\b\t\n\f\r"), "\\\"\\\\\\b\\t\\n\\f\\r");
	check_escaped(MS_SLICE_LIT("\0\x01\x1f\x7f"), "\\u0000\\u0001\\u001f\\u007f");
	check_escaped(MS_SLICE_LIT("\xc2\x80\xc2\x9f\xc2\xa0"), "\\u0080\\u009f\xc2\xa0");
	check_escaped(MS_SLICE_LIT("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
	// No UTF-8: a lone byte, an overlong form, a surrogate, a sequence that ends too early.
	check_escaped(MS_SLICE_LIT("a\xff"
				   "b"),
		      "a\xef\xbf\xbd"
		      "b");
	check_escaped(MS_SLICE_LIT("\xc0\xaf"), "\xef\xbf\xbd\xef\xbf\xbd");
	check_escaped(MS_SLICE_LIT("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	check_escaped(MS_SLICE_LIT("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(text_escapes_into_small_space)
{
	struct slice text = MS_SLICE_LIT("a\n\x01\xe2\x82\xac"
					 "b\xff");
	static const char whole[] = "a\\n\\u0001\xe2\x82\xac"
				    "b\xef\xbf\xbd";
	for (size_t size = 0; size < sizeof(whole) + 2; size++) {
		char dst[64];
		memset(dst, '#', sizeof(dst));
		size_t taken;
		size_t n = ms_text_json_escape(text, dst, size, &taken);
		CHECK(n <= size && memcmp(dst, whole, n) == 0 && dst[n] == '#');
		CHECK_INT(ms_utf8_valid_prefix(ms_slice(dst, n)), n); // never half a character
		size_t rest_taken;                                    // the rest follows exactly where it stopped
		size_t rest =
			ms_text_json_escape(ms_slice_sub(text, taken, text.n), dst + n, sizeof(dst) - n, &rest_taken);
		CHECK_SLICE(ms_slice(dst, n + rest), whole);
	}
}

static void use_memory(void)
{
	struct arena a;
	struct buf b;
	struct map m;
	ms_arena_init(&a, 64, 1 << 16);
	ms_buf_init(&b, 1 << 16);
	ms_map_init(&m, 100, (struct hash_seed){0, 0});
	bool ok = true;
	for (int i = 0; i < 50 && ok; i++) {
		char *key = ms_arena_printf(&a, "key %d", i);
		ok = key != NULL && ms_map_put(&m, ms_slice_cstr(key), key, NULL);
		ms_buf_printf(&b, "%050d", i);
	}
	CHECK((ok && ms_buf_ok(&b)) == !ms_test_allocation_failed());
	ms_map_fini(&m);
	ms_buf_fini(&b);
	ms_arena_fini(&a);
}

TEST(memory_failures_are_reported_not_suffered)
{
	ms_test_torture(use_memory);
}
