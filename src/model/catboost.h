// SPDX-License-Identifier: Apache-2.0
// What the parts of the CatBoost loader share. As for XGBoost, the first pass reads everything but the trees, which
// it skips and remembers (catboost.c); the second reads the trees into a forest (catboost_tree.c). Sources: catboost
// libs/model/model_export/json_model_helpers.cpp (the file), libs/model/cpu/quantization.h (missing values),
// libs/model/cpu/evaluator_impl.cpp (order of the sums). Private to the model module.
#ifndef MS_MODEL_CATBOOST_H
#define MS_MODEL_CATBOOST_H

#include "model/doc.h"
#include "model/loader.h"

struct cat_float_feature {
	bool present;
	bool nan_is_true; // a missing value passes every test "x > border"; else it fails them
	uint32_t column;  // of the row
};

// A category is tested against single values: each that some tree may test is a computed column of the forest,
// 0 where the row has that value, else 1.
struct cat_category_feature {
	bool present;
	uint32_t column;       // of the row
	const int32_t *values; // hashes, ascending
	size_t value_count;
	uint32_t first_computed; // number of the computed column of values[0]
};

// What computing these columns needs; in the model's memory.
struct cat_one_hot {
	const struct cat_category_feature *features; // those with values
	size_t feature_count;
	size_t computed_count;
};

struct cat_model {
	struct loader_context *ctx;
	struct doc doc;

	// By the numbers that splits use, which count each kind of feature by itself.
	struct cat_float_feature *floats;
	size_t float_count;
	struct cat_category_feature *categories;
	size_t category_count;
	struct cat_one_hot *one_hot;
	struct model_feature *features; // columns of a row, names in the model's memory
	size_t feature_count;
	bool named_features;

	struct slice loss; // "RMSE"; empty: the file does not say
	struct slice version;
	struct slice *labels;
	size_t label_count;
	bool has_threshold; // labels follow a probability other than 0.5

	double scale;
	struct doc_array bias; // f64: none, one for all outputs, or one for each
	bool has_trees;
	bool oblivious;
	struct doc trees; // the place of the array; a null stands for an empty one
	size_t output_count;
};

// "features_info", in the first pass.
bool ms_cat_read_features(struct cat_model *m);
// Place of the value among those of the feature, or value_count.
size_t ms_cat_find_value(const struct cat_category_feature *feature, int32_t value);
// category_encode_fn: the hash of the text.
double ms_cat_encode(const void *context, size_t feature, struct slice text);
// forest_compute_fn, for a struct cat_one_hot.
void ms_cat_compute(const void *context, const double *row, double *dst);

// Reads the trees; sets output_count.
MS_MUST_USE enum ms_err ms_cat_read_forest(struct cat_model *m, const struct forest **ret_forest);

#endif
