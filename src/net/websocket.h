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
// Called on the loop, never from within the functions below.
struct ws_handlers {
	// A whole message, unmasked and inflated, text checked as UTF-8; valid during the call. None after ms_ws_close().
	void (*message)(struct ws *ws, enum ws_kind kind, struct slice bytes, void *arg);
	// Over, however: the peer's close code (1005: it gave none) and reason; 1001 when the server drains; 1006 and what went wrong when
	// there was no closing handshake. The last call; `ws` is not valid afterwards.
	void (*closed)(struct ws *ws, unsigned code, struct slice reason, void *arg);
	void (*drained)(struct ws *ws, void *arg); // less than 64 KiB waits, after it was more; may be NULL
};
struct ws_options {
	size_t max_message; // bytes, inflated; beyond: close 1009. 0: 1 MiB
	size_t max_waiting; // of output that the peer does not take, before a further message; beyond: closed as too slow. 0: 4 MiB
	unsigned ping_ms; // silence after which a ping is sent; the same again without an answer: closed. 0: 30000
	bool deflate;     // take permessage-deflate; without context takeover, so that an idle one costs nothing
	const char *const *
		origins; // allowed Origin values, NULL-terminated; NULL: only the request's own host (and requests without Origin)
	const char *const *subprotocols; // that we speak, by preference, NULL-terminated; NULL: none
	const struct ws_handlers *handlers;
	void *arg;
};
// Answers the handshake of an exchange (route flag ROUTE_STREAM): 101 or 200, or the fitting 4xx (426 when it is no WebSocket request or
// of another version, 403 for a foreign Origin, 400 otherwise) and NULL. NULL too when the client is gone. The permission was checked by the
// route before. Afterwards the exchange belongs to the WebSocket: its request's slices may move once the handler has returned (unless a
// front keeps it), its arena lives until closed().
struct ws *ms_ws_accept(struct exchange *x, const struct ws_options *options);
// Copies. Returns how many bytes wait. Beyond 64 KiB no further message is read from the peer until it has taken some. SIZE_MAX:
// dropped, the WebSocket is closing or its peer is gone.
size_t ms_ws_send(struct ws *ws, enum ws_kind kind, struct slice bytes);
// Starts the closing handshake; closed() comes when it is done or after 5 s. A code that may be sent: 1000 to 1003, 1007 to 1014,
// 3000 to 4999. The reason is UTF-8, cut to 123 bytes. Again is fine.
void ms_ws_close(struct ws *ws, unsigned code, struct slice reason);
struct slice ms_ws_subprotocol(const struct ws *ws); // p == NULL: none

#endif
