// SPDX-License-Identifier: Apache-2.0
// Whoever types commands, as the audit log names him, and what he changes outside the store: models, secrets.
#ifndef MS_APP_OPERATOR_H
#define MS_APP_OPERATOR_H

#include "app/cli.h"
#include "app/state.h"

struct operator
{
	char who[32]; // "uid 1000"
	struct auth_actor actor;
	struct state state;
	bool records; // there is a log to write to
};

void ms_operator_init(struct operator* op);
// Before the change: opens the store, so that nothing is changed that cannot be recorded. Where no server has run yet there is no store, and
// with `auth: off` no log: then nothing is recorded.
MS_MUST_USE enum ms_err ms_operator_begin(struct operator* op, const struct settings *settings, struct errinfo *info);
// After it.
MS_MUST_USE enum ms_err ms_operator_record(struct operator* op, enum auth_event event, const char *target,
					   const char *details, struct errinfo *info);
void ms_operator_end(struct operator* op);

#endif
