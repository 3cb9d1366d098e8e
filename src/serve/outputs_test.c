// SPDX-License-Identifier: Apache-2.0
// Predictions divided among threads: the same bits, and refused only where one thread is too.
#include "rt/rt.h"
#include "serve/serve.h"
#include "tests/lib/test.h"

#define ROWS 40000

static const char MODEL[] = "{\"format\":\"mainstay-linear\",\"version\":1,\"features\":[\"a\"],\"coefficients\":[3]}";

static enum ms_err compute(const struct served_model *served, struct pool *pool, size_t max, double *ret_values)
{
	static double rows[ROWS];
	const struct feature_matrix matrix = {.values = rows, .rows = ROWS, .columns = 1};
	struct errinfo info;
	struct arena arena;
	double *values;
	for (size_t i = 0; i < ROWS; i++)
		rows[i] = (double)i / 7;
	ms_errinfo_init(&info);
	ms_arena_init(&arena, 1024, max);
	enum ms_err err =
		ms_output_compute(served, &MS_MODEL_QUERY(MODEL_OUTPUT_DEFAULT), pool, &matrix, &arena, &info, &values);
	if (err == MS_OK)
		memcpy(ret_values, values, sizeof(rows));
	ms_arena_fini(&arena);
	return err;
}

TEST(outputs_of_several_threads_need_no_more_memory_than_of_one)
{
	static double one[ROWS], many[ROWS];
	struct served_model served = {.name = MS_SLICE_LIT("m")};
	struct errinfo info;
	struct pool *pool;
	size_t refused = 0;
	ms_errinfo_init(&info);
	REQUIRE(ms_model_load(ms_slice_cstr(MODEL), MODEL_FORMAT_LINEAR_JSON, NULL, &info, &served.model) == MS_OK);
	REQUIRE(ms_pool_new(&(struct pool_options){.name = "p", .threads = 4, .depth = 8}, &info, &pool) == MS_OK);
	for (size_t max = sizeof(one) - 1024; max < sizeof(one) + 8192; max += 64) {
		enum ms_err err = compute(&served, NULL, max, one);
		CHECK_INT(compute(&served, pool, max, many), err);
		refused += err != MS_OK;
		if (err == MS_OK)
			CHECK(memcmp(one, many, sizeof(one)) == 0);
	}
	CHECK(refused > 0 && refused < 100);
	ms_pool_free(pool);
	ms_model_unref(served.model);
}
