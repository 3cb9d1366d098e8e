// SPDX-License-Identifier: Apache-2.0
// The server as a whole: made, started, drained, freed. Each loop has a net_loop of its own; only mails and the
// atomics in http_server cross between them.
#include <stdlib.h>
#include <unistd.h>

#include "net/h2.h"

// Before the listening sockets close, connection attempts under way get this long to arrive: a round trip; on the
// machine itself, until its kernel comes to it.
#define SETTLE_MS 200
#define SETTLE_LOCAL_MS 50
// While draining a connection that was active this short a time ago may have a request under way to us.
#define DRAIN_IDLE_MS 500
#define CODECS_IDLE 4

const struct http_limits MS_HTTP_DEFAULT_LIMITS = {
	.uri_bytes = (size_t)8 << 10,
	.header_bytes = (size_t)32 << 10,
	.header_count = 100,
	.body_bytes = (size_t)16 << 20,
	.upload_bytes = (size_t)1 << 30,
	.inflated_ratio = 100,
	.connections = 20000,
	.header_timeout_ms = 10000,
	.body_timeout_ms = 30000,
	.idle_timeout_ms = 75000,
	.write_timeout_ms = 30000,
	.drain_timeout_ms = 30000,
	.tunnel_idle_ms = 300000,
	.h2_streams = 100,
	.h2_glitches = 500,
};

// A limit of 0 means the default.
static void fill_limits(struct http_limits *l)
{
	const struct http_limits *d = &MS_HTTP_DEFAULT_LIMITS;
#define FILL(field) l->field = l->field != 0 ? l->field : d->field
	FILL(uri_bytes);
	FILL(header_bytes);
	FILL(header_count);
	FILL(body_bytes);
	FILL(upload_bytes);
	FILL(inflated_ratio);
	FILL(connections);
	FILL(header_timeout_ms);
	FILL(body_timeout_ms);
	FILL(idle_timeout_ms);
	FILL(write_timeout_ms);
	FILL(drain_timeout_ms);
	FILL(tunnel_idle_ms);
	FILL(h2_streams);
	FILL(h2_glitches);
#undef FILL
}

// --- Loops: making and freeing -----------------------------------------------------------------------

static void drain_step(struct timer *timer, void *arg);

static enum ms_err net_loop_init(struct net_loop *nl, struct http_server *server, unsigned index)
{
	const struct http_limits *limits = &server->options.limits;
	nl->server = server;
	nl->index = index;
	nl->loop = ms_rt_loop(server->rt, index);
	nl->uv = ms_loop_uv(nl->loop);
	ms_list_init(&nl->conns);
	ms_list_init(&nl->unsent);
	nl->listeners = calloc(server->options.listen_count, sizeof(nl->listeners[0]));
	nl->route_stats = calloc(server->route_count + 1, sizeof(nl->route_stats[0]));
	nl->codecs = ms_codec_pool_new(CODECS_IDLE);
	if (nl->listeners == NULL || nl->route_stats == NULL || nl->codecs == NULL)
		return MS_ERR_NO_MEMORY;
	for (size_t i = 0; i < server->options.listen_count; i++)
		nl->listeners[i].fd = -1;
	MS_TRY(ms_timeouts_init(&nl->timeouts, nl->loop, ms_conn_expired, nl));
	ms_timeouts_set_limit(&nl->timeouts, TIMEOUT_HEADER, limits->header_timeout_ms);
	ms_timeouts_set_limit(&nl->timeouts, TIMEOUT_BODY, limits->body_timeout_ms);
	ms_timeouts_set_limit(&nl->timeouts, TIMEOUT_TUNNEL, limits->tunnel_idle_ms);
	ms_timeouts_set_limit(&nl->timeouts, TIMEOUT_IDLE, limits->idle_timeout_ms);
	ms_timeouts_set_limit(&nl->timeouts, TIMEOUT_WRITE, limits->write_timeout_ms);
	ms_timeouts_set_limit(&nl->timeouts, TIMEOUT_STREAM_BODY, limits->body_timeout_ms);
	ms_timeouts_set_limit(&nl->timeouts, TIMEOUT_STREAM_TUNNEL, limits->tunnel_idle_ms);
	ms_timeouts_set_limit(&nl->timeouts, TIMEOUT_STREAM_WRITE, limits->write_timeout_ms);
	ms_timeouts_set_limit(&nl->timeouts, TIMEOUT_STREAM_LINGER, LINGER_MS);
	ms_timeouts_set_limit(&nl->timeouts, TIMEOUT_LINGER, LINGER_MS);
	MS_TRY(ms_timer_new(nl->loop, drain_step, nl, &nl->drain_timer));
	uv_idle_init(nl->uv, &nl->end_of_turn);
	nl->has_end_of_turn = true;
	nl->open_handles++;
	return MS_OK;
}

static void on_idle_closed(uv_handle_t *handle)
{
	MS_CONTAINER_OF(handle, struct net_loop, end_of_turn)->open_handles--;
}

// The loops stand still, so this thread may run them until the handles are closed.
static void close_handles(struct net_loop *nl)
{
	nl->ending = true;
	for (size_t i = 0; nl->listeners != NULL && i < nl->server->options.listen_count; i++)
		if (nl->listeners[i].pause != NULL)
			ms_listener_close(&nl->listeners[i]);
	MS_LIST_FOREACH (node, &nl->conns)
		ms_conn_close(MS_CONTAINER_OF(node, struct conn, node));
	if (nl->has_end_of_turn)
		uv_close((uv_handle_t *)&nl->end_of_turn, on_idle_closed);
	while (nl->open_handles > 0)
		uv_run(nl->uv, UV_RUN_NOWAIT);
}

static void net_loop_fini(struct net_loop *nl)
{
	if (nl->server == NULL)
		return;
	close_handles(nl);
	ms_conn_free_all(nl);
	for (size_t i = 0; nl->listeners != NULL && i < nl->server->options.listen_count; i++)
		ms_listener_fini(&nl->listeners[i]);
	if (nl->timeouts.timer != NULL)
		ms_timeouts_fini(&nl->timeouts);
	ms_timer_free(nl->drain_timer);
	ms_ws_loop_free(nl->ws);
	ms_codec_pool_free(nl->codecs);
	free(nl->route_stats);
	free(nl->listeners);
}

// --- Server: making and freeing ----------------------------------------------------------------------

static enum ms_err load_tls(struct http_server *server, size_t index, struct errinfo *info)
{
	struct tls_context *context;
	if (server->points[index].tls == NULL)
		return MS_OK;
	MS_TRY(ms_tls_context_new(server->points[index].tls, server->options.h2, info, &context));
	for (unsigned i = 0; i < server->loop_count; i++)
		server->loops[i].listeners[index].tls = ms_tls_context_ref(context);
	ms_tls_context_unref(context);
	return MS_OK;
}

static enum ms_err open_listen(struct http_server *server, size_t index, struct errinfo *info)
{
	const struct http_listen *listen = &server->options.listens[index];
	struct listen_point *point = &server->points[index];
	MS_TRY(ms_listen_parse(listen->address, listen->tls, info, point));
	int *fds = calloc(server->loop_count, sizeof(fds[0]));
	if (fds == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the HTTP server");
	enum ms_err err = ms_listen_bind(point, fds, server->loop_count, info);
	for (unsigned i = 0; i < server->loop_count && err == MS_OK; i++) {
		struct net_loop *nl = &server->loops[i];
		int fd = fds[i];
		fds[i] = -1; // the listener's from here on
		err = ms_listener_init(&nl->listeners[index], nl, point, fd);
		if (err != MS_OK)
			(void)ms_fail(info, err, "out of memory for the HTTP server");
	}
	for (unsigned i = 0; i < server->loop_count; i++) {
		if (err != MS_OK && fds[i] > 0)
			close(fds[i]);
	}
	free(fds);
	return err != MS_OK ? err : load_tls(server, index, info);
}

static enum ms_err server_init(struct http_server *server, struct errinfo *info)
{
	const struct http_server_options *options = &server->options;
	MS_TRY(ms_stats_init(&server->stats, options->metrics, info));
	MS_TRY(ms_router_new(options->route_sets, options->route_set_count, info, &server->router));
	const struct route *route;
	for (; (route = ms_router_route(server->router, server->route_count)) != NULL; server->route_count++)
		MS_ASSERT(options->guard == NULL || route->permission != NULL || (route->flags & ROUTE_PUBLIC) != 0);
	server->points = calloc(options->listen_count, sizeof(server->points[0]));
	server->loops = calloc(server->loop_count, sizeof(server->loops[0]));
	if (server->points == NULL || server->loops == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the HTTP server");
	for (unsigned i = 0; i < server->loop_count; i++) {
		if (net_loop_init(&server->loops[i], server, i) != MS_OK)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the HTTP server");
	}
	for (size_t i = 0; i < options->listen_count; i++)
		MS_TRY(open_listen(server, i, info));
	return MS_OK;
}

static void grace_over(struct timer *timer, void *arg);

enum ms_err ms_http_server_new(const struct http_server_options *options, struct errinfo *info,
			       struct http_server **ret_server)
{
	struct http_server *server = calloc(1, sizeof(*server));
	if (server == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the HTTP server");
	server->options = *options;
	fill_limits(&server->options.limits);
	server->rt = options->rt;
	server->loop_count = ms_rt_loop_count(options->rt);
	enum ms_err err = ms_timer_new(ms_rt_loop(options->rt, 0), grace_over, server, &server->grace);
	if (err == MS_OK)
		err = server_init(server, info);
	else
		(void)ms_fail(info, err, "out of memory for the HTTP server");
	// Route tables are ours: what is wrong with them is found by the first start of a developer.
	MS_ASSERT(err != MS_ERR_CONFLICT && err != MS_ERR_INVALID);
	if (err != MS_OK) {
		ms_http_server_free(server);
		return err;
	}
	*ret_server = server;
	return MS_OK;
}

void ms_http_server_free(struct http_server *server)
{
	if (server == NULL)
		return;
	for (unsigned i = 0; server->loops != NULL && i < server->loop_count; i++)
		net_loop_fini(&server->loops[i]);
	ms_timer_free(server->grace);
	ms_router_free(server->router);
	free(server->points);
	free(server->loops);
	free(server);
}

// --- Running -----------------------------------------------------------------------------------------

static void start_loop(struct mail *mail)
{
	struct net_loop *nl = MS_CONTAINER_OF(mail, struct net_loop, start_mail);
	if (nl->ending)
		return; // the loops were stopped before this one got its start
	nl->accepting = true;
	for (size_t i = 0; i < nl->server->options.listen_count; i++)
		ms_listener_start(&nl->listeners[i]);
}

void ms_http_server_start(struct http_server *server)
{
	for (unsigned i = 0; i < server->loop_count; i++)
		ms_loop_post(server->loops[i].loop, &server->loops[i].start_mail, start_loop);
}

unsigned ms_http_server_port(const struct http_server *server, size_t index)
{
	MS_ASSERT(index < server->options.listen_count);
	return server->points[index].port;
}

const struct route *ms_http_server_route(const struct http_server *server, size_t index)
{
	return ms_router_route(server->router, index);
}

enum ms_err ms_http_server_reload_tls(struct http_server *server, struct errinfo *info)
{
	size_t count = server->options.listen_count;
	struct tls_context **fresh = calloc(count + 1, sizeof(struct tls_context *));
	if (fresh == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for TLS");
	enum ms_err err = MS_OK;
	for (size_t i = 0; i < count && err == MS_OK; i++) {
		if (server->points[i].tls != NULL)
			err = ms_tls_context_new(server->points[i].tls, server->options.h2, info, &fresh[i]);
	}
	// All or none: a half reloaded server would be hard to understand.
	for (size_t i = 0; i < count && err == MS_OK; i++) {
		for (unsigned k = 0; k < server->loop_count && fresh[i] != NULL; k++) {
			struct listener *l = &server->loops[k].listeners[i];
			ms_tls_context_unref(atomic_exchange(&l->next_tls, ms_tls_context_ref(fresh[i])));
		}
	}
	for (size_t i = 0; i < count; i++)
		ms_tls_context_unref(fresh[i]);
	free(fresh);
	return err;
}

// --- Draining ----------------------------------------------------------------------------------------
// 1. draining: answers carry "Connection: close"; connections are still accepted (grace).
// 2. stopping: the kernel takes no new connection; those under way arrive, and connections without a request
//    are closed soon.
// 3. The listening sockets are closed. The loop has drained once its last connection is gone.
// 4. cut: after the drain timeout, or when told so, the rest is closed as it stands.

bool ms_http_server_draining(const struct http_server *server)
{
	return atomic_load_explicit(&server->draining, memory_order_relaxed);
}

static void loop_drained(struct mail *mail)
{
	struct http_server *server = MS_CONTAINER_OF(mail, struct net_loop, drained_mail)->server;
	MS_ASSERT(server->loops_draining > 0);
	if (--server->loops_draining == 0)
		server->drained(server->drained_arg);
}

void ms_net_loop_check_drained(struct net_loop *nl)
{
	if (!nl->stopping || nl->accepting || nl->told_drained)
		return;
	MS_LIST_FOREACH (node, &nl->conns) {
		// After the cut nobody waits for handlers whose clients are gone.
		if (!nl->cut || !MS_CONTAINER_OF(node, struct conn, node)->handle_closed)
			return;
	}
	nl->told_drained = true;
	ms_timer_stop(nl->drain_timer);
	ms_loop_post(nl->server->loops[0].loop, &nl->drained_mail, loop_drained);
}

static void close_listeners(struct net_loop *nl)
{
	for (size_t i = 0; i < nl->server->options.listen_count; i++) {
		ms_listener_accept_all(&nl->listeners[i]);
		ms_listener_close(&nl->listeners[i]);
	}
	nl->accepting = false;
}

static unsigned settle_ms(const struct http_server *server)
{
	for (size_t i = 0; i < server->options.listen_count; i++) {
		if (!ms_listen_is_local(&server->points[i]))
			return SETTLE_MS;
	}
	return SETTLE_LOCAL_MS;
}

static void cut_connections(struct net_loop *nl, const char *why)
{
	size_t cut = nl->conns.count;
	nl->cut = true;
	MS_LIST_FOREACH (node, &nl->conns)
		ms_conn_close(MS_CONTAINER_OF(node, struct conn, node));
	if (cut > 0)
		ms_server_warn(nl->server, "connections were cut", NULL, why);
}

static void drain_step(struct timer *timer, void *arg)
{
	struct net_loop *nl = arg;
	if (nl->accepting) {
		close_listeners(nl);
		unsigned total = nl->server->options.limits.drain_timeout_ms, settle = settle_ms(nl->server);
		ms_timer_start(timer, total > settle ? total - settle : 1, 0);
	} else
		cut_connections(nl, "the drain timeout ended before they did");
	ms_net_loop_check_drained(nl);
}

static void stop_loop(struct mail *mail)
{
	struct net_loop *nl = MS_CONTAINER_OF(mail, struct net_loop, stop_mail);
	const struct http_limits *limits = &nl->server->options.limits;
	if (nl->ending)
		return;
	nl->stopping = true;
	nl->accepting = true; // even if it was never started: close what was bound
	for (size_t i = 0; i < nl->server->options.listen_count; i++) {
		if (nl->listeners[i].fd >= 0)
			ms_listen_refuse_new(nl->listeners[i].point, nl->listeners[i].fd);
	}
	ms_timeouts_set_limit(&nl->timeouts, TIMEOUT_IDLE, MS_MIN(limits->idle_timeout_ms, DRAIN_IDLE_MS));
	MS_LIST_FOREACH (node, &nl->conns) { // tunnels end
		struct conn *c = MS_CONTAINER_OF(node, struct conn, node);
		if (c->work != NULL && c->work->tunnel)
			ms_output_flush_later(c);
		if (c->phase == CONN_H2)
			ms_h2_conn_drain(c);
	}
	ms_timer_start(nl->drain_timer, settle_ms(nl->server), 0);
}

static void grace_over(struct timer *timer, void *arg)
{
	(void)timer;
	struct http_server *server = arg;
	server->grace_ended = true;
	for (unsigned i = 0; i < server->loop_count; i++)
		ms_loop_post(server->loops[i].loop, &server->loops[i].stop_mail, stop_loop);
}

void ms_http_server_drain(struct http_server *server, unsigned grace_ms, http_drained_fn *done, void *arg)
{
	if (atomic_exchange(&server->draining, true))
		return; // a second signal changes nothing
	server->drained = done;
	server->drained_arg = arg;
	server->loops_draining = server->loop_count;
	ms_timer_start(server->grace, grace_ms, 0);
}

// On each loop, behind its stop_mail.
static void cut_loop(struct mail *mail)
{
	struct net_loop *nl = MS_CONTAINER_OF(mail, struct net_loop, cut_mail);
	if (nl->ending || nl->told_drained)
		return;
	if (nl->accepting)
		close_listeners(nl);
	ms_timer_stop(nl->drain_timer);
	cut_connections(nl, "the stop was asked for again");
	ms_net_loop_check_drained(nl);
}

void ms_http_server_cut(struct http_server *server)
{
	MS_ASSERT(ms_http_server_draining(server));
	if (server->cut)
		return;
	server->cut = true;
	if (!server->grace_ended) {
		ms_timer_stop(server->grace);
		grace_over(server->grace, server);
	}
	for (unsigned i = 0; i < server->loop_count; i++)
		ms_loop_post(server->loops[i].loop, &server->loops[i].cut_mail, cut_loop);
}
