// SPDX-License-Identifier: Apache-2.0
// The ONNX file as it is written (onnx/onnx.proto): nodes, tensors and named inputs, before anything is known of
// what they mean. Everything points into the file's bytes; lists are made when somebody asks for them. Private to
// the ONNX loader, whose parts are
//
//	onnx.c           the file
//	onnx_graph.c     values, shapes and constants; the driver
//	onnx_ops.c       operators of the domain ai.onnx
//	onnx_ml.c        operators of the domain ai.onnx.ml, but for
//	onnx_ensemble.c  the operators of tree ensembles: attributes into one table
//	onnx_tree.c      that table into a forest
//	pipeline.c       the program that they make, and its evaluation
#ifndef MS_MODEL_ONNX_H
#define MS_MODEL_ONNX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "model/loader.h"
#include "model/protobuf.h"

// Element types of tensors (TensorProto.DataType).
enum onnx_type {
	ONNX_UNDEFINED = 0,
	ONNX_FLOAT = 1,
	ONNX_UINT8 = 2,
	ONNX_INT8 = 3,
	ONNX_INT32 = 6,
	ONNX_INT64 = 7,
	ONNX_STRING = 8,
	ONNX_BOOL = 9,
	ONNX_DOUBLE = 11,
};
const char *ms_onnx_type_name(int64_t type);

#define ONNX_RANK_MAX 6

struct onnx_input {
	struct slice name;
	int64_t type;
	bool is_tensor;
	bool has_shape;
	size_t rank;
	int64_t dims[ONNX_RANK_MAX]; // -1: not said
};

struct onnx_tensor {
	struct slice name;
	int64_t type;
	size_t rank;
	int64_t dims[ONNX_RANK_MAX];
	size_t count;         // product of dims
	struct slice message; // the whole TensorProto
};

struct onnx_node {
	struct slice op;
	struct slice domain; // "" for ai.onnx
	struct slice name;
	struct slice *inputs;
	size_t input_count;
	struct slice *outputs;
	size_t output_count;
	struct slice message; // the whole NodeProto, for attributes
};

struct onnx_file {
	struct loader_context *ctx;
	struct slice producer;
	struct slice producer_version;
	struct slice feature_names; // metadata "feature_names", or empty
	int64_t opset;              // of ai.onnx; 0: not imported
	int64_t opset_ml;           // of ai.onnx.ml
	struct onnx_node *nodes;
	size_t node_count;
	struct onnx_tensor *initialisers;
	size_t initialiser_count;
	struct onnx_input *inputs; // of the graph; old files list initialisers too
	size_t input_count;
	struct slice *outputs;
	size_t output_count;
};

MS_MUST_USE enum ms_err ms_onnx_read(struct loader_context *ctx, struct onnx_file *ret_file);

// MS_ERR_MODEL_FORMAT or MS_ERR_MODEL_UNSUPPORTED with the node's operator, domain, opset and name before the text.
enum ms_err ms_onnx_fail(const struct onnx_file *f, const struct onnx_node *n, enum ms_err code, const char *fmt, ...)
	MS_PRINTF(4, 5) MS_COLD;
enum ms_err ms_onnx_no_memory(const struct loader_context *ctx) MS_COLD;
bool ms_onnx_is_ml(const struct onnx_node *n);

// --- Attributes; lists go to the scratch arena -----------------------------------------------------------

// Each leaves the given default when there is none of that name; one of another type is MS_ERR_MODEL_FORMAT.
MS_MUST_USE enum ms_err ms_onnx_attr_int(const struct onnx_file *f, const struct onnx_node *n, const char *name,
					 int64_t *ret_value);
MS_MUST_USE enum ms_err ms_onnx_attr_float(const struct onnx_file *f, const struct onnx_node *n, const char *name,
					   float *ret_value);
MS_MUST_USE enum ms_err ms_onnx_attr_string(const struct onnx_file *f, const struct onnx_node *n, const char *name,
					    struct slice *ret_value);
// Counts are 0 without the attribute.
MS_MUST_USE enum ms_err ms_onnx_attr_ints(const struct onnx_file *f, const struct onnx_node *n, const char *name,
					  int64_t **ret_values, size_t *ret_count);
MS_MUST_USE enum ms_err ms_onnx_attr_floats(const struct onnx_file *f, const struct onnx_node *n, const char *name,
					    float **ret_values, size_t *ret_count);
MS_MUST_USE enum ms_err ms_onnx_attr_strings(const struct onnx_file *f, const struct onnx_node *n, const char *name,
					     struct slice **ret_values, size_t *ret_count);
// type ONNX_UNDEFINED when there is none.
MS_MUST_USE enum ms_err ms_onnx_attr_tensor(const struct onnx_file *f, const struct onnx_node *n, const char *name,
					    struct onnx_tensor *ret_tensor);
bool ms_onnx_has_attr(const struct onnx_node *n, const char *name);

// --- Tensors -----------------------------------------------------------------------------------------------

// Numbers of any type but strings, as double (integers beyond 2^53 are refused).
MS_MUST_USE enum ms_err ms_onnx_tensor_numbers(const struct onnx_file *f, const struct onnx_tensor *t,
					       double **ret_values);
MS_MUST_USE enum ms_err ms_onnx_tensor_strings(const struct onnx_file *f, const struct onnx_tensor *t,
					       struct slice **ret_values);

#endif
