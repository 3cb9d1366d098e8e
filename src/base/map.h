// SPDX-License-Identifier: Apache-2.0
// A hash map from byte strings to pointers: open addressing, linear probing, at most 7/8 full. Keys are
// borrowed: they must live as long as the entry. Bounded by `max` entries. One owner; readers may share a
// map that nobody changes.
#ifndef MS_BASE_MAP_H
#define MS_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/hash.h"
#include "base/slice.h"

struct map_slot {
	struct slice key;
	uint64_t hash;
	void *value; // NULL marks a free slot
};

struct map {
	struct map_slot *slots;
	size_t capacity; // power of two, or 0
	size_t count;
	size_t max;
	struct hash_seed seed;
};

// The seed comes from ms_random_hash_seed() of rt, or is zero where keys are not hostile.
void ms_map_init(struct map *m, size_t max, struct hash_seed seed);
void ms_map_fini(struct map *m);
void ms_map_clear(struct map *m);

// NULL when absent.
void *ms_map_get(const struct map *m, struct slice key);
// Adds or replaces; value is not NULL. False when the map is full or memory is out: the map is unchanged.
// `ret_old` (may be NULL) gets the replaced value or NULL.
MS_MUST_USE bool ms_map_put(struct map *m, struct slice key, void *value, void **ret_old);
// The removed value, or NULL when absent.
void *ms_map_remove(struct map *m, struct slice key);

// Walks all entries in no order; the map must not change meanwhile. Start with *cursor = 0.
bool ms_map_next(const struct map *m, size_t *cursor, struct slice *ret_key, void **ret_value);

#endif
