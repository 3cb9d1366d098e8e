// SPDX-License-Identifier: Apache-2.0
// The LightGBM text loader on small files written out here, whole and damaged. That its numbers are
// LightGBM's own is shown by the golden test.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/model.h"
#include "tests/lib/test.h"

// Three trees: numeric with each missing type, categorical, linear.
static const char SMALL[] = "tree\n"
			    "version=v4\n"
			    "num_class=1\n"
			    "num_tree_per_iteration=1\n"
			    "label_index=0\n"
			    "max_feature_idx=2\n"
			    "objective=binary sigmoid:1\n"
			    "feature_names=alpha be=ta kind\n"
			    "feature_infos=[-1:1] none 0:1:2:40\n"
			    "tree_sizes=300 300 300\n"
			    "\n"
			    "Tree=0\n"
			    "num_leaves=4\n"
			    "num_cat=0\n"
			    "split_feature=0 1 0\n"
			    "split_gain=3 2 1\n"
			    "threshold=0.5 -0.25 1.0000000180025095e-35\n"
			    "decision_type=2 8 6\n"
			    "left_child=1 -1 -3\n"
			    "right_child=2 -2 -4\n"
			    "leaf_value=0.125 -0.25 0.5 1\n"
			    "leaf_weight=1 1 1 1\n"
			    "leaf_count=1 1 1 1\n"
			    "shrinkage=0.1\n"
			    "\n"
			    "\n"
			    "Tree=1\n"
			    "num_leaves=2\n"
			    "num_cat=1\n"
			    "split_feature=2\n"
			    "threshold=0\n"
			    "decision_type=1\n"
			    "left_child=-1\n"
			    "right_child=-2\n"
			    "leaf_value=10 20\n"
			    "cat_boundaries=0 2\n"
			    "cat_threshold=5 256\n"
			    "shrinkage=0.1\n"
			    "\n"
			    "\n"
			    "Tree=2\n"
			    "num_leaves=2\n"
			    "num_cat=0\n"
			    "split_feature=0\n"
			    "threshold=0\n"
			    "decision_type=0\n"
			    "left_child=-1\n"
			    "right_child=-2\n"
			    "leaf_value=100 200\n"
			    "is_linear=1\n"
			    "leaf_const=1000 2000\n"
			    "num_features=2 0\n"
			    "leaf_features=0 1  \n"
			    "leaf_coeff=2 4  \n"
			    "shrinkage=0.1\n"
			    "\n"
			    "\n"
			    "end of trees\n"
			    "\n"
			    "feature_importances:\n"
			    "alpha=2\n"
			    "\n"
			    "parameters:\n"
			    "[boosting: gbdt]\n"
			    "[categorical_feature: 2]\n"
			    "end of parameters\n"
			    "\n"
			    "pandas_categorical:[[\"red\", \"green\", \"blue \\\"x\\\"\"]]\n";

static enum ms_err load(struct slice text, struct errinfo *info, struct model **ret_model)
{
	ms_errinfo_init(info);
	return ms_model_load(text, MODEL_FORMAT_LIGHTGBM_TEXT, NULL, info, ret_model);
}

static struct model *load_ok(const char *text)
{
	struct errinfo info;
	struct model *m = NULL;
	enum ms_err err = load(ms_slice_cstr(text), &info, &m);
	if (err != MS_OK)
		printf("# %s\n", info.message);
	REQUIRE(err == MS_OK);
	return m;
}

static void predict(const struct model *m, enum model_output output, const double *row, double *out)
{
	void *scratch = aligned_alloc(16, ms_model_scratch_size(m));
	REQUIRE(scratch != NULL);
	ms_model_predict(m, &MS_MODEL_QUERY(output), row, 1, scratch, out);
	free(scratch);
}

// The text with the first `from` replaced.
static char *replaced(const char *text, const char *from, const char *to)
{
	const char *at = strstr(text, from);
	REQUIRE(at != NULL);
	size_t before = (size_t)(at - text), n = strlen(text) + strlen(to) + 1;
	char *copy = malloc(n);
	REQUIRE(copy != NULL);
	snprintf(copy, n, "%.*s%s%s", (int)before, text, to, at + strlen(from));
	return copy;
}

TEST(lightgbm_reads_a_model)
{
	struct model *m = load_ok(SMALL);
	const struct model_info *info = ms_model_info(m);
	CHECK_INT(info->format, MODEL_FORMAT_LIGHTGBM_TEXT);
	CHECK_INT(info->task, MODEL_BINARY);
	CHECK_SLICE(info->objective, "binary");
	CHECK_SLICE(info->library_version, "v4");
	CHECK_INT(info->feature_count, 3);
	CHECK_SLICE(info->features[1].name, "be=ta");
	CHECK(info->named_features && info->features[2].categorical && !info->features[1].categorical);
	CHECK(info->features[2].has_strings);
	CHECK_INT(info->features[2].category_count, 3);
	CHECK_SLICE(info->features[2].categories[2], "blue \"x\"");
	CHECK_INT(info->tree_count, 3);
	CHECK_INT(info->node_count, 7 + 3 + 3);
	CHECK_INT(info->class_count, 2);
	CHECK(!info->single_precision && !info->input_single_precision);
	CHECK(info->memory_bytes > 0 && info->estimated_row_ns > 0);
	ms_model_unref(m);
}

struct row_case {
	double row[3];
	int leaf[3];
	double raw;
};

// The first tree with its covers, and nothing else.
static void one_tree(struct buf *dst, const char *covers)
{
	const char *end = strstr(SMALL, "Tree=1\n"), *counts = strstr(SMALL, "leaf_count=1 1 1 1\n");
	ms_buf_init(dst, 1 << 16);
	ms_buf_append(dst, SMALL, (size_t)(counts - SMALL));
	ms_buf_append_cstr(dst, covers);
	counts += strlen("leaf_count=1 1 1 1\n");
	ms_buf_append(dst, counts, (size_t)(end - counts));
	ms_buf_append_cstr(dst, "end of trees\n");
	char *sizes = memmem(dst->p, dst->n, "tree_sizes=300 300 300", 22);
	REQUIRE(ms_buf_ok(dst) && sizes != NULL);
	memcpy(sizes, "tree_sizes=300        ", 22);
}

TEST(lightgbm_contributions_need_the_counts)
{
	static const struct {
		const char *covers, *refused, *absent; // parts of the messages
	} cases[] = {
		{"leaf_count=10 20 30 40\ninternal_count=100 30 70\n", NULL, NULL},
		{"leaf_count=10 20 30 40\n", NULL, "internal_count"},
		{"internal_count=100 30 70\n", NULL, "leaf_count"},
		{"leaf_count=10 20 30\ninternal_count=100 30 70\n", "leaf_count: 4 values are expected", NULL},
		{"leaf_count=10 20 30 40 50\ninternal_count=100 30 70\n", "leaf_count: more than 4 values", NULL},
		{"leaf_count=10 20 30 40\ninternal_count=100 30\n", "internal_count: 3 values are expected", NULL},
		{"leaf_count=10 -20 30 40\ninternal_count=100 30 70\n", "-20", NULL},
		{"leaf_count=10 x 30 40\ninternal_count=100 30 70\n", "\"x\"", NULL},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct errinfo info;
		struct model *m = NULL;
		struct buf text;
		one_tree(&text, cases[i].covers);
		enum ms_err err = load(ms_buf_slice(&text), &info, &m);
		ms_buf_fini(&text);
		if (cases[i].refused != NULL) {
			CHECK_INT(err, MS_ERR_MODEL_FORMAT);
			CHECK_HAS(info.message, cases[i].refused);
			continue;
		}
		REQUIRE(err == MS_OK);
		const char *absence = ms_model_output_absence(m, MODEL_OUTPUT_CONTRIBUTIONS);
		CHECK((absence != NULL) == (cases[i].absent != NULL));
		if (absence != NULL) {
			CHECK_HAS(absence, cases[i].absent);
		} else {
			// alpha 2 goes right twice, to the last leaf; be=ta is not asked there.
			double out[4], mean = 0.1 * 0.125 + 0.2 * -0.25 + 0.3 * 0.5 + 0.4 * 1;
			predict(m, MODEL_OUTPUT_CONTRIBUTIONS, (double[]){2, 1, 0}, out);
			CHECK(fabs(out[3] - mean) < 1e-15);
			CHECK(fabs(out[0] + out[1] + out[3] - 1) < 1e-15);
			CHECK_F64(out[2], 0);
		}
		ms_model_unref(m);
	}
}

TEST(lightgbm_missing_categorical_and_linear)
{
	static const struct row_case cases[] = {
		{{0, -1, 0}, {0, 0, 0}, 0.125 + 10 + (1000 + 2.0 * 0 + 4.0 * -1)},
		{{0, 0, 1}, {1, 1, 0}, -0.25 + 20 + 1000},
		{{0, NAN, 2}, {1, 0, 0}, -0.25 + 10 + 100},    // type NaN, default right; NaN in a linear leaf
		{{NAN, -1, NAN}, {0, 1, 0}, 0.125 + 20 + 100}, // type none: NaN is 0; a missing category goes right
		{{1, 0, 40}, {3, 0, 1}, 1 + 10 + 2000.0},      // 40 is bit 8 of the second word
		{{1, 0, 64}, {3, 1, 1}, 1 + 20 + 2000.0},      // beyond the set
		{{1, 0, -0.5}, {3, 0, 1}, 1 + 10 + 2000.0},    // truncated to 0
		{{1e-35, -1, 0}, {0, 0, 0}, 0.125 + 10 + 1000 - 4}, // read as 0
	};
	struct model *m = load_ok(SMALL);
	CHECK_INT(ms_model_output_width(m, MODEL_OUTPUT_LEAF), 3);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		double raw, p, leaf[3], both[2], label;
		predict(m, MODEL_OUTPUT_RAW, cases[i].row, &raw);
		predict(m, MODEL_OUTPUT_LEAF, cases[i].row, leaf);
		predict(m, MODEL_OUTPUT_DEFAULT, cases[i].row, &p);
		predict(m, MODEL_OUTPUT_PROBABILITY, cases[i].row, both);
		predict(m, MODEL_OUTPUT_LABEL, cases[i].row, &label);
		CHECK_F64(raw, cases[i].raw);
		CHECK_F64(p, 1 / (1 + exp(-raw)));
		CHECK_F64(both[1], p);
		CHECK_F64(both[0], 1 - p);
		CHECK_F64(label, p > 0.5);
		for (int t = 0; t < 3; t++)
			CHECK_F64(leaf[t], cases[i].leaf[t]);
	}
	ms_model_unref(m);
}

// Missing type "zero": what is near zero takes the default side, whatever the threshold says.
TEST(lightgbm_zero_is_missing)
{
	static const double values[] = {0, -0.0, 1e-36, NAN, -1, 1};
	for (int left = 0; left <= 1; left++) {
		char *text =
			replaced(SMALL, "decision_type=2 8 6", left ? "decision_type=2 6 6" : "decision_type=2 4 6");
		struct model *m = load_ok(text);
		for (size_t i = 0; i < MS_ARRAY_LEN(values); i++) {
			double row[3] = {0, values[i], 0}, leaf[3];
			predict(m, MODEL_OUTPUT_LEAF, row, leaf);
			bool goes_left = values[i] == -1 || (values[i] != 1 && left);
			CHECK_F64(leaf[0], goes_left ? 0 : 1);
		}
		ms_model_unref(m);
		free(text);
	}
}

TEST(lightgbm_categories)
{
	struct model *m = load_ok(SMALL);
	struct errinfo info;
	double v = -1;
	CHECK_OK(ms_model_encode_string(m, 2, MS_SLICE_LIT("green"), &info, &v));
	CHECK_F64(v, 1);
	CHECK_OK(ms_model_encode_string(m, 2, MS_SLICE_LIT("violet"), &info, &v));
	CHECK_F64(v, NAN);
	CHECK_INT(ms_model_encode_string(m, 0, MS_SLICE_LIT("green"), &info, &v), MS_ERR_PREDICT_TYPE);
	CHECK_HAS(info.message, "\"alpha\" takes numbers");
	CHECK_OK(ms_model_encode_number(m, 2, 2, &info, &v));
	CHECK_F64(v, 2);
	CHECK_INT(ms_model_feature_index(m, MS_SLICE_LIT("kind")), 2);
	CHECK_INT(ms_model_feature_index(m, MS_SLICE_LIT("kin")), SIZE_MAX);
	ms_model_unref(m);
	char *text = replaced(SMALL, "[[\"red\", \"green\", \"blue \\\"x\\\"\"]]", "[[30, 10.0, -0.0]]");
	m = load_ok(text);
	CHECK(!ms_model_info(m)->features[2].has_strings);
	CHECK_OK(ms_model_encode_number(m, 2, 10, &info, &v));
	CHECK_F64(v, 1);
	CHECK_OK(ms_model_encode_number(m, 2, 0, &info, &v));
	CHECK_F64(v, 2);
	CHECK_OK(ms_model_encode_number(m, 2, 2, &info, &v));
	CHECK_F64(v, NAN);
	CHECK_INT(ms_model_encode_string(m, 2, MS_SLICE_LIT("10"), &info, &v), MS_ERR_PREDICT_TYPE);
	ms_model_unref(m);
	free(text);
	text = replaced(SMALL, "[[\"red\", \"green\", \"blue \\\"x\\\"\"]]", "null");
	m = load_ok(text);
	CHECK_INT(ms_model_encode_string(m, 2, MS_SLICE_LIT("red"), &info, &v), MS_ERR_PREDICT_TYPE);
	CHECK_HAS(info.message, "codes");
	ms_model_unref(m);
	free(text);
}

static double transformed(const char *objective, double raw)
{
	char text[512];
	snprintf(text, sizeof(text),
		 "tree\nnum_class=1\nmax_feature_idx=0\n%sfeature_names=a\n\nTree=0\nnum_leaves=1\nleaf_value=%.17g\n\n"
		 "end of trees\n",
		 objective, raw);
	struct model *m = load_ok(text);
	double row[1] = {0}, out;
	predict(m, MODEL_OUTPUT_DEFAULT, row, &out);
	ms_model_unref(m);
	return out;
}

TEST(lightgbm_objectives)
{
	CHECK_F64(transformed("", -1.5), -1.5);
	CHECK_F64(transformed("objective=regression\n", -1.5), -1.5);
	CHECK_F64(transformed("objective=regression sqrt\n", -1.5), -2.25);
	CHECK_F64(transformed("objective=quantile alpha:0.9\n", -1.5), -1.5);
	CHECK_F64(transformed("objective=poisson\n", -1.5), exp(-1.5));
	CHECK_F64(transformed("objective=cross_entropy\n", -1.5), 1 / (1 + exp(1.5)));
	CHECK_F64(transformed("objective=xentlambda\n", -1.5), log1p(exp(-1.5)));
	CHECK_F64(transformed("objective=binary sigmoid:2\n", -1.5), 1 / (1 + exp(3)));
	CHECK_F64(transformed("objective=binary sigmoid:2\naverage_output\n", -1.5), 1 / (1 + exp(3)));
}

TEST(lightgbm_multiclass)
{
	static const char text[] =
		"tree\nnum_class=3\nnum_tree_per_iteration=3\nmax_feature_idx=0\nobjective=multiclass num_class:3\n"
		"average_output\nfeature_names=Column_0\n\n"
		"Tree=0\nnum_leaves=1\nleaf_value=1\n\nTree=1\nnum_leaves=1\nleaf_value=2\n\nTree=2\nnum_leaves="
		"1\nleaf_value=3\n\n"
		"Tree=3\nnum_leaves=1\nleaf_value=3\n\nTree=4\nnum_leaves=1\nleaf_value=2\n\nTree=5\nnum_leaves="
		"1\nleaf_value=3\n\n"
		"end of trees\n";
	struct model *m = load_ok(text);
	double row[1] = {0}, raw[3], p[3], label;
	CHECK(!ms_model_info(m)->named_features);
	predict(m, MODEL_OUTPUT_RAW, row, raw);
	CHECK_F64(raw[0], 4);
	CHECK_F64(raw[2], 6);
	predict(m, MODEL_OUTPUT_PROBABILITY, row, p);
	double a = exp(2 - 3), b = exp(2 - 3), c = exp(0);
	CHECK_F64(p[0], a / (a + b + c));
	CHECK_F64(p[2], c / (a + b + c));
	predict(m, MODEL_OUTPUT_LABEL, row, &label);
	CHECK_F64(label, 2);
	ms_model_unref(m);
}

// --- Damage ------------------------------------------------------------------------------------------------

struct damage {
	const char *from, *to, *message;
};

#define TREE_OF_A_SET                                                                    \
	"split_feature=2\nthreshold=0\ndecision_type=1\nleft_child=-1\nright_child=-2\n" \
	"leaf_value=10 20\n"

TEST(lightgbm_says_what_is_wrong)
{
	static const struct damage cases[] = {
		{"tree\n", "forest\n", "starts with the line \"tree\""},
		{"num_class=1", "num_klass=1", "no \"num_class\""},
		{"num_class=1", "num_class=x", "\"x\" is no whole number"},
		{"num_class=1", "num_class=99999999999", "at most 10000"},
		{"max_feature_idx=2", "max_feature_idx=3", "feature_names has 3 names, max_feature_idx says 4"},
		{"max_feature_idx=2", "max_feature_idx=999999", "feature_names has fewer"},
		{"feature_infos=[-1:1] ", "feature_infos=", "feature_infos has 2 items"},
		{"feature_names=alpha be=ta", "feature_names=alpha alpha", "features 0 and 1 have the same name"},
		{"binary sigmoid:1", "binary", "needs a positive \"sigmoid:\""},
		{"binary sigmoid:1", "multiclass num_class:3", "the objective says 3 classes, the header 1"},
		{"num_leaves=4", "num_leaves=5", "tree 0, leaf_value: 5 values are expected, there are"},
		{"num_leaves=4", "num_leaves=1000000000",
		 "leaf_value: 1000000000 values are expected, there are fewer"},
		{"num_leaves=4", "num_leaves=0", "0 is out of range"},
		{"num_leaves=4", "num_leaves=-4", "-4 is negative"},
		{"num_leaves=4", "num_leaves=3", "leaf_value: more than 3 values"},
		{"num_leaves=4\n", "", "tree 0 has no \"num_leaves\""},
		{"split_feature=0 1 0", "split_feature=0 3 0", "node 1: feature 3 is out of range (3 features)"},
		{"split_feature=0 1 0", "split_feature=0 -1 0", "feature -1 is out of range"},
		{"threshold=0.5", "threshold=0x5", "no number"},
		{"left_child=1 -1 -3", "left_child=1 -1 -5", "left_child: node 2: child -5 is out of range"},
		{"left_child=1 -1 -3", "left_child=1 3 -3", "child 3 is out of range"},
		{"left_child=1 -1 -3", "left_child=1 0 -3", "another parent"},
		{"left_child=1 -1 -3", "left_child=1 -1", "left_child: 3 values are expected, there are"},
		{"decision_type=2 8 6", "decision_type=2 8 12", "12 is out of range"},
		{"decision_type=2 8 6", "decision_type=1 8 6", "0.5 is no index of its categories (there are 0)"},
		{"cat_boundaries=0 2", "cat_boundaries=0 3", "cat_threshold: 3 values are expected"},
		{"cat_boundaries=0 2", "cat_boundaries=3 2", "set 0: the range 3 to 2 is out of order"},
		{"num_cat=1\n" TREE_OF_A_SET "cat_boundaries=0 2", "num_cat=3\n" TREE_OF_A_SET "cat_boundaries=0 2 1 2",
		 "set 1: the range 2 to 1 is out of order"},
		{"cat_boundaries=0 2", "cat_boundaries=0 4294967295", "cat_threshold: 4294967295 values are expected"},
		{"num_cat=1", "num_cat=99999999", "cat_boundaries holds fewer"},
		{"leaf_features=0 1", "leaf_features=0 3", "leaf_features: \"3\""},
		{"num_features=2 0", "num_features=900000000 0", "fewer values than promised"},
		{"num_features=2 0", "num_features=1 0", "leaf_features: more than"},
		{"end of trees", "end of tries", "\"Tree=\" or \"end of trees\" is expected"},
		{"tree_sizes=300 300 300", "tree_sizes=300 300", "lists 2 trees, the file has 3"},
		{"[[\"red\"", "[[[\"red\"", "line"},
		{"[[\"red\", ", "[[\"red\", \"red\", ", "lists a category twice"},
		{"[[\"red\"", "[[{}, \"red\"", "a category is a"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		char *text = replaced(SMALL, cases[i].from, cases[i].to);
		struct errinfo info;
		struct model *m = NULL;
		CHECK(load(ms_slice_cstr(text), &info, &m) != MS_OK);
		CHECK_HAS(info.message, cases[i].message);
		ms_model_unref(m);
		free(text);
	}
	struct errinfo info;
	struct model *m = NULL;
	char *text = replaced(SMALL, "threshold=0.5", "threshold=0,5");
	CHECK_INT(load(ms_slice_cstr(text), &info, &m), MS_ERR_MODEL_FORMAT);
	CHECK_INT(info.line, 17);
	free(text);
	text = replaced(SMALL, "objective=binary", "objective=bynary");
	CHECK_INT(load(ms_slice_cstr(text), &info, &m), MS_ERR_MODEL_UNSUPPORTED);
	CHECK_HAS(info.message, "\"bynary\" is not known");
	free(text);
}

// Loads from memory of exactly that size, so that a sanitizer sees a read behind it.
static bool load_exact(const char *text, size_t n)
{
	char *copy = malloc(n > 0 ? n : 1);
	REQUIRE(copy != NULL);
	memcpy(copy, text, n);
	struct errinfo info;
	struct model *m = NULL;
	enum ms_err err = load(ms_slice(copy, n), &info, &m);
	if (err == MS_OK) {
		double row[3] = {1, NAN, 1e30}, *out = malloc(sizeof(double) * (ms_model_info(m)->tree_count + 16));
		REQUIRE(out != NULL && ms_model_info(m)->feature_count <= 3);
		predict(m, MODEL_OUTPUT_DEFAULT, row, out);
		predict(m, MODEL_OUTPUT_LEAF, row, out);
		free(out);
		ms_model_unref(m);
	} else {
		CHECK(info.message[0] != '\0');
	}
	free(copy);
	return err == MS_OK;
}

TEST(lightgbm_cut_at_every_byte)
{
	size_t whole = (size_t)(strstr(SMALL, "end of trees") - SMALL) + strlen("end of trees");
	size_t json = (size_t)(strstr(SMALL, "[[\"red\"") - SMALL);
	for (size_t n = 0; n < sizeof(SMALL); n++) {
		bool ok = load_exact(SMALL, n);
		CHECK(ok == (n >= whole && !(n >= json && n < sizeof(SMALL) - 2)));
	}
}

TEST(lightgbm_flipped_bytes)
{
	struct rand *r = ms_test_rand();
	char text[sizeof(SMALL)];
	for (int i = 0; i < 20000; i++) {
		memcpy(text, SMALL, sizeof(SMALL));
		for (uint64_t flips = 1 + ms_rand_below(r, 3); flips > 0; flips--)
			text[ms_rand_below(r, sizeof(SMALL) - 1)] =
				ms_rand_below(r, 2) ? "0123456789-. =\n"[ms_rand_below(r, 15)] : (char)ms_rand_u64(r);
		(void)load_exact(text, sizeof(SMALL) - 1);
	}
}

static void load_once(void)
{
	struct errinfo info;
	struct model *m = NULL;
	enum ms_err err = load(ms_slice(SMALL, sizeof(SMALL) - 1), &info, &m);
	CHECK(err == MS_OK || ms_test_allocation_failed());
	if (err == MS_OK)
		ms_model_unref(m);
}

TEST(lightgbm_every_allocation_fails_once)
{
	ms_test_torture(load_once);
}

TEST(lightgbm_limits)
{
	struct errinfo info;
	struct model *m = NULL;
	struct slice text = ms_slice(SMALL, sizeof(SMALL) - 1);
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	ms_errinfo_init(&info);
	options.max_bytes = 100;
	CHECK_INT(ms_model_load(text, MODEL_FORMAT_AUTO, &options, &info, &m), MS_ERR_MODEL_TOO_LARGE);
	options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_trees = 2;
	CHECK_INT(ms_model_load(text, MODEL_FORMAT_AUTO, &options, &info, &m), MS_ERR_MODEL_TOO_LARGE);
	options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_features = 2;
	CHECK_INT(ms_model_load(text, MODEL_FORMAT_AUTO, &options, &info, &m), MS_ERR_MODEL_TOO_LARGE);
	options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_memory = 2000;
	CHECK_INT(ms_model_load(text, MODEL_FORMAT_AUTO, &options, &info, &m), MS_ERR_MODEL_TOO_LARGE);
}

TEST(lightgbm_line_ends_of_windows)
{
	char *text = malloc(2 * sizeof(SMALL));
	REQUIRE(text != NULL);
	size_t n = 0;
	for (const char *p = SMALL; *p != '\0'; p++) {
		if (*p == '\n')
			text[n++] = '\r';
		text[n++] = *p;
	}
	CHECK(load_exact(text, n));
	free(text);
}
