// SPDX-License-Identifier: Apache-2.0
// Sessions of clients: what a client may do for a user, begun by a code or a device code, kept by refresh tokens.
#include "auth/oauth.h"

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static bool refreshes(const struct oauth_client *client, struct slice scope)
{
	return (client->grant_types & OAUTH_REFRESH) != 0 && ms_oauth_scope_has(scope, MS_OAUTH_OFFLINE);
}

int64_t ms_oauth_life_s(const struct auth *auth, const struct oauth_client *client, struct slice scope)
{
	uint64_t session_ms = auth->options.refresh_life_ms;
	return (int64_t)((refreshes(client, scope) ? session_ms : MS_MIN(session_ms, auth->options.token_life_ms)) /
			 1000);
}

// --- Begin -------------------------------------------------------------------------------------------

static enum ms_err find_user(struct store_tx *tx, const struct oauth_begin *begin, struct errinfo *info,
			     bool *ret_found, struct auth_user *ret_user, struct slice *ret_methods)
{
	struct store_rows rows;
	struct slice password;
	*ret_found = false;
	MS_TRY(ms_store_query(tx, "SELECT user_id, methods FROM sessions WHERE id = $1 AND revoked_us = 0",
			      MS_STORE_PARAMS(ms_store_text(begin->login_session)), 1, info, &rows));
	if (rows.count == 0)
		return MS_OK;
	*ret_methods = ms_store_get_text(&rows, 0, 1);
	MS_TRY(ms_auth_user_look(tx, ms_store_get_text(&rows, 0, 0), true, info, ret_found, ret_user, &password));
	*ret_found = *ret_found && ms_auth_user_is_active(ret_user);
	return MS_OK;
}

// What the user may do of what the scope says, as the claim `permissions`.
static enum ms_err permissions_of(struct store_tx *tx, const struct auth_user *user, struct slice scope,
				  struct errinfo *info, struct slice *ret_json)
{
	const struct grants *own, *asked, *both;
	struct arena *arena = ms_store_arena(tx);
	struct buf out;
	MS_TRY(ms_auth_user_grants(tx, user, info, &own));
	MS_TRY(ms_oauth_scope_grants(scope, arena, info, &asked));
	MS_TRY(ms_grants_intersect(own, asked, arena, info, &both));
	ms_buf_init(&out, MS_JWS_MAX);
	ms_grants_write(both, &out);
	*ret_json = ms_buf_ok(&out) ? ms_arena_copy(arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	return ret_json->p != NULL ? MS_OK : no_memory(info);
}

// Copies everything into the arena of who asked.
static enum ms_err fill_issue(struct store_tx *tx, const struct auth_tokens *tokens, const struct oauth_client *client,
			      struct slice scope, struct slice methods, struct slice nonce, int64_t auth_us,
			      struct arena *arena, struct errinfo *info, struct oauth_issue *ret_issue)
{
	struct oauth_issue issue = {.refresh = tokens->refresh,
				    .scope = scope,
				    .nonce = nonce,
				    .methods = methods,
				    .auth_us = auth_us,
				    .expires_in_s = tokens->expires_in_s};
	MS_TRY(permissions_of(tx, &tokens->user, scope, info, &issue.claims.permissions));
	MS_TRY(ms_auth_user_copy(&tokens->user, arena, info, &issue.user));
	issue.claims.session = tokens->session;
	issue.claims.client_id = client->id;
	struct slice *texts[] = {
		&issue.refresh,        &issue.scope,           &issue.nonce, &issue.methods, &issue.claims.permissions,
		&issue.claims.session, &issue.claims.client_id};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		if (!ms_oauth_keep(arena, texts[i]))
			return no_memory(info);
	}
	issue.claims.user_id = issue.user.id;
	issue.claims.username = issue.user.username;
	issue.claims.role = issue.user.role;
	issue.claims.scope = issue.scope;
	issue.claims.issued_s = ms_store_now_us(tx) / 1000000;
	issue.claims.expires_s = issue.claims.issued_s + tokens->expires_in_s; // a token does not outlive its session
	*ret_issue = issue;
	return MS_OK;
}

static enum ms_err record_grant(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				const struct oauth_begin *begin, const struct auth_tokens *tokens, struct errinfo *info)
{
	struct arena *arena = ms_store_arena(tx);
	struct auth_actor actor = *by;
	struct buf details;
	struct json_writer w;
	ms_buf_init(&details, (size_t)16 << 10);
	ms_json_writer_init(&w, &details);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "grant");
	ms_json_cstr(&w, begin->grant);
	ms_json_key_lit(&w, "user");
	ms_json_str(&w, tokens->user.id);
	ms_json_key_lit(&w, "scope");
	ms_json_str(&w, begin->scope);
	ms_json_end_object(&w);
	struct slice text = ms_buf_ok(&details) ? ms_arena_copy(arena, ms_buf_slice(&details)) : MS_SLICE_EMPTY;
	ms_buf_fini(&details);
	if (text.p == NULL)
		return no_memory(info);
	actor.kind = CALLER_CLIENT;
	actor.id = begin->client->id;
	actor.name = begin->client->name;
	actor.session = tokens->session;
	const struct audit_entry entry = {.event = AUTH_GRANT_ISSUED,
					  .actor = actor,
					  .target = ms_auth_target("client", begin->client->id, arena),
					  .details = text};
	return ms_audit_append(tx, auth, &entry, info);
}

enum ms_err ms_oauth_session_begin(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				   const struct oauth_begin *begin, struct arena *arena, struct errinfo *info,
				   struct oauth_refusal *refusal, struct oauth_issue *ret_issue)
{
	struct auth_user user;
	struct auth_tokens tokens;
	struct slice methods, permissions;
	bool found;
	MS_TRY(find_user(tx, begin, info, &found, &user, &methods));
	if (!found) {
		ms_oauth_refuse(refusal, "invalid_grant", "the user has signed out meanwhile");
		return MS_OK;
	}
	const struct auth_session session = {
		.client_id = begin->client->id, .address = begin->address, .agent = begin->agent, .methods = methods};
	MS_TRY(ms_auth_session_begin(tx, auth, by, &user, MS_SLICE_EMPTY, &session, info, &tokens, &permissions));
	if (tokens.scope.n > 0) {
		ms_oauth_refuse(refusal, "invalid_grant", "the account needs a second factor, and has none");
		return ms_store_run(tx, "DELETE FROM sessions WHERE id = $1",
				    MS_STORE_PARAMS(ms_store_text(tokens.session)), info, NULL);
	}
	MS_TRY(ms_store_run(
		tx, "INSERT INTO oauth_sessions (session_id, login_session, scope, auth_us) VALUES ($1, $2, $3, $4)",
		MS_STORE_PARAMS(ms_store_text(tokens.session), ms_store_text(begin->login_session),
				ms_store_text(begin->scope), ms_store_int(begin->auth_us)),
		info, NULL));
	if (!refreshes(begin->client, begin->scope)) {
		MS_TRY(ms_store_run(tx, "DELETE FROM refresh_tokens WHERE session_id = $1",
				    MS_STORE_PARAMS(ms_store_text(tokens.session)), info, NULL));
		tokens.refresh = MS_SLICE_EMPTY;
	}
	MS_TRY(fill_issue(tx, &tokens, begin->client, begin->scope, methods, MS_SLICE_EMPTY, begin->auth_us, arena,
			  info, ret_issue));
	return record_grant(tx, auth, by, begin, &tokens, info);
}

// --- Refresh -----------------------------------------------------------------------------------------

static enum ms_err narrower(struct store_tx *tx, struct slice asked, struct slice granted, struct errinfo *info,
			    struct oauth_refusal *refusal, struct slice *ret_scope)
{
	struct errinfo why;
	bool within = false;
	*ret_scope = granted;
	if (asked.p == NULL)
		return MS_OK;
	ms_errinfo_init(&why);
	enum ms_err err = ms_oauth_scope_read(asked, ms_store_arena(tx), &why, ret_scope);
	if (err == MS_ERR_NO_MEMORY)
		return no_memory(info);
	if (err == MS_OK && ret_scope->n > 0)
		MS_TRY(ms_oauth_scope_within(*ret_scope, granted, ms_store_arena(tx), info, &within));
	if (!within)
		ms_oauth_refuse(refusal, "invalid_scope", "the scope is not within the one that was granted");
	return MS_OK;
}

enum ms_err ms_oauth_grant_refresh(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				   const struct oauth_client *client, const struct oauth_asked *asked,
				   struct arena *arena, struct errinfo *info, struct oauth_refusal *refusal,
				   bool *ret_settles, struct oauth_issue *ret_issue)
{
	struct auth_tokens tokens;
	struct slice permissions, scope;
	struct store_rows rows;
	struct errinfo why;
	struct oauth_refresh held;
	// The scope first: a request that is refused for it uses nothing up.
	MS_TRY(ms_oauth_refresh_find(tx, asked->refresh, info, &held));
	if (held.found && ms_slice_eq(held.client_id, client->id))
		MS_TRY(narrower(tx, asked->scope, held.scope, info, refusal, &scope));
	if (refusal->error != NULL)
		return MS_OK;
	ms_errinfo_init(&why);
	enum ms_err err = ms_auth_session_refresh(tx, auth, by, asked->refresh, client->id, &why, ret_settles, &tokens,
						  &permissions);
	if (err == MS_ERR_TOKEN_INVALID || err == MS_ERR_TOKEN_EXPIRED || err == MS_ERR_TOKEN_REVOKED ||
	    (err == MS_OK && *ret_settles)) {
		ms_oauth_refuse(
			refusal, "invalid_grant",
			err == MS_OK ? "the refresh token was used before, so somebody copied it: its session was ended"
				     : "the refresh token is unknown, expired or revoked, or another client's");
		return MS_OK;
	}
	if (err != MS_OK) {
		*info = why;
		return err;
	}
	if (tokens.scope.n > 0) {
		ms_oauth_refuse(refusal, "invalid_grant", "the account needs a second factor, and has none");
		return MS_OK;
	}
	MS_TRY(ms_store_query(
		tx,
		"SELECT o.scope, o.auth_us, s.methods FROM oauth_sessions o JOIN sessions s ON s.id = o.session_id "
		"WHERE o.session_id = $1",
		MS_STORE_PARAMS(ms_store_text(tokens.session)), 1, info, &rows));
	if (rows.count == 0)
		return ms_fail(info, MS_ERR_INTERNAL, "a client's session has no scope");
	MS_TRY(narrower(tx, asked->scope, ms_store_get_text(&rows, 0, 0), info, refusal, &scope));
	if (refusal->error != NULL)
		return MS_OK;
	return fill_issue(tx, &tokens, client, scope, ms_store_get_text(&rows, 0, 2), MS_SLICE_EMPTY,
			  ms_store_get_int(&rows, 0, 1), arena, info, ret_issue);
}

enum ms_err ms_oauth_refresh_find(struct store_tx *tx, struct slice token, struct errinfo *info,
				  struct oauth_refresh *ret_refresh)
{
	uint8_t digest[MS_SHA256_SIZE];
	struct store_rows rows;
	*ret_refresh = (struct oauth_refresh){0};
	if (!ms_oauth_secret_digest(token, MS_AUTH_REFRESH_PREFIX, digest))
		return MS_OK;
	MS_TRY(ms_store_query(
		tx,
		"SELECT s.client_id, s.user_id, u.username, o.scope, r.session_id, r.created_us, r.expires_us "
		"FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id JOIN users u ON u.id = s.user_id "
		"JOIN oauth_sessions o ON o.session_id = r.session_id "
		"WHERE r.hash = $1 AND r.used_us = 0 AND r.expires_us > $2 AND s.revoked_us = 0 AND s.expires_us > $2 "
		"AND u.state = 'active'",
		MS_STORE_PARAMS(ms_store_blob(ms_slice(digest, sizeof(digest))), ms_store_int(ms_store_now_us(tx))), 1,
		info, &rows));
	if (rows.count == 0)
		return MS_OK;
	*ret_refresh = (struct oauth_refresh){.found = true,
					      .client_id = ms_store_get_text(&rows, 0, 0),
					      .user_id = ms_store_get_text(&rows, 0, 1),
					      .username = ms_store_get_text(&rows, 0, 2),
					      .scope = ms_store_get_text(&rows, 0, 3),
					      .session = ms_store_get_text(&rows, 0, 4),
					      .created_us = ms_store_get_int(&rows, 0, 5),
					      .expires_us = ms_store_get_int(&rows, 0, 6)};
	return MS_OK;
}

// The session that a token, used or not, belongs to.
static enum ms_err session_of_refresh(struct store_tx *tx, struct slice token, struct errinfo *info,
				      struct slice *session)
{
	uint8_t digest[MS_SHA256_SIZE];
	struct store_rows rows;
	if (!ms_oauth_secret_digest(token, MS_AUTH_REFRESH_PREFIX, digest))
		return MS_OK;
	MS_TRY(ms_store_query(tx, "SELECT session_id FROM refresh_tokens WHERE hash = $1",
			      MS_STORE_PARAMS(ms_store_blob(ms_slice(digest, sizeof(digest)))), 1, info, &rows));
	if (rows.count > 0)
		*session = ms_store_get_text(&rows, 0, 0);
	return MS_OK;
}

enum ms_err ms_oauth_revoke(struct store_tx *tx, struct auth *auth, const struct auth_actor *by, struct slice client_id,
			    struct slice token, struct slice session, struct errinfo *info, bool *ret_ended)
{
	struct store_rows rows;
	*ret_ended = false;
	MS_TRY(session_of_refresh(tx, token, info, &session));
	if (session.n == 0)
		return MS_OK;
	MS_TRY(ms_store_query(tx, "SELECT user_id FROM sessions WHERE id = $1 AND client_id = $2 AND revoked_us = 0",
			      MS_STORE_PARAMS(ms_store_text(session), ms_store_text(client_id)), 1, info, &rows));
	if (rows.count == 0)
		return MS_OK;
	*ret_ended = true;
	return ms_auth_session_end(tx, auth, by, ms_store_get_text(&rows, 0, 0), session, AUTH_SESSION_ENDED, info);
}
