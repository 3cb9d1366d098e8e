// SPDX-License-Identifier: Apache-2.0
// A connection to an upstream, once its socket is there: reading, sending, TLS, deadlines, the end.
#include "net/client_internal.h"

#include <stdlib.h>
#include <sys/socket.h>

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

// --- Life --------------------------------------------------------------------------------------------

struct upstream *ms_upstream_new(struct client_pool *pool)
{
	struct client_loop *cl = pool->cl;
	struct upstream *conn = cl->free_conns;
	if (conn != NULL) {
		cl->free_conns = conn->next_free;
		cl->free_conn_count--;
		*conn = (struct upstream){.out = conn->out, .flight = conn->flight, .in = conn->in};
	} else {
		conn = calloc(1, sizeof(*conn));
		if (conn == NULL)
			return NULL;
		ms_buf_init(&conn->out, CLIENT_OUT_MAX);
		ms_buf_init(&conn->flight, CLIENT_OUT_MAX);
		ms_buf_init(&conn->in, cl->client->options.header_bytes + 4 * sizeof(cl->scratch));
	}
	conn->cl = cl;
	conn->pool = pool;
	ms_list_init(&conn->streams);
	ms_list_append(&cl->conns, &conn->node);
	pool->connections++;
	ms_pool_use(pool);
	return conn;
}

struct upstream *ms_upstream_take_idle(struct client_pool *pool)
{
	struct client_loop *cl = pool->cl;
	if (ms_list_empty(&pool->idle))
		return NULL;
	// The one used last: the others grow old and close.
	struct upstream *conn = MS_CONTAINER_OF(pool->idle.head.prev, struct upstream, pool_node);
	ms_list_remove(&pool->idle, &conn->pool_node);
	ms_gauge_add(cl->client->idle, cl->index, -1);
	conn->phase = UPSTREAM_OPEN;
	conn->kept = true;
	return conn;
}

static void trim(struct buf *b, size_t max)
{
	size_t limit = b->max;
	ms_buf_clear(b);
	if (b->cap > max) {
		ms_buf_fini(b);
		ms_buf_init(b, limit);
	}
}

static void release(struct upstream *conn)
{
	struct client_loop *cl = conn->cl;
	ms_list_remove(&cl->conns, &conn->node);
	ms_tls_free(conn->tls);
	conn->tls = NULL;
	ms_h2_free(conn->h2);
	conn->h2 = NULL;
	free(conn->problem);
	conn->problem = NULL;
	ms_pool_unuse(conn->pool);
	trim(&conn->out, CLIENT_KEEP_BYTES);
	trim(&conn->flight, CLIENT_KEEP_BYTES);
	trim(&conn->in, CLIENT_KEEP_BYTES);
	if (cl->free_conn_count < CLIENT_FREE_MAX) {
		conn->next_free = cl->free_conns;
		cl->free_conns = conn;
		cl->free_conn_count++;
		return;
	}
	ms_buf_fini(&conn->out);
	ms_buf_fini(&conn->flight);
	ms_buf_fini(&conn->in);
	free(conn);
}

void ms_upstream_closed(uv_handle_t *handle)
{
	struct upstream *conn = MS_CONTAINER_OF(handle, struct upstream, uv.handle);
	conn->cl->open_handles--;
	conn->handle_open = false;
	if (conn->phase == UPSTREAM_CLOSED)
		release(conn);
	else
		ms_upstream_attempt_over(conn);
}

void ms_upstream_close(struct upstream *conn)
{
	struct client_loop *cl = conn->cl;
	struct client_pool *pool = conn->pool;
	if (conn->phase == UPSTREAM_CLOSED)
		return;
	if (conn->phase == UPSTREAM_RESOLVING && conn->pool_node.next != NULL)
		ms_list_remove(&pool->waiters, &conn->pool_node);
	if (conn->phase == UPSTREAM_IDLE)
		ms_gauge_add(cl->client->idle, cl->index, -1);
	if (conn->phase == UPSTREAM_IDLE && conn->h2 == NULL)
		ms_list_remove(&pool->idle, &conn->pool_node);
	if (conn->listed)
		ms_list_remove(&pool->h2s, &conn->pool_node);
	if (conn->later)
		ms_list_remove(&cl->due_conns, &conn->later_node);
	pool->pending -= conn->for_waiting;
	conn->listed = conn->later = conn->for_waiting = false;
	if (conn->connected)
		ms_gauge_add(cl->client->open, cl->index, -1);
	conn->phase = UPSTREAM_CLOSED;
	conn->call = NULL;
	pool->connections--;
	ms_deadline_remove(&cl->deadlines, &conn->deadline);
	if (!conn->handle_open)
		release(conn);
	else if (!uv_is_closing(&conn->uv.handle))
		uv_close(&conn->uv.handle, ms_upstream_closed);
}

void ms_upstream_fail(struct upstream *conn, enum http_call_failure failure, const struct errinfo *info)
{
	struct http_call *call = conn->call;
	struct client_pool *pool = conn->pool;
	bool for_waiting = conn->for_waiting, h2 = conn->h2 != NULL;
	ms_pool_use(pool); // beyond the connection
	ms_upstream_close(conn);
	if (for_waiting)
		ms_client_waiting_failed(pool, failure, info);
	if (h2) {
		ms_client_h2_fail_streams(conn, failure, info);
		ms_client_serve_waiting(pool);
	}
	ms_pool_unuse(pool);
	if (call == NULL)
		return;
	call->conn = NULL;
	ms_call_fail(call, failure, info);
}

static void fail_plainly(struct upstream *conn, enum http_call_failure failure, enum ms_err code, const char *what)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, code, "%s", what);
	ms_upstream_fail(conn, failure, &info);
}

// Whether bytes of the TLS session wait that nobody asked for.
static bool tls_has_more(struct upstream *conn)
{
	char byte;
	size_t n;
	return conn->tls != NULL && ms_tls_read(conn->tls, &byte, 1, &n) != TLS_MORE;
}

void ms_upstream_keep_or_close(struct upstream *conn, bool reusable)
{
	struct client_pool *pool = conn->pool;
	struct client_loop *cl = conn->cl;
	if (!reusable || conn->eof || conn->write_broken || conn->writing || cl->stopped || tls_has_more(conn)) {
		ms_upstream_close(conn);
		return;
	}
	conn->phase = UPSTREAM_IDLE;
	trim(&conn->in, 0);
	trim(&conn->out, CLIENT_KEEP_BYTES);
	trim(&conn->flight, CLIENT_KEEP_BYTES);
	ms_list_append(&pool->idle, &conn->pool_node);
	ms_gauge_add(cl->client->idle, cl->index, 1);
	if (pool->idle.count > cl->client->options.idle_connections)
		ms_upstream_close(MS_CONTAINER_OF(ms_list_first(&pool->idle), struct upstream, pool_node));
	if (conn->phase == UPSTREAM_IDLE)
		ms_upstream_settle(conn, true);
}

// --- Output ------------------------------------------------------------------------------------------

static struct slice out_rest(const struct upstream *conn)
{
	return ms_slice(conn->out.p + conn->out_sent, conn->out.n - conn->out_sent);
}

static uv_buf_t uv_buf_of(struct slice s)
{
	return uv_buf_init((char *)(uintptr_t)s.p, (unsigned)s.n); // libuv does not write to it
}

size_t ms_upstream_waiting(const struct upstream *conn)
{
	size_t flying = conn->writing ? uv_stream_get_write_queue_size(&conn->uv.stream) : 0;
	return conn->out.n - conn->out_sent + flying;
}

// The peer takes no more. It may have answered before, so what it sent is still read.
static void write_failed(struct upstream *conn, int error)
{
	conn->write_broken = true;
	ms_buf_clear(&conn->out);
	conn->out_sent = 0;
	bool gone = (error == UV_EPIPE || error == UV_ECONNRESET) && !conn->eof; // then reading comes to its end too
	if (conn->phase == UPSTREAM_HANDSHAKE)
		fail_plainly(conn, CALL_NO_CONNECTION, MS_ERR_TLS, "the upstream closed the connection during TLS");
	else if (!gone)
		fail_plainly(conn, CALL_BROKEN, MS_ERR_HTTP_FRAMING, "a request to the upstream cannot be sent");
}

static void on_written(uv_write_t *req, int status)
{
	struct upstream *conn = MS_CONTAINER_OF(req, struct upstream, write_req);
	conn->writing = false;
	if (conn->phase == UPSTREAM_CLOSED)
		return;
	trim(&conn->flight, 4 * CLIENT_KEEP_BYTES);
	if (status < 0)
		write_failed(conn, status);
	else
		ms_upstream_flush(conn);
	if (conn->phase == UPSTREAM_CLOSED)
		return;
	ms_upstream_settle(conn, true);
	struct http_call *call = conn->call;
	if (call != NULL && call->peer_ended)
		ms_call_later(call); // a tunnel that waits for its last bytes to go
	else if (call != NULL)
		(void)ms_call_wake(call);
}

// Hands `flight` to libuv, from that byte on.
static void start_write(struct upstream *conn, size_t from)
{
	uv_buf_t buf = uv_buf_of(ms_slice(conn->flight.p + from, conn->flight.n - from));
	conn->writing = true;
	if (conn->call != NULL && conn->phase == UPSTREAM_OPEN)
		conn->call->sent = true; // from now on libuv sends when it can
	int rc = uv_write(&conn->write_req, &conn->uv.stream, &buf, 1, on_written);
	if (rc != 0) {
		conn->writing = false;
		write_failed(conn, rc);
		return;
	}
	conn->write_progress = uv_stream_get_write_queue_size(&conn->uv.stream);
}

// False when the connection takes nothing any more.
static bool try_write(struct upstream *conn, struct slice bytes, size_t *ret_n)
{
	uv_buf_t buf = uv_buf_of(bytes);
	int n = uv_try_write(&conn->uv.stream, &buf, 1);
	if (n < 0 && n != UV_EAGAIN) {
		write_failed(conn, n);
		return false;
	}
	*ret_n = n > 0 ? (size_t)n : 0;
	if (n > 0 && conn->call != NULL && conn->phase == UPSTREAM_OPEN)
		conn->call->sent = true;
	return true;
}

static void flush_plain(struct upstream *conn)
{
	struct slice rest = out_rest(conn);
	size_t n;
	if (rest.n == 0 || !try_write(conn, rest, &n))
		return;
	if (n == rest.n) {
		ms_buf_clear(&conn->out);
		conn->out_sent = 0;
		return;
	}
	struct buf emptied = conn->flight;
	size_t from = conn->out_sent + n;
	conn->flight = conn->out;
	conn->out = emptied;
	conn->out_sent = 0;
	start_write(conn, from);
}

static void encrypt_out(struct upstream *conn)
{
	while (ms_tls_output(conn->tls).n < CLIENT_DRAIN_BYTES) {
		struct slice piece = ms_slice_sub(out_rest(conn), 0, CLIENT_TLS_PIECE);
		if (piece.n == 0 || ms_tls_write(conn->tls, piece) != TLS_OK)
			return;
		conn->out_sent += piece.n;
		if (conn->out_sent == conn->out.n) {
			ms_buf_clear(&conn->out);
			conn->out_sent = 0;
		}
	}
}

static void flush_tls(struct upstream *conn)
{
	for (;;) {
		bool open = conn->phase == UPSTREAM_OPEN || conn->phase == UPSTREAM_IDLE;
		if (open)
			encrypt_out(conn);
		struct slice ciphertext = ms_tls_output(conn->tls);
		size_t n;
		if (ciphertext.n == 0 && open && out_rest(conn).n > 0)
			write_failed(conn, UV_EINVAL); // the session takes no more
		if (ciphertext.n == 0 || !try_write(conn, ciphertext, &n))
			return;
		if (n < ciphertext.n) {
			// The session may reuse its memory while the write is under way.
			ms_buf_append_slice(&conn->flight, ms_slice_sub(ciphertext, n, ciphertext.n));
			ms_tls_output_done(conn->tls);
			if (ms_buf_ok(&conn->flight))
				start_write(conn, 0);
			else
				write_failed(conn, UV_ENOMEM);
			return;
		}
		ms_tls_output_done(conn->tls);
	}
}

// Our side of a tunnel has ended and all is sent.
static void shut_down(struct upstream *conn)
{
	uv_os_fd_t fd;
	conn->shut = true;
	if (uv_fileno(&conn->uv.handle, &fd) != 0 || shutdown(fd, SHUT_WR) != 0)
		write_failed(conn, UV_EPIPE);
}

static void flush_out(struct upstream *conn)
{
	if (conn->tls != NULL)
		flush_tls(conn);
	else
		flush_plain(conn);
}

// Frames are made as the socket takes them.
static void flush_h2(struct upstream *conn)
{
	while (!conn->h2_busy && conn->phase != UPSTREAM_CLOSED && !conn->writing && !conn->write_broken) {
		if (conn->out.n == 0)
			ms_client_h2_output(conn);
		if (conn->phase == UPSTREAM_CLOSED || conn->out.n == 0)
			break;
		flush_out(conn);
	}
	if (!conn->h2_busy && conn->phase != UPSTREAM_CLOSED && conn->tls != NULL && !conn->writing &&
	    !conn->write_broken)
		flush_tls(conn); // what the session has to say for itself
}

void ms_upstream_flush(struct upstream *conn)
{
	bool sends = conn->phase == UPSTREAM_OPEN || conn->phase == UPSTREAM_HANDSHAKE ||
		     (conn->phase == UPSTREAM_IDLE && conn->h2 != NULL);
	if (conn->writing || conn->write_broken || !sends)
		return;
	if (!ms_buf_ok(&conn->out)) {
		fail_plainly(conn, CALL_BROKEN, MS_ERR_NO_MEMORY, "out of memory for a request to an upstream");
		return;
	}
	if (conn->h2 != NULL) {
		flush_h2(conn);
		return;
	}
	flush_out(conn);
	struct http_call *call = conn->call;
	if (call == NULL || call->stage != STAGE_TUNNEL || !call->body_ended || conn->shut || conn->write_broken ||
	    ms_upstream_waiting(conn) > 0)
		return;
	if (conn->tls != NULL) {
		ms_tls_close(conn->tls);
		flush_tls(conn);
	}
	if (conn->phase == UPSTREAM_OPEN && !conn->writing && !conn->write_broken)
		shut_down(conn);
}

// --- Input -------------------------------------------------------------------------------------------

// Gives bytes to the call and keeps what it does not use now. False when the connection has another business afterwards.
static bool take_bytes(struct upstream *conn, struct slice bytes)
{
	struct http_call *call = conn->call;
	bool gathered = conn->in.n > 0;
	if (gathered) {
		ms_buf_append_slice(&conn->in, bytes);
		bytes = ms_buf_slice(&conn->in);
	}
	size_t used = ms_client_read_answer(conn, bytes);
	if (conn->call != call || conn->phase != UPSTREAM_OPEN)
		return false;
	if (gathered)
		ms_buf_consume(&conn->in, used);
	else
		ms_buf_append_slice(&conn->in, ms_slice_sub(bytes, used, SIZE_MAX));
	if (ms_buf_ok(&conn->in))
		return true;
	fail_plainly(conn, CALL_BROKEN, MS_ERR_NO_MEMORY, "out of memory for the answer of an upstream");
	return false;
}

static void tls_failed(struct upstream *conn)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	bool handshake = conn->phase == UPSTREAM_HANDSHAKE;
	(void)ms_tls_client_problem(conn->tls, conn->pool->origin->name, &info);
	struct slice alert = ms_tls_output(conn->tls);
	if (alert.n > 0 && !conn->writing && !conn->write_broken) {
		uv_buf_t buf = uv_buf_of(alert);
		(void)uv_try_write(&conn->uv.stream, &buf, 1); // so that the peer can say why
	}
	ms_upstream_fail(conn, handshake ? CALL_NO_CONNECTION : CALL_BROKEN, &info);
}

static void end_of_input(struct upstream *conn, bool clean)
{
	conn->eof = true;
	if (conn->h2 != NULL)
		fail_plainly(conn, CALL_BROKEN, MS_ERR_HTTP_FRAMING, "the upstream closed the connection");
	else if (conn->call == NULL)
		ms_upstream_close(conn);
	else
		ms_client_end_of_input(conn, clean);
}

// The handshake is done: the request goes out.
static void established(struct upstream *conn)
{
	struct http_call *call = conn->call;
	struct http_origin *origin = conn->pool->origin;
	conn->phase = UPSTREAM_OPEN;
	if (call == NULL) {
		bool h2 = conn->tls != NULL ? ms_tls_chose_h2(conn->tls) : origin->protocol == ORIGIN_H2;
		if (origin->protocol == ORIGIN_H2 && !h2)
			fail_plainly(conn, CALL_NO_CONNECTION, MS_ERR_TLS,
				     "the upstream does not agree to HTTP/2 (ALPN)");
		else if (h2 && !ms_client_h2_open(conn))
			fail_plainly(conn, CALL_NO_CONNECTION, MS_ERR_NO_MEMORY, "out of memory for HTTP/2");
		else
			ms_client_waiting_established(conn);
	} else {
		call->connect_ns = MS_MAX(ms_clock_mono_ns() - call->start_ns, INT64_C(1));
	}
	if (conn->phase != UPSTREAM_CLOSED)
		ms_upstream_flush(conn);
	if (call != NULL && conn->call == call && call->wants_drain)
		ms_call_later(call); // what waited for the connection may be gone at once
}

// Decrypts as long as somebody wants bytes.
static void pull_tls(struct upstream *conn)
{
	struct client_loop *cl = conn->cl;
	for (;;) {
		struct http_call *call = conn->call;
		size_t n = 0;
		if (call != NULL && call->paused)
			return;
		enum tls_status status = ms_tls_read(conn->tls, cl->plain, sizeof(cl->plain), &n);
		if (conn->phase == UPSTREAM_HANDSHAKE && ms_tls_established(conn->tls))
			established(conn);
		call = conn->call;
		if (conn->phase == UPSTREAM_CLOSED)
			return;
		if (status == TLS_FAILED) {
			tls_failed(conn);
			return;
		}
		if (status == TLS_CLOSED) {
			end_of_input(conn, true);
			return;
		}
		if (status == TLS_MORE) {
			ms_upstream_flush(conn); // the handshake, or what the session has to say
			return;
		}
		if (conn->h2 != NULL) {
			ms_client_h2_feed(conn, ms_slice(cl->plain, n));
			if (conn->phase == UPSTREAM_CLOSED)
				return;
			continue;
		}
		if (conn->call == NULL) {
			ms_upstream_close(conn); // bytes that nobody asked for
			return;
		}
		if (!take_bytes(conn, ms_slice(cl->plain, n)) || conn->call != call)
			return;
	}
}

void ms_upstream_pump(struct upstream *conn)
{
	struct http_call *call = conn->call;
	if (conn->phase != UPSTREAM_OPEN || call->paused)
		return;
	if (!take_bytes(conn, MS_SLICE_EMPTY))
		return;
	if (conn->tls != NULL && !call->paused)
		pull_tls(conn);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)suggested;
	struct client_loop *cl = MS_CONTAINER_OF(handle, struct upstream, uv.handle)->cl;
	*buf = uv_buf_init(cl->scratch, sizeof(cl->scratch));
}

static void received(struct upstream *conn, struct slice bytes)
{
	if (conn->tls != NULL) {
		if (ms_tls_feed(conn->tls, bytes))
			pull_tls(conn);
		else
			fail_plainly(conn, CALL_BROKEN, MS_ERR_NO_MEMORY,
				     "out of memory for the answer of an upstream");
	} else if (conn->h2 != NULL) {
		ms_client_h2_feed(conn, bytes);
	} else if (conn->call == NULL) {
		ms_upstream_close(conn); // bytes that nobody asked for
	} else {
		(void)take_bytes(conn, bytes);
	}
}

static void read_failed(struct upstream *conn, int error)
{
	struct http_call *call = conn->call;
	bool stale = conn->kept && call != NULL && !call->answered;
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_HTTP_FRAMING, "the connection to the upstream broke: %s", uv_strerror(error));
	ms_upstream_fail(conn,
			 conn->phase == UPSTREAM_HANDSHAKE ? CALL_NO_CONNECTION
			 : stale                           ? CALL_STALE
							   : CALL_BROKEN,
			 &info);
}

// libuv reports a reset that came right behind data as an end in good order. Nobody may take a cut body for a whole one.
static int real_error(const struct upstream *conn)
{
	int error = 0;
	socklen_t n = sizeof(error);
	uv_os_fd_t fd;
	if (uv_fileno(&conn->uv.handle, &fd) != 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0)
		return UV_ECONNRESET;
	return -error; // libuv's codes are those of the system
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	struct upstream *conn = MS_CONTAINER_OF(stream, struct upstream, uv.stream);
	if (n == 0)
		return;
	if (n == UV_EOF) {
		int error = real_error(conn);
		n = error != 0 ? error : n;
	}
	if (n == UV_EOF) {
		conn->reading = false; // libuv stopped by itself
		if (conn->phase == UPSTREAM_HANDSHAKE)
			tls_failed(conn);
		else
			end_of_input(conn, conn->tls == NULL); // with TLS an end is said in the session
	} else if (n < 0) {
		read_failed(conn, (int)n);
	} else {
		received(conn, ms_slice(conn->cl->scratch, (size_t)n));
	}
	if (conn->phase != UPSTREAM_CLOSED)
		ms_upstream_settle(conn, true);
}

void ms_upstream_opened(struct upstream *conn)
{
	struct client_loop *cl = conn->cl;
	struct http_origin *origin = conn->pool->origin;
	conn->connected = true;
	ms_gauge_add(cl->client->open, cl->index, 1);
	ms_counter_add(cl->client->connects, cl->index, 1);
	(void)uv_tcp_nodelay(&conn->uv.tcp, 1);
	if (!origin->tls) {
		established(conn);
	} else {
		conn->phase = UPSTREAM_HANDSHAKE;
		conn->tls = ms_tls_client_new(origin->context, origin->name, conn->h1_only, &conn->pool->resume);
		if (conn->tls == NULL) {
			fail_plainly(conn, CALL_NO_CONNECTION, MS_ERR_NO_MEMORY,
				     "out of memory for TLS with an upstream");
			return;
		}
		pull_tls(conn); // says hello
	}
	if (conn->phase != UPSTREAM_CLOSED)
		ms_upstream_settle(conn, true);
}

// --- Deadlines ---------------------------------------------------------------------------------------

static bool wants_reading(const struct upstream *conn)
{
	if (conn->eof)
		return false;
	if (conn->h2 != NULL)
		return !conn->writing; // a peer that asks and does not read is held back
	return conn->phase == UPSTREAM_IDLE || conn->phase == UPSTREAM_HANDSHAKE ||
	       (conn->phase == UPSTREAM_OPEN && !conn->call->paused);
}

static enum upstream_wait what_for(const struct upstream *conn)
{
	const struct http_call *call = conn->call;
	if (conn->phase == UPSTREAM_IDLE)
		return WAIT_IDLE;
	if (conn->phase != UPSTREAM_OPEN)
		return WAIT_CONNECT;
	if (conn->h2 != NULL)
		return WAIT_NOTHING; // each call has its own
	if (conn->writing)
		return WAIT_SEND;
	// A tunnel may be silent; a caller that has not sent all, or does not read, is not the upstream's fault.
	return call->stage != STAGE_TUNNEL && call->body_ended && !call->paused ? WAIT_READ : WAIT_NOTHING;
}

// Streams come and go: the connection is idle while it has none.
static void note_idle(struct upstream *conn)
{
	struct client_loop *cl = conn->cl;
	bool idle = ms_list_empty(&conn->streams);
	if (idle == (conn->phase == UPSTREAM_IDLE))
		return;
	conn->phase = idle ? UPSTREAM_IDLE : UPSTREAM_OPEN;
	ms_gauge_add(cl->client->idle, cl->index, idle ? 1 : -1);
}

void ms_upstream_settle(struct upstream *conn, bool progress)
{
	struct client_loop *cl = conn->cl;
	if (conn->h2 != NULL)
		note_idle(conn);
	bool want = wants_reading(conn);
	if (want != conn->reading) {
		conn->reading = want;
		if (!want)
			uv_read_stop(&conn->uv.stream);
		else if (uv_read_start(&conn->uv.stream, on_alloc, on_read) != 0) {
			read_failed(conn, UV_ENOTCONN);
			return;
		}
	}
	enum upstream_wait wait = what_for(conn);
	if (wait == WAIT_CONNECT || (wait == conn->wait && !progress))
		return; // connecting has its own
	conn->wait = wait;
	unsigned ms = wait == WAIT_IDLE   ? cl->client->options.idle_timeout_ms
		      : wait == WAIT_SEND ? conn->call->send_ms
		      : wait == WAIT_READ ? conn->call->read_ms
					  : 0;
	ms_deadline_set(&cl->deadlines, &conn->deadline, ms);
}

// Bytes may have arrived in this very turn.
static bool input_waits(const struct upstream *conn)
{
	char byte;
	uv_os_fd_t fd;
	return uv_fileno(&conn->uv.handle, &fd) == 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static void time_out(struct upstream *conn, const char *what, unsigned ms)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_HTTP_TIMEOUT, "the upstream %s within %u ms", what, ms);
	ms_upstream_fail(conn, CALL_TIMED_OUT, &info);
}

void ms_upstream_expired(struct deadline *entry, void *arg)
{
	(void)arg;
	struct upstream *conn = MS_CONTAINER_OF(entry, struct upstream, deadline);
	size_t left;
	switch (conn->wait) {
	case WAIT_CONNECT:
		ms_upstream_connect_late(conn);
		return;
	case WAIT_IDLE:
		if (ms_list_empty(&conn->streams))
			ms_upstream_close(conn);
		else
			ms_upstream_settle(conn, true); // a stream was opened in this very turn
		return;
	case WAIT_READ:
		if (conn->reading && input_waits(conn))
			ms_upstream_settle(conn, true);
		else
			time_out(conn, "sent nothing", conn->call->read_ms);
		return;
	case WAIT_SEND:
		left = uv_stream_get_write_queue_size(&conn->uv.stream);
		if (left >= conn->write_progress) {
			time_out(conn, "took nothing of the request", conn->call->send_ms);
			return;
		}
		conn->write_progress = left;
		ms_upstream_settle(conn, true);
		return;
	case WAIT_NOTHING:
		return;
	}
	MS_UNREACHABLE();
}
