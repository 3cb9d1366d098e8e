// SPDX-License-Identifier: Apache-2.0
// Families, series and their cells. A cell of a loop's shard has one writer, so that an update is a plain load, add
// and store (relaxed atomics: readers see some value, never a torn one); the shared shard pays for a locked add.
#include <math.h>
#include <stdlib.h>

#include "observe/internal.h"
#include "rt/rt.h"

#define DEFAULT_MAX_SERIES ((size_t)1000)
#define MAX_FAMILIES ((size_t)4096)
#define NAME_LIMIT ((size_t)128)
#define LABEL_VALUE_MAX ((size_t)128)
// name="value", with each byte of the value escaped.
#define LABELS_MAX (MS_METRICS_MAX_LABELS * (NAME_LIMIT + 2 * LABEL_VALUE_MAX + 8))

// --- Registry ----------------------------------------------------------------------------------------

enum ms_err ms_metrics_new(unsigned shards, struct metrics **ret_metrics)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));
	if (metrics == NULL)
		return MS_ERR_NO_MEMORY;
	metrics->shards = shards;
	pthread_mutex_init(&metrics->lock, NULL);
	pthread_mutex_init(&metrics->write_lock, NULL);
	ms_map_init(&metrics->by_base_name, MAX_FAMILIES, (struct hash_seed){0});
	static const struct metric_options dropped = {
		.name = "mainstay_metrics_series_dropped_total",
		.help = "Requests for a metric series that were answered with the series other, because the family was "
			"full.",
		.type = METRIC_COUNTER,
	};
	metrics->series_dropped = ms_metrics_series(ms_metrics_family(metrics, &dropped), NULL);
	if (metrics->series_dropped == NULL) {
		ms_metrics_free(metrics);
		return MS_ERR_NO_MEMORY;
	}
	*ret_metrics = metrics;
	return MS_OK;
}

static void free_series_list(struct metric_series *series)
{
	while (series != NULL) {
		struct metric_series *next = series->next;
		free(series->labels);
		free(series);
		series = next;
	}
}

static void family_free(struct metric_family *family)
{
	free_series_list(family->first);
	free_series_list(family->retired_first);
	if (family->other != NULL)
		free_series_list(family->other);
	ms_map_fini(&family->by_labels);
	pthread_mutex_destroy(&family->lock);
	free(family);
}

void ms_metrics_free(struct metrics *metrics)
{
	if (metrics == NULL)
		return;
	for (struct metric_family *family = metrics->first; family != NULL;) {
		struct metric_family *next = family->next;
		family_free(family);
		family = next;
	}
	ms_map_fini(&metrics->by_base_name);
	pthread_mutex_destroy(&metrics->write_lock);
	pthread_mutex_destroy(&metrics->lock);
	free(metrics);
}

// --- Families ----------------------------------------------------------------------------------------

static bool is_name(const char *name, bool colon_allowed)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < n; i++) {
		char c = name[i];
		bool letter =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c == ':' && colon_allowed);
		if (!letter && (i == 0 || c < '0' || c > '9'))
			return false;
	}
	return n > 0 && n <= NAME_LIMIT;
}

static struct slice base_name(const struct metric_options *options)
{
	struct slice name = ms_slice_cstr(options->name);
	if (options->type == METRIC_COUNTER) {
		MS_ASSERT(ms_slice_ends_with(name, MS_SLICE_LIT("_total")));
		name.n -= strlen("_total");
	}
	return name;
}

static void check_options(const struct metric_options *o)
{
	MS_ASSERT(is_name(o->name, true) && o->help != NULL);
	struct slice base = base_name(o);
	if (o->unit != NULL) {
		struct slice unit = ms_slice_cstr(o->unit);
		MS_ASSERT(ms_slice_ends_with(base, unit) && base.n > unit.n + 1 && base.p[base.n - unit.n - 1] == '_');
	}
	MS_ASSERT(o->label_count <= MS_METRICS_MAX_LABELS);
	for (size_t i = 0; i < o->label_count; i++)
		MS_ASSERT(is_name(o->labels[i], false) && strcmp(o->labels[i], "le") != 0);
	MS_ASSERT(o->bucket_count <= MAX_BUCKETS && (o->type == METRIC_HISTOGRAM || o->bucket_count == 0));
	for (size_t i = 0; i < o->bucket_count; i++)
		MS_ASSERT(isfinite(o->buckets[i]) && (i == 0 || o->buckets[i] > o->buckets[i - 1]));
}

static struct metric_family *family_new(struct metrics *metrics, const struct metric_options *options)
{
	struct metric_family *family = calloc(1, sizeof(*family));
	if (family == NULL)
		return NULL;
	family->options = *options;
	if (options->max_series == 0)
		family->options.max_series = DEFAULT_MAX_SERIES;
	family->base_name = base_name(options);
	family->metrics = metrics;
	size_t cells = options->type == METRIC_HISTOGRAM ? options->bucket_count + 2 : 1; // +Inf and the sum
	size_t line = CACHE_LINE / sizeof(union metric_cell);
	family->cells_per_shard = (cells + line - 1) / line * line;
	pthread_mutex_init(&family->lock, NULL);
	// Values of labels may come from clients.
	ms_map_init(&family->by_labels, family->options.max_series, ms_random_hash_seed());
	return family;
}

static struct metric_family *add_family(struct metrics *metrics, const struct metric_options *options)
{
	struct metric_family *family = family_new(metrics, options);
	if (family == NULL)
		return NULL;
	if (!ms_map_put(&metrics->by_base_name, family->base_name, family, NULL)) {
		family_free(family);
		return NULL;
	}
	if (metrics->last != NULL)
		metrics->last->next = family;
	else
		metrics->first = family;
	metrics->last = family;
	return family;
}

struct metric_family *ms_metrics_family(struct metrics *metrics, const struct metric_options *options)
{
	check_options(options);
	pthread_mutex_lock(&metrics->lock);
	struct metric_family *family = ms_map_get(&metrics->by_base_name, base_name(options));
	if (family == NULL)
		family = add_family(metrics, options);
	else
		MS_ASSERT(strcmp(family->options.name, options->name) == 0 && family->options.type == options->type &&
			  family->options.label_count == options->label_count);
	pthread_mutex_unlock(&metrics->lock);
	return family;
}

// --- Series ------------------------------------------------------------------------------------------

struct labels {
	char text[LABELS_MAX];
	size_t n;
};

static void append_label(struct labels *labels, const char *name, struct slice value)
{
	char *p = labels->text + labels->n;
	if (labels->n > 0)
		*p++ = ',';
	p = stpcpy(stpcpy(p, name), "=\"");
	char *end = p + 2 * LABEL_VALUE_MAX;
	for (size_t taken = 0; taken < MS_MIN(value.n, LABEL_VALUE_MAX);) {
		struct slice rest = ms_slice_sub(value, taken, 4);
		char c = rest.p[0];
		size_t n = 1;
		if (c == '\\' || c == '"' || c == '\n') {
			*p++ = '\\';
			*p++ = c == '\n' ? 'n' : c;
		} else if ((unsigned char)c < 0x80) {
			*p++ = c;
		} else {
			n = rest.n;
			while (n > 1 && ms_utf8_valid_prefix(ms_slice_sub(rest, 0, n)) != n)
				n--;
			if (end - p < 4)
				break;
			p = mempcpy(p, n > 1 ? rest.p : "\xef\xbf\xbd", n > 1 ? n : 3);
		}
		taken += n;
		if (end - p < 2)
			break;
	}
	*p++ = '"';
	labels->n = (size_t)(p - labels->text);
}

// The text of the labels is also the key: values that are cut to the same text are the same series.
static void make_labels(const struct metric_options *options, const struct slice *values, struct labels *ret_labels)
{
	ret_labels->n = 0;
	for (size_t i = 0; i < options->label_count; i++)
		append_label(ret_labels, options->labels[i], values != NULL ? values[i] : MS_SLICE_LIT("other"));
}

static struct metric_series *series_new(struct metric_family *family)
{
	size_t cells = family->cells_per_shard * ((size_t)family->metrics->shards + 1);
	struct metric_series *series = calloc(1, sizeof(*series) + cells * sizeof(union metric_cell) + CACHE_LINE);
	if (series == NULL)
		return NULL;
	series->family = family;
	uintptr_t at = (uintptr_t)(series + 1);
	series->cells = (union metric_cell *)((at + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	return series;
}

static bool set_labels(struct metric_series *series, const struct labels *labels)
{
	char *text = malloc(labels->n + 1);
	if (text == NULL)
		return false;
	memcpy(text, labels->text, labels->n);
	text[labels->n] = '\0';
	free(series->labels);
	series->labels = text;
	series->labels_length = labels->n;
	return true;
}

static struct slice labels_of(const struct metric_series *series)
{
	return ms_slice(series->labels, series->labels_length);
}

static void append_series(struct metric_series **first, struct metric_series **last, struct metric_series *series)
{
	series->next = NULL;
	if (*last != NULL)
		(*last)->next = series;
	else
		*first = series;
	*last = series;
}

// A series that was retired, as new; or a new one. Whoever still writes to a retired one spoils figures, not memory.
static struct metric_series *take_series(struct metric_family *family)
{
	struct metric_series *series = family->retired_first;
	if (series == NULL)
		return series_new(family);
	family->retired_first = series->next;
	if (family->retired_first == NULL)
		family->retired_last = NULL;
	atomic_store_explicit(&series->set, 0, memory_order_relaxed);
	for (size_t i = 0; i < family->cells_per_shard * ((size_t)family->metrics->shards + 1); i++)
		atomic_store_explicit(&series->cells[i].count, 0, memory_order_relaxed);
	return series;
}

// NULL when memory is out; nothing is lost then.
static struct metric_series *add_series(struct metric_family *family, const struct labels *labels)
{
	struct metric_series *series = take_series(family);
	if (series == NULL)
		return NULL;
	if (!set_labels(series, labels) || !ms_map_put(&family->by_labels, labels_of(series), series, NULL)) {
		append_series(&family->retired_first, &family->retired_last, series);
		return NULL;
	}
	series->shown = true;
	append_series(&family->first, &family->last, series);
	family->live++;
	return series;
}

// What takes the surplus is made before the first series, so that later calls always have an answer.
static bool make_other(struct metric_family *family)
{
	if (family->options.label_count == 0 || family->other != NULL)
		return true;
	struct labels labels;
	make_labels(&family->options, NULL, &labels);
	struct metric_series *other = series_new(family);
	if (other == NULL || !set_labels(other, &labels)) {
		free_series_list(other);
		return false;
	}
	family->other = other;
	return true;
}

struct metric_series *ms_metrics_series(struct metric_family *family, const struct slice *values)
{
	if (family == NULL)
		return NULL;
	MS_ASSERT(values != NULL || family->options.label_count == 0);
	struct labels labels;
	make_labels(&family->options, values, &labels);
	struct slice key = ms_slice(labels.text, labels.n);
	pthread_mutex_lock(&family->lock);
	bool ready = make_other(family);
	bool is_other = family->other != NULL && ms_slice_eq(key, labels_of(family->other));
	struct metric_series *series = ms_map_get(&family->by_labels, key);
	if (series == NULL && ready && !is_other && family->live < family->options.max_series)
		series = add_series(family, &labels);
	bool dropped = series == NULL && family->other != NULL;
	if (dropped) {
		series = family->other;
		series->shown = true;
	}
	pthread_mutex_unlock(&family->lock);
	if (dropped && !is_other)
		ms_counter_add(family->metrics->series_dropped, MS_METRICS_SHARED_SHARD, 1);
	return series;
}

void ms_metrics_retire(struct metric_family *family, const struct slice *values)
{
	if (family == NULL)
		return;
	struct labels labels;
	make_labels(&family->options, values, &labels);
	pthread_mutex_lock(&family->lock);
	struct metric_series *series = ms_map_remove(&family->by_labels, ms_slice(labels.text, labels.n));
	if (series != NULL) {
		struct metric_series **link = &family->first, *before = NULL;
		for (; *link != series; link = &(*link)->next)
			before = *link;
		*link = series->next;
		if (family->last == series)
			family->last = before;
		append_series(&family->retired_first, &family->retired_last, series);
		family->live--;
	}
	pthread_mutex_unlock(&family->lock);
}

// --- Updates -----------------------------------------------------------------------------------------

static union metric_cell *cells_of(const struct metric_series *series, uint32_t shard)
{
	unsigned shards = series->family->metrics->shards;
	MS_ASSERT(shard < shards || shard == MS_METRICS_SHARED_SHARD);
	return series->cells + series->family->cells_per_shard * MS_MIN(shard, shards);
}

static void add_count(_Atomic uint64_t *count, uint32_t shard, uint64_t n)
{
	if (shard == MS_METRICS_SHARED_SHARD)
		atomic_fetch_add_explicit(count, n, memory_order_relaxed);
	else
		atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + n,
				      memory_order_relaxed);
}

static void add_number(_Atomic double *number, uint32_t shard, double delta)
{
	double old = atomic_load_explicit(number, memory_order_relaxed);
	if (shard != MS_METRICS_SHARED_SHARD) {
		atomic_store_explicit(number, old + delta, memory_order_relaxed);
		return;
	}
	while (!atomic_compare_exchange_weak_explicit(number, &old, old + delta, memory_order_relaxed,
						      memory_order_relaxed))
		;
}

void ms_counter_add(struct metric_series *series, uint32_t shard, uint64_t n)
{
	if (series == NULL)
		return;
	MS_ASSERT(series->family->options.type == METRIC_COUNTER);
	add_count(&cells_of(series, shard)->count, shard, n);
}

void ms_counter_set(struct metric_series *series, double value)
{
	if (series == NULL)
		return;
	MS_ASSERT(series->family->options.type == METRIC_COUNTER);
	atomic_store_explicit(&series->set, value, memory_order_relaxed);
}

void ms_gauge_set(struct metric_series *series, double value)
{
	if (series == NULL)
		return;
	MS_ASSERT(series->family->options.type == METRIC_GAUGE);
	atomic_store_explicit(&series->set, value, memory_order_relaxed);
}

void ms_gauge_add(struct metric_series *series, uint32_t shard, double delta)
{
	if (series == NULL)
		return;
	MS_ASSERT(series->family->options.type == METRIC_GAUGE);
	add_number(&cells_of(series, shard)->number, shard, delta);
}

void ms_histogram_observe(struct metric_series *series, uint32_t shard, double value)
{
	if (series == NULL || isnan(value))
		return;
	const struct metric_options *options = &series->family->options;
	MS_ASSERT(options->type == METRIC_HISTOGRAM);
	union metric_cell *cells = cells_of(series, shard);
	size_t bucket = 0;
	while (bucket < options->bucket_count && value > options->buckets[bucket])
		bucket++;
	add_count(&cells[bucket].count, shard, 1);
	add_number(&cells[options->bucket_count + 1].number, shard, value);
}

// --- Sums --------------------------------------------------------------------------------------------

static uint64_t sum_counts(const struct metric_series *series)
{
	uint64_t sum = 0;
	for (size_t s = 0; s <= series->family->metrics->shards; s++)
		sum += atomic_load_explicit(&series->cells[s * series->family->cells_per_shard].count,
					    memory_order_relaxed);
	return sum;
}

uint64_t ms_counter_value(const struct metric_series *series)
{
	if (series == NULL)
		return 0;
	double set = atomic_load_explicit(&series->set, memory_order_relaxed);
	return sum_counts(series) + (set >= 1 && set < 0x1p64 ? (uint64_t)set : 0);
}

double ms_series_value(const struct metric_series *series)
{
	double value = atomic_load_explicit(&series->set, memory_order_relaxed);
	if (series->family->options.type == METRIC_COUNTER)
		return value + (double)sum_counts(series);
	for (size_t s = 0; s <= series->family->metrics->shards; s++)
		value += atomic_load_explicit(&series->cells[s * series->family->cells_per_shard].number,
					      memory_order_relaxed);
	return value;
}

void ms_series_buckets(const struct metric_series *series, uint64_t ret_buckets[MAX_BUCKETS + 1], double *ret_sum)
{
	size_t count = series->family->options.bucket_count;
	memset(ret_buckets, 0, (count + 1) * sizeof(ret_buckets[0]));
	*ret_sum = 0;
	for (size_t s = 0; s <= series->family->metrics->shards; s++) {
		const union metric_cell *cells = series->cells + s * series->family->cells_per_shard;
		for (size_t b = 0; b <= count; b++)
			ret_buckets[b] += atomic_load_explicit(&cells[b].count, memory_order_relaxed);
		*ret_sum += atomic_load_explicit(&cells[count + 1].number, memory_order_relaxed);
	}
}

void ms_histogram_totals(const struct metric_series *series, uint64_t *ret_count, double *ret_sum)
{
	uint64_t buckets[MAX_BUCKETS + 1];
	*ret_count = 0;
	*ret_sum = 0;
	if (series == NULL)
		return;
	MS_ASSERT(series->family->options.type == METRIC_HISTOGRAM);
	ms_series_buckets(series, buckets, ret_sum);
	for (size_t b = 0; b <= series->family->options.bucket_count; b++)
		*ret_count += buckets[b];
}

// --- Collectors --------------------------------------------------------------------------------------

bool ms_metrics_on_collect(struct metrics *metrics, metrics_collect_fn *fn, void *arg)
{
	pthread_mutex_lock(&metrics->lock);
	bool room = metrics->collector_count < MAX_COLLECTORS;
	if (room)
		metrics->collectors[metrics->collector_count++] = (struct metrics_collector){fn, arg};
	pthread_mutex_unlock(&metrics->lock);
	return room;
}
