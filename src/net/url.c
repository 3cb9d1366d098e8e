// SPDX-License-Identifier: Apache-2.0
#include "net/url.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	char lower = (char)(c | 0x20);
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Decodes into `dst`, which has room for raw.n bytes. Index of the bad escape, or raw.n.
static size_t decode_escapes(struct slice raw, enum url_decode mode, char *dst, size_t *ret_n)
{
	size_t n = 0, i = 0;
	while (i < raw.n) {
		char c = raw.p[i];
		if (c != '%') {
			dst[n++] = c == '+' && mode == URL_DECODE_FORM ? ' ' : c;
			i++;
			continue;
		}
		int high = i + 2 < raw.n ? hex_digit(raw.p[i + 1]) : -1;
		int low = i + 2 < raw.n ? hex_digit(raw.p[i + 2]) : -1;
		if (high < 0 || low < 0)
			return i;
		dst[n++] = (char)(high << 4 | low);
		i += 3;
	}
	*ret_n = n;
	return raw.n;
}

static bool has(struct slice s, char c)
{
	return ms_slice_find(s, c) < s.n;
}

bool ms_url_decode(struct arena *arena, struct slice raw, enum url_decode mode, struct slice *ret_text)
{
	struct slice text = raw;
	if (has(raw, '%') || (mode == URL_DECODE_FORM && has(raw, '+'))) {
		char *dst = ms_arena_alloc(arena, raw.n);
		size_t n;
		if (dst == NULL || decode_escapes(raw, mode, dst, &n) < raw.n)
			return false;
		text = ms_slice(dst, n);
	}
	if (has(text, '\0') || ms_utf8_valid_prefix(text) < text.n)
		return false;
	*ret_text = text;
	return true;
}

// --- Paths -------------------------------------------------------------------------------------------

static bool is_dot_segment(struct slice segment)
{
	return ms_slice_eq_cstr(segment, ".") || ms_slice_eq_cstr(segment, "..");
}

static enum ms_err check_decoded_path(struct slice path, struct errinfo *info)
{
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];
		if (c < 0x20 || c == 0x7f || c == '\\')
			return ms_fail(info, MS_ERR_HTTP_SYNTAX, "byte 0x%02x, plain or encoded, must not be in a path",
				       c);
	}
	if (ms_utf8_valid_prefix(path) < path.n)
		return ms_fail(info, MS_ERR_HTTP_SYNTAX, "the path is not UTF-8 at byte %zu",
			       ms_utf8_valid_prefix(path));
	struct slice rest = path, segment;
	while (ms_slice_next(&rest, '/', &segment)) {
		if (is_dot_segment(segment))
			return ms_fail(info, MS_ERR_HTTP_SYNTAX,
				       "a segment '%.*s' in the path: resolve relative paths before sending",
				       MS_SLICE_ARG(segment));
	}
	return MS_OK;
}

enum ms_err ms_url_decode_path(struct arena *arena, struct slice raw, struct errinfo *info, struct slice *ret_path)
{
	struct slice path = raw;
	if (has(raw, '%')) {
		char *dst = ms_arena_alloc(arena, raw.n);
		size_t n;
		if (dst == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "no memory to decode the path");
		size_t bad = decode_escapes(raw, URL_DECODE_TEXT, dst, &n);
		if (bad < raw.n)
			return ms_fail(info, MS_ERR_HTTP_SYNTAX,
				       "a '%%' at byte %zu of the path is not followed by two hex digits", bad);
		path = ms_slice(dst, n);
	}
	MS_TRY(check_decoded_path(path, info));
	*ret_path = path;
	return MS_OK;
}

// --- Queries -----------------------------------------------------------------------------------------

bool ms_url_query_next(struct slice *query, struct slice *ret_name, struct slice *ret_value)
{
	struct slice pair;
	do {
		if (!ms_slice_next(query, '&', &pair))
			return false;
	} while (pair.n == 0);
	size_t n = ms_slice_find(pair, '=');
	*ret_name = ms_slice(pair.p, n);
	*ret_value = ms_slice_sub(pair, n + 1, SIZE_MAX);
	return true;
}

enum url_query ms_url_query_get(struct arena *arena, struct slice query, struct slice name, struct slice *ret_value)
{
	struct slice raw_name, raw_value, decoded;
	while (ms_url_query_next(&query, &raw_name, &raw_value)) {
		if (!ms_url_decode(arena, raw_name, URL_DECODE_FORM, &decoded))
			return URL_QUERY_BAD;
		if (ms_slice_eq(decoded, name))
			return ms_url_decode(arena, raw_value, URL_DECODE_FORM, ret_value) ? URL_QUERY_FOUND
											   : URL_QUERY_BAD;
	}
	return URL_QUERY_ABSENT;
}
