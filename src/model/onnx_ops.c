// SPDX-License-Identifier: Apache-2.0
// Operators of the domain ai.onnx, as far as converters write them around ensembles and linear models.
#include <math.h>

#include "model/onnx_graph.h"

static enum ms_err fail(struct onnx_graph *g, const struct onnx_node *n, const char *what)
{
	return ms_onnx_fail(g->file, n, MS_ERR_MODEL_FORMAT, "%s", what);
}

static enum ms_err unsupported(struct onnx_graph *g, const struct onnx_node *n, const char *what)
{
	return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED, "%s", what);
}

// A size or an axis; what is none becomes one that every check refuses.
static int64_t whole(double x)
{
	return fabs(x) <= 0x1p53 ? (int64_t)x : INT64_MIN;
}

static enum ms_err copy_value(struct onnx_graph *g, const struct onnx_value *x, struct onnx_value **ret_value)
{
	struct onnx_value *y = MS_ARENA_NEW(g->ctx->scratch, struct onnx_value);
	if (y == NULL)
		return ms_onnx_no_memory(g->ctx);
	*y = *x;
	*ret_value = y;
	return MS_OK;
}

// --- One value at a time -------------------------------------------------------------------------------------

static enum ms_err build_identity(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(copy_value(g, x, &y));
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err cast_type(struct onnx_graph *g, const struct onnx_node *n, enum pipeline_type *ret_type)
{
	int64_t to = 0;
	MS_TRY(ms_onnx_attr_int(g->file, n, "to", &to));
	switch (to) {
	case ONNX_FLOAT:
		*ret_type = PIPELINE_F32;
		return MS_OK;
	case ONNX_DOUBLE:
		*ret_type = PIPELINE_F64;
		return MS_OK;
	case ONNX_INT32:
	case ONNX_INT64:
		*ret_type = PIPELINE_I64;
		return MS_OK;
	case ONNX_BOOL:
		*ret_type = PIPELINE_BOOL;
		return MS_OK;
	case ONNX_STRING:
		*ret_type = PIPELINE_STRING;
		return MS_OK;
	default:
		return ms_onnx_fail(g->file, n, MS_ERR_MODEL_UNSUPPORTED, "to the type %s", ms_onnx_type_name(to));
	}
}

// Whether the labels stay what they are: numbers that the type can hold, strings as strings.
static bool keeps_labels(const struct onnx_labels *labels, enum pipeline_type to)
{
	if (labels->numbers == NULL)
		return to == PIPELINE_STRING;
	for (size_t i = 0; i < labels->count; i++)
		if ((to == PIPELINE_I64 && labels->numbers[i] != trunc(labels->numbers[i])) ||
		    (to == PIPELINE_F32 && labels->numbers[i] != (double)(float)labels->numbers[i]))
			return false;
	return to == PIPELINE_I64 || to == PIPELINE_F32 || to == PIPELINE_F64;
}

static enum ms_err build_cast(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	enum pipeline_type to = PIPELINE_F32;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(cast_type(g, n, &to));
	bool labels = x->labels != NULL && keeps_labels(x->labels, to);
	if (labels || x->type == to || (x->is_shape && to != PIPELINE_STRING)) {
		MS_TRY(copy_value(g, x, &y));
		y->type = to;
		return ms_onnx_set_output(g, n, 0, y);
	}
	MS_TRY(ms_onnx_number_input(g, n, 0, &x));
	if (to == PIPELINE_STRING)
		return unsupported(g, n, "numbers to strings");
	MS_TRY(ms_onnx_new_value(g, n, to, x->rank, x->dims, x->batch, &y));
	for (size_t i = 0; i < x->count; i++) {
		y->columns[i] = x->columns[i];
		bool wider = to == PIPELINE_F64 || x->type == PIPELINE_BOOL;
		if (!wider)
			MS_TRY(ms_onnx_emit(g, PIPELINE_CAST, to, x->columns[i], 0, 0, &y->columns[i]));
		else
			MS_TRY(ms_onnx_operand(g, x->columns[i], &y->columns[i]));
	}
	return ms_onnx_set_output(g, n, 0, y);
}

static const struct onnx_op *row_of(const struct onnx_node *n)
{
	const struct onnx_op *op = ms_onnx_find_op(n);
	MS_ASSERT(op != NULL);
	return op;
}

static enum ms_err build_unary(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	enum pipeline_op op = (enum pipeline_op)row_of(n)->detail;
	bool logical = op == PIPELINE_IS_NAN || op == PIPELINE_NOT;
	MS_TRY(ms_onnx_number_input(g, n, 0, &x));
	MS_TRY(ms_onnx_new_value(g, n, logical ? PIPELINE_BOOL : x->type, x->rank, x->dims, x->batch, &y));
	for (size_t i = 0; i < x->count; i++)
		MS_TRY(ms_onnx_emit(g, op, x->type, x->columns[i], 0, 0, &y->columns[i]));
	return ms_onnx_set_output(g, n, 0, y);
}

// --- Broadcasting ----------------------------------------------------------------------------------------------

#define OPERANDS_MAX 3

struct broadcast {
	const struct onnx_value *in[OPERANDS_MAX];
	size_t count;
	size_t rank;
	int64_t dims[ONNX_RANK_MAX];
	int batch;
	size_t strides[OPERANDS_MAX][ONNX_RANK_MAX]; // aligned at the last axis
};

static enum ms_err find_broadcast(struct onnx_graph *g, const struct onnx_node *n, struct broadcast *b)
{
	size_t own[ONNX_RANK_MAX];
	b->batch = -1;
	for (size_t i = 0; i < b->count; i++)
		b->rank = MS_MAX(b->rank, b->in[i]->rank);
	for (size_t k = 0; k < b->rank; k++)
		b->dims[k] = 1;
	for (size_t i = 0; i < b->count; i++) {
		const struct onnx_value *v = b->in[i];
		size_t shift = b->rank - v->rank;
		if (v->batch >= 0 && b->batch >= 0 && b->batch != v->batch + (int)shift)
			return unsupported(g, n, "each row with each other row");
		if (v->batch >= 0)
			b->batch = v->batch + (int)shift;
		ms_onnx_strides(v, own);
		for (size_t k = 0; k < v->rank; k++) {
			int64_t *dim = &b->dims[k + shift];
			if (v->dims[k] != 1 && *dim != 1 && *dim != v->dims[k])
				return fail(g, n, "the shapes of its inputs do not fit");
			*dim = v->dims[k] != 1 ? v->dims[k] : *dim;
			b->strides[i][k + shift] = own[k];
		}
	}
	if (b->batch >= 0 && b->dims[b->batch] != 1)
		return unsupported(g, n, "a constant for each row");
	return MS_OK;
}

// The column of operand i that belongs to place `at` of the result.
static uint32_t broadcast_column(const struct broadcast *b, size_t i, size_t at)
{
	size_t place = 0;
	for (size_t k = b->rank; k-- > 0;) {
		size_t dim = (size_t)b->dims[k];
		place += at % dim * b->strides[i][k];
		at /= dim;
	}
	return b->in[i]->columns[place];
}

static enum ms_err build_binary(struct onnx_graph *g, const struct onnx_node *n)
{
	struct broadcast b = {.count = 2};
	struct onnx_value *y = NULL;
	enum pipeline_op op = (enum pipeline_op)(row_of(n)->detail & 0xff);
	bool swapped = row_of(n)->detail > 0xff, logical = op >= PIPELINE_EQUAL && op <= PIPELINE_XOR;
	MS_TRY(ms_onnx_number_input(g, n, swapped, &b.in[0]));
	MS_TRY(ms_onnx_number_input(g, n, !swapped, &b.in[1]));
	MS_TRY(find_broadcast(g, n, &b));
	enum pipeline_type type = b.in[swapped]->type;
	MS_TRY(ms_onnx_new_value(g, n, logical ? PIPELINE_BOOL : type, b.rank, b.dims, b.batch, &y));
	for (size_t i = 0; i < y->count; i++)
		MS_TRY(ms_onnx_emit(g, op, type, broadcast_column(&b, 0, i), broadcast_column(&b, 1, i), 0,
				    &y->columns[i]));
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_where(struct onnx_graph *g, const struct onnx_node *n)
{
	struct broadcast b = {.count = 3};
	struct onnx_value *y = NULL;
	for (size_t i = 0; i < 3; i++)
		MS_TRY(ms_onnx_number_input(g, n, i, &b.in[i]));
	MS_TRY(find_broadcast(g, n, &b));
	MS_TRY(ms_onnx_new_value(g, n, b.in[1]->type, b.rank, b.dims, b.batch, &y));
	for (size_t i = 0; i < y->count; i++)
		MS_TRY(ms_onnx_emit(g, PIPELINE_WHERE, y->type, broadcast_column(&b, 0, i), broadcast_column(&b, 1, i),
				    broadcast_column(&b, 2, i), &y->columns[i]));
	return ms_onnx_set_output(g, n, 0, y);
}

// Sum, Max, Min of any number of inputs: pair by pair.
static enum ms_err build_variadic(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *sum = NULL;
	struct onnx_value *y = NULL;
	enum pipeline_op op = (enum pipeline_op)row_of(n)->detail;
	MS_TRY(ms_onnx_number_input(g, n, 0, &sum));
	MS_TRY(copy_value(g, sum, &y));
	for (size_t k = 1; k < n->input_count; k++) {
		struct broadcast b = {.in = {y}, .count = 2};
		MS_TRY(ms_onnx_number_input(g, n, k, &b.in[1]));
		MS_TRY(find_broadcast(g, n, &b));
		MS_TRY(ms_onnx_new_value(g, n, b.in[0]->type, b.rank, b.dims, b.batch, &y));
		for (size_t i = 0; i < y->count; i++)
			MS_TRY(ms_onnx_emit(g, op, y->type, broadcast_column(&b, 0, i), broadcast_column(&b, 1, i), 0,
					    &y->columns[i]));
	}
	return ms_onnx_set_output(g, n, 0, y);
}

// Clip between two optional constants (attributes before opset 11), and Relu, which is Clip from 0 on.
static enum ms_err build_clip(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	bool relu = row_of(n)->detail != 0;
	MS_TRY(ms_onnx_number_input(g, n, 0, &x));
	if (ms_onnx_has_attr(n, "min") || ms_onnx_has_attr(n, "max"))
		return unsupported(g, n, "limits as attributes");
	MS_TRY(ms_onnx_new_value(g, n, x->type, x->rank, x->dims, x->batch, &y));
	memcpy(y->columns, x->columns, x->count * sizeof(*x->columns));
	for (size_t side = 1; side <= 2; side++) {
		double *limit = (double[]){0};
		size_t count = 1;
		uint32_t by;
		if (relu ? side == 2 : !ms_onnx_has_input(n, side))
			continue;
		if (!relu)
			MS_TRY(ms_onnx_constant_input(g, n, side, &limit, &count));
		if (count != 1)
			return fail(g, n, "a limit is no single number");
		MS_TRY(ms_onnx_constant(g, *limit, &by));
		for (size_t i = 0; i < x->count; i++)
			MS_TRY(ms_onnx_emit(g, side == 1 ? PIPELINE_MAX : PIPELINE_MIN, x->type, y->columns[i], by, 0,
					    &y->columns[i]));
	}
	return ms_onnx_set_output(g, n, 0, y);
}

// --- Shapes ----------------------------------------------------------------------------------------------------

static enum ms_err set_shape(struct onnx_graph *g, const struct onnx_node *n, const struct onnx_value *x, size_t rank,
			     const int64_t *dims, int batch)
{
	struct onnx_value *y = NULL;
	size_t before = 1, after = 1, count = 1;
	for (int i = 0; i < x->batch; i++)
		before *= (size_t)x->dims[i];
	for (int i = 0; i < batch; i++)
		after *= (size_t)dims[i];
	for (size_t i = 0; i < rank; i++)
		count *= (int)i == batch ? 1 : (size_t)dims[i];
	if (count != x->count || (batch < 0) != (x->batch < 0))
		return unsupported(g, n, "a shape that mixes rows");
	if (before != after)
		return unsupported(g, n, "a shape that mixes rows");
	MS_TRY(copy_value(g, x, &y));
	y->rank = rank;
	y->batch = batch;
	for (size_t i = 0; i < rank; i++)
		y->dims[i] = (int)i == batch ? 1 : dims[i];
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_reshape(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	double *shape = NULL;
	size_t rank, known = 1;
	int64_t dims[ONNX_RANK_MAX];
	int batch = -1, open = -1;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(ms_onnx_constant_input(g, n, 1, &shape, &rank));
	if (rank > ONNX_RANK_MAX)
		return unsupported(g, n, "too many dimensions");
	for (size_t i = 0; i < rank; i++) {
		dims[i] = whole(shape[i]);
		if (dims[i] == 0 && i < x->rank && (int)i == x->batch) {
			batch = (int)i;
			dims[i] = 1;
		} else if (dims[i] == 0 && i < x->rank) {
			dims[i] = x->dims[i];
		} else if (dims[i] == -1 && open < 0) {
			open = (int)i;
			dims[i] = 1;
		}
		if (dims[i] < 1 || MS_MUL_OVERFLOWS(known, (size_t)dims[i], &known) || known > x->count)
			return unsupported(g, n, "its shape");
	}
	if (open >= 0 && batch < 0 && x->batch >= 0)
		batch = open; // what is left open is the number of rows
	else if (open >= 0)
		dims[open] = (int64_t)(x->count / known);
	return set_shape(g, n, x, rank, dims, batch);
}

static enum ms_err build_flatten(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	int64_t axis = 1;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(ms_onnx_attr_int(g->file, n, "axis", &axis));
	if (axis != 1 || x->batch != 0)
		return unsupported(g, n, "an axis but 1");
	return set_shape(g, n, x, 2, (const int64_t[]){1, (int64_t)x->count}, 0);
}

// Axes from the attribute (older opsets) or from input 1; a count of 0 when neither is there.
static enum ms_err read_axes(struct onnx_graph *g, const struct onnx_node *n, size_t rank, bool *ret_axes,
			     size_t *ret_count)
{
	int64_t *ints = NULL;
	double *values = NULL;
	memset(ret_axes, 0, ONNX_RANK_MAX * sizeof(*ret_axes));
	MS_TRY(ms_onnx_attr_ints(g->file, n, "axes", &ints, ret_count));
	bool as_input = *ret_count == 0 && ms_onnx_has_input(n, 1);
	if (as_input)
		MS_TRY(ms_onnx_constant_input(g, n, 1, &values, ret_count));
	for (size_t i = 0; i < *ret_count; i++) {
		size_t axis;
		MS_TRY(ms_onnx_axis(g, n, as_input ? whole(values[i]) : ints[i], rank, &axis));
		ret_axes[axis] = true;
	}
	return MS_OK;
}

static enum ms_err build_squeeze(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	bool axes[ONNX_RANK_MAX];
	int64_t dims[ONNX_RANK_MAX];
	size_t count, rank = 0;
	int batch = -1;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(read_axes(g, n, x->rank, axes, &count));
	for (size_t i = 0; i < x->rank; i++) {
		bool rows = (int)i == x->batch;
		if (axes[i] && (rows || x->dims[i] != 1))
			return unsupported(g, n, "an axis that is not of length 1");
		if (count > 0 ? axes[i] : !rows && x->dims[i] == 1)
			continue;
		if (rows)
			batch = (int)rank;
		dims[rank++] = x->dims[i];
	}
	return set_shape(g, n, x, rank, dims, batch);
}

static enum ms_err build_unsqueeze(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	bool axes[ONNX_RANK_MAX];
	int64_t dims[ONNX_RANK_MAX], *ints = NULL;
	double *values = NULL;
	size_t count, from = 0;
	int batch = -1;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(ms_onnx_attr_ints(g->file, n, "axes", &ints, &count));
	if (count == 0)
		MS_TRY(ms_onnx_constant_input(g, n, 1, &values, &count));
	size_t rank = x->rank + count;
	if (rank > ONNX_RANK_MAX)
		return unsupported(g, n, "too many dimensions");
	MS_TRY(read_axes(g, n, rank, axes, &count));
	for (size_t i = 0; i < rank; i++) {
		if (!axes[i] && from == x->rank)
			return fail(g, n, "an axis comes twice");
		if (!axes[i] && (int)from == x->batch)
			batch = (int)i;
		dims[i] = axes[i] ? 1 : x->dims[from++];
	}
	return set_shape(g, n, x, rank, dims, batch);
}

static enum ms_err build_transpose(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	int64_t *perm = NULL, dims[ONNX_RANK_MAX];
	size_t count, strides[ONNX_RANK_MAX], own[ONNX_RANK_MAX];
	unsigned seen = 0;
	int batch = -1;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(ms_onnx_attr_ints(g->file, n, "perm", &perm, &count));
	if (count != 0 && count != x->rank)
		return fail(g, n, "perm does not fit its input");
	ms_onnx_strides(x, own);
	for (size_t i = 0; i < x->rank; i++) {
		int64_t from = count > 0 ? perm[i] : (int64_t)(x->rank - 1 - i);
		if (from < 0 || from >= (int64_t)x->rank || (seen >> from & 1) != 0)
			return fail(g, n, "perm does not fit its input");
		seen |= 1u << from;
		dims[i] = x->dims[from];
		strides[i] = own[from];
		if (from == x->batch)
			batch = (int)i;
	}
	MS_TRY(ms_onnx_new_value(g, n, x->type, x->rank, dims, batch, &y));
	y->labels = x->labels;
	for (size_t at = 0; at < y->count; at++) {
		size_t place = 0, rest = at;
		for (size_t k = y->rank; k-- > 0; rest /= (size_t)y->dims[k])
			place += rest % (size_t)y->dims[k] * strides[k];
		y->columns[at] = x->columns[place];
	}
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_shape(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(ms_onnx_new_value(g, n, PIPELINE_I64, 1, (const int64_t[]){(int64_t)x->rank}, -1, &y));
	y->is_shape = true;
	for (size_t i = 0; i < x->rank; i++)
		MS_TRY(ms_onnx_constant(g, (int)i == x->batch ? -1 : (double)x->dims[i], &y->columns[i]));
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_constant_of_shape(struct onnx_graph *g, const struct onnx_node *n)
{
	struct onnx_value *y = NULL;
	struct onnx_tensor t;
	double *shape = NULL, *values = NULL, value = 0;
	int64_t dims[ONNX_RANK_MAX];
	size_t rank;
	int batch = -1;
	uint32_t column;
	MS_TRY(ms_onnx_constant_input(g, n, 0, &shape, &rank));
	MS_TRY(ms_onnx_attr_tensor(g->file, n, "value", &t));
	if (t.type != ONNX_UNDEFINED) {
		MS_TRY(ms_onnx_tensor_numbers(g->file, &t, &values));
		value = t.count > 0 ? values[0] : 0;
	}
	if (rank > ONNX_RANK_MAX)
		return unsupported(g, n, "too many dimensions");
	for (size_t i = 0; i < rank; i++) {
		dims[i] = whole(shape[i]);
		if (dims[i] == -1 && batch < 0)
			batch = (int)i;
	}
	enum pipeline_type type = t.type == ONNX_INT64 || t.type == ONNX_INT32 ? PIPELINE_I64
				  : t.type == ONNX_DOUBLE                      ? PIPELINE_F64
				  : t.type == ONNX_BOOL                        ? PIPELINE_BOOL
									       : PIPELINE_F32;
	MS_TRY(ms_onnx_new_value(g, n, type, rank, dims, batch, &y));
	MS_TRY(ms_onnx_constant(g, value, &column));
	for (size_t i = 0; i < y->count; i++)
		y->columns[i] = column;
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_constant(struct onnx_graph *g, const struct onnx_node *n)
{
	struct onnx_tensor t;
	struct onnx_value *y = NULL;
	double *values = NULL;
	uint32_t first;
	MS_TRY(ms_onnx_attr_tensor(g->file, n, "value", &t));
	if (t.type == ONNX_UNDEFINED || t.type == ONNX_STRING)
		return unsupported(g, n, "anything but a tensor of numbers");
	MS_TRY(ms_onnx_tensor_numbers(g->file, &t, &values));
	enum pipeline_type type = t.type == ONNX_FLOAT    ? PIPELINE_F32
				  : t.type == ONNX_DOUBLE ? PIPELINE_F64
				  : t.type == ONNX_BOOL   ? PIPELINE_BOOL
							  : PIPELINE_I64;
	MS_TRY(ms_onnx_new_value(g, n, type, t.rank, t.dims, -1, &y));
	MS_TRY(ms_onnx_constants(g, values, t.count, &first));
	for (size_t i = 0; i < t.count; i++)
		y->columns[i] = first + (uint32_t)i;
	return ms_onnx_set_output(g, n, 0, y);
}

// --- Along one axis ----------------------------------------------------------------------------------------------

// A tensor seen as [outer, length, inner].
struct along {
	size_t outer, length, inner;
};

static enum ms_err find_along(struct onnx_graph *g, const struct onnx_node *n, const struct onnx_value *x, int64_t axis,
			      size_t *ret_axis, struct along *a)
{
	MS_TRY(ms_onnx_axis(g, n, axis, x->rank, ret_axis));
	if ((int)*ret_axis == x->batch)
		return unsupported(g, n, "along the axis of the rows");
	*a = (struct along){1, (size_t)x->dims[*ret_axis], 1};
	for (size_t i = 0; i < *ret_axis; i++)
		a->outer *= (size_t)x->dims[i];
	for (size_t i = *ret_axis + 1; i < x->rank; i++)
		a->inner *= (size_t)x->dims[i];
	return MS_OK;
}

static enum ms_err build_concat(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *first = NULL, *x = NULL;
	struct onnx_value *y = NULL;
	struct along a = {0};
	int64_t axis = 0, dims[ONNX_RANK_MAX], length = 0;
	size_t at, done = 0;
	int batch = -1;
	const struct onnx_value **in = MS_ARENA_ARRAY(g->ctx->scratch, const struct onnx_value *, n->input_count);
	if (in == NULL)
		return ms_onnx_no_memory(g->ctx);
	MS_TRY(ms_onnx_attr_int(g->file, n, "axis", &axis));
	for (size_t i = 0; i < n->input_count; i++) {
		MS_TRY(ms_onnx_input(g, n, i, &x));
		MS_TRY(ms_onnx_materialise(g, x, &in[i]));
		x = in[i];
		if (first == NULL)
			first = x;
		batch = MS_MAX(batch, x->batch);
		if (x->rank != first->rank || x->type != first->type)
			return unsupported(g, n, "inputs of different kinds");
		MS_TRY(find_along(g, n, x, axis, &at, &a));
		if (MS_ADD_OVERFLOWS(length, x->dims[at], &length))
			return fail(g, n, "the shapes of its inputs do not fit");
	}
	if (first == NULL)
		return fail(g, n, "it has no inputs");
	memcpy(dims, first->dims, sizeof(dims));
	MS_TRY(find_along(g, n, first, axis, &at, &a));
	dims[at] = length;
	MS_TRY(ms_onnx_new_value(g, n, first->type, first->rank, dims, batch, &y));
	for (size_t i = 0; i < n->input_count; i++) {
		struct along b = {0};
		x = in[i];
		MS_TRY(find_along(g, n, x, axis, &at, &b));
		for (size_t k = 0; k < x->rank; k++)
			if ((k != at && x->dims[k] != y->dims[k]) || (x->batch >= 0 && x->batch != batch))
				return fail(g, n, "the shapes of its inputs do not fit");
		for (size_t o = 0; x->count > 0 && o < b.outer; o++)
			for (size_t k = 0; k < b.length * b.inner; k++)
				y->columns[(o * (size_t)length + done) * b.inner + k] =
					x->columns[o * b.length * b.inner + k];
		done += b.length;
	}
	return ms_onnx_set_output(g, n, 0, y);
}

// The columns of `x` at these indices of the axis.
static enum ms_err pick(struct onnx_graph *g, const struct onnx_node *n, const struct onnx_value *x, int64_t axis,
			const double *indices, size_t count, size_t output)
{
	struct onnx_value *y = NULL;
	struct along a = {0};
	int64_t dims[ONNX_RANK_MAX];
	size_t at;
	MS_TRY(find_along(g, n, x, axis, &at, &a));
	memcpy(dims, x->dims, sizeof(dims));
	dims[at] = (int64_t)count;
	MS_TRY(ms_onnx_new_value(g, n, x->type, x->rank, dims, x->batch, &y));
	for (size_t k = 0; k < count; k++) {
		double index = indices[k] < 0 ? indices[k] + (double)a.length : indices[k];
		if (!(index >= 0 && index < (double)a.length))
			return ms_onnx_fail(g->file, n, MS_ERR_MODEL_FORMAT, "index %g of %zu", indices[k], a.length);
		for (size_t o = 0; o < a.outer; o++)
			for (size_t i = 0; i < a.inner; i++)
				y->columns[(o * count + k) * a.inner + i] =
					x->columns[(o * a.length + (size_t)index) * a.inner + i];
	}
	return ms_onnx_set_output(g, n, output, y);
}

static enum ms_err build_gather(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL, *index = NULL;
	double *indices = NULL;
	size_t count;
	int64_t axis = 0;
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(ms_onnx_materialise(g, x, &x));
	MS_TRY(ms_onnx_input(g, n, 1, &index));
	MS_TRY(ms_onnx_attr_int(g->file, n, "axis", &axis));
	if (index->rank != 1)
		return unsupported(g, n, "indices that are no list");
	MS_TRY(ms_onnx_constant_input(g, n, 1, &indices, &count));
	return pick(g, n, x, axis, indices, count, 0);
}

// Positive steps along one axis.
static enum ms_err build_slice(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	double *start = NULL, *end = NULL, *axes = NULL, *steps = NULL;
	size_t starts, ends, axis_count = 0, step_count = 0, at;
	struct along a = {0};
	MS_TRY(ms_onnx_input(g, n, 0, &x));
	MS_TRY(ms_onnx_materialise(g, x, &x));
	MS_TRY(ms_onnx_constant_input(g, n, 1, &start, &starts));
	MS_TRY(ms_onnx_constant_input(g, n, 2, &end, &ends));
	if (ms_onnx_has_input(n, 3))
		MS_TRY(ms_onnx_constant_input(g, n, 3, &axes, &axis_count));
	if (ms_onnx_has_input(n, 4))
		MS_TRY(ms_onnx_constant_input(g, n, 4, &steps, &step_count));
	if (starts != 1 || ends != 1 || axis_count != 1 || (step_count == 1 && steps[0] != 1))
		return unsupported(g, n, "anything but a run along one named axis");
	MS_TRY(find_along(g, n, x, whole(axes[0]), &at, &a));
	double length = (double)a.length;
	double from = start[0] < 0 ? start[0] + length : start[0], to = end[0] < 0 ? end[0] + length : end[0];
	from = fmin(fmax(from, 0), length);
	to = fmin(fmax(to, from), length);
	size_t count = (size_t)(to - from);
	double *indices = MS_ARENA_ARRAY(g->ctx->scratch, double, count);
	if (indices == NULL)
		return ms_onnx_no_memory(g->ctx);
	for (size_t i = 0; i < count; i++)
		indices[i] = from + (double)i;
	return pick(g, n, x, (int64_t)at, indices, count, 0);
}

// Sum, Mean, Product, Min, Max over axes that are not that of the rows.
static enum ms_err build_reduce(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	bool axes[ONNX_RANK_MAX];
	size_t count, rank = 0;
	int64_t keep = 1, dims[ONNX_RANK_MAX];
	int batch = -1;
	MS_TRY(ms_onnx_number_input(g, n, 0, &x));
	MS_TRY(read_axes(g, n, x->rank, axes, &count));
	MS_TRY(ms_onnx_attr_int(g->file, n, "keepdims", &keep));
	if (count == 0 || x->count == 0 || (x->batch >= 0 && axes[x->batch]))
		return unsupported(g, n, "along the axis of the rows");
	for (size_t i = 0; i < x->rank; i++) {
		if (axes[i] && keep == 0)
			continue;
		if ((int)i == x->batch)
			batch = (int)rank;
		dims[rank++] = axes[i] ? 1 : x->dims[i];
	}
	MS_TRY(ms_onnx_new_value(g, n, x->type, rank, dims, batch, &y));
	uint32_t *columns = MS_ARENA_ARRAY(g->ctx->scratch, uint32_t, x->count);
	uint32_t *taken = MS_ARENA_ARRAY(g->ctx->scratch, uint32_t, y->count);
	if (columns == NULL || taken == NULL)
		return ms_onnx_no_memory(g->ctx);
	size_t each = x->count / y->count; // items of each result, in their order
	for (size_t k = 0; k < x->count; k++) {
		size_t place = 0, size = 1, rest = k;
		for (size_t axis = x->rank; axis-- > 0; rest /= (size_t)x->dims[axis])
			if (!axes[axis]) {
				place += rest % (size_t)x->dims[axis] * size;
				size *= (size_t)x->dims[axis];
			}
		columns[place * each + taken[place]++] = x->columns[k];
	}
	for (size_t at = 0; at < y->count; at++) {
		struct pipeline_list list;
		MS_TRY(ms_onnx_list(g, columns + at * each, each, 1, &list));
		struct pipeline_step step = {
			.op = (uint8_t)row_of(n)->detail, .type = (uint8_t)x->type, .a = list.first, .c = list.count};
		MS_TRY(ms_onnx_slots(g, 1, &step.dst));
		MS_TRY(ms_onnx_step(g, step));
		y->columns[at] = step.dst;
	}
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_argmax(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	struct along a = {0};
	int64_t axis = 0, keep = 1, last = 0, dims[ONNX_RANK_MAX];
	size_t at, rank = 0;
	int batch = -1;
	MS_TRY(ms_onnx_number_input(g, n, 0, &x));
	MS_TRY(ms_onnx_attr_int(g->file, n, "axis", &axis));
	MS_TRY(ms_onnx_attr_int(g->file, n, "keepdims", &keep));
	MS_TRY(ms_onnx_attr_int(g->file, n, "select_last_index", &last));
	MS_TRY(find_along(g, n, x, axis, &at, &a));
	if (last != 0 || a.length == 0)
		return unsupported(g, n, "the last of the largest");
	for (size_t i = 0; i < x->rank; i++) {
		if (i == at && keep == 0)
			continue;
		if ((int)i == x->batch)
			batch = (int)rank;
		dims[rank++] = i == at ? 1 : x->dims[i];
	}
	MS_TRY(ms_onnx_new_value(g, n, PIPELINE_I64, rank, dims, batch, &y));
	for (size_t k = 0; k < a.outer * a.inner; k++) {
		struct pipeline_list list;
		const uint32_t *from = x->columns + k / a.inner * a.length * a.inner + k % a.inner;
		MS_TRY(ms_onnx_list(g, from, a.length, a.inner, &list));
		struct pipeline_step step = {.op = (uint8_t)row_of(n)->detail, .a = list.first, .c = list.count};
		MS_TRY(ms_onnx_slots(g, 1, &step.dst));
		MS_TRY(ms_onnx_step(g, step));
		y->columns[k] = step.dst;
	}
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_softmax(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	struct pipeline_list list;
	int64_t axis = g->file->opset >= 13 ? -1 : 1;
	struct along a = {0};
	size_t at;
	MS_TRY(ms_onnx_number_input(g, n, 0, &x));
	MS_TRY(ms_onnx_attr_int(g->file, n, "axis", &axis));
	MS_TRY(find_along(g, n, x, axis, &at, &a));
	if (a.inner != 1 || a.outer != 1 || x->count == 0)
		return unsupported(g, n, "along an axis but the last of two");
	MS_TRY(ms_onnx_new_value(g, n, x->type, x->rank, x->dims, x->batch, &y));
	MS_TRY(ms_onnx_list(g, x->columns, x->count, 1, &list));
	struct pipeline_step step = {
		.op = PIPELINE_SOFTMAX, .type = (uint8_t)x->type, .a = list.first, .c = list.count};
	MS_TRY(ms_onnx_slots(g, x->count, &step.dst));
	MS_TRY(ms_onnx_step(g, step));
	for (size_t i = 0; i < x->count; i++)
		y->columns[i] = step.dst + (uint32_t)i;
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_lp_normalization(struct onnx_graph *g, const struct onnx_node *n)
{
	const struct onnx_value *x = NULL;
	struct onnx_value *y = NULL;
	struct pipeline_list list;
	struct along a = {0};
	int64_t axis = -1, p = 2;
	size_t at;
	MS_TRY(ms_onnx_number_input(g, n, 0, &x));
	MS_TRY(ms_onnx_attr_int(g->file, n, "axis", &axis));
	MS_TRY(ms_onnx_attr_int(g->file, n, "p", &p));
	MS_TRY(find_along(g, n, x, axis, &at, &a));
	if (p != 1 || x->type != PIPELINE_F32 || a.outer != 1 || a.inner != 1 || x->count == 0)
		return unsupported(g, n, "anything but p=1 of a row of floats");
	MS_TRY(ms_onnx_new_value(g, n, x->type, x->rank, x->dims, x->batch, &y));
	MS_TRY(ms_onnx_list(g, x->columns, x->count, 1, &list));
	struct pipeline_step step = {.op = PIPELINE_NORM_L1, .a = list.first, .c = list.count};
	MS_TRY(ms_onnx_slots(g, x->count, &step.dst));
	MS_TRY(ms_onnx_step(g, step));
	for (size_t i = 0; i < x->count; i++)
		y->columns[i] = step.dst + (uint32_t)i;
	return ms_onnx_set_output(g, n, 0, y);
}

// --- Products ----------------------------------------------------------------------------------------------------

// y[k] = Σ x[i] · w[i, k]: w is constant, [inputs, outputs], or [outputs, inputs] when `transposed`.
static enum ms_err build_product(struct onnx_graph *g, const struct onnx_node *n, double alpha, bool transposed,
				 struct onnx_value **ret_value)
{
	const struct onnx_value *x = NULL, *w = NULL;
	double *weights = NULL;
	size_t count;
	MS_TRY(ms_onnx_number_input(g, n, 0, &x));
	MS_TRY(ms_onnx_require_rows(g, n, x));
	MS_TRY(ms_onnx_number_input(g, n, 1, &w));
	if (w->rank < 1 || w->rank > 2 || w->batch >= 0)
		return unsupported(g, n, "a product of two values that depend on the row");
	MS_TRY(ms_onnx_constant_input(g, n, 1, &weights, &count));
	size_t outputs = w->rank == 1 ? 1 : (size_t)w->dims[transposed ? 0 : 1];
	if (outputs == 0 || count != outputs * x->count)
		return fail(g, n, "the shapes of its inputs do not fit");
	int64_t dims[2] = {1, (int64_t)outputs};
	MS_TRY(ms_onnx_new_value(g, n, x->type, w->rank, dims, 0, ret_value));
	double *values = MS_ARENA_ARRAY(g->ctx->scratch, double, x->count + 1);
	struct pipeline_list list;
	uint32_t first;
	if (values == NULL)
		return ms_onnx_no_memory(g->ctx);
	MS_TRY(ms_onnx_list(g, x->columns, x->count, 1, &list));
	for (size_t k = 0; k < outputs; k++) {
		for (size_t i = 0; i < x->count; i++)
			values[1 + i] = alpha * weights[transposed ? k * x->count + i : i * outputs + k];
		MS_TRY(ms_onnx_constants(g, values, x->count + 1, &first));
		struct pipeline_step step = {.op = PIPELINE_DOT,
					     .type = (uint8_t)x->type,
					     .a = list.first,
					     .b = first & ~PIPELINE_CONSTANT,
					     .c = list.count};
		MS_TRY(ms_onnx_slots(g, 1, &step.dst));
		MS_TRY(ms_onnx_step(g, step));
		(*ret_value)->columns[k] = step.dst;
	}
	return MS_OK;
}

static enum ms_err build_matmul(struct onnx_graph *g, const struct onnx_node *n)
{
	struct onnx_value *y = NULL;
	MS_TRY(build_product(g, n, 1, false, &y));
	return ms_onnx_set_output(g, n, 0, y);
}

static enum ms_err build_gemm(struct onnx_graph *g, const struct onnx_node *n)
{
	float alpha = 1, beta = 1;
	int64_t transpose_a = 0, transpose_b = 0;
	struct onnx_value *y = NULL, *sum = NULL;
	MS_TRY(ms_onnx_attr_float(g->file, n, "alpha", &alpha));
	MS_TRY(ms_onnx_attr_float(g->file, n, "beta", &beta));
	MS_TRY(ms_onnx_attr_int(g->file, n, "transA", &transpose_a));
	MS_TRY(ms_onnx_attr_int(g->file, n, "transB", &transpose_b));
	if (transpose_a != 0 || beta != 1)
		return unsupported(g, n, "transA or beta");
	MS_TRY(build_product(g, n, (double)alpha, transpose_b != 0, &y));
	if (!ms_onnx_has_input(n, 2))
		return ms_onnx_set_output(g, n, 0, y);
	struct broadcast b = {.in = {y}, .count = 2};
	MS_TRY(ms_onnx_number_input(g, n, 2, &b.in[1]));
	MS_TRY(find_broadcast(g, n, &b));
	MS_TRY(ms_onnx_new_value(g, n, y->type, b.rank, b.dims, b.batch, &sum));
	for (size_t i = 0; i < sum->count; i++)
		MS_TRY(ms_onnx_emit(g, PIPELINE_ADD, y->type, broadcast_column(&b, 0, i), broadcast_column(&b, 1, i), 0,
				    &sum->columns[i]));
	return ms_onnx_set_output(g, n, 0, sum);
}

#define SWAPPED 0x100

const struct onnx_op *ms_onnx_find_op(const struct onnx_node *n)
{
	static const struct onnx_op ops[] = {
		{"Identity", build_identity, 0},
		{"Cast", build_cast, 0},
		{"Abs", build_unary, PIPELINE_ABS},
		{"Neg", build_unary, PIPELINE_NEG},
		{"Exp", build_unary, PIPELINE_EXP},
		{"Log", build_unary, PIPELINE_LOG},
		{"Sqrt", build_unary, PIPELINE_SQRT},
		{"Reciprocal", build_unary, PIPELINE_RECIPROCAL},
		{"Sigmoid", build_unary, PIPELINE_SIGMOID},
		{"Tanh", build_unary, PIPELINE_TANH},
		{"Floor", build_unary, PIPELINE_FLOOR},
		{"Ceil", build_unary, PIPELINE_CEIL},
		{"IsNaN", build_unary, PIPELINE_IS_NAN},
		{"Not", build_unary, PIPELINE_NOT},
		{"Add", build_binary, PIPELINE_ADD},
		{"Sub", build_binary, PIPELINE_SUB},
		{"Mul", build_binary, PIPELINE_MUL},
		{"Div", build_binary, PIPELINE_DIV},
		{"Pow", build_binary, PIPELINE_POW},
		{"Equal", build_binary, PIPELINE_EQUAL},
		{"Less", build_binary, PIPELINE_LESS},
		{"LessOrEqual", build_binary, PIPELINE_LESS_EQUAL},
		{"Greater", build_binary, PIPELINE_LESS | SWAPPED},
		{"GreaterOrEqual", build_binary, PIPELINE_LESS_EQUAL | SWAPPED},
		{"And", build_binary, PIPELINE_AND},
		{"Or", build_binary, PIPELINE_OR},
		{"Xor", build_binary, PIPELINE_XOR},
		{"Where", build_where, 0},
		{"Sum", build_variadic, PIPELINE_ADD},
		{"Max", build_variadic, PIPELINE_MAX},
		{"Min", build_variadic, PIPELINE_MIN},
		{"Clip", build_clip, 0},
		{"Relu", build_clip, 1},
		{"LpNormalization", build_lp_normalization, 0},
		{"Reshape", build_reshape, 0},
		{"Flatten", build_flatten, 0},
		{"Squeeze", build_squeeze, 0},
		{"Unsqueeze", build_unsqueeze, 0},
		{"Transpose", build_transpose, 0},
		{"Shape", build_shape, 0},
		{"ConstantOfShape", build_constant_of_shape, 0},
		{"Constant", build_constant, 0},
		{"Concat", build_concat, 0},
		{"Gather", build_gather, 0},
		{"Slice", build_slice, 0},
		{"ReduceSum", build_reduce, PIPELINE_SUM},
		{"ReduceMean", build_reduce, PIPELINE_MEAN},
		{"ReduceProd", build_reduce, PIPELINE_PRODUCT},
		{"ReduceMin", build_reduce, PIPELINE_MINIMUM},
		{"ReduceMax", build_reduce, PIPELINE_MAXIMUM},
		{"ArgMax", build_argmax, PIPELINE_ARGMAX},
		{"ArgMin", build_argmax, PIPELINE_ARGMIN},
		{"Softmax", build_softmax, 0},
		{"MatMul", build_matmul, 0},
		{"Gemm", build_gemm, 0},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(ops); i++)
		if (ms_slice_eq_cstr(n->op, ops[i].name))
			return &ops[i];
	return NULL;
}
