// SPDX-License-Identifier: Apache-2.0
// The plain kernels, and the choice of an instruction set. NEON is part of every arm64, so what is compiled here for
// it uses it.
#include "model/kernels.h"

// The compiler makes what it can of vectors of 16 bytes: SSE2, NEON, or plain words.
#define BLOCK_VECTOR 16
#define BLOCK_NAME(name) name
#define BLOCK_LINKAGE static
#include "model/kernels_block.h"

const struct forest_kernels ms_kernels_plain = {
#if defined(__aarch64__)
	.isa = MODEL_ISA_NEON,
#else
	.isa = MODEL_ISA_PLAIN,
#endif
	.rank_bytes = ms_ranks_bytes,
	.bits_block = bits_block,
	.oblivious_block = oblivious_block,
};

#if defined(__x86_64__)
static bool has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

static bool has_avx512(void)
{
	return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512vbmi");
}
#endif

const struct forest_kernels *ms_kernels_choose(enum model_isa isa)
{
#if defined(__x86_64__)
	if ((isa == MODEL_ISA_AUTO || isa == MODEL_ISA_AVX512) && has_avx512())
		return &ms_kernels_avx512;
	if ((isa == MODEL_ISA_AUTO || isa == MODEL_ISA_AVX2) && has_avx2())
		return &ms_kernels_avx2;
#else
	(void)isa;
#endif
	return &ms_kernels_plain;
}
