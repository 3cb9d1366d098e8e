// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>

#include "model/catboost_hash.h"
#include "model/loader_test.h"

#define JSON MODEL_FORMAT_CATBOOST_JSON

// Columns: x, color, y. RED and BLUE are the hashes of "red" and "blue".
#define FEATURES                                                                                                       \
	"{\"cat_features_hash\":[{\"hash\":1,\"value\":\"red\"}],\"categorical_features\":[{\"feature_id\":\"color\"," \
	"\"feature_index\":0,\"flat_feature_index\":1,\"values\":[" BLUE "," RED "]}],\"float_features\":["            \
	"{\"borders\":[0.5],\"feature_id\":\"0\",\"feature_index\":0,\"feature_name\":\"x\",\"flat_feature_index\":0," \
	"\"has_nans\":true,\"nan_value_treatment\":\"AsTrue\"},"                                                       \
	"{\"borders\":[0.10000000149011612],\"feature_id\":\"y\",\"feature_index\":1,\"flat_feature_index\":2,"        \
	"\"has_nans\":false,\"nan_value_treatment\":\"AsTrue\"}]}"
#define INFO(loss, classes)                                                                                      \
	"{\"catboost_version_info\":\"Git info:\\n    Branch: tags/v1.2.10\\n    Author: x\",\"class_params\":{" \
	"\"class_names\":" classes "},\"params\":{\"loss_function\":{\"params\":{},\"type\":\"" loss "\"}}}"
#define SPLIT_X "{\"border\":0.5,\"float_feature_index\":0,\"split_index\":0,\"split_type\":\"FloatFeature\"}"
#define SPLIT_Y \
	"{\"border\":0.10000000149011612,\"float_feature_index\":1,\"split_index\":1,\"split_type\":\"FloatFeature\"}"
#define SPLIT_RED "{\"cat_feature_index\":0,\"split_index\":2,\"split_type\":\"OneHotFeature\",\"value\":" RED "}"
#define RED "-1242798403"
#define BLUE "-863087293"

#define OBLIVIOUS                                                                                            \
	"{\"features_info\":" FEATURES ",\"model_info\":" INFO(                                              \
		"Logloss",                                                                                   \
		"[\"no\",\"yes\"]") ",\"oblivious_trees\":["                                                 \
				    "{\"leaf_values\":[1,2,3,4,5,6,7,8],\"leaf_weights\":[1,1,1,1,1,1,1,1]," \
				    "\"splits\":[" SPLIT_X "," SPLIT_RED "," SPLIT_Y "]},"                   \
				    "{\"leaf_values\":[0.5],\"splits\":null}],\"scale_and_bias\":[2,[10]]}"

#define NESTED                                                                                                       \
	"{\"features_info\":" FEATURES                                                                               \
	",\"model_info\":" INFO("MultiClass", "[1,2.5]") ",\"trees\":["                                              \
							 "{\"left\":{\"value\":[1,-1],\"weight\":1},\"right\":{"     \
							 "\"left\":{\"value\":[2,-2]},\"right\":{\"value\":[3,-3]}," \
							 "\"split\":" SPLIT_RED "},\"split\":" SPLIT_X               \
							 "},{\"value\":[0.25,0.75]}],\"scale_and_bias\":[1,[0,100]]}"

static struct model *load(const char *text)
{
	return test_load(ms_slice_cstr(text), JSON);
}

static double color(const struct model *model, const char *text)
{
	double value = 0;
	REQUIRE(ms_model_encode_string(model, 1, ms_slice_cstr(text), NULL, &value) == MS_OK);
	return value;
}

// What CatBoost 1.2 wrote as hashes of the first bytes of a repeated text.
TEST(catboost_hashes_categories)
{
	static const struct {
		size_t length;
		uint32_t hash;
	} want[] = {
		{0, 797982799u},    {1, 4040359504u},   {3, 31447441u},     {4, 1985336698u},   {7, 3878453418u},
		{8, 1015460132u},   {9, 1548909695u},   {15, 1301668089u},  {16, 202255144u},   {17, 2221647360u},
		{31, 2250989143u},  {32, 842161933u},   {33, 2537220625u},  {48, 951805667u},   {63, 1518603502u},
		{64, 2473645820u},  {65, 3398831990u},  {100, 4208860393u}, {127, 1435422733u}, {128, 1751691675u},
		{129, 3455269018u}, {192, 4258538612u}, {193, 2147267445u}, {300, 3044726965u},
	};
	static const char part[] = "Blessed are the meek, 0123456789; ";
	char text[300];
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = part[i % (sizeof(part) - 1)];
	for (size_t i = 0; i < MS_ARRAY_LEN(want); i++)
		CHECK_INT((uint32_t)ms_catboost_category_hash(ms_slice(text, want[i].length)), want[i].hash);
	CHECK_INT((uint32_t)ms_catboost_category_hash(MS_SLICE_LIT("äöü")), 743693011u);
	CHECK_INT((uint32_t)ms_catboost_category_hash(MS_SLICE_LIT("-3")), 1837837212u);
}

TEST(catboost_oblivious_trees)
{
	struct model *model = load(OBLIVIOUS);
	const struct model_info *info = ms_model_info(model);
	double red = color(model, "red"), blue = color(model, "blue"), out[2];
	const struct {
		double row[3];
		double leaf;
	} cases[] = {
		{{0.5, blue, 0}, 0},
		{{0.75, blue, 0}, 1},
		{{0.5, red, 0}, 2},
		{{0.75, red, 0.2}, 7},
		{{NAN, blue, 0}, 1},   // AsTrue
		{{0.5, blue, NAN}, 0}, // no missing values in training: below every border
		{{0.5, blue, 0.1}, 0}, // 0.1 as float is the border itself
		{{0.5, blue, 0.1000001}, 4},
		{{0.5, NAN, 0}, 0},
		{{0.5, 1e300, 0}, 0},
		{{0.5, red + 0.5, 0}, 0},
		{{0.5, color(model, "green"), 0}, 0},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		test_predict_one(model, MODEL_OUTPUT_RAW, cases[i].row, out);
		CHECK_F64(out[0], 2 * (cases[i].leaf + 1 + 0.5) + 10);
		test_predict_one(model, MODEL_OUTPUT_LEAF, cases[i].row, out);
		CHECK_F64(out[0], cases[i].leaf);
		CHECK_F64(out[1], 0);
	}
	test_predict_one(model, MODEL_OUTPUT_PROBABILITY, cases[0].row, out);
	CHECK_F64(out[1], 1 / (1 + exp(-13.0)));
	CHECK_INT(info->task, MODEL_BINARY);
	CHECK_INT(info->feature_count, 3);
	CHECK_SLICE(info->features[0].name, "x");
	CHECK_SLICE(info->features[1].name, "color");
	CHECK(info->named_features && info->features[1].categorical && info->features[1].any_string);
	CHECK(!info->features[2].categorical && !info->single_precision && info->input_single_precision);
	CHECK_SLICE(info->library_version, "1.2.10");
	CHECK_SLICE(info->objective, "Logloss");
	REQUIRE(info->labels != NULL);
	CHECK_SLICE(info->labels[1], "yes");
	ms_model_unref(model);
}

TEST(catboost_missing_values_pass_no_test_unless_the_file_says_so)
{
	static const char *const treatments[] = {"AsIs", "AsFalse"};
	for (size_t i = 0; i < MS_ARRAY_LEN(treatments); i++) {
		struct buf text;
		double leaf[2];
		test_replace(&text, OBLIVIOUS, "AsTrue", treatments[i]);
		struct model *model = load(text.p);
		test_predict_one(model, MODEL_OUTPUT_LEAF, (double[]){NAN, 0, 0}, leaf);
		CHECK_F64(leaf[0], 0);
		ms_model_unref(model);
		ms_buf_fini(&text);
	}
}

TEST(catboost_other_trees)
{
	struct model *model = load(NESTED);
	const struct model_info *info = ms_model_info(model);
	double red = color(model, "red"), blue = color(model, "blue"), out[2];
	const struct {
		double row[3];
		double first, leaf;
	} cases[] = {
		{{0.5, red, 0}, 1, 0}, {{0.75, blue, 0}, 2, 1}, {{0.75, red, 0}, 3, 2},
		{{NAN, red, 0}, 3, 2}, {{1, NAN, 0}, 2, 1},
	};
	CHECK_INT(info->raw_count, 2);
	CHECK_INT(info->class_count, 2);
	CHECK_INT(info->node_count, 6);
	REQUIRE(info->labels != NULL);
	CHECK_SLICE(info->labels[1], "2.5");
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		test_predict_one(model, MODEL_OUTPUT_RAW, cases[i].row, out);
		CHECK_F64(out[0], cases[i].first + 0.25);
		CHECK_F64(out[1], -cases[i].first + 0.75 + 100);
		test_predict_one(model, MODEL_OUTPUT_LEAF, cases[i].row, out);
		CHECK_F64(out[0], cases[i].leaf);
	}
	ms_model_unref(model);
}

// The same with the members in another order: leaves are numbered from the left all the same.
TEST(catboost_contributions)
{
	struct model *model = load(OBLIVIOUS);
	double row[] = {1, 0, 1}, out[4], raw;
	row[1] = color(model, "red");
	test_predict_one(model, MODEL_OUTPUT_CONTRIBUTIONS, row, out);
	test_predict_one(model, MODEL_OUTPUT_RAW, row, &raw);
	// All leaves weigh the same, so each test adds half of what its bit changes: 1, 2 and 4; and the scale is 2.
	CHECK(fabs(out[0] - 2 * 0.5) < 1e-12 && fabs(out[1] - 2 * 1) < 1e-12 && fabs(out[2] - 2 * 2) < 1e-12);
	CHECK(fabs(out[3] - (2 * (4.5 + 0.5) + 10)) < 1e-12);
	CHECK(fabs(out[0] + out[1] + out[2] + out[3] - raw) < 1e-12);
	ms_model_unref(model);
	model = load(NESTED); // two leaves have no weight
	CHECK_HAS(ms_model_output_absence(model, MODEL_OUTPUT_CONTRIBUTIONS), "leaf_weights");
	ms_model_unref(model);
}

TEST(catboost_members_may_come_in_any_order)
{
	struct buf text;
	test_replace(&text, NESTED,
		     "{\"left\":{\"value\":[2,-2]},\"right\":{\"value\":[3,-3]},\"split\":" SPLIT_RED "}",
		     "{\"split\":" SPLIT_RED ",\"right\":{\"value\":[3,-3]},\"left\":{\"value\":[2,-2]}}");
	struct model *model = load(text.p);
	double out[2], row[] = {1, color(model, "red"), 0};
	test_predict_one(model, MODEL_OUTPUT_LEAF, row, out);
	CHECK_F64(out[0], 2);
	ms_model_unref(model);
	ms_buf_fini(&text);
}

TEST(catboost_bias_has_two_forms)
{
	static const char *const forms[] = {"[2,10]", "[2,[10]]", "[2, 1e1]"};
	for (size_t i = 0; i < MS_ARRAY_LEN(forms); i++) {
		struct buf text;
		double out;
		test_replace(&text, OBLIVIOUS, "[2,[10]]", forms[i]);
		struct model *model = load(text.p);
		test_predict_one(model, MODEL_OUTPUT_RAW, (double[]){0, 0, 0}, &out);
		CHECK_F64(out, 13);
		ms_model_unref(model);
		ms_buf_fini(&text);
	}
}

TEST(catboost_default_outputs_follow_the_loss)
{
	static const struct {
		const char *loss;
		double from_raw; // what predict() makes of the raw score 13
		enum model_task task;
	} cases[] = {
		{"RMSE", 13, MODEL_REGRESSION},           {"Quantile", 13, MODEL_REGRESSION},
		{"LogLinQuantile", 13, MODEL_REGRESSION}, {"Poisson", -1, MODEL_REGRESSION},
		{"Tweedie", -1, MODEL_REGRESSION},        {"YetiRank", 13, MODEL_RANKING},
		{"CrossEntropy", -2, MODEL_BINARY},       {"MultiLogloss", -2, MODEL_BINARY},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct buf text;
		double out;
		test_replace(&text, OBLIVIOUS, "Logloss", cases[i].loss);
		struct model *model = load(text.p);
		test_predict_one(model, MODEL_OUTPUT_DEFAULT, (double[]){0, 0, 0}, &out);
		CHECK_F64(out, cases[i].from_raw == -1   ? exp(13.0)
			       : cases[i].from_raw == -2 ? 1 / (1 + exp(-13.0))
							 : cases[i].from_raw);
		CHECK_INT(ms_model_info(model)->task, cases[i].task);
		ms_model_unref(model);
		ms_buf_fini(&text);
	}
}

TEST(catboost_label_of_a_set_threshold_is_not_guessed)
{
	struct buf text;
	test_replace(&text, OBLIVIOUS, "\"model_info\":{",
		     "\"model_info\":{\"binclass_probability_threshold\":\"0.3\",");
	struct model *model = load(text.p);
	CHECK_INT(ms_model_output_width(model, MODEL_OUTPUT_LABEL), 0);
	CHECK_INT(ms_model_output_width(model, MODEL_OUTPUT_PROBABILITY), 2);
	ms_model_unref(model);
	ms_buf_fini(&text);
}

TEST(catboost_refuses_what_it_can_not_answer)
{
	static const struct test_change changes[] = {
		{"\"features_info\":{", "\"features_info\":{\"ctrs\":[{\"a\":[1]},{}],", MS_ERR_MODEL_UNSUPPORTED,
		 "the model uses 2 target statistics of categories (CTR)"},
		{"\"features_info\":{", "\"features_info\":{\"text_features\":[{}],", MS_ERR_MODEL_UNSUPPORTED,
		 "1 text features"},
		{"\"features_info\":{", "\"features_info\":{\"embedding_features\":[{}],", MS_ERR_MODEL_UNSUPPORTED,
		 "1 embedding features"},
		{"OneHotFeature", "OnlineCtr", MS_ERR_MODEL_UNSUPPORTED, "splits of the type 'OnlineCtr'"},
		{"AsTrue", "AsMaybe", MS_ERR_MODEL_UNSUPPORTED, "'AsMaybe' is not known"},
	};
	test_changes(OBLIVIOUS, JSON, changes, MS_ARRAY_LEN(changes));
}

TEST(catboost_refuses_bad_models)
{
	static const struct test_change changes[] = {
		{"\"features_info\":", "\"features\":", MS_ERR_MODEL_FORMAT, "'features_info' is missing"},
		{"\"oblivious_trees\":", "\"other_trees\":", MS_ERR_MODEL_FORMAT, "'oblivious_trees' is missing"},
		{"\"scale_and_bias\"", "\"trees\":[],\"scale_and_bias\"", MS_ERR_MODEL_FORMAT,
		 "both 'oblivious_trees' and"},
		{"\"scale_and_bias\"", "\"features_info\"", MS_ERR_MODEL_FORMAT, "'features_info' comes twice"},
		{"[2,[10]]", "[2]", MS_ERR_MODEL_FORMAT, "found 1 items"},
		{"[2,[10]]", "[2,[10],3]", MS_ERR_MODEL_FORMAT, "found more"},
		{"[2,[10]]", "[2,[10,11]]", MS_ERR_MODEL_FORMAT, "has 2 biases"},
		{"[2,[10]]", "[2,[10]]]", MS_ERR_MODEL_FORMAT, "line 1"},
		{"\"border\":0.5", "\"border\":1e300", MS_ERR_MODEL_FORMAT, "no float of 32 bits"},
		{"\"border\":0.5,", "", MS_ERR_MODEL_FORMAT, "'border' is missing"},
		{"\"border\":0.5,\"float_feature_index\":0", "\"border\":0.5,\"float_feature_index\":2",
		 MS_ERR_MODEL_FORMAT, "float feature 2 is not among"},
		{"\"border\":0.5,\"float_feature_index\":0", "\"border\":0.5,\"float_feature_index\":-1",
		 MS_ERR_MODEL_FORMAT, "float feature -1 is not among"},
		{"\"cat_feature_index\":0", "\"cat_feature_index\":1", MS_ERR_MODEL_FORMAT,
		 "categorical feature 1 is not among"},
		{"\"value\":" RED, "\"value\":77", MS_ERR_MODEL_FORMAT, "77 is not among the values"},
		{"\"value\":" RED, "\"value\":99999999999", MS_ERR_MODEL_FORMAT, "99999999999 is not among"},
		{"\"values\":[" BLUE, "\"values\":[99999999999", MS_ERR_MODEL_FORMAT, "no hash of 32 bits"},
		{"[1,2,3,4,5,6,7,8]", "[1,2,3,4,5,6,7]", MS_ERR_MODEL_FORMAT, "tree 0: leaf_values has 7 items"},
		{"[1,2,3,4,5,6,7,8]", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]", MS_ERR_MODEL_FORMAT,
		 "tree 1: leaf_values has 1 items, expected 2^0 leaves of 2"},
		{"[1,2,3,4,5,6,7,8]", "[]", MS_ERR_MODEL_FORMAT, "tree 0: leaf_values has 0 items"},
		{"[1,1,1,1,1,1,1,1]", "[1,1,1,1,1,1,1]", MS_ERR_MODEL_FORMAT,
		 "tree 0: leaf_weights has 7 items, expected 2^3"},
		{"\"leaf_values\":[0.5],", "", MS_ERR_MODEL_FORMAT, "tree 1, oblivious_trees: "},
		{"\"feature_index\":1,\"flat_feature_index\":2", "\"feature_index\":0,\"flat_feature_index\":2",
		 MS_ERR_MODEL_FORMAT, "two features have the same feature_index 0"},
		{"\"feature_index\":1,\"flat_feature_index\":2", "\"feature_index\":1,\"flat_feature_index\":1",
		 MS_ERR_MODEL_FORMAT, "two features have the same flat_feature_index 1"},
		{"\"feature_index\":1,\"flat_feature_index\":2", "\"feature_index\":1,\"flat_feature_index\":-2",
		 MS_ERR_MODEL_FORMAT, "the index -2 is out of range"},
		{"\"feature_index\":1,\"flat_feature_index\":2", "\"feature_index\":1,\"flat_feature_index\":1000000",
		 MS_ERR_MODEL_FORMAT, "the index 1000000 is out of range"},
		{"\"feature_id\":\"y\",\"feature_index\":1,", "", MS_ERR_MODEL_FORMAT, "'feature_index' is missing"},
		{"\"feature_id\":\"y\"", "\"feature_id\":\"color\"", MS_ERR_MODEL_FORMAT, "same name"},
	};
	static const struct test_change nested[] = {
		{"{\"value\":[2,-2]}", "{\"value\":[2]}", MS_ERR_MODEL_FORMAT, "a leaf has 1 values, expected 2"},
		{"{\"value\":[2,-2]}", "{\"value\":2}", MS_ERR_MODEL_FORMAT, "a leaf has 1 values, expected 2"},
		{"{\"value\":[1,-1]", "{\"value\":[]", MS_ERR_MODEL_FORMAT, "a leaf has 0 values"},
		{"{\"value\":[2,-2]}", "{}", MS_ERR_MODEL_FORMAT, "'left' is missing"},
		{"{\"value\":[2,-2]}", "7", MS_ERR_MODEL_FORMAT, "tree 0, trees"},
		{"{\"value\":[2,-2]}", "{\"value\":[2,-2],\"split\":" SPLIT_X "}", MS_ERR_MODEL_FORMAT,
		 "a split at once"},
		{",\"split\":" SPLIT_RED, "", MS_ERR_MODEL_FORMAT, "'split' is missing"},
		{"\"value\":[0.25,0.75]", "\"value\":[0.25,0.75,1]", MS_ERR_MODEL_FORMAT, "tree 1, "},
		{"MultiClass", "Logloss", MS_ERR_MODEL_FORMAT, "trained for Logloss can not have 2 outputs"},
	};
	test_changes(OBLIVIOUS, JSON, changes, MS_ARRAY_LEN(changes));
	test_changes(NESTED, JSON, nested, MS_ARRAY_LEN(nested));
}

TEST(catboost_bounds_nesting)
{
	struct buf text, deep;
	ms_buf_init(&deep, (size_t)1 << 20);
	for (int i = 0; i < 2000; i++)
		ms_buf_append_cstr(&deep, "{\"left\":");
	test_replace(&text, NESTED, "{\"value\":[2,-2]}", ms_buf_ok(&deep) ? deep.p : "");
	test_refused(ms_buf_slice(&text), JSON, NULL, MS_ERR_MODEL_FORMAT, "nest");
	ms_buf_fini(&text);
	ms_buf_fini(&deep);
}

TEST(catboost_survives_truncation_and_changed_bytes)
{
	test_truncations(MS_SLICE_LIT(OBLIVIOUS), JSON);
	test_truncations(MS_SLICE_LIT(NESTED), JSON);
	test_flips(MS_SLICE_LIT(OBLIVIOUS), JSON);
	test_flips(MS_SLICE_LIT(NESTED), JSON);
}

static void load_under_torture(void)
{
	static const char *const texts[] = {OBLIVIOUS, NESTED};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		struct model *model = NULL;
		struct errinfo info;
		ms_errinfo_init(&info);
		enum ms_err err = ms_model_load(ms_slice_cstr(texts[i]), JSON, NULL, &info, &model);
		CHECK((err == MS_OK) == (model != NULL));
		CHECK(err == MS_OK || ms_test_allocation_failed());
		ms_model_unref(model);
	}
}

TEST(catboost_survives_failing_allocations)
{
	ms_test_torture(load_under_torture);
}
