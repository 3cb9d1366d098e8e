// SPDX-License-Identifier: Apache-2.0
// Private to gateway. Gathers what comes of requests to canaries and to what they are to replace, compares it, and acts when it was told to.
#ifndef MS_GATEWAY_CANARY_WATCH_H
#define MS_GATEWAY_CANARY_WATCH_H

#include "gateway/record.h"
#include "rt/rt.h"

// `analysis` of the plugin's config, its first member (plugins/canary.c).
enum canary_mode { CANARY_OFF, CANARY_REPORT, CANARY_ACT };
struct gw_canary_rules {
	int mode;
	int64_t minimum_requests, looks;
	double interval, significance, error_tolerance, latency_tolerance;
};

struct gateway;
struct gw_snapshot;
struct proxy;
struct canary_stats;
struct http_outcome;
struct json_writer;
struct canary_watch;
MS_MUST_USE enum ms_err ms_canary_watch_new(struct gateway *gateway, struct errinfo *info,
					    struct canary_watch **ret_watch);
void ms_canary_watch_stop(struct canary_watch *watch); // on loop 0; accepts NULL
void ms_canary_watch_free(struct canary_watch *watch); // the loops have ended; accepts NULL
// Fills snapshot->canaries when the plan has canaries that are watched.
MS_MUST_USE bool ms_canary_watch_plan(struct gw_snapshot *snapshot);
// A request is over.
void ms_canary_over(const struct proxy *p, const struct http_outcome *outcome);
// All that are watched, as items of an array. Any thread.
void ms_canary_write(struct gateway *gateway, struct json_writer *w);
// Figures begin anew. False: not watched. Any thread.
bool ms_canary_reset(struct gateway *gateway, struct slice id);

#endif
