// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test.h"
#include "json/json.h"

// A reader over a copy of exactly the text's size, so that a sanitizer sees reads past the end.
struct fixture {
	struct json_reader r;
	struct arena arena;
	struct errinfo info;
	char *text;
};

static void set_up_with(struct fixture *f, struct slice text, const struct json_limits *limits)
{
	f->text = malloc(text.n > 0 ? text.n : 1);
	REQUIRE(f->text != NULL);
	if (text.n > 0)
		memcpy(f->text, text.p, text.n);
	ms_arena_init(&f->arena, 1024, 1 << 20);
	ms_errinfo_init(&f->info);
	ms_json_reader_init(&f->r, ms_slice(f->text, text.n), limits, &f->arena, &f->info);
}

static void set_up(struct fixture *f, const char *text)
{
	set_up_with(f, ms_slice_cstr(text), NULL);
}

static void tear_down(struct fixture *f)
{
	ms_arena_fini(&f->arena);
	free(f->text);
}

TEST(reader_walks_an_object)
{
	struct fixture f;
	set_up(&f, " {\"id\" : 7, \"big\":18446744073709551615,\"x\":[1.5,null, true,false],\"s\":\"a\\u00e9\","
		   "\"o\":{},\"skip\":{\"a\":[{}]},\"f\":0.1} ");
	struct json_reader *r = &f.r;
	struct slice key, s;
	int64_t i;
	uint64_t u;
	double d;
	float f32;
	bool b;
	CHECK_INT(ms_json_peek(r), JSON_OBJECT);
	REQUIRE(ms_json_enter_object(r));
	REQUIRE(ms_json_next_key(r, &key));
	CHECK_SLICE(key, "id");
	REQUIRE(ms_json_read_i64(r, &i));
	CHECK_INT(i, 7);
	REQUIRE(ms_json_next_key(r, &key));
	REQUIRE(ms_json_read_u64(r, &u));
	CHECK(u == UINT64_MAX);
	REQUIRE(ms_json_next_key(r, &key));
	REQUIRE(ms_json_enter_array(r));
	REQUIRE(ms_json_next_item(r));
	REQUIRE(ms_json_read_f64(r, &d));
	CHECK_F64(d, 1.5);
	REQUIRE(ms_json_next_item(r));
	CHECK_INT(ms_json_peek(r), JSON_NULL);
	REQUIRE(ms_json_read_null(r));
	REQUIRE(ms_json_next_item(r));
	REQUIRE(ms_json_read_bool(r, &b));
	CHECK(b);
	REQUIRE(ms_json_next_item(r));
	REQUIRE(ms_json_read_bool(r, &b));
	CHECK(!b);
	CHECK(!ms_json_next_item(r));
	REQUIRE(ms_json_next_key(r, &key));
	REQUIRE(ms_json_read_string(r, &s));
	CHECK_SLICE(s, "aé");
	REQUIRE(ms_json_next_key(r, &key));
	REQUIRE(ms_json_enter_object(r));
	CHECK(!ms_json_next_key(r, &key));
	REQUIRE(ms_json_next_key(r, &key));
	CHECK_SLICE(key, "skip");
	REQUIRE(ms_json_skip(r, &s));
	CHECK_SLICE(s, "{\"a\":[{}]}");
	REQUIRE(ms_json_next_key(r, &key));
	REQUIRE(ms_json_read_f32(r, &f32));
	CHECK(f32 == 0.1f);
	CHECK(!ms_json_next_key(r, &key));
	CHECK_OK(ms_json_finish(r));
	tear_down(&f);
}

// Each text is refused by the skipping reader and by the tree parser alike, at the same place.
TEST(reader_says_what_is_wrong_and_where)
{
	static const struct {
		const char *text;
		enum ms_err err;
		int line;
		int64_t offset;
		const char *message;
	} rows[] = {
		{"", MS_ERR_JSON_SYNTAX, 1, 0, "line 1, column 1: expected a value, found the end of the text"},
		{"[1,\n 2,\n x]", MS_ERR_JSON_SYNTAX, 3, 9, "line 3, column 2: expected a value, found 'x'"},
		{"[\"é\", \xc3\xa9]", MS_ERR_JSON_SYNTAX, 1, 7,
		 "line 1, column 7: expected a value, found the byte 0xc3"},
		{"[1 2]", MS_ERR_JSON_SYNTAX, 1, 3, "expected ',' or ']' in an array, found '2'"},
		{"[1}", MS_ERR_JSON_SYNTAX, 1, 2, "expected ',' or ']' in an array, found '}'"},
		{"[1", MS_ERR_JSON_SYNTAX, 1, 2, "expected ',' or ']' in an array, found the end of the text"},
		{"[1,]", MS_ERR_JSON_SYNTAX, 1, 3, "expected a value after ',', found ']'"},
		{"[,1]", MS_ERR_JSON_SYNTAX, 1, 1, "expected a value, found ','"},
		{"{\"a\":1,}", MS_ERR_JSON_SYNTAX, 1, 7, "expected a key in double quotes, found '}'"},
		{"{\"a\":1 \"b\"", MS_ERR_JSON_SYNTAX, 1, 7, "expected ',' or '}' in an object, found '\"'"},
		{"{\"a\":1]", MS_ERR_JSON_SYNTAX, 1, 6, "expected ',' or '}' in an object, found ']'"},
		{"{\"a\"", MS_ERR_JSON_SYNTAX, 1, 4, "expected ':' after a key, found the end of the text"},
		{"{\"a\",1}", MS_ERR_JSON_SYNTAX, 1, 4, "expected ':' after a key, found ','"},
		{"{\"a\":}", MS_ERR_JSON_SYNTAX, 1, 5, "expected a value, found '}'"},
		{"{a:1}", MS_ERR_JSON_SYNTAX, 1, 1, "expected a key in double quotes or '}', found 'a'"},
		{"{'a':1}", MS_ERR_JSON_SYNTAX, 1, 1, "found a single quote"},
		{"{1:1}", MS_ERR_JSON_SYNTAX, 1, 1, "expected a key in double quotes or '}', found '1'"},
		{"{,}", MS_ERR_JSON_SYNTAX, 1, 1, "found ','"},
		{"1 2", MS_ERR_JSON_SYNTAX, 1, 2, "expected nothing more after the value, found '2'"},
		{"[]]", MS_ERR_JSON_SYNTAX, 1, 2, "expected nothing more after the value, found ']'"},
		{"]", MS_ERR_JSON_SYNTAX, 1, 0, "expected a value, found ']'"},
		{"nul", MS_ERR_JSON_SYNTAX, 1, 0, "expected a value, found the word nul"},
		{"nulll", MS_ERR_JSON_SYNTAX, 1, 4, "found 'l'"},
		{"True", MS_ERR_JSON_SYNTAX, 1, 0, "found the word True"},
		{"fals", MS_ERR_JSON_SYNTAX, 1, 0, "found the word fals"},
		{"[NaN]", MS_ERR_JSON_SYNTAX, 1, 1, "found the word NaN"},
		{"-Infinity", MS_ERR_JSON_SYNTAX, 1, 1, "expected a digit, found the word Infinity"},
		{"01", MS_ERR_JSON_SYNTAX, 1, 1, "a number must not start with zeros"},
		{"-00", MS_ERR_JSON_SYNTAX, 1, 2, "a number must not start with zeros"},
		{"-", MS_ERR_JSON_SYNTAX, 1, 1, "expected a digit, found the end of the text"},
		{"-a", MS_ERR_JSON_SYNTAX, 1, 1, "expected a digit, found 'a'"},
		{"1.", MS_ERR_JSON_SYNTAX, 1, 2, "expected a digit after '.', found the end"},
		{"[1.e5]", MS_ERR_JSON_SYNTAX, 1, 3, "expected a digit after '.', found 'e'"},
		{"[12.34e]", MS_ERR_JSON_SYNTAX, 1, 7, "expected a digit in the exponent, found ']'"},
		{"[0e+]", MS_ERR_JSON_SYNTAX, 1, 4, "expected a digit in the exponent, found ']'"},
		{".5", MS_ERR_JSON_SYNTAX, 1, 0, "expected a value, found '.'"},
		{"+1", MS_ERR_JSON_SYNTAX, 1, 0, "expected a value, found '+'"},
		{"\"abc", MS_ERR_JSON_SYNTAX, 1, 4, "a string is not closed"},
		{"\"abc\\", MS_ERR_JSON_SYNTAX, 1, 5, "a string is not closed"},
		{"\"a\nb\"", MS_ERR_JSON_SYNTAX, 1, 2,
		 "the control character 0x0a in a string must be written as \\u000a"},
		{"\"\\x41\"", MS_ERR_JSON_SYNTAX, 1, 1, "a backslash must be followed by one of"},
		{"\"\\u12g4\"", MS_ERR_JSON_SYNTAX, 1, 1, "\\u must be followed by four hexadecimal digits"},
		{"\"\\u12", MS_ERR_JSON_SYNTAX, 1, 1, "\\u must be followed by four hexadecimal digits"},
		{"\"\\ud800\"", MS_ERR_JSON_UTF8, 1, 1, "the escape \\ud800 is half of a surrogate pair"},
		{"\"\\ud800\\n\"", MS_ERR_JSON_UTF8, 1, 1, "half of a surrogate pair"},
		{"\"\\ud800\\u0041\"", MS_ERR_JSON_UTF8, 1, 1, "half of a surrogate pair"},
		{"\"\\ud800\\ud800\"", MS_ERR_JSON_UTF8, 1, 1, "half of a surrogate pair"},
		{"\"\\udc00\\ud800\"", MS_ERR_JSON_UTF8, 1, 1, "half of a surrogate pair"},
		{"\"\\ud800\\u", MS_ERR_JSON_UTF8, 1, 1, "half of a surrogate pair"},
		{"{\"\\udc00\":1}", MS_ERR_JSON_UTF8, 1, 2, "half of a surrogate pair"},
		{"\"ab\xff\"", MS_ERR_JSON_UTF8, 1, 3, "the byte 0xff is not valid UTF-8 here"},
		{"\xef\xbb\xbf[]", MS_ERR_JSON_SYNTAX, 1, 0, "found a byte order mark"},
		{"[/*x*/1]", MS_ERR_JSON_SYNTAX, 1, 1, "expected a value, found '/'"},
		{"[1]\f", MS_ERR_JSON_SYNTAX, 1, 3, "found the byte 0x0c"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(rows); i++) {
		struct fixture f;
		set_up(&f, rows[i].text);
		bool same = CHECK(!ms_json_skip(&f.r, NULL) || ms_json_finish(&f.r) != MS_OK);
		for (int pass = 0; pass < 2; pass++) {
			same &= CHECK_STR(ms_err_name(f.info.code), ms_err_name(rows[i].err));
			same &= CHECK_HAS(f.info.message, rows[i].message);
			same &= CHECK_INT(f.info.line, rows[i].line) && CHECK_INT(f.info.offset, rows[i].offset);
			ms_errinfo_init(&f.info);
			const struct json_value *value = NULL;
			enum ms_err err = ms_json_parse(ms_slice(f.r.start, (size_t)(f.r.end - f.r.start)), NULL,
							&f.arena, &f.info, &value);
			CHECK(err == rows[i].err && value == NULL);
		}
		if (!same)
			printf("# the text: %s\n", rows[i].text);
		tear_down(&f);
	}
}

TEST(reader_wants_the_type_asked_for)
{
	struct fixture f;
	double d;
	float f32;
	int64_t i;
	uint64_t u;
	bool b;
	struct slice s;
#define CHECK_TYPE(text, call, part)                               \
	do {                                                       \
		set_up(&f, (text));                                \
		CHECK(!(call));                                    \
		CHECK_INT(ms_json_finish(&f.r), MS_ERR_JSON_TYPE); \
		CHECK_HAS(f.info.message, (part));                 \
		tear_down(&f);                                     \
	} while (0)
	CHECK_TYPE("\"1\"", ms_json_read_f64(&f.r, &d), "expected a number, found a string");
	CHECK_TYPE("null", ms_json_read_f64(&f.r, &d), "expected a number, found a null");
	CHECK_TYPE("[]", ms_json_read_f32(&f.r, &f32), "expected a number, found an array");
	CHECK_TYPE("1e400", ms_json_read_f64(&f.r, &d), "the number 1e400 is out of the range of a 64-bit");
	CHECK_TYPE("1e39", ms_json_read_f32(&f.r, &f32), "the number 1e39 is out of the range of a 32-bit");
	CHECK_TYPE("1.0", ms_json_read_i64(&f.r, &i), "expected an integer");
	CHECK_TYPE("1e2", ms_json_read_u64(&f.r, &u), "expected an integer");
	CHECK_TYPE("true", ms_json_read_i64(&f.r, &i), "expected a number, found a boolean");
	CHECK_TYPE("9223372036854775808", ms_json_read_i64(&f.r, &i), "out of the range of a signed 64-bit integer");
	CHECK_TYPE("-1", ms_json_read_u64(&f.r, &u), "out of the range of an unsigned 64-bit integer");
	CHECK_TYPE("18446744073709551616", ms_json_read_u64(&f.r, &u), "out of the range of an unsigned");
	CHECK_TYPE("123456789012345678901234567890123456789012345", ms_json_read_u64(&f.r, &u),
		   "1234567890123456789012345678901234567890… is");
	CHECK_TYPE("1", ms_json_read_bool(&f.r, &b), "expected true or false, found a number");
	CHECK_TYPE("false", ms_json_read_null(&f.r), "expected null, found a boolean");
	CHECK_TYPE("{}", ms_json_read_string(&f.r, &s), "expected a string, found an object");
	CHECK_TYPE("{}", ms_json_enter_array(&f.r), "expected an array, found an object");
	CHECK_TYPE("3", ms_json_enter_object(&f.r), "expected an object, found a number");
#undef CHECK_TYPE
}

TEST(reader_integers_at_their_bounds)
{
	struct fixture f;
	int64_t i = 0;
	uint64_t u = 1;
	set_up(&f, "[-9223372036854775808,9223372036854775807,-0,-0]");
	REQUIRE(ms_json_enter_array(&f.r));
	CHECK(ms_json_next_item(&f.r) && ms_json_read_i64(&f.r, &i) && i == INT64_MIN);
	CHECK(ms_json_next_item(&f.r) && ms_json_read_i64(&f.r, &i) && i == INT64_MAX);
	CHECK(ms_json_next_item(&f.r) && ms_json_read_i64(&f.r, &i) && i == 0);
	CHECK(ms_json_next_item(&f.r) && ms_json_read_u64(&f.r, &u) && u == 0);
	CHECK(!ms_json_next_item(&f.r));
	CHECK_OK(ms_json_finish(&f.r));
	tear_down(&f);
}

TEST(reader_keeps_the_first_error)
{
	struct fixture f;
	set_up(&f, "[1,2,3]");
	double d = 42;
	struct slice s;
	size_t count;
	REQUIRE(ms_json_enter_array(&f.r));
	REQUIRE(ms_json_next_item(&f.r));
	CHECK_INT(ms_json_fail(&f.r, MS_ERR_PREDICT_FEATURE, "no feature %d", 7), MS_ERR_PREDICT_FEATURE);
	CHECK_STR(f.info.message, "line 1, column 2: no feature 7");
	CHECK_INT(f.info.offset, 1);
	CHECK(!ms_json_read_f64(&f.r, &d) && d == 42);
	CHECK(!ms_json_next_item(&f.r) && !ms_json_next_key(&f.r, &s) && !ms_json_skip(&f.r, NULL));
	CHECK(!ms_json_enter_array(&f.r) && !ms_json_enter_object(&f.r) && !ms_json_read_string(&f.r, &s));
	CHECK(!ms_json_read_f64_items(&f.r, &d, 1, &count));
	CHECK_INT(count, 0);
	CHECK_INT(ms_json_peek(&f.r), JSON_INVALID);
	CHECK_INT(ms_json_fail(&f.r, MS_ERR_JSON_SYNTAX, "later"), MS_ERR_PREDICT_FEATURE);
	CHECK_INT(ms_json_finish(&f.r), MS_ERR_PREDICT_FEATURE);
	CHECK_STR(f.info.message, "line 1, column 2: no feature 7");
	tear_down(&f);
}

TEST(reader_wants_all_closed_at_the_end)
{
	struct fixture f;
	set_up(&f, "[1");
	int64_t i;
	CHECK(ms_json_enter_array(&f.r) && ms_json_next_item(&f.r) && ms_json_read_i64(&f.r, &i));
	CHECK_INT(ms_json_finish(&f.r), MS_ERR_JSON_SYNTAX);
	tear_down(&f);
}

TEST(reader_f64_items)
{
	struct fixture f;
	double d[8];
	size_t n;
	set_up(&f, "[ 1, -2.5e3 ,null,0.1]");
	REQUIRE(ms_json_enter_array(&f.r));
	CHECK(ms_json_read_f64_items(&f.r, d, 8, &n));
	CHECK_INT(n, 4);
	CHECK_F64(d[0], 1);
	CHECK_F64(d[1], -2500);
	CHECK_F64(d[2], NAN);
	CHECK_F64(d[3], 0.1);
	CHECK_OK(ms_json_finish(&f.r));
	tear_down(&f);

	set_up(&f, "[]");
	REQUIRE(ms_json_enter_array(&f.r));
	CHECK(ms_json_read_f64_items(&f.r, d, 0, &n) && n == 0);
	CHECK_OK(ms_json_finish(&f.r));
	tear_down(&f);

	set_up(&f, "[1,2]"); // exactly the capacity: the end is consumed
	REQUIRE(ms_json_enter_array(&f.r));
	CHECK(ms_json_read_f64_items(&f.r, d, 2, &n) && n == 2);
	CHECK_OK(ms_json_finish(&f.r));
	tear_down(&f);
}

// Where the numbers stop the caller may read the item at once, ask for it first, or go on with numbers.
TEST(reader_f64_items_stops_and_goes_on)
{
	struct fixture f;
	double d[2];
	size_t n;
	struct slice s;
	set_up(&f, "[1,2,3,4,\"x\",5,[6],7,true]");
	REQUIRE(ms_json_enter_array(&f.r));
	CHECK(!ms_json_read_f64_items(&f.r, d, 2, &n) && n == 2 && d[1] == 2);
	CHECK(!ms_json_read_f64_items(&f.r, d, 0, &n) && n == 0);
	CHECK(!ms_json_read_f64_items(&f.r, d, 1, &n) && n == 1 && d[0] == 3);
	CHECK(ms_json_next_item(&f.r) && ms_json_read_f64(&f.r, d) && d[0] == 4);
	CHECK(!ms_json_read_f64_items(&f.r, d, 2, &n) && n == 0);
	CHECK_INT(ms_json_peek(&f.r), JSON_STRING);
	CHECK(ms_json_read_string(&f.r, &s));
	CHECK(!ms_json_read_f64_items(&f.r, d, 2, &n) && n == 1 && d[0] == 5);
	CHECK_INT(ms_json_peek(&f.r), JSON_ARRAY);
	REQUIRE(ms_json_enter_array(&f.r));
	CHECK(ms_json_read_f64_items(&f.r, d, 2, &n) && n == 1 && d[0] == 6);
	CHECK(ms_json_next_item(&f.r) && ms_json_read_f64(&f.r, d) && d[0] == 7);
	CHECK(!ms_json_read_f64_items(&f.r, d, 2, &n) && n == 0);
	CHECK(ms_json_skip(&f.r, NULL));
	CHECK(ms_json_read_f64_items(&f.r, d, 2, &n) && n == 0);
	CHECK_OK(ms_json_finish(&f.r));
	tear_down(&f);
}

TEST(reader_f64_items_refuses)
{
	static const struct {
		const char *text;
		size_t count;
		enum ms_err err;
	} rows[] = {
		{"[1,]", 1, MS_ERR_JSON_SYNTAX},    {"[1 2]", 1, MS_ERR_JSON_SYNTAX},
		{"[1,2", 2, MS_ERR_JSON_SYNTAX},    {"[1,", 1, MS_ERR_JSON_SYNTAX},
		{"[", 0, MS_ERR_JSON_SYNTAX},       {"[,1]", 0, MS_ERR_JSON_SYNTAX},
		{"[1,1e999]", 1, MS_ERR_JSON_TYPE}, {"[01]", 0, MS_ERR_JSON_SYNTAX},
		{"[1,-]", 1, MS_ERR_JSON_SYNTAX},   {"[1,nul]", 1, MS_ERR_JSON_SYNTAX},
		{"[NaN]", 0, MS_ERR_JSON_SYNTAX},   {"[1,2}", 2, MS_ERR_JSON_SYNTAX},
		{"[1.5x]", 1, MS_ERR_JSON_SYNTAX},  {"[nullx]", 1, MS_ERR_JSON_SYNTAX},
		{"[1,,2]", 1, MS_ERR_JSON_SYNTAX},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(rows); i++) {
		struct fixture f;
		double d[4];
		size_t n;
		set_up(&f, rows[i].text);
		REQUIRE(ms_json_enter_array(&f.r));
		bool ok = CHECK(!ms_json_read_f64_items(&f.r, d, 4, &n));
		ok &= CHECK_INT(n, rows[i].count);
		if (f.r.err == MS_OK) // another type comes next, says the call; but nothing does
			(void)(ms_json_peek(&f.r) == JSON_INVALID || ms_json_skip(&f.r, NULL));
		ok &= CHECK_INT(f.r.err, rows[i].err);
		if (!ok)
			printf("# the text: %s\n", rows[i].text);
		tear_down(&f);
	}
}

TEST(reader_takes_nan_where_allowed)
{
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.allow_nan = true;
	struct fixture f;
	double d[4];
	float f32;
	size_t n;
	set_up_with(&f, MS_SLICE_LIT("[[NaN,Infinity,-Infinity,-1],NaN,-Infinity,Infinity]"), &limits);
	REQUIRE(ms_json_enter_array(&f.r));
	REQUIRE(ms_json_next_item(&f.r) && ms_json_enter_array(&f.r));
	CHECK(ms_json_read_f64_items(&f.r, d, 4, &n) && n == 4);
	CHECK_F64(d[0], NAN);
	CHECK_F64(d[1], INFINITY);
	CHECK_F64(d[2], -INFINITY);
	CHECK(ms_json_next_item(&f.r) && ms_json_peek(&f.r) == JSON_NUMBER && ms_json_read_f64(&f.r, d) && isnan(d[0]));
	CHECK(ms_json_next_item(&f.r) && ms_json_read_f32(&f.r, &f32) && f32 == -INFINITY);
	CHECK(ms_json_next_item(&f.r) && ms_json_skip(&f.r, NULL) && !ms_json_next_item(&f.r));
	CHECK_OK(ms_json_finish(&f.r));
	tear_down(&f);
	set_up_with(&f, MS_SLICE_LIT("Infinite"), &limits);
	CHECK(!ms_json_read_f64(&f.r, d));
	CHECK_INT(f.r.err, MS_ERR_JSON_SYNTAX);
	tear_down(&f);
}

TEST(reader_limits)
{
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.max_depth = 2;
	limits.max_bytes = 8;
	struct fixture f;
	set_up_with(&f, MS_SLICE_LIT("[[1],{}]"), &limits);
	CHECK(ms_json_skip(&f.r, NULL));
	CHECK_OK(ms_json_finish(&f.r));
	tear_down(&f);
	set_up_with(&f, MS_SLICE_LIT("[[1],{} ]"), &limits);
	CHECK(!ms_json_skip(&f.r, NULL));
	CHECK_INT(ms_json_finish(&f.r), MS_ERR_JSON_SIZE);
	CHECK_HAS(f.info.message, "the text has 9 bytes; the limit is 8");
	tear_down(&f);
	set_up_with(&f, MS_SLICE_LIT("[[[1]]]"), &limits);
	CHECK(!ms_json_skip(&f.r, NULL));
	CHECK_INT(ms_json_finish(&f.r), MS_ERR_JSON_DEPTH);
	CHECK_INT(f.info.offset, 2);
	tear_down(&f);
	set_up_with(&f, MS_SLICE_LIT("[[{}]]"), &limits);
	CHECK(ms_json_enter_array(&f.r) && ms_json_next_item(&f.r) && ms_json_enter_array(&f.r));
	CHECK(ms_json_next_item(&f.r) && !ms_json_enter_object(&f.r));
	CHECK_INT(ms_json_finish(&f.r), MS_ERR_JSON_DEPTH);
	tear_down(&f);
}

// 1,024 levels, arrays and objects mixed.
TEST(reader_skips_the_deepest)
{
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.max_depth = 1024;
	static char text[8192];
	for (unsigned extra = 0; extra < 2; extra++) {
		size_t n = 0;
		for (unsigned i = 0; i < limits.max_depth + extra; i++)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", i * 7 % 3 == 0 ? "{\"\":" : "[");
		text[n++] = '1';
		for (unsigned i = limits.max_depth + extra; i-- > 0;)
			text[n++] = i * 7 % 3 == 0 ? '}' : ']';
		struct fixture f;
		set_up_with(&f, ms_slice(text, n), &limits);
		CHECK_INT(ms_json_skip(&f.r, NULL), extra == 0);
		CHECK_INT(ms_json_finish(&f.r), extra == 0 ? MS_OK : MS_ERR_JSON_DEPTH);
		tear_down(&f);
	}
}

TEST(reader_unescapes_into_the_arena_only)
{
	struct json_reader r;
	struct slice s;
	struct errinfo info;
	ms_errinfo_init(&info);
	ms_json_reader_init(&r, MS_SLICE_LIT("\"plain\""), NULL, NULL, &info);
	CHECK(ms_json_read_string(&r, &s));
	ms_json_reader_init(&r, MS_SLICE_LIT("\"a\\n\""), NULL, NULL, &info);
	CHECK(!ms_json_read_string(&r, &s));
	CHECK_INT(r.err, MS_ERR_LIMIT);
	ms_json_reader_init(&r, MS_SLICE_LIT("\"a\\n\""), NULL, NULL, &info); // skipping needs none
	CHECK(ms_json_skip(&r, &s));
	CHECK_SLICE(s, "\"a\\n\"");
	struct fixture f;
	set_up(&f, "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20AC\\ud83D\\uDe39\\u0000é\\\\u0041\"");
	CHECK(ms_json_read_string(&f.r, &s));
	CHECK(ms_slice_eq(s, MS_SLICE_LIT("\"\\/\b\f\n\r\tAé€😹\0é\\u0041")));
	tear_down(&f);
}

// Every sequence of RFC 3629's table at its bounds, at each distance from the start of a 16-byte step.
TEST(reader_checks_utf8)
{
	static const char *const good[] = {"\x7f",
					   "\xc2\x80",
					   "\xdf\xbf",
					   "\xe0\xa0\x80",
					   "\xec\xbf\xbf",
					   "\xed\x9f\xbf",
					   "\xee\x80\x80",
					   "\xef\xbf\xbf",
					   "\xf0\x90\x80\x80",
					   "\xf3\xbf\xbf\xbf",
					   "\xf4\x8f\xbf\xbf"};
	static const char *const bad[] = {
		"\x80",
		"\xbf",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2",
		"\xc2\x7f",
		"\xc2\xc0",
		"\xe0\x9f\xbf",
		"\xe1\x80",
		"\xe1\x80\x7f",
		"\xe1\xc0\x80",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf0\x8f\xbf\xbf",
		"\xf1\x80\x80",
		"\xf1\x80\x80\xc0",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xf8\x88\x80\x80\x80",
		"\xfe",
		"\xff",
		"é\x80",
		"\xe2\x82\xac\xac",
	};
	for (size_t pad = 0; pad < 40; pad++) {
		char text[80];
		struct slice s;
		for (size_t i = 0; i < MS_ARRAY_LEN(good) + MS_ARRAY_LEN(bad); i++) {
			bool is_good = i < MS_ARRAY_LEN(good);
			const char *bytes = is_good ? good[i] : bad[i - MS_ARRAY_LEN(good)];
			int n = snprintf(text, sizeof(text), "\"%0*d%s%s\"", (int)pad + 1, 0, bytes,
					 pad % 3 == 0 ? "x" : "");
			struct fixture f;
			set_up_with(&f, ms_slice(text, (size_t)n), NULL);
			CHECK_INT(ms_json_read_string(&f.r, &s), is_good);
			CHECK_INT(f.r.err, is_good ? MS_OK : MS_ERR_JSON_UTF8);
			if (is_good)
				CHECK_INT(s.n, n - 2);
			tear_down(&f);
		}
	}
}

// A special byte at every distance is seen: the end of the string, an escape, a control character.
TEST(reader_sees_every_byte_of_a_string)
{
	char text[80];
	for (size_t at = 1; at < 70; at++) {
		for (unsigned c = 0; c < 0x80; c++) {
			memset(text, 'a', sizeof(text));
			text[0] = text[71] = '"';
			text[at] = (char)c;
			struct fixture f;
			struct slice s;
			set_up_with(&f, ms_slice(text, 72), NULL);
			bool ok = ms_json_read_string(&f.r, &s);
			if (c == '"')
				CHECK(ok && s.n == at - 1);
			else // behind a backslash comes an 'a', which is no escape
				CHECK_INT(ok, c >= ' ' && c != '\\');
			tear_down(&f);
		}
	}
}

TEST(reader_takes_white_space_everywhere)
{
	char text[1024];
	for (int n = 0; n < 40; n++) {
		char w[64];
		for (int i = 0; i < n; i++)
			w[i] = " \t\r\n"[i * 7 % 4];
		w[n] = '\0';
		snprintf(text, sizeof(text), "%s{%s\"a\"%s:%s[%s1%s,%s2%s]%s}%s", w, w, w, w, w, w, w, w, w, w);
		struct fixture f;
		set_up(&f, text);
		CHECK(ms_json_skip(&f.r, NULL));
		CHECK_OK(ms_json_finish(&f.r));
		tear_down(&f);
	}
}

// No prefix of a document is a document, and none makes the reader look past its end.
TEST(reader_refuses_every_prefix)
{
	static const char text[] =
		"{\"a\\u00e9\\ud83d\\ude39\":[1,-2.5e+10,0.125,123456789012345678901234567890],\"é€😹\":"
		"{\"t\":true,\"f\":false,\"n\":null,\"s\":\"0123456789abcdefghijklmnop\\n\"}  ,\"z\":[[],{}]}";
	for (size_t n = 0; n < sizeof(text); n++) {
		struct fixture f;
		set_up_with(&f, ms_slice(text, n), NULL);
		bool ok = ms_json_skip(&f.r, NULL) && ms_json_finish(&f.r) == MS_OK;
		CHECK_INT(ok, n == sizeof(text) - 1);
		const struct json_value *value;
		enum ms_err err = ms_json_parse(ms_slice(f.text, n), NULL, &f.arena, NULL, &value);
		CHECK_INT(err == MS_OK, n == sizeof(text) - 1);
		tear_down(&f);
	}
}
