// SPDX-License-Identifier: Apache-2.0
// To an upstream: which target, the request's body on its way, and when a try that failed may be made again.
#include "gateway/mirror.h"
#include "gateway/plugins/plugins.h"
#include "gateway/proxy.h"

#define BODY_HIGH_WATER ((size_t)64 << 10)
#define BACKOFF_FIRST_MS 25
#define BACKOFF_MAX_MS 250

static const struct http_call_handlers handlers;
static const struct http_body_reader body_reader;

void ms_proxy_drop_call(struct proxy *p)
{
	if (p->call != NULL)
		ms_http_call_cancel(p->call);
	p->call = NULL;
	ms_timer_free(p->pause);
	p->pause = NULL;
	ms_lease_end(&p->lease);
}

// --- The request's body ------------------------------------------------------------------------------

// A copy for another try, as long as it is small. Between two tries all is kept: there is little, the client was asked to wait.
static void keep(struct proxy *p, struct slice bytes)
{
	struct gw_request *r = &p->r;
	if (p->not_replayable)
		return;
	struct body_piece *piece = NULL;
	bool fits = p->call == NULL || p->kept + bytes.n <= PROXY_REPLAY_MAX;
	if (r->service->retries > 0 && fits && !p->head_seen)
		piece = MS_ARENA_NEW(r->arena, struct body_piece);
	if (piece != NULL)
		piece->bytes = ms_arena_copy(r->arena, bytes);
	if (piece == NULL || piece->bytes.p == NULL) {
		p->not_replayable = true;
		return;
	}
	*p->last_piece = piece;
	p->last_piece = &piece->next;
	p->kept += bytes.n;
}

static void body_data(struct exchange *x, struct slice bytes, void *arg)
{
	struct proxy *p = arg;
	if (!p->tunnel) {
		ms_mirror_body(p, bytes);
		keep(p, bytes);
	}
	if (p->call != NULL && ms_http_call_write(p->call, bytes) >= BODY_HIGH_WATER && !p->body_paused) {
		p->body_paused = true;
		ms_http_body_pause(x);
	}
}

static void body_end(struct exchange *x, const struct http_header *trailers, size_t count, void *arg)
{
	struct proxy *p = arg;
	struct http_header *copy = NULL;
	(void)x;
	p->body_ended = true;
	if (!p->tunnel)
		ms_mirror_body_end(p);
	if (ms_proxy_copy_headers(p->r.arena, trailers, count, &copy)) {
		p->trailers = copy;
		for (size_t i = 0; i < count; i++) {
			if (ms_proxy_trailer_ok(copy[i].name))
				copy[p->trailer_count++] = copy[i];
		}
	}
	if (p->call != NULL)
		ms_http_call_write_end(p->call, p->trailers, p->trailer_count);
}

static void body_cut(struct exchange *x, const struct errinfo *info, void *arg)
{
	struct proxy *p = arg;
	if (ms_http_gone(x)) {
		ms_proxy_gone(x, p);
		return;
	}
	ms_proxy_drop_call(p);
	if (p->tunnel && p->out_ended)
		return; // the upstream's side had ended; the client's ends with this
	if (p->head_sent)
		ms_http_stream_cut(x);
	else if (!p->in_chain)
		ms_proxy_fail(p, ms_err_http_status(info->code), ms_err_name(info->code), info->message);
}

static const struct http_body_reader body_reader = {
	.data = body_data, .end = body_end, .cut = body_cut, .max_bytes = UINT64_MAX};

bool ms_proxy_has_body(const struct gw_request *r)
{
	return r->out.body_collected || r->out.body_changed ? r->out.body.n > 0 || r->x->req.has_body
							    : r->x->req.has_body;
}

// What this try has to send. The exchange may be over afterwards.
static void send_body(struct proxy *p)
{
	struct gw_request *r = &p->r;
	if (!ms_proxy_has_body(r))
		return;
	if (r->out.body_collected || r->out.body_changed) {
		(void)ms_http_call_write(p->call, r->out.body); // there is no more to come that should wait
		ms_http_call_write_end(p->call, NULL, 0);
		if (p->retries == 0) {
			ms_mirror_body(p, r->out.body);
			ms_mirror_body_end(p);
		}
		return;
	}
	if (!p->body_read) {
		struct http_body_reader reader = body_reader;
		p->body_read = true;
		reader.max_bytes = r->out.max_body;
		ms_http_body_read(r->x, &reader, p);
		return;
	}
	size_t waiting = 0;
	for (const struct body_piece *piece = p->pieces; piece != NULL; piece = piece->next)
		waiting = ms_http_call_write(p->call, piece->bytes);
	if (p->body_ended) {
		ms_http_call_write_end(p->call, p->trailers, p->trailer_count);
	} else if (p->body_paused && waiting < BODY_HIGH_WATER) {
		p->body_paused = false;
		ms_http_body_resume(r->x);
	}
}

static void call_drained(struct http_call *call, void *arg)
{
	struct proxy *p = arg;
	(void)call;
	if (p->body_paused && !p->body_ended) {
		p->body_paused = false;
		ms_http_body_resume(p->r.x);
	}
}

// --- A try -------------------------------------------------------------------------------------------

static enum gw_pick_outcome pick(struct proxy *p)
{
	struct loop *loop = p->r.x->loop;
	const struct gw_pick_input input = {.now_ns = ms_loop_now_ns(loop),
					    .has_hash = p->has_hash,
					    .hash = p->hash,
					    .tried = p->tried,
					    .random = ms_rand_u64(ms_loop_rand(loop)),
					    .retry = p->retries > 0};
	return ms_balancer_pick(p->run->balancer, &input, &p->lease);
}

static void refuse(struct proxy *p, enum gw_pick_outcome outcome)
{
	struct gateway *g = p->r.gateway;
	uint32_t shard = ms_loop_index(p->r.x->loop);
	if (p->failed_status != 0) { // a retry that may not be: what went wrong before is what the client should know
		ms_proxy_fail(p, p->failed_status, p->failed_code, p->failed_message);
		return;
	}
	if (outcome == GW_PICK_NONE) {
		ms_counter_add(g->metrics.no_target, shard, 1);
		ms_proxy_fail(p, 503, "gateway.no_target", "failure to get a peer from the ring-balancer");
		return;
	}
	ms_counter_add(g->metrics.breaker, shard, 1);
	ms_proxy_fail(p, 503, "gateway.overloaded", "too many requests are under way to this upstream");
}

static struct slice authority_of(const struct proxy *p, const struct gw_target *t)
{
	const struct gw_request *r = &p->r;
	if (r->out.authority.n > 0)
		return r->out.authority;
	bool tls = p->run->service->protocol == GW_HTTPS || p->run->service->protocol == GW_GRPCS ||
		   p->run->service->protocol == GW_WSS;
	if (t->port == (tls ? 443U : 80U) && ms_slice_find(t->host, ':') == t->host.n)
		return t->host;
	return t->target;
}

bool ms_proxy_target(const struct gw_request *r, struct slice *ret_target)
{
	if (r->out.query.n == 0) {
		*ret_target = r->out.path;
		return true;
	}
	char *p = ms_arena_alloc(r->arena, r->out.path.n + r->out.query.n + 1);
	if (p == NULL)
		return false;
	memcpy(p, r->out.path.p, r->out.path.n);
	p[r->out.path.n] = '?';
	memcpy(p + r->out.path.n + 1, r->out.query.p, r->out.query.n);
	*ret_target = ms_slice(p, r->out.path.n + 1 + r->out.query.n);
	return true;
}

static unsigned timeout(int64_t ms)
{
	return ms <= 0 ? 0 : ms > INT32_MAX ? INT32_MAX : (unsigned)ms;
}

static enum ms_err start(struct proxy *p, struct errinfo *info)
{
	struct gw_request *r = &p->r;
	const struct gw_service *service = p->run->service;
	const struct gw_target *t = &p->run->upstream->targets[p->lease.target];
	bool whole = r->out.body_collected || r->out.body_changed;
	struct slice target;
	if (!ms_proxy_target(r, &target))
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	const struct http_call_options options = {
		.origin = p->run->origins[p->lease.target],
		.loop = r->x->loop,
		.method = r->out.method,
		.target = target,
		.authority = authority_of(p, t),
		.headers = r->out.headers.items,
		.header_count = r->out.headers.count,
		.has_body = ms_proxy_has_body(r),
		.content_length = whole ? r->out.body.n : r->x->req.content_length,
		.protocol = p->wants_tunnel ? r->x->req.protocol : MS_SLICE_EMPTY,
		.connect_timeout_ms = timeout(service->connect_timeout_ms),
		.send_timeout_ms = timeout(service->write_timeout_ms),
		.read_timeout_ms = timeout(service->read_timeout_ms),
		.new_connection = p->fresh,
		.handlers = &handlers,
		.arg = p,
	};
	r->target = t->target;
	r->tries++;
	r->sent_ns = ms_clock_mono_ns();
	return ms_http_call_start(r->gateway->client, &options, info, &p->call);
}

void ms_proxy_call(struct proxy *p)
{
	struct errinfo info;
	enum gw_pick_outcome outcome = pick(p);
	if (outcome != GW_PICK_OK) {
		refuse(p, outcome);
		return;
	}
	ms_errinfo_init(&info);
	enum ms_err err = start(p, &info);
	if (err != MS_OK) {
		p->call = NULL;
		ms_lease_end(&p->lease);
		ms_proxy_fail(p, ms_err_http_status(err), ms_err_name(err), info.message);
		return;
	}
	send_body(p);
}

// --- Failures and retries ------------------------------------------------------------------------------

static bool is_idempotent(struct slice method)
{
	static const char *const names[] = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"};
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++) {
		if (ms_slice_eq_cstr(method, names[i]))
			return true;
	}
	return false;
}

// Marks the target; true while another one is left that was not tried.
static bool mark_tried(struct proxy *p)
{
	size_t count = p->run->upstream->target_count, target = p->lease.target;
	struct gw_target_state state;
	if (p->tried == NULL)
		p->tried = MS_ARENA_ARRAY(p->r.arena, uint64_t, (count + 63) / 64);
	if (p->tried == NULL)
		return false;
	p->tried[target / 64] |= UINT64_C(1) << (target % 64);
	for (size_t i = 0; i < count; i++) {
		if ((p->tried[i / 64] >> (i % 64) & 1) != 0)
			continue;
		ms_balancer_target(p->run->balancer, i, ms_loop_now_ns(p->r.x->loop), &state);
		if (state.health == GW_HEALTHY || state.health == GW_CHECKS_OFF)
			return true;
	}
	return false;
}

// Another try must not do twice what the peer may have done once.
static bool may_retry(const struct proxy *p, enum http_call_failure failure, bool sent, bool others)
{
	const struct gw_request *r = &p->r;
	if (p->head_seen || p->tunnel || p->not_replayable || (int64_t)p->retries >= r->service->retries ||
	    failure == CALL_FULL || ms_http_gone(r->x) || atomic_load(&r->gateway->stopping))
		return false;
	if (!sent || failure == CALL_NO_CONNECTION || failure == CALL_REFUSED)
		return true;
	// A peer that is slow to answer is not asked again: that would double both its load and the client's wait.
	return is_idempotent(r->out.method) && (failure != CALL_TIMED_OUT || others);
}

static void again(struct timer *timer, void *arg)
{
	struct proxy *p = arg;
	(void)timer;
	ms_timer_free(p->pause);
	p->pause = NULL;
	ms_proxy_call(p);
}

static void retry(struct proxy *p, bool at_once)
{
	struct loop *loop = p->r.x->loop;
	p->retries++;
	ms_counter_add(p->r.gateway->metrics.retries, ms_loop_index(loop), 1);
	if (p->body_read && !p->body_ended && !p->body_paused) {
		p->body_paused = true;
		ms_http_body_pause(p->r.x);
	}
	if (at_once || ms_timer_new(loop, again, p, &p->pause) != MS_OK) {
		p->pause = NULL;
		ms_proxy_call(p);
		return;
	}
	uint64_t most = (uint64_t)BACKOFF_FIRST_MS << MS_MIN(p->retries - 1, 4U);
	ms_timer_start(p->pause, 1 + ms_rand_below(ms_loop_rand(loop), MS_MIN(most, (uint64_t)BACKOFF_MAX_MS)), 0);
}

static void remember_failure(struct proxy *p, enum http_call_failure failure, const struct errinfo *info)
{
	bool late = failure == CALL_TIMED_OUT || (failure == CALL_NO_CONNECTION && info->code == MS_ERR_HTTP_TIMEOUT);
	p->failed_status = late ? 504 : failure == CALL_FULL ? 503 : 502;
	p->failed_code = late                            ? "gateway.upstream_timeout"
			 : failure == CALL_FULL          ? "gateway.overloaded"
			 : failure == CALL_NO_CONNECTION ? "gateway.upstream_unreachable"
							 : "gateway.upstream_broken";
	p->failed_message = late                   ? "The upstream server is timing out"
			    : failure == CALL_FULL ? "too many requests are under way to this upstream"
						   : "An invalid response was received from the upstream server";
}

static void report_failure(struct proxy *p, enum http_call_failure failure)
{
	struct gateway *g = p->r.gateway;
	struct loop *loop = p->r.x->loop;
	const char *why = ms_http_call_failure_name(failure);
	const struct slice values[] = {p->run->upstream->name, ms_slice_cstr(why)};
	ms_counter_add(ms_metrics_series(g->metrics.tries, values), ms_loop_index(loop), 1);
	// A kept connection that was closed in between says nothing about health, and neither does our own limit.
	if (!p->lease.pending || failure == CALL_STALE || failure == CALL_FULL)
		return;
	enum gw_result result = p->failed_status == 504 ? GW_RESULT_TIMEOUT : GW_RESULT_TCP_FAILURE;
	enum gw_health_change change = ms_lease_report(&p->lease, result, 0, ms_loop_now_ns(loop));
	ms_gateway_tell_health(g, p->run->balancer, p->lease.target, change, loop, why);
}

static void log_failure(struct proxy *p, enum http_call_failure failure, const struct errinfo *info)
{
	// Once a second and loop: why an upstream is down must be found without a debugging level, and a flood of it is of no use.
	bool tell = ms_gw_may_log(&p->r, MS_SLICE_LIT("log:target"));
	ms_log(p->r.gateway->options.log, tell ? LOG_WARN : LOG_DEBUG, "a request got no answer from its target",
	       MS_LOG_STR("mainstay.gateway.upstream", p->run->upstream->name),
	       MS_LOG_STR("mainstay.gateway.target", p->r.target),
	       MS_LOG_CSTR("event.reason", ms_http_call_failure_name(failure)),
	       MS_LOG_CSTR("error.message", info->message));
}

static void call_failed(struct http_call *call, enum http_call_failure failure, bool sent, const struct errinfo *info,
			void *arg)
{
	struct proxy *p = arg;
	(void)call;
	p->call = NULL;
	remember_failure(p, failure, info);
	report_failure(p, failure);
	if (p->head_seen || p->tunnel) {
		ms_lease_end(&p->lease);
		ms_proxy_answer_broken(p);
		return;
	}
	log_failure(p, failure, info);
	bool stale = failure == CALL_STALE;
	bool others = !stale && mark_tried(p);
	ms_lease_end(&p->lease);
	p->fresh = stale;
	if (may_retry(p, failure, sent, others))
		retry(p, stale || others);
	else
		ms_proxy_fail(p, p->failed_status, p->failed_code, p->failed_message);
}

// --- The answer --------------------------------------------------------------------------------------

static void call_head(struct http_call *call, int status, const struct http_header *headers, size_t count,
		      uint64_t content_length, void *arg)
{
	struct proxy *p = arg;
	struct gw_request *r = &p->r;
	struct loop *loop = r->x->loop;
	(void)call;
	if (status < 200 && status != 101) {
		ms_proxy_interim(p, status, headers, count);
		return;
	}
	p->head_seen = true;
	r->upstream_ns = ms_clock_mono_ns();
	r->upstream_status = status;
	enum gw_health_change change = ms_lease_report(&p->lease, GW_RESULT_OK, status, r->upstream_ns);
	ms_gateway_tell_health(r->gateway, p->run->balancer, p->lease.target, change, loop, "status of an answer");
	bool h2 = p->run->service->protocol == GW_GRPC || p->run->service->protocol == GW_GRPCS;
	if (p->wants_tunnel && status == (h2 ? 200 : 101))
		ms_proxy_tunnel(p, headers, count, &body_reader);
	else
		ms_proxy_answer_head(p, status, headers, count, content_length);
}

static void call_data(struct http_call *call, struct slice bytes, void *arg)
{
	(void)call;
	ms_proxy_answer_data(arg, bytes);
}

static void call_end(struct http_call *call, const struct http_header *trailers, size_t count, void *arg)
{
	struct proxy *p = arg;
	(void)call;
	p->call = NULL;
	ms_lease_end(&p->lease);
	ms_mirror_answer_end(p);
	ms_proxy_answer_end(p, trailers, count);
}

static void call_peer_ended(struct http_call *call, void *arg)
{
	(void)call;
	ms_proxy_peer_ended(arg);
}

static const struct http_call_handlers handlers = {
	.head = call_head,
	.data = call_data,
	.end = call_end,
	.failed = call_failed,
	.drained = call_drained,
	.peer_ended = call_peer_ended,
};
