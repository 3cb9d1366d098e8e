// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "observe/internal.h"

// Writes the digits and returns the exponent of the first: 12500.0 gives "125" and 4.
static int shortest_digits(double value, char digits[20])
{
	char text[NUMBER_SIZE];
	int precision = 14; // 15 digits are always exact one way; two more always suffice the other way
	do
		snprintf(text, sizeof(text), "%.*e", precision++, value);
	while (precision <= 16 && strtod(text, NULL) != value);
	size_t n = 0;
	const char *p = text;
	for (; *p != 'e'; p++) {
		if (*p >= '0' && *p <= '9')
			digits[n++] = *p;
	}
	while (n > 1 && digits[n - 1] == '0')
		n--;
	digits[n] = '\0';
	return (int)strtol(p + 1, NULL, 10);
}

size_t ms_format_double(double value, int plain_digits, char dst[NUMBER_SIZE])
{
	if (isnan(value))
		return (size_t)snprintf(dst, NUMBER_SIZE, "NaN");
	if (isinf(value))
		return (size_t)snprintf(dst, NUMBER_SIZE, value > 0 ? "+Inf" : "-Inf");
	char digits[20];
	int exponent = shortest_digits(fabs(value), digits);
	int n = (int)strlen(digits);
	const char *sign = signbit(value) ? "-" : "";
	if (exponent < -4 || exponent >= plain_digits)
		return (size_t)snprintf(dst, NUMBER_SIZE, "%s%c%s%se%+03d", sign, digits[0], n > 1 ? "." : "",
					digits + 1, exponent);
	if (exponent < 0)
		return (size_t)snprintf(dst, NUMBER_SIZE, "%s0.%.*s%s", sign, -exponent - 1, "000", digits);
	if (n <= exponent + 1)
		return (size_t)snprintf(dst, NUMBER_SIZE, "%s%s%.*s", sign, digits, exponent + 1 - n,
					"00000000000000000000");
	return (size_t)snprintf(dst, NUMBER_SIZE, "%s%.*s.%s", sign, exponent + 1, digits, digits + exponent + 1);
}
