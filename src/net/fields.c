// SPDX-License-Identifier: Apache-2.0
// RFC 9651, section 4.2: the parsing algorithms as they stand there, one function each.
#include "net/fields.h"

#define COUNT_MAX 1024

struct sf_reader {
	struct slice text;
	size_t at;
	struct arena *arena;
	struct errinfo *info;
};

static enum ms_err bad(const struct sf_reader *r, const char *must)
{
	if (r->info != NULL)
		r->info->offset = (int64_t)r->at;
	return ms_fail(r->info, MS_ERR_HTTP_SYNTAX, "structured field: %s expected at byte %zu", must, r->at);
}

static enum ms_err no_memory(const struct sf_reader *r)
{
	return ms_fail(r->info, MS_ERR_NO_MEMORY, "no memory for a structured field");
}

static int peek(const struct sf_reader *r)
{
	return r->at < r->text.n ? (unsigned char)r->text.p[r->at] : -1;
}

static bool take(struct sf_reader *r, char c)
{
	if (peek(r) != (unsigned char)c)
		return false;
	r->at++;
	return true;
}

static void skip_spaces(struct sf_reader *r)
{
	while (take(r, ' '))
		;
}

static void skip_ows(struct sf_reader *r)
{
	while (take(r, ' ') || take(r, '\t'))
		;
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}
static bool is_lower(int c)
{
	return c >= 'a' && c <= 'z';
}
static bool is_alpha(int c)
{
	return is_lower(c | 0x20);
}
static bool is_key_char(int c, bool first)
{
	return is_lower(c) || c == '*' || (!first && (is_digit(c) || c == '_' || c == '-' || c == '.'));
}
static bool is_token_char(int c, bool first)
{
	if (is_alpha(c) || c == '*')
		return true;
	return !first && (is_digit(c) || (c > 0 && strchr("!#$%&'+-.^_`|~:/", c) != NULL));
}

// --- Bare items -------------------------------------------------------------------------------------------------

static enum ms_err parse_number(struct sf_reader *r, struct sf_bare *ret)
{
	bool negative = take(r, '-');
	size_t digits = 0, fraction = 0;
	int64_t value = 0;
	if (!is_digit(peek(r)))
		return bad(r, "a digit");
	for (; is_digit(peek(r)); r->at++) {
		if (++digits > 15)
			return bad(r, "a number of at most 15 digits");
		value = value * 10 + (peek(r) - '0');
	}
	ret->type = SF_INTEGER;
	if (peek(r) == '.') {
		if (digits > 12)
			return bad(r, "a decimal of at most 12 digits before its point");
		r->at++;
		ret->type = SF_DECIMAL;
		for (; is_digit(peek(r)); r->at++) {
			if (++fraction > 3)
				return bad(r, "a decimal of at most 3 digits behind its point");
			value = value * 10 + (peek(r) - '0');
		}
		if (fraction == 0)
			return bad(r, "a digit behind the point");
		for (; fraction < 3; fraction++)
			value *= 10;
	}
	ret->integer = negative ? -value : value;
	return MS_OK;
}

static enum ms_err parse_string(struct sf_reader *r, struct sf_bare *ret)
{
	size_t start = ++r->at, n = 0;
	char *copy = NULL; // once there is a backslash
	ret->type = SF_STRING;
	for (; peek(r) != '"'; r->at++) {
		int c = peek(r);
		if (c == '\\') {
			if (copy == NULL) {
				copy = ms_arena_alloc(r->arena, r->text.n - start);
				if (copy == NULL)
					return no_memory(r);
				n = r->at - start;
				if (n > 0)
					memcpy(copy, r->text.p + start, n);
			}
			r->at++;
			c = peek(r);
			if (c != '"' && c != '\\')
				return bad(r, "\" or \\ behind a backslash");
		} else if (c < 0x20 || c > 0x7e) {
			return bad(r, "a printable character or \"");
		}
		if (copy != NULL)
			copy[n++] = (char)c;
	}
	ret->text = copy != NULL ? ms_slice(copy, n) : ms_slice(r->text.p + start, r->at - start);
	r->at++;
	return MS_OK;
}

static enum ms_err parse_token(struct sf_reader *r, struct sf_bare *ret)
{
	size_t start = r->at++;
	while (is_token_char(peek(r), false))
		r->at++;
	*ret = (struct sf_bare){.type = SF_TOKEN, .text = ms_slice(r->text.p + start, r->at - start)};
	return MS_OK;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Padding may be missing and its bits need not be zero, as the standard advises; it must not stand elsewhere.
static enum ms_err parse_binary(struct sf_reader *r, struct sf_bare *ret)
{
	size_t start = ++r->at, end = start;
	while (end < r->text.n && r->text.p[end] != ':')
		end++;
	char *bytes = ms_arena_alloc(r->arena, (end - start) / 4 * 3 + 3);
	if (bytes == NULL)
		return no_memory(r);
	uint32_t bits = 0;
	unsigned have = 0, digits = 0, padding = 0;
	size_t n = 0;
	for (; r->at < end; r->at++) {
		int value = base64_value(r->text.p[r->at]);
		if (r->text.p[r->at] == '=' && digits % 4 >= 2 && ++padding <= 4 - digits % 4)
			continue;
		if (value < 0 || padding > 0)
			return bad(r, "base64");
		digits++;
		bits = bits << 6 | (unsigned)value;
		have += 6;
		if (have >= 8) {
			have -= 8;
			bytes[n++] = (char)(bits >> have);
		}
	}
	if (!take(r, ':') || digits % 4 == 1)
		return bad(r, "the end of base64 and ':'");
	*ret = (struct sf_bare){.type = SF_BINARY, .text = ms_slice(bytes, n)};
	return MS_OK;
}

static int hex_value(int c) // lower case only
{
	return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum ms_err parse_display(struct sf_reader *r, struct sf_bare *ret)
{
	r->at++;
	if (!take(r, '"'))
		return bad(r, "\" behind %");
	char *bytes = ms_arena_alloc(r->arena, r->text.n - r->at + 1);
	size_t n = 0;
	if (bytes == NULL)
		return no_memory(r);
	for (; peek(r) != '"'; r->at++) {
		int c = peek(r);
		if (c < 0x20 || c > 0x7e)
			return bad(r, "a printable character or \"");
		if (c == '%') {
			int high = r->at + 2 < r->text.n ? hex_value(r->text.p[r->at + 1]) : -1;
			int low = high >= 0 ? hex_value(r->text.p[r->at + 2]) : -1;
			if (low < 0)
				return bad(r, "two digits 0-9 a-f behind %");
			c = high << 4 | low;
			r->at += 2;
		}
		bytes[n++] = (char)c;
	}
	r->at++;
	*ret = (struct sf_bare){.type = SF_DISPLAY, .text = ms_slice(bytes, n)};
	return ms_utf8_valid_prefix(ret->text) == n ? MS_OK : bad(r, "UTF-8");
}

static enum ms_err parse_bare(struct sf_reader *r, struct sf_bare *ret)
{
	int c = peek(r);
	if (c == '-' || is_digit(c))
		return parse_number(r, ret);
	if (c == '"')
		return parse_string(r, ret);
	if (c == ':')
		return parse_binary(r, ret);
	if (c == '%')
		return parse_display(r, ret);
	if (is_token_char(c, true))
		return parse_token(r, ret);
	if (c == '@') {
		r->at++;
		MS_TRY(parse_number(r, ret));
		if (ret->type != SF_INTEGER)
			return bad(r, "a whole number of seconds");
		ret->type = SF_DATE;
		return MS_OK;
	}
	if (c != '?')
		return bad(r, "an item");
	r->at++;
	*ret = (struct sf_bare){.type = SF_BOOLEAN, .boolean = peek(r) == '1'};
	return take(r, '0') || take(r, '1') ? MS_OK : bad(r, "0 or 1");
}

// --- Around them --------------------------------------------------------------------------------------------------

static enum ms_err parse_key(struct sf_reader *r, struct slice *ret_key)
{
	size_t start = r->at;
	if (!is_key_char(peek(r), true))
		return bad(r, "a key");
	while (is_key_char(peek(r), false))
		r->at++;
	*ret_key = ms_slice(r->text.p + start, r->at - start);
	return MS_OK;
}

// Room for one more of `size` bytes in an array that doubles.
static enum ms_err grow(struct sf_reader *r, void **items, size_t count, size_t size)
{
	if (count == COUNT_MAX)
		return ms_fail(r->info, MS_ERR_LIMIT, "structured field: more than %d parts in one place", COUNT_MAX);
	if ((count & (count - 1)) != 0 || (count > 0 && count < 4))
		return MS_OK;
	size_t room = count == 0 ? 4 : count * 2;
	void *grown = ms_arena_grow(r->arena, *items, count * size, room * size);
	if (grown == NULL)
		return no_memory(r);
	*items = grown;
	return MS_OK;
}

static enum ms_err parse_params(struct sf_reader *r, struct sf_params *ret)
{
	struct sf_param *items = NULL;
	size_t count = 0;
	while (take(r, ';')) {
		struct sf_param p = {.value = {.type = SF_BOOLEAN, .boolean = true}};
		skip_spaces(r);
		MS_TRY(parse_key(r, &p.key));
		if (take(r, '='))
			MS_TRY(parse_bare(r, &p.value));
		size_t at = 0;
		while (at < count && !ms_slice_eq(items[at].key, p.key))
			at++;
		if (at == count)
			MS_TRY(grow(r, (void **)&items, count++, sizeof(*items)));
		items[at] = p;
	}
	*ret = (struct sf_params){items, count};
	return MS_OK;
}

static enum ms_err parse_item(struct sf_reader *r, struct sf_item *ret)
{
	MS_TRY(parse_bare(r, &ret->value));
	return parse_params(r, &ret->params);
}

static enum ms_err parse_inner(struct sf_reader *r, struct sf_member *ret)
{
	struct sf_item *items = NULL;
	size_t count = 0;
	r->at++;
	for (;;) {
		skip_spaces(r);
		if (take(r, ')'))
			break;
		struct sf_item item;
		MS_TRY(parse_item(r, &item));
		MS_TRY(grow(r, (void **)&items, count, sizeof(*items)));
		items[count++] = item;
		if (peek(r) != ' ' && peek(r) != ')')
			return bad(r, "a space or )");
	}
	ret->inner = true;
	ret->items = items;
	ret->count = count;
	return parse_params(r, &ret->item.params);
}

static enum ms_err parse_member(struct sf_reader *r, struct sf_member *ret)
{
	return peek(r) == '(' ? parse_inner(r, ret) : parse_item(r, &ret->item);
}

static enum ms_err parse_value(struct sf_reader *r, struct sf_member *ret, bool dictionary)
{
	if (!dictionary)
		return parse_member(r, ret);
	MS_TRY(parse_key(r, &ret->key));
	if (take(r, '='))
		return parse_member(r, ret);
	ret->item.value = (struct sf_bare){.type = SF_BOOLEAN, .boolean = true};
	return parse_params(r, &ret->item.params);
}

static enum ms_err parse_members(struct sf_reader *r, bool dictionary, struct sf_list *ret)
{
	struct sf_member *members = NULL;
	size_t count = 0;
	skip_spaces(r);
	while (peek(r) >= 0) {
		struct sf_member m = {0};
		MS_TRY(parse_value(r, &m, dictionary));
		size_t at = dictionary ? 0 : count;
		while (at < count && !ms_slice_eq(members[at].key, m.key))
			at++;
		if (at == count)
			MS_TRY(grow(r, (void **)&members, count++, sizeof(*members)));
		members[at] = m;
		size_t end = r->at;
		skip_ows(r);
		if (peek(r) < 0) {
			while (end < r->at) { // trailing spaces may be there, tabs not
				if (r->text.p[end++] != ' ')
					return bad(r, "another member");
			}
			break;
		}
		if (!take(r, ','))
			return bad(r, "a comma");
		skip_ows(r);
		if (peek(r) < 0)
			return bad(r, "a member behind the comma");
	}
	*ret = (struct sf_list){members, count};
	return MS_OK;
}

enum ms_err ms_sf_parse_item(struct slice text, struct arena *arena, struct errinfo *info, struct sf_item *ret_item)
{
	struct sf_reader r = {.text = text, .arena = arena, .info = info};
	skip_spaces(&r);
	MS_TRY(parse_item(&r, ret_item));
	skip_spaces(&r);
	return peek(&r) < 0 ? MS_OK : bad(&r, "the end");
}

enum ms_err ms_sf_parse_list(struct slice text, struct arena *arena, struct errinfo *info, struct sf_list *ret_list)
{
	struct sf_reader r = {.text = text, .arena = arena, .info = info};
	return parse_members(&r, false, ret_list);
}

enum ms_err ms_sf_parse_dictionary(struct slice text, struct arena *arena, struct errinfo *info,
				   struct sf_list *ret_dictionary)
{
	struct sf_reader r = {.text = text, .arena = arena, .info = info};
	return parse_members(&r, true, ret_dictionary);
}

// --- Writing (section 4.1) -------------------------------------------------------------------------------------------

static bool write_integer(struct buf *out, int64_t value)
{
	if (value > MS_SF_INTEGER_MAX || value < -MS_SF_INTEGER_MAX)
		return false;
	ms_buf_append_i64(out, value);
	return true;
}

static bool write_decimal(struct buf *out, int64_t thousandths)
{
	uint64_t size = thousandths < 0 ? 0 - (uint64_t)thousandths : (uint64_t)thousandths;
	if (size > MS_SF_INTEGER_MAX)
		return false;
	ms_buf_append_cstr(out, thousandths < 0 ? "-" : "");
	ms_buf_append_u64(out, size / 1000);
	unsigned fraction = (unsigned)(size % 1000), digits = fraction % 100 == 0 ? 1 : fraction % 10 == 0 ? 2 : 3;
	char text[3] = {(char)('0' + fraction / 100), (char)('0' + fraction / 10 % 10), (char)('0' + fraction % 10)};
	ms_buf_append_char(out, '.');
	ms_buf_append(out, text, digits);
	return true;
}

static bool write_string(struct buf *out, struct slice s)
{
	ms_buf_append_char(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] > 0x7e)
			return false;
		if (s.p[i] == '"' || s.p[i] == '\\')
			ms_buf_append_char(out, '\\');
		ms_buf_append_char(out, s.p[i]);
	}
	ms_buf_append_char(out, '"');
	return true;
}

static bool write_chars(struct buf *out, struct slice s, bool (*is_char)(int c, bool first))
{
	for (size_t i = 0; i < s.n; i++) {
		if (!is_char((unsigned char)s.p[i], i == 0))
			return false;
	}
	ms_buf_append_slice(out, s);
	return s.n > 0;
}

static void write_binary(struct buf *out, struct slice s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	ms_buf_append_char(out, ':');
	for (size_t i = 0; i < s.n; i += 3) {
		uint32_t bits = (uint32_t)(unsigned char)s.p[i] << 16;
		bits |= i + 1 < s.n ? (uint32_t)(unsigned char)s.p[i + 1] << 8 : 0;
		bits |= i + 2 < s.n ? (uint32_t)(unsigned char)s.p[i + 2] : 0;
		ms_buf_append_char(out, digits[bits >> 18]);
		ms_buf_append_char(out, digits[bits >> 12 & 63]);
		ms_buf_append_char(out, i + 1 < s.n ? digits[bits >> 6 & 63] : '=');
		ms_buf_append_char(out, i + 2 < s.n ? digits[bits & 63] : '=');
	}
	ms_buf_append_char(out, ':');
}

static bool write_display(struct buf *out, struct slice s)
{
	if (ms_utf8_valid_prefix(s) != s.n)
		return false;
	ms_buf_append_cstr(out, "%\"");
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '%' || c == '"' || c < 0x20 || c > 0x7e)
			ms_buf_printf(out, "%%%02x", c);
		else
			ms_buf_append_char(out, (char)c);
	}
	ms_buf_append_char(out, '"');
	return true;
}

static bool write_bare(struct buf *out, const struct sf_bare *v)
{
	switch (v->type) {
	case SF_INTEGER:
		return write_integer(out, v->integer);
	case SF_DECIMAL:
		return write_decimal(out, v->integer);
	case SF_DATE:
		ms_buf_append_char(out, '@');
		return write_integer(out, v->integer);
	case SF_STRING:
		return write_string(out, v->text);
	case SF_TOKEN:
		return write_chars(out, v->text, is_token_char);
	case SF_BINARY:
		write_binary(out, v->text);
		return true;
	case SF_BOOLEAN:
		ms_buf_append_cstr(out, v->boolean ? "?1" : "?0");
		return true;
	case SF_DISPLAY:
		return write_display(out, v->text);
	}
	MS_UNREACHABLE();
}

static bool is_true(const struct sf_bare *v)
{
	return v->type == SF_BOOLEAN && v->boolean;
}

static bool write_params(struct buf *out, const struct sf_params *params)
{
	for (size_t i = 0; i < params->count; i++) {
		ms_buf_append_char(out, ';');
		if (!write_chars(out, params->items[i].key, is_key_char))
			return false;
		if (is_true(&params->items[i].value))
			continue;
		ms_buf_append_char(out, '=');
		if (!write_bare(out, &params->items[i].value))
			return false;
	}
	return true;
}

bool ms_sf_write_item(struct buf *out, const struct sf_item *item)
{
	return write_bare(out, &item->value) && write_params(out, &item->params) && ms_buf_ok(out);
}

static bool write_member(struct buf *out, const struct sf_member *m)
{
	if (!m->inner)
		return ms_sf_write_item(out, &m->item);
	ms_buf_append_char(out, '(');
	for (size_t i = 0; i < m->count; i++) {
		ms_buf_append_cstr(out, i > 0 ? " " : "");
		if (!ms_sf_write_item(out, &m->items[i]))
			return false;
	}
	ms_buf_append_char(out, ')');
	return write_params(out, &m->item.params);
}

bool ms_sf_write_list(struct buf *out, const struct sf_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		ms_buf_append_cstr(out, i > 0 ? ", " : "");
		if (!write_member(out, &list->members[i]))
			return false;
	}
	return ms_buf_ok(out);
}

bool ms_sf_write_dictionary(struct buf *out, const struct sf_list *dictionary)
{
	for (size_t i = 0; i < dictionary->count; i++) {
		const struct sf_member *m = &dictionary->members[i];
		ms_buf_append_cstr(out, i > 0 ? ", " : "");
		if (!write_chars(out, m->key, is_key_char))
			return false;
		bool bare = !m->inner && is_true(&m->item.value);
		if (bare ? !write_params(out, &m->item.params) : (ms_buf_append_char(out, '='), !write_member(out, m)))
			return false;
	}
	return ms_buf_ok(out);
}

const struct sf_bare *ms_sf_param(const struct sf_params *params, const char *key)
{
	for (size_t i = 0; i < params->count; i++) {
		if (ms_slice_eq_cstr(params->items[i].key, key))
			return &params->items[i].value;
	}
	return NULL;
}

const struct sf_member *ms_sf_member(const struct sf_list *dictionary, const char *key)
{
	for (size_t i = 0; i < dictionary->count; i++) {
		if (ms_slice_eq_cstr(dictionary->members[i].key, key))
			return &dictionary->members[i];
	}
	return NULL;
}
