// SPDX-License-Identifier: Apache-2.0
#include "model/ubjson.h"
#include "tests/lib/test.h"

#define BYTES(text) MS_SLICE_LIT(text)

static struct ubj_reader reader;
static struct errinfo info;

static struct ubj_reader *read_bytes(struct slice bytes)
{
	ms_errinfo_init(&info);
	ms_ubj_reader_init(&reader, bytes, &info);
	return &reader;
}

TEST(ubjson_reads_every_number_type)
{
	struct ubj_reader *r = read_bytes(BYTES("[i\x80"
						"U\xff"
						"I\x80\x01"
						"l\xff\xff\xff\xfe"
						"L\x00\x00\x01\x00\x00\x00\x00\x00"
						"C"
						"A"
						"d\xc0\x20\x00\x00"
						"D\x3f\xb9\x99\x99\x99\x99\x99\x9a"
						"]"));
	static const double want[] = {-128, 255, -32767, -2, 1099511627776.0, 65, -2.5, 0.1};
	struct ubj_number n;
	REQUIRE(ms_ubj_enter_array(r));
	for (size_t i = 0; i < MS_ARRAY_LEN(want); i++) {
		REQUIRE(ms_ubj_next_item(r) && ms_ubj_read_number(r, &n));
		CHECK_F64(n.real, want[i]);
		CHECK_INT(n.is_integer, i < 6);
		if (n.is_integer)
			CHECK_INT(n.integer, (int64_t)want[i]);
	}
	CHECK(!ms_ubj_next_item(r));
	CHECK_OK(ms_ubj_finish(r));
}

TEST(ubjson_reads_all_three_kinds_of_arrays)
{
	const struct slice forms[] = {
		BYTES("[i\x01i\x02i\x03]"),
		BYTES("[#i\x03i\x01i\x02i\x03"),
		BYTES("[$i#L\0\0\0\0\0\0\0\x03\x01\x02\x03"),
	};
	for (size_t f = 0; f < MS_ARRAY_LEN(forms); f++) {
		struct ubj_reader *r = read_bytes(forms[f]);
		struct ubj_number n;
		REQUIRE(ms_ubj_enter_array(r));
		CHECK_INT(ms_ubj_count_hint(r), f == 0 ? 0 : 3);
		for (int i = 1; i <= 3; i++) {
			REQUIRE(ms_ubj_next_item(r) && ms_ubj_read_number(r, &n));
			CHECK_INT(n.integer, i);
		}
		CHECK(!ms_ubj_next_item(r));
		CHECK_OK(ms_ubj_finish(r));
		r = read_bytes(forms[f]);
		CHECK(ms_ubj_skip(r));
		CHECK_OK(ms_ubj_finish(r));
	}
}

TEST(ubjson_reads_objects)
{
	struct ubj_reader *r = read_bytes(BYTES("{i\x01"
						"aTL\0\0\0\0\0\0\0\x02"
						"bbSi\x03"
						"xyzi\x00Z}"));
	struct slice key, text;
	bool flag;
	REQUIRE(ms_ubj_enter_object(r) && ms_ubj_next_key(r, &key));
	CHECK_SLICE(key, "a");
	CHECK_INT(ms_ubj_peek(r), JSON_TRUE);
	CHECK(ms_ubj_read_bool(r, &flag) && flag);
	REQUIRE(ms_ubj_next_key(r, &key));
	CHECK_SLICE(key, "bb");
	CHECK(ms_ubj_read_string(r, &text));
	CHECK_SLICE(text, "xyz");
	REQUIRE(ms_ubj_next_key(r, &key));
	CHECK_SLICE(key, "");
	CHECK_INT(ms_ubj_peek(r), JSON_NULL);
	CHECK(ms_ubj_skip(r));
	CHECK(!ms_ubj_next_key(r, &key));
	CHECK_OK(ms_ubj_finish(r));
}

TEST(ubjson_refuses_what_is_wrong)
{
	const struct {
		struct slice bytes;
		const char *message;
	} cases[] = {
		{BYTES(""), "ends in the middle"},
		{BYTES("x"), "0x78, which starts no value"},
		{BYTES("["), "ends in the middle"},
		{BYTES("{"), "ends in the middle"},
		{BYTES("]"), "starts no value"},
		{BYTES("l\0\0\0"), "ends in the middle"},
		{BYTES("Si\x05"
		       "abcd"),
		 "ends in the middle"},
		{BYTES("Si\xff"
		       "a"),
		 "negative"},
		{BYTES("Sd\0\0\0\0"), "a length as an integer"},
		{BYTES("Si\x02\xc3("), "not valid UTF-8"},
		{BYTES("{T"), "a length as an integer"},
		{BYTES("{$i#i\x01"), "counted objects"},
		{BYTES("[$i\x01"), "has no count"},
		{BYTES("[$T#L\x10\0\0\0\0\0\0\0"), "only numbers are allowed"},
		{BYTES("[$Z#i\x7f"), "only numbers are allowed"},
		{BYTES("[$[#i\x01"), "only numbers are allowed"},
		{BYTES("[$d#L\x10\0\0\0\0\0\0\0\0\0\0\0"), "1152921504606846976 items of 4 bytes"},
		{BYTES("[$D#l\x7f\xff\xff\xff\0"), "2147483647 items of 8 bytes"},
		{BYTES("[#L\x10\0\0\0\0\0\0\0T"), "but only 1 bytes follow"},
		{BYTES("[#L\x80\0\0\0\0\0\0\0T"), "negative"},
		{BYTES("TT"), "1 bytes follow the end"},
		{BYTES("Hi\x01"
		       "1"),
		 "starts no value"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct ubj_reader *r = read_bytes(cases[i].bytes);
		(void)ms_ubj_skip(r); // a failure sticks
		CHECK_INT(ms_ubj_finish(r), MS_ERR_MODEL_FORMAT);
		CHECK_HAS(info.message, cases[i].message);
		CHECK(info.offset >= 0 && (size_t)info.offset <= cases[i].bytes.n);
	}
}

TEST(ubjson_bounds_nesting)
{
	char text[2 * UBJ_MAX_DEPTH + 2];
	memset(text, '[', UBJ_MAX_DEPTH);
	memset(text + UBJ_MAX_DEPTH, ']', UBJ_MAX_DEPTH);
	struct ubj_reader *r = read_bytes(ms_slice(text, (size_t)2 * UBJ_MAX_DEPTH));
	CHECK(ms_ubj_skip(r));
	CHECK_OK(ms_ubj_finish(r));
	memset(text, '[', sizeof(text));
	r = read_bytes(ms_slice(text, sizeof(text)));
	CHECK(!ms_ubj_skip(r));
	CHECK_HAS(info.message, "nested deeper than 64");
	CHECK(!ms_ubj_skip(r)); // and stays failed
}
