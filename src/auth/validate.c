// SPDX-License-Identifier: Apache-2.0
// What a credential is worth, for whoever asks about one: the guard's own answer, with the times of the token beside it.
#include "auth/gate.h"

// Of a token that the guard has taken: its signature was verified, so its payload is what we wrote.
static enum ms_err read_times(const struct gate_loop *gl, struct slice token, struct arena *arena, struct errinfo *info, struct auth_worth *worth)
{
	struct slice part, rest = token, payload = MS_SLICE_EMPTY;
	const struct json_value *claims;
	bool ok = ms_slice_next(&rest, '.', &part) && ms_slice_next(&rest, '.', &part) && ms_base64url_decode(part, arena, &payload);
	if (!ok)
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "the token is malformed");
	MS_TRY(ms_json_parse(payload, NULL, arena, info, &claims));
	ok = ms_json_as_i64(ms_json_get(claims, "exp"), &worth->expires_s) && ms_json_as_i64(ms_json_get(claims, "iat"), &worth->issued_s);
	// The role as it is now, where it changed since.
	const struct change *change = ms_revoked_find(&gl->revoked, worth->user_id);
	if (change != NULL && change->is_user)
		worth->role = change->role;
	else if (!ms_json_as_str(ms_json_get(claims, "role"), &worth->role))
		worth->role = MS_SLICE_EMPTY;
	return ok ? MS_OK : ms_fail(info, MS_ERR_TOKEN_INVALID, "the token has no times");
}

enum ms_err ms_auth_validate(struct auth *auth, struct loop *loop, struct slice credential, struct arena *arena,
			     struct errinfo *info, struct auth_worth *ret_worth)
{
	struct gate_loop *gl = ms_gate_loop(auth->gate, loop);
	struct gate_answer answer;
	MS_TRY(ms_gate_check(gl, credential, true, arena, info, &answer));
	if (answer.refusal == REFUSAL_EXPIRED)
		return ms_fail(info, MS_ERR_TOKEN_EXPIRED, "the token is expired");
	if (answer.refusal == REFUSAL_REVOKED)
		return ms_fail(info, MS_ERR_TOKEN_REVOKED, "the token was revoked: its session ended, or its user may no longer sign in");
	if (answer.refusal != REFUSAL_NONE)
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "this is no valid token of this service");
	const struct admitted *who = answer.who;
	*ret_worth = (struct auth_worth){.kind = who->kind,
					 .id = who->id,
					 .name = who->name,
					 .user_id = who->user,
					 .session = who->session,
					 .grants = who->grants};
	return answer.kind == CREDENTIAL_TOKEN ? read_times(gl, credential, arena, info, ret_worth) : MS_OK;
}
