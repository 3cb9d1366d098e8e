// SPDX-License-Identifier: Apache-2.0
// Tunnels: bytes both ways after 101, ends of either side, silence, draining, clients that vanish.
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/server_test_kit.h"

struct seen {
	struct kit kit;
	atomic_uint opened, ended, cut, gone;
	atomic_int cut_code;
	atomic_ullong bytes;
	bool silent;   // says nothing
	bool talks_on; // after the client's end, until told
	struct exchange *x;
};

// Our side ends once; marked in the exchange.
static void end_ours(struct exchange *x, struct seen *seen)
{
	if (x->role_data != NULL)
		return;
	x->role_data = seen;
	ms_http_stream_end(x);
}

// What comes goes back, in upper case. "!" ends our side; so does the client's end, unless talks_on.
static void tunnel_data(struct exchange *x, struct slice bytes, void *arg)
{
	struct seen *seen = arg;
	seen->bytes += bytes.n;
	struct buf back;
	ms_buf_init(&back, 1 << 20);
	bool end = false;
	for (size_t i = 0; i < bytes.n; i++) {
		char c = bytes.p[i];
		end |= c == '!';
		ms_buf_append_char(&back, (char)(c >= 'a' && c <= 'z' ? c - 32 : c));
	}
	if (x->role_data == NULL && !seen->silent && ms_http_stream_write(x, ms_buf_slice(&back)) >= 65536)
		ms_http_body_pause(x);
	ms_buf_fini(&back);
	if (end)
		end_ours(x, seen);
}

static void tunnel_end(struct exchange *x, const struct http_header *trailers, size_t count, void *arg)
{
	struct seen *seen = arg;
	(void)trailers;
	CHECK_INT(count, 0);
	seen->ended++;
	if (!seen->talks_on)
		end_ours(x, seen);
}

static void tunnel_cut(struct exchange *x, const struct errinfo *info, void *arg)
{
	struct seen *seen = arg;
	seen->cut_code = info->code;
	seen->gone += ms_http_gone(x);
	seen->cut++;
	end_ours(x, seen);
}

static void tunnel_drained(struct exchange *x, void *arg)
{
	(void)arg;
	ms_http_body_resume(x);
}

static void get_tunnel(struct exchange *x, void *role)
{
	struct seen *seen = role;
	static const struct http_body_reader reader = {tunnel_data, tunnel_end, tunnel_cut, UINT64_MAX};
	static const struct http_header headers[] = {
		{MS_SLICE_LIT("Sec-WebSocket-Accept"), MS_SLICE_LIT("x")},
		{MS_SLICE_LIT("Connection"), MS_SLICE_LIT("close")},
	};
	if (x->req.protocol.n == 0) {
		ms_http_send(x, 426, NULL);
		return;
	}
	seen->x = x;
	seen->opened++;
	ms_http_tunnel_start(x, headers, 2, &reader, tunnel_drained, seen);
}

static void say(struct kit *kit, void *arg)
{
	(void)kit;
	struct seen *seen = arg;
	ms_http_stream_write(seen->x, MS_SLICE_LIT("late"));
	end_ours(seen->x, seen);
}

static const struct route routes[] = {
	{.method = HTTP_GET, .pattern = "/tunnel", .handle = get_tunnel, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
};

static void start(struct seen *seen, const struct http_limits *limits)
{
	*seen = (struct seen){0};
	const struct kit_options options = {.limits = limits, .routes = routes, .route_count = 1, .role = seen};
	kit_start(&seen->kit, &options);
}

#define UPGRADE "GET /tunnel HTTP/1.1\r\nHost: t\r\nConnection: keep-alive, Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n"

static void open_tunnel(struct seen *seen, struct client *c, const char *request)
{
	struct answer a;
	client_connect(c, seen->kit.port);
	client_send_text(c, request);
	REQUIRE(client_head(c, &a));
	CHECK_INT(a.status, 101);
	CHECK_SLICE(answer_header(&a, "Upgrade"), "websocket");
	CHECK_SLICE(answer_header(&a, "Connection"), "Upgrade");
	CHECK_SLICE(answer_header(&a, "Sec-WebSocket-Accept"), "x");
	CHECK(answer_header(&a, "Transfer-Encoding").p == NULL && answer_header(&a, "Content-Length").p == NULL);
	client_consume(c, a.bytes);
}

static bool expect(struct client *c, const char *text)
{
	while (c->in.n < strlen(text) && client_read(c))
		;
	bool same = c->in.n >= strlen(text) && memcmp(c->in.p, text, strlen(text)) == 0;
	client_consume(c, MS_MIN(c->in.n, strlen(text)));
	return same;
}

TEST(tunnel_carries_bytes_both_ways)
{
	struct seen seen;
	struct client c;
	start(&seen, NULL);
	open_tunnel(&seen, &c, UPGRADE "sent ahead;"); // with the head
	CHECK(expect(&c, "SENT AHEAD;"));
	CHECK(client_send_text(&c, "GET / HTTP/1.1\r\n\r\n")); // nobody parses this
	CHECK(expect(&c, "GET / HTTP/1.1\r\n\r\n"));
	client_finish(&c); // we answer the end with ours
	CHECK(client_read_to_end(&c));
	CHECK_INT(c.in.n, 0);
	CHECK_INT(seen.ended, 1);
	CHECK_INT(seen.cut, 0);
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	client_close(&c);
	kit_stop(&seen.kit);
}

TEST(tunnel_sides_end_by_themselves)
{
	struct seen seen;
	struct client c;
	start(&seen, NULL);
	// Ours first: the client goes on sending.
	open_tunnel(&seen, &c, UPGRADE);
	CHECK(client_send_text(&c, "a!"));
	CHECK(expect(&c, "A!"));
	CHECK(client_read_to_end(&c));
	CHECK(client_send_text(&c, "more"));
	REQUIRE(KIT_WAIT(seen.bytes == 6));
	CHECK_INT(seen.ended, 0);
	client_finish(&c);
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	CHECK_INT(seen.ended, 1);
	client_close(&c);
	// The client first: we go on.
	seen.talks_on = true;
	open_tunnel(&seen, &c, UPGRADE);
	client_finish(&c);
	REQUIRE(KIT_WAIT(seen.ended == 2));
	kit_on_loop(&seen.kit, say, &seen);
	CHECK(expect(&c, "late"));
	CHECK(client_read_to_end(&c));
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	CHECK_INT(seen.cut, 0);
	client_close(&c);
	kit_stop(&seen.kit);
}

TEST(tunnel_pushes_back)
{
	enum { SIZE = 40000000 };
	static char piece[65536];
	struct seen seen;
	struct client c;
	start(&seen, NULL);
	memset(piece, 'x', sizeof(piece));
	open_tunnel(&seen, &c, UPGRADE);
	size_t sent = 0, got = 0;
	for (int still = 0; still < 50 && sent < SIZE;) { // does not read
		ssize_t n = send(c.fd, piece, sizeof(piece), MSG_DONTWAIT | MSG_NOSIGNAL);
		still = n > 0 ? 0 : still + 1;
		sent += n > 0 ? (size_t)n : 0;
		if (n <= 0)
			kit_yield();
	}
	CHECK(sent < SIZE);
	while (got < sent && client_read(&c)) {
		got += c.in.n;
		client_consume(&c, c.in.n);
	}
	CHECK_INT(got, sent);
	client_close(&c);
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	kit_stop(&seen.kit);
}

TEST(tunnel_needs_an_upgrade)
{
	const char *with_body = "GET /tunnel HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: "
				"websocket\r\nContent-Length: 1\r\n\r\na";
	const char *const requests[] = {
		GET("/tunnel"),
		"GET /tunnel HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\n\r\n",
		"GET /tunnel HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\n\r\n",
		"GET /tunnel HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
		"GET /tunnel HTTP/1.0\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		with_body,
	};
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, NULL);
	for (size_t i = 0; i < MS_ARRAY_LEN(requests); i++) {
		client_connect(&c, seen.kit.port);
		CHECK_INT(client_ask(&c, requests[i], &a), 426);
		client_close(&c);
	}
	CHECK_INT(seen.opened, 0);
	kit_stop(&seen.kit);
}

TEST(tunnel_learns_that_the_client_left)
{
	struct seen seen;
	struct client c;
	start(&seen, NULL);
	for (unsigned i = 1; i <= 5; i++) {
		open_tunnel(&seen, &c, UPGRADE "a");
		CHECK(expect(&c, "A"));
		client_reset(&c);
		CHECK(KIT_WAIT(seen.cut == i));
		CHECK_INT(seen.gone, i);
		CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	}
	CHECK_INT(seen.ended, 0);
	open_tunnel(&seen, &c, UPGRADE); // open while the server ends
	kit_stop(&seen.kit);
	client_close(&c);
}

TEST(tunnel_without_a_byte_is_closed)
{
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	struct seen seen;
	struct client c;
	limits.tunnel_idle_ms = 300;
	limits.idle_timeout_ms = limits.body_timeout_ms = limits.header_timeout_ms = 50;
	start(&seen, &limits);
	open_tunnel(&seen, &c, UPGRADE);
	for (int i = 0; i < 60; i++) { // 600 ms: bytes keep it
		CHECK(client_send_text(&c, "a") && expect(&c, "A"));
		for (int k = 0; k < 10; k++)
			kit_yield();
	}
	seen.silent = true; // of either side
	for (int i = 0; i < 60; i++) {
		CHECK(client_send_text(&c, "a"));
		for (int k = 0; k < 10; k++)
			kit_yield();
	}
	CHECK_INT(seen.cut, 0);
	CHECK(!client_read(&c));
	CHECK_INT(seen.cut, 1);
	CHECK_INT(seen.cut_code, MS_ERR_HTTP_TIMEOUT);
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	client_close(&c);
	kit_stop(&seen.kit);
}

TEST(tunnel_ends_when_the_server_drains)
{
	struct seen seen;
	struct client c;
	atomic_uint done = 0;
	start(&seen, NULL);
	open_tunnel(&seen, &c, UPGRADE "a");
	CHECK(expect(&c, "A"));
	kit_drain(&seen.kit, 0, &done);
	CHECK(client_read_to_end(&c)); // told as the client's end; the handler ended its side in order
	CHECK(KIT_WAIT(done == 1));
	CHECK_INT(seen.ended, 1);
	CHECK_INT(seen.cut, 0);
	client_close(&c);
	kit_stop(&seen.kit);
}

TEST(tunnel_clients_leave_at_every_byte)
{
	static const char request[] = UPGRADE "some bytes! and more";
	struct seen seen;
	start(&seen, NULL);
	for (size_t n = 0; n < sizeof(request); n++) {
		struct client c;
		client_connect(&c, seen.kit.port);
		client_send(&c, request, n);
		if (n % 3 == 1)
			kit_yield();
		if (n % 2 == 0)
			client_reset(&c);
		else
			client_close(&c);
	}
	CHECK_INT(kit_ask(&seen.kit, GET("/"), NULL, 0), 200); // all before were accepted
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	CHECK_INT(seen.ended + seen.cut, seen.opened); // told once
	kit_stop(&seen.kit);
}
