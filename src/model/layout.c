// SPDX-License-Identifier: Apache-2.0
#include "model/layout.h"

// Layouts that give every tree the room of the largest: so many places for any forest, and so many for each node of
// others. One large tree among a million single leaves would take a hundred times their memory.
#define SPARSE_FREE ((size_t)1 << 20)
#define SPARSE_PER_NODE 16

static bool is_sparse(const struct forest *f, size_t places)
{
	return places > SPARSE_FREE && places / SPARSE_PER_NODE > f->node_count;
}

static uint32_t child_of(const struct forest *f, size_t place)
{
	return f->wide ? f->nodes_f64[place].child : f->nodes_f32[place].child;
}

// The number of the set that a split asks, or SIZE_MAX when it asks a threshold.
static size_t set_of(const struct forest *f, size_t place)
{
	if (f->wide)
		return f->nodes_f64[place].column == FOREST_SET_COLUMN_WIDE ? f->nodes_f64[place].index : SIZE_MAX;
	return f->nodes_f32[place].column == FOREST_SET_COLUMN ? f->nodes_f32[place].index : SIZE_MAX;
}

static uint32_t column_of(const struct forest *f, size_t place)
{
	return f->wide ? f->nodes_f64[place].column : f->nodes_f32[place].column;
}

static double threshold_of(const struct forest *f, size_t place)
{
	return f->wide ? f->nodes_f64[place].threshold : (double)f->nodes_f32[place].threshold;
}

static struct rank_test find_byte_test(const struct forest *f, const struct forest_ranks *r, size_t place)
{
	size_t set = set_of(f, place);
	return set != SIZE_MAX ? ms_ranks_byte_set_test(r, (uint32_t)set)
			       : ms_ranks_byte_test(r, column_of(f, place), threshold_of(f, place));
}

static struct rank_test word_test(const struct forest *f, const struct forest_ranks *r, size_t place)
{
	size_t set = set_of(f, place);
	return set != SIZE_MAX ? ms_ranks_word_set_test(r, (uint32_t)set)
			       : ms_ranks_word_test(r, column_of(f, place), threshold_of(f, place));
}

bool ms_layout_byte_tests(const struct forest *f, const struct forest_ranks *r, struct arena *scratch,
			  const struct byte_test **ret_tests)
{
	*ret_tests = NULL;
	if (f->oblivious || !r->bytes)
		return true;
	struct byte_test *tests = MS_ARENA_ARRAY(scratch, struct byte_test, f->node_count);
	for (size_t i = 0; tests != NULL && i < f->node_count; i++) {
		if (child_of(f, i) == 0)
			continue;
		struct rank_test t = find_byte_test(f, r, i);
		tests[i] = (struct byte_test){(uint8_t)t.column, (uint8_t)t.cut};
	}
	*ret_tests = tests;
	return tests != NULL;
}

// --- Leaves --------------------------------------------------------------------------------------------

static double leaf_value(const struct forest *f, size_t place)
{
	if (f->oblivious)
		return f->values[place];
	if (f->leaf == FOREST_LEAF_INDEX)
		return f->values[f->wide ? f->nodes_f64[place].index : f->nodes_f32[place].index];
	return f->wide ? f->nodes_f64[place].value : (double)f->nodes_f32[place].value;
}

// The values of leaves whose places are known. Vectors and linear models are looked up by place.
static bool keep_leaves(const struct forest *f, const uint32_t *places, size_t count, struct arena *memory,
			struct plan_leaves *ret_leaves)
{
	*ret_leaves = (struct plan_leaves){.places = places};
	if (f->params.vector_leaves || f->has_linear)
		return true;
	if (f->params.sum_single) {
		float *values = MS_ARENA_ARRAY(memory, float, count);
		for (size_t i = 0; values != NULL && i < count; i++)
			values[i] = (float)leaf_value(f, places[i]);
		ret_leaves->values_f32 = values;
		return values != NULL;
	}
	double *values = MS_ARENA_ARRAY(memory, double, count);
	for (size_t i = 0; values != NULL && i < count; i++)
		values[i] = leaf_value(f, places[i]);
	ret_leaves->values_f64 = values;
	return values != NULL;
}

// --- Small nodes ---------------------------------------------------------------------------------------

enum layout_result ms_layout_nodes(const struct forest *f, const struct forest_ranks *r, const struct byte_test *tests,
				   struct arena *memory, const struct node_byte **ret_bytes,
				   const struct node_word **ret_words)
{
	uint32_t farthest = 0;
	for (size_t i = 0; i < f->node_count; i++)
		farthest = MS_MAX(farthest, child_of(f, i));
	if (f->oblivious || (!r->bytes && !r->words))
		return LAYOUT_UNFIT;
	if (tests != NULL && farthest <= UINT16_MAX) {
		struct node_byte *nodes = MS_ARENA_ARRAY(memory, struct node_byte, f->node_count);
		for (size_t i = 0; nodes != NULL && i < f->node_count; i++) {
			if (child_of(f, i) == 0)
				continue; // all zeros: no rank is below 0, so a walk stays
			nodes[i] = (struct node_byte){tests[i].column, tests[i].cut, (uint16_t)child_of(f, i)};
		}
		*ret_bytes = nodes;
		return nodes != NULL ? LAYOUT_DONE : LAYOUT_NO_MEMORY;
	}
	if (!r->words)
		return LAYOUT_UNFIT;
	struct node_word *nodes = MS_ARENA_ARRAY(memory, struct node_word, f->node_count);
	for (size_t i = 0; nodes != NULL && i < f->node_count; i++) {
		if (child_of(f, i) == 0)
			continue;
		struct rank_test t = word_test(f, r, i);
		nodes[i] = (struct node_word){(uint16_t)t.column, (uint16_t)t.cut, child_of(f, i)};
	}
	*ret_words = nodes;
	return nodes != NULL ? LAYOUT_DONE : LAYOUT_NO_MEMORY;
}

// --- Tiles ---------------------------------------------------------------------------------------------

struct tiler {
	const struct forest *f;
	const struct byte_test *byte_tests; // by node
	uint32_t levels;
	uint32_t slots;
	uint8_t *tests;
	uint32_t *exits; // places, by tree and exit
};

static void put_test(struct tiler *t, size_t tree, uint32_t slot, struct byte_test test)
{
	const size_t per_vector = 64 / t->slots, at = tree % per_vector * t->slots + slot;
	uint8_t *vector = t->tests + tree / per_vector * 128;
	vector[at] = test.column;
	vector[64 + at] = test.cut;
}

// The subtree below `place` at slot `slot`, `level` levels below the root. A leaf above the last level takes all exits below
// it.
static void tile_below(struct tiler *t, size_t tree, size_t place, uint32_t slot, uint32_t level)
{
	if (child_of(t->f, place) == 0 || level == t->levels) {
		uint32_t below = t->levels - level;
		for (uint32_t i = 0; i < 1u << below; i++)
			t->exits[tree * t->slots + (slot << below) - t->slots + i] = (uint32_t)place;
		return;
	}
	put_test(t, tree, slot, t->byte_tests[place]);
	size_t first = place + child_of(t->f, place);
	tile_below(t, tree, first, 2 * slot, level + 1);
	tile_below(t, tree, first + 1, 2 * slot + 1, level + 1);
}

enum layout_result ms_layout_tiles(const struct forest *f, const struct byte_test *tests, struct arena *memory,
				   struct plan_tiles *ret_tiles)
{
	uint32_t depth = 0;
	size_t exits;
	for (size_t i = 0; i < f->tree_count; i++)
		depth = MS_MAX(depth, f->trees[i].depth);
	const uint32_t levels = MS_MAX(MS_MIN(depth, LAYOUT_TILE_LEVELS_MAX), LAYOUT_TILE_LEVELS_MIN);
	struct tiler t = {.f = f, .byte_tests = tests, .levels = levels, .slots = 1u << levels};
	const size_t per_vector = 64 / t.slots, vectors = (f->tree_count + per_vector - 1) / per_vector;
	if (tests == NULL || f->tree_count > UINT32_MAX / 64)
		return LAYOUT_UNFIT;
	exits = f->tree_count * t.slots;
	if (is_sparse(f, exits))
		return LAYOUT_UNFIT;
	t.tests = MS_ARENA_ARRAY(memory, uint8_t, vectors * 128);
	t.exits = MS_ARENA_ARRAY(memory, uint32_t, exits);
	if (t.tests == NULL || t.exits == NULL)
		return LAYOUT_NO_MEMORY;
	for (size_t i = 0; i < f->tree_count; i++)
		tile_below(&t, i, f->trees[i].root, 1, 0);
	*ret_tiles = (struct plan_tiles){.levels = levels, .whole = depth <= levels, .tests = t.tests};
	if (!ret_tiles->whole) {
		ret_tiles->leaves.places = t.exits;
		return LAYOUT_DONE;
	}
	return keep_leaves(f, t.exits, exits, memory, &ret_tiles->leaves) ? LAYOUT_DONE : LAYOUT_NO_MEMORY;
}

// --- Bit-vectors ---------------------------------------------------------------------------------------

struct bit_split {
	struct byte_test test;
	uint64_t gone; // leaves that it takes away when it holds
};

struct bit_tree {
	const struct forest *f;
	const struct byte_test *byte_tests; // by node
	struct bit_split splits[LAYOUT_BITS_LEAVES_MAX];
	uint32_t split_count;
	uint32_t leaf_count;
	uint32_t *places; // of its leaves, in order
};

// Numbers the leaves below a node from left to right, the first child's before the second's.
static void collect_bits(struct bit_tree *t, size_t place)
{
	if (child_of(t->f, place) == 0) {
		t->places[t->leaf_count++] = (uint32_t)place;
		return;
	}
	struct bit_split *split = &t->splits[t->split_count++];
	size_t first = place + child_of(t->f, place);
	uint32_t from = t->leaf_count;
	split->test = t->byte_tests[place];
	collect_bits(t, first);
	split->gone = (((uint64_t)1 << (t->leaf_count - from)) - 1) << from; // never all 64: the second child has some
	collect_bits(t, first + 1);
}

// The tests of each group of eight leaves, counted when `dst` is NULL.
static uint32_t group_tests(const struct bit_tree *t, uint32_t group, struct plan_bit_test *dst)
{
	uint32_t n = 0;
	for (uint32_t i = 0; i < t->split_count; i++) {
		uint8_t gone = (uint8_t)(t->splits[i].gone >> (group * 8));
		if (gone == 0)
			continue;
		if (dst != NULL)
			dst[n] = (struct plan_bit_test){.column = t->splits[i].test.column,
							.cut = t->splits[i].test.cut,
							.keep = (uint8_t)~gone};
		n++;
	}
	return n;
}

static void put_slots(const struct bit_tree *t, uint32_t leaf_slots, uint8_t *block, size_t slot_bytes, size_t lane)
{
	for (uint32_t i = 0; i < t->split_count; i++) {
		uint8_t *slot = block + i * slot_bytes;
		slot[lane] = t->splits[i].test.column;
		slot[64 + lane] = t->splits[i].test.cut;
		uint64_t keep = ~t->splits[i].gone;
		memcpy(slot + 128 + lane * leaf_slots / 8, &keep, leaf_slots / 8); // little endian
	}
}

static uint32_t leaves_of(const struct forest_tree *t)
{
	return (t->node_count + 1) / 2;
}

// Tests of the largest tree of the block.
static uint32_t block_slots(const struct forest *f, size_t block)
{
	uint32_t most = 0;
	for (size_t i = block * 64; i < MS_MIN(f->tree_count, block * 64 + 64); i++)
		most = MS_MAX(most, leaves_of(&f->trees[i]) - 1);
	return most;
}

static bool has_sparse_bits(const struct forest *f, uint32_t leaf_slots, bool for_row)
{
	size_t slots = 0;
	for (size_t b = 0; for_row && b < (f->tree_count + 63) / 64; b++)
		slots += block_slots(f, b);
	return is_sparse(f, f->tree_count * leaf_slots) || is_sparse(f, slots * 64);
}

static enum layout_result bits_for_row(const struct forest *f, const struct byte_test *tests_of, struct arena *memory,
				       struct plan_bits *p, uint32_t *places)
{
	const size_t slot_bytes = 128 + 64 * p->leaf_slots / 8, blocks = (f->tree_count + 63) / 64;
	uint32_t *block_first = MS_ARENA_ARRAY(memory, uint32_t, blocks + 1);
	if (block_first == NULL)
		return LAYOUT_NO_MEMORY;
	for (size_t b = 0; b < blocks; b++)
		block_first[b + 1] = block_first[b] + block_slots(f, b);
	uint8_t *slots = MS_ARENA_ARRAY(memory, uint8_t, block_first[blocks] * slot_bytes + 1);
	if (slots == NULL)
		return LAYOUT_NO_MEMORY;
	for (size_t i = 0; i < f->tree_count; i++) {
		struct bit_tree t = {.f = f, .byte_tests = tests_of, .places = places + i * p->leaf_slots};
		collect_bits(&t, f->trees[i].root);
		put_slots(&t, p->leaf_slots, slots + block_first[i / 64] * slot_bytes, slot_bytes, i % 64);
	}
	p->slots = slots;
	p->block_first = block_first;
	return LAYOUT_DONE;
}

static enum layout_result bits_for_block(const struct forest *f, const struct byte_test *tests_of, struct arena *memory,
					 struct plan_bits *p, uint32_t *places)
{
	const uint32_t groups = p->leaf_slots / 8;
	uint32_t *first_test = MS_ARENA_ARRAY(memory, uint32_t, f->tree_count * groups + 1);
	uint8_t *group_count = MS_ARENA_ARRAY(memory, uint8_t, f->tree_count);
	struct plan_bit_test *tests = NULL;
	if (first_test == NULL || group_count == NULL)
		return LAYOUT_NO_MEMORY;
	for (int pass = 0; pass < 2; pass++) {
		size_t n = 0;
		for (size_t i = 0; i < f->tree_count; i++) {
			struct bit_tree t = {.f = f, .byte_tests = tests_of, .places = places + i * p->leaf_slots};
			collect_bits(&t, f->trees[i].root);
			group_count[i] = (uint8_t)((t.leaf_count + 7) / 8);
			for (uint32_t g = 0; g < groups; g++) {
				first_test[i * groups + g] = (uint32_t)n;
				n += group_tests(&t, g, tests != NULL ? tests + n : NULL);
			}
		}
		first_test[f->tree_count * groups] = (uint32_t)n;
		if (pass == 0)
			tests = MS_ARENA_ARRAY(memory, struct plan_bit_test, n + 1);
		if (tests == NULL)
			return LAYOUT_NO_MEMORY;
	}
	p->tests = tests;
	p->first_test = first_test;
	p->group_count = group_count;
	return LAYOUT_DONE;
}

enum layout_result ms_layout_bits(const struct forest *f, const struct byte_test *tests, bool for_row, bool for_block,
				  struct arena *memory, struct plan_bits *ret_bits)
{
	uint32_t most = 0;
	for (size_t i = 0; i < f->tree_count; i++)
		most = MS_MAX(most, leaves_of(&f->trees[i]));
	if (tests == NULL || most > LAYOUT_BITS_LEAVES_MAX)
		return LAYOUT_UNFIT;
	struct plan_bits p = {.leaf_slots = most <= 32 ? 32 : 64};
	if (has_sparse_bits(f, p.leaf_slots, for_row))
		return LAYOUT_UNFIT;
	uint32_t *places = MS_ARENA_ARRAY(memory, uint32_t, f->tree_count * p.leaf_slots);
	if (places == NULL)
		return LAYOUT_NO_MEMORY;
	for (size_t i = 0; i < f->tree_count; i++)
		for (size_t l = 0; l < p.leaf_slots; l++)
			places[i * p.leaf_slots + l] = f->trees[i].root + f->trees[i].node_count - 1; // some leaf
	enum layout_result result = LAYOUT_DONE;
	if (for_row)
		result = bits_for_row(f, tests, memory, &p, places);
	if (result == LAYOUT_DONE && for_block)
		result = bits_for_block(f, tests, memory, &p, places);
	if (result != LAYOUT_DONE)
		return result;
	if (!keep_leaves(f, places, f->tree_count * p.leaf_slots, memory, &p.leaves))
		return LAYOUT_NO_MEMORY;
	*ret_bits = p;
	return LAYOUT_DONE;
}

// --- Oblivious trees -----------------------------------------------------------------------------------

enum layout_result ms_layout_oblivious(const struct forest *f, const struct forest_ranks *r, struct arena *memory,
				       struct plan_oblivious *ret_oblivious)
{
	uint32_t depth = 0;
	for (size_t i = 0; i < f->tree_count; i++)
		depth = MS_MAX(depth, f->trees[i].depth);
	if (!f->oblivious || !r->bytes || depth > LAYOUT_OBLIVIOUS_DEPTH_MAX)
		return LAYOUT_UNFIT;
	const uint32_t width = depth <= 8 ? 8 : 16, per_vector = 64 / width;
	size_t vectors = (f->tree_count + per_vector - 1) / per_vector;
	uint8_t *tests = MS_ARENA_ARRAY(memory, uint8_t, vectors * 128);
	uint64_t *invert = MS_ARENA_ARRAY(memory, uint64_t, vectors + 8);
	uint32_t *first_leaf = MS_ARENA_ARRAY(memory, uint32_t, f->tree_count + 64);
	if (tests == NULL || invert == NULL || first_leaf == NULL)
		return LAYOUT_NO_MEMORY;
	for (size_t i = 0; i < f->tree_count; i++) {
		const struct forest_tree *t = &f->trees[i];
		uint8_t *vector = tests + i / per_vector * 128;
		size_t at = i % per_vector * width;
		first_leaf[i] = (uint32_t)t->first_leaf;
		for (uint32_t d = 0; d < t->depth; d++) {
			const struct forest_test *test = &f->tests[t->root + d];
			struct rank_test k = ms_ranks_byte_test(r, test->column, test->threshold);
			vector[at + d] = (uint8_t)k.column;
			vector[64 + at + d] = (uint8_t)k.cut;
			invert[i / per_vector] |= (uint64_t)test->invert << (at + d);
		}
	}
	*ret_oblivious =
		(struct plan_oblivious){.width = width,
					.tests = tests,
					.invert = invert,
					.first_leaf = first_leaf,
					.leaf_width = f->params.vector_leaves ? (uint32_t)f->params.group_count : 1};
	return LAYOUT_DONE;
}

// --- Planes --------------------------------------------------------------------------------------------

static bool has_one_sum(const struct forest *f)
{
	return f->params.group_count == 1 && !f->params.vector_leaves && !f->has_linear;
}

static void put_planes(uint8_t *planes, uint32_t entries, uint32_t at, const void *value, size_t size)
{
	const uint8_t *bytes = value; // little endian, as all machines that have such kernels are
	for (size_t i = 0; i < size; i++)
		planes[i * entries + at] = bytes[i];
}

enum layout_result ms_layout_planes(const struct forest *f, const struct plan_leaves *leaves, uint32_t stride,
				    struct arena *memory, struct plan_planes *ret_planes)
{
	const bool single = leaves->values_f32 != NULL;
	const size_t size = single ? sizeof(float) : sizeof(double);
	if (!has_one_sum(f) || stride > 64)
		return LAYOUT_UNFIT;
	uint8_t *bytes = MS_ARENA_ARRAY(memory, uint8_t, f->tree_count * stride * size);
	if (bytes == NULL)
		return LAYOUT_NO_MEMORY;
	for (size_t t = 0; t < f->tree_count; t++)
		for (uint32_t i = 0; i < stride; i++) {
			const void *value = single ? (const void *)&leaves->values_f32[t * stride + i]
						   : (const void *)&leaves->values_f64[t * stride + i];
			put_planes(bytes + t * stride * size, stride, i, value, size);
		}
	*ret_planes = (struct plan_planes){.entries = stride, .single = single, .bytes = bytes};
	return LAYOUT_DONE;
}

enum layout_result ms_layout_oblivious_planes(const struct forest *f, struct arena *memory,
					      struct plan_planes *ret_planes)
{
	uint32_t depth = 4;
	for (size_t t = 0; t < f->tree_count; t++)
		depth = MS_MAX(depth, f->trees[t].depth);
	if (!has_one_sum(f) || f->params.sum_single || depth > 6 || is_sparse(f, f->tree_count << depth))
		return LAYOUT_UNFIT;
	const uint32_t entries = 1u << depth;
	uint8_t *bytes = MS_ARENA_ARRAY(memory, uint8_t, f->tree_count * entries * sizeof(double));
	if (bytes == NULL)
		return LAYOUT_NO_MEMORY;
	for (size_t t = 0; t < f->tree_count; t++)
		for (uint32_t i = 0; i < 1u << f->trees[t].depth; i++)
			put_planes(bytes + t * entries * sizeof(double), entries, i,
				   &f->values[f->trees[t].first_leaf + i], sizeof(double));
	*ret_planes = (struct plan_planes){.entries = entries, .bytes = bytes};
	return LAYOUT_DONE;
}
