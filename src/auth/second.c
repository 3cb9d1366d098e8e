// SPDX-License-Identifier: Apache-2.0
// Which second factors a user has, the token between the two steps of a sign-in, and what happens when factors go.
#include "auth/mfa.h"

#define TOKEN_CONTEXT MS_SLICE_LIT("second step")
#define HOST_MAX 253

// --- Names -------------------------------------------------------------------------------------------

static const char *const names[] = {"none", "totp", "webauthn", "recovery"};

const char *ms_auth_factor_name(enum auth_factor factor)
{
	MS_ASSERT((size_t)factor < MS_ARRAY_LEN(names));
	return names[factor];
}

bool ms_auth_factor_find(struct slice name, enum auth_factor *ret_factor)
{
	for (size_t i = 1; i < MS_ARRAY_LEN(names); i++) {
		if (!ms_slice_eq_cstr(name, names[i]))
			continue;
		*ret_factor = (enum auth_factor)i;
		return true;
	}
	return false;
}

// --- What a user has ---------------------------------------------------------------------------------

enum ms_err ms_auth_factors(struct store_tx *tx, struct slice user_id, struct errinfo *info,
			    struct auth_factors *ret_factors)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(
		tx,
		"SELECT (SELECT confirmed_us FROM totp WHERE user_id = u.id), "
		"(SELECT count(*) FROM passkeys WHERE user_id = u.id), "
		"(SELECT count(*) FROM recovery_codes WHERE user_id = u.id), "
		"(SELECT created_us FROM recovery_sets WHERE user_id = u.id) FROM users u WHERE u.id = $1",
		MS_STORE_PARAMS(ms_store_text(user_id)), 1, info, &rows));
	*ret_factors = (struct auth_factors){0};
	if (rows.count == 0)
		return MS_OK;
	ret_factors->totp_since_us = ms_store_get_int(&rows, 0, 0);
	ret_factors->totp = ret_factors->totp_since_us != 0;
	ret_factors->passkeys = (size_t)ms_store_get_int(&rows, 0, 1);
	ret_factors->recovery_codes = (size_t)ms_store_get_int(&rows, 0, 2);
	ret_factors->recovery_since_us = ms_store_get_int(&rows, 0, 3);
	return MS_OK;
}

void ms_auth_write_methods(struct json_writer *w, const struct auth_factors *factors)
{
	ms_json_key_lit(w, "methods");
	ms_json_begin_array(w);
	if (factors->totp)
		ms_json_cstr(w, names[AUTH_FACTOR_TOTP]);
	if (factors->passkeys > 0)
		ms_json_cstr(w, names[AUTH_FACTOR_PASSKEY]);
	if (factors->recovery_codes > 0)
		ms_json_cstr(w, names[AUTH_FACTOR_RECOVERY]);
	ms_json_end_array(w);
}

static bool has_word(struct slice words, const char *word)
{
	struct slice part;
	while (ms_slice_next(&words, ' ', &part)) {
		if (ms_slice_eq_cstr(part, word))
			return true;
	}
	return false;
}

enum ms_err ms_factors_of_session(struct store_tx *tx, const struct auth *auth, struct slice user_id,
				  struct slice methods, struct slice client_id, struct errinfo *info,
				  struct slice *ret_scope)
{
	struct auth_factors factors;
	MS_TRY(ms_auth_factors(tx, user_id, info, &factors));
	bool has = ms_auth_has_factor(&factors);
	if (has && !has_word(methods, "mfa"))
		return ms_fail(info, MS_ERR_AUTH_MFA_REQUIRED, "a second factor is needed");
	if (!has && auth->options.mfa_required && client_id.n > 0)
		return ms_fail(info, MS_ERR_AUTH_MFA_REQUIRED,
			       "a second factor is required here (setting identity.mfa), and this user has none yet");
	*ret_scope = !has && auth->options.mfa_required ? MS_SLICE_LIT("self") : MS_SLICE_EMPTY;
	return MS_OK;
}

// --- The token between the steps -----------------------------------------------------------------------
// Payload: 8 bytes of password_changed_us, 1 byte of the length of the user id, the user id, the methods so far.

enum ms_err ms_auth_second_step(struct store_tx *tx, struct auth *auth, const struct auth_user *user,
				struct slice methods, struct slice rehashed, struct errinfo *info,
				struct auth_factors *ret_factors, struct slice *ret_token)
{
	struct buf payload;
	*ret_token = MS_SLICE_EMPTY;
	MS_TRY(ms_auth_factors(tx, user->id, info, ret_factors));
	if (!ms_auth_has_factor(ret_factors))
		return MS_OK;
	// Only over the password that was verified.
	if (rehashed.n > 0)
		MS_TRY(ms_store_run(tx, "UPDATE users SET password = $2 WHERE id = $1 AND password_changed_us = $3",
				    MS_STORE_PARAMS(ms_store_text(user->id), ms_store_text(rehashed),
						    ms_store_int(user->password_changed_us)),
				    info, NULL));
	MS_ASSERT(user->id.n < 256 && methods.n < 64);
	ms_buf_init(&payload, 512);
	for (unsigned i = 0; i < 8; i++)
		ms_buf_append_char(&payload, (char)((uint64_t)user->password_changed_us >> (56 - 8 * i)));
	ms_buf_append_char(&payload, (char)user->id.n);
	ms_buf_append_slice(&payload, user->id);
	ms_buf_append_slice(&payload, methods);
	enum ms_err err = ms_buf_ok(&payload) ? ms_ticket_make(auth, TOKEN_CONTEXT, ms_buf_slice(&payload),
							       ms_store_now_us(tx), ms_store_arena(tx), info, ret_token)
					      : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_buf_fini(&payload);
	return err;
}

enum ms_err ms_second_open(const struct auth *auth, struct slice token, struct arena *arena, struct errinfo *info,
			   struct second_token *ret_token)
{
	struct ticket ticket;
	enum ms_err err = ms_ticket_open(auth, TOKEN_CONTEXT, token, ms_clock_wall_ns() / 1000, arena, info, &ticket);
	if (err == MS_ERR_TOKEN_INVALID || err == MS_ERR_TOKEN_EXPIRED)
		return ms_fail(info, err,
			       "the sign-in was begun too long ago, or not here: begin again with the password");
	MS_TRY(err);
	struct slice p = ticket.payload;
	size_t n = p.n > 9 ? (uint8_t)p.p[8] : 0;
	if (n == 0 || p.n < 9 + n)
		return ms_fail(info, MS_ERR_INTERNAL, "a token of a sign-in is damaged");
	uint64_t changed = 0;
	for (size_t i = 0; i < 8; i++)
		changed = changed << 8 | (uint8_t)p.p[i];
	ret_token->password_changed_us = (int64_t)changed;
	ret_token->user_id = ms_slice_sub(p, 9, n);
	ret_token->methods = ms_slice_sub(p, 9 + n, SIZE_MAX);
	memcpy(ret_token->hash, ticket.hash, sizeof(ticket.hash));
	return MS_OK;
}

enum ms_err ms_auth_second_user(const struct auth *auth, struct slice token, struct arena *arena, struct errinfo *info,
				struct slice *ret_user_id)
{
	struct second_token opened;
	MS_TRY(ms_second_open(auth, token, arena, info, &opened));
	*ret_user_id = opened.user_id;
	return MS_OK;
}

// --- Records, removal ----------------------------------------------------------------------------------

enum ms_err ms_factor_record(struct store_tx *tx, struct auth *auth, const struct auth_actor *by, enum auth_event event,
			     struct slice user_id, const char *details, struct errinfo *info)
{
	const struct audit_entry entry = {.event = event,
					  .actor = *by,
					  .target = ms_auth_target("user", user_id, ms_store_arena(tx)),
					  .details = ms_slice_cstr(details)};
	return ms_audit_append(tx, auth, &entry, info);
}

// Sessions from before the first second factor were begun with less: all but the one that added it end, as with a new password.
enum ms_err ms_factor_added(struct store_tx *tx, struct auth *auth, const struct auth_actor *by, struct slice user_id,
			    const char *details, struct errinfo *info)
{
	struct auth_factors factors;
	size_t ended;
	MS_TRY(ms_auth_factors(tx, user_id, info, &factors));
	if (factors.totp + factors.passkeys == 1)
		MS_TRY(ms_auth_session_end_all(tx, auth, by, user_id, by->session, AUTH_EVENT_COUNT, info, &ended));
	return ms_factor_record(tx, auth, by, AUTH_FACTOR_ADDED, user_id, details, info);
}

enum ms_err ms_factor_removed(struct store_tx *tx, const struct auth *auth, struct slice user_id, struct errinfo *info)
{
	struct auth_factors factors;
	MS_TRY(ms_auth_factors(tx, user_id, info, &factors));
	if (ms_auth_has_factor(&factors))
		return MS_OK;
	if (auth->options.mfa_required)
		return ms_fail(info, MS_ERR_CONFLICT,
			       "a second factor is required (setting identity.mfa), and this is the last one: add "
			       "another first");
	return ms_store_run(tx, "DELETE FROM recovery_sets WHERE user_id = $1", MS_STORE_PARAMS(ms_store_text(user_id)),
			    info, NULL);
}

enum ms_err ms_auth_factors_reset(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
				  struct slice user_id, struct errinfo *info, struct auth_factors *ret_removed)
{
	struct auth_user user;
	size_t ended;
	MS_TRY(ms_auth_user_get(tx, user_id, info, &user));
	MS_TRY(ms_auth_check_authority(tx, authority, &user, info));
	MS_TRY(ms_auth_factors(tx, user_id, info, ret_removed));
	MS_TRY(ms_store_run(tx, "DELETE FROM totp WHERE user_id = $1", MS_STORE_PARAMS(ms_store_text(user_id)), info,
			    NULL));
	MS_TRY(ms_store_run(tx, "DELETE FROM passkeys WHERE user_id = $1", MS_STORE_PARAMS(ms_store_text(user_id)),
			    info, NULL));
	MS_TRY(ms_store_run(tx, "DELETE FROM recovery_sets WHERE user_id = $1", MS_STORE_PARAMS(ms_store_text(user_id)),
			    info, NULL));
	MS_TRY(ms_auth_session_end_all(tx, auth, authority->by, user_id, MS_SLICE_EMPTY, AUTH_EVENT_COUNT, info,
				       &ended));
	const char *details = ms_arena_printf(
		ms_store_arena(tx), "{\"totp\":%s,\"passkeys\":%zu,\"recovery_codes\":%zu,\"sessions\":%zu}",
		ret_removed->totp ? "true" : "false", ret_removed->passkeys, ret_removed->recovery_codes, ended);
	return ms_factor_record(tx, auth, authority->by, AUTH_FACTORS_RESET, user_id, details, info);
}

// --- Whose passkeys are ours -----------------------------------------------------------------------------

// "https://ml.example:8443" and its host, of an address that may have a path.
static bool split_origin(struct slice url, struct slice *ret_origin, struct slice *ret_host)
{
	size_t at = ms_slice_starts_with(url, MS_SLICE_LIT("https://"))  ? 8
		    : ms_slice_starts_with(url, MS_SLICE_LIT("http://")) ? 7
									 : 0;
	struct slice rest = ms_slice_sub(url, at, SIZE_MAX);
	size_t end = ms_slice_find(rest, '/');
	struct slice authority = ms_slice_sub(rest, 0, end);
	size_t host = authority.n > 0 && authority.p[0] == '[' ? ms_slice_find(authority, ']') + 1
							       : ms_slice_find(authority, ':');
	*ret_host = ms_slice_sub(authority, 0, host);
	*ret_origin = ms_slice_sub(url, 0, at + end);
	return at > 0 && ret_host->n > 0 && ret_host->n <= HOST_MAX;
}

// The domain, or one below it.
static bool is_within_domain(struct slice host, struct slice domain)
{
	return ms_slice_eq(host, domain) ||
	       (host.n > domain.n && ms_slice_ends_with(host, domain) && host.p[host.n - domain.n - 1] == '.');
}

static enum ms_err take_origins(struct auth *auth, struct auth_mfa *mfa, struct slice own, struct errinfo *info)
{
	const struct auth_options *o = &auth->options;
	struct slice *origins = MS_ARENA_ARRAY(&auth->arena, struct slice, o->webauthn_origin_count + 1);
	struct slice origin, host;
	if (origins == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < o->webauthn_origin_count; i++) {
		struct slice text = ms_slice_cstr(o->webauthn_origins[i]);
		if (!split_origin(text, &origin, &host) || origin.n != text.n || !is_within_domain(host, mfa->rp_id))
			return ms_fail(info, MS_ERR_CONFIG,
				       "identity.webauthn_origins: '%.*s' must be an origin like https://%.*s, of that "
				       "domain or one below it",
				       MS_SLICE_ARG(text), MS_SLICE_ARG(mfa->rp_id));
		origins[i] = ms_arena_copy(&auth->arena, origin);
		if (origins[i].p == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	mfa->origins = origins;
	mfa->origin_count = o->webauthn_origin_count;
	if (mfa->origin_count == 0)
		origins[mfa->origin_count++] = own;
	return MS_OK;
}

enum ms_err ms_auth_mfa_new(struct auth *auth, struct errinfo *info)
{
	struct slice origin, host;
	struct auth_mfa *mfa = MS_ARENA_NEW(&auth->arena, struct auth_mfa);
	if (mfa == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	if (!split_origin(ms_slice_cstr(auth->options.issuer), &origin, &host)) {
		origin = MS_SLICE_LIT("https://localhost"); // the issuer is a name: then the settings say
		host = MS_SLICE_LIT("localhost");
	}
	struct slice wanted = ms_slice_cstr(auth->options.webauthn_rp_id);
	mfa->rp_id = wanted.n > 0 ? wanted : host;
	ms_sha256(mfa->rp_id, mfa->rp_id_hash);
	if (auth->options.webauthn_origin_count == 0 && !is_within_domain(host, mfa->rp_id))
		return ms_fail(info, MS_ERR_CONFIG,
			       "identity.webauthn_rp_id: the issuer's host '%.*s' is not of the domain '%.*s': set "
			       "identity.webauthn_origins",
			       MS_SLICE_ARG(host), MS_SLICE_ARG(mfa->rp_id));
	MS_TRY(take_origins(auth, mfa, origin, info));
	auth->mfa = mfa;
	return MS_OK;
}
