// SPDX-License-Identifier: Apache-2.0
// Contributions of features to a raw score: path-dependent TreeSHAP (Lundberg et al., 2018), exact.
//
// A feature's Shapley value in a tree is a sum over the leaves, and for one leaf with the value v
//
//	v (x[i] - w[i]) ∫ Π (w[j] (1-t) + x[j] t) dt    over t in 0…1, the product over the other features j of its path
//
// where x[j] says whether the row passes all tests of j on the path, and w[j] is the product of the shares of the
// training rows that did. The integrand is a polynomial, so Gauss-Legendre quadrature with half as many points as
// the path has features is exact, and as all its terms and weights are positive it loses no digits, however
// deep the tree. Products are shared by all leaves below a node: one sweep down and one up a tree give all its
// features in O(nodes × points), without a table per leaf.
//
// What the sweeps need besides the forest is made when the model is loaded: 12 bytes a node, or 16 a leaf of an
// oblivious tree. Nothing else of the evaluation knows of it.
#ifndef MS_MODEL_SHAP_H
#define MS_MODEL_SHAP_H

#include "model/forest.h"

// More different features on one path than that: no contributions.
#define SHAP_FEATURES_MAX 128

struct shap {
	// Per node: the share of the training rows that all tests of one feature on the path down to this node let
	// through, that of the test just above the node. Oblivious trees: nodes as in a heap, tree by tree.
	const double *weights;
	// Per split: the node below the nearest test of the same feature further up (counted in the tree), or 0.
	// NULL for oblivious trees.
	const uint32_t *previous;
	const uint8_t *points;            // per tree: number of points of its quadrature, a multiple of 4
	const double *rules;              // per rule: points, 1 - points, their weights; see rule_of()
	const double *base;               // per group: the raw score of no row in particular
	const uint32_t *column_feature;   // per column: whose contribution its tests make
	const uint32_t *category_feature; // per category column
	size_t max_nodes;                 // of a tree
};

// Makes f->shap, or says in f->no_shap why there is none. `covers`: per node, or NULL when the file does not hold
// them; for oblivious trees per leaf.
MS_MUST_USE enum ms_err ms_shap_new(struct forest *f, const double *covers, const uint32_t *computed_feature,
				    struct arena *scratch, struct arena *memory, struct errinfo *info);

// Bytes that the call below needs, for any number of rows.
size_t ms_shap_scratch_size(const struct forest *f);
// rows: row-major, feature_count values a row. out: row-major; per row and group feature_count contributions and the
// base value.
void ms_shap_contributions(const struct forest *f, const double *rows, size_t row_count, void *scratch, double *out);
// Rough cost of one row.
uint32_t ms_shap_row_ns(const struct forest *f);

#endif
