// SPDX-License-Identifier: Apache-2.0
// The state machine that cuts a request head into its parts. It looks at each byte once, however the bytes
// arrive, and fails at the same byte in each case: limits are ends of the visible input, so that running
// into one does not depend on how much was received behind it.
#include "net/http1/head.h"
#include "net/http1/scan.h"

enum state {
	STATE_START,
	STATE_START_LF,
	STATE_METHOD,
	STATE_TARGET,
	STATE_VERSION,
	STATE_LINE, // at the start of a header line
	STATE_NAME,
	STATE_BLANKS, // before the value
	STATE_VALUE,
	STATE_VALUE_LF,
	STATE_END_LF, // of the empty line
	STATE_DONE,
};

#define MAX_METHOD ((size_t)32)
#define FIRST_HEADERS ((size_t)16)
#define VERSION_LINE_SIZE ((size_t)10) // "HTTP/1.1\r\n"

static const struct slice method_names[HTTP_METHOD_COUNT] = {
	[HTTP_GET] = MS_SLICE_LIT("GET"),         [HTTP_HEAD] = MS_SLICE_LIT("HEAD"),
	[HTTP_POST] = MS_SLICE_LIT("POST"),       [HTTP_PUT] = MS_SLICE_LIT("PUT"),
	[HTTP_PATCH] = MS_SLICE_LIT("PATCH"),     [HTTP_DELETE] = MS_SLICE_LIT("DELETE"),
	[HTTP_OPTIONS] = MS_SLICE_LIT("OPTIONS"),
};

const char *ms_http_method_name(enum http_method method)
{
	MS_ASSERT(method < HTTP_METHOD_COUNT);
	return method_names[method].p;
}

void ms_http1_parser_init(struct http1_parser *p, const struct http1_limits *limits, struct arena *arena)
{
	MS_ASSERT(limits->header_count > 0 && limits->header_count <= UINT16_MAX);
	MS_ASSERT(limits->uri_bytes < SIZE_MAX / 4 && limits->header_bytes < SIZE_MAX / 4);
	*p = (struct http1_parser){.limits = *limits, .arena = arena, .state = STATE_START};
}

bool ms_http1_started(const struct http1_parser *p)
{
	return p->state > STATE_METHOD || (p->state == STATE_METHOD && p->at > p->mark);
}

static void move_slice(struct slice *s, uintptr_t old_base, size_t n, const char *new_base)
{
	uintptr_t at = (uintptr_t)s->p - old_base;
	if (s->p != NULL && at <= n) // else: not of these bytes ("/" for an empty path)
		s->p = new_base + at;
}

void ms_http1_move(struct http1_parser *p, const char *new_base)
{
	uintptr_t old = (uintptr_t)p->base;
	struct http1_head *head = &p->head;
	p->base = new_base;
	if (old == 0 || old == (uintptr_t)new_base)
		return;
	struct slice *parts[] = {&head->target, &head->path, &head->query, &head->host};
	for (size_t i = 0; i < MS_ARRAY_LEN(parts); i++)
		move_slice(parts[i], old, p->at, new_base);
	for (size_t i = 0; i < HTTP1_KNOWN_COUNT; i++)
		move_slice(&head->known[i], old, p->at, new_base);
	for (size_t i = 0; i < head->header_count; i++) {
		move_slice(&head->headers[i].name, old, p->at, new_base);
		move_slice(&head->headers[i].value, old, p->at, new_base);
	}
}

void ms_http1_start_headers(struct http1_parser *p)
{
	p->headers_start = p->at;
	p->state = STATE_LINE;
}

// --- Request line ------------------------------------------------------------------------------------

static enum ms_err fail_method_char(const struct http1_parser *p, struct errinfo *info)
{
	unsigned char c = (unsigned char)p->base[p->at];
	if (p->at == 0 && c == 0x16)
		return FAIL_AT(
			info, 0, MS_ERR_HTTP_SYNTAX,
			"the first byte is that of a TLS handshake, but this port speaks plain HTTP: use http://");
	if (p->at == p->mark && (c == '\r' || c == '\n'))
		return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
			       "an empty line stands where the request line must: METHOD SP target SP HTTP/1.1");
	return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
		       "byte 0x%02x in the method at offset %zu: a request line is METHOD SP target SP HTTP/1.1", c,
		       p->at);
}

static enum ms_err read_method(struct http1_parser *p, size_t n, struct errinfo *info)
{
	p->at = scan_token(p->base, p->at, MS_MIN(n, p->mark + MAX_METHOD + 1));
	if (p->at - p->mark > MAX_METHOD)
		return FAIL_AT(info, p->mark, MS_ERR_HTTP_METHOD_UNKNOWN,
			       "the method is longer than %zu characters and none of those known", MAX_METHOD);
	if (p->at == n)
		return MS_OK;
	if (p->base[p->at] != ' ' || p->at == p->mark)
		return fail_method_char(p, info);
	p->name_end = p->at++; // of the method, looked at when the line is whole
	p->value_start = p->at;
	p->state = STATE_TARGET;
	return MS_OK;
}

static enum ms_err read_target(struct http1_parser *p, size_t n, struct errinfo *info)
{
	size_t start = p->value_start;
	p->at = scan_target(p->base, p->at, MS_MIN(n, start + p->limits.uri_bytes + 1));
	if (p->at - start > p->limits.uri_bytes)
		return FAIL_AT(info, p->at, MS_ERR_HTTP_URI_TOO_LONG, "the request target is longer than %zu bytes",
			       p->limits.uri_bytes);
	if (p->at == n)
		return MS_OK;
	char c = p->base[p->at];
	if (c == ' ' && p->at > start) {
		p->head.target = ms_slice(p->base + start, p->at - start);
		p->at++;
		p->state = STATE_VERSION;
		return MS_OK;
	}
	if (c == ' ')
		return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
			       "two blanks after the method, or no request target: one blank stands between the parts");
	if (c == '#')
		return FAIL_AT(
			info, p->at, MS_ERR_HTTP_SYNTAX,
			"'#' in the request target at offset %zu: clients must not send fragments; encode it as %%23",
			p->at);
	if (c == '\r' || c == '\n')
		return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
			       "the request line ends without a version: HTTP/1.1 must follow the target");
	return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
		       "byte 0x%02x in the request target at offset %zu: it must be percent-encoded", (unsigned char)c,
		       p->at);
}

static enum ms_err find_method(struct http1_parser *p, struct errinfo *info)
{
	struct slice name = ms_slice(p->base + p->mark, p->name_end - p->mark);
	for (unsigned i = 0; i < HTTP_METHOD_COUNT; i++) {
		if (ms_slice_eq(name, method_names[i])) {
			p->head.method = (enum http_method)i;
			return MS_OK;
		}
	}
	return FAIL_AT(
		info, p->mark, MS_ERR_HTTP_METHOD_UNKNOWN,
		"method '%.*s' is not known here: GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS are (upper case)",
		MS_SLICE_ARG(name));
}

// The request line is whole: only now is it judged, version first, so that HTTP/2 is told apart from noise.
static enum ms_err end_request_line(struct http1_parser *p, struct errinfo *info)
{
	const char *version = p->base + p->at - VERSION_LINE_SIZE;
	char major = version[5], minor = version[7];
	if (major != '1' || minor > '1')
		return FAIL_AT(info, p->at - VERSION_LINE_SIZE, MS_ERR_HTTP_VERSION,
			       "HTTP/%c.%c is not spoken here: use HTTP/1.1 or HTTP/1.0", major, minor);
	p->head.minor = (unsigned)(minor - '0');
	MS_TRY(find_method(p, info));
	MS_TRY(ms_http1_read_target(&p->head, p->base, info));
	ms_http1_start_headers(p);
	return MS_OK;
}

static enum ms_err read_version(struct http1_parser *p, size_t n, struct errinfo *info)
{
	size_t start = (size_t)(p->head.target.p - p->base) + p->head.target.n + 1;
	for (; p->at < n && p->at < start + VERSION_LINE_SIZE; p->at++) {
		static const char pattern[] = "HTTP/0.0\r\n"; // 0 stands for any digit
		char want = pattern[p->at - start], c = p->base[p->at];
		if (want == '0' ? !is_char(c, CHAR_DIGIT) : c != want)
			return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
				       "byte 0x%02x at offset %zu: the request line must end in HTTP/1.1 and CR LF",
				       (unsigned char)c, p->at);
	}
	return p->at == start + VERSION_LINE_SIZE ? end_request_line(p, info) : MS_OK;
}

static enum ms_err read_request_line(struct http1_parser *p, size_t n, struct errinfo *info)
{
	enum state before;
	do {
		if (p->at == n)
			return MS_OK;
		before = p->state;
		switch (before) {
		case STATE_START:
			p->state = p->base[p->at] == '\r' ? STATE_START_LF : STATE_METHOD;
			p->at += p->state == STATE_START_LF;
			break;
		case STATE_START_LF:
			if (p->base[p->at] != '\n')
				return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
					       "a CR without LF before the request line");
			p->mark = ++p->at;
			p->state = STATE_METHOD;
			break;
		case STATE_METHOD:
			MS_TRY(read_method(p, n, info));
			break;
		case STATE_TARGET:
			MS_TRY(read_target(p, n, info));
			break;
		case STATE_VERSION:
			MS_TRY(read_version(p, n, info));
			break;
		case STATE_LINE:
		case STATE_NAME:
		case STATE_BLANKS:
		case STATE_VALUE:
		case STATE_VALUE_LF:
		case STATE_END_LF:
		case STATE_DONE:
			MS_UNREACHABLE();
		}
	} while (p->state != before && p->state < STATE_LINE);
	return MS_OK;
}

// --- Header lines ------------------------------------------------------------------------------------

static MS_COLD enum ms_err grow_headers(struct http1_parser *p, struct errinfo *info)
{
	size_t cap = MS_MIN(MS_MAX(p->header_cap * 2, FIRST_HEADERS), (size_t)p->limits.header_count);
	void *table = ms_arena_grow(p->arena, p->head.headers, p->header_cap * sizeof(struct http_header),
				    cap * sizeof(struct http_header));
	if (table == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "no memory for the headers of the request");
	p->head.headers = table;
	p->header_cap = cap;
	return MS_OK;
}

static inline bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

// The header whose parts are marked; its CR is at `end`.
static inline void add_header(struct http1_parser *p, size_t end)
{
	struct http1_head *head = &p->head;
	while (end > p->value_start && is_blank(p->base[end - 1]))
		end--;
	struct slice name = ms_slice(p->base + p->mark, p->name_end - p->mark);
	struct slice value = ms_slice(p->base + p->value_start, end - p->value_start);
	head->headers[head->header_count++] = (struct http_header){name, value};
	enum http1_known known = ms_http1_known_header(name);
	if (known == HTTP1_KNOWN_COUNT)
		return;
	if (head->known[known].p != NULL) {
		head->repeated |= UINT32_C(1) << known;
		return;
	}
	// Part by part: a wide load of the two halves just stored would miss store forwarding.
	head->known[known].p = value.p;
	head->known[known].n = value.n;
}

static MS_COLD enum ms_err fail_line_start(const struct http1_parser *p, struct errinfo *info)
{
	if (is_blank(p->base[p->at]))
		return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
			       "a header line starts with a blank at offset %zu: folded headers are not accepted",
			       p->at);
	return FAIL_AT(info, p->at, MS_ERR_HTTP_HEADERS_TOO_LARGE, "more than %u headers", p->limits.header_count);
}

static MS_COLD enum ms_err fail_name(const struct http1_parser *p, struct errinfo *info)
{
	struct slice name = ms_slice(p->base + p->mark, MS_MIN(p->at - p->mark, (size_t)64));
	unsigned char c = (unsigned char)p->base[p->at];
	if (name.n == 0 && c == ':')
		return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX, "a header without a name at offset %zu", p->at);
	if (is_blank((char)c))
		return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
			       "a blank after the header name '%.*s': the colon must follow the name at once",
			       MS_SLICE_ARG(name));
	if (c == '\r' || (c == '\n' && name.n > 0))
		return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX, "the header line '%.*s' has no colon",
			       MS_SLICE_ARG(name));
	if (c == '\n')
		return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX, "a LF without CR at offset %zu: lines end in CR LF",
			       p->at);
	return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX, "byte 0x%02x in a header name at offset %zu", c, p->at);
}

static MS_COLD enum ms_err fail_value(const struct http1_parser *p, struct errinfo *info)
{
	struct slice name = ms_slice(p->base + p->mark, MS_MIN(p->name_end - p->mark, (size_t)64));
	unsigned char c = (unsigned char)p->base[p->at];
	if (c == '\n')
		return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
			       "a LF without CR after header '%.*s': lines end in CR LF", MS_SLICE_ARG(name));
	return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX, "control byte 0x%02x in the value of header '%.*s'", c,
		       MS_SLICE_ARG(name));
}

static MS_COLD enum ms_err fail_lone_cr(const struct http1_parser *p, struct errinfo *info)
{
	return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX, "a CR without LF at offset %zu: lines end in CR LF", p->at - 1);
}

// Leaves the cut at `at`; the caller returns what this returns.
static inline enum ms_err pause_at(struct http1_parser *p, size_t at, enum state state)
{
	p->at = at;
	p->state = state;
	return MS_OK;
}

typedef enum ms_err fail_fn(const struct http1_parser *p, struct errinfo *info);
static MS_COLD enum ms_err fail_here(struct http1_parser *p, size_t at, fail_fn *fail, struct errinfo *info)
{
	p->at = at;
	return fail(p, info);
}

// One pass over as many header lines as are there. Each state falls into the next; `end` is the end of the
// input or of what the limit lets us see.
static enum ms_err cut_lines(struct http1_parser *p, size_t end, struct errinfo *info)
{
	const char *b = p->base;
	size_t at = p->at;
	switch ((enum state)p->state) {
	case STATE_LINE:
	next_line:
		if (at == end)
			return pause_at(p, at, STATE_LINE);
		if (b[at] == '\r') {
			at++;
			goto end_of_head;
		}
		if (is_blank(b[at]) || p->head.header_count == p->limits.header_count)
			return fail_here(p, at, fail_line_start, info);
		if (MS_UNLIKELY(p->head.header_count == p->header_cap))
			MS_TRY(grow_headers(p, info));
		p->mark = at;
		__attribute__((fallthrough));
	case STATE_NAME:
		at = scan_token(b, at, end);
		if (at == end)
			return pause_at(p, at, STATE_NAME);
		if (b[at] != ':' || at == p->mark)
			return fail_here(p, at, fail_name, info);
		p->name_end = at++;
		__attribute__((fallthrough));
	case STATE_BLANKS:
		while (at < end && is_blank(b[at]))
			at++;
		if (at == end)
			return pause_at(p, at, STATE_BLANKS);
		p->value_start = at;
		__attribute__((fallthrough));
	case STATE_VALUE:
		at = scan_value(b, at, end);
		if (at == end)
			return pause_at(p, at, STATE_VALUE);
		if (b[at] != '\r')
			return fail_here(p, at, fail_value, info);
		at++;
		__attribute__((fallthrough));
	case STATE_VALUE_LF:
		if (at == end)
			return pause_at(p, at, STATE_VALUE_LF);
		if (b[at] != '\n')
			return fail_here(p, at, fail_lone_cr, info);
		add_header(p, at - 1);
		at++;
		goto next_line;
	case STATE_END_LF:
	end_of_head:
		if (at == end)
			return pause_at(p, at, STATE_END_LF);
		if (b[at] != '\n')
			return fail_here(p, at, fail_lone_cr, info);
		return pause_at(p, at + 1, STATE_DONE);
	case STATE_START:
	case STATE_START_LF:
	case STATE_METHOD:
	case STATE_TARGET:
	case STATE_VERSION:
	case STATE_DONE:
		break;
	}
	MS_UNREACHABLE();
}

enum ms_err ms_http1_cut_headers(struct http1_parser *p, size_t n, struct errinfo *info, bool *ret_done)
{
	size_t limit = p->headers_start + p->limits.header_bytes;
	MS_TRY(cut_lines(p, MS_MIN(n, limit), info));
	*ret_done = p->state == STATE_DONE;
	if (!*ret_done && p->at == limit)
		return FAIL_AT(info, p->at, MS_ERR_HTTP_HEADERS_TOO_LARGE, "the headers are longer than %zu bytes",
			       p->limits.header_bytes);
	return MS_OK;
}

static enum ms_err read_headers(struct http1_parser *p, size_t n, struct errinfo *info)
{
	bool done;
	MS_TRY(ms_http1_cut_headers(p, n, info, &done));
	return done ? ms_http1_read_framing(&p->head, p->base, info) : MS_OK;
}

enum ms_err ms_http1_parse(struct http1_parser *p, struct slice bytes, struct errinfo *info, size_t *ret_head_bytes)
{
	MS_ASSERT(p->state != STATE_DONE && bytes.n >= p->at);
	if (bytes.n > 0)
		ms_http1_move(p, bytes.p);
	if (p->state < STATE_LINE)
		MS_TRY(read_request_line(p, bytes.n, info));
	if (p->state >= STATE_LINE)
		MS_TRY(read_headers(p, bytes.n, info));
	*ret_head_bytes = p->state == STATE_DONE ? p->at : 0;
	return MS_OK;
}
