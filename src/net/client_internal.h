// SPDX-License-Identifier: Apache-2.0
// The inside of the upstream client. A call belongs to one loop; over HTTP/1.1 it has a connection (struct upstream) of its own from the
// start, be it a kept one or one that is still being made. Over HTTP/2 it is a stream of a shared one; where the protocol is not known
// yet, and where no stream may be opened, it waits in its pool. client.c: the client, origins and pools; client_connect.c: names,
// addresses, connecting; client_conn.c: a connection's socket, output and deadlines; client_http1.c: messages; client_http2.c: streams;
// client_wait.c: calls that wait; client_call.c: what callers see.
#ifndef MS_NET_CLIENT_INTERNAL_H
#define MS_NET_CLIENT_INTERNAL_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "net/client.h"
#include "net/deadlines.h"
#include "net/http1/http1.h"
#include "net/http2/http2.h"
#include "net/tls_client.h"

#define CLIENT_DRAIN_BYTES ((size_t)64 << 10) // less waits: the caller may go on writing
#define CLIENT_OUT_MAX ((size_t)64 << 20)     // what waits of one request, from a caller that heeds no back-pressure
#define CLIENT_KEEP_BYTES ((size_t)16 << 10)  // a buffer of a kept connection keeps no more
#define CLIENT_ADDRESSES 8                    // tried of a name
#define CLIENT_INTERIM_MAX 64                 // 1xx answers before the last one
#define CLIENT_FREE_MAX 256                   // calls and connections that wait for their next use
#define CLIENT_TLS_PIECE ((size_t)16 << 10)   // of plain text: one full record

union client_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

// --- Connections -------------------------------------------------------------------------------------

enum upstream_phase {
	UPSTREAM_RESOLVING,  // waits for the addresses of its origin
	UPSTREAM_CONNECTING, // to one of them
	UPSTREAM_NEXT,       // the socket of a failed attempt closes, then comes the next
	UPSTREAM_HANDSHAKE,
	UPSTREAM_OPEN, // has a call
	UPSTREAM_IDLE, // kept for the next one
	UPSTREAM_CLOSED,
};

enum upstream_wait { WAIT_NOTHING, WAIT_CONNECT, WAIT_SEND, WAIT_READ, WAIT_IDLE };

struct upstream {
	struct list_node node;      // of the loop's connections
	struct list_node pool_node; // of the pool's waiters or idle ones
	struct client_loop *cl;
	struct client_pool *pool;
	struct http_call *call;
	enum upstream_phase phase;
	enum upstream_wait wait; // what the deadline is for
	struct deadline deadline;
	bool handle_open;
	bool connected; // counted as open
	bool kept;      // was used before
	bool reading;
	bool eof;          // the peer sends no more
	bool write_broken; // what is sent gets lost; an answer may still come
	bool writing;      // `flight` is with libuv
	bool shut;         // our side was ended
	bool h1_only;      // ALPN offers HTTP/1.1 alone
	bool for_waiting;  // is made for the calls that wait in the pool
	bool listed;       // in the pool's HTTP/2 connections
	bool h2_busy;      // its session is on the stack
	bool later;        // flushed at the end of this turn
	struct list_node later_node;
	struct h2_session *h2; // NULL: HTTP/1.1
	struct list streams;   // calls
	int64_t received_ns;   // when the last bytes came
	int64_t opened_ns;     // when it was established, with HTTP/2
	struct tls *tls;
	struct buf out;    // to be sent
	size_t out_sent;   // of it
	struct buf flight; // untouched while `writing`
	size_t write_progress;
	struct buf in;            // received and not used yet: the beginning of a head, or what came before a pause
	int64_t connect_until_ns; // INT64_MAX: no limit
	unsigned address_at, address_count;
	char address[72]; // as text, with the port
	size_t address_n;
	struct errinfo *problem; // of the attempts so far; NULL: none
	struct upstream *next_free;
	uv_write_t write_req;
	uv_connect_t connect_req;
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
	} uv;
	union client_address addresses[CLIENT_ADDRESSES];
};

// --- Calls -------------------------------------------------------------------------------------------

enum call_stage { STAGE_HEAD, STAGE_LENGTH, STAGE_CHUNKED, STAGE_UNTIL_CLOSE, STAGE_TUNNEL };

struct http_call {
	struct list_node node; // of the loop's calls
	struct list_node later_node;
	struct client_loop *cl;
	struct client_pool *pool;
	struct upstream *conn; // NULL once it failed, and while it waits
	struct h2_stream *stream;
	struct list_node way_node; // of the pool's waiting calls, or the connection's streams
	bool waiting;
	struct deadline deadline; // over HTTP/2 and while waiting; over HTTP/1.1 the connection has it
	enum upstream_wait wait;
	uint64_t send_progress;
	const struct http_call_options *copy; // in the arena: of a call whose protocol was not known at the start
	struct http_header *early_trailers;   // likewise
	size_t early_trailer_count;
	const struct http_call_handlers *handlers;
	void *arg;
	struct http_call *next_free;
	bool later;   // in the loop's list of what the end of this turn does
	bool calling; // a handler runs
	bool over;
	bool kept;    // its connection was there before
	bool failing; // `failed` is called at the end of this turn
	bool paused;
	bool wants_drain;
	bool sent;     // a byte of the request may have gone out
	bool answered; // a byte of the answer has come
	// The request.
	bool has_body;
	bool chunked_out;
	bool body_ended;
	bool upgrade;       // asks for `protocol`
	bool peer_ended;    // of a tunnel
	uint64_t body_left; // of a body of known length
	unsigned connect_ms, send_ms, read_ms;
	int64_t start_ns, connect_ns;
	char address[72];
	size_t address_n;
	// The answer.
	enum call_stage stage;
	unsigned interim; // 1xx answers so far
	uint64_t left;    // of a body of known length
	struct chunked chunks;
	struct http1_answer answer;
	struct slice protocol; // in the arena
	// From here on nothing is cleared for the next call.
	struct arena_mark arena_mark; // behind what lives as long as the call
	struct arena arena;
	struct buf trailers;
	struct buf early; // what the caller wrote while the call waited
	enum http_call_failure failure;
	struct errinfo problem;
};

// --- Loops, pools, origins ---------------------------------------------------------------------------

// An origin on one loop. While it has users it holds a reference to its origin.
struct client_pool {
	struct http_origin *origin;
	struct client_loop *cl;
	size_t users; // calls, connections, a resolution
	struct list idle;
	unsigned connections; // all that are not closed
	struct tls_resume resume;
	// Where HTTP/2 is possible.
	struct list h2s;        // connections that take further streams
	struct list waiting;    // calls
	unsigned pending;       // connections that are being made for them
	int64_t http1_until_ns; // the peer spoke HTTP/1.1 lately: believed up to then
	// Addresses of the name.
	struct list waiters;
	bool resolving;
	unsigned address_count;
	int64_t believed_until_ns;
	uv_getaddrinfo_t resolution;
	union client_address addresses[CLIENT_ADDRESSES];
};

struct http_origin {
	struct http_client *client;
	atomic_size_t refs;
	struct slice key; // its content, in the client's table
	char *host;
	struct slice name; // that TLS asks for and verifies
	unsigned port;
	enum http_origin_protocol protocol;
	bool tls;
	bool is_address;
	union client_address address;
	struct tls_context *context;
	struct client_pool *pools[]; // by loop
};

struct client_loop {
	struct http_client *client;
	struct loop *loop;
	unsigned index;
	uv_loop_t *uv;
	struct deadlines deadlines;
	struct deadlines call_deadlines;
	struct list calls;
	struct list conns;
	struct list due; // calls with something to do at the end of this turn
	struct list due_conns;
	uv_idle_t end_of_turn;
	bool stopped;
	unsigned in_api;     // no handler may be called
	size_t open_handles; // of libuv, requests for addresses too
	struct http_call *free_calls;
	struct upstream *free_conns;
	unsigned free_call_count, free_conn_count;
	struct mail stop_mail;
	struct buf request;     // the head that is being written
	char scratch[64 << 10]; // what the socket gives
	char plain[16 << 10];   // of it, decrypted
};

struct http_client {
	struct http_client_options options;
	char *user_agent;
	unsigned loop_count;
	struct client_loop **loops;
	pthread_mutex_t lock; // of what follows
	struct map origins;
	struct tls_authorities *system;
	struct metric_series *open, *idle, *connects, *failures[CALL_FULL + 1];
};

void ms_pool_use(struct client_pool *pool);
void ms_pool_unuse(struct client_pool *pool);

// client_connect.c
// A connection for the call, which it gets; its request waits in conn->out. Failures come at the end of the turn.
void ms_upstream_connect(struct upstream *conn, unsigned connect_ms);
void ms_upstream_attempt_over(struct upstream *conn); // the socket has closed: the next address
void ms_upstream_connect_late(struct upstream *conn);
void ms_pool_cancel_resolution(struct client_pool *pool);

// client_conn.c
struct upstream *ms_upstream_new(struct client_pool *pool);       // NULL: no memory
struct upstream *ms_upstream_take_idle(struct client_pool *pool); // or NULL
void ms_upstream_opened(struct upstream *conn);                   // the socket is connected
void ms_upstream_close(struct upstream *conn);
void ms_upstream_closed(uv_handle_t *handle);
// The connection is of no use: closes it, and its call fails.
void ms_upstream_fail(struct upstream *conn, enum http_call_failure failure, const struct errinfo *info);
void ms_upstream_flush(struct upstream *conn);
size_t ms_upstream_waiting(const struct upstream *conn);
// Uses what was received before a pause.
void ms_upstream_pump(struct upstream *conn);
// After every event: reads or not, waits for what. `progress`: the time starts anew.
void ms_upstream_settle(struct upstream *conn, bool progress);
void ms_upstream_expired(struct deadline *entry, void *arg);
void ms_upstream_keep_or_close(struct upstream *conn, bool reusable); // its call is complete

// client_http1.c
MS_MUST_USE enum ms_err ms_client_check_request(const struct http_call_options *options, struct errinfo *info);
// The headers that are for the upstream: false for those of the hop and of the framing. `connection` from ms_client_connection_of().
struct http1_head ms_client_connection_of(const struct http_call_options *options);
bool ms_client_passes(const struct http1_head *connection, struct slice name);
bool ms_client_takes_trailers(const struct http_call_options *options);
MS_MUST_USE enum ms_err ms_client_write_request(const struct http_call_options *options, const char *user_agent,
						struct buf *out, struct errinfo *info);
MS_MUST_USE enum ms_err ms_client_check_headers(const struct http_header *headers, size_t count, struct errinfo *info);
void ms_client_expect_answer(struct http_call *call);
// Uses what it can of `bytes` and returns how much; the call may be over, the connection closed or with another call afterwards.
size_t ms_client_read_answer(struct upstream *conn, struct slice bytes);
void ms_client_end_of_input(struct upstream *conn, bool clean);
void ms_client_write_body(struct http_call *call, struct slice bytes);
void ms_client_write_trailers(struct http_call *call, const struct http_header *trailers, size_t count);

// client_http2.c
MS_MUST_USE bool ms_client_h2_open(struct upstream *conn); // false: memory is out
void ms_client_h2_feed(struct upstream *conn, struct slice bytes);
void ms_client_h2_output(struct upstream *conn); // frames into conn->out
void ms_client_h2_fail_streams(struct upstream *conn, enum http_call_failure failure, const struct errinfo *info);
// Opens a stream for a call that waits; false: not on this connection now.
bool ms_client_h2_start(struct upstream *conn, struct http_call *call);
void ms_client_h2_later(struct http_call *call); // at the end of a turn
size_t ms_client_h2_write(struct http_call *call, struct slice bytes);
void ms_client_h2_write_end(struct http_call *call, const struct http_header *trailers, size_t count);
void ms_client_h2_finish(struct http_call *call);                      // lets the stream end by itself
void ms_client_h2_detach(struct http_call *call, enum h2_error error); // resets the stream
void ms_client_h2_settle(struct http_call *call, bool progress);
void ms_client_h2_expired(struct http_call *call);

// client_wait.c
// A call whose protocol is not known, or that waits for a stream. `call->copy` is set.
void ms_client_wait(struct http_call *call);
void ms_client_unwait(struct http_call *call);
void ms_client_serve_waiting(struct client_pool *pool);    // what can start starts
void ms_client_waiting_established(struct upstream *conn); // a connection that was made for them
void ms_client_waiting_failed(struct client_pool *pool, enum http_call_failure failure, const struct errinfo *info);
size_t ms_client_write_early(struct http_call *call, struct slice bytes);
void ms_client_end_early(struct http_call *call, const struct http_header *trailers, size_t count);
void ms_client_replay_early(struct http_call *call); // on the connection that it got
void ms_client_call_expired(struct deadline *entry, void *arg);

// client_call.c
// Over HTTP/1.1, on a kept connection or a new one.
void ms_call_send_http1(struct http_call *call, const struct http_call_options *options, struct upstream *conn);
void ms_call_failed_here(struct http_call *call, enum http_call_failure failure, enum ms_err code, const char *what);
void ms_call_detach(struct http_call *call); // from its connection, which over HTTP/1.1 closes
void ms_upstream_later(struct upstream *conn);
void ms_call_later(struct http_call *call);
// Calls the handler; false when the connection has no business with this call any more.
bool ms_call_head(struct http_call *call, const struct http_header *headers, size_t count);
bool ms_call_data(struct http_call *call, struct slice bytes);
void ms_call_set_address(struct http_call *call, const struct upstream *conn);
void ms_call_end(struct http_call *call, const struct http_header *trailers, size_t count);
void ms_call_fail(struct http_call *call, enum http_call_failure failure, const struct errinfo *info);
void ms_call_tunnel_ended(struct http_call *call); // by the peer
bool ms_call_wake(struct http_call *call);         // drained; false: the call is over
void ms_call_end_of_turn(uv_idle_t *idle);
void ms_call_cancel_silently(struct http_call *call); // the loops have ended
void ms_call_free_all(struct client_loop *cl);

#endif
