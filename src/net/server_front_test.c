// SPDX-License-Identifier: Apache-2.0
// A front before the routes: what it takes, hands on and hears about; `over` exactly once for each exchange of its own.
#include <stdio.h>
#include <stdlib.h>

#include "net/server_test_kit.h"

#define MINE_MAX 256

struct mine { // front_data, of the request's arena
	struct seen *seen;
	unsigned id;
	char canary[16];
};

struct seen {
	struct kit kit;
	struct http_front front;
	atomic_uint asked, taken, over_total, answers, gone;
	atomic_uint over[MINE_MAX];
	atomic_int status[MINE_MAX];
	atomic_ullong bytes[MINE_MAX];
	atomic_llong ns[MINE_MAX];
	struct exchange *held[MINE_MAX];
	atomic_uint held_count;
	char path[128]; // as taken
};

static void own(struct exchange *x, struct seen *seen)
{
	struct mine *mine = MS_ARENA_NEW(x->arena, struct mine);
	REQUIRE(mine != NULL && seen->taken < MINE_MAX);
	mine->seen = seen;
	mine->id = seen->taken++;
	memcpy(mine->canary, "canary", 7);
	x->front_data = mine;
}

static void to_route(struct exchange *x, const char *path)
{
	x->req.path = ms_slice_cstr(path);
	ms_http_serve_local(x);
}

static void collected_echo(struct exchange *x, void *arg)
{
	(void)arg;
	to_route(x, "/echo");
}

static void collected_sink(struct exchange *x, void *arg)
{
	(void)arg;
	to_route(x, "/sink");
}

static bool path_is(const struct exchange *x, const char *path)
{
	return ms_slice_eq_cstr(x->req.path, path);
}

static void note_gone(struct exchange *x, void *arg)
{
	struct seen *seen = arg;
	CHECK(ms_http_gone(x));
	seen->gone++;
}

static enum front_verdict take(struct exchange *x, void *arg)
{
	struct seen *seen = arg;
	seen->asked++;
	CHECK(x->req.route == NULL && x->req.body.n == 0 && x->req.id.n > 0 && x->front_data == NULL);
	snprintf(seen->path, sizeof(seen->path), "%.*s", MS_SLICE_ARG(x->req.path));
	if (!ms_slice_starts_with(x->req.path, MS_SLICE_LIT("/gw/")))
		return FRONT_PASS;
	own(x, seen);
	if (path_is(x, "/gw/answer")) {
		ms_buf_append_cstr(x->body, "front\n");
		ms_http_send(x, 200, "text/plain");
	} else if (path_is(x, "/gw/late") || path_is(x, "/gw/gone")) {
		if (path_is(x, "/gw/gone"))
			ms_http_on_gone(x, note_gone, seen);
		seen->held[seen->held_count++] = x;
	} else if (path_is(x, "/gw/item")) {
		to_route(x, "/items/a%2Fb");
	} else if (path_is(x, "/gw/big")) {
		to_route(x, "/big");
	} else if (path_is(x, "/gw/stream")) {
		to_route(x, "/stream");
	} else if (path_is(x, "/gw/echo")) {
		to_route(x, "/echo");
	} else if (path_is(x, "/gw/collect")) {
		ms_http_body_collect(x, 0, collected_echo, NULL, NULL);
	} else if (path_is(x, "/gw/collect-sink")) {
		ms_http_body_collect(x, 0, collected_sink, NULL, NULL);
	} else if (path_is(x, "/gw/none")) {
		to_route(x, "/none");
	} else {
		x->req.path = MS_SLICE_LIT("/own"); // its own, and passed on
		return FRONT_PASS;
	}
	return FRONT_TAKEN;
}

static void answer(struct exchange *x, struct http_local_answer *local, void *arg)
{
	struct seen *seen = arg;
	CHECK(((struct mine *)x->front_data)->seen == seen);
	seen->answers++;
	ms_http_set_header(x, "X-Front", MS_SLICE_LIT("was here"));
	if (local->status == 404) {
		local->status = 418;
		ms_buf_clear(x->body);
		ms_buf_append_cstr(x->body, "{}");
	}
}

static void over(struct exchange *x, const struct http_outcome *outcome, void *arg)
{
	struct seen *seen = arg;
	const struct mine *mine = x->front_data;
	CHECK(mine->seen == seen && memcmp(mine->canary, "canary", 7) == 0);
	seen->status[mine->id] = outcome->status;
	seen->bytes[mine->id] = outcome->body_bytes;
	seen->ns[mine->id] = outcome->duration_ns;
	seen->over[mine->id]++;
	seen->over_total++;
}

// Reads its body in pieces, also one that the front has collected.
static void sink_data(struct exchange *x, struct slice bytes, void *arg)
{
	(void)arg;
	ms_buf_append_slice(x->body, bytes);
}

static void sink_end(struct exchange *x, const struct http_header *trailers, size_t count, void *arg)
{
	(void)trailers, (void)count, (void)arg;
	ms_http_send(x, 200, "text/plain");
}

static void sink_cut(struct exchange *x, const struct errinfo *info, void *arg)
{
	(void)arg;
	ms_http_fail(x, info);
}

static void post_sink(struct exchange *x, void *role)
{
	static const struct http_body_reader reader = {sink_data, sink_end, sink_cut, UINT64_MAX};
	ms_http_body_read(x, &reader, role);
}

static void get_own(struct exchange *x, void *role)
{
	(void)role;
	ms_buf_append_cstr(x->body, "own\n");
	ms_http_send(x, 200, "text/plain");
}

static const struct route routes[] = {
	{.method = HTTP_POST, .pattern = "/sink", .handle = post_sink, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
	{.method = HTTP_GET, .pattern = "/own", .handle = get_own, .flags = ROUTE_PUBLIC},
};

static void start(struct seen *seen, const struct http_limits *limits)
{
	*seen = (struct seen){0};
	seen->front = (struct http_front){take, answer, over, seen};
	const struct kit_options options = {.limits = limits,
					    .front = &seen->front,
					    .routes = routes,
					    .route_count = MS_ARRAY_LEN(routes),
					    .role = seen};
	kit_start(&seen->kit, &options);
}

static void answer_held(struct kit *kit, void *arg)
{
	(void)kit;
	struct seen *seen = arg;
	unsigned count = seen->held_count;
	seen->held_count = 0;
	for (unsigned i = 0; i < count; i++)
		ms_http_send(seen->held[i], 204, NULL);
}

static void serve_held(struct kit *kit, void *arg)
{
	(void)kit;
	struct seen *seen = arg;
	to_route(seen->held[--seen->held_count], "/echo");
}

static void finish(struct seen *seen)
{
	kit_stop(&seen->kit);
	for (unsigned i = 0; i < seen->taken; i++)
		CHECK_INT(seen->over[i], 1);
	CHECK_INT(seen->over_total, seen->taken);
}

TEST(front_passes_what_is_not_its_business)
{
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, NULL);
	client_connect(&c, seen.kit.port);
	CHECK_INT(client_ask(&c, GET("/items/%41?q=1"), &a), 201);
	CHECK_STR(seen.path, "/items/%41"); // still encoded
	CHECK(answer_header(&a, "X-Front").p == NULL);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc", &a), 200);
	CHECK_SLICE(a.body, "abc");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/none"), &a), 404);
	client_consume(&c, a.bytes);
	CHECK_INT(seen.asked, 3);
	// Heads that cannot be read are nobody's.
	CHECK_INT(client_ask(&c, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", &a), 400);
	CHECK_INT(seen.asked, 3);
	client_close(&c);
	CHECK_INT(seen.taken, 0);
	finish(&seen);
}

TEST(front_answers_now_or_later)
{
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, NULL);
	client_connect(&c, seen.kit.port);
	CHECK_INT(client_ask(&c, GET("/gw/answer"), &a), 200);
	CHECK_SLICE(a.body, "front\n");
	CHECK(answer_header(&a, "X-Front").p == NULL); // its own answers are not shown to it
	client_consume(&c, a.bytes);
	client_send_text(&c, GET("/gw/late") GET("/gw/answer"));
	REQUIRE(KIT_WAIT(seen.held_count == 1));
	CHECK_INT(seen.over_total, 1);
	kit_on_loop(&seen.kit, answer_held, &seen);
	REQUIRE(client_head(&c, &a));
	CHECK_INT(a.status, 204);
	client_consume(&c, a.bytes);
	REQUIRE(client_answer(&c, &a));
	CHECK_INT(a.status, 200);
	CHECK(KIT_WAIT(seen.over_total == 3));
	CHECK_INT(seen.status[0], 200);
	CHECK_INT(seen.bytes[0], 6);
	CHECK_INT(seen.status[1], 204);
	CHECK_INT(seen.bytes[1], 0);
	CHECK(seen.ns[0] > 0);
	client_close(&c);
	finish(&seen);
}

TEST(front_hands_exchanges_to_the_routes)
{
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, NULL);
	client_connect(&c, seen.kit.port);
	CHECK_INT(client_ask(&c, GET("/gw/item"), &a), 201);
	CHECK(ms_slice_starts_with(a.body, MS_SLICE_LIT("GET|a/b|")));
	CHECK_SLICE(answer_header(&a, "X-Front"), "was here");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/gw/pass"), &a), 200); // passed on with data of its own
	CHECK_SLICE(a.body, "own\n");
	CHECK_SLICE(answer_header(&a, "X-Front"), "was here");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/gw/none"), &a), 418); // it may change the answer
	CHECK_SLICE(a.body, "{}");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/gw/stream?n=100000"), &a), 200);
	CHECK_INT(a.body.n, 100000);
	CHECK_SLICE(answer_header(&a, "X-Front"), "was here");
	client_consume(&c, a.bytes);
	static const char *const posts[] = {"echo", "collect", "collect-sink"};
	for (size_t i = 0; i < MS_ARRAY_LEN(posts); i++) {
		char request[200];
		snprintf(request, sizeof(request), "POST /gw/%s HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\na",
			 posts[i]);
		client_send_text(&c, request);
		kit_yield();
		CHECK_INT(client_ask(&c, "bc", &a), 200);
		CHECK_SLICE(a.body, "abc");
		client_consume(&c, a.bytes);
	}
	// Later, with a body that waited for it.
	client_send_text(&c, "POST /gw/late HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc");
	REQUIRE(KIT_WAIT(seen.held_count == 1));
	kit_on_loop(&seen.kit, serve_held, &seen);
	REQUIRE(client_answer(&c, &a));
	CHECK_SLICE(a.body, "abc");
	client_close(&c);
	CHECK(KIT_WAIT(seen.over_total == 8));
	CHECK_INT(seen.answers, 8);
	CHECK_INT(seen.status[2], 418);
	CHECK_INT(seen.bytes[3], 100000);
	finish(&seen);
}

static enum ms_err admit_nobody(struct exchange *x, struct slice object, struct errinfo *info, void *arg)
{
	(void)x, (void)object, (void)arg;
	return ms_fail(info, MS_ERR_UNAUTHENTICATED, "who are you?");
}

TEST(front_stands_before_the_guard)
{
	struct seen seen = {.front = {take, answer, over, &seen}};
	struct client c;
	struct answer a;
	const struct http_guard guard = {.admit = admit_nobody};
	kit_start(&seen.kit, &(struct kit_options){.front = &seen.front, .guard = &guard});
	client_connect(&c, seen.kit.port);
	CHECK_INT(client_ask(&c, GET("/gw/answer"), &a), 200);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/gw/item"), &a), 401); // the routes are guarded as ever
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/items/1"), &a), 401);
	client_close(&c);
	CHECK(KIT_WAIT(seen.over_total == 2));
	CHECK_INT(seen.status[1], 401);
	finish(&seen);
}

TEST(front_hears_of_clients_that_leave)
{
	struct seen seen;
	struct client c;
	start(&seen, NULL);
	static const char *const requests[] = {
		GET("/gw/late"),
		GET("/gw/gone"),
		GET("/gw/stream?n=500000000"),
		GET("/gw/big?n=50000000"),
		"POST /gw/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\na",
		"POST /gw/collect HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\na",
		"POST /gw/late HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\na",
	};
	for (unsigned i = 0; i < MS_ARRAY_LEN(requests); i++) {
		client_connect(&c, seen.kit.port);
		client_send_text(&c, requests[i]);
		REQUIRE(KIT_WAIT(seen.taken == i + 1));
		bool held = seen.held_count > 0;
		CHECK_INT(seen.over_total, i);
		client_reset(&c);
		if (held) { // whoever answers ends it
			REQUIRE(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
			CHECK_INT(seen.over_total, i);
			kit_on_loop(&seen.kit, answer_held, &seen);
		}
		CHECK(KIT_WAIT(seen.over_total == i + 1));
		bool begun = i == 2 || i == 3;
		CHECK_INT(seen.status[i], begun ? 200 : 0);
	}
	CHECK_INT(seen.gone, 1);
	finish(&seen);
}

TEST(front_hears_of_slow_bodies_and_bad_ones)
{
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	limits.body_timeout_ms = 100;
	struct seen seen;
	struct client c;
	struct answer a;
	start(&seen, &limits);
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{"POST /gw/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\na", 408},
		{"POST /gw/collect HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\na", 408},
		{"POST /gw/echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nx", 400},
		{"POST /gw/collect HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nx", 400},
		{"POST /gw/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999\r\n\r\n", 413},
		{"POST /gw/answer HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999\r\n\r\n", 200},
	};
	for (unsigned i = 0; i < MS_ARRAY_LEN(cases); i++) {
		client_connect(&c, seen.kit.port);
		CHECK_INT(client_ask(&c, cases[i].text, &a), cases[i].status);
		CHECK_SLICE(answer_header(&a, "Connection"), "close");
		client_close(&c);
		CHECK(KIT_WAIT(seen.over_total == i + 1));
		CHECK_INT(seen.status[i], cases[i].status);
	}
	finish(&seen);
}

TEST(front_hears_of_all_when_the_server_ends)
{
	struct seen seen;
	struct client c[4];
	atomic_uint done = 0;
	start(&seen, NULL);
	static const char *const requests[] = {
		GET("/gw/late"),
		GET("/gw/stream?n=500000000"),
		"POST /gw/echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\na",
		GET("/gw/answer"),
	};
	for (unsigned i = 0; i < MS_ARRAY_LEN(c); i++) {
		client_connect(&c[i], seen.kit.port);
		client_send_text(&c[i], requests[i]);
		REQUIRE(KIT_WAIT(seen.taken == i + 1));
	}
	REQUIRE(KIT_WAIT(seen.over_total == 1));
	kit_drain(&seen.kit, 0, &done);
	finish(&seen); // at latest when the server is freed
	CHECK_INT(seen.status[0], 0);
	CHECK_INT(seen.status[3], 200);
	for (unsigned i = 0; i < MS_ARRAY_LEN(c); i++)
		client_close(&c[i]);
}

// However far a request got: what was taken is over once, and nothing else.
TEST(front_clients_leave_at_every_byte)
{
	static const char *const requests[] = {
		GET("/gw/answer"),
		GET("/gw/stream?n=100000"),
		"POST /gw/collect-sink HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nabcde",
	};
	struct seen seen;
	start(&seen, NULL);
	for (size_t i = 0; i < MS_ARRAY_LEN(requests); i++) {
		for (size_t n = 0; n <= strlen(requests[i]); n++) {
			struct client c;
			client_connect(&c, seen.kit.port);
			client_send(&c, requests[i], n);
			if (n % 2 == 0)
				client_reset(&c);
			else
				client_close(&c);
		}
	}
	CHECK_INT(kit_ask(&seen.kit, GET("/"), NULL, 0), 200); // all before were accepted
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	CHECK(seen.taken > 0);
	finish(&seen);
}
