// SPDX-License-Identifier: Apache-2.0
// WebSocket (RFC 6455) with permessage-deflate (RFC 7692), over HTTP/1.1 upgrades and HTTP/2 extended CONNECT (RFC 8441), on the tunnels of
// net/net.h. Part of the public header net/net.h. Used on its loop alone.
#ifndef MS_NET_WEBSOCKET_H
#define MS_NET_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

struct exchange;
struct ws;

enum ws_kind { WS_TEXT, WS_BINARY };
struct ws_handlers {
	// A whole message, unmasked and inflated, text checked as UTF-8; valid during the call.
	void (*message)(struct ws *ws, enum ws_kind kind, struct slice bytes, void *arg);
	// Over, however: the peer's close code and reason, 1006 without one. The last call; `ws` is freed afterwards.
	void (*closed)(struct ws *ws, unsigned code, struct slice reason, void *arg);
	void (*drained)(struct ws *ws, void *arg); // less than 64 KiB waits; may be NULL
};
struct ws_options {
	size_t max_message; // bytes, inflated; beyond: close 1009. 0: 1 MiB
	size_t max_waiting; // of output that the peer does not take; beyond: closed as too slow. 0: 4 MiB
	unsigned ping_ms;   // silence after which a ping is sent; the same again without an answer: closed. 0: 30000
	bool deflate;       // offer permessage-deflate; without context takeover, so that an idle one costs nothing
	const char *const *
		origins; // allowed Origin values, NULL-terminated; NULL: only the request's own host (and requests without Origin)
	const char *const *subprotocols; // that we speak, by preference; NULL: none
	const struct ws_handlers *handlers;
	void *arg;
};
// Answers the handshake of an exchange (route flag ROUTE_STREAM): 101 or 200, or the fitting 4xx (426 when it is no WebSocket request,
// 403 for a foreign Origin, 400 otherwise) and NULL. The permission was checked by the route before.
struct ws *ms_ws_accept(struct exchange *x, const struct ws_options *options);
// Copies. Returns how many bytes wait.
size_t ms_ws_send(struct ws *ws, enum ws_kind kind, struct slice bytes);
// Starts the closing handshake; closed() comes when it is done or after 5 s. Code 1000 to 4999 that may be sent.
void ms_ws_close(struct ws *ws, unsigned code, struct slice reason);
struct slice ms_ws_subprotocol(const struct ws *ws);

#endif
