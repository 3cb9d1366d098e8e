// SPDX-License-Identifier: Apache-2.0
// Private to auth: the part that keeps the master key, the audit log and the signing keys.
#ifndef MS_AUTH_VAULT_H
#define MS_AUTH_VAULT_H

#include "auth/auth.h"
#include "auth/internal.h"

struct audit;
struct signing;

struct auth_vault {
	struct vault *vault;
	struct pool *keeper; // one thread: what waits for the store here, and makes keys. NULL on the command line
	struct audit *audit;
	struct signing *signing;
};

// --- vault.c -----------------------------------------------------------------------------------------

// A new key in front, in the file too.
MS_MUST_USE enum ms_err ms_vault_add_key(struct vault *vault, struct errinfo *info);

// --- audit.c: entries --------------------------------------------------------------------------------

// SHA-256 over the canonical form of all fields but `hash`.
void ms_audit_hash(const struct audit_record *record, uint8_t ret_hash[MS_AUDIT_HASH_SIZE]);
// With a time of its own: entries of ms_audit_later were made before they are written.
MS_MUST_USE enum ms_err ms_audit_append_at(struct store_tx *tx, struct auth *auth, const struct audit_entry *entry,
					   int64_t time_us, struct errinfo *info);
// The text as it is recorded: without control characters, tokens and keys, at most `max` bytes (more than 16). In the arena.
MS_MUST_USE enum ms_err ms_audit_clean(struct slice text, size_t max, struct arena *arena, struct errinfo *info,
				       struct slice *ret_clean);

// One row of ms_audit_page() or a list; borrows from the rows.
void ms_audit_record_of(const struct store_rows *rows, size_t i, struct audit_record *ret_record);
// Entries behind `after`, oldest first.
MS_MUST_USE enum ms_err ms_audit_page(struct store_tx *tx, int64_t after, size_t max, struct errinfo *info,
				      struct store_rows *ret_rows);

struct audit_chain { // where the chain stands
	struct slice id;
	int64_t seq; // of the last entry; 0: there is none
	struct slice hash;
};
MS_MUST_USE enum ms_err ms_audit_read_chain(struct store_tx *tx, struct errinfo *info, struct audit_chain *ret_chain);

// --- audit_later.c: the queue, and the life of the log --------------------------------------------------

#define AUDIT_QUEUE_MAX 10000
#define AUDIT_HEAD_ENTRIES 1000
#define AUDIT_HEAD_SECONDS 60
MS_MUST_USE enum ms_err ms_audit_new(struct auth *auth, struct errinfo *info);
void ms_audit_stop(struct auth *auth);
void ms_audit_free(struct auth *auth);
// An entry was appended by a transaction that will probably be committed.
void ms_audit_count(struct auth *auth);
uint64_t ms_audit_dropped(const struct auth *auth); // since the last that was recorded

// --- audit_head.c: signed heads ------------------------------------------------------------------------

#define AUDIT_HEADS_FILE "audit-heads.jsonl"
#define AUDIT_HEAD_TYPE "audit-head"
struct audit_head {
	struct slice chain;
	int64_t seq, time_us;
	struct slice hash; // MS_AUDIT_HASH_SIZE bytes
	struct slice kid;
	struct slice signature; // a compact JWS
};
// The key that signs heads; made when there is none. Blocks.
MS_MUST_USE enum ms_err ms_audit_key(struct store *store, const struct vault *vault, struct errinfo *info,
				     struct jose_key **ret_key);
// Signs the chain as it stands unless its newest head is signed already (*ret_seq is 0 then), and writes the head to the file and the log. Blocks.
MS_MUST_USE enum ms_err ms_audit_sign_head(struct auth *auth, const struct jose_key *key, struct errinfo *info,
					   int64_t *ret_seq);
void ms_audit_head_write(const struct audit_head *head, struct buf *out);
// One line of a file of heads. In the arena.
MS_MUST_USE enum ms_err ms_audit_head_parse(struct slice line, struct arena *arena, struct errinfo *info,
					    struct audit_head *ret_head);
// Whether the signature is one of `keys` over just this.
MS_MUST_USE bool ms_audit_head_verify(const struct audit_head *head, struct jose_keys keys, struct arena *arena);

// --- signing.c, signing_rotate.c -----------------------------------------------------------------------

#define SIGNING_CHANGED "auth.signing"
#define SIGNING_KEYS_MAX 64
#define SIGNING_LEAD_US (24LL * 3600 * 1000000) // a next key is published at least so long, or one token life

MS_MUST_USE enum ms_err ms_signing_new(struct auth *auth, struct errinfo *info);
void ms_signing_free(struct auth *auth);
void ms_signing_tick(struct auth *auth); // on loop 0, each minute or so

struct signing_row {
	struct slice kid, alg, state, public_jwk, sealed;
	int64_t created_us, active_us, retired_us;
};
// All token keys, oldest first. In `arena`.
MS_MUST_USE enum ms_err ms_signing_rows(struct store_tx *tx, struct arena *arena, struct errinfo *info,
					struct signing_row **ret_rows, size_t *ret_count);

// What is to be done with the keys at a time: decided by this function alone.
struct signing_policy {
	const char *alg;
	int64_t rotation_us; // 0: never by age
	int64_t lead_us;     // between publishing and signing
	int64_t keep_us;     // after the last signature
	enum { ROTATE_BY_AGE, ROTATE_SOON, ROTATE_NOW } rotate;
};
struct signing_plan {
	size_t expired[SIGNING_KEYS_MAX];
	size_t expired_count;
	bool create; // a key, first as next
	int64_t create_active_us;
	bool promote;      // the next key (or the created one) becomes active
	size_t promoted;   // its row, or SIZE_MAX: the created one
	size_t retired;    // the row that was active, or SIZE_MAX
	size_t reschedule; // the next key's row that is to sign from create_active_us on; or SIZE_MAX
};
void ms_signing_plan(const struct signing_row *rows, size_t count, const struct signing_policy *policy, int64_t now_us,
		     struct signing_plan *ret_plan);

struct signing_step {
	struct store *store;
	const struct vault *vault;
	struct signing_policy policy;
	enum jose_alg algorithm;
	struct auth_actor actor;
	int64_t now_us; // 0: the store's clock
	// Answers.
	bool changed;
	char next_kid[64]; // the key that signs next or, with ROTATE_NOW, signs now
	int64_t next_us;
	// Private.
	struct jose_key *made;
	bool needs_key;
};
// Does what the plan says, in one transaction, making the key before. Blocks.
MS_MUST_USE enum ms_err ms_signing_do(struct signing_step *step, struct errinfo *info);

#endif
