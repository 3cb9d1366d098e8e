// SPDX-License-Identifier: Apache-2.0
// Private to gateway. Which target gets a request, and which are healthy. State outlives plans: it is kept by upstream name and target. The clock is an
// argument, there is no I/O: everything here is tested without sockets.
#ifndef MS_GATEWAY_BALANCE_H
#define MS_GATEWAY_BALANCE_H

#include "gateway/plan.h"

struct balancer; // of one upstream (or of a service's single host): shared by the loops; picks are lock-free or take a short spin lock
struct gw_pick {
	size_t target; // index of the plan's upstream->targets
	struct slice host;
	unsigned port;
	struct http_origin *origin;
};
enum gw_result { GW_RESULT_OK, GW_RESULT_TCP_FAILURE, GW_RESULT_TIMEOUT }; // OK: there is a status
// What the balancer is asked with.
struct gw_pick_input {
	int64_t now_ns;
	bool has_hash; // consistent hashing: hash_on, else hash_fallback, was found
	uint64_t hash;
	const uint64_t *tried; // bits of targets that failed for this request already
	uint64_t random;       // of the loop's generator: power of two choices
};

#endif
