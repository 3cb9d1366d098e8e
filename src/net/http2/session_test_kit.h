// SPDX-License-Identifier: Apache-2.0
// For the tests of the session: frames written by hand, the frames that come back, and a small server.
#ifndef MS_NET_HTTP2_SESSION_TEST_KIT_H
#define MS_NET_HTTP2_SESSION_TEST_KIT_H

#include "net/http2/http2.h"
#include "tests/lib/test.h"

enum frame_type {
	F_DATA,
	F_HEADERS,
	F_PRIORITY,
	F_RST,
	F_SETTINGS,
	F_PUSH,
	F_PING,
	F_GOAWAY,
	F_WINDOW,
	F_CONT,
};
#define F_END_STREAM 1
#define F_ACK 1
#define F_END_HEADERS 4

struct frame {
	unsigned type, flags;
	uint32_t stream;
	struct slice payload;
};
// Cuts the first whole frame off `bytes`.
bool kit_next_frame(struct slice *bytes, struct frame *ret_frame);
void kit_frame(struct buf *out, unsigned type, unsigned flags, uint32_t stream, struct slice payload);
void kit_u32(struct buf *out, uint32_t value);
void kit_field(struct buf *out, struct slice name, struct slice value);  // literal, not indexed; up to 126 bytes each
void kit_request(struct buf *out, const char *method, const char *path); // the four pseudo-headers
void kit_start(struct buf *out);                                         // preface, SETTINGS, acknowledgement

// A session with everything it has said so far. As a server it answers each request with 200 and ten bytes once that has ended.
struct kit {
	struct h2_session *s;
	struct buf out; // all output
	struct buf log; // the events, a line each
	size_t step;    // bytes a feed
	int64_t now_ns;
	enum ms_err err;          // of the last feed
	bool silent;              // server: leaves answering to the test
	struct h2_stream *stream; // newest
};
void kit_init(struct kit *k, enum h2_side side, const struct h2_limits *limits, size_t step);
void kit_fini(struct kit *k);
void kit_feed(struct kit *k, struct slice bytes);
void kit_flush(struct kit *k); // output to k->out
// The newest frame of that type and stream in the output; false when there is none.
bool kit_find(const struct kit *k, unsigned type, uint32_t stream, struct frame *ret_frame);
size_t kit_count(const struct kit *k, unsigned type);
bool kit_goaway(const struct kit *k, uint32_t code);
bool kit_reset(const struct kit *k, uint32_t stream, uint32_t code);
uint32_t kit_read_u32(struct slice s, size_t at);

#endif
