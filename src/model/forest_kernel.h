// SPDX-License-Identifier: Apache-2.0
// The walk over nodes, written once for all types of nodes: forest_walk.c includes this file with KERNEL(name),
// NODE, SCALAR and HOLDS(value, node) defined. No include guard, for that reason.

static inline __attribute__((always_inline)) const NODE *KERNEL(step)(const NODE *n, const SCALAR *v)
{
	return n + n->child + HOLDS(v[n->column], n);
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

// Walks the trees `from` to `to` - 1 of one block, in the order of the walk, where depths ascend; places[i] is the leaf
// that tree `first` + i ends in.
static void KERNEL(walk_some)(const struct forest *f, const NODE *nodes, size_t first, size_t from, size_t to,
			      const SCALAR *v, uint32_t *places)
{
	const uint32_t *order = f->walk_order + first, *roots = f->walk_roots + first;
	for (size_t at = from, n; at < to; at += n) {
		n = MS_MIN(to - at, 8);
		uint32_t depth = f->trees[first + order[at + n - 1]].depth; // the last is the deepest
		KERNEL(walk8)(nodes, roots + at, order + at, n, depth, v, places);
	}
}

// One tree, PLAN_ROWS rows of `stride` values, eight at once; leaves[r] is where row r ends.
static inline __attribute__((always_inline)) void KERNEL(walk_rows)(const NODE *nodes, const struct forest_tree *t,
								    const SCALAR *v, size_t stride, uint32_t *leaves)
{
	// clang-format off
#define EACH(DO) DO(a, 0) DO(b, 1) DO(c, 2) DO(d, 3) DO(e, 4) DO(g, 5) DO(h, 6) DO(i, 7)
	// clang-format on
#define START(n, k) const NODE *n = nodes + t->root;
#define STEP(n, k) n = n + n->child + HOLDS(v[(k)*stride + n->column], n);
#define OPEN(n, k) | n->child
#define END(n, k) leaves[k] = (uint32_t)(n - nodes);
	for (size_t r = 0; r < PLAN_ROWS; r += 8, v += 8 * stride, leaves += 8) {
		EACH(START)
		for (uint32_t depth = t->depth; depth > 0;) {
			uint32_t steps = MS_MIN(depth, STEPS_BETWEEN_CHECKS);
			depth -= steps;
			do {
				EACH(STEP)
			} while (--steps > 0);
			if (depth > 0 && (0 EACH(OPEN)) == 0)
				break;
		}
		EACH(END)
	}
#undef EACH
#undef START
#undef STEP
#undef OPEN
#undef END
}
