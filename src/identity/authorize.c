// SPDX-License-Identifier: Apache-2.0
// The authorization endpoint (OAuth 2.1, OpenID Connect Core 3.1.2): who asks, for what, is he signed in, does he allow it.
//
// Nothing is kept between the pages: the request itself travels through the forms and is read anew each time, against the client's row as it is then.
// Until client and redirect_uri are verified, errors are pages; then they go to the client.
#include "identity/oauth.h"

#define ERROR_MAX 64

enum prompt { PROMPT_NONE = 1, PROMPT_LOGIN = 2, PROMPT_CONSENT = 4, PROMPT_SELECT = 8 };

struct authorize_work {
	struct identity_work w;
	struct slice query, cookie;
	struct form form;
	enum decision decision;
	const struct signin *failed;
	// found in the store
	bool known;
	struct oauth_client client;
	struct oauth_login login;
	bool scope_ok, consented;
	struct slice scope; // what may be granted
	// of the request
	struct slice redirect_uri, challenge;
	unsigned prompt;
	char code[MS_API_KEY_SIZE];
};

static struct authorize_work *work_of(struct identity_work *w)
{
	return MS_CONTAINER_OF(w, struct authorize_work, w);
}

// --- What the store says -----------------------------------------------------------------------------

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
}

static enum ms_err read_scope(struct authorize_work *s, struct errinfo *info)
{
	struct errinfo why;
	struct slice asked = ms_form_get(&s->form, "scope");
	ms_errinfo_init(&why);
	enum ms_err err =
		ms_oauth_scope_read(asked.p != NULL ? asked : s->client.scope, s->w.x->arena, &why, &s->scope);
	if (err == MS_ERR_NO_MEMORY)
		return no_memory(info);
	s->scope_ok = false;
	return err == MS_OK ? ms_oauth_scope_within(s->scope, s->client.scope, s->w.x->arena, info, &s->scope_ok)
			    : MS_OK;
}

static enum ms_err read_login(struct store_tx *tx, struct authorize_work *s, struct errinfo *info)
{
	const struct grants *grants;
	struct oauth_login login;
	struct slice before;
	MS_TRY(ms_oauth_login_find(tx, s->cookie, info, &login));
	MS_TRY(ms_oauth_login_copy(&login, s->w.x->arena, info, &s->login));
	if (!login.found || !s->scope_ok)
		return MS_OK;
	MS_TRY(ms_auth_user_grants(tx, &login.user, info, &grants));
	MS_TRY(ms_oauth_scope_narrow(s->scope, grants, s->w.x->arena, info, &s->scope));
	MS_TRY(ms_oauth_consent_find(tx, login.user.id, s->client.id, info, &before));
	return ms_oauth_scope_within(s->scope, before, ms_store_arena(tx), info, &s->consented);
}

static enum ms_err look(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct authorize_work *s = arg;
	struct oauth_client client;
	s->login = (struct oauth_login){0};
	MS_TRY(ms_oauth_client_find(tx, ms_form_get(&s->form, "client_id"), info, &s->known, &client));
	if (!s->known)
		return MS_OK;
	MS_TRY(ms_oauth_client_copy(&client, s->w.x->arena, info, &s->client));
	MS_TRY(read_scope(s, info));
	return read_login(tx, s, info);
}

// --- Answers to the client ---------------------------------------------------------------------------

// To the redirect_uri, which was verified, with what the request gave to be given back (RFC 9207: and who answers).
static void answer_client(struct authorize_work *s, const char *name, struct slice value, const char *description)
{
	struct buf uri;
	ms_buf_init(&uri, (size_t)32 << 10);
	ms_buf_append_slice(&uri, s->redirect_uri);
	ms_form_add(&uri, name, value);
	if (description != NULL)
		ms_form_add(&uri, "error_description", ms_slice_cstr(description));
	ms_form_add(&uri, "state", ms_form_get(&s->form, "state"));
	ms_form_add(&uri, "iss", ms_slice_cstr(ms_auth_issuer(s->w.identity->auth)));
	if (ms_buf_ok(&uri))
		ms_page_redirect(s->w.x, ms_buf_slice(&uri));
	else
		ms_page_message_send(s->w.x, 400, "This request is too long",
				     "The application sent more than can be given back to it.");
	ms_buf_fini(&uri);
}

static void refuse(struct authorize_work *s, const char *error, const char *description)
{
	answer_client(s, "error", ms_slice_cstr(error), description);
}

static void send_code(struct identity_work *w)
{
	struct authorize_work *s = work_of(w);
	answer_client(s, "code", ms_slice_cstr(s->code), NULL);
	ms_wipe(s->code, sizeof(s->code));
}

static enum ms_err make_code(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct authorize_work *s = arg;
	const struct oauth_code code = {.client = &s->client,
					.login = &s->login,
					.redirect_uri = s->redirect_uri,
					.scope = s->scope,
					.nonce = ms_form_get(&s->form, "nonce"),
					.challenge = s->challenge,
					.consented = s->decision == DECISION_ALLOW};
	return ms_oauth_code_make(tx, s->w.identity->auth, &s->w.actor, &code, info, s->code);
}

static void denied(struct authorize_work *s)
{
	struct auth_actor actor = s->w.actor;
	char target[64];
	actor.kind = CALLER_USER;
	actor.id = s->login.user.id;
	actor.name = s->login.user.username;
	actor.session = s->login.session;
	int n = snprintf(target, sizeof(target), "client:%.*s", MS_SLICE_ARG(s->client.id));
	ms_audit_later(s->w.identity->auth, &(struct audit_entry){.event = AUTH_CONSENT_REFUSED,
								  .outcome = AUDIT_REFUSED,
								  .actor = actor,
								  .target = ms_slice(target, (size_t)n)});
	refuse(s, "access_denied", "the user did not allow it");
}

// --- Pages -------------------------------------------------------------------------------------------

static void ask_login(struct authorize_work *s)
{
	struct signin signin = s->failed != NULL ? *s->failed : (struct signin){.status = 200};
	struct slice hint = ms_form_get(&s->form, "login_hint");
	signin.request = s->query;
	signin.client_name = s->client.name;
	signin.form_target = s->redirect_uri;
	if (signin.username.n == 0 && hint.n <= 254)
		signin.username = hint;
	ms_signin_page(s->w.x, s->w.identity, &signin);
}

static struct slice shown_target(struct slice uri)
{
	size_t end = ms_slice_find(uri, '?');
	return ms_slice_sub(uri, 0, MS_MIN(end, (size_t)200));
}

static void ask_consent(struct authorize_work *s)
{
	struct buf scopes;
	struct exchange *x = s->w.x;
	struct slice csrf = ms_csrf_make(x, s->cookie);
	ms_buf_init(&scopes, (size_t)64 << 10);
	ms_page_scopes(&scopes, s->scope);
	const struct page_var vars[] = {
		{"client", s->client.name, false},
		{"user", s->login.user.display_name.n > 0 ? s->login.user.display_name : s->login.user.username, false},
		{"username", s->login.user.username, false},
		{"scopes", ms_buf_slice(&scopes), true},
		{"life", ms_page_duration(x, ms_oauth_life_s(s->w.identity->auth, &s->client, s->scope)), false},
		{"request", s->query, false},
		{"device", MS_SLICE_EMPTY, false},
		{"user_code", MS_SLICE_EMPTY, false},
		{"target", shown_target(s->redirect_uri), false},
		{"csrf", csrf, false},
	};
	ms_page_send(x, &(struct page){.status = 200,
				       MS_PAGE(consent),
				       .title = "Allow access",
				       .form_target = s->redirect_uri,
				       .vars = vars,
				       .count = MS_ARRAY_LEN(vars)});
	ms_buf_fini(&scopes);
}

// --- The request -------------------------------------------------------------------------------------

static bool is_challenge(struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '_'))
			return false;
	}
	return text.n == 43; // SHA-256 in base64url
}

static bool read_prompt(struct authorize_work *s)
{
	static const struct {
		const char *name;
		enum prompt bit;
	} words[] = {{"none", PROMPT_NONE},
		     {"login", PROMPT_LOGIN},
		     {"consent", PROMPT_CONSENT},
		     {"select_account", PROMPT_SELECT}};
	struct slice rest = ms_form_get(&s->form, "prompt"), word;
	while (ms_slice_next(&rest, ' ', &word)) {
		size_t i = 0;
		while (i < MS_ARRAY_LEN(words) && !ms_slice_eq_cstr(word, words[i].name))
			i++;
		if (i == MS_ARRAY_LEN(words))
			return word.n == 0;
		s->prompt |= words[i].bit;
	}
	return (s->prompt & PROMPT_NONE) == 0 || s->prompt == PROMPT_NONE;
}

// RFC 8707: tokens are for this service alone, whatever name of it is asked for.
static bool resource_ok(const struct authorize_work *s)
{
	struct slice issuer = ms_slice_cstr(ms_auth_issuer(s->w.identity->auth));
	for (size_t i = 0; i < s->form.count; i++) {
		struct slice value = s->form.pairs[i].value, rest = ms_slice_sub(value, issuer.n, SIZE_MAX);
		if (!ms_slice_eq_cstr(s->form.pairs[i].name, "resource") || value.n == 0)
			continue;
		if (!ms_slice_starts_with(value, issuer) || (rest.n > 0 && rest.p[0] != '/'))
			return false;
	}
	return true;
}

struct refusal {
	const char *error, *description;
};

static struct refusal check_request(struct authorize_work *s)
{
	struct slice type = ms_form_get(&s->form, "response_type"), mode = ms_form_get(&s->form, "response_mode");
	if (ms_form_repeated(&s->form, s->w.x->arena) != NULL)
		return (struct refusal){"invalid_request", "a parameter comes twice"};
	if (ms_form_get(&s->form, "request").p != NULL)
		return (struct refusal){"request_not_supported", "request objects are not read"};
	if (ms_form_get(&s->form, "request_uri").p != NULL)
		return (struct refusal){"request_uri_not_supported", "request objects are not read"};
	if (type.p == NULL)
		return (struct refusal){"invalid_request", "response_type is missing"};
	if (!ms_slice_eq_cstr(type, "code"))
		return (struct refusal){"unsupported_response_type", "response_type must be code"};
	if ((s->client.grant_types & OAUTH_CODE) == 0)
		return (struct refusal){"unauthorized_client",
					"this client may not use the grant type authorization_code"};
	if (mode.p != NULL && !ms_slice_eq_cstr(mode, "query"))
		return (struct refusal){"invalid_request", "response_mode must be query"};
	s->challenge = ms_form_get(&s->form, "code_challenge");
	if (s->challenge.p == NULL)
		return (struct refusal){"invalid_request", "code_challenge is missing: PKCE is needed (RFC 7636)"};
	if (!ms_slice_eq_cstr(ms_form_get(&s->form, "code_challenge_method"), "S256"))
		return (struct refusal){"invalid_request", "code_challenge_method must be S256"};
	if (!is_challenge(s->challenge))
		return (struct refusal){"invalid_request", "code_challenge is no SHA-256 in base64url"};
	if (ms_form_get(&s->form, "nonce").n > 512)
		return (struct refusal){"invalid_request", "nonce has more than 512 bytes"};
	if (!read_prompt(s))
		return (struct refusal){"invalid_request",
					"prompt is none, or any of login, consent and select_account"};
	if (!resource_ok(s))
		return (struct refusal){"invalid_target", "tokens are for this service alone: leave resource out"};
	if (!s->scope_ok || s->scope.n == 0)
		return (struct refusal){"invalid_scope",
					"the scope is malformed, empty or beyond what this client may ask for"};
	return (struct refusal){0};
}

// Whether he signed in too long ago for this request. False in *ret_ok: max_age is no number.
static bool is_stale(const struct authorize_work *s, bool *ret_ok)
{
	uint64_t max_age;
	struct slice text = ms_form_get(&s->form, "max_age");
	*ret_ok = text.p == NULL || ms_slice_to_u64(text, &max_age);
	if (text.p == NULL || !*ret_ok || max_age > INT32_MAX)
		return false;
	int64_t age_us = ms_clock_wall_ns() / 1000 - s->login.auth_us;
	return age_us > (int64_t)max_age * 1000000;
}

static bool find_redirect_uri(struct authorize_work *s)
{
	struct slice rest = s->client.redirect_uris;
	s->redirect_uri = ms_form_get(&s->form, "redirect_uri");
	if (s->redirect_uri.p != NULL)
		return ms_oauth_redirect_ok(&s->client, s->redirect_uri);
	// It may be left out where there is no choice (OAuth 2.1, section 4.1.1), but not in OpenID Connect.
	bool only = ms_slice_next(&rest, '\n', &s->redirect_uri) && s->redirect_uri.n > 0 && ms_slice_trim(rest).n == 0;
	return only && !ms_oauth_scope_has(ms_form_get(&s->form, "scope"), MS_OAUTH_OPENID);
}

// The client expects another user than the one who is signed in.
static bool is_another(const struct authorize_work *s)
{
	struct oauth_id_token hint;
	struct slice text = ms_form_get(&s->form, "id_token_hint");
	return text.p != NULL &&
	       (!ms_oauth_id_token_read(s->w.identity->auth, s->w.x->loop, text, s->w.x->arena, &hint) ||
		!ms_slice_eq(hint.user_id, s->login.user.id));
}

static void decide(struct authorize_work *s)
{
	bool age_ok, none = (s->prompt & PROMPT_NONE) != 0;
	bool stale = s->login.found && (is_stale(s, &age_ok) || is_another(s));
	if (s->login.found && !age_ok)
		return refuse(s, "invalid_request", "max_age is no number of seconds");
	if (!s->login.found || stale || s->failed != NULL || (s->prompt & (PROMPT_LOGIN | PROMPT_SELECT)) != 0)
		return none ? refuse(s, "login_required", "nobody is signed in, or too long ago") : ask_login(s);
	if (s->scope.n == 0)
		return refuse(s, "invalid_scope", "the user may do nothing of what the scope asks for");
	if (s->decision == DECISION_DENY)
		return denied(s);
	// Behind a loopback address or a scheme of its own any program may stand, also in the name of a trusted client.
	bool asked_before =
		(s->client.trusted || s->consented) && ms_oauth_client_is_assured(&s->client, s->redirect_uri);
	if (s->decision == DECISION_NONE && (!asked_before || (s->prompt & PROMPT_CONSENT) != 0))
		return none ? refuse(s, "consent_required", "the user was not asked yet") : ask_consent(s);
	ms_identity_write(&s->w, make_code, send_code, false);
}

static void looked(struct identity_work *w)
{
	struct authorize_work *s = work_of(w);
	if (!s->known)
		return ms_page_message_send(w->x, 400, "Unknown application",
					    "The application that sent you here is not registered with this service, "
					    "or was removed. Nothing was "
					    "passed on to it.");
	const char *repeated = ms_form_repeated(&s->form, w->x->arena);
	bool twice = repeated != NULL && (strcmp(repeated, "redirect_uri") == 0 || strcmp(repeated, "client_id") == 0);
	if (twice || !find_redirect_uri(s))
		return ms_page_message_send(w->x, 400, "Wrong return address",
					    "The application asked to be answered at an address that is not registered "
					    "for it. Nothing was passed on "
					    "to it.");
	struct refusal refusal = check_request(s);
	if (refusal.error != NULL)
		refuse(s, refusal.error, refusal.description);
	else
		decide(s);
}

void ms_authorize(struct exchange *x, struct identity *identity, struct slice query, enum decision decision,
		  const struct signin *failed)
{
	struct authorize_work *s = MS_IDENTITY_BEGIN(x, identity, struct authorize_work);
	if (s == NULL)
		return;
	s->query = query;
	s->decision = decision;
	s->failed = failed;
	s->w.failed = ms_page_fail;
	s->cookie = ms_cookie_get(x, identity);
	if (!ms_form_read(x->arena, query, &s->form)) {
		ms_page_message_send(x, 400, "This request cannot be read",
				     "The application sent you here with an address that is badly encoded.");
		return;
	}
	ms_identity_read(&s->w, look, looked);
}

// --- Routes ------------------------------------------------------------------------------------------

static void authorize_get(struct exchange *x, void *role)
{
	ms_authorize(x, role, x->req.query, DECISION_NONE, NULL);
}

// A form of another site comes without the cookie (SameSite): the browser is sent to ask again by itself.
static void authorize_post(struct exchange *x, void *role)
{
	struct identity_work *w = MS_IDENTITY_BEGIN(x, role, struct identity_work);
	struct form form;
	if (w == NULL || !ms_form_body(w, true, &form))
		return;
	ms_page_repeat(x, "authorize");
}

static void consent(struct exchange *x, void *role)
{
	struct identity_work *w = MS_IDENTITY_BEGIN(x, role, struct identity_work);
	struct form form;
	if (w == NULL || !ms_form_body(w, true, &form) || !ms_csrf_check(x, role, &form))
		return;
	bool allow = ms_slice_eq_cstr(ms_form_get(&form, "decision"), "allow");
	ms_authorize(x, role, ms_form_get(&form, "request"), allow ? DECISION_ALLOW : DECISION_DENY, NULL);
}

#define PAGE(verb, path, fn, id, text)                                                                    \
	{                                                                                                 \
		.method = verb, .pattern = path, .handle = fn, .flags = ROUTE_PUBLIC, .operation_id = id, \
		.tag = "oauth", .summary = text, .response_type = "text/html"                             \
	}

static const struct route routes[] = {
	PAGE(HTTP_GET, "/oauth/authorize", authorize_get, "oauth_authorize",
	     "Authorization endpoint: sign-in and consent (OAuth 2.1, OpenID Connect)"),
	PAGE(HTTP_POST, "/oauth/authorize", authorize_post, "oauth_authorize_post",
	     "The same, with the request in a form"),
	PAGE(HTTP_POST, "/oauth/consent", consent, "oauth_consent", "The answer of the consent page"),
};

struct identity_table ms_identity_authorize_table(void)
{
	return (struct identity_table){.routes = routes, .count = MS_ARRAY_LEN(routes)};
}
