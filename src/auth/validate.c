// SPDX-License-Identifier: Apache-2.0
// What a credential is worth, for whoever asks about one: the guard's own answer.
#include "auth/gate.h"

enum ms_err ms_auth_validate(struct auth *auth, struct loop *loop, struct slice credential, struct arena *arena,
			     struct errinfo *info, struct auth_worth *ret_worth)
{
	struct gate_answer answer;
	MS_TRY(ms_gate_check(ms_gate_loop(auth->gate, loop), credential, true, arena, info, &answer));
	if (answer.refusal == REFUSAL_EXPIRED)
		return ms_fail(info, MS_ERR_TOKEN_EXPIRED, "the token is expired");
	if (answer.refusal == REFUSAL_REVOKED)
		return ms_fail(info, MS_ERR_TOKEN_REVOKED,
			       "the token was revoked: its session ended, or its user may no longer sign in");
	if (answer.refusal != REFUSAL_NONE)
		return ms_fail(info, MS_ERR_TOKEN_INVALID, "this is no valid token of this service");
	const struct admitted *who = answer.who;
	*ret_worth = (struct auth_worth){.kind = who->kind,
					 .id = who->id,
					 .name = who->name,
					 .user_id = who->user,
					 .session = who->session,
					 .grants = who->grants,
					 .role = who->role,
					 .issued_s = who->issued_s,
					 .expires_s = who->expires_s};
	return MS_OK;
}
