// SPDX-License-Identifier: Apache-2.0
// What the files of the session share. Nobody else includes this.
#ifndef MS_NET_HTTP2_SESSION_H
#define MS_NET_HTTP2_SESSION_H

#include <nghttp2/nghttp2.h>

#include "net/http2/http2.h"

#define MINUTE_NS ((int64_t)60 * 1000000000)
#define CREDIT_MAX 1000     // frames that our data explain, saved up
#define CONTINUATIONS_MAX 8 // of one header block
#define FRAME_HEAD_BYTES 9
#define UNREAD_MAX ((size_t)64 << 10) // of a request that was answered before its end
#define CLOSED_MAX 64                 // streams remembered after they have closed
#define BOMB_FACTOR 8 // a header block that unpacks to more than this multiple of the limit ends the session
#define ACKS_MAX 200  // answers to PING and SETTINGS that wait in the output

enum pseudo {
	PSEUDO_METHOD,
	PSEUDO_SCHEME,
	PSEUDO_AUTHORITY,
	PSEUDO_PATH,
	PSEUDO_PROTOCOL,
	PSEUDO_STATUS,
	PSEUDO_COUNT
};

struct field_ref { // offsets in block.bytes
	uint32_t at;
	uint32_t name_n;
	uint32_t value_n;
};

// The header block that is being read; a session reads one at a time.
struct block {
	struct buf bytes;
	struct buf cookie;           // the pieces of Cookie, joined
	struct field_ref *refs;      // limits.header_count
	struct http_header *headers; // likewise, and one for Cookie
	size_t count;
	struct field_ref pseudo[PSEUDO_COUNT]; // value only; at == 0 and value_n == 0: absent
	unsigned seen;                         // bits of enum pseudo
	size_t list_bytes;                     // as RFC 9113 section 6.5.2 counts: 32 more a field
	size_t list_count;
	bool too_large;
	bool has_cookie;
};

// Trailers and such, in one piece of memory.
struct fields {
	struct http_header *headers;
	size_t count;
};

struct h2_stream {
	struct h2_session *s;
	void *data;
	struct list_node node;         // in s->streams
	struct list_node drained_node; // in s->drained
	int32_t id;
	bool announced;    // the owner knows it: gets `closed`
	bool head_sent;    // client: the request has left
	bool final_seen;   // client: a head of 200 and above came
	bool tunnel;       // extended CONNECT: each side ends for itself
	bool responded;    // server: the final head was given
	bool gone;         // nghttp2 has closed it
	bool was_reset;    // by us
	bool remote_ended; // end was seen; may wait in end_waits
	bool paused;
	bool delivering;
	bool end_waits;
	bool ended;    // our message is complete
	bool deferred; // nghttp2 waits for more of our data
	bool sent_all;
	bool wants_drain;
	bool draining; // in s->drained
	uint32_t close_error;
	struct buf in; // came while paused
	struct fields in_trailers;
	struct buf out; // [out_sent, out.n) waits
	size_t out_sent;
	struct slice last; // borrowed, after out
	struct fields out_trailers;
	uint64_t sent;
	size_t unread; // bytes dropped after our side had ended
};

// The newest numbers of streams.
struct ring {
	int32_t *ids;
	unsigned size;
	unsigned next;
};

struct h2_session {
	nghttp2_session *ng;
	enum h2_side side;
	struct h2_limits limits;
	const struct h2_events *events;
	void *arg;
	struct list streams;
	struct list drained; // streams whose owner may write again
	struct block block;
	nghttp2_nv *nv; // of the head being sent
	size_t nv_cap;
	char status[3]; // likewise
	size_t memory;
	int64_t minute_ns; // when the present minute of glitches began
	unsigned glitches;
	unsigned credit;
	enum ms_err fault; // why the session ends
	const char *fault_reason;
	uint32_t goaway_error; // that we sent
	char goaway_text[96];  // and what nghttp2 says about it
	// The frame that is coming in: its head, gathered, then what is missing of its payload.
	uint8_t head[FRAME_HEAD_BYTES];
	unsigned head_n;
	size_t preface_left;
	size_t payload_left;
	unsigned continuations;
	bool reads_headers;  // it is HEADERS or CONTINUATION
	bool in_block;       // a header block is not complete
	int32_t last_stream; // the highest that the peer has opened
	struct ring resets;  // streams that we have reset: frames that crossed our RST_STREAM are ignored
	struct ring closed;  // streams that both sides have ended, or the peer
	bool busy;           // feed or output is on the stack
	bool sweep;          // a stream that nghttp2 has closed was reset while it waited for its owner
	bool failed;         // nothing can be sent any more
	bool goaway_failed;  // a GOAWAY with an error went out
	bool settings_seen;
	bool data_came;   // in the present DATA frame
	bool notice_sent; // first step of draining
	bool last_word;   // second step
	bool peer_goaway;
	bool ping_waits;
	bool drain_ping;
};

// --- fields.c ----------------------------------------------------------------------------------------

void ms_h2_block_init(struct block *block, const struct h2_limits *limits);
void ms_h2_block_fini(struct block *block);
void ms_h2_block_start(struct block *block);
// MS_ERR_BUSY: a bomb. MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_h2_block_add(struct block *block, const struct h2_limits *limits, struct slice name,
					struct slice value);
// The head that was read. False: malformed.
MS_MUST_USE bool ms_h2_block_request(struct block *block, struct h2_head *ret_head);
MS_MUST_USE bool ms_h2_block_response(struct block *block, struct h2_head *ret_head);
void ms_h2_block_headers(struct block *block, const struct http_header **ret_headers, size_t *ret_count);

MS_MUST_USE bool ms_h2_fields_copy(const struct http_header *headers, size_t count, struct fields *ret_fields);
void ms_h2_fields_free(struct fields *fields);
// Pseudo-headers and fields as nghttp2 wants them, in s->nv. False: memory is out.
MS_MUST_USE bool ms_h2_message_nv(struct h2_session *s, const struct h2_message *message, size_t *ret_count);

// --- session.c ---------------------------------------------------------------------------------------

// Ends the session with a GOAWAY; the first reason stays. `reason` is static.
void ms_h2_fail(struct h2_session *s, enum ms_err fault, const char *reason);
// frames.c: takes the bytes apart, so that each frame is looked at before nghttp2 gets it. What nghttp2_session_mem_recv() says.
ssize_t ms_h2_take_bytes(struct h2_session *s, struct slice bytes);
void ms_h2_add_credit(struct h2_session *s, unsigned n);
void ms_h2_remember(struct ring *ring, int32_t id);
void ms_h2_stream_drop(struct h2_stream *stream); // tells `closed` and frees it
MS_MUST_USE bool ms_h2_make_callbacks(nghttp2_session_callbacks **ret_callbacks);

// --- stream.c ----------------------------------------------------------------------------------------

MS_MUST_USE struct h2_stream *ms_h2_stream_new(struct h2_session *s, int32_t id); // NULL: memory is out
void ms_h2_stream_free(struct h2_stream *stream);
// What came from the peer. False: memory is out.
MS_MUST_USE bool ms_h2_stream_take(struct h2_stream *stream, struct slice bytes);
MS_MUST_USE bool ms_h2_stream_take_end(struct h2_stream *stream, const struct http_header *trailers, size_t count);
ssize_t ms_h2_stream_read(nghttp2_session *ng, int32_t id, uint8_t *p, size_t n, uint32_t *flags,
			  nghttp2_data_source *source, void *arg);

static inline struct slice ms_h2_unsent(const struct h2_stream *stream)
{
	return ms_slice_sub(ms_buf_slice(&stream->out), stream->out_sent, SIZE_MAX);
}

#endif
