// SPDX-License-Identifier: Apache-2.0
// A small program that is run for each row: the operators that stand around the forests of a model, and the
// forests themselves. A row has slots, one number each; a step makes one or more slots from others. Immutable
// once built; memory in the model's arena. It knows nothing of the format that it came from.
//
// Arithmetic is that of the type of a step: float operations are rounded to float, integers are whole numbers
// below 2^53 in doubles. Operators that the other formats do not need are ONNX Runtime's, in its order of sums.
#ifndef MS_MODEL_PIPELINE_H
#define MS_MODEL_PIPELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/forest.h"

enum pipeline_type {
	PIPELINE_F32,
	PIPELINE_F64,
	PIPELINE_I64,
	PIPELINE_BOOL,
	PIPELINE_STRING, // a number that stands for the string; NaN: some other string
};

// Where a step reads: a slot, or with this bit a constant.
#define PIPELINE_CONSTANT ((uint32_t)1 << 31)

enum pipeline_op {
	PIPELINE_LOAD,          // dst = feature a, rounded to the type
	PIPELINE_LOAD_CATEGORY, // dst = tables[b] at the place that feature a says, or NaN
	PIPELINE_CAST,          // a to the type; c: enum pipeline_type of a
	// of a
	PIPELINE_NEG,
	PIPELINE_ABS,
	PIPELINE_EXP,
	PIPELINE_LOG,
	PIPELINE_SQRT,
	PIPELINE_RECIPROCAL,
	PIPELINE_SIGMOID,
	PIPELINE_TANH,
	PIPELINE_FLOOR,
	PIPELINE_CEIL,
	PIPELINE_IS_NAN,
	PIPELINE_NOT,
	// of a and b
	PIPELINE_ADD,
	PIPELINE_SUB,
	PIPELINE_MUL,
	PIPELINE_DIV,
	PIPELINE_POW,
	PIPELINE_MIN,
	PIPELINE_MAX,
	PIPELINE_EQUAL,
	PIPELINE_LESS,
	PIPELINE_LESS_EQUAL,
	PIPELINE_AND,
	PIPELINE_OR,
	PIPELINE_XOR,
	PIPELINE_WHERE,   // a ? b : c
	PIPELINE_REPLACE, // c when a equals b (or both are NaN), else a
	PIPELINE_AT,      // constants[b + a], a clamped to 0 … c - 1
	PIPELINE_LOOKUP,  // in tables[b]: the value of key a, else constants[c]
	PIPELINE_ONE_HOT, // dst … : zeros, and one at the value of key a in tables[b]; c slots
	// of the list of c operands that starts at lists[a]
	PIPELINE_SUM,
	PIPELINE_MEAN,
	PIPELINE_PRODUCT,
	PIPELINE_MINIMUM,
	PIPELINE_MAXIMUM,
	PIPELINE_ARGMAX,   // the first of the largest
	PIPELINE_ARGMIN,   // the first of the smallest
	PIPELINE_SOFTMAX,  // c slots
	PIPELINE_NORM_MAX, // c slots each: divided by the largest, the sum of magnitudes, the root of the sum of squares
	PIPELINE_NORM_L1,
	PIPELINE_NORM_L2,
	PIPELINE_DOT,    // constants[b] + Σ constants[b + 1 + i] · operand i, summed in double
	PIPELINE_FOREST, // forests[b]: its raw scores from the list
	PIPELINE_END,    // ends[b]: what an ensemble makes of the list of its raw scores
};

struct pipeline_step {
	uint8_t op;   // enum pipeline_op
	uint8_t type; // enum pipeline_type
	uint32_t dst, a, b, c;
};

// Keys ascending. Of a dense table (PIPELINE_LOAD_CATEGORY) keys is NULL.
struct pipeline_table {
	const double *keys;
	const double *values;
	size_t count;
};

enum pipeline_post { PIPELINE_NONE, PIPELINE_SOFTMAX_POST, PIPELINE_LOGISTIC, PIPELINE_SOFTMAX_ZERO, PIPELINE_PROBIT };
enum pipeline_aggregate { PIPELINE_AVERAGE, PIPELINE_AGGREGATE_SUM, PIPELINE_AGGREGATE_MIN, PIPELINE_AGGREGATE_MAX };

// The end of an ensemble as ONNX Runtime computes it. Its list: the sum of each target, then with `has_flags` for each
// target whether a leaf scored it. With aggregate MIN and MAX instead the value of each tree for the first target,
// then for the second and so on, NaN where the tree scores none. Its slots: the raw scores (base values added), then
// the predictions, then for classifiers the label.
struct pipeline_end {
	bool classifier;
	bool single; // sums and comparisons in float; predictions always are
	bool wide;   // predictions stay double (TreeEnsemble of opset 5 on doubles)
	bool has_flags;
	bool one_column;   // classifier of two classes whose leaves score one of them only
	bool all_positive; // no weight is negative
	bool linear;       // a linear model, which has no such cases
	uint32_t column;   // with one_column: which
	enum pipeline_post post;
	enum pipeline_aggregate aggregate;
	size_t tree_count;
	size_t target_count; // raw scores
	size_t class_count;  // classifiers
	const double *base;  // base_count
	size_t base_count;
};

struct pipeline_forest {
	const struct forest *forest;
	bool direct; // its features are the row's own
};

struct pipeline_list {
	uint32_t first; // in lists
	uint32_t count;
};

struct pipeline {
	size_t feature_count;
	size_t slot_count;
	const struct pipeline_step *steps;
	size_t step_count;
	const uint32_t *lists;
	const double *constants;
	const struct pipeline_table *tables;
	const struct pipeline_end *ends;
	const struct pipeline_forest *forests;
	size_t forest_count;
	size_t tree_count; // of all forests
	size_t node_count;
	struct pipeline_list raw;    // what the outputs are, once all steps have run
	struct pipeline_list scores; // for classifiers the probabilities
	struct pipeline_list label;  // one, or none
};

// Bytes of scratch that a call needs (16-byte aligned).
size_t ms_pipeline_scratch_size(const struct pipeline *p);
// The operands of `list` for each row, row-major.
void ms_pipeline_run(const struct pipeline *p, struct pipeline_list list, const double *rows, size_t row_count,
		     void *scratch, double *out);
// Leaves of the only forest.
void ms_pipeline_leaves(const struct pipeline *p, const double *rows, size_t row_count, void *scratch, double *out);
// Rough cost of one row.
uint32_t ms_pipeline_row_ns(const struct pipeline *p);

#endif
