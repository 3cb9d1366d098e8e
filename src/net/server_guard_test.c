// SPDX-License-Identifier: Apache-2.0
// The guard: asked before the body is read, for every route that is not public, and by handlers about objects that they alone know.
#include <stdio.h>
#include <unistd.h>

#include "net/server_test_kit.h"

// Lets "anna" in, with the permission for everything that begins with 'a'.
struct door {
	struct http_guard guard;
	atomic_uint asked, refused;
	atomic_bool closed; // to everybody
	char object[64];    // of the last question
};

static bool may(const struct exchange *x, const char *permission, struct slice object, void *arg)
{
	(void)arg;
	CHECK_STR(permission, "use");
	return x->caller.kind == CALLER_KEY && object.n > 0 && object.p[0] == 'a';
}

static enum ms_err admit(struct exchange *x, struct slice object, struct errinfo *info, void *arg)
{
	struct door *door = arg;
	door->asked++;
	snprintf(door->object, sizeof(door->object), "%s", object.p == NULL ? "(any)" : "");
	if (object.p != NULL)
		MS_IGNORE(!ms_slice_to_cstr(object, door->object, sizeof(door->object)));
	if (door->closed || !ms_slice_eq_cstr(ms_http_header(&x->req, "X-Who"), "anna")) {
		ms_http_set_header(x, "WWW-Authenticate", MS_SLICE_LIT("Bearer realm=\"test\""));
		return ms_fail(info, MS_ERR_UNAUTHENTICATED, "who are you?");
	}
	x->caller = (struct caller){.kind = CALLER_KEY, .id = MS_SLICE_LIT("1"), .name = MS_SLICE_LIT("anna")};
	if (object.p != NULL && !may(x, x->req.route->permission, object, arg))
		return ms_fail(info, MS_ERR_FORBIDDEN, "not this one");
	return MS_OK;
}

static void refused(const struct exchange *x, const char *permission, struct slice object, void *arg)
{
	struct door *door = arg;
	CHECK_STR(permission, "use");
	CHECK(x->caller.kind == CALLER_KEY && object.n > 0);
	door->refused++;
}

static void open_door(struct kit *kit, struct door *door)
{
	*door = (struct door){.guard = {.admit = admit, .may = may, .refused = refused, .arg = door}};
	kit_start(kit, &(struct kit_options){.guard = &door->guard});
}

#define AS_ANNA(verb, path) verb " " path " HTTP/1.1\r\nHost: test\r\nX-Who: anna\r\n\r\n"

TEST(guard_lets_in_whom_it_knows)
{
	struct kit kit;
	struct door door;
	struct client c;
	struct answer a;
	open_door(&kit, &door);
	client_connect(&c, kit.port);
	CHECK_INT(client_ask(&c, GET("/"), &a), 401);
	CHECK_SLICE(answer_header(&a, "WWW-Authenticate"), "Bearer realm=\"test\"");
	CHECK(memmem(a.body.p, a.body.n, "\"code\":\"auth.required\"", 22) != NULL);
	client_consume(&c, a.bytes);
	CHECK_INT(kit.handled, 0);
	CHECK_INT(client_ask(&c, AS_ANNA("GET", "/"), &a), 200); // the connection goes on
	CHECK(answer_header(&a, "WWW-Authenticate").p == NULL);
	CHECK_STR(door.object, "(any)");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/"), &a), 401); // and remembers nobody
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, AS_ANNA("GET", "/items/a%20b"), &a), 201);
	CHECK_STR(door.object, "a b");
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, AS_ANNA("GET", "/items/b"), &a), 403);
	client_consume(&c, a.bytes);
	client_close(&c);
	kit_stop(&kit);
}

TEST(guard_is_not_asked_where_nobody_is_refused)
{
	struct kit kit;
	struct door door;
	struct client c;
	struct answer a;
	open_door(&kit, &door);
	client_connect(&c, kit.port);
	CHECK_INT(client_ask(&c, GET("/health"), &a), 200);
	client_consume(&c, a.bytes);
	REQUIRE(client_send_text(&c, "HEAD /health HTTP/1.1\r\nHost: t\r\n\r\n") && client_head(&c, &a));
	CHECK_INT(a.status, 200);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, GET("/nowhere"), &a), 404);
	client_consume(&c, a.bytes);
	CHECK_INT(client_ask(&c, "DELETE / HTTP/1.1\r\nHost: t\r\n\r\n", &a), 405);
	client_consume(&c, a.bytes);
	REQUIRE(client_send_text(&c, "OPTIONS / HTTP/1.1\r\nHost: t\r\n\r\n") && client_head(&c, &a));
	CHECK_INT(a.status, 204);
	client_consume(&c, a.bytes);
	CHECK_INT(door.asked, 0);
	REQUIRE(client_send_text(&c, "HEAD / HTTP/1.1\r\nHost: t\r\n\r\n") && client_head(&c, &a));
	CHECK_INT(a.status, 401); // HEAD is GET
	client_consume(&c, a.bytes);
	CHECK_INT(door.asked, 1);
	client_close(&c);
	kit_stop(&kit);
}

TEST(guard_refuses_before_the_body_comes)
{
	struct kit kit;
	struct door door;
	struct client c;
	struct answer a;
	open_door(&kit, &door);
	client_connect(&c, kit.port);
	// The body is announced, and not one byte of it sent: the answer is there all the same, and no 100 before it.
	CHECK_INT(client_ask(
			  &c,
			  "POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n",
			  &a),
		  401);
	client_consume(&c, a.bytes);
	client_close(&c);
	client_connect(&c, kit.port);
	CHECK_INT(client_ask(&c, "POST /upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n", &a), 401);
	client_close(&c);
	CHECK_INT(kit.handled, 0);
	client_connect(&c, kit.port);
	CHECK_INT(client_ask(&c, "POST /length HTTP/1.1\r\nHost: t\r\nX-Who: anna\r\nContent-Length: 3\r\n\r\nabc", &a),
		  200);
	CHECK_SLICE(a.body, "3");
	client_close(&c);
	kit_stop(&kit);
}

// The door closes while the body is on its way.
static void send_late_body(struct kit *kit, struct door *door, const char *head, const char *first, const char *rest)
{
	struct client c;
	struct answer a;
	unsigned asked = door->asked;
	client_connect(&c, kit->port);
	REQUIRE(client_send_text(&c, head) && client_send_text(&c, first));
	for (int i = 0; i < 1000 && door->asked == asked; i++)
		usleep(10000);
	CHECK_INT(door->asked, asked + 1);
	usleep(20000); // the body's beginning has arrived
	door->closed = true;
	CHECK_INT(client_ask(&c, rest, &a), 401);
	client_consume(&c, a.bytes);
	CHECK_INT(door->asked, asked + 2);
	CHECK_INT(kit->handled, 0);
	door->closed = false;
	CHECK_INT(client_ask(&c, AS_ANNA("GET", "/"), &a), 200); // the connection is in order
	client_close(&c);
	kit->handled = 0;
}

TEST(guard_is_asked_again_after_a_body_that_was_waited_for)
{
	struct kit kit;
	struct door door;
	struct client c;
	struct answer a;
	open_door(&kit, &door);
	send_late_body(&kit, &door, "POST /length HTTP/1.1\r\nHost: t\r\nX-Who: anna\r\nContent-Length: 3\r\n\r\n", "a",
		       "bc");
	send_late_body(&kit, &door,
		       "POST /length HTTP/1.1\r\nHost: t\r\nX-Who: anna\r\nTransfer-Encoding: chunked\r\n\r\n",
		       "3\r\nab", "c\r\n0\r\n\r\n");
	client_connect(&c, kit.port);
	REQUIRE(client_send_text(&c, "POST /length HTTP/1.1\r\nHost: t\r\nX-Who: anna\r\nContent-Length: 3\r\n\r\n"));
	usleep(50000);
	CHECK_INT(client_ask(&c, "abc", &a), 200); // who may still come is let through
	CHECK_SLICE(a.body, "3");
	client_close(&c);
	kit_stop(&kit);
}

TEST(guard_answers_handlers)
{
	struct kit kit;
	struct door door;
	struct client c;
	struct answer a;
	open_door(&kit, &door);
	client_connect(&c, kit.port);
	CHECK_INT(client_ask(&c, AS_ANNA("GET", "/object?name=apple"), &a), 200);
	CHECK_SLICE(a.body, "anna");
	client_consume(&c, a.bytes);
	CHECK_INT(door.refused, 0);
	CHECK_INT(client_ask(&c, AS_ANNA("GET", "/object?name=pear"), &a), 403);
	CHECK(memmem(a.body.p, a.body.n, "no permission 'use' for 'pear'", 30) != NULL);
	client_consume(&c, a.bytes);
	CHECK_INT(door.refused, 1);
	client_close(&c);
	kit_stop(&kit);
	kit_start(&kit, NULL); // without a guard everyone may do everything
	client_connect(&c, kit.port);
	CHECK_INT(client_ask(&c, GET("/object?name=pear"), &a), 200);
	client_close(&c);
	kit_stop(&kit);
}
