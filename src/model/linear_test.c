// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/linear.h"
#include "model/model.h"
#include "tests/lib/test.h"

#define HEAD "{\"format\":\"mainstay-linear\",\"version\":1,"

static const char FULL[] =
	HEAD "\"task\":\"multiclass\",\"link\":\"softmax\",\"features\":[\"a\",\"b\"],\"labels\":[\"x\",\"y\",\"z\"],"
	     "\"coefficients\":[[1,2],[3,4],[5,6]],\"intercepts\":[0.5,0,-0.5],\"means\":[1,1],\"scales\":[2,4]}";

static enum ms_err load(struct slice text, struct errinfo *info, struct model **ret_model)
{
	ms_errinfo_init(info);
	return ms_model_load(text, MODEL_FORMAT_AUTO, NULL, info, ret_model);
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

static void predict(const struct model *m, enum model_output output, const double *rows, size_t count, double *out)
{
	void *scratch = aligned_alloc(16, ms_model_scratch_size(m));
	REQUIRE(scratch != NULL);
	ms_model_predict(m, &MS_MODEL_QUERY(output), rows, count, scratch, out);
	free(scratch);
}

TEST(linear_regression)
{
	struct model *m = load_ok(HEAD "\"coefficients\":[0.5,-2],\"intercepts\":1}");
	const struct model_info *info = ms_model_info(m);
	CHECK_INT(info->format, MODEL_FORMAT_LINEAR_JSON);
	CHECK_INT(info->task, MODEL_REGRESSION);
	CHECK(!info->named_features && info->labels == NULL);
	CHECK_SLICE(info->features[1].name, "f1");
	CHECK_INT(ms_model_output_width(m, MODEL_OUTPUT_PROBABILITY), 0);
	CHECK_INT(ms_model_output_width(m, MODEL_OUTPUT_LABEL), 0);
	CHECK_INT(ms_model_output_width(m, MODEL_OUTPUT_LEAF), 0);
	double rows[] = {2, 3, NAN, 1}, out[2];
	predict(m, MODEL_OUTPUT_DEFAULT, rows, 2, out);
	CHECK_F64(out[0], 1 + 1 - 6.0);
	CHECK_F64(out[1], NAN);
	ms_model_unref(m);
	m = load_ok(HEAD "\"link\":\"log\",\"coefficients\":[[0.5]]}");
	predict(m, MODEL_OUTPUT_DEFAULT, rows, 1, out);
	CHECK_F64(out[0], exp(1));
	ms_model_unref(m);
}

TEST(linear_logistic)
{
	struct model *m = load_ok(HEAD "\"link\":\"logit\",\"coefficients\":[1],\"labels\":[\"no\",\"yes\"]}");
	CHECK_INT(ms_model_info(m)->task, MODEL_BINARY);
	CHECK_SLICE(ms_model_info(m)->labels[1], "yes");
	double rows[200], out[400];
	for (int i = 0; i < 200; i++) // more rows than one chunk
		rows[i] = i - 100;
	predict(m, MODEL_OUTPUT_PROBABILITY, rows, 200, out);
	for (int i = 0; i < 200; i++) {
		CHECK_F64(out[2 * i + 1], 1 / (1 + exp(-rows[i])));
		CHECK_F64(out[2 * i], 1 - out[2 * i + 1]);
	}
	predict(m, MODEL_OUTPUT_LABEL, rows, 200, out);
	for (int i = 0; i < 200; i++)
		CHECK_F64(out[i], rows[i] > 0);
	ms_model_unref(m);
}

TEST(linear_multiclass_with_scaling)
{
	struct model *m = load_ok(FULL);
	CHECK_INT(ms_model_info(m)->class_count, 3);
	double row[] = {5, 9}, raw[3], p[3], label; // scaled: 2, 2
	predict(m, MODEL_OUTPUT_RAW, row, 1, raw);
	CHECK_F64(raw[0], 0.5 + 2 + 4);
	CHECK_F64(raw[1], 14);
	CHECK_F64(raw[2], -0.5 + 10 + 12);
	predict(m, MODEL_OUTPUT_PROBABILITY, row, 1, p);
	double sum = exp(raw[0] - raw[2]) + exp(raw[1] - raw[2]) + 1;
	CHECK_F64(p[1], exp(raw[1] - raw[2]) / sum);
	predict(m, MODEL_OUTPUT_LABEL, row, 1, &label);
	CHECK_F64(label, 2);
	CHECK_INT(ms_model_feature_index(m, MS_SLICE_LIT("b")), 1);
	double parts[9]; // the terms of the sums above
	REQUIRE(ms_model_output_width(m, MODEL_OUTPUT_CONTRIBUTIONS) == 9);
	predict(m, MODEL_OUTPUT_CONTRIBUTIONS, row, 1, parts);
	static const double want[] = {2, 4, 0.5};
	for (int i = 0; i < 3; i++)
		CHECK_F64(parts[i], want[i]);
	CHECK_F64(parts[6] + parts[7] + parts[8], raw[2]);
	CHECK_INT(ms_model_output_width(m, MODEL_OUTPUT_TREE), 0);
	ms_model_unref(m);
}

// XGBoost's linear booster: f32 throughout, absent values add nothing.
TEST(linear_single_precision)
{
	const double start[] = {(double)0.1f}, weights[] = {(double)0.3f, 0x1p24};
	struct linear_model m = {
		.feature_count = 2, .output_count = 1, .single = true, .start = start, .weights = weights};
	double row[] = {1.1, 1}, out;
	ms_linear_raw(&m, row, 1, &out);
	CHECK_F64(out, (double)(0.1f + 0.3f * 1.1f + 0x1p24f));
	row[1] = NAN;
	ms_linear_raw(&m, row, 1, &out);
	CHECK_F64(out, NAN);
	m.skip_missing = true;
	ms_linear_raw(&m, row, 1, &out);
	CHECK_F64(out, (double)(0.1f + 0.3f * 1.1f));
}

TEST(linear_says_what_is_wrong)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"{\"coefficients\":[1]}", "\"format\" must be"},
		{"{\"format\":\"mainstay-linear\",\"coefficients\":[1]}", "\"version\" must be 1"},
		{"{\"format\":\"mainstay-linear\",\"version\":2,\"coefficients\":[1]}", "version\" 2 is not known"},
		{HEAD "\"coefficients\":[]}", "must be a list"},
		{HEAD "\"coefficients\":[[]]}", "empty list"},
		{HEAD "\"coefficients\":[[1,2],[3]]}", "list 1 differs"},
		{HEAD "\"coefficients\":[1,\"2\"]}", "a finite number is expected, not a string"},
		{HEAD "\"coefficients\":[1],\"intercepts\":[1,2]}", "\"intercepts\": a list of 1 numbers"},
		{HEAD "\"coefficients\":[1],\"scales\":[0]}", "number 0 is 0"},
		{HEAD "\"coefficients\":[1],\"feature\":[\"a\"]}", "did you mean \"features\"?"},
		{HEAD "\"coefficients\":[1],\"features\":[\"\"]}", "item 0 must be a string"},
		{HEAD "\"coefficients\":[1,2],\"features\":[\"a\",\"a\"]}", "same name"},
		{HEAD "\"coefficients\":[1],\"link\":\"probit\"}", "\"link\" must be"},
		{HEAD "\"coefficients\":[1],\"task\":\"x\"}", "\"task\" must be"},
		{HEAD "\"coefficients\":[1],\"labels\":[\"a\"]}", "a regression model has none"},
		{HEAD "\"coefficients\":[1],\"link\":\"softmax\"}", "a list of coefficients for each class"},
		{HEAD "\"coefficients\":[[1],[2]],\"task\":\"binary\"}", "one list of coefficients, not 2"},
		{HEAD "\"coefficients\":[1],\"coefficients\":[1]}", "coefficients"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct errinfo info;
		struct model *m = NULL;
		CHECK(load(ms_slice_cstr(cases[i].text), &info, &m) != MS_OK);
		CHECK_HAS(info.message, cases[i].message);
		ms_model_unref(m);
	}
}

static void load_once(void)
{
	struct errinfo info;
	struct model *m = NULL;
	enum ms_err err = load(ms_slice(FULL, sizeof(FULL) - 1), &info, &m);
	CHECK(err == MS_OK || ms_test_allocation_failed());
	if (err == MS_OK)
		ms_model_unref(m);
}

TEST(linear_every_allocation_fails_once)
{
	ms_test_torture(load_once);
}

TEST(linear_cut_at_every_byte)
{
	for (size_t n = 0; n < sizeof(FULL) - 1; n++) {
		char *copy = malloc(n + 1);
		REQUIRE(copy != NULL);
		memcpy(copy, FULL, n);
		struct errinfo info;
		struct model *m = NULL;
		CHECK(load(ms_slice(copy, n), &info, &m) != MS_OK);
		CHECK(info.message[0] != '\0');
		free(copy);
	}
}
