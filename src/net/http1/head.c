// SPDX-License-Identifier: Apache-2.0
#include "net/http1/head.h"
#include "net/http1/scan.h"

// --- Known headers -----------------------------------------------------------------------------------

static const struct slice known_names[HTTP1_KNOWN_COUNT] = {
	[HTTP1_HOST] = MS_SLICE_LIT("host"),
	[HTTP1_CONNECTION] = MS_SLICE_LIT("connection"),
	[HTTP1_CONTENT_LENGTH] = MS_SLICE_LIT("content-length"),
	[HTTP1_TRANSFER_ENCODING] = MS_SLICE_LIT("transfer-encoding"),
	[HTTP1_EXPECT] = MS_SLICE_LIT("expect"),
	[HTTP1_CONTENT_TYPE] = MS_SLICE_LIT("content-type"),
	[HTTP1_CONTENT_ENCODING] = MS_SLICE_LIT("content-encoding"),
	[HTTP1_ACCEPT] = MS_SLICE_LIT("accept"),
	[HTTP1_ACCEPT_ENCODING] = MS_SLICE_LIT("accept-encoding"),
	[HTTP1_AUTHORIZATION] = MS_SLICE_LIT("authorization"),
	[HTTP1_TRACEPARENT] = MS_SLICE_LIT("traceparent"),
	[HTTP1_TRACESTATE] = MS_SLICE_LIT("tracestate"),
	[HTTP1_X_REQUEST_ID] = MS_SLICE_LIT("x-request-id"),
};

// Which names have that length: at most two. 0 stands for none (HTTP1_HOST is the only one of length 4).
#define MAX_KNOWN_LENGTH 17
static const uint8_t known_by_length[MAX_KNOWN_LENGTH + 1][2] = {
	[4] = {HTTP1_HOST, HTTP1_HOST},
	[6] = {HTTP1_EXPECT, HTTP1_ACCEPT},
	[10] = {HTTP1_CONNECTION, HTTP1_TRACESTATE},
	[11] = {HTTP1_TRACEPARENT, HTTP1_TRACEPARENT},
	[12] = {HTTP1_CONTENT_TYPE, HTTP1_X_REQUEST_ID},
	[13] = {HTTP1_AUTHORIZATION, HTTP1_AUTHORIZATION},
	[14] = {HTTP1_CONTENT_LENGTH, HTTP1_CONTENT_LENGTH},
	[15] = {HTTP1_ACCEPT_ENCODING, HTTP1_ACCEPT_ENCODING},
	[16] = {HTTP1_CONTENT_ENCODING, HTTP1_CONTENT_ENCODING},
	[17] = {HTTP1_TRANSFER_ENCODING, HTTP1_TRANSFER_ENCODING},
};

// Setting bit 0x20 folds case; among the characters of tokens only letters change by it in a way that could
// meet a known name, which is made of letters and '-' alone ('-' has the bit set already, CR is no tchar).
#define FOLD8 UINT64_C(0x2020202020202020)

static inline uint64_t load8(const char *p)
{
	uint64_t x;
	memcpy(&x, p, sizeof(x));
	return x;
}

static inline uint32_t load4(const char *p)
{
	uint32_t x;
	memcpy(&x, p, sizeof(x));
	return x;
}

// n is at least 4. The last step overlaps the one before it.
static inline bool equal_folded(const char *name, const char *lower, size_t n)
{
	if (n < 8)
		return ((load4(name) | (uint32_t)FOLD8) ^ load4(lower)) == 0 &&
		       ((load4(name + n - 4) | (uint32_t)FOLD8) ^ load4(lower + n - 4)) == 0;
	for (size_t i = 0; i + 8 < n; i += 8) {
		if ((load8(name + i) | FOLD8) != load8(lower + i))
			return false;
	}
	return (load8(name + n - 8) | FOLD8) == load8(lower + n - 8);
}

enum http1_known ms_http1_known_header(struct slice name)
{
	if (name.n < 4 || name.n > MAX_KNOWN_LENGTH)
		return HTTP1_KNOWN_COUNT;
	for (unsigned i = 0; i < 2; i++) {
		enum http1_known k = (enum http1_known)known_by_length[name.n][i];
		if (known_names[k].n == name.n && equal_folded(name.p, known_names[k].p, name.n))
			return k;
	}
	return HTTP1_KNOWN_COUNT;
}

// --- Host and target ---------------------------------------------------------------------------------

static bool valid_port(struct slice port)
{
	uint64_t value;
	return port.n == 0 || (port.n <= 5 && ms_slice_to_u64(port, &value) && value <= UINT16_MAX);
}

// A name or IPv4 address of unreserved characters, or an IPv6 address in brackets; then maybe ":port". The
// sub-delims and escapes that RFC 3986 allows in names occur in no real one, and "a,b" is how two Host
// headers look after somebody joined them.
bool ms_http1_host_ok(struct slice host)
{
	size_t at;
	if (host.n > 0 && host.p[0] == '[') {
		at = 1;
		bool colon = false;
		while (at < host.n && (is_char(host.p[at], CHAR_HEX) || host.p[at] == ':' || host.p[at] == '.'))
			colon |= host.p[at++] == ':';
		if (!colon || at == host.n || host.p[at] != ']')
			return false;
		at++;
	} else {
		at = scan_class(host.p, 0, host.n, CHAR_HOST);
		if (at == 0 || at > 255)
			return false;
	}
	if (at == host.n)
		return true;
	return host.p[at] == ':' && valid_port(ms_slice_sub(host, at + 1, SIZE_MAX));
}

static size_t offset_in(const char *base, struct slice part)
{
	return (size_t)(part.p - base);
}

static bool starts_with_nocase(struct slice s, struct slice prefix)
{
	return s.n >= prefix.n && ms_slice_eq_nocase(ms_slice(s.p, prefix.n), prefix);
}

static void split_query(struct http1_head *head, struct slice rest)
{
	size_t n = ms_slice_find(rest, '?');
	head->path = ms_slice(rest.p, n);
	if (n < rest.n)
		head->query = ms_slice_sub(rest, n + 1, SIZE_MAX);
}

// "http://host:port/path?query" (RFC 9112 section 3.2.2).
static enum ms_err read_absolute_target(struct http1_head *head, size_t scheme_n, const char *base,
					struct errinfo *info)
{
	struct slice rest = ms_slice_sub(head->target, scheme_n, SIZE_MAX);
	size_t n = 0;
	while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
		n++;
	head->host = ms_slice(rest.p, n);
	if (!ms_http1_host_ok(head->host))
		return FAIL_AT(info, offset_in(base, rest), MS_ERR_HTTP_HOST,
			       "the host '%.*s' in the request target is no name or address with an optional port",
			       MS_SLICE_ARG(head->host));
	head->absolute_form = true;
	split_query(head, ms_slice_sub(rest, n, SIZE_MAX));
	if (head->path.n == 0)
		head->path = MS_SLICE_LIT("/");
	return MS_OK;
}

enum ms_err ms_http1_read_target(struct http1_head *head, const char *base, struct errinfo *info)
{
	static const struct slice schemes[] = {MS_SLICE_LIT("http://"), MS_SLICE_LIT("https://")};
	struct slice target = head->target;
	if (target.p[0] == '/') {
		split_query(head, target);
		return MS_OK;
	}
	if (ms_slice_eq_cstr(target, "*")) {
		if (head->method != HTTP_OPTIONS)
			return FAIL_AT(info, offset_in(base, target), MS_ERR_HTTP_SYNTAX,
				       "the target '*' is for OPTIONS only");
		head->asterisk = true;
		head->path = target;
		return MS_OK;
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(schemes); i++) {
		if (starts_with_nocase(target, schemes[i]))
			return read_absolute_target(head, schemes[i].n, base, info);
	}
	return FAIL_AT(info, offset_in(base, target), MS_ERR_HTTP_SYNTAX,
		       "the request target must start with '/' or be an http:// or https:// URI");
}

// --- Framing -----------------------------------------------------------------------------------------

static bool is_repeated(const struct http1_head *head, enum http1_known known)
{
	return (head->repeated & (UINT32_C(1) << known)) != 0;
}

static enum ms_err read_host(struct http1_head *head, const char *base, struct errinfo *info)
{
	struct slice host = head->known[HTTP1_HOST];
	if (host.p == NULL) {
		if (head->minor == 0)
			return MS_OK;
		return ms_fail(info, MS_ERR_HTTP_HOST, "the Host header is missing: HTTP/1.1 requires it");
	}
	if (is_repeated(head, HTTP1_HOST))
		return FAIL_AT(info, offset_in(base, host), MS_ERR_HTTP_HOST, "more than one Host header");
	if (!ms_http1_host_ok(host))
		return FAIL_AT(info, offset_in(base, host), MS_ERR_HTTP_HOST,
			       "the Host header '%.*s' is no name or address with an optional port",
			       MS_SLICE_ARG(host));
	if (!head->absolute_form)
		head->host = host;
	return MS_OK;
}

static enum ms_err read_transfer_encoding(struct http1_head *head, const char *base, struct errinfo *info)
{
	struct slice value = head->known[HTTP1_TRANSFER_ENCODING];
	size_t at = offset_in(base, value);
	if (head->known[HTTP1_CONTENT_LENGTH].p != NULL)
		return FAIL_AT(info, at, MS_ERR_HTTP_FRAMING,
			       "both Transfer-Encoding and Content-Length: the end of the body is ambiguous");
	if (head->minor == 0)
		return FAIL_AT(info, at, MS_ERR_HTTP_FRAMING, "Transfer-Encoding in an HTTP/1.0 message");
	if (is_repeated(head, HTTP1_TRANSFER_ENCODING) || !ms_slice_eq_nocase(value, MS_SLICE_LIT("chunked")))
		return FAIL_AT(info, at, MS_ERR_HTTP_FRAMING,
			       "Transfer-Encoding must be exactly one 'chunked', not '%.*s'%s", MS_SLICE_ARG(value),
			       is_repeated(head, HTTP1_TRANSFER_ENCODING) ? " and more" : "");
	head->body = HTTP1_BODY_CHUNKED;
	return MS_OK;
}

static enum ms_err read_content_length(struct http1_head *head, const char *base, struct errinfo *info)
{
	struct slice value = head->known[HTTP1_CONTENT_LENGTH];
	size_t at = offset_in(base, value);
	if (is_repeated(head, HTTP1_CONTENT_LENGTH))
		return FAIL_AT(info, at, MS_ERR_HTTP_FRAMING, "more than one Content-Length header");
	uint64_t length;
	if (!ms_slice_to_u64(value, &length) || length > INT64_MAX)
		return FAIL_AT(info, at, MS_ERR_HTTP_FRAMING,
			       "Content-Length '%.*s' is not a number of bytes (digits only)", MS_SLICE_ARG(value));
	head->content_length = length;
	head->body = length > 0 ? HTTP1_BODY_LENGTH : HTTP1_BODY_NONE;
	return MS_OK;
}

enum ms_err ms_http1_read_length(struct http1_head *head, const char *base, struct errinfo *info)
{
	if (head->known[HTTP1_TRANSFER_ENCODING].p != NULL)
		return read_transfer_encoding(head, base, info);
	return head->known[HTTP1_CONTENT_LENGTH].p != NULL ? read_content_length(head, base, info) : MS_OK;
}

// Calls with each element of a comma-separated header; empty elements are skipped.
typedef bool element_fn(struct slice element, void *arg); // false: stop
static bool each_element_of(struct slice value, element_fn *fn, void *arg)
{
	struct slice part;
	while (ms_slice_next(&value, ',', &part)) {
		part = ms_slice_trim(part);
		if (part.n > 0 && !fn(part, arg))
			return false;
	}
	return true;
}

// The same over all lines of the header.
static bool each_element(const struct http1_head *head, enum http1_known known, element_fn *fn, void *arg)
{
	if (!is_repeated(head, known))
		return each_element_of(head->known[known], fn, arg);
	for (size_t i = 0; i < head->header_count; i++) {
		if (ms_http1_known_header(head->headers[i].name) == known &&
		    !each_element_of(head->headers[i].value, fn, arg))
			return false;
	}
	return true;
}

struct connection_options {
	bool close;
	bool keep_alive;
	bool upgrade;
	struct slice bad;     // no token
	struct slice framing; // the name of a header that is never a matter of the connection
};

static bool read_connection_option(struct slice option, void *arg)
{
	struct connection_options *o = arg;
	if (scan_class(option.p, 0, option.n, CHAR_TOKEN) < option.n) {
		o->bad = option;
		return false;
	}
	enum http1_known known = ms_http1_known_header(option);
	if (known == HTTP1_HOST || known == HTTP1_CONTENT_LENGTH || known == HTTP1_TRANSFER_ENCODING) {
		o->framing = option;
		return false;
	}
	o->close |= ms_slice_eq_nocase(option, MS_SLICE_LIT("close"));
	o->keep_alive |= ms_slice_eq_nocase(option, MS_SLICE_LIT("keep-alive"));
	o->upgrade |= ms_slice_eq_nocase(option, MS_SLICE_LIT("upgrade"));
	return true;
}

enum ms_err ms_http1_read_connection(struct http1_head *head, const char *base, struct errinfo *info)
{
	struct connection_options o = {0};
	(void)each_element(head, HTTP1_CONNECTION, read_connection_option, &o);
	if (o.bad.p != NULL)
		return FAIL_AT(info, offset_in(base, o.bad), MS_ERR_HTTP_SYNTAX,
			       "'%.*s' in the Connection header is no option", MS_SLICE_ARG(o.bad));
	if (o.framing.p != NULL)
		return FAIL_AT(info, offset_in(base, o.framing), MS_ERR_HTTP_FRAMING,
			       "the Connection header must not name '%.*s'", MS_SLICE_ARG(o.framing));
	head->keep_alive = !o.close && (head->minor == 1 || o.keep_alive);
	head->upgrade = o.upgrade && head->minor == 1;
	return MS_OK;
}

static enum ms_err read_expect(struct http1_head *head, const char *base, struct errinfo *info)
{
	struct slice value = head->known[HTTP1_EXPECT];
	if (value.p == NULL || head->minor == 0) // a 1.0 client cannot mean it (RFC 9110 section 10.1.1)
		return MS_OK;
	if (is_repeated(head, HTTP1_EXPECT) || !ms_slice_eq_nocase(value, MS_SLICE_LIT("100-continue")))
		return FAIL_AT(info, offset_in(base, value), MS_ERR_HTTP_EXPECTATION,
			       "the only expectation met here is one '100-continue', not '%.*s'", MS_SLICE_ARG(value));
	head->expect_continue = head->body != HTTP1_BODY_NONE;
	return MS_OK;
}

enum ms_err ms_http1_read_framing(struct http1_head *head, const char *base, struct errinfo *info)
{
	MS_TRY(read_host(head, base, info));
	MS_TRY(ms_http1_read_length(head, base, info));
	MS_TRY(ms_http1_read_connection(head, base, info));
	return read_expect(head, base, info);
}

// --- Hop by hop --------------------------------------------------------------------------------------

static bool is_other_option(struct slice option, void *arg)
{
	const struct slice *name = arg;
	return !ms_slice_eq_nocase(option, *name);
}

bool ms_http1_is_hop_by_hop(const struct http1_head *head, struct slice name)
{
	static const struct slice names[] = {
		MS_SLICE_LIT("connection"),
		MS_SLICE_LIT("keep-alive"),
		MS_SLICE_LIT("proxy-connection"),
		MS_SLICE_LIT("te"),
		MS_SLICE_LIT("trailer"),
		MS_SLICE_LIT("transfer-encoding"),
		MS_SLICE_LIT("upgrade"),
		MS_SLICE_LIT("proxy-authenticate"),
		MS_SLICE_LIT("proxy-authorization"),
		MS_SLICE_LIT("http2-settings"),
	};
	// A bit for each length that occurs: most names are told apart by it.
	static const uint32_t lengths = 1 << 10 | 1 << 16 | 1 << 2 | 1 << 7 | 1 << 17 | 1 << 18 | 1 << 19 | 1 << 14;
	bool candidate = name.n < 32 && (lengths >> name.n & 1) != 0;
	for (size_t i = 0; candidate && i < MS_ARRAY_LEN(names); i++) {
		if (name.n == names[i].n && ms_slice_eq_nocase(name, names[i]))
			return true;
	}
	return head->known[HTTP1_CONNECTION].p != NULL && !each_element(head, HTTP1_CONNECTION, is_other_option, &name);
}
