// SPDX-License-Identifier: Apache-2.0
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"

#define FIRST_CAPACITY ((size_t)256)

void ms_buf_init(struct buf *b, size_t max)
{
	MS_ASSERT(max > 0);
	*b = (struct buf){.max = max};
}

void ms_buf_fini(struct buf *b)
{
	if (b == NULL)
		return;
	free(b->p);
	*b = (struct buf){.max = b->max};
}

void ms_buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

bool ms_buf_reserve_slow(struct buf *b, size_t n)
{
	if (b->failed)
		return false;
	if (n <= b->cap - b->n)
		return true;
	if (n > b->max || b->n > b->max - n) {
		b->failed = true;
		return false;
	}
	size_t cap = b->cap > b->max / 2 ? b->max : MS_MAX(b->cap * 2, FIRST_CAPACITY);
	cap = MS_MIN(MS_MAX(cap, b->n + n), b->max);
	char *p = realloc(b->p, cap);
	if (p == NULL) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

void ms_buf_append(struct buf *b, const void *p, size_t n)
{
	if (n == 0 || !ms_buf_reserve(b, n))
		return;
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

void ms_buf_append_slice(struct buf *b, struct slice s)
{
	ms_buf_append(b, s.p, s.n);
}

void ms_buf_append_cstr(struct buf *b, const char *s)
{
	ms_buf_append(b, s, strlen(s));
}

void ms_buf_append_char(struct buf *b, char c)
{
	if (!ms_buf_reserve(b, 1))
		return;
	b->p[b->n++] = c;
}

void ms_buf_append_u64(struct buf *b, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);
	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	ms_buf_append(b, digits + at, sizeof(digits) - at);
}

void ms_buf_append_i64(struct buf *b, int64_t value)
{
	if (value < 0)
		ms_buf_append_char(b, '-');
	ms_buf_append_u64(b, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void ms_buf_vprintf(struct buf *b, const char *fmt, va_list args)
{
	va_list again;
	va_copy(again, args);
	int n = vsnprintf(NULL, 0, fmt, args);
	if (n < 0)
		b->failed = true;
	else if (ms_buf_reserve(b, (size_t)n + 1)) { // + 1: vsnprintf writes its NUL behind the text
		vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

void ms_buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	ms_buf_vprintf(b, fmt, args);
	va_end(args);
}

void ms_buf_consume(struct buf *b, size_t n)
{
	MS_ASSERT(n <= b->n);
	b->n -= n;
	if (b->n > 0)
		memmove(b->p, b->p + n, b->n);
}
