// SPDX-License-Identifier: Apache-2.0
// Strings: UTF-8 and escapes are checked in one pass, and decoded in a second one only where escapes are.
#include "json/scan.h"

// Length of the UTF-8 sequence at p, which starts with a byte above 0x7f; 0 when it is not valid (RFC 3629).
static size_t sequence_length(const char *p, const char *end)
{
	unsigned char c[4] = {0};
	memcpy(c, p, MS_MIN((size_t)(end - p), sizeof(c)));
	if (c[0] < 0xe0)
		return c[0] >= 0xc2 && (c[1] & 0xc0) == 0x80 ? 2 : 0;
	if ((c[1] & 0xc0) != 0x80 || (c[2] & 0xc0) != 0x80)
		return 0;
	if (c[0] < 0xf0) { // neither overlong nor a surrogate
		bool bad = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] >= 0xa0);
		return bad ? 0 : 3;
	}
	bool bad = (c[3] & 0xc0) != 0x80 || c[0] > 0xf4 || (c[0] == 0xf0 && c[1] < 0x90) ||
		   (c[0] == 0xf4 && c[1] >= 0x90); // overlong, above U+10FFFF
	return bad ? 0 : 4;
}

// The value of a hexadecimal digit, or more than 15.
static unsigned hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return (unsigned)(c - '0');
	unsigned letter = (unsigned)(unsigned char)(c | 0x20) - 'a';
	return letter < 6 ? letter + 10 : 99;
}

// The four digits of a \u escape, or UINT32_MAX.
static uint32_t hex4(const char *p, const char *end)
{
	if (end - p < 4)
		return UINT32_MAX;
	unsigned a = hex_value(p[0]), b = hex_value(p[1]), c = hex_value(p[2]), d = hex_value(p[3]);
	return a < 16 && b < 16 && c < 16 && d < 16 ? a << 12 | b << 8 | c << 4 | d : UINT32_MAX;
}

// The byte that a two-character escape means, or 0.
static char short_escape(char c)
{
	switch (c) {
	case '"':
	case '\\':
	case '/':
		return c;
	case 'b':
		return '\b';
	case 'f':
		return '\f';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	default:
		return 0;
	}
}

// Checks the \u escape at p; returns what is behind it (and behind its pair), NULL after an error.
static const char *check_unicode_escape(struct json_reader *r, const char *p)
{
	uint32_t unit = hex4(p + 2, r->end);
	if (unit == UINT32_MAX) {
		(void)ms_json_fail_at(r, p, MS_ERR_JSON_SYNTAX, "\\u must be followed by four hexadecimal digits");
		return NULL;
	}
	if (unit < 0xd800 || unit > 0xdfff)
		return p + 6;
	bool pair = unit < 0xdc00 && r->end - p >= 12 && p[6] == '\\' && p[7] == 'u';
	uint32_t second = pair ? hex4(p + 8, r->end) : 0;
	if (!pair || second < 0xdc00 || second > 0xdfff) {
		(void)ms_json_fail_at(r, p, MS_ERR_JSON_UTF8,
				      "the escape \\u%04x is half of a surrogate pair whose other half is missing",
				      unit);
		return NULL;
	}
	return p + 12;
}

static const char *check_escape(struct json_reader *r, const char *p)
{
	if (r->end - p >= 2 && p[1] == 'u')
		return check_unicode_escape(r, p);
	if (r->end - p >= 2 && short_escape(p[1]) != 0)
		return p + 2;
	if (r->end - p < 2)
		(void)ms_json_fail_at(r, r->end, MS_ERR_JSON_SYNTAX, "a string is not closed");
	else
		(void)ms_json_fail_at(r, p, MS_ERR_JSON_SYNTAX,
				      "a backslash must be followed by one of \" \\ / b f n r t u");
	return NULL;
}

const char *ms_json_scan_string_rest(struct json_reader *r, const char *p, bool *ret_escaped)
{
	for (;;) {
		if (p == r->end) {
			(void)ms_json_fail_at(r, p, MS_ERR_JSON_SYNTAX, "a string is not closed");
			return NULL;
		}
		unsigned char c = (unsigned char)*p;
		if (c == '"')
			return p;
		if (c == '\\') {
			*ret_escaped = true;
			p = check_escape(r, p);
			if (p == NULL)
				return NULL;
		} else if (c >= 0x80) {
			size_t n = sequence_length(p, r->end);
			if (n == 0) {
				(void)ms_json_fail_at(r, p, MS_ERR_JSON_UTF8, "the byte 0x%02x is not valid UTF-8 here",
						      c);
				return NULL;
			}
			p += n;
			if (p < r->end && (unsigned char)*p >= 0x80)
				continue; // text that is not ASCII comes in runs
		} else {
			(void)ms_json_fail_at(r, p, MS_ERR_JSON_SYNTAX,
					      "the control character 0x%02x in a string must be written as \\u%04x", c,
					      c);
			return NULL;
		}
		p = skip_plain(p, r->end);
	}
}

bool ms_json_unescape(struct json_reader *r, struct slice raw, struct slice *ret_value)
{
	// An escape is never shorter than what it means.
	char *dst = r->arena != NULL ? ms_arena_alloc(r->arena, raw.n) : NULL;
	if (dst == NULL)
		return ms_json_fail_memory(r, raw.p, raw.n);
	char *at = dst;
	const char *p = raw.p, *end = raw.p + raw.n;
	while (p < end) {
		const char *escape = memchr(p, '\\', (size_t)(end - p));
		size_t n = (size_t)((escape != NULL ? escape : end) - p);
		memcpy(at, p, n);
		at += n;
		p += n;
		if (p == end)
			break;
		if (p[1] != 'u') {
			*at++ = short_escape(p[1]);
			p += 2;
			continue;
		}
		uint32_t c = hex4(p + 2, end);
		p += 6;
		if (c >= 0xd800 && c <= 0xdfff) {
			c = 0x10000 + ((c - 0xd800) << 10) + (hex4(p + 2, end) - 0xdc00);
			p += 6;
		}
		at += ms_utf8_encode(c, at);
	}
	*ret_value = (struct slice){dst, (size_t)(at - dst)};
	return true;
}
