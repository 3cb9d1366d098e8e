// SPDX-License-Identifier: Apache-2.0
// Contributions against their definition: Shapley values over all subsets of the features, where the value of a subset
// is the tree's answer when only its features are known and all other tests are averaged by cover.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/shap.h"
#include "tests/lib/test.h"

#define FEATURES 10
#define MAX_NODES 64
#define TREES 5
#define GROUPS 3
#define SET_WORDS 2

struct fixture {
	struct arena scratch;
	struct arena memory;
	struct errinfo info;
	struct forest_params params;
	struct forest_builder *b;
	const struct forest *forest;
};

static void setup(struct fixture *f)
{
	f->params.feature_count = f->params.feature_count > 0 ? f->params.feature_count : FEATURES;
	f->params.group_count = f->params.group_count > 0 ? f->params.group_count : 1;
	f->params.scale = f->params.scale != 0 ? f->params.scale : 1;
	ms_errinfo_init(&f->info);
	ms_arena_init(&f->scratch, 1 << 16, (size_t)1 << 30);
	ms_arena_init(&f->memory, 1 << 16, (size_t)1 << 30);
	REQUIRE(ms_forest_builder_new(&f->params, &MS_MODEL_DEFAULT_OPTIONS, &f->scratch, &f->memory, &f->info,
				      &f->b) == MS_OK);
}

static void teardown(struct fixture *f)
{
	ms_arena_fini(&f->scratch);
	ms_arena_fini(&f->memory);
}

static void finish(struct fixture *f)
{
	REQUIRE(ms_forest_finish(f->b, &f->forest) == MS_OK);
}

static void explain(const struct forest *f, const double *rows, size_t count, double *out)
{
	REQUIRE(f->shap != NULL);
	void *scratch = malloc(ms_shap_scratch_size(f));
	REQUIRE(scratch != NULL);
	ms_shap_contributions(f, rows, count, scratch, out);
	free(scratch);
}

static void raw(const struct forest *f, const double *row, double *out)
{
	void *scratch = malloc(ms_forest_scratch_size(f));
	REQUIRE(scratch != NULL);
	ms_forest_raw(f, row, 1, scratch, out);
	free(scratch);
}

static void check_near(double got, double want, double scale, const char *what)
{
	if (!CHECK(fabs(got - want) <= 1e-12 * scale))
		printf("# %s: got %.17g, want %.17g\n", what, got, want);
}

// --- The reference ---------------------------------------------------------------------------------------

struct ref_tree {
	struct tree_node nodes[MAX_NODES];
	double values[MAX_NODES][GROUPS];
	uint32_t sets[MAX_NODES][SET_WORDS];
	size_t count;
	uint32_t group;
};

static bool goes_left(const struct ref_tree *t, size_t at, const double *row, bool single)
{
	const struct tree_node *n = &t->nodes[at];
	double x = single ? (double)(float)row[n->column] : row[n->column];
	if (isnan(x) || (n->kind == TREE_NODE_NUMERIC && n->zero_is_missing && fabs(x) <= (double)1e-35f))
		return n->missing_left;
	if (n->kind == TREE_NODE_SET) {
		bool in = x > -1 && x < SET_WORDS * 32 && (t->sets[at][(int)x / 32] >> ((int)x % 32) & 1) != 0;
		return in == n->in_set_left;
	}
	switch ((enum tree_compare)n->compare) {
	case TREE_LE:
		return x <= n->threshold;
	case TREE_LT:
		return x < n->threshold;
	case TREE_GE:
		return x >= n->threshold;
	case TREE_GT:
		return x > n->threshold;
	}
	return false;
}

// What the tree answers below a node when the features of the mask are known.
static double known(const struct ref_tree *t, size_t at, const double *row, unsigned mask, bool single, size_t k)
{
	const struct tree_node *n = &t->nodes[at];
	if (n->kind == TREE_NODE_LEAF)
		return t->values[at][k];
	if ((mask >> n->column & 1) != 0)
		return known(t, goes_left(t, at, row, single) ? n->left : n->right, row, mask, single, k);
	double left = t->nodes[n->left].cover, right = t->nodes[n->right].cover;
	double share_left = n->cover > 0 ? left / n->cover : 0.5, share_right = n->cover > 0 ? right / n->cover : 0.5;
	return share_left * known(t, n->left, row, mask, single, k) +
	       share_right * known(t, n->right, row, mask, single, k);
}

// s! (n-s-1)! / n!
static double subset_weight(int n, int s)
{
	double w = 1.0 / n;
	for (int i = 1; i <= s; i++)
		w *= (double)i / (n - i);
	return w;
}

// Adds the Shapley values of one tree, and its value for the empty subset, to phi[FEATURES + 1].
static void add_shapley(const struct ref_tree *t, const double *row, bool single, size_t k, double *phi)
{
	double value[1 << FEATURES];
	for (unsigned mask = 0; mask < 1 << FEATURES; mask++)
		value[mask] = known(t, 0, row, mask, single, k);
	for (unsigned i = 0; i < FEATURES; i++)
		for (unsigned mask = 0; mask < 1 << FEATURES; mask++)
			if ((mask >> i & 1) == 0)
				phi[i] += subset_weight(FEATURES, __builtin_popcount(mask)) *
					  (value[mask | 1u << i] - value[mask]);
	phi[FEATURES] += value[0];
}

// --- Random forests of all kinds of nodes --------------------------------------------------------------------

enum covers { COVERS_EXACT, COVERS_ZERO, COVERS_LOOSE };

static double random_value(struct rand *r)
{
	static const double special[] = {NAN, 0.0, -0.0, 1e-36, INFINITY, -INFINITY, 1e300};
	if (ms_rand_below(r, 5) == 0)
		return special[ms_rand_below(r, MS_ARRAY_LEN(special))];
	return (double)ms_rand_below(r, 8) - 1 + (ms_rand_below(r, 2) != 0 ? 0.25 : 0);
}

static void random_split(struct rand *r, struct ref_tree *t, size_t at, uint32_t features)
{
	struct tree_node *n = &t->nodes[at];
	double cover = n->cover;
	*n = (struct tree_node){
		.kind = ms_rand_below(r, 4) == 0 ? TREE_NODE_SET : TREE_NODE_NUMERIC,
		.compare = (uint8_t)ms_rand_below(r, 4),
		.missing_left = ms_rand_below(r, 2) != 0,
		.in_set_left = ms_rand_below(r, 2) != 0,
		.column = (uint32_t)ms_rand_below(r, features),
		.left = (uint32_t)t->count,
		.right = (uint32_t)t->count + 1,
		.cover = cover,
	};
	for (int i = 0; i < SET_WORDS; i++)
		t->sets[at][i] = (uint32_t)ms_rand_u64(r);
	if (n->kind == TREE_NODE_NUMERIC) {
		n->zero_is_missing = ms_rand_below(r, 4) == 0;
		n->threshold = (double)ms_rand_below(r, 7) - 0.75;
	}
	t->count += 2;
}

static void random_tree(struct rand *r, struct ref_tree *t, enum covers covers, uint32_t features)
{
	size_t splits = ms_rand_below(r, MAX_NODES / 2);
	*t = (struct ref_tree){.count = 1};
	t->nodes[0] = (struct tree_node){.kind = TREE_NODE_LEAF, .cover = 1000};
	for (size_t s = 0; s < splits; s++) {
		size_t at;
		do
			at = ms_rand_below(r, t->count);
		while (t->nodes[at].kind != TREE_NODE_LEAF);
		random_split(r, t, at, features);
		double part = covers == COVERS_ZERO && ms_rand_below(r, 3) == 0 ? (double)ms_rand_below(r, 2)
										: ms_rand_double(r);
		double left = t->nodes[at].cover * part, right = t->nodes[at].cover - left;
		if (covers == COVERS_LOOSE)
			right *= 0.9;
		t->nodes[t->nodes[at].left] = (struct tree_node){.kind = TREE_NODE_LEAF, .cover = left};
		t->nodes[t->nodes[at].right] = (struct tree_node){.kind = TREE_NODE_LEAF, .cover = right};
	}
	for (size_t i = 0; i < t->count; i++)
		for (size_t k = 0; k < GROUPS; k++)
			t->values[i][k] = (double)(float)(2 * ms_rand_double(r) - 1);
}

static void add_tree(struct fixture *f, struct ref_tree *t, uint32_t group)
{
	struct tree_node *dst;
	t->group = group;
	REQUIRE(ms_forest_tree_begin(f->b, t->count, group, &dst) == MS_OK);
	memcpy(dst, t->nodes, t->count * sizeof(*dst));
	for (size_t i = 0; i < t->count; i++) {
		if (dst[i].kind == TREE_NODE_SET) {
			dst[i].set.word_count = SET_WORDS;
			REQUIRE(ms_forest_add_set(f->b, t->sets[i], SET_WORDS, &dst[i].set.first_word) == MS_OK);
		}
		if (dst[i].kind == TREE_NODE_LEAF && !f->params.vector_leaves)
			dst[i].value = t->values[i][0];
		if (dst[i].kind == TREE_NODE_LEAF && f->params.vector_leaves)
			REQUIRE(ms_forest_add_vector(f->b, t->values[i], &dst[i].vector) == MS_OK);
	}
	ms_forest_tree_has_covers(f->b);
	REQUIRE(ms_forest_tree_end(f->b, 0) == MS_OK);
}

// Random rows of the forest against the reference; in a batch and alone.
static void check_rows(const struct fixture *f, const struct ref_tree *trees, size_t tree_count)
{
	enum { ROWS = 20, STRIDE = FEATURES + 1 };
	const struct forest_params *p = &f->params;
	const size_t groups = p->group_count;
	double rows[ROWS][FEATURES], alone[GROUPS * STRIDE], score[GROUPS];
	struct rand *r = ms_test_rand();
	for (size_t i = 0; i < ROWS; i++)
		for (size_t k = 0; k < FEATURES; k++)
			rows[i][k] = random_value(r);
	double *batch = malloc(ROWS * groups * STRIDE * sizeof(*batch));
	REQUIRE(batch != NULL);
	explain(f->forest, rows[0], ROWS, batch);
	for (size_t i = 0; i < ROWS; i++) {
		explain(f->forest, rows[i], 1, alone);
		raw(f->forest, rows[i], score);
		for (size_t k = 0; k < groups; k++) {
			double want[STRIDE] = {0}, sum = 0;
			for (size_t t = 0; t < tree_count; t++)
				if (p->vector_leaves || trees[t].group == k)
					add_shapley(&trees[t], rows[i], p->input_single, p->vector_leaves ? k : 0,
						    want);
			want[FEATURES] += p->start != NULL ? p->start[k] : 0;
			for (size_t j = 0; j < STRIDE; j++) {
				want[j] = p->scale * want[j] + (j == FEATURES && p->bias != NULL ? p->bias[k] : 0);
				double got = batch[(i * groups + k) * STRIDE + j];
				check_near(got, want[j], 10, "contribution");
				CHECK_F64(alone[k * STRIDE + j], got);
				sum += got;
			}
			CHECK(fabs(sum - score[k]) <= (p->sum_single ? 1e-5 : 1e-12));
		}
	}
	free(batch);
}

static void check_random(struct forest_params params, enum covers covers, uint32_t features)
{
	static struct ref_tree trees[TREES];
	struct fixture f = {.params = params};
	setup(&f);
	for (size_t t = 0; t < TREES; t++) {
		random_tree(ms_test_rand(), &trees[t], covers, features);
		add_tree(&f, &trees[t], (uint32_t)(f.params.vector_leaves ? 0 : t % f.params.group_count));
	}
	finish(&f);
	check_rows(&f, trees, TREES);
	teardown(&f);
}

TEST(shap_equals_shapley_values_over_all_subsets)
{
	for (int i = 0; i < 4; i++) {
		check_random((struct forest_params){0}, COVERS_EXACT, FEATURES);
		check_random((struct forest_params){.input_single = true, .sum_single = true}, COVERS_EXACT, FEATURES);
		check_random((struct forest_params){.input_single = true}, COVERS_EXACT, FEATURES);
	}
}

TEST(shap_counts_a_feature_that_repeats_on_a_path_once)
{
	for (uint32_t features = 1; features <= 4; features++)
		check_random((struct forest_params){0}, COVERS_EXACT, features);
}

TEST(shap_takes_covers_of_zero_and_covers_that_do_not_add_up)
{
	for (int i = 0; i < 4; i++) {
		check_random((struct forest_params){0}, COVERS_ZERO, FEATURES);
		check_random((struct forest_params){0}, COVERS_ZERO, 3);
		check_random((struct forest_params){0}, COVERS_LOOSE, FEATURES);
	}
}

TEST(shap_several_outputs)
{
	const double start[GROUPS] = {1, -2, 0.5}, bias[GROUPS] = {3, 0, -1};
	struct forest_params params = {.group_count = GROUPS, .start = start, .bias = bias, .scale = 0.25};
	check_random(params, COVERS_EXACT, FEATURES);
	params.vector_leaves = true;
	check_random(params, COVERS_EXACT, FEATURES);
	params.input_single = params.sum_single = true;
	params.scale = 1;
	params.bias = NULL;
	check_random(params, COVERS_EXACT, FEATURES);
}

// --- Oblivious trees -------------------------------------------------------------------------------------------

static void computed_columns(const void *context, const double *row, double *dst)
{
	CHECK(context == NULL);
	dst[0] = row[0] > 2 ? 0 : 1;
	dst[1] = row[1] > 2 ? 0 : 1;
}

// An oblivious tree as one of nodes, for the reference: the last test stands at the root.
static void unfold(struct ref_tree *t, const struct oblivious_test *tests, size_t depth, const double *values,
		   const double *covers, size_t width)
{
	*t = (struct ref_tree){.count = ((size_t)2 << depth) - 1};
	for (size_t n = t->count; n-- > 0;) {
		size_t level = (size_t)(31 - __builtin_clz((unsigned)n + 1));
		if (level == depth) {
			size_t leaf = n + 1 - ((size_t)1 << depth);
			t->nodes[n] = (struct tree_node){.kind = TREE_NODE_LEAF, .cover = covers[leaf]};
			memcpy(t->values[n], values + leaf * width, width * sizeof(double));
			continue;
		}
		const struct oblivious_test *test = &tests[depth - 1 - level];
		t->nodes[n] = (struct tree_node){
			.kind = TREE_NODE_NUMERIC,
			.compare = test->compare,
			.missing_left = test->missing_true,
			.column = test->column,
			.threshold = test->threshold,
			.left = (uint32_t)(2 * n + 2),
			.right = (uint32_t)(2 * n + 1),
			.cover = t->nodes[2 * n + 1].cover + t->nodes[2 * n + 2].cover,
		};
		if (test->column >= FEATURES) { // as computed_columns() has it; missing is "not above"
			t->nodes[n].column = test->column - FEATURES;
			t->nodes[n].compare = TREE_GT;
			t->nodes[n].threshold = 2;
		}
	}
}

static void check_oblivious(bool vector_leaves)
{
	static struct ref_tree trees[TREES];
	static const uint32_t computed_feature[] = {0, 1};
	struct rand *r = ms_test_rand();
	struct fixture f = {.params = {.computed_count = 2,
				       .compute = computed_columns,
				       .computed_feature = computed_feature,
				       .group_count = vector_leaves ? GROUPS : 1,
				       .vector_leaves = vector_leaves,
				       .input_single = true,
				       .scale = 0.5}};
	setup(&f);
	for (size_t t = 0; t < TREES; t++) {
		struct oblivious_test tests[5];
		double values[32 * GROUPS], covers[32];
		for (size_t i = 0; i < t; i++) {
			tests[i] = (struct oblivious_test){.column = (uint32_t)ms_rand_below(r, FEATURES + 2),
							   .compare = TREE_GT,
							   .missing_true = ms_rand_below(r, 2) != 0,
							   .threshold = (double)ms_rand_below(r, 6)};
			if (tests[i].column >= FEATURES)
				tests[i] = (struct oblivious_test){
					.column = tests[i].column, .compare = TREE_LE, .threshold = 0.5};
		}
		for (size_t i = 0; i < MS_ARRAY_LEN(values); i++)
			values[i] = ms_rand_double(r) - 0.5;
		for (size_t i = 0; i < MS_ARRAY_LEN(covers); i++)
			covers[i] = (double)ms_rand_below(r, 5);
		covers[0] = 1;
		REQUIRE(ms_forest_add_oblivious(f.b, tests, t, 0, values, covers) == MS_OK);
		unfold(&trees[t], tests, t, values, covers, f.params.group_count);
	}
	finish(&f);
	check_rows(&f, trees, TREES);
	teardown(&f);
}

TEST(shap_oblivious_trees_and_computed_columns)
{
	for (int i = 0; i < 4; i++) {
		check_oblivious(false);
		check_oblivious(true);
	}
}

// --- Deep trees ------------------------------------------------------------------------------------------------

// A chain: split i tests feature i mod `features` and sends the row's side on; each leaves a leaf behind.
struct chain {
	size_t depth, features;
	double *share; // of the side that goes on, by split
	double *value; // of the leaf beside split i; the last of the end
	double *row;   // 1: goes on, 0: ends at the leaf
};

static void chain_new(struct chain *c, size_t depth, size_t features)
{
	struct rand *r = ms_test_rand();
	*c = (struct chain){depth, features, calloc(depth, sizeof(double)), calloc(depth + 1, sizeof(double)),
			    calloc(features, sizeof(double))};
	REQUIRE(c->share != NULL && c->value != NULL && c->row != NULL);
	for (size_t i = 0; i < depth; i++)
		c->share[i] = 0.02 + 0.97 * ms_rand_double(r);
	for (size_t i = 0; i <= depth; i++)
		c->value[i] = 2 * ms_rand_double(r) - 1;
	for (size_t i = 0; i < features; i++)
		c->row[i] = (double)ms_rand_below(r, 2);
}

static void chain_free(struct chain *c)
{
	free(c->share);
	free(c->value);
	free(c->row);
}

static enum ms_err chain_add(const struct chain *c, struct fixture *f)
{
	struct tree_node *nodes;
	MS_TRY(ms_forest_tree_begin(f->b, 2 * c->depth + 1, 0, &nodes));
	double cover = 1;
	for (size_t i = 0; i < c->depth; i++) {
		nodes[2 * i] = (struct tree_node){.kind = TREE_NODE_NUMERIC,
						  .compare = TREE_LT,
						  .column = (uint32_t)(i % c->features),
						  .threshold = 0.5,
						  .left = (uint32_t)(2 * i + 1),
						  .right = (uint32_t)(2 * i + 2),
						  .cover = cover};
		nodes[2 * i + 1] = (struct tree_node){
			.kind = TREE_NODE_LEAF, .value = c->value[i], .cover = cover * (1 - c->share[i])};
		cover *= c->share[i];
	}
	nodes[2 * c->depth] = (struct tree_node){.kind = TREE_NODE_LEAF, .value = c->value[c->depth], .cover = cover};
	ms_forest_tree_has_covers(f->b);
	return ms_forest_tree_end(f->b, 0);
}

// One leaf's part by the polynomial of subset sizes, all of whose terms are positive: exact in long double.
static void chain_leaf(size_t n, const long double *w, const bool *passed, const bool *used, long double value,
		       long double *phi)
{
	long double *c = calloc(n + 1, sizeof(*c));
	REQUIRE(c != NULL);
	for (size_t i = 0; i < n; i++) {
		if (!used[i])
			continue;
		size_t degree = 0;
		memset(c, 0, (n + 1) * sizeof(*c));
		c[0] = 1;
		for (size_t j = 0; j < n; j++) {
			if (j == i || !used[j])
				continue;
			for (size_t s = ++degree + 1; s-- > 0;)
				c[s] = c[s] * w[j] + (s > 0 && passed[j] ? c[s - 1] : 0);
		}
		long double sum = 0, weight = 1 / (long double)(degree + 1);
		for (size_t s = 0; s <= degree; s++) {
			sum += c[s] * weight;
			weight *= (long double)(s + 1) / (long double)(degree - s > 0 ? degree - s : 1);
		}
		phi[i] += value * ((passed[i] ? 1 : 0) - w[i]) * sum;
	}
	free(c);
}

static void chain_reference(const struct chain *c, long double *phi)
{
	long double *w = calloc(c->features, sizeof(*w)), *leaf_w = calloc(c->features, sizeof(*w));
	bool *passed = calloc(c->features, 1), *leaf_passed = calloc(c->features, 1), *used = calloc(c->features, 1);
	REQUIRE(w != NULL && leaf_w != NULL && passed != NULL && leaf_passed != NULL && used != NULL);
	for (size_t i = 0; i < c->features; i++) {
		w[i] = 1;
		passed[i] = true;
	}
	for (size_t i = 0; i <= c->depth; i++) {
		size_t feature = i % c->features;
		memcpy(leaf_w, w, c->features * sizeof(*w));
		memcpy(leaf_passed, passed, c->features);
		if (i < c->depth) {
			used[feature] = true;
			leaf_w[feature] *= 1 - (long double)c->share[i];
			leaf_passed[feature] = passed[feature] && c->row[feature] == 0;
		}
		chain_leaf(c->features, leaf_w, leaf_passed, used, c->value[i], phi);
		if (i < c->depth) {
			w[feature] *= c->share[i];
			passed[feature] = passed[feature] && c->row[feature] == 1;
		}
	}
	free(w);
	free(leaf_w);
	free(passed);
	free(leaf_passed);
	free(used);
}

static void check_chain(size_t depth, size_t features)
{
	struct fixture f = {.params = {.feature_count = features}};
	struct chain c;
	setup(&f);
	chain_new(&c, depth, features);
	REQUIRE(chain_add(&c, &f) == MS_OK);
	finish(&f);
	double *out = calloc(features + 1, sizeof(*out)), score;
	long double *want = calloc(features, sizeof(*want));
	REQUIRE(out != NULL && want != NULL);
	for (int row = 0; row < 6; row++) {
		// A row that goes far, and rows that leave early.
		for (size_t i = 0; i < features; i++)
			c.row[i] = row == 0 ? 1 : (double)(ms_rand_below(ms_test_rand(), 8) > 0);
		memset(want, 0, features * sizeof(*want));
		explain(f.forest, c.row, 1, out);
		raw(f.forest, c.row, &score);
		chain_reference(&c, want);
		double sum = out[features];
		for (size_t i = 0; i < features; i++) {
			check_near(out[i], (double)want[i], 1, "deep contribution");
			sum += out[i];
		}
		check_near(sum, score, 1, "sum of a deep tree");
	}
	free(out);
	free(want);
	chain_free(&c);
	teardown(&f);
}

TEST(shap_deep_trees)
{
	static const struct {
		size_t depth, features;
	} shapes[] = {{7, 7},   {8, 8},   {9, 9},  {16, 16},   {17, 17}, {24, 24},
		      {40, 40}, {60, 60}, {60, 7}, {128, 128}, {400, 90}};
	for (size_t i = 0; i < MS_ARRAY_LEN(shapes); i++)
		check_chain(shapes[i].depth, shapes[i].features);
}

// --- Models without contributions ------------------------------------------------------------------------------

static void check_refused(struct fixture *f, const char *part)
{
	finish(f);
	CHECK(f->forest->shap == NULL);
	CHECK_HAS(f->forest->no_shap, part);
	teardown(f);
}

static void add_stump(struct fixture *f, double left_cover, bool has_covers)
{
	struct tree_node *nodes;
	REQUIRE(ms_forest_tree_begin(f->b, 3, 0, &nodes) == MS_OK);
	nodes[0] = (struct tree_node){
		.kind = TREE_NODE_NUMERIC, .compare = TREE_LE, .left = 1, .right = 2, .threshold = 1, .cover = 10};
	nodes[1] = (struct tree_node){.kind = TREE_NODE_LEAF, .value = 1, .cover = left_cover};
	nodes[2] = (struct tree_node){.kind = TREE_NODE_LEAF, .value = 2, .cover = 5};
	if (has_covers)
		ms_forest_tree_has_covers(f->b);
	REQUIRE(ms_forest_tree_end(f->b, 0) == MS_OK);
}

TEST(shap_says_why_there_are_no_contributions)
{
	struct fixture f = {0};
	setup(&f);
	add_stump(&f, 5, true);
	add_stump(&f, 5, false);
	check_refused(&f, "does not say how many training rows");
	static const double bad[] = {-1, NAN, INFINITY};
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		f = (struct fixture){0};
		setup(&f);
		add_stump(&f, bad[i], true);
		check_refused(&f, "not all finite");
	}
	struct chain c;
	chain_new(&c, 129, 129);
	f = (struct fixture){.params = {.feature_count = 129}};
	setup(&f);
	REQUIRE(chain_add(&c, &f) == MS_OK);
	check_refused(&f, "more than 128 different features");
	chain_free(&c);
	f = (struct fixture){.params = {.computed_count = 1, .compute = computed_columns}};
	setup(&f);
	const struct oblivious_test test = {.column = FEATURES, .compare = TREE_LE, .threshold = 0.5};
	REQUIRE(ms_forest_add_oblivious(f.b, &test, 1, 0, (double[]){1, 2}, (double[]){1, 2}) == MS_OK);
	check_refused(&f, "several features at once");
}

TEST(shap_of_constant_and_of_no_trees)
{
	struct fixture f = {0};
	double row[FEATURES] = {0}, out[FEATURES + 1];
	setup(&f);
	finish(&f);
	explain(f.forest, row, 1, out);
	CHECK_F64(out[FEATURES], 0);
	teardown(&f);
	setup(&f);
	struct tree_node *nodes;
	REQUIRE(ms_forest_tree_begin(f.b, 1, 0, &nodes) == MS_OK);
	nodes[0] = (struct tree_node){.kind = TREE_NODE_LEAF, .value = 3};
	REQUIRE(ms_forest_tree_end(f.b, 0) == MS_OK); // a leaf alone needs no cover
	finish(&f);
	explain(f.forest, row, 1, out);
	CHECK_F64(out[FEATURES], 3);
	CHECK_F64(out[0], 0);
	teardown(&f);
}

// --- What each tree adds ---------------------------------------------------------------------------------------

TEST(forest_trees_add_up_to_the_raw_score)
{
	static struct ref_tree tree;
	struct rand *r = ms_test_rand();
	for (int vector = 0; vector < 2; vector++) {
		enum { MANY = 700 };
		struct fixture f = {
			.params = {.group_count = vector ? GROUPS : 1, .vector_leaves = vector, .scale = 0.5}};
		setup(&f);
		for (size_t t = 0; t < MANY; t++) {
			random_tree(r, &tree, COVERS_EXACT, FEATURES);
			add_tree(&f, &tree, 0);
		}
		finish(&f);
		double rows[2][FEATURES], score[GROUPS], *parts = calloc(2 * MANY * GROUPS, sizeof(*parts));
		void *scratch = malloc(ms_forest_scratch_size(f.forest));
		REQUIRE(parts != NULL && scratch != NULL);
		for (size_t i = 0; i < FEATURES; i++) {
			rows[0][i] = random_value(r);
			rows[1][i] = random_value(r);
		}
		ms_forest_trees(f.forest, rows[0], 2, scratch, parts);
		size_t width = f.params.group_count;
		for (size_t i = 0; i < 2; i++) {
			raw(f.forest, rows[i], score);
			for (size_t k = 0; k < width; k++) {
				double sum = 0;
				for (size_t t = 0; t < MANY; t++)
					sum += parts[(i * MANY + t) * width + k];
				CHECK(fabs(sum - score[k]) < 1e-12);
			}
		}
		free(parts);
		free(scratch);
		teardown(&f);
	}
}
