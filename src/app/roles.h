// SPDX-License-Identifier: Apache-2.0
// Roles: what a process does. One row each in roles.c; `--roles` picks.
#ifndef MS_APP_ROLES_H
#define MS_APP_ROLES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/base.h"
#include "config/config.h"

struct app; // the running server: settings, loops, log, metrics

// The callbacks run on the main thread, in the order of the table (stop: in the reverse order).
struct role {
	const char *name;
	const char *summary;
	// Before the server listens. A failure ends the start; roles that started are stopped.
	enum ms_err (*start)(struct app *app, struct errinfo *info);
	// Begins to finish: take no new work. Must not block. May be NULL.
	void (*drain)(struct app *app);
	// The loops have ended: ends threads and timers. Mail to the loops may still come. May be NULL.
	void (*stop)(struct app *app);
	// The loops are gone: frees everything. Also called when start failed. May be NULL.
	void (*release)(struct app *app);
};

#define MS_ROLES_MAX 32
size_t ms_role_count(void);
const struct role *ms_role(size_t index);

// The names as a set of bits (bit = index); "all" is every role. MS_ERR_CONFIG for an unknown name, with the nearest,
// and for none at all.
MS_MUST_USE enum ms_err ms_roles_parse(struct string_list names, struct errinfo *info, uint32_t *ret_roles);

#endif
