// SPDX-License-Identifier: Apache-2.0
// Structured fields: every case of httpwg/structured-field-tests (tests/vectors/README.md), read and written back, and what the cases do not ask.
#include <stdio.h>

#include "net/fields.h"
#include "json/json.h"

#include "tests/lib/test.h"

#define MEMORY ((size_t)64 << 20)

static const struct {
	const char *file;
	size_t cases;
} files[] = {
	{"binary", 15},
	{"boolean", 12},
	{"date", 17},
	{"dictionary", 26},
	{"display-string", 22},
	{"examples", 21},
	{"item", 5},
	{"key-generated", 640},
	{"large-generated", 11},
	{"list", 11},
	{"listlist", 12},
	{"number-generated", 193},
	{"number", 37},
	{"param-dict", 14},
	{"param-list", 20},
	{"param-listlist", 3},
	{"string-generated", 256},
	{"string", 14},
	{"token-generated", 256},
	{"token", 6},
	{"serialisation-tests/key-generated", 378},
	{"serialisation-tests/number", 9},
	{"serialisation-tests/string-generated", 33},
	{"serialisation-tests/token-generated", 124},
};

static const struct json_value *at(const struct json_value *array, size_t index)
{
	REQUIRE(array != NULL && array->type == JSON_ARRAY && index < array->array.count);
	return &array->array.items[index];
}

static struct slice text_of(const struct json_value *v)
{
	struct slice s;
	REQUIRE(ms_json_as_str(v, &s));
	return s;
}

static struct slice base32(struct slice text, struct arena *arena)
{
	char *bytes = ms_arena_alloc(arena, text.n + 1);
	uint64_t bits = 0;
	unsigned have = 0;
	size_t n = 0;
	REQUIRE(bytes != NULL);
	for (size_t i = 0; i < text.n && text.p[i] != '='; i++) {
		char c = text.p[i];
		bits = bits << 5 | (unsigned)(c >= 'A' ? c - 'A' : c - '2' + 26);
		have += 5;
		if (have >= 8) {
			have -= 8;
			bytes[n++] = (char)(bits >> have);
		}
	}
	return ms_slice(bytes, n);
}

// --- The expected value as ours ------------------------------------------------------------------------------------------

static struct sf_bare bare_of(const struct json_value *v, struct arena *arena)
{
	if (v->type == JSON_TRUE || v->type == JSON_FALSE)
		return (struct sf_bare){.type = SF_BOOLEAN, .boolean = v->type == JSON_TRUE};
	if (v->type == JSON_STRING)
		return (struct sf_bare){.type = SF_STRING, .text = v->str};
	if (v->type == JSON_NUMBER) {
		struct sf_bare b = {.type = SF_INTEGER};
		double f;
		if (ms_json_as_i64(v, &b.integer))
			return b;
		REQUIRE(ms_json_as_f64(v, &f));
		b.type = SF_DECIMAL;
		b.integer = (int64_t)__builtin_rint(f * 1000); // halves to the even one, as section 4.1.5 asks
		return b;
	}
	struct slice type = text_of(ms_json_get(v, "__type"));
	const struct json_value *value = ms_json_get(v, "value");
	struct sf_bare b = {.type = SF_DATE};
	if (ms_slice_eq_cstr(type, "date")) {
		REQUIRE(ms_json_as_i64(value, &b.integer));
		return b;
	}
	bool binary = ms_slice_eq_cstr(type, "binary");
	b.type = binary ? SF_BINARY : ms_slice_eq_cstr(type, "token") ? SF_TOKEN : SF_DISPLAY;
	b.text = binary ? base32(text_of(value), arena) : text_of(value);
	return b;
}

static struct sf_params params_of(const struct json_value *v, struct arena *arena)
{
	struct sf_param *items = MS_ARENA_ARRAY(arena, struct sf_param, v->array.count);
	REQUIRE(items != NULL);
	for (size_t i = 0; i < v->array.count; i++) {
		const struct json_value *pair = at(v, i);
		items[i].key = text_of(at(pair, 0));
		items[i].value = bare_of(at(pair, 1), arena);
	}
	return (struct sf_params){items, v->array.count};
}

static struct sf_item item_of(const struct json_value *v, struct arena *arena)
{
	return (struct sf_item){bare_of(at(v, 0), arena), params_of(at(v, 1), arena)};
}

static struct sf_member member_of(const struct json_value *v, struct arena *arena)
{
	const struct json_value *first = at(v, 0);
	struct sf_member m = {0};
	if (first->type != JSON_ARRAY) {
		m.item = item_of(v, arena);
		return m;
	}
	struct sf_item *items = MS_ARENA_ARRAY(arena, struct sf_item, first->array.count);
	REQUIRE(items != NULL);
	for (size_t i = 0; i < first->array.count; i++)
		items[i] = item_of(at(first, i), arena);
	m.inner = true;
	m.items = items;
	m.count = first->array.count;
	m.item.params = params_of(at(v, 1), arena);
	return m;
}

static struct sf_list list_of(const struct json_value *v, bool dictionary, struct arena *arena)
{
	struct sf_member *members = MS_ARENA_ARRAY(arena, struct sf_member, v->array.count);
	REQUIRE(members != NULL);
	for (size_t i = 0; i < v->array.count; i++) {
		members[i] = member_of(dictionary ? at(at(v, i), 1) : at(v, i), arena);
		if (dictionary)
			members[i].key = text_of(at(at(v, i), 0));
	}
	return (struct sf_list){members, v->array.count};
}

// --- Equality --------------------------------------------------------------------------------------------------------------

static bool same_bare(const struct sf_bare *a, const struct sf_bare *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == SF_BOOLEAN)
		return a->boolean == b->boolean;
	if (a->type == SF_INTEGER || a->type == SF_DECIMAL || a->type == SF_DATE)
		return a->integer == b->integer;
	return ms_slice_eq(a->text, b->text);
}

static bool same_params(const struct sf_params *a, const struct sf_params *b)
{
	bool same = a->count == b->count;
	for (size_t i = 0; same && i < a->count; i++)
		same = ms_slice_eq(a->items[i].key, b->items[i].key) &&
		       same_bare(&a->items[i].value, &b->items[i].value);
	return same;
}

static bool same_list(const struct sf_list *a, const struct sf_list *b)
{
	bool same = a->count == b->count;
	for (size_t i = 0; same && i < a->count; i++) {
		const struct sf_member *x = &a->members[i], *y = &b->members[i];
		same = ms_slice_eq(x->key, y->key) && x->inner == y->inner && x->count == y->count &&
		       same_params(&x->item.params, &y->item.params) &&
		       (x->inner || same_bare(&x->item.value, &y->item.value));
		for (size_t k = 0; same && k < x->count; k++)
			same = same_bare(&x->items[k].value, &y->items[k].value) &&
			       same_params(&x->items[k].params, &y->items[k].params);
	}
	return same;
}

// --- The cases ---------------------------------------------------------------------------------------------------------------

enum kind { ITEM, LIST, DICTIONARY };

// An item is a list of one here.
static enum ms_err parse(enum kind kind, struct slice text, struct arena *arena, struct sf_list *ret)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	if (kind != ITEM)
		return kind == LIST ? ms_sf_parse_list(text, arena, &info, ret)
				    : ms_sf_parse_dictionary(text, arena, &info, ret);
	struct sf_member *m = MS_ARENA_NEW(arena, struct sf_member);
	REQUIRE(m != NULL);
	*ret = (struct sf_list){m, 1};
	enum ms_err err = ms_sf_parse_item(text, arena, &info, &m->item);
	CHECK(err == MS_OK || (info.message[0] != '\0' && info.offset <= (int64_t)text.n));
	return err;
}

static bool write(enum kind kind, struct buf *out, const struct sf_list *list)
{
	ms_buf_clear(out);
	if (kind == ITEM)
		return ms_sf_write_item(out, &list->members[0].item);
	return kind == LIST ? ms_sf_write_list(out, list) : ms_sf_write_dictionary(out, list);
}

static struct slice joined(const struct json_value *lines, struct arena *arena)
{
	struct buf all;
	ms_buf_init(&all, MEMORY);
	for (size_t i = 0; lines != NULL && i < lines->array.count; i++) {
		ms_buf_append_cstr(&all, i > 0 ? ", " : "");
		ms_buf_append_slice(&all, text_of(at(lines, i)));
	}
	struct slice copy = ms_arena_copy(arena, ms_buf_slice(&all));
	ms_buf_fini(&all);
	REQUIRE(copy.p != NULL);
	return copy;
}

static bool is_set(const struct json_value *test, const char *name)
{
	const struct json_value *v = ms_json_get(test, name);
	return v != NULL && v->type == JSON_TRUE;
}

static bool run_case(const struct json_value *test, struct arena *arena)
{
	struct slice type = text_of(ms_json_get(test, "header_type"));
	enum kind kind = ms_slice_eq_cstr(type, "item") ? ITEM : ms_slice_eq_cstr(type, "list") ? LIST : DICTIONARY;
	const struct json_value *raw = ms_json_get(test, "raw"), *expected = ms_json_get(test, "expected");
	const struct json_value *canonical = ms_json_get(test, "canonical");
	bool must_fail = is_set(test, "must_fail"), ok = true;
	struct sf_list got, want;
	if (raw != NULL) {
		enum ms_err err = parse(kind, joined(raw, arena), arena, &got);
		CHECK(err == MS_OK || err == MS_ERR_HTTP_SYNTAX);
		if (must_fail || (err != MS_OK && is_set(test, "can_fail")))
			return err != MS_OK;
		ok = err == MS_OK;
	}
	if (kind == ITEM) {
		struct sf_member *m = MS_ARENA_NEW(arena, struct sf_member);
		REQUIRE(m != NULL);
		m->item = item_of(expected, arena);
		want = (struct sf_list){m, 1};
	} else {
		want = list_of(expected, kind == DICTIONARY, arena);
	}
	struct buf out;
	ms_buf_init(&out, MEMORY);
	bool wrote = write(kind, &out, &want);
	if (raw == NULL && must_fail) {
		ok = !wrote;
	} else {
		// 1.0 of JSON cannot be told from 1 in the expected values: the text decides.
		ok = ok && wrote && ms_slice_eq(ms_buf_slice(&out), joined(canonical != NULL ? canonical : raw, arena));
		ok = ok && (raw == NULL || same_list(&got, &want));
	}
	if (!ok)
		printf("# wrote %.*s\n", MS_SLICE_ARG(ms_buf_slice(&out)));
	ms_buf_fini(&out);
	return ok;
}

TEST(fields_all_public_cases)
{
	struct arena all, one;
	size_t run = 0;
	ms_arena_init(&all, 65536, MEMORY);
	ms_arena_init(&one, 65536, MEMORY);
	for (size_t i = 0; i < MS_ARRAY_LEN(files); i++) {
		char path[200];
		const struct json_value *tests;
		snprintf(path, sizeof(path), "tests/vectors/structured-fields/%s.json", files[i].file);
		REQUIRE(ms_json_parse(ms_test_file(path), NULL, &all, NULL, &tests) == MS_OK);
		CHECK_INT(tests->array.count, files[i].cases);
		for (size_t k = 0; k < tests->array.count; k++, run++) {
			if (!CHECK(run_case(at(tests, k), &one)))
				printf("# %s: %.*s\n", files[i].file,
				       MS_SLICE_ARG(text_of(ms_json_get(at(tests, k), "name"))));
			ms_arena_reset(&one);
		}
	}
	printf("# %zu cases\n", run);
	ms_arena_fini(&one);
	ms_arena_fini(&all);
}

TEST(fields_of_rate_limits)
{
	struct arena arena;
	struct sf_list list;
	ms_arena_init(&arena, 4096, 65536);
	CHECK_OK(ms_sf_parse_list(MS_SLICE_LIT("\"minute\";r=3;t=12, \"day\";r=0"), &arena, NULL, &list));
	CHECK_INT(list.count, 2);
	CHECK_SLICE(list.members[0].item.value.text, "minute");
	CHECK_INT(ms_sf_param(&list.members[0].item.params, "t")->integer, 12);
	CHECK(ms_sf_param(&list.members[1].item.params, "t") == NULL);
	struct sf_param params[] = {{MS_SLICE_LIT("q"), {.type = SF_INTEGER, .integer = 100}},
				    {MS_SLICE_LIT("w"), {.type = SF_INTEGER, .integer = 60}}};
	struct sf_member policy = {.item = {{.type = SF_STRING, .text = MS_SLICE_LIT("minute")}, {params, 2}}};
	struct buf out;
	ms_buf_init(&out, 200);
	CHECK(ms_sf_write_list(&out, &(struct sf_list){&policy, 1}));
	CHECK_SLICE(ms_buf_slice(&out), "\"minute\";q=100;w=60");
	ms_buf_fini(&out);
	CHECK_OK(ms_sf_parse_dictionary(MS_SLICE_LIT("u=3, i, u=1"), &arena, NULL, &list));
	CHECK_INT(list.count, 2);
	CHECK_INT(ms_sf_member(&list, "u")->item.value.integer, 1);
	CHECK(ms_sf_member(&list, "x") == NULL);
	ms_arena_fini(&arena);
}

TEST(fields_say_what_is_wrong)
{
	struct arena arena;
	struct sf_item item;
	struct sf_list list;
	struct errinfo info;
	ms_errinfo_init(&info);
	ms_arena_init(&arena, 4096, 1 << 20);
	CHECK_INT(ms_sf_parse_item(MS_SLICE_LIT("\"abc"), &arena, &info, &item), MS_ERR_HTTP_SYNTAX);
	CHECK_STR(info.message, "structured field: a printable character or \" expected at byte 4");
	CHECK_INT(info.offset, 4);
	CHECK_INT(ms_sf_parse_item(ms_slice("a\0b", 3), &arena, &info, &item), MS_ERR_HTTP_SYNTAX);
	struct buf many;
	ms_buf_init(&many, 65536);
	for (int i = 0; i < 1025; i++)
		ms_buf_append_cstr(&many, i > 0 ? ",1" : "1");
	CHECK_INT(ms_sf_parse_list(ms_buf_slice(&many), &arena, &info, &list), MS_ERR_LIMIT);
	many.n -= 2;
	CHECK_OK(ms_sf_parse_list(ms_buf_slice(&many), &arena, &info, &list));
	CHECK_INT(list.count, 1024);
	ms_buf_fini(&many);
	ms_arena_fini(&arena);
}
