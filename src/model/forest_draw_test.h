// SPDX-License-Identifier: Apache-2.0
// Forests drawn at random for tests: described as a loader describes them, with a naive evaluation of that description.
// Nothing here uses the finished form of a forest.
#ifndef MS_MODEL_FOREST_DRAW_TEST_H
#define MS_MODEL_FOREST_DRAW_TEST_H

#include "model/forest.h"
#include "tests/lib/test.h"

enum draw_tree {
	DRAW_LEAF_WISE, // a random leaf is split until there are `leaves`
	DRAW_BALANCED,  // every leaf above `depth` is split
	DRAW_CHAIN,     // each split has a leaf
	DRAW_LEAVES,    // a leaf and no split
	DRAW_MIXED,     // each tree one of these
	DRAW_OBLIVIOUS, // of `depth` tests, or up to it
};

// How the thresholds of a column lie.
enum draw_cuts {
	DRAW_CUTS_STEPS,  // evenly around zero
	DRAW_CUTS_ULPS,   // neighbours in the type that is compared: around zero, one, 1e-35f
	DRAW_CUTS_RANDOM, // of any size
	DRAW_CUTS_MIXED,  // column by column
};

struct draw_shape {
	enum draw_tree tree;
	uint32_t trees;
	uint32_t features;
	uint32_t computed;
	uint32_t groups;
	uint32_t depth;
	uint32_t leaves;
	uint32_t cuts; // of a column, taken in turn
	enum draw_cuts cut_kind;
	bool single; // input_single
	bool sum_single;
	bool vector;
	bool linear;
	bool same_depth; // oblivious: all trees have `depth` tests
	bool only_le;    // each feature one column: x <= threshold, missing values go right
	bool ends;       // start values, scale and bias
	// In percent of the splits.
	uint32_t zero_missing;
	uint32_t special; // thresholds that are NaN, infinite, zero, tiny, ...
	uint32_t set_splits;
	// Sets: so many different ones on so many columns, each of up to so many words.
	uint32_t sets;
	uint32_t set_columns;
	uint32_t set_words;
	enum forest_category_rule rule;
};

// A node with the number of its set, the place of its vector, or the number of its linear model here.
struct draw_node {
	struct tree_node node;
	uint32_t own;
};

struct draw_set {
	uint32_t *words;
	uint32_t word_count;
};

struct draw_linear {
	double constant;
	double fallback;
	uint32_t features[4];
	double coefficients[4];
	size_t count;
};

struct draw_tree_data {
	struct draw_node *nodes; // by number
	uint32_t count;
	uint32_t root;
	uint32_t group;
	bool linear;
	struct oblivious_test *tests; // oblivious: `depth` of them
	uint32_t depth;
	double *values;
};

struct draw_forest {
	struct draw_shape shape;
	struct arena memory;
	struct rand rand;
	struct forest_params params;
	struct draw_tree_data *trees;
	struct draw_set *sets;
	double *vectors;
	size_t vector_count; // values
	size_t vector_capacity;
	struct draw_linear *linear;
	size_t linear_count;
	uint32_t *next_cut; // by column
	uint32_t next_column;
};

void ms_draw_forest(struct draw_forest *d, const struct draw_shape *shape, uint64_t seed);
void ms_draw_free(struct draw_forest *d);
// feature_count values around which the forest's tests turn.
void ms_draw_row(struct draw_forest *d, double *row);
// The first `tree_count` trees through the builder. The forest is in `memory`.
const struct forest *ms_draw_build(const struct draw_forest *d, size_t tree_count, enum model_kernel kernel,
				   enum model_isa isa, struct arena *memory);
// In words, for reports.
void ms_draw_describe(const struct draw_shape *s, char *dst, size_t size);

// The naive evaluation. Leaf: number of a node, or for oblivious trees of the leaf.
uint32_t ms_draw_leaf(const struct draw_forest *d, const struct draw_tree_data *t, const double *row);
// What ms_forest_leaves() gives for that leaf.
double ms_draw_leaf_id(const struct draw_tree_data *t, uint32_t leaf);
// What ms_forest_trees() gives: 1 or, with vector leaves, group_count values.
void ms_draw_tree_output(const struct draw_forest *d, const struct draw_tree_data *t, uint32_t leaf, const double *row,
			 double *out);
// From the leaf of each tree to group_count raw scores.
void ms_draw_raw(const struct draw_forest *d, const uint32_t *leaves, const double *row, double *out);

#endif
