// SPDX-License-Identifier: Apache-2.0
// Kernels for x86-64 with AVX-512 (F, BW, DQ, VL) and VBMI: Intel since Ice Lake, AMD since Zen 4. Compiled with those
// instructions on; called only where the CPU has them.
#include <immintrin.h>

#include "model/kernels.h"

// --- Ranks ---------------------------------------------------------------------------------------------

// Two steps of sixteen ways: which group of cuts, which cut of the group. A comparison that is not "greater or equal"
// holds for NaN as well, which ranks it behind all cuts.
static uint32_t below_f32(const float *cuts, float x)
{
	return (uint32_t)_mm_popcnt_u32(_mm512_cmp_ps_mask(_mm512_loadu_ps(cuts), _mm512_set1_ps(x), _CMP_NGE_UQ));
}

static uint32_t below_f64(const double *cuts, double x)
{
	const __m512d v = _mm512_set1_pd(x);
	uint32_t low = _mm512_cmp_pd_mask(_mm512_loadu_pd(cuts), v, _CMP_NGE_UQ);
	uint32_t high = _mm512_cmp_pd_mask(_mm512_loadu_pd(cuts + 8), v, _CMP_NGE_UQ);
	return (uint32_t)_mm_popcnt_u32(low | high << 8);
}

#include "model/kernels_rank.h"

// --- A row in registers --------------------------------------------------------------------------------

struct row {
	__m512i part[4];
};

static inline __attribute__((always_inline)) struct row load_row(const uint8_t *ranks, int parts)
{
	struct row row = {0};
	for (int i = 0; i < parts; i++)
		row.part[i] = _mm512_loadu_si512(ranks + i * 64);
	return row;
}

// ranks[columns[i]] < cuts[i], for 64 tests at once.
static inline __attribute__((always_inline)) __mmask64 tests_hold(const struct row *row, int parts, __m512i columns,
								  __m512i cuts)
{
	__m512i v;
	if (parts == 1) {
		v = _mm512_permutexvar_epi8(columns, row->part[0]);
	} else if (parts == 2) {
		v = _mm512_permutex2var_epi8(row->part[0], columns, row->part[1]);
	} else {
		__m512i low = _mm512_permutex2var_epi8(row->part[0], columns, row->part[1]);
		__m512i high = _mm512_permutex2var_epi8(row->part[2], columns, row->part[3]);
		v = _mm512_mask_blend_epi8(_mm512_movepi8_mask(columns), low, high);
	}
	return _mm512_cmplt_epu8_mask(v, cuts);
}

// Calls body(parts) with the number of registers that the plan's rows take, known to the compiler.
#define BY_PARTS(p, body)                         \
	do {                                      \
		if ((p)->rank_stride == 64)       \
			body(1);                  \
		else if ((p)->rank_stride == 128) \
			body(2);                  \
		else                              \
			body(4);                  \
	} while (0)

// --- Tiles ---------------------------------------------------------------------------------------------

#define TILE_VECTORS 64 // decided before any is followed, so that what is stored can be loaded without a stall

// Follows the bits of 8, 16 or 32 tiles through their levels: the exits.
static inline __attribute__((always_inline)) __m512i follow64(const uint64_t *bits)
{
	const __m512i one = _mm512_set1_epi64(1);
	__m512i b = _mm512_loadu_si512(bits), at = one;
	for (int level = 0; level < 6; level++) {
		__m512i held = _mm512_srlv_epi64(b, at);
		at = _mm512_ternarylogic_epi64(_mm512_add_epi64(at, at), held, one, 0xf8); // a | (b & c)
	}
	return at;
}

static inline __attribute__((always_inline)) __m512i follow32(const uint64_t *bits)
{
	const __m512i one = _mm512_set1_epi32(1);
	__m512i b = _mm512_loadu_si512(bits), at = one;
	for (int level = 0; level < 5; level++) {
		__m512i held = _mm512_srlv_epi32(b, at);
		at = _mm512_ternarylogic_epi32(_mm512_add_epi32(at, at), held, one, 0xf8);
	}
	return at;
}

static inline __attribute__((always_inline)) __m512i follow16(const uint64_t *bits)
{
	const __m512i one = _mm512_set1_epi16(1);
	__m512i b = _mm512_loadu_si512(bits), at = one;
	for (int level = 0; level < 4; level++) {
		__m512i held = _mm512_srlv_epi16(b, at);
		at = _mm512_ternarylogic_epi32(_mm512_add_epi16(at, at), held, one, 0xf8);
	}
	return at;
}

// From the bits of `vectors` vectors of tiles to numbers of leaves. A multiple of eight vectors is done.
static void follow(uint32_t levels, size_t first_tree, size_t vectors, const uint64_t *bits, uint32_t *leaves)
{
	const __m512i ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	const uint32_t slots = 1u << levels;
	// The leaf of tree t: t * slots + place - slots.
	__m512i base = _mm512_mullo_epi32(_mm512_add_epi32(ramp, _mm512_set1_epi32((int)first_tree - 1)),
					  _mm512_set1_epi32((int)slots));
	const __m512i step = _mm512_set1_epi32((int)(16 * slots));
	for (size_t v = 0; v < vectors; v += 8) {
		if (levels == 6) {
			__m256i at = _mm512_cvtepi64_epi32(follow64(bits + v));
			_mm256_storeu_si256((void *)leaves, _mm256_add_epi32(at, _mm512_castsi512_si256(base)));
			base = _mm512_add_epi32(base, _mm512_set1_epi32((int)(8 * slots)));
			leaves += 8;
		} else if (levels == 5) {
			_mm512_storeu_si512(leaves, _mm512_add_epi32(follow32(bits + v), base));
			base = _mm512_add_epi32(base, step);
			leaves += 16;
		} else {
			__m512i at = follow16(bits + v);
			__m512i low = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(at));
			__m512i high = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(at, 1));
			_mm512_storeu_si512(leaves, _mm512_add_epi32(low, base));
			base = _mm512_add_epi32(base, step);
			_mm512_storeu_si512(leaves + 16, _mm512_add_epi32(high, base));
			base = _mm512_add_epi32(base, step);
			leaves += 32;
		}
	}
}

static inline __attribute__((always_inline)) void tiles(const struct forest_plan *p, int parts, size_t first,
							size_t count, const uint8_t *ranks, uint32_t *leaves)
{
	const struct plan_tiles *t = &p->tiles;
	const struct row row = load_row(ranks, parts);
	const size_t per_vector = 64u >> t->levels;
	uint64_t bits[TILE_VECTORS];
	for (size_t done = 0; done < count; done += TILE_VECTORS * per_vector) {
		size_t vectors = MS_MIN((count - done + per_vector - 1) / per_vector, TILE_VECTORS);
		const uint8_t *tests = t->tests + (first + done) / per_vector * 128;
		for (size_t v = 0; v < vectors; v++, tests += 128)
			bits[v] = tests_hold(&row, parts, _mm512_loadu_si512(tests), _mm512_loadu_si512(tests + 64));
		for (size_t v = vectors; v % 8 != 0; v++)
			bits[v] = 0;
		follow(t->levels, first + done, vectors, bits, leaves + done);
	}
}

static void tiles_row(const struct forest_plan *p, size_t first, size_t count, const uint8_t *ranks, uint32_t *leaves)
{
#define BODY(parts) tiles(p, parts, first, count, ranks, leaves)
	BY_PARTS(p, BODY);
#undef BODY
}

// --- Bit-vectors ---------------------------------------------------------------------------------------

// 64 trees a block, one lane each: every slot's test takes leaves away where it holds.
static inline __attribute__((always_inline)) void bits32(const struct plan_bits *p, const struct row *row, int parts,
							 size_t block, uint32_t *leaves)
{
	const size_t slot_bytes = 128 + 64 * 4;
	const uint8_t *slot = p->slots + (size_t)p->block_first[block] * slot_bytes;
	__m512i stay[4];
	for (int q = 0; q < 4; q++)
		stay[q] = _mm512_set1_epi32(-1);
	for (uint32_t i = p->block_first[block]; i < p->block_first[block + 1]; i++, slot += slot_bytes) {
		__mmask64 held = tests_hold(row, parts, _mm512_loadu_si512(slot), _mm512_loadu_si512(slot + 64));
		for (int q = 0; q < 4; q++)
			stay[q] = _mm512_mask_and_epi32(stay[q], (__mmask16)(held >> (16 * q)), stay[q],
							_mm512_loadu_si512(slot + 128 + 64 * q));
	}
	const __m512i ramp = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
	for (int q = 0; q < 4; q++) {
		__m512i low = _mm512_and_si512(stay[q], _mm512_sub_epi32(_mm512_setzero_si512(), stay[q]));
		__m512i leaf = _mm512_sub_epi32(_mm512_set1_epi32(31), _mm512_lzcnt_epi32(low));
		__m512i tree = _mm512_add_epi32(ramp, _mm512_set1_epi32((int)(block * 64 + (size_t)q * 16)));
		_mm512_storeu_si512(leaves + 16 * q, _mm512_add_epi32(leaf, _mm512_slli_epi32(tree, 5)));
	}
}

static inline __attribute__((always_inline)) void bits64(const struct plan_bits *p, const struct row *row, int parts,
							 size_t block, uint32_t *leaves)
{
	const size_t slot_bytes = 128 + 64 * 8;
	const uint8_t *slot = p->slots + (size_t)p->block_first[block] * slot_bytes;
	__m512i stay[8];
	for (int q = 0; q < 8; q++)
		stay[q] = _mm512_set1_epi64(-1);
	for (uint32_t i = p->block_first[block]; i < p->block_first[block + 1]; i++, slot += slot_bytes) {
		__mmask64 held = tests_hold(row, parts, _mm512_loadu_si512(slot), _mm512_loadu_si512(slot + 64));
		for (int q = 0; q < 8; q++)
			stay[q] = _mm512_mask_and_epi64(stay[q], (__mmask8)(held >> (8 * q)), stay[q],
							_mm512_loadu_si512(slot + 128 + 64 * q));
	}
	const __m512i ramp = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
	for (int q = 0; q < 8; q++) {
		__m512i low = _mm512_and_si512(stay[q], _mm512_sub_epi64(_mm512_setzero_si512(), stay[q]));
		__m512i leaf = _mm512_sub_epi64(_mm512_set1_epi64(63), _mm512_lzcnt_epi64(low));
		__m512i tree = _mm512_add_epi64(ramp, _mm512_set1_epi64((int64_t)(block * 64 + (size_t)q * 8)));
		_mm256_storeu_si256((void *)(leaves + 8 * q),
				    _mm512_cvtepi64_epi32(_mm512_add_epi64(leaf, _mm512_slli_epi64(tree, 6))));
	}
}

static void bits_row(const struct forest_plan *p, size_t first, size_t count, const uint8_t *ranks, uint32_t *leaves)
{
#define BODY(parts)                                                                          \
	do {                                                                                 \
		const struct row row = load_row(ranks, parts);                               \
		for (size_t i = 0; i < count; i += 64) {                                     \
			if (p->bits.leaf_slots == 32)                                        \
				bits32(&p->bits, &row, parts, (first + i) / 64, leaves + i); \
			else                                                                 \
				bits64(&p->bits, &row, parts, (first + i) / 64, leaves + i); \
		}                                                                            \
	} while (0)
	BY_PARTS(p, BODY);
#undef BODY
}

// --- Oblivious trees -----------------------------------------------------------------------------------

// The bits of a comparison are the numbers of the leaves: a byte for each of eight trees, or two for each of four.
static inline __attribute__((always_inline)) void oblivious(const struct plan_oblivious *p, const struct row *row,
							    int parts, size_t first, size_t count, uint32_t *leaves)
{
	const size_t per_vector = 64 / p->width;
	const __m256i width = _mm256_set1_epi32((int)p->leaf_width);
	for (size_t i = 0; i < count; i += per_vector) {
		const size_t vector = (first + i) / per_vector;
		const uint8_t *tests = p->tests + vector * 128;
		uint64_t held = p->invert[vector] ^
				tests_hold(row, parts, _mm512_loadu_si512(tests), _mm512_loadu_si512(tests + 64));
		__m128i bits = _mm_cvtsi64_si128((int64_t)held);
		__m256i leaf = p->width == 8 ? _mm256_cvtepu8_epi32(bits) : _mm256_cvtepu16_epi32(bits);
		__m256i base = _mm256_loadu_si256((const void *)(p->first_leaf + first + i));
		_mm256_storeu_si256((void *)(leaves + i), _mm256_add_epi32(base, _mm256_mullo_epi32(leaf, width)));
	}
}

static void oblivious_row(const struct forest_plan *p, size_t first, size_t count, const uint8_t *ranks,
			  uint32_t *leaves)
{
#define BODY(parts)                                                          \
	do {                                                                 \
		const struct row row = load_row(ranks, parts);               \
		oblivious(&p->oblivious, &row, parts, first, count, leaves); \
	} while (0)
	BY_PARTS(p, BODY);
#undef BODY
}

const struct forest_kernels ms_kernels_avx512 = {
	.isa = MODEL_ISA_AVX512,
	.rank_bytes = rank_bytes,
	.tiles_row = tiles_row,
	.tiles_block = ms_avx512_tiles_block,
	.tiles_sum = ms_avx512_tiles_sum,
	.bits_row = bits_row,
	.bits_block = ms_avx512_bits_block,
	.bits_sum = ms_avx512_bits_sum,
	.oblivious_row = oblivious_row,
	.oblivious_block = ms_avx512_oblivious_block,
	.oblivious_sum = ms_avx512_oblivious_sum,
};
