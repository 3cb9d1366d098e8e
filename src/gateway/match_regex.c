// SPDX-License-Identifier: Apache-2.0
// Which segments a path must have for a regular expression to match it, so that few expressions are tried for one path. What is not plainly understood
// narrows nothing: the expression itself decides.
#include "gateway/match_private.h"

#define NESTING_MAX 8

struct regex_reader {
	struct slice text;
	size_t at;
};

static bool done(const struct regex_reader *r)
{
	return r->at >= r->text.n;
}

static char peek(const struct regex_reader *r)
{
	return done(r) ? '\0' : r->text.p[r->at];
}

static bool is_quantifier(char c)
{
	return c == '*' || c == '+' || c == '?' || c == '{';
}

static void skip_quantifiers(struct regex_reader *r)
{
	while (!done(r) && is_quantifier(peek(r))) {
		if (peek(r) == '{') {
			while (!done(r) && peek(r) != '}')
				r->at++;
		}
		r->at++;
	}
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// After '\': a class or a character that is no slash. *ret_literal: the character, or '\0'.
static bool read_escape(struct regex_reader *r, char *ret_literal)
{
	char c = peek(r);
	r->at++;
	*ret_literal = '\0';
	if (c == 'd' || c == 'w')
		return true;
	*ret_literal = c;
	return c != '\0' && c != '/' && !is_word(c) && (unsigned char)c < 0x80;
}

// After '['. True: matches no slash.
static bool read_class(struct regex_reader *r)
{
	bool negated = peek(r) == '^', slash = false, first = true;
	r->at += negated;
	int before = -1; // the last single character
	for (; !done(r); first = false) {
		char c = peek(r);
		r->at++;
		if (c == ']' && !first)
			return negated == slash;
		if (c == '[')
			return false;
		if (c == '\\') {
			char literal;
			before = -1;
			if (peek(r) == '/') {
				slash = true;
				r->at++;
			} else if (!read_escape(r, &literal)) {
				return false;
			}
			continue;
		}
		if (c == '-' && before >= 0 && peek(r) != ']') {
			unsigned char to = (unsigned char)peek(r);
			if (to == '\\' || to == '[')
				return false;
			if (before <= '/' && to >= '/')
				return false; // a range across the slash
			continue;
		}
		slash |= c == '/';
		before = (unsigned char)c;
	}
	return false;
}

// After '('. True: the group matches no slash.
static bool read_group(struct regex_reader *r, int depth)
{
	if (depth > NESTING_MAX)
		return false;
	if (peek(r) == '?') {
		struct slice rest = ms_slice_sub(r->text, r->at, SIZE_MAX);
		size_t close = ms_slice_find(rest, '>');
		bool named = (ms_slice_starts_with(rest, MS_SLICE_LIT("?<")) && rest.n > 2 && is_word(rest.p[2])) ||
			     ms_slice_starts_with(rest, MS_SLICE_LIT("?P<"));
		if (ms_slice_starts_with(rest, MS_SLICE_LIT("?:")))
			r->at += 2;
		else if (named && close < rest.n)
			r->at += close + 1;
		else
			return false;
	}
	while (!done(r)) {
		char c = peek(r), literal;
		r->at++;
		if (c == ')')
			return true;
		bool good = c == '['    ? read_class(r)
			    : c == '('  ? read_group(r, depth + 1)
			    : c == '\\' ? read_escape(r, &literal)
					: c != '/' && c != '.' && c != '^' && c != '$' && c != '*';
		if (!good)
			return false;
		skip_quantifiers(r);
	}
	return false;
}

// A bar outside of groups: the expression is several.
static bool has_alternatives(struct slice text)
{
	int depth = 0;
	bool in_class = false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '\\') {
			if (i + 1 < text.n && (text.p[i + 1] == 'Q' || text.p[i + 1] == 'E'))
				return true; // quoting is not followed
			i++;
		} else if (in_class) {
			in_class = c != ']';
		} else if (c == '[') {
			in_class = true;
			i += i + 1 < text.n &&
			     (text.p[i + 1] == ']' || (text.p[i + 1] == '^' && i + 2 < text.n && text.p[i + 2] == ']'));
		} else {
			depth += (c == '(') - (c == ')');
			if (c == '|' && depth <= 0)
				return true;
		}
	}
	return false;
}

// One segment, after its slash. False: not understood, so anything may follow. *ret_segment.p NULL: any.
static bool read_segment(struct regex_reader *r, char *buffer, size_t *ret_n, bool *ret_any)
{
	*ret_n = 0;
	*ret_any = false;
	while (!done(r) && peek(r) != '/' && peek(r) != '$') {
		char c = peek(r), literal = c;
		r->at++;
		bool any = c == '[' || c == '(';
		if (c == '[' ? !read_class(r) : c == '(' ? !read_group(r, 0) : false)
			return false;
		if (c == '\\') {
			if (!read_escape(r, &literal))
				return false;
			any = literal == '\0';
		} else if (!any && (c == '.' || c == '^' || c == ')' || c == '|' || is_quantifier(c))) {
			return false;
		}
		if (!any && is_quantifier(peek(r)))
			return false;
		if (any)
			skip_quantifiers(r);
		else
			buffer[(*ret_n)++] = literal;
		*ret_any |= any;
	}
	return !done(r); // else the name may go on
}

bool ms_regex_skeleton(struct slice regex, struct arena *arena, struct skeleton *ret_skeleton)
{
	struct skeleton *s = ret_skeleton;
	*s = (struct skeleton){.end = SKELETON_TAIL};
	char *buffer = ms_arena_alloc(arena, regex.n);
	if (buffer == NULL)
		return false;
	struct regex_reader r = {regex, 0};
	if (has_alternatives(regex))
		return true;
	while (s->count < SEGMENTS_MAX && peek(&r) == '/') {
		struct slice rest = ms_slice_sub(regex, r.at, SIZE_MAX);
		if (ms_slice_eq_cstr(rest, "/?$")) {
			s->end = SKELETON_END_OR_SLASH;
			return true;
		}
		if (rest.n > 1 && is_quantifier(rest.p[1]))
			return true;
		r.at++;
		size_t n;
		bool any;
		if (!read_segment(&r, buffer, &n, &any))
			return true;
		s->segments[s->count++] = any ? MS_SLICE_EMPTY : ms_slice(buffer, n);
		buffer += n;
		if (ms_slice_eq_cstr(ms_slice_sub(regex, r.at, SIZE_MAX), "$")) {
			s->end = SKELETON_END;
			return true;
		}
		if (peek(&r) == '$') { // in the middle
			s->count--;
			return true;
		}
	}
	return true;
}
