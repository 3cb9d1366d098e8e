// SPDX-License-Identifier: Apache-2.0
// Private to auth: the hot path. What a request's credential is worth is looked up in memory of its own loop:
//
// - a snapshot of all roles and API keys, immutable, shared by all loops and swapped whole (snapshot.c);
// - the changes to sessions and users since the oldest living token, fed in batches to a map of each loop (revoked.c);
// - the tokens that were verified, by the SHA-256 of their text, and for some seconds those that were refused (cache.c).
//
// gate.c keeps them up to date from the store, one refresh at a time on loop 0; guard.c asks them.
#ifndef MS_AUTH_GATE_H
#define MS_AUTH_GATE_H

#include <stdatomic.h>

#include "auth/grants.h"
#include "auth/internal.h"

// --- Changes (change.c) ------------------------------------------------------------------------------

// Inside the transaction of the change. `kind` is "user", "session", "key" or "role".
MS_MUST_USE enum ms_err ms_change_record(struct store_tx *tx, const char *kind, struct slice id, struct errinfo *info);

// --- Roles (roles.c) ---------------------------------------------------------------------------------

size_t ms_role_built_in_count(void);
struct slice ms_role_built_in_name(size_t index); // ascending
MS_MUST_USE enum ms_err ms_role_built_in_grants(size_t index, struct arena *arena, struct errinfo *info,
						const struct grants **ret_grants);
// The grants of a role now; a role that is gone has none.
MS_MUST_USE enum ms_err ms_role_grants(struct store_tx *tx, struct slice name, struct arena *arena,
				       struct errinfo *info, const struct grants **ret_grants);

// --- Who may what ------------------------------------------------------------------------------------

// What a caller was found to be: x->caller.guard_data. Immutable; lives as long as the request that holds it.
struct admitted {
	enum caller_kind kind;
	struct slice id, name;
	struct slice user;    // the user himself, or the owner of the key; empty: of nobody
	struct slice session; // empty: none
	const struct grants *grants;
	// Of tokens:
	struct slice role; // the present one
	bool for_client;   // a client of OAuth acts for the user
	int64_t issued_s, expires_s;
};
// What every user has for himself, besides his role: "self", and his own keys. Added to `grants`.
MS_MUST_USE enum ms_err ms_grants_add_own(const struct grants *grants, struct slice user_id, struct arena *arena,
					  struct errinfo *info, const struct grants **ret_grants);

// --- Snapshot (snapshot.c) ---------------------------------------------------------------------------

// When a key was last used; shared by the snapshots, written to the store now and then.
struct key_use {
	atomic_uint refs;
	atomic_int_least64_t used_us;
	int64_t written_us, writing_us; // of loop 0; of the store's thread while it writes
	char id[MS_AUTH_ID_SIZE];
};
void ms_key_use_unref(struct key_use *use);

struct live_role {
	struct slice name;
	const struct grants *grants;
	int64_t changed_us; // 0: built in
};
struct live_key {
	uint8_t digest[MS_SHA256_SIZE];
	struct admitted who;
	int64_t expires_us;  // INT64_MAX: never
	struct key_use *use; // NULL: of the environment
};
struct auth_snapshot {
	atomic_uint refs;
	struct arena arena;
	struct live_role *roles; // by name
	size_t role_count;
	struct live_key *keys;
	size_t key_count;
	uint32_t *slots; // 1 + index of a key, by its digest; open addressing
	size_t slot_count;
};
#define GATE_KEYS_MAX 100000 // of the store, in force
struct environment_keys {    // in an arena of the gate
	struct live_key *keys;
	size_t count;
};

struct auth_snapshot *ms_auth_snapshot_ref(struct auth_snapshot *snapshot);
void ms_auth_snapshot_unref(struct auth_snapshot *snapshot); // accepts NULL
// Everything as the transaction sees it. `last` (may be NULL) hands on what it knows about the use of keys.
MS_MUST_USE enum ms_err ms_auth_snapshot_load(struct store_tx *tx, const struct environment_keys *environment,
					      const struct auth_snapshot *last, struct errinfo *info,
					      struct auth_snapshot **ret_snapshot);
const struct live_key *ms_auth_snapshot_key(const struct auth_snapshot *snapshot, const uint8_t digest[MS_SHA256_SIZE]);
const struct live_role *ms_auth_snapshot_role(const struct auth_snapshot *snapshot,
					      struct slice name); // NULL: there is none
// NAME_API_KEY_HASH and NAME_API_KEY_SCOPES.
MS_MUST_USE enum ms_err ms_environment_keys(const char *const *environment, struct arena *arena, struct errinfo *info,
					    struct environment_keys *ret_keys);

// --- Changes to sessions and users (revoked.c) -------------------------------------------------------

struct change {
	struct change *next;
	struct slice id; // of a session or a user
	int64_t seq, time_us;
	// A session is over. A user:
	bool is_user, active;
	int64_t valid_after_us;
	struct slice role;
	const struct grants *own;
};
struct change_batch {
	atomic_uint refs;
	struct arena arena;
	struct change *first;
	size_t count;
	int64_t newest_us;
	int64_t floor_us; // tokens issued before are void: there were too many changes to keep; 0: none
};
void ms_change_batch_unref(struct change_batch *batch); // accepts NULL

struct change_query {
	int64_t seq;                // read on behind this one; then: the last that was read
	int64_t max;                // changes that are kept
	bool snapshot;              // answer: roles or keys may have changed
	struct change_batch *batch; // answer: NULL when there are none
};
MS_MUST_USE enum ms_err ms_changes_load(struct store_tx *tx, struct change_query *query, struct errinfo *info);

// Of one loop.
struct revoked {
	struct map by_id;                   // struct change
	struct revoked_batch *first, *last; // oldest first
	int64_t floor_us;
	size_t max;
};
void ms_revoked_init(struct revoked *revoked, size_t max);
void ms_revoked_fini(struct revoked *revoked);
// Takes a reference. When there is no room or memory: everything older than its newest change is void from then on.
void ms_revoked_feed(struct revoked *revoked, struct change_batch *batch);
// Forgets batches all of whose changes are before `time_us`.
void ms_revoked_forget(struct revoked *revoked, int64_t time_us);
static inline const struct change *ms_revoked_find(const struct revoked *revoked, struct slice id)
{
	return id.n > 0 ? ms_map_get(&revoked->by_id, id) : NULL;
}

// --- Tokens that were verified (cache.c) -------------------------------------------------------------

// Immutable but for `refs` and `generation`, which its loop alone looks at.
struct token {
	struct admitted who;
	struct arena arena;
	unsigned refs;
	uint64_t generation; // of the loop's knowledge that it was checked against
	int64_t change_seq;  // of its user's change that `who` knows, or 0
	int64_t role_us;     // likewise of its role
	int64_t issued_us,
		expires_us; // issued: the last moment that its id (milliseconds) or else the first that its iat (seconds) allows
	int64_t role_read_us;        // its permissions were read from the store after this
	struct slice role;           // as issued
	const struct grants *issued; // permissions, as issued
	const struct grants *scope;  // or NULL
};
void ms_token_unref(struct token *token);
void ms_token_release(void *token); // the same, for an arena

enum auth_refusal {
	REFUSAL_NONE,
	REFUSAL_MISSING,
	REFUSAL_INVALID,
	REFUSAL_EXPIRED,
	REFUSAL_REVOKED,
	REFUSAL_FORBIDDEN,
	REFUSAL_COUNT
};

#define CACHE_WAYS 4
struct cache_entry {
	uint8_t digest[MS_SHA256_SIZE];
	struct token *token; // NULL: free
	uint32_t used;       // the cache's clock when it was last asked for
};
struct cache_refused {
	uint8_t digest[MS_SHA256_SIZE];
	int64_t until_us;
	uint64_t generation;
	enum auth_refusal refusal; // REFUSAL_NONE: free
};
struct cache {
	struct cache_entry *entries; // sets of CACHE_WAYS
	size_t set_count;            // a power of two
	struct cache_refused *refused;
	size_t refused_count; // a power of two
	uint32_t clock;
};
#define CACHE_TOKENS 16384
#define CACHE_REFUSED 1024
#define CACHE_REFUSED_US 10000000
MS_MUST_USE enum ms_err ms_cache_init(struct cache *cache, size_t tokens, size_t refused);
void ms_cache_fini(struct cache *cache);
struct token *ms_cache_find(struct cache *cache, const uint8_t digest[MS_SHA256_SIZE]); // borrowed; NULL
// Takes over a reference; what was there by that digest goes.
void ms_cache_put(struct cache *cache, const uint8_t digest[MS_SHA256_SIZE], struct token *token);
void ms_cache_remove(struct cache *cache, const uint8_t digest[MS_SHA256_SIZE]);
void ms_cache_clear(struct cache *cache);
enum auth_refusal ms_cache_refusal(const struct cache *cache, const uint8_t digest[MS_SHA256_SIZE], int64_t now_us,
				   uint64_t generation);
void ms_cache_refuse(struct cache *cache, const uint8_t digest[MS_SHA256_SIZE], int64_t until_us, uint64_t generation,
		     enum auth_refusal refusal);

// --- The gate (gate.c, guard.c) ----------------------------------------------------------------------

// A loop's hold on a snapshot: requests refer to it without touching the count that all loops share.
struct view {
	struct auth_snapshot *snapshot;
	unsigned refs;
};
void ms_view_unref(void *view);

#define VERIFY_KEYS_MAX 64
struct gate_loop {
	struct auth_gate *gate;
	struct loop *loop;
	struct view *view;
	struct view *next_view; // of the publication; NULL: the present one stays
	struct revoked revoked;
	struct cache cache;
	struct hasher *hasher;
	uint64_t generation; // counts what tokens are checked against: snapshots and batches
	struct jose_key *verify
		[VERIFY_KEYS_MAX]; // that the cached tokens were verified with: held, so that an address means one key
	size_t verify_count;
	int64_t clock_us, clock_mono_ns; // the latest wall time seen, and when
	struct mail mail;                // of the publication
	char pad[64];
};

enum gate_credential { CREDENTIAL_NONE, CREDENTIAL_KEY, CREDENTIAL_TOKEN, CREDENTIAL_COUNT };
struct gate_metrics {
	struct metric_series *checks[CREDENTIAL_COUNT][REFUSAL_COUNT];
	struct metric_series *hit, *miss, *refused;
	struct metric_series *unrecorded;
};

struct auth_gate {
	struct auth *auth;
	struct http_guard guard;
	struct gate_loop *loops;
	unsigned loop_count;
	int64_t life_us;    // of the longest-lived token that may be about
	struct arena arena; // of the environment's keys
	struct environment_keys environment;
	struct gate_metrics metrics;
	// The refresh: loop 0, but for `query` and `fresh` while the store works on them.
	struct store_work work;
	struct change_query query;
	struct auth_snapshot *fresh;  // loaded, on its way out
	struct auth_snapshot *latest; // published
	int64_t seq;                  // of the last change that is published
	bool refreshing, wanted, stopping;
	bool force;                     // load a snapshot whatever the changes are
	struct auth_settle *next, *now; // who waits for the next refresh, and for the one under way
	atomic_uint publishing;
	struct mail published;
	struct timer *retry, *minute;
	unsigned failures; // of the refresh, in a row
	// Keys' use: loop 0, but while the store works on it.
	struct store_work uses_work;
	struct auth_snapshot *uses;
	bool writing_uses;
	unsigned minutes; // since the changes were last swept
	// Refusals that are recorded: any thread.
	atomic_int_least64_t recorded_until_ns;
	atomic_uint_least64_t unrecorded;
};

static inline struct gate_loop *ms_gate_loop(const struct auth_gate *gate, const struct loop *loop)
{
	return &gate->loops[ms_loop_index(loop)];
}
// The wall time of this turn, which does not go back with small steps of the system's clock.
int64_t ms_gate_now_us(struct gate_loop *gl);
struct gate_answer {
	enum gate_credential kind;
	enum auth_refusal refusal;
	const struct admitted *who; // when nothing is refused; lives as long as the request's arena
};
// Finds out who sends a credential. MS_OK whatever it finds; MS_ERR_NO_MEMORY. `may_be_token`: else it is an API key.
MS_MUST_USE enum ms_err ms_gate_check(struct gate_loop *gl, struct slice credential, bool may_be_token,
				      struct arena *arena, struct errinfo *info, struct gate_answer *ret_answer);
MS_MUST_USE enum ms_err ms_guard_init(struct auth_gate *gate,
				      struct errinfo *info); // guard.c: its metrics and functions

#endif
