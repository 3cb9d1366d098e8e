// SPDX-License-Identifier: Apache-2.0
// Text helpers that several modules need: the nearest name for "did you mean", times as text, JSON strings.
#ifndef MS_BASE_TEXT_H
#define MS_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

// The candidate nearest to `name` by edit distance (insert, delete, replace, swap of neighbours; letters
// compare without case), or SIZE_MAX when none is near enough to be a likely slip.
size_t ms_text_nearest(struct slice name, const struct slice *candidates, size_t count);

#define MS_RFC3339_SIZE 32
// "2026-11-20T08:30:00.123Z" for nanoseconds since the Unix epoch, in UTC (RFC 3339); returns the length.
size_t ms_text_rfc3339(int64_t unix_ns, char dst[MS_RFC3339_SIZE]);

// The reverse, for what people type: a date ("2026-11-20", its midnight in UTC), or date and time with a zone: "2026-11-20T08:30:00Z",
// "2026-11-20 08:30+01:00", seconds and their fraction left out or given. Years 1970 to 2261. A leap second is the one before it.
MS_MUST_USE bool ms_text_parse_time(struct slice text, int64_t *ret_unix_ns);

// The inside of a JSON string (RFC 8259 section 7) for `text`: writes at most `size` bytes to `dst`, whole escapes and
// whole characters only, and returns how many; `ret_taken` gets how many bytes of `text` they stand for. A byte
// that is not UTF-8 becomes U+FFFD. Beside what JSON demands, DEL and the controls U+0080 to U+009F are escaped, because
// they steer terminals.
#define MS_JSON_ESCAPE_MAX 6 // bytes that one byte of text can become
size_t ms_text_json_escape(struct slice text, char *dst, size_t size, size_t *ret_taken);

#endif
