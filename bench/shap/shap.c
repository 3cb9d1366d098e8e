// SPDX-License-Identifier: Apache-2.0
// Contributions of a model for rows: their time, and on request the values. Used by bench/shap/bench.
//
//   bench_shap MODEL ROWS [OUT [REPEATS]]
//
// ROWS holds doubles, row by row; OUT receives the contributions likewise. Prints the processor time of a row in microseconds:
// in a call of all rows, and in a call of its own.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/base.h"
#include "model/model.h"

static struct slice read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (f == NULL) {
		perror(path);
		exit(1);
	}
	fseek(f, 0, SEEK_END);
	size_t n = (size_t)ftell(f);
	rewind(f);
	char *bytes = malloc(n + 1);
	if (bytes == NULL || fread(bytes, 1, n, f) != n)
		exit(1);
	fclose(f);
	return ms_slice(bytes, n);
}

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	struct slice file = read_file(argv[1]), data = read_file(argv[2]);
	struct errinfo info;
	struct model *model = NULL;
	ms_errinfo_init(&info);
	double start = now_us();
	if (ms_model_load(file, MODEL_FORMAT_AUTO, NULL, &info, &model) != MS_OK) {
		fprintf(stderr, "%s\n", info.message);
		return 1;
	}
	double load = now_us() - start;
	const struct model_info *mi = ms_model_info(model);
	const enum model_output output = MODEL_OUTPUT_CONTRIBUTIONS;
	size_t width = ms_model_output_width(model, output);
	if (width == 0) {
		fprintf(stderr, "%s\n", ms_model_output_absence(model, output));
		return 1;
	}
	size_t rows = data.n / sizeof(double) / mi->feature_count;
	double *out = malloc(rows * width * sizeof(double));
	void *scratch = malloc(ms_model_scratch_size_for(model, output) + 16);
	const double *in = (const double *)(const void *)data.p;
	if (out == NULL || scratch == NULL)
		return 1;
	int repeats = argc > 4 ? atoi(argv[4]) : 1;
	double batch = 1e300, alone = 1e300;
	for (int i = 0; i < repeats; i++) {
		start = now_us();
		for (size_t r = 0; r < rows; r++)
			ms_model_predict(model, &MS_MODEL_QUERY(output), in + r * mi->feature_count, 1, scratch,
					 out + r * width);
		alone = MS_MIN(alone, (now_us() - start) / (double)rows);
		start = now_us();
		ms_model_predict(model, &MS_MODEL_QUERY(output), in, rows, scratch, out);
		batch = MS_MIN(batch, (now_us() - start) / (double)rows);
	}
	if (argc > 3) {
		FILE *f = fopen(argv[3], "wb");
		if (f == NULL || fwrite(out, sizeof(double), rows * width, f) != rows * width || fclose(f) != 0) {
			perror(argv[3]);
			return 1;
		}
	}
	printf("batch_us %.3f alone_us %.3f estimate_us %.3f load_ms %.1f file_mb %.2f memory_mb %.2f\n", batch, alone,
	       (double)ms_model_row_ns(model, output) * 1e-3, load * 1e-3, (double)file.n * 1e-6,
	       (double)mi->memory_bytes * 1e-6);
	ms_model_unref(model);
	free((void *)(uintptr_t)file.p);
	free((void *)(uintptr_t)data.p);
	free(out);
	free(scratch);
	return 0;
}
