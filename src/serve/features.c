// SPDX-License-Identifier: Apache-2.0
// Reading "features" into a matrix, in the forms that people send.
#include <math.h>
#include <stdio.h>

#include "serve/serve.h"

#define FIRST_ROWS 4

struct reading {
	struct json_reader *r;
	const struct served_model *served;
	struct arena *arena;
	struct errinfo *info;
	size_t max_rows;
	struct feature_matrix m;
	size_t capacity; // rows
};

// "row 3, "; nothing when there can be one row only, whose number the caller knows better (a line of a file).
MS_COLD static const char *place_of(const struct reading *t, size_t row, const char *end, char dst[32])
{
	if (t->max_rows == 1)
		return "";
	snprintf(dst, 32, "row %zu%s", row, end);
	return dst;
}

MS_COLD static enum ms_err fail_at(struct reading *t, size_t row, size_t column, enum ms_err code, const char *what)
{
	struct slice name = t->served->inputs[column].name;
	if (t->info != NULL)
		t->info->row = (int64_t)row;
	ms_errinfo_set_field(t->info, name);
	char place[32];
	return ms_fail(t->info, code, "%sfeature '%.*s': %s", place_of(t, row, ", ", place), MS_SLICE_ARG(name), what);
}

MS_COLD static enum ms_err wrong_type(struct reading *t, size_t row, size_t column, enum json_type got)
{
	char what[160];
	const char *want = t->served->inputs[column].strings ? "a category, a number or null" : "a number or null";
	struct slice text;
	if (got == JSON_STRING && !ms_json_read_string(t->r, &text))
		return t->r->err; // not even a string
	if (got == JSON_STRING)
		snprintf(what, sizeof(what), "must be %s, not the string \"%.*s\"", want,
			 (int)MS_MIN(text.n, (size_t)60), text.p);
	else
		snprintf(what, sizeof(what), "must be %s, not %s", want, ms_json_type_name(got));
	return fail_at(t, row, column, MS_ERR_PREDICT_TYPE, what);
}

// A category goes through the model's own mapping; its message lacks the place, which is added here.
static enum ms_err encode(struct reading *t, size_t row, size_t column, const struct slice *text, double number,
			  double *ret_value)
{
	struct errinfo why;
	ms_errinfo_init(&why);
	enum ms_err err = text != NULL ? ms_model_encode_string(t->served->model, column, *text, &why, ret_value)
				       : ms_model_encode_number(t->served->model, column, number, &why, ret_value);
	return err == MS_OK ? MS_OK : fail_at(t, row, column, err, why.message);
}

static enum ms_err read_value(struct reading *t, size_t row, size_t column, double *ret_value)
{
	const struct served_input *input = &t->served->inputs[column];
	enum json_type type = ms_json_peek(t->r);
	struct slice text;
	double number;
	bool flag;
	switch (type) {
	case JSON_NULL:
		*ret_value = (double)NAN;
		return ms_json_read_null(t->r) ? MS_OK : t->r->err;
	case JSON_TRUE:
	case JSON_FALSE:
		if (input->categorical)
			return wrong_type(t, row, column, type);
		if (!ms_json_read_bool(t->r, &flag))
			return t->r->err;
		*ret_value = flag ? 1.0 : 0.0;
		return MS_OK;
	case JSON_NUMBER:
		if (!ms_json_read_f64(t->r, &number))
			return t->r->err;
		if (input->categorical)
			return encode(t, row, column, NULL, number, ret_value);
		*ret_value = number;
		return MS_OK;
	case JSON_STRING:
		if (!input->strings)
			return wrong_type(t, row, column, type);
		if (!ms_json_read_string(t->r, &text))
			return t->r->err;
		return encode(t, row, column, &text, 0, ret_value);
	case JSON_ARRAY:
	case JSON_OBJECT:
		return wrong_type(t, row, column, type);
	case JSON_INVALID:
		break;
	}
	return t->r->err != MS_OK ? t->r->err : ms_json_fail(t->r, MS_ERR_JSON_SYNTAX, "expected a value");
}

// Room for one more row; *ret_row is the place to fill.
static enum ms_err add_row(struct reading *t, double **ret_row)
{
	if (t->m.rows == t->max_rows)
		return ms_fail(t->info, MS_ERR_PREDICT_TOO_MANY_ROWS,
			       "more than %zu rows in one request (setting predict.max_rows): send them in parts",
			       t->max_rows);
	if (t->m.rows == t->capacity) {
		size_t capacity = MS_MIN(t->capacity == 0 ? FIRST_ROWS : t->capacity * 2, t->max_rows), old_bytes,
		       bytes;
		if (t->capacity == 0 && t->max_rows < FIRST_ROWS)
			capacity = t->max_rows;
		if (MS_MUL_OVERFLOWS(capacity, t->m.columns * sizeof(double), &bytes))
			return ms_fail(t->info, MS_ERR_LIMIT, "the rows do not fit into memory");
		old_bytes = t->capacity * t->m.columns * sizeof(double);
		double *values = ms_arena_grow(t->arena, t->m.values, old_bytes, bytes);
		if (values == NULL)
			return ms_fail(t->info, MS_ERR_LIMIT,
				       "%zu rows of %zu features do not fit into the memory of one request", capacity,
				       t->m.columns);
		t->m.values = values;
		t->capacity = capacity;
	}
	*ret_row = t->m.values + t->m.rows++ * t->m.columns;
	return MS_OK;
}

MS_COLD static enum ms_err wrong_count(struct reading *t, size_t row, size_t got, bool more)
{
	if (t->info != NULL)
		t->info->row = (int64_t)row;
	ms_errinfo_set_field(t->info, MS_SLICE_LIT("features"));
	char place[32];
	return ms_fail(t->info, MS_ERR_PREDICT_SHAPE, "%s%s%zu values, but model '%.*s' takes %zu",
		       place_of(t, row, " has ", place), more ? "more than " : "", got, MS_SLICE_ARG(t->served->name),
		       t->m.columns);
}

// The items of one row; the array was entered.
static enum ms_err read_row_items(struct reading *t, double *row, bool item_is_next)
{
	size_t number = t->m.rows - 1, column = 0;
	for (;;) {
		size_t n = 0;
		if (!item_is_next &&
		    ms_json_read_f64_items(t->r, row + column, t->served->plain ? t->m.columns - column : 0, &n)) {
			column += n;
			break;
		}
		if (t->r->err != MS_OK)
			return t->r->err;
		column += n;
		item_is_next = false;
		if (column == t->m.columns)
			return wrong_count(t, number, column, true);
		MS_TRY(read_value(t, number, column, &row[column]));
		column++;
	}
	return column == t->m.columns ? MS_OK : wrong_count(t, number, column, false);
}

static enum ms_err read_row(struct reading *t, bool entered)
{
	double *row;
	MS_TRY(add_row(t, &row));
	if (!entered && !ms_json_enter_array(t->r))
		return t->r->err;
	return read_row_items(t, row, entered);
}

MS_COLD static enum ms_err unknown_feature(struct reading *t, struct slice name, size_t row)
{
	struct slice *names = MS_ARENA_ARRAY(t->arena, struct slice, t->served->input_count);
	size_t nearest = SIZE_MAX;
	for (size_t i = 0; names != NULL && i < t->served->input_count; i++)
		names[i] = t->served->inputs[i].name;
	if (names != NULL)
		nearest = ms_text_nearest(name, names, t->served->input_count);
	if (t->info != NULL)
		t->info->row = (int64_t)row;
	ms_errinfo_set_field(t->info, name);
	char place[32];
	const char *where = place_of(t, row, ": ", place);
	if (nearest != SIZE_MAX)
		return ms_fail(t->info, MS_ERR_PREDICT_FEATURE,
			       "%smodel '%.*s' has no feature '%.*s'; did you mean '%.*s'?", where,
			       MS_SLICE_ARG(t->served->name), MS_SLICE_ARG(name), MS_SLICE_ARG(names[nearest]));
	return ms_fail(t->info, MS_ERR_PREDICT_FEATURE, "%smodel '%.*s' has no feature '%.*s'", where,
		       MS_SLICE_ARG(t->served->name), MS_SLICE_ARG(name));
}

// Records mostly come in the order of the model: the expected name is tried before the search.
static enum ms_err find_feature(struct reading *t, struct slice key, size_t expected, size_t row, size_t *ret_column)
{
	size_t column = expected;
	if (expected >= t->m.columns || !ms_slice_eq(t->served->inputs[expected].name, key))
		column = ms_served_input_index(t->served, key);
	if (column == SIZE_MAX)
		return unknown_feature(t, key, row);
	*ret_column = column;
	return MS_OK;
}

// Which features a record or the columns gave already.
static enum ms_err mark_seen(struct reading *t, uint8_t *seen, size_t column, size_t row)
{
	if (seen[column])
		return fail_at(t, row, column, MS_ERR_PREDICT_FEATURE, "is given twice");
	seen[column] = 1;
	return MS_OK;
}

// The members of one record; the object was entered and, when `key` is given, its first key was read.
static enum ms_err read_record_members(struct reading *t, double *row, uint8_t *seen, const struct slice *first_key)
{
	size_t number = t->m.rows - 1, expected = 0, column = 0;
	struct slice key = first_key != NULL ? *first_key : MS_SLICE_EMPTY;
	memset(seen, 0, t->m.columns);
	for (size_t i = 0; i < t->m.columns; i++)
		row[i] = (double)NAN;
	while (first_key != NULL || ms_json_next_key(t->r, &key)) {
		first_key = NULL;
		MS_TRY(find_feature(t, key, expected, number, &column));
		MS_TRY(mark_seen(t, seen, column, number));
		MS_TRY(read_value(t, number, column, &row[column]));
		expected = column + 1;
	}
	return t->r->err;
}

static enum ms_err read_record(struct reading *t, uint8_t *seen)
{
	double *row;
	MS_TRY(add_row(t, &row));
	if (!ms_json_enter_object(t->r))
		return t->r->err;
	return read_record_members(t, row, seen, NULL);
}

static uint8_t *new_seen(struct reading *t)
{
	return ms_arena_alloc(t->arena, MS_MAX(t->m.columns, (size_t)1));
}

// One column's values go into every row; the first column decides how many rows there are.
static enum ms_err read_column(struct reading *t, size_t column, bool first)
{
	size_t row = 0;
	enum json_type type = ms_json_peek(t->r);
	if (type != JSON_ARRAY && type != JSON_INVALID)
		return fail_at(t, 0, column, MS_ERR_PREDICT_SHAPE,
			       "must be an array of values like the columns before it");
	if (!ms_json_enter_array(t->r))
		return t->r->err;
	for (; ms_json_next_item(t->r); row++) {
		double *place;
		if (first) {
			MS_TRY(add_row(t, &place));
			for (size_t i = 0; i < t->m.columns; i++)
				place[i] = (double)NAN;
		}
		if (row >= t->m.rows)
			return fail_at(t, row, column, MS_ERR_PREDICT_SHAPE,
				       "has more values than the columns before it");
		MS_TRY(read_value(t, row, column, &t->m.values[row * t->m.columns + column]));
	}
	if (t->r->err != MS_OK)
		return t->r->err;
	return row == t->m.rows
		       ? MS_OK
		       : fail_at(t, row, column, MS_ERR_PREDICT_SHAPE, "is missing: the columns before it are longer");
}

// An object: columns when its first value is an array, else one record.
static enum ms_err read_object(struct reading *t)
{
	struct slice key;
	size_t column = 0, expected = 0;
	bool first = true;
	uint8_t *seen = new_seen(t);
	if (seen == NULL)
		return ms_fail(t->info, MS_ERR_LIMIT, "the features do not fit into the memory of one request");
	memset(seen, 0, t->m.columns);
	if (!ms_json_enter_object(t->r))
		return t->r->err;
	while (ms_json_next_key(t->r, &key)) {
		if (first && ms_json_peek(t->r) != JSON_ARRAY) {
			double *row;
			MS_TRY(add_row(t, &row));
			return read_record_members(t, row, seen, &key);
		}
		MS_TRY(find_feature(t, key, expected, 0, &column));
		MS_TRY(mark_seen(t, seen, column, 0));
		MS_TRY(read_column(t, column, first));
		expected = column + 1;
		first = false;
	}
	return t->r->err;
}

// An array: of rows, of records, or one row of values; its first item decides.
static enum ms_err read_array(struct reading *t)
{
	if (!ms_json_enter_array(t->r))
		return t->r->err;
	if (!ms_json_next_item(t->r))
		return t->r->err;
	enum json_type first = ms_json_peek(t->r);
	if (first != JSON_ARRAY && first != JSON_OBJECT)
		return read_row(t, true);
	uint8_t *seen = new_seen(t);
	if (seen == NULL)
		return ms_fail(t->info, MS_ERR_LIMIT, "the features do not fit into the memory of one request");
	do {
		enum json_type type = ms_json_peek(t->r);
		if (type != first && type != JSON_INVALID) {
			if (t->info != NULL)
				t->info->row = (int64_t)t->m.rows;
			ms_errinfo_set_field(t->info, MS_SLICE_LIT("features"));
			return ms_fail(t->info, MS_ERR_PREDICT_SHAPE,
				       "row %zu must be %s like the rows before it, not %s", t->m.rows,
				       first == JSON_ARRAY ? "an array" : "an object", ms_json_type_name(type));
		}
		MS_TRY(first == JSON_ARRAY ? read_row(t, false) : read_record(t, seen));
	} while (ms_json_next_item(t->r));
	return t->r->err;
}

enum ms_err ms_features_read(struct json_reader *r, const struct served_model *served, size_t max_rows,
			     struct arena *arena, struct errinfo *info, struct feature_matrix *ret_matrix)
{
	struct reading t = {.r = r, .served = served, .arena = arena, .info = info, .max_rows = max_rows};
	t.m.columns = served->input_count;
	enum json_type type = ms_json_peek(r);
	if (type == JSON_ARRAY)
		MS_TRY(read_array(&t));
	else if (type == JSON_OBJECT)
		MS_TRY(read_object(&t));
	else if (r->err != MS_OK)
		return r->err;
	else {
		ms_errinfo_set_field(info, MS_SLICE_LIT("features"));
		return ms_fail(info, MS_ERR_PREDICT_SHAPE,
			       "'features' must be rows [[…],…], one row […], records [{…},…] or columns "
			       "{\"name\":[…]}, not %s",
			       ms_json_type_name(type));
	}
	*ret_matrix = t.m;
	return MS_OK;
}

enum ms_err ms_features_from_text(const struct served_model *served, size_t column, struct slice text,
				  struct errinfo *info, double *ret_value)
{
	const struct served_input *input = &served->inputs[column];
	struct slice trimmed = ms_slice_trim(text);
	double number;
	if (text.n == 0 || (!input->strings && trimmed.n == 0)) {
		*ret_value = (double)NAN;
		return MS_OK;
	}
	if (input->strings)
		return ms_model_encode_string(served->model, column, text, info, ret_value);
	// "NaN" is a text that some writer put in place of nothing: better asked about than guessed.
	bool is_number = ms_number_parse_f64_lenient(trimmed, &number) && !isnan(number);
	if (is_number && input->categorical)
		return ms_model_encode_number(served->model, column, number, info, ret_value);
	if (is_number) {
		*ret_value = number;
		return MS_OK;
	}
	ms_errinfo_set_field(info, input->name);
	return ms_fail(info, MS_ERR_PREDICT_TYPE, "feature '%.*s' must be a number or empty, not '%.*s'",
		       MS_SLICE_ARG(input->name), (int)MS_MIN(text.n, (size_t)60), text.p);
}
