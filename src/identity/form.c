// SPDX-License-Identifier: Apache-2.0
// application/x-www-form-urlencoded, both ways, as RFC 6749 wants it: each parameter once, in UTF-8.
#include "identity/oauth.h"

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

static bool decode(struct arena *arena, struct slice raw, struct slice *ret_text)
{
	char *out = ms_arena_alloc(arena, raw.n + 1);
	size_t n = 0;
	if (out == NULL)
		return false;
	for (size_t i = 0; i < raw.n; i++) {
		int high, low;
		char c = raw.p[i] == '+' ? ' ' : raw.p[i];
		if (c == '%') {
			high = i + 2 < raw.n ? hex(raw.p[i + 1]) : -1;
			low = i + 2 < raw.n ? hex(raw.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (c == '\0')
			return false;
		out[n++] = c;
	}
	out[n] = '\0';
	*ret_text = ms_slice(out, n);
	return ms_utf8_valid_prefix(*ret_text) == n;
}

bool ms_form_read(struct arena *arena, struct slice text, struct form *ret_form)
{
	struct slice pair;
	*ret_form = (struct form){.pairs = MS_ARENA_ARRAY(arena, struct form_pair, FORM_PAIRS_MAX)};
	if (ret_form->pairs == NULL)
		return false;
	while (ms_slice_next(&text, '&', &pair)) {
		if (pair.n == 0)
			continue;
		if (ret_form->count == FORM_PAIRS_MAX)
			return false;
		size_t equals = ms_slice_find(pair, '=');
		struct form_pair *to = &ret_form->pairs[ret_form->count++];
		if (!decode(arena, ms_slice_sub(pair, 0, equals), &to->name) ||
		    !decode(arena, ms_slice_sub(pair, equals + 1, SIZE_MAX), &to->value))
			return false;
	}
	return true;
}

struct slice ms_form_get(const struct form *form, const char *name)
{
	for (size_t i = 0; i < form->count; i++) {
		if (form->pairs[i].value.n > 0 && ms_slice_eq_cstr(form->pairs[i].name, name))
			return form->pairs[i].value;
	}
	return MS_SLICE_EMPTY;
}

const char *ms_form_repeated(const struct form *form, struct arena *arena)
{
	for (size_t i = 0; i < form->count; i++) {
		if (ms_slice_eq_cstr(form->pairs[i].name, "resource"))
			continue;
		for (size_t k = 0; k < i; k++) {
			if (!ms_slice_eq(form->pairs[i].name, form->pairs[k].name))
				continue;
			char *name = ms_arena_cstr(arena, ms_slice_sub(form->pairs[i].name, 0, 40));
			return name != NULL ? name : "a parameter";
		}
	}
	return NULL;
}

void ms_form_encode(struct buf *out, struct slice text)
{
	static const char digits[] = "0123456789ABCDEF";
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			     c == '.' || c == '_' || c == '~';
		if (plain) {
			ms_buf_append_char(out, (char)c);
			continue;
		}
		ms_buf_append_char(out, '%');
		ms_buf_append_char(out, digits[c >> 4]);
		ms_buf_append_char(out, digits[c & 15]);
	}
}

void ms_form_add(struct buf *out, const char *name, struct slice value)
{
	bool has_query = out->n > 0 && ms_slice_find(ms_buf_slice(out), '?') < out->n;
	if (value.n == 0)
		return;
	ms_buf_append_char(out, has_query ? '&' : '?');
	ms_buf_append_cstr(out, name);
	ms_buf_append_char(out, '=');
	ms_form_encode(out, value);
}

static bool is_form(struct slice type)
{
	struct slice head = ms_slice_trim(ms_slice_sub(type, 0, ms_slice_find(type, ';')));
	return ms_slice_eq_nocase(head, MS_SLICE_LIT("application/x-www-form-urlencoded"));
}

bool ms_form_body(struct identity_work *w, bool page, struct form *ret_form)
{
	struct exchange *x = w->x;
	const char *wrong = NULL, *repeated;
	char text[128];
	if (x->req.body.n > 0 && !is_form(ms_http_header(&x->req, "Content-Type")))
		wrong = "the body must be application/x-www-form-urlencoded";
	else if (!ms_form_read(x->arena, x->req.body, ret_form))
		wrong = "the body is badly encoded or has too many parameters";
	else if ((repeated = ms_form_repeated(ret_form, x->arena)) != NULL) {
		snprintf(text, sizeof(text), "the parameter %s comes twice", repeated);
		wrong = text;
	}
	if (wrong == NULL)
		return true;
	if (page)
		ms_page_message_send(x, 400, "This did not work",
				     "The form was not sent as a browser sends it. Go back and try again.");
	else
		ms_oauth_send_error(x, 400, "invalid_request", wrong);
	return false;
}
