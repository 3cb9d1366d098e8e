// SPDX-License-Identifier: Apache-2.0
// Shadow requests. One has two sides, the client's request and its own, which end in either order; who ends last counts what came of it.
#include "gateway/mirror.h"

#include <stdlib.h>

#include "crypto/crypto.h"

#define MIRRORS_MAX 256               // under way at once on a loop
#define WAITING_MAX ((size_t)1 << 20) // of the body, for a shadow that reads too slowly
#define TIMEOUT_DEFAULT_MS 60000

// What was answered.
struct side {
	int status; // 0: nothing
	struct hasher *hasher;
	uint8_t digest[MS_SHA256_SIZE];
	bool whole;
};
struct mirror_call {
	struct gateway *gateway;
	struct gw_snapshot *snapshot; // a reference
	const struct service_run *run;
	const struct gw_mirror *config; // of the snapshot's plan
	struct loop *loop;
	struct http_call *call; // NULL: over
	struct gw_lease lease;
	struct side client, shadow;
	uint64_t body_bytes;
	struct slice route;
	bool body_ended, request_over, too_large, too_slow;
};

static const struct http_call_handlers handlers;

static void count(struct gateway *g, struct loop *loop, struct slice route, const char *outcome)
{
	const struct slice values[] = {route, ms_slice_cstr(outcome)};
	ms_counter_add(ms_metrics_series(g->metrics.mirrored, values), ms_loop_index(loop), 1);
}

static const char *outcome_of(const struct mirror_call *m)
{
	if (m->too_large || m->too_slow)
		return m->too_large ? "too_large" : "too_slow";
	if (!m->shadow.whole)
		return "failed";
	if (!m->client.whole)
		return "not_compared";
	if (m->config->compare_status && m->client.status != m->shadow.status)
		return "status_differs";
	if (m->client.hasher != NULL && m->shadow.hasher != NULL &&
	    memcmp(m->client.digest, m->shadow.digest, sizeof(m->client.digest)) != 0)
		return "body_differs";
	return m->config->compare_status || m->config->compare_body ? "same" : "sent";
}

static void free_if_over(struct mirror_call *m)
{
	if (m->call != NULL || !m->request_over)
		return;
	count(m->gateway, m->loop, m->route, outcome_of(m));
	m->gateway->loops[ms_loop_index(m->loop)].mirrors--;
	ms_lease_end(&m->lease);
	ms_hasher_free(m->client.hasher);
	ms_hasher_free(m->shadow.hasher);
	ms_gw_snapshot_unref(m->snapshot);
	free(m);
}

// --- The shadow's side ---------------------------------------------------------------------------------

static void head(struct http_call *call, int status, const struct http_header *headers, size_t header_count,
		 uint64_t content_length, void *arg)
{
	struct mirror_call *m = arg;
	(void)call;
	(void)headers;
	(void)header_count;
	(void)content_length;
	if (status < 200)
		return;
	m->shadow.status = status;
	(void)ms_lease_report(&m->lease, GW_RESULT_OK, status, ms_loop_now_ns(m->loop)); // the next real request tells
}

static void data(struct http_call *call, struct slice bytes, void *arg)
{
	struct mirror_call *m = arg;
	(void)call;
	if (m->shadow.hasher != NULL)
		ms_hasher_add(m->shadow.hasher, bytes);
}

static void end(struct http_call *call, const struct http_header *trailers, size_t trailer_count, void *arg)
{
	struct mirror_call *m = arg;
	(void)call;
	(void)trailers;
	(void)trailer_count;
	m->call = NULL;
	m->shadow.whole = true;
	if (m->shadow.hasher != NULL)
		ms_hasher_end(m->shadow.hasher, m->shadow.digest);
	ms_lease_end(&m->lease);
	free_if_over(m);
}

static void failed(struct http_call *call, enum http_call_failure failure, bool sent, const struct errinfo *info,
		   void *arg)
{
	struct mirror_call *m = arg;
	(void)call;
	(void)sent;
	(void)info;
	m->call = NULL;
	if (m->lease.pending && failure != CALL_FULL && failure != CALL_STALE)
		(void)ms_lease_report(&m->lease, failure == CALL_TIMED_OUT ? GW_RESULT_TIMEOUT : GW_RESULT_TCP_FAILURE,
				      0,
				      ms_loop_now_ns(m->loop)); // the next real request tells
	ms_lease_end(&m->lease);
	free_if_over(m);
}

static const struct http_call_handlers handlers = {.head = head, .data = data, .end = end, .failed = failed};

// --- Starting ------------------------------------------------------------------------------------------

static const struct service_run *find_run(struct gw_snapshot *s, const struct gw_mirror *config)
{
	const struct plan *plan = s->plan;
	for (size_t i = 0; config->service.n > 0 && i < plan->service_count; i++) {
		if (ms_slice_eq(plan->services[i].name, config->service) ||
		    ms_slice_eq_cstr(config->service, plan->services[i].id))
			return plan->services[i].protocol != GW_LOCAL ? ms_gw_snapshot_service(s, &plan->services[i])
								      : NULL;
	}
	return config->host.n > 0 ? ms_gw_snapshot_detour(s, &s->plain[config->protocol == 1], config->host,
							  (unsigned)MS_MAX(config->port, (int64_t)0))
				  : NULL;
}

static bool start(struct mirror_call *m, const struct proxy *p)
{
	const struct gw_request *r = &p->r;
	const struct gw_pick_input input = {.now_ns = ms_loop_now_ns(m->loop),
					    .has_hash = p->has_hash,
					    .hash = p->hash,
					    .random = ms_rand_u64(ms_loop_rand(m->loop))};
	if (ms_balancer_pick(m->run->balancer, &input, &m->lease) != GW_PICK_OK)
		return false;
	const struct gw_target *t = &m->run->upstream->targets[m->lease.target];
	unsigned timeout_ms = m->config->timeout_ms > 0 ? (unsigned)MS_MIN(m->config->timeout_ms, (int64_t)INT32_MAX)
							: TIMEOUT_DEFAULT_MS;
	struct slice whole;
	if (!ms_proxy_target(r, &whole))
		return false;
	bool collected = r->out.body_collected || r->out.body_changed;
	const struct http_call_options options = {.origin = m->run->origins[m->lease.target],
						  .loop = m->loop,
						  .method = r->out.method,
						  .target = whole,
						  .authority = t->target,
						  .headers = r->out.headers.items,
						  .header_count = r->out.headers.count,
						  .has_body = ms_proxy_has_body(r),
						  .content_length =
							  collected ? r->out.body.n : r->x->req.content_length,
						  .connect_timeout_ms = timeout_ms,
						  .send_timeout_ms = timeout_ms,
						  .read_timeout_ms = timeout_ms,
						  .handlers = &handlers,
						  .arg = m};
	m->body_ended = !options.has_body;
	return ms_http_call_start(m->gateway->client, &options, NULL, &m->call) == MS_OK;
}

static bool make_hashers(struct mirror_call *m)
{
	if (!m->config->compare_body)
		return true;
	if (ms_hasher_new(&m->client.hasher) != MS_OK || ms_hasher_new(&m->shadow.hasher) != MS_OK)
		return false;
	ms_hasher_begin(m->client.hasher);
	ms_hasher_begin(m->shadow.hasher);
	return true;
}

void ms_mirror_start(struct proxy *p)
{
	struct gw_request *r = &p->r;
	const struct gw_mirror *config = r->out.mirror;
	if (config == NULL || p->wants_tunnel) // the plugin has thrown the dice
		return;
	if (r->gateway->loops[ms_loop_index(r->x->loop)].mirrors >= MIRRORS_MAX) {
		count(r->gateway, r->x->loop, r->route->name, "too_many");
		return;
	}
	const struct service_run *run = find_run(p->snapshot, config);
	struct mirror_call *m = run != NULL ? calloc(1, sizeof(*m)) : NULL;
	if (m == NULL) {
		count(r->gateway, r->x->loop, r->route->name, "failed");
		return;
	}
	m->gateway = r->gateway;
	m->snapshot = ms_gw_snapshot_ref(p->snapshot);
	m->run = run;
	m->config = config;
	m->loop = r->x->loop;
	m->route = r->route->name;
	r->gateway->loops[ms_loop_index(m->loop)].mirrors++;
	if (!make_hashers(m) || !start(m, p)) {
		m->call = NULL;
		m->request_over = true;
		free_if_over(m);
		return;
	}
	p->mirror = m;
}

static void give_up(struct mirror_call *m)
{
	ms_http_call_cancel(m->call);
	m->call = NULL;
	ms_lease_end(&m->lease);
}

// --- The client's side -----------------------------------------------------------------------------------

void ms_mirror_body(struct proxy *p, struct slice bytes)
{
	struct mirror_call *m = p->mirror;
	if (m == NULL || m->call == NULL)
		return;
	m->body_bytes += bytes.n;
	m->too_large = m->body_bytes > (uint64_t)m->config->max_body;
	m->too_slow = !m->too_large && ms_http_call_write(m->call, bytes) > WAITING_MAX;
	if (m->too_large || m->too_slow)
		give_up(m);
}

void ms_mirror_body_end(struct proxy *p)
{
	struct mirror_call *m = p->mirror;
	if (m == NULL || m->call == NULL)
		return;
	m->body_ended = true;
	ms_http_call_write_end(m->call, NULL, 0);
}

void ms_mirror_status(struct proxy *p, int status)
{
	if (p->mirror != NULL)
		p->mirror->client.status = status;
}

void ms_mirror_answer(struct proxy *p, struct slice bytes)
{
	if (p->mirror != NULL && p->mirror->client.hasher != NULL)
		ms_hasher_add(p->mirror->client.hasher, bytes);
}

void ms_mirror_answer_end(struct proxy *p)
{
	struct mirror_call *m = p->mirror;
	if (m == NULL)
		return;
	m->client.whole = true;
	if (m->client.hasher != NULL)
		ms_hasher_end(m->client.hasher, m->client.digest);
}

void ms_mirror_over(struct proxy *p)
{
	struct mirror_call *m = p->mirror;
	p->mirror = NULL;
	if (m == NULL)
		return;
	m->request_over = true;
	if (m->call != NULL && !m->body_ended)
		give_up(m); // the rest of its body never comes, and no time limit is for that
	free_if_over(m);
}
