// SPDX-License-Identifier: Apache-2.0
// One tree of a LightGBM text file.
#include <math.h>

#include "model/lightgbm.h"
#include "json/json.h"

// decision_type, bit by bit (tree.h: kCategoricalMask, kDefaultLeftMask, missing type in bits 2 and 3).
#define DECISION_CATEGORICAL 1
#define DECISION_DEFAULT_LEFT 2
#define DECISION_MISSING_SHIFT 2
enum missing_type { MISSING_NONE, MISSING_ZERO, MISSING_NAN };
#define DECISION_MAX 11

enum tree_key {
	KEY_NUM_LEAVES,
	KEY_NUM_CAT,
	KEY_SPLIT_FEATURE,
	KEY_THRESHOLD,
	KEY_DECISION_TYPE,
	KEY_LEFT_CHILD,
	KEY_RIGHT_CHILD,
	KEY_LEAF_VALUE,
	KEY_CAT_BOUNDARIES,
	KEY_CAT_THRESHOLD,
	KEY_IS_LINEAR,
	KEY_LEAF_CONST,
	KEY_NUM_FEATURES,
	KEY_LEAF_FEATURES,
	KEY_LEAF_COEFF,
	KEY_LEAF_COUNT,
	KEY_INTERNAL_COUNT,
	KEY_COUNT
};
static const char *const KEY_NAMES[KEY_COUNT] = {
	"num_leaves",   "num_cat",       "split_feature",  "threshold",     "decision_type",  "left_child",
	"right_child",  "leaf_value",    "cat_boundaries", "cat_threshold", "is_linear",      "leaf_const",
	"num_features", "leaf_features", "leaf_coeff",     "leaf_count",    "internal_count",
};

// The block's lines that matter, by key.
struct block {
	struct tree_reader *t;
	struct errinfo *info;
	size_t tree;
	struct slice value[KEY_COUNT];
	int64_t line[KEY_COUNT]; // 0: the key is absent
	int64_t first_line;
};

#define FAIL(b, key, fmt, ...) \
	MS_LIGHTGBM_FAIL((b)->info, (b)->line[key], "tree %zu, %s: " fmt, (b)->tree, KEY_NAMES[key], ##__VA_ARGS__)

static void skip_spaces(struct slice *rest)
{
	while (rest->n > 0 && (*rest->p == ' ' || *rest->p == '\t')) {
		rest->p++;
		rest->n--;
	}
}

bool ms_lightgbm_scan_int(struct slice *rest, int64_t *ret_value)
{
	skip_spaces(rest);
	const char *p = rest->p, *end = p + rest->n;
	bool negative = p < end && *p == '-';
	p += negative;
	uint64_t value = 0;
	const char *digits = p;
	for (; p < end && *p >= '0' && *p <= '9' && p - digits < 18; p++)
		value = value * 10 + (uint64_t)(*p - '0');
	if (p == digits || (p < end && *p != ' ' && *p != '\t'))
		return false;
	*ret_value = negative ? -(int64_t)value : (int64_t)value;
	rest->n -= (size_t)(p - rest->p);
	rest->p = p;
	return true;
}

static bool scan_real(struct slice *rest, double *ret_value)
{
	skip_spaces(rest);
	return ms_number_scan_f64(rest, ret_value) && (rest->n == 0 || *rest->p == ' ' || *rest->p == '\t');
}

static void read_block(struct block *b, struct line_reader *lines)
{
	struct slice line, key, value;
	b->first_line = lines->line;
	while (ms_lightgbm_next_line(lines, &line) && line.n > 0) {
		ms_lightgbm_split(line, &key, &value);
		for (int k = 0; k < KEY_COUNT; k++)
			if (ms_slice_eq_cstr(key, KEY_NAMES[k])) {
				b->value[k] = value;
				b->line[k] = lines->line;
				break;
			}
	}
}

static enum ms_err need(struct block *b, enum tree_key key)
{
	if (b->line[key] != 0)
		return MS_OK;
	return MS_LIGHTGBM_FAIL(b->info, b->first_line, "tree %zu has no \"%s\"", b->tree, KEY_NAMES[key]);
}

// A list of `count` items fits its line: before memory is taken for it.
static enum ms_err need_items(struct block *b, enum tree_key key, size_t count)
{
	MS_TRY(need(b, key));
	if (count > (b->value[key].n + 1) / 2)
		return FAIL(b, key, "%zu values are expected, there are fewer", count);
	return MS_OK;
}

static enum ms_err item_fail(struct block *b, enum tree_key key, struct slice rest, size_t index, size_t count)
{
	skip_spaces(&rest);
	if (rest.n == 0)
		return FAIL(b, key, "%zu values are expected, there are %zu", count, index);
	size_t n = MS_MIN(ms_slice_find(rest, ' '), 24);
	return FAIL(b, key, "\"%.*s\" (value %zu) is no number that can stand here", (int)n, rest.p, index);
}

static enum ms_err end_items(struct block *b, enum tree_key key, struct slice rest, size_t count)
{
	skip_spaces(&rest);
	if (rest.n > 0)
		return FAIL(b, key, "more than %zu values", count);
	return MS_OK;
}

static enum ms_err read_count(struct block *b, enum tree_key key, int64_t *ret_count)
{
	struct slice rest = b->value[key];
	if (!ms_lightgbm_scan_int(&rest, ret_count))
		return item_fail(b, key, rest, 0, 1);
	MS_TRY(end_items(b, key, rest, 1));
	if (*ret_count < 0)
		return FAIL(b, key, "%lld is negative", (long long)*ret_count);
	return MS_OK;
}

static enum ms_err no_memory(struct block *b)
{
	return ms_fail(b->info, MS_ERR_MODEL_TOO_LARGE, "the model needs more memory than it may use");
}

// --- Lists -----------------------------------------------------------------------------------------------

static enum ms_err reserve_words(struct block *b, struct word_vec *v, size_t count)
{
	if (count <= v->cap)
		return MS_OK;
	v->cap = MS_MAX(count, v->cap * 2);
	v->p = MS_ARENA_ARRAY(b->t->ctx->scratch, uint32_t, v->cap);
	if (v->p == NULL)
		v->cap = 0;
	return v->p != NULL ? MS_OK : no_memory(b);
}

static enum ms_err reserve_reals(struct block *b, struct real_vec *v, size_t count)
{
	if (count <= v->cap)
		return MS_OK;
	v->cap = MS_MAX(count, v->cap * 2);
	v->p = MS_ARENA_ARRAY(b->t->ctx->scratch, double, v->cap);
	if (v->p == NULL)
		v->cap = 0;
	return v->p != NULL ? MS_OK : no_memory(b);
}

static enum ms_err read_words(struct block *b, enum tree_key key, size_t count, struct word_vec *dst)
{
	MS_TRY(need_items(b, key, count));
	MS_TRY(reserve_words(b, dst, count));
	struct slice rest = b->value[key];
	for (size_t i = 0; i < count; i++) {
		struct slice at = rest;
		int64_t v;
		if (!ms_lightgbm_scan_int(&rest, &v) || v < 0 || v > UINT32_MAX)
			return item_fail(b, key, at, i, count);
		dst->p[i] = (uint32_t)v;
	}
	return end_items(b, key, rest, count);
}

// --- Splits ----------------------------------------------------------------------------------------------

static enum ms_err read_features(struct block *b, struct tree_node *nodes, size_t splits)
{
	MS_TRY(need_items(b, KEY_SPLIT_FEATURE, splits));
	struct slice rest = b->value[KEY_SPLIT_FEATURE];
	for (size_t i = 0; i < splits; i++) {
		struct slice at = rest;
		int64_t v;
		if (!ms_lightgbm_scan_int(&rest, &v))
			return item_fail(b, KEY_SPLIT_FEATURE, at, i, splits);
		if (v < 0 || (uint64_t)v >= b->t->feature_count)
			return FAIL(b, KEY_SPLIT_FEATURE, "node %zu: feature %lld is out of range (%zu features)", i,
				    (long long)v, b->t->feature_count);
		nodes[i].column = (uint32_t)v;
	}
	return end_items(b, KEY_SPLIT_FEATURE, rest, splits);
}

// Nodes 0 to splits-1 are the splits, those behind are the leaves. LightGBM writes leaf i as ~i.
static enum ms_err read_children(struct block *b, enum tree_key key, struct tree_node *nodes, size_t splits)
{
	MS_TRY(need_items(b, key, splits));
	struct slice rest = b->value[key];
	for (size_t i = 0; i < splits; i++) {
		struct slice at = rest;
		int64_t v;
		if (!ms_lightgbm_scan_int(&rest, &v))
			return item_fail(b, key, at, i, splits);
		if (v >= (int64_t)splits || v < -(int64_t)splits - 1)
			return FAIL(b, key, "node %zu: child %lld is out of range (%zu leaves)", i, (long long)v,
				    splits + 1);
		uint32_t child = (uint32_t)(v >= 0 ? v : (int64_t)splits + ~v);
		if (key == KEY_LEFT_CHILD)
			nodes[i].left = child;
		else
			nodes[i].right = child;
	}
	return end_items(b, key, rest, splits);
}

static enum ms_err read_reals(struct block *b, enum tree_key key, struct tree_node *nodes, size_t count)
{
	MS_TRY(need_items(b, key, count));
	struct slice rest = b->value[key];
	for (size_t i = 0; i < count; i++) {
		struct slice at = rest;
		double v;
		if (!scan_real(&rest, &v))
			return item_fail(b, key, at, i, count);
		if (key == KEY_THRESHOLD)
			nodes[i].threshold = v;
		else
			nodes[i].value = v;
	}
	return end_items(b, key, rest, count);
}

// LightGBM takes |x| <= kZeroThreshold in a row for 0. Moving the threshold out of that interval says the same,
// and the row can stay as it is.
static double clear_of_zero(double threshold)
{
	const double zero = (double)FOREST_ZERO_THRESHOLD;
	if (threshold >= 0)
		return fmax(threshold, zero);
	return threshold < 0 ? fmin(threshold, nextafter(-zero, -INFINITY)) : threshold;
}

static void make_numeric(struct tree_node *n, unsigned decision)
{
	bool default_left = (decision & DECISION_DEFAULT_LEFT) != 0;
	n->kind = TREE_NODE_NUMERIC;
	n->compare = TREE_LE;
	switch ((enum missing_type)(decision >> DECISION_MISSING_SHIFT)) {
	case MISSING_NONE: // NaN is 0
		n->missing_left = 0 <= n->threshold;
		break;
	case MISSING_ZERO:
		n->zero_is_missing = true;
		n->missing_left = default_left;
		return;
	case MISSING_NAN:
		n->missing_left = default_left;
		break;
	}
	n->threshold = clear_of_zero(n->threshold);
}

struct tree_sets {
	size_t count;
	size_t word_count;
	uint32_t first_word; // of all of them, in the forest
};

static enum ms_err make_set(struct block *b, struct tree_node *n, size_t node, const struct tree_sets *sets)
{
	double place = n->threshold;
	if (!(place >= 0 && place < (double)sets->count && place == trunc(place)))
		return FAIL(b, KEY_THRESHOLD, "node %zu: %g is no index of its categories (there are %zu)", node, place,
			    sets->count);
	uint32_t first = b->t->boundaries.p[(size_t)place], end = b->t->boundaries.p[(size_t)place + 1];
	MS_ASSERT(first <= end && end <= sets->word_count);
	n->kind = TREE_NODE_SET;
	n->in_set_left = true;
	n->missing_left = false;
	n->set.word_count = end - first;
	n->set.first_word = sets->first_word + first;
	b->t->categorical[n->column] = true;
	return MS_OK;
}

// The sets of categories of the tree.
static enum ms_err read_sets(struct block *b, struct tree_sets *ret_sets)
{
	int64_t count = 0;
	*ret_sets = (struct tree_sets){0};
	if (b->line[KEY_NUM_CAT] != 0)
		MS_TRY(read_count(b, KEY_NUM_CAT, &count));
	if (count == 0)
		return MS_OK;
	if ((uint64_t)count > b->value[KEY_CAT_BOUNDARIES].n)
		return FAIL(b, KEY_NUM_CAT, "cat_boundaries holds fewer than %lld sets", (long long)count);
	MS_TRY(read_words(b, KEY_CAT_BOUNDARIES, (size_t)count + 1, &b->t->boundaries));
	for (int64_t i = 0; i < count; i++) // sets that overlap could be many times the file
		if (b->t->boundaries.p[i] > b->t->boundaries.p[i + 1])
			return FAIL(b, KEY_CAT_BOUNDARIES, "set %lld: the range %u to %u is out of order", (long long)i,
				    b->t->boundaries.p[i], b->t->boundaries.p[i + 1]);
	size_t words = b->t->boundaries.p[count];
	MS_TRY(read_words(b, KEY_CAT_THRESHOLD, words, &b->t->words));
	ret_sets->count = (size_t)count;
	ret_sets->word_count = words;
	return ms_forest_add_set(b->t->forest, b->t->words.p, words, &ret_sets->first_word);
}

static enum ms_err read_decisions(struct block *b, struct tree_node *nodes, size_t splits)
{
	struct tree_sets sets;
	MS_TRY(read_sets(b, &sets));
	MS_TRY(need_items(b, KEY_DECISION_TYPE, splits));
	struct slice rest = b->value[KEY_DECISION_TYPE];
	for (size_t i = 0; i < splits; i++) {
		struct slice at = rest;
		int64_t v;
		if (!ms_lightgbm_scan_int(&rest, &v))
			return item_fail(b, KEY_DECISION_TYPE, at, i, splits);
		if (v < 0 || v > DECISION_MAX)
			return FAIL(b, KEY_DECISION_TYPE, "node %zu: %lld is out of range (0 to %d)", i, (long long)v,
				    DECISION_MAX);
		if (v & DECISION_CATEGORICAL)
			MS_TRY(make_set(b, &nodes[i], i, &sets));
		else
			make_numeric(&nodes[i], (unsigned)v);
	}
	return end_items(b, KEY_DECISION_TYPE, rest, splits);
}

// --- Linear leaves -----------------------------------------------------------------------------------------

// One leaf's part of leaf_features and leaf_coeff.
static enum ms_err read_terms(struct block *b, size_t count, struct slice *features, struct slice *coefficients)
{
	if (count > (features->n + 1) / 2 || count > (coefficients->n + 1) / 2)
		return FAIL(b, KEY_NUM_FEATURES, "leaf_features or leaf_coeff has fewer values than promised");
	MS_TRY(reserve_words(b, &b->t->features, count));
	MS_TRY(reserve_reals(b, &b->t->coefficients, count));
	for (size_t i = 0; i < count; i++) {
		int64_t feature;
		struct slice at = *features;
		if (!ms_lightgbm_scan_int(features, &feature) || feature < 0 ||
		    (uint64_t)feature >= b->t->feature_count)
			return item_fail(b, KEY_LEAF_FEATURES, at, i, count);
		if (!scan_real(coefficients, &b->t->coefficients.p[i]))
			return item_fail(b, KEY_LEAF_COEFF, *coefficients, i, count);
		b->t->features.p[i] = (uint32_t)feature;
	}
	return MS_OK;
}

static enum ms_err read_linear(struct block *b, struct tree_node *leaves, size_t count)
{
	static const enum tree_key keys[] = {KEY_LEAF_CONST, KEY_NUM_FEATURES, KEY_LEAF_FEATURES, KEY_LEAF_COEFF};
	struct slice rest[MS_ARRAY_LEN(keys)];
	for (size_t i = 0; i < MS_ARRAY_LEN(keys); i++) {
		MS_TRY(need(b, keys[i]));
		rest[i] = b->value[keys[i]];
	}
	ms_forest_tree_is_linear(b->t->forest);
	for (size_t i = 0; i < count; i++) {
		double constant;
		int64_t terms;
		if (!scan_real(&rest[0], &constant))
			return item_fail(b, KEY_LEAF_CONST, rest[0], i, count);
		struct slice at = rest[1];
		if (!ms_lightgbm_scan_int(&rest[1], &terms) || terms < 0)
			return item_fail(b, KEY_NUM_FEATURES, at, i, count);
		MS_TRY(read_terms(b, (size_t)terms, &rest[2], &rest[3]));
		double fallback = leaves[i].value;
		MS_TRY(ms_forest_add_linear(b->t->forest, constant, fallback, b->t->features.p, b->t->coefficients.p,
					    (size_t)terms, &leaves[i].linear));
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(keys); i++)
		MS_TRY(end_items(b, keys[i], rest[i], count));
	return MS_OK;
}

// --- Training rows per node --------------------------------------------------------------------------------

static enum ms_err read_counts(struct block *b, enum tree_key key, struct tree_node *nodes, size_t count)
{
	MS_TRY(need_items(b, key, count));
	struct slice rest = b->value[key];
	for (size_t i = 0; i < count; i++) {
		struct slice at = rest;
		int64_t v;
		if (!ms_lightgbm_scan_int(&rest, &v) || v < 0)
			return item_fail(b, key, at, i, count);
		nodes[i].cover = (double)v;
	}
	return end_items(b, key, rest, count);
}

static enum ms_err read_covers(struct block *b, struct tree_node *nodes, size_t splits)
{
	if (b->line[KEY_INTERNAL_COUNT] == 0 || b->line[KEY_LEAF_COUNT] == 0)
		return MS_OK; // not needed for predictions
	MS_TRY(read_counts(b, KEY_INTERNAL_COUNT, nodes, splits));
	MS_TRY(read_counts(b, KEY_LEAF_COUNT, nodes + splits, splits + 1));
	ms_forest_tree_has_covers(b->t->forest);
	return MS_OK;
}

// --- The tree ----------------------------------------------------------------------------------------------

enum ms_err ms_lightgbm_read_tree(struct tree_reader *t, struct line_reader *lines, size_t number, uint32_t group)
{
	struct block b = {.t = t, .info = t->ctx->info, .tree = number};
	int64_t leaf_count, linear = 0;
	read_block(&b, lines);
	MS_TRY(need(&b, KEY_NUM_LEAVES));
	MS_TRY(read_count(&b, KEY_NUM_LEAVES, &leaf_count));
	if (leaf_count < 1 || leaf_count > (int64_t)1 << 30)
		return FAIL(&b, KEY_NUM_LEAVES, "%lld is out of range (1 to 2^30)", (long long)leaf_count);
	if (b.line[KEY_IS_LINEAR] != 0)
		MS_TRY(read_count(&b, KEY_IS_LINEAR, &linear));
	MS_TRY(need_items(&b, KEY_LEAF_VALUE, (size_t)leaf_count));
	size_t splits = (size_t)leaf_count - 1;
	struct tree_node *nodes;
	MS_TRY(ms_forest_tree_begin(t->forest, splits + (size_t)leaf_count, group, &nodes));
	for (size_t i = 0; i <= splits; i++) {
		nodes[splits + i].kind = TREE_NODE_LEAF;
		nodes[splits + i].leaf = (uint32_t)i;
	}
	MS_TRY(read_reals(&b, KEY_LEAF_VALUE, nodes + splits, (size_t)leaf_count));
	if (splits > 0) { // else the lists are empty, or hold what nobody reads
		MS_TRY(read_features(&b, nodes, splits));
		MS_TRY(read_reals(&b, KEY_THRESHOLD, nodes, splits));
		MS_TRY(read_children(&b, KEY_LEFT_CHILD, nodes, splits));
		MS_TRY(read_children(&b, KEY_RIGHT_CHILD, nodes, splits));
		MS_TRY(read_decisions(&b, nodes, splits));
		MS_TRY(read_covers(&b, nodes, splits));
	}
	if (linear != 0)
		MS_TRY(read_linear(&b, nodes + splits, (size_t)leaf_count));
	return ms_forest_tree_end(t->forest, 0);
}
