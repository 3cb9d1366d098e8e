// SPDX-License-Identifier: Apache-2.0
// What is common to all formats: names, detection, references, transforms.
#include <math.h>

#include "model/model.h"
#include "model/transform.h"
#include "tests/lib/test.h"

TEST(model_names_round_trip)
{
	for (int i = 0; i < MODEL_FORMAT_COUNT; i++) {
		enum model_format format = MODEL_FORMAT_COUNT;
		CHECK(ms_model_format_parse(ms_slice_cstr(ms_model_format_name((enum model_format)i)), &format));
		CHECK_INT(format, i);
	}
	for (int i = 0; i < MODEL_OUTPUT_COUNT; i++) {
		enum model_output output = MODEL_OUTPUT_COUNT;
		CHECK(ms_model_output_parse(ms_slice_cstr(ms_model_output_name((enum model_output)i)), &output));
		CHECK_INT(output, i);
	}
	enum model_format format;
	enum model_output output;
	CHECK(!ms_model_format_parse(MS_SLICE_LIT("pickle"), &format));
	CHECK(!ms_model_output_parse(MS_SLICE_LIT("RAW"), &output));
	CHECK_STR(ms_model_format_name(MODEL_FORMAT_XGBOOST_UBJSON), "xgboost-ubjson");
	CHECK_STR(ms_model_task_name(MODEL_RANKING), "ranking");
}

TEST(model_detects_formats_and_names_foreign_ones)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *message;
	} cases[] = {
		{"", 0, "is empty"},
		{"\x80\x04\x95", 3, "Python pickle"},
		{"CBM1xxxx", 8, "CatBoost's binary format"},
		{"binf....", 8, "XGBoost's old binary format"},
		{"PK\x03\x04", 4, "ZIP archive"},
		{"hello", 5, "none of LightGBM text"},
		{"{\"a\":1}", 7, "no model of XGBoost"},
		{"{\"a\":", 5, "line 1"},
		{"tree", 4, "none of LightGBM text"},
		{"tree\n", 5, "no \"num_class\""}, // LightGBM's reader took over
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct errinfo info;
		struct model *m = NULL;
		ms_errinfo_init(&info);
		enum ms_err err =
			ms_model_load(ms_slice(cases[i].bytes, cases[i].n), MODEL_FORMAT_AUTO, NULL, &info, &m);
		CHECK(err != MS_OK && m == NULL);
		CHECK_HAS(info.message, cases[i].message);
	}
}

TEST(model_lives_as_long_as_a_reference)
{
	static const char text[] = "{\"coefficients\":[1],\"format\":\"mainstay-linear\",\"version\":1}";
	struct model *m = NULL;
	REQUIRE(ms_model_load(ms_slice(text, sizeof(text) - 1), MODEL_FORMAT_AUTO, NULL, NULL, &m) == MS_OK);
	struct model *same = ms_model_ref(m);
	CHECK(same == m);
	ms_model_unref(m);
	CHECK_INT(ms_model_info(same)->feature_count, 1);
	ms_model_unref(same);
	ms_model_unref(NULL);
}

static struct model *asked; // by predict_all, which takes no argument

static void predict_all(void)
{
	static double row[16], out[4096];
	_Alignas(16) static char scratch[1 << 20];
	REQUIRE(ms_model_scratch_size(asked) <= sizeof(scratch) && ms_model_info(asked)->feature_count <= 16);
	for (int o = 0; o < MODEL_OUTPUT_COUNT; o++) {
		size_t width = ms_model_output_width(asked, (enum model_output)o);
		REQUIRE(width <= MS_ARRAY_LEN(out));
		if (width > 0)
			ms_model_predict(asked, &MS_MODEL_QUERY((enum model_output)o), row, 1, scratch, out);
	}
	CHECK(!ms_test_allocation_failed()); // there was none that could fail
}

TEST(model_predicts_without_memory)
{
	static const char *const files[] = {
		"tests/golden/lightgbm4-categorical-multiclass/model.txt",
		"tests/golden/lightgbm4-linear/model.txt",
		"tests/golden/xgboost1-logistic/model.json",
		"tests/golden/catboost1-multiclass/model.json",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(files); i++) {
		REQUIRE(ms_model_load(ms_test_file(files[i]), MODEL_FORMAT_AUTO, NULL, NULL, &asked) == MS_OK);
		ms_test_torture(predict_all);
		ms_model_unref(asked);
	}
}

static void check_transform(enum transform_kind kind, bool single, double scale, const double *raw, size_t n,
			    const double *want)
{
	struct transform t = {.kind = kind, .single = single, .scale = scale};
	double out[4];
	memcpy(out, raw, n * sizeof(*raw));
	ms_transform_apply(&t, out, n, out); // in place
	for (size_t i = 0; i < ms_transform_width(&t, n); i++)
		CHECK_F64(out[i], want[i]);
}

TEST(transform_formulas)
{
	const double x[] = {-1, 0.5, 2};
	check_transform(TRANSFORM_IDENTITY, false, 1, x, 3, x);
	check_transform(TRANSFORM_SIGMOID, false, 2, x, 3,
			(double[]){1 / (1 + exp(2)), 1 / (1 + exp(-1)), 1 / (1 + exp(-4))});
	check_transform(TRANSFORM_SIGMOID, true, 1, x, 1, (double[]){(double)(1 / (1 + expf(1)))});
	check_transform(TRANSFORM_EXP, false, 1, x, 1, (double[]){exp(-1)});
	check_transform(TRANSFORM_EXP, true, 1, x, 1, (double[]){(double)expf(-1)});
	check_transform(TRANSFORM_LOG1P_EXP, false, 1, x, 1, (double[]){log1p(exp(-1))});
	check_transform(TRANSFORM_SIGNED_SQUARE, false, 1, x, 3, (double[]){-1, 0.25, 4});
	check_transform(TRANSFORM_HINGE, true, 1, x, 3, (double[]){0, 1, 1});
	check_transform(TRANSFORM_ARGMAX, true, 1, (double[]){1, 3, 3}, 3, (double[]){1});
	check_transform(TRANSFORM_SORT, true, 1, (double[]){3, -1, 2}, 3, (double[]){-1, 2, 3});
	double sum = exp(-3) + exp(-1.5) + 1;
	check_transform(TRANSFORM_SOFTMAX, false, 1, x, 3, (double[]){exp(-3) / sum, exp(-1.5) / sum, 1 / sum});
	check_transform(TRANSFORM_SOFTMAX, false, 1, (double[]){1e308, -1e308}, 2, (double[]){1, 0});
	check_transform(TRANSFORM_SIGMOID, true, 1, (double[]){-1000}, 1, (double[]){(double)(1 / (expf(88.7f) + 1))});
	check_transform(TRANSFORM_SIGMOID, false, 1, (double[]){-1000, 1000, NAN}, 3, (double[]){0, 1, NAN});
	struct transform average = {.kind = TRANSFORM_EXP, .scale = 1, .divisor = 4};
	double out[2], raw[] = {8, -4};
	ms_transform_apply(&average, raw, 2, out);
	CHECK_F64(out[0], exp(2));
	CHECK_F64(out[1], exp(-1));
}

struct steps {
	size_t calls, done, total;
	bool backwards;
};

static void note_progress(void *context, size_t done, size_t total)
{
	struct steps *s = context;
	s->backwards |= done < s->done || done > total;
	*s = (struct steps){s->calls + 1, done, total, s->backwards};
}

// One call a tree, in every format, up to near the end of the file.
TEST(model_loading_tells_its_progress)
{
	static const struct {
		const char *path;
		size_t trees;
	} files[] = {
		{"examples/models/penguins/v1.0.0/model.txt", 60},
		{"examples/models/breast-cancer/v1.0.0/model.json", 0},
		{"examples/models/wine/v1.0.0/model.json", 0},
		{"tests/golden/catboost1-lossguide/model.json", 0},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(files); i++) {
		struct slice bytes = ms_test_file(files[i].path);
		struct steps steps = {0};
		struct model_options options = MS_MODEL_DEFAULT_OPTIONS;
		struct model *model;
		options.progress = note_progress;
		options.progress_context = &steps;
		REQUIRE(ms_model_load(bytes, MODEL_FORMAT_AUTO, &options, NULL, &model) == MS_OK);
		CHECK_INT(steps.calls, ms_model_info(model)->tree_count);
		CHECK(files[i].trees == 0 || steps.calls == files[i].trees);
		CHECK_INT(steps.total, bytes.n);
		CHECK(steps.done > bytes.n / 4 && !steps.backwards);
		ms_model_unref(model);
	}
}
