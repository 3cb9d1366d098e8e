// SPDX-License-Identifier: Apache-2.0
// Private: the decimal form between text and binary numbers, and the inline part of reading it, which the
// reader's hot loop shares with number_parse.c.
#ifndef MS_JSON_NUMBER_H
#define MS_JSON_NUMBER_H

#include "base/base.h"

#define DECIMAL_DIGITS 19 // so many decimal digits always fit 64 bits

struct decimal {
	const char *behind; // the number; NULL when there is none
	uint64_t mantissa;  // of the digits, modulo 2^64: right up to 19 digits
	int64_t exponent;   // the value is mantissa * 10^exponent
	bool negative;
	bool integer;           // neither fraction nor exponent was written
	bool point;             // there is a '.' between the digits
	const char *digits;     // the first digit of the text
	const char *digits_end; // behind the last digit before the exponent
};

// Correctly rounded mantissa * 10^exponent as bits of the format; may be infinity.
uint64_t ms_nearest_f64_bits(uint64_t mantissa, int64_t exponent);
uint64_t ms_nearest_f32_bits(uint64_t mantissa, int64_t exponent);
// The same for numbers of more than 19 digits, from digits and exponent of a struct decimal.
uint64_t ms_long_f64_bits(const char *digits, const char *digits_end, int64_t exponent) MS_COLD;
uint64_t ms_long_f32_bits(const char *digits, const char *digits_end, int64_t exponent) MS_COLD;
// The exact way (number_big.c): `low` and `low + 1` are neighbours, as bits of a format with `fraction_bits`
// and exponent `bias`, and the number is between. Returns the nearer, the even one at a tie.
uint64_t ms_long_nearer(const char *digits, const char *digits_end, int64_t exponent, uint64_t low,
			unsigned fraction_bits, int bias) MS_COLD;

static inline bool is_digit(char c)
{
	return (unsigned char)(c - '0') < 10;
}

// Eight bytes, the first in the lowest place.
static inline uint64_t load_u64(const char *p)
{
	uint64_t word;
	memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

// The number that eight digits (values 0 to 9, the first in the lowest byte) make: neighbours are joined to
// four numbers below 100, then two below 10^4, then one.
static inline uint64_t join_digits(uint64_t digits)
{
	digits = (digits * (1 + (10ULL << 8))) >> 8 & 0x00ff00ff00ff00ffULL;
	digits = (digits * (1 + (100ULL << 16))) >> 16 & 0x0000ffff0000ffffULL;
	return (digits * (1 + (10000ULL << 32))) >> 32;
}

// Marks the bytes of `digits` (eight characters less '0') that are no digits with their top bit. Right up to
// the first that is above 0x7f.
static inline uint64_t mark_others(uint64_t digits)
{
	return ((digits + 0x7676767676767676ULL) | digits) & 0x8080808080808080ULL;
}

// Takes digits off the front, adds them to the mantissa (modulo 2^64) and returns where they end.
static inline const char *scan_digits(const char *p, const char *end, uint64_t *mantissa)
{
	static const uint32_t scale[8] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
	uint64_t m = *mantissa;
	while (MS_LIKELY(end - p >= 8)) {
		uint64_t digits = load_u64(p) ^ 0x3030303030303030ULL;
		uint64_t others = mark_others(digits);
		if (others != 0) {
			unsigned n = (unsigned)__builtin_ctzll(others) / 8;
			*mantissa = m * scale[n] + join_digits(digits << (56 - 8 * n) << 8);
			return p + n;
		}
		m = m * 100000000 + join_digits(digits);
		p += 8;
	}
	for (; p < end && is_digit(*p); p++)
		m = m * 10 + (uint64_t)(*p - '0');
	*mantissa = m;
	return p;
}

// Reads the exponent behind 'e'; NULL when there is no digit. Beyond 10^17 it stays where it is: no number of
// digits that fits memory brings such a value back into any range.
static inline const char *scan_exponent(const char *p, const char *end, int64_t *ret_exponent)
{
	bool negative = p < end && *p == '-';
	p += p < end && (*p == '-' || *p == '+');
	if (p == end || !is_digit(*p))
		return NULL;
	int64_t value = 0;
	for (; p < end && is_digit(*p); p++) {
		if (value < 10000000000000000)
			value = value * 10 + (*p - '0');
	}
	*ret_exponent = negative ? -value : value;
	return p;
}

// Scans digits and fraction of JSON's grammar where eight bytes can be read: most numbers are shorter, and the
// point is taken out of the eight without a branch on how many digits are before and behind it.
__attribute__((always_inline)) static inline struct decimal scan_window(const char *p, const char *end)
{
	struct decimal d = {.digits = p, .integer = true};
	const uint64_t window = load_u64(p) ^ 0x3030303030303030ULL;
	const uint64_t others = mark_others(window);
	const unsigned whole = others != 0 ? (unsigned)__builtin_ctzll(others) & ~7U : 64; // bits of digits in front
	if (MS_UNLIKELY(whole == 0 || ((window & 0xff) == 0 && whole > 8)))
		return d; // no digit, or a leading zero
	if (whole < 64 && (window >> whole & 0xff) == ('.' ^ '0')) {
		const uint64_t before = (1ULL << whole) - 1;
		const uint64_t digits = (window & before) | (window >> 8 & ~before);
		const uint64_t behind = others & (others - 1);
		d.integer = false;
		if (behind == 0) { // seven digits and the point; more may follow
			d.mantissa = join_digits(digits << 8);
			p = scan_digits(p + 8, end, &d.mantissa);
		} else {
			const unsigned all =
				(unsigned)__builtin_ctzll(behind) & ~7U; // bits up to the end, with the point
			d.mantissa = join_digits(digits << (64 - all) << 8);
			p += all / 8;
		}
		d.exponent = d.digits + whole / 8 + 1 - p;
		if (MS_UNLIKELY(d.exponent == 0))
			return d; // no digit behind the point
	} else if (whole < 64) {
		d.mantissa = join_digits(window << (64 - whole));
		p += whole / 8;
	} else {
		d.mantissa = join_digits(window);
		p = scan_digits(p + 8, end, &d.mantissa);
		if (p < end && *p == '.') {
			const char *fraction = p + 1;
			p = scan_digits(fraction, end, &d.mantissa);
			d.exponent = fraction - p;
			d.integer = false;
			if (MS_UNLIKELY(p == fraction))
				return d;
		}
	}
	d.behind = p;
	return d;
}

// The same byte by byte; `lenient` also takes missing digits on one side of the point and leading zeros.
static inline struct decimal scan_bytes(const char *p, const char *end, bool lenient)
{
	struct decimal d = {.digits = p, .integer = true};
	p = scan_digits(p, end, &d.mantissa);
	size_t count = (size_t)(p - d.digits);
	if (!lenient && (count == 0 || (*d.digits == '0' && count > 1)))
		return d;
	if (p < end && *p == '.') {
		const char *fraction = p + 1;
		p = scan_digits(fraction, end, &d.mantissa);
		d.exponent = fraction - p;
		d.integer = false;
		count += (size_t)(p - fraction);
		if (!lenient && p == fraction)
			return d;
	}
	if (count > 0)
		d.behind = p;
	return d;
}

// Scans JSON's number grammar from p. `lenient` also takes a leading '+', and stops before an exponent
// without digits.
__attribute__((always_inline)) static inline struct decimal scan_decimal(const char *p, const char *end, bool lenient)
{
	// Signs are as good as random. The empty statement keeps the compiler from making a branch of them.
	unsigned negative = p < end ? *p == '-' : 0;
	__asm__("" : "+r"(negative));
	p += negative;
	if (lenient && negative == 0)
		p += p < end && *p == '+';
	struct decimal d = !lenient && MS_LIKELY(end - p >= 8) ? scan_window(p, end) : scan_bytes(p, end, lenient);
	if (MS_UNLIKELY(d.behind == NULL))
		return d;
	d.negative = negative != 0;
	d.point = !d.integer;
	d.digits_end = d.behind;
	if (d.behind < end && MS_UNLIKELY((*d.behind | 0x20) == 'e')) {
		int64_t exponent = 0;
		const char *behind = scan_exponent(d.behind + 1, end, &exponent);
		if (behind != NULL || !lenient)
			d.behind = behind;
		d.exponent += exponent;
		d.integer &= behind == NULL;
	}
	return d;
}

static inline bool is_long(struct decimal d)
{
	return MS_UNLIKELY(d.digits_end - d.digits > DECIMAL_DIGITS + d.point);
}

static inline double f64_from_bits(uint64_t bits)
{
	double value;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

// When both factors are exact doubles, the one rounding of the operation is the right one (W. Clinger, "How
// to read floating point numbers accurately", 1990).
__attribute__((always_inline)) static inline double decimal_to_f64(struct decimal d)
{
	static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
				       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	double value;
	if (is_long(d))
		value = f64_from_bits(ms_long_f64_bits(d.digits, d.digits_end, d.exponent));
	else if (MS_LIKELY(d.mantissa <= 1ULL << 53 && d.exponent <= 0 && d.exponent >= -22))
		value = (double)d.mantissa / exact[-d.exponent];
	else
		value = f64_from_bits(ms_nearest_f64_bits(d.mantissa, d.exponent));
	uint64_t bits;
	memcpy(&bits, &value, sizeof(bits));
	return f64_from_bits(bits | (uint64_t)d.negative << 63);
}

static inline float decimal_to_f32(struct decimal d)
{
	uint64_t bits = is_long(d) ? ms_long_f32_bits(d.digits, d.digits_end, d.exponent)
				   : ms_nearest_f32_bits(d.mantissa, d.exponent);
	uint32_t bits32 = (uint32_t)bits | (uint32_t)d.negative << 31;
	float value;
	memcpy(&value, &bits32, sizeof(value));
	return value;
}

#endif
