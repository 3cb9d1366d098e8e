// SPDX-License-Identifier: Apache-2.0
// Mainstay's own engine, through the interface of src/model.
#include "engine.h"

#include <string.h>

#include "model/model.h"

static struct {
	struct model *model;
	const double *rows;
	size_t row_count, feature_count;
	void *scratch;
	double *scores;
} self;

static void choose(const struct job *job, struct model_options *options)
{
	bool kernel = strcmp(job->kernel, "auto") == 0, isa = strcmp(job->isa, "auto") == 0;
	for (int i = 0; i < MODEL_KERNEL_COUNT && !kernel; i++)
		if (strcmp(job->kernel, ms_model_kernel_name((enum model_kernel)i)) == 0) {
			options->kernel = (enum model_kernel)i;
			kernel = true;
		}
	for (int i = 0; i < MODEL_ISA_COUNT && !isa; i++)
		if (strcmp(job->isa, ms_model_isa_name((enum model_isa)i)) == 0) {
			options->isa = (enum model_isa)i;
			isa = true;
		}
	if (!kernel || !isa)
		fail("no kernel %s or instruction set %s", job->kernel, job->isa);
}

static void open_model(const struct job *job)
{
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	choose(job, &options);
	size_t size;
	char *bytes = read_file(job->model, &size);
	struct errinfo info;
	ms_errinfo_init(&info);
	if (ms_model_load(ms_slice(bytes, size), MODEL_FORMAT_AUTO, &options, &info, &self.model) != MS_OK)
		fail("%s", info.message);
	if (ms_model_output_width(self.model, MODEL_OUTPUT_RAW) != 1)
		fail("the model has more than one score a row");
	if (ms_model_info(self.model)->feature_count != job->feature_count)
		fail("the model has %zu features, the rows have %zu", ms_model_info(self.model)->feature_count,
		     job->feature_count);
	self.rows = job->rows;
	self.row_count = job->row_count;
	self.feature_count = job->feature_count;
	self.scratch = allocate(ms_model_scratch_size(self.model), 1);
	self.scores = allocate(job->row_count, sizeof(double));
}

static double one(size_t row)
{
	double score;
	ms_model_predict(self.model, &MS_MODEL_QUERY(MODEL_OUTPUT_RAW), self.rows + row * self.feature_count, 1,
			 self.scratch, &score);
	return score;
}

static void many(void)
{
	ms_model_predict(self.model, &MS_MODEL_QUERY(MODEL_OUTPUT_RAW), self.rows, self.row_count, self.scratch,
			 self.scores);
}

static double score(size_t row)
{
	return self.scores[row];
}

static const char *kernel(bool batch)
{
	const struct model_info *info = ms_model_info(self.model);
	return batch ? info->kernel_batch : info->kernel_single;
}

static bool is_single(void)
{
	return false;
}

const struct engine ENGINE_MAINSTAY = {"mainstay", is_single, open_model, one, many, score, kernel};
