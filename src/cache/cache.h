// SPDX-License-Identifier: Apache-2.0
// Short-lived shared state: values with an end, and counters that decide and count in one step. In process memory, or on Redis 7 when several
// processes share it. Nothing here is durable, and a reader must be able to live without it.
//
// Threads: any loop; an operation belongs to the loop that started it. Nothing blocks: memory answers at once, Redis later on the same loop.
#ifndef MS_CACHE_CACHE_H
#define MS_CACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "observe/observe.h"
#include "rt/rt.h"

#define MS_CACHE_KEY_MAX 512 // bytes
#define MS_CACHE_VALUE_MAX ((size_t)8 << 20)
#define MS_CACHE_QUOTAS_MAX 8

struct cache;
struct cache_options {
	const char *
		url; // "": memory. redis://[user:password@]host[:port][/db], unix:///path, rediss:// (refused when the library has no TLS)
	const char *prefix;   // of all keys; "mainstay:" when NULL
	size_t memory_bytes;  // of the memory driver, all shards together; the least recently used go first. 0: 64 MiB
	unsigned timeout_ms;  // Redis: of an operation; 0: 1000
	unsigned max_waiting; // Redis: operations under way per loop; beyond: MS_ERR_BUSY. 0: 10000
	struct rt *rt;
	struct log *log;
	struct metrics *metrics; // may be NULL
};
// An address that is not empty: MS_ERR_CONFIG says what is wrong with it, without a password.
MS_MUST_USE enum ms_err ms_cache_check_url(const char *url, struct errinfo *info);
MS_MUST_USE enum ms_err ms_cache_new(const struct cache_options *options, struct errinfo *info,
				     struct cache **ret_cache);
// On loop 0 while the loops run, or after they have ended and before ms_rt_free(): closes connections; operations under way end with
// MS_ERR_CANCELLED, each on its loop. Later ones are answered with it at once. Accepts NULL, and comes twice.
void ms_cache_stop(struct cache *cache);
void ms_cache_free(struct cache *cache);              // after ms_rt_free(); accepts NULL
bool ms_cache_healthy(const struct cache *cache);     // any thread; memory always is
const char *ms_cache_kind(const struct cache *cache); // "memory", "redis"

enum cache_verb {
	CACHE_GET,    // → found, value
	CACHE_SET,    // value, ttl_ms
	CACHE_ADD,    // SET unless there: → found true: it was there, and its value
	CACHE_REMOVE, // → found
	CACHE_TAKE,   // quotas: → admitted, results
	CACHE_CLEAR,  // all keys with this prefix (key, may be empty)
};

// A limit. WINDOW: `limit` units in each calendar-aligned window of period_ms since the Unix epoch (UTC); months and years by their
// real lengths with QUOTA_MONTH and QUOTA_YEAR. GCRA (leaky bucket as a meter; ITU-T I.371): `limit` units per period_ms evenly, `burst` at once.
enum quota_kind { QUOTA_WINDOW, QUOTA_MONTH, QUOTA_YEAR, QUOTA_GCRA };
struct cache_quota {
	enum quota_kind kind;
	uint64_t limit;     // 1 to 2^40
	uint64_t period_ms; // WINDOW, GCRA
	uint64_t burst;     // GCRA: at least 1
};
struct quota_result {
	uint64_t remaining; // after this step
	uint64_t reset_ms;  // until the window ends, or the bucket is whole again
	// Refused by this quota: until `cost` units would pass. Else 0. A cost above the limit (GCRA: the burst) never passes: as reset_ms then.
	uint64_t retry_ms;
};
// MS_ERR_INVALID for what is no limit; MS_ERR_LIMIT when burst and period of a GCRA are too large together: burst * period_ms / gcd(period_ms,
// limit) may be 2^52. ms_cache_run answers TAKE with the same.
MS_MUST_USE enum ms_err ms_cache_check_quota(const struct cache_quota *quota, struct errinfo *info);

struct cache_op;
typedef void cache_done_fn(struct cache_op *op);
// Embedded in the caller's object; untouched by the caller until it is done.
struct cache_op {
	enum cache_verb verb;
	struct slice key; // copied before ms_cache_run returns, unless it is answered at once
	struct slice
		value; // SET, ADD in; GET, ADD out: valid in `done` (or after a synchronous answer until the loop's next operation)
	uint64_t ttl_ms; // SET, ADD: 1 or more
	// TAKE: all quotas admit `cost` units and count them, or none counts; cost 0 looks only. A key belongs to its quotas: their limit and burst may
	// change from one operation to the next and what was counted stays; another kind, period (GCRA: or limit) begins anew.
	const struct cache_quota *quotas;
	size_t quota_count;
	uint64_t cost;
	// The answer.
	// MS_OK, MS_ERR_CACHE (server gone, error reply, a value where a counter should be or the other way round), MS_ERR_BUSY, MS_ERR_CANCELLED,
	// MS_ERR_LIMIT (too large; in memory also a value of more than a quarter of it), MS_ERR_INVALID (a quota that is none), MS_ERR_NO_MEMORY
	enum ms_err err;
	bool found, admitted;
	struct quota_result results[MS_CACHE_QUOTAS_MAX];
	cache_done_fn *done;
	void *arg;
	struct {
		void *a, *b;
		uint64_t c;
		struct errinfo *info;
	} driver; // the driver's own
};
// True: answered at once, `done` is not called. False: `done` comes later on `loop`. The time of TAKE is the wall clock of the memory
// driver's turn, or of the Redis server (never mixed). A clock that jumps back only ever makes a window longer by the jump, once.
bool ms_cache_run(struct cache *cache, struct loop *loop, struct cache_op *op);

#endif
