// SPDX-License-Identifier: Apache-2.0
// HTTP/2 (RFC 9113, RFC 7541, RFC 8441) without sockets and without a clock, for servers and for clients: bytes in, events and bytes
// out. The frames, HPACK and flow control are nghttp2's; the rules about messages that nghttp2 leaves open, the limits and the
// defence against floods are here.
//
// How it is driven, by whoever has the socket:
//
//	ms_h2_feed(s, bytes, now)            after each read; the events below are called from within
//	ms_h2_output(s, &buf, OUTPUT_HIGH)   after each feed, after each call that sends something, and when the socket took all
//	ms_h2_over(s)                        true: write what is pending, then close the connection
//
// Bytes that wait in the socket are not the session's business: the driver stops feeding while they do not drain, so that a peer
// that asks but never reads is held by TCP.
//
// From within an event everything may be called but feed, output and free. A session and its streams belong to one thread.
#ifndef MS_NET_HTTP2_HTTP2_H
#define MS_NET_HTTP2_HTTP2_H

#include "base/base.h"
#include "net/http1/message.h"

struct h2_session;
struct h2_stream; // valid until the event `closed` returned

enum h2_side { H2_SERVER, H2_CLIENT };

// Codes of RST_STREAM and GOAWAY (RFC 9113 section 7).
enum h2_error {
	H2_NO_ERROR = 0x0,
	H2_PROTOCOL_ERROR = 0x1,
	H2_INTERNAL_ERROR = 0x2,
	H2_FLOW_CONTROL_ERROR = 0x3,
	H2_SETTINGS_TIMEOUT = 0x4,
	H2_STREAM_CLOSED = 0x5,
	H2_FRAME_SIZE_ERROR = 0x6,
	H2_REFUSED_STREAM = 0x7, // not processed: the request may be sent again
	H2_CANCEL = 0x8,
	H2_COMPRESSION_ERROR = 0x9,
	H2_CONNECT_ERROR = 0xa,
	H2_ENHANCE_YOUR_CALM = 0xb,
	H2_INADEQUATE_SECURITY = 0xc,
	H2_HTTP_1_1_REQUIRED = 0xd,
};
const char *ms_h2_error_name(uint32_t code); // "PROTOCOL_ERROR"; "unknown error" for others

// What a client sends first. The first bytes of a plain connection that start with it speak HTTP/2.
#define MS_H2_PREFACE MS_SLICE_LIT("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// --- Limits ------------------------------------------------------------------------------------------

struct h2_limits {                // 0: the default
	unsigned streams;         // that the peer may have open at once; default 100. A client takes no pushed ones
	size_t header_bytes;      // of one list: names, values and 32 for each field; default 32 KiB. Told in SETTINGS
	unsigned header_count;    // default 100
	unsigned glitches;        // a minute, see below; default 500
	size_t stream_window;     // bytes a peer may send ahead on a stream; default 64 KiB - 1, at most 16 MiB
	size_t connection_window; // and on all streams together; default 1 MiB, at most 64 MiB
	size_t memory_bytes; // all that the session takes, what waits to be sent aside; default 8 MiB + connection_window
};

// What no honest peer does often is counted: streams it resets, frames of ours that it makes necessary by sending bad messages, empty
// frames, SETTINGS, PING, PRIORITY, unknown frames, WINDOW_UPDATE beyond what our data explain. More than `glitches` in a minute, a
// header block in too many pieces, or one that unpacks to many times the limit: GOAWAY with ENHANCE_YOUR_CALM.

// --- Heads -------------------------------------------------------------------------------------------

// A request (server) or a response (client), valid by RFC 9113 section 8. Slices are valid during the event: ms_h2_head_copy() keeps them.
struct h2_head {
	struct slice method;    // requests
	struct slice scheme;    // empty for a plain CONNECT
	struct slice authority; // :authority, or Host where there is none
	struct slice path;      // path and query as received, or "*"; empty for a plain CONNECT
	struct slice protocol;  // extended CONNECT: "websocket"; else empty
	int status;             // responses: 100 to 599, never 101
	const struct http_header
		*headers; // lower-case names, no pseudo-headers; one Cookie; no connection-specific ones
	size_t header_count;
	uint64_t
		content_length; // UINT64_MAX: not told. With it, bodies that are longer or shorter never end, they are reset
	bool end;               // nothing follows: no body
	// Requests only: the list was over header_bytes or header_count, the fields are dropped and `headers` is empty; the
	// pseudo-headers are there as far as they came. Answer 431. (Responses like that are reset.)
	bool too_large;
};
// False: memory is out.
MS_MUST_USE bool ms_h2_head_copy(const struct h2_head *head, struct arena *arena, struct h2_head *ret_copy);

// --- Events ------------------------------------------------------------------------------------------

struct h2_events { // each may be NULL
	// Server: a new stream with its request. Client: the answer, after any number of interim ones (status 1xx).
	void (*head)(struct h2_session *s, struct h2_stream *stream, const struct h2_head *head, void *arg);
	// A piece of the body, never empty, valid during the call. Not called while the stream is paused.
	void (*data)(struct h2_session *s, struct h2_stream *stream, struct slice bytes, void *arg);
	// The peer has said all it wants to say on this stream; also called after a head with `end`. Trailers are valid during the call.
	void (*end)(struct h2_session *s, struct h2_stream *stream, const struct http_header *trailers, size_t count,
		    void *arg);
	// Less than MS_H2_DRAIN_BYTES wait to be sent, after ms_h2_send_data had returned that much or more.
	void (*drained)(struct h2_session *s, struct h2_stream *stream, void *arg);
	// The stream is over, in whatever way, exactly once; its last event. H2_NO_ERROR after both sides have ended. Client:
	// H2_REFUSED_STREAM says that the peer has not looked at the request (also for those above the last stream of a GOAWAY).
	void (*closed)(struct h2_session *s, struct h2_stream *stream, uint32_t error, void *arg);
	// The peer's SETTINGS came, the first time or again; ms_h2_peer_…() tell what is new.
	void (*settings)(struct h2_session *s, void *arg);
	// The peer takes no new streams. (Streams that it will not process are closed, each by its own event.)
	void (*goaway)(struct h2_session *s, uint32_t error, void *arg);
	// Our message was handed out whole; from within ms_h2_output.
	void (*sent)(struct h2_session *s, struct h2_stream *stream, void *arg);
};
#define MS_H2_DRAIN_BYTES ((size_t)64 << 10)

// --- Sessions ----------------------------------------------------------------------------------------

struct h2_options {
	enum h2_side side;
	struct h2_limits limits;
	bool extended_connect;          // server: allows extended CONNECT
	const struct h2_events *events; // outlives the session
	void *arg;
	int64_t now_ns; // monotonic
};
// MS_ERR_NO_MEMORY. The first output is our preface and SETTINGS.
MS_MUST_USE enum ms_err ms_h2_new(const struct h2_options *options, struct h2_session **ret_session);
// Streams that are still open get `closed` with H2_CANCEL first. Accepts NULL. Not from within an event.
void ms_h2_free(struct h2_session *s);

// Takes all the bytes. Anything but MS_OK: the session is over; send what is pending (a GOAWAY), then close. MS_OK does not say that all was
// well: breaches of the protocol are answered with a GOAWAY by the next output, after which ms_h2_over() is true.
MS_MUST_USE enum ms_err ms_h2_feed(struct h2_session *s, struct slice bytes, int64_t now_ns, struct errinfo *info);
// Why we have ended the session, for the log: MS_ERR_HTTP_SYNTAX (the peer broke the protocol), MS_ERR_BUSY (it was too much),
// MS_ERR_NO_MEMORY. MS_OK: we have not.
enum ms_err ms_h2_why(const struct h2_session *s, struct errinfo *info);
// Appends frames to `out` until `out` holds `enough` bytes (one frame more at most) or nothing is left: then it returns false. A failed `out`
// or memory that is out ends the session.
bool ms_h2_output(struct h2_session *s, struct buf *out, size_t enough);
bool ms_h2_wants_output(const struct h2_session *s); // ms_h2_output() would append something
// Nothing is to be expected any more: after a protocol error, or when both have nothing more to say after a GOAWAY.
bool ms_h2_over(const struct h2_session *s);

// No new streams any more, those open are finished. First a notice (the peer may have opened streams that are under way), then, when it
// has answered our PING or at the second call, the last word. Then ms_h2_over() turns true after the last stream.
void ms_h2_drain(struct h2_session *s);
// GOAWAY at once; all streams are dropped by ms_h2_free().
void ms_h2_abort(struct h2_session *s, enum h2_error error);
bool ms_h2_draining(const struct h2_session *s); // we have called ms_h2_drain, or the peer has sent GOAWAY

size_t ms_h2_stream_count(const struct h2_session *s); // streams whose `closed` has not come
bool ms_h2_reads_head(const struct h2_session *s);     // a header block has begun and is not complete
size_t ms_h2_memory(const struct h2_session *s);       // bytes taken now
unsigned ms_h2_glitches(const struct h2_session *s);   // counted in the present minute
// A glitch that only the driver can see.
void ms_h2_count_glitch(struct h2_session *s);

// Client: whether the peer has said that it takes extended CONNECT; how many streams may be opened now (0 after a GOAWAY too).
bool ms_h2_peer_extended_connect(const struct h2_session *s);
bool ms_h2_peer_settings_seen(const struct h2_session *s);
size_t ms_h2_room(const struct h2_session *s);
// PING that the peer must answer: true until it has. For liveness checks.
void ms_h2_ping(struct h2_session *s);
bool ms_h2_ping_waits(const struct h2_session *s);

// --- Streams -----------------------------------------------------------------------------------------

int32_t ms_h2_stream_id(const struct h2_stream *stream);
void ms_h2_set_data(struct h2_stream *stream, void *data); // the owner's own; NULL at first
void *ms_h2_data(const struct h2_stream *stream);

// A message to send. Everything is copied. Names are made lower-case; connection-specific headers (Connection, Keep-Alive,
// Proxy-Connection, Transfer-Encoding, Upgrade, HTTP2-Settings, Host, TE other than "trailers") and pseudo-headers in `headers` are dropped,
// so that a head of HTTP/1 may be handed over as it is. CR, LF or NUL in a value is a bug of ours.
struct h2_message {
	struct slice method, scheme, authority, path, protocol; // requests; empty ones are not sent
	int status;                                             // responses
	const struct http_header *headers;
	size_t header_count;
	bool end; // no body
};
// Client: opens a stream. MS_ERR_BUSY: no room (ms_h2_room). MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_h2_request(struct h2_session *s, const struct h2_message *message, void *data,
				      struct h2_stream **ret_stream);
// Server: a 1xx head may be sent any number of times, then one final head. On a stream that is gone nothing happens.
void ms_h2_respond(struct h2_session *s, struct h2_stream *stream, const struct h2_message *message);

// A server whose message is complete takes 64 KiB of the rest of the request and drops them, then resets the stream with H2_NO_ERROR; sooner, if
// its owner does.
//
// After the head, unless it had `end`. The bytes are copied and wait until flow control lets them go. Returns how many wait now: from
// MS_H2_DRAIN_BYTES on the caller should wait for `drained`.
size_t ms_h2_send_data(struct h2_session *s, struct h2_stream *stream, struct slice bytes);
// The last data, not copied: it must stay until `closed`. Ends the message.
void ms_h2_send_last(struct h2_session *s, struct h2_stream *stream, struct slice bytes);
// Ends the message, with trailers or none (count 0).
void ms_h2_send_end(struct h2_session *s, struct h2_stream *stream, const struct http_header *trailers, size_t count);
size_t ms_h2_waiting(const struct h2_stream *stream);
// Bytes of data of this stream that were handed out by ms_h2_output so far: what a write timeout looks at.
uint64_t ms_h2_sent(const struct h2_stream *stream);
bool ms_h2_sent_all(const struct h2_stream *stream);     // our side has ended and everything was handed out
bool ms_h2_received_all(const struct h2_stream *stream); // the peer has ended its side, told or not

// RST_STREAM; what waits is dropped, data that comes is ignored. `closed` comes with the next output.
void ms_h2_reset(struct h2_session *s, struct h2_stream *stream, enum h2_error error);
// Back-pressure: while paused there is neither data nor end, and the peer may send no more than the stream's window.
// What came meanwhile is kept and delivered by resume, from within it. Pausing from within `data` is fine.
void ms_h2_pause(struct h2_session *s, struct h2_stream *stream);
void ms_h2_resume(struct h2_session *s, struct h2_stream *stream);

#endif
