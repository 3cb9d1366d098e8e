// SPDX-License-Identifier: Apache-2.0
// "features" in all its forms: what becomes of each value, and the whole words of each refusal.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "serve/serve.h"
#include "tests/lib/test.h"

enum { MAX_ROWS = 3 };

// Three numbers: a, b, c.
static const char NUMBERS[] = "{\"format\":\"mainstay-linear\",\"version\":1,\"features\":[\"a\",\"b\",\"c\"],"
			      "\"coefficients\":[1,2,3]}";

static struct served_model *served_of(struct slice bytes, const char *name)
{
	char path[600];
	struct served_model *served;
	snprintf(path, sizeof(path), "%s/%s", ms_test_temp_dir(), name);
	FILE *file = fopen(path, "wb");
	REQUIRE(file != NULL && fwrite(bytes.p, 1, bytes.n, file) == bytes.n && fclose(file) == 0);
	REQUIRE(ms_store_load_file(path, &MS_MODEL_DEFAULT_OPTIONS, NULL, &served) == MS_OK);
	return served;
}

static struct served_model *numbers(void)
{
	return served_of(ms_slice_cstr(NUMBERS), "numbers");
}

// species, island, sex (Adelie, Chinstrap, Gentoo; Biscoe, Dream, Torgersen; female, male), then five numbers.
static struct served_model *penguins(void)
{
	return served_of(ms_test_file("examples/models/penguins/v1.0.0/model.txt"), "penguins");
}

// The matrix as "1 2 nan/4 5 6", or "code field row: message" (the field and the row in brackets where none is named).
static void describe(const struct served_model *served, const char *text, size_t max_rows, struct buf *out)
{
	struct arena arena;
	struct json_reader r;
	struct errinfo info;
	struct feature_matrix m;
	ms_arena_init(&arena, 256, 1 << 20);
	ms_errinfo_init(&info);
	ms_json_reader_init(&r, ms_slice_cstr(text), NULL, &arena, &info);
	enum ms_err err = ms_features_read(&r, served, max_rows, &arena, &info, &m);
	if (err == MS_OK)
		err = ms_json_finish(&r);
	if (err != MS_OK)
		ms_buf_printf(out, "%s %s %" PRId64 ": %s", ms_err_name(err), info.field[0] != '\0' ? info.field : "-",
			      info.row, info.message);
	for (size_t i = 0; err == MS_OK && i < m.rows * m.columns; i++)
		ms_buf_printf(out, "%s%.15g", i == 0 ? "" : i % m.columns == 0 ? "/" : " ", m.values[i]);
	CHECK(err != MS_OK || m.columns == served->input_count);
	ms_arena_fini(&arena);
}

struct feature_case {
	const char *text;
	const char *want;
};

static void check_all(struct served_model *served, size_t max_rows, const struct feature_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct buf got;
		ms_buf_init(&got, 1 << 16);
		describe(served, cases[i].text, max_rows, &got);
		if (!CHECK_SLICE(ms_buf_slice(&got), cases[i].want))
			printf("# for %s\n", cases[i].text);
		ms_buf_fini(&got);
	}
	ms_served_unref(served);
}
#define CHECK_ALL(served, max_rows, cases) check_all((served), (max_rows), (cases), MS_ARRAY_LEN(cases))

// --- What is taken -----------------------------------------------------------------------------------

TEST(features_take_every_form)
{
	static const struct feature_case cases[] = {
		{"[[1,2,3]]", "1 2 3"},
		{"[[1,2,3],[4,5,6],[-7,8e2,0.125]]", "1 2 3/4 5 6/-7 800 0.125"},
		{"[1,2,3]", "1 2 3"},
		{"{\"a\":1,\"b\":2,\"c\":3}", "1 2 3"},
		{"{\"c\":3,\"a\":1,\"b\":2}", "1 2 3"},
		{"[{\"a\":1,\"b\":2,\"c\":3},{\"b\":5,\"c\":6,\"a\":4}]", "1 2 3/4 5 6"},
		{"{\"a\":[1,4],\"b\":[2,5],\"c\":[3,6]}", "1 2 3/4 5 6"},
		{"{\"c\":[3,6],\"a\":[1,4],\"b\":[2,5]}", "1 2 3/4 5 6"},
		{" [ [ 1 , 2 , 3 ] , [ 4 , 5 , 6 ] ] ", "1 2 3/4 5 6"},
		{"{\"\\u0061\":1,\"b\":2,\"c\":3}", "1 2 3"},
		{"[]", ""},
		{"{}", ""},
		{"{\"a\":[]}", ""},
	};
	CHECK_ALL(numbers(), MAX_ROWS, cases);
}

TEST(features_take_what_is_missing_as_missing)
{
	static const struct feature_case cases[] = {
		{"[[1,null,3]]", "1 nan 3"},
		{"[null,null,null]", "nan nan nan"},
		{"[null,2,null]", "nan 2 nan"},
		{"{\"b\":2}", "nan 2 nan"},
		{"{\"b\":null}", "nan nan nan"},
		{"[{\"a\":1},{},{\"c\":3}]", "1 nan nan/nan nan nan/nan nan 3"},
		{"{\"b\":[null,5]}", "nan nan nan/nan 5 nan"},
		{"[[true,false,3]]", "1 0 3"},
		{"{\"a\":true,\"c\":[]}",
		 "predict.wrong_type c 0: row 0, feature 'c': must be a number or null, not array"},
	};
	CHECK_ALL(numbers(), MAX_ROWS, cases);
}

TEST(features_take_categories_by_their_text)
{
	static const struct feature_case cases[] = {
		{"[[\"Adelie\",\"Torgersen\",\"male\",39.1,18.7,181,null,null]]", "0 2 1 39.1 18.7 181 nan nan"},
		{"{\"sex\":\"female\",\"species\":\"Gentoo\",\"bill_length_mm\":50}", "2 nan 0 50 nan nan nan nan"},
		{"{\"species\":[\"Chinstrap\",null],\"island\":[\"Dream\",\"Biscoe\"]}",
		 "1 1 nan nan nan nan nan nan/nan 0 nan nan nan nan nan nan"},
		{"{\"species\":\"\\u0041delie\"}", "0 nan nan nan nan nan nan nan"},
		{"{\"species\":\"adelie\"}", "nan nan nan nan nan nan nan nan"}, // as LightGBM: never seen is missing
		{"{\"species\":\"\"}", "nan nan nan nan nan nan nan nan"},
		{"{\"species\":true}",
		 "predict.wrong_type species 0: row 0, feature 'species': must be a category, a number "
		 "or null, not boolean"},
		{"{\"species\":[[\"Adelie\"]]}",
		 "predict.wrong_type species 0: row 0, feature 'species': must be a category, "
		 "a number or null, not array"},
		{"{\"bill_length_mm\":\"39.1\"}",
		 "predict.wrong_type bill_length_mm 0: row 0, feature 'bill_length_mm': must "
		 "be a number or null, not the string \"39.1\""},
	};
	CHECK_ALL(penguins(), MAX_ROWS, cases);
}

// --- What is refused, and in which words -------------------------------------------------------------

TEST(features_refuse_wrong_shapes)
{
	static const struct feature_case cases[] = {
		{"[[1,2]]", "predict.shape features 0: row 0 has 2 values, but model 'numbers' takes 3"},
		{"[[1,2,3],[]]", "predict.shape features 1: row 1 has 0 values, but model 'numbers' takes 3"},
		{"[[1,2,3],[4,5,6],[7,8,9,10]]",
		 "predict.shape features 2: row 2 has more than 3 values, but model 'numbers' takes 3"},
		{"[[1,2,3,\"x\"]]",
		 "predict.shape features 0: row 0 has more than 3 values, but model 'numbers' takes 3"},
		{"[1,2]", "predict.shape features 0: row 0 has 2 values, but model 'numbers' takes 3"},
		{"[1,2,3,4]", "predict.shape features 0: row 0 has more than 3 values, but model 'numbers' takes 3"},
		{"[[1,2,3],{\"a\":1}]",
		 "predict.shape features 1: row 1 must be an array like the rows before it, not object"},
		{"[{\"a\":1},[1,2,3]]",
		 "predict.shape features 1: row 1 must be an object like the rows before it, not array"},
		{"[[1,2,3],null]",
		 "predict.shape features 1: row 1 must be an array like the rows before it, not null"},
		{"[[1,2,3],4]", "predict.shape features 1: row 1 must be an array like the rows before it, not number"},
		{"{\"a\":[1,2],\"b\":3}", "predict.shape b 0: row 0, feature 'b': must be an array of values like the "
					  "columns before it"},
		{"{\"a\":[1,2],\"b\":[3]}",
		 "predict.shape b 1: row 1, feature 'b': is missing: the columns before it are longer"},
		{"{\"a\":[1],\"b\":[3,4]}",
		 "predict.shape b 1: row 1, feature 'b': has more values than the columns before it"},
		{"[[1,2,3],[1,2,3],[1,2,3],[1,2,3]]", "predict.too_many_rows - -1: more than 3 rows in one request "
						      "(setting predict.max_rows): send them in parts"},
		{"{\"b\":[1,2,3,4]}", "predict.too_many_rows - -1: more than 3 rows in one request (setting "
				      "predict.max_rows): send them in parts"},
		{"[{},{},{},{}]", "predict.too_many_rows - -1: more than 3 rows in one request (setting "
				  "predict.max_rows): send them in parts"},
	};
	CHECK_ALL(numbers(), MAX_ROWS, cases);
}

TEST(features_refuse_wrong_types_at_the_top)
{
	static const char *const texts[] = {"null", "5", "\"x\"", "true"}, *const names[] = {"null", "number", "string",
											     "boolean"};
	struct served_model *served = numbers();
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		struct buf got;
		char want[300];
		ms_buf_init(&got, 1 << 16);
		describe(served, texts[i], MAX_ROWS, &got);
		snprintf(want, sizeof(want),
			 "predict.shape features -1: 'features' must be rows [[…],…], one row […], records [{…},…] or "
			 "columns {\"name\":[…]}, not %s",
			 names[i]);
		CHECK_SLICE(ms_buf_slice(&got), want);
		ms_buf_fini(&got);
	}
	ms_served_unref(served);
}

TEST(features_refuse_wrong_values)
{
	static const struct feature_case cases[] = {
		{"[[1,2,3],[4,\"5\",6]]",
		 "predict.wrong_type b 1: row 1, feature 'b': must be a number or null, not the string \"5\""},
		{"[[1,2,3],[4,\"NaN\",6]]",
		 "predict.wrong_type b 1: row 1, feature 'b': must be a number or null, not the string \"NaN\""},
		{"[[[1],2,3]]", "predict.wrong_type a 0: row 0, feature 'a': must be a number or null, not array"},
		{"[[1,2,{}]]", "predict.wrong_type c 0: row 0, feature 'c': must be a number or null, not object"},
		{"[1,[2],3]", "predict.wrong_type b 0: row 0, feature 'b': must be a number or null, not array"},
		{"[{\"a\":1},{\"c\":\"x\"}]",
		 "predict.wrong_type c 1: row 1, feature 'c': must be a number or null, not the string \"x\""},
		{"{\"a\":[1,2],\"b\":[1,\"x\"]}",
		 "predict.wrong_type b 1: row 1, feature 'b': must be a number or null, not the string \"x\""},
		{"{\"a\":{\"b\":1}}",
		 "predict.wrong_type a 0: row 0, feature 'a': must be a number or null, not object"},
	};
	CHECK_ALL(numbers(), MAX_ROWS, cases);
}

TEST(features_refuse_names_that_the_model_lacks)
{
	static const struct feature_case cases[] = {
		{"{\"species\":\"Adelie\",\"bill_lenght_mm\":1}",
		 "predict.unknown_feature bill_lenght_mm 0: row 0: model 'penguins' has no feature 'bill_lenght_mm'; "
		 "did you mean 'bill_length_mm'?"},
		{"[{},{\"weight\":1}]",
		 "predict.unknown_feature weight 1: row 1: model 'penguins' has no feature 'weight'"},
		{"{\"colour\":[1]}",
		 "predict.unknown_feature colour 0: row 0: model 'penguins' has no feature 'colour'"},
		{"{\"sex\":\"male\",\"sex\":\"male\"}",
		 "predict.unknown_feature sex 0: row 0, feature 'sex': is given twice"},
		{"[{},{\"sex\":null,\"sex\":null}]",
		 "predict.unknown_feature sex 1: row 1, feature 'sex': is given twice"},
		{"{\"sex\":[\"male\"],\"sex\":[\"male\"]}",
		 "predict.unknown_feature sex 0: row 0, feature 'sex': is given twice"},
	};
	CHECK_ALL(penguins(), MAX_ROWS, cases);
}

// Where there can be one row only, the caller knows its number better: a line of a file.
TEST(features_of_one_row_leave_the_place_to_the_caller)
{
	static const struct feature_case cases[] = {
		{"[1,2,3]", "1 2 3"},
		{"{\"b\":2}", "nan 2 nan"},
		{"[1]", "predict.shape features 0: 1 values, but model 'numbers' takes 3"},
		{"{\"b\":\"x\"}",
		 "predict.wrong_type b 0: feature 'b': must be a number or null, not the string \"x\""},
		{"{\"d\":1}", "predict.unknown_feature d 0: model 'numbers' has no feature 'd'"},
		{"[[1,2,3],[1,2,3]]", "predict.too_many_rows - -1: more than 1 rows in one request (setting "
				      "predict.max_rows): send them in parts"},
	};
	CHECK_ALL(numbers(), 1, cases);
}

TEST(features_refuse_what_is_no_json)
{
	static const char *const texts[] = {
		"",         "[",         "[[1,2,3]",    "[[1,2,3],]",      "[1,2,3]]",
		"[01,2,3]", "{\"a\":}",  "{\"a\" 1}",   "{\"a\":[1,]}",    "[[1,2,3] [4,5,6]]",
		"[1,,3]",   "[NaN,1,2]", "[1e999,1,2]", "{\"a\":\"\\x\"}", "[\xff,1,2]"};
	struct served_model *served = numbers();
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		struct buf got;
		ms_buf_init(&got, 1 << 16);
		describe(served, texts[i], MAX_ROWS, &got);
		ms_buf_append(&got, "", 1);
		if (!CHECK(strncmp(got.p, "json.", 5) == 0))
			printf("# for %s: %s\n", texts[i], got.p);
		ms_buf_fini(&got);
	}
	ms_served_unref(served);
}

// More rows than fit at first: what was read before is kept.
TEST(features_keep_all_rows_while_they_grow)
{
	enum { ROWS = 1000 };
	struct served_model *served = numbers();
	struct buf text;
	ms_buf_init(&text, 1 << 20);
	for (int i = 0; i < ROWS; i++)
		ms_buf_printf(&text, "%s[%d,null,%d]", i > 0 ? "," : "[", i, -i);
	ms_buf_append_cstr(&text, "]");
	struct arena arena;
	struct json_reader r;
	struct feature_matrix m = {0};
	ms_arena_init(&arena, 256, 1 << 20);
	ms_json_reader_init(&r, ms_buf_slice(&text), NULL, &arena, NULL);
	REQUIRE(ms_features_read(&r, served, ROWS, &arena, NULL, &m) == MS_OK);
	REQUIRE(m.rows == ROWS);
	for (int i = 0; i < ROWS; i++)
		CHECK(m.values[i * 3] == i && isnan(m.values[i * 3 + 1]) && m.values[i * 3 + 2] == -i);
	ms_arena_fini(&arena);

	// An arena that is too small for them says so, and in how many rows.
	struct errinfo info;
	ms_errinfo_init(&info);
	ms_arena_init(&arena, 256, 4096);
	ms_json_reader_init(&r, ms_buf_slice(&text), NULL, &arena, &info);
	CHECK_INT(ms_features_read(&r, served, ROWS, &arena, &info, &m), MS_ERR_LIMIT);
	CHECK_HAS(info.message, "rows of 3 features do not fit into the memory of one request");
	ms_arena_fini(&arena);
	ms_buf_fini(&text);
	ms_served_unref(served);
}

// Cells of a CSV file.
TEST(features_from_text)
{
	static const struct {
		size_t column;
		const char *text;
		double want;
	} good[] = {
		{0, "Gentoo", 2}, {0, "", NAN},   {0, "gentoo", NAN}, {3, "39.5", 39.5}, {3, " 39.5 ", 39.5},
		{3, "", NAN},     {3, "  ", NAN}, {3, "-1e3", -1000}, {3, "+2", 2},      {3, "inf", INFINITY},
	};
	struct served_model *served = penguins();
	struct errinfo info;
	double value;
	for (size_t i = 0; i < MS_ARRAY_LEN(good); i++) {
		CHECK_OK(ms_features_from_text(served, good[i].column, ms_slice_cstr(good[i].text), NULL, &value));
		CHECK_F64(value, good[i].want);
	}
	static const char *const bad[] = {"NaN", "nan", "n/a", "1,5", "1 2", "0x10"};
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		char want[100];
		ms_errinfo_init(&info);
		CHECK_INT(ms_features_from_text(served, 3, ms_slice_cstr(bad[i]), &info, &value), MS_ERR_PREDICT_TYPE);
		snprintf(want, sizeof(want), "feature 'bill_length_mm' must be a number or empty, not '%s'", bad[i]);
		CHECK_STR(info.message, want);
		CHECK_STR(info.field, "bill_length_mm");
	}
	ms_served_unref(served);
}
