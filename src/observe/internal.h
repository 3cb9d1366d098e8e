// SPDX-License-Identifier: Apache-2.0
// What the files of observe share. Nobody else includes this.
#ifndef MS_OBSERVE_INTERNAL_H
#define MS_OBSERVE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "observe/observe.h"

// --- Log lines ---------------------------------------------------------------------------------------

#define LOG_LINE_MAX ((size_t)8192)

struct log_style {
	bool json;
	bool colour;
	struct slice constants; // the members that are the same in each line of JSON
};

struct log_event {
	int64_t unix_ns;
	enum log_level level;
	const char *message;
	const struct log_field *fields;
	size_t count;
};

// Writes the line with its newline and returns its length.
size_t ms_log_format(const struct log_style *style, const struct log_event *event, char dst[LOG_LINE_MAX]);

// --- Numbers -----------------------------------------------------------------------------------------

#define NUMBER_SIZE 32
// The shortest decimal text that reads back as the same double, without exponent for 1e-4 <= |value| < 10^plain_digits;
// "NaN", "+Inf", "-Inf". Returns the length.
size_t ms_format_double(double value, int plain_digits, char dst[NUMBER_SIZE]);

// --- Metrics -----------------------------------------------------------------------------------------

#define CACHE_LINE ((size_t)64)
#define MAX_BUCKETS 32

// The cells of one shard. Each shard's start a cache line of their own, so that threads do not share lines.
union metric_cell {
	_Atomic uint64_t count; // counters; the buckets of histograms, the last one +Inf
	_Atomic double number;  // gauges: what was added; histograms: the sum, behind the buckets
};

struct metric_series {
	struct metric_family *family;
	struct metric_series *next; // of the family's live or retired series
	char *labels;               // a="x",b="y"; the key in the family's map
	size_t labels_length;
	bool shown;               // "other" is not shown before its first use
	_Atomic double set;       // by ms_gauge_set and ms_counter_set
	union metric_cell *cells; // of all shards; behind this struct
};

struct metric_family {
	struct metric_options options;
	struct slice base_name; // without the _total of a counter
	struct metrics *metrics;
	struct metric_family *next;
	size_t cells_per_shard;

	pthread_mutex_t lock; // guards what follows
	struct map by_labels;
	struct metric_series *first, *last;                 // live, in the order of their making
	struct metric_series *retired_first, *retired_last; // oldest first
	struct metric_series *other;
	size_t live;
};

struct metrics_collector {
	metrics_collect_fn *fn;
	void *arg;
};

#define MAX_COLLECTORS 256

#define PROCESS_METRICS 8

struct metrics {
	unsigned shards; // without the shared one
	struct metric_series *series_dropped;
	struct metric_series *process[PROCESS_METRICS]; // of ms_metrics_register_process
	const struct log *log;                          // likewise

	pthread_mutex_t write_lock; // one output at a time
	pthread_mutex_t lock;       // guards what follows; never held while a family's is taken
	struct map by_base_name;
	struct metric_family *first, *last; // append-only
	struct metrics_collector collectors[MAX_COLLECTORS];
	size_t collector_count;
};

// The value of a counter or gauge.
double ms_series_value(const struct metric_series *series);
// The histogram's buckets summed over shards, not cumulative.
void ms_series_buckets(const struct metric_series *series, uint64_t ret_buckets[MAX_BUCKETS + 1], double *ret_sum);

#endif
