// SPDX-License-Identifier: Apache-2.0
// Kernels for blocks of rows, one row a byte of a vector, written once in the compiler's own vectors: each file of
// kernels includes this one with BLOCK_VECTOR, the bytes of its vectors, defined. No include guard, for that reason.

typedef uint8_t block_bytes __attribute__((vector_size(BLOCK_VECTOR), aligned(1), may_alias));
#define BLOCK_PARTS (PLAN_ROWS / BLOCK_VECTOR)

static inline __attribute__((always_inline)) block_bytes block_load(const uint8_t *p)
{
	return *(const block_bytes *)p;
}

// All bits of the rows in which the test holds.
static inline __attribute__((always_inline)) block_bytes block_holds(const uint8_t *ranks, uint8_t column, uint8_t cut)
{
	return (block_bytes)(block_load(ranks + (size_t)column * PLAN_ROWS) < cut);
}

// The lowest bit that is set, 0 to 7. Three comparisons: not every machine counts bits of bytes.
static inline __attribute__((always_inline)) block_bytes block_lowest(block_bytes x)
{
	block_bytes low = x & -x;
	return (((block_bytes)((low & 0xf0) != 0)) & 4) | (((block_bytes)((low & 0xcc) != 0)) & 2) |
	       (((block_bytes)((low & 0xaa) != 0)) & 1);
}

static inline __attribute__((always_inline)) void block_number(const uint8_t *index, uint32_t base, uint32_t width,
							       uint32_t *leaves)
{
	for (size_t r = 0; r < PLAN_ROWS; r++)
		leaves[r] = base + index[r] * width;
}

// Groups of eight leaves from the last to the first: the first that has a leaf left has the exit.
static void bits_block(const struct forest_plan *p, size_t first, size_t count, const uint8_t *ranks, uint32_t *leaves)
{
	const struct plan_bits *b = &p->bits;
	const uint32_t groups = b->leaf_slots / 8;
	for (size_t i = 0; i < count; i++, leaves += PLAN_ROWS) {
		const uint32_t *first_test = b->first_test + (first + i) * groups;
		_Alignas(64) uint8_t index[PLAN_ROWS];
		for (size_t part = 0; part < BLOCK_PARTS; part++) {
			const uint8_t *part_ranks = ranks + part * BLOCK_VECTOR;
			block_bytes exit = {0};
			for (uint32_t g = b->group_count[first + i]; g-- > 0;) {
				block_bytes stay = ~(block_bytes){0};
				const struct plan_bit_test *end = b->tests + first_test[g + 1];
				for (const struct plan_bit_test *t = b->tests + first_test[g]; t < end; t++)
					stay &= ~block_holds(part_ranks, t->column, t->cut) | t->keep;
				block_bytes any = (block_bytes)(stay != 0);
				exit = (any & (block_lowest(stay) | (uint8_t)(8 * g))) | (~any & exit);
			}
			*(block_bytes *)(index + part * BLOCK_VECTOR) = exit;
		}
		block_number(index, (uint32_t)(first + i) * b->leaf_slots, 1, leaves);
	}
}

static void oblivious_block(const struct forest_plan *p, size_t first, size_t count, const uint8_t *ranks,
			    uint32_t *leaves)
{
	const struct plan_oblivious *o = &p->oblivious;
	const uint32_t width = o->width, per_vector = 64 / width;
	for (size_t i = 0; i < count; i++, leaves += PLAN_ROWS) {
		const size_t at = (first + i) % per_vector * width;
		const uint8_t *tests = o->tests + (first + i) / per_vector * 128 + at;
		const uint64_t invert = o->invert[(first + i) / per_vector] >> at;
		_Alignas(64) uint8_t index[2][PLAN_ROWS];
		for (uint32_t half = 0; half < width / 8; half++)
			for (size_t part = 0; part < BLOCK_PARTS; part++) {
				block_bytes bits = {0};
				for (uint32_t d = 0; d < 8; d++)
					bits |= block_holds(ranks + part * BLOCK_VECTOR, tests[half * 8 + d],
							    tests[64 + half * 8 + d]) &
						(uint8_t)(1u << d);
				bits ^= (uint8_t)(invert >> (half * 8));
				*(block_bytes *)(index[half] + part * BLOCK_VECTOR) = bits;
			}
		if (width == 8)
			block_number(index[0], o->first_leaf[first + i], o->leaf_width, leaves);
		else
			for (size_t r = 0; r < PLAN_ROWS; r++)
				leaves[r] = o->first_leaf[first + i] +
					    (index[0][r] | (uint32_t)index[1][r] << 8) * o->leaf_width;
	}
}

#undef BLOCK_PARTS
