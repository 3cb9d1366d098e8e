// SPDX-License-Identifier: Apache-2.0
// Numbers as their texts say them: 0.1 is a tenth, and 12345678901234567890 is not its neighbour.
#include "schema/internal.h"

#define MAGNITUDE_MAX ((int64_t)1 << 50)

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

// The exponent behind 'e', saturated.
static int64_t read_exponent(struct slice text)
{
	bool negative = false;
	int64_t value = 0;
	for (size_t i = 0; i < text.n; i++) {
		if (!is_digit(text.p[i]))
			negative = text.p[i] == '-';
		else if (value < MAGNITUDE_MAX)
			value = value * 10 + (text.p[i] - '0');
	}
	value = MS_MIN(value, MAGNITUDE_MAX);
	return negative ? -value : value;
}

static enum ms_err join_digits(struct slice whole, struct slice fraction, struct arena *arena, struct slice *ret_digits)
{
	if (fraction.n == 0 || whole.n == 0) {
		*ret_digits = fraction.n == 0 ? whole : fraction;
		return MS_OK;
	}
	char *p = ms_arena_alloc(arena, whole.n + fraction.n);
	if (p == NULL)
		return MS_ERR_NO_MEMORY;
	memcpy(p, whole.p, whole.n);
	memcpy(p + whole.n, fraction.p, fraction.n);
	*ret_digits = ms_slice(p, whole.n + fraction.n);
	return MS_OK;
}

enum ms_err ms_decimal_parse(struct slice text, struct arena *arena, struct decimal *ret_number)
{
	struct decimal n = {.plain = true};
	if (text.n > 0 && text.p[0] == '-') {
		n.negative = true;
		text = ms_slice_sub(text, 1, text.n);
	}
	size_t i = 0;
	while (i < text.n && is_digit(text.p[i]))
		i++;
	struct slice whole = ms_slice_sub(text, 0, i), fraction = MS_SLICE_EMPTY;
	if (i < text.n && text.p[i] == '.') {
		size_t start = ++i;
		while (i < text.n && is_digit(text.p[i]))
			i++;
		fraction = ms_slice_sub(text, start, i - start);
		n.plain = false;
	}
	int64_t exponent = 0;
	if (i < text.n) { // 'e' or 'E'
		exponent = read_exponent(ms_slice_sub(text, i + 1, text.n));
		n.plain = false;
	}
	while (whole.n > 0 && whole.p[0] == '0')
		whole = ms_slice_sub(whole, 1, whole.n);
	while (fraction.n > 0 && fraction.p[fraction.n - 1] == '0')
		fraction.n--;
	n.magnitude = exponent + (int64_t)whole.n;
	MS_TRY(join_digits(whole, fraction, arena, &n.digits));
	while (n.digits.n > 0 && n.digits.p[0] == '0') { // 0.00…
		n.digits = ms_slice_sub(n.digits, 1, n.digits.n);
		n.magnitude--;
	}
	while (n.digits.n > 0 && n.digits.p[n.digits.n - 1] == '0')
		n.digits.n--;
	if (n.digits.n == 0) {
		n.magnitude = 0;
		n.negative = false;
	}
	*ret_number = n;
	return MS_OK;
}

static int cmp_size(const struct decimal *a, const struct decimal *b)
{
	if (a->digits.n == 0 || b->digits.n == 0)
		return (a->digits.n > 0) - (b->digits.n > 0);
	if (a->magnitude != b->magnitude)
		return a->magnitude < b->magnitude ? -1 : 1;
	return ms_slice_cmp(a->digits, b->digits);
}

int ms_decimal_cmp(const struct decimal *a, const struct decimal *b)
{
	if (a->negative != b->negative)
		return a->negative ? -1 : 1;
	return a->negative ? cmp_size(b, a) : cmp_size(a, b);
}

bool ms_decimal_is_integer(const struct decimal *n)
{
	return n->digits.n == 0 || n->magnitude >= (int64_t)n->digits.n;
}

static uint64_t multiply_modulo(uint64_t a, uint64_t b, uint64_t modulus)
{
	return (uint64_t)((unsigned __int128)a * b % modulus);
}

bool ms_decimal_is_multiple(const struct decimal *n, const struct decimal *divisor)
{
	if (n->digits.n == 0)
		return true;
	MS_ASSERT(divisor->digits.n > 0 && divisor->digits.n <= MS_DIVISOR_DIGITS);
	// n = a × 10^x, divisor = b × 10^y with whole a and b that do not end in zero.
	int64_t exponent = (n->magnitude - (int64_t)n->digits.n) - (divisor->magnitude - (int64_t)divisor->digits.n);
	if (exponent < 0) // b × 10^k would have to divide a, which does not end in zero
		return false;
	uint64_t b = 0, rest = 0;
	for (size_t i = 0; i < divisor->digits.n; i++)
		b = b * 10 + (uint64_t)(divisor->digits.p[i] - '0');
	for (size_t i = 0; i < n->digits.n; i++)
		rest = (uint64_t)(((unsigned __int128)rest * 10 + (unsigned)(n->digits.p[i] - '0')) % b);
	uint64_t power = 10 % b;
	for (; exponent > 0; exponent >>= 1) {
		if (exponent & 1)
			rest = multiply_modulo(rest, power, b);
		power = multiply_modulo(power, power, b);
	}
	return rest == 0;
}
