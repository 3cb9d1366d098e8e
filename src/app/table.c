// SPDX-License-Identifier: Apache-2.0
#include "app/table.h"

#include "app/width.h"
#include "json/json.h"

#define GAP 2 // blanks between columns

struct table_row {
	struct table_row *next;
	const char *cells[];
};

void ms_table_init(struct table *table, struct arena *arena, const struct table_column *columns, size_t column_count)
{
	MS_ASSERT(column_count > 0 && column_count <= TABLE_COLUMNS_MAX);
	*table = (struct table){.arena = arena, .columns = columns, .column_count = column_count};
}

enum ms_err ms_table_add(struct table *table, const char *const *cells)
{
	if (table->row_count == TABLE_ROWS_MAX)
		return MS_ERR_LIMIT;
	struct table_row *row =
		ms_arena_calloc(table->arena, 1, sizeof(*row) + table->column_count * sizeof(row->cells[0]));
	if (row == NULL)
		return MS_ERR_NO_MEMORY;
	for (size_t i = 0; i < table->column_count; i++) {
		if (cells[i] == NULL)
			continue;
		row->cells[i] = ms_arena_cstr(table->arena, ms_slice_cstr(cells[i]));
		if (row->cells[i] == NULL)
			return MS_ERR_NO_MEMORY;
	}
	if (table->last != NULL)
		table->last->next = row;
	else
		table->first = row;
	table->last = row;
	table->row_count++;
	return MS_OK;
}

static void pad(struct buf *out, size_t n)
{
	while (n-- > 0)
		ms_buf_append_char(out, ' ');
}

static struct slice shown(const char *cell)
{
	return ms_slice_cstr(cell != NULL ? cell : "-");
}

static void write_line(const struct table *table, const char *const *cells, const size_t *widths, struct buf *out)
{
	for (size_t i = 0; i < table->column_count; i++) {
		struct slice cell = shown(cells[i]);
		size_t blanks = widths[i] - MS_MIN(ms_width_of(cell), widths[i]);
		bool right = table->columns[i].type == TABLE_NUMBER, last = i + 1 == table->column_count;
		pad(out, right ? blanks : 0);
		ms_width_append(out, cell, widths[i]);
		pad(out, last ? 0 : GAP + (right ? 0 : blanks));
	}
	ms_buf_append_char(out, '\n');
}

void ms_table_write_text(const struct table *table, size_t width, struct buf *out)
{
	const char *titles[TABLE_COLUMNS_MAX];
	size_t widths[TABLE_COLUMNS_MAX], total = 0;
	for (size_t i = 0; i < table->column_count; i++) {
		titles[i] = table->columns[i].title;
		widths[i] = ms_width_of(ms_slice_cstr(titles[i]));
		for (const struct table_row *row = table->first; row != NULL; row = row->next)
			widths[i] = MS_MAX(widths[i], ms_width_of(shown(row->cells[i])));
		total += widths[i] + (i > 0 ? GAP : 0);
	}
	size_t *last = &widths[table->column_count - 1];
	size_t least = ms_width_of(ms_slice_cstr(titles[table->column_count - 1]));
	if (width > 0 && total > width)
		*last = MS_MAX(least, *last - MS_MIN(*last, total - width));
	write_line(table, titles, widths, out);
	for (const struct table_row *row = table->first; row != NULL; row = row->next)
		write_line(table, row->cells, widths, out);
}

void ms_table_write_json(const struct table *table, struct buf *out)
{
	struct json_writer w;
	ms_json_writer_init(&w, out);
	ms_json_begin_array(&w);
	for (const struct table_row *row = table->first; row != NULL; row = row->next) {
		ms_json_begin_object(&w);
		for (size_t i = 0; i < table->column_count; i++) {
			ms_json_key_lit(&w, table->columns[i].key);
			if (row->cells[i] == NULL)
				ms_json_null(&w);
			else if (table->columns[i].type == TABLE_TEXT)
				ms_json_cstr(&w, row->cells[i]);
			else
				ms_json_raw(&w, ms_slice_cstr(row->cells[i]));
		}
		ms_json_end_object(&w);
	}
	ms_json_end_array(&w);
	ms_buf_append_char(out, '\n');
}
