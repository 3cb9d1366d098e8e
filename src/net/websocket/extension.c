// SPDX-License-Identifier: Apache-2.0
// Sec-WebSocket-Extensions (RFC 6455 section 9.1) and the parameters of permessage-deflate (RFC 7692 section 7.1).
#include <stdio.h>

#include "net/websocket/codec.h"

#define BITS_MIN 8
#define BITS_MAX 15
#define OWN_BITS_MIN 9 // zlib has no raw window of 256 bytes

static bool is_token_char(char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
		return true;
	return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static void skip_space(struct slice *rest)
{
	while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t'))
		*rest = ms_slice_sub(*rest, 1, SIZE_MAX);
}

static bool skip(struct slice *rest, char c)
{
	skip_space(rest);
	if (rest->n == 0 || rest->p[0] != c)
		return false;
	*rest = ms_slice_sub(*rest, 1, SIZE_MAX);
	skip_space(rest);
	return true;
}

static bool take_token(struct slice *rest, struct slice *ret_token)
{
	size_t n = 0;
	while (n < rest->n && is_token_char(rest->p[n]))
		n++;
	*ret_token = ms_slice_sub(*rest, 0, n);
	*rest = ms_slice_sub(*rest, n, SIZE_MAX);
	return n > 0;
}

// A token, or a token in quotes. Escapes would hide no token that we know: what has them is of the grammar and of no value.
static bool take_value(struct slice *rest, struct slice *ret_value)
{
	if (rest->n == 0 || rest->p[0] != '"')
		return take_token(rest, ret_value);
	*rest = ms_slice_sub(*rest, 1, SIZE_MAX);
	return take_token(rest, ret_value) && rest->n > 0 && rest->p[0] == '"' &&
	       (*rest = ms_slice_sub(*rest, 1, SIZE_MAX), true);
}

// --- Parameters --------------------------------------------------------------------------------------

enum { SERVER_NO_CONTEXT, CLIENT_NO_CONTEXT, SERVER_BITS, CLIENT_BITS, PARAMS };

struct offer {
	bool ours; // permessage-deflate, and nothing in it is wrong
	bool seen[PARAMS];
	unsigned server_bits;
};

// 8 to 15, without leading zeros.
static bool read_bits(struct slice value, unsigned *ret_bits)
{
	uint64_t bits;
	if (value.n == 0 || value.p[0] == '0' || !ms_slice_to_u64(value, &bits) || bits < BITS_MIN || bits > BITS_MAX)
		return false;
	*ret_bits = (unsigned)bits;
	return true;
}

// `value.p` NULL: none.
static void take_param(struct offer *o, struct slice name, struct slice value)
{
	static const char *const names[PARAMS] = {"server_no_context_takeover", "client_no_context_takeover",
						  "server_max_window_bits", "client_max_window_bits"};
	unsigned i = 0, bits;
	while (i < PARAMS && !ms_slice_eq_nocase(name, ms_slice_cstr(names[i])))
		i++;
	bool valid = i < PARAMS && !o->seen[i];
	if (valid && i <= CLIENT_NO_CONTEXT)
		valid = value.p == NULL;
	else if (valid && i == SERVER_BITS)
		valid = read_bits(value, &o->server_bits) && o->server_bits >= OWN_BITS_MIN;
	else if (valid && value.p != NULL)
		valid = read_bits(value, &bits);
	if (valid)
		o->seen[i] = true;
	else
		o->ours = false;
}

// One extension with its parameters; false: not of the grammar.
static bool take_offer(struct slice *rest, struct offer *o)
{
	struct slice name, value;
	*o = (struct offer){0};
	if (!take_token(rest, &name))
		return false;
	o->ours = ms_slice_eq_nocase(name, MS_SLICE_LIT("permessage-deflate"));
	while (skip(rest, ';')) {
		value = MS_SLICE_EMPTY;
		if (!take_token(rest, &name) || (skip(rest, '=') && !take_value(rest, &value)))
			return false;
		if (o->ours)
			take_param(o, name, value);
	}
	return true;
}

static enum ws_offer read_line(struct slice rest, struct ws_deflate_choice *ret_choice)
{
	enum ws_offer found = WS_OFFER_NONE;
	bool any = false;
	for (;;) {
		struct offer o;
		while (skip(&rest, ',')) // empty elements are no error (RFC 9110 section 5.6.1)
			;
		skip_space(&rest);
		if (rest.n == 0)
			return any ? found : WS_OFFER_BAD;
		if (!take_offer(&rest, &o) || (rest.n > 0 && rest.p[0] != ','))
			return WS_OFFER_BAD;
		any = true;
		if (!o.ours || found == WS_OFFER_TAKEN)
			continue;
		found = WS_OFFER_TAKEN;
		*ret_choice = (struct ws_deflate_choice){.server_bits = o.seen[SERVER_BITS] ? o.server_bits : BITS_MAX,
							 .says_bits = o.seen[SERVER_BITS]};
	}
}

enum ws_offer ms_ws_negotiate(const struct http_header *headers, size_t count, struct ws_deflate_choice *ret_choice)
{
	enum ws_offer found = WS_OFFER_NONE;
	for (size_t i = 0; i < count; i++) {
		struct ws_deflate_choice choice;
		if (!ms_slice_eq_nocase(headers[i].name, MS_SLICE_LIT("sec-websocket-extensions")))
			continue;
		enum ws_offer line = read_line(headers[i].value, &choice);
		if (line == WS_OFFER_BAD)
			return WS_OFFER_BAD;
		if (line == WS_OFFER_TAKEN && found == WS_OFFER_NONE) {
			found = WS_OFFER_TAKEN;
			*ret_choice = choice;
		}
	}
	return found;
}

// Neither side may keep its context: an idle connection costs none (sections 7.1.1.1 and 7.1.1.2).
size_t ms_ws_write_extension(const struct ws_deflate_choice *choice, char dst[MS_WS_EXTENSION_MAX])
{
	static const char text[] = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
	int n = choice->says_bits
			? snprintf(dst, MS_WS_EXTENSION_MAX, "%s; server_max_window_bits=%u", text, choice->server_bits)
			: snprintf(dst, MS_WS_EXTENSION_MAX, "%s", text);
	MS_ASSERT(n > 0 && n < MS_WS_EXTENSION_MAX);
	return (size_t)n;
}
