// SPDX-License-Identifier: Apache-2.0
#include "app/rows.h"

#include <math.h>
#include <stdlib.h>

#include "rt/rt.h"
#include "json/json.h"

#define FILE_MAX ((size_t)4 << 30)
#define MATRIX_MAX ((size_t)1 << 30)
#define ROW_ARENA_MAX ((size_t)1 << 28)

struct reading {
	const struct served_model *served;
	struct feature_matrix rows;
	size_t capacity;
	size_t max_rows;
	struct arena arena; // of one row
};

// The place of the next row, all values missing.
static enum ms_err next_row(struct reading *r, struct errinfo *info, double **ret_row)
{
	if (r->rows.rows == r->capacity) {
		size_t capacity = r->capacity > 0 ? r->capacity * 2 : 256, bytes;
		if (MS_MUL_OVERFLOWS(capacity, (r->rows.columns + 1) * sizeof(double), &bytes) || bytes > MATRIX_MAX)
			return ms_fail(info, MS_ERR_LIMIT, "%zu rows of %zu columns are more than 1 GiB", capacity,
				       r->rows.columns);
		double *values = realloc(r->rows.values, bytes);
		if (values == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for rows");
		r->rows.values = values;
		r->capacity = capacity;
	}
	double *row = r->rows.values + r->rows.rows * r->rows.columns;
	for (size_t i = 0; i < r->rows.columns; i++)
		row[i] = (double)NAN;
	r->rows.rows++;
	*ret_row = row;
	return MS_OK;
}

// --- CSV -----------------------------------------------------------------------------------------------

static enum ms_err read_header(struct reading *r, struct csv_reader *csv, struct arena *arena, struct errinfo *info,
			       size_t **ret_columns, size_t *ret_count)
{
	struct slice *fields;
	bool more;
	size_t known = 0;
	MS_TRY(ms_csv_next(csv, arena, info, &fields, ret_count, &more));
	if (!more)
		return ms_fail(info, MS_ERR_INVALID, "the file is empty: its first line must name the columns");
	*ret_columns = MS_ARENA_ARRAY(arena, size_t, *ret_count);
	if (*ret_columns == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for %zu columns", *ret_count);
	for (size_t i = 0; i < *ret_count; i++) {
		(*ret_columns)[i] = ms_served_input_index(r->served, ms_slice_trim(fields[i]));
		known += (*ret_columns)[i] != SIZE_MAX;
	}
	if (known == 0)
		return ms_fail(info, MS_ERR_PREDICT_FEATURE,
			       "no column of the file is an input of the model; its first line must name them");
	return MS_OK;
}

static enum ms_err read_cells(struct reading *r, struct csv_reader *csv, const size_t *columns, size_t count,
			      struct errinfo *info, bool *ret_more)
{
	struct slice *fields;
	size_t got;
	double *row;
	ms_arena_reset(&r->arena);
	MS_TRY(ms_csv_next(csv, &r->arena, info, &fields, &got, ret_more));
	if (!*ret_more)
		return MS_OK;
	if (got != count)
		return ms_fail(info, MS_ERR_PREDICT_SHAPE, "line %lld: %zu fields, but the header names %zu",
			       (long long)csv->last_line, got, count);
	MS_TRY(next_row(r, info, &row));
	for (size_t i = 0; i < count; i++) {
		struct errinfo why;
		ms_errinfo_init(&why);
		if (columns[i] == SIZE_MAX)
			continue;
		enum ms_err err = ms_features_from_text(r->served, columns[i], fields[i], &why, &row[columns[i]]);
		if (err != MS_OK)
			return ms_fail(info, err, "line %lld: %s", (long long)csv->last_line, why.message);
	}
	return MS_OK;
}

static enum ms_err read_csv(struct reading *r, struct slice text, struct arena *arena, struct errinfo *info)
{
	struct csv_reader csv;
	size_t *columns = NULL, count = 0;
	bool more = true;
	ms_csv_init(&csv, text);
	MS_TRY(read_header(r, &csv, arena, info, &columns, &count));
	while (more && r->rows.rows < r->max_rows)
		MS_TRY(read_cells(r, &csv, columns, count, info, &more));
	return MS_OK;
}

// --- JSON lines ----------------------------------------------------------------------------------------

static enum ms_err read_line(struct reading *r, struct slice line, long long number, struct errinfo *info)
{
	struct errinfo why;
	struct json_reader json;
	struct feature_matrix one = {0};
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	double *row;
	limits.max_bytes = SIZE_MAX; // the whole file was bounded
	ms_arena_reset(&r->arena);
	ms_errinfo_init(&why);
	ms_json_reader_init(&json, line, &limits, &r->arena, &why);
	enum ms_err err = ms_features_read(&json, r->served, 1, &r->arena, &why, &one);
	if (err == MS_OK)
		err = ms_json_finish(&json);
	if (err == MS_OK && one.rows != 1)
		err = ms_fail(&why, MS_ERR_PREDICT_SHAPE, "the line holds no row");
	if (err != MS_OK)
		return ms_fail(info, err, "line %lld: %s", number, why.message);
	MS_TRY(next_row(r, info, &row));
	memcpy(row, one.values, one.columns * sizeof(*row));
	return MS_OK;
}

static enum ms_err read_json_lines(struct reading *r, struct slice text, struct errinfo *info)
{
	struct slice line;
	for (long long number = 1; r->rows.rows < r->max_rows && ms_slice_next(&text, '\n', &line); number++) {
		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		if (ms_slice_trim(line).n > 0)
			MS_TRY(read_line(r, ms_slice_trim(line), number, info));
	}
	return MS_OK;
}

enum ms_err ms_rows_read(const struct served_model *served, const char *path, size_t max_rows, struct errinfo *info,
			 struct feature_matrix *ret_rows)
{
	struct slice text;
	struct arena header;
	struct reading r = {.served = served, .rows.columns = served->input_count, .max_rows = max_rows};
	MS_TRY(ms_file_read(path, FILE_MAX, info, &text));
	ms_arena_init(&r.arena, 1 << 16, ROW_ARENA_MAX);
	ms_arena_init(&header, 1 << 12, ROW_ARENA_MAX);
	struct slice start = ms_slice_trim(ms_slice_sub(text, 0, 4096));
	bool json = !ms_slice_ends_with(ms_slice_cstr(path), MS_SLICE_LIT(".csv")) && start.n > 0 &&
		    (start.p[0] == '{' || start.p[0] == '[');
	enum ms_err err = json ? read_json_lines(&r, text, info) : read_csv(&r, text, &header, info);
	if (err == MS_OK && r.rows.rows == 0)
		err = ms_fail(info, MS_ERR_INVALID, "the file holds no rows");
	ms_arena_fini(&header);
	ms_arena_fini(&r.arena);
	free((void *)(uintptr_t)text.p);
	if (err != MS_OK)
		free(r.rows.values);
	else
		*ret_rows = r.rows;
	return err;
}
