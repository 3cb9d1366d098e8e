// SPDX-License-Identifier: Apache-2.0
// Private to gateway. What its parts ask of the gateway as a whole (gateway.c): the plan that is in force, and what it was made with.
#ifndef MS_GATEWAY_INTERNAL_H
#define MS_GATEWAY_INTERNAL_H

#include "gateway/gateway.h"
#include "gateway/plan.h"

// --- gateway.c -------------------------------------------------------------------------------------

struct gw_snapshot;
// A plan with all that requests need of it: balancers, origins. Fails for what a plan alone cannot know: too many upstreams, no memory. It
// holds a reference of the plan. Any thread that may block.
MS_MUST_USE enum ms_err ms_gateway_prepare(struct gateway *gateway, struct plan *plan, struct errinfo *info,
					   struct gw_snapshot **ret_snapshot);
// Puts it in force for every loop, and takes the caller's reference. Loops take it up between two requests; requests that run
// keep the plan they began with. On any thread; calls that overlap are ordered by the caller (admin.c: in the order of their versions).
void ms_gateway_put(struct gateway *gateway, struct gw_snapshot *snapshot);
// Both; when it fails the present plan stays. The caller keeps its reference.
MS_MUST_USE enum ms_err ms_gateway_set_plan(struct gateway *gateway, struct plan *plan, struct errinfo *info);
// Whether it could be put in force: for gateway_edit.accepts.
MS_MUST_USE enum ms_err ms_gateway_accepts(void *gateway, struct plan *plan, struct errinfo *info);
// The plan in force on this loop; borrowed until the loop's next turn, so take a reference for longer. Never NULL: empty before the first one.
struct plan *ms_gateway_plan(struct gateway *gateway, struct loop *loop);
struct rt *ms_gateway_rt(struct gateway *gateway);
struct log *ms_gateway_log(struct gateway *gateway);
struct store *ms_gateway_store(struct gateway *gateway);         // NULL: the file alone
struct auth *ms_gateway_auth(struct gateway *gateway);           // NULL: off
struct gateway_admin *ms_gateway_admin(struct gateway *gateway); // what ms_gateway_admin_new gave

// --- admin.c, history.c ----------------------------------------------------------------------------

// What run-time changes keep between calls. gateway.c makes it in ms_gateway_new, after the rest is set up, and frees it before the store.
struct gateway_admin;
// `file`, `file_name` as in gateway_options. Reads the newest version of the store (else the file), checks it, and puts it in force
// with ms_gateway_set_plan. Blocks: called while the process starts. A file that is wrong is an error; `info` has the first problem, the log has all.
MS_MUST_USE enum ms_err ms_gateway_admin_new(struct gateway *gateway, struct slice file, const char *file_name,
					     struct errinfo *info, struct gateway_admin **ret_admin);
void ms_gateway_admin_stop(struct gateway_admin *admin);               // on loop 0, loops still run; accepts NULL
void ms_gateway_admin_free(struct gateway_admin *admin);               // accepts NULL
struct route_set ms_gateway_admin_routes(struct gateway_admin *admin); // /gateway/v1/{config,history,…}

#endif
