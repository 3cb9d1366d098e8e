// SPDX-License-Identifier: Apache-2.0
// Requests to other servers: HTTP/1.1 and HTTP/2, plain and TLS, with connections that are kept and pooled per loop. Part of the public
// header net/net.h.
//
// Bodies stream both ways with back-pressure and are never gathered. Every message is framed anew: hop-by-hop headers are dropped, what the
// peer says of lengths is checked, and a connection on which anything was odd is not used again. A call is used on its loop alone.
// Whether a failed call may be sent again is the caller's decision; `sent` tells what the peer may have seen.
#ifndef MS_NET_CLIENT_H
#define MS_NET_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "net/http1/message.h"
#include "observe/observe.h"
#include "rt/rt.h"

struct http_client; // of the process: TLS contexts, a pool of connections for each loop
struct http_client_options {
	struct rt *rt;
	struct log *log;
	struct metrics *metrics;   // may be NULL
	unsigned idle_connections; // kept per loop and origin; default 64 when 0
	unsigned idle_timeout_ms;  // of a kept connection; default 60000 when 0
	unsigned max_connections;  // per loop and origin, busy ones included; default 1024 when 0. Beyond: CALL_FULL
	size_t header_bytes;       // of an answer's head; default 64 KiB when 0
	unsigned resolve_ttl_ms;   // how long a name's addresses are believed; default 10000 when 0
	const char *user_agent;    // NULL: none is added
};
MS_MUST_USE enum ms_err ms_http_client_new(const struct http_client_options *options, struct errinfo *info,
					   struct http_client **ret_client);
// While the loops run, on loop 0: what is under way fails (CALL_BROKEN with MS_ERR_DRAINING) and all connections close, on each loop in
// its next turn; further calls are refused with MS_ERR_DRAINING. Blocks nothing.
void ms_http_client_stop(struct http_client *client);
// The loops have ended (and ms_rt_free comes later); all origins were given back. Calls that are left end without a word. Accepts NULL.
void ms_http_client_free(struct http_client *client);

// --- Origins -----------------------------------------------------------------------------------------
// Where calls go: reference counted, any thread. Connections are pooled by the origin's content, so two equal ones share.

enum http_origin_protocol {
	ORIGIN_HTTP1,
	ORIGIN_H2,   // with TLS by ALPN (required), plain with prior knowledge
	ORIGIN_AUTO, // TLS: HTTP/2 when ALPN agrees, else HTTP/1.1, which upgrades always use. Plain: HTTP/1.1
};
struct http_origin_options {
	struct slice host; // name, IPv4, or IPv6 without brackets
	unsigned port;
	enum http_origin_protocol protocol;
	bool tls;
	bool tls_verify;                              // certificate and name
	unsigned tls_verify_depth;                    // 0: OpenSSL's
	struct slice sni;                             // name to ask for and to verify; empty: host
	struct slice ca_pem;                          // authorities; empty: the system's
	struct slice client_cert_pem, client_key_pem; // or empty
};
struct http_origin;
// Checks host and port, reads certificates and keys. The first origin that believes the system's authorities reads those, which takes some
// milliseconds. MS_ERR_INVALID, MS_ERR_TLS (in words), MS_ERR_NO_MEMORY, MS_ERR_LIMIT.
MS_MUST_USE enum ms_err ms_http_origin_new(struct http_client *client, const struct http_origin_options *options,
					   struct errinfo *info, struct http_origin **ret_origin);
// What ms_http_origin_new would say of them, without a client; the system's authorities are not read.
MS_MUST_USE enum ms_err ms_http_origin_check(const struct http_origin_options *options, struct errinfo *info);
struct http_origin *ms_http_origin_ref(struct http_origin *origin);
void ms_http_origin_unref(struct http_origin *origin); // accepts NULL

// --- Calls -------------------------------------------------------------------------------------------

enum http_call_failure {
	CALL_NO_CONNECTION, // not resolved, refused, timed out connecting (code MS_ERR_HTTP_TIMEOUT), TLS failed: the peer saw nothing
	CALL_STALE, // a kept connection was closed before a byte of the answer: the peer probably saw nothing (idempotent: retry)
	CALL_REFUSED,   // HTTP/2 REFUSED_STREAM or GOAWAY below our stream: the peer has not processed it
	CALL_TIMED_OUT, // send or read timeout
	CALL_BROKEN,    // reset, bad framing, cut body, TLS failure later on
	CALL_FULL,      // max_connections of the origin
};
const char *ms_http_call_failure_name(enum http_call_failure failure); // "no_connection", …

struct http_call;
struct http_call_handlers {
	// The head of the answer, without Content-Length, Connection and other headers of the hop. 1xx other than 101 come here too, before
	// the last one. Slices are valid during the call. For a tunnel: status 101 (HTTP/2: 200) and from now on bytes go both ways.
	void (*head)(struct http_call *call, int status, const struct http_header *headers, size_t count,
		     uint64_t content_length,
		     void *arg); // content_length UINT64_MAX: unknown. To HEAD and with 304: as told, nothing follows
	void (*data)(struct http_call *call, struct slice bytes, void *arg);
	// The answer is complete; the call is over.
	void (*end)(struct http_call *call, const struct http_header *trailers, size_t count, void *arg);
	// The call is over, at whatever point. `sent`: a byte of the request may have reached the peer.
	void (*failed)(struct http_call *call, enum http_call_failure failure, bool sent, const struct errinfo *info,
		       void *arg);
	void (*drained)(struct http_call *call, void *arg); // less than 64 KiB of the request's body waits. May be NULL
	// The peer of a tunnel sends no more; we still may, and `end` comes after ms_http_call_write_end. NULL: `end` comes at once.
	void (*peer_ended)(struct http_call *call, void *arg);
};
struct http_call_options {
	struct http_origin *origin;
	struct loop *loop;
	struct slice method;    // "GET"
	struct slice target;    // path and query, percent-encoded
	struct slice authority; // Host
	const struct http_header
		*headers; // Host, hop-by-hop ones and Content-Length are dropped; of TE "trailers" is kept
	size_t header_count;
	bool has_body;
	uint64_t content_length; // UINT64_MAX: not known, sent in chunks or frames. Ignored without has_body
	// Not empty: asks for an upgrade ("websocket"); HTTP/2 by extended CONNECT. Then without a body. Over HTTP/2 Sec-WebSocket-Key is not
	// sent and there is no Sec-WebSocket-Accept: who stands between the two versions makes and checks them.
	struct slice protocol;
	// connect: names, all addresses and TLS together. send, read: without progress. 0: none. They do not count in a tunnel, while we wait
	// for the caller, or in a pause of his.
	unsigned connect_timeout_ms, send_timeout_ms, read_timeout_ms;
	bool new_connection; // not a kept one: for a retry after CALL_STALE
	const struct http_call_handlers *handlers;
	void *arg;
};
// The options' slices are copied as far as needed; `handlers` is not copied. Handlers are never called from within this call, nor from
// within the others below. MS_ERR_NO_MEMORY, MS_ERR_DRAINING; MS_ERR_INVALID: a part that cannot be sent, such as CR or LF in a header.
MS_MUST_USE enum ms_err ms_http_call_start(struct http_client *client, const struct http_call_options *options,
					   struct errinfo *info, struct http_call **ret_call);
// The body of the request; returns how many bytes wait (back-pressure from 64 KiB on: wait for drained). Exactly content_length bytes when
// that was given: more, or an end before, is a bug of the caller. Trailers are sent in chunks and frames only, and checked.
size_t ms_http_call_write(struct http_call *call, struct slice bytes);
void ms_http_call_write_end(struct http_call *call, const struct http_header *trailers, size_t count);
void ms_http_call_pause(
	struct http_call *call); // reading: neither data nor end until resume, from the moment of the call
void ms_http_call_resume(struct http_call *call);
// No handler is called any more. An HTTP/1 connection is closed, an HTTP/2 stream reset. Not after end or failed.
void ms_http_call_cancel(struct http_call *call);
// Where it went: "10.0.0.7:8080", or empty before it is connected; and how long connecting took (0: a kept connection).
struct slice ms_http_call_address(const struct http_call *call);
int64_t ms_http_call_connect_ns(const struct http_call *call);

#endif
