// SPDX-License-Identifier: Apache-2.0
// What registration and assertion have in common: the JSON that a browser sends, and the rules of Web Authentication Level 3, 7.1 and 7.2, for
// client data and authenticator data.
#include "auth/passkey.h"

#define TEXT_MAX (WEBAUTHN_OBJECT_MAX * 4 / 3 + 4)
#define USER_HANDLE_MAX 64
#define SIGNATURE_MAX 1024 // RSA of 8192 bits

enum ms_err ms_passkey_context(enum passkey_use use, struct slice user_id, struct arena *arena, struct errinfo *info,
			       struct slice *ret_context)
{
	static const char *const names[] = {[PASSKEY_REGISTER] = "register", [PASSKEY_SIGN_IN] = "use"};
	*ret_context = ms_slice_cstr(ms_arena_printf(arena, "passkey %s:%.*s", names[use], MS_SLICE_ARG(user_id)));
	return ret_context->p != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

// A member of base64url. Absent: empty, and fine when it is not `required`.
static bool take(const struct json_value *object, const char *name, size_t max, bool required, struct arena *arena,
		 struct slice *ret_bytes)
{
	struct slice text;
	const struct json_value *member = ms_json_get(object, name);
	*ret_bytes = MS_SLICE_EMPTY;
	if (member == NULL || member->type == JSON_NULL)
		return !required;
	return ms_json_as_str(member, &text) && text.n <= TEXT_MAX && ms_base64url_decode(text, arena, ret_bytes) &&
	       ret_bytes->n <= max && (ret_bytes->n > 0 || !required);
}

const char *ms_passkey_read_response(const struct json_value *json, bool registration, struct arena *arena,
				     struct passkey_response *ret_response)
{
	struct passkey_response *r = ret_response;
	struct slice type, raw_id;
	const struct json_value *response = ms_json_get(json, "response");
	*r = (struct passkey_response){.transports = ms_json_get(response, "transports")};
	if (response == NULL || response->type != JSON_OBJECT || !ms_json_as_str(ms_json_get(json, "type"), &type) ||
	    !ms_slice_eq_cstr(type, "public-key"))
		return "it is no credential of type public-key with a response";
	if (!take(json, "id", WEBAUTHN_CREDENTIAL_ID_MAX, true, arena, &r->credential_id) ||
	    !take(json, "rawId", WEBAUTHN_CREDENTIAL_ID_MAX, true, arena, &raw_id) ||
	    !ms_slice_eq(r->credential_id, raw_id))
		return "id and rawId must be the same base64url";
	if (!take(response, "clientDataJSON", WEBAUTHN_OBJECT_MAX, true, arena, &r->client_data))
		return "response.clientDataJSON is not base64url";
	if (registration)
		return take(response, "attestationObject", WEBAUTHN_OBJECT_MAX, true, arena, &r->object)
			       ? NULL
			       : "response.attestationObject is not base64url";
	if (!take(response, "authenticatorData", WEBAUTHN_OBJECT_MAX, true, arena, &r->object))
		return "response.authenticatorData is not base64url";
	if (!take(response, "signature", SIGNATURE_MAX, true, arena, &r->signature) ||
	    !take(response, "userHandle", USER_HANDLE_MAX, false, arena, &r->user_handle))
		return "response.signature or response.userHandle is not base64url";
	return NULL;
}

static bool is_origin(const struct auth *auth, struct slice origin)
{
	for (size_t i = 0; i < auth->mfa->origin_count; i++) {
		if (ms_slice_eq(auth->mfa->origins[i], origin))
			return true;
	}
	return false;
}

static enum ms_err take_challenge(struct store_tx *tx, const struct auth *auth, const struct passkey_ceremony *ceremony,
				  struct slice challenge, struct errinfo *info, const char **ret_wrong,
				  uint8_t ret_hash[MS_SHA256_SIZE])
{
	struct slice context;
	struct ticket ticket;
	struct arena *arena = ms_store_arena(tx);
	MS_TRY(ms_passkey_context(ceremony->use, ceremony->user_id, arena, info, &context));
	enum ms_err err = ms_ticket_open(auth, context, challenge, ms_store_now_us(tx), arena, info, &ticket);
	if (err == MS_ERR_TOKEN_INVALID || err == MS_ERR_TOKEN_EXPIRED) {
		*ret_wrong = err == MS_ERR_TOKEN_EXPIRED ? "the challenge is older than five minutes"
							 : "the challenge is not ours, or not for this";
		return MS_OK;
	}
	MS_TRY(err);
	memcpy(ret_hash, ticket.hash, sizeof(ticket.hash));
	return MS_OK;
}

enum ms_err ms_passkey_spend(struct store_tx *tx, const uint8_t hash[MS_SHA256_SIZE], struct errinfo *info,
			     const char **ret_wrong)
{
	bool fresh = false;
	MS_TRY(ms_ticket_spend(tx, hash, info, &fresh));
	*ret_wrong = fresh ? NULL : "the challenge was used before";
	return MS_OK;
}

enum ms_err ms_passkey_check_client(struct store_tx *tx, const struct auth *auth,
				    const struct passkey_ceremony *ceremony, struct slice client_data,
				    struct errinfo *info, const char **ret_wrong, uint8_t ret_challenge[MS_SHA256_SIZE])
{
	static const char *const types[] = {[PASSKEY_REGISTER] = "webauthn.create", [PASSKEY_SIGN_IN] = "webauthn.get"};
	struct client_data data;
	struct errinfo ignored;
	ms_errinfo_init(&ignored);
	*ret_wrong = NULL;
	if (ms_client_data_read(client_data, ms_store_arena(tx), &ignored, &data) != MS_OK)
		*ret_wrong = "the client data are malformed";
	else if (!ms_slice_eq_cstr(data.type, types[ceremony->use]))
		*ret_wrong = "the client data are of another type";
	else if (!is_origin(auth, data.origin))
		*ret_wrong = "the origin of the page is not one of identity.webauthn_origins";
	else if (data.cross_origin)
		*ret_wrong = "the page was embedded in one of another origin";
	return *ret_wrong != NULL ? MS_OK
				  : take_challenge(tx, auth, ceremony, data.challenge, info, ret_wrong, ret_challenge);
}

const char *ms_passkey_check_data(const struct auth *auth, const struct passkey_ceremony *ceremony,
				  const struct authenticator_data *data)
{
	if (!ms_slice_eq(data->rp_id_hash, ms_slice(auth->mfa->rp_id_hash, MS_SHA256_SIZE)))
		return "the authenticator answers for another domain (identity.webauthn_rp_id)";
	if ((data->flags & AUTHENTICATOR_PRESENT) == 0)
		return "nobody touched the authenticator";
	if (ceremony->needs_verified && (data->flags & AUTHENTICATOR_VERIFIED) == 0)
		return "the authenticator did not verify its user";
	return NULL;
}
