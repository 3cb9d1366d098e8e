// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "crypto/crypto.h"

#include "tests/lib/test.h"

typedef bool decode_fn(struct slice text, struct arena *arena, struct slice *ret_bytes);
typedef void append_fn(struct buf *out, struct slice bytes);
struct decode_case {
	const char *text;
	const char *want; // NULL: refused
};

static void check_decode(decode_fn *decode, const struct decode_case *cases, size_t count)
{
	struct arena a;
	ms_arena_init(&a, 256, 1 << 16);
	for (size_t i = 0; i < count; i++) {
		struct slice bytes = MS_SLICE_EMPTY;
		bool ok = decode(ms_slice_cstr(cases[i].text), &a, &bytes);
		if (!CHECK(ok == (cases[i].want != NULL)))
			printf("# %s\n", cases[i].text);
		if (ok && cases[i].want != NULL)
			CHECK_SLICE(bytes, cases[i].want);
	}
	ms_arena_fini(&a);
}

// Random bytes of each length come back, and so does no text with a character changed to one that is none.
static void check_round_trip(append_fn *append, decode_fn *decode)
{
	struct arena a;
	struct buf text;
	ms_arena_init(&a, 256, 1 << 20);
	ms_buf_init(&text, 4096);
	for (size_t n = 0; n < 100; n++) {
		char bytes[100];
		for (size_t i = 0; i < n; i++)
			bytes[i] = (char)ms_rand_u64(ms_test_rand());
		ms_buf_clear(&text);
		append(&text, ms_slice(bytes, n));
		struct slice again = MS_SLICE_EMPTY;
		CHECK(decode(ms_buf_slice(&text), &a, &again));
		CHECK(ms_slice_eq(again, ms_slice(bytes, n)));
		if (n > 0) {
			text.p[ms_rand_below(ms_test_rand(), text.n)] = "*\0 \n\xff"[ms_rand_below(ms_test_rand(), 5)];
			CHECK(!decode(ms_buf_slice(&text), &a, &again));
		}
	}
	ms_buf_fini(&text);
	ms_arena_fini(&a);
}

TEST(base64_matches_rfc_4648_examples_and_refuses_the_rest)
{
	static const struct decode_case cases[] = {
		{"", ""},       {"Zg==", "f"},  {"Zm8=", "fo"}, {"Zm9v", "foo"},    {"Zm9vYmFy", "foobar"},
		{"Zg=", NULL},  {"Zg", NULL},   {"Z===", NULL}, {"Zm 9", NULL},     {"Zh==", NULL},
		{"Zm9=", NULL}, {"====", NULL}, {"Z=g=", NULL}, {"Zg==Zg==", NULL}, {"Zm-v", NULL},
	};
	check_decode(ms_base64_decode, cases, MS_ARRAY_LEN(cases));
	check_round_trip(ms_base64_append, ms_base64_decode);
}

TEST(base64url_has_no_padding_and_one_text_a_value)
{
	static const struct decode_case cases[] = {
		{"", ""},
		{"Zg", "f"},
		{"Zm8", "fo"},
		{"Zm9v", "foo"},
		{"Zm9vYmFy", "foobar"},
		{"__-_", "\xff\xff\xbf"},
		{"Z", NULL},
		{"Zg==", NULL},
		{"Zm8=", NULL},
		{"Zh", NULL},
		{"Zm9", NULL},
		{"Zm9vY", NULL},
		{"Zm+v", NULL},
		{"Zm/v", NULL},
		{"Zm 9v", NULL},
		{"Zm9v\n", NULL},
		{".", NULL},
		{"=", NULL},
	};
	check_decode(ms_base64url_decode, cases, MS_ARRAY_LEN(cases));
	check_round_trip(ms_base64url_append, ms_base64url_decode);
}

TEST(hex_takes_both_cases)
{
	static const struct decode_case cases[] = {
		{"", ""}, {"666F6f", "foo"}, {"666", NULL}, {"6g", NULL}, {"0x66", NULL}, {" 66", NULL},
	};
	check_decode(ms_hex_decode, cases, MS_ARRAY_LEN(cases));
	check_round_trip(ms_hex_append, ms_hex_decode);
}

TEST(base32_takes_whole_padding_or_none)
{
	static const struct decode_case cases[] = {
		{"", ""},
		{"MY======", "f"},
		{"MZXQ====", "fo"},
		{"MZXW6===", "foo"},
		{"MZXW6YQ=", "foob"},
		{"MZXW6YTB", "fooba"},
		{"MZXW6YTBOI======", "foobar"},
		{"MY", "f"},
		{"mzxw6ytboi", "foobar"},
		{"MY=", NULL},
		{"M", NULL},
		{"MZX", NULL},
		{"MZXW6Y", NULL},
		{"MZ", NULL}, // bits behind the byte
		{"M1", NULL},
		{"M=======", NULL},
		{"========", NULL},
		{"MY======MY======", NULL},
	};
	check_decode(ms_base32_decode, cases, MS_ARRAY_LEN(cases));
	check_round_trip(ms_base32_append, ms_base32_decode);
}

static void decode_and_encode(void)
{
	struct arena a;
	struct buf out;
	ms_arena_init(&a, 64, 4096);
	ms_buf_init(&out, 4096);
	struct slice bytes;
	bool ok = ms_base64url_decode(MS_SLICE_LIT("Zm9vYmFy"), &a, &bytes);
	CHECK(ok || ms_test_allocation_failed());
	ms_base64url_append(&out, MS_SLICE_LIT("foobar"));
	CHECK(ms_buf_ok(&out) || ms_test_allocation_failed());
	ms_buf_fini(&out);
	ms_arena_fini(&a);
}

TEST(encodings_survive_failing_allocations)
{
	ms_test_torture(decode_and_encode);
}
