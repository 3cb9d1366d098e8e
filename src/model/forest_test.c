// SPDX-License-Identifier: Apache-2.0
// The forest against a plain walk over the loader's description: every comparison, every missing rule, both
// node sizes, every kind of leaf; and the checks of the builder.
#include <math.h>
#include <stdlib.h>

#include "model/forest.h"
#include "tests/lib/test.h"

#define FEATURES 5
#define MAX_NODES 64

struct fixture {
	struct arena scratch;
	struct arena memory;
	struct errinfo info;
	struct forest_builder *b;
	struct forest_params params;
};

static void setup_with(struct fixture *f, const struct model_options *options)
{
	ms_errinfo_init(&f->info);
	ms_arena_init(&f->scratch, 1 << 16, (size_t)1 << 30);
	ms_arena_init(&f->memory, 1 << 16, (size_t)1 << 30);
	if (f->params.feature_count == 0)
		f->params.feature_count = FEATURES;
	if (f->params.group_count == 0)
		f->params.group_count = 1;
	f->params.scale = f->params.scale != 0 ? f->params.scale : 1;
	REQUIRE(ms_forest_builder_new(&f->params, options, &f->scratch, &f->memory, &f->info, &f->b) == MS_OK);
}

static void setup(struct fixture *f)
{
	setup_with(f, &MS_MODEL_DEFAULT_OPTIONS);
}

static void teardown(struct fixture *f)
{
	ms_arena_fini(&f->scratch);
	ms_arena_fini(&f->memory);
}

static struct tree_node leaf(double value)
{
	return (struct tree_node){.kind = TREE_NODE_LEAF, .value = value};
}

static struct tree_node split(enum tree_compare compare, uint32_t column, double threshold, uint32_t left,
			      uint32_t right)
{
	return (struct tree_node){.kind = TREE_NODE_NUMERIC,
				  .compare = (uint8_t)compare,
				  .column = column,
				  .threshold = threshold,
				  .left = left,
				  .right = right};
}

static enum ms_err add_tree(struct fixture *f, const struct tree_node *nodes, size_t count, uint32_t group)
{
	struct tree_node *dst;
	MS_TRY(ms_forest_tree_begin(f->b, count, group, &dst));
	memcpy(dst, nodes, count * sizeof(*nodes));
	return ms_forest_tree_end(f->b, 0);
}

static const struct forest *finish(struct fixture *f)
{
	const struct forest *forest = NULL;
	REQUIRE(ms_forest_finish(f->b, &forest) == MS_OK);
	return forest;
}

static void predict(const struct forest *f, const double *rows, size_t count, double *out)
{
	void *scratch = aligned_alloc(16, ms_forest_scratch_size(f));
	REQUIRE(scratch != NULL);
	ms_forest_raw(f, rows, count, scratch, out);
	free(scratch);
}

static double predict_one(const struct forest *f, const double *row)
{
	double out[8];
	predict(f, row, 1, out);
	return out[0];
}

// --- The reference ---------------------------------------------------------------------------------------

static bool compare_values(enum tree_compare compare, double x, double t)
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

static bool reference_left(const struct tree_node *n, const double *row, bool single)
{
	double x = single ? (double)(float)row[n->column] : row[n->column];
	if (isnan(x) || (n->zero_is_missing && fabs(x) <= (double)1e-35f))
		return n->missing_left;
	return compare_values((enum tree_compare)n->compare, x, n->threshold);
}

static const struct tree_node *reference_walk(const struct tree_node *nodes, const double *row, bool single)
{
	const struct tree_node *n = nodes;
	while (n->kind != TREE_NODE_LEAF)
		n = &nodes[reference_left(n, row, single) ? n->left : n->right];
	return n;
}

// Values around which comparisons turn.
static double edge_value(struct rand *r, bool single)
{
	static const double special[] = {
		0.0, -0.0, INFINITY,       -INFINITY,       NAN,   1e-35, -1e-35, 0x1p-1074, -0x1p-149, 0x1p-149,
		1,   -1,   0x1.fffffep127, -0x1.fffffep127, 1e-36, 2,     3,      0.1};
	double x = special[ms_rand_below(r, MS_ARRAY_LEN(special))];
	if (ms_rand_below(r, 3) == 0)
		x = single ? (double)nextafterf((float)x, INFINITY) : nextafter(x, INFINITY);
	else if (ms_rand_below(r, 3) == 0)
		x = single ? (double)nextafterf((float)x, -INFINITY) : nextafter(x, -INFINITY);
	return x;
}

static size_t random_tree(struct rand *r, struct tree_node *nodes, bool single, size_t max_nodes)
{
	size_t used = 1, splits = ms_rand_below(r, max_nodes / 2);
	nodes[0] = leaf(0);
	for (size_t s = 0; s < splits; s++) {
		size_t at;
		do
			at = ms_rand_below(r, used);
		while (nodes[at].kind != TREE_NODE_LEAF);
		double t = edge_value(r, single);
		nodes[at] = split((enum tree_compare)ms_rand_below(r, 4), (uint32_t)ms_rand_below(r, FEATURES),
				  single ? (double)(float)t : t, (uint32_t)used, (uint32_t)used + 1);
		nodes[at].missing_left = ms_rand_below(r, 2);
		nodes[at].zero_is_missing = ms_rand_below(r, 4) == 0;
		nodes[used++] = leaf(0);
		nodes[used++] = leaf(0);
	}
	for (size_t i = 0; i < used; i++)
		if (nodes[i].kind == TREE_NODE_LEAF) {
			nodes[i].value = (double)(float)(ms_rand_double(r) - 0.5);
			nodes[i].leaf = (uint32_t)i;
		}
	return used;
}

static void check_random_forest(bool single, size_t trees)
{
	static struct tree_node nodes[700][MAX_NODES];
	enum { ROWS = 100 };
	struct rand *r = ms_test_rand();
	struct fixture f = {.params = {.input_single = single, .sum_single = single}};
	setup(&f);
	for (size_t t = 0; t < trees; t++) {
		size_t count = random_tree(r, nodes[t], single, MAX_NODES);
		REQUIRE(add_tree(&f, nodes[t], count, 0) == MS_OK);
	}
	const struct forest *forest = finish(&f);
	CHECK(forest->wide == !single);
	double rows[ROWS][FEATURES], out[ROWS], *leaves = malloc(ROWS * trees * sizeof(double));
	for (size_t i = 0; i < ROWS; i++)
		for (size_t k = 0; k < FEATURES; k++)
			rows[i][k] = edge_value(r, false);
	void *scratch = aligned_alloc(16, ms_forest_scratch_size(forest));
	REQUIRE(scratch != NULL && leaves != NULL);
	ms_forest_raw(forest, rows[0], ROWS, scratch, out);
	ms_forest_leaves(forest, rows[0], ROWS, scratch, leaves);
	for (size_t i = 0; i < ROWS; i++) {
		double sum = 0, alone;
		float sum_single = 0;
		for (size_t t = 0; t < trees; t++) {
			const struct tree_node *n = reference_walk(nodes[t], rows[i], single);
			sum += n->value;
			sum_single += (float)n->value;
			CHECK_F64(leaves[i * trees + t], n->leaf);
		}
		CHECK_F64(out[i], single ? (double)sum_single : sum);
		ms_forest_raw(forest, rows[i], 1, scratch, &alone);
		CHECK_F64(alone, out[i]);
	}
	free(scratch);
	free(leaves);
	teardown(&f);
}

TEST(forest_random_trees_f64)
{
	check_random_forest(false, 37);
}

TEST(forest_random_trees_f32)
{
	check_random_forest(true, 37);
}

TEST(forest_more_trees_than_a_block)
{
	check_random_forest(true, 700);
	check_random_forest(false, 700);
}

// Each comparison with each rule for missing values on each value of interest.
TEST(forest_every_test_form)
{
	static const double values[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1.0, 1.5, -1.0, 0x1p-149, -0x1p-149};
	for (int single = 0; single <= 1; single++)
		for (int form = 0; form < 16; form++)
			for (size_t t = 0; t < MS_ARRAY_LEN(values); t++) {
				struct fixture f = {.params = {.input_single = single}};
				setup(&f);
				struct tree_node nodes[] = {split((enum tree_compare)(form & 3), 2, values[t], 1, 2),
							    leaf(1), leaf(2)};
				nodes[0].missing_left = form & 4;
				nodes[0].zero_is_missing = form & 8;
				REQUIRE(add_tree(&f, nodes, 3, 0) == MS_OK);
				const struct forest *forest = finish(&f);
				for (size_t v = 0; v < MS_ARRAY_LEN(values); v++) {
					double row[FEATURES] = {0, 0, values[v], 0, 0};
					CHECK_F64(predict_one(forest, row),
						  reference_left(&nodes[0], row, single) ? 1 : 2);
				}
				teardown(&f);
			}
}

// A chain long enough that children are too far for the small nodes, and one that is deep.
TEST(forest_large_and_deep_trees)
{
	enum { LEVELS = 17 };
	struct fixture f = {.params = {.input_single = true, .sum_single = true}};
	setup(&f);
	size_t count = ((size_t)1 << (LEVELS + 1)) - 1, inner = ((size_t)1 << LEVELS) - 1;
	struct tree_node *nodes;
	REQUIRE(ms_forest_tree_begin(f.b, count, 0, &nodes) == MS_OK);
	for (size_t i = 0; i < count; i++)
		nodes[i] = i < inner ? split(TREE_LT, (uint32_t)(i % FEATURES), (double)(i % 7), (uint32_t)(2 * i + 1),
					     (uint32_t)(2 * i + 2))
				     : leaf((double)(i - inner));
	REQUIRE(ms_forest_tree_end(f.b, 0) == MS_OK);
	enum { CHAIN = 1000 };
	REQUIRE(ms_forest_tree_begin(f.b, 2 * CHAIN + 1, 0, &nodes) == MS_OK);
	for (uint32_t i = 0; i < CHAIN; i++) {
		nodes[2 * i] = split(TREE_LT, 0, -(double)i, 2 * i + 2, 2 * i + 1);
		nodes[2 * i + 1] = leaf(0);
	}
	nodes[2 * CHAIN] = leaf(0.5);
	REQUIRE(ms_forest_tree_end(f.b, 0) == MS_OK);
	const struct forest *forest = finish(&f);
	CHECK(forest->wide);
	CHECK_INT(forest->trees[1].depth, CHAIN);
	double row[FEATURES] = {-5000, 3, 1, 9, 4};
	size_t at = 0;
	while (at < inner)
		at = 2 * at + (row[at % FEATURES] < (double)(at % 7) ? 1 : 2);
	CHECK_F64(predict_one(forest, row), (double)((float)(at - inner) + 0.5f));
	teardown(&f);
}

TEST(forest_groups_start_scale_and_bias)
{
	double start[] = {1, 2, 3}, bias[] = {10, 20, 30};
	struct fixture f = {.params = {.group_count = 3, .start = start, .scale = 2, .bias = bias}};
	setup(&f);
	for (uint32_t t = 0; t < 7; t++) {
		struct tree_node nodes[] = {split(TREE_LE, 0, 0, 1, 2), leaf(t + 1), leaf(100 * (t + 1))};
		REQUIRE(add_tree(&f, nodes, 3, t % 3) == MS_OK);
	}
	const struct forest *forest = finish(&f);
	double rows[2 * FEATURES] = {-1, 0, 0, 0, 0, 1, 0, 0, 0, 0}, out[6];
	predict(forest, rows, 2, out);
	CHECK_F64(out[0], 2 * (1 + 1 + 4 + 7) + 10.0);
	CHECK_F64(out[1], 2 * (2 + 2 + 5) + 20.0);
	CHECK_F64(out[2], 2 * (3 + 3 + 6) + 30.0);
	CHECK_F64(out[3], 2 * (1 + 1200) + 10.0);
	teardown(&f);
}

// The order of f32 additions shows: 1 is lost beside 2^24, unless it is added to its like first.
TEST(forest_sums_in_f32_from_the_start_value)
{
	double start[] = {0x1p24};
	struct fixture f = {.params = {.start = start, .input_single = true, .sum_single = true}};
	setup(&f);
	struct tree_node one = leaf(1), minus = leaf(-0x1p24);
	REQUIRE(add_tree(&f, &one, 1, 0) == MS_OK);
	REQUIRE(add_tree(&f, &one, 1, 0) == MS_OK);
	REQUIRE(add_tree(&f, &minus, 1, 0) == MS_OK);
	double row[FEATURES] = {0};
	CHECK_F64(predict_one(finish(&f), row), 0);
	teardown(&f);
}

TEST(forest_vector_leaves)
{
	for (int single = 0; single <= 1; single++) {
		struct fixture f = {
			.params = {
				.group_count = 2, .vector_leaves = true, .input_single = single, .sum_single = single}};
		setup(&f);
		for (int t = 0; t < 3; t++) {
			struct tree_node *nodes;
			double left[] = {1 + t, 10}, right[] = {2, 20 + t};
			REQUIRE(ms_forest_tree_begin(f.b, 3, 0, &nodes) == MS_OK);
			nodes[0] = split(TREE_LT, 1, 0.5, 1, 2);
			nodes[1].kind = nodes[2].kind = TREE_NODE_LEAF;
			REQUIRE(ms_forest_add_vector(f.b, left, &nodes[1].vector) == MS_OK);
			REQUIRE(ms_forest_add_vector(f.b, right, &nodes[2].vector) == MS_OK);
			REQUIRE(ms_forest_tree_end(f.b, 0) == MS_OK);
		}
		double rows[2 * FEATURES] = {0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, out[4];
		predict(finish(&f), rows, 2, out);
		CHECK_F64(out[0], 6);
		CHECK_F64(out[1], 30);
		CHECK_F64(out[2], 6);
		CHECK_F64(out[3], 63);
		teardown(&f);
	}
}

// f32 tests above f64 leaves, as CatBoost has them.
TEST(forest_f64_leaves_below_f32_tests)
{
	struct fixture f = {.params = {.input_single = true}};
	setup(&f);
	struct tree_node nodes[] = {split(TREE_GT, 0, 0.5, 1, 2), leaf(0.1), leaf(0.2)};
	REQUIRE(add_tree(&f, nodes, 3, 0) == MS_OK);
	const struct forest *forest = finish(&f);
	CHECK(!forest->wide);
	double row[FEATURES] = {0.5 + 0x1p-30}; // rounds to 0.5f
	CHECK_F64(predict_one(forest, row), 0.2);
	teardown(&f);
}

static void double_the_first(const void *context, const double *row, double *dst)
{
	CHECK(context == NULL);
	dst[0] = row[0] * 2;
	dst[1] = row[4];
}

TEST(forest_oblivious_trees_and_computed_columns)
{
	struct fixture f = {.params = {.computed_count = 2, .compute = double_the_first, .input_single = true}};
	setup(&f);
	const struct oblivious_test tests[] = {
		{.column = 0, .compare = TREE_GT, .threshold = 1},
		{.column = FEATURES, .compare = TREE_GT, .threshold = 1, .missing_true = true},
		{.column = FEATURES + 1, .compare = TREE_LE, .threshold = -0.0},
	};
	double values[8], constant = 100;
	for (int i = 0; i < 8; i++)
		values[i] = i / 10.0;
	REQUIRE(ms_forest_add_oblivious(f.b, tests, 3, 0, values, NULL) == MS_OK);
	REQUIRE(ms_forest_add_oblivious(f.b, tests, 0, 0, &constant, NULL) == MS_OK);
	const struct forest *forest = finish(&f);
	static const struct {
		double x, y;
		int leaf;
	} cases[] = {{0.5, 1, 0}, {0.75, 1, 2}, {2, 1, 3}, {NAN, 1, 2}, {0, -1, 4}, {2, 0, 7}, {2, NAN, 3}};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		double row[FEATURES] = {cases[i].x, 0, 0, 0, cases[i].y}, leaves[2];
		CHECK_F64(predict_one(forest, row), cases[i].leaf / 10.0 + 100);
		void *scratch = aligned_alloc(16, ms_forest_scratch_size(forest));
		REQUIRE(scratch != NULL);
		ms_forest_leaves(forest, row, 1, scratch, leaves);
		CHECK_F64(leaves[0], cases[i].leaf);
		CHECK_F64(leaves[1], 0);
		free(scratch);
	}
	teardown(&f);
}

struct set_case {
	double x;
	int lightgbm, xgboost; // member?
};

TEST(forest_category_sets)
{
	const uint32_t words[] = {1u << 0 | 1u << 3, 1u << 8}; // 0, 3, 40
	static const struct set_case cases[] = {
		{0, 1, 1},      {-0.0, 1, 1},   {1, 0, 0},        {3, 1, 1},         {3.9, 1, 1}, {40, 1, 1},
		{41, 0, 0},     {64, 0, 0},     {1e300, 0, 0},    {-0.9, 1, 0},      {-1, 0, 0},  {-1e300, 0, 0},
		{0x1p31, 0, 0}, {0x1p24, 0, 0}, {INFINITY, 0, 0}, {-INFINITY, 0, 0},
	};
	for (int form = 0; form < 16; form++) {
		bool xgboost = form & 1, in_left = form & 2, missing_left = form & 4, wide = form & 8;
		struct fixture f = {
			.params = {.input_single = !wide,
				   .category_rule = xgboost ? FOREST_CATEGORY_XGBOOST : FOREST_CATEGORY_LIGHTGBM}};
		setup(&f);
		struct tree_node *nodes;
		REQUIRE(ms_forest_tree_begin(f.b, 5, 0, &nodes) == MS_OK);
		nodes[0] = (struct tree_node){.kind = TREE_NODE_SET,
					      .column = 1,
					      .left = 1,
					      .right = 2,
					      .in_set_left = in_left,
					      .missing_left = missing_left};
		REQUIRE(ms_forest_add_set(f.b, words, 2, &nodes[0].set.first_word) == MS_OK);
		nodes[0].set.word_count = 2;
		nodes[1] = leaf(1);
		nodes[2] = split(TREE_LE, 0, 0, 3, 4);
		nodes[3] = leaf(2);
		nodes[4] = leaf(3);
		REQUIRE(ms_forest_tree_end(f.b, 0) == MS_OK);
		const struct forest *forest = finish(&f);
		CHECK(forest->wide == wide);
		for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
			double row[FEATURES] = {1, cases[i].x};
			bool left = (xgboost ? cases[i].xgboost : cases[i].lightgbm) == in_left;
			CHECK_F64(predict_one(forest, row), left ? 1 : 3);
		}
		double missing[FEATURES] = {-1, NAN};
		CHECK_F64(predict_one(forest, missing), missing_left ? 1 : 2);
		teardown(&f);
	}
}

TEST(forest_linear_leaves)
{
	struct fixture f = {0};
	setup(&f);
	struct tree_node constant = leaf(100), *nodes;
	const uint32_t features[] = {2, 0};
	const double coefficients[] = {3, 5};
	REQUIRE(add_tree(&f, &constant, 1, 0) == MS_OK);
	REQUIRE(ms_forest_tree_begin(f.b, 1, 0, &nodes) == MS_OK);
	nodes[0].kind = TREE_NODE_LEAF;
	ms_forest_tree_is_linear(f.b);
	REQUIRE(ms_forest_add_linear(f.b, 0.5, -7, features, coefficients, 2, &nodes[0].linear) == MS_OK);
	REQUIRE(ms_forest_tree_end(f.b, 0) == MS_OK);
	const struct forest *forest = finish(&f);
	double row[FEATURES] = {10, NAN, 2}, missing[FEATURES] = {10, 0, NAN};
	CHECK_F64(predict_one(forest, row), 100 + (0.5 + 6 + 50));
	CHECK_F64(predict_one(forest, missing), 93);
	teardown(&f);
}

// LightGBM reads what is within 1e-35f of zero as zero; a large coefficient would show it.
TEST(forest_linear_leaves_take_tiny_values_for_zero)
{
	struct fixture f = {0};
	setup(&f);
	struct tree_node *nodes;
	const uint32_t feature = 0;
	const double coefficient = 1e36;
	REQUIRE(ms_forest_tree_begin(f.b, 1, 0, &nodes) == MS_OK);
	nodes[0].kind = TREE_NODE_LEAF;
	ms_forest_tree_is_linear(f.b);
	REQUIRE(ms_forest_add_linear(f.b, 1, 0, &feature, &coefficient, 1, &nodes[0].linear) == MS_OK);
	REQUIRE(ms_forest_tree_end(f.b, 0) == MS_OK);
	const struct forest *forest = finish(&f);
	double tiny[FEATURES] = {1e-36}, beyond[FEATURES] = {-2e-35};
	CHECK_F64(predict_one(forest, tiny), 1);
	CHECK_F64(predict_one(forest, beyond), 1 + 1e36 * -2e-35);
	teardown(&f);
}

TEST(forest_no_trees)
{
	double start[] = {0.25};
	struct fixture f = {.params = {.start = start}};
	setup(&f);
	double row[FEATURES] = {0};
	CHECK_F64(predict_one(finish(&f), row), 0.25);
	teardown(&f);
}

// --- What the builder refuses -----------------------------------------------------------------------------

static void check_refused(const struct tree_node *nodes, size_t count, const char *message)
{
	struct fixture f = {0};
	setup(&f);
	struct tree_node fine = leaf(1);
	REQUIRE(add_tree(&f, &fine, 1, 0) == MS_OK);
	CHECK_INT(add_tree(&f, nodes, count, 0), MS_ERR_MODEL_FORMAT);
	CHECK_HAS(f.info.message, message);
	teardown(&f);
}

TEST(forest_refuses_what_is_no_tree)
{
	struct tree_node cycle[] = {split(TREE_LE, 0, 0, 1, 2), split(TREE_LE, 0, 0, 0, 3), leaf(1), leaf(2)};
	check_refused(cycle, 4, "tree 1, node 1: child 0 has another parent");
	struct tree_node shared[] = {split(TREE_LE, 0, 0, 1, 1), leaf(1)};
	check_refused(shared, 2, "tree 1, node 0: child 1 has another parent");
	struct tree_node self[] = {split(TREE_LE, 0, 0, 0, 0)};
	check_refused(self, 1, "child 0 has another parent");
	struct tree_node range[] = {split(TREE_LE, 0, 0, 1, 3), leaf(1), leaf(2)};
	check_refused(range, 3, "tree 1, node 0: child 3 is out of range (3 nodes)");
	struct tree_node absent[] = {split(TREE_LE, 0, 0, 1, 2), leaf(1), {0}};
	check_refused(absent, 3, "child 2 is a deleted node");
	struct tree_node island[] = {leaf(1), leaf(2)};
	check_refused(island, 2, "node 1: not reachable");
	struct tree_node column[] = {split(TREE_LE, FEATURES, 0, 1, 2), leaf(1), leaf(2)};
	check_refused(column, 3, "feature 5 is out of range (5 features)");
}

TEST(forest_keeps_limits)
{
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_trees = 1;
	struct fixture f = {0};
	setup_with(&f, &options);
	struct tree_node fine = leaf(1);
	CHECK_OK(add_tree(&f, &fine, 1, 0));
	CHECK_INT(add_tree(&f, &fine, 1, 0), MS_ERR_MODEL_TOO_LARGE);
	CHECK_HAS(f.info.message, "more than 1 trees");
	teardown(&f);
	struct fixture g = {0};
	setup(&g);
	CHECK_INT(add_tree(&g, &fine, 1, 1), MS_ERR_MODEL_FORMAT);
	CHECK_HAS(g.info.message, "belongs to output 1, but there are only 1");
	const uint32_t feature = FEATURES;
	const double coefficient = 1;
	uint32_t linear;
	CHECK_INT(ms_forest_add_linear(g.b, 0, 0, &feature, &coefficient, 1, &linear), MS_ERR_MODEL_FORMAT);
	teardown(&g);
}

TEST(forest_memory_limit)
{
	struct fixture f = {0};
	setup(&f);
	ms_arena_fini(&f.memory);
	ms_arena_init(&f.memory, 64, 64);
	struct tree_node fine = leaf(1);
	REQUIRE(add_tree(&f, &fine, 1, 0) == MS_OK);
	const struct forest *forest;
	CHECK_INT(ms_forest_finish(f.b, &forest), MS_ERR_MODEL_TOO_LARGE);
	teardown(&f);
}
