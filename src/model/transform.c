// SPDX-License-Identifier: Apache-2.0
#include "model/transform.h"

#include <math.h>

#include "base/base.h"

// Beyond this expf() overflows (XGBoost src/common/math.h, Sigmoid).
#define SIGMOID_MAX_F32 88.7f

static double sigmoid(const struct transform *t, double x)
{
	if (!t->single)
		return 1.0 / (1.0 + exp(-t->scale * x));
	float y = -(float)x;
	if (t->scale != 1)
		y *= (float)t->scale;
	return (double)(1.0f / (expf(SIGMOID_MAX_F32 < y ? SIGMOID_MAX_F32 : y) + 1.0f));
}

static double softplus(double x)
{
	return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double largest(const double *raw, size_t n)
{
	double max = raw[0];
	for (size_t i = 1; i < n; i++)
		max = raw[i] > max ? raw[i] : max;
	return max;
}

// exp(x) for x <= 0 as CatBoost computes it for softmax (library/cpp/fast_exp, which is fmath's expd): 2^(k/2048)
// by table, here by exp2(), times a cubic for the rest. Its error is part of the library's answer.
static double quick_exp(double x)
{
	const double steps = 2048, ln2 = 0x1.62e42fefa39efp-1, c2 = 0.16666666685227835064, c3 = 3.0000000027955394;
	const double shift = (double)(3LL << 51); // adding it rounds to an integer in the low bits
	if (!(x > -708.39641853226408))
		return isnan(x) ? x : 0;
	double shifted = x * (steps / ln2) + shift;
	int64_t k = (int64_t)(shifted - shift), place = k & 2047;
	double rest = (shifted - shift) * (ln2 / steps) - x;
	double cubic = (c3 - rest) * (rest * rest) * c2 - rest + 1;
	return cubic * ldexp(exp2((double)place / steps), (int)((k - place) / 2048));
}

static double softmax_term(const struct transform *t, double x, double max)
{
	if (t->kind == TRANSFORM_SOFTMAX_QUICK)
		return quick_exp(x - max);
	return t->single ? (double)expf((float)x - (float)max) : exp(x - max);
}

// XGBoost sums its f32 terms in f64 and divides in f32 (src/common/math.h, Softmax).
static void softmax(const struct transform *t, const double *raw, size_t n, double *out)
{
	double max = largest(raw, n), sum = 0;
	for (size_t i = 0; i < n; i++) {
		out[i] = softmax_term(t, raw[i], max);
		sum += out[i];
	}
	for (size_t i = 0; i < n; i++)
		out[i] = t->single ? (double)((float)out[i] / (float)sum) : out[i] / sum;
}

static size_t argmax(const double *raw, size_t n)
{
	size_t best = 0;
	for (size_t i = 1; i < n; i++)
		if (raw[i] > raw[best])
			best = i;
	return best;
}

// Insertion sort: quantile models have a handful of outputs. NaN stays where it is.
static void sort_ascending(double *v, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		double x = v[i];
		size_t at = i;
		for (; at > 0 && v[at - 1] > x; at--)
			v[at] = v[at - 1];
		v[at] = x;
	}
}

static void softplus_sum(const struct transform *t, const double *raw, size_t n, double *out)
{
	out[0] = raw[0];
	for (size_t i = 1; i < n; i++) {
		if (t->single)
			out[i] = (double)((float)out[i - 1] + ((float)softplus(raw[i]) + 1e-6f));
		else
			out[i] = out[i - 1] + (softplus(raw[i]) + 1e-6);
	}
}

static double map_one(const struct transform *t, double x)
{
	switch (t->kind) {
	case TRANSFORM_SIGMOID:
		return sigmoid(t, x);
	case TRANSFORM_EXP:
		return t->single ? (double)expf((float)x) : exp(x);
	case TRANSFORM_LOG1P_EXP:
		return t->single ? (double)log1pf(expf((float)x)) : log1p(exp(x));
	case TRANSFORM_SIGNED_SQUARE:
		return ((x > 0) - (x < 0)) * x * x;
	case TRANSFORM_HINGE:
		return x > 0 ? 1 : 0;
	case TRANSFORM_IDENTITY:
	case TRANSFORM_SOFTMAX:
	case TRANSFORM_SOFTMAX_QUICK:
	case TRANSFORM_ARGMAX:
	case TRANSFORM_SORT:
	case TRANSFORM_SOFTPLUS_SUM:
	case TRANSFORM_UNCERTAINTY:
	case TRANSFORM_KIND_COUNT:
		break;
	}
	return x;
}

size_t ms_transform_width(const struct transform *t, size_t raw_count)
{
	return t->kind == TRANSFORM_ARGMAX ? 1 : raw_count;
}

void ms_transform_apply(const struct transform *t, const double *raw, size_t raw_count, double *out)
{
	if (t->divisor != 0) {
		struct transform rest = *t;
		rest.divisor = 0;
		MS_ASSERT(ms_transform_width(t, raw_count) == raw_count);
		for (size_t i = 0; i < raw_count; i++)
			out[i] = raw[i] / t->divisor;
		ms_transform_apply(&rest, out, raw_count, out);
		return;
	}
	switch (t->kind) {
	case TRANSFORM_SOFTMAX:
	case TRANSFORM_SOFTMAX_QUICK:
		softmax(t, raw, raw_count, out);
		return;
	case TRANSFORM_ARGMAX:
		out[0] = (double)argmax(raw, raw_count);
		return;
	case TRANSFORM_SOFTPLUS_SUM:
		softplus_sum(t, raw, raw_count, out);
		return;
	case TRANSFORM_SORT:
		memmove(out, raw, raw_count * sizeof(*out));
		sort_ascending(out, raw_count);
		return;
	case TRANSFORM_UNCERTAINTY:
		MS_ASSERT(raw_count == 2);
		out[0] = raw[0];
		out[1] = exp(2 * raw[1]);
		return;
	case TRANSFORM_IDENTITY:
	case TRANSFORM_SIGMOID:
	case TRANSFORM_EXP:
	case TRANSFORM_LOG1P_EXP:
	case TRANSFORM_SIGNED_SQUARE:
	case TRANSFORM_HINGE:
	case TRANSFORM_KIND_COUNT:
		break;
	}
	for (size_t i = 0; i < raw_count; i++)
		out[i] = map_one(t, raw[i]);
}
