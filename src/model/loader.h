// SPDX-License-Identifier: Apache-2.0
// What a loader hands over: the description of a model, all memory in the model's arena. model.c adds what is
// common to all formats (names' index, widths, dispatch).
#ifndef MS_MODEL_LOADER_H
#define MS_MODEL_LOADER_H

#include "base/base.h"
#include "model/forest.h"
#include "model/model.h"
#include "model/transform.h"

// How text and numbers become the value that a row holds for a categorical feature.
enum category_kind {
	CATEGORY_CODES,   // numbers are codes already; strings are refused
	CATEGORY_STRINGS, // listed strings; numbers are codes
	CATEGORY_NUMBERS, // listed numbers: value → code
	CATEGORY_FUNCTION // `encode` of the description decides; whole numbers are their decimal text
};
struct category_encoding {
	enum category_kind kind;
	bool unseen_refused;   // else an unseen category is NaN
	const double *numbers; // CATEGORY_NUMBERS: category_count values, by place in the list
	const double *codes;   // by place in the list: what rows hold; NULL: the place itself
};
typedef double category_encode_fn(const void *context, size_t feature, struct slice text);

// How MODEL_OUTPUT_PROBABILITY and MODEL_OUTPUT_LABEL follow for classifiers.
enum label_rule {
	LABEL_NONE,        // no classifier
	LABEL_PROBABILITY, // binary: probability > 0.5; else the first of the largest probabilities
	LABEL_RAW          // binary: raw > 0; else the first of the largest raw scores
};

struct linear_model;
struct pipeline;

struct model_description {
	enum model_task task;
	struct slice objective;
	struct slice library_version;
	struct model_feature *features; // feature_count
	size_t feature_count;
	bool named_features;
	size_t class_count; // classifiers: at least 2; else 0
	size_t raw_count;
	bool single_precision;
	bool input_single_precision;
	size_t trees_per_iteration; // of boosting; 0: the model knows no iterations
	bool has_best_iteration;
	uint64_t best_iteration;

	const struct forest *forest; // exactly one of the three
	const struct linear_model *linear;
	// A program around forests and linear models; it makes all outputs, and `transform` and `probability` are not
	// used.
	const struct pipeline *pipeline;

	struct transform transform;   // MODEL_OUTPUT_DEFAULT
	bool has_probability;         // MODEL_OUTPUT_PROBABILITY; always by `probability`
	struct transform probability; // binary with one raw score: its one column is the class 1
	enum label_rule label_rule;

	const struct slice *labels; // class_count names, or NULL when the file has none

	const struct category_encoding *encodings; // per feature, or NULL: all CATEGORY_CODES
	category_encode_fn *encode;                // CATEGORY_FUNCTION
	const void *encode_context;
};

const struct model_description *ms_model_description(const struct model *model);

struct loader_context {
	struct slice bytes;
	const struct model_options *options;
	struct arena *memory;  // of the model, limited to max_memory
	struct arena *scratch; // gone after loading
	struct errinfo *info;  // never NULL
};

static inline void ms_loader_progress(const struct loader_context *ctx, size_t done)
{
	if (ctx->options->progress != NULL)
		ctx->options->progress(ctx->options->progress_context, done, ctx->bytes.n);
}

typedef enum ms_err model_load_fn(struct loader_context *ctx, struct model_description *ret_description);
model_load_fn ms_lightgbm_load;
model_load_fn ms_xgboost_json_load;
model_load_fn ms_xgboost_ubjson_load;
model_load_fn ms_catboost_json_load;
model_load_fn ms_linear_json_load;
model_load_fn ms_onnx_load;

#endif
