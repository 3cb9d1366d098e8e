// SPDX-License-Identifier: Apache-2.0
// Answers that come later or in pieces, and clients that leave at every stage.
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/server_test_kit.h"

TEST(async_answers_keep_their_order)
{
	struct kit kit;
	struct client c;
	struct answer a;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	client_send_text(&c, GET("/") GET("/later") GET("/") GET("/later"));
	REQUIRE(client_answer(&c, &a)); // sent before the next one is ready
	CHECK_SLICE(a.body, "hello\n");
	client_consume(&c, a.bytes);
	REQUIRE(KIT_WAIT(kit.waiting == 1));
	CHECK_INT(kit.handled, 2); // one at a time
	kit_answer(&kit, 100000);
	REQUIRE(client_answer(&c, &a));
	CHECK_INT(a.body.n, 100000);
	client_consume(&c, a.bytes);
	REQUIRE(client_answer(&c, &a));
	CHECK_SLICE(a.body, "hello\n");
	client_consume(&c, a.bytes);
	REQUIRE(KIT_WAIT(kit.waiting == 1));
	kit_answer(&kit, 0);
	REQUIRE(client_answer(&c, &a));
	CHECK_INT(a.status, 200);
	client_close(&c);
	kit_stop(&kit);
}

TEST(async_client_that_shut_its_side_gets_the_answer)
{
	struct kit kit;
	struct client c;
	struct answer a;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	client_send_text(&c, GET("/later") GET("/"));
	client_finish(&c);
	REQUIRE(KIT_WAIT(kit.waiting == 1));
	kit_answer(&kit, 500000);
	REQUIRE(client_answer(&c, &a));
	CHECK_INT(a.body.n, 500000);
	client_consume(&c, a.bytes);
	REQUIRE(client_answer(&c, &a));
	CHECK_SLICE(a.body, "hello\n");
	client_consume(&c, a.bytes);
	CHECK(client_read_to_end(&c));
	CHECK_INT(c.in.n, 0);
	client_close(&c);
	kit_stop(&kit);
}

// The exchange outlives its connection until it is answered.
TEST(async_client_that_leaves_is_answered_into_the_void)
{
	struct kit kit;
	struct client c;
	kit_start(&kit, NULL);
	for (int i = 0; i < 20; i++) {
		client_connect(&c, kit.port);
		client_send_text(&c, GET("/later") GET("/later"));
		REQUIRE(KIT_WAIT(kit.waiting == 1));
		client_reset(&c);
		REQUIRE(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
		CHECK_INT(kit.waiting, 1);
		kit_answer(&kit, (size_t)i * 1000);
		CHECK_INT(kit.waiting, 0);
	}
	CHECK_INT(kit.handled, 20);
	// The same while the server ends.
	client_connect(&c, kit.port);
	client_send_text(&c, GET("/later"));
	REQUIRE(KIT_WAIT(kit.waiting == 1));
	client_reset(&c);
	REQUIRE(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	client_connect(&c, kit.port);
	client_send_text(&c, GET("/later"));
	REQUIRE(KIT_WAIT(kit.waiting == 2));
	kit_stop(&kit);
	client_close(&c);
}

TEST(async_clients_leave_at_every_byte)
{
	static const char *const requests[] = {
		GET("/big?n=200000"),
		"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 20\r\n\r\n01234567890123456789",
		"POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: "
		"chunked\r\n\r\n5\r\nabcde\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n",
		GET("/stream?n=300000"),
	};
	struct kit kit;
	kit_start(&kit, &(struct kit_options){.loops = 2, .quiet = true});
	for (size_t i = 0; i < MS_ARRAY_LEN(requests); i++) {
		for (size_t n = 0; n <= strlen(requests[i]); n++) {
			struct client c;
			client_connect(&c, kit.port);
			client_send(&c, requests[i], n);
			if (n % 3 == 0)
				client_reset(&c);
			else
				client_close(&c);
		}
	}
	CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	CHECK_INT(kit_ask(&kit, GET("/"), NULL, 0), 200);
	kit_stop(&kit);
}

static bool is_pattern(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != (char)('a' + i % 26))
			return false;
	}
	return true;
}

TEST(stream_arrives_whole)
{
	static const unsigned sizes[] = {0, 1, 4096, 70000, 20000000};
	struct kit kit;
	struct client c;
	struct answer a;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++) {
		char request[100];
		snprintf(request, sizeof(request), "GET /stream?n=%u HTTP/1.1\r\nHost: t\r\n\r\n", sizes[i]);
		CHECK_INT(client_ask(&c, request, &a), 200);
		CHECK_SLICE(answer_header(&a, "Transfer-Encoding"), "chunked");
		CHECK_INT(a.body.n, sizes[i]);
		CHECK(is_pattern(a.body));
		client_consume(&c, a.bytes);
	}
	client_close(&c);
	kit_stop(&kit);
}

// What a stream produces ahead of its reader is bounded by the sockets' buffers and 64 KiB of ours.
TEST(stream_waits_for_its_reader)
{
	struct kit kit;
	struct client c;
	kit_start(&kit, NULL);
	client_connect(&c, kit.port);
	client_send_text(&c, GET("/stream?n=200000000"));
	REQUIRE(KIT_WAIT(kit.streamed > 0));
	unsigned long long before;
	int queued_before, queued;
	do { // until nothing moves any more: the producer stands and the receive queue is full
		before = kit.streamed;
		ioctl(c.fd, FIONREAD, &queued_before);
		for (int i = 0; i < 50; i++)
			kit_yield();
		ioctl(c.fd, FIONREAD, &queued);
	} while (kit.streamed != before || queued != queued_before);
	CHECK(kit.streamed < 50000000);
	CHECK_INT(kit.streams_gone, 0);
	size_t total = 0;
	while (total < 200000000 && client_read(&c)) { // it goes on as soon as there is room
		total += c.in.n;
		client_consume(&c, c.in.n);
	}
	CHECK(total >= 200000000);
	client_close(&c);
	kit_stop(&kit);
}

TEST(stream_learns_that_its_reader_left)
{
	struct kit kit;
	struct client c;
	kit_start(&kit, NULL);
	for (unsigned i = 1; i <= 10; i++) {
		client_connect(&c, kit.port);
		client_send_text(&c, GET("/stream?n=1000000000"));
		REQUIRE(client_read(&c));
		client_reset(&c);
		CHECK(KIT_WAIT(kit.streams_gone == i));
	}
	CHECK(KIT_WAIT(kit_metric(&kit, "active_connections") == 0));
	kit_stop(&kit);
}
