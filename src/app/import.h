// SPDX-License-Identifier: Apache-2.0
// Files of users: one JSON object a line, or CSV (RFC 4180) with a header.
#ifndef MS_APP_IMPORT_H
#define MS_APP_IMPORT_H

#include "auth/auth.h"
#include "base/base.h"

#define IMPORT_COLUMNS_MAX 32

struct user_import {
	struct slice bytes; // borrowed
	bool csv;
	size_t first; // offset of the first user's line
	uint64_t first_line;
	size_t column_count;
	int columns[IMPORT_COLUMNS_MAX]; // of a CSV file: which field each is
	size_t at;                       // 0: from the start; else the next line
	uint64_t line;                   // of the user that was read last, from 1
};
MS_MUST_USE enum ms_err ms_import_open(struct user_import *import, struct slice bytes, struct arena *arena,
				       struct errinfo *info);
// The next user; *ret_more false at the end. Strings in the arena or the file.
MS_MUST_USE enum ms_err ms_import_next(struct user_import *import, struct arena *arena, struct errinfo *info,
				       bool *ret_more, struct auth_user_fields *ret_fields);

#endif
