// SPDX-License-Identifier: Apache-2.0
// HTTP for the roles: route tables, exchanges, and the server that listens (TCP, TLS, Unix sockets).
//
// Threads: an exchange belongs to one connection and one loop for life. A handler runs on the loop thread
// and must not block. It may answer at once, or later from the same loop (after a pool job came home by
// mailbox). The exchange stays valid until ms_http_send() / ms_http_stream_end() / ms_http_fail() was called for it, even if the
// client has gone meanwhile; answering a client that is gone does nothing.
#ifndef MS_NET_NET_H
#define MS_NET_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "net/fields.h"
#include "net/http1/message.h"
#include "observe/observe.h"
#include "rt/rt.h"

// --- Requests ----------------------------------------------------------------------------------------

// enum http_method, ms_http_method_name() and struct http_header are in net/http1/message.h.

#define MS_HTTP_MAX_PARAMS 8

struct route;

// All slices live until the answer was sent.
struct http_request {
	enum http_method method; // HEAD arrives at GET routes as HTTP_HEAD; the body of the answer is not sent
	struct slice target;     // as received
	struct slice path;       // percent-decoded, dot segments refused
	struct slice query;      // raw, without '?'
	const struct http_header *headers;
	size_t header_count;
	struct slice body; // whole, de-chunked and inflated; empty for streamed uploads
	struct slice params
		[MS_HTTP_MAX_PARAMS]; // values of {names} in the route's pattern, percent-decoded, in order; the others are empty
	struct slice id;            // X-Request-ID: the client's if well-formed (1–128 of [A-Za-z0-9._-]), else made
	struct trace_context trace; // always valid: the client's trace with a new span, or a new trace
	const struct route *route;
	struct slice peer; // "127.0.0.1" or "unix"
	bool tls;
	unsigned version;       // 10, 11 or 20
	struct slice authority; // Host or :authority, with port, as received; empty only for HTTP/1.0 without Host
	struct slice sni;       // server name of the TLS handshake, or empty
	struct slice
		protocol; // what the client wants to upgrade to ("websocket"): Upgrade, or :protocol of an extended CONNECT; or empty
	bool has_body;           // a body follows the head (its length may still turn out to be 0)
	uint64_t content_length; // UINT64_MAX: not told
	int64_t start_mono_ns;   // when the request's first byte was read
};

// Who sent a request, as the guard found out; of the request's arena, or of something that outlives the request.
enum caller_kind {
	CALLER_UNKNOWN, // nobody asked: a public route, or a server without a guard
	CALLER_USER,    // a person, by token or session
	CALLER_KEY,     // a program, by API key
	CALLER_CLIENT,  // a program, by an OAuth client's own token
};
struct caller {
	enum caller_kind kind;
	struct slice id;
	struct slice name;      // for people: the user's, the key's or the client's
	const void *guard_data; // the guard's own
};

struct exchange {
	struct http_request req;
	struct caller caller;
	void *front_data;    // of the server's front (see below); NULL: it does not care about this exchange
	struct arena *arena; // of this request: reset after the answer was sent
	struct loop *loop;
	struct buf *body; // the answer's body is built here; kept by the connection from request to request
	void *role_data;  // free for the handler's use between its callbacks
};

// First header of that name, without case; p == NULL when absent.
struct slice ms_http_header(const struct http_request *req, const char *name);
// Value of a query parameter, percent-decoded into the arena ('+' is a space); false when absent or badly encoded.
bool ms_http_query(struct exchange *x, const char *name, struct slice *ret_value);

// --- Answers -----------------------------------------------------------------------------------------
// Every answer carries X-Request-ID and Date. The server adds Content-Length, Connection, Vary and
// Content-Encoding itself (gzip or zstd by Accept-Encoding when the type compresses and the body is at
// least 1 KiB) and HEAD semantics.

// Adds a header; name is static text, the value is copied. CR, LF or NUL in the value is a bug of ours.
void ms_http_set_header(struct exchange *x, const char *name, struct slice value);
// Sends x->body. content_type is static text or NULL for no body.
void ms_http_send(struct exchange *x, int status, const char *content_type);
// x->body as application/json.
void ms_http_send_json(struct exchange *x, int status);
// The error document of design section 6; `info` gives code, message and details (field, row, line, offset where set).
void ms_http_fail(struct exchange *x, const struct errinfo *info);
void ms_http_fail_code(struct exchange *x, enum ms_err code, const char *fmt, ...) MS_PRINTF(3, 4);
// The Open Inference Protocol wants the same document; it has an "error" string, as ours does.

// A body of unknown length, sent in chunks. After start: write any number of times, then end. on_drain is
// called on the loop when less than 64 KiB waits to be sent; write returns how many bytes wait. When the
// client is gone ms_http_gone() is true and writes are dropped; end must still be called.
typedef void http_drain_fn(struct exchange *x, void *arg);
void ms_http_stream_start(struct exchange *x, int status, const char *content_type, http_drain_fn *on_drain, void *arg);
size_t ms_http_stream_write(struct exchange *x, struct slice bytes);
void ms_http_stream_end(struct exchange *x);
bool ms_http_gone(const struct exchange *x);
// Told once when the client has gone before the exchange was answered, also while nothing is read or written. May answer. NULL: nobody.
void ms_http_on_gone(struct exchange *x, http_drain_fn *on_gone, void *arg);

// The same with everything under the handler's control; what proxies need. The server adds Date, X-Request-ID and the framing, and
// drops hop-by-hop headers; no compression. 1xx: sent at once, another head must follow.
struct http_answer {
	int status; // 100 to 599, not 101 (see tunnels)
	const struct http_header *headers;
	size_t header_count;
	// UINT64_MAX: not known. With a known length a body that is longer or shorter cuts the connection; with 0 nothing follows, no trailers either.
	uint64_t content_length;
	bool no_server_headers; // not our Server, Date, X-Content-Type-Options: the answer has its own
};
void ms_http_answer_start(struct exchange *x, const struct http_answer *answer, http_drain_fn *on_drain, void *arg);
// Then ms_http_stream_write(), and an end: with trailers where the protocol and the client can have them (HTTP/2; HTTP/1.1 with
// "TE: trailers"), else they are dropped. An answer of length 0 has none.
void ms_http_stream_end_with(struct exchange *x, const struct http_header *trailers, size_t count);
// The answer cannot be finished: the connection (HTTP/1) or stream (HTTP/2) is cut, so that nobody takes it for whole.
void ms_http_stream_cut(struct exchange *x);

// --- Bodies in pieces --------------------------------------------------------------------------------
// For routes with ROUTE_STREAM and for fronts: the handler is called when the head is there, x->req.body is empty. It takes the body
// by a reader, once: the callbacks come on the loop, possibly from within ms_http_body_read. The transport's limits and
// timeouts hold (a body over `max_bytes`: cut with MS_ERR_HTTP_BODY_TOO_LARGE). An exchange that was answered without
// reading its body is fine; over HTTP/1 the connection closes then if the rest is not here yet, also when the answer is started before the body
// is read.

struct http_body_reader {
	void (*data)(struct exchange *x, struct slice bytes,
		     void *arg); // valid during the call; de-chunked, not inflated
	// The body is complete. Trailers of HTTP/2 and of chunked bodies, or none.
	void (*end)(struct exchange *x, const struct http_header *trailers, size_t count, void *arg);
	// Nothing more comes: the client is gone, was too slow, sent bad framing, too much. The exchange must still be answered.
	void (*cut)(struct exchange *x, const struct errinfo *info, void *arg);
	uint64_t max_bytes; // UINT64_MAX: no limit but the client's patience
};
void ms_http_body_read(struct exchange *x, const struct http_body_reader *reader, void *arg);
void ms_http_body_pause(
	struct exchange *x); // back-pressure: after at most what is buffered already, no data until resume
void ms_http_body_resume(struct exchange *x);
// The whole body as for ordinary routes (inflated, limits.body_bytes or max_bytes when that is not 0): x->req.body is set when `done`
// is called, at once or later; it may be read by a reader or collected again afterwards. On failure `done` is not called: `gone` is (may be
// NULL; must not answer), then the exchange is answered. The request's Content-Encoding stays among the headers although it was undone.
typedef void http_collected_fn(struct exchange *x, void *arg);
void ms_http_body_collect(struct exchange *x, size_t max_bytes, http_collected_fn *done, http_collected_fn *gone,
			  void *arg);

// --- Tunnels -----------------------------------------------------------------------------------------
// After "101 Switching Protocols", or 200 to an extended CONNECT of HTTP/2 (RFC 8441): bytes both ways until both have ended. What
// comes arrives through the body reader, what goes is written with ms_http_stream_write and ended with ms_http_stream_end (half-close).
// The exchange stays valid until that was called and the reader was told end or cut. A draining server tells `end`.
// Legal when req.protocol is not empty. `headers` as in http_answer (Upgrade and Connection are the server's business).
void ms_http_tunnel_start(struct exchange *x, const struct http_header *headers, size_t count,
			  const struct http_body_reader *reader, http_drain_fn *on_drain, void *arg);

// --- Routes ------------------------------------------------------------------------------------------

typedef void http_handler_fn(struct exchange *x, void *role);

// How a parameter or body is described in the OpenAPI document, which is made from these tables.
struct route_param {
	const char *name;
	const char *type; // "string", "integer", "boolean"
	const char *description;
	bool required;
};

enum route_flags {
	ROUTE_HIDDEN = 1 << 0,         // not in the OpenAPI document
	ROUTE_UPLOAD = 1 << 1,         // body limit is limits.upload_bytes instead of limits.body_bytes
	ROUTE_WHILE_DRAINING = 1 << 2, // answered while draining without closing (health)
	ROUTE_QUIET = 1 << 3,          // never in the access log at info (health, metrics)
	ROUTE_PUBLIC = 1 << 4,         // the guard is not asked; whoever reaches the server may call it
	ROUTE_STREAM = 1 << 5,         // the handler is called before the body, and reads it by ms_http_body_read
};

struct route {
	enum http_method method;
	const char *pattern; // "/api/v1/models/{model}"; a name matches one segment, "{name...}" at the end the rest
	http_handler_fn *handle;
	unsigned flags;
	const char *permission; // what the caller must hold: "models.write"; NULL only with ROUTE_PUBLIC
	// Which path parameter, from 1, names the object of the permission. 0: none does; then a caller who holds the permission for
	// any object gets in, and the handler asks ms_http_may() once it knows the object.
	unsigned object;
	const char *operation_id; // "predict"
	const char *tag;          // group in the document
	const char *summary;      // one line
	const char *description;  // Markdown or NULL
	const struct route_param
		*query; // NULL-name terminated, at most MS_HTTP_MAX_PARAMS; others are 400. NULL: not looked at
	const char *request_type;    // content type of the body, or NULL
	const char *request_schema;  // JSON Schema text, or NULL
	const char *request_example; // JSON text, or NULL
	const char *response_type;   // NULL = application/json
	const char *response_schema; // JSON Schema text, or NULL
};

struct route_set {
	const struct route *routes;
	size_t count;
	void *role; // handed to the handlers
};

// --- Guard -------------------------------------------------------------------------------------------

// Decides who gets in. Called on the loop thread, for every route that is not public; must not block, and should not allocate.
struct http_guard {
	// Before the body is read: fills x->caller and checks the route's permission (route->permission; `object` is the path's, or
	// p == NULL when the path names none). Anything but MS_OK refuses the request with `info`; it may set headers (WWW-Authenticate).
	// Asked again, and x->caller filled anew, when a body was waited for.
	enum ms_err (*admit)(struct exchange *x, struct slice object, struct errinfo *info, void *arg);
	// Whether the caller, who was admitted, holds the permission for the object.
	bool (*may)(const struct exchange *x, const char *permission, struct slice object, void *arg);
	// Told when a handler refuses because `may` said no; any thread. May be NULL.
	void (*refused)(const struct exchange *x, const char *permission, struct slice object, void *arg);
	void *arg;
};

// Whether the caller holds the permission for this object; true on a server without a guard. Any thread, for lists that show what the
// caller may see.
bool ms_http_may(const struct exchange *x, const char *permission, struct slice object);
// MS_ERR_FORBIDDEN, in words, unless the caller holds the route's permission for this object. Any thread.
MS_MUST_USE enum ms_err ms_http_allow(const struct exchange *x, struct slice object, struct errinfo *info);
// Asks the guard again, for handlers that act long after they were called: what let the caller in may be over. Fills x->caller anew;
// false: answered, return. Loop thread.
MS_MUST_USE bool ms_http_admit_again(struct exchange *x);
// Answers the request with 403 unless the caller holds the route's permission for this object; false: answered, return.
MS_MUST_USE bool ms_http_require(struct exchange *x, struct slice object);

// --- Front -------------------------------------------------------------------------------------------
// Stands before the routes: the gateway. Called on the loop thread, must not block.

enum front_verdict {
	FRONT_PASS, // not its business: the routes go on (the fast path: nothing else is done)
	FRONT_TAKEN // it has answered, or will, or will hand the exchange to the routes by ms_http_serve_local()
};
struct http_outcome {
	int status;          // as sent; 0: the client went before there was one
	uint64_t body_bytes; // of the answer
	int64_t duration_ns; // from the request's first byte to the last byte handed to the socket
};
struct http_local_answer {
	int status;
	const char *content_type; // of the request's arena, or static; NULL: no body
	bool whole;               // x->body is the body; else it follows in pieces
};
struct http_front {
	// The head is there; neither route nor guard was asked, no body was read. req.path is still percent-encoded here, req.route NULL.
	enum front_verdict (*take)(struct exchange *x, void *arg);
	// For exchanges with front_data: before the head of an answer of the server's own routes is written (not for
	// ms_http_answer_start). May change what stands in `answer`, add headers with ms_http_set_header, see and take away those that the
	// handler has set, and, when the answer is whole, change x->body in place.
	void (*answer)(struct exchange *x, struct http_local_answer *answer, void *arg);
	// For exchanges with front_data: it is over, whoever answered. The last use of front_data.
	void (*over)(struct exchange *x, const struct http_outcome *outcome, void *arg);
	void *arg;
};
// Hands an exchange that the front has taken to the server's own routes: guard, body, handler, as if no front were there. The front may
// have changed req.method, path, query, headers before (of the request's arena).
void ms_http_serve_local(struct exchange *x);
// For fronts, while they answer: the headers that the handler has set, copied into the request's arena; false: no memory. And none of them
// any more.
MS_MUST_USE bool ms_http_set_headers(struct exchange *x, struct http_header **ret_headers, size_t *ret_count);
void ms_http_clear_headers(struct exchange *x);
// For fronts, while they take: whether the server itself has a route for this path, of whatever method.
bool ms_http_serves(struct exchange *x);

// --- Server ------------------------------------------------------------------------------------------

struct http_limits {
	size_t uri_bytes;      // 414; default 8 KiB
	size_t header_bytes;   // 431, all headers together; default 32 KiB
	unsigned header_count; // 431; default 100
	size_t body_bytes;     // 413; default 16 MiB
	size_t upload_bytes;   // 413 for ROUTE_UPLOAD; default 1 GiB
	size_t inflated_ratio; // a compressed body may inflate to at most this multiple (and the body limit); default 100
	unsigned connections;       // per process; further ones get 503 and are closed; default 20000
	unsigned header_timeout_ms; // from the first byte to the end of the headers: 408; default 10000
	unsigned body_timeout_ms;   // without a new byte of the body: 408; default 30000
	unsigned idle_timeout_ms;   // between requests: closed; default 75000
	unsigned write_timeout_ms;  // without progress of a pending answer: closed; default 30000
	unsigned drain_timeout_ms;  // SIGTERM: then the rest is cut; default 30000
	unsigned tunnel_idle_ms;    // a tunnel without a byte either way: closed; default 300000
	// HTTP/2. Resets, empty frames, SETTINGS and PING of a client are counted against `h2_glitches` a minute; over it: GOAWAY.
	unsigned h2_streams;  // at once per connection; default 100
	unsigned h2_glitches; // default 500
};
extern const struct http_limits MS_HTTP_DEFAULT_LIMITS;

struct http_tls_options {
	const char *cert_file;   // PEM chain
	const char *key_file;    // PEM key
	const char *min_version; // "1.2" or "1.3"
};

// "127.0.0.1:8080", "[::1]:8080", ":8080" (all addresses, both families), "unix:/run/mainstay.sock"; "https://…" prefix for TLS.
struct http_listen {
	const char *address;
	const struct http_tls_options *tls; // NULL: plain
};

struct http_server;
struct http_server_options {
	struct rt *rt;
	struct log *log;
	struct metrics *metrics;
	const struct route_set *route_sets;
	size_t route_set_count;
	const struct http_listen *listens;
	size_t listen_count;
	struct http_limits limits;
	enum { ACCESS_LOG_ERRORS, ACCESS_LOG_ALL, ACCESS_LOG_OFF } access_log; // errors: status 500 and above
	const char *server_header;                                             // "Server" value, or NULL for none
	const struct http_guard *guard; // NULL: everyone may do everything. Outlives the server
	const struct http_front *front; // NULL: none. Outlives the server
	bool h2;                        // HTTP/2 by ALPN, and as cleartext with prior knowledge; else HTTP/1 alone
};

// Binds every address on every loop (SO_REUSEPORT), checks the route tables. Two routes that match the
// same requests are a bug of ours and an assertion.
MS_MUST_USE enum ms_err ms_http_server_new(const struct http_server_options *options, struct errinfo *info,
					   struct http_server **ret_server);
// Starts accepting; before ms_rt_run or on loop 0.
void ms_http_server_start(struct http_server *server);
// The port bound for listen `index` (useful with port 0), or 0 for Unix sockets.
unsigned ms_http_server_port(const struct http_server *server, size_t index);
// From loop 0. Stops accepting once `grace_ms` has passed (load balancers see readiness go false meanwhile),
// answers what was received, closes idle connections, then calls done on loop 0.
typedef void http_drained_fn(void *arg);
void ms_http_server_drain(struct http_server *server, unsigned grace_ms, http_drained_fn *done, void *arg);
// From loop 0, while draining: ends the grace and cuts what is open now. Again is fine.
void ms_http_server_cut(struct http_server *server);
bool ms_http_server_draining(const struct http_server *server); // any thread
// Reads certificate and key again; on failure the old ones stay. From loop 0; new connections use the new ones.
MS_MUST_USE enum ms_err ms_http_server_reload_tls(struct http_server *server, struct errinfo *info);
// After ms_rt_run returned.
void ms_http_server_free(struct http_server *server);
// All routes, for the OpenAPI document; the order of the tables.
const struct route *ms_http_server_route(const struct http_server *server, size_t index); // NULL past the end

#include "net/client.h"    // requests to other servers
#include "net/probe.h"     // whether somebody listens
#include "net/websocket.h" // WebSocket on tunnels

#endif
