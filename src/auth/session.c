// SPDX-License-Identifier: Apache-2.0
// Sessions, and the refresh tokens that keep them: each is used once and replaced.
//
// A reply may be lost: who then sends the same token again, soon, gets the same successor as before. Nothing but hashes is stored, so the
// successor lies beside the used token, sealed with a key that comes from the used token itself: only who sends that one can
// have it opened. It is given again while it was not used; a token that comes after its successor was used, or after the
// grace, was copied by somebody: the session ends, whoever of the two holders asks.
#include "auth/internal.h"

#define AGENT_MAX 256
#define USED_KEPT 100
#define SEAL_CONTEXT "mainstay refresh successor"

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

// --- Refresh tokens ----------------------------------------------------------------------------------

struct refresh_row {
	struct slice session, client_id, user_id, methods;
	struct slice successor;
	int64_t expires_us, used_us, session_expires_us, revoked_us;
};

static struct slice hash_of(struct slice token, uint8_t digest[MS_SHA256_SIZE])
{
	ms_sha256(token, digest);
	return ms_slice(digest, MS_SHA256_SIZE);
}

static void seal_key(struct slice token, uint8_t ret_key[MS_BOX_KEY_SIZE])
{
	ms_hkdf(CRYPTO_SHA256, token, MS_SLICE_EMPTY, MS_SLICE_LIT(SEAL_CONTEXT), ret_key, MS_BOX_KEY_SIZE);
}

static enum ms_err seal(struct slice token, struct slice successor, struct arena *arena, struct errinfo *info,
			struct slice *ret_box)
{
	uint8_t key[MS_BOX_KEY_SIZE], nonce[MS_BOX_NONCE_SIZE];
	struct buf out;
	ms_buf_init(&out, 1024);
	seal_key(token, key);
	ms_random_bytes(nonce, sizeof(nonce));
	ms_box_seal(key, nonce, MS_SLICE_LIT(SEAL_CONTEXT), successor, &out);
	ms_wipe(key, sizeof(key));
	*ret_box = ms_buf_ok(&out) ? ms_arena_copy(arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	return ret_box->p != NULL ? MS_OK : no_memory(info);
}

static enum ms_err unseal(struct slice token, struct slice box, struct arena *arena, struct errinfo *info,
			  struct slice *ret_successor)
{
	uint8_t key[MS_BOX_KEY_SIZE];
	seal_key(token, key);
	enum ms_err err = ms_box_open(key, MS_SLICE_LIT(SEAL_CONTEXT), box, arena, ret_successor);
	ms_wipe(key, sizeof(key));
	return err == MS_OK ? MS_OK : ms_fail(info, MS_ERR_INTERNAL, "a stored refresh token is damaged");
}

// A new one of the session, stored; ends with the session at the latest.
static enum ms_err add_token(struct store_tx *tx, struct auth *auth, struct slice session, int64_t session_expires_us,
			     struct errinfo *info, struct slice *ret_token)
{
	uint8_t random[MS_API_KEY_RANDOM_SIZE], digest[MS_SHA256_SIZE];
	int64_t now = ms_store_now_us(tx);
	char *text = ms_arena_alloc(ms_store_arena(tx), MS_API_KEY_SIZE);
	if (text == NULL)
		return no_memory(info);
	ms_random_bytes(random, sizeof(random));
	*ret_token = ms_slice(text, ms_api_key_make(MS_SLICE_LIT(MS_AUTH_REFRESH_PREFIX), random, text));
	ms_wipe(random, sizeof(random));
	int64_t expires = MS_MIN(session_expires_us, now + (int64_t)auth->options.refresh_idle_ms * 1000);
	return ms_store_run(tx,
			    "INSERT INTO refresh_tokens (hash, session_id, created_us, expires_us, used_us) "
			    "VALUES ($1, $2, $3, $4, 0)",
			    MS_STORE_PARAMS(ms_store_blob(hash_of(*ret_token, digest)), ms_store_text(session),
					    ms_store_int(now), ms_store_int(expires)),
			    info, NULL);
}

static enum ms_err find_token(struct store_tx *tx, struct slice token, struct errinfo *info, bool *ret_found,
			      struct refresh_row *ret_row)
{
	uint8_t digest[MS_SHA256_SIZE];
	struct store_rows rows;
	MS_TRY(ms_store_query(
		tx,
		"SELECT r.session_id, s.client_id, s.user_id, s.methods, r.successor, r.expires_us, r.used_us, "
		"s.expires_us, s.revoked_us FROM refresh_tokens r JOIN sessions s ON s.id = r.session_id "
		"WHERE r.hash = $1",
		MS_STORE_PARAMS(ms_store_blob(hash_of(token, digest))), 1, info, &rows));
	*ret_found = rows.count > 0;
	if (rows.count == 0)
		return MS_OK;
	*ret_row = (struct refresh_row){.session = ms_store_get_text(&rows, 0, 0),
					.client_id = ms_store_get_text(&rows, 0, 1),
					.user_id = ms_store_get_text(&rows, 0, 2),
					.methods = ms_store_get_text(&rows, 0, 3),
					.successor = ms_store_get_blob(&rows, 0, 4),
					.expires_us = ms_store_get_int(&rows, 0, 5),
					.used_us = ms_store_get_int(&rows, 0, 6),
					.session_expires_us = ms_store_get_int(&rows, 0, 7),
					.revoked_us = ms_store_get_int(&rows, 0, 8)};
	return MS_OK;
}

// A token does not outlive its session.
static int64_t life_of(const struct auth *auth, int64_t now_us, int64_t session_expires_us)
{
	return MS_MIN((int64_t)(auth->options.token_life_ms / 1000),
		      MS_MAX((session_expires_us - now_us) / 1000000, 1));
}

// --- Begin -------------------------------------------------------------------------------------------

static enum ms_err permissions_of(struct store_tx *tx, const struct auth_user *user, struct errinfo *info,
				  struct slice *ret_json)
{
	const struct grants *grants;
	struct buf out;
	MS_TRY(ms_auth_user_grants(tx, user, info, &grants));
	ms_buf_init(&out, MS_JWS_MAX);
	ms_grants_write(grants, &out);
	*ret_json = ms_buf_ok(&out) ? ms_arena_copy(ms_store_arena(tx), ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	return ret_json->p != NULL ? MS_OK : no_memory(info);
}

// Room for one more: the one unused for longest ends.
static enum ms_err make_room(struct store_tx *tx, struct slice user_id, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(
		tx,
		"SELECT id FROM sessions WHERE user_id = $1 AND revoked_us = 0 ORDER BY used_us DESC LIMIT 1 OFFSET $2",
		MS_STORE_PARAMS(ms_store_text(user_id), ms_store_int(MS_AUTH_SESSIONS_MAX - 1)), 1, info, &rows));
	if (rows.count == 0)
		return MS_OK;
	struct slice oldest = ms_store_get_text(&rows, 0, 0);
	MS_TRY(ms_store_run(tx, "UPDATE sessions SET revoked_us = $2 WHERE id = $1",
			    MS_STORE_PARAMS(ms_store_text(oldest), ms_store_int(ms_store_now_us(tx))), info, NULL));
	return ms_auth_void_session(tx, oldest, info);
}

// The user as he is now. The password that was checked must still be his.
static enum ms_err user_again(struct store_tx *tx, const struct auth_user *was, struct errinfo *info,
			      struct auth_user *ret_user)
{
	bool found;
	struct slice password;
	MS_TRY(ms_auth_user_look(tx, was->id, true, info, &found, ret_user, &password));
	if (found && ms_auth_user_is_active(ret_user) && ret_user->password_changed_us == was->password_changed_us)
		return MS_OK;
	return ms_fail(info, MS_ERR_AUTH_CREDENTIALS, "username or password is wrong");
}

static struct slice text_or_empty(struct slice text, size_t max)
{
	return text.p != NULL ? ms_slice_sub(text, 0, max) : MS_SLICE_LIT("");
}

enum ms_err ms_auth_session_begin(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				  const struct auth_user *user, struct slice rehashed,
				  const struct auth_session *session, struct errinfo *info,
				  struct auth_tokens *ret_tokens, struct slice *ret_permissions)
{
	int64_t now = ms_store_now_us(tx), expires = now + (int64_t)auth->options.refresh_life_ms * 1000;
	struct auth_tokens t = {.expires_in_s = life_of(auth, now, expires)};
	char *id = ms_arena_alloc(ms_store_arena(tx), MS_AUTH_ID_SIZE);
	if (id == NULL)
		return no_memory(info);
	ms_auth_id(id);
	t.session = ms_slice_cstr(id);
	MS_TRY(user_again(tx, user, info, &t.user));
	MS_TRY(ms_factors_of_session(tx, auth, t.user.id, session->methods, session->client_id, info, &t.scope));
	MS_TRY(make_room(tx, t.user.id, info));
	if (rehashed.n > 0)
		MS_TRY(ms_store_run(tx, "UPDATE users SET password = $2 WHERE id = $1",
				    MS_STORE_PARAMS(ms_store_text(t.user.id), ms_store_text(rehashed)), info, NULL));
	MS_TRY(ms_store_run(tx,
			    "INSERT INTO sessions (id, user_id, client_id, created_us, used_us, expires_us, address, "
			    "agent, methods, "
			    "revoked_us) VALUES ($1, $2, $3, $4, $4, $5, $6, $7, $8, 0)",
			    MS_STORE_PARAMS(ms_store_text(t.session), ms_store_text(t.user.id),
					    ms_store_text(text_or_empty(session->client_id, SIZE_MAX)),
					    ms_store_int(now), ms_store_int(expires),
					    ms_store_text(text_or_empty(session->address, 64)),
					    ms_store_text(text_or_empty(session->agent, AGENT_MAX)),
					    ms_store_text(text_or_empty(session->methods, 64))),
			    info, NULL));
	MS_TRY(add_token(tx, auth, t.session, expires, info, &t.refresh));
	MS_TRY(permissions_of(tx, &t.user, info, ret_permissions));
	struct auth_actor actor = *by;
	actor.kind = CALLER_USER;
	actor.id = t.user.id;
	actor.name = t.user.username;
	actor.session = t.session;
	const struct audit_entry entry = {
		.event = AUTH_LOGIN, .actor = actor, .target = ms_auth_target("user", t.user.id, ms_store_arena(tx))};
	*ret_tokens = t;
	return ms_audit_append(tx, auth, &entry, info);
}

// --- Refresh -----------------------------------------------------------------------------------------

// Whether this is the reply that was lost: soon, and nobody used the successor.
static enum ms_err is_lost_reply(struct store_tx *tx, struct auth *auth, struct slice token,
				 const struct refresh_row *row, struct errinfo *info, bool *ret_lost,
				 struct slice *ret_successor)
{
	struct refresh_row next;
	bool found;
	*ret_lost = false;
	int64_t age = ms_store_now_us(tx) - row->used_us;
	if (row->successor.p == NULL || age > (int64_t)auth->options.refresh_grace_ms * 1000)
		return MS_OK;
	MS_TRY(unseal(token, row->successor, ms_store_arena(tx), info, ret_successor));
	MS_TRY(find_token(tx, *ret_successor, info, &found, &next));
	*ret_lost = found && next.used_us == 0;
	return MS_OK;
}

// The hashes of used tokens are kept to recognise copies; of a session that is refreshed very often only the newest.
static enum ms_err forget_oldest(struct store_tx *tx, struct slice session, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(
		tx,
		"SELECT used_us FROM refresh_tokens WHERE session_id = $1 AND used_us <> 0 ORDER BY used_us DESC "
		"LIMIT 1 OFFSET $2",
		MS_STORE_PARAMS(ms_store_text(session), ms_store_int(USED_KEPT)), 1, info, &rows));
	if (rows.count == 0)
		return MS_OK;
	return ms_store_run(tx, "DELETE FROM refresh_tokens WHERE session_id = $1 AND used_us <> 0 AND used_us <= $2",
			    MS_STORE_PARAMS(ms_store_text(session), ms_store_int(ms_store_get_int(&rows, 0, 0))), info,
			    NULL);
}

static enum ms_err rotate(struct store_tx *tx, struct auth *auth, struct slice token, const struct refresh_row *row,
			  struct errinfo *info, struct slice *ret_next)
{
	uint8_t digest[MS_SHA256_SIZE];
	struct slice box;
	int64_t now = ms_store_now_us(tx);
	MS_TRY(forget_oldest(tx, row->session, info));
	MS_TRY(add_token(tx, auth, row->session, row->session_expires_us, info, ret_next));
	MS_TRY(seal(token, *ret_next, ms_store_arena(tx), info, &box));
	MS_TRY(ms_store_run(tx, "UPDATE refresh_tokens SET used_us = $2, successor = $3 WHERE hash = $1",
			    MS_STORE_PARAMS(ms_store_blob(hash_of(token, digest)), ms_store_int(MS_MAX(now, 1)),
					    ms_store_blob(box)),
			    info, NULL));
	return ms_store_run(tx, "UPDATE sessions SET used_us = $2 WHERE id = $1",
			    MS_STORE_PARAMS(ms_store_text(row->session), ms_store_int(now)), info, NULL);
}

static enum ms_err end_reused(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
			      const struct refresh_row *row, const struct auth_user *user, struct errinfo *info)
{
	struct auth_actor actor = *by;
	actor.kind = CALLER_UNKNOWN; // one of two holders: nobody knows which
	actor.session = row->session;
	MS_TRY(ms_store_run(tx, "UPDATE sessions SET revoked_us = $2 WHERE id = $1",
			    MS_STORE_PARAMS(ms_store_text(row->session), ms_store_int(ms_store_now_us(tx))), info,
			    NULL));
	MS_TRY(ms_auth_void_session(tx, row->session, info));
	const struct audit_entry entry = {.event = AUTH_REFRESH_REUSED,
					  .outcome = AUDIT_REFUSED,
					  .actor = actor,
					  .target = ms_auth_target("user", user->id, ms_store_arena(tx))};
	return ms_audit_append(tx, auth, &entry, info);
}

static enum ms_err check_token(struct store_tx *tx, const struct refresh_row *row, struct errinfo *info,
			       struct auth_user *ret_user)
{
	bool found;
	struct slice password;
	int64_t now = ms_store_now_us(tx);
	if (row->revoked_us != 0)
		return ms_fail(info, MS_ERR_TOKEN_REVOKED, "the session was ended: sign in again");
	if (row->session_expires_us <= now || (row->used_us == 0 && row->expires_us <= now))
		return ms_fail(info, MS_ERR_TOKEN_EXPIRED, "the refresh token is expired: sign in again");
	MS_TRY(ms_auth_user_look(tx, row->user_id, true, info, &found, ret_user, &password));
	if (!found || !ms_auth_user_is_active(ret_user))
		return ms_fail(info, MS_ERR_TOKEN_REVOKED, "the account is disabled");
	return MS_OK;
}

enum ms_err ms_auth_session_refresh(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				    struct slice refresh, struct slice client_id, struct errinfo *info,
				    bool *ret_reused, struct auth_tokens *ret_tokens, struct slice *ret_permissions)
{
	struct auth_tokens t = {0};
	struct refresh_row row;
	struct slice prefix;
	bool found = false, lost = false;
	*ret_reused = false;
	if (ms_api_key_parse(refresh, &prefix) && ms_slice_eq_cstr(prefix, MS_AUTH_REFRESH_PREFIX))
		MS_TRY(find_token(tx, refresh, info, &found, &row));
	if (!found || !ms_slice_eq(row.client_id, client_id))
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "this is no refresh token of a session");
	MS_TRY(check_token(tx, &row, info, &t.user));
	t.session = row.session;
	// A session from before the second factor goes on: it is the next sign-in that needs it.
	MS_TRY(ms_factors_of_session(tx, auth, t.user.id, MS_SLICE_LIT("mfa"), row.client_id, info, &t.scope));
	t.expires_in_s = life_of(auth, ms_store_now_us(tx), row.session_expires_us);
	if (row.used_us != 0) {
		MS_TRY(is_lost_reply(tx, auth, refresh, &row, info, &lost, &t.refresh));
		if (!lost) {
			*ret_reused = true;
			return end_reused(tx, auth, by, &row, &t.user, info);
		}
	} else
		MS_TRY(rotate(tx, auth, refresh, &row, info, &t.refresh));
	MS_TRY(permissions_of(tx, &t.user, info, ret_permissions));
	*ret_tokens = t;
	return MS_OK;
}

// --- End, list ---------------------------------------------------------------------------------------

static enum ms_err record_end(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
			      enum auth_event event, struct slice user_id, struct slice session, size_t count,
			      struct errinfo *info)
{
	struct slice details = MS_SLICE_EMPTY;
	if (session.n == 0)
		details = ms_slice_cstr(ms_arena_printf(ms_store_arena(tx), "{\"sessions\":%zu}", count));
	const struct audit_entry entry = {.event = event,
					  .actor = *by,
					  .target = session.n > 0
							    ? ms_auth_target("session", session, ms_store_arena(tx))
							    : ms_auth_target("user", user_id, ms_store_arena(tx)),
					  .details = details};
	return ms_audit_append(tx, auth, &entry, info);
}

enum ms_err ms_auth_session_end(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				struct slice user_id, struct slice session, enum auth_event event, struct errinfo *info)
{
	uint64_t changed;
	MS_TRY(ms_store_run(
		tx, "UPDATE sessions SET revoked_us = $3 WHERE id = $1 AND user_id = $2 AND revoked_us = 0",
		MS_STORE_PARAMS(ms_store_text(session), ms_store_text(user_id), ms_store_int(ms_store_now_us(tx))),
		info, &changed));
	if (changed == 0)
		return ms_fail(info, MS_ERR_NOT_FOUND, "there is no open session '%.*s' of this user",
			       MS_SLICE_ARG(session));
	MS_TRY(ms_auth_void_session(tx, session, info));
	return record_end(tx, auth, by, event, user_id, session, 1, info);
}

enum ms_err ms_auth_session_end_all(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				    struct slice user_id, struct slice keep, enum auth_event event,
				    struct errinfo *info, size_t *ret_ended)
{
	struct store_rows rows;
	struct slice kept = keep.p != NULL ? keep : MS_SLICE_LIT("");
	MS_TRY(ms_store_query(tx, "SELECT id FROM sessions WHERE user_id = $1 AND revoked_us = 0 AND id <> $2",
			      MS_STORE_PARAMS(ms_store_text(user_id), ms_store_text(kept)), MS_AUTH_SESSIONS_MAX + 1,
			      info, &rows));
	for (size_t i = 0; i < rows.count; i++)
		MS_TRY(ms_auth_void_session(tx, ms_store_get_text(&rows, i, 0), info));
	MS_TRY(ms_store_run(
		tx, "UPDATE sessions SET revoked_us = $3 WHERE user_id = $1 AND revoked_us = 0 AND id <> $2",
		MS_STORE_PARAMS(ms_store_text(user_id), ms_store_text(kept), ms_store_int(ms_store_now_us(tx))), info,
		NULL));
	*ret_ended = rows.count;
	// AUTH_EVENT_COUNT: part of a change that is recorded itself.
	return event == AUTH_EVENT_COUNT || rows.count == 0
		       ? MS_OK
		       : record_end(tx, auth, by, event, user_id, MS_SLICE_EMPTY, rows.count, info);
}

enum ms_err ms_auth_session_list(struct store_tx *tx, struct slice user_id, struct slice after, size_t limit,
				 struct errinfo *info, struct auth_session **ret_sessions, size_t *ret_count)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(
		tx,
		"SELECT id, user_id, client_id, address, agent, methods, created_us, used_us, expires_us FROM sessions "
		"WHERE user_id = $1 AND revoked_us = 0 AND expires_us > $2 AND id < $3 ORDER BY id DESC LIMIT $4",
		MS_STORE_PARAMS(ms_store_text(user_id), ms_store_int(ms_store_now_us(tx)),
				ms_store_text(after.n > 0 ? after : MS_SLICE_LIT("~")), ms_store_int((int64_t)limit)),
		limit, info, &rows));
	struct auth_session *sessions = MS_ARENA_ARRAY(ms_store_arena(tx), struct auth_session, rows.count);
	if (sessions == NULL)
		return no_memory(info);
	for (size_t i = 0; i < rows.count; i++)
		sessions[i] = (struct auth_session){.id = ms_store_get_text(&rows, i, 0),
						    .user_id = ms_store_get_text(&rows, i, 1),
						    .client_id = ms_store_get_text(&rows, i, 2),
						    .address = ms_store_get_text(&rows, i, 3),
						    .agent = ms_store_get_text(&rows, i, 4),
						    .methods = ms_store_get_text(&rows, i, 5),
						    .created_us = ms_store_get_int(&rows, i, 6),
						    .used_us = ms_store_get_int(&rows, i, 7),
						    .expires_us = ms_store_get_int(&rows, i, 8)};
	*ret_sessions = sessions;
	*ret_count = rows.count;
	return MS_OK;
}
