// SPDX-License-Identifier: Apache-2.0
// Decimal text to binary floating point, correctly rounded.
//
// Up to 19 digits: one or two multiplications with a 128-bit power of ten decide every case (D. Lemire,
// "Number parsing at a gigabyte per second", 2021; that no other step is needed: N. Mushtak and D. Lemire,
// "Fast number parsing without fallback", 2022). More digits: the first 19 bound the value from below, the
// same plus one from above. Mostly both give the same result; else they give two neighbours, and all
// digits are compared with the point halfway between them (number_big.c).
#include <math.h>

#include "json/json.h"
#include "json/number.h"
#include "json/powers.h"

struct binary_format {
	int fraction_bits; // without the hidden one
	int bias;
	int infinity;     // the exponent field of infinity
	int min_exponent; // with 19 digits, 10^q below is nearer to zero than to the smallest number …
	int max_exponent; // … and above beyond the largest
	// For q in this range w * 10^q can lie exactly halfway between two numbers: 5^|q| fits the bits there are.
	int min_tie;
	int max_tie;
};

static const struct binary_format f64_format = {52, 1023, 0x7ff, -342, 308, -4, 23};
static const struct binary_format f32_format = {23, 127, 0xff, -64, 38, -17, 10};

// The bits nearest to w * 10^q.
__attribute__((always_inline)) static inline uint64_t nearest_bits(uint64_t w, int64_t q, struct binary_format f)
{
	const uint64_t infinity = (uint64_t)f.infinity << f.fraction_bits;
	if (w == 0 || q < f.min_exponent)
		return 0;
	if (q > f.max_exponent)
		return infinity;
	struct power power = power_of_ten((int)q);
	power.lo += q < 0; // rounded up: a quotient by 5^-q that comes out even then shows as such
	const int leading = __builtin_clzll(w);
	w <<= leading;
	unsigned __int128 product = (unsigned __int128)w * power.hi;
	uint64_t hi = (uint64_t)(product >> 64), lo = (uint64_t)product;
	// The bits below those needed are all ones: the rest of the power may carry into them.
	const uint64_t below = UINT64_MAX >> (f.fraction_bits + 3);
	if (MS_UNLIKELY((hi & below) == below)) {
		uint64_t carry = (uint64_t)(((unsigned __int128)w * power.lo) >> 64);
		lo += carry;
		hi += lo < carry;
	}
	const int top = (int)(hi >> 63);
	const int shift = top + 64 - f.fraction_bits - 3;
	uint64_t mantissa = hi >> shift; // hidden bit, fraction, and one bit more to round by
	int exponent = floor_log2_pow10((int)q) + 63 + top - leading + f.bias;
	if (MS_UNLIKELY(exponent <= 0)) { // subnormal; ties cannot happen here
		if (exponent <= -63)
			return 0;
		mantissa >>= 1 - exponent;
		return (mantissa + 1) >> 1; // may round up to the smallest normal number, whose bits follow on
	}
	if (MS_UNLIKELY(lo <= 1 && q >= f.min_tie && q <= f.max_tie && (mantissa & 3) == 1 && mantissa << shift == hi))
		mantissa--; // exactly halfway above an even number
	mantissa = (mantissa + 1) >> 1;
	// Adding instead of joining carries a mantissa that was rounded up to 2.0 into the exponent.
	uint64_t bits = ((uint64_t)(exponent - 1) << f.fraction_bits) + mantissa;
	return MS_MIN(bits, infinity);
}

uint64_t ms_nearest_f64_bits(uint64_t mantissa, int64_t exponent)
{
	return nearest_bits(mantissa, exponent, f64_format);
}

uint64_t ms_nearest_f32_bits(uint64_t mantissa, int64_t exponent)
{
	return nearest_bits(mantissa, exponent, f32_format);
}

// Takes the first 19 significant digits as the mantissa; more of them bound the value from below and above.
static uint64_t long_bits(const char *digits, const char *digits_end, int64_t exponent, struct binary_format f)
{
	const char *p = digits;
	while (p < digits_end && (*p == '0' || *p == '.'))
		p++;
	uint64_t mantissa = 0;
	int count = 0;
	bool more = false; // digits other than zero behind the mantissa
	for (; p < digits_end; p++) {
		if (*p == '.')
			continue;
		if (count < DECIMAL_DIGITS) {
			mantissa = mantissa * 10 + (uint64_t)(*p - '0');
			count++;
		} else {
			more |= *p != '0';
			exponent++;
		}
	}
	uint64_t low = nearest_bits(mantissa, exponent, f);
	if (!more || low == nearest_bits(mantissa + 1, exponent, f))
		return low;
	return ms_long_nearer(digits, digits_end, exponent, low, (unsigned)f.fraction_bits, f.bias);
}

uint64_t ms_long_f64_bits(const char *digits, const char *digits_end, int64_t exponent)
{
	return long_bits(digits, digits_end, exponent, f64_format);
}

uint64_t ms_long_f32_bits(const char *digits, const char *digits_end, int64_t exponent)
{
	return long_bits(digits, digits_end, exponent, f32_format);
}

static bool scan_whole(struct slice text, bool lenient, struct decimal *ret_decimal)
{
	if (text.n == 0)
		return false;
	*ret_decimal = scan_decimal(text.p, text.p + text.n, lenient);
	return ret_decimal->behind == text.p + text.n;
}

bool ms_number_parse_f64(struct slice text, double *ret_value)
{
	struct decimal d;
	if (!scan_whole(text, false, &d))
		return false;
	double value = decimal_to_f64(d);
	if (isinf(value))
		return false;
	*ret_value = value;
	return true;
}

bool ms_number_parse_f32(struct slice text, float *ret_value)
{
	struct decimal d;
	if (!scan_whole(text, false, &d))
		return false;
	float value = decimal_to_f32(d);
	if (isinf(value))
		return false;
	*ret_value = value;
	return true;
}

// Takes "inf", "infinity" or "nan" with a sign or none off the front; returns how many bytes, 0 when none.
static size_t scan_special(struct slice text, double *ret_value)
{
	static const struct {
		struct slice name;
		double value;
	} specials[] = {
		{{"infinity", 8}, INFINITY},
		{{"inf", 3}, INFINITY},
		{{"nan", 3}, NAN},
	};
	bool negative = text.n > 0 && text.p[0] == '-';
	size_t sign = negative || (text.n > 0 && text.p[0] == '+');
	for (size_t i = 0; i < MS_ARRAY_LEN(specials); i++) {
		if (ms_slice_eq_nocase(ms_slice_sub(text, sign, specials[i].name.n), specials[i].name)) {
			*ret_value = negative ? -specials[i].value : specials[i].value;
			return sign + specials[i].name.n;
		}
	}
	return 0;
}

bool ms_number_parse_f64_lenient(struct slice text, double *ret_value)
{
	struct slice rest = text;
	double value;
	if (!ms_number_scan_f64(&rest, &value) || rest.n > 0)
		return false;
	*ret_value = value;
	return true;
}

bool ms_number_parse_f32_lenient(struct slice text, float *ret_value)
{
	struct decimal d;
	double special;
	if (scan_whole(text, true, &d))
		*ret_value = decimal_to_f32(d);
	else if (text.n > 0 && scan_special(text, &special) == text.n)
		*ret_value = (float)special;
	else
		return false;
	return true;
}

bool ms_number_scan_f64(struct slice *rest, double *ret_value)
{
	if (rest->n == 0)
		return false;
	struct decimal d = scan_decimal(rest->p, rest->p + rest->n, true);
	size_t taken;
	if (d.behind != NULL) {
		*ret_value = decimal_to_f64(d);
		taken = (size_t)(d.behind - rest->p);
	} else {
		taken = scan_special(*rest, ret_value);
		if (taken == 0)
			return false;
	}
	*rest = (struct slice){rest->p + taken, rest->n - taken};
	return true;
}
