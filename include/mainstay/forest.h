// SPDX-License-Identifier: Apache-2.0
// libmainstay-forest: tree ensembles and linear models of LightGBM, XGBoost and CatBoost inside another program,
// with the same answers, bit for bit, as the Mainstay server gives. It needs libc and libm only. Link with
// `pkg-config --cflags --libs mainstay-forest`; examples/embed/ has programs in C and Python.
//
// Shapes. A row is `feature_count` numbers, in the order of the model's features; NaN is a missing value. Several
// rows stand one after the other (row-major), and so do their predictions, `width` numbers a row.
//
// Ownership. What a function named …_load… or …_new… gives belongs to the caller, who frees it with the function
// named …_free. Everything else that is returned belongs to the forest and lives as long as it. Bytes that are
// passed in are not kept: they may go away when the call returns. A forest and its scratches may be freed in any order.
//
// Threads. A forest never changes: any number of threads may use one at once. A scratch is for one thread at a
// time. There are no locks, no threads of its own and no global state; after loading, nothing allocates.
//
// Errors. Functions that can fail return a status, 0 for success, and then and only then write their results.
// Wrong arguments are answered, not punished: a NULL where something is needed is MAINSTAY_FOREST_ERR_ARGUMENT.
// Functions with `error` write there a sentence that says what is wrong and where, cut to `error_size` bytes and
// ended by NUL; it may be NULL. After success it holds "".
//
// Model files may come from anybody: a damaged or hostile one gives an error, within the limits of the options.
#ifndef MAINSTAY_FOREST_H
#define MAINSTAY_FOREST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MAINSTAY_FOREST_API __attribute__((visibility("default")))

enum mainstay_forest_status {
	MAINSTAY_FOREST_OK = 0,
	MAINSTAY_FOREST_ERR_ARGUMENT = 1,    // the call makes no sense: NULL, out of range, scratch of another forest
	MAINSTAY_FOREST_ERR_MEMORY = 2,      // out of memory
	MAINSTAY_FOREST_ERR_FILE = 3,        // the file cannot be read
	MAINSTAY_FOREST_ERR_FORMAT = 4,      // the bytes are damaged, or no model
	MAINSTAY_FOREST_ERR_UNSUPPORTED = 5, // a sound model that cannot be answered exactly
	MAINSTAY_FOREST_ERR_TOO_LARGE = 6,   // beyond a limit of the options
	MAINSTAY_FOREST_ERR_OUTPUT = 7,      // the model has no such output
	MAINSTAY_FOREST_ERR_SPACE = 8,       // the caller's buffer is too small for the predictions
	MAINSTAY_FOREST_ERR_CATEGORY = 9,    // the feature cannot take this category
	MAINSTAY_FOREST_ERR_INTERNAL = 10    // a bug
};

// What a prediction can return.
enum mainstay_forest_output {
	MAINSTAY_FOREST_OUTPUT_DEFAULT = 0,     // what the library's predict() returns
	MAINSTAY_FOREST_OUTPUT_RAW = 1,         // scores before any transform
	MAINSTAY_FOREST_OUTPUT_PROBABILITY = 2, // one number a class (binary: 2); classifiers only
	MAINSTAY_FOREST_OUTPUT_LABEL = 3,       // index of the class; classifiers only
	MAINSTAY_FOREST_OUTPUT_LEAF = 4,        // number of the leaf in each tree; forests only
	// What each feature adds to the raw score, by TreeSHAP: for each raw score a number per feature, then the base
	// value. Not every model has it.
	MAINSTAY_FOREST_OUTPUT_CONTRIBUTIONS = 5,
	MAINSTAY_FOREST_OUTPUT_TREE = 6 // what each tree adds to the raw score
};

struct mainstay_forest;
struct mainstay_forest_scratch;

// Text of the model, UTF-8 as a rule. No NUL stands behind it, and it may hold one.
struct mainstay_forest_text {
	const char *bytes; // not NULL
	size_t length;
};

// Zero is the default of every member. Set struct_size to sizeof(struct mainstay_forest_options): so a program and
// a library of different age understand each other. The same holds for the structures below.
struct mainstay_forest_options {
	size_t struct_size;
	// "lightgbm-text", "xgboost-json", "xgboost-ubjson", "catboost-json", "onnx", "linear-json"; default "auto": by content
	const char *format;
	uint64_t max_file_bytes;     // default 2 GiB
	uint64_t max_memory_bytes;   // of the loaded model; default 8 GiB
	const char *kernel;          // for measurements: "walk", "quantised", "tiles", "bits", "oblivious"
	const char *instruction_set; // for measurements: "plain", "neon", "avx2", "avx512"
	// Called on the loading thread after each tree with the bytes read so far; default: not called.
	void (*progress)(void *context, size_t done, size_t total);
	void *progress_context;
};

struct mainstay_forest_info {
	size_t struct_size;                          // set by the caller
	const char *format;                          // as in the options
	const char *task;                            // "regression", "binary", "multiclass", "ranking"
	const char *kernel_single;                   // what evaluates one row
	const char *kernel_batch;                    // what evaluates many
	const char *kernel_reason;                   // why
	struct mainstay_forest_text objective;       // as the file says: "binary", "reg:squarederror", …
	struct mainstay_forest_text library_version; // as far as the file says, or empty
	uint64_t feature_count;                      // numbers in a row
	uint64_t class_count;                        // at least 2 for classifiers, else 0
	uint64_t raw_count;                          // raw scores of a row
	uint64_t tree_count;                         // 0 for linear models
	uint64_t node_count;                         // splits and leaves
	uint64_t memory_bytes;                       // what the model holds
	uint32_t named_features;                     // 1: the names of the features come from the file
	uint32_t has_labels;                         // 1: the file names the classes
	uint32_t single_precision;                   // 1: predictions are values of float
	uint32_t estimated_row_ns;                   // rough cost of a row on one core, in nanoseconds
};

struct mainstay_forest_feature {
	size_t struct_size;               // set by the caller
	struct mainstay_forest_text name; // "Column_0", "f0", … where the file has none
	uint64_t category_count;          // categories that the file lists
	uint32_t categorical;             // 1: rows hold what …_encode_… gives; 0: rows hold the number itself
	uint32_t takes_strings;           // 1: categories are strings; 0: numbers
	uint32_t any_string;              // 1: any string is a category, listed or not
};

// The version of the library, "0.1.0".
MAINSTAY_FOREST_API const char *mainstay_forest_version(void);
// A few words for a status; never NULL.
MAINSTAY_FOREST_API const char *mainstay_forest_status_text(enum mainstay_forest_status status);

// --- Loading -----------------------------------------------------------------------------------------------

// options: NULL for the defaults.
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_load(const void *bytes, size_t size,
								     const struct mainstay_forest_options *options,
								     char *error, size_t error_size,
								     struct mainstay_forest **ret_forest);
// Reads the file at once and loads it.
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_load_file(const char *path,
									  const struct mainstay_forest_options *options,
									  char *error, size_t error_size,
									  struct mainstay_forest **ret_forest);
MAINSTAY_FOREST_API void mainstay_forest_free(struct mainstay_forest *forest); // accepts NULL

// --- What the model is -------------------------------------------------------------------------------------

MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_get_info(const struct mainstay_forest *forest,
									 struct mainstay_forest_info *ret_info);
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_get_feature(
	const struct mainstay_forest *forest, size_t feature, struct mainstay_forest_feature *ret_feature);
// By name, by a hash table.
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_find_feature(const struct mainstay_forest *forest,
									     const char *name, size_t length,
									     size_t *ret_feature);
// A listed category, by its place in the list.
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_get_category(const struct mainstay_forest *forest,
									     size_t feature, size_t category,
									     struct mainstay_forest_text *ret_text);
// The name of a class, when the file has names.
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_get_label(const struct mainstay_forest *forest,
									  size_t class_index,
									  struct mainstay_forest_text *ret_text);
// "default", "raw", "probability", "label", "leaf", "contributions", "tree".
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_find_output(const char *name,
									    enum mainstay_forest_output *ret_output);
// Numbers per row of that output; 0 when the model has no such output.
MAINSTAY_FOREST_API size_t mainstay_forest_output_width(const struct mainstay_forest *forest,
							enum mainstay_forest_output output);

// --- Rows --------------------------------------------------------------------------------------------------

// The number that a row holds for a category. A category that the model does not know gives what its library
// makes of it: a missing value (NaN), or MAINSTAY_FOREST_ERR_CATEGORY.
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_encode_string(const struct mainstay_forest *forest,
									      size_t feature, const char *text,
									      size_t length, char *error,
									      size_t error_size, double *ret_value);
// The same for categories that are numbers; the number itself for features that are not categorical.
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_encode_number(const struct mainstay_forest *forest,
									      size_t feature, double number,
									      char *error, size_t error_size,
									      double *ret_value);

// --- Prediction --------------------------------------------------------------------------------------------

// Working memory of predictions, some ten to hundred KiB, larger for rows of many thousand features: one for each
// thread, to be used again and again.
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_scratch_new(
	const struct mainstay_forest *forest, struct mainstay_forest_scratch **ret_scratch);
MAINSTAY_FOREST_API void mainstay_forest_scratch_free(struct mainstay_forest_scratch *scratch); // accepts NULL

// Writes row_count times width numbers; `capacity` is the room in numbers. Does not allocate. A row's predictions
// do not depend on the rows beside it, nor on their type: a float is taken as the double of the same value.
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_predict_f64(const struct mainstay_forest *forest,
									    struct mainstay_forest_scratch *scratch,
									    enum mainstay_forest_output output,
									    const double *rows, size_t row_count,
									    double *ret_values, size_t capacity);
MAINSTAY_FOREST_API enum mainstay_forest_status mainstay_forest_predict_f32(const struct mainstay_forest *forest,
									    struct mainstay_forest_scratch *scratch,
									    enum mainstay_forest_output output,
									    const float *rows, size_t row_count,
									    double *ret_values, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
