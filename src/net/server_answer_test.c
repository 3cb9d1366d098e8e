// SPDX-License-Identifier: Apache-2.0
// Answers whose heads are the handler's own: framing, 1xx, hop-by-hop headers, lengths that lie, trailers, cuts.
#include <stdio.h>
#include <stdlib.h>

#include "net/server_test_kit.h"

#define H(name_, value_)                                                   \
	{                                                                  \
		.name = MS_SLICE_LIT(name_), .value = MS_SLICE_LIT(value_) \
	}

// What a case sends.
struct script {
	struct http_answer answer;
	const char *pieces[3];
	struct http_header trailers[4];
	size_t trailer_count;
	bool cut;
	bool early; // 103 and 100 before
};

static const struct http_header plain_headers[] = {
	H("Content-Type", "text/x-test"),
	H("X-Own", "a"),
	H("x-own", "b"),
};
static const struct http_header hop_headers[] = {
	H("Connection", "close, X-Private"),
	H("X-Private", "1"),
	H("Keep-Alive", "timeout=5"),
	H("Transfer-Encoding", "gzip"),
	H("Content-Length", "12345"),
	H("Upgrade", "h2"),
	H("Trailer", "x"),
	H("X-Request-ID", "theirs"),
	H("Date", "yesterday"),
	H("Server", "theirs"),
	H("X-Bad", "a\r\nX-Evil: 1"),
	H("X Bad", "1"),
	H("", "1"),
	H("X-Good", "1"),
};

static const struct script scripts[] = {
	// 0: unknown length
	{.answer = {201, plain_headers, 3, UINT64_MAX, false}, .pieces = {"abc", "", "defg"}},
	// 1: known length
	{.answer = {200, plain_headers, 3, 7, false}, .pieces = {"abc", "defg"}},
	// 2: hop by hop
	{.answer = {200, hop_headers, MS_ARRAY_LEN(hop_headers), 2, false}, .pieces = {"ab"}},
	// 3: the answer's own Date and Server
	{.answer = {200, hop_headers, MS_ARRAY_LEN(hop_headers), 2, true}, .pieces = {"ab"}},
	// 4: longer than said
	{.answer = {200, NULL, 0, 5, false}, .pieces = {"abc", "def"}},
	// 5: shorter than said
	{.answer = {200, NULL, 0, 5, false}, .pieces = {"abc"}},
	// 6: no content, whatever is written
	{.answer = {204, NULL, 0, UINT64_MAX, false}, .pieces = {"abc"}},
	// 7
	{.answer = {304, NULL, 0, 10, false}, .pieces = {"abc"}},
	// 8: trailers
	{.answer = {200, NULL, 0, UINT64_MAX, false},
	 .pieces = {"abc"},
	 .trailers = {H("grpc-status", "0"), H("Content-Length", "5"), H("x-bad", "a\nb"), H("x-sum", "9")},
	 .trailer_count = 4},
	// 9: cut
	{.answer = {200, NULL, 0, UINT64_MAX, false}, .pieces = {"abc"}, .cut = true},
	// 10: interim heads first
	{.answer = {200, NULL, 0, 0, false}, .early = true},
	// 11: empty, known
	{.answer = {404, NULL, 0, 0, false}},
};

static void drained(struct exchange *x, void *arg)
{
	(void)x, (void)arg;
}

static void run(struct exchange *x, void *role)
{
	(void)role;
	uint64_t n = 0;
	REQUIRE(ms_slice_to_u64(x->req.params[0], &n) && n < MS_ARRAY_LEN(scripts));
	const struct script *s = &scripts[n];
	static const struct http_header link[] = {H("Link", "</a.css>; rel=preload"), H("Connection", "close")};
	if (s->early) {
		ms_http_answer_start(x, &(struct http_answer){.status = 103, .headers = link, .header_count = 2}, NULL,
				     NULL);
		ms_http_answer_start(x, &(struct http_answer){.status = 100}, NULL, NULL);
	}
	ms_http_set_header(x, "X-Set", MS_SLICE_LIT("too"));
	ms_http_answer_start(x, &s->answer, drained, NULL);
	for (size_t i = 0; i < MS_ARRAY_LEN(s->pieces); i++) {
		if (s->pieces[i] != NULL)
			ms_http_stream_write(x, ms_slice_cstr(s->pieces[i]));
	}
	if (s->cut)
		ms_http_stream_cut(x);
	else
		ms_http_stream_end_with(x, s->trailers, s->trailer_count);
}

static const struct route routes[] = {
	{.method = HTTP_GET, .pattern = "/run/{n}", .handle = run, .flags = ROUTE_PUBLIC},
	{.method = HTTP_POST, .pattern = "/run/{n}", .handle = run, .flags = ROUTE_PUBLIC | ROUTE_STREAM},
};

static void start(struct kit *kit)
{
	const struct kit_options options = {
		.routes = routes, .route_count = MS_ARRAY_LEN(routes), .server_header = "ours"};
	kit_start(kit, &options);
}

static size_t count_of(struct slice text, const char *part)
{
	size_t n = 0;
	for (const char *at = text.p; (at = memmem(at, (size_t)(text.p + text.n - at), part, strlen(part))) != NULL;
	     at++)
		n++;
	return n;
}

TEST(answer_with_a_head_of_its_own)
{
	struct kit kit;
	struct client c;
	struct answer a;
	start(&kit);
	client_connect(&c, kit.port);
	CHECK_INT(client_ask(&c, GET("/run/0"), &a), 201);
	CHECK_SLICE(answer_header(&a, "Transfer-Encoding"), "chunked");
	CHECK_SLICE(answer_header(&a, "Content-Type"), "text/x-test");
	CHECK_SLICE(answer_header(&a, "Server"), "ours");
	CHECK_SLICE(answer_header(&a, "X-Set"), "too");
	CHECK_INT(count_of(a.head, "own: "), 1);
	CHECK_INT(count_of(a.head, "Own: "), 1);
	CHECK_INT(count_of(a.head, "Date: "), 1);
	CHECK_SLICE(a.body, "abcdefg");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/run/1"), &a), 200);
	CHECK_SLICE(answer_header(&a, "Content-Length"), "7");
	CHECK(answer_header(&a, "Transfer-Encoding").p == NULL);
	CHECK_SLICE(a.body, "abcdefg");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/run/11"), &a), 404);
	CHECK_SLICE(answer_header(&a, "Content-Length"), "0");
	client_close(&c);
	kit_stop(&kit);
}

TEST(answer_drops_what_is_not_the_clients)
{
	static const char *const gone[] = {"X-Private", "Keep-Alive", "Transfer-Encoding",
					   "Upgrade",   "Trailer",    "X-Bad",
					   "X-Evil",    "X Bad",      "Connection"};
	struct kit kit;
	struct client c;
	struct answer a;
	start(&kit);
	client_connect(&c, kit.port);
	for (int i = 2; i <= 3; i++) {
		char request[64];
		snprintf(request, sizeof(request), "GET /run/%d HTTP/1.1\r\nHost: t\r\n\r\n", i);
		CHECK_INT(client_ask(&c, request, &a), 200);
		for (size_t k = 0; k < MS_ARRAY_LEN(gone); k++)
			CHECK(answer_header(&a, gone[k]).p == NULL);
		CHECK_SLICE(answer_header(&a, "X-Good"), "1");
		CHECK_SLICE(answer_header(&a, "Content-Length"), "2");
		CHECK_INT(count_of(a.head, "Content-Length"), 1);
		CHECK_INT(count_of(a.head, "X-Request-ID"), 1);
		CHECK_INT(answer_header(&a, "X-Request-ID").n, 32);
		CHECK_INT(count_of(a.head, "Date: "), 1);
		CHECK_INT(count_of(a.head, "Server: "), 1);
		CHECK_SLICE(answer_header(&a, "Server"), i == 2 ? "ours" : "theirs");
		CHECK((i == 3) == ms_slice_eq_cstr(answer_header(&a, "Date"), "yesterday"));
		client_consume(&c, a.bytes);
	}
	client_close(&c);
	kit_stop(&kit);
}

TEST(answer_that_lies_about_its_length_is_cut)
{
	struct kit kit;
	struct client c;
	struct answer a;
	start(&kit);
	static const char *const requests[] = {GET("/run/4"), GET("/run/5"), GET("/run/9")};
	for (size_t i = 0; i < MS_ARRAY_LEN(requests); i++) {
		client_connect(&c, kit.port);
		client_send_text(&c, requests[i]);
		client_send_text(&c, GET("/"));
		CHECK(!client_answer(&c, &a)); // never a whole answer, nor the next one
		CHECK(c.in.n == 0 || count_of(ms_buf_slice(&c.in), "hello") == 0);
		CHECK(c.eof || c.reset);
		client_close(&c);
	}
	CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	// HTTP/1.0 has no other sign than the end of the connection: it must not be an orderly one.
	client_connect(&c, kit.port);
	client_send_text(&c, "GET /run/9 HTTP/1.0\r\n\r\n");
	CHECK(!client_read_to_end(&c));
	CHECK(c.reset);
	client_close(&c);
	kit_stop(&kit);
}

TEST(answer_without_content)
{
	struct kit kit;
	struct client c;
	struct answer a;
	start(&kit);
	client_connect(&c, kit.port);
	for (int i = 6; i <= 7; i++) {
		char request[64];
		snprintf(request, sizeof(request), "GET /run/%d HTTP/1.1\r\nHost: t\r\n\r\n", i);
		client_send_text(&c, request);
		REQUIRE(client_head(&c, &a));
		CHECK_INT(a.status, i == 6 ? 204 : 304);
		CHECK(answer_header(&a, "Content-Length").p == NULL &&
		      answer_header(&a, "Transfer-Encoding").p == NULL);
		client_consume(&c, a.bytes);
	}
	client_send_text(&c, "HEAD /run/1 HTTP/1.1\r\nHost: t\r\n\r\n");
	REQUIRE(client_head(&c, &a));
	CHECK_SLICE(answer_header(&a, "Content-Length"), "7");
	client_consume(&c, a.bytes);
	client_send_text(&c, "HEAD /run/0 HTTP/1.1\r\nHost: t\r\n\r\n");
	REQUIRE(client_head(&c, &a));
	CHECK_INT(a.status, 201);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/"), &a), 200); // no byte stood between
	CHECK_SLICE(a.body, "hello\n");
	client_close(&c);
	kit_stop(&kit);
}

TEST(answer_has_trailers_for_those_who_ask)
{
	struct kit kit;
	struct client c;
	start(&kit);
	client_connect(&c, kit.port);
	client_send_text(&c,
			 "GET /run/8 HTTP/1.1\r\nHost: t\r\nTE: gzip;q=0, trailers\r\nConnection: TE, close\r\n\r\n");
	CHECK(client_read_to_end(&c));
	CHECK_INT(count_of(ms_buf_slice(&c.in), "\r\n\r\n3\r\nabc\r\n0\r\ngrpc-status: 0\r\nx-sum: 9\r\n\r\n"), 1);
	client_close(&c);
	client_connect(&c, kit.port);
	client_send_text(&c, "GET /run/8 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
	CHECK(client_read_to_end(&c));
	CHECK_INT(count_of(ms_buf_slice(&c.in), "\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), 1);
	client_close(&c);
	client_connect(&c, kit.port);
	client_send_text(&c, "GET /run/8 HTTP/1.0\r\nTE: trailers\r\n\r\n");
	CHECK(client_read_to_end(&c));
	CHECK_INT(count_of(ms_buf_slice(&c.in), "\r\n\r\nabc"), 1);
	CHECK_INT(count_of(ms_buf_slice(&c.in), "grpc-status"), 0);
	client_close(&c);
	kit_stop(&kit);
}

TEST(answer_may_be_announced)
{
	struct kit kit;
	struct client c;
	struct answer a;
	start(&kit);
	client_connect(&c, kit.port);
	client_send_text(&c, GET("/run/10"));
	REQUIRE(client_head(&c, &a));
	CHECK_INT(a.status, 103);
	CHECK_SLICE(answer_header(&a, "Link"), "</a.css>; rel=preload");
	CHECK(answer_header(&a, "Connection").p == NULL && answer_header(&a, "Content-Length").p == NULL);
	client_consume(&c, a.bytes);
	REQUIRE(client_head(&c, &a));
	CHECK_INT(a.status, 100);
	client_consume(&c, a.bytes);
	REQUIRE(client_answer(&c, &a));
	CHECK_INT(a.status, 200);
	client_close(&c);
	client_connect(&c, kit.port); // HTTP/1.0 knows none of it
	client_send_text(&c, "GET /run/10 HTTP/1.0\r\n\r\n");
	REQUIRE(client_head(&c, &a));
	CHECK_INT(a.status, 200);
	client_close(&c);
	kit_stop(&kit);
}
