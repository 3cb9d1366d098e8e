// SPDX-License-Identifier: Apache-2.0
// Browsers that are signed in, for the pages. Each has a session, so that it is seen, ended and voided as every other one; its cookie
// is a secret of its own, made at the sign-in, so that a cookie from before is worth nothing afterwards.
#include "auth/oauth.h"

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static enum ms_err replace(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
			   const struct oauth_login *before, const struct auth_user *user, struct slice session,
			   struct errinfo *info)
{
	if (!before->found)
		return MS_OK;
	if (ms_slice_eq(before->user.id, user->id))
		MS_TRY(ms_store_run(tx, "UPDATE oauth_sessions SET login_session = $2 WHERE login_session = $1",
				    MS_STORE_PARAMS(ms_store_text(before->session), ms_store_text(session)), info,
				    NULL));
	return ms_oauth_login_end(tx, auth, by, before, info);
}

enum ms_err ms_oauth_login_begin(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				 const struct auth_user *user, struct slice rehashed,
				 const struct auth_session *session, const struct oauth_login *before,
				 struct errinfo *info, char ret_cookie[MS_API_KEY_SIZE])
{
	struct auth_tokens tokens;
	struct slice permissions;
	struct oauth_secret cookie;
	int64_t now = ms_store_now_us(tx);
	MS_TRY(ms_auth_session_begin(tx, auth, by, user, rehashed, session, info, &tokens, &permissions));
	if (tokens.scope.n > 0)
		return ms_fail(info, MS_ERR_AUTH_MFA_REQUIRED, "a second factor is needed, and the account has none");
	// A browser refreshes nothing.
	MS_TRY(ms_store_run(tx, "DELETE FROM refresh_tokens WHERE session_id = $1",
			    MS_STORE_PARAMS(ms_store_text(tokens.session)), info, NULL));
	MS_TRY(replace(tx, auth, by, before, user, tokens.session, info));
	ms_oauth_secret_make(MS_OAUTH_COOKIE_PREFIX, &cookie);
	MS_TRY(ms_store_run(
		tx, "INSERT INTO oauth_logins (hash, session_id, auth_us, expires_us) VALUES ($1, $2, $3, $4)",
		MS_STORE_PARAMS(ms_store_blob(ms_slice(cookie.digest, MS_SHA256_SIZE)), ms_store_text(tokens.session),
				ms_store_int(now), ms_store_int(now + (int64_t)MS_OAUTH_LOGIN_LIFE_S * 1000000)),
		info, NULL));
	memcpy(ret_cookie, cookie.text, MS_API_KEY_SIZE);
	ms_wipe(&cookie, sizeof(cookie));
	return MS_OK;
}

enum ms_err ms_oauth_login_find(struct store_tx *tx, struct slice cookie, struct errinfo *info,
				struct oauth_login *ret_login)
{
	uint8_t digest[MS_SHA256_SIZE];
	struct store_rows rows;
	struct slice password;
	bool found;
	*ret_login = (struct oauth_login){0};
	if (!ms_oauth_secret_digest(cookie, MS_OAUTH_COOKIE_PREFIX, digest))
		return MS_OK;
	MS_TRY(ms_store_query(
		tx,
		"SELECT l.session_id, l.auth_us, s.user_id, s.methods FROM oauth_logins l JOIN sessions s ON s.id = "
		"l.session_id "
		"WHERE l.hash = $1 AND l.expires_us > $2 AND s.expires_us > $2 AND s.revoked_us = 0",
		MS_STORE_PARAMS(ms_store_blob(ms_slice(digest, sizeof(digest))), ms_store_int(ms_store_now_us(tx))), 1,
		info, &rows));
	if (rows.count == 0)
		return MS_OK;
	struct oauth_login login = {.session = ms_store_get_text(&rows, 0, 0),
				    .auth_us = ms_store_get_int(&rows, 0, 1),
				    .methods = ms_store_get_text(&rows, 0, 3)};
	MS_TRY(ms_auth_user_look(tx, ms_store_get_text(&rows, 0, 2), true, info, &found, &login.user, &password));
	login.found = found && ms_auth_user_is_active(&login.user);
	if (login.found)
		*ret_login = login;
	return MS_OK;
}

enum ms_err ms_oauth_login_end(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
			       const struct oauth_login *login, struct errinfo *info)
{
	struct store_rows rows;
	do {
		MS_TRY(ms_store_query(tx,
				      "SELECT o.session_id FROM oauth_sessions o JOIN sessions s ON s.id = "
				      "o.session_id WHERE o.login_session = $1 "
				      "AND s.revoked_us = 0 AND ' ' || o.scope || ' ' NOT LIKE '% " MS_OAUTH_OFFLINE
				      " %' LIMIT 1000",
				      MS_STORE_PARAMS(ms_store_text(login->session)), 1000, info, &rows));
		MS_TRY(ms_oauth_end_sessions(tx, &rows, info));
	} while (rows.count > 0);
	MS_TRY(ms_store_run(tx, "DELETE FROM oauth_logins WHERE session_id = $1",
			    MS_STORE_PARAMS(ms_store_text(login->session)), info, NULL));
	return ms_auth_session_end(tx, auth, by, login->user.id, login->session, AUTH_LOGOUT, info);
}

enum ms_err ms_oauth_login_copy(const struct oauth_login *login, struct arena *arena, struct errinfo *info,
				struct oauth_login *ret_login)
{
	struct oauth_login copy = *login;
	if (!login->found) {
		*ret_login = copy;
		return MS_OK;
	}
	MS_TRY(ms_auth_user_copy(&login->user, arena, info, &copy.user));
	if (!ms_oauth_keep(arena, &copy.session) || !ms_oauth_keep(arena, &copy.methods))
		return no_memory(info);
	*ret_login = copy;
	return MS_OK;
}
