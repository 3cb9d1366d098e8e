// SPDX-License-Identifier: Apache-2.0
// The one form in which every tree ensemble is evaluated, whatever library it came from.
//
// A loader describes its trees node by node in the terms of its library (`struct tree_node`); the builder
// checks them and turns every numeric test into the single form
//
//	row[column] <= threshold  →  the node's second child; otherwise, and for NaN, the first child
//
// This is exact for every comparison and every rule for missing values:
//  - x <  t  is  x <= prev(t), with prev the next smaller number of the type that is compared;
//  - x >  t  is -x <= prev(-t), x >= t is -x <= -t: the test reads a negated copy of the column;
//  - where a missing value goes with the side on which the test holds, the opposite test is stored, so that
//    the false side, where NaN always lands, is the right one.
// Columns are the row's features in the forms that some test needs: as they are, negated, or with zero as
// NaN. Column 0 is always NaN. A leaf reads it, thus always takes its first child, and that is the leaf
// itself: a walk may overrun a leaf freely, and needs no branch.
//
// Sums follow the library: its type, its order, its start value. So a raw score has the library's bits.
//
// Threads: a finished forest is immutable. Memory: it lives in the arena that the builder was given.
#ifndef MS_MODEL_FOREST_H
#define MS_MODEL_FOREST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "model/model.h"

// --- Building: used by loaders -----------------------------------------------------------------------

#define FOREST_NONE UINT32_MAX

// Values that the row does not hold and that a model derives from it (CatBoost's CTRs and one-hot tests).
// `dst` gets computed_count values; `row` is the row as the caller gave it, not yet rounded to f32.
typedef void forest_compute_fn(const void *context, const double *row, double *dst);

// What a category column makes of a value before it is looked up in a set. "Outside" is in no set.
enum forest_category_rule {
	FOREST_CATEGORY_LIGHTGBM, // truncated to an integer, so -0.9 is 0; negative or from 2^31: outside
	FOREST_CATEGORY_XGBOOST,  // rounded to f32; negative or from 2^24: outside; else truncated
};

struct forest_params {
	size_t feature_count;       // columns of a row
	size_t computed_count;      // further columns, numbered after the features
	forest_compute_fn *compute; // NULL when computed_count is 0
	const void *compute_context;
	// Per computed column the feature it is made of; FOREST_NONE: several. NULL: not known. Read while building.
	const uint32_t *computed_feature;
	size_t group_count; // raw scores per row, at least 1
	bool vector_leaves; // each leaf holds group_count values; else one, for the group of its tree
	bool input_single;  // rows are rounded to f32; tests compare f32
	bool sum_single;    // leaf values are f32 and are summed in f32; else f64
	enum forest_category_rule category_rule;
	const double *start; // group_count values that the sums start from; NULL: zeros
	// At the end: scale * sum + bias[group]; 1 and NULL (or zeros) leave the sums alone.
	double scale;
	const double *bias; // group_count values
};

enum tree_node_kind {
	TREE_NODE_ABSENT, // a number that the file does not use; nothing may point at it
	TREE_NODE_LEAF,
	TREE_NODE_NUMERIC,
	TREE_NODE_SET,
};
enum tree_compare { TREE_LE, TREE_LT, TREE_GE, TREE_GT };

// One node as the library describes it.
struct tree_node {
	uint8_t kind;         // enum tree_node_kind
	uint8_t compare;      // numeric: the row goes left when value <compare> threshold
	bool missing_left;    // numeric, set: NaN goes left
	bool zero_is_missing; // numeric: so does |x| <= 1e-35f (LightGBM's missing type "zero")
	bool in_set_left;     // set: members go left; else right. Outside values go the other way.
	uint32_t column;      // numeric, set: feature, or feature_count + number of the computed column
	uint32_t left, right; // numeric, set: numbers of nodes of this tree
	uint32_t leaf;        // leaf: its number in the library's leaf output
	double cover;         // training rows (or their weights) that reached it; see ms_forest_tree_has_covers()
	union {
		double threshold; // numeric; with input_single it must be a value of f32
		struct {
			uint32_t first_word; // from ms_forest_add_set()
			uint32_t word_count;
		} set;
		double value;    // scalar leaf, tree weight folded in; with sum_single a value of f32
		uint32_t vector; // leaf of a forest with vector_leaves: from ms_forest_add_vector()
		uint32_t linear; // leaf of a linear tree: from ms_forest_add_linear()
	};
};

// One test of an oblivious tree: bit d of the leaf's number is set when the test d holds.
struct oblivious_test {
	uint32_t column;
	uint8_t compare;   // enum tree_compare
	bool missing_true; // NaN sets the bit
	double threshold;
};

struct forest;
struct forest_builder;

// The builder and its temporary memory live in `scratch`, the forest in `memory`; both outlive it.
// `options` bounds the trees. All messages start with the tree: "tree 3, node 17: …".
MS_MUST_USE enum ms_err ms_forest_builder_new(const struct forest_params *params, const struct model_options *options,
					      struct arena *scratch, struct arena *memory, struct errinfo *info,
					      struct forest_builder **ret_builder);

// The nodes of the next tree, all TREE_NODE_ABSENT, for the loader to fill by number. The caller has checked
// node_count (1 to 2^31) against the bytes of the file.
MS_MUST_USE enum ms_err ms_forest_tree_begin(struct forest_builder *b, size_t node_count, uint32_t group,
					     struct tree_node **ret_nodes);
// A set of categories: bit c of the words (least significant first). ret_first is for tree_node.set.
MS_MUST_USE enum ms_err ms_forest_add_set(struct forest_builder *b, const uint32_t *words, size_t word_count,
					  uint32_t *ret_first);
// The group_count values of a vector leaf.
MS_MUST_USE enum ms_err ms_forest_add_vector(struct forest_builder *b, const double *values, uint32_t *ret_vector);
// A leaf with a linear model: constant + Σ coefficient·x in the order given, or `fallback` when a feature that
// it uses is NaN. Only in forests with neither vector_leaves nor sum_single. A forest with one such leaf takes
// constant leaves as well.
MS_MUST_USE enum ms_err ms_forest_add_linear(struct forest_builder *b, double constant, double fallback,
					     const uint32_t *features, const double *coefficients, size_t count,
					     uint32_t *ret_linear);
// Marks the leaves of the present tree as linear: they use tree_node.linear, not value.
void ms_forest_tree_is_linear(struct forest_builder *b);
// Says that all nodes of the present tree have their cover. Contributions need that of every tree of the forest.
void ms_forest_tree_has_covers(struct forest_builder *b);
// Checks the tree and appends it: children and columns in range, every node that is not absent reached exactly
// once from the root.
MS_MUST_USE enum ms_err ms_forest_tree_end(struct forest_builder *b, uint32_t root);

// An oblivious tree of depth 0 to 30; values: 2^depth values, times group_count with vector_leaves (leaf by
// leaf). covers: 2^depth, or NULL when they are not known. A forest holds either oblivious trees or trees of nodes.
MS_MUST_USE enum ms_err ms_forest_add_oblivious(struct forest_builder *b, const struct oblivious_test *tests,
						size_t depth, uint32_t group, const double *values,
						const double *covers);

// The finished forest. Zero trees are fine.
MS_MUST_USE enum ms_err ms_forest_finish(struct forest_builder *b, const struct forest **ret_forest);

// --- The finished form: read by the walk, and by any other engine --------------------------------------

// LightGBM's kZeroThreshold: numbers this near to zero are zero to it.
#define FOREST_ZERO_THRESHOLD 1e-35f

// Where a column's value comes from. Columns are grouped by form, so that preparing a row is a few plain loops.
enum forest_form {
	FOREST_PLAIN,
	FOREST_NEGATED,
	FOREST_ZERO_AS_NAN, // |x| <= 1e-35f is NaN
	FOREST_ZERO_AS_NAN_NEGATED,
	FOREST_FORM_COUNT
};

// A test on f32 columns. `child` is the distance to the first child in nodes (0: this is a leaf), the second
// child follows it. For a set node `column` is FOREST_SET_COLUMN and `index` a set.
struct node_f32 {
	union {
		float threshold;
		float value;    // leaf, scalar and sum_single
		uint32_t index; // leaf of any other kind: place in `values` or `linear`; set node: place in `sets`
	};
	uint16_t column;
	uint16_t child;
};
#define FOREST_SET_COLUMN UINT16_MAX

// The same on f64 columns; also for f32 models whose trees are too large for the small form.
struct node_f64 {
	union {
		double threshold;
		double value;
		uint64_t index;
	};
	uint32_t column; // FOREST_SET_COLUMN_WIDE: set node
	uint32_t child;
};
#define FOREST_SET_COLUMN_WIDE UINT32_MAX

// Members take the second child, others and outside values the first.
struct forest_set {
	uint32_t category;   // which category column
	uint32_t first_word; // in set_words
	uint32_t bit_count;
	bool missing_in; // NaN counts as a member
};

// Codes of a category column beside 0, 1, …: what no set contains, and NaN.
#define FOREST_CATEGORY_OUTSIDE UINT32_MAX
#define FOREST_CATEGORY_MISSING (UINT32_MAX - 1)

// Leaf values of trees whose leaves are linear models.
struct forest_linear {
	double constant;
	double fallback;
	uint32_t first; // in linear_features and linear_coefficients
	uint32_t count;
};

struct forest_tree {
	uint32_t root;       // nodes: place of the root; oblivious: place of the first test
	uint32_t node_count; // nodes: of this tree; oblivious: depth
	uint32_t depth;      // steps from the root to the deepest leaf
	uint32_t group;
	uint64_t first_leaf; // oblivious: place of the first leaf's values in `values`
	bool has_sets;
	bool is_linear; // its leaves hold a place in `linear`
};

struct forest_test {
	double threshold;
	uint32_t column;
	bool invert; // the bit is set when the test fails
};

struct shap;

enum forest_leaf { FOREST_LEAF_VALUE, FOREST_LEAF_INDEX };

struct forest {
	struct forest_params params; // start and bias point into the forest's memory
	size_t tree_count;
	size_t node_count; // splits and leaves of all trees
	bool oblivious;
	bool wide;             // nodes_f64 is in use, else nodes_f32 (both NULL when oblivious)
	bool has_linear;       // some tree is linear
	enum forest_leaf leaf; // what a leaf of a tree that is not linear holds; FOREST_LEAF_INDEX when oblivious
	bool identity_end;     // neither scale nor bias change anything

	const struct forest_tree *trees; // in file order, which is the order of the sums
	const struct node_f32 *nodes_f32;
	const struct node_f64 *nodes_f64;
	const uint32_t *leaf_ids;        // per node: the library's leaf number; 0 at splits
	const struct forest_test *tests; // oblivious: test_count
	size_t test_count;
	const double *values; // vector leaves and leaves of oblivious trees
	const struct forest_linear *linear;
	const uint32_t *linear_features;
	const double *linear_coefficients;

	size_t column_count;           // with column 0
	const uint32_t *column_source; // per column: feature, or feature_count + computed column
	size_t form_end
		[FOREST_FORM_COUNT]; // columns of form f end here; they start where the form before ends (or at 1)

	size_t category_count;
	const uint32_t *category_source; // per category column: the same
	const struct forest_set *sets;
	size_t set_count;
	const uint32_t *set_words;

	const struct forest_plan *plan; // how it is evaluated

	// The order in which trees are walked: blocks of FOREST_BLOCK trees in file order; inside, the trees without
	// set nodes first, by depth.
	const uint32_t *walk_order; // place of the tree in its block
	const uint32_t *walk_roots; // its root
	const uint32_t *walk_plain; // per block: how many trees have no set nodes

	const struct shap *shap; // what contributions need (shap.h), or NULL
	const char *no_shap;     // then why: "the leaves of its trees are linear models"
};
#define FOREST_BLOCK 512

// Members take the second child: 1.
static inline uint32_t ms_forest_in_set(const struct forest *f, const struct forest_set *set, uint32_t code)
{
	if (MS_LIKELY(code < set->bit_count))
		return f->set_words[set->first_word + code / 32] >> (code % 32) & 1;
	return code == FOREST_CATEGORY_MISSING && set->missing_in;
}

// Bytes that a call below needs, for any number of rows (16-byte aligned).
size_t ms_forest_scratch_size(const struct forest *f);
// rows: row-major, feature_count values a row. out: row-major, group_count values a row.
void ms_forest_raw(const struct forest *f, const double *rows, size_t row_count, void *scratch, double *out);
// The same of a part of the trees. Rows whose sums end early have the sums of the trees until then.
struct forest_part {
	size_t tree_count;  // the first ones
	double stop_margin; // > 0: a row's sum ends when it is decided by more than that. One group: twice the score's
			    // distance from 0; several: the largest score less the second (LightGBM's pred_early_stop)
	size_t stop_every;  // trees between two looks, at least 1
};
void ms_forest_raw_part(const struct forest *f, const struct forest_part *part, const double *rows, size_t row_count,
			void *scratch, double *out);
// out: row-major, tree_count values a row.
void ms_forest_leaves(const struct forest *f, const double *rows, size_t row_count, void *scratch, double *out);
// What each tree adds to the raw score. out: row-major, a value per tree, or group_count with vector_leaves.
void ms_forest_trees(const struct forest *f, const double *rows, size_t row_count, void *scratch, double *out);
// The columns of one row as f64, whatever the type of the tests, and its categories. computed: computed_count values
// of scratch.
void ms_forest_columns(const struct forest *f, const double *row, double *computed, double *columns,
		       uint32_t *categories);
// Rough cost of one row.
uint32_t ms_forest_row_ns(const struct forest *f);

#endif
