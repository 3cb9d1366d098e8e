// SPDX-License-Identifier: Apache-2.0
// Private to gateway. The smoke check before a switch: each target of a group is asked once, all side by side.
#ifndef MS_GATEWAY_SMOKE_H
#define MS_GATEWAY_SMOKE_H

#include "gateway/plan.h"
#include "net/net.h"

#define MS_SMOKE_TIMEOUT_MS 5000

struct smoke_target {
	struct smoke *home;
	struct http_origin *origin;
	struct http_call *call; // NULL: over
	struct slice target;
	int status; // 0: no answer
	bool good;
	char problem[128];
};
// On the loop alone; stays where it is until `done`, then ms_smoke_fini.
struct smoke {
	struct http_client *client;
	struct loop *loop;
	struct arena *arena;
	struct slice group, path;
	struct integer_list statuses; // that are good; none: those below 400
	unsigned timeout_ms;
	void (*done)(struct smoke *smoke); // perhaps before ms_smoke_start returns
	// What came of it.
	bool good;
	struct smoke_target *targets;
	size_t count, open;
};
// `plan` and `upstream` are not used after it has returned. MS_ERR_CONFLICT: no service says how the targets are spoken to.
MS_MUST_USE enum ms_err ms_smoke_start(struct smoke *smoke, const struct plan *plan, const struct gw_upstream *upstream,
				       struct errinfo *info);
void ms_smoke_fini(struct smoke *smoke);

#endif
