// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>

#include "model/loader_test.h"
#include "json/json.h"

// Two trees. The first asks for a (below 0.5, or missing: node 1), then for the category c (1 or 33: node 4);
// its node 5 was pruned. The second is a single leaf.
#define TREE_0                                                                                                        \
	"{\"base_weights\":[0,0,0,0,0,0],\"categories\":[1,33],\"categories_nodes\":[2],\"categories_segments\":[0]," \
	"\"categories_sizes\":[2],\"default_left\":[1,0,0,0,0,1],\"id\":0,\"left_children\":[1,-1,3,-1,-1,-1],"       \
	"\"loss_changes\":[1,0,1,0,0,0],\"parents\":[2147483647,0,0,2,2,2147483647],"                                 \
	"\"right_children\":[2,-1,4,-1,-1,-1],\"split_conditions\":[5E-1,2.5E-1,1E-45,-1E0,2E0,NaN],"                 \
	"\"split_indices\":[0,0,2,0,0,2147483647],\"split_type\":[0,0,1,0,0,0],\"sum_hessian\":[9,4,5,2,3,0],"        \
	"\"tree_param\":{\"num_deleted\":\"1\",\"num_feature\":\"3\",\"num_nodes\":\"6\",\"size_leaf_vector\":\"1\"}}"
#define TREE_1                                                                               \
	"{\"default_left\":[false],\"id\":1,\"left_children\":[-1],\"right_children\":[-1]," \
	"\"split_conditions\":[1.25E-1],\"split_indices\":[0],\"tree_param\":{\"num_nodes\":\"1\"}}"
#define MODEL                                                                                                        \
	"{\"learner\":{\"attributes\":{\"best_iteration\":\"1\",\"x\":\"y\"},\"feature_names\":[\"a\",\"b\",\"c\"]," \
	"\"feature_types\":[\"float\",\"q\",\"c\"],\"gradient_booster\":{\"model\":{\"cats\":null,"                  \
	"\"gbtree_model_param\":{\"num_parallel_tree\":\"1\",\"num_trees\":\"2\"},\"iteration_indptr\":[0,1,2],"     \
	"\"tree_info\":[0,0],\"trees\":[" TREE_0 "," TREE_1 "]},\"name\":\"gbtree\"},\"learner_model_param\":{"      \
	"\"base_score\":\"[2.5E-1]\",\"boost_from_average\":\"1\",\"num_class\":\"0\",\"num_feature\":\"3\","        \
	"\"num_target\":\"1\"},\"objective\":{\"name\":\"binary:logistic\",\"reg_loss_param\":{}}},"                 \
	"\"version\":[3,2,0]}"

#define JSON MODEL_FORMAT_XGBOOST_JSON
#define UBJSON MODEL_FORMAT_XGBOOST_UBJSON

// --- The same document in UBJSON -----------------------------------------------------------------------

static void put_be(struct buf *out, uint64_t bits, size_t size)
{
	for (size_t i = size; i-- > 0;)
		ms_buf_append_char(out, (char)(bits >> 8 * i));
}

static void put_text(struct buf *out, struct slice text)
{
	ms_buf_append_char(out, 'L');
	put_be(out, text.n, 8);
	ms_buf_append_slice(out, text);
}

static bool is_whole(const struct json_value *v)
{
	int64_t integer;
	return ms_json_as_i64(v, &integer) && integer >= INT32_MIN && integer <= INT32_MAX;
}

static void put_number(struct buf *out, const struct json_value *v, char type)
{
	int64_t integer;
	float single = 0;
	uint32_t bits;
	if (type == 'l') {
		REQUIRE(ms_json_as_i64(v, &integer));
		put_be(out, (uint32_t)integer, 4);
		return;
	}
	if (ms_slice_eq_cstr(v->str, "NaN"))
		single = NAN;
	else
		REQUIRE(ms_number_parse_f32(v->str, &single));
	memcpy(&bits, &single, sizeof(bits));
	put_be(out, bits, 4);
}

// Arrays of numbers are typed, as XGBoost writes them, or plain.
static void put_value(struct buf *out, const struct json_value *v, bool typed);

static void put_array(struct buf *out, const struct json_value *v, bool typed)
{
	size_t n = v->array.count, numbers = 0, whole = 0;
	for (size_t i = 0; i < n; i++) {
		numbers += v->array.items[i].type == JSON_NUMBER;
		whole += v->array.items[i].type == JSON_NUMBER && is_whole(&v->array.items[i]);
	}
	ms_buf_append_char(out, '[');
	if (!typed || numbers < n || n == 0) {
		for (size_t i = 0; i < n; i++)
			put_value(out, &v->array.items[i], typed);
		ms_buf_append_char(out, ']');
		return;
	}
	char type = whole == n ? 'l' : 'd';
	ms_buf_append_char(out, '$');
	ms_buf_append_char(out, type);
	ms_buf_append_cstr(out, "#L");
	put_be(out, n, 8);
	for (size_t i = 0; i < n; i++)
		put_number(out, &v->array.items[i], type);
}

static void put_value(struct buf *out, const struct json_value *v, bool typed)
{
	switch (v->type) {
	case JSON_NULL:
		ms_buf_append_char(out, 'Z');
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		ms_buf_append_char(out, v->type == JSON_TRUE ? 'T' : 'F');
		break;
	case JSON_NUMBER:
		ms_buf_append_char(out, is_whole(v) ? 'l' : 'd');
		put_number(out, v, is_whole(v) ? 'l' : 'd');
		break;
	case JSON_STRING:
		ms_buf_append_char(out, 'S');
		put_text(out, v->str);
		break;
	case JSON_ARRAY:
		put_array(out, v, typed);
		break;
	case JSON_OBJECT:
		ms_buf_append_char(out, '{');
		for (size_t i = 0; i < v->object.count; i++) {
			put_text(out, v->object.members[i].key);
			put_value(out, &v->object.members[i].value, typed);
		}
		ms_buf_append_char(out, '}');
		break;
	case JSON_INVALID:
		REQUIRE(false);
	}
}

static void to_ubjson(struct buf *out, const char *text, bool typed)
{
	struct arena arena;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	const struct json_value *value = NULL;
	limits.allow_nan = true;
	limits.reject_duplicates = false;
	ms_arena_init(&arena, 4096, (size_t)1 << 20);
	ms_buf_init(out, (size_t)1 << 20);
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_json_parse(ms_slice_cstr(text), &limits, &arena, &info, &value);
	if (err != MS_OK)
		printf("# %s\n", info.message);
	REQUIRE(err == MS_OK);
	put_value(out, value, typed);
	REQUIRE(ms_buf_ok(out));
	ms_arena_fini(&arena);
}

// --- Predictions -----------------------------------------------------------------------------------------

static float raw_of(const struct model *model, double a, double b, double c)
{
	const double row[] = {a, b, c};
	double out = 0;
	test_predict_one(model, MODEL_OUTPUT_RAW, row, &out);
	return (float)out;
}

static void check_model(const struct model *model)
{
	const float base = -logf(1.0f / 0.25f - 1.0f);
	const struct model_info *info = ms_model_info(model);
	CHECK_F64(raw_of(model, 0.25, 0, 0), base + 0.25f + 0.125f);
	CHECK_F64(raw_of(model, NAN, 0, 0), base + 0.25f + 0.125f);
	CHECK_F64(raw_of(model, 0.5, 0, 1), base + 2 + 0.125f);
	CHECK_F64(raw_of(model, 0.5, 0, 33.5), base + 2 + 0.125f);
	CHECK_F64(raw_of(model, 0.5, 0, 32), base - 1 + 0.125f);
	CHECK_F64(raw_of(model, 0.5, 0, -1), base - 1 + 0.125f);
	CHECK_F64(raw_of(model, 0.5, 0, 0x1p24), base - 1 + 0.125f);
	CHECK_F64(raw_of(model, 0.5, 0, NAN), base + 2 + 0.125f); // default_left of node 2 is 0
	// The row is rounded to float first: this is 0.5 then, and not below it.
	CHECK_F64(raw_of(model, 0.49999999999, 0, 1), base + 2 + 0.125f);
	CHECK_INT(info->task, MODEL_BINARY);
	CHECK_INT(info->feature_count, 3);
	CHECK_INT(info->tree_count, 2);
	CHECK_INT(info->node_count, 6);
	CHECK(info->named_features && info->features[2].categorical && !info->features[0].categorical);
	CHECK_SLICE(info->features[1].name, "b");
	CHECK_SLICE(info->objective, "binary:logistic");
	CHECK_SLICE(info->library_version, "3.2.0");
	CHECK(info->has_best_iteration && info->best_iteration == 1);
	const double row[] = {0.5, 0, 1};
	double out[2];
	float margin = base + 2 + 0.125f;
	test_predict_one(model, MODEL_OUTPUT_DEFAULT, row, out);
	CHECK_F64(out[0], (double)(1 / (1 + expf(-margin))));
	CHECK_INT(ms_model_output_width(model, MODEL_OUTPUT_PROBABILITY), 2);
	test_predict_one(model, MODEL_OUTPUT_LEAF, row, out);
	CHECK_F64(out[0], 4);
	CHECK_F64(out[1], 0);
}

TEST(xgboost_json_predicts)
{
	struct model *model = test_load(MS_SLICE_LIT(MODEL), JSON);
	check_model(model);
	ms_model_unref(model);
}

TEST(xgboost_contributions_need_the_sums_of_hessians)
{
	struct model *model = test_load(ms_slice_cstr(MODEL), JSON);
	const double row[] = {1, 0, 33}; // right at the root; a member of the set, right again
	double out[4], raw;
	CHECK(ms_model_output_absence(model, MODEL_OUTPUT_CONTRIBUTIONS) == NULL);
	REQUIRE(ms_model_output_width(model, MODEL_OUTPUT_CONTRIBUTIONS) == 4);
	test_predict_one(model, MODEL_OUTPUT_CONTRIBUTIONS, row, out);
	test_predict_one(model, MODEL_OUTPUT_RAW, row, &raw);
	CHECK(fabs(out[0] + out[1] + out[2] + out[3] - raw) < 1e-6);
	CHECK_F64(out[1], 0);
	// By hand: the root has 4/9 at 0.25, the rest 2/5 at -1 and 3/5 at 2; the row goes to the 2.
	double all = 4.0 / 9 * 0.25 + 5.0 / 9 * 0.8, a = 0.8, c = 4.0 / 9 * 0.25 + 5.0 / 9 * 2;
	CHECK(fabs(out[0] - ((a - all) + (2 - c)) / 2) < 1e-12);
	CHECK(fabs(out[2] - ((c - all) + (2 - a)) / 2) < 1e-12);
	CHECK(ms_model_row_ns(model, MODEL_OUTPUT_CONTRIBUTIONS) > 0);
	ms_model_unref(model);
	struct buf changed;
	test_replace(&changed, MODEL, ",\"sum_hessian\":[9,4,5,2,3,0]", "");
	model = test_load(ms_buf_slice(&changed), JSON);
	CHECK_INT(ms_model_output_width(model, MODEL_OUTPUT_CONTRIBUTIONS), 0);
	CHECK_HAS(ms_model_output_absence(model, MODEL_OUTPUT_CONTRIBUTIONS), "sum_hessian");
	CHECK_INT(ms_model_output_width(model, MODEL_OUTPUT_TREE), 2);
	test_predict_one(model, MODEL_OUTPUT_TREE, row, out);
	CHECK_F64(out[0], 2);
	CHECK_F64(out[1], 0.125);
	ms_model_unref(model);
	ms_buf_fini(&changed);
}

TEST(xgboost_ubjson_predicts_the_same)
{
	for (int typed = 0; typed < 2; typed++) {
		struct buf bytes;
		to_ubjson(&bytes, MODEL, typed);
		struct model *model = test_load(ms_buf_slice(&bytes), UBJSON);
		check_model(model);
		ms_model_unref(model);
		ms_buf_fini(&bytes);
	}
}

// The margin of the row {0.5, 0, 1} after a change of the model's text.
static double raw_after(const char *from, const char *to)
{
	struct buf text;
	test_replace(&text, MODEL, from, to);
	struct model *model = test_load(ms_buf_slice(&text), JSON);
	double raw = (double)raw_of(model, 0.5, 0, 1);
	ms_model_unref(model);
	ms_buf_fini(&text);
	return raw;
}

TEST(xgboost_base_score_has_several_forms)
{
	const float base = -logf(1.0f / 0.25f - 1.0f);
	CHECK_F64(raw_after("[2.5E-1]", "2.5E-1"), (double)(base + 2 + 0.125f));
	CHECK_F64(raw_after("[2.5E-1]", "(2.5E-1)"), (double)(base + 2 + 0.125f));
	CHECK_F64(raw_after("[2.5E-1]", "[ 0.25 ]"), (double)(base + 2 + 0.125f));
	// Since 3.1 a probability of 0 is taken for 1e-6.
	CHECK_F64(raw_after("[2.5E-1]", "[0]"), (double)(-logf(1.0f / 1e-6f - 1.0f) + 2 + 0.125f));
	CHECK_F64(raw_after("binary:logistic", "count:poisson"), (double)(logf(0.25f) + 2 + 0.125f));
	CHECK_F64(raw_after("binary:logistic", "binary:logitraw"), (double)(0.25f + 2 + 0.125f));
	CHECK_F64(raw_after("binary:logistic", "reg:squarederror"), (double)(0.25f + 2 + 0.125f));
}

TEST(xgboost_dart_has_three_shapes)
{
	static const struct test_change shapes[] = {
		// up to 3.2: the booster wraps another
		{"\"gradient_booster\":{\"model\":", "\"gradient_booster\":{\"gbtree\":{\"model\":", MS_OK, ""},
		{"\"name\":\"gbtree\"}", "\"name\":\"gbtree\"},\"name\":\"dart\",\"weight_drop\":[5E-1,2]}", MS_OK, ""},
		// 3.3: beside the model
		{"\"name\":\"gbtree\"}", "\"name\":\"gbtree\",\"weight_drop\":[5E-1,2]}", MS_OK, ""},
		// 3.4: inside
		{"\"tree_info\":", "\"weight_drop\":[5E-1,2],\"tree_info\":", MS_OK, ""},
	};
	const float base = -logf(1.0f / 0.25f - 1.0f);
	struct buf first, old;
	test_replace(&first, MODEL, shapes[0].from, shapes[0].to);
	test_replace(&old, first.p, shapes[1].from, shapes[1].to);
	struct model *model = test_load(ms_buf_slice(&old), JSON);
	CHECK_F64(raw_of(model, 0.5, 0, 1), base + 2 * 0.5f + 0.125f * 2);
	ms_model_unref(model);
	ms_buf_fini(&first);
	ms_buf_fini(&old);
	for (size_t i = 2; i < MS_ARRAY_LEN(shapes); i++)
		CHECK_F64(raw_after(shapes[i].from, shapes[i].to), (double)(base + 2 * 0.5f + 0.125f * 2));
}

#define VECTOR_TREE(right, more)                                                                   \
	"{\"default_left\":[0,0,0],\"left_children\":[1,-1,-1],\"right_children\":" right "," more \
	"\"split_conditions\":[1,0,0],\"split_indices\":[0,0,0],"                                  \
	"\"tree_param\":{\"num_nodes\":\"3\",\"size_leaf_vector\":\"2\"}}"
#define VECTOR_MODEL(tree)                                                                                             \
	"{\"learner\":{\"gradient_booster\":{\"model\":{\"gbtree_model_param\":{\"num_trees\":\"1\"},\"tree_info\":["  \
	"0],"                                                                                                          \
	"\"trees\":[" tree "]},\"name\":\"gbtree\"},\"learner_model_param\":{\"base_score\":\"[1,-1]\","               \
	"\"num_feature\":\"1\",\"num_target\":\"2\"},\"objective\":{\"name\":\"reg:squarederror\"}},\"version\":[3,2," \
	"0]}"
#define VECTOR_OLD VECTOR_MODEL(VECTOR_TREE("[2,-1,-1]", "\"base_weights\":[9,9,1,2,3,4],"))
#define VECTOR_NEW VECTOR_MODEL(VECTOR_TREE("[2,1,0]", "\"base_weights\":[0],\"leaf_weights\":[3,4,1,2],"))

TEST(xgboost_vector_leaves_have_two_shapes)
{
	static const char *const texts[] = {VECTOR_OLD, VECTOR_NEW};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		struct model *model = test_load(ms_slice_cstr(texts[i]), JSON);
		double out[2];
		CHECK_INT(ms_model_info(model)->raw_count, 2);
		test_predict_one(model, MODEL_OUTPUT_RAW, (double[]){0}, out);
		CHECK_F64(out[0], 2);
		CHECK_F64(out[1], 1);
		test_predict_one(model, MODEL_OUTPUT_RAW, (double[]){1}, out);
		CHECK_F64(out[0], 4);
		CHECK_F64(out[1], 3);
		ms_model_unref(model);
	}
}

TEST(xgboost_refuses_bad_vector_leaves)
{
	static const struct test_change old[] = {
		{"9,9,1,2,3,4", "9,9,1,2,3", MS_ERR_MODEL_FORMAT, "tree 0: base_weights has 5 items"},
		{"\"base_weights\":[9,9,1,2,3,4],", "", MS_ERR_MODEL_FORMAT, "tree 0: base_weights has 0 items"},
		{"\"size_leaf_vector\":\"2\"", "\"size_leaf_vector\":\"3\"", MS_ERR_MODEL_FORMAT, "hold 3 values"},
	};
	static const struct test_change new[] = {
		{"[2,1,0]", "[2,2,0]", MS_ERR_MODEL_FORMAT,
		 "tree 0, node 1: it is leaf 2, but leaf_weights has values for 2"},
		{"[2,1,0]", "[2,-1,0]", MS_ERR_MODEL_FORMAT, "node 1: it is leaf -1"},
		{"[3,4,1,2]", "[3,4,1]", MS_ERR_MODEL_FORMAT, "tree 0, node "},
		{"\"leaf_weights\":[3,4,1,2]", "\"leaf_weights\":[]", MS_ERR_MODEL_FORMAT,
		 "more leaves than leaf_weights"},
	};
	test_changes(VECTOR_OLD, JSON, old, MS_ARRAY_LEN(old));
	test_changes(VECTOR_NEW, JSON, new, MS_ARRAY_LEN(new));
}

#define LINEAR                                                                                                         \
	"{\"learner\":{\"gradient_booster\":{\"model\":{\"boosted_rounds\":2,\"weights\":[1,10,2,20,0.5,0.25]},"       \
	"\"name\":\"gblinear\"},\"learner_model_param\":{\"base_score\":\"[3,4]\",\"num_class\":\"2\","                \
	"\"num_feature\":\"2\",\"num_target\":\"1\"},\"objective\":{\"name\":\"multi:softprob\"}},\"version\":[3,2,0]" \
	"}"

TEST(xgboost_linear_booster)
{
	struct model *model = test_load(MS_SLICE_LIT(LINEAR), JSON);
	double out[2];
	test_predict_one(model, MODEL_OUTPUT_RAW, (double[]){1, 100}, out);
	CHECK_F64(out[0], 0.5 + 3 + 1 + 200);
	CHECK_F64(out[1], 0.25 + 3 + 10 + 2000); // the first base score for all
	test_predict_one(model, MODEL_OUTPUT_RAW, (double[]){NAN, 100}, out);
	CHECK_F64(out[0], 0.5 + 3 + 200);
	CHECK_SLICE(ms_model_info(model)->features[1].name, "f1");
	ms_model_unref(model);
	static const struct test_change changes[] = {
		{"0.5,0.25", "0.5", MS_ERR_MODEL_FORMAT, "weights has 5 items, expected (2 features + 1) x 2 outputs"},
		{"\"weights\"", "\"weight\"", MS_ERR_MODEL_FORMAT, "the member 'trees' is missing"},
		{"\"num_class\":\"2\"", "\"num_class\":\"1\"", MS_ERR_MODEL_FORMAT, "at least 2 classes"},
	};
	test_changes(LINEAR, JSON, changes, MS_ARRAY_LEN(changes));
}

// --- Categories by value ---------------------------------------------------------------------------------

#define CATS_STRINGS                                                                                       \
	"\"cats\":{\"enc\":[{\"offsets\":[],\"values\":[]},{\"offsets\":[0],\"values\":[]},"               \
	"{\"offsets\":[0,3,3,7],\"values\":[114,101,100,98,108,117,-61]}],\"feature_segments\":[0,0,0,3]," \
	"\"sorted_idx\":[1,2,0]}"
#define CATS_NUMBERS                                                                        \
	"\"cats\":{\"enc\":[{\"offsets\":[],\"values\":[]},{\"offsets\":[],\"values\":[]}," \
	"{\"type\":15,\"values\":[100,7,-3]}]}"

TEST(xgboost_strings_become_codes)
{
	struct buf text;
	test_replace(&text, MODEL, "\"cats\":null", CATS_STRINGS);
	struct model *model = test_load(ms_buf_slice(&text), JSON);
	const struct model_feature *f = &ms_model_info(model)->features[2];
	double code = -1;
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK(f->categorical && f->has_strings);
	CHECK_INT(f->category_count, 3);
	CHECK_SLICE(f->categories[0], "red");
	CHECK_OK(ms_model_encode_string(model, 2, MS_SLICE_LIT("red"), &info, &code));
	CHECK_F64(code, 0);
	CHECK_OK(ms_model_encode_string(model, 2, MS_SLICE_LIT(""), &info, &code));
	CHECK_F64(code, 1);
	CHECK_OK(ms_model_encode_string(model, 2, MS_SLICE_LIT("blu\xc3"), &info, &code));
	CHECK_F64(code, 2);
	CHECK_INT(ms_model_encode_string(model, 2, MS_SLICE_LIT("green"), &info, &code), MS_ERR_PREDICT_TYPE);
	CHECK_INT(ms_model_encode_string(model, 0, MS_SLICE_LIT("red"), &info, &code), MS_ERR_PREDICT_TYPE);
	ms_model_unref(model);
	ms_buf_fini(&text);
}

TEST(xgboost_integers_become_codes)
{
	struct buf text;
	test_replace(&text, MODEL, "\"cats\":null", CATS_NUMBERS);
	struct model *model = test_load(ms_buf_slice(&text), JSON);
	double code = -1;
	CHECK_SLICE(ms_model_info(model)->features[2].categories[2], "-3");
	CHECK_OK(ms_model_encode_number(model, 2, 7, NULL, &code));
	CHECK_F64(code, 1);
	CHECK_INT(ms_model_encode_number(model, 2, 8, NULL, &code), MS_ERR_PREDICT_TYPE);
	ms_model_unref(model);
	ms_buf_fini(&text);
}

TEST(xgboost_refuses_bad_categories_by_value)
{
	static const struct test_change changes[] = {
		{"[0,3,3,7]", "[0,3,2,7]", MS_ERR_MODEL_FORMAT, "they must ascend"},
		{"[0,3,3,7]", "[0,3,3,8]", MS_ERR_MODEL_FORMAT, "they must ascend, up to 7"},
		{"[0,3,3,7]", "[-1,3,3,7]", MS_ERR_MODEL_FORMAT, "offsets[0] to [1] are -1 and 3"},
		{"-61", "300", MS_ERR_MODEL_FORMAT, "values[6] is 300, expected a byte"},
		{"-61", "0.5", MS_ERR_MODEL_FORMAT, "values"},
		{"{\"offsets\":[0],\"values\":[]},", "", MS_ERR_MODEL_FORMAT,
		 "cats.enc has 2 items, num_feature says 3"},
		{"{\"offsets\":[0],\"values\":[]}", "{\"offsets\":[0]}", MS_ERR_MODEL_FORMAT, "'values' is missing"},
		{"[0,3,3,7]", "[0,3,3,3]", MS_ERR_MODEL_FORMAT, "twice"},
	};
	struct buf text;
	test_replace(&text, MODEL, "\"cats\":null", CATS_STRINGS);
	test_changes(text.p, JSON, changes, MS_ARRAY_LEN(changes));
	ms_buf_fini(&text);
}

// --- Hostile files -----------------------------------------------------------------------------------------

static const struct test_change bad_models[] = {
	// the root and the learner
	{"\"learner\":{", "\"learner\":7,\"x\":{", MS_ERR_MODEL_FORMAT, "expected an object, found"},
	{"\"learner\":", "\"lerner\":", MS_ERR_MODEL_FORMAT, "the member 'learner' is missing"},
	{"\"version\":[3,2,0]", "\"learner\":{}", MS_ERR_MODEL_FORMAT, "the member 'learner' comes twice"},
	{"\"name\":\"gbtree\"", "\"name\":\"gbforest\"", MS_ERR_MODEL_UNSUPPORTED, "'gbforest' is not known"},
	{"\"name\":\"gbtree\"", "\"name\":\"dart\"", MS_ERR_MODEL_FORMAT, "needs the member 'weight_drop'"},
	{"\"name\":\"gbtree\"", "\"name\":\"gblinear\"", MS_ERR_MODEL_FORMAT, "needs the member 'weights'"},
	{"\"name\":\"gbtree\"", "\"gbtree\":{\"name\":\"gbtree\",\"model\":{\"weights\":[]}},\"name\":\"dart\"",
	 MS_ERR_MODEL_FORMAT, "both 'gbtree' and 'model'"},
	{"binary:logistic", "my:own", MS_ERR_MODEL_UNSUPPORTED, "the objective 'my:own'"},
	{"binary:logistic", "multi:softmax", MS_ERR_MODEL_FORMAT, "needs at least 2 classes"},
	{"\"base_score\":\"[2.5E-1]\"", "\"base_score\":0.25", MS_ERR_MODEL_FORMAT, "learner_model_param.base_score"},
	{"[2.5E-1]", "[0.25,0.5]", MS_ERR_MODEL_FORMAT, "more numbers than the model has outputs"},
	{"[2.5E-1]", "[]", MS_ERR_MODEL_FORMAT, "expected a number"},
	{"[2.5E-1]", "half", MS_ERR_MODEL_FORMAT, "base_score 'half': expected a number"},
	{"[2.5E-1]", "[1.5]", MS_ERR_MODEL_FORMAT, "a probability is expected"},
	{"[2.5E-1]", "[nan]", MS_ERR_MODEL_FORMAT, "a probability is expected"},
	{"\"num_feature\":\"3\",\"num_target\"", "\"num_feature\":\"2\",\"num_target\"", MS_ERR_MODEL_FORMAT,
	 "feature_names has 3 items, num_feature says 2"},
	{"\"num_feature\":\"3\",\"num_target\"", "\"num_feature\":\"-3\",\"num_target\"", MS_ERR_MODEL_FORMAT,
	 "num_feature is '-3'"},
	{"\"num_feature\":\"3\",\"num_target\"", "\"num_feature\":\"99999999999999999999\",\"num_target\"",
	 MS_ERR_MODEL_FORMAT, "num_feature is '99999999999999999999'"},
	{"\"num_target\":\"1\"", "\"num_target\":\"1000000000\"", MS_ERR_MODEL_FORMAT, "up to 10000"},
	{"[\"a\",\"b\",\"c\"]", "[\"a\",\"b\",\"a\"]", MS_ERR_MODEL_FORMAT, "same name"},
	{"[\"a\",\"b\",\"c\"]", "[\"a\",\"b\",7]", MS_ERR_MODEL_FORMAT, "learner.feature_names"},
	// the list of trees
	{"\"num_trees\":\"2\"", "\"num_trees\":\"3\"", MS_ERR_MODEL_FORMAT, "tree_info has 2 items, num_trees says 3"},
	{"\"tree_info\":[0,0]", "\"tree_info\":[0,1]", MS_ERR_MODEL_FORMAT,
	 "tree 1 belongs to output 1, the model has 1"},
	{"\"tree_info\":[0,0]", "\"tree_info\":[0,-1]", MS_ERR_MODEL_FORMAT, "tree 1 belongs to output -1"},
	{"," TREE_1, "", MS_ERR_MODEL_FORMAT, "the model holds 1 trees, num_trees says 2"},
	{TREE_1, TREE_1 "," TREE_1, MS_ERR_MODEL_FORMAT, "more trees than num_trees says (2)"},
	{TREE_1, "7", MS_ERR_MODEL_FORMAT, "tree 1, "},
	{"\"trees\":", "\"weight_drop\":[1],\"trees\":", MS_ERR_MODEL_FORMAT, "weight_drop has 1 items"},
	// a tree
	{"\"num_nodes\":\"6\"", "\"num_nodes\":\"5\"", MS_ERR_MODEL_FORMAT,
	 "tree 0: default_left has 6 items, num_nodes says 5"},
	{"[9,4,5,2,3,0]", "[9,4,5,2,3]", MS_ERR_MODEL_FORMAT, "tree 0: sum_hessian has 5 items, num_nodes says 6"},
	{"\"num_nodes\":\"6\"", "\"num_nodes\":\"0\"", MS_ERR_MODEL_FORMAT, "tree 0 has no nodes"},
	{"\"num_nodes\":\"6\"", "\"num_nodes\":\"4294967302\"", MS_ERR_MODEL_FORMAT, "num_nodes is '4294967302'"},
	{"\"num_nodes\":\"6\",", "", MS_ERR_MODEL_FORMAT, "tree 0, tree_param: "},
	{"\"left_children\":[1,-1,3,-1,-1,-1]", "\"left_children\":[1,-1,3,-1,-1]", MS_ERR_MODEL_FORMAT,
	 "tree 0: left_children has 5 items"},
	{"\"left_children\":[1,-1,3,-1,-1,-1]", "\"left_children\":[1,-1,6,-1,-1,-1]", MS_ERR_MODEL_FORMAT,
	 "tree 0, node 2: its children are 6 and 4, the tree has 6 nodes"},
	{"\"left_children\":[1,-1,3,-1,-1,-1]", "\"left_children\":[1,-1,-2,-1,-1,-1]", MS_ERR_MODEL_FORMAT,
	 "tree 0, node 2: its children are -2 and 4"},
	{"\"left_children\":[1,-1,3,-1,-1,-1]", "\"left_children\":[1,-1,0,-1,-1,-1]", MS_ERR_MODEL_FORMAT,
	 "tree 0, node 2"},
	{"\"left_children\":[1,-1,3,-1,-1,-1]", "\"left_children\":[1,-1,2,-1,-1,-1]", MS_ERR_MODEL_FORMAT,
	 "tree 0, node 2"},
	{"\"left_children\":[1,-1,3,-1,-1,-1]", "\"left_children\":[1,-1,4,-1,-1,-1]", MS_ERR_MODEL_FORMAT,
	 "tree 0, node 2"},
	{"\"left_children\":[1,-1,3,-1,-1,-1]", "\"left_children\":[1,-1,9223372036854775808,-1,-1,-1]",
	 MS_ERR_MODEL_FORMAT, "tree 0, tree.left_children"},
	{"\"left_children\":[1,-1,3,-1,-1,-1]", "\"left_children\":[1,-1,3.0,-1,-1,-1]", MS_ERR_MODEL_FORMAT,
	 "tree 0, tree.left_children"},
	{"\"split_indices\":[0,0,2", "\"split_indices\":[3,0,2", MS_ERR_MODEL_FORMAT,
	 "tree 0, node 0: it splits on feature 3, the model has 3"},
	{"\"split_indices\":[0,0,2", "\"split_indices\":[-1,0,2", MS_ERR_MODEL_FORMAT, "splits on feature -1"},
	{"\"split_conditions\":[5E-1", "\"split_conditions\":[\"x\"", MS_ERR_MODEL_FORMAT,
	 "tree 0, tree.split_conditions"},
	{"\"id\":0", "\"default_left\":[]", MS_ERR_MODEL_FORMAT, "the member 'default_left' comes twice"},
	{"\"size_leaf_vector\":\"1\"", "\"size_leaf_vector\":\"2\"", MS_ERR_MODEL_FORMAT, "its leaves hold 2 values"},
	// sets of categories
	{"\"categories\":[1,33]", "\"categories\":[1,-33]", MS_ERR_MODEL_FORMAT, "tree 0, node 2: category -33"},
	{"\"categories\":[1,33]", "\"categories\":[1,16777216]", MS_ERR_MODEL_FORMAT,
	 "category 16777216 is out of range"},
	{"\"categories\":[1,33]", "\"categories\":[1]", MS_ERR_MODEL_FORMAT, "the 2 categories from 0, the tree has 1"},
	{"\"categories_sizes\":[2]", "\"categories_sizes\":[-1]", MS_ERR_MODEL_FORMAT, "the -1 categories from 0"},
	{"\"categories_segments\":[0]", "\"categories_segments\":[9223372036854775807]", MS_ERR_MODEL_FORMAT,
	 "categories from 9223372036854775807"},
	{"\"categories_sizes\":[2]", "\"categories_sizes\":[]", MS_ERR_MODEL_FORMAT, "have 1, 1 and 0 items"},
	{"\"categories_nodes\":[2]", "\"categories_nodes\":[6]", MS_ERR_MODEL_FORMAT, "names node 6, the tree has 6"},
	{"\"categories_nodes\":[2]", "\"categories_nodes\":[1]", MS_ERR_MODEL_FORMAT,
	 "categories_nodes does not name it"},
	{"\"categories_nodes\":[2],\"categories_segments\":[0],\"categories_sizes\":[2]",
	 "\"categories_nodes\":[2,2],\"categories_segments\":[0,0],\"categories_sizes\":[2,2]", MS_ERR_MODEL_FORMAT,
	 "tree 0, node 2: it has two sets"},
	{"\"categories_nodes\":[2],", "", MS_ERR_MODEL_FORMAT, "'categories_nodes' is missing"},
};

TEST(xgboost_refuses_bad_models)
{
	test_changes(MODEL, JSON, bad_models, MS_ARRAY_LEN(bad_models));
}

// The same changes in the other encoding: one loader, the same answers but for the place.
TEST(xgboost_refuses_bad_models_in_ubjson)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(bad_models); i++) {
		if (strstr(bad_models[i].to, "922337203685477580") != NULL)
			continue; // the converter has no such integers
		struct buf text, bytes;
		test_replace(&text, MODEL, bad_models[i].from, bad_models[i].to);
		to_ubjson(&bytes, text.p, true);
		test_refused(ms_buf_slice(&bytes), UBJSON, NULL, bad_models[i].code, bad_models[i].message);
		ms_buf_fini(&text);
		ms_buf_fini(&bytes);
	}
}

TEST(xgboost_sets_may_not_outgrow_the_file)
{
	// Nodes that each name the largest category: 2 MiB a node.
	struct buf text;
	ms_buf_init(&text, (size_t)1 << 20);
	enum { SPLITS = 40 };
	const char *const names[] = {"left_children",       "right_children",   "split_type", "categories_nodes",
				     "categories_segments", "categories_sizes", "categories", "default_left",
				     "split_indices",       "split_conditions"};
	ms_buf_append_cstr(
		&text, "{\"learner\":{\"gradient_booster\":{\"model\":{\"gbtree_model_param\":{\"num_trees\":\"1\"},"
		       "\"tree_info\":[0],\"trees\":[{");
	for (size_t a = 0; a < MS_ARRAY_LEN(names); a++) {
		ms_buf_printf(&text, "\"%s\":[", names[a]);
		size_t count = a >= 3 && a <= 6 ? SPLITS : 2 * SPLITS + 1;
		for (size_t i = 0; i < count; i++) {
			bool split = i % 2 == 0 && i < 2 * SPLITS; // a chain: node 2k splits into 2k+1 and 2k+2
			const size_t values[] = {
				split ? i + 1 : 0, split ? i + 2 : 0, split, 2 * i, i, 1, 16777215, 0, 0, 0};
			if (a < 2 && !split)
				ms_buf_append_cstr(&text, "-1");
			else
				ms_buf_append_u64(&text, values[a]);
			ms_buf_append_cstr(&text, i + 1 < count ? "," : "],");
		}
	}
	ms_buf_printf(&text, "\"tree_param\":{\"num_nodes\":\"%d\"}}]},\"name\":\"gbtree\"},", 2 * SPLITS + 1);
	ms_buf_append_cstr(&text, "\"learner_model_param\":{\"base_score\":\"0\",\"num_feature\":\"1\"},"
				  "\"objective\":{\"name\":\"reg:squarederror\"}}}");
	REQUIRE(ms_buf_ok(&text));
	test_refused(ms_buf_slice(&text), JSON, NULL, MS_ERR_MODEL_TOO_LARGE, "more memory than a file of");
	ms_buf_fini(&text);
}

TEST(xgboost_keeps_to_the_limits)
{
	struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_trees = 1;
	test_refused(MS_SLICE_LIT(MODEL), JSON, &options, MS_ERR_MODEL_FORMAT, "num_trees is '2'");
	options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_features = 2;
	test_refused(MS_SLICE_LIT(MODEL), JSON, &options, MS_ERR_MODEL_FORMAT, "num_feature is '3'");
	options = MS_MODEL_DEFAULT_OPTIONS;
	options.max_memory = 2000;
	test_refused(MS_SLICE_LIT(MODEL), JSON, &options, MS_ERR_MODEL_TOO_LARGE, "memory");
}

TEST(xgboost_json_survives_truncation)
{
	test_truncations(MS_SLICE_LIT(MODEL), JSON);
}

TEST(xgboost_ubjson_survives_truncation)
{
	struct buf bytes;
	to_ubjson(&bytes, MODEL, true);
	test_truncations(ms_buf_slice(&bytes), UBJSON);
	ms_buf_fini(&bytes);
}

TEST(xgboost_survives_changed_bytes)
{
	struct buf bytes;
	test_flips(MS_SLICE_LIT(MODEL), JSON);
	to_ubjson(&bytes, VECTOR_NEW, true);
	test_flips(ms_buf_slice(&bytes), UBJSON);
	ms_buf_fini(&bytes);
	to_ubjson(&bytes, MODEL, true);
	test_flips(ms_buf_slice(&bytes), UBJSON);
	ms_buf_fini(&bytes);
}

// Every count of a typed array, made huge.
TEST(xgboost_ubjson_does_not_believe_counts)
{
	struct buf bytes;
	size_t found = 0;
	to_ubjson(&bytes, MODEL, true);
	for (size_t i = 0; i + 13 <= bytes.n; i++) {
		if (bytes.p[i] != '[' || bytes.p[i + 1] != '$')
			continue;
		char *count = bytes.p + i + 5, old[8];
		static const unsigned char huge[][8] = {
			{0x10}, {0, 0, 0, 1}, {0x7f, 255, 255, 255, 255, 255, 255, 255}, {0x80}, {0, 0, 0, 0, 0x40}};
		memcpy(old, count, 8);
		for (size_t h = 0; h < MS_ARRAY_LEN(huge); h++) {
			memcpy(count, huge[h], 8);
			CHECK(!test_try(ms_buf_slice(&bytes), UBJSON, 0));
		}
		memcpy(count, old, 8);
		found++;
	}
	CHECK(found > 10);
	ms_buf_fini(&bytes);
}

static void load_under_torture(void)
{
	struct model *model = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_model_load(MS_SLICE_LIT(MODEL), JSON, NULL, &info, &model);
	CHECK((err == MS_OK) == (model != NULL));
	CHECK(err == MS_OK || ms_test_allocation_failed());
	ms_model_unref(model);
}

TEST(xgboost_survives_failing_allocations)
{
	ms_test_torture(load_under_torture);
}
