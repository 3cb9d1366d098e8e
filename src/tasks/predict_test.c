// SPDX-License-Identifier: Apache-2.0
#include "tasks/predict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test.h"

#define S INT64_C(1000000)

static double normal(struct rand *rand)
{
	return sqrt(-2 * log(1 - ms_rand_double(rand))) * cos(6.283185307179586 * ms_rand_double(rand));
}

static bool near(double got, double want, double share)
{
	bool ok = fabs(got - want) <= share * want;
	if (!ok)
		printf("# %.0f, not %.0f\n", got, want);
	return ok;
}

TEST(quantiles_are_those_of_what_was_seen)
{
	struct runtimes r = {0};
	struct rand rand = {.state = 1};
	CHECK_INT(ms_runtimes_quantile(&r, 0.5), 0);
	for (int i = 0; i < 20000; i++)
		ms_runtimes_add(&r, (int64_t)(2e6 * exp(0.8 * normal(&rand))));
	CHECK(near((double)ms_runtimes_quantile(&r, 0.5), 2e6, 0.12));
	CHECK(near((double)ms_runtimes_quantile(&r, 0.95), 2e6 * exp(0.8 * 1.645), 0.2));
	CHECK(near((double)ms_runtimes_mean(&r), 2e6 * exp(0.32), 0.15));
	CHECK(r.count == 20000);
	// What changed is believed after a few hundred runs.
	for (int i = 0; i < 1000; i++)
		ms_runtimes_add(&r, 10 * S);
	CHECK(near((double)ms_runtimes_quantile(&r, 0.5), 10e6, 0.2));
}

TEST(extreme_run_times_have_a_place)
{
	struct runtimes r = {0};
	const int64_t times[] = {INT64_MIN, -1, 0, 1, 99, 100, INT64_MAX};
	for (size_t i = 0; i < MS_ARRAY_LEN(times); i++)
		ms_runtimes_add(&r, times[i]);
	CHECK(ms_runtimes_quantile(&r, 0.5) <= 120);
	CHECK(ms_runtimes_quantile(&r, 0.999) > 5000000 * S);
	struct runtimes many = {0};
	for (int i = 0; i < 100000; i++)
		ms_runtimes_add(&many, 5 * S);
	CHECK(isfinite(many.step) && near((double)ms_runtimes_quantile(&many, 0.5), 5e6, 0.2));
}

static struct predictor *make(size_t kinds)
{
	struct predictor *p;
	struct errinfo info;
	CHECK_OK(ms_predictor_new(&(struct predictor_options){.kinds = kinds}, &info, &p));
	return p;
}

static struct prediction predict(const struct predictor *p, const char *name, uint64_t size, const char *worker_class)
{
	struct prediction got;
	ms_predict(p,
		   &(struct task_kind){
			   .name = ms_slice_cstr(name), .worker_class = ms_slice_cstr(worker_class), .size = size},
		   &got);
	return got;
}

static void learn(struct predictor *p, const char *name, uint64_t size, const char *worker_class, int64_t run_us,
		  int times)
{
	for (int i = 0; i < times; i++)
		CHECK(ms_predictor_learn(p,
					 &(struct task_kind){.name = ms_slice_cstr(name),
							     .worker_class = ms_slice_cstr(worker_class),
							     .size = size},
					 run_us));
}

TEST(little_known_kinds_borrow_from_their_relatives)
{
	struct predictor *p = make(0);
	CHECK_INT(predict(p, "a", 10, "").runs, 0); // nothing is known of anything
	CHECK(predict(p, "a", 10, "").p50_us == S);
	learn(p, "score", 1000, "cpu", 2 * S, 30);
	learn(p, "score", 1000, "gpu", S / 5, 30);
	CHECK(near((double)predict(p, "score", 1000, "cpu").p50_us, 2e6, 0.2));
	CHECK(near((double)predict(p, "score", 1000, "gpu").p50_us, 2e5, 0.2));
	CHECK(predict(p, "score", 1000, "tpu").runs == 60); // a class that nobody saw: all workers
	CHECK(near((double)predict(p, "score", 4000, "").p50_us, 4 * (double)predict(p, "score", 1000, "").p50_us,
		   0.01));
	CHECK(near((double)predict(p, "score", 500, "").p50_us, (double)predict(p, "score", 1000, "").p50_us / 2,
		   0.01));
	CHECK(predict(p, "score", 0, "").runs == 60);
	CHECK(predict(p, "other", 0, "").runs == 0 &&
	      predict(p, "other", 0, "").p50_us > 1000); // the whole queue, not to be trusted
	// A kind that was seen a few times is not yet believed over its name's experience; alone it is better than nothing.
	learn(p, "score", 1000, "slow", 100 * S, 3);
	CHECK(predict(p, "score", 1000, "slow").p50_us < 10 * S);
	learn(p, "rare", 7, "", 50 * S, 1);
	CHECK(near((double)predict(p, "rare", 7, "").p50_us, 50e6, 0.2));
	ms_predictor_free(p);
}

TEST(kinds_are_bounded_and_kept_over_a_restart)
{
	struct predictor *p = make(50), *again = make(50);
	char name[32];
	for (int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "name%d", i);
		learn(p, name, 0, "", S, 1);
		learn(p, "kept", 0, "", 3 * S, 1);
	}
	size_t cursor = 0, rows = 0;
	struct kind_row row;
	while (ms_predictor_next(p, &cursor, &row)) {
		rows++;
		CHECK(ms_predictor_put(again, &row));
	}
	CHECK(rows <= 50);
	CHECK_INT(predict(p, "kept", 0, "").p50_us, predict(again, "kept", 0, "").p50_us);
	CHECK(predict(again, "kept", 0, "").runs == 1000);
	// Names that hold what divides a key are other names.
	learn(p, "a", 0, "b", S, 30);
	CHECK(predict(p, "a", 0, "b").runs == 30);
	ms_predictor_free(p);
	ms_predictor_free(again);
}

TEST(orders_are_as_the_policies_say)
{
	struct order_options o = {.policy = POLICY_FIFO};
	struct order_input early = {
		.ready_us = 1000 * S, .priority = 5, .expected = {.p50_us = 100 * S, .p95_us = 200 * S}};
	struct order_input late = {.ready_us = 1010 * S, .priority = 1, .expected = {.p50_us = S, .p95_us = 2 * S}};
	CHECK(ms_task_order(&o, &early) < ms_task_order(&o, &late));
	o.policy = POLICY_PRIORITY;
	CHECK(ms_task_order(&o, &late) < ms_task_order(&o, &early));
	late.priority = 5;
	CHECK(ms_task_order(&o, &early) < ms_task_order(&o, &late));
	early.priority = 2097151;
	CHECK(ms_task_order(&o, &early) > 0);
	o.policy = POLICY_SHORTEST_EXPECTED;
	CHECK(ms_task_order(&o, &late) < ms_task_order(&o, &early));
	early.expected.p50_us = 1000 * S;
	CHECK(ms_task_order(&o, &late) < ms_task_order(&o, &early));
	late.ready_us = early.ready_us + 3601 * S; // nobody who comes after the patience goes first
	CHECK(ms_task_order(&o, &early) < ms_task_order(&o, &late));
	o.policy = POLICY_DEADLINE;
	early.deadline_us = 2000 * S;
	late.deadline_us = 1900 * S;
	CHECK_INT(ms_task_order(&o, &early), 1800 * S);
	CHECK_INT(ms_task_order(&o, &late), 1898 * S);
	early.deadline_us = INT64_MAX;
	CHECK_INT(ms_task_order(&o, &early), 1000 * S + 30 * 86400 * S);
	early.deadline_us = 0;
	CHECK_INT(ms_task_order(&o, &early), 4600 * S);
}

TEST(a_turn_is_what_waits_in_front)
{
	struct backlog b;
	struct turn turn;
	struct rand rand = {.state = 3};
	struct prediction p = {.p50_us = 10 * S, .mean_us = 10 * S, .p95_us = 10 * S};
	int64_t orders[500];
	ms_backlog_init(&b);
	ms_backlog_turn(&b, 0, &p, 6, 3, &turn);
	CHECK_INT(turn.start_p50_us, 2 * S);
	CHECK_INT(turn.finish_p50_us, 12 * S);
	for (size_t i = 0; i < MS_ARRAY_LEN(orders); i++) {
		orders[i] = 1000000 * S + (int64_t)ms_rand_below(&rand, 100000) * S;
		CHECK(ms_backlog_add(&b, orders[i], &p));
	}
	for (int k = 0; k < 50; k++) {
		int64_t at = 1000000 * S + (int64_t)ms_rand_below(&rand, 100000) * S;
		double want = 0;
		for (size_t i = 0; i < MS_ARRAY_LEN(orders); i++)
			want += orders[i] / (8 * S) < at / (8 * S) ? 10 : orders[i] / (8 * S) == at / (8 * S) ? 5 : 0;
		ms_backlog_turn(&b, at, &p, 0, 1, &turn);
		CHECK(fabs((double)turn.start_p50_us / 1e6 - want) < 0.01);
		CHECK(turn.start_p95_us == turn.start_p50_us);
	}
	p.p95_us = 20 * S; // what was added is taken out, not something else
	struct prediction wide = p;
	p.p95_us = 10 * S;
	for (size_t i = 0; i < MS_ARRAY_LEN(orders); i++)
		ms_backlog_remove(&b, orders[i], &p);
	CHECK(b.tasks == 0 && b.count == 0);
	for (int i = 0; i < 100; i++)
		CHECK(ms_backlog_add(&b, S, &wide));
	ms_backlog_turn(&b, 100 * S, &wide, 0, 1, &turn);
	CHECK(near((double)turn.start_p95_us, 1000e6 + 100e6, 0.01)); // sqrt(100) × 10 s
	CHECK(near((double)turn.finish_p95_us, 1010e6 + sqrt(100.0 * 100 + 10 * 10) * 1e6, 0.01));
	ms_backlog_fini(&b);
}
