// SPDX-License-Identifier: Apache-2.0
// Since 3.1 a model that was trained on a data frame holds the categories of its columns by value; a category's
// code is its place among them. Other members of "cats" are indexes over the same and are not needed.
#include <math.h>

#include "model/xgboost.h"

#define BIT(i) ((uint64_t)1 << (i))

enum { ENC_OFFSETS, ENC_TYPE, ENC_VALUES };
static const char *const enc_members[] = {"offsets", "type", "values"};

// `offsets` cut the bytes into names, one after the other.
static bool build_names(struct xgb_model *m, const struct doc_array *offsets, const struct doc_array *bytes,
			struct xgb_categories *c)
{
	struct doc *d = &m->doc;
	size_t count = offsets->count - 1;
	struct slice *names = MS_ARENA_ARRAY(m->ctx->memory, struct slice, count);
	char *text = ms_arena_alloc(m->ctx->memory, bytes->count);
	if (names == NULL || text == NULL) {
		ms_doc_fail_memory(d);
		return false;
	}
	for (size_t i = 0; i < bytes->count; i++) {
		if (bytes->i64[i] < INT8_MIN || bytes->i64[i] > UINT8_MAX) {
			ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "values[%zu] is %lld, expected a byte", i,
				    (long long)bytes->i64[i]);
			return false;
		}
		text[i] = (char)bytes->i64[i];
	}
	for (size_t i = 0; i < count; i++) {
		int64_t begin = offsets->i64[i], end = offsets->i64[i + 1];
		if (begin < 0 || end < begin || (uint64_t)end > bytes->count) {
			ms_doc_fail(d, MS_ERR_MODEL_FORMAT,
				    "offsets[%zu] to [%zu] are %lld and %lld; they must ascend, up to %zu", i, i + 1,
				    (long long)begin, (long long)end, bytes->count);
			return false;
		}
		names[i] = ms_slice(text + begin, (size_t)(end - begin));
	}
	c->names = names;
	c->count = count;
	return true;
}

static bool build_numbers(struct xgb_model *m, const struct doc_array *values, struct xgb_categories *c)
{
	double *numbers = MS_ARENA_ARRAY(m->ctx->memory, double, values->count);
	struct slice *names = MS_ARENA_ARRAY(m->ctx->memory, struct slice, values->count);
	bool ok = numbers != NULL && names != NULL;
	for (size_t i = 0; ok && i < values->count; i++) {
		numbers[i] = values->f64[i];
		if (trunc(numbers[i]) == numbers[i] && fabs(numbers[i]) < 0x1p53)
			names[i] = ms_slice_cstr(ms_arena_printf(m->ctx->memory, "%lld", (long long)numbers[i]));
		else
			names[i] = ms_slice_cstr(ms_arena_printf(m->ctx->memory, "%.17g", numbers[i]));
		ok = names[i].p != NULL;
	}
	if (!ok) {
		ms_doc_fail_memory(&m->doc);
		return false;
	}
	c->numbers = numbers;
	c->names = names;
	c->count = values->count;
	return true;
}

// One column: strings are {offsets, values: bytes}, numbers {type, values}. Empty for a column of numbers.
static bool read_column(struct xgb_model *m, struct doc_array *offsets, struct doc_array *bytes,
			struct doc_array *values, struct xgb_categories *c)
{
	struct doc_object o = {.what = "cats.enc", .names = enc_members, .count = MS_ARRAY_LEN(enc_members)};
	struct doc *d = &m->doc, values_place = *d;
	size_t member;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok;
		if (member == ENC_OFFSETS) {
			ok = ms_doc_read_i64_array(d, offsets);
		} else {
			if (member == ENC_VALUES)
				values_place = *d;
			ok = ms_doc_skip(d);
		}
		if (!ok)
			return false;
	}
	if (!ms_doc_require(d, &o, BIT(ENC_VALUES)))
		return false;
	struct doc after = *d;
	*d = values_place; // what the values are is known only now
	if (!ms_doc_has(&o, ENC_OFFSETS)) {
		if (!ms_doc_read_f64_array(d, values) || !build_numbers(m, values, c))
			return false;
	} else if (offsets->count > 1) {
		if (!ms_doc_read_i64_array(d, bytes) || !build_names(m, offsets, bytes, c))
			return false;
	}
	*d = after;
	return true;
}

static bool read_columns(struct xgb_model *m)
{
	struct doc_array offsets = {0}, bytes = {0}, values = {0};
	struct doc *d = &m->doc;
	size_t capacity = 0;
	if (!ms_doc_enter_array(d))
		return false;
	while (ms_doc_next_item(d)) {
		if (m->categories_count == capacity) {
			size_t wanted = capacity < 16 ? 16 : capacity * 2, size = sizeof(*m->categories);
			m->categories = ms_arena_grow(m->ctx->scratch, m->categories, capacity * size, wanted * size);
			if (m->categories == NULL) {
				ms_doc_fail_memory(d);
				return false;
			}
			capacity = wanted;
		}
		struct xgb_categories *c = &m->categories[m->categories_count++];
		*c = (struct xgb_categories){0};
		if (!read_column(m, &offsets, &bytes, &values, c))
			return false;
	}
	return ms_doc_err(d) == MS_OK;
}

bool ms_xgb_read_categories(struct xgb_model *m)
{
	static const char *const names[] = {"enc"};
	struct doc_object o = {.what = "cats", .names = names, .count = MS_ARRAY_LEN(names)};
	struct doc *d = &m->doc;
	size_t member;
	if (ms_doc_take_null(d))
		return true;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member))
		if (!read_columns(m))
			return false;
	return ms_doc_err(d) == MS_OK;
}
