// SPDX-License-Identifier: Apache-2.0
// How a finished forest is evaluated on this machine: which kernel for one row, which for many, and the layouts
// that they read. Chosen once, when the forest is loaded.
//
// A kernel finds for each tree of a block the leaf that a row ends in; leaves are numbered by the kernel's own layout,
// and the layout holds their values. Summing is common to all kernels, so that each sum has the library's order.
//
// Threads: immutable. Memory: the forest's arena.
#ifndef MS_MODEL_PLAN_H
#define MS_MODEL_PLAN_H

#include "model/forest.h"
#include "model/ranks.h"

#define PLAN_ROWS 64         // rows of a block, one byte each in a vector
#define PLAN_LEAVES_SLACK 64 // see kernels.h

// The leaves of a layout. Without `places` a leaf's number is its place in the forest itself.
struct plan_leaves {
	const uint32_t *places;   // by number: a node of the forest, or the place of its values
	const float *values_f32;  // by number, or NULL: only for scalar leaves that are no linear models
	const double *values_f64; // likewise; exactly one of the two
};

// The values of a tree's leaves byte by byte: `entries` (16, 32 or 64) first bytes, then second bytes, …; so that one
// permutation of a vector looks a byte up for 64 rows.
struct plan_planes {
	uint32_t entries;
	bool single;          // four planes of floats, else eight of doubles
	const uint8_t *bytes; // by tree; NULL: none
};

// Small nodes for the interleaved walk: `v[column] < cut` takes the second child.
struct node_byte {
	uint8_t column;
	uint8_t cut;
	uint16_t child;
};
struct node_word {
	uint16_t column;
	uint16_t cut;
	uint32_t child;
};

// Subtrees of `levels` levels as one vector of tests: test i has the children 2i and 2i + 1, the first is 1. The bits
// of one comparison decide all of them at once; following the bits gives one of 2^levels exits.
struct plan_tiles {
	uint32_t levels; // 4, 5 or 6; slots = 2^levels
	bool flat;       // each tree is one tile: exit e of tree t is the leaf t * slots + e
	const uint8_t *
		tests; // by vector of 64 / slots tiles: 64 byte columns, then 64 cuts. Not flat: by tile, `slots` of each
	const uint32_t
		*exits; // not flat: by tile and exit: a tile, or PLAN_EXIT_LEAF | place of the leaf. Tile t is the
			// top of tree t
	struct plan_leaves leaves; // flat; not flat: numbers are places
};
#define PLAN_EXIT_LEAF ((uint32_t)1 << 31)

// Leaves as bits: each test that holds takes the leaves of its first subtree away; the lowest that stays is the exit.
// Trees of at most 64 leaves. The leaf l of tree t has the number t * leaf_slots + l.
struct plan_bits {
	uint32_t leaf_slots; // 32 or 64
	// For one row: blocks of 64 trees; per slot of a block 64 byte columns, 64 cuts, 64 masks of leaf_slots bits.
	const uint8_t *slots;
	const uint32_t *block_first; // by block: its first slot, and one more
	// For a block of rows: by tree and group of eight leaves the tests that take some of them away.
	const struct plan_bit_test *tests;
	const uint32_t *first_test; // by tree * (leaf_slots / 8) + group, and one more
	const uint8_t *group_count; // by tree: groups that have leaves
	struct plan_leaves leaves;
};
struct plan_bit_test {
	uint8_t column;
	uint8_t cut;
	uint8_t keep; // leaves of the group that stay when the test holds
	uint8_t unused;
};

// Oblivious trees: `width` (8 or 16) tests a tree, those beyond its depth never hold. The number of a leaf is the place
// of its values, one after the other by the bits of the tests.
struct plan_oblivious {
	uint32_t width;
	const uint8_t *tests;       // for one row: by vector of 64 / width trees: 64 byte columns, 64 cuts
	const uint64_t *invert;     // by vector: bits to turn over
	const uint32_t *first_leaf; // by tree
	uint32_t leaf_width;        // values of a leaf
};

struct forest_kernels;
struct forest_plan;

// Finds, for the trees first to first + count - 1, the leaf of one row. `ranks` are byte ranks, rank_stride of them.
// `first` is a multiple of 64. Up to PLAN_LEAVES_SLACK numbers more than `count` may be written.
typedef void plan_row_fn(const struct forest_plan *p, size_t first, size_t count, const uint8_t *ranks,
			 uint32_t *leaves);
// The same for PLAN_ROWS rows: ranks[column * PLAN_ROWS + row], or with `by_row` ranks[row * rank_stride + column];
// leaves[(tree - first) * PLAN_ROWS + row].
typedef void plan_block_fn(const struct forest_plan *p, size_t first, size_t count, const uint8_t *ranks,
			   uint32_t *leaves);

// The sums of PLAN_ROWS rows over the first `trees` trees, in their order, from `start` on; floats or doubles as the forest sums. Only
// for forests with one sum of scalar leaves, and layouts with planes.
typedef void plan_sum_fn(const struct forest_plan *p, size_t trees, const uint8_t *ranks, double start, void *sums);

struct forest_plan {
	enum model_kernel single, batch;
	plan_row_fn *row;                     // NULL: the walk, on ranks or on numbers
	plan_block_fn *block;                 // NULL: row by row
	plan_sum_fn *sum;                     // NULL: the leaves of `block` are summed
	bool by_row;                          // how `block` reads ranks
	const struct forest_tree *trees;      // the forest's
	const struct forest_kernels *kernels; // of the instruction set
	const struct forest_ranks *ranks;     // NULL when both are MODEL_KERNEL_WALK
	bool words;                           // rows are word ranks, else bytes
	size_t rank_stride;                   // bytes of a row of ranks, a multiple of 64
	const struct node_byte *nodes_byte;   // MODEL_KERNEL_QUANTISED: one of the two
	const struct node_word *nodes_word;
	struct plan_planes planes; // of the layout that `sum` reads
	struct plan_tiles tiles;
	struct plan_bits bits;
	struct plan_oblivious oblivious;
	const char *reason; // in words, for people
};

// NULL when memory is out.
const struct forest_plan *ms_plan_build(const struct forest *f, enum model_kernel kernel, enum model_isa isa,
					struct arena *memory, struct arena *scratch);

#endif
