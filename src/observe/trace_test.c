// SPDX-License-Identifier: Apache-2.0
// The traceparent header: what is taken, what is refused, and the way back.
#include "observe/observe.h"
#include "tests/lib/test.h"

#define ID "0af7651916cd43dd8448eb211c80319c"
#define PARENT "b7ad6b7169203331"
#define ZERO_ID "00000000000000000000000000000000"

TEST(traceparent_is_read_and_written)
{
	struct trace_context context = {0};
	CHECK(ms_trace_parse(MS_SLICE_LIT("00-" ID "-" PARENT "-01"), &context));
	CHECK(context.valid);
	CHECK_INT(context.trace_id[0], 0x0a);
	CHECK_INT(context.trace_id[15], 0x9c);
	CHECK_INT(context.parent_id[0], 0xb7);
	CHECK_INT(context.parent_id[7], 0x31);
	CHECK_INT(context.flags, 1);
	char text[MS_TRACEPARENT_LEN + 1], id[33];
	ms_trace_format(&context, text);
	CHECK_STR(text, "00-" ID "-" PARENT "-01");
	ms_trace_id_hex(&context, id);
	CHECK_STR(id, ID);
}

TEST(traceparent_variants)
{
	static const struct {
		const char *text;
		int flags; // -1: refused
	} cases[] = {
		{"00-" ID "-" PARENT "-00", 0},
		{"00-" ID "-" PARENT "-ff", 1}, // of the flags only the known one
		{"00-" ID "-" PARENT "-fe", 0},
		{"01-" ID "-" PARENT "-01", 1},
		{"cc-" ID "-" PARENT "-01-what-the-future-holds", 1},
		{"fe-" ID "-" PARENT "-01-", 1},
		{"cc-" ID "-" PARENT "-01.what", -1},
		{"cc-" ID "-" PARENT "-012", -1},
		{"00-" ID "-" PARENT "-01-", -1}, // version 00 ends after the flags
		{"00-" ID "-" PARENT "-01 ", -1},
		{"ff-" ID "-" PARENT "-01", -1},
		{"00-" ZERO_ID "-" PARENT "-01", -1},
		{"00-" ID "-0000000000000000-01", -1},
		{"00-0AF7651916CD43DD8448EB211C80319C-" PARENT "-01", -1},
		{"00-" ID "-B7AD6B7169203331-01", -1},
		{"0A-" ID "-" PARENT "-01", -1},
		{"00-" ID "-" PARENT "-0A", -1},
		{"00-" ID "-" PARENT "-0", -1},
		{"00-" ID "-" PARENT "-", -1},
		{"00-" ID "-" PARENT, -1},
		{"00_" ID "-" PARENT "-01", -1},
		{"00-" ID "_" PARENT "-01", -1},
		{"00-" ID "-" PARENT "_01", -1},
		{"00-0af7651916cd43dd8448eb211c80319-0b7ad6b7169203331-01", -1},
		{"00-0gf7651916cd43dd8448eb211c80319c-" PARENT "-01", -1},
		{" 00-" ID "-" PARENT "-01", -1},
		{"0-" ID "-" PARENT "-01", -1},
		{"", -1},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct trace_context context = {.flags = 77};
		bool taken = ms_trace_parse(ms_slice_cstr(cases[i].text), &context);
		CHECK_INT(taken, cases[i].flags >= 0);
		CHECK_INT(context.flags, taken ? cases[i].flags : 77); // untouched when refused
		CHECK_INT(context.valid, taken);
	}
	struct trace_context context;
	CHECK(!ms_trace_parse(MS_SLICE_EMPTY, &context));
	CHECK(!ms_trace_parse(MS_SLICE_LIT("00-" ID "-" PARENT "-0\0"), &context));
}
