// SPDX-License-Identifier: Apache-2.0
// Pages: HTML of web/identity without scripts, filled in here. {{name}} is escaped, {{&name}} is HTML already, {{#name}}…{{/name}} is there
// when the value is not empty and {{^name}}…{{/name}} when it is.
#include "identity/oauth.h"

#define PAGE_MAX ((size_t)256 << 10)

void ms_html_escape(struct buf *out, struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		switch (text.p[i]) {
		case '&':
			ms_buf_append_cstr(out, "&amp;");
			break;
		case '<':
			ms_buf_append_cstr(out, "&lt;");
			break;
		case '>':
			ms_buf_append_cstr(out, "&gt;");
			break;
		case '"':
			ms_buf_append_cstr(out, "&quot;");
			break;
		case '\'':
			ms_buf_append_cstr(out, "&#39;");
			break;
		default:
			ms_buf_append_char(out, text.p[i]);
		}
	}
}

const char *ms_page_base(const struct exchange *x)
{
	return ms_slice_starts_with(x->req.path, MS_SLICE_LIT("/oauth/external/")) ? "../../" : "";
}

static const struct page_var *find(const struct page *page, struct slice name)
{
	for (size_t i = 0; i < page->count; i++) {
		if (ms_slice_eq_cstr(name, page->vars[i].name))
			return &page->vars[i];
	}
	return page->base.value.p != NULL && ms_slice_eq_cstr(name, page->base.name) ? &page->base : NULL;
}

// Where `mark` begins in `text`, or text.n.
static size_t find_text(struct slice text, struct slice mark)
{
	const char *hit = text.n > 0 ? memmem(text.p, text.n, mark.p, mark.n) : NULL;
	return hit != NULL ? (size_t)(hit - text.p) : text.n;
}

static struct slice after(struct slice text, size_t n)
{
	return ms_slice_sub(text, n, SIZE_MAX);
}

static void render(struct buf *out, struct slice html, const struct page *page)
{
	while (html.n > 0) {
		size_t open = find_text(html, MS_SLICE_LIT("{{"));
		ms_buf_append_slice(out, ms_slice_sub(html, 0, open));
		if (open == html.n)
			return;
		html = after(html, open + 2);
		size_t close = find_text(html, MS_SLICE_LIT("}}"));
		struct slice tag = ms_slice_sub(html, 0, close);
		char kind = tag.n > 0 ? tag.p[0] : '\0';
		bool section = kind == '#' || kind == '^';
		struct slice name = section || kind == '&' ? after(tag, 1) : tag;
		const struct page_var *var = find(page, name);
		html = after(html, close + 2);
		if (!section) {
			MS_ASSERT(var != NULL); // of our own pages
			if (var->raw)
				ms_buf_append_slice(out, var->value);
			else
				ms_html_escape(out, var->value);
			continue;
		}
		char end[64];
		int n = snprintf(end, sizeof(end), "{{/%.*s}}", MS_SLICE_ARG(name));
		size_t inner = find_text(html, ms_slice(end, (size_t)n));
		bool shown = (var != NULL && var->value.n > 0) == (kind == '#');
		if (shown)
			render(out, ms_slice_sub(html, 0, inner), page);
		html = after(html, inner + (size_t)n);
	}
}

// "https://app.example.com" of a URI; of a scheme of its own, the scheme.
static struct slice origin_of(struct slice uri)
{
	size_t colon = ms_slice_find(uri, ':');
	if (!ms_slice_starts_with(uri, MS_SLICE_LIT("http")) ||
	    !ms_slice_starts_with(after(uri, colon), MS_SLICE_LIT("://")))
		return ms_slice_sub(uri, 0, MS_MIN(colon + 1, uri.n));
	size_t end = colon + 3;
	while (end < uri.n && uri.p[end] != '/' && uri.p[end] != '?')
		end++;
	return ms_slice_sub(uri, 0, end);
}

// Redirects that follow a form count as its targets in browsers: the client's origin is one.
static void set_headers(struct exchange *x, struct slice form_target)
{
	struct slice origin = origin_of(form_target);
	char *policy = ms_arena_printf(x->arena,
				       "default-src 'none'; style-src 'self'; form-action 'self'%s%.*s; base-uri "
				       "'none'; frame-ancestors 'none'",
				       origin.n > 0 ? " " : "", MS_SLICE_ARG(origin));
	ms_http_set_header(x, "Content-Security-Policy",
			   policy != NULL ? ms_slice_cstr(policy)
					  : MS_SLICE_LIT("default-src 'none'; frame-ancestors 'none'"));
	ms_http_set_header(x, "X-Frame-Options", MS_SLICE_LIT("DENY"));
	ms_http_set_header(x, "Referrer-Policy", MS_SLICE_LIT("no-referrer"));
	ms_http_set_header(x, "Cross-Origin-Resource-Policy", MS_SLICE_LIT("same-origin"));
}

void ms_page_send(struct exchange *x, const struct page *page)
{
	struct buf content;
	struct page inner = *page;
	inner.base = (struct page_var){"base", ms_slice_cstr(ms_page_base(x)), false};
	ms_buf_init(&content, PAGE_MAX);
	render(&content, ms_slice(page->html, page->html_size), &inner);
	if (!ms_buf_ok(&content)) {
		ms_buf_fini(&content);
		ms_http_fail_code(x, MS_ERR_NO_MEMORY, "out of memory for this page");
		return;
	}
	const struct page_var vars[] = {{"title", ms_slice_cstr(page->title), false},
					{"content", ms_buf_slice(&content), true}};
	const struct page frame = {.vars = vars, .count = MS_ARRAY_LEN(vars), .base = inner.base};
	render(x->body, ms_slice(ms_page_frame, ms_page_frame_size), &frame);
	ms_buf_fini(&content);
	set_headers(x, page->form_target);
	ms_http_send(x, page->status, "text/html; charset=utf-8");
}

void ms_page_message_send(struct exchange *x, int status, const char *title, const char *text)
{
	const struct page_var vars[] = {{"heading", ms_slice_cstr(title), false},
					{"text", ms_slice_cstr(text), false},
					{"bad", status >= 400 ? MS_SLICE_LIT("1") : MS_SLICE_EMPTY, false},
					{"request_id", status >= 400 ? x->req.id : MS_SLICE_EMPTY, false}};
	ms_page_send(
		x,
		&(struct page){
			.status = status, MS_PAGE(message), .title = title, .vars = vars, .count = MS_ARRAY_LEN(vars)});
}

void ms_page_fail(struct identity_work *w)
{
	int status = ms_err_http_status(w->err);
	bool busy = status == 503 || status == 429;
	ms_page_message_send(w->x, status >= 400 ? status : 500,
			     busy ? "Too much is going on" : "Something went wrong here",
			     busy ? "The service is busy or its database cannot be reached. Try again in a moment."
				  : "This was not your fault. Try again; if it stays, tell whoever runs this service "
				    "the number below.");
}

void ms_page_redirect(struct exchange *x, struct slice location)
{
	ms_http_set_header(x, "Location", location);
	ms_http_set_header(x, "Referrer-Policy", MS_SLICE_LIT("no-referrer"));
	ms_http_send(x, 303, NULL);
}

void ms_page_repeat(struct exchange *x, const char *path)
{
	struct slice body = x->req.body;
	char *location =
		ms_arena_printf(x->arena, "%s?%.*s", path, (int)MS_MIN(body.n, (size_t)8000), body.n > 0 ? body.p : "");
	bool good = body.n <= 7000 && location != NULL;
	for (size_t i = 0; good && i < body.n; i++)
		good = body.p[i] > 0x20 && body.p[i] < 0x7f && body.p[i] != '#';
	if (good)
		ms_page_redirect(x, ms_slice_cstr(location));
	else
		ms_page_message_send(x, 400, "This request cannot be read",
				     "The application sent you here with a form that is too long or badly encoded.");
}

// The largest unit that there are two of, or one exactly; rounded up.
struct slice ms_page_duration(struct exchange *x, int64_t seconds)
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
	size_t i = 0;
	while (i + 1 < MS_ARRAY_LEN(units) && seconds < 2 * units[i].seconds && seconds != units[i].seconds)
		i++;
	int64_t count = (seconds + units[i].seconds - 1) / units[i].seconds;
	return ms_slice_cstr(
		ms_arena_printf(x->arena, "%lld %s%s", (long long)count, units[i].name, count == 1 ? "" : "s"));
}

// --- Scopes in words ---------------------------------------------------------------------------------

static const char *own_help(struct slice word)
{
	static const struct {
		const char *word, *help;
	} helps[] = {
		{"openid", "Know that you signed in, and an identifier of yours"},
		{"profile", "See your name and username"},
		{"email", "See your e-mail address"},
		{"offline_access", "Keep access while you are away, until you take it back"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(helps); i++) {
		if (ms_slice_eq_cstr(word, helps[i].word))
			return helps[i].help;
	}
	return NULL;
}

static const char *permission_help(struct slice name)
{
	size_t count;
	const struct auth_permission *all = ms_auth_permissions(&count);
	for (size_t i = 0; i < count; i++) {
		if (ms_slice_eq_cstr(name, all[i].name))
			return all[i].help;
	}
	return NULL;
}

static void write_words(struct buf *out, struct slice word)
{
	struct slice name = ms_slice_sub(word, 0, ms_slice_find(word, ':')), object = after(word, name.n + 1);
	const char *help = own_help(word);
	if (help == NULL)
		help = permission_help(name);
	if (ms_slice_eq_cstr(word, "*"))
		help = "Everything that you may do";
	if (help == NULL && ms_slice_ends_with(name, MS_SLICE_LIT(".*")))
		help = "Everything of this kind";
	if (help == NULL)
		help = "Use this permission";
	if (help[0] >= 'a' && help[0] <= 'z') {
		ms_buf_append_char(out, (char)(help[0] - 'a' + 'A'));
		help++;
	}
	ms_html_escape(out, ms_slice_cstr(help));
	if (object.n > 0) {
		ms_buf_append_cstr(out, ": <b>");
		ms_html_escape(out, object);
		ms_buf_append_cstr(out, "</b>");
	}
}

void ms_page_scopes(struct buf *out, struct slice scope)
{
	struct slice word;
	while (ms_slice_next(&scope, ' ', &word)) {
		if (word.n == 0)
			continue;
		ms_buf_append_cstr(out, "<li>");
		write_words(out, word);
		if (!ms_oauth_scope_is_own(word)) {
			ms_buf_append_cstr(out, " <code>");
			ms_html_escape(out, word);
			ms_buf_append_cstr(out, "</code>");
		}
		ms_buf_append_cstr(out, "</li>");
	}
}
