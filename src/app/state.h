// SPDX-License-Identifier: Apache-2.0
// Identity, on the store and the bus. Opened by the server, and by commands that work on the same state.
#ifndef MS_APP_STATE_H
#define MS_APP_STATE_H

#include "app/cli.h"
#include "auth/auth.h"
#include "bus/bus.h"
#include "config/config.h"
#include "store/store.h"

struct state {
	struct store *store; // borrowed, or own_store
	struct bus *bus;     // NULL: the command line
	struct auth *auth;
	// Of the command line.
	struct store *own_store;
	struct log *own_log;
	char issuer[MS_LOCAL_ISSUER_SIZE]; // when the settings name none
};

struct state_options {
	const struct settings *settings;
	struct store *store;            // NULL: opened, and closed with the state
	struct bus *bus;                // NULL: events are not told by this process
	const char *const *environment; // keys that it gives; may be NULL
	struct rt *rt;                  // NULL: the command line; no loops, no threads of identity
	struct log *log;                // NULL: one of its own, for warnings
	struct metrics *metrics;
};
// Blocks. A failure leaves nothing open.
MS_MUST_USE enum ms_err ms_state_open(const struct state_options *options, struct errinfo *info,
				      struct state *ret_state);
void ms_state_stop(struct state *state); // the loops have ended
void ms_state_free(struct state *state); // the loops are gone
// Stop and free, for commands.
void ms_state_close(struct state *state);

// Settings, folder and state of a command, or what went wrong printed.
MS_MUST_USE enum cli_exit ms_state_of_command(struct cli *cli, struct config **ret_config, struct state *ret_state);

#endif
