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

#include "auth/outside.h"
#include "base/base.h"
#include "bus/bus.h"
#include "crypto/crypto.h"
#include "jose/jose.h"
#include "net/net.h"
#include "observe/observe.h"
#include "rt/rt.h"
#include "store/store.h"
#include "json/json.h"

// === Shared ==========================================================================================

struct auth;

struct auth_options {
	struct store *store;
	struct bus *bus; // events auth.login, auth.logout, auth.user.created, …; NULL: none
	struct rt *rt;   // NULL: the command line; no loops, no threads, no guard
	struct log *log;
	struct metrics *metrics;
	const char *data_dir;     // master.key and admin.key
	const char *issuer;       // of tokens: "http://localhost:8080"
	const char *audience;     // "mainstay"
	const char *jwt_secret;   // JWT_SECRET: HS256; "" = keys of our own
	enum jose_alg algorithm;  // of keys of our own
	const char *master_key;   // base64 of 32 bytes, or "": the file in data_dir
	uint64_t key_rotation_ms; // of keys of our own
	uint64_t token_life_ms;
	uint64_t refresh_life_ms;  // of a session at most
	uint64_t refresh_idle_ms;  // a session that is not refreshed for so long ends
	uint64_t refresh_grace_ms; // a refresh token used again this soon is a lost reply
	unsigned password_threads, password_depth;
	uint32_t password_memory_kib, password_passes;
	unsigned password_min_length;
	bool registration;                   // POST /register is open
	const char *registration_role;       // of users who registered themselves
	bool mfa_required;                   // without a second factor a user may change his own account, no more
	unsigned totp_skew;                  // steps of 30 s that a clock may be off, either way
	const char *webauthn_rp_id;          // the domain that passkeys belong to; "": the issuer's host
	const char *const *webauthn_origins; // of pages that may use them: "https://ml.example"
	size_t webauthn_origin_count;        // 0: the issuer's
	struct auth_provider_options provider;
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
const char *ms_auth_event_name(
	enum auth_event event); // "user.login", as the audit log and the bus ("auth." in front) name it

// === Users, passwords, sessions, tokens ==============================================================
// (users.c, password.c, throttle.c, session.c, token.c, login.c)
//
// Functions with a `tx` run inside a transaction; what they return lives in its arena. They append to the audit log and publish to the
// bus (topic "auth." and the event's name) themselves, in that transaction. `by` says who does it.

#define MS_AUTH_NAME_MAX 128   // bytes of a username: ASCII letters and digits, and . _ - @ +
#define MS_AUTH_EMAIL_MAX 254  // RFC 5321
#define MS_AUTH_USER_GRANTS 64 // of a user's own
#define MS_AUTH_PASSWORD_MAX 1024
#define MS_AUTH_SESSIONS_MAX 1000 // open at a time, of one user; a further one ends the one unused for longest

struct auth_user {
	struct slice id, username, email, display_name, role, state; // state: "active" or "disabled"
	const struct slice *grants;                                  // his own, besides the role's
	size_t grant_count;
	int64_t created_us, updated_us, password_changed_us, valid_after_us;
	bool has_password;
};
static inline bool ms_auth_user_is_active(const struct auth_user *user)
{
	return ms_slice_eq_cstr(user->state, "active");
}

// With all its strings, in the arena.
MS_MUST_USE enum ms_err ms_auth_user_copy(const struct auth_user *user, struct arena *arena, struct errinfo *info,
					  struct auth_user *ret_user);

// What may be given to users: everything that `limit` allows, and no user who has more than that may be touched. NULL: no limit (the
// command line).
struct auth_authority {
	const struct auth_actor *by;
	const struct grants *limit;
};

// Members whose p is NULL are left as they are (a new user: empty). password is a stored form (ms_auth_password_hash), not the password.
struct auth_user_fields {
	struct slice username, email, display_name, role, state, password;
	const struct slice *grants; // NULL: as they are
	size_t grant_count;
};

// MS_ERR_AUTH_USER_EXISTS, MS_ERR_INVALID (field says which), MS_ERR_FORBIDDEN (more than the limit), MS_ERR_AUTH_USER_UNKNOWN,
// MS_ERR_AUTH_LAST_ADMIN.
MS_MUST_USE enum ms_err ms_auth_user_add(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
					 const struct auth_user_fields *fields, struct errinfo *info,
					 struct auth_user *ret_user);
// A change of state or password ends the user's sessions; a new role or new grants hold for his open sessions at once.
// keep_session: is not ended (may be empty).
MS_MUST_USE enum ms_err ms_auth_user_change(struct store_tx *tx, struct auth *auth,
					    const struct auth_authority *authority, struct slice id,
					    const struct auth_user_fields *fields, struct slice keep_session,
					    struct errinfo *info, struct auth_user *ret_user);
MS_MUST_USE enum ms_err ms_auth_user_remove(struct store_tx *tx, struct auth *auth,
					    const struct auth_authority *authority, struct slice id,
					    struct errinfo *info);
MS_MUST_USE enum ms_err ms_auth_user_get(struct store_tx *tx, struct slice id, struct errinfo *info,
					 struct auth_user *ret_user);
// By id, username or e-mail, as a person would name him.
MS_MUST_USE enum ms_err ms_auth_user_find(struct store_tx *tx, struct slice name, struct errinfo *info,
					  struct auth_user *ret_user);
// In the order of ids (of their making), behind the id `after` (empty: from the first). At most `limit`.
MS_MUST_USE enum ms_err ms_auth_user_list(struct store_tx *tx, struct slice after, size_t limit, struct errinfo *info,
					  struct auth_user **ret_users, size_t *ret_count);

// --- Passwords

// Whether it may be a new password: length, not common, not the name. MS_ERR_AUTH_PASSWORD says what is wrong. Fast, any thread.
MS_MUST_USE enum ms_err ms_auth_password_check(const struct auth *auth, struct slice password, struct slice username,
					       struct slice email, struct errinfo *info);
// The stored form, in the arena. Slow: on the passwords pool and the command line.
MS_MUST_USE enum ms_err ms_auth_password_hash(const struct auth *auth, struct slice password, struct arena *arena,
					      struct errinfo *info, struct slice *ret_stored);

// Checks a password as a login does: throttled by account and address, on the passwords pool, with the same work and answer for users
// that do not exist. The attempt lives until `done` was called, on `loop`.
struct auth_attempt {
	struct slice identifier; // username or e-mail as typed; or:
	struct slice user_id;    // of a signed-in user who types his password again
	struct slice password;
	struct slice address, agent, request_id;
	struct arena *arena; // the attempt's alone until done
	void (*done)(struct auth_attempt *attempt, void *arg);
	void *arg;
	// The answer. MS_ERR_AUTH_CREDENTIALS, MS_ERR_AUTH_THROTTLED and MS_ERR_BUSY (retry_after_s), or the store's errors. Refusals were recorded.
	enum ms_err err;
	struct errinfo info;
	int64_t retry_after_s;
	struct auth_user user;
	struct slice rehashed; // a new stored form, to be written with the session; empty: not needed
	// private
	struct auth *auth;
	struct loop *loop;
	struct store_work read;
	struct job job;
	struct slice key;    // of the account
	struct slice stored; // password as stored; empty: none
	int64_t delay_ns;    // that the next attempt has to wait
	bool found;
};
void ms_auth_attempt(struct auth *auth, struct loop *loop, struct auth_attempt *attempt);
// Counts something costly that an address asks for ("register"), with the same delays. MS_ERR_AUTH_THROTTLED and the seconds to wait. Any thread.
MS_MUST_USE enum ms_err ms_auth_slow_down(struct auth *auth, const char *what, struct slice address,
					  struct errinfo *info, int64_t *ret_retry_after_s);

// --- Sessions and tokens

struct auth_session {
	struct slice id, user_id, client_id, address, agent, methods; // methods: "pwd", "pwd otp", … (RFC 8176)
	int64_t created_us, used_us, expires_us;
};

// What a successful login, refresh or grant gives the client.
struct auth_tokens {
	struct slice access, refresh; // refresh empty: none
	int64_t expires_in_s;
	struct auth_user user;
	struct slice session;
	struct slice
		scope; // what the access token is limited to: "self" while a second factor is required and missing; empty: nothing
};

#define MS_AUTH_REFRESH_PREFIX "msr"
// Begins a session and makes its first refresh token. Looks at the user again: MS_ERR_AUTH_CREDENTIALS when he was disabled, removed or
// changed since `user` was read. `rehashed`: of the attempt. Records AUTH_LOGIN. Fills all of *ret_tokens but `access`.
MS_MUST_USE enum ms_err ms_auth_session_begin(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					      const struct auth_user *user, struct slice rehashed,
					      const struct auth_session *session, struct errinfo *info,
					      struct auth_tokens *ret_tokens, struct slice *ret_permissions);
// Rotates. MS_ERR_TOKEN_INVALID, MS_ERR_TOKEN_EXPIRED, MS_ERR_TOKEN_REVOKED. The transaction must be committed when *ret_reused is set and the
// function succeeds: the token came twice, and its session was ended. The same token again within the grace, while its successor was not
// used, gets the same successor: the first reply was lost.
MS_MUST_USE enum ms_err ms_auth_session_refresh(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
						struct slice refresh, struct slice client_id, struct errinfo *info,
						bool *ret_reused, struct auth_tokens *ret_tokens,
						struct slice *ret_permissions);
// Whether the store has it at all, whatever it is worth: MS_ERR_TOKEN_INVALID else. For a reading transaction, so that who makes tokens up does
// not keep the writer busy.
MS_MUST_USE enum ms_err ms_auth_session_knows(struct store_tx *tx, struct slice refresh, struct errinfo *info);
MS_MUST_USE enum ms_err ms_auth_session_end(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					    struct slice user_id, struct slice session, enum auth_event event,
					    struct errinfo *info);
// All open ones of a user, but `keep` (may be empty).
MS_MUST_USE enum ms_err ms_auth_session_end_all(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
						struct slice user_id, struct slice keep, enum auth_event event,
						struct errinfo *info, size_t *ret_ended);
// Newest first, behind the id `after`.
MS_MUST_USE enum ms_err ms_auth_session_list(struct store_tx *tx, struct slice user_id, struct slice after,
					     size_t limit, struct errinfo *info, struct auth_session **ret_sessions,
					     size_t *ret_count);

// Claims of an access token. sid and jti are UUIDv7: they hold the millisecond of the session's begin and of the token's issue, which
// iat (whole seconds) does not.
struct auth_claims {
	struct slice user_id, username, role, session, id; // session empty: none (a client's own token)
	struct slice client_id;                            // empty: none
	struct slice permissions;                          // JSON array of grants
	struct slice scope;                                // of OAuth; empty: none
	int64_t issued_s, expires_s;
};
// Signs; iss, aud, nbf and, where empty or 0, jti, iat and exp are filled in. Pool and store threads, and the command line. Appends.
MS_MUST_USE enum ms_err ms_auth_token_sign(struct auth *auth, const struct auth_claims *claims, struct errinfo *info,
					   struct buf *out);
// Verifies signature, issuer, audience, type and times: MS_ERR_TOKEN_INVALID, MS_ERR_TOKEN_EXPIRED, MS_ERR_TOKEN_EARLY. Whether the session
// was ended or the user changed is for the caller to look up. On the loop's thread; strings in the arena.
MS_MUST_USE enum ms_err ms_auth_token_read(const struct auth *auth, const struct loop *loop, struct slice token,
					   struct arena *arena, struct errinfo *info, struct auth_claims *ret_claims);

// What a token or API key is worth at this moment, from the memory of the guard. MS_ERR_TOKEN_INVALID, MS_ERR_TOKEN_EXPIRED, MS_ERR_TOKEN_REVOKED. On the
// loop's thread; lives as long as the arena.
struct auth_worth {
	enum caller_kind kind;
	struct slice id, name; // of the user, key or client
	struct slice user_id;  // empty: of nobody
	const struct grants *grants;
	struct slice role, session;  // of tokens
	int64_t issued_s, expires_s; // of tokens
};
MS_MUST_USE enum ms_err ms_auth_validate(struct auth *auth, struct loop *loop, struct slice credential,
					 struct arena *arena, struct errinfo *info, struct auth_worth *ret_worth);

// A pool for what is too long for a loop and too short for a thread of its own: signatures.
struct pool *ms_auth_pool(struct auth *auth);
// The pool that hashes passwords; few run at once.
struct pool *ms_auth_password_pool(struct auth *auth);

// --- First start

#define MS_AUTH_ADMIN_KEY_FILE "admin.key"
// When the store holds no user: makes the user `admin` (without a password) and an API key of his, writes the key to data_dir/admin.key
// (mode 0600) and returns it; else *ret_key is empty. Blocks; before the loops run.
MS_MUST_USE enum ms_err ms_auth_first_start(struct auth *auth, struct arena *arena, struct errinfo *info,
					    struct slice *ret_key);

// === Grants, roles, keys, the guard ==================================================================
// (permissions.def, grants.c, roles.c, keys.c, change.c, snapshot.c, cache.c, guard.c)
//
// Of a token the guard reads user_id, username, role, sid, jti (UUIDv7), iat and exp; client_id (without user_id: a program's own token);
// scope (RFC 6749 3.3: when there, the token may do no more than these grants); and permissions: what role and own grants allowed
// together when it was issued. That holds until the role or the user changes; from then on, what the store says now.

struct auth_permission {
	const char *name;   // "models.write"
	const char *object; // what its object is, "model", or NULL: it has none
	const char *help;
};
const struct auth_permission *ms_auth_permissions(size_t *ret_count);

// A set of grants, parsed and matched: immutable, any thread. The text form is in README.md.
struct grants;
#define MS_GRANTS_MAX 100     // of one list
#define MS_GRANT_TEXT_MAX 256 // bytes of one
// In the arena, which must outlive it; the texts are copied. MS_ERR_INVALID names the first grant that is malformed or of an unknown permission.
MS_MUST_USE enum ms_err ms_grants_parse(const struct slice *texts, size_t count, struct arena *arena,
					struct errinfo *info, const struct grants **ret_grants);
// A JSON array of texts, as it is stored.
MS_MUST_USE enum ms_err ms_grants_read(struct slice json_array, struct arena *arena, struct errinfo *info,
				       const struct grants **ret_grants);
// What either allows; what both allow. Copied into the arena. MS_ERR_NO_MEMORY, MS_ERR_LIMIT.
MS_MUST_USE enum ms_err ms_grants_union(const struct grants *a, const struct grants *b, struct arena *arena,
					struct errinfo *info, const struct grants **ret_grants);
MS_MUST_USE enum ms_err ms_grants_intersect(const struct grants *a, const struct grants *b, struct arena *arena,
					    struct errinfo *info, const struct grants **ret_grants);
// object p == NULL: the permission for at least one object. The permission is one of the table (assertion).
bool ms_grants_allow(const struct grants *grants, const char *permission, struct slice object);
// Everything that `inner` allows `outer` allows too: nobody gives away more than he has.
bool ms_grants_within(const struct grants *inner, const struct grants *outer);
// Two grants may overlap in text ("predict", "predict:a"): they are written as they were given. An array of texts.
void ms_grants_write(const struct grants *grants, struct buf *out_json_array);
extern const struct grants *const MS_GRANTS_ALL;
extern const struct grants *const MS_GRANTS_NONE;

// --- Roles. Inside a transaction; the built-in ones are the program's, the others in the store. What a write changes is in force
// everywhere after ms_auth_settle().

struct auth_role {
	struct slice name, description;
	const struct grants *grants;
	bool built_in;
	int64_t created_us, updated_us; // 0 for built-in ones
};
// In the transaction's arena. MS_ERR_NOT_FOUND with the names that there are.
MS_MUST_USE enum ms_err ms_auth_role_get(struct store_tx *tx, struct slice name, struct errinfo *info,
					 struct auth_role *ret_role);
// All, by name.
MS_MUST_USE enum ms_err ms_auth_role_list(struct store_tx *tx, struct errinfo *info, struct auth_role **ret_roles,
					  size_t *ret_count);
// Adds or replaces. MS_ERR_CONFLICT for a built-in one, MS_ERR_FORBIDDEN for more than the authority has (in the new grants or, of a role
// that is replaced, the old ones), MS_ERR_INVALID.
MS_MUST_USE enum ms_err ms_auth_role_set(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
					 const struct auth_role *role, struct errinfo *info, bool *ret_created);
// MS_ERR_CONFLICT while users have it.
MS_MUST_USE enum ms_err ms_auth_role_remove(struct store_tx *tx, struct auth *auth,
					    const struct auth_authority *authority, struct slice name,
					    struct errinfo *info);

// --- API keys. Inside a transaction.

#define MS_AUTH_KEY_PREFIX "msk"
#define MS_AUTH_KEYS_OF_USER 200 // in force, of one user
struct auth_key {
	struct slice id, name, owner_id;                     // owner empty: of nobody, it may do what its scopes say
	struct slice owner_name;                             // filled by get and list
	struct slice hint;                                   // the first characters, for people
	const struct grants *scopes;                         // with an owner: and no more than he may himself
	int64_t created_us, expires_us, used_us, revoked_us; // 0: never
};
// Makes one: `key` gives name, owner_id (a user that there is, or empty), scopes and expires_us; the secret is shown once and stored as SHA-256.
// MS_ERR_FORBIDDEN for more than the authority has. Change what the snapshot holds: ms_auth_settle() before the answer.
MS_MUST_USE enum ms_err ms_auth_key_create(struct store_tx *tx, struct auth *auth,
					   const struct auth_authority *authority, const struct auth_key *key,
					   struct errinfo *info, struct auth_key *ret_key,
					   char ret_secret[MS_API_KEY_SIZE]);
MS_MUST_USE enum ms_err ms_auth_key_get(struct store_tx *tx, struct slice id, struct errinfo *info,
					struct auth_key *ret_key);
// The newest first; `owner` empty: of all; `before`: the id of the last one seen, or empty. At most `limit`.
MS_MUST_USE enum ms_err ms_auth_key_list(struct store_tx *tx, struct slice owner, struct slice before, size_t limit,
					 struct errinfo *info, struct auth_key **ret_keys, size_t *ret_count);
// Ends it for good; it stays listed. Again is fine.
MS_MUST_USE enum ms_err ms_auth_key_revoke(struct store_tx *tx, struct auth *auth,
					   const struct auth_authority *authority, struct slice id,
					   struct errinfo *info);
// A new key with name, owner, scopes and life of the old one, which ends after `overlap_us`. MS_ERR_CONFLICT when the old one has ended.
MS_MUST_USE enum ms_err ms_auth_key_rotate(struct store_tx *tx, struct auth *auth,
					   const struct auth_authority *authority, struct slice id, int64_t overlap_us,
					   struct errinfo *info, struct auth_key *ret_key,
					   char ret_secret[MS_API_KEY_SIZE]);
// Keys given by the environment as SHA-256 (NAME_API_KEY_HASH, NAME_API_KEY_SCOPES): in force as long as the process runs. Before the
// loops run. MS_ERR_CONFIG names the variable that is wrong.
MS_MUST_USE enum ms_err ms_auth_take_environment(struct auth *auth, const char *const *environment,
						 struct errinfo *info);

// --- The guard

// The guard for the HTTP server. Lives as long as auth.
const struct http_guard *ms_auth_guard(struct auth *auth);
// Of an admitted caller; any thread while the request lives.
const struct grants *ms_auth_grants_of(const struct exchange *x);
struct auth_actor ms_auth_actor_of(const struct exchange *x);
// The user behind a caller: himself, or the owner of the key; empty for a key or client of nobody.
struct slice ms_auth_user_of(const struct exchange *x);
// Whether an OAuth client calls for that user, and not he himself.
bool ms_auth_is_for_client(const struct exchange *x);
// Whether a refusal that strangers can bring about as often as they like is to be recorded: fifty at once, then ten a second, all such
// refusals together. The others are counted; *ret_unrecorded: those since the last one that was recorded.
MS_MUST_USE bool ms_auth_may_record(struct auth *auth, uint64_t *ret_unrecorded);

// Calls done on `loop` once every loop works with what is committed by now: a change is answered after it is in force. The struct
// lives in the caller's object until then. Loop threads.
typedef void auth_settled_fn(void *arg);
struct auth_gate;
struct auth_settle {
	struct mail mail;
	struct auth_gate *gate;
	struct loop *loop;
	auth_settled_fn *done;
	void *arg;
	struct auth_settle *next;
};
void ms_auth_settle(struct auth *auth, struct auth_settle *settle, struct loop *loop, auth_settled_fn *done, void *arg);

// The effective grants of a user: his role's and his own; in the transaction's arena. A role that is gone gives none.
MS_MUST_USE enum ms_err ms_auth_user_grants(struct store_tx *tx, const struct auth_user *user, struct errinfo *info,
					    const struct grants **ret_grants);
// Voids tokens at once: of a session, or all of a user that were issued until now (sets users.valid_after_us). Notifies MS_AUTH_CHANGED. Inside
// the transaction of the change.
MS_MUST_USE enum ms_err ms_auth_void_session(struct store_tx *tx, struct slice session, struct errinfo *info);
MS_MUST_USE enum ms_err ms_auth_void_user(struct store_tx *tx, struct slice user_id, struct errinfo *info);
// The user's role, grants or state changed, or he was removed: tokens are worth from now on what the row says (a user that is not
// there or not 'active' may nothing). Inside the transaction, after the change.
MS_MUST_USE enum ms_err ms_auth_touch_user(struct store_tx *tx, struct slice user_id, struct errinfo *info);

// === Audit, secrets, signing keys ====================================================================
// (audit.c, audit_later.c, audit_read.c, audit_verify.c, vault.c, secrets.c, signing.c, signing_rotate.c)

// --- The audit log -----------------------------------------------------------------------------------
// Append-only and chained: the hash of an entry covers all its fields and the hash of the entry before. Heads of the chain are signed, and
// written where they can be kept elsewhere. What is encoded how is in README.md.

enum audit_outcome { AUDIT_OK, AUDIT_REFUSED, AUDIT_FAILED };
struct audit_entry {
	enum auth_event event;
	enum audit_outcome outcome;
	// Text of strangers may stand here: control characters are encoded, what is too long is cut, and what looks like a token or a key of ours
	// is replaced. A name that no user has is left out: people type passwords there.
	struct auth_actor actor;
	struct slice target;  // "user:0190…", "model:churn", "key:…"; or empty
	struct slice details; // a JSON object without secrets, at most 4 KiB; or empty
};
// For what nobody asked for (start, rotation), and for the command line (`user`: the operating system's name of who typed).
static inline struct auth_actor ms_auth_actor_system(void)
{
	return (struct auth_actor){.id = MS_SLICE_LIT("system")};
}
static inline struct auth_actor ms_auth_actor_console(struct slice user)
{
	return (struct auth_actor){.id = MS_SLICE_LIT("console"), .name = user};
}
// Inside the transaction of what is recorded: both are there or neither. Last of its statements, because other appenders wait from
// here to its end. When it worked and `auth` has a bus, the event goes to the bus too ("auth.login") with actor, target, outcome and details:
// callers publish nothing themselves. `auth` may be NULL (command line).
MS_MUST_USE enum ms_err ms_audit_append(struct store_tx *tx, struct auth *auth, const struct audit_entry *entry,
					struct errinfo *info);
// For refusals and for changes outside the store (model pushes): copied, written within about 100 ms by a transaction of its own. Any
// thread, never blocks. While more than 10,000 wait (the database is away), refusals are dropped and counted, the count is recorded later; changes are
// never dropped. `auth` may be NULL: nothing happens.
void ms_audit_later(struct auth *auth, const struct audit_entry *entry);
// So many wait: who makes entries as fast as he likes is told to come again. Any thread.
bool ms_audit_is_behind(const struct auth *auth);

#define MS_AUDIT_HASH_SIZE 32
#define MS_AUDIT_LIST_MAX 1000
// Empty texts and zeros do not filter.
struct audit_filter {
	struct slice actor; // id or name
	struct slice event; // "login"
	struct slice target;
	struct slice outcome;      // "ok", "refused", "failed"
	int64_t from_us, until_us; // until is excluded
	int64_t cursor;            // newest first: entries before this one; oldest first: behind it. 0: from the start
	bool oldest_first;
};
// At most `max` (to MS_AUDIT_LIST_MAX) entries that fit, each as a JSON object with ms_audit_write(). Inside a reading transaction.
struct audit_record {
	int64_t seq, time_us;
	struct slice actor_kind, actor_id, actor_name, address, session, request_id, event, target, outcome, details;
	struct slice prev, hash;
};
MS_MUST_USE enum ms_err ms_audit_list(struct store_tx *tx, const struct audit_filter *filter, size_t max,
				      struct errinfo *info, struct audit_record **ret_records,
				      size_t *ret_count); // in the transaction's arena
void ms_audit_write(struct json_writer *w, const struct audit_record *record);
// The newest signed head, as the JSON object that is kept elsewhere; *ret_json empty: there is none yet. In the transaction's arena.
MS_MUST_USE enum ms_err ms_audit_head(struct store_tx *tx, struct errinfo *info, struct slice *ret_json);

enum audit_fault {
	AUDIT_WHOLE,
	AUDIT_CHANGED,   // an entry does not have its hash
	AUDIT_REPLACED,  // the entry behind was made after another one
	AUDIT_MISSING,   // one or more were removed
	AUDIT_INSERTED,  // one was put between
	AUDIT_REORDERED, // it stood elsewhere
	AUDIT_TRUNCATED, // the log ends before a head that was signed or kept
	AUDIT_REWRITTEN, // chained well, but not what was signed or kept
	AUDIT_SIGNATURE, // a head whose signature is wrong, or whose key is not known
};
const char *ms_audit_fault_name(enum audit_fault fault); // "changed"
struct audit_report {
	enum audit_fault fault;
	int64_t seq;                  // of the first bad entry
	char message[320];            // one sentence
	int64_t entries, heads, kept; // that were looked at
	bool keys_trusted; // the heads' key was opened with the master key, so that nobody who only writes to the store can have made it
};
struct vault;
struct audit_verify_options {
	struct store *store;
	const struct vault *vault; // NULL: the public key in the store is believed
	struct slice kept;         // heads that were kept elsewhere: JSON lines; or empty
	void (*progress)(int64_t done, int64_t total, void *arg); // may be NULL
	void *arg;
};
// Reads the whole log, page by page; blocks. MS_OK whatever it finds.
MS_MUST_USE enum ms_err ms_audit_verify(const struct audit_verify_options *options, struct errinfo *info,
					struct audit_report *ret_report);

// --- Secrets -----------------------------------------------------------------------------------------
// The vault holds the master key: of the setting identity.master_key, or of the file master.key in the data folder, which must be readable by its owner
// alone. Either may hold several keys (base64 of 32 bytes each, separated by white space or commas): the first seals, all open.

#define MS_VAULT_FILE "master.key"
struct vault_options {
	const char *data_dir;
	const char *master_key; // the setting, or ""
	bool create;            // make the file when there is none
};
// Blocks. MS_ERR_CONFIG for a malformed key, MS_ERR_FILE_MISSING, MS_ERR_PERMISSION.
MS_MUST_USE enum ms_err ms_vault_open(const struct vault_options *options, struct errinfo *info,
				      struct vault **ret_vault);
void ms_vault_free(struct vault *vault); // wipes; accepts NULL
#define MS_VAULT_KEY_ID_SIZE 17
void ms_vault_key_id(const struct vault *vault, char ret_id[MS_VAULT_KEY_ID_SIZE]); // of the key that seals, in hex
// `context` ("totp:USER") must be the same to open. Any thread. The sealed form names the key that sealed it.
MS_MUST_USE enum ms_err ms_vault_seal(const struct vault *vault, struct slice context, struct slice plain,
				      struct arena *arena, struct errinfo *info, struct slice *ret_sealed);
MS_MUST_USE enum ms_err ms_vault_open_sealed(const struct vault *vault, struct slice context, struct slice sealed,
					     struct arena *arena, struct errinfo *info, struct slice *ret_plain);
bool ms_vault_is_current(const struct vault *vault, struct slice sealed); // sealed by the first key
// The same with the vault of auth.
MS_MUST_USE enum ms_err ms_auth_seal(const struct auth *auth, struct slice context, struct slice plain,
				     struct arena *arena, struct errinfo *info, struct slice *ret_sealed);
MS_MUST_USE enum ms_err ms_auth_open(const struct auth *auth, struct slice context, struct slice sealed,
				     struct arena *arena, struct errinfo *info, struct slice *ret_plain);
// Seals everything in the store anew with the first key; with `add` a new key is put in front in master.key before (with the setting the
// operator does that). The old keys stay, so that nothing is lost whatever happens; a running server reads the file again when it meets
// a key that it does not know. Once all is sealed anew (the secrets file too), ms_vault_drop_old() forgets them. Blocks.
struct vault_rekey {
	bool add;
	size_t resealed; // answer
};
MS_MUST_USE enum ms_err ms_vault_rekey(struct vault *vault, struct store *store, struct vault_rekey *rekey,
				       struct errinfo *info);
MS_MUST_USE enum ms_err ms_vault_drop_old(struct vault *vault, struct errinfo *info);
size_t ms_vault_key_count(const struct vault *vault);

// A file of names and values, sealed whole. Blocks.
struct secret_item {
	struct slice name, value;
};
#define MS_SECRETS_FILE "secrets.enc"
#define MS_SECRETS_MAX 1000
#define MS_SECRET_VALUE_MAX ((size_t)64 << 10)
// MS_ERR_FILE_MISSING when there is none. Sorted by name, in the arena, which the caller wipes or frees.
MS_MUST_USE enum ms_err ms_secrets_read(const char *path, const struct vault *vault, struct arena *arena,
					struct errinfo *info, struct secret_item **ret_items, size_t *ret_count);
// Sets or, with value.p == NULL, removes one (MS_ERR_NOT_FOUND); under a lock beside the file. `path` is made when missing (mode 0600).
MS_MUST_USE enum ms_err ms_secrets_set(const char *path, const struct vault *vault, struct slice name,
				       struct slice value, struct errinfo *info);
MS_MUST_USE enum ms_err ms_secrets_reseal(const char *path, const struct vault *vault, struct errinfo *info);

// --- Signing keys ------------------------------------------------------------------------------------
// With JWT_SECRET one HS256 key; else keys of our own: `next` is published before it signs, `active` signs, `retired` verifies until its last token is expired.

// The keys that verify tokens (all that are not expired), of a loop's present snapshot: valid until the loop's next turn.
struct jose_keys ms_auth_verify_keys(const struct auth *auth, const struct loop *loop);
// The one that signs. Any thread (not for hot paths: takes a lock); unref the key.
struct jose_key *ms_auth_signing_key(struct auth *auth);
// The JWKS document (public keys; empty with HS256).
void ms_auth_write_jwks(const struct auth *auth, const struct loop *loop, struct buf *out);

struct signing_key_info {
	struct slice kid, alg, state;
	int64_t created_us, active_us, retired_us; // active_us of `next`: from when it is to sign; 0: not yet
};
// In the transaction's arena.
MS_MUST_USE enum ms_err ms_signing_list(struct store_tx *tx, struct errinfo *info, struct signing_key_info **ret_keys,
					size_t *ret_count);
struct signing_rotate {
	struct store *store;
	const struct vault *vault;
	enum jose_alg algorithm;
	uint64_t token_life_ms;
	bool now; // the next key signs at once, although others may not have read it yet
	struct auth_actor actor;
	int64_t signs_from_us; // answer: when the next key begins
	char kid[64];          // answer: which
};
// For the command line; running servers follow. Blocks (and makes keys: slow for RSA).
MS_MUST_USE enum ms_err ms_signing_rotate(struct signing_rotate *rotate, struct errinfo *info);

// === Second factors ==================================================================================
// (second.c, proof.c, ticket.c, totp.c, recovery.c, passkey*.c, webauthn_data.c, cbor.c)
//
// A user has a second factor when he confirmed a TOTP secret or registered a passkey. From then on a password alone signs nobody in:
//
//	password verified (ms_auth_attempt)
//	in the transaction that would begin the session: ms_auth_second_step(); *ret_token empty: go on as before
//	else show the token's holder a place for a code; with the code: ms_auth_prove() with that token, any number of times
//	passed: ms_auth_session_begin() with proof.user and proof.methods
//
// ms_auth_session_begin() refuses (MS_ERR_AUTH_MFA_REQUIRED) a user with a second factor whose `methods` do not hold the word "mfa", so that no way
// in can forget it. With the setting identity.mfa = required the session of a user without a second factor gives tokens of the
// scope "self" (auth_tokens.scope) until he has one and signs in or refreshes again. The first second factor ends the user's other sessions.

enum auth_factor { AUTH_FACTOR_NONE, AUTH_FACTOR_TOTP, AUTH_FACTOR_PASSKEY, AUTH_FACTOR_RECOVERY };
const char *ms_auth_factor_name(enum auth_factor factor); // "totp", "webauthn", "recovery"
MS_MUST_USE bool ms_auth_factor_find(struct slice name, enum auth_factor *ret_factor);

struct auth_factors {
	bool totp;
	size_t passkeys;
	size_t recovery_codes; // that are left; no factor by themselves
	int64_t totp_since_us, recovery_since_us;
};
static inline bool ms_auth_has_factor(const struct auth_factors *factors)
{
	return factors->totp || factors->passkeys > 0;
}
MS_MUST_USE enum ms_err ms_auth_factors(struct store_tx *tx, struct slice user_id, struct errinfo *info,
					struct auth_factors *ret_factors);
// What a user says in answer to "mfa_token" and "methods": {"mfa_token":…,"methods":[…]} members, written into an open object.
void ms_auth_write_methods(struct json_writer *w, const struct auth_factors *factors);

#define MS_AUTH_MFA_TOKEN_LIFE_US (5 * 60 * 1000000LL)
#define MS_AUTH_MFA_TOKEN_MAX 512
// The first step of a sign-in is done: `user` as ms_auth_attempt found him, `methods` what he showed ("pwd"). *ret_token, in the transaction's
// arena: printable, for this user, five minutes, one success; empty when he has no second factor. A better hash of the password
// (`rehashed` of the attempt, or empty) is stored when there is a token; without one ms_auth_session_begin does that.
MS_MUST_USE enum ms_err ms_auth_second_step(struct store_tx *tx, struct auth *auth, const struct auth_user *user,
					    struct slice methods, struct slice rehashed, struct errinfo *info,
					    struct auth_factors *ret_factors, struct slice *ret_token);
// Whose it is; for a challenge to his passkeys. MS_ERR_TOKEN_INVALID, MS_ERR_TOKEN_EXPIRED. Any thread; in the arena.
MS_MUST_USE enum ms_err ms_auth_second_user(const struct auth *auth, struct slice token, struct arena *arena,
					    struct errinfo *info, struct slice *ret_user_id);

// A second factor (or, for a sign-in without a password, a passkey) is shown and verified: throttled by account and address apart from the
// passwords, each code and challenge once, refusals recorded. Lives until `done` was called, on `loop`.
struct auth_proof {
	struct slice token; // of the sign-in that it completes; or:
	struct slice
		user_id; // of a signed-in user who shows it again; or neither: a passkey alone, which names its user
	enum auth_factor method;
	struct slice code;                  // TOTP; recovery codes in any case, with or without hyphens and spaces
	const struct json_value *assertion; // of a passkey: AuthenticationResponseJSON (Web Authentication 3, 5.1)
	struct slice address, request_id, session;
	struct arena *arena; // the proof's alone until done
	void (*done)(struct auth_proof *proof, void *arg);
	void *arg;
	// The answer. MS_ERR_AUTH_CREDENTIALS: wrong, used before, or not his. MS_ERR_AUTH_THROTTLED and MS_ERR_BUSY (retry_after_s). MS_ERR_TOKEN_INVALID and
	// MS_ERR_TOKEN_EXPIRED: the token; sign in anew. MS_ERR_INVALID: an assertion that is none. Or the store's errors.
	enum ms_err err;
	struct errinfo info;
	int64_t retry_after_s;
	struct auth_user user;
	struct slice methods; // for the session: "pwd otp mfa", "pwd pop mfa", "pop mfa"
	// private
	struct auth *auth;
	struct loop *loop;
	struct store_work store;
	struct job job;
	struct slice account_user;  // whose second factor it must be; empty: not known yet
	struct slice account;       // whom the throttle counts
	struct slice first_methods; // of the token
	struct slice recovery_hash;
	struct slice recovery_salt;
	struct password_cost recovery_cost;
	int64_t token_password_us;
	uint8_t token_hash[MS_SHA256_SIZE];
	const char *refusal; // for the record; NULL: passed
	bool entered, known, copied;
};
void ms_auth_prove(struct auth *auth, struct loop *loop, struct auth_proof *proof);

// --- TOTP (RFC 6238: SHA-1, six digits, 30 s). Inside a transaction; `by` is the user himself.

struct auth_totp {
	struct slice secret; // base32, for typing
	struct slice uri;    // otpauth://totp/…, for a QR code
};
// A new secret, sealed in the store; counts from its confirmation with a code on (within an hour). MS_ERR_CONFLICT when one is in force.
MS_MUST_USE enum ms_err ms_auth_totp_begin(struct store_tx *tx, struct auth *auth, const struct auth_user *user,
					   struct errinfo *info, struct auth_totp *ret_totp);
// MS_ERR_INVALID for a wrong code, MS_ERR_NOT_FOUND when none was begun.
MS_MUST_USE enum ms_err ms_auth_totp_confirm(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					     struct slice user_id, struct slice code, struct errinfo *info);
// MS_ERR_NOT_FOUND; MS_ERR_CONFLICT when a second factor is required and this is the last one. The last factor takes the recovery codes along.
MS_MUST_USE enum ms_err ms_auth_totp_remove(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					    struct slice user_id, struct errinfo *info);

// --- Recovery codes

#define MS_AUTH_RECOVERY_CODES 10
#define MS_AUTH_RECOVERY_SIZE 12 // "xxxxx-xxxxx" and NUL: 50 random bits
struct auth_recovery {
	char codes[MS_AUTH_RECOVERY_CODES][MS_AUTH_RECOVERY_SIZE];
	struct slice hashes[MS_AUTH_RECOVERY_CODES];
	uint8_t salt[MS_PASSWORD_SALT_SIZE];
	struct password_cost cost;
};
// Slow: on the passwords pool.
MS_MUST_USE enum ms_err ms_auth_recovery_make(const struct auth *auth, struct arena *arena, struct errinfo *info,
					      struct auth_recovery *ret_recovery);
// In place of the ones before. MS_ERR_CONFLICT for a user without a second factor.
MS_MUST_USE enum ms_err ms_auth_recovery_store(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					       struct slice user_id, const struct auth_recovery *recovery,
					       struct errinfo *info);

// --- Passkeys (Web Authentication Level 3). Inside a transaction.

#define MS_AUTH_PASSKEYS_MAX 20 // of one user
#define MS_AUTH_PASSKEY_NAME_MAX 100
struct auth_passkey {
	struct slice id, user_id, name;
	struct slice credential_id; // bytes
	struct slice transports;    // JSON array of texts
	struct slice aaguid;        // 16 bytes
	int64_t sign_count;
	bool verified;               // the authenticator verified the user when it was made
	bool backed_up;              // at its last use
	int64_t created_us, used_us; // 0: never
};
// The challenges are printable, sealed, for five minutes and one use; what they are for is bound to them.
// PublicKeyCredentialCreationOptionsJSON for a new passkey of the user.
MS_MUST_USE enum ms_err ms_auth_passkey_offer(struct store_tx *tx, struct auth *auth, const struct auth_user *user,
					      struct errinfo *info, struct buf *out);
// PublicKeyCredentialRequestOptionsJSON: user_id empty: any discoverable passkey that verifies its user, for a sign-in without a password; else
// one of his. MS_ERR_NOT_FOUND when he has none.
MS_MUST_USE enum ms_err ms_auth_passkey_ask(struct store_tx *tx, struct auth *auth, struct slice user_id,
					    struct errinfo *info, struct buf *out);
// RegistrationResponseJSON. MS_ERR_INVALID says what is wrong, MS_ERR_CONFLICT for a passkey that is registered (with whomever), MS_ERR_LIMIT.
MS_MUST_USE enum ms_err ms_auth_passkey_add(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					    struct slice user_id, const struct json_value *response, struct slice name,
					    struct errinfo *info, struct auth_passkey *ret_passkey);
// In the order of their making; MS_AUTH_PASSKEYS_MAX at most.
MS_MUST_USE enum ms_err ms_auth_passkey_list(struct store_tx *tx, struct slice user_id, struct errinfo *info,
					     struct auth_passkey **ret_passkeys, size_t *ret_count);
MS_MUST_USE enum ms_err ms_auth_passkey_rename(struct store_tx *tx, struct slice user_id, struct slice id,
					       struct slice name, struct errinfo *info,
					       struct auth_passkey *ret_passkey);
// MS_ERR_NOT_FOUND; MS_ERR_CONFLICT as of ms_auth_totp_remove().
MS_MUST_USE enum ms_err ms_auth_passkey_remove(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					       struct slice user_id, struct slice id, struct errinfo *info);

// All second factors and recovery codes of a user who lost them; ends his sessions. By an administrator, who has shown himself that it is he.
MS_MUST_USE enum ms_err ms_auth_factors_reset(struct store_tx *tx, struct auth *auth,
					      const struct auth_authority *authority, struct slice user_id,
					      struct errinfo *info, struct auth_factors *ret_removed);

// === OAuth and OpenID Connect ========================================================================
// (oauth.c, oauth_scope.c, oauth_client.c, oauth_login.c, oauth_code.c, oauth_device.c, oauth_grant.c)
//
// The provider of OAuth 2.1 and OpenID Connect Core. What a client or a person did wrong is no failure of these functions but a
// `struct oauth_refusal`: the transaction is committed then too, because a refusal may end something (a code that came twice).

// "http://localhost:8080", as the discovery documents name it. Any thread.
const char *ms_auth_issuer(const struct auth *auth);

struct oauth_refusal {
	const char *error; // of the RFCs: "invalid_grant"; NULL: not refused
	char description[160];
};
void ms_oauth_refuse(struct oauth_refusal *refusal, const char *error, const char *fmt, ...) MS_PRINTF(3, 4);

// --- Scopes: words, of which some are OpenID Connect's and the others grants ("predict:churn").

#define MS_OAUTH_SCOPE_MAX 2048 // bytes of a list
#define MS_OAUTH_OPENID "openid"
#define MS_OAUTH_OFFLINE "offline_access"
extern const char *const ms_oauth_own_scopes[]; // openid, profile, email, offline_access; NULL at the end
bool ms_oauth_scope_is_own(struct slice word);
bool ms_oauth_scope_has(struct slice scope, const char *word);
// Each word once, in the order given, one space between. MS_ERR_INVALID for what is neither a word of OpenID Connect nor a grant.
MS_MUST_USE enum ms_err ms_oauth_scope_read(struct slice text, struct arena *arena, struct errinfo *info,
					    struct slice *ret_scope);
// All words of `inner` are allowed by `outer`: the same word, or a grant within the grants of it.
MS_MUST_USE enum ms_err ms_oauth_scope_within(struct slice inner, struct slice outer, struct arena *arena,
					      struct errinfo *info, bool *ret_within);
// The grants among the words.
MS_MUST_USE enum ms_err ms_oauth_scope_grants(struct slice scope, struct arena *arena, struct errinfo *info,
					      const struct grants **ret_grants);
// Without the grants of which `limit` allows nothing at all.
MS_MUST_USE enum ms_err ms_oauth_scope_narrow(struct slice scope, const struct grants *limit, struct arena *arena,
					      struct errinfo *info, struct slice *ret_scope);

// --- Clients. Inside a transaction.

#define MS_OAUTH_SECRET_PREFIX "mss"
#define MS_OAUTH_URIS_MAX 20
#define MS_OAUTH_URI_MAX 1000
#define MS_OAUTH_NAME_MAX 100
enum oauth_grant_type { OAUTH_CODE = 1, OAUTH_REFRESH = 2, OAUTH_CLIENT = 4, OAUTH_DEVICE = 8 };
const char *ms_oauth_grant_name(enum oauth_grant_type type); // "authorization_code"
MS_MUST_USE bool ms_oauth_grant_find(struct slice name, enum oauth_grant_type *ret_type);

struct oauth_client {
	struct slice id, name;
	bool confidential; // has a secret or keys; else a public one (a program on people's machines, a page)
	bool trusted;      // the operator's own: nobody is asked for consent, where it is assured
	bool introspects;  // may ask about tokens that other clients got: a resource server
	unsigned grant_types;
	struct slice redirect_uris, logout_uris; // one a line
	struct slice scope;                      // what it may ask for; of a client's own token: what it may do
	struct slice jwks;                       // of private_key_jwt: its public keys; empty: it has a secret
	struct slice hint;                       // first characters of the secret
	struct slice epoch;                      // session id of its own tokens; a new secret makes a new one
	int64_t created_us, secret_changed_us;
};
// `fields`: all but id, hint, epoch and the times. MS_ERR_INVALID (field says which), MS_ERR_FORBIDDEN (more than the authority has). The secret is
// empty for public clients and such with keys.
MS_MUST_USE enum ms_err ms_oauth_client_add(struct store_tx *tx, struct auth *auth,
					    const struct auth_authority *authority, const struct oauth_client *fields,
					    struct errinfo *info, struct oauth_client *ret_client,
					    char ret_secret[MS_API_KEY_SIZE]);
MS_MUST_USE enum ms_err ms_oauth_client_get(struct store_tx *tx, struct slice id, struct errinfo *info,
					    struct oauth_client *ret_client);
MS_MUST_USE enum ms_err ms_oauth_client_find(struct store_tx *tx, struct slice id, struct errinfo *info,
					     bool *ret_found, struct oauth_client *ret_client);
// In the order of their making, behind the id `after`.
MS_MUST_USE enum ms_err ms_oauth_client_list(struct store_tx *tx, struct slice after, size_t limit,
					     struct errinfo *info, struct oauth_client **ret_clients,
					     size_t *ret_count);
// Ends its sessions and tokens too.
MS_MUST_USE enum ms_err ms_oauth_client_remove(struct store_tx *tx, struct auth *auth,
					       const struct auth_authority *authority, struct slice id,
					       struct errinfo *info);
// The old secret and the client's own tokens end at once. MS_ERR_CONFLICT for a client without a secret.
MS_MUST_USE enum ms_err ms_oauth_client_rotate(struct store_tx *tx, struct auth *auth,
					       const struct auth_authority *authority, struct slice id,
					       struct errinfo *info, struct oauth_client *ret_client,
					       char ret_secret[MS_API_KEY_SIZE]);
MS_MUST_USE enum ms_err ms_oauth_client_copy(const struct oauth_client *client, struct arena *arena,
					     struct errinfo *info, struct oauth_client *ret_client);
// Exactly one of its URIs; of http on 127.0.0.1 or [::1] the port does not count (RFC 8252, section 7.3).
bool ms_oauth_redirect_ok(const struct oauth_client *client, struct slice uri);
bool ms_oauth_logout_uri_ok(const struct oauth_client *client, struct slice uri);
// Whether the programs that answer at its URIs can be told apart from others: then people are asked once.
bool ms_oauth_client_is_assured(const struct oauth_client *client, struct slice redirect_uri);

// Who a client says it is.
struct oauth_credentials {
	struct slice id;
	struct slice secret;    // p NULL: none
	struct slice assertion; // p NULL: none; private_key_jwt (RFC 7523)
};
// Finds and checks it: refused with invalid_client. A client without credentials must be a public one.
// An assertion is used up: then inside a writing transaction.
MS_MUST_USE enum ms_err ms_oauth_client_check(struct store_tx *tx, struct auth *auth,
					      const struct oauth_credentials *credentials, struct errinfo *info,
					      struct oauth_refusal *refusal, struct oauth_client *ret_client);

// --- Browsers that are signed in. The cookie is stored as SHA-256, beside a session that the user sees in his list.

#define MS_OAUTH_LOGIN_LIFE_S (12 * 3600)
#define MS_OAUTH_COOKIE_PREFIX "msl"
struct oauth_login {
	bool found; // false: nobody is signed in
	struct auth_user user;
	struct slice session, methods;
	int64_t auth_us; // when he signed in
};
// `session`: address, agent and methods. `before`: who was signed in on this browser; his session ends, and his clients go on with the
// new one when he is the same user. Change what the guard holds: settle.
MS_MUST_USE enum ms_err ms_oauth_login_begin(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					     const struct auth_user *user, struct slice rehashed,
					     const struct auth_session *session, const struct oauth_login *before,
					     struct errinfo *info, char ret_cookie[MS_API_KEY_SIZE]);
MS_MUST_USE enum ms_err ms_oauth_login_find(struct store_tx *tx, struct slice cookie, struct errinfo *info,
					    struct oauth_login *ret_login);
// Ends it, and the sessions of clients that began with it and may not outlive it (those without offline_access).
MS_MUST_USE enum ms_err ms_oauth_login_end(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					   const struct oauth_login *login, struct errinfo *info);
MS_MUST_USE enum ms_err ms_oauth_login_copy(const struct oauth_login *login, struct arena *arena, struct errinfo *info,
					    struct oauth_login *ret_login);

// --- Consent and codes

struct oauth_consent {
	struct slice client_id, client_name, scope;
	int64_t given_us;
};
// What he allowed the client before; empty: nothing.
MS_MUST_USE enum ms_err ms_oauth_consent_find(struct store_tx *tx, struct slice user_id, struct slice client_id,
					      struct errinfo *info, struct slice *ret_scope);
MS_MUST_USE enum ms_err ms_oauth_consent_list(struct store_tx *tx, struct slice user_id, struct errinfo *info,
					      struct oauth_consent **ret_consents, size_t *ret_count);
// Ends the client's sessions of this user. MS_ERR_NOT_FOUND.
MS_MUST_USE enum ms_err ms_oauth_consent_withdraw(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
						  struct slice user_id, struct slice client_id, struct errinfo *info);

#define MS_OAUTH_CODE_PREFIX "msc"
#define MS_OAUTH_CODE_LIFE_S 60
struct oauth_code {
	const struct oauth_client *client;
	const struct oauth_login *login;
	struct slice redirect_uri, scope, nonce, challenge;
	bool consented; // he was asked just now: remember and record it
};
MS_MUST_USE enum ms_err ms_oauth_code_make(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					   const struct oauth_code *code, struct errinfo *info,
					   char ret_code[MS_API_KEY_SIZE]);

// --- Devices (RFC 8628)

#define MS_OAUTH_DEVICE_PREFIX "msd"
#define MS_OAUTH_DEVICE_LIFE_S 600
#define MS_OAUTH_DEVICE_INTERVAL_S 5
#define MS_OAUTH_DEVICES_MAX 1000  // that wait, of one client
#define MS_OAUTH_USER_CODE_SIZE 10 // "BCDF-GHJK"
MS_MUST_USE enum ms_err ms_oauth_device_begin(struct store_tx *tx, const struct oauth_client *client,
					      struct slice scope, struct errinfo *info, struct oauth_refusal *refusal,
					      char ret_device_code[MS_API_KEY_SIZE],
					      char ret_user_code[MS_OAUTH_USER_CODE_SIZE]);
// Upper case, without what people put between; false: it cannot be one.
MS_MUST_USE bool ms_oauth_user_code_read(struct slice typed, char ret_user_code[MS_OAUTH_USER_CODE_SIZE]);
struct oauth_device {
	bool found; // waits for a decision
	struct slice user_code, scope;
	struct oauth_client client;
};
MS_MUST_USE enum ms_err ms_oauth_device_find(struct store_tx *tx, struct slice user_code, struct errinfo *info,
					     struct oauth_device *ret_device);
// *ret_decided false: it does not wait any more.
MS_MUST_USE enum ms_err ms_oauth_device_decide(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					       struct slice user_code, const struct oauth_login *login, bool allow,
					       struct slice scope, struct errinfo *info, bool *ret_decided);
// Typed codes are guesses until they fit: seconds to wait before the next one, 0: none. Loop threads.
int64_t ms_oauth_device_wait_s(struct auth *auth, struct slice user_id, struct slice address);
// Tells how it went.
void ms_oauth_device_typed(struct auth *auth, struct slice user_id, struct slice address, bool fitted);

// --- Grants

// What a grant gives, found in a transaction (copies in the arena that was handed in) and signed afterwards.
struct oauth_issue {
	struct auth_claims claims;
	struct slice refresh; // empty: none
	struct slice scope;
	// Of id tokens: scope has openid
	struct auth_user user;
	struct slice nonce, methods;
	int64_t auth_us;
	int64_t expires_in_s;
};
struct oauth_asked { // with the parameters of the token endpoint; p NULL: not given
	struct oauth_credentials client;
	struct slice code, redirect_uri, verifier; // authorization_code
	struct slice refresh;                      // refresh_token
	struct slice device_code;
	struct slice scope;
	struct slice address, agent;
	enum oauth_grant_type type;
};
// Inside a writing transaction, or for OAUTH_CLIENT without an assertion a reading one. *ret_settles: something ended, ms_auth_settle() before
// the answer.
MS_MUST_USE enum ms_err ms_oauth_grant(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				       const struct oauth_asked *asked, struct arena *arena, struct errinfo *info,
				       struct oauth_refusal *refusal, bool *ret_settles, struct oauth_issue *ret_issue);
// How long what a person allows goes on at most, until somebody signs in again.
int64_t ms_oauth_life_s(const struct auth *auth, const struct oauth_client *client, struct slice scope);
// Signs. Pool threads. Appends the access token, and to `id_token` one when the scope has openid.
MS_MUST_USE enum ms_err ms_oauth_sign(struct auth *auth, const struct oauth_issue *issue, struct errinfo *info,
				      struct buf *access, struct buf *id_token);
// What an id token was issued for, expired or not; false: it is none of ours. On the loop's thread.
struct oauth_id_token {
	struct slice client_id, user_id, session;
};
MS_MUST_USE bool ms_oauth_id_token_read(const struct auth *auth, const struct loop *loop, struct slice token,
					struct arena *arena, struct oauth_id_token *ret_token);
// Keys that verify id tokens, as a JWKS; and how the newest are signed. With JWT_SECRET, whose tokens nobody else can verify, id tokens have an
// Ed25519 key of their own, derived from it.
void ms_oauth_write_jwks(const struct auth *auth, const struct loop *loop, struct buf *out);
enum jose_alg ms_oauth_id_token_alg(struct auth *auth);

// A refresh token, for introspection. found false: unknown, used, expired or revoked. Reading transaction.
struct oauth_refresh {
	bool found;
	struct slice client_id, user_id, username, scope, session;
	int64_t created_us, expires_us;
};
MS_MUST_USE enum ms_err ms_oauth_refresh_find(struct store_tx *tx, struct slice token, struct errinfo *info,
					      struct oauth_refresh *ret_refresh);
// Ends the session of a refresh token or, by its id, of an access token, when it is the client's; else nothing happens.
MS_MUST_USE enum ms_err ms_oauth_revoke(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					struct slice client_id, struct slice token, struct slice session,
					struct errinfo *info, bool *ret_ended);

#endif
