// SPDX-License-Identifier: Apache-2.0
// The graph while it becomes a program: what each named value is for one row, and the steps so far. Values that
// are only moved about (Concat, Reshape, Gather …) cost no step. Private to the ONNX loader.
#ifndef MS_MODEL_ONNX_GRAPH_H
#define MS_MODEL_ONNX_GRAPH_H

#include "model/onnx.h"
#include "model/pipeline.h"

// Beside slots and constants a column may be a feature of the row that nothing has loaded yet.
#define COLUMN_FEATURE ((uint32_t)1 << 30)
#define COLUMN_INDEX_MAX (COLUMN_FEATURE - 1)

// The classes that a label stands for.
struct onnx_labels {
	size_t count;
	const struct slice *names; // as text
	const double *numbers;     // NULL: they are strings
};

// A tensor as one row sees it: the axis of the rows (batch) has no place among the columns, which are in row-major
// order of the other axes.
struct onnx_value {
	enum pipeline_type type;
	bool is_shape;                    // what Shape answers; -1 stands for the number of rows
	bool is_map;                      // what ZipMap answers
	const struct onnx_labels *labels; // the column is the place of a label among these, not the label itself
	size_t rank;
	int64_t dims[ONNX_RANK_MAX]; // 1 on the axis of the rows
	int batch;                   // that axis, or -1: the same for all rows
	uint32_t *columns;
	size_t count;
};

struct onnx_vec {
	char *p;
	size_t n, capacity, item_size;
};

struct onnx_graph {
	const struct onnx_file *file;
	struct loader_context *ctx;
	struct map values;          // name → struct onnx_value *
	struct map strings;         // string → its number + 1
	struct map feature_strings; // feature and string → itself
	struct onnx_vec steps, lists, constants, tables, ends, forests, string_texts;
	uint32_t slot_count;
	size_t budget; // columns and operands that may still be made: a small file must not make a huge program
	size_t tree_count, node_count;

	struct onnx_feature *features;
	size_t feature_count;
	size_t end_count;         // ensembles and linear models
	struct slice end_op;      // the operator of the last of them
	struct pipeline_list raw; // of the last of them
};

struct onnx_feature {
	struct slice name;
	enum pipeline_type type;
	uint32_t slot; // UINT32_MAX: not loaded
	uint32_t table;
	bool unseen_refused;
	struct onnx_vec categories; // uint32_t: numbers of strings, in order of appearance
};

// --- Values ------------------------------------------------------------------------------------------------

// Input i of the node; an absent one is an error.
MS_MUST_USE enum ms_err ms_onnx_input(struct onnx_graph *g, const struct onnx_node *n, size_t i,
				      const struct onnx_value **ret_value);
bool ms_onnx_has_input(const struct onnx_node *n, size_t i);
// The same, where numbers are wanted: labels become what they stand for, strings are refused.
MS_MUST_USE enum ms_err ms_onnx_number_input(struct onnx_graph *g, const struct onnx_node *n, size_t i,
					     const struct onnx_value **ret_value);
// A value of that shape whose columns the caller fills.
MS_MUST_USE enum ms_err ms_onnx_new_value(struct onnx_graph *g, const struct onnx_node *n, enum pipeline_type type,
					  size_t rank, const int64_t *dims, int batch, struct onnx_value **ret_value);
// A value [rows, count].
MS_MUST_USE enum ms_err ms_onnx_new_rows(struct onnx_graph *g, const struct onnx_node *n, enum pipeline_type type,
					 size_t count, struct onnx_value **ret_value);
// Names it as output i of the node; nothing happens when the node has no such output.
MS_MUST_USE enum ms_err ms_onnx_set_output(struct onnx_graph *g, const struct onnx_node *n, size_t i,
					   struct onnx_value *value);
// Places of classes → the labels' own numbers or strings.
MS_MUST_USE enum ms_err ms_onnx_materialise(struct onnx_graph *g, const struct onnx_value *v,
					    const struct onnx_value **ret_value);
// The value is [rows, columns] or [rows]; columns as operands.
MS_MUST_USE enum ms_err ms_onnx_require_rows(struct onnx_graph *g, const struct onnx_node *n,
					     const struct onnx_value *v);
// Constant numbers of an input, e.g. indices or a shape; an error when they depend on the row.
MS_MUST_USE enum ms_err ms_onnx_constant_input(struct onnx_graph *g, const struct onnx_node *n, size_t i,
					       double **ret_values, size_t *ret_count);
// An axis of a tensor of that rank: negative ones count from the end.
MS_MUST_USE enum ms_err ms_onnx_axis(struct onnx_graph *g, const struct onnx_node *n, int64_t axis, size_t rank,
				     size_t *ret_axis);
// Distances in `columns` of neighbours on each axis; 0 on axes of length 1 and on that of the rows.
void ms_onnx_strides(const struct onnx_value *v, size_t *ret_strides);

// --- Steps -------------------------------------------------------------------------------------------------

// The column as steps read it: a feature is loaded first.
MS_MUST_USE enum ms_err ms_onnx_operand(struct onnx_graph *g, uint32_t column, uint32_t *ret_operand);
// New slots, one after the other.
MS_MUST_USE enum ms_err ms_onnx_slots(struct onnx_graph *g, size_t count, uint32_t *ret_first);
MS_MUST_USE enum ms_err ms_onnx_step(struct onnx_graph *g, struct pipeline_step step);
// A step with one result, whose operands a, b and c are columns; it goes to a new slot.
MS_MUST_USE enum ms_err ms_onnx_emit(struct onnx_graph *g, enum pipeline_op op, enum pipeline_type type, uint32_t a,
				     uint32_t b, uint32_t c, uint32_t *ret_column);
MS_MUST_USE enum ms_err ms_onnx_constant(struct onnx_graph *g, double value, uint32_t *ret_column);
// Constants that stand one after the other.
MS_MUST_USE enum ms_err ms_onnx_constants(struct onnx_graph *g, const double *values, size_t count,
					  uint32_t *ret_first);
// The columns as a list of operands, with `stride` between them.
MS_MUST_USE enum ms_err ms_onnx_list(struct onnx_graph *g, const uint32_t *columns, size_t count, size_t stride,
				     struct pipeline_list *ret_list);
// Sorts by key; of equal keys the last one counts, as in a map that is filled in order.
MS_MUST_USE enum ms_err ms_onnx_table(struct onnx_graph *g, const double *keys, const double *values, size_t count,
				      uint32_t *ret_table);
// The number that stands for a string.
MS_MUST_USE enum ms_err ms_onnx_string(struct onnx_graph *g, struct slice text, double *ret_number);
// The column takes these strings: where it is a feature they become its categories.
MS_MUST_USE enum ms_err ms_onnx_takes_strings(struct onnx_graph *g, uint32_t column, const struct slice *texts,
					      size_t count, bool unseen_refused);
// Raw scores of an ensemble or linear model, for the output "raw".
void ms_onnx_set_raw(struct onnx_graph *g, const struct onnx_node *n, struct pipeline_list raw);

MS_MUST_USE enum ms_err ms_onnx_push(struct onnx_graph *g, struct onnx_vec *v, const void *item);

// Labels of a classifier from its attributes: strings, or integers, or none of both (count 0).
MS_MUST_USE enum ms_err ms_onnx_class_labels(struct onnx_graph *g, const struct onnx_node *n, const char *strings,
					     const char *ints, struct onnx_labels *ret_labels);
// A value [rows] that is a label.
MS_MUST_USE enum ms_err ms_onnx_new_label(struct onnx_graph *g, const struct onnx_node *n, uint32_t column,
					  const struct onnx_labels *labels, struct onnx_value **ret_value);

// --- Operators ---------------------------------------------------------------------------------------------

typedef enum ms_err onnx_op_fn(struct onnx_graph *g, const struct onnx_node *n);
struct onnx_op {
	const char *name;
	onnx_op_fn *build;
	int detail; // which of several that one function builds
};
// The row of the operator, or NULL.
const struct onnx_op *ms_onnx_find_op(const struct onnx_node *n);    // ai.onnx
const struct onnx_op *ms_onnx_find_ml_op(const struct onnx_node *n); // ai.onnx.ml
onnx_op_fn ms_onnx_build_ensemble;

#endif
