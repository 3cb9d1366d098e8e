// SPDX-License-Identifier: Apache-2.0
// Private to gateway. Whether a canary is worse than what it is to replace: error rates by a two-proportion z-test, or Fisher's exact test
// when counts are small; latencies by the test of Mann and Whitney on histograms. Pure: figures in, verdict out.
#ifndef MS_GATEWAY_CANARY_ANALYSIS_H
#define MS_GATEWAY_CANARY_ANALYSIS_H

#include "base/base.h"

#define GW_LATENCY_BUCKETS 48
// The bucket of a latency: four to a doubling from 0.25 ms on, so that neighbours are 19 % apart.
size_t ms_latency_bucket(int64_t latency_ns);

struct canary_arm {
	uint64_t requests, errors;
	uint64_t latency[GW_LATENCY_BUCKETS]; // of requests that were answered
};
struct canary_limits {
	uint64_t minimum_requests; // of each arm; fewer: hold
	double significance;       // of the whole analysis: the chance to call a canary bad that is not; 0.01
	unsigned looks;            // how often the figures are looked at: each look gets its part of the significance
	double error_tolerance;    // so much more of the error rate is no harm; 0.001
	double latency_tolerance; // likewise of the chance that the canary is the slower one of a pair, beyond a half; 0.05
};
enum canary_verdict { CANARY_HOLD, CANARY_PROMOTE, CANARY_ROLLBACK };
struct canary_analysis {
	enum canary_verdict verdict;
	const char *reason;   // one sentence
	double error_rate[2]; // baseline, canary
	double error_p;       // of so many errors or more, if the canary were like the baseline
	bool error_exact;     // Fisher's
	double latency_p;     // of so slow or slower
	double slower;        // chance that a request to the canary takes longer than one to the baseline; 0.5: alike
};
const char *ms_canary_verdict_name(enum canary_verdict verdict); // "hold", "promote", "rollback"
struct canary_analysis ms_canary_analyse(const struct canary_arm *baseline, const struct canary_arm *canary,
					 const struct canary_limits *limits);
// The single tests, one-sided: the chance of what was seen, or worse for the second.
double ms_test_proportions_z(uint64_t errors1, uint64_t n1, uint64_t errors2, uint64_t n2);
double ms_test_proportions_exact(uint64_t errors1, uint64_t n1, uint64_t errors2, uint64_t n2);
double ms_test_mann_whitney(const uint64_t *first, const uint64_t *second, size_t buckets, double *ret_greater);

#endif
