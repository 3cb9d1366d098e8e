// SPDX-License-Identifier: Apache-2.0
#include "gateway/canary_analysis.h"

#include <math.h>

#define FIRST_BUCKET_NS 250000.0
#define EXACT_BELOW 10.0 // an expected count: the normal approximation is poor for less

size_t ms_latency_bucket(int64_t latency_ns)
{
	if (latency_ns <= (int64_t)FIRST_BUCKET_NS)
		return 0;
	double bucket = 1 + floor(4 * log2((double)latency_ns / FIRST_BUCKET_NS));
	return bucket >= GW_LATENCY_BUCKETS ? GW_LATENCY_BUCKETS - 1 : (size_t)bucket;
}

static double normal_above(double z)
{
	return 0.5 * erfc(z / M_SQRT2);
}

double ms_test_proportions_z(uint64_t errors1, uint64_t n1, uint64_t errors2, uint64_t n2)
{
	double p1 = (double)errors1 / (double)n1, p2 = (double)errors2 / (double)n2;
	double pooled = ((double)errors1 + (double)errors2) / ((double)n1 + (double)n2);
	double error = sqrt(pooled * (1 - pooled) * (1 / (double)n1 + 1 / (double)n2));
	return error > 0 ? normal_above((p2 - p1) / error) : 1;
}

static double log_choose(double n, double k)
{
	int sign; // lgamma writes a global, lgamma_r does not
	return lgamma_r(n + 1, &sign) - lgamma_r(k + 1, &sign) - lgamma_r(n - k + 1, &sign);
}

// The tail of the hypergeometric distribution: of all errors so many or more fell to the second, by chance.
double ms_test_proportions_exact(uint64_t errors1, uint64_t n1, uint64_t errors2, uint64_t n2)
{
	double errors = (double)errors1 + (double)errors2, all = (double)n1 + (double)n2;
	double most = fmin(errors, (double)n2), sum = 0;
	for (double k = (double)errors2; k <= most; k++)
		sum += exp(log_choose((double)n2, k) + log_choose((double)n1, errors - k) - log_choose(all, errors));
	return fmin(sum, 1);
}

double ms_test_mann_whitney(const uint64_t *first, const uint64_t *second, size_t buckets, double *ret_greater)
{
	double n1 = 0, n2 = 0, u = 0, ties = 0;
	for (size_t i = 0; i < buckets; i++) {
		double a = (double)first[i], b = (double)second[i], t = a + b;
		u += b * (n1 + a / 2); // pairs in which the second is greater; equal ones count half
		ties += t * t * t - t;
		n1 += a;
		n2 += b;
	}
	double n = n1 + n2;
	*ret_greater = n1 > 0 && n2 > 0 ? u / (n1 * n2) : 0.5;
	if (n1 == 0 || n2 == 0 || n < 2)
		return 1;
	double variance = n1 * n2 / 12 * (n + 1 - ties / (n * (n - 1)));
	return variance > 0 ? normal_above((u - n1 * n2 / 2) / sqrt(variance)) : 1;
}

const char *ms_canary_verdict_name(enum canary_verdict verdict)
{
	static const char *const names[] = {
		[CANARY_HOLD] = "hold", [CANARY_PROMOTE] = "promote", [CANARY_ROLLBACK] = "rollback"};
	return names[verdict];
}

static void compare_errors(const struct canary_arm *b, const struct canary_arm *c, struct canary_analysis *a)
{
	double share = (double)c->requests / ((double)b->requests + (double)c->requests);
	double errors = (double)b->errors + (double)c->errors;
	a->error_rate[0] = (double)b->errors / (double)b->requests;
	a->error_rate[1] = (double)c->errors / (double)c->requests;
	a->error_exact = errors * fmin(share, 1 - share) < EXACT_BELOW;
	a->error_p = a->error_exact ? ms_test_proportions_exact(b->errors, b->requests, c->errors, c->requests)
				    : ms_test_proportions_z(b->errors, b->requests, c->errors, c->requests);
}

struct canary_analysis ms_canary_analyse(const struct canary_arm *baseline, const struct canary_arm *canary,
					 const struct canary_limits *limits)
{
	struct canary_analysis a = {.error_p = 1, .latency_p = 1, .slower = 0.5};
	if (baseline->requests == 0 || canary->requests == 0) {
		a.reason = "one of both has had no requests";
		return a;
	}
	compare_errors(baseline, canary, &a);
	a.latency_p = ms_test_mann_whitney(baseline->latency, canary->latency, GW_LATENCY_BUCKETS, &a.slower);
	// Both tests share what a look may spend.
	double level = limits->significance / (2.0 * MS_MAX(limits->looks, 1U));
	if (a.error_p < level && a.error_rate[1] - a.error_rate[0] > limits->error_tolerance) {
		a.verdict = CANARY_ROLLBACK; // a bad one need not hurt the minimum of requests first
		a.reason = "the canary fails more often";
	} else if (baseline->requests < limits->minimum_requests || canary->requests < limits->minimum_requests) {
		a.reason = "too few requests to tell";
	} else if (a.latency_p < level && a.slower - 0.5 > limits->latency_tolerance) {
		a.verdict = CANARY_ROLLBACK;
		a.reason = "the canary is slower";
	} else {
		a.verdict = CANARY_PROMOTE;
		a.reason = "the canary is not worse";
	}
	return a;
}
