// SPDX-License-Identifier: Apache-2.0
#include "app/measure.h"

#include <math.h>
#include <stdlib.h>

#include "rt/rt.h"

#define SAMPLES_MAX ((size_t)1 << 20)
#define CLOCK_SAMPLES 2001
#define WARM_CALLS 16
#define CALLS_BETWEEN_LOOKS 64 // single rows between two looks at the time that is over
#define ROWS_BETWEEN_LOOKS 256
#define LOOKS_MAX 4096
#define OUTPUT_MAX ((size_t)1 << 30)
#define THREADS_MAX 1024

// What one thread predicts with.
struct bench_memory {
	void *scratch;
	double *out;
};

static enum ms_err memory_new(const struct measure *m, size_t batch_rows, struct errinfo *info,
			      struct bench_memory *ret_memory)
{
	size_t width = ms_model_output_width(m->model, m->output);
	ret_memory->scratch = malloc(ms_model_scratch_size(m->model) + 1);
	ret_memory->out = malloc((batch_rows * width + 1) * sizeof(double));
	if (ret_memory->scratch != NULL && ret_memory->out != NULL)
		return MS_OK;
	free(ret_memory->scratch);
	free(ret_memory->out);
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for predictions");
}

static void memory_free(struct bench_memory *memory)
{
	free(memory->scratch);
	free(memory->out);
}

static void show(struct measure *m, int64_t elapsed_ns)
{
	ms_progress_update(m->progress, m->before_ms + (uint64_t)(elapsed_ns / 1000000));
}

static void finish(struct measure *m, double seconds)
{
	m->before_ms += (uint64_t)(seconds * 1000);
	ms_progress_update(m->progress, m->before_ms);
}

// --- One row at a time -----------------------------------------------------------------------------------

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

static uint32_t clamp_ns(int64_t ns)
{
	return (uint32_t)MS_MIN(MS_MAX(ns, (int64_t)0), (int64_t)UINT32_MAX);
}

static double clock_cost_ns(uint32_t *samples)
{
	for (size_t i = 0; i < CLOCK_SAMPLES; i++) {
		int64_t start = ms_clock_mono_ns();
		samples[i] = clamp_ns(ms_clock_mono_ns() - start);
	}
	qsort(samples, CLOCK_SAMPLES, sizeof(*samples), ascending);
	return samples[CLOCK_SAMPLES / 2];
}

static size_t time_rows(struct measure *m, const struct bench_memory *memory, double seconds, uint32_t *samples)
{
	const struct feature_matrix *rows = m->rows;
	int64_t start = ms_clock_mono_ns(), limit = (int64_t)(seconds * 1e9);
	size_t count = 0, row = 0;
	do {
		for (size_t i = 0; i < CALLS_BETWEEN_LOOKS && count < SAMPLES_MAX; i++) {
			int64_t from = ms_clock_mono_ns();
			ms_model_predict(m->model, &MS_MODEL_QUERY(m->output), rows->values + row * rows->columns, 1,
					 memory->scratch, memory->out);
			samples[count++] = clamp_ns(ms_clock_mono_ns() - from);
			row = row + 1 < rows->rows ? row + 1 : 0;
		}
		show(m, ms_clock_mono_ns() - start);
	} while (count < SAMPLES_MAX && ms_clock_mono_ns() - start < limit);
	return count;
}

enum ms_err ms_measure_latency(struct measure *m, double seconds, struct errinfo *info,
			       struct measure_latency *ret_latency)
{
	struct bench_memory memory;
	MS_TRY(memory_new(m, 1, info, &memory));
	uint32_t *samples = malloc(SAMPLES_MAX * sizeof(*samples));
	if (samples == NULL) {
		memory_free(&memory);
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the times of rows");
	}
	double clock = clock_cost_ns(samples);
	for (size_t i = 0; i < WARM_CALLS; i++)
		ms_model_predict(m->model, &MS_MODEL_QUERY(m->output), m->rows->values, 1, memory.scratch, memory.out);
	size_t n = time_rows(m, &memory, seconds, samples);
	qsort(samples, n, sizeof(*samples), ascending);
	*ret_latency = (struct measure_latency){
		.p50_ns = MS_MAX(samples[n / 2] - clock, 0.0),
		.p99_ns = MS_MAX(samples[n - 1 - n / 100] - clock, 0.0),
		.max_ns = MS_MAX(samples[n - 1] - clock, 0.0),
		.clock_ns = clock,
		.count = n,
	};
	free(samples);
	memory_free(&memory);
	finish(m, seconds);
	return MS_OK;
}

// --- Batches ---------------------------------------------------------------------------------------------

bool ms_measure_takes_batch(const struct measure *m, size_t batch_rows, unsigned threads)
{
	size_t values, width = ms_model_output_width(m->model, m->output) * sizeof(double) * MS_MAX(threads, 1u);
	return batch_rows <= m->rows->rows && !MS_MUL_OVERFLOWS(batch_rows, width, &values) && values <= OUTPUT_MAX;
}

struct batch_worker {
	struct measure *measure;
	struct bench_memory memory;
	struct thread *thread;
	size_t batch_rows;
	size_t first_row;
	double seconds;
	bool shows; // the progress; one of them
	double rows_per_second;
	double median_row_ns;
	uint32_t looks[LOOKS_MAX]; // nanoseconds between two looks at the clock, the newest
};

static void run_batches(void *arg)
{
	struct batch_worker *w = arg;
	struct measure *m = w->measure;
	const struct feature_matrix *rows = m->rows;
	size_t n = w->batch_rows, at = w->first_row % rows->rows, calls = MS_MAX(ROWS_BETWEEN_LOOKS / n, (size_t)1);
	int64_t elapsed = 0, limit = (int64_t)(w->seconds * 1e9);
	uint64_t done = 0;
	size_t looks = 0;
	ms_model_predict(m->model, &MS_MODEL_QUERY(m->output), rows->values, n, w->memory.scratch,
			 w->memory.out); // warm
	int64_t start = ms_clock_mono_ns();
	while (elapsed < limit || done == 0) {
		for (size_t i = 0; i < calls; i++) {
			if (rows->rows - at < n)
				at = 0;
			ms_model_predict(m->model, &MS_MODEL_QUERY(m->output), rows->values + at * rows->columns, n,
					 w->memory.scratch, w->memory.out);
			at += n;
			done += n;
		}
		int64_t now = ms_clock_mono_ns() - start;
		w->looks[looks++ % LOOKS_MAX] = clamp_ns(now - elapsed);
		elapsed = now;
		if (w->shows)
			show(m, elapsed);
	}
	looks = MS_MIN(looks, (size_t)LOOKS_MAX);
	qsort(w->looks, looks, sizeof(w->looks[0]), ascending);
	w->median_row_ns = (double)w->looks[looks / 2] / (double)(calls * n);
	w->rows_per_second = (double)done / ((double)elapsed * 1e-9);
}

static enum ms_err run_workers(struct batch_worker *workers, unsigned threads, struct errinfo *info,
			       struct measure_throughput *ret_throughput)
{
	enum ms_err err = MS_OK;
	unsigned started = 1; // the first is this thread
	double sum = 0;
	while (started < threads && err == MS_OK) {
		err = ms_thread_new("bench", run_batches, &workers[started], info, &workers[started].thread);
		started += err == MS_OK;
	}
	if (err == MS_OK)
		run_batches(&workers[0]);
	for (unsigned i = 0; i < started; i++) {
		ms_thread_join(workers[i].thread);
		sum += workers[i].rows_per_second;
	}
	*ret_throughput = (struct measure_throughput){sum, workers[0].median_row_ns};
	return err;
}

enum ms_err ms_measure_throughput(struct measure *m, size_t batch_rows, unsigned threads, double seconds,
				  struct errinfo *info, struct measure_throughput *ret_throughput)
{
	MS_ASSERT(ms_measure_takes_batch(m, batch_rows, threads));
	threads = MS_MIN(MS_MAX(threads, 1u), (unsigned)THREADS_MAX);
	struct batch_worker *workers = calloc(threads, sizeof(*workers));
	enum ms_err err =
		workers != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for %u threads", threads);
	unsigned made = 0;
	while (err == MS_OK && made < threads) {
		struct batch_worker *w = &workers[made];
		*w = (struct batch_worker){.measure = m,
					   .batch_rows = batch_rows,
					   .first_row = (size_t)made * m->rows->rows / threads,
					   .seconds = seconds,
					   .shows = made == 0};
		err = memory_new(m, batch_rows, info, &w->memory);
		made += err == MS_OK;
	}
	if (err == MS_OK)
		err = run_workers(workers, threads, info, ret_throughput);
	for (unsigned i = 0; i < made; i++)
		memory_free(&workers[i].memory);
	free(workers);
	finish(m, seconds);
	return err;
}

// --- Bits --------------------------------------------------------------------------------------------------

// NaN are all alike.
static bool same_bits(const double *a, const double *b, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (memcmp(&a[i], &b[i], sizeof(*a)) != 0 && !(isnan(a[i]) && isnan(b[i])))
			return false;
	return true;
}

enum ms_err ms_measure_same_bits(struct measure *m, const double *want, struct errinfo *info, bool *ret_same)
{
	const struct feature_matrix *rows = m->rows;
	size_t width = ms_model_output_width(m->model, MODEL_OUTPUT_RAW);
	struct measure raw = *m;
	struct bench_memory memory;
	raw.output = MODEL_OUTPUT_RAW;
	MS_TRY(memory_new(&raw, rows->rows, info, &memory));
	ms_model_predict(m->model, &MS_MODEL_QUERY(MODEL_OUTPUT_RAW), rows->values, rows->rows, memory.scratch,
			 memory.out);
	bool same = same_bits(memory.out, want, rows->rows * width);
	for (size_t r = 0; r < rows->rows; r++)
		ms_model_predict(m->model, &MS_MODEL_QUERY(MODEL_OUTPUT_RAW), rows->values + r * rows->columns, 1,
				 memory.scratch, memory.out + r * width);
	*ret_same = same && same_bits(memory.out, want, rows->rows * width);
	memory_free(&memory);
	return MS_OK;
}
