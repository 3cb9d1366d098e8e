// SPDX-License-Identifier: Apache-2.0
// One request in the hands of a handler: its beginning, what handlers ask about it, its end.
#include "net/server.h"
#include "net/url.h"

#define REQUEST_ID_MAX 128

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
	struct http_request *req = &w->x.req;
	req->id = good_id(w->marks.request_id) ? w->marks.request_id : make_id(w);
	start_trace(w, w->marks.traceparent);
	req->peer = ms_slice_cstr(c->peer);
	req->tls = c->tls != NULL;
	struct slice name = req->tls ? ms_tls_server_name(c->tls) : MS_SLICE_EMPTY;
	if (name.n > 0)
		req->sni = ms_arena_copy(&w->arena, name); // memory is out: none
	w->is_head = w->parsed && req->method == HTTP_HEAD;
	if (req->start_mono_ns == 0)
		req->start_mono_ns = ms_clock_mono_ns();
	w->route_index = w->nl->server->route_count;
	ms_body_begin(w);
	w->begun = true;
}

void ms_exchange_refuse(struct work *w, const struct errinfo *info)
{
	if (!w->begun)
		ms_exchange_begin(w);
	w->open = true;
	ms_http_fail(&w->x, info);
}

enum ms_err ms_exchange_admit(struct work *w, struct errinfo *info)
{
	const struct route *route = w->x.req.route;
	const struct http_guard *guard = w->nl->server->options.guard;
	if (guard == NULL || route == NULL || (route->flags & ROUTE_PUBLIC) != 0)
		return MS_OK;
	struct slice object = route->object > 0 ? w->x.req.params[route->object - 1] : MS_SLICE_EMPTY;
	return guard->admit(&w->x, object, info, guard->arg);
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
	return ms_work_of_const(x)->nl->server->options.guard;
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

bool ms_http_admit_again(struct exchange *x)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	if (ms_exchange_admit(ms_work_of(x), &info) == MS_OK)
		return true;
	ms_http_fail(x, &info);
	return false;
}

// --- The end -----------------------------------------------------------------------------------------

bool ms_http_gone(const struct exchange *x)
{
	return ms_work_of_const(x)->gone;
}

void ms_http_on_gone(struct exchange *x, http_drain_fn *on_gone, void *arg)
{
	struct work *w = ms_work_of(x);
	MS_ASSERT(w->open);
	w->on_gone = on_gone;
	w->gone_arg = arg;
}

void ms_exchange_answered(struct work *w)
{
	MS_ASSERT(w->open);
	ms_stats_record(w);
	ms_body_forget(w);
	w->open = false;
	w->answered = true;
	w->on_drain = w->on_gone = NULL;
	w->wants_drain = false;
	ms_exchange_done(w);
}

void ms_exchange_done(struct work *w)
{
	if (w->pinned == 0)
		w->transport->done(w);
	else
		w->done_due = true;
}

void ms_exchange_unpin(struct work *w)
{
	MS_ASSERT(w->pinned > 0);
	if (--w->pinned > 0 || !w->done_due)
		return;
	w->done_due = false;
	w->transport->done(w);
}

void ms_exchange_drained(struct work *w)
{
	w->wants_drain = false;
	if (w->on_drain != NULL)
		w->on_drain(&w->x, w->drain_arg);
}

// Whoever waits for the client learns it here: for its body, for room, or for it alone. Each may end the exchange.
void ms_exchange_gone(struct work *w)
{
	MS_ASSERT(w->open);
	w->gone = true;
	w->pinned++;
	if (w->intake.state == BODY_WANTED || w->intake.state == BODY_PAUSED) {
		struct errinfo info;
		ms_errinfo_init(&info);
		(void)ms_fail(&info, MS_ERR_CANCELLED, "the client has gone before its body was complete");
		ms_body_cut(w, &info);
	}
	http_drain_fn *on_gone = w->on_gone;
	w->on_gone = NULL;
	if (w->open && on_gone != NULL)
		on_gone(&w->x, w->gone_arg);
	if (w->open)
		ms_exchange_drained(w);
	ms_exchange_unpin(w);
}
