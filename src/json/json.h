// SPDX-License-Identifier: Apache-2.0
// Strict JSON (RFC 8259): a pull reader for hot paths and large files, a tree of values in an arena for the
// rest, a writer, and correctly rounded numbers both ways. Bytes in, values out: no input or output here.
//
// Strict means: UTF-8 is checked (RFC 3629), lone surrogate escapes are refused, no comments, no trailing
// commas, no NaN, no byte order mark, exactly one value. Depth and size are bounded. Errors fill errinfo's line
// and offset (0-based, in bytes), and the message starts with line and column (from 1, in characters).
#ifndef MS_JSON_JSON_H
#define MS_JSON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

struct json_limits {
	uint32_t max_depth; // nesting; at most 1024
	size_t max_bytes;   // of the text
	// A key twice in one object is MS_ERR_JSON_DUPLICATE_KEY (tree parser only; a reader's caller sees each key).
	bool reject_duplicates;
	bool allow_nan; // the bare tokens NaN, Infinity, -Infinity as numbers (XGBoost model files)
};
extern const struct json_limits MS_JSON_DEFAULT_LIMITS; // depth 64, 64 MiB, duplicates rejected, no NaN

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT, JSON_INVALID };
const char *ms_json_type_name(enum json_type type); // "null", "boolean", "number", …

// --- Pull reader -------------------------------------------------------------------------------------
// Errors are sticky: after the first, every call fails and reader.err says why. Typical use:
//
//	ms_json_reader_init(&r, text, &limits, arena, info);
//	if (ms_json_enter_object(&r))
//		while (ms_json_next_key(&r, &key)) { … exactly one read, enter or skip … }
//	MS_TRY(ms_json_finish(&r));

struct json_reader {
	const char *p;
	const char *start;
	const char *end;
	struct arena *arena; // for strings with escapes; may be NULL: then those fail with MS_ERR_LIMIT
	struct errinfo *info;
	enum ms_err err;
	uint32_t depth;
	uint32_t max_depth;
	bool allow_nan;
	bool first; // the next item has no comma before it: none was read yet, or the comma was
};

// The text, the arena and the info must outlive the reader. `limits` may be NULL for the default ones; a text
// beyond max_bytes fails at once. The reader may be dropped at any point; it owns nothing.
void ms_json_reader_init(struct json_reader *r, struct slice text, const struct json_limits *limits,
			 struct arena *arena, struct errinfo *info);
// The type of the next value by its first byte, nothing consumed; JSON_INVALID after an error, and where no
// value can start, which is an error itself.
enum json_type ms_json_peek(struct json_reader *r);
// Consumes '[' / '{'. A value of another type is MS_ERR_JSON_TYPE.
bool ms_json_enter_array(struct json_reader *r);
bool ms_json_enter_object(struct json_reader *r);
// True when another item follows; false at the end (consumed) or at an error.
bool ms_json_next_item(struct json_reader *r);
// The same for members; the key is unescaped, valid as long as text and arena.
bool ms_json_next_key(struct json_reader *r, struct slice *ret_key);

// Each reads one value of that type; another type, or a number out of range, is an error.
bool ms_json_read_f64(struct json_reader *r,
		      double *ret_value); // correctly rounded; a decimal beyond the range is an error
bool ms_json_read_f32(struct json_reader *r, float *ret_value);   // correctly rounded straight from the decimal
bool ms_json_read_i64(struct json_reader *r, int64_t *ret_value); // integers only; 1.0 and 1e2 are refused
bool ms_json_read_u64(struct json_reader *r, uint64_t *ret_value);
bool ms_json_read_bool(struct json_reader *r, bool *ret_value);
bool ms_json_read_null(struct json_reader *r);
bool ms_json_read_string(struct json_reader *r, struct slice *ret_value);
// Skips one value, checking it as strictly as reading would; `ret_raw` (may be NULL) gets its text.
bool ms_json_skip(struct json_reader *r, struct slice *ret_raw);
// The hot loop of a prediction: reads numbers and nulls (as NaN) of the array that was entered, until the
// array ends, an item of another type comes next, or `capacity` items were read; *ret_count says how many.
// True when the array's end was consumed; false otherwise (check r->err, then ms_json_peek: the item is next,
// its comma was read). The item may be read at once or after ms_json_next_item; then this may be called again.
bool ms_json_read_f64_items(struct json_reader *r, double *dst, size_t capacity, size_t *ret_count);
// Only white space may be left. Returns r->err.
MS_MUST_USE enum ms_err ms_json_finish(struct json_reader *r);
// Fails the reader with a message at the present place (behind what was read last, or at what was peeked at);
// for callers' own checks. After an earlier error that one stays. Returns r->err.
enum ms_err ms_json_fail(struct json_reader *r, enum ms_err code, const char *fmt, ...) MS_PRINTF(3, 4);

// --- Tree --------------------------------------------------------------------------------------------

struct json_member;
struct json_value {
	enum json_type type;
	union {
		struct slice str; // JSON_STRING, unescaped; JSON_NUMBER: its text
		struct {
			const struct json_value *items;
			size_t count;
		} array;
		struct {
			const struct json_member *members; // in the order of the text
			size_t count;
		} object;
	};
};
struct json_member {
	struct slice key;
	struct json_value value;
};

// The tree lives in the arena and borrows from `text`, which must live as long. `limits` may be NULL for the
// default ones. While it runs, open arrays and objects are gathered in at most as much memory again as the
// arena may take. After an error the arena holds what was built so far; reset or rewind it.
MS_MUST_USE enum ms_err ms_json_parse(struct slice text, const struct json_limits *limits, struct arena *arena,
				      struct errinfo *info, const struct json_value **ret_value);
// NULL when absent or when `object` is NULL or no object. Linear; for large objects use members.
const struct json_value *ms_json_get(const struct json_value *object, const char *key);
// Each false when the value is NULL, of another type, or out of range; an integer is digits without point or
// exponent.
MS_MUST_USE bool ms_json_as_f64(const struct json_value *v, double *ret_value);
MS_MUST_USE bool ms_json_as_i64(const struct json_value *v, int64_t *ret_value);
MS_MUST_USE bool ms_json_as_bool(const struct json_value *v, bool *ret_value);
MS_MUST_USE bool ms_json_as_str(const struct json_value *v, struct slice *ret_value);

// --- Numbers -----------------------------------------------------------------------------------------
// Text is JSON's number grammar exactly, the whole slice. Correctly rounded (nearest, ties to even) from
// any number of digits. False on bad grammar and on overflow to infinity; underflow gives the nearest value.
// They count on the processor's default rounding mode.
MS_MUST_USE bool ms_number_parse_f64(struct slice text, double *ret_value);
MS_MUST_USE bool ms_number_parse_f32(struct slice text, float *ret_value);
// C-like text that other formats hold: also a leading '+', "inf", "nan", "infinity" in any case, ".5", "5.";
// overflow gives infinity. Used by model files.
MS_MUST_USE bool ms_number_parse_f64_lenient(struct slice text, double *ret_value);
MS_MUST_USE bool ms_number_parse_f32_lenient(struct slice text, float *ret_value);
// Scans the longest number of the lenient grammar from the front of `*rest` and takes it off; false when none
// starts there. White space is not skipped.
MS_MUST_USE bool ms_number_scan_f64(struct slice *rest, double *ret_value);

#define MS_NUMBER_SIZE 32
// The shortest text that reads back to the same value, nearest to it among those; finite values only;
// returns the length. Plain notation from 1e-5 to below 1e21, else with exponent: 0.1, 100.0→"100.0", 1e+22→"1e22".
// A whole number keeps ".0", so that readers in typed languages see a float.
size_t ms_number_format_f64(double value, char dst[MS_NUMBER_SIZE]);
size_t ms_number_format_f32(float value, char dst[MS_NUMBER_SIZE]);

// --- Writer ------------------------------------------------------------------------------------------
// Appends to a buffer and places commas itself, no white space. Misuse (a key in an array, a second value at
// the top) is an assertion. No failure but the buffer's: check ms_buf_ok() at the end.

#define MS_JSON_WRITER_MAX_DEPTH 64
struct json_writer {
	struct buf *out;
	uint32_t depth;
	bool comma; // an item precedes at this level
	bool after_key;
	uint64_t is_object; // bit per level
};

void ms_json_writer_init(struct json_writer *w, struct buf *out);
void ms_json_begin_object(struct json_writer *w);
void ms_json_end_object(struct json_writer *w);
void ms_json_begin_array(struct json_writer *w);
void ms_json_end_array(struct json_writer *w);
void ms_json_key(struct json_writer *w, struct slice key);
void ms_json_key_lit(struct json_writer *w, const char *key);
void ms_json_str(struct json_writer *w, struct slice s); // each byte of invalid UTF-8 is written as U+FFFD
void ms_json_cstr(struct json_writer *w, const char *s);
void ms_json_i64(struct json_writer *w, int64_t v);
void ms_json_u64(struct json_writer *w, uint64_t v);
void ms_json_f64(struct json_writer *w, double v); // NaN and infinities are written as null
void ms_json_f32(struct json_writer *w, float v);
void ms_json_bool(struct json_writer *w, bool v);
void ms_json_null(struct json_writer *w);
void ms_json_raw(struct json_writer *w, struct slice json);            // already valid JSON, written as it is
void ms_json_value(struct json_writer *w, const struct json_value *v); // of any depth that the parser allows
// Whole members of an object.
void ms_json_member_text(struct json_writer *w, const char *key, struct slice text); // empty is null
// RFC 3339, of microseconds since the Unix epoch; null for 0, and for a time that nanoseconds cannot hold (after 2262).
void ms_json_member_time(struct json_writer *w, const char *key, int64_t unix_us);

#endif
