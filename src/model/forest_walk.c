// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "model/walk.h"

#define STEPS_BETWEEN_CHECKS 8 // levels walked before asking whether all trees have ended

#define KERNEL(name) name##_f32
#define NODE struct node_f32
#define SCALAR float
#define HOLDS(value, node) ((value) <= (node)->threshold)
#include "model/forest_kernel.h"
#undef KERNEL
#undef NODE
#undef SCALAR

#define KERNEL(name) name##_f64
#define NODE struct node_f64
#define SCALAR double
#include "model/forest_kernel.h"
#undef KERNEL
#undef NODE
#undef SCALAR
#undef HOLDS

#define KERNEL(name) name##_byte
#define NODE struct node_byte
#define SCALAR uint8_t
#define HOLDS(value, node) ((value) < (node)->cut)
#include "model/forest_kernel.h"
#undef KERNEL
#undef NODE
#undef SCALAR

#define KERNEL(name) name##_word
#define NODE struct node_word
#define SCALAR uint16_t
#include "model/forest_kernel.h"

// --- Rows ----------------------------------------------------------------------------------------------

static uint32_t category_code(enum forest_category_rule rule, double x)
{
	if (isnan(x))
		return FOREST_CATEGORY_MISSING;
	switch (rule) {
	case FOREST_CATEGORY_LIGHTGBM:
		return x > -1 && x < 0x1p31 ? (uint32_t)(int32_t)x : FOREST_CATEGORY_OUTSIDE;
	case FOREST_CATEGORY_XGBOOST:
		x = (double)(float)x;
		return x >= 0 && x < 0x1p24 ? (uint32_t)x : FOREST_CATEGORY_OUTSIDE;
	}
	MS_UNREACHABLE();
}

static double source_value(const struct forest *f, const double *row, const double *computed, uint32_t source)
{
	return MS_LIKELY(source < f->params.feature_count) ? row[source] : computed[source - f->params.feature_count];
}

static inline __attribute__((always_inline)) double form_value(double x, int form)
{
	if (form >= FOREST_ZERO_AS_NAN && fabs(x) <= (double)FOREST_ZERO_THRESHOLD)
		x = NAN;
	return form == FOREST_NEGATED || form == FOREST_ZERO_AS_NAN_NEGATED ? -x : x;
}

static void prepare_f32(const struct forest *f, const double *row, const double *computed, float *v)
{
	size_t at = 1;
	v[0] = NAN;
	for (int form = 0; form < FOREST_FORM_COUNT; form++)
		for (; at < f->form_end[form]; at++)
			v[at] = (float)form_value(source_value(f, row, computed, f->column_source[at]), form);
}

static void prepare_f64(const struct forest *f, const double *row, const double *computed, double *v)
{
	const bool single = f->params.input_single;
	size_t at = 1;
	v[0] = NAN;
	for (int form = 0; form < FOREST_FORM_COUNT; form++)
		for (; at < f->form_end[form]; at++) {
			double x = form_value(source_value(f, row, computed, f->column_source[at]), form);
			v[at] = single ? (double)(float)x : x;
		}
}

// What the row does not hold itself: computed columns and codes.
static void prepare_derived(const struct forest *f, const double *row, double *computed, uint32_t *categories)
{
	const struct forest_params *p = &f->params;
	if (p->computed_count > 0)
		p->compute(p->compute_context, row, computed);
	for (size_t i = 0; i < f->category_count; i++)
		categories[i] = category_code(p->category_rule, source_value(f, row, computed, f->category_source[i]));
}

void ms_walk_prepare(const struct forest *f, const double *row, double *computed, void *columns, uint32_t *categories)
{
	prepare_derived(f, row, computed, categories);
	if (f->wide || f->oblivious)
		prepare_f64(f, row, computed, columns);
	else
		prepare_f32(f, row, computed, columns);
}

void ms_forest_columns(const struct forest *f, const double *row, double *computed, double *columns,
		       uint32_t *categories)
{
	prepare_derived(f, row, computed, categories);
	prepare_f64(f, row, computed, columns);
}

// --- Trees ---------------------------------------------------------------------------------------------

// A tree with set tests, which need a branch: one node after the other.
static uint32_t walk_sets_f32(const struct forest *f, uint32_t root, const float *v, const uint32_t *categories)
{
	const struct node_f32 *n = f->nodes_f32 + root;
	while (n->child != 0) {
		if (n->column == FOREST_SET_COLUMN)
			n += n->child + ms_forest_in_set(f, &f->sets[n->index], categories[f->sets[n->index].category]);
		else
			n = step_f32(n, v);
	}
	return (uint32_t)(n - f->nodes_f32);
}

static uint32_t walk_sets_f64(const struct forest *f, uint32_t root, const double *v, const uint32_t *categories)
{
	const struct node_f64 *n = f->nodes_f64 + root;
	while (n->child != 0) {
		if (n->column == FOREST_SET_COLUMN_WIDE)
			n += n->child + ms_forest_in_set(f, &f->sets[n->index], categories[f->sets[n->index].category]);
		else
			n = step_f64(n, v);
	}
	return (uint32_t)(n - f->nodes_f64);
}

static uint32_t walk_oblivious(const struct forest *f, const struct forest_tree *t, const double *v)
{
	const struct forest_test *tests = f->tests + t->root;
	uint32_t leaf = 0;
	for (uint32_t d = 0; d < t->depth; d++)
		leaf |= (uint32_t)((v[tests[d].column] <= tests[d].threshold) ^ tests[d].invert) << d;
	uint32_t width = f->params.vector_leaves ? (uint32_t)f->params.group_count : 1;
	return (uint32_t)t->first_leaf + leaf * width;
}

void ms_walk_block(const struct forest *f, size_t first, size_t count, const void *columns, const uint32_t *categories,
		   uint32_t *places)
{
	if (f->oblivious) {
		for (size_t i = 0; i < count; i++)
			places[i] = walk_oblivious(f, &f->trees[first + i], columns);
		return;
	}
	const uint32_t *order = f->walk_order + first, *roots = f->walk_roots + first;
	const size_t all = MS_MIN(f->tree_count - first, FOREST_BLOCK), plain = f->walk_plain[first / FOREST_BLOCK];
	if (f->wide)
		walk_some_f64(f, f->nodes_f64, first, 0, plain, columns, places);
	else
		walk_some_f32(f, f->nodes_f32, first, 0, plain, columns, places);
	for (size_t at = plain; at < all; at++)
		places[order[at]] = f->wide ? walk_sets_f64(f, roots[at], columns, categories)
					    : walk_sets_f32(f, roots[at], columns, categories);
}

void ms_walk_ranks(const struct forest *f, size_t first, const void *ranks, uint32_t *places)
{
	const struct forest_plan *p = f->plan;
	const size_t all = MS_MIN(f->tree_count - first, FOREST_BLOCK), plain = f->walk_plain[first / FOREST_BLOCK];
	const size_t ends[] = {0, plain, all}; // trees with set tests have an order of depths of their own
	for (size_t i = 0; i < 2; i++) {
		if (p->nodes_word != NULL)
			walk_some_word(f, p->nodes_word, first, ends[i], ends[i + 1], ranks, places);
		else
			walk_some_byte(f, p->nodes_byte, first, ends[i], ends[i + 1], ranks, places);
	}
}

void ms_walk_block_bytes(const struct forest_plan *p, size_t first, size_t count, const uint8_t *ranks,
			 uint32_t *leaves)
{
	const struct forest_tree *t = p->trees + first;
	for (size_t i = 0; i < count; i++, t++, leaves += PLAN_ROWS) {
		if (p->rank_stride == 64) // known to the compiler, it is part of each address
			walk_rows_byte(p->nodes_byte, t, ranks, 64, leaves);
		else
			walk_rows_byte(p->nodes_byte, t, ranks, p->rank_stride, leaves);
	}
}

void ms_walk_block_words(const struct forest_plan *p, size_t first, size_t count, const uint8_t *ranks,
			 uint32_t *leaves)
{
	const uint16_t *words = (const uint16_t *)(const void *)ranks;
	for (size_t i = 0; i < count; i++, leaves += PLAN_ROWS)
		walk_rows_word(p->nodes_word, p->trees + first + i, words, p->rank_stride / sizeof(*words), leaves);
}
