// SPDX-License-Identifier: Apache-2.0
// Requests of the upstream client as they stand on the wire, and what it refuses to send.
#include "net/client_test_kit.h"

#include <stdio.h>

#define HEAD_END "\r\n\r\n"
#define OK_2 "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define H(n, v)                                  \
	{                                        \
		MS_SLICE_LIT(n), MS_SLICE_LIT(v) \
	}

TEST(client_frames_requests_itself)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT}, {STEP_READ, HEAD_END, 0}, {STEP_SEND, OK_2, 0}, {STEP_READ, "0\r\n\r\n", 0},
		{STEP_SEND, OK_2, 0},  {STEP_READ, "12345", 0},  {STEP_SEND, OK_2, 0}, {STEP_READ, HEAD_END, 0},
		{STEP_SEND, OK_2, 0},  {.kind = STEP_DRAIN},     {.kind = STEP_END},
	};
	static const struct http_header headers[] = {
		H("Host", "other"),
		H("Connection", "X-Hop, close"),
		H("X-Hop", "1"),
		H("Content-Length", "77"),
		H("Transfer-Encoding", "chunked"),
		H("TE", "gzip, trailers"),
		H("Upgrade", "h2c"),
		H("Keep-Alive", "5"),
		H("Trailer", "X"),
		H("Proxy-Authorization", "secret"),
		H("X-Stays", "a b"),
		H("connection", "x-second"),
		H("X-Second", "2"),
		H("Empty", ""),
	};
	struct caller_kit kit;
	struct peer peer;
	struct record r[4] = {0};
	caller_start(&kit, &(struct http_client_options){.user_agent = "unit"});
	peer_start(&peer, steps);
	struct http_origin *origin = caller_origin(&kit, peer.port);
	struct http_call_options o = caller_options(origin);
	o.target = MS_SLICE_LIT("/a?b=c%20d");
	o.authority = MS_SLICE_LIT("up.example:81");
	o.headers = headers;
	o.header_count = MS_ARRAY_LEN(headers);
	caller_call(&kit, &r[0], &o, NULL);
	o.header_count = 0;
	o.method = MS_SLICE_LIT("PATCH");
	o.has_body = true;
	caller_call(&kit, &r[1], &o, "hello");
	o.content_length = 5;
	caller_call(&kit, &r[2], &o, "12345");
	o.has_body = false;
	o.method = MS_SLICE_LIT("POST");
	o.new_connection = false;
	caller_call(&kit, &r[3], &o, NULL);
	for (size_t i = 0; i < MS_ARRAY_LEN(r); i++) {
		CHECK(r[i].ended);
		CHECK_STR(r[i].message, "");
		CHECK((r[i].connect_ns > 0) == (i == 0)); // one connection for all
		char address[40];
		snprintf(address, sizeof(address), "127.0.0.1:%u", peer.port);
		CHECK_STR(r[i].address, address);
		caller_forget(&r[i]);
	}
	ms_http_origin_unref(origin);
	CHECK_INT(caller_metric(&kit, "mainstay_upstream_connects_total"), 1);
	caller_stop(&kit);
	CHECK_SLICE(
		ms_buf_slice(&peer.got),
		"GET /a?b=c%20d HTTP/1.1\r\nHost: up.example:81\r\nX-Stays: a b\r\nEmpty: \r\nUser-Agent: unit\r\n"
		"Connection: TE\r\nTE: trailers\r\n\r\n"
		"PATCH /a?b=c%20d HTTP/1.1\r\nHost: up.example:81\r\nUser-Agent: unit\r\nTransfer-Encoding: "
		"chunked\r\n\r\n"
		"5\r\nhello\r\n0\r\n\r\n"
		"PATCH /a?b=c%20d HTTP/1.1\r\nHost: up.example:81\r\nUser-Agent: unit\r\nContent-Length: 5\r\n\r\n12345"
		"POST /a?b=c%20d HTTP/1.1\r\nHost: up.example:81\r\nUser-Agent: unit\r\nContent-Length: 0\r\n\r\n");
	peer_stop(&peer);
}

TEST(client_refuses_what_cannot_be_sent)
{
	static const struct http_header bad_headers[] = {
		{MS_SLICE_LIT("A"), MS_SLICE_LIT("b\r\nC: d")}, {MS_SLICE_LIT("A"), MS_SLICE_LIT("b\nc")},
		{MS_SLICE_LIT("A"), MS_SLICE_LIT("b\0c")},      {MS_SLICE_LIT("A b"), MS_SLICE_LIT("c")},
		{MS_SLICE_LIT("A:"), MS_SLICE_LIT("c")},        {MS_SLICE_LIT(""), MS_SLICE_LIT("c")},
		{MS_SLICE_LIT(":path"), MS_SLICE_LIT("/")},     {MS_SLICE_LIT("A\r\nB"), MS_SLICE_LIT("c")},
	};
	static const struct {
		struct slice method, target, authority, protocol;
	} bad[] = {
		{MS_SLICE_LIT("GET /x"), MS_SLICE_LIT("/"), MS_SLICE_LIT("a"), MS_SLICE_EMPTY},
		{MS_SLICE_LIT(""), MS_SLICE_LIT("/"), MS_SLICE_LIT("a"), MS_SLICE_EMPTY},
		{MS_SLICE_LIT("CONNECT"), MS_SLICE_LIT("/"), MS_SLICE_LIT("a"), MS_SLICE_EMPTY},
		{MS_SLICE_LIT("GET"), MS_SLICE_LIT(""), MS_SLICE_LIT("a"), MS_SLICE_EMPTY},
		{MS_SLICE_LIT("GET"), MS_SLICE_LIT("x"), MS_SLICE_LIT("a"), MS_SLICE_EMPTY},
		{MS_SLICE_LIT("GET"), MS_SLICE_LIT("/a b"), MS_SLICE_LIT("a"), MS_SLICE_EMPTY},
		{MS_SLICE_LIT("GET"), MS_SLICE_LIT("/a\r\nX: y"), MS_SLICE_LIT("a"), MS_SLICE_EMPTY},
		{MS_SLICE_LIT("GET"), MS_SLICE_LIT("/a#b"), MS_SLICE_LIT("a"), MS_SLICE_EMPTY},
		{MS_SLICE_LIT("GET"), MS_SLICE_LIT("/"), MS_SLICE_LIT(""), MS_SLICE_EMPTY},
		{MS_SLICE_LIT("GET"), MS_SLICE_LIT("/"), MS_SLICE_LIT("a\r\nb"), MS_SLICE_EMPTY},
		{MS_SLICE_LIT("GET"), MS_SLICE_LIT("/"), MS_SLICE_LIT("a b"), MS_SLICE_EMPTY},
		{MS_SLICE_LIT("GET"), MS_SLICE_LIT("/"), MS_SLICE_LIT("a"), MS_SLICE_LIT("a, b")},
	};
	struct caller_kit kit;
	struct errinfo info;
	struct http_call *call;
	caller_start(&kit, NULL);
	struct http_origin *origin = caller_origin(&kit, 1);
	struct http_call_options o = caller_options(origin);
	o.loop = ms_rt_loop(kit.rt, 0);
	for (size_t i = 0; i < MS_ARRAY_LEN(bad_headers); i++) {
		o.headers = &bad_headers[i];
		o.header_count = 1;
		CHECK_INT(ms_http_call_start(kit.client, &o, &info, &call), MS_ERR_INVALID);
	}
	o.header_count = 0;
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		o.method = bad[i].method;
		o.target = bad[i].target;
		o.authority = bad[i].authority;
		o.protocol = bad[i].protocol;
		if (!CHECK_INT(ms_http_call_start(kit.client, &o, &info, &call), MS_ERR_INVALID))
			printf("# case %zu\n", i);
	}
	ms_http_origin_unref(origin);
	caller_stop(&kit);
}

TEST(client_knows_origins_by_content)
{
	struct caller_kit kit;
	struct errinfo info;
	struct http_origin *a, *b, *c;
	caller_start(&kit, NULL);
	struct http_origin_options o = {.host = MS_SLICE_LIT("a"), .port = 80};
	CHECK_OK(ms_http_origin_new(kit.client, &o, &info, &a));
	CHECK_OK(ms_http_origin_new(kit.client, &o, &info, &b));
	o.port = 81;
	CHECK_OK(ms_http_origin_new(kit.client, &o, &info, &c));
	CHECK(a == b && a != c);
	ms_http_origin_unref(a);
	ms_http_origin_unref(b);
	ms_http_origin_unref(c);
	ms_http_origin_unref(NULL);
	static const struct {
		const char *host;
		unsigned port;
	} bad[] = {{"", 80},      {"a b", 80}, {"a/b", 80},  {"a:b", 80},
		   {"[::1]", 80}, {"a", 0},    {"a", 65536}, {"a\r\nb", 80}};
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		o = (struct http_origin_options){.host = ms_slice_cstr(bad[i].host), .port = bad[i].port};
		if (!CHECK_INT(ms_http_origin_new(kit.client, &o, &info, &a), MS_ERR_INVALID))
			printf("# case %zu\n", i);
	}
	o = (struct http_origin_options){.host = MS_SLICE_LIT("::1"), .port = 80};
	CHECK_OK(ms_http_origin_new(kit.client, &o, &info, &a));
	ms_http_origin_unref(a);
	caller_stop(&kit);
}
