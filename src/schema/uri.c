// SPDX-License-Identifier: Apache-2.0
// URI references and their resolution (RFC 3986, sections 3 and 5).
#include "schema/internal.h"

static bool is_scheme(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i], lower = (char)(c | 0x20);
		bool letter = lower >= 'a' && lower <= 'z';
		if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))
			return false;
	}
	return s.n > 0;
}

// The part before the first `sep`; what is behind it goes to *ret_rest (p NULL: no sep).
static struct slice cut(struct slice text, char sep, struct slice *ret_rest)
{
	size_t at = ms_slice_find(text, sep);
	*ret_rest = at < text.n ? ms_slice(text.p + at + 1, text.n - at - 1) : MS_SLICE_EMPTY;
	return ms_slice_sub(text, 0, at);
}

struct uri ms_uri_split(struct slice text)
{
	struct uri u = {0};
	if (text.p == NULL)
		text = MS_SLICE_LIT("");
	text = cut(text, '#', &u.fragment);
	text = cut(text, '?', &u.query);
	size_t colon = ms_slice_find(text, ':');
	if (colon < text.n && is_scheme(ms_slice_sub(text, 0, colon))) {
		u.scheme = ms_slice_sub(text, 0, colon);
		text = ms_slice_sub(text, colon + 1, text.n);
	}
	if (ms_slice_starts_with(text, MS_SLICE_LIT("//"))) {
		text = ms_slice_sub(text, 2, text.n);
		size_t slash = ms_slice_find(text, '/');
		u.authority = ms_slice_sub(text, 0, slash);
		text = ms_slice_sub(text, slash, text.n);
	}
	u.path = text;
	return u;
}

// Section 5.2.4, into `dst`, which has room for path.n bytes. Returns the length.
static size_t remove_dots(struct slice path, char *dst)
{
	size_t n = 0;
	while (path.n > 0) {
		size_t skip = path.p[0] == '/';
		struct slice part = ms_slice_sub(path, skip, path.n);
		part.n = ms_slice_find(part, '/');
		bool last = skip + part.n == path.n;
		bool up = ms_slice_eq_cstr(part, "..");
		if (up) {
			while (n > 0 && dst[--n] != '/')
				;
		}
		if (up || ms_slice_eq_cstr(part, ".")) {
			if (last && skip > 0)
				dst[n++] = '/';
		} else {
			memmove(dst + n, path.p, skip + part.n);
			n += skip + part.n;
		}
		path = ms_slice_sub(path, skip + part.n, path.n);
	}
	return n;
}

// The path of a relative reference behind that of the base (section 5.2.3).
static struct slice merge(struct arena *arena, const struct uri *base, struct slice path)
{
	size_t keep = base->path.n;
	while (keep > 0 && base->path.p[keep - 1] != '/')
		keep--;
	bool root = keep == 0 && base->authority.p != NULL && base->path.n == 0;
	char *p = ms_arena_alloc(arena, keep + path.n + 1);
	if (p == NULL)
		return MS_SLICE_EMPTY;
	size_t n = 0;
	if (root)
		p[n++] = '/';
	if (keep > 0)
		memcpy(p + n, base->path.p, keep);
	n += keep;
	if (path.n > 0)
		memcpy(p + n, path.p, path.n);
	return ms_slice(p, n + path.n);
}

static void append(char *dst, size_t *n, const char *before, struct slice s, const char *after)
{
	if (s.p == NULL)
		return;
	for (; *before != '\0'; before++)
		dst[(*n)++] = *before;
	if (s.n > 0)
		memcpy(dst + *n, s.p, s.n);
	*n += s.n;
	for (; *after != '\0'; after++)
		dst[(*n)++] = *after;
}

struct slice ms_uri_resolve(struct arena *arena, struct slice base_text, struct uri r)
{
	struct uri base = ms_uri_split(base_text), t = r;
	bool dots = true;
	if (r.scheme.p == NULL) {
		t.scheme = base.scheme;
		if (r.authority.p == NULL) {
			t.authority = base.authority;
			if (r.path.n == 0) {
				t.path = base.path;
				dots = false;
				if (r.query.p == NULL)
					t.query = base.query;
			} else if (r.path.p[0] != '/') {
				t.path = merge(arena, &base, r.path);
				if (t.path.p == NULL)
					return MS_SLICE_EMPTY;
			}
		}
	}
	char *path = ms_arena_alloc(arena, t.path.n + 1);
	char *all = ms_arena_alloc(arena, t.scheme.n + t.authority.n + t.path.n + t.query.n + t.fragment.n + 8);
	if (path == NULL || all == NULL)
		return MS_SLICE_EMPTY;
	// A URN's path is no hierarchy, and has no dots to remove.
	struct slice clean =
		dots && ms_slice_find(t.path, '.') < t.path.n ? ms_slice(path, remove_dots(t.path, path)) : t.path;
	size_t n = 0;
	append(all, &n, "", t.scheme, ":");
	append(all, &n, "//", t.authority, "");
	append(all, &n, "", clean, "");
	append(all, &n, "?", t.query, "");
	append(all, &n, "#", t.fragment, "");
	return ms_slice(all, n);
}
