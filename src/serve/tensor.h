// SPDX-License-Identifier: Apache-2.0
// Tensors of the Open Inference Protocol v2: data types, JSON data (flat or nested) and binary data.
#ifndef MS_SERVE_TENSOR_H
#define MS_SERVE_TENSOR_H

#include "json/json.h"

enum tensor_type {
	TENSOR_BOOL,
	TENSOR_UINT8,
	TENSOR_UINT16,
	TENSOR_UINT32,
	TENSOR_UINT64,
	TENSOR_INT8,
	TENSOR_INT16,
	TENSOR_INT32,
	TENSOR_INT64,
	TENSOR_FP16,
	TENSOR_BF16,
	TENSOR_FP32,
	TENSOR_FP64,
	TENSOR_BYTES,
	TENSOR_TYPE_COUNT
};
const char *ms_tensor_type_name(enum tensor_type type);
MS_MUST_USE bool ms_tensor_type_parse(struct slice name, enum tensor_type *ret_type);
size_t ms_tensor_type_size(enum tensor_type type); // bytes of an element; 0 for BYTES

#define MS_TENSOR_MAX_DIMS 8

struct tensor {
	struct slice name;
	enum tensor_type type;
	uint64_t shape[MS_TENSOR_MAX_DIMS];
	size_t dims;
	size_t elements;      // product of the shape
	struct slice json;    // text of "data", or p == NULL
	struct slice binary;  // raw bytes, or p == NULL
	uint64_t binary_size; // parameters.binary_data_size
	bool has_binary_size;
};

// Reads one object of "inputs"; the binary data is attached by the caller.
MS_MUST_USE enum ms_err ms_tensor_read(struct json_reader *r, struct errinfo *info, struct tensor *ret_tensor);

// Receives the elements in row-major order.
typedef enum ms_err tensor_number_fn(void *arg, size_t index, double value, struct errinfo *info);
typedef enum ms_err tensor_text_fn(void *arg, size_t index, struct slice text, struct errinfo *info);
// Calls on_number for every element of a numeric tensor (null is NaN in floating-point JSON data), on_text
// for every element of a BYTES tensor. The number of elements has to be that of the shape.
MS_MUST_USE enum ms_err ms_tensor_elements(const struct tensor *tensor, struct arena *arena, struct errinfo *info,
					   tensor_number_fn *on_number, tensor_text_fn *on_text, void *arg);

#endif
