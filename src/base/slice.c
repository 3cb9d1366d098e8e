// SPDX-License-Identifier: Apache-2.0
#include "base/slice.h"

static unsigned char lower(char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool ms_slice_eq_nocase(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++) {
		if (lower(a.p[i]) != lower(b.p[i]))
			return false;
	}
	return true;
}

int ms_slice_cmp(struct slice a, struct slice b)
{
	size_t n = MS_MIN(a.n, b.n);
	int order = n > 0 ? memcmp(a.p, b.p, n) : 0;
	if (order != 0)
		return order;
	return (a.n > b.n) - (a.n < b.n);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct slice ms_slice_trim(struct slice s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

bool ms_slice_next(struct slice *rest, char sep, struct slice *ret_part)
{
	if (rest->p == NULL)
		return false;
	size_t at = ms_slice_find(*rest, sep);
	*ret_part = (struct slice){rest->p, at};
	if (at == rest->n)
		*rest = MS_SLICE_EMPTY;
	else
		*rest = (struct slice){rest->p + at + 1, rest->n - at - 1};
	return true;
}

bool ms_slice_to_u64(struct slice s, uint64_t *ret_value)
{
	uint64_t value = 0;
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value))
			return false;
	}
	*ret_value = value;
	return true;
}

bool ms_slice_to_i64(struct slice s, int64_t *ret_value)
{
	bool negative = s.n > 0 && s.p[0] == '-';
	uint64_t magnitude;
	if (!ms_slice_to_u64(negative ? ms_slice_sub(s, 1, s.n) : s, &magnitude))
		return false;
	uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
	if (magnitude > limit)
		return false;
	*ret_value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
	return true;
}

bool ms_slice_to_cstr(struct slice s, char *dst, size_t dst_size)
{
	if (s.n >= dst_size || (s.n > 0 && memchr(s.p, '\0', s.n) != NULL))
		return false;
	if (s.n > 0)
		memcpy(dst, s.p, s.n);
	dst[s.n] = '\0';
	return true;
}
