// SPDX-License-Identifier: Apache-2.0
// What the program tells about itself: log lines, metrics, trace ids. Primitives only; the pages that show
// them are in console.
#ifndef MS_OBSERVE_OBSERVE_H
#define MS_OBSERVE_OBSERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

// --- Log ---------------------------------------------------------------------------------------------
// One event is one line: JSON with the field names of the Elastic Common Schema (ecs.version 8.11), or a
// readable form on a terminal. Thread-safe. A line is formatted on the caller's stack and handed to a writer thread
// through a bounded ring; when the ring is full the line is dropped and counted (mainstay_log_dropped_total), because
// a slow reader of our log must not stop a request. Lines of level ERROR wait instead: for room, before all others,
// and until they are written, together at most 100 ms; a reader that stands still is waited for once, until it moves
// again.
// A line has at most 8 KiB: longer values are cut, what does not fit is left out, and the line ends in
// "log.truncated": true (text form: "[cut]").

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_JSON, LOG_FORMAT_TEXT }; // AUTO: text on a terminal, else JSON

struct log;
struct log_options {
	enum log_level level;
	enum log_format format;
	int fd;              // 2 for standard error; not closed
	const char *service; // service.name
	const char *version; // service.version
};
MS_MUST_USE enum ms_err ms_log_new(const struct log_options *options, struct errinfo *info, struct log **ret_log);
// Writes what is pending; gives up when the reader takes nothing for 2 s. Accepts NULL.
void ms_log_free(struct log *log);
// Waits until all lines up to now are written, or the reader takes nothing for 2 s. Accepts NULL. May block.
void ms_log_flush(struct log *log);
void ms_log_set_level(struct log *log, enum log_level level);                      // from any thread
MS_MUST_USE bool ms_log_level_parse(struct slice text, enum log_level *ret_level); // "info", "INFO", "warning"

struct log_field {
	const char *key; // ECS name such as "http.request.method"; static text
	enum log_field_type { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_FLOAT, LOG_FIELD_BOOL } type;
	struct slice str;
	int64_t i;
	double f;
};
#define MS_LOG_STR(k, s) ((struct log_field){.key = (k), .type = LOG_FIELD_STR, .str = (s)})
#define MS_LOG_CSTR(k, s) ((struct log_field){.key = (k), .type = LOG_FIELD_STR, .str = ms_slice_cstr(s)})
#define MS_LOG_INT(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_INT, .i = (v)})
#define MS_LOG_FLOAT(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_FLOAT, .f = (v)})
#define MS_LOG_BOOL(k, v) ((struct log_field){.key = (k), .type = LOG_FIELD_BOOL, .i = (v)})

// text: a short sentence, constant per place. Values of keys that name secrets (password, token,
// authorization, cookie, secret, key material) are replaced by "[redacted]"; so are credentials in URLs and
// the like: what stands before the '@' of an authority, and the value of any "name=value" whose name names a
// secret. Numbers and truth values are replaced only when the key ends in such a word ("token_count" is shown).
#define ms_log(to, severity, text, ...)                                                                          \
	do {                                                                                                     \
		struct log *ms_log_ = (to);                                                                      \
		if (ms_log_enabled(ms_log_, (severity))) {                                                       \
			const struct log_field ms_fields_[] = {{0}, ##__VA_ARGS__};                              \
			ms_log_write(ms_log_, (severity), (text), ms_fields_ + 1, MS_ARRAY_LEN(ms_fields_) - 1); \
		}                                                                                                \
	} while (0)
bool ms_log_enabled(const struct log *log, enum log_level level); // false for a NULL log
void ms_log_write(struct log *log, enum log_level level, const char *message, const struct log_field *fields,
		  size_t count);
uint64_t ms_log_dropped(const struct log *log); // lines, since the start; 0 for NULL

// --- Metrics -----------------------------------------------------------------------------------------
// Families have a fixed set of label names; a series is one combination of label values. Series are found
// once (takes a lock) and kept by the caller; updating a series touches only the caller's shard: no lock.
// A shard belongs to one thread: loop threads pass their loop index; every other thread passes
// MS_METRICS_SHARED_SHARD, whose updates are atomic. A family holds at most `max_series`; further
// combinations fall into one series whose label values are all "other", and each request for such a series is counted
// in mainstay_metrics_series_dropped_total. Label values are cut at 128 bytes; what is not UTF-8 becomes U+FFFD.
// Options are our own text: breaking the naming rules fails an assertion. Updates accept a NULL series.

struct metrics;
struct metric_family;
struct metric_series;
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };
#define MS_METRICS_SHARED_SHARD UINT32_MAX
#define MS_METRICS_MAX_LABELS 6

struct metric_options {
	const char *name; // Prometheus name; a counter's ends in _total; static text
	const char *help; // one sentence; static text
	const char *unit; // "seconds", "bytes" or NULL; the name ends in it
	enum metric_type type;
	const char *const *labels; // static
	size_t label_count;        // at most MS_METRICS_MAX_LABELS
	const double *buckets;     // histograms: ascending upper bounds without +Inf; static
	size_t bucket_count;       // at most 32
	size_t max_series;         // 0 = 1000
};

// `shards`: the number of loop threads.
MS_MUST_USE enum ms_err ms_metrics_new(unsigned shards, struct metrics **ret_metrics);
void ms_metrics_free(struct metrics *metrics);
// The same name twice gives the first family. NULL when memory is out. A name that differs only by _total is refused
// by an assertion, because OpenMetrics knows both by one name.
struct metric_family *ms_metrics_family(struct metrics *metrics, const struct metric_options *options);
// Values in the order of the labels. Never NULL except when memory is out at the very first series.
struct metric_series *ms_metrics_series(struct metric_family *family, const struct slice *values);
// Drops the series (a model that is gone). Callers must have dropped their pointers' use: the memory stays valid
// until ms_metrics_free, but a later series of the family may take it over.
void ms_metrics_retire(struct metric_family *family, const struct slice *values);

void ms_counter_add(struct metric_series *series, uint32_t shard, uint64_t n);
// A gauge is either set or added to; used both ways it shows the last set value plus all that was added.
void ms_gauge_set(struct metric_series *series, double value);                 // any thread, atomic
void ms_gauge_add(struct metric_series *series, uint32_t shard, double delta); // sums over shards
// NaN is ignored: it would spoil the sum for good.
void ms_histogram_observe(struct metric_series *series, uint32_t shard, double value);
uint64_t ms_counter_value(const struct metric_series *series); // sum over shards
// Count and sum of a histogram over shards.
void ms_histogram_totals(const struct metric_series *series, uint64_t *ret_count, double *ret_sum);

// A callback that sets gauges or counters right before each output (process figures, pool depths).
typedef void metrics_collect_fn(void *arg);
// On the thread that calls ms_metrics_write, one at a time. False when memory is out or 256 are registered.
MS_MUST_USE bool ms_metrics_on_collect(struct metrics *metrics, metrics_collect_fn *fn, void *arg);
// For counters whose value is kept elsewhere (process_cpu_seconds_total): sets the absolute value, which may be
// fractional.
void ms_counter_set(struct metric_series *series, double value);

// The standard process_… metrics (resident and virtual memory, processor time, descriptors, threads, start time) and
// mainstay_log_dropped_total; `log` may be NULL. Once for each `metrics`; `log` outlives the last write. False when
// memory is out.
MS_MUST_USE bool ms_metrics_register_process(struct metrics *metrics, const struct log *log);

enum metrics_format { METRICS_PROMETHEUS_TEXT, METRICS_OPENMETRICS }; // text 0.0.4; OpenMetrics 1.0 (ends in # EOF)
// By quality of the Accept header (RFC 9110 section 12.5.1); text 0.0.4 when nothing fits or the header is absent.
enum metrics_format ms_metrics_negotiate(struct slice accept);
const char *ms_metrics_content_type(enum metrics_format format);
// Runs the collectors, then appends all families in the order of their registration, without those that have no series.
// A buffer that meets its limit is failed, as ms_buf_ok() tells. From any thread; takes about a microsecond a line.
void ms_metrics_write(struct metrics *metrics, enum metrics_format format, struct buf *out);

// --- Trace -------------------------------------------------------------------------------------------
// W3C Trace Context (Recommendation of 23 November 2021), version 00.

struct trace_context {
	uint8_t trace_id[16];
	uint8_t parent_id[8];
	uint8_t flags; // bit 0: sampled
	bool valid;
};
// False (and ret untouched) when the header does not follow the grammar or an id is all zero. Versions after 00 are read
// as far as 00 goes; of the flags only bit 0 is taken.
MS_MUST_USE bool ms_trace_parse(struct slice traceparent, struct trace_context *ret_context);
#define MS_TRACEPARENT_LEN 55
void ms_trace_format(const struct trace_context *context, char dst[MS_TRACEPARENT_LEN + 1]);
// 32 lower-case hex digits and NUL.
void ms_trace_id_hex(const struct trace_context *context, char dst[33]);

#endif
