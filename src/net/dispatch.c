// SPDX-License-Identifier: Apache-2.0
// From the head of a request to whoever answers it: the front, else the route's handler, once the guard let it in and the body is here.
#include "net/negotiate.h"
#include "net/server.h"
#include "net/url.h"

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

static enum ms_err find_route(struct work *w, struct errinfo *info)
{
	const struct http_server *server = w->nl->server;
	struct http_request *req = &w->x.req;
	if (req->path.n > 0 && req->path.p[0] == '*') { // the parsers take it with OPTIONS alone
		w->match =
			(struct route_match){.path = MS_SLICE_LIT("*"), .allow = ms_router_allow_all(server->router)};
		return MS_OK;
	}
	enum ms_err err = ms_router_find(server->router, req->method, req->path, &w->arena, info, &w->match);
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

static void handle(struct work *w)
{
	const struct route *route = w->x.req.route;
	if (route != NULL) {
		route->handle(&w->x, w->match.role);
		return;
	}
	ms_http_set_header(&w->x, "Allow", w->match.allow); // OPTIONS
	ms_http_send(&w->x, 204, NULL);
}

static void body_is_here(struct exchange *x, void *arg)
{
	(void)arg;
	struct work *w = ms_work_of(x);
	struct errinfo info;
	ms_errinfo_init(&info);
	// A client may take as long as it likes for a body: who was let in before it may not be any more.
	if (w->intake.waited && ms_exchange_admit(w, &info) != MS_OK)
		ms_http_fail(x, &info);
	else
		handle(w);
}

void ms_dispatch_local(struct work *w)
{
	const struct http_limits *limits = &w->nl->server->options.limits;
	struct errinfo info;
	ms_errinfo_init(&info);
	w->local = true;
	enum ms_err err = find_route(w, &info);
	// Who writes a path that is none may be misread elsewhere too.
	w->distrust |= err == MS_ERR_HTTP_SYNTAX;
	if (err == MS_OK)
		err = ms_exchange_admit(w, &info);
	if (err != MS_OK) {
		ms_http_fail(&w->x, &info);
		return;
	}
	unsigned flags = w->x.req.route != NULL ? w->x.req.route->flags : 0;
	bool here = w->intake.state == BODY_NONE && !w->marks.content_encoding; // the fast path
	if (here || (flags & ROUTE_STREAM) != 0)
		handle(w);
	else
		ms_body_collect_own(w, (flags & ROUTE_UPLOAD) != 0 ? limits->upload_bytes : limits->body_bytes,
				    body_is_here);
}

void ms_exchange_start(struct work *w)
{
	const struct http_front *front = w->nl->server->options.front;
	w->open = true;
	if (front == NULL || front->take(&w->x, front->arg) == FRONT_PASS)
		ms_dispatch_local(w);
}

void ms_http_serve_local(struct exchange *x)
{
	struct work *w = ms_work_of(x);
	MS_ASSERT(w->open && !w->local && !w->head_sent);
	MS_ASSERT(w->intake.reader.data == NULL && !w->intake.collecting); // or it has read all of it
	ms_dispatch_local(w);
}

bool ms_http_serves(struct exchange *x)
{
	struct work *w = ms_work_of(x);
	struct route_match match;
	struct errinfo info;
	ms_errinfo_init(&info);
	return ms_router_find(w->nl->server->router, x->req.method, x->req.path, &w->arena, &info, &match) !=
	       MS_ERR_HTTP_NO_ROUTE;
}
