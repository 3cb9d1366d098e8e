// SPDX-License-Identifier: Apache-2.0
// Beside the suite (suite_test.c): messages, places, limits, and what hostile schemas and values cost.
#include <stdio.h>

#include "schema/internal.h"

#include "tests/lib/test.h"

#define MEMORY ((size_t)64 << 20)

static struct arena arena;

static const struct json_value *parse(const char *text)
{
	const struct json_value *v = NULL;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.max_depth = 1024;
	enum ms_err err = ms_json_parse(ms_slice_cstr(text), &limits, &arena, NULL, &v);
	if (ms_test_allocation_failed())
		return err == MS_OK ? v : NULL;
	REQUIRE(err == MS_OK);
	return v;
}

static struct schema *compile(const char *text)
{
	struct schema *schema = NULL;
	struct schema_options options = {.assert_format = true};
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_schema_compile(parse(text), &options, &info, &schema);
	if (err != MS_OK)
		printf("# %s\n", info.message);
	REQUIRE(err == MS_OK);
	return schema;
}

// What a value gets, one finding a line: "/a/0 maximum: is 9, must be at most 5".
static void check_says(const char *schema_text, const char *value, const char *want)
{
	ms_arena_init(&arena, 4096, MEMORY);
	struct schema *schema = compile(schema_text);
	struct schema_finding *found = NULL;
	size_t count = 0;
	CHECK_OK(ms_schema_check(schema, parse(value), 0, 10, &arena, NULL, &found, &count));
	struct buf out;
	ms_buf_init(&out, 65536);
	for (size_t i = 0; i < count; i++)
		ms_buf_printf(&out, "%s%.*s %.*s: %.*s", i > 0 ? "\n" : "", MS_SLICE_ARG(found[i].instance),
			      MS_SLICE_ARG(found[i].keyword), MS_SLICE_ARG(found[i].message));
	CHECK_SLICE(ms_buf_slice(&out), want);
	ms_buf_fini(&out);
	ms_schema_free(schema);
	ms_arena_fini(&arena);
}

static void check_refused(const char *schema_text, enum ms_err want, const char *words)
{
	ms_arena_init(&arena, 4096, MEMORY);
	struct schema *schema = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK_INT(ms_schema_compile(parse(schema_text), NULL, &info, &schema), want);
	CHECK_HAS(info.message, words);
	ms_schema_free(schema);
	ms_arena_fini(&arena);
}

TEST(findings_say_where_and_what)
{
	check_says("{\"type\":\"object\",\"required\":[\"a\",\"b\"],\"properties\":{\"a\":{\"maximum\":5}}}",
		   "{\"a\":9}", " required: lacks the member \"b\"\n/a maximum: is 9, must be at most 5");
	check_says("{\"items\":{\"properties\":{\"x/y~\":{\"type\":[\"integer\",\"null\"]}}}}", "[{},{\"x/y~\":\"é\"}]",
		   "/1/x~1y~0 type: is string (\"é\"), must be null or integer");
	check_says("{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1,\"c\":2}",
		   "/c additionalProperties: nothing may be here");
	check_says("{\"enum\":[\"a\",1,null]}", "true", " enum: is true, must be one of \"a\", 1, null");
	check_says("{\"const\":1.0}", "1", "");
	check_says("{\"minLength\":3,\"pattern\":\"^a\"}", "\"éé\"",
		   " minLength: has 2 characters, must have at least 3\n pattern: is \"éé\", must match ^a");
	check_says("{\"format\":\"date-time\"}", "\"yesterday\"",
		   " format: is \"yesterday\", must be a date and time like 2026-11-20T08:30:00Z");
	check_says("{\"oneOf\":[{\"type\":\"number\"},{\"minimum\":2}]}", "3",
		   " oneOf: fits alternatives 0 and 1, must fit one only");
	check_says("{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":2}]}", "1",
		   " anyOf: 1 fits none of the 2 alternatives");
	check_says("{\"uniqueItems\":true}", "[1,{\"a\":1,\"b\":2},{\"b\":2.0,\"a\":10e-1}]",
		   " uniqueItems: items 1 and 2 are equal, all must differ");
	check_says("false", "1", " false: nothing may be here");
}

// In the order of the value, whatever order the keywords stand in.
TEST(findings_are_in_document_order)
{
	check_says("{\"additionalProperties\":false,\"properties\":{\"z\":{\"type\":\"null\"}},\"allOf\":[{"
		   "\"properties\":{\"b\":{\"type\":\"null\"}}}]}",
		   "{\"a\":1,\"b\":2,\"z\":3}",
		   "/a additionalProperties: nothing may be here\n/b additionalProperties: nothing may be here\n"
		   "/b type: is number (2), must be null\n/z type: is number (3), must be null");
}

TEST(findings_stop_at_max)
{
	ms_arena_init(&arena, 4096, MEMORY);
	struct schema *schema = compile("{\"items\":{\"type\":\"string\"}}");
	struct schema_finding *found;
	size_t count = 0;
	CHECK_OK(ms_schema_check(schema, parse("[1,2,3,4,5,6]"), 0, 2, &arena, NULL, &found, &count));
	CHECK_INT(count, 2);
	CHECK_SLICE(found[1].instance, "/1");
	CHECK_OK(ms_schema_check(schema, parse("[1,2]"), 0, 0, &arena, NULL, &found, &count));
	CHECK_INT(count, 1);
	ms_schema_free(schema);
	ms_arena_fini(&arena);
}

TEST(bad_schemas_are_refused_with_their_place)
{
	check_refused("{\"properties\":{\"a\":{\"type\":\"strin\"}}}", MS_ERR_INVALID,
		      "at /properties/a: type is string, must be null");
	check_refused("{\"properties\":{\"a\":3}}", MS_ERR_INVALID, "at /properties/a: is number, must be a schema");
	check_refused("{\"$ref\":\"#/$defs/x\"}", MS_ERR_INVALID, "refers to #/$defs/x, where nothing is");
	check_refused("{\"$defs\":{\"unused\":{\"$ref\":\"http://x.example/y\"}}}", MS_ERR_INVALID,
		      "at /$defs/unused: refers to http://x.example/y");
	check_refused("{\"pattern\":\"(a\"}", MS_ERR_INVALID, "( without )");
	check_refused("{\"multipleOf\":0}", MS_ERR_INVALID, "above 0");
	check_refused("{\"minLength\":-1}", MS_ERR_INVALID, "a whole number from 0");
	check_refused("{\"$schema\":\"http://x.example/draft\"}", MS_ERR_INVALID,
		      "known are drafts 4, 6, 7, 2019-09 and 2020-12");
	check_refused("{\"required\":[1]}", MS_ERR_INVALID, "an array of names");
	check_refused("{\"allOf\":[]}", MS_ERR_INVALID, "at least one schema");
	check_refused("12", MS_ERR_INVALID, "must be a schema");
}

TEST(circles_are_refused)
{
	check_refused("{\"$ref\":\"#\"}", MS_ERR_INVALID, "refers to itself");
	check_refused("{\"anyOf\":[{\"type\":\"null\"},{\"$ref\":\"#/$defs/"
		      "a\"}],\"$defs\":{\"a\":{\"not\":{\"$ref\":\"#\"}}}}",
		      MS_ERR_INVALID, "refers to itself");
	// Recursion into the value is fine.
	check_says("{\"properties\":{\"next\":{\"$ref\":\"#\"}},\"maxProperties\":1}",
		   "{\"next\":{\"next\":{\"a\":1,\"b\":2}}}",
		   "/next/next maxProperties: has 2 members, must have at most 1");
}

// A circle by way of $dynamicRef is seen only while checking.
TEST(depth_is_bounded)
{
	ms_arena_init(&arena, 4096, MEMORY);
	struct schema *schema = compile("{\"$dynamicAnchor\":\"a\",\"$dynamicRef\":\"#a\"}");
	struct schema_finding *found;
	size_t count;
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK_INT(ms_schema_check(schema, parse("1"), 0, 1, &arena, &info, &found, &count), MS_ERR_LIMIT);
	CHECK_HAS(info.message, "too deep");
	ms_schema_free(schema);
	ms_arena_fini(&arena);
}

static void check_limit(const char *schema_text, const char *value, size_t steps)
{
	ms_arena_init(&arena, 4096, MEMORY);
	struct schema *schema = compile(schema_text);
	struct schema_finding *found;
	size_t count;
	CHECK_INT(ms_schema_check(schema, parse(value), steps, 1, &arena, NULL, &found, &count), MS_ERR_LIMIT);
	ms_schema_free(schema);
	ms_arena_fini(&arena);
}

TEST(steps_are_bounded)
{
	check_limit("{\"items\":{\"type\":\"integer\"}}", "[1,2,3,4,5,6,7,8,9,10,11,12]", 20);
	// Runaway expressions: exponential, and quadratic over a long text.
	check_limit("{\"pattern\":\"^(a+)+$\"}", "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"", 0);
	check_limit("{\"pattern\":\"(x+x+)+[yz]\"}", "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"", 0);
	struct buf text;
	ms_buf_init(&text, MEMORY);
	ms_buf_append_char(&text, '"');
	for (size_t i = 0; i < 200000; i++)
		ms_buf_append_char(&text, 'a');
	ms_buf_append(&text, "\"", 2);
	check_limit("{\"pattern\":\"[a-z]*;\"}", text.p, 0);
	// Doubling at each level: 2^30 ways.
	ms_buf_clear(&text);
	for (int i = 0; i < 30; i++)
		ms_buf_printf(&text, "%s\"d%d\":{\"allOf\":[{\"$ref\":\"#/$defs/d%d\"},{\"$ref\":\"#/$defs/d%d\"}]}",
			      i > 0 ? "," : "{\"$ref\":\"#/$defs/d0\",\"$defs\":{", i, i + 1, i + 1);
	ms_buf_append(&text, ",\"d30\":{\"type\":\"null\"}}}", 26);
	check_limit(text.p, "null", 0);
	ms_buf_fini(&text);
}

// 200,000 different items, and as many members: done within the steps, so without comparing each with each.
TEST(unique_items_and_names_are_not_quadratic)
{
	struct buf text;
	ms_buf_init(&text, MEMORY);
	for (int i = 0; i < 200000; i++)
		ms_buf_printf(&text, "%s{\"k\":%d}", i > 0 ? "," : "[", i);
	ms_buf_append(&text, "]", 2);
	check_says("{\"uniqueItems\":true}", text.p, "");
	text.n -= 2;
	ms_buf_append(&text, ",{\"k\":7.0}]", 12);
	check_says("{\"uniqueItems\":true}", text.p, " uniqueItems: items 7 and 200000 are equal, all must differ");
	ms_buf_fini(&text);
}

TEST(numbers_are_exact)
{
	check_says("{\"multipleOf\":0.01}", "19.99", "");
	check_says("{\"multipleOf\":0.1}", "0.30000000000000004",
		   " multipleOf: is 0.30000000000000004, must be a multiple of 0.1");
	check_says("{\"maximum\":9007199254740992}", "9007199254740993",
		   " maximum: is 9007199254740993, must be at most 9007199254740992");
	check_says("{\"type\":\"integer\"}", "1e400", "");
	check_says("{\"type\":\"integer\"}", "1.5e1", "");
	check_says("{\"type\":\"integer\"}", "15e-1", " type: is number (15e-1), must be integer");
	check_says("{\"exclusiveMinimum\":-0.0}", "0e5", " exclusiveMinimum: is 0e5, must be greater than 0");
	check_says("{\"enum\":[100]}", "1E+2", "");
	check_says("{\"multipleOf\":7}", "1e1000000000000", " multipleOf: is 1e1000000000000, must be a multiple of 7");
	check_says("{\"multipleOf\":8}", "1e1000000000000", "");
	check_says("{\"minimum\":1e-1000000}", "1e-1000001", " minimum: is 1e-1000001, must be at least the limit");
}

static bool matches(const char *pattern, const char *text)
{
	struct pattern p;
	bool found = false;
	size_t steps = 1000000;
	ms_arena_init(&arena, 4096, MEMORY);
	struct errinfo info;
	ms_errinfo_init(&info);
	pcre2_general_context *memory = ms_pattern_memory(&arena);
	REQUIRE(memory != NULL);
	enum ms_err err = ms_pattern_compile(ms_slice_cstr(pattern), memory, &info, &p);
	if (!CHECK_OK(err))
		printf("# %s: %s\n", pattern, info.message);
	if (err == MS_OK)
		CHECK_OK(ms_pattern_match(&p, ms_slice_cstr(text), &arena, &steps, &found));
	ms_arena_fini(&arena);
	return found;
}

static bool is_pattern(const char *pattern)
{
	struct buf out;
	struct errinfo info;
	ms_errinfo_init(&info);
	ms_buf_init(&out, 65536);
	enum ms_err err = ms_pattern_translate(ms_slice_cstr(pattern), &out, &info);
	CHECK(err == MS_OK || info.message[0] != '\0');
	ms_buf_fini(&out);
	return err == MS_OK;
}

TEST(expressions_mean_what_ecma_262_says)
{
	CHECK(!matches("^a$", "a\n"));
	CHECK(!matches("^\\d$", "\xd9\xa3")); // ARABIC-INDIC DIGIT THREE
	CHECK(matches("^\\s$", "\xef\xbb\xbf"));
	CHECK(!matches("^[\\S]$", "\xe2\x80\xa8"));
	CHECK(matches("^[^\\S]$", "\xc2\xa0"));
	CHECK(!matches("^.$", "\xe2\x80\xa9"));
	CHECK(matches("^\\u{1F600}\\ud83d\\ude00$", "\xf0\x9f\x98\x80\xf0\x9f\x98\x80"));
	CHECK(matches("^(?<y>\\d+)-\\k<y>$", "12-12"));
	CHECK(matches("^(?:(a)|b)\\1c$", "bc")); // a group that took no part is empty
	CHECK(matches("^[\\]\\-[:alpha:]+$", "[:]-"));
	CHECK(matches("^[[:a]+$", "[:a["));
	CHECK(matches("^\\cJ\\x41\\0?$", "\nA"));
	CHECK(matches("^\\v$", "\v") && !matches("^\\v$", "\n"));
	CHECK(matches("^{a}$", "{a}") && matches("^x{2}]$", "xx]"));
	CHECK(matches("^\\p{Letter}\\p{Script=Greek}\\P{Nd}$", "a\xce\xb1-"));
	CHECK(!matches("[]", "a") && matches("^[^]$", "\n"));
	CHECK(matches("^[\\b]$", "\b"));
	CHECK(matches("(?<=a)b(?!c)", "ab") && !matches("(?<!a)b", "ab"));
	CHECK(matches("\\Bb\\b", "ab"));
	CHECK(!matches("^[\\ud800]$", "a") && matches("^[^\\ud800]$", "a"));
}

TEST(what_only_pcre2_knows_is_refused)
{
	static const char *const bad[] = {
		"\\Z",      "\\A",         "\\a",  "\\Q.\\E",   "(?i)a",   "(?#x)",   "(?>a)",
		"(?P<n>a)", "a++",         "a*+",  "(*COMMIT)", "\\h",     "\\R",     "\\X",
		"\\C",      "\\K",         "\\G",  "\\1",       "\\k<n>",  "(?<1>a)", "(?<n>a)(?<n>b)",
		"[b-a]",    "a{2,1}",      "*",    "a**",       "(",       ")",       "[",
		"\\",       "\\u{110000}", "\\p{", "(?|a)",     "\\x{41}", "\\u00",   "\\c1",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		if (!CHECK(!is_pattern(bad[i])))
			printf("# %s\n", bad[i]);
	}
}

TEST(references_reach_given_documents)
{
	ms_arena_init(&arena, 4096, MEMORY);
	struct schema_document documents[] = {
		{MS_SLICE_LIT("https://x.example/money.json"),
		 parse("{\"$id\":\"https://x.example/"
		       "money.json\",\"$defs\":{\"cents\":{\"$anchor\":\"c\",\"type\":\"integer\"}}}")},
	};
	struct schema_options options = {.documents = documents, .document_count = 1};
	struct schema *schema = NULL;
	struct schema_finding *found;
	size_t count = 0;
	CHECK_OK(ms_schema_compile(
		parse("{\"$id\":\"https://x.example/order.json\",\"properties\":{\"p\":{\"$ref\":\"money.json#c\"}}}"),
		&options, NULL, &schema));
	CHECK_OK(ms_schema_check(schema, parse("{\"p\":1.5}"), 0, 5, &arena, NULL, &found, &count));
	CHECK_INT(count, 1);
	ms_schema_free(schema);
	// The compiled form owns what it needs: the memory of the documents is gone.
	CHECK_OK(ms_schema_compile(
		parse("{\"enum\":[\"left\",{\"a\":[1.50]}],\"properties\":{\"zz\":{\"pattern\":\"^q\"}}}"), NULL, NULL,
		&schema));
	ms_arena_fini(&arena);
	ms_arena_init(&arena, 4096, MEMORY);
	CHECK_OK(ms_schema_check(schema, parse("{\"a\":[15e-1]}"), 0, 5, &arena, NULL, &found, &count));
	CHECK_INT(count, 0);
	ms_schema_free(schema);
	ms_arena_fini(&arena);
}

TEST(compiled_size_is_bounded)
{
	struct buf text;
	ms_buf_init(&text, MEMORY);
	for (int i = 0; i < 5000; i++)
		ms_buf_printf(&text, "%s\"p%d\":{\"type\":\"integer\"}", i > 0 ? "," : "{\"properties\":{", i);
	ms_buf_append(&text, "}}", 3);
	ms_arena_init(&arena, 4096, MEMORY);
	struct schema_options options = {.max_bytes = 100000};
	struct schema *schema = NULL;
	CHECK_INT(ms_schema_compile(parse(text.p), &options, NULL, &schema), MS_ERR_LIMIT);
	ms_arena_fini(&arena);
	ms_buf_fini(&text);
}

static void once(void)
{
	struct schema *schema = NULL;
	struct schema_finding *found;
	size_t count;
	ms_arena_init(&arena, 4096, MEMORY);
	const struct json_value *v =
		parse("{\"$id\":\"a\",\"$ref\":\"https://json-schema.org/draft/2020-12/schema\",\"uniqueItems\":true,"
		      "\"properties\":{\"a\":{\"pattern\":\"^a+$\"}},\"unevaluatedProperties\":false}");
	if (v != NULL && ms_schema_compile(v, NULL, NULL, &schema) == MS_OK) {
		const struct json_value *value = parse("{\"a\":\"b\",\"minimum\":\"x\"}");
		if (value != NULL && ms_schema_check(schema, value, 0, 10, &arena, NULL, &found, &count) == MS_OK)
			CHECK_INT(count, 3);
		ms_schema_free(schema);
	}
	ms_arena_fini(&arena);
}

TEST(memory_may_run_out_anywhere)
{
	ms_test_torture(once);
}
