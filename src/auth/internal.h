// SPDX-License-Identifier: Apache-2.0
// Private to auth: what its files share.
#ifndef MS_AUTH_INTERNAL_H
#define MS_AUTH_INTERNAL_H

#include "auth/auth.h"

// The parts, each with a state of its own: made in this order, stopped and freed in the reverse one (auth.c). A part may use the
// parts before it from its `new` on.
struct auth_vault;  // secrets, signing keys, audit: seal.c, signing.c, audit.c
struct auth_gate;   // snapshot of roles and keys, revocations, cache, guard: snapshot.c, cache.c, guard.c
struct auth_people; // pools, throttle, housekeeping: people.c, throttle.c

struct auth {
	struct auth_options options; // the strings are copies, in `arena`
	struct arena arena;          // of the time before the loops run; not touched afterwards
	struct auth_vault *vault;
	struct auth_gate *gate;
	struct auth_people *people;
};

// `new` sets auth's member. stop and free accept a part that was not made (NULL); free is called after stop, once.
MS_MUST_USE enum ms_err ms_auth_vault_new(struct auth *auth, struct errinfo *info);
void ms_auth_vault_stop(struct auth *auth);
void ms_auth_vault_free(struct auth *auth);
MS_MUST_USE enum ms_err ms_auth_gate_new(struct auth *auth, struct errinfo *info);
void ms_auth_gate_stop(struct auth *auth);
void ms_auth_gate_free(struct auth *auth);
MS_MUST_USE enum ms_err ms_auth_people_new(struct auth *auth, struct errinfo *info);
void ms_auth_people_stop(struct auth *auth);
void ms_auth_people_free(struct auth *auth);

// Steps of the schema, one file a step: text of SQL (schema.c gathers them).
extern const char ms_auth_schema_users[];  // 1 (schema_users.c): users, sessions, refresh_tokens
extern const char ms_auth_schema_keys[];   // 2 (schema_keys.c): roles, api_keys
extern const char ms_auth_schema_audit[];  // 3 (schema_audit.c): audit, audit_heads, signing_keys

// Publishes "auth.<event>" with {"event","time","actor","target","details"}; called by ms_audit_append for every entry, so that
// nothing is recorded and not told.
MS_MUST_USE enum ms_err ms_auth_publish(struct store_tx *tx, const struct audit_entry *entry, struct errinfo *info);

#endif
