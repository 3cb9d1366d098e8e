// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdlib.h>

#include "model/forest.h"
#include "model/plan.h"
#include "model/shap.h"

#define FEATURE_SOURCE_MAX ((size_t)1 << 31)

// A growing array in the scratch arena.
struct vec {
	char *p;
	size_t n;   // items
	size_t cap; // items
	size_t item_size;
};

struct forest_builder {
	struct forest_params params;
	size_t max_trees;
	enum model_kernel kernel;
	enum model_isa isa;
	struct arena *scratch;
	struct arena *memory;
	struct errinfo *info;

	struct vec trees;                       // struct forest_tree
	struct vec nodes;                       // struct node_f64, columns provisional
	struct vec leaf_ids;                    // uint32_t, per node
	struct vec covers;                      // double, per node; oblivious: per leaf
	struct vec tests;                       // struct forest_test, columns provisional
	struct vec values;                      // double
	struct vec linear;                      // struct forest_linear
	struct vec linear_terms;                // struct linear_term
	struct vec sets;                        // struct forest_set
	struct vec set_words;                   // uint32_t
	struct vec columns;                     // struct column
	struct vec categories;                  // uint32_t: sources
	uint32_t *column_of[FOREST_FORM_COUNT]; // by source: provisional column, or 0
	uint32_t *category_of;                  // by source: category column + 1, or 0
	uint32_t max_child;                     // largest distance to a child
	bool any_linear;
	bool any_oblivious;
	bool covers_missing; // of some tree

	// The present tree.
	struct tree_node *tree;
	size_t tree_nodes;
	size_t tree_capacity;
	uint32_t tree_group;
	bool tree_linear;
	bool tree_covers;
	uint32_t *queue; // numbers of nodes in breadth-first order
	bool *reached;   // per number
};

struct column {
	uint32_t source;
	enum forest_form form;
};

struct linear_term {
	uint32_t feature;
	double coefficient;
};

static enum ms_err no_memory(struct forest_builder *b)
{
	return ms_fail(b->info, MS_ERR_MODEL_TOO_LARGE, "the model needs more than the %zu bytes of memory it may use",
		       b->memory->max);
}

// Room for `count` more items, which the caller fills; NULL when memory is out.
static void *vec_add(struct forest_builder *b, struct vec *v, size_t count)
{
	if (count > v->cap - v->n || v->p == NULL) {
		size_t cap, size;
		if (MS_ADD_OVERFLOWS(v->n, count, &cap) || MS_ADD_OVERFLOWS(cap, MS_MAX(cap / 2, 64), &cap) ||
		    MS_MUL_OVERFLOWS(cap, v->item_size, &size))
			return NULL;
		char *p = ms_arena_grow(b->scratch, v->p, v->cap * v->item_size, size);
		if (p == NULL)
			return NULL;
		v->p = p;
		v->cap = cap;
	}
	void *items = v->p + v->n * v->item_size;
	v->n += count;
	return items;
}

static enum ms_err vec_push(struct forest_builder *b, struct vec *v, const void *item)
{
	void *p = vec_add(b, v, 1);
	if (p == NULL)
		return no_memory(b);
	memcpy(p, item, v->item_size);
	return MS_OK;
}

static size_t source_count(const struct forest_builder *b)
{
	return b->params.feature_count + b->params.computed_count;
}

enum ms_err ms_forest_builder_new(const struct forest_params *params, const struct model_options *options,
				  struct arena *scratch, struct arena *memory, struct errinfo *info,
				  struct forest_builder **ret_builder)
{
	MS_ASSERT(params->group_count > 0 && (params->computed_count == 0 || params->compute != NULL));
	MS_ASSERT(params->feature_count < FEATURE_SOURCE_MAX && params->computed_count < FEATURE_SOURCE_MAX);
	MS_ASSERT(!params->sum_single || params->input_single);
	struct forest_builder *b = MS_ARENA_NEW(scratch, struct forest_builder);
	if (b == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while loading a model");
	b->params = *params;
	b->max_trees = options->max_trees;
	b->kernel = options->kernel;
	b->isa = options->isa;
	b->scratch = scratch;
	b->memory = memory;
	b->info = info;
	b->trees.item_size = sizeof(struct forest_tree);
	b->nodes.item_size = sizeof(struct node_f64);
	b->leaf_ids.item_size = sizeof(uint32_t);
	b->covers.item_size = sizeof(double);
	b->tests.item_size = sizeof(struct forest_test);
	b->values.item_size = sizeof(double);
	b->linear.item_size = sizeof(struct forest_linear);
	b->linear_terms.item_size = sizeof(struct linear_term);
	b->sets.item_size = sizeof(struct forest_set);
	b->set_words.item_size = sizeof(uint32_t);
	b->columns.item_size = sizeof(struct column);
	b->categories.item_size = sizeof(uint32_t);
	MS_TRY(vec_push(b, &b->columns, &(struct column){0})); // column 0 is always NaN
	*ret_builder = b;
	return MS_OK;
}

// --- Columns -----------------------------------------------------------------------------------------

static enum ms_err find_column(struct forest_builder *b, uint32_t source, enum forest_form form, uint32_t *ret_column)
{
	if (b->column_of[form] == NULL) {
		b->column_of[form] = MS_ARENA_ARRAY(b->scratch, uint32_t, source_count(b));
		if (b->column_of[form] == NULL)
			return no_memory(b);
	}
	uint32_t *known = &b->column_of[form][source];
	if (*known == 0) {
		uint32_t column = (uint32_t)b->columns.n;
		MS_TRY(vec_push(b, &b->columns, &(struct column){source, form}));
		*known = column;
	}
	*ret_column = *known;
	return MS_OK;
}

static enum ms_err find_category(struct forest_builder *b, uint32_t source, uint32_t *ret_category)
{
	if (b->category_of == NULL) {
		b->category_of = MS_ARENA_ARRAY(b->scratch, uint32_t, source_count(b));
		if (b->category_of == NULL)
			return no_memory(b);
	}
	uint32_t *known = &b->category_of[source];
	if (*known == 0) {
		MS_TRY(vec_push(b, &b->categories, &source));
		*known = (uint32_t)b->categories.n;
	}
	*ret_category = *known - 1;
	return MS_OK;
}

// --- The single form of a test -------------------------------------------------------------------------

struct plain_test {
	double threshold; // of "value <= threshold"; NaN: never
	bool negated;
	bool second_is_left; // the test holds on the left side, else on the right
};

// The next smaller number of the compared type; NaN below minus infinity, so that the test never holds.
static double next_below(double t, bool single)
{
	if (t == -INFINITY)
		return NAN;
	return single ? (double)nextafterf((float)t, -INFINITY) : nextafter(t, -INFINITY);
}

static struct plain_test plain_test(enum tree_compare compare, double t, bool missing_left, bool single)
{
	static const enum tree_compare opposite[] = {
		[TREE_LE] = TREE_GT, [TREE_LT] = TREE_GE, [TREE_GE] = TREE_LT, [TREE_GT] = TREE_LE};
	MS_ASSERT(!single || isnan(t) || (double)(float)t == t);
	struct plain_test r = {.second_is_left = !missing_left};
	if (isnan(t)) { // no value is left, so all are right
		r.threshold = missing_left ? INFINITY : NAN;
		return r;
	}
	switch (missing_left ? opposite[compare] : compare) {
	case TREE_LE:
		r.threshold = t;
		break;
	case TREE_LT:
		r.threshold = next_below(t, single);
		break;
	case TREE_GE:
		r.threshold = -t;
		r.negated = true;
		break;
	case TREE_GT:
		r.threshold = next_below(-t, single);
		r.negated = true;
		break;
	}
	return r;
}

static enum forest_form form_of(bool negated, bool zero_is_missing)
{
	if (zero_is_missing)
		return negated ? FOREST_ZERO_AS_NAN_NEGATED : FOREST_ZERO_AS_NAN;
	return negated ? FOREST_NEGATED : FOREST_PLAIN;
}

// --- Trees of nodes ------------------------------------------------------------------------------------

static enum ms_err tree_fail(struct forest_builder *b, uint32_t node, const char *what)
{
	return ms_fail(b->info, MS_ERR_MODEL_FORMAT, "tree %zu, node %u: %s", b->trees.n, node, what);
}

static enum ms_err check_tree_room(struct forest_builder *b, uint32_t group)
{
	if (b->trees.n >= b->max_trees)
		return ms_fail(b->info, MS_ERR_MODEL_TOO_LARGE, "the model has more than %zu trees", b->max_trees);
	if (group >= b->params.group_count)
		return ms_fail(b->info, MS_ERR_MODEL_FORMAT, "tree %zu belongs to output %u, but there are only %zu",
			       b->trees.n, group, b->params.group_count);
	return MS_OK;
}

enum ms_err ms_forest_tree_begin(struct forest_builder *b, size_t node_count, uint32_t group,
				 struct tree_node **ret_nodes)
{
	MS_ASSERT(node_count > 0 && node_count <= (size_t)1 << 31 && !b->any_oblivious);
	MS_TRY(check_tree_room(b, group));
	if (node_count > UINT32_MAX - b->nodes.n)
		return ms_fail(b->info, MS_ERR_MODEL_TOO_LARGE, "the model has more than 2^32 nodes");
	if (node_count > b->tree_capacity) {
		size_t capacity = MS_MAX(node_count, b->tree_capacity * 2);
		b->tree = MS_ARENA_ARRAY(b->scratch, struct tree_node, capacity);
		b->queue = MS_ARENA_ARRAY(b->scratch, uint32_t, capacity);
		b->reached = MS_ARENA_ARRAY(b->scratch, bool, capacity);
		b->tree_capacity = capacity;
		if (b->tree == NULL || b->queue == NULL || b->reached == NULL) {
			b->tree_capacity = 0;
			return no_memory(b);
		}
	}
	memset(b->tree, 0, node_count * sizeof(*b->tree));
	b->tree_nodes = node_count;
	b->tree_group = group;
	b->tree_linear = false;
	b->tree_covers = false;
	*ret_nodes = b->tree;
	return MS_OK;
}

enum ms_err ms_forest_add_set(struct forest_builder *b, const uint32_t *words, size_t word_count, uint32_t *ret_first)
{
	uint32_t first = (uint32_t)b->set_words.n;
	if (word_count > UINT32_MAX / 32 || word_count > UINT32_MAX - b->set_words.n)
		return ms_fail(b->info, MS_ERR_MODEL_TOO_LARGE, "the model's sets of categories are too large");
	uint32_t *dst = vec_add(b, &b->set_words, word_count);
	if (dst == NULL)
		return no_memory(b);
	if (word_count > 0)
		memcpy(dst, words, word_count * sizeof(*words));
	*ret_first = first;
	return MS_OK;
}

enum ms_err ms_forest_add_vector(struct forest_builder *b, const double *values, uint32_t *ret_vector)
{
	MS_ASSERT(b->params.vector_leaves);
	size_t first = b->values.n;
	if (first > UINT32_MAX - b->params.group_count)
		return ms_fail(b->info, MS_ERR_MODEL_TOO_LARGE, "the model has more than 2^32 leaf values");
	double *dst = vec_add(b, &b->values, b->params.group_count);
	if (dst == NULL)
		return no_memory(b);
	memcpy(dst, values, b->params.group_count * sizeof(*values));
	*ret_vector = (uint32_t)first;
	return MS_OK;
}

enum ms_err ms_forest_add_linear(struct forest_builder *b, double constant, double fallback, const uint32_t *features,
				 const double *coefficients, size_t count, uint32_t *ret_linear)
{
	MS_ASSERT(!b->params.vector_leaves && !b->params.input_single);
	if (b->linear_terms.n + count > UINT32_MAX || b->linear.n >= UINT32_MAX)
		return ms_fail(b->info, MS_ERR_MODEL_TOO_LARGE, "the model's linear leaves are too large");
	struct forest_linear leaf = {
		constant,
		fallback,
		(uint32_t)b->linear_terms.n,
		(uint32_t)count,
	};
	struct linear_term *terms = vec_add(b, &b->linear_terms, count);
	if (terms == NULL)
		return no_memory(b);
	for (size_t i = 0; i < count; i++) {
		if (features[i] >= b->params.feature_count)
			return ms_fail(b->info, MS_ERR_MODEL_FORMAT,
				       "tree %zu: a linear leaf uses feature %u, but there are only %zu", b->trees.n,
				       features[i], b->params.feature_count);
		terms[i] = (struct linear_term){features[i], coefficients[i]};
	}
	uint32_t index = (uint32_t)b->linear.n;
	MS_TRY(vec_push(b, &b->linear, &leaf));
	*ret_linear = index;
	return MS_OK;
}

void ms_forest_tree_is_linear(struct forest_builder *b)
{
	b->tree_linear = true;
	b->any_linear = true;
}

void ms_forest_tree_has_covers(struct forest_builder *b)
{
	b->tree_covers = true;
}

// Enters a child into the queue; a number out of range, absent or entered before is an error.
static enum ms_err reach(struct forest_builder *b, uint32_t parent, uint32_t child, uint32_t *tail)
{
	if (child >= b->tree_nodes)
		return ms_fail(b->info, MS_ERR_MODEL_FORMAT, "tree %zu, node %u: child %u is out of range (%zu nodes)",
			       b->trees.n, parent, child, b->tree_nodes);
	if (b->tree[child].kind == TREE_NODE_ABSENT)
		return ms_fail(b->info, MS_ERR_MODEL_FORMAT, "tree %zu, node %u: child %u is a deleted node",
			       b->trees.n, parent, child);
	if (b->reached[child])
		return ms_fail(b->info, MS_ERR_MODEL_FORMAT,
			       "tree %zu, node %u: child %u has another parent too (no tree)", b->trees.n, parent,
			       child);
	b->reached[child] = true;
	b->queue[(*tail)++] = child;
	return MS_OK;
}

static enum ms_err build_leaf(struct forest_builder *b, const struct tree_node *n, struct node_f64 *dst,
			      uint32_t *dst_id)
{
	*dst = (struct node_f64){.column = 0, .child = 0};
	*dst_id = n->leaf;
	if (b->tree_linear) {
		MS_ASSERT(n->linear < b->linear.n);
		dst->index = n->linear;
	} else if (b->params.vector_leaves) {
		MS_ASSERT((size_t)n->vector + b->params.group_count <= b->values.n);
		dst->index = n->vector;
	} else {
		MS_ASSERT(!b->params.sum_single || isnan(n->value) || (double)(float)n->value == n->value);
		dst->value = n->value;
	}
	return MS_OK;
}

// Writes the split and says which child comes first.
static enum ms_err build_split(struct forest_builder *b, const struct tree_node *n, uint32_t number,
			       struct node_f64 *dst, bool *ret_second_is_left)
{
	if (n->column >= source_count(b))
		return ms_fail(b->info, MS_ERR_MODEL_FORMAT,
			       "tree %zu, node %u: feature %u is out of range (%zu features)", b->trees.n, number,
			       n->column, b->params.feature_count);
	if (n->kind == TREE_NODE_NUMERIC) {
		struct plain_test t = plain_test((enum tree_compare)n->compare, n->threshold, n->missing_left,
						 b->params.input_single);
		dst->threshold = t.threshold;
		*ret_second_is_left = t.second_is_left;
		return find_column(b, n->column, form_of(t.negated, n->zero_is_missing), &dst->column);
	}
	MS_ASSERT(n->kind == TREE_NODE_SET);
	MS_ASSERT((size_t)n->set.first_word + n->set.word_count <= b->set_words.n);
	struct forest_set set = {
		.first_word = n->set.first_word,
		.bit_count = n->set.word_count * 32,
		.missing_in = n->missing_left == n->in_set_left,
	};
	MS_TRY(find_category(b, n->column, &set.category));
	dst->column = FOREST_SET_COLUMN_WIDE;
	dst->index = b->sets.n;
	*ret_second_is_left = n->in_set_left;
	return vec_push(b, &b->sets, &set);
}

static enum ms_err check_all_reached(struct forest_builder *b)
{
	for (size_t i = 0; i < b->tree_nodes; i++)
		if (b->tree[i].kind != TREE_NODE_ABSENT && !b->reached[i])
			return tree_fail(b, (uint32_t)i, "not reachable from the root");
	return MS_OK;
}

enum ms_err ms_forest_tree_end(struct forest_builder *b, uint32_t root)
{
	struct forest_tree tree = {.root = (uint32_t)b->nodes.n, .group = b->tree_group};
	size_t sets_before = b->sets.n;
	struct node_f64 *nodes = vec_add(b, &b->nodes, b->tree_nodes);
	uint32_t *ids = vec_add(b, &b->leaf_ids, b->tree_nodes);
	double *covers = vec_add(b, &b->covers, b->tree_nodes);
	if (nodes == NULL || ids == NULL || covers == NULL)
		return no_memory(b);
	memset(b->reached, 0, b->tree_nodes * sizeof(*b->reached));
	uint32_t tail = 0, level_end = 1;
	MS_TRY(reach(b, root, root, &tail));
	for (uint32_t at = 0; at < tail; at++) {
		if (at == level_end) {
			tree.depth++;
			level_end = tail;
		}
		uint32_t number = b->queue[at];
		const struct tree_node *n = &b->tree[number];
		covers[at] = n->cover;
		if (n->kind == TREE_NODE_LEAF) {
			MS_TRY(build_leaf(b, n, &nodes[at], &ids[at]));
			continue;
		}
		bool second_is_left = false;
		ids[at] = 0;
		nodes[at].child = tail - at;
		b->max_child = MS_MAX(b->max_child, nodes[at].child);
		MS_TRY(build_split(b, n, number, &nodes[at], &second_is_left));
		MS_TRY(reach(b, number, second_is_left ? n->right : n->left, &tail));
		MS_TRY(reach(b, number, second_is_left ? n->left : n->right, &tail));
	}
	MS_TRY(check_all_reached(b));
	b->nodes.n -= b->tree_nodes - tail; // what was absent
	b->leaf_ids.n = b->covers.n = b->nodes.n;
	b->covers_missing = b->covers_missing || !(b->tree_covers || tail == 1); // a single leaf needs none
	tree.node_count = tail;
	tree.has_sets = b->sets.n > sets_before;
	tree.is_linear = b->tree_linear;
	b->tree_nodes = 0;
	return vec_push(b, &b->trees, &tree);
}

// --- Oblivious trees -----------------------------------------------------------------------------------

enum ms_err ms_forest_add_oblivious(struct forest_builder *b, const struct oblivious_test *tests, size_t depth,
				    uint32_t group, const double *values, const double *covers)
{
	MS_ASSERT(depth <= 30 && b->nodes.n == 0);
	MS_TRY(check_tree_room(b, group));
	b->any_oblivious = true;
	size_t width = b->params.vector_leaves ? b->params.group_count : 1;
	size_t count = ((size_t)1 << depth) * width;
	struct forest_tree tree = {
		.root = (uint32_t)b->tests.n,
		.node_count = (uint32_t)depth,
		.depth = (uint32_t)depth,
		.group = group,
		.first_leaf = b->values.n,
	};
	if (count > UINT32_MAX - b->values.n || depth > UINT32_MAX - b->tests.n)
		return ms_fail(b->info, MS_ERR_MODEL_TOO_LARGE, "the model has more than 2^32 leaf values");
	for (size_t i = 0; i < depth; i++) {
		if (tests[i].column >= source_count(b))
			return ms_fail(b->info, MS_ERR_MODEL_FORMAT,
				       "tree %zu, split %zu: feature %u is out of range (%zu features)", b->trees.n, i,
				       tests[i].column, b->params.feature_count);
		struct plain_test t = plain_test((enum tree_compare)tests[i].compare, tests[i].threshold,
						 tests[i].missing_true, b->params.input_single);
		struct forest_test test = {.threshold = t.threshold, .invert = !t.second_is_left};
		MS_TRY(find_column(b, tests[i].column, form_of(t.negated, false), &test.column));
		MS_TRY(vec_push(b, &b->tests, &test));
	}
	double *dst = vec_add(b, &b->values, count);
	if (dst == NULL)
		return no_memory(b);
	memcpy(dst, values, count * sizeof(*values));
	double *dst_covers = vec_add(b, &b->covers, count / width);
	if (dst_covers == NULL)
		return no_memory(b);
	if (covers != NULL)
		memcpy(dst_covers, covers, count / width * sizeof(*covers));
	else
		memset(dst_covers, 0, count / width * sizeof(*covers));
	b->covers_missing = b->covers_missing || (covers == NULL && depth > 0);
	return vec_push(b, &b->trees, &tree);
}

// --- Finish --------------------------------------------------------------------------------------------

// A copy of the vector in the forest's memory; NULL when memory is out.
static void *vec_keep(struct forest_builder *b, const struct vec *v)
{
	void *p = ms_arena_alloc(b->memory, v->n * v->item_size);
	if (p != NULL && v->n > 0)
		memcpy(p, v->p, v->n * v->item_size);
	return p;
}

// Groups the columns by form. ret_final: by provisional column.
static enum ms_err finish_columns(struct forest_builder *b, struct forest *f, uint32_t **ret_final)
{
	const struct column *columns = (const struct column *)(const void *)b->columns.p;
	uint32_t *final = MS_ARENA_ARRAY(b->scratch, uint32_t, b->columns.n);
	uint32_t *source = MS_ARENA_ARRAY(b->memory, uint32_t, b->columns.n);
	if (final == NULL || source == NULL)
		return no_memory(b);
	size_t n = 1;
	for (int form = 0; form < FOREST_FORM_COUNT; form++) {
		for (size_t i = 1; i < b->columns.n; i++) {
			if ((int)columns[i].form != form)
				continue;
			final[i] = (uint32_t)n;
			source[n++] = columns[i].source;
		}
		f->form_end[form] = n;
	}
	f->column_count = n;
	f->column_source = source;
	*ret_final = final;
	return MS_OK;
}

// Whether a node of 8 bytes holds all that is needed.
static bool fits_small_nodes(const struct forest_builder *b)
{
	return b->params.input_single && b->max_child <= UINT16_MAX && b->columns.n < FOREST_SET_COLUMN &&
	       b->sets.n <= UINT32_MAX && b->values.n + b->nodes.n <= UINT32_MAX;
}

static enum ms_err finish_wide(struct forest_builder *b, struct forest *f, const uint32_t *final)
{
	struct node_f64 *nodes = (struct node_f64 *)(void *)b->nodes.p;
	for (size_t i = 0; i < b->nodes.n; i++)
		if (nodes[i].column != FOREST_SET_COLUMN_WIDE)
			nodes[i].column = final[nodes[i].column];
	f->wide = true;
	f->leaf = b->params.vector_leaves ? FOREST_LEAF_INDEX : FOREST_LEAF_VALUE;
	f->nodes_f64 = vec_keep(b, &b->nodes);
	return f->nodes_f64 != NULL ? MS_OK : no_memory(b);
}

static enum ms_err finish_small(struct forest_builder *b, struct forest *f, const uint32_t *final)
{
	const struct node_f64 *nodes = (const struct node_f64 *)(const void *)b->nodes.p;
	struct node_f32 *small = MS_ARENA_ARRAY(b->memory, struct node_f32, b->nodes.n);
	if (small == NULL)
		return no_memory(b);
	f->leaf = b->params.sum_single && !b->params.vector_leaves ? FOREST_LEAF_VALUE : FOREST_LEAF_INDEX;
	for (size_t i = 0; i < b->nodes.n; i++) {
		const struct node_f64 *n = &nodes[i];
		struct node_f32 *dst = &small[i];
		dst->child = (uint16_t)n->child;
		if (n->column == FOREST_SET_COLUMN_WIDE) {
			dst->column = FOREST_SET_COLUMN;
			dst->index = (uint32_t)n->index;
		} else if (n->child > 0) {
			dst->column = (uint16_t) final[n->column];
			dst->threshold = (float)n->threshold;
		} else if (f->leaf == FOREST_LEAF_VALUE) {
			dst->value = (float)n->value;
		} else if (b->params.vector_leaves) {
			dst->index = (uint32_t)n->index;
		} else { // f64 values below f32 tests
			dst->index = (uint32_t)b->values.n;
			MS_TRY(vec_push(b, &b->values, &n->value));
		}
	}
	f->nodes_f32 = small;
	return MS_OK;
}

static enum ms_err finish_nodes(struct forest_builder *b, struct forest *f)
{
	uint32_t *final = NULL;
	MS_TRY(finish_columns(b, f, &final));
	if (b->any_oblivious) {
		struct forest_test *tests = (struct forest_test *)(void *)b->tests.p;
		for (size_t i = 0; i < b->tests.n; i++)
			tests[i].column = final[tests[i].column];
		f->oblivious = true;
		f->leaf = FOREST_LEAF_INDEX;
		return MS_OK;
	}
	return fits_small_nodes(b) ? finish_small(b, f, final) : finish_wide(b, f, final);
}

static enum ms_err finish_linear(struct forest_builder *b, struct forest *f)
{
	const struct linear_term *terms = (const struct linear_term *)(const void *)b->linear_terms.p;
	uint32_t *features = MS_ARENA_ARRAY(b->memory, uint32_t, b->linear_terms.n);
	double *coefficients = MS_ARENA_ARRAY(b->memory, double, b->linear_terms.n);
	f->linear = vec_keep(b, &b->linear);
	if (features == NULL || coefficients == NULL || f->linear == NULL)
		return no_memory(b);
	for (size_t i = 0; i < b->linear_terms.n; i++) {
		features[i] = terms[i].feature;
		coefficients[i] = terms[i].coefficient;
	}
	f->has_linear = true;
	f->linear_features = features;
	f->linear_coefficients = coefficients;
	return MS_OK;
}

static int compare_u64(const void *a, const void *b)
{
	uint64_t x, y;
	memcpy(&x, a, sizeof(x));
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

// Trees with set tests last, and the rest by depth, so that trees walked together end together.
static enum ms_err finish_order(struct forest_builder *b, struct forest *f)
{
	uint32_t *order = MS_ARENA_ARRAY(b->memory, uint32_t, f->tree_count);
	uint32_t *roots = MS_ARENA_ARRAY(b->memory, uint32_t, f->tree_count);
	uint32_t *plain = MS_ARENA_ARRAY(b->memory, uint32_t, f->tree_count / FOREST_BLOCK + 1);
	uint64_t *keys = MS_ARENA_ARRAY(b->scratch, uint64_t, FOREST_BLOCK);
	if (order == NULL || roots == NULL || plain == NULL || keys == NULL)
		return no_memory(b);
	for (size_t first = 0; first < f->tree_count; first += FOREST_BLOCK) {
		size_t n = MS_MIN(f->tree_count - first, FOREST_BLOCK);
		for (size_t i = 0; i < n; i++) {
			const struct forest_tree *t = &f->trees[first + i];
			keys[i] = (uint64_t)t->has_sets << 63 | (uint64_t)t->depth << 16 | i;
			plain[first / FOREST_BLOCK] += !t->has_sets;
		}
		qsort(keys, n, sizeof(keys[0]), compare_u64);
		for (size_t i = 0; i < n; i++) {
			order[first + i] = (uint32_t)(keys[i] & 0xffff);
			roots[first + i] = f->trees[first + order[first + i]].root;
		}
	}
	f->walk_order = order;
	f->walk_roots = roots;
	f->walk_plain = plain;
	return MS_OK;
}

static enum ms_err finish_params(struct forest_builder *b, struct forest *f)
{
	size_t k = b->params.group_count;
	double *start = MS_ARENA_ARRAY(b->memory, double, k), *bias = MS_ARENA_ARRAY(b->memory, double, k);
	if (start == NULL || bias == NULL)
		return no_memory(b);
	f->params = b->params;
	f->identity_end = b->params.scale == 1;
	for (size_t i = 0; i < k; i++) {
		start[i] = b->params.start != NULL ? b->params.start[i] : 0;
		bias[i] = b->params.bias != NULL ? b->params.bias[i] : 0;
		f->identity_end = f->identity_end && bias[i] == 0;
		MS_ASSERT(!b->params.sum_single || isnan(start[i]) || (double)(float)start[i] == start[i]);
	}
	f->params.start = start;
	f->params.bias = bias;
	return MS_OK;
}

enum ms_err ms_forest_finish(struct forest_builder *b, const struct forest **ret_forest)
{
	struct forest *f = MS_ARENA_NEW(b->memory, struct forest);
	if (f == NULL)
		return no_memory(b);
	MS_TRY(finish_params(b, f));
	MS_TRY(finish_nodes(b, f));
	if (b->any_linear)
		MS_TRY(finish_linear(b, f));
	f->tree_count = b->trees.n;
	f->node_count = b->any_oblivious ? b->tests.n + b->values.n : b->nodes.n;
	f->trees = vec_keep(b, &b->trees);
	f->leaf_ids = vec_keep(b, &b->leaf_ids);
	f->tests = vec_keep(b, &b->tests);
	f->values = vec_keep(b, &b->values);
	f->test_count = b->tests.n;
	f->sets = vec_keep(b, &b->sets);
	f->set_count = b->sets.n;
	f->set_words = vec_keep(b, &b->set_words);
	f->category_count = b->categories.n;
	f->category_source = vec_keep(b, &b->categories);
	if (f->trees == NULL || f->leaf_ids == NULL || f->tests == NULL || f->values == NULL || f->sets == NULL ||
	    f->set_words == NULL || f->category_source == NULL)
		return no_memory(b);
	MS_TRY(finish_order(b, f));
	f->plan = ms_plan_build(f, b->kernel, b->isa, b->memory, b->scratch);
	if (f->plan == NULL)
		return no_memory(b);
	const double *covers = b->covers_missing ? NULL : (const double *)(const void *)b->covers.p;
	MS_TRY(ms_shap_new(f, b->covers.n > 0 ? covers : &(double){0}, b->params.computed_feature, b->scratch,
			   b->memory, b->info));
	*ret_forest = f;
	return MS_OK;
}
