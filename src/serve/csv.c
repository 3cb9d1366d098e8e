// SPDX-License-Identifier: Apache-2.0
#include "serve/csv.h"

#define FIRST_FIELDS 16

void ms_csv_init(struct csv_reader *csv, struct slice text)
{
	struct slice mark = MS_SLICE_LIT("\xef\xbb\xbf");
	*csv = (struct csv_reader){.rest = ms_slice_starts_with(text, mark) ? ms_slice_sub(text, 3, text.n) : text,
				   .line = 1};
}

static struct slice cut(struct csv_reader *csv, size_t n)
{
	struct slice part = ms_slice_sub(csv->rest, 0, n);
	csv->rest = ms_slice_sub(csv->rest, n, csv->rest.n);
	return part;
}

// Steps over a line end; false when there is none here.
static bool take_line_end(struct csv_reader *csv)
{
	size_t n = ms_slice_starts_with(csv->rest, MS_SLICE_LIT("\r\n")) ? 2
		   : csv->rest.n > 0 && csv->rest.p[0] == '\n'           ? 1
									 : 0;
	cut(csv, n);
	csv->line += n > 0;
	return n > 0;
}

static void skip_line(struct csv_reader *csv)
{
	cut(csv, ms_slice_find(csv->rest, '\n'));
	take_line_end(csv);
}

static enum ms_err fail(struct csv_reader *csv, struct errinfo *info, const char *what)
{
	if (info != NULL)
		info->line = csv->last_line;
	skip_line(csv);
	return ms_fail(info, MS_ERR_INVALID, "line %lld: %s", (long long)csv->last_line, what);
}

static struct slice take_plain(struct csv_reader *csv)
{
	size_t n = 0;
	while (n < csv->rest.n && csv->rest.p[n] != ',' && csv->rest.p[n] != '\n' && csv->rest.p[n] != '"')
		n++;
	bool crlf = n > 0 && n < csv->rest.n && csv->rest.p[n] == '\n' && csv->rest.p[n - 1] == '\r';
	return cut(csv, n - crlf);
}

// The opening quote stands at the front.
static enum ms_err take_quoted(struct csv_reader *csv, struct arena *arena, struct errinfo *info,
			       struct slice *ret_field)
{
	size_t n = 1, quotes = 0;
	for (;; n++) {
		if (n >= csv->rest.n)
			return fail(csv, info, "a quoted field does not end");
		if (csv->rest.p[n] != '"')
			continue;
		if (n + 1 < csv->rest.n && csv->rest.p[n + 1] == '"') {
			quotes++;
			n++;
		} else
			break;
	}
	struct slice raw = ms_slice_sub(cut(csv, n + 1), 1, n - 1);
	for (size_t i = 0; i < raw.n; i++)
		csv->line += raw.p[i] == '\n';
	*ret_field = raw;
	if (quotes == 0)
		return MS_OK;
	char *text = ms_arena_alloc(arena, raw.n);
	if (text == NULL)
		return fail(csv, info, "the line does not fit into memory");
	size_t at = 0;
	for (size_t i = 0; i < raw.n; i++) {
		text[at++] = raw.p[i];
		i += raw.p[i] == '"'; // the second of a pair
	}
	*ret_field = ms_slice(text, at);
	return MS_OK;
}

static enum ms_err take_field(struct csv_reader *csv, struct arena *arena, struct errinfo *info,
			      struct slice *ret_field)
{
	if (csv->rest.n > 0 && csv->rest.p[0] == '"')
		MS_TRY(take_quoted(csv, arena, info, ret_field));
	else
		*ret_field = take_plain(csv);
	bool ends = csv->rest.n == 0 || csv->rest.p[0] == ',' || csv->rest.p[0] == '\n' ||
		    ms_slice_starts_with(csv->rest, MS_SLICE_LIT("\r\n"));
	return ends ? MS_OK : fail(csv, info, "a quote stands inside a field: the whole field must be quoted");
}

enum ms_err ms_csv_next(struct csv_reader *csv, struct arena *arena, struct errinfo *info, struct slice **ret_fields,
			size_t *ret_count, bool *ret_more)
{
	size_t count = 0, capacity = 0;
	struct slice *fields = NULL;
	while (take_line_end(csv)) {
	}
	csv->last_line = csv->line;
	*ret_more = csv->rest.n > 0;
	if (!*ret_more)
		return MS_OK;
	for (bool more = true; more;) {
		if (count == capacity) {
			size_t bigger = MS_MAX(capacity * 2, (size_t)FIRST_FIELDS);
			fields = count < MS_CSV_MAX_FIELDS ? ms_arena_grow(arena, fields, capacity * sizeof(*fields),
									   bigger * sizeof(*fields))
							   : NULL;
			if (fields == NULL)
				return fail(csv, info, "too many fields");
			capacity = bigger;
		}
		MS_TRY(take_field(csv, arena, info, &fields[count++]));
		more = csv->rest.n > 0 && csv->rest.p[0] == ',';
		if (more)
			cut(csv, 1);
	}
	take_line_end(csv);
	*ret_fields = fields;
	*ret_count = count;
	return MS_OK;
}

void ms_csv_write(struct buf *out, struct slice field)
{
	bool quote = false;
	for (size_t i = 0; i < field.n; i++)
		quote = quote || field.p[i] == ',' || field.p[i] == '"' || field.p[i] == '\n' || field.p[i] == '\r';
	if (!quote) {
		ms_buf_append_slice(out, field);
		return;
	}
	ms_buf_append_char(out, '"');
	for (size_t i = 0; i < field.n; i++) {
		if (field.p[i] == '"')
			ms_buf_append_char(out, '"');
		ms_buf_append_char(out, field.p[i]);
	}
	ms_buf_append_char(out, '"');
}
