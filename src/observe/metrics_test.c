// SPDX-License-Identifier: Apache-2.0
// Metrics: values over shards, limits, and both text forms byte by byte.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "observe/internal.h"
#include "rt/rt.h"
#include "tests/lib/test.h"

#define SHARED MS_METRICS_SHARED_SHARD

static struct metrics *new_metrics(unsigned shards)
{
	struct metrics *metrics;
	REQUIRE(ms_metrics_new(shards, &metrics) == MS_OK);
	return metrics;
}

#define DROPPED_HELP \
	"Requests for a metric series that were answered with the series other, because the family was full."

// Compares the output, less the family that is always there.
static void check_output(struct metrics *metrics, enum metrics_format format, const char *want)
{
	const char *head = format == METRICS_OPENMETRICS ? "# HELP mainstay_metrics_series_dropped " DROPPED_HELP
							   "\n# TYPE mainstay_metrics_series_dropped counter\n"
							   "mainstay_metrics_series_dropped_total 0\n"
							 : "# HELP mainstay_metrics_series_dropped_total " DROPPED_HELP
							   "\n# TYPE mainstay_metrics_series_dropped_total counter\n"
							   "mainstay_metrics_series_dropped_total 0\n";
	struct buf out;
	ms_buf_init(&out, 1 << 20);
	ms_metrics_write(metrics, format, &out);
	CHECK(ms_buf_ok(&out));
	CHECK(ms_slice_starts_with(ms_buf_slice(&out), ms_slice_cstr(head)));
	CHECK_SLICE(ms_slice_sub(ms_buf_slice(&out), strlen(head), out.n), want);
	ms_buf_fini(&out);
}

static const char *const model_labels[] = {"model"};

static struct metric_family *counters(struct metrics *metrics, size_t max_series)
{
	return ms_metrics_family(metrics, &(struct metric_options){.name = "requests_total",
								   .help = "Requests.",
								   .type = METRIC_COUNTER,
								   .labels = model_labels,
								   .label_count = 1,
								   .max_series = max_series});
}

static struct metric_series *counter_of(struct metric_family *family, const char *model)
{
	return ms_metrics_series(family, &(struct slice){model, strlen(model)});
}

TEST(counter_sums_over_shards)
{
	struct metrics *metrics = new_metrics(2);
	struct metric_series *a = counter_of(counters(metrics, 0), "a");
	ms_counter_add(a, 0, 1);
	ms_counter_add(a, 1, 10);
	ms_counter_add(a, 1, 10);
	ms_counter_add(a, SHARED, 100);
	CHECK_INT(ms_counter_value(a), 121);
	CHECK(counter_of(counters(metrics, 0), "a") == a); // the same family, the same series
	counter_of(counters(metrics, 0), "b");
	check_output(metrics, METRICS_PROMETHEUS_TEXT,
		     "# HELP requests_total Requests.\n# TYPE requests_total counter\n"
		     "requests_total{model=\"a\"} 121\nrequests_total{model=\"b\"} 0\n");
	check_output(metrics, METRICS_OPENMETRICS,
		     "# HELP requests Requests.\n# TYPE requests counter\n"
		     "requests_total{model=\"a\"} 121\nrequests_total{model=\"b\"} 0\n# EOF\n");
	ms_counter_add(a, 0, UINT64_C(9007199254740993) - 121); // 2^53 + 1: exact
	check_output(metrics, METRICS_PROMETHEUS_TEXT,
		     "# HELP requests_total Requests.\n# TYPE requests_total counter\n"
		     "requests_total{model=\"a\"} 9007199254740993\nrequests_total{model=\"b\"} 0\n");
	ms_metrics_free(metrics);
	ms_metrics_free(NULL);
}

TEST(updates_accept_no_series)
{
	ms_counter_add(NULL, 0, 1);
	ms_counter_set(NULL, 1);
	ms_gauge_set(NULL, 1);
	ms_gauge_add(NULL, 0, 1);
	ms_histogram_observe(NULL, 0, 1);
	CHECK_INT(ms_counter_value(NULL), 0);
	uint64_t count = 1;
	double sum = 1;
	ms_histogram_totals(NULL, &count, &sum);
	CHECK(count == 0 && sum == 0);
	CHECK(ms_metrics_series(NULL, NULL) == NULL);
	ms_metrics_retire(NULL, NULL);
}

TEST(gauge_is_set_or_added_to)
{
	struct metrics *metrics = new_metrics(2);
	struct metric_options set = {
		.name = "temperature_celsius", .help = "T.", .unit = "celsius", .type = METRIC_GAUGE};
	struct metric_options add = {.name = "connections", .help = "C.", .type = METRIC_GAUGE};
	struct metric_series *t = ms_metrics_series(ms_metrics_family(metrics, &set), NULL);
	struct metric_series *c = ms_metrics_series(ms_metrics_family(metrics, &add), NULL);
	ms_gauge_set(t, 5);
	ms_gauge_set(t, -0.25);
	ms_gauge_add(c, 0, 3);
	ms_gauge_add(c, 1, -1); // closed by another shard than opened it
	ms_gauge_add(c, SHARED, 0.5);
	check_output(metrics, METRICS_OPENMETRICS,
		     "# HELP temperature_celsius T.\n# TYPE temperature_celsius gauge\n"
		     "# UNIT temperature_celsius celsius\ntemperature_celsius -0.25\n"
		     "# HELP connections C.\n# TYPE connections gauge\nconnections 2.5\n# EOF\n");
	ms_gauge_set(t, NAN);
	ms_gauge_add(c, 0, INFINITY);
	check_output(metrics, METRICS_PROMETHEUS_TEXT,
		     "# HELP temperature_celsius T.\n# TYPE temperature_celsius gauge\ntemperature_celsius NaN\n"
		     "# HELP connections C.\n# TYPE connections gauge\nconnections +Inf\n");
	ms_metrics_free(metrics);
}

static const double bounds[] = {0.001, 0.25, 1, 2.5, 1000000};

static struct metric_family *latencies(struct metrics *metrics)
{
	return ms_metrics_family(metrics, &(struct metric_options){.name = "latency_seconds",
								   .help = "Time.",
								   .unit = "seconds",
								   .type = METRIC_HISTOGRAM,
								   .labels = model_labels,
								   .label_count = 1,
								   .buckets = bounds,
								   .bucket_count = MS_ARRAY_LEN(bounds)});
}

TEST(histogram_counts_into_buckets)
{
	struct metrics *metrics = new_metrics(2);
	struct metric_series *h = counter_of(latencies(metrics), "m");
	ms_histogram_observe(h, 0, 0.001); // a bound belongs to its bucket
	ms_histogram_observe(h, 1, 0.0010000001);
	ms_histogram_observe(h, SHARED, 2.5);
	ms_histogram_observe(h, 0, 2e6);
	ms_histogram_observe(h, 0, NAN); // ignored
	ms_histogram_observe(h, 1, -1);
	uint64_t count;
	double sum;
	ms_histogram_totals(h, &count, &sum);
	CHECK_INT(count, 5);
	CHECK(fabs(sum - 2000001.5020000001) < 1e-9);
	ms_histogram_observe(h, 1, -0.0020000001); // so that the sum is a short number
	const char *text = "# HELP latency_seconds Time.\n# TYPE latency_seconds histogram\n"
			   "latency_seconds_bucket{model=\"m\",le=\"0.001\"} 3\n"
			   "latency_seconds_bucket{model=\"m\",le=\"0.25\"} 4\n"
			   "latency_seconds_bucket{model=\"m\",le=\"1\"} 4\n"
			   "latency_seconds_bucket{model=\"m\",le=\"2.5\"} 5\n"
			   "latency_seconds_bucket{model=\"m\",le=\"1e+06\"} 5\n"
			   "latency_seconds_bucket{model=\"m\",le=\"+Inf\"} 6\n"
			   "latency_seconds_sum{model=\"m\"} 2000001.5\n"
			   "latency_seconds_count{model=\"m\"} 6\n";
	check_output(metrics, METRICS_PROMETHEUS_TEXT, text);
	const char *open = "# HELP latency_seconds Time.\n# TYPE latency_seconds histogram\n"
			   "# UNIT latency_seconds seconds\n"
			   "latency_seconds_bucket{model=\"m\",le=\"0.001\"} 3\n"
			   "latency_seconds_bucket{model=\"m\",le=\"0.25\"} 4\n"
			   "latency_seconds_bucket{model=\"m\",le=\"1.0\"} 4\n"
			   "latency_seconds_bucket{model=\"m\",le=\"2.5\"} 5\n"
			   "latency_seconds_bucket{model=\"m\",le=\"1e+06\"} 5\n"
			   "latency_seconds_bucket{model=\"m\",le=\"+Inf\"} 6\n"
			   "latency_seconds_sum{model=\"m\"} 2000001.5\n"
			   "latency_seconds_count{model=\"m\"} 6\n# EOF\n";
	check_output(metrics, METRICS_OPENMETRICS, open);
	ms_metrics_free(metrics);
}

TEST(histogram_without_labels)
{
	struct metrics *metrics = new_metrics(1);
	struct metric_options options = {.name = "size_bytes", .help = "S.", .type = METRIC_HISTOGRAM};
	struct metric_series *h = ms_metrics_series(ms_metrics_family(metrics, &options), NULL);
	ms_histogram_observe(h, 0, 7);
	check_output(metrics, METRICS_PROMETHEUS_TEXT,
		     "# HELP size_bytes S.\n# TYPE size_bytes histogram\nsize_bytes_bucket{le=\"+Inf\"} 1\n"
		     "size_bytes_sum 7\nsize_bytes_count 1\n");
	ms_metrics_free(metrics);
}

TEST(text_is_escaped)
{
	struct metrics *metrics = new_metrics(1);
	static const char *const labels[] = {"a", "b"};
	struct metric_options options = {.name = "g", .help = "a \"b\" \\ c\nd", .type = METRIC_GAUGE};
	options.labels = labels;
	options.label_count = 2;
	struct metric_family *family = ms_metrics_family(metrics, &options);
	char big[300];
	memset(big, '"', sizeof(big));
	struct slice values[2] = {MS_SLICE_LIT("x\"\\\n\xc3\xa4\xff"), MS_SLICE_EMPTY};
	ms_gauge_set(ms_metrics_series(family, values), 1);
	values[0] = ms_slice(big, sizeof(big)); // cut at 128 bytes
	struct metric_series *series = ms_metrics_series(family, values);
	CHECK_INT(series->labels_length, 3 + 256 + 1 + 5);
	values[0].n--; // the same when cut
	CHECK(ms_metrics_series(family, values) == series);
	ms_metrics_retire(family, values);
	check_output(metrics, METRICS_PROMETHEUS_TEXT,
		     "# HELP g a \"b\" \\\\ c\\nd\n# TYPE g gauge\n"
		     "g{a=\"x\\\"\\\\\\n\xc3\xa4\xef\xbf\xbd\",b=\"\"} 1\n");
	check_output(metrics, METRICS_OPENMETRICS,
		     "# HELP g a \\\"b\\\" \\\\ c\\nd\n# TYPE g gauge\n"
		     "g{a=\"x\\\"\\\\\\n\xc3\xa4\xef\xbf\xbd\",b=\"\"} 1\n# EOF\n");
	ms_metrics_free(metrics);
}

TEST(label_values_of_any_bytes_give_valid_utf8)
{
	struct metrics *metrics = new_metrics(1);
	struct metric_family *family = counters(metrics, 500);
	for (int round = 0; round < 500; round++) {
		char bytes[200];
		size_t n = ms_rand_below(ms_test_rand(), sizeof(bytes));
		for (size_t i = 0; i < n; i++)
			bytes[i] = (char)(ms_rand_below(ms_test_rand(), 3) == 0
						  ? '"'
						  : 0x80 + ms_rand_below(ms_test_rand(), 128));
		struct slice value = ms_slice(bytes, n);
		struct metric_series *series = ms_metrics_series(family, &value);
		CHECK_INT(ms_utf8_valid_prefix(ms_slice(series->labels, series->labels_length)), series->labels_length);
		CHECK(series->labels_length <= strlen("model=\"\"") + 256);
	}
	ms_metrics_free(metrics);
}

TEST(family_is_bounded_and_the_rest_is_other)
{
	struct metrics *metrics = new_metrics(1);
	struct metric_family *family = counters(metrics, 2);
	struct metric_series *a = counter_of(family, "a"), *b = counter_of(family, "b");
	struct metric_series *other = counter_of(family, "c");
	CHECK(a != b && other != a && other != b);
	CHECK(counter_of(family, "d") == other);
	CHECK(counter_of(family, "a") == a);
	CHECK(counter_of(family, "other") == other); // asked for by name: no surplus
	CHECK_INT(ms_counter_value(metrics->series_dropped), 2);
	ms_counter_add(other, 0, 5);
	struct buf out;
	ms_buf_init(&out, 10000);
	ms_metrics_write(metrics, METRICS_PROMETHEUS_TEXT, &out);
	ms_buf_append_char(&out, '\0');
	CHECK_HAS(out.p, "mainstay_metrics_series_dropped_total 2\n");
	CHECK_HAS(out.p,
		  "requests_total{model=\"a\"} 0\nrequests_total{model=\"b\"} 0\nrequests_total{model=\"other\"} 5\n");
	ms_buf_fini(&out);
	ms_metrics_free(metrics);
}

TEST(other_may_be_the_first)
{
	struct metrics *metrics = new_metrics(1);
	struct metric_family *family = counters(metrics, 1);
	struct metric_series *other = counter_of(family, "other");
	CHECK(other != NULL && counter_of(family, "a") != other && counter_of(family, "b") == other);
	CHECK_INT(ms_counter_value(metrics->series_dropped), 1);
	ms_metrics_free(metrics);
}

TEST(retired_series_is_gone_and_its_memory_serves_again)
{
	struct metrics *metrics = new_metrics(1);
	struct metric_family *family = counters(metrics, 3);
	struct metric_series *series[3];
	static const char *const names[] = {"a", "b", "c"};
	for (size_t i = 0; i < 3; i++) {
		series[i] = counter_of(family, names[i]);
		ms_counter_add(series[i], 0, i + 1);
	}
	struct slice b = MS_SLICE_LIT("b"), c = MS_SLICE_LIT("c"), none = MS_SLICE_LIT("none");
	ms_metrics_retire(family, &c);
	ms_metrics_retire(family, &b);
	ms_metrics_retire(family, &b);
	ms_metrics_retire(family, &none);
	ms_counter_add(series[1], 0, 1); // too late, but harmless
	check_output(metrics, METRICS_PROMETHEUS_TEXT,
		     "# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total{model=\"a\"} 1\n");
	struct metric_series *d = counter_of(family, "d");
	CHECK(d == series[2]); // the one that was retired first
	CHECK_INT(ms_counter_value(d), 0);
	CHECK(counter_of(family, "b") == series[1]);
	check_output(metrics, METRICS_PROMETHEUS_TEXT,
		     "# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total{model=\"a\"} 1\n"
		     "requests_total{model=\"d\"} 0\nrequests_total{model=\"b\"} 0\n");
	for (size_t i = 0; i < 3; i++) {
		struct slice name = ms_slice_cstr((const char *const[]){"a", "d", "b"}[i]);
		ms_metrics_retire(family, &name);
	}
	check_output(metrics, METRICS_PROMETHEUS_TEXT, ""); // no series, no family
	ms_metrics_free(metrics);
}

struct depth {
	struct metrics *metrics;
	struct metric_series *gauge;
	double value;
};

static void collect_depth(void *arg)
{
	struct depth *depth = arg;
	struct metric_options late = {.name = "made_while_collecting", .help = "L.", .type = METRIC_GAUGE};
	ms_gauge_set(depth->gauge, ++depth->value);
	ms_gauge_set(ms_metrics_series(ms_metrics_family(depth->metrics, &late), NULL), 1);
}

TEST(collectors_run_before_each_output)
{
	struct metrics *metrics = new_metrics(1);
	struct metric_options options = {.name = "depth", .help = "D.", .type = METRIC_GAUGE};
	struct depth depth = {metrics, ms_metrics_series(ms_metrics_family(metrics, &options), NULL), 0};
	CHECK(ms_metrics_on_collect(metrics, collect_depth, &depth));
	for (int i = 1; i <= 2; i++) {
		char want[256];
		snprintf(want, sizeof(want),
			 "# HELP depth D.\n# TYPE depth gauge\ndepth %d\n# HELP made_while_collecting L.\n"
			 "# TYPE made_while_collecting gauge\nmade_while_collecting 1\n",
			 i);
		check_output(metrics, METRICS_PROMETHEUS_TEXT, want);
	}
	for (int i = 1; i < 256; i++)
		CHECK(ms_metrics_on_collect(metrics, collect_depth, &depth));
	CHECK(!ms_metrics_on_collect(metrics, collect_depth, &depth));
	ms_metrics_free(metrics);
}

TEST(process_metrics_have_their_standard_names)
{
	struct metrics *metrics = new_metrics(1);
	CHECK(ms_metrics_register_process(metrics, NULL));
	struct buf out;
	ms_buf_init(&out, 100000);
	ms_metrics_write(metrics, METRICS_OPENMETRICS, &out);
	ms_buf_append_char(&out, '\0');
	static const char *const lines[] = {
		"# UNIT process_resident_memory_bytes bytes\nprocess_resident_memory_bytes ",
		"\nprocess_virtual_memory_bytes ",
		"# TYPE process_cpu_seconds counter\n# UNIT process_cpu_seconds seconds\nprocess_cpu_seconds_total ",
		"\nprocess_open_fds ",
		"\nprocess_max_fds ",
		"\nprocess_threads ",
		"# UNIT process_start_time_seconds seconds\nprocess_start_time_seconds ",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(lines); i++)
		CHECK_HAS(out.p, lines[i]);
	double start = strtod(strstr(out.p, "\nprocess_start_time_seconds ") + 28, NULL);
	double now = (double)ms_clock_wall_ns() / 1e9;
	CHECK(start <= now && start > now - 3600);
	double resident = strtod(strstr(out.p, "\nprocess_resident_memory_bytes ") + 31, NULL);
	CHECK(resident > 100000);
	CHECK(strstr(out.p, "mainstay_log_dropped") == NULL);
	ms_buf_fini(&out);
	ms_metrics_free(metrics);
}

TEST(output_meets_the_limit_of_its_buffer)
{
	struct metrics *metrics = new_metrics(1);
	struct buf out;
	ms_buf_init(&out, 100);
	ms_metrics_write(metrics, METRICS_OPENMETRICS, &out);
	CHECK(!ms_buf_ok(&out));
	ms_buf_fini(&out);
	ms_metrics_free(metrics);
}

// --- Threads -----------------------------------------------------------------------------------------

enum { UPDATES = 200000, THREADS = 4 };

struct updater {
	struct metrics *metrics;
	uint32_t shard;
	atomic_uint *running;
	pthread_barrier_t *start; // so that they meet
};

static void update(void *arg)
{
	struct updater *u = arg;
	struct metric_series *counter = counter_of(counters(u->metrics, 0), "m");
	struct metric_series *histogram = counter_of(latencies(u->metrics), "m");
	struct metric_options options = {.name = "open", .help = "O.", .type = METRIC_GAUGE};
	struct metric_series *gauge = ms_metrics_series(ms_metrics_family(u->metrics, &options), NULL);
	pthread_barrier_wait(u->start);
	for (int i = 0; i < UPDATES; i++) {
		ms_counter_add(counter, u->shard, 1);
		ms_histogram_observe(histogram, u->shard, 0.5);
		ms_gauge_add(gauge, u->shard, i % 2 == 0 ? 1 : -1);
	}
	--*u->running;
}

TEST(threads_lose_no_update_while_others_read)
{
	struct metrics *metrics = new_metrics(2);
	atomic_uint running = THREADS;
	pthread_barrier_t start;
	pthread_barrier_init(&start, NULL, THREADS);
	struct updater updaters[THREADS];
	struct thread *threads[THREADS];
	for (uint32_t i = 0; i < THREADS; i++) {
		updaters[i] = (struct updater){metrics, i < 2 ? i : SHARED, &running, &start};
		REQUIRE(ms_thread_new("update", update, &updaters[i], NULL, &threads[i]) == MS_OK);
	}
	struct buf out;
	ms_buf_init(&out, 100000);
	do {
		ms_buf_clear(&out);
		ms_metrics_write(metrics, METRICS_PROMETHEUS_TEXT, &out);
		CHECK(ms_buf_ok(&out));
	} while (running > 0);
	for (size_t i = 0; i < THREADS; i++)
		ms_thread_join(threads[i]);
	pthread_barrier_destroy(&start);
	ms_buf_clear(&out);
	ms_metrics_write(metrics, METRICS_PROMETHEUS_TEXT, &out);
	ms_buf_append_char(&out, '\0');
	CHECK_HAS(out.p, "requests_total{model=\"m\"} 800000\n");
	CHECK_HAS(out.p, "latency_seconds_bucket{model=\"m\",le=\"0.25\"} 0\n");
	CHECK_HAS(out.p, "latency_seconds_bucket{model=\"m\",le=\"1\"} 800000\n");
	CHECK_HAS(out.p, "latency_seconds_sum{model=\"m\"} 400000\nlatency_seconds_count{model=\"m\"} 800000\n");
	CHECK_HAS(out.p, "\nopen 0\n");
	ms_buf_fini(&out);
	ms_metrics_free(metrics);
}

static void use_metrics(void)
{
	struct metrics *metrics = NULL;
	enum ms_err err = ms_metrics_new(1, &metrics);
	if (err != MS_OK) {
		CHECK(err == MS_ERR_NO_MEMORY && ms_test_allocation_failed());
		return;
	}
	struct metric_family *family = counters(metrics, 0);
	struct metric_series *first = counter_of(family, "a");
	CHECK(first != NULL || ms_test_allocation_failed());
	for (int i = 0; i < 20; i++) {
		char name[8];
		snprintf(name, sizeof(name), "m%d", i);
		struct metric_series *next = counter_of(family, name);
		CHECK(next != NULL || first == NULL);
		ms_counter_add(next, 0, 1);
		struct slice retired = ms_slice_cstr(name);
		if (i % 3 == 0)
			ms_metrics_retire(family, &retired);
	}
	CHECK(ms_metrics_register_process(metrics, NULL) || ms_test_allocation_failed());
	struct buf out;
	ms_buf_init(&out, 100000);
	ms_metrics_write(metrics, METRICS_OPENMETRICS, &out);
	CHECK(ms_buf_ok(&out) || ms_test_allocation_failed());
	ms_buf_fini(&out);
	ms_metrics_free(metrics);
}

TEST(metrics_survive_failing_allocations)
{
	ms_test_torture(use_metrics);
}

// --- Numbers and negotiation -------------------------------------------------------------------------

TEST(doubles_are_short_and_exact)
{
	static const struct {
		double value;
		int plain_digits;
		const char *want;
	} cases[] = {
		{0, 15, "0"},
		{-0.0, 15, "-0"},
		{1, 15, "1"},
		{0.1, 15, "0.1"},
		{0.001, 6, "0.001"},
		{0.0001, 6, "0.0001"},
		{0.00001, 6, "1e-05"},
		{0.000125, 15, "0.000125"},
		{0.1 + 0.2, 15, "0.30000000000000004"},
		{1.0 / 3, 15, "0.3333333333333333"},
		{100000, 6, "100000"},
		{1000000, 6, "1e+06"},
		{1048576, 6, "1.048576e+06"},
		{1048576, 15, "1048576"},
		{123456.75, 6, "123456.75"},
		{1e10, 6, "1e+10"},
		{1e-10, 6, "1e-10"},
		{1e15, 15, "1e+15"},
		{999999999999999, 15, "999999999999999"},
		{-12.5, 15, "-12.5"},
		{1.7976931348623157e308, 15, "1.7976931348623157e+308"},
		{5e-324, 15, "4.94065645841247e-324"},
		{INFINITY, 15, "+Inf"},
		{-INFINITY, 15, "-Inf"},
		{NAN, 15, "NaN"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		char text[NUMBER_SIZE];
		CHECK_INT(ms_format_double(cases[i].value, cases[i].plain_digits, text), strlen(cases[i].want));
		CHECK_STR(text, cases[i].want);
	}
	for (int i = 0; i < 20000; i++) {
		uint64_t bits = ms_rand_u64(ms_test_rand());
		double value;
		memcpy(&value, &bits, sizeof(value));
		if (!isfinite(value))
			continue;
		if (i % 2 == 0)
			value = (double)(int64_t)(bits >> 30) / 1000;
		char text[NUMBER_SIZE];
		CHECK(ms_format_double(value, i % 3 == 0 ? 6 : 15, text) < NUMBER_SIZE);
		CHECK_F64(strtod(text, NULL), value);
	}
}

TEST(accept_is_negotiated_by_quality)
{
	static const struct {
		const char *accept;
		bool open;
	} cases[] = {
		{"", false},
		{"*/*", false},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false},
		{"text/plain", false},
		{"application/openmetrics-text", true},
		{"application/openmetrics-text; version=1.0.0; charset=utf-8", true},
		{"Application/OpenMetrics-Text;Version=\"1.0.0\"", true},
		{"application/openmetrics-text;version=0.0.1", true},
		{"application/openmetrics-text;version=2.0.0", false},
		{"application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0;q=0.1", true},
		// What Prometheus 2 and 3 send.
		{"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
		 "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		 true},
		{"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
		 "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
		 "text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
		 true},
		{"application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,"
		 "text/plain;version=0.0.4;q=0.6,*/*;q=0.5",
		 false},
		{"text/plain;q=0.5, application/openmetrics-text;q=0.4", false},
		{"text/plain;q=0.4, application/openmetrics-text;q=0.5", true},
		{"text/plain, application/openmetrics-text", false},
		{"application/openmetrics-text, */*", true},
		{"application/*, text/*;q=0.9", true},
		{"application/openmetrics-text;q=0, */*", false},
		{"application/openmetrics-text;q=0", false},
		{"text/plain;q=0, */*;q=0.1", true},
		{"application/openmetrics-text;q=0.001", true},
		{"application/openmetrics-text;q=0.0001", false},
		{"application/openmetrics-text;q=1.1", false},
		{"application/openmetrics-text;q=1.000", true},
		{"application/openmetrics-text;q=", false},
		{"application/openmetrics-text;q=x", false},
		{"application/openmetrics-text;x=\"a,b;q=0\";q=1", true},
		{"application/openmetrics-text;x=\"\\\",\"", true},
		{" ,, application/openmetrics-text\t; q=1 ,,", true},
		{"application, /, ;, =, \", application/openmetrics-text", false}, // a quote that stays open
		{"*/openmetrics-text", false},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		bool open = ms_metrics_negotiate(ms_slice_cstr(cases[i].accept)) == METRICS_OPENMETRICS;
		if (!CHECK(open == cases[i].open))
			printf("# case: %s\n", cases[i].accept);
	}
	CHECK(ms_metrics_negotiate(MS_SLICE_EMPTY) == METRICS_PROMETHEUS_TEXT);
	CHECK_STR(ms_metrics_content_type(METRICS_PROMETHEUS_TEXT), "text/plain; version=0.0.4; charset=utf-8");
	CHECK_STR(ms_metrics_content_type(METRICS_OPENMETRICS),
		  "application/openmetrics-text; version=1.0.0; charset=utf-8");
}
