// SPDX-License-Identifier: Apache-2.0
// One status type for the whole program. `errors.def` is the only list: each row is a code, its name as
// clients see it ("module.reason") and the HTTP status that fits. A function that can fail returns enum
// ms_err and, where it knows more, fills a struct errinfo that the caller passed (NULL when nobody asks).
#ifndef MS_BASE_ERR_H
#define MS_BASE_ERR_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

enum ms_err {
	MS_OK = 0,
#define MS_ERROR(id, name, http_status) id,
#include "base/errors.def"
#undef MS_ERROR
	MS_ERR_COUNT
};

// "json.syntax"; "ok" for MS_OK.
const char *ms_err_name(enum ms_err code);
// 400 to 599; 200 for MS_OK.
int ms_err_http_status(enum ms_err code);

#define MS_ERRINFO_MESSAGE_SIZE 512
#define MS_ERRINFO_FIELD_SIZE 128

// What went wrong, in words for the user who sent the input: what, where, what would be right. It never
// holds a secret, a path of the server or a stack. Fixed size, so that reporting needs no memory.
struct errinfo {
	enum ms_err code;
	char message[MS_ERRINFO_MESSAGE_SIZE];
	char field[MS_ERRINFO_FIELD_SIZE]; // the field or feature at fault, or ""
	int64_t row;                       // 0-based row of the input, or -1
	int64_t line;                      // 1-based line of a text file, or -1
	int64_t offset;                    // byte offset in the input, or -1
};

void ms_errinfo_init(struct errinfo *info);

// Fills `info` (if given) and returns `code`, so that a failing function says: return ms_fail(info, …).
// Keeps field, row, line and offset as they are. Text that is not printable is shown as '?'.
enum ms_err ms_fail(struct errinfo *info, enum ms_err code, const char *fmt, ...) MS_PRINTF(3, 4) MS_COLD;
void ms_errinfo_set_field(struct errinfo *info, struct slice field);

// Hands a failure up: the only macro that returns.
#define MS_TRY(call)                                    \
	do {                                            \
		enum ms_err ms_try_code_ = (call);      \
		if (MS_UNLIKELY(ms_try_code_ != MS_OK)) \
			return ms_try_code_;            \
	} while (0)

#endif
