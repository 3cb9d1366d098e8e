// SPDX-License-Identifier: Apache-2.0
// Private to gateway. Active checks: each target of an upstream that has them is asked again and again, from loop 0, and the balancer is told.
#ifndef MS_GATEWAY_HEALTH_H
#define MS_GATEWAY_HEALTH_H

#include "gateway/proxy.h"

struct gw_health;
MS_MUST_USE enum ms_err ms_gw_health_new(struct gateway *gateway, struct errinfo *info, struct gw_health **ret_health);
void ms_gw_health_replan(struct gw_health *health); // on loop 0: another plan is in force; accepts NULL
void ms_gw_health_stop(struct gw_health *health);   // on loop 0; accepts NULL
void ms_gw_health_free(struct gw_health *health);   // the loops have ended; accepts NULL

// The state of an upstream and its targets as a JSON object; any thread. False: there is no such upstream.
bool ms_gw_health_write(struct gateway *gateway, struct slice upstream, struct json_writer *w);

#endif
