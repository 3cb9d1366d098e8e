// SPDX-License-Identifier: Apache-2.0
// The endpoints that programs call: token, device authorization, introspection (RFC 7662), revocation (RFC 7009).
#include "identity/oauth.h"

// --- Errors ------------------------------------------------------------------------------------------

void ms_oauth_send_error(struct exchange *x, int status, const char *error, const char *description)
{
	struct json_writer w;
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "error");
	ms_json_cstr(&w, error);
	ms_json_key_lit(&w, "error_description");
	ms_json_cstr(&w, description);
	ms_json_end_object(&w);
	ms_http_send_json(x, status);
}

// A client's own tokens are recorded behind the answer. None is given out faster than that can be written.
static void send_behind(struct exchange *x)
{
	ms_http_set_header(x, "Retry-After", MS_SLICE_LIT("1"));
	ms_oauth_send_error(x, 503, "temporarily_unavailable",
			    "tokens are asked for faster than they can be recorded: try again in a second");
}

// Strangers can have themselves refused: not each of them is recorded.
static void record_client_refusal(struct exchange *x, const struct identity *identity,
				  const struct oauth_refusal *refusal, struct slice client_id)
{
	char target[80], details[100];
	uint64_t unrecorded;
	if (!ms_auth_may_record(identity->auth, &unrecorded))
		return;
	struct slice shown = ms_slice_sub(client_id, 0, MS_AUTH_ID_SIZE - 1);
	for (size_t i = 0; i < shown.n; i++) {
		if (shown.p[i] <= 0x20 || shown.p[i] > 0x7e)
			shown = MS_SLICE_LIT("?");
	}
	int n = snprintf(target, sizeof(target), "client:%.*s", MS_SLICE_ARG(shown));
	int m = snprintf(details, sizeof(details), "{\"error\":\"%s\",\"unrecorded\":%llu}", refusal->error,
			 (unsigned long long)unrecorded);
	bool unproven = strcmp(refusal->error, "invalid_client") == 0;
	ms_audit_later(identity->auth,
		       &(struct audit_entry){.event = unproven ? AUTH_CLIENT_REFUSED : AUTH_GRANT_REFUSED,
					     .outcome = AUDIT_REFUSED,
					     .actor = {.address = x->req.peer, .request_id = x->req.id},
					     .target = ms_slice(target, (size_t)n),
					     .details = ms_slice(details, (size_t)m)});
}

void ms_oauth_send_refusal(struct exchange *x, const struct oauth_refusal *refusal, bool basic)
{
	bool unproven = strcmp(refusal->error, "invalid_client") == 0;
	if (unproven)
		ms_http_set_header(x, "WWW-Authenticate",
				   basic ? MS_SLICE_LIT("Basic realm=\"mainstay\", charset=\"UTF-8\"")
					 : MS_SLICE_LIT("Basic realm=\"mainstay\", error=\"invalid_client\""));
	ms_oauth_send_error(x, unproven ? 401 : 400, refusal->error, refusal->description);
}

void ms_oauth_send_failure(struct identity_work *w)
{
	int status = ms_err_http_status(w->err);
	bool busy = status == 503 || status == 429;
	ms_oauth_send_error(w->x, status >= 500 || status == 429 ? status : 500,
			    busy ? "temporarily_unavailable" : "server_error",
			    busy ? "the service is busy: try again in a moment" : "the service failed");
}

// --- Who the client says it is -----------------------------------------------------------------------

// RFC 6749, section 2.3.1: both parts are encoded as in forms before they are joined and encoded again.
static bool read_basic(struct exchange *x, struct slice header, struct oauth_credentials *credentials)
{
	struct slice text, word = ms_slice_sub(header, 0, ms_slice_find(header, ' '));
	struct form parts;
	if (!ms_slice_eq_nocase(word, MS_SLICE_LIT("Basic")) ||
	    !ms_base64_decode(ms_slice_trim(ms_slice_sub(header, word.n, SIZE_MAX)), x->arena, &text))
		return false;
	size_t colon = ms_slice_find(text, ':');
	char *joined = ms_arena_printf(x->arena, "i=%.*s&s=%.*s", (int)colon, text.p,
				       (int)(text.n - MS_MIN(colon + 1, text.n)), text.p + MS_MIN(colon + 1, text.n));
	if (colon == text.n || text.n > 1000 || joined == NULL ||
	    !ms_form_read(x->arena, ms_slice_cstr(joined), &parts) || parts.count != 2)
		return false;
	credentials->id = parts.pairs[0].value;
	credentials->secret = parts.pairs[1].value;
	return credentials->id.n > 0;
}

static bool is_assertion(const struct form *form)
{
	return ms_slice_eq_cstr(ms_form_get(form, "client_assertion_type"),
				"urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
}

// The issuer of an assertion is the client (RFC 7523, section 3), before anything of it is believed.
static struct slice issuer_of(struct slice assertion, struct arena *arena)
{
	struct slice rest = assertion, part, payload, iss = MS_SLICE_EMPTY;
	const struct json_value *claims;
	struct errinfo ignored;
	ms_errinfo_init(&ignored);
	bool good = ms_slice_next(&rest, '.', &part) && ms_slice_next(&rest, '.', &part) &&
		    ms_base64url_decode(part, arena, &payload) &&
		    ms_json_parse(payload, NULL, arena, &ignored, &claims) == MS_OK && claims->type == JSON_OBJECT;
	return good && ms_json_as_str(ms_json_get(claims, "iss"), &iss) ? iss : MS_SLICE_EMPTY;
}

bool ms_oauth_credentials_read(struct exchange *x, const struct form *form, struct oauth_credentials *ret_credentials,
			       bool *ret_basic)
{
	struct slice header = ms_http_header(&x->req, "Authorization"), id = ms_form_get(form, "client_id");
	struct oauth_credentials c = {.id = id,
				      .secret = ms_form_get(form, "client_secret"),
				      .assertion = ms_form_get(form, "client_assertion")};
	struct oauth_refusal refusal = {0};
	size_t ways = (size_t)(header.p != NULL) + (c.secret.p != NULL) + (c.assertion.p != NULL);
	*ret_basic = header.p != NULL;
	if (ways > 1)
		ms_oauth_refuse(&refusal, "invalid_request", "the client proves in more than one way who it is");
	else if (header.p != NULL && (!read_basic(x, header, &c) || (id.p != NULL && !ms_slice_eq(id, c.id))))
		ms_oauth_refuse(
			&refusal, "invalid_client",
			"the Authorization header holds no client id and secret, or another client's than client_id");
	else if (c.assertion.p != NULL && !is_assertion(form))
		ms_oauth_refuse(&refusal, "invalid_client", "client_assertion_type is missing or unknown");
	else if (c.assertion.p != NULL && c.id.p == NULL)
		c.id = issuer_of(c.assertion, x->arena);
	if (refusal.error == NULL && c.id.n == 0)
		ms_oauth_refuse(&refusal, "invalid_client", "client_id is missing");
	*ret_credentials = c;
	if (refusal.error == NULL)
		return true;
	ms_oauth_send_refusal(x, &refusal, *ret_basic);
	return false;
}

// --- Token -------------------------------------------------------------------------------------------

struct token_work {
	struct identity_work w;
	struct oauth_asked asked;
	struct oauth_refusal refusal;
	struct oauth_issue issue;
	bool basic, ends;
	struct buf access, id_token;
};

static struct token_work *token_work_of(struct identity_work *w)
{
	return MS_CONTAINER_OF(w, struct token_work, w);
}

static void record_client_grant(struct token_work *s)
{
	const struct auth_claims *claims = &s->issue.claims;
	char *target = ms_arena_printf(s->w.x->arena, "client:%.*s", MS_SLICE_ARG(claims->client_id));
	char *details = ms_arena_printf(s->w.x->arena, "{\"grant\":\"client_credentials\",\"scope\":\"%.*s\"}",
					MS_SLICE_ARG(s->issue.scope));
	if (target == NULL || details == NULL)
		return;
	ms_audit_later(s->w.identity->auth, &(struct audit_entry){.event = AUTH_GRANT_ISSUED,
								  .actor = {.kind = CALLER_CLIENT,
									    .id = claims->client_id,
									    .name = claims->username,
									    .address = s->w.x->req.peer,
									    .request_id = s->w.x->req.id},
								  .target = ms_slice_cstr(target),
								  .details = ms_slice_cstr(details)});
}

static void write_tokens(struct token_work *s)
{
	struct json_writer w;
	ms_json_writer_init(&w, s->w.x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "access_token");
	ms_json_str(&w, ms_buf_slice(&s->access));
	ms_json_key_lit(&w, "token_type");
	ms_json_cstr(&w, "Bearer");
	ms_json_key_lit(&w, "expires_in");
	ms_json_i64(&w, s->issue.expires_in_s);
	ms_json_key_lit(&w, "scope");
	ms_json_str(&w, s->issue.scope);
	if (s->issue.refresh.n > 0) {
		ms_json_key_lit(&w, "refresh_token");
		ms_json_str(&w, s->issue.refresh);
	}
	if (s->id_token.n > 0) {
		ms_json_key_lit(&w, "id_token");
		ms_json_str(&w, ms_buf_slice(&s->id_token));
	}
	ms_json_end_object(&w);
}

static void send_tokens(struct job *job)
{
	struct token_work *s = MS_CONTAINER_OF(job, struct token_work, w.job);
	if (s->w.err == MS_OK)
		write_tokens(s);
	ms_buf_fini(&s->access);
	ms_buf_fini(&s->id_token);
	if (s->w.err != MS_OK) {
		ms_identity_fail(&s->w);
		return;
	}
	if (s->asked.type == OAUTH_CLIENT)
		record_client_grant(s);
	ms_http_set_header(s->w.x, "Pragma", MS_SLICE_LIT("no-cache"));
	ms_http_send_json(s->w.x, 200);
}

static void sign(struct job *job)
{
	struct token_work *s = MS_CONTAINER_OF(job, struct token_work, w.job);
	ms_buf_init(&s->access, MS_JWS_MAX);
	ms_buf_init(&s->id_token, MS_JWS_MAX);
	s->w.err = ms_oauth_sign(s->w.identity->auth, &s->issue, &s->w.info, &s->access, &s->id_token);
}

static void refuse(void *arg)
{
	struct token_work *s = arg;
	bool waits =
		strcmp(s->refusal.error, "authorization_pending") == 0 || strcmp(s->refusal.error, "slow_down") == 0;
	if (!waits)
		record_client_refusal(s->w.x, s->w.identity, &s->refusal, s->asked.client.id);
	ms_oauth_send_refusal(s->w.x, &s->refusal, s->basic);
}

static void granted(struct identity_work *w)
{
	struct token_work *s = token_work_of(w);
	if (s->refusal.error != NULL && s->ends)
		ms_auth_settle(w->identity->auth, &w->settle, w->x->loop, refuse, s);
	else if (s->refusal.error != NULL)
		refuse(s);
	else
		ms_identity_away(w, ms_auth_pool(w->identity->auth), sign, send_tokens);
}

static enum ms_err grant(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct token_work *s = arg;
	return ms_oauth_grant(tx, s->w.identity->auth, &s->w.actor, &s->asked, s->w.x->arena, info, &s->refusal,
			      &s->ends, &s->issue);
}

// What a grant type cannot do without. NULL: nothing is missing.
static const char *missing(const struct oauth_asked *asked)
{
	if (asked->type == OAUTH_CODE && asked->code.p == NULL)
		return "code is missing";
	if (asked->type == OAUTH_CODE && asked->verifier.p == NULL)
		return "code_verifier is missing: PKCE is needed (RFC 7636)";
	if (asked->type == OAUTH_REFRESH && asked->refresh.p == NULL)
		return "refresh_token is missing";
	return asked->type == OAUTH_DEVICE && asked->device_code.p == NULL ? "device_code is missing" : NULL;
}

// RFC 8707: tokens are for this service alone.
static bool resource_ok(const struct identity *identity, const struct form *form)
{
	struct slice issuer = ms_slice_cstr(ms_auth_issuer(identity->auth));
	for (size_t i = 0; i < form->count; i++) {
		struct slice value = form->pairs[i].value, rest = ms_slice_sub(value, issuer.n, SIZE_MAX);
		if (ms_slice_eq_cstr(form->pairs[i].name, "resource") && value.n > 0 &&
		    (!ms_slice_starts_with(value, issuer) || (rest.n > 0 && rest.p[0] != '/')))
			return false;
	}
	return true;
}

// Begins the work of an endpoint for clients. NULL: answered.
static struct token_work *begin(struct exchange *x, void *role, struct form *form)
{
	struct token_work *s = MS_IDENTITY_BEGIN(x, role, struct token_work);
	if (s == NULL)
		return NULL;
	s->w.failed = ms_oauth_send_failure;
	if (!ms_form_body(&s->w, false, form) || !ms_oauth_credentials_read(x, form, &s->asked.client, &s->basic))
		return NULL;
	return s;
}

static void token(struct exchange *x, void *role)
{
	struct form form;
	struct token_work *s = begin(x, role, &form);
	if (s == NULL)
		return;
	struct slice type = ms_form_get(&form, "grant_type");
	struct oauth_asked *asked = &s->asked;
	asked->code = ms_form_get(&form, "code");
	asked->redirect_uri = ms_form_get(&form, "redirect_uri");
	asked->verifier = ms_form_get(&form, "code_verifier");
	asked->refresh = ms_form_get(&form, "refresh_token");
	asked->device_code = ms_form_get(&form, "device_code");
	asked->scope = ms_form_get(&form, "scope");
	asked->address = x->req.peer;
	asked->agent = ms_identity_agent(x);
	if (type.p == NULL)
		ms_oauth_send_error(x, 400, "invalid_request", "grant_type is missing");
	else if (!ms_oauth_grant_find(type, &asked->type))
		ms_oauth_send_error(x, 400, "unsupported_grant_type",
				    "grant_type must be authorization_code, refresh_token, client_credentials or that "
				    "of device codes");
	else if (missing(asked) != NULL)
		ms_oauth_send_error(x, 400, "invalid_request", missing(asked));
	else if (!resource_ok(role, &form))
		ms_oauth_send_error(x, 400, "invalid_target", "tokens are for this service alone: leave resource out");
	else if (asked->type == OAUTH_CLIENT && ms_audit_is_behind(s->w.identity->auth))
		send_behind(x);
	else if (asked->type == OAUTH_CLIENT && asked->client.assertion.p == NULL)
		ms_identity_read(&s->w, grant, granted);
	else
		ms_identity_write(&s->w, grant, granted, false);
}

// --- Devices -----------------------------------------------------------------------------------------

struct device_codes {
	struct token_work t;
	struct slice scope;
	char device_code[MS_API_KEY_SIZE], user_code[MS_OAUTH_USER_CODE_SIZE];
};

struct slice ms_oauth_url(struct exchange *x, const struct identity *identity, const char *path)
{
	char *url = ms_arena_printf(x->arena, "%s%s", ms_auth_issuer(identity->auth), path);
	return url != NULL ? ms_slice_cstr(url) : MS_SLICE_LIT("");
}

static enum ms_err begin_device(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct device_codes *s = arg;
	struct oauth_client client;
	struct slice asked = s->t.asked.scope, scope = MS_SLICE_EMPTY;
	struct errinfo why;
	bool within = false;
	s->t.refusal.error = NULL;
	MS_TRY(ms_oauth_client_check(tx, s->t.w.identity->auth, &s->t.asked.client, info, &s->t.refusal, &client));
	if (s->t.refusal.error != NULL)
		return MS_OK;
	if ((client.grant_types & OAUTH_DEVICE) == 0) {
		ms_oauth_refuse(&s->t.refusal, "unauthorized_client", "this client may not sign in devices");
		return MS_OK;
	}
	ms_errinfo_init(&why);
	if (ms_oauth_scope_read(asked.p != NULL ? asked : client.scope, ms_store_arena(tx), &why, &scope) == MS_OK &&
	    scope.n > 0)
		MS_TRY(ms_oauth_scope_within(scope, client.scope, ms_store_arena(tx), info, &within));
	if (!within) {
		ms_oauth_refuse(&s->t.refusal, "invalid_scope",
				"the scope is malformed or beyond what this client may ask for");
		return MS_OK;
	}
	return ms_oauth_device_begin(tx, &client, scope, info, &s->t.refusal, s->device_code, s->user_code);
}

static void device_begun(struct identity_work *w)
{
	struct device_codes *s = MS_CONTAINER_OF(w, struct device_codes, t.w);
	struct exchange *x = w->x;
	struct json_writer out;
	if (s->t.refusal.error != NULL) {
		refuse(&s->t);
		return;
	}
	struct slice page = ms_oauth_url(x, w->identity, "/oauth/device");
	char *complete = ms_arena_printf(x->arena, "%.*s?user_code=%s", MS_SLICE_ARG(page), s->user_code);
	ms_json_writer_init(&out, x->body);
	ms_json_begin_object(&out);
	ms_json_key_lit(&out, "device_code");
	ms_json_cstr(&out, s->device_code);
	ms_json_key_lit(&out, "user_code");
	ms_json_cstr(&out, s->user_code);
	ms_json_key_lit(&out, "verification_uri");
	ms_json_str(&out, page);
	ms_json_key_lit(&out, "verification_uri_complete");
	ms_json_cstr(&out, complete != NULL ? complete : "");
	ms_json_key_lit(&out, "expires_in");
	ms_json_i64(&out, MS_OAUTH_DEVICE_LIFE_S);
	ms_json_key_lit(&out, "interval");
	ms_json_i64(&out, MS_OAUTH_DEVICE_INTERVAL_S);
	ms_json_end_object(&out);
	ms_wipe(s->device_code, sizeof(s->device_code));
	ms_http_send_json(x, 200);
}

static void device_authorization(struct exchange *x, void *role)
{
	struct form form;
	struct device_codes *s = MS_IDENTITY_BEGIN(x, role, struct device_codes);
	if (s == NULL)
		return;
	s->t.w.failed = ms_oauth_send_failure;
	if (!ms_form_body(&s->t.w, false, &form) ||
	    !ms_oauth_credentials_read(x, &form, &s->t.asked.client, &s->t.basic))
		return;
	s->t.asked.scope = ms_form_get(&form, "scope");
	ms_identity_write(&s->t.w, begin_device, device_begun, false);
}

// --- Introspection -----------------------------------------------------------------------------------

struct token_question {
	struct token_work t;
	struct slice token;
	struct oauth_client client;
	struct oauth_refresh refresh;
	// of an access token
	bool active;
	struct auth_worth worth;
	struct auth_claims claims;
	bool ended;
};

// Whether it is an access token in force.
static bool read_access(struct exchange *x, const struct identity *identity, struct slice token,
			struct auth_worth *worth, struct auth_claims *claims)
{
	struct errinfo ignored;
	struct slice prefix;
	ms_errinfo_init(&ignored);
	return !ms_api_key_parse(token, &prefix) &&
	       ms_auth_token_read(identity->auth, x->loop, token, x->arena, &ignored, claims) == MS_OK &&
	       ms_auth_validate(identity->auth, x->loop, token, x->arena, &ignored, worth) == MS_OK;
}

static void write_time(struct json_writer *w, const char *name, int64_t seconds)
{
	ms_json_key_lit(w, name);
	ms_json_i64(w, seconds);
}

static void write_text(struct json_writer *w, const char *name, struct slice text)
{
	if (text.n == 0)
		return;
	ms_json_key_lit(w, name);
	ms_json_str(w, text);
}

static void write_access(struct json_writer *w, const struct token_question *s)
{
	const struct auth_claims *c = &s->claims;
	write_text(w, "token_type", MS_SLICE_LIT("Bearer"));
	write_text(w, "scope", c->scope);
	write_text(w, "client_id", c->client_id);
	write_text(w, "username", c->username);
	write_text(w, "sub", c->user_id.n > 0 ? c->user_id : c->client_id);
	write_text(w, "jti", c->id);
	write_time(w, "iat", c->issued_s);
	write_time(w, "nbf", c->issued_s);
	write_time(w, "exp", c->expires_s);
}

static void write_refresh(struct json_writer *w, const struct oauth_refresh *refresh)
{
	write_text(w, "scope", refresh->scope);
	write_text(w, "client_id", refresh->client_id);
	write_text(w, "username", refresh->username);
	write_text(w, "sub", refresh->user_id);
	write_time(w, "iat", refresh->created_us / 1000000);
	write_time(w, "exp", refresh->expires_us / 1000000);
}

static void introspected(struct identity_work *work)
{
	struct token_question *s = MS_CONTAINER_OF(work, struct token_question, t.w);
	struct exchange *x = work->x;
	struct json_writer w;
	if (s->t.refusal.error != NULL) {
		refuse(&s->t);
		return;
	}
	// Of what was given to others only resource servers hear.
	struct slice owner = s->active ? s->claims.client_id : s->refresh.client_id;
	bool shown = (s->active || s->refresh.found) && (s->client.introspects || ms_slice_eq(owner, s->client.id));
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "active");
	ms_json_bool(&w, shown);
	if (shown) {
		write_text(&w, "iss", ms_slice_cstr(ms_auth_issuer(work->identity->auth)));
		if (s->active)
			write_access(&w, s);
		else
			write_refresh(&w, &s->refresh);
	}
	ms_json_end_object(&w);
	ms_http_send_json(x, 200);
}

static enum ms_err question(struct store_tx *tx, struct token_question *s, struct errinfo *info)
{
	struct oauth_client client;
	s->t.refusal.error = NULL;
	MS_TRY(ms_oauth_client_check(tx, s->t.w.identity->auth, &s->t.asked.client, info, &s->t.refusal, &client));
	return s->t.refusal.error == NULL ? ms_oauth_client_copy(&client, s->t.w.x->arena, info, &s->client) : MS_OK;
}

static enum ms_err look(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct token_question *s = arg;
	struct oauth_refresh *r = &s->refresh;
	MS_TRY(question(tx, s, info));
	*r = (struct oauth_refresh){0};
	if (s->t.refusal.error == NULL && !s->client.confidential)
		ms_oauth_refuse(&s->t.refusal, "invalid_client", "only a confidential client may ask about tokens");
	if (s->t.refusal.error != NULL || s->active)
		return MS_OK;
	MS_TRY(ms_oauth_refresh_find(tx, s->token, info, r));
	struct slice *texts[] = {&r->client_id, &r->user_id, &r->username, &r->scope, &r->session};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		if (!ms_identity_keep(&s->t.w, texts[i]))
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
	}
	return MS_OK;
}

// NULL: answered.
static struct token_question *begin_question(struct exchange *x, void *role)
{
	struct form form;
	struct token_question *s = MS_IDENTITY_BEGIN(x, role, struct token_question);
	if (s == NULL)
		return NULL;
	s->t.w.failed = ms_oauth_send_failure;
	if (!ms_form_body(&s->t.w, false, &form) ||
	    !ms_oauth_credentials_read(x, &form, &s->t.asked.client, &s->t.basic))
		return NULL;
	s->token = ms_form_get(&form, "token");
	if (s->token.p == NULL) {
		ms_oauth_send_error(x, 400, "invalid_request", "token is missing");
		return NULL;
	}
	s->active = read_access(x, role, s->token, &s->worth, &s->claims);
	return s;
}

static void introspect(struct exchange *x, void *role)
{
	struct token_question *s = begin_question(x, role);
	if (s != NULL && s->t.asked.client.assertion.p != NULL)
		ms_identity_write(&s->t.w, look, introspected, false);
	else if (s != NULL)
		ms_identity_read(&s->t.w, look, introspected);
}

// --- Revocation --------------------------------------------------------------------------------------

static enum ms_err revoke_token(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct token_question *s = arg;
	struct auth_actor actor = s->t.w.actor;
	s->ended = false;
	MS_TRY(question(tx, s, info));
	if (s->t.refusal.error != NULL)
		return MS_OK;
	if (s->active && s->claims.user_id.n == 0) {
		ms_oauth_refuse(&s->t.refusal, "unsupported_token_type",
				"a client's own token ends by itself, or all of them with a new secret");
		return MS_OK;
	}
	actor.kind = CALLER_CLIENT;
	actor.id = s->client.id;
	actor.name = s->client.name;
	return ms_oauth_revoke(tx, s->t.w.identity->auth, &actor, s->client.id, s->token,
			       s->active ? s->claims.session : MS_SLICE_EMPTY, info, &s->ended);
}

static void send_empty(void *arg)
{
	struct token_question *s = arg;
	ms_http_send(s->t.w.x, 200, NULL);
}

static void revoked(struct identity_work *w)
{
	struct token_question *s = MS_CONTAINER_OF(w, struct token_question, t.w);
	if (s->t.refusal.error != NULL)
		refuse(&s->t);
	else if (s->ended)
		ms_auth_settle(w->identity->auth, &w->settle, w->x->loop, send_empty, s);
	else
		send_empty(s); // what is unknown is as good as revoked (RFC 7009, section 2.2)
}

static void revoke(struct exchange *x, void *role)
{
	struct token_question *s = begin_question(x, role);
	if (s != NULL)
		ms_identity_write(&s->t.w, revoke_token, revoked, false);
}

// --- Routes ------------------------------------------------------------------------------------------

#define FORM "application/x-www-form-urlencoded"
#define ROW(path, fn, id, text)                                                                                        \
	.method = HTTP_POST, .pattern = path, .handle = fn, .flags = ROUTE_PUBLIC, .operation_id = id, .tag = "oauth", \
	.summary = text, .request_type = FORM
#define STRING(name) "\"" name "\":{\"type\":\"string\"}"

static const struct route routes[] = {
	{ROW("/oauth/token", token, "oauth_token",
	     "Token endpoint: authorization_code, refresh_token, client_credentials, "
	     "device_code"),
	 .description = "Clients prove who they are by HTTP Basic, by `client_id` and "
			"`client_secret` in the form, or "
			"by a signed assertion (`private_key_jwt`).",
	 .request_schema =
		 "{\"type\":\"object\",\"required\":[\"grant_type\"],\"properties\":"
		 "{" STRING("grant_type") "," STRING("client_id") "," STRING(
			 "client_"
			 "secret") "," STRING("code") "," STRING("redirect_uri") "," STRING("code_verifier") "," STRING("refr"
															"esh_"
															"toke"
															"n") "," STRING("device_code") "," STRING("scope") "}}",
	 .response_schema = "{\"type\":\"object\",\"required\":[\"access_token\",\"token_"
			    "type\",\"expires_in\"],\"properties\":"
			    "{" STRING("access_token") "," STRING(
				    "token_type") ",\"expires_in\":{\"type\":\"integer\"}"
						  "," STRING("scope") "," STRING("refresh_"
										 "token") "," STRING("id_token") "}}"},
	{ROW("/oauth/device_authorization", device_authorization, "oauth_device_authorization",
	     "Codes for a device without a browser (RFC 8628)"),
	 .request_schema = "{\"type\":\"object\",\"properties\":{" STRING("client_id") "," STRING("scope") "}}",
	 .response_schema = IDENTITY_OBJECT},
	{ROW("/oauth/introspect", introspect, "oauth_introspect", "What a token is worth (RFC 7662)"),
	 .request_schema = "{\"type\":\"object\",\"required\":[\"token\"],\"properties\":{" STRING("token") "}}",
	 .response_schema = IDENTITY_OBJECT},
	{ROW("/oauth/revoke", revoke, "oauth_revoke", "End a token and its session (RFC 7009)"),
	 .request_schema = "{\"type\":\"object\",\"required\":[\"token\"],\"properties\":{" STRING("token") "}}"},
};

struct identity_table ms_identity_token_table(void)
{
	return (struct identity_table){.routes = routes, .count = MS_ARRAY_LEN(routes)};
}
