// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 as a transport: how answers are framed, and when their connection may serve another request. The request side is input.c.
#include "net/http1/scan.h"
#include "net/server.h"

static struct h1 *h1_of(struct work *w)
{
	return &w->conn->wire->h1;
}

bool ms_h1_begin(struct conn *c)
{
	const struct http_limits *limits = &c->nl->server->options.limits;
	const struct http1_limits parse_limits = {
		.uri_bytes = limits->uri_bytes,
		.header_bytes = limits->header_bytes,
		.header_count = limits->header_count,
	};
	if (c->wire == NULL)
		c->wire = ms_conn_wire_take(c->nl);
	if (c->work == NULL && c->wire != NULL)
		c->work = ms_work_take(c->nl, c, &ms_h1_transport, NULL);
	if (c->work == NULL)
		return false;
	struct h1 *h1 = &c->wire->h1;
	ms_http1_parser_init(&h1->parser, &parse_limits, &c->work->arena);
	ms_buf_clear(&h1->trailers);
	h1->framing = H1_COMPLETE;
	h1->direct = h1->wanted = h1->chunked_out = false;
	return true;
}

bool ms_h1_rewire(struct conn *c)
{
	if (c->wire != NULL)
		return true;
	c->wire = ms_conn_wire_take(c->nl);
	if (c->wire == NULL)
		return false;
	struct h1 *h1 = &c->wire->h1;
	h1->framing = H1_TUNNEL;
	h1->head_bytes = 0;
	h1->direct = h1->chunked_out = false;
	h1->wanted = true;
	return true;
}

// --- Heads -------------------------------------------------------------------------------------------

// Draining, closing, and a body that nobody is going to read: then the client should know.
static bool stays_open(const struct work *w)
{
	struct conn *c = w->conn;
	const struct net_loop *nl = c->nl;
	enum body_state body = w->intake.state;
	if (c->close_after || w->distrust)
		return false;
	if ((body == BODY_UNREAD || body == BODY_CUT) && !ms_input_body_is_here(c, false))
		return false;
	if (!atomic_load_explicit(&nl->server->draining, memory_order_relaxed))
		return true;
	const struct route *route = w->x.req.route;
	return !nl->stopping && route != NULL && (route->flags & ROUTE_WHILE_DRAINING) != 0;
}

// Nothing else than a request's error can come before its version is known: then it is taken for HTTP/1.1.
static bool is_http_1_0(const struct work *w)
{
	return w->parsed && w->x.req.version == 10;
}

static void write_fields(struct buf *out, const struct http_header *headers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		ms_buf_append_slice(out, headers[i].name);
		ms_buf_append_slice(out, MS_SLICE_LIT(": "));
		ms_buf_append_slice(out, headers[i].value);
		ms_buf_append_slice(out, MS_SLICE_LIT("\r\n"));
	}
}

static void write_server_fields(struct buf *out, struct net_loop *nl)
{
	const char *name = nl->server->options.server_header;
	ms_http1_write_date(out, &nl->date, ms_loop_wall_ns(nl->loop));
	if (name != NULL)
		ms_http1_write_header(out, "Server", ms_slice_cstr(name));
	ms_http1_write_header(out, "X-Content-Type-Options", MS_SLICE_LIT("nosniff"));
}

static void write_framing(struct work *w, struct buf *out, const struct answer_head *head)
{
	struct conn *c = w->conn;
	if (head->length == LENGTH_STREAM && h1_of(w)->chunked_out)
		ms_http1_write_header(out, "Transfer-Encoding", MS_SLICE_LIT("chunked"));
	else if (head->length < LENGTH_STREAM && !ms_has_no_content(head->status))
		ms_http1_write_header_u64(out, "Content-Length", head->length);
	if (c->close_after)
		ms_http1_write_header(out, "Connection", MS_SLICE_LIT("close"));
	else if (is_http_1_0(w))
		ms_http1_write_header(out, "Connection", MS_SLICE_LIT("keep-alive"));
	ms_http1_write_end(out);
}

static void h1_head(struct work *w, const struct answer_head *head)
{
	struct conn *c = w->conn;
	struct h1 *h1 = h1_of(w);
	struct buf *out = &c->wire->out;
	bool stream = head->length == LENGTH_STREAM && !ms_has_no_content(head->status);
	h1->chunked_out = stream && !is_http_1_0(w);
	if (stream && is_http_1_0(w) && !w->no_content)
		c->close_after = true; // the end of the connection is the end of the body
	if (!stays_open(w)) {
		// The client may be sending its next request by now: read on a little so that the answer arrives.
		c->linger |= !c->close_after;
		c->close_after = true;
	}
	ms_http1_write_status(out, head->status);
	if (!head->no_server_headers)
		write_server_fields(out, c->nl);
	ms_http1_write_header(out, "X-Request-ID", w->x.req.id);
	if (head->type != NULL)
		ms_http1_write_header(out, "Content-Type", ms_slice_cstr(head->type));
	if (head->coding != CODING_IDENTITY)
		ms_http1_write_header(out, "Content-Encoding", ms_slice_cstr(ms_coding_name(head->coding)));
	ms_buf_append(out, w->headers.p, w->headers.n);
	write_fields(out, head->headers, head->header_count);
	write_framing(w, out, head);
	if (head->in_pieces)
		ms_output_flush_later(c);
}

static void h1_interim(struct work *w, int status, const struct http_header *headers, size_t count)
{
	struct buf *out = &w->conn->wire->out;
	ms_http1_write_status(out, status);
	write_fields(out, headers, count);
	ms_http1_write_end(out);
	ms_output_flush_later(w->conn);
}

static void h1_tunnel(struct work *w, const struct http_header *headers, size_t count)
{
	struct conn *c = w->conn;
	struct buf *out = &c->wire->out;
	ms_http1_write_status(out, 101);
	ms_http1_write_header(out, "Connection", MS_SLICE_LIT("Upgrade"));
	ms_http1_write_header(out, "Upgrade", w->x.req.protocol);
	write_server_fields(out, c->nl);
	ms_http1_write_header(out, "X-Request-ID", w->x.req.id);
	ms_buf_append(out, w->headers.p, w->headers.n);
	write_fields(out, headers, count);
	ms_http1_write_end(out);
	c->close_after = true;
	h1_of(w)->framing = H1_TUNNEL;
	ms_output_flush_later(c);
}

// --- Bodies ------------------------------------------------------------------------------------------

static void h1_body(struct work *w, const struct buf *body)
{
	w->conn->wire->tail = body;
	w->conn->wire->tail_sent = 0;
}

static void note_tunnel_byte(struct conn *c)
{
	if (c->timeout.class == TIMEOUT_TUNNEL)
		ms_timeout_start(&c->nl->timeouts, &c->timeout, TIMEOUT_TUNNEL);
}

static size_t h1_write(struct work *w, struct slice bytes)
{
	struct conn *c = w->conn;
	if (!ms_h1_rewire(c)) {
		ms_conn_reset(c);
		return 0;
	}
	struct buf *out = &c->wire->out;
	bool chunked = h1_of(w)->chunked_out;
	if (chunked)
		ms_http1_write_chunk_head(out, bytes.n);
	ms_buf_append_slice(out, bytes);
	if (chunked)
		ms_buf_append_slice(out, MS_HTTP1_CHUNK_TAIL);
	if (!ms_buf_ok(out)) {
		ms_conn_reset(c);
		return 0;
	}
	note_tunnel_byte(c);
	ms_output_flush_later(c);
	return ms_output_waiting(c);
}

static bool takes_trailers(const struct work *w)
{
	const struct http_request *req = &w->x.req;
	for (size_t i = 0; i < req->header_count; i++) {
		struct slice rest = req->headers[i].value, coding;
		if (req->headers[i].name.n != 2 || !ms_slice_eq_nocase(req->headers[i].name, MS_SLICE_LIT("te")))
			continue;
		while (ms_slice_next(&rest, ',', &coding)) {
			if (ms_slice_eq_nocase(ms_slice_trim(coding), MS_SLICE_LIT("trailers")))
				return true;
		}
	}
	return false;
}

static void h1_end(struct work *w, const struct http_header *trailers, size_t count)
{
	struct conn *c = w->conn;
	if (!ms_h1_rewire(c)) {
		ms_conn_reset(c);
		return;
	}
	struct buf *out = &c->wire->out;
	if (w->tunnel) {
		c->last_out = true;
		ms_output_flush_later(c);
	} else if (h1_of(w)->chunked_out && count > 0 && takes_trailers(w)) {
		ms_buf_append_slice(out, MS_SLICE_LIT("0\r\n"));
		write_fields(out, trailers, count);
		ms_http1_write_end(out);
	} else if (h1_of(w)->chunked_out) {
		ms_buf_append_slice(out, MS_HTTP1_CHUNK_END);
	}
}

static void h1_cut(struct work *w)
{
	ms_conn_reset(w->conn);
}

static void h1_want(struct work *w)
{
	struct conn *c = w->conn;
	if (!ms_h1_rewire(c)) {
		ms_conn_reset(c);
		return;
	}
	struct h1 *h1 = h1_of(w);
	if (!h1->wanted) {
		h1->wanted = true;
		ms_chunked_init(&h1->chunked, MS_MIN((uint64_t)w->intake.max_bytes, (uint64_t)INT64_MAX));
		h1->chunked.trailers = w->intake.collecting ? NULL : &h1->trailers;
		bool none_here = c->wire->in_pos == c->wire->in_end;
		if (h1->parser.head.expect_continue && none_here && !w->continued && !w->head_sent) {
			w->continued = true;
			ms_buf_append_slice(&c->wire->out, MS_HTTP1_CONTINUE);
		}
	}
	// The time of a pause is not the client's.
	if (c->timeout.class == TIMEOUT_BODY)
		ms_timeout_start(&c->nl->timeouts, &c->timeout, TIMEOUT_NONE);
	ms_conn_advance(c); // or it comes to it by itself
}

static void h1_done(struct work *w)
{
	struct conn *c = w->conn;
	if (!c->handle_closed)
		ms_conn_advance(c);
	else if (!c->advancing)
		ms_conn_release(c);
}

const struct transport ms_h1_transport = {
	.head = h1_head,
	.interim = h1_interim,
	.body = h1_body,
	.write = h1_write,
	.end = h1_end,
	.cut = h1_cut,
	.tunnel = h1_tunnel,
	.want = h1_want,
	.done = h1_done,
};
