// SPDX-License-Identifier: Apache-2.0
// Consent, and authorization codes (RFC 6749, section 4.1; RFC 7636; OAuth 2.1).
#include "auth/oauth.h"

#define CONSENTS_MAX 1000
#define VERIFIER_MIN 43
#define VERIFIER_MAX 128

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

// --- Consent -----------------------------------------------------------------------------------------

enum ms_err ms_oauth_consent_find(struct store_tx *tx, struct slice user_id, struct slice client_id,
				  struct errinfo *info, struct slice *ret_scope)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT scope FROM oauth_consents WHERE user_id = $1 AND client_id = $2",
			      MS_STORE_PARAMS(ms_store_text(user_id), ms_store_text(client_id)), 1, info, &rows));
	*ret_scope = rows.count > 0 ? ms_store_get_text(&rows, 0, 0) : MS_SLICE_LIT("");
	return MS_OK;
}

enum ms_err ms_oauth_consent_list(struct store_tx *tx, struct slice user_id, struct errinfo *info,
				  struct oauth_consent **ret_consents, size_t *ret_count)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx,
			      "SELECT o.client_id, c.name, o.scope, o.given_us FROM oauth_consents o JOIN "
			      "oauth_clients c ON c.id = o.client_id "
			      "WHERE o.user_id = $1 ORDER BY o.client_id LIMIT 1000",
			      MS_STORE_PARAMS(ms_store_text(user_id)), CONSENTS_MAX, info, &rows));
	struct oauth_consent *consents = MS_ARENA_ARRAY(ms_store_arena(tx), struct oauth_consent, rows.count);
	if (consents == NULL)
		return no_memory(info);
	for (size_t i = 0; i < rows.count; i++)
		consents[i] = (struct oauth_consent){.client_id = ms_store_get_text(&rows, i, 0),
						     .client_name = ms_store_get_text(&rows, i, 1),
						     .scope = ms_store_get_text(&rows, i, 2),
						     .given_us = ms_store_get_int(&rows, i, 3)};
	*ret_consents = consents;
	*ret_count = rows.count;
	return MS_OK;
}

enum ms_err ms_oauth_consent_withdraw(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				      struct slice user_id, struct slice client_id, struct errinfo *info)
{
	struct store_rows rows;
	uint64_t changed;
	MS_TRY(ms_store_run(tx, "DELETE FROM oauth_consents WHERE user_id = $1 AND client_id = $2",
			    MS_STORE_PARAMS(ms_store_text(user_id), ms_store_text(client_id)), info, &changed));
	if (changed == 0)
		return ms_fail(info, MS_ERR_NOT_FOUND, "there is no consent for this client");
	MS_TRY(ms_store_query(tx, "SELECT id FROM sessions WHERE user_id = $1 AND client_id = $2 AND revoked_us = 0",
			      MS_STORE_PARAMS(ms_store_text(user_id), ms_store_text(client_id)),
			      MS_AUTH_SESSIONS_MAX + 1, info, &rows));
	MS_TRY(ms_oauth_end_sessions(tx, &rows, info));
	const struct audit_entry entry = {.event = AUTH_CONSENT_WITHDRAWN,
					  .actor = *by,
					  .target = ms_auth_target("client", client_id, ms_store_arena(tx))};
	return ms_audit_append(tx, auth, &entry, info);
}

enum ms_err ms_oauth_consent_give(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				  const struct oauth_client *client, const struct oauth_login *login,
				  struct slice scope, struct errinfo *info)
{
	struct arena *arena = ms_store_arena(tx);
	struct slice before, all = scope;
	struct auth_actor actor = *by;
	MS_TRY(ms_oauth_consent_find(tx, login->user.id, client->id, info, &before));
	char *both = ms_arena_printf(arena, "%.*s %.*s", MS_SLICE_ARG(before), MS_SLICE_ARG(scope));
	char *details = ms_arena_printf(arena, "{\"scope\":\"%.*s\"}",
					MS_SLICE_ARG(scope)); // a scope has no quotes and backslashes
	if (both == NULL || details == NULL)
		return no_memory(info);
	// What he allowed long ago makes room for what he allows now.
	if (before.n + scope.n < MS_OAUTH_SCOPE_MAX)
		MS_TRY(ms_oauth_scope_read(ms_slice_cstr(both), arena, info, &all));
	MS_TRY(ms_store_run(tx,
			    "INSERT INTO oauth_consents (user_id, client_id, scope, given_us) VALUES ($1, $2, $3, $4) "
			    "ON CONFLICT (user_id, client_id) DO UPDATE SET scope = $3, given_us = $4",
			    MS_STORE_PARAMS(ms_store_text(login->user.id), ms_store_text(client->id),
					    ms_store_text(all), ms_store_int(ms_store_now_us(tx))),
			    info, NULL));
	actor.kind = CALLER_USER;
	actor.id = login->user.id;
	actor.name = login->user.username;
	actor.session = login->session;
	const struct audit_entry entry = {.event = AUTH_CONSENT_GIVEN,
					  .actor = actor,
					  .target = ms_auth_target("client", client->id, arena),
					  .details = ms_slice_cstr(details)};
	return ms_audit_append(tx, auth, &entry, info);
}

// --- Codes -------------------------------------------------------------------------------------------

static struct slice or_empty(struct slice text)
{
	return text.p != NULL ? text : MS_SLICE_LIT("");
}

enum ms_err ms_oauth_code_make(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
			       const struct oauth_code *code, struct errinfo *info, char ret_code[MS_API_KEY_SIZE])
{
	struct oauth_secret secret;
	ms_oauth_secret_make(MS_OAUTH_CODE_PREFIX, &secret);
	int64_t expires = ms_store_now_us(tx) + (int64_t)MS_OAUTH_CODE_LIFE_S * 1000000;
	MS_TRY(ms_store_run(tx,
			    "INSERT INTO oauth_codes (hash, client_id, login_session, redirect_uri, scope, nonce, "
			    "challenge, auth_us, "
			    "expires_us, used_us, session_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, '')",
			    MS_STORE_PARAMS(ms_store_blob(ms_slice(secret.digest, MS_SHA256_SIZE)),
					    ms_store_text(code->client->id), ms_store_text(code->login->session),
					    ms_store_text(code->redirect_uri), ms_store_text(code->scope),
					    ms_store_text(or_empty(code->nonce)), ms_store_text(code->challenge),
					    ms_store_int(code->login->auth_us), ms_store_int(expires)),
			    info, NULL));
	memcpy(ret_code, secret.text, MS_API_KEY_SIZE);
	ms_wipe(&secret, sizeof(secret));
	return code->consented ? ms_oauth_consent_give(tx, auth, by, code->client, code->login, code->scope, info)
			       : MS_OK;
}

// RFC 7636, sections 4.1 and 4.6: unreserved characters; the challenge is their SHA-256.
static bool verifier_fits(struct slice verifier, struct slice challenge)
{
	uint8_t digest[MS_SHA256_SIZE];
	struct buf text;
	if (verifier.n < VERIFIER_MIN || verifier.n > VERIFIER_MAX)
		return false;
	for (size_t i = 0; i < verifier.n; i++) {
		char c = verifier.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && (c == '\0' || strchr("-._~", c) == NULL))
			return false;
	}
	ms_sha256(verifier, digest);
	ms_buf_init(&text, 256);
	ms_base64url_append(&text, ms_slice(digest, sizeof(digest)));
	bool fits = ms_buf_ok(&text) && ms_equal_constant_time(ms_buf_slice(&text), challenge);
	ms_buf_fini(&text);
	return fits;
}

struct code_row {
	struct slice client_id, login_session, redirect_uri, scope, nonce, challenge, session_id;
	int64_t auth_us, expires_us, used_us;
};

static enum ms_err find_code(struct store_tx *tx, const uint8_t *digest, struct errinfo *info, bool *ret_found,
			     struct code_row *ret_row)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx,
			      "SELECT client_id, login_session, redirect_uri, scope, nonce, challenge, session_id, "
			      "auth_us, expires_us, used_us "
			      "FROM oauth_codes WHERE hash = $1",
			      MS_STORE_PARAMS(ms_store_blob(ms_slice(digest, MS_SHA256_SIZE))), 1, info, &rows));
	*ret_found = rows.count > 0;
	if (rows.count == 0)
		return MS_OK;
	*ret_row = (struct code_row){.client_id = ms_store_get_text(&rows, 0, 0),
				     .login_session = ms_store_get_text(&rows, 0, 1),
				     .redirect_uri = ms_store_get_text(&rows, 0, 2),
				     .scope = ms_store_get_text(&rows, 0, 3),
				     .nonce = ms_store_get_text(&rows, 0, 4),
				     .challenge = ms_store_get_text(&rows, 0, 5),
				     .session_id = ms_store_get_text(&rows, 0, 6),
				     .auth_us = ms_store_get_int(&rows, 0, 7),
				     .expires_us = ms_store_get_int(&rows, 0, 8),
				     .used_us = ms_store_get_int(&rows, 0, 9)};
	return MS_OK;
}

// A code that comes again was copied: what it gave is taken back (RFC 6749, section 4.1.2). Only who could have used it does
// that: its client, with the verifier.
static enum ms_err end_reused(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
			      const struct oauth_client *client, const struct code_row *row, struct errinfo *info,
			      bool *ret_settles)
{
	struct store_rows rows;
	struct auth_actor actor = *by;
	MS_TRY(ms_store_query(tx, "SELECT id FROM sessions WHERE id = $1 AND revoked_us = 0",
			      MS_STORE_PARAMS(ms_store_text(row->session_id)), 1, info, &rows));
	MS_TRY(ms_oauth_end_sessions(tx, &rows, info));
	*ret_settles = rows.count > 0;
	actor.kind = CALLER_UNKNOWN; // one of two holders: nobody knows which
	actor.session = row->session_id;
	const struct audit_entry entry = {.event = AUTH_CODE_REUSED,
					  .outcome = AUDIT_REFUSED,
					  .actor = actor,
					  .target = ms_auth_target("client", client->id, ms_store_arena(tx))};
	return ms_audit_append(tx, auth, &entry, info);
}

enum ms_err ms_oauth_grant_code(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				const struct oauth_client *client, const struct oauth_asked *asked, struct arena *arena,
				struct errinfo *info, struct oauth_refusal *refusal, bool *ret_settles,
				struct oauth_issue *ret_issue)
{
	uint8_t digest[MS_SHA256_SIZE];
	struct code_row row = {0};
	bool found = false;
	int64_t now = ms_store_now_us(tx);
	if (asked->verifier.p == NULL) {
		ms_oauth_refuse(refusal, "invalid_request", "code_verifier is missing");
		return MS_OK;
	}
	if (ms_oauth_secret_digest(asked->code, MS_OAUTH_CODE_PREFIX, digest))
		MS_TRY(find_code(tx, digest, info, &found, &row));
	bool fits = found && ms_slice_eq(row.client_id, client->id) && verifier_fits(asked->verifier, row.challenge) &&
		    (asked->redirect_uri.p == NULL || ms_slice_eq(asked->redirect_uri, row.redirect_uri));
	if (!fits || row.used_us != 0 || row.expires_us <= now) {
		ms_oauth_refuse(refusal, "invalid_grant",
				"the code is unknown, used or expired, or was given to another client, for another "
				"redirect_uri or another code_verifier");
		return fits && row.used_us != 0 ? end_reused(tx, auth, by, client, &row, info, ret_settles) : MS_OK;
	}
	const struct oauth_begin begin = {.client = client,
					  .login_session = row.login_session,
					  .scope = row.scope,
					  .auth_us = row.auth_us,
					  .address = asked->address,
					  .agent = asked->agent,
					  .grant = "authorization_code"};
	// The nonce is of the first id token alone.
	MS_TRY(ms_store_run(
		tx, "UPDATE oauth_codes SET used_us = $2 WHERE hash = $1",
		MS_STORE_PARAMS(ms_store_blob(ms_slice(digest, sizeof(digest))), ms_store_int(MS_MAX(now, 1))), info,
		NULL));
	MS_TRY(ms_oauth_session_begin(tx, auth, by, &begin, arena, info, refusal, ret_issue));
	if (refusal->error != NULL)
		return MS_OK;
	ret_issue->nonce = row.nonce;
	if (!ms_oauth_keep(arena, &ret_issue->nonce))
		return no_memory(info);
	return ms_store_run(tx, "UPDATE oauth_codes SET session_id = $2 WHERE hash = $1",
			    MS_STORE_PARAMS(ms_store_blob(ms_slice(digest, sizeof(digest))),
					    ms_store_text(ret_issue->claims.session)),
			    info, NULL);
}
