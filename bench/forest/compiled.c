// SPDX-License-Identifier: Apache-2.0
// Trees compiled to a shared library. tl2cgen's own predictor calls the library's function for each row, and so do
// we; lleaves' function takes a range of rows.
#include "engine.h"

#include <string.h>

static struct {
	size_t row_count, feature_count;
	bool single;
	const double *rows;
	const float *rows_single;
	double *row, *scores;
	float *row_single;
	void (*predict)(double *row, int margin, double *score);
	void (*predict_single)(float *row, int margin, float *score);
	void (*forest)(const double *rows, double *scores, int32_t first, int32_t end);
} self;

static void open_common(const struct job *job)
{
	self.row_count = job->row_count;
	self.feature_count = job->feature_count;
	self.rows = job->rows;
	self.rows_single = job->rows_single;
	self.scores = allocate(job->row_count, sizeof(double));
	self.row = allocate(job->feature_count, sizeof(double));
	self.row_single = allocate(job->feature_count, sizeof(float));
}

static bool is_single(void)
{
	return self.single;
}

static double score(size_t row)
{
	return self.scores[row];
}

// --- tl2cgen -------------------------------------------------------------------------------------------

static void open_tl2cgen(const struct job *job)
{
	const char *(*threshold_type)(void), *(*leaf_type)(void);
	LOAD(job, threshold_type, "get_threshold_type");
	LOAD(job, leaf_type, "get_leaf_output_type");
	if (strcmp(threshold_type(), leaf_type()) != 0)
		fail("thresholds of %s and leaves of %s", threshold_type(), leaf_type());
	open_common(job);
	self.single = strcmp(leaf_type(), "float32") == 0;
	LOAD(job, self.predict, "predict");
	LOAD(job, self.predict_single, "predict");
}

// Quantised code writes ranks over the values, so that it gets a copy; it adds to the score that is there.
static double tl2cgen_one(size_t row)
{
	if (self.single) {
		float score_single = 0;
		memcpy(self.row_single, self.rows_single + row * self.feature_count,
		       self.feature_count * sizeof(float));
		self.predict_single(self.row_single, 1, &score_single);
		return (double)score_single;
	}
	double score_double = 0;
	memcpy(self.row, self.rows + row * self.feature_count, self.feature_count * sizeof(double));
	self.predict(self.row, 1, &score_double);
	return score_double;
}

static void tl2cgen_many(void)
{
	for (size_t i = 0; i < self.row_count; i++)
		self.scores[i] = tl2cgen_one(i);
}

const struct engine ENGINE_TL2CGEN = {"tl2cgen", is_single, open_tl2cgen, tl2cgen_one, tl2cgen_many, score, NULL};

// --- lleaves -------------------------------------------------------------------------------------------

static void open_lleaves(const struct job *job)
{
	open_common(job);
	LOAD(job, self.forest, "forest_root");
}

static double lleaves_one(size_t row)
{
	double one;
	self.forest(self.rows + row * self.feature_count, &one, 0, 1);
	return one;
}

static void lleaves_many(void)
{
	self.forest(self.rows, self.scores, 0, (int32_t)self.row_count);
}

const struct engine ENGINE_LLEAVES = {"lleaves", is_single, open_lleaves, lleaves_one, lleaves_many, score, NULL};
