// SPDX-License-Identifier: Apache-2.0
// Computing and writing predictions.
#include "serve/serve.h"

enum ms_err ms_output_check(const struct served_model *served, enum model_output output, struct errinfo *info)
{
	if (ms_model_output_width(served->model, output) > 0)
		return MS_OK;
	struct buf list;
	if (output == MODEL_OUTPUT_CONTRIBUTIONS) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("output"));
		return ms_fail(info, MS_ERR_MODEL_OUTPUT, "model '%.*s' has no output 'contributions': %s",
			       MS_SLICE_ARG(served->name), ms_model_output_absence(served->model, output));
	}
	ms_buf_init(&list, 256);
	for (int o = 0; o < MODEL_OUTPUT_COUNT; o++) {
		if (ms_model_output_width(served->model, (enum model_output)o) > 0)
			ms_buf_printf(&list, "%s%s", list.n > 0 ? ", " : "",
				      ms_model_output_name((enum model_output)o));
	}
	ms_errinfo_set_field(info, MS_SLICE_LIT("output"));
	enum ms_err err = ms_fail(info, MS_ERR_MODEL_OUTPUT, "model '%.*s' (%s) has no output '%s'; it has: %.*s",
				  MS_SLICE_ARG(served->name), ms_model_task_name(ms_model_info(served->model)->task),
				  ms_model_output_name(output), MS_SLICE_ARG(ms_buf_slice(&list)));
	ms_buf_fini(&list);
	return err;
}

enum ms_err ms_output_compute(const struct served_model *served, enum model_output output,
			      const struct feature_matrix *matrix, struct arena *arena, struct errinfo *info,
			      double **ret_values)
{
	MS_TRY(ms_output_check(served, output, info));
	size_t width = ms_model_output_width(served->model, output), count;
	void *scratch = ms_arena_alloc(arena, ms_model_scratch_size_for(served->model, output));
	double *values = NULL;
	if (!MS_MUL_OVERFLOWS(matrix->rows, width * sizeof(double), &count))
		values = ms_arena_alloc(arena, count);
	if (scratch == NULL || values == NULL)
		return ms_fail(info, MS_ERR_LIMIT,
			       "the output of %zu rows × %zu values does not fit into the memory of one request",
			       matrix->rows, width);
	ms_model_predict(served->model, output, matrix->values, matrix->rows, scratch, values);
	*ret_values = values;
	return MS_OK;
}

static void write_value(struct json_writer *w, const struct served_model *served, enum model_output output,
			double value)
{
	switch (output) {
	case MODEL_OUTPUT_LABEL:
		// The index is of our own making and in range; labels were checked against the class count.
		if (served->labels != NULL)
			ms_json_str(w, served->labels[(size_t)value]);
		else
			ms_json_i64(w, (int64_t)value);
		return;
	case MODEL_OUTPUT_LEAF:
		ms_json_i64(w, (int64_t)value);
		return;
	case MODEL_OUTPUT_CONTRIBUTIONS: // of f64 always
		ms_json_f64(w, value);
		return;
	case MODEL_OUTPUT_TREE:
	case MODEL_OUTPUT_DEFAULT:
	case MODEL_OUTPUT_RAW:
	case MODEL_OUTPUT_PROBABILITY:
	case MODEL_OUTPUT_COUNT:
		break;
	}
	if (ms_model_info(served->model)->single_precision)
		ms_json_f32(w, (float)value);
	else
		ms_json_f64(w, value);
}

void ms_output_write_row(struct json_writer *w, const struct served_model *served, enum model_output output,
			 const double *row)
{
	size_t width = ms_model_output_width(served->model, output);
	if (width == 1) {
		write_value(w, served, output, row[0]);
		return;
	}
	ms_json_begin_array(w);
	for (size_t i = 0; i < width; i++)
		write_value(w, served, output, row[i]);
	ms_json_end_array(w);
}
