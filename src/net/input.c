// SPDX-License-Identifier: Apache-2.0
// From bytes to a whole request. The input buffer keeps a request's head in place until it is answered,
// because the request's slices point into it; a body that lies in the buffer whole is used where it is.
#include <stdlib.h>

#include "net/server.h"

#define DIRECT_READ_MIN ((size_t)64 << 10) // room made for a body read straight into its buffer

static size_t unread(const struct wire *wire)
{
	return wire->in_end - wire->in_pos;
}

// --- Room --------------------------------------------------------------------------------------------

// Read straight into the body's buffer.
static bool is_direct(const struct conn *c)
{
	return c->phase == CONN_HANDLING && c->wire->h1.direct && c->wire->h1.left > 0;
}

bool ms_input_has_room(const struct conn *c)
{
	const struct wire *wire = c->wire;
	return wire == NULL || is_direct(c) || wire->in_end < wire->in_cap;
}

struct slice ms_input_room(struct conn *c)
{
	if (c->work != NULL && !ms_h1_rewire(c)) // of an idle tunnel
		return MS_SLICE_EMPTY;
	if (c->wire == NULL)
		c->wire = ms_conn_wire_take(c->nl);
	struct wire *wire = c->wire;
	if (wire == NULL)
		return MS_SLICE_EMPTY;
	if (!is_direct(c))
		return ms_slice(wire->in + wire->in_end, wire->in_cap - wire->in_end);
	// The buffer grows with what really arrives, not with what was announced.
	struct buf *body = &c->work->intake.bytes;
	uint64_t left = wire->h1.left;
	if (body->cap == body->n && !ms_buf_reserve(body, (size_t)MS_MIN((uint64_t)DIRECT_READ_MIN, left)))
		return MS_SLICE_EMPTY;
	return ms_slice(body->p + body->n, (size_t)MS_MIN((uint64_t)(body->cap - body->n), left));
}

void ms_input_landed(struct conn *c, size_t n)
{
	struct wire *wire = c->wire;
	wire->read_ns = ms_clock_mono_ns();
	if (c->timeout.class == TIMEOUT_BODY || c->timeout.class == TIMEOUT_TUNNEL)
		ms_timeout_start(&c->nl->timeouts, &c->timeout, c->timeout.class);
	if (is_direct(c)) {
		c->work->intake.bytes.n += n;
		wire->h1.left -= n;
	} else {
		wire->in_end += n;
	}
}

bool ms_input_pull(struct conn *c)
{
	if (c->tls == NULL || c->phase == CONN_CLOSED || c->eof)
		return false;
	struct slice room = ms_input_room(c);
	if (room.n == 0) {
		if (c->wire == NULL || ms_input_has_room(c))
			ms_conn_close(c); // memory is out
		return false;
	}
	size_t n;
	switch (ms_tls_read(c->tls, (char *)(uintptr_t)room.p, room.n, &n)) {
	case TLS_OK:
		ms_input_landed(c, n);
		return true;
	case TLS_CLOSED:
		c->eof = true;
		return false;
	case TLS_FAILED:
		ms_output_flush(c); // the alert says why
		ms_conn_close(c);
		return false;
	case TLS_MORE:
		break;
	}
	return false;
}

// Moves the present request to the front, or grows the buffer; the parser's limits bound the head.
static bool make_room(struct wire *wire, size_t least)
{
	if (wire->in_cap - wire->in_end >= least)
		return true;
	if (wire->in_request > 0) {
		memmove(wire->in, wire->in + wire->in_request, wire->in_end - wire->in_request);
		wire->in_pos -= wire->in_request;
		wire->in_end -= wire->in_request;
		wire->in_request = 0;
	}
	if (wire->in_cap - wire->in_end >= least)
		return true;
	size_t cap = MS_MAX(wire->in_cap * 2, wire->in_end + least);
	char *grown = realloc(wire->in, cap);
	if (grown == NULL)
		return false;
	wire->in = grown;
	wire->in_cap = cap;
	return true;
}

// --- Head --------------------------------------------------------------------------------------------

static enum progress fail(struct conn *c, const struct errinfo *info)
{
	ms_conn_fail(c, info);
	return PROGRESS_FAILED;
}

static enum progress fail_memory(struct conn *c)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_NO_MEMORY, "the server is out of memory for this request");
	return fail(c, &info);
}

// A body of which nobody took a byte but from the input, and whose rest is there.
bool ms_input_body_is_here(struct conn *c, bool skip)
{
	struct wire *wire = c->wire;
	struct h1 *h1 = &wire->h1;
	if (h1->framing == H1_COMPLETE)
		return true;
	if (h1->framing != H1_LENGTH || h1->left > unread(wire))
		return false;
	if (skip) {
		wire->in_pos += (size_t)h1->left;
		h1->framing = H1_COMPLETE;
	}
	return true;
}

// The first protocol of an upgrade other than HTTP/2's retired one. A body would stand between the request and the tunnel.
static struct slice wanted_protocol(const struct http1_head *head)
{
	if (!head->upgrade || head->body != HTTP1_BODY_NONE)
		return MS_SLICE_EMPTY;
	for (size_t i = 0; i < head->header_count; i++) {
		struct slice rest = head->headers[i].value, protocol;
		if (!ms_slice_eq_nocase(head->headers[i].name, MS_SLICE_LIT("upgrade")))
			continue;
		while (ms_slice_next(&rest, ',', &protocol)) {
			protocol = ms_slice_trim(protocol);
			if (protocol.n > 0 && !ms_slice_eq_nocase(protocol, MS_SLICE_LIT("h2c")))
				return protocol;
		}
	}
	return MS_SLICE_EMPTY;
}

static void set_request(struct work *w, const struct http1_head *head)
{
	struct http_request *req = &w->x.req;
	req->method = head->method;
	req->target = head->target;
	req->path = head->path;
	req->query = head->query;
	req->headers = head->headers;
	req->header_count = head->header_count;
	req->version = 10 + head->minor;
	req->authority = head->host;
	req->protocol = wanted_protocol(head);
	req->has_body = head->body != HTTP1_BODY_NONE;
	bool known = head->body == HTTP1_BODY_LENGTH || head->known[HTTP1_CONTENT_LENGTH].p != NULL;
	req->content_length = known ? head->content_length : UINT64_MAX;
	w->marks = (struct request_marks){
		.request_id = head->known[HTTP1_X_REQUEST_ID],
		.accept_encoding = head->known[HTTP1_ACCEPT_ENCODING].p != NULL,
		.content_encoding = head->known[HTTP1_CONTENT_ENCODING].p != NULL,
	};
	// Two of them name no parent that can be trusted (Trace Context, section 3.2).
	if ((head->repeated >> HTTP1_TRACEPARENT & 1) == 0)
		w->marks.traceparent = head->known[HTTP1_TRACEPARENT];
	w->parsed = true;
}

static enum progress head_done(struct conn *c, struct work *w)
{
	struct h1 *h1 = &c->wire->h1;
	const struct http1_head *head = &h1->parser.head;
	c->close_after = !head->keep_alive;
	h1->framing = head->body == HTTP1_BODY_LENGTH    ? H1_LENGTH
		      : head->body == HTTP1_BODY_CHUNKED ? H1_CHUNKED
							 : H1_COMPLETE;
	h1->left = head->content_length;
	set_request(w, head);
	w->x.req.start_mono_ns = c->wire->read_ns;
	ms_exchange_begin(w);
	ms_conn_enter(c, CONN_HANDLING);
	ms_exchange_start(w);
	return PROGRESS_DONE;
}

enum progress ms_input_head(struct conn *c)
{
	struct wire *wire = c->wire;
	struct h1 *h1 = &wire->h1;
	struct errinfo info;
	ms_errinfo_init(&info);
	size_t head_bytes;
	struct slice bytes = ms_slice(wire->in + wire->in_request, wire->in_end - wire->in_request);
	enum ms_err err = ms_http1_parse(&h1->parser, bytes, &info, &head_bytes);
	if (err != MS_OK) {
		wire->in_pos = wire->in_end;
		return fail(c, &info);
	}
	if (head_bytes == 0) {
		if (ms_http1_started(&h1->parser))
			ms_conn_enter(c, CONN_HEAD);
		return make_room(wire, 1) ? PROGRESS_WAIT : fail_memory(c);
	}
	h1->head_bytes = head_bytes;
	wire->in_pos = wire->in_request + head_bytes;
	// The head stays where it is from now on, and what follows it needs room.
	bool follows = h1->parser.head.body != HTTP1_BODY_NONE || h1->parser.head.upgrade;
	if (follows && wire->in_cap - wire->in_end < INPUT_ROOM_MIN) {
		if (!make_room(wire, INPUT_ROOM_MIN))
			return fail_memory(c);
		ms_http1_move(&h1->parser, wire->in + wire->in_request);
	}
	return head_done(c, c->work);
}

// --- Body --------------------------------------------------------------------------------------------

static enum progress fail_body(struct conn *c, const struct errinfo *info)
{
	c->close_after = c->linger = true;
	ms_body_cut(c->work, info);
	return PROGRESS_FAILED;
}

static struct slice take(struct wire *wire, size_t n)
{
	struct slice bytes = ms_slice(wire->in + wire->in_pos, n);
	wire->in_pos += n;
	return bytes;
}

// Collected as it is: used where it lies when it is here whole, else read straight into its buffer.
static enum progress take_plain(struct conn *c, struct work *w)
{
	struct wire *wire = c->wire;
	struct h1 *h1 = &wire->h1;
	struct buf *bytes = &w->intake.bytes;
	if (!h1->direct && h1->left <= unread(wire)) {
		h1->framing = H1_COMPLETE;
		ms_body_whole(w, take(wire, (size_t)h1->left));
		return PROGRESS_DONE;
	}
	if (!h1->direct) {
		h1->direct = true;
		h1->left -= unread(wire);
		ms_buf_append_slice(bytes, take(wire, unread(wire)));
	}
	if (!ms_buf_ok(bytes)) {
		struct errinfo info;
		ms_errinfo_init(&info);
		(void)ms_fail(&info, MS_ERR_NO_MEMORY, "the server is out of memory for this request");
		return fail_body(c, &info);
	}
	if (h1->left > 0)
		return PROGRESS_WAIT;
	h1->direct = false;
	h1->framing = H1_COMPLETE;
	ms_body_end(w, NULL, 0);
	return PROGRESS_DONE;
}

static enum progress take_length(struct conn *c, struct work *w)
{
	struct wire *wire = c->wire;
	struct h1 *h1 = &wire->h1;
	size_t n = (size_t)MS_MIN((uint64_t)unread(wire), h1->left);
	h1->left -= n;
	if (h1->left == 0)
		h1->framing = H1_COMPLETE; // the answer may come with the last byte
	if (n > 0)
		ms_body_data(w, take(wire, n));
	if (h1->left == 0 && !ms_body_wanted(w) && w->intake.state == BODY_PAUSED)
		h1->framing = H1_LENGTH; // paused before the end was told
	else if (h1->left == 0 && ms_body_wanted(w))
		ms_body_end(w, NULL, 0);
	return h1->left == 0 || !ms_body_wanted(w) ? PROGRESS_DONE : PROGRESS_WAIT;
}

// Lines "name: value" to headers; those that have no place behind a body are dropped.
static struct http_header *read_trailers(struct work *w, struct slice lines, size_t *ret_count)
{
	struct slice rest = lines, line;
	size_t most = 0, n = 0;
	while (ms_slice_next(&rest, '\n', &line))
		most++;
	struct http_header *trailers = most > 0 ? MS_ARENA_ARRAY(&w->arena, struct http_header, most) : NULL;
	while (trailers != NULL && ms_slice_next(&lines, '\n', &line)) {
		size_t colon = ms_slice_find(line, ':');
		if (colon == line.n)
			continue;
		trailers[n].name = ms_slice_sub(line, 0, colon);
		trailers[n].value = ms_slice_trim(ms_slice_sub(line, colon + 1, line.n - colon - 2));
		n += ms_trailer_allowed(&trailers[n]);
	}
	*ret_count = n;
	return trailers;
}

static enum progress take_chunks(struct conn *c, struct work *w)
{
	struct wire *wire = c->wire;
	struct h1 *h1 = &wire->h1;
	struct errinfo info;
	ms_errinfo_init(&info);
	struct slice data = MS_SLICE_EMPTY;
	bool done = false;
	do {
		struct slice input = ms_slice(wire->in + wire->in_pos, unread(wire));
		if (ms_chunked_next(&h1->chunked, &input, &info, &data, &done) != MS_OK) {
			wire->in_pos = wire->in_end;
			return fail_body(c, &info);
		}
		wire->in_pos = wire->in_end - input.n;
		if (done)
			h1->framing = H1_COMPLETE;
		if (data.n > 0)
			ms_body_data(w, data);
	} while (!done && data.n > 0 && ms_body_wanted(w));
	if (!ms_body_wanted(w))
		return PROGRESS_DONE;
	if (!done)
		return PROGRESS_WAIT;
	size_t count;
	struct http_header *trailers = read_trailers(w, ms_buf_slice(&h1->trailers), &count);
	ms_body_end(w, trailers, count);
	return PROGRESS_DONE;
}

static enum progress take_tunnel(struct conn *c, struct work *w)
{
	struct wire *wire = c->wire;
	if (unread(wire) > 0)
		ms_body_data(w, take(wire, unread(wire)));
	// While the server drains, the client's side is taken as ended: whoever is at the other end may say good-bye.
	if (!ms_body_wanted(w) || !(c->eof || c->nl->stopping))
		return ms_body_wanted(w) ? PROGRESS_WAIT : PROGRESS_DONE;
	if (ms_input_pull(c))
		return PROGRESS_DONE;
	wire->h1.framing = H1_COMPLETE;
	ms_body_end(w, NULL, 0);
	return PROGRESS_DONE;
}

enum progress ms_input_body(struct conn *c)
{
	struct work *w = c->work;
	struct wire *wire = c->wire;
	enum progress progress = PROGRESS_DONE;
	switch (wire->h1.framing) {
	case H1_LENGTH:
		progress = ms_body_plain(w) ? take_plain(c, w) : take_length(c, w);
		break;
	case H1_CHUNKED:
		progress = take_chunks(c, w);
		break;
	case H1_TUNNEL:
		progress = take_tunnel(c, w);
		break;
	case H1_COMPLETE:
		MS_UNREACHABLE();
	}
	bool more = w->open && wire->h1.framing != H1_COMPLETE;
	// Everything unread was taken: read again behind the head.
	if (more && !wire->h1.direct && wire->in_pos == wire->in_end)
		wire->in_pos = wire->in_end = wire->in_request + wire->h1.head_bytes;
	w->intake.waited |= progress == PROGRESS_WAIT;
	return progress;
}
