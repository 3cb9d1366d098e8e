// SPDX-License-Identifier: Apache-2.0
// LightGBM's text format: what its two source files share. Source of the format: LightGBM
// src/boosting/gbdt_model_text.cpp (file), src/io/tree.cpp and include/LightGBM/tree.h (trees and decisions).
#ifndef MS_MODEL_LIGHTGBM_H
#define MS_MODEL_LIGHTGBM_H

#include "model/loader.h"

// Reads lines off the front of the file; line ends are \n or \r\n.
struct line_reader {
	struct slice rest;
	int64_t line; // 1-based number of the line that was read last
};

bool ms_lightgbm_next_line(struct line_reader *r, struct slice *ret_line);
// Splits "key=value" at the first '='; without one the value is empty.
void ms_lightgbm_split(struct slice line, struct slice *ret_key, struct slice *ret_value);
// One integer off the front of space-separated text; false when none is there.
bool ms_lightgbm_scan_int(struct slice *rest, int64_t *ret_value);
// Sets the line of `info` and fails with MS_ERR_MODEL_FORMAT.
#define MS_LIGHTGBM_FAIL(info, at_line, ...) \
	((info)->line = (at_line), ms_fail((info), MS_ERR_MODEL_FORMAT, __VA_ARGS__))

struct word_vec {
	uint32_t *p;
	size_t cap;
};
struct real_vec {
	double *p;
	size_t cap;
};

struct tree_reader {
	struct loader_context *ctx;
	struct forest_builder *forest;
	size_t feature_count;
	bool *categorical; // per feature: set when a tree splits it by categories
	// Reused from tree to tree.
	struct word_vec boundaries;
	struct word_vec words;
	struct word_vec features;
	struct real_vec coefficients;
};

// Reads the block behind the line "Tree=<number>" up to its blank line and adds it to the forest.
MS_MUST_USE enum ms_err ms_lightgbm_read_tree(struct tree_reader *t, struct line_reader *lines, size_t number,
					      uint32_t group);

#endif
