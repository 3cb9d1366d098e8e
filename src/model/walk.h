// SPDX-License-Identifier: Apache-2.0
// The interleaved walk: eight trees at a time through nodes of any size. On unquantised nodes it is the
// reference that every other kernel equals.
#ifndef MS_MODEL_WALK_H
#define MS_MODEL_WALK_H

#include "model/plan.h"

// Fills the columns of one row, f32 or f64 as the forest compares, and the codes of its category columns.
void ms_walk_prepare(const struct forest *f, const double *row, double *computed, void *columns, uint32_t *categories);
// The place of the leaf that each tree of a block ends in: a node, or for oblivious trees the leaf's values. `first` is a
// multiple of FOREST_BLOCK. At least `count` trees are walked, at most the block.
void ms_walk_block(const struct forest *f, size_t first, size_t count, const void *columns, const uint32_t *categories,
		   uint32_t *places);
// The same for all trees of the block, on the plan's small nodes and a row of ranks.
void ms_walk_ranks(const struct forest *f, size_t first, const void *ranks, uint32_t *places);

// One tree after the other for PLAN_ROWS rows of ranks; rows lie one after the other.
plan_block_fn ms_walk_block_bytes, ms_walk_block_words;

#endif
