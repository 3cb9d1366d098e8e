// SPDX-License-Identifier: Apache-2.0
// Times one engine on one model. The script bench.py starts a driver for each engine of a shape and asks them in
// turn, so that all see the same minutes of a machine:
//
//	bench_forest ENGINE LIBRARY MODEL ROWS FEATURES SCORES [KERNEL ISA]
//
// ROWS holds float64 values, row-major. SCORES gets the scores of one call with all rows, then those of calls with
// one row each. The driver then prints "ready LOAD_NS TYPE KERNEL_SINGLE; KERNEL_BATCH" and obeys its input:
//
//	one MS     calls with one row for that long, over many rows in turn: "CALLS P50 P99", in ns; calls in which the
//	           process lost its core to another are left out
//	many MS    calls with all rows, at least one: "CALLS P50 P99", in ns of processor time per row
#include "engine.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "model/model.h"

#define SINGLE_ROWS 1000 // different rows that calls with one row go through
#define SAMPLES_MAX ((size_t)1 << 20)
#define CACHE_LINE 64
#define SUSPECT_NS 50e3 // a call of this length may have lost the core to another process in between

static const struct engine *const ENGINES[] = {&ENGINE_MAINSTAY, &ENGINE_LIGHTGBM, &ENGINE_XGBOOST, &ENGINE_ONNXRUNTIME,
					       &ENGINE_TREELITE, &ENGINE_TL2CGEN,  &ENGINE_LLEAVES};

static double samples[SAMPLES_MAX];
static volatile double sink; // scores go here, so that no call is optimised away

void fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("error ");
	vprintf(format, args);
	printf("\n");
	va_end(args);
	fflush(stdout);
	_Exit(1);
}

void *symbol(const struct job *job, const char *name)
{
	static void *library;
	if (library == NULL)
		library = dlopen(job->library, RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
		fail("%s", dlerror());
	void *found = dlsym(library, name);
	if (found == NULL)
		fail("%s has no %s", job->library, name);
	return found;
}

void *allocate(size_t count, size_t size)
{
	size_t bytes = count * size + CACHE_LINE;
	void *memory = aligned_alloc(CACHE_LINE, bytes - bytes % CACHE_LINE);
	if (memory == NULL)
		fail("out of memory");
	return memset(memory, 0, bytes - bytes % CACHE_LINE);
}

char *read_file(const char *path, size_t *ret_size)
{
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		fail("cannot open %s", path);
	fseek(file, 0, SEEK_END);
	size_t size = (size_t)ftell(file);
	rewind(file);
	char *bytes = allocate(size + 1, 1);
	if (fread(bytes, 1, size, file) != size)
		fail("cannot read %s", path);
	fclose(file);
	*ret_size = size;
	return bytes;
}

static double read_clock(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double now_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static int compare_double(const void *a, const void *b)
{
	const double *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

static void sort(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_double);
}

// What a pair of clock readings with nothing in between costs; it is taken off each timed call.
static double clock_cost(void)
{
	double costs[1001];
	for (size_t i = 0; i < MS_ARRAY_LEN(costs); i++) {
		double start = now_ns();
		costs[i] = now_ns() - start;
	}
	sort(costs, MS_ARRAY_LEN(costs));
	return costs[MS_ARRAY_LEN(costs) / 2];
}

static void print_samples(size_t count, double per)
{
	sort(samples, count);
	printf("%zu %.1f %.1f\n", count, samples[count / 2] / per, samples[(size_t)((double)count * 0.99)] / per);
	fflush(stdout);
}

// How often another process took the core away.
static long preemptions(void)
{
	struct rusage usage;
	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nivcsw;
}

static void time_one(const struct engine *engine, const struct job *job, double ms)
{
	size_t rows = MS_MIN(job->row_count, SINGLE_ROWS), row = 0, count = 0;
	double cost = clock_cost(), start = now_ns(), warm = start + ms * 2e5, end = start + ms * 1.2e6;
	double sum = 0;
	long lost = preemptions();
	while (count < SAMPLES_MAX) {
		double before = now_ns();
		sum += engine->one(row);
		double after = now_ns();
		row = row + 1 < rows ? row + 1 : 0;
		if (after < warm)
			continue;
		long lost_by_now = after - before > SUSPECT_NS ? preemptions() : lost;
		if (lost_by_now == lost)
			samples[count++] = MS_MAX(after - before - cost, 0);
		lost = lost_by_now;
		if (after >= end && count > 0)
			break;
	}
	sink = sum;
	print_samples(count, 1);
}

static void time_many(const struct engine *engine, const struct job *job, double ms)
{
	size_t count = 0;
	double end = now_ns() + ms * 1e6;
	do {
		// A call is long enough to lose the core to others in between: only what the process itself used counts.
		double before = read_clock(CLOCK_PROCESS_CPUTIME_ID);
		engine->many();
		samples[count++] = read_clock(CLOCK_PROCESS_CPUTIME_ID) - before;
	} while (now_ns() < end && count < SAMPLES_MAX);
	sink = engine->score(0);
	print_samples(count, (double)job->row_count);
}

static void write_scores(const struct engine *engine, const struct job *job, const char *path)
{
	size_t rows = MS_MIN(job->row_count, SINGLE_ROWS);
	double *scores = allocate(job->row_count + rows, sizeof(*scores));
	engine->many();
	for (size_t i = 0; i < job->row_count; i++)
		scores[i] = engine->score(i);
	for (size_t i = 0; i < rows; i++)
		scores[job->row_count + i] = engine->one(i);
	FILE *file = fopen(path, "wb");
	if (file == NULL || fwrite(scores, sizeof(*scores), job->row_count + rows, file) != job->row_count + rows ||
	    fclose(file) != 0)
		fail("cannot write %s", path);
	free(scores);
}

static void read_rows(struct job *job, const char *path)
{
	size_t size;
	job->rows = (const double *)(const void *)read_file(path, &size);
	if (job->feature_count == 0 || size % (job->feature_count * sizeof(double)) != 0 || size == 0)
		fail("%s does not hold rows of %zu values", path, job->feature_count);
	job->row_count = size / sizeof(double) / job->feature_count;
	float *single = allocate(job->row_count * job->feature_count, sizeof(*single));
	for (size_t i = 0; i < job->row_count * job->feature_count; i++)
		single[i] = (float)job->rows[i];
	job->rows_single = single;
}

static const struct engine *find_engine(const char *name)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(ENGINES); i++)
		if (strcmp(ENGINES[i]->name, name) == 0)
			return ENGINES[i];
	fail("no engine %s", name);
}

static void list_kernels(void)
{
	for (int i = MODEL_KERNEL_AUTO + 1; i < MODEL_KERNEL_COUNT; i++)
		printf("kernel %s\n", ms_model_kernel_name((enum model_kernel)i));
	for (int i = MODEL_ISA_AUTO + 1; i < MODEL_ISA_COUNT; i++)
		printf("isa %s\n", ms_model_isa_name((enum model_isa)i));
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		list_kernels();
		return 0;
	}
	if (argc != 7 && argc != 9) {
		fprintf(stderr,
			"usage: bench_forest ENGINE LIBRARY MODEL ROWS FEATURES SCORES [KERNEL ISA], or --list\n");
		return 2;
	}
	const struct engine *engine = find_engine(argv[1]);
	struct job job = {.library = argv[2], .model = argv[3], .feature_count = strtoull(argv[5], NULL, 10)};
	job.kernel = argc == 9 ? argv[7] : "auto";
	job.isa = argc == 9 ? argv[8] : "auto";
	read_rows(&job, argv[4]);
	double start = now_ns();
	engine->open(&job);
	double load_ns = now_ns() - start;
	write_scores(engine, &job, argv[6]);
	printf("ready %.0f %s %s; %s\n", load_ns, engine->single() ? "single" : "double",
	       engine->kernel != NULL ? engine->kernel(false) : "", engine->kernel != NULL ? engine->kernel(true) : "");
	fflush(stdout);
	char line[64];
	double ms;
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (sscanf(line, "one %lf", &ms) == 1)
			time_one(engine, &job, ms);
		else if (sscanf(line, "many %lf", &ms) == 1)
			time_many(engine, &job, ms);
		else
			fail("unknown command %s", line);
	}
	return 0;
}
