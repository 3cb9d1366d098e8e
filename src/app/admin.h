// SPDX-License-Identifier: Apache-2.0
// What the commands on users, keys, roles and clients share: the settings, the open state, and who types.
#ifndef MS_APP_ADMIN_H
#define MS_APP_ADMIN_H

#include "app/cli.h"
#include "app/operator.h"
#include "app/state.h"

// Stays where it was begun.
struct admin {
	struct config *config;
	struct state state;
	struct operator op;
	struct auth_authority authority; // without a limit
};

// On failure it was said, and there is nothing to end.
MS_MUST_USE enum cli_exit ms_admin_begin(struct cli *cli, struct admin *ret_admin);
void ms_admin_end(struct admin *admin);

#endif
