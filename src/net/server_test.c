// SPDX-License-Identifier: Apache-2.0
// Requests and answers: keep-alive, pipelining, bodies, methods, ids, codings, metrics, log.
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/compress.h"
#include "net/server_test_kit.h"

TEST(server_keeps_the_connection)
{
	struct kit kit;
	struct client c;
	struct answer a;
	kit_start(&kit, &(struct kit_options){.server_header = "Mainstay"});
	client_connect(&c, kit.port);
	for (int i = 0; i < 100; i++) {
		REQUIRE(client_ask(&c, GET("/"), &a) == 200);
		CHECK_SLICE(a.body, "hello\n");
		CHECK_SLICE(answer_header(&a, "Content-Type"), "text/plain");
		CHECK_SLICE(answer_header(&a, "X-Content-Type-Options"), "nosniff");
		CHECK_SLICE(answer_header(&a, "Server"), "Mainstay");
		CHECK_INT(answer_header(&a, "Date").n, 29);
		CHECK(answer_header(&a, "Connection").p == NULL);
		client_consume(&c, a.bytes);
	}
	CHECK_INT(kit.handled, 100);
	client_close(&c);
	kit_stop(&kit);
}

TEST(server_gives_handlers_their_request)
{
	struct kit kit;
	struct client c;
	struct answer a;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	const char *request =
		"GET /items/a%20b?x=1&q=c+d%26 HTTP/1.1\r\nHost: test\r\nX-Token: t\r\nX-Request-ID: my-id.1\r\n"
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n";
	CHECK_INT(client_ask(&c, request, &a), 201);
	CHECK_SLICE(a.body, "GET|a b|c d&|t|127.0.0.1|/items/a b|0af7651916cd43dd8448eb211c80319c");
	CHECK_SLICE(answer_header(&a, "X-Request-ID"), "my-id.1");
	CHECK_SLICE(answer_header(&a, "X-Test"), "yes");
	client_consume(&c, a.bytes);
	// An id that could do harm in a log is replaced; the next request has headers of its own only.
	CHECK_INT(client_ask(&c, "GET /items/z HTTP/1.1\r\nHost: t\r\nX-Request-ID: a b\r\n\r\n", &a), 201);
	CHECK_INT(answer_header(&a, "X-Request-ID").n, 32);
	CHECK(ms_slice_starts_with(a.body, MS_SLICE_LIT("GET|z|-||127.0.0.1|/items/z|")));
	client_close(&c);
	kit_stop(&kit);
}

TEST(server_makes_ids_that_differ)
{
	struct kit kit;
	struct client c;
	struct answer a;
	char first[33] = "";
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	for (int i = 0; i < 2; i++) {
		REQUIRE(client_ask(&c, GET("/"), &a) == 200);
		char id[33];
		REQUIRE(ms_slice_to_cstr(answer_header(&a, "X-Request-ID"), id, sizeof(id)) && strlen(id) == 32);
		CHECK(strcmp(id, first) != 0);
		memcpy(first, id, sizeof(id));
		client_consume(&c, a.bytes);
	}
	client_close(&c);
	kit_stop(&kit);
}

struct sending {
	struct client *client;
	struct slice bytes;
	struct rand rand;
};

static void *send_in_pieces(void *arg)
{
	struct sending *s = arg;
	for (size_t at = 0; at < s->bytes.n;) {
		size_t n = 1 + ms_rand_below(&s->rand, ms_rand_below(&s->rand, 10) == 0 ? 30000 : 200);
		n = MS_MIN(n, s->bytes.n - at);
		if (!client_send(s->client, s->bytes.p + at, n))
			break;
		at += n;
	}
	return NULL;
}

// Thousands of requests of several kinds, cut into random pieces: every answer comes, in order, whole.
TEST(server_answers_pipelined_requests_in_order)
{
	enum { REQUESTS = 4000 };
	struct kit kit;
	struct client c;
	struct buf all;
	struct rand *rand = ms_test_rand();
	uint8_t *kinds = malloc(REQUESTS);
	size_t *sizes = calloc(REQUESTS, sizeof(*sizes));
	REQUIRE(kinds != NULL && sizes != NULL);
	kit_start(&kit, &(struct kit_options){.quiet = true});
	ms_buf_init(&all, 64 << 20);
	for (int i = 0; i < REQUESTS; i++) {
		kinds[i] = (uint8_t)ms_rand_below(rand, 5);
		sizes[i] = ms_rand_below(rand, i % 100 == 0 ? 60000 : 300);
		if (kinds[i] == 0)
			ms_buf_append_cstr(&all, GET("/"));
		if (kinds[i] == 1)
			ms_buf_printf(&all, "GET /big?n=%zu HTTP/1.1\r\nHost: t\r\n\r\n", sizes[i]);
		if (kinds[i] == 2)
			ms_buf_printf(&all, "POST /length HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n",
				      sizes[i]);
		if (kinds[i] == 3)
			ms_buf_append_cstr(&all,
					   "POST /length HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
		if (kinds[i] == 4)
			ms_buf_printf(&all, "GET /stream?n=%zu HTTP/1.1\r\nHost: t\r\n\r\n", sizes[i]);
		if (kinds[i] == 3 && sizes[i] > 0)
			ms_buf_printf(&all, "%zx\r\n", sizes[i]);
		for (size_t k = 0; k < sizes[i] && (kinds[i] == 2 || kinds[i] == 3); k++)
			ms_buf_append_char(&all, 'x');
		if (kinds[i] == 3)
			ms_buf_append_cstr(&all, sizes[i] > 0 ? "\r\n0\r\n\r\n" : "0\r\n\r\n");
	}
	REQUIRE(ms_buf_ok(&all));
	client_connect(&c, kit.port);
	struct sending sending = {&c, ms_buf_slice(&all), *rand};
	pthread_t sender;
	REQUIRE(pthread_create(&sender, NULL, send_in_pieces, &sending) == 0);
	for (int i = 0; i < REQUESTS; i++) {
		struct answer a;
		REQUIRE(client_answer(&c, &a));
		CHECK_INT(a.status, 200);
		char text[32];
		snprintf(text, sizeof(text), "%zu", sizes[i]);
		if (kinds[i] == 0)
			CHECK_SLICE(a.body, "hello\n");
		else if (kinds[i] == 1 || kinds[i] == 4)
			CHECK_INT(a.body.n, sizes[i]);
		else
			CHECK_SLICE(a.body, text);
		client_consume(&c, a.bytes);
	}
	CHECK_INT(c.in.n, 0);
	pthread_join(sender, NULL);
	client_close(&c);
	ms_buf_fini(&all);
	free(kinds);
	free(sizes);
	kit_stop(&kit);
}

// A client that sends requests and reads no answers must not make the server buffer without end.
TEST(server_stops_reading_a_client_that_does_not_read)
{
	struct kit kit;
	struct client c;
	kit_start(&kit, &(struct kit_options){.quiet = true});
	client_connect(&c, kit.port);
	struct timeval half = {.tv_usec = 500000};
	setsockopt(c.fd, SOL_SOCKET, SO_SNDTIMEO, &half, sizeof(half));
	char request[5000];
	int n = snprintf(request, sizeof(request), "GET /big?n=4000 HTTP/1.1\r\nHost: t\r\nX-Pad: %04000d\r\n\r\n", 0);
	size_t requests = 0;
	while (requests < 20000 && client_send(&c, request, (size_t)n))
		requests++;
	CHECK(requests < 20000); // the kernel's buffers are full in both directions
	shutdown(c.fd, SHUT_WR);
	size_t answers = 0;
	struct answer a;
	while (client_answer(&c, &a) && a.status == 200) {
		answers++;
		client_consume(&c, a.bytes);
	}
	CHECK_INT(answers, requests); // the last one was cut and is no request
	client_close(&c);
	kit_stop(&kit);
}

TEST(server_takes_bodies_of_any_size_and_framing)
{
	static const size_t sizes[] = {0, 1, 100, 12000, 16300, 16384, 17000, 65536, 1000000};
	struct kit kit;
	struct client c;
	struct answer a;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	char *bytes = malloc(1000000);
	REQUIRE(bytes != NULL);
	for (size_t i = 0; i < 1000000; i++)
		bytes[i] = (char)(i * 31 >> 3);
	for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++) {
		char head[200];
		snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n", sizes[i]);
		REQUIRE(client_send_text(&c, head) && client_send(&c, bytes, sizes[i]) && client_answer(&c, &a));
		CHECK_INT(a.status, 200);
		CHECK(ms_slice_eq(a.body, ms_slice(bytes, sizes[i])));
		client_consume(&c, a.bytes);
		client_send_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
		for (size_t at = 0; at < sizes[i];) {
			size_t n = 1 + ms_rand_below(ms_test_rand(), 30000);
			n = MS_MIN(n, sizes[i] - at);
			snprintf(head, sizeof(head), "%zx\r\n", n);
			REQUIRE(client_send_text(&c, head) && client_send(&c, bytes + at, n) &&
				client_send_text(&c, "\r\n"));
			at += n;
		}
		REQUIRE(client_send_text(&c, "0\r\n\r\n") && client_answer(&c, &a));
		CHECK_INT(a.status, 200);
		CHECK_INT(a.body.n, sizes[i]);
		CHECK(ms_slice_eq(a.body, ms_slice(bytes, sizes[i])));
		client_consume(&c, a.bytes);
	}
	free(bytes);
	client_close(&c);
	kit_stop(&kit);
}

TEST(server_inflates_bodies_within_bounds)
{
	struct kit kit;
	struct client c;
	struct answer a;
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	limits.body_bytes = 1 << 20;
	kit_start(&kit, &(struct kit_options){.limits = &limits});
	struct codec_pool *pool = ms_codec_pool_new(1);
	REQUIRE(pool != NULL);
	for (enum content_coding coding = CODING_GZIP; coding <= CODING_ZSTD; coding++) {
		static const size_t sizes[] = {0, 5, 60000, 900000, 2000000}; // the last is above the limit
		for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++) {
			struct compressor *packer;
			struct buf plain, packed;
			char head[200];
			ms_buf_init(&plain, 4 << 20);
			ms_buf_init(&packed, 4 << 20);
			for (size_t k = 0; k < sizes[i]; k++)
				ms_buf_append_char(&plain, (char)ms_rand_below(ms_test_rand(), 16));
			REQUIRE(ms_compressor_take(pool, coding, UINT64_MAX, &packer) == MS_OK);
			REQUIRE(ms_compressor_write(packer, ms_buf_slice(&plain), COMPRESS_END, &packed) == MS_OK);
			ms_compressor_give(packer);
			client_connect(&c, kit.port);
			snprintf(
				head, sizeof(head),
				"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Encoding: %s\r\nContent-Length: %zu\r\n\r\n",
				ms_coding_name(coding), packed.n);
			client_send_text(&c, head);
			client_send(&c, packed.p, packed.n);
			REQUIRE(client_answer(&c, &a));
			CHECK_INT(a.status, sizes[i] > limits.body_bytes ? 413 : 200);
			if (a.status == 200)
				CHECK(ms_slice_eq(a.body, ms_buf_slice(&plain)));
			client_close(&c);
			ms_buf_fini(&plain);
			ms_buf_fini(&packed);
		}
	}
	ms_codec_pool_free(pool);
	client_connect(&c, kit.port);
	CHECK_INT(client_ask(&c,
			     "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nxx",
			     &a),
		  415);
	CHECK_SLICE(answer_header(&a, "Accept-Encoding"), "gzip, zstd, deflate");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c,
			     "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx",
			     &a),
		  400);
	client_close(&c);
	kit_stop(&kit);
}

TEST(server_answers_head_options_and_wrong_methods)
{
	struct kit kit;
	struct client c;
	struct answer a;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	REQUIRE(client_send_text(
		&c,
		"HEAD /big?n=5000 HTTP/1.1\r\nHost: t\r\n\r\nHEAD /stream?n=9 HTTP/1.1\r\nHost: t\r\n\r\n" GET("/")));
	REQUIRE(client_head(&c, &a));
	CHECK_INT(a.status, 200);
	CHECK_SLICE(answer_header(&a, "Content-Length"), "5000");
	client_consume(&c, a.bytes);
	REQUIRE(client_head(&c, &a));
	CHECK_INT(a.status, 200);
	client_consume(&c, a.bytes);
	REQUIRE(client_answer(&c, &a)); // no body came between
	CHECK_SLICE(a.body, "hello\n");
	client_consume(&c, a.bytes);

	CHECK_INT(client_ask(&c, "OPTIONS /echo HTTP/1.1\r\nHost: t\r\n\r\n", &a), 204);
	CHECK_SLICE(answer_header(&a, "Allow"), "POST, OPTIONS");
	CHECK(answer_header(&a, "Content-Length").p == NULL);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, "OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n", &a), 204);
	CHECK_SLICE(answer_header(&a, "Allow"), "GET, HEAD, POST, OPTIONS");
	client_consume(&c, a.bytes);
	// The body of a refused request that is here already does not cost the connection.
	CHECK_INT(client_ask(&c, "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc", &a), 405);
	CHECK_SLICE(answer_header(&a, "Allow"), "GET, HEAD, OPTIONS");
	CHECK(answer_header(&a, "Connection").p == NULL);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/nothing/here"), &a), 404);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, "BREW / HTTP/1.1\r\nHost: t\r\n\r\n", &a), 501);
	CHECK_SLICE(answer_header(&a, "Connection"), "close");
	client_consume(&c, a.bytes);
	CHECK(client_read_to_end(&c));
	client_close(&c);
	kit_stop(&kit);
}

TEST(server_writes_error_documents)
{
	struct kit kit;
	struct client c;
	struct answer a;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	CHECK_INT(client_ask(&c, "GET /fail HTTP/1.1\r\nHost: t\r\nX-Request-ID: e1\r\n\r\n", &a), 400);
	CHECK_SLICE(answer_header(&a, "Content-Type"), "application/json");
	CHECK_SLICE(a.body,
		    "{\"error\":\"a \\\"number\\\" is needed\",\"code\":\"predict.wrong_type\",\"request_id\":\"e1\","
		    "\"details\":{\"field\":\"petal \\\"width\\\"\",\"row\":3}}\n");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/broken"), &a), 500);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/items/%2e%2e"), &a), 400); // and closes
	client_close(&c);
	client_connect(&c, kit.port);
	// Before there is a request the same document tells what is wrong.
	CHECK_INT(client_ask(&c, "GET / HTTP/1.1\r\nHost : t\r\n\r\n", &a), 400);
	CHECK(ms_slice_starts_with(a.body, MS_SLICE_LIT("{\"error\":\"")));
	CHECK_SLICE(answer_header(&a, "Connection"), "close");
	client_consume(&c, a.bytes);
	CHECK(client_read_to_end(&c));
	client_close(&c);
	kit_stop(&kit);
}

TEST(server_speaks_http_1_0)
{
	struct kit kit;
	struct client c;
	struct answer a;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	CHECK_INT(client_ask(&c, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &a), 200);
	CHECK_SLICE(answer_header(&a, "Connection"), "keep-alive");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, "GET /stream?n=70000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &a), 200);
	CHECK_SLICE(answer_header(&a, "Connection"), "close");
	CHECK(answer_header(&a, "Transfer-Encoding").p == NULL);
	CHECK_INT(a.body.n, 70000); // until the end of the connection
	CHECK(c.eof);
	client_close(&c);
	kit_stop(&kit);
}

TEST(server_closes_when_asked)
{
	struct kit kit;
	struct client c;
	struct answer a;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	CHECK_INT(client_ask(&c, "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", &a), 200);
	CHECK_SLICE(answer_header(&a, "Connection"), "close");
	client_consume(&c, a.bytes);
	CHECK(client_read_to_end(&c));
	CHECK_INT(c.in.n, 0);
	client_close(&c);
	kit_stop(&kit);
}

TEST(server_compresses_answers)
{
	struct kit kit;
	struct client c;
	struct answer a;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	struct codec_pool *pool = ms_codec_pool_new(1);
	REQUIRE(pool != NULL);
	static const struct {
		const char *accept;
		enum content_coding coding;
	} cases[] = {{"gzip", CODING_GZIP}, {"gzip, zstd", CODING_ZSTD}, {"br", CODING_IDENTITY}};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		char request[200];
		snprintf(request, sizeof(request),
			 "GET /big?n=20000 HTTP/1.1\r\nHost: t\r\nAccept-Encoding: %s\r\n\r\n", cases[i].accept);
		REQUIRE(client_ask(&c, request, &a) == 200);
		CHECK_SLICE(answer_header(&a, "Vary"), "Accept-Encoding");
		if (cases[i].coding == CODING_IDENTITY) {
			CHECK(answer_header(&a, "Content-Encoding").p == NULL);
			CHECK_INT(a.body.n, 20000);
		} else {
			struct inflater *f;
			struct buf plain;
			CHECK_SLICE(answer_header(&a, "Content-Encoding"), ms_coding_name(cases[i].coding));
			CHECK(a.body.n < 2000);
			ms_buf_init(&plain, 1 << 20);
			const struct inflate_limits limits = {1 << 20, 1000};
			REQUIRE(ms_inflater_take(pool, cases[i].coding, &limits, &f) == MS_OK);
			CHECK_OK(ms_inflater_write(f, a.body, &plain, NULL));
			CHECK_OK(ms_inflater_end(f, NULL));
			CHECK_INT(plain.n, 20000);
			ms_inflater_give(f);
			ms_buf_fini(&plain);
		}
		client_consume(&c, a.bytes);
	}
	// Small bodies and those that would hold up the loop go out as they are.
	static const char *const plain[] = {
		"GET / HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n",
		"GET /big?n=3000000 HTTP/1.1\r\nHost: t\r\nAccept-Encoding: gzip\r\n\r\n",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(plain); i++) {
		REQUIRE(client_ask(&c, plain[i], &a) == 200);
		CHECK(answer_header(&a, "Content-Encoding").p == NULL);
		client_consume(&c, a.bytes);
	}
	ms_codec_pool_free(pool);
	client_close(&c);
	kit_stop(&kit);
}

TEST(server_counts_requests_and_connections)
{
	struct kit kit;
	struct client c, d;
	struct answer a;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	client_connect(&d, kit.port);
	for (int i = 0; i < 3; i++) {
		CHECK_INT(client_ask(&c, GET("/items/7"), &a), 201);
		client_consume(&c, a.bytes);
	}
	CHECK_INT(client_ask(&c, GET("/nothing"), &a), 404);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&d, "nonsense\r\n\r\n", &a), 400);
	CHECK_F64(kit_metric(&kit, "http_requests_total{method=\"GET\",endpoint=\"/items/{id}\",status=\"201\"}"), 3);
	CHECK_F64(kit_metric(&kit, "http_requests_total{method=\"GET\",endpoint=\"unmatched\",status=\"404\"}"), 1);
	CHECK_F64(kit_metric(&kit, "http_requests_total{method=\"unknown\",endpoint=\"unmatched\",status=\"400\"}"), 1);
	CHECK_F64(kit_metric(&kit, "http_request_duration_seconds_count{method=\"GET\",endpoint=\"/items/{id}\"}"), 3);
	CHECK_F64(kit_metric(&kit,
			     "http_request_duration_seconds_bucket{method=\"GET\",endpoint=\"/items/{id}\",le=\"10\"}"),
		  3);
	CHECK(kit_metric(&kit, "active_connections") >= 1);
	client_close(&c);
	client_close(&d);
	CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	kit_stop(&kit);
}

TEST(server_logs_requests)
{
	struct kit kit;
	kit_start(&kit, &(struct kit_options){.access_log = ACCESS_LOG_ALL});
	CHECK_INT(
		kit_ask(&kit,
			"GET /items/5?token=hush HTTP/1.1\r\nHost: t\r\nUser-Agent: probe/1\r\nX-Request-ID: log-1\r\n"
			"Authorization: Bearer hush\r\nCookie: hush\r\n\r\n",
			NULL, 0),
		201);
	CHECK_INT(kit_ask(&kit, GET("/health"), NULL, 0), 200);
	CHECK(kit_logged(&kit, "log-1"));
	CHECK(kit_logged(&kit, "probe/1"));
	CHECK(kit_logged(&kit, "/items/5"));
	CHECK(kit_logged(&kit, "201"));
	CHECK(kit_logged(&kit, "127.0.0.1"));
	CHECK(!kit_logged(&kit, "hush"));
	CHECK(!kit_logged(&kit, "/health"));
	kit_stop(&kit);

	kit_start(&kit, &(struct kit_options){.access_log = ACCESS_LOG_ERRORS});
	CHECK_INT(kit_ask(&kit, "GET / HTTP/1.1\r\nHost: t\r\nX-Request-ID: fine-1\r\n\r\n", NULL, 0), 200);
	CHECK_INT(kit_ask(&kit, "GET /broken HTTP/1.1\r\nHost: t\r\nX-Request-ID: broken-1\r\n\r\n", NULL, 0), 500);
	CHECK(kit_logged(&kit, "broken-1"));
	CHECK(!kit_logged(&kit, "fine-1"));
	kit_stop(&kit);
}
