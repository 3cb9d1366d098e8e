// SPDX-License-Identifier: Apache-2.0
// What outlives requests: the store, the bus, identity. Opened by the server, and by commands that work on the same state.
#ifndef MS_APP_STATE_H
#define MS_APP_STATE_H

#include "app/cli.h"
#include "auth/auth.h"
#include "bus/bus.h"
#include "config/config.h"
#include "store/store.h"

// Stays where it was opened.
struct state {
	struct store *store;
	struct bus *bus; // NULL: the command line
	struct auth *auth;
	struct log *own_log; // of the command line
};

struct state_options {
	const struct settings *settings;
	const char *const *environment; // keys that it gives; may be NULL
	struct rt *rt;                  // NULL: the command line; no loops, no threads of identity
	struct log *log;                // NULL: one of its own, for warnings
	struct metrics *metrics;
};
// Blocks. A failure leaves nothing open.
MS_MUST_USE enum ms_err ms_state_open(const struct state_options *options, struct errinfo *info, struct state *ret_state);
MS_MUST_USE enum ms_err ms_state_start(struct state *state, struct errinfo *info); // before the loops run
void ms_state_stop(struct state *state); // the loops have ended
void ms_state_free(struct state *state); // the loops are gone
// Stop and free, for commands.
void ms_state_close(struct state *state);

// Settings, folder and state of a command, or what went wrong printed.
MS_MUST_USE enum cli_exit ms_state_of_command(struct cli *cli, struct config **ret_config, struct state *ret_state);

#endif
