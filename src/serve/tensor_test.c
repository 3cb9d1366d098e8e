// SPDX-License-Identifier: Apache-2.0
// Tensors of the Open Inference Protocol: descriptions, JSON data flat and nested, binary data.
#include <inttypes.h>
#include <stdio.h>

#include "serve/tensor.h"
#include "tests/lib/test.h"

struct gathered {
	struct buf text;
	size_t count;
};

static enum ms_err on_number(void *arg, size_t index, double value, struct errinfo *info)
{
	struct gathered *g = arg;
	(void)info;
	CHECK_INT(index, g->count++); // row-major, none left out
	ms_buf_printf(&g->text, "%s%.17g", index > 0 ? " " : "", value);
	return MS_OK;
}

static enum ms_err on_text(void *arg, size_t index, struct slice text, struct errinfo *info)
{
	struct gathered *g = arg;
	(void)info;
	CHECK_INT(index, g->count++);
	ms_buf_printf(&g->text, "%s<%.*s>", index > 0 ? " " : "", MS_SLICE_ARG(text));
	return MS_OK;
}

// The elements as text, or "code field: message".
static void check(const char *description, struct slice binary, const char *want)
{
	struct arena arena;
	struct json_reader r;
	struct errinfo info;
	struct tensor t;
	struct gathered g = {.count = 0};
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.allow_nan = true; // as the requests are read
	ms_arena_init(&arena, 256, 1 << 20);
	ms_errinfo_init(&info);
	ms_buf_init(&g.text, 1 << 16);
	ms_json_reader_init(&r, ms_slice_cstr(description), &limits, &arena, &info);
	enum ms_err err = ms_tensor_read(&r, &info, &t);
	if (err == MS_OK) {
		t.binary = binary;
		err = ms_tensor_elements(&t, &arena, &info, on_number, on_text, &g);
	}
	if (err != MS_OK) {
		ms_buf_clear(&g.text);
		ms_buf_printf(&g.text, "%s %s: %s", ms_err_name(err), info.field[0] != '\0' ? info.field : "-",
			      info.message);
	} else
		CHECK_INT(g.count, t.elements);
	if (!CHECK_SLICE(ms_buf_slice(&g.text), want))
		printf("# for %s\n", description);
	ms_buf_fini(&g.text);
	ms_arena_fini(&arena);
}

#define TENSOR(type, shape, rest) "{\"name\":\"x\",\"datatype\":\"" type "\",\"shape\":" shape rest "}"
#define DATA(type, shape, data) TENSOR(type, shape, ",\"data\":" data)
#define BINARY(...) ms_slice((const unsigned char[]){__VA_ARGS__}, sizeof((const unsigned char[]){__VA_ARGS__}))

static void check_json(const char *description, const char *want)
{
	check(description, MS_SLICE_EMPTY, want);
}

// --- Types -------------------------------------------------------------------------------------------

TEST(tensor_types_have_names_and_sizes)
{
	static const struct {
		const char *name;
		size_t size;
	} want[] = {{"BOOL", 1},  {"UINT8", 1}, {"UINT16", 2}, {"UINT32", 4}, {"UINT64", 8}, {"INT8", 1}, {"INT16", 2},
		    {"INT32", 4}, {"INT64", 8}, {"FP16", 2},   {"BF16", 2},   {"FP32", 4},   {"FP64", 8}, {"BYTES", 0}};
	CHECK_INT(MS_ARRAY_LEN(want), TENSOR_TYPE_COUNT);
	for (size_t i = 0; i < MS_ARRAY_LEN(want); i++) {
		enum tensor_type type = TENSOR_TYPE_COUNT;
		CHECK(ms_tensor_type_parse(ms_slice_cstr(want[i].name), &type));
		CHECK_STR(ms_tensor_type_name(type), want[i].name);
		CHECK_INT(ms_tensor_type_size(type), want[i].size);
	}
	enum tensor_type type;
	CHECK(!ms_tensor_type_parse(MS_SLICE_LIT("fp32"), &type));
	CHECK(!ms_tensor_type_parse(MS_SLICE_LIT("FP3"), &type));
	CHECK(!ms_tensor_type_parse(MS_SLICE_EMPTY, &type));
}

TEST(tensor_json_data_of_every_type)
{
	check_json(DATA("BOOL", "[2]", "[true,false]"), "1 0");
	check_json(DATA("UINT8", "[2]", "[0,255]"), "0 255");
	check_json(DATA("UINT16", "[2]", "[0,65535]"), "0 65535");
	check_json(DATA("UINT32", "[2]", "[0,4294967295]"), "0 4294967295");
	check_json(DATA("UINT64", "[2]", "[0,9007199254740993]"), "0 9007199254740992"); // as rows hold it
	check_json(DATA("INT8", "[2]", "[-128,127]"), "-128 127");
	check_json(DATA("INT16", "[2]", "[-32768,32767]"), "-32768 32767");
	check_json(DATA("INT32", "[2]", "[-2147483648,2147483647]"), "-2147483648 2147483647");
	check_json(DATA("INT64", "[3]", "[-9007199254740992,1e3,5.0]"), "-9007199254740992 1000 5");
	check_json(DATA("FP32", "[3]", "[0.1,null,-2]"), "0.10000000149011612 nan -2");
	check_json(DATA("FP64", "[3]", "[0.1,null,-2]"), "0.10000000000000001 nan -2");
	check_json(DATA("FP64", "[3]", "[NaN,Infinity,-Infinity]"), "nan inf -inf");
	check_json(DATA("BYTES", "[3]", "[\"a\",\"\",\"\\u00e4\"]"), "<a> <> <ä>");
}

TEST(tensor_json_data_refuses_other_values)
{
	static const char no_whole[] =
		"predict.wrong_type x: input 'x', element 1: is no whole number in the range of the datatype";
	check_json(DATA("UINT8", "[2]", "[0,256]"), no_whole);
	check_json(DATA("UINT8", "[2]", "[0,-1]"), no_whole);
	check_json(DATA("UINT16", "[2]", "[0,65536]"), no_whole);
	check_json(DATA("UINT32", "[2]", "[0,4294967296]"), no_whole);
	check_json(DATA("UINT64", "[2]", "[0,1e20]"), no_whole);
	check_json(DATA("INT8", "[2]", "[0,128]"), no_whole);
	check_json(DATA("INT16", "[2]", "[0,-32769]"), no_whole);
	check_json(DATA("INT32", "[2]", "[0,2147483648]"), no_whole);
	check_json(DATA("INT64", "[2]", "[0,1e19]"), no_whole);
	check_json(DATA("INT64", "[2]", "[0,0.5]"), no_whole);
	check_json(DATA("INT64", "[2]", "[0,NaN]"), no_whole);
	check_json(DATA("INT64", "[2]", "[0,Infinity]"), no_whole);
	check_json(DATA("INT64", "[1]", "[null]"), "predict.wrong_type x: input 'x', element 0: must be a number");
	check_json(DATA("FP32", "[1]", "[\"1\"]"), "predict.wrong_type x: input 'x', element 0: must be a number");
	check_json(DATA("FP64", "[1]", "[true]"), "predict.wrong_type x: input 'x', element 0: must be a number");
	check_json(DATA("FP64", "[1]", "[{}]"), "predict.wrong_type x: input 'x', element 0: must be a number");
	check_json(DATA("BOOL", "[1]", "[1]"),
		   "predict.wrong_type x: input 'x', element 0: must be true or false for datatype BOOL");
	check_json(DATA("BYTES", "[2]", "[\"a\",5]"),
		   "predict.wrong_type x: input 'x', element 1: must be a string for datatype BYTES");
	check_json(DATA("FP16", "[1]", "[1]"), "predict.wrong_type x: input 'x', element 0: FP16 and BF16 have no JSON "
					       "form: send them as binary data");
	check_json(DATA("BF16", "[1]", "[1]"), "predict.wrong_type x: input 'x', element 0: FP16 and BF16 have no JSON "
					       "form: send them as binary data");
}

// --- Shapes ------------------------------------------------------------------------------------------

TEST(tensor_json_data_flat_and_nested)
{
	check_json(DATA("INT32", "[2,3]", "[1,2,3,4,5,6]"), "1 2 3 4 5 6");
	check_json(DATA("INT32", "[2,3]", "[[1,2,3],[4,5,6]]"), "1 2 3 4 5 6");
	check_json(DATA("INT32", "[2,1,2]", "[[[1,2]],[[3,4]]]"), "1 2 3 4");
	check_json(DATA("INT32", "[1,1,1,1,1,1,1,1]", "[[[[[[[[7]]]]]]]]"), "7");
	check_json(DATA("BYTES", "[2,1]", "[[\"a\"],[\"b\"]]"), "<a> <b>");
	check_json(DATA("FP64", "[0]", "[]"), "");
	check_json(DATA("FP64", "[0,3]", "[]"), "");
	check_json(DATA("FP64", "[2,0]", "[[],[]]"), "");
}

TEST(tensor_json_data_refuses_other_shapes)
{
#define NESTING(at) "predict.shape x: input 'x': its 'data' must be flat or nested as its shape says (element " at ")"
	check_json(DATA("INT32", "[2,2]", "[[1,2],[3]]"), NESTING("3"));
	check_json(DATA("INT32", "[2,2]", "[[1,2],3,4]"), NESTING("2"));
	check_json(DATA("INT32", "[2,2]", "[[1,2]]"), NESTING("2"));
	check_json(DATA("INT32", "[2,2]", "[1,2,[3],4]"), NESTING("2"));
	check_json(DATA("INT32", "[2]", "[[1],[2]]"), NESTING("0"));
	check_json(DATA("INT32", "[2,1]", "[[[1]],[[2]]]"), NESTING("0"));
	check_json(DATA("INT32", "[2,2]", "[[1,2],[3,4],[5,6]]"),
		   "predict.shape x: input 'x' has more than 4 elements, but its shape says 4");
	check_json(DATA("INT32", "[3]", "[1,2]"), "predict.shape x: input 'x' has 2 elements, but its shape says 3");
	check_json(DATA("INT32", "[1]", "[1,2]"),
		   "predict.shape x: input 'x' has more than 1 elements, but its shape says 1");
	check_json(DATA("INT32", "[0]", "[1]"),
		   "predict.shape x: input 'x' has more than 0 elements, but its shape says 0");
}

TEST(tensor_shapes_are_bounded)
{
	check_json(DATA("FP32", "[1,1,1,1,1,1,1,1,1]", "[1]"), "predict.shape -: a tensor has more than 8 dimensions");
	check_json(DATA("FP32", "[4294967297]", "[1]"), "predict.shape -: a tensor has more than 4294967296 elements");
	check_json(DATA("FP32", "[4294967296,4294967296]", "[1]"),
		   "predict.shape -: a tensor has more than 4294967296 elements"); // 2^64 wraps to 0
	check_json(DATA("FP32", "[18446744073709551615,18446744073709551615]", "[1]"),
		   "predict.shape -: a tensor has more than 4294967296 elements"); // wraps to 1
	check_json(DATA("FP32", "[4294967296]", "[1]"),
		   "predict.shape x: input 'x' has 1 elements, but its shape says 4294967296");
	check_json("{\"name\":\"x\",\"datatype\":\"INT8\",\"shape\":[5],\"shape\":[2,1],\"data\":[[1],[-0]]}", "1 0");
	check(TENSOR("FP64", "[4294967296]", ",\"parameters\":{\"binary_data_size\":8}"),
	      BINARY(0, 0, 0, 0, 0, 0, 0, 0),
	      "predict.shape x: input 'x' has 8 bytes of binary data, but its shape and datatype need 34359738368");
}

TEST(tensor_descriptions_are_checked)
{
	check_json("{\"datatype\":\"FP32\",\"shape\":[1],\"data\":[1]}",
		   "predict.field -: a tensor of 'inputs' has no 'name'");
	check_json("{\"name\":\"x\",\"shape\":[1],\"data\":[1]}", "predict.field x: input 'x' has no 'datatype'");
	check_json("{\"name\":\"x\",\"datatype\":\"FP32\",\"data\":[1]}", "predict.field x: input 'x' has no 'shape'");
	check_json(DATA("FP32", "[]", "[1]"), "predict.field x: input 'x' has no 'shape'");
	check_json(TENSOR("FP32", "[1]", ""), "predict.field x: input 'x' has neither 'data' nor binary data");
	check_json(DATA("FP32", "[1]", "[1],\"parameters\":{\"binary_data_size\":4}"),
		   "predict.field x: input 'x' has both 'data' and 'binary_data_size'");
	check_json(
		DATA("FP128", "[1]", "[1]"),
		"predict.wrong_type -: datatype 'FP128' is not known; there are BOOL, UINT8 to UINT64, INT8 to INT64, "
		"FP16, BF16, FP32, FP64 and BYTES");
	check_json(DATA("FP32", "[1]", "[1],\"extra\":{\"a\":[1]},\"parameters\":{\"other\":\"x\"}"), "1");
}

TEST(tensor_descriptions_refuse_what_is_no_json)
{
	static const char *const texts[] = {"",
					    "[]",
					    "5",
					    "{\"name\":5}",
					    DATA("FP32", "[-1]", "[1]"),
					    DATA("FP32", "[1.0]", "[1]"),
					    DATA("FP32", "[18446744073709551616]", "[1]"),
					    DATA("FP32", "[\"1\"]", "[1]"),
					    DATA("FP32", "1", "[1]"),
					    DATA("FP32", "[1]", "1"),
					    DATA("FP32", "[1]", "{}"),
					    DATA("FP32", "[1]", "[1"),
					    TENSOR("FP32", "[1]", ",\"parameters\":{\"binary_data_size\":-4}"),
					    TENSOR("FP32", "[1]", ",\"parameters\":[]")};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		struct arena arena;
		struct json_reader r;
		struct tensor t;
		struct gathered g = {.count = 0};
		ms_arena_init(&arena, 256, 1 << 20);
		ms_buf_init(&g.text, 1 << 10);
		ms_json_reader_init(&r, ms_slice_cstr(texts[i]), NULL, &arena, NULL);
		enum ms_err err = ms_tensor_read(&r, NULL, &t);
		if (err == MS_OK)
			err = ms_tensor_elements(&t, &arena, NULL, on_number, on_text, &g);
		if (!CHECK(strncmp(ms_err_name(err), "json.", 5) == 0))
			printf("# for %s: %s\n", texts[i], ms_err_name(err));
		ms_buf_fini(&g.text);
		ms_arena_fini(&arena);
	}
}

// --- Binary ------------------------------------------------------------------------------------------

#define BIN(type, shape) TENSOR(type, shape, ",\"parameters\":{\"binary_data_size\":1}")

TEST(tensor_binary_data_of_every_type)
{
	check(BIN("BOOL", "[3]"), BINARY(0, 1, 2), "0 1 1");
	check(BIN("UINT8", "[2]"), BINARY(0, 255), "0 255");
	check(BIN("UINT16", "[2]"), BINARY(1, 2, 255, 255), "513 65535");
	check(BIN("UINT32", "[1]"), BINARY(1, 0, 0, 128), "2147483649");
	check(BIN("UINT64", "[1]"), BINARY(0, 0, 0, 0, 0, 0, 0, 128), "9.2233720368547758e+18");
	check(BIN("INT8", "[2]"), BINARY(255, 128), "-1 -128");
	check(BIN("INT16", "[2]"), BINARY(255, 255, 0, 128), "-1 -32768");
	check(BIN("INT32", "[1]"), BINARY(254, 255, 255, 255), "-2");
	check(BIN("INT64", "[1]"), BINARY(253, 255, 255, 255, 255, 255, 255, 255), "-3");
	// One, the smallest, the largest, minus zero, infinity, no number.
	check(BIN("FP16", "[6]"), BINARY(0, 0x3c, 1, 0, 0xff, 0x7b, 0, 0x80, 0, 0xfc, 1, 0x7c),
	      "1 5.9604644775390625e-08 65504 -0 -inf nan");
	check(BIN("BF16", "[3]"), BINARY(0x80, 0x3f, 0x80, 0xff, 0xc0, 0x7f), "1 -inf nan");
	check(BIN("FP32", "[1,2]"), BINARY(0xcd, 0xcc, 0xcc, 0x3d, 0, 0, 0x80, 0xbf), "0.10000000149011612 -1");
	check(BIN("FP64", "[1]"), BINARY(0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0x3f), "0.10000000000000001");
	check(BIN("BYTES", "[3]"), BINARY(1, 0, 0, 0, 'a', 0, 0, 0, 0, 2, 0, 0, 0, 'b', 'c'), "<a> <> <bc>");
	check(BIN("FP64", "[0]"), MS_SLICE_LIT(""), "");
	check(BIN("BYTES", "[0]"), MS_SLICE_LIT(""), "");
}

TEST(tensor_binary_data_of_the_wrong_size)
{
	check(BIN("FP32", "[2]"), BINARY(0, 0, 0, 0),
	      "predict.shape x: input 'x' has 4 bytes of binary data, but its shape and datatype need 8");
	check(BIN("FP32", "[1]"), BINARY(0, 0, 0, 0, 0),
	      "predict.shape x: input 'x' has 5 bytes of binary data, but its shape and datatype need 4");
	check(BIN("UINT8", "[0]"), BINARY(0),
	      "predict.shape x: input 'x' has 1 bytes of binary data, but its shape and datatype need 0");
	check(BIN("BYTES", "[2]"), BINARY(1, 0, 0, 0, 'a'),
	      "predict.shape x: input 'x' has 1 elements, but its shape says 2");
	check(BIN("BYTES", "[1]"), BINARY(0, 0, 0, 0, 0, 0, 0, 0),
	      "predict.shape x: input 'x' has more than 1 elements, but its shape says 1");
	check(BIN("BYTES", "[1]"), BINARY(1, 0, 0),
	      "predict.wrong_type x: input 'x', element 0: its length is cut off");
	check(BIN("BYTES", "[2]"), BINARY(0, 0, 0, 0, 9, 0, 0, 0, 'a'),
	      "predict.wrong_type x: input 'x', element 1: its length is greater than the data that is left");
	check(BIN("BYTES", "[1]"), BINARY(255, 255, 255, 255, 'a'),
	      "predict.wrong_type x: input 'x', element 0: its length is greater than the data that is left");
}

// What the caller refuses ends the walk at that element.
static enum ms_err refuse_third(void *arg, size_t index, double value, struct errinfo *info)
{
	(void)value;
	(void)info;
	++*(size_t *)arg;
	return index == 2 ? MS_ERR_PREDICT_TYPE : MS_OK;
}

TEST(tensor_walk_ends_where_the_caller_says)
{
	static const char *const texts[] = {DATA("FP32", "[5]", "[1,2,3,4,5]"),
					    DATA("FP32", "[5,1]", "[[1],[2],[3],[4],[5]]"), BIN("UINT8", "[5]")};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		struct arena arena;
		struct json_reader r;
		struct tensor t;
		size_t calls = 0;
		ms_arena_init(&arena, 256, 1 << 20);
		ms_json_reader_init(&r, ms_slice_cstr(texts[i]), NULL, &arena, NULL);
		REQUIRE(ms_tensor_read(&r, NULL, &t) == MS_OK);
		t.binary = t.has_binary_size ? MS_SLICE_LIT("12345") : MS_SLICE_EMPTY;
		CHECK_INT(ms_tensor_elements(&t, &arena, NULL, refuse_third, NULL, &calls), MS_ERR_PREDICT_TYPE);
		CHECK_INT(calls, 3);
		ms_arena_fini(&arena);
	}
}
