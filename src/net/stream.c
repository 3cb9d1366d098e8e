// SPDX-License-Identifier: Apache-2.0
// Answers of unknown length. Writes of one turn gather and go out together at its end.
#include "net/server.h"

void ms_http_stream_start(struct exchange *x, int status, const char *content_type, http_drain_fn *on_drain, void *arg)
{
	struct work *w = ms_work_of(x);
	struct conn *c = w->conn;
	MS_ASSERT(w->open && status >= 200 && status <= 599 && status != 204 && status != 304);
	w->status = status;
	w->body_bytes = 0;
	w->on_drain = on_drain;
	w->drain_arg = arg;
	if (c->phase == CONN_CLOSED)
		return;
	w->chunked_out = w->parser.head.minor > 0;
	if (!w->chunked_out)
		c->close_after = true; // HTTP/1.0: the end of the connection is the end of the body
	ms_exchange_write_head(w, status, content_type, CODING_IDENTITY, LENGTH_STREAM);
	ms_conn_enter(c, CONN_STREAMING);
	ms_output_flush_later(c);
}

size_t ms_http_stream_write(struct exchange *x, struct slice bytes)
{
	struct work *w = ms_work_of(x);
	struct conn *c = w->conn;
	MS_ASSERT(w->open);
	if (c->phase == CONN_CLOSED)
		return 0;
	MS_ASSERT(c->phase == CONN_STREAMING);
	if (bytes.n > 0 && x->req.method != HTTP_HEAD) {
		if (w->chunked_out)
			ms_http1_write_chunk_head(&w->out, bytes.n);
		ms_buf_append_slice(&w->out, bytes);
		if (w->chunked_out)
			ms_buf_append_slice(&w->out, MS_HTTP1_CHUNK_TAIL);
		w->body_bytes += bytes.n;
	}
	size_t waiting = ms_output_waiting(c);
	if (waiting > STREAM_BYTES_MAX || !ms_buf_ok(&w->out)) { // a producer that does not heed the back-pressure
		ms_conn_close(c);
		return 0;
	}
	w->wants_drain = waiting >= OUTPUT_HIGH;
	ms_output_flush_later(c);
	return waiting;
}

void ms_http_stream_end(struct exchange *x)
{
	struct work *w = ms_work_of(x);
	struct conn *c = w->conn;
	MS_ASSERT(w->open);
	if (c->phase != CONN_CLOSED) {
		MS_ASSERT(c->phase == CONN_STREAMING);
		if (w->chunked_out && x->req.method != HTTP_HEAD)
			ms_buf_append_slice(&w->out, MS_HTTP1_CHUNK_END);
	}
	w->wants_drain = false;
	ms_exchange_answered(w);
}

void ms_exchange_note_gone(struct work *w)
{
	http_drain_fn *on_drain = w->on_drain;
	w->on_drain = NULL;
	w->wants_drain = false;
	if (on_drain != NULL)
		on_drain(&w->x, w->drain_arg); // a producer that waits learns it here; it may end the exchange
}
