// SPDX-License-Identifier: Apache-2.0
// What a page hands to navigator.credentials.create() and get(), in the JSON of Web Authentication Level 3, 5.1.
#include "auth/passkey.h"

#define RP_NAME "Mainstay"
#define TIMEOUT_MS (MS_AUTH_MFA_TOKEN_LIFE_US / 1000)

static void base64url_member(struct json_writer *w, const char *name, struct slice bytes)
{
	struct buf out;
	ms_buf_init(&out, 2 * WEBAUTHN_CREDENTIAL_ID_MAX);
	ms_base64url_append(&out, bytes);
	ms_json_key_lit(w, name);
	ms_json_str(w, ms_buf_slice(&out));
	ms_buf_fini(&out);
}

static void text_member(struct json_writer *w, const char *name, const char *text)
{
	ms_json_key_lit(w, name);
	ms_json_cstr(w, text);
}

static void write_credentials(struct json_writer *w, const char *name, const struct auth_passkey *passkeys,
			      size_t count)
{
	ms_json_key_lit(w, name);
	ms_json_begin_array(w);
	for (size_t i = 0; i < count; i++) {
		ms_json_begin_object(w);
		text_member(w, "type", "public-key");
		base64url_member(w, "id", passkeys[i].credential_id);
		ms_json_key_lit(w, "transports");
		ms_json_raw(w, passkeys[i].transports);
		ms_json_end_object(w);
	}
	ms_json_end_array(w);
}

static enum ms_err write_challenge(struct store_tx *tx, const struct auth *auth, enum passkey_use use,
				   struct slice user_id, struct json_writer *w, struct errinfo *info)
{
	struct slice context, challenge;
	struct arena *arena = ms_store_arena(tx);
	MS_TRY(ms_passkey_context(use, user_id, arena, info, &context));
	MS_TRY(ms_ticket_make(auth, context, MS_SLICE_EMPTY, ms_store_now_us(tx), arena, info, &challenge));
	ms_json_key_lit(w, "challenge");
	ms_json_str(w, challenge);
	ms_json_key_lit(w, "timeout");
	ms_json_i64(w, TIMEOUT_MS);
	return MS_OK;
}

static void write_user(struct json_writer *w, const struct auth_user *user)
{
	ms_json_key_lit(w, "user");
	ms_json_begin_object(w);
	// The handle is stored by authenticators: an id that says nothing of the person.
	base64url_member(w, "id", user->id);
	ms_json_key_lit(w, "name");
	ms_json_str(w, user->username);
	ms_json_key_lit(w, "displayName");
	ms_json_str(w, user->display_name.n > 0 ? user->display_name : user->username);
	ms_json_end_object(w);
}

static void write_algorithms(struct json_writer *w)
{
	static const int algorithms[] = {COSE_EDDSA, COSE_ES256, COSE_RS256};
	ms_json_key_lit(w, "pubKeyCredParams");
	ms_json_begin_array(w);
	for (size_t i = 0; i < MS_ARRAY_LEN(algorithms); i++) {
		ms_json_begin_object(w);
		text_member(w, "type", "public-key");
		ms_json_key_lit(w, "alg");
		ms_json_i64(w, algorithms[i]);
		ms_json_end_object(w);
	}
	ms_json_end_array(w);
}

enum ms_err ms_auth_passkey_offer(struct store_tx *tx, struct auth *auth, const struct auth_user *user,
				  struct errinfo *info, struct buf *out)
{
	struct auth_passkey *passkeys;
	size_t count;
	struct json_writer w;
	MS_TRY(ms_auth_passkey_list(tx, user->id, info, &passkeys, &count));
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "rp");
	ms_json_begin_object(&w);
	text_member(&w, "name", RP_NAME);
	ms_json_key_lit(&w, "id");
	ms_json_str(&w, auth->mfa->rp_id);
	ms_json_end_object(&w);
	write_user(&w, user);
	MS_TRY(write_challenge(tx, auth, PASSKEY_REGISTER, user->id, &w, info));
	write_algorithms(&w);
	write_credentials(&w, "excludeCredentials", passkeys, count);
	ms_json_key_lit(&w, "authenticatorSelection");
	ms_json_begin_object(&w);
	text_member(&w, "residentKey", "preferred");
	text_member(&w, "userVerification", "preferred");
	ms_json_end_object(&w);
	text_member(&w, "attestation", "none");
	ms_json_key_lit(&w, "extensions");
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "credProps");
	ms_json_bool(&w, true);
	ms_json_end_object(&w);
	ms_json_end_object(&w);
	return ms_buf_ok(out) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

enum ms_err ms_auth_passkey_ask(struct store_tx *tx, struct auth *auth, struct slice user_id, struct errinfo *info,
				struct buf *out)
{
	struct auth_passkey *passkeys = NULL;
	size_t count = 0;
	struct json_writer w;
	if (user_id.n > 0) {
		MS_TRY(ms_auth_passkey_list(tx, user_id, info, &passkeys, &count));
		if (count == 0)
			return ms_fail(info, MS_ERR_NOT_FOUND, "this user has no passkeys");
	}
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	MS_TRY(write_challenge(tx, auth, PASSKEY_SIGN_IN, user_id, &w, info));
	ms_json_key_lit(&w, "rpId");
	ms_json_str(&w, auth->mfa->rp_id);
	write_credentials(&w, "allowCredentials", passkeys, count);
	text_member(&w, "userVerification", user_id.n > 0 ? "preferred" : "required");
	ms_json_end_object(&w);
	return ms_buf_ok(out) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}
