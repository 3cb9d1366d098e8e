// SPDX-License-Identifier: Apache-2.0
// Kernels for blocks of 64 rows with AVX-512 and VBMI: a row is a byte of a vector, and a column of the block one vector.
#include <immintrin.h>

#include "model/kernels.h"

#define BLOCK_VECTOR 64
#define BLOCK_NAME(name) ms_avx512_##name
#define BLOCK_LINKAGE
#include "model/kernels_block.h"

// --- Tiles ---------------------------------------------------------------------------------------------

// The exits of a complete tree from its leaves up: those below the second child where a node's test holds, else those
// below the first. Written level by level, so that all of a tree stays in registers.
struct tile {
	const uint8_t *ranks;
	const uint8_t *columns; // by slot
	const uint8_t *cuts;
};

static inline __attribute__((always_inline)) __mmask64 slot_holds(const struct tile *t, unsigned slot)
{
	return _mm512_cmplt_epu8_mask(_mm512_loadu_si512(t->ranks + (size_t)t->columns[slot] * PLAN_ROWS),
				      _mm512_set1_epi8((char)t->cuts[slot]));
}

static inline __attribute__((always_inline)) __m512i exits1(const struct tile *t, unsigned slot)
{
	return _mm512_maskz_set1_epi8(slot_holds(t, slot), 1);
}

#define DEFINE_EXITS(level, below)                                                                             \
	static inline __attribute__((always_inline)) __m512i exits##level(const struct tile *t, unsigned slot) \
	{                                                                                                      \
		const __m512i bit = _mm512_set1_epi8(1 << (level - 1));                                        \
		__m512i first = exits##below(t, 2 * slot), second = exits##below(t, 2 * slot + 1);             \
		/* The bit is free in the exits below, so adding sets it. */                                   \
		return _mm512_mask_add_epi8(first, slot_holds(t, slot), second, bit);                          \
	}

DEFINE_EXITS(2, 1)
DEFINE_EXITS(3, 2)
DEFINE_EXITS(4, 3)
DEFINE_EXITS(5, 4)
DEFINE_EXITS(6, 5)

static inline __attribute__((always_inline)) __m512i tile_exits(const struct plan_tiles *t, uint32_t levels,
								size_t tree, const uint8_t *ranks)
{
	const size_t per_vector = 64u >> levels;
	const uint8_t *tests = t->tests + tree / per_vector * 128 + tree % per_vector * (1u << levels);
	const struct tile tile = {ranks, tests, tests + 64};
	return levels == 6 ? exits6(&tile, 1) : levels == 5 ? exits5(&tile, 1) : exits4(&tile, 1);
}

void ms_avx512_tiles_block(const struct forest_plan *p, size_t first, size_t count, const uint8_t *ranks,
			   uint32_t *leaves)
{
	const struct plan_tiles *t = &p->tiles;
	for (size_t i = 0; i < count; i++, leaves += PLAN_ROWS) {
		_Alignas(64) uint8_t exits[PLAN_ROWS];
		__m512i e = t->levels == 6   ? tile_exits(t, 6, first + i, ranks)
			    : t->levels == 5 ? tile_exits(t, 5, first + i, ranks)
					     : tile_exits(t, 4, first + i, ranks);
		_mm512_store_si512(exits, e);
		for (size_t r = 0; r < PLAN_ROWS; r++)
			leaves[r] = ((uint32_t)(first + i) << t->levels) + exits[r];
	}
}

// --- Sums ----------------------------------------------------------------------------------------------

// Byte `plane` of the value of each row's leaf.
static inline __attribute__((always_inline)) __m512i plane_of(const uint8_t *planes, uint32_t entries, uint32_t plane,
							      __m512i exits)
{
	const uint32_t at = plane * entries;
	const __m512i table = _mm512_loadu_si512(planes + at / 64 * 64);
	return _mm512_permutexvar_epi8(at % 64 == 0 ? exits : _mm512_add_epi8(exits, _mm512_set1_epi8((char)(at % 64))),
				       table);
}

// Four planes become floats by interleaving, within each 16 rows: sums[j] has the rows 16 * lane + 4 * j + 0, 1, 2, 3.
static inline __attribute__((always_inline)) void add_f32(const uint8_t *planes, uint32_t entries, __m512i exits,
							  __m512 sums[4])
{
	__m512i a = plane_of(planes, entries, 0, exits), b = plane_of(planes, entries, 1, exits);
	__m512i c = plane_of(planes, entries, 2, exits), d = plane_of(planes, entries, 3, exits);
	__m512i ab = _mm512_unpacklo_epi8(a, b), cd = _mm512_unpacklo_epi8(c, d);
	sums[0] = _mm512_add_ps(sums[0], _mm512_castsi512_ps(_mm512_unpacklo_epi16(ab, cd)));
	sums[1] = _mm512_add_ps(sums[1], _mm512_castsi512_ps(_mm512_unpackhi_epi16(ab, cd)));
	ab = _mm512_unpackhi_epi8(a, b);
	cd = _mm512_unpackhi_epi8(c, d);
	sums[2] = _mm512_add_ps(sums[2], _mm512_castsi512_ps(_mm512_unpacklo_epi16(ab, cd)));
	sums[3] = _mm512_add_ps(sums[3], _mm512_castsi512_ps(_mm512_unpackhi_epi16(ab, cd)));
}

// Eight planes become doubles: sums[2 * j + h] has the rows 16 * lane + 4 * j + 2 * h + 0, 1.
static inline __attribute__((always_inline)) void add_f64(const uint8_t *planes, uint32_t entries, __m512i exits,
							  __m512d sums[8])
{
	__m512i byte[8], low[4], high[4];
	for (uint32_t i = 0; i < 8; i++)
		byte[i] = plane_of(planes, entries, i, exits);
	for (int i = 0; i < 4; i++) {
		low[i] = _mm512_unpacklo_epi8(byte[2 * i], byte[2 * i + 1]);
		high[i] = _mm512_unpackhi_epi8(byte[2 * i], byte[2 * i + 1]);
	}
#define ADD(j, unpack, half)                                                                                      \
	do {                                                                                                      \
		__m512i ab = unpack(half[0], half[1]), cd = unpack(half[2], half[3]);                             \
		sums[2 * (j)] = _mm512_add_pd(sums[2 * (j)], _mm512_castsi512_pd(_mm512_unpacklo_epi32(ab, cd))); \
		sums[2 * (j) + 1] =                                                                               \
			_mm512_add_pd(sums[2 * (j) + 1], _mm512_castsi512_pd(_mm512_unpackhi_epi32(ab, cd)));     \
	} while (0)
	ADD(0, _mm512_unpacklo_epi16, low);
	ADD(1, _mm512_unpackhi_epi16, low);
	ADD(2, _mm512_unpacklo_epi16, high);
	ADD(3, _mm512_unpackhi_epi16, high);
#undef ADD
}

static void store_f32(const __m512 sums[4], float *out)
{
	_Alignas(64) float lanes[16];
	for (size_t j = 0; j < 4; j++) {
		_mm512_store_ps(lanes, sums[j]);
		for (size_t i = 0; i < 16; i++)
			out[i / 4 * 16 + j * 4 + i % 4] = lanes[i];
	}
}

static void store_f64(const __m512d sums[8], double *out)
{
	_Alignas(64) double lanes[8];
	for (size_t j = 0; j < 8; j++) {
		_mm512_store_pd(lanes, sums[j]);
		for (size_t i = 0; i < 8; i++)
			out[i / 2 * 16 + j * 2 + i % 2] = lanes[i];
	}
}

// Sums a forest of which EXITS(tree) are the exits; `entries` is known to the compiler.
#define SUM_TREES(p, trees, entries, EXITS, start, out)                                                     \
	do {                                                                                                \
		const uint8_t *planes = (p)->planes.bytes;                                                  \
		if ((p)->planes.single) {                                                                   \
			__m512 total[4];                                                                    \
			for (int i = 0; i < 4; i++)                                                         \
				total[i] = _mm512_set1_ps((float)(start));                                  \
			for (size_t tree = 0; tree < (trees); tree++, planes += (entries) * sizeof(float))  \
				add_f32(planes, entries, EXITS, total);                                     \
			store_f32(total, out);                                                              \
		} else {                                                                                    \
			__m512d total[8];                                                                   \
			for (int i = 0; i < 8; i++)                                                         \
				total[i] = _mm512_set1_pd(start);                                           \
			for (size_t tree = 0; tree < (trees); tree++, planes += (entries) * sizeof(double)) \
				add_f64(planes, entries, EXITS, total);                                     \
			store_f64(total, out);                                                              \
		}                                                                                           \
	} while (0)

void ms_avx512_tiles_sum(const struct forest_plan *p, size_t trees, const uint8_t *ranks, double start, void *sums)
{
	const struct plan_tiles *t = &p->tiles;
	if (t->levels == 6)
		SUM_TREES(p, trees, 64, tile_exits(t, 6, tree, ranks), start, sums);
	else if (t->levels == 5)
		SUM_TREES(p, trees, 32, tile_exits(t, 5, tree, ranks), start, sums);
	else
		SUM_TREES(p, trees, 16, tile_exits(t, 4, tree, ranks), start, sums);
}

void ms_avx512_bits_sum(const struct forest_plan *p, size_t trees, const uint8_t *ranks, double start, void *sums)
{
	if (p->planes.entries == 32)
		SUM_TREES(p, trees, 32, (__m512i)bits_exits(&p->bits, tree, ranks), start, sums);
	else
		SUM_TREES(p, trees, 64, (__m512i)bits_exits(&p->bits, tree, ranks), start, sums);
}

void ms_avx512_oblivious_sum(const struct forest_plan *p, size_t trees, const uint8_t *ranks, double start, void *sums)
{
	const struct plan_oblivious *o = &p->oblivious;
	if (p->planes.entries == 64)
		SUM_TREES(p, trees, 64, (__m512i)oblivious_bits(o, tree, 0, 6, ranks), start, sums);
	else if (p->planes.entries == 32)
		SUM_TREES(p, trees, 32, (__m512i)oblivious_bits(o, tree, 0, 5, ranks), start, sums);
	else
		SUM_TREES(p, trees, 16, (__m512i)oblivious_bits(o, tree, 0, 4, ranks), start, sums);
}
