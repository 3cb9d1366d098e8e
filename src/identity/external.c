// SPDX-License-Identifier: Apache-2.0
// Signing in through an outside OpenID Connect provider, and linking an account here with one there.
//
// Programs have no way of their own here: they send people to /oauth/authorize or have them type a device code, and the sign-in page offers the
// provider. What a browser gets is the session of the pages.
#include "identity/oauth.h"

#define LINK_FRESH_US (600 * 1000000LL) // who links has signed in that recently

// --- Going there -------------------------------------------------------------------------------------

struct external_work {
	struct identity_work w;
	struct signin signin; // where to go on
	struct federation_attempt attempt;
	struct oauth_login login; // who links
	struct slice cookie;      // of the pages
	struct slice sealed, location;
	struct slice code, iss;
	struct federation_person person;
	const struct signin *failed;
	bool linked;
};

static struct external_work *work_of(struct identity_work *w)
{
	return MS_CONTAINER_OF(w, struct external_work, w);
}

static struct external_work *of_job(struct job *job)
{
	return MS_CONTAINER_OF(job, struct external_work, w.job);
}

static void again(struct external_work *s, int status, const char *error)
{
	ms_signin_again(s->w.x, s->w.identity, &s->signin, status, error);
}

static void failed(struct identity_work *w)
{
	struct external_work *s = work_of(w);
	struct auth *auth = w->identity->auth;
	bool refused = w->err == MS_ERR_TOKEN_INVALID || w->err == MS_ERR_TOKEN_EXPIRED || w->err == MS_ERR_TOKEN_EARLY;
	if (refused || w->err == MS_ERR_WIRE)
		ms_federation_refused(auth, &w->actor, w->info.message);
	if (refused)
		again(s, 403, "What came back from there could not be trusted. Try again.");
	else if (w->err == MS_ERR_WIRE)
		again(s, 502,
		      "The other service does not answer as it should. Try again in a moment, or sign in another way.");
	else if (w->err == MS_ERR_CONFLICT)
		again(s, 409, "That account is linked already, with a user here.");
	else if (w->err == MS_ERR_LIMIT)
		ms_page_message_send(w->x, 400, "This request is too long",
				     "The application sent more than can be taken along. Sign in another way.");
	else
		ms_page_fail(w);
}

// The state of a request for this provider; NULL: answered.
static struct external_work *begin_work(struct exchange *x, void *role)
{
	const struct identity *identity = role;
	struct external_work *s = MS_IDENTITY_BEGIN(x, role, struct external_work);
	if (s == NULL)
		return NULL;
	s->w.failed = failed;
	s->cookie = ms_cookie_get(x, role);
	if (ms_federation_name(identity->auth) != NULL &&
	    (x->req.params[0].n == 0 || ms_slice_eq_cstr(x->req.params[0], MS_FEDERATION_ID)))
		return s;
	ms_page_message_send(x, 404, "There is no such provider",
			     "Nobody can sign in here through another service of that name.");
	return NULL;
}

static void located(struct job *job)
{
	struct external_work *s = of_job(job);
	if (s->w.err != MS_OK) {
		ms_identity_fail(&s->w);
		return;
	}
	ms_cookie_external_set(s->w.x, s->w.identity, s->sealed);
	ms_page_redirect(s->w.x, s->location);
}

static void locate(struct job *job)
{
	struct external_work *s = of_job(job);
	s->w.err = ms_federation_begin(s->w.identity->auth, &s->attempt, s->w.x->arena, &s->w.info, &s->sealed,
				       &s->location);
}

static void leave(struct external_work *s)
{
	ms_identity_away(&s->w, ms_federation_pool(s->w.identity->auth), locate, located);
}

static enum ms_err find_login(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct external_work *s = arg;
	struct oauth_login login;
	MS_TRY(ms_oauth_login_find(tx, s->cookie, info, &login));
	// Whoever finds an open browser shall not leave a door of his own behind.
	login.found = login.found && ms_store_now_us(tx) - login.auth_us < LINK_FRESH_US;
	return ms_oauth_login_copy(&login, s->w.x->arena, info, &s->login);
}

static void leave_to_link(struct identity_work *w)
{
	struct external_work *s = work_of(w);
	if (!s->login.found) {
		ms_link_page(w->x, w->identity, NULL);
		return;
	}
	s->attempt.link_user = s->login.user.id;
	leave(s);
}

static void begin_get(struct exchange *x, void *role)
{
	struct form form;
	struct external_work *s = begin_work(x, role);
	if (s == NULL)
		return;
	if (!ms_form_read(x->arena, x->req.query, &form) || ms_form_repeated(&form, x->arena) != NULL) {
		ms_page_message_send(x, 400, "This request cannot be read", "Something is missing or came twice.");
		return;
	}
	s->signin.link = ms_form_get(&form, "link").n > 0;
	if (s->signin.link) {
		if (ms_csrf_check(x, role, &form))
			ms_identity_read(&s->w, find_login, leave_to_link);
		return;
	}
	s->signin.request = s->attempt.request = ms_form_get(&form, "request");
	s->signin.user_code = s->attempt.user_code = ms_form_get(&form, "user_code");
	leave(s);
}

// --- Coming back -------------------------------------------------------------------------------------

static enum ms_err link_tx(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct external_work *s = arg;
	struct auth_identity identity;
	struct oauth_login login;
	struct auth_actor actor = s->w.actor;
	const struct auth_authority authority = {.by = &actor};
	s->login.found = false;
	MS_TRY(ms_federation_spend(tx, &s->attempt, info));
	MS_TRY(ms_oauth_login_find(tx, s->cookie, info, &login));
	// Still the same user in the same browser.
	if (!login.found || !ms_slice_eq(login.user.id, s->attempt.link_user))
		return MS_OK;
	MS_TRY(ms_oauth_login_copy(&login, s->w.x->arena, info, &s->login));
	actor.kind = CALLER_USER;
	actor.id = s->login.user.id;
	actor.name = s->login.user.username;
	actor.session = s->login.session;
	return ms_auth_identity_link(tx, s->w.identity->auth, &authority, login.user.id, s->person.issuer,
				     s->person.subject, info, &identity);
}

static void send_link_page(struct external_work *s, int status, struct slice error);

static void link_done(struct identity_work *w)
{
	struct external_work *s = work_of(w);
	if (!s->login.found) {
		again(s, 403, "You were signed out meanwhile. Sign in and link again.");
		return;
	}
	s->linked = true;
	send_link_page(s, 200, MS_SLICE_EMPTY);
}

static void exchanged(struct job *job)
{
	struct external_work *s = of_job(job);
	if (s->w.err != MS_OK)
		ms_identity_fail(&s->w);
	else if (s->signin.link)
		ms_identity_write(&s->w, link_tx, link_done, false);
	else
		ms_signin_external(s->w.x, s->w.identity, &s->signin, &s->attempt, &s->person);
}

static void exchange_code(struct job *job)
{
	struct external_work *s = of_job(job);
	s->w.err = ms_federation_exchange(s->w.identity->auth, &s->attempt, s->code, s->iss, s->w.x->arena, &s->w.info,
					  &s->person);
}

static void callback_get(struct exchange *x, void *role)
{
	struct form form;
	struct external_work *s = begin_work(x, role);
	if (s == NULL)
		return;
	struct auth *auth = s->w.identity->auth;
	bool good = ms_form_read(x->arena, x->req.query, &form) && ms_form_repeated(&form, x->arena) == NULL;
	s->w.err = good ? ms_federation_open(auth, ms_cookie_external(x, role), ms_form_get(&form, "state"),
					     ms_loop_wall_ns(x->loop) / 1000, x->arena, &s->w.info, &s->attempt)
			: ms_fail(&s->w.info, MS_ERR_TOKEN_INVALID, "the answer's parameters cannot be read");
	if (s->w.err != MS_OK) {
		// Anybody can send this: it is not recorded.
		ms_page_message_send(x, 403, "This sign-in was not begun here",
				     "It took too long, was finished before, or was begun in another browser or tab. "
				     "Go back to where you wanted to sign in and begin again.");
		return;
	}
	ms_cookie_external_set(x, role, MS_SLICE_EMPTY);
	s->signin.request = s->attempt.request;
	s->signin.user_code = s->attempt.user_code;
	s->signin.link = s->attempt.link_user.n > 0;
	s->code = ms_form_get(&form, "code");
	s->iss = ms_form_get(&form, "iss");
	if (ms_form_get(&form, "error").p != NULL || s->code.n == 0) {
		ms_federation_refused(auth, &s->w.actor, "the provider did not sign the person in");
		again(s, 403, "You were not signed in there.");
		return;
	}
	ms_identity_away(&s->w, ms_federation_pool(auth), exchange_code, exchanged);
}

// --- The page for linking ----------------------------------------------------------------------------

static void send_link_page(struct external_work *s, int status, struct slice error)
{
	struct exchange *x = s->w.x;
	const struct page_var vars[] = {
		{"provider", ms_slice_cstr(ms_federation_name(s->w.identity->auth)), false},
		{"username", s->login.user.username, false},
		{"linked", s->linked ? MS_SLICE_LIT("1") : MS_SLICE_EMPTY, false},
		{"error", error, false},
		{"csrf", ms_csrf_make(x, s->cookie), false},
	};
	ms_page_send(x, &(struct page){.status = status,
				       MS_PAGE(link),
				       .title = "Link your account",
				       .vars = vars,
				       .count = MS_ARRAY_LEN(vars)});
}

static void looked(struct identity_work *w)
{
	struct external_work *s = work_of(w);
	struct signin signin = s->failed != NULL ? *s->failed : (struct signin){.status = 200};
	signin.link = true;
	if (s->login.found)
		send_link_page(s, signin.status, signin.error);
	else
		ms_signin_page(w->x, w->identity, &signin);
}

void ms_link_page(struct exchange *x, struct identity *identity, const struct signin *signin)
{
	struct external_work *s = MS_IDENTITY_BEGIN(x, identity, struct external_work);
	if (s == NULL)
		return;
	s->w.failed = ms_page_fail;
	s->cookie = ms_cookie_get(x, identity);
	s->failed = signin;
	ms_identity_read(&s->w, find_login, looked);
}

static void link_get(struct exchange *x, void *role)
{
	if (begin_work(x, role) != NULL)
		ms_link_page(x, role, NULL);
}

// --- For programs ------------------------------------------------------------------------------------

static void providers_get(struct exchange *x, void *role)
{
	const struct identity *identity = role;
	struct json_writer w;
	const char *name = ms_federation_name(identity->auth);
	struct slice begin = ms_oauth_url(x, identity, "/oauth/external/" MS_FEDERATION_ID "/begin");
	struct slice link = ms_oauth_url(x, identity, "/oauth/link");
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "providers");
	ms_json_begin_array(&w);
	if (name != NULL) {
		ms_json_begin_object(&w);
		ms_json_key_lit(&w, "id");
		ms_json_cstr(&w, MS_FEDERATION_ID);
		ms_json_key_lit(&w, "name");
		ms_json_cstr(&w, name);
		ms_json_key_lit(&w, "issuer");
		ms_json_cstr(&w, ms_federation_issuer(identity->auth));
		ms_json_member_text(&w, "sign_in_url", begin);
		ms_json_member_text(&w, "link_url", link);
		ms_json_end_object(&w);
	}
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	ms_http_set_header(x, "Cache-Control", MS_SLICE_LIT("public, max-age=300"));
	ms_http_send_json(x, 200);
}

struct identities_work {
	struct identity_work w;
	struct slice user_id, id;
};

// Written while the transaction's memory is there; the answer's body is nobody else's.
static enum ms_err list_tx(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct identities_work *s = arg;
	struct auth_identity *all;
	struct json_writer w;
	size_t count;
	MS_TRY(ms_auth_identity_list(tx, s->user_id, info, &all, &count));
	ms_buf_clear(s->w.x->body);
	ms_json_writer_init(&w, s->w.x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "identities");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < count; i++) {
		ms_json_begin_object(&w);
		ms_json_member_text(&w, "id", all[i].id);
		ms_json_member_text(&w, "issuer", all[i].issuer);
		ms_json_member_text(&w, "subject", all[i].subject);
		ms_json_member_time(&w, "created_at", all[i].created_us);
		ms_json_member_time(&w, "last_used_at", all[i].used_us);
		ms_json_end_object(&w);
	}
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	return MS_OK;
}

static void listed(struct identity_work *w)
{
	ms_http_send_json(w->x, 200);
}

static void identities_get(struct exchange *x, void *role)
{
	struct slice user_id;
	struct identities_work *s = MS_IDENTITY_BEGIN(x, role, struct identities_work);
	if (s == NULL || !ms_identity_own(x, &user_id))
		return;
	s->user_id = user_id;
	ms_identity_read(&s->w, list_tx, listed);
}

static enum ms_err unlink_tx(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct identities_work *s = arg;
	const struct auth_authority own = {.by = &s->w.actor};
	return ms_auth_identity_unlink(tx, s->w.identity->auth, &own, s->user_id, s->id, true, info);
}

static void identities_delete(struct exchange *x, void *role)
{
	struct slice user_id;
	struct identities_work *s = MS_IDENTITY_BEGIN(x, role, struct identities_work);
	if (s == NULL || !ms_identity_own(x, &user_id))
		return;
	s->user_id = user_id;
	s->id = x->req.params[0];
	ms_identity_write(&s->w, unlink_tx, ms_identity_send_nothing, false);
}

// --- Routes ------------------------------------------------------------------------------------------

static const struct route_param begin_params[] = {
	{"request", "string", "Query of the authorization request to go on with", false},
	{"user_code", "string", "The device code to go on with", false},
	{"link", "string", "1: link the account that is signed in here", false},
	{"csrf", "string", "Of the page, with link", false},
	{0},
};

#define PAGE(path, fn, id, text)                                                                                      \
	.method = HTTP_GET, .pattern = path, .handle = fn, .flags = ROUTE_PUBLIC, .operation_id = id, .tag = "oauth", \
	.summary = text, .response_type = "text/html"

static const struct route routes[] = {
	{PAGE("/oauth/external/{provider}/begin", begin_get, "external_begin",
	      "Sends a browser to an outside provider"),
	 .query = begin_params},
	// What else a provider adds to its answer is not ours to refuse.
	{PAGE("/oauth/external/{provider}/callback", callback_get, "external_callback",
	      "Where an outside provider sends it back to (its redirect URI)")},
	{PAGE("/oauth/link", link_get, "external_link",
	      "The page that links an account here with one at an outside provider")},
	{.method = HTTP_GET,
	 .pattern = "/api/v1/auth/providers",
	 .handle = providers_get,
	 .flags = ROUTE_PUBLIC,
	 .operation_id = "list_providers",
	 .tag = "auth",
	 .summary = "Outside providers that people may sign in with",
	 .response_schema = IDENTITY_OBJECT},
	{.method = HTTP_GET,
	 .pattern = "/api/v1/auth/identities",
	 .handle = identities_get,
	 .permission = "self",
	 .operation_id = "list_identities",
	 .tag = "auth",
	 .summary = "The caller's accounts at outside providers",
	 .response_schema = IDENTITY_OBJECT},
	{.method = HTTP_DELETE,
	 .pattern = "/api/v1/auth/identities/{identity}",
	 .handle = identities_delete,
	 .permission = "self",
	 .operation_id = "unlink_identity",
	 .tag = "auth",
	 .summary = "Remove one of them",
	 .description = "Refused with 409 for the only way to sign in that the user has."},
};

struct identity_table ms_identity_external_table(void)
{
	return (struct identity_table){.routes = routes, .count = MS_ARRAY_LEN(routes)};
}
