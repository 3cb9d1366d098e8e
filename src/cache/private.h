// SPDX-License-Identifier: Apache-2.0
// What the files of cache share. Nobody else includes this.
#ifndef MS_CACHE_PRIVATE_H
#define MS_CACHE_PRIVATE_H

#include <stdatomic.h>

#include "cache/cache.h"
#include "cache/quota.h"

#define CACHE_VERBS 6
#define CACHE_TTL_MAX_MS ((uint64_t)100 * 366 * 86400 * 1000)

enum cache_outcome { CACHE_DONE, CACHE_MISS, CACHE_REFUSED, CACHE_FAILED, CACHE_SHED, CACHE_OUTCOMES };

struct cache_metrics {
	struct metric_series *operations[CACHE_VERBS][CACHE_OUTCOMES]; // NULL: no metrics
	struct metric_series *seconds[CACHE_VERBS];                    // Redis
	struct metric_series *memory_bytes, *memory_items, *evictions, *up;
};

struct cache {
	struct cache_memory *memory; // one of the two
	struct cache_redis *redis;
	struct rt *rt;
	struct log *log;
	struct cache_metrics metrics;
	atomic_bool stopped;
	_Atomic int64_t test_now_ms; // tests: the time of TAKE in place of the clock; 0: the clock
};

// An operation has its answer: counts it. `begun_ns` 0: its time does not matter.
void ms_cache_count(struct cache *cache, const struct loop *loop, const struct cache_op *op, int64_t begun_ns);

// --- memory.c ----------------------------------------------------------------------------------------

struct cache_memory_figures {
	uint64_t bytes, items, evictions;
};
MS_MUST_USE enum ms_err ms_cache_memory_new(struct cache *cache, const struct cache_options *options,
					    struct errinfo *info, struct cache_memory **ret_memory);
void ms_cache_memory_stop(struct cache_memory *memory);
void ms_cache_memory_free(struct cache_memory *memory); // accepts NULL
// `meters` of a TAKE. As ms_cache_run.
bool ms_cache_memory_run(struct cache_memory *memory, struct loop *loop, struct cache_op *op,
			 const struct meter *meters);
struct cache_memory_figures ms_cache_memory_figures(struct cache_memory *memory);

// --- redis.c -----------------------------------------------------------------------------------------

MS_MUST_USE enum ms_err ms_cache_redis_new(struct cache *cache, const struct cache_options *options,
					   struct errinfo *info, struct cache_redis **ret_redis);
void ms_cache_redis_start(struct cache_redis *redis);
void ms_cache_redis_stop(struct cache_redis *redis);
void ms_cache_redis_free(struct cache_redis *redis); // accepts NULL
bool ms_cache_redis_run(struct cache_redis *redis, struct loop *loop, struct cache_op *op, const struct meter *meters);
bool ms_cache_redis_healthy(const struct cache_redis *redis);

extern const char ms_cache_quota_script[]; // quota_script.c

#endif
