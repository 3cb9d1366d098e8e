// SPDX-License-Identifier: Apache-2.0
// Ranks of a row, by below_f32() and below_f64() of the file that includes this one: the cuts of one group that are below a
// value, all of them for NaN. No include guard, for that reason.

// Up to 255 cuts: which of the sixteen groups, then which cut of the group.
#define DEFINE_RANK(name, type, below)                                                                 \
	static inline uint32_t name(const type *pivots, const type *cuts, uint32_t last_group, type x) \
	{                                                                                              \
		uint32_t group = below(pivots, x);                                                     \
		group = MS_MIN(group, last_group);                                                     \
		return group * RANK_GROUP + below(cuts + group * RANK_GROUP, x);                       \
	}
DEFINE_RANK(rank_f32, float, below_f32)
DEFINE_RANK(rank_f64, double, below_f64)
#undef DEFINE_RANK

// More: halves until one group is left.

#define DEFINE_RANK_LONG(name, type, below)                                                       \
	static uint32_t name(const type *cuts, uint32_t count, type x)                            \
	{                                                                                         \
		const type *group = cuts;                                                         \
		for (uint32_t n = (count + RANK_GROUP - 1) / RANK_GROUP; n > 1;) {                \
			uint32_t half = n / 2;                                                    \
			const type *last = group + half * RANK_GROUP - 1; /* of the first half */ \
			group = *last >= x ? group : group + half * RANK_GROUP;                   \
			n -= half;                                                                \
		}                                                                                 \
		uint32_t rank = (uint32_t)(group - cuts) + below(group, x);                       \
		return MS_MIN(rank, count); /* NaN is below no padding */                         \
	}
DEFINE_RANK_LONG(rank_long_f32, float, below_f32)
DEFINE_RANK_LONG(rank_long_f64, double, below_f64)
#undef DEFINE_RANK_LONG

static uint32_t rank_column_f32(const struct forest_ranks *r, const struct rank_column *c, float x)
{
	const float *cuts = r->cuts_f32 + c->first_cut;
	return c->cut_count <= RANK_BYTE_CUTS
		       ? rank_f32(r->pivots_f32 + c->first_pivot, cuts, (c->cut_count - 1) / RANK_GROUP, x)
		       : rank_long_f32(cuts, c->cut_count, x);
}

static uint32_t rank_column_f64(const struct forest_ranks *r, const struct rank_column *c, double x)
{
	const double *cuts = r->cuts_f64 + c->first_cut;
	return c->cut_count <= RANK_BYTE_CUTS
		       ? rank_f64(r->pivots_f64 + c->first_pivot, cuts, (c->cut_count - 1) / RANK_GROUP, x)
		       : rank_long_f64(cuts, c->cut_count, x);
}

static void rank_bytes(const struct forest_ranks *r, const void *columns, size_t step, uint8_t *out)
{
	const float *f32 = columns;
	const double *f64 = columns;
	for (size_t i = 0; i < r->column_count; i++) {
		const struct rank_column *c = &r->columns[i];
		uint32_t rank = r->cuts_f32 != NULL ? rank_column_f32(r, c, f32[c->source])
						    : rank_column_f64(r, c, f64[c->source]);
		if (MS_LIKELY(c->cut_count <= RANK_BYTE_CUTS))
			out[c->first_byte * step] = (uint8_t)MS_MIN(rank, UINT8_MAX);
		else
			ms_ranks_put_bytes(c, rank, step, out);
	}
}
