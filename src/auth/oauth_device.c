// SPDX-License-Identifier: Apache-2.0
// Devices without a browser (RFC 8628): the device shows a short code, a person types it elsewhere, the device asks until he has decided.
#include <stdio.h>

#include "auth/oauth.h"

// No vowels, so that no words come about, and nothing that looks like something else (RFC 8628, section 6.1).
#define LETTERS "BCDFGHJKLMNPQRSTVWXZ"
#define LETTER_COUNT 20
#define USER_CODE_LETTERS 8
#define INTERVAL_STEP_S 5
#define INTERVAL_MAX_S 60

static void make_user_code(char ret_code[MS_OAUTH_USER_CODE_SIZE])
{
	size_t at = 0;
	while (at < USER_CODE_LETTERS + 1) {
		uint8_t byte;
		if (at == USER_CODE_LETTERS / 2)
			ret_code[at++] = '-';
		ms_random_bytes(&byte, 1);
		if (byte < 256 / LETTER_COUNT * LETTER_COUNT) // each letter as likely as the others
			ret_code[at++] = LETTERS[byte % LETTER_COUNT];
	}
	ret_code[at] = '\0';
}

bool ms_oauth_user_code_read(struct slice typed, char ret_user_code[MS_OAUTH_USER_CODE_SIZE])
{
	size_t at = 0;
	for (size_t i = 0; i < typed.n && i < 64; i++) {
		char c = typed.p[i];
		if (c == '-' || c == ' ')
			continue;
		if (c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		if (c == '\0' || strchr(LETTERS, c) == NULL || at == USER_CODE_LETTERS + 1)
			return false;
		if (at == USER_CODE_LETTERS / 2)
			ret_user_code[at++] = '-';
		ret_user_code[at++] = c;
	}
	ret_user_code[at] = '\0';
	return at == USER_CODE_LETTERS + 1;
}

// A code that is about already, which one in ten million is, gets another try.
static enum ms_err insert(struct store_tx *tx, const struct oauth_client *client, struct slice scope,
			  const struct oauth_secret *secret, struct errinfo *info,
			  char ret_user_code[MS_OAUTH_USER_CODE_SIZE])
{
	uint64_t changed = 0;
	int64_t expires = ms_store_now_us(tx) + (int64_t)MS_OAUTH_DEVICE_LIFE_S * 1000000;
	for (int tries = 0; changed == 0 && tries < 5; tries++) {
		make_user_code(ret_user_code);
		MS_TRY(ms_store_run(tx,
				    "INSERT INTO oauth_devices (hash, user_code, client_id, scope, state, "
				    "login_session, auth_us, interval_s, "
				    "polled_us, expires_us) VALUES ($1, $2, $3, $4, 'waiting', '', 0, $5, 0, $6) "
				    "ON CONFLICT (user_code) DO NOTHING",
				    MS_STORE_PARAMS(ms_store_blob(ms_slice(secret->digest, MS_SHA256_SIZE)),
						    ms_store_text(ms_slice_cstr(ret_user_code)),
						    ms_store_text(client->id), ms_store_text(scope),
						    ms_store_int(MS_OAUTH_DEVICE_INTERVAL_S), ms_store_int(expires)),
				    info, &changed));
	}
	return changed > 0 ? MS_OK : ms_fail(info, MS_ERR_BUSY, "too many devices wait to be signed in");
}

enum ms_err ms_oauth_device_begin(struct store_tx *tx, const struct oauth_client *client, struct slice scope,
				  struct errinfo *info, struct oauth_refusal *refusal,
				  char ret_device_code[MS_API_KEY_SIZE], char ret_user_code[MS_OAUTH_USER_CODE_SIZE])
{
	struct store_rows rows;
	struct oauth_secret secret;
	int64_t now = ms_store_now_us(tx);
	MS_TRY(ms_store_run(tx, "DELETE FROM oauth_devices WHERE client_id = $1 AND expires_us < $2",
			    MS_STORE_PARAMS(ms_store_text(client->id), ms_store_int(now)), info, NULL));
	MS_TRY(ms_store_query(tx, "SELECT COUNT(*) FROM oauth_devices WHERE client_id = $1",
			      MS_STORE_PARAMS(ms_store_text(client->id)), 1, info, &rows));
	if (ms_store_get_int(&rows, 0, 0) >= MS_OAUTH_DEVICES_MAX) {
		ms_oauth_refuse(refusal, "slow_down", "too many devices of this client wait to be signed in");
		return MS_OK;
	}
	ms_oauth_secret_make(MS_OAUTH_DEVICE_PREFIX, &secret);
	memcpy(ret_device_code, secret.text, MS_API_KEY_SIZE);
	enum ms_err err = insert(tx, client, scope, &secret, info, ret_user_code);
	ms_wipe(&secret, sizeof(secret));
	return err;
}

enum ms_err ms_oauth_device_find(struct store_tx *tx, struct slice user_code, struct errinfo *info,
				 struct oauth_device *ret_device)
{
	struct store_rows rows;
	*ret_device = (struct oauth_device){0};
	MS_TRY(ms_store_query(tx,
			      "SELECT user_code, scope, client_id FROM oauth_devices WHERE user_code = $1 AND state = "
			      "'waiting' AND expires_us > $2",
			      MS_STORE_PARAMS(ms_store_text(user_code), ms_store_int(ms_store_now_us(tx))), 1, info,
			      &rows));
	if (rows.count == 0)
		return MS_OK;
	ret_device->user_code = ms_store_get_text(&rows, 0, 0);
	ret_device->scope = ms_store_get_text(&rows, 0, 1);
	return ms_oauth_client_find(tx, ms_store_get_text(&rows, 0, 2), info, &ret_device->found, &ret_device->client);
}

static enum ms_err record_refusal(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				  const struct oauth_login *login, struct slice client_id, struct errinfo *info)
{
	struct auth_actor actor = *by;
	actor.kind = CALLER_USER;
	actor.id = login->user.id;
	actor.name = login->user.username;
	actor.session = login->session;
	const struct audit_entry entry = {.event = AUTH_CONSENT_REFUSED,
					  .outcome = AUDIT_REFUSED,
					  .actor = actor,
					  .target = ms_auth_target("client", client_id, ms_store_arena(tx))};
	return ms_audit_append(tx, auth, &entry, info);
}

enum ms_err ms_oauth_device_decide(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				   struct slice user_code, const struct oauth_login *login, bool allow,
				   struct slice scope, struct errinfo *info, bool *ret_decided)
{
	struct oauth_device device;
	uint64_t changed;
	*ret_decided = false;
	MS_TRY(ms_oauth_device_find(tx, user_code, info, &device));
	if (!device.found)
		return MS_OK;
	MS_TRY(ms_store_run(tx,
			    "UPDATE oauth_devices SET state = $2, login_session = $3, auth_us = $4, scope = $5 WHERE "
			    "user_code = $1 AND "
			    "state = 'waiting'",
			    MS_STORE_PARAMS(ms_store_text(user_code),
					    ms_store_text(allow ? MS_SLICE_LIT("allowed") : MS_SLICE_LIT("denied")),
					    ms_store_text(login->session), ms_store_int(login->auth_us),
					    ms_store_text(scope)),
			    info, &changed));
	*ret_decided = changed > 0;
	return allow ? ms_oauth_consent_give(tx, auth, by, &device.client, login, scope, info)
		     : record_refusal(tx, auth, by, login, device.client.id, info);
}

// --- Asking ------------------------------------------------------------------------------------------

struct device_row {
	struct slice client_id, scope, state, login_session;
	int64_t auth_us, interval_s, polled_us, expires_us;
};

static enum ms_err find_row(struct store_tx *tx, const uint8_t *digest, struct errinfo *info, bool *ret_found,
			    struct device_row *ret_row)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx,
			      "SELECT client_id, scope, state, login_session, auth_us, interval_s, polled_us, "
			      "expires_us FROM oauth_devices "
			      "WHERE hash = $1",
			      MS_STORE_PARAMS(ms_store_blob(ms_slice(digest, MS_SHA256_SIZE))), 1, info, &rows));
	*ret_found = rows.count > 0;
	if (rows.count > 0)
		*ret_row = (struct device_row){.client_id = ms_store_get_text(&rows, 0, 0),
					       .scope = ms_store_get_text(&rows, 0, 1),
					       .state = ms_store_get_text(&rows, 0, 2),
					       .login_session = ms_store_get_text(&rows, 0, 3),
					       .auth_us = ms_store_get_int(&rows, 0, 4),
					       .interval_s = ms_store_get_int(&rows, 0, 5),
					       .polled_us = ms_store_get_int(&rows, 0, 6),
					       .expires_us = ms_store_get_int(&rows, 0, 7)};
	return MS_OK;
}

// Who asks too soon is told to slow down, and asks less often from then on (RFC 8628, section 3.5).
static enum ms_err wait_on(struct store_tx *tx, const uint8_t *digest, const struct device_row *row,
			   struct errinfo *info, struct oauth_refusal *refusal)
{
	int64_t now = ms_store_now_us(tx), interval_s = row->interval_s;
	bool soon = now - row->polled_us < interval_s * 1000000;
	if (soon)
		interval_s = MS_MIN(interval_s + INTERVAL_STEP_S, (int64_t)INTERVAL_MAX_S);
	ms_oauth_refuse(refusal, soon ? "slow_down" : "authorization_pending",
			soon ? "ask every %d seconds" : "the user has not decided yet", (int)interval_s);
	return ms_store_run(tx, "UPDATE oauth_devices SET polled_us = $2, interval_s = $3 WHERE hash = $1",
			    MS_STORE_PARAMS(ms_store_blob(ms_slice(digest, MS_SHA256_SIZE)), ms_store_int(now),
					    ms_store_int(interval_s)),
			    info, NULL);
}

enum ms_err ms_oauth_grant_device(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				  const struct oauth_client *client, const struct oauth_asked *asked,
				  struct arena *arena, struct errinfo *info, struct oauth_refusal *refusal,
				  struct oauth_issue *ret_issue)
{
	uint8_t digest[MS_SHA256_SIZE];
	struct device_row row;
	bool found = false;
	if (ms_oauth_secret_digest(asked->device_code, MS_OAUTH_DEVICE_PREFIX, digest))
		MS_TRY(find_row(tx, digest, info, &found, &row));
	if (!found || !ms_slice_eq(row.client_id, client->id)) {
		ms_oauth_refuse(refusal, "invalid_grant", "the device code is unknown or used, or another client's");
		return MS_OK;
	}
	if (row.expires_us <= ms_store_now_us(tx)) {
		ms_oauth_refuse(refusal, "expired_token", "the device code is expired: begin anew");
		return MS_OK;
	}
	if (ms_slice_eq_cstr(row.state, "waiting"))
		return wait_on(tx, digest, &row, info, refusal);
	MS_TRY(ms_store_run(tx, "DELETE FROM oauth_devices WHERE hash = $1",
			    MS_STORE_PARAMS(ms_store_blob(ms_slice(digest, sizeof(digest)))), info, NULL));
	if (ms_slice_eq_cstr(row.state, "denied")) {
		ms_oauth_refuse(refusal, "access_denied", "the user did not allow it");
		return MS_OK;
	}
	const struct oauth_begin begin = {.client = client,
					  .login_session = row.login_session,
					  .scope = row.scope,
					  .auth_us = row.auth_us,
					  .address = asked->address,
					  .agent = asked->agent,
					  .grant = "device_code"};
	return ms_oauth_session_begin(tx, auth, by, &begin, arena, info, refusal, ret_issue);
}

// --- Guesses -----------------------------------------------------------------------------------------

static struct throttle_keys keys_of(const struct auth *auth, struct slice user_id, struct slice address)
{
	char account[8 + MS_AUTH_ID_SIZE];
	int n = snprintf(account, sizeof(account), "device %.*s", (int)MS_MIN(user_id.n, (size_t)MS_AUTH_ID_SIZE - 1),
			 user_id.p);
	return ms_throttle_keys(auth->people->throttle, ms_slice(account, (size_t)n), address);
}

int64_t ms_oauth_device_wait_s(struct auth *auth, struct slice user_id, struct slice address)
{
	struct throttle_keys keys = keys_of(auth, user_id, address);
	int64_t wait_ns = ms_throttle_enter(auth->people->throttle, &keys, ms_clock_mono_ns());
	return (wait_ns + 999999999) / 1000000000;
}

void ms_oauth_device_typed(struct auth *auth, struct slice user_id, struct slice address, bool fitted)
{
	struct throttle_keys keys = keys_of(auth, user_id, address);
	// A code of one's own that fits does not make up for guesses: nothing is reset.
	MS_IGNORE(ms_throttle_leave(auth->people->throttle, &keys, fitted ? THROTTLE_UNDECIDED : THROTTLE_FAILED,
				    ms_clock_mono_ns()));
}
