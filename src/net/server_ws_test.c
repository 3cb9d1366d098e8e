// SPDX-License-Identifier: Apache-2.0
// WebSockets on the real server: what a test of the program's outside cannot arrange or see.
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/server_test_kit.h"

struct seen {
	struct kit kit;
	struct ws_options options;
	atomic_uint opened, messages, closed, code, drained;
	char path[40], token[40]; // as the request said after a message
	struct exchange *x;
	struct ws *ws;
};

static void on_message(struct ws *ws, enum ws_kind kind, struct slice bytes, void *arg)
{
	struct seen *seen = arg;
	seen->messages++;
	snprintf(seen->path, sizeof(seen->path), "%.*s", MS_SLICE_ARG(seen->x->req.path));
	snprintf(seen->token, sizeof(seen->token), "%.*s", MS_SLICE_ARG(ms_http_header(&seen->x->req, "x-token")));
	ms_ws_send(ws, kind, bytes);
}

static void on_closed(struct ws *ws, unsigned code, struct slice reason, void *arg)
{
	struct seen *seen = arg;
	(void)reason;
	CHECK_INT(ms_ws_send(ws, WS_TEXT, MS_SLICE_LIT("too late")), SIZE_MAX);
	ms_ws_close(ws, 1000, MS_SLICE_EMPTY);
	seen->code = code;
	seen->ws = NULL;
	seen->closed++;
}

static void on_drained(struct ws *ws, void *arg)
{
	struct seen *seen = arg;
	(void)ws;
	seen->drained++;
}

static const struct ws_handlers handlers = {on_message, on_closed, on_drained};

static void get_ws(struct exchange *x, void *role)
{
	struct seen *seen = role;
	seen->x = x;
	seen->ws = ms_ws_accept(x, &seen->options);
	seen->opened += seen->ws != NULL;
}

static const struct route routes[] = {
	{.method = HTTP_GET, .pattern = "/ws", .handle = get_ws, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
};

static void start(struct seen *seen, const struct http_front *front)
{
	*seen = (struct seen){0};
	seen->options = (struct ws_options){.handlers = &handlers, .arg = seen, .deflate = true};
	const struct kit_options options = {.routes = routes, .route_count = 1, .role = seen, .front = front};
	kit_start(&seen->kit, &options);
}

#define UPGRADE                                                                                        \
	"GET /ws HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Token: abc\r\n" \
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
#define HELLO "\x81\x85\0\0\0\0Hello"
#define HELLO_BACK "\x81\x05Hello"
#define BYE "\x88\x82\0\0\0\0\x03\xe8"

static void open_ws(struct seen *seen, struct client *c)
{
	struct answer a;
	client_connect(c, seen->kit.port);
	client_send_text(c, UPGRADE);
	REQUIRE(client_head(c, &a));
	CHECK_INT(a.status, 101);
	CHECK_SLICE(answer_header(&a, "Sec-WebSocket-Accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	client_consume(c, a.bytes);
}

static bool expect(struct client *c, const char *bytes, size_t n)
{
	while (c->in.n < n && client_read(c))
		;
	bool same = c->in.n >= n && memcmp(c->in.p, bytes, n) == 0;
	client_consume(c, MS_MIN(c->in.n, n));
	return same;
}

static bool hello(struct client *c)
{
	return client_send(c, HELLO, sizeof(HELLO) - 1) && expect(c, HELLO_BACK, sizeof(HELLO_BACK) - 1);
}

TEST(ws_closes_in_order)
{
	struct seen seen;
	struct client c;
	start(&seen, NULL);
	open_ws(&seen, &c);
	CHECK(hello(&c));
	CHECK(client_send(&c, BYE, sizeof(BYE) - 1));
	CHECK(expect(&c, "\x88\x02\x03\xe8", 4));
	CHECK(client_read_to_end(&c) && c.in.n == 0);
	CHECK(KIT_WAIT(seen.closed == 1));
	CHECK_INT(seen.code, 1000);
	client_close(&c);
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	kit_stop(&seen.kit);
}

// Many idle ones with few buffers; the request stays readable although its buffer went back.
TEST(ws_idle_ones_share_buffers)
{
	struct seen seen;
	struct client clients[50];
	start(&seen, NULL);
	for (size_t i = 0; i < MS_ARRAY_LEN(clients); i++) {
		open_ws(&seen, &clients[i]);
		CHECK(hello(&clients[i]));
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(clients); i++) // what lay in their buffers was written over by now
		CHECK(hello(&clients[i]));
	CHECK_STR(seen.path, "/ws");
	CHECK_STR(seen.token, "abc");
	for (size_t i = 0; i < MS_ARRAY_LEN(clients); i++) {
		CHECK(client_send(&clients[i], HELLO, 3)); // in pieces
		kit_yield();
		CHECK(client_send(&clients[i], &HELLO[3], sizeof(HELLO) - 1 - 3));
		CHECK(expect(&clients[i], HELLO_BACK, sizeof(HELLO_BACK) - 1));
		client_close(&clients[i]);
	}
	CHECK(KIT_WAIT(seen.closed == MS_ARRAY_LEN(clients)));
	CHECK_INT(seen.code, 1006);
	CHECK_INT(seen.messages, 150);
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	kit_stop(&seen.kit);
}

static enum front_verdict front_take(struct exchange *x, void *arg)
{
	(void)arg;
	x->front_data = (void *)(uintptr_t)x->req.target.p; // as plugins keep what they have read
	ms_http_serve_local(x);
	return FRONT_TAKEN;
}

static void front_over(struct exchange *x, const struct http_outcome *outcome, void *arg)
{
	CHECK(x->front_data == x->req.target.p); // nothing moved
	CHECK_SLICE(x->req.target, "/ws");
	CHECK_INT(outcome->status, 101);
	(*(atomic_uint *)arg)++;
}

TEST(ws_behind_a_front)
{
	struct seen seen;
	struct client c;
	atomic_uint over = 0;
	const struct http_front front = {.take = front_take, .over = front_over, .arg = &over};
	start(&seen, &front);
	open_ws(&seen, &c);
	CHECK(hello(&c) && hello(&c));
	CHECK_STR(seen.token, "abc");
	client_close(&c);
	CHECK(KIT_WAIT(over == 1));
	CHECK_INT(seen.closed, 1);
	kit_stop(&seen.kit);
}

static void send_big(struct kit *kit, void *arg)
{
	(void)kit;
	struct seen *seen = arg;
	static char bytes[200000];
	CHECK(seen->ws != NULL && ms_ws_send(seen->ws, WS_BINARY, ms_slice(bytes, sizeof(bytes))) >= sizeof(bytes));
}

static void close_it(struct kit *kit, void *arg)
{
	(void)kit;
	struct seen *seen = arg;
	ms_ws_close(seen->ws, 4000, MS_SLICE_LIT("enough"));
}

TEST(ws_sends_by_itself)
{
	struct seen seen;
	struct client c;
	start(&seen, NULL);
	open_ws(&seen, &c);
	kit_on_loop(&seen.kit, send_big, &seen);
	while (c.in.n < 10 + 200000 && client_read(&c))
		;
	CHECK_INT(c.in.n, 10 + 200000);
	client_consume(&c, c.in.n);
	CHECK(KIT_WAIT(seen.drained == 1));
	kit_on_loop(&seen.kit, close_it, &seen);
	CHECK(expect(&c,
		     "\x88\x08\x0f\xa0"
		     "enough",
		     10));
	CHECK(client_send(&c, BYE, sizeof(BYE) - 1));
	CHECK(client_read_to_end(&c));
	CHECK(KIT_WAIT(seen.closed == 1));
	client_close(&c);
	kit_stop(&seen.kit);
}

TEST(ws_clients_leave_at_every_byte)
{
	static const char bytes[] =
		UPGRADE HELLO "\x89\x80\0\0\0\0\x01\x82\0\0\0\0ab\xc1\x87\0\0\0\0\xf2\x48\xcd" BYE "more";
	struct seen seen;
	start(&seen, NULL);
	for (size_t n = 0; n < sizeof(bytes); n++) {
		struct client c;
		client_connect(&c, seen.kit.port);
		client_send(&c, bytes, n);
		if (n % 3 == 1)
			kit_yield();
		if (n % 2 == 0)
			client_reset(&c);
		else
			client_close(&c);
	}
	CHECK_INT(kit_ask(&seen.kit, GET("/"), NULL, 0), 200);
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	CHECK_INT(seen.closed, seen.opened);
	CHECK(seen.opened > 0);
	kit_stop(&seen.kit);
}

TEST(ws_open_ones_end_with_the_server)
{
	struct seen seen;
	struct client c, d;
	start(&seen, NULL);
	open_ws(&seen, &c);
	open_ws(&seen, &d);
	CHECK(hello(&c));
	CHECK(client_send(&d, HELLO, 8));
	kit_stop(&seen.kit); // without draining
	CHECK_INT(seen.closed, 2);
	client_close(&c);
	client_close(&d);
}
