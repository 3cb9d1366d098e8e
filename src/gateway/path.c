// SPDX-License-Identifier: Apache-2.0
// One form of a path for matching, for what is sent on, and for every rule in between: whoever sees the path after us sees the one that was judged.
#include "gateway/plan.h"

static bool is_unreserved(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	       c == '_' || c == '~';
}

// May stand in a path as it is (RFC 3986, pchar and the slash).
static bool is_path_char(unsigned char c)
{
	switch (c) {
	case '/':
	case '!':
	case '$':
	case '&':
	case '\'':
	case '(':
	case ')':
	case '*':
	case '+':
	case ',':
	case ';':
	case '=':
	case ':':
	case '@':
		return true;
	default:
		return is_unreserved(c);
	}
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct scan {
	bool change; // something is not in its one form
	bool hiding; // semicolons, encoded slashes or backslashes: dot segments may hide behind them
};

static bool scan_escape(struct slice path, size_t at, struct scan *s, unsigned char *ret_byte)
{
	if (path.n - at < 3)
		return false;
	int high = hex_digit(path.p[at + 1]), low = hex_digit(path.p[at + 2]);
	if (high < 0 || low < 0)
		return false;
	unsigned char byte = (unsigned char)(high * 16 + low);
	if (byte == 0)
		return false;
	s->change |= is_unreserved(byte) || path.p[at + 1] >= 'a' || path.p[at + 2] >= 'a';
	s->hiding |= byte == '/' || byte == '\\';
	*ret_byte = byte;
	return true;
}

static bool scan(struct slice path, struct scan *s)
{
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i], byte;
		if (c == '%') {
			if (!scan_escape(path, i, s, &byte))
				return false;
			i += 2;
		} else if (c == 0) {
			return false;
		} else if (!is_path_char(c)) {
			s->change = true;
			s->hiding |= c == '\\';
		} else if (c == '/') {
			char next = i + 1 < path.n ? path.p[i + 1] : 'x';
			s->change |=
				next == '/' || next == '.'; // a name that begins with a dot is looked at closely too
		} else if (c == ';') {
			s->hiding = true;
		}
	}
	return true;
}

static const char upper_hex[] = "0123456789ABCDEF";

// Escapes in their one form; dst has room for three times the path.
static size_t decode(struct slice path, char *dst)
{
	size_t n = 0;
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];
		bool escaped = c == '%';
		if (escaped) {
			c = (unsigned char)(hex_digit(path.p[i + 1]) * 16 + hex_digit(path.p[i + 2]));
			i += 2;
		}
		if (escaped ? is_unreserved(c) : is_path_char(c)) {
			dst[n++] = (char)c;
		} else {
			dst[n++] = '%';
			dst[n++] = upper_hex[c >> 4];
			dst[n++] = upper_hex[c & 15];
		}
	}
	return n;
}

static bool is_dots(struct slice s)
{
	return ms_slice_eq_cstr(s, ".") || ms_slice_eq_cstr(s, "..");
}

// Dot segments and empty ones, in place (RFC 3986, 5.2.4).
static size_t remove_dots(char *path, size_t n)
{
	size_t out = 0;
	for (size_t i = 0; i < n;) {
		size_t end = i + 1;
		while (end < n && path[end] != '/')
			end++;
		struct slice segment = ms_slice(path + i + 1, end - i - 1);
		bool last = end == n;
		if (is_dots(segment)) {
			while (segment.n == 2 && out > 0 && path[--out] != '/')
				continue;
			if (last)
				path[out++] = '/';
		} else if (segment.n > 0 || last) {
			memmove(path + out, path + i, end - i);
			out += end - i;
		}
		i = end;
	}
	return out;
}

// Whether a server that decodes slashes, or cuts names at semicolons, would find a dot segment.
static bool hides_dots(struct slice path)
{
	size_t begin = 1;
	for (size_t i = 1; i <= path.n; i++) {
		bool end = i == path.n || path.p[i] == '/';
		bool encoded = !end && path.p[i] == '%' && path.n - i >= 3 &&
			       (memcmp(path.p + i, "%2F", 3) == 0 || memcmp(path.p + i, "%5C", 3) == 0);
		if (!end && !encoded)
			continue;
		struct slice piece = ms_slice_sub(path, begin, i - begin);
		if (is_dots(ms_slice_sub(piece, 0, ms_slice_find(piece, ';'))))
			return true;
		begin = encoded ? i + 3 : i + 1;
		i = encoded ? i + 2 : i;
	}
	return false;
}

bool ms_path_normalize(struct slice path, struct arena *arena, struct slice *ret_path)
{
	struct scan s = {false, false};
	if (path.n == 0 || path.p[0] != '/' || !scan(path, &s))
		return false;
	*ret_path = path;
	if (s.change) {
		size_t room;
		char *dst = MS_MUL_OVERFLOWS(path.n, (size_t)3, &room) ? NULL : ms_arena_alloc(arena, room);
		*ret_path = MS_SLICE_EMPTY;
		if (dst == NULL)
			return true;
		*ret_path = ms_slice(dst, remove_dots(dst, decode(path, dst)));
	}
	return !s.hiding || !hides_dots(*ret_path);
}

// --- What the upstream gets ------------------------------------------------------------------------

static struct slice join(struct arena *arena, struct slice base, const char *between, struct slice rest)
{
	size_t n = strlen(between);
	if (base.n == 0 && n == 0)
		return rest;
	char *p = ms_arena_alloc(arena, base.n + n + rest.n);
	if (p == NULL)
		return MS_SLICE_EMPTY;
	if (base.n > 0)
		memcpy(p, base.p, base.n);
	memcpy(p + base.n, between, n);
	if (rest.n > 0)
		memcpy(p + base.n + n, rest.p, rest.n);
	return ms_slice(p, base.n + n + rest.n);
}

static bool ends_with_slash(struct slice s)
{
	return s.n > 0 && s.p[s.n - 1] == '/';
}

struct slice ms_plan_upstream_path(const struct gw_match *match, struct slice service_path, struct arena *arena)
{
	struct slice base = service_path.n > 0 ? service_path : MS_SLICE_LIT("/"), path = match->path;
	bool v1 = match->route->path_handling == 1;
	bool slash = ends_with_slash(base);
	struct slice bare = slash ? ms_slice_sub(base, 0, base.n - 1) : base;
	if (!match->route->strip_path) {
		if (slash)
			return join(arena, bare, "", path);
		if (ms_slice_eq_cstr(path, "/"))
			return base;
		return v1 ? join(arena, base, "", ms_slice_sub(path, 1, SIZE_MAX)) : join(arena, base, "", path);
	}
	struct slice rest = ms_slice_sub(path, match->matched.n, SIZE_MAX);
	if (rest.n == 0) {
		if (base.n == 1)
			return MS_SLICE_LIT("/");
		bool keep = path.n > 1 && ends_with_slash(path);
		return keep ? join(arena, bare, "/", MS_SLICE_EMPTY) : bare;
	}
	// What is left may begin in the middle of a name: "/a" taken from "/a../b" or "/a..%2Fb" must not leave dots that climb. One byte
	// before it stands for the slash that it will follow.
	size_t name = ms_slice_find(rest, '/');
	if (rest.p[0] != '/' && hides_dots(ms_slice(rest.p - 1, name + 1)))
		rest = ms_slice_sub(rest, name + 1, SIZE_MAX);
	if (rest.n > 0 && rest.p[0] == '/')
		return join(arena, bare, "", rest);
	return slash || !v1 ? join(arena, bare, "/", rest) : join(arena, base, "", rest);
}
