// SPDX-License-Identifier: Apache-2.0
// XGBoost through its C interface (include/xgboost/c_api.h): prediction in place from dense float32 rows, which is
// what its own wrappers use. The description of the array is text with an address in it; to spare XGBoost the
// making of it for each row, rows are copied to one place and the text is made once.
#include "engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char MARGIN[] = "{\"type\":1,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,"
			     "\"strict_shape\":false,\"missing\":NaN,\"cache_id\":0}";

static struct {
	void *booster, *proxy;
	const float *rows;
	size_t feature_count;
	float *row;
	char array_one[128], array_many[128];
	const float *scores;
	const char *(*last_error)(void);
	int (*create)(void *const *matrices, uint64_t count, void **ret_booster);
	int (*load)(void *booster, const char *path);
	int (*set)(void *booster, const char *name, const char *value);
	int (*create_proxy)(void **ret_proxy);
	int (*predict)(void *booster, const char *array, const char *config, void *proxy, const uint64_t **ret_shape,
		       uint64_t *ret_dimensions, const float **ret_scores);
} self;

static void check(int status)
{
	if (status != 0)
		fail("%s", self.last_error());
}

static void describe(char *text, size_t size, const float *rows, size_t row_count)
{
	snprintf(text, size, "{\"data\":[%" PRIuPTR ",true],\"shape\":[%zu,%zu],\"typestr\":\"<f4\",\"version\":3}",
		 (uintptr_t)rows, row_count, self.feature_count);
}

static void open_model(const struct job *job)
{
	LOAD(job, self.last_error, "XGBGetLastError");
	LOAD(job, self.create, "XGBoosterCreate");
	LOAD(job, self.load, "XGBoosterLoadModel");
	LOAD(job, self.set, "XGBoosterSetParam");
	LOAD(job, self.create_proxy, "XGProxyDMatrixCreate");
	LOAD(job, self.predict, "XGBoosterPredictFromDense");
	check(self.create(NULL, 0, &self.booster));
	check(self.load(self.booster, job->model));
	check(self.set(self.booster, "nthread", "1"));
	check(self.create_proxy(&self.proxy));
	self.rows = job->rows_single;
	self.feature_count = job->feature_count;
	self.row = allocate(job->feature_count, sizeof(float));
	describe(self.array_one, sizeof(self.array_one), self.row, 1);
	describe(self.array_many, sizeof(self.array_many), self.rows, job->row_count);
}

static double one(size_t row)
{
	const uint64_t *shape;
	uint64_t dimensions;
	const float *scores;
	memcpy(self.row, self.rows + row * self.feature_count, self.feature_count * sizeof(float));
	check(self.predict(self.booster, self.array_one, MARGIN, self.proxy, &shape, &dimensions, &scores));
	return (double)scores[0];
}

static void many(void)
{
	const uint64_t *shape;
	uint64_t dimensions;
	check(self.predict(self.booster, self.array_many, MARGIN, self.proxy, &shape, &dimensions, &self.scores));
}

static double score(size_t row)
{
	return (double)self.scores[row];
}

static bool is_single(void)
{
	return true;
}

const struct engine ENGINE_XGBOOST = {"xgboost", is_single, open_model, one, many, score, NULL};
