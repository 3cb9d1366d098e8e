// SPDX-License-Identifier: Apache-2.0
// Predictions of a part of the iterations and sums that end early: with every kernel, on both sides of the borders of
// blocks, against the values of the single trees; and what is refused. That they are those of the libraries is shown by
// the golden test.
#include <math.h>
#include <stdio.h>

#include "model/loader_test.h"

#define FEATURES 6
#define ROWS 75 // a block of rows and some more
#define GROUPS_MAX 3

struct shape {
	const char *name;
	void (*write)(struct buf *text, const struct shape *shape);
	size_t trees, groups, parallel; // parallel trees of each group in an iteration
	size_t depth;
	bool single; // sums are floats
};

static double number(void)
{
	return (double)(float)(ms_rand_double(ms_test_rand()) - 0.5);
}

// --- Models, written out -------------------------------------------------------------------------------------

static void write_list(struct buf *text, size_t count, const char *separator, double (*value)(size_t i))
{
	for (size_t i = 0; i < count; i++)
		ms_buf_printf(text, "%s%.9g", i > 0 ? separator : "", value(i));
}

static double random_value(size_t i)
{
	(void)i;
	return number();
}

static double random_threshold(size_t i)
{
	(void)i;
	return (double)((int)ms_rand_below(ms_test_rand(), 15) - 7) / 16.0;
}

static double random_feature(size_t i)
{
	(void)i;
	return (double)ms_rand_below(ms_test_rand(), FEATURES);
}

static void write_lightgbm(struct buf *text, const struct shape *s)
{
	const size_t splits = ((size_t)1 << s->depth) - 1;
	ms_buf_printf(text, "tree\nversion=v4\nnum_class=%zu\nnum_tree_per_iteration=%zu\nmax_feature_idx=%d\n",
		      s->groups, s->groups, FEATURES - 1);
	if (s->groups > 1)
		ms_buf_printf(text, "objective=multiclass num_class:%zu\n", s->groups);
	else
		ms_buf_append_cstr(text, "objective=binary sigmoid:1\n");
	ms_buf_append_cstr(text, "feature_names=a b c d e f\n");
	for (size_t t = 0; t < s->trees; t++) {
		ms_buf_printf(text, "\nTree=%zu\nnum_leaves=%zu\nnum_cat=0\nsplit_feature=", t, splits + 1);
		write_list(text, splits, " ", random_feature);
		ms_buf_append_cstr(text, "\nthreshold=");
		write_list(text, splits, " ", random_threshold);
		ms_buf_append_cstr(text, "\ndecision_type=");
		for (size_t i = 0; i < splits; i++)
			ms_buf_append_cstr(text, i > 0 ? " 2" : "2");
		for (int right = 0; right <= 1; right++) { // the nodes of a heap; leaf k is written as -(k + 1)
			ms_buf_append_cstr(text, right ? "\nright_child=" : "\nleft_child=");
			for (size_t i = 0; i < splits; i++) {
				size_t child = 2 * i + 1 + (size_t)right;
				ms_buf_printf(text, "%s%lld", i > 0 ? " " : "",
					      child < splits ? (long long)child : -(long long)(child - splits + 1));
			}
		}
		ms_buf_append_cstr(text, "\nleaf_value=");
		write_list(text, splits + 1, " ", random_value);
		ms_buf_append_cstr(text, "\n\n");
	}
	ms_buf_append_cstr(text, "end of trees\n");
}

static void write_xgboost_tree(struct buf *text, const struct shape *s, size_t id)
{
	const size_t nodes = ((size_t)2 << s->depth) - 1, splits = nodes / 2;
	ms_buf_printf(text, "%s{\"id\":%zu,\"default_left\":[", id > 0 ? "," : "", id);
	for (size_t i = 0; i < nodes; i++)
		ms_buf_append_cstr(text, i > 0 ? ",0" : "0");
	for (int right = 0; right <= 1; right++) {
		ms_buf_append_cstr(text, right ? "],\"right_children\":[" : "],\"left_children\":[");
		for (size_t i = 0; i < nodes; i++)
			ms_buf_printf(text, "%s%lld", i > 0 ? "," : "",
				      i < splits ? (long long)(2 * i) + 1 + right : -1LL);
	}
	ms_buf_append_cstr(text, "],\"split_conditions\":[");
	for (size_t i = 0; i < nodes; i++)
		ms_buf_printf(text, "%s%.9g", i > 0 ? "," : "", i < splits ? random_threshold(i) : number());
	ms_buf_append_cstr(text, "],\"split_indices\":[");
	write_list(text, nodes, ",", random_feature);
	ms_buf_printf(text, "],\"tree_param\":{\"num_nodes\":\"%zu\",\"size_leaf_vector\":\"1\"}}", nodes);
}

static void write_xgboost(struct buf *text, const struct shape *s)
{
	ms_buf_printf(text,
		      "{\"learner\":{\"attributes\":{},\"gradient_booster\":{\"model\":{\"gbtree_model_param\":{"
		      "\"num_parallel_tree\":\"%zu\",\"num_trees\":\"%zu\"},\"tree_info\":[",
		      s->parallel, s->trees);
	for (size_t t = 0; t < s->trees; t++)
		ms_buf_printf(text, "%s%zu", t > 0 ? "," : "", t / s->parallel % s->groups);
	ms_buf_append_cstr(text, "],\"trees\":[");
	for (size_t t = 0; t < s->trees; t++)
		write_xgboost_tree(text, s, t);
	ms_buf_printf(
		text,
		"]},\"name\":\"gbtree\"},\"learner_model_param\":{\"base_score\":\"5E-1\",\"num_class\":\"%zu\","
		"\"num_feature\":\"%d\",\"num_target\":\"1\"},\"objective\":{\"name\":\"%s\"}},\"version\":[3,2,0]}",
		s->groups > 1 ? s->groups : 0, FEATURES, s->groups > 1 ? "multi:softprob" : "binary:logistic");
}

static void write_catboost(struct buf *text, const struct shape *s)
{
	ms_buf_append_cstr(text, "{\"features_info\":{\"float_features\":[");
	for (size_t f = 0; f < FEATURES; f++)
		ms_buf_printf(text,
			      "%s{\"borders\":[-0.25,0,0.25],\"feature_index\":%zu,\"flat_feature_index\":%zu,"
			      "\"has_nans\":false,\"nan_value_treatment\":\"AsIs\"}",
			      f > 0 ? "," : "", f, f);
	ms_buf_printf(text,
		      "]},\"model_info\":{\"params\":{\"loss_function\":{\"type\":\"%s\"}}},\"oblivious_trees\":[",
		      s->groups > 1 ? "MultiClass" : "Logloss");
	for (size_t t = 0; t < s->trees; t++) {
		ms_buf_printf(text, "%s{\"leaf_values\":[", t > 0 ? "," : "");
		write_list(text, s->groups << s->depth, ",", random_value);
		ms_buf_append_cstr(text, "],\"splits\":[");
		for (size_t d = 0; d < s->depth; d++)
			ms_buf_printf(text,
				      "%s{\"border\":%g,\"float_feature_index\":%llu,\"split_type\":\"FloatFeature\"}",
				      d > 0 ? "," : "", 0.25 * ((double)ms_rand_below(ms_test_rand(), 3) - 1),
				      (unsigned long long)ms_rand_below(ms_test_rand(), FEATURES));
		ms_buf_append_cstr(text, "]}");
	}
	ms_buf_printf(text, "],\"scale_and_bias\":[2,[%s]]}", s->groups > 1 ? "0.5,0.25,0" : "0.5");
}

static const struct shape SHAPES[] = {
	{"LightGBM, 16 leaves", write_lightgbm, 1030, 1, 1, 4, false},
	{"LightGBM, 64 leaves", write_lightgbm, 600, 1, 1, 6, false},
	{"LightGBM, 256 leaves", write_lightgbm, 130, 1, 1, 8, false},
	{"LightGBM, classes", write_lightgbm, 600, 3, 1, 3, false},
	{"XGBoost, 32 leaves", write_xgboost, 600, 1, 1, 5, true},
	{"XGBoost, classes and parallel trees", write_xgboost, 672, 3, 4, 3, true},
	{"CatBoost", write_catboost, 1030, 1, 1, 6, false},
	{"CatBoost, classes", write_catboost, 200, 3, 1, 4, false},
};

// --- What is expected ----------------------------------------------------------------------------------------

struct expected {
	const struct shape *shape;
	struct buf text;
	double rows[ROWS][FEATURES];
	double start[GROUPS_MAX]; // the raw score of no trees
	double *trees;            // what each adds to the raw score, a row after the other
	size_t width;             // of a row in `trees`
};

static struct model *load_kernel(const struct expected *e, enum model_kernel kernel, enum model_isa isa)
{
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	struct errinfo info;
	struct model *model = NULL;
	ms_errinfo_init(&info);
	options.kernel = kernel;
	options.isa = isa;
	if (ms_model_load(ms_buf_slice(&e->text), MODEL_FORMAT_AUTO, &options, &info, &model) != MS_OK)
		printf("# %s: %s\n", e->shape->name, info.message);
	REQUIRE(model != NULL);
	return model;
}

static void *scratch_for(const struct model *model)
{
	void *scratch = aligned_alloc(16, (ms_model_scratch_size(model) + 31) / 16 * 16);
	REQUIRE(scratch != NULL);
	return scratch;
}

static void setup(struct expected *e, const struct shape *shape)
{
	static const double catboost[] = {0.5, 0.25, 0};
	*e = (struct expected){.shape = shape};
	ms_buf_init(&e->text, (size_t)1 << 26);
	shape->write(&e->text, shape);
	REQUIRE(ms_buf_ok(&e->text));
	for (size_t g = 0; g < shape->groups; g++) // a base score of one half is a margin of 0 for probabilities
		e->start[g] = shape->write == write_catboost                       ? catboost[g]
			      : shape->write == write_xgboost && shape->groups > 1 ? 0.5
										   : 0;
	for (size_t r = 0; r < ROWS; r++)
		for (size_t f = 0; f < FEATURES; f++)
			e->rows[r][f] = ms_rand_below(ms_test_rand(), 20) == 0 ? NAN : number();
	struct model *model = load_kernel(e, MODEL_KERNEL_WALK, MODEL_ISA_PLAIN);
	void *scratch = scratch_for(model);
	e->width = ms_model_output_width(model, MODEL_OUTPUT_TREE);
	e->trees = calloc(ROWS * e->width, sizeof(double));
	REQUIRE(e->trees != NULL);
	ms_model_predict(model, &MS_MODEL_QUERY(MODEL_OUTPUT_TREE), e->rows[0], ROWS, scratch, e->trees);
	free(scratch);
	ms_model_unref(model);
}

static void teardown(struct expected *e)
{
	ms_buf_fini(&e->text);
	free(e->trees);
}

static bool is_decided(const struct shape *s, const double *sums, double margin)
{
	if (s->groups == 1)
		return 2 * fabs(sums[0]) > margin;
	size_t best = 0;
	double second = -INFINITY;
	for (size_t g = 1; g < s->groups; g++)
		best = sums[g] > sums[best] ? g : best;
	for (size_t g = 0; g < s->groups; g++)
		second = g != best ? fmax(second, sums[g]) : second;
	return sums[best] - second > margin;
}

// Scale and bias of CatBoost come last in its own sum: those raw scores are compared within a few units.
static void expected_scores(const struct expected *e, size_t row, const struct model_query *query, double *sums)
{
	const struct shape *s = e->shape;
	const bool vectors = e->width > s->trees;
	const size_t round = s->parallel * (vectors ? 1 : s->groups);
	const size_t count = query->iterations > 0 ? query->iterations * round : s->trees;
	const double *values = e->trees + row * e->width;
	memcpy(sums, e->start, sizeof(e->start));
	for (size_t t = 0; t < count; t++) {
		for (size_t g = 0; g < s->groups; g++) {
			if (!vectors && t / s->parallel % s->groups != g)
				continue;
			double value = values[vectors ? t * s->groups + g : t];
			sums[g] = s->single ? (double)((float)sums[g] + (float)value) : sums[g] + value;
		}
		if (query->early_stop_margin > 0 && (t + 1) % round == 0 &&
		    (t + 1) / round % query->early_stop_every == 0 && is_decided(s, sums, query->early_stop_margin))
			return;
	}
}

#define QUERIES_MAX 64

struct queries {
	struct model_query query[QUERIES_MAX];
	double want[QUERIES_MAX][ROWS][GROUPS_MAX];
	size_t count;
};

static void add_query(struct queries *q, const struct expected *e, struct model_query query)
{
	REQUIRE(q->count < QUERIES_MAX);
	for (size_t r = 0; r < ROWS; r++)
		expected_scores(e, r, &query, q->want[q->count][r]);
	q->query[q->count++] = query;
}

static void add_queries(struct queries *q, const struct expected *e)
{
	static const uint64_t counts[] = {1, 2, 63, 64, 65, 127, 128, 129, 511, 512, 513, 1023, 1024, 1025};
	static const uint64_t every[] = {1, 7, 10, 63, 64, 65, 100, (uint64_t)1 << 62, UINT64_MAX};
	const struct shape *s = e->shape;
	const uint64_t all = s->trees / s->parallel / (s->write == write_catboost ? 1 : s->groups);
	for (size_t i = 0; i < MS_ARRAY_LEN(counts) && counts[i] < all; i++)
		add_query(q, e, (struct model_query){MODEL_OUTPUT_RAW, counts[i], 0, 0});
	add_query(q, e, (struct model_query){MODEL_OUTPUT_RAW, all - 1, 0, 0});
	add_query(q, e, (struct model_query){MODEL_OUTPUT_RAW, all, 0, 0});
	add_query(q, e, MS_MODEL_QUERY(MODEL_OUTPUT_RAW));
	for (size_t i = 0; i < MS_ARRAY_LEN(every); i++) {
		add_query(q, e, (struct model_query){MODEL_OUTPUT_RAW, 0, 4, every[i]});
		add_query(q, e, (struct model_query){MODEL_OUTPUT_RAW, MS_MIN(all, 66), 6, every[i]});
	}
}

static bool as_expected(const struct expected *e, double got, double want)
{
	return e->shape->write == write_catboost ? fabs(got - want) < 1e-11 : got == want;
}

static void check_query(const struct expected *e, const struct model *model, const struct model_query *query,
			double (*want)[GROUPS_MAX], void *scratch)
{
	const size_t groups = e->shape->groups;
	double many[ROWS * GROUPS_MAX], one[GROUPS_MAX];
	bool same = true;
	REQUIRE(ms_model_check_query(model, query, NULL) == MS_OK);
	ms_model_predict(model, query, e->rows[0], ROWS, scratch, many);
	for (size_t r = 0; r < ROWS; r++) {
		ms_model_predict(model, query, e->rows[r], 1, scratch, one);
		for (size_t g = 0; g < groups; g++)
			same = same && as_expected(e, one[g], want[r][g]) && one[g] == many[r * groups + g];
	}
	if (!CHECK(same))
		printf("# %s, %s and %s: %llu iterations, margin %g every %llu\n", e->shape->name,
		       ms_model_info(model)->kernel_single, ms_model_info(model)->kernel_batch,
		       (unsigned long long)query->iterations, query->early_stop_margin,
		       (unsigned long long)query->early_stop_every);
}

// False when the kernel cannot take the model on this machine, so that another was taken.
static bool check_kernel(const struct expected *e, struct queries *q, enum model_kernel kernel, enum model_isa isa)
{
	struct model *model = load_kernel(e, kernel, isa);
	const bool takes = kernel == MODEL_KERNEL_AUTO || kernel == MODEL_KERNEL_WALK ||
			   strcmp(ms_model_info(model)->kernel_reason, "asked for") == 0;
	void *scratch = scratch_for(model);
	for (size_t i = 0; takes && i < q->count; i++)
		check_query(e, model, &q->query[i], q->want[i], scratch);
	free(scratch);
	ms_model_unref(model);
	return takes;
}

static void check_kernels(const struct expected *e, struct queries *q)
{
	size_t taken = 0;
	CHECK(check_kernel(e, q, MODEL_KERNEL_AUTO, MODEL_ISA_AUTO));
	CHECK(check_kernel(e, q, MODEL_KERNEL_WALK, MODEL_ISA_PLAIN));
	for (int kernel = MODEL_KERNEL_WALK + 1; kernel < MODEL_KERNEL_COUNT; kernel++)
		for (int isa = MODEL_ISA_PLAIN; isa < MODEL_ISA_COUNT; isa++)
			taken += check_kernel(e, q, (enum model_kernel)kernel, (enum model_isa)isa);
	CHECK(taken > 0 || e->shape->write == write_catboost); // on any machine
}

TEST(iterations_of_every_kernel_at_the_borders_of_blocks)
{
	struct queries *q = malloc(sizeof(*q));
	REQUIRE(q != NULL);
	for (size_t s = 0; s < MS_ARRAY_LEN(SHAPES); s++) {
		struct expected e;
		q->count = 0;
		setup(&e, &SHAPES[s]);
		add_queries(q, &e);
		check_kernels(&e, q);
		teardown(&e);
	}
	free(q);
}

// The test above would pass if no sum ended early, or all at the first look.
TEST(iterations_early_stop_ends_some_rows)
{
	struct expected e;
	size_t ended = 0;
	double part[GROUPS_MAX], all[GROUPS_MAX];
	setup(&e, &SHAPES[0]);
	for (size_t r = 0; r < ROWS; r++) {
		expected_scores(&e, r, &(struct model_query){MODEL_OUTPUT_RAW, 66, 6, 7}, part);
		expected_scores(&e, r, &(struct model_query){MODEL_OUTPUT_RAW, 66, 0, 0}, all);
		ended += part[0] != all[0];
	}
	CHECK(ended > ROWS / 10 && ended < ROWS);
	teardown(&e);
}

// --- Transforms and what is refused ----------------------------------------------------------------------------

#define BINARY_TREES                             \
	"Tree=0\nnum_leaves=1\nleaf_value=1\n\n" \
	"Tree=1\nnum_leaves=1\nleaf_value=-3\n\nend of trees\n"
#define LIGHTGBM(head)                                                          \
	"tree\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=0\n" head \
	"feature_names=Column_0\n\n" BINARY_TREES

static void ask(const struct model *model, const struct model_query *query, double *out)
{
	const double row[FEATURES] = {0};
	void *scratch = scratch_for(model);
	REQUIRE(ms_model_check_query(model, query, NULL) == MS_OK);
	ms_model_predict(model, query, row, 1, scratch, out);
	free(scratch);
}

TEST(iterations_of_an_average_divide_it)
{
	double out[2];
	struct model *model =
		test_load(MS_SLICE_LIT(LIGHTGBM("objective=binary sigmoid:1\naverage_output\n")), MODEL_FORMAT_AUTO);
	ask(model, &(struct model_query){MODEL_OUTPUT_RAW, 1, 0, 0}, out);
	CHECK_F64(out[0], 1);
	ask(model, &(struct model_query){MODEL_OUTPUT_DEFAULT, 1, 0, 0}, out);
	CHECK_F64(out[0], 1 / (1 + exp(-1)));
	ask(model, &(struct model_query){MODEL_OUTPUT_PROBABILITY, 2, 0, 0}, out);
	CHECK_F64(out[1], 1 / (1 + exp(1)));
	ask(model, &(struct model_query){MODEL_OUTPUT_LABEL, 1, 0, 0}, out);
	CHECK_F64(out[0], 1);
	ask(model, &MS_MODEL_QUERY(MODEL_OUTPUT_LABEL), out);
	CHECK_F64(out[0], 0);
	ms_model_unref(model);
}

static void check_refused(const char *text, const struct model_query *query, const char *field, const char *message)
{
	struct errinfo info;
	struct model *model = test_load(ms_slice_cstr(text), MODEL_FORMAT_AUTO);
	ms_errinfo_init(&info);
	CHECK_INT(ms_model_check_query(model, query, &info), MS_ERR_MODEL_OUTPUT);
	CHECK_STR(info.field, field);
	CHECK_HAS(info.message, message);
	ms_model_unref(model);
}

TEST(iterations_refuse_what_a_model_cannot_answer)
{
	static const char binary[] = LIGHTGBM("objective=binary sigmoid:1\n"),
			  regression[] = LIGHTGBM("objective=regression\n"),
			  average[] = LIGHTGBM("objective=binary sigmoid:1\naverage_output\n"),
			  linear[] = "{\"coefficients\":[1],\"format\":\"mainstay-linear\",\"version\":1}";
	static const struct {
		const char *text, *field, *message;
		struct model_query query;
	} cases[] = {
		{binary, "iterations", "the model has 2 iterations, not 3", {MODEL_OUTPUT_RAW, 3, 0, 0}},
		{binary, "iterations", "not 18446744073709551615", {MODEL_OUTPUT_RAW, UINT64_MAX, 0, 0}},
		{binary, "iterations", "'leaf' is of all iterations", {MODEL_OUTPUT_LEAF, 1, 0, 0}},
		{binary, "iterations", "'tree' is of all iterations", {MODEL_OUTPUT_TREE, 2, 0, 0}},
		{binary, "iterations", "'contributions' is of all iterations", {MODEL_OUTPUT_CONTRIBUTIONS, 1, 5, 1}},
		{binary, "early_stop", "'contributions' is of all iterations", {MODEL_OUTPUT_CONTRIBUTIONS, 0, 5, 1}},
		{binary, "early_stop", "'leaf' is of all iterations", {MODEL_OUTPUT_LEAF, 0, 5, 1}},
		{regression, "early_stop", "decides between no classes", {MODEL_OUTPUT_RAW, 0, 5, 1}},
		{regression, "early_stop", "decides between no classes", {MODEL_OUTPUT_RAW, 1, 5, 1}},
		{average, "early_stop", "averages its trees", {MODEL_OUTPUT_RAW, 0, 5, 1}},
		{linear, "iterations", "no iterations of boosting", {MODEL_OUTPUT_RAW, 1, 0, 0}},
		{linear, "early_stop", "no iterations of boosting", {MODEL_OUTPUT_RAW, 0, 1, 1}},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++)
		check_refused(cases[i].text, &cases[i].query, cases[i].field, cases[i].message);
}

TEST(iterations_that_fit_leave_no_field_behind)
{
	struct errinfo info;
	struct model *model = test_load(MS_SLICE_LIT(LIGHTGBM("objective=binary sigmoid:1\n")), MODEL_FORMAT_AUTO);
	ms_errinfo_init(&info);
	CHECK_OK(ms_model_check_query(model, &(struct model_query){MODEL_OUTPUT_RAW, 2, 1, 1}, &info));
	CHECK_STR(info.field, ""); // a later error is about something else
	ms_model_unref(model);
}

// Labels that do not exclude each other: no sum decides anything.
TEST(iterations_refuse_early_stop_of_several_labels)
{
	struct model *model =
		test_load(ms_test_file("tests/golden/catboost1-multilogloss/model.json"), MODEL_FORMAT_AUTO);
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct model_query query = {MODEL_OUTPUT_RAW, 0, 5, 1};
	CHECK_INT(ms_model_check_query(model, &query, &info), MS_ERR_MODEL_OUTPUT);
	CHECK_HAS(info.message, "decides between no classes");
	ms_model_unref(model);
}

// --- XGBoost's counts of iterations ----------------------------------------------------------------------------

static void check_xgboost(const char *from, const char *to, size_t iterations, const char *best)
{
	struct expected e = {.shape = NULL};
	struct buf changed;
	static const struct shape shape = {"XGBoost", write_xgboost, 12, 1, 3, 2, true};
	struct errinfo info;
	uint64_t count = 0;
	ms_buf_init(&e.text, 1 << 20);
	shape.write(&e.text, &shape);
	ms_buf_append_char(&e.text, '\0');
	test_replace(&changed, e.text.p, from, to);
	struct model *model = test_load(ms_buf_slice(&changed), MODEL_FORMAT_AUTO);
	CHECK_INT(ms_model_info(model)->iteration_count, iterations);
	ms_errinfo_init(&info);
	if (best != NULL) {
		CHECK_INT(ms_model_best_iterations(model, &info, &count), MS_ERR_MODEL_OUTPUT);
		CHECK_HAS(info.message, best);
		CHECK_STR(info.field, "iterations");
	} else {
		CHECK_OK(ms_model_best_iterations(model, &info, &count));
		CHECK_INT(count, 3);
		CHECK_STR(info.field, "");
	}
	ms_model_unref(model);
	ms_buf_fini(&changed);
	ms_buf_fini(&e.text);
}

TEST(iterations_of_xgboost)
{
	static const char none[] = "names no best iteration; give a number from 1 to 4";
	check_xgboost("\"num_parallel_tree\":\"3\"", "\"num_parallel_tree\":\"3\"", 4, none);
	check_xgboost("\"num_parallel_tree\":\"3\",", "", 12, "from 1 to 12"); // before 1.4
	check_xgboost("\"num_parallel_tree\":\"3\"", "\"num_parallel_tree\":\"0\"", 12, "from 1 to 12");
	check_xgboost("\"num_parallel_tree\":\"3\"", "\"num_parallel_tree\":\"5\"", 0, "no iterations");
	check_xgboost("\"tree_info\"", "\"iteration_indptr\":[0,3,6,9,12],\"tree_info\"", 4, none);
	check_xgboost("\"tree_info\"", "\"iteration_indptr\":[],\"tree_info\"", 4, none);
	check_xgboost("\"tree_info\"", "\"iteration_indptr\":[0,3,6,9],\"tree_info\"", 0, "no iterations");
	check_xgboost("\"tree_info\"", "\"iteration_indptr\":[0,4,6,9,12],\"tree_info\"", 0, "no iterations");
	check_xgboost("\"tree_info\"", "\"iteration_indptr\":[-3,0,3,6,9,12],\"tree_info\"", 0, "no iterations");
	check_xgboost("\"attributes\":{}", "\"attributes\":{\"best_iteration\":\"2\"}", 4, NULL);
	check_xgboost("\"attributes\":{}", "\"attributes\":{\"best_iteration\":\"4\"}", 4,
		      "names iteration 4 as the best, counted from 0, but has only 4");
	check_xgboost("\"attributes\":{}", "\"attributes\":{\"best_iteration\":\"18446744073709551615\"}", 4,
		      "names iteration 18446744073709551615 as the best");
}
