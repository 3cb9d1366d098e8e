// SPDX-License-Identifier: Apache-2.0
// Private: the inline steps that the reader and the tree parser share. A failed reader stands at its end, so
// that none of these needs to ask for an earlier error: at the end each of them fails, and the first error stays.
#ifndef MS_JSON_SCAN_H
#define MS_JSON_SCAN_H

#include "json/json.h"

#define MS_JSON_MAX_DEPTH 1024 // of json_limits

#ifdef __SSE2__
#include <emmintrin.h>
#endif

// --- Errors (error.c) ----------------------------------------------------------------------------------

// Fails the reader at `at`; all return false, so that a reading function can say: return ms_json_fail_….
bool ms_json_fail_at(struct json_reader *r, const char *at, enum ms_err code, const char *fmt, ...)
	MS_PRINTF(4, 5) MS_COLD;
// "expected WHAT, found 'x'" as a syntax error.
bool ms_json_fail_expected(struct json_reader *r, const char *at, const char *what) MS_COLD;
// `want` was asked for and something else is at `at`: MS_ERR_JSON_TYPE when that starts a value.
bool ms_json_fail_type(struct json_reader *r, const char *at, const char *want) MS_COLD;
// What is wrong with the number at `at`.
bool ms_json_fail_number(struct json_reader *r, const char *at) MS_COLD;
bool ms_json_fail_memory(struct json_reader *r, const char *at, size_t need) MS_COLD;

// --- Steps ---------------------------------------------------------------------------------------------

static inline bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline const char *skip_space(const char *p, const char *end)
{
	if (MS_LIKELY(p < end && (unsigned char)*p > ' '))
		return p;
	if (end - p >= 2 && is_space(p[0]) && (unsigned char)p[1] > ' ')
		return p + 1;
#ifdef __SSE2__
	for (; end - p >= 16; p += 16) { // indentation
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
		__m128i space = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(' ')),
							  _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n'))),
					     _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('\r')),
							  _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'))));
		unsigned others = (unsigned)_mm_movemask_epi8(space) ^ 0xffff;
		if (others != 0)
			return p + __builtin_ctz(others);
	}
#endif
	while (p < end && is_space(*p))
		p++;
	return p;
}

// The first byte that is no plain text inside a string: '"', '\\', a control character, not ASCII; or `end`.
static inline const char *skip_plain(const char *p, const char *end)
{
#ifdef __SSE2__
	for (; MS_LIKELY(end - p >= 16); p += 16) {
		__m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p);
		// Signed: below ' ' are the control characters and all that is not ASCII.
		__m128i special = _mm_or_si128(_mm_cmplt_epi8(bytes, _mm_set1_epi8(' ')),
					       _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')),
							    _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'))));
		unsigned mask = (unsigned)_mm_movemask_epi8(special);
		if (mask != 0)
			return p + __builtin_ctz(mask);
	}
#elif __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	const uint64_t ones = 0x0101010101010101ULL, tops = 0x8080808080808080ULL;
	for (; MS_LIKELY(end - p >= 8); p += 8) {
		uint64_t w;
		memcpy(&w, p, sizeof(w));
		// A borrow may mark bytes above the first that is special, never below.
		uint64_t quote = w ^ ones * '"', backslash = w ^ ones * '\\';
		uint64_t special =
			((w - ones * ' ') & ~w) | w | ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash);
		if ((special & tops) != 0)
			return p + __builtin_ctzll(special & tops) / 8;
	}
#endif
	while (p < end && (unsigned char)*p >= ' ' && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

// Checks the string behind the opening quote at p and returns its closing quote, NULL after an error.
const char *ms_json_scan_string_rest(struct json_reader *r, const char *p, bool *ret_escaped);
static inline const char *scan_string(struct json_reader *r, const char *p, bool *ret_escaped)
{
	p = skip_plain(p, r->end);
	*ret_escaped = false;
	if (MS_LIKELY(p < r->end && *p == '"'))
		return p;
	return ms_json_scan_string_rest(r, p, ret_escaped);
}

// Decodes a string that was checked into the arena; false after an error.
bool ms_json_unescape(struct json_reader *r, struct slice raw, struct slice *ret_value);

// Reads the string whose opening quote is at p; without `decode` its escapes are checked and stay as they are.
static inline bool read_string_at(struct json_reader *r, const char *p, bool decode, struct slice *ret_value)
{
	bool escaped;
	const char *close = scan_string(r, p + 1, &escaped);
	if (MS_UNLIKELY(close == NULL))
		return false;
	struct slice raw = {p + 1, (size_t)(close - p - 1)};
	r->p = close + 1;
	if (MS_UNLIKELY(escaped && decode))
		return ms_json_unescape(r, raw, ret_value);
	*ret_value = raw;
	return true;
}

// Takes the literal off the front if it is there.
static inline bool take_literal(struct json_reader *r, const char *p, const char *literal, size_t n)
{
	if (MS_UNLIKELY((size_t)(r->end - p) < n || memcmp(p, literal, n) != 0))
		return false;
	r->p = p + n;
	return true;
}

// The end of the number at p as text (grammar only); NULL after an error.
const char *ms_json_scan_number_text(struct json_reader *r, const char *p);

// Consumes the opening bracket at p.
static inline bool enter(struct json_reader *r, const char *p)
{
	if (MS_UNLIKELY(r->depth == r->max_depth))
		return ms_json_fail_at(r, p, MS_ERR_JSON_DEPTH, "arrays and objects are nested deeper than %u levels",
				       r->max_depth);
	r->p = p + 1;
	r->depth++;
	r->first = true;
	return true;
}

// Consumes the closing bracket at p.
static inline void leave(struct json_reader *r, const char *p)
{
	r->p = p + 1;
	r->depth--;
	r->first = false;
}

static inline bool next_item(struct json_reader *r)
{
	const char *p = skip_space(r->p, r->end);
	if (MS_LIKELY(p < r->end)) {
		if (*p == ']') {
			leave(r, p);
			return false;
		}
		if (r->first || *p == ',') {
			if (!r->first)
				p = skip_space(p + 1, r->end);
			r->first = false;
			r->p = p;
			if (MS_UNLIKELY(p < r->end && *p == ']'))
				return ms_json_fail_expected(r, p, "a value after ','");
			return true;
		}
	}
	return ms_json_fail_expected(r, p, "',' or ']' in an array");
}

static inline bool next_key(struct json_reader *r, bool decode, struct slice *ret_key)
{
	const char *p = skip_space(r->p, r->end);
	if (MS_UNLIKELY(p == r->end))
		return ms_json_fail_expected(r, p, "',' or '}' in an object");
	if (*p == '}') {
		leave(r, p);
		return false;
	}
	if (!r->first) {
		if (MS_UNLIKELY(*p != ','))
			return ms_json_fail_expected(r, p, "',' or '}' in an object");
		p = skip_space(p + 1, r->end);
	}
	if (MS_UNLIKELY(p == r->end || *p != '"'))
		return ms_json_fail_expected(r, p,
					     r->first ? "a key in double quotes or '}'" : "a key in double quotes");
	struct slice key;
	if (MS_UNLIKELY(!read_string_at(r, p, decode, &key)))
		return false;
	p = skip_space(r->p, r->end);
	if (MS_UNLIKELY(p == r->end || *p != ':'))
		return ms_json_fail_expected(r, p, "':' after a key");
	r->p = p + 1;
	r->first = false;
	*ret_key = key;
	return true;
}

// The type that the first byte of a value tells.
static inline enum json_type type_of(const struct json_reader *r, char c)
{
	switch (c) {
	case '{':
		return JSON_OBJECT;
	case '[':
		return JSON_ARRAY;
	case '"':
		return JSON_STRING;
	case 't':
		return JSON_TRUE;
	case 'f':
		return JSON_FALSE;
	case 'n':
		return JSON_NULL;
	case '-':
	case '0' ... '9':
		return JSON_NUMBER;
	case 'N':
	case 'I':
		return r->allow_nan ? JSON_NUMBER : JSON_INVALID;
	default:
		return JSON_INVALID;
	}
}

#endif
