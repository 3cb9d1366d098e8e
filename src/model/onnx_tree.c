// SPDX-License-Identifier: Apache-2.0
// From the table of an ensemble to a forest. Comparisons become tests of the builder. Equality and membership are
// exact comparisons of numbers (2.5 is no member of {2}), which the sets of categories are not: each different test
// becomes a computed column that is 0 where it holds and 1 where it does not.
#include "model/onnx_tree.h"

#include <math.h>
#include <stdlib.h>

#define NO_TEST UINT32_MAX

// The tests of one feature: for each value that some test has, the tests that have it.
struct member_feature {
	uint32_t column;
	uint32_t value_count;
	const double *values;  // ascending
	const uint32_t *tests; // of value i: from first_tests[i] to first_tests[i + 1]
	const uint32_t *first_tests;
	const uint32_t *missing; // tests that hold for NaN
	uint32_t missing_count;
};

struct member_tests {
	size_t test_count;
	bool single; // values are compared as floats
	const struct member_feature *features;
	size_t feature_count;
};

static void compute_tests(const void *context, const double *row, double *dst)
{
	const struct member_tests *tests = context;
	for (size_t i = 0; i < tests->test_count; i++)
		dst[i] = 1;
	for (size_t i = 0; i < tests->feature_count; i++) {
		const struct member_feature *f = &tests->features[i];
		double x = tests->single ? (double)(float)row[f->column] : row[f->column];
		if (isnan(x)) {
			for (size_t k = 0; k < f->missing_count; k++)
				dst[f->missing[k]] = 0;
			continue;
		}
		uint32_t low = 0, high = f->value_count;
		while (low < high) {
			uint32_t middle = low + (high - low) / 2;
			if (f->values[middle] < x)
				low = middle + 1;
			else
				high = middle;
		}
		if (low == f->value_count || f->values[low] != x)
			continue;
		for (uint32_t k = f->first_tests[low]; k < f->first_tests[low + 1]; k++)
			dst[f->tests[k]] = 0;
	}
}

// --- Finding the different tests ---------------------------------------------------------------------------

struct pending_test {
	uint32_t feature;
	bool missing;
	uint32_t first, count; // in pending values, ascending and different
};

struct test_builder {
	struct onnx_graph *g;
	const struct ensemble *e;
	struct onnx_vec tests;  // struct pending_test
	struct onnx_vec values; // double
	struct map known;       // bytes of a test → its number + 1
	uint32_t *test_of;      // per node of the table
};

static enum ms_err no_memory(struct onnx_graph *g)
{
	return ms_onnx_no_memory(g->ctx);
}

static int compare_doubles(const void *a, const void *b)
{
	double x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static enum ms_err add_value(struct test_builder *b, double value)
{
	if (b->values.n >= UINT32_MAX)
		return no_memory(b->g);
	value += 0.0; // -0 equals 0
	return isnan(value) ? MS_OK : ms_onnx_push(b->g, &b->values, &value);
}

// The values of the node, and of the equalities that were folded into it, from `first` on.
static enum ms_err collect_values(struct test_builder *b, const struct ensemble_node *n, bool *ret_missing)
{
	const struct ensemble *e = b->e;
	if (n->mode == MODE_MEMBER) {
		*ret_missing = n->missing_true;
		for (uint32_t i = 0; i < n->member_count; i++)
			MS_TRY(add_value(b, e->members[n->first_member + i]));
		return MS_OK;
	}
	// Equality with NaN takes the true branch when that is said; inequality always does, which its node sees to.
	*ret_missing = n->mode == MODE_EQ && n->missing_true;
	MS_TRY(add_value(b, n->value));
	while (n->mode == MODE_EQ && e->nodes[n->false_at].folded) {
		n = &e->nodes[n->false_at];
		*ret_missing = *ret_missing || n->missing_true;
		MS_TRY(add_value(b, n->value));
	}
	return MS_OK;
}

static enum ms_err find_test(struct test_builder *b, const struct ensemble_node *n, uint32_t *ret_test)
{
	struct pending_test test = {.feature = n->feature, .first = (uint32_t)b->values.n};
	MS_TRY(collect_values(b, n, &test.missing));
	double *values = (double *)(void *)b->values.p + test.first;
	size_t count = b->values.n - test.first, kept = 0;
	if (count > 0)
		qsort(values, count, sizeof(*values), compare_doubles);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || values[i] != values[kept - 1])
			values[kept++] = values[i];
	test.count = (uint32_t)kept;
	b->values.n = test.first + kept;
	size_t head = 2 * sizeof(uint32_t), size = head + kept * sizeof(*values);
	char *key = ms_arena_alloc(b->g->ctx->scratch, size);
	if (key == NULL)
		return no_memory(b->g);
	memcpy(key, (const uint32_t[]){test.feature, test.missing}, head);
	if (kept > 0)
		memcpy(key + head, values, kept * sizeof(*values));
	void *known = ms_map_get(&b->known, ms_slice(key, size));
	if (known != NULL) {
		b->values.n = test.first;
		*ret_test = (uint32_t)(uintptr_t)known - 1;
		return MS_OK;
	}
	MS_TRY(ms_onnx_push(b->g, &b->tests, &test));
	if (!ms_map_put(&b->known, ms_slice(key, size), (void *)(uintptr_t)b->tests.n, NULL))
		return no_memory(b->g);
	*ret_test = (uint32_t)b->tests.n - 1;
	return MS_OK;
}

// --- The tests as the forest computes them -------------------------------------------------------------------

struct value_test {
	double value;
	uint32_t test;
};

static int compare_value_tests(const void *a, const void *b)
{
	const struct value_test *x = a, *y = b;
	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return (x->test > y->test) - (x->test < y->test);
}

static int compare_pending(const void *a, const void *b)
{
	const struct pending_test *const *x = a, *const *y = b;
	if ((*x)->feature != (*y)->feature)
		return (*x)->feature < (*y)->feature ? -1 : 1;
	return (*x > *y) - (*x < *y);
}

// The tests of one feature, `count` of them.
static enum ms_err finish_feature(struct test_builder *b, const struct pending_test *const *pending, size_t count,
				  struct member_feature *ret_feature)
{
	struct arena *memory = b->g->ctx->memory;
	const struct pending_test *all = (const struct pending_test *)(const void *)b->tests.p;
	const double *values = (const double *)(const void *)b->values.p;
	size_t total = 0, n = 0, distinct = 0;
	for (size_t i = 0; i < count; i++)
		total += pending[i]->count;
	struct value_test *pairs = MS_ARENA_ARRAY(b->g->ctx->scratch, struct value_test, total);
	double *kept = MS_ARENA_ARRAY(memory, double, total);
	uint32_t *tests = MS_ARENA_ARRAY(memory, uint32_t, total), *first = MS_ARENA_ARRAY(memory, uint32_t, total + 1);
	uint32_t *missing = MS_ARENA_ARRAY(memory, uint32_t, count), missing_count = 0;
	if (pairs == NULL || kept == NULL || tests == NULL || first == NULL || missing == NULL)
		return no_memory(b->g);
	for (size_t i = 0; i < count; i++) {
		uint32_t test = (uint32_t)(pending[i] - all);
		for (uint32_t k = 0; k < pending[i]->count; k++)
			pairs[n++] = (struct value_test){values[pending[i]->first + k], test};
		if (pending[i]->missing)
			missing[missing_count++] = test;
	}
	if (n > 0)
		qsort(pairs, n, sizeof(*pairs), compare_value_tests);
	for (size_t i = 0; i < n; i++) {
		if (i == 0 || pairs[i].value != pairs[i - 1].value) {
			first[distinct] = (uint32_t)i;
			kept[distinct++] = pairs[i].value;
		}
		tests[i] = pairs[i].test;
	}
	first[distinct] = (uint32_t)n;
	*ret_feature = (struct member_feature){
		.column = pending[0]->feature,
		.value_count = (uint32_t)distinct,
		.values = kept,
		.tests = tests,
		.first_tests = first,
		.missing = missing,
		.missing_count = missing_count,
	};
	return MS_OK;
}

static enum ms_err finish_tests(struct test_builder *b, const struct member_tests **ret_tests)
{
	const struct pending_test *all = (const struct pending_test *)(const void *)b->tests.p;
	const struct pending_test **sorted =
		MS_ARENA_ARRAY(b->g->ctx->scratch, const struct pending_test *, b->tests.n);
	struct member_tests *tests = MS_ARENA_NEW(b->g->ctx->memory, struct member_tests);
	struct member_feature *features =
		MS_ARENA_ARRAY(b->g->ctx->memory, struct member_feature, MS_MIN(b->tests.n, b->e->feature_count));
	if (sorted == NULL || tests == NULL || features == NULL)
		return no_memory(b->g);
	*tests = (struct member_tests){.test_count = b->tests.n, .single = b->e->single, .features = features};
	for (size_t i = 0; i < b->tests.n; i++)
		sorted[i] = &all[i];
	if (b->tests.n > 0)
		qsort(sorted, b->tests.n, sizeof(const struct pending_test *), compare_pending);
	for (size_t i = 0, count; i < b->tests.n; i += count) {
		for (count = 1; i + count < b->tests.n && sorted[i + count]->feature == sorted[i]->feature; count++)
			;
		MS_TRY(finish_feature(b, sorted + i, count, &features[tests->feature_count++]));
	}
	*ret_tests = tests;
	return MS_OK;
}

static enum ms_err find_tests(struct test_builder *b)
{
	bool any = false;
	for (size_t i = 0; i < b->e->node_count && !any; i++)
		any = b->e->nodes[i].mode >= MODE_EQ && b->e->nodes[i].mode <= MODE_MEMBER;
	if (!any)
		return MS_OK;
	b->test_of = ms_arena_alloc(b->g->ctx->scratch, b->e->node_count * sizeof(*b->test_of));
	if (b->test_of == NULL)
		return no_memory(b->g);
	for (size_t i = 0; i < b->e->node_count; i++) {
		const struct ensemble_node *n = &b->e->nodes[i];
		b->test_of[i] = NO_TEST;
		if (n->mode >= MODE_EQ && n->mode <= MODE_MEMBER && !n->folded)
			MS_TRY(find_test(b, n, &b->test_of[i]));
	}
	return MS_OK;
}

// --- Chains of equalities ------------------------------------------------------------------------------------

// Both nodes have the same true branch: one node, or leaves of their own that stand for the same leaf of the file.
static bool same_true_branch(const struct ensemble *e, const struct ensemble_node *a, const struct ensemble_node *b)
{
	const struct ensemble_node *x = &e->nodes[a->true_at], *y = &e->nodes[b->true_at];
	return x == y || (x->mode == MODE_LEAF && y->mode == MODE_LEAF && !y->shared && x->id == y->id &&
			  x->first_weight == y->first_weight && x->weight_count == y->weight_count);
}

void ms_onnx_fold_chains(struct ensemble *e)
{
	for (size_t i = 0; i < e->node_count; i++) {
		const struct ensemble_node *n = &e->nodes[i];
		if (n->mode != MODE_EQ)
			continue;
		struct ensemble_node *next = &e->nodes[n->false_at];
		// The true branch has as many parents as the chain has links: the builder finds it if there are others.
		next->folded = next->mode == MODE_EQ && !next->shared && next->feature == n->feature && next != n &&
			       same_true_branch(e, n, next);
	}
}

// --- Leaves --------------------------------------------------------------------------------------------------

// The one target that all leaves of the tree score, or false.
static bool target_of_tree(const struct ensemble *e, const struct ensemble_tree *t, uint32_t *ret_target)
{
	bool found = false;
	for (uint32_t i = t->first; i < t->first + t->count; i++) {
		const struct ensemble_node *n = &e->nodes[i];
		if (n->mode != MODE_LEAF)
			continue;
		if (n->weight_count != 1)
			return false;
		uint32_t target = e->weights[n->first_weight].target;
		if (found && target != *ret_target)
			return false;
		*ret_target = target;
		found = true;
	}
	return found;
}

// Whether every row scores each target: some tree scores it in all of its leaves.
static enum ms_err scores_all(struct onnx_graph *g, const struct ensemble *e, bool *ret_all)
{
	uint32_t *leaves = MS_ARENA_ARRAY(g->ctx->scratch, uint32_t, e->target_count);
	bool *certain = MS_ARENA_ARRAY(g->ctx->scratch, bool, e->target_count);
	if (leaves == NULL || certain == NULL)
		return no_memory(g);
	for (size_t t = 0; t < e->tree_count; t++) {
		const struct ensemble_node *nodes = e->nodes + e->trees[t].first;
		uint32_t leaf_count = 0;
		for (uint32_t i = 0; i < e->trees[t].count; i++) {
			leaf_count += nodes[i].mode == MODE_LEAF;
			for (uint32_t k = 0; k < nodes[i].weight_count; k++)
				leaves[e->weights[nodes[i].first_weight + k].target]++;
		}
		for (uint32_t i = 0; i < e->trees[t].count; i++)
			for (uint32_t k = 0; k < nodes[i].weight_count; k++) {
				uint32_t target = e->weights[nodes[i].first_weight + k].target;
				certain[target] = certain[target] || leaves[target] == leaf_count;
				leaves[target] = 0;
			}
	}
	*ret_all = true;
	for (size_t k = 0; k < e->target_count; k++)
		*ret_all = *ret_all && certain[k];
	return MS_OK;
}

enum ms_err ms_onnx_choose_leaves(struct onnx_graph *g, const struct ensemble *e, bool flags,
				  enum ensemble_leaves *ret_leaves)
{
	uint32_t target = 0;
	bool all = true, one = true;
	for (size_t t = 0; t < e->tree_count && one; t++)
		one = target_of_tree(e, &e->trees[t], &target);
	if (flags)
		MS_TRY(scores_all(g, e, &all));
	*ret_leaves = !all ? LEAVES_FLAGS : one ? LEAVES_ONE : LEAVES_VECTOR;
	return MS_OK;
}

struct forest_job {
	struct onnx_graph *g;
	const struct ensemble *e;
	const uint32_t *test_of;
	enum ensemble_leaves leaves;
	size_t target;
	struct forest_builder *builder;
	double *vector; // scratch: the values of a leaf
	size_t vector_count;
};

static enum ms_err build_leaf(struct forest_job *j, const struct ensemble_node *n, struct tree_node *dst)
{
	const struct ensemble_weight *weights = j->e->weights + n->first_weight;
	dst->kind = TREE_NODE_LEAF;
	dst->leaf = n->id;
	if (j->leaves == LEAVES_ONE) {
		dst->value = weights[0].value;
		return MS_OK;
	}
	if (j->leaves == LEAVES_TREE) {
		dst->value = NAN;
		for (uint32_t i = 0; i < n->weight_count; i++)
			if (weights[i].target == j->target)
				dst->value = weights[i].value;
		return MS_OK;
	}
	memset(j->vector, 0, j->vector_count * sizeof(*j->vector));
	for (uint32_t i = 0; i < n->weight_count; i++) {
		j->vector[weights[i].target] = weights[i].value;
		if (j->leaves == LEAVES_FLAGS)
			j->vector[j->e->target_count + weights[i].target] = 1;
	}
	return ms_forest_add_vector(j->builder, j->vector, &dst->vector);
}

static void build_split(const struct forest_job *j, uint32_t at, uint32_t first, struct tree_node *dst)
{
	static const enum tree_compare compares[] = {
		[MODE_LEQ] = TREE_LE, [MODE_LT] = TREE_LT, [MODE_GTE] = TREE_GE, [MODE_GT] = TREE_GT};
	const struct ensemble_node *n = &j->e->nodes[at], *last = n;
	dst->kind = TREE_NODE_NUMERIC;
	dst->left = n->true_at - first;
	if (n->mode <= MODE_GT) {
		dst->right = n->false_at - first;
		dst->compare = (uint8_t)compares[n->mode];
		dst->threshold = n->value;
		dst->missing_left = n->missing_true;
		dst->column = n->feature;
		return;
	}
	while (last->mode == MODE_EQ && j->e->nodes[last->false_at].folded)
		last = &j->e->nodes[last->false_at];
	dst->right = last->false_at - first;
	dst->compare = TREE_LE;
	dst->threshold = 0.5;
	dst->column = (uint32_t)j->e->feature_count + j->test_of[at];
	if (n->mode == MODE_NEQ) { // the test is equality; NaN is unequal to all
		dst->left = n->false_at - first;
		dst->right = n->true_at - first;
	}
}

// What the root does not reach is left out, as ONNX Runtime does.
static void find_reached(const struct forest_job *j, const struct ensemble_tree *t, bool *reached, uint32_t *stack)
{
	size_t depth = 0;
	reached[t->root - t->first] = true;
	stack[depth++] = t->root;
	while (depth > 0) {
		const struct ensemble_node *n = &j->e->nodes[stack[--depth]];
		if (n->mode == MODE_LEAF)
			continue;
		for (int side = n->folded ? 1 : 0; side < 2; side++) {
			uint32_t child = side == 0 ? n->true_at : n->false_at;
			if (reached[child - t->first])
				continue;
			reached[child - t->first] = true;
			stack[depth++] = child;
		}
	}
}

static enum ms_err build_tree(struct forest_job *j, size_t number, bool *reached, uint32_t *stack)
{
	const struct ensemble_tree *t = &j->e->trees[number];
	struct tree_node *nodes = NULL;
	uint32_t group = 0;
	if (j->leaves == LEAVES_ONE)
		MS_IGNORE(target_of_tree(j->e, t, &group)); // it has one: the leaves were chosen so
	if (j->leaves == LEAVES_TREE)
		group = (uint32_t)number;
	MS_TRY(ms_forest_tree_begin(j->builder, t->count, group, &nodes));
	memset(reached, 0, t->count * sizeof(*reached));
	find_reached(j, t, reached, stack);
	for (uint32_t i = 0; i < t->count; i++) {
		const struct ensemble_node *n = &j->e->nodes[t->first + i];
		if (!reached[i] || n->folded)
			continue;
		if (n->mode == MODE_LEAF)
			MS_TRY(build_leaf(j, n, &nodes[i]));
		else
			build_split(j, t->first + i, t->first, &nodes[i]);
	}
	return ms_forest_tree_end(j->builder, t->root - t->first);
}

static enum ms_err build_trees(struct forest_job *j)
{
	uint32_t largest = 0;
	for (size_t t = 0; t < j->e->tree_count; t++)
		largest = MS_MAX(largest, j->e->trees[t].count);
	bool *reached = MS_ARENA_ARRAY(j->g->ctx->scratch, bool, largest);
	uint32_t *stack = MS_ARENA_ARRAY(j->g->ctx->scratch, uint32_t, largest);
	j->vector = MS_ARENA_ARRAY(j->g->ctx->scratch, double, j->vector_count);
	if (reached == NULL || stack == NULL || j->vector == NULL)
		return no_memory(j->g);
	for (size_t t = 0; t < j->e->tree_count; t++)
		MS_TRY(build_tree(j, t, reached, stack));
	return MS_OK;
}

static enum ms_err build(struct forest_job *j, struct test_builder *b, const struct forest **ret_forest)
{
	const struct member_tests *tests = NULL;
	MS_TRY(find_tests(b));
	MS_TRY(finish_tests(b, &tests));
	size_t flags = j->leaves == LEAVES_FLAGS ? j->e->target_count : 0;
	struct forest_params params = {
		.feature_count = j->e->feature_count,
		.computed_count = tests->test_count,
		.compute = compute_tests,
		.compute_context = tests,
		.group_count = j->leaves == LEAVES_TREE ? j->e->tree_count : j->e->target_count + flags,
		.vector_leaves = j->leaves == LEAVES_VECTOR || j->leaves == LEAVES_FLAGS,
		.input_single = j->e->single,
		.sum_single = j->e->single,
		.scale = 1,
	};
	j->test_of = b->test_of;
	j->vector_count = params.group_count;
	MS_TRY(ms_forest_builder_new(&params, j->g->ctx->options, j->g->ctx->scratch, j->g->ctx->memory,
				     j->g->ctx->info, &j->builder));
	MS_TRY(build_trees(j));
	return ms_forest_finish(j->builder, ret_forest);
}

enum ms_err ms_onnx_build_forest(struct onnx_graph *g, const struct ensemble *e, enum ensemble_leaves leaves,
				 size_t target, const struct forest **ret_forest)
{
	struct forest_job j = {.g = g, .e = e, .leaves = leaves, .target = target};
	struct test_builder b = {.g = g,
				 .e = e,
				 .tests = {.item_size = sizeof(struct pending_test)},
				 .values = {.item_size = sizeof(double)}};
	ms_map_init(&b.known, e->node_count + 1, g->values.seed);
	enum ms_err err = build(&j, &b, ret_forest);
	ms_map_fini(&b.known);
	return err;
}
