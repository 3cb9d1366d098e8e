// SPDX-License-Identifier: Apache-2.0
// Who is healthy: counts of passive and active checks in Kong's way, ejection of outliers in Envoy's.
#include "gateway/balance_private.h"

static int64_t seconds_ns(double s)
{
	return s <= 0 ? 0 : s >= 9e9 ? INT64_MAX / 2 : (int64_t)(s * 1e9);
}

static bool listed(const struct integer_list *list, int status)
{
	for (size_t i = 0; i < list->count; i++) {
		if (list->items[i] == status)
			return true;
	}
	return false;
}

// --- Counted checks ----------------------------------------------------------------------------------

struct limits {
	int64_t successes, failures[FAILURE_KINDS]; // 0: off
	const struct integer_list *good, *bad;
};

static struct limits passive_limits(const struct gw_passive_check *p)
{
	return (struct limits){.successes = p->healthy_successes,
			       .failures = {[FAILED_TCP] = p->unhealthy_tcp_failures,
					    [FAILED_TIMEOUT] = p->unhealthy_timeouts,
					    [FAILED_HTTP] = p->unhealthy_http_failures},
			       .good = &p->healthy_statuses,
			       .bad = &p->unhealthy_statuses};
}

static struct limits active_limits(const struct gw_active_check *a)
{
	return (struct limits){.successes = a->healthy_successes,
			       .failures = {[FAILED_TCP] = a->unhealthy_tcp_failures,
					    [FAILED_TIMEOUT] = a->unhealthy_timeouts,
					    [FAILED_HTTP] = a->unhealthy_http_failures},
			       .good = &a->healthy_statuses,
			       .bad = &a->unhealthy_statuses};
}

static void clear_counts(struct check_counts *c)
{
	atomic_store_explicit(&c->successes, 0, memory_order_relaxed);
	for (size_t i = 0; i < FAILURE_KINDS; i++)
		atomic_store_explicit(&c->failures[i], 0, memory_order_relaxed);
}

static enum gw_health_change turn(struct peer *p, bool unhealthy, int64_t now_ns)
{
	if (atomic_exchange_explicit(&p->unhealthy, unhealthy, memory_order_relaxed) == unhealthy)
		return GW_NO_CHANGE;
	clear_counts(&p->passive);
	clear_counts(&p->checked);
	if (!unhealthy)
		atomic_store_explicit(&p->serving_since_ns, now_ns, memory_order_relaxed);
	return unhealthy ? GW_TURNED_UNHEALTHY : GW_TURNED_HEALTHY;
}

static enum gw_health_change count_success(struct peer *p, struct check_counts *c, int64_t limit, int64_t now_ns)
{
	for (size_t i = 0; i < FAILURE_KINDS; i++) {
		if (atomic_load_explicit(&c->failures[i], memory_order_relaxed) != 0)
			atomic_store_explicit(&c->failures[i], 0, memory_order_relaxed);
	}
	// Only who is unhealthy is counted: the hot path writes nothing.
	if (limit <= 0 || !atomic_load_explicit(&p->unhealthy, memory_order_relaxed))
		return GW_NO_CHANGE;
	return atomic_fetch_add_explicit(&c->successes, 1, memory_order_relaxed) + 1 >= (uint64_t)limit
		       ? turn(p, false, now_ns)
		       : GW_NO_CHANGE;
}

static enum gw_health_change count_failure(struct peer *p, struct check_counts *c, enum failure_kind kind,
					   int64_t limit, int64_t now_ns)
{
	if (limit <= 0)
		return GW_NO_CHANGE;
	atomic_store_explicit(&c->successes, 0, memory_order_relaxed);
	return atomic_fetch_add_explicit(&c->failures[kind], 1, memory_order_relaxed) + 1 >= (uint64_t)limit
		       ? turn(p, true, now_ns)
		       : GW_NO_CHANGE;
}

static enum gw_health_change count(struct peer *p, struct check_counts *c, const struct limits *l,
				   enum gw_result result, int status, int64_t now_ns)
{
	switch (result) {
	case GW_RESULT_TCP_FAILURE:
		return count_failure(p, c, FAILED_TCP, l->failures[FAILED_TCP], now_ns);
	case GW_RESULT_TIMEOUT:
		return count_failure(p, c, FAILED_TIMEOUT, l->failures[FAILED_TIMEOUT], now_ns);
	case GW_RESULT_OK:
		break;
	}
	if (listed(l->bad, status))
		return count_failure(p, c, FAILED_HTTP, l->failures[FAILED_HTTP], now_ns);
	return status == 0 || listed(l->good, status) ? count_success(p, c, l->successes, now_ns) : GW_NO_CHANGE;
}

// --- Ejection ----------------------------------------------------------------------------------------

static bool is_ejected(const struct peer *p, int64_t now_ns)
{
	return atomic_load_explicit(&p->ejected_until_ns, memory_order_relaxed) > now_ns;
}

// One target may always go as long as another is left; beyond that the percentage rules.
static bool may_eject(const struct balancer *b, int64_t now_ns)
{
	size_t serving = 0, ejected = 0, well = 0;
	for (size_t i = 0; i < b->count; i++) {
		if (!ms_target_serves(b->upstream, &b->upstream->targets[i]))
			continue;
		serving++;
		ejected += is_ejected(b->peers[i], now_ns);
		well += ms_peer_well(b->peers[i], now_ns);
	}
	return well > 1 &&
	       (ejected == 0 ||
		(double)(ejected + 1) * 100 <= (double)b->upstream->outlier.max_ejection_percent * (double)serving);
}

static enum gw_health_change eject(struct balancer *b, struct peer *p, int64_t now_ns)
{
	const struct gw_outlier *o = &b->upstream->outlier;
	if (is_ejected(p, now_ns) || !may_eject(b, now_ns))
		return GW_NO_CHANGE;
	unsigned times = atomic_fetch_add_explicit(&p->ejections, 1, memory_order_relaxed) + 1;
	double longest = fmax(o->max_ejection_time_s, o->base_ejection_time_s);
	int64_t until_ns = now_ns + seconds_ns(fmin(o->base_ejection_time_s * times, longest));
	atomic_store_explicit(&p->consecutive_5xx, 0, memory_order_relaxed);
	atomic_store_explicit(&p->serving_since_ns, until_ns, memory_order_relaxed); // and then slowly
	atomic_store_explicit(&p->ejected_until_ns, until_ns, memory_order_relaxed);
	return GW_EJECTED;
}

// Those whose rate of good answers lies far below the mean of all.
static void eject_by_rate(struct balancer *b, int64_t now_ns)
{
	const struct gw_outlier *o = &b->upstream->outlier;
	double sum = 0, squares = 0;
	size_t hosts = 0;
	for (size_t pass = 0; pass < 2; pass++) {
		double mean = hosts > 0 ? sum / (double)hosts : 0;
		double deviation = hosts > 0 ? sqrt(fmax(0, squares / (double)hosts - mean * mean)) : 0;
		if (pass == 1 && (hosts == 0 || hosts < (size_t)MS_MAX(o->success_rate_minimum_hosts, 0)))
			return;
		for (size_t i = 0; i < b->count; i++) {
			struct peer *p = b->peers[i];
			unsigned n = atomic_load_explicit(&p->window_requests, memory_order_relaxed);
			if (n == 0 || n < (uint64_t)MS_MAX(o->success_rate_request_volume, 0))
				continue;
			double rate = 100.0 * atomic_load_explicit(&p->window_good, memory_order_relaxed) / n;
			if (pass == 1 && rate < mean - o->success_rate_stdev * deviation)
				(void)eject(b, p, now_ns); // the next look at its state tells
			if (pass == 0) {
				sum += rate;
				squares += rate * rate;
				hosts++;
			}
		}
	}
}

// The end of an interval: one loop does it, whoever comes first.
static void end_window(struct balancer *b, int64_t now_ns)
{
	const struct gw_outlier *o = &b->upstream->outlier;
	int64_t end_ns = atomic_load_explicit(&b->shared->window_end_ns, memory_order_relaxed);
	int64_t next_ns = now_ns + MS_MAX(seconds_ns(o->interval_s), (int64_t)1000000);
	if (now_ns < end_ns || !atomic_compare_exchange_strong(&b->shared->window_end_ns, &end_ns, next_ns) ||
	    end_ns == 0)
		return;
	eject_by_rate(b, now_ns);
	for (size_t i = 0; i < b->count; i++) {
		struct peer *p = b->peers[i];
		unsigned times = atomic_load_explicit(&p->ejections, memory_order_relaxed);
		// A quiet interval makes the next ejection shorter again.
		if (times > 0 && !is_ejected(p, now_ns) &&
		    atomic_load_explicit(&p->ejected_until_ns, memory_order_relaxed) + seconds_ns(o->interval_s) <=
			    now_ns)
			atomic_store_explicit(&p->ejections, times - 1, memory_order_relaxed);
		atomic_store_explicit(&p->window_requests, 0, memory_order_relaxed);
		atomic_store_explicit(&p->window_good, 0, memory_order_relaxed);
	}
}

static enum gw_health_change watch_outlier(struct balancer *b, struct peer *p, bool good, int64_t now_ns)
{
	const struct gw_outlier *o = &b->upstream->outlier;
	enum gw_health_change change = GW_NO_CHANGE;
	if (!o->enabled)
		return GW_NO_CHANGE;
	atomic_fetch_add_explicit(&p->window_requests, 1, memory_order_relaxed);
	if (good) {
		atomic_fetch_add_explicit(&p->window_good, 1, memory_order_relaxed);
		if (atomic_load_explicit(&p->consecutive_5xx, memory_order_relaxed) != 0)
			atomic_store_explicit(&p->consecutive_5xx, 0, memory_order_relaxed);
	} else if (atomic_fetch_add_explicit(&p->consecutive_5xx, 1, memory_order_relaxed) + 1 >=
			   (uint64_t)o->consecutive_5xx &&
		   o->consecutive_5xx > 0) {
		change = eject(b, p, now_ns);
	}
	end_window(b, now_ns);
	return change;
}

// --- Reports -----------------------------------------------------------------------------------------

// Peak-sensitive: worse is believed at once, better by and by.
static void learn_latency(struct peer *p, int64_t took_ns, int64_t now_ns)
{
	double sample = (double)MS_MAX(took_ns, (int64_t)1000) / 1e9;
	double before = ms_peer_latency(p, now_ns), latency = sample;
	if (before > sample) {
		int64_t age_ns = now_ns - atomic_load_explicit(&p->latency_ns, memory_order_relaxed);
		// At least a little of each sample counts, however close they come.
		double keep = fmin(exp(-(double)MS_MAX(age_ns, (int64_t)0) / (double)LATENCY_DECAY_NS), 0.95);
		latency = before * keep + sample * (1 - keep);
	}
	uint64_t bits;
	memcpy(&bits, &latency, sizeof(bits));
	// Two loops at once: one of the samples is lost, which is fine for an average.
	atomic_store_explicit(&p->latency, bits, memory_order_relaxed);
	atomic_store_explicit(&p->latency_ns, now_ns, memory_order_relaxed);
}

enum gw_health_change ms_lease_report(struct gw_lease *lease, enum gw_result result, int status, int64_t now_ns)
{
	struct balancer *b = lease->balancer;
	MS_ASSERT(b != NULL && lease->pending);
	struct peer *p = b->peers[lease->target];
	const struct limits limits = passive_limits(&b->upstream->passive);
	bool good = result == GW_RESULT_OK && status < 500;
	atomic_fetch_sub_explicit(&b->shared->pending, 1, memory_order_relaxed);
	lease->pending = false;
	atomic_fetch_add_explicit(&p->requests, 1, memory_order_relaxed);
	if (!good)
		atomic_fetch_add_explicit(&p->failures, 1, memory_order_relaxed);
	// A quick refusal is not a quick target.
	if (result == GW_RESULT_TIMEOUT || good)
		learn_latency(p, now_ns - lease->start_ns, now_ns);
	else
		learn_latency(p, MS_MAX(now_ns - lease->start_ns, (int64_t)1000000000), now_ns);
	enum gw_health_change ejected = watch_outlier(b, p, good, now_ns);
	enum gw_health_change counted = count(p, &p->passive, &limits, result, status, now_ns);
	return counted != GW_NO_CHANGE ? counted : ejected;
}

enum gw_health_change ms_balancer_check_result(struct balancer *b, size_t target, enum gw_result result, int status,
					       int64_t now_ns)
{
	const struct limits limits = active_limits(&b->upstream->active);
	struct peer *p = b->peers[target];
	return count(p, &p->checked, &limits, result, status, now_ns);
}

enum gw_health_change ms_balancer_set_health(struct balancer *b, size_t target, bool healthy, int64_t now_ns)
{
	struct peer *p = b->peers[target];
	clear_counts(&p->passive);
	clear_counts(&p->checked);
	if (healthy) {
		atomic_store_explicit(&p->ejected_until_ns, INT64_MIN, memory_order_relaxed);
		atomic_store_explicit(&p->ejections, 0, memory_order_relaxed);
		atomic_store_explicit(&p->consecutive_5xx, 0, memory_order_relaxed);
	}
	return turn(p, !healthy, now_ns);
}

// --- Looking -----------------------------------------------------------------------------------------

const char *ms_gw_target_health_name(enum gw_target_health health)
{
	static const char *const names[] = {[GW_HEALTHY] = "HEALTHY",
					    [GW_UNHEALTHY] = "UNHEALTHY",
					    [GW_TARGET_EJECTED] = "EJECTED",
					    [GW_DRAINED] = "DRAINED",
					    [GW_CHECKS_OFF] = "HEALTHCHECKS_OFF"};
	return names[health];
}

static bool checks_are_on(const struct gw_upstream *u)
{
	const struct limits p = passive_limits(&u->passive), a = active_limits(&u->active);
	bool active = (u->active.healthy_interval_s > 0 || u->active.unhealthy_interval_s > 0) &&
		      (a.successes > 0 || a.failures[0] > 0 || a.failures[1] > 0 || a.failures[2] > 0);
	return active || u->outlier.enabled || p.failures[0] > 0 || p.failures[1] > 0 || p.failures[2] > 0;
}

void ms_balancer_target(const struct balancer *b, size_t target, int64_t now_ns, struct gw_target_state *ret_state)
{
	const struct gw_upstream *u = b->upstream;
	const struct peer *p = b->peers[target];
	bool serves = ms_target_serves(u, &u->targets[target]);
	*ret_state = (struct gw_target_state){
		.health = !serves                                                     ? GW_DRAINED
			  : atomic_load_explicit(&p->unhealthy, memory_order_relaxed) ? GW_UNHEALTHY
			  : is_ejected(p, now_ns)                                     ? GW_TARGET_EJECTED
			  : checks_are_on(u)                                          ? GW_HEALTHY
										      : GW_CHECKS_OFF,
		.weight = serves ? (unsigned)((ms_peer_weight(b, target, now_ns) + 255) / 256) : 0,
		.active = atomic_load_explicit(&p->active, memory_order_relaxed),
		.latency_s = ms_peer_latency(p, now_ns),
		.requests = atomic_load_explicit(&p->requests, memory_order_relaxed),
		.failures = atomic_load_explicit(&p->failures, memory_order_relaxed),
		.ejected_for_ns = is_ejected(p, now_ns)
					  ? atomic_load_explicit(&p->ejected_until_ns, memory_order_relaxed) - now_ns
					  : 0,
		.ejections = atomic_load_explicit(&p->ejections, memory_order_relaxed),
	};
}

void ms_balancer_state(const struct balancer *b, int64_t now_ns, struct gw_upstream_state *ret_state)
{
	double percent = ms_balancer_healthy_percent(b, now_ns);
	*ret_state = (struct gw_upstream_state){
		.active = atomic_load_explicit(&b->shared->active, memory_order_relaxed),
		.pending = atomic_load_explicit(&b->shared->pending, memory_order_relaxed),
		.retries = atomic_load_explicit(&b->shared->retries, memory_order_relaxed),
		.healthy_percent = percent,
		.available = percent > 0 && percent >= b->upstream->health_threshold,
	};
}
