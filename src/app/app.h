// SPDX-License-Identifier: Apache-2.0
// The running server: what all roles of the process share. Made and taken down by cmd_run.c on the main thread.
#ifndef MS_APP_APP_H
#define MS_APP_APP_H

#include <stdatomic.h>

#include "app/cli.h"
#include "app/roles.h"
#include "app/state.h"
#include "bus/bus.h"
#include "cache/cache.h"
#include "config/config.h"
#include "console/console.h"
#include "gateway/gateway.h"
#include "identity/identity.h"
#include "net/net.h"
#include "observe/observe.h"
#include "registry/registry.h"
#include "rt/rt.h"
#include "serve/serve.h"
#include "store/store.h"

#define MS_APP_ROUTE_SETS_MAX 32
#define MS_APP_CHECKS_MAX 16

struct app {
	const struct settings *settings;
	struct rt *rt;
	struct log *log;
	struct metrics *metrics;
	struct http_server *server;
	struct console *console;
	struct store *store; // NULL when nothing needs it
	struct bus *bus;     // with the store
	struct cache *cache; // NULL until a role opens it (app/cache.h)
	int64_t start_unix_ns;
	atomic_bool draining;
	// What the roles add when they start.
	struct route_set route_sets[MS_APP_ROUTE_SETS_MAX];
	size_t route_set_count;
	struct health_check checks[MS_APP_CHECKS_MAX];
	size_t check_count;
	// Store, bus and identity; empty when nobody is asked who he is (auth: off).
	struct state state;
	struct identity *identity; // the auth role; NULL when it does not run
	struct gateway *gateway;   // the gateway role; NULL when it does not run
	// The ml role; NULL when it does not run.
	struct registry *registry;
	struct serve *serve;
};

void ms_app_add_routes(struct app *app, struct route_set routes);
void ms_app_add_check(struct app *app, struct health_check check);
// Started, loaded, not draining. Any thread.
bool ms_app_is_ready(void *app);

#endif
