// SPDX-License-Identifier: Apache-2.0
// What backends make of a text: decoded again and again, in small letters.
#include "gateway/inspect/waf.h"

#define ROUNDS 3

size_t ms_waf_find(struct slice text, const char *word, size_t from)
{
	size_t n = strlen(word);
	const char *at = from < text.n ? memmem(text.p + from, text.n - from, word, n) : NULL;
	return at != NULL ? (size_t)(at - text.p) : text.n;
}

static int hex_value(unsigned char c)
{
	unsigned char lower = c | 0x20;
	return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// `digits` hex digits at text[at]; -1: they are not there.
static int32_t hex_at(struct slice text, size_t at, size_t digits)
{
	int32_t value = 0;
	if (at > text.n || text.n - at < digits)
		return -1;
	for (size_t i = 0; i < digits; i++) {
		int digit = hex_value((unsigned char)text.p[at + i]);
		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

struct piece { // an escape: what it means, and how many bytes it takes; taken 0: none here
	int32_t value;
	size_t taken;
	bool byte; // not a character, but a byte of one
};

static struct piece percent(struct slice t, size_t i)
{
	int32_t value = hex_at(t, i + 1, 2);
	if (value >= 0)
		return (struct piece){value, 3, true};
	if (i + 1 < t.n && (t.p[i + 1] | 0x20) == 'u') {
		value = hex_at(t, i + 2, 4);
		if (value >= 0)
			return (struct piece){value, 6, false};
	}
	return (struct piece){0};
}

static struct piece backslash(struct slice t, size_t i)
{
	char c = i + 1 < t.n ? t.p[i + 1] : ' ';
	int32_t value = c == 'x' ? hex_at(t, i + 2, 2) : c == 'u' ? hex_at(t, i + 2, 4) : -1;
	if (value >= 0)
		return (struct piece){value, c == 'x' ? 4 : 6, false};
	if (c == 'u' && i + 2 < t.n && t.p[i + 2] == '{') {
		value = 0;
		size_t n = i + 3;
		for (; n < t.n && n < i + 9 && hex_value((unsigned char)t.p[n]) >= 0; n++)
			value = value << 4 | hex_value((unsigned char)t.p[n]);
		if (n > i + 3 && n < t.n && t.p[n] == '}')
			return (struct piece){value, n + 1 - i, false};
	}
	return (struct piece){0};
}

static struct piece entity(struct slice t, size_t i)
{
	static const struct {
		const char *name;
		char value;
	} names[] = {{"lt", '<'},     {"gt", '>'},    {"quot", '"'}, {"apos", '\''},    {"amp", '&'}, {"colon", ':'},
		     {"lpar", '('},   {"rpar", ')'},  {"tab", ' '},  {"newline", '\n'}, {"sol", '/'}, {"bsol", '\\'},
		     {"equals", '='}, {"grave", '`'}, {"semi", ';'}, {"period", '.'},   {"nbsp", ' '}};
	if (i + 2 < t.n && t.p[i + 1] == '#') {
		bool hex = (t.p[i + 2] | 0x20) == 'x';
		size_t n = i + 2 + hex, start = n;
		int32_t value = 0;
		for (; n < t.n && n < start + 8; n++) {
			int digit = hex_value((unsigned char)t.p[n]);
			if (digit < 0 || (!hex && digit > 9))
				break;
			value = MS_MIN(value * (hex ? 16 : 10) + digit, 0x110000);
		}
		n += n > start && n < t.n && t.p[n] == ';';
		return n > start ? (struct piece){value, n - i, false} : (struct piece){0};
	}
	for (size_t k = 0; k < MS_ARRAY_LEN(names); k++) {
		size_t n = strlen(names[k].name);
		if (i + 1 + n < t.n && t.p[i + 1 + n] == ';' &&
		    ms_slice_eq_nocase(ms_slice(t.p + i + 1, n), ms_slice_cstr(names[k].name)))
			return (struct piece){names[k].value, n + 2, false};
	}
	return (struct piece){0};
}

static size_t put(char *dst, struct piece p)
{
	if (p.byte || p.value < 0x80) {
		*dst = (char)p.value;
		return 1;
	}
	if (p.value > 0x10ffff || (p.value >= 0xd800 && p.value <= 0xdfff)) {
		*dst = '?';
		return 1;
	}
	return ms_utf8_encode((uint32_t)p.value, dst);
}

// One round, in place: what comes out is never longer. True: something was undone.
static bool undo(char *p, size_t *n, bool percents, unsigned *saw, bool first)
{
	struct slice t = ms_slice(p, *n);
	size_t out = 0;
	bool any = false;
	for (size_t i = 0; i < t.n;) {
		char c = p[i];
		struct piece piece = {0};
		if (c == '%' && percents)
			piece = percent(t, i);
		else if (c == '\\')
			piece = backslash(t, i);
		else if (c == '&')
			piece = entity(t, i);
		if (piece.taken == 0) {
			*saw |= c == '%' && percents && first ? WAF_SAW_BAD_ESCAPE : 0;
			p[out++] = c;
			i++;
			continue;
		}
		any = true;
		*saw |= c == '%' && !first ? WAF_SAW_DOUBLE : 0;
		out += put(p + out, piece);
		i += piece.taken;
	}
	*n = out;
	return any;
}

// Width, case and spaces made plain; NUL and invisible characters taken out.
static size_t plain(char *p, size_t n, unsigned *saw)
{
	size_t out = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i], next = i + 1 < n ? (unsigned char)p[i + 1] : 0,
			      third = i + 2 < n ? (unsigned char)p[i + 2] : 0;
		if (c >= 'A' && c <= 'Z') {
			c |= 0x20;
		} else if (c == 0) {
			*saw |= WAF_SAW_NULL;
			continue;
		} else if (c == '\t' || c == '\v' || c == '\f') {
			c = ' ';
		} else if ((c == 0xc0 || c == 0xc1) && (next & 0xc0) == 0x80) {
			*saw |= WAF_SAW_OVERLONG;
			c = (unsigned char)((c & 1) << 6 | (next & 0x3f));
			c = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
			i++;
		} else if (c == 0xc2 && next == 0xa0) {
			c = ' ';
			i++;
		} else if (c == 0xef && (next == 0xbc || next == 0xbd) && third >= 0x80 &&
			   third <= 0xbf) { // full width
			unsigned code = (next == 0xbc ? 0u : 0x40u) + (third & 0x3f) + 0x20;
			if (code > 0x20 && code < 0x7f) {
				c = (unsigned char)(code >= 'A' && code <= 'Z' ? code | 0x20 : code);
				i += 2;
			}
		} else if (c == 0xe2 && next == 0x80 &&
			   (third == 0x8b || third == 0x8c || third == 0x8d)) { // zero width
			i += 2;
			continue;
		} else if (c == 0xe2 && next == 0x80 &&
			   (third == 0x98 || third == 0x99 || third == 0xa8)) { // line separator; curly quotes stay
			c = third == 0xa8 ? '\n' : c;
			i += third == 0xa8 ? 2 : 0;
		}
		p[out++] = (char)c;
	}
	return out;
}

struct slice ms_waf_normal(struct slice text, enum waf_decode decode, struct arena *arena, unsigned *ret_saw)
{
	char *p = ms_arena_alloc(arena, text.n + 1);
	*ret_saw = 0;
	if (p == NULL)
		return MS_SLICE_EMPTY;
	size_t n = text.n;
	for (size_t i = 0; i < n; i++)
		p[i] = text.p[i] == '+' && decode == WAF_FORM ? ' ' : text.p[i];
	bool special = n > 0 && (memchr(p, '%', n) != NULL || memchr(p, '\\', n) != NULL || memchr(p, '&', n) != NULL);
	// The first round of plain text is the second for its percent signs: what comes decoded already may be encoded once more.
	for (int round = 0; special && round < ROUNDS; round++) {
		if (!undo(p, &n, true, ret_saw, round == 0 && decode != WAF_PLAIN))
			break;
	}
	if (ms_utf8_valid_prefix(ms_slice(p, n)) != n)
		*ret_saw |= WAF_SAW_BAD_UTF8;
	return ms_slice(p, plain(p, n, ret_saw));
}
