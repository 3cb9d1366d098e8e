// SPDX-License-Identifier: Apache-2.0
// Kernels for x86-64 with AVX2: every Intel and AMD server of the last ten years.
#include <immintrin.h>

#include "model/kernels.h"

// The group of cuts, then the cut of the group; see kernels_avx512.c.
static uint32_t below_f32(const float *cuts, float x)
{
	const __m256 v = _mm256_set1_ps(x);
	int low = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(cuts), v, _CMP_NGE_UQ));
	int high = _mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(cuts + 8), v, _CMP_NGE_UQ));
	return (uint32_t)_mm_popcnt_u32((uint32_t)low | (uint32_t)high << 8);
}

static uint32_t below_f64(const double *cuts, double x)
{
	const __m256d v = _mm256_set1_pd(x);
	uint32_t held = 0;
	for (int i = 0; i < 4; i++)
		held |= (uint32_t)_mm256_movemask_pd(_mm256_cmp_pd(_mm256_loadu_pd(cuts + 4 * i), v, _CMP_NGE_UQ))
			<< (4 * i);
	return (uint32_t)_mm_popcnt_u32(held);
}

#include "model/kernels_rank.h"

#define BLOCK_VECTOR 32
#define BLOCK_NAME(name) name
#define BLOCK_LINKAGE static
#include "model/kernels_block.h"

const struct forest_kernels ms_kernels_avx2 = {
	.isa = MODEL_ISA_AVX2,
	.rank_bytes = rank_bytes,
	.bits_block = bits_block,
	.oblivious_block = oblivious_block,
};
