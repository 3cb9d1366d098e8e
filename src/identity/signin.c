// SPDX-License-Identifier: Apache-2.0
// The pages that sign a browser in.
#include "identity/oauth.h"

#define TYPED_MAX 254

// --- The page ----------------------------------------------------------------------------------------

void ms_signin_page(struct exchange *x, struct identity *identity, const struct signin *signin)
{
	char seconds[24];
	struct slice cookie = ms_cookie_need(x, identity), csrf = ms_csrf_make(x, cookie);
	const struct page_var vars[] = {
		{"client", signin->client_name, false},   {"error", signin->error, false},         {"username", signin->username, false},
		{"request", signin->request, false},      {"user_code", signin->user_code, false}, {"csrf", csrf, false},
		{"first", signin->username.n == 0 ? MS_SLICE_LIT("1") : MS_SLICE_EMPTY, false},
	};
	if (signin->retry_after_s > 0) {
		int n = snprintf(seconds, sizeof(seconds), "%lld", (long long)signin->retry_after_s);
		ms_http_set_header(x, "Retry-After", ms_slice(seconds, (size_t)n));
	}
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
		if (ms_slice_eq_cstr(pair->name, "max_age") || value.n == 0)
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
	if (signin->request.n > 0 && ms_form_read(x->arena, signin->request, &request)) {
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
	struct slice cookie; // of before
	char fresh[MS_API_KEY_SIZE];
};

static void ask_again(struct signin_work *s, int status, const char *error)
{
	s->signin.status = status;
	s->signin.error = ms_slice_cstr(error);
	s->signin.retry_after_s = s->w.retry_after_s;
	if (s->signin.request.n > 0)
		ms_authorize(s->w.x, s->w.identity, s->signin.request, DECISION_NONE, &s->signin);
	else
		ms_device_page(s->w.x, s->w.identity, s->signin.user_code, &s->signin);
}

static void failed(struct identity_work *w)
{
	struct signin_work *s = MS_CONTAINER_OF(w, struct signin_work, w);
	if (w->err == MS_ERR_AUTH_CREDENTIALS)
		ask_again(s, 403, "Username or password is wrong.");
	else if (w->err == MS_ERR_AUTH_THROTTLED)
		ask_again(s, 429, "There were too many attempts. Wait a little before the next one.");
	else
		ms_page_fail(w);
}

static void signed_in(struct identity_work *w)
{
	struct signin_work *s = MS_CONTAINER_OF(w, struct signin_work, w);
	struct slice next = ms_signin_next(w->x, &s->signin);
	ms_cookie_set(w->x, w->identity, ms_slice_cstr(s->fresh));
	ms_wipe(s->fresh, sizeof(s->fresh));
	if (next.n == 0)
		ms_page_message_send(w->x, 400, "This request is too long", "The application sent more than can be worked with.");
	else
		ms_page_redirect(w->x, next);
}

static enum ms_err begin(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct signin_work *s = arg;
	struct oauth_login before;
	const struct auth_session session = {
		.address = s->attempt.address, .agent = s->attempt.agent, .methods = MS_SLICE_LIT("pwd")};
	MS_TRY(ms_oauth_login_find(tx, s->cookie, info, &before));
	return ms_oauth_login_begin(tx, s->w.identity->auth, &s->w.actor, &s->attempt.user, s->attempt.rehashed, &session, &before, info,
				    s->fresh);
}

static void attempted(struct auth_attempt *attempt, void *arg)
{
	struct signin_work *s = arg;
	s->w.err = attempt->err;
	if (attempt->err == MS_OK) {
		ms_identity_write(&s->w, begin, signed_in, true);
		return;
	}
	s->w.info = attempt->info;
	s->w.retry_after_s = attempt->retry_after_s;
	ms_identity_fail(&s->w);
}

static void login(struct exchange *x, void *role)
{
	struct signin_work *s = MS_IDENTITY_BEGIN(x, role, struct signin_work);
	struct form form;
	if (s == NULL || !ms_form_body(&s->w, true, &form) || !ms_csrf_check(x, role, &form))
		return;
	s->w.failed = failed;
	s->cookie = ms_cookie_get(x, role);
	s->signin.request = ms_form_get(&form, "request");
	s->signin.user_code = ms_form_get(&form, "user_code");
	s->signin.username = ms_slice_sub(ms_form_get(&form, "username"), 0, TYPED_MAX);
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

static void style(struct exchange *x, void *role)
{
	(void)role;
	ms_buf_append(x->body, ms_page_style, ms_page_style_size);
	ms_http_set_header(x, "Cache-Control", MS_SLICE_LIT("public, max-age=3600"));
	ms_http_set_header(x, "X-Content-Type-Options", MS_SLICE_LIT("nosniff"));
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
