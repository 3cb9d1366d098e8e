// SPDX-License-Identifier: Apache-2.0
// The walk over nodes, written once for both node types: forest_walk.c includes this file with KERNEL(name),
// NODE, SCALAR and SET_COLUMN defined. No include guard, for that reason.

// Fills the columns of one row: column 0 is NaN, then the forms in their order.
static void KERNEL(prepare)(const struct forest *f, const double *row, const double *computed, SCALAR *v)
{
	const uint32_t *source = f->column_source;
	const size_t features = f->params.feature_count;
	const bool single = f->params.input_single;
	size_t at = 1;
	v[0] = (SCALAR)NAN;
	for (int form = 0; form < FOREST_FORM_COUNT; form++) {
		for (; at < f->form_end[form]; at++) {
			double x = source[at] < features ? row[source[at]] : computed[source[at] - features];
			if (form >= FOREST_ZERO_AS_NAN && fabs(x) <= (double)FOREST_ZERO_THRESHOLD)
				x = NAN;
			if (form == FOREST_NEGATED || form == FOREST_ZERO_AS_NAN_NEGATED)
				x = -x;
			v[at] = single ? (SCALAR)(float)x : (SCALAR)x;
		}
	}
}

static inline __attribute__((always_inline)) const NODE *KERNEL(step)(const NODE *n, const SCALAR *v)
{
	return n + n->child + (v[n->column] <= n->threshold);
}

// Up to eight trees at once: their steps do not depend on each other, so the machine overlaps them. A tree that
// ends early stays on its leaf; missing trees repeat the last. `depth` is the largest of them.
static void KERNEL(walk8)(const NODE *nodes, const uint32_t *roots, const uint32_t *order, size_t count, uint32_t depth,
			  const SCALAR *v, uint32_t *places)
{
	const size_t last = count - 1;
	// clang-format off
#define EACH(DO) \
	DO(a, 0) DO(b, MS_MIN(last, 1)) DO(c, MS_MIN(last, 2)) DO(d, MS_MIN(last, 3)) \
	DO(e, MS_MIN(last, 4)) DO(g, MS_MIN(last, 5)) DO(h, MS_MIN(last, 6)) DO(i, MS_MIN(last, 7))
	// clang-format on
#define START(n, k) const NODE *n = nodes + roots[k];
#define STEP(n, k) n = KERNEL(step)(n, v);
#define OPEN(n, k) | n->child
#define END(n, k) places[order[k]] = (uint32_t)(n - nodes);
	EACH(START)
	while (depth > 0) {
		uint32_t steps = MS_MIN(depth, STEPS_BETWEEN_CHECKS);
		depth -= steps;
		do {
			EACH(STEP)
		} while (--steps > 0);
		if (depth > 0 && (0 EACH(OPEN)) == 0)
			break;
	}
	EACH(END)
#undef EACH
#undef START
#undef STEP
#undef OPEN
#undef END
}

static uint32_t KERNEL(walk_sets)(const struct forest *f, const NODE *nodes, uint32_t root, const SCALAR *v,
				  const uint32_t *categories)
{
	const NODE *n = nodes + root;
	while (n->child != 0) {
		if (n->column == SET_COLUMN)
			n += n->child + in_set(f, &f->sets[n->index], categories);
		else
			n = KERNEL(step)(n, v);
	}
	return (uint32_t)(n - nodes);
}

// Walks the trees of one block; places[i] is the leaf that tree `first` + i ends in.
static void KERNEL(walk_block)(const struct forest *f, const NODE *nodes, size_t first, size_t count, const SCALAR *v,
			       const uint32_t *categories, uint32_t *places)
{
	const uint32_t *order = f->walk_order + first, *roots = f->walk_roots + first;
	const size_t plain = f->walk_plain[first / FOREST_BLOCK];
	size_t at = 0;
	for (size_t n; at < plain; at += n) {
		n = MS_MIN(plain - at, 8);
		uint32_t depth = f->trees[first + order[at + n - 1]].depth; // the last is the deepest
		KERNEL(walk8)(nodes, roots + at, order + at, n, depth, v, places);
	}
	for (; at < count; at++)
		places[order[at]] = KERNEL(walk_sets)(f, nodes, roots[at], v, categories);
}
