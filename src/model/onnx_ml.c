// SPDX-License-Identifier: Apache-2.0
// Operators of the domain ai.onnx.ml around the ensembles of trees. Values and types are those of ONNX Runtime's
// kernels (onnxruntime/core/providers/cpu/ml).
#include <math.h>

#include "model/onnx_graph.h"

static enum ms_err fail(struct onnx_graph *g, const struct onnx_node *n, const char *what)
{
	return ms_onnx_fail(g->file, n, MS_ERR_MODEL_FORMAT, "%s", what);
}

static enum ms_err rows_input(struct onnx_graph *g, const struct onnx_node *n, const struct onnx_value **ret_value)
{
	MS_TRY(ms_onnx_number_input(g, n, 0, ret_value));
	return ms_onnx_require_rows(g, n, *ret_value);
}

// --- Columns by themselves ---------------------------------------------------------------------------------

// One number for each column, or one for all.
static enum ms_err check_width(struct onnx_graph *g, const struct onnx_node *n, size_t count, size_t columns)
{
	if (count == 1 || count == columns)
		return MS_OK;
	return ms_onnx_fail(g->file, n, MS_ERR_MODEL_FORMAT, "it has %zu numbers for %zu columns", count, columns);
}

// (x - offset) * scale in the wider type of x and float, then rounded to float.
static enum ms_err build_scaler(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	float *offset = NULL, *scale = NULL;
	size_t offsets, scales;
	MS_TRY(rows_input(g, n, &x));
	MS_TRY(ms_onnx_attr_floats(g->file, n, "offset", &offset, &offsets));
	MS_TRY(ms_onnx_attr_floats(g->file, n, "scale", &scale, &scales));
	MS_TRY(check_width(g, n, offsets, x->count));
	MS_TRY(check_width(g, n, scales, x->count));
	MS_TRY(ms_onnx_new_value(g, n, PIPELINE_F32, x->rank, x->dims, x->batch, &y));
	enum pipeline_type type = x->type == PIPELINE_F64 ? PIPELINE_F64 : PIPELINE_F32;
	for (size_t i = 0; i < x->count; i++) {
		uint32_t column = x->columns[i], by;
		if (x->type == PIPELINE_I64)
			MS_TRY(ms_onnx_emit(g, PIPELINE_CAST, PIPELINE_F32, column, 0, 0, &column));
		MS_TRY(ms_onnx_constant(g, (double)offset[offsets == 1 ? 0 : i], &by));
		MS_TRY(ms_onnx_emit(g, PIPELINE_SUB, type, column, by, 0, &column));
		MS_TRY(ms_onnx_constant(g, (double)scale[scales == 1 ? 0 : i], &by));
		MS_TRY(ms_onnx_emit(g, PIPELINE_MUL, type, column, by, 0, &column));
		if (type == PIPELINE_F64)
			MS_TRY(ms_onnx_emit(g, PIPELINE_CAST, PIPELINE_F32, column, 0, 0, &column));
		y->columns[i] = column;
	}
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_imputer(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	float *floats = NULL, replaced_float = 0;
	int64_t *ints = NULL, replaced_int = 0;
	size_t float_count, int_count;
	MS_TRY(rows_input(g, n, &x));
	MS_TRY(ms_onnx_attr_floats(g->file, n, "imputed_value_floats", &floats, &float_count));
	MS_TRY(ms_onnx_attr_ints(g->file, n, "imputed_value_int64s", &ints, &int_count));
	MS_TRY(ms_onnx_attr_float(g->file, n, "replaced_value_float", &replaced_float));
	MS_TRY(ms_onnx_attr_int(g->file, n, "replaced_value_int64", &replaced_int));
	bool whole = x->type == PIPELINE_I64 || x->type == PIPELINE_BOOL;
	size_t count = whole ? int_count : float_count;
	MS_TRY(check_width(g, n, count, x->count));
	MS_TRY(ms_onnx_new_value(g, n, x->type, x->rank, x->dims, x->batch, &y));
	uint32_t replaced, by;
	MS_TRY(ms_onnx_constant(g, whole ? (double)replaced_int : (double)replaced_float, &replaced));
	for (size_t i = 0; i < x->count; i++) {
		size_t k = count == 1 ? 0 : i;
		MS_TRY(ms_onnx_constant(g, whole ? (double)ints[k] : (double)floats[k], &by));
		MS_TRY(ms_onnx_emit(g, PIPELINE_REPLACE, x->type, x->columns[i], replaced, by, &y->columns[i]));
	}
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_binarizer(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	float threshold = 0;
	uint32_t by;
	MS_TRY(rows_input(g, n, &x));
	MS_TRY(ms_onnx_attr_float(g->file, n, "threshold", &threshold));
	MS_TRY(ms_onnx_constant(g, (double)threshold, &by));
	MS_TRY(ms_onnx_new_value(g, n, x->type, x->rank, x->dims, x->batch, &y));
	for (size_t i = 0; i < x->count; i++)
		MS_TRY(ms_onnx_emit(g, PIPELINE_LESS, x->type, by, x->columns[i], 0, &y->columns[i]));
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_normalizer(struct onnx_graph *g, const struct onnx_node *n)
{
	static const char *const names[] = {"MAX", "L1", "L2"};
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	struct slice norm = MS_SLICE_LIT("MAX");
	struct pipeline_list list;
	size_t kind = 0;
	MS_TRY(rows_input(g, n, &x));
	MS_TRY(ms_onnx_attr_string(g->file, n, "norm", &norm));
	while (kind < MS_ARRAY_LEN(names) && !ms_slice_eq_cstr(norm, names[kind]))
		kind++;
	if (kind == MS_ARRAY_LEN(names))
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED, "norm \"%.*s\"", MS_SLICE_ARG(norm));
	MS_TRY(ms_onnx_new_value(g, n, PIPELINE_F32, x->rank, x->dims, x->batch, &y));
	MS_TRY(ms_onnx_list(g, x->columns, x->count, 1, &list));
	struct pipeline_step step = {.op = (uint8_t)(PIPELINE_NORM_MAX + kind), .a = list.first, .c = list.count};
	MS_TRY(ms_onnx_slots(g, x->count, &step.dst));
	MS_TRY(ms_onnx_step(g, step));
	for (size_t i = 0; i < x->count; i++)
		y->columns[i] = step.dst + (uint32_t)i;
	return ms_onnx_set_output(g, n, 0, y);
}

// --- Categories ----------------------------------------------------------------------------------------------

// Strings or integers of an attribute as keys; `count` is 0 when the attribute is absent.
static enum ms_err string_keys(struct onnx_graph *g, const struct onnx_node *n, const char *name, double **ret_keys,
			       struct slice **ret_texts, size_t *ret_count)
{
	MS_TRY(ms_onnx_attr_strings(g->file, n, name, ret_texts, ret_count));
	*ret_keys = MS_ARENA_ARRAY(g->ctx->scratch, double, *ret_count);
	if (*ret_keys == NULL)
		return ms_onnx_no_memory(g->ctx);
	for (size_t i = 0; i < *ret_count; i++)
		MS_TRY(ms_onnx_string(g, (*ret_texts)[i], &(*ret_keys)[i]));
	return MS_OK;
}

static enum ms_err int_keys(struct onnx_graph *g, const struct onnx_node *n, const char *name, double **ret_keys,
			    size_t *ret_count)
{
	int64_t *values = NULL;
	MS_TRY(ms_onnx_attr_ints(g->file, n, name, &values, ret_count));
	*ret_keys = MS_ARENA_ARRAY(g->ctx->scratch, double, *ret_count);
	if (*ret_keys == NULL)
		return ms_onnx_no_memory(g->ctx);
	for (size_t i = 0; i < *ret_count; i++)
		(*ret_keys)[i] = (double)values[i];
	return MS_OK;
}

static enum ms_err float_keys(struct onnx_graph *g, const struct onnx_node *n, const char *name, double **ret_keys,
			      size_t *ret_count)
{
	float *values = NULL;
	MS_TRY(ms_onnx_attr_floats(g->file, n, name, &values, ret_count));
	*ret_keys = MS_ARENA_ARRAY(g->ctx->scratch, double, *ret_count);
	if (*ret_keys == NULL)
		return ms_onnx_no_memory(g->ctx);
	for (size_t i = 0; i < *ret_count; i++)
		(*ret_keys)[i] = (double)values[i];
	return MS_OK;
}

static enum ms_err build_one_hot(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	struct slice *texts = NULL;
	double *keys = NULL;
	size_t count;
	int64_t zeros = 1;
	uint32_t table;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(ms_onnx_materialise(g, x, &x));
	MS_TRY(ms_onnx_attr_int(g->file, n, "zeros", &zeros));
	bool strings = x->type == PIPELINE_STRING;
	if (strings)
		MS_TRY(string_keys(g, n, "cats_strings", &keys, &texts, &count));
	else
		MS_TRY(int_keys(g, n, "cats_int64s", &keys, &count));
	if (count == 0)
		return fail(g, n, "it lists no categories of the type of its input");
	if (zeros == 0 && !strings)
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED, "zeros=0: unknown numbers end in an error");
	if (x->rank >= ONNX_RANK_MAX || x->rank == 0 || x->count == 0 || count > UINT32_MAX / x->count)
		return fail(g, n, "the shape of its input");
	int64_t dims[ONNX_RANK_MAX];
	memcpy(dims, x->dims, sizeof(dims));
	dims[x->rank] = (int64_t)count;
	MS_TRY(ms_onnx_new_value(g, n, PIPELINE_F32, x->rank + 1, dims, x->batch, &y));
	double *places = MS_ARENA_ARRAY(g->ctx->scratch, double, count);
	if (places == NULL)
		return ms_onnx_no_memory(g->ctx);
	for (size_t k = 0; k < count; k++)
		places[k] = (double)k;
	MS_TRY(ms_onnx_table(g, keys, places, count, &table));
	for (size_t i = 0; i < x->count; i++) {
		struct pipeline_step step = {.op = PIPELINE_ONE_HOT, .b = table, .c = (uint32_t)count};
		uint32_t column = x->columns[i];
		MS_TRY(ms_onnx_takes_strings(g, column, texts, strings ? count : 0, zeros == 0));
		if (x->type != PIPELINE_I64 && !strings) // numbers become whole
			MS_TRY(ms_onnx_emit(g, PIPELINE_CAST, PIPELINE_I64, column, 0, 0, &column));
		MS_TRY(ms_onnx_operand(g, column, &step.a));
		MS_TRY(ms_onnx_slots(g, count, &step.dst));
		MS_TRY(ms_onnx_step(g, step));
		for (size_t k = 0; k < count; k++)
			y->columns[i * count + k] = step.dst + (uint32_t)k;
	}
	return ms_onnx_set_output(g, n, 0, y);
}

// A list of a LabelEncoder, in one of its forms.
struct encoder_list {
	enum pipeline_type type;
	double *values;
	struct slice *texts; // PIPELINE_STRING
	size_t count;
};

static enum ms_err read_encoder_list(struct onnx_graph *g, const struct onnx_node *n, const char *const names[4],
				     struct encoder_list *l)
{
	MS_TRY(string_keys(g, n, names[0], &l->values, &l->texts, &l->count));
	l->type = PIPELINE_STRING;
	if (l->count == 0) {
		MS_TRY(int_keys(g, n, names[1], &l->values, &l->count));
		l->type = PIPELINE_I64;
	}
	if (l->count == 0) {
		MS_TRY(float_keys(g, n, names[2], &l->values, &l->count));
		l->type = PIPELINE_F32;
	}
	if (l->count > 0)
		return MS_OK;
	struct onnx_tensor t;
	MS_TRY(ms_onnx_attr_tensor(g->file, n, names[3], &t));
	l->count = t.type != ONNX_UNDEFINED ? t.count : 0;
	l->type = t.type == ONNX_STRING   ? PIPELINE_STRING
		  : t.type == ONNX_FLOAT  ? PIPELINE_F32
		  : t.type == ONNX_DOUBLE ? PIPELINE_F64
					  : PIPELINE_I64;
	if (l->count == 0)
		return fail(g, n, "it has no keys or no values");
	if (l->type != PIPELINE_STRING)
		return ms_onnx_tensor_numbers(g->file, &t, &l->values);
	MS_TRY(ms_onnx_tensor_strings(g->file, &t, &l->texts));
	l->values = MS_ARENA_ARRAY(g->ctx->scratch, double, l->count);
	if (l->values == NULL)
		return ms_onnx_no_memory(g->ctx);
	for (size_t i = 0; i < l->count; i++)
		MS_TRY(ms_onnx_string(g, l->texts[i], &l->values[i]));
	return MS_OK;
}

// Version 1: strings ↔ their places.
static enum ms_err read_encoder1(struct onnx_graph *g, const struct onnx_node *n, const struct onnx_value *x,
				 struct encoder_list *keys, struct encoder_list *values)
{
	struct encoder_list classes = {.type = PIPELINE_STRING}, places = {.type = PIPELINE_I64};
	MS_TRY(string_keys(g, n, "classes_strings", &classes.values, &classes.texts, &classes.count));
	if (classes.count == 0)
		return fail(g, n, "it has no classes");
	places.count = classes.count;
	places.values = MS_ARENA_ARRAY(g->ctx->scratch, double, places.count);
	if (places.values == NULL)
		return ms_onnx_no_memory(g->ctx);
	for (size_t i = 0; i < places.count; i++)
		places.values[i] = (double)i;
	bool from_strings = x->type == PIPELINE_STRING;
	*keys = from_strings ? classes : places;
	*values = from_strings ? places : classes;
	return MS_OK;
}

static enum ms_err encoder_default(struct onnx_graph *g, const struct onnx_node *n, enum pipeline_type type,
				   double *ret_value)
{
	struct slice text = MS_SLICE_LIT("_Unused");
	int64_t whole = -1;
	float real = -0.0f;
	struct onnx_tensor t;
	double *numbers = NULL;
	struct slice *texts = NULL;
	MS_TRY(ms_onnx_attr_tensor(g->file, n, "default_tensor", &t));
	if (t.type != ONNX_UNDEFINED && t.count == 1) {
		if (t.type == ONNX_STRING) {
			MS_TRY(ms_onnx_tensor_strings(g->file, &t, &texts));
			return ms_onnx_string(g, texts[0], ret_value);
		}
		MS_TRY(ms_onnx_tensor_numbers(g->file, &t, &numbers));
		*ret_value = numbers[0];
		return MS_OK;
	}
	MS_TRY(ms_onnx_attr_string(g->file, n, "default_string", &text));
	MS_TRY(ms_onnx_attr_int(g->file, n, "default_int64", &whole));
	MS_TRY(ms_onnx_attr_float(g->file, n, "default_float", &real));
	if (type == PIPELINE_STRING)
		return ms_onnx_string(g, text, ret_value);
	*ret_value = type == PIPELINE_I64 ? (double)whole : (double)real;
	return MS_OK;
}

static enum ms_err build_label_encoder(struct onnx_graph *g, const struct onnx_node *n)
{
	static const char *const key_names[] = {"keys_strings", "keys_int64s", "keys_floats", "keys_tensor"};
	static const char *const value_names[] = {"values_strings", "values_int64s", "values_floats", "values_tensor"};
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	struct encoder_list keys = {0}, values = {0};
	double other = 0;
	bool has_missing = false;
	uint32_t table, fallback, missing = 0, is_missing;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(ms_onnx_materialise(g, x, &x));
	if (ms_onnx_has_attr(n, "classes_strings")) {
		MS_TRY(read_encoder1(g, n, x, &keys, &values));
	} else {
		MS_TRY(read_encoder_list(g, n, key_names, &keys));
		MS_TRY(read_encoder_list(g, n, value_names, &values));
	}
	if (keys.count != values.count || (keys.type == PIPELINE_STRING) != (x->type == PIPELINE_STRING))
		return fail(g, n, "its keys do not fit its values or its input");
	MS_TRY(encoder_default(g, n, values.type, &other));
	for (size_t i = 0; i < keys.count; i++)
		if (isnan(keys.values[i]) && g->file->opset_ml >= 4) { // what missing values become; before, nothing
			has_missing = true;
			MS_TRY(ms_onnx_constant(g, values.values[i], &missing));
		}
	MS_TRY(ms_onnx_table(g, keys.values, values.values, keys.count, &table));
	MS_TRY(ms_onnx_constant(g, other, &fallback));
	MS_TRY(ms_onnx_new_value(g, n, values.type, x->rank, x->dims, x->batch, &y));
	for (size_t i = 0; i < x->count; i++) {
		struct pipeline_step step = {.op = PIPELINE_LOOKUP, .type = (uint8_t)values.type, .b = table};
		MS_TRY(ms_onnx_takes_strings(g, x->columns[i], keys.texts,
					     keys.type == PIPELINE_STRING ? keys.count : 0, false));
		step.c = fallback & ~PIPELINE_CONSTANT;
		MS_TRY(ms_onnx_operand(g, x->columns[i], &step.a));
		MS_TRY(ms_onnx_slots(g, 1, &step.dst));
		MS_TRY(ms_onnx_step(g, step));
		y->columns[i] = step.dst;
		if (!has_missing)
			continue;
		MS_TRY(ms_onnx_emit(g, PIPELINE_IS_NAN, x->type, x->columns[i], 0, 0, &is_missing));
		MS_TRY(ms_onnx_emit(g, PIPELINE_WHERE, values.type, is_missing, missing, step.dst, &y->columns[i]));
	}
	return ms_onnx_set_output(g, n, 0, y);
}

// --- Linear models -------------------------------------------------------------------------------------------

static enum ms_err read_post(struct onnx_graph *g, const struct onnx_node *n, enum pipeline_post *ret_post)
{
	static const char *const names[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
	struct slice post = MS_SLICE_LIT("NONE");
	MS_TRY(ms_onnx_attr_string(g->file, n, "post_transform", &post));
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++)
		if (ms_slice_eq_cstr(post, names[i])) {
			*ret_post = (enum pipeline_post)i;
			return MS_OK;
		}
	return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED, "post_transform \"%.*s\"", MS_SLICE_ARG(post));
}

// One score per target: intercept + Σ coefficient · x. The sums are made in double and rounded to float; ONNX Runtime
// sums floats in an order that depends on the processor.
static enum ms_err build_scores(struct onnx_graph *g, const struct onnx_node *n, size_t targets,
				struct pipeline_list *ret_list)
{
	const struct onnx_value *x = NULL;
	struct pipeline_list inputs;
	float *coefficients = NULL, *intercepts = NULL;
	size_t count, intercept_count;
	MS_TRY(rows_input(g, n, &x));
	MS_TRY(ms_onnx_attr_floats(g->file, n, "coefficients", &coefficients, &count));
	MS_TRY(ms_onnx_attr_floats(g->file, n, "intercepts", &intercepts, &intercept_count));
	if (targets == 0 || count / targets != x->count || count % targets != 0 ||
	    (intercept_count != targets && intercept_count != 0))
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_FORMAT,
				    "%zu coefficients and %zu intercepts do not fit %zu targets of %zu columns", count,
				    intercept_count, targets, x->count);
	uint32_t *columns = MS_ARENA_ARRAY(g->ctx->scratch, uint32_t, MS_MAX(x->count, targets)), first, constants;
	double *values = MS_ARENA_ARRAY(g->ctx->scratch, double, x->count + 1);
	if (columns == NULL || values == NULL)
		return ms_onnx_no_memory(g->ctx);
	for (size_t i = 0; i < x->count; i++) {
		columns[i] = x->columns[i];
		if (x->type != PIPELINE_F32) // the runtime makes floats of all
			MS_TRY(ms_onnx_emit(g, PIPELINE_CAST, PIPELINE_F32, columns[i], 0, 0, &columns[i]));
	}
	MS_TRY(ms_onnx_list(g, columns, x->count, 1, &inputs));
	MS_TRY(ms_onnx_slots(g, targets, &first));
	for (size_t k = 0; k < targets; k++) {
		values[0] = intercept_count > 0 ? (double)intercepts[k] : 0;
		for (size_t i = 0; i < x->count; i++)
			values[1 + i] = (double)coefficients[k * x->count + i];
		MS_TRY(ms_onnx_constants(g, values, x->count + 1, &constants));
		struct pipeline_step step = {.op = PIPELINE_DOT,
					     .type = PIPELINE_F32,
					     .dst = first + (uint32_t)k,
					     .a = inputs.first,
					     .b = constants & ~PIPELINE_CONSTANT,
					     .c = inputs.count};
		MS_TRY(ms_onnx_step(g, step));
	}
	for (size_t k = 0; k < targets; k++)
		columns[k] = first + (uint32_t)k;
	return ms_onnx_list(g, columns, targets, 1, ret_list);
}

static enum ms_err build_end(struct onnx_graph *g, const struct onnx_node *n, const struct pipeline_end *end,
			     struct pipeline_list scores, uint32_t *ret_first)
{
	struct pipeline_step step = {
		.op = PIPELINE_END, .a = scores.first, .b = (uint32_t)g->ends.n, .c = scores.count};
	size_t predictions = end->classifier ? end->class_count + 1 : end->target_count;
	if (end->target_count > g->ctx->options->max_classes)
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_TOO_LARGE, "it has %zu targets, at most %zu are allowed",
				    end->target_count, g->ctx->options->max_classes);
	MS_TRY(ms_onnx_slots(g, end->target_count + predictions, &step.dst));
	MS_TRY(ms_onnx_push(g, &g->ends, end));
	ms_onnx_set_raw(g, n, scores);
	*ret_first = step.dst + (uint32_t)end->target_count;
	return ms_onnx_step(g, step);
}

static enum ms_err build_linear_classifier(struct onnx_graph *g, const struct onnx_node *n)
{
	struct onnx_labels labels;
	struct pipeline_end end = {.classifier = true, .linear = true, .single = true};
	end.one_column = end.all_positive = true; // a single score is that of the second class
	struct pipeline_list list;
	struct onnx_value *scores = NULL, *label = NULL;
	float *intercepts = NULL;
	uint32_t first;
	end.aggregate = PIPELINE_AGGREGATE_SUM;
	MS_TRY(ms_onnx_class_labels(g, n, "classlabels_strings", "classlabels_ints", &labels));
	MS_TRY(ms_onnx_attr_floats(g->file, n, "intercepts", &intercepts, &end.target_count));
	MS_TRY(read_post(g, n, &end.post));
	end.class_count = labels.count;
	if (labels.count < 2 || (end.target_count != labels.count && (end.target_count != 1 || labels.count != 2)))
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED, "%zu intercepts for %zu classes",
				    end.target_count, labels.count);
	if (end.target_count == 1 && end.post == PIPELINE_PROBIT)
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED,
				    "PROBIT of a single score: ONNX Runtime leaves the second one undefined");
	MS_TRY(build_scores(g, n, end.target_count, &list));
	MS_TRY(build_end(g, n, &end, list, &first));
	MS_TRY(ms_onnx_new_rows(g, n, PIPELINE_F32, end.class_count, &scores));
	for (size_t i = 0; i < end.class_count; i++)
		scores->columns[i] = first + (uint32_t)i;
	MS_TRY(ms_onnx_new_label(g, n, first + (uint32_t)end.class_count, &labels, &label));
	MS_TRY(ms_onnx_set_output(g, n, 0, label));
	return ms_onnx_set_output(g, n, 1, scores);
}

static enum ms_err build_linear_regressor(struct onnx_graph *g, const struct onnx_node *n)
{
	struct pipeline_end end = {.linear = true, .single = true, .aggregate = PIPELINE_AGGREGATE_SUM};
	struct pipeline_list list;
	struct onnx_value *scores = NULL;
	int64_t targets = 1;
	uint32_t first;
	MS_TRY(ms_onnx_attr_int(g->file, n, "targets", &targets));
	MS_TRY(read_post(g, n, &end.post));
	if (targets < 1 || targets > INT32_MAX)
		return fail(g, n, "the number of its targets");
	end.target_count = (size_t)targets;
	MS_TRY(build_scores(g, n, end.target_count, &list));
	MS_TRY(build_end(g, n, &end, list, &first));
	MS_TRY(ms_onnx_new_rows(g, n, PIPELINE_F32, end.target_count, &scores));
	for (size_t i = 0; i < end.target_count; i++)
		scores->columns[i] = first + (uint32_t)i;
	return ms_onnx_set_output(g, n, 0, scores);
}

// --- Moving columns --------------------------------------------------------------------------------------------

static enum ms_err build_feature_vectorizer(struct onnx_graph *g, const struct onnx_node *n)
{
	struct onnx_value *y = NULL;
	size_t total = 0, at = 0;
	for (size_t i = 0; i < n->input_count; i++) {
		const struct onnx_value *x = NULL;
		MS_TRY(ms_onnx_number_input(g, n, i, &x));
		MS_TRY(ms_onnx_require_rows(g, n, x));
		total += x->count;
	}
	MS_TRY(ms_onnx_new_rows(g, n, PIPELINE_F32, total, &y));
	for (size_t i = 0; i < n->input_count; i++) {
		const struct onnx_value *x = NULL;
		MS_TRY(ms_onnx_number_input(g, n, i, &x));
		for (size_t k = 0; k < x->count; k++, at++) {
			y->columns[at] = x->columns[k];
			if (x->type != PIPELINE_F32)
				MS_TRY(ms_onnx_emit(g, PIPELINE_CAST, PIPELINE_F32, x->columns[k], 0, 0,
						    &y->columns[at]));
		}
	}
	return ms_onnx_set_output(g, n, 0, y);
}

// Constant columns picked by a number of the row: labels by the place of the largest score.
static enum ms_err extract_by_row(struct onnx_graph *g, const struct onnx_node *n, const struct onnx_value *x,
				  const struct onnx_value *index)
{
	struct onnx_value *y = NULL;
	double *values = NULL;
	size_t count;
	if (x->batch >= 0 || index->batch < 0 || index->count != 1 || x->count == 0 || x->labels != NULL)
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED, "columns that depend on the row");
	MS_TRY(ms_onnx_constant_input(g, n, 0, &values, &count));
	struct onnx_labels labels = {.count = count};
	struct slice *names = MS_ARENA_ARRAY(g->ctx->memory, struct slice, count);
	double *numbers = MS_ARENA_ARRAY(g->ctx->memory, double, count);
	if (names == NULL || numbers == NULL)
		return ms_onnx_no_memory(g->ctx);
	const struct slice *texts = (const struct slice *)(const void *)g->string_texts.p;
	for (size_t i = 0; i < count; i++) {
		numbers[i] = values[i];
		names[i] = x->type == PIPELINE_STRING
				   ? ms_arena_copy(g->ctx->memory, texts[(size_t)values[i]])
				   : ms_slice_cstr(ms_arena_printf(g->ctx->memory, "%.17g", values[i]));
		if (names[i].p == NULL)
			return ms_onnx_no_memory(g->ctx);
	}
	labels.names = names;
	labels.numbers = x->type == PIPELINE_STRING ? NULL : numbers;
	// The number may be any, even from the row itself: it becomes the place of a label.
	uint32_t first, operand, place;
	for (size_t i = 0; i < count; i++)
		values[i] = (double)i;
	MS_TRY(ms_onnx_constants(g, values, count, &first));
	MS_TRY(ms_onnx_operand(g, index->columns[0], &operand));
	MS_TRY(ms_onnx_slots(g, 1, &place));
	MS_TRY(ms_onnx_step(g, (struct pipeline_step){.op = PIPELINE_AT,
						      .type = PIPELINE_I64,
						      .dst = place,
						      .a = operand,
						      .b = first & ~PIPELINE_CONSTANT,
						      .c = (uint32_t)count}));
	MS_TRY(ms_onnx_new_label(g, n, place, &labels, &y));
	y->type = x->type;
	y->rank = 2; // [1, rows]
	y->dims[0] = y->dims[1] = 1;
	y->batch = 1;
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_extractor(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL, *index = NULL;
	struct onnx_value *y = NULL;
	double *indices = NULL;
	size_t count;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(ms_onnx_input(g, n, 1, &index));
	if (index->batch >= 0)
		return extract_by_row(g, n, x, index);
	MS_TRY(ms_onnx_constant_input(g, n, 1, &indices, &count));
	if (x->rank == 0 || x->batch == (int)x->rank - 1 || count == 0)
		return fail(g, n, "the shape of its inputs");
	size_t width = (size_t)x->dims[x->rank - 1], rest = width > 0 ? x->count / width : 0;
	int64_t dims[ONNX_RANK_MAX];
	memcpy(dims, x->dims, sizeof(dims));
	dims[x->rank - 1] = (int64_t)count;
	MS_TRY(ms_onnx_new_value(g, n, x->type, x->rank, dims, x->batch, &y));
	for (size_t i = 0; i < rest * count; i++) {
		double at = indices[i % count];
		if (!(at >= 0 && at < (double)width))
			return ms_onnx_fail(g->file, n, MS_ERR_MODEL_FORMAT, "column %g of %zu", at, width);
		y->columns[i] = x->columns[i / count * width + (size_t)at];
	}
	return ms_onnx_set_output(g, n, 0, y);
}

// A sequence of maps, a map per row: here the matrix of its values.
static enum ms_err build_zip_map(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	MS_TRY(ms_onnx_number_input(g, n, 0, &x));
	struct onnx_value *y = MS_ARENA_NEW(g->ctx->scratch, struct onnx_value);
	if (y == NULL)
		return ms_onnx_no_memory(g->ctx);
	*y = *x;
	y->is_map = true;
	return ms_onnx_set_output(g, n, 0, y);
}

const struct onnx_op *ms_onnx_find_ml_op(const struct onnx_node *n)
{
	static const struct onnx_op ops[] = {
		{"TreeEnsembleClassifier", ms_onnx_build_ensemble, 0},
		{"TreeEnsembleRegressor", ms_onnx_build_ensemble, 0},
		{"TreeEnsemble", ms_onnx_build_ensemble, 0},
		{"LinearClassifier", build_linear_classifier, 0},
		{"LinearRegressor", build_linear_regressor, 0},
		{"Scaler", build_scaler, 0},
		{"Imputer", build_imputer, 0},
		{"Binarizer", build_binarizer, 0},
		{"Normalizer", build_normalizer, 0},
		{"OneHotEncoder", build_one_hot, 0},
		{"LabelEncoder", build_label_encoder, 0},
		{"FeatureVectorizer", build_feature_vectorizer, 0},
		{"ArrayFeatureExtractor", build_extractor, 0},
		{"ZipMap", build_zip_map, 0},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(ops); i++)
		if (ms_slice_eq_cstr(n->op, ops[i].name))
			return &ops[i];
	return NULL;
}
