// SPDX-License-Identifier: Apache-2.0
#include "serve/tensor.h"

#include <math.h>

#define MAX_ELEMENTS ((size_t)1 << 32)

// JSON integers are checked against the range; FP16 and BF16 have no JSON form (as in Triton).
static const struct {
	const char *name;
	size_t size;
	double low, high;
} types[TENSOR_TYPE_COUNT] = {
	[TENSOR_BOOL] = {"BOOL", 1, 0, 1},
	[TENSOR_UINT8] = {"UINT8", 1, 0, UINT8_MAX},
	[TENSOR_UINT16] = {"UINT16", 2, 0, UINT16_MAX},
	[TENSOR_UINT32] = {"UINT32", 4, 0, UINT32_MAX},
	[TENSOR_UINT64] = {"UINT64", 8, 0, 18446744073709551615.0},
	[TENSOR_INT8] = {"INT8", 1, INT8_MIN, INT8_MAX},
	[TENSOR_INT16] = {"INT16", 2, INT16_MIN, INT16_MAX},
	[TENSOR_INT32] = {"INT32", 4, INT32_MIN, INT32_MAX},
	[TENSOR_INT64] = {"INT64", 8, -9223372036854775808.0, 9223372036854775807.0},
	[TENSOR_FP16] = {"FP16", 2, 0, 0},
	[TENSOR_BF16] = {"BF16", 2, 0, 0},
	[TENSOR_FP32] = {"FP32", 4, 0, 0},
	[TENSOR_FP64] = {"FP64", 8, 0, 0},
	[TENSOR_BYTES] = {"BYTES", 0, 0, 0},
};

const char *ms_tensor_type_name(enum tensor_type type)
{
	return types[type].name;
}

size_t ms_tensor_type_size(enum tensor_type type)
{
	return types[type].size;
}

bool ms_tensor_type_parse(struct slice name, enum tensor_type *ret_type)
{
	for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
		if (ms_slice_eq_cstr(name, types[t].name)) {
			*ret_type = (enum tensor_type)t;
			return true;
		}
	}
	return false;
}

// --- Reading the description -------------------------------------------------------------------------

static enum ms_err read_shape(struct json_reader *r, struct errinfo *info, struct tensor *t)
{
	if (!ms_json_enter_array(r))
		return r->err;
	t->elements = 1;
	t->dims = 0; // of a shape given twice the last one counts
	while (ms_json_next_item(r)) {
		if (t->dims == MS_TENSOR_MAX_DIMS)
			return ms_fail(info, MS_ERR_PREDICT_SHAPE, "a tensor has more than %d dimensions",
				       MS_TENSOR_MAX_DIMS);
		if (!ms_json_read_u64(r, &t->shape[t->dims]))
			return r->err;
		if (MS_MUL_OVERFLOWS(t->elements, t->shape[t->dims], &t->elements) || t->elements > MAX_ELEMENTS)
			return ms_fail(info, MS_ERR_PREDICT_SHAPE, "a tensor has more than %zu elements", MAX_ELEMENTS);
		t->dims++;
	}
	return r->err;
}

static enum ms_err read_parameters(struct json_reader *r, struct tensor *t)
{
	struct slice key;
	if (!ms_json_enter_object(r))
		return r->err;
	while (ms_json_next_key(r, &key)) {
		if (ms_slice_eq_cstr(key, "binary_data_size")) {
			if (!ms_json_read_u64(r, &t->binary_size))
				return r->err;
			t->has_binary_size = true;
		} else if (!ms_json_skip(r, NULL)) // other parameters are for other extensions
			return r->err;
	}
	return r->err;
}

static enum ms_err read_member(struct json_reader *r, struct slice key, struct errinfo *info, struct tensor *t,
			       bool *have_type)
{
	struct slice text;
	if (ms_slice_eq_cstr(key, "name"))
		return ms_json_read_string(r, &t->name) ? MS_OK : r->err;
	if (ms_slice_eq_cstr(key, "shape"))
		return read_shape(r, info, t);
	if (ms_slice_eq_cstr(key, "parameters"))
		return read_parameters(r, t);
	if (ms_slice_eq_cstr(key, "data"))
		return ms_json_skip(r, &t->json) ? MS_OK : r->err;
	if (!ms_slice_eq_cstr(key, "datatype"))
		return ms_json_skip(r, NULL) ? MS_OK : r->err;
	if (!ms_json_read_string(r, &text))
		return r->err;
	*have_type = ms_tensor_type_parse(text, &t->type);
	if (*have_type)
		return MS_OK;
	return ms_fail(info, MS_ERR_PREDICT_TYPE,
		       "datatype '%.*s' is not known; there are BOOL, UINT8 to UINT64, INT8 to INT64, FP16, BF16, "
		       "FP32, FP64 and BYTES",
		       MS_SLICE_ARG(text));
}

enum ms_err ms_tensor_read(struct json_reader *r, struct errinfo *info, struct tensor *ret_tensor)
{
	struct tensor t = {0};
	struct slice key;
	bool have_type = false;
	if (!ms_json_enter_object(r))
		return r->err;
	while (ms_json_next_key(r, &key))
		MS_TRY(read_member(r, key, info, &t, &have_type));
	if (r->err != MS_OK)
		return r->err;
	ms_errinfo_set_field(info, t.name);
	if (t.name.n == 0)
		return ms_fail(info, MS_ERR_PREDICT_FIELD, "a tensor of 'inputs' has no 'name'");
	if (!have_type || t.dims == 0)
		return ms_fail(info, MS_ERR_PREDICT_FIELD, "input '%.*s' has no '%s'", MS_SLICE_ARG(t.name),
			       have_type ? "shape" : "datatype");
	if (t.json.p != NULL && t.has_binary_size)
		return ms_fail(info, MS_ERR_PREDICT_FIELD, "input '%.*s' has both 'data' and 'binary_data_size'",
			       MS_SLICE_ARG(t.name));
	ms_errinfo_set_field(info, MS_SLICE_EMPTY);
	*ret_tensor = t;
	return MS_OK;
}

// --- Elements ----------------------------------------------------------------------------------------

struct walk {
	const struct tensor *tensor;
	struct arena *arena;
	struct errinfo *info;
	tensor_number_fn *on_number;
	tensor_text_fn *on_text;
	void *arg;
	size_t count;
};

static enum ms_err wrong_element(struct walk *w, const char *what)
{
	ms_errinfo_set_field(w->info, w->tensor->name);
	return ms_fail(w->info, MS_ERR_PREDICT_TYPE, "input '%.*s', element %zu: %s", MS_SLICE_ARG(w->tensor->name),
		       w->count, what);
}

static enum ms_err wrong_total(struct walk *w, const char *more)
{
	ms_errinfo_set_field(w->info, w->tensor->name);
	return ms_fail(w->info, MS_ERR_PREDICT_SHAPE, "input '%.*s' has %s%zu elements, but its shape says %zu",
		       MS_SLICE_ARG(w->tensor->name), more, w->count, w->tensor->elements);
}

static enum ms_err json_number(struct walk *w, struct json_reader *r, double *ret_value)
{
	enum tensor_type type = w->tensor->type;
	if (type == TENSOR_FP64)
		return ms_json_read_f64(r, ret_value) ? MS_OK : r->err;
	if (type == TENSOR_FP32) {
		float value; // straight from the decimal, as a FP32 tensor in binary form would hold it
		if (!ms_json_read_f32(r, &value))
			return r->err;
		*ret_value = (double)value;
		return MS_OK;
	}
	if (!ms_json_read_f64(r, ret_value))
		return r->err;
	if (*ret_value != floor(*ret_value) || *ret_value < types[type].low || *ret_value > types[type].high)
		return wrong_element(w, "is no whole number in the range of the datatype");
	*ret_value += 0.0; // "-0" is the 0 of the binary form
	return MS_OK;
}

static enum ms_err json_element(struct walk *w, struct json_reader *r, enum json_type got)
{
	enum tensor_type type = w->tensor->type;
	bool floating = type == TENSOR_FP32 || type == TENSOR_FP64;
	struct slice text;
	double value;
	bool flag;
	if (w->count == w->tensor->elements)
		return wrong_total(w, "more than ");
	if (type == TENSOR_BYTES) {
		if (got != JSON_STRING)
			return wrong_element(w, "must be a string for datatype BYTES");
		return ms_json_read_string(r, &text) ? w->on_text(w->arg, w->count++, text, w->info) : r->err;
	}
	if (got == JSON_NUMBER && type != TENSOR_BOOL)
		MS_TRY(json_number(w, r, &value));
	else if (got == JSON_NULL && floating) {
		if (!ms_json_read_null(r))
			return r->err;
		value = (double)NAN;
	} else if ((got == JSON_TRUE || got == JSON_FALSE) && type == TENSOR_BOOL) {
		if (!ms_json_read_bool(r, &flag))
			return r->err;
		value = flag ? 1 : 0;
	} else
		return wrong_element(w, type == TENSOR_BOOL ? "must be true or false for datatype BOOL"
							    : "must be a number");
	return w->on_number(w->arg, w->count++, value, w->info);
}

static enum ms_err wrong_nesting(struct walk *w)
{
	ms_errinfo_set_field(w->info, w->tensor->name);
	return ms_fail(w->info, MS_ERR_PREDICT_SHAPE,
		       "input '%.*s': its 'data' must be flat or nested as its shape says (element %zu)",
		       MS_SLICE_ARG(w->tensor->name), w->count);
}

// Flat, or nested exactly as the shape says: the first item of the outermost array decides (`*nested`).
static enum ms_err json_array(struct walk *w, struct json_reader *r, size_t depth, bool *nested)
{
	size_t items = 0;
	if (!ms_json_enter_array(r))
		return r->err;
	for (; ms_json_next_item(r); items++) {
		enum json_type got = ms_json_peek(r);
		if (depth == 1 && items == 0)
			*nested = got == JSON_ARRAY;
		bool inner = *nested && depth < w->tensor->dims;
		if (got != JSON_INVALID && inner != (got == JSON_ARRAY))
			return wrong_nesting(w);
		MS_TRY(inner ? json_array(w, r, depth + 1, nested) : json_element(w, r, got));
	}
	if (r->err != MS_OK)
		return r->err;
	return *nested && items != w->tensor->shape[depth - 1] ? wrong_nesting(w) : MS_OK;
}

static enum ms_err walk_json(struct walk *w)
{
	struct json_reader r;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.max_bytes = SIZE_MAX; // the body was bounded
	if (w->tensor->type == TENSOR_FP16 || w->tensor->type == TENSOR_BF16)
		return wrong_element(w, "FP16 and BF16 have no JSON form: send them as binary data");
	bool nested = false;
	limits.allow_nan = true; // as in the whole request
	ms_json_reader_init(&r, w->tensor->json, &limits, w->arena, w->info);
	MS_TRY(json_array(w, &r, 1, &nested));
	MS_TRY(ms_json_finish(&r));
	return w->count == w->tensor->elements ? MS_OK : wrong_total(w, "");
}

// IEEE 754 binary16: 5 bits of exponent, 10 of fraction.
static double from_fp16(uint16_t bits)
{
	int exponent = bits >> 10 & 31, fraction = bits & 1023;
	double magnitude = exponent == 0    ? ldexp(fraction, -24)
			   : exponent == 31 ? (fraction != 0 ? (double)NAN : (double)INFINITY)
					    : ldexp(fraction + 1024, exponent - 25);
	return bits >> 15 ? -magnitude : magnitude;
}

static double binary_number(enum tensor_type type, const char *p)
{
	union {
		uint8_t u8;
		uint16_t u16;
		uint32_t u32;
		uint64_t u64;
		int8_t i8;
		int16_t i16;
		int32_t i32;
		int64_t i64;
		float f32;
		double f64;
	} v = {0};
	memcpy(&v, p, types[type].size); // the wire and every machine we build for are little-endian
	switch (type) {
	case TENSOR_BOOL:
		return v.u8 != 0;
	case TENSOR_UINT8:
		return v.u8;
	case TENSOR_UINT16:
		return v.u16;
	case TENSOR_UINT32:
		return v.u32;
	case TENSOR_UINT64:
		return (double)v.u64;
	case TENSOR_INT8:
		return v.i8;
	case TENSOR_INT16:
		return v.i16;
	case TENSOR_INT32:
		return v.i32;
	case TENSOR_INT64:
		return (double)v.i64;
	case TENSOR_FP16:
		return from_fp16(v.u16);
	case TENSOR_BF16:
		v.u32 = (uint32_t)v.u16 << 16;
		return (double)v.f32;
	case TENSOR_FP32:
		return (double)v.f32;
	case TENSOR_FP64:
		return v.f64;
	case TENSOR_BYTES:
	case TENSOR_TYPE_COUNT:
		break;
	}
	MS_UNREACHABLE();
}

static enum ms_err walk_binary_numbers(struct walk *w)
{
	size_t size = types[w->tensor->type].size, need;
	if (MS_MUL_OVERFLOWS(w->tensor->elements, size, &need) || need != w->tensor->binary.n) {
		ms_errinfo_set_field(w->info, w->tensor->name);
		return ms_fail(w->info, MS_ERR_PREDICT_SHAPE,
			       "input '%.*s' has %zu bytes of binary data, but its shape and datatype need %zu",
			       MS_SLICE_ARG(w->tensor->name), w->tensor->binary.n, need);
	}
	for (; w->count < w->tensor->elements; w->count++)
		MS_TRY(w->on_number(w->arg, w->count,
				    binary_number(w->tensor->type, w->tensor->binary.p + w->count * size), w->info));
	return MS_OK;
}

// Each element: 4 bytes of length, then the bytes.
static enum ms_err walk_binary_texts(struct walk *w)
{
	struct slice rest = w->tensor->binary;
	while (rest.n > 0) {
		uint32_t n;
		if (w->count == w->tensor->elements)
			return wrong_total(w, "more than ");
		if (rest.n < sizeof(n))
			return wrong_element(w, "its length is cut off");
		memcpy(&n, rest.p, sizeof(n));
		rest = ms_slice_sub(rest, sizeof(n), rest.n);
		if (n > rest.n)
			return wrong_element(w, "its length is greater than the data that is left");
		MS_TRY(w->on_text(w->arg, w->count++, ms_slice_sub(rest, 0, n), w->info));
		rest = ms_slice_sub(rest, n, rest.n);
	}
	return w->count == w->tensor->elements ? MS_OK : wrong_total(w, "");
}

enum ms_err ms_tensor_elements(const struct tensor *tensor, struct arena *arena, struct errinfo *info,
			       tensor_number_fn *on_number, tensor_text_fn *on_text, void *arg)
{
	struct walk w = {
		.tensor = tensor, .arena = arena, .info = info, .on_number = on_number, .on_text = on_text, .arg = arg};
	if (tensor->json.p != NULL)
		return walk_json(&w);
	if (tensor->binary.p != NULL)
		return tensor->type == TENSOR_BYTES ? walk_binary_texts(&w) : walk_binary_numbers(&w);
	ms_errinfo_set_field(info, tensor->name);
	return ms_fail(info, MS_ERR_PREDICT_FIELD, "input '%.*s' has neither 'data' nor binary data",
		       MS_SLICE_ARG(tensor->name));
}
