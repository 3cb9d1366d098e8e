// SPDX-License-Identifier: Apache-2.0
// The front door: what holds for every driver, and what is counted.
#include <stdlib.h>

#include "cache/private.h"

// --- Metrics -----------------------------------------------------------------------------------------

static const char *const verbs[CACHE_VERBS] = {"get", "set", "add", "remove", "take", "clear"};
static const char *const outcomes[CACHE_OUTCOMES] = {"ok", "miss", "refused", "error", "busy"};
static const char *const verb_label[] = {"verb"};
static const char *const operation_labels[] = {"verb", "outcome"};
static const double seconds_buckets[] = {0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
					 0.025,  0.05,    0.1,    0.25,  0.5,    1,     2.5};

static struct metric_series *series(struct metrics *metrics, const struct metric_options *options,
				    const struct slice *values)
{
	struct metric_family *family = ms_metrics_family(metrics, options);
	return family != NULL ? ms_metrics_series(family, values) : NULL;
}

static void collect(void *arg)
{
	struct cache *cache = arg;
	const struct cache_metrics *m = &cache->metrics;
	ms_gauge_set(m->up, ms_cache_healthy(cache) ? 1 : 0);
	if (cache->memory == NULL)
		return;
	struct cache_memory_figures figures = ms_cache_memory_figures(cache->memory);
	ms_gauge_set(m->memory_bytes, (double)figures.bytes);
	ms_gauge_set(m->memory_items, (double)figures.items);
	ms_counter_set(m->evictions, (double)figures.evictions);
}

static void register_verb(struct cache_metrics *m, struct metrics *metrics, size_t verb, bool redis)
{
	static const struct metric_options operations = {.name = "cache_operations_total",
							 .help = "Operations on the cache, by verb and outcome.",
							 .type = METRIC_COUNTER,
							 .labels = operation_labels,
							 .label_count = 2},
					   seconds = {.name = "cache_operation_duration_seconds",
						      .help = "Time until Redis answered, by verb.",
						      .unit = "seconds",
						      .type = METRIC_HISTOGRAM,
						      .labels = verb_label,
						      .label_count = 1,
						      .buckets = seconds_buckets,
						      .bucket_count = MS_ARRAY_LEN(seconds_buckets)};
	struct slice values[2] = {ms_slice_cstr(verbs[verb])};
	for (size_t i = 0; i < CACHE_OUTCOMES; i++) {
		values[1] = ms_slice_cstr(outcomes[i]);
		m->operations[verb][i] = series(metrics, &operations, values);
	}
	if (redis)
		m->seconds[verb] = series(metrics, &seconds, values);
}

static bool register_metrics(struct cache *cache, struct metrics *metrics)
{
	static const struct metric_options bytes = {.name = "cache_memory_bytes",
						    .help = "Memory that the cache in this process takes.",
						    .unit = "bytes",
						    .type = METRIC_GAUGE},
					   items = {.name = "cache_memory_items",
						    .help = "Values and counters in this process.",
						    .type = METRIC_GAUGE},
					   evictions = {.name = "cache_evictions_total",
							.help = "Values and counters that had to go before their end.",
							.type = METRIC_COUNTER},
					   up = {.name = "cache_up",
						 .help = "1 while the cache answers.",
						 .type = METRIC_GAUGE};
	struct cache_metrics *m = &cache->metrics;
	if (metrics == NULL)
		return true;
	for (size_t i = 0; i < CACHE_VERBS; i++)
		register_verb(m, metrics, i, cache->redis != NULL);
	m->up = series(metrics, &up, NULL);
	if (cache->memory != NULL) {
		m->memory_bytes = series(metrics, &bytes, NULL);
		m->memory_items = series(metrics, &items, NULL);
		m->evictions = series(metrics, &evictions, NULL);
	}
	return ms_metrics_on_collect(metrics, collect, cache);
}

static enum cache_outcome outcome_of(const struct cache_op *op)
{
	if (op->err != MS_OK)
		return op->err == MS_ERR_BUSY ? CACHE_SHED : CACHE_FAILED;
	if (op->verb == CACHE_TAKE)
		return op->admitted ? CACHE_DONE : CACHE_REFUSED;
	bool asks = op->verb == CACHE_GET || op->verb == CACHE_REMOVE;
	return asks && !op->found ? CACHE_MISS : CACHE_DONE;
}

void ms_cache_count(struct cache *cache, const struct loop *loop, const struct cache_op *op, int64_t begun_ns)
{
	uint32_t shard = ms_loop_index(loop);
	ms_counter_add(cache->metrics.operations[op->verb][outcome_of(op)], shard, 1);
	if (begun_ns != 0 && cache->metrics.seconds[op->verb] != NULL)
		ms_histogram_observe(cache->metrics.seconds[op->verb], shard,
				     (double)(ms_clock_mono_ns() - begun_ns) * 1e-9);
}

// --- Operations --------------------------------------------------------------------------------------

static enum ms_err check(struct cache *cache, const struct cache_op *op, struct meter *meters)
{
	bool sets = op->verb == CACHE_SET || op->verb == CACHE_ADD;
	if (atomic_load_explicit(&cache->stopped, memory_order_relaxed))
		return MS_ERR_CANCELLED;
	if (op->key.n > MS_CACHE_KEY_MAX || (sets && op->value.n > MS_CACHE_VALUE_MAX))
		return MS_ERR_LIMIT;
	MS_ASSERT(!sets || op->ttl_ms > 0);
	if (op->verb != CACHE_TAKE)
		return MS_OK;
	MS_ASSERT(op->quota_count > 0 && op->quota_count <= MS_CACHE_QUOTAS_MAX);
	for (size_t i = 0; i < op->quota_count; i++)
		MS_TRY(ms_meter_make(&op->quotas[i], NULL, &meters[i]));
	return MS_OK;
}

bool ms_cache_run(struct cache *cache, struct loop *loop, struct cache_op *op)
{
	struct meter meters[MS_CACHE_QUOTAS_MAX];
	op->found = op->admitted = false;
	op->err = check(cache, op, meters);
	bool answered =
		op->err != MS_OK || (cache->memory != NULL ? ms_cache_memory_run(cache->memory, loop, op, meters)
							   : ms_cache_redis_run(cache->redis, loop, op, meters));
	if (answered)
		ms_cache_count(cache, loop, op, 0);
	return answered;
}

enum ms_err ms_cache_check_quota(const struct cache_quota *quota, struct errinfo *info)
{
	struct meter meter;
	return ms_meter_make(quota, info, &meter);
}

// --- Life --------------------------------------------------------------------------------------------

enum ms_err ms_cache_new(const struct cache_options *options, struct errinfo *info, struct cache **ret_cache)
{
	struct cache *cache = calloc(1, sizeof(*cache));
	if (cache == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the cache");
	cache->rt = options->rt;
	cache->log = options->log;
	bool redis = options->url != NULL && options->url[0] != '\0';
	enum ms_err err = redis ? ms_cache_redis_new(cache, options, info, &cache->redis)
				: ms_cache_memory_new(cache, options, info, &cache->memory);
	if (err == MS_OK && !register_metrics(cache, options->metrics))
		err = ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the metrics of the cache");
	if (err != MS_OK) {
		if (cache->memory != NULL)
			ms_cache_memory_stop(cache->memory);
		ms_cache_free(cache);
		return err;
	}
	if (redis)
		ms_cache_redis_start(cache->redis);
	*ret_cache = cache;
	return MS_OK;
}

void ms_cache_stop(struct cache *cache)
{
	if (cache == NULL || atomic_exchange(&cache->stopped, true))
		return;
	if (cache->memory != NULL)
		ms_cache_memory_stop(cache->memory);
	if (cache->redis != NULL)
		ms_cache_redis_stop(cache->redis);
}

void ms_cache_free(struct cache *cache)
{
	if (cache == NULL)
		return;
	ms_cache_memory_free(cache->memory);
	ms_cache_redis_free(cache->redis);
	free(cache);
}

bool ms_cache_healthy(const struct cache *cache)
{
	return cache->redis == NULL || ms_cache_redis_healthy(cache->redis);
}

const char *ms_cache_kind(const struct cache *cache)
{
	return cache->redis == NULL ? "memory" : "redis";
}
