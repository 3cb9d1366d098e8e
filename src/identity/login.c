// SPDX-License-Identifier: Apache-2.0
// Signing in and out, tokens, and one's own account.
#include "identity/private.h"

#define NS_PER_US 1000

// --- Login -------------------------------------------------------------------------------------------

struct login_work {
	struct identity_tokens t;
	struct auth_attempt attempt;
};

static void attempted(struct auth_attempt *attempt, void *arg)
{
	struct login_work *s = MS_CONTAINER_OF((struct identity_work *)arg, struct login_work, t.w);
	struct identity_tokens *t = &s->t;
	t->w.err = attempt->err;
	if (attempt->err == MS_OK) {
		t->user = attempt->user;
		t->rehashed = attempt->rehashed;
		t->methods = MS_SLICE_LIT("pwd");
		ms_identity_sign_in(t);
		return;
	}
	t->w.info = attempt->info;
	t->w.retry_after_s = attempt->retry_after_s;
	ms_identity_fail(&t->w);
}

static void login(struct exchange *x, void *role)
{
	struct login_work *s = MS_IDENTITY_BEGIN(x, role, struct login_work);
	if (s == NULL)
		return;
	const struct identity_field fields[] = {
		{.name = "username", .kind = FIELD_TEXT, .required = true, .to = &s->attempt.identifier},
		{.name = "password", .kind = FIELD_TEXT, .required = true, .to = &s->attempt.password},
	};
	if (ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		ms_identity_try_password(&s->t.w, &s->attempt, attempted);
}

struct second_work {
	struct identity_tokens t;
	struct auth_proof proof;
	struct slice method;
};

static void proved(struct auth_proof *proof, void *arg)
{
	struct second_work *s = arg;
	struct identity_tokens *t = &s->t;
	t->w.err = proof->err;
	if (proof->err == MS_OK) {
		t->user = proof->user;
		t->methods = proof->methods;
		ms_identity_sign_in(t);
		return;
	}
	t->w.info = proof->info;
	t->w.retry_after_s = proof->retry_after_s;
	ms_identity_fail(&t->w);
}

static void prove(struct second_work *s)
{
	struct exchange *x = s->t.w.x;
	s->proof.address = x->req.peer;
	s->proof.request_id = x->req.id;
	s->proof.arena = x->arena;
	s->proof.done = proved;
	s->proof.arg = s;
	ms_auth_prove(s->t.w.identity->auth, x->loop, &s->proof);
}

static void login_second(struct exchange *x, void *role)
{
	struct second_work *s = MS_IDENTITY_BEGIN(x, role, struct second_work);
	if (s == NULL)
		return;
	const struct identity_field fields[] = {
		{.name = "mfa_token", .kind = FIELD_TEXT, .required = true, .to = &s->proof.token},
		{.name = "method", .kind = FIELD_TEXT, .required = true, .to = &s->method},
		{.name = "code", .kind = FIELD_TEXT, .to = &s->proof.code},
		{.name = "assertion", .kind = FIELD_VALUE, .to = &s->proof.assertion},
	};
	if (!ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		return;
	if (!ms_auth_factor_find(s->method, &s->proof.method))
		ms_http_fail_code(x, MS_ERR_INVALID, "method must be totp, webauthn or recovery");
	else if (s->proof.method == AUTH_FACTOR_PASSKEY ? s->proof.assertion == NULL : s->proof.code.n == 0)
		ms_http_fail_code(x, MS_ERR_INVALID, "webauthn needs an assertion, the other methods need a code");
	else
		prove(s);
}

// A passkey alone: no name, no password.
static void login_passkey(struct exchange *x, void *role)
{
	struct second_work *s = MS_IDENTITY_BEGIN(x, role, struct second_work);
	if (s == NULL)
		return;
	const struct identity_field fields[] = {
		{.name = "credential", .kind = FIELD_VALUE, .required = true, .to = &s->proof.assertion},
	};
	s->proof.method = AUTH_FACTOR_PASSKEY;
	if (ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		prove(s);
}

// --- Refresh -----------------------------------------------------------------------------------------

static enum ms_err rotate(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct identity_tokens *s = arg;
	s->now_us = ms_store_now_us(tx);
	MS_TRY(ms_auth_session_refresh(tx, s->w.identity->auth, &s->w.actor, s->refresh, MS_SLICE_LIT(""), info,
				       &s->reused, &s->tokens, &s->permissions));
	return s->reused ? MS_OK : ms_identity_keep_tokens(s, info);
}

static void refuse_reused(void *arg)
{
	struct identity_tokens *s = arg;
	s->w.err = ms_fail(
		&s->w.info, MS_ERR_TOKEN_REVOKED,
		"this refresh token was used before, so somebody copied it: its session was ended, sign in again");
	ms_identity_fail(&s->w);
}

static void rotated(struct identity_work *w)
{
	struct identity_tokens *s = MS_CONTAINER_OF(w, struct identity_tokens, w);
	if (s->reused)
		ms_auth_settle(w->identity->auth, &w->settle, w->x->loop, refuse_reused, s);
	else
		ms_identity_send_tokens(w);
}

static enum ms_err look(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct identity_tokens *s = arg;
	return ms_auth_session_knows(tx, s->refresh, info);
}

static void looked(struct identity_work *w)
{
	ms_identity_write(w, rotate, rotated, false);
}

static void refresh(struct exchange *x, void *role)
{
	struct identity_tokens *s = MS_IDENTITY_BEGIN(x, role, struct identity_tokens);
	if (s == NULL)
		return;
	const struct identity_field fields[] = {
		{.name = "refresh_token", .kind = FIELD_TEXT, .required = true, .to = &s->refresh}};
	if (ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		ms_identity_read(&s->w, look, looked);
}

// --- Validate ----------------------------------------------------------------------------------------

static void send_invalid(struct exchange *x, const struct errinfo *info)
{
	const char *reason = info->code == MS_ERR_TOKEN_EXPIRED   ? "expired"
			     : info->code == MS_ERR_TOKEN_REVOKED ? "revoked"
								  : "invalid";
	struct json_writer w;
	ms_http_set_header(x, "WWW-Authenticate", MS_SLICE_LIT("Bearer realm=\"mainstay\", error=\"invalid_token\""));
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "valid");
	ms_json_bool(&w, false);
	ms_json_key_lit(&w, "reason");
	ms_json_cstr(&w, reason);
	ms_json_key_lit(&w, "error");
	ms_json_cstr(&w, info->message);
	ms_json_key_lit(&w, "code");
	ms_json_cstr(&w, ms_err_name(info->code));
	ms_json_key_lit(&w, "request_id");
	ms_json_str(&w, x->req.id);
	ms_json_end_object(&w);
	ms_http_send_json(x, 401);
}

static void write_kind(struct json_writer *w, enum caller_kind kind)
{
	static const char *const names[] = {"unknown", "user", "key", "client"};
	MS_ASSERT((size_t)kind < MS_ARRAY_LEN(names));
	ms_json_key_lit(w, "kind");
	ms_json_cstr(w, names[kind]);
}

static void write_permissions(struct json_writer *w, const struct grants *grants)
{
	struct buf text;
	ms_buf_init(&text, (size_t)1 << 20);
	ms_grants_write(grants, &text);
	ms_json_key_lit(w, "permissions");
	if (ms_buf_ok(&text))
		ms_json_raw(w, ms_buf_slice(&text));
	else
		ms_json_null(w);
	ms_buf_fini(&text);
}

static void send_valid(struct exchange *x, const struct auth_worth *worth)
{
	struct json_writer w;
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "valid");
	ms_json_bool(&w, true);
	write_kind(&w, worth->kind);
	ms_json_member_text(&w, "user_id", worth->user_id);
	ms_json_member_text(&w, worth->kind == CALLER_USER ? "username" : "name", worth->name);
	ms_json_member_text(&w, "role", worth->role);
	write_permissions(&w, worth->grants);
	ms_json_member_text(&w, "session_id", worth->session);
	ms_json_member_time(&w, "issued_at", worth->issued_s * 1000000);
	ms_json_member_time(&w, "expires_at", worth->expires_s * 1000000);
	ms_json_end_object(&w);
	ms_http_send_json(x, 200);
}

static void validate(struct exchange *x, void *role)
{
	struct identity *identity = role;
	struct slice token;
	struct auth_worth worth;
	struct errinfo info;
	const struct identity_field fields[] = {{.name = "token", .kind = FIELD_TEXT, .required = true, .to = &token}};
	ms_errinfo_init(&info);
	ms_http_set_header(x, "Cache-Control", MS_SLICE_LIT("no-store"));
	if (!ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		return;
	if (ms_auth_validate(identity->auth, x->loop, token, x->arena, &info, &worth) == MS_OK)
		send_valid(x, &worth);
	else
		send_invalid(x, &info);
}

// --- Logout, sessions --------------------------------------------------------------------------------

struct session_work {
	struct identity_work w;
	struct slice user_id, session;
	bool all;
	size_t limit;
	struct slice cursor;
	struct auth_session *sessions;
	size_t count;
};

static enum ms_err end_session(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct session_work *s = arg;
	struct auth *auth = s->w.identity->auth;
	size_t ended;
	if (s->all)
		return ms_auth_session_end_all(tx, auth, &s->w.actor, s->user_id, MS_SLICE_EMPTY, AUTH_LOGOUT, info,
					       &ended);
	bool own = ms_slice_eq(s->session, s->w.actor.session);
	return ms_auth_session_end(tx, auth, &s->w.actor, s->user_id, s->session,
				   own ? AUTH_LOGOUT : AUTH_SESSION_ENDED, info);
}

static void logout(struct exchange *x, void *role)
{
	struct session_work *s = MS_IDENTITY_BEGIN(x, role, struct session_work);
	if (s == NULL || !ms_identity_own(x, &s->user_id))
		return;
	const struct identity_field fields[] = {{.name = "all", .kind = FIELD_FLAG, .to = &s->all}};
	if (!ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		return;
	s->session = s->w.actor.session;
	if (!s->all && s->session.n == 0)
		ms_http_fail_code(x, MS_ERR_INVALID,
				  "the caller has no session: an API key is revoked instead; {\"all\":true} ends all "
				  "sessions of its user");
	else
		ms_identity_write(&s->w, end_session, ms_identity_send_nothing, true);
}

static void session_end(struct exchange *x, void *role)
{
	struct session_work *s = MS_IDENTITY_BEGIN(x, role, struct session_work);
	if (s == NULL || !ms_identity_own(x, &s->user_id))
		return;
	s->session = x->req.params[0];
	ms_identity_write(&s->w, end_session, ms_identity_send_nothing, true);
}

static enum ms_err read_sessions(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct session_work *s = arg;
	struct auth_session *found;
	MS_TRY(ms_auth_session_list(tx, s->user_id, s->cursor, s->limit, info, &found, &s->count));
	s->sessions = MS_ARENA_ARRAY(s->w.x->arena, struct auth_session, s->count);
	bool ok = s->sessions != NULL;
	for (size_t i = 0; ok && i < s->count; i++) {
		s->sessions[i] = found[i];
		struct auth_session *one = &s->sessions[i];
		ok = ms_identity_keep(&s->w, &one->id) && ms_identity_keep(&s->w, &one->client_id) &&
		     ms_identity_keep(&s->w, &one->address) && ms_identity_keep(&s->w, &one->agent) &&
		     ms_identity_keep(&s->w, &one->methods);
	}
	return ok ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
}

static void send_sessions(struct identity_work *work)
{
	struct session_work *s = MS_CONTAINER_OF(work, struct session_work, w);
	struct json_writer w;
	ms_json_writer_init(&w, work->x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "sessions");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < s->count; i++) {
		const struct auth_session *one = &s->sessions[i];
		ms_json_begin_object(&w);
		ms_json_key_lit(&w, "id");
		ms_json_str(&w, one->id);
		ms_json_key_lit(&w, "current");
		ms_json_bool(&w, ms_slice_eq(one->id, work->actor.session));
		ms_json_member_text(&w, "client_id", one->client_id);
		ms_json_member_text(&w, "address", one->address);
		ms_json_member_text(&w, "agent", one->agent);
		ms_json_member_text(&w, "methods", one->methods);
		ms_json_member_time(&w, "created_at", one->created_us);
		ms_json_member_time(&w, "used_at", one->used_us);
		ms_json_member_time(&w, "expires_at", one->expires_us);
		ms_json_end_object(&w);
	}
	ms_json_end_array(&w);
	ms_json_member_text(&w, "next_cursor", s->count == s->limit ? s->sessions[s->count - 1].id : MS_SLICE_EMPTY);
	ms_json_end_object(&w);
	ms_http_send_json(work->x, 200);
}

static void sessions(struct exchange *x, void *role)
{
	struct session_work *s = MS_IDENTITY_BEGIN(x, role, struct session_work);
	if (s != NULL && ms_identity_own(x, &s->user_id) && ms_identity_page(x, &s->limit, &s->cursor))
		ms_identity_read(&s->w, read_sessions, send_sessions);
}

// --- Me ----------------------------------------------------------------------------------------------

struct me_work {
	struct identity_work w;
	struct slice user_id;
	struct auth_user user;
};

static enum ms_err read_me(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct me_work *s = arg;
	MS_TRY(ms_auth_user_get(tx, s->user_id, info, &s->user));
	return ms_auth_user_copy(&s->user, s->w.x->arena, info, &s->user);
}

static void send_me(struct identity_work *work)
{
	struct me_work *s = MS_CONTAINER_OF(work, struct me_work, w);
	struct json_writer w;
	ms_json_writer_init(&w, work->x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "id");
	ms_json_str(&w, s->user.id);
	ms_json_key_lit(&w, "username");
	ms_json_str(&w, s->user.username);
	ms_json_member_text(&w, "email", s->user.email);
	ms_json_member_text(&w, "display_name", s->user.display_name);
	ms_json_key_lit(&w, "role");
	ms_json_str(&w, s->user.role);
	ms_json_key_lit(&w, "has_password");
	ms_json_bool(&w, s->user.has_password);
	write_kind(&w, work->x->caller.kind);
	ms_json_member_text(&w, "session_id", work->actor.session);
	write_permissions(&w, work->authority.limit);
	ms_json_end_object(&w);
	ms_http_send_json(work->x, 200);
}

static void me(struct exchange *x, void *role)
{
	struct me_work *s = MS_IDENTITY_BEGIN(x, role, struct me_work);
	if (s != NULL && ms_identity_own(x, &s->user_id))
		ms_identity_read(&s->w, read_me, send_me);
}

// --- Password, register ------------------------------------------------------------------------------

struct password_work {
	struct identity_work w;
	struct auth_attempt attempt;
	struct slice user_id, password, stored;
	struct slice username, email, display_name; // of a registration
	struct auth_user user;
};

static void hash_new(struct job *job)
{
	struct password_work *s = MS_CONTAINER_OF(job, struct password_work, w.job);
	s->w.err = ms_auth_password_hash(s->w.identity->auth, s->password, s->w.x->arena, &s->w.info, &s->stored);
}

static enum ms_err change_password(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct password_work *s = arg;
	const struct auth_authority own = {.by = &s->w.actor}; // one's own password needs no other permission
	const struct auth_user_fields fields = {.password = s->stored};
	struct auth_user user;
	MS_TRY(ms_auth_user_get(tx, s->user_id, info, &user));
	// The current password was checked before this transaction began.
	if (user.password_changed_us != s->attempt.user.password_changed_us)
		return ms_fail(info, MS_ERR_CONFLICT, "the password was changed meanwhile");
	return ms_auth_user_change(tx, s->w.identity->auth, &own, s->user_id, &fields, s->w.actor.session, info, &user);
}

static void hashed_change(struct job *job)
{
	struct password_work *s = MS_CONTAINER_OF(job, struct password_work, w.job);
	if (s->w.err != MS_OK)
		ms_identity_fail(&s->w);
	else if (ms_identity_still_may(&s->w))
		ms_identity_write(&s->w, change_password, ms_identity_send_nothing, true);
}

static void current_checked(struct auth_attempt *attempt, void *arg)
{
	struct password_work *s = arg;
	struct identity_work *w = &s->w;
	w->err = attempt->err;
	w->info = attempt->info;
	w->retry_after_s = attempt->retry_after_s;
	if (w->err == MS_ERR_AUTH_CREDENTIALS) {
		// Not 401: the caller is who he says, and a client would drop his token.
		w->err = ms_fail(&w->info, MS_ERR_AUTH_PASSWORD, "the current password is wrong");
		ms_errinfo_set_field(&w->info, MS_SLICE_LIT("current_password"));
	}
	if (w->err == MS_OK)
		w->err = ms_auth_password_check(w->identity->auth, s->password, attempt->user.username,
						attempt->user.email, &w->info);
	if (w->err == MS_OK && ms_slice_eq(s->password, attempt->password)) {
		w->err = ms_fail(&w->info, MS_ERR_AUTH_PASSWORD, "the new password is the current one");
		ms_errinfo_set_field(&w->info, MS_SLICE_LIT("password"));
	}
	if (w->err != MS_OK)
		ms_identity_fail(w);
	else
		ms_identity_away(w, ms_auth_password_pool(w->identity->auth), hash_new, hashed_change);
}

static void password(struct exchange *x, void *role)
{
	struct password_work *s = MS_IDENTITY_BEGIN(x, role, struct password_work);
	if (s == NULL || !ms_identity_own(x, &s->user_id))
		return;
	const struct identity_field fields[] = {
		{.name = "current_password", .kind = FIELD_TEXT, .required = true, .to = &s->attempt.password},
		{.name = "password", .kind = FIELD_TEXT, .required = true, .to = &s->password},
	};
	if (!ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		return;
	s->attempt.user_id = s->user_id;
	ms_identity_try_password(&s->w, &s->attempt, current_checked);
}

static enum ms_err register_user(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct password_work *s = arg;
	const struct auth_authority house = {.by = &s->w.actor}; // the role is the setting's
	const struct auth_user_fields fields = {.username = s->username,
						.email = s->email,
						.display_name = s->display_name,
						.role = ms_slice_cstr(s->w.identity->options.registration_role),
						.password = s->stored};
	MS_TRY(ms_auth_user_add(tx, s->w.identity->auth, &house, &fields, info, &s->user));
	return ms_auth_user_copy(&s->user, s->w.x->arena, info, &s->user);
}

static void send_registered(struct identity_work *work)
{
	struct password_work *s = MS_CONTAINER_OF(work, struct password_work, w);
	struct json_writer w;
	ms_json_writer_init(&w, work->x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "user");
	ms_identity_brief(&w, &s->user);
	ms_json_end_object(&w);
	ms_http_send_json(work->x, 201);
}

static void hashed_registration(struct job *job)
{
	struct password_work *s = MS_CONTAINER_OF(job, struct password_work, w.job);
	if (s->w.err != MS_OK)
		ms_identity_fail(&s->w);
	else
		ms_identity_write(&s->w, register_user, send_registered, false);
}

static void register_handler(struct exchange *x, void *role)
{
	struct password_work *s = MS_IDENTITY_BEGIN(x, role, struct password_work);
	if (s == NULL)
		return;
	struct identity_work *w = &s->w;
	const struct identity_field fields[] = {
		{.name = "username", .kind = FIELD_TEXT, .required = true, .to = &s->username},
		{.name = "password", .kind = FIELD_TEXT, .required = true, .to = &s->password},
		{.name = "email", .kind = FIELD_TEXT, .nullable = true, .to = &s->email},
		{.name = "display_name", .kind = FIELD_TEXT, .nullable = true, .to = &s->display_name},
	};
	if (!w->identity->options.registration) {
		ms_http_fail_code(
			x, MS_ERR_FORBIDDEN,
			"registration is closed (setting identity.registration): ask an administrator for an account");
		return;
	}
	if (!ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		return;
	w->err = ms_auth_password_check(w->identity->auth, s->password, s->username, s->email, &w->info);
	if (w->err == MS_OK)
		w->err = ms_auth_slow_down(w->identity->auth, "register", x->req.peer, &w->info, &w->retry_after_s);
	if (w->err != MS_OK)
		ms_identity_fail(w);
	else
		ms_identity_away(w, ms_auth_password_pool(w->identity->auth), hash_new, hashed_registration);
}

// --- Routes ------------------------------------------------------------------------------------------

#define TEXT(name) "\"" name "\":{\"type\":\"string\"}"
#define TEXT_OR_NULL(name) "\"" name "\":{\"type\":[\"string\",\"null\"]}"
#define FLAG(name) "\"" name "\":{\"type\":\"boolean\"}"
#define TIME(name) "\"" name "\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define CLOSED "{\"type\":\"object\",\"additionalProperties\":false,"
#define LIST_OF_TEXT(name) "\"" name "\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"
#define USER_BRIEF                                                                                               \
	"{\"type\":\"object\",\"required\":[\"id\",\"username\",\"role\"],\"properties\":{" TEXT("id") "," TEXT( \
		"username") "," TEXT("role") "}}"

#define LOGIN_REQUEST                                                                                        \
	CLOSED "\"required\":[\"username\",\"password\"],\"properties\":{\"username\":{\"type\":\"string\"," \
	       "\"description\":\"Username or e-mail address\"},\"password\":{\"type\":\"string\"}}}"
#define TOKENS                                                                                                        \
	"{\"type\":\"object\",\"required\":[\"token\",\"refresh_token\",\"token_type\",\"expires_in\",\"user\"],"     \
	"\"properties\":{\"token\":{\"type\":\"string\",\"description\":\"Access token (JWT): Authorization: Bearer " \
	"…\"},"                                                                                                     \
	"\"refresh_token\":{\"type\":\"string\",\"description\":\"Used once, for the next pair\"}," TEXT(             \
		"token_type") "," TEXT("scope") ",\"expires_in\":{\"type\":\"integer\",\"description\":\"Seconds\"}," \
						"\"user\":" USER_BRIEF "}}"
#define SECOND_REQUEST                                                                          \
	CLOSED "\"required\":[\"mfa_token\",\"method\"],\"properties\":{" TEXT(                 \
		"mfa_token") ",\"method\":{\"type\":"                                           \
			     "\"string\",\"enum\":[\"totp\",\"recovery\",\"webauthn\"]}," TEXT( \
				     "code") ",\"assertion\":{\"type\":"                        \
					     "\"object\",\"description\":\"AuthenticationResponseJSON\"}}}"
#define VALIDATE_ANSWER                                                                                                                                                            \
	"{\"type\":\"object\",\"required\":[\"valid\"],\"properties\":{" FLAG("valid") "," TEXT("kind") "," TEXT_OR_NULL("user_id") "," TEXT_OR_NULL("username") "," TEXT_OR_NULL( \
		"name") "," TEXT_OR_NULL("role") "," LIST_OF_TEXT("permissions") "," TEXT_OR_NULL("session_id") "," TIME("issued_at") "," TIME("expires_at") "}}"
#define SESSIONS_ANSWER                                                                                                                                    \
	"{\"type\":\"object\",\"required\":[\"sessions\",\"next_cursor\"],\"properties\":{\"sessions\":{\"type\":"                                         \
	"\"array\",\"items\":"                                                                                                                             \
	"{\"type\":\"object\",\"properties\":{" TEXT("id") "," FLAG("current") "," TEXT_OR_NULL("client_id") "," TEXT_OR_NULL("address") "," TEXT_OR_NULL( \
		"agent") "," TEXT_OR_NULL("methods") "," TIME("created_at") "," TIME("used_at") "," TIME("expires_at") "}}}," TEXT_OR_NULL("next_cursor") "}}"
#define ME_ANSWER                                                                                                                                             \
	"{\"type\":\"object\",\"required\":[\"id\",\"username\",\"role\",\"permissions\"],\"properties\":{" TEXT("id") "," TEXT("username") "," TEXT_OR_NULL( \
		"email") "," TEXT_OR_NULL("display_name") "," TEXT("role") "," FLAG("has_password") "," TEXT("kind") "," TEXT_OR_NULL("session_"              \
																      "id") "," LIST_OF_TEXT("permissions") "}}"

#define PATH "/api/v1/auth/"
#define ROW(verb, path, fn, id, text) \
	.method = verb, .pattern = PATH path, .handle = fn, .operation_id = id, .tag = "sign-in", .summary = text

static const struct route routes[] = {
	{ROW(HTTP_POST, "login", login, "login", "Sign in with a password"), .flags = ROUTE_PUBLIC,
	 .description =
		 "Answers 401 `auth.credentials` alike for unknown users, disabled users and wrong passwords; 429 with "
		 "`Retry-After` after failures, growing with each. Of a user with a second factor: 401 "
		 "`auth.mfa_required` with "
		 "`mfa_token` and `methods` (`totp`, `webauthn`, `recovery`), for `login/mfa`.",
	 .request_type = IDENTITY_JSON, .request_schema = LOGIN_REQUEST,
	 .request_example = "{\"username\":\"ada\",\"password\":\"correct horse battery staple\"}",
	 .response_schema = TOKENS},
	{ROW(HTTP_POST, "login/mfa", login_second, "login_mfa", "The second step of a sign-in"), .flags = ROUTE_PUBLIC,
	 .description = "`mfa_token` and `methods` come with the 401 `auth.mfa_required` of the first step; the token "
			"works for five minutes and for "
			"one success. Wrong codes are counted apart from wrong passwords: 429 with `Retry-After`.",
	 .request_type = IDENTITY_JSON, .request_schema = SECOND_REQUEST,
	 .request_example = "{\"mfa_token\":\"AT2v…\",\"method\":\"totp\",\"code\":\"492039\"}",
	 .response_schema = TOKENS},
	{ROW(HTTP_POST, "webauthn/login/finish", login_passkey, "webauthn_login_finish",
	     "Sign in with a passkey alone"),
	 .flags = ROUTE_PUBLIC,
	 .description = "`credential` is AuthenticationResponseJSON for the options of `webauthn/login/begin`. The "
			"passkey must have verified its "
			"user: it counts as two factors.",
	 .request_type = IDENTITY_JSON,
	 .request_schema =
		 CLOSED "\"required\":[\"credential\"],\"properties\":{\"credential\":{\"type\":\"object\"}}}",
	 .response_schema = TOKENS},
	{ROW(HTTP_POST, "refresh", refresh, "refresh", "Exchange a refresh token for the next pair of tokens"),
	 .flags = ROUTE_PUBLIC,
	 .description = "Each refresh token works once; the same one again within the grace (`identity.refresh_grace`) "
			"gets the same successor "
			"while that was not used. Any other second use ends the session.",
	 .request_type = IDENTITY_JSON,
	 .request_schema = CLOSED "\"required\":[\"refresh_token\"],\"properties\":{" TEXT("refresh_token") "}}",
	 .request_example = "{\"refresh_token\":\"msr_…\"}", .response_schema = TOKENS},
	{ROW(HTTP_POST, "validate", validate, "validate", "What a token or API key is worth now"),
	 .flags = ROUTE_PUBLIC,
	 .description = "401 with `valid: false` and `reason` (`expired`, `invalid` or `revoked`) for one that is "
			"worth nothing.",
	 .request_type = IDENTITY_JSON,
	 .request_schema = CLOSED "\"required\":[\"token\"],\"properties\":{" TEXT("token") "}}",
	 .request_example = "{\"token\":\"eyJ…\"}", .response_schema = VALIDATE_ANSWER},
	{ROW(HTTP_POST, "logout", logout, "logout", "End this session, or all of one's own"), .permission = "self",
	 .request_type = IDENTITY_JSON, .request_schema = CLOSED "\"properties\":{" FLAG("all") "}}",
	 .request_example = "{\"all\":true}"},
	{ROW(HTTP_POST, "register", register_handler, "register", "Make oneself an account, where that is open"),
	 .flags = ROUTE_PUBLIC, .request_type = IDENTITY_JSON,
	 .request_schema = CLOSED "\"required\":[\"username\",\"password\"],\"properties\":{" TEXT("username") "," TEXT(
		 "password") "," TEXT_OR_NULL("email") "," TEXT_OR_NULL("display_name") "}}",
	 .request_example =
		 "{\"username\":\"ada\",\"password\":\"correct horse battery staple\",\"email\":\"ada@example.org\"}",
	 .response_schema = "{\"type\":\"object\",\"required\":[\"user\"],\"properties\":{\"user\":" USER_BRIEF "}}"},
	{ROW(HTTP_POST, "password", password, "change_password", "Change one's own password; ends the other sessions"),
	 .permission = "self", .request_type = IDENTITY_JSON,
	 .request_schema = CLOSED "\"required\":[\"current_password\",\"password\"],\"properties\":{" TEXT(
		 "current_password") "," TEXT("password") "}}",
	 .request_example =
		 "{\"current_password\":\"correct horse battery staple\",\"password\":\"seven quiet rivers bend\"}"},
	{ROW(HTTP_GET, "sessions", sessions, "list_sessions", "One's own open sessions, newest first"),
	 .permission = "self", .query = ms_identity_page_params, .response_schema = SESSIONS_ANSWER},
	{ROW(HTTP_DELETE, "sessions/{session}", session_end, "end_session", "End one of one's own sessions"),
	 .permission = "self"},
	{ROW(HTTP_GET, "me", me, "me", "Who the caller is, and what he may do"), .permission = "self",
	 .response_schema = ME_ANSWER},
};

struct identity_table ms_identity_login_table(void)
{
	return (struct identity_table){.routes = routes, .count = MS_ARRAY_LEN(routes)};
}
