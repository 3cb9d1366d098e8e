// SPDX-License-Identifier: Apache-2.0
// The two text forms of the metrics: Prometheus text format 0.0.4, and OpenMetrics 1.0.0, which differs in the names of
// counters' families, in units, in floats that always have a point, in escapes of the help and in its last line.
#include "observe/internal.h"

static const char *const type_names[] = {
	[METRIC_COUNTER] = "counter", [METRIC_GAUGE] = "gauge", [METRIC_HISTOGRAM] = "histogram"};

const char *ms_metrics_content_type(enum metrics_format format)
{
	return format == METRICS_OPENMETRICS ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
					     : "text/plain; version=0.0.4; charset=utf-8";
}

static void append_value(struct buf *out, double value)
{
	char text[NUMBER_SIZE];
	ms_buf_append(out, text, ms_format_double(value, 15, text));
}

// A bucket's bound as OpenMetrics wants it ("canonical numbers"): like %g of the Go language, with ".0" when it would
// look like an integer. The older format has it without.
static void append_bound(struct buf *out, double bound, enum metrics_format format)
{
	char text[NUMBER_SIZE];
	size_t n = ms_format_double(bound, 6, text);
	ms_buf_append(out, text, n);
	if (format == METRICS_OPENMETRICS && strpbrk(text, ".e") == NULL)
		ms_buf_append_cstr(out, ".0");
}

static void append_help(struct buf *out, const char *help, enum metrics_format format)
{
	for (; *help != '\0'; help++) {
		if (*help == '\n')
			ms_buf_append_cstr(out, "\\n");
		else if (*help == '\\' || (*help == '"' && format == METRICS_OPENMETRICS))
			ms_buf_printf(out, "\\%c", *help);
		else
			ms_buf_append_char(out, *help);
	}
}

static void append_head(struct buf *out, const struct metric_family *family, enum metrics_format format)
{
	const struct metric_options *options = &family->options;
	struct slice name = format == METRICS_OPENMETRICS ? family->base_name : ms_slice_cstr(options->name);
	ms_buf_printf(out, "# HELP %.*s ", MS_SLICE_ARG(name));
	append_help(out, options->help, format);
	ms_buf_printf(out, "\n# TYPE %.*s %s\n", MS_SLICE_ARG(name), type_names[options->type]);
	if (format == METRICS_OPENMETRICS && options->unit != NULL)
		ms_buf_printf(out, "# UNIT %.*s %s\n", MS_SLICE_ARG(name), options->unit);
}

// Everything of a sample up to its value; `bound` is NULL or the bucket's.
static void append_name(struct buf *out, const struct metric_series *series, const char *suffix, const double *bound,
			enum metrics_format format)
{
	ms_buf_append_cstr(out, series->family->options.name);
	ms_buf_append_cstr(out, suffix);
	bool is_bucket = suffix[0] == '_' && suffix[1] == 'b';
	if (series->labels_length > 0 || is_bucket) {
		ms_buf_append_char(out, '{');
		ms_buf_append(out, series->labels, series->labels_length);
		if (is_bucket) {
			ms_buf_append_cstr(out, series->labels_length > 0 ? ",le=\"" : "le=\"");
			if (bound != NULL)
				append_bound(out, *bound, format);
			else
				ms_buf_append_cstr(out, "+Inf");
			ms_buf_append_char(out, '"');
		}
		ms_buf_append_char(out, '}');
	}
	ms_buf_append_char(out, ' ');
}

static void append_histogram(struct buf *out, const struct metric_series *series, enum metrics_format format)
{
	const struct metric_options *options = &series->family->options;
	uint64_t buckets[MAX_BUCKETS + 1], count = 0;
	double sum;
	ms_series_buckets(series, buckets, &sum);
	for (size_t b = 0; b <= options->bucket_count; b++) {
		count += buckets[b];
		append_name(out, series, "_bucket", b < options->bucket_count ? &options->buckets[b] : NULL, format);
		ms_buf_append_u64(out, count);
		ms_buf_append_char(out, '\n');
	}
	append_name(out, series, "_sum", NULL, format);
	append_value(out, sum);
	ms_buf_append_char(out, '\n');
	append_name(out, series, "_count", NULL, format);
	ms_buf_append_u64(out, count);
	ms_buf_append_char(out, '\n');
}

static void append_series(struct buf *out, const struct metric_series *series, enum metrics_format format)
{
	if (series->family->options.type == METRIC_HISTOGRAM) {
		append_histogram(out, series, format);
		return;
	}
	append_name(out, series, "", NULL, format);
	if (series->family->options.type == METRIC_COUNTER && atomic_load(&series->set) == 0)
		ms_buf_append_u64(out, ms_counter_value(series)); // exact beyond 2^53
	else
		append_value(out, ms_series_value(series));
	ms_buf_append_char(out, '\n');
}

static void append_family(struct buf *out, struct metric_family *family, enum metrics_format format)
{
	pthread_mutex_lock(&family->lock);
	bool with_other = family->other != NULL && family->other->shown;
	if (family->first != NULL || with_other)
		append_head(out, family, format);
	for (const struct metric_series *series = family->first; series != NULL; series = series->next)
		append_series(out, series, format);
	if (with_other)
		append_series(out, family->other, format);
	pthread_mutex_unlock(&family->lock);
}

void ms_metrics_write(struct metrics *metrics, enum metrics_format format, struct buf *out)
{
	pthread_mutex_lock(&metrics->write_lock);
	pthread_mutex_lock(&metrics->lock);
	size_t collector_count = metrics->collector_count; // those that are there stay as they are
	pthread_mutex_unlock(&metrics->lock);
	for (size_t i = 0; i < collector_count; i++)
		metrics->collectors[i].fn(metrics->collectors[i].arg); // may make families and series
	pthread_mutex_lock(&metrics->lock);
	struct metric_family *first = metrics->first, *last = metrics->last;
	pthread_mutex_unlock(&metrics->lock);
	for (struct metric_family *family = first; family != NULL; family = family == last ? NULL : family->next)
		append_family(out, family, format);
	if (format == METRICS_OPENMETRICS)
		ms_buf_append_cstr(out, "# EOF\n");
	pthread_mutex_unlock(&metrics->write_lock);
}
