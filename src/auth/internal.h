// SPDX-License-Identifier: Apache-2.0
// Private to auth: what its files share.
#ifndef MS_AUTH_INTERNAL_H
#define MS_AUTH_INTERNAL_H

#include <stdatomic.h>

#include "auth/auth.h"

// The parts, each with a state of its own: made in this order, stopped and freed in the reverse one (auth.c). A part may use the
// parts before it from its `new` on.
struct auth_vault;  // secrets, signing keys, audit: seal.c, signing.c, audit.c
struct auth_gate;   // snapshot of roles and keys, revocations, cache, guard: snapshot.c, cache.c, guard.c
struct auth_people; // pools, throttle, housekeeping: people.c, throttle.c
struct auth_mfa;    // whose passkeys are ours: second.c
struct auth_oauth;  // the key of id tokens: oauth.c
struct federation;  // the outside provider: federation_provider.c

struct auth {
	struct auth_options options; // the strings are copies, in `arena`
	struct arena arena;          // of the time before the loops run; not touched afterwards
	struct auth_vault *vault;
	struct auth_gate *gate;
	struct auth_people *people;
	const struct auth_mfa *mfa; // in `arena`
	struct auth_oauth *oauth;
	struct federation *federation; // NULL: no outside provider, or the command line
};

// `new` sets auth's member. stop and free accept a part that was not made (NULL); free is called after stop, once.
MS_MUST_USE enum ms_err ms_auth_vault_new(struct auth *auth, struct errinfo *info);
void ms_auth_vault_stop(struct auth *auth);
void ms_auth_vault_free(struct auth *auth);
MS_MUST_USE enum ms_err ms_auth_gate_new(struct auth *auth, struct errinfo *info);
void ms_auth_gate_stop(struct auth *auth);
// Before the loops run: what the store holds by now is in force when they do. Without a gate (the command line) nothing happens.
MS_MUST_USE enum ms_err ms_auth_gate_look(struct auth *auth, struct errinfo *info);
void ms_auth_gate_free(struct auth *auth);
// Refusals since they were last taken that are no entries of the audit log (ms_auth_may_record); each is taken once. Any thread.
uint64_t ms_auth_take_unrecorded(struct auth *auth);
MS_MUST_USE enum ms_err ms_auth_people_new(struct auth *auth, struct errinfo *info);
void ms_auth_people_stop(struct auth *auth);
void ms_auth_people_free(struct auth *auth);
MS_MUST_USE enum ms_err ms_auth_oauth_new(struct auth *auth, struct errinfo *info);
void ms_auth_oauth_free(struct auth *auth);

MS_MUST_USE enum ms_err ms_auth_mfa_new(struct auth *auth, struct errinfo *info);
MS_MUST_USE enum ms_err ms_auth_federation_new(struct auth *auth, struct errinfo *info);
void ms_auth_federation_stop(struct auth *auth);
void ms_auth_federation_free(struct auth *auth);

// Steps of the schema, one file a step: text of SQL (schema.c gathers them).
extern const char ms_auth_schema_users[];      // 1 (schema_users.c): users, sessions, refresh_tokens
extern const char ms_auth_schema_keys[];       // 2 (schema_keys.c): roles, api_keys
extern const char ms_auth_schema_audit[];      // 3 (schema_audit.c): audit, audit_heads, signing_keys
extern const char ms_auth_schema_oauth[];      // 4 (schema_oauth.c): oauth_*
extern const char ms_auth_schema_mfa[];        // 5 (schema_mfa.c): totp, recovery_*, passkeys, spent
extern const char ms_auth_schema_federation[]; // 6 (schema_federation.c): identities

// Publishes the entry as "auth.<event>" with event, time, outcome, actor, target and details; ms_audit_append() calls it for every entry, so
// that nothing is recorded and not told. (publish.c)
MS_MUST_USE enum ms_err ms_auth_publish(struct store_tx *tx, const struct audit_entry *entry, struct errinfo *info);

// --- Users (users.c) -----------------------------------------------------------------------------------

// The key under which a name is looked for: lower case. False when the text can be nobody's name or e-mail address. In the arena.
MS_MUST_USE bool ms_auth_name_key(struct slice text, struct arena *arena, struct slice *ret_key);
// The user of that name, e-mail address or (when `by_id`) id, and his stored password (empty: none). *ret_found false: there is none.
MS_MUST_USE enum ms_err ms_auth_user_look(struct store_tx *tx, struct slice key, bool by_id, struct errinfo *info,
					  bool *ret_found, struct auth_user *ret_user, struct slice *ret_password);
// Nobody changes who may more than he. MS_ERR_FORBIDDEN.
MS_MUST_USE enum ms_err ms_auth_check_authority(struct store_tx *tx, const struct auth_authority *authority,
						const struct auth_user *user, struct errinfo *info);
// The account as the audit log names it: "user:ID", in the arena.
struct slice ms_auth_target(const char *kind, struct slice id, struct arena *arena);

// --- Second factors (second.c) ---------------------------------------------------------------------------

// MS_ERR_AUTH_MFA_REQUIRED when the user has a second factor and `methods` do not hold "mfa", and for a client's session while he needs one and has
// none. *ret_scope: what the tokens are limited to, or empty.
MS_MUST_USE enum ms_err ms_factors_of_session(struct store_tx *tx, const struct auth *auth, struct slice user_id,
					      struct slice methods, struct slice client_id, struct errinfo *info,
					      struct slice *ret_scope);

// --- Throttle (throttle.c) -----------------------------------------------------------------------------

struct throttle;
struct throttle_keys {
	uint64_t account, address, pair;
};
MS_MUST_USE enum ms_err ms_throttle_new(size_t entries, struct errinfo *info, struct throttle **ret_throttle);
void ms_throttle_free(struct throttle *throttle);
struct throttle_keys ms_throttle_keys(const struct throttle *throttle, struct slice account, struct slice address);
// How long to wait before the next attempt, 0: none. Changes nothing.
int64_t ms_throttle_look(struct throttle *throttle, const struct throttle_keys *keys, int64_t now_ns);
// The same, and takes the attempt: where failures went before, the next one has to wait as if this one had failed already.
int64_t ms_throttle_enter(struct throttle *throttle, const struct throttle_keys *keys, int64_t now_ns);
enum throttle_outcome { THROTTLE_FAILED, THROTTLE_PASSED, THROTTLE_UNDECIDED };
// After ms_throttle_enter() gave 0. The answer is the delay that a failure brings, 0: none yet.
int64_t ms_throttle_leave(struct throttle *throttle, const struct throttle_keys *keys, enum throttle_outcome outcome,
			  int64_t now_ns);
// The pair signed in before.
void ms_throttle_remember(struct throttle *throttle, const struct throttle_keys *keys, int64_t now_ns);

// --- Pools, housekeeping (people.c) --------------------------------------------------------------------

struct auth_people {
	struct auth *auth;
	struct pool *passwords, *tokens;
	struct throttle *throttle;
	struct password_cost cost;
	struct timer *timer; // of the housekeeping, on loop 0
	struct store_work sweep;
	bool sweeping;
	atomic_bool stopping; // hashes that wait are not worth waiting for
	struct metric_family *logins;
};
// Removes sessions that ended a day ago, with their tokens; a store_fn.
MS_MUST_USE enum ms_err ms_auth_sweep(struct store_tx *tx, void *arg, struct errinfo *info);
// login_attempts_total{result}
void ms_auth_count_login(struct auth *auth, const char *result);

#endif
