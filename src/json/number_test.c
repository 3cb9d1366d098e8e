// SPDX-License-Identifier: Apache-2.0
// glibc's strtod, strtof and printf are correctly rounded: they are the reference.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test.h"
#include "json/json.h"

#define TEXT_SIZE 4096

static double f64_from_bits(uint64_t bits)
{
	double value;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

static float f32_from_bits(uint32_t bits)
{
	float value;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

// Both formats read the text as the reference does; on a difference the text is reported.
static bool check_parse(const char *text)
{
	double want = strtod(text, NULL), got = 0;
	float want32 = strtof(text, NULL), got32 = 0;
	struct slice s = ms_slice_cstr(text);
	bool ok = ms_number_parse_f64_lenient(s, &got) && memcmp(&got, &want, sizeof(got)) == 0 &&
		  ms_number_parse_f32_lenient(s, &got32) && memcmp(&got32, &want32, sizeof(got32)) == 0;
	// The strict functions refuse what overflows.
	ok = ok && ms_number_parse_f64(s, &got) == (isfinite(want) != 0) &&
	     ms_number_parse_f32(s, &got32) == (isfinite(want32) != 0);
	if (!ok)
		printf("# %s: got %a and %a, want %a and %a\n", text, got, (double)got32, want, (double)want32);
	return CHECK(ok);
}

static bool check_round_trip_f64(double value)
{
	char text[MS_NUMBER_SIZE];
	size_t n = ms_number_format_f64(value, text);
	double again = 0;
	bool ok = n < MS_NUMBER_SIZE && ms_number_parse_f64(ms_slice(text, n), &again) &&
		  memcmp(&again, &value, sizeof(value)) == 0;
	if (!ok)
		printf("# %a is written %.*s, which reads back as %a\n", value, (int)n, text, again);
	return CHECK(ok);
}

static bool check_round_trip_f32(float value)
{
	char text[MS_NUMBER_SIZE];
	size_t n = ms_number_format_f32(value, text);
	float again = 0;
	bool ok = n < MS_NUMBER_SIZE && ms_number_parse_f32(ms_slice(text, n), &again) &&
		  memcmp(&again, &value, sizeof(value)) == 0;
	if (!ok)
		printf("# %a is written %.*s, which reads back as %a\n", (double)value, (int)n, text, (double)again);
	return CHECK(ok);
}

TEST(number_grammar)
{
	static const char *const good[] = {"0",
					   "-0",
					   "1",
					   "10",
					   "-1.5",
					   "0.0",
					   "1e5",
					   "1E+5",
					   "1.5e-5",
					   "-0e0",
					   "1e00",
					   "0e1",
					   "123456789012345678901234567890",
					   "9.0",
					   "5e-324",
					   "1e-999",
					   "0e9999"};
	static const char *const bad[] = {"",    "-",   "+1",    "01",     "-01",        "00",       "1.",
					  "-1.", ".5",  "1.e5",  "1e",     "1e+",        "1e-",      "--1",
					  "1 ",  " 1",  "0x1",   "1.5.2",  "1e5.5",      "1a",       "inf",
					  "nan", "NaN", "1e5e",  "١",      "1_0",        "1,0",      "e5",
					  "-e5", "-.5", "1e999", "-1e999", "123456780a", "1234567.", "12345678e"};
	double value;
	float value32;
	for (size_t i = 0; i < MS_ARRAY_LEN(good); i++) {
		CHECK(ms_number_parse_f64(ms_slice_cstr(good[i]), &value));
		CHECK(ms_number_parse_f32(ms_slice_cstr(good[i]), &value32));
		check_parse(good[i]);
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		if (!CHECK(!ms_number_parse_f64(ms_slice_cstr(bad[i]), &value)) ||
		    !CHECK(!ms_number_parse_f32(ms_slice_cstr(bad[i]), &value32)))
			printf("# accepted: \"%s\"\n", bad[i]);
	}
	CHECK(!ms_number_parse_f64(MS_SLICE_LIT("1\0"), &value));
	CHECK(!ms_number_parse_f64(MS_SLICE_EMPTY, &value));
	CHECK(!ms_number_parse_f64_lenient(MS_SLICE_EMPTY, &value));
}

TEST(number_lenient_grammar)
{
	static const struct {
		const char *text;
		double value;
	} good[] = {{"+1", 1},
		    {".5", 0.5},
		    {"5.", 5},
		    {"-.5e1", -5},
		    {"007", 7},
		    {"inf", INFINITY},
		    {"-INF", -INFINITY},
		    {"+Infinity", INFINITY},
		    {"NaN", NAN},
		    {"-nan", NAN},
		    {"1e999", INFINITY},
		    {"-1e999", -INFINITY},
		    {"000000000000000000000000.5", 0.5}};
	static const char *const bad[] = {"",      "+",  ".",    "-.",  "e5",    ".e5", "1e",
					  "infin", "in", "nano", "+-1", "0x1p3", "1 "};
	double value;
	float value32;
	for (size_t i = 0; i < MS_ARRAY_LEN(good); i++) {
		REQUIRE(ms_number_parse_f64_lenient(ms_slice_cstr(good[i].text), &value));
		CHECK_F64(value, good[i].value);
		REQUIRE(ms_number_parse_f32_lenient(ms_slice_cstr(good[i].text), &value32));
		CHECK_F64((double)value32, good[i].value);
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		if (!CHECK(!ms_number_parse_f64_lenient(ms_slice_cstr(bad[i]), &value)) ||
		    !CHECK(!ms_number_parse_f32_lenient(ms_slice_cstr(bad[i]), &value32)))
			printf("# accepted: \"%s\"\n", bad[i]);
	}
}

TEST(number_scan_takes_one)
{
	struct slice rest = MS_SLICE_LIT("1.5 -2e3inf+.25nan7ex");
	double value;
	REQUIRE(ms_number_scan_f64(&rest, &value));
	CHECK_F64(value, 1.5);
	CHECK_SLICE(rest, " -2e3inf+.25nan7ex");
	CHECK(!ms_number_scan_f64(&rest, &value)); // a space is no number
	rest = ms_slice_sub(rest, 1, rest.n);
	static const double wants[] = {-2e3, INFINITY, 0.25, NAN, 7};
	for (size_t i = 0; i < MS_ARRAY_LEN(wants); i++) {
		REQUIRE(ms_number_scan_f64(&rest, &value));
		CHECK_F64(value, wants[i]);
	}
	CHECK_SLICE(rest, "ex");
	CHECK(!ms_number_scan_f64(&rest, &value));
}

TEST(number_known_hard)
{
	static const char *const texts[] = {
		"2.2250738585072011e-308",
		"2.2250738585072012e-308",
		"2.2250738585072014e-308",
		"1.7976931348623157e308",
		"1.7976931348623158e308",
		"1.7976931348623159e308",
		"179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096"
		"330"
		"286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270"
		"069"
		"855571366959622842914819860834936475292719074168444365510704342711559699508093042880",
		"179769313486231580793728971405303415079934132710037826936173778980444968292764750946649017977587207096"
		"330"
		"286416692887910946555547851940402630657488671505820681908902000708383676273854845817711531764475730270"
		"069"
		"855571366959622842914819860834936475292719074168444365510704342711559699508093042879.999",
		"4.9406564584124654e-324",
		"2.4703282292062327e-324",
		"2.4703282292062328e-324",
		"9007199254740993",
		"9007199254740992.99999999999999999999",
		"9007199254740993.00000000000000000001",
		"1e23",
		"8.442911973260991817129021e-309",
		"6.631236846766476e-316",
		"3.2378839133029012895883524125015321748630094506372e-310",
		"1.00000017881393432617187499",
		"1.00000017881393432617187500",
		"1.00000017881393432617187501",
		"7.0064923216240853546186479164495e-46",
		"7.0064923216240853546186479164496e-46",
		"340282356779733661637539395458142568447.9999",
		"340282356779733661637539395458142568448",
		"1.17549429e-38",
		"1.401298464e-45",
		"0."
		"000000000000000000000000000000000000000000000000000000000000000000000000000000001234567890123456789012"
		"e90",
		"100000000000000000000000000000000000000000000000000000000000000000000000000000000000000e-80",
		"1e-1000000000000000000000000000",
		"1e1000000000000000000000000000000",
		"0e1000000000000000000000000",
		"0.0000000000000000000000000000000000000000e99999999999999999999",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++)
		check_parse(texts[i]);
}

TEST(number_powers_of_ten)
{
	char text[64];
	for (int e = -420; e <= 420; e++) {
		for (int m = 1; m <= 9; m++) {
			snprintf(text, sizeof(text), "%de%d", m, e);
			if (!check_parse(text))
				return;
			double value = strtod(text, NULL);
			if (isfinite(value) && !check_round_trip_f64(value))
				return;
			float value32 = strtof(text, NULL);
			if (isfinite(value32) && !check_round_trip_f32(value32))
				return;
		}
	}
}

// Each power of two and its neighbours, written out to the last digit and shortest.
TEST(number_powers_of_two)
{
	static char text[TEXT_SIZE];
	for (int e = -1074; e <= 1023; e++) {
		double neighbours[] = {nextafter(ldexp(1, e), 0), ldexp(1, e), nextafter(ldexp(1, e), INFINITY)};
		for (size_t i = 0; i < MS_ARRAY_LEN(neighbours); i++) {
			snprintf(text, sizeof(text), "%.1100f", neighbours[i]);
			if (!check_parse(text) || !check_round_trip_f64(neighbours[i]))
				return;
		}
	}
	for (int e = -149; e <= 127; e++) {
		float value = ldexpf(1, e);
		check_round_trip_f32(value);
		check_round_trip_f32(nextafterf(value, 0));
		check_round_trip_f32(nextafterf(value, INFINITY));
	}
}

// The middle between two neighbours, all digits, then a little below and above it.
static bool check_middle(long double middle)
{
	static char text[TEXT_SIZE];
	int n = snprintf(text, sizeof(text) - 8, "%.*Le", 800, middle);
	char *e = strchr(text, 'e');
	char exponent[16];
	snprintf(exponent, sizeof(exponent), "%s", e);
	MS_ASSERT(n > 0 && e != NULL);
	if (!check_parse(text))
		return false;
	memcpy(e, "1", 1); // a digit more: above
	snprintf(e + 1, 16, "%s", exponent);
	if (!check_parse(text))
		return false;
	while (e[-1] == '0') // below: the last digit that is not zero, minus one, then nines
		e--;
	if (e[-1] == '.')
		return true;
	e[-1]--;
	snprintf(e, 32, "99999%s", exponent);
	return check_parse(text);
}

TEST(number_halfway)
{
	struct rand *rand = ms_test_rand();
	for (size_t i = 0, n = ms_test_rounds(8000); i < n; i++) {
		uint64_t bits = ms_rand_u64(rand) & 0x7fffffffffffffff;
		if (i % 4 == 0)
			bits &= 0x000fffffffffffff; // subnormal
		if (i % 4 == 1)
			bits = (bits & 0x000fffffffffffff) | (1023 + ms_rand_below(rand, 80))
								     << 52; // around 1e0 to 1e23
		double low = f64_from_bits(bits), high = f64_from_bits(bits + 1);
		if (!isfinite(high))
			continue;
		if (!check_middle(((long double)low + (long double)high) / 2))
			return;
		uint32_t bits32 = (uint32_t)ms_rand_u64(rand) & 0x7fffffff;
		if (i % 4 == 0)
			bits32 &= 0x7fffff;
		float low32 = f32_from_bits(bits32), high32 = f32_from_bits(bits32 + 1);
		if (isfinite(high32) && !check_middle(((long double)low32 + (long double)high32) / 2))
			return;
	}
}

static size_t random_digits(struct rand *rand, char *dst, size_t n)
{
	for (size_t i = 0; i < n; i++)
		dst[i] = (char)('0' + ms_rand_below(rand, 10));
	return n;
}

// [-]digits[.digits][e±d], at most `max` digits on each side of the point.
static void random_decimal(struct rand *rand, char *dst, size_t max)
{
	size_t n = 0;
	if (ms_rand_below(rand, 4) == 0)
		dst[n++] = '-';
	size_t digits = 1 + ms_rand_below(rand, max);
	size_t start = n;
	n += random_digits(rand, dst + n, digits);
	if (dst[start] == '0')
		n = start + 1;
	if (ms_rand_below(rand, 2) == 0) {
		dst[n++] = '.';
		n += random_digits(rand, dst + n, 1 + ms_rand_below(rand, max));
	}
	int reach = ms_rand_below(rand, 2) == 0 ? 40 : 340;
	int exponent =
		(int)ms_rand_below(rand, (uint64_t)reach * 2) - reach - (ms_rand_below(rand, 2) ? (int)digits : 0);
	if (ms_rand_below(rand, 3) > 0)
		n += (size_t)snprintf(dst + n, 16, "e%+d", exponent);
	dst[n] = '\0';
}

TEST(number_random_decimals)
{
	char text[128];
	for (size_t i = 0, n = ms_test_rounds(1500000); i < n; i++) {
		random_decimal(ms_test_rand(), text, 12 + i % 13);
		if (!check_parse(text))
			return;
	}
}

TEST(number_long_decimals)
{
	static char text[TEXT_SIZE];
	for (size_t i = 0, n = ms_test_rounds(20000); i < n; i++) {
		random_decimal(ms_test_rand(), text, 1000);
		if (!check_parse(text))
			return;
	}
	// Zeros and exponents that cancel out.
	for (int zeros = 0; zeros < 2000; zeros++) {
		int n = snprintf(text, sizeof(text), "0.%0*d123e%d", zeros, 0, zeros);
		if (!check_parse(text))
			return;
		n = snprintf(text, sizeof(text), "17%0*de-%d", zeros, 0, zeros);
		MS_ASSERT(n > 0);
		if (!check_parse(text))
			return;
	}
}

TEST(number_round_trip_f64)
{
	struct rand *rand = ms_test_rand();
	for (size_t i = 0, n = ms_test_rounds(3000000); i < n; i++) {
		uint64_t bits = ms_rand_u64(rand);
		if (i % 8 == 0)
			bits &= 0x800fffffffffffff; // subnormal
		if (i % 8 == 1)
			bits = (bits & 0x800fffffffffffff) | (1000 + ms_rand_below(rand, 60)) << 52; // usual size
		double value = f64_from_bits(bits);
		if (isfinite(value) && !check_round_trip_f64(value))
			return;
	}
	int whole = (int)ms_test_rounds(200000);
	for (int i = -whole; i < whole; i++) {
		if (!check_round_trip_f64(i) || !check_round_trip_f64(i / 1000.0))
			return;
	}
}

// A sample of all floats; MS_TEST_F32_STRIDE=1 takes every one (a few minutes).
TEST(number_round_trip_f32)
{
	const char *setting = getenv("MS_TEST_F32_STRIDE");
	uint64_t stride = setting != NULL ? strtoull(setting, NULL, 10) : UINT32_MAX / ms_test_rounds(2046197);
	REQUIRE(stride > 0);
	for (uint64_t bits = 0; bits <= UINT32_MAX; bits += stride) {
		float value = f32_from_bits((uint32_t)bits);
		if (isfinite(value) && !check_round_trip_f32(value))
			return;
	}
}

struct digits {
	char text[32];
	int n;
};

// The digits of a number, without leading and trailing zeros, point and exponent.
static struct digits digits_of(const char *text)
{
	struct digits d = {{0}, 0};
	for (; *text != '\0' && *text != 'e'; text++) {
		if (*text >= '0' && *text <= '9' && (d.n > 0 || *text != '0') && d.n < 31)
			d.text[d.n++] = *text;
	}
	while (d.n > 0 && d.text[d.n - 1] == '0')
		d.n--;
	d.text[d.n] = '\0';
	return d;
}

// The nearest decimal with the fewest digits that reads back. The interval of a power of two is lopsided:
// there a number with fewer digits may read back that is not the nearest with so many digits.
static bool check_shortest(double value, bool is_f32)
{
	char got[MS_NUMBER_SIZE + 1], want[64];
	size_t n = is_f32 ? ms_number_format_f32((float)value, got) : ms_number_format_f64(value, got);
	got[n] = '\0';
	for (int digits = 0; digits < 17; digits++) {
		snprintf(want, sizeof(want), "%.*e", digits, value);
		if (is_f32 ? strtof(want, NULL) == (float)value : strtod(want, NULL) == value)
			break;
	}
	struct digits g = digits_of(got), w = digits_of(want);
	int exponent;
	bool lopsided = frexp(fabs(value), &exponent) == 0.5;
	bool same = strcmp(g.text, w.text) == 0;
	double again = is_f32 ? (double)strtof(got, NULL) : strtod(got, NULL);
	bool ok = again == value && (same || (lopsided && g.n < w.n));
	if (!ok)
		printf("# %a is written %s, shortest is %s\n", value, got, want);
	return CHECK(ok);
}

TEST(number_shortest)
{
	struct rand *rand = ms_test_rand();
	for (size_t i = 0, n = ms_test_rounds(60000); i < n; i++) {
		double value = f64_from_bits(ms_rand_u64(rand));
		if (isfinite(value) && !check_shortest(value, false))
			return;
		float value32 = f32_from_bits((uint32_t)ms_rand_u64(rand));
		if (isfinite(value32) && !check_shortest((double)value32, true))
			return;
		value = (double)ms_rand_below(rand, 100000000) / 10000;
		if (!check_shortest(value, false) || !check_shortest((double)(float)value, true))
			return;
	}
	// Short decimals, some of which lie on the very end of an interval, as 1e23 does.
	for (int e = -30; e <= 60; e++) {
		for (int m = 1; m < 100; m++) {
			double value;
			char text[16];
			int n = snprintf(text, sizeof(text), "%de%d", m, e);
			REQUIRE(ms_number_parse_f64(ms_slice(text, (size_t)n), &value));
			if (!check_shortest(value, false) || (e < 35 && !check_shortest((double)(float)value, true)))
				return;
		}
	}
	for (int e = -1074; e <= 1023; e++) {
		if (!check_shortest(ldexp(1, e), false))
			return;
	}
	for (int e = -149; e <= 127; e++) {
		if (!check_shortest(ldexp(1, e), true))
			return;
	}
}

TEST(number_notation)
{
	static const struct {
		double value;
		const char *text;
	} rows[] = {
		{0, "0.0"},
		{-0.0, "-0.0"},
		{1, "1.0"},
		{-1, "-1.0"},
		{100, "100.0"},
		{0.1, "0.1"},
		{0.5, "0.5"},
		{1.5, "1.5"},
		{123.456, "123.456"},
		{1e-5, "0.00001"},
		{1.5e-5, "0.000015"},
		{9.9e-6, "9.9e-6"},
		{1e20, "100000000000000000000.0"},
		{1e21, "1e21"},
		{1e22, "1e22"},
		{1e23, "1e23"},
		{1.25e22, "1.25e22"},
		{1e-7, "1e-7"},
		{5e-324, "5e-324"},
		{1.7976931348623157e308, "1.7976931348623157e308"},
		{123456789012345680000.0, "123456789012345680000.0"},
		{9007199254740993.0, "9007199254740992.0"},
		{2.2250738585072014e-308, "2.2250738585072014e-308"},
		{0.1 + 0.2, "0.30000000000000004"},
	};
	char text[MS_NUMBER_SIZE];
	for (size_t i = 0; i < MS_ARRAY_LEN(rows); i++) {
		size_t n = ms_number_format_f64(rows[i].value, text);
		CHECK_SLICE(ms_slice(text, n), rows[i].text);
	}
	size_t n = ms_number_format_f32(0.1f, text);
	CHECK_SLICE(ms_slice(text, n), "0.1");
	n = ms_number_format_f32(16777216.0f, text);
	CHECK_SLICE(ms_slice(text, n), "16777216.0");
	n = ms_number_format_f32(3.4028235e38f, text);
	CHECK_SLICE(ms_slice(text, n), "3.4028235e38");
	n = ms_number_format_f32(1e-45f, text);
	CHECK_SLICE(ms_slice(text, n), "1e-45");
}
