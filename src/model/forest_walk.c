// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "model/forest.h"

#define STEPS_BETWEEN_CHECKS 8         // levels walked before asking whether all trees have ended
#define CHUNK_BYTES ((size_t)32 << 10) // prepared rows that are walked together stay in the first cache
#define CHUNK_ROWS_MAX 64
#define CATEGORY_OUTSIDE UINT32_MAX
#define CATEGORY_MISSING (UINT32_MAX - 1)

// Members take the second child: 1.
static inline uint32_t in_set(const struct forest *f, const struct forest_set *set, const uint32_t *categories)
{
	uint32_t c = categories[set->category];
	if (MS_LIKELY(c < set->bit_count))
		return f->set_words[set->first_word + c / 32] >> (c % 32) & 1;
	return c == CATEGORY_MISSING && set->missing_in;
}

#define KERNEL(name) name##_f32
#define NODE struct node_f32
#define SCALAR float
#define SET_COLUMN FOREST_SET_COLUMN
#include "model/forest_kernel.h"
#undef KERNEL
#undef NODE
#undef SCALAR
#undef SET_COLUMN

#define KERNEL(name) name##_f64
#define NODE struct node_f64
#define SCALAR double
#define SET_COLUMN FOREST_SET_COLUMN_WIDE
#include "model/forest_kernel.h"

// --- Scratch: for each row of a chunk the columns, the categories and the sums ---------------------------

struct layout {
	size_t column_bytes;   // per row
	size_t category_bytes; // per row
	size_t sum_bytes;      // per row
	size_t computed_bytes; // once
	size_t place_bytes;    // once
	size_t chunk_rows;
};

static size_t align16(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

static struct layout layout_of(const struct forest *f)
{
	struct layout l = {
		.column_bytes = align16(f->column_count * (f->wide || f->oblivious ? sizeof(double) : sizeof(float))),
		.category_bytes = align16(f->category_count * sizeof(uint32_t)),
		.sum_bytes = align16(f->params.group_count * sizeof(double)),
		.computed_bytes = align16(f->params.computed_count * sizeof(double)),
		.place_bytes = FOREST_BLOCK * sizeof(uint32_t),
	};
	size_t row = l.column_bytes + l.category_bytes + l.sum_bytes;
	l.chunk_rows = MS_MAX(MS_MIN(CHUNK_BYTES / row, CHUNK_ROWS_MAX), 1);
	return l;
}

size_t ms_forest_scratch_size(const struct forest *f)
{
	struct layout l = layout_of(f);
	return l.computed_bytes + l.place_bytes + l.chunk_rows * (l.column_bytes + l.category_bytes + l.sum_bytes);
}

struct chunk {
	struct layout layout;
	double *computed;
	uint32_t *places; // of one row in one block
	char *columns;
	char *categories;
	char *sums;
};

static struct chunk chunk_in(const struct forest *f, void *scratch)
{
	struct chunk c = {.layout = layout_of(f), .computed = scratch};
	c.places = (uint32_t *)(void *)((char *)scratch + c.layout.computed_bytes);
	c.columns = (char *)scratch + c.layout.computed_bytes + c.layout.place_bytes;
	c.categories = c.columns + c.layout.chunk_rows * c.layout.column_bytes;
	c.sums = c.categories + c.layout.chunk_rows * c.layout.category_bytes;
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

static void *row_sums(const struct chunk *c, size_t row)
{
	return c->sums + row * c->layout.sum_bytes;
}

// --- Rows ----------------------------------------------------------------------------------------------

static uint32_t category_code(enum forest_category_rule rule, double x)
{
	if (isnan(x))
		return CATEGORY_MISSING;
	switch (rule) {
	case FOREST_CATEGORY_LIGHTGBM:
		return x > -1 && x < 0x1p31 ? (uint32_t)(int32_t)x : CATEGORY_OUTSIDE;
	case FOREST_CATEGORY_XGBOOST:
		x = (double)(float)x;
		return x >= 0 && x < 0x1p24 ? (uint32_t)x : CATEGORY_OUTSIDE;
	}
	MS_UNREACHABLE();
}

static void prepare_row(const struct forest *f, const struct chunk *c, const double *row, size_t at)
{
	const struct forest_params *p = &f->params;
	if (p->computed_count > 0)
		p->compute(p->compute_context, row, c->computed);
	if (f->wide || f->oblivious)
		prepare_f64(f, row, c->computed, row_columns(c, at));
	else
		prepare_f32(f, row, c->computed, row_columns(c, at));
	uint32_t *categories = row_categories(c, at);
	for (size_t i = 0; i < f->category_count; i++) {
		uint32_t source = f->category_source[i];
		double x = source < p->feature_count ? row[source] : c->computed[source - p->feature_count];
		categories[i] = category_code(p->category_rule, x);
	}
}

// Place of the leaf's values.
static uint32_t walk_oblivious(const struct forest *f, const struct forest_tree *t, const double *v)
{
	const struct forest_test *tests = f->tests + t->root;
	uint32_t leaf = 0;
	for (uint32_t d = 0; d < t->depth; d++)
		leaf |= (uint32_t)((v[tests[d].column] <= tests[d].threshold) ^ tests[d].invert) << d;
	uint32_t width = f->params.vector_leaves ? (uint32_t)f->params.group_count : 1;
	return (uint32_t)t->first_leaf + leaf * width;
}

// c->places[i]: where tree `first` + i ends; a node, or for oblivious trees the leaf's values.
static void walk_block(const struct forest *f, const struct chunk *c, size_t row, size_t first, size_t count)
{
	uint32_t *places = c->places;
	const void *v = row_columns(c, row);
	const uint32_t *categories = row_categories(c, row);
	if (f->oblivious) {
		for (size_t i = 0; i < count; i++)
			places[i] = walk_oblivious(f, &f->trees[first + i], v);
	} else if (f->wide) {
		walk_block_f64(f, f->nodes_f64, first, count, v, categories, places);
	} else {
		walk_block_f32(f, f->nodes_f32, first, count, v, categories, places);
	}
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

// The common case, without a question per tree: scalar leaves and one sum.
static void sum_one_f32(const struct forest *f, size_t count, const uint32_t *places, float *sum)
{
	float s = *sum;
	for (size_t i = 0; i < count; i++)
		s += f->nodes_f32[places[i]].value;
	*sum = s;
}

static void sum_one_f64(const struct forest *f, size_t count, const uint32_t *places, double *sum)
{
	double s = *sum;
	for (size_t i = 0; i < count; i++)
		s += f->nodes_f64[places[i]].value;
	*sum = s;
}

static void sum_scalars(const struct forest *f, size_t first, size_t count, const uint32_t *places, const double *row,
			void *sums)
{
	float *sums_f32 = sums;
	double *sums_f64 = sums;
	for (size_t i = 0; i < count; i++) {
		const struct forest_tree *t = &f->trees[first + i];
		double value = leaf_value(f, t, places[i], row);
		if (f->params.sum_single)
			sums_f32[t->group] += (float)value;
		else
			sums_f64[t->group] += value;
	}
}

static void sum_vectors(const struct forest *f, size_t count, const uint32_t *places, void *sums)
{
	float *sums_f32 = sums;
	double *sums_f64 = sums;
	for (size_t i = 0; i < count; i++) {
		const double *values = f->values + leaf_index(f, places[i]);
		for (size_t k = 0; k < f->params.group_count; k++) {
			if (f->params.sum_single)
				sums_f32[k] += (float)values[k];
			else
				sums_f64[k] += values[k];
		}
	}
}

static void sum_block(const struct forest *f, size_t first, size_t count, const uint32_t *places, const double *row,
		      void *sums)
{
	bool one = f->params.group_count == 1 && f->leaf == FOREST_LEAF_VALUE && !f->has_linear;
	if (f->params.vector_leaves)
		sum_vectors(f, count, places, sums);
	else if (one && f->wide && !f->params.sum_single)
		sum_one_f64(f, count, places, sums);
	else if (one && !f->wide)
		sum_one_f32(f, count, places, sums);
	else
		sum_scalars(f, first, count, places, row, sums);
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

static void end_sums(const struct forest *f, const void *sums, double *out)
{
	const struct forest_params *p = &f->params;
	for (size_t k = 0; k < p->group_count; k++) {
		double sum = p->sum_single ? (double)((const float *)sums)[k] : ((const double *)sums)[k];
		out[k] = f->identity_end ? sum : p->scale * sum + p->bias[k];
	}
}

void ms_forest_raw(const struct forest *f, const double *rows, size_t row_count, void *scratch, double *out)
{
	const size_t features = f->params.feature_count, groups = f->params.group_count;
	struct chunk c = chunk_in(f, scratch);
	for (size_t done = 0; done < row_count;) {
		size_t n = MS_MIN(row_count - done, c.layout.chunk_rows);
		const double *chunk_rows = rows + done * features;
		for (size_t r = 0; r < n; r++) {
			prepare_row(f, &c, chunk_rows + r * features, r);
			start_sums(f, row_sums(&c, r));
		}
		for (size_t first = 0; first < f->tree_count; first += FOREST_BLOCK) {
			size_t count = MS_MIN(f->tree_count - first, FOREST_BLOCK);
			for (size_t r = 0; r < n; r++) {
				walk_block(f, &c, r, first, count);
				sum_block(f, first, count, c.places, chunk_rows + r * features, row_sums(&c, r));
			}
		}
		for (size_t r = 0; r < n; r++)
			end_sums(f, row_sums(&c, r), out + (done + r) * groups);
		done += n;
	}
}

static double leaf_id(const struct forest *f, const struct forest_tree *t, uint32_t place)
{
	if (!f->oblivious)
		return f->leaf_ids[place];
	size_t width = f->params.vector_leaves ? f->params.group_count : 1;
	return (double)((place - t->first_leaf) / width);
}

void ms_forest_leaves(const struct forest *f, const double *rows, size_t row_count, void *scratch, double *out)
{
	struct chunk c = chunk_in(f, scratch);
	for (size_t r = 0; r < row_count; r++) {
		prepare_row(f, &c, rows + r * f->params.feature_count, 0);
		for (size_t first = 0; first < f->tree_count; first += FOREST_BLOCK) {
			size_t count = MS_MIN(f->tree_count - first, FOREST_BLOCK);
			walk_block(f, &c, 0, first, count);
			for (size_t i = 0; i < count; i++)
				out[r * f->tree_count + first + i] = leaf_id(f, &f->trees[first + i], c.places[i]);
		}
	}
}

void ms_forest_trees(const struct forest *f, const double *rows, size_t row_count, void *scratch, double *out)
{
	struct chunk c = chunk_in(f, scratch);
	const size_t width = f->params.vector_leaves ? f->params.group_count : 1;
	for (size_t r = 0; r < row_count; r++) {
		const double *row = rows + r * f->params.feature_count;
		prepare_row(f, &c, row, 0);
		for (size_t first = 0; first < f->tree_count; first += FOREST_BLOCK) {
			size_t count = MS_MIN(f->tree_count - first, FOREST_BLOCK);
			walk_block(f, &c, 0, first, count);
			for (size_t i = 0; i < count; i++) {
				double *dst = out + (r * f->tree_count + first + i) * width;
				if (f->params.vector_leaves)
					memcpy(dst, f->values + leaf_index(f, c.places[i]), width * sizeof(*dst));
				else
					dst[0] = leaf_value(f, &f->trees[first + i], c.places[i], row);
				for (size_t k = 0; k < width && f->params.scale != 1; k++)
					dst[k] *= f->params.scale;
			}
		}
	}
}

void ms_forest_columns(const struct forest *f, const double *row, double *computed, double *columns,
		       uint32_t *categories)
{
	const struct forest_params *p = &f->params;
	if (p->computed_count > 0)
		p->compute(p->compute_context, row, computed);
	prepare_f64(f, row, computed, columns);
	for (size_t i = 0; i < f->category_count; i++) {
		uint32_t source = f->category_source[i];
		double x = source < p->feature_count ? row[source] : computed[source - p->feature_count];
		categories[i] = category_code(p->category_rule, x);
	}
}

bool ms_forest_in_set(const struct forest *f, const struct forest_set *set, const uint32_t *categories)
{
	return in_set(f, set, categories);
}

// Measured on one current server core (bench/forest_walk.c); good to a factor of two.
uint32_t ms_forest_row_ns(const struct forest *f)
{
	const size_t near_bytes = (size_t)1 << 20; // more than that is far from the core
	size_t bytes = f->node_count * (f->wide ? sizeof(struct node_f64) : sizeof(struct node_f32));
	double step = bytes <= near_bytes ? 1.2 : 1.8;
	double ns = 50 + (double)f->column_count * 1.5 + (double)f->category_count * 2;
	for (size_t i = 0; i < f->tree_count; i++) {
		const struct forest_tree *t = &f->trees[i];
		double steps = f->oblivious ? t->depth : 2 * log2(1 + (double)t->node_count / 2); // unbalanced
		ns += 2 + MS_MIN(steps, t->depth) * (t->has_sets ? 4 : step) + (t->is_linear ? 20 : 0);
	}
	return ns < (double)UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}
