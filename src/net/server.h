// SPDX-License-Identifier: Apache-2.0
// What the files of the server share. Nobody else includes this.
//
// Ownership: http_server > net_loop (one a loop) > conn > wire and works. A conn is small and lives as long as its socket, or its last
// exchange. Buffers of input and output are a wire, all that a request needs (arena, exchange, bodies) is a work (transport.h). A conn borrows
// them from its loop at the first byte and gives them back when it is idle again, so that idle connections are cheap.
#ifndef MS_NET_SERVER_H
#define MS_NET_SERVER_H

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <uv.h>

#include "net/http1/http1.h"
#include "net/net.h"
#include "net/timeouts.h"
#include "net/tls.h"
#include "net/transport.h"

#define INPUT_BYTES ((size_t)16 << 10)    // of a fresh input buffer
#define INPUT_ROOM_MIN ((size_t)4 << 10)  // least room for reading a body behind its head
#define OUTPUT_HIGH ((size_t)64 << 10)    // output is sent once this much has gathered; stream back-pressure
#define COALESCE_BYTES ((size_t)16 << 10) // bodies up to this size are gathered with neighbours
#define STREAM_BYTES_MAX ((size_t)64 << 20)
#define BODY_KEEP_BYTES ((size_t)64 << 10) // larger buffers are given back to the system after the request
#define ARENA_FIRST_BYTES ((size_t)8 << 10)
#define ARENA_MAX_BYTES ((size_t)64 << 20)
#define ANSWER_BYTES_MAX ((size_t)1 << 30)
#define REJECTS_MAX 64 // connections beyond the limit that are told so politely, per loop
#define FREE_WORKS_MAX 256
#define FREE_CONNS_MAX 1024
#define LINGER_MS 2000
#define LINGER_BYTES ((uint64_t)1 << 20) // at least this much unread body is taken so that the client reads our answer
#define PEER_BYTES 48

struct conn;
struct h2_conn;
struct net_loop;
struct ws_loop;

// --- Addresses ---------------------------------------------------------------------------------------

struct listen_point {
	const char *text; // as configured; of the options
	const struct http_tls_options *tls;
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
		struct sockaddr_un un;
	} address;
	socklen_t address_bytes;
	bool any_family; // ":port": IPv6 socket that takes IPv4 too, or IPv4 alone where there is no IPv6
	unsigned port;   // 0 for Unix sockets
	bool has_file;   // a Unix socket's, ours: with the inode and device below
	ino_t inode;
	dev_t device;
};

MS_MUST_USE enum ms_err ms_listen_parse(const char *text, const struct http_tls_options *tls, struct errinfo *info,
					struct listen_point *ret_point);
static inline bool ms_listen_is_unix(const struct listen_point *point)
{
	return point->address.any.sa_family == AF_UNIX;
}
// Reached from this machine alone: a Unix socket, or an address of the loopback.
bool ms_listen_is_local(const struct listen_point *point);
// Binds `count` sockets and makes them listen (one for a Unix socket; the other entries become -1).
MS_MUST_USE enum ms_err ms_listen_bind(struct listen_point *point, int *fds, unsigned count, struct errinfo *info);
// Removes the file of a Unix socket, unless it is another's by now.
void ms_listen_unlink(struct listen_point *point);
// From now on the kernel ignores new connection attempts, while handshakes under way still finish.
void ms_listen_refuse_new(struct listen_point *point, int fd);

struct listener { // of one loop
	struct net_loop *nl;
	struct listen_point *point; // changed by loop 0 alone
	int fd;                     // -1: not on this loop, or closed
	uv_poll_t poll;
	bool has_poll;                          // the handle is initialised
	struct timer *pause;                    // retries accepting after the system ran out of descriptors
	struct tls_context *tls;                // own reference; NULL: plain
	_Atomic(struct tls_context *) next_tls; // put here by a reload, taken by the loop
};

MS_MUST_USE enum ms_err ms_listener_init(struct listener *l, struct net_loop *nl, struct listen_point *point, int fd);
void ms_listener_start(struct listener *l);
void ms_listener_accept_all(struct listener *l);         // what waits in the kernel's queue
void ms_listener_close(struct listener *l);              // again is fine
void ms_listener_fini(struct listener *l);               // after the handle was closed
struct tls_context *ms_listener_tls(struct listener *l); // for a new connection; NULL: plain

// --- Metrics and access log --------------------------------------------------------------------------

#define STATS_SLOTS 8 // cached series of a route; further combinations are looked up each time
struct route_stats {
	struct {
		uint16_t status;
		uint8_t method; // enum http_method, or HTTP_METHOD_COUNT when the request line was not readable
		struct metric_series *requests;
	} slots[STATS_SLOTS];
	struct metric_series *seconds[HTTP_METHOD_COUNT + 1];
};

struct stats {
	struct metric_family *requests;
	struct metric_family *seconds;
	struct metric_series *active;
};
MS_MUST_USE enum ms_err ms_stats_init(struct stats *stats, struct metrics *metrics, struct errinfo *info);

// --- Server ------------------------------------------------------------------------------------------

struct http_server {
	struct http_server_options options; // route_sets and listens are the caller's
	struct rt *rt;
	struct router *router;
	struct listen_point *points;
	struct net_loop *loops;
	unsigned loop_count;
	size_t route_count;
	struct stats stats;
	atomic_uint connections;
	atomic_bool draining; // answers close their connections
	// Loop 0:
	unsigned next_loop; // that gets the next connection of a Unix socket
	unsigned loops_draining;
	struct timer *grace;
	bool grace_ended;
	bool cut;
	http_drained_fn *drained;
	void *drained_arg;
};

struct net_loop {
	struct http_server *server;
	struct loop *loop;
	uv_loop_t *uv;
	unsigned index;
	struct listener *listeners; // server->options.listen_count
	struct list conns;          // open ones, and closed ones whose exchange is not answered
	struct conn *free_conns;
	unsigned free_conn_count;
	struct work *free_works;
	unsigned free_work_count;
	struct wire *free_wires;
	unsigned free_wire_count;
	struct timeouts timeouts;
	struct codec_pool *codecs;
	struct ws_loop *ws;              // NULL until the first WebSocket
	struct route_stats *route_stats; // [route_count + 1], the last for no route
	struct http1_date date;
	struct list unsent; // conns with output to send, or a producer to wake, at the end of the turn
	uv_idle_t end_of_turn;
	bool has_end_of_turn;
	unsigned open_handles; // of libuv, until their close callbacks
	unsigned rejecting;
	struct mail start_mail;
	struct mail stop_mail;
	struct mail cut_mail;
	struct mail drained_mail;
	bool stopping; // accepts only what waits, then nothing
	bool accepting;
	bool cut;
	bool told_drained;
	bool ending; // handles are being closed: mail that comes now opens nothing
	struct timer *drain_timer;
	char scratch[64 << 10]; // ciphertext and bytes to discard
};

// A line in the log; `address` may be NULL.
void ms_server_warn(const struct http_server *server, const char *message, const char *address, const char *reason);
void ms_net_loop_check_drained(struct net_loop *nl);
void ms_ws_loop_free(struct ws_loop *wl); // ws.c; all are over. Accepts NULL

// --- Connections -------------------------------------------------------------------------------------

enum conn_phase {
	CONN_HANDSHAKE, // TLS
	CONN_IDLE,      // no byte of the next request
	CONN_HEAD,
	CONN_HANDLING, // the exchange is open: its body may be read, its answer may have begun
	CONN_WRITING,  // the answer waits for the socket
	CONN_H2,       // speaks HTTP/2, with any number of exchanges (h2.c)
	CONN_LINGER,   // our side is shut; reads until the client has closed too
	CONN_CLOSED,
	CONN_PHASES
};

struct conn {
	union {
		uv_handle_t handle;
		uv_stream_t stream;
		uv_tcp_t tcp;
		uv_pipe_t pipe;
	} uv;
	struct net_loop *nl;
	struct list_node node;        // in nl->conns
	struct list_node unsent_node; // in nl->unsent
	struct timeout timeout;
	struct wire *wire;  // NULL while idle
	struct work *work;  // HTTP/1: the present one; NULL while idle
	struct h2_conn *h2; // NULL: HTTP/1
	struct tls *tls;
	struct conn *next_free;
	uint64_t lingered;     // bytes discarded
	size_t write_progress; // size of the write queue when the write timeout began
	unsigned works;        // taken and not given back
	enum conn_phase phase;
	bool has_tls;       // accepted by a TLS listener
	bool reading;       // uv_read_start is in force
	bool eof;           // the client will send nothing more
	bool close_after;   // after the present answer
	bool linger;        // there may be unread input: closing at once would reset the answer away
	bool writing;       // write_req is under way
	bool advancing;     // ms_conn_advance() is on the stack
	bool unsent;        // in nl->unsent
	bool handle_closed; // kept for its exchanges only
	bool rejected;      // beyond the limit of connections
	bool fed;           // TLS: a first byte came
	bool used;          // it has served a request: HTTP/1 for good
	bool last_out;      // nothing is written any more: say good-bye once all is sent
	bool said_goodbye;  // TLS close_notify, or the shut side of a tunnel
	char peer[PEER_BYTES];
	uv_write_t write_req;
};

enum h1_framing {
	H1_COMPLETE, // no body, or all of it was taken
	H1_LENGTH,
	H1_CHUNKED,
	H1_TUNNEL, // as it comes
};

// The request that HTTP/1.1 is reading.
struct h1 {
	struct http1_parser parser;
	size_t head_bytes; // once parsed
	enum h1_framing framing;
	uint64_t left;    // H1_LENGTH: not yet taken from the input
	bool direct;      // read straight into the work's intake
	bool wanted;      // the body was asked for before
	bool chunked_out; // the answer is sent in chunks
	struct chunked chunked;
	struct buf trailers; // lines of the request's
};

// The buffers of a connection in use; idle ones have none. Kept by the loop and reused. Input and output are any transport's; HTTP/1 keeps
// the head of its request in the input until it is answered.
struct wire {
	struct wire *next_free;
	// Input: [in_request, in_pos) belongs to the present request, [in_pos, in_end) is unread.
	char *in;
	size_t in_cap;
	size_t in_request;
	size_t in_pos;
	size_t in_end;
	int64_t read_ns; // when the newest input was read
	// Output: heads and small bodies gather in `out`; a large body goes out from where it was built.
	struct buf out;
	size_t out_sent;
	struct buf flight;      // what an unfinished uv_write holds on to
	const struct buf *tail; // sent after out; NULL: none
	size_t tail_sent;
	struct h1 h1;
};

MS_MUST_USE struct wire *ms_conn_wire_take(struct net_loop *nl); // NULL when memory is out
void ms_conn_wire_give(struct net_loop *nl, struct wire *wire);
void ms_conn_wire_free(struct wire *wire);

// Takes over `fd`. The process-wide count of connections includes it already.
void ms_conn_open(struct net_loop *nl, int fd, struct listener *l, const struct sockaddr *peer);
void ms_conn_reject(struct net_loop *nl, int fd, struct listener *l, const struct sockaddr *peer); // 503
void ms_conn_enter(struct conn *c, enum conn_phase phase);
void ms_conn_close(struct conn *c);
void ms_conn_shut_down(struct conn *c); // sends our end, then lingers
void ms_conn_reset(struct conn *c);     // so that the client cannot take what it got for whole
void ms_conn_advance(struct conn *c);   // does all that can be done now
void ms_conn_expired(struct timeout *entry, enum timeout_class class, void *arg);
void ms_conn_release(struct conn *c);                          // handle closed and exchange answered
void ms_conn_fail(struct conn *c, const struct errinfo *info); // answers and closes
void ms_conn_free_all(struct net_loop *nl);                    // the handles are closed; unanswered exchanges end here

// --- HTTP/1.1 (h1.c) -----------------------------------------------------------------------------------

extern const struct transport ms_h1_transport;
extern const struct transport ms_h2_transport; // h2.c
// The work of the next request, with its parser. False when memory is out.
MS_MUST_USE bool ms_h1_begin(struct conn *c);
// A wire for a tunnel that gave its own back while it was idle; does nothing when it has one. False when memory is out.
MS_MUST_USE bool ms_h1_rewire(struct conn *c);

// --- Input (input.c) ---------------------------------------------------------------------------------

enum progress {
	PROGRESS_WAIT,  // needs more input
	PROGRESS_DONE,  // or: the body is not wanted at present
	PROGRESS_FAILED // answered with an error, or closed
};
// Where the next bytes of the client go; n == 0: no room now. May take a wire.
struct slice ms_input_room(struct conn *c);
bool ms_input_has_room(const struct conn *c); // the same question, taking nothing
void ms_input_landed(struct conn *c, size_t n);
// Decrypts more input, if there is any: true when bytes landed.
bool ms_input_pull(struct conn *c);
enum progress ms_input_head(struct conn *c); // done: the exchange has begun
enum progress ms_input_body(struct conn *c);
// What is left of the body is in the input whole; `skip` takes it off.
bool ms_input_body_is_here(struct conn *c, bool skip);

// --- Output (output.c) -------------------------------------------------------------------------------

static inline bool ms_output_pending(const struct wire *wire)
{
	return wire->out_sent < wire->out.n || (wire->tail != NULL && wire->tail_sent < wire->tail->n);
}
void ms_output_flush(struct conn *c);       // now, as far as the socket takes it; may close the connection
void ms_output_flush_later(struct conn *c); // at the end of the turn
void ms_output_forget(struct conn *c);
size_t ms_output_waiting(const struct conn *c); // bytes that the socket has not taken; the conn has a wire
void ms_output_end_of_turn(uv_idle_t *idle);

#endif
