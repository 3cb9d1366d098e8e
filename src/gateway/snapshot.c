// SPDX-License-Identifier: Apache-2.0
// A plan made ready for requests: balancers, and an origin for each service and target.
#include <stdlib.h>

#include "gateway/canary_watch.h"
#include "gateway/proxy.h"

#define SNAPSHOT_MAX_BYTES ((size_t)256 << 20)
#define DETOURS_MAX 1000
// What a host that is no upstream has of a circuit breaker: the retry budget alone.
#define RETRIES_FLOOR 3
#define RETRIES_PERCENT 20

struct detour {
	struct detour *next;
	const struct gw_service *service;
	struct slice host;
	unsigned port;
	struct service_run run;
};

enum ms_err ms_gw_origin_new(struct http_client *client, const struct gw_service *service, struct slice host,
			     unsigned port, struct errinfo *info, struct http_origin **ret_origin)
{
	bool grpc = service->protocol == GW_GRPC || service->protocol == GW_GRPCS;
	bool tls = service->protocol == GW_HTTPS || service->protocol == GW_GRPCS || service->protocol == GW_WSS;
	const struct http_origin_options options = {.host = host,
						    .port = port,
						    .protocol = grpc ? ORIGIN_H2 : ORIGIN_AUTO,
						    .tls = tls,
						    .tls_verify = service->tls_verify,
						    .tls_verify_depth =
							    (unsigned)MS_MAX(service->tls_verify_depth, (int64_t)0),
						    .ca_pem = service->ca_pem,
						    .client_cert_pem = service->client_cert_pem,
						    .client_key_pem = service->client_key_pem};
	return ms_http_origin_new(client, &options, info, ret_origin);
}

static void run_fini(struct service_run *run)
{
	for (size_t i = 0; i < run->origin_count; i++)
		ms_http_origin_unref(run->origins[i]);
	if (run->own_balancer)
		ms_balancer_free(run->balancer);
}

// The service's requests by this upstream of the plan.
static enum ms_err run_upstream(struct gw_snapshot *s, struct service_run *run, const struct gw_service *service,
				const struct gw_upstream *upstream, struct errinfo *info)
{
	run->service = service;
	run->upstream = upstream;
	if (upstream != &run->single)
		run->balancer = s->balancers[upstream - s->plan->upstreams];
	run->origins = MS_ARENA_ARRAY(&s->arena, struct http_origin *, upstream->target_count);
	if (run->origins == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the gateway's plan");
	for (size_t i = 0; i < upstream->target_count; i++) {
		const struct gw_target *t = &upstream->targets[i];
		MS_TRY(ms_gw_origin_new(s->gateway->client, service, t->host, t->port, info, &run->origins[i]));
		run->origin_count++;
	}
	return MS_OK;
}

static enum ms_err run_host(struct gw_snapshot *s, struct service_run *run, const struct gw_service *service,
			    struct slice host, unsigned port, struct errinfo *info)
{
	bool v6 = ms_slice_find(host, ':') < host.n;
	char *name = ms_arena_printf(&s->arena, v6 ? "[%.*s]:%u" : "%.*s:%u", MS_SLICE_ARG(host), port);
	if (name == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the gateway's plan");
	run->single_target =
		(struct gw_target){.target = ms_slice_cstr(name), .host = host, .port = port, .weight = 100};
	run->single = (struct gw_upstream){
		.name = ms_slice_cstr(name),
		.targets = &run->single_target,
		.target_count = 1,
		.breaker = {.max_retries = RETRIES_FLOOR, .retry_budget_percent = RETRIES_PERCENT},
	};
	MS_TRY(ms_balancer_new(s->gateway->balancers, &run->single, ms_clock_mono_ns(), info, &run->balancer));
	run->own_balancer = true;
	return run_upstream(s, run, service, &run->single, info);
}

static enum ms_err run_service(struct gw_snapshot *s, struct service_run *run, const struct gw_service *service,
			       struct errinfo *info)
{
	run->service = service;
	if (service->protocol == GW_LOCAL)
		return MS_OK;
	if (service->upstream != NULL)
		return run_upstream(s, run, service, service->upstream, info);
	return run_host(s, run, service, service->host, service->port, info);
}

static const struct gw_service plain_service = {
	.enabled = true, .port = 80, .connect_timeout_ms = 60000, .write_timeout_ms = 60000, .read_timeout_ms = 60000};

static enum ms_err fill(struct gw_snapshot *s, struct errinfo *info)
{
	const struct plan *plan = s->plan;
	int64_t now_ns = ms_clock_mono_ns();
	s->plain[0] = s->plain[1] = plain_service;
	s->plain[1].protocol = GW_HTTPS;
	s->plain[1].port = 443;
	s->plain[1].tls_verify = true;
	s->balancers = MS_ARENA_ARRAY(&s->arena, struct balancer *, plan->upstream_count);
	s->services = MS_ARENA_ARRAY(&s->arena, struct service_run, plan->service_count);
	if (s->balancers == NULL || s->services == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the gateway's plan");
	for (size_t i = 0; i < plan->upstream_count; i++)
		MS_TRY(ms_balancer_new(s->gateway->balancers, &plan->upstreams[i], now_ns, info, &s->balancers[i]));
	for (size_t i = 0; i < plan->service_count; i++)
		MS_TRY(run_service(s, &s->services[i], &plan->services[i], info));
	return ms_canary_watch_plan(s) ? MS_OK
				       : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the gateway's plan");
}

static void destroy(struct gw_snapshot *s)
{
	for (size_t i = 0; s->services != NULL && i < s->plan->service_count; i++)
		run_fini(&s->services[i]);
	for (struct detour *d = s->detours; d != NULL; d = d->next)
		run_fini(&d->run);
	for (size_t i = 0; s->balancers != NULL && i < s->plan->upstream_count; i++)
		ms_balancer_free(s->balancers[i]);
	ms_arena_fini(&s->arena);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

enum ms_err ms_gw_snapshot_new(struct gateway *gateway, struct plan *plan, struct errinfo *info,
			       struct gw_snapshot **ret_snapshot)
{
	struct gw_snapshot *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the gateway's plan");
	atomic_init(&s->refs, 1);
	s->gateway = gateway;
	s->plan = plan;
	ms_arena_init(&s->arena, 4096, SNAPSHOT_MAX_BYTES);
	pthread_mutex_init(&s->lock, NULL);
	enum ms_err err = fill(s, info);
	if (err != MS_OK) {
		destroy(s);
		return err;
	}
	*ret_snapshot = s;
	return MS_OK;
}

struct gw_snapshot *ms_gw_snapshot_ref(struct gw_snapshot *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void ms_gw_snapshot_unref(struct gw_snapshot *s)
{
	if (s == NULL || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	struct plan *plan = s->plan;
	destroy(s);
	ms_plan_unref(plan);
}

const struct service_run *ms_gw_snapshot_service(const struct gw_snapshot *s, const struct gw_service *service)
{
	return &s->services[service - s->plan->services];
}

static const struct gw_upstream *find_upstream(const struct plan *plan, struct slice name)
{
	for (size_t i = 0; i < plan->upstream_count; i++) {
		if (ms_slice_eq(plan->upstreams[i].name, name))
			return &plan->upstreams[i];
	}
	return NULL;
}

static struct detour *detour_new(struct gw_snapshot *s, const struct gw_service *service, struct slice host,
				 unsigned port)
{
	const struct gw_upstream *upstream = find_upstream(s->plan, host);
	struct detour *d = s->detour_count < DETOURS_MAX ? MS_ARENA_NEW(&s->arena, struct detour) : NULL;
	if (d == NULL)
		return NULL;
	d->service = service;
	d->host = ms_arena_copy(&s->arena, host);
	d->port = port;
	enum ms_err err = d->host.p == NULL  ? MS_ERR_NO_MEMORY
			  : upstream != NULL ? run_upstream(s, &d->run, service, upstream, NULL)
					     : run_host(s, &d->run, service, d->host, port, NULL);
	if (err != MS_OK) {
		run_fini(&d->run);
		return NULL;
	}
	d->next = s->detours;
	s->detours = d;
	s->detour_count++;
	return d;
}

const struct service_run *ms_gw_snapshot_detour(struct gw_snapshot *s, const struct gw_service *service,
						struct slice host, unsigned port)
{
	port = port != 0 ? port : service->port;
	pthread_mutex_lock(&s->lock);
	struct detour *d = s->detours;
	while (d != NULL && (d->service != service || d->port != port || !ms_slice_eq(d->host, host)))
		d = d->next;
	if (d == NULL)
		d = detour_new(s, service, host, port);
	pthread_mutex_unlock(&s->lock);
	return d != NULL ? &d->run : NULL;
}
