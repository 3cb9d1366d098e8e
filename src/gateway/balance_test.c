// SPDX-License-Identifier: Apache-2.0
// Balancing and health with a clock of our own.
#include <pthread.h>
#include <stdio.h>

#include "gateway/balance.h"
#include "tests/lib/test.h"

#define SECOND INT64_C(1000000000)
#define TARGETS_MAX 32

// One upstream with targets "t0:80" … and what the test sets.
struct bench {
	struct balancers *home;
	struct gw_upstream upstream;
	struct gw_target targets[TARGETS_MAX];
	char names[TARGETS_MAX][16];
	struct balancer *balancer;
	int64_t now_ns;
	struct rand rand;
};

static int64_t bad_statuses[] = {500, 503};
static int64_t good_statuses[] = {200, 302};

static void bench_init(struct bench *b, enum gw_algorithm algorithm, const unsigned *weights, size_t count)
{
	*b = (struct bench){.now_ns = 1000 * SECOND, .rand = {7}};
	b->upstream = (struct gw_upstream){
		.name = MS_SLICE_LIT("u"), .algorithm = algorithm, .targets = b->targets, .target_count = count};
	b->upstream.outlier = (struct gw_outlier){.consecutive_5xx = 5,
						  .max_ejection_percent = 10,
						  .interval_s = 10,
						  .base_ejection_time_s = 30,
						  .max_ejection_time_s = 300,
						  .success_rate_minimum_hosts = 5,
						  .success_rate_request_volume = 100,
						  .success_rate_stdev = 1.9};
	for (size_t i = 0; i < count; i++) {
		snprintf(b->names[i], sizeof(b->names[i]), "t%zu:80", i);
		b->targets[i] = (struct gw_target){.target = ms_slice_cstr(b->names[i]), .weight = weights[i]};
	}
	b->home = ms_balancers_new();
	REQUIRE(b->home != NULL);
	REQUIRE(ms_balancer_new(b->home, &b->upstream, b->now_ns, NULL, &b->balancer) == MS_OK);
}

static void bench_fini(struct bench *b)
{
	ms_balancer_free(b->balancer);
	ms_balancers_free(b->home);
}

static enum gw_pick_outcome take(struct bench *b, const uint64_t *tried, struct gw_lease *lease)
{
	const struct gw_pick_input in = {.now_ns = b->now_ns, .random = ms_rand_u64(&b->rand), .tried = tried};
	return ms_balancer_pick(b->balancer, &in, lease);
}

// A request from beginning to end; which target it went to, SIZE_MAX for none.
static size_t request(struct bench *b, int status, int64_t took_ns)
{
	struct gw_lease lease;
	if (take(b, NULL, &lease) != GW_PICK_OK)
		return SIZE_MAX;
	size_t target = lease.target;
	(void)ms_lease_report(&lease, GW_RESULT_OK, status, b->now_ns + took_ns);
	ms_lease_end(&lease);
	return target;
}

static size_t by_key(struct bench *b, uint64_t key)
{
	char text[24];
	struct gw_lease lease;
	snprintf(text, sizeof(text), "key-%llu", (unsigned long long)key);
	const struct gw_pick_input in = {
		.now_ns = b->now_ns, .has_hash = true, .hash = ms_gw_hash(ms_slice_cstr(text))};
	if (ms_balancer_pick(b->balancer, &in, &lease) != GW_PICK_OK)
		return SIZE_MAX;
	ms_lease_end(&lease);
	return lease.target;
}

static void replan(struct bench *b)
{
	struct balancer *old = b->balancer;
	REQUIRE(ms_balancer_new(b->home, &b->upstream, b->now_ns, NULL, &b->balancer) == MS_OK);
	ms_balancer_free(old);
}

static enum gw_target_health health(struct bench *b, size_t target)
{
	struct gw_target_state state;
	ms_balancer_target(b->balancer, target, b->now_ns, &state);
	return state.health;
}

// --- Round robin -------------------------------------------------------------------------------------

TEST(balance_round_robin_is_exact_and_smooth)
{
	struct bench b;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){5, 1, 1}, 3);
	char order[8] = "";
	for (size_t i = 0; i < 7; i++)
		order[i] = (char)('a' + request(&b, 200, 1000));
	CHECK_STR(order, "aabacaa"); // as nginx's documentation of the algorithm has it
	size_t got[3] = {0};
	for (size_t i = 0; i < 7000; i++)
		got[request(&b, 200, 1000)]++;
	CHECK_INT(got[0], 5000);
	CHECK_INT(got[1], 1000);
	CHECK_INT(got[2], 1000);
	bench_fini(&b);
}

TEST(balance_round_robin_stays_exact_when_one_is_drained)
{
	struct bench b;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){100, 100, 100, 0}, 4);
	CHECK_INT(ms_balancer_set_health(b.balancer, 1, false, b.now_ns), GW_TURNED_UNHEALTHY);
	size_t got[4] = {0};
	for (size_t i = 0; i < 1000; i++)
		got[request(&b, 200, 1000)]++;
	CHECK_INT(got[0], 500);
	CHECK_INT(got[1], 0);
	CHECK_INT(got[2], 500);
	CHECK_INT(got[3], 0);
	CHECK_INT(health(&b, 3), GW_DRAINED);
	CHECK_INT(ms_balancer_set_health(b.balancer, 1, true, b.now_ns), GW_TURNED_HEALTHY);
	for (size_t i = 0; i < 300; i++)
		got[request(&b, 200, 1000)]++;
	CHECK_INT(got[1], 100);
	bench_fini(&b);
}

TEST(balance_blue_and_green)
{
	struct bench b;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){1, 1, 1}, 3);
	b.targets[0].group = MS_SLICE_LIT("blue");
	b.targets[1].group = MS_SLICE_LIT("green");
	b.upstream.active_group = MS_SLICE_LIT("blue");
	size_t got[3] = {0};
	for (size_t i = 0; i < 100; i++)
		got[request(&b, 200, 1000)]++;
	CHECK_INT(got[0], 50);
	CHECK_INT(got[1], 0);
	CHECK_INT(got[2], 50); // of every group
	b.upstream.active_group = MS_SLICE_LIT("green");
	replan(&b);
	for (size_t i = 0; i < 100; i++)
		got[request(&b, 200, 1000)]++;
	CHECK_INT(got[0], 50);
	CHECK_INT(got[1], 50);
	bench_fini(&b);
}

TEST(balance_without_targets)
{
	struct bench b;
	struct gw_lease lease;
	bench_init(&b, GW_ROUND_ROBIN, NULL, 0);
	CHECK_INT(take(&b, NULL, &lease), GW_PICK_NONE);
	bench_fini(&b);
}

TEST(balance_failed_targets_are_not_tried_again_first)
{
	struct bench b;
	struct gw_lease lease;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){1000, 1, 1}, 3);
	uint64_t tried = 1;
	for (size_t i = 0; i < 10; i++) {
		REQUIRE(take(&b, &tried, &lease) == GW_PICK_OK);
		CHECK(lease.target != 0);
		ms_lease_end(&lease);
	}
	tried = 7; // all: then whoever is healthy
	CHECK_INT(take(&b, &tried, &lease), GW_PICK_OK);
	ms_lease_end(&lease);
	bench_fini(&b);
}

// --- Least connections, latency -------------------------------------------------------------------------

TEST(balance_least_connections_by_weight)
{
	struct bench b;
	struct gw_lease leases[60];
	size_t got[3] = {0};
	bench_init(&b, GW_LEAST_CONNECTIONS, (unsigned[]){30, 20, 10}, 3);
	for (size_t i = 0; i < 60; i++) {
		REQUIRE(take(&b, NULL, &leases[i]) == GW_PICK_OK);
		got[leases[i].target]++;
	}
	CHECK_INT(got[0], 30);
	CHECK_INT(got[1], 20);
	CHECK_INT(got[2], 10);
	// Ten of the first end: the next ten go there.
	for (size_t i = 0, ended = 0; i < 60; i++) {
		if (leases[i].target == 0 && ended++ < 10)
			ms_lease_end(&leases[i]);
	}
	for (size_t i = 0; i < 60; i++) {
		if (leases[i].balancer == NULL) {
			REQUIRE(take(&b, NULL, &leases[i]) == GW_PICK_OK);
			CHECK_INT(leases[i].target, 0);
		}
	}
	for (size_t i = 0; i < 60; i++)
		ms_lease_end(&leases[i]);
	bench_fini(&b);
}

TEST(balance_latency_avoids_the_slow_one_and_forgives)
{
	struct bench b;
	size_t got[4] = {0}, later = 0;
	bench_init(&b, GW_LATENCY, (unsigned[]){100, 100, 100, 100}, 4);
	for (size_t i = 0; i < 4000; i++) {
		struct gw_lease lease;
		REQUIRE(take(&b, NULL, &lease) == GW_PICK_OK);
		got[lease.target]++;
		(void)ms_lease_report(&lease, GW_RESULT_OK, 200,
				      b.now_ns + (lease.target == 2 ? 500 : 5) * SECOND / 1000);
		ms_lease_end(&lease);
		b.now_ns += SECOND / 1000;
	}
	CHECK(got[2] < 20);
	CHECK(got[0] > 1000 && got[1] > 1000 && got[3] > 1000);
	b.now_ns += 60 * SECOND; // what was measured is forgotten by and by
	for (size_t i = 0; i < 400; i++)
		later += request(&b, 200, SECOND / 200) == 2;
	CHECK(later > 50);
	bench_fini(&b);
}

// --- Hashing -----------------------------------------------------------------------------------------

#define KEYS 20000

TEST(balance_hashing_spreads_by_weight)
{
	struct bench b;
	size_t got[3] = {0};
	bench_init(&b, GW_CONSISTENT_HASHING, (unsigned[]){100, 200, 100}, 3);
	for (uint64_t k = 0; k < KEYS; k++)
		got[by_key(&b, k)]++;
	CHECK(got[0] > KEYS * 23 / 100 && got[0] < KEYS * 27 / 100);
	CHECK(got[1] > KEYS * 48 / 100 && got[1] < KEYS * 52 / 100);
	for (uint64_t k = 0; k < 100; k++)
		CHECK_INT(by_key(&b, k), by_key(&b, k));
	bench_fini(&b);
}

TEST(balance_hashing_moves_no_key_that_need_not)
{
	struct bench b;
	static size_t before[KEYS];
	bench_init(&b, GW_CONSISTENT_HASHING, (unsigned[]){100, 100, 100, 100, 100}, 5);
	for (uint64_t k = 0; k < KEYS; k++)
		before[k] = by_key(&b, k);
	// One goes: its keys spread over the others, no other key moves.
	(void)ms_balancer_set_health(b.balancer, 2, false, b.now_ns);
	size_t to[5] = {0};
	for (uint64_t k = 0; k < KEYS; k++) {
		size_t now = by_key(&b, k);
		if (before[k] != 2)
			CHECK_INT(now, before[k]);
		else
			to[now]++;
	}
	CHECK_INT(to[2], 0);
	for (size_t i = 0; i < 5; i++)
		CHECK(i == 2 || to[i] > KEYS / 5 / 4 * 8 / 10);
	// It comes back: all is as before.
	(void)ms_balancer_set_health(b.balancer, 2, true, b.now_ns);
	for (uint64_t k = 0; k < KEYS; k++)
		CHECK_INT(by_key(&b, k), before[k]);
	// A sixth comes: it takes a sixth, and nothing moves between the others.
	b.targets[5] = (struct gw_target){.target = MS_SLICE_LIT("t5:80"), .weight = 100};
	b.upstream.target_count = 6;
	replan(&b);
	size_t moved = 0;
	for (uint64_t k = 0; k < KEYS; k++) {
		size_t now = by_key(&b, k);
		CHECK(now == before[k] || now == 5);
		moved += now != before[k];
	}
	CHECK(moved > KEYS / 6 * 9 / 10 && moved < KEYS / 6 * 11 / 10);
	bench_fini(&b);
}

TEST(balance_hashing_without_a_value_takes_turns)
{
	struct bench b;
	size_t got[2] = {0};
	bench_init(&b, GW_CONSISTENT_HASHING, (unsigned[]){1, 1}, 2);
	for (size_t i = 0; i < 100; i++)
		got[request(&b, 200, 1000)]++;
	CHECK_INT(got[0], 50);
	bench_fini(&b);
}

// --- Checks ------------------------------------------------------------------------------------------

static void passive(struct bench *b)
{
	b->upstream.passive = (struct gw_passive_check){.unhealthy_http_failures = 3,
							.unhealthy_tcp_failures = 2,
							.unhealthy_timeouts = 1,
							.healthy_statuses = {good_statuses, 2},
							.unhealthy_statuses = {bad_statuses, 2}};
}

static enum gw_health_change report_to(struct bench *b, size_t target, enum gw_result result, int status)
{
	struct gw_lease lease;
	uint64_t tried = ~(UINT64_C(1) << target);
	REQUIRE(take(b, &tried, &lease) == GW_PICK_OK && lease.target == target);
	enum gw_health_change change = ms_lease_report(&lease, result, status, b->now_ns + 1000);
	ms_lease_end(&lease);
	return change;
}

TEST(balance_passive_checks_count_in_a_row)
{
	struct bench b;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){1, 1}, 2);
	passive(&b);
	CHECK_INT(report_to(&b, 0, GW_RESULT_OK, 500), GW_NO_CHANGE);
	CHECK_INT(report_to(&b, 0, GW_RESULT_OK, 503), GW_NO_CHANGE);
	CHECK_INT(report_to(&b, 0, GW_RESULT_OK, 200), GW_NO_CHANGE); // begins anew
	CHECK_INT(report_to(&b, 0, GW_RESULT_OK, 500), GW_NO_CHANGE);
	CHECK_INT(report_to(&b, 0, GW_RESULT_OK, 404), GW_NO_CHANGE); // neither
	CHECK_INT(report_to(&b, 0, GW_RESULT_OK, 500), GW_NO_CHANGE);
	CHECK_INT(health(&b, 0), GW_HEALTHY);
	CHECK_INT(report_to(&b, 0, GW_RESULT_OK, 500), GW_TURNED_UNHEALTHY);
	CHECK_INT(health(&b, 0), GW_UNHEALTHY);
	for (size_t i = 0; i < 10; i++)
		CHECK_INT(request(&b, 200, 1000), 1);
	CHECK_INT(report_to(&b, 1, GW_RESULT_TIMEOUT, 0), GW_TURNED_UNHEALTHY);
	CHECK_INT(request(&b, 200, 1000), SIZE_MAX);
	bench_fini(&b);
}

TEST(balance_active_checks_bring_back)
{
	struct bench b;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){1, 1}, 2);
	passive(&b);
	b.upstream.active = (struct gw_active_check){.healthy_successes = 2,
						     .unhealthy_tcp_failures = 1,
						     .unhealthy_http_failures = 2,
						     .healthy_interval_s = 1,
						     .healthy_statuses = {good_statuses, 2},
						     .unhealthy_statuses = {bad_statuses, 2}};
	CHECK_INT(ms_balancer_check_result(b.balancer, 0, GW_RESULT_TCP_FAILURE, 0, b.now_ns), GW_TURNED_UNHEALTHY);
	CHECK_INT(ms_balancer_check_result(b.balancer, 0, GW_RESULT_TCP_FAILURE, 0, b.now_ns), GW_NO_CHANGE);
	CHECK_INT(ms_balancer_check_result(b.balancer, 0, GW_RESULT_OK, 200, b.now_ns), GW_NO_CHANGE);
	CHECK_INT(ms_balancer_check_result(b.balancer, 0, GW_RESULT_TCP_FAILURE, 0, b.now_ns), GW_NO_CHANGE);
	CHECK_INT(ms_balancer_check_result(b.balancer, 0, GW_RESULT_OK, 200, b.now_ns),
		  GW_NO_CHANGE); // the failure came between
	CHECK_INT(ms_balancer_check_result(b.balancer, 0, GW_RESULT_OK, 302, b.now_ns), GW_TURNED_HEALTHY);
	CHECK_INT(health(&b, 0), GW_HEALTHY);
	bench_fini(&b);
}

TEST(balance_threshold_closes_the_upstream)
{
	struct bench b;
	struct gw_upstream_state state;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){100, 100, 200}, 3);
	b.upstream.health_threshold = 55;
	(void)ms_balancer_set_health(b.balancer, 0, false, b.now_ns);
	CHECK(request(&b, 200, 1000) != SIZE_MAX); // 75 %
	(void)ms_balancer_set_health(b.balancer, 1, false, b.now_ns);
	CHECK_INT(request(&b, 200, 1000), SIZE_MAX); // 50 %
	ms_balancer_state(b.balancer, b.now_ns, &state);
	CHECK_F64(state.healthy_percent, 50.0);
	CHECK(!state.available);
	bench_fini(&b);
}

TEST(balance_state_outlives_plans)
{
	struct bench b;
	struct gw_lease lease;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){1, 1}, 2);
	(void)ms_balancer_set_health(b.balancer, 0, false, b.now_ns);
	REQUIRE(take(&b, NULL, &lease) == GW_PICK_OK);
	struct balancer *old = b.balancer;
	REQUIRE(ms_balancer_new(b.home, &b.upstream, b.now_ns, NULL, &b.balancer) == MS_OK);
	CHECK_INT(health(&b, 0), GW_UNHEALTHY);
	struct gw_target_state state;
	ms_balancer_target(b.balancer, 1, b.now_ns, &state);
	CHECK_INT(state.active, 1); // the request of the old plan
	ms_lease_end(&lease);
	ms_balancer_free(old);
	// A target that leaves and comes back is a new one.
	b.upstream.target_count = 0;
	replan(&b);
	b.upstream.target_count = 2;
	replan(&b);
	CHECK_INT(health(&b, 0), GW_CHECKS_OFF);
	bench_fini(&b);
}

// --- Ejection ----------------------------------------------------------------------------------------

TEST(balance_ejects_after_consecutive_5xx_ever_longer)
{
	struct bench b;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){1, 1, 1}, 3);
	b.upstream.outlier.enabled = true;
	for (size_t i = 0; i < 4; i++)
		CHECK_INT(report_to(&b, 0, GW_RESULT_OK, 500), GW_NO_CHANGE);
	CHECK_INT(report_to(&b, 0, GW_RESULT_TCP_FAILURE, 0), GW_EJECTED);
	CHECK_INT(health(&b, 0), GW_TARGET_EJECTED);
	for (size_t i = 0; i < 20; i++)
		CHECK(request(&b, 200, 1000) != 0);
	// 10 % of three targets is none, one may go all the same; a second may not.
	for (size_t i = 0; i < 20; i++)
		CHECK_INT(report_to(&b, 1, GW_RESULT_OK, 500), GW_NO_CHANGE);
	b.now_ns += 29 * SECOND;
	CHECK_INT(health(&b, 0), GW_TARGET_EJECTED);
	b.now_ns += 2 * SECOND;
	CHECK_INT(health(&b, 0), GW_HEALTHY);
	for (size_t i = 0; i < 4; i++)
		CHECK_INT(report_to(&b, 0, GW_RESULT_OK, 500), GW_NO_CHANGE);
	CHECK_INT(report_to(&b, 0, GW_RESULT_OK, 500), GW_EJECTED);
	b.now_ns += 59 * SECOND; // twice as long
	CHECK_INT(health(&b, 0), GW_TARGET_EJECTED);
	b.now_ns += 2 * SECOND;
	CHECK_INT(health(&b, 0), GW_HEALTHY);
	bench_fini(&b);
}

TEST(balance_ejections_stay_below_their_percentage)
{
	struct bench b;
	unsigned weights[20];
	size_t ejected = 0;
	for (size_t i = 0; i < 20; i++)
		weights[i] = 1;
	bench_init(&b, GW_ROUND_ROBIN, weights, 20);
	b.upstream.outlier.enabled = true;
	b.upstream.outlier.max_ejection_percent = 25;
	for (size_t i = 0; i < 2000; i++)
		(void)request(&b, 500, 1000);
	for (size_t i = 0; i < 20; i++)
		ejected += health(&b, i) == GW_TARGET_EJECTED;
	CHECK_INT(ejected, 5);
	bench_fini(&b);
}

TEST(balance_last_target_is_never_ejected)
{
	struct bench b;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){1}, 1);
	b.upstream.outlier.enabled = true;
	b.upstream.outlier.max_ejection_percent = 100;
	for (size_t i = 0; i < 100; i++)
		CHECK_INT(request(&b, 503, 1000), 0);
	bench_fini(&b);
}

TEST(balance_ejects_by_success_rate)
{
	struct bench b;
	unsigned weights[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
	bench_init(&b, GW_ROUND_ROBIN, weights, 10);
	b.upstream.outlier.enabled = true;
	(void)request(&b, 200, 1000); // the interval begins
	// Target 3 fails every other time: never five in a row, but far from the others.
	for (size_t round = 0; round < 150; round++) {
		for (size_t i = 0; i < 10; i++)
			CHECK_INT(report_to(&b, i, GW_RESULT_OK, i == 3 && round % 2 == 0 ? 500 : 200), GW_NO_CHANGE);
	}
	CHECK_INT(health(&b, 3), GW_HEALTHY);
	b.now_ns += 11 * SECOND;
	(void)request(&b, 200, 1000); // the interval ends
	for (size_t i = 0; i < 10; i++)
		CHECK_INT(health(&b, i), i == 3 ? GW_TARGET_EJECTED : GW_HEALTHY);
	b.now_ns += 31 * SECOND;
	CHECK_INT(health(&b, 3), GW_HEALTHY);
	bench_fini(&b);
}

// --- Slow start, breaker -----------------------------------------------------------------------------

TEST(balance_slow_start_for_those_that_come)
{
	struct bench b;
	size_t got[3] = {0};
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){100, 100, 100}, 2);
	b.upstream.slow_start_s = 100;
	snprintf(b.names[2], sizeof(b.names[2]), "t2:80");
	b.targets[2] = (struct gw_target){.target = ms_slice_cstr(b.names[2]), .weight = 100};
	b.upstream.target_count = 3;
	replan(&b);
	b.now_ns += 50 * SECOND; // half way: half the weight
	for (size_t i = 0; i < 1000; i++)
		got[request(&b, 200, 1000)]++;
	CHECK_INT(got[0], 400);
	CHECK_INT(got[1], 400);
	CHECK_INT(got[2], 200);
	b.now_ns += 51 * SECOND;
	for (size_t i = 0; i < 300; i++)
		got[request(&b, 200, 1000)]++;
	CHECK_INT(got[2], 300);
	bench_fini(&b);
}

TEST(balance_breaker_limits)
{
	struct bench b;
	struct gw_lease leases[8], more;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){1, 1}, 2);
	b.upstream.breaker = (struct gw_breaker){.max_connections = 2, .max_requests = 5, .max_pending = 4};
	for (size_t i = 0; i < 4; i++)
		REQUIRE(take(&b, NULL, &leases[i]) == GW_PICK_OK);
	CHECK_INT(take(&b, NULL, &more), GW_PICK_FULL); // four wait for their answers
	(void)ms_lease_report(&leases[0], GW_RESULT_OK, 200, b.now_ns);
	CHECK_INT(take(&b, NULL, &more), GW_PICK_FULL); // each target has its two connections
	b.upstream.breaker.max_connections = 100;
	CHECK_INT(take(&b, NULL, &leases[4]), GW_PICK_OK);
	(void)ms_lease_report(&leases[4], GW_RESULT_OK, 200, b.now_ns);
	CHECK_INT(take(&b, NULL, &more), GW_PICK_FULL); // five requests
	ms_lease_end(&leases[0]);
	CHECK_INT(take(&b, NULL, &leases[0]), GW_PICK_OK);
	for (size_t i = 0; i < 5; i++)
		ms_lease_end(&leases[i]);
	struct gw_upstream_state state;
	ms_balancer_state(b.balancer, b.now_ns, &state);
	CHECK_INT(state.active, 0);
	CHECK_INT(state.pending, 0);
	bench_fini(&b);
}

TEST(balance_retry_budget)
{
	struct bench b;
	static struct gw_lease leases[200];
	struct gw_pick_input in = {.retry = true};
	size_t retries = 0;
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){1}, 1);
	in.now_ns = b.now_ns;
	b.upstream.breaker.retry_budget_percent = 20;
	while (ms_balancer_pick(b.balancer, &in, &leases[retries]) == GW_PICK_OK)
		retries++;
	CHECK_INT(retries, 3); // the floor
	CHECK_INT(ms_balancer_pick(b.balancer, &in, &leases[retries]), GW_PICK_BUDGET);
	for (size_t i = 3; i < 100; i++)
		REQUIRE(take(&b, NULL, &leases[i]) == GW_PICK_OK);
	retries = 100;
	while (ms_balancer_pick(b.balancer, &in, &leases[retries]) == GW_PICK_OK)
		retries++;
	struct gw_upstream_state state;
	ms_balancer_state(b.balancer, b.now_ns, &state);
	CHECK(state.retries >= state.active * 20 / 100 && state.retries <= state.active * 20 / 100 + 1);
	for (size_t i = 0; i < retries; i++)
		ms_lease_end(&leases[i]);
	ms_balancer_state(b.balancer, b.now_ns, &state);
	CHECK_INT(state.retries, 0);
	bench_fini(&b);
}

// --- Threads -----------------------------------------------------------------------------------------

struct runner {
	struct bench *b;
	size_t got[3];
};

static void *run(void *arg)
{
	struct runner *r = arg;
	for (size_t i = 0; i < 40000; i++) {
		struct gw_lease lease;
		const struct gw_pick_input in = {.now_ns = r->b->now_ns};
		if (ms_balancer_pick(r->b->balancer, &in, &lease) != GW_PICK_OK)
			continue;
		r->got[lease.target]++;
		(void)ms_lease_report(&lease, GW_RESULT_OK, 200, r->b->now_ns + 1000);
		ms_lease_end(&lease);
	}
	return NULL;
}

TEST(balance_is_exact_over_threads)
{
	struct bench b;
	struct runner runners[4] = {0};
	pthread_t threads[4];
	size_t got[3] = {0};
	bench_init(&b, GW_ROUND_ROBIN, (unsigned[]){5, 2, 1}, 3);
	b.upstream.outlier.enabled = true;
	for (size_t i = 0; i < 4; i++) {
		runners[i].b = &b;
		REQUIRE(pthread_create(&threads[i], NULL, run, &runners[i]) == 0);
	}
	for (size_t i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		for (size_t k = 0; k < 3; k++)
			got[k] += runners[i].got[k];
	}
	CHECK_INT(got[0], 100000);
	CHECK_INT(got[1], 40000);
	CHECK_INT(got[2], 20000);
	struct gw_upstream_state state;
	ms_balancer_state(b.balancer, b.now_ns, &state);
	CHECK_INT(state.active, 0);
	bench_fini(&b);
}

static void allocate(void)
{
	struct gw_target targets[] = {{.target = MS_SLICE_LIT("a:1"), .weight = 1},
				      {.target = MS_SLICE_LIT("b:1"), .weight = 1}};
	const struct gw_upstream upstream = {.name = MS_SLICE_LIT("u"), .targets = targets, .target_count = 2};
	struct balancer *balancer = NULL;
	struct balancers *home = ms_balancers_new();
	if (home != NULL && ms_balancer_new(home, &upstream, 0, NULL, &balancer) == MS_OK)
		ms_balancer_free(balancer);
	ms_balancers_free(home);
}

TEST(balance_survives_missing_memory)
{
	ms_test_torture(allocate);
}
