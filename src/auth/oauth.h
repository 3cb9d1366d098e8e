// SPDX-License-Identifier: Apache-2.0
// Private to auth: what the files of the OAuth provider share.
#ifndef MS_AUTH_OAUTH_H
#define MS_AUTH_OAUTH_H

#include "auth/internal.h"

struct auth_oauth {
	struct jose_key *id_key; // signs id tokens when JWT_SECRET signs the others; else NULL
};

// A secret of `prefix`: shown once, stored as its digest.
struct oauth_secret {
	char text[MS_API_KEY_SIZE];
	uint8_t digest[MS_SHA256_SIZE];
};
void ms_oauth_secret_make(const char *prefix, struct oauth_secret *ret_secret);
// False when the text is not one of that prefix; nothing needs to be looked for then.
MS_MUST_USE bool ms_oauth_secret_digest(struct slice text, const char *prefix, uint8_t ret_digest[MS_SHA256_SIZE]);

// The address at which a client presents itself: what an assertion must be for.
struct slice ms_oauth_endpoint(const struct auth *auth, const char *path, struct arena *arena);

// Without OpenID Connect's words.
MS_MUST_USE enum ms_err ms_oauth_scope_plain(struct slice scope, struct arena *arena, struct errinfo *info,
					     struct slice *ret_scope);

// Sessions of clients by a condition are ended one by one, each voided.
MS_MUST_USE enum ms_err ms_oauth_end_sessions(struct store_tx *tx, const struct store_rows *ids, struct errinfo *info);

// `text` in the arena: false when memory is out. An absent text stays absent.
MS_MUST_USE bool ms_oauth_keep(struct arena *arena, struct slice *text);

// Begins the session of a client for the user of a browser's session, who must still be there and be signed in.
struct oauth_begin {
	const struct oauth_client *client;
	struct slice login_session, scope;
	int64_t auth_us;
	struct slice address, agent;
	const char *grant; // for the record: "authorization_code"
};
MS_MUST_USE enum ms_err ms_oauth_session_begin(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					       const struct oauth_begin *begin, struct arena *arena,
					       struct errinfo *info, struct oauth_refusal *refusal,
					       struct oauth_issue *ret_issue);

// Remembers and records what a user allowed a client.
MS_MUST_USE enum ms_err ms_oauth_consent_give(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					      const struct oauth_client *client, const struct oauth_login *login,
					      struct slice scope, struct errinfo *info);

// The grants of one device code and of one authorization code.
MS_MUST_USE enum ms_err ms_oauth_grant_code(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					    const struct oauth_client *client, const struct oauth_asked *asked,
					    struct arena *arena, struct errinfo *info, struct oauth_refusal *refusal,
					    bool *ret_settles, struct oauth_issue *ret_issue);
MS_MUST_USE enum ms_err ms_oauth_grant_device(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					      const struct oauth_client *client, const struct oauth_asked *asked,
					      struct arena *arena, struct errinfo *info, struct oauth_refusal *refusal,
					      struct oauth_issue *ret_issue);

MS_MUST_USE enum ms_err ms_oauth_grant_refresh(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					       const struct oauth_client *client, const struct oauth_asked *asked,
					       struct arena *arena, struct errinfo *info, struct oauth_refusal *refusal,
					       bool *ret_settles, struct oauth_issue *ret_issue);

// What has expired goes; with the housekeeping of sessions.
MS_MUST_USE enum ms_err ms_oauth_sweep(struct store_tx *tx, int64_t before_us, int64_t rows, struct errinfo *info);

#endif
