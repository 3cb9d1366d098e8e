// SPDX-License-Identifier: Apache-2.0
// The life of a connection. ms_conn_advance() runs the phases until something must be waited for: input, the
// handler, or the socket taking output. Requests are answered one after the other, so the answers of
// pipelined requests are in order, and what a client may send ahead is bounded by the input buffer.
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "net/h2.h"

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf);
static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf);

// Which phase may follow which; a bit mask per phase. Any may become CLOSED.
static const uint16_t allowed[CONN_PHASES] = {
	[CONN_HANDSHAKE] = 1 << CONN_IDLE | 1 << CONN_HANDLING | 1 << CONN_H2,
	[CONN_IDLE] = 1 << CONN_HEAD | 1 << CONN_HANDLING | 1 << CONN_H2,
	[CONN_HEAD] = 1 << CONN_IDLE | 1 << CONN_HANDLING | 1 << CONN_H2,
	[CONN_HANDLING] = 1 << CONN_WRITING,
	[CONN_WRITING] = 1 << CONN_IDLE | 1 << CONN_LINGER,
	[CONN_H2] = 1 << CONN_LINGER,
	[CONN_LINGER] = 0,
	[CONN_CLOSED] = 0,
};

void ms_conn_enter(struct conn *c, enum conn_phase phase)
{
	MS_ASSERT(phase == c->phase || phase == CONN_CLOSED || (allowed[c->phase] >> phase & 1) != 0);
	c->phase = phase;
}

// --- Open --------------------------------------------------------------------------------------------

static void write_peer(struct conn *c, const struct sockaddr *peer)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	const char *text = NULL;
	if (peer != NULL && peer->sa_family == AF_INET) {
		text = inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)peer)->sin_addr, c->peer,
				 PEER_BYTES);
	} else if (peer != NULL && peer->sa_family == AF_INET6) {
		const uint8_t *bytes = ((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr.s6_addr;
		bool is_v4 = memcmp(bytes, mapped, sizeof(mapped)) == 0;
		text = inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? bytes + sizeof(mapped) : bytes, c->peer,
				 PEER_BYTES);
	}
	if (text == NULL)
		memcpy(c->peer, "unix", sizeof("unix"));
}

static struct conn *conn_take(struct net_loop *nl)
{
	struct conn *c = nl->free_conns;
	if (c == NULL)
		return calloc(1, sizeof(*c));
	nl->free_conns = c->next_free;
	nl->free_conn_count--;
	memset(c, 0, sizeof(*c));
	return c;
}

static void conn_give(struct net_loop *nl, struct conn *c)
{
	if (nl->free_conn_count >= FREE_CONNS_MAX) {
		free(c);
		return;
	}
	c->next_free = nl->free_conns;
	nl->free_conns = c;
	nl->free_conn_count++;
}

static int adopt(struct net_loop *nl, struct conn *c, int fd, bool is_unix)
{
	int rc = is_unix ? uv_pipe_init(nl->uv, &c->uv.pipe, 0) : uv_tcp_init(nl->uv, &c->uv.tcp);
	MS_ASSERT(rc == 0); // neither makes a socket here
	nl->open_handles++;
	rc = is_unix ? uv_pipe_open(&c->uv.pipe, fd) : uv_tcp_open(&c->uv.tcp, fd);
	if (rc != 0)
		close(fd); // not the handle's
	return rc;
}

static struct conn *conn_new(struct net_loop *nl, int fd, struct listener *l, const struct sockaddr *peer)
{
	struct http_server *server = nl->server;
	struct conn *c = conn_take(nl);
	if (c == NULL) {
		close(fd);
		atomic_fetch_sub_explicit(&server->connections, 1, memory_order_relaxed);
		return NULL;
	}
	c->nl = nl;
	c->phase = CONN_IDLE;
	bool is_unix = ms_listen_is_unix(l->point);
	write_peer(c, is_unix ? NULL : peer);
	ms_list_append(&nl->conns, &c->node);
	ms_gauge_add(server->stats.active, nl->index, 1);
	if (adopt(nl, c, fd, is_unix) != 0) {
		ms_conn_close(c);
		return NULL;
	}
	return c;
}

void ms_conn_open(struct net_loop *nl, int fd, struct listener *l, const struct sockaddr *peer)
{
	struct conn *c = conn_new(nl, fd, l, peer);
	if (c == NULL)
		return;
	struct tls_context *tls = ms_listener_tls(l);
	if (tls != NULL) {
		c->phase = CONN_HANDSHAKE;
		c->has_tls = true;
		c->tls = ms_tls_new(tls);
		if (c->tls == NULL) {
			ms_conn_close(c);
			return;
		}
	}
	ms_conn_advance(c);
}

void ms_conn_reject(struct net_loop *nl, int fd, struct listener *l, const struct sockaddr *peer)
{
	struct http_server *server = nl->server;
	// No handshake for a client that is not served, and no crowd of refused ones.
	if (l->point->tls != NULL || nl->rejecting >= REJECTS_MAX) {
		close(fd);
		atomic_fetch_sub_explicit(&server->connections, 1, memory_order_relaxed);
		return;
	}
	struct conn *c = conn_new(nl, fd, l, peer);
	if (c == NULL)
		return;
	nl->rejecting++;
	c->rejected = true;
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_BUSY, "the server has its limit of %u open connections; try again later",
		      server->options.limits.connections);
	ms_conn_fail(c, &info);
}

// --- Close -------------------------------------------------------------------------------------------

static void give_wire(struct conn *c)
{
	if (c->wire != NULL)
		ms_conn_wire_give(c->nl, c->wire);
	c->wire = NULL;
}

static void give_back(struct conn *c)
{
	if (c->work != NULL)
		ms_work_give(c->work);
	c->work = NULL;
	give_wire(c);
}

void ms_conn_release(struct conn *c)
{
	struct net_loop *nl = c->nl;
	ms_h2_conn_free(c);
	give_back(c);
	MS_ASSERT(c->works == 0);
	ms_list_remove(&nl->conns, &c->node);
	conn_give(nl, c);
	ms_net_loop_check_drained(nl);
}

static void on_closed(uv_handle_t *handle)
{
	struct conn *c = MS_CONTAINER_OF(handle, struct conn, uv.handle);
	struct net_loop *nl = c->nl;
	c->handle_closed = true;
	nl->open_handles--;
	nl->rejecting -= c->rejected;
	ms_gauge_add(nl->server->stats.active, nl->index, -1);
	atomic_fetch_sub_explicit(&nl->server->connections, 1, memory_order_relaxed);
	ms_tls_free(c->tls);
	c->tls = NULL;
	if (c->work != NULL && c->work->open) {
		c->advancing = true; // an answer now does not release the connection yet
		ms_exchange_gone(c->work);
		c->advancing = false;
	}
	if (c->h2 != NULL) {
		c->advancing = true;
		ms_h2_conn_end(c);
		c->advancing = false;
	}
	bool waits = c->h2 != NULL ? c->works > 0 : c->work != NULL && c->work->open;
	if (!waits)
		ms_conn_release(c);
	ms_net_loop_check_drained(nl); // after the cut a handler that still works is not waited for
}

void ms_conn_close(struct conn *c)
{
	if (c->phase == CONN_CLOSED)
		return;
	ms_conn_enter(c, CONN_CLOSED);
	if (c->work != NULL)
		c->work->gone = true;
	if (c->h2 != NULL)
		ms_h2_conn_mark_gone(c);
	ms_output_forget(c);
	ms_timeout_start(&c->nl->timeouts, &c->timeout, TIMEOUT_NONE);
	uv_close(&c->uv.handle, on_closed);
}

void ms_conn_reset(struct conn *c)
{
	const struct linger hard = {.l_onoff = 1};
	uv_os_fd_t fd;
	if (c->phase == CONN_CLOSED)
		return;
	if (uv_fileno(&c->uv.handle, &fd) == 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)); // without it: a close as any
	ms_conn_close(c);
}

void ms_conn_free_all(struct net_loop *nl)
{
	MS_LIST_FOREACH (node, &nl->conns) {
		struct conn *c = MS_CONTAINER_OF(node, struct conn, node);
		MS_ASSERT(c->handle_closed);
		ms_conn_release(c);
	}
	for (struct conn *c; (c = nl->free_conns) != NULL;) {
		nl->free_conns = c->next_free;
		free(c);
	}
	for (struct work *w; (w = nl->free_works) != NULL;) {
		nl->free_works = w->next_free;
		ms_work_free(w);
	}
	for (struct wire *wire; (wire = nl->free_wires) != NULL;) {
		nl->free_wires = wire->next_free;
		ms_conn_wire_free(wire);
	}
}

// --- Phases ------------------------------------------------------------------------------------------
// Each step returns true when the next one can follow at once.

static bool step_handshake(struct conn *c)
{
	if (!c->fed)
		return false;
	(void)ms_input_pull(c); // makes the handshake; may close
	if (c->phase != CONN_HANDSHAKE)
		return false;
	ms_output_flush(c);
	if (c->phase != CONN_HANDSHAKE)
		return false;
	if (!ms_tls_established(c->tls)) {
		if (c->eof)
			ms_conn_close(c);
		return false;
	}
	if (!ms_tls_chose_h2(c->tls))
		ms_conn_enter(c, CONN_IDLE);
	else if (!ms_h2_conn_start(c))
		ms_conn_close(c); // memory is out
	return c->phase != CONN_CLOSED;
}

// Nothing more will come: a cut request cannot be answered, its sender has not finished asking.
static bool wait_for_input(struct conn *c)
{
	if (ms_input_pull(c))
		return true;
	if (c->eof)
		ms_conn_close(c);
	return false;
}

// How much of the preface of HTTP/2 has come: all its bytes, or none when something else did.
static size_t preface_bytes(const struct conn *c)
{
	const struct wire *wire = c->wire;
	size_t n = MS_MIN(wire->in_end - wire->in_pos, MS_H2_PREFACE.n);
	if (!c->nl->server->options.h2 || c->has_tls || c->used || c->work != NULL)
		return 0;
	return memcmp(wire->in + wire->in_pos, MS_H2_PREFACE.p, n) == 0 ? n : 0;
}

static bool step_head(struct conn *c)
{
	if (c->wire == NULL || c->wire->in_pos == c->wire->in_end)
		return wait_for_input(c);
	size_t preface = preface_bytes(c);
	if (preface == MS_H2_PREFACE.n && ms_h2_conn_start(c))
		return true;
	if (preface > 0) { // or the first letters of a method
		ms_conn_enter(c, CONN_HEAD);
		return wait_for_input(c);
	}
	if (c->work == NULL && !ms_h1_begin(c)) {
		ms_conn_close(c); // memory is out
		return false;
	}
	switch (ms_input_head(c)) {
	case PROGRESS_WAIT:
		return wait_for_input(c);
	case PROGRESS_DONE:
	case PROGRESS_FAILED:
		break;
	}
	return true;
}

static void begin_writing(struct conn *c)
{
	struct work *w = c->work;
	struct wire *wire = c->wire;
	if (!ms_input_body_is_here(c, true))
		c->close_after = c->linger = true;
	if (w->tunnel || w->sent_status == 0)
		c->close_after = true;
	c->linger |= w->tunnel && !c->eof; // our good-bye is not to be reset away
	ms_conn_enter(c, CONN_WRITING);
	c->last_out = c->close_after;
	// More requests are here already: their answers go out together.
	bool more = wire->in_pos < wire->in_end && !c->close_after;
	if (more && wire->tail != NULL && wire->tail->n <= COALESCE_BYTES && !c->writing) {
		ms_buf_append_slice(&wire->out, ms_buf_slice(wire->tail));
		wire->tail = NULL;
	}
	if (!more || wire->tail != NULL || wire->out.n - wire->out_sent >= OUTPUT_HIGH)
		ms_output_flush(c);
	if (!ms_output_pending(wire))
		ms_output_forget(c); // an answer in pieces that ended in one turn
}

// The exchange is its handler's. Meanwhile its body comes in, when somebody wants it.
static bool step_exchange(struct conn *c)
{
	struct work *w = c->work;
	if (!ms_h1_rewire(c)) {
		ms_conn_close(c); // memory is out
		return false;
	}
	if (w->answered) {
		begin_writing(c);
		return true;
	}
	if (!ms_body_wanted(w))
		return false;
	if (ms_input_body(c) != PROGRESS_WAIT)
		return true;
	if (!w->tunnel)
		return wait_for_input(c);
	return ms_input_pull(c) || c->eof; // the end of a tunnel's input is no end of the connection
}

// The session decides what is read, sent and over.
static bool step_h2(struct conn *c)
{
	if (ms_h2_conn_feed(c) || ms_input_pull(c))
		return true;
	if (c->eof)
		ms_conn_close(c);
	return false;
}

void ms_conn_shut_down(struct conn *c)
{
	uv_os_fd_t fd;
	bool ok = uv_fileno(&c->uv.handle, &fd) == 0 && shutdown(fd, SHUT_WR) == 0;
	// After a read of end-of-file libuv does not read again, and nothing can be unread then.
	if (!ok || c->eof)
		ms_conn_close(c);
	else
		ms_conn_enter(c, CONN_LINGER);
}

static void next_request(struct conn *c)
{
	struct wire *wire = c->wire;
	c->used = true;
	wire->tail = NULL;
	wire->tail_sent = 0;
	wire->in_request = wire->in_pos;
	if (wire->in_pos == wire->in_end) { // most clients wait for their answer
		wire->in_request = wire->in_pos = wire->in_end = 0;
		ms_work_give(c->work);
		c->work = NULL;
		return;
	}
	ms_work_next(c->work);
	if (!ms_h1_begin(c))
		MS_UNREACHABLE(); // it has wire and work
}

static bool step_written(struct conn *c)
{
	struct wire *wire = c->wire;
	bool blocked = c->writing || (wire->tail != NULL && ms_output_pending(wire));
	if (blocked || (c->close_after && ms_output_pending(wire)))
		return false;
	if (!c->close_after) {
		ms_timeout_start(&c->nl->timeouts, &c->timeout, TIMEOUT_NONE);
		next_request(c);
		ms_conn_enter(c, CONN_IDLE);
		return true;
	}
	if (c->linger || wire->in_pos < wire->in_end)
		ms_conn_shut_down(c);
	else
		ms_conn_close(c);
	return false;
}

static bool step(struct conn *c)
{
	switch (c->phase) {
	case CONN_HANDSHAKE:
		return step_handshake(c);
	case CONN_IDLE:
	case CONN_HEAD:
		return step_head(c);
	case CONN_HANDLING:
		return step_exchange(c);
	case CONN_WRITING:
		return step_written(c);
	case CONN_H2:
		return step_h2(c);
	case CONN_LINGER:
	case CONN_CLOSED:
	case CONN_PHASES:
		break;
	}
	return false;
}

static enum timeout_class timeout_class(const struct conn *c)
{
	const struct work *w = c->work;
	switch (c->phase) {
	case CONN_HANDSHAKE:
		return TIMEOUT_HEADER;
	case CONN_HEAD:
		return c->writing ? TIMEOUT_WRITE : TIMEOUT_HEADER;
	case CONN_IDLE:
		return c->writing ? TIMEOUT_WRITE : TIMEOUT_IDLE;
	case CONN_HANDLING:
		if (c->writing && (w->head_sent || !ms_body_wanted(w)))
			return TIMEOUT_WRITE;
		if (w->tunnel)
			return TIMEOUT_TUNNEL;
		return ms_body_wanted(w) ? TIMEOUT_BODY : TIMEOUT_NONE;
	case CONN_WRITING:
		return c->writing ? TIMEOUT_WRITE : TIMEOUT_NONE;
	case CONN_H2:
		return ms_h2_conn_timeout_class(c);
	case CONN_LINGER:
		return TIMEOUT_LINGER;
	case CONN_CLOSED:
	case CONN_PHASES:
		break;
	}
	return TIMEOUT_NONE;
}

// Back-pressure: a client that sends ahead of our answers fills the input buffer, then the kernel's.
static void update_reading(struct conn *c)
{
	bool want = !c->eof && (c->phase == CONN_LINGER || ms_input_has_room(c));
	if (want == c->reading)
		return;
	c->reading = want;
	if (!want)
		uv_read_stop(&c->uv.stream);
	else if (uv_read_start(&c->uv.stream, on_alloc, on_read) != 0)
		ms_conn_close(c);
}

static bool is_idle_tunnel(const struct conn *c)
{
	const struct work *w = c->work;
	const struct wire *wire = c->wire;
	bool quiet = !w->wants_drain && !w->answered && !c->last_out && !c->eof && !ms_output_pending(wire);
	return w->slim && quiet && wire->h1.framing == H1_TUNNEL;
}

// Its buffers can serve others meanwhile.
static bool needs_no_wire(const struct conn *c)
{
	const struct wire *wire = c->wire;
	if (c->phase == CONN_LINGER)
		return true;
	if (wire == NULL || wire->in_pos != wire->in_end)
		return false;
	if (c->phase == CONN_HANDLING)
		return is_idle_tunnel(c);
	return c->phase == CONN_IDLE || (c->phase == CONN_H2 && c->works == 0 && !ms_output_pending(wire));
}

static void settle(struct conn *c)
{
	if (c->phase == CONN_H2)
		ms_h2_conn_pump(c);
	struct wire *wire = c->wire;
	if (c->phase == CONN_CLOSED)
		return;
	if (wire != NULL && !c->writing && (ms_output_pending(wire) || c->tls != NULL || c->last_out))
		ms_output_flush(c);
	if (c->phase == CONN_CLOSED)
		return;
	if (c->work != NULL && c->work->wants_drain)
		ms_output_flush_later(c);
	ms_timeout_enter(&c->nl->timeouts, &c->timeout, timeout_class(c));
	if (needs_no_wire(c) && !c->writing)
		c->phase == CONN_HANDLING ? give_wire(c) : give_back(c);
	update_reading(c);
}

void ms_conn_advance(struct conn *c)
{
	if (c->advancing)
		return;
	c->advancing = true;
	do {
		while (step(c))
			;
		// The flush of gathered answers may have unblocked the phase.
		settle(c);
	} while (c->phase == CONN_WRITING && !c->writing);
	c->advancing = false;
}

void ms_conn_fail(struct conn *c, const struct errinfo *info)
{
	c->close_after = c->linger = true;
	if (c->work == NULL && !ms_h1_begin(c)) {
		ms_conn_close(c);
		return;
	}
	c->wire->h1.framing = H1_COMPLETE; // whatever comes is not taken
	ms_conn_enter(c, CONN_HANDLING);
	ms_exchange_refuse(c->work, info);
}

// --- Socket ------------------------------------------------------------------------------------------

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	(void)suggested;
	struct conn *c = MS_CONTAINER_OF(handle, struct conn, uv.handle);
	struct net_loop *nl = c->nl;
	if (c->tls != NULL || c->phase == CONN_LINGER) {
		*buf = uv_buf_init(nl->scratch, sizeof(nl->scratch));
		return;
	}
	struct slice room = ms_input_room(c); // none: libuv reports it as UV_ENOBUFS
	*buf = uv_buf_init((char *)(uintptr_t)room.p, (unsigned)room.n);
}

static void linger(struct conn *c, size_t n)
{
	c->lingered += n;
	if (c->lingered > LINGER_BYTES)
		ms_conn_close(c);
}

static void end_of_input(struct conn *c)
{
	c->eof = true;
	c->reading = false; // libuv stopped by itself
	if (c->phase == CONN_LINGER)
		ms_conn_close(c);
	else
		ms_conn_advance(c);
}

static void refuse_plain_http(struct conn *c)
{
	ms_tls_free(c->tls);
	c->tls = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_HTTP_SYNTAX,
		      "this port speaks HTTPS and the request came as plain HTTP; use https://");
	ms_conn_fail(c, &info);
}

static void feed_tls(struct conn *c, size_t n)
{
	// The first byte of plain HTTP is a letter, that of a TLS record is 22.
	char first = c->nl->scratch[0];
	if (!c->fed && first >= 'A' && first <= 'Z') {
		refuse_plain_http(c);
		return;
	}
	c->fed = true;
	if (!ms_tls_feed(c->tls, ms_slice(c->nl->scratch, n))) {
		ms_conn_close(c);
		return;
	}
	// While a handler is busy its phase does not pull: take in what there is room for, to see a good-bye.
	if (c->phase >= CONN_HANDLING)
		while (ms_input_pull(c))
			;
	ms_conn_advance(c);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
	(void)buf;
	struct conn *c = MS_CONTAINER_OF(stream, struct conn, uv.stream);
	if (n == 0) { // nothing to read after all: the wire that on_alloc took goes back
		ms_conn_advance(c);
	} else if (n == UV_EOF) {
		end_of_input(c);
	} else if (n < 0) {
		ms_conn_close(c);
	} else if (c->phase == CONN_LINGER) {
		linger(c, (size_t)n);
	} else if (c->tls != NULL) {
		feed_tls(c, (size_t)n);
	} else {
		ms_input_landed(c, (size_t)n);
		ms_conn_advance(c);
	}
}

// --- Timeouts ----------------------------------------------------------------------------------------

static void fail_late(struct conn *c, const char *what, unsigned ms)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_HTTP_TIMEOUT, "%s within %u ms; the connection is closed", what, ms);
	if (c->phase != CONN_HANDLING) {
		ms_conn_fail(c, &info);
		return;
	}
	c->close_after = c->linger = true;
	ms_body_cut(c->work, &info);
	ms_conn_advance(c);
}

static void end_idle_tunnel(struct conn *c)
{
	struct work *w = c->work;
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_HTTP_TIMEOUT, "the tunnel was idle for %u ms",
		      c->nl->server->options.limits.tunnel_idle_ms);
	ms_conn_close(c);
	if (w->intake.state == BODY_WANTED || w->intake.state == BODY_PAUSED)
		ms_body_cut(w, &info);
}

// A request may have arrived in this very turn.
static bool input_waits(const struct conn *c)
{
	char byte;
	uv_os_fd_t fd;
	return uv_fileno(&c->uv.handle, &fd) == 0 && recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

void ms_conn_expired(struct timeout *entry, enum timeout_class class, void *arg)
{
	struct net_loop *nl = arg;
	if (class >= TIMEOUT_STREAM_BODY && class <= TIMEOUT_STREAM_LINGER) {
		ms_h2_stream_expired(entry, class);
		return;
	}
	struct conn *c = MS_CONTAINER_OF(entry, struct conn, timeout);
	const struct http_limits *limits = &nl->server->options.limits;
	switch (class) {
	case TIMEOUT_HEADER:
		if (c->phase == CONN_HEAD)
			fail_late(c, "the head of the request did not arrive", limits->header_timeout_ms);
		else
			ms_conn_close(c);
		return;
	case TIMEOUT_BODY:
		if (!ms_body_wanted(c->work)) { // paused meanwhile
			ms_conn_advance(c);
			return;
		}
		fail_late(c, "no further byte of the body arrived", limits->body_timeout_ms);
		return;
	case TIMEOUT_TUNNEL:
		end_idle_tunnel(c);
		return;
	case TIMEOUT_IDLE:
		if (input_waits(c))
			ms_timeout_start(&nl->timeouts, &c->timeout, TIMEOUT_IDLE);
		else if (c->phase == CONN_H2)
			ms_h2_conn_say_goodbye(c);
		else
			ms_conn_close(c);
		return;
	case TIMEOUT_WRITE: {
		size_t left = uv_stream_get_write_queue_size(&c->uv.stream);
		if (left >= c->write_progress) {
			ms_conn_close(c);
			return;
		}
		c->write_progress = left;
		ms_timeout_start(&nl->timeouts, &c->timeout, TIMEOUT_WRITE);
		return;
	}
	case TIMEOUT_LINGER:
		ms_conn_close(c);
		return;
	case TIMEOUT_STREAM_BODY:
	case TIMEOUT_STREAM_TUNNEL:
	case TIMEOUT_STREAM_WRITE:
	case TIMEOUT_STREAM_LINGER:
	case TIMEOUT_NONE:
	case TIMEOUT_CLASSES:
		MS_UNREACHABLE();
	}
}
