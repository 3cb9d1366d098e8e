// SPDX-License-Identifier: Apache-2.0
// Tree ensembles of ONNX in one table, whichever of the three operators they come from, and the forests that are made
// of it. Private to the ONNX loader.
#ifndef MS_MODEL_ONNX_TREE_H
#define MS_MODEL_ONNX_TREE_H

#include "model/onnx_graph.h"

// In the order of the numbers that TreeEnsemble uses.
enum ensemble_mode { MODE_LEQ, MODE_LT, MODE_GTE, MODE_GT, MODE_EQ, MODE_NEQ, MODE_MEMBER, MODE_LEAF };

struct ensemble_node {
	uint8_t mode;      // enum ensemble_mode
	bool missing_true; // NaN takes the true branch
	bool shared;       // more than one node points at it
	bool folded;       // an equality that became part of the set of the node before it
	uint32_t feature;
	uint32_t id;                // leaf: as the file numbers it
	uint32_t true_at, false_at; // places in the table
	uint32_t first_weight, weight_count;
	uint32_t first_member, member_count; // MODE_MEMBER: in members
	double value;
};

struct ensemble_weight {
	uint32_t target;
	double value;
};

struct ensemble_tree {
	uint32_t first, count; // in nodes
	uint32_t root;         // place in nodes
};

struct ensemble {
	const struct onnx_node *node;
	size_t feature_count; // of the input
	bool single;          // thresholds, comparisons and sums in float; else in double
	struct ensemble_node *nodes;
	size_t node_count;
	struct ensemble_tree *trees;
	size_t tree_count;
	struct ensemble_weight *weights;
	size_t weight_count;
	double *members;
	size_t target_count;
};

// What the leaves of a forest hold.
enum ensemble_leaves {
	LEAVES_ONE,    // a value for the target of the tree
	LEAVES_VECTOR, // a value for each target
	LEAVES_FLAGS,  // a value for each target, then 1 for each that is scored
	LEAVES_TREE    // the value for one target, and a group for each tree; NaN where there is none
};

// How the leaves of this ensemble, whose weights are added, can be held; with `flags` it matters which targets a row
// scores.
enum ms_err ms_onnx_choose_leaves(struct onnx_graph *g, const struct ensemble *e, bool flags,
				  enum ensemble_leaves *ret_leaves);
// Turns chains of equalities that share their true branch into one test.
void ms_onnx_fold_chains(struct ensemble *e);
// `target` is for LEAVES_TREE.
MS_MUST_USE enum ms_err ms_onnx_build_forest(struct onnx_graph *g, const struct ensemble *e,
					     enum ensemble_leaves leaves, size_t target,
					     const struct forest **ret_forest);

#endif
