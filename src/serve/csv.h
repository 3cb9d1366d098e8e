// SPDX-License-Identifier: Apache-2.0
// CSV by RFC 4180: quoted fields may hold separators, quotes (doubled) and line ends; lines end in LF or CRLF.
// Bytes in, fields out.
#ifndef MS_SERVE_CSV_H
#define MS_SERVE_CSV_H

#include "base/base.h"

#define MS_CSV_MAX_FIELDS 100000

struct csv_reader {
	struct slice rest;
	int64_t line;      // 1-based number of the line that the next record starts on
	int64_t last_line; // that the record read last started on
};
void ms_csv_init(struct csv_reader *csv, struct slice text); // a UTF-8 byte order mark is skipped

// The fields of the next record, in the arena (quoted ones unescaped there, others borrowed from the text).
// *ret_more is false at the end. Blank lines are skipped. After an error the reader stands behind the line at fault.
MS_MUST_USE enum ms_err ms_csv_next(struct csv_reader *csv, struct arena *arena, struct errinfo *info,
				    struct slice **ret_fields, size_t *ret_count, bool *ret_more);
// Appends a field, quoted when it needs to be.
void ms_csv_write(struct buf *out, struct slice field);

#endif
