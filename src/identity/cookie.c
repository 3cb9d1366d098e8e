// SPDX-License-Identifier: Apache-2.0
// The browser's secret, and what proves that a form is ours.
//
// Every browser that sees a form has a random cookie; signing in replaces it by one that the store knows. A form carries a digest of
// that cookie, which nobody who does not have the cookie can make.
#include "identity/oauth.h"

#define NONCE_SIZE 12
#define COOKIE_LINE 256
#define EXTERNAL_LINE (MS_FEDERATION_COOKIE_MAX + COOKIE_LINE)

static bool is_secure(const struct exchange *x, const struct identity *identity)
{
	return x->req.tls || strncmp(ms_auth_issuer(identity->auth), "https:", 6) == 0;
}

// With TLS the prefix keeps other hosts of the domain from setting it (RFC 6265bis, section 4.1.3).
static const char *name_of(const struct exchange *x, const struct identity *identity)
{
	return is_secure(x, identity) ? "__Host-mainstay" : "mainstay";
}

// The one cookie of that name; two of them are none: which one is ours is not ours to guess.
static struct slice find(const struct exchange *x, const char *name)
{
	struct slice found = MS_SLICE_EMPTY;
	for (size_t h = 0; h < x->req.header_count; h++) {
		struct slice rest = x->req.headers[h].value, one;
		if (!ms_slice_eq_nocase(x->req.headers[h].name, MS_SLICE_LIT("Cookie")))
			continue;
		while (ms_slice_next(&rest, ';', &one)) {
			one = ms_slice_trim(one);
			size_t equals = ms_slice_find(one, '=');
			if (!ms_slice_eq_cstr(ms_slice_sub(one, 0, equals), name))
				continue;
			if (found.p != NULL)
				return MS_SLICE_EMPTY;
			found = ms_slice_sub(one, equals + 1, SIZE_MAX);
		}
	}
	return found;
}

struct slice ms_cookie_get(struct exchange *x, const struct identity *identity)
{
	struct slice found = find(x, name_of(x, identity)), prefix;
	bool good =
		found.p != NULL && ms_api_key_parse(found, &prefix) && ms_slice_eq_cstr(prefix, MS_OAUTH_COOKIE_PREFIX);
	return good ? found : MS_SLICE_EMPTY;
}

static void set(struct exchange *x, const struct identity *identity, struct slice value, const char *more)
{
	char line[COOKIE_LINE];
	int n = snprintf(line, sizeof(line), "%s=%.*s; Path=/; HttpOnly; SameSite=Lax%s%s", name_of(x, identity),
			 MS_SLICE_ARG(value), is_secure(x, identity) ? "; Secure" : "", more);
	MS_ASSERT(n > 0 && (size_t)n < sizeof(line));
	ms_http_set_header(x, "Set-Cookie", ms_slice(line, (size_t)n));
}

void ms_cookie_set(struct exchange *x, const struct identity *identity, struct slice value)
{
	set(x, identity, value, "");
}

void ms_cookie_clear(struct exchange *x, const struct identity *identity)
{
	set(x, identity, MS_SLICE_EMPTY, "; Max-Age=0");
}

struct slice ms_cookie_need(struct exchange *x, const struct identity *identity)
{
	uint8_t random[MS_API_KEY_RANDOM_SIZE];
	struct slice cookie = ms_cookie_get(x, identity);
	if (cookie.n > 0)
		return cookie;
	char *text = ms_arena_alloc(x->arena, MS_API_KEY_SIZE);
	if (text == NULL)
		return MS_SLICE_EMPTY;
	ms_random_bytes(random, sizeof(random));
	cookie = ms_slice(text, ms_api_key_make(MS_SLICE_LIT(MS_OAUTH_COOKIE_PREFIX), random, text));
	ms_cookie_set(x, identity, cookie);
	return cookie;
}

// --- Sign-ins that go by an outside provider ---------------------------------------------------------

static const char *external_name(const struct exchange *x, const struct identity *identity)
{
	return is_secure(x, identity) ? "__Host-mainstay-external" : "mainstay-external";
}

struct slice ms_cookie_external(struct exchange *x, const struct identity *identity)
{
	return find(x, external_name(x, identity));
}

void ms_cookie_external_set(struct exchange *x, const struct identity *identity, struct slice value)
{
	char line[EXTERNAL_LINE];
	int n = snprintf(line, sizeof(line), "%s=%.*s; Path=/; HttpOnly; SameSite=Lax%s; Max-Age=%d",
			 external_name(x, identity), MS_SLICE_ARG(value), is_secure(x, identity) ? "; Secure" : "",
			 value.n > 0 ? MS_FEDERATION_LIFE_S : 0);
	MS_ASSERT(n > 0 && (size_t)n < sizeof(line));
	ms_http_set_header(x, "Set-Cookie", ms_slice(line, (size_t)n));
}

// --- Forgery -----------------------------------------------------------------------------------------

static void digest_of(struct slice nonce, struct slice cookie, uint8_t ret_digest[MS_DIGEST_MAX])
{
	ms_hmac(CRYPTO_SHA256, cookie, nonce, ret_digest);
}

struct slice ms_csrf_make(struct exchange *x, struct slice cookie)
{
	uint8_t nonce[NONCE_SIZE], digest[MS_DIGEST_MAX];
	struct buf text;
	ms_random_bytes(nonce, sizeof(nonce));
	digest_of(ms_slice(nonce, sizeof(nonce)), cookie, digest);
	ms_buf_init(&text, 256);
	ms_base64url_append(&text, ms_slice(nonce, sizeof(nonce)));
	ms_base64url_append(&text, ms_slice(digest, MS_SHA256_SIZE));
	struct slice made = ms_buf_ok(&text) ? ms_arena_copy(x->arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	return made;
}

static bool fits(struct exchange *x, struct slice token, struct slice cookie)
{
	struct slice nonce, mac;
	uint8_t digest[MS_DIGEST_MAX];
	size_t split = NONCE_SIZE / 3 * 4; // base64url of the nonce, whole
	if (!ms_base64url_decode(ms_slice_sub(token, 0, split), x->arena, &nonce) || nonce.n != NONCE_SIZE ||
	    !ms_base64url_decode(ms_slice_sub(token, split, SIZE_MAX), x->arena, &mac))
		return false;
	digest_of(nonce, cookie, digest);
	return ms_equal_constant_time(mac, ms_slice(digest, MS_SHA256_SIZE));
}

bool ms_csrf_check(struct exchange *x, const struct identity *identity, const struct form *form)
{
	struct slice cookie = ms_cookie_get(x, identity), token = ms_form_get(form, "csrf");
	struct slice site = ms_http_header(&x->req, "Sec-Fetch-Site");
	bool own = site.p == NULL || ms_slice_eq_cstr(site, "same-origin") || ms_slice_eq_cstr(site, "none");
	if (own && cookie.n > 0 && token.n > 0 && fits(x, token, cookie))
		return true;
	ms_page_message_send(x, 403, "This form is out of date",
			     "It was not sent from the page that this browser was shown, or the browser keeps no "
			     "cookies. Go back, load the page "
			     "again and try once more.");
	return false;
}
