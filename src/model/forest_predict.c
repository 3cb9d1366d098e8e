// SPDX-License-Identifier: Apache-2.0
// From rows to raw scores and leaves: rows are prepared and ranked, the plan's kernel finds the leaves, and their values
// are summed in the order of the library.
#include <math.h>

#include "model/kernels.h"
#include "model/walk.h"

#define CHUNK_BYTES ((size_t)32 << 10) // prepared rows that are walked together stay in the first cache
#define BLOCK_TREES 64                 // trees of which a block of rows keeps the leaves
#define BLOCK_ROWS_MIN 8               // fewer rows go one by one
#define BLOCK_GROUPS_MAX 64            // more sums than that a row would leave the first cache

// --- Scratch -------------------------------------------------------------------------------------------

struct layout {
	size_t column_bytes;
	size_t category_bytes;
	size_t rank_bytes;
	size_t sum_bytes;
	size_t computed_bytes; // once
	size_t leaf_bytes;     // once
	size_t rows;           // of a chunk, each with the bytes above
	bool block;            // chunks of PLAN_ROWS rows in ranks by column, with columns and categories of one row
};

static size_t align64(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

static bool has_block(const struct forest *f)
{
	return f->plan->block != NULL && f->params.group_count <= BLOCK_GROUPS_MAX;
}

static struct layout layout_of(const struct forest *f, bool block)
{
	struct layout l = {
		.column_bytes = align64(f->column_count * (f->wide || f->oblivious ? sizeof(double) : sizeof(float))),
		.category_bytes = align64(f->category_count * sizeof(uint32_t)),
		.rank_bytes = f->plan->rank_stride,
		.sum_bytes = block ? f->params.group_count * sizeof(double)
				   : align64(f->params.group_count * sizeof(double)),
		.computed_bytes = align64(f->params.computed_count * sizeof(double)),
		.leaf_bytes = (FOREST_BLOCK + PLAN_LEAVES_SLACK) * sizeof(uint32_t),
		.block = block,
	};
	if (block) {
		l.leaf_bytes += BLOCK_TREES * PLAN_ROWS * sizeof(uint32_t);
		l.rows = PLAN_ROWS;
		return l;
	}
	size_t row = l.column_bytes + l.category_bytes + l.rank_bytes + l.sum_bytes;
	l.rows = MS_MAX(MS_MIN(CHUNK_BYTES / row, PLAN_ROWS), 1);
	return l;
}

static size_t layout_size(const struct layout *l)
{
	size_t prepared = l->column_bytes + l->category_bytes;
	return l->computed_bytes + l->leaf_bytes + (l->block ? prepared : l->rows * prepared) +
	       l->rows * (l->rank_bytes + l->sum_bytes) + 64;
}

size_t ms_forest_scratch_size(const struct forest *f)
{
	struct layout rows = layout_of(f, false), block = layout_of(f, true);
	size_t size = layout_size(&rows);
	return has_block(f) ? MS_MAX(size, layout_size(&block)) : size;
}

struct chunk {
	struct layout layout;
	double *computed;
	uint32_t *leaves;       // of one row in FOREST_BLOCK trees
	uint32_t *block_leaves; // of a block of rows
	char *columns;
	char *categories;
	uint8_t *ranks;
	char *sums;
};

static struct chunk chunk_in(const struct forest *f, bool block, void *scratch)
{
	struct chunk c = {.layout = layout_of(f, block)};
	const struct layout *l = &c.layout;
	const size_t prepared_rows = block ? 1 : l->rows;
	char *at = (char *)align64((uintptr_t)scratch);
	c.computed = (double *)(void *)at;
	at += l->computed_bytes;
	c.leaves = (uint32_t *)(void *)at;
	c.block_leaves = c.leaves + FOREST_BLOCK + PLAN_LEAVES_SLACK;
	at += l->leaf_bytes;
	c.ranks = (uint8_t *)at;
	at += l->rows * l->rank_bytes;
	c.columns = at;
	at += prepared_rows * l->column_bytes;
	c.categories = at;
	at += prepared_rows * l->category_bytes;
	c.sums = at;
	return c;
}

static void *row_columns(const struct chunk *c, size_t row)
{
	return c->columns + row * c->layout.column_bytes;
}

static uint32_t *row_categories(const struct chunk *c, size_t row)
{
	return (uint32_t *)(void *)(c->categories + row * c->layout.category_bytes);
}

static uint8_t *row_ranks(const struct chunk *c, size_t row)
{
	return c->ranks + row * c->layout.rank_bytes;
}

static void *row_sums(const struct chunk *c, size_t row)
{
	return c->sums + row * c->layout.sum_bytes;
}

// --- Leaves --------------------------------------------------------------------------------------------

static void rank_row(const struct forest *f, const void *columns, const uint32_t *categories, size_t step,
		     uint8_t *ranks)
{
	const struct forest_plan *p = f->plan;
	if (p->words) {
		uint16_t *words = (uint16_t *)(void *)ranks;
		ms_ranks_words(p->ranks, columns, words);
		ms_ranks_set_words(f, p->ranks, categories, words);
		return;
	}
	p->kernels->rank_bytes(p->ranks, columns, step, ranks);
	ms_ranks_set_bytes(f, p->ranks, categories, step, ranks);
}

static void prepare_row(const struct forest *f, const struct chunk *c, const double *row, size_t at)
{
	ms_walk_prepare(f, row, c->computed, row_columns(c, at), row_categories(c, at));
	if (f->plan->single != MODEL_KERNEL_WALK)
		rank_row(f, row_columns(c, at), row_categories(c, at), 1, row_ranks(c, at));
}

// The leaves of one row in the trees first to first + count - 1, by the plan's own numbers.
static void find_leaves(const struct forest *f, const struct chunk *c, size_t row, size_t first, size_t count)
{
	const struct forest_plan *p = f->plan;
	const uint8_t *ranks = row_ranks(c, row);
	if (p->row != NULL) {
		p->row(p, first, count, ranks, c->leaves);
		if (p->single == MODEL_KERNEL_TILES && !p->tiles.whole)
			ms_walk_on_row(p, count, ranks, c->leaves);
	} else if (p->single == MODEL_KERNEL_QUANTISED)
		ms_walk_ranks(f, first, ranks, c->leaves);
	else
		ms_walk_block(f, first, count, row_columns(c, row), row_categories(c, row), c->leaves);
}

// How the numbers of a kernel's leaves are read.
static const struct plan_leaves *leaves_of(const struct forest_plan *p, enum model_kernel kernel)
{
	static const struct plan_leaves places = {0};
	if (kernel == MODEL_KERNEL_TILES && p->tiles.whole)
		return &p->tiles.leaves;
	return kernel == MODEL_KERNEL_BITS ? &p->bits.leaves : &places;
}

// --- Sums ----------------------------------------------------------------------------------------------

static double linear_value(const struct forest *f, const struct forest_linear *leaf, const double *row)
{
	double sum = leaf->constant;
	for (uint32_t i = leaf->first; i < leaf->first + leaf->count; i++) {
		double x = row[f->linear_features[i]];
		if (isnan(x))
			return leaf->fallback;
		if (fabs(x) <= (double)FOREST_ZERO_THRESHOLD)
			x = 0; // as LightGBM reads rows
		sum += f->linear_coefficients[i] * x;
	}
	return sum;
}

static uint64_t leaf_index(const struct forest *f, uint32_t place)
{
	return f->oblivious ? place : f->wide ? f->nodes_f64[place].index : f->nodes_f32[place].index;
}

static double leaf_value(const struct forest *f, const struct forest_tree *t, uint32_t place, const double *row)
{
	if (t->is_linear)
		return linear_value(f, &f->linear[f->nodes_f64[place].index], row);
	if (f->leaf == FOREST_LEAF_INDEX)
		return f->values[leaf_index(f, place)];
	return f->wide ? f->nodes_f64[place].value : (double)f->nodes_f32[place].value;
}

// The common cases, without a question per tree: scalar leaves and one sum.
static void sum_one_f32(const float *values, size_t count, const uint32_t *leaves, float *sum)
{
	float s = *sum;
	for (size_t i = 0; i < count; i++)
		s += values[leaves[i]];
	*sum = s;
}

static void sum_one_f64(const double *values, size_t count, const uint32_t *leaves, double *sum)
{
	double s = *sum;
	for (size_t i = 0; i < count; i++)
		s += values[leaves[i]];
	*sum = s;
}

static void sum_nodes_f32(const struct forest *f, size_t count, const uint32_t *places, float *sum)
{
	float s = *sum;
	for (size_t i = 0; i < count; i++)
		s += f->nodes_f32[places[i]].value;
	*sum = s;
}

static void sum_nodes_f64(const struct forest *f, size_t count, const uint32_t *places, double *sum)
{
	double s = *sum;
	for (size_t i = 0; i < count; i++)
		s += f->nodes_f64[places[i]].value;
	*sum = s;
}

static uint32_t place_of(const struct plan_leaves *l, uint32_t leaf)
{
	return l->places != NULL ? l->places[leaf] : leaf;
}

static void sum_scalars(const struct forest *f, const struct plan_leaves *l, size_t first, size_t count,
			const uint32_t *leaves, const double *row, void *sums)
{
	float *sums_f32 = sums;
	double *sums_f64 = sums;
	for (size_t i = 0; i < count; i++) {
		const struct forest_tree *t = &f->trees[first + i];
		if (l->values_f32 != NULL)
			sums_f32[t->group] += l->values_f32[leaves[i]];
		else if (l->values_f64 != NULL)
			sums_f64[t->group] += l->values_f64[leaves[i]];
		else if (f->params.sum_single)
			sums_f32[t->group] += (float)leaf_value(f, t, place_of(l, leaves[i]), row);
		else
			sums_f64[t->group] += leaf_value(f, t, place_of(l, leaves[i]), row);
	}
}

static void sum_vectors(const struct forest *f, const struct plan_leaves *l, size_t count, const uint32_t *leaves,
			void *sums)
{
	float *sums_f32 = sums;
	double *sums_f64 = sums;
	for (size_t i = 0; i < count; i++) {
		const double *values = f->values + leaf_index(f, place_of(l, leaves[i]));
		for (size_t k = 0; k < f->params.group_count; k++) {
			if (f->params.sum_single)
				sums_f32[k] += (float)values[k];
			else
				sums_f64[k] += values[k];
		}
	}
}

// Adds the leaves of one row in the trees from `first` on to its sums.
static void sum_leaves(const struct forest *f, const struct plan_leaves *l, size_t first, size_t count,
		       const uint32_t *leaves, const double *row, void *sums)
{
	const bool one = f->params.group_count == 1 && !f->has_linear && !f->params.vector_leaves;
	if (f->params.vector_leaves)
		sum_vectors(f, l, count, leaves, sums);
	else if (one && l->values_f32 != NULL)
		sum_one_f32(l->values_f32, count, leaves, sums);
	else if (one && l->values_f64 != NULL)
		sum_one_f64(l->values_f64, count, leaves, sums);
	else if (one && f->oblivious && !f->params.sum_single)
		sum_one_f64(f->values, count, leaves, sums);
	else if (one && l->places == NULL && f->leaf == FOREST_LEAF_VALUE && f->wide && !f->params.sum_single)
		sum_nodes_f64(f, count, leaves, sums);
	else if (one && l->places == NULL && f->leaf == FOREST_LEAF_VALUE && !f->wide)
		sum_nodes_f32(f, count, leaves, sums);
	else
		sum_scalars(f, l, first, count, leaves, row, sums);
}

static void start_sums(const struct forest *f, void *sums)
{
	for (size_t k = 0; k < f->params.group_count; k++) {
		if (f->params.sum_single)
			((float *)sums)[k] = (float)f->params.start[k];
		else
			((double *)sums)[k] = f->params.start[k];
	}
}

static double ended_sum(const struct forest *f, const void *sums, size_t k)
{
	const struct forest_params *p = &f->params;
	double sum = p->sum_single ? (double)((const float *)sums)[k] : ((const double *)sums)[k];
	return f->identity_end ? sum : p->scale * sum + p->bias[k];
}

static void end_sums(const struct forest *f, const void *sums, double *out)
{
	for (size_t k = 0; k < f->params.group_count; k++)
		out[k] = ended_sum(f, sums, k);
}

// --- Rows one by one -----------------------------------------------------------------------------------

static void raw_rows(const struct forest *f, size_t trees, const double *rows, size_t row_count, void *scratch,
		     double *out)
{
	const size_t features = f->params.feature_count, groups = f->params.group_count;
	const struct plan_leaves *l = leaves_of(f->plan, f->plan->single);
	struct chunk c = chunk_in(f, false, scratch);
	for (size_t done = 0; done < row_count;) {
		size_t n = MS_MIN(row_count - done, c.layout.rows);
		const double *chunk_rows = rows + done * features;
		for (size_t r = 0; r < n; r++) {
			prepare_row(f, &c, chunk_rows + r * features, r);
			start_sums(f, row_sums(&c, r));
		}
		for (size_t first = 0; first < trees; first += FOREST_BLOCK) {
			size_t count = MS_MIN(trees - first, FOREST_BLOCK);
			for (size_t r = 0; r < n; r++) {
				find_leaves(f, &c, r, first, count);
				sum_leaves(f, l, first, count, c.leaves, chunk_rows + r * features, row_sums(&c, r));
			}
		}
		for (size_t r = 0; r < n; r++)
			end_sums(f, row_sums(&c, r), out + (done + r) * groups);
		done += n;
	}
}

static bool is_decided(const struct forest *f, const void *sums, double margin)
{
	if (f->params.group_count == 1)
		return 2 * fabs(ended_sum(f, sums, 0)) > margin;
	double best = -INFINITY, second = -INFINITY;
	for (size_t k = 0; k < f->params.group_count; k++) {
		double sum = ended_sum(f, sums, k);
		if (sum > best) {
			second = best;
			best = sum;
		} else if (sum > second) {
			second = sum;
		}
	}
	return best - second > margin;
}

// Adds `count` trees from `first` on, `stop_every` at a time. true: decided after some of them.
static bool sum_until_decided(const struct forest *f, const struct forest_part *part, const struct chunk *c,
			      size_t first, size_t count, const double *row)
{
	const struct plan_leaves *l = leaves_of(f->plan, f->plan->single);
	for (size_t done = 0; done < count;) {
		size_t next = part->stop_every - (first + done) % part->stop_every;
		size_t n = MS_MIN(next, count - done);
		sum_leaves(f, l, first + done, n, c->leaves + done, row, row_sums(c, 0));
		done += n;
		if (n == next && is_decided(f, row_sums(c, 0), part->stop_margin))
			return true;
	}
	return false;
}

static void raw_until_decided(const struct forest *f, const struct forest_part *part, const double *rows,
			      size_t row_count, void *scratch, double *out)
{
	// Kernels that take part of a block find fewer leaves in vain.
	const size_t step = f->plan->row != NULL ? BLOCK_TREES : FOREST_BLOCK;
	struct chunk c = chunk_in(f, false, scratch);
	for (size_t r = 0; r < row_count; r++) {
		const double *row = rows + r * f->params.feature_count;
		bool decided = false;
		prepare_row(f, &c, row, 0);
		start_sums(f, row_sums(&c, 0));
		for (size_t first = 0; first < part->tree_count && !decided; first += step) {
			size_t count = MS_MIN(part->tree_count - first, step);
			find_leaves(f, &c, 0, first, count);
			decided = sum_until_decided(f, part, &c, first, count, row);
		}
		end_sums(f, row_sums(&c, 0), out + r * f->params.group_count);
	}
}

// --- Blocks of rows ------------------------------------------------------------------------------------

static void find_block(const struct forest *f, const struct chunk *c, size_t first, size_t count)
{
	f->plan->block(f->plan, first, count, c->ranks, c->block_leaves);
	if (f->plan->batch == MODEL_KERNEL_TILES && !f->plan->tiles.whole)
		ms_walk_on_block(f->plan, count, c->ranks, c->block_leaves);
}

static void sum_block_f32(const float *values, size_t count, const uint32_t *leaves, float *sums)
{
	for (size_t i = 0; i < count; i++, leaves += PLAN_ROWS)
		for (size_t r = 0; r < PLAN_ROWS; r++)
			sums[r] += values[leaves[r]];
}

static void sum_block_f64(const double *values, size_t count, const uint32_t *leaves, double *sums)
{
	for (size_t i = 0; i < count; i++, leaves += PLAN_ROWS)
		for (size_t r = 0; r < PLAN_ROWS; r++)
			sums[r] += values[leaves[r]];
}

// The sums of a block lie row by row, as f32 or f64 without gaps.
static void sum_block(const struct forest *f, const struct plan_leaves *l, const struct chunk *c, size_t first,
		      size_t count, const double *rows, size_t n)
{
	const bool one = f->params.group_count == 1 && !f->has_linear && !f->params.vector_leaves;
	if (one && l->values_f32 != NULL) {
		sum_block_f32(l->values_f32, count, c->block_leaves, (float *)(void *)c->sums);
		return;
	}
	if (one && (l->values_f64 != NULL || (f->oblivious && !f->params.sum_single))) {
		const double *values = l->values_f64 != NULL ? l->values_f64 : f->values;
		sum_block_f64(values, count, c->block_leaves, (double *)(void *)c->sums);
		return;
	}
	const size_t sum_bytes = f->params.group_count * (f->params.sum_single ? sizeof(float) : sizeof(double));
	for (size_t r = 0; r < n; r++) {
		for (size_t i = 0; i < count; i++)
			c->leaves[i] = c->block_leaves[i * PLAN_ROWS + r];
		sum_leaves(f, l, first, count, c->leaves, rows + r * f->params.feature_count, c->sums + r * sum_bytes);
	}
}

static void prepare_block(const struct forest *f, const struct chunk *c, const double *rows, size_t n)
{
	for (size_t r = 0; r < n; r++) {
		ms_walk_prepare(f, rows + r * f->params.feature_count, c->computed, c->columns, row_categories(c, 0));
		if (f->plan->by_row)
			rank_row(f, c->columns, row_categories(c, 0), 1, row_ranks(c, r));
		else
			rank_row(f, c->columns, row_categories(c, 0), PLAN_ROWS, c->ranks + r);
	}
}

static void raw_block(const struct forest *f, size_t trees, const double *rows, size_t n, struct chunk *c, double *out)
{
	const size_t groups = f->params.group_count;
	const struct plan_leaves *l = leaves_of(f->plan, f->plan->batch);
	const size_t sum_bytes = groups * (f->params.sum_single ? sizeof(float) : sizeof(double));
	prepare_block(f, c, rows, n);
	if (f->plan->sum != NULL) {
		f->plan->sum(f->plan, trees, c->ranks, f->params.start[0], c->sums);
		for (size_t r = 0; r < n; r++)
			end_sums(f, c->sums + r * sum_bytes, out + r * groups);
		return;
	}
	for (size_t r = 0; r < PLAN_ROWS; r++)
		start_sums(f, c->sums + r * sum_bytes);
	for (size_t first = 0; first < trees; first += BLOCK_TREES) {
		size_t count = MS_MIN(trees - first, BLOCK_TREES);
		find_block(f, c, first, count);
		sum_block(f, l, c, first, count, rows, n);
	}
	for (size_t r = 0; r < n; r++)
		end_sums(f, c->sums + r * sum_bytes, out + r * groups);
}

void ms_forest_raw_part(const struct forest *f, const struct forest_part *part, const double *rows, size_t row_count,
			void *scratch, double *out)
{
	const size_t trees = part->tree_count;
	MS_ASSERT(trees <= f->tree_count);
	if (part->stop_margin > 0) {
		raw_until_decided(f, part, rows, row_count, scratch, out);
		return;
	}
	if (row_count < BLOCK_ROWS_MIN || !has_block(f)) {
		raw_rows(f, trees, rows, row_count, scratch, out);
		return;
	}
	struct chunk c = chunk_in(f, true, scratch);
	memset(c.ranks, 0, c.layout.rows * c.layout.rank_bytes); // of rows that are not there, too
	size_t done = 0;
	for (; row_count - done >= BLOCK_ROWS_MIN; done += MS_MIN(row_count - done, PLAN_ROWS))
		raw_block(f, trees, rows + done * f->params.feature_count, MS_MIN(row_count - done, PLAN_ROWS), &c,
			  out + done * f->params.group_count);
	raw_rows(f, trees, rows + done * f->params.feature_count, row_count - done, scratch,
		 out + done * f->params.group_count);
}

void ms_forest_raw(const struct forest *f, const double *rows, size_t row_count, void *scratch, double *out)
{
	ms_forest_raw_part(f, &(struct forest_part){.tree_count = f->tree_count}, rows, row_count, scratch, out);
}

// --- Leaf numbers --------------------------------------------------------------------------------------

static double leaf_id(const struct forest *f, const struct forest_tree *t, uint32_t place)
{
	if (!f->oblivious)
		return f->leaf_ids[place];
	size_t width = f->params.vector_leaves ? f->params.group_count : 1;
	return (double)((place - t->first_leaf) / width);
}

void ms_forest_leaves(const struct forest *f, const double *rows, size_t row_count, void *scratch, double *out)
{
	const struct plan_leaves *l = leaves_of(f->plan, f->plan->single);
	struct chunk c = chunk_in(f, false, scratch);
	for (size_t r = 0; r < row_count; r++) {
		prepare_row(f, &c, rows + r * f->params.feature_count, 0);
		for (size_t first = 0; first < f->tree_count; first += FOREST_BLOCK) {
			size_t count = MS_MIN(f->tree_count - first, FOREST_BLOCK);
			find_leaves(f, &c, 0, first, count);
			for (size_t i = 0; i < count; i++)
				out[r * f->tree_count + first + i] =
					leaf_id(f, &f->trees[first + i], place_of(l, c.leaves[i]));
		}
	}
}

void ms_forest_trees(const struct forest *f, const double *rows, size_t row_count, void *scratch, double *out)
{
	const size_t width = f->params.vector_leaves ? f->params.group_count : 1;
	const struct plan_leaves *l = leaves_of(f->plan, f->plan->single);
	struct chunk c = chunk_in(f, false, scratch);
	for (size_t r = 0; r < row_count; r++) {
		const double *row = rows + r * f->params.feature_count;
		prepare_row(f, &c, row, 0);
		for (size_t first = 0; first < f->tree_count; first += FOREST_BLOCK) {
			size_t count = MS_MIN(f->tree_count - first, FOREST_BLOCK);
			find_leaves(f, &c, 0, first, count);
			for (size_t i = 0; i < count; i++) {
				double *dst = out + (r * f->tree_count + first + i) * width;
				uint32_t place = place_of(l, c.leaves[i]);
				if (f->params.vector_leaves)
					memcpy(dst, f->values + leaf_index(f, place), width * sizeof(*dst));
				else
					dst[0] = leaf_value(f, &f->trees[first + i], place, row);
				for (size_t k = 0; k < width && f->params.scale != 1; k++)
					dst[k] *= f->params.scale;
			}
		}
	}
}

// Measured on one current server core (bench/forest); good to a factor of two.
uint32_t ms_forest_row_ns(const struct forest *f)
{
	const size_t near_bytes = (size_t)1 << 20; // more than that is far from the core
	size_t bytes = f->node_count * (f->wide ? sizeof(struct node_f64) : sizeof(struct node_f32));
	const bool quick = f->plan->single == MODEL_KERNEL_TILES || f->plan->single == MODEL_KERNEL_BITS ||
			   f->plan->single == MODEL_KERNEL_OBLIVIOUS;
	double step = quick ? 0.3 : bytes <= near_bytes ? 1.2 : 1.8;
	const struct forest_ranks *r = f->plan->ranks;
	double ns = 50 + (double)f->column_count * (r != NULL ? 5 : 1.5) + (double)f->category_count * 2;
	if (r != NULL) // each set test of a row, also those that no tree would ask
		ns += (double)(r->word_count - r->column_count) * 1.5;
	for (size_t i = 0; i < f->tree_count; i++) {
		const struct forest_tree *t = &f->trees[i];
		// Unbalanced trees; a chain is walked for long whatever its size says.
		double usual = 2 * log2(1 + (double)t->node_count / 2);
		double steps = f->oblivious ? t->depth : MS_MAX(usual, (double)t->depth / 8);
		ns += 2 + MS_MIN(steps, t->depth) * (t->has_sets && !quick ? 4 : step) + (t->is_linear ? 20 : 0);
	}
	return ns < (double)UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}
