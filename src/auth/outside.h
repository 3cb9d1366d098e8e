// SPDX-License-Identifier: Apache-2.0
// A part of auth.h, which includes it: outside providers.
// (federation.c, federation_state.c, federation_provider.c, federation_token.c)
//
// Signing in through an OpenID Connect provider whose client we are: authorization code, PKCE S256, state, nonce and iss (RFC 9207). Who somebody is
// is the pair of issuer and subject, never an e-mail address. One provider for now, of the settings; its id is MS_FEDERATION_ID.
//
//	begin: ms_federation_begin() on the pool; its cookie to the browser, its location as the redirect
//	callback: ms_federation_open() with cookie and state, ms_federation_exchange() on the pool, then in one transaction ms_federation_spend()
//	and ms_federation_sign_in() or ms_auth_identity_link()
#ifndef MS_AUTH_OUTSIDE_H
#define MS_AUTH_OUTSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "crypto/crypto.h"
#include "rt/rt.h"
#include "store/store.h"

struct auth;
struct auth_actor;
struct auth_authority;
struct auth_user;

// An outside OpenID Connect provider. The strings and lists outlive auth.
struct auth_provider_options {
	const char *issuer; // NULL or "": none
	const char *name;   // for people; "": the issuer's host
	const char *client_id, *client_secret;
	const char *const *scopes;
	size_t scope_count;
	const char *role;               // of users who come for the first time; "none": only linked users
	const char *groups_claim;       // "": groups do not matter
	const char *const *group_roles; // "group=role"
	size_t group_role_count;
	const char *decryption_key; // private JWK, or ""
	const char *ca_file, *proxy;
	uint64_t timeout_ms;
	bool loopback;
};

#define MS_FEDERATION_ID "default"
#define MS_FEDERATION_METHOD "fed:" MS_FEDERATION_ID // among a session's methods
#define MS_FEDERATION_LIFE_S 600                     // from begin to callback
#define MS_FEDERATION_REQUEST_MAX 2000
#define MS_FEDERATION_COOKIE_MAX 3900
#define MS_FEDERATION_IDENTITIES_MAX 20 // of one user

// What people call the provider; NULL: there is none. Any thread.
const char *ms_federation_name(const struct auth *auth);
const char *ms_federation_issuer(const struct auth *auth);
struct pool *ms_federation_pool(struct auth *auth); // NULL: the server is ending

// Why somebody is sent there. Slices live in the arena that was handed in.
struct federation_attempt {
	struct slice request, user_code; // where to go on afterwards; or empty
	struct slice link_user;          // id of the signed-in user who wants to link; or empty: a sign-in
	struct slice nonce, verifier;
	uint8_t hash[MS_SHA256_SIZE]; // of the sealed whole
};
// request, user_code and link_user of `attempt` count. Blocks. MS_ERR_WIRE, MS_ERR_LIMIT (the request is too long).
MS_MUST_USE enum ms_err ms_federation_begin(struct auth *auth, const struct federation_attempt *attempt,
					    struct arena *arena, struct errinfo *info, struct slice *ret_cookie,
					    struct slice *ret_location);
// MS_ERR_TOKEN_INVALID (not this browser's, or none of ours), MS_ERR_TOKEN_EXPIRED. Any thread.
MS_MUST_USE enum ms_err ms_federation_open(const struct auth *auth, struct slice cookie, struct slice state,
					   int64_t now_us, struct arena *arena, struct errinfo *info,
					   struct federation_attempt *ret_attempt);
// Once; MS_ERR_TOKEN_INVALID the second time.
MS_MUST_USE enum ms_err ms_federation_spend(struct store_tx *tx, const struct federation_attempt *attempt,
					    struct errinfo *info);

// Who the provider says it is; in the arena that was handed in.
struct federation_person {
	struct slice issuer, subject;
	struct slice username, email, name; // of a new user; email only when the provider verified it; or empty
	struct slice role;                  // by groups or the setting; empty: none
	bool grouped;                       // groups decide
};
// `iss`: parameter of the answer, p NULL when absent. Blocks. MS_ERR_TOKEN_*: what the provider said is refused; MS_ERR_WIRE.
MS_MUST_USE enum ms_err ms_federation_exchange(struct auth *auth, const struct federation_attempt *attempt,
					       struct slice code, struct slice iss, struct arena *arena,
					       struct errinfo *info, struct federation_person *ret_person);
// The user who is linked, or a new one. MS_ERR_AUTH_USER_UNKNOWN: nobody is linked, and nobody is to be made. MS_ERR_FORBIDDEN: no group of his
// gives a role. MS_ERR_AUTH_CREDENTIALS: the user is disabled. A refusal is recorded by ms_federation_refused().
MS_MUST_USE enum ms_err ms_federation_sign_in(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
					      const struct federation_person *person, struct errinfo *info,
					      struct auth_user *ret_user);
// Counts a sign-in that did not work, and records it unless there were too many from its address; any thread.
void ms_federation_refused(struct auth *auth, const struct auth_actor *by, const char *reason);

struct auth_identity {
	struct slice id, issuer, subject, user_id;
	int64_t created_us, used_us; // 0: not yet
	bool made;                   // the user was made for it: his role follows the groups
};
// MS_ERR_CONFLICT: it is linked already, with whomever. MS_ERR_INVALID, MS_ERR_LIMIT.
MS_MUST_USE enum ms_err ms_auth_identity_link(struct store_tx *tx, struct auth *auth,
					      const struct auth_authority *authority, struct slice user_id,
					      struct slice issuer, struct slice subject, struct errinfo *info,
					      struct auth_identity *ret_identity);
// In the order of their making.
MS_MUST_USE enum ms_err ms_auth_identity_list(struct store_tx *tx, struct slice user_id, struct errinfo *info,
					      struct auth_identity **ret_identities, size_t *ret_count);
// MS_ERR_NOT_FOUND. `keep_last`: MS_ERR_CONFLICT for the only way that the user has to sign in.
MS_MUST_USE enum ms_err ms_auth_identity_unlink(struct store_tx *tx, struct auth *auth,
						const struct auth_authority *authority, struct slice user_id,
						struct slice id, bool keep_last, struct errinfo *info);

#endif
