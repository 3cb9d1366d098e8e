// SPDX-License-Identifier: Apache-2.0
// Tensors of the Open Inference Protocol: the description up to the first NUL, binary data behind it. An accepted tensor
// has as many elements as its shape says, in order; written as binary data and as flat JSON it gives the same ones again.
#include <math.h>
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "serve/tensor.h"

#define MEMORY ((size_t)1 << 20)

struct walk {
	enum tensor_type type;
	size_t count;
	uint64_t digest; // of the values
	struct buf *binary;
	struct json_writer *json; // NULL: only count
};

static void mix(struct walk *w, struct slice bytes)
{
	struct hash_seed seed = {w->digest, bytes.n};
	w->digest = ms_hash(bytes, seed);
}

static void put_binary(struct walk *w, double value)
{
	float single = (float)value;
	// Of the largest 64-bit numbers the double is one too large for its type.
	uint64_t whole = value >= 0x1p63 ? (value >= 0x1p64 ? UINT64_MAX : (uint64_t)value) : 0;
	int64_t integer = value < 0x1p63 && value >= -0x1p63 ? (int64_t)value : INT64_MAX;
	if (w->type == TENSOR_FP32)
		ms_buf_append(w->binary, &single, sizeof(single));
	else if (w->type == TENSOR_FP64)
		ms_buf_append(w->binary, &value, sizeof(value));
	else if (w->type == TENSOR_UINT64 && whole != 0)
		ms_buf_append(w->binary, &whole, sizeof(whole));
	else
		ms_buf_append(w->binary, &integer, ms_tensor_type_size(w->type)); // little-endian: the low bytes
}

static enum ms_err on_number(void *arg, size_t index, double value, struct errinfo *info)
{
	struct walk *w = arg;
	(void)info;
	MS_ASSERT(index == w->count++ && w->type != TENSOR_BYTES);
	double shown = isnan(value) ? (double)NAN : value; // all NaN are one
	mix(w, ms_slice(&shown, sizeof(shown)));
	if (w->json == NULL)
		return MS_OK;
	put_binary(w, value);
	if (w->type == TENSOR_BOOL)
		ms_json_bool(w->json, value != 0);
	else if (isinf(value))
		ms_json_raw(w->json, value > 0 ? MS_SLICE_LIT("Infinity") : MS_SLICE_LIT("-Infinity"));
	else
		ms_json_f64(w->json, value);
	return MS_OK;
}

static enum ms_err on_text(void *arg, size_t index, struct slice text, struct errinfo *info)
{
	struct walk *w = arg;
	uint32_t n = (uint32_t)text.n;
	(void)info;
	MS_ASSERT(index == w->count++ && w->type == TENSOR_BYTES);
	mix(w, text);
	if (w->json == NULL)
		return MS_OK;
	ms_buf_append(w->binary, &n, sizeof(n));
	ms_buf_append_slice(w->binary, text);
	ms_json_str(w->json, text);
	return MS_OK;
}

static void walk_again(struct tensor *t, const struct walk *first, struct arena *arena)
{
	struct walk w = {.type = t->type};
	MS_ASSERT(ms_tensor_elements(t, arena, NULL, on_number, on_text, &w) == MS_OK);
	MS_ASSERT(w.count == first->count && w.digest == first->digest);
}

static void check_accepted(struct tensor *t, struct arena *arena)
{
	struct buf binary, json;
	struct json_writer writer;
	ms_buf_init(&binary, MEMORY);
	ms_buf_init(&json, MEMORY);
	ms_json_writer_init(&writer, &json);
	ms_json_begin_array(&writer);
	struct walk w = {.type = t->type, .binary = &binary, .json = &writer};
	uint64_t elements = 1;
	for (size_t i = 0; i < t->dims; i++)
		elements *= t->shape[i];
	MS_ASSERT(t->dims > 0 && t->dims <= MS_TENSOR_MAX_DIMS && elements == t->elements);
	bool from_json = t->json.p != NULL;
	bool accepted = ms_tensor_elements(t, arena, NULL, on_number, on_text, &w) == MS_OK;
	ms_json_end_array(&writer);
	if (accepted)
		MS_ASSERT(w.count == t->elements);
	if (accepted && ms_buf_ok(&binary) && ms_buf_ok(&json)) {
		bool half = t->type == TENSOR_FP16 || t->type == TENSOR_BF16;
		t->json = MS_SLICE_EMPTY;
		t->binary = binary.n > 0 ? ms_buf_slice(&binary) : MS_SLICE_LIT("");
		if (!half)
			walk_again(t, &w, arena);
		t->json = ms_buf_slice(&json);
		// Texts of binary data need not be UTF-8, and the large whole numbers are told apart in decimals only.
		if (!half && (from_json || t->type != TENSOR_BYTES))
			walk_again(t, &w, arena);
	}
	ms_buf_fini(&binary);
	ms_buf_fini(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice rest = ms_slice(data, size), text;
	struct arena arena;
	struct json_reader r;
	struct tensor t;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.allow_nan = true;
	ms_arena_init(&arena, 1024, MEMORY);
	bool has_binary = ms_slice_next(&rest, '\0', &text) && text.n < size;
	ms_json_reader_init(&r, text, &limits, &arena, NULL);
	if (ms_tensor_read(&r, NULL, &t) == MS_OK) {
		t.binary = has_binary && t.has_binary_size ? rest : MS_SLICE_EMPTY;
		check_accepted(&t, &arena);
	}
	ms_arena_fini(&arena);
	return 0;
}
