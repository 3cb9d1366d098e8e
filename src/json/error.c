// SPDX-License-Identifier: Apache-2.0
// Messages of the reader. Line and column are found only now, by counting from the start.
#include <stdarg.h>
#include <stdio.h>

#include "json/scan.h"

struct place {
	int64_t line;   // from 1
	int64_t column; // from 1, in characters
};

static struct place place_of(const struct json_reader *r, const char *at)
{
	struct place place = {1, 1};
	for (const char *p = r->start; p < at; p++) {
		if (*p == '\n')
			place = (struct place){place.line + 1, 1};
		else if (((unsigned char)*p & 0xc0) != 0x80) // not the inside of a character
			place.column++;
	}
	return place;
}

static void fail_with_args(struct json_reader *r, const char *at, enum ms_err code, const char *fmt, va_list args)
	MS_PRINTF(4, 0);
static void fail_with_args(struct json_reader *r, const char *at, enum ms_err code, const char *fmt, va_list args)
{
	if (r->err != MS_OK)
		return;
	MS_ASSERT(code != MS_OK);
	r->err = code;
	r->p = r->end; // all that follows fails
	if (r->info == NULL)
		return;
	char message[MS_ERRINFO_MESSAGE_SIZE];
	vsnprintf(message, sizeof(message), fmt, args);
	struct place place = place_of(r, at);
	(void)ms_fail(r->info, code, "line %lld, column %lld: %s", (long long)place.line, (long long)place.column,
		      message);
	r->info->line = place.line;
	r->info->offset = at - r->start;
}

bool ms_json_fail_at(struct json_reader *r, const char *at, enum ms_err code, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	fail_with_args(r, at, code, fmt, args);
	va_end(args);
	return false;
}

enum ms_err ms_json_fail(struct json_reader *r, enum ms_err code, const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	fail_with_args(r, r->p, code, fmt, args);
	va_end(args);
	return r->err;
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

#define FOUND_SIZE 64
// What is at `at`, in words.
static const char *found(const struct json_reader *r, const char *at, char dst[FOUND_SIZE])
{
	unsigned char c = at < r->end ? (unsigned char)*at : 0;
	int letters = 0;
	while (letters < 20 && letters < r->end - at && is_letter(at[letters]))
		letters++;
	if (at == r->end)
		snprintf(dst, FOUND_SIZE, "the end of the text");
	else if (at == r->start && r->end - at >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
		snprintf(dst, FOUND_SIZE, "a byte order mark (save the text without it)");
	else if (letters > 1) // True, None, NaN, undefined
		snprintf(dst, FOUND_SIZE, "the word %.*s", letters, at);
	else if (c > ' ' && c < 0x7f)
		snprintf(dst, FOUND_SIZE, c == '\'' ? "a single quote" : "'%c'", c);
	else
		snprintf(dst, FOUND_SIZE, "the byte 0x%02x", c);
	return dst;
}

bool ms_json_fail_expected(struct json_reader *r, const char *at, const char *what)
{
	char text[FOUND_SIZE];
	return ms_json_fail_at(r, at, MS_ERR_JSON_SYNTAX, "expected %s, found %s", what, found(r, at, text));
}

static bool has_literal(const struct json_reader *r, const char *at)
{
	struct slice rest = {at, (size_t)(r->end - at)};
	return ms_slice_starts_with(rest, MS_SLICE_LIT("null")) || ms_slice_starts_with(rest, MS_SLICE_LIT("true")) ||
	       ms_slice_starts_with(rest, MS_SLICE_LIT("false"));
}

bool ms_json_fail_type(struct json_reader *r, const char *at, const char *want)
{
	enum json_type type = at < r->end ? type_of(r, *at) : JSON_INVALID;
	if (type == JSON_INVALID || (type <= JSON_TRUE && !has_literal(r, at)))
		return ms_json_fail_expected(r, at, want);
	return ms_json_fail_at(r, at, MS_ERR_JSON_TYPE, "expected %s, found %s %s", want,
			       type == JSON_ARRAY || type == JSON_OBJECT ? "an" : "a", ms_json_type_name(type));
}

bool ms_json_fail_number(struct json_reader *r, const char *at)
{
	const char *p = at, *end = r->end;
	p += p < end && *p == '-';
	const char *what = "a digit";
	if (p < end && *p == '0') {
		p++;
		if (p < end && *p >= '0' && *p <= '9')
			return ms_json_fail_at(r, p, MS_ERR_JSON_SYNTAX, "a number must not start with zeros");
	}
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	if (p < end && *p == '.') {
		what = "a digit after '.'";
		p++;
		while (p < end && *p >= '0' && *p <= '9')
			p++;
	}
	if (p < end && (*p == 'e' || *p == 'E') && p[-1] != '.') {
		what = "a digit in the exponent";
		p++;
		p += p < end && (*p == '+' || *p == '-');
	}
	return ms_json_fail_expected(r, p, what);
}

bool ms_json_fail_memory(struct json_reader *r, const char *at, size_t need)
{
	if (r->arena == NULL)
		return ms_json_fail_at(r, at, MS_ERR_LIMIT, "a string with escapes cannot be read here");
	if (need > r->arena->max - r->arena->used)
		return ms_json_fail_at(r, at, MS_ERR_LIMIT, "the text needs more memory than the limit of %zu bytes",
				       r->arena->max);
	return ms_json_fail_at(r, at, MS_ERR_NO_MEMORY, "out of memory");
}
