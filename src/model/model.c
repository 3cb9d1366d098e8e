// SPDX-License-Identifier: Apache-2.0
#include "model/model.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/detect.h"
#include "model/kernels.h"
#include "model/linear.h"
#include "model/loader.h"
#include "model/pipeline.h"
#include "model/shap.h"

#define FIRST_CHUNK ((size_t)64 << 10)
#define CHUNK_ROWS_MAX 64
#define CHUNK_VALUES 4096 // raw scores that an output with a narrower or wider form is made from at once

const struct model_options MS_MODEL_DEFAULT_OPTIONS = {
	.max_bytes = (size_t)2 << 30,
	.max_memory = (size_t)8 << 30,
	.max_trees = 1000000,
	.max_features = 1000000,
	.max_classes = 10000,
};

struct model {
	atomic_uint refs;
	struct arena memory;
	struct model_info info;
	struct model_description desc;
	struct map names;       // feature name → index + 1
	struct map *categories; // per feature: category → place + 1; NULL when no feature lists any
};

static const char *const FORMAT_NAMES[MODEL_FORMAT_COUNT] = {
	[MODEL_FORMAT_AUTO] = "auto",
	[MODEL_FORMAT_LIGHTGBM_TEXT] = "lightgbm-text",
	[MODEL_FORMAT_XGBOOST_JSON] = "xgboost-json",
	[MODEL_FORMAT_XGBOOST_UBJSON] = "xgboost-ubjson",
	[MODEL_FORMAT_CATBOOST_JSON] = "catboost-json",
	[MODEL_FORMAT_LINEAR_JSON] = "linear-json",
	[MODEL_FORMAT_ONNX] = "onnx",
};

static const char *const KERNEL_NAMES[MODEL_KERNEL_COUNT] = {
	[MODEL_KERNEL_AUTO] = "auto",   [MODEL_KERNEL_WALK] = "walk", [MODEL_KERNEL_QUANTISED] = "quantised",
	[MODEL_KERNEL_TILES] = "tiles", [MODEL_KERNEL_BITS] = "bits", [MODEL_KERNEL_OBLIVIOUS] = "oblivious",
};

static const char *const ISA_NAMES[MODEL_ISA_COUNT] = {
	[MODEL_ISA_AUTO] = "auto", [MODEL_ISA_PLAIN] = "plain",   [MODEL_ISA_NEON] = "neon",
	[MODEL_ISA_AVX2] = "avx2", [MODEL_ISA_AVX512] = "avx512",
};

static model_load_fn *const LOADERS[MODEL_FORMAT_COUNT] = {
	[MODEL_FORMAT_LIGHTGBM_TEXT] = ms_lightgbm_load,        [MODEL_FORMAT_XGBOOST_JSON] = ms_xgboost_json_load,
	[MODEL_FORMAT_XGBOOST_UBJSON] = ms_xgboost_ubjson_load, [MODEL_FORMAT_CATBOOST_JSON] = ms_catboost_json_load,
	[MODEL_FORMAT_LINEAR_JSON] = ms_linear_json_load,       [MODEL_FORMAT_ONNX] = ms_onnx_load,
};

static const char *const OUTPUT_NAMES[MODEL_OUTPUT_COUNT] = {
	[MODEL_OUTPUT_DEFAULT] = "default",
	[MODEL_OUTPUT_RAW] = "raw",
	[MODEL_OUTPUT_PROBABILITY] = "probability",
	[MODEL_OUTPUT_LABEL] = "label",
	[MODEL_OUTPUT_LEAF] = "leaf",
	[MODEL_OUTPUT_CONTRIBUTIONS] = "contributions",
	[MODEL_OUTPUT_TREE] = "tree",
};

const char *ms_model_format_name(enum model_format format)
{
	MS_ASSERT((unsigned)format < MODEL_FORMAT_COUNT);
	return FORMAT_NAMES[format];
}

const char *ms_model_kernel_name(enum model_kernel kernel)
{
	MS_ASSERT((unsigned)kernel < MODEL_KERNEL_COUNT);
	return KERNEL_NAMES[kernel];
}

const char *ms_model_isa_name(enum model_isa isa)
{
	MS_ASSERT((unsigned)isa < MODEL_ISA_COUNT);
	return ISA_NAMES[isa];
}

bool ms_model_format_parse(struct slice name, enum model_format *ret_format)
{
	for (int i = 0; i < MODEL_FORMAT_COUNT; i++)
		if (ms_slice_eq_cstr(name, FORMAT_NAMES[i])) {
			*ret_format = (enum model_format)i;
			return true;
		}
	return false;
}

const char *ms_model_task_name(enum model_task task)
{
	static const char *const names[] = {[MODEL_REGRESSION] = "regression",
					    [MODEL_BINARY] = "binary",
					    [MODEL_MULTICLASS] = "multiclass",
					    [MODEL_RANKING] = "ranking"};
	MS_ASSERT((unsigned)task < MS_ARRAY_LEN(names));
	return names[task];
}

const char *ms_model_output_name(enum model_output output)
{
	MS_ASSERT((unsigned)output < MODEL_OUTPUT_COUNT);
	return OUTPUT_NAMES[output];
}

bool ms_model_output_parse(struct slice name, enum model_output *ret_output)
{
	for (int i = 0; i < MODEL_OUTPUT_COUNT; i++)
		if (ms_slice_eq_cstr(name, OUTPUT_NAMES[i])) {
			*ret_output = (enum model_output)i;
			return true;
		}
	return false;
}

// --- Loading -------------------------------------------------------------------------------------------

// The key of a numeric category: its bits, with one zero and one NaN.
static double category_key(double number)
{
	return isnan(number) ? NAN : number + 0.0; // -0 + 0 is 0
}

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while loading a model");
}

static enum ms_err index_names(struct model *m, struct hash_seed seed, struct errinfo *info)
{
	const struct model_description *d = &m->desc;
	ms_map_init(&m->names, MS_MAX(d->feature_count, 1), seed);
	for (size_t i = 0; i < d->feature_count; i++) {
		void *old = NULL;
		struct slice name = d->features[i].name;
		MS_ASSERT(name.n > 0);
		if (!ms_map_put(&m->names, name, (void *)(uintptr_t)(i + 1), &old))
			return no_memory(info);
		if (old != NULL)
			return ms_fail(info, MS_ERR_MODEL_FORMAT, "features %zu and %zu have the same name \"%.*s\"",
				       (size_t)(uintptr_t)old - 1, i, MS_SLICE_ARG(name));
	}
	return MS_OK;
}

static enum ms_err index_feature_categories(struct model *m, size_t feature, struct hash_seed seed,
					    struct errinfo *info)
{
	const struct category_encoding *e = &m->desc.encodings[feature];
	const struct model_feature *f = &m->desc.features[feature];
	if (e->kind != CATEGORY_STRINGS && e->kind != CATEGORY_NUMBERS)
		return MS_OK;
	struct map *map = &m->categories[feature];
	ms_map_init(map, MS_MAX(f->category_count, 1), seed);
	double *keys = NULL;
	if (e->kind == CATEGORY_NUMBERS) {
		keys = MS_ARENA_ARRAY(&m->memory, double, f->category_count);
		if (keys == NULL)
			return no_memory(info);
	}
	for (size_t i = 0; i < f->category_count; i++) {
		struct slice key = e->kind == CATEGORY_STRINGS ? f->categories[i] : ms_slice(&keys[i], sizeof(double));
		if (keys != NULL)
			keys[i] = category_key(e->numbers[i]);
		void *old = NULL;
		if (!ms_map_put(map, key, (void *)(uintptr_t)(i + 1), &old))
			return no_memory(info);
		if (old != NULL)
			return ms_fail(info, MS_ERR_MODEL_FORMAT, "feature \"%.*s\" lists a category twice",
				       MS_SLICE_ARG(f->name));
	}
	return MS_OK;
}

static enum ms_err index_categories(struct model *m, struct hash_seed seed, struct errinfo *info)
{
	if (m->desc.encodings == NULL)
		return MS_OK;
	m->categories = MS_ARENA_ARRAY(&m->memory, struct map, m->desc.feature_count);
	if (m->categories == NULL)
		return no_memory(info);
	for (size_t i = 0; i < m->desc.feature_count; i++)
		MS_TRY(index_feature_categories(m, i, seed, info));
	return MS_OK;
}

static size_t maps_bytes(const struct model *m)
{
	size_t n = m->names.capacity * sizeof(struct map_slot);
	for (size_t i = 0; m->categories != NULL && i < m->desc.feature_count; i++)
		n += m->categories[i].capacity * sizeof(struct map_slot);
	return n;
}

static size_t iteration_count(const struct model_description *d)
{
	if (d->forest == NULL || d->trees_per_iteration == 0 || d->forest->tree_count % d->trees_per_iteration != 0)
		return 0;
	return d->forest->tree_count / d->trees_per_iteration;
}

static void fill_info(struct model *m, enum model_format format)
{
	const struct model_description *d = &m->desc;
	double linear_ns = 50 + (double)d->feature_count * (double)d->raw_count;
	m->info = (struct model_info){
		.format = format,
		.task = d->task,
		.objective = d->objective,
		.library_version = d->library_version,
		.features = d->features,
		.feature_count = d->feature_count,
		.named_features = d->named_features,
		.class_count = d->class_count,
		.labels = d->labels,
		.raw_count = d->raw_count,
		.tree_count = d->forest != NULL ? d->forest->tree_count : 0,
		.node_count = d->forest != NULL ? d->forest->node_count : 0,
		.memory_bytes = sizeof(*m) + m->memory.used + maps_bytes(m),
		.iteration_count = iteration_count(d),
		.has_best_iteration = d->has_best_iteration,
		.best_iteration = d->best_iteration,
		.single_precision = d->single_precision,
		.input_single_precision = d->input_single_precision,
		.estimated_row_ns = d->forest != NULL ? ms_forest_row_ns(d->forest) : (uint32_t)fmin(linear_ns, 4e9),
	};
	if (d->pipeline != NULL) {
		m->info.tree_count = d->pipeline->tree_count;
		m->info.node_count = d->pipeline->node_count;
		m->info.estimated_row_ns = ms_pipeline_row_ns(d->pipeline);
	}
}

// The one forest of the model, also inside a pipeline; NULL when there is none, or several.
static const struct forest *only_forest(const struct model_description *d)
{
	if (d->pipeline != NULL)
		return d->pipeline->forest_count == 1 ? d->pipeline->forests[0].forest : NULL;
	return d->forest;
}

static const char *kernel_text(struct model *m, enum model_kernel kernel)
{
	const struct forest_kernels *k = only_forest(&m->desc)->plan->kernels;
	bool vectors = kernel != MODEL_KERNEL_WALK && kernel != MODEL_KERNEL_QUANTISED;
	return ms_arena_printf(&m->memory, "%s (%s)", ms_model_kernel_name(kernel),
			       ms_model_isa_name(vectors ? k->isa : MODEL_ISA_PLAIN));
}

static enum ms_err fill_kernels(struct model *m, struct errinfo *info)
{
	struct model_info *i = &m->info;
	i->kernel_single = i->kernel_batch = "linear";
	i->kernel_reason = "a linear model";
	if (m->desc.pipeline != NULL) {
		i->kernel_single = i->kernel_batch = "pipeline";
		i->kernel_reason = "operators without a forest, or with several";
	}
	const struct forest *forest = only_forest(&m->desc);
	if (forest == NULL)
		return MS_OK;
	const struct forest_plan *p = forest->plan;
	i->kernel_single = kernel_text(m, p->single);
	i->kernel_batch = kernel_text(m, p->batch);
	i->kernel_reason = p->reason;
	return i->kernel_single != NULL && i->kernel_batch != NULL ? MS_OK : no_memory(info);
}

static enum ms_err check_description(const struct model_description *d, const struct model_options *options,
				     struct errinfo *info)
{
	MS_ASSERT((d->forest != NULL) + (d->linear != NULL) + (d->pipeline != NULL) == 1 && d->raw_count > 0);
	MS_ASSERT(d->pipeline == NULL || d->pipeline->feature_count == d->feature_count);
	MS_ASSERT(d->forest == NULL || (d->forest->params.feature_count == d->feature_count &&
					d->forest->params.group_count == d->raw_count));
	MS_ASSERT(d->linear == NULL ||
		  (d->linear->feature_count == d->feature_count && d->linear->output_count == d->raw_count));
	MS_ASSERT(!d->has_probability || d->pipeline != NULL || d->class_count == MS_MAX(d->raw_count, 2));
	MS_ASSERT(d->label_rule != LABEL_PROBABILITY || d->has_probability);
	if (d->feature_count > options->max_features)
		return ms_fail(info, MS_ERR_MODEL_TOO_LARGE, "the model has %zu features, at most %zu are allowed",
			       d->feature_count, options->max_features);
	if (d->class_count > options->max_classes)
		return ms_fail(info, MS_ERR_MODEL_TOO_LARGE, "the model has %zu classes, at most %zu are allowed",
			       d->class_count, options->max_classes);
	return MS_OK;
}

static enum ms_err load_into(struct model *m, struct slice bytes, enum model_format format,
			     const struct model_options *options, struct arena *scratch, struct errinfo *info)
{
	if (format == MODEL_FORMAT_AUTO)
		MS_TRY(ms_model_detect(bytes, info, &format));
	struct loader_context ctx = {bytes, options, &m->memory, scratch, info};
	MS_TRY(LOADERS[format](&ctx, &m->desc));
	MS_TRY(check_description(&m->desc, options, info));
	// Unknown to whoever writes the file: where this process put the model.
	struct hash_seed seed = {(uintptr_t)m, (uintptr_t)bytes.p};
	MS_TRY(index_names(m, seed, info));
	MS_TRY(index_categories(m, seed, info));
	fill_info(m, format);
	return fill_kernels(m, info);
}

enum ms_err ms_model_load(struct slice bytes, enum model_format format, const struct model_options *options,
			  struct errinfo *info, struct model **ret_model)
{
	MS_ASSERT((unsigned)format < MODEL_FORMAT_COUNT);
	struct errinfo unread;
	if (info == NULL) {
		ms_errinfo_init(&unread);
		info = &unread;
	}
	if (options == NULL)
		options = &MS_MODEL_DEFAULT_OPTIONS;
	if (bytes.n > options->max_bytes)
		return ms_fail(info, MS_ERR_MODEL_TOO_LARGE, "the model file has %zu bytes, at most %zu are allowed",
			       bytes.n, options->max_bytes);
	struct model *m = calloc(1, sizeof(*m));
	if (m == NULL)
		return no_memory(info);
	struct arena scratch;
	size_t first = MS_MAX(MS_MIN(FIRST_CHUNK, options->max_memory), 1);
	ms_arena_init(&m->memory, MS_MIN(first, 4096), MS_MAX(options->max_memory, first));
	ms_arena_init(&scratch, first, MS_MAX(options->max_memory, first));
	atomic_init(&m->refs, 1);
	enum ms_err err = load_into(m, bytes, format, options, &scratch, info);
	ms_arena_fini(&scratch);
	if (err != MS_OK) {
		ms_model_unref(m);
		return err;
	}
	*ret_model = m;
	return MS_OK;
}

struct model *ms_model_ref(struct model *model)
{
	atomic_fetch_add_explicit(&model->refs, 1, memory_order_relaxed);
	return model;
}

void ms_model_unref(struct model *model)
{
	if (model == NULL || atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) > 1)
		return;
	ms_map_fini(&model->names);
	for (size_t i = 0; model->categories != NULL && i < model->desc.feature_count; i++)
		ms_map_fini(&model->categories[i]);
	ms_arena_fini(&model->memory);
	free(model);
}

const struct model_info *ms_model_info(const struct model *model)
{
	return &model->info;
}

size_t ms_model_feature_index(const struct model *model, struct slice name)
{
	void *found = ms_map_get(&model->names, name);
	return found != NULL ? (size_t)(uintptr_t)found - 1 : SIZE_MAX;
}

const struct model_description *ms_model_description(const struct model *model)
{
	return &model->desc;
}

// --- Categories ----------------------------------------------------------------------------------------

static enum ms_err unseen(const struct model *m, size_t feature, const char *shown, struct errinfo *info,
			  double *ret_value)
{
	if (!m->desc.encodings[feature].unseen_refused) {
		*ret_value = NAN;
		return MS_OK;
	}
	return ms_fail(info, MS_ERR_PREDICT_TYPE, "feature \"%.*s\" has no category %s",
		       MS_SLICE_ARG(m->desc.features[feature].name), shown);
}

static double category_code(const struct model *m, size_t feature, const void *found)
{
	size_t place = (size_t)(uintptr_t)found - 1;
	const double *codes = m->desc.encodings[feature].codes;
	return codes != NULL ? codes[place] : (double)place;
}

enum ms_err ms_model_encode_string(const struct model *model, size_t feature, struct slice text, struct errinfo *info,
				   double *ret_value)
{
	const struct model_description *d = &model->desc;
	MS_ASSERT(feature < d->feature_count);
	const struct model_feature *f = &d->features[feature];
	if (!f->categorical)
		return ms_fail(info, MS_ERR_PREDICT_TYPE, "feature \"%.*s\" takes numbers, not strings",
			       MS_SLICE_ARG(f->name));
	switch (d->encodings != NULL ? d->encodings[feature].kind : CATEGORY_CODES) {
	case CATEGORY_CODES:
		return ms_fail(info, MS_ERR_PREDICT_TYPE,
			       "feature \"%.*s\" takes the integer codes of its categories, not strings",
			       MS_SLICE_ARG(f->name));
	case CATEGORY_NUMBERS:
		return ms_fail(info, MS_ERR_PREDICT_TYPE, "the categories of feature \"%.*s\" are numbers, not strings",
			       MS_SLICE_ARG(f->name));
	case CATEGORY_FUNCTION:
		*ret_value = d->encode(d->encode_context, feature, text);
		return MS_OK;
	case CATEGORY_STRINGS:
		break;
	}
	const void *found = ms_map_get(&model->categories[feature], text);
	if (found == NULL) {
		char shown[96];
		snprintf(shown, sizeof(shown), "\"%.*s\"", (int)MS_MIN(text.n, 80), text.n > 0 ? text.p : "");
		return unseen(model, feature, shown, info, ret_value);
	}
	*ret_value = category_code(model, feature, found);
	return MS_OK;
}

enum ms_err ms_model_encode_number(const struct model *model, size_t feature, double number, struct errinfo *info,
				   double *ret_value)
{
	const struct model_description *d = &model->desc;
	MS_ASSERT(feature < d->feature_count);
	const struct model_feature *f = &d->features[feature];
	enum category_kind kind = f->categorical && d->encodings != NULL ? d->encodings[feature].kind : CATEGORY_CODES;
	if (kind == CATEGORY_FUNCTION) {
		if (!(fabs(number) < 0x1p63) || number != trunc(number))
			return ms_fail(info, MS_ERR_PREDICT_TYPE,
				       "feature \"%.*s\" is categorical: it takes strings and whole numbers, not %.17g",
				       MS_SLICE_ARG(f->name), number);
		char text[32];
		int n = snprintf(text, sizeof(text), "%lld", (long long)number);
		*ret_value = d->encode(d->encode_context, feature, ms_slice(text, (size_t)n));
		return MS_OK;
	}
	if (kind != CATEGORY_NUMBERS) {
		*ret_value = number;
		return MS_OK;
	}
	double key = category_key(number);
	const void *found = ms_map_get(&model->categories[feature], ms_slice(&key, sizeof(key)));
	if (found == NULL && isnan(number)) { // missing, where NaN is no category itself
		*ret_value = number;
		return MS_OK;
	}
	if (found == NULL) {
		char shown[40];
		snprintf(shown, sizeof(shown), "%.17g", number);
		return unseen(model, feature, shown, info, ret_value);
	}
	*ret_value = category_code(model, feature, found);
	return MS_OK;
}

// --- Prediction ----------------------------------------------------------------------------------------

size_t ms_model_output_width(const struct model *model, enum model_output output)
{
	const struct model_description *d = &model->desc;
	switch (output) {
	case MODEL_OUTPUT_DEFAULT:
		return d->pipeline != NULL ? d->pipeline->scores.count
					   : ms_transform_width(&d->transform, d->raw_count);
	case MODEL_OUTPUT_RAW:
		return d->raw_count;
	case MODEL_OUTPUT_PROBABILITY:
		return d->has_probability ? d->class_count : 0;
	case MODEL_OUTPUT_LABEL:
		return d->label_rule != LABEL_NONE ? 1 : 0;
	case MODEL_OUTPUT_LEAF:
		return only_forest(d) != NULL ? only_forest(d)->tree_count : 0;
	case MODEL_OUTPUT_CONTRIBUTIONS:
		if (d->pipeline != NULL)
			return 0;
		return d->forest == NULL || d->forest->shap != NULL ? d->raw_count * (d->feature_count + 1) : 0;
	case MODEL_OUTPUT_TREE:
		if (d->forest == NULL)
			return 0;
		return d->forest->tree_count * (d->forest->params.vector_leaves ? d->raw_count : 1);
	case MODEL_OUTPUT_COUNT:
		break;
	}
	MS_UNREACHABLE();
}

// Rows whose raw scores are held in scratch at once.
static size_t chunk_rows(const struct model *m)
{
	return MS_MAX(MS_MIN(CHUNK_VALUES / m->desc.raw_count, CHUNK_ROWS_MAX), 1);
}

static size_t chunk_bytes(const struct model *m)
{
	return (chunk_rows(m) * m->desc.raw_count * sizeof(double) + 15) & ~(size_t)15;
}

size_t ms_model_output_group(const struct model *model, enum model_output output)
{
	const struct model_description *d = &model->desc;
	size_t width = ms_model_output_width(model, output);
	if (output == MODEL_OUTPUT_CONTRIBUTIONS && width > 0)
		return d->feature_count + 1;
	if (output == MODEL_OUTPUT_TREE && d->forest != NULL && d->forest->params.vector_leaves)
		return d->raw_count;
	return width;
}

const char *ms_model_output_absence(const struct model *model, enum model_output output)
{
	if (ms_model_output_width(model, output) > 0)
		return NULL;
	if (model->desc.pipeline != NULL && output >= MODEL_OUTPUT_LEAF)
		return output == MODEL_OUTPUT_LEAF
			       ? "it has no trees, or several ensembles of trees"
			       : "it is an ONNX graph, of which only scores, labels and leaves are told";
	if (output == MODEL_OUTPUT_CONTRIBUTIONS)
		return model->desc.forest->no_shap;
	if (output == MODEL_OUTPUT_PROBABILITY || output == MODEL_OUTPUT_LABEL)
		return "it is no classifier whose classes exclude each other";
	return "it has no trees";
}

size_t ms_model_scratch_size_for(const struct model *model, enum model_output output)
{
	const struct forest *f = model->desc.forest;
	if (model->desc.pipeline != NULL)
		return ms_pipeline_scratch_size(model->desc.pipeline);
	if (output == MODEL_OUTPUT_CONTRIBUTIONS)
		return f != NULL && f->shap != NULL ? ms_shap_scratch_size(f) : 0;
	return chunk_bytes(model) + (f != NULL ? ms_forest_scratch_size(f) : 0);
}

size_t ms_model_scratch_size(const struct model *model)
{
	return MS_MAX(ms_model_scratch_size_for(model, MODEL_OUTPUT_DEFAULT),
		      ms_model_scratch_size_for(model, MODEL_OUTPUT_CONTRIBUTIONS));
}

uint64_t ms_model_row_ns(const struct model *model, enum model_output output)
{
	const struct forest *f = model->desc.forest;
	if (output == MODEL_OUTPUT_CONTRIBUTIONS && f != NULL && f->shap != NULL)
		return ms_shap_row_ns(f);
	return model->info.estimated_row_ns;
}

static enum ms_err fail_no_iterations(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_MODEL_OUTPUT, "the model has no iterations of boosting to choose from");
}

static enum ms_err find_best(const struct model *m, struct errinfo *info, uint64_t *ret_iterations)
{
	const struct model_info *i = &m->info;
	if (i->iteration_count == 0)
		return fail_no_iterations(info);
	if (!i->has_best_iteration)
		return ms_fail(info, MS_ERR_MODEL_OUTPUT,
			       "the model's file names no best iteration; give a number from 1 to %zu, or leave "
			       "iterations out for all",
			       i->iteration_count);
	if (i->best_iteration >= i->iteration_count)
		return ms_fail(info, MS_ERR_MODEL_OUTPUT,
			       "the model's file names iteration %llu as the best, counted from 0, but has only %zu",
			       (unsigned long long)i->best_iteration, i->iteration_count);
	*ret_iterations = i->best_iteration + 1;
	return MS_OK;
}

static enum ms_err check_iterations(const struct model *m, const struct model_query *query, struct errinfo *info)
{
	if (m->info.iteration_count == 0)
		return fail_no_iterations(info);
	if (query->output > MODEL_OUTPUT_LABEL)
		return ms_fail(info, MS_ERR_MODEL_OUTPUT, "the output '%s' is of all iterations; leave iterations out",
			       ms_model_output_name(query->output));
	if (query->iterations > m->info.iteration_count)
		return ms_fail(info, MS_ERR_MODEL_OUTPUT, "the model has %zu iterations, not %llu",
			       m->info.iteration_count, (unsigned long long)query->iterations);
	return MS_OK;
}

static enum ms_err check_early_stop(const struct model *m, const struct model_query *query, struct errinfo *info)
{
	if (m->info.iteration_count == 0)
		return fail_no_iterations(info);
	if (m->desc.label_rule == LABEL_NONE)
		return ms_fail(
			info, MS_ERR_MODEL_OUTPUT,
			"early_stop ends a sum when the class is decided, and the model decides between no classes");
	if (m->desc.probability.divisor != 0)
		return ms_fail(info, MS_ERR_MODEL_OUTPUT,
			       "the model averages its trees; early_stop would leave some of them out of the average");
	if (query->output > MODEL_OUTPUT_LABEL)
		return ms_fail(info, MS_ERR_MODEL_OUTPUT, "the output '%s' is of all iterations; leave early_stop out",
			       ms_model_output_name(query->output));
	return MS_OK;
}

// A failure is one of that field of the query.
static enum ms_err of_field(enum ms_err err, const char *field, struct errinfo *info)
{
	if (err != MS_OK)
		ms_errinfo_set_field(info, ms_slice_cstr(field));
	return err;
}

enum ms_err ms_model_best_iterations(const struct model *model, struct errinfo *info, uint64_t *ret_iterations)
{
	return of_field(find_best(model, info, ret_iterations), "iterations", info);
}

enum ms_err ms_model_check_query(const struct model *model, const struct model_query *query, struct errinfo *info)
{
	if (query->iterations > 0)
		MS_TRY(of_field(check_iterations(model, query, info), "iterations", info));
	if (query->early_stop_margin > 0)
		MS_TRY(of_field(check_early_stop(model, query, info), "early_stop", info));
	return MS_OK;
}

static void raw_scores(const struct model *m, const struct model_query *query, const double *rows, size_t row_count,
		       void *scratch, double *out)
{
	const struct forest *f = m->desc.forest;
	if (f == NULL) {
		ms_linear_raw(m->desc.linear, rows, row_count, out);
		return;
	}
	const size_t per_iteration = m->desc.trees_per_iteration;
	const uint64_t never = m->info.iteration_count + 1; // more than that would overflow
	const struct forest_part part = {
		.tree_count = query->iterations > 0 ? query->iterations * per_iteration : f->tree_count,
		.stop_margin = query->early_stop_margin,
		.stop_every = MS_MAX(MS_MIN(query->early_stop_every, never), (uint64_t)1) * per_iteration,
	};
	ms_forest_raw_part(f, &part, rows, row_count, (char *)scratch + chunk_bytes(m), out);
}

// A transform of the model; an average is one of the iterations that were summed.
static struct transform asked(const struct model_query *query, const struct transform *of_all)
{
	struct transform t = *of_all;
	if (query->iterations > 0 && t.divisor != 0)
		t.divisor = (double)query->iterations;
	return t;
}

// Binary with one raw score: the class 1's probability in raw[0] becomes those of both classes.
static void write_probabilities(const struct model *m, const struct transform *t, double *raw, double *out)
{
	const struct model_description *d = &m->desc;
	ms_transform_apply(t, raw, d->raw_count, raw);
	if (d->raw_count > 1) {
		memcpy(out, raw, d->raw_count * sizeof(*out));
		return;
	}
	out[0] = d->single_precision ? (double)(1.0f - (float)raw[0]) : 1.0 - raw[0];
	out[1] = raw[0];
}

static double label_of(const struct model *m, const struct transform *t, double *raw)
{
	const struct model_description *d = &m->desc;
	if (d->label_rule == LABEL_PROBABILITY)
		ms_transform_apply(t, raw, d->raw_count, raw);
	if (d->raw_count == 1)
		return raw[0] > (d->label_rule == LABEL_PROBABILITY ? 0.5 : 0.0);
	double label;
	ms_transform_apply(&(struct transform){.kind = TRANSFORM_ARGMAX}, raw, d->raw_count, &label);
	return label;
}

static void write_row(const struct model *m, const struct model_query *query, double *raw, double *out)
{
	const struct transform probability = asked(query, &m->desc.probability);
	const struct transform transform = asked(query, &m->desc.transform);
	if (query->output == MODEL_OUTPUT_PROBABILITY)
		write_probabilities(m, &probability, raw, out);
	else if (query->output == MODEL_OUTPUT_LABEL)
		out[0] = label_of(m, &probability, raw);
	else
		ms_transform_apply(&transform, raw, m->desc.raw_count, out);
}

static void run_pipeline(const struct pipeline *p, enum model_output output, const double *rows, size_t row_count,
			 void *scratch, double *out)
{
	if (output == MODEL_OUTPUT_LEAF)
		ms_pipeline_leaves(p, rows, row_count, scratch, out);
	else
		ms_pipeline_run(p,
				output == MODEL_OUTPUT_RAW     ? p->raw
				: output == MODEL_OUTPUT_LABEL ? p->label
							       : p->scores,
				rows, row_count, scratch, out);
}

void ms_model_predict(const struct model *model, const struct model_query *query, const double *rows, size_t row_count,
		      void *scratch, double *out)
{
	const enum model_output output = query->output;
	const struct model_description *d = &model->desc;
	size_t width = ms_model_output_width(model, output), step = chunk_rows(model);
	double *raw = scratch;
	MS_ASSERT(width > 0 || output == MODEL_OUTPUT_LEAF || output == MODEL_OUTPUT_TREE);
	if (d->pipeline != NULL) {
		run_pipeline(d->pipeline, output, rows, row_count, scratch, out);
		return;
	}
	bool identity = d->transform.kind == TRANSFORM_IDENTITY && d->transform.divisor == 0;
	if (output == MODEL_OUTPUT_RAW || (output == MODEL_OUTPUT_DEFAULT && identity)) {
		raw_scores(model, query, rows, row_count, scratch, out);
		return;
	}
	if (output == MODEL_OUTPUT_LEAF) {
		MS_ASSERT(d->forest != NULL);
		ms_forest_leaves(d->forest, rows, row_count, (char *)scratch + chunk_bytes(model), out);
		return;
	}
	if (output == MODEL_OUTPUT_TREE) {
		ms_forest_trees(d->forest, rows, row_count, (char *)scratch + chunk_bytes(model), out);
		return;
	}
	if (output == MODEL_OUTPUT_CONTRIBUTIONS) {
		if (d->forest != NULL)
			ms_shap_contributions(d->forest, rows, row_count, scratch, out);
		else
			ms_linear_contributions(d->linear, rows, row_count, out);
		return;
	}
	for (size_t done = 0; done < row_count; done += step) {
		size_t n = MS_MIN(row_count - done, step);
		raw_scores(model, query, rows + done * d->feature_count, n, scratch, raw);
		for (size_t r = 0; r < n; r++)
			write_row(model, query, raw + r * d->raw_count, out + (done + r) * width);
	}
}
