// SPDX-License-Identifier: Apache-2.0
// From bytes to a whole request. The input buffer keeps a request's head in place until it is answered,
// because the request's slices point into it; a body that lies in the buffer whole is used where it is.
#include <stdlib.h>

#include "net/negotiate.h"
#include "net/server.h"
#include "net/url.h"

#define DIRECT_READ_MIN ((size_t)64 << 10) // room made for a body read straight into its buffer

static size_t unread(const struct work *w)
{
	return w->in_end - w->in_pos;
}

// --- Room --------------------------------------------------------------------------------------------

bool ms_input_has_room(const struct conn *c)
{
	const struct work *w = c->work;
	return w == NULL || (c->phase == CONN_BODY && w->intake.direct) || w->in_end < w->in_cap;
}

struct slice ms_input_room(struct conn *c)
{
	if (c->work == NULL)
		c->work = ms_work_take(c->nl, c);
	struct work *w = c->work;
	if (w == NULL)
		return MS_SLICE_EMPTY;
	if (c->phase != CONN_BODY || !w->intake.direct)
		return ms_slice(w->in + w->in_end, w->in_cap - w->in_end);
	// The buffer grows with what really arrives, not with what was announced.
	struct buf *body = &w->intake.bytes;
	if (body->cap == body->n && !ms_buf_reserve(body, (size_t)MS_MIN((uint64_t)DIRECT_READ_MIN, w->intake.left)))
		return MS_SLICE_EMPTY;
	return ms_slice(body->p + body->n, (size_t)MS_MIN((uint64_t)(body->cap - body->n), w->intake.left));
}

void ms_input_landed(struct conn *c, size_t n)
{
	struct work *w = c->work;
	w->read_ns = ms_clock_mono_ns();
	if (c->phase != CONN_BODY) {
		w->in_end += n;
		return;
	}
	ms_timeout_start(&c->nl->timeouts, &c->timeout, TIMEOUT_BODY);
	if (w->intake.direct) {
		w->intake.bytes.n += n;
		w->intake.left -= n;
	} else {
		w->in_end += n;
	}
}

bool ms_input_pull(struct conn *c)
{
	if (c->tls == NULL || c->phase == CONN_CLOSED || c->eof)
		return false;
	struct slice room = ms_input_room(c);
	if (room.n == 0) {
		if (c->work == NULL || ms_input_has_room(c))
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
static bool make_room(struct work *w, size_t least)
{
	if (w->in_cap - w->in_end >= least)
		return true;
	if (w->in_request > 0) {
		memmove(w->in, w->in + w->in_request, w->in_end - w->in_request);
		w->in_pos -= w->in_request;
		w->in_end -= w->in_request;
		w->in_request = 0;
	}
	if (w->in_cap - w->in_end >= least)
		return true;
	size_t cap = MS_MAX(w->in_cap * 2, w->in_end + least);
	char *grown = realloc(w->in, cap);
	if (grown == NULL)
		return false;
	w->in = grown;
	w->in_cap = cap;
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

// Whether the body is here already; then it is skipped, and an early answer need not close the connection.
static bool skip_body(struct work *w)
{
	const struct http1_head *head = &w->parser.head;
	if (head->body == HTTP1_BODY_CHUNKED || head->content_length > unread(w))
		return false;
	w->in_pos += (size_t)head->content_length;
	return true;
}

// The request was read well but is not for us. The connection stays in order when there is no unread body.
static enum progress refuse(struct conn *c, const struct errinfo *info)
{
	if (!skip_body(c->work))
		return fail(c, info);
	ms_conn_answer_error(c, info);
	return PROGRESS_FAILED;
}

static size_t route_index(const struct http_server *server, const struct route *route)
{
	size_t base = 0;
	for (size_t i = 0; i < server->options.route_set_count; i++) {
		const struct route_set *set = &server->options.route_sets[i];
		if (route >= set->routes && route < set->routes + set->count)
			return base + (size_t)(route - set->routes);
		base += set->count;
	}
	return base;
}

// A parameter that the route's table does not know is a slip of the pen. Routes without a table ignore the query.
static enum ms_err check_query(const struct http_request *req, struct errinfo *info)
{
	struct slice rest = req->query, name, value, names[MS_HTTP_MAX_PARAMS];
	size_t count = 0;
	if (rest.n == 0 || req->route == NULL || req->route->query == NULL)
		return MS_OK;
	for (const struct route_param *p = req->route->query; p->name != NULL && count < MS_ARRAY_LEN(names); p++)
		names[count++] = ms_slice_cstr(p->name);
	while (ms_url_query_next(&rest, &name, &value)) {
		size_t i = 0;
		while (i < count && !ms_slice_eq(name, names[i]))
			i++;
		if (i < count)
			continue;
		size_t nearest = ms_text_nearest(name, names, count);
		ms_errinfo_set_field(info, name);
		return nearest != SIZE_MAX
			       ? ms_fail(info, MS_ERR_INVALID, "unknown query parameter '%.*s'; did you mean '%.*s'?",
					 MS_SLICE_ARG(name), MS_SLICE_ARG(names[nearest]))
			       : ms_fail(info, MS_ERR_INVALID, "unknown query parameter '%.*s'", MS_SLICE_ARG(name));
	}
	return MS_OK;
}

static enum ms_err find_route(struct conn *c, struct work *w, struct errinfo *info)
{
	const struct http_server *server = c->nl->server;
	struct http_request *req = &w->x.req;
	if (w->parser.head.asterisk) {
		w->match =
			(struct route_match){.path = MS_SLICE_LIT("*"), .allow = ms_router_allow_all(server->router)};
		req->path = w->match.path;
		return MS_OK;
	}
	enum ms_err err = ms_router_find(server->router, req->method, w->parser.head.path, &w->arena, info, &w->match);
	if (err == MS_ERR_HTTP_METHOD)
		ms_http_set_header(&w->x, "Allow", w->match.allow);
	if (err != MS_OK)
		return err;
	req->path = w->match.path;
	memcpy(req->params, w->match.params, sizeof(req->params));
	req->route = w->match.route;
	w->route_index = req->route != NULL ? route_index(server, req->route) : server->route_count;
	return check_query(req, info);
}

static enum ms_err start_intake(struct conn *c, struct work *w, struct errinfo *info)
{
	const struct http_limits *limits = &c->nl->server->options.limits;
	const struct http1_head *head = &w->parser.head;
	struct intake *in = &w->intake;
	bool upload = w->x.req.route != NULL && (w->x.req.route->flags & ROUTE_UPLOAD) != 0;
	size_t max = upload ? limits->upload_bytes : limits->body_bytes;
	enum content_coding coding = CODING_IDENTITY;
	if (head->known[HTTP1_CONTENT_ENCODING].p != NULL)
		MS_TRY(ms_request_coding(head->headers, head->header_count, info, &coding));
	if (head->content_length > max)
		return ms_fail(info, MS_ERR_HTTP_BODY_TOO_LARGE,
			       "the body has %llu bytes; at most %zu are allowed here",
			       (unsigned long long)head->content_length, max);
	in->bytes.max = max;
	in->left = head->content_length;
	ms_chunked_init(&in->chunked, max);
	const struct inflate_limits inflate = {.max_bytes = max, .max_ratio = limits->inflated_ratio};
	if (coding != CODING_IDENTITY && ms_inflater_take(c->nl->codecs, coding, &inflate, &in->inflater) != MS_OK)
		return ms_fail(info, MS_ERR_NO_MEMORY, "the server is out of memory for this request");
	return MS_OK;
}

// A body of known length and no coding that is not here whole is read straight into a buffer of its own.
static bool prefer_direct(struct work *w)
{
	struct intake *in = &w->intake;
	if (w->parser.head.body != HTTP1_BODY_LENGTH || in->inflater != NULL || in->left <= unread(w))
		return true;
	size_t n = unread(w);
	ms_buf_append(&in->bytes, w->in + w->in_pos, n);
	in->left -= n;
	in->direct = true;
	w->in_pos += n;
	return ms_buf_ok(&in->bytes);
}

static enum progress head_done(struct conn *c, struct work *w)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct http1_head *head = &w->parser.head;
	c->close_after = !head->keep_alive;
	w->parsed = true;
	ms_exchange_begin(w);
	enum ms_err err = find_route(c, w, &info);
	if (err == MS_ERR_HTTP_SYNTAX)
		return fail(c, &info); // who writes a path that is none may be misread elsewhere too
	if (err == MS_OK)
		err = ms_exchange_admit(w, &info);
	if (err != MS_OK)
		return refuse(c, &info);
	err = start_intake(c, w, &info);
	if (err == MS_ERR_HTTP_ENCODING)
		ms_http_set_header(&w->x, "Accept-Encoding", MS_SLICE_LIT(MS_CODINGS_SUPPORTED));
	if (err != MS_OK)
		return refuse(c, &info);
	if (head->expect_continue && head->body != HTTP1_BODY_NONE && unread(w) == 0)
		ms_buf_append_slice(&w->out, MS_HTTP1_CONTINUE);
	return prefer_direct(w) ? PROGRESS_DONE : fail_memory(c);
}

enum progress ms_input_head(struct conn *c)
{
	struct work *w = c->work;
	struct errinfo info;
	ms_errinfo_init(&info);
	size_t head_bytes;
	struct slice bytes = ms_slice(w->in + w->in_request, w->in_end - w->in_request);
	enum ms_err err = ms_http1_parse(&w->parser, bytes, &info, &head_bytes);
	if (err != MS_OK) {
		w->in_pos = w->in_end;
		return fail(c, &info);
	}
	if (head_bytes == 0) {
		if (ms_http1_started(&w->parser))
			ms_conn_enter(c, CONN_HEAD);
		return make_room(w, 1) ? PROGRESS_WAIT : fail_memory(c);
	}
	w->head_bytes = head_bytes;
	w->in_pos = w->in_request + head_bytes;
	// The head stays where it is from now on, and what follows it needs room.
	if (w->parser.head.body != HTTP1_BODY_NONE && w->in_cap - w->in_end < INPUT_ROOM_MIN) {
		if (!make_room(w, INPUT_ROOM_MIN))
			return fail_memory(c);
		ms_http1_move(&w->parser, w->in + w->in_request);
	}
	return head_done(c, w);
}

// --- Body --------------------------------------------------------------------------------------------

static enum ms_err take_bytes(struct intake *in, struct slice data, struct errinfo *info)
{
	if (in->inflater != NULL)
		return ms_inflater_write(in->inflater, data, &in->bytes, info);
	ms_buf_append_slice(&in->bytes, data);
	return ms_buf_ok(&in->bytes) ? MS_OK
				     : ms_fail(info, MS_ERR_NO_MEMORY, "the server is out of memory for this request");
}

static enum ms_err take_chunks(struct work *w, struct errinfo *info, bool *ret_done)
{
	struct slice input = ms_slice(w->in + w->in_pos, unread(w)), data;
	do {
		MS_TRY(ms_chunked_next(&w->intake.chunked, &input, info, &data, ret_done));
		MS_TRY(take_bytes(&w->intake, data, info));
	} while (!*ret_done && data.n > 0);
	w->in_pos = w->in_end - input.n;
	return MS_OK;
}

static enum ms_err take_length(struct work *w, struct errinfo *info, bool *ret_done)
{
	struct intake *in = &w->intake;
	size_t n = (size_t)MS_MIN((uint64_t)unread(w), in->left);
	if (!in->direct)
		MS_TRY(take_bytes(in, ms_slice(w->in + w->in_pos, n), info));
	if (!in->direct) {
		w->in_pos += n;
		in->left -= n;
	}
	*ret_done = in->left == 0;
	return MS_OK;
}

static enum ms_err take(struct work *w, struct errinfo *info, bool *ret_done)
{
	struct intake *in = &w->intake;
	const struct http1_head *head = &w->parser.head;
	*ret_done = true;
	if (head->body == HTTP1_BODY_NONE)
		return MS_OK;
	// Here whole and as it is: nothing is copied.
	if (head->body == HTTP1_BODY_LENGTH && !in->direct && in->inflater == NULL && in->left <= unread(w)) {
		w->x.req.body = ms_slice(w->in + w->in_pos, (size_t)in->left);
		w->in_pos += (size_t)in->left;
		return MS_OK;
	}
	if (head->body == HTTP1_BODY_CHUNKED)
		MS_TRY(take_chunks(w, info, ret_done));
	else
		MS_TRY(take_length(w, info, ret_done));
	if (*ret_done && in->inflater != NULL)
		MS_TRY(ms_inflater_end(in->inflater, info));
	w->x.req.body = ms_buf_slice(&in->bytes);
	return MS_OK;
}

enum progress ms_input_body(struct conn *c)
{
	struct work *w = c->work;
	struct errinfo info;
	ms_errinfo_init(&info);
	bool done;
	enum ms_err err = take(w, &info, &done);
	if (err != MS_OK)
		return fail(c, &info);
	if (done) {
		// A client may take as long as it likes for a body: who was let in before it may not be any more.
		err = w->intake.waited ? ms_exchange_admit(w, &info) : MS_OK;
		if (err == MS_OK)
			return PROGRESS_DONE;
		ms_conn_answer_error(c, &info);
		return PROGRESS_FAILED;
	}
	w->intake.waited = true;
	// Everything unread was taken: read again behind the head.
	if (!w->intake.direct && w->in_pos == w->in_end)
		w->in_pos = w->in_end = (size_t)(w->in_request + w->head_bytes);
	return PROGRESS_WAIT;
}
