// SPDX-License-Identifier: Apache-2.0
#include "gateway/canary_analysis.h"

#include <math.h>

#include "tests/lib/test.h"

static bool near(double got, double want, double relative)
{
	return fabs(got - want) <= relative * fabs(want);
}

static const struct canary_limits limits = {
	.minimum_requests = 500, .significance = 0.01, .looks = 1, .error_tolerance = 0.001, .latency_tolerance = 0.05};

TEST(canary_exact_test)
{
	// Fisher's own tea: three of four cups right. 17 of the 70 ways are so good or better.
	CHECK(near(ms_test_proportions_exact(1, 4, 3, 4), 17.0 / 70, 1e-12));
	CHECK(near(ms_test_proportions_exact(0, 4, 4, 4), 1.0 / 70, 1e-12));
	CHECK(near(ms_test_proportions_exact(0, 10, 0, 10), 1, 1e-12));
	// All errors but one at the second: sum over the tail, written out.
	CHECK(near(ms_test_proportions_exact(1, 3, 2, 3), (3.0 * 3 + 1) / 20, 1e-12));
}

TEST(canary_z_test)
{
	// 50 of 1000 against 80 of 1000: z = 0.03 / sqrt(0.065 * 0.935 * 0.002) = 2.72103…
	CHECK(near(ms_test_proportions_z(50, 1000, 80, 1000), 0.5 * erfc(0.03 / sqrt(0.065 * 0.935 * 0.002) / sqrt(2)),
		   1e-12));
	CHECK(near(ms_test_proportions_z(50, 1000, 80, 1000), 0.003254, 1e-3));
	CHECK(near(ms_test_proportions_z(50, 1000, 50, 1000), 0.5, 1e-12));
	CHECK(ms_test_proportions_z(80, 1000, 50, 1000) > 0.99);
	CHECK_F64(ms_test_proportions_z(0, 10, 0, 10), 1);
	// Both tests agree where both hold.
	double z = ms_test_proportions_z(500, 10000, 560, 10000),
	       exact = ms_test_proportions_exact(500, 10000, 560, 10000);
	CHECK(fabs(z - exact) < 0.005);
}

// The statistic by its definition: every pair.
TEST(canary_mann_whitney)
{
	struct rand r = {11};
	for (size_t round = 0; round < 50; round++) {
		int first[40], second[30];
		uint64_t a[10] = {0}, b[10] = {0};
		double u = 0, greater;
		for (size_t i = 0; i < 40; i++)
			a[first[i] = (int)ms_rand_below(&r, 10)]++;
		for (size_t i = 0; i < 30; i++)
			b[second[i] = (int)ms_rand_below(&r, 8) + 2]++;
		for (size_t i = 0; i < 40; i++) {
			for (size_t k = 0; k < 30; k++)
				u += second[k] > first[i] ? 1 : second[k] == first[i] ? 0.5 : 0;
		}
		double p = ms_test_mann_whitney(a, b, 10, &greater);
		CHECK(near(greater, u / 1200, 1e-12));
		CHECK(p >= 0 && p <= 1);
	}
	// Without ties: 1 2 3 against 4 5 6; U = 9, variance 3 * 3 * 7 / 12.
	uint64_t low[6] = {1, 1, 1}, high[6] = {0, 0, 0, 1, 1, 1};
	double greater;
	CHECK(near(ms_test_mann_whitney(low, high, 6, &greater), 0.5 * erfc(4.5 / sqrt(5.25) / sqrt(2)), 1e-12));
	CHECK_F64(greater, 1);
	CHECK(near(ms_test_mann_whitney(low, low, 6, &greater), 0.5, 1e-12));
}

static void fill(struct canary_arm *arm, struct rand *r, uint64_t n, double error_rate, double mean_ms)
{
	*arm = (struct canary_arm){.requests = n};
	for (uint64_t i = 0; i < n; i++) {
		arm->errors += ms_rand_double(r) < error_rate;
		arm->latency[ms_latency_bucket((int64_t)(-log(1 - ms_rand_double(r)) * mean_ms * 1e6))]++;
	}
}

TEST(canary_verdicts)
{
	struct rand r = {5};
	struct canary_arm baseline, canary;
	fill(&baseline, &r, 20000, 0.01, 20);
	fill(&canary, &r, 2000, 0.01, 20);
	CHECK_INT(ms_canary_analyse(&baseline, &canary, &limits).verdict, CANARY_PROMOTE);
	fill(&canary, &r, 2000, 0.05, 20);
	struct canary_analysis bad = ms_canary_analyse(&baseline, &canary, &limits);
	CHECK_INT(bad.verdict, CANARY_ROLLBACK);
	CHECK_HAS(bad.reason, "fails");
	fill(&canary, &r, 2000, 0.01, 30);
	struct canary_analysis slow = ms_canary_analyse(&baseline, &canary, &limits);
	CHECK_INT(slow.verdict, CANARY_ROLLBACK);
	CHECK_HAS(slow.reason, "slower");
	CHECK(slow.slower > 0.57 && slow.slower < 0.63); // of exponentials: 30 / (30 + 20)
	fill(&canary, &r, 200, 0.01, 20);
	CHECK_INT(ms_canary_analyse(&baseline, &canary, &limits).verdict, CANARY_HOLD);
	fill(&canary, &r, 30, 0.9, 20); // so bad that thirty suffice
	CHECK_INT(ms_canary_analyse(&baseline, &canary, &limits).verdict, CANARY_ROLLBACK);
	canary = (struct canary_arm){0};
	CHECK_INT(ms_canary_analyse(&baseline, &canary, &limits).verdict, CANARY_HOLD);
}

// A canary that is like the baseline is called bad no more often than was asked for.
TEST(canary_false_alarms)
{
	struct rand r = {99};
	size_t rounds = ms_test_rounds(1000), alarms = 0;
	const struct canary_limits strict = {.minimum_requests = 100, .significance = 0.05, .looks = 1};
	for (size_t i = 0; i < rounds; i++) {
		struct canary_arm baseline, canary;
		fill(&baseline, &r, 600, 0.03, 10);
		fill(&canary, &r, 200, 0.03, 10);
		alarms += ms_canary_analyse(&baseline, &canary, &strict).verdict == CANARY_ROLLBACK;
	}
	CHECK(alarms <= rounds * 75 / 1000);
	CHECK(rounds < 1000 || alarms >= 15); // and it is a test, not a rubber stamp
}

TEST(canary_latency_buckets)
{
	size_t last = 0;
	CHECK_INT(ms_latency_bucket(0), 0);
	CHECK_INT(ms_latency_bucket(-5), 0);
	CHECK_INT(ms_latency_bucket(INT64_MAX), GW_LATENCY_BUCKETS - 1);
	for (int64_t ns = 1000; ns < INT64_C(100000000000); ns += ns / 50) {
		size_t bucket = ms_latency_bucket(ns);
		CHECK(bucket >= last && bucket <= last + 1);
		last = bucket;
	}
}
