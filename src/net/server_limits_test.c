// SPDX-License-Identifier: Apache-2.0
// Limits and timeouts, each at its edge: 414, 431, 413, 408, 503; Expect; lingering; slow readers.
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/compress.h"
#include "net/server_test_kit.h"

static struct http_limits small_limits(void)
{
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	limits.uri_bytes = 1000;
	limits.header_bytes = 4000;
	limits.header_count = 10;
	limits.body_bytes = 5000;
	limits.upload_bytes = 300000;
	return limits;
}

// The error answer arrives in order, and then the connection ends without a reset.
static void check_refused(struct kit *kit, const char *request, size_t n, int status, const char *code)
{
	struct client c;
	struct answer a;
	client_connect(&c, kit->port);
	(void)client_send(&c, request, n); // the server may have closed before all was sent
	CHECK(client_answer(&c, &a));
	CHECK_INT(a.status, status);
	char body[1000];
	snprintf(body, sizeof(body), "%.*s", MS_SLICE_ARG(a.body));
	CHECK_HAS(body, code);
	CHECK_SLICE(answer_header(&a, "Connection"), "close");
	client_consume(&c, a.bytes);
	client_finish(&c);
	CHECK(client_read_to_end(&c));
	CHECK_INT(c.in.n, 0);
	client_close(&c);
}

static size_t pad(char *dst, size_t at, char c, size_t n)
{
	memset(dst + at, c, n);
	return at + n;
}

TEST(limits_of_heads)
{
	struct kit kit;
	struct http_limits limits = small_limits();
	char *text = malloc(100000);
	REQUIRE(text != NULL);
	kit_start(&kit, &(struct kit_options){.limits = &limits});
	for (int over = 0; over < 2; over++) { // just fits, just does not
		size_t n = (size_t)sprintf(text, "GET /");
		n = pad(text, n, 'a', limits.uri_bytes - 1 + (size_t)over);
		n += (size_t)sprintf(text + n, " HTTP/1.1\r\nHost: t\r\n\r\n");
		if (over)
			check_refused(&kit, text, n, 414, "http.uri_too_long");
		else
			CHECK_INT(kit_ask(&kit, text, NULL, 0), 404);
		n = (size_t)sprintf(text, "GET / HTTP/1.1\r\n");
		n += (size_t)sprintf(text + n, "Host: t\r\nX: ");
		n = pad(text, n, 'b', limits.header_bytes - 9 - 5 - 2 + (size_t)over);
		n += (size_t)sprintf(text + n, "\r\n\r\n");
		if (over)
			check_refused(&kit, text, n, 431, "http.headers_too_large");
		else
			CHECK_INT(kit_ask(&kit, text, NULL, 0), 200);
		n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: t\r\n");
		for (unsigned i = 1; i < limits.header_count + (unsigned)over; i++)
			n += (size_t)sprintf(text + n, "X: y\r\n");
		n += (size_t)sprintf(text + n, "\r\n");
		if (over)
			check_refused(&kit, text, n, 431, "http.headers_too_large");
		else
			CHECK_INT(kit_ask(&kit, text, NULL, 0), 200);
	}
	// Far beyond the limit: answered while the client still sends.
	size_t n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nX: ");
	pad(text, n, 'c', 90000 - n);
	check_refused(&kit, text, 90000, 431, "http.headers_too_large");
	free(text);
	kit_stop(&kit);
}

TEST(limits_of_heads_larger_than_the_first_buffer)
{
	struct kit kit;
	char *text = malloc(40000);
	REQUIRE(text != NULL);
	kit_start(&kit, NULL);
	size_t n = (size_t)sprintf(
		text, "POST /items/x HTTP/1.1\r\nHost: t\r\n\r\nGET /items/one?q=two HTTP/1.1\r\nHost: t\r\nX-Pad: ");
	n = pad(text, n, 'p', 30000);
	n += (size_t)sprintf(text + n, "\r\nX-Token: behind\r\n\r\n");
	struct client c;
	struct answer a;
	client_connect(&c, kit.port);
	for (size_t at = 0; at < n; at += 7000)
		REQUIRE(client_send(&c, text + at, n - at < 7000 ? n - at : 7000));
	REQUIRE(client_answer(&c, &a) && a.status == 405);
	client_consume(&c, a.bytes);
	REQUIRE(client_answer(&c, &a) && a.status == 201);
	CHECK(ms_slice_starts_with(a.body, MS_SLICE_LIT("GET|one|two|behind|")));
	client_close(&c);
	free(text);
	kit_stop(&kit);
}

TEST(limits_of_bodies)
{
	struct kit kit;
	struct http_limits limits = small_limits();
	char *text = calloc(1, 400000);
	char answer[200];
	REQUIRE(text != NULL);
	kit_start(&kit, &(struct kit_options){.limits = &limits});
	for (int over = 0; over < 2; over++) {
		size_t size = limits.body_bytes + (size_t)over;
		int head = sprintf(text, "POST /length HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n", size);
		size_t n = pad(text, (size_t)head, 'b', size);
		text[n] = '\0';
		if (over) {
			check_refused(&kit, text, (size_t)head, 413, "http.body_too_large"); // before the body came
		} else {
			CHECK_INT(kit_ask(&kit, text, answer, sizeof(answer)), 200);
			CHECK_STR(answer, "5000");
		}
		n = (size_t)sprintf(
			text, "POST /length HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n", size);
		n = pad(text, n, 'b', size);
		n += (size_t)sprintf(text + n, "\r\n0\r\n\r\n");
		if (over)
			check_refused(&kit, text, n, 413, "http.body_too_large");
		else
			CHECK_INT(kit_ask(&kit, text, answer, sizeof(answer)), 200);
	}
	// Uploads have a limit of their own; a large refused body is read for a while, so that the answer arrives.
	size_t n = (size_t)sprintf(text, "POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n");
	n = pad(text, n, 'u', 300000);
	text[n] = '\0';
	CHECK_INT(kit_ask(&kit, text, answer, sizeof(answer)), 200);
	CHECK_STR(answer, "300000");
	n = (size_t)sprintf(text, "POST /length HTTP/1.1\r\nHost: t\r\nContent-Length: 300000\r\n\r\n");
	n = pad(text, n, 'u', 300000);
	check_refused(&kit, text, n, 413, "http.body_too_large");
	// A body that nobody wants: without reading it the connection cannot go on.
	n = (size_t)sprintf(text, "POST /nothing HTTP/1.1\r\nHost: t\r\nContent-Length: 3000\r\n\r\n");
	check_refused(&kit, text, n, 404, "http.not_found");
	CHECK_INT(kit.handled, 3);
	free(text);
	kit_stop(&kit);
}

TEST(limits_of_inflated_bodies_by_ratio)
{
	struct kit kit;
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	limits.inflated_ratio = 20;
	kit_start(&kit, &(struct kit_options){.limits = &limits});
	struct codec_pool *pool = ms_codec_pool_new(1);
	struct compressor *packer;
	struct buf plain, request;
	ms_buf_init(&plain, 8 << 20);
	ms_buf_init(&request, 8 << 20);
	for (int i = 0; i < 4 << 20; i++)
		ms_buf_append_char(&plain, 'z');
	REQUIRE(pool != NULL && ms_compressor_take(pool, CODING_GZIP, UINT64_MAX, &packer) == MS_OK);
	struct buf packed;
	ms_buf_init(&packed, 8 << 20);
	REQUIRE(ms_compressor_write(packer, ms_buf_slice(&plain), COMPRESS_END, &packed) == MS_OK);
	ms_compressor_give(packer);
	ms_buf_printf(&request,
		      "POST /length HTTP/1.1\r\nHost: t\r\nContent-Encoding: gzip\r\nContent-Length: %zu\r\n\r\n",
		      packed.n);
	ms_buf_append_slice(&request, ms_buf_slice(&packed));
	check_refused(&kit, request.p, request.n, 413, "http.body_too_large");
	ms_codec_pool_free(pool);
	ms_buf_fini(&packed);
	ms_buf_fini(&plain);
	ms_buf_fini(&request);
	kit_stop(&kit);
}

TEST(expect_continue_is_answered_when_the_body_is_wanted)
{
	struct kit kit;
	struct http_limits limits = small_limits();
	struct client c;
	struct answer a;
	kit_start(&kit, &(struct kit_options){.limits = &limits});
	client_connect(&c, kit.port);
	client_send_text(&c, "POST /length HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	REQUIRE(client_head(&c, &a));
	CHECK_INT(a.status, 100);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, "abcd", &a), 200);
	client_consume(&c, a.bytes);
	// The body came without waiting: no interim answer is needed.
	const char *whole = "POST /length HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nabcd";
	CHECK_INT(client_ask(&c, whole, &a), 200);
	client_close(&c);
	const char *large = "POST /length HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5001\r\n\r\n";
	check_refused(&kit, large, strlen(large), 413, "http.body_too_large");
	const char *lost = "POST /none HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
	check_refused(&kit, lost, strlen(lost), 404, "http.not_found");
	const char *other = "POST /length HTTP/1.1\r\nHost: t\r\nExpect: a-miracle\r\nContent-Length: 5\r\n\r\n";
	check_refused(&kit, other, strlen(other), 417, "http.expectation");
	kit_stop(&kit);
}

// --- Timeouts ----------------------------------------------------------------------------------------

static struct http_limits short_timeouts(void)
{
	// One is short, the others much longer than the test's patience: the test fails when the wrong one acts.
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	limits.header_timeout_ms = limits.body_timeout_ms = limits.idle_timeout_ms = limits.write_timeout_ms = 3600000;
	return limits;
}

TEST(timeout_of_heads)
{
	struct kit kit;
	struct http_limits limits = short_timeouts();
	struct client c;
	struct answer a;
	limits.header_timeout_ms = 50;
	kit_start(&kit, &(struct kit_options){.limits = &limits});
	client_connect(&c, kit.port);
	// The second one begins behind a complete request.
	CHECK_INT(client_ask(&c, GET("/") "GET / HTTP/1.1\r\nHo", &a), 200);
	client_consume(&c, a.bytes);
	REQUIRE(client_answer(&c, &a));
	CHECK_INT(a.status, 408);
	CHECK_SLICE(answer_header(&a, "Connection"), "close");
	client_consume(&c, a.bytes);
	CHECK(client_read_to_end(&c));
	client_close(&c);
	kit_stop(&kit);
}

TEST(timeout_of_bodies)
{
	struct kit kit;
	struct http_limits limits = short_timeouts();
	limits.body_timeout_ms = 60;
	kit_start(&kit, &(struct kit_options){.limits = &limits});
	const char *const cut[] = {
		"POST /length HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n123",
		"POST /length HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n123",
		"POST /length HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cut); i++) {
		struct client c;
		struct answer a;
		client_connect(&c, kit.port);
		client_send_text(&c, cut[i]);
		REQUIRE(client_answer(&c, &a));
		CHECK_INT(a.status, 408);
		client_consume(&c, a.bytes);
		CHECK(client_read_to_end(&c));
		client_close(&c);
	}
	CHECK_INT(kit.handled, 0);
	kit_stop(&kit);
}

TEST(timeout_of_idle_connections)
{
	struct kit kit;
	struct http_limits limits = short_timeouts();
	struct client c, d;
	struct answer a;
	limits.idle_timeout_ms = 50;
	kit_start(&kit, &(struct kit_options){.limits = &limits});
	client_connect(&c, kit.port); // never used
	client_connect(&d, kit.port); // used once
	CHECK_INT(client_ask(&d, GET("/"), &a), 200);
	client_consume(&d, a.bytes);
	CHECK(client_read_to_end(&c));
	CHECK(client_read_to_end(&d));
	CHECK_INT(c.in.n + d.in.n, 0);
	CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	client_close(&c);
	client_close(&d);
	// A handler may take longer than that.
	client_connect(&c, kit.port);
	client_connect(&d, kit.port);
	client_send_text(&c, GET("/later"));
	REQUIRE(KIT_WAIT(kit.waiting == 1));
	CHECK(client_read_to_end(&d)); // whose time passed meanwhile
	kit_answer(&kit, 10);
	REQUIRE(client_answer(&c, &a));
	CHECK_INT(a.status, 200);
	client_close(&c);
	client_close(&d);
	kit_stop(&kit);
}

TEST(timeout_of_writes)
{
	struct kit kit;
	struct http_limits limits = short_timeouts();
	struct client c;
	struct answer a;
	limits.write_timeout_ms = 1000; // a busy machine may not run the reader for a while
	kit_start(&kit, &(struct kit_options){.limits = &limits});
	// Reads slowly, but reads: the answer arrives whole, though it takes longer than the timeout. Reads of one
	// buffer at a time keep the server's socket full most of the time.
	client_connect(&c, kit.port);
	client_send_text(&c, GET("/big?n=30000000"));
	REQUIRE(client_answer(&c, &a));
	CHECK_INT(a.body.n, 30000000);
	client_close(&c);
	// Does not read: the connection ends by itself.
	client_connect(&c, kit.port);
	client_send_text(&c, GET("/big?n=30000000"));
	REQUIRE(client_read(&c));
	CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	client_close(&c);
	kit_stop(&kit);
}

// --- Connections -------------------------------------------------------------------------------------

TEST(limit_of_connections)
{
	struct kit kit;
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	struct client c[3], extra;
	struct answer a;
	limits.connections = 3;
	kit_start(&kit, &(struct kit_options){.limits = &limits});
	for (size_t i = 0; i < 3; i++) {
		client_connect(&c[i], kit.port);
		CHECK_INT(client_ask(&c[i], GET("/"), &a), 200);
		client_consume(&c[i], a.bytes);
	}
	client_connect(&extra, kit.port);
	client_send_text(&extra, GET("/"));
	REQUIRE(client_answer(&extra, &a));
	CHECK_INT(a.status, 503);
	CHECK_SLICE(answer_header(&a, "Connection"), "close");
	client_consume(&extra, a.bytes);
	client_finish(&extra);
	CHECK(client_read_to_end(&extra));
	client_close(&extra);
	CHECK_INT(kit.handled, 3);
	CHECK_INT(client_ask(&c[1], GET("/"), &a), 200); // those inside are served on
	// A place is free again once one has left.
	client_close(&c[0]);
	REQUIRE(KIT_WAIT(kit_metric(&kit, "active_connections") == 2));
	CHECK_INT(kit_ask(&kit, GET("/"), NULL, 0), 200);
	client_close(&c[1]);
	client_close(&c[2]);
	kit_stop(&kit);
}
