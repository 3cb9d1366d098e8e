// SPDX-License-Identifier: Apache-2.0
// The client of the process: its loops, origins by content, the pools of each origin.
#include "net/client_internal.h"

#include <stdlib.h>

#include "net/http1/scan.h"

#define ORIGINS_MAX ((size_t)1 << 16)

// --- Pools -------------------------------------------------------------------------------------------

void ms_pool_use(struct client_pool *pool)
{
	if (pool->users++ == 0)
		(void)ms_http_origin_ref(pool->origin);
}

void ms_pool_unuse(struct client_pool *pool)
{
	if (--pool->users == 0)
		ms_http_origin_unref(pool->origin); // the pool may be gone
}

static struct client_pool *pool_new(struct http_origin *origin, struct client_loop *cl)
{
	struct client_pool *pool = calloc(1, sizeof(*pool));
	if (pool == NULL)
		return NULL;
	pool->origin = origin;
	pool->cl = cl;
	ms_list_init(&pool->idle);
	ms_list_init(&pool->waiters);
	ms_list_init(&pool->h2s);
	ms_list_init(&pool->waiting);
	return pool;
}

static void pool_free(struct client_pool *pool)
{
	if (pool == NULL)
		return;
	MS_ASSERT(pool->users == 0);
	ms_tls_resume_clear(&pool->resume);
	free(pool);
}

// --- Origins -----------------------------------------------------------------------------------------

static void wipe(struct slice s)
{
	if (s.n > 0)
		explicit_bzero((char *)(uintptr_t)s.p, s.n);
}

static void origin_free(struct http_origin *origin)
{
	for (unsigned i = 0; i < origin->client->loop_count; i++)
		pool_free(origin->pools[i]);
	if (origin->context != NULL)
		ms_tls_context_unref(origin->context);
	wipe(origin->key); // holds the private key
	free((char *)(uintptr_t)origin->key.p);
	free((char *)(uintptr_t)origin->name.p);
	free(origin->host);
	free(origin);
}

// Every part with its length, so that no two contents look the same.
static void append_part(struct buf *b, struct slice part)
{
	ms_buf_append_u64(b, part.n);
	ms_buf_append_char(b, ':');
	ms_buf_append_slice(b, part);
}

static bool origin_key(const struct http_origin_options *o, struct slice *ret_key)
{
	struct buf b;
	ms_buf_init(&b, (size_t)16 << 20);
	append_part(&b, o->host);
	ms_buf_printf(&b, "%u %d %d %d %u ", o->port, (int)o->protocol, o->tls, o->tls_verify, o->tls_verify_depth);
	append_part(&b, o->sni);
	append_part(&b, o->ca_pem);
	append_part(&b, o->client_cert_pem);
	append_part(&b, o->client_key_pem);
	*ret_key = ms_buf_slice(&b);
	if (ms_buf_ok(&b))
		return true;
	wipe(*ret_key);
	ms_buf_fini(&b);
	return false;
}

static enum ms_err check_origin(const struct http_origin_options *o, struct errinfo *info)
{
	bool name = o->host.n > 0 && o->host.n <= 255 && scan_class(o->host.p, 0, o->host.n, CHAR_HOST) == o->host.n;
	char text[64];
	struct sockaddr_in6 v6;
	bool address = ms_slice_to_cstr(o->host, text, sizeof(text)) && uv_ip6_addr(text, 1, &v6) == 0;
	if (!name && !address)
		return ms_fail(info, MS_ERR_INVALID, "the upstream host '%.*s' is no name and no address",
			       MS_SLICE_ARG(o->host));
	if (o->port == 0 || o->port > UINT16_MAX)
		return ms_fail(info, MS_ERR_INVALID, "the upstream port %u is none: 1 to 65535", o->port);
	if (o->sni.n > 255 || scan_class(o->sni.p, 0, o->sni.n, CHAR_HOST) < o->sni.n)
		return ms_fail(info, MS_ERR_INVALID, "the TLS server name '%.*s' is no name", MS_SLICE_ARG(o->sni));
	return MS_OK;
}

static void find_address(struct http_origin *origin)
{
	int port = (int)origin->port;
	origin->is_address = uv_ip4_addr(origin->host, port, &origin->address.v4) == 0 ||
			     uv_ip6_addr(origin->host, port, &origin->address.v6) == 0;
}

static char *copy_text(struct slice s)
{
	char *text = malloc(s.n + 1);
	if (text == NULL)
		return NULL;
	memcpy(text, s.n > 0 ? s.p : "", s.n);
	text[s.n] = '\0';
	return text;
}

static enum ms_err context_new(const struct http_origin_options *o, struct tls_authorities *system,
			       struct errinfo *info, struct tls_context **ret_context)
{
	const struct tls_client_options tls = {
		.verify = o->tls_verify,
		.verify_depth = o->tls_verify_depth,
		.ca_pem = o->ca_pem,
		.cert_pem = o->client_cert_pem,
		.key_pem = o->client_key_pem,
		.h2 = o->protocol != ORIGIN_HTTP1,
		.http1 = o->protocol != ORIGIN_H2,
	};
	return ms_tls_client_context_new(&tls, system, info, ret_context);
}

// With the client's lock: the authorities of the system are read once.
static enum ms_err make_context(struct http_origin *origin, const struct http_origin_options *o, struct errinfo *info)
{
	struct http_client *client = origin->client;
	if (!o->tls)
		return MS_OK;
	if (o->tls_verify && o->ca_pem.n == 0 && client->system == NULL)
		client->system = ms_tls_system_authorities();
	return context_new(o, client->system, info, &origin->context);
}

enum ms_err ms_http_origin_check(const struct http_origin_options *options, struct errinfo *info)
{
	struct tls_context *context;
	MS_TRY(check_origin(options, info));
	if (!options->tls)
		return MS_OK;
	MS_TRY(context_new(options, NULL, info, &context));
	ms_tls_context_unref(context);
	return MS_OK;
}

static enum ms_err fill_origin(struct http_origin *origin, const struct http_origin_options *o, struct errinfo *info)
{
	struct http_client *client = origin->client;
	struct slice name = o->sni.n > 0 ? o->sni : o->host;
	origin->host = copy_text(o->host);
	origin->name = ms_slice(copy_text(name), name.n);
	bool ok = origin->host != NULL && origin->name.p != NULL && origin_key(o, &origin->key);
	for (unsigned i = 0; ok && i < client->loop_count; i++) {
		origin->pools[i] = pool_new(origin, client->loops[i]);
		ok = origin->pools[i] != NULL;
	}
	if (!ok)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for an upstream");
	origin->port = o->port;
	origin->protocol = o->protocol;
	origin->tls = o->tls;
	find_address(origin);
	MS_TRY(make_context(origin, o, info));
	if (!ms_map_put(&client->origins, origin->key, origin, NULL))
		return ms_fail(info, MS_ERR_LIMIT, "%zu upstreams are known already", client->origins.count);
	return MS_OK;
}

static enum ms_err origin_make(struct http_client *client, const struct http_origin_options *o, struct errinfo *info,
			       struct http_origin **ret_origin)
{
	struct http_origin *origin = calloc(1, sizeof(*origin) + client->loop_count * sizeof(origin->pools[0]));
	if (origin == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for an upstream");
	origin->client = client;
	atomic_init(&origin->refs, 1);
	enum ms_err err = fill_origin(origin, o, info);
	if (err != MS_OK) {
		origin_free(origin);
		return err;
	}
	*ret_origin = origin;
	return MS_OK;
}

enum ms_err ms_http_origin_new(struct http_client *client, const struct http_origin_options *options,
			       struct errinfo *info, struct http_origin **ret_origin)
{
	struct slice key;
	MS_TRY(check_origin(options, info));
	if (!origin_key(options, &key))
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for an upstream");
	enum ms_err err = MS_OK;
	pthread_mutex_lock(&client->lock);
	struct http_origin *known = ms_map_get(&client->origins, key);
	if (known != NULL)
		*ret_origin = ms_http_origin_ref(known);
	else
		err = origin_make(client, options, info, ret_origin);
	pthread_mutex_unlock(&client->lock);
	wipe(key);
	free((char *)(uintptr_t)key.p);
	return err;
}

struct http_origin *ms_http_origin_ref(struct http_origin *origin)
{
	atomic_fetch_add_explicit(&origin->refs, 1, memory_order_relaxed);
	return origin;
}

void ms_http_origin_unref(struct http_origin *origin)
{
	if (origin == NULL)
		return;
	// The last reference goes under the lock, so that nobody finds an origin that is being freed.
	size_t refs = atomic_load_explicit(&origin->refs, memory_order_relaxed);
	while (refs > 1) {
		if (atomic_compare_exchange_weak_explicit(&origin->refs, &refs, refs - 1, memory_order_acq_rel,
							  memory_order_relaxed))
			return;
	}
	struct http_client *client = origin->client;
	pthread_mutex_lock(&client->lock);
	bool last = atomic_fetch_sub_explicit(&origin->refs, 1, memory_order_acq_rel) == 1;
	if (last)
		(void)ms_map_remove(&client->origins, origin->key);
	pthread_mutex_unlock(&client->lock);
	if (last)
		origin_free(origin);
}

// --- Loops -------------------------------------------------------------------------------------------

static enum ms_err loop_new(struct http_client *client, unsigned index, struct client_loop **ret_loop)
{
	struct client_loop *cl = calloc(1, sizeof(*cl));
	if (cl == NULL)
		return MS_ERR_NO_MEMORY;
	cl->client = client;
	cl->index = index;
	cl->loop = ms_rt_loop(client->options.rt, index);
	cl->uv = ms_loop_uv(cl->loop);
	ms_list_init(&cl->calls);
	ms_list_init(&cl->conns);
	ms_list_init(&cl->due);
	ms_list_init(&cl->due_conns);
	ms_buf_init(&cl->request, (size_t)1 << 20);
	if (ms_deadlines_init(&cl->deadlines, cl->loop, ms_upstream_expired, cl) != MS_OK) {
		free(cl);
		return MS_ERR_NO_MEMORY;
	}
	if (ms_deadlines_init(&cl->call_deadlines, cl->loop, ms_client_call_expired, cl) != MS_OK) {
		ms_deadlines_fini(&cl->deadlines);
		free(cl);
		return MS_ERR_NO_MEMORY;
	}
	uv_idle_init(cl->uv, &cl->end_of_turn); // only fills the struct
	cl->open_handles = 1;
	*ret_loop = cl;
	return MS_OK;
}

static void cancel_resolutions(struct client_loop *cl)
{
	MS_LIST_FOREACH (node, &cl->conns)
		ms_pool_cancel_resolution(MS_CONTAINER_OF(node, struct upstream, node)->pool);
}

static void close_connections(struct client_loop *cl)
{
	MS_LIST_FOREACH (node, &cl->conns) {
		struct upstream *conn = MS_CONTAINER_OF(node, struct upstream, node);
		ms_upstream_close(conn);
	}
}

static void stop_loop(struct mail *mail)
{
	struct client_loop *cl = MS_CONTAINER_OF(mail, struct client_loop, stop_mail);
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_DRAINING, "the server is shutting down");
	cl->stopped = true;
	cancel_resolutions(cl);
	// A handler may end other calls, but starts none any more.
	for (struct list_node *node; (node = ms_list_first(&cl->calls)) != NULL;) {
		struct http_call *call = MS_CONTAINER_OF(node, struct http_call, node);
		ms_call_detach(call);
		ms_call_fail(call, CALL_BROKEN, &info);
	}
	close_connections(cl);
}

void ms_http_client_stop(struct http_client *client)
{
	for (unsigned i = 0; i < client->loop_count; i++)
		ms_loop_post(client->loops[i]->loop, &client->loops[i]->stop_mail, stop_loop);
}

static void on_idle_closed(uv_handle_t *handle)
{
	MS_CONTAINER_OF((uv_idle_t *)handle, struct client_loop, end_of_turn)->open_handles--;
}

static void loop_free(struct client_loop *cl)
{
	if (cl == NULL)
		return;
	cl->stopped = true;
	cancel_resolutions(cl);
	for (struct list_node *node; (node = ms_list_first(&cl->calls)) != NULL;)
		ms_call_cancel_silently(MS_CONTAINER_OF(node, struct http_call, node));
	close_connections(cl);
	uv_close((uv_handle_t *)&cl->end_of_turn, on_idle_closed);
	while (cl->open_handles > 0)
		uv_run(cl->uv, UV_RUN_ONCE);
	ms_deadlines_fini(&cl->deadlines);
	ms_deadlines_fini(&cl->call_deadlines);
	ms_call_free_all(cl);
	for (struct upstream *conn; (conn = cl->free_conns) != NULL;) {
		cl->free_conns = conn->next_free;
		ms_buf_fini(&conn->out);
		ms_buf_fini(&conn->flight);
		ms_buf_fini(&conn->in);
		free(conn);
	}
	ms_buf_fini(&cl->request);
	free(cl);
}

// --- Client ------------------------------------------------------------------------------------------

static void make_metrics(struct http_client *client)
{
	static const char *const state[] = {"state"}, *const failure[] = {"failure"};
	struct metrics *m = client->options.metrics;
	if (m == NULL)
		return;
	struct metric_family *connections = ms_metrics_family(
		m, &(struct metric_options){
			   .name = "mainstay_upstream_connections",
			   .help = "Connections to upstreams that are open, and those of them that wait for use.",
			   .type = METRIC_GAUGE,
			   .labels = state,
			   .label_count = 1});
	struct metric_family *connects =
		ms_metrics_family(m, &(struct metric_options){.name = "mainstay_upstream_connects_total",
							      .help = "Connections to upstreams that were made.",
							      .type = METRIC_COUNTER});
	struct metric_family *failures =
		ms_metrics_family(m, &(struct metric_options){.name = "mainstay_upstream_failures_total",
							      .help = "Requests to upstreams that got no whole answer.",
							      .type = METRIC_COUNTER,
							      .labels = failure,
							      .label_count = 1});
	if (connections != NULL) {
		client->open = ms_metrics_series(connections, &MS_SLICE_LIT("open"));
		client->idle = ms_metrics_series(connections, &MS_SLICE_LIT("idle"));
	}
	if (connects != NULL)
		client->connects = ms_metrics_series(connects, NULL);
	for (int i = 0; failures != NULL && i <= CALL_FULL; i++) {
		struct slice name = ms_slice_cstr(ms_http_call_failure_name((enum http_call_failure)i));
		client->failures[i] = ms_metrics_series(failures, &name);
	}
}

static void set_defaults(struct http_client_options *o)
{
	o->idle_connections = o->idle_connections > 0 ? o->idle_connections : 64;
	o->idle_timeout_ms = o->idle_timeout_ms > 0 ? o->idle_timeout_ms : 60000;
	o->max_connections = o->max_connections > 0 ? o->max_connections : 1024;
	o->header_bytes = o->header_bytes > 0 ? o->header_bytes : (size_t)64 << 10;
	o->resolve_ttl_ms = o->resolve_ttl_ms > 0 ? o->resolve_ttl_ms : 10000;
}

enum ms_err ms_http_client_new(const struct http_client_options *options, struct errinfo *info,
			       struct http_client **ret_client)
{
	struct http_client *client = calloc(1, sizeof(*client));
	if (client == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the upstream client");
	client->options = *options;
	set_defaults(&client->options);
	pthread_mutex_init(&client->lock, NULL);
	ms_map_init(&client->origins, ORIGINS_MAX, ms_random_hash_seed());
	unsigned count = ms_rt_loop_count(options->rt);
	client->loops = calloc(count, sizeof(*client->loops));
	enum ms_err err = client->loops != NULL ? MS_OK : MS_ERR_NO_MEMORY;
	if (options->user_agent != NULL) {
		client->user_agent = copy_text(ms_slice_cstr(options->user_agent));
		err = client->user_agent != NULL ? err : MS_ERR_NO_MEMORY;
	}
	for (; err == MS_OK && client->loop_count < count; client->loop_count += err == MS_OK)
		err = loop_new(client, client->loop_count, &client->loops[client->loop_count]);
	if (err != MS_OK) {
		ms_http_client_free(client);
		return ms_fail(info, err, "out of memory for the upstream client");
	}
	make_metrics(client);
	*ret_client = client;
	return MS_OK;
}

void ms_http_client_free(struct http_client *client)
{
	if (client == NULL)
		return;
	for (unsigned i = 0; i < client->loop_count; i++)
		loop_free(client->loops[i]);
	MS_ASSERT(client->origins.count == 0);
	ms_map_fini(&client->origins);
	ms_tls_authorities_free(client->system);
	pthread_mutex_destroy(&client->lock);
	free(client->loops);
	free(client->user_agent);
	free(client);
}
