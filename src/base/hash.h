// SPDX-License-Identifier: Apache-2.0
// Seeded 64-bit hash for tables: SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF"),
// so that an attacker who does not know the seed cannot aim for collisions.
#ifndef MS_BASE_HASH_H
#define MS_BASE_HASH_H

#include <stdint.h>

#include "base/slice.h"

struct hash_seed {
	uint64_t k0;
	uint64_t k1;
};

uint64_t ms_hash(struct slice key, struct hash_seed seed);

#endif
