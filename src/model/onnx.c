// SPDX-License-Identifier: Apache-2.0
#include "model/onnx.h"

#include <math.h>
#include <stdio.h>

#define EXACT_INTEGER_MAX ((int64_t)1 << 53)

// Types of attributes (AttributeProto.AttributeType).
enum {
	ATTR_FLOAT = 1,
	ATTR_INT = 2,
	ATTR_STRING = 3,
	ATTR_TENSOR = 4,
	ATTR_FLOATS = 6,
	ATTR_INTS = 7,
	ATTR_STRINGS = 8
};

const char *ms_onnx_type_name(int64_t type)
{
	static const char *const names[] = {"undefined", "float",  "uint8",     "int8",       "uint16",  "int16",
					    "int32",     "int64",  "string",    "bool",       "float16", "double",
					    "uint32",    "uint64", "complex64", "complex128", "bfloat16"};
	return type >= 0 && (size_t)type < MS_ARRAY_LEN(names) ? names[type] : "unknown";
}

enum ms_err ms_onnx_no_memory(const struct loader_context *ctx)
{
	return ms_fail(ctx->info, MS_ERR_MODEL_TOO_LARGE,
		       "the model needs more than the %zu bytes of memory it may use", ctx->memory->max);
}

bool ms_onnx_is_ml(const struct onnx_node *n)
{
	return ms_slice_eq_cstr(n->domain, "ai.onnx.ml");
}

enum ms_err ms_onnx_fail(const struct onnx_file *f, const struct onnx_node *n, enum ms_err code, const char *fmt, ...)
{
	char text[320];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	struct slice domain = n->domain.n > 0 ? ms_slice_sub(n->domain, 0, 60) : MS_SLICE_LIT("ai.onnx");
	struct slice name = ms_slice_sub(n->name, 0, 60), op = ms_slice_sub(n->op, 0, 60);
	return ms_fail(f->ctx->info, code, "operator %.*s (%.*s, opset %lld)%s%.*s%s: %s", MS_SLICE_ARG(op),
		       MS_SLICE_ARG(domain), (long long)(ms_onnx_is_ml(n) ? f->opset_ml : f->opset),
		       name.n > 0 ? ", node \"" : "", MS_SLICE_ARG(name), name.n > 0 ? "\"" : "", text);
}

static enum ms_err damaged(struct loader_context *ctx, const char *what)
{
	return ms_fail(ctx->info, MS_ERR_MODEL_FORMAT, "the ONNX file is damaged or cut off: %s", what);
}

// --- The file ----------------------------------------------------------------------------------------------

static size_t count_fields(struct slice message, uint32_t number)
{
	struct pb p = ms_pb(message);
	struct pb_field field;
	size_t n = 0;
	while (ms_pb_next(&p, &field))
		n += field.number == number && field.wire == PB_BYTES;
	return n;
}

static enum ms_err read_shape(struct loader_context *ctx, struct slice message, struct onnx_input *input)
{
	struct pb p = ms_pb(message), q;
	struct pb_field dim, size;
	input->has_shape = true;
	while (ms_pb_next(&p, &dim)) {
		if (dim.number != 1 || dim.wire != PB_BYTES)
			continue;
		if (input->rank == ONNX_RANK_MAX)
			return ms_fail(ctx->info, MS_ERR_MODEL_UNSUPPORTED,
				       "input \"%.*s\" has more than %d dimensions", MS_SLICE_ARG(input->name),
				       ONNX_RANK_MAX);
		int64_t *dst = &input->dims[input->rank++];
		*dst = -1;
		for (q = ms_pb(dim.bytes); ms_pb_next(&q, &size);)
			if (size.number == 1 && size.wire == PB_VARINT)
				*dst = ms_pb_i64(&size);
		if (!ms_pb_ok(&q))
			return damaged(ctx, "the shape of an input");
	}
	return ms_pb_ok(&p) ? MS_OK : damaged(ctx, "the shape of an input");
}

static enum ms_err read_input_type(struct loader_context *ctx, struct slice message, struct onnx_input *input)
{
	struct pb p = ms_pb(message), q;
	struct pb_field kind, field;
	while (ms_pb_next(&p, &kind)) {
		if (kind.number != 1 || kind.wire != PB_BYTES)
			continue;
		input->is_tensor = true;
		for (q = ms_pb(kind.bytes); ms_pb_next(&q, &field);) {
			if (field.number == 1 && field.wire == PB_VARINT)
				input->type = ms_pb_i64(&field);
			else if (field.number == 2 && field.wire == PB_BYTES && !input->has_shape)
				MS_TRY(read_shape(ctx, field.bytes, input));
		}
		if (!ms_pb_ok(&q))
			return damaged(ctx, "the type of an input");
	}
	return ms_pb_ok(&p) ? MS_OK : damaged(ctx, "the type of an input");
}

static enum ms_err read_value_info(struct loader_context *ctx, struct slice message, struct onnx_input *ret_input)
{
	struct onnx_input input = {0};
	struct slice type = MS_SLICE_EMPTY;
	struct pb p = ms_pb(message);
	struct pb_field field;
	while (ms_pb_next(&p, &field)) {
		if (field.wire != PB_BYTES)
			continue;
		if (field.number == 1)
			input.name = field.bytes;
		else if (field.number == 2)
			type = field.bytes;
	}
	if (!ms_pb_ok(&p))
		return damaged(ctx, "an input");
	MS_TRY(read_input_type(ctx, type, &input));
	*ret_input = input;
	return MS_OK;
}

static enum ms_err add_dim(struct loader_context *ctx, struct onnx_tensor *t, int64_t dim)
{
	if (t->rank == ONNX_RANK_MAX)
		return ms_fail(ctx->info, MS_ERR_MODEL_UNSUPPORTED, "tensor \"%.*s\" has more than %d dimensions",
			       MS_SLICE_ARG(t->name), ONNX_RANK_MAX);
	if (dim < 0 || MS_MUL_OVERFLOWS(t->count, (size_t)dim, &t->count))
		return ms_fail(ctx->info, MS_ERR_MODEL_FORMAT, "tensor \"%.*s\" has a dimension of %lld",
			       MS_SLICE_ARG(t->name), (long long)dim);
	t->dims[t->rank++] = dim;
	return MS_OK;
}

static enum ms_err add_dims(struct loader_context *ctx, struct onnx_tensor *t, const struct pb_field *field)
{
	if (field->wire == PB_VARINT)
		return add_dim(ctx, t, ms_pb_i64(field));
	struct pb p = ms_pb(field->bytes);
	uint64_t dim;
	while (ms_pb_next_varint(&p, &dim))
		MS_TRY(add_dim(ctx, t, (int64_t)dim));
	return ms_pb_ok(&p) ? MS_OK : damaged(ctx, "the dimensions of a tensor");
}

static enum ms_err read_tensor(struct loader_context *ctx, struct slice message, struct onnx_tensor *ret_tensor)
{
	struct onnx_tensor t = {.message = message, .count = 1};
	struct pb p = ms_pb(message);
	struct pb_field field;
	while (ms_pb_next(&p, &field)) {
		if (field.number == 1 && (field.wire == PB_VARINT || field.wire == PB_BYTES))
			MS_TRY(add_dims(ctx, &t, &field));
		else if (field.number == 2 && field.wire == PB_VARINT)
			t.type = ms_pb_i64(&field);
		else if (field.number == 8 && field.wire == PB_BYTES)
			t.name = field.bytes;
		else if (field.number == 14 && field.wire == PB_VARINT && field.value != 0)
			return ms_fail(ctx->info, MS_ERR_MODEL_UNSUPPORTED,
				       "the tensor \"%.*s\" is in a file of its own (external data): save the model in "
				       "one file",
				       MS_SLICE_ARG(t.name));
	}
	if (!ms_pb_ok(&p))
		return damaged(ctx, "a tensor");
	*ret_tensor = t;
	return MS_OK;
}

static enum ms_err read_node(struct loader_context *ctx, struct slice message, struct onnx_node *ret_node)
{
	struct onnx_node n = {.message = message};
	size_t inputs = count_fields(message, 1), outputs = count_fields(message, 2);
	n.inputs = MS_ARENA_ARRAY(ctx->scratch, struct slice, inputs);
	n.outputs = MS_ARENA_ARRAY(ctx->scratch, struct slice, outputs);
	if (n.inputs == NULL || n.outputs == NULL)
		return ms_onnx_no_memory(ctx);
	struct pb p = ms_pb(message);
	struct pb_field field;
	while (ms_pb_next(&p, &field)) {
		if (field.wire != PB_BYTES)
			continue;
		if (field.number == 1)
			n.inputs[n.input_count++] = field.bytes;
		else if (field.number == 2)
			n.outputs[n.output_count++] = field.bytes;
		else if (field.number == 3)
			n.name = field.bytes;
		else if (field.number == 4)
			n.op = field.bytes;
		else if (field.number == 7)
			n.domain = field.bytes;
	}
	if (!ms_pb_ok(&p) || n.op.n == 0)
		return damaged(ctx, "a node");
	if (ms_slice_eq_cstr(n.domain, "ai.onnx"))
		n.domain = MS_SLICE_EMPTY;
	*ret_node = n;
	return MS_OK;
}

static enum ms_err read_graph(struct onnx_file *f, struct slice message)
{
	enum { NODE = 1, INITIALISER = 5, INPUT = 11, OUTPUT = 12, SPARSE_INITIALISER = 15 };
	struct loader_context *ctx = f->ctx;
	f->nodes = MS_ARENA_ARRAY(ctx->scratch, struct onnx_node, count_fields(message, NODE));
	f->initialisers = MS_ARENA_ARRAY(ctx->scratch, struct onnx_tensor, count_fields(message, INITIALISER));
	f->inputs = MS_ARENA_ARRAY(ctx->scratch, struct onnx_input, count_fields(message, INPUT));
	f->outputs = MS_ARENA_ARRAY(ctx->scratch, struct slice, count_fields(message, OUTPUT));
	if (f->nodes == NULL || f->initialisers == NULL || f->inputs == NULL || f->outputs == NULL)
		return ms_onnx_no_memory(ctx);
	struct pb p = ms_pb(message);
	struct pb_field field;
	while (ms_pb_next(&p, &field)) {
		struct onnx_input output;
		if (field.wire != PB_BYTES)
			continue;
		if (field.number == NODE) {
			MS_TRY(read_node(ctx, field.bytes, &f->nodes[f->node_count++]));
		} else if (field.number == INITIALISER) {
			MS_TRY(read_tensor(ctx, field.bytes, &f->initialisers[f->initialiser_count++]));
		} else if (field.number == INPUT) {
			MS_TRY(read_value_info(ctx, field.bytes, &f->inputs[f->input_count++]));
		} else if (field.number == OUTPUT) {
			MS_TRY(read_value_info(ctx, field.bytes, &output));
			f->outputs[f->output_count++] = output.name;
		} else if (field.number == SPARSE_INITIALISER) {
			return ms_fail(ctx->info, MS_ERR_MODEL_UNSUPPORTED, "the graph has sparse tensors");
		}
	}
	if (!ms_pb_ok(&p))
		return damaged(ctx, "the graph");
	return MS_OK;
}

static enum ms_err read_opset(struct onnx_file *f, struct slice message)
{
	struct slice domain = MS_SLICE_EMPTY;
	int64_t version = 0;
	struct pb p = ms_pb(message);
	struct pb_field field;
	while (ms_pb_next(&p, &field)) {
		if (field.number == 1 && field.wire == PB_BYTES)
			domain = field.bytes;
		else if (field.number == 2 && field.wire == PB_VARINT)
			version = ms_pb_i64(&field);
	}
	if (ms_slice_eq_cstr(domain, "ai.onnx.ml"))
		f->opset_ml = MS_MAX(f->opset_ml, version);
	else if (domain.n == 0 || ms_slice_eq_cstr(domain, "ai.onnx"))
		f->opset = MS_MAX(f->opset, version);
	return ms_pb_ok(&p) ? MS_OK : damaged(f->ctx, "the imported operator sets");
}

static enum ms_err read_metadata(struct onnx_file *f, struct slice message)
{
	struct slice key = MS_SLICE_EMPTY, value = MS_SLICE_EMPTY;
	struct pb p = ms_pb(message);
	struct pb_field field;
	while (ms_pb_next(&p, &field)) {
		if (field.number == 1 && field.wire == PB_BYTES)
			key = field.bytes;
		else if (field.number == 2 && field.wire == PB_BYTES)
			value = field.bytes;
	}
	if (ms_slice_eq_cstr(key, "feature_names"))
		f->feature_names = value;
	return ms_pb_ok(&p) ? MS_OK : damaged(f->ctx, "the metadata");
}

enum ms_err ms_onnx_read(struct loader_context *ctx, struct onnx_file *ret_file)
{
	enum { PRODUCER = 2, PRODUCER_VERSION = 3, GRAPH = 7, OPSET = 8, METADATA = 14 };
	struct onnx_file f = {.ctx = ctx};
	struct pb p = ms_pb(ctx->bytes);
	struct pb_field field;
	struct slice graph = MS_SLICE_EMPTY;
	bool has_graph = false;
	while (ms_pb_next(&p, &field)) {
		if (field.wire != PB_BYTES)
			continue;
		if (field.number == GRAPH) {
			graph = field.bytes;
			has_graph = true;
		} else if (field.number == OPSET) {
			MS_TRY(read_opset(&f, field.bytes));
		} else if (field.number == METADATA) {
			MS_TRY(read_metadata(&f, field.bytes));
		} else if (field.number == PRODUCER) {
			f.producer = field.bytes;
		} else if (field.number == PRODUCER_VERSION) {
			f.producer_version = field.bytes;
		}
	}
	if (!ms_pb_ok(&p))
		return damaged(ctx, "the model");
	if (!has_graph)
		return ms_fail(ctx->info, MS_ERR_MODEL_FORMAT, "the file is no ONNX model: it has no graph");
	if (f.opset == 0 && f.opset_ml == 0)
		return ms_fail(ctx->info, MS_ERR_MODEL_FORMAT,
			       "the model imports no operator sets that are known here");
	MS_TRY(read_graph(&f, graph));
	*ret_file = f;
	return MS_OK;
}

// --- Attributes --------------------------------------------------------------------------------------------

// The bytes of the attribute; its last one when there are several of that name.
static bool find_attr(const struct onnx_node *n, const char *name, struct slice *ret_message)
{
	struct pb p = ms_pb(n->message), q;
	struct pb_field field, member;
	bool found = false;
	while (ms_pb_next(&p, &field)) {
		if (field.number != 5 || field.wire != PB_BYTES)
			continue;
		for (q = ms_pb(field.bytes); ms_pb_next(&q, &member);)
			if (member.number == 1 && member.wire == PB_BYTES) {
				if (ms_slice_eq_cstr(member.bytes, name)) {
					*ret_message = field.bytes;
					found = true;
				}
				break; // the name comes first wherever it is written by a library
			}
	}
	return found;
}

bool ms_onnx_has_attr(const struct onnx_node *n, const char *name)
{
	struct slice message;
	return find_attr(n, name, &message);
}

static enum ms_err bad_attr(const struct onnx_file *f, const struct onnx_node *n, const char *name)
{
	return ms_onnx_fail(f, n, MS_ERR_MODEL_FORMAT, "the attribute %s is damaged or of another type", name);
}

// How many values of `size` bytes (0: varints; SIZE_MAX: byte strings) the fields of that number hold. The attribute must
// be of that type, where the file says it.
static enum ms_err scan_attr(const struct onnx_file *f, const struct onnx_node *n, const char *name, int64_t type,
			     struct slice message, uint32_t number, size_t size, size_t *ret_count)
{
	struct pb p = ms_pb(message);
	struct pb_field field;
	size_t total = 0, count;
	while (ms_pb_next(&p, &field)) {
		if (field.number == number && size == SIZE_MAX) {
			total += field.wire == PB_BYTES;
		} else if (field.number == number) {
			if (!ms_pb_count(&field, size, &count))
				return bad_attr(f, n, name);
			total += count; // at most a number per byte of the file
		} else if (field.number == 20 && field.wire == PB_VARINT && ms_pb_i64(&field) != type) {
			return bad_attr(f, n, name);
		} else if (field.number == 21) {
			return ms_onnx_fail(f, n, MS_ERR_MODEL_UNSUPPORTED, "the attribute %s refers to another", name);
		}
	}
	*ret_count = total;
	return ms_pb_ok(&p) ? MS_OK : bad_attr(f, n, name);
}

// Finds the attribute and checks its type.
static enum ms_err open_attr(const struct onnx_file *f, const struct onnx_node *n, const char *name, int64_t type,
			     struct slice *ret_message, bool *ret_found)
{
	size_t count;
	*ret_found = find_attr(n, name, ret_message);
	return *ret_found ? scan_attr(f, n, name, type, *ret_message, UINT32_MAX, 0, &count) : MS_OK;
}

// The last field of that number and wire type of a found attribute.
static bool last_field(struct slice message, uint32_t number, enum pb_wire wire, struct pb_field *ret_field)
{
	struct pb p = ms_pb(message);
	struct pb_field field;
	bool found = false;
	while (ms_pb_next(&p, &field))
		if (field.number == number && field.wire == wire) {
			*ret_field = field;
			found = true;
		}
	return found;
}

enum ms_err ms_onnx_attr_int(const struct onnx_file *f, const struct onnx_node *n, const char *name, int64_t *ret_value)
{
	struct slice message;
	struct pb_field field;
	bool found;
	MS_TRY(open_attr(f, n, name, ATTR_INT, &message, &found));
	if (found)
		*ret_value = last_field(message, 3, PB_VARINT, &field) ? ms_pb_i64(&field) : 0;
	return MS_OK;
}

enum ms_err ms_onnx_attr_float(const struct onnx_file *f, const struct onnx_node *n, const char *name, float *ret_value)
{
	struct slice message;
	struct pb_field field;
	bool found;
	MS_TRY(open_attr(f, n, name, ATTR_FLOAT, &message, &found));
	if (found)
		*ret_value = last_field(message, 2, PB_FIXED32, &field) ? ms_pb_f32(&field) : 0;
	return MS_OK;
}

enum ms_err ms_onnx_attr_string(const struct onnx_file *f, const struct onnx_node *n, const char *name,
				struct slice *ret_value)
{
	struct slice message;
	struct pb_field field;
	bool found;
	MS_TRY(open_attr(f, n, name, ATTR_STRING, &message, &found));
	if (found)
		*ret_value = last_field(message, 4, PB_BYTES, &field) ? field.bytes : MS_SLICE_EMPTY;
	return MS_OK;
}

// How many numbers the fields of that number hold.
static bool count_numbers(struct slice message, uint32_t number, size_t size, size_t *ret_count)
{
	struct pb p = ms_pb(message);
	struct pb_field field;
	size_t total = 0, count;
	while (ms_pb_next(&p, &field)) {
		if (field.number != number)
			continue;
		if (!ms_pb_count(&field, size, &count))
			return false;
		total += count; // at most a number per byte of the file
	}
	*ret_count = total;
	return ms_pb_ok(&p);
}

static void copy_i64s(struct slice message, uint32_t number, int64_t *dst)
{
	struct pb p = ms_pb(message);
	struct pb_field field;
	size_t count = 0;
	while (ms_pb_next(&p, &field))
		if (field.number == number) {
			MS_ASSERT(ms_pb_count(&field, 0, &count));
			ms_pb_copy_i64(&field, dst);
			dst += count;
		}
}

static void copy_f32s(struct slice message, uint32_t number, float *dst)
{
	struct pb p = ms_pb(message);
	struct pb_field field;
	size_t count = 0;
	while (ms_pb_next(&p, &field))
		if (field.number == number) {
			MS_ASSERT(ms_pb_count(&field, sizeof(*dst), &count));
			ms_pb_copy_f32(&field, dst);
			dst += count;
		}
}

static void copy_f64s(struct slice message, uint32_t number, double *dst)
{
	struct pb p = ms_pb(message);
	struct pb_field field;
	size_t count = 0;
	while (ms_pb_next(&p, &field))
		if (field.number == number) {
			MS_ASSERT(ms_pb_count(&field, sizeof(*dst), &count));
			ms_pb_copy_f64(&field, dst);
			dst += count;
		}
}

enum ms_err ms_onnx_attr_ints(const struct onnx_file *f, const struct onnx_node *n, const char *name,
			      int64_t **ret_values, size_t *ret_count)
{
	struct slice message;
	size_t count = 0;
	bool found = find_attr(n, name, &message);
	if (found)
		MS_TRY(scan_attr(f, n, name, ATTR_INTS, message, 8, 0, &count));
	int64_t *values = ms_arena_alloc(f->ctx->scratch, count * sizeof(*values));
	if (values == NULL)
		return ms_onnx_no_memory(f->ctx);
	if (found)
		copy_i64s(message, 8, values);
	*ret_values = values;
	*ret_count = count;
	return MS_OK;
}

enum ms_err ms_onnx_attr_floats(const struct onnx_file *f, const struct onnx_node *n, const char *name,
				float **ret_values, size_t *ret_count)
{
	struct slice message;
	size_t count = 0;
	bool found = find_attr(n, name, &message);
	if (found)
		MS_TRY(scan_attr(f, n, name, ATTR_FLOATS, message, 7, sizeof(float), &count));
	float *values = ms_arena_alloc(f->ctx->scratch, count * sizeof(*values));
	if (values == NULL)
		return ms_onnx_no_memory(f->ctx);
	if (found)
		copy_f32s(message, 7, values);
	*ret_values = values;
	*ret_count = count;
	return MS_OK;
}

static enum ms_err read_strings(const struct onnx_file *f, struct slice message, uint32_t number, size_t count,
				struct slice **ret_values)
{
	size_t n = 0;
	struct slice *values = MS_ARENA_ARRAY(f->ctx->scratch, struct slice, count);
	if (values == NULL)
		return ms_onnx_no_memory(f->ctx);
	struct pb p = ms_pb(message);
	struct pb_field field;
	while (ms_pb_next(&p, &field))
		if (field.number == number && field.wire == PB_BYTES)
			values[n++] = field.bytes;
	*ret_values = values;
	return MS_OK;
}

enum ms_err ms_onnx_attr_strings(const struct onnx_file *f, const struct onnx_node *n, const char *name,
				 struct slice **ret_values, size_t *ret_count)
{
	struct slice message = MS_SLICE_EMPTY;
	*ret_count = 0;
	if (find_attr(n, name, &message))
		MS_TRY(scan_attr(f, n, name, ATTR_STRINGS, message, 9, SIZE_MAX, ret_count));
	return read_strings(f, message, 9, *ret_count, ret_values);
}

enum ms_err ms_onnx_attr_tensor(const struct onnx_file *f, const struct onnx_node *n, const char *name,
				struct onnx_tensor *ret_tensor)
{
	struct slice message;
	struct pb_field field;
	bool found;
	*ret_tensor = (struct onnx_tensor){0};
	MS_TRY(open_attr(f, n, name, ATTR_TENSOR, &message, &found));
	if (!found)
		return MS_OK;
	if (!last_field(message, 5, PB_BYTES, &field))
		return bad_attr(f, n, name);
	return read_tensor(f->ctx, field.bytes, ret_tensor);
}

// --- Tensors -----------------------------------------------------------------------------------------------

static enum ms_err bad_tensor(const struct onnx_file *f, const struct onnx_tensor *t)
{
	return ms_fail(f->ctx->info, MS_ERR_MODEL_FORMAT,
		       "the tensor \"%.*s\" does not hold the %zu values of type %s that its shape says",
		       MS_SLICE_ARG(t->name), t->count, ms_onnx_type_name(t->type));
}

static size_t type_size(int64_t type)
{
	switch (type) {
	case ONNX_UINT8:
	case ONNX_INT8:
	case ONNX_BOOL:
		return 1;
	case ONNX_FLOAT:
	case ONNX_INT32:
		return 4;
	case ONNX_INT64:
	case ONNX_DOUBLE:
		return 8;
	default:
		return 0;
	}
}

static double raw_value(int64_t type, const char *p)
{
	float f32;
	double f64;
	int32_t i32;
	int64_t i64;
	switch (type) {
	case ONNX_FLOAT:
		memcpy(&f32, p, sizeof(f32));
		return (double)f32;
	case ONNX_DOUBLE:
		memcpy(&f64, p, sizeof(f64));
		return f64;
	case ONNX_INT32:
		memcpy(&i32, p, sizeof(i32));
		return i32;
	case ONNX_INT64:
		memcpy(&i64, p, sizeof(i64));
		return (double)i64;
	case ONNX_INT8:
		return (signed char)*p;
	default:
		return (unsigned char)*p;
	}
}

// The values are not raw bytes but repeated fields of their own kind.
static bool read_listed(const struct onnx_file *f, const struct onnx_tensor *t, double *dst, bool *ret_no_memory)
{
	size_t n = 0;
	*ret_no_memory = false;
	if (t->type == ONNX_DOUBLE) {
		if (!count_numbers(t->message, 10, sizeof(double), &n) || n != t->count)
			return false;
		copy_f64s(t->message, 10, dst);
		return true;
	}
	if (t->type == ONNX_FLOAT) {
		if (!count_numbers(t->message, 4, sizeof(float), &n) || n != t->count)
			return false;
		float *values = ms_arena_alloc(f->ctx->scratch, n * sizeof(*values));
		*ret_no_memory = values == NULL;
		if (values == NULL)
			return false;
		copy_f32s(t->message, 4, values);
		for (size_t i = 0; i < n; i++)
			dst[i] = (double)values[i];
		return true;
	}
	uint32_t number = t->type == ONNX_INT64 ? 7 : 5;
	if (!count_numbers(t->message, number, 0, &n) || n != t->count)
		return false;
	int64_t *values = ms_arena_alloc(f->ctx->scratch, n * sizeof(*values));
	*ret_no_memory = values == NULL;
	if (values == NULL)
		return false;
	copy_i64s(t->message, number, values);
	for (size_t i = 0; i < n; i++)
		dst[i] = (double)values[i];
	return true;
}

enum ms_err ms_onnx_tensor_numbers(const struct onnx_file *f, const struct onnx_tensor *t, double **ret_values)
{
	size_t size = type_size(t->type), bytes;
	if (size == 0)
		return ms_fail(f->ctx->info, MS_ERR_MODEL_UNSUPPORTED, "the tensor \"%.*s\" is of type %s",
			       MS_SLICE_ARG(t->name), ms_onnx_type_name(t->type));
	// At least a byte of the file for each value: the memory stays in proportion.
	if (t->count > t->message.n || MS_MUL_OVERFLOWS(t->count, sizeof(double), &bytes))
		return bad_tensor(f, t);
	double *values = ms_arena_alloc(f->ctx->scratch, bytes);
	if (values == NULL)
		return ms_onnx_no_memory(f->ctx);
	struct pb_field raw;
	bool no_memory;
	if (last_field(t->message, 9, PB_BYTES, &raw)) {
		if (raw.bytes.n != t->count * size)
			return bad_tensor(f, t);
		for (size_t i = 0; i < t->count; i++)
			values[i] = raw_value(t->type, raw.bytes.p + i * size);
	} else if (!read_listed(f, t, values, &no_memory)) {
		return no_memory ? ms_onnx_no_memory(f->ctx) : bad_tensor(f, t);
	}
	for (size_t i = 0; t->type == ONNX_INT64 && i < t->count; i++)
		if (fabs(values[i]) > (double)EXACT_INTEGER_MAX)
			return ms_fail(f->ctx->info, MS_ERR_MODEL_UNSUPPORTED,
				       "the tensor \"%.*s\" holds an integer beyond 2^53", MS_SLICE_ARG(t->name));
	*ret_values = values;
	return MS_OK;
}

enum ms_err ms_onnx_tensor_strings(const struct onnx_file *f, const struct onnx_tensor *t, struct slice **ret_values)
{
	size_t count;
	if (t->type != ONNX_STRING)
		return bad_tensor(f, t);
	count = count_fields(t->message, 6);
	return count == t->count ? read_strings(f, t->message, 6, count, ret_values) : bad_tensor(f, t);
}
