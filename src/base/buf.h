// SPDX-License-Identifier: Apache-2.0
// A growing byte buffer with a maximum. A failed append makes the buffer sticky-failed: later appends do
// nothing and ms_buf_ok() is false, so that a writer checks once at the end. Memory from malloc; one owner.
#ifndef MS_BASE_BUF_H
#define MS_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/slice.h"

struct buf {
	char *p;
	size_t n;
	size_t cap;
	size_t max;
	bool failed; // an append met the limit or memory was out
};

void ms_buf_init(struct buf *b, size_t max);
void ms_buf_fini(struct buf *b);
// Empties the buffer and its failure, keeps the memory.
void ms_buf_clear(struct buf *b);

static inline bool ms_buf_ok(const struct buf *b)
{
	return !b->failed;
}

static inline struct slice ms_buf_slice(const struct buf *b)
{
	return (struct slice){b->p, b->n};
}

// Makes room for `n` more bytes; false (and failed) when that would pass the maximum.
bool ms_buf_reserve_slow(struct buf *b, size_t n);
static inline bool ms_buf_reserve(struct buf *b, size_t n)
{
	return MS_LIKELY(n <= b->cap - b->n && !b->failed) || ms_buf_reserve_slow(b, n);
}

void ms_buf_append(struct buf *b, const void *p, size_t n);
void ms_buf_append_slice(struct buf *b, struct slice s);
void ms_buf_append_cstr(struct buf *b, const char *s);
void ms_buf_append_char(struct buf *b, char c);
void ms_buf_append_u64(struct buf *b, uint64_t value);
void ms_buf_append_i64(struct buf *b, int64_t value);
void ms_buf_printf(struct buf *b, const char *fmt, ...) MS_PRINTF(2, 3);
void ms_buf_vprintf(struct buf *b, const char *fmt, va_list args) MS_PRINTF(2, 0);
// Drops the first `n` bytes and moves the rest to the front.
void ms_buf_consume(struct buf *b, size_t n);

#endif
