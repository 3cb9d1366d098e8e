// SPDX-License-Identifier: Apache-2.0
// Private to identity: what the files of the OAuth provider share: forms, pages, cookies, the authorization request.
#ifndef MS_IDENTITY_OAUTH_H
#define MS_IDENTITY_OAUTH_H

#include <stdio.h>

#include "identity/private.h"

// --- Forms (form.c) --------------------------------------------------------------------------------------

#define FORM_PAIRS_MAX 64
struct form_pair {
	struct slice name, value; // decoded
};
struct form {
	struct form_pair *pairs;
	size_t count;
};
// "a=b&c=d" of a query or a body. False: badly encoded, too many pairs, or memory is out.
MS_MUST_USE bool ms_form_read(struct arena *arena, struct slice text, struct form *ret_form);
// p == NULL when it is absent or empty: RFC 6749, section 3.1, takes the one as the other.
struct slice ms_form_get(const struct form *form, const char *name);
// A name that comes twice (but `resource`, which may), or NULL.
const char *ms_form_repeated(const struct form *form, struct arena *arena);
void ms_form_encode(struct buf *out, struct slice text);
// "&name=value" ("?…" for the first of a URI without a query).
void ms_form_add(struct buf *out, const char *name, struct slice value);
// The body of a POST as a form. False: answered as OAuth wants it (`page`: as a page).
MS_MUST_USE bool ms_form_body(struct identity_work *w, bool page, struct form *ret_form);

// --- Pages (page.c) --------------------------------------------------------------------------------------

struct page_var {
	const char *name;
	struct slice value;
	bool raw; // is HTML already
};
struct page {
	int status;
	const char *html;
	size_t html_size;
	const char *title;
	struct slice form_target; // URI whose origin forms may lead to, beside our own; or empty
	const struct page_var *vars;
	size_t count;
	struct page_var base; // set by ms_page_send()
};
void ms_page_send(struct exchange *x, const struct page *page);
// From where the request is to "/oauth/": "", or "../../". Pages have it as {{base}}.
const char *ms_page_base(const struct exchange *x);
#define MS_PAGE(page_name) .html = ms_page_##page_name, .html_size = ms_page_##page_name##_size
extern const char ms_page_frame[], ms_page_login[], ms_page_second[], ms_page_consent[], ms_page_device[],
	ms_page_message[], ms_page_logout[], ms_page_link[], ms_page_style[];
extern const size_t ms_page_frame_size, ms_page_login_size, ms_page_second_size, ms_page_consent_size,
	ms_page_device_size, ms_page_message_size, ms_page_logout_size, ms_page_link_size, ms_page_style_size;
void ms_html_escape(struct buf *out, struct slice text);
// A page that says something and ends there.
void ms_page_message_send(struct exchange *x, int status, const char *title, const char *text);
// The error of a failed work, as a page.
void ms_page_fail(struct identity_work *w);
// 303 to a path of our own, or to a URI of a client that was checked.
void ms_page_redirect(struct exchange *x, struct slice location);
// A form of another site comes without the cookie (SameSite): the browser is sent to ask again by itself, with the form as the query.
void ms_page_repeat(struct exchange *x, const char *path);
// What the list of a consent shows, as HTML.
void ms_page_scopes(struct buf *out, struct slice scope);
struct slice ms_page_duration(struct exchange *x, int64_t seconds); // "30 days"

// --- Cookies, forgery (cookie.c) -------------------------------------------------------------------------

// The browser's secret, or empty. Not yet known to be worth anything.
struct slice ms_cookie_get(struct exchange *x, const struct identity *identity);
void ms_cookie_set(struct exchange *x, const struct identity *identity, struct slice value);
void ms_cookie_clear(struct exchange *x, const struct identity *identity);
// What a sign-in through an outside provider was begun with, sealed; value empty: away with it.
struct slice ms_cookie_external(struct exchange *x, const struct identity *identity);
void ms_cookie_external_set(struct exchange *x, const struct identity *identity, struct slice value);
// The present one, or a new one that is set: what forms are bound to. In the arena; empty when memory is out.
struct slice ms_cookie_need(struct exchange *x, const struct identity *identity);
// A new text each time, so that compressing pages tells nothing about it.
struct slice ms_csrf_make(struct exchange *x, struct slice cookie);
// False: answered. The form must be of a page of ours, shown to this browser.
MS_MUST_USE bool ms_csrf_check(struct exchange *x, const struct identity *identity, const struct form *form);

// --- The authorization request (authorize.c) -------------------------------------------------------------

struct signin {                 // what the login page is for
	struct slice request;   // raw query of an authorization request, or empty
	struct slice user_code; // of a device, or empty
	bool link;              // to link the account with one at an outside provider
	struct slice error;     // what to tell
	struct slice username;  // typed before
	struct slice client_name;
	struct slice form_target;
	int status;
};
void ms_signin_page(struct exchange *x, struct identity *identity, const struct signin *signin);
// Where to go on: "/oauth/authorize?…" or "/oauth/device?…", in the arena.
struct slice ms_signin_next(struct exchange *x, const struct signin *signin);
// Its page again, with an error of the present sign-in.
void ms_signin_again(struct exchange *x, struct identity *identity, struct signin *signin, int status,
		     const char *error);
// Signs in who an outside provider says it is.
void ms_signin_external(struct exchange *x, struct identity *identity, const struct signin *signin,
			const struct federation_attempt *attempt, const struct federation_person *person);
// The page that links accounts (external.c); `failed` as below.
void ms_link_page(struct exchange *x, struct identity *identity, const struct signin *failed);
enum decision { DECISION_NONE, DECISION_ALLOW, DECISION_DENY };
// Answers the request of `query`. `failed`: a sign-in for it that did not work (then its page comes again), or NULL.
void ms_authorize(struct exchange *x, struct identity *identity, struct slice query, enum decision decision,
		  const struct signin *failed);
// The page for a device's code after a sign-in that failed.
void ms_device_page(struct exchange *x, struct identity *identity, struct slice typed, const struct signin *failed);

// What a device or a public program is asked with a browser at hand: "https://host/oauth/…", in the arena.
struct slice ms_oauth_url(struct exchange *x, const struct identity *identity, const char *path);

// --- Errors (RFC 6749, section 5.2) ----------------------------------------------------------------------

void ms_oauth_send_error(struct exchange *x, int status, const char *error, const char *description);
// Of a refusal at the token endpoint and its like; `basic`: the client sent an Authorization header.
void ms_oauth_send_refusal(struct exchange *x, const struct oauth_refusal *refusal, bool basic);
// Of a failure of ours.
void ms_oauth_send_failure(struct identity_work *w);
// Credentials from header and form. False: answered.
MS_MUST_USE bool ms_oauth_credentials_read(struct exchange *x, const struct form *form,
					   struct oauth_credentials *ret_credentials, bool *ret_basic);

#endif
