// SPDX-License-Identifier: Apache-2.0
// Scanners for the character classes of HTTP: sixteen bytes a step with SSE2, which every x86-64 has, else
// byte by byte. Each returns the index of the first byte in [at, end) outside its class, or end.
#ifndef MS_NET_HTTP1_SCAN_H
#define MS_NET_HTTP1_SCAN_H

#include "base/base.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum char_class {
	CHAR_TOKEN = 1 << 0,  // tchar (RFC 9110 section 5.6.2)
	CHAR_VALUE = 1 << 1,  // field value: visible, blank, tab, and bytes from 0x80
	CHAR_TARGET = 1 << 2, // request target: visible ASCII but '#'
	CHAR_HOST = 1 << 3,   // unreserved (RFC 3986): what real names and IPv4 addresses are made of
	CHAR_HEX = 1 << 4,
	CHAR_DIGIT = 1 << 5,
};
extern const uint8_t ms_http1_class[256];

static inline bool is_char(char c, enum char_class set)
{
	return (ms_http1_class[(unsigned char)c] & set) != 0;
}

static inline size_t scan_class(const char *p, size_t at, size_t end, enum char_class set)
{
	while (at < end && is_char(p[at], set))
		at++;
	return at;
}

#ifdef __SSE2__
// Bytes x with low <= x <= high, unsigned: shifted so that one signed comparison decides.
static inline __m128i bytes_in_range(__m128i x, unsigned char low, unsigned char high)
{
	__m128i shifted = _mm_add_epi8(x, _mm_set1_epi8((char)(0x80 - low)));
	return _mm_cmplt_epi8(shifted, _mm_set1_epi8((char)(0x80 + (high - low) + 1)));
}

static inline __m128i load_bytes(const char *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}
#endif

// Letters, digits and '-' in wide steps; the rarer characters of a token one by one.
static inline size_t scan_token(const char *p, size_t at, size_t end)
{
#ifdef __SSE2__
	while (end - at >= 16) {
		__m128i x = load_bytes(p + at);
		__m128i letters = bytes_in_range(_mm_or_si128(x, _mm_set1_epi8(0x20)), 'a', 'z');
		__m128i good = _mm_or_si128(_mm_or_si128(letters, bytes_in_range(x, '0', '9')),
					    _mm_cmpeq_epi8(x, _mm_set1_epi8('-')));
		unsigned bad = (unsigned)_mm_movemask_epi8(good) ^ 0xffffu;
		if (bad == 0) {
			at += 16;
			continue;
		}
		at += (unsigned)__builtin_ctz(bad);
		if (!is_char(p[at], CHAR_TOKEN))
			return at;
		at++;
	}
#endif
	return scan_class(p, at, end, CHAR_TOKEN);
}

static inline size_t scan_value(const char *p, size_t at, size_t end)
{
#ifdef __SSE2__
	for (; end - at >= 16; at += 16) {
		__m128i x = load_bytes(p + at);
		__m128i control = bytes_in_range(x, 0x00, 0x1f);
		control = _mm_andnot_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('\t')), control);
		unsigned bad =
			(unsigned)_mm_movemask_epi8(_mm_or_si128(control, _mm_cmpeq_epi8(x, _mm_set1_epi8(0x7f))));
		if (bad != 0)
			return at + (unsigned)__builtin_ctz(bad);
	}
#endif
	return scan_class(p, at, end, CHAR_VALUE);
}

static inline size_t scan_target(const char *p, size_t at, size_t end)
{
#ifdef __SSE2__
	for (; end - at >= 16; at += 16) {
		__m128i x = load_bytes(p + at);
		__m128i good = _mm_andnot_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('#')), bytes_in_range(x, 0x21, 0x7e));
		unsigned bad = (unsigned)_mm_movemask_epi8(good) ^ 0xffffu;
		if (bad != 0)
			return at + (unsigned)__builtin_ctz(bad);
	}
#endif
	return scan_class(p, at, end, CHAR_TARGET);
}

#endif
