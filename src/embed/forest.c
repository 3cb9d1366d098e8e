// SPDX-License-Identifier: Apache-2.0
// libmainstay-forest: the public C interface over the model module. Arguments are checked here, so that no assertion
// below can meet one that the host got wrong.
#include <mainstay/forest.h>

#include <stdio.h>
#include <stdlib.h>

#include "embed/embed.h"
#include "model/model.h"

#define BLOCK_ROWS_MAX 1024
#define BLOCK_BYTES ((size_t)256 << 10) // rows of float that are widened at once

struct mainstay_forest {
	struct model *model;
};

struct mainstay_forest_scratch {
	struct model *model; // a reference: the forest may go first
	void *memory;        // of predictions
	double *block;       // block_rows rows, widened from float
	size_t block_rows;
};

_Static_assert((int)MAINSTAY_FOREST_OUTPUT_DEFAULT == MODEL_OUTPUT_DEFAULT &&
		       (int)MAINSTAY_FOREST_OUTPUT_RAW == MODEL_OUTPUT_RAW &&
		       (int)MAINSTAY_FOREST_OUTPUT_PROBABILITY == MODEL_OUTPUT_PROBABILITY &&
		       (int)MAINSTAY_FOREST_OUTPUT_LABEL == MODEL_OUTPUT_LABEL &&
		       (int)MAINSTAY_FOREST_OUTPUT_LEAF == MODEL_OUTPUT_LEAF &&
		       (int)MAINSTAY_FOREST_OUTPUT_CONTRIBUTIONS == MODEL_OUTPUT_CONTRIBUTIONS &&
		       (int)MAINSTAY_FOREST_OUTPUT_TREE == MODEL_OUTPUT_TREE && MODEL_OUTPUT_COUNT == 7,
	       "outputs have the same numbers inside and outside");

// --- Errors --------------------------------------------------------------------------------------------

const char *mainstay_forest_version(void)
{
	return MAINSTAY_VERSION;
}

const char *mainstay_forest_status_text(enum mainstay_forest_status status)
{
	static const char *const texts[] = {
		[MAINSTAY_FOREST_OK] = "ok",
		[MAINSTAY_FOREST_ERR_ARGUMENT] = "wrong argument",
		[MAINSTAY_FOREST_ERR_MEMORY] = "out of memory",
		[MAINSTAY_FOREST_ERR_FILE] = "the file cannot be read",
		[MAINSTAY_FOREST_ERR_FORMAT] = "damaged, or no model",
		[MAINSTAY_FOREST_ERR_UNSUPPORTED] = "unsupported model",
		[MAINSTAY_FOREST_ERR_TOO_LARGE] = "the model is too large",
		[MAINSTAY_FOREST_ERR_OUTPUT] = "the model has no such output",
		[MAINSTAY_FOREST_ERR_SPACE] = "no room for the predictions",
		[MAINSTAY_FOREST_ERR_CATEGORY] = "wrong category",
		[MAINSTAY_FOREST_ERR_INTERNAL] = "internal error",
	};
	return (unsigned)status < MS_ARRAY_LEN(texts) ? texts[status] : "unknown status";
}

static enum mainstay_forest_status status_of(enum ms_err err)
{
	static const enum mainstay_forest_status statuses[MS_ERR_COUNT] = {
		[MS_ERR_NO_MEMORY] = MAINSTAY_FOREST_ERR_MEMORY,
		[MS_ERR_INVALID] = MAINSTAY_FOREST_ERR_ARGUMENT,
		[MS_ERR_IO] = MAINSTAY_FOREST_ERR_FILE,
		[MS_ERR_MODEL_FORMAT] = MAINSTAY_FOREST_ERR_FORMAT,
		[MS_ERR_MODEL_UNSUPPORTED] = MAINSTAY_FOREST_ERR_UNSUPPORTED,
		[MS_ERR_MODEL_TOO_LARGE] = MAINSTAY_FOREST_ERR_TOO_LARGE,
		[MS_ERR_PREDICT_TYPE] = MAINSTAY_FOREST_ERR_CATEGORY,
	};
	if (err == MS_OK)
		return MAINSTAY_FOREST_OK;
	return statuses[err] != MAINSTAY_FOREST_OK ? statuses[err] : MAINSTAY_FOREST_ERR_INTERNAL;
}

// The end of every call with an error text.
static enum mainstay_forest_status answer(enum ms_err err, const struct errinfo *info, char *error, size_t error_size)
{
	if (error != NULL && error_size > 0)
		snprintf(error, error_size, "%s", err != MS_OK ? info->message : "");
	return status_of(err);
}

// --- Loading -------------------------------------------------------------------------------------------

static bool parse_kernel(const char *name, enum model_kernel *ret_kernel)
{
	for (int i = 0; i < MODEL_KERNEL_COUNT; i++)
		if (strcmp(name, ms_model_kernel_name((enum model_kernel)i)) == 0) {
			*ret_kernel = (enum model_kernel)i;
			return true;
		}
	return false;
}

static bool parse_isa(const char *name, enum model_isa *ret_isa)
{
	for (int i = 0; i < MODEL_ISA_COUNT; i++)
		if (strcmp(name, ms_model_isa_name((enum model_isa)i)) == 0) {
			*ret_isa = (enum model_isa)i;
			return true;
		}
	return false;
}

// The options in the size that this library knows. A newer program may have more of them, as long as it sets none.
static enum ms_err read_options(const struct mainstay_forest_options *given, struct errinfo *info,
				struct mainstay_forest_options *ret_options)
{
	*ret_options = (struct mainstay_forest_options){.struct_size = sizeof(*ret_options)};
	if (given == NULL)
		return MS_OK;
	if (given->struct_size < sizeof(given->struct_size))
		return ms_fail(info, MS_ERR_INVALID, "options: struct_size is not set");
	const char *bytes = (const char *)given;
	for (size_t i = sizeof(*ret_options); i < given->struct_size; i++)
		if (bytes[i] != 0)
			return ms_fail(info, MS_ERR_INVALID, "options: set members that this version does not know");
	memcpy(ret_options, given, MS_MIN(given->struct_size, sizeof(*ret_options)));
	return MS_OK;
}

static enum ms_err model_options_of(const struct mainstay_forest_options *given, struct errinfo *info,
				    enum model_format *ret_format, struct model_options *ret_options)
{
	struct mainstay_forest_options o;
	*ret_format = MODEL_FORMAT_AUTO;
	*ret_options = MS_MODEL_DEFAULT_OPTIONS;
	MS_TRY(read_options(given, info, &o));
	if (o.max_file_bytes > 0)
		ret_options->max_bytes = (size_t)MS_MIN(o.max_file_bytes, (uint64_t)SIZE_MAX);
	if (o.max_memory_bytes > 0)
		ret_options->max_memory = (size_t)MS_MIN(o.max_memory_bytes, (uint64_t)SIZE_MAX);
	if (o.format != NULL && !ms_model_format_parse(ms_slice_cstr(o.format), ret_format))
		return ms_fail(info, MS_ERR_INVALID, "options: there is no format \"%.64s\"", o.format);
	if (o.kernel != NULL && !parse_kernel(o.kernel, &ret_options->kernel))
		return ms_fail(info, MS_ERR_INVALID, "options: there is no kernel \"%.64s\"", o.kernel);
	if (o.instruction_set != NULL && !parse_isa(o.instruction_set, &ret_options->isa))
		return ms_fail(info, MS_ERR_INVALID, "options: there is no instruction set \"%.64s\"",
			       o.instruction_set);
	ret_options->progress = o.progress;
	ret_options->progress_context = o.progress_context;
	return MS_OK;
}

static enum ms_err load(struct slice bytes, enum model_format format, const struct model_options *options,
			struct errinfo *info, struct mainstay_forest **ret_forest)
{
	struct mainstay_forest *forest = malloc(sizeof(*forest));
	if (forest == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	enum ms_err err = ms_model_load(bytes, format, options, info, &forest->model);
	if (err != MS_OK) {
		free(forest);
		return err;
	}
	*ret_forest = forest;
	return MS_OK;
}

static enum ms_err load_bytes(const void *bytes, size_t size, const struct mainstay_forest_options *given,
			      struct errinfo *info, struct mainstay_forest **ret_forest)
{
	enum model_format format;
	struct model_options options;
	if ((bytes == NULL && size > 0) || ret_forest == NULL)
		return ms_fail(info, MS_ERR_INVALID, "an argument is NULL");
	MS_TRY(model_options_of(given, info, &format, &options));
	return load(ms_slice(bytes, size), format, &options, info, ret_forest);
}

static enum ms_err load_file(const char *path, const struct mainstay_forest_options *given, struct errinfo *info,
			     struct mainstay_forest **ret_forest)
{
	enum model_format format;
	struct model_options options;
	struct slice bytes;
	if (path == NULL || ret_forest == NULL)
		return ms_fail(info, MS_ERR_INVALID, "an argument is NULL");
	MS_TRY(model_options_of(given, info, &format, &options));
	MS_TRY(ms_embed_read_file(path, options.max_bytes, info, &bytes));
	enum ms_err err = load(bytes, format, &options, info, ret_forest);
	free((void *)(uintptr_t)bytes.p);
	return err;
}

enum mainstay_forest_status mainstay_forest_load(const void *bytes, size_t size,
						 const struct mainstay_forest_options *options, char *error,
						 size_t error_size, struct mainstay_forest **ret_forest)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	return answer(load_bytes(bytes, size, options, &info, ret_forest), &info, error, error_size);
}

enum mainstay_forest_status mainstay_forest_load_file(const char *path, const struct mainstay_forest_options *options,
						      char *error, size_t error_size,
						      struct mainstay_forest **ret_forest)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	return answer(load_file(path, options, &info, ret_forest), &info, error, error_size);
}

void mainstay_forest_free(struct mainstay_forest *forest)
{
	if (forest == NULL)
		return;
	ms_model_unref(forest->model);
	free(forest);
}

// --- What the model is ---------------------------------------------------------------------------------

static struct mainstay_forest_text text_of(struct slice s)
{
	return (struct mainstay_forest_text){s.p != NULL ? s.p : "", s.n};
}

// A structure in the caller's size: what it has less is cut, what it has more is zero. The size stays the caller's.
static void give_struct(void *dst, size_t dst_size, const void *src, size_t src_size)
{
	memcpy(dst, src, MS_MIN(dst_size, src_size));
	if (dst_size > src_size)
		memset((char *)dst + src_size, 0, dst_size - src_size);
}

enum mainstay_forest_status mainstay_forest_get_info(const struct mainstay_forest *forest,
						     struct mainstay_forest_info *ret_info)
{
	if (forest == NULL || ret_info == NULL || ret_info->struct_size < sizeof(ret_info->struct_size))
		return MAINSTAY_FOREST_ERR_ARGUMENT;
	const struct model_info *mi = ms_model_info(forest->model);
	const struct mainstay_forest_info info = {
		.struct_size = ret_info->struct_size,
		.format = ms_model_format_name(mi->format),
		.task = ms_model_task_name(mi->task),
		.kernel_single = mi->kernel_single,
		.kernel_batch = mi->kernel_batch,
		.kernel_reason = mi->kernel_reason,
		.objective = text_of(mi->objective),
		.library_version = text_of(mi->library_version),
		.feature_count = mi->feature_count,
		.class_count = mi->class_count,
		.raw_count = mi->raw_count,
		.tree_count = mi->tree_count,
		.node_count = mi->node_count,
		.memory_bytes = mi->memory_bytes,
		.named_features = mi->named_features,
		.has_labels = mi->labels != NULL,
		.single_precision = mi->single_precision,
		.estimated_row_ns = mi->estimated_row_ns,
	};
	give_struct(ret_info, ret_info->struct_size, &info, sizeof(info));
	return MAINSTAY_FOREST_OK;
}

// NULL when there is no such feature.
static const struct model_feature *feature_at(const struct mainstay_forest *forest, size_t feature)
{
	const struct model_info *mi = forest != NULL ? ms_model_info(forest->model) : NULL;
	return mi != NULL && feature < mi->feature_count ? &mi->features[feature] : NULL;
}

enum mainstay_forest_status mainstay_forest_get_feature(const struct mainstay_forest *forest, size_t feature,
							struct mainstay_forest_feature *ret_feature)
{
	const struct model_feature *f = feature_at(forest, feature);
	if (f == NULL || ret_feature == NULL || ret_feature->struct_size < sizeof(ret_feature->struct_size))
		return MAINSTAY_FOREST_ERR_ARGUMENT;
	const struct mainstay_forest_feature given = {
		.struct_size = ret_feature->struct_size,
		.name = text_of(f->name),
		.category_count = f->categories != NULL ? f->category_count : 0,
		.categorical = f->categorical,
		.takes_strings = f->has_strings || f->any_string,
		.any_string = f->any_string,
	};
	give_struct(ret_feature, ret_feature->struct_size, &given, sizeof(given));
	return MAINSTAY_FOREST_OK;
}

enum mainstay_forest_status mainstay_forest_find_feature(const struct mainstay_forest *forest, const char *name,
							 size_t length, size_t *ret_feature)
{
	if (forest == NULL || (name == NULL && length > 0) || ret_feature == NULL)
		return MAINSTAY_FOREST_ERR_ARGUMENT;
	size_t feature = ms_model_feature_index(forest->model, ms_slice(name, length));
	if (feature == SIZE_MAX)
		return MAINSTAY_FOREST_ERR_ARGUMENT;
	*ret_feature = feature;
	return MAINSTAY_FOREST_OK;
}

enum mainstay_forest_status mainstay_forest_get_category(const struct mainstay_forest *forest, size_t feature,
							 size_t category, struct mainstay_forest_text *ret_text)
{
	const struct model_feature *f = feature_at(forest, feature);
	if (f == NULL || f->categories == NULL || category >= f->category_count || ret_text == NULL)
		return MAINSTAY_FOREST_ERR_ARGUMENT;
	*ret_text = text_of(f->categories[category]);
	return MAINSTAY_FOREST_OK;
}

enum mainstay_forest_status mainstay_forest_get_label(const struct mainstay_forest *forest, size_t class_index,
						      struct mainstay_forest_text *ret_text)
{
	const struct model_info *mi = forest != NULL ? ms_model_info(forest->model) : NULL;
	if (mi == NULL || mi->labels == NULL || class_index >= mi->class_count || ret_text == NULL)
		return MAINSTAY_FOREST_ERR_ARGUMENT;
	*ret_text = text_of(mi->labels[class_index]);
	return MAINSTAY_FOREST_OK;
}

enum mainstay_forest_status mainstay_forest_find_output(const char *name, enum mainstay_forest_output *ret_output)
{
	enum model_output output;
	if (name == NULL || ret_output == NULL || !ms_model_output_parse(ms_slice_cstr(name), &output))
		return MAINSTAY_FOREST_ERR_ARGUMENT;
	*ret_output = (enum mainstay_forest_output)output;
	return MAINSTAY_FOREST_OK;
}

size_t mainstay_forest_output_width(const struct mainstay_forest *forest, enum mainstay_forest_output output)
{
	if (forest == NULL || (unsigned)output >= MODEL_OUTPUT_COUNT)
		return 0;
	return ms_model_output_width(forest->model, (enum model_output)output);
}

// --- Rows ----------------------------------------------------------------------------------------------

static enum ms_err encode_string(const struct mainstay_forest *forest, size_t feature, const char *text, size_t length,
				 struct errinfo *info, double *ret_value)
{
	if ((text == NULL && length > 0) || ret_value == NULL || feature_at(forest, feature) == NULL)
		return ms_fail(info, MS_ERR_INVALID, "an argument is NULL, or there is no such feature");
	return ms_model_encode_string(forest->model, feature, ms_slice(text, length), info, ret_value);
}

static enum ms_err encode_number(const struct mainstay_forest *forest, size_t feature, double number,
				 struct errinfo *info, double *ret_value)
{
	if (ret_value == NULL || feature_at(forest, feature) == NULL)
		return ms_fail(info, MS_ERR_INVALID, "an argument is NULL, or there is no such feature");
	return ms_model_encode_number(forest->model, feature, number, info, ret_value);
}

enum mainstay_forest_status mainstay_forest_encode_string(const struct mainstay_forest *forest, size_t feature,
							  const char *text, size_t length, char *error,
							  size_t error_size, double *ret_value)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	return answer(encode_string(forest, feature, text, length, &info, ret_value), &info, error, error_size);
}

enum mainstay_forest_status mainstay_forest_encode_number(const struct mainstay_forest *forest, size_t feature,
							  double number, char *error, size_t error_size,
							  double *ret_value)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	return answer(encode_number(forest, feature, number, &info, ret_value), &info, error, error_size);
}

// --- Prediction ----------------------------------------------------------------------------------------

enum mainstay_forest_status mainstay_forest_scratch_new(const struct mainstay_forest *forest,
							struct mainstay_forest_scratch **ret_scratch)
{
	if (forest == NULL || ret_scratch == NULL)
		return MAINSTAY_FOREST_ERR_ARGUMENT;
	size_t row = ms_model_info(forest->model)->feature_count * sizeof(double); // in bounds: it was loaded
	size_t rows = MS_MAX(MS_MIN(BLOCK_BYTES / MS_MAX(row, 1), BLOCK_ROWS_MAX), 1);
	struct mainstay_forest_scratch *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MAINSTAY_FOREST_ERR_MEMORY;
	s->model = ms_model_ref(forest->model);
	s->block_rows = rows;
	s->memory = malloc(ms_model_scratch_size(forest->model) + 1);
	s->block = malloc(rows * row + 1);
	if (s->memory == NULL || s->block == NULL) {
		mainstay_forest_scratch_free(s);
		return MAINSTAY_FOREST_ERR_MEMORY;
	}
	*ret_scratch = s;
	return MAINSTAY_FOREST_OK;
}

void mainstay_forest_scratch_free(struct mainstay_forest_scratch *scratch)
{
	if (scratch == NULL)
		return;
	ms_model_unref(scratch->model);
	free(scratch->memory);
	free(scratch->block);
	free(scratch);
}

// What both predictions ask of their arguments.
static enum mainstay_forest_status check_predict(const struct mainstay_forest *forest,
						 const struct mainstay_forest_scratch *scratch,
						 enum mainstay_forest_output output, const void *rows, size_t row_count,
						 const double *values, size_t capacity)
{
	size_t unused, needed;
	if (forest == NULL || scratch == NULL || scratch->model != forest->model)
		return MAINSTAY_FOREST_ERR_ARGUMENT;
	if ((unsigned)output >= MODEL_OUTPUT_COUNT || (row_count > 0 && (rows == NULL || values == NULL)))
		return MAINSTAY_FOREST_ERR_ARGUMENT;
	size_t width = ms_model_output_width(forest->model, (enum model_output)output);
	size_t columns = ms_model_info(forest->model)->feature_count;
	if (width == 0)
		return MAINSTAY_FOREST_ERR_OUTPUT;
	if (MS_MUL_OVERFLOWS(row_count, columns, &unused) || MS_MUL_OVERFLOWS(unused, sizeof(double), &unused))
		return MAINSTAY_FOREST_ERR_ARGUMENT;
	if (MS_MUL_OVERFLOWS(row_count, width, &needed) || needed > capacity)
		return MAINSTAY_FOREST_ERR_SPACE;
	return MAINSTAY_FOREST_OK;
}

enum mainstay_forest_status mainstay_forest_predict_f64(const struct mainstay_forest *forest,
							struct mainstay_forest_scratch *scratch,
							enum mainstay_forest_output output, const double *rows,
							size_t row_count, double *ret_values, size_t capacity)
{
	enum mainstay_forest_status status =
		check_predict(forest, scratch, output, rows, row_count, ret_values, capacity);
	if (status == MAINSTAY_FOREST_OK && row_count > 0)
		ms_model_predict(forest->model, &MS_MODEL_QUERY((enum model_output)output), rows, row_count,
				 scratch->memory, ret_values);
	return status;
}

enum mainstay_forest_status mainstay_forest_predict_f32(const struct mainstay_forest *forest,
							struct mainstay_forest_scratch *scratch,
							enum mainstay_forest_output output, const float *rows,
							size_t row_count, double *ret_values, size_t capacity)
{
	enum mainstay_forest_status status =
		check_predict(forest, scratch, output, rows, row_count, ret_values, capacity);
	if (status != MAINSTAY_FOREST_OK)
		return status;
	size_t columns = ms_model_info(forest->model)->feature_count;
	size_t width = ms_model_output_width(forest->model, (enum model_output)output);
	for (size_t done = 0; done < row_count; done += scratch->block_rows) {
		size_t n = MS_MIN(row_count - done, scratch->block_rows);
		for (size_t i = 0; i < n * columns; i++)
			scratch->block[i] = (double)rows[done * columns + i];
		ms_model_predict(forest->model, &MS_MODEL_QUERY((enum model_output)output), scratch->block, n,
				 scratch->memory, ret_values + done * width);
	}
	return MAINSTAY_FOREST_OK;
}
