// SPDX-License-Identifier: Apache-2.0
// From raw scores to what a library's predict() returns, by the library's own formulas and in its own
// precision (LightGBM src/objective, XGBoost src/objective and src/common/math.h, CatBoost
// catboost/libs/eval_result). Within 2 ulp of them: exp() differs between C libraries.
#ifndef MS_MODEL_TRANSFORM_H
#define MS_MODEL_TRANSFORM_H

#include <stdbool.h>
#include <stddef.h>

// A column per raw score unless said otherwise.
enum transform_kind {
	TRANSFORM_IDENTITY,
	TRANSFORM_SIGMOID,       // 1 / (1 + exp(-scale x)), each column by itself
	TRANSFORM_SOFTMAX,       // over all columns
	TRANSFORM_SOFTMAX_QUICK, // the same in f64 with CatBoost's quick exp(), which is up to some ulp off
	TRANSFORM_EXP,           // exp(x)
	TRANSFORM_LOG1P_EXP,     // log1p(exp(x))
	TRANSFORM_SIGNED_SQUARE, // sign(x) x²
	TRANSFORM_HINGE,         // x > 0 ? 1 : 0
	TRANSFORM_ARGMAX,        // one column: index of the largest, the first of equals
	TRANSFORM_SORT,          // ascending (quantiles that must not cross)
	TRANSFORM_SOFTPLUS_SUM,  // x0, then each the one before + softplus(x) + 1e-6 (XGBoost reg:expectileerror)
	TRANSFORM_UNCERTAINTY,   // two columns: x0, exp(2 x1) (CatBoost RMSEWithUncertainty: mean and variance)
	TRANSFORM_KIND_COUNT
};

struct transform {
	enum transform_kind kind;
	bool single;    // in f32, by XGBoost's formulas; else f64
	double scale;   // TRANSFORM_SIGMOID; not used elsewhere
	double divisor; // first, each raw score is divided by it (LightGBM's average_output); 0: it is not
};

// Columns that the transform makes of raw_count scores.
size_t ms_transform_width(const struct transform *t, size_t raw_count);
// `out` may be `raw`.
void ms_transform_apply(const struct transform *t, const double *raw, size_t raw_count, double *out);

#endif
