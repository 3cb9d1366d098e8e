// SPDX-License-Identifier: Apache-2.0
// How fast a model predicts on this machine. Each measurement runs for a time that the caller sets, over rows that it
// brings, in turn; the first calls are not counted.
#ifndef MS_APP_MEASURE_H
#define MS_APP_MEASURE_H

#include "app/progress.h"
#include "model/model.h"
#include "serve/serve.h"

struct measure {
	const struct model *model;
	enum model_output output;
	const struct feature_matrix *rows; // at least one
	struct progress *progress;         // its items are milliseconds of measuring
	uint64_t before_ms;                // measured so far, in all
};

// Of one row at a time, without the clock's own time.
struct measure_latency {
	double p50_ns, p99_ns, max_ns;
	double clock_ns; // what reading the clock costs, taken off
	size_t count;
};
MS_MUST_USE enum ms_err ms_measure_latency(struct measure *m, double seconds, struct errinfo *info,
					   struct measure_latency *ret_latency);

struct measure_throughput {
	double rows_per_second; // of all threads, in the time that went by
	double median_row_ns; // of one thread's calls; unlike the other it hardly depends on what else the machine does
};
// Whole calls of batch_rows rows on `threads` threads at once, each with memory of its own.
MS_MUST_USE enum ms_err ms_measure_throughput(struct measure *m, size_t batch_rows, unsigned threads, double seconds,
					      struct errinfo *info, struct measure_throughput *ret_throughput);
// False when so large a batch would take more than 1 GiB, or there are fewer rows.
bool ms_measure_takes_batch(const struct measure *m, size_t batch_rows, unsigned threads);

// The raw scores of all rows, one row at a time and all at once, are those in `want` (row-major), bit for bit.
MS_MUST_USE enum ms_err ms_measure_same_bits(struct measure *m, const double *want, struct errinfo *info,
					     bool *ret_same);

#endif
