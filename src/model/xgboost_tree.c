// SPDX-License-Identifier: Apache-2.0
#include "model/xgboost.h"

// Categories are below this: XGBoost reads them as float, which counts exactly so far.
#define CATEGORY_END (1 << 24)
// The sets of a model may take this much memory, and so much more for every byte of the file: a set is as large as
// its largest category says.
#define SET_BYTES_FREE ((size_t)16 << 20)
#define SET_BYTES_PER_FILE_BYTE 32

enum {
	TREE_BASE_WEIGHTS,
	TREE_CATEGORIES,
	TREE_CATEGORIES_NODES,
	TREE_CATEGORIES_SEGMENTS,
	TREE_CATEGORIES_SIZES,
	TREE_DEFAULT_LEFT,
	TREE_LEAF_WEIGHTS,
	TREE_LEFT_CHILDREN,
	TREE_RIGHT_CHILDREN,
	TREE_SPLIT_CONDITIONS,
	TREE_SPLIT_INDICES,
	TREE_SPLIT_TYPE,
	TREE_SUM_HESSIAN,
	TREE_PARAM,
	TREE_MEMBER_COUNT
};
static const char *const tree_members[] = {
	[TREE_BASE_WEIGHTS] = "base_weights",         [TREE_CATEGORIES] = "categories",
	[TREE_CATEGORIES_NODES] = "categories_nodes", [TREE_CATEGORIES_SEGMENTS] = "categories_segments",
	[TREE_CATEGORIES_SIZES] = "categories_sizes", [TREE_DEFAULT_LEFT] = "default_left",
	[TREE_LEAF_WEIGHTS] = "leaf_weights",         [TREE_LEFT_CHILDREN] = "left_children",
	[TREE_RIGHT_CHILDREN] = "right_children",     [TREE_SPLIT_CONDITIONS] = "split_conditions",
	[TREE_SPLIT_INDICES] = "split_indices",       [TREE_SPLIT_TYPE] = "split_type",
	[TREE_SUM_HESSIAN] = "sum_hessian",           [TREE_PARAM] = "tree_param",
};
#define BIT(i) ((uint64_t)1 << (i))
#define CATEGORY_MEMBERS \
	(BIT(TREE_CATEGORIES) | BIT(TREE_CATEGORIES_NODES) | BIT(TREE_CATEGORIES_SEGMENTS) | BIT(TREE_CATEGORIES_SIZES))

enum tree_array_type { ARRAY_I64, ARRAY_F32 };
static const enum tree_array_type array_types[] = {
	[TREE_BASE_WEIGHTS] = ARRAY_F32, [TREE_LEAF_WEIGHTS] = ARRAY_F32, [TREE_SPLIT_CONDITIONS] = ARRAY_F32,
	[TREE_SPLIT_TYPE] = ARRAY_I64,   [TREE_SUM_HESSIAN] = ARRAY_F32,
};

struct tree_reader {
	struct xgb_model *m;
	struct doc *doc;
	struct forest_builder *builder;
	bool vector_leaves;
	size_t set_words_left; // budget of the whole model

	// The present tree; arrays are reused.
	size_t number;
	uint64_t seen;
	size_t node_count;
	size_t leaf_width;
	struct doc_array arrays[TREE_MEMBER_COUNT];
	uint32_t *stack;     // node_count + 1 numbers
	uint32_t *segments;  // by node: number of its set + 1, or 0; only when there are sets
	size_t capacity;     // of the two
	uint32_t *set_words; // bits of one set
	size_t set_capacity;
	size_t vectors_left; // leaves that may still take values from leaf_weights
	double *vector;      // output_count values
};

static bool read_tree_param(struct doc *d, size_t *ret_node_count, size_t *ret_leaf_width)
{
	enum { NUM_NODES, SIZE_LEAF_VECTOR };
	static const char *const names[] = {"num_nodes", "size_leaf_vector"};
	struct doc_object o = {.what = "tree_param", .names = names, .count = MS_ARRAY_LEN(names)};
	size_t member, leaf_width = 0;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		size_t *dst = member == NUM_NODES ? ret_node_count : &leaf_width;
		if (!ms_xgb_read_count(d, names[member], INT32_MAX, dst))
			return false;
	}
	*ret_leaf_width = MS_MAX(leaf_width, (size_t)1); // 0 in old files
	return ms_doc_require(d, &o, BIT(NUM_NODES));
}

// Reads what the present tree has to say.
static bool read_tree(struct tree_reader *r)
{
	struct doc *d = r->doc;
	struct doc_object o = {.what = "tree", .names = tree_members, .count = TREE_MEMBER_COUNT};
	size_t member;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok;
		if (member == TREE_PARAM)
			ok = read_tree_param(d, &r->node_count, &r->leaf_width);
		else if (member == TREE_BASE_WEIGHTS && !r->vector_leaves)
			ok = ms_doc_skip(d); // the values of scalar leaves are among the split conditions
		else if (member < MS_ARRAY_LEN(array_types) && array_types[member] == ARRAY_F32)
			ok = ms_doc_read_f32_array(d, &r->arrays[member]);
		else
			ok = ms_doc_read_i64_array(d, &r->arrays[member]);
		if (!ok)
			return false;
	}
	r->seen = o.seen;
	uint64_t required = BIT(TREE_DEFAULT_LEFT) | BIT(TREE_LEFT_CHILDREN) | BIT(TREE_RIGHT_CHILDREN) |
			    BIT(TREE_SPLIT_CONDITIONS) | BIT(TREE_SPLIT_INDICES) | BIT(TREE_PARAM);
	if ((o.seen & CATEGORY_MEMBERS) != 0 || (o.seen & BIT(TREE_SPLIT_TYPE)) != 0)
		required |= CATEGORY_MEMBERS | BIT(TREE_SPLIT_TYPE);
	return ms_doc_require(d, &o, required);
}

static enum ms_err check_counts(struct tree_reader *r)
{
	static const uint8_t per_node[] = {TREE_DEFAULT_LEFT,     TREE_LEFT_CHILDREN, TREE_RIGHT_CHILDREN,
					   TREE_SPLIT_CONDITIONS, TREE_SPLIT_INDICES, TREE_SPLIT_TYPE,
					   TREE_SUM_HESSIAN};
	struct errinfo *info = r->m->ctx->info;
	if (r->node_count == 0)
		return ms_fail(info, MS_ERR_MODEL_FORMAT, "tree %zu has no nodes; a tree has at least its root",
			       r->number);
	for (size_t i = 0; i < MS_ARRAY_LEN(per_node); i++) {
		size_t member = per_node[i], count = r->arrays[member].count;
		if ((r->seen & BIT(member)) != 0 && count != r->node_count)
			return ms_fail(info, MS_ERR_MODEL_FORMAT, "tree %zu: %s has %zu items, num_nodes says %zu",
				       r->number, tree_members[member], count, r->node_count);
	}
	if ((r->leaf_width > 1) != r->vector_leaves || (r->vector_leaves && r->leaf_width != r->m->output_count))
		return ms_fail(info, MS_ERR_MODEL_FORMAT,
			       "tree %zu: its leaves hold %zu values (size_leaf_vector), expected %zu", r->number,
			       r->leaf_width, r->vector_leaves ? r->m->output_count : (size_t)1);
	size_t weights = r->arrays[TREE_BASE_WEIGHTS].count;
	if (r->vector_leaves && (r->seen & BIT(TREE_LEAF_WEIGHTS)) == 0 &&
	    ((r->seen & BIT(TREE_BASE_WEIGHTS)) == 0 || weights != r->node_count * r->leaf_width))
		return ms_fail(info, MS_ERR_MODEL_FORMAT,
			       "tree %zu: base_weights has %zu items, expected %zu nodes of %zu values", r->number,
			       weights, r->node_count, r->leaf_width);
	return MS_OK;
}

static enum ms_err no_memory(struct tree_reader *r)
{
	return ms_fail(r->m->ctx->info, MS_ERR_MODEL_TOO_LARGE, "tree %zu: the model needs more memory than it may use",
		       r->number);
}

static enum ms_err make_room(struct tree_reader *r)
{
	if (r->node_count < r->capacity)
		return MS_OK;
	size_t capacity = MS_MAX(r->node_count + 1, r->capacity * 2);
	r->stack = MS_ARENA_ARRAY(r->m->ctx->scratch, uint32_t, capacity);
	r->segments = MS_ARENA_ARRAY(r->m->ctx->scratch, uint32_t, capacity);
	r->capacity = r->stack != NULL && r->segments != NULL ? capacity : 0;
	return r->capacity > 0 ? MS_OK : no_memory(r);
}

// Notes which node has which set.
static enum ms_err index_sets(struct tree_reader *r)
{
	struct errinfo *info = r->m->ctx->info;
	const struct doc_array *nodes = &r->arrays[TREE_CATEGORIES_NODES];
	size_t count = nodes->count;
	if (count != r->arrays[TREE_CATEGORIES_SEGMENTS].count || count != r->arrays[TREE_CATEGORIES_SIZES].count)
		return ms_fail(info, MS_ERR_MODEL_FORMAT,
			       "tree %zu: categories_nodes, categories_segments and categories_sizes have %zu, %zu and "
			       "%zu items; "
			       "they must have the same number",
			       r->number, count, r->arrays[TREE_CATEGORIES_SEGMENTS].count,
			       r->arrays[TREE_CATEGORIES_SIZES].count);
	if (count > 0)
		memset(r->segments, 0, r->node_count * sizeof(*r->segments));
	for (size_t i = 0; i < count; i++) {
		int64_t node = nodes->i64[i];
		if (node < 0 || (uint64_t)node >= r->node_count)
			return ms_fail(info, MS_ERR_MODEL_FORMAT,
				       "tree %zu: categories_nodes names node %lld, the tree has %zu", r->number,
				       (long long)node, r->node_count);
		if (r->segments[node] != 0)
			return ms_fail(info, MS_ERR_MODEL_FORMAT, "tree %zu, node %lld: it has two sets of categories",
				       r->number, (long long)node);
		r->segments[node] = (uint32_t)i + 1;
	}
	return MS_OK;
}

// Bits of the categories [begin, begin + size) of the tree into set_words.
static enum ms_err fill_set(struct tree_reader *r, uint32_t node, const int64_t *categories, size_t count,
			    size_t *ret_word_count)
{
	struct errinfo *info = r->m->ctx->info;
	int64_t largest = -1;
	for (size_t i = 0; i < count; i++) {
		if (categories[i] < 0 || categories[i] >= CATEGORY_END)
			return ms_fail(info, MS_ERR_MODEL_FORMAT,
				       "tree %zu, node %u: category %lld is out of range (0 to %d)", r->number, node,
				       (long long)categories[i], CATEGORY_END - 1);
		largest = MS_MAX(largest, categories[i]);
	}
	size_t words = (size_t)(largest / 32) + (largest >= 0);
	if (words > r->set_words_left)
		return ms_fail(info, MS_ERR_MODEL_TOO_LARGE,
			       "tree %zu, node %u: the model's sets of categories take more memory than a file of "
			       "%zu bytes may ask for",
			       r->number, node, r->m->ctx->bytes.n);
	r->set_words_left -= words;
	if (words > r->set_capacity) {
		r->set_words = MS_ARENA_ARRAY(r->m->ctx->scratch, uint32_t, words * 2);
		r->set_capacity = r->set_words != NULL ? words * 2 : 0;
		if (r->set_words == NULL)
			return no_memory(r);
	}
	if (words > 0)
		memset(r->set_words, 0, words * sizeof(*r->set_words));
	for (size_t i = 0; i < count; i++)
		r->set_words[categories[i] / 32] |= UINT32_C(1) << (categories[i] % 32);
	*ret_word_count = words;
	return MS_OK;
}

static enum ms_err build_set(struct tree_reader *r, uint32_t number, struct tree_node *node)
{
	struct errinfo *info = r->m->ctx->info;
	uint32_t segment = r->arrays[TREE_CATEGORIES_NODES].count > 0 ? r->segments[number] : 0;
	if (segment == 0)
		return ms_fail(info, MS_ERR_MODEL_FORMAT,
			       "tree %zu, node %u: it splits by category (split_type 1), but categories_nodes does not "
			       "name it",
			       r->number, number);
	int64_t begin = r->arrays[TREE_CATEGORIES_SEGMENTS].i64[segment - 1];
	int64_t size = r->arrays[TREE_CATEGORIES_SIZES].i64[segment - 1];
	size_t total = r->arrays[TREE_CATEGORIES].count;
	if (begin < 0 || size < 0 || (uint64_t)begin > total || (uint64_t)size > total - (uint64_t)begin)
		return ms_fail(info, MS_ERR_MODEL_FORMAT,
			       "tree %zu, node %u: its set is the %lld categories from %lld, the tree has %zu",
			       r->number, number, (long long)size, (long long)begin, total);
	size_t words = 0;
	MS_TRY(fill_set(r, number, r->arrays[TREE_CATEGORIES].i64 + begin, (size_t)size, &words));
	node->kind = TREE_NODE_SET; // members go right, and so in_set_left stays false
	node->set.word_count = (uint32_t)words;
	MS_TRY(ms_forest_add_set(r->builder, r->set_words, words, &node->set.first_word));
	r->m->used_as_category[node->column] = true;
	return MS_OK;
}

static enum ms_err build_split(struct tree_reader *r, uint32_t number, struct tree_node *node)
{
	int64_t left = r->arrays[TREE_LEFT_CHILDREN].i64[number];
	int64_t right = r->arrays[TREE_RIGHT_CHILDREN].i64[number];
	int64_t feature = r->arrays[TREE_SPLIT_INDICES].i64[number];
	struct errinfo *info = r->m->ctx->info;
	if (left < 0 || right < 0 || (uint64_t)left >= r->node_count || (uint64_t)right >= r->node_count)
		return ms_fail(info, MS_ERR_MODEL_FORMAT,
			       "tree %zu, node %u: its children are %lld and %lld, the tree has %zu nodes", r->number,
			       number, (long long)left, (long long)right, r->node_count);
	if (feature < 0 || (uint64_t)feature >= r->m->feature_count)
		return ms_fail(info, MS_ERR_MODEL_FORMAT,
			       "tree %zu, node %u: it splits on feature %lld, the model has %zu", r->number, number,
			       (long long)feature, r->m->feature_count);
	node->left = (uint32_t)left;
	node->right = (uint32_t)right;
	node->column = (uint32_t)feature;
	node->missing_left = r->arrays[TREE_DEFAULT_LEFT].i64[number] != 0;
	if ((r->seen & BIT(TREE_SPLIT_TYPE)) != 0 && r->arrays[TREE_SPLIT_TYPE].i64[number] != 0)
		return build_set(r, number, node);
	node->kind = TREE_NODE_NUMERIC;
	node->compare = TREE_LT;
	node->threshold = (double)r->arrays[TREE_SPLIT_CONDITIONS].f32[number];
	return MS_OK;
}

static enum ms_err build_leaf(struct tree_reader *r, uint32_t number, struct tree_node *node)
{
	float weight = r->m->has_tree_weights ? r->m->tree_weights.f32[r->number] : 1.0f;
	node->kind = TREE_NODE_LEAF;
	node->leaf = number;
	if (!r->vector_leaves) {
		// XGBoost multiplies and adds in two roundings, so the product may be kept.
		node->value = (double)(r->arrays[TREE_SPLIT_CONDITIONS].f32[number] * weight);
		return MS_OK;
	}
	const struct doc_array *values = &r->arrays[TREE_BASE_WEIGHTS];
	size_t place = number;
	if ((r->seen & BIT(TREE_LEAF_WEIGHTS)) != 0) { // since 3.2: leaves alone, their number in place of a child
		values = &r->arrays[TREE_LEAF_WEIGHTS];
		int64_t leaf = r->arrays[TREE_RIGHT_CHILDREN].i64[number];
		if (r->vectors_left == 0)
			return ms_fail(
				r->m->ctx->info, MS_ERR_MODEL_FORMAT,
				"tree %zu, node %u: the tree has more leaves than leaf_weights has values for (%zu)",
				r->number, number, values->count / r->leaf_width);
		r->vectors_left--;
		if (leaf < 0 || (uint64_t)leaf >= values->count / r->leaf_width)
			return ms_fail(r->m->ctx->info, MS_ERR_MODEL_FORMAT,
				       "tree %zu, node %u: it is leaf %lld, but leaf_weights has values for %zu",
				       r->number, number, (long long)leaf, values->count / r->leaf_width);
		place = (size_t)leaf;
	}
	for (size_t i = 0; i < r->leaf_width; i++)
		r->vector[i] = (double)(values->f32[place * r->leaf_width + i] * weight);
	return ms_forest_add_vector(r->builder, r->vector, &node->vector);
}

// Describes every node that the root leads to; pruned nodes stay in the file but nothing leads to them. A node
// that is reached twice is described once, and the builder refuses it.
static enum ms_err build_tree(struct tree_reader *r)
{
	uint32_t group = r->vector_leaves ? 0 : (uint32_t)r->m->tree_groups.i64[r->number];
	struct tree_node *nodes;
	MS_TRY(ms_forest_tree_begin(r->builder, r->node_count, group, &nodes));
	r->vectors_left = r->arrays[TREE_LEAF_WEIGHTS].count / r->leaf_width;
	const bool has_covers = (r->seen & BIT(TREE_SUM_HESSIAN)) != 0;
	if (has_covers)
		ms_forest_tree_has_covers(r->builder);
	size_t depth = 0;
	r->stack[depth++] = 0;
	while (depth > 0) {
		uint32_t number = r->stack[--depth];
		struct tree_node *node = &nodes[number];
		if (node->kind != TREE_NODE_ABSENT)
			continue;
		if (has_covers)
			node->cover = (double)r->arrays[TREE_SUM_HESSIAN].f32[number];
		if (r->arrays[TREE_LEFT_CHILDREN].i64[number] == -1) {
			MS_TRY(build_leaf(r, number, node));
			continue;
		}
		MS_TRY(build_split(r, number, node));
		r->stack[depth++] = node->right;
		r->stack[depth++] = node->left;
	}
	return ms_forest_tree_end(r->builder, 0);
}

// The number of values in the leaves of the first tree; 1 when there is no tree.
static bool peek_leaf_width(struct doc *trees, size_t *ret_width)
{
	static const char *const names[] = {"tree_param"};
	struct doc_object o = {.what = "tree", .names = names, .count = 1};
	size_t member, node_count;
	*ret_width = 1;
	if (!ms_doc_enter_array(trees))
		return false;
	trees->item = "tree";
	trees->item_number = 0;
	if (!ms_doc_next_item(trees))
		return ms_doc_err(trees) == MS_OK;
	if (!ms_doc_enter_object(trees, &o))
		return false;
	while (ms_doc_next_member(trees, &o, &member))
		if (!read_tree_param(trees, &node_count, ret_width))
			return false;
	return ms_doc_require(trees, &o, 1);
}

static enum ms_err check_model(struct xgb_model *m)
{
	struct errinfo *info = m->ctx->info;
	if (m->tree_groups.count != m->tree_count)
		return ms_fail(info, MS_ERR_MODEL_FORMAT, "tree_info has %zu items, num_trees says %zu",
			       m->tree_groups.count, m->tree_count);
	for (size_t i = 0; i < m->tree_count; i++)
		if (m->tree_groups.i64[i] < 0 || (uint64_t)m->tree_groups.i64[i] >= m->output_count)
			return ms_fail(info, MS_ERR_MODEL_FORMAT,
				       "tree_info: tree %zu belongs to output %lld, the model has %zu", i,
				       (long long)m->tree_groups.i64[i], m->output_count);
	if (m->has_tree_weights && m->tree_weights.count != m->tree_count)
		return ms_fail(info, MS_ERR_MODEL_FORMAT, "weight_drop has %zu items, num_trees says %zu",
			       m->tree_weights.count, m->tree_count);
	return MS_OK;
}

static enum ms_err new_builder(struct tree_reader *r)
{
	struct xgb_model *m = r->m;
	double *start = MS_ARENA_ARRAY(m->ctx->scratch, double, m->output_count);
	r->vector = MS_ARENA_ARRAY(m->ctx->scratch, double, m->output_count);
	m->used_as_category = MS_ARENA_ARRAY(m->ctx->scratch, bool, m->feature_count);
	if (start == NULL || r->vector == NULL || m->used_as_category == NULL)
		return no_memory(r);
	for (size_t i = 0; i < m->output_count; i++)
		start[i] = (double)m->base_margins[i];
	struct forest_params params = {
		.feature_count = m->feature_count,
		.group_count = m->output_count,
		.vector_leaves = r->vector_leaves,
		.input_single = true,
		.sum_single = true,
		.category_rule = FOREST_CATEGORY_XGBOOST,
		.start = start,
		.scale = 1,
	};
	return ms_forest_builder_new(&params, m->ctx->options, m->ctx->scratch, m->ctx->memory, m->ctx->info,
				     &r->builder);
}

static enum ms_err read_trees(struct tree_reader *r)
{
	struct doc *d = r->doc;
	if (!ms_doc_enter_array(d))
		return ms_doc_err(d);
	d->item = "tree";
	for (; ms_doc_next_item(d); r->number++) {
		d->item_number = r->number;
		if (r->number == r->m->tree_count)
			return ms_fail(r->m->ctx->info, MS_ERR_MODEL_FORMAT,
				       "the model holds more trees than num_trees says (%zu)", r->m->tree_count);
		if (!read_tree(r))
			return ms_doc_err(d);
		MS_TRY(check_counts(r));
		MS_TRY(make_room(r));
		if ((r->seen & BIT(TREE_CATEGORIES_NODES)) != 0)
			MS_TRY(index_sets(r));
		else
			r->arrays[TREE_CATEGORIES_NODES].count = 0;
		MS_TRY(build_tree(r));
		ms_loader_progress(r->m->ctx, ms_doc_offset(d));
	}
	if (ms_doc_err(d) != MS_OK)
		return ms_doc_err(d);
	if (r->number < r->m->tree_count)
		return ms_fail(r->m->ctx->info, MS_ERR_MODEL_FORMAT, "the model holds %zu trees, num_trees says %zu",
			       r->number, r->m->tree_count);
	return MS_OK;
}

enum ms_err ms_xgb_read_forest(struct xgb_model *m, const struct forest **ret_forest)
{
	MS_TRY(check_model(m));
	struct doc first = m->trees;
	size_t leaf_width;
	if (!peek_leaf_width(&first, &leaf_width))
		return ms_doc_close(&first, ms_doc_err(&first));
	size_t budget = SET_BYTES_FREE + m->ctx->bytes.n * SET_BYTES_PER_FILE_BYTE;
	struct tree_reader r = {
		.m = m,
		.doc = &m->trees,
		.vector_leaves = leaf_width > 1,
		.set_words_left = budget / sizeof(uint32_t),
	};
	MS_TRY(new_builder(&r));
	MS_TRY(ms_doc_close(&m->trees, read_trees(&r)));
	return ms_forest_finish(r.builder, ret_forest);
}
