// SPDX-License-Identifier: Apache-2.0
// Sending: first directly, what the socket does not take by uv_write, one at a time. While a write is under
// way its bytes stay untouched in `flight` (and in the tail), and new output gathers in `out`.
#include "net/server.h"

#define TLS_PIECE ((size_t)16 << 10) // of plain text: one full record

static void on_written(uv_write_t *req, int status);

static struct slice out_rest(const struct wire *wire)
{
	return ms_slice(wire->out.p + wire->out_sent, wire->out.n - wire->out_sent);
}

static struct slice tail_rest(const struct wire *wire)
{
	return wire->tail != NULL ? ms_slice(wire->tail->p + wire->tail_sent, wire->tail->n - wire->tail_sent)
				  : MS_SLICE_EMPTY;
}

static uv_buf_t uv_buf_of(struct slice s)
{
	return uv_buf_init((char *)(uintptr_t)s.p, (unsigned)s.n); // libuv does not write to it
}

static void sent(struct wire *wire, size_t n)
{
	size_t of_out = MS_MIN(n, wire->out.n - wire->out_sent);
	wire->out_sent += of_out;
	if (wire->tail != NULL)
		wire->tail_sent += n - of_out;
	if (wire->out_sent == wire->out.n) {
		ms_buf_clear(&wire->out);
		wire->out_sent = 0;
	}
}

static void start_write(struct conn *c, const uv_buf_t *bufs, unsigned count)
{
	c->writing = true;
	if (uv_write(&c->write_req, &c->uv.stream, bufs, count, on_written) != 0) {
		c->writing = false;
		ms_conn_close(c);
		return;
	}
	c->write_progress = uv_stream_get_write_queue_size(&c->uv.stream);
}

static unsigned gather(struct slice first, struct slice second, uv_buf_t bufs[2])
{
	unsigned count = 0;
	if (first.n > 0)
		bufs[count++] = uv_buf_of(first);
	if (second.n > 0)
		bufs[count++] = uv_buf_of(second);
	return count;
}

// False when the connection failed and was closed.
static bool try_write(struct conn *c, const uv_buf_t *bufs, unsigned count, size_t *ret_n)
{
	int n = uv_try_write(&c->uv.stream, bufs, count);
	if (n < 0 && n != UV_EAGAIN) {
		ms_conn_close(c);
		return false;
	}
	*ret_n = n > 0 ? (size_t)n : 0;
	return true;
}

static void flush_plain(struct conn *c, struct wire *wire)
{
	uv_buf_t bufs[2];
	unsigned count = gather(out_rest(wire), tail_rest(wire), bufs);
	size_t n;
	if (count == 0 || !try_write(c, bufs, count, &n))
		return;
	sent(wire, n);
	if (!ms_output_pending(wire))
		return;
	struct slice rest = out_rest(wire);
	count = gather(rest, tail_rest(wire), bufs);
	struct buf emptied = wire->flight;
	wire->flight = wire->out;
	wire->out = emptied;
	wire->out_sent = 0;
	if (wire->tail != NULL)
		wire->tail_sent = wire->tail->n;
	start_write(c, bufs, count);
}

// --- TLS ---------------------------------------------------------------------------------------------

// Encrypts the next piece; false when there is none, or the session failed.
static bool encrypt_some(struct conn *c, struct wire *wire)
{
	struct slice out = out_rest(wire), tail = tail_rest(wire);
	if (out.n > 0 && tail.n > 0 && out.n + tail.n <= TLS_PIECE) {
		ms_buf_append_slice(&wire->out, tail); // head and body in one record
		if (ms_buf_ok(&wire->out)) {
			wire->tail_sent = wire->tail->n;
			out = out_rest(wire);
		}
	}
	struct slice piece = ms_slice_sub(out.n > 0 ? out : tail, 0, TLS_PIECE);
	if (piece.n == 0 || ms_tls_write(c->tls, piece) != TLS_OK)
		return false;
	sent(wire, piece.n);
	return true;
}

static void flush_tls(struct conn *c, struct wire *wire)
{
	for (;;) {
		while (ms_tls_output(c->tls).n < OUTPUT_HIGH && encrypt_some(c, wire))
			;
		if (!ms_output_pending(wire) && c->last_out && !c->said_goodbye) {
			ms_tls_close(c->tls);
			c->said_goodbye = true;
		}
		struct slice ciphertext = ms_tls_output(c->tls);
		if (ciphertext.n == 0 && ms_output_pending(wire))
			ms_conn_close(c); // the session takes no more
		if (ciphertext.n == 0)
			return;
		uv_buf_t buf = uv_buf_of(ciphertext);
		size_t n;
		if (!try_write(c, &buf, 1, &n))
			return;
		if (n < ciphertext.n) {
			// The session may reuse its memory while the write is under way.
			ms_buf_append_slice(&wire->flight, ms_slice_sub(ciphertext, n, ciphertext.n));
			ms_tls_output_done(c->tls);
			buf = uv_buf_of(ms_buf_slice(&wire->flight));
			if (ms_buf_ok(&wire->flight))
				start_write(c, &buf, 1);
			else
				ms_conn_close(c);
			return;
		}
		ms_tls_output_done(c->tls);
	}
}

// --- Both --------------------------------------------------------------------------------------------

// Our side of a tunnel has ended: once all is sent the client sees it. Over TLS its close_notify says so.
static void shut_tunnel(struct conn *c)
{
	uv_os_fd_t fd;
	if (c->tls != NULL || c->said_goodbye || c->writing || ms_output_pending(c->wire))
		return;
	c->said_goodbye = true;
	if (uv_fileno(&c->uv.handle, &fd) != 0 || shutdown(fd, SHUT_WR) != 0)
		ms_conn_close(c);
}

void ms_output_flush(struct conn *c)
{
	struct wire *wire = c->wire;
	if (wire == NULL || c->writing || c->phase == CONN_CLOSED)
		return;
	if (!ms_buf_ok(&wire->out))
		ms_conn_close(c); // memory is out: what was gathered is incomplete
	else if (c->tls != NULL)
		flush_tls(c, wire);
	else
		flush_plain(c, wire);
	if (c->phase == CONN_HANDLING && c->last_out)
		shut_tunnel(c);
}

// What a stream's producer is told: bytes that the socket has not taken.
size_t ms_output_waiting(const struct conn *c)
{
	const struct wire *wire = c->wire;
	return wire->out.n - wire->out_sent + (c->writing ? uv_stream_get_write_queue_size(&c->uv.stream) : 0);
}

// The producer may go on. It may also end the stream here.
static void wake_producer(struct conn *c)
{
	struct work *w = c->work;
	if (w != NULL && w->open && w->wants_drain && c->phase != CONN_CLOSED && ms_output_waiting(c) < OUTPUT_HIGH)
		ms_exchange_drained(w);
}

static void on_written(uv_write_t *req, int status)
{
	struct conn *c = MS_CONTAINER_OF(req, struct conn, write_req);
	c->writing = false;
	if (c->phase == CONN_CLOSED)
		return;
	if (status < 0) {
		ms_conn_close(c);
		return;
	}
	struct wire *wire = c->wire;
	if (wire->flight.cap > BODY_KEEP_BYTES * 4) {
		ms_buf_fini(&wire->flight);
		ms_buf_init(&wire->flight, ANSWER_BYTES_MAX);
	}
	ms_buf_clear(&wire->flight);
	ms_timeout_start(&c->nl->timeouts, &c->timeout, TIMEOUT_NONE);
	ms_output_flush(c);
	wake_producer(c);
	ms_conn_advance(c);
}

void ms_output_flush_later(struct conn *c)
{
	if (c->unsent || c->phase == CONN_CLOSED)
		return;
	if (ms_list_empty(&c->nl->unsent))
		uv_idle_start(&c->nl->end_of_turn, ms_output_end_of_turn);
	ms_list_append(&c->nl->unsent, &c->unsent_node);
	c->unsent = true;
}

void ms_output_forget(struct conn *c)
{
	if (!c->unsent)
		return;
	c->unsent = false;
	ms_list_remove(&c->nl->unsent, &c->unsent_node);
	if (ms_list_empty(&c->nl->unsent))
		uv_idle_stop(&c->nl->end_of_turn);
}

// An idle handle and not a prepare handle: while it runs the loop does not wait for sockets, so a producer
// that writes again from its callback is served in the next turn, after the other connections.
void ms_output_end_of_turn(uv_idle_t *idle)
{
	struct net_loop *nl = MS_CONTAINER_OF(idle, struct net_loop, end_of_turn);
	for (size_t n = nl->unsent.count; n > 0 && !ms_list_empty(&nl->unsent); n--) {
		struct conn *c = MS_CONTAINER_OF(ms_list_first(&nl->unsent), struct conn, unsent_node);
		ms_output_forget(c);
		ms_output_flush(c);
		wake_producer(c);
		ms_conn_advance(c);
	}
}
