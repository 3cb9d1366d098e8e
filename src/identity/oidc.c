// SPDX-License-Identifier: Apache-2.0
// OpenID Connect beside the flows: discovery (also RFC 8414), keys, userinfo, signing out (RP-Initiated Logout 1.0).
#include "identity/oauth.h"

// --- Discovery ---------------------------------------------------------------------------------------

static void write_list(struct json_writer *w, const char *name, const char *const *items)
{
	ms_json_key_lit(w, name);
	ms_json_begin_array(w);
	for (; *items != NULL; items++)
		ms_json_cstr(w, *items);
	ms_json_end_array(w);
}
#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void write_endpoints(struct json_writer *w, struct exchange *x, const struct identity *identity)
{
	static const struct {
		const char *name, *path;
	} endpoints[] = {
		{"authorization_endpoint", "/oauth/authorize"},
		{"token_endpoint", "/oauth/token"},
		{"userinfo_endpoint", "/oauth/userinfo"},
		{"jwks_uri", "/oauth/jwks"},
		{"revocation_endpoint", "/oauth/revoke"},
		{"introspection_endpoint", "/oauth/introspect"},
		{"device_authorization_endpoint", "/oauth/device_authorization"},
		{"end_session_endpoint", "/oauth/logout"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(endpoints); i++) {
		ms_json_key_lit(w, endpoints[i].name);
		ms_json_str(w, ms_oauth_url(x, identity, endpoints[i].path));
	}
}

static void write_scopes(struct json_writer *w)
{
	size_t count;
	const struct auth_permission *all = ms_auth_permissions(&count);
	ms_json_key_lit(w, "scopes_supported");
	ms_json_begin_array(w);
	for (size_t i = 0; ms_oauth_own_scopes[i] != NULL; i++)
		ms_json_cstr(w, ms_oauth_own_scopes[i]);
	for (size_t i = 0; i < count; i++)
		ms_json_cstr(w, all[i].name);
	ms_json_end_array(w);
}

static void discovery(struct exchange *x, void *role)
{
	struct identity *identity = role;
	struct json_writer w;
	const char *const *proofs = LIST("client_secret_basic", "client_secret_post", "private_key_jwt", "none");
	const char *const *signatures =
		LIST("EdDSA", "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512");
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "issuer");
	ms_json_cstr(&w, ms_auth_issuer(identity->auth));
	write_endpoints(&w, x, identity);
	write_scopes(&w);
	write_list(&w, "response_types_supported", LIST("code"));
	write_list(&w, "response_modes_supported", LIST("query"));
	write_list(&w, "grant_types_supported",
		   LIST("authorization_code", "refresh_token", "client_credentials",
			"urn:ietf:params:oauth:grant-type:device_code"));
	write_list(&w, "code_challenge_methods_supported", LIST("S256"));
	write_list(&w, "token_endpoint_auth_methods_supported", proofs);
	write_list(&w, "token_endpoint_auth_signing_alg_values_supported", signatures);
	write_list(&w, "revocation_endpoint_auth_methods_supported", proofs);
	write_list(&w, "introspection_endpoint_auth_methods_supported",
		   LIST("client_secret_basic", "client_secret_post", "private_key_jwt"));
	write_list(&w, "subject_types_supported", LIST("public"));
	write_list(&w, "id_token_signing_alg_values_supported",
		   LIST(ms_jose_alg_name(ms_oauth_id_token_alg(identity->auth))));
	write_list(&w, "claims_supported",
		   LIST("iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "sid", "amr", "name",
			"preferred_username", "email", "email_verified", "updated_at"));
	write_list(&w, "prompt_values_supported", LIST("none", "login", "consent", "select_account"));
	ms_json_key_lit(&w, "authorization_response_iss_parameter_supported");
	ms_json_bool(&w, true);
	ms_json_key_lit(&w, "claims_parameter_supported");
	ms_json_bool(&w, false);
	ms_json_key_lit(&w, "request_parameter_supported");
	ms_json_bool(&w, false);
	ms_json_key_lit(&w, "request_uri_parameter_supported");
	ms_json_bool(&w, false);
	ms_json_end_object(&w);
	ms_http_set_header(x, "Cache-Control", MS_SLICE_LIT("public, max-age=300"));
	ms_http_send_json(x, 200);
}

static void jwks(struct exchange *x, void *role)
{
	const struct identity *identity = role;
	ms_oauth_write_jwks(identity->auth, x->loop, x->body);
	ms_http_set_header(x, "Cache-Control", MS_SLICE_LIT("public, max-age=300"));
	ms_http_send_json(x, 200);
}

// --- Userinfo ----------------------------------------------------------------------------------------

struct userinfo_work {
	struct identity_work w;
	struct auth_claims claims;
	struct auth_user user;
};

static void refuse_token(struct exchange *x, int status, const char *error, const char *description)
{
	char *header = ms_arena_printf(x->arena, "Bearer realm=\"mainstay\", error=\"%s\", error_description=\"%s\"",
				       error, description);
	ms_http_set_header(x, "WWW-Authenticate",
			   header != NULL ? ms_slice_cstr(header) : MS_SLICE_LIT("Bearer realm=\"mainstay\""));
	ms_oauth_send_error(x, status, error, description);
}

static enum ms_err read_user(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct userinfo_work *s = arg;
	struct auth_user *user = &s->user;
	MS_TRY(ms_auth_user_get(tx, s->claims.user_id, info, user));
	bool ok = ms_identity_keep(&s->w, &user->id) && ms_identity_keep(&s->w, &user->username) &&
		  ms_identity_keep(&s->w, &user->email) && ms_identity_keep(&s->w, &user->display_name);
	return ok ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
}

static void write_claim(struct json_writer *w, const char *name, struct slice text)
{
	if (text.n == 0)
		return;
	ms_json_key_lit(w, name);
	ms_json_str(w, text);
}

static void send_user(struct identity_work *work)
{
	struct userinfo_work *s = MS_CONTAINER_OF(work, struct userinfo_work, w);
	struct json_writer w;
	ms_json_writer_init(&w, work->x->body);
	ms_json_begin_object(&w);
	write_claim(&w, "sub", s->user.id);
	if (ms_oauth_scope_has(s->claims.scope, "profile")) {
		write_claim(&w, "name", s->user.display_name);
		write_claim(&w, "preferred_username", s->user.username);
		ms_json_key_lit(&w, "updated_at");
		ms_json_i64(&w, s->user.updated_us / 1000000);
	}
	if (ms_oauth_scope_has(s->claims.scope, "email") && s->user.email.n > 0) {
		write_claim(&w, "email", s->user.email);
		ms_json_key_lit(&w, "email_verified");
		ms_json_bool(&w, false);
	}
	ms_json_end_object(&w);
	ms_http_send_json(work->x, 200);
}

static void user_gone(struct identity_work *w)
{
	if (w->err == MS_ERR_AUTH_USER_UNKNOWN)
		refuse_token(w->x, 401, "invalid_token", "the user is gone");
	else
		ms_oauth_send_failure(w);
}

static void userinfo(struct exchange *x, void *role)
{
	struct userinfo_work *s = MS_IDENTITY_BEGIN(x, role, struct userinfo_work);
	struct auth_worth worth;
	struct errinfo ignored;
	if (s == NULL)
		return;
	struct slice header = ms_http_header(&x->req, "Authorization"),
		     word = ms_slice_sub(header, 0, ms_slice_find(header, ' '));
	struct slice token = ms_slice_trim(ms_slice_sub(header, word.n, SIZE_MAX));
	ms_errinfo_init(&ignored);
	s->w.failed = user_gone;
	if (!ms_slice_eq_nocase(word, MS_SLICE_LIT("Bearer")) || token.n == 0) {
		ms_http_set_header(x, "WWW-Authenticate", MS_SLICE_LIT("Bearer realm=\"mainstay\", scope=\"openid\""));
		ms_http_fail_code(x, MS_ERR_UNAUTHENTICATED, "send an access token: Authorization: Bearer …");
	} else if (ms_auth_token_read(s->w.identity->auth, x->loop, token, x->arena, &ignored, &s->claims) != MS_OK ||
		   ms_auth_validate(s->w.identity->auth, x->loop, token, x->arena, &ignored, &worth) != MS_OK ||
		   s->claims.user_id.n == 0)
		refuse_token(x, 401, "invalid_token",
			     "the access token is malformed, expired or revoked, or of no user");
	else if (!ms_oauth_scope_has(s->claims.scope, MS_OAUTH_OPENID))
		refuse_token(x, 403, "insufficient_scope", "the access token has not the scope openid");
	else
		ms_identity_read(&s->w, read_user, send_user);
}

// --- Signing out -------------------------------------------------------------------------------------

struct logout_work {
	struct identity_work w;
	struct form form;
	struct slice query, cookie;
	bool confirmed, hinted;
	struct oauth_id_token hint;
	bool client_known, ended;
	struct oauth_client client;
	struct oauth_login login;
};

static void say_goodbye(struct logout_work *s)
{
	struct exchange *x = s->w.x;
	struct buf uri;
	struct slice target = ms_form_get(&s->form, "post_logout_redirect_uri");
	ms_cookie_clear(x, s->w.identity);
	if (target.p == NULL || !s->client_known || !ms_oauth_logout_uri_ok(&s->client, target)) {
		ms_page_message_send(x, 200, "You are signed out", "You can close this page.");
		return;
	}
	ms_buf_init(&uri, (size_t)32 << 10);
	ms_buf_append_slice(&uri, target);
	ms_form_add(&uri, "state", ms_form_get(&s->form, "state"));
	if (ms_buf_ok(&uri))
		ms_page_redirect(x, ms_buf_slice(&uri));
	else
		ms_page_message_send(x, 200, "You are signed out", "You can close this page.");
	ms_buf_fini(&uri);
}

static void ended(struct identity_work *w)
{
	say_goodbye(MS_CONTAINER_OF(w, struct logout_work, w));
}

static enum ms_err find(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct logout_work *s = arg;
	struct oauth_login login;
	struct oauth_client client;
	struct slice id = s->hinted ? s->hint.client_id : ms_form_get(&s->form, "client_id");
	MS_TRY(ms_oauth_login_find(tx, s->cookie, info, &login));
	MS_TRY(ms_oauth_login_copy(&login, s->w.x->arena, info, &s->login));
	MS_TRY(ms_oauth_client_find(tx, id, info, &s->client_known, &client));
	return s->client_known ? ms_oauth_client_copy(&client, s->w.x->arena, info, &s->client) : MS_OK;
}

static enum ms_err end_login(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct logout_work *s = arg;
	struct oauth_login login;
	struct auth_actor actor = s->w.actor;
	MS_TRY(ms_oauth_login_find(tx, s->cookie, info, &login));
	if (!login.found)
		return MS_OK;
	actor.kind = CALLER_USER;
	actor.id = login.user.id;
	actor.name = login.user.username;
	actor.session = login.session;
	return ms_oauth_login_end(tx, s->w.identity->auth, &actor, &login, info);
}

static void ask(struct logout_work *s)
{
	struct exchange *x = s->w.x;
	struct slice target = ms_form_get(&s->form, "post_logout_redirect_uri");
	// It stands in a header: only an address that is registered, never what somebody wrote into the request.
	bool known = target.p != NULL && s->client_known && ms_oauth_logout_uri_ok(&s->client, target);
	const struct page_var vars[] = {
		{"username", s->login.user.username, false},
		{"client", s->client_known ? s->client.name : MS_SLICE_EMPTY, false},
		{"request", s->query, false},
		{"csrf", ms_csrf_make(x, s->cookie), false},
	};
	ms_page_send(x, &(struct page){.status = 200,
				       MS_PAGE(logout),
				       .title = "Sign out",
				       .form_target = known ? target : MS_SLICE_EMPTY,
				       .vars = vars,
				       .count = MS_ARRAY_LEN(vars)});
}

static void found(struct identity_work *w)
{
	struct logout_work *s = MS_CONTAINER_OF(w, struct logout_work, w);
	// An id token proves that the client was given this user; without one he is asked, so that no other site signs him out.
	bool proven = s->hinted && ms_slice_eq(s->hint.user_id, s->login.user.id);
	if (!s->login.found)
		say_goodbye(s);
	else if (s->confirmed || proven)
		ms_identity_write(w, end_login, ended, true);
	else
		ask(s);
}

static void begin(struct exchange *x, struct identity *identity, struct slice query, bool confirmed)
{
	struct logout_work *s = MS_IDENTITY_BEGIN(x, identity, struct logout_work);
	if (s == NULL)
		return;
	s->w.failed = ms_page_fail;
	s->query = query;
	s->confirmed = confirmed;
	s->cookie = ms_cookie_get(x, identity);
	if (!ms_form_read(x->arena, query, &s->form) || ms_form_repeated(&s->form, x->arena) != NULL) {
		ms_page_message_send(x, 400, "This request cannot be read",
				     "The application sent you here with an address that is badly encoded.");
		return;
	}
	struct slice hint = ms_form_get(&s->form, "id_token_hint"), id = ms_form_get(&s->form, "client_id");
	s->hinted = hint.p != NULL && ms_oauth_id_token_read(identity->auth, x->loop, hint, x->arena, &s->hint) &&
		    (id.p == NULL || ms_slice_eq(id, s->hint.client_id));
	ms_identity_read(&s->w, find, found);
}

static void logout_get(struct exchange *x, void *role)
{
	begin(x, role, x->req.query, false);
}

static void logout_post(struct exchange *x, void *role)
{
	struct form form;
	struct identity_work *w = MS_IDENTITY_BEGIN(x, role, struct identity_work);
	if (w == NULL || !ms_form_body(w, true, &form))
		return;
	if (ms_form_get(&form, "csrf").p == NULL)
		ms_page_repeat(x, "logout");
	else if (ms_csrf_check(x, role, &form))
		begin(x, role, ms_form_get(&form, "request"), true);
}

// --- Routes ------------------------------------------------------------------------------------------

#define ROW(verb, path, fn, id, text)                                                                             \
	.method = verb, .pattern = path, .handle = fn, .flags = ROUTE_PUBLIC, .operation_id = id, .tag = "oauth", \
	.summary = text

static const struct route routes[] = {
	{ROW(HTTP_GET, "/.well-known/openid-configuration", discovery, "openid_configuration",
	     "What this provider does (OpenID Connect Discovery)"),
	 .response_schema = IDENTITY_OBJECT},
	{ROW(HTTP_GET, "/.well-known/oauth-authorization-server", discovery, "oauth_metadata",
	     "The same for OAuth clients (RFC 8414)"),
	 .response_schema = IDENTITY_OBJECT},
	{ROW(HTTP_GET, "/oauth/jwks", jwks, "oauth_jwks", "Keys that verify id tokens"),
	 .response_schema = IDENTITY_OBJECT},
	{ROW(HTTP_GET, "/oauth/userinfo", userinfo, "oauth_userinfo",
	     "Claims about the user of an access token with the scope openid"),
	 .response_schema = IDENTITY_OBJECT},
	{ROW(HTTP_POST, "/oauth/userinfo", userinfo, "oauth_userinfo_post", "The same"),
	 .response_schema = IDENTITY_OBJECT},
	{ROW(HTTP_GET, "/oauth/logout", logout_get, "oauth_logout", "Sign out (OpenID Connect RP-Initiated Logout)"),
	 .response_type = "text/html"},
	{ROW(HTTP_POST, "/oauth/logout", logout_post, "oauth_logout_post", "The same with a form"),
	 .response_type = "text/html"},
};

struct identity_table ms_identity_oidc_table(void)
{
	return (struct identity_table){.routes = routes, .count = MS_ARRAY_LEN(routes)};
}
