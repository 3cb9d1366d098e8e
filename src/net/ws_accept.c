// SPDX-License-Identifier: Apache-2.0
// The opening handshake: RFC 6455 section 4.2, RFC 8441 section 5.
#include "crypto/crypto.h"
#include "net/http1/scan.h"
#include "net/ws.h"

#define KEY_TEXT_BYTES 24
#define KEY_BYTES 16
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define HEADERS_MAX 3

// The header of that name; how many there are, in all.
static unsigned find(const struct http_request *req, const char *name, struct slice *ret_value)
{
	unsigned n = 0;
	*ret_value = MS_SLICE_EMPTY;
	for (size_t i = 0; i < req->header_count; i++) {
		if (ms_slice_eq_nocase(req->headers[i].name, ms_slice_cstr(name)) && n++ == 0)
			*ret_value = req->headers[i].value;
	}
	return n;
}

// --- What it must be ---------------------------------------------------------------------------------

// "websocket" may stand behind other protocols, of which we speak none.
static bool asks_for_websocket(struct exchange *x)
{
	struct http_request *req = &x->req;
	static const struct slice name = MS_SLICE_LIT("websocket");
	if (req->method != HTTP_GET || req->protocol.n == 0)
		return false;
	if (ms_slice_eq_nocase(req->protocol, name))
		return true;
	for (size_t i = 0; req->version < 20 && i < req->header_count; i++) {
		struct slice rest = req->headers[i].value, protocol;
		if (!ms_slice_eq_nocase(req->headers[i].name, MS_SLICE_LIT("upgrade")))
			continue;
		while (ms_slice_next(&rest, ',', &protocol)) {
			if (!ms_slice_eq_nocase(ms_slice_trim(protocol), name))
				continue;
			req->protocol = name;
			return true;
		}
	}
	return false;
}

static void refuse_upgrade(struct exchange *x, const char *why)
{
	ms_http_set_header(x, "Sec-WebSocket-Version", MS_SLICE_LIT("13"));
	if (x->req.version < 20) {
		ms_http_set_header(x, "Upgrade", MS_SLICE_LIT("websocket"));
		ms_http_set_header(x, "Connection", MS_SLICE_LIT("Upgrade"));
	}
	ms_http_fail_code(x, MS_ERR_HTTP_UPGRADE, "%s", why);
}

// Over HTTP/2 there is neither key nor accept: the protocol is named in the request itself.
static bool read_key(struct exchange *x, struct buf *accept)
{
	struct slice key, bytes;
	uint8_t digest[MS_DIGEST_MAX];
	char text[KEY_TEXT_BYTES + sizeof(GUID) - 1];
	if (x->req.version >= 20)
		return true;
	if (find(&x->req, "sec-websocket-key", &key) != 1 || key.n != KEY_TEXT_BYTES ||
	    !ms_base64_decode(key, x->arena, &bytes) || bytes.n != KEY_BYTES)
		return false;
	memcpy(text, key.p, key.n);
	memcpy(text + key.n, GUID, sizeof(GUID) - 1);
	ms_digest(CRYPTO_SHA1, ms_slice(text, sizeof(text)), digest);
	ms_base64_append(accept, ms_slice(digest, ms_digest_size(CRYPTO_SHA1)));
	return true;
}

// --- Origin ------------------------------------------------------------------------------------------

static struct slice without_port(struct slice host, const char *port)
{
	struct slice end = ms_slice_cstr(port);
	return ms_slice_ends_with(host, end) ? ms_slice_sub(host, 0, host.n - end.n) : host;
}

// scheme://host[:port] of our own host; the scheme's own port may be left out on either side.
static bool is_own_host(struct slice origin, struct slice authority)
{
	struct slice http = MS_SLICE_LIT("http://"), https = MS_SLICE_LIT("https://");
	struct slice start = ms_slice_sub(origin, 0, https.n);
	bool tls = ms_slice_eq_nocase(start, https);
	if (!tls && !ms_slice_eq_nocase(ms_slice_sub(origin, 0, http.n), http))
		return false;
	struct slice host = ms_slice_sub(origin, tls ? https.n : http.n, SIZE_MAX);
	const char *port = tls ? ":443" : ":80";
	return host.n > 0 && ms_slice_eq_nocase(without_port(host, port), without_port(authority, port));
}

static bool origin_allowed(struct slice origin, struct slice authority, const char *const *allowed)
{
	if (allowed == NULL)
		return is_own_host(origin, authority);
	for (; *allowed != NULL; allowed++) {
		if (ms_slice_eq_nocase(origin, ms_slice_cstr(*allowed)))
			return true;
	}
	return false;
}

// --- Subprotocols ------------------------------------------------------------------------------------

// Whether the client lists `wanted` (p == NULL: nothing). False in *ret_valid: not a list of tokens.
static bool offers(const struct http_request *req, struct slice wanted, bool *ret_valid)
{
	bool found = false;
	*ret_valid = true;
	for (size_t i = 0; i < req->header_count; i++) {
		struct slice rest = req->headers[i].value, name;
		if (!ms_slice_eq_nocase(req->headers[i].name, MS_SLICE_LIT("sec-websocket-protocol")))
			continue;
		while (ms_slice_next(&rest, ',', &name)) {
			name = ms_slice_trim(name);
			bool again = found && ms_slice_eq(name, wanted); // each once (section 4.1)
			*ret_valid &= name.n > 0 && scan_token(name.p, 0, name.n) == name.n && !again;
			found |= wanted.p != NULL && ms_slice_eq(name, wanted);
		}
	}
	return found;
}

static bool choose_subprotocol(const struct http_request *req, const char *const *ours, struct slice *ret_chosen)
{
	bool valid;
	*ret_chosen = MS_SLICE_EMPTY;
	(void)offers(req, MS_SLICE_EMPTY, &valid);
	for (; valid && ours != NULL && *ours != NULL; ours++) {
		if (offers(req, ms_slice_cstr(*ours), &valid)) {
			*ret_chosen = ms_slice_cstr(*ours);
			break;
		}
	}
	return valid;
}

// --- Accepting ---------------------------------------------------------------------------------------

static struct ws *fail(struct exchange *x, enum ms_err code, const char *why)
{
	ms_http_fail_code(x, code, "%s", why);
	return NULL;
}

struct ws *ms_ws_accept(struct exchange *x, const struct ws_options *options)
{
	struct slice value, subprotocol;
	struct ws_deflate_choice choice;
	char extension[MS_WS_EXTENSION_MAX];
	struct http_header headers[HEADERS_MAX];
	size_t count = 0;
	if (!asks_for_websocket(x)) {
		refuse_upgrade(x, "this address speaks WebSocket alone; ask for an upgrade to it");
		return NULL;
	}
	unsigned versions = find(&x->req, "sec-websocket-version", &value);
	if (versions == 0)
		return fail(x, MS_ERR_HTTP_SYNTAX, "the WebSocket handshake needs Sec-WebSocket-Version: 13");
	if (versions > 1 || !ms_slice_eq_cstr(value, "13")) {
		refuse_upgrade(x, "this server speaks version 13 of WebSocket");
		return NULL;
	}
	struct buf *accept = x->body;
	ms_buf_clear(accept);
	if (!read_key(x, accept))
		return fail(x, MS_ERR_HTTP_SYNTAX,
			    "the WebSocket handshake needs one Sec-WebSocket-Key of 16 bytes in base64");
	unsigned origins = find(&x->req, "origin", &value);
	if (origins > 1)
		return fail(x, MS_ERR_HTTP_SYNTAX, "a request has one Origin");
	if (origins == 1 && !origin_allowed(value, x->req.authority, options->origins))
		return fail(x, MS_ERR_FORBIDDEN, "pages of this Origin may not open WebSockets here");
	if (!choose_subprotocol(&x->req, options->subprotocols, &subprotocol))
		return fail(x, MS_ERR_HTTP_SYNTAX, "Sec-WebSocket-Protocol is a list of different tokens");
	enum ws_offer offer = ms_ws_negotiate(x->req.headers, x->req.header_count, &choice);
	if (offer == WS_OFFER_BAD)
		return fail(x, MS_ERR_HTTP_SYNTAX, "Sec-WebSocket-Extensions cannot be read");
	if (accept->n > 0)
		headers[count++] = (struct http_header){MS_SLICE_LIT("Sec-WebSocket-Accept"),
							ms_arena_copy(x->arena, ms_buf_slice(accept))};
	if (subprotocol.p != NULL)
		headers[count++] = (struct http_header){MS_SLICE_LIT("Sec-WebSocket-Protocol"), subprotocol};
	bool deflate = offer == WS_OFFER_TAKEN && options->deflate;
	if (deflate)
		headers[count++] = (struct http_header){
			MS_SLICE_LIT("Sec-WebSocket-Extensions"),
			ms_slice(extension, ms_ws_write_extension(&choice, extension)),
		};
	return ms_ws_start(x, options, deflate ? &choice : NULL, subprotocol, headers, count);
}
