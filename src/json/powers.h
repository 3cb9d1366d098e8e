// SPDX-License-Identifier: Apache-2.0
// Private: the powers of ten that number parsing and formatting share; power_table.py writes them at build time.
#ifndef MS_JSON_POWERS_H
#define MS_JSON_POWERS_H

#include <stdint.h>

#include "base/base.h"

#define POWER_MIN (-342)
#define POWER_MAX 324

// The first 128 bits of 10^q, truncated, top bit set:
// 10^q = (hi * 2^64 + lo + f) * 2^(floor(log2(10^q)) - 127), 0 <= f < 1. `lo` is never all ones.
struct power {
	uint64_t hi;
	uint64_t lo;
};
extern const struct power ms_json_powers[POWER_MAX - POWER_MIN + 1];

static inline struct power power_of_ten(int q)
{
	MS_ASSERT(q >= POWER_MIN && q <= POWER_MAX);
	return ms_json_powers[q - POWER_MIN];
}

// floor(log2(10^q)), right for |q| <= 1233.
static inline int floor_log2_pow10(int q)
{
	return (q * 1741647) >> 19;
}

// floor(log10(2^e)), right for |e| <= 1500.
static inline int floor_log10_pow2(int e)
{
	return (e * 1262611) >> 22;
}

// floor(log10(3/4 * 2^e)), right for |e| <= 1500.
static inline int floor_log10_pow2_three_quarters(int e)
{
	return (e * 1262611 - 524031) >> 22;
}

#endif
