// SPDX-License-Identifier: Apache-2.0
// Builds the layouts of plan.h from a finished forest and its ranks.
#ifndef MS_MODEL_LAYOUT_H
#define MS_MODEL_LAYOUT_H

#include "model/plan.h"

enum layout_result {
	LAYOUT_DONE,
	LAYOUT_UNFIT, // the forest does not have that shape
	LAYOUT_NO_MEMORY,
};

#define LAYOUT_TILE_LEVELS_MIN 4
#define LAYOUT_TILE_LEVELS_MAX 6
#define LAYOUT_BITS_LEAVES_MAX 64
#define LAYOUT_OBLIVIOUS_DEPTH_MAX 16

// The byte test of each split; NULL when the ranks are no bytes or there are no nodes. false: memory is out.
struct byte_test {
	uint8_t column;
	uint8_t cut;
};
MS_MUST_USE bool ms_layout_byte_tests(const struct forest *f, const struct forest_ranks *r, struct arena *scratch,
				      const struct byte_test **ret_tests);

// Byte ranks (the tests of above).
enum layout_result ms_layout_tiles(const struct forest *f, const struct byte_test *tests, struct arena *memory,
				   struct plan_tiles *ret_tiles);
// Byte ranks; at most LAYOUT_BITS_LEAVES_MAX leaves a tree. The parts for one row and for blocks as asked.
enum layout_result ms_layout_bits(const struct forest *f, const struct byte_test *tests, bool for_row, bool for_block,
				  struct arena *memory, struct plan_bits *ret_bits);
// Byte ranks; oblivious trees.
enum layout_result ms_layout_oblivious(const struct forest *f, const struct forest_ranks *r, struct arena *memory,
				       struct plan_oblivious *ret_oblivious);
// The values of at most 64 leaves a tree; `stride` numbers a tree. Unfit for other forests than those of one sum.
enum layout_result ms_layout_planes(const struct forest *f, const struct plan_leaves *leaves, uint32_t stride,
				    struct arena *memory, struct plan_planes *ret_planes);
// The same for oblivious trees of at most six tests.
enum layout_result ms_layout_oblivious_planes(const struct forest *f, struct arena *memory,
					      struct plan_planes *ret_planes);
// Any ranks that fit; exactly one of the two is set.
enum layout_result ms_layout_nodes(const struct forest *f, const struct forest_ranks *r, const struct byte_test *tests,
				   struct arena *memory, const struct node_byte **ret_bytes,
				   const struct node_word **ret_words);

#endif
