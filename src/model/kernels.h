// SPDX-License-Identifier: Apache-2.0
// The kernels of each instruction set. All read the layouts of plan.h and give the leaves that the walk gives.
#ifndef MS_MODEL_KERNELS_H
#define MS_MODEL_KERNELS_H

#include "model/plan.h"

// What an instruction set offers; NULL: not there.
struct forest_kernels {
	enum model_isa isa;
	void (*rank_bytes)(const struct forest_ranks *r, const void *columns, size_t step, uint8_t *out);
	plan_row_fn *tiles_row, *bits_row, *oblivious_row;
	plan_block_fn *tiles_block, *bits_block, *oblivious_block;
	plan_sum_fn *tiles_sum, *bits_sum, *oblivious_sum; // only with a block function
};

extern const struct forest_kernels ms_kernels_plain;
extern const struct forest_kernels ms_kernels_avx2;
extern const struct forest_kernels ms_kernels_avx512;
extern const struct forest_kernels ms_kernels_neon;

// Of ms_kernels_avx512, in a file of their own.
plan_block_fn ms_avx512_tiles_block, ms_avx512_bits_block, ms_avx512_oblivious_block;
plan_sum_fn ms_avx512_tiles_sum, ms_avx512_bits_sum, ms_avx512_oblivious_sum;

// The best that the CPU has, or the one that is asked for when the CPU has it, else plain.
const struct forest_kernels *ms_kernels_choose(enum model_isa isa);

#endif
