// SPDX-License-Identifier: Apache-2.0
// What ws.c and ws_accept.c share.
#ifndef MS_NET_WS_H
#define MS_NET_WS_H

#include "net/server.h"
#include "net/websocket/codec.h"

#define WS_TICK_MS 100
#define WS_SLOTS 512

// The WebSockets of a loop: their deadlines (a wheel of lists, one timer), what is due at once, the contexts of compression.
struct ws_loop {
	struct net_loop *nl;
	struct ws_deflater *deflater;
	struct timer *tick; // runs while there are any
	struct timer *soon;
	struct list slots[WS_SLOTS]; // by deadline, in ticks
	struct list ready;
	size_t count;   // in slots
	int64_t turned; // ticks up to here were looked at
	bool told_draining;
};

enum ws_state {
	WS_OPENING, // within ms_ws_accept
	WS_OPEN,
	WS_CLOSING, // our Close frame is sent
	WS_OVER,    // closed() was called; waits for the end of the tunnel
};

struct ws { // of the exchange's arena, which takes it out of all lists
	struct exchange *x;
	struct ws_loop *wl;
	const struct ws_handlers *handlers;
	void *arg;
	size_t max_waiting;
	int64_t ping_ns;
	int64_t heard_ns; // the peer's last byte
	int64_t due_ns;
	struct list_node slot_node;
	struct list_node ready_node;
	uint16_t slot;
	uint8_t window_bits; // of permessage-deflate; 0: not negotiated
	enum ws_state state;
	bool in_slot;
	bool in_ready;
	bool pinged;
	bool congested; // 64 KiB wait
	bool slow;      // too much waits: to be cut
	bool *lost;     // while opening: set when the exchange is over already
	struct slice subprotocol;
	struct buf rest; // input that is not looked at yet
	struct ws_codec codec;
};

// The loop's, made when first needed; NULL: memory is out.
MS_MUST_USE struct ws_loop *ms_ws_loop(struct net_loop *nl);
// Starts the tunnel; NULL when the client is gone or memory is out (then answered).
struct ws *ms_ws_start(struct exchange *x, const struct ws_options *options, const struct ws_deflate_choice *choice,
		       struct slice subprotocol, const struct http_header *headers, size_t count);

#endif
