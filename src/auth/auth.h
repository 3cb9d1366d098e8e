// SPDX-License-Identifier: Apache-2.0
// Who calls, what he may do, and the trace that he leaves: users, sessions, tokens, API keys, roles, audit. The domain alone; its
// HTTP is in `identity`.
//
// Threads: struct auth belongs to no thread; each section says what may be called where. Functions that take a store_tx run inside a
// transaction of the store, on its threads. Functions that take a loop belong to that loop.
#ifndef MS_AUTH_AUTH_H
#define MS_AUTH_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "bus/bus.h"
#include "crypto/crypto.h"
#include "jose/jose.h"
#include "net/net.h"
#include "observe/observe.h"
#include "rt/rt.h"
#include "store/store.h"

// === Shared ==========================================================================================

struct auth;

struct auth_options {
	struct store *store;
	struct bus *bus; // events auth.login, auth.logout, auth.user.created, …; NULL: none
	struct rt *rt;
	struct log *log;
	struct metrics *metrics;
	const char *data_dir;   // master.key and admin.key
	const char *issuer;     // of tokens: "http://localhost:8080"
	const char *audience;   // "mainstay"
	const char *jwt_secret; // JWT_SECRET: HS256; "" = keys of our own
	enum jose_alg algorithm; // of keys of our own
	const char *master_key; // base64 of 32 bytes, or "": the file in data_dir
	uint64_t token_life_ms;
	uint64_t refresh_life_ms;  // of a session at most
	uint64_t refresh_grace_ms; // a refresh token used again this soon is a lost reply
	unsigned password_threads, password_depth;
	uint32_t password_memory_kib, password_passes;
	unsigned password_min_length;
	bool registration; // POST /register is open
};

extern const struct store_migrations ms_auth_migrations;

// Blocks; before the loops run. Reads everything that the hot path needs.
MS_MUST_USE enum ms_err ms_auth_new(const struct auth_options *options, struct errinfo *info, struct auth **ret_auth);
void ms_auth_stop(struct auth *auth); // the loops have ended
void ms_auth_free(struct auth *auth);

#define MS_AUTH_ID_SIZE 37
// A UUIDv7 (RFC 9562) with NUL.
void ms_auth_id(char ret_id[MS_AUTH_ID_SIZE]);

// Who did something, for the audit log and for checks within the domain; borrowed.
struct auth_actor {
	enum caller_kind kind;
	struct slice id, name, address; // address: the peer's
	struct slice session;           // its session id, or empty
	struct slice request_id;
};

// The store's channel for every change that the hot path must see.
#define MS_AUTH_CHANGED "auth.changed"

// Tables of names.
enum auth_event {
#define MS_AUTH_EVENT(id, name, text) id,
#include "auth/events.def"
#undef MS_AUTH_EVENT
	AUTH_EVENT_COUNT
};
const char *ms_auth_event_name(enum auth_event event); // "user.login", as the audit log and the bus ("auth." in front) name it

// === Users, passwords, sessions, tokens ==============================================================
// (users.c, password.c, throttle.c, session.c, token.c, login.c)

struct auth_user {
	struct slice id, username, email, display_name, role, state;
	const struct slice *grants;
	size_t grant_count;
	int64_t created_us, updated_us, password_changed_us;
	bool has_password;
};

// What a successful login, refresh or grant gives the client.
struct auth_tokens {
	struct slice access, refresh; // refresh empty: none
	int64_t expires_in_s;
	struct auth_user user;
	struct slice session;
};

// === Grants, roles, keys, the guard ==================================================================
// (grants.c, roles.c, keys.c, snapshot.c, cache.c, guard.c)

// A set of grants, parsed and matched: immutable. The text form is in README.md.
struct grants;
// In the arena. MS_ERR_INVALID names the first grant that is malformed or of an unknown permission.
MS_MUST_USE enum ms_err ms_grants_parse(const struct slice *texts, size_t count, struct arena *arena, struct errinfo *info, const struct grants **ret_grants);
// object p == NULL: the permission for at least one object.
bool ms_grants_allow(const struct grants *grants, const char *permission, struct slice object);
// Everything that `inner` allows `outer` allows too: nobody gives away more than he has.
bool ms_grants_within(const struct grants *inner, const struct grants *outer);
void ms_grants_write(const struct grants *grants, struct buf *out_json_array);
// Of an admitted caller.
const struct grants *ms_auth_grants_of(const struct exchange *x);
struct auth_actor ms_auth_actor_of(const struct exchange *x);

// The guard for the HTTP server. Lives as long as auth.
const struct http_guard *ms_auth_guard(struct auth *auth);
// Calls done on `loop` once every loop works with what is committed by now: a change is answered after it is in force.
typedef void auth_settled_fn(void *arg);
void ms_auth_settle(struct auth *auth, struct loop *loop, auth_settled_fn *done, void *arg);

// The effective grants of a user: his role's and his own; in the transaction's arena.
MS_MUST_USE enum ms_err ms_auth_user_grants(struct store_tx *tx, const struct auth_user *user, struct errinfo *info, const struct grants **ret_grants);
// Voids tokens at once: of a session, or all of a user that were issued until now. Notifies MS_AUTH_CHANGED. Inside the transaction of the change.
MS_MUST_USE enum ms_err ms_auth_void_session(struct store_tx *tx, struct slice session, struct errinfo *info);
MS_MUST_USE enum ms_err ms_auth_void_user(struct store_tx *tx, struct slice user_id, struct errinfo *info);
// The user's role, grants or state changed: tokens stay valid with what holds now.
MS_MUST_USE enum ms_err ms_auth_touch_user(struct store_tx *tx, struct slice user_id, struct errinfo *info);

// === Audit, secrets, signing keys ====================================================================
// (audit.c, audit_verify.c, seal.c, signing.c)

enum audit_outcome { AUDIT_OK, AUDIT_REFUSED, AUDIT_FAILED };
struct audit_entry {
	enum auth_event event;
	enum audit_outcome outcome;
	struct auth_actor actor;
	struct slice target;  // "user:0190…", "model:churn", "key:…"
	struct slice details; // a JSON object without secrets, or empty
};
// Inside the transaction of what is recorded: both are there or neither.
MS_MUST_USE enum ms_err ms_audit_append(struct store_tx *tx, struct auth *auth, const struct audit_entry *entry, struct errinfo *info);
// For refusals and for changes outside the store (model pushes): copied, written soon by a transaction of its own. Any loop thread.
void ms_audit_later(struct auth *auth, const struct audit_entry *entry);

// Seals bytes with the master key; `context` ("totp:USER") must be the same to open. Any thread.
MS_MUST_USE enum ms_err ms_auth_seal(const struct auth *auth, struct slice context, struct slice plain, struct arena *arena, struct errinfo *info, struct slice *ret_sealed);
MS_MUST_USE enum ms_err ms_auth_open(const struct auth *auth, struct slice context, struct slice sealed, struct arena *arena, struct errinfo *info, struct slice *ret_plain);

// The keys that verify tokens (all that are not expired) and the one that signs, of a loop's present snapshot: valid until the loop's next turn.
struct jose_keys ms_auth_verify_keys(const struct auth *auth, const struct loop *loop);
// On store threads and pool threads; unref the key.
struct jose_key *ms_auth_signing_key(struct auth *auth);
// The JWKS document (public keys; empty with HS256).
void ms_auth_write_jwks(const struct auth *auth, const struct loop *loop, struct buf *out);

#endif
