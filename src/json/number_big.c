// SPDX-License-Identifier: Apache-2.0
// The exact way for decimals of more than 19 digits that lie next to the middle between two binary numbers:
// whole-number arithmetic, rare and slow (microseconds).
#include "json/number.h"

// The point halfway between two doubles has at most 768 significant digits; digits beyond only say "more".
#define MAX_DIGITS 800
// The largest number here: 801 digits (2,661 bits) times 2^1075.
#define LIMBS 64

struct big {
	uint64_t limbs[LIMBS]; // lowest first
	size_t n;              // limbs in use; the highest is not zero
};

static void big_multiply_add(struct big *b, uint64_t factor, uint64_t addend)
{
	uint64_t carry = addend;
	for (size_t i = 0; i < b->n; i++) {
		unsigned __int128 product = (unsigned __int128)b->limbs[i] * factor + carry;
		b->limbs[i] = (uint64_t)product;
		carry = (uint64_t)(product >> 64);
	}
	if (carry > 0) {
		MS_ASSERT(b->n < LIMBS);
		b->limbs[b->n++] = carry;
	}
}

static void big_multiply_pow5(struct big *b, int64_t exponent)
{
	for (; exponent >= 27; exponent -= 27)
		big_multiply_add(b, 7450580596923828125, 0); // 5^27
	for (; exponent > 0; exponent--)
		big_multiply_add(b, 5, 0);
}

static void big_shift_left(struct big *b, int64_t bits)
{
	size_t whole = (size_t)bits / 64;
	MS_ASSERT(bits >= 0 && b->n > 0 && b->n + whole <= LIMBS);
	memmove(b->limbs + whole, b->limbs, b->n * sizeof(b->limbs[0]));
	memset(b->limbs, 0, whole * sizeof(b->limbs[0]));
	b->n += whole;
	big_multiply_add(b, 1ULL << bits % 64, 0);
}

static int big_compare(const struct big *a, const struct big *b)
{
	if (a->n != b->n)
		return a->n < b->n ? -1 : 1;
	for (size_t i = a->n; i-- > 0;) {
		if (a->limbs[i] != b->limbs[i])
			return a->limbs[i] < b->limbs[i] ? -1 : 1;
	}
	return 0;
}

// All significant digits as a whole number, up to MAX_DIGITS, then a 1 when others than zero follow;
// *exponent, which belongs to the first 19 of them, becomes the power of ten that belongs to all of it.
static void big_from_digits(struct big *b, const char *p, const char *end, int64_t *exponent)
{
	b->n = 0;
	while (*p == '0' || *p == '.') // there are more than 19 significant digits
		p++;
	int64_t count = 0;
	bool more = false;
	for (; p < end; p++) {
		if (*p == '.')
			continue;
		if (count < MAX_DIGITS)
			big_multiply_add(b, 10, (uint64_t)(*p - '0'));
		else
			more |= *p != '0';
		count++;
	}
	*exponent += DECIMAL_DIGITS - MS_MIN(count, MAX_DIGITS);
	if (more) {
		big_multiply_add(b, 10, 1);
		--*exponent;
	}
}

uint64_t ms_long_nearer(const char *digits, const char *digits_end, int64_t exponent, uint64_t low,
			unsigned fraction_bits, int bias)
{
	// low = m * 2^e, and the middle to the next is (2m + 1) * 2^(e - 1).
	int64_t field = (int64_t)(low >> fraction_bits);
	uint64_t m = low & ((1ULL << fraction_bits) - 1);
	if (field > 0)
		m |= 1ULL << fraction_bits;
	int64_t middle_exponent = MS_MAX(field, 1) - bias - (int64_t)fraction_bits - 1;
	struct big middle = {.limbs = {2 * m + 1}, .n = 1};
	struct big value;
	big_from_digits(&value, digits, digits_end, &exponent);
	// value * 5^x * 2^x against middle * 2^y: the powers go to the side where they are positive.
	if (exponent >= 0)
		big_multiply_pow5(&value, exponent);
	else
		big_multiply_pow5(&middle, -exponent);
	int64_t twos = exponent - middle_exponent;
	if (twos >= 0)
		big_shift_left(&value, twos);
	else
		big_shift_left(&middle, -twos);
	int order = big_compare(&value, &middle);
	return order < 0 ? low : order > 0 ? low + 1 : low + (low & 1);
}
