// SPDX-License-Identifier: Apache-2.0
// Private to gateway. Which target gets a request, and which are healthy. State outlives plans: it is kept by upstream name and target. The clock is an
// argument, there is no I/O: everything here is tested without sockets.
//
// Threads: all loops share the state. Counting is by atomics; a pick takes a spin lock for as long as it looks at each target once. A balancer is
// immutable besides; it is made and freed with the plan that it belongs to.
#ifndef MS_GATEWAY_BALANCE_H
#define MS_GATEWAY_BALANCE_H

#include "gateway/plan.h"

struct balancers;                                    // the state of all upstreams of the process
struct balancers *ms_balancers_new(void);            // NULL: no memory
void ms_balancers_free(struct balancers *balancers); // all balancers are freed; accepts NULL

// An upstream as one plan describes it, on the state that all plans share. `upstream` outlives it.
struct balancer;
MS_MUST_USE enum ms_err ms_balancer_new(struct balancers *balancers, const struct gw_upstream *upstream, int64_t now_ns,
					struct errinfo *info, struct balancer **ret_balancer);
void ms_balancer_free(struct balancer *balancer); // no lease is left; accepts NULL
const struct gw_upstream *ms_balancer_upstream(const struct balancer *balancer);

// --- Picking -----------------------------------------------------------------------------------------

// What the balancer is asked with.
struct gw_pick_input {
	int64_t now_ns;
	bool has_hash; // consistent hashing: hash_on, else hash_fallback, was found. Without: round robin
	uint64_t hash; // ms_gw_hash of the value
	const uint64_t
		*tried;  // bits of targets (target_count of them) that failed for this request already; NULL: none
	uint64_t random; // of the loop's generator: power of two choices
	bool retry;      // takes part in the retry budget
};
enum gw_pick_outcome {
	GW_PICK_OK,
	GW_PICK_NONE,   // no target is healthy, or fewer than the threshold
	GW_PICK_FULL,   // the circuit breaker is open: too many requests
	GW_PICK_BUDGET, // too many of the requests are retries
};
// A place at a target, until ms_lease_end.
struct gw_lease {
	struct balancer *balancer; // NULL: none is held
	size_t target;             // index of upstream->targets
	int64_t start_ns;
	bool pending, retry;
};
MS_MUST_USE enum gw_pick_outcome ms_balancer_pick(struct balancer *balancer, const struct gw_pick_input *input,
						  struct gw_lease *ret_lease);
uint64_t ms_gw_hash(struct slice value); // the same in all processes

// --- What came of it ---------------------------------------------------------------------------------

enum gw_result { GW_RESULT_OK, GW_RESULT_TCP_FAILURE, GW_RESULT_TIMEOUT }; // OK: there is a status
// What a report changed, for the log and the metrics.
enum gw_health_change { GW_NO_CHANGE, GW_TURNED_HEALTHY, GW_TURNED_UNHEALTHY, GW_EJECTED };

// The target answered, or failed before it did: passive checks, ejection, latency. Once for each lease; a request that the client gave
// up before is not reported.
enum gw_health_change ms_lease_report(struct gw_lease *lease, enum gw_result result, int status, int64_t now_ns);
// The place is free again. Without a lease nothing.
void ms_lease_end(struct gw_lease *lease);
// The result of an active check.
enum gw_health_change ms_balancer_check_result(struct balancer *balancer, size_t target, enum gw_result result,
					       int status, int64_t now_ns);
// An operator's word; counters start anew.
enum gw_health_change ms_balancer_set_health(struct balancer *balancer, size_t target, bool healthy, int64_t now_ns);

// --- Looking -----------------------------------------------------------------------------------------

enum gw_target_health { GW_HEALTHY, GW_UNHEALTHY, GW_TARGET_EJECTED, GW_DRAINED, GW_CHECKS_OFF };
const char *ms_gw_target_health_name(enum gw_target_health health); // "HEALTHY", … as Kong's admin interface has them
struct gw_target_state {
	enum gw_target_health health;
	unsigned weight;             // with slow start; 0: drained or of another group
	unsigned active;             // requests at the target now
	double latency_s;            // peak-sensitive moving average; 0: not known
	uint64_t requests, failures; // since the start; failures: no answer, or a status of 500 and above
	int64_t ejected_for_ns;
	unsigned ejections;
};
void ms_balancer_target(const struct balancer *balancer, size_t target, int64_t now_ns,
			struct gw_target_state *ret_state);
struct gw_upstream_state {
	unsigned active, pending, retries;
	double healthy_percent; // of the weight
	bool available;         // not below the threshold, and a target is left
};
void ms_balancer_state(const struct balancer *balancer, int64_t now_ns, struct gw_upstream_state *ret_state);

#endif
