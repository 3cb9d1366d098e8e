// SPDX-License-Identifier: Apache-2.0
// Rows as ranks. Each column of a forest has the sorted list of the thresholds ("cuts") that some test compares it
// with. The rank of a value is the number of cuts below it, and the number of all cuts for NaN, so that
//
//	value <= cut[k]  ⇔  rank < k + 1
//
// for every value, in the type that the library compares: ranks lose nothing, and most fit a byte. A column
// with more than 255 cuts takes several bytes, each with its own stretch of 255 cuts: the rank less the
// stretch's start, held between 0 and 255. A set test is a column of one cut: rank 0 for members, else 1.
//
// All tests become `rank < k`. k = 0 never holds, which is also the test of a threshold that is NaN.
//
// Threads: immutable once built. Memory: the forest's arena.
#ifndef MS_MODEL_RANKS_H
#define MS_MODEL_RANKS_H

#include "model/forest.h"

#define RANK_GROUP 16                            // cuts that are compared at once
#define RANK_BYTE_CUTS 255                       // cuts of one byte column
#define RANK_BYTES_MAX 256                       // byte columns of a row that byte kernels take
#define RANK_WORDS_MAX 65535                     // word columns, and cuts of one
#define RANK_TABLE_BYTES_MAX ((size_t)4 << 20)   // of one category column
#define RANK_TABLES_BYTES_MAX ((size_t)64 << 20) // of all together: columns may share a large set of a small file

struct rank_column {
	uint32_t source;      // column of the forest
	uint32_t cut_count;   // at least 1
	uint32_t first_cut;   // in the cuts, a multiple of RANK_GROUP; padded with +inf to a multiple of it
	uint32_t first_pivot; // only with at most 255 cuts: 16 pivots, the last cut of each group; +inf beyond
	uint32_t first_byte;  // its byte columns, (cut_count + 254) / 255 of them
};

// The set tests of one category column. Its rank columns follow each other.
struct rank_sets {
	uint32_t category;     // category column of the forest
	uint32_t count;        // distinct sets
	uint32_t first;        // in set_order
	uint32_t first_column; // word column
	uint32_t first_byte;
	uint32_t code_count;  // codes with a row of their own in the table
	const uint8_t *table; // code_count + 2 rows of `count` ranks: by code, outside, missing; NULL: too large
};

struct forest_ranks {
	const struct rank_column *columns; // word column i is columns[i]; the set columns follow
	size_t column_count;
	const struct rank_sets *sets;
	size_t sets_count;
	const uint32_t *set_order; // sets of the forest, one for each distinct test
	size_t word_count;         // column_count + distinct sets
	size_t byte_count;         // byte columns, those of the sets last
	bool bytes;                // they are at most RANK_BYTES_MAX
	bool words;                // word columns and their cuts are at most RANK_WORDS_MAX each
	bool pivots;               // no column has more than 255 cuts
	const float *cuts_f32;     // forests with columns in f32
	const double *cuts_f64;    // others
	const float *pivots_f32;
	const double *pivots_f64;
	const uint32_t *column_of;     // by column of the forest: word column; UINT32_MAX: no test reads it
	const uint32_t *set_column_of; // by set of the forest: word column
};

// A test in the form `rank < cut`.
struct rank_test {
	uint32_t column;
	uint32_t cut;
};

// NULL when memory is out. `scratch` is for building alone.
const struct forest_ranks *ms_ranks_build(const struct forest *f, struct arena *memory, struct arena *scratch);

// The test of a threshold on a column of the forest, or of a set, in word columns and in byte columns.
struct rank_test ms_ranks_word_test(const struct forest_ranks *r, uint32_t column, double threshold);
struct rank_test ms_ranks_byte_test(const struct forest_ranks *r, uint32_t column, double threshold);
struct rank_test ms_ranks_word_set_test(const struct forest_ranks *r, uint32_t set);
struct rank_test ms_ranks_byte_set_test(const struct forest_ranks *r, uint32_t set);

// Ranks of a prepared row (`columns`: f32 or f64, as the forest compares). Byte column i goes to out[i * step].
void ms_ranks_bytes(const struct forest_ranks *r, const void *columns, size_t step, uint8_t *out);
void ms_ranks_words(const struct forest_ranks *r, const void *columns, uint16_t *out);
// A rank in the bytes of its column.
void ms_ranks_put_bytes(const struct rank_column *c, uint32_t rank, size_t step, uint8_t *out);
// Those of the set tests, from the row's category codes.
void ms_ranks_set_bytes(const struct forest *f, const struct forest_ranks *r, const uint32_t *categories, size_t step,
			uint8_t *out);
void ms_ranks_set_words(const struct forest *f, const struct forest_ranks *r, const uint32_t *categories,
			uint16_t *out);

#endif
