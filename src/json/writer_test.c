// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdlib.h>

#include "tests/lib/test.h"
#include "json/json.h"

#define MAX_TEXT 65536

TEST(writer_places_commas)
{
	struct buf out;
	ms_buf_init(&out, MAX_TEXT);
	struct json_writer w;
	ms_json_writer_init(&w, &out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "a");
	ms_json_begin_array(&w);
	ms_json_i64(&w, INT64_MIN);
	ms_json_u64(&w, UINT64_MAX);
	ms_json_begin_array(&w);
	ms_json_end_array(&w);
	ms_json_begin_object(&w);
	ms_json_end_object(&w);
	ms_json_f64(&w, 0.1);
	ms_json_f32(&w, 0.1f);
	ms_json_f64(&w, NAN);
	ms_json_f32(&w, -INFINITY);
	ms_json_end_array(&w);
	ms_json_key(&w, MS_SLICE_LIT("b"));
	ms_json_bool(&w, true);
	ms_json_key_lit(&w, "");
	ms_json_null(&w);
	ms_json_key_lit(&w, "r");
	ms_json_raw(&w, MS_SLICE_LIT("[1, 2]"));
	ms_json_key_lit(&w, "s");
	ms_json_cstr(&w, "x");
	ms_json_end_object(&w);
	CHECK(ms_buf_ok(&out));
	CHECK_SLICE(ms_buf_slice(&out), "{\"a\":[-9223372036854775808,18446744073709551615,[],{},0.1,0.1,null,null],"
					"\"b\":true,\"\":null,\"r\":[1, 2],\"s\":\"x\"}");
	ms_buf_fini(&out);
}

TEST(writer_nests_to_its_limit)
{
	struct buf out;
	ms_buf_init(&out, MAX_TEXT);
	struct json_writer w;
	ms_json_writer_init(&w, &out);
	for (int i = 0; i < MS_JSON_WRITER_MAX_DEPTH; i++) {
		if (i % 2 == 0) {
			ms_json_begin_object(&w);
			ms_json_key_lit(&w, "k");
		} else
			ms_json_begin_array(&w);
	}
	ms_json_i64(&w, 1);
	for (int i = MS_JSON_WRITER_MAX_DEPTH; i-- > 0;) {
		if (i % 2 == 0)
			ms_json_end_object(&w);
		else
			ms_json_end_array(&w);
	}
	struct arena arena;
	ms_arena_init(&arena, 1024, MAX_TEXT);
	const struct json_value *value;
	CHECK_OK(ms_json_parse(ms_buf_slice(&out), NULL, &arena, NULL, &value));
	ms_arena_fini(&arena);
	ms_buf_fini(&out);
}

static void check_string(struct slice s, const char *want)
{
	struct buf out;
	ms_buf_init(&out, MAX_TEXT);
	struct json_writer w;
	ms_json_writer_init(&w, &out);
	ms_json_str(&w, s);
	CHECK_SLICE(ms_buf_slice(&out), want);
	ms_buf_fini(&out);
}

TEST(writer_escapes)
{
	check_string(MS_SLICE_EMPTY, "\"\"");
	check_string(MS_SLICE_LIT("a\"b\\c/d"), "\"a\\\"b\\\\c/d\"");
	check_string(MS_SLICE_LIT("\b\f\n\r\t\0\x1f\x7f"), "\"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\"");
	check_string(MS_SLICE_LIT("0123456789abcdefghij\n"), "\"0123456789abcdefghij\\n\"");
	check_string(MS_SLICE_LIT("é€😹"), "\"é€😹\"");
}

TEST(writer_replaces_invalid_utf8)
{
	check_string(MS_SLICE_LIT("a\xff"
				  "b"),
		     "\"a\xef\xbf\xbd"
		     "b\"");
	check_string(MS_SLICE_LIT("\xc3"), "\"\xef\xbf\xbd\"");
	check_string(MS_SLICE_LIT("é\xe2\x82"), "\"é\xef\xbf\xbd\xef\xbf\xbd\"");
	check_string(MS_SLICE_LIT("\xed\xa0\x80€"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd€\"");
	check_string(MS_SLICE_LIT("\xe2\"\x82"), "\"\xef\xbf\xbd\\\"\xef\xbf\xbd\"");
}

TEST(writer_takes_linear_time_for_invalid_utf8)
{
	enum { COUNT = 4 << 20 };
	char *bytes = malloc(COUNT);
	REQUIRE(bytes != NULL);
	memset(bytes, 0xff, COUNT);
	struct buf out;
	ms_buf_init(&out, 4 * (size_t)COUNT);
	struct json_writer w;
	ms_json_writer_init(&w, &out);
	ms_json_str(&w, ms_slice(bytes, COUNT)); // half an hour, if each byte looked at all that follow
	CHECK(ms_buf_ok(&out));
	CHECK_INT(out.n, 3 * (size_t)COUNT + 2);
	ms_buf_fini(&out);
	free(bytes);
}

// Any bytes become a string that reads back, as they were when they are valid UTF-8.
TEST(writer_strings_read_back)
{
	struct rand *rand = ms_test_rand();
	struct arena arena;
	ms_arena_init(&arena, 4096, 1 << 20);
	struct buf out;
	ms_buf_init(&out, MAX_TEXT);
	for (int round = 0; round < 50000; round++) {
		static const char alphabet[] = "abc\"\\\n\x01 \x7f/\xc3\xa9\xe2\x82\xac";
		char bytes[64];
		size_t n = ms_rand_below(rand, sizeof(bytes) + 1);
		for (size_t i = 0; i < n; i++)
			bytes[i] = round % 2 == 0 ? alphabet[ms_rand_below(rand, sizeof(alphabet))]
						  : (char)ms_rand_below(rand, 256);
		ms_buf_clear(&out);
		struct json_writer w;
		ms_json_writer_init(&w, &out);
		ms_json_str(&w, ms_slice(bytes, n));
		const struct json_value *value;
		REQUIRE(ms_json_parse(ms_buf_slice(&out), NULL, &arena, NULL, &value) == MS_OK);
		if (ms_utf8_valid_prefix(ms_slice(bytes, n)) == n &&
		    !CHECK(ms_slice_eq(value->str, ms_slice(bytes, n))))
			break;
		ms_arena_reset(&arena);
	}
	ms_buf_fini(&out);
	ms_arena_fini(&arena);
}

TEST(writer_meets_the_limit_of_its_buffer)
{
	struct buf out;
	ms_buf_init(&out, 16);
	struct json_writer w;
	ms_json_writer_init(&w, &out);
	ms_json_begin_array(&w);
	ms_json_cstr(&w, "0123456789");
	CHECK(ms_buf_ok(&out));
	ms_json_cstr(&w, "0123456789");
	ms_json_f64(&w, 1);
	ms_json_end_array(&w);
	CHECK(!ms_buf_ok(&out));
	CHECK(out.n <= 16);
	ms_buf_fini(&out);
}

static void check_time(int64_t unix_us, const char *want)
{
	struct buf out;
	struct json_writer w;
	ms_buf_init(&out, 1000);
	ms_json_writer_init(&w, &out);
	ms_json_begin_object(&w);
	ms_json_member_time(&w, "at", unix_us);
	ms_json_end_object(&w);
	CHECK_SLICE(ms_buf_slice(&out), want);
	ms_buf_fini(&out);
}

TEST(writer_members_of_text_and_time)
{
	struct buf out;
	struct json_writer w;
	ms_buf_init(&out, 1000);
	ms_json_writer_init(&w, &out);
	ms_json_begin_object(&w);
	ms_json_member_text(&w, "a", MS_SLICE_LIT("x\"y"));
	ms_json_member_text(&w, "b", MS_SLICE_LIT(""));
	ms_json_member_text(&w, "c", MS_SLICE_EMPTY);
	ms_json_end_object(&w);
	CHECK_SLICE(ms_buf_slice(&out), "{\"a\":\"x\\\"y\",\"b\":null,\"c\":null}");
	ms_buf_fini(&out);
	check_time(0, "{\"at\":null}");
	check_time(1795280343000000, "{\"at\":\"2026-11-21T16:59:03.000Z\"}");
	check_time(INT64_MAX, "{\"at\":null}");
	check_time(INT64_MIN, "{\"at\":null}");
}
