// SPDX-License-Identifier: Apache-2.0
// Two sessions wired to each other, and a client's session against frames written by hand. The rules for servers are conformance_test.c.
#include <stdio.h>

#include "net/http2/session_test_kit.h"

static const size_t steps[] = {SIZE_MAX, 1, 7, 1000};

struct pair {
	struct kit client, server;
	size_t to_server, to_client; // of what each has said
};

static void pair_init(struct pair *p, const struct h2_limits *client, const struct h2_limits *server, size_t step)
{
	*p = (struct pair){0};
	kit_init(&p->client, H2_CLIENT, client, step);
	kit_init(&p->server, H2_SERVER, server, step);
	REQUIRE(p->client.s != NULL && p->server.s != NULL);
}

static void pair_fini(struct pair *p)
{
	kit_fini(&p->client);
	kit_fini(&p->server);
}

// Until neither has anything to say.
static void pair_run(struct pair *p)
{
	bool moved;
	do {
		kit_flush(&p->client);
		kit_flush(&p->server);
		struct slice to_server = ms_slice_sub(ms_buf_slice(&p->client.out), p->to_server, SIZE_MAX);
		struct slice to_client = ms_slice_sub(ms_buf_slice(&p->server.out), p->to_client, SIZE_MAX);
		p->to_server += to_server.n;
		p->to_client += to_client.n;
		kit_feed(&p->server, to_server);
		kit_feed(&p->client, to_client);
		moved = to_server.n + to_client.n > 0;
	} while (moved);
}

static struct h2_stream *ask(struct kit *k, const char *method, bool end, const struct http_header *headers,
			     size_t count)
{
	struct h2_stream *stream = NULL;
	const struct h2_message message = {
		.method = ms_slice_cstr(method),
		.scheme = MS_SLICE_LIT("http"),
		.authority = MS_SLICE_LIT("a.test"),
		.path = MS_SLICE_LIT("/x?y"),
		.headers = headers,
		.header_count = count,
		.end = end,
	};
	REQUIRE(ms_h2_request(k->s, &message, NULL, &stream) == MS_OK);
	return stream;
}

static void check_log(struct kit *k, const char *want)
{
	CHECK_SLICE(ms_buf_slice(&k->log), want);
	ms_buf_clear(&k->log);
}

// --- Messages ----------------------------------------------------------------------------------------

TEST(http2_request_and_answer)
{
	const struct http_header headers[] = {
		{MS_SLICE_LIT("X-Upper"), MS_SLICE_LIT("1")},
		{MS_SLICE_LIT("Connection"), MS_SLICE_LIT("close")},
		{MS_SLICE_LIT("Cookie"), MS_SLICE_LIT("a=1")},
		{MS_SLICE_LIT("Transfer-Encoding"), MS_SLICE_LIT("chunked")},
		{MS_SLICE_LIT("TE"), MS_SLICE_LIT("trailers")},
		{MS_SLICE_LIT("TE"), MS_SLICE_LIT("gzip")},
		{MS_SLICE_LIT("Cookie"), MS_SLICE_LIT("b=2")},
		{MS_SLICE_LIT("Host"), MS_SLICE_LIT("other")},
		{MS_SLICE_LIT(":path"), MS_SLICE_LIT("/smuggled")},
		{MS_SLICE_LIT("x-empty"), MS_SLICE_EMPTY},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(steps); i++) {
		struct pair p;
		pair_init(&p, NULL, NULL, steps[i]);
		struct h2_stream *stream = ask(&p.client, "GET", true, headers, MS_ARRAY_LEN(headers));
		CHECK_INT(ms_h2_stream_id(stream), 1);
		pair_run(&p);
		check_log(&p.server, "settings\nhead 1 GET a.test /x?y x-upper=1 te=trailers x-empty= cookie=a=1; b=2 "
				     ".\nend 1\nclosed 1 NO_ERROR\n");
		check_log(&p.client, "settings\nhead 1 200 length=10 content-length=10\ndata 1 ten bytes.\nend "
				     "1\nclosed 1 NO_ERROR\n");
		CHECK_INT(ms_h2_stream_count(p.client.s) + ms_h2_stream_count(p.server.s), 0);
		pair_fini(&p);
	}
}

TEST(http2_head_has_no_body)
{
	struct pair p;
	pair_init(&p, NULL, NULL, SIZE_MAX);
	(void)ask(&p.client, "HEAD", true, NULL, 0);
	pair_run(&p);
	check_log(&p.client, "settings\nhead 1 200 length=10 content-length=10 .\nend 1\nclosed 1 NO_ERROR\n");
	pair_fini(&p);
}

TEST(http2_interim_heads_trailers_and_cookies)
{
	const struct http_header trailers[] = {{MS_SLICE_LIT("X-Sum"), MS_SLICE_LIT("7")},
					       {MS_SLICE_LIT("Connection"), MS_SLICE_LIT("x")}};
	const struct http_header dropped[] = {{MS_SLICE_LIT("Upgrade"), MS_SLICE_LIT("x")}};
	struct pair p;
	pair_init(&p, NULL, NULL, SIZE_MAX);
	p.server.silent = true;
	struct h2_stream *stream = ask(&p.client, "POST", false, NULL, 0);
	ms_h2_send_data(p.client.s, stream, MS_SLICE_LIT("abc"));
	ms_h2_send_end(p.client.s, stream, trailers, 2);
	pair_run(&p);
	check_log(&p.server, "settings\nhead 1 POST a.test /x?y\ndata 1 abc\nend 1 x-sum=7\n");
	struct h2_stream *in = p.server.stream;
	ms_h2_respond(p.server.s, in, &(struct h2_message){.status = 100});
	ms_h2_respond(p.server.s, in, &(struct h2_message){.status = 103});
	ms_h2_respond(p.server.s, in, &(struct h2_message){.status = 200});
	ms_h2_send_data(p.server.s, in, MS_SLICE_LIT("x"));
	pair_run(&p);
	ms_h2_send_end(p.server.s, in, dropped, 1); // nothing of it may be sent: the data end the stream
	pair_run(&p);
	check_log(&p.client, "settings\nhead 1 100\nhead 1 103\nhead 1 200\ndata 1 x\nend 1\nclosed 1 NO_ERROR\n");
	check_log(&p.server, "closed 1 NO_ERROR\n");
	pair_fini(&p);
}

TEST(http2_trailers_of_an_answer)
{
	const struct http_header trailers[] = {{MS_SLICE_LIT("grpc-status"), MS_SLICE_LIT("0")}};
	struct pair p;
	pair_init(&p, NULL, NULL, SIZE_MAX);
	p.server.silent = true;
	(void)ask(&p.client, "GET", true, NULL, 0);
	pair_run(&p);
	ms_h2_respond(p.server.s, p.server.stream, &(struct h2_message){.status = 200});
	ms_h2_send_end(p.server.s, p.server.stream, trailers, 1);
	pair_run(&p);
	check_log(&p.client, "settings\nhead 1 200\nend 1 grpc-status=0\nclosed 1 NO_ERROR\n");
	pair_fini(&p);
}

// The answer is complete before the request: some of the rest is taken and dropped, much of it is not wanted.
TEST(http2_early_answer_stops_the_request)
{
	static char big[200000];
	struct pair p;
	pair_init(&p, NULL, NULL, SIZE_MAX);
	p.server.silent = true;
	for (int i = 0; i < 2; i++) {
		struct h2_stream *stream = ask(&p.client, "POST", false, NULL, 0);
		ms_h2_send_data(p.client.s, stream, MS_SLICE_LIT("abc"));
		pair_run(&p);
		ms_h2_respond(p.server.s, p.server.stream, &(struct h2_message){.status = 413, .end = true});
		pair_run(&p);
		ms_h2_send_data(p.client.s, stream, ms_slice(big, i == 0 ? 50000 : sizeof(big)));
		if (i == 0)
			ms_h2_send_end(p.client.s, stream, NULL, 0);
		pair_run(&p);
	}
	CHECK_INT(kit_count(&p.server, F_RST), 1);
	check_log(&p.client,
		  "settings\nhead 1 413 .\nend 1\nclosed 1 NO_ERROR\nhead 3 413 .\nend 3\nclosed 3 NO_ERROR\n");
	check_log(&p.server, "settings\nhead 1 POST a.test /x?y\ndata 1 abc\nend 1\nclosed 1 NO_ERROR\n"
			     "head 3 POST a.test /x?y\ndata 3 abc\nclosed 3 NO_ERROR\n");
	pair_fini(&p);
}

// --- Flow control ------------------------------------------------------------------------------------

#define BIG ((size_t)300 << 10)

TEST(http2_large_body_and_drained)
{
	static char big[BIG];
	struct pair p;
	memset(big, 'b', sizeof(big));
	pair_init(&p, NULL, NULL, SIZE_MAX);
	struct h2_stream *stream = ask(&p.client, "POST", false, NULL, 0);
	CHECK_INT(ms_h2_send_data(p.client.s, stream, ms_slice(big, BIG)), BIG);
	ms_h2_send_end(p.client.s, stream, NULL, 0);
	pair_run(&p);
	CHECK_HAS(p.client.log.p, MS_SLICE_LIT("drained 1\n").p);
	CHECK_HAS(p.client.log.p, "head 1 200");
	CHECK_INT(kit_count(&p.server, F_RST), 0);
	pair_fini(&p);
}

// A paused stream takes no more than its window, others go on; what was kept comes in order, the end last.
TEST(http2_pause_and_resume)
{
	static char big[BIG];
	const struct h2_limits limits = {.stream_window = 20000};
	struct pair p;
	memset(big, 'b', sizeof(big));
	pair_init(&p, NULL, &limits, SIZE_MAX);
	p.server.silent = true;
	struct h2_stream *stream = ask(&p.client, "POST", false, NULL, 0);
	pair_run(&p);
	struct h2_stream *in = p.server.stream;
	ms_h2_pause(p.server.s, in);
	check_log(&p.server, "settings\nhead 1 POST a.test /x?y\n");
	ms_h2_send_data(p.client.s, stream, ms_slice(big, 30000));
	ms_h2_send_end(p.client.s, stream, NULL, 0);
	pair_run(&p);
	CHECK_INT(p.server.log.n, 0);
	CHECK_INT(ms_h2_sent(stream), 20000);
	CHECK(!ms_h2_sent_all(stream));
	CHECK_INT(ms_h2_waiting(stream), 10000);
	p.server.silent = false;
	(void)ask(&p.client, "GET", true, NULL, 0);
	pair_run(&p);
	CHECK_HAS(p.server.log.p, "closed 3 NO_ERROR");
	ms_buf_clear(&p.server.log);
	ms_h2_resume(p.server.s, in);
	pair_run(&p);
	CHECK(ms_slice_starts_with(ms_buf_slice(&p.server.log), MS_SLICE_LIT("data 1 bbb")));
	CHECK(ms_slice_ends_with(ms_buf_slice(&p.server.log), MS_SLICE_LIT("end 1\nclosed 1 NO_ERROR\n")));
	pair_fini(&p);
}

// The peer has said everything and its stream is closed; the owner reads later.
TEST(http2_paused_to_the_end)
{
	struct pair p;
	pair_init(&p, NULL, NULL, SIZE_MAX);
	struct h2_stream *stream = ask(&p.client, "GET", true, NULL, 0);
	ms_h2_pause(p.client.s, stream);
	pair_run(&p);
	check_log(&p.client, "settings\nhead 1 200 length=10 content-length=10\n");
	CHECK(ms_h2_received_all(stream));
	CHECK_INT(ms_h2_stream_count(p.client.s), 1);
	ms_h2_resume(p.client.s, stream);
	check_log(&p.client, "data 1 ten bytes.\nend 1\nclosed 1 NO_ERROR\n");
	// Likewise, but it is not wanted any more.
	stream = ask(&p.client, "GET", true, NULL, 0);
	ms_h2_pause(p.client.s, stream);
	pair_run(&p);
	ms_buf_clear(&p.client.log);
	ms_h2_reset(p.client.s, stream, H2_CANCEL);
	CHECK(ms_h2_wants_output(p.client.s));
	pair_run(&p);
	check_log(&p.client, "closed 3 CANCEL\n");
	pair_fini(&p);
}

TEST(http2_small_windows)
{
	const struct h2_limits limits = {.stream_window = 3};
	for (size_t i = 0; i < MS_ARRAY_LEN(steps); i++) {
		struct pair p;
		pair_init(&p, &limits, NULL, steps[i]);
		(void)ask(&p.client, "GET", true, NULL, 0);
		pair_run(&p);
		check_log(&p.client, "settings\nhead 1 200 length=10 content-length=10\ndata 1 ten bytes.\nend "
				     "1\nclosed 1 NO_ERROR\n");
		pair_fini(&p);
	}
}

// --- Ends --------------------------------------------------------------------------------------------

TEST(http2_reset_by_either)
{
	struct pair p;
	pair_init(&p, NULL, NULL, SIZE_MAX);
	p.server.silent = true;
	struct h2_stream *stream = ask(&p.client, "POST", false, NULL, 0);
	pair_run(&p);
	ms_h2_reset(p.client.s, stream, H2_CANCEL);
	CHECK_INT(ms_h2_send_data(p.client.s, stream, MS_SLICE_LIT("late")), 0);
	pair_run(&p);
	check_log(&p.client, "settings\nclosed 1 CANCEL\n");
	check_log(&p.server, "settings\nhead 1 POST a.test /x?y\nclosed 1 CANCEL\n");
	(void)ask(&p.client, "POST", false, NULL, 0);
	pair_run(&p);
	ms_h2_reset(p.server.s, p.server.stream, H2_REFUSED_STREAM);
	pair_run(&p);
	check_log(&p.client, "closed 3 REFUSED_STREAM\n");
	pair_fini(&p);
}

TEST(http2_drain)
{
	struct pair p;
	pair_init(&p, NULL, NULL, SIZE_MAX);
	p.server.silent = true;
	(void)ask(&p.client, "GET", true, NULL, 0);
	pair_run(&p);
	struct h2_stream *in = p.server.stream;
	ms_h2_drain(p.server.s);
	// Under way before the client knows.
	struct h2_stream *late = ask(&p.client, "POST", false, NULL, 0);
	pair_run(&p);
	CHECK_INT(kit_count(&p.server, F_GOAWAY), 2);
	CHECK_HAS(p.client.log.p, "goaway NO_ERROR");
	CHECK_INT(ms_h2_room(p.client.s), 0);
	CHECK(ms_h2_draining(p.client.s) && ms_h2_draining(p.server.s) && !ms_h2_over(p.server.s));
	ms_h2_respond(p.server.s, in, &(struct h2_message){.status = 204, .end = true});
	ms_h2_respond(p.server.s, p.server.stream, &(struct h2_message){.status = 204, .end = true});
	pair_run(&p);
	ms_h2_send_end(p.client.s, late, NULL, 0);
	pair_run(&p);
	CHECK_HAS(p.client.log.p, "head 1 204");
	CHECK_HAS(p.client.log.p, "head 3 204");
	CHECK(ms_h2_over(p.server.s) && ms_h2_over(p.client.s));
	CHECK_OK(ms_h2_why(p.server.s, NULL));
	pair_fini(&p);
}

TEST(http2_free_closes_streams)
{
	struct kit client;
	struct pair p;
	pair_init(&p, NULL, NULL, SIZE_MAX);
	(void)ask(&p.client, "POST", false, NULL, 0);
	pair_run(&p);
	ms_buf_clear(&p.client.log);
	ms_h2_free(p.client.s);
	p.client.s = NULL;
	check_log(&p.client, "closed 1 CANCEL\n");
	pair_fini(&p);
	// Before a single byte was exchanged.
	kit_init(&client, H2_CLIENT, NULL, 1);
	(void)ask(&client, "GET", true, NULL, 0);
	kit_fini(&client);
}

TEST(http2_room)
{
	const struct h2_limits limits = {.streams = 2};
	struct pair p;
	pair_init(&p, NULL, &limits, SIZE_MAX);
	p.server.silent = true;
	CHECK_INT(ms_h2_room(p.client.s), 100);
	pair_run(&p);
	CHECK_INT(ms_h2_room(p.client.s), 2);
	(void)ask(&p.client, "GET", true, NULL, 0);
	(void)ask(&p.client, "GET", true, NULL, 0);
	struct h2_stream *third;
	CHECK_INT(ms_h2_request(p.client.s, &(struct h2_message){.method = MS_SLICE_LIT("GET"), .end = true}, NULL,
				&third),
		  MS_ERR_BUSY);
	pair_fini(&p);
}

// A request that the peer's GOAWAY kept from being processed may be sent again.
TEST(http2_goaway_refuses)
{
	struct kit k;
	struct buf in;
	ms_buf_init(&in, 1000);
	kit_init(&k, H2_CLIENT, NULL, SIZE_MAX);
	(void)ask(&k, "GET", true, NULL, 0);
	(void)ask(&k, "GET", true, NULL, 0);
	kit_flush(&k);
	kit_frame(&in, F_SETTINGS, 0, 0, MS_SLICE_EMPTY);
	kit_frame(&in, F_GOAWAY, 0, 0, ms_slice("\0\0\0\1\0\0\0\0", 8));
	kit_feed(&k, ms_buf_slice(&in));
	check_log(&k, "settings\ngoaway NO_ERROR\nclosed 3 REFUSED_STREAM\n");
	kit_fini(&k);
	ms_buf_fini(&in);
}

// --- What a client does not take ---------------------------------------------------------------------

static void field_of(struct buf *b, const char *name, const char *value)
{
	kit_field(b, ms_slice_cstr(name), ms_slice_cstr(value));
}

// Feeds an answer made of fields "name\0value\0…" and some data; gives the log.
static void check_answer(const char *const *fields, size_t data_bytes, bool end, const char *want)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(steps); i++) {
		struct kit k;
		struct buf in, block;
		ms_buf_init(&in, 10000);
		ms_buf_init(&block, 10000);
		kit_init(&k, H2_CLIENT, NULL, steps[i]);
		(void)ask(&k, "GET", true, NULL, 0);
		kit_flush(&k);
		kit_frame(&in, F_SETTINGS, 0, 0, MS_SLICE_EMPTY);
		for (size_t f = 0; fields[f] != NULL; f += 2)
			field_of(&block, fields[f], fields[f + 1]);
		kit_frame(&in, F_HEADERS, F_END_HEADERS | (end ? F_END_STREAM : 0), 1, ms_buf_slice(&block));
		if (!end)
			kit_frame(&in, F_DATA, F_END_STREAM, 1, ms_slice("0123456789", data_bytes));
		kit_feed(&k, ms_buf_slice(&in));
		check_log(&k, want);
		kit_fini(&k);
		ms_buf_fini(&in);
		ms_buf_fini(&block);
	}
}

TEST(http2_client_checks_answers)
{
	static const char malformed[] = "settings\nclosed 1 PROTOCOL_ERROR\n";
	check_answer((const char *[]){":status", "200", NULL}, 3, false,
		     "settings\nhead 1 200\ndata 1 012\nend 1\nclosed 1 NO_ERROR\n");
	check_answer((const char *[]){":status", "101", NULL}, 0, true, malformed);
	check_answer((const char *[]){":status", "099", NULL}, 0, true, malformed);
	check_answer((const char *[]){":status", "2000", NULL}, 0, true, malformed);
	check_answer((const char *[]){":status", "600", NULL}, 0, true, malformed);
	check_answer((const char *[]){"x-a", "1", NULL}, 0, true, malformed);
	check_answer((const char *[]){":status", "200", ":status", "200", NULL}, 0, true, malformed);
	check_answer((const char *[]){":status", "200", ":path", "/", NULL}, 0, true, malformed);
	check_answer((const char *[]){":status", "200", "Connection", "close", NULL}, 0, true, malformed);
	check_answer((const char *[]){":status", "200", "transfer-encoding", "chunked", NULL}, 0, true, malformed);
	check_answer((const char *[]){":status", "200", "x-a", "b\r\nc: d", NULL}, 0, true, malformed);
	check_answer((const char *[]){":status", "200", "content-length", "1", NULL}, 0, true, malformed);
	check_answer((const char *[]){":status", "200", "content-length", "1", "content-length", "1", NULL}, 1, false,
		     malformed);
	check_answer((const char *[]){":status", "100", NULL}, 0, true, malformed);
	check_answer((const char *[]){":status", "200", "content-length", "3", NULL}, 2, false,
		     "settings\nhead 1 200 length=3 content-length=3\ndata 1 01\nclosed 1 PROTOCOL_ERROR\n");
	check_answer((const char *[]){":status", "204", NULL}, 0, true,
		     "settings\nhead 1 204 .\nend 1\nclosed 1 NO_ERROR\n");
}

TEST(http2_client_takes_no_pushed_streams)
{
	struct kit k;
	struct buf in, block;
	ms_buf_init(&in, 1000);
	ms_buf_init(&block, 1000);
	kit_init(&k, H2_CLIENT, NULL, SIZE_MAX);
	(void)ask(&k, "GET", true, NULL, 0);
	kit_flush(&k);
	kit_frame(&in, F_SETTINGS, 0, 0, MS_SLICE_EMPTY);
	kit_frame(&in, F_SETTINGS, F_ACK, 0, MS_SLICE_EMPTY);
	kit_u32(&block, 2);
	kit_request(&block, "GET", "/");
	kit_frame(&in, F_PUSH, F_END_HEADERS, 1, ms_buf_slice(&block));
	kit_feed(&k, ms_buf_slice(&in));
	CHECK(kit_goaway(&k, H2_PROTOCOL_ERROR) && ms_h2_over(k.s));
	CHECK_INT(ms_h2_why(k.s, NULL), MS_ERR_HTTP_SYNTAX);
	kit_fini(&k);
	ms_buf_fini(&in);
	ms_buf_fini(&block);
}

// --- Extended CONNECT --------------------------------------------------------------------------------

TEST(http2_extended_connect)
{
	struct pair p;
	struct h2_stream *stream;
	pair_init(&p, NULL, NULL, SIZE_MAX);
	CHECK(!ms_h2_peer_extended_connect(p.client.s));
	pair_run(&p);
	CHECK(ms_h2_peer_extended_connect(p.client.s));
	p.server.silent = true;
	const struct h2_message message = {
		.method = MS_SLICE_LIT("CONNECT"),
		.protocol = MS_SLICE_LIT("websocket"),
		.scheme = MS_SLICE_LIT("https"),
		.authority = MS_SLICE_LIT("a.test"),
		.path = MS_SLICE_LIT("/chat"),
	};
	REQUIRE(ms_h2_request(p.client.s, &message, NULL, &stream) == MS_OK);
	pair_run(&p);
	check_log(&p.server, "settings\nhead 1 CONNECT a.test /chat protocol=websocket\n");
	struct h2_stream *in = p.server.stream;
	ms_h2_respond(p.server.s, in, &(struct h2_message){.status = 200});
	ms_h2_send_data(p.server.s, in, MS_SLICE_LIT("hello"));
	ms_h2_send_end(p.server.s, in, NULL, 0); // one side alone
	pair_run(&p);
	check_log(&p.client, "settings\nhead 1 200\ndata 1 hello\nend 1\n");
	ms_h2_send_data(p.client.s, stream, MS_SLICE_LIT("bye"));
	ms_h2_send_end(p.client.s, stream, NULL, 0);
	pair_run(&p);
	check_log(&p.server, "data 1 bye\nend 1\nclosed 1 NO_ERROR\n");
	check_log(&p.client, "closed 1 NO_ERROR\n");
	pair_fini(&p);
}

// --- Limits ------------------------------------------------------------------------------------------

TEST(http2_head_over_the_limit)
{
	const struct h2_limits limits = {.header_bytes = 1000, .header_count = 5};
	const struct http_header many[] = {
		{MS_SLICE_LIT("a"), MS_SLICE_LIT("1")}, {MS_SLICE_LIT("b"), MS_SLICE_LIT("1")},
		{MS_SLICE_LIT("c"), MS_SLICE_LIT("1")}, {MS_SLICE_LIT("d"), MS_SLICE_LIT("1")},
		{MS_SLICE_LIT("e"), MS_SLICE_LIT("1")}, {MS_SLICE_LIT("f"), MS_SLICE_LIT("1")}};
	static char text[2000];
	struct pair p;
	memset(text, 'x', sizeof(text));
	const struct http_header large[] = {{MS_SLICE_LIT("large"), ms_slice(text, sizeof(text))}};
	pair_init(&p, NULL, &limits, SIZE_MAX);
	(void)ask(&p.client, "GET", true, many, 5);
	pair_run(&p);
	check_log(&p.server, "settings\nhead 1 GET a.test /x?y a=1 b=1 c=1 d=1 e=1 .\nend 1\nclosed 1 NO_ERROR\n");
	(void)ask(&p.client, "GET", true, many, 6);
	(void)ask(&p.client, "GET", true, large, 1);
	pair_run(&p);
	CHECK_HAS(p.server.log.p, "head 3 GET a.test /x?y too_large .");
	CHECK_HAS(p.server.log.p, "head 5 GET a.test /x?y too_large .");
	pair_fini(&p);
}

TEST(http2_glitches_are_forgiven_after_a_minute)
{
	const struct h2_limits limits = {.glitches = 10};
	struct kit k;
	struct buf in;
	ms_buf_init(&in, 10000);
	kit_init(&k, H2_SERVER, &limits, SIZE_MAX);
	kit_start(&in);
	for (int minute = 0; minute < 3; minute++) {
		for (int i = 0; i < 10; i++)
			kit_frame(&in, F_SETTINGS, 0, 0, MS_SLICE_EMPTY);
		kit_feed(&k, ms_buf_slice(&in));
		CHECK_OK(k.err);
		CHECK_INT(ms_h2_glitches(k.s), 10);
		ms_buf_clear(&in);
		k.now_ns += 60 * INT64_C(1000000000);
	}
	k.now_ns -= 1;
	kit_frame(&in, F_SETTINGS, 0, 0, MS_SLICE_EMPTY);
	kit_feed(&k, ms_buf_slice(&in));
	CHECK_INT(k.err, MS_ERR_BUSY);
	CHECK(kit_goaway(&k, H2_ENHANCE_YOUR_CALM) && ms_h2_over(k.s));
	kit_fini(&k);
	ms_buf_fini(&in);
}

// WINDOW_UPDATE and PING that our data explain are no glitches, however many.
TEST(http2_downloads_make_no_glitches)
{
	static char big[BIG];
	const struct h2_limits limits = {.glitches = 20, .stream_window = 1000};
	struct pair p;
	memset(big, 'b', sizeof(big));
	pair_init(&p, &limits, &(struct h2_limits){.glitches = 20}, SIZE_MAX);
	p.server.silent = true;
	(void)ask(&p.client, "GET", true, NULL, 0);
	pair_run(&p);
	ms_h2_respond(p.server.s, p.server.stream, &(struct h2_message){.status = 200});
	ms_h2_send_last(p.server.s, p.server.stream, ms_slice(big, BIG));
	pair_run(&p);
	CHECK(ms_slice_ends_with(ms_buf_slice(&p.client.log), MS_SLICE_LIT("end 1\nclosed 1 NO_ERROR\n")));
	CHECK_INT(ms_h2_glitches(p.server.s), 0);
	pair_fini(&p);
}

TEST(http2_memory_is_bounded)
{
	const struct h2_limits limits = {.memory_bytes = 100000};
	struct pair p;
	pair_init(&p, NULL, &limits, SIZE_MAX);
	p.server.silent = true;
	size_t most = 0;
	for (int i = 0; i < 90 && p.server.err == MS_OK && ms_h2_room(p.client.s) > 0; i++) {
		(void)ask(&p.client, "POST", false, NULL, 0);
		pair_run(&p);
		most = MS_MAX(most, ms_h2_memory(p.server.s));
	}
	CHECK(most < 200000);
	printf("# %zu bytes with %zu streams open, %zu a stream of the client's\n", most,
	       ms_h2_stream_count(p.server.s), ms_h2_memory(p.client.s) / MS_MAX(ms_h2_stream_count(p.client.s), 1));
	pair_fini(&p);
	// A limit that the session itself does not fit.
	struct h2_session *s;
	const struct h2_options tiny = {.side = H2_SERVER, .limits = {.memory_bytes = 1000}};
	CHECK_INT(ms_h2_new(&tiny, &s), MS_ERR_NO_MEMORY);
}

// --- Memory that is out ------------------------------------------------------------------------------

static void exchange_once(void)
{
	const struct h2_limits limits = {.stream_window = 5};
	const struct http_header trailers[] = {{MS_SLICE_LIT("x-sum"), MS_SLICE_LIT("7")}};
	const struct h2_message message = {.method = MS_SLICE_LIT("POST"),
					   .scheme = MS_SLICE_LIT("http"),
					   .authority = MS_SLICE_LIT("a"),
					   .path = MS_SLICE_LIT("/")};
	struct pair p = {0};
	kit_init(&p.client, H2_CLIENT, &limits, SIZE_MAX);
	kit_init(&p.server, H2_SERVER, &limits, SIZE_MAX);
	if (p.client.s != NULL && p.server.s != NULL) {
		struct h2_stream *stream;
		if (ms_h2_request(p.client.s, &message, NULL, &stream) == MS_OK) {
			ms_h2_pause(p.client.s, stream);
			ms_h2_send_data(p.client.s, stream, MS_SLICE_LIT("0123456789"));
			ms_h2_send_end(p.client.s, stream, trailers, 1);
		}
		pair_run(&p);
		if (p.client.stream != NULL)
			ms_h2_resume(p.client.s, p.client.stream);
		pair_run(&p);
		if (!ms_test_allocation_failed())
			CHECK_HAS(p.client.log.p, "end 1\n");
	}
	pair_fini(&p);
}

TEST(http2_every_allocation_fails_once)
{
	ms_test_torture(exchange_once);
}

TEST(http2_names)
{
	CHECK_STR(ms_h2_error_name(H2_ENHANCE_YOUR_CALM), "ENHANCE_YOUR_CALM");
	CHECK_STR(ms_h2_error_name(H2_HTTP_1_1_REQUIRED), "HTTP_1_1_REQUIRED");
	CHECK_STR(ms_h2_error_name(14), "unknown error");
}
