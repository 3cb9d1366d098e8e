// SPDX-License-Identifier: Apache-2.0
#include "json/duplicate.h"

// So few keys are compared among each other.
#define FEW 32
// The hash is not seeded: a parser has no randomness. Keys that were chosen to fall on one slot need more
// probes than this for each key on average; then sorting decides.
#define PROBES_PER_KEY 8

// Length and both ends of a key in one word: different for most keys that differ.
static inline uint64_t fingerprint(struct slice key)
{
	uint64_t first = 0, last = 0;
	if (key.n >= 8) {
		memcpy(&first, key.p, 8);
		memcpy(&last, key.p + key.n - 8, 8);
	} else if (key.n >= 4) {
		memcpy(&first, key.p, 4);
		memcpy(&last, key.p + key.n - 4, 4);
	} else if (key.n > 0) {
		first = (unsigned char)key.p[0];
		last = (uint64_t)(unsigned char)key.p[key.n / 2] << 8 | (unsigned char)key.p[key.n - 1];
	}
	return (first ^ key.n) * 0x9e3779b97f4a7c15ULL + last * 0xd6e8feb86659fd93ULL;
}

// A set of 256 bits, of fingerprints seen, tells most keys new at once.
static const struct json_member *find_among_few(const struct json_member *members, size_t count)
{
	uint64_t prints[FEW];
	uint64_t seen[4] = {0};
	for (size_t i = 0; i < count; i++) {
		const uint64_t print = fingerprint(members[i].key);
		const uint64_t bit = 1ULL << (print >> 58);
		uint64_t *word = &seen[print >> 56 & 3];
		for (size_t j = 0; (*word & bit) != 0 && j < i; j++) {
			if (prints[j] == print && ms_slice_eq(members[i].key, members[j].key))
				return &members[i];
		}
		*word |= bit;
		prints[i] = print;
	}
	return NULL;
}

// False when the keys collide too often to decide.
static bool find_by_hash(const struct json_member *members, size_t count, uint32_t *slots, size_t mask,
			 const struct json_member **ret_member)
{
	size_t budget = count * PROBES_PER_KEY;
	*ret_member = NULL;
	for (size_t i = 0; i < count; i++) {
		size_t at = ms_hash(members[i].key, (struct hash_seed){0, 0}) & mask;
		for (; slots[at] != 0; at = (at + 1) & mask) {
			if (ms_slice_eq(members[slots[at] - 1].key, members[i].key)) {
				*ret_member = &members[i];
				return true;
			}
			if (budget-- == 0)
				return false;
		}
		slots[at] = (uint32_t)i + 1;
	}
	return true;
}

static bool key_before(const struct json_member *members, uint32_t a, uint32_t b)
{
	int order = ms_slice_cmp(members[a].key, members[b].key);
	return order < 0 || (order == 0 && a < b);
}

static void sift_down(const struct json_member *members, uint32_t *heap, size_t root, size_t n)
{
	for (size_t child; (child = 2 * root + 1) < n; root = child) {
		if (child + 1 < n && key_before(members, heap[child], heap[child + 1]))
			child++;
		if (!key_before(members, heap[root], heap[child]))
			return;
		uint32_t lower = heap[root];
		heap[root] = heap[child];
		heap[child] = lower;
	}
}

// Heap sort: no memory, no bad case.
static const struct json_member *find_by_sort(const struct json_member *members, size_t count, uint32_t *order)
{
	for (size_t i = 0; i < count; i++)
		order[i] = (uint32_t)i;
	for (size_t i = count / 2; i-- > 0;)
		sift_down(members, order, i, count);
	for (size_t n = count; n-- > 1;) {
		uint32_t last = order[0];
		order[0] = order[n];
		order[n] = last;
		sift_down(members, order, 0, n);
	}
	for (size_t i = 1; i < count; i++) {
		if (ms_slice_eq(members[order[i - 1]].key, members[order[i]].key))
			return &members[order[i]];
	}
	return NULL;
}

enum ms_err ms_json_find_duplicate(const struct json_member *members, size_t count, struct arena *arena,
				   const struct json_member **ret_member)
{
	if (count <= FEW) {
		*ret_member = find_among_few(members, count);
		return MS_OK;
	}
	if (count > UINT32_MAX / 4)
		return MS_ERR_LIMIT;
	size_t slots_n = (size_t)1 << (64 - __builtin_clzll(count * 2 - 1)); // at most half full
	struct arena_mark mark = ms_arena_mark(arena);
	uint32_t *slots = MS_ARENA_ARRAY(arena, uint32_t, slots_n);
	if (slots == NULL)
		return MS_ERR_NO_MEMORY;
	if (!find_by_hash(members, count, slots, slots_n - 1, ret_member))
		*ret_member = find_by_sort(members, count, slots);
	ms_arena_rewind(arena, mark);
	return MS_OK;
}
