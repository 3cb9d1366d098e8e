// SPDX-License-Identifier: Apache-2.0
#include "model/forest_draw_test.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define SIDE_MEMORY ((size_t)4 << 30)

static void *take(struct arena *a, size_t count, size_t size)
{
	void *p = ms_arena_calloc(a, count, size);
	REQUIRE(p != NULL);
	return p;
}

static bool percent(struct rand *r, uint32_t p)
{
	return ms_rand_below(r, 100) < p;
}

static uint32_t below(struct rand *r, size_t bound)
{
	return (uint32_t)ms_rand_below(r, bound);
}

// --- Numbers -------------------------------------------------------------------------------------------

// The number at a distance from zero, counted in numbers of the type.
static double at_order_f32(int64_t order)
{
	uint32_t bits = order < 0 ? (uint32_t)-order | (uint32_t)1 << 31 : (uint32_t)order;
	float x;
	memcpy(&x, &bits, sizeof(x));
	return (double)x;
}

static double at_order_f64(int64_t order)
{
	uint64_t bits = order < 0 ? (uint64_t)-order | (uint64_t)1 << 63 : (uint64_t)order;
	double x;
	memcpy(&x, &bits, sizeof(x));
	return x;
}

static int64_t order_f32(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof(bits));
	return bits >> 31 != 0 ? -(int64_t)(bits & INT32_MAX) : (int64_t)bits;
}

static int64_t order_f64(double x)
{
	int64_t bits;
	memcpy(&bits, &x, sizeof(bits));
	return bits < 0 ? -(bits & INT64_MAX) : bits;
}

static double special_value(struct rand *r)
{
	const double tiny = (double)FOREST_ZERO_THRESHOLD;
	const double values[] = {
		NAN,
		INFINITY,
		-INFINITY,
		0.0,
		-0.0,
		0x1p-149,
		-0x1p-149,
		0x1p-1074,
		-0x1p-1074,
		0x1p-126,
		0x1.fffffcp-127,
		tiny,
		-tiny,
		1e-35,
		-1e-35,
		1.0,
		-1.0,
		FLT_MAX,
		-FLT_MAX,
		DBL_MAX,
		-DBL_MAX,
		0x1.ffffffp127 /* rounds to infinity */,
		-0x1.ffffffp127,
		0x1p24,
		0x1p31,
		0x1p32,
		0x1p-150,
		0x1.000001p-150,
	};
	double x = values[below(r, MS_ARRAY_LEN(values))];
	switch (below(r, 8)) {
	case 0:
		return nextafter(x, INFINITY);
	case 1:
		return nextafter(x, -INFINITY);
	case 2:
		return (double)nextafterf((float)x, INFINITY);
	case 3:
		return (double)nextafterf((float)x, -INFINITY);
	default:
		return x;
	}
}

static double any_number(struct rand *r)
{
	double x = ms_rand_double(r) * 2 - 1;
	return ldexp(x, (int)below(r, 40) - 20);
}

// The threshold number k of a column: the same whenever it is asked for.
static double cut_of(const struct draw_forest *d, uint32_t column, uint64_t k)
{
	const struct draw_shape *s = &d->shape;
	enum draw_cuts kind = s->cut_kind != DRAW_CUTS_MIXED ? s->cut_kind : (enum draw_cuts)(column % 3);
	int64_t middle = (int64_t)k - s->cuts / 2;
	if (kind == DRAW_CUTS_STEPS)
		return (double)middle * 0.25;
	if (kind == DRAW_CUTS_ULPS) {
		static const double around[] = {0.0, 1.0, -1e-35};
		double base = around[column / 3 % 3];
		return s->single ? at_order_f32(order_f32((float)base) + middle)
				 : at_order_f64(order_f64(base) + middle);
	}
	struct rand r = {((uint64_t)column << 32 | k) * 0x9e3779b97f4a7c15ULL + s->cuts};
	double x = any_number(&r);
	return s->single ? (double)(float)x : x;
}

// --- Trees ---------------------------------------------------------------------------------------------

static uint32_t column_count(const struct draw_shape *s)
{
	return s->features + s->computed;
}

static double leaf_value(struct draw_forest *d)
{
	struct rand *r = &d->rand;
	static const double some[] = {0.0, -0.0, 1e-30, 0x1p24, -0x1p24};
	double x = percent(r, 5) ? some[below(r, MS_ARRAY_LEN(some))] : any_number(r);
	return d->shape.sum_single ? (double)(float)x : x;
}

static double next_threshold(struct draw_forest *d, uint32_t column)
{
	if (percent(&d->rand, d->shape.special)) {
		double x = special_value(&d->rand);
		return d->shape.single ? (double)(float)x : x;
	}
	return cut_of(d, column, d->next_cut[column]++ % d->shape.cuts);
}

static void draw_numeric(struct draw_forest *d, struct tree_node *n)
{
	const struct draw_shape *s = &d->shape;
	*n = (struct tree_node){.kind = TREE_NODE_NUMERIC, .compare = TREE_LE};
	// In turn, so that all columns are used; then at random.
	n->column = d->next_column < column_count(s) || s->only_le ? d->next_column++ % column_count(s)
								   : below(&d->rand, column_count(s));
	if (!s->only_le) {
		n->compare = (uint8_t)below(&d->rand, 4);
		n->missing_left = percent(&d->rand, 50);
		n->zero_is_missing = percent(&d->rand, s->zero_missing);
	}
	n->threshold = next_threshold(d, n->column);
}

static void draw_split(struct draw_forest *d, struct draw_node *dst)
{
	const struct draw_shape *s = &d->shape;
	if (!percent(&d->rand, s->set_splits)) {
		draw_numeric(d, &dst->node);
		return;
	}
	dst->node = (struct tree_node){.kind = TREE_NODE_SET,
				       .column = below(&d->rand, MS_MIN(s->set_columns, column_count(s))),
				       .missing_left = percent(&d->rand, 50),
				       .in_set_left = percent(&d->rand, 50)};
	dst->own = below(&d->rand, s->sets);
}

static uint32_t draw_vector(struct draw_forest *d)
{
	size_t first = d->vector_count, n = d->params.group_count;
	if (first + n > d->vector_capacity) {
		d->vector_capacity = 2 * (first + n);
		double *grown = take(&d->memory, d->vector_capacity, sizeof(double));
		if (first > 0)
			memcpy(grown, d->vectors, first * sizeof(double));
		d->vectors = grown;
	}
	for (size_t k = 0; k < n; k++)
		d->vectors[d->vector_count++] = leaf_value(d);
	return (uint32_t)first;
}

static void draw_linear(struct draw_forest *d, struct draw_linear *l)
{
	*l = (struct draw_linear){.constant = leaf_value(d), .fallback = leaf_value(d), .count = below(&d->rand, 5)};
	for (size_t i = 0; i < l->count; i++) {
		l->features[i] = below(&d->rand, d->shape.features);
		l->coefficients[i] = percent(&d->rand, 20) ? 1e34 : any_number(&d->rand);
	}
}

static void draw_leaf(struct draw_forest *d, const struct draw_tree_data *t, struct draw_node *dst)
{
	dst->node = (struct tree_node){.kind = TREE_NODE_LEAF, .leaf = below(&d->rand, (size_t)1 << 31)};
	if (t->linear) {
		struct draw_linear *l = take(&d->memory, 1, sizeof(*l));
		draw_linear(d, l);
		dst->own = (uint32_t)d->linear_count;
		// A table of all that were drawn, twice as large whenever it is full.
		if ((d->linear_count & (d->linear_count - 1)) == 0) {
			struct draw_linear *grown = take(&d->memory, 2 * d->linear_count + 1, sizeof(*grown));
			if (d->linear_count > 0)
				memcpy(grown, d->linear, d->linear_count * sizeof(*grown));
			d->linear = grown;
		}
		d->linear[d->linear_count++] = *l;
	} else if (d->shape.vector) {
		dst->own = draw_vector(d);
	} else {
		dst->node.value = leaf_value(d);
	}
}

// Leaves that may still be split.
struct growth {
	uint32_t *open;
	uint32_t *depth; // by node
	size_t first, end;
};

static size_t pick_open(struct draw_forest *d, struct growth *g, enum draw_tree kind)
{
	if (kind == DRAW_BALANCED)
		return g->first++;
	size_t at = kind == DRAW_CHAIN ? g->end - 1 : g->first + below(&d->rand, g->end - g->first);
	uint32_t picked = g->open[at];
	g->open[at] = g->open[g->end - 1];
	g->open[g->end - 1] = picked;
	return --g->end;
}

// Numbers of nodes are in no order, and some are not used.
static void number_nodes(struct draw_forest *d, struct draw_tree_data *t, const struct draw_node *grown, uint32_t n)
{
	uint32_t *number;
	t->count = n + (percent(&d->rand, 30) ? below(&d->rand, 5) : 0);
	t->nodes = take(&d->memory, t->count, sizeof(*t->nodes));
	number = take(&d->memory, t->count, sizeof(*number));
	for (uint32_t i = 0; i < t->count; i++) {
		uint32_t j = below(&d->rand, i + 1);
		number[i] = number[j];
		number[j] = i;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct draw_node *dst = &t->nodes[number[i]];
		*dst = grown[i];
		if (dst->node.kind != TREE_NODE_LEAF) {
			dst->node.left = number[dst->node.left];
			dst->node.right = number[dst->node.right];
		}
	}
	t->root = number[0];
}

static void draw_nodes(struct draw_forest *d, struct draw_tree_data *t, enum draw_tree kind, uint32_t leaves,
		       uint32_t depth)
{
	struct arena scratch;
	ms_arena_init(&scratch, 1 << 12, SIDE_MEMORY);
	struct draw_node *nodes = take(&scratch, 2 * (size_t)leaves, sizeof(*nodes));
	struct growth g = {.open = take(&scratch, 2 * (size_t)leaves, sizeof(uint32_t)),
			   .depth = take(&scratch, 2 * (size_t)leaves, sizeof(uint32_t))};
	uint32_t n = 1;
	g.end = depth > 0;
	for (uint32_t have = 1; have < leaves && g.first < g.end; have++) {
		uint32_t at = g.open[pick_open(d, &g, kind)];
		draw_split(d, &nodes[at]);
		bool turned = percent(&d->rand, 50);
		nodes[at].node.left = n + turned;
		nodes[at].node.right = n + !turned;
		for (int child = 0; child < 2; child++, n++) {
			g.depth[n] = g.depth[at] + 1;
			if (g.depth[n] < depth)
				g.open[g.end++] = n;
		}
	}
	for (uint32_t i = 0; i < n; i++)
		if (nodes[i].node.kind == TREE_NODE_ABSENT)
			draw_leaf(d, t, &nodes[i]);
	number_nodes(d, t, nodes, n);
	ms_arena_fini(&scratch);
}

static void draw_tree(struct draw_forest *d, struct draw_tree_data *t)
{
	const struct draw_shape *s = &d->shape;
	enum draw_tree kind = s->tree != DRAW_MIXED ? s->tree : (enum draw_tree)below(&d->rand, DRAW_MIXED);
	uint32_t depth = s->tree != DRAW_MIXED || kind == DRAW_CHAIN ? s->depth : below(&d->rand, s->depth + 1);
	uint32_t leaves = s->leaves;
	if (kind == DRAW_BALANCED)
		leaves = s->tree == DRAW_MIXED ? MS_MIN(1u << MS_MIN(depth, 8), s->leaves) : 1u << depth;
	else if (kind == DRAW_CHAIN)
		leaves = s->tree == DRAW_MIXED ? MS_MIN(depth + 1, s->leaves) : depth + 1;
	else if (kind == DRAW_LEAVES)
		leaves = 1;
	t->group = s->vector ? 0 : below(&d->rand, s->groups);
	t->linear = s->linear && percent(&d->rand, 70);
	draw_nodes(d, t, kind, leaves, depth);
}

static void draw_oblivious(struct draw_forest *d, struct draw_tree_data *t)
{
	const struct draw_shape *s = &d->shape;
	t->depth = s->same_depth ? s->depth : below(&d->rand, s->depth + 1);
	t->group = s->vector ? 0 : below(&d->rand, s->groups);
	t->tests = take(&d->memory, t->depth, sizeof(*t->tests));
	for (uint32_t i = 0; i < t->depth; i++) {
		struct tree_node n;
		draw_numeric(d, &n);
		t->tests[i] = (struct oblivious_test){.column = n.column,
						      .compare = n.compare,
						      .missing_true = n.missing_left,
						      .threshold = n.threshold};
	}
	size_t values = ((size_t)1 << t->depth) * (s->vector ? s->groups : 1);
	t->values = take(&d->memory, values, sizeof(*t->values));
	for (size_t i = 0; i < values; i++)
		t->values[i] = leaf_value(d);
}

static void draw_sets(struct draw_forest *d)
{
	const struct draw_shape *s = &d->shape;
	d->sets = take(&d->memory, s->sets, sizeof(*d->sets));
	for (uint32_t i = 0; i < s->sets; i++) {
		struct draw_set *set = &d->sets[i];
		set->word_count = percent(&d->rand, 5) ? 0 : 1 + below(&d->rand, s->set_words);
		set->words = take(&d->memory, set->word_count, sizeof(*set->words));
		// Some are equal but for zeros at the end, some have no member.
		uint32_t used = percent(&d->rand, 10) ? 0 : set->word_count;
		uint32_t density = below(&d->rand, 4);
		for (uint32_t w = 0; w < used; w++) {
			uint64_t bits = ms_rand_u64(&d->rand);
			if (density == 3) // the first or the last code of the last word alone
				bits = w + 1 < used ? 0 : percent(&d->rand, 50) ? 1 : (uint64_t)1 << 31;
			set->words[w] = (uint32_t)(density == 0   ? bits & bits >> 32
						   : density == 1 ? bits | bits >> 32
								  : bits);
		}
	}
}

// Columns that the row does not hold: of one feature or two.
static void compute(const void *context, const double *row, double *dst)
{
	const struct draw_shape *s = context;
	for (uint32_t i = 0; i < s->computed; i++)
		dst[i] = i % 3 == 0   ? row[i % s->features]
			 : i % 3 == 1 ? row[i % s->features] * -2 + 1
				      : row[0] + row[s->features - 1];
}

static void draw_params(struct draw_forest *d)
{
	const struct draw_shape *s = &d->shape;
	d->params = (struct forest_params){.feature_count = s->features,
					   .computed_count = s->computed,
					   .compute = s->computed > 0 ? compute : NULL,
					   .compute_context = &d->shape,
					   .group_count = s->groups,
					   .vector_leaves = s->vector,
					   .input_single = s->single,
					   .sum_single = s->sum_single,
					   .category_rule = s->rule,
					   .scale = 1};
	if (!s->ends)
		return;
	double *start = take(&d->memory, s->groups, sizeof(*start)), *bias = take(&d->memory, s->groups, sizeof(*bias));
	for (uint32_t k = 0; k < s->groups; k++) {
		start[k] = leaf_value(d);
		bias[k] = percent(&d->rand, 20) ? 0 : any_number(&d->rand);
	}
	d->params.start = percent(&d->rand, 80) ? start : NULL;
	d->params.bias = percent(&d->rand, 60) ? bias : NULL;
	d->params.scale = percent(&d->rand, 60) ? any_number(&d->rand) : 1;
}

void ms_draw_forest(struct draw_forest *d, const struct draw_shape *shape, uint64_t seed)
{
	*d = (struct draw_forest){.shape = *shape, .rand = {seed}};
	ms_arena_init(&d->memory, 1 << 16, SIDE_MEMORY);
	d->next_cut = take(&d->memory, column_count(shape), sizeof(*d->next_cut));
	d->trees = take(&d->memory, shape->trees, sizeof(*d->trees));
	draw_params(d);
	draw_sets(d);
	for (uint32_t i = 0; i < shape->trees; i++) {
		if (shape->tree == DRAW_OBLIVIOUS)
			draw_oblivious(d, &d->trees[i]);
		else
			draw_tree(d, &d->trees[i]);
	}
}

void ms_draw_free(struct draw_forest *d)
{
	ms_arena_fini(&d->memory);
}

// --- Rows ----------------------------------------------------------------------------------------------

static double near_cut(struct draw_forest *d, uint32_t column)
{
	struct rand *r = &d->rand;
	double x = cut_of(d, column, below(r, d->shape.cuts));
	float f = (float)x;
	double up = (double)nextafterf(f, INFINITY), down = (double)nextafterf(f, -INFINITY);
	switch (below(r, 10)) {
	case 0:
		return nextafter(x, INFINITY);
	case 1:
		return nextafter(x, -INFINITY);
	case 2:
		return up;
	case 3:
		return down;
	case 4: // halfway between floats, and next to that
		return ((double)f + up) / 2;
	case 5:
		return nextafter(((double)f + up) / 2, percent(r, 50) ? INFINITY : -INFINITY);
	case 6:
		return nextafter(((double)f + down) / 2, percent(r, 50) ? INFINITY : -INFINITY);
	case 7:
		return -x;
	default:
		return x;
	}
}

static double category_value(struct draw_forest *d)
{
	static const double beyond[] = {-1,           -0.9,       -1e-300, -1e300,       0x1p24,
					0x1p24 - 0.5, 0x1p24 - 1, 0x1p31,  0x1p31 - 1,   0x1p32,
					0x1p32 - 1,   0x1p32 - 2, 1e300,   4294967294.5, -2147483649.0};
	struct rand *r = &d->rand;
	if (percent(r, 20))
		return beyond[below(r, MS_ARRAY_LEN(beyond))];
	double code = below(r, 32 * (size_t)d->shape.set_words + 40);
	if (percent(r, 40)) { // the first and the last code of a set's last word, and the one behind
		const uint32_t words = d->sets[below(r, d->shape.sets)].word_count, at = below(r, 3);
		code = at == 0 ? 32.0 * MS_MAX(words, 1) - 32 : 32.0 * MS_MAX(words, 1) - (at == 1);
	}
	return percent(r, 20) ? code + ms_rand_double(r) : percent(r, 10) ? code - 0x1p-40 : code;
}

void ms_draw_row(struct draw_forest *d, double *row)
{
	struct rand *r = &d->rand;
	const struct draw_shape *s = &d->shape;
	const uint32_t missing = percent(r, 5) ? 100 : percent(r, 30) ? 30 : 3;
	for (uint32_t i = 0; i < s->features; i++) {
		if (percent(r, missing))
			row[i] = NAN;
		else if (s->sets > 0 && i < s->set_columns && percent(r, 80))
			row[i] = category_value(d);
		else if (percent(r, 10))
			row[i] = special_value(r);
		else
			row[i] = percent(r, 70) ? near_cut(d, i) : any_number(r) * s->cuts;
	}
}

// --- Through the builder -------------------------------------------------------------------------------

static void build_set(struct forest_builder *b, const struct draw_forest *d, uint32_t number, uint32_t *shared,
		      struct tree_node *dst)
{
	const struct draw_set *set = &d->sets[number];
	dst->set.word_count = set->word_count;
	// Large sets are given once, small ones again and again.
	if (set->word_count > 16 && shared[number] != 0) {
		dst->set.first_word = shared[number] - 1;
		return;
	}
	REQUIRE(ms_forest_add_set(b, set->words, set->word_count, &dst->set.first_word) == MS_OK);
	shared[number] = dst->set.first_word + 1;
}

static void build_node(struct forest_builder *b, const struct draw_forest *d, const struct draw_tree_data *t,
		       const struct draw_node *n, uint32_t *shared, struct tree_node *dst)
{
	*dst = n->node;
	if (dst->kind == TREE_NODE_SET) {
		build_set(b, d, n->own, shared, dst);
	} else if (dst->kind == TREE_NODE_LEAF && t->linear) {
		const struct draw_linear *l = &d->linear[n->own];
		REQUIRE(ms_forest_add_linear(b, l->constant, l->fallback, l->features, l->coefficients, l->count,
					     &dst->linear) == MS_OK);
	} else if (dst->kind == TREE_NODE_LEAF && d->shape.vector) {
		REQUIRE(ms_forest_add_vector(b, d->vectors + n->own, &dst->vector) == MS_OK);
	}
}

static void build_tree(struct forest_builder *b, const struct draw_forest *d, const struct draw_tree_data *t,
		       uint32_t *shared)
{
	if (d->shape.tree == DRAW_OBLIVIOUS) {
		REQUIRE(ms_forest_add_oblivious(b, t->tests, t->depth, t->group, t->values, NULL) == MS_OK);
		return;
	}
	struct tree_node *nodes;
	REQUIRE(ms_forest_tree_begin(b, t->count, t->group, &nodes) == MS_OK);
	if (t->linear)
		ms_forest_tree_is_linear(b);
	for (uint32_t i = 0; i < t->count; i++)
		build_node(b, d, t, &t->nodes[i], shared, &nodes[i]);
	REQUIRE(ms_forest_tree_end(b, t->root) == MS_OK);
}

const struct forest *ms_draw_build(const struct draw_forest *d, size_t tree_count, enum model_kernel kernel,
				   enum model_isa isa, struct arena *memory)
{
	struct arena scratch;
	struct errinfo info;
	struct forest_builder *b;
	const struct forest *f = NULL;
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	options.kernel = kernel;
	options.isa = isa;
	ms_errinfo_init(&info);
	ms_arena_init(&scratch, 1 << 16, SIDE_MEMORY);
	REQUIRE(ms_forest_builder_new(&d->params, &options, &scratch, memory, &info, &b) == MS_OK);
	uint32_t *shared = take(&scratch, d->shape.sets, sizeof(*shared));
	for (size_t i = 0; i < tree_count; i++)
		build_tree(b, d, &d->trees[i], shared);
	REQUIRE(ms_forest_finish(b, &f) == MS_OK);
	ms_arena_fini(&scratch);
	return f;
}

void ms_draw_describe(const struct draw_shape *s, char *dst, size_t size)
{
	static const char *const trees[] = {"leaf-wise", "balanced", "chains", "single leaves", "mixed", "oblivious"};
	snprintf(dst, size,
		 "%u %s trees, depth %u%s, leaves %u, features %u + %u, groups %u, cuts %u (kind %d), %s input, %s "
		 "sums%s%s%s%s, "
		 "zero missing %u%%, special %u%%, sets %u%% of %u on %u columns of %u words (rule %d)",
		 s->trees, trees[s->tree], s->depth, s->same_depth ? " each" : "", s->leaves, s->features, s->computed,
		 s->groups, s->cuts, (int)s->cut_kind, s->single ? "f32" : "f64", s->sum_single ? "f32" : "f64",
		 s->vector ? ", vector leaves" : "", s->linear ? ", linear leaves" : "", s->only_le ? ", only <=" : "",
		 s->ends ? ", start and end" : "", s->zero_missing, s->special, s->set_splits, s->sets, s->set_columns,
		 s->set_words, (int)s->rule);
}

// --- The naive evaluation ------------------------------------------------------------------------------

static double column_value(const struct draw_forest *d, const double *row, uint32_t column)
{
	if (column < d->shape.features)
		return row[column];
	double computed[64];
	REQUIRE(d->shape.computed <= MS_ARRAY_LEN(computed));
	d->params.compute(d->params.compute_context, row, computed);
	return computed[column - d->shape.features];
}

static bool holds(enum tree_compare compare, double x, double t)
{
	switch (compare) {
	case TREE_LE:
		return x <= t;
	case TREE_LT:
		return x < t;
	case TREE_GE:
		return x >= t;
	case TREE_GT:
		return x > t;
	}
	return false;
}

static bool in_set(const struct draw_forest *d, const struct draw_set *set, double x)
{
	double end = 0x1p31;
	if (d->shape.rule == FOREST_CATEGORY_XGBOOST) {
		x = (double)(float)x;
		end = 0x1p24;
		if (x < 0)
			return false;
	}
	x = trunc(x);
	if (x < 0 || x >= end || x >= 32.0 * set->word_count)
		return false;
	uint64_t code = (uint64_t)x;
	return set->words[code / 32] >> (code % 32) & 1;
}

static bool goes_left(const struct draw_forest *d, const struct draw_node *n, const double *row)
{
	const struct tree_node *t = &n->node;
	double x = column_value(d, row, t->column);
	if (t->kind == TREE_NODE_SET) {
		if (isnan(x))
			return t->missing_left;
		return in_set(d, &d->sets[n->own], x) == t->in_set_left;
	}
	if (d->shape.single)
		x = (double)(float)x;
	if (isnan(x) || (t->zero_is_missing && fabs(x) <= (double)1e-35f))
		return t->missing_left;
	return holds((enum tree_compare)t->compare, x, t->threshold);
}

uint32_t ms_draw_leaf(const struct draw_forest *d, const struct draw_tree_data *t, const double *row)
{
	if (d->shape.tree == DRAW_OBLIVIOUS) {
		uint32_t leaf = 0;
		for (uint32_t i = 0; i < t->depth; i++) {
			const struct oblivious_test *test = &t->tests[i];
			double x = column_value(d, row, test->column);
			if (d->shape.single)
				x = (double)(float)x;
			bool bit = isnan(x) ? test->missing_true
					    : holds((enum tree_compare)test->compare, x, test->threshold);
			leaf |= (uint32_t)bit << i;
		}
		return leaf;
	}
	uint32_t at = t->root;
	while (t->nodes[at].node.kind != TREE_NODE_LEAF)
		at = goes_left(d, &t->nodes[at], row) ? t->nodes[at].node.left : t->nodes[at].node.right;
	return at;
}

double ms_draw_leaf_id(const struct draw_tree_data *t, uint32_t leaf)
{
	return t->nodes == NULL ? leaf : t->nodes[leaf].node.leaf;
}

static double linear_value(const struct draw_linear *l, const double *row)
{
	double sum = l->constant;
	for (size_t i = 0; i < l->count; i++) {
		double x = row[l->features[i]];
		if (isnan(x))
			return l->fallback;
		sum += l->coefficients[i] * (fabs(x) <= (double)1e-35f ? 0 : x);
	}
	return sum;
}

// The value of a leaf for a group; scalar leaves have one.
static double value_of(const struct draw_forest *d, const struct draw_tree_data *t, uint32_t leaf, size_t group,
		       const double *row)
{
	const size_t width = d->shape.vector ? d->shape.groups : 1;
	if (t->nodes == NULL)
		return t->values[leaf * width + group];
	const struct draw_node *n = &t->nodes[leaf];
	if (t->linear)
		return linear_value(&d->linear[n->own], row);
	return d->shape.vector ? d->vectors[n->own + group] : n->node.value;
}

void ms_draw_tree_output(const struct draw_forest *d, const struct draw_tree_data *t, uint32_t leaf, const double *row,
			 double *out)
{
	for (size_t k = 0; k < (d->shape.vector ? d->shape.groups : 1); k++) {
		double x = value_of(d, t, leaf, k, row);
		out[k] = d->params.scale == 1 ? x : x * d->params.scale;
	}
}

static double raw_of_group(const struct draw_forest *d, const uint32_t *leaves, size_t group, const double *row)
{
	const bool single = d->shape.sum_single, vector = d->shape.vector;
	double sum = d->params.start != NULL ? d->params.start[group] : 0;
	float sum_single = (float)sum;
	for (size_t i = 0; i < d->shape.trees; i++) {
		const struct draw_tree_data *t = &d->trees[i];
		if (!vector && t->group != group)
			continue;
		double x = value_of(d, t, leaves[i], vector ? group : 0, row);
		sum += x;
		sum_single += (float)x;
	}
	return single ? (double)sum_single : sum;
}

void ms_draw_raw(const struct draw_forest *d, const uint32_t *leaves, const double *row, double *out)
{
	bool ends = d->params.scale != 1;
	for (size_t k = 0; k < d->shape.groups; k++)
		ends = ends || (d->params.bias != NULL && d->params.bias[k] != 0);
	for (size_t k = 0; k < d->shape.groups; k++) {
		double sum = raw_of_group(d, leaves, k, row), bias = d->params.bias != NULL ? d->params.bias[k] : 0;
		out[k] = ends ? d->params.scale * sum + bias : sum;
	}
}
