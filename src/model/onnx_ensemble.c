// SPDX-License-Identifier: Apache-2.0
// TreeEnsembleClassifier, TreeEnsembleRegressor (ai.onnx.ml 1 and 3) and TreeEnsemble (5): their attributes become one
// table, and the table forests and the end of the ensemble.
#include <math.h>
#include <stdlib.h>

#include "model/onnx_tree.h"

// Of an ensemble whose trees are compared one by one (MIN, MAX): a forest for each target.
#define SLOTS_MAX ((size_t)1 << 20)
#define NODES_MAX ((size_t)1 << 26)
// Leaves that hold a value for each target, though the file names a few only: so many values, and more for each byte.
#define LEAF_VALUES_FREE ((size_t)1 << 21)
#define LEAF_VALUES_PER_BYTE 8

struct reader {
	struct onnx_graph *g;
	const struct onnx_node *n;
	struct ensemble e;
	bool classifier;
	bool any_f64; // some list is of doubles
	enum pipeline_post post;
	enum pipeline_aggregate aggregate;
	double *base;
	size_t base_count;
};

static enum ms_err fail(struct reader *r, const char *what)
{
	return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_FORMAT, "%s", what);
}

static enum ms_err no_memory(struct reader *r)
{
	return ms_onnx_no_memory(r->g->ctx);
}

// --- Lists -------------------------------------------------------------------------------------------------

static enum ms_err read_ints(struct reader *r, const char *name, size_t want, int64_t **ret_values)
{
	size_t count;
	MS_TRY(ms_onnx_attr_ints(r->g->file, r->n, name, ret_values, &count));
	if (count != want)
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_FORMAT, "%s has %zu values, %zu are expected", name,
				    count, want);
	return MS_OK;
}

// The tensor attribute `name`; a count of 0 when there is none.
static enum ms_err read_tensor(struct reader *r, const char *name, double **ret_values, size_t *ret_count)
{
	struct onnx_tensor t;
	*ret_count = 0;
	MS_TRY(ms_onnx_attr_tensor(r->g->file, r->n, name, &t));
	if (t.type == ONNX_UNDEFINED)
		return MS_OK;
	MS_TRY(ms_onnx_tensor_numbers(r->g->file, &t, ret_values));
	*ret_count = t.count;
	r->any_f64 = r->any_f64 || (t.type == ONNX_DOUBLE && t.count > 0);
	return MS_OK;
}

// Numbers from the list `name` of floats, or from the tensor `tensor`.
static enum ms_err read_reals(struct reader *r, const char *name, const char *tensor, double **ret_values,
			      size_t *ret_count)
{
	float *floats = NULL;
	double *doubles = NULL;
	size_t float_count, double_count;
	MS_TRY(ms_onnx_attr_floats(r->g->file, r->n, name, &floats, &float_count));
	MS_TRY(read_tensor(r, tensor, &doubles, &double_count));
	if (float_count > 0 && double_count > 0)
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_FORMAT, "%s and %s exclude each other", name,
				    tensor);
	*ret_values = doubles;
	*ret_count = MS_MAX(float_count, double_count);
	if (double_count > 0)
		return MS_OK;
	*ret_values = ms_arena_alloc(r->g->ctx->scratch, float_count * sizeof(double));
	if (*ret_values == NULL)
		return no_memory(r);
	for (size_t i = 0; i < float_count; i++)
		(*ret_values)[i] = (double)floats[i];
	return MS_OK;
}

static enum ms_err read_modes(struct reader *r, size_t count)
{
	static const char *const names[] = {
		[MODE_LEQ] = "BRANCH_LEQ", [MODE_LT] = "BRANCH_LT", [MODE_GTE] = "BRANCH_GTE",
		[MODE_GT] = "BRANCH_GT",   [MODE_EQ] = "BRANCH_EQ", [MODE_NEQ] = "BRANCH_NEQ",
		[MODE_LEAF] = "LEAF"};
	struct slice *texts = NULL;
	size_t n;
	MS_TRY(ms_onnx_attr_strings(r->g->file, r->n, "nodes_modes", &texts, &n));
	if (n != count)
		return fail(r, "nodes_modes and nodes_treeids differ in length");
	for (size_t i = 0; i < count; i++) {
		uint8_t mode = 0;
		if (i > 0 && ms_slice_eq(texts[i], texts[i - 1])) {
			r->e.nodes[i].mode = r->e.nodes[i - 1].mode;
			continue;
		}
		while (mode <= MODE_LEAF && (names[mode] == NULL || !ms_slice_eq_cstr(texts[i], names[mode])))
			mode++;
		if (mode > MODE_LEAF)
			return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_UNSUPPORTED, "the node mode \"%.*s\"",
					    MS_SLICE_ARG(texts[i]));
		r->e.nodes[i].mode = mode;
	}
	return MS_OK;
}

static enum ms_err set_feature(struct reader *r, struct ensemble_node *n, int64_t feature, size_t at)
{
	if (feature < 0 || (uint64_t)feature >= r->e.feature_count)
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_FORMAT,
				    "tree node %zu tests feature %lld, but its input has %zu", at, (long long)feature,
				    r->e.feature_count);
	n->feature = (uint32_t)feature;
	return MS_OK;
}

static enum ms_err check_target(struct reader *r, int64_t target, double weight)
{
	if (target < 0 || (uint64_t)target >= r->e.target_count)
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_FORMAT,
				    "a leaf has a weight for target %lld, but there are %zu", (long long)target,
				    r->e.target_count);
	if (isnan(weight) && (r->aggregate == PIPELINE_AGGREGATE_MIN || r->aggregate == PIPELINE_AGGREGATE_MAX))
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_UNSUPPORTED,
				    "a weight is NaN, and the smallest or largest is asked for");
	return MS_OK;
}

// --- Versions 1 and 3 --------------------------------------------------------------------------------------

// Which node has an id of the file: nodes of one tree stand together, most often with the ids 0, 1, 2 …
struct node_index {
	const int64_t *tree_ids, *node_ids;
	size_t *order; // places sorted by tree and node, or NULL: ids are dense
	size_t count;
	int64_t *tree_of; // per tree: its id
	size_t tree_count;
	size_t last_tree; // found last
};

static int compare_ids(const void *a, const void *b, void *context)
{
	const struct node_index *index = context;
	size_t x = *(const size_t *)a, y = *(const size_t *)b;
	if (index->tree_ids[x] != index->tree_ids[y])
		return index->tree_ids[x] < index->tree_ids[y] ? -1 : 1;
	return (index->node_ids[x] > index->node_ids[y]) - (index->node_ids[x] < index->node_ids[y]);
}

// Trees are runs of nodes with one tree id. A tree id that comes again later is refused, as ids that are not different.
static enum ms_err find_trees(struct reader *r, struct node_index *index)
{
	struct ensemble *e = &r->e;
	bool dense = true;
	e->trees = MS_ARENA_ARRAY(r->g->ctx->scratch, struct ensemble_tree, e->node_count);
	index->tree_of = ms_arena_alloc(r->g->ctx->scratch, e->node_count * sizeof(*index->tree_of));
	if (e->trees == NULL || index->tree_of == NULL)
		return no_memory(r);
	for (size_t i = 0; i < e->node_count; i++) {
		if (i == 0 || index->tree_ids[i] != index->tree_ids[i - 1]) {
			dense = dense && (i == 0 || index->tree_ids[i] > index->tree_ids[i - 1]);
			index->tree_of[e->tree_count] = index->tree_ids[i];
			e->trees[e->tree_count++] = (struct ensemble_tree){.first = (uint32_t)i, .root = (uint32_t)i};
		}
		struct ensemble_tree *t = &e->trees[e->tree_count - 1];
		dense = dense && index->node_ids[i] == (int64_t)t->count;
		t->count++;
	}
	index->tree_count = e->tree_count;
	index->count = e->node_count;
	if (dense)
		return MS_OK;
	index->order = ms_arena_alloc(r->g->ctx->scratch, e->node_count * sizeof(*index->order));
	if (index->order == NULL)
		return no_memory(r);
	for (size_t i = 0; i < e->node_count; i++)
		index->order[i] = i;
	qsort_r(index->order, e->node_count, sizeof(*index->order), compare_ids, index);
	size_t runs = 1;
	for (size_t i = 1; i < e->node_count; i++) {
		size_t a = index->order[i - 1], b = index->order[i];
		if (index->tree_ids[a] == index->tree_ids[b] && index->node_ids[a] == index->node_ids[b])
			return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_FORMAT, "tree %lld has two nodes %lld",
					    (long long)index->tree_ids[a], (long long)index->node_ids[a]);
		runs += index->tree_ids[a] != index->tree_ids[b];
	}
	if (runs != e->tree_count)
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_UNSUPPORTED,
				    "the nodes of a tree do not stand together");
	return MS_OK;
}

// Place of the node; false when there is none.
static bool find_node(const struct ensemble *e, struct node_index *index, int64_t tree, int64_t node, size_t *ret_at)
{
	if (index->order == NULL) {
		if (index->tree_of[index->last_tree] != tree) {
			size_t low = 0, high = index->tree_count;
			while (low < high) {
				size_t middle = low + (high - low) / 2;
				if (index->tree_of[middle] < tree)
					low = middle + 1;
				else
					high = middle;
			}
			if (low == index->tree_count || index->tree_of[low] != tree)
				return false;
			index->last_tree = low;
		}
		const struct ensemble_tree *t = &e->trees[index->last_tree];
		*ret_at = t->first + (size_t)node;
		return node >= 0 && node < (int64_t)t->count;
	}
	size_t low = 0, high = index->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2, at = index->order[middle];
		if (index->tree_ids[at] < tree || (index->tree_ids[at] == tree && index->node_ids[at] < node))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == index->count)
		return false;
	*ret_at = index->order[low];
	return index->tree_ids[*ret_at] == tree && index->node_ids[*ret_at] == node;
}

static enum ms_err link_child(struct reader *r, struct node_index *index, int64_t tree, int64_t from, int64_t child,
			      uint32_t *ret_at)
{
	size_t at = 0;
	if (!find_node(&r->e, index, tree, child, &at))
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_FORMAT,
				    "tree %lld, node %lld: there is no node %lld", (long long)tree, (long long)from,
				    (long long)child);
	if (from == child)
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_FORMAT, "tree %lld, node %lld is a child of itself",
				    (long long)tree, (long long)from);
	*ret_at = (uint32_t)at;
	return MS_OK;
}

// Lists that are looked at once give their memory back: each is as long as the ensemble has nodes.
static enum ms_err read_node_values(struct reader *r, size_t count)
{
	struct arena_mark mark = ms_arena_mark(r->g->ctx->scratch);
	int64_t *features = NULL, *missing = NULL;
	double *values = NULL;
	size_t value_count, missing_count;
	MS_TRY(read_modes(r, count));
	ms_arena_rewind(r->g->ctx->scratch, mark);
	MS_TRY(read_ints(r, "nodes_featureids", count, &features));
	for (size_t i = 0; i < count; i++)
		if (r->e.nodes[i].mode != MODE_LEAF)
			MS_TRY(set_feature(r, &r->e.nodes[i], features[i], i));
	ms_arena_rewind(r->g->ctx->scratch, mark);
	MS_TRY(read_reals(r, "nodes_values", "nodes_values_as_tensor", &values, &value_count));
	MS_TRY(ms_onnx_attr_ints(r->g->file, r->n, "nodes_missing_value_tracks_true", &missing, &missing_count));
	if (value_count != count || missing_count > count)
		return fail(r, "nodes_values and nodes_treeids differ in length");
	for (size_t i = 0; i < count; i++) {
		r->e.nodes[i].value = values[i];
		r->e.nodes[i].missing_true = i < missing_count && missing[i] == 1;
	}
	ms_arena_rewind(r->g->ctx->scratch, mark);
	return MS_OK;
}

static enum ms_err read_nodes(struct reader *r, struct node_index *index)
{
	struct ensemble *e = &r->e;
	int64_t *true_ids, *false_ids, *tree_ids, *node_ids;
	size_t count;
	MS_TRY(ms_onnx_attr_ints(r->g->file, r->n, "nodes_treeids", &tree_ids, &count));
	if (count == 0 || count > INT32_MAX)
		return fail(r, count == 0 ? "it has no trees" : "it has more than 2^31 nodes");
	e->node_count = count;
	e->nodes = MS_ARENA_ARRAY(r->g->ctx->scratch, struct ensemble_node, count);
	if (e->nodes == NULL)
		return no_memory(r);
	MS_TRY(read_node_values(r, count));
	MS_TRY(read_ints(r, "nodes_nodeids", count, &node_ids));
	index->tree_ids = tree_ids;
	index->node_ids = node_ids;
	MS_TRY(find_trees(r, index));
	struct arena_mark mark = ms_arena_mark(r->g->ctx->scratch);
	MS_TRY(read_ints(r, "nodes_truenodeids", count, &true_ids));
	MS_TRY(read_ints(r, "nodes_falsenodeids", count, &false_ids));
	for (size_t i = 0; i < count; i++) {
		struct ensemble_node *n = &e->nodes[i];
		n->id = node_ids[i] >= 0 && node_ids[i] <= UINT32_MAX ? (uint32_t)node_ids[i] : 0;
		if (n->mode == MODE_LEAF)
			continue;
		MS_TRY(link_child(r, index, tree_ids[i], node_ids[i], true_ids[i], &n->true_at));
		MS_TRY(link_child(r, index, tree_ids[i], node_ids[i], false_ids[i], &n->false_at));
	}
	ms_arena_rewind(r->g->ctx->scratch, mark);
	return MS_OK;
}

// Two weights of one leaf for one target would be one sum here and two in ONNX Runtime.
static enum ms_err check_different(struct reader *r)
{
	const struct ensemble *e = &r->e;
	uint32_t *last = MS_ARENA_ARRAY(r->g->ctx->scratch, uint32_t, e->target_count); // leaf + 1
	if (last == NULL)
		return no_memory(r);
	for (uint32_t i = 0; i < e->node_count; i++) {
		const struct ensemble_node *n = &e->nodes[i];
		for (uint32_t k = 0; k < n->weight_count; k++) {
			uint32_t target = e->weights[n->first_weight + k].target;
			if (last[target] == i + 1)
				return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_UNSUPPORTED,
						    "leaf %u has two weights for target %u", n->id, target);
			last[target] = i + 1;
		}
	}
	return MS_OK;
}

// Weights by leaf, in the order of the file: count, place, fill.
static enum ms_err place_weights(struct reader *r, const uint32_t *leaf_of, const int64_t *targets,
				 const double *weights, size_t count)
{
	struct ensemble *e = &r->e;
	uint32_t next = 0;
	for (size_t i = 0; i < count; i++)
		e->nodes[leaf_of[i]].weight_count += e->nodes[leaf_of[i]].mode == MODE_LEAF;
	for (size_t i = 0; i < e->node_count; i++) {
		struct ensemble_node *n = &e->nodes[i];
		if (n->mode == MODE_LEAF && n->weight_count == 0)
			return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_FORMAT, "leaf %u has no weight", n->id);
		n->first_weight = next;
		next += n->weight_count;
		n->weight_count = 0;
	}
	for (size_t i = 0; i < count; i++) {
		struct ensemble_node *n = &e->nodes[leaf_of[i]];
		if (n->mode != MODE_LEAF)
			continue; // old versions of onnxmltools wrote such; ONNX Runtime ignores them
		e->weights[n->first_weight + n->weight_count++] =
			(struct ensemble_weight){(uint32_t)targets[i], weights[i]};
	}
	return check_different(r);
}

static enum ms_err read_weights(struct reader *r, struct node_index *index)
{
	static const char *const names[2][5] = {
		{"target_ids", "target_treeids", "target_nodeids", "target_weights", "target_weights_as_tensor"},
		{"class_ids", "class_treeids", "class_nodeids", "class_weights", "class_weights_as_tensor"},
	};
	const char *const *name = names[r->classifier];
	struct ensemble *e = &r->e;
	int64_t *targets, *trees, *nodes;
	double *weights = NULL;
	size_t count, weight_count;
	MS_TRY(ms_onnx_attr_ints(r->g->file, r->n, name[0], &targets, &count));
	MS_TRY(read_ints(r, name[1], count, &trees));
	MS_TRY(read_ints(r, name[2], count, &nodes));
	MS_TRY(read_reals(r, name[3], name[4], &weights, &weight_count));
	if (weight_count != count || count > UINT32_MAX)
		return fail(r, "the lists of weights differ in length");
	uint32_t *leaf_of = ms_arena_alloc(r->g->ctx->scratch, count * sizeof(*leaf_of));
	e->weights = MS_ARENA_ARRAY(r->g->ctx->scratch, struct ensemble_weight, count);
	if (leaf_of == NULL || e->weights == NULL)
		return no_memory(r);
	for (size_t i = 0; i < count; i++) {
		size_t at = 0;
		if (!find_node(e, index, trees[i], nodes[i], &at))
			return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_FORMAT,
					    "a weight belongs to node %lld of tree %lld, which is not there",
					    (long long)nodes[i], (long long)trees[i]);
		leaf_of[i] = (uint32_t)at;
		MS_TRY(check_target(r, targets[i], weights[i]));
	}
	e->weight_count = count;
	return place_weights(r, leaf_of, targets, weights, count);
}

// --- Version 5 -----------------------------------------------------------------------------------------------

struct lists5 {
	int64_t *roots, *features, *true_ids, *false_ids, *true_leaf, *false_leaf, *missing, *targets;
	double *modes, *splits, *weights, *members;
	size_t root_count, count, missing_count, leaf_count, member_count;
	uint32_t *first_member, *members_of; // per node of mode MEMBER
	uint32_t *place;                     // per node: its place in the table + 1, in the present tree
};

static enum ms_err read_lists5(struct reader *r, struct lists5 *l)
{
	size_t n;
	MS_TRY(ms_onnx_attr_ints(r->g->file, r->n, "nodes_featureids", &l->features, &l->count));
	MS_TRY(ms_onnx_attr_ints(r->g->file, r->n, "tree_roots", &l->roots, &l->root_count));
	if (l->count == 0 || l->count > INT32_MAX / 4 || l->root_count == 0)
		return fail(r, "it has no trees, or too many nodes");
	MS_TRY(read_ints(r, "nodes_truenodeids", l->count, &l->true_ids));
	MS_TRY(read_ints(r, "nodes_falsenodeids", l->count, &l->false_ids));
	MS_TRY(read_ints(r, "nodes_trueleafs", l->count, &l->true_leaf));
	MS_TRY(read_ints(r, "nodes_falseleafs", l->count, &l->false_leaf));
	MS_TRY(ms_onnx_attr_ints(r->g->file, r->n, "nodes_missing_value_tracks_true", &l->missing, &l->missing_count));
	MS_TRY(read_tensor(r, "nodes_modes", &l->modes, &n));
	if (n != l->count || l->missing_count > l->count)
		return fail(r, "nodes_modes and nodes_featureids differ in length");
	MS_TRY(read_tensor(r, "nodes_splits", &l->splits, &n));
	if (n != l->count)
		return fail(r, "nodes_splits and nodes_featureids differ in length");
	MS_TRY(ms_onnx_attr_ints(r->g->file, r->n, "leaf_targetids", &l->targets, &l->leaf_count));
	MS_TRY(read_tensor(r, "leaf_weights", &l->weights, &n));
	if (n != l->leaf_count)
		return fail(r, "leaf_weights and leaf_targetids differ in length");
	for (size_t i = 0; i < l->leaf_count; i++)
		MS_TRY(check_target(r, l->targets[i], l->weights[i]));
	return read_tensor(r, "membership_values", &l->members, &l->member_count);
}

// The sets stand in the order of the nodes that use them, each ended by NaN.
static enum ms_err split_members(struct reader *r, struct lists5 *l)
{
	l->first_member = MS_ARENA_ARRAY(r->g->ctx->scratch, uint32_t, l->count);
	l->members_of = MS_ARENA_ARRAY(r->g->ctx->scratch, uint32_t, l->count);
	if (l->first_member == NULL || l->members_of == NULL)
		return no_memory(r);
	size_t at = 0;
	for (size_t i = 0; i < l->count; i++) {
		if (!(l->modes[i] >= 0 && l->modes[i] < MODE_LEAF))
			return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_UNSUPPORTED, "the node mode %g",
					    l->modes[i]);
		if (l->modes[i] != MODE_MEMBER)
			continue;
		l->first_member[i] = (uint32_t)at;
		while (at < l->member_count && !isnan(l->members[at]))
			at++;
		l->members_of[i] = (uint32_t)at - l->first_member[i];
		if (at == l->member_count && i + 1 < l->count && l->members_of[i] == 0)
			return fail(r, "membership_values has fewer sets than there are nodes of that mode");
		at += at < l->member_count;
	}
	return MS_OK;
}

static enum ms_err add_node5(struct reader *r, const struct ensemble_node *n, uint32_t *ret_at)
{
	struct ensemble *e = &r->e;
	*ret_at = (uint32_t)e->node_count;
	e->nodes[e->node_count++] = *n;
	e->trees[e->tree_count].count++;
	return MS_OK;
}

static enum ms_err add_child5(struct reader *r, const struct lists5 *l, int64_t child, bool leaf, uint32_t *queue,
			      size_t *tail, uint32_t *ret_at)
{
	struct ensemble_node n = {.mode = MODE_LEAF, .weight_count = 1};
	if (child < 0 || (uint64_t)child >= (leaf ? l->leaf_count : l->count))
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_FORMAT, "tree %zu points at %s %lld of %zu",
				    r->e.tree_count, leaf ? "leaf" : "node", (long long)child,
				    leaf ? l->leaf_count : l->count);
	if (!leaf && l->place[child] != 0) { // a chain of equalities may come back to it; the builder refuses the rest
		*ret_at = l->place[child] - 1;
		return *ret_at >= r->e.trees[r->e.tree_count].first ? MS_OK : fail(r, "nodes belong to several trees");
	}
	if (r->e.node_count >= 3 * l->count)
		return fail(r, "nodes belong to several trees");
	if (leaf) {
		n.id = n.first_weight = (uint32_t)child;
		return add_node5(r, &n, ret_at);
	}
	n.mode = (uint8_t)l->modes[child];
	n.value = l->splits[child];
	n.missing_true = (size_t)child < l->missing_count && l->missing[child] == 1;
	n.first_member = l->first_member[child];
	n.member_count = l->members_of[child];
	MS_TRY(set_feature(r, &n, l->features[child], (size_t)child));
	MS_TRY(add_node5(r, &n, ret_at));
	l->place[child] = *ret_at + 1;
	queue[(*tail)++] = (uint32_t)child;
	return MS_OK;
}

static enum ms_err add_tree5(struct reader *r, const struct lists5 *l, int64_t root, uint32_t *queue)
{
	struct ensemble *e = &r->e;
	size_t tail = 0;
	uint32_t at;
	struct ensemble_tree *t = &e->trees[e->tree_count];
	*t = (struct ensemble_tree){.first = (uint32_t)e->node_count, .root = (uint32_t)e->node_count};
	MS_TRY(add_child5(r, l, root, false, queue, &tail, &at));
	if (at != t->root)
		return fail(r, "nodes belong to several trees");
	for (size_t head = 0; head < tail; head++) {
		uint32_t from = queue[head], place = l->place[from] - 1, child;
		bool true_leaf = l->true_leaf[from] != 0, false_leaf = l->false_leaf[from] != 0;
		MS_TRY(add_child5(r, l, l->true_ids[from], true_leaf, queue, &tail, &child));
		e->nodes[place].true_at = child;
		// A tree of one leaf is written as a split whose sides are the same leaf.
		MS_TRY(add_child5(r, l, l->false_ids[from], false_leaf, queue, &tail, &child));
		e->nodes[place].false_at = child;
	}
	e->tree_count++;
	return MS_OK;
}

static enum ms_err read_version5(struct reader *r)
{
	struct lists5 l = {0};
	struct ensemble *e = &r->e;
	MS_TRY(read_lists5(r, &l));
	MS_TRY(split_members(r, &l));
	if (l.root_count > l.count)
		return fail(r, "nodes belong to several trees");
	e->nodes = MS_ARENA_ARRAY(r->g->ctx->scratch, struct ensemble_node, 3 * l.count);
	e->trees = MS_ARENA_ARRAY(r->g->ctx->scratch, struct ensemble_tree, l.root_count);
	e->weights = MS_ARENA_ARRAY(r->g->ctx->scratch, struct ensemble_weight, l.leaf_count);
	l.place = MS_ARENA_ARRAY(r->g->ctx->scratch, uint32_t, l.count);
	uint32_t *queue = MS_ARENA_ARRAY(r->g->ctx->scratch, uint32_t, l.count);
	if (e->nodes == NULL || e->trees == NULL || e->weights == NULL || l.place == NULL || queue == NULL)
		return no_memory(r);
	for (size_t i = 0; i < l.leaf_count; i++)
		e->weights[i] = (struct ensemble_weight){(uint32_t)l.targets[i], l.weights[i]};
	e->weight_count = l.leaf_count;
	e->members = l.members;
	for (size_t i = 0; i < l.root_count; i++)
		MS_TRY(add_tree5(r, &l, l.roots[i], queue));
	return MS_OK;
}

// --- The ensemble --------------------------------------------------------------------------------------------

static void find_shared(struct ensemble *e)
{
	uint32_t child;
	for (int side = 0; side < 2; side++)
		for (size_t i = 0; i < e->node_count; i++) {
			if (e->nodes[i].mode == MODE_LEAF)
				continue;
			child = side == 0 ? e->nodes[i].true_at : e->nodes[i].false_at;
			// `folded` counts the first parent for a while.
			e->nodes[child].shared = e->nodes[child].shared || e->nodes[child].folded;
			e->nodes[child].folded = true;
		}
	for (size_t i = 0; i < e->node_count; i++)
		e->nodes[i].folded = false;
	for (size_t i = 0; i < e->tree_count; i++)
		e->nodes[e->trees[i].root].shared = true; // nothing comes before a root
}

static enum ms_err read_options(struct reader *r)
{
	static const char *const posts[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"};
	static const char *const aggregates[] = {"AVERAGE", "SUM", "MIN", "MAX"};
	struct slice post = MS_SLICE_LIT("NONE"), aggregate = MS_SLICE_LIT("SUM");
	size_t p = 0, a = 0;
	MS_TRY(ms_onnx_attr_string(r->g->file, r->n, "post_transform", &post));
	if (!r->classifier)
		MS_TRY(ms_onnx_attr_string(r->g->file, r->n, "aggregate_function", &aggregate));
	while (p < MS_ARRAY_LEN(posts) && !ms_slice_eq_cstr(post, posts[p]))
		p++;
	while (a < MS_ARRAY_LEN(aggregates) && !ms_slice_eq_cstr(aggregate, aggregates[a]))
		a++;
	if (p == MS_ARRAY_LEN(posts) || a == MS_ARRAY_LEN(aggregates))
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_UNSUPPORTED, "%s \"%.*s\"",
				    p == MS_ARRAY_LEN(posts) ? "post_transform" : "aggregate_function",
				    MS_SLICE_ARG(p == MS_ARRAY_LEN(posts) ? post : aggregate));
	r->post = (enum pipeline_post)p;
	r->aggregate = (enum pipeline_aggregate)a;
	return MS_OK;
}

static enum ms_err read_options5(struct reader *r)
{
	int64_t post = 0, aggregate = 1, targets = 1;
	MS_TRY(ms_onnx_attr_int(r->g->file, r->n, "post_transform", &post));
	MS_TRY(ms_onnx_attr_int(r->g->file, r->n, "aggregate_function", &aggregate));
	MS_TRY(ms_onnx_attr_int(r->g->file, r->n, "n_targets", &targets));
	if (post < 0 || post > PIPELINE_PROBIT || aggregate < 0 || aggregate > PIPELINE_AGGREGATE_MAX)
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_UNSUPPORTED,
				    "post_transform %lld, aggregate_function %lld", (long long)post,
				    (long long)aggregate);
	// The specification numbers SOFTMAX 1 and LOGISTIC 2, ONNX Runtime (1.31) the other way round.
	if (targets > 1 && (post == PIPELINE_SOFTMAX_POST || post == PIPELINE_LOGISTIC))
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_UNSUPPORTED,
				    "post_transform %lld, which ONNX Runtime reads otherwise than ONNX says",
				    (long long)post);
	r->post = (enum pipeline_post)post;
	r->aggregate = (enum pipeline_aggregate)aggregate;
	r->e.target_count = targets > 0 ? (size_t)targets : 0;
	return MS_OK;
}

static enum ms_err check_counts(struct reader *r)
{
	size_t max = r->g->ctx->options->max_classes, n = r->e.target_count;
	if (n == 0)
		return fail(r, "it has no targets");
	if (n > max)
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_TOO_LARGE,
				    "it has %zu targets, at most %zu are allowed", n, max);
	return MS_OK;
}

// What the classifier's end has to know of its weights.
static enum ms_err describe_classes(struct reader *r, struct pipeline_end *end)
{
	const struct ensemble *e = &r->e;
	bool seen[2] = {false, false};
	end->class_count = e->target_count;
	end->all_positive = true;
	for (size_t i = 0; i < e->weight_count; i++) {
		end->all_positive = end->all_positive && !(e->weights[i].value < 0);
		seen[e->weights[i].target != 0] = true;
	}
	if (e->target_count == 1)
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_UNSUPPORTED, "a classifier of a single class");
	if (r->base_count != 0 && r->base_count != e->target_count && e->target_count != 2)
		return fail(r, "there are neither no base_values nor one for each class");
	end->one_column = e->target_count == 2 && !(seen[0] && seen[1]);
	end->column = seen[1];
	end->target_count = end->one_column ? 1 : e->target_count;
	if (end->one_column && end->column == 0 && r->base_count < 2 && r->post == PIPELINE_PROBIT)
		return ms_onnx_fail(r->g->file, r->n, MS_ERR_MODEL_UNSUPPORTED,
				    "PROBIT of a single score: ONNX Runtime leaves the second one undefined");
	return MS_OK;
}

// Emits forest steps for the list of the end; `count` slots from `first`.
static enum ms_err emit_forest(struct reader *r, const struct forest *forest, const struct onnx_value *x, bool direct,
			       uint32_t first)
{
	struct onnx_graph *g = r->g;
	struct pipeline_step step = {.op = PIPELINE_FOREST, .dst = first, .b = (uint32_t)g->forests.n};
	if (!direct) {
		struct pipeline_list list;
		MS_TRY(ms_onnx_list(g, x->columns, x->count, 1, &list));
		step.a = list.first;
		step.c = list.count;
	}
	g->tree_count += forest->tree_count;
	g->node_count += forest->node_count;
	MS_TRY(ms_onnx_push(g, &g->forests, &(struct pipeline_forest){forest, direct}));
	return ms_onnx_step(g, step);
}

// The rows themselves are what the forest takes: every feature in its place, of the type that the forest rounds to.
static bool is_direct(const struct reader *r, const struct onnx_value *x)
{
	enum pipeline_type type = r->e.single ? PIPELINE_F32 : PIPELINE_F64;
	if (x->count != r->g->feature_count || x->type != type)
		return false;
	for (size_t i = 0; i < x->count; i++)
		if (x->columns[i] != ((uint32_t)i | COLUMN_FEATURE) || r->g->features[i].type != type)
			return false;
	return true;
}

static enum ms_err build_forests(struct reader *r, const struct onnx_value *x, struct pipeline_end *end,
				 uint32_t *ret_first, size_t *ret_count)
{
	struct onnx_graph *g = r->g;
	const struct forest *forest = NULL;
	enum ensemble_leaves leaves = LEAVES_TREE;
	bool extreme = r->aggregate == PIPELINE_AGGREGATE_MIN || r->aggregate == PIPELINE_AGGREGATE_MAX;
	bool direct = is_direct(r, x), flags = r->base_count > 0;
	size_t targets = r->e.target_count, trees = r->e.tree_count;
	// It matters which targets a row scores: among classes without base values, among two, and where base values are
	// for scored targets only.
	if (r->classifier)
		flags = targets == 2 || r->base_count != targets;
	if (end->one_column) { // one sum, whichever class it is
		r->e.target_count = targets = 1;
		for (size_t i = 0; i < r->e.weight_count; i++)
			r->e.weights[i].target = 0;
	}
	if (!extreme) {
		MS_TRY(ms_onnx_choose_leaves(g, &r->e, flags && targets > 1, &leaves));
		if (leaves != LEAVES_ONE && r->e.node_count > LEAF_VALUES_FREE / targets &&
		    r->e.node_count / LEAF_VALUES_PER_BYTE > g->ctx->bytes.n / targets)
			return ms_onnx_fail(g->file, r->n, MS_ERR_MODEL_TOO_LARGE,
					    "leaves for %zu targets in so small a file", targets);
		end->has_flags = leaves == LEAVES_FLAGS;
		*ret_count = targets + (end->has_flags ? targets : 0);
		MS_TRY(ms_onnx_slots(g, *ret_count, ret_first));
		MS_TRY(ms_onnx_build_forest(g, &r->e, leaves, 0, &forest));
		return emit_forest(r, forest, x, direct, *ret_first);
	}
	if (trees > SLOTS_MAX / targets || r->e.node_count > NODES_MAX / targets ||
	    (r->e.node_count > LEAF_VALUES_FREE / targets &&
	     r->e.node_count / LEAF_VALUES_PER_BYTE > g->ctx->bytes.n / targets))
		return ms_onnx_fail(g->file, r->n, MS_ERR_MODEL_TOO_LARGE, "the extreme of %zu trees for %zu targets",
				    trees, targets);
	*ret_count = trees * targets;
	MS_TRY(ms_onnx_slots(g, *ret_count, ret_first));
	for (size_t k = 0; k < targets; k++) {
		MS_TRY(ms_onnx_build_forest(g, &r->e, LEAVES_TREE, k, &forest));
		MS_TRY(emit_forest(r, forest, x, direct, *ret_first + (uint32_t)(k * trees)));
	}
	return MS_OK;
}

static enum ms_err list_slots(struct onnx_graph *g, uint32_t first, size_t count, struct pipeline_list *ret_list)
{
	uint32_t *columns = ms_arena_alloc(g->ctx->scratch, count * sizeof(*columns));
	if (columns == NULL)
		return ms_onnx_no_memory(g->ctx);
	for (size_t i = 0; i < count; i++)
		columns[i] = first + (uint32_t)i;
	return ms_onnx_list(g, columns, count, 1, ret_list);
}

// The values of the node's outputs, from the slots of the end.
static enum ms_err set_outputs(struct reader *r, const struct pipeline_end *end, const struct onnx_labels *labels,
			       uint32_t first)
{
	struct onnx_value *scores = NULL, *label = NULL;
	struct pipeline_list raw;
	size_t n = end->classifier ? end->class_count : end->target_count;
	MS_TRY(list_slots(r->g, first, end->target_count, &raw));
	ms_onnx_set_raw(r->g, r->n, raw);
	MS_TRY(ms_onnx_new_rows(r->g, r->n, end->wide ? PIPELINE_F64 : PIPELINE_F32, n, &scores));
	for (size_t i = 0; i < n; i++)
		scores->columns[i] = first + (uint32_t)(end->target_count + i);
	if (!end->classifier)
		return ms_onnx_set_output(r->g, r->n, 0, scores);
	MS_TRY(ms_onnx_new_label(r->g, r->n, first + (uint32_t)(end->target_count + n), labels, &label));
	MS_TRY(ms_onnx_set_output(r->g, r->n, 0, label));
	return ms_onnx_set_output(r->g, r->n, 1, scores);
}

static enum ms_err build(struct reader *r, const struct onnx_value *x, const struct onnx_labels *labels, bool version5)
{
	struct onnx_graph *g = r->g;
	struct pipeline_end end = {.classifier = r->classifier, .target_count = r->e.target_count};
	r->e.single = x->type != PIPELINE_F64 && !r->any_f64;
	end.single = r->e.single;
	end.wide = version5 && x->type == PIPELINE_F64;
	end.post = r->post;
	end.aggregate = r->aggregate;
	end.tree_count = r->e.tree_count;
	end.base_count = r->base_count;
	double *base = ms_arena_alloc(g->ctx->memory, r->base_count * sizeof(*base));
	if (base == NULL)
		return no_memory(r);
	if (r->base_count > 0)
		memcpy(base, r->base, r->base_count * sizeof(*base));
	end.base = base;
	if (r->classifier)
		MS_TRY(describe_classes(r, &end));
	find_shared(&r->e);
	ms_onnx_fold_chains(&r->e);
	uint32_t sums, first;
	size_t sum_count = 0;
	MS_TRY(build_forests(r, x, &end, &sums, &sum_count));
	struct pipeline_step step = {.op = PIPELINE_END, .b = (uint32_t)g->ends.n};
	struct pipeline_list list;
	MS_TRY(list_slots(g, sums, sum_count, &list));
	step.a = list.first;
	step.c = list.count;
	MS_TRY(ms_onnx_slots(g, end.target_count + (end.classifier ? end.class_count + 1 : end.target_count), &first));
	step.dst = first;
	MS_TRY(ms_onnx_push(g, &g->ends, &end));
	MS_TRY(ms_onnx_step(g, step));
	return set_outputs(r, &end, labels, first);
}

enum ms_err ms_onnx_build_ensemble(struct onnx_graph *g, const struct onnx_node *n)
{
	struct reader r = {.g = g, .n = n};
	struct onnx_labels labels = {0};
	struct node_index index = {0};
	const struct onnx_value *x = NULL;
	bool version5 = ms_slice_eq_cstr(n->op, "TreeEnsemble");
	r.classifier = ms_slice_eq_cstr(n->op, "TreeEnsembleClassifier");
	r.e.node = n;
	MS_TRY(ms_onnx_number_input(g, n, 0, &x));
	MS_TRY(ms_onnx_require_rows(g, n, x));
	r.e.feature_count = x->count;
	if (version5) {
		MS_TRY(read_options5(&r));
		MS_TRY(check_counts(&r));
		MS_TRY(read_version5(&r));
		return build(&r, x, &labels, version5);
	}
	int64_t targets = 1;
	MS_TRY(read_options(&r));
	if (r.classifier)
		MS_TRY(ms_onnx_class_labels(g, n, "classlabels_strings", "classlabels_int64s", &labels));
	else
		MS_TRY(ms_onnx_attr_int(g->file, n, "n_targets", &targets));
	r.e.target_count = r.classifier ? labels.count : targets > 0 ? (size_t)targets : 0;
	MS_TRY(check_counts(&r));
	MS_TRY(read_reals(&r, "base_values", "base_values_as_tensor", &r.base, &r.base_count));
	if (!r.classifier && r.base_count != 0 && r.base_count != r.e.target_count)
		return fail(&r, "there are neither no base_values nor one for each target");
	MS_TRY(read_nodes(&r, &index));
	MS_TRY(read_weights(&r, &index));
	return build(&r, x, &labels, version5);
}
