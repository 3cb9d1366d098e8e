// SPDX-License-Identifier: Apache-2.0
// The way of a request: match, plugins, body if a plugin reads it, then to our own routes or to an upstream.
#include <stdio.h>

#include "gateway/canary_watch.h"
#include "gateway/mirror.h"
#include "gateway/proxy.h"

static void after_access(struct gw_request *r, enum gw_verdict verdict);
static void after_body(struct gw_request *r, enum gw_verdict verdict);

// --- To whoever answers ------------------------------------------------------------------------------

static bool method_of(struct slice name, enum http_method *ret_method)
{
	for (int m = 0; m < HTTP_METHOD_COUNT; m++) {
		if (ms_slice_eq_cstr(name, ms_http_method_name((enum http_method)m))) {
			*ret_method = (enum http_method)m;
			return true;
		}
	}
	return false;
}

// Our own routes: as if the client had asked for it in these words.
static void serve_local(struct proxy *p)
{
	struct gw_request *r = &p->r;
	struct http_request *req = &r->x->req;
	if (!method_of(r->out.method, &req->method)) {
		ms_proxy_fail(p, 501, "http.method_unknown", "this method is not known here");
		return;
	}
	req->path = r->out.path;
	req->query = r->out.query;
	req->headers = r->out.headers.items;
	req->header_count = r->out.headers.count;
	if (r->out.body_changed)
		req->body = r->out.body;
	r->answer.source = GW_FROM_LOCAL;
	r->sent_ns = ms_loop_now_ns(r->x->loop);
	ms_http_serve_local(r->x);
}

// Which upstream: the service's, or where a plugin sends it.
static const struct service_run *run_of(struct proxy *p)
{
	struct gw_request *r = &p->r;
	struct gw_upstream_state state;
	if (r->out.host.n == 0 && r->out.port != 0)
		return ms_gw_snapshot_detour(p->snapshot, r->service, r->service->host, r->out.port);
	if (r->out.host.n == 0)
		return ms_gw_snapshot_service(p->snapshot, r->service);
	const struct service_run *run = ms_gw_snapshot_detour(p->snapshot, r->service, r->out.host, r->out.port);
	if (run == NULL || !r->out.host_fallback)
		return run;
	ms_balancer_state(run->balancer, ms_loop_now_ns(r->x->loop), &state);
	if (state.available)
		return run;
	r->out.host = MS_SLICE_EMPTY;
	r->out.path = r->out.fallback_path.n > 0 ? r->out.fallback_path : r->out.path;
	return ms_gw_snapshot_service(p->snapshot, r->service);
}

static void to_service(struct proxy *p)
{
	struct gw_request *r = &p->r;
	if (r->service == NULL) {
		ms_proxy_fail(p, 503, "gateway.no_service", "no Service found with those values");
		return;
	}
	if (r->service->protocol == GW_LOCAL && r->out.host.n == 0) {
		serve_local(p);
		return;
	}
	p->run = r->service->protocol != GW_LOCAL ? run_of(p) : NULL;
	if (p->run == NULL || !ms_proxy_forward(p)) {
		ms_proxy_fail(p, 503, "server.out_of_memory", "out of memory");
		return;
	}
	p->has_hash = p->run->upstream->algorithm == GW_CONSISTENT_HASHING && ms_proxy_hash(p, &p->hash);
	p->calling = true;
	ms_mirror_start(p);
	ms_proxy_call(p);
}

// --- Phases ------------------------------------------------------------------------------------------

// True: the client has gone while a plugin waited; it is over.
static bool has_gone(struct proxy *p)
{
	if (!ms_http_gone(p->r.x))
		return false;
	ms_http_fail_code(p->r.x, MS_ERR_CANCELLED, "the client has gone");
	return true;
}

static void with_body(struct gw_request *r)
{
	ms_proxy_of(r)->in_chain = true;
	ms_chain_body(r, after_body);
}

static void after_access(struct gw_request *r, enum gw_verdict verdict)
{
	struct proxy *p = ms_proxy_of(r);
	p->in_chain = false;
	if (has_gone(p))
		return;
	if (verdict == GW_ANSWERED) {
		ms_proxy_send(p);
		return;
	}
	if (r->route == NULL) {
		ms_proxy_fail(p, 404, "gateway.no_route", "no Route matched with those values");
		return;
	}
	if (r->chain == NULL || !r->chain->reads_body)
		to_service(p);
	else
		ms_gw_collect(r, with_body); // what fails is answered
}

static void after_body(struct gw_request *r, enum gw_verdict verdict)
{
	struct proxy *p = ms_proxy_of(r);
	p->in_chain = false;
	if (has_gone(p))
		return;
	if (verdict == GW_ANSWERED)
		ms_proxy_send(p);
	else
		to_service(p);
}

// --- Taking ------------------------------------------------------------------------------------------

// The same URL with https, on its usual port. NULL: no memory.
static char *https_location(const struct gw_request *r)
{
	const struct http_request *req = &r->x->req;
	struct slice host = req->authority;
	size_t end = host.n > 0 && host.p[0] == '[' ? ms_slice_find(host, ']') + 1 : ms_slice_find(host, ':');
	return ms_arena_printf(r->arena, "https://%.*s%.*s%s%.*s", MS_SLICE_ARG(ms_slice_sub(host, 0, end)),
			       MS_SLICE_ARG(req->path), req->query.n > 0 ? "?" : "", MS_SLICE_ARG(req->query));
}

// A route for TLS alone asked for without, or one of gRPC without HTTP/2. True: answered.
static bool refuse_protocol(struct proxy *p)
{
	struct gw_request *r = &p->r;
	int status = r->route != NULL ? ms_plan_protocol(r->route, r->tls, r->x->req.version) : 0;
	if (status == 0)
		return false;
	bool https = ms_plan_protocol(r->route, true, r->x->req.version) == 0;
	if (https && status != 426 && r->x->req.authority.n == 0)
		status = 426; // nobody knows where to
	ms_gw_fail(r, status, https ? "gateway.https_only" : "gateway.http2_only",
		   https ? "Please use HTTPS protocol" : "Please use HTTP2 protocol");
	const char *location = status != 426 ? https_location(r) : NULL;
	if (location != NULL)
		MS_IGNORE(ms_gw_header_add(&r->answer.headers, MS_SLICE_LIT("Location"),
					   ms_slice_cstr(location))); // the answer counts more
	ms_proxy_send(p);
	return true;
}

static enum front_verdict begin(struct proxy *p)
{
	struct gw_request *r = &p->r;
	struct exchange *x = r->x;
	x->front_data = p;
	r->service = r->route != NULL ? r->route->service : NULL;
	r->chain = r->route != NULL ? r->route->chain : r->plan->global_chain;
	p->wants_tunnel = ms_slice_eq_nocase(x->req.protocol, MS_SLICE_LIT("websocket"));
	if (!ms_proxy_head(p)) {
		ms_http_fail_code(x, MS_ERR_NO_MEMORY, "out of memory");
		return FRONT_TAKEN;
	}
	ms_http_on_gone(x, ms_proxy_gone, p);
	if (refuse_protocol(p))
		return FRONT_TAKEN;
	p->in_chain = true;
	ms_chain_access(r, after_access);
	return FRONT_TAKEN;
}

enum front_verdict ms_proxy_take(struct exchange *x, void *arg)
{
	struct gateway *g = arg;
	struct gw_snapshot *s = ms_gateway_snapshot(g, x->loop);
	struct errinfo info;
	if (s == NULL || s->plan->route_count == 0)
		return FRONT_PASS;
	struct proxy *p = MS_ARENA_NEW(x->arena, struct proxy);
	if (p == NULL) {
		ms_http_fail_code(x, MS_ERR_NO_MEMORY, "out of memory");
		return FRONT_TAKEN;
	}
	ms_errinfo_init(&info);
	enum ms_err err = ms_plan_match(s->plan, x, &info, &p->r.match);
	if (err != MS_OK && err != MS_ERR_HTTP_NO_ROUTE) {
		ms_http_fail(x, &info);
		return FRONT_TAKEN;
	}
	if (err == MS_ERR_HTTP_NO_ROUTE) {
		if (ms_http_serves(x))
			return FRONT_PASS;
		p->r.match = (struct gw_match){.path = x->req.path};
	}
	p->snapshot = ms_gw_snapshot_ref(s);
	p->last_piece = &p->pieces;
	p->r.x = x;
	p->r.gateway = g;
	p->r.services = &g->services;
	p->r.arena = x->arena;
	p->r.plan = s->plan;
	p->r.route = p->r.match.route;
	p->r.start_ns = x->req.start_mono_ns;
	ms_buf_init(&p->gathered, PROXY_GATHER_MAX);
	return begin(p);
}

// --- Answers of our own routes, and the end ------------------------------------------------------------

// What the handler says, for plugins to see and change. False: no memory; they add to it then.
static bool take_local(struct gw_request *r, const struct http_local_answer *local)
{
	struct gw_headers *h = &r->answer.headers;
	struct http_header *set;
	size_t count;
	if (!ms_http_set_headers(r->x, &set, &count))
		return false;
	bool good = local->content_type == NULL ||
		    ms_gw_header_add(h, MS_SLICE_LIT("Content-Type"), ms_slice_cstr(local->content_type));
	for (size_t i = 0; i < count && good; i++)
		good = ms_gw_header_add(h, set[i].name, set[i].value);
	if (good)
		ms_http_clear_headers(r->x);
	else
		h->count = 0;
	return good;
}

static void give_headers(struct gw_request *r, struct http_local_answer *local)
{
	for (size_t i = 0; i < r->answer.headers.count; i++) {
		const struct http_header *h = &r->answer.headers.items[i];
		bool type = ms_slice_eq_nocase(h->name, MS_SLICE_LIT("Content-Type"));
		char *text = ms_arena_cstr(r->arena, type ? h->value : h->name);
		if (text == NULL)
			continue;
		if (type)
			local->content_type = text;
		else
			ms_http_set_header(r->x, text, h->value);
	}
}

static void local_body_done(struct gw_request *r, enum gw_verdict verdict)
{
	(void)verdict; // the answer stands in r->answer either way
	ms_proxy_of(r)->in_chain = false;
}

// Nothing is sent yet and nobody waits: plugins have their say about the body at once.
static void change_local_body(struct proxy *p, struct exchange *x)
{
	struct gw_request *r = &p->r;
	r->answer.body = ms_buf_slice(x->body);
	p->in_chain = true;
	ms_chain_answer_body(r, local_body_done);
	MS_ASSERT(!p->in_chain);
	if (!r->answer.body_changed)
		return;
	ms_buf_clear(x->body);
	ms_buf_append_slice(x->body, r->answer.body);
}

void ms_proxy_local_answer(struct exchange *x, struct http_local_answer *local, void *arg)
{
	struct proxy *p = x->front_data;
	struct gw_request *r = &p->r;
	(void)arg;
	if (p->answer_phase)
		return;
	p->answer_phase = true;
	r->answer.status = local->status;
	r->upstream_ns = ms_loop_now_ns(x->loop);
	bool taken = r->chain != NULL && r->chain->count > 0 && take_local(r, local);
	ms_chain_answer(r);
	uint64_t max = r->answer.max_body > 0 ? r->answer.max_body : PROXY_GATHER_MAX;
	if (taken && r->answer.wants_body && local->whole && x->body->n <= max)
		change_local_body(p, x);
	local->status = r->answer.status;
	give_headers(r, local);
}

void ms_proxy_over(struct exchange *x, const struct http_outcome *outcome, void *arg)
{
	struct proxy *p = x->front_data;
	(void)arg;
	ms_proxy_drop_call(p);
	ms_mirror_over(p);
	ms_canary_over(p, outcome);
	ms_chain_over(&p->r, outcome);
	ms_buf_fini(&p->gathered);
	ms_gw_snapshot_unref(p->snapshot);
}
