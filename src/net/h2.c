// SPDX-License-Identifier: Apache-2.0
// HTTP/2 as a transport: each stream carries a work. The session (net/http2) cuts frames and checks messages; here they become requests,
// answers become frames, and streams get their timeouts.
//
// Handlers are called from within the session's events, and answer whenever they like. What they send waits in the session until
// ms_h2_conn_pump() moves it to the socket: at the end of ms_conn_advance(), or of the turn.
#include "net/h2.h"

#include <stdlib.h>

#include "net/http1/http1.h"
#include "net/http1/scan.h"

struct h2_conn {
	struct h2_session *session; // NULL: it has ended
	struct list works;          // of struct h2_work, all that were not given back
	bool has_gone;              // handlers are to be told
	bool told_why;              // in the log
};

// A stream and its work; in the work's arena.
struct h2_work {
	struct work *w;
	struct h2_conn *h2;
	struct h2_stream *stream; // NULL: closed
	struct list_node node;    // in h2->works
	struct timeout timeout;
	uint64_t sent_mark; // bytes sent when the write timeout began
	bool wanted;        // the body was asked for before
	bool ended;         // with the head
	bool done;          // the exchange is over, what is left is sending
	bool told;          // that the client has gone
	bool telling_gone;  // ms_exchange_gone() is on the stack
};

static struct h2_work *work_of(struct work *w)
{
	return w->stream;
}

static struct h2_session *session_of(struct work *w)
{
	return work_of(w)->h2->session;
}

// The connection flushes by itself when this happens within its own advance.
static void flush(struct conn *c)
{
	if (!c->advancing)
		ms_output_flush_later(c);
}

// --- Timeouts of streams -----------------------------------------------------------------------------

static enum timeout_class stream_class(const struct h2_work *hw)
{
	const struct work *w = hw->w;
	if (hw->stream == NULL)
		return TIMEOUT_NONE;
	if (ms_h2_waiting(hw->stream) > 0)
		return TIMEOUT_STREAM_WRITE;
	if (hw->done)
		return ms_h2_received_all(hw->stream) ? TIMEOUT_NONE : TIMEOUT_STREAM_LINGER;
	if (w->tunnel)
		return TIMEOUT_STREAM_TUNNEL;
	return ms_body_wanted(w) && !ms_h2_received_all(hw->stream) ? TIMEOUT_STREAM_BODY : TIMEOUT_NONE;
}

// `progress`: a byte came or went, so that the time begins anew.
static void set_timeout(struct h2_work *hw, bool progress)
{
	struct timeouts *t = &hw->w->nl->timeouts;
	enum timeout_class class = stream_class(hw);
	if (class == hw->timeout.class && (!progress || class == TIMEOUT_STREAM_WRITE))
		return;
	hw->sent_mark = hw->stream != NULL ? ms_h2_sent(hw->stream) : 0;
	ms_timeout_start(t, &hw->timeout, class);
}

static void fail_late(struct work *w, const char *what, unsigned ms)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_HTTP_TIMEOUT, "%s within %u ms", what, ms);
	ms_body_cut(w, &info);
}

void ms_h2_stream_expired(struct timeout *entry, enum timeout_class class)
{
	struct h2_work *hw = MS_CONTAINER_OF(entry, struct h2_work, timeout);
	struct work *w = hw->w;
	struct conn *c = w->conn;
	const struct http_limits *limits = &w->nl->server->options.limits;
	bool reads = w->intake.state == BODY_WANTED || w->intake.state == BODY_PAUSED;
	if (class == TIMEOUT_STREAM_WRITE && ms_h2_sent(hw->stream) > hw->sent_mark)
		set_timeout(hw, true);
	else if (class == TIMEOUT_STREAM_WRITE)
		ms_h2_reset(hw->h2->session, hw->stream, H2_CANCEL);
	else if (class == TIMEOUT_STREAM_BODY && reads)
		fail_late(w, "no further byte of the body arrived", limits->body_timeout_ms);
	else if (class == TIMEOUT_STREAM_TUNNEL || (class == TIMEOUT_STREAM_LINGER && !ms_h2_received_all(hw->stream)))
		ms_h2_reset(hw->h2->session, hw->stream, H2_NO_ERROR);
	ms_output_flush_later(c);
}

// --- Requests ----------------------------------------------------------------------------------------

static bool find_method(struct slice name, enum http_method *ret_method)
{
	for (enum http_method m = 0; m < HTTP_METHOD_COUNT; m++) {
		if (!ms_slice_eq_cstr(name, ms_http_method_name(m)))
			continue;
		*ret_method = m;
		return true;
	}
	return false;
}

static void mark_headers(struct work *w)
{
	unsigned traceparents = 0;
	struct request_marks *marks = &w->marks;
	for (size_t i = 0; i < w->x.req.header_count; i++) {
		const struct http_header *h = &w->x.req.headers[i];
		if (ms_slice_eq_cstr(h->name, "x-request-id") && marks->request_id.p == NULL)
			marks->request_id = h->value;
		if (ms_slice_eq_cstr(h->name, "traceparent") && traceparents++ == 0)
			marks->traceparent = h->value;
		marks->accept_encoding |= ms_slice_eq_cstr(h->name, "accept-encoding");
		marks->content_encoding |= ms_slice_eq_cstr(h->name, "content-encoding");
	}
	if (traceparents > 1) // names no parent that can be trusted
		marks->traceparent = MS_SLICE_EMPTY;
}

// Handlers find the authority under its old name too.
static bool add_host(struct work *w, struct h2_head *head)
{
	for (size_t i = 0; i < head->header_count; i++) {
		if (ms_slice_eq_cstr(head->headers[i].name, "host"))
			return true;
	}
	struct http_header *all = MS_ARENA_ARRAY(&w->arena, struct http_header, head->header_count + 1);
	if (all == NULL)
		return false;
	if (head->header_count > 0)
		memcpy(all, head->headers, head->header_count * sizeof(*all));
	all[head->header_count++] = (struct http_header){MS_SLICE_LIT("host"), head->authority};
	head->headers = all;
	return true;
}

static void set_request(struct work *w, const struct h2_head *head)
{
	struct http_request *req = &w->x.req;
	size_t query = ms_slice_find(head->path, '?');
	req->target = head->path;
	req->path = ms_slice_sub(head->path, 0, query);
	req->query = query < head->path.n ? ms_slice_sub(head->path, query + 1, SIZE_MAX) : MS_SLICE_EMPTY;
	req->headers = head->headers;
	req->header_count = head->header_count;
	req->version = 20;
	req->authority = head->authority;
	req->protocol = head->protocol;
	req->has_body = !head->end && head->protocol.n == 0;
	req->content_length = head->protocol.n == 0 ? head->content_length : UINT64_MAX;
	req->start_mono_ns = w->conn->wire->read_ns;
	mark_headers(w);
}

static enum ms_err check_expect(const struct http_request *req, struct errinfo *info)
{
	struct slice expect = ms_http_header(req, "expect");
	if (expect.p == NULL || ms_slice_eq_nocase(expect, MS_SLICE_LIT("100-continue")))
		return MS_OK;
	return ms_fail(info, MS_ERR_HTTP_EXPECTATION, "the expectation '%.*s' is not known here; 100-continue is",
		       MS_SLICE_ARG(expect));
}

// What the session leaves open: our limits, and what HTTP/1 would refuse too.
static enum ms_err check_request(struct work *w, const struct h2_head *head, struct errinfo *info)
{
	const struct http_limits *limits = &w->nl->server->options.limits;
	struct http_request *req = &w->x.req;
	if (head->too_large)
		return ms_fail(info, MS_ERR_HTTP_HEADERS_TOO_LARGE,
			       "the headers have more than %zu bytes, or are more than %u", limits->header_bytes,
			       limits->header_count);
	w->parsed = head->protocol.n > 0 || find_method(head->method, &req->method);
	if (!w->parsed)
		return ms_fail(info, MS_ERR_HTTP_METHOD_UNKNOWN, "method '%.*s' is not known here",
			       MS_SLICE_ARG(head->method));
	if (req->target.n > limits->uri_bytes)
		return ms_fail(info, MS_ERR_HTTP_URI_TOO_LONG,
			       "the request target has %zu bytes; at most %zu are allowed", req->target.n,
			       limits->uri_bytes);
	if (scan_target(req->target.p, 0, req->target.n) != req->target.n)
		return ms_fail(info, MS_ERR_HTTP_SYNTAX,
			       "the request target holds a byte that must be percent-encoded");
	if (!ms_slice_eq_cstr(head->scheme, "http") && !ms_slice_eq_cstr(head->scheme, "https"))
		return ms_fail(info, MS_ERR_HTTP_SYNTAX, "the scheme is '%.*s'; http and https are served",
			       MS_SLICE_ARG(head->scheme));
	if (!ms_http1_host_ok(req->authority))
		return ms_fail(info, MS_ERR_HTTP_HOST, "the authority is no name or address with an optional port");
	return check_expect(req, info);
}

static struct h2_work *take_work(struct conn *c, struct h2_stream *stream)
{
	struct work *w = ms_work_take(c->nl, c, &ms_h2_transport, NULL);
	if (w == NULL)
		return NULL;
	struct h2_work *hw = MS_ARENA_NEW(&w->arena, struct h2_work);
	if (hw == NULL) {
		ms_work_give(w);
		return NULL;
	}
	hw->w = w;
	hw->h2 = c->h2;
	hw->stream = stream;
	w->stream = hw;
	ms_list_append(&c->h2->works, &hw->node);
	ms_h2_set_data(stream, hw);
	return hw;
}

static void give_work(struct h2_work *hw)
{
	struct work *w = hw->w;
	ms_timeout_start(&w->nl->timeouts, &hw->timeout, TIMEOUT_NONE);
	ms_list_remove(&hw->h2->works, &hw->node);
	ms_work_give(w);
}

static void on_head(struct h2_session *s, struct h2_stream *stream, const struct h2_head *head, void *arg)
{
	struct conn *c = arg;
	struct errinfo info;
	struct h2_head kept;
	// Handlers still work for streams that were reset: those count, else a client could start any number.
	struct h2_work *hw = c->works < c->nl->server->options.limits.h2_streams ? take_work(c, stream) : NULL;
	if (hw == NULL) {
		ms_h2_count_glitch(s);
		ms_h2_reset(s, stream, H2_REFUSED_STREAM);
		return;
	}
	struct work *w = hw->w;
	if (!ms_h2_head_copy(head, &w->arena, &kept) || !add_host(w, &kept)) {
		hw->done = true;
		ms_h2_reset(s, stream, H2_REFUSED_STREAM);
		return;
	}
	set_request(w, &kept);
	if (!head->end)
		ms_h2_pause(s, stream); // until somebody wants the body
	ms_errinfo_init(&info);
	enum ms_err err = check_request(w, &kept, &info);
	ms_exchange_begin(w);
	if (err != MS_OK)
		ms_exchange_refuse(w, &info);
	else
		ms_exchange_start(w);
}

// --- Bodies ------------------------------------------------------------------------------------------

static void on_data(struct h2_session *s, struct h2_stream *stream, struct slice bytes, void *arg)
{
	struct h2_work *hw = ms_h2_data(stream);
	(void)arg;
	if (hw == NULL || hw->done || !ms_body_wanted(hw->w))
		return; // nobody reads on
	ms_body_data(hw->w, bytes);
	if (hw->done)
		return;
	if (!ms_body_wanted(hw->w))
		ms_h2_pause(s, stream);
	set_timeout(hw, true);
}

static void on_end(struct h2_session *s, struct h2_stream *stream, const struct http_header *trailers, size_t count,
		   void *arg)
{
	struct h2_work *hw = ms_h2_data(stream);
	(void)s, (void)arg;
	if (hw == NULL || hw->done || !ms_body_wanted(hw->w))
		return;
	struct work *w = hw->w;
	struct http_header *allowed = count > 0 ? MS_ARENA_ARRAY(&w->arena, struct http_header, count) : NULL;
	size_t n = 0;
	for (size_t i = 0; allowed != NULL && i < count; i++) {
		if (ms_trailer_allowed(&trailers[i]))
			allowed[n++] = trailers[i];
	}
	ms_body_end(w, allowed, n);
	if (!hw->done)
		set_timeout(hw, true);
}

static void h2_want(struct work *w)
{
	struct h2_work *hw = work_of(w);
	struct conn *c = w->conn;
	if (hw->stream == NULL)
		return;
	if (!hw->wanted) {
		hw->wanted = true;
		w->intake.waited = !ms_h2_received_all(hw->stream);
		bool expects = ms_http_header(&w->x.req, "expect").p != NULL;
		if (expects && w->intake.waited && !w->continued && !w->head_sent && !w->tunnel) {
			w->continued = true;
			ms_h2_respond(session_of(w), hw->stream, &(struct h2_message){.status = 100});
		}
	}
	set_timeout(hw, true);
	flush(c);
	ms_h2_resume(session_of(w), hw->stream); // delivers; the exchange may be over then
}

// --- Answers -----------------------------------------------------------------------------------------

// Draining: the client should ask elsewhere, unless it asks for what is answered to the end. (w->distrust asks for nothing here: no
// mistake in one stream can shift where the next one begins.)
static void drain_after(struct work *w)
{
	const struct net_loop *nl = w->nl;
	const struct route *route = w->x.req.route;
	bool kept = !nl->stopping && route != NULL && (route->flags & ROUTE_WHILE_DRAINING) != 0;
	if (!kept && ms_http_server_draining(nl->server))
		ms_h2_drain(session_of(w));
}

static void h2_cut(struct work *w)
{
	struct h2_work *hw = work_of(w);
	w->gone = true;
	if (hw->stream == NULL)
		return;
	ms_h2_reset(session_of(w), hw->stream, H2_INTERNAL_ERROR);
	flush(w->conn);
}

static void respond(struct work *w, const struct answer_head *head, bool end)
{
	struct h2_work *hw = work_of(w);
	struct h2_message message = {.status = head->status, .end = end};
	if (hw->stream == NULL)
		return;
	message.headers = ms_answer_fields(w, head, &message.header_count);
	if (message.headers == NULL) {
		h2_cut(w);
		return;
	}
	// Success would open the tunnel that was asked for, and whoever answers here has not opened it (RFC 8441 section 4).
	if (w->x.req.protocol.n > 0 && !w->tunnel && head->status < 300)
		message.status = 501;
	ms_h2_respond(session_of(w), hw->stream, &message);
	drain_after(w);
	flush(w->conn);
}

static void h2_head(struct work *w, const struct answer_head *head)
{
	bool nothing = head->length == 0 || head->length == LENGTH_NONE;
	// Of length 0 it ends with its head even when it comes in pieces: for clients of gRPC trailers alone are one frame.
	work_of(w)->ended = !w->no_content && head->in_pieces && head->length == 0;
	respond(w, head, w->no_content || work_of(w)->ended || (nothing && !head->in_pieces));
}

static void h2_interim(struct work *w, int status, const struct http_header *headers, size_t count)
{
	struct h2_work *hw = work_of(w);
	if (hw->stream == NULL)
		return;
	ms_h2_respond(session_of(w), hw->stream,
		      &(struct h2_message){.status = status, .headers = headers, .header_count = count});
	flush(w->conn);
}

static void h2_tunnel(struct work *w, const struct http_header *headers, size_t count)
{
	const struct answer_head head = {
		.status = 200, .length = LENGTH_STREAM, .headers = headers, .header_count = count, .in_pieces = true};
	respond(w, &head, false);
}

static void h2_body(struct work *w, const struct buf *body)
{
	struct h2_work *hw = work_of(w);
	if (hw->stream == NULL)
		return;
	ms_h2_send_last(session_of(w), hw->stream, ms_buf_slice(body));
	set_timeout(hw, false);
	flush(w->conn);
}

static size_t h2_write(struct work *w, struct slice bytes)
{
	struct h2_work *hw = work_of(w);
	if (hw->stream == NULL)
		return 0;
	size_t waiting = ms_h2_send_data(session_of(w), hw->stream, bytes);
	set_timeout(hw, w->tunnel);
	flush(w->conn);
	return waiting;
}

static void h2_end(struct work *w, const struct http_header *trailers, size_t count)
{
	struct h2_work *hw = work_of(w);
	if (hw->stream == NULL || hw->ended)
		return;
	ms_h2_send_end(session_of(w), hw->stream, trailers, count);
	flush(w->conn);
}

static void on_drained(struct h2_session *s, struct h2_stream *stream, void *arg)
{
	struct h2_work *hw = ms_h2_data(stream);
	(void)s, (void)arg;
	if (hw != NULL && !hw->done && hw->w->open && hw->w->wants_drain)
		ms_exchange_drained(hw->w);
}

// Now it is the client that is waited for, if it has more to say.
static void on_sent(struct h2_session *s, struct h2_stream *stream, void *arg)
{
	struct h2_work *hw = ms_h2_data(stream);
	(void)s, (void)arg;
	if (hw != NULL)
		set_timeout(hw, false);
}

// --- The end of streams ------------------------------------------------------------------------------

static void h2_done(struct work *w)
{
	struct h2_work *hw = work_of(w);
	struct conn *c = w->conn;
	hw->done = true;
	if (hw->telling_gone)
		return;
	if (hw->stream != NULL) {
		set_timeout(hw, false);
		flush(c);
		ms_h2_resume(hw->h2->session, hw->stream); // what comes is discarded
		return;
	}
	give_work(hw);
	if (c->handle_closed && c->works == 0 && !c->advancing)
		ms_conn_release(c);
}

// From within the session, perhaps from within a call of this very work: who is gone is told later.
static void on_closed(struct h2_session *s, struct h2_stream *stream, uint32_t error, void *arg)
{
	struct h2_work *hw = ms_h2_data(stream);
	(void)s, (void)error;
	if (hw == NULL)
		return;
	hw->stream = NULL;
	ms_timeout_start(&hw->w->nl->timeouts, &hw->timeout, TIMEOUT_NONE);
	if (hw->done) {
		give_work(hw);
		return;
	}
	hw->w->gone = true;
	((struct conn *)arg)->h2->has_gone = true;
}

static struct h2_work *find_gone(struct h2_conn *h2)
{
	MS_LIST_FOREACH (node, &h2->works) {
		struct h2_work *hw = MS_CONTAINER_OF(node, struct h2_work, node);
		if (hw->stream == NULL && !hw->told)
			return hw;
	}
	return NULL;
}

// True when handlers were told: they may have sent something elsewhere.
static bool tell_gone(struct conn *c)
{
	struct h2_conn *h2 = c->h2;
	bool told = h2->has_gone;
	h2->has_gone = false;
	for (struct h2_work *hw; told && (hw = find_gone(h2)) != NULL;) {
		hw->told = hw->telling_gone = true;
		if (hw->w->open)
			ms_exchange_gone(hw->w);
		hw->telling_gone = false;
		if (hw->done)
			give_work(hw);
	}
	return told;
}

const struct transport ms_h2_transport = {
	.head = h2_head,
	.interim = h2_interim,
	.body = h2_body,
	.write = h2_write,
	.end = h2_end,
	.cut = h2_cut,
	.tunnel = h2_tunnel,
	.want = h2_want,
	.done = h2_done,
};

// --- Connections -------------------------------------------------------------------------------------

bool ms_h2_conn_start(struct conn *c)
{
	static const struct h2_events events = {.head = on_head,
						.data = on_data,
						.end = on_end,
						.drained = on_drained,
						.closed = on_closed,
						.sent = on_sent};
	const struct http_limits *limits = &c->nl->server->options.limits;
	const struct h2_options options = {
		.side = H2_SERVER,
		.limits = {.streams = limits->h2_streams,
			   .header_bytes = limits->header_bytes,
			   .header_count = limits->header_count,
			   .glitches = limits->h2_glitches},
		.extended_connect = true,
		.events = &events,
		.arg = c,
		.now_ns = ms_clock_mono_ns(),
	};
	struct h2_conn *h2 = calloc(1, sizeof(*h2));
	if (h2 == NULL || ms_h2_new(&options, &h2->session) != MS_OK) {
		free(h2);
		return false;
	}
	ms_list_init(&h2->works);
	c->h2 = h2;
	ms_conn_enter(c, CONN_H2);
	return true;
}

bool ms_h2_conn_feed(struct conn *c)
{
	struct wire *wire = c->wire;
	if (wire == NULL || wire->in_pos == wire->in_end)
		return false;
	struct slice bytes = ms_slice(wire->in + wire->in_pos, wire->in_end - wire->in_pos);
	struct errinfo info;
	ms_errinfo_init(&info);
	// What went wrong is told by the end of the session.
	MS_IGNORE(ms_h2_feed(c->h2->session, bytes, wire->read_ns, &info));
	wire->in_request = wire->in_pos = wire->in_end = 0;
	(void)tell_gone(c);
	return true;
}

static void log_why(struct conn *c)
{
	struct errinfo info;
	struct log *log = c->nl->server->options.log;
	ms_errinfo_init(&info);
	if (ms_h2_why(c->h2->session, &info) == MS_OK || c->h2->told_why || !ms_log_enabled(log, LOG_DEBUG))
		return;
	c->h2->told_why = true;
	const struct log_field fields[] = {MS_LOG_CSTR("error.message", info.message),
					   MS_LOG_CSTR("client.address", c->peer)};
	ms_log_write(log, LOG_DEBUG, "an HTTP/2 connection was ended", fields, MS_ARRAY_LEN(fields));
}

// Everything was said and sent.
static void finish(struct conn *c)
{
	log_why(c);
	if (!c->last_out) {
		c->last_out = true;
		ms_output_flush(c); // good-bye over TLS
	}
	if (c->phase == CONN_H2 && !c->writing)
		ms_conn_shut_down(c); // lingers, so that the client reads our GOAWAY
	if (c->phase == CONN_LINGER)
		ms_h2_conn_end(c);
}

static void push_output(struct conn *c)
{
	struct h2_session *session = c->h2->session;
	bool more = true;
	if (c->wire == NULL && ms_h2_wants_output(session))
		c->wire = ms_conn_wire_take(c->nl); // memory is out: later
	while (c->wire != NULL && more && !c->writing && c->phase == CONN_H2) {
		more = ms_h2_output(session, &c->wire->out, OUTPUT_HIGH);
		ms_output_flush(c);
	}
}

void ms_h2_conn_pump(struct conn *c)
{
	do
		push_output(c);
	while (tell_gone(c));
	bool sent = c->wire == NULL || (!c->writing && !ms_output_pending(c->wire));
	if (c->phase == CONN_H2 && sent && ms_h2_over(c->h2->session))
		finish(c);
}

enum timeout_class ms_h2_conn_timeout_class(const struct conn *c)
{
	const struct h2_session *s = c->h2->session;
	if (c->writing)
		return TIMEOUT_WRITE;
	if (ms_h2_reads_head(s) || !ms_h2_peer_settings_seen(s))
		return TIMEOUT_HEADER;
	return c->works == 0 && ms_h2_stream_count(s) == 0 ? TIMEOUT_IDLE : TIMEOUT_NONE;
}

void ms_h2_conn_drain(struct conn *c)
{
	if (c->h2->session == NULL)
		return;
	ms_h2_drain(c->h2->session);
	flush(c);
}

void ms_h2_conn_say_goodbye(struct conn *c)
{
	ms_h2_conn_drain(c);
	ms_h2_conn_drain(c); // nothing is under way that would be waited for
	ms_output_flush_later(c);
}

void ms_h2_conn_mark_gone(struct conn *c)
{
	MS_LIST_FOREACH (node, &c->h2->works)
		MS_CONTAINER_OF(node, struct h2_work, node)->w->gone = true;
}

void ms_h2_conn_end(struct conn *c)
{
	struct h2_conn *h2 = c->h2;
	ms_h2_conn_mark_gone(c);
	ms_h2_free(h2->session); // closes its streams; perhaps it was before
	h2->session = NULL;
	(void)tell_gone(c);
}

void ms_h2_conn_free(struct conn *c)
{
	struct h2_conn *h2 = c->h2;
	if (h2 == NULL)
		return;
	MS_ASSERT(h2->session == NULL);
	for (struct list_node *node; (node = ms_list_first(&h2->works)) != NULL;)
		give_work(MS_CONTAINER_OF(node, struct h2_work, node));
	free(h2);
	c->h2 = NULL;
}
