// SPDX-License-Identifier: Apache-2.0
// The HTTP of identity: sign-in, users, sessions, keys, roles, the audit log, under /api/v1/auth and /.well-known.
//
// Threads: handlers run on their exchange's loop. What needs the store or a hash goes there and comes home by mail.
#ifndef MS_IDENTITY_IDENTITY_H
#define MS_IDENTITY_IDENTITY_H

#include "auth/auth.h"
#include "base/base.h"
#include "net/net.h"
#include "store/store.h"

struct identity_options {
	struct auth *auth; // outlives the identity
	struct store *store;
	bool registration; // POST /register is open
	const char *registration_role;
	bool mfa_required; // as auth was told
};

struct identity;
MS_MUST_USE enum ms_err ms_identity_new(const struct identity_options *options, struct errinfo *info,
					struct identity **ret_identity);
void ms_identity_free(struct identity *identity); // accepts NULL

// The tables, one a file; NULL-routes past the end.
struct route_set ms_identity_routes(struct identity *identity, size_t index);

#endif
