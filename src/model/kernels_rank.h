// SPDX-License-Identifier: Apache-2.0
// Ranks of a row by the two steps rank_f32() and rank_f64() of the file that includes this one: which of sixteen groups of
// cuts, then which cut of the group. No include guard, for that reason.

static void rank_bytes(const struct forest_ranks *r, const void *columns, size_t step, uint8_t *out)
{
	if (!r->pivots) {
		ms_ranks_bytes(r, columns, step, out);
		return;
	}
	const float *f32 = columns;
	const double *f64 = columns;
	for (size_t i = 0; i < r->column_count; i++) {
		const struct rank_column *c = &r->columns[i];
		uint32_t last_group = (c->cut_count - 1) / RANK_GROUP;
		uint32_t rank = r->cuts_f32 != NULL ? rank_f32(r->pivots_f32 + c->first_pivot,
							       r->cuts_f32 + c->first_cut, last_group, f32[c->source])
						    : rank_f64(r->pivots_f64 + c->first_pivot,
							       r->cuts_f64 + c->first_cut, last_group, f64[c->source]);
		out[c->first_byte * step] = (uint8_t)MS_MIN(rank, UINT8_MAX);
	}
}
