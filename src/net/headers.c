// SPDX-License-Identifier: Apache-2.0
// Which headers of an answer may travel on, and the list of all of them.
#include "net/http1/scan.h"
#include "net/server.h"

// Whether a header with the name Connection lists it.
static bool is_listed(const struct http_header *headers, size_t count, struct slice name)
{
	for (size_t i = 0; i < count; i++) {
		struct slice rest = headers[i].value, option;
		if (!ms_slice_eq_nocase(headers[i].name, MS_SLICE_LIT("connection")))
			continue;
		while (ms_slice_next(&rest, ',', &option)) {
			if (ms_slice_eq_nocase(ms_slice_trim(option), name))
				return true;
		}
	}
	return false;
}

static bool is_one_of(struct slice name, const struct slice *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (names[i].n == name.n && ms_slice_eq_nocase(name, names[i]))
			return true;
	}
	return false;
}

// Of the connection, or of the framing, which is ours; and the id, which every answer has from us.
static bool is_of_transport(struct slice name)
{
	static const struct slice names[] = {
		MS_SLICE_LIT("connection"),       MS_SLICE_LIT("keep-alive"),
		MS_SLICE_LIT("proxy-connection"), MS_SLICE_LIT("te"),
		MS_SLICE_LIT("trailer"),          MS_SLICE_LIT("transfer-encoding"),
		MS_SLICE_LIT("upgrade"),          MS_SLICE_LIT("proxy-authenticate"),
		MS_SLICE_LIT("content-length"),   MS_SLICE_LIT("x-request-id"),
		MS_SLICE_LIT("http2-settings"),
	};
	return is_one_of(name, names, MS_ARRAY_LEN(names));
}

static bool is_of_server(const struct work *w, struct slice name)
{
	static const struct slice names[] = {MS_SLICE_LIT("date"), MS_SLICE_LIT("x-content-type-options")};
	if (is_one_of(name, names, MS_ARRAY_LEN(names)))
		return true;
	return w->nl->server->options.server_header != NULL && ms_slice_eq_nocase(name, MS_SLICE_LIT("server"));
}

// What must be known before the body, or decides who may have it, has no place behind it (RFC 9110 section 6.5.1).
static bool is_no_trailer(struct slice name)
{
	static const struct slice names[] = {
		MS_SLICE_LIT("host"),          MS_SLICE_LIT("content-type"),     MS_SLICE_LIT("content-encoding"),
		MS_SLICE_LIT("content-range"), MS_SLICE_LIT("authorization"),    MS_SLICE_LIT("cache-control"),
		MS_SLICE_LIT("set-cookie"),    MS_SLICE_LIT("www-authenticate"), MS_SLICE_LIT("location"),
		MS_SLICE_LIT("expect"),        MS_SLICE_LIT("cookie"),
	};
	return is_one_of(name, names, MS_ARRAY_LEN(names));
}

static bool is_valid(const struct http_header *h)
{
	return h->name.n > 0 && scan_token(h->name.p, 0, h->name.n) == h->name.n &&
	       scan_value(h->value.p, 0, h->value.n) == h->value.n;
}

bool ms_trailer_allowed(const struct http_header *trailer)
{
	return is_valid(trailer) && !is_of_transport(trailer->name) && !is_no_trailer(trailer->name);
}

bool ms_answer_filter(struct work *w, const struct http_header *headers, size_t count, bool server_headers,
		      bool trailers, struct http_header **ret_headers, size_t *ret_count)
{
	*ret_headers = NULL;
	*ret_count = 0;
	if (count == 0)
		return true;
	struct http_header *kept = MS_ARENA_ARRAY(&w->arena, struct http_header, count);
	if (kept == NULL)
		return false;
	bool lists = false;
	for (size_t i = 0; i < count && !lists; i++)
		lists = headers[i].name.n == 10 && ms_slice_eq_nocase(headers[i].name, MS_SLICE_LIT("connection"));
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		const struct http_header *h = &headers[i];
		bool drop = !is_valid(h) || is_of_transport(h->name) || (server_headers && is_of_server(w, h->name)) ||
			    (trailers && is_no_trailer(h->name)) || (lists && is_listed(headers, count, h->name));
		if (!drop)
			kept[n++] = *h;
	}
	*ret_headers = kept;
	*ret_count = n;
	return true;
}

// --- As a list ---------------------------------------------------------------------------------------

struct list_of {
	struct arena *arena;
	struct http_header *fields;
	size_t count;
	bool failed;
};

static void add(struct list_of *l, struct slice name, struct slice value)
{
	char *lower = ms_arena_alloc(l->arena, name.n);
	if (lower == NULL) {
		l->failed = true;
		return;
	}
	for (size_t i = 0; i < name.n; i++)
		lower[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 : name.p[i]);
	l->fields[l->count++] = (struct http_header){ms_slice(lower, name.n), value};
}

static void add_server_fields(struct list_of *l, struct work *w)
{
	struct net_loop *nl = w->nl;
	struct buf date;
	ms_buf_init(&date, 64);
	ms_http1_write_date(&date, &nl->date, ms_loop_wall_ns(nl->loop)); // "Date: ...\r\n"
	struct slice line = ms_slice_trim(ms_slice_sub(ms_buf_slice(&date), 5, date.n - 7));
	struct slice value = ms_arena_copy(l->arena, line);
	ms_buf_fini(&date);
	l->failed |= value.p == NULL;
	add(l, MS_SLICE_LIT("date"), value);
	if (nl->server->options.server_header != NULL)
		add(l, MS_SLICE_LIT("server"), ms_slice_cstr(nl->server->options.server_header));
	add(l, MS_SLICE_LIT("x-content-type-options"), MS_SLICE_LIT("nosniff"));
}

size_t ms_answer_count_lines(struct slice lines)
{
	size_t n = 0;
	struct slice line;
	while (ms_slice_next(&lines, '\n', &line))
		n++;
	return n;
}

bool ms_answer_next_line(struct slice *lines, struct http_header *ret_header)
{
	struct slice line;
	while (ms_slice_next(lines, '\n', &line)) {
		size_t colon = ms_slice_find(line, ':');
		if (colon >= line.n)
			continue;
		ret_header->name = ms_slice_sub(line, 0, colon);
		ret_header->value = ms_slice_sub(line, colon + 2, line.n - colon - 3);
		return true;
	}
	return false;
}

// What handlers set; the values are in the work's buffer.
static void add_lines(struct list_of *l, struct slice lines)
{
	struct http_header h;
	while (ms_answer_next_line(&lines, &h))
		add(l, h.name, h.value);
}

struct http_header *ms_answer_fields(struct work *w, const struct answer_head *head, size_t *ret_count)
{
	struct list_of l = {.arena = &w->arena};
	size_t most = 8 + head->header_count + ms_answer_count_lines(ms_buf_slice(&w->headers));
	l.fields = MS_ARENA_ARRAY(&w->arena, struct http_header, most);
	if (l.fields == NULL)
		return NULL;
	if (!head->no_server_headers)
		add_server_fields(&l, w);
	add(&l, MS_SLICE_LIT("x-request-id"), w->x.req.id);
	if (head->type != NULL)
		add(&l, MS_SLICE_LIT("content-type"), ms_slice_cstr(head->type));
	if (head->coding != CODING_IDENTITY)
		add(&l, MS_SLICE_LIT("content-encoding"), ms_slice_cstr(ms_coding_name(head->coding)));
	add_lines(&l, ms_buf_slice(&w->headers));
	for (size_t i = 0; i < head->header_count; i++)
		add(&l, head->headers[i].name, head->headers[i].value);
	if (head->length < LENGTH_STREAM && !ms_has_no_content(head->status)) {
		char *digits = ms_arena_printf(&w->arena, "%llu", (unsigned long long)head->length);
		l.failed |= digits == NULL;
		if (digits != NULL)
			add(&l, MS_SLICE_LIT("content-length"), ms_slice_cstr(digits));
	}
	*ret_count = l.count;
	return l.failed ? NULL : l.fields;
}
