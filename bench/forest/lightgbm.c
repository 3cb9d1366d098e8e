// SPDX-License-Identifier: Apache-2.0
// LightGBM through its C interface (include/LightGBM/c_api.h): the prepared call for one row, the matrix call for many.
#include "engine.h"

#include <stddef.h>

#define FLOAT64 1   // C_API_DTYPE_FLOAT64
#define RAW_SCORE 1 // C_API_PREDICT_RAW_SCORE
#define ROW_MAJOR 1
#define ALL_ROUNDS (-1)
static const char PARAMETERS[] = "num_threads=1";

static struct {
	void *booster, *prepared;
	const double *rows;
	size_t row_count, feature_count;
	double *scores;
	const char *(*last_error)(void);
	int (*load)(const char *path, int *ret_rounds, void **ret_booster);
	int (*prepare)(void *booster, int predict, int first, int rounds, int type, int32_t columns,
		       const char *parameters, void **ret_prepared);
	int (*predict_one)(void *prepared, const void *row, int64_t *ret_count, double *out);
	int (*predict_many)(void *booster, const void *rows, int type, int32_t row_count, int32_t columns,
			    int row_major, int predict, int first, int rounds, const char *parameters,
			    int64_t *ret_count, double *out);
} self;

static void check(int status)
{
	if (status != 0)
		fail("%s", self.last_error());
}

static void open_model(const struct job *job)
{
	LOAD(job, self.last_error, "LGBM_GetLastError");
	LOAD(job, self.load, "LGBM_BoosterCreateFromModelfile");
	LOAD(job, self.prepare, "LGBM_BoosterPredictForMatSingleRowFastInit");
	LOAD(job, self.predict_one, "LGBM_BoosterPredictForMatSingleRowFast");
	LOAD(job, self.predict_many, "LGBM_BoosterPredictForMat");
	int rounds;
	check(self.load(job->model, &rounds, &self.booster));
	check(self.prepare(self.booster, RAW_SCORE, 0, ALL_ROUNDS, FLOAT64, (int32_t)job->feature_count, PARAMETERS,
			   &self.prepared));
	self.rows = job->rows;
	self.row_count = job->row_count;
	self.feature_count = job->feature_count;
	self.scores = allocate(job->row_count, sizeof(double));
}

static double one(size_t row)
{
	int64_t count;
	double score;
	check(self.predict_one(self.prepared, self.rows + row * self.feature_count, &count, &score));
	return score;
}

static void many(void)
{
	int64_t count;
	check(self.predict_many(self.booster, self.rows, FLOAT64, (int32_t)self.row_count, (int32_t)self.feature_count,
				ROW_MAJOR, RAW_SCORE, 0, ALL_ROUNDS, PARAMETERS, &count, self.scores));
}

static double score(size_t row)
{
	return self.scores[row];
}

static bool is_single(void)
{
	return false;
}

const struct engine ENGINE_LIGHTGBM = {"lightgbm", is_single, open_model, one, many, score, NULL};
