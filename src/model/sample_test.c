// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/loader_test.h"

enum { ROWS = 2000 };

static double *draw(const struct model *m, uint64_t seed)
{
	double *rows = calloc(ROWS * ms_model_info(m)->feature_count + 1, sizeof(*rows));
	REQUIRE(rows != NULL && ms_model_draw_rows(m, seed, ROWS, rows) == MS_OK);
	return rows;
}

// The share of the leaves that the rows reach.
static double leaves_reached(const struct model *m, const double *rows, size_t leaf_count)
{
	size_t trees = ms_model_output_width(m, MODEL_OUTPUT_LEAF), reached = 0;
	double *leaves = malloc(ROWS * trees * sizeof(*leaves));
	bool *seen = calloc(trees * 4096, sizeof(*seen));
	void *scratch = malloc(ms_model_scratch_size(m));
	REQUIRE(leaves != NULL && seen != NULL && scratch != NULL);
	ms_model_predict(m, &MS_MODEL_QUERY(MODEL_OUTPUT_LEAF), rows, ROWS, scratch, leaves);
	for (size_t i = 0; i < ROWS * trees; i++) {
		REQUIRE(leaves[i] >= 0 && leaves[i] < 4096);
		bool *leaf = &seen[i % trees * 4096 + (size_t)leaves[i]];
		reached += !*leaf;
		*leaf = true;
	}
	free(leaves);
	free(seen);
	free(scratch);
	return (double)reached / (double)leaf_count;
}

static struct model *load_file(const char *path)
{
	return test_load(ms_test_file(path), MODEL_FORMAT_AUTO);
}

TEST(sample_rows_reach_the_leaves)
{
	static const char *const paths[] = {
		"examples/models/penguins/v1.0.0/model.txt",
		"examples/models/breast-cancer/v1.0.0/model.json",
		"tests/golden/lightgbm4-zero-as-missing/model.txt",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(paths); i++) {
		struct model *m = load_file(paths[i]);
		const struct model_info *info = ms_model_info(m);
		double *rows = draw(m, 1);
		double share = leaves_reached(m, rows, (info->node_count + info->tree_count) / 2); // binary trees
		if (!CHECK(share > 0.9 && share <= 1))
			printf("# %s: %g\n", paths[i], share);
		free(rows);
		ms_model_unref(m);
	}
}

TEST(sample_categories_are_those_of_the_model)
{
	struct model *m = load_file("examples/models/penguins/v1.0.0/model.txt");
	double *rows = draw(m, 7);
	size_t missing = 0, counts[3] = {0};
	for (size_t r = 0; r < ROWS; r++) {
		double species = rows[r * 8];
		if (isnan(species)) {
			missing++;
			continue;
		}
		REQUIRE(species == 0 || species == 1 || species == 2);
		counts[(size_t)species]++;
	}
	CHECK(missing > ROWS / 64 && missing < ROWS / 16);
	CHECK(counts[0] > ROWS / 4 && counts[1] > ROWS / 4 && counts[2] > ROWS / 4);
	free(rows);
	ms_model_unref(m);
}

TEST(sample_follows_the_seed)
{
	struct model *m = load_file("examples/models/wine/v1.0.0/model.json");
	double *a = draw(m, 1), *b = draw(m, 1), *c = draw(m, 2);
	size_t bytes = ROWS * ms_model_info(m)->feature_count * sizeof(*a);
	CHECK(memcmp(a, b, bytes) == 0);
	CHECK(memcmp(a, c, bytes) != 0);
	free(a);
	free(b);
	free(c);
	ms_model_unref(m);
}

// Category sets, category hashes, linear leaves, linear models, no trees: whatever a model is, rows come.
TEST(sample_takes_every_kind_of_model)
{
	static const char *const paths[] = {
		"tests/golden/xgboost3-categorical-sets/model.json",
		"tests/golden/xgboost3-gblinear/model.json",
		"tests/golden/lightgbm4-categorical/model.txt",
		"tests/golden/lightgbm4-linear/model.txt",
		"tests/golden/lightgbm4-constant/model.txt",
		"tests/golden/catboost1-one-hot/model.json",
		"tests/golden/catboost1-lossguide/model.json",
		"tests/golden/xgboost3-categories-strings/model.json",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(paths); i++) {
		struct model *m = load_file(paths[i]);
		double *rows = draw(m, 3);
		size_t missing = 0, n = ROWS * ms_model_info(m)->feature_count;
		for (size_t k = 0; k < n; k++)
			missing += isnan(rows[k]);
		if (!CHECK(missing > n / 64 && missing < n / 16))
			printf("# %s: %zu of %zu missing\n", paths[i], missing, n);
		free(rows);
		ms_model_unref(m);
	}
}

static void draw_few(void)
{
	static const char linear[] = "{\"format\":\"mainstay-linear\",\"version\":1,\"coefficients\":[1,2]}";
	struct model *m = NULL;
	double rows[4];
	if (ms_model_load(MS_SLICE_LIT(linear), MODEL_FORMAT_AUTO, NULL, NULL, &m) != MS_OK)
		return;
	enum ms_err err = ms_model_draw_rows(m, 1, 2, rows);
	CHECK(err == (ms_test_allocation_failed() ? MS_ERR_NO_MEMORY : MS_OK));
	ms_model_unref(m);
}

TEST(sample_survives_failing_allocations)
{
	ms_test_torture(draw_few);
}
