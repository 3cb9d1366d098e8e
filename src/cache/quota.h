// SPDX-License-Identifier: Apache-2.0
// The arithmetic of limits, in whole numbers, so that no unit is lost or won. Bytes and clocks are elsewhere; the script in quota_script.c
// does the same on a Redis server.
#ifndef MS_CACHE_QUOTA_H
#define MS_CACHE_QUOTA_H

#include "cache/cache.h"

#define QUOTA_LIMIT_MAX ((uint64_t)1 << 40)
#define QUOTA_PERIOD_MAX ((uint64_t)1 << 43) // ms, some 278 years
// Of a bucket, in its own unit: Redis counts in doubles, which are exact up to 2^53.
#define QUOTA_ROOM_MAX ((uint64_t)1 << 52)

// A quota made ready. A bucket holds water: a unit adds `period`, every millisecond takes `rate` away, and it holds `room`.
struct meter {
	enum quota_kind kind;
	uint64_t limit;  // windows: units; GCRA: burst
	uint64_t period; // WINDOW: ms; MONTH, YEAR: 0
	uint64_t rate;   // GCRA, else 0
	uint64_t room;   // GCRA, else 0
};

// What is remembered of a meter. Two meters of the same kind, period and rate understand each other's.
struct meter_state {
	int64_t at;    // start of the window; GCRA: when the level was taken, ms since the Unix epoch
	uint64_t used; // units; GCRA: level
	bool known;
};

// MS_ERR_INVALID: not a quota. MS_ERR_LIMIT: its numbers are too large together.
MS_MUST_USE enum ms_err ms_meter_make(const struct cache_quota *quota, struct errinfo *info, struct meter *ret_meter);

// One step over all of them: the states become those at `now_ms`, with `cost` counted if all admit it. True: they do.
// `ret_keep_ms`: how long the states mean something.
bool ms_meters_take(const struct meter *meters, struct meter_state *states, size_t count, uint64_t cost, int64_t now_ms,
		    struct quota_result *ret_results, uint64_t *ret_keep_ms);

// The calendar month or year in UTC that holds the time: its first millisecond, and that of the next.
void ms_quota_calendar(enum quota_kind kind, int64_t now_ms, int64_t *ret_start, int64_t *ret_end);

#endif
