// SPDX-License-Identifier: Apache-2.0
#include "model/shap.h"

#include <math.h>

#define RULE_STEP 8
#define RULES_MAX (1 + SHAP_FEATURES_MAX / 2 / RULE_STEP) // 4, 8, 16, … points
#define CHUNK_BYTES ((size_t)32 << 10)
#define CHUNK_ROWS_MAX 16
#define LANES_MAX 8

// --- Quadrature ------------------------------------------------------------------------------------------

// Gauss-Legendre rules of 4, 8, 16, 24, … points stand behind each other, as points, 1 - points, weights.
static size_t rule_number(size_t points)
{
	return points <= 4 ? 0 : points / RULE_STEP;
}

static size_t rule_points(size_t number)
{
	return number == 0 ? 4 : number * RULE_STEP;
}

static size_t rule_offset(size_t number)
{
	return number == 0 ? 0 : 3 * (4 + RULE_STEP * (number * (number - 1) / 2));
}

// n points are exact up to degree 2n - 1; a path of so many features has degree features - 1.
static size_t points_for(size_t features)
{
	size_t n = (features + 1) / 2;
	return n <= 4 ? 4 : (n + RULE_STEP - 1) / RULE_STEP * RULE_STEP;
}

// The value of the Legendre polynomial of degree n at x, and its derivative.
static long double legendre(size_t n, long double x, long double *ret_slope)
{
	long double before = 1, p = x;
	for (size_t k = 2; k <= n; k++) {
		long double next = ((2 * (long double)k - 1) * x * p - ((long double)k - 1) * before) / (long double)k;
		before = p;
		p = next;
	}
	*ret_slope = (long double)n * (x * p - before) / (x * x - 1);
	return p;
}

static void fill_rule(size_t n, double *rule)
{
	for (size_t i = 0; i < n / 2; i++) {
		long double x = cosl(3.14159265358979323846L * ((long double)i + 0.75L) / ((long double)n + 0.5L)),
			    slope;
		for (int step = 0; step < 8; step++) { // Newton; the guess is good to a few per cent
			long double p = legendre(n, x, &slope);
			x -= p / slope;
		}
		(void)legendre(n, x, &slope);
		double small = (double)((1 - x) / 2), large = (double)((1 + x) / 2);
		double weight = (double)(1 / ((1 - x * x) * slope * slope));
		rule[i] = rule[n + n - 1 - i] = small;
		rule[n - 1 - i] = rule[n + i] = large;
		rule[2 * n + i] = rule[2 * n + n - 1 - i] = weight;
	}
}

// --- Making ----------------------------------------------------------------------------------------------

struct maker {
	struct forest *f;
	const double *covers;
	struct arena *scratch;
	uint32_t *column_feature;
	uint32_t *category_feature;
	double *weights;
	uint32_t *previous;
	uint8_t *points;
	double *base;
	// Of one tree.
	uint32_t *links; // per node: what `previous` is to say
	uint32_t *last;  // per feature: the node below its nearest test on the path, or 0
	uint32_t *stack; // splits whose subtrees are being visited
	uint8_t *stage;  // of them: children that were entered
	double *means;   // per node: expected value below
	double *sums;    // per node of an oblivious tree: cover
};

static uint32_t child_of(const struct forest *f, size_t place)
{
	return f->wide ? f->nodes_f64[place].child : f->nodes_f32[place].child;
}

// The feature that the split at that place tests.
static inline uint32_t feature_of(const struct forest *f, const uint32_t *column_feature,
				  const uint32_t *category_feature, size_t place)
{
	uint32_t column = f->wide ? f->nodes_f64[place].column : f->nodes_f32[place].column;
	if (column != (f->wide ? FOREST_SET_COLUMN_WIDE : FOREST_SET_COLUMN))
		return column_feature[column];
	uint64_t set = f->wide ? f->nodes_f64[place].index : f->nodes_f32[place].index;
	return category_feature[f->sets[set].category];
}

static double node_value(const struct forest *f, size_t place, size_t k)
{
	if (f->leaf == FOREST_LEAF_VALUE)
		return f->wide ? f->nodes_f64[place].value : (double)f->nodes_f32[place].value;
	uint64_t index = f->wide ? f->nodes_f64[place].index : f->nodes_f32[place].index;
	return f->values[index + k];
}

// A child's share of its parent's cover. Below a node that no training row reached, nobody knows.
static double cover_share(double child, double parent)
{
	return parent > 0 ? child / parent : 0.5;
}

// Splits of the trees before this one: a tree has a leaf more than splits.
static size_t first_split(const struct forest *f, size_t tree)
{
	return (f->trees[tree].root - tree) / 2;
}

// Fills `links` of one tree; returns the largest number of different features on a path.
static size_t link_tree(struct maker *m, const struct forest_tree *t)
{
	const struct forest *f = m->f;
	uint32_t *previous = m->links;
	size_t depth = 0, features = 0, most = 0;
	m->stack[depth] = 0;
	m->stage[depth++] = 0;
	while (depth > 0) {
		uint32_t n = m->stack[depth - 1], child = child_of(f, t->root + n);
		if (child == 0) {
			depth--;
			continue;
		}
		uint32_t feature = feature_of(f, m->column_feature, m->category_feature, t->root + n);
		uint8_t stage = m->stage[depth - 1]++;
		if (stage == 0) {
			previous[n] = m->last[feature];
			features += previous[n] == 0;
			most = MS_MAX(most, features);
		}
		if (stage == 2) {
			m->last[feature] = previous[n];
			features -= previous[n] == 0;
			depth--;
			continue;
		}
		m->last[feature] = n + child + stage;
		m->stack[depth] = n + child + stage;
		m->stage[depth++] = 0;
	}
	return most;
}

static void keep_links(struct maker *m, size_t tree)
{
	const struct forest_tree *t = &m->f->trees[tree];
	uint32_t *previous = m->previous + first_split(m->f, tree);
	for (uint32_t n = 0; n < t->node_count; n++)
		if (child_of(m->f, t->root + n) != 0)
			*previous++ = m->links[n];
}

static void weigh_tree(struct maker *m, const struct forest_tree *t)
{
	const struct forest *f = m->f;
	const double *covers = m->covers + t->root;
	double *weights = m->weights + t->root;
	const uint32_t *previous = m->links;
	weights[0] = 1;
	for (uint32_t n = 0; n < t->node_count; n++) {
		uint32_t child = child_of(f, t->root + n);
		for (uint32_t c = n + child; child > 0 && c < n + child + 2; c++)
			weights[c] = weights[previous[n]] * cover_share(covers[c], covers[n]);
	}
	size_t width = f->params.vector_leaves ? f->params.group_count : 1;
	for (size_t k = 0; k < width; k++) {
		for (uint32_t n = t->node_count; n-- > 0;) {
			uint32_t first = n + child_of(f, t->root + n);
			m->means[n] = first == n
					      ? node_value(f, t->root + n, k)
					      : cover_share(covers[first], covers[n]) * m->means[first] +
							cover_share(covers[first + 1], covers[n]) * m->means[first + 1];
		}
		m->base[f->params.vector_leaves ? k : t->group] += m->means[0];
	}
}

// The test of an oblivious tree that decides at that level: the last comes first, as CatBoost's cover shares have it.
static const struct forest_test *level_test(const struct forest *f, const struct forest_tree *t, uint32_t level)
{
	return &f->tests[t->root + t->depth - 1 - level];
}

// The nearest level above that tests the same feature; the level itself when there is none.
static uint32_t previous_level(const struct forest *f, const uint32_t *column_feature, const struct forest_tree *t,
			       uint32_t level)
{
	uint32_t feature = column_feature[level_test(f, t, level)->column];
	for (uint32_t l = level; l-- > 0;)
		if (column_feature[level_test(f, t, l)->column] == feature)
			return l;
	return level;
}

// Node n of `level` in a heap: its ancestor, or itself, just below the test of level `above`; 0 when above is `level`.
static uint32_t heap_previous(uint32_t n, uint32_t level, uint32_t above)
{
	return above == level ? 0 : ((n + 1) >> (level - above - 1)) - 1;
}

static size_t heap_first(const struct forest *f, size_t tree)
{
	size_t width = f->params.vector_leaves ? f->params.group_count : 1;
	return 2 * (f->trees[tree].first_leaf / width) - tree;
}

static size_t weigh_oblivious(struct maker *m, size_t tree)
{
	const struct forest *f = m->f;
	const struct forest_tree *t = &f->trees[tree];
	const size_t width = f->params.vector_leaves ? f->params.group_count : 1;
	const uint32_t leaves = UINT32_C(1) << t->depth;
	double *weights = m->weights + heap_first(f, tree), *sums = m->sums;
	size_t features = 0;
	memcpy(sums + leaves - 1, m->covers + t->first_leaf / width, leaves * sizeof(*sums));
	for (uint32_t n = leaves - 1; n-- > 0;)
		sums[n] = sums[2 * n + 1] + sums[2 * n + 2];
	weights[0] = 1;
	for (uint32_t level = 0; level < t->depth; level++) {
		uint32_t above = previous_level(f, m->column_feature, t, level);
		features += above == level;
		for (uint32_t n = (UINT32_C(1) << level) - 1; n < (UINT32_C(2) << level) - 1; n++) {
			double old = weights[heap_previous(n, level, above)];
			weights[2 * n + 1] = old * cover_share(sums[2 * n + 1], sums[n]);
			weights[2 * n + 2] = old * cover_share(sums[2 * n + 2], sums[n]);
		}
	}
	for (size_t k = 0; k < width; k++) {
		for (uint32_t i = 0; i < leaves; i++)
			m->means[leaves - 1 + i] = f->values[t->first_leaf + i * width + k];
		for (uint32_t n = leaves - 1; n-- > 0;)
			m->means[n] = cover_share(sums[2 * n + 1], sums[n]) * m->means[2 * n + 1] +
				      cover_share(sums[2 * n + 2], sums[n]) * m->means[2 * n + 2];
		m->base[f->params.vector_leaves ? k : t->group] += m->means[0];
	}
	return features;
}

static bool fill_features(struct maker *m, const uint32_t *computed_feature)
{
	const struct forest *f = m->f;
	const size_t features = f->params.feature_count;
	m->column_feature[0] = 0; // belongs to the leaves; there may be no feature at all
	for (size_t i = 1; i < f->column_count + f->category_count; i++) {
		bool category = i >= f->column_count;
		uint32_t source = category ? f->category_source[i - f->column_count] : f->column_source[i];
		if (source >= features)
			source = computed_feature != NULL ? computed_feature[source - features] : FOREST_NONE;
		if (source == FOREST_NONE)
			return false;
		if (category)
			m->category_feature[i - f->column_count] = source;
		else
			m->column_feature[i] = source;
	}
	return true;
}

static bool good_covers(const double *covers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!(covers[i] >= 0 && covers[i] < (double)INFINITY))
			return false;
	return true;
}

static size_t nodes_of(const struct forest *f, const struct forest_tree *t)
{
	return f->oblivious ? ((size_t)2 << t->depth) - 1 : t->node_count;
}

// Sizes of the arrays: nodes of all trees, with those that oblivious trees imply, and of the largest.
static void count_nodes(const struct forest *f, size_t *ret_total, size_t *ret_max)
{
	size_t total = 0, max = 1;
	for (size_t i = 0; i < f->tree_count; i++) {
		size_t n = nodes_of(f, &f->trees[i]);
		total += n;
		max = MS_MAX(max, n);
	}
	*ret_total = total;
	*ret_max = max;
}

static bool allocate(struct maker *m, struct arena *memory, size_t total, size_t max)
{
	const struct forest *f = m->f;
	m->column_feature = MS_ARENA_ARRAY(memory, uint32_t, f->column_count);
	m->category_feature = MS_ARENA_ARRAY(memory, uint32_t, f->category_count);
	m->weights = ms_arena_alloc(memory, total * sizeof(double));
	m->points = MS_ARENA_ARRAY(memory, uint8_t, f->tree_count);
	m->base = MS_ARENA_ARRAY(memory, double, f->params.group_count);
	m->means = ms_arena_alloc(m->scratch, max * sizeof(double));
	// One more than splits: a leaf behind the last split looks there too.
	m->previous =
		f->oblivious ? m->column_feature : MS_ARENA_ARRAY(memory, uint32_t, (total - f->tree_count) / 2 + 1);
	m->links = MS_ARENA_ARRAY(m->scratch, uint32_t, f->oblivious ? 0 : max);
	m->sums = f->oblivious ? ms_arena_alloc(m->scratch, max * sizeof(double)) : m->means;
	m->last = MS_ARENA_ARRAY(m->scratch, uint32_t, f->params.feature_count);
	m->stack = MS_ARENA_ARRAY(m->scratch, uint32_t, max);
	m->stage = MS_ARENA_ARRAY(m->scratch, uint8_t, max);
	return m->column_feature != NULL && m->category_feature != NULL && m->weights != NULL && m->points != NULL &&
	       m->base != NULL && m->means != NULL && m->previous != NULL && m->links != NULL && m->sums != NULL &&
	       m->last != NULL && m->stack != NULL && m->stage != NULL;
}

static const char *make_trees(struct maker *m, size_t *ret_points)
{
	size_t most = 4;
	for (size_t i = 0; i < m->f->tree_count; i++) {
		const struct forest_tree *t = &m->f->trees[i];
		size_t features = m->f->oblivious ? weigh_oblivious(m, i) : link_tree(m, t);
		if (features > SHAP_FEATURES_MAX)
			return "a path of one of its trees tests more than 128 different features";
		if (!m->f->oblivious) {
			weigh_tree(m, t);
			keep_links(m, i);
		}
		m->points[i] = (uint8_t)points_for(features);
		most = MS_MAX(most, m->points[i]);
	}
	*ret_points = most;
	return NULL;
}

static enum ms_err no_memory(const struct arena *memory, struct errinfo *info)
{
	return ms_fail(info, MS_ERR_MODEL_TOO_LARGE, "the model needs more than the %zu bytes of memory it may use",
		       memory->max);
}

enum ms_err ms_shap_new(struct forest *f, const double *covers, const uint32_t *computed_feature, struct arena *scratch,
			struct arena *memory, struct errinfo *info)
{
	struct maker m = {.f = f, .covers = covers, .scratch = scratch};
	size_t total, max, most = 4;
	count_nodes(f, &total, &max);
	size_t cover_count = f->oblivious ? (total + f->tree_count) / 2 : total;
	f->no_shap = NULL;
	if (f->has_linear)
		f->no_shap = "the leaves of its trees are linear models";
	else if (covers == NULL)
		f->no_shap = "its file does not say how many training rows reached each node (LightGBM's "
			     "internal_count and leaf_count, XGBoost's sum_hessian, CatBoost's leaf_weights)";
	else if (!good_covers(covers, cover_count))
		f->no_shap = "the training weights of its nodes are not all finite numbers from 0";
	if (f->no_shap != NULL)
		return MS_OK;
	struct arena_mark mark = ms_arena_mark(memory);
	struct shap *shap = MS_ARENA_NEW(memory, struct shap);
	if (shap == NULL || !allocate(&m, memory, total, max))
		return no_memory(memory, info);
	if (!fill_features(&m, computed_feature))
		f->no_shap = "some of its tests depend on several features at once";
	else
		f->no_shap = make_trees(&m, &most);
	if (f->no_shap != NULL) {
		ms_arena_rewind(memory, mark);
		return MS_OK;
	}
	size_t rules = rule_number(most) + 1;
	double *rule = MS_ARENA_ARRAY(memory, double, rule_offset(rules));
	if (rule == NULL)
		return no_memory(memory, info);
	for (size_t i = 0; i < rules; i++)
		fill_rule(rule_points(i), rule + rule_offset(i));
	for (size_t k = 0; k < f->params.group_count; k++)
		m.base[k] = f->params.scale * (m.base[k] + f->params.start[k]) + f->params.bias[k];
	*shap = (struct shap){
		.weights = m.weights,
		.previous = f->oblivious ? NULL : m.previous,
		.points = m.points,
		.rules = rule,
		.base = m.base,
		.column_feature = m.column_feature,
		.category_feature = m.category_feature,
		.max_nodes = max,
	};
	f->shap = shap;
	return MS_OK;
}

// --- Sweeping --------------------------------------------------------------------------------------------

// One split of the present tree. Node numbers count in the tree.
struct step {
	uint32_t node;
	uint32_t first; // child, the second follows
	uint32_t previous;
	uint32_t feature;
	union {
		double threshold;
		uint64_t set; // column is FOREST_SET_COLUMN_WIDE
	};
	uint32_t column;
	bool invert;     // the row goes to the first child when its value is not above the threshold
	bool second_hot; // the row goes to the second child
	bool old_hot;    // it passes the tests of this feature further up
};

// The present tree, for the present row.
struct sweep {
	const double *weights;
	const double *rule;
	size_t point_count;
	struct step *steps; // breadth first
	size_t step_count;
	uint32_t *leaf_nodes;
	double *leaf_values;
	size_t leaf_count;
};

// What a factor that the row fails is multiplied by. Where nothing is left to share the factor is 0 already.
static inline double share(double weight, double old)
{
	return old > 0 ? weight / old : 0;
}

typedef double vec2 __attribute__((vector_size(2 * sizeof(double))));

#define TARGET
#define WIDTH 2
#define LANES 4
#define KERNEL(name) name##_4
#include "model/shap_kernel.h"
#undef LANES
#undef KERNEL
#define LANES 8
#define KERNEL(name) name##_8
#include "model/shap_kernel.h"
#undef LANES
#undef KERNEL
#undef WIDTH
#undef TARGET
#if defined(__x86_64__)
#define TARGET __attribute__((target("avx2")))
#define WIDTH 4
#define LANES 4
#define KERNEL(name) name##_4_avx2
#include "model/shap_kernel.h"
#undef LANES
#undef KERNEL
#define LANES 8
#define KERNEL(name) name##_8_avx2
#include "model/shap_kernel.h"
#undef KERNEL
#undef WIDTH
#undef LANES
#undef TARGET
#endif

typedef void sweep_fn(const struct sweep *s, size_t point, void *slots, double *phi);

struct sweeps {
	sweep_fn *four;
	sweep_fn *eight;
};

static struct sweeps choose_sweeps(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx2"))
		return (struct sweeps){sweep_4_avx2, sweep_8_avx2};
#endif
	return (struct sweeps){sweep_4, sweep_8};
}

// --- Rows ------------------------------------------------------------------------------------------------

struct layout {
	size_t column_bytes;   // per row
	size_t category_bytes; // per row
	size_t computed_bytes;
	size_t step_bytes;
	size_t leaf_node_bytes;
	size_t leaf_value_bytes;
	size_t hot_bytes;
	size_t slot_bytes;
	size_t chunk_rows;
};

static size_t align64(size_t n)
{
	return (n + 63) & ~(size_t)63;
}

static struct layout layout_of(const struct forest *f)
{
	size_t nodes = f->shap->max_nodes, leaves = nodes / 2 + 1;
	struct layout l = {
		.column_bytes = align64(f->column_count * sizeof(double)),
		.category_bytes = align64(f->category_count * sizeof(uint32_t)),
		.computed_bytes = align64(f->params.computed_count * sizeof(double)),
		.step_bytes = align64(leaves * sizeof(struct step)),
		.leaf_node_bytes = align64(leaves * sizeof(uint32_t)),
		.leaf_value_bytes = align64(leaves * sizeof(double)),
		.hot_bytes = align64(nodes * sizeof(bool)),
		.slot_bytes = nodes * LANES_MAX * sizeof(double),
	};
	l.chunk_rows = MS_MAX(MS_MIN(CHUNK_BYTES / (l.column_bytes + l.category_bytes), CHUNK_ROWS_MAX), 1);
	return l;
}

size_t ms_shap_scratch_size(const struct forest *f)
{
	struct layout l = layout_of(f);
	return 64 + l.computed_bytes + l.step_bytes + l.leaf_node_bytes + l.leaf_value_bytes + l.hot_bytes +
	       l.slot_bytes + l.chunk_rows * (l.column_bytes + l.category_bytes);
}

struct work {
	const struct forest *f;
	struct layout layout;
	struct sweeps sweeps;
	struct sweep sweep;
	double *computed;
	char *columns;
	char *categories;
	bool *hot; // per node of the present tree: the row passes all tests of the feature just above
	void *slots;
};

static void *take(char **at, size_t n)
{
	char *p = *at;
	*at += n;
	return p;
}

static struct work work_in(const struct forest *f, void *scratch)
{
	struct work w = {.f = f, .layout = layout_of(f), .sweeps = choose_sweeps()};
	char *at = (char *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
	w.slots = take(&at, w.layout.slot_bytes);
	w.computed = take(&at, w.layout.computed_bytes);
	w.sweep.steps = take(&at, w.layout.step_bytes);
	w.sweep.leaf_nodes = take(&at, w.layout.leaf_node_bytes);
	w.sweep.leaf_values = take(&at, w.layout.leaf_value_bytes);
	w.hot = take(&at, w.layout.hot_bytes);
	w.columns = take(&at, w.layout.chunk_rows * w.layout.column_bytes);
	w.categories = take(&at, w.layout.chunk_rows * w.layout.category_bytes);
	return w;
}

// The splits and leaves of a tree, which are the same for all rows.
static inline __attribute__((always_inline)) void open_nodes(struct work *w, size_t tree, bool wide)
{
	const struct forest *f = w->f;
	const struct shap *shap = f->shap;
	const struct forest_tree *t = &f->trees[tree];
	const uint32_t *previous = shap->previous + first_split(f, tree), *column_feature = shap->column_feature;
	struct sweep *s = &w->sweep;
	size_t steps = 0, leaves = 0;
	s->weights = shap->weights + t->root;
	for (uint32_t n = 0; n < t->node_count; n++) {
		const struct node_f64 *big = wide ? &f->nodes_f64[t->root + n] : NULL; // one of the two is there
		const struct node_f32 *small = wide ? NULL : &f->nodes_f32[t->root + n];
		const uint32_t child = wide ? big->child : small->child, column = wide ? big->column : small->column;
		// Both are written and one is kept: nobody can predict which. The last node is a leaf, so there is room.
		struct step *step = &s->steps[steps];
		s->leaf_nodes[leaves] = n;
		leaves += child == 0;
		steps += child != 0;
		step->node = n;
		step->first = n + child;
		step->invert = false;
		step->previous = *previous;
		previous += child != 0;
		if (MS_UNLIKELY(column == (wide ? FOREST_SET_COLUMN_WIDE : FOREST_SET_COLUMN))) {
			step->set = wide ? big->index : small->index;
			step->column = FOREST_SET_COLUMN_WIDE;
			step->feature = shap->category_feature[f->sets[step->set].category];
		} else {
			step->threshold = wide ? big->threshold : (double)small->threshold;
			step->column = column;
			step->feature = column_feature[column];
		}
	}
	s->step_count = steps;
	s->leaf_count = leaves;
}

static void open_oblivious(struct work *w, size_t tree)
{
	const struct forest *f = w->f;
	const struct shap *shap = f->shap;
	const struct forest_tree *t = &f->trees[tree];
	struct sweep *s = &w->sweep;
	s->weights = shap->weights + heap_first(f, tree);
	for (uint32_t level = 0; level < t->depth; level++) {
		uint32_t above = previous_level(f, shap->column_feature, t, level);
		const struct forest_test *test = level_test(f, t, level);
		for (uint32_t n = (UINT32_C(1) << level) - 1; n < (UINT32_C(2) << level) - 1; n++)
			s->steps[s->step_count++] = (struct step){
				.node = n,
				.first = 2 * n + 1,
				.previous = heap_previous(n, level, above),
				.feature = shap->column_feature[test->column],
				.threshold = test->threshold,
				.column = test->column,
				.invert = test->invert,
			};
	}
	uint32_t leaves = UINT32_C(1) << t->depth;
	for (uint32_t i = 0; i < leaves; i++)
		s->leaf_nodes[s->leaf_count++] = leaves - 1 + i;
}

static void open_tree(struct work *w, size_t tree)
{
	const struct shap *shap = w->f->shap;
	struct sweep *s = &w->sweep;
	s->step_count = s->leaf_count = 0;
	s->point_count = shap->points[tree];
	s->rule = shap->rules + rule_offset(rule_number(s->point_count));
	if (w->f->oblivious)
		open_oblivious(w, tree);
	else if (w->f->wide)
		open_nodes(w, tree, true);
	else
		open_nodes(w, tree, false);
}

static void load_leaves(struct work *w, const struct forest_tree *t, size_t k)
{
	const struct forest *f = w->f;
	struct sweep *s = &w->sweep;
	const size_t width = f->params.vector_leaves ? f->params.group_count : 1;
	const bool direct = f->leaf == FOREST_LEAF_VALUE;
	if (f->oblivious)
		for (size_t i = 0; i < s->leaf_count; i++)
			s->leaf_values[i] = f->values[t->first_leaf + i * width + k];
	else if (f->wide && direct)
		for (size_t i = 0; i < s->leaf_count; i++)
			s->leaf_values[i] = f->nodes_f64[t->root + s->leaf_nodes[i]].value;
	else
		for (size_t i = 0; i < s->leaf_count; i++)
			s->leaf_values[i] = node_value(f, t->root + s->leaf_nodes[i], k);
}

// Where the row goes at each split.
static void decide(struct work *w, const double *v, const uint32_t *categories)
{
	const struct forest *f = w->f;
	struct sweep *s = &w->sweep;
	bool *hot = w->hot;
	hot[0] = true;
	for (size_t i = 0; i < s->step_count; i++) {
		struct step *step = &s->steps[i];
		bool second =
			MS_UNLIKELY(step->column == FOREST_SET_COLUMN_WIDE)
				? ms_forest_in_set(f, &f->sets[step->set], categories[f->sets[step->set].category])
				: (v[step->column] <= step->threshold) ^ step->invert;
		const bool old_hot = hot[step->previous];
		step->second_hot = second;
		step->old_hot = old_hot;
		hot[step->first + second] = old_hot;
		hot[step->first + !second] = false;
	}
}

static void sweep_tree(struct work *w, double *phi)
{
	const struct sweep *s = &w->sweep;
	if (s->point_count == 4)
		w->sweeps.four(s, 0, w->slots, phi);
	else
		for (size_t point = 0; point < s->point_count; point += 8)
			w->sweeps.eight(s, point, w->slots, phi);
}

// Adds the tree's part to one row.
static void add_tree(struct work *w, const struct forest_tree *t, double *out)
{
	const size_t stride = w->f->params.feature_count + 1;
	if (!w->f->params.vector_leaves) {
		sweep_tree(w, out + t->group * stride);
		return;
	}
	for (size_t k = 0; k < w->f->params.group_count; k++) {
		load_leaves(w, t, k);
		sweep_tree(w, out + k * stride);
	}
}

static void end_row(const struct forest *f, double *out)
{
	const size_t features = f->params.feature_count;
	for (size_t k = 0; k < f->params.group_count; k++) {
		for (size_t i = 0; i < features && f->params.scale != 1; i++)
			out[k * (features + 1) + i] *= f->params.scale;
		out[k * (features + 1) + features] = f->shap->base[k];
	}
}

void ms_shap_contributions(const struct forest *f, const double *rows, size_t row_count, void *scratch, double *out)
{
	MS_ASSERT(f->shap != NULL);
	const size_t features = f->params.feature_count, width = f->params.group_count * (features + 1);
	struct work w = work_in(f, scratch);
	for (size_t done = 0; done < row_count;) {
		size_t n = MS_MIN(row_count - done, w.layout.chunk_rows);
		double *chunk = out + done * width;
		memset(chunk, 0, n * width * sizeof(*chunk));
		for (size_t r = 0; r < n; r++)
			ms_forest_columns(f, rows + (done + r) * features, w.computed,
					  (double *)(void *)(w.columns + r * w.layout.column_bytes),
					  (uint32_t *)(void *)(w.categories + r * w.layout.category_bytes));
		for (size_t tree = 0; tree < f->tree_count; tree++) {
			const struct forest_tree *t = &f->trees[tree];
			open_tree(&w, tree);
			load_leaves(&w, t, 0);
			for (size_t r = 0; r < n; r++) {
				decide(&w, (const double *)(const void *)(w.columns + r * w.layout.column_bytes),
				       (const uint32_t *)(const void *)(w.categories + r * w.layout.category_bytes));
				add_tree(&w, t, chunk + r * width);
			}
		}
		for (size_t r = 0; r < n; r++)
			end_row(f, chunk + r * width);
		done += n;
	}
}

// Measured on one current server core (bench/shap); good to a factor of two.
uint32_t ms_shap_row_ns(const struct forest *f)
{
	const double groups = f->params.vector_leaves ? (double)f->params.group_count : 1;
	double ns = 50 + (double)(f->column_count + f->params.group_count * f->params.feature_count);
	for (size_t i = 0; f->shap != NULL && i < f->tree_count; i++) {
		double splits = (double)(nodes_of(f, &f->trees[i]) / 2);
		double passes = f->shap->points[i] <= 4 ? 0.8 : (double)f->shap->points[i] / 8;
		ns += 10 + splits * (8 + 13 * passes * groups);
	}
	return ns < (double)UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}
