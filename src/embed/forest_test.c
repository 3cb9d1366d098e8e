// SPDX-License-Identifier: Apache-2.0
#include <mainstay/forest.h>

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/model.h"
#include "tests/lib/test.h"

static const char LINEAR[] =
	"{\"format\":\"mainstay-linear\",\"version\":1,\"task\":\"multiclass\",\"link\":\"softmax\","
	"\"features\":[\"a\",\"b\"],\"labels\":[\"x\",\"y\",\"z\"],\"coefficients\":[[1,2],[3,4],[5,6]]}";

static struct mainstay_forest *load_text(const char *text)
{
	struct mainstay_forest *forest = NULL;
	char error[256];
	enum mainstay_forest_status status =
		mainstay_forest_load(text, strlen(text), NULL, error, sizeof(error), &forest);
	if (status != MAINSTAY_FOREST_OK)
		printf("# %s\n", error);
	REQUIRE(status == MAINSTAY_FOREST_OK);
	CHECK_STR(error, "");
	return forest;
}

static struct mainstay_forest *load_example(const char *path)
{
	struct slice file = ms_test_file(path);
	struct mainstay_forest *forest = NULL;
	REQUIRE(mainstay_forest_load(file.p, file.n, NULL, NULL, 0, &forest) == MAINSTAY_FOREST_OK);
	return forest;
}

static struct mainstay_forest_scratch *scratch_for(const struct mainstay_forest *forest)
{
	struct mainstay_forest_scratch *scratch = NULL;
	REQUIRE(mainstay_forest_scratch_new(forest, &scratch) == MAINSTAY_FOREST_OK);
	return scratch;
}

#define PENGUINS "examples/models/penguins/v1.0.0/model.txt"
#define CANCER "examples/models/breast-cancer/v1.0.0/model.json"

TEST(embed_info_says_what_the_model_is)
{
	struct mainstay_forest *forest = load_text(LINEAR);
	struct mainstay_forest_info info = {.struct_size = sizeof(info)};
	struct mainstay_forest_feature feature = {.struct_size = sizeof(feature)};
	struct mainstay_forest_text text;
	size_t index = 9;
	CHECK_INT(mainstay_forest_get_info(forest, &info), MAINSTAY_FOREST_OK);
	CHECK_STR(info.format, "linear-json");
	CHECK_STR(info.task, "multiclass");
	CHECK_INT(info.feature_count, 2);
	CHECK_INT(info.class_count, 3);
	CHECK_INT(info.raw_count, 3);
	CHECK(info.named_features == 1 && info.has_labels == 1 && info.memory_bytes > 0);
	CHECK(info.kernel_single[0] != '\0' && info.kernel_batch[0] != '\0' && info.kernel_reason != NULL);
	CHECK_INT(mainstay_forest_get_feature(forest, 1, &feature), MAINSTAY_FOREST_OK);
	CHECK_SLICE(ms_slice(feature.name.bytes, feature.name.length), "b");
	CHECK_INT(feature.categorical, 0);
	CHECK_INT(mainstay_forest_get_label(forest, 2, &text), MAINSTAY_FOREST_OK);
	CHECK_SLICE(ms_slice(text.bytes, text.length), "z");
	CHECK_INT(mainstay_forest_find_feature(forest, "b", 1, &index), MAINSTAY_FOREST_OK);
	CHECK_INT(index, 1);
	CHECK_INT(mainstay_forest_output_width(forest, MAINSTAY_FOREST_OUTPUT_PROBABILITY), 3);
	CHECK_INT(mainstay_forest_output_width(forest, MAINSTAY_FOREST_OUTPUT_LEAF), 0);
	mainstay_forest_free(forest);
}

TEST(embed_outputs_are_found_by_name)
{
	enum mainstay_forest_output output = MAINSTAY_FOREST_OUTPUT_DEFAULT;
	CHECK_INT(mainstay_forest_find_output("leaf", &output), MAINSTAY_FOREST_OK);
	CHECK_INT(output, MAINSTAY_FOREST_OUTPUT_LEAF);
	CHECK_INT(mainstay_forest_find_output("leaves", &output), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_find_output(NULL, &output), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(output, MAINSTAY_FOREST_OUTPUT_LEAF);
}

TEST(embed_predicts_as_the_model_module)
{
	struct slice file = ms_test_file(CANCER);
	struct mainstay_forest *forest = load_example(CANCER);
	struct mainstay_forest_scratch *scratch = scratch_for(forest);
	struct model *model = NULL;
	REQUIRE(ms_model_load(file, MODEL_FORMAT_AUTO, NULL, NULL, &model) == MS_OK);
	void *memory = malloc(ms_model_scratch_size(model));
	enum { COLUMNS = 30, ROWS = 2500 }; // more than one block of floats
	double *rows = malloc(COLUMNS * ROWS * sizeof(*rows)), *want, *got;
	float *narrow = malloc(COLUMNS * ROWS * sizeof(*narrow));
	REQUIRE(memory != NULL && rows != NULL && narrow != NULL);
	for (size_t i = 0; i < (size_t)COLUMNS * ROWS; i++) {
		narrow[i] = i % 17 == 0 ? NAN : (float)(ms_rand_double(ms_test_rand()) * 100);
		rows[i] = (double)narrow[i];
	}
	for (int o = 0; o < MODEL_OUTPUT_COUNT; o++) {
		size_t n = ms_model_output_width(model, (enum model_output)o) * ROWS;
		CHECK_INT(mainstay_forest_output_width(forest, (enum mainstay_forest_output)o) * ROWS, n);
		want = malloc(n * sizeof(*want));
		got = malloc(2 * n * sizeof(*got));
		REQUIRE(n > 0 && want != NULL && got != NULL);
		ms_model_predict(model, &MS_MODEL_QUERY((enum model_output)o), rows, ROWS, memory, want);
		CHECK_INT(mainstay_forest_predict_f64(forest, scratch, (enum mainstay_forest_output)o, rows, ROWS, got,
						      n),
			  MAINSTAY_FOREST_OK);
		CHECK_INT(mainstay_forest_predict_f32(forest, scratch, (enum mainstay_forest_output)o, narrow, ROWS,
						      got + n, n),
			  MAINSTAY_FOREST_OK);
		CHECK(memcmp(got, want, n * sizeof(*want)) == 0);
		CHECK(memcmp(got + n, want, n * sizeof(*want)) == 0);
		free(want);
		free(got);
	}
	free(memory);
	free(rows);
	free(narrow);
	ms_model_unref(model);
	mainstay_forest_scratch_free(scratch);
	mainstay_forest_free(forest);
}

TEST(embed_encodes_categories)
{
	struct mainstay_forest *forest = load_example(PENGUINS);
	struct mainstay_forest_feature feature = {.struct_size = sizeof(feature)};
	struct mainstay_forest_text text;
	char error[128];
	double value = 7;
	CHECK_INT(mainstay_forest_get_feature(forest, 0, &feature), MAINSTAY_FOREST_OK);
	CHECK(feature.categorical && feature.takes_strings && !feature.any_string);
	CHECK_INT(feature.category_count, 3);
	CHECK_INT(mainstay_forest_get_category(forest, 0, 1, &text), MAINSTAY_FOREST_OK);
	CHECK_SLICE(ms_slice(text.bytes, text.length), "Chinstrap");
	CHECK_INT(mainstay_forest_get_category(forest, 0, 3, &text), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_encode_string(forest, 0, "Chinstrap", 9, error, sizeof(error), &value), 0);
	CHECK_F64(value, 1);
	CHECK_INT(mainstay_forest_encode_string(forest, 0, "Emperor", 7, NULL, 0, &value), MAINSTAY_FOREST_OK);
	CHECK(isnan(value));
	CHECK_INT(mainstay_forest_encode_string(forest, 3, "39.1", 4, error, sizeof(error), &value),
		  MAINSTAY_FOREST_ERR_CATEGORY);
	CHECK_HAS(error, "takes numbers");
	CHECK(isnan(value));
	CHECK_INT(mainstay_forest_encode_number(forest, 3, 39.5, error, sizeof(error), &value), MAINSTAY_FOREST_OK);
	CHECK_F64(value, 39.5);
	CHECK_INT(mainstay_forest_encode_number(forest, 8, 1, error, sizeof(error), &value),
		  MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_encode_string(forest, 8, "x", 1, error, sizeof(error), &value),
		  MAINSTAY_FOREST_ERR_ARGUMENT);
	mainstay_forest_free(forest);
}

static void check_refused(const char *text, const struct mainstay_forest_options *options,
			  enum mainstay_forest_status want, const char *part)
{
	struct mainstay_forest *forest = NULL;
	char error[512];
	CHECK_INT(mainstay_forest_load(text, text != NULL ? strlen(text) : 0, options, error, sizeof(error), &forest),
		  want);
	CHECK_HAS(error, part);
	CHECK(forest == NULL);
}

TEST(embed_refuses_wrong_files_and_options)
{
	struct mainstay_forest_options o = {.struct_size = sizeof(o)};
	struct {
		struct mainstay_forest_options known;
		uint64_t unknown;
	} newer = {.known = {.struct_size = sizeof(newer)}};
	check_refused("", NULL, MAINSTAY_FOREST_ERR_FORMAT, "empty");
	check_refused(NULL, NULL, MAINSTAY_FOREST_ERR_FORMAT, "empty");
	check_refused("hello", NULL, MAINSTAY_FOREST_ERR_FORMAT, "none of LightGBM");
	check_refused("PK\x03\x04", NULL, MAINSTAY_FOREST_ERR_UNSUPPORTED, "ZIP");
	o.max_file_bytes = 10;
	check_refused(LINEAR, &o, MAINSTAY_FOREST_ERR_TOO_LARGE, "at most 10");
	o = (struct mainstay_forest_options){.struct_size = sizeof(o), .format = "pmml"};
	check_refused(LINEAR, &o, MAINSTAY_FOREST_ERR_ARGUMENT, "format \"pmml\"");
	o = (struct mainstay_forest_options){.struct_size = sizeof(o), .kernel = "fast"};
	check_refused(LINEAR, &o, MAINSTAY_FOREST_ERR_ARGUMENT, "kernel \"fast\"");
	o = (struct mainstay_forest_options){.struct_size = sizeof(o), .instruction_set = "mmx"};
	check_refused(LINEAR, &o, MAINSTAY_FOREST_ERR_ARGUMENT, "instruction set \"mmx\"");
	o = (struct mainstay_forest_options){.struct_size = sizeof(o), .format = "xgboost-json"};
	check_refused(LINEAR, &o, MAINSTAY_FOREST_ERR_FORMAT, "");
	o = (struct mainstay_forest_options){0};
	check_refused(LINEAR, &o, MAINSTAY_FOREST_ERR_ARGUMENT, "struct_size");
	newer.unknown = 1;
	check_refused(LINEAR, &newer.known, MAINSTAY_FOREST_ERR_ARGUMENT, "does not know");
	newer.unknown = 0;
	struct mainstay_forest *forest = NULL;
	CHECK_INT(mainstay_forest_load(LINEAR, strlen(LINEAR), &newer.known, NULL, 0, &forest), MAINSTAY_FOREST_OK);
	mainstay_forest_free(forest);
}

static void count_call(void *context, size_t done, size_t total)
{
	*(size_t *)context += done <= total;
}

TEST(embed_loading_tells_its_progress)
{
	size_t calls = 0;
	struct slice file = ms_test_file(PENGUINS);
	struct mainstay_forest_options o = {
		.struct_size = sizeof(o), .progress = count_call, .progress_context = &calls};
	struct mainstay_forest *forest = NULL;
	CHECK_INT(mainstay_forest_load(file.p, file.n, &o, NULL, 0, &forest), MAINSTAY_FOREST_OK);
	CHECK_INT(calls, 60); // trees
	mainstay_forest_free(forest);
}

TEST(embed_error_text_is_cut)
{
	struct mainstay_forest *forest = NULL;
	char error[8] = "1234567";
	CHECK_INT(mainstay_forest_load("hello", 5, NULL, error, 5, &forest), MAINSTAY_FOREST_ERR_FORMAT);
	CHECK_STR(error, "the ");
	CHECK_INT(error[5], '6');
	CHECK_INT(mainstay_forest_load("hello", 5, NULL, error, 0, &forest), MAINSTAY_FOREST_ERR_FORMAT);
	CHECK_STR(error, "the ");
}

TEST(embed_reads_files)
{
	struct mainstay_forest *forest = NULL;
	struct mainstay_forest_options o = {.struct_size = sizeof(o), .max_file_bytes = 4};
	char path[4096], error[256];
	const char *dir = ms_test_temp_dir();
	snprintf(path, sizeof(path), "%s/model.json", dir);
	CHECK_INT(mainstay_forest_load_file(path, NULL, error, sizeof(error), &forest), MAINSTAY_FOREST_ERR_FILE);
	CHECK_HAS(error, "No such file");
	FILE *file = fopen(path, "wb");
	REQUIRE(file != NULL && fwrite(LINEAR, 1, sizeof(LINEAR) - 1, file) == sizeof(LINEAR) - 1);
	fclose(file);
	CHECK_INT(mainstay_forest_load_file(path, &o, error, sizeof(error), &forest), MAINSTAY_FOREST_ERR_TOO_LARGE);
	CHECK_INT(mainstay_forest_load_file(dir, NULL, error, sizeof(error), &forest), MAINSTAY_FOREST_ERR_FILE);
	CHECK_HAS(error, "no regular file");
	CHECK_INT(mainstay_forest_load_file(NULL, NULL, error, sizeof(error), &forest), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK(forest == NULL);
	CHECK_INT(mainstay_forest_load_file(path, NULL, error, sizeof(error), &forest), MAINSTAY_FOREST_OK);
	mainstay_forest_free(forest);
}

TEST(embed_answers_wrong_arguments)
{
	struct mainstay_forest *forest = load_text(LINEAR), *other = load_text(LINEAR);
	struct mainstay_forest_scratch *scratch = scratch_for(forest), *none = NULL;
	struct mainstay_forest_info info = {0};
	struct mainstay_forest_feature feature = {.struct_size = sizeof(feature)};
	struct mainstay_forest_text text;
	double row[2] = {1, 2}, out[3] = {7, 7, 7};
	const enum mainstay_forest_output output = MAINSTAY_FOREST_OUTPUT_DEFAULT;
	size_t index;
	CHECK_INT(mainstay_forest_load(NULL, 5, NULL, NULL, 0, &other), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_load("", 0, NULL, NULL, 0, NULL), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_get_info(forest, &info), MAINSTAY_FOREST_ERR_ARGUMENT); // no struct_size
	CHECK_INT(mainstay_forest_get_info(NULL, &info), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_get_feature(forest, 2, &feature), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_get_label(forest, 3, &text), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_get_category(forest, 0, 0, &text), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_find_feature(forest, "c", 1, &index), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_find_feature(forest, NULL, 1, &index), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_output_width(NULL, output), 0);
	CHECK_INT(mainstay_forest_output_width(forest, (enum mainstay_forest_output)99), 0);
	CHECK_INT(mainstay_forest_scratch_new(NULL, &none), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_predict_f64(NULL, scratch, output, row, 1, out, 3), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_predict_f64(forest, NULL, output, row, 1, out, 3), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_predict_f64(other, scratch, output, row, 1, out, 3), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_predict_f64(forest, scratch, output, NULL, 1, out, 3), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_predict_f64(forest, scratch, output, row, 1, NULL, 3), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_predict_f64(forest, scratch, (enum mainstay_forest_output)99, row, 1, out, 3),
		  MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_predict_f64(forest, scratch, output, row, SIZE_MAX / 2, out, 3),
		  MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_INT(mainstay_forest_predict_f64(forest, scratch, output, row, 1, out, 2), MAINSTAY_FOREST_ERR_SPACE);
	CHECK_INT(mainstay_forest_predict_f64(forest, scratch, MAINSTAY_FOREST_OUTPUT_LEAF, row, 1, out, 3),
		  MAINSTAY_FOREST_ERR_OUTPUT);
	CHECK_INT(mainstay_forest_predict_f32(forest, scratch, output, NULL, 1, out, 3), MAINSTAY_FOREST_ERR_ARGUMENT);
	CHECK_F64(out[0], 7);
	CHECK_INT(mainstay_forest_predict_f64(forest, scratch, output, NULL, 0, NULL, 0), MAINSTAY_FOREST_OK);
	CHECK_STR(mainstay_forest_status_text((enum mainstay_forest_status) - 1), "unknown status");
	for (int s = MAINSTAY_FOREST_OK; s <= MAINSTAY_FOREST_ERR_INTERNAL; s++)
		CHECK(mainstay_forest_status_text((enum mainstay_forest_status)s) != NULL);
	mainstay_forest_free(NULL);
	mainstay_forest_scratch_free(NULL);
	mainstay_forest_free(other);
	mainstay_forest_free(forest); // before its scratch
	mainstay_forest_scratch_free(scratch);
}

// A program that was built with a smaller or a larger structure than the library.
TEST(embed_structures_have_the_callers_size)
{
	struct mainstay_forest *forest = load_text(LINEAR);
	struct {
		struct mainstay_forest_info known;
		uint64_t unknown;
	} newer = {.known = {.struct_size = sizeof(newer)}, .unknown = 5};
	struct mainstay_forest_info older = {.struct_size = offsetof(struct mainstay_forest_info, task),
					     .task = "mine"};
	CHECK_INT(mainstay_forest_get_info(forest, &newer.known), MAINSTAY_FOREST_OK);
	CHECK_INT(newer.known.struct_size, sizeof(newer));
	CHECK_INT(newer.unknown, 0);
	CHECK_INT(mainstay_forest_get_info(forest, &older), MAINSTAY_FOREST_OK);
	CHECK_STR(older.format, "linear-json");
	CHECK_STR(older.task, "mine");
	mainstay_forest_free(forest);
}

static void load_and_predict(void)
{
	struct mainstay_forest *forest = NULL;
	struct mainstay_forest_scratch *scratch = NULL;
	double row[2] = {1, 2}, out[3];
	enum mainstay_forest_status status = mainstay_forest_load(LINEAR, strlen(LINEAR), NULL, NULL, 0, &forest);
	if (status == MAINSTAY_FOREST_OK)
		status = mainstay_forest_scratch_new(forest, &scratch);
	if (status == MAINSTAY_FOREST_OK)
		status = mainstay_forest_predict_f64(forest, scratch, MAINSTAY_FOREST_OUTPUT_RAW, row, 1, out, 3);
	CHECK(status == (ms_test_allocation_failed() ? MAINSTAY_FOREST_ERR_MEMORY : MAINSTAY_FOREST_OK) ||
	      status == MAINSTAY_FOREST_ERR_TOO_LARGE);
	mainstay_forest_scratch_free(scratch);
	mainstay_forest_free(forest);
}

TEST(embed_survives_failing_allocations)
{
	ms_test_torture(load_and_predict);
}

// --- Threads -------------------------------------------------------------------------------------------

enum { THREADS = 4, THREAD_ROWS = 200, ROUNDS = 20, WIDTH = 30 };

struct worker {
	const struct mainstay_forest *forest;
	struct mainstay_forest_scratch *scratch;
	const double *rows, *want;
	int differences;
};

static void *work(void *context)
{
	struct worker *w = context;
	double out[THREAD_ROWS];
	for (int i = 0; i < ROUNDS; i++) {
		enum mainstay_forest_status status = mainstay_forest_predict_f64(
			w->forest, w->scratch, MAINSTAY_FOREST_OUTPUT_DEFAULT, w->rows, THREAD_ROWS, out, THREAD_ROWS);
		w->differences += status != MAINSTAY_FOREST_OK || memcmp(out, w->want, sizeof(out)) != 0;
	}
	return NULL;
}

TEST(embed_threads_share_a_forest)
{
	struct mainstay_forest *forest = load_example(CANCER);
	static double rows[THREAD_ROWS * WIDTH], want[THREAD_ROWS];
	struct worker workers[THREADS];
	pthread_t threads[THREADS];
	for (size_t i = 0; i < MS_ARRAY_LEN(rows); i++)
		rows[i] = ms_rand_double(ms_test_rand()) * 50;
	for (size_t t = 0; t < THREADS; t++)
		workers[t] = (struct worker){forest, scratch_for(forest), rows, want, 0};
	CHECK_INT(mainstay_forest_predict_f64(forest, workers[0].scratch, MAINSTAY_FOREST_OUTPUT_DEFAULT, rows,
					      THREAD_ROWS, want, THREAD_ROWS),
		  MAINSTAY_FOREST_OK);
	for (size_t t = 0; t < THREADS; t++)
		REQUIRE(pthread_create(&threads[t], NULL, work, &workers[t]) == 0);
	for (size_t t = 0; t < THREADS; t++) {
		REQUIRE(pthread_join(threads[t], NULL) == 0);
		CHECK_INT(workers[t].differences, 0);
		mainstay_forest_scratch_free(workers[t].scratch);
	}
	mainstay_forest_free(forest);
}
