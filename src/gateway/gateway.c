// SPDX-License-Identifier: Apache-2.0
// The gateway as a whole: what it is made of, and how a new plan reaches the loops.
#include <stdio.h>
#include <stdlib.h>

#include "gateway/canary_watch.h"
#include "gateway/health.h"
#include "gateway/proxy.h"

#define POOL_THREADS 1
#define POOL_DEPTH 256
#define TRUSTED_MAX 1000

// --- Plans -------------------------------------------------------------------------------------------

struct gw_snapshot *ms_gateway_latest(struct gateway *g)
{
	pthread_mutex_lock(&g->lock);
	struct gw_snapshot *s = g->latest != NULL ? ms_gw_snapshot_ref(g->latest) : NULL;
	pthread_mutex_unlock(&g->lock);
	return s;
}

struct gw_snapshot *ms_gateway_snapshot(struct gateway *g, struct loop *loop)
{
	struct gw_loop *l = &g->loops[ms_loop_index(loop)];
	uint64_t version = atomic_load_explicit(&g->version, memory_order_acquire);
	if (MS_UNLIKELY(version != l->version)) {
		struct gw_snapshot *old = l->snapshot;
		l->snapshot = ms_gateway_latest(g);
		l->version = version; // a later one may be here already: taken up once more, then
		ms_gw_snapshot_unref(old);
	}
	return l->snapshot;
}

struct plan *ms_gateway_plan(struct gateway *g, struct loop *loop)
{
	struct gw_snapshot *s = ms_gateway_snapshot(g, loop);
	return s != NULL ? s->plan : g->empty;
}

// Idle loops let go of the old plan too.
static void take_up(struct mail *mail)
{
	struct gw_loop *l = MS_CONTAINER_OF(mail, struct gw_loop, mail);
	atomic_store(&l->mailed, false);
	(void)ms_gateway_snapshot(l->gateway, l->loop);
	if (ms_loop_index(l->loop) == 0)
		ms_gw_health_replan(l->gateway->health);
}

enum ms_err ms_gateway_prepare(struct gateway *g, struct plan *plan, struct errinfo *info,
			       struct gw_snapshot **ret_snapshot)
{
	enum ms_err err = ms_gw_snapshot_new(g, ms_plan_ref(plan), info, ret_snapshot);
	if (err != MS_OK)
		ms_plan_unref(plan);
	return err;
}

enum ms_err ms_gateway_accepts(void *gateway, struct plan *plan, struct errinfo *info)
{
	struct gw_snapshot *snapshot;
	MS_TRY(ms_gateway_prepare(gateway, plan, info, &snapshot));
	ms_gw_snapshot_unref(snapshot);
	return MS_OK;
}

void ms_gateway_put(struct gateway *g, struct gw_snapshot *fresh)
{
	pthread_mutex_lock(&g->lock);
	struct gw_snapshot *old = g->latest;
	g->latest = fresh;
	atomic_fetch_add_explicit(&g->version, 1, memory_order_release);
	pthread_mutex_unlock(&g->lock);
	ms_gw_snapshot_unref(old);
	for (size_t i = 0; i < g->loop_count && !atomic_load(&g->stopping); i++) {
		if (!atomic_exchange(&g->loops[i].mailed, true))
			ms_loop_post(g->loops[i].loop, &g->loops[i].mail, take_up);
	}
}

enum ms_err ms_gateway_set_plan(struct gateway *g, struct plan *plan, struct errinfo *info)
{
	struct gw_snapshot *snapshot;
	MS_TRY(ms_gateway_prepare(g, plan, info, &snapshot));
	ms_gateway_put(g, snapshot);
	return MS_OK;
}

// --- What others ask ---------------------------------------------------------------------------------

struct rt *ms_gateway_rt(struct gateway *g)
{
	return g->options.rt;
}

struct log *ms_gateway_log(struct gateway *g)
{
	return g->options.log;
}

struct store *ms_gateway_store(struct gateway *g)
{
	return g->options.store;
}

struct auth *ms_gateway_auth(struct gateway *g)
{
	return g->options.auth;
}

struct gateway_admin *ms_gateway_admin(struct gateway *g)
{
	return g->admin;
}

const struct http_front *ms_gateway_front(struct gateway *g)
{
	return &g->front;
}

struct route_set ms_gateway_routes(struct gateway *g)
{
	return ms_gateway_admin_routes(g->admin);
}

void ms_gateway_tell_health(struct gateway *g, const struct balancer *balancer, size_t target,
			    enum gw_health_change change, struct loop *loop, const char *why)
{
	static const char *const words[] = {[GW_TURNED_HEALTHY] = "target is healthy again",
					    [GW_TURNED_UNHEALTHY] = "target is unhealthy",
					    [GW_EJECTED] = "target is ejected for a while"};
	static const char *const labels[] = {
		[GW_TURNED_HEALTHY] = "healthy", [GW_TURNED_UNHEALTHY] = "unhealthy", [GW_EJECTED] = "ejected"};
	if (change == GW_NO_CHANGE)
		return;
	const struct gw_upstream *u = ms_balancer_upstream(balancer);
	ms_log(g->options.log, change == GW_TURNED_HEALTHY ? LOG_INFO : LOG_WARN, words[change],
	       MS_LOG_STR("mainstay.gateway.upstream", u->name),
	       MS_LOG_STR("mainstay.gateway.target", u->targets[target].target), MS_LOG_CSTR("event.reason", why));
	const struct slice values[] = {u->name, u->targets[target].target, ms_slice_cstr(labels[change])};
	ms_counter_add(ms_metrics_series(g->metrics.health_changes, values), ms_loop_index(loop), 1);
}

bool ms_gateway_healthy(struct gateway *g, char *message, size_t size)
{
	struct gw_snapshot *s = ms_gateway_latest(g);
	struct gw_upstream_state state;
	int64_t now_ns = ms_clock_mono_ns();
	size_t gone = 0;
	const struct gw_upstream *first = NULL;
	for (size_t i = 0; s != NULL && i < s->plan->upstream_count; i++) {
		ms_balancer_state(s->balancers[i], now_ns, &state);
		if (state.available)
			continue;
		first = first != NULL ? first : &s->plan->upstreams[i];
		gone++;
	}
	if (gone > 0)
		snprintf(message, size, "%zu of %zu upstreams have no healthy target, the first is %.*s", gone,
			 s->plan->upstream_count, MS_SLICE_ARG(first->name));
	else
		snprintf(message, size, "%zu routes, %zu services, %zu upstreams", s != NULL ? s->plan->route_count : 0,
			 s != NULL ? s->plan->service_count : 0, s != NULL ? s->plan->upstream_count : 0);
	ms_gw_snapshot_unref(s);
	return gone == 0;
}

// --- Life --------------------------------------------------------------------------------------------

static enum ms_err read_trusted(struct gateway *g, const char *const *texts, struct errinfo *info)
{
	size_t count = 0;
	while (texts != NULL && texts[count] != NULL)
		count++;
	if (count > TRUSTED_MAX)
		return ms_fail(info, MS_ERR_CONFIG, "gateway.trusted_proxies: more than %d networks", TRUSTED_MAX);
	g->trusted = calloc(count + 1, sizeof(*g->trusted));
	if (g->trusted == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the gateway");
	for (; g->trusted_count < count; g->trusted_count++) {
		if (!ms_gw_network_parse(ms_slice_cstr(texts[g->trusted_count]), &g->trusted[g->trusted_count]))
			return ms_fail(info, MS_ERR_CONFIG,
				       "gateway.trusted_proxies: \"%.100s\" is neither an address nor a network; right "
				       "would be "
				       "10.0.0.0/8 or 2001:db8::1",
				       texts[g->trusted_count]);
	}
	g->trusted_count = ms_gw_networks_sort(g->trusted, g->trusted_count);
	return MS_OK;
}

static struct metric_series *plain_counter(struct metrics *metrics, const char *name, const char *help)
{
	struct metric_family *family = ms_metrics_family(
		metrics, &(struct metric_options){.name = name, .help = help, .type = METRIC_COUNTER});
	return family != NULL ? ms_metrics_series(family, NULL) : NULL;
}

static bool make_metrics(struct gateway *g)
{
	static const char *const tries[] = {"upstream", "outcome"};
	static const char *const changes[] = {"upstream", "target", "state"};
	static const char *const mirrored[] = {"route", "outcome"};
	struct metrics *m = g->options.metrics;
	struct gateway_metrics *to = &g->metrics;
	to->tries =
		ms_metrics_family(m, &(struct metric_options){.name = "mainstay_gateway_upstream_failures_total",
							      .help = "Requests that got no answer from their target.",
							      .type = METRIC_COUNTER,
							      .labels = tries,
							      .label_count = 2});
	to->health_changes = ms_metrics_family(
		m, &(struct metric_options){.name = "mainstay_gateway_target_changes_total",
					    .help = "Targets that turned healthy or unhealthy or were ejected.",
					    .type = METRIC_COUNTER,
					    .labels = changes,
					    .label_count = 3});
	to->mirrored = ms_metrics_family(m, &(struct metric_options){.name = "mainstay_gateway_mirrored_total",
								     .help = "Shadow requests by what came of them.",
								     .type = METRIC_COUNTER,
								     .labels = mirrored,
								     .label_count = 2});
	to->retries =
		plain_counter(m, "mainstay_gateway_retries_total", "Requests that were sent to a target once more.");
	to->breaker =
		plain_counter(m, "mainstay_gateway_breaker_open_total", "Requests that a circuit breaker refused.");
	to->no_target =
		plain_counter(m, "mainstay_gateway_no_target_total", "Requests for which no target was healthy.");
	to->cut = plain_counter(m, "mainstay_gateway_answers_cut_total", "Answers that the upstream did not finish.");
	return to->tries != NULL && to->health_changes != NULL && to->mirrored != NULL && to->cut != NULL;
}

static enum ms_err start(struct gateway *g, struct errinfo *info)
{
	const struct gateway_options *o = &g->options;
	const struct http_client_options client = {.rt = o->rt, .log = o->log, .metrics = o->metrics};
	const struct pool_options pool = {.name = "gateway", .threads = POOL_THREADS, .depth = POOL_DEPTH};
	g->loop_count = ms_rt_loop_count(o->rt);
	g->loops = calloc(g->loop_count, sizeof(*g->loops));
	g->balancers = ms_balancers_new();
	g->empty = calloc(1, sizeof(*g->empty));
	if (g->loops == NULL || g->balancers == NULL || g->empty == NULL || !make_metrics(g))
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the gateway");
	for (size_t i = 0; i < g->loop_count; i++) {
		g->loops[i].gateway = g;
		g->loops[i].loop = ms_rt_loop(o->rt, (unsigned)i);
	}
	MS_TRY(read_trusted(g, o->trusted_proxies, info));
	MS_TRY(ms_http_client_new(&client, info, &g->client));
	MS_TRY(ms_pool_new(&pool, info, &g->pool));
	g->services = (struct gw_services){.rt = o->rt,
					   .log = o->log,
					   .metrics = o->metrics,
					   .cache = o->cache,
					   .client = g->client,
					   .auth = o->auth,
					   .pool = g->pool};
	MS_TRY(ms_gw_runtime_new(&g->services, &g->services.runtime));
	MS_TRY(ms_gw_health_new(g, info, &g->health));
	MS_TRY(ms_canary_watch_new(g, info, &g->canaries));
	g->front = (struct http_front){
		.take = ms_proxy_take, .answer = ms_proxy_local_answer, .over = ms_proxy_over, .arg = g};
	return ms_gateway_admin_new(g, o->file, o->file_name, info, &g->admin);
}

enum ms_err ms_gateway_new(const struct gateway_options *options, struct errinfo *info, struct gateway **ret_gateway)
{
	struct gateway *g = calloc(1, sizeof(*g));
	if (g == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the gateway");
	g->options = *options;
	pthread_mutex_init(&g->lock, NULL);
	enum ms_err err = start(g, info);
	g->options.file = MS_SLICE_EMPTY; // the caller's; read by now
	g->options.trusted_proxies = NULL;
	if (err != MS_OK) {
		ms_gateway_free(g);
		return err;
	}
	*ret_gateway = g;
	return MS_OK;
}

void ms_gateway_stop(struct gateway *g)
{
	// Once: the mails that it posts may still be on their way the second time.
	if (g == NULL || atomic_exchange(&g->stopping, true))
		return;
	ms_gateway_admin_stop(g->admin);
	ms_gw_health_stop(g->health);
	ms_canary_watch_stop(g->canaries);
	ms_gw_runtime_stop(g->services.runtime);
	ms_http_client_stop(g->client);
}

void ms_gateway_settle(struct gateway *g)
{
	if (g == NULL)
		return;
	ms_pool_free(g->pool);
	g->pool = g->services.pool = NULL;
}

void ms_gateway_free(struct gateway *g)
{
	if (g == NULL)
		return;
	ms_gateway_admin_free(g->admin);
	ms_gw_health_free(g->health);
	ms_canary_watch_free(g->canaries);
	for (size_t i = 0; g->loops != NULL && i < g->loop_count; i++)
		ms_gw_snapshot_unref(g->loops[i].snapshot);
	ms_gw_snapshot_unref(g->latest);
	ms_gw_runtime_free(g->services.runtime);
	ms_pool_free(g->pool);
	ms_http_client_free(g->client);
	ms_balancers_free(g->balancers);
	pthread_mutex_destroy(&g->lock);
	free(g->trusted);
	free(g->empty);
	free(g->loops);
	free(g);
}
