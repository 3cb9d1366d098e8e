// SPDX-License-Identifier: Apache-2.0
// What the fuzz targets of all model formats check: a refused file has a message; a loaded one predicts, and a
// row has the same bits alone and in a batch.
#ifndef MS_FUZZ_MODEL_FUZZ_H
#define MS_FUZZ_MODEL_FUZZ_H

#include <math.h>
#include <stdlib.h>

#include "base/base.h"
#include "model/model.h"

#define FUZZ_ROWS 3
#define FUZZ_VALUES_MAX ((size_t)1 << 16) // larger models are loaded, not asked

static inline void ms_fuzz_query(const struct model *model, const struct model_query *query, const double *rows)
{
	size_t width = ms_model_output_width(model, query->output), features = ms_model_info(model)->feature_count;
	if (width == 0 || width > FUZZ_VALUES_MAX)
		return;
	double *one = calloc(FUZZ_ROWS * width, sizeof(*one)), *many = calloc(FUZZ_ROWS * width, sizeof(*many));
	void *scratch = aligned_alloc(16, ms_model_scratch_size_for(model, query->output) + 16);
	if (one != NULL && many != NULL && scratch != NULL) {
		for (size_t r = 0; r < FUZZ_ROWS; r++)
			ms_model_predict(model, query, rows + r * features, 1, scratch, one + r * width);
		ms_model_predict(model, query, rows, FUZZ_ROWS, scratch, many);
		for (size_t i = 0; i < FUZZ_ROWS * width; i++)
			MS_ASSERT((isnan(one[i]) && isnan(many[i])) || memcmp(&one[i], &many[i], sizeof(*one)) == 0);
	}
	free(one);
	free(many);
	free(scratch);
}

// A part of the iterations, and sums that end early; every query is answered or refused with a message.
static inline void ms_fuzz_parts(const struct model *model, enum model_output output, const double *rows)
{
	const uint64_t count = ms_model_info(model)->iteration_count;
	const struct model_query queries[] = {
		{output, 1, 0, 0},          {output, count / 2 + 1, 0, 0},
		{output, count, 0, 0},      {output, count + 1, 0, 0},
		{output, 0, 1, 1},          {output, count, 1e-3, 3},
		{output, 0, 1, UINT64_MAX}, {output, 0, 1, (uint64_t)1 << 62},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(queries); i++) {
		struct errinfo info;
		ms_errinfo_init(&info);
		if (ms_model_check_query(model, &queries[i], &info) == MS_OK)
			ms_fuzz_query(model, &queries[i], rows);
		else
			MS_ASSERT(info.message[0] != '\0');
	}
	uint64_t best = 0;
	MS_ASSERT(ms_model_best_iterations(model, NULL, &best) != MS_OK || (best > 0 && best <= count));
}

static inline void ms_fuzz_rows(const struct model *model)
{
	static const double values[] = {0.0, NAN, 1.0, -1.5, 1e-36, INFINITY, 3.0, -0.0, 1e300, 40.0, -INFINITY};
	const struct model_info *info = ms_model_info(model);
	if (info->feature_count > FUZZ_VALUES_MAX)
		return;
	double *rows = calloc(FUZZ_ROWS * info->feature_count + 1, sizeof(*rows));
	if (rows == NULL)
		return;
	for (size_t i = 0; i < FUZZ_ROWS * info->feature_count; i++)
		rows[i] = values[i * 7 % MS_ARRAY_LEN(values)];
	for (size_t f = 0; f < info->feature_count; f++) {
		const struct model_feature *feature = &info->features[f];
		MS_ASSERT(feature->name.n > 0);
		MS_ASSERT(ms_model_feature_index(model, feature->name) == f);
		if (feature->has_strings && feature->category_count > 0) {
			double code;
			MS_ASSERT(ms_model_encode_string(model, f, feature->categories[0], NULL, &code) == MS_OK);
			rows[f] = code;
		}
	}
	for (int output = 0; output < MODEL_OUTPUT_COUNT; output++) {
		ms_fuzz_query(model, &MS_MODEL_QUERY((enum model_output)output), rows);
		ms_fuzz_parts(model, (enum model_output)output, rows);
	}
	free(rows);
}

static inline void ms_fuzz_model(const uint8_t *data, size_t size, enum model_format format)
{
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_memory = (size_t)64 << 20;
	struct errinfo info;
	struct model *model = NULL;
	ms_errinfo_init(&info);
	if (ms_model_load(ms_slice(data, size), format, &options, &info, &model) != MS_OK) {
		MS_ASSERT(info.message[0] != '\0');
		return;
	}
	ms_fuzz_rows(model);
	ms_model_unref(model);
}

#endif
