// SPDX-License-Identifier: Apache-2.0
// Active health checks. A timer looks ten times a second who is due; a check that hangs is ended by its own timeout.
#include "gateway/health.h"

#include <stdlib.h>

#define TICK_MS 100
#define SECOND_NS INT64_C(1000000000)
#define GRPC_ANSWER_MAX 64 // of a HealthCheckResponse nothing else is read

enum check_type { CHECK_HTTP, CHECK_HTTPS, CHECK_TCP, CHECK_GRPC, CHECK_GRPCS }; // as gw_active_check.type

struct check {
	struct gw_health *home;
	const struct gw_upstream *upstream;
	struct balancer *balancer;
	size_t target;
	size_t *running_of_upstream;
	int64_t due_ns, started_ns;
	bool running, told;
	struct http_origin *origin; // not for TCP
	struct http_call *call;
	struct net_probe *probe;
	struct http_header *headers;
	size_t header_count;
	// gRPC.
	uint8_t answer[GRPC_ANSWER_MAX];
	size_t answer_n;
	bool grpc_failed;
};
struct gw_health {
	struct gateway *gateway;
	struct loop *loop;
	struct timer *timer;
	struct gw_snapshot *snapshot; // that the checks are of
	struct arena arena;
	struct check *checks;
	size_t count;
	bool stopped;
};

static const struct http_call_handlers handlers;

static bool is_grpc(const struct check *c)
{
	return c->upstream->active.type == CHECK_GRPC || c->upstream->active.type == CHECK_GRPCS;
}

// --- Results -----------------------------------------------------------------------------------------

static int64_t interval_ns(const struct check *c)
{
	struct gw_target_state state;
	const struct gw_active_check *a = &c->upstream->active;
	ms_balancer_target(c->balancer, c->target, ms_clock_mono_ns(), &state);
	bool sick = state.health == GW_UNHEALTHY;
	double seconds = sick ? a->unhealthy_interval_s : a->healthy_interval_s;
	return seconds > 0 ? (int64_t)(seconds * 1e9) : 0;
}

static void end_check(struct check *c)
{
	// A tenth more or less: checks of many gateways do not stay in step.
	int64_t wait_ns = interval_ns(c);
	double spread = 0.9 + 0.2 * ms_rand_double(ms_loop_rand(c->home->loop));
	c->running = false;
	c->call = NULL;
	c->probe = NULL;
	--*c->running_of_upstream;
	c->due_ns = wait_ns > 0 ? c->started_ns + (int64_t)((double)wait_ns * spread) : INT64_MAX;
}

static void tell(struct check *c, enum gw_result result, int status, const char *why)
{
	struct gateway *g = c->home->gateway;
	if (c->told)
		return;
	c->told = true;
	enum gw_health_change change =
		ms_balancer_check_result(c->balancer, c->target, result, status, ms_loop_now_ns(c->home->loop));
	ms_gateway_tell_health(g, c->balancer, c->target, change, c->home->loop, why);
}

static void head(struct http_call *call, int status, const struct http_header *headers, size_t count,
		 uint64_t content_length, void *arg)
{
	struct check *c = arg;
	(void)call;
	(void)content_length;
	if (status < 200)
		return;
	if (!is_grpc(c) || status != 200) {
		tell(c, GW_RESULT_OK, status, "status of a check");
		return;
	}
	for (size_t i = 0; i < count; i++) // an answer of trailers alone
		c->grpc_failed |= ms_slice_eq_nocase(headers[i].name, MS_SLICE_LIT("grpc-status")) &&
				  !ms_slice_eq_cstr(headers[i].value, "0");
}

static void data(struct http_call *call, struct slice bytes, void *arg)
{
	struct check *c = arg;
	(void)call;
	size_t n = MS_MIN(bytes.n, sizeof(c->answer) - c->answer_n);
	memcpy(c->answer + c->answer_n, bytes.p, n);
	c->answer_n += n;
}

// HealthCheckResponse { ServingStatus status = 1; } behind five bytes of frame; SERVING is 1.
static bool is_serving(const struct check *c)
{
	return !c->grpc_failed && c->answer_n >= 7 && c->answer[0] == 0 && c->answer[5] == 0x08 && c->answer[6] == 1;
}

static void end(struct http_call *call, const struct http_header *trailers, size_t count, void *arg)
{
	struct check *c = arg;
	(void)call;
	for (size_t i = 0; i < count; i++)
		c->grpc_failed |= ms_slice_eq_nocase(trailers[i].name, MS_SLICE_LIT("grpc-status")) &&
				  !ms_slice_eq_cstr(trailers[i].value, "0");
	if (is_grpc(c))
		tell(c, GW_RESULT_OK, is_serving(c) ? 200 : 503, "answer of a gRPC check");
	end_check(c);
}

static void failed(struct http_call *call, enum http_call_failure failure, bool sent, const struct errinfo *info,
		   void *arg)
{
	struct check *c = arg;
	(void)call;
	(void)sent;
	bool late = failure == CALL_TIMED_OUT || info->code == MS_ERR_HTTP_TIMEOUT;
	if (failure != CALL_FULL) // our own limit says nothing about the target
		tell(c, late ? GW_RESULT_TIMEOUT : GW_RESULT_TCP_FAILURE, 0, info->message);
	end_check(c);
}

static const struct http_call_handlers handlers = {.head = head, .data = data, .end = end, .failed = failed};

static void probed(enum ms_err err, const struct errinfo *info, void *arg)
{
	struct check *c = arg;
	if (err == MS_OK)
		tell(c, GW_RESULT_OK, 0, "a connection");
	else
		tell(c, err == MS_ERR_HTTP_TIMEOUT ? GW_RESULT_TIMEOUT : GW_RESULT_TCP_FAILURE, 0, info->message);
	end_check(c);
}

// --- Starting ----------------------------------------------------------------------------------------

static unsigned timeout_ms(const struct gw_active_check *a)
{
	double ms = a->timeout_s > 0 ? a->timeout_s * 1000 : 1000;
	return ms < 1 ? 1 : ms > 3600000 ? 3600000 : (unsigned)ms;
}

static enum ms_err start_call(struct check *c, struct errinfo *info)
{
	static const char request[5] = {0}; // an empty HealthCheckRequest in its frame
	const struct gw_active_check *a = &c->upstream->active;
	const struct gw_target *t = &c->upstream->targets[c->target];
	bool grpc = is_grpc(c);
	const struct http_call_options options = {
		.origin = c->origin,
		.loop = c->home->loop,
		.method = grpc ? MS_SLICE_LIT("POST") : MS_SLICE_LIT("GET"),
		.target = grpc                 ? MS_SLICE_LIT("/grpc.health.v1.Health/Check")
			  : a->http_path.n > 0 ? a->http_path
					       : MS_SLICE_LIT("/"),
		.authority = c->upstream->host_header.n > 0 ? c->upstream->host_header : t->target,
		.headers = c->headers,
		.header_count = c->header_count,
		.has_body = grpc,
		.content_length = grpc ? sizeof(request) : 0,
		.connect_timeout_ms = timeout_ms(a),
		.send_timeout_ms = timeout_ms(a),
		.read_timeout_ms = timeout_ms(a),
		.handlers = &handlers,
		.arg = c,
	};
	MS_TRY(ms_http_call_start(c->home->gateway->client, &options, info, &c->call));
	if (grpc) {
		(void)ms_http_call_write(c->call, ms_slice(request, sizeof(request)));
		ms_http_call_write_end(c->call, NULL, 0);
	}
	return MS_OK;
}

static void start_check(struct check *c, int64_t now_ns)
{
	const struct gw_target *t = &c->upstream->targets[c->target];
	struct errinfo info;
	ms_errinfo_init(&info);
	c->running = true;
	c->told = c->grpc_failed = false;
	c->answer_n = 0;
	c->started_ns = now_ns;
	++*c->running_of_upstream;
	enum ms_err err = c->upstream->active.type == CHECK_TCP
				  ? ms_net_probe_start(c->home->loop, t->host, t->port,
						       timeout_ms(&c->upstream->active), probed, c, &info, &c->probe)
				  : start_call(c, &info);
	if (err != MS_OK)
		end_check(c); // ours to blame: looked at again when it is due
}

static void drop(struct check *c)
{
	if (c->call != NULL)
		ms_http_call_cancel(c->call);
	ms_net_probe_cancel(c->probe);
	if (c->running)
		end_check(c);
}

static void tick(struct timer *timer, void *arg)
{
	struct gw_health *h = arg;
	int64_t now_ns = ms_loop_now_ns(h->loop);
	(void)timer;
	for (size_t i = 0; i < h->count; i++) {
		struct check *c = &h->checks[i];
		const struct gw_active_check *a = &c->upstream->active;
		// The client's timeouts count from byte to byte; an answer that drips is late all the same.
		if (c->running && now_ns - c->started_ns > (int64_t)timeout_ms(a) * 1000000 + SECOND_NS / 10) {
			tell(c, GW_RESULT_TIMEOUT, 0, "a check that took too long");
			drop(c);
		}
		size_t most = a->concurrency > 0 ? (size_t)a->concurrency : 10;
		if (!c->running && c->due_ns == INT64_MAX && interval_ns(c) > 0)
			c->due_ns = now_ns; // the other interval holds now
		if (!c->running && c->due_ns <= now_ns && *c->running_of_upstream < most)
			start_check(c, now_ns);
	}
}

// --- Plans -------------------------------------------------------------------------------------------

static bool has_checks(const struct gw_upstream *u)
{
	const struct gw_active_check *a = &u->active;
	bool counts = a->healthy_successes > 0 || a->unhealthy_tcp_failures > 0 || a->unhealthy_timeouts > 0 ||
		      a->unhealthy_http_failures > 0;
	return counts && (a->healthy_interval_s > 0 || a->unhealthy_interval_s > 0);
}

static bool make_headers(struct gw_health *h, struct check *c)
{
	const struct text_map *map = &c->upstream->active.headers;
	size_t count = 3;
	for (size_t i = 0; i < map->count; i++)
		count += map->items[i].values.count;
	c->headers = MS_ARENA_ARRAY(&h->arena, struct http_header, count);
	if (c->headers == NULL)
		return false;
	for (size_t i = 0; i < map->count; i++) {
		for (size_t k = 0; k < map->items[i].values.count; k++)
			c->headers[c->header_count++] = (struct http_header){.name = map->items[i].name,
									     .value = map->items[i].values.items[k]};
	}
	if (is_grpc(c)) {
		c->headers[c->header_count++] = (struct http_header){.name = MS_SLICE_LIT("content-type"),
								     .value = MS_SLICE_LIT("application/grpc")};
		c->headers[c->header_count++] =
			(struct http_header){.name = MS_SLICE_LIT("te"), .value = MS_SLICE_LIT("trailers")};
	} else {
		c->headers[c->header_count++] = (struct http_header){.name = MS_SLICE_LIT("User-Agent"),
								     .value = MS_SLICE_LIT("mainstay-health")};
	}
	return true;
}

static bool make_origin(struct gw_health *h, struct check *c)
{
	const struct gw_active_check *a = &c->upstream->active;
	const struct gw_target *t = &c->upstream->targets[c->target];
	struct errinfo info;
	if (a->type == CHECK_TCP)
		return true;
	const struct http_origin_options options = {.host = t->host,
						    .port = t->port,
						    .protocol = is_grpc(c) ? ORIGIN_H2 : ORIGIN_HTTP1,
						    .tls = a->type == CHECK_HTTPS || a->type == CHECK_GRPCS,
						    .tls_verify = a->https_verify_certificate,
						    .sni = a->https_sni};
	ms_errinfo_init(&info);
	if (ms_http_origin_new(h->gateway->client, &options, &info, &c->origin) == MS_OK)
		return true;
	ms_log(h->gateway->options.log, LOG_ERROR, "a target cannot be checked",
	       MS_LOG_STR("mainstay.gateway.target", t->target), MS_LOG_CSTR("error.message", info.message));
	return false;
}

static void clear(struct gw_health *h, bool loops_run)
{
	for (size_t i = 0; i < h->count; i++) {
		if (loops_run)
			drop(&h->checks[i]);
		ms_http_origin_unref(h->checks[i].origin);
	}
	h->count = 0;
	h->checks = NULL;
	ms_arena_reset(&h->arena);
	ms_gw_snapshot_unref(h->snapshot);
	h->snapshot = NULL;
}

static void add_upstream(struct gw_health *h, const struct gw_upstream *u, struct balancer *balancer)
{
	size_t *running = MS_ARENA_NEW(&h->arena, size_t);
	for (size_t i = 0; running != NULL && i < u->target_count; i++) {
		struct check *c = &h->checks[h->count];
		*c = (struct check){
			.home = h, .upstream = u, .balancer = balancer, .target = i, .running_of_upstream = running};
		if (!make_headers(h, c) || !make_origin(h, c))
			continue;
		int64_t first_ns = MS_MIN(MS_MAX(interval_ns(c), (int64_t)1), SECOND_NS / 2);
		c->due_ns = ms_loop_now_ns(h->loop) + (int64_t)ms_rand_below(ms_loop_rand(h->loop), (uint64_t)first_ns);
		h->count++;
	}
}

void ms_gw_health_replan(struct gw_health *h)
{
	size_t targets = 0;
	if (h == NULL || h->stopped)
		return;
	clear(h, true);
	h->snapshot = ms_gateway_latest(h->gateway);
	const struct plan *plan = h->snapshot != NULL ? h->snapshot->plan : NULL;
	for (size_t i = 0; plan != NULL && i < plan->upstream_count; i++)
		targets += has_checks(&plan->upstreams[i]) ? plan->upstreams[i].target_count : 0;
	if (targets == 0) {
		clear(h, true); // holds no plan for nothing
		ms_timer_stop(h->timer);
		return;
	}
	h->checks = MS_ARENA_ARRAY(&h->arena, struct check, targets);
	for (size_t i = 0; h->checks != NULL && i < plan->upstream_count; i++) {
		if (has_checks(&plan->upstreams[i]))
			add_upstream(h, &plan->upstreams[i], h->snapshot->balancers[i]);
	}
	ms_timer_start(h->timer, TICK_MS, TICK_MS);
}

enum ms_err ms_gw_health_new(struct gateway *gateway, struct errinfo *info, struct gw_health **ret_health)
{
	struct gw_health *h = calloc(1, sizeof(*h));
	if (h == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for health checks");
	h->gateway = gateway;
	h->loop = ms_rt_loop(gateway->options.rt, 0);
	ms_arena_init(&h->arena, 4096, (size_t)64 << 20);
	enum ms_err err = ms_timer_new(h->loop, tick, h, &h->timer);
	if (err != MS_OK) {
		ms_gw_health_free(h);
		return ms_fail(info, err, "out of memory for health checks");
	}
	*ret_health = h;
	return MS_OK;
}

void ms_gw_health_stop(struct gw_health *h)
{
	if (h == NULL || h->stopped)
		return;
	h->stopped = true;
	clear(h, true);
	ms_timer_free(h->timer);
	h->timer = NULL;
}

void ms_gw_health_free(struct gw_health *h)
{
	if (h == NULL)
		return;
	clear(h, false);
	ms_timer_free(h->timer);
	ms_arena_fini(&h->arena);
	free(h);
}

// --- Looking -----------------------------------------------------------------------------------------

static void write_target(const struct balancer *b, size_t i, int64_t now_ns, struct json_writer *w)
{
	const struct gw_target *t = &ms_balancer_upstream(b)->targets[i];
	struct gw_target_state s;
	ms_balancer_target(b, i, now_ns, &s);
	ms_json_begin_object(w);
	ms_json_member_text(w, "id", ms_slice_cstr(t->id));
	ms_json_member_text(w, "target", t->target);
	ms_json_member_text(w, "group", t->group);
	ms_json_member_text(w, "health", ms_slice_cstr(ms_gw_target_health_name(s.health)));
	ms_json_key_lit(w, "weight");
	ms_json_u64(w, t->weight);
	ms_json_key_lit(w, "effective_weight");
	ms_json_u64(w, s.weight);
	ms_json_key_lit(w, "active_requests");
	ms_json_u64(w, s.active);
	ms_json_key_lit(w, "requests");
	ms_json_u64(w, s.requests);
	ms_json_key_lit(w, "failures");
	ms_json_u64(w, s.failures);
	ms_json_key_lit(w, "latency_ms");
	if (s.latency_s > 0)
		ms_json_f64(w, (double)(int64_t)(s.latency_s * 1e6) / 1e3);
	else
		ms_json_null(w);
	ms_json_key_lit(w, "ejections");
	ms_json_u64(w, s.ejections);
	ms_json_key_lit(w, "ejected_for_ms");
	ms_json_i64(w, s.ejected_for_ns / 1000000);
	ms_json_end_object(w);
}

static void write_upstream(const struct balancer *b, struct json_writer *w)
{
	const struct gw_upstream *u = ms_balancer_upstream(b);
	int64_t now_ns = ms_clock_mono_ns();
	struct gw_upstream_state s;
	ms_balancer_state(b, now_ns, &s);
	ms_json_begin_object(w);
	ms_json_member_text(w, "id", ms_slice_cstr(u->id));
	ms_json_member_text(w, "name", u->name);
	ms_json_member_text(w, "health", s.available ? MS_SLICE_LIT("HEALTHY") : MS_SLICE_LIT("UNHEALTHY"));
	ms_json_key_lit(w, "healthy_percent");
	ms_json_f64(w, s.healthy_percent);
	ms_json_member_text(w, "active_group", u->active_group);
	ms_json_key_lit(w, "active_requests");
	ms_json_u64(w, s.active);
	ms_json_key_lit(w, "pending_requests");
	ms_json_u64(w, s.pending);
	ms_json_key_lit(w, "retries");
	ms_json_u64(w, s.retries);
	ms_json_key_lit(w, "targets");
	ms_json_begin_array(w);
	for (size_t i = 0; i < u->target_count; i++)
		write_target(b, i, now_ns, w);
	ms_json_end_array(w);
	ms_json_end_object(w);
}

bool ms_gw_health_write(struct gateway *gateway, struct slice upstream, struct json_writer *w)
{
	struct gw_snapshot *s = ms_gateway_latest(gateway);
	bool found = false;
	for (size_t i = 0; s != NULL && i < s->plan->upstream_count && !found; i++) {
		const struct gw_upstream *u = &s->plan->upstreams[i];
		found = ms_slice_eq(u->name, upstream) || ms_slice_eq_cstr(upstream, u->id);
		if (found)
			write_upstream(s->balancers[i], w);
	}
	ms_gw_snapshot_unref(s);
	return found;
}
