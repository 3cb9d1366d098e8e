// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test.h"
#include "json/duplicate.h"
#include "json/json.h"

#define ARENA_MAX ((size_t)64 << 20)

static const struct json_value *parse(struct arena *arena, const char *text)
{
	const struct json_value *value = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	if (ms_json_parse(ms_slice_cstr(text), NULL, arena, &info, &value) != MS_OK)
		printf("# %s\n", info.message);
	return value;
}

TEST(tree_holds_what_was_written)
{
	struct arena arena;
	ms_arena_init(&arena, 1024, ARENA_MAX);
	const struct json_value *v = parse(&arena, "{\"n\":null,\"t\":true,\"f\":false,\"i\":-12,\"d\":1.25e2,\"s\":"
						   "\"x\\ty\",\"\\u0061\":[1,[2,{}],[]],\"o\":{\"k\":{}}}");
	REQUIRE(v != NULL);
	CHECK_INT(v->type, JSON_OBJECT);
	CHECK_INT(v->object.count, 8);
	CHECK_INT(ms_json_get(v, "n")->type, JSON_NULL);
	bool b = false;
	int64_t i = 0;
	double d = 0;
	struct slice s;
	CHECK(ms_json_as_bool(ms_json_get(v, "t"), &b) && b);
	CHECK(ms_json_as_bool(ms_json_get(v, "f"), &b) && !b);
	CHECK(ms_json_as_i64(ms_json_get(v, "i"), &i) && i == -12);
	CHECK(ms_json_as_f64(ms_json_get(v, "d"), &d) && d == 125);
	CHECK(ms_json_as_str(ms_json_get(v, "s"), &s));
	CHECK_SLICE(s, "x\ty");
	CHECK_SLICE(v->object.members[6].key, "a");
	const struct json_value *a = ms_json_get(v, "a");
	CHECK_INT(a->array.count, 3);
	CHECK_INT(a->array.items[1].array.items[1].type, JSON_OBJECT);
	CHECK_INT(a->array.items[2].array.count, 0);
	CHECK(ms_json_get(ms_json_get(ms_json_get(v, "o"), "k"), "none") == NULL);
	// Other types, absent values and numbers out of range are refused.
	CHECK(!ms_json_as_bool(ms_json_get(v, "n"), &b) && !ms_json_as_i64(ms_json_get(v, "d"), &i));
	CHECK(!ms_json_as_f64(ms_json_get(v, "s"), &d) && !ms_json_as_str(ms_json_get(v, "i"), &s));
	CHECK(!ms_json_as_f64(NULL, &d) && !ms_json_as_i64(NULL, &i) && !ms_json_as_bool(NULL, &b));
	CHECK(!ms_json_as_str(NULL, &s) && ms_json_get(NULL, "x") == NULL && ms_json_get(a, "x") == NULL);
	CHECK(!ms_json_as_f64(parse(&arena, "1e999"), &d) && !ms_json_as_i64(parse(&arena, "9223372036854775808"), &i));
	ms_arena_fini(&arena);
}

TEST(tree_scalars_stand_alone)
{
	struct arena arena;
	ms_arena_init(&arena, 1024, ARENA_MAX);
	CHECK_INT(parse(&arena, " true ")->type, JSON_TRUE);
	CHECK_INT(parse(&arena, "\"\"")->str.n, 0);
	CHECK_SLICE(parse(&arena, "-0.50e+1")->str, "-0.50e+1");
	CHECK_INT(parse(&arena, "[]")->array.count, 0);
	CHECK_INT(parse(&arena, "{}")->object.count, 0);
	ms_arena_fini(&arena);
}

TEST(tree_nan_where_allowed)
{
	struct arena arena;
	ms_arena_init(&arena, 1024, ARENA_MAX);
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.allow_nan = true;
	const struct json_value *v;
	REQUIRE(ms_json_parse(MS_SLICE_LIT("[NaN,Infinity,-Infinity,1]"), &limits, &arena, NULL, &v) == MS_OK);
	static const double wants[] = {NAN, INFINITY, -INFINITY, 1};
	for (size_t i = 0; i < 4; i++) {
		double d = 0;
		CHECK(ms_json_as_f64(&v->array.items[i], &d));
		CHECK_F64(d, wants[i]);
	}
	// JSON has no such numbers: written they become null.
	struct buf out;
	ms_buf_init(&out, 100);
	struct json_writer w;
	ms_json_writer_init(&w, &out);
	ms_json_value(&w, v);
	CHECK_SLICE(ms_buf_slice(&out), "[null,null,null,1]");
	ms_buf_fini(&out);
	ms_arena_fini(&arena);
}

// Objects of every size around the change of method; the same key at the first, a middle and the last place.
TEST(tree_finds_duplicates)
{
	struct arena arena;
	ms_arena_init(&arena, 4096, ARENA_MAX);
	static char text[65536];
	static const size_t sizes[] = {2, 3, 5, 12, 31, 32, 33, 34, 100, 1000};
	for (size_t s = 0; s < MS_ARRAY_LEN(sizes); s++) {
		for (int twice = 0; twice < 4; twice++) {
			size_t n = 0, last = sizes[s] - 1;
			size_t of[] = {SIZE_MAX, 0, last / 2, last - 1};
			for (size_t i = 0; i <= last; i++) {
				size_t key = twice > 0 && i == last ? of[twice] : i;
				n += (size_t)snprintf(text + n, sizeof(text) - n, "%c\"key%zu\":%zu",
						      i == 0 ? '{' : ',', key, i);
			}
			text[n++] = '}';
			struct errinfo info;
			ms_errinfo_init(&info);
			const struct json_value *v = NULL;
			enum ms_err err = ms_json_parse(ms_slice(text, n), NULL, &arena, &info, &v);
			CHECK_INT(err, twice > 0 ? MS_ERR_JSON_DUPLICATE_KEY : MS_OK);
			if (twice > 0) {
				char key[32];
				snprintf(key, sizeof(key), "key%zu", of[twice]);
				CHECK_STR(info.field, key);
				CHECK_INT(text[info.offset], '"');
				CHECK(info.offset > (int64_t)n - 20); // the second of the two
			}
			struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
			limits.reject_duplicates = false;
			REQUIRE(ms_json_parse(ms_slice(text, n), &limits, &arena, NULL, &v) == MS_OK);
			CHECK_INT(v->object.count, sizes[s]);
			ms_arena_reset(&arena);
		}
	}
	const struct json_value *v;
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK_INT(ms_json_parse(MS_SLICE_LIT("[{\"a\":1,\n\"\\u0061\":2}]"), NULL, &arena, &info, &v),
		  MS_ERR_JSON_DUPLICATE_KEY);
	CHECK_STR(info.field, "a");
	CHECK_INT(info.line, 2);
	CHECK_HAS(info.message, "the key \"a\" is twice in one object");
	ms_arena_fini(&arena);
}

// Keys that an attacker chose to fall on one slot of the hash table.
TEST(tree_finds_duplicates_among_colliding_keys)
{
	enum { COUNT = 300, MASK = 1023 };
	static struct json_member members[COUNT];
	static char names[COUNT][16];
	size_t n = 0;
	for (unsigned i = 0; n < COUNT; i++) {
		char name[16];
		int length = snprintf(name, sizeof(name), "k%u", i);
		if ((ms_hash(ms_slice(name, (size_t)length), (struct hash_seed){0, 0}) & MASK) != 7)
			continue;
		memcpy(names[n], name, sizeof(name));
		members[n].key = ms_slice_cstr(names[n]);
		n++;
	}
	struct arena arena;
	ms_arena_init(&arena, 1024, ARENA_MAX);
	const struct json_member *twice;
	CHECK_OK(ms_json_find_duplicate(members, COUNT, &arena, &twice));
	CHECK(twice == NULL);
	members[COUNT - 1].key = members[40].key;
	CHECK_OK(ms_json_find_duplicate(members, COUNT, &arena, &twice));
	CHECK(twice == &members[COUNT - 1]);
	ms_arena_fini(&arena);
}

TEST(tree_large_object_in_linear_time)
{
	enum { COUNT = 200000 };
	char *text = malloc(COUNT * 16);
	REQUIRE(text != NULL);
	size_t n = 0;
	for (unsigned i = 0; i < COUNT; i++)
		n += (size_t)sprintf(text + n, "%c\"%x\":%u", i == 0 ? '{' : ',', i, i % 10);
	text[n++] = '}';
	struct arena arena;
	ms_arena_init(&arena, 4096, ARENA_MAX);
	const struct json_value *v;
	CHECK_OK(ms_json_parse(ms_slice(text, n), NULL, &arena, NULL, &v));
	CHECK_INT(v->object.count, COUNT);
	CHECK_SLICE(v->object.members[COUNT - 1].key, "30d3f");
	ms_arena_fini(&arena);
	free(text);
}

TEST(tree_limits)
{
	struct arena arena;
	const struct json_value *v = NULL;
	struct errinfo info;
	static char text[40000];
	memset(text, '[', sizeof(text));
	ms_arena_init(&arena, 1024, ARENA_MAX);
	ms_errinfo_init(&info);
	CHECK_INT(ms_json_parse(ms_slice(text, sizeof(text)), NULL, &arena, &info, &v), MS_ERR_JSON_DEPTH);
	CHECK_INT(info.offset, 64);
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.max_bytes = 5;
	CHECK_OK(ms_json_parse(MS_SLICE_LIT("[1,2]"), &limits, &arena, &info, &v));
	CHECK_INT(ms_json_parse(MS_SLICE_LIT("[1,2] "), &limits, &arena, &info, &v), MS_ERR_JSON_SIZE);
	ms_arena_fini(&arena);
	// Ten thousand items need 240,000 bytes.
	for (size_t i = 0; i < sizeof(text); i += 2)
		memcpy(text + i, i == 0 ? "[1" : ",1", 2);
	text[20000] = ']';
	ms_arena_init(&arena, 1024, 200000);
	CHECK_INT(ms_json_parse(ms_slice(text, 20001), NULL, &arena, &info, &v), MS_ERR_LIMIT);
	CHECK_HAS(info.message, "more memory than the limit of 200000 bytes");
	ms_arena_fini(&arena);
	ms_arena_init(&arena, 1024, 600000);
	CHECK_OK(ms_json_parse(ms_slice(text, 20001), NULL, &arena, &info, &v));
	CHECK_INT(v->array.count, 10000);
	ms_arena_fini(&arena);
}

static void parse_and_write(void)
{
	static char text[16384];
	size_t n = 0;
	for (unsigned i = 0; i < 400; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%c\"k\\t%u\":[%u,\"s\"]", i == 0 ? '{' : ',', i, i);
	text[n++] = '}';
	struct arena arena;
	ms_arena_init(&arena, 1024, ARENA_MAX);
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct json_value *v = NULL;
	enum ms_err err = ms_json_parse(ms_slice(text, n), NULL, &arena, &info, &v);
	struct buf out;
	ms_buf_init(&out, sizeof(text));
	if (err == MS_OK) {
		struct json_writer w;
		ms_json_writer_init(&w, &out);
		ms_json_value(&w, v);
		CHECK(ms_test_allocation_failed() || ms_slice_eq(ms_buf_slice(&out), ms_slice(text, n)));
		CHECK(ms_buf_ok(&out) || ms_test_allocation_failed());
	} else {
		CHECK(ms_test_allocation_failed());
		CHECK_INT(err, MS_ERR_NO_MEMORY);
		CHECK_HAS(info.message, "out of memory");
	}
	ms_buf_fini(&out);
	ms_arena_fini(&arena);
}

TEST(tree_survives_failing_allocations)
{
	ms_test_torture(parse_and_write);
}

// Random trees are written, read, and written again: the same text.
static size_t random_value(struct rand *rand, char *dst, int depth)
{
	static const char *const scalars[] = {
		"null",   "true", "false", "0", "-1.5e-7", "123456789012345678901", "\"\"", "\"a\\\"\\u0001\"",
		"\"é€\"", "1.0"};
	size_t n = 0;
	uint64_t kind = ms_rand_below(rand, depth > 0 ? 4 : 2);
	if (kind < 2)
		return (size_t)sprintf(dst, "%s", scalars[ms_rand_below(rand, MS_ARRAY_LEN(scalars))]);
	dst[n++] = kind == 2 ? '[' : '{';
	size_t count = ms_rand_below(rand, 5);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			dst[n++] = ',';
		if (kind == 3)
			n += (size_t)sprintf(dst + n, "\"k%zu\":", i);
		n += random_value(rand, dst + n, depth - 1);
	}
	dst[n++] = kind == 2 ? ']' : '}';
	return n;
}

TEST(tree_writes_what_it_read)
{
	static char text[1 << 20];
	struct arena arena;
	ms_arena_init(&arena, 4096, ARENA_MAX);
	struct buf out;
	ms_buf_init(&out, sizeof(text));
	for (int i = 0; i < 3000; i++) {
		size_t n = random_value(ms_test_rand(), text, 8);
		const struct json_value *v;
		REQUIRE(ms_json_parse(ms_slice(text, n), NULL, &arena, NULL, &v) == MS_OK);
		ms_buf_clear(&out);
		struct json_writer w;
		ms_json_writer_init(&w, &out);
		ms_json_value(&w, v);
		if (!CHECK(ms_slice_eq(ms_buf_slice(&out), ms_slice(text, n))))
			break;
		ms_arena_reset(&arena);
	}
	ms_buf_fini(&out);
	ms_arena_fini(&arena);
}

// A tree deeper than a writer's own levels can be written.
TEST(tree_writes_the_deepest)
{
	enum { DEPTH = 1024 };
	static char text[2 * DEPTH];
	memset(text, '[', DEPTH);
	memset(text + DEPTH, ']', DEPTH);
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.max_depth = DEPTH;
	struct arena arena;
	ms_arena_init(&arena, 4096, ARENA_MAX);
	struct buf out;
	ms_buf_init(&out, sizeof(text));
	const struct json_value *v;
	REQUIRE(ms_json_parse(ms_slice(text, sizeof(text)), &limits, &arena, NULL, &v) == MS_OK);
	struct json_writer w;
	ms_json_writer_init(&w, &out);
	ms_json_value(&w, v);
	CHECK(ms_slice_eq(ms_buf_slice(&out), ms_slice(text, sizeof(text))));
	ms_buf_fini(&out);
	ms_arena_fini(&arena);
}
