// SPDX-License-Identifier: Apache-2.0
// Private to auth: what the files of second factors share.
#ifndef MS_AUTH_MFA_H
#define MS_AUTH_MFA_H

#include "auth/internal.h"

// Made once, before the loops run.
struct auth_mfa {
	struct slice rp_id; // of passkeys
	uint8_t rp_id_hash[MS_SHA256_SIZE];
	const struct slice *origins;
	size_t origin_count;
};

// --- Tickets (ticket.c) --------------------------------------------------------------------------------
// What a client carries for us and may not read, change or use for anything else: the token of a sign-in, a challenge. Sealed with the
// master key, so that any process of the service can open it and nothing is stored before it is used; then its hash, until it would have
// expired.

struct ticket {
	int64_t issued_us;
	struct slice payload;
	uint8_t hash[MS_SHA256_SIZE];
};
// base64url in the arena. `context` says what it is for.
MS_MUST_USE enum ms_err ms_ticket_make(const struct auth *auth, struct slice context, struct slice payload,
				       int64_t now_us, struct arena *arena, struct errinfo *info,
				       struct slice *ret_text);
// MS_ERR_TOKEN_INVALID, MS_ERR_TOKEN_EXPIRED, MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_ticket_open(const struct auth *auth, struct slice context, struct slice text, int64_t now_us,
				       struct arena *arena, struct errinfo *info, struct ticket *ret_ticket);
// *ret_fresh false: it was used before.
MS_MUST_USE enum ms_err ms_ticket_spend(struct store_tx *tx, const uint8_t hash[MS_SHA256_SIZE], struct errinfo *info,
					bool *ret_fresh);
// Once in a while: forgets those that are expired.
MS_MUST_USE enum ms_err ms_ticket_sweep(struct store_tx *tx, struct errinfo *info);

// --- Checks of each factor, in the transaction of a proof -------------------------------------------------
// *ret_refusal NULL: right, and used up; else why not, for the record.

// (totp.c)
MS_MUST_USE enum ms_err ms_totp_check(struct store_tx *tx, const struct auth *auth, struct slice user_id,
				      struct slice code, struct errinfo *info, const char **ret_refusal);
// (recovery.c) The salt and cost of the user's set; *ret_found false: he has none.
MS_MUST_USE enum ms_err ms_recovery_salt(struct store_tx *tx, struct slice user_id, struct errinfo *info,
					 bool *ret_found, struct slice *ret_salt, struct password_cost *ret_cost);
// The stored form of a code as typed; slow. MS_ERR_INVALID when it cannot be a code.
MS_MUST_USE enum ms_err ms_recovery_hash(struct slice code, struct slice salt, const struct password_cost *cost,
					 struct arena *arena, struct errinfo *info, struct slice *ret_hash);
MS_MUST_USE enum ms_err ms_recovery_spend(struct store_tx *tx, struct slice user_id, struct slice hash,
					  struct errinfo *info, const char **ret_refusal);
// (passkey.c)
struct passkey_check {
	struct slice user_id; // whose it must be; empty: anybody's, and the authenticator must have verified him
	const struct json_value *assertion;
	// The answer:
	struct slice owner; // the user whose passkey was named; empty: it is not known
	bool verified;
	bool copied;          // the counter went back
	struct slice passkey; // its id
};
MS_MUST_USE enum ms_err ms_passkey_check(struct store_tx *tx, const struct auth *auth, struct passkey_check *check,
					 struct errinfo *info, const char **ret_refusal);

// --- The token between the two steps of a sign-in (second.c) ------------------------------------------------

struct second_token {
	struct slice user_id, methods;
	int64_t password_changed_us;
	uint8_t hash[MS_SHA256_SIZE];
};
MS_MUST_USE enum ms_err ms_second_open(const struct auth *auth, struct slice token, struct arena *arena,
				       struct errinfo *info, struct second_token *ret_token);

// --- Shared (second.c) -----------------------------------------------------------------------------------

// After it was added; records it.
MS_MUST_USE enum ms_err ms_factor_added(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					struct slice user_id, const char *details, struct errinfo *info);
// Whether one factor of the user may go, and what goes with the last one. After the removal.
MS_MUST_USE enum ms_err ms_factor_removed(struct store_tx *tx, const struct auth *auth, struct slice user_id,
					  struct errinfo *info);
MS_MUST_USE enum ms_err ms_factor_record(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					 enum auth_event event, struct slice user_id, const char *details,
					 struct errinfo *info);

#endif
