// SPDX-License-Identifier: Apache-2.0
// Private to balance*.c.
#ifndef MS_GATEWAY_BALANCE_PRIVATE_H
#define MS_GATEWAY_BALANCE_PRIVATE_H

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "gateway/balance.h"

#define LATENCY_DECAY_NS (10 * INT64_C(1000000000)) // a latency that nobody measured again loses weight this fast
#define SLOW_START_LEAST 0.1                        // of the weight, at the beginning
#define RETRY_FLOOR 3                               // retries that a budget in percent always allows

enum failure_kind { FAILED_TCP, FAILED_TIMEOUT, FAILED_HTTP, FAILURE_KINDS };
// Counts of one kind of checks; a success clears the failures and the other way round.
struct check_counts {
	atomic_uint successes;
	atomic_uint failures[FAILURE_KINDS];
};
struct peer {
	unsigned refs; // of balancers; under the lock of balancers
	struct slice name;
	uint64_t hash;
	atomic_uint active;
	atomic_bool unhealthy;
	struct check_counts passive, checked;
	_Atomic int64_t serving_since_ns; // slow start; INT64_MIN: from before
	_Atomic uint64_t latency;         // bits of a double, seconds
	_Atomic int64_t latency_ns;       // when that was
	_Atomic uint64_t requests, failures;
	// Ejection.
	atomic_uint consecutive_5xx;
	_Atomic int64_t ejected_until_ns; // INT64_MIN: not ejected
	atomic_uint ejections;            // in a row; fewer again with each good interval
	atomic_uint window_requests, window_good;
	int64_t turn; // smooth weighted round robin; under the lock of the upstream
	char text[];
};
// An upstream's state, shared by all plans that have it.
struct shared {
	unsigned refs;
	struct balancers *home;
	struct slice name;
	struct map peers; // by target
	atomic_flag lock; // of the turns
	atomic_uint active, pending, retries;
	_Atomic int64_t window_end_ns;
	char text[];
};
struct balancer {
	const struct gw_upstream *upstream;
	struct shared *shared;
	size_t count;
	struct peer *peers[];
};

// Whether plan and operator let the target serve at all.
static inline bool ms_target_serves(const struct gw_upstream *u, const struct gw_target *t)
{
	return t->weight > 0 && (u->active_group.n == 0 || t->group.n == 0 || ms_slice_eq(u->active_group, t->group));
}

static inline bool ms_peer_well(const struct peer *p, int64_t now_ns)
{
	return !atomic_load_explicit(&p->unhealthy, memory_order_relaxed) &&
	       atomic_load_explicit(&p->ejected_until_ns, memory_order_relaxed) <= now_ns;
}

// With slow start; in 256ths, so that small weights grow smoothly too.
int64_t ms_peer_weight(const struct balancer *b, size_t target, int64_t now_ns);
double ms_peer_latency(const struct peer *p, int64_t now_ns);
// The weight in percent of those targets that serve which is well.
double ms_balancer_healthy_percent(const struct balancer *b, int64_t now_ns);

#endif
