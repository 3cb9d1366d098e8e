// SPDX-License-Identifier: Apache-2.0
#include "model/linear.h"

#include <math.h>

static double score_f64(const struct linear_model *m, const double *row, size_t k)
{
	const double *weights = m->weights + k * m->feature_count;
	double sum = m->start[k];
	for (size_t i = 0; i < m->feature_count; i++) {
		double x = row[i];
		if (m->means != NULL)
			x -= m->means[i];
		if (m->scales != NULL)
			x /= m->scales[i];
		if (!m->skip_missing || !isnan(x))
			sum += weights[i] * x;
	}
	return sum;
}

static double score_f32(const struct linear_model *m, const double *row, size_t k)
{
	const double *weights = m->weights + k * m->feature_count;
	float sum = (float)m->start[k];
	for (size_t i = 0; i < m->feature_count; i++) {
		float x = (float)row[i];
		if (m->means != NULL)
			x -= (float)m->means[i];
		if (m->scales != NULL)
			x /= (float)m->scales[i];
		if (!m->skip_missing || !isnan(x))
			sum += (float)weights[i] * x;
	}
	return (double)sum;
}

void ms_linear_raw(const struct linear_model *m, const double *rows, size_t row_count, double *out)
{
	for (size_t r = 0; r < row_count; r++)
		for (size_t k = 0; k < m->output_count; k++) {
			const double *row = rows + r * m->feature_count;
			out[r * m->output_count + k] = m->single ? score_f32(m, row, k) : score_f64(m, row, k);
		}
}

static double term(const struct linear_model *m, const double *weights, const double *row, size_t i)
{
	double x = m->single ? (double)(float)row[i] : row[i];
	if (m->skip_missing && isnan(x))
		return 0;
	if (m->means != NULL)
		x -= m->means[i];
	if (m->scales != NULL)
		x /= m->scales[i];
	return weights[i] * x;
}

void ms_linear_contributions(const struct linear_model *m, const double *rows, size_t row_count, double *out)
{
	const size_t features = m->feature_count;
	for (size_t r = 0; r < row_count; r++)
		for (size_t k = 0; k < m->output_count; k++, out += features + 1) {
			for (size_t i = 0; i < features; i++)
				out[i] = term(m, m->weights + k * features, rows + r * features, i);
			out[features] = m->start[k];
		}
}
