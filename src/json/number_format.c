// SPDX-License-Identifier: Apache-2.0
// Binary floating point to the shortest decimal that reads back the same: R. Giulietti, "The Schubfach way to
// render doubles" (2020). One routine serves both formats: the width of a float enters as its exponent.
#include <math.h>

#include "json/json.h"
#include "json/powers.h"

struct shortest {
	uint64_t digits;
	int exponent; // the value is digits * 10^exponent
};

// The whole part of power * c / 2^128, its lowest bit set when there is a fraction: enough to compare with
// whole numbers. The power is rounded up, which adds less than one unit of `middle`: a whole result has zero
// there, and no other one comes so near to a whole number (section 9 of the paper).
static uint64_t multiply_round_to_odd(struct power power, uint64_t c)
{
	unsigned __int128 low = (unsigned __int128)c * power.lo;
	unsigned __int128 product = (unsigned __int128)c * power.hi + (uint64_t)(low >> 64);
	uint64_t middle = (uint64_t)product;
	return (uint64_t)(product >> 64) | (middle != 0);
}

// For c * 2^q > 0; `lowest` says that c is the smallest of its exponent: the number below is half as far away.
static struct shortest shortest_decimal(uint64_t c, int q, bool lowest)
{
	// The interval that reads back as this number, in quarters; its ends belong to it when c is even.
	const uint64_t odd = c & 1;
	const uint64_t left = 4 * c - (lowest ? 1 : 2), right = 4 * c + 2;
	const int k = lowest ? floor_log10_pow2_three_quarters(q) : floor_log10_pow2(q);
	const int shift = q + floor_log2_pow10(-k) + 1;
	struct power power = power_of_ten(-k);
	power.lo++;
	const uint64_t lower = multiply_round_to_odd(power, left << shift) + odd;
	const uint64_t value = multiply_round_to_odd(power, (4 * c) << shift);
	const uint64_t upper = multiply_round_to_odd(power, right << shift) - odd;

	const uint64_t s = value / 4;
	if (s >= 10) { // one digit fewer?
		const uint64_t tens = s / 10;
		const bool below = lower <= 40 * tens, above = 40 * tens + 40 <= upper;
		if (below != above)
			return (struct shortest){tens + above, k + 1};
	}
	const bool below = lower <= 4 * s, above = 4 * s + 4 <= upper;
	if (below != above)
		return (struct shortest){s + above, k};
	const uint64_t middle = 4 * s + 2;
	const bool up = value > middle || (value == middle && (s & 1));
	return (struct shortest){s + up, k};
}

static struct shortest strip_zeros(struct shortest s)
{
	static const struct {
		uint32_t power;
		int zeros;
	} steps[] = {{100000000, 8}, {10000, 4}, {100, 2}, {10, 1}};
	for (size_t i = 0; i < MS_ARRAY_LEN(steps); i++) {
		while (s.digits % steps[i].power == 0) {
			s.digits /= steps[i].power;
			s.exponent += steps[i].zeros;
		}
	}
	return s;
}

// Writes the digits right-aligned before `end` and returns where they start.
static char *write_digits(char *end, uint64_t value)
{
	while (value >= 100) {
		unsigned two = (unsigned)(value % 100);
		value /= 100;
		*--end = (char)('0' + two % 10);
		*--end = (char)('0' + two / 10);
	}
	if (value >= 10) {
		*--end = (char)('0' + value % 10);
		value /= 10;
	}
	*--end = (char)('0' + value);
	return end;
}

static char *put(char *at, const char *p, int n)
{
	memcpy(at, p, (size_t)n);
	return at + n;
}

static char *put_zeros(char *at, int n)
{
	memset(at, '0', (size_t)n);
	return at + n;
}

static char *put_exponential(char *at, const char *digits, int count, int exponent)
{
	*at++ = digits[0];
	if (count > 1) {
		*at++ = '.';
		at = put(at, digits + 1, count - 1);
	}
	*at++ = 'e';
	if (exponent < 0)
		*at++ = '-';
	char text[8];
	char *start = write_digits(text + sizeof(text), (uint64_t)(exponent < 0 ? -exponent : exponent));
	return put(at, start, (int)(text + sizeof(text) - start));
}

static char *put_decimal(char *at, struct shortest s)
{
	char text[24];
	const char *digits = write_digits(text + sizeof(text), s.digits);
	const int count = (int)(text + sizeof(text) - digits);
	const int point = count + s.exponent; // the value is 0.DIGITS * 10^point
	if (point < -4 || point > 21)
		return put_exponential(at, digits, count, point - 1);
	if (point <= 0) {
		at = put(at, "0.", 2);
		at = put_zeros(at, -point);
		return put(at, digits, count);
	}
	if (point < count) {
		at = put(at, digits, point);
		*at++ = '.';
		return put(at, digits + point, count - point);
	}
	at = put(at, digits, count);
	at = put_zeros(at, point - count);
	return put(at, ".0", 2);
}

static size_t format(bool negative, uint64_t fraction, int field, int fraction_bits, int bias, char *dst)
{
	char *at = dst;
	if (negative)
		*at++ = '-';
	const uint64_t hidden = 1ULL << fraction_bits;
	const uint64_t c = field > 0 ? fraction | hidden : fraction;
	const int q = MS_MAX(field, 1) - bias - fraction_bits;
	if (c == 0)
		return (size_t)(put(at, "0.0", 3) - dst);
	struct shortest s;
	if (q <= 0 && q >= -fraction_bits && (c & ((1ULL << -q) - 1)) == 0)
		s = (struct shortest){c >> -q, 0}; // a whole number that the format holds to the last digit
	else
		s = strip_zeros(shortest_decimal(c, q, fraction == 0 && field > 1));
	return (size_t)(put_decimal(at, s) - dst);
}

size_t ms_number_format_f64(double value, char dst[MS_NUMBER_SIZE])
{
	MS_ASSERT(isfinite(value));
	uint64_t bits;
	memcpy(&bits, &value, sizeof(bits));
	return format(bits >> 63, bits & 0xfffffffffffff, (int)(bits >> 52 & 0x7ff), 52, 1023, dst);
}

size_t ms_number_format_f32(float value, char dst[MS_NUMBER_SIZE])
{
	MS_ASSERT(isfinite(value));
	uint32_t bits;
	memcpy(&bits, &value, sizeof(bits));
	return format(bits >> 31, bits & 0x7fffff, (int)(bits >> 23 & 0xff), 23, 127, dst);
}
