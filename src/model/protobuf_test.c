// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "model/protobuf.h"
#include "tests/lib/test.h"

#define BYTES(text) MS_SLICE_LIT(text)

TEST(protobuf_reads_every_wire_type)
{
	struct pb p = ms_pb(BYTES("\x08\x96\x01"                                        // 1: varint 150
				  "\x11\x00\x00\x00\x00\x00\x00\xf8\x3f"                // 2: double 1.5
				  "\x1a\x02hi"                                          // 3: bytes
				  "\x25\x00\x00\x20\xc0"                                // 4: float -2.5
				  "\xf8\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")); // 31: varint -1
	struct pb_field f;
	REQUIRE(ms_pb_next(&p, &f));
	CHECK_INT(f.number, 1);
	CHECK_INT(f.value, 150);
	REQUIRE(ms_pb_next(&p, &f));
	CHECK_INT(f.wire, PB_FIXED64);
	CHECK_F64(ms_pb_f64(&f), 1.5);
	REQUIRE(ms_pb_next(&p, &f));
	CHECK_INT(f.number, 3);
	CHECK_SLICE(f.bytes, "hi");
	REQUIRE(ms_pb_next(&p, &f));
	CHECK_F64((double)ms_pb_f32(&f), -2.5);
	REQUIRE(ms_pb_next(&p, &f));
	CHECK_INT(f.number, 31);
	CHECK_INT(ms_pb_i64(&f), -1);
	CHECK(!ms_pb_next(&p, &f));
	CHECK(ms_pb_ok(&p));
}

TEST(protobuf_refuses_damage)
{
	static const struct slice damaged[] = {
		BYTES("\x08"),                                             // no value
		BYTES("\x08\x96"),                                         // varint that does not end
		BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),     // 65 bits
		BYTES("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), // eleven bytes
		BYTES("\x11\x00\x00\x00\x00\x00\x00\x00"),                 // seven of eight bytes
		BYTES("\x25\x00\x00\x00"),                                 // three of four bytes
		BYTES("\x1a\x03hi"),                                       // two of three bytes
		BYTES("\x1a"),                                             // no length
		BYTES("\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),     // more than there can be
		BYTES("\x0b\x0c"),                                         // a group
		BYTES("\x0e\x00"),                                         // wire type 6
		BYTES("\x00\x00"),                                         // field 0
		BYTES("\x80\x80\x80\x80\x20\x00"),                         // field 2^30
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(damaged); i++) {
		struct pb p = ms_pb(damaged[i]);
		struct pb_field f;
		if (!CHECK(!ms_pb_next(&p, &f)) || !CHECK(!ms_pb_ok(&p)))
			printf("# damage %zu\n", i);
		CHECK(!ms_pb_next(&p, &f)); // for good
	}
	struct pb none = ms_pb(MS_SLICE_EMPTY);
	struct pb_field f;
	CHECK(!ms_pb_next(&none, &f));
	CHECK(ms_pb_ok(&none));
}

TEST(protobuf_reads_lists_packed_or_not)
{
	struct pb p = ms_pb(BYTES("\x0a\x0b\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" // packed 1, -1
				  "\x08\x07"                                             // one 7
				  "\x0a\x01\x80"                                         // packed, cut
				  "\x0a\x03\x00\x00\x80"                                 // no whole number of floats
				  "\x0a\x08\x00\x00\x80\x3f\x00\x00\x00\xbf"             // 1.0f, -0.5f
				  "\x0d\x00\x00\x00\x40"));                              // 2.0f
	struct pb_field f;
	int64_t whole[2];
	float real[2];
	size_t n;
	REQUIRE(ms_pb_next(&p, &f) && ms_pb_count(&f, 0, &n));
	CHECK_INT(n, 2);
	ms_pb_copy_i64(&f, whole);
	CHECK_INT(whole[0], 1);
	CHECK_INT(whole[1], -1);
	REQUIRE(ms_pb_next(&p, &f) && ms_pb_count(&f, 0, &n));
	CHECK_INT(n, 1);
	ms_pb_copy_i64(&f, whole);
	CHECK_INT(whole[0], 7);
	CHECK(!ms_pb_count(&f, sizeof(float), &n)); // a varint is no float
	REQUIRE(ms_pb_next(&p, &f));
	CHECK(!ms_pb_count(&f, 0, &n));
	REQUIRE(ms_pb_next(&p, &f));
	CHECK(!ms_pb_count(&f, sizeof(float), &n));
	REQUIRE(ms_pb_next(&p, &f) && ms_pb_count(&f, sizeof(float), &n));
	CHECK_INT(n, 2);
	ms_pb_copy_f32(&f, real);
	CHECK_F64((double)real[0], 1);
	CHECK_F64((double)real[1], -0.5);
	REQUIRE(ms_pb_count(&f, sizeof(double), &n));
	CHECK_INT(n, 1);
	double wide;
	ms_pb_copy_f64(&f, &wide);
	CHECK_F64(wide, -0x1.000003f8p-15);
	REQUIRE(ms_pb_next(&p, &f) && ms_pb_count(&f, sizeof(float), &n));
	ms_pb_copy_f32(&f, real);
	CHECK_F64((double)real[0], 2);
	CHECK(!ms_pb_next(&p, &f));
}
