// SPDX-License-Identifier: Apache-2.0
// One request in the hands of a handler, and its answer.
#include <stdarg.h>
#include <stdio.h>

#include "net/negotiate.h"
#include "net/server.h"
#include "net/url.h"

#define REQUEST_ID_MAX 128
#define COMPRESS_MIN_BYTES 1024
// Compression runs on the loop: about a millisecond at most. Larger answers go out as they are.
#define GZIP_MAX_BYTES ((size_t)64 << 10)
#define ZSTD_MAX_BYTES ((size_t)256 << 10)

// --- Request -----------------------------------------------------------------------------------------

static bool good_id(struct slice id)
{
	if (id.p == NULL || id.n == 0 || id.n > REQUEST_ID_MAX)
		return false;
	for (size_t i = 0; i < id.n; i++) {
		char c = id.p[i];
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
			    c == '_' || c == '-';
		if (!good)
			return false;
	}
	return true;
}

static struct slice make_id(struct work *w)
{
	static const char hex[] = "0123456789abcdef";
	struct rand *rand = ms_loop_rand(w->x.loop);
	for (size_t i = 0; i < 32; i += 16) {
		uint64_t bits = ms_rand_u64(rand);
		for (size_t k = 0; k < 16; k++, bits >>= 4)
			w->id[i + k] = hex[bits & 15];
	}
	return ms_slice(w->id, 32);
}

// A well-formed traceparent is continued with a span of ours; else a trace begins here, which nobody samples.
static void start_trace(struct work *w, struct slice traceparent)
{
	struct trace_context *trace = &w->x.req.trace;
	struct rand *rand = ms_loop_rand(w->x.loop);
	if (traceparent.p == NULL || !ms_trace_parse(traceparent, trace)) {
		uint64_t id[2] = {ms_rand_u64(rand), ms_rand_u64(rand) | 1}; // never all zero
		memcpy(trace->trace_id, id, sizeof(id));
		trace->flags = 0;
	}
	uint64_t span = ms_rand_u64(rand) | 1;
	memcpy(trace->parent_id, &span, sizeof(span));
	trace->valid = true;
}

void ms_exchange_begin(struct work *w)
{
	const struct conn *c = w->conn;
	const struct http1_head *head = &w->parser.head;
	struct http_request *req = &w->x.req;
	struct slice id = MS_SLICE_EMPTY, traceparent = MS_SLICE_EMPTY;
	if (w->parsed) {
		req->method = head->method;
		req->target = head->target;
		req->path = head->path;
		req->query = head->query;
		req->headers = head->headers;
		req->header_count = head->header_count;
		id = head->known[HTTP1_X_REQUEST_ID];
		// Two of them name no parent that can be trusted (Trace Context, section 3.2).
		if ((head->repeated >> HTTP1_TRACEPARENT & 1) == 0)
			traceparent = head->known[HTTP1_TRACEPARENT];
	}
	req->id = good_id(id) ? id : make_id(w);
	start_trace(w, traceparent);
	req->peer = ms_slice_cstr(c->peer);
	req->tls = c->tls != NULL;
	req->start_mono_ns = w->read_ns != 0 ? w->read_ns : ms_clock_mono_ns();
	w->route_index = c->nl->server->route_count;
	w->begun = true;
}

enum ms_err ms_exchange_admit(struct work *w, struct errinfo *info)
{
	const struct route *route = w->x.req.route;
	const struct http_guard *guard = w->conn->nl->server->options.guard;
	if (guard == NULL || route == NULL || (route->flags & ROUTE_PUBLIC) != 0)
		return MS_OK;
	struct slice object = route->object > 0 ? w->x.req.params[route->object - 1] : MS_SLICE_EMPTY;
	return guard->admit(&w->x, object, info, guard->arg);
}

void ms_exchange_handle(struct work *w)
{
	const struct route *route = w->x.req.route;
	w->open = true;
	if (route != NULL) {
		route->handle(&w->x, w->match.role);
		return;
	}
	ms_http_set_header(&w->x, "Allow", w->match.allow); // OPTIONS
	ms_http_send(&w->x, 204, NULL);
}

struct slice ms_http_header(const struct http_request *req, const char *name)
{
	struct slice wanted = ms_slice_cstr(name);
	for (size_t i = 0; i < req->header_count; i++) {
		if (ms_slice_eq_nocase(req->headers[i].name, wanted))
			return req->headers[i].value;
	}
	return MS_SLICE_EMPTY;
}

bool ms_http_query(struct exchange *x, const char *name, struct slice *ret_value)
{
	return ms_url_query_get(x->arena, x->req.query, ms_slice_cstr(name), ret_value) == URL_QUERY_FOUND;
}

// --- Guard -------------------------------------------------------------------------------------------

static const struct http_guard *guard_of(const struct exchange *x)
{
	const struct work *w = (const void *)((const char *)x - offsetof(struct work, x));
	return w->conn->nl->server->options.guard;
}

bool ms_http_may(const struct exchange *x, const char *permission, struct slice object)
{
	const struct http_guard *guard = guard_of(x);
	return guard == NULL || guard->may(x, permission, object, guard->arg);
}

enum ms_err ms_http_allow(const struct exchange *x, struct slice object, struct errinfo *info)
{
	const struct http_guard *guard = guard_of(x);
	const char *permission = x->req.route->permission;
	if (guard == NULL || guard->may(x, permission, object, guard->arg))
		return MS_OK;
	if (guard->refused != NULL)
		guard->refused(x, permission, object, guard->arg);
	return ms_fail(info, MS_ERR_FORBIDDEN, "this caller has no permission '%s' for '%.*s'", permission,
		       MS_SLICE_ARG(object));
}

bool ms_http_require(struct exchange *x, struct slice object)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	if (ms_http_allow(x, object, &info) == MS_OK)
		return true;
	ms_http_fail(x, &info);
	return false;
}

// --- Answer ------------------------------------------------------------------------------------------

bool ms_http_gone(const struct exchange *x)
{
	const struct work *w = (const void *)((const char *)x - offsetof(struct work, x));
	return w->conn->phase == CONN_CLOSED;
}

bool ms_http_admit_again(struct exchange *x)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	if (ms_exchange_admit(ms_work_of(x), &info) == MS_OK)
		return true;
	ms_http_fail(x, &info);
	return false;
}

void ms_http_set_header(struct exchange *x, const char *name, struct slice value)
{
	struct work *w = ms_work_of(x);
	ms_http1_write_header(&w->headers, name, value);
	w->has_encoding |= ms_slice_eq_nocase(ms_slice_cstr(name), MS_SLICE_LIT("Content-Encoding"));
}

static bool stays_open(const struct work *w)
{
	const struct net_loop *nl = w->conn->nl;
	if (w->conn->close_after)
		return false;
	if (!atomic_load_explicit(&nl->server->draining, memory_order_relaxed))
		return true;
	const struct route *route = w->x.req.route;
	return !nl->stopping && route != NULL && (route->flags & ROUTE_WHILE_DRAINING) != 0;
}

static bool has_no_content(int status)
{
	return status == 204 || status == 304;
}

void ms_exchange_write_head(struct work *w, int status, const char *type, enum content_coding coding, uint64_t length)
{
	struct conn *c = w->conn;
	const struct http_server *server = c->nl->server;
	struct buf *out = &w->out;
	if (!stays_open(w)) {
		// The client may be sending its next request by now: read on a little so that the answer arrives.
		c->linger |= !c->close_after;
		c->close_after = true;
	}
	w->status = status;
	ms_http1_write_status(out, status);
	ms_http1_write_date(out, &c->nl->date, ms_loop_wall_ns(c->nl->loop));
	if (server->options.server_header != NULL)
		ms_http1_write_header(out, "Server", ms_slice_cstr(server->options.server_header));
	ms_http1_write_header(out, "X-Content-Type-Options", MS_SLICE_LIT("nosniff"));
	ms_http1_write_header(out, "X-Request-ID", w->x.req.id);
	if (type != NULL)
		ms_http1_write_header(out, "Content-Type", ms_slice_cstr(type));
	if (coding != CODING_IDENTITY)
		ms_http1_write_header(out, "Content-Encoding", ms_slice_cstr(ms_coding_name(coding)));
	ms_buf_append(out, w->headers.p, w->headers.n);
	if (length == LENGTH_STREAM && w->chunked_out)
		ms_http1_write_header(out, "Transfer-Encoding", MS_SLICE_LIT("chunked"));
	else if (length < LENGTH_STREAM && !has_no_content(status))
		ms_http1_write_header_u64(out, "Content-Length", length);
	if (c->close_after)
		ms_http1_write_header(out, "Connection", MS_SLICE_LIT("close"));
	else if (w->parser.head.minor == 0)
		ms_http1_write_header(out, "Connection", MS_SLICE_LIT("keep-alive"));
	ms_http1_write_end(out);
}

static bool pack(struct work *w, enum content_coding coding)
{
	struct compressor *packer;
	if (ms_compressor_take(w->conn->nl->codecs, coding, w->body.n, &packer) != MS_OK)
		return false;
	enum ms_err err = ms_compressor_write(packer, ms_buf_slice(&w->body), COMPRESS_END, &w->packed);
	ms_compressor_give(packer);
	return err == MS_OK && ms_buf_ok(&w->packed) && w->packed.n < w->body.n;
}

// The coding of the body; when it is not identity, w->packed holds the body.
static enum content_coding compress(struct work *w, const char *type)
{
	if (w->body.n < COMPRESS_MIN_BYTES || w->has_encoding || !ms_media_type_compresses(ms_slice_cstr(type)))
		return CODING_IDENTITY;
	ms_http_set_header(&w->x, "Vary", MS_SLICE_LIT("Accept-Encoding"));
	if (!w->parsed || w->parser.head.known[HTTP1_ACCEPT_ENCODING].p == NULL)
		return CODING_IDENTITY;
	enum content_coding coding = ms_negotiate_coding(w->x.req.headers, w->x.req.header_count).coding;
	size_t max = coding == CODING_GZIP ? GZIP_MAX_BYTES : ZSTD_MAX_BYTES;
	if (coding == CODING_IDENTITY || w->body.n > max || !pack(w, coding))
		return CODING_IDENTITY;
	return coding;
}

void ms_exchange_answered(struct work *w)
{
	struct conn *c = w->conn;
	MS_ASSERT(w->open);
	ms_stats_record(w);
	w->open = false;
	w->answered = true;
	w->on_drain = NULL;
	if (c->handle_closed)
		ms_conn_release(c);
	else
		ms_conn_advance(c);
}

static void send_body(struct work *w, int status, const char *type)
{
	enum content_coding coding = type != NULL ? compress(w, type) : CODING_IDENTITY;
	const struct buf *body = coding != CODING_IDENTITY ? &w->packed : &w->body;
	size_t n = type != NULL && !has_no_content(status) ? body->n : 0;
	ms_exchange_write_head(w, status, type, coding, n);
	bool sends = n > 0 && !(w->parsed && w->x.req.method == HTTP_HEAD);
	w->tail = sends ? body : NULL;
	w->tail_sent = 0;
	w->body_bytes = sends ? n : 0;
}

void ms_http_send(struct exchange *x, int status, const char *content_type)
{
	struct work *w = ms_work_of(x);
	MS_ASSERT(w->open && w->conn->phase != CONN_STREAMING && status >= 200 && status <= 599);
	w->status = status;
	w->body_bytes = 0;
	if (!ms_http_gone(x)) {
		if (!ms_buf_ok(&w->body) || !ms_buf_ok(&w->headers)) {
			ms_buf_clear(&w->headers);
			ms_http_fail_code(x, MS_ERR_NO_MEMORY, "the answer is too large for the server's memory");
			return;
		}
		send_body(w, status, content_type);
	}
	ms_exchange_answered(w);
}

void ms_http_send_json(struct exchange *x, int status)
{
	ms_buf_append_char(x->body, '\n'); // so that a terminal's prompt starts on its own line
	ms_http_send(x, status, "application/json");
}

// --- Errors ------------------------------------------------------------------------------------------

// errinfo's text is valid UTF-8 without control bytes; ids are plain.
static void write_string(struct buf *b, const char *text)
{
	ms_buf_append_char(b, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			ms_buf_append_char(b, '\\');
		ms_buf_append_char(b, (unsigned char)*text < 0x20 ? '?' : *text);
	}
	ms_buf_append_char(b, '"');
}

static void write_details(struct buf *b, const struct errinfo *info)
{
	const struct {
		const char *name;
		int64_t value;
	} places[] = {{"row", info->row}, {"line", info->line}, {"offset", info->offset}};
	size_t before = b->n;
	if (info->field[0] != '\0') {
		ms_buf_append_cstr(b, ",\"details\":{\"field\":");
		write_string(b, info->field);
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(places); i++) {
		if (places[i].value < 0)
			continue;
		ms_buf_append_cstr(b, b->n == before ? ",\"details\":{" : ",");
		ms_buf_printf(b, "\"%s\":%lld", places[i].name, (long long)places[i].value);
	}
	if (b->n != before)
		ms_buf_append_char(b, '}');
}

void ms_http_fail(struct exchange *x, const struct errinfo *info)
{
	struct work *w = ms_work_of(x);
	struct conn *c = w->conn;
	MS_ASSERT(w->open && info->code != MS_OK);
	if (c->phase == CONN_STREAMING) { // the status is sent: only a cut body can tell that something went wrong
		ms_conn_close(c);
		ms_exchange_answered(w);
		return;
	}
	struct buf *b = &w->body;
	ms_buf_clear(b);
	ms_buf_append_cstr(b, "{\"error\":");
	write_string(b, info->message);
	ms_buf_printf(b, ",\"code\":\"%s\",\"request_id\":\"%.*s\"", ms_err_name(info->code), MS_SLICE_ARG(x->req.id));
	write_details(b, info);
	ms_buf_append_cstr(b, "}\n");
	if (!ms_buf_ok(b)) { // not even memory for the message: the status alone
		ms_buf_clear(b);
		ms_http_send(x, ms_err_http_status(info->code), NULL);
		return;
	}
	ms_http_send(x, ms_err_http_status(info->code), "application/json");
}

void ms_http_fail_code(struct exchange *x, enum ms_err code, const char *fmt, ...)
{
	struct errinfo info;
	char message[MS_ERRINFO_MESSAGE_SIZE];
	ms_errinfo_init(&info);
	va_list args;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	(void)ms_fail(&info, code, "%s", message);
	ms_http_fail(x, &info);
}
