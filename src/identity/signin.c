// SPDX-License-Identifier: Apache-2.0
// The pages that sign a browser in.
#include "identity/oauth.h"

#define TYPED_MAX 254

// --- The page ----------------------------------------------------------------------------------------

// What the sign-in is for, for the way through an outside provider.
static struct slice external_query(struct exchange *x, const struct signin *signin)
{
	struct buf out;
	ms_buf_init(&out, (size_t)32 << 10);
	ms_buf_append_char(&out, '?');
	if (signin->request.n > 0)
		ms_form_add(&out, "request", signin->request);
	else
		ms_form_add(&out, "user_code", signin->user_code);
	struct slice query = ms_buf_ok(&out) ? ms_arena_copy(x->arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	return query;
}

void ms_signin_page(struct exchange *x, struct identity *identity, const struct signin *signin)
{
	struct slice cookie = ms_cookie_need(x, identity), csrf = ms_csrf_make(x, cookie);
	const char *provider = signin->link ? NULL : ms_federation_name(identity->auth);
	const struct page_var vars[] = {
		{"provider", ms_slice_cstr(provider), false},
		{"external", provider != NULL ? external_query(x, signin) : MS_SLICE_EMPTY, false},
		{"link", signin->link ? MS_SLICE_LIT("1") : MS_SLICE_EMPTY, false},
		{"client", signin->client_name, false},
		{"error", signin->error, false},
		{"username", signin->username, false},
		{"request", signin->request, false},
		{"user_code", signin->user_code, false},
		{"csrf", csrf, false},
		{"first", signin->username.n == 0 ? MS_SLICE_LIT("1") : MS_SLICE_EMPTY, false},
	};
	ms_page_send(x, &(struct page){.status = signin->status,
				       MS_PAGE(login),
				       .title = "Sign in",
				       .form_target = signin->form_target,
				       .vars = vars,
				       .count = MS_ARRAY_LEN(vars)});
}

// The request without what this sign-in has just fulfilled: else it would be asked for again and again. Only pairs that came are
// written, encoded anew: whatever was in the form, the answer goes to our own path.
static void append_request(struct buf *out, const struct form *request)
{
	char separator = '?';
	for (size_t i = 0; i < request->count; i++) {
		const struct form_pair *pair = &request->pairs[i];
		struct slice value = pair->value, word;
		if (ms_slice_eq_cstr(pair->name, "max_age") || ms_slice_eq_cstr(pair->name, "id_token_hint") ||
		    value.n == 0)
			continue;
		ms_buf_append_char(out, separator);
		separator = '&';
		ms_form_encode(out, pair->name);
		ms_buf_append_char(out, '=');
		if (!ms_slice_eq_cstr(pair->name, "prompt")) {
			ms_form_encode(out, value);
			continue;
		}
		while (ms_slice_next(&value, ' ', &word)) {
			if (ms_slice_eq_cstr(word, "consent") || ms_slice_eq_cstr(word, "none"))
				ms_form_encode(out, word);
		}
	}
}

struct slice ms_signin_next(struct exchange *x, const struct signin *signin)
{
	struct buf out;
	struct form request;
	ms_buf_init(&out, (size_t)32 << 10);
	ms_buf_append_cstr(&out, ms_page_base(x));
	if (signin->link) {
		ms_buf_append_cstr(&out, "link");
	} else if (signin->request.n > 0 && ms_form_read(x->arena, signin->request, &request)) {
		ms_buf_append_cstr(&out, "authorize");
		append_request(&out, &request);
	} else {
		ms_buf_append_cstr(&out, "device");
		ms_form_add(&out, "user_code", signin->user_code);
	}
	struct slice next = ms_buf_ok(&out) ? ms_arena_copy(x->arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	return next;
}

// --- Signing in --------------------------------------------------------------------------------------

struct signin_work {
	struct identity_work w;
	struct signin signin;
	struct auth_attempt attempt;
	struct auth_proof proof;
	const struct auth_user *user;           // of either, or in the transaction of `person`
	const struct federation_person *person; // whom an outside provider named, or NULL
	const struct federation_attempt *attempt_outside;
	bool proved;          // the second step is done
	struct slice methods; // that he showed
	struct slice rehashed;
	struct slice cookie;    // of before
	struct slice mfa_token; // the second step is to come; else empty
	struct auth_factors factors;
	char fresh[MS_API_KEY_SIZE];
};

static struct signin_work *work_of(struct identity_work *w)
{
	return MS_CONTAINER_OF(w, struct signin_work, w);
}

static void ask_second(struct signin_work *s, int status, const char *error)
{
	struct exchange *x = s->w.x;
	const struct page_var vars[] = {
		{"client", MS_SLICE_EMPTY, false},
		{"error", ms_slice_cstr(error), false},
		{"request", s->signin.request, false},
		{"user_code", s->signin.user_code, false},
		{"link", s->signin.link ? MS_SLICE_LIT("1") : MS_SLICE_EMPTY, false},
		{"mfa_token", s->mfa_token, false},
		{"csrf", ms_csrf_make(x, s->cookie), false},
	};
	ms_page_send(x, &(struct page){.status = status,
				       MS_PAGE(second),
				       .title = "One more step",
				       .form_target = s->signin.form_target,
				       .vars = vars,
				       .count = MS_ARRAY_LEN(vars)});
}

void ms_signin_again(struct exchange *x, struct identity *identity, struct signin *signin, int status,
		     const char *error)
{
	signin->status = status;
	signin->error = ms_slice_cstr(error);
	if (signin->link)
		ms_link_page(x, identity, signin);
	else if (signin->request.n > 0)
		ms_authorize(x, identity, signin->request, DECISION_NONE, signin);
	else
		ms_device_page(x, identity, signin->user_code, signin);
}

static void ask_again(struct signin_work *s, int status, const char *error)
{
	ms_signin_again(s->w.x, s->w.identity, &s->signin, status, error);
}

// Who came from an outside provider and may not in. True: answered.
static bool failed_external(struct signin_work *s)
{
	static const struct {
		enum ms_err err;
		const char *why;
	} reasons[] = {
		{MS_ERR_AUTH_USER_UNKNOWN,
		 "No account here is linked with yours there. Sign in with your password and link "
		 "it, or ask an administrator."},
		{MS_ERR_FORBIDDEN, "None of your groups there gives access here."},
		{MS_ERR_AUTH_CREDENTIALS, "Your account here is disabled."},
		{MS_ERR_TOKEN_INVALID, "This sign-in was finished before. Begin again."},
		// A role of the settings that is not there; the last administrator, whose groups changed.
		{MS_ERR_INVALID, "Your account could not be made here. Tell whoever runs this service."},
		{MS_ERR_NOT_FOUND, "Your account could not be made here. Tell whoever runs this service."},
		{MS_ERR_AUTH_LAST_ADMIN, "Your role here could not be changed. Tell whoever runs this service."},
	};
	const char *why = NULL;
	for (size_t i = 0; i < MS_ARRAY_LEN(reasons); i++) {
		if (s->w.err == reasons[i].err)
			why = reasons[i].why;
	}
	if (s->person == NULL || why == NULL)
		return false;
	ms_federation_refused(s->w.identity->auth, &s->w.actor, s->w.info.message);
	ask_again(s, 403, why);
	return true;
}

static void failed(struct identity_work *w)
{
	struct signin_work *s = work_of(w);
	bool second = s->mfa_token.n > 0;
	if (failed_external(s))
		return;
	if (w->err == MS_ERR_AUTH_CREDENTIALS && second)
		ask_second(s, 403, "This code does not fit, or was used before.");
	else if (w->err == MS_ERR_AUTH_THROTTLED && second)
		ask_second(s, 429, "There were too many attempts. Wait a little before the next one.");
	else if (w->err == MS_ERR_TOKEN_INVALID || w->err == MS_ERR_TOKEN_EXPIRED)
		ask_again(s, 403, "That took too long. Sign in again.");
	else if (w->err == MS_ERR_AUTH_CREDENTIALS)
		ask_again(s, 403, "Username or password is wrong.");
	else if (w->err == MS_ERR_AUTH_THROTTLED)
		ask_again(s, 429, "There were too many attempts. Wait a little before the next one.");
	else if (w->err == MS_ERR_AUTH_MFA_REQUIRED)
		ms_page_message_send(w->x, 403, "A second factor is needed",
				     "This service asks everybody for one, and your account has none yet. Set it up "
				     "first, then come back.");
	else
		ms_page_fail(w);
}

static void signed_in(void *arg)
{
	struct signin_work *s = arg;
	struct exchange *x = s->w.x;
	struct slice next = ms_signin_next(x, &s->signin);
	ms_cookie_set(x, s->w.identity, ms_slice_cstr(s->fresh));
	ms_wipe(s->fresh, sizeof(s->fresh));
	if (next.n == 0)
		ms_page_message_send(x, 400, "This request is too long",
				     "The application sent more than can be worked with.");
	else
		ms_page_redirect(x, next);
}

static void began(struct identity_work *w)
{
	struct signin_work *s = work_of(w);
	if (s->mfa_token.n == 0)
		ms_auth_settle(w->identity->auth, &w->settle, w->x->loop, signed_in, s);
	else if (!s->factors.totp && s->factors.recovery_codes == 0)
		ms_page_message_send(w->x, 403, "This account signs in with a passkey",
				     "These pages work without scripts, and passkeys need some. Add an authenticator "
				     "app to your account, or "
				     "recovery codes, and come back.");
	else
		ask_second(s, 200, "");
}

static enum ms_err begin(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct signin_work *s = arg;
	struct oauth_login before;
	struct auth *auth = s->w.identity->auth;
	const struct auth_session session = {
		.address = s->w.x->req.peer, .agent = ms_identity_agent(s->w.x), .methods = s->methods};
	struct auth_user user;
	s->mfa_token = MS_SLICE_EMPTY;
	if (s->person != NULL) {
		MS_TRY(ms_federation_spend(tx, s->attempt_outside, info));
		MS_TRY(ms_federation_sign_in(tx, auth, &s->w.actor, s->person, info, &user));
		s->user = &user;
	}
	if (!s->proved)
		MS_TRY(ms_auth_second_step(tx, auth, s->user, s->methods, s->rehashed, info, &s->factors,
					   &s->mfa_token));
	if (s->mfa_token.n > 0)
		return ms_identity_keep(&s->w, &s->mfa_token)
			       ? MS_OK
			       : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
	MS_TRY(ms_oauth_login_find(tx, s->cookie, info, &before));
	return ms_oauth_login_begin(tx, auth, &s->w.actor, s->user, s->rehashed, &session, &before, info, s->fresh);
}

static void attempted(struct auth_attempt *attempt, void *arg)
{
	struct signin_work *s = arg;
	s->w.err = attempt->err;
	if (attempt->err == MS_OK) {
		s->user = &attempt->user;
		s->methods = MS_SLICE_LIT("pwd");
		s->rehashed = attempt->rehashed;
		ms_identity_write(&s->w, begin, began, false);
		return;
	}
	s->w.info = attempt->info;
	s->w.retry_after_s = attempt->retry_after_s;
	ms_identity_fail(&s->w);
}

static struct signin_work *work_begin(struct exchange *x, void *role, struct form *form)
{
	struct signin_work *s = MS_IDENTITY_BEGIN(x, role, struct signin_work);
	if (s == NULL || !ms_form_body(&s->w, true, form) || !ms_csrf_check(x, role, form))
		return NULL;
	s->w.failed = failed;
	s->cookie = ms_cookie_get(x, role);
	s->signin.request = ms_form_get(form, "request");
	s->signin.user_code = ms_form_get(form, "user_code");
	s->signin.link = ms_form_get(form, "link").n > 0;
	s->signin.username = ms_slice_sub(ms_form_get(form, "username"), 0, TYPED_MAX);
	return s;
}

static void login(struct exchange *x, void *role)
{
	struct form form;
	struct signin_work *s = work_begin(x, role, &form);
	if (s == NULL)
		return;
	s->attempt.identifier = ms_form_get(&form, "username");
	s->attempt.password = ms_form_get(&form, "password");
	if (s->attempt.identifier.n == 0 || s->attempt.password.n == 0) {
		ask_again(s, 400, "Type username and password.");
		return;
	}
	s->attempt.address = x->req.peer;
	s->attempt.agent = ms_identity_agent(x);
	s->attempt.request_id = x->req.id;
	s->attempt.arena = x->arena;
	s->attempt.done = attempted;
	s->attempt.arg = s;
	ms_auth_attempt(s->w.identity->auth, x->loop, &s->attempt);
}

void ms_signin_external(struct exchange *x, struct identity *identity, const struct signin *signin,
			const struct federation_attempt *attempt, const struct federation_person *person)
{
	struct signin_work *s = MS_IDENTITY_BEGIN(x, identity, struct signin_work);
	if (s == NULL)
		return;
	s->w.failed = failed;
	s->signin = *signin;
	s->attempt_outside = attempt;
	s->person = person;
	s->methods = MS_SLICE_LIT(MS_FEDERATION_METHOD);
	s->cookie = ms_cookie_need(x, identity); // a second step's form is bound to it
	ms_identity_write(&s->w, begin, began, false);
}

// --- The second step ---------------------------------------------------------------------------------

static void proved(struct auth_proof *proof, void *arg)
{
	struct signin_work *s = arg;
	s->w.err = proof->err;
	if (proof->err == MS_OK) {
		s->user = &proof->user;
		s->proved = true;
		s->methods = proof->methods;
		s->mfa_token = MS_SLICE_EMPTY;
		ms_identity_write(&s->w, begin, began, false);
		return;
	}
	s->w.info = proof->info;
	s->w.retry_after_s = proof->retry_after_s;
	ms_identity_fail(&s->w);
}

// Codes of apps are digits alone; recovery codes are longer.
static bool is_app_code(struct slice code)
{
	size_t digits = 0;
	for (size_t i = 0; i < code.n; i++) {
		if (code.p[i] >= '0' && code.p[i] <= '9')
			digits++;
		else if (code.p[i] != ' ')
			return false;
	}
	return digits == 6;
}

static struct slice without_spaces(struct exchange *x, struct slice code)
{
	char *out = ms_arena_alloc(x->arena, code.n + 1);
	size_t n = 0;
	if (out == NULL)
		return MS_SLICE_EMPTY;
	for (size_t i = 0; i < code.n; i++) {
		if (code.p[i] != ' ')
			out[n++] = code.p[i];
	}
	return ms_slice(out, n);
}

static void second(struct exchange *x, void *role)
{
	struct form form;
	struct signin_work *s = work_begin(x, role, &form);
	if (s == NULL)
		return;
	struct slice code = ms_form_get(&form, "code");
	s->mfa_token = ms_form_get(&form, "mfa_token");
	if (s->mfa_token.n == 0) {
		ask_again(s, 400, "Sign in again.");
		return;
	}
	if (code.n == 0) {
		ask_second(s, 400, "Type a code.");
		return;
	}
	s->proof.token = s->mfa_token;
	s->proof.method = is_app_code(code) ? AUTH_FACTOR_TOTP : AUTH_FACTOR_RECOVERY;
	s->proof.code = without_spaces(x, code);
	s->proof.address = x->req.peer;
	s->proof.request_id = x->req.id;
	s->proof.arena = x->arena;
	s->proof.done = proved;
	s->proof.arg = s;
	ms_auth_prove(s->w.identity->auth, x->loop, &s->proof);
}

static void style(struct exchange *x, void *role)
{
	(void)role;
	ms_buf_append(x->body, ms_page_style, ms_page_style_size);
	ms_http_set_header(x, "Cache-Control", MS_SLICE_LIT("public, max-age=3600"));
	ms_http_send(x, 200, "text/css; charset=utf-8");
}

static const struct route routes[] = {
	{.method = HTTP_POST,
	 .pattern = "/oauth/login",
	 .handle = login,
	 .flags = ROUTE_PUBLIC,
	 .operation_id = "oauth_login",
	 .tag = "oauth",
	 .summary = "The answer of the sign-in page",
	 .response_type = "text/html"},
	{.method = HTTP_POST,
	 .pattern = "/oauth/second",
	 .handle = second,
	 .flags = ROUTE_PUBLIC,
	 .operation_id = "oauth_second",
	 .tag = "oauth",
	 .summary = "The answer of the page for a second factor",
	 .response_type = "text/html"},
	{.method = HTTP_GET,
	 .pattern = "/oauth/style.css",
	 .handle = style,
	 .flags = ROUTE_PUBLIC | ROUTE_HIDDEN,
	 .operation_id = "oauth_style",
	 .tag = "oauth",
	 .summary = "How the pages look",
	 .response_type = "text/css"},
};

struct identity_table ms_identity_signin_table(void)
{
	return (struct identity_table){.routes = routes, .count = MS_ARRAY_LEN(routes)};
}
