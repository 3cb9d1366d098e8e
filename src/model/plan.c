// SPDX-License-Identifier: Apache-2.0
#include "model/plan.h"

#include "model/kernels.h"
#include "model/layout.h"
#include "model/walk.h"

// Ranking a row costs a few ns a column: not worth it for a forest that is walked in less. Found with bench/forest.
#define QUANTISE_SPLITS_PER_COLUMN 50
// Deep trees: beyond the second cache the walk from the exits of tiles on waits for memory more often than one from the root.
#define WALK_ON_BYTES_MAX ((size_t)1 << 20)

struct planner {
	const struct forest *f;
	enum model_kernel asked;
	struct arena *memory;
	struct arena *scratch;
	struct forest_plan *p;
	const struct byte_test *tests; // by node; NULL: see ms_layout_byte_tests
	uint32_t depth;                // of the deepest tree
	uint32_t leaves;               // of the largest tree
	bool failed;                   // memory is out
};

static bool asked_for(const struct planner *b, enum model_kernel kernel)
{
	return b->asked == MODEL_KERNEL_AUTO || b->asked == kernel;
}

static bool done(struct planner *b, enum layout_result result)
{
	b->failed = b->failed || result == LAYOUT_NO_MEMORY;
	return result == LAYOUT_DONE;
}

static void set_kernel(struct forest_plan *p, enum model_kernel kernel, plan_row_fn *row, plan_block_fn *block,
		       bool by_row)
{
	if (row != NULL) {
		p->single = kernel;
		p->row = row;
	}
	if (block != NULL) {
		p->batch = kernel;
		p->block = block;
		p->by_row = by_row;
	}
}

static void plan_oblivious(struct planner *b)
{
	struct forest_plan *p = b->p;
	const struct forest_kernels *k = p->kernels;
	if (!asked_for(b, MODEL_KERNEL_OBLIVIOUS) || (k->oblivious_row == NULL && k->oblivious_block == NULL) ||
	    !done(b, ms_layout_oblivious(b->f, p->ranks, b->memory, &p->oblivious)))
		return;
	set_kernel(p, MODEL_KERNEL_OBLIVIOUS, k->oblivious_row, k->oblivious_block, false);
	if (k->oblivious_sum != NULL && done(b, ms_layout_oblivious_planes(b->f, b->memory, &p->planes)))
		p->sum = k->oblivious_sum;
}

// Small nodes for the walk that goes on from the exits of tiles. Words do not go with tiles, which read bytes.
static bool has_byte_nodes(struct planner *b)
{
	struct forest_plan *p = b->p;
	return p->nodes_byte != NULL ||
	       (done(b, ms_layout_nodes(b->f, p->ranks, b->tests, b->memory, &p->nodes_byte, &p->nodes_word)) &&
		p->nodes_byte != NULL);
}

static void plan_tiles(struct planner *b)
{
	struct forest_plan *p = b->p;
	const struct forest_kernels *k = p->kernels;
	const bool row = k->tiles_row != NULL && p->single == MODEL_KERNEL_WALK;
	const bool block = k->tiles_block != NULL && p->batch == MODEL_KERNEL_WALK;
	const bool far =
		b->depth > LAYOUT_TILE_LEVELS_MAX && b->f->node_count * sizeof(struct node_byte) > WALK_ON_BYTES_MAX;
	if (!asked_for(b, MODEL_KERNEL_TILES) || (far && b->asked == MODEL_KERNEL_AUTO) || (!row && !block) ||
	    !done(b, ms_layout_tiles(b->f, b->tests, b->memory, &p->tiles)) || (!p->tiles.whole && !has_byte_nodes(b)))
		return;
	set_kernel(p, MODEL_KERNEL_TILES, row ? k->tiles_row : NULL, block ? k->tiles_block : NULL, false);
	if (block && p->tiles.whole && k->tiles_sum != NULL &&
	    done(b, ms_layout_planes(b->f, &p->tiles.leaves, 1u << p->tiles.levels, b->memory, &p->planes)))
		p->sum = k->tiles_sum;
}

static void plan_bits(struct planner *b)
{
	struct forest_plan *p = b->p;
	const struct forest_kernels *k = p->kernels;
	// Twice the bits are twice the memory: for one row, tiles and a walk on from them are faster then.
	const bool few = b->leaves <= 32 || b->asked == MODEL_KERNEL_BITS || k->tiles_row == NULL;
	const bool row = few && k->bits_row != NULL && p->single == MODEL_KERNEL_WALK;
	const bool block = k->bits_block != NULL && p->batch == MODEL_KERNEL_WALK;
	if (!asked_for(b, MODEL_KERNEL_BITS) || (!row && !block) ||
	    !done(b, ms_layout_bits(b->f, b->tests, row, block, b->memory, &p->bits)))
		return;
	set_kernel(p, MODEL_KERNEL_BITS, row ? k->bits_row : NULL, block ? k->bits_block : NULL, false);
	if (block && k->bits_sum != NULL &&
	    done(b, ms_layout_planes(b->f, &p->bits.leaves, p->bits.leaf_slots, b->memory, &p->planes)))
		p->sum = k->bits_sum;
}

static void plan_nodes(struct planner *b)
{
	struct forest_plan *p = b->p;
	if (!asked_for(b, MODEL_KERNEL_QUANTISED) || p->single != MODEL_KERNEL_WALK ||
	    // Plain nodes of f32 are no larger than nodes of words, and need no ranks.
	    (b->asked == MODEL_KERNEL_AUTO && !p->ranks->bytes && !b->f->wide && b->f->set_count == 0) ||
	    (p->nodes_word == NULL &&
	     !done(b, ms_layout_nodes(b->f, p->ranks, b->tests, b->memory, &p->nodes_byte, &p->nodes_word))))
		return;
	p->words = p->nodes_word != NULL;
	p->single = MODEL_KERNEL_QUANTISED;
	if (p->block == NULL)
		set_kernel(p, MODEL_KERNEL_QUANTISED, NULL, p->words ? ms_walk_block_words : ms_walk_block_bytes, true);
}

static void plan_layouts(struct planner *b)
{
	if (b->f->oblivious) {
		plan_oblivious(b);
		return;
	}
	if (b->depth <= LAYOUT_TILE_LEVELS_MAX)
		plan_tiles(b);
	plan_bits(b);
	plan_tiles(b);
	plan_nodes(b);
	if (!b->p->words)
		b->p->nodes_word = NULL; // made for tiles in vain
	if (b->p->batch == MODEL_KERNEL_WALK)
		b->p->batch = b->p->single; // row by row
}

static bool is_small(const struct forest *f)
{
	return f->node_count < 2 * QUANTISE_SPLITS_PER_COLUMN * f->column_count;
}

static const char *reason_of(const struct planner *b, bool small)
{
	const struct forest_plan *p = b->p;
	if (b->asked != MODEL_KERNEL_AUTO)
		return p->single == b->asked || p->batch == b->asked ? "asked for"
								     : "the one asked for cannot take this model here";
	if (small)
		return "a small forest: ranking a row would cost more than walking it";
	switch (p->single) {
	case MODEL_KERNEL_TILES:
		return p->tiles.whole ? "every tree is at most six levels deep"
				      : "deep trees: the top six levels at once, then nodes of 4 bytes";
	case MODEL_KERNEL_BITS:
		return "trees of at most 64 leaves";
	case MODEL_KERNEL_OBLIVIOUS:
		return "oblivious trees";
	case MODEL_KERNEL_QUANTISED:
		return p->words ? "many thresholds or categories: nodes of 8 bytes" : "nodes of 4 bytes";
	case MODEL_KERNEL_AUTO:
	case MODEL_KERNEL_WALK:
	case MODEL_KERNEL_COUNT:
		break;
	}
	return "no other kernel takes a model of this shape here";
}

const struct forest_plan *ms_plan_build(const struct forest *f, enum model_kernel kernel, enum model_isa isa,
					struct arena *memory, struct arena *scratch)
{
	struct forest_plan *p = MS_ARENA_NEW(memory, struct forest_plan);
	if (p == NULL)
		return NULL;
	*p = (struct forest_plan){.single = MODEL_KERNEL_WALK,
				  .batch = MODEL_KERNEL_WALK,
				  .trees = f->trees,
				  .kernels = ms_kernels_choose(isa)};
	struct planner b = {.f = f, .asked = kernel, .memory = memory, .scratch = scratch, .p = p};
	for (size_t i = 0; i < f->tree_count; i++)
		b.depth = MS_MAX(b.depth, f->trees[i].depth);
	for (size_t i = 0; i < f->tree_count && !f->oblivious; i++)
		b.leaves = MS_MAX(b.leaves, (f->trees[i].node_count + 1) / 2);
	const bool small = kernel == MODEL_KERNEL_AUTO && is_small(f);
	const struct arena_mark before = ms_arena_mark(memory);
	if (kernel != MODEL_KERNEL_WALK && !small) {
		p->ranks = ms_ranks_build(f, memory, scratch);
		if (p->ranks == NULL || !ms_layout_byte_tests(f, p->ranks, scratch, &b.tests))
			return NULL;
		plan_layouts(&b);
		if (b.failed)
			return NULL;
	}
	p->reason = reason_of(&b, small);
	if (p->single == MODEL_KERNEL_WALK && p->batch == MODEL_KERNEL_WALK) {
		ms_arena_rewind(memory, before); // no layout took the forest: nothing reads its ranks
		p->ranks = NULL;
		return p;
	}
	size_t row = p->words ? p->ranks->word_count * sizeof(uint16_t) : p->ranks->byte_count;
	p->rank_stride = MS_MAX((row + 63) / 64 * 64, 64);
	return p;
}
