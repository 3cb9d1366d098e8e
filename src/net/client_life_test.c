// SPDX-License-Identifier: Apache-2.0
// The life of the client's connections and calls: kept ones that go stale, early answers, peers that hang, pauses, cancelling, tunnels.
#include "net/client_test_kit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_END "\r\n\r\n"
#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define OPEN "mainstay_upstream_connections{state=\"open\"}"
#define IDLE "mainstay_upstream_connections{state=\"idle\"}"
#define CONNECTS "mainstay_upstream_connects_total"

struct scene {
	struct caller_kit kit;
	struct peer peer;
	struct http_origin *origin;
	struct http_call_options options;
	struct record r[4];
};

static struct scene *scene_start(const struct step *steps, const struct http_client_options *options)
{
	struct scene *s = calloc(1, sizeof(*s));
	REQUIRE(s != NULL);
	caller_start(&s->kit, options);
	peer_start(&s->peer, steps);
	s->origin = caller_origin(&s->kit, s->peer.port);
	s->options = caller_options(s->origin);
	return s;
}

static void scene_end(struct scene *s)
{
	ms_http_origin_unref(s->origin);
	caller_stop(&s->kit);
	peer_stop(&s->peer);
	for (size_t i = 0; i < MS_ARRAY_LEN(s->r); i++)
		caller_forget(&s->r[i]);
	free(s);
}

static bool failed_so(const struct record *r, enum http_call_failure failure, bool sent, const char *message)
{
	bool ok = CHECK(r->failed_too && !r->ended) && CHECK_INT(r->failure, failure) && CHECK_INT(r->sent, sent);
	return CHECK_HAS(r->message, message) && ok;
}

static bool ok_2(const struct record *r)
{
	return CHECK_STR(r->message, "") && CHECK(r->ended) && CHECK_SLICE(ms_buf_slice(&r->data), "ok");
}

// --- Kept connections --------------------------------------------------------------------------------

TEST(client_tells_stale_connections)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},    {STEP_READ, HEAD_END, 0}, {STEP_SEND, OK_2, 0},     {STEP_READ, HEAD_END, 0},
		{.kind = STEP_CLOSE},     {.kind = STEP_ACCEPT},    {STEP_READ, HEAD_END, 0}, {STEP_SEND, OK_2, 0},
		{STEP_READ, HEAD_END, 0}, {.kind = STEP_RESET},     {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	caller_call(&s->kit, &s->r[0], &s->options, NULL);
	ok_2(&s->r[0]);
	caller_call(&s->kit, &s->r[1], &s->options, NULL);
	failed_so(&s->r[1], CALL_STALE, true, "kept connection");
	s->options.new_connection = true;
	caller_call(&s->kit, &s->r[2], &s->options, NULL);
	ok_2(&s->r[2]);
	s->options.new_connection = false;
	caller_call(&s->kit, &s->r[3], &s->options, NULL);
	failed_so(&s->r[3], CALL_STALE, true, "broke");
	CHECK_INT(caller_metric(&s->kit, "mainstay_upstream_failures_total{failure=\"stale\"}"), 2);
	scene_end(s);
}

TEST(client_notices_idle_connections_that_close_or_speak)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},    {STEP_READ, HEAD_END, 0},     {STEP_SEND, OK_2, 0},     {.kind = STEP_WAIT},
		{.kind = STEP_CLOSE},     {.kind = STEP_ACCEPT},        {STEP_READ, HEAD_END, 0}, {STEP_SEND, OK_2, 0},
		{.kind = STEP_WAIT},      {STEP_SEND, "HTTP/1.1 2", 0}, {.kind = STEP_DRAIN},     {.kind = STEP_ACCEPT},
		{STEP_READ, HEAD_END, 0}, {STEP_SEND, OK_2, 0},         {.kind = STEP_DRAIN},     {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	for (int i = 0; i < 3; i++) {
		caller_call(&s->kit, &s->r[i], &s->options, NULL);
		ok_2(&s->r[i]);
		CHECK_INT(caller_metric(&s->kit, IDLE), 1);
		s->peer.go++;
		CHECK(i == 2 || KIT_WAIT(caller_metric(&s->kit, OPEN) == 0));
	}
	CHECK_INT(caller_metric(&s->kit, CONNECTS), 3);
	scene_end(s);
}

TEST(client_closes_connections_that_idle_long)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT}, {STEP_READ, HEAD_END, 0}, {STEP_SEND, OK_2, 0},
		{.kind = STEP_DRAIN},  {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, &(struct http_client_options){.idle_timeout_ms = 150});
	int64_t start = ms_clock_mono_ns();
	caller_call(&s->kit, &s->r[0], &s->options, NULL);
	CHECK_INT(caller_metric(&s->kit, OPEN), 1);
	CHECK(KIT_WAIT(caller_metric(&s->kit, OPEN) == 0));
	int64_t ms = (ms_clock_mono_ns() - start) / 1000000;
	CHECK(ms >= 150 && ms < 2000);
	scene_end(s);
}

TEST(client_may_call_again_from_the_end)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT}, {STEP_READ, HEAD_END, 0}, {STEP_SEND, OK_2, 0}, {STEP_READ, HEAD_END, 0},
		{STEP_SEND, OK_2, 0},  {.kind = STEP_DRAIN},     {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	s->r[0] = (struct record){.again_at_end = true, .next = &s->r[1], .options = &s->options};
	caller_call(&s->kit, &s->r[0], &s->options, NULL);
	REQUIRE(caller_wait(&s->r[1]));
	ok_2(&s->r[0]);
	ok_2(&s->r[1]);
	CHECK_INT(caller_metric(&s->kit, CONNECTS), 1);
	scene_end(s);
}

TEST(client_keeps_to_its_number_of_connections)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT}, {STEP_READ, HEAD_END, 0}, {.kind = STEP_WAIT},
		{STEP_SEND, OK_2, 0},  {.kind = STEP_DRAIN},     {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, &(struct http_client_options){.max_connections = 1});
	caller_begin(&s->kit, &s->r[0], &s->options);
	caller_call(&s->kit, &s->r[1], &s->options, NULL);
	failed_so(&s->r[1], CALL_FULL, false, "1 connections to the upstream '127.0.0.1' are open");
	s->peer.go = 1;
	CHECK(caller_wait(&s->r[0]));
	ok_2(&s->r[0]);
	scene_end(s);
}

// --- Early answers -----------------------------------------------------------------------------------

TEST(client_takes_answers_before_its_body_is_sent)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},
		{STEP_READ, HEAD_END "3\r\nabc\r\n", 0},
		{STEP_SEND, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nok", 0},
		{.kind = STEP_DRAIN},
		{.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	s->options.method = MS_SLICE_LIT("POST");
	s->options.has_body = true;
	caller_begin(&s->kit, &s->r[0], &s->options);
	caller_write(&s->r[0], "abc", 3, false);
	REQUIRE(caller_wait(&s->r[0]));
	ok_2(&s->r[0]);
	CHECK_INT(s->r[0].statuses[0], 413);
	CHECK(KIT_WAIT(caller_metric(&s->kit, OPEN) == 0));
	scene_end(s);
}

// The peer answers, takes nothing and cuts: what it said arrives all the same.
TEST(client_reads_what_was_said_before_a_cut)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},
		{.kind = STEP_PAUSE, .n = 100},
		{STEP_SEND, "HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nok", 0},
		{.kind = STEP_CLOSE},
		{.kind = STEP_END},
	};
	static char big[8 << 20];
	struct scene *s = scene_start(steps, NULL);
	s->options.method = MS_SLICE_LIT("POST");
	s->options.has_body = true;
	memset(big, 'x', sizeof(big));
	caller_begin(&s->kit, &s->r[0], &s->options);
	caller_write(&s->r[0], big, sizeof(big), false);
	REQUIRE(caller_wait(&s->r[0]));
	ok_2(&s->r[0]);
	CHECK_INT(s->r[0].statuses[0], 413);
	scene_end(s);
}

// --- Time --------------------------------------------------------------------------------------------

static bool took(int64_t start, int64_t least_ms)
{
	int64_t ms = (ms_clock_mono_ns() - start) / 1000000;
	if (CHECK(ms >= least_ms && ms < least_ms + 3000))
		return true;
	printf("# took %lld ms\n", (long long)ms);
	return false;
}

TEST(client_gives_up_on_silent_peers)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},    {STEP_READ, HEAD_END, 0},
		{.kind = STEP_DRAIN},     {.kind = STEP_ACCEPT},
		{STEP_READ, HEAD_END, 0}, {STEP_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", 0},
		{.kind = STEP_DRAIN},     {.kind = STEP_ACCEPT},
		{.kind = STEP_WAIT},      {.kind = STEP_END},
	};
	static char big[16 << 20];
	struct scene *s = scene_start(steps, NULL);
	s->options.read_timeout_ms = s->options.send_timeout_ms = 250;
	int64_t start = ms_clock_mono_ns();
	caller_call(&s->kit, &s->r[0], &s->options, NULL);
	failed_so(&s->r[0], CALL_TIMED_OUT, true, "sent nothing within 250 ms");
	took(start, 250);
	start = ms_clock_mono_ns();
	caller_call(&s->kit, &s->r[1], &s->options, NULL);
	failed_so(&s->r[1], CALL_TIMED_OUT, true, "sent nothing within 250 ms");
	CHECK_SLICE(ms_buf_slice(&s->r[1].data), "ok");
	took(start, 250);
	s->options.has_body = true;
	start = ms_clock_mono_ns();
	caller_begin(&s->kit, &s->r[2], &s->options);
	caller_write(&s->r[2], big, sizeof(big), true);
	REQUIRE(caller_wait(&s->r[2]));
	failed_so(&s->r[2], CALL_TIMED_OUT, true, "took nothing of the request within 250 ms");
	took(start, 250);
	s->peer.go = 1;
	scene_end(s);
}

// A slow peer that makes progress is waited for, each byte anew.
TEST(client_waits_for_slow_peers)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},          {STEP_READ, HEAD_END, 0},
		{.kind = STEP_PAUSE, .n = 150}, {STEP_SEND, "HTTP/1.1 200", 0},
		{.kind = STEP_PAUSE, .n = 150}, {STEP_SEND, "\r\nContent-Length: 2\r\n\r\n", 0},
		{.kind = STEP_PAUSE, .n = 150}, {STEP_SEND, "o", 0},
		{.kind = STEP_PAUSE, .n = 150}, {STEP_SEND, "k", 0},
		{.kind = STEP_DRAIN},           {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	s->options.read_timeout_ms = 300;
	caller_call(&s->kit, &s->r[0], &s->options, NULL);
	ok_2(&s->r[0]);
	scene_end(s);
}

// --- Connecting --------------------------------------------------------------------------------------

static void call_host(struct caller_kit *kit, const char *host, unsigned port, struct record *r, unsigned connect_ms)
{
	struct http_origin *origin;
	struct errinfo info;
	const struct http_origin_options o = {.host = ms_slice_cstr(host), .port = port};
	REQUIRE(ms_http_origin_new(kit->client, &o, &info, &origin) == MS_OK);
	struct http_call_options options = caller_options(origin);
	options.connect_timeout_ms = connect_ms;
	caller_call(kit, r, &options, NULL);
	ms_http_origin_unref(origin);
}

// A port where connecting is neither refused nor completed: the queue of its listener is full.
static unsigned full_port(int fds[3])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	REQUIRE(bind(fds[0], (struct sockaddr *)&a, n) == 0 && listen(fds[0], 0) == 0);
	REQUIRE(getsockname(fds[0], (struct sockaddr *)&a, &n) == 0);
	for (int i = 1; i < 3; i++) {
		fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (struct sockaddr *)&a, n);
	}
	return ntohs(a.sin_port);
}

TEST(client_says_why_it_cannot_connect)
{
	struct caller_kit kit;
	struct record r[3] = {0};
	int fds[3];
	caller_start(&kit, NULL);
	unsigned silent = full_port(fds);
	call_host(&kit, "127.0.0.1", 1, &r[0], 2000);
	failed_so(&r[0], CALL_NO_CONNECTION, false, "no connection to the upstream 127.0.0.1:1: connection refused");
	call_host(&kit, "no-such-name.invalid", 80, &r[1], 10000);
	failed_so(&r[1], CALL_NO_CONNECTION, false, "the name of the upstream 'no-such-name.invalid' has no address");
	int64_t start = ms_clock_mono_ns();
	call_host(&kit, "127.0.0.1", silent, &r[2], 300);
	failed_so(&r[2], CALL_NO_CONNECTION, false, "no answer in time");
	CHECK_INT(r[2].code, MS_ERR_HTTP_TIMEOUT);
	took(start, 300);
	for (int i = 0; i < 3; i++) {
		close(fds[i]);
		caller_forget(&r[i]);
	}
	caller_stop(&kit);
}

// The name has addresses of both families where the system knows them; only one is served.
TEST(client_tries_all_addresses_of_a_name)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT}, {STEP_READ, HEAD_END, 0}, {STEP_SEND, OK_2, 0},
		{.kind = STEP_DRAIN},  {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	call_host(&s->kit, "localhost", s->peer.port, &s->r[0], 3000);
	ok_2(&s->r[0]);
	CHECK(s->r[0].connect_ns > 0);
	scene_end(s);
}

// --- Back-pressure and cancelling --------------------------------------------------------------------

static void resume_call(void *arg)
{
	struct record *r = arg;
	r->pause_after = 0;
	ms_http_call_resume(r->call);
}

static void cancel_call(void *arg)
{
	struct record *r = arg;
	ms_http_call_cancel(r->call);
	r->call = NULL;
}

static bool is_pattern(struct slice bytes)
{
	for (size_t i = 0; i < bytes.n; i++) {
		if (bytes.p[i] != (char)('a' + i % 26))
			return false;
	}
	return true;
}

#define BIG (26 * 1000 * 1500)
TEST(client_holds_peers_back_while_paused)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},
		{STEP_READ, HEAD_END, 0},
		{STEP_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 39000000\r\n\r\n", 0},
		{.kind = STEP_BIG, .n = BIG},
		{.kind = STEP_DRAIN},
		{.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	s->options.read_timeout_ms = 150; // does not count in the pause
	s->r[0].pause_after = 3;
	caller_begin(&s->kit, &s->r[0], &s->options);
	REQUIRE(KIT_WAIT(s->r[0].pieces == 3));
	usleep(400000);
	CHECK_INT(s->r[0].pieces, 3);
	CHECK_INT(s->peer.step, 3); // the peer cannot send it all
	caller_on_loop(&s->kit, resume_call, &s->r[0]);
	REQUIRE(caller_wait(&s->r[0]));
	CHECK_STR(s->r[0].message, "");
	CHECK_INT(s->r[0].data.n, BIG);
	CHECK(is_pattern(ms_buf_slice(&s->r[0].data)));
	CHECK_INT(caller_metric(&s->kit, IDLE), 1);
	scene_end(s);
}

// The pause falls into one read with the end: neither further data nor the end come before the resume.
TEST(client_pauses_within_what_was_read)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},
		{STEP_READ, HEAD_END, 0},
		{STEP_SEND,
		 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\nX: y\r\n\r\n", 0},
		{STEP_READ, HEAD_END, 0},
		{STEP_SEND, OK_2, 0},
		{.kind = STEP_DRAIN},
		{.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	for (int i = 0; i < 2; i++) {
		struct record *r = &s->r[i];
		r->pause_after = 1;
		caller_begin(&s->kit, r, &s->options);
		REQUIRE(KIT_WAIT(r->pieces == 1));
		usleep(50000);
		CHECK(r->pieces == 1 && !r->done);
		caller_on_loop(&s->kit, resume_call, r);
		REQUIRE(caller_wait(r));
		CHECK_SLICE(ms_buf_slice(&r->data), i == 0 ? "ab" : "ok");
		CHECK_SLICE(ms_buf_slice(&r->trailers), i == 0 ? "X: y\n" : "");
	}
	CHECK_INT(caller_metric(&s->kit, CONNECTS), 1);
	scene_end(s);
}

TEST(client_cancels_anywhere)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},    {STEP_READ, HEAD_END, 0}, {.kind = STEP_DRAIN}, {.kind = STEP_ACCEPT},
		{STEP_READ, HEAD_END, 0}, {STEP_SEND, OK_2, 0},     {.kind = STEP_DRAIN}, {.kind = STEP_ACCEPT},
		{STEP_READ, HEAD_END, 0}, {STEP_SEND, OK_2, 0},     {.kind = STEP_DRAIN}, {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	caller_begin(&s->kit, &s->r[0], &s->options);
	REQUIRE(KIT_WAIT(s->peer.step == 2));
	caller_on_loop(&s->kit, cancel_call, &s->r[0]);
	CHECK(KIT_WAIT(caller_metric(&s->kit, OPEN) == 0));
	s->r[1].cancel_in_head = true;
	caller_call(&s->kit, &s->r[1], &s->options, NULL);
	s->r[2].cancel_in_data = true;
	caller_call(&s->kit, &s->r[2], &s->options, NULL);
	CHECK_SLICE(ms_buf_slice(&s->r[2].data), "ok");
	CHECK(KIT_WAIT(caller_metric(&s->kit, OPEN) == 0));
	for (int i = 0; i < 3; i++)
		CHECK(!s->r[i].ended && !s->r[i].failed_too);
	scene_end(s);
}

static void begin_and_cancel(void *arg)
{
	struct scene *s = arg;
	caller_begin(&s->kit, &s->r[0], &s->options);
	ms_http_call_cancel(s->r[0].call);
	caller_begin(&s->kit, &s->r[1], &s->options);
	s->r[0].call = NULL;
}

TEST(client_ends_with_calls_under_way)
{
	static const struct step steps[] = {{.kind = STEP_WAIT}, {.kind = STEP_END}};
	struct scene *s = scene_start(steps, NULL);
	struct http_origin *named;
	const struct http_origin_options o = {.host = MS_SLICE_LIT("no-such-name.invalid"), .port = 80};
	REQUIRE(ms_http_origin_new(s->kit.client, &o, NULL, &named) == MS_OK);
	struct http_call_options options = caller_options(named);
	caller_on_loop(&s->kit, begin_and_cancel, s);
	caller_begin(&s->kit, &s->r[2], &options);
	s->options.has_body = true;
	caller_begin(&s->kit, &s->r[3], &s->options);
	caller_write(&s->r[3], "x", 1, false);
	ms_http_origin_unref(named);
	s->peer.go = 1;
	scene_end(s);
}

static void stop_client(void *arg)
{
	ms_http_client_stop(((struct caller_kit *)arg)->client);
}

static void start_late(void *arg)
{
	struct scene *s = arg;
	struct http_call *call;
	struct errinfo info;
	s->options.loop = ms_rt_loop(s->kit.rt, 0);
	CHECK_INT(ms_http_call_start(s->kit.client, &s->options, &info, &call), MS_ERR_DRAINING);
}

TEST(client_stops)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},    {STEP_READ, HEAD_END, 0}, {STEP_SEND, OK_2, 0}, {.kind = STEP_ACCEPT},
		{STEP_READ, HEAD_END, 0}, {.kind = STEP_DRAIN},     {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	caller_call(&s->kit, &s->r[0], &s->options, NULL);
	s->options.new_connection = true;
	caller_begin(&s->kit, &s->r[1], &s->options);
	REQUIRE(KIT_WAIT(s->peer.step == 5));
	caller_on_loop(&s->kit, stop_client, &s->kit);
	REQUIRE(caller_wait(&s->r[1]));
	failed_so(&s->r[1], CALL_BROKEN, true, "shutting down");
	CHECK(KIT_WAIT(caller_metric(&s->kit, OPEN) == 0));
	caller_on_loop(&s->kit, start_late, s);
	scene_end(s);
}

// --- Tunnels -----------------------------------------------------------------------------------------

#define SWITCH "HTTP/1.1 101 Go\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nX-A: b\r\n\r\n"

TEST(client_tunnels_both_ways)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},  {STEP_READ, HEAD_END, 0}, {STEP_SEND, SWITCH "early", 0},
		{STEP_READ, "ping", 0}, {STEP_SEND, " pong", 0},  {.kind = STEP_FINISH},
		{STEP_READ, "last", 0}, {.kind = STEP_DRAIN},     {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	struct record *r = &s->r[0];
	s->options.protocol = MS_SLICE_LIT("websocket");
	s->options.read_timeout_ms = 100; // does not count in a tunnel
	caller_begin(&s->kit, r, &s->options);
	REQUIRE(KIT_WAIT(r->bytes == 5));
	CHECK_INT(r->statuses[0], 101);
	CHECK_SLICE(ms_buf_slice(&r->headers), "X-A: b\n");
	usleep(300000);
	caller_write(r, "ping", 4, false);
	REQUIRE(KIT_WAIT((bool)r->peer_ended));
	CHECK(!r->done);
	caller_write(r, "last", 4, true);
	REQUIRE(caller_wait(r));
	CHECK(r->ended);
	CHECK_SLICE(ms_buf_slice(&r->data), "early pong");
	CHECK(KIT_WAIT(caller_metric(&s->kit, OPEN) == 0));
	scene_end(s);
}

TEST(client_ends_its_side_of_a_tunnel_first)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT}, {STEP_READ, HEAD_END, 0},     {STEP_SEND, SWITCH, 0}, {STEP_READ, "bye", 0},
		{.kind = STEP_DRAIN},  {STEP_SEND, "still here", 0}, {.kind = STEP_CLOSE},   {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	struct record *r = &s->r[0];
	s->options.protocol = MS_SLICE_LIT("websocket");
	caller_begin(&s->kit, r, &s->options);
	REQUIRE(KIT_WAIT(r->head_seen == 1));
	caller_write(r, "bye", 3, true);
	REQUIRE(caller_wait(r));
	CHECK(r->ended && !r->peer_ended);
	CHECK_SLICE(ms_buf_slice(&r->data), "still here");
	scene_end(s);
}

TEST(client_upgrades_to_what_it_asked_for_only)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},
		{STEP_READ, HEAD_END, 0},
		{STEP_SEND, OK_2, 0},
		{STEP_READ, HEAD_END, 0},
		{STEP_SEND, "HTTP/1.1 101 Go\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", 0},
		{.kind = STEP_DRAIN},
		{.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	s->options.protocol = MS_SLICE_LIT("websocket");
	caller_call(&s->kit, &s->r[0], &s->options, NULL);
	ok_2(&s->r[0]); // declined: an ordinary answer
	caller_call(&s->kit, &s->r[1], &s->options, NULL);
	failed_so(&s->r[1], CALL_BROKEN, true, "nobody asked for");
	static const char asked[] = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
	CHECK(memmem(s->peer.got.p, s->peer.got.n, asked, strlen(asked)) != NULL);
	scene_end(s);
}

static void begin_and_fill(void *arg)
{
	static char piece[200000];
	struct scene *s = arg;
	caller_begin(&s->kit, &s->r[0], &s->options);
	CHECK(ms_http_call_write(s->r[0].call, ms_slice(piece, sizeof(piece))) >= 65536);
}

// What was written before there was a connection counts too: a caller that heeds the back-pressure is told when to go on.
TEST(client_tells_when_early_bytes_have_gone)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT}, {STEP_READ, "0\r\n\r\n", 0}, {STEP_SEND, OK_2, 0},
		{.kind = STEP_DRAIN},  {.kind = STEP_END},
	};
	struct scene *s = scene_start(steps, NULL);
	s->options.method = MS_SLICE_LIT("PUT");
	s->options.has_body = true;
	caller_on_loop(&s->kit, begin_and_fill, s);
	CHECK(KIT_WAIT(s->r[0].drains == 1));
	caller_write(&s->r[0], "end", 3, true);
	REQUIRE(caller_wait(&s->r[0]));
	ok_2(&s->r[0]);
	scene_end(s);
}

// --- Our own server ----------------------------------------------------------------------------------

TEST(client_talks_to_our_server)
{
	struct kit server;
	struct caller_kit kit;
	kit_start(&server, NULL);
	caller_start(&kit, NULL);
	struct http_origin *origin = caller_origin(&kit, server.port);
	struct http_call_options o = caller_options(origin);
	o.authority = MS_SLICE_LIT("x");
	for (int i = 0; i < 300; i++) {
		struct record r = {0};
		caller_call(&kit, &r, &o, NULL);
		CHECK_SLICE(ms_buf_slice(&r.data), "hello\n");
		caller_forget(&r);
	}
	CHECK_INT(caller_metric(&kit, CONNECTS), 1);
	struct record r[2] = {0};
	o.target = MS_SLICE_LIT("/stream?n=5000000");
	caller_call(&kit, &r[0], &o, NULL);
	CHECK_INT(r[0].data.n, 5000000);
	CHECK(is_pattern(ms_buf_slice(&r[0].data)));
	o.target = MS_SLICE_LIT("/length");
	o.method = MS_SLICE_LIT("POST");
	o.has_body = true;
	static char piece[100000];
	caller_begin(&kit, &r[1], &o);
	for (int i = 0; i < 100; i++)
		caller_write(&r[1], piece, sizeof(piece), i == 99);
	REQUIRE(caller_wait(&r[1]));
	CHECK_SLICE(ms_buf_slice(&r[1].data), "10000000");
	caller_forget(&r[0]);
	caller_forget(&r[1]);
	ms_http_origin_unref(origin);
	caller_stop(&kit);
	kit_stop(&server);
}
