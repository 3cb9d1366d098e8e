// SPDX-License-Identifier: Apache-2.0
// Bodies of requests in the hands of handlers: in pieces, whole, paused, cut, with trailers.
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/server_test_kit.h"

#define PIECE ((size_t)16 << 10)

// What the routes below saw; of loop 0, read by the test through atomics.
struct seen {
	struct kit kit;
	atomic_uint called, ended, cut, gone;
	atomic_int cut_code;
	atomic_ullong bytes;
	atomic_ullong sum;
	atomic_ullong held; // of the answer's bytes that wait, at most
	struct exchange *x; // /hold: waits for the test
	uint64_t max;       // of readers; 0: none
	bool pause_each;    // /sink pauses after every piece
	char trailers[512];
};

static void note_trailers(struct seen *seen, const struct http_header *trailers, size_t count)
{
	size_t n = 0;
	seen->trailers[0] = '\0';
	for (size_t i = 0; i < count; i++)
		n += (size_t)snprintf(seen->trailers + n, sizeof(seen->trailers) - n, "%.*s=%.*s;",
				      MS_SLICE_ARG(trailers[i].name), MS_SLICE_ARG(trailers[i].value));
}

static void note_data(struct seen *seen, struct slice bytes)
{
	unsigned long long sum = seen->sum;
	for (size_t i = 0; i < bytes.n; i++)
		sum = sum * 31 + (unsigned char)bytes.p[i];
	seen->sum = sum;
	seen->bytes += bytes.n;
}

static unsigned long long sum_of(const char *p, size_t n)
{
	unsigned long long sum = 0;
	for (size_t i = 0; i < n; i++)
		sum = sum * 31 + (unsigned char)p[i];
	return sum;
}

// --- /sink: counts ----------------------------------------------------------------------------------

static void sink_data(struct exchange *x, struct slice bytes, void *arg)
{
	struct seen *seen = arg;
	CHECK(bytes.n > 0);
	note_data(seen, bytes);
	if (seen->pause_each)
		ms_http_body_pause(x);
	seen->x = x;
}

static void sink_end(struct exchange *x, const struct http_header *trailers, size_t count, void *arg)
{
	struct seen *seen = arg;
	note_trailers(seen, trailers, count);
	ms_buf_printf(x->body, "%llu", (unsigned long long)seen->bytes);
	seen->ended++;
	ms_http_send(x, 200, "text/plain");
}

static void sink_cut(struct exchange *x, const struct errinfo *info, void *arg)
{
	struct seen *seen = arg;
	seen->cut_code = info->code;
	if (ms_http_gone(x))
		seen->gone++;
	seen->cut++;
	ms_http_fail(x, info);
}

static void read_sink(struct exchange *x, struct seen *seen)
{
	struct http_body_reader reader = {sink_data, sink_end, sink_cut, seen->max != 0 ? seen->max : UINT64_MAX};
	ms_http_body_read(x, &reader, seen);
}

static void post_sink(struct exchange *x, void *role)
{
	struct seen *seen = role;
	CHECK_INT(x->req.body.n, 0);
	seen->bytes = seen->sum = 0;
	seen->called++;
	read_sink(x, seen);
}

// /hold reads when the test says so.
static void post_hold(struct exchange *x, void *role)
{
	struct seen *seen = role;
	seen->bytes = seen->sum = 0;
	seen->x = x;
	seen->called++;
}

static void read_held(struct kit *kit, void *arg)
{
	(void)kit;
	struct seen *seen = arg;
	read_sink(seen->x, seen);
}

static void answer_held(struct kit *kit, void *arg)
{
	(void)kit;
	struct seen *seen = arg;
	ms_http_send(seen->x, 204, NULL);
}

static void pause_now(struct kit *kit, void *arg)
{
	(void)kit;
	struct seen *seen = arg;
	ms_http_body_pause(seen->x);
}

static void resume(struct kit *kit, void *arg)
{
	(void)kit;
	struct seen *seen = arg;
	ms_http_body_resume(seen->x);
}

// --- /relay: sends back what comes, as fast as the client takes it ---------------------------------------

static void relay_drained(struct exchange *x, void *arg)
{
	struct seen *seen = arg;
	seen->gone += ms_http_gone(x);
	ms_http_body_resume(x);
}

static void relay_data(struct exchange *x, struct slice bytes, void *arg)
{
	struct seen *seen = arg;
	note_data(seen, bytes);
	size_t waiting = ms_http_stream_write(x, bytes);
	if (waiting > seen->held)
		seen->held = waiting;
	if (waiting >= 65536)
		ms_http_body_pause(x);
}

static void relay_end(struct exchange *x, const struct http_header *trailers, size_t count, void *arg)
{
	struct seen *seen = arg;
	ms_http_stream_end_with(x, trailers, count);
	seen->ended++;
}

static void relay_cut(struct exchange *x, const struct errinfo *info, void *arg)
{
	struct seen *seen = arg;
	seen->cut_code = info->code;
	ms_http_stream_cut(x);
	seen->cut++;
}

static void post_relay(struct exchange *x, void *role)
{
	struct seen *seen = role;
	static const struct http_body_reader reader = {relay_data, relay_end, relay_cut, UINT64_MAX};
	const struct http_answer answer = {.status = 200, .content_length = x->req.content_length};
	seen->bytes = seen->sum = seen->held = 0;
	ms_http_answer_start(x, &answer, relay_drained, seen);
	ms_http_body_read(x, &reader, seen);
}

// --- /collect: asks for the whole of it -----------------------------------------------------------------

static void collect_done(struct exchange *x, void *arg)
{
	struct seen *seen = arg;
	seen->ended++;
	ms_buf_append_slice(x->body, x->req.body);
	ms_http_send(x, 200, "application/octet-stream");
}

static void collect_gone(struct exchange *x, void *arg)
{
	(void)x;
	struct seen *seen = arg;
	seen->gone++;
}

static void post_collect(struct exchange *x, void *role)
{
	struct seen *seen = role;
	ms_http_body_collect(x, (size_t)seen->max, collect_done, collect_gone, seen);
}

static const struct route routes[] = {
	{.method = HTTP_POST, .pattern = "/sink", .handle = post_sink, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
	{.method = HTTP_POST, .pattern = "/hold", .handle = post_hold, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
	{.method = HTTP_POST, .pattern = "/relay", .handle = post_relay, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
	{.method = HTTP_POST, .pattern = "/collect", .handle = post_collect, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
};

static void start(struct seen *seen, const struct http_limits *limits)
{
	*seen = (struct seen){0};
	const struct kit_options options = {
		.limits = limits, .routes = routes, .route_count = MS_ARRAY_LEN(routes), .role = seen};
	kit_start(&seen->kit, &options);
}

// --- Tests -------------------------------------------------------------------------------------------

TEST(body_arrives_in_pieces_however_it_is_cut)
{
	static const char text[] = "POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 20\r\n\r\n01234567890123456789"
				   "POST /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
				   "5;a=b\r\nabcde\r\nf\r\nABCDEFGHIJKLMNO\r\n0\r\nX-Sum: 7\r\n\r\n"
				   "POST /sink HTTP/1.1\r\nHost: t\r\n\r\n" GET("/");
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, NULL);
	for (size_t step = 1; step <= sizeof(text) - 1; step = step < 8 ? step + 1 : step * 3) {
		client_connect(&c, seen.kit.port);
		seen.ended = 0;
		for (size_t at = 0; at < sizeof(text) - 1; at += step) {
			CHECK(client_send(&c, text + at, MS_MIN(step, sizeof(text) - 1 - at)));
			if (step < 8)
				kit_yield();
		}
		for (int i = 0; i < 3; i++) {
			REQUIRE(client_answer(&c, &a));
			CHECK_INT(a.status, 200);
			CHECK_SLICE(a.body, i < 2 ? "20" : "0");
			client_consume(&c, a.bytes);
		}
		REQUIRE(client_answer(&c, &a));
		CHECK_SLICE(a.body, "hello\n");
		CHECK_INT(seen.ended, 3);
		client_close(&c);
	}
	CHECK_INT(seen.cut, 0);
	kit_stop(&seen.kit);
}

TEST(body_hands_over_trailers_that_may_stand_there)
{
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, NULL);
	client_connect(&c, seen.kit.port);
	const char *request =
		"POST /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
		"3\r\nabc\r\n0\r\ngrpc-status: 0\r\nContent-Length: 9\r\nX-Empty:\r\nTransfer-Encoding: x\r\n"
		"x-blanks: \t a b \r\nHost: evil\r\nSet-Cookie: a\r\n\r\n";
	CHECK_INT(client_ask(&c, request, &a), 200);
	CHECK_STR(seen.trailers, "grpc-status=0;X-Empty=;x-blanks=a b;");
	client_consume(&c, a.bytes);
	// A bad one cuts the body.
	CHECK_INT(client_ask(&c,
			     "POST /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
			     "0\r\nbad trailer: 1\r\n\r\n",
			     &a),
		  400);
	CHECK_INT(seen.cut, 1);
	CHECK_INT(seen.cut_code, MS_ERR_HTTP_FRAMING);
	CHECK_SLICE(answer_header(&a, "Connection"), "close");
	client_close(&c);
	// Without end: limited.
	client_connect(&c, seen.kit.port);
	client_send_text(&c, "POST /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
	for (int i = 0; i < 4000; i++)
		(void)client_send_text(&c, "x-trailer: 1\r\n");
	REQUIRE(client_answer(&c, &a));
	CHECK_INT(a.status, 431);
	client_close(&c);
	kit_stop(&seen.kit);
}

TEST(body_may_be_read_later_or_never)
{
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, NULL);
	client_connect(&c, seen.kit.port);
	// 100 Continue when it is wanted, not before.
	client_send_text(&c, "POST /hold HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	REQUIRE(KIT_WAIT(seen.called == 1));
	char byte;
	CHECK(recv(c.fd, &byte, 1, MSG_DONTWAIT) < 0);
	kit_on_loop(&seen.kit, read_held, &seen);
	REQUIRE(client_head(&c, &a));
	CHECK_INT(a.status, 100);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, "abcd", &a), 200);
	CHECK_SLICE(a.body, "4");
	client_consume(&c, a.bytes);
	// Answered without reading what is here: the connection stays. What is not here: it closes, and says so.
	client_send_text(&c, "POST /hold HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nabcd" GET("/"));
	REQUIRE(KIT_WAIT(seen.called == 2));
	kit_on_loop(&seen.kit, answer_held, &seen);
	REQUIRE(client_head(&c, &a));
	CHECK_INT(a.status, 204);
	client_consume(&c, a.bytes);
	REQUIRE(client_answer(&c, &a));
	CHECK_SLICE(a.body, "hello\n");
	client_consume(&c, a.bytes);
	client_send_text(&c, "POST /hold HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
	REQUIRE(KIT_WAIT(seen.called == 3));
	kit_on_loop(&seen.kit, answer_held, &seen);
	REQUIRE(client_head(&c, &a));
	CHECK_INT(a.status, 204);
	CHECK_SLICE(answer_header(&a, "Connection"), "close");
	client_consume(&c, a.bytes);
	CHECK(client_read_to_end(&c));
	client_close(&c);
	kit_stop(&seen.kit);
}

// What the client may send ahead of a reader that has paused is bounded by our input buffer and the sockets'.
TEST(body_pauses_push_back_to_the_client)
{
	static char piece[PIECE];
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, NULL);
	seen.pause_each = true;
	client_connect(&c, seen.kit.port);
	client_send_text(&c, "POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 100000000\r\n\r\n");
	size_t sent = 0, size = 100000000;
	for (int still = 0; still < 50;) { // until nothing goes any more
		ssize_t n = send(c.fd, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL);
		still = n > 0 ? 0 : still + 1;
		sent += n > 0 ? (size_t)n : 0;
		if (n <= 0)
			kit_yield();
	}
	CHECK(sent < 30000000);
	CHECK(seen.bytes > 0 && seen.bytes <= 65536);
	while (sent < size) {
		kit_on_loop(&seen.kit, resume, &seen);
		ssize_t n = send(c.fd, piece, MS_MIN(sizeof(piece), size - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
	}
	while (seen.ended == 0 && seen.cut == 0)
		kit_on_loop(&seen.kit, resume, &seen);
	REQUIRE(client_answer(&c, &a));
	CHECK_SLICE(a.body, "100000000");
	CHECK_INT(seen.cut, 0);
	client_close(&c);
	kit_stop(&seen.kit);
}

TEST(body_is_relayed_with_back_pressure_both_ways)
{
	enum { SIZE = 60000000 };
	struct seen seen;
	struct client c;
	start(&seen, NULL);
	char *data = malloc(SIZE);
	REQUIRE(data != NULL);
	for (size_t i = 0; i < SIZE; i++)
		data[i] = (char)(i * 7 >> 5);
	client_connect(&c, seen.kit.port);
	client_send_text(&c, "POST /relay HTTP/1.1\r\nHost: t\r\nContent-Length: 60000000\r\n\r\n");
	size_t sent = 0;
	for (int still = 0; still < 50;) { // does not read its answer
		ssize_t n = send(c.fd, data + sent, SIZE - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
		still = n > 0 ? 0 : still + 1;
		sent += n > 0 ? (size_t)n : 0;
		if (n <= 0)
			kit_yield();
	}
	CHECK(sent < SIZE);
	CHECK(seen.held < 65536 + (64 << 10)); // a piece beyond the mark at most
	struct answer a;
	REQUIRE(client_head(&c, &a));
	CHECK_SLICE(answer_header(&a, "Content-Length"), "60000000");
	client_consume(&c, a.bytes);
	size_t got = 0;
	bool same = true;
	while (got < SIZE) {
		ssize_t n = sent < SIZE
				    ? send(c.fd, data + sent, MS_MIN(PIECE, SIZE - sent), MSG_DONTWAIT | MSG_NOSIGNAL)
				    : 0;
		sent += n > 0 ? (size_t)n : 0;
		if (c.in.n == 0)
			REQUIRE(client_read(&c));
		same &= got + c.in.n <= SIZE && memcmp(c.in.p, data + got, c.in.n) == 0;
		got += c.in.n;
		client_consume(&c, c.in.n);
	}
	CHECK(same);
	CHECK_INT(seen.bytes, SIZE);
	CHECK(seen.sum == sum_of(data, SIZE));
	CHECK(KIT_WAIT(seen.ended == 1));
	free(data);
	client_close(&c);
	kit_stop(&seen.kit);
}

TEST(body_cuts_are_told_once)
{
	static const char *const requests[] = {
		"POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 20\r\n\r\n0123",
		"POST /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
		"POST /relay HTTP/1.1\r\nHost: t\r\nContent-Length: 20\r\n\r\n0123",
		"POST /relay HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
	};
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, NULL);
	unsigned cuts = 0;
	for (size_t i = 0; i < MS_ARRAY_LEN(requests); i++) {
		for (int how = 0; how < 3; how++) {
			client_connect(&c, seen.kit.port);
			client_send_text(&c, requests[i]);
			REQUIRE(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 1));
			for (int k = 0; k < 3; k++)
				kit_yield();
			if (how == 0)
				client_reset(&c);
			else if (how == 1)
				client_close(&c);
			else
				client_finish(&c);
			cuts++;
			CHECK(KIT_WAIT(seen.cut == cuts));
			CHECK_INT(seen.cut_code, MS_ERR_CANCELLED);
			CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
			client_close(&c);
		}
	}
	CHECK_INT(seen.ended, 0);
	// Bad framing: the client is there and gets an answer.
	client_connect(&c, seen.kit.port);
	CHECK_INT(client_ask(&c, "POST /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabX", &a),
		  400);
	CHECK_INT(seen.cut, cuts + 1);
	CHECK_INT(seen.cut_code, MS_ERR_HTTP_FRAMING);
	client_close(&c);
	kit_stop(&seen.kit);
}

TEST(body_larger_than_its_reader_wants_is_cut)
{
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, NULL);
	seen.max = 5;
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{"POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde", 200},
		{"POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\nabcdef", 413},
		{"POST /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", 200},
		{"POST /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\nd", 413},
		{"POST /collect HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde", 200},
		{"POST /collect HTTP/1.1\r\nHost: t\r\nContent-Length: 6\r\n\r\nabcdef", 413},
		{"POST /collect HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nabc", 413},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		client_connect(&c, seen.kit.port);
		CHECK_INT(client_ask(&c, cases[i].text, &a), cases[i].status);
		client_close(&c);
	}
	CHECK_INT(seen.cut, 2);
	CHECK_INT(seen.gone, 2); // of the collected ones
	CHECK_INT(seen.ended, 3);
	kit_stop(&seen.kit);
}

TEST(body_collected_by_a_handler)
{
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, NULL);
	client_connect(&c, seen.kit.port);
	CHECK_INT(client_ask(&c, "POST /collect HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc", &a), 200);
	CHECK_SLICE(a.body, "abc");
	client_consume(&c, a.bytes);
	client_send_text(&c, "POST /collect HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab");
	kit_yield();
	CHECK_INT(client_ask(&c, "\r\n1\r\nc\r\n0\r\n\r\n", &a), 200);
	CHECK_SLICE(a.body, "abc");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, "POST /collect HTTP/1.1\r\nHost: t\r\n\r\n", &a), 200);
	CHECK_INT(a.body.n, 0);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c,
			     "POST /collect HTTP/1.1\r\nHost: t\r\nContent-Encoding: br\r\nContent-Length: 1\r\n\r\na",
			     &a),
		  415);
	CHECK_INT(seen.gone, 1);
	client_consume(&c, a.bytes);
	client_send_text(&c, "POST /collect HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nab");
	kit_yield();
	client_reset(&c);
	CHECK(KIT_WAIT(seen.gone == 2));
	CHECK_INT(seen.ended, 3);
	kit_stop(&seen.kit);
}

TEST(body_that_is_too_slow_is_cut_with_its_reason)
{
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	struct seen seen;
	struct client c;
	struct answer a;
	limits.body_timeout_ms = 100;
	start(&seen, &limits);
	client_connect(&c, seen.kit.port);
	CHECK_INT(client_ask(&c, "POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 20\r\n\r\n0123", &a), 408);
	CHECK_INT(seen.cut, 1);
	CHECK_INT(seen.cut_code, MS_ERR_HTTP_TIMEOUT);
	client_consume(&c, a.bytes);
	CHECK(client_read_to_end(&c));
	client_close(&c);
	// While the reader has paused, it is not the client's fault.
	seen.pause_each = true;
	client_connect(&c, seen.kit.port);
	client_send_text(&c, "POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 8\r\n\r\n0123");
	REQUIRE(KIT_WAIT(seen.bytes == 4));
	for (int i = 0; i < 300; i++)
		kit_yield();
	CHECK_INT(seen.cut, 1);
	kit_on_loop(&seen.kit, resume, &seen);
	client_send_text(&c, "4567");
	REQUIRE(KIT_WAIT(seen.bytes == 8));
	kit_on_loop(&seen.kit, resume, &seen);
	REQUIRE(client_answer(&c, &a));
	CHECK_SLICE(a.body, "8");
	client_consume(&c, a.bytes);
	// Nor when it pauses while nothing comes.
	seen.pause_each = false;
	client_send_text(&c, "POST /sink HTTP/1.1\r\nHost: t\r\nContent-Length: 8\r\n\r\n0123");
	REQUIRE(KIT_WAIT(seen.bytes == 4));
	kit_on_loop(&seen.kit, pause_now, &seen);
	for (int i = 0; i < 300; i++)
		kit_yield();
	kit_on_loop(&seen.kit, resume, &seen);
	CHECK_INT(seen.cut, 1);
	CHECK_INT(client_ask(&c, "4567", &a), 200);
	client_close(&c);
	kit_stop(&seen.kit);
}

TEST(body_clients_leave_at_every_byte)
{
	static const char *const requests[] = {
		"POST /relay HTTP/1.1\r\nHost: t\r\nContent-Length: 20\r\n\r\n01234567890123456789",
		"POST /sink HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
		"POST /relay HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n",
		"POST /collect HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde",
	};
	struct seen seen;
	start(&seen, NULL);
	for (size_t i = 0; i < MS_ARRAY_LEN(requests); i++) {
		for (size_t n = 0; n <= strlen(requests[i]); n++) {
			struct client c;
			client_connect(&c, seen.kit.port);
			client_send(&c, requests[i], n);
			if (n % 3 == 1)
				kit_yield();
			if (n % 2 == 0)
				client_reset(&c);
			else
				client_close(&c);
		}
	}
	CHECK_INT(kit_ask(&seen.kit, GET("/"), NULL, 0), 200); // all before were accepted
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	kit_stop(&seen.kit);
}
