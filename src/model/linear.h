// SPDX-License-Identifier: Apache-2.0
// Linear models: the evaluation that all linear formats share.
#ifndef MS_MODEL_LINEAR_H
#define MS_MODEL_LINEAR_H

#include <stdbool.h>
#include <stddef.h>

// raw[k] = start[k] + Σ weights[k][i] · (row[i] - means[i]) / scales[i], features in ascending order. Immutable;
// memory in the model's arena.
struct linear_model {
	size_t feature_count;
	size_t output_count;
	bool single;           // all in f32 (values must be of f32), rows rounded first; else f64
	bool skip_missing;     // NaN adds nothing (XGBoost's gblinear); else the result is NaN
	const double *start;   // output_count
	const double *weights; // output by output: output_count × feature_count
	const double *means;   // feature_count, or NULL: 0
	const double *scales;  // feature_count, or NULL: 1
};

// rows: row-major. out: row-major, output_count values a row.
void ms_linear_raw(const struct linear_model *m, const double *rows, size_t row_count, double *out);
// The terms of that sum: row-major, per row and output feature_count terms and start[k]; in f64.
void ms_linear_contributions(const struct linear_model *m, const double *rows, size_t row_count, double *out);

#endif
