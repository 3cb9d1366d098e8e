// SPDX-License-Identifier: Apache-2.0
// What the parts of the XGBoost loader share. The first pass over the file reads everything but the trees, which it
// skips and remembers (xgboost.c); the second reads the trees into a forest (xgboost_tree.c). So members may come
// in any order. Sources: xgboost src/learner.cc, src/gbm/gbtree_model.cc, src/gbm/gbtree.cc (DART),
// src/gbm/gblinear_model.cc, src/tree/tree_model.cc, src/tree/multi_target_tree_model.cc, src/data/cat_container.cc.
// Private to the model module.
#ifndef MS_MODEL_XGBOOST_H
#define MS_MODEL_XGBOOST_H

#include "model/doc.h"
#include "model/loader.h"

enum xgb_booster { XGB_GBTREE, XGB_DART, XGB_GBLINEAR };

// The categories of a column of the data frame that the model was trained on.
struct xgb_categories {
	const struct slice *names; // strings, or numbers as text; by code
	const double *numbers;     // numbers; NULL: strings
	size_t count;              // 0: not a categorical column
};

struct xgb_model {
	struct loader_context *ctx;
	struct doc doc;

	uint32_t version[3]; // zeros: the file does not say
	struct slice objective;
	struct slice booster_name;
	enum xgb_booster booster;
	size_t class_count; // "num_class": 0 unless multi-class
	size_t output_count;
	size_t feature_count;
	const float *base_margins; // output_count values
	struct slice base_score;
	size_t parallel_trees;             // per output and iteration; 0: not said, so 1
	struct doc_array iteration_starts; // the trees before each iteration and at the end, since 2.1
	bool has_best_iteration;
	uint64_t best_iteration;

	struct slice *names; // feature_count, or none
	size_t name_count;
	struct slice *types; // feature_count, or none
	size_t type_count;
	struct xgb_categories *categories; // feature_count, or none
	size_t categories_count;

	bool has_trees;
	bool has_tree_count;
	struct doc trees; // the place of the array
	size_t tree_count;
	struct doc_array tree_groups;  // i64
	struct doc_array tree_weights; // f32; none: all 1
	bool has_tree_weights;
	struct doc_array linear_weights; // f32
	bool has_linear_weights;
	bool *used_as_category; // per feature: some tree tests it as a category
};

// Reads one of the decimal numbers that the file holds as strings; `what` is for the message.
MS_MUST_USE bool ms_xgb_read_count(struct doc *d, const char *what, uint64_t max, size_t *ret_value);

// "cats": may be null.
bool ms_xgb_read_categories(struct xgb_model *m);

// Reads the trees and sets used_as_category.
MS_MUST_USE enum ms_err ms_xgb_read_forest(struct xgb_model *m, const struct forest **ret_forest);

#endif
