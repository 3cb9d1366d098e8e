// SPDX-License-Identifier: Apache-2.0
// Private: the decimal form between text and binary numbers, and the inline part of reading it, which the
// reader's hot loop shares with number_parse.c.
#ifndef MS_JSON_NUMBER_H
#define MS_JSON_NUMBER_H

#include "base/base.h"

#define DECIMAL_DIGITS 19 // so many decimal digits always fit 64 bits

struct decimal {
	uint64_t mantissa; // the first 19 significant digits
	int64_t exponent;  // the value is mantissa * 10^exponent, and more when `cut`
	bool negative;
	bool cut;               // digits other than zero follow the first 19
	bool integer;           // neither fraction nor exponent was written
	const char *digits;     // first digit of the text, for the exact way of numbers that were cut
	const char *digits_end; // behind the last digit; a '.' may be between
};

// Only for numbers with more than 19 digits: sets mantissa, exponent and cut from the digits.
void ms_decimal_cut(struct decimal *d) MS_COLD;
// Correctly rounded magnitude as bits of the format, without the sign; the exponent may be infinity's.
uint64_t ms_decimal_to_f64_bits(const struct decimal *d);
uint32_t ms_decimal_to_f32_bits(const struct decimal *d);
// The exact way (number_big.c): `low` and `low + 1` are neighbours, as bits of a format with `fraction_bits`
// and exponent `bias`, and the digits of `d` are between. Returns the nearer, the even one at a tie.
uint64_t ms_decimal_nearer(const struct decimal *d, uint64_t low, unsigned fraction_bits, int bias) MS_COLD;

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

// Takes digits off the front, adds them to the mantissa (modulo 2^64) and returns where they end.
static inline const char *scan_digits(const char *p, const char *end, uint64_t *mantissa)
{
	static const uint32_t scale[8] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
	uint64_t m = *mantissa;
	while (MS_LIKELY(end - p >= 8)) {
		uint64_t digits = load_u64(p) ^ 0x3030303030303030ULL;
		uint64_t others = ((digits + 0x7676767676767676ULL) | digits) & 0x8080808080808080ULL;
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

// Scans JSON's number grammar from p and returns where the number ends, NULL when none is there. `lenient`
// also takes '+', missing digits on one side of the point, leading zeros, and stops before an exponent
// without digits.
__attribute__((always_inline)) static inline const char *scan_decimal(const char *p, const char *end, bool lenient,
								      struct decimal *ret_decimal)
{
	struct decimal *d = ret_decimal;
	d->negative = p < end && *p == '-';
	p += d->negative || (lenient && p < end && *p == '+');
	d->mantissa = 0;
	d->digits = p;
	if (!lenient && p < end && *p == '0')
		p++;
	else
		p = scan_digits(p, end, &d->mantissa);
	size_t count = (size_t)(p - d->digits);
	if (!lenient && MS_UNLIKELY(count == 0 || (*d->digits == '0' && p < end && is_digit(*p))))
		return NULL;
	d->exponent = 0;
	d->integer = true;
	if (p < end && *p == '.') {
		const char *fraction = p + 1;
		p = scan_digits(fraction, end, &d->mantissa);
		d->exponent = fraction - p;
		d->integer = false;
		count += (size_t)(p - fraction);
		if (!lenient && MS_UNLIKELY(p == fraction))
			return NULL;
	}
	if (lenient && count == 0)
		return NULL;
	d->cut = false;
	d->digits_end = p;
	if (p < end && (*p == 'e' || *p == 'E')) {
		int64_t exponent = 0;
		const char *behind = scan_exponent(p + 1, end, &exponent);
		if (!lenient && MS_UNLIKELY(behind == NULL))
			return NULL;
		if (behind != NULL) {
			d->exponent += exponent;
			d->integer = false;
			p = behind;
		}
	}
	if (MS_UNLIKELY(count > DECIMAL_DIGITS))
		ms_decimal_cut(d);
	return p;
}

// Both factors are exact doubles, so the one rounding of the operation is the right one (Clinger, "How to
// read floating point numbers accurately", 1990). Else the general way.
static inline double decimal_to_f64(const struct decimal *d)
{
	static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
				       1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
	double value;
	if (MS_LIKELY(d->mantissa <= 1ULL << 53 && d->exponent >= -22 && d->exponent <= 22 && !d->cut)) {
		value = (double)d->mantissa;
		value = d->exponent < 0 ? value / exact[-d->exponent] : value * exact[d->exponent];
	} else {
		uint64_t bits = ms_decimal_to_f64_bits(d);
		memcpy(&value, &bits, sizeof(value));
	}
	return d->negative ? -value : value;
}

static inline float decimal_to_f32(const struct decimal *d)
{
	uint32_t bits = ms_decimal_to_f32_bits(d) | (uint32_t)d->negative << 31;
	float value;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

#endif
