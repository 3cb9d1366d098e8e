// SPDX-License-Identifier: Apache-2.0
#include "gateway/record.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/test.h"

#define MEMORY ((size_t)16 << 20)

struct inner {
	struct slice host;
	int64_t port;
};
struct sample {
	bool on;
	int64_t count;
	int64_t limit;
	double ratio;
	struct slice name, secret;
	int color;
	struct text_list words;
	uint64_t colors;
	struct integer_list codes;
	struct text_map headers;
	struct inner redis;
	struct record_list many;
	const struct json_value *any;
};

static enum ms_err check_even(const struct json_value *value, struct errinfo *info)
{
	int64_t number = 0;
	if (ms_json_as_i64(value, &number) && number % 2 == 0)
		return MS_OK;
	return ms_fail(info, MS_ERR_CONFIG, "%lld is odd; expected an even number", (long long)number);
}

static const char *const colors[] = {"red", "green", "blue", NULL};
static const struct field inner_fields[] = {
	{.name = "host",
	 .kind = FIELD_STRING,
	 .offset = offsetof(struct inner, host),
	 .required = true,
	 .alias = "redis_host"},
	{.name = "port",
	 .kind = FIELD_INTEGER,
	 .offset = offsetof(struct inner, port),
	 .fallback = "6379",
	 .min = 1,
	 .max = 65535,
	 .alias = "redis_port"},
	{0},
};
static const struct field fields[] = {
	{.name = "on",
	 .kind = FIELD_BOOL,
	 .offset = offsetof(struct sample, on),
	 .fallback = "true",
	 .help = "Whether it is on."},
	{.name = "count",
	 .kind = FIELD_INTEGER,
	 .offset = offsetof(struct sample, count),
	 .fallback = "10",
	 .min = 1,
	 .max = 100},
	{.name = "limit",
	 .kind = FIELD_INTEGER,
	 .offset = offsetof(struct sample, limit),
	 .fallback = "6",
	 .nullable_only = true,
	 .check = check_even},
	{.name = "ratio", .kind = FIELD_NUMBER, .offset = offsetof(struct sample, ratio), .fallback = "0.5", .max = 1},
	{.name = "name",
	 .kind = FIELD_STRING,
	 .offset = offsetof(struct sample, name),
	 .required = true,
	 .min = 1,
	 .max = 8},
	{.name = "secret", .kind = FIELD_STRING, .offset = offsetof(struct sample, secret), .secret = true, .max = 4},
	{.name = "color",
	 .kind = FIELD_CHOICE,
	 .offset = offsetof(struct sample, color),
	 .fallback = "\"green\"",
	 .choices = colors},
	{.name = "words", .kind = FIELD_STRINGS, .offset = offsetof(struct sample, words), .alias = "texts"},
	{.name = "colors",
	 .kind = FIELD_CHOICES,
	 .offset = offsetof(struct sample, colors),
	 .fallback = "[\"red\",\"blue\"]",
	 .choices = colors},
	{.name = "codes", .kind = FIELD_INTEGERS, .offset = offsetof(struct sample, codes), .min = 100, .max = 999},
	{.name = "headers", .kind = FIELD_MAP, .offset = offsetof(struct sample, headers)},
	{.name = "redis", .kind = FIELD_RECORD, .offset = offsetof(struct sample, redis), .fields = inner_fields},
	{.name = "many",
	 .kind = FIELD_RECORDS,
	 .offset = offsetof(struct sample, many),
	 .fields = inner_fields,
	 .record_bytes = sizeof(struct inner)},
	{.name = "any", .kind = FIELD_JSON, .offset = offsetof(struct sample, any)},
	{0},
};

struct fixture {
	struct arena arena;
	struct problems problems;
	struct sample sample;
	bool good;
	char text[4096]; // the problems, one a line
};

static void read_sample(struct fixture *f, const char *yaml)
{
	*f = (struct fixture){0};
	ms_arena_init(&f->arena, 4096, MEMORY);
	struct yaml_lines *lines;
	const struct json_value *value;
	REQUIRE(ms_yaml_parse(ms_slice_cstr(yaml), NULL, &f->arena, NULL, &value, &lines) == MS_OK);
	f->problems = (struct problems){.arena = &f->arena, .lines = lines};
	f->good = ms_record_read(fields, value, "config", &f->arena, &f->problems, &f->sample);
	size_t n = 0;
	for (size_t i = 0; i < f->problems.count; i++) {
		const struct problem *p = &f->problems.items[i];
		n += (size_t)snprintf(f->text + n, sizeof(f->text) - n, "%lld %.*s: %.*s\n", (long long)p->line,
				      MS_SLICE_ARG(p->path), MS_SLICE_ARG(p->message));
		REQUIRE(n < sizeof(f->text));
	}
	CHECK(f->good == (f->problems.count == 0));
}

static void check_problem(const char *yaml, const char *text)
{
	struct fixture f;
	read_sample(&f, yaml);
	CHECK_STR(f.text, text);
	ms_arena_fini(&f.arena);
}

static void check_written(const struct fixture *f, bool hide, const char *json)
{
	struct buf out;
	ms_buf_init(&out, MEMORY);
	struct json_writer w;
	ms_json_writer_init(&w, &out);
	ms_record_write(fields, &f->sample, hide, &w);
	CHECK_SLICE(ms_buf_slice(&out), json);
	ms_buf_fini(&out);
}

TEST(defaults_are_filled_in)
{
	struct fixture f;
	read_sample(&f, "name: x");
	REQUIRE(f.good);
	CHECK(f.sample.on && f.sample.count == 10 && f.sample.limit == 6 && f.sample.ratio == 0.5);
	CHECK_INT(f.sample.color, 1);
	CHECK_INT(f.sample.colors, 5);
	CHECK_INT(f.sample.redis.port, 6379);
	CHECK(f.sample.redis.host.p == NULL && f.sample.words.items == NULL && f.sample.any == NULL);
	check_written(&f, true,
		      "{\"on\":true,\"count\":10,\"limit\":6,\"ratio\":0.5,\"name\":\"x\",\"secret\":null,\"color\":"
		      "\"green\",\"words\":null,"
		      "\"colors\":[\"red\",\"blue\"],\"codes\":null,\"headers\":null,\"redis\":{\"host\":null,\"port\":"
		      "6379},\"many\":null,\"any\":null}");
	ms_arena_fini(&f.arena);
	read_sample(&f, "{name: x, on: null, limit: null, count: ~}");
	REQUIRE(f.good);
	CHECK(f.sample.on && f.sample.count == 10 && f.sample.limit == 0); // null is "off" for one of them
	ms_arena_fini(&f.arena);
}

TEST(values_are_read_and_written)
{
	struct fixture f;
	read_sample(&f, "on: false\ncount: 20.0\nlimit: 8\nratio: 1\nname: a\nsecret: abc\ncolor: blue\ntexts: "
			"one\ncolors: green\ncodes: [200, 404]\n"
			"headers: {a: b, c: [d, e]}\nredis: {host: h, port: 1}\nmany: [{host: i}]\nany: [1, {}]\n");
	CHECK_STR(f.text, "");
	check_written(&f, false,
		      "{\"on\":false,\"count\":20,\"limit\":8,\"ratio\":1.0,\"name\":\"a\",\"secret\":\"abc\","
		      "\"color\":\"blue\",\"words\":[\"one\"],"
		      "\"colors\":[\"green\"],\"codes\":[200,404],\"headers\":{\"a\":[\"b\"],\"c\":[\"d\",\"e\"]},"
		      "\"redis\":{\"host\":\"h\",\"port\":1},"
		      "\"many\":[{\"host\":\"i\",\"port\":6379}],\"any\":[1,{}]}");
	struct buf out;
	ms_buf_init(&out, MEMORY);
	struct json_writer w;
	ms_json_writer_init(&w, &out);
	ms_record_write(fields, &f.sample, true, &w);
	ms_buf_append_char(&out, '\0');
	CHECK(strstr(out.p, "abc") == NULL);
	CHECK_HAS(out.p, "\"secret\":\"…\"");
	ms_buf_fini(&out);
	ms_arena_fini(&f.arena);
}

TEST(flat_names_of_old_files_are_read)
{
	struct fixture f;
	read_sample(&f, "{name: x, redis_host: h, redis_port: 7}");
	CHECK_STR(f.text, "");
	CHECK_SLICE(f.sample.redis.host, "h");
	CHECK_INT(f.sample.redis.port, 7);
	ms_arena_fini(&f.arena);
	read_sample(&f, "{name: x, redis_port: 7, redis: {host: i}}");
	CHECK_STR(f.text, "");
	CHECK_SLICE(f.sample.redis.host, "i");
	CHECK_INT(f.sample.redis.port, 7);
	ms_arena_fini(&f.arena);
	check_problem("{name: x, redis_host: h, redis: {host: i}}",
		      "1 config.redis.host: given twice: redis_host is an older name of host\n");
	check_problem("{name: x, words: [], texts: []}",
		      "1 config.words: given twice: texts is an older name of words\n");
}

TEST(problems_say_what_was_found_and_what_would_be_right)
{
	check_problem("[]", "1 config: found a list; expected an object\n");
	check_problem("a: 1", "1 config.a: unknown field\n1 config.name: required, but it is missing\n");
	check_problem("name: x\ncuont: 5\n", "2 config.cuont: unknown field; did you mean count?\n");
	check_problem("name: x\non: yes\n", "2 config.on: found \"yes\"; expected true or false\n");
	check_problem("name: x\ncount: 101",
		      "2 config.count: found the number 101; expected a whole number from 1 to 100\n");
	check_problem("name: x\ncount: 1.5",
		      "2 config.count: found the number 1.5; expected a whole number from 1 to 100\n");
	check_problem("name: x\ncount: 1e300",
		      "2 config.count: found the number 1e300; expected a whole number from 1 to 100\n");
	check_problem("name: x\ncount: '5'", "2 config.count: found \"5\"; expected a whole number from 1 to 100\n");
	check_problem("name: x\nlimit: 7", "2 config.limit: 7 is odd; expected an even number\n");
	check_problem("name: x\nratio: -0.1", "2 config.ratio: found the number -0.1; expected a number from 0 to 1\n");
	check_problem("name: 5", "1 config.name: found the number 5; expected text: put it in quotes\n");
	check_problem("name: []", "1 config.name: found a list; expected text\n");
	check_problem("name: ''", "1 config.name: found text of 0 bytes; expected 1 to 8\n");
	check_problem("name: \"a\\0b\"", "1 config.name: found a NUL in the text; expected none\n");
	check_problem("{name: x, secret: 123}", "1 config.secret: found a number; expected text: put it in quotes\n");
	check_problem("{name: x, color: gren}",
		      "1 config.color: found \"gren\"; expected red, green or blue; did you mean green?\n");
	check_problem("{name: x, color: [red]}", "1 config.color: found a list; expected red, green or blue\n");
	check_problem("name: x\nwords:\n- a\n- 1\n- true\n",
		      "4 config.words[1]: found the number 1; expected text: put it in quotes\n5 config.words[2]: "
		      "found true; expected text: put it in quotes\n");
	check_problem("name: x\ncolors: [red, pink]",
		      "2 config.colors[1]: found \"pink\"; expected red, green or blue\n");
	check_problem("name: x\ncodes: [99]",
		      "2 config.codes[0]: found the number 99; expected a whole number from 100 to 999\n");
	check_problem("name: x\nheaders: {a: 1}",
		      "2 config.headers.a: found the number 1; expected text: put it in quotes\n");
	check_problem("name: x\nheaders: [a]",
		      "2 config.headers: found a list; expected an object of names and texts\n");
	check_problem("name: x\nredis: {port: 0}",
		      "2 config.redis.host: required, but it is missing\n2 config.redis.port: found the number 0; "
		      "expected a whole number from 1 to 65535\n");
	check_problem("name: x\nmany:\n- host: a\n- hots: b\n",
		      "4 config.many[1].hots: unknown field; did you mean host?\n4 config.many[1].host: required, but "
		      "it is missing\n");
	check_problem("name: x\nmany: {}", "2 config.many: found an object; expected a list of objects\n");
	check_problem("name: \"\\e[31m2345678\"", "1 config.name: found text of 12 bytes; expected 1 to 8\n");
	check_problem("{name: x, color: \"\\e[31m\"}",
		      "1 config.color: found \"?[31m\"; expected red, green or blue\n");
}

TEST(problems_are_kept_up_to_a_limit)
{
	struct buf yaml;
	ms_buf_init(&yaml, MEMORY);
	ms_buf_append_cstr(&yaml, "{name: x, words: [");
	for (int i = 0; i < 300; i++)
		ms_buf_append_cstr(&yaml, "1, ");
	ms_buf_append_cstr(&yaml, "]}");
	struct arena arena;
	ms_arena_init(&arena, 4096, MEMORY);
	const struct json_value *value;
	REQUIRE(ms_yaml_parse(ms_buf_slice(&yaml), NULL, &arena, NULL, &value, NULL) == MS_OK);
	struct problems problems = {.arena = &arena};
	struct sample sample = {0};
	CHECK(!ms_record_read(fields, value, "", &arena, &problems, &sample));
	CHECK_INT(problems.count, MS_PROBLEMS_MAX);
	CHECK_SLICE(problems.items[0].path, "words[0]");
	CHECK_INT(problems.items[0].line, -1);
	ms_arena_fini(&arena);
	ms_buf_fini(&yaml);
}

TEST(tables_become_schemas)
{
	struct buf out;
	ms_buf_init(&out, MEMORY);
	struct json_writer w;
	ms_json_writer_init(&w, &out);
	ms_record_write_schema(fields, &w);
	struct arena arena;
	ms_arena_init(&arena, 4096, MEMORY);
	const struct json_value *schema;
	REQUIRE(ms_json_parse(ms_buf_slice(&out), NULL, &arena, NULL, &schema) == MS_OK);
	ms_buf_append_char(&out, '\0');
	CHECK_HAS(out.p, "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"on\":{\"type\":"
			 "\"boolean\",\"description\":\"Whether it is "
			 "on.\",\"default\":true}");
	CHECK_HAS(out.p, "\"count\":{\"type\":\"integer\",\"minimum\":1.0,\"maximum\":100.0,\"default\":10}");
	CHECK_HAS(out.p, "\"color\":{\"enum\":[\"red\",\"green\",\"blue\"],\"default\":\"green\"}");
	CHECK_HAS(out.p, "\"required\":[\"name\"]");
	CHECK_HAS(out.p, "\"writeOnly\":true");
	ms_arena_fini(&arena);
	ms_buf_fini(&out);
}

static void read_with_failures(void)
{
	struct arena arena;
	ms_arena_init(&arena, 64, MEMORY);
	const struct json_value *value;
	struct problems problems = {.arena = &arena};
	struct sample sample = {0};
	if (ms_json_parse(
		    MS_SLICE_LIT(
			    "{\"name\":\"x\",\"words\":[\"a\"],\"many\":[{\"host\":\"h\"}],\"headers\":{\"a\":\"b\"}}"),
		    NULL, &arena, NULL, &value) == MS_OK)
		CHECK(ms_record_read(fields, value, "", &arena, &problems, &sample) || ms_test_allocation_failed());
	ms_arena_fini(&arena);
}

TEST(reading_copes_without_memory)
{
	ms_test_torture(read_with_failures);
}
