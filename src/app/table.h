// SPDX-License-Identifier: Apache-2.0
// Lists of things: aligned columns for people, an array of objects for programs, from the same rows.
#ifndef MS_APP_TABLE_H
#define MS_APP_TABLE_H

#include "base/base.h"

enum table_type {
	TABLE_TEXT,
	TABLE_NUMBER,  // aligned to the right; the cell is the text of a JSON number
	TABLE_BOOLEAN, // "true" or "false"
};

struct table_column {
	const char *title; // for people: "SIZE"
	const char *key;   // for programs: "size"
	enum table_type type;
};

#define TABLE_COLUMNS_MAX 16
#define TABLE_ROWS_MAX 1000000

struct table_row;
struct table {
	struct arena *arena;
	const struct table_column *columns;
	size_t column_count;
	struct table_row *first, *last;
	size_t row_count;
};

// Rows live in the arena; columns are static.
void ms_table_init(struct table *table, struct arena *arena, const struct table_column *columns, size_t column_count);
// One cell per column, copied; NULL: no value, shown as "-" and null. MS_ERR_NO_MEMORY or MS_ERR_LIMIT.
MS_MUST_USE enum ms_err ms_table_add(struct table *table, const char *const *cells);
// `width`: columns of the terminal, which the last column is cut to; 0: nothing is cut.
void ms_table_write_text(const struct table *table, size_t width, struct buf *out);
void ms_table_write_json(const struct table *table, struct buf *out);

#endif
