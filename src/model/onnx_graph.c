// SPDX-License-Identifier: Apache-2.0
#include "model/onnx_graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "json/json.h"

#define ENTRIES_MAX ((size_t)1 << 30) // of the maps; the memory limit comes first
#define SLOTS_MAX ((size_t)1 << 22)   // a row takes 32 MiB of scratch memory at most
#define BUDGET_FREE ((size_t)1 << 22) // columns that any file may make, and then so many for each of its bytes
#define BUDGET_PER_BYTE 64
#define GUESSED_INPUTS_MAX 16

static enum ms_err no_memory(struct onnx_graph *g)
{
	return ms_onnx_no_memory(g->ctx);
}

enum ms_err ms_onnx_push(struct onnx_graph *g, struct onnx_vec *v, const void *item)
{
	if (v->n == v->capacity) {
		size_t capacity = MS_MAX(v->capacity * 2, 16), size;
		if (MS_MUL_OVERFLOWS(capacity, v->item_size, &size))
			return no_memory(g);
		char *p = ms_arena_grow(g->ctx->scratch, v->p, v->capacity * v->item_size, size);
		if (p == NULL)
			return no_memory(g);
		v->p = p;
		v->capacity = capacity;
	}
	memcpy(v->p + v->n++ * v->item_size, item, v->item_size);
	return MS_OK;
}

static enum ms_err too_many(struct onnx_graph *g, const char *what)
{
	return ms_fail(g->ctx->info, MS_ERR_MODEL_TOO_LARGE, "the graph has too many %s", what);
}

// --- Values ------------------------------------------------------------------------------------------------

bool ms_onnx_has_input(const struct onnx_node *n, size_t i)
{
	return i < n->input_count && n->inputs[i].n > 0;
}

enum ms_err ms_onnx_input(struct onnx_graph *g, const struct onnx_node *n, size_t i,
			  const struct onnx_value **ret_value)
{
	if (!ms_onnx_has_input(n, i))
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_FORMAT, "input %zu is missing", i);
	const struct onnx_value *v = ms_map_get(&g->values, n->inputs[i]);
	if (v == NULL)
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_FORMAT, "nothing before it makes its input \"%.*s\"",
				    MS_SLICE_ARG(n->inputs[i]));
	*ret_value = v;
	return MS_OK;
}

enum ms_err ms_onnx_number_input(struct onnx_graph *g, const struct onnx_node *n, size_t i,
				 const struct onnx_value **ret_value)
{
	const struct onnx_value *v = NULL;
	MS_TRY(ms_onnx_input(g, n, i, &v));
	MS_TRY(ms_onnx_materialise(g, v, &v));
	if (v->type == PIPELINE_STRING || v->is_map)
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED, "its input \"%.*s\" holds %s",
				    MS_SLICE_ARG(n->inputs[i]), v->is_map ? "a map" : "strings");
	*ret_value = v;
	return MS_OK;
}

static enum ms_err spend(struct onnx_graph *g, size_t count)
{
	if (count > g->budget)
		return too_many(g, "values for its size");
	g->budget -= count;
	return MS_OK;
}

enum ms_err ms_onnx_new_value(struct onnx_graph *g, const struct onnx_node *n, enum pipeline_type type, size_t rank,
			      const int64_t *dims, int batch, struct onnx_value **ret_value)
{
	if (rank > ONNX_RANK_MAX)
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED, "more than %d dimensions", ONNX_RANK_MAX);
	struct onnx_value *v = MS_ARENA_NEW(g->ctx->scratch, struct onnx_value);
	if (v == NULL)
		return no_memory(g);
	*v = (struct onnx_value){.type = type, .rank = rank, .batch = batch, .count = 1};
	size_t extent = 1; // counts empty axes as one: what loops over the others costs as much
	for (size_t i = 0; i < rank; i++) {
		v->dims[i] = (int)i == batch ? 1 : dims[i];
		if (v->dims[i] < 0 || MS_MUL_OVERFLOWS(extent, (size_t)MS_MAX(v->dims[i], 1), &extent))
			return ms_onnx_fail(g->file, n, MS_ERR_MODEL_FORMAT, "a dimension of %lld",
					    (long long)v->dims[i]);
		v->count *= (size_t)v->dims[i];
	}
	MS_TRY(spend(g, extent));
	v->columns = MS_ARENA_ARRAY(g->ctx->scratch, uint32_t, v->count);
	if (v->columns == NULL)
		return no_memory(g);
	*ret_value = v;
	return MS_OK;
}

enum ms_err ms_onnx_new_rows(struct onnx_graph *g, const struct onnx_node *n, enum pipeline_type type, size_t count,
			     struct onnx_value **ret_value)
{
	return ms_onnx_new_value(g, n, type, 2, (const int64_t[]){1, (int64_t)count}, 0, ret_value);
}

static enum ms_err bind_value(struct onnx_graph *g, struct slice name, struct onnx_value *v)
{
	void *old = NULL;
	if (!ms_map_put(&g->values, name, v, &old))
		return no_memory(g);
	if (old != NULL)
		return ms_fail(g->ctx->info, MS_ERR_MODEL_FORMAT, "the graph makes \"%.*s\" twice", MS_SLICE_ARG(name));
	return MS_OK;
}

enum ms_err ms_onnx_set_output(struct onnx_graph *g, const struct onnx_node *n, size_t i, struct onnx_value *value)
{
	if (i >= n->output_count || n->outputs[i].n == 0)
		return MS_OK;
	return bind_value(g, n->outputs[i], value);
}

enum ms_err ms_onnx_materialise(struct onnx_graph *g, const struct onnx_value *v, const struct onnx_value **ret_value)
{
	*ret_value = v;
	if (v->labels == NULL)
		return MS_OK;
	MS_TRY(spend(g, v->labels->count + v->count));
	struct onnx_value *copy = MS_ARENA_NEW(g->ctx->scratch, struct onnx_value);
	double *values = MS_ARENA_ARRAY(g->ctx->scratch, double, v->labels->count);
	uint32_t *columns = MS_ARENA_ARRAY(g->ctx->scratch, uint32_t, v->count), first, operand;
	if (copy == NULL || values == NULL || columns == NULL)
		return no_memory(g);
	for (size_t i = 0; i < v->labels->count; i++) {
		if (v->labels->numbers != NULL)
			values[i] = v->labels->numbers[i];
		else
			MS_TRY(ms_onnx_string(g, v->labels->names[i], &values[i]));
	}
	MS_TRY(ms_onnx_constants(g, values, v->labels->count, &first));
	*copy = *v;
	copy->labels = NULL;
	copy->columns = columns;
	for (size_t i = 0; i < v->count; i++) {
		MS_TRY(ms_onnx_operand(g, v->columns[i], &operand));
		MS_TRY(ms_onnx_slots(g, 1, &columns[i]));
		MS_TRY(ms_onnx_step(g, (struct pipeline_step){.op = PIPELINE_AT,
							      .type = (uint8_t)v->type,
							      .dst = columns[i],
							      .a = operand,
							      .b = first & ~PIPELINE_CONSTANT,
							      .c = (uint32_t)v->labels->count}));
	}
	*ret_value = copy;
	return MS_OK;
}

enum ms_err ms_onnx_require_rows(struct onnx_graph *g, const struct onnx_node *n, const struct onnx_value *v)
{
	if (v->batch == 0 && v->rank >= 1 && v->rank <= 2 && v->count > 0)
		return MS_OK;
	return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED,
			    "its input is not of the shape [rows, columns] with a known number of columns");
}

enum ms_err ms_onnx_constant_input(struct onnx_graph *g, const struct onnx_node *n, size_t i, double **ret_values,
				   size_t *ret_count)
{
	const struct onnx_value *v = NULL;
	MS_TRY(ms_onnx_input(g, n, i, &v));
	MS_TRY(spend(g, v->count)); // many nodes may read one large tensor
	double *values = MS_ARENA_ARRAY(g->ctx->scratch, double, v->count);
	if (values == NULL)
		return no_memory(g);
	for (size_t k = 0; k < v->count; k++) {
		if (v->labels != NULL || (v->columns[k] & PIPELINE_CONSTANT) == 0)
			return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED, "its input \"%.*s\" is no constant",
					    MS_SLICE_ARG(n->inputs[i]));
		memcpy(&values[k], g->constants.p + (v->columns[k] & ~PIPELINE_CONSTANT) * sizeof(double),
		       sizeof(double));
	}
	*ret_values = values;
	*ret_count = v->count;
	return MS_OK;
}

enum ms_err ms_onnx_axis(struct onnx_graph *g, const struct onnx_node *n, int64_t axis, size_t rank, size_t *ret_axis)
{
	int64_t at = axis < 0 ? axis + (int64_t)rank : axis;
	if (axis < -(int64_t)ONNX_RANK_MAX || at < 0 || at >= (int64_t)rank)
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_FORMAT, "axis %lld of a tensor of %zu dimensions",
				    (long long)axis, rank);
	*ret_axis = (size_t)at;
	return MS_OK;
}

void ms_onnx_strides(const struct onnx_value *v, size_t *ret_strides)
{
	size_t stride = 1;
	for (size_t i = v->rank; i-- > 0;) {
		ret_strides[i] = v->dims[i] == 1 ? 0 : stride;
		stride *= (size_t)v->dims[i];
	}
}

// --- Steps -------------------------------------------------------------------------------------------------

enum ms_err ms_onnx_slots(struct onnx_graph *g, size_t count, uint32_t *ret_first)
{
	if (count > SLOTS_MAX - g->slot_count)
		return too_many(g, "values");
	*ret_first = g->slot_count;
	g->slot_count += (uint32_t)count;
	return MS_OK;
}

enum ms_err ms_onnx_step(struct onnx_graph *g, struct pipeline_step step)
{
	return ms_onnx_push(g, &g->steps, &step);
}

enum ms_err ms_onnx_operand(struct onnx_graph *g, uint32_t column, uint32_t *ret_operand)
{
	*ret_operand = column;
	if ((column & PIPELINE_CONSTANT) != 0 || (column & COLUMN_FEATURE) == 0)
		return MS_OK;
	uint32_t index = column & ~COLUMN_FEATURE;
	struct onnx_feature *feature = &g->features[index];
	if (feature->slot == UINT32_MAX) {
		struct pipeline_step step = {.op = PIPELINE_LOAD, .type = (uint8_t)feature->type, .a = index};
		if (feature->type == PIPELINE_STRING) {
			feature->table = (uint32_t)g->tables.n;
			step.op = PIPELINE_LOAD_CATEGORY;
			step.b = feature->table; // filled at the end, when all categories are known
			MS_TRY(ms_onnx_push(g, &g->tables, &(struct pipeline_table){0}));
		}
		MS_TRY(ms_onnx_slots(g, 1, &step.dst));
		MS_TRY(ms_onnx_step(g, step));
		feature->slot = step.dst;
	}
	*ret_operand = feature->slot;
	return MS_OK;
}

enum ms_err ms_onnx_emit(struct onnx_graph *g, enum pipeline_op op, enum pipeline_type type, uint32_t a, uint32_t b,
			 uint32_t c, uint32_t *ret_column)
{
	struct pipeline_step step = {.op = (uint8_t)op, .type = (uint8_t)type};
	MS_TRY(ms_onnx_operand(g, a, &step.a));
	MS_TRY(ms_onnx_operand(g, b, &step.b));
	MS_TRY(ms_onnx_operand(g, c, &step.c));
	MS_TRY(ms_onnx_slots(g, 1, &step.dst));
	MS_TRY(ms_onnx_step(g, step));
	*ret_column = step.dst;
	return MS_OK;
}

enum ms_err ms_onnx_constants(struct onnx_graph *g, const double *values, size_t count, uint32_t *ret_first)
{
	if (count > COLUMN_INDEX_MAX - g->constants.n)
		return too_many(g, "constants");
	MS_TRY(spend(g, count));
	*ret_first = (uint32_t)g->constants.n | PIPELINE_CONSTANT;
	for (size_t i = 0; i < count; i++)
		MS_TRY(ms_onnx_push(g, &g->constants, &values[i]));
	return MS_OK;
}

enum ms_err ms_onnx_constant(struct onnx_graph *g, double value, uint32_t *ret_column)
{
	return ms_onnx_constants(g, &value, 1, ret_column);
}

enum ms_err ms_onnx_list(struct onnx_graph *g, const uint32_t *columns, size_t count, size_t stride,
			 struct pipeline_list *ret_list)
{
	MS_TRY(spend(g, count));
	if (g->lists.n > UINT32_MAX - count)
		return too_many(g, "values");
	struct pipeline_list list = {(uint32_t)g->lists.n, (uint32_t)count};
	for (size_t i = 0; i < count; i++) {
		uint32_t operand;
		MS_TRY(ms_onnx_operand(g, columns[i * stride], &operand));
		MS_TRY(ms_onnx_push(g, &g->lists, &operand));
	}
	*ret_list = list;
	return MS_OK;
}

struct key_value {
	double key, value;
	size_t place;
};

static int compare_keys(const void *a, const void *b)
{
	const struct key_value *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return (x->place > y->place) - (x->place < y->place);
}

enum ms_err ms_onnx_table(struct onnx_graph *g, const double *keys, const double *values, size_t count,
			  uint32_t *ret_table)
{
	struct key_value *pairs = MS_ARENA_ARRAY(g->ctx->scratch, struct key_value, count);
	double *sorted = MS_ARENA_ARRAY(g->ctx->memory, double, count);
	double *kept = MS_ARENA_ARRAY(g->ctx->memory, double, count);
	if (pairs == NULL || sorted == NULL || kept == NULL)
		return no_memory(g);
	size_t n = 0, used = 0;
	for (size_t i = 0; i < count; i++)
		if (!isnan(keys[i]))
			pairs[used++] = (struct key_value){keys[i], values[i], i};
	qsort(pairs, used, sizeof(*pairs), compare_keys);
	for (size_t i = 0; i < used; i++) {
		if (i + 1 < used && pairs[i].key == pairs[i + 1].key)
			continue;
		sorted[n] = pairs[i].key;
		kept[n++] = pairs[i].value;
	}
	*ret_table = (uint32_t)g->tables.n;
	return ms_onnx_push(g, &g->tables, &(struct pipeline_table){sorted, kept, n});
}

enum ms_err ms_onnx_string(struct onnx_graph *g, struct slice text, double *ret_number)
{
	void *found = ms_map_get(&g->strings, text);
	if (found == NULL) {
		MS_TRY(ms_onnx_push(g, &g->string_texts, &text));
		found = (void *)(uintptr_t)g->string_texts.n;
		if (!ms_map_put(&g->strings, text, found, NULL))
			return no_memory(g);
	}
	*ret_number = (double)((uintptr_t)found - 1);
	return MS_OK;
}

enum ms_err ms_onnx_takes_strings(struct onnx_graph *g, uint32_t column, const struct slice *texts, size_t count,
				  bool unseen_refused)
{
	if ((column & PIPELINE_CONSTANT) != 0 || (column & COLUMN_FEATURE) == 0)
		return MS_OK;
	uint32_t index = column & ~COLUMN_FEATURE;
	struct onnx_feature *feature = &g->features[index];
	feature->unseen_refused = feature->unseen_refused || unseen_refused;
	MS_TRY(spend(g, count)); // many features may take one long list
	for (size_t i = 0; i < count; i++) {
		double number;
		MS_TRY(ms_onnx_string(g, texts[i], &number));
		uint32_t string = (uint32_t)number;
		uint32_t *key = ms_arena_alloc(g->ctx->scratch, 2 * sizeof(*key));
		if (key == NULL)
			return no_memory(g);
		key[0] = index;
		key[1] = string;
		void *old = NULL;
		if (!ms_map_put(&g->feature_strings, ms_slice(key, 2 * sizeof(*key)), key, &old))
			return no_memory(g);
		if (old == NULL)
			MS_TRY(ms_onnx_push(g, &feature->categories, &string));
	}
	return MS_OK;
}

void ms_onnx_set_raw(struct onnx_graph *g, const struct onnx_node *n, struct pipeline_list raw)
{
	g->raw = raw;
	g->end_op = n->op;
	g->end_count++;
}

// --- Labels ------------------------------------------------------------------------------------------------

static enum ms_err number_labels(struct onnx_graph *g, const int64_t *numbers, size_t count,
				 struct onnx_labels *ret_labels)
{
	struct slice *names = MS_ARENA_ARRAY(g->ctx->memory, struct slice, count);
	double *values = MS_ARENA_ARRAY(g->ctx->memory, double, count);
	if (names == NULL || values == NULL)
		return no_memory(g);
	for (size_t i = 0; i < count; i++) {
		names[i] = ms_slice_cstr(ms_arena_printf(g->ctx->memory, "%lld", (long long)numbers[i]));
		if (names[i].p == NULL)
			return no_memory(g);
		values[i] = (double)numbers[i];
	}
	*ret_labels = (struct onnx_labels){count, names, values};
	return MS_OK;
}

enum ms_err ms_onnx_class_labels(struct onnx_graph *g, const struct onnx_node *n, const char *strings, const char *ints,
				 struct onnx_labels *ret_labels)
{
	struct slice *texts = NULL;
	int64_t *numbers = NULL;
	size_t text_count = 0, number_count = 0;
	MS_TRY(ms_onnx_attr_strings(g->file, n, strings, &texts, &text_count));
	MS_TRY(ms_onnx_attr_ints(g->file, n, ints, &numbers, &number_count));
	if (text_count == 0)
		return number_labels(g, numbers, number_count, ret_labels);
	struct slice *names = MS_ARENA_ARRAY(g->ctx->memory, struct slice, text_count);
	if (names == NULL)
		return no_memory(g);
	for (size_t i = 0; i < text_count; i++) {
		names[i] = ms_arena_copy(g->ctx->memory, texts[i]);
		if (names[i].p == NULL)
			return no_memory(g);
	}
	*ret_labels = (struct onnx_labels){text_count, names, NULL};
	return MS_OK;
}

enum ms_err ms_onnx_new_label(struct onnx_graph *g, const struct onnx_node *n, uint32_t column,
			      const struct onnx_labels *labels, struct onnx_value **ret_value)
{
	struct onnx_labels *kept = MS_ARENA_NEW(g->ctx->scratch, struct onnx_labels);
	if (kept == NULL)
		return no_memory(g);
	*kept = *labels;
	enum pipeline_type type = labels->numbers != NULL ? PIPELINE_I64 : PIPELINE_STRING;
	MS_TRY(ms_onnx_new_value(g, n, type, 1, (const int64_t[]){1}, 0, ret_value));
	(*ret_value)->columns[0] = column;
	(*ret_value)->labels = kept;
	return MS_OK;
}

// --- The inputs of the graph ---------------------------------------------------------------------------------

static bool type_of(int64_t onnx, enum pipeline_type *ret_type)
{
	switch (onnx) {
	case ONNX_FLOAT:
		*ret_type = PIPELINE_F32;
		return true;
	case ONNX_DOUBLE:
		*ret_type = PIPELINE_F64;
		return true;
	case ONNX_UINT8:
	case ONNX_INT8:
	case ONNX_INT32:
	case ONNX_INT64:
		*ret_type = PIPELINE_I64;
		return true;
	case ONNX_BOOL:
		*ret_type = PIPELINE_BOOL;
		return true;
	case ONNX_STRING:
		*ret_type = PIPELINE_STRING;
		return true;
	default:
		return false;
	}
}

static enum ms_err bind_initialiser(struct onnx_graph *g, const struct onnx_tensor *t)
{
	struct onnx_value *v = NULL;
	struct slice *strings = NULL;
	double *numbers = NULL;
	enum pipeline_type type = PIPELINE_F32;
	if (!type_of(t->type, &type))
		return ms_fail(g->ctx->info, MS_ERR_MODEL_UNSUPPORTED, "the tensor \"%.*s\" is of type %s",
			       MS_SLICE_ARG(t->name), ms_onnx_type_name(t->type));
	if (type == PIPELINE_STRING) {
		MS_TRY(ms_onnx_tensor_strings(g->file, t, &strings));
		numbers = MS_ARENA_ARRAY(g->ctx->scratch, double, t->count);
		if (numbers == NULL)
			return no_memory(g);
		for (size_t i = 0; i < t->count; i++)
			MS_TRY(ms_onnx_string(g, strings[i], &numbers[i]));
	} else {
		MS_TRY(ms_onnx_tensor_numbers(g->file, t, &numbers));
	}
	struct onnx_node none = {.op = MS_SLICE_LIT("tensor"), .name = t->name};
	MS_TRY(ms_onnx_new_value(g, &none, type, t->rank, t->dims, -1, &v));
	uint32_t first;
	MS_TRY(ms_onnx_constants(g, numbers, t->count, &first));
	for (size_t i = 0; i < t->count; i++)
		v->columns[i] = first + (uint32_t)i;
	return bind_value(g, t->name, v);
}

// Columns of an input whose shape leaves them open, from the first operator that reads it.
static enum ms_err guess_width(struct onnx_graph *g, const struct onnx_input *input, int64_t *ret_width)
{
	for (size_t i = 0; i < g->file->node_count; i++) {
		const struct onnx_node *n = &g->file->nodes[i];
		if (n->input_count == 0 || !ms_slice_eq(n->inputs[0], input->name))
			continue;
		int64_t *ids = NULL, targets = 1;
		float *values = NULL;
		size_t count = 0;
		MS_TRY(ms_onnx_attr_ints(g->file, n, "nodes_featureids", &ids, &count));
		for (size_t k = 0; k < count; k++)
			if (ids[k] < INT32_MAX)
				*ret_width = MS_MAX(*ret_width, ids[k] + 1);
		MS_TRY(ms_onnx_attr_floats(g->file, n, "offset", &values, &count));
		*ret_width = MS_MAX(*ret_width, (int64_t)count);
		MS_TRY(ms_onnx_attr_floats(g->file, n, "intercepts", &values, &count));
		MS_TRY(ms_onnx_attr_int(g->file, n, "targets", &targets));
		targets = MS_MAX(targets, MS_MAX((int64_t)count, 1));
		MS_TRY(ms_onnx_attr_floats(g->file, n, "coefficients", &values, &count));
		*ret_width = MS_MAX(*ret_width, (int64_t)count / targets);
	}
	return MS_OK;
}

static enum ms_err input_width(struct onnx_graph *g, const struct onnx_input *input, int64_t *ret_width)
{
	int64_t width = input->has_shape && input->rank == 1 ? 1 : 0;
	if (input->has_shape && (input->rank < 1 || input->rank > 2))
		return ms_fail(g->ctx->info, MS_ERR_MODEL_UNSUPPORTED,
			       "the input \"%.*s\" has %zu dimensions; [rows, columns] is read here",
			       MS_SLICE_ARG(input->name), input->rank);
	if (input->rank == 2)
		width = input->dims[1];
	if (width <= 0 && g->file->input_count <= GUESSED_INPUTS_MAX)
		MS_TRY(guess_width(g, input, &width));
	if (width <= 0)
		return ms_fail(g->ctx->info, MS_ERR_MODEL_UNSUPPORTED,
			       "the input \"%.*s\" does not say how many columns it has", MS_SLICE_ARG(input->name));
	if ((uint64_t)width > g->ctx->options->max_features - MS_MIN(g->feature_count, g->ctx->options->max_features))
		return ms_fail(g->ctx->info, MS_ERR_MODEL_TOO_LARGE,
			       "the model has more than the %zu features that are allowed",
			       g->ctx->options->max_features);
	*ret_width = width;
	return MS_OK;
}

// The names of a model with a single input of many columns: the metadata "feature_names", a JSON list, if there.
static enum ms_err metadata_names(struct onnx_graph *g, size_t count, const struct json_value **ret_names)
{
	const struct json_limits limits = {.max_depth = 2, .max_bytes = SIZE_MAX};
	const struct json_value *list = NULL;
	struct slice text;
	*ret_names = NULL;
	if (g->file->feature_names.n == 0 ||
	    ms_json_parse(g->file->feature_names, &limits, g->ctx->scratch, NULL, &list) != MS_OK)
		return MS_OK;
	if (list->type != JSON_ARRAY || list->array.count != count)
		return MS_OK;
	for (size_t i = 0; i < count; i++)
		if (!ms_json_as_str(&list->array.items[i], &text) || text.n == 0)
			return MS_OK;
	*ret_names = list;
	return MS_OK;
}

static enum ms_err name_features(struct onnx_graph *g, const struct onnx_input *input, size_t first, size_t width,
				 bool only)
{
	const struct json_value *names = NULL;
	if (only)
		MS_TRY(metadata_names(g, width, &names));
	for (size_t i = 0; i < width; i++) {
		struct slice name = input->name;
		if (names != NULL) {
			MS_IGNORE(!ms_json_as_str(&names->array.items[i], &name)); // checked
			name = ms_arena_copy(g->ctx->memory, name);
		} else if (only && width > 1) {
			name = ms_slice_cstr(ms_arena_printf(g->ctx->memory, "f%zu", i));
		} else if (width > 1) {
			name = ms_slice_cstr(ms_arena_printf(g->ctx->memory, "%.*s_%zu", MS_SLICE_ARG(input->name), i));
		} else {
			name = ms_arena_copy(g->ctx->memory, name);
		}
		if (name.p == NULL)
			return no_memory(g);
		MS_TRY(spend(g, name.n / sizeof(double))); // one long name makes many
		g->features[first + i].name = name;
	}
	return MS_OK;
}

static enum ms_err bind_input(struct onnx_graph *g, const struct onnx_input *input, size_t width, size_t first,
			      bool only)
{
	enum pipeline_type type;
	if (!input->is_tensor || !type_of(input->type, &type))
		return ms_fail(g->ctx->info, MS_ERR_MODEL_UNSUPPORTED, "the input \"%.*s\" is %s%s",
			       MS_SLICE_ARG(input->name), input->is_tensor ? "of type " : "no tensor",
			       input->is_tensor ? ms_onnx_type_name(input->type) : "");
	struct onnx_node none = {.op = MS_SLICE_LIT("input"), .name = input->name};
	struct onnx_value *v = NULL;
	int64_t dims[2] = {1, (int64_t)width};
	MS_TRY(ms_onnx_new_value(g, &none, type, input->has_shape ? input->rank : 2, dims, 0, &v));
	for (size_t i = 0; i < width; i++) {
		g->features[first + i] = (struct onnx_feature){
			.type = type,
			.slot = UINT32_MAX,
			.categories = {.item_size = sizeof(uint32_t)},
		};
		v->columns[i] = (uint32_t)(first + i) | COLUMN_FEATURE;
	}
	MS_TRY(name_features(g, input, first, width, only));
	return bind_value(g, input->name, v);
}

static enum ms_err bind_inputs(struct onnx_graph *g)
{
	const struct onnx_file *f = g->file;
	for (size_t i = 0; i < f->initialiser_count; i++)
		MS_TRY(bind_initialiser(g, &f->initialisers[i]));
	int64_t *widths = MS_ARENA_ARRAY(g->ctx->scratch, int64_t, f->input_count);
	if (widths == NULL)
		return no_memory(g);
	size_t inputs = 0;
	for (size_t i = 0; i < f->input_count; i++) {
		if (ms_map_get(&g->values, f->inputs[i].name) != NULL)
			continue; // old files list initialisers among the inputs
		MS_TRY(input_width(g, &f->inputs[i], &widths[i]));
		g->feature_count += (size_t)widths[i];
		inputs++;
	}
	if (inputs == 0)
		return ms_fail(g->ctx->info, MS_ERR_MODEL_FORMAT, "the graph has no inputs");
	g->features = MS_ARENA_ARRAY(g->ctx->scratch, struct onnx_feature, g->feature_count);
	if (g->features == NULL)
		return no_memory(g);
	size_t first = 0;
	for (size_t i = 0; i < f->input_count; i++) {
		if (widths[i] == 0)
			continue;
		MS_TRY(bind_input(g, &f->inputs[i], (size_t)widths[i], first, inputs == 1));
		first += (size_t)widths[i];
	}
	return MS_OK;
}

// --- Nodes -------------------------------------------------------------------------------------------------

// Marks the nodes that some output of the graph comes from.
static enum ms_err find_needed(struct onnx_graph *g, bool **ret_needed)
{
	const struct onnx_file *f = g->file;
	bool *needed = MS_ARENA_ARRAY(g->ctx->scratch, bool, f->node_count);
	struct map wanted;
	ms_map_init(&wanted, ENTRIES_MAX, g->values.seed);
	bool ok = needed != NULL;
	for (size_t i = 0; ok && i < f->output_count; i++)
		ok = ms_map_put(&wanted, f->outputs[i], needed, NULL);
	for (size_t i = f->node_count; ok && i-- > 0;) {
		const struct onnx_node *n = &f->nodes[i];
		for (size_t k = 0; k < n->output_count; k++)
			needed[i] = needed[i] || ms_map_get(&wanted, n->outputs[k]) != NULL;
		for (size_t k = 0; ok && needed[i] && k < n->input_count; k++)
			ok = ms_map_put(&wanted, n->inputs[k], needed, NULL);
	}
	ms_map_fini(&wanted);
	if (!ok)
		return no_memory(g);
	*ret_needed = needed;
	return MS_OK;
}

static enum ms_err build_nodes(struct onnx_graph *g)
{
	bool *needed = NULL;
	MS_TRY(find_needed(g, &needed));
	for (size_t i = 0; i < g->file->node_count; i++) {
		const struct onnx_node *n = &g->file->nodes[i];
		if (!needed[i])
			continue;
		bool standard = n->domain.n == 0;
		const struct onnx_op *op = standard           ? ms_onnx_find_op(n)
					   : ms_onnx_is_ml(n) ? ms_onnx_find_ml_op(n)
							      : NULL;
		if (op != NULL && (standard ? g->file->opset : g->file->opset_ml) == 0)
			return ms_onnx_fail(g->file, n, MS_ERR_MODEL_FORMAT,
					    "the model does not import its operator set");
		if (op == NULL)
			return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED, "it is not known here");
		MS_TRY(op->build(g, n));
	}
	return MS_OK;
}

// --- The finished program ------------------------------------------------------------------------------------

static void *keep(struct onnx_graph *g, const struct onnx_vec *v)
{
	void *p = ms_arena_alloc(g->ctx->memory, v->n * v->item_size);
	if (p != NULL && v->n > 0)
		memcpy(p, v->p, v->n * v->item_size);
	return p;
}

struct outputs {
	const struct onnx_value *scores;
	const struct onnx_value *label;
};

static enum ms_err find_outputs(struct onnx_graph *g, struct outputs *ret_outputs)
{
	struct outputs o = {NULL, NULL};
	const struct onnx_value *number = NULL;
	for (size_t i = 0; i < g->file->output_count; i++) {
		const struct onnx_value *v = ms_map_get(&g->values, g->file->outputs[i]);
		if (v == NULL)
			return ms_fail(g->ctx->info, MS_ERR_MODEL_FORMAT, "nothing makes the output \"%.*s\"",
				       MS_SLICE_ARG(g->file->outputs[i]));
		if (v->batch < 0 || v->count == 0)
			continue;
		bool real = v->type == PIPELINE_F32 || v->type == PIPELINE_F64;
		if (v->labels != NULL && v->count == 1 && o.label == NULL)
			o.label = v;
		else if (v->labels == NULL && real && o.scores == NULL)
			o.scores = v;
		else if (v->labels == NULL && v->type != PIPELINE_STRING && number == NULL)
			number = v;
	}
	if (o.scores == NULL)
		o.scores = number;
	if (o.scores == NULL && o.label != NULL && o.label->labels->numbers != NULL)
		MS_TRY(ms_onnx_materialise(g, o.label, &o.scores));
	if (o.scores == NULL)
		return ms_fail(g->ctx->info, MS_ERR_MODEL_UNSUPPORTED,
			       "no output of the graph holds numbers: export the scores as well");
	*ret_outputs = o;
	return MS_OK;
}

// Many features may take the same strings: each is copied once.
static enum ms_err keep_texts(struct onnx_graph *g, const struct slice **ret_texts)
{
	struct slice *texts = (struct slice *)(void *)g->string_texts.p;
	for (size_t i = 0; i < g->string_texts.n; i++) {
		texts[i] = ms_arena_copy(g->ctx->memory, texts[i]);
		if (texts[i].p == NULL)
			return no_memory(g);
	}
	*ret_texts = texts;
	return MS_OK;
}

static enum ms_err finish_categories(struct onnx_graph *g, struct model_description *d)
{
	const struct slice *texts = NULL;
	MS_TRY(keep_texts(g, &texts));
	struct category_encoding *encodings =
		MS_ARENA_ARRAY(g->ctx->memory, struct category_encoding, g->feature_count);
	if (encodings == NULL)
		return no_memory(g);
	d->encodings = encodings;
	for (size_t i = 0; i < g->feature_count; i++) {
		const struct onnx_feature *from = &g->features[i];
		struct model_feature *to = &d->features[i];
		if (from->type != PIPELINE_STRING)
			continue;
		const uint32_t *numbers = (const uint32_t *)(const void *)from->categories.p;
		struct slice *categories = MS_ARENA_ARRAY(g->ctx->memory, struct slice, from->categories.n);
		double *values = MS_ARENA_ARRAY(g->ctx->memory, double, from->categories.n);
		if (categories == NULL || values == NULL)
			return no_memory(g);
		for (size_t k = 0; k < from->categories.n; k++) {
			categories[k] = texts[numbers[k]];
			values[k] = numbers[k];
		}
		*to = (struct model_feature){
			.name = from->name,
			.categorical = true,
			.has_strings = true,
			.categories = categories,
			.category_count = from->categories.n,
		};
		encodings[i] = (struct category_encoding){
			.kind = CATEGORY_STRINGS,
			.unseen_refused = from->unseen_refused,
		};
		if (from->slot != UINT32_MAX)
			((struct pipeline_table *)(void *)g->tables.p)[from->table] =
				(struct pipeline_table){NULL, values, from->categories.n};
	}
	return MS_OK;
}

static enum ms_err finish_features(struct onnx_graph *g, struct model_description *d)
{
	d->features = MS_ARENA_ARRAY(g->ctx->memory, struct model_feature, g->feature_count);
	if (d->features == NULL)
		return no_memory(g);
	d->feature_count = g->feature_count;
	d->input_single_precision = true;
	bool strings = false;
	for (size_t i = 0; i < g->feature_count; i++) {
		const struct onnx_feature *f = &g->features[i];
		if (f->name.n == 0)
			return ms_fail(g->ctx->info, MS_ERR_MODEL_FORMAT, "an input has no name");
		d->features[i].name = f->name;
		d->input_single_precision =
			d->input_single_precision && (f->type == PIPELINE_F32 || f->type == PIPELINE_STRING);
		strings = strings || f->type == PIPELINE_STRING;
	}
	d->named_features = g->file->input_count > 1 || g->file->feature_names.n > 0;
	return strings ? finish_categories(g, d) : MS_OK;
}

static enum ms_err finish_outputs(struct onnx_graph *g, struct pipeline *p, struct model_description *d)
{
	struct outputs o = {NULL, NULL};
	MS_TRY(find_outputs(g, &o));
	if (o.scores->count > UINT32_MAX / 8)
		return too_many(g, "outputs");
	MS_TRY(ms_onnx_list(g, o.scores->columns, o.scores->count, 1, &p->scores));
	p->raw = g->end_count == 1 ? g->raw : p->scores;
	d->single_precision = o.scores->type == PIPELINE_F32;
	d->raw_count = p->raw.count;
	d->task = MODEL_REGRESSION;
	if (o.label == NULL || o.label->labels->count < 2)
		return MS_OK;
	MS_TRY(ms_onnx_list(g, o.label->columns, 1, 1, &p->label));
	d->class_count = o.label->labels->count;
	d->labels = o.label->labels->names;
	d->task = d->class_count == 2 ? MODEL_BINARY : MODEL_MULTICLASS;
	d->has_probability = p->scores.count == d->class_count;
	d->label_rule = LABEL_RAW;
	return MS_OK;
}

static enum ms_err finish(struct onnx_graph *g, struct model_description *d)
{
	struct pipeline *p = MS_ARENA_NEW(g->ctx->memory, struct pipeline);
	if (p == NULL)
		return no_memory(g);
	MS_TRY(finish_outputs(g, p, d));
	MS_TRY(finish_features(g, d));
	p->feature_count = g->feature_count;
	p->slot_count = g->slot_count;
	p->steps = keep(g, &g->steps);
	p->step_count = g->steps.n;
	p->lists = keep(g, &g->lists);
	p->constants = keep(g, &g->constants);
	p->tables = keep(g, &g->tables);
	p->ends = keep(g, &g->ends);
	p->forests = keep(g, &g->forests);
	p->forest_count = g->forests.n;
	p->tree_count = g->tree_count;
	p->node_count = g->node_count;
	if (p->steps == NULL || p->lists == NULL || p->constants == NULL || p->tables == NULL || p->ends == NULL ||
	    p->forests == NULL)
		return no_memory(g);
	d->pipeline = p;
	d->objective = ms_arena_copy(g->ctx->memory, g->end_op);
	if (d->objective.p == NULL)
		return no_memory(g);
	const struct onnx_file *f = g->file;
	if (f->producer.n > 0)
		d->library_version = ms_slice_cstr(ms_arena_printf(
			g->ctx->memory, "%.*s %.*s", MS_SLICE_ARG(f->producer), MS_SLICE_ARG(f->producer_version)));
	return d->library_version.p != NULL || f->producer.n == 0 ? MS_OK : no_memory(g);
}

static enum ms_err build(struct onnx_graph *g, struct model_description *ret_description)
{
	struct model_description d = {0};
	MS_TRY(bind_inputs(g));
	MS_TRY(build_nodes(g));
	MS_TRY(finish(g, &d));
	*ret_description = d;
	return MS_OK;
}

enum ms_err ms_onnx_load(struct loader_context *ctx, struct model_description *ret_description)
{
	struct onnx_file file;
	MS_TRY(ms_onnx_read(ctx, &file));
	struct onnx_graph g = {.file = &file, .ctx = ctx};
	if (MS_MUL_OVERFLOWS(ctx->bytes.n, BUDGET_PER_BYTE, &g.budget) ||
	    MS_ADD_OVERFLOWS(g.budget, BUDGET_FREE, &g.budget))
		g.budget = SIZE_MAX;
	// Unknown to whoever writes the file: where this process put it.
	struct hash_seed seed = {(uintptr_t)ctx->memory, (uintptr_t)ctx->bytes.p};
	ms_map_init(&g.values, ENTRIES_MAX, seed);
	ms_map_init(&g.strings, ENTRIES_MAX, seed);
	ms_map_init(&g.feature_strings, ENTRIES_MAX, seed);
	g.steps.item_size = sizeof(struct pipeline_step);
	g.lists.item_size = sizeof(uint32_t);
	g.constants.item_size = sizeof(double);
	g.tables.item_size = sizeof(struct pipeline_table);
	g.ends.item_size = sizeof(struct pipeline_end);
	g.forests.item_size = sizeof(struct pipeline_forest);
	g.string_texts.item_size = sizeof(struct slice);
	enum ms_err err = build(&g, ret_description);
	ms_map_fini(&g.values);
	ms_map_fini(&g.strings);
	ms_map_fini(&g.feature_strings);
	return err;
}
