// SPDX-License-Identifier: Apache-2.0
// Private to identity: what the handlers share.
#ifndef MS_IDENTITY_PRIVATE_H
#define MS_IDENTITY_PRIVATE_H

#include "identity/identity.h"
#include "json/json.h"

struct identity {
	struct identity_options options;
	struct auth *auth;
	struct store *store;
};

// --- Route tables: each file defines its own; identity.c lists them. ---------------------------------------

struct identity_table {
	const struct route *routes;
	size_t count;
};
struct identity_table ms_identity_login_table(void);     // login.c
struct identity_table ms_identity_users_table(void);     // users.c
struct identity_table ms_identity_mfa_table(void);       // mfa.c
struct identity_table ms_identity_webauthn_table(void);  // webauthn.c
struct identity_table ms_identity_audit_table(void);     // audit.c
struct identity_table ms_identity_wellknown_table(void); // wellknown.c
struct identity_table ms_identity_keys_table(void);      // keys.c
struct identity_table ms_identity_roles_table(void);     // roles.c
struct identity_table ms_identity_authorize_table(void); // authorize.c
struct identity_table ms_identity_signin_table(void);    // signin.c
struct identity_table ms_identity_device_table(void);    // device.c
struct identity_table ms_identity_token_table(void);     // token.c
struct identity_table ms_identity_oidc_table(void);      // oidc.c
struct identity_table ms_identity_clients_table(void);   // clients.c
struct identity_table ms_identity_external_table(void);  // external.c

#define IDENTITY_JSON "application/json"
#define IDENTITY_OBJECT "{\"type\":\"object\"}"

// --- Work that passes through the store --------------------------------------------------------------------
// A request's own state starts with this. `tx` runs in a transaction and writes what it finds into the state (copies in x->arena, which nobody else
// uses meanwhile); `finish` answers, on the loop, when it worked.

struct identity_work;
typedef void identity_fn(struct identity_work *w);
struct identity_work {
	struct exchange *x;
	struct identity *identity;
	struct auth_actor actor;         // who asks
	struct auth_authority authority; // what he may give away
	store_fn *tx;                    // its argument is the state
	identity_fn *finish;
	bool settles; // answered only once every loop works with the change
	enum ms_err err;
	struct errinfo info;
	int64_t retry_after_s; // of err; 0: none
	identity_fn *failed;   // answers a failure; NULL: with the error document
	struct store_work store;
	struct auth_settle settle;
	struct job job;
};
// The state of a request, zeroed, in its arena; NULL and answered when memory is out.
void *ms_identity_begin(struct exchange *x, void *role, size_t size);
#define MS_IDENTITY_BEGIN(x, role, type) ((type *)ms_identity_begin((x), (role), sizeof(type)))
void ms_identity_write(struct identity_work *w, store_fn *tx, identity_fn *finish, bool settles);
void ms_identity_read(struct identity_work *w, store_fn *tx, identity_fn *finish);
// On a pool of auth; a full one answers 503. `done` must look at w->err.
void ms_identity_away(struct identity_work *w, struct pool *pool, job_fn *work, job_fn *done);
// After a wait that others can prolong: whether the caller may still do this; what he may give away is read anew. False: answered.
MS_MUST_USE bool ms_identity_still_may(struct identity_work *w);
// Answers with w->err and w->info.
void ms_identity_fail(struct identity_work *w);
void ms_identity_send_nothing(struct identity_work *w); // 204; a finish
// A copy in x->arena; false (w->err set) when memory is out.
MS_MUST_USE bool ms_identity_keep(struct identity_work *w, struct slice *text);

// --- Bodies and queries --------------------------------------------------------------------------------------

struct identity_field {
	const char *name;
	enum { FIELD_TEXT, FIELD_FLAG, FIELD_VALUE } kind;
	bool required; // text: and not empty
	bool nullable; // null is read as the empty text (p != NULL)
	void *to;      // struct slice *, bool *, const struct json_value **
};
// The body as a JSON object of these members alone; an empty body is {} when nothing is required. False: answered.
MS_MUST_USE bool ms_identity_body(struct exchange *x, const struct identity_field *fields, size_t count);
// `limit` (1 to 1000, default 100) and `cursor`. False: answered.
MS_MUST_USE bool ms_identity_page(struct exchange *x, size_t *ret_limit, struct slice *ret_cursor);
extern const struct route_param ms_identity_page_params[];
// Caller's own user id; false: he is no user's, and 403 was answered.
MS_MUST_USE bool ms_identity_own(struct exchange *x, struct slice *ret_user_id);

// --- Signing in (tokens.c) -------------------------------------------------------------------------------------

struct identity_tokens {
	struct identity_work w;
	// Who showed what; rehashed: of the attempt, or empty.
	struct auth_user user;
	struct slice methods, rehashed;
	// What the store says.
	struct auth_tokens tokens;
	struct slice permissions, refresh;
	int64_t now_us; // of the transaction: the token counts from before anything that changes the user afterwards
	bool reused;
	struct slice mfa_token; // of a user who has to show a second factor
	struct auth_factors factors;
	struct buf access;
};
// Begins the session and answers with its tokens, or with 401 auth.mfa_required.
void ms_identity_sign_in(struct identity_tokens *s);
MS_MUST_USE enum ms_err ms_identity_keep_tokens(struct identity_tokens *s,
						struct errinfo *info); // in memory that lives until the answer
void ms_identity_send_tokens(struct identity_work *w);                 // a finish
void ms_identity_try_password(struct identity_work *w, struct auth_attempt *attempt,
			      void (*done)(struct auth_attempt *, void *));
// The User-Agent as it can be stored; in the request.
struct slice ms_identity_agent(struct exchange *x);
void ms_identity_brief(struct json_writer *w, const struct auth_user *user);

// --- Answers -------------------------------------------------------------------------------------------------

void ms_identity_grants(struct json_writer *w, const char *key, const struct grants *grants);
// Grants of a body: an array of texts. In the arena.
MS_MUST_USE enum ms_err ms_identity_read_grants(const struct json_value *value, const char *field, struct arena *arena,
						struct errinfo *info, const struct grants **ret_grants);

#endif
