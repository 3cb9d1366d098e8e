// SPDX-License-Identifier: Apache-2.0
// The seam between an exchange and what carries it. One `struct work` is one request and its answer: the exchange that handlers see, its
// arena, body, guard, route, compression, metrics, log. How its bytes travel is the business of a transport: HTTP/1.1 (h1.c, input.c), where a
// connection has one work at a time, or a stream of HTTP/2, where it has many.
//
// The life of a work, as a transport drives it:
// 1. ms_work_take(nl, c, transport, stream). It counts as one of the connection's (`c->works`): the connection outlives it.
// 2. The head is there: fill w->x.req (method, target, path still percent-encoded, query, headers, version, authority, protocol, has_body,
//    content_length) and w->marks, all in w->arena or in memory that lives until ms_work_give; set w->parsed; call ms_exchange_begin() (id,
//    trace, peer, TLS, times), then ms_exchange_start(): the front or the routes take over, perhaps answering before it returns.
//    An extended CONNECT (RFC 8441) is HTTP_GET with a protocol. Errors of the transport itself: ms_exchange_begin(), then ms_exchange_refuse().
// 3. The body: nothing may be handed up until ms_body_wanted(w), which becomes true in start(), or later by want(), and false after any
//    piece (paused, answered, failed): ask before each. Then ms_body_data() any number of times, once ms_body_end() or ms_body_cut().
//    What is not wanted yet stays with the transport (back-pressure). A work with has_body == false gets none of these calls.
// 4. The answer: calls of `struct transport` below, all of them while the client is there (w->gone is false).
//    When the client's patience allows more output (less than OUTPUT_HIGH waits) and w->wants_drain: ms_exchange_drained(w).
// 5. done(): the exchange is over for the handler. The transport still sends what it was given, then calls ms_work_give() (which tells the
//    front's `over`). It may do so within done(), unless it is itself in a call up for this work: nobody else touches the work afterwards.
// The client goes at any time: set w->gone at once; then, outside of any call of this work (from the loop), ms_exchange_gone(w) while w->open.
// It may call done(). The work stays until done() was called, however long its handler takes.
//
// Every call up may call down again, and may end in done(). HTTP/1 drives its connection by one function that does not enter itself
// (ms_conn_advance): calls down that come meanwhile only change state, and it looks again after each call up.
#ifndef MS_NET_TRANSPORT_H
#define MS_NET_TRANSPORT_H

#include "net/compress.h"
#include "net/net.h"
#include "net/router.h"

struct conn;
struct net_loop;
struct work;

#define LENGTH_NONE UINT64_MAX         // no body
#define LENGTH_STREAM (UINT64_MAX - 1) // a body of unknown length

// The head of a final answer. The transport adds its framing, and the headers that the handler set (w->headers).
struct answer_head {
	int status;
	const char *type; // Content-Type, static text; NULL: none, or among the headers
	enum content_coding coding;
	uint64_t length;
	const struct http_header *
		headers; // further ones: valid, and none that is hop-by-hop, of framing, or of those that the server adds
	size_t header_count;
	bool no_server_headers; // not Server, Date, X-Content-Type-Options
	bool in_pieces;         // write() and end() follow, maybe later
};

struct transport {
	// A final head; body(), write() and end() follow, or done() when there is no body.
	void (*head)(struct work *w, const struct answer_head *head);
	// 1xx, at once. Headers as above. Not for HTTP/1.0 clients.
	void (*interim)(struct work *w, int status, const struct http_header *headers, size_t count);
	// The whole body, right after the head; it stays untouched until ms_work_give(). No end() follows.
	void (*body)(struct work *w, const struct buf *body);
	// A piece (n > 0) of the body, or of a tunnel; copied. Returns the bytes that wait to be sent.
	size_t (*write)(struct work *w, struct slice bytes);
	// The body of an answer is complete, or our side of a tunnel. Trailers where they can be sent (valid, filtered), else dropped.
	void (*end)(struct work *w, const struct http_header *trailers, size_t count);
	// The answer must not be taken for whole: closes the connection or resets the stream, and sets w->gone.
	void (*cut)(struct work *w);
	// Opens a tunnel: 101 or 200. Bytes follow both ways: write() and ms_body_data() as they are.
	void (*tunnel)(struct work *w, const struct http_header *headers, size_t count);
	// The body is wanted from now on (again): send 100 Continue if that is due, hand over what is there and what comes.
	void (*want)(struct work *w);
	// The exchange is over. Unread body: to be discarded.
	void (*done)(struct work *w);
};

// What is asked of a request's headers before anybody searches them.
struct request_marks {
	struct slice request_id;  // of the client; p == NULL: none
	struct slice traceparent; // p == NULL: none, or more than one
	bool accept_encoding;     // there is such a header
	bool content_encoding;
};

enum body_state {
	BODY_NONE,   // there is none, or it is complete
	BODY_UNREAD, // nobody has asked
	BODY_WANTED,
	BODY_PAUSED,
	BODY_CUT, // incomplete, and nothing more comes
};

// The body of a request on its way in, above the transport.
struct intake {
	enum body_state state;
	bool collecting; // into `bytes`, else `reader` gets it
	bool collected;  // x.req.body is set
	bool own;        // collected for the server's own route, before its handler is called
	bool waited;     // the transport sets it: the body was not here whole when it was first wanted
	struct buf bytes;
	size_t max_bytes; // of bytes; also the decoded size
	struct inflater *inflater;
	http_collected_fn *done;
	http_collected_fn *lost;
	struct http_body_reader reader; // data == NULL: none
	uint64_t taken;                 // bytes handed to the reader
	void *arg;
};

struct work {
	struct exchange x;
	struct net_loop *nl;
	struct conn *conn;
	const struct transport *transport;
	void *stream; // the transport's
	struct work *next_free;
	struct arena arena;
	struct request_marks marks;
	struct route_match match;
	struct intake intake;
	struct buf body;    // x.body
	struct buf packed;  // the compressed body
	struct buf headers; // lines "Name: value\r\n" set by the handler
	size_t route_index;
	int status;          // of the answer, for metrics and log
	int sent_status;     // what the client was told; 0: nothing
	uint64_t body_bytes; // of the answer, as sent
	uint64_t left;       // of an answer of known length: still to be written; else LENGTH_STREAM
	http_drain_fn *on_drain;
	void *drain_arg;
	http_drain_fn *on_gone;
	void *gone_arg;
	unsigned pinned; // calls on the stack that look at the work once more: done() waits for them
	bool done_due;
	bool wants_drain;
	bool begun;      // ms_exchange_begin() was called
	bool parsed;     // method and headers are known
	bool is_head;    // asked with HEAD, whatever the front has made of it
	bool open;       // the exchange waits for its answer
	bool gone;       // the client
	bool local;      // with the server's own routes
	bool head_sent;  // of the final answer
	bool no_content; // HEAD, 204, 304: writes are dropped
	bool tunnel;
	bool slim;         // a tunnel that needs no wire while it is idle
	bool out_ended;    // our side of a tunnel
	bool distrust;     // the transport should carry no further request of this client (HTTP/1: closes)
	bool continued;    // 100 Continue was sent
	bool answered;     // for the transport
	bool has_encoding; // the handler set Content-Encoding itself
	char id[40];       // made by us
};

static inline struct work *ms_work_of(struct exchange *x)
{
	return MS_CONTAINER_OF(x, struct work, x);
}
static inline const struct work *ms_work_of_const(const struct exchange *x)
{
	return (const void *)((const char *)x - offsetof(struct work, x));
}

MS_MUST_USE struct work *ms_work_take(struct net_loop *nl, struct conn *c, const struct transport *transport,
				      void *stream); // NULL when memory is out
void ms_work_give(struct work *w);                   // not open any more
void ms_work_next(struct work *w);                   // as given back and taken again
void ms_work_free(struct work *w);                   // of the loop's idle ones
// A tunnel that will often be idle: gives back what only answers need, and moves what lies in the input buffer to the arena, so that the
// connection can give that back too. The request's slices move. Not when a front keeps the exchange: it may have some of them.
void ms_work_slim(struct work *w);

// --- From the transport up (exchange.c, dispatch.c, body.c) ------------------------------------------------

void ms_exchange_begin(struct work *w);
void ms_exchange_start(struct work *w);
void ms_exchange_refuse(struct work *w, const struct errinfo *info); // opens the exchange and answers it
void ms_exchange_gone(struct work *w);
void ms_exchange_drained(struct work *w);

static inline bool ms_body_wanted(const struct work *w)
{
	return w->intake.state == BODY_WANTED;
}
void ms_body_data(struct work *w, struct slice bytes);
// Not of collected bodies: they may be NULL, 0.
void ms_body_end(struct work *w, const struct http_header *trailers, size_t count);
void ms_body_cut(struct work *w, const struct errinfo *info);
// Shortcuts for bodies that are collected as they are. The whole body lies in memory that stays until done(): no copy, no end().
// Or: read straight into w->intake.bytes (at most its max), then ms_body_end().
static inline bool ms_body_plain(const struct work *w)
{
	return w->intake.collecting && w->intake.inflater == NULL;
}
void ms_body_whole(struct work *w, struct slice bytes);

// --- For transports whose heads are lists ----------------------------------------------------------------

// All headers of an answer in w->arena, names in lower case: those of the head, of the server and of the handler, and Content-Length when
// the length is known. Without :status and what only HTTP/1 has. NULL when memory is out.
MS_MUST_USE struct http_header *ms_answer_fields(struct work *w, const struct answer_head *head, size_t *ret_count);

// 204 and 304.
static inline bool ms_has_no_content(int status)
{
	return status == 204 || status == 304;
}

// --- Between the files above the seam ----------------------------------------------------------------

// Asks the guard, unless the route is public or there is none.
MS_MUST_USE enum ms_err ms_exchange_admit(struct work *w, struct errinfo *info);
void ms_exchange_answered(struct work *w); // the answer is complete: metrics, log, done()
void ms_exchange_done(struct work *w);     // done(), unless pinned
void ms_exchange_unpin(struct work *w);
void ms_dispatch_local(struct work *w); // dispatch.c: to the routes
void ms_body_begin(struct work *w);     // body.c: from the request's fields
void ms_body_forget(struct work *w);    // nobody reads on
// Collects for the server's own route. On failure the exchange is answered, or dropped when the client has gone.
void ms_body_collect_own(struct work *w, size_t max_bytes, http_collected_fn *done);
bool ms_trailer_allowed(const struct http_header *trailer);          // valid, and of those that may stand behind a body
void ms_stats_record(struct work *w);                                // stats.c
void ms_answer_head(struct work *w, const struct answer_head *head); // answer.c: writes it; the client is there
// The front's say in answers of the server's own routes.
void ms_answer_ask_front(struct work *w, struct http_local_answer *answer);
// headers.c: what handlers set, one header a line. False: the last one was there.
size_t ms_answer_count_lines(struct slice lines);
bool ms_answer_next_line(struct slice *lines, struct http_header *ret_header);
// Copies the headers that may go on to the client into the arena; see answer_head. False: memory is out.
MS_MUST_USE bool ms_answer_filter(struct work *w, const struct http_header *headers, size_t count, bool server_headers,
				  bool trailers, struct http_header **ret_headers, size_t *ret_count);

#endif
