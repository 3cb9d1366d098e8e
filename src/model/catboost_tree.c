// SPDX-License-Identifier: Apache-2.0
#include <float.h>

#include "model/catboost.h"

// CatBoost itself stops at 16.
#define OBLIVIOUS_DEPTH_MAX 30
#define BIT(i) ((uint64_t)1 << (i))

// "x > border" of a float feature, or "x has the value" of a category.
struct cat_test {
	uint32_t column; // of the forest
	bool category;
	bool nan_holds;
	double border;
};

// A node of a tree that is not symmetric, as it is read.
struct cat_node {
	struct cat_test test;
	uint32_t left, right; // numbers; 0: a leaf, as nothing leads to the root
	size_t first_value;   // of a leaf, in tree_reader.values
	double cover;         // of a leaf; splits get the sum
	bool has_cover;
};

struct tree_reader {
	struct cat_model *m;
	struct doc *doc;
	struct forest_builder *builder; // NULL while the first tree is only looked at
	size_t number;
	size_t width; // values of a leaf; 0: not known yet

	// The present tree.
	struct cat_test tests[OBLIVIOUS_DEPTH_MAX];
	size_t test_count;
	struct cat_node *nodes;
	size_t node_count;
	size_t node_capacity;
	struct doc_array values; // f64
	struct doc_array leaf;   // f64, one leaf
	struct doc_array covers; // f64, per leaf of an oblivious tree; none: not known
	uint32_t *stack;         // node_count numbers
	size_t stack_capacity;
};

// --- Splits --------------------------------------------------------------------------------------------

struct split_record {
	struct slice type;
	int64_t float_index;
	int64_t category_index;
	int64_t value;
	double border;
};
enum { SPLIT_BORDER, SPLIT_CATEGORY_INDEX, SPLIT_FLOAT_INDEX, SPLIT_TYPE, SPLIT_VALUE };
static const char *const split_members[] = {
	[SPLIT_BORDER] = "border",
	[SPLIT_CATEGORY_INDEX] = "cat_feature_index",
	[SPLIT_FLOAT_INDEX] = "float_feature_index",
	[SPLIT_TYPE] = "split_type",
	[SPLIT_VALUE] = "value",
};

static bool resolve_float(struct tree_reader *r, const struct split_record *s, struct cat_test *ret_test)
{
	const struct cat_model *m = r->m;
	if (s->float_index < 0 || (uint64_t)s->float_index >= m->float_count || !m->floats[s->float_index].present) {
		ms_doc_fail(r->doc, MS_ERR_MODEL_FORMAT, "float feature %lld is not among the float_features",
			    (long long)s->float_index);
		return false;
	}
	if (!(s->border >= -FLT_MAX && s->border <= FLT_MAX)) {
		ms_doc_fail(r->doc, MS_ERR_MODEL_FORMAT, "the border %g is no float of 32 bits", s->border);
		return false;
	}
	const struct cat_float_feature *f = &m->floats[s->float_index];
	*ret_test = (struct cat_test){
		.column = f->column,
		.nan_holds = f->nan_is_true,
		.border = (double)(float)s->border,
	};
	return true;
}

static bool resolve_category(struct tree_reader *r, const struct split_record *s, struct cat_test *ret_test)
{
	const struct cat_model *m = r->m;
	if (s->category_index < 0 || (uint64_t)s->category_index >= m->category_count ||
	    !m->categories[s->category_index].present) {
		ms_doc_fail(r->doc, MS_ERR_MODEL_FORMAT,
			    "categorical feature %lld is not among the categorical_features",
			    (long long)s->category_index);
		return false;
	}
	const struct cat_category_feature *c = &m->categories[s->category_index];
	int32_t value = (int32_t)(uint32_t)s->value;
	size_t place = ms_cat_find_value(c, value);
	if (s->value < INT32_MIN || s->value > UINT32_MAX || place == c->value_count) {
		ms_doc_fail(r->doc, MS_ERR_MODEL_FORMAT, "%lld is not among the values of categorical feature %lld",
			    (long long)s->value, (long long)s->category_index);
		return false;
	}
	*ret_test = (struct cat_test){
		.column = (uint32_t)(m->feature_count + c->first_computed + place),
		.category = true,
	};
	return true;
}

static bool read_split(struct tree_reader *r, struct cat_test *ret_test)
{
	struct doc_object o = {.what = "split", .names = split_members, .count = MS_ARRAY_LEN(split_members)};
	struct split_record s = {0};
	struct doc *d = r->doc;
	size_t member;
	if (!ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok = false;
		switch (member) {
		case SPLIT_BORDER:
			ok = ms_doc_read_f64(d, &s.border);
			break;
		case SPLIT_CATEGORY_INDEX:
			ok = ms_doc_read_i64(d, &s.category_index);
			break;
		case SPLIT_FLOAT_INDEX:
			ok = ms_doc_read_i64(d, &s.float_index);
			break;
		case SPLIT_TYPE:
			ok = ms_doc_read_string(d, &s.type);
			break;
		case SPLIT_VALUE:
			ok = ms_doc_read_i64(d, &s.value);
			break;
		}
		if (!ok)
			return false;
	}
	if (!ms_doc_require(d, &o, BIT(SPLIT_TYPE)))
		return false;
	if (ms_slice_eq_cstr(s.type, "FloatFeature"))
		return ms_doc_require(d, &o, BIT(SPLIT_FLOAT_INDEX) | BIT(SPLIT_BORDER)) &&
		       resolve_float(r, &s, ret_test);
	if (ms_slice_eq_cstr(s.type, "OneHotFeature"))
		return ms_doc_require(d, &o, BIT(SPLIT_CATEGORY_INDEX) | BIT(SPLIT_VALUE)) &&
		       resolve_category(r, &s, ret_test);
	ms_doc_fail(d, MS_ERR_MODEL_UNSUPPORTED,
		    "splits of the type '%.*s' are not supported; FloatFeature and OneHotFeature are",
		    MS_SLICE_ARG(s.type));
	return false;
}

// --- Oblivious trees -----------------------------------------------------------------------------------

static bool read_splits(struct tree_reader *r)
{
	struct doc *d = r->doc;
	r->test_count = 0;
	if (ms_doc_take_null(d)) // a tree of one leaf
		return true;
	if (!ms_doc_enter_array(d))
		return false;
	while (ms_doc_next_item(d)) {
		if (r->test_count == OBLIVIOUS_DEPTH_MAX) {
			ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "more than %d splits", OBLIVIOUS_DEPTH_MAX);
			return false;
		}
		if (!read_split(r, &r->tests[r->test_count++]))
			return false;
	}
	return ms_doc_err(d) == MS_OK;
}

static bool read_oblivious(struct tree_reader *r)
{
	enum { LEAF_VALUES, LEAF_WEIGHTS, SPLITS };
	static const char *const names[] = {"leaf_values", "leaf_weights", "splits"};
	struct doc_object o = {.what = "oblivious_trees", .names = names, .count = MS_ARRAY_LEN(names)};
	size_t member;
	r->covers.count = 0;
	if (!ms_doc_enter_object(r->doc, &o))
		return false;
	while (ms_doc_next_member(r->doc, &o, &member)) {
		bool ok = false;
		switch (member) {
		case LEAF_VALUES:
			ok = ms_doc_read_f64_array(r->doc, &r->values);
			break;
		case LEAF_WEIGHTS:
			ok = ms_doc_take_null(r->doc) || ms_doc_read_f64_array(r->doc, &r->covers);
			break;
		case SPLITS:
			ok = read_splits(r);
			break;
		}
		if (!ok)
			return false;
	}
	return ms_doc_require(r->doc, &o, BIT(LEAF_VALUES) | BIT(SPLITS));
}

static enum ms_err check_oblivious(struct tree_reader *r)
{
	size_t leaves = (size_t)1 << r->test_count, count = r->values.count;
	if (r->width == 0 && count >= leaves && count % leaves == 0)
		r->width = count / leaves;
	if (r->width == 0 || count / r->width != leaves || count % r->width != 0)
		return ms_fail(r->m->ctx->info, MS_ERR_MODEL_FORMAT,
			       "tree %zu: leaf_values has %zu items, expected 2^%zu leaves of %zu", r->number, count,
			       r->test_count, MS_MAX(r->width, (size_t)1));
	if (r->covers.count != 0 && r->covers.count != leaves)
		return ms_fail(r->m->ctx->info, MS_ERR_MODEL_FORMAT,
			       "tree %zu: leaf_weights has %zu items, expected 2^%zu", r->number, r->covers.count,
			       r->test_count);
	return MS_OK;
}

// CatBoost's tests are "greater"; that a category has a value shows as 0 in its computed column.
static enum ms_err add_oblivious(struct tree_reader *r)
{
	struct oblivious_test tests[OBLIVIOUS_DEPTH_MAX];
	for (size_t i = 0; i < r->test_count; i++)
		tests[i] = (struct oblivious_test){
			.column = r->tests[i].column,
			.compare = r->tests[i].category ? TREE_LE : TREE_GT,
			.missing_true = r->tests[i].nan_holds,
			.threshold = r->tests[i].category ? 0.5 : r->tests[i].border,
		};
	return ms_forest_add_oblivious(r->builder, tests, r->test_count, 0, r->values.f64,
				       r->covers.count > 0 ? r->covers.f64 : NULL);
}

// --- Other trees ---------------------------------------------------------------------------------------

static bool new_node(struct tree_reader *r, uint32_t *ret_number)
{
	if (r->node_count == r->node_capacity) {
		size_t wanted = r->node_capacity < 64 ? 64 : r->node_capacity * 2, size = sizeof(*r->nodes);
		struct cat_node *nodes = wanted > INT32_MAX ? NULL
							    : ms_arena_grow(r->m->ctx->scratch, r->nodes,
									    r->node_capacity * size, wanted * size);
		if (nodes == NULL) {
			ms_doc_fail_memory(r->doc);
			return false;
		}
		r->nodes = nodes;
		r->node_capacity = wanted;
	}
	*ret_number = (uint32_t)r->node_count++;
	r->nodes[*ret_number] = (struct cat_node){0};
	return true;
}

// A number, or an array of them when there is more than one output.
static bool read_leaf(struct tree_reader *r, uint32_t number)
{
	struct doc *d = r->doc;
	if (ms_doc_peek(d) == JSON_ARRAY) {
		if (!ms_doc_read_f64_array(d, &r->leaf))
			return false;
	} else {
		double value;
		if (!ms_doc_read_f64(d, &value) || !ms_doc_reserve_f64(d, &r->leaf, 1))
			return false;
		r->leaf.f64[0] = value;
		r->leaf.count = 1;
	}
	if (r->width == 0)
		r->width = r->leaf.count;
	if (r->leaf.count != r->width || r->width == 0) {
		ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "a leaf has %zu values, expected %zu", r->leaf.count,
			    MS_MAX(r->width, (size_t)1));
		return false;
	}
	if (!ms_doc_reserve_f64(d, &r->values, r->values.count + r->width))
		return false;
	memcpy(r->values.f64 + r->values.count, r->leaf.f64, r->width * sizeof(double));
	r->nodes[number].first_value = r->values.count;
	r->values.count += r->width;
	return true;
}

// Recursion is as deep as the document, which the JSON reader bounds.
static bool read_node(struct tree_reader *r, uint32_t *ret_number)
{
	enum { LEFT, RIGHT, SPLIT, VALUE, WEIGHT };
	static const char *const names[] = {"left", "right", "split", "value", "weight"};
	struct doc_object o = {.what = "trees", .names = names, .count = MS_ARRAY_LEN(names)};
	struct doc *d = r->doc;
	uint32_t number, left = 0, right = 0;
	struct cat_test test = {0};
	size_t member;
	if (!new_node(r, &number) || !ms_doc_enter_object(d, &o))
		return false;
	while (ms_doc_next_member(d, &o, &member)) {
		bool ok = false;
		switch (member) {
		case LEFT:
			ok = read_node(r, &left);
			break;
		case RIGHT:
			ok = read_node(r, &right);
			break;
		case SPLIT:
			ok = read_split(r, &test);
			break;
		case VALUE:
			ok = read_leaf(r, number);
			break;
		case WEIGHT:
			ok = ms_doc_read_f64(d, &r->nodes[number].cover);
			r->nodes[number].has_cover = ok;
			break;
		}
		if (!ok)
			return false;
	}
	*ret_number = number;
	if (ms_doc_has(&o, VALUE)) {
		if ((o.seen & (BIT(LEFT) | BIT(RIGHT) | BIT(SPLIT))) == 0)
			return ms_doc_err(d) == MS_OK;
		ms_doc_fail(d, MS_ERR_MODEL_FORMAT, "a node is a leaf ('value') and a split at once");
		return false;
	}
	r->nodes[number].test = test;
	r->nodes[number].left = left;
	r->nodes[number].right = right;
	return ms_doc_require(d, &o, BIT(LEFT) | BIT(RIGHT) | BIT(SPLIT));
}

static bool read_nodes(struct tree_reader *r)
{
	uint32_t root;
	r->node_count = 0;
	r->values.count = 0;
	return read_node(r, &root);
}

static void fill_split(const struct cat_node *from, struct tree_node *to)
{
	to->kind = TREE_NODE_NUMERIC;
	to->column = from->test.column;
	to->left = from->left;
	to->right = from->right;
	if (from->test.category) { // 1: it has another value, and goes left
		to->compare = TREE_GT;
		to->threshold = 0.5;
	} else { // greater goes right
		to->compare = TREE_LE;
		to->threshold = from->test.border;
		to->missing_left = !from->test.nan_holds;
	}
}

static enum ms_err fill_leaf(struct tree_reader *r, const struct cat_node *from, struct tree_node *to)
{
	to->kind = TREE_NODE_LEAF;
	if (r->width > 1)
		return ms_forest_add_vector(r->builder, r->values.f64 + from->first_value, &to->vector);
	to->value = r->values.f64[from->first_value];
	return MS_OK;
}

// Leaves are numbered from left to right, as CatBoost does when it loads the file.
static enum ms_err add_nodes(struct tree_reader *r)
{
	struct tree_node *nodes;
	MS_TRY(ms_forest_tree_begin(r->builder, r->node_count, 0, &nodes));
	if (r->stack_capacity < r->node_count) {
		r->stack = MS_ARENA_ARRAY(r->m->ctx->scratch, uint32_t, r->node_capacity);
		r->stack_capacity = r->stack != NULL ? r->node_capacity : 0;
		if (r->stack == NULL)
			return ms_fail(r->m->ctx->info, MS_ERR_MODEL_TOO_LARGE,
				       "tree %zu: the model needs more memory than it may use", r->number);
	}
	uint32_t leaf = 0;
	size_t depth = 0;
	r->stack[depth++] = 0;
	while (depth > 0) {
		uint32_t number = r->stack[--depth];
		const struct cat_node *node = &r->nodes[number];
		if (node->left == 0) {
			nodes[number].leaf = leaf++;
			MS_TRY(fill_leaf(r, node, &nodes[number]));
			continue;
		}
		fill_split(node, &nodes[number]);
		r->stack[depth++] = node->right;
		r->stack[depth++] = node->left;
	}
	// Children have larger numbers than their parents.
	bool has_covers = true;
	for (size_t i = r->node_count; i-- > 0;) {
		const struct cat_node *node = &r->nodes[i];
		nodes[i].cover = node->left == 0 ? node->cover : nodes[node->left].cover + nodes[node->right].cover;
		has_covers = has_covers && (node->left != 0 || node->has_cover);
	}
	if (has_covers)
		ms_forest_tree_has_covers(r->builder);
	return ms_forest_tree_end(r->builder, 0);
}

// --- The array of trees --------------------------------------------------------------------------------

static enum ms_err read_one(struct tree_reader *r)
{
	r->doc->item_number = r->number;
	if (!r->m->oblivious)
		return read_nodes(r) ? MS_OK : ms_doc_err(r->doc);
	if (!read_oblivious(r))
		return ms_doc_err(r->doc);
	return check_oblivious(r);
}

// Learns from the first tree how many outputs the model has; without trees the bias tells.
static enum ms_err find_width(struct cat_model *m, size_t *ret_width)
{
	struct doc first = m->trees;
	struct tree_reader r = {.m = m, .doc = &first};
	first.item = "tree";
	*ret_width = MS_MAX(m->bias.count, (size_t)1);
	if (ms_doc_take_null(&first))
		return MS_OK;
	if (!ms_doc_enter_array(&first))
		return ms_doc_close(&first, ms_doc_err(&first));
	if (ms_doc_next_item(&first)) {
		MS_TRY(ms_doc_close(&first, read_one(&r)));
		*ret_width = r.width;
	}
	return ms_doc_close(&first, ms_doc_err(&first));
}

static enum ms_err new_builder(struct tree_reader *r)
{
	struct cat_model *m = r->m;
	double *bias = MS_ARENA_ARRAY(m->ctx->scratch, double, r->width);
	if (bias == NULL)
		return ms_fail(m->ctx->info, MS_ERR_MODEL_TOO_LARGE, "the model needs more memory than it may use");
	if (m->bias.count > 1 && m->bias.count != r->width)
		return ms_fail(m->ctx->info, MS_ERR_MODEL_FORMAT,
			       "scale_and_bias has %zu biases, expected one or one for each of %zu outputs",
			       m->bias.count, r->width);
	uint32_t *computed_feature = MS_ARENA_ARRAY(m->ctx->scratch, uint32_t, m->one_hot->computed_count);
	if (computed_feature == NULL)
		return ms_fail(m->ctx->info, MS_ERR_MODEL_TOO_LARGE, "the model needs more memory than it may use");
	for (size_t i = 0; i < m->one_hot->feature_count; i++) {
		const struct cat_category_feature *c = &m->one_hot->features[i];
		for (size_t v = 0; v < c->value_count; v++)
			computed_feature[c->first_computed + v] = c->column;
	}
	for (size_t i = 0; i < r->width && m->bias.count > 0; i++)
		bias[i] = m->bias.f64[m->bias.count > 1 ? i : 0];
	struct forest_params params = {
		.feature_count = m->feature_count,
		.computed_count = m->one_hot->computed_count,
		.compute = m->one_hot->computed_count > 0 ? ms_cat_compute : NULL,
		.compute_context = m->one_hot,
		.computed_feature = computed_feature,
		.group_count = r->width,
		.vector_leaves = r->width > 1,
		.input_single = true,
		.scale = m->scale,
		.bias = bias,
	};
	return ms_forest_builder_new(&params, m->ctx->options, m->ctx->scratch, m->ctx->memory, m->ctx->info,
				     &r->builder);
}

static enum ms_err read_trees(struct tree_reader *r)
{
	struct doc *d = r->doc;
	if (ms_doc_take_null(d))
		return MS_OK;
	if (!ms_doc_enter_array(d))
		return ms_doc_err(d);
	for (; ms_doc_next_item(d); r->number++) {
		MS_TRY(read_one(r));
		MS_TRY(r->m->oblivious ? add_oblivious(r) : add_nodes(r));
		ms_loader_progress(r->m->ctx, ms_doc_offset(d));
	}
	return ms_doc_err(d);
}

enum ms_err ms_cat_read_forest(struct cat_model *m, const struct forest **ret_forest)
{
	struct tree_reader r = {.m = m, .doc = &m->trees};
	MS_TRY(find_width(m, &r.width));
	if (r.width > m->ctx->options->max_classes)
		return ms_fail(m->ctx->info, MS_ERR_MODEL_TOO_LARGE,
			       "the model has %zu outputs, at most %zu are allowed", r.width,
			       m->ctx->options->max_classes);
	m->trees.item = "tree";
	m->output_count = r.width;
	MS_TRY(new_builder(&r));
	MS_TRY(ms_doc_close(&m->trees, read_trees(&r)));
	return ms_forest_finish(r.builder, ret_forest);
}
