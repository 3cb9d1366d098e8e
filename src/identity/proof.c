// SPDX-License-Identifier: Apache-2.0
#include "identity/proof.h"

#define RECENT_MS (10 * 60 * 1000)

bool ms_identity_person(struct identity_proof *s)
{
	if (!ms_identity_own(s->w.x, &s->user_id))
		return false;
	if (s->w.actor.kind == CALLER_USER && s->w.actor.session.n > 0)
		return true;
	ms_http_fail_code(s->w.x, MS_ERR_FORBIDDEN, "only a signed-in user may do this, not an API key or a program");
	return false;
}

static int digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// A session's id is a UUIDv7: its first 48 bits are the millisecond of the sign-in.
static bool is_recent(const struct identity_proof *s)
{
	struct slice id = s->w.actor.session;
	uint64_t began_ms = 0;
	if (id.n != MS_AUTH_ID_SIZE - 1)
		return false;
	for (size_t i = 0; i < 13; i++) {
		if (i == 8)
			continue; // the hyphen
		if (digit(id.p[i]) < 0)
			return false;
		began_ms = began_ms << 4 | (unsigned)digit(id.p[i]);
	}
	int64_t age_ms = ms_clock_wall_ns() / 1000000 - (int64_t)began_ms;
	return age_ms < RECENT_MS;
}

static void decided(struct identity_proof *s, enum ms_err err, const struct errinfo *info, int64_t retry_after_s)
{
	s->w.err = err;
	if (err == MS_OK) {
		s->go_on(&s->w);
		return;
	}
	s->w.info = *info;
	s->w.retry_after_s = retry_after_s;
	// Not 401: the caller is who he says, and a client would drop his token.
	if (err == MS_ERR_AUTH_CREDENTIALS)
		s->w.err = ms_fail(&s->w.info, MS_ERR_AUTH_PROOF, "%s",
				   s->password.n > 0 ? "the password is wrong" : s->proof.info.message);
	ms_identity_fail(&s->w);
}

static void password_checked(struct auth_attempt *attempt, void *arg)
{
	struct identity_proof *s = MS_CONTAINER_OF((struct identity_work *)arg, struct identity_proof, w);
	decided(s, attempt->err, &attempt->info, attempt->retry_after_s);
}

static void factor_checked(struct auth_proof *proof, void *arg)
{
	decided(arg, proof->err, &proof->info, proof->retry_after_s);
}

static void prove_factor(struct identity_proof *s)
{
	struct exchange *x = s->w.x;
	s->proof.method = s->assertion != NULL ? AUTH_FACTOR_PASSKEY : AUTH_FACTOR_TOTP;
	bool is_code = s->assertion == NULL;
	if (is_code && s->method.n > 0 &&
	    (!ms_auth_factor_find(s->method, &s->proof.method) || s->proof.method == AUTH_FACTOR_PASSKEY)) {
		ms_http_fail_code(x, MS_ERR_INVALID, "method of a code must be totp or recovery");
		return;
	}
	s->proof.user_id = s->user_id;
	s->proof.code = s->code;
	s->proof.assertion = s->assertion;
	s->proof.address = x->req.peer;
	s->proof.request_id = x->req.id;
	s->proof.session = s->w.actor.session;
	s->proof.arena = x->arena;
	s->proof.done = factor_checked;
	s->proof.arg = s;
	ms_auth_prove(s->w.identity->auth, x->loop, &s->proof);
}

void ms_identity_prove(struct identity_proof *s, identity_fn *go_on)
{
	s->go_on = go_on;
	if ((s->password.n > 0) + (s->code.n > 0) + (s->assertion != NULL) > 1)
		ms_http_fail_code(s->w.x, MS_ERR_INVALID, "send password, code or assertion, one of them");
	else if (s->password.n > 0) {
		s->attempt.user_id = s->user_id;
		s->attempt.password = s->password;
		ms_identity_try_password(&s->w, &s->attempt, password_checked);
	} else if (s->code.n > 0 || s->assertion != NULL)
		prove_factor(s);
	// The session of a client begins whenever it asks for one: that is no sign-in.
	else if (s->recent_is_enough && !ms_auth_is_for_client(s->w.x) && is_recent(s))
		go_on(&s->w);
	else
		ms_http_fail_code(s->w.x, MS_ERR_AUTH_PROOF, "show that it is you: send password, code or assertion");
}
