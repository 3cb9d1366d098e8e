// SPDX-License-Identifier: Apache-2.0
// The examples of RFC 8949, appendix A: what CTAP2 allows gives the value named there, the rest is refused; and bounds.
#include <stdlib.h>

#include "auth/cbor.h"
#include "crypto/crypto.h"
#include "tests/lib/test.h"

static struct slice from_hex(const char *hex, struct arena *arena)
{
	struct slice bytes = MS_SLICE_EMPTY;
	REQUIRE(ms_hex_decode(ms_slice_cstr(hex), arena, &bytes));
	return bytes;
}

// Diagnostic notation (RFC 8949, section 8).
static void show(struct buf *out, const struct cbor_value *value)
{
	switch (value->type) {
	case CBOR_UNSIGNED:
		ms_buf_append_u64(out, value->n);
		break;
	case CBOR_NEGATIVE:
		if (value->n == UINT64_MAX)
			ms_buf_append_cstr(out, "-18446744073709551616");
		else {
			ms_buf_append_char(out, '-');
			ms_buf_append_u64(out, value->n + 1);
		}
		break;
	case CBOR_BYTES:
		ms_buf_append_cstr(out, "h'");
		ms_hex_append(out, value->bytes);
		ms_buf_append_char(out, '\'');
		break;
	case CBOR_TEXT:
		ms_buf_append_char(out, '"');
		ms_buf_append_slice(out, value->bytes);
		ms_buf_append_char(out, '"');
		break;
	case CBOR_ARRAY:
		ms_buf_append_char(out, '[');
		for (size_t i = 0; i < value->array.count; i++) {
			ms_buf_append_cstr(out, i > 0 ? ", " : "");
			show(out, &value->array.items[i]);
		}
		ms_buf_append_char(out, ']');
		break;
	case CBOR_MAP:
		ms_buf_append_char(out, '{');
		for (size_t i = 0; i < value->map.count; i++) {
			ms_buf_append_cstr(out, i > 0 ? ", " : "");
			show(out, &value->map.pairs[i].key);
			ms_buf_append_cstr(out, ": ");
			show(out, &value->map.pairs[i].value);
		}
		ms_buf_append_char(out, '}');
		break;
	case CBOR_BOOL:
		ms_buf_append_cstr(out, value->flag ? "true" : "false");
		break;
	case CBOR_NULL:
		ms_buf_append_cstr(out, "null");
		break;
	}
}

struct example {
	const char *hex;
	const char *text; // in diagnostic notation; NULL: refused
};
static const struct example examples[] = {
	{"00", "0"},
	{"01", "1"},
	{"0a", "10"},
	{"17", "23"},
	{"1818", "24"},
	{"1819", "25"},
	{"1864", "100"},
	{"1903e8", "1000"},
	{"1a000f4240", "1000000"},
	{"1b000000e8d4a51000", "1000000000000"},
	{"1bffffffffffffffff", "18446744073709551615"},
	{"3bffffffffffffffff", "-18446744073709551616"},
	{"20", "-1"},
	{"29", "-10"},
	{"3863", "-100"},
	{"3903e7", "-1000"},
	{"f4", "false"},
	{"f5", "true"},
	{"f6", "null"},
	{"40", "h''"},
	{"4401020304", "h'01020304'"},
	{"60", "\"\""},
	{"6161", "\"a\""},
	{"6449455446", "\"IETF\""},
	{"62225c", "\"\"\\\""},
	{"62c3bc", "\"\xc3\xbc\""},
	{"63e6b0b4", "\"\xe6\xb0\xb4\""},
	{"64f0908591", "\"\xf0\x90\x85\x91\""},
	{"80", "[]"},
	{"83010203", "[1, 2, 3]"},
	{"8301820203820405", "[1, [2, 3], [4, 5]]"},
	{"98190102030405060708090a0b0c0d0e0f101112131415161718181819",
	 "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25]"},
	{"a0", "{}"},
	{"a201020304", "{1: 2, 3: 4}"},
	{"a26161016162820203", "{\"a\": 1, \"b\": [2, 3]}"},
	{"826161a161626163", "[\"a\", {\"b\": \"c\"}]"},
	{"a56161614161626142616361436164614461656145",
	 "{\"a\": \"A\", \"b\": \"B\", \"c\": \"C\", \"d\": \"D\", \"e\": \"E\"}"},
	// Bignums and other tags, floating point, undefined, simple values, indefinite lengths: not of CTAP2.
	{"c249010000000000000000", NULL},
	{"c349010000000000000000", NULL},
	{"f90000", NULL},
	{"f98000", NULL},
	{"f93c00", NULL},
	{"fb3ff199999999999a", NULL},
	{"f93e00", NULL},
	{"f97bff", NULL},
	{"fa47c35000", NULL},
	{"fa7f7fffff", NULL},
	{"fb7e37e43c8800759c", NULL},
	{"f90001", NULL},
	{"f90400", NULL},
	{"f9c400", NULL},
	{"fbc010666666666666", NULL},
	{"f97c00", NULL},
	{"f97e00", NULL},
	{"f9fc00", NULL},
	{"fa7f800000", NULL},
	{"fa7fc00000", NULL},
	{"faff800000", NULL},
	{"fb7ff0000000000000", NULL},
	{"fb7ff8000000000000", NULL},
	{"fbfff0000000000000", NULL},
	{"f7", NULL},
	{"f0", NULL},
	{"f8ff", NULL},
	{"c074323031332d30332d32315432303a30343a30305a", NULL},
	{"c11a514b67b0", NULL},
	{"c1fb41d452d9ec200000", NULL},
	{"d74401020304", NULL},
	{"d818456449455446", NULL},
	{"d82076687474703a2f2f7777772e6578616d706c652e636f6d", NULL},
	{"5f42010243030405ff", NULL},
	{"7f657374726561646d696e67ff", NULL},
	{"9fff", NULL},
	{"9f018202039f0405ffff", NULL},
	{"9f01820203820405ff", NULL},
	{"83018202039f0405ff", NULL},
	{"83019f0203ff820405", NULL},
	{"9f0102030405060708090a0b0c0d0e0f101112131415161718181819ff", NULL},
	{"bf61610161629f0203ffff", NULL},
	{"826161bf61626163ff", NULL},
	{"bf6346756ef563416d7421ff", NULL},
};

TEST(examples_of_the_standard)
{
	struct arena arena;
	struct buf text;
	ms_arena_init(&arena, 1024, 1 << 20);
	ms_buf_init(&text, 4096);
	for (size_t i = 0; i < MS_ARRAY_LEN(examples); i++) {
		struct cbor_value value;
		enum ms_err err = ms_cbor_parse(from_hex(examples[i].hex, &arena), NULL, &arena, NULL, &value);
		CHECK_INT(err, examples[i].text != NULL ? MS_OK : MS_ERR_INVALID);
		if (err != MS_OK || examples[i].text == NULL)
			continue;
		ms_buf_clear(&text);
		show(&text, &value);
		CHECK_SLICE(ms_buf_slice(&text), examples[i].text);
	}
	ms_buf_fini(&text);
	ms_arena_fini(&arena);
}

static void check_refused(const char *hex, enum ms_err want, const char *why)
{
	struct arena arena;
	struct errinfo info;
	struct cbor_value value;
	ms_arena_init(&arena, 1024, 1 << 20);
	ms_errinfo_init(&info);
	CHECK_INT(ms_cbor_parse(from_hex(hex, &arena), NULL, &arena, &info, &value), want);
	CHECK_HAS(info.message, why);
	ms_arena_fini(&arena);
}

TEST(one_encoding_of_each_value)
{
	check_refused("1817", MS_ERR_INVALID, "longer than it needs");
	check_refused("190018", MS_ERR_INVALID, "longer than it needs");
	check_refused("1a0000ffff", MS_ERR_INVALID, "longer than it needs");
	check_refused("1b00000000ffffffff", MS_ERR_INVALID, "longer than it needs");
	check_refused("3800", MS_ERR_INVALID, "longer than it needs");
	check_refused("580101", MS_ERR_INVALID, "longer than it needs");
	check_refused("9800", MS_ERR_INVALID, "longer than it needs");
	check_refused("a201020102", MS_ERR_INVALID, "twice");
	check_refused("a203010102", MS_ERR_INVALID, "order");
	check_refused("a220010102", MS_ERR_INVALID, "order");       // -1 before 1
	check_refused("a262616101616202", MS_ERR_INVALID, "order"); // the longer key first
}

TEST(bounds)
{
	check_refused("", MS_ERR_INVALID, "too early");
	check_refused("18", MS_ERR_INVALID, "too early");
	check_refused("1b00000000000000", MS_ERR_INVALID, "too early");
	check_refused("1c", MS_ERR_INVALID, "reserved");
	check_refused("4401", MS_ERR_INVALID, "longer than the data");
	check_refused("5bffffffffffffffff", MS_ERR_INVALID, "longer than the data");
	check_refused("9bffffffffffffffff00", MS_ERR_INVALID, "longer than the data");
	check_refused("bbffffffffffffffff00", MS_ERR_INVALID, "longer than the data");
	check_refused("8201", MS_ERR_INVALID, "longer than the data");
	check_refused("a10100ff", MS_ERR_INVALID, "follow");
	check_refused("62c328", MS_ERR_INVALID, "UTF-8");
}

TEST(depth_and_number_are_limited)
{
	struct arena arena;
	struct cbor_value value;
	const struct cbor_limits limits = {.max_depth = 2, .max_items = 4};
	ms_arena_init(&arena, 1024, 1 << 20);
	CHECK_OK(ms_cbor_parse(from_hex("818100", &arena), &limits, &arena, NULL, &value));
	CHECK_INT(ms_cbor_parse(from_hex("81818100", &arena), &limits, &arena, NULL, &value), MS_ERR_LIMIT);
	CHECK_OK(ms_cbor_parse(from_hex("83000000", &arena), &limits, &arena, NULL, &value));
	CHECK_INT(ms_cbor_parse(from_hex("8400000000", &arena), &limits, &arena, NULL, &value), MS_ERR_LIMIT);
	CHECK_INT(ms_cbor_parse(from_hex("a200000101", &arena), &limits, &arena, NULL, &value), MS_ERR_LIMIT);
	ms_arena_fini(&arena);
}

TEST(keys_in_any_order_but_once)
{
	struct arena arena;
	struct cbor_value value;
	const struct cbor_limits limits = {.max_depth = 2, .max_items = 16, .any_order = true};
	ms_arena_init(&arena, 1024, 1 << 20);
	CHECK_OK(ms_cbor_parse(from_hex("a303040102200a", &arena), &limits, &arena, NULL, &value));
	int64_t n;
	CHECK(ms_cbor_as_int(ms_cbor_get_int(&value, -1), &n) && n == 10);
	CHECK(ms_cbor_as_int(ms_cbor_get_int(&value, 3), &n) && n == 4);
	CHECK(ms_cbor_get_int(&value, 2) == NULL);
	CHECK_INT(ms_cbor_parse(from_hex("a3030401020304", &arena), &limits, &arena, NULL, &value), MS_ERR_INVALID);
	ms_arena_fini(&arena);
}

TEST(one_value_is_taken_off_the_front)
{
	struct arena arena;
	struct cbor_value value;
	int64_t n;
	ms_arena_init(&arena, 1024, 1 << 20);
	struct slice rest = from_hex("1818a0ff", &arena);
	CHECK_OK(ms_cbor_read(&rest, NULL, &arena, NULL, &value));
	CHECK(ms_cbor_as_int(&value, &n) && n == 24);
	CHECK_OK(ms_cbor_read(&rest, NULL, &arena, NULL, &value));
	CHECK_INT(value.type, CBOR_MAP);
	CHECK_INT(rest.n, 1);
	CHECK_INT(ms_cbor_read(&rest, NULL, &arena, NULL, &value), MS_ERR_INVALID);
	CHECK_INT(rest.n, 1); // as it was
	CHECK(!ms_cbor_as_int(NULL, &n));
	ms_arena_fini(&arena);
}

// Each prefix of a nested value is refused, and none is read beyond its end (copies, so that a sanitizer sees it).
TEST(every_prefix_is_refused)
{
	struct arena arena;
	ms_arena_init(&arena, 1024, 1 << 20);
	struct slice whole = from_hex(
		"a363666d74646e6f6e656761747453746d74a26161820102616283000142ffff68617574684461746144deadbeef", &arena);
	struct cbor_value value;
	CHECK_OK(ms_cbor_parse(whole, NULL, &arena, NULL, &value));
	for (size_t n = 0; n < whole.n; n++) {
		char *copy = malloc(n + (n == 0));
		REQUIRE(copy != NULL);
		memcpy(copy, whole.p, n);
		CHECK_INT(ms_cbor_parse(ms_slice(copy, n), NULL, &arena, NULL, &value), MS_ERR_INVALID);
		free(copy);
	}
	ms_arena_fini(&arena);
}
