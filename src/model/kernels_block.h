// SPDX-License-Identifier: Apache-2.0
// Kernels for blocks of rows, one row a byte of a vector, written once in the compiler's own vectors: each file of
// kernels includes this one with BLOCK_VECTOR, the bytes of its vectors, BLOCK_NAME(name)
// and BLOCK_LINKAGE defined. No include guard, for that reason.

typedef uint8_t block_bytes __attribute__((vector_size(BLOCK_VECTOR), aligned(1), may_alias));

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

// --- One tree, BLOCK_VECTOR rows: the number of each row's leaf in the tree ------------------------------

// Groups of eight leaves from the last to the first: the first that has a leaf left has the exit.
static inline __attribute__((always_inline)) block_bytes bits_exits(const struct plan_bits *b, size_t tree,
								    const uint8_t *ranks)
{
	const uint32_t *first_test = b->first_test + tree * (b->leaf_slots / 8);
	block_bytes exit = {0};
	for (uint32_t g = b->group_count[tree]; g-- > 0;) {
		block_bytes stay = ~(block_bytes){0};
		const struct plan_bit_test *end = b->tests + first_test[g + 1];
		for (const struct plan_bit_test *t = b->tests + first_test[g]; t < end; t++)
			stay &= ~block_holds(ranks, t->column, t->cut) | t->keep;
		block_bytes any = (block_bytes)(stay != 0);
		exit = (any & (block_lowest(stay) | (uint8_t)(8 * g))) | (~any & exit);
	}
	return exit;
}

// Eight tests of an oblivious tree, from the test `half` * 8 on.
static inline __attribute__((always_inline)) block_bytes oblivious_bits(const struct plan_oblivious *o, size_t tree,
									uint32_t half, uint32_t depth,
									const uint8_t *ranks)
{
	const uint32_t per_vector = 64 / o->width;
	const size_t at = tree % per_vector * o->width + half * 8;
	const uint8_t *tests = o->tests + tree / per_vector * 128 + at;
	block_bytes bits = {0};
	for (uint32_t d = 0; d < depth; d++)
		bits |= block_holds(ranks, tests[d], tests[64 + d]) & (uint8_t)(1u << d);
	return bits ^ (uint8_t)(o->invert[tree / per_vector] >> at);
}

// --- Blocks --------------------------------------------------------------------------------------------

BLOCK_LINKAGE void BLOCK_NAME(bits_block)(const struct forest_plan *p, size_t first, size_t count, const uint8_t *ranks,
					  uint32_t *leaves)
{
	for (size_t i = 0; i < count; i++)
		for (size_t part = 0; part < PLAN_ROWS; part += BLOCK_VECTOR, leaves += BLOCK_VECTOR) {
			block_bytes exit = bits_exits(&p->bits, first + i, ranks + part);
			for (size_t r = 0; r < BLOCK_VECTOR; r++)
				leaves[r] = (uint32_t)(first + i) * p->bits.leaf_slots + exit[r];
		}
}

BLOCK_LINKAGE void BLOCK_NAME(oblivious_block)(const struct forest_plan *p, size_t first, size_t count,
					       const uint8_t *ranks, uint32_t *leaves)
{
	const struct plan_oblivious *o = &p->oblivious;
	for (size_t i = 0; i < count; i++) {
		const uint32_t base = o->first_leaf[first + i];
		for (size_t part = 0; part < PLAN_ROWS; part += BLOCK_VECTOR, leaves += BLOCK_VECTOR) {
			block_bytes low = oblivious_bits(o, first + i, 0, 8, ranks + part), high = {0};
			if (o->width > 8)
				high = oblivious_bits(o, first + i, 1, 8, ranks + part);
			for (size_t r = 0; r < BLOCK_VECTOR; r++)
				leaves[r] = base + (low[r] | (uint32_t)high[r] << 8) * o->leaf_width;
		}
	}
}
