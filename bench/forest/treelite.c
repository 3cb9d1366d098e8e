// SPDX-License-Identifier: Apache-2.0
// treelite's interpreter GTIL through its C interface (include/treelite/c_api.h).
#include "engine.h"

#include <string.h>

static struct {
	void *model, *config;
	size_t row_count, feature_count;
	const char *input_type;
	bool input_single, single;
	const double *rows;
	const float *rows_single;
	double *scores;
	float *scores_single;
	const char *(*last_error)(void);
	int (*load)(const char *path, void **ret_model);
	int (*parse_config)(const char *json, void **ret_config);
	int (*type_in)(void *model, const char **ret_type);
	int (*type_out)(void *model, const char **ret_type);
	int (*predict)(void *model, const void *rows, const char *type, uint64_t row_count, void *scores, void *config);
} self;

static void check(int status)
{
	if (status != 0)
		fail("%s", self.last_error());
}

static void open_model(const struct job *job)
{
	LOAD(job, self.last_error, "TreeliteGetLastError");
	LOAD(job, self.load, "TreeliteDeserializeModelFromFile");
	LOAD(job, self.parse_config, "TreeliteGTILParseConfig");
	LOAD(job, self.type_in, "TreeliteGetInputType");
	LOAD(job, self.type_out, "TreeliteGetOutputType");
	LOAD(job, self.predict, "TreeliteGTILPredict");
	check(self.load(job->model, &self.model));
	check(self.parse_config("{\"predict_type\":\"raw\",\"nthread\":1}", &self.config));
	const char *output_type;
	check(self.type_out(self.model, &output_type));
	self.single = strcmp(output_type, "float32") == 0;
	check(self.type_in(self.model, &self.input_type)); // stays until the next call that gives a text
	self.input_single = strcmp(self.input_type, "float32") == 0;
	self.input_type = self.input_single ? "float32" : "float64";
	self.row_count = job->row_count;
	self.feature_count = job->feature_count;
	self.rows = job->rows;
	self.rows_single = job->rows_single;
	self.scores = allocate(job->row_count, sizeof(double));
	self.scores_single = allocate(job->row_count, sizeof(float));
}

static const void *input(size_t row)
{
	size_t at = row * self.feature_count;
	return self.input_single ? (const void *)(self.rows_single + at) : self.rows + at;
}

static double one(size_t row)
{
	double score_double = 0;
	float score_single = 0;
	void *out = self.single ? (void *)&score_single : &score_double;
	check(self.predict(self.model, input(row), self.input_type, 1, out, self.config));
	return self.single ? (double)score_single : score_double;
}

static void many(void)
{
	void *out = self.single ? (void *)self.scores_single : self.scores;
	check(self.predict(self.model, input(0), self.input_type, self.row_count, out, self.config));
}

static double score(size_t row)
{
	return self.single ? (double)self.scores_single[row] : self.scores[row];
}

static bool is_single(void)
{
	return self.single;
}

const struct engine ENGINE_TREELITE = {"treelite", is_single, open_model, one, many, score, NULL};
