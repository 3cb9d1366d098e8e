// SPDX-License-Identifier: Apache-2.0
// A small deterministic generator (SplitMix64, Steele, Lea and Flood 2014) for jitter, sampling and tests.
// Never for secrets: those come from ms_random_bytes() of rt.
#ifndef MS_BASE_RAND_H
#define MS_BASE_RAND_H

#include <stdint.h>

struct rand {
	uint64_t state;
};

static inline uint64_t ms_rand_u64(struct rand *r)
{
	uint64_t z = (r->state += 0x9e3779b97f4a7c15ULL);
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

// Uniform in [0, bound), bound > 0 (multiply-shift; the bias is below bound / 2^64).
static inline uint64_t ms_rand_below(struct rand *r, uint64_t bound)
{
	return (uint64_t)(((unsigned __int128)ms_rand_u64(r) * bound) >> 64);
}

// Uniform in [0, 1).
static inline double ms_rand_double(struct rand *r)
{
	return (double)(ms_rand_u64(r) >> 11) * 0x1p-53;
}

#endif
