// SPDX-License-Identifier: Apache-2.0
#include "model/doc.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void ms_doc_init_json(struct doc *d, struct slice text, uint32_t max_depth, bool allow_nan, struct arena *arena,
		      struct errinfo *info)
{
	*d = (struct doc){.arena = arena};
	struct json_limits limits = {.max_depth = max_depth, .max_bytes = text.n, .allow_nan = allow_nan};
	ms_json_reader_init(&d->json, text, &limits, arena, info);
}

void ms_doc_init_ubjson(struct doc *d, struct slice bytes, struct arena *arena, struct errinfo *info)
{
	*d = (struct doc){.is_ubjson = true, .arena = arena};
	ms_ubj_reader_init(&d->ubj, bytes, info);
}

static struct errinfo *info_of(const struct doc *d)
{
	return d->is_ubjson ? d->ubj.info : d->json.info;
}

enum ms_err ms_doc_fail(struct doc *d, enum ms_err code, const char *fmt, ...)
{
	char text[MS_ERRINFO_MESSAGE_SIZE];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return d->is_ubjson ? ms_ubj_fail(&d->ubj, code, "%s", text) : ms_json_fail(&d->json, code, "%s", text);
}

enum ms_err ms_doc_fail_memory(struct doc *d)
{
	return ms_doc_fail(d, MS_ERR_MODEL_TOO_LARGE, "memory ran out, or the model needs more than its limit");
}

enum ms_err ms_doc_finish(struct doc *d)
{
	return d->is_ubjson ? ms_ubj_finish(&d->ubj) : ms_json_finish(&d->json);
}

static enum ms_err as_model_error(enum ms_err err)
{
	switch ((int)err) {
	case MS_ERR_JSON_SYNTAX:
	case MS_ERR_JSON_DEPTH:
	case MS_ERR_JSON_UTF8:
	case MS_ERR_JSON_DUPLICATE_KEY:
	case MS_ERR_JSON_TYPE:
		return MS_ERR_MODEL_FORMAT;
	case MS_ERR_JSON_SIZE:
	case MS_ERR_LIMIT:
		return MS_ERR_MODEL_TOO_LARGE;
	default:
		return err;
	}
}

enum ms_err ms_doc_close(struct doc *d, enum ms_err err)
{
	struct errinfo *info = info_of(d);
	if (err == MS_OK || err != ms_doc_err(d))
		return err;
	err = as_model_error(err);
	char place[128] = "";
	size_t n = 0;
	if (d->item != NULL)
		n = (size_t)snprintf(place, sizeof(place), "%s %zu, ", d->item, d->item_number);
	if (d->object != NULL && n < sizeof(place))
		snprintf(place + n, sizeof(place) - n, "%s%s%s: ", d->object, d->member != NULL ? "." : "",
			 d->member != NULL ? d->member : "");
	char old[MS_ERRINFO_MESSAGE_SIZE];
	memcpy(old, info->message, sizeof(old));
	return ms_fail(info, err, "%s%s", place, old);
}

enum json_type ms_doc_peek(struct doc *d)
{
	return d->is_ubjson ? ms_ubj_peek(&d->ubj) : ms_json_peek(&d->json);
}

bool ms_doc_enter_array(struct doc *d)
{
	return d->is_ubjson ? ms_ubj_enter_array(&d->ubj) : ms_json_enter_array(&d->json);
}

bool ms_doc_next_item(struct doc *d)
{
	return d->is_ubjson ? ms_ubj_next_item(&d->ubj) : ms_json_next_item(&d->json);
}

bool ms_doc_skip(struct doc *d)
{
	return d->is_ubjson ? ms_ubj_skip(&d->ubj) : ms_json_skip(&d->json, NULL);
}

bool ms_doc_take_null(struct doc *d)
{
	return ms_doc_peek(d) == JSON_NULL && ms_doc_skip(d);
}

bool ms_doc_read_string(struct doc *d, struct slice *ret_value)
{
	return d->is_ubjson ? ms_ubj_read_string(&d->ubj, ret_value) : ms_json_read_string(&d->json, ret_value);
}

bool ms_doc_read_f64(struct doc *d, double *ret_value)
{
	if (!d->is_ubjson)
		return ms_json_read_f64(&d->json, ret_value);
	struct ubj_number number;
	if (!ms_ubj_read_number(&d->ubj, &number))
		return false;
	*ret_value = number.real;
	return true;
}

bool ms_doc_read_i64(struct doc *d, int64_t *ret_value)
{
	if (!d->is_ubjson)
		return ms_json_read_i64(&d->json, ret_value);
	struct ubj_number number;
	if (!ms_ubj_read_number(&d->ubj, &number))
		return false;
	if (!number.is_integer) {
		ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "expected an integer, found a number with a fraction");
		return false;
	}
	*ret_value = number.integer;
	return true;
}

bool ms_doc_next_key(struct doc *d, struct slice *ret_key)
{
	return d->is_ubjson ? ms_ubj_next_key(&d->ubj, ret_key) : ms_json_next_key(&d->json, ret_key);
}

bool ms_doc_enter_object(struct doc *d, struct doc_object *o)
{
	MS_ASSERT(o->count <= 64);
	o->seen = 0;
	d->object = o->what;
	d->member = NULL;
	return d->is_ubjson ? ms_ubj_enter_object(&d->ubj) : ms_json_enter_object(&d->json);
}

bool ms_doc_next_member(struct doc *d, struct doc_object *o, size_t *ret_index)
{
	struct slice key;
	d->object = o->what;
	d->member = NULL;
	while (ms_doc_next_key(d, &key)) {
		size_t i = 0;
		while (i < o->count && !ms_slice_eq_cstr(key, o->names[i]))
			i++;
		if (i == o->count) {
			if (!ms_doc_skip(d))
				return false;
			continue;
		}
		if (ms_doc_has(o, i)) {
			ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "the member '%s' comes twice", o->names[i]);
			return false;
		}
		o->seen |= (uint64_t)1 << i;
		d->member = o->names[i];
		*ret_index = i;
		return true;
	}
	return false;
}

bool ms_doc_require(struct doc *d, const struct doc_object *o, uint64_t mask)
{
	uint64_t absent = mask & ~o->seen;
	if (ms_doc_err(d) != MS_OK)
		return false;
	if (absent == 0)
		return true;
	d->object = o->what;
	d->member = NULL;
	ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "the member '%s' is missing", o->names[__builtin_ctzll(absent)]);
	return false;
}

static bool reserve(struct doc *d, struct doc_array *array, size_t wanted, size_t item_size)
{
	if (wanted <= array->capacity)
		return true;
	wanted = MS_MAX(wanted, MS_MAX(array->capacity * 2, (size_t)16));
	size_t bytes;
	void *grown = MS_MUL_OVERFLOWS(wanted, item_size, &bytes)
			      ? NULL
			      : ms_arena_grow(d->arena, array->items, array->capacity * item_size, bytes);
	if (grown == NULL) {
		ms_doc_fail_memory(d);
		return false;
	}
	array->items = grown;
	array->capacity = wanted;
	return true;
}

bool ms_doc_reserve_f64(struct doc *d, struct doc_array *array, size_t capacity)
{
	return reserve(d, array, capacity, sizeof(double));
}

// Reads one item to `slot`.
typedef bool read_item_fn(struct doc *d, void *slot);

static bool read_array(struct doc *d, struct doc_array *array, size_t item_size, read_item_fn *read_item)
{
	array->count = 0;
	if (!ms_doc_enter_array(d))
		return false;
	// A counted UBJSON array gets its room at once; the reader has checked the count against the bytes.
	size_t hint = d->is_ubjson ? ms_ubj_count_hint(&d->ubj) : 0;
	while (ms_doc_next_item(d)) {
		if (!reserve(d, array, MS_MAX(hint, array->count + 1), item_size) ||
		    !read_item(d, (char *)array->items + array->count * item_size))
			return false;
		array->count++;
	}
	return ms_doc_err(d) == MS_OK;
}

static bool read_f32_item(struct doc *d, void *slot)
{
	if (!d->is_ubjson)
		return ms_json_read_f32(&d->json, slot);
	struct ubj_number number;
	if (!ms_ubj_read_number(&d->ubj, &number))
		return false;
	*(float *)slot = (float)number.real;
	return true;
}

static bool read_f64_item(struct doc *d, void *slot)
{
	return ms_doc_read_f64(d, slot);
}

static bool read_i64_item(struct doc *d, void *slot)
{
	enum json_type type = ms_doc_peek(d);
	if (type != JSON_TRUE && type != JSON_FALSE)
		return ms_doc_read_i64(d, slot);
	*(int64_t *)slot = type == JSON_TRUE;
	return ms_doc_skip(d);
}

bool ms_doc_read_f32_array(struct doc *d, struct doc_array *array)
{
	return read_array(d, array, sizeof(float), read_f32_item);
}

bool ms_doc_read_f64_array(struct doc *d, struct doc_array *array)
{
	return read_array(d, array, sizeof(double), read_f64_item);
}

bool ms_doc_read_i64_array(struct doc *d, struct doc_array *array)
{
	return read_array(d, array, sizeof(int64_t), read_i64_item);
}
