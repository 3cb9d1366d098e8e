// SPDX-License-Identifier: Apache-2.0
// WebSocket without sockets, the server's side: frames to messages (RFC 6455 sections 5, 7 and 8), messages to frames, and
// permessage-deflate (RFC 7692). Bytes in, events out; no clock, no socket.
//
// A codec between messages holds no memory of its own. Compressed messages are gathered as they come and inflated when they are whole, so that
// one that stalls holds no more than its sender has sent, and one pair of contexts serves all connections of a loop.
#ifndef MS_NET_WEBSOCKET_CODEC_H
#define MS_NET_WEBSOCKET_CODEC_H

#include "base/base.h"
#include "net/http1/message.h"
#include "net/websocket.h"

#define MS_WS_CONTROL_MAX 125
#define MS_WS_REASON_MAX 123

enum ws_opcode { WS_OP_CONTINUE, WS_OP_TEXT, WS_OP_BINARY, WS_OP_CLOSE = 8, WS_OP_PING, WS_OP_PONG };

// Close codes (section 7.4.1).
enum {
	WS_CLOSE_NORMAL = 1000,
	WS_CLOSE_GOING_AWAY = 1001,
	WS_CLOSE_PROTOCOL = 1002,
	WS_CLOSE_NONE = 1005,     // never on the wire: a Close frame without a code
	WS_CLOSE_ABNORMAL = 1006, // never on the wire: no Close frame
	WS_CLOSE_DATA = 1007,
	WS_CLOSE_TOO_LARGE = 1009,
	WS_CLOSE_SERVER = 1011,
};
// Whether a code may stand in a Close frame.
bool ms_ws_close_code_valid(unsigned code);

// --- permessage-deflate ------------------------------------------------------------------------------

// Contexts of zlib, made when first used; of one loop. NULL: memory is out.
struct ws_deflater;
MS_MUST_USE struct ws_deflater *ms_ws_deflater_new(void);
void ms_ws_deflater_free(struct ws_deflater *d); // accepts NULL
// One message's payload as it stands in frames with RSV1, or p == NULL: not smaller, or memory is out; send it as it is. `window_bits` 9 to
// 15. Valid until the next call.
struct slice ms_ws_deflate(struct ws_deflater *d, unsigned window_bits, struct slice message);
// MS_ERR_HTTP_SYNTAX: no DEFLATE data, or it ends within a block. MS_ERR_LIMIT: more than max_bytes, or than max_ratio times the payload
// (judged beyond 1 MiB). MS_ERR_NO_MEMORY. Valid until the next call or ms_ws_deflater_trim().
MS_MUST_USE enum ms_err ms_ws_inflate(struct ws_deflater *d, struct slice payload, size_t max_bytes, size_t max_ratio,
				      struct slice *ret_message);
void ms_ws_deflater_trim(struct ws_deflater *d); // large buffers go back to the system

enum ws_offer {
	WS_OFFER_NONE,  // no extension that we take; go on without
	WS_OFFER_TAKEN, // permessage-deflate
	WS_OFFER_BAD,   // not the grammar of section 9.1: the handshake fails
};
struct ws_deflate_choice {
	unsigned server_bits; // our window: 9 to 15
	bool says_bits;       // the client asked for it, and is answered
};
// Looks through the Sec-WebSocket-Extensions of a request; the first offer that can be taken wins. Offers with what RFC 7692 does not
// allow (unknown, repeated or wrongly valued parameters) are passed over.
MS_MUST_USE enum ws_offer ms_ws_negotiate(const struct http_header *headers, size_t count,
					  struct ws_deflate_choice *ret_choice);
#define MS_WS_EXTENSION_MAX 128
// The value of the answer's Sec-WebSocket-Extensions; its length.
size_t ms_ws_write_extension(const struct ws_deflate_choice *choice, char dst[MS_WS_EXTENSION_MAX]);

// --- Reading -----------------------------------------------------------------------------------------

enum ws_event_type {
	WS_EVENT_NONE, // the input is used up
	WS_EVENT_MESSAGE,
	WS_EVENT_PING,
	WS_EVENT_PONG,
	WS_EVENT_CLOSE,  // nothing follows: what comes is dropped
	WS_EVENT_FAILED, // the same; close with `code`
};
struct ws_event {
	enum ws_kind kind;  // of a message
	unsigned code;      // CLOSE: as received, or 1005; FAILED: to be sent
	struct slice bytes; // message, payload, reason; FAILED: what was wrong. Valid until the next call
};

struct ws_codec {
	struct ws_deflater *deflater; // NULL: not negotiated
	size_t max_message;
	size_t max_ratio;
	struct buf message; // of the message under way: unmasked, not inflated
	size_t checked;     // of it known to be UTF-8
	uint64_t left;      // payload of the present frame still to come
	uint8_t head[14];   // of the present frame, as far as it is here
	uint8_t head_n;
	uint8_t head_need; // 0: the head is complete
	uint8_t phase;     // of the mask
	uint8_t opcode;    // of the present frame
	bool fin;
	uint8_t kind; // of the message under way: an opcode, 0: none
	bool compressed;
	bool delivered; // a message was handed out, its memory may go
	bool ended;
	uint8_t control_n;
	char control[MS_WS_CONTROL_MAX];
};

void ms_ws_codec_init(struct ws_codec *c, size_t max_message, struct ws_deflater *deflater, size_t max_ratio);
void ms_ws_codec_fini(struct ws_codec *c);
// Takes from the front of `input` as far as the next event goes. Call again until WS_EVENT_NONE.
MS_MUST_USE enum ws_event_type ms_ws_codec_next(struct ws_codec *c, struct slice *input, struct ws_event *ret_event);

// --- Writing -----------------------------------------------------------------------------------------

#define MS_WS_HEAD_MAX 10
// The head of an unfragmented frame of ours; its length.
size_t ms_ws_write_head(enum ws_opcode opcode, bool compressed, uint64_t payload, uint8_t dst[MS_WS_HEAD_MAX]);
// The payload of a Close frame; code 1005: empty. The reason is cut to what fits, between characters.
size_t ms_ws_write_close(unsigned code, struct slice reason, char dst[MS_WS_CONTROL_MAX]);

#endif
