// SPDX-License-Identifier: Apache-2.0
#include "net/http1/http1.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test.h"

static const struct http1_limits LIMITS = {.uri_bytes = 64, .header_bytes = 512, .header_count = 8};

// Everything that a parse came to, as text and numbers that outlive the bytes.
struct outcome {
	enum ms_err err;
	size_t head_bytes; // 0: more bytes wanted
	int64_t offset;
	char message[MS_ERRINFO_MESSAGE_SIZE];
	struct buf text; // the head, written out
};

static void print_part(struct buf *out, const char *name, struct slice s)
{
	ms_buf_append_cstr(out, name);
	ms_buf_append_slice(out, s.p != NULL ? MS_SLICE_LIT("=[") : MS_SLICE_LIT("=none ["));
	ms_buf_append_slice(out, s);
	ms_buf_append_slice(out, MS_SLICE_LIT("] "));
}

static void print_head(struct buf *out, const struct http1_head *h)
{
	static const char *const bodies[] = {"none", "length", "chunked"};
	ms_buf_printf(out, "%s 1.%u asterisk=%d absolute=%d keep=%d continue=%d body=%s %llu repeated=%x ",
		      ms_http_method_name(h->method), h->minor, h->asterisk, h->absolute_form, h->keep_alive,
		      h->expect_continue, bodies[h->body], (unsigned long long)h->content_length, h->repeated);
	print_part(out, "target", h->target);
	print_part(out, "path", h->path);
	print_part(out, "query", h->query);
	print_part(out, "host", h->host);
	for (size_t i = 0; i < HTTP1_KNOWN_COUNT; i++)
		print_part(out, "known", h->known[i]);
	for (size_t i = 0; i < h->header_count; i++) {
		print_part(out, "name", h->headers[i].name);
		print_part(out, "value", h->headers[i].value);
	}
}

// How a request is cut into pieces.
enum cut { CUT_WHOLE, CUT_BYTES, CUT_RANDOM, CUT_ONCE };

static size_t next_length(enum cut cut, size_t once_at, size_t now, size_t n)
{
	size_t random = now + 1 + ms_rand_below(ms_test_rand(), 20);
	switch (cut) {
	case CUT_WHOLE:
		return n;
	case CUT_BYTES:
		return now + 1;
	case CUT_RANDOM:
		return MS_MIN(n, random);
	case CUT_ONCE:
		return now < once_at ? once_at : n;
	}
	return n;
}

// Feeds the request; each step gets the bytes in a fresh allocation of exact size, so that a sanitizer sees
// a read past the end or into bytes that moved.
static struct outcome feed(struct slice request, const struct http1_limits *limits, enum cut cut, size_t once_at)
{
	struct outcome o = {.offset = -1};
	struct arena arena;
	struct http1_parser parser;
	struct errinfo info;
	char *bytes = NULL;
	ms_errinfo_init(&info);
	ms_buf_init(&o.text, 1 << 16);
	ms_arena_init(&arena, 256, 1 << 20);
	ms_http1_parser_init(&parser, limits, &arena);
	size_t n = 0;
	while (o.err == MS_OK && o.head_bytes == 0 && n < request.n) {
		n = next_length(cut, once_at, n, request.n);
		char *moved = malloc(n);
		REQUIRE(moved != NULL);
		memcpy(moved, request.p, n);
		free(bytes);
		bytes = moved;
		o.err = ms_http1_parse(&parser, ms_slice(bytes, n), &info, &o.head_bytes);
	}
	if (o.err == MS_OK && o.head_bytes > 0)
		print_head(&o.text, &parser.head);
	o.offset = info.offset;
	memcpy(o.message, info.message, sizeof(o.message));
	free(bytes);
	ms_arena_fini(&arena);
	return o;
}

static bool same_outcome(const struct outcome *a, const struct outcome *b)
{
	return a->err == b->err && a->head_bytes == b->head_bytes && a->offset == b->offset &&
	       strcmp(a->message, b->message) == 0 && ms_slice_eq(ms_buf_slice(&a->text), ms_buf_slice(&b->text));
}

static void check_same(struct slice request, const struct http1_limits *limits, const struct outcome *whole,
		       enum cut cut, size_t at)
{
	struct outcome o = feed(request, limits, cut, at);
	if (!CHECK(same_outcome(whole, &o))) {
		printf("# cut %d at %zu of request:\n# %.*s\n# whole: %d '%s' at %lld\n# cut: %d '%s' at %lld\n", cut,
		       at, MS_SLICE_ARG(request), whole->err, whole->message, (long long)whole->offset, o.err,
		       o.message, (long long)o.offset);
	}
	ms_buf_fini(&o.text);
}

// Whole, byte by byte, in two pieces at every boundary, and in random pieces: always the same outcome.
static struct outcome parse_with(struct slice request, const struct http1_limits *limits)
{
	struct outcome whole = feed(request, limits, CUT_WHOLE, 0);
	check_same(request, limits, &whole, CUT_BYTES, 0);
	for (size_t i = 1; i < request.n; i++)
		check_same(request, limits, &whole, CUT_ONCE, i);
	for (unsigned i = 0; i < 10; i++)
		check_same(request, limits, &whole, CUT_RANDOM, 0);
	return whole;
}

static struct outcome parse(struct slice request)
{
	return parse_with(request, &LIMITS);
}

// --- What is refused ---------------------------------------------------------------------------------

struct refused {
	const char *name;
	struct slice request;
	enum ms_err err;
	const char *message; // part of it
};

#define REFUSED(name, text, err, message)                       \
	{                                                       \
		name, MS_SLICE_LIT(text), MS_ERR_##err, message \
	}
#define H11 " HTTP/1.1\r\nHost: h\r\n"

static const struct refused refused[] = {
	// Message framing
	REFUSED("length and coding", "POST /" H11 "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		HTTP_FRAMING, "both Transfer-Encoding and Content-Length"),
	REFUSED("coding and length", "POST /" H11 "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
		HTTP_FRAMING, "both Transfer-Encoding and Content-Length"),
	REFUSED("two codings", "POST /" H11 "Transfer-Encoding: gzip, chunked\r\n\r\n", HTTP_FRAMING,
		"exactly one 'chunked'"),
	REFUSED("chunked twice in a line", "POST /" H11 "Transfer-Encoding: chunked, chunked\r\n\r\n", HTTP_FRAMING,
		"exactly one 'chunked'"),
	REFUSED("chunked in two lines", "POST /" H11 "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		HTTP_FRAMING, "and more"),
	REFUSED("chunked and identity",
		"POST /" H11 "Transfer-Encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n", HTTP_FRAMING,
		"and more"),
	REFUSED("identity", "POST /" H11 "Transfer-Encoding: identity\r\n\r\n", HTTP_FRAMING, "not 'identity'"),
	REFUSED("coding with parameter", "POST /" H11 "Transfer-Encoding: chunked;q=1\r\n\r\n", HTTP_FRAMING,
		"exactly one"),
	REFUSED("coding with prefix", "POST /" H11 "Transfer-Encoding: xchunked\r\n\r\n", HTTP_FRAMING, "exactly one"),
	REFUSED("coding with vertical tab", "POST /" H11 "Transfer-Encoding: \vchunked\r\n\r\n", HTTP_SYNTAX, "0x0b"),
	REFUSED("quoted coding", "POST /" H11 "Transfer-Encoding: \"chunked\"\r\n\r\n", HTTP_FRAMING, "exactly one"),
	REFUSED("comma after coding", "POST /" H11 "Transfer-Encoding: chunked,\r\n\r\n", HTTP_FRAMING, "exactly one"),
	REFUSED("empty coding", "POST /" H11 "Transfer-Encoding:\r\n\r\n", HTTP_FRAMING, "exactly one"),
	REFUSED("coding on 1.0", "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", HTTP_FRAMING,
		"HTTP/1.0"),
	REFUSED("length with sign", "POST /" H11 "Content-Length: +5\r\n\r\n", HTTP_FRAMING, "digits only"),
	REFUSED("negative length", "POST /" H11 "Content-Length: -5\r\n\r\n", HTTP_FRAMING, "digits only"),
	REFUSED("hex length", "POST /" H11 "Content-Length: 0x5\r\n\r\n", HTTP_FRAMING, "digits only"),
	REFUSED("length with underscore", "POST /" H11 "Content-Length: 1_0\r\n\r\n", HTTP_FRAMING, "digits only"),
	REFUSED("length with blank inside", "POST /" H11 "Content-Length: 1 0\r\n\r\n", HTTP_FRAMING, "digits only"),
	REFUSED("length as fraction", "POST /" H11 "Content-Length: 5.0\r\n\r\n", HTTP_FRAMING, "digits only"),
	REFUSED("length with exponent", "POST /" H11 "Content-Length: 1e1\r\n\r\n", HTTP_FRAMING, "digits only"),
	REFUSED("empty length", "POST /" H11 "Content-Length:\r\n\r\n", HTTP_FRAMING, "digits only"),
	REFUSED("blank length", "POST /" H11 "Content-Length: \t \r\n\r\n", HTTP_FRAMING, "digits only"),
	REFUSED("length beyond 64 bits", "POST /" H11 "Content-Length: 18446744073709551621\r\n\r\n", HTTP_FRAMING,
		"digits only"),
	REFUSED("length beyond 63 bits", "POST /" H11 "Content-Length: 9223372036854775808\r\n\r\n", HTTP_FRAMING,
		"digits only"),
	REFUSED("length list", "POST /" H11 "Content-Length: 5, 5\r\n\r\n", HTTP_FRAMING, "digits only"),
	REFUSED("two lengths", "POST /" H11 "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", HTTP_FRAMING,
		"more than one Content-Length"),
	REFUSED("same length twice", "POST /" H11 "Content-Length: 5\r\ncontent-length: 5\r\n\r\n", HTTP_FRAMING,
		"more than one Content-Length"),
	REFUSED("length in other digits", "POST /" H11 "Content-Length: \xd9\xa5\r\n\r\n", HTTP_FRAMING, "digits only"),
	REFUSED("Connection names Content-Length",
		"POST /" H11 "Connection: content-length\r\nContent-Length: 5\r\n\r\n", HTTP_FRAMING, "must not name"),
	REFUSED("Connection names Host", "POST /" H11 "Connection: close, Host\r\n\r\n", HTTP_FRAMING,
		"must not name 'Host'"),
	REFUSED("Connection names Transfer-Encoding",
		"POST /" H11 "Connection: close\r\nConnection: Transfer-Encoding\r\n\r\n", HTTP_FRAMING,
		"must not name"),
	REFUSED("bad connection option", "GET /" H11 "Connection: clo se\r\n\r\n", HTTP_SYNTAX, "no option"),
	// Header lines
	REFUSED("blank before colon", "GET /" H11 "Content-Length : 5\r\n\r\n", HTTP_SYNTAX,
		"must follow the name at once"),
	REFUSED("tab before colon", "GET /" H11 "Transfer-Encoding\t: chunked\r\n\r\n", HTTP_SYNTAX,
		"must follow the name"),
	REFUSED("empty name", "GET /" H11 ": x\r\n\r\n", HTTP_SYNTAX, "without a name"),
	REFUSED("empty name first", "GET / HTTP/1.1\r\n:\r\nHost: h\r\n\r\n", HTTP_SYNTAX, "without a name"),
	REFUSED("folded", "GET /" H11 "A: b\r\n c\r\n\r\n", HTTP_SYNTAX, "folded"),
	REFUSED("folded with tab", "GET /" H11 "A: b\r\n\tc\r\n\r\n", HTTP_SYNTAX, "folded"),
	REFUSED("folded first", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", HTTP_SYNTAX, "folded"),
	REFUSED("blank line with blanks", "GET /" H11 " \r\n\r\n", HTTP_SYNTAX, "folded"),
	REFUSED("bare CR in value", "GET /" H11 "A: b\rc\r\n\r\n", HTTP_SYNTAX, "CR without LF"),
	REFUSED("CR CR LF", "GET /" H11 "A: b\r\r\n\r\n", HTTP_SYNTAX, "CR without LF"),
	REFUSED("bare CR in name", "GET /" H11 "A\rB: c\r\n\r\n", HTTP_SYNTAX, "no colon"),
	REFUSED("bare CR at the end", "GET /" H11 "\rX", HTTP_SYNTAX, "CR without LF"),
	REFUSED("bare LF after value", "GET /" H11 "A: b\nC: d\r\n\r\n", HTTP_SYNTAX, "LF without CR"),
	REFUSED("bare LF at the end", "GET /" H11 "\n", HTTP_SYNTAX, "LF without CR"),
	REFUSED("NUL in value", "GET /" H11 "A: b\0c\r\n\r\n", HTTP_SYNTAX, "0x00"),
	REFUSED("NUL in name", "GET /" H11 "A\0B: c\r\n\r\n", HTTP_SYNTAX, "0x00"),
	REFUSED("DEL in value", "GET /" H11 "A: \x7f\r\n\r\n", HTTP_SYNTAX, "0x7f"),
	REFUSED("escape in value", "GET /" H11 "A: \x1b[0m\r\n\r\n", HTTP_SYNTAX, "0x1b"),
	REFUSED("no colon", "GET /" H11 "Content-Length\r\n\r\n", HTTP_SYNTAX, "no colon"),
	REFUSED("no colon before LF", "GET /" H11 "Content-Length\n\r\n", HTTP_SYNTAX, "no colon"),
	REFUSED("delimiter in name", "GET /" H11 "A(B): c\r\n\r\n", HTTP_SYNTAX, "0x28"),
	REFUSED("8-bit name", "GET /" H11 "Trans\xc3\xa9: c\r\n\r\n", HTTP_SYNTAX, "0xc3"),
	REFUSED("long name with a bad end", "GET /" H11 "A-Very-Long-Header-Name-Indeed@: c\r\n\r\n", HTTP_SYNTAX,
		"0x40"),
	// Host
	REFUSED("no Host", "GET / HTTP/1.1\r\n\r\n", HTTP_HOST, "missing"),
	REFUSED("two Hosts", "GET /" H11 "Host: h\r\n\r\n", HTTP_HOST, "more than one Host"),
	REFUSED("two Hosts on 1.0", "GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", HTTP_HOST, "more than one Host"),
	REFUSED("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("Host list", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("Host with blank", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("Host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("Host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("Host with bad port", "GET / HTTP/1.1\r\nHost: a:8a\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("Host with great port", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("Host with long port", "GET / HTTP/1.1\r\nHost: a:000080\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("Host of a port", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("Host with two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("empty brackets", "GET / HTTP/1.1\r\nHost: []\r\n\r\n", HTTP_HOST, "no name or address"),
	REFUSED("bytes after bracket", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", HTTP_HOST, "no name or address"),
	// Request line
	REFUSED("HTTP/0.9", "GET /\r\n", HTTP_SYNTAX, "without a version"),
	REFUSED("HTTP/0.9 with LF", "GET /\n", HTTP_SYNTAX, "without a version"),
	REFUSED("version 2.0", "GET / HTTP/2.0\r\n", HTTP_VERSION, "HTTP/2.0"),
	REFUSED("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HTTP_VERSION, "HTTP/2.0"),
	REFUSED("version 1.2", "GET / HTTP/1.2\r\n", HTTP_VERSION, "HTTP/1.2"),
	REFUSED("version 0.9", "GET / HTTP/0.9\r\n", HTTP_VERSION, "HTTP/0.9"),
	REFUSED("version 9.9", "GET / HTTP/9.9\r\n", HTTP_VERSION, "HTTP/9.9"),
	REFUSED("version with more digits", "GET / HTTP/1.10\r\n", HTTP_SYNTAX, "must end in HTTP/1.1"),
	REFUSED("version with two major digits", "GET / HTTP/11.1\r\n", HTTP_SYNTAX, "must end in HTTP/1.1"),
	REFUSED("version without minor", "GET / HTTP/1\r\n", HTTP_SYNTAX, "must end in HTTP/1.1"),
	REFUSED("version with 8-bit digit", "GET / HTTP/1.\xb1\r\n", HTTP_SYNTAX, "must end in HTTP/1.1"),
	REFUSED("lower-case version", "GET / http/1.1\r\n", HTTP_SYNTAX, "must end in HTTP/1.1"),
	REFUSED("other protocol", "GET / RTSP/1.0\r\n", HTTP_SYNTAX, "must end in HTTP/1.1"),
	REFUSED("blank after version", "GET / HTTP/1.1 \r\n", HTTP_SYNTAX, "must end in HTTP/1.1"),
	REFUSED("LF after version", "GET / HTTP/1.1\nHost: h\r\n\r\n", HTTP_SYNTAX, "must end in HTTP/1.1"),
	REFUSED("CR alone after version", "GET / HTTP/1.1\rHost: h\r\n\r\n", HTTP_SYNTAX, "must end in HTTP/1.1"),
	REFUSED("two blanks before target", "GET  / HTTP/1.1\r\n", HTTP_SYNTAX, "two blanks"),
	REFUSED("two blanks after target", "GET /  HTTP/1.1\r\n", HTTP_SYNTAX, "must end in HTTP/1.1"),
	REFUSED("tab after method", "GET\t/ HTTP/1.1\r\n", HTTP_SYNTAX, "0x09 in the method"),
	REFUSED("tab after target", "GET /\tHTTP/1.1\r\n", HTTP_SYNTAX, "0x09 in the request target"),
	REFUSED("blank first", " GET / HTTP/1.1\r\n", HTTP_SYNTAX, "0x20 in the method"),
	REFUSED("two empty lines first", "\r\n\r\nGET / HTTP/1.1\r\n", HTTP_SYNTAX, "empty line"),
	REFUSED("LF first", "\nGET / HTTP/1.1\r\n", HTTP_SYNTAX, "empty line"),
	REFUSED("CR first", "\rGET / HTTP/1.1\r\n", HTTP_SYNTAX, "CR without LF"),
	REFUSED("delimiter in method", "G@T / HTTP/1.1\r\n", HTTP_SYNTAX, "0x40 in the method"),
	REFUSED("8-bit method", "G\xc5T / HTTP/1.1\r\n", HTTP_SYNTAX, "0xc5 in the method"),
	REFUSED("NUL in method", "GET\0 / HTTP/1.1\r\n", HTTP_SYNTAX, "0x00 in the method"),
	REFUSED("TLS handshake", "\x16\x03\x01\x02", HTTP_SYNTAX, "TLS handshake"),
	REFUSED("method known as a prefix", "GETX / HTTP/1.1\r\n", HTTP_METHOD_UNKNOWN, "'GETX'"),
	REFUSED("part of a method", "GE / HTTP/1.1\r\n", HTTP_METHOD_UNKNOWN, "'GE'"),
	REFUSED("lower-case method", "get / HTTP/1.1\r\n", HTTP_METHOD_UNKNOWN, "'get'"),
	REFUSED("TRACE", "TRACE / HTTP/1.1\r\n", HTTP_METHOD_UNKNOWN, "'TRACE'"),
	REFUSED("CONNECT", "CONNECT h:443 HTTP/1.1\r\n", HTTP_METHOD_UNKNOWN, "'CONNECT'"),
	REFUSED("endless method", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", HTTP_METHOD_UNKNOWN, "longer than 32"),
	REFUSED("authority-form", "GET h:443 HTTP/1.1\r\n", HTTP_SYNTAX, "must start with '/'"),
	REFUSED("relative target", "GET a/b HTTP/1.1\r\n", HTTP_SYNTAX, "must start with '/'"),
	REFUSED("asterisk for GET", "GET * HTTP/1.1\r\n", HTTP_SYNTAX, "OPTIONS only"),
	REFUSED("asterisk and more", "OPTIONS *x HTTP/1.1\r\n", HTTP_SYNTAX, "must start with '/'"),
	REFUSED("fragment", "GET /a#b HTTP/1.1\r\n", HTTP_SYNTAX, "fragments"),
	REFUSED("NUL in target", "GET /a\0b HTTP/1.1\r\n", HTTP_SYNTAX, "0x00 in the request target"),
	REFUSED("8-bit target", "GET /caf\xc3\xa9 HTTP/1.1\r\n", HTTP_SYNTAX, "percent-encoded"),
	REFUSED("DEL in a long target", "GET /0123456789abcdef0123\x7f HTTP/1.1\r\n", HTTP_SYNTAX, "0x7f"),
	REFUSED("other scheme", "GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_SYNTAX, "must start with '/'"),
	REFUSED("absolute without host", "GET http:///a HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_HOST, "request target"),
	REFUSED("absolute with user", "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", HTTP_HOST, "request target"),
	REFUSED("absolute with bad Host", "GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n", HTTP_HOST, "Host header"),
	REFUSED("absolute without Host", "GET http://h/ HTTP/1.1\r\n\r\n", HTTP_HOST, "missing"),
	// Expect
	REFUSED("other expectation", "POST /" H11 "Expect: 200-ok\r\n\r\n", HTTP_EXPECTATION, "'200-ok'"),
	REFUSED("expectation list", "POST /" H11 "Expect: 100-continue, x\r\n\r\n", HTTP_EXPECTATION,
		"one '100-continue'"),
	REFUSED("two expectations", "POST /" H11 "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n",
		HTTP_EXPECTATION, "one '100-continue'"),
	// Limits
	REFUSED("65 bytes of target",
		"GET /234567890123456789012345678901234567890123456789012345678901234X HTTP/1.1\r\n", HTTP_URI_TOO_LONG,
		"longer than 64"),
	REFUSED("bad byte behind the limit",
		"GET /234567890123456789012345678901234567890123456789012345678901234X\x01", HTTP_URI_TOO_LONG,
		"longer than 64"),
	REFUSED("bad byte before the limit", "GET /\x01", HTTP_SYNTAX, "0x01"),
	REFUSED("nine headers", "GET /" H11 "A:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\nH", HTTP_HEADERS_TOO_LARGE,
		"more than 8 headers"),
};

TEST(http1_refuses)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(refused); i++) {
		struct outcome o = parse(refused[i].request);
		if (!CHECK_INT(o.err, refused[i].err) || !CHECK_HAS(o.message, refused[i].message))
			printf("# case: %s\n", refused[i].name);
		ms_buf_fini(&o.text);
	}
}

// Every refusal must be told as soon as its byte is there: nothing that follows may change it.
TEST(http1_refusal_does_not_depend_on_what_follows)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(refused); i++) {
		char longer[1024];
		struct slice r = refused[i].request;
		REQUIRE(r.n + 64 < sizeof(longer));
		memcpy(longer, r.p, r.n);
		for (size_t k = 0; k < 64; k++)
			longer[r.n + k] = (char)ms_rand_below(ms_test_rand(), 256);
		struct outcome alone = feed(r, &LIMITS, CUT_WHOLE, 0);
		struct outcome more = feed(ms_slice(longer, r.n + 64), &LIMITS, CUT_WHOLE, 0);
		if (!CHECK(same_outcome(&alone, &more)))
			printf("# case: %s\n", refused[i].name);
		ms_buf_fini(&alone.text);
		ms_buf_fini(&more.text);
	}
}

// --- What is accepted --------------------------------------------------------------------------------

struct accepted {
	struct slice request;
	const char *parts[6]; // each is in the written-out head
};

#define ACCEPTED(text, ...)         \
	{                           \
		MS_SLICE_LIT(text), \
		{                   \
			__VA_ARGS__ \
		}                   \
	}

static const struct accepted accepted[] = {
	ACCEPTED("GET /" H11 "\r\n", "GET 1.1", "target=[/]", "path=[/]", "query=none", "keep=1", "body=none 0"),
	ACCEPTED("\r\nGET /" H11 "\r\n", "GET 1.1", "path=[/]"),
	ACCEPTED("HEAD /a%2Fb?x=1&y=?/ HTTP/1.1\r\nHost: h\r\n\r\n", "HEAD", "path=[/a%2Fb]", "query=[x=1&y=?/]"),
	ACCEPTED("DELETE /? HTTP/1.1\r\nHost: h\r\n\r\n", "DELETE", "path=[/]", "query=[]"),
	ACCEPTED("PUT //a/../b HTTP/1.1\r\nHost: h\r\n\r\n", "PUT", "path=[//a/../b]"),
	ACCEPTED("PATCH /{a}|\"b\" HTTP/1.1\r\nHost: h\r\n\r\n", "PATCH", "path=[/{a}|\"b\"]"),
	ACCEPTED("OPTIONS *" H11 "\r\n", "OPTIONS", "asterisk=1", "path=[*]", "absolute=0"),
	ACCEPTED("OPTIONS /x" H11 "\r\n", "OPTIONS", "asterisk=0", "path=[/x]"),
	ACCEPTED("GET http://a.example:81/p?q HTTP/1.1\r\nHost: other\r\n\r\n", "absolute=1", "path=[/p]", "query=[q]",
		 "host=[a.example:81]", "target=[http://a.example:81/p?q]"),
	ACCEPTED("GET HTTPS://a HTTP/1.1\r\nHost: other\r\n\r\n", "absolute=1", "path=[/]", "query=none", "host=[a]"),
	ACCEPTED("GET http://a?q=/ HTTP/1.1\r\nHost: other\r\n\r\n", "absolute=1", "path=[/]", "query=[q=/]",
		 "host=[a]"),
	ACCEPTED("GET http://[::1]:8/ HTTP/1.1\r\nHost: other\r\n\r\n", "host=[[::1]:8]"),
	ACCEPTED("GET / HTTP/1.1\r\nHost: [2001:db8::192.0.2.1]:8080\r\n\r\n", "host=[[2001:db8::192.0.2.1]:8080]"),
	ACCEPTED("GET / HTTP/1.1\r\nHOST: a_b-c.d~e:\r\n\r\n", "host=[a_b-c.d~e:]"),
	ACCEPTED("GET / HTTP/1.1\r\nHost: a:65535\r\n\r\n", "host=[a:65535]"),
	ACCEPTED("POST /" H11 "Content-Length: 5\r\n\r\nhello", "POST", "body=length 5"),
	ACCEPTED("POST /" H11 "Content-Length: 0\r\n\r\n", "body=none 0"),
	ACCEPTED("POST /" H11 "Content-Length: 0005 \t\r\n\r\n", "body=length 5"),
	ACCEPTED("POST /" H11 "Content-Length: 9223372036854775807\r\n\r\n", "body=length 9223372036854775807"),
	ACCEPTED("POST /" H11 "tRANSFER-eNCODING:chUNKED\r\n\r\n", "body=chunked 0"),
	ACCEPTED("POST /" H11 "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n", "continue=1", "body=length 5"),
	ACCEPTED("POST /" H11 "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", "continue=1"),
	ACCEPTED("POST /" H11 "Expect: 100-continue\r\n\r\n", "continue=0"), // there is no body to wait for
	ACCEPTED("POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 5\r\n\r\n", "continue=0", "body=length 5",
		 "host=none"),
	ACCEPTED("GET / HTTP/1.0\r\n\r\n", "GET 1.0", "keep=0", "host=none"),
	ACCEPTED("GET / HTTP/1.0\r\nConnection: x, Keep-Alive\r\n\r\n", "keep=1"),
	ACCEPTED("GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", "keep=0"),
	ACCEPTED("GET /" H11 "Connection: CLOSE\r\n\r\n", "keep=0"),
	ACCEPTED("GET /" H11 "Connection: keep-alive, , close ,\r\n\r\n", "keep=0"),
	ACCEPTED("GET /" H11 "Connection: TE\r\nConnection: upgrade\r\n\r\n", "keep=1", "repeated=2"),
	ACCEPTED("GET /" H11 "Connection: closed\r\n\r\n", "keep=1"),
	ACCEPTED("GET /" H11 "A:\r\nB: \t \r\nC:\tx y\t \r\nD: \xc3\xa9\t:\"\r\n\r\n",
		 "name=[A] value=[] name=[B] value=[]", "name=[C] value=[x y]", "name=[D] value=[\xc3\xa9\t:\"]"),
	ACCEPTED("GET /" H11 "!#$%&'*+-.^_`|~09azAZ: x\r\n\r\n", "name=[!#$%&'*+-.^_`|~09azAZ] value=[x]"),
	ACCEPTED("GET /" H11 "A-Long-Name-Of-More-Than-16: 0123456789abcdef0123456789abcdef!\r\n\r\n",
		 "name=[A-Long-Name-Of-More-Than-16] value=[0123456789abcdef0123456789abcdef!]"),
	ACCEPTED("GET /" H11 "Accept: a\r\nACCEPT: b\r\n\r\n", "known=[a]", "repeated=80", "name=[ACCEPT] value=[b]"),
	ACCEPTED("GET /23456789012345678901234567890123456789012345678901234567890123 HTTP/1.1\r\nHost: h\r\n\r\n",
		 "GET"),
	ACCEPTED("GET /" H11 "A:\r\nB:\r\nC:\r\nD:\r\nE:\r\nF:\r\nG:\r\n\r\n", "name=[G]"),
};

TEST(http1_accepts)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(accepted); i++) {
		struct outcome o = parse(accepted[i].request);
		bool ok = CHECK_OK(o.err) && CHECK(o.head_bytes > 0);
		ms_buf_append_char(&o.text, '\0');
		for (size_t k = 0; ok && k < MS_ARRAY_LEN(accepted[i].parts) && accepted[i].parts[k] != NULL; k++)
			ok = CHECK_HAS(o.text.p, accepted[i].parts[k]);
		if (!ok)
			printf("# case %zu: %.*s# %s\n", i, MS_SLICE_ARG(accepted[i].request), o.message);
		ms_buf_fini(&o.text);
	}
}

// A head that is cut short is never whole and never wrong.
TEST(http1_waits_for_more)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(accepted); i++) {
		struct outcome whole = feed(accepted[i].request, &LIMITS, CUT_WHOLE, 0);
		for (size_t n = 0; n < whole.head_bytes; n++) {
			struct outcome o = feed(ms_slice_sub(accepted[i].request, 0, n), &LIMITS, CUT_WHOLE, 0);
			CHECK_OK(o.err);
			CHECK_INT(o.head_bytes, 0);
			ms_buf_fini(&o.text);
		}
		ms_buf_fini(&whole.text);
	}
}

TEST(http1_knows_its_headers)
{
	static const struct {
		const char *name;
		enum http1_known known;
	} cases[] = {
		{"HOST", HTTP1_HOST},
		{"Connection", HTTP1_CONNECTION},
		{"Content-Type", HTTP1_CONTENT_TYPE},
		{"cONTENT-eNCODING", HTTP1_CONTENT_ENCODING},
		{"Accept", HTTP1_ACCEPT},
		{"Accept-Encoding", HTTP1_ACCEPT_ENCODING},
		{"Authorization", HTTP1_AUTHORIZATION},
		{"TraceParent", HTTP1_TRACEPARENT},
		{"tracestate", HTTP1_TRACESTATE},
		{"X-Request-ID", HTTP1_X_REQUEST_ID},
		{"Content-Length", HTTP1_CONTENT_LENGTH},
		{"Transfer-Encoding", HTTP1_TRANSFER_ENCODING},
		{"Expect", HTTP1_EXPECT},
		// Near misses: one letter off, or a character that folds onto another.
		{"Hosts", HTTP1_KNOWN_COUNT},
		{"X-Request_ID", HTTP1_KNOWN_COUNT},
		{"Content.Length", HTTP1_KNOWN_COUNT},
		{"Content-Lengti", HTTP1_KNOWN_COUNT},
		{"Bontent-Length", HTTP1_KNOWN_COUNT},
		{"Transfer-Encodinh", HTTP1_KNOWN_COUNT},
		{"Expect-Ct", HTTP1_KNOWN_COUNT},
		{"Except", HTTP1_KNOWN_COUNT},
		{"Te", HTTP1_KNOWN_COUNT},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		char request[128];
		bool host = cases[i].known == HTTP1_HOST;
		const char *value = cases[i].known == HTTP1_CONTENT_LENGTH      ? "7"
				    : cases[i].known == HTTP1_TRANSFER_ENCODING ? "chunked"
				    : cases[i].known == HTTP1_EXPECT            ? "100-continue"
										: "v";
		int n = snprintf(request, sizeof(request), "GET / HTTP/1.1\r\n%s%s: %s\r\n\r\n",
				 host ? "" : "Host: h\r\n", cases[i].name, value);
		struct arena arena;
		struct http1_parser p;
		size_t head_bytes = 0;
		ms_arena_init(&arena, 256, 1 << 16);
		ms_http1_parser_init(&p, &LIMITS, &arena);
		CHECK_OK(ms_http1_parse(&p, ms_slice(request, (size_t)n), NULL, &head_bytes));
		CHECK_INT(head_bytes, n);
		for (unsigned k = 0; k < HTTP1_KNOWN_COUNT; k++) {
			bool set = k == cases[i].known || k == HTTP1_HOST;
			if (!CHECK_INT(p.head.known[k].p != NULL, set))
				printf("# %s and known header %u\n", cases[i].name, k);
		}
		if (cases[i].known != HTTP1_KNOWN_COUNT)
			CHECK_SLICE(p.head.known[cases[i].known], value);
		ms_arena_fini(&arena);
	}
}

// --- Limits ------------------------------------------------------------------------------------------

// A head of exactly the limit passes; one byte less of limit refuses it, however it is cut.
TEST(http1_header_bytes_limit_is_exact)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\nA: bcdef\r\n\r\nbody";
	struct http1_limits limits = LIMITS;
	size_t lines = strlen("Host: h\r\nA: bcdef\r\n\r\n");
	for (size_t limit = 0; limit <= lines + 1; limit++) {
		limits.header_bytes = limit;
		struct outcome o = parse_with(MS_SLICE_LIT(request), &limits);
		CHECK_INT(o.err, limit < lines ? MS_ERR_HTTP_HEADERS_TOO_LARGE : MS_OK);
		ms_buf_fini(&o.text);
	}
}

TEST(http1_uri_limit_is_exact)
{
	struct http1_limits limits = LIMITS;
	for (size_t limit = 0; limit <= 8; limit++) {
		limits.uri_bytes = limit;
		struct outcome o = parse_with(MS_SLICE_LIT("GET /23456 HTTP/1.1\r\nHost: h\r\n\r\n"), &limits);
		CHECK_INT(o.err, limit < 6 ? MS_ERR_HTTP_URI_TOO_LONG : MS_OK);
		ms_buf_fini(&o.text);
	}
}

TEST(http1_header_table_grows_to_its_limit)
{
	struct http1_limits limits = {.uri_bytes = 64, .header_bytes = 1 << 16, .header_count = 100};
	for (unsigned count = 95; count <= 105; count++) {
		struct buf request;
		ms_buf_init(&request, 1 << 16);
		ms_buf_append_cstr(&request, "GET / HTTP/1.0\r\n");
		for (unsigned i = 0; i < count; i++)
			ms_buf_printf(&request, "X-%u: %u\r\n", i, i);
		ms_buf_append_cstr(&request, "\r\n");
		struct outcome whole = feed(ms_buf_slice(&request), &limits, CUT_WHOLE, 0);
		struct outcome cut = feed(ms_buf_slice(&request), &limits, CUT_BYTES, 0);
		CHECK_INT(whole.err, count > 100 ? MS_ERR_HTTP_HEADERS_TOO_LARGE : MS_OK);
		CHECK(same_outcome(&whole, &cut));
		if (count <= 100) {
			ms_buf_append_char(&whole.text, '\0');
			CHECK_HAS(whole.text.p, "name=[X-0] value=[0] name=[X-1] value=[1]");
			CHECK_HAS(whole.text.p, "name=[X-94] value=[94]");
		}
		ms_buf_fini(&whole.text);
		ms_buf_fini(&cut.text);
		ms_buf_fini(&request);
	}
}

static void parse_in_short_memory(void)
{
	static const char request[] = "GET / HTTP/1.0\r\nA: b\r\n\r\n";
	struct arena arena;
	struct http1_parser p;
	struct errinfo info;
	size_t head_bytes = 0;
	ms_errinfo_init(&info);
	ms_arena_init(&arena, 64, 1 << 16);
	ms_http1_parser_init(&p, &LIMITS, &arena);
	enum ms_err err = ms_http1_parse(&p, MS_SLICE_LIT(request), &info, &head_bytes);
	CHECK_INT(err, ms_test_allocation_failed() ? MS_ERR_NO_MEMORY : MS_OK);
	ms_arena_fini(&arena);
}

TEST(http1_survives_failing_memory)
{
	ms_test_torture(parse_in_short_memory);
}

// --- Random input ------------------------------------------------------------------------------------

// Mutations of good and bad requests: the outcome may be anything, but the same for every cut.
TEST(http1_outcome_never_depends_on_the_cut)
{
	static const char salt[] = "\r\n\t :,;#?/*%\0\x7f\x80\xff"
				   "0A";
	for (unsigned round = 0; round < 20; round++) {
		for (size_t i = 0; i < MS_ARRAY_LEN(refused) + MS_ARRAY_LEN(accepted); i++) {
			struct slice s = i < MS_ARRAY_LEN(refused) ? refused[i].request
								   : accepted[i - MS_ARRAY_LEN(refused)].request;
			char bytes[512];
			REQUIRE(s.n > 0 && s.n <= sizeof(bytes));
			memcpy(bytes, s.p, s.n);
			for (unsigned k = 0; k < 2; k++)
				bytes[ms_rand_below(ms_test_rand(), s.n)] =
					salt[ms_rand_below(ms_test_rand(), sizeof(salt) - 1)];
			s.p = bytes;
			struct outcome whole = feed(s, &LIMITS, CUT_WHOLE, 0);
			check_same(s, &LIMITS, &whole, CUT_BYTES, 0);
			check_same(s, &LIMITS, &whole, CUT_RANDOM, 0);
			ms_buf_fini(&whole.text);
		}
	}
}

// --- After the head ----------------------------------------------------------------------------------

TEST(http1_moves_its_slices)
{
	static const char text[] = "GET http://a?q HTTP/1.1\r\nHost: b\r\nAccept: c\r\n\r\n";
	char *first = malloc(sizeof(text)), *second = malloc(sizeof(text));
	REQUIRE(first != NULL && second != NULL);
	memcpy(first, text, sizeof(text));
	memcpy(second, text, sizeof(text));
	struct arena arena;
	struct http1_parser p;
	size_t head_bytes;
	ms_arena_init(&arena, 256, 1 << 16);
	ms_http1_parser_init(&p, &LIMITS, &arena);
	CHECK_OK(ms_http1_parse(&p, ms_slice(first, sizeof(text) - 1), NULL, &head_bytes));
	ms_http1_move(&p, second);
	memset(first, 'X', sizeof(text));
	free(first);
	CHECK_SLICE(p.head.path, "/");
	CHECK_SLICE(p.head.query, "q");
	CHECK_SLICE(p.head.host, "a");
	CHECK_SLICE(p.head.target, "http://a?q");
	CHECK_SLICE(p.head.known[HTTP1_ACCEPT], "c");
	CHECK_SLICE(p.head.headers[1].name, "Accept");
	CHECK_SLICE(p.head.headers[1].value, "c");
	CHECK(p.head.known[HTTP1_EXPECT].p == NULL);
	free(second);
	ms_arena_fini(&arena);
}

TEST(http1_tells_when_a_request_started)
{
	static const char text[] = "\r\nGET / HTTP/1.1\r\n";
	struct arena arena;
	struct http1_parser p;
	size_t head_bytes;
	ms_arena_init(&arena, 256, 1 << 16);
	ms_http1_parser_init(&p, &LIMITS, &arena);
	for (size_t n = 0; n < sizeof(text); n++) {
		CHECK_OK(ms_http1_parse(&p, ms_slice(text, n), NULL, &head_bytes));
		CHECK_INT(ms_http1_started(&p), n > 2);
	}
	ms_arena_fini(&arena);
}

TEST(http1_names_hop_by_hop_headers)
{
	static const char text[] = "GET /" H11 "Connection: close, X-Mine\r\nConnection: ,x-other\r\n\r\n";
	struct arena arena;
	struct http1_parser p;
	size_t head_bytes;
	ms_arena_init(&arena, 256, 1 << 16);
	ms_http1_parser_init(&p, &LIMITS, &arena);
	CHECK_OK(ms_http1_parse(&p, MS_SLICE_LIT(text), NULL, &head_bytes));
	static const char *const hop[] = {"connection", "Keep-Alive", "TE",      "Trailer",         "Transfer-Encoding",
					  "Upgrade",    "x-mine",     "X-Other", "Proxy-Connection"};
	static const char *const end[] = {"Host", "Content-Length", "x-min", "Accept", "TE-X"};
	for (size_t i = 0; i < MS_ARRAY_LEN(hop); i++)
		CHECK(ms_http1_is_hop_by_hop(&p.head, ms_slice_cstr(hop[i])));
	for (size_t i = 0; i < MS_ARRAY_LEN(end); i++)
		CHECK(!ms_http1_is_hop_by_hop(&p.head, ms_slice_cstr(end[i])));
	ms_arena_fini(&arena);
}
