// SPDX-License-Identifier: Apache-2.0
// Scores a CSV file inside this program, without a server:
//
//	cc forest.c $(pkg-config --cflags --libs mainstay-forest) -o forest
//	./forest ../models/penguins/v1.0.0/model.txt ../penguins/rows.csv
//
// The first line of the file names the features; a field is a number, a category or, empty, missing. No quotes here.
#include <mainstay/forest.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MAX 256

static void stop(const char *what, const char *why)
{
	fprintf(stderr, "forest: %s: %s\n", what, why);
	exit(1);
}

// The number that a row holds for this field.
static double value_of(const struct mainstay_forest *forest, size_t feature, const char *field)
{
	struct mainstay_forest_feature f = {.struct_size = sizeof(f)};
	char error[256], *end;
	double value = NAN;
	if (*field == '\0' || mainstay_forest_get_feature(forest, feature, &f) != MAINSTAY_FOREST_OK)
		return NAN;
	enum mainstay_forest_status status;
	if (f.takes_strings)
		status = mainstay_forest_encode_string(forest, feature, field, strlen(field), error, sizeof(error),
						       &value);
	else
		status = mainstay_forest_encode_number(forest, feature, strtod(field, &end), error, sizeof(error),
						       &value);
	if (status != MAINSTAY_FOREST_OK)
		stop(field, error);
	return value;
}

int main(int argc, char **argv)
{
	struct mainstay_forest *forest;
	struct mainstay_forest_scratch *scratch;
	struct mainstay_forest_info info = {.struct_size = sizeof(info)};
	const enum mainstay_forest_output output = MAINSTAY_FOREST_OUTPUT_DEFAULT;
	char error[256], line[8192];
	size_t place[COLUMNS_MAX], columns = 0;
	FILE *rows = argc == 3 ? fopen(argv[2], "r") : NULL;
	if (rows == NULL || fgets(line, sizeof(line), rows) == NULL)
		stop("usage", "forest MODEL ROWS.csv");
	if (mainstay_forest_load_file(argv[1], NULL, error, sizeof(error), &forest) != MAINSTAY_FOREST_OK)
		stop(argv[1], error);
	if (mainstay_forest_scratch_new(forest, &scratch) != MAINSTAY_FOREST_OK ||
	    mainstay_forest_get_info(forest, &info) != MAINSTAY_FOREST_OK)
		stop(argv[1], "out of memory");
	for (char *rest = strtok(line, ",\r\n"); rest != NULL && columns < COLUMNS_MAX; rest = strtok(NULL, ",\r\n"))
		if (mainstay_forest_find_feature(forest, rest, strlen(rest), &place[columns++]) != MAINSTAY_FOREST_OK)
			stop("the model has no feature of that name", rest);
	size_t width = mainstay_forest_output_width(forest, output);
	double *row = calloc(info.feature_count, sizeof(*row)), *values = calloc(width, sizeof(*values));
	while (row != NULL && values != NULL && fgets(line, sizeof(line), rows) != NULL) {
		for (size_t i = 0; i < info.feature_count; i++)
			row[i] = NAN;
		char *rest = line, *field;
		line[strcspn(line, "\r\n")] = '\0';
		for (size_t i = 0; i < columns && (field = strsep(&rest, ",")) != NULL; i++)
			row[place[i]] = value_of(forest, place[i], field);
		if (mainstay_forest_predict_f64(forest, scratch, output, row, 1, values, width) != MAINSTAY_FOREST_OK)
			stop(argv[1], "no prediction");
		for (size_t i = 0; i < width; i++)
			printf("%.17g%c", values[i], i + 1 < width ? ',' : '\n');
	}
	mainstay_forest_scratch_free(scratch);
	mainstay_forest_free(forest);
	return 0;
}
