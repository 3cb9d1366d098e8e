// SPDX-License-Identifier: Apache-2.0
// The gateway: routes, balances, guards and shapes requests on their way to other people's services and to our own roles. Stands before the routes of
// the HTTP server as its front.
#ifndef MS_GATEWAY_GATEWAY_H
#define MS_GATEWAY_GATEWAY_H

#include "auth/auth.h"
#include "base/base.h"
#include "cache/cache.h"
#include "net/net.h"
#include "observe/observe.h"
#include "rt/rt.h"
#include "store/store.h"

extern const struct store_migrations ms_gateway_migrations;

struct gateway;
struct gateway_options {
	struct rt *rt;
	struct log *log;
	struct metrics *metrics;
	struct store *store; // run-time changes and their history; NULL: the file alone
	struct auth *auth;   // NULL: off
	struct cache *cache;
	struct slice
		file; // text of gateway.file (a Kong file), or of the `gateway:` section; empty: nothing configured
	const char *file_name;              // for messages
	const char *const *trusted_proxies; // addresses and networks whose X-Forwarded-* are believed; NULL-terminated
};
MS_MUST_USE enum ms_err ms_gateway_new(const struct gateway_options *options, struct errinfo *info,
				       struct gateway **ret_gateway);
const struct http_front *ms_gateway_front(struct gateway *gateway);
struct route_set ms_gateway_routes(struct gateway *gateway); // /gateway/v1/*
void ms_gateway_stop(struct gateway *gateway); // on loop 0, loops still run: health checks, connections, timers end
void ms_gateway_free(struct gateway *gateway); // the loops have ended; accepts NULL

// For the command line: checks a file; every problem is written as one line "file:line: path: message". MS_OK, or MS_ERR_CONFIG.
MS_MUST_USE enum ms_err ms_gateway_check(struct slice text, const char *name, struct buf *out, struct errinfo *info);

#endif
