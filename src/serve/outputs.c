// SPDX-License-Identifier: Apache-2.0
// Computing and writing predictions.
#include "rt/rt.h"
#include "serve/serve.h"

#define PART_NS 250000 // waking a thread costs some 50 µs
#define PART_ROWS 64

enum ms_err ms_output_check(const struct served_model *served, const struct model_query *query, struct errinfo *info)
{
	const enum model_output output = query->output;
	if (ms_model_output_width(served->model, output) > 0)
		return ms_model_check_query(served->model, query, info);
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

// Rows divided among threads: each part has its own scratch memory.
struct shared_rows {
	const struct model *model;
	const struct model_query *query;
	const struct feature_matrix *matrix;
	double *values;
	char *scratch;
	size_t scratch_bytes; // of a part
	size_t rows;          // of a part, but the last
};

static void predict_part(void *context, size_t part)
{
	struct shared_rows *s = context;
	const size_t first = part * s->rows, n = MS_MIN(s->rows, s->matrix->rows - first);
	ms_model_predict(s->model, s->query, s->matrix->values + first * s->matrix->columns, n,
			 s->scratch + part * s->scratch_bytes,
			 s->values + first * ms_model_output_width(s->model, s->query->output));
}

// Enough parts for all threads, of at least PART_NS and PART_ROWS each; 1: not worth it.
static size_t part_count(const struct shared_rows *s, struct pool *pool)
{
	if (pool == NULL)
		return 1;
	uint64_t row_ns = MS_MAX(ms_model_row_ns(s->model, s->query->output), 1);
	size_t rows = MS_MAX(PART_NS / row_ns, PART_ROWS);
	return MS_MAX(MS_MIN(s->matrix->rows / rows, (size_t)ms_pool_threads(pool)), 1);
}

enum ms_err ms_output_compute(const struct served_model *served, const struct model_query *query, struct pool *pool,
			      const struct feature_matrix *matrix, struct arena *arena, struct errinfo *info,
			      double **ret_values)
{
	MS_TRY(ms_output_check(served, query, info));
	struct shared_rows s = {.model = served->model, .query = query, .matrix = matrix};
	size_t width = ms_model_output_width(served->model, query->output), count, parts = part_count(&s, pool);
	s.scratch_bytes = (ms_model_scratch_size_for(served->model, query->output) + 63) & ~(size_t)63;
	if (!MS_MUL_OVERFLOWS(matrix->rows, width * sizeof(double), &count))
		s.values = ms_arena_alloc(arena, count);
	if (!MS_MUL_OVERFLOWS(s.scratch_bytes, parts, &count))
		s.scratch = ms_arena_alloc(arena, count);
	if (s.scratch == NULL && parts > 1) { // what one thread can do is not refused because several could
		parts = 1;
		s.scratch = ms_arena_alloc(arena, s.scratch_bytes);
	}
	s.rows = (matrix->rows + parts - 1) / parts;
	if (s.scratch == NULL || s.values == NULL)
		return ms_fail(info, MS_ERR_LIMIT,
			       "the output of %zu rows × %zu values does not fit into the memory of one request",
			       matrix->rows, width);
	if (parts == 1)
		predict_part(&s, 0);
	else
		ms_pool_share(pool, (matrix->rows + s.rows - 1) / s.rows, predict_part, &s);
	*ret_values = s.values;
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

// One raw score's contributions; with several of them the object says whose they are.
static void write_contributions(struct json_writer *w, const struct served_model *served, size_t output, size_t outputs,
				const double *values, size_t count)
{
	const struct model_info *info = ms_model_info(served->model);
	ms_json_begin_object(w);
	if (outputs > 1 && served->labels != NULL && outputs == info->class_count) {
		ms_json_key_lit(w, "label");
		ms_json_str(w, served->labels[output]);
	} else if (outputs > 1) {
		ms_json_key_lit(w, "output");
		ms_json_u64(w, output);
	}
	ms_json_key_lit(w, "base_value");
	write_value(w, served, MODEL_OUTPUT_CONTRIBUTIONS, values[count - 1]);
	ms_json_key_lit(w, "values");
	ms_json_begin_array(w);
	for (size_t i = 0; i + 1 < count; i++)
		write_value(w, served, MODEL_OUTPUT_CONTRIBUTIONS, values[i]);
	ms_json_end_array(w);
	ms_json_end_object(w);
}

static void write_group(struct json_writer *w, const struct served_model *served, enum model_output output,
			size_t group, size_t groups, const double *values, size_t count)
{
	if (output == MODEL_OUTPUT_CONTRIBUTIONS) {
		write_contributions(w, served, group, groups, values, count);
		return;
	}
	ms_json_begin_array(w);
	for (size_t i = 0; i < count; i++)
		write_value(w, served, output, values[i]);
	ms_json_end_array(w);
}

void ms_output_write_features(struct json_writer *w, const struct served_model *served)
{
	ms_json_begin_array(w);
	for (size_t i = 0; i < served->input_count; i++)
		ms_json_str(w, served->inputs[i].name);
	ms_json_end_array(w);
}

void ms_output_write_row(struct json_writer *w, const struct served_model *served, enum model_output output,
			 const double *row)
{
	size_t width = ms_model_output_width(served->model, output);
	size_t count = ms_model_output_group(served->model, output), groups = width / count;
	bool grouped = output == MODEL_OUTPUT_CONTRIBUTIONS || output == MODEL_OUTPUT_TREE;
	if (width == 1 && !grouped) {
		write_value(w, served, output, row[0]);
		return;
	}
	if (groups > 1)
		ms_json_begin_array(w);
	for (size_t i = 0; i < groups; i++)
		write_group(w, served, output, i, groups, row + i * count, count);
	if (groups > 1)
		ms_json_end_array(w);
}
