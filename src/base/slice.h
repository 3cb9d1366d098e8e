// SPDX-License-Identifier: Apache-2.0
// A slice is a borrowed run of bytes: pointer and length, passed by value, never NUL-terminated by
// contract. It owns nothing; whoever made it says how long the bytes live.
#ifndef MS_BASE_SLICE_H
#define MS_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"

struct slice {
	const char *p;
	size_t n;
};

// For printf's "%.*s": passes length (capped, so that a hostile length cannot become negative) and pointer.
#define MS_SLICE_ARG(s) (int)((s).n > 4096 ? 4096 : (s).n), ((s).n > 0 ? (s).p : "")
#define MS_SLICE_LIT(text) ((struct slice){(text), sizeof(text) - 1})
#define MS_SLICE_EMPTY ((struct slice){NULL, 0})

static inline struct slice ms_slice(const void *p, size_t n)
{
	return (struct slice){p, n};
}

static inline struct slice ms_slice_cstr(const char *s)
{
	return (struct slice){s, s != NULL ? strlen(s) : 0};
}

static inline bool ms_slice_eq(struct slice a, struct slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool ms_slice_eq_cstr(struct slice a, const char *b)
{
	return ms_slice_eq(a, ms_slice_cstr(b));
}

static inline bool ms_slice_starts_with(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline bool ms_slice_ends_with(struct slice s, struct slice suffix)
{
	return s.n >= suffix.n && (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

// The part from `from` (clamped to the end), at most `n` bytes.
static inline struct slice ms_slice_sub(struct slice s, size_t from, size_t n)
{
	if (from > s.n)
		from = s.n;
	return (struct slice){from > 0 ? s.p + from : s.p, MS_MIN(n, s.n - from)}; // s.p may be NULL when s.n is 0
}

// Index of the first `c`, or s.n when there is none.
static inline size_t ms_slice_find(struct slice s, char c)
{
	const char *hit = s.n > 0 ? memchr(s.p, c, s.n) : NULL;
	return hit != NULL ? (size_t)(hit - s.p) : s.n;
}

// ASCII only; other bytes compare as they are.
bool ms_slice_eq_nocase(struct slice a, struct slice b);

// Orders as memcmp does, a shorter prefix first.
int ms_slice_cmp(struct slice a, struct slice b);

// Without leading and trailing spaces and tabs.
struct slice ms_slice_trim(struct slice s);

// Takes the part up to the next `sep` off the front of `rest`; false when `rest` is used up.
// "a,,b" gives "a", "", "b"; "" gives one empty part. A slice whose pointer is NULL is used up.
bool ms_slice_next(struct slice *rest, char sep, struct slice *ret_part);

// Decimal digits only, the whole slice, no sign; false on anything else and on overflow.
MS_MUST_USE bool ms_slice_to_u64(struct slice s, uint64_t *ret_value);
// The same with an optional leading minus.
MS_MUST_USE bool ms_slice_to_i64(struct slice s, int64_t *ret_value);

// A NUL-terminated copy in `dst` for a foreign border; false when it does not fit or holds a NUL.
MS_MUST_USE bool ms_slice_to_cstr(struct slice s, char *dst, size_t dst_size);

#endif
