// SPDX-License-Identifier: Apache-2.0
// Models: loaded from the public file formats of their libraries, checked as hostile input, immutable
// afterwards, and evaluated exactly as the library that made them would.
//
// Formats and their sources: LightGBM text (LightGBM src/boosting/gbdt_model_text.cpp, src/io/tree.cpp),
// XGBoost JSON and UBJSON (xgboost doc/model.schema up to 3.1, src/tree/tree_model.cc), CatBoost JSON
// (catboost libs/model/model_export/json_model_helpers.cpp), ONNX (onnx/onnx.proto, onnx/defs/traditionalml; as
// ONNX Runtime answers it), and a small JSON of our own for linear models (README.md).
//
// Threads: a model is immutable and may be used by any number of threads at once. No call here blocks,
// locks, or (loading aside) allocates.
#ifndef MS_MODEL_MODEL_H
#define MS_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

enum model_format {
	MODEL_FORMAT_AUTO, // recognised by content
	MODEL_FORMAT_LIGHTGBM_TEXT,
	MODEL_FORMAT_XGBOOST_JSON,
	MODEL_FORMAT_XGBOOST_UBJSON,
	MODEL_FORMAT_CATBOOST_JSON,
	MODEL_FORMAT_LINEAR_JSON,
	MODEL_FORMAT_ONNX,
	MODEL_FORMAT_COUNT
};
// "lightgbm-text", "xgboost-json", "xgboost-ubjson", "catboost-json", "linear-json", "onnx"; "auto".
const char *ms_model_format_name(enum model_format format);
MS_MUST_USE bool ms_model_format_parse(struct slice name, enum model_format *ret_format);

enum model_task { MODEL_REGRESSION, MODEL_BINARY, MODEL_MULTICLASS, MODEL_RANKING };
const char *ms_model_task_name(enum model_task task); // "regression", "binary", "multiclass", "ranking"

struct model_feature {
	struct slice name; // never empty: "Column_0", "f0", … where the file has none
	bool categorical;
	bool has_strings; // categories are strings that the file lists; else categories are codes or numbers
	bool any_string;  // any string is a valid category (CatBoost hashes them)
	const struct slice *categories; // the strings (or numbers as text) that the file lists, by code; may be NULL
	size_t category_count;
};

// What a prediction can return. Widths: ms_model_output_width().
enum model_output {
	MODEL_OUTPUT_DEFAULT,     // what the library's predict() returns for this objective
	MODEL_OUTPUT_RAW,         // margins, before any transform
	MODEL_OUTPUT_PROBABILITY, // one column per class (binary: 2); classifiers only
	MODEL_OUTPUT_LABEL,       // class index; classifiers only
	MODEL_OUTPUT_LEAF,        // leaf index per tree as the library numbers them; forests only
	// What each feature adds to the raw score (TreeSHAP): for each raw score feature_count values, then the base
	// value; together they are the raw score. See ms_model_output_absence().
	MODEL_OUTPUT_CONTRIBUTIONS,
	MODEL_OUTPUT_TREE, // what each tree adds to the raw score; one value, or raw_count with vector leaves
	MODEL_OUTPUT_COUNT
};
const char *ms_model_output_name(enum model_output output); // "default", "raw", …
#define MS_MODEL_OUTPUT_NAMES "default, raw, probability, label, leaf, contributions or tree"
MS_MUST_USE bool ms_model_output_parse(struct slice name, enum model_output *ret_output);

struct model_info {
	enum model_format format;
	enum model_task task;
	struct slice objective;       // as the file says: "binary", "reg:squarederror", …
	struct slice library_version; // as far as the file says, or empty
	const struct model_feature *features;
	size_t feature_count;       // columns of a row
	bool named_features;        // the names come from the file
	size_t class_count;         // classifiers: at least 2; else 0
	const struct slice *labels; // class_count names, or NULL when the file has none
	size_t raw_count;           // margins per row
	size_t tree_count;          // 0 for linear models
	size_t node_count;          // splits and leaves
	size_t iteration_count;     // of boosting; 0: the model knows none
	bool has_best_iteration;    // early stopping found one and the file says so (XGBoost's attribute)
	uint64_t best_iteration;    // counted from 0; predictions use every tree, as Booster.predict does, unless asked
	size_t memory_bytes;        // what the model holds
	bool single_precision;      // outputs are float32 values: write them with ms_number_format_f32
	bool input_single_precision; // rows are rounded to float32 first, as the library does
	uint32_t estimated_row_ns;   // rough cost of one row on one core
	const char *kernel_single;   // what evaluates one row: "tiles (avx512)", "linear", …
	const char *kernel_batch;    // what evaluates many
	const char *kernel_reason;   // why, in words
};

// How a forest is evaluated. All kernels give the same bits; which one is fast depends on the model and the CPU.
// A kernel that cannot take a model (or a CPU) gives way to MODEL_KERNEL_WALK.
enum model_kernel {
	MODEL_KERNEL_AUTO,      // chosen by shape
	MODEL_KERNEL_WALK,      // unquantised nodes, eight trees interleaved: the reference; any forest
	MODEL_KERNEL_QUANTISED, // the same on small nodes that hold ranks of thresholds
	MODEL_KERNEL_TILES,     // subtrees of up to six levels decided at once by one comparison of vectors
	MODEL_KERNEL_BITS,      // bit-vectors of leaves: 64 trees at once for one row, many rows at once for a block
	MODEL_KERNEL_OBLIVIOUS, // oblivious trees: the index of the leaf by comparisons of vectors
	MODEL_KERNEL_COUNT
};
enum model_isa {
	MODEL_ISA_AUTO, // the best that the CPU has
	MODEL_ISA_PLAIN,
	MODEL_ISA_NEON,
	MODEL_ISA_AVX2,
	MODEL_ISA_AVX512, // with VBMI
	MODEL_ISA_COUNT
};
const char *ms_model_kernel_name(enum model_kernel kernel); // "auto", "walk", "quantised", …
const char *ms_model_isa_name(enum model_isa isa);          // "auto", "plain", "neon", "avx2", "avx512"

struct model_options {
	size_t max_bytes;  // of the file
	size_t max_memory; // of the loaded model
	size_t max_trees;
	size_t max_features;
	size_t max_classes;
	enum model_kernel kernel; // for tests and bug reports; otherwise AUTO
	enum model_isa isa;       // likewise; one that the CPU lacks is as PLAIN
	// Called after each tree of the file, on the loading thread, with the bytes read so far; NULL: nobody asks.
	void (*progress)(void *context, size_t done, size_t total);
	void *progress_context;
};
extern const struct model_options
	MS_MODEL_DEFAULT_OPTIONS; // 2 GiB, 8 GiB, 1,000,000 trees, 1,000,000 features, 10,000 classes; AUTO

struct model;

// Loads from bytes, which may go away afterwards. Messages say what is wrong with the file and where (line,
// tree, node). Never crashes, loops or takes memory out of proportion to the file, whatever the bytes are.
MS_MUST_USE enum ms_err ms_model_load(struct slice bytes, enum model_format format, const struct model_options *options,
				      struct errinfo *info, struct model **ret_model);
struct model *ms_model_ref(struct model *model);
void ms_model_unref(struct model *model); // accepts NULL; the last one frees

const struct model_info *ms_model_info(const struct model *model);
// Index of the feature of that name (hash lookup), or SIZE_MAX.
size_t ms_model_feature_index(const struct model *model, struct slice name);

// Turns what a user gives for a categorical feature into the number that rows hold. Strings: as the library
// maps them; where the library treats an unseen category as missing the result is NaN, where it refuses,
// MS_ERR_PREDICT_TYPE. Numbers: a code, or one of the listed numeric categories.
MS_MUST_USE enum ms_err ms_model_encode_string(const struct model *model, size_t feature, struct slice text,
					       struct errinfo *info, double *ret_value);
MS_MUST_USE enum ms_err ms_model_encode_number(const struct model *model, size_t feature, double number,
					       struct errinfo *info, double *ret_value);

// Values per row of that output; 0 when the model has no such output (then predict may not be called for it).
size_t ms_model_output_width(const struct model *model, enum model_output output);
// The values of a row come in groups of so many: feature_count + 1 for contributions to several raw scores, raw_count
// for trees with vector leaves; else the width.
size_t ms_model_output_group(const struct model *model, enum model_output output);
// Why the model lacks that output, as the end of a sentence ("its file …"); NULL when it has it.
const char *ms_model_output_absence(const struct model *model, enum model_output output);
// Bytes of scratch memory that a predict call needs for that output, whatever its number of rows (16-byte aligned).
size_t ms_model_scratch_size_for(const struct model *model, enum model_output output);
size_t ms_model_scratch_size(const struct model *model); // for any output
// Rough cost of one row of that output on one core.
uint64_t ms_model_row_ns(const struct model *model, enum model_output output);

// What is asked of a model. Zeros beside the output ask for the prediction of all trees.
struct model_query {
	enum model_output output;
	uint64_t iterations;       // of boosting, from the first on; 0: all
	double early_stop_margin;  // > 0: a row's sum ends once its class is decided by more than that; see forest.h
	uint64_t early_stop_every; // iterations between two looks, at least 1 when there is a margin
};
#define MS_MODEL_QUERY(what) ((const struct model_query){.output = (what)})

// The iterations up to the best one that early stopping of the training found, for model_query.
MS_MUST_USE enum ms_err ms_model_best_iterations(const struct model *model, struct errinfo *info,
						 uint64_t *ret_iterations);
// Whether iterations and early stopping fit the model and the output, which it must have (ms_model_output_width).
MS_MUST_USE enum ms_err ms_model_check_query(const struct model *model, const struct model_query *query,
					     struct errinfo *info);
// rows: row-major, feature_count values a row, NaN = missing. out: row-major, width values a row. The query was
// checked; so this does not fail. Bit-identical to the library for RAW (design section 9).
void ms_model_predict(const struct model *model, const struct model_query *query, const double *rows, size_t row_count,
		      void *scratch, double *out);

// Rows for measurements, the same for the same seed. Numbers are drawn between the thresholds that the model compares
// a feature with, each gap being as likely as any other, and one in 8 is a threshold itself; so each split is taken both
// ways. Features without thresholds, and those of linear models, lie between -1 and 1. Categories are drawn from those
// that the file lists, else small codes. One value in 32 is missing. MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_model_draw_rows(const struct model *model, uint64_t seed, size_t row_count,
					   double *ret_rows);

#endif
