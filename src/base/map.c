// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"

#include <stdlib.h>

#include "base/assert.h"

void ms_map_init(struct map *m, size_t max, struct hash_seed seed)
{
	*m = (struct map){.max = max, .seed = seed};
}

void ms_map_fini(struct map *m)
{
	if (m == NULL)
		return;
	free(m->slots);
	m->slots = NULL;
	m->capacity = m->count = 0;
}

void ms_map_clear(struct map *m)
{
	if (m->capacity > 0)
		memset(m->slots, 0, m->capacity * sizeof(*m->slots));
	m->count = 0;
}

// The slot that holds the key, or the free slot where it would go.
static struct map_slot *find_slot(const struct map *m, struct slice key, uint64_t hash)
{
	size_t mask = m->capacity - 1;
	for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
		struct map_slot *slot = &m->slots[i];
		if (slot->value == NULL || (slot->hash == hash && ms_slice_eq(slot->key, key)))
			return slot;
	}
}

void *ms_map_get(const struct map *m, struct slice key)
{
	return m->count > 0 ? find_slot(m, key, ms_hash(key, m->seed))->value : NULL;
}

static bool grow(struct map *m)
{
	struct map bigger = *m;
	if (MS_MUL_OVERFLOWS(m->capacity, (size_t)2, &bigger.capacity))
		return false;
	bigger.capacity = MS_MAX(bigger.capacity, (size_t)8);
	bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
	if (bigger.slots == NULL)
		return false;
	for (size_t i = 0; i < m->capacity; i++) {
		if (m->slots[i].value != NULL)
			*find_slot(&bigger, m->slots[i].key, m->slots[i].hash) = m->slots[i];
	}
	free(m->slots);
	*m = bigger;
	return true;
}

bool ms_map_put(struct map *m, struct slice key, void *value, void **ret_old)
{
	MS_ASSERT(value != NULL);
	if ((m->count + 1) * 8 > m->capacity * 7 && !grow(m))
		return false;
	uint64_t hash = ms_hash(key, m->seed);
	struct map_slot *slot = find_slot(m, key, hash);
	void *old = slot->value;
	if (old == NULL && m->count >= m->max)
		return false;
	m->count += old == NULL;
	*slot = (struct map_slot){.key = key, .hash = hash, .value = value};
	if (ret_old != NULL)
		*ret_old = old;
	return true;
}

void *ms_map_remove(struct map *m, struct slice key)
{
	if (m->count == 0)
		return NULL;
	struct map_slot *slot = find_slot(m, key, ms_hash(key, m->seed));
	void *value = slot->value;
	if (value == NULL)
		return NULL;
	// Backward-shift deletion: later entries of the probe run move up, so that no tombstones are needed.
	size_t mask = m->capacity - 1;
	size_t hole = (size_t)(slot - m->slots);
	for (size_t i = (hole + 1) & mask; m->slots[i].value != NULL; i = (i + 1) & mask) {
		size_t home = (size_t)m->slots[i].hash & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct map_slot){0};
	m->count--;
	return value;
}

bool ms_map_next(const struct map *m, size_t *cursor, struct slice *ret_key, void **ret_value)
{
	for (; *cursor < m->capacity; (*cursor)++) {
		const struct map_slot *slot = &m->slots[*cursor];
		if (slot->value == NULL)
			continue;
		*ret_key = slot->key;
		*ret_value = slot->value;
		(*cursor)++;
		return true;
	}
	return false;
}
