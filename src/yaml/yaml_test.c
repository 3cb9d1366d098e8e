// SPDX-License-Identifier: Apache-2.0
#include "yaml/yaml.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test.h"

#define MEMORY ((size_t)256 << 20)

// The document as JSON.
static void check_reads(const char *yaml, const char *json)
{
	struct arena arena;
	ms_arena_init(&arena, 4096, MEMORY);
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct json_value *value;
	enum ms_err err = ms_yaml_parse(ms_slice_cstr(yaml), NULL, &arena, &info, &value, NULL);
	if (err != MS_OK) {
		CHECK_STR(info.message, json);
	} else {
		struct buf out;
		ms_buf_init(&out, MEMORY);
		struct json_writer w;
		ms_json_writer_init(&w, &out);
		ms_json_value(&w, value);
		CHECK_SLICE(ms_buf_slice(&out), json);
		ms_buf_fini(&out);
	}
	ms_arena_fini(&arena);
}

static void check_refused_as(const char *yaml, enum ms_err code, int64_t line, const char *part)
{
	struct arena arena;
	ms_arena_init(&arena, 4096, MEMORY);
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct json_value *value = NULL;
	CHECK_INT(ms_yaml_parse(ms_slice_cstr(yaml), NULL, &arena, &info, &value, NULL), code);
	CHECK_INT(info.line, line);
	CHECK_HAS(info.message, part);
	CHECK(value == NULL);
	ms_arena_fini(&arena);
}

static void check_refused(const char *yaml, int64_t line, const char *part)
{
	check_refused_as(yaml, MS_ERR_CONFIG, line, part);
}

TEST(scalars_are_those_of_the_core_schema)
{
	check_reads("[null, ~, Null, NULL]", "[null,null,null,null]");
	check_reads("[true, True, TRUE, false, yes, no, on, off, y]",
		    "[true,true,true,false,\"yes\",\"no\",\"on\",\"off\",\"y\"]");
	check_reads("[1, -1, +1, 007, 0, -0, 0x1f, 0o17, 0x, 0o8, 1_000, 12:30]",
		    "[1,-1,1,7,0,-0,31,15,\"0x\",\"0o8\",\"1_000\",\"12:30\"]");
	check_reads("[1.5, .5, 5., -.5e3, 1e3, 1E-2, 1e, ., .e1, '1', \"2\"]",
		    "[1.5,0.5,5.0,-0.5e3,1e3,1e-2,\"1e\",\".\",\".e1\",\"1\",\"2\"]");
	check_reads("0xffffffffffffffff", "18446744073709551615");
	check_reads("!!str 5", "\"5\"");
	check_reads("[! 5, !!int '5', !!null '', !!bool 'true', !!float '1.5']", "[\"5\",5,null,true,1.5]");
	check_reads("3.0", "3.0");
	check_reads("2026-11-20", "\"2026-11-20\"");
}

TEST(documents_become_trees)
{
	check_reads("", "null");
	check_reads("# only a comment\n", "null");
	check_reads("\xef\xbb\xbf"
		    "a: 1\n",
		    "{\"a\":1}");
	check_reads("a:\n- b: 1\n  c: [2, {d: 3}]\n- x\nz:\n",
		    "{\"a\":[{\"b\":1,\"c\":[2,{\"d\":3}]},\"x\"],\"z\":null}");
	check_reads("{\"a\": [1, 2.5, null, \"x\\u00e9\\/\"], \"b\": {}}",
		    "{\"a\":[1,2.5,null,\"x\xc3\xa9/\"],\"b\":{}}");
	check_reads("200: ok\ntrue: b\n", "{\"200\":\"ok\",\"true\":\"b\"}");
	check_reads("a: |\n  one\n  two\nb: >\n  one\n  two\n", "{\"a\":\"one\\ntwo\\n\",\"b\":\"one two\\n\"}");
	check_reads("---\na: 1\n...\n", "{\"a\":1}");
	check_reads("paths: [~/a, '~/b']", "{\"paths\":[\"~/a\",\"~/b\"]}");
}

TEST(aliases_and_merges_are_followed)
{
	check_reads("a: &x {b: 1}\nc: *x\nd: [*x, *x]",
		    "{\"a\":{\"b\":1},\"c\":{\"b\":1},\"d\":[{\"b\":1},{\"b\":1}]}");
	check_reads("- &a 1\n- *a\n- &a 2\n- *a", "[1,1,2,2]");
	check_reads("- &x {a: 1, b: 2}\n- {<<: *x, b: 3, c: 4}", "[{\"a\":1,\"b\":2},{\"b\":3,\"c\":4,\"a\":1}]");
	check_reads("- &x {a: 1}\n- &y {a: 2, b: 2}\n- {<<: [*x, *y], c: 3}",
		    "[{\"a\":1},{\"a\":2,\"b\":2},{\"c\":3,\"a\":1,\"b\":2}]");
	check_reads("{'<<': 1}", "{\"<<\":1}");
	check_refused("{<<: 1}", 1, "takes a mapping or a list of mappings; found number");
}

TEST(what_is_wrong_is_told_with_its_line)
{
	check_refused("a: 1\nb: 2\na: 3\n", 3, "the key \"a\" stands twice; the first time in line 1");
	check_refused("a: 1\nb: *x\n", 2, "*x: no anchor of that name is complete");
	check_refused("a: &x [*x]\n", 1, "*x: no anchor");
	check_refused("- &x 1\n- &x [*x]\n", 2, "*x: no anchor");
	check_refused("a: !foo 1\n", 1, "the tag !foo is not supported");
	check_refused("a: !!binary AA==\n", 1, "is not supported");
	check_refused("a: !!set {b}\n", 1, "is not supported");
	check_refused("a: !!int x\n", 1, "\"x\" is not what the tag !!int says");
	check_refused("a: !!null x\n", 1, "is not what the tag !!null says");
	check_refused("a: 1\n---\nb: 2\n", 2, "a second document");
	check_refused("? [a]\n: 1\n", 1, "a key is a list; expected text");
	check_refused("? {a: 1}\n: 1\n", 1, "a key is a mapping");
	check_refused("- &x a\n- {*x : 1}\n", 2, "an alias stands where a key is expected");
	check_refused("&x a: 1\n", 1, "an anchor or a tag");
	check_refused("a: .inf", 1, ".inf is not a number that JSON has; put it in quotes");
	check_refused("a: .nan", 1, "not a number that JSON has");
	check_refused("a: 0x10000000000000000", 1, "is too large a number");
	check_refused("a: 1e999", 1, "is too large a number");
	check_refused("a:\n\tb: 1\n", 2, "indent with spaces, not with tabs");
	check_refused("a: [1, 2\n", 2, "not valid YAML");
	check_refused("a: 1\nb: \xff\n", 2, "not valid YAML");
	check_refused("a: \"\\ud800\"\n", 1, "not valid YAML");
}

TEST(lines_are_found_again)
{
	struct arena arena;
	ms_arena_init(&arena, 4096, MEMORY);
	const struct json_value *root;
	struct yaml_lines *lines;
	REQUIRE(ms_yaml_parse(MS_SLICE_LIT("\na:\n  - b: 1\n    c: &x\n      d: 2\n  - *x\n"), NULL, &arena, NULL,
			      &root, &lines) == MS_OK);
	CHECK_INT(ms_yaml_line(lines, root), 2);
	const struct json_value *a = ms_json_get(root, "a");
	CHECK_INT(ms_yaml_line(lines, a), 3);
	CHECK_INT(ms_yaml_line(lines, &a->array.items[0]), 3);
	const struct json_value *c = ms_json_get(&a->array.items[0], "c");
	CHECK_INT(ms_yaml_line(lines, ms_json_get(c, "d")), 5);
	CHECK_INT(ms_yaml_line(lines, &a->array.items[1]), 6);
	CHECK_INT(ms_yaml_line(lines, ms_json_get(&a->array.items[1], "d")), 5);
	struct json_value other = {.type = JSON_NULL};
	CHECK_INT(ms_yaml_line(lines, &other), -1);
	CHECK_INT(ms_yaml_line(NULL, a), -1);
	ms_arena_fini(&arena);
}

static void append(char **at, const char *end, const char *text)
{
	size_t n = strlen(text);
	REQUIRE((size_t)(end - *at) > n);
	memcpy(*at, text, n + 1);
	*at += n;
}

TEST(small_files_cannot_become_large)
{
	// Nine levels of nine: a billion values if they were written out.
	static char text[4096];
	char *at = text;
	append(&at, text + sizeof(text), "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
	for (int i = 1; i < 10; i++) {
		char line[128];
		snprintf(line, sizeof(line), "a%d: &a%d [*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d,*a%d]\n", i, i, i - 1,
			 i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
		append(&at, text + sizeof(text), line);
	}
	check_refused_as(text, MS_ERR_LIMIT, 7, "more than 1000000 values, aliases counted as often as they are used");
	// Depth by aliases: each holds the one before.
	at = text;
	append(&at, text + sizeof(text), "a0: &a0 [x]\n");
	for (int i = 1; i < 70; i++) {
		char line[64];
		snprintf(line, sizeof(line), "a%d: &a%d [*a%d]\n", i, i, i - 1);
		append(&at, text + sizeof(text), line);
	}
	check_refused_as(text, MS_ERR_LIMIT, 64, "nested deeper than 64 levels");
	memset(text, '[', 65);
	text[65] = '\0';
	check_refused_as(text, MS_ERR_LIMIT, 1, "nested deeper than 64 levels");
}

TEST(limits_are_the_callers)
{
	struct arena arena;
	ms_arena_init(&arena, 4096, MEMORY);
	const struct json_value *value;
	const struct yaml_limits nodes = {.nodes = 3}, bytes = {.bytes = 3}, depth = {.depth = 1};
	CHECK_INT(ms_yaml_parse(MS_SLICE_LIT("[1,2]"), &nodes, &arena, NULL, &value, NULL), MS_OK);
	CHECK_INT(ms_yaml_parse(MS_SLICE_LIT("[1,2,3]"), &nodes, &arena, NULL, &value, NULL), MS_ERR_LIMIT);
	CHECK_INT(ms_yaml_parse(MS_SLICE_LIT("[1]"), &bytes, &arena, NULL, &value, NULL), MS_OK);
	CHECK_INT(ms_yaml_parse(MS_SLICE_LIT("[12]"), &bytes, &arena, NULL, &value, NULL), MS_ERR_LIMIT);
	CHECK_INT(ms_yaml_parse(MS_SLICE_LIT("[1]"), &depth, &arena, NULL, &value, NULL), MS_OK);
	CHECK_INT(ms_yaml_parse(MS_SLICE_LIT("[[1]]"), &depth, &arena, NULL, &value, NULL), MS_ERR_LIMIT);
	ms_arena_fini(&arena);
}

static void read_much(void)
{
	struct arena arena;
	ms_arena_init(&arena, 256, 1 << 20);
	const struct json_value *value;
	struct yaml_lines *lines;
	enum ms_err err = ms_yaml_parse(MS_SLICE_LIT("a: &x {b: 1, c: [1, 0x2, 'text']}\nd: {<<: *x, e: *x}\n"), NULL,
					&arena, NULL, &value, &lines);
	CHECK(err == MS_OK ? !ms_test_allocation_failed() : err == MS_ERR_NO_MEMORY);
	ms_arena_fini(&arena);
}

TEST(failing_allocations_leave_nothing_behind)
{
	ms_test_torture(read_much);
}
