// SPDX-License-Identifier: Apache-2.0
// The plain kernels, and the choice of an instruction set.
#include "model/kernels.h"

const struct forest_kernels ms_kernels_plain = {
	.isa = MODEL_ISA_PLAIN,
	.rank_bytes = ms_ranks_bytes,
};

static bool has_avx512(void)
{
#if defined(__x86_64__)
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vbmi") &&
	       __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
#else
	return false;
#endif
}

const struct forest_kernels *ms_kernels_choose(enum model_isa isa)
{
#if defined(__x86_64__)
	if ((isa == MODEL_ISA_AUTO || isa == MODEL_ISA_AVX512) && has_avx512())
		return &ms_kernels_avx512;
#else
	(void)has_avx512;
#endif
	return &ms_kernels_plain;
}
