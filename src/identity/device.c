// SPDX-License-Identifier: Apache-2.0
// The page at which a person types the code that a device shows (RFC 8628, section 3.3).
#include "identity/oauth.h"

struct device_work {
	struct identity_work w;
	const struct signin *failed;
	struct slice typed, cookie;
	char user_code[MS_OAUTH_USER_CODE_SIZE]; // "" when what was typed can be none
	enum decision decision;
	bool complete; // the code came by the link, not by hand: it is only filled in
	struct oauth_login login;
	struct oauth_device device;
	struct slice scope;
	bool decided;
};

static struct device_work *work_of(struct identity_work *w)
{
	return MS_CONTAINER_OF(w, struct device_work, w);
}

// --- Pages -------------------------------------------------------------------------------------------

static void ask_code(struct device_work *s, int status, const char *error)
{
	struct exchange *x = s->w.x;
	const struct page_var vars[] = {
		{"error", ms_slice_cstr(error), false},
		{"username", s->login.user.username, false},
		{"user_code", ms_slice_sub(s->typed, 0, 20), false},
		{"csrf", ms_csrf_make(x, s->cookie), false},
	};
	ms_page_send(x, &(struct page){.status = status,
				       MS_PAGE(device),
				       .title = "Sign in a device",
				       .vars = vars,
				       .count = MS_ARRAY_LEN(vars)});
}

static void ask_login(struct device_work *s)
{
	struct signin signin = s->failed != NULL ? *s->failed : (struct signin){.status = 200};
	signin.user_code = ms_slice_sub(s->typed, 0, 20);
	ms_signin_page(s->w.x, s->w.identity, &signin);
}

static void ask_consent(struct device_work *s)
{
	struct buf scopes;
	struct exchange *x = s->w.x;
	ms_buf_init(&scopes, (size_t)64 << 10);
	ms_page_scopes(&scopes, s->scope);
	const struct page_var vars[] = {
		{"client", s->device.client.name, false},
		{"user", s->login.user.display_name.n > 0 ? s->login.user.display_name : s->login.user.username, false},
		{"username", s->login.user.username, false},
		{"scopes", ms_buf_slice(&scopes), true},
		{"life", ms_page_duration(x, ms_oauth_life_s(s->w.identity->auth, &s->device.client, s->scope)), false},
		{"request", MS_SLICE_EMPTY, false},
		{"device", MS_SLICE_LIT("1"), false},
		{"user_code", ms_slice_cstr(s->user_code), false},
		{"target", MS_SLICE_EMPTY, false},
		{"csrf", ms_csrf_make(x, s->cookie), false},
	};
	ms_page_send(x, &(struct page){.status = 200,
				       MS_PAGE(consent),
				       .title = "Allow access",
				       .vars = vars,
				       .count = MS_ARRAY_LEN(vars)});
	ms_buf_fini(&scopes);
}

// --- The store ---------------------------------------------------------------------------------------

static enum ms_err look(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct device_work *s = arg;
	struct oauth_login login;
	struct oauth_device device;
	const struct grants *grants;
	struct arena *arena = s->w.x->arena;
	s->device.found = false;
	MS_TRY(ms_oauth_login_find(tx, s->cookie, info, &login));
	MS_TRY(ms_oauth_login_copy(&login, arena, info, &s->login));
	if (!login.found || s->user_code[0] == '\0')
		return MS_OK;
	MS_TRY(ms_oauth_device_find(tx, ms_slice_cstr(s->user_code), info, &device));
	if (!device.found)
		return MS_OK;
	MS_TRY(ms_auth_user_grants(tx, &login.user, info, &grants));
	MS_TRY(ms_oauth_scope_narrow(device.scope, grants, arena, info, &s->scope));
	MS_TRY(ms_oauth_client_copy(&device.client, arena, info, &s->device.client));
	s->device.found = true;
	return MS_OK;
}

static enum ms_err decide(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct device_work *s = arg;
	MS_TRY(look(tx, s, info));
	s->decided = false;
	if (!s->login.found || !s->device.found || (s->decision == DECISION_ALLOW && s->scope.n == 0))
		return MS_OK;
	return ms_oauth_device_decide(tx, s->w.identity->auth, &s->w.actor, ms_slice_cstr(s->user_code), &s->login,
				      s->decision == DECISION_ALLOW, s->scope, info, &s->decided);
}

static void decided(struct identity_work *w)
{
	struct device_work *s = work_of(w);
	if (!s->login.found)
		ask_login(s);
	else if (!s->decided)
		ask_code(s, 400, "This code waits no longer. Look whether the device shows another one.");
	else if (s->decision == DECISION_ALLOW)
		ms_page_message_send(w->x, 200, "The device is signed in",
				     "You can close this page and go on at the device.");
	else
		ms_page_message_send(w->x, 200, "Access was not allowed",
				     "The device was told so. You can close this page.");
}

// Whoever types codes guesses until one fits.
static bool may_guess(struct device_work *s)
{
	char seconds[24];
	int64_t wait_s = ms_oauth_device_wait_s(s->w.identity->auth, s->login.user.id, s->w.x->req.peer);
	if (wait_s == 0)
		return true;
	int n = snprintf(seconds, sizeof(seconds), "%lld", (long long)wait_s);
	ms_http_set_header(s->w.x, "Retry-After", ms_slice(seconds, (size_t)n));
	ask_code(s, 429, "There were too many wrong codes. Wait a little before the next one.");
	return false;
}

static void looked(struct identity_work *w)
{
	struct device_work *s = work_of(w);
	if (!s->login.found || s->failed != NULL) {
		ask_login(s);
		return;
	}
	if (s->complete) {
		ask_code(s, 200, "");
		return;
	}
	if (!may_guess(s))
		return;
	ms_oauth_device_typed(w->identity->auth, s->login.user.id, w->x->req.peer, s->device.found);
	if (!s->device.found)
		ask_code(s, 400, "No device waits with this code. Compare it with what the device shows.");
	else if (s->scope.n == 0)
		ms_page_message_send(w->x, 403, "Nothing to allow",
				     "Your account may do nothing of what this device asks for.");
	else
		ask_consent(s);
}

static struct device_work *begin(struct exchange *x, struct identity *identity, struct slice typed)
{
	struct device_work *s = MS_IDENTITY_BEGIN(x, identity, struct device_work);
	if (s == NULL)
		return NULL;
	s->w.failed = ms_page_fail;
	s->typed = typed;
	s->cookie = ms_cookie_get(x, identity);
	if (!ms_oauth_user_code_read(typed, s->user_code))
		s->user_code[0] = '\0';
	return s;
}

void ms_device_page(struct exchange *x, struct identity *identity, struct slice typed, const struct signin *failed)
{
	struct device_work *s = begin(x, identity, typed);
	if (s == NULL)
		return;
	s->failed = failed;
	s->complete = true;
	ms_identity_read(&s->w, look, looked);
}

// --- Routes ------------------------------------------------------------------------------------------

static void device_get(struct exchange *x, void *role)
{
	struct slice typed;
	ms_device_page(x, role, ms_http_query(x, "user_code", &typed) ? typed : MS_SLICE_EMPTY, NULL);
}

static void device_post(struct exchange *x, void *role)
{
	struct form form;
	struct identity_work *w = MS_IDENTITY_BEGIN(x, role, struct identity_work);
	if (w == NULL || !ms_form_body(w, true, &form) || !ms_csrf_check(x, role, &form))
		return;
	struct device_work *s = begin(x, role, ms_form_get(&form, "user_code"));
	if (s == NULL)
		return;
	struct slice decision = ms_form_get(&form, "decision");
	if (decision.n == 0) {
		ms_identity_read(&s->w, look, looked);
		return;
	}
	s->decision = ms_slice_eq_cstr(decision, "allow") ? DECISION_ALLOW : DECISION_DENY;
	ms_identity_write(&s->w, decide, decided, false);
}

static const struct route_param device_params[] = {
	{"user_code", "string", "The code that the device shows", false},
	{0},
};

#define PAGE(verb, fn, id, text)                                                                             \
	.method = verb, .pattern = "/oauth/device", .handle = fn, .flags = ROUTE_PUBLIC, .operation_id = id, \
	.tag = "oauth", .summary = text, .response_type = "text/html"

static const struct route routes[] = {
	{PAGE(HTTP_GET, device_get, "oauth_device", "The page for the code of a device (RFC 8628)"),
	 .query = device_params},
	{PAGE(HTTP_POST, device_post, "oauth_device_post", "The answer of that page")},
};

struct identity_table ms_identity_device_table(void)
{
	return (struct identity_table){.routes = routes, .count = MS_ARRAY_LEN(routes)};
}
