// SPDX-License-Identifier: Apache-2.0
#include "gateway/record.h"

#include <stdarg.h>
#include <stdio.h>

#define STRING_MAX ((size_t)1 << 20)
#define SHOWN_MAX 64
#define FIELDS_MAX 96 // of one table, for hints

struct reading {
	struct arena *arena;
	struct problems *problems;
};

// --- Problems --------------------------------------------------------------------------------------

void ms_problem_add(struct problems *problems, const char *path, const struct json_value *where, const char *fmt, ...)
{
	if (problems->count == MS_PROBLEMS_MAX)
		return;
	if (problems->items == NULL)
		problems->items = MS_ARENA_ARRAY(problems->arena, struct problem, MS_PROBLEMS_MAX);
	char text[MS_ERRINFO_MESSAGE_SIZE];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	}
	struct slice message = ms_arena_copy(problems->arena, ms_slice_cstr(text));
	struct slice place = ms_arena_copy(problems->arena, ms_slice_cstr(path));
	if (problems->items == NULL || message.p == NULL || place.p == NULL)
		return;
	problems->items[problems->count++] = (struct problem){place, message, ms_yaml_line(problems->lines, where)};
}

const char *ms_problem_path(struct problems *problems, const char *path, struct slice name)
{
	const char *joined = ms_arena_printf(problems->arena, "%s%s%.*s", path, path[0] != '\0' ? "." : "",
					     MS_SLICE_ARG(ms_slice_sub(name, 0, 128)));
	return joined != NULL ? joined : "";
}

const char *ms_problem_item(struct problems *problems, const char *path, size_t index)
{
	const char *joined = ms_arena_printf(problems->arena, "%s[%zu]", path, index);
	return joined != NULL ? joined : "";
}

// "the text \"abc\"", "the number 5", "a list": never of a secret.
static void show(const struct field *f, const struct json_value *value, char *dst, size_t size)
{
	switch (value->type) {
	case JSON_STRING:
		if (f->secret)
			snprintf(dst, size, "text");
		else
			snprintf(dst, size, "\"%.*s\"%s", MS_SLICE_ARG(ms_slice_sub(value->str, 0, SHOWN_MAX)),
				 value->str.n > SHOWN_MAX ? "…" : "");
		return;
	case JSON_NUMBER:
		if (f->secret)
			snprintf(dst, size, "a number");
		else
			snprintf(dst, size, "the number %.*s", MS_SLICE_ARG(ms_slice_sub(value->str, 0, SHOWN_MAX)));
		return;
	case JSON_ARRAY:
		snprintf(dst, size, "a list");
		return;
	case JSON_OBJECT:
		snprintf(dst, size, "an object");
		return;
	case JSON_NULL:
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_INVALID:
		break;
	}
	snprintf(dst, size, "%s", value->type == JSON_TRUE ? "true" : value->type == JSON_FALSE ? "false" : "null");
}

static bool wrong(const struct reading *r, const struct field *f, const struct json_value *value, const char *path,
		  const char *expected)
{
	char found[SHOWN_MAX + 32];
	show(f, value, found, sizeof(found));
	ms_problem_add(r->problems, path, value, "found %s; expected %s", found, expected);
	return false;
}

static bool no_memory(const struct reading *r, const char *path)
{
	ms_problem_add(r->problems, path, NULL, "not enough memory to read this");
	return false;
}

// --- One value -------------------------------------------------------------------------------------

static bool is_limited(const struct field *f)
{
	return f->min != 0 || f->max != 0;
}

static bool checked(const struct reading *r, const struct field *f, const struct json_value *value, const char *path)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	if (f->check == NULL || f->check(value, &info) == MS_OK)
		return true;
	ms_problem_add(r->problems, path, value, "%s", info.message);
	return false;
}

// "a whole number from 1 to 10"
static void describe_range(const struct field *f, const char *what, char *dst, size_t size)
{
	if (!is_limited(f))
		snprintf(dst, size, "%s", what);
	else if (f->max >= 9e15)
		snprintf(dst, size, "%s, %.15g or more", what, f->min);
	else
		snprintf(dst, size, "%s from %.15g to %.15g", what, f->min, f->max);
}

// 5.0 and 5e3 are whole numbers too: exporters write them.
static bool whole(const struct json_value *value, int64_t *ret_value)
{
	double number;
	if (ms_json_as_i64(value, ret_value))
		return true;
	if (!ms_json_as_f64(value, &number) || number != (double)(int64_t)MS_MAX(MS_MIN(number, 9e15), -9e15))
		return false;
	*ret_value = (int64_t)number;
	return true;
}

static bool read_integer(const struct reading *r, const struct field *f, const struct json_value *value,
			 const char *path, int64_t *ret_value)
{
	char expected[96];
	describe_range(f, "a whole number", expected, sizeof(expected));
	if (!whole(value, ret_value) || (is_limited(f) && ((double)*ret_value < f->min || (double)*ret_value > f->max)))
		return wrong(r, f, value, path, expected);
	return checked(r, f, value, path);
}

static bool read_number(const struct reading *r, const struct field *f, const struct json_value *value,
			const char *path, double *ret_value)
{
	char expected[96];
	describe_range(f, "a number", expected, sizeof(expected));
	if (!ms_json_as_f64(value, ret_value) || (is_limited(f) && (*ret_value < f->min || *ret_value > f->max)))
		return wrong(r, f, value, path, expected);
	return checked(r, f, value, path);
}

static bool read_string(const struct reading *r, const struct field *f, const struct json_value *value,
			const char *path, struct slice *ret_value)
{
	struct slice text;
	if (!ms_json_as_str(value, &text)) {
		bool scalar = value->type == JSON_NUMBER || value->type == JSON_TRUE || value->type == JSON_FALSE;
		return wrong(r, f, value, path, scalar ? "text: put it in quotes" : "text");
	}
	size_t max = is_limited(f) ? (size_t)f->max : STRING_MAX;
	if (text.n < (size_t)f->min || text.n > max) {
		ms_problem_add(r->problems, path, value, "found text of %zu bytes; expected %.0f to %zu", text.n,
			       f->min, max);
		return false;
	}
	if (memchr(text.n > 0 ? text.p : "x", '\0', MS_MAX(text.n, (size_t)1)) != NULL) {
		ms_problem_add(r->problems, path, value, "found a NUL in the text; expected none");
		return false;
	}
	if (!checked(r, f, value, path))
		return false;
	*ret_value = text.p != NULL ? text : MS_SLICE_LIT("");
	return true;
}

static void list_choices(const struct field *f, char *dst, size_t size)
{
	size_t n = 0;
	dst[0] = '\0';
	for (size_t i = 0; f->choices[i] != NULL && n + 1 < size; i++) {
		const char *comma = i == 0 ? "" : f->choices[i + 1] == NULL ? " or " : ", ";
		int written = snprintf(dst + n, size - n, "%s%s", comma, f->choices[i]);
		n = written > 0 ? n + (size_t)written : n;
	}
}

static bool read_choice(const struct reading *r, const struct field *f, const struct json_value *value,
			const char *path, int *ret_index)
{
	struct slice names[64];
	size_t count = 0;
	for (; f->choices[count] != NULL; count++) {
		MS_ASSERT(count < MS_ARRAY_LEN(names));
		names[count] = ms_slice_cstr(f->choices[count]);
		if ((value->type == JSON_STRING || value->type == JSON_NUMBER) &&
		    ms_slice_eq(value->str, names[count])) {
			*ret_index = (int)count;
			return checked(r, f, value, path);
		}
	}
	size_t nearest = value->type == JSON_STRING ? ms_text_nearest(value->str, names, count) : SIZE_MAX;
	char expected[320], hinted[400];
	list_choices(f, expected, sizeof(expected));
	snprintf(hinted, sizeof(hinted), "%s%s%s%s", expected, nearest != SIZE_MAX ? "; did you mean " : "",
		 nearest != SIZE_MAX ? f->choices[nearest] : "", nearest != SIZE_MAX ? "?" : "");
	return wrong(r, f, value, path, hinted);
}

// --- Lists -----------------------------------------------------------------------------------------

// A single value stands for a list of one.
static bool items_of(const struct reading *r, const struct field *f, const struct json_value *value, const char *path,
		     bool single, const struct json_value **ret_items, size_t *ret_count)
{
	if (value->type == JSON_ARRAY) {
		*ret_items = value->array.items;
		*ret_count = value->array.count;
		return true;
	}
	*ret_items = value;
	*ret_count = 1;
	return single || wrong(r, f, value, path, "a list");
}

static const char *item_path(const struct reading *r, const struct json_value *list, const char *path, size_t index)
{
	return list->type == JSON_ARRAY ? ms_problem_item(r->problems, path, index) : path;
}

static bool read_strings(const struct reading *r, const struct field *f, const struct json_value *value,
			 const char *path, struct text_list *ret_list)
{
	const struct json_value *items;
	size_t count;
	if (!items_of(r, f, value, path, value->type != JSON_OBJECT, &items, &count))
		return false;
	struct slice *texts = MS_ARENA_ARRAY(r->arena, struct slice, count);
	if (texts == NULL)
		return no_memory(r, path);
	bool good = true;
	for (size_t i = 0; i < count; i++)
		good &= read_string(r, f, &items[i], item_path(r, value, path, i), &texts[i]);
	*ret_list = (struct text_list){texts, count};
	return good;
}

static bool read_choices(const struct reading *r, const struct field *f, const struct json_value *value,
			 const char *path, uint64_t *ret_bits)
{
	const struct json_value *items;
	size_t count;
	if (!items_of(r, f, value, path, value->type != JSON_OBJECT, &items, &count))
		return false;
	bool good = true;
	for (size_t i = 0; i < count; i++) {
		int index;
		if (read_choice(r, f, &items[i], item_path(r, value, path, i), &index))
			*ret_bits |= (uint64_t)1 << index;
		else
			good = false;
	}
	return good;
}

static bool read_integers(const struct reading *r, const struct field *f, const struct json_value *value,
			  const char *path, struct integer_list *ret_list)
{
	const struct json_value *items;
	size_t count;
	if (!items_of(r, f, value, path, value->type != JSON_OBJECT, &items, &count))
		return false;
	int64_t *numbers = MS_ARENA_ARRAY(r->arena, int64_t, count);
	if (numbers == NULL)
		return no_memory(r, path);
	bool good = true;
	for (size_t i = 0; i < count; i++)
		good &= read_integer(r, f, &items[i], item_path(r, value, path, i), &numbers[i]);
	*ret_list = (struct integer_list){numbers, count};
	return good;
}

static bool read_map(const struct reading *r, const struct field *f, const struct json_value *value, const char *path,
		     struct text_map *ret_map)
{
	if (value->type != JSON_OBJECT)
		return wrong(r, f, value, path, "an object of names and texts");
	struct field inner = *f;
	inner.check = NULL;
	struct text_pair *pairs = MS_ARENA_ARRAY(r->arena, struct text_pair, value->object.count);
	if (pairs == NULL)
		return no_memory(r, path);
	bool good = true;
	for (size_t i = 0; i < value->object.count; i++) {
		const struct json_member *m = &value->object.members[i];
		pairs[i].name = m->key;
		good &= read_strings(r, &inner, &m->value, ms_problem_path(r->problems, path, m->key),
				     &pairs[i].values);
	}
	*ret_map = (struct text_map){pairs, value->object.count};
	return good && checked(r, f, value, path);
}

// --- Records ---------------------------------------------------------------------------------------

static bool read_fields(const struct reading *r, const struct field *fields, const struct json_value *object,
			const struct json_value *outer, const char *path, void *record);

static bool read_records(const struct reading *r, const struct field *f, const struct json_value *value,
			 const char *path, struct record_list *ret_list)
{
	if (value->type != JSON_ARRAY)
		return wrong(r, f, value, path, "a list of objects");
	char *records = ms_arena_calloc(r->arena, value->array.count, f->record_bytes);
	if (records == NULL)
		return no_memory(r, path);
	bool good = true;
	for (size_t i = 0; i < value->array.count; i++)
		good &= read_fields(r, f->fields, &value->array.items[i], NULL, item_path(r, value, path, i),
				    records + i * f->record_bytes);
	*ret_list = (struct record_list){records, value->array.count};
	return good && checked(r, f, value, path);
}

static bool read_value(const struct reading *r, const struct field *f, const struct json_value *value,
		       const struct json_value *outer, const char *path, void *place)
{
	switch (f->kind) {
	case FIELD_BOOL:
		if (!ms_json_as_bool(value, place))
			return wrong(r, f, value, path, "true or false");
		return checked(r, f, value, path);
	case FIELD_INTEGER:
		return read_integer(r, f, value, path, place);
	case FIELD_NUMBER:
		return read_number(r, f, value, path, place);
	case FIELD_STRING:
		return read_string(r, f, value, path, place);
	case FIELD_CHOICE:
		return read_choice(r, f, value, path, place);
	case FIELD_STRINGS:
		return read_strings(r, f, value, path, place);
	case FIELD_CHOICES:
		return read_choices(r, f, value, path, place);
	case FIELD_INTEGERS:
		return read_integers(r, f, value, path, place);
	case FIELD_MAP:
		return read_map(r, f, value, path, place);
	case FIELD_RECORD:
		return read_fields(r, f->fields, value, outer, path, place) && checked(r, f, value, path);
	case FIELD_RECORDS:
		return read_records(r, f, value, path, place);
	case FIELD_JSON:
		*(const struct json_value **)place = value;
		return checked(r, f, value, path);
	}
	return false;
}

static bool is_name(const struct field *f, struct slice key)
{
	return ms_slice_eq_cstr(key, f->name) || (f->alias != NULL && ms_slice_eq_cstr(key, f->alias));
}

static bool is_known(const struct field *fields, struct slice key)
{
	for (const struct field *f = fields; f->name != NULL; f++) {
		if (is_name(f, key))
			return true;
		for (const struct field *inner = f->kind == FIELD_RECORD ? f->fields : f;
		     f->kind == FIELD_RECORD && inner->name != NULL; inner++) {
			if (inner->alias != NULL && ms_slice_eq_cstr(key, inner->alias))
				return true;
		}
	}
	return false;
}

static bool refuse_unknown(const struct reading *r, const struct field *fields, const struct json_value *object,
			   const char *path)
{
	struct slice names[FIELDS_MAX];
	size_t count = 0;
	for (const struct field *f = fields; f->name != NULL && count < FIELDS_MAX; f++)
		names[count++] = ms_slice_cstr(f->name);
	bool good = true;
	for (size_t i = 0; i < object->object.count; i++) {
		const struct json_member *m = &object->object.members[i];
		if (is_known(fields, m->key))
			continue;
		size_t nearest = ms_text_nearest(m->key, names, count);
		const char *place = ms_problem_path(r->problems, path, m->key);
		if (nearest != SIZE_MAX)
			ms_problem_add(r->problems, place, &m->value, "unknown field; did you mean %.*s?",
				       MS_SLICE_ARG(names[nearest]));
		else
			ms_problem_add(r->problems, place, &m->value, "unknown field");
		good = false;
	}
	return good;
}

// Of a table: a text that is not right is a bug of ours.
static bool read_fallback(const struct reading *r, const struct field *f, const char *path, void *place)
{
	const struct json_value *value;
	enum ms_err err = ms_json_parse(ms_slice_cstr(f->fallback), NULL, r->arena, NULL, &value);
	if (err != MS_OK) {
		MS_ASSERT(err == MS_ERR_NO_MEMORY || err == MS_ERR_LIMIT);
		return no_memory(r, path);
	}
	return value->type == JSON_NULL || read_value(r, f, value, NULL, path, place);
}

// The value of a field: by its name, its older name, or its older name in the object around. Two of them are one too many.
static bool find_value(const struct reading *r, const struct field *f, const struct json_value *object,
		       const struct json_value *outer, const char *path, const struct json_value **ret_value)
{
	const struct json_value *found[3] = {ms_json_get(object, f->name), NULL, NULL};
	if (f->alias != NULL) {
		found[1] = ms_json_get(object, f->alias);
		found[2] = ms_json_get(outer, f->alias);
	}
	*ret_value = NULL;
	for (size_t i = 0; i < MS_ARRAY_LEN(found); i++) {
		if (found[i] == NULL)
			continue;
		if (*ret_value != NULL && found[i]->type != JSON_NULL && (*ret_value)->type != JSON_NULL) {
			ms_problem_add(r->problems, ms_problem_path(r->problems, path, ms_slice_cstr(f->name)),
				       found[i], "given twice: %s is an older name of %s", f->alias, f->name);
			return false;
		}
		if (*ret_value == NULL || (*ret_value)->type == JSON_NULL)
			*ret_value = found[i];
	}
	return true;
}

static bool read_field(const struct reading *r, const struct field *f, const struct json_value *object,
		       const struct json_value *outer, const char *path, void *place, bool defaults_only)
{
	const struct json_value *value;
	if (!find_value(r, f, object, outer, path, &value))
		return false;
	const char *inner = ms_problem_path(r->problems, path, ms_slice_cstr(f->name));
	bool null = value != NULL && value->type == JSON_NULL;
	if (null && f->nullable_only)
		return true;
	if (value != NULL && !null)
		return read_value(r, f, value, object, inner, place);
	if (f->required && !defaults_only) {
		ms_problem_add(r->problems, inner, object, "required, but it is missing");
		return false;
	}
	if (f->fallback != NULL)
		return read_fallback(r, f, inner, place);
	return f->kind == FIELD_RECORD ? read_fields(r, f->fields, NULL, object, inner, place) : true;
}

// `object` NULL: the defaults, and what `outer` has of older names.
static bool read_fields(const struct reading *r, const struct field *fields, const struct json_value *object,
			const struct json_value *outer, const char *path, void *record)
{
	if (object != NULL && object->type != JSON_OBJECT) {
		const struct field shown = {0};
		return wrong(r, &shown, object, path, "an object");
	}
	bool defaults_only = object == NULL;
	bool good = object == NULL || refuse_unknown(r, fields, object, path);
	for (const struct field *f = fields; f->name != NULL; f++)
		good &= read_field(r, f, object, outer, path, (char *)record + f->offset, defaults_only);
	return good;
}

bool ms_record_read(const struct field *fields, const struct json_value *object, const char *path, struct arena *arena,
		    struct problems *problems, void *record)
{
	const struct reading r = {arena, problems};
	return read_fields(&r, fields, object, NULL, path, record);
}
