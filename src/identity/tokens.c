// SPDX-License-Identifier: Apache-2.0
// The end of every way to sign in: a session begins and its tokens are the answer, or a second factor is asked for.
#include "identity/private.h"

// A user agent is any text: what is not printable ASCII could not be stored or shown.
struct slice ms_identity_agent(struct exchange *x)
{
	struct slice agent = ms_slice_sub(ms_http_header(&x->req, "User-Agent"), 0, 200);
	for (size_t i = 0; i < agent.n; i++) {
		if (agent.p[i] < 0x20 || agent.p[i] > 0x7e)
			return MS_SLICE_LIT("unprintable");
	}
	return agent.p != NULL ? agent : MS_SLICE_LIT("");
}

void ms_identity_try_password(struct identity_work *w, struct auth_attempt *attempt,
			      void (*done)(struct auth_attempt *, void *))
{
	attempt->address = w->x->req.peer;
	attempt->agent = ms_identity_agent(w->x);
	attempt->request_id = w->x->req.id;
	attempt->arena = w->x->arena;
	attempt->done = done;
	attempt->arg = w;
	ms_auth_attempt(w->identity->auth, w->x->loop, attempt);
}

void ms_identity_brief(struct json_writer *w, const struct auth_user *user)
{
	ms_json_begin_object(w);
	ms_json_key_lit(w, "id");
	ms_json_str(w, user->id);
	ms_json_key_lit(w, "username");
	ms_json_str(w, user->username);
	ms_json_key_lit(w, "role");
	ms_json_str(w, user->role);
	ms_json_end_object(w);
}

static void send_tokens(struct job *job)
{
	struct identity_tokens *s = MS_CONTAINER_OF(job, struct identity_tokens, w.job);
	struct exchange *x = s->w.x;
	struct json_writer w;
	if (s->w.err != MS_OK) {
		ms_buf_fini(&s->access);
		ms_identity_fail(&s->w);
		return;
	}
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "token");
	ms_json_str(&w, ms_buf_slice(&s->access));
	ms_json_key_lit(&w, "refresh_token");
	ms_json_str(&w, s->tokens.refresh);
	ms_json_key_lit(&w, "token_type");
	ms_json_cstr(&w, "Bearer");
	ms_json_key_lit(&w, "expires_in");
	ms_json_i64(&w, s->tokens.expires_in_s);
	if (s->tokens.scope.n > 0) {
		ms_json_key_lit(&w, "scope"); // a second factor is required and missing
		ms_json_str(&w, s->tokens.scope);
	}
	ms_json_key_lit(&w, "user");
	ms_identity_brief(&w, &s->tokens.user);
	ms_json_end_object(&w);
	ms_buf_fini(&s->access);
	ms_http_send_json(x, 200);
}

static void sign(struct job *job)
{
	struct identity_tokens *s = MS_CONTAINER_OF(job, struct identity_tokens, w.job);
	const struct auth_claims claims = {.user_id = s->tokens.user.id,
					   .username = s->tokens.user.username,
					   .role = s->tokens.user.role,
					   .session = s->tokens.session,
					   .permissions = s->permissions,
					   .scope = s->tokens.scope,
					   .issued_s = s->now_us / 1000000,
					   .expires_s = s->now_us / 1000000 + s->tokens.expires_in_s};
	ms_buf_init(&s->access, MS_JWS_MAX);
	s->w.err = ms_auth_token_sign(s->w.identity->auth, &claims, &s->w.info, &s->access);
	if (s->w.err == MS_OK && !ms_buf_ok(&s->access))
		s->w.err = ms_fail(&s->w.info, MS_ERR_LIMIT,
				   "the token would be too large: this user has too many grants");
}

void ms_identity_send_tokens(struct identity_work *w)
{
	ms_identity_away(w, ms_auth_pool(w->identity->auth), sign, send_tokens);
}

// What the transaction found, in memory that lives until the answer.
enum ms_err ms_identity_keep_tokens(struct identity_tokens *s, struct errinfo *info)
{
	struct slice *texts[] = {&s->tokens.refresh, &s->tokens.session, &s->tokens.scope, &s->permissions};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		if (!ms_identity_keep(&s->w, texts[i]))
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
	}
	return ms_auth_user_copy(&s->tokens.user, s->w.x->arena, info, &s->tokens.user);
}

// --- Signing in ----------------------------------------------------------------------------------------

static enum ms_err begin_session(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct identity_tokens *s = arg;
	struct auth *auth = s->w.identity->auth;
	const struct auth_session session = {
		.address = s->w.x->req.peer, .agent = ms_identity_agent(s->w.x), .methods = s->methods};
	s->now_us = ms_store_now_us(tx);
	s->mfa_token = MS_SLICE_EMPTY;
	// Who showed a second factor, or a passkey that is both, has "mfa" among his methods.
	if (!ms_slice_ends_with(s->methods, MS_SLICE_LIT("mfa"))) {
		MS_TRY(ms_auth_second_step(tx, auth, &s->user, s->methods, s->rehashed, info, &s->factors,
					   &s->mfa_token));
		if (s->mfa_token.n > 0)
			return ms_identity_keep(&s->w, &s->mfa_token)
				       ? MS_OK
				       : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
	}
	MS_TRY(ms_auth_session_begin(tx, auth, &s->w.actor, &s->user, s->rehashed, &session, info, &s->tokens,
				     &s->permissions));
	return ms_identity_keep_tokens(s, info);
}

// The error document of every failure, and what the second step needs.
static void ask_second(struct identity_tokens *s)
{
	struct exchange *x = s->w.x;
	struct json_writer w;
	ms_http_set_header(x, "WWW-Authenticate", MS_SLICE_LIT("Bearer realm=\"mainstay\""));
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "error");
	ms_json_cstr(&w, "a second factor is needed: POST it with the mfa_token to /api/v1/auth/login/mfa");
	ms_json_key_lit(&w, "code");
	ms_json_cstr(&w, ms_err_name(MS_ERR_AUTH_MFA_REQUIRED));
	ms_json_key_lit(&w, "request_id");
	ms_json_str(&w, x->req.id);
	ms_json_key_lit(&w, "mfa_token");
	ms_json_str(&w, s->mfa_token);
	ms_auth_write_methods(&w, &s->factors);
	ms_json_key_lit(&w, "expires_in");
	ms_json_i64(&w, MS_AUTH_MFA_TOKEN_LIFE_US / 1000000);
	ms_json_end_object(&w);
	ms_http_send_json(x, ms_err_http_status(MS_ERR_AUTH_MFA_REQUIRED));
}

static void begun(struct identity_work *w)
{
	struct identity_tokens *s = MS_CONTAINER_OF(w, struct identity_tokens, w);
	if (s->mfa_token.n > 0)
		ask_second(s);
	else
		ms_identity_send_tokens(w);
}

void ms_identity_sign_in(struct identity_tokens *s)
{
	ms_identity_write(&s->w, begin_session, begun, false);
}
