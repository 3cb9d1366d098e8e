// SPDX-License-Identifier: Apache-2.0
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "bench/json/bench.h"

double bench_jansson_predict(const char *text, size_t n)
{
	json_t *root = json_loadb(text, n, 0, NULL);
	if (root == NULL)
		return NAN;
	double sum = 0;
	size_t i;
	json_t *instance, *value;
	const char *key;
	json_array_foreach(json_object_get(root, "instances"), i, instance)
	{
		json_object_foreach(instance, key, value) sum += json_number_value(value) + (double)strlen(key);
	}
	json_decref(root);
	return sum;
}

double bench_jansson_matrix(const char *text, size_t n)
{
	json_t *root = json_loadb(text, n, 0, NULL);
	if (root == NULL)
		return NAN;
	double sum = 0;
	size_t i, j;
	json_t *row, *value;
	json_array_foreach(json_object_get(root, "data"), i, row)
	{
		json_array_foreach(row, j, value) sum += json_number_value(value);
	}
	json_decref(root);
	return sum;
}

double bench_jansson_mixed(const char *text, size_t n)
{
	json_t *root = json_loadb(text, n, 0, NULL);
	if (root == NULL)
		return NAN;
	json_decref(root);
	return 1;
}
