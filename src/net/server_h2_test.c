// SPDX-License-Identifier: Apache-2.0
// The server over HTTP/2, asked by a client's session on a socket: what a test with another's client cannot arrange.
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "net/http2/http2.h"
#include "net/server_test_kit.h"

#define ASKED_MAX 160

struct got { // of one stream
	int status;
	size_t bytes;
	bool end, closed;
	uint32_t error;
	char trailer[32];
};

struct h2_client {
	struct client socket;
	struct h2_session *s;
	struct buf out;
	struct got got[ASKED_MAX];
	struct h2_stream *streams[ASKED_MAX];
	unsigned asked;
};

static void on_head(struct h2_session *s, struct h2_stream *stream, const struct h2_head *head, void *arg)
{
	(void)s, (void)arg;
	((struct got *)ms_h2_data(stream))->status = head->status;
}

static void on_data(struct h2_session *s, struct h2_stream *stream, struct slice bytes, void *arg)
{
	(void)s, (void)arg;
	((struct got *)ms_h2_data(stream))->bytes += bytes.n;
}

static void on_end(struct h2_session *s, struct h2_stream *stream, const struct http_header *trailers, size_t count,
		   void *arg)
{
	struct got *got = ms_h2_data(stream);
	(void)s, (void)arg;
	got->end = true;
	if (count > 0)
		snprintf(got->trailer, sizeof(got->trailer), "%.*s=%.*s", MS_SLICE_ARG(trailers[0].name),
			 MS_SLICE_ARG(trailers[0].value));
}

static void on_closed(struct h2_session *s, struct h2_stream *stream, uint32_t error, void *arg)
{
	struct h2_client *c = arg;
	struct got *got = ms_h2_data(stream);
	(void)s;
	got->closed = true;
	got->error = error;
	c->streams[got - c->got] = NULL;
}

static void open_client(struct h2_client *c, struct kit *kit, size_t window)
{
	static const struct h2_events events = {.head = on_head, .data = on_data, .end = on_end, .closed = on_closed};
	const struct h2_options options = {
		.side = H2_CLIENT, .limits = {.stream_window = window}, .events = &events, .arg = c};
	*c = (struct h2_client){0};
	ms_buf_init(&c->out, 64 << 20);
	client_connect(&c->socket, kit->port);
	REQUIRE(ms_h2_new(&options, &c->s) == MS_OK);
}

static void flush(struct h2_client *c)
{
	while (ms_h2_output(c->s, &c->out, 1 << 20))
		;
	(void)client_send(&c->socket, c->out.p, c->out.n);
	ms_buf_clear(&c->out);
}

static void close_client(struct h2_client *c)
{
	ms_h2_free(c->s);
	ms_buf_fini(&c->out);
	client_close(&c->socket);
}

// One read; false at the end.
static bool step(struct h2_client *c)
{
	flush(c);
	if (!client_read(&c->socket))
		return false;
	CHECK_OK(ms_h2_feed(c->s, ms_buf_slice(&c->socket.in), ms_clock_mono_ns(), NULL));
	client_consume(&c->socket, c->socket.in.n);
	flush(c);
	return true;
}

#define WAIT_FOR(c, condition)                  \
	do {                                    \
		while (!(condition) && step(c)) \
			;                       \
		CHECK(condition);               \
	} while (0)

static struct got *ask_for(struct h2_client *c, const char *method, const char *path, const char *protocol, bool end)
{
	struct got *got = &c->got[c->asked];
	const struct h2_message message = {
		.method = ms_slice_cstr(method),
		.scheme = MS_SLICE_LIT("http"),
		.authority = MS_SLICE_LIT("test"),
		.path = ms_slice_cstr(path),
		.protocol = ms_slice_cstr(protocol),
		.end = end,
	};
	REQUIRE(c->asked < ASKED_MAX);
	REQUIRE(ms_h2_request(c->s, &message, got, &c->streams[c->asked]) == MS_OK);
	c->asked++;
	return got;
}

static struct got *get(struct h2_client *c, const char *path)
{
	return ask_for(c, "GET", path, NULL, true);
}

// --- Routes of these tests ---------------------------------------------------------------------------

struct seen {
	struct kit kit;
	atomic_uint opened, ended, cut, gone_told;
	atomic_ullong bytes;
	struct exchange *x;
};

static void seen_data(struct exchange *x, struct slice bytes, void *arg)
{
	struct seen *seen = arg;
	seen->bytes += bytes.n;
	if (x->req.protocol.n > 0)
		ms_http_stream_write(x, bytes);
	else if (seen->bytes >= 1000 && seen->opened == 1)
		ms_http_body_pause(x);
}

static void seen_end(struct exchange *x, const struct http_header *trailers, size_t count, void *arg)
{
	struct seen *seen = arg;
	seen->ended++;
	if (x->req.protocol.n > 0) {
		ms_http_stream_end(x);
		return;
	}
	const struct http_header back[] = {{MS_SLICE_LIT("X-Sum"), count > 0 ? trailers[0].value : MS_SLICE_LIT("-")}};
	ms_http_stream_start(x, 200, "text/plain", NULL, NULL);
	ms_http_stream_write(x, MS_SLICE_LIT("body"));
	ms_http_stream_end_with(x, back, 1);
}

static void seen_cut(struct exchange *x, const struct errinfo *info, void *arg)
{
	struct seen *seen = arg;
	(void)info;
	seen->cut++;
	if (x->req.protocol.n > 0)
		ms_http_stream_end(x);
	else
		ms_http_fail_code(x, MS_ERR_CANCELLED, "cut");
}

static const struct http_body_reader reader = {seen_data, seen_end, seen_cut, UINT64_MAX};

static void open_tunnel(struct exchange *x, void *role)
{
	struct seen *seen = role;
	CHECK_INT(x->req.version, 20);
	if (x->req.protocol.n == 0) {
		ms_http_send(x, 426, NULL);
		return;
	}
	seen->opened++;
	ms_http_tunnel_start(x, NULL, 0, &reader, NULL, seen);
}

static void read_body(struct exchange *x, void *role)
{
	struct seen *seen = role;
	seen->x = x;
	seen->opened++;
	if (!ms_slice_eq_cstr(x->req.query, "later"))
		ms_http_body_read(x, &reader, seen);
}

// Says ten bytes and sends fewer, or more.
static void lie(struct exchange *x, void *role)
{
	(void)role;
	bool more = ms_slice_eq_cstr(x->req.query, "more");
	ms_http_answer_start(x, &(struct http_answer){.status = 200, .content_length = 10}, NULL, NULL);
	ms_http_stream_write(x, more ? MS_SLICE_LIT("twelve bytes") : MS_SLICE_LIT("nine byte"));
	ms_http_stream_end(x);
}

static void on_gone(struct exchange *x, void *arg)
{
	struct seen *seen = arg;
	seen->gone_told++;
	CHECK(ms_http_gone(x));
	ms_http_send(x, 204, NULL);
}

static void wait_for_gone(struct exchange *x, void *role)
{
	struct seen *seen = role;
	seen->opened++;
	ms_http_on_gone(x, on_gone, seen);
}

static const struct route routes[] = {
	{.method = HTTP_GET, .pattern = "/tunnel", .handle = open_tunnel, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
	{.method = HTTP_POST, .pattern = "/read", .handle = read_body, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
	{.method = HTTP_GET, .pattern = "/lie", .handle = lie, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
	{.method = HTTP_GET, .pattern = "/gone", .handle = wait_for_gone, .flags = ROUTE_STREAM | ROUTE_PUBLIC},
};

static void start(struct seen *seen, const struct http_limits *limits)
{
	*seen = (struct seen){0};
	kit_start(&seen->kit,
		  &(struct kit_options){
			  .limits = limits, .routes = routes, .route_count = MS_ARRAY_LEN(routes), .role = seen});
}

// --- Tests -------------------------------------------------------------------------------------------

TEST(h2_tunnel)
{
	struct seen seen;
	struct h2_client c;
	start(&seen, NULL);
	open_client(&c, &seen.kit, 0);
	WAIT_FOR(&c, ms_h2_peer_extended_connect(c.s));
	struct got *got = ask_for(&c, "CONNECT", "/tunnel", "websocket", false);
	ms_h2_send_data(c.s, c.streams[0], MS_SLICE_LIT("there and back"));
	WAIT_FOR(&c, got->bytes == 14);
	CHECK_INT(got->status, 200);
	ms_h2_send_end(c.s, c.streams[0], NULL, 0);
	WAIT_FOR(&c, got->closed);
	CHECK(got->end && got->error == H2_NO_ERROR && seen.ended == 1 && seen.cut == 0);
	// The client resets another, a third is open when it vanishes.
	got = ask_for(&c, "CONNECT", "/tunnel", "websocket", false);
	WAIT_FOR(&c, got->status == 200);
	ms_h2_reset(c.s, c.streams[1], H2_CANCEL);
	flush(&c);
	CHECK(KIT_WAIT(seen.cut == 1));
	got = ask_for(&c, "CONNECT", "/tunnel", "websocket", false);
	WAIT_FOR(&c, got->status == 200);
	close_client(&c);
	CHECK(KIT_WAIT(seen.cut == 2));
	kit_stop(&seen.kit);
}

TEST(h2_idle_tunnel_ends)
{
	struct seen seen;
	struct h2_client c;
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	limits.tunnel_idle_ms = 100;
	start(&seen, &limits);
	open_client(&c, &seen.kit, 0);
	struct got *got = ask_for(&c, "CONNECT", "/tunnel", "websocket", false);
	WAIT_FOR(&c, got->closed);
	CHECK(got->status == 200 && KIT_WAIT(seen.cut == 1));
	struct got *good = get(&c, "/");
	WAIT_FOR(&c, good->closed);
	close_client(&c);
	kit_stop(&seen.kit);
}

static void resume(struct kit *kit, void *arg)
{
	(void)kit;
	ms_http_body_resume(((struct seen *)arg)->x);
}

TEST(h2_body_is_held_by_its_reader)
{
	static char big[300000];
	const struct http_header trailers[] = {{MS_SLICE_LIT("x-sum"), MS_SLICE_LIT("42")}};
	struct seen seen;
	struct h2_client c;
	start(&seen, NULL);
	open_client(&c, &seen.kit, 0);
	struct got *got = ask_for(&c, "POST", "/read", NULL, false);
	ms_h2_send_data(c.s, c.streams[0], ms_slice(big, sizeof(big)));
	ms_h2_send_end(c.s, c.streams[0], trailers, 1);
	struct got *other = get(&c, "/");
	WAIT_FOR(&c, other->closed); // by now the window is used up
	CHECK_INT(other->status, 200);
	CHECK(seen.bytes >= 1000 && seen.bytes <= 65536 + 16384);
	CHECK(ms_h2_waiting(c.streams[0]) > 200000);
	seen.opened = 2;
	kit_on_loop(&seen.kit, resume, &seen);
	WAIT_FOR(&c, got->closed);
	CHECK(got->end && got->bytes == 4);
	CHECK_INT(seen.bytes, sizeof(big));
	CHECK_STR(got->trailer, "x-sum=42");
	close_client(&c);
	kit_stop(&seen.kit);
}

static void read_now(struct kit *kit, void *arg)
{
	struct seen *seen = arg;
	(void)kit;
	ms_http_body_read(seen->x, &reader, seen);
}

// What came before anybody asked for it is not lost.
TEST(h2_body_that_is_read_later)
{
	struct seen seen;
	struct h2_client c;
	start(&seen, NULL);
	open_client(&c, &seen.kit, 0);
	struct got *got = ask_for(&c, "POST", "/read?later", NULL, false);
	ms_h2_send_last(c.s, c.streams[0], MS_SLICE_LIT("early bytes"));
	struct got *other = get(&c, "/");
	WAIT_FOR(&c, other->closed);
	CHECK(seen.opened == 1 && seen.bytes == 0 && seen.ended == 0);
	kit_on_loop(&seen.kit, read_now, &seen);
	WAIT_FOR(&c, got->closed);
	CHECK(got->end && seen.bytes == 11 && seen.ended == 1);
	close_client(&c);
	kit_stop(&seen.kit);
}

// A client that neither ends nor resets a request that was answered does not hold its place for long.
TEST(h2_request_without_end)
{
	struct seen seen;
	struct h2_client c;
	start(&seen, NULL);
	open_client(&c, &seen.kit, 0);
	struct got *got = ask_for(&c, "POST", "/nowhere", NULL, false);
	WAIT_FOR(&c, got->end);
	CHECK(got->status == 404 && !got->closed);
	WAIT_FOR(&c, got->closed);
	CHECK_INT(got->error, H2_NO_ERROR);
	close_client(&c);
	kit_stop(&seen.kit);
}

TEST(h2_wrong_length_resets_the_stream_alone)
{
	struct seen seen;
	struct h2_client c;
	start(&seen, NULL);
	open_client(&c, &seen.kit, 0);
	struct got *fewer = get(&c, "/lie"), *more = get(&c, "/lie?more");
	WAIT_FOR(&c, fewer->closed && more->closed);
	CHECK(!fewer->end && fewer->error == H2_INTERNAL_ERROR && !more->end && more->error == H2_INTERNAL_ERROR);
	struct got *good = get(&c, "/");
	WAIT_FOR(&c, good->closed);
	CHECK(good->end && good->status == 200);
	close_client(&c);
	kit_stop(&seen.kit);
}

TEST(h2_handlers_learn_that_the_client_has_gone)
{
	struct seen seen;
	struct h2_client c;
	start(&seen, NULL);
	open_client(&c, &seen.kit, 0);
	(void)get(&c, "/gone");
	(void)get(&c, "/gone");
	flush(&c);
	CHECK(KIT_WAIT(seen.opened == 2));
	ms_h2_reset(c.s, c.streams[0], H2_CANCEL);
	flush(&c);
	CHECK(KIT_WAIT(seen.gone_told == 1));
	close_client(&c);
	CHECK(KIT_WAIT(seen.gone_told == 2));
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	kit_stop(&seen.kit);
}

// Resetting frees a stream and not the handler behind it: those count, else a client could start any number.
TEST(h2_reset_streams_count_while_handlers_work)
{
	struct seen seen;
	struct h2_client c;
	struct http_limits limits = MS_HTTP_DEFAULT_LIMITS;
	limits.h2_streams = 10;
	start(&seen, &limits);
	open_client(&c, &seen.kit, 0);
	WAIT_FOR(&c, ms_h2_peer_settings_seen(c.s));
	for (unsigned i = 0; i < 10; i++) {
		(void)get(&c, "/later");
		flush(&c);
		CHECK(KIT_WAIT(seen.kit.waiting == i + 1));
		ms_h2_reset(c.s, c.streams[i], H2_CANCEL);
		flush(&c);
	}
	struct got *refused = get(&c, "/later");
	WAIT_FOR(&c, refused->closed);
	CHECK_INT(refused->error, H2_REFUSED_STREAM);
	CHECK_INT(seen.kit.handled, 10);
	kit_answer(&seen.kit, 10);
	struct got *good = get(&c, "/");
	WAIT_FOR(&c, good->closed);
	CHECK_INT(good->status, 200);
	close_client(&c);
	kit_stop(&seen.kit);
}

TEST(h2_answers_come_after_the_client_has_gone)
{
	struct seen seen;
	struct h2_client c;
	start(&seen, NULL);
	open_client(&c, &seen.kit, 0);
	for (int i = 0; i < 5; i++)
		(void)get(&c, "/later");
	flush(&c);
	CHECK(KIT_WAIT(seen.kit.waiting == 5));
	client_reset(&c.socket);
	CHECK(KIT_WAIT(kit_metric(&seen.kit, "active_connections") == 0));
	kit_answer(&seen.kit, 100000);
	ms_h2_free(c.s);
	ms_buf_fini(&c.out);
	// And some that nobody ever answers: the server ends with them.
	open_client(&c, &seen.kit, 0);
	(void)get(&c, "/later");
	flush(&c);
	CHECK(KIT_WAIT(seen.kit.waiting > 0));
	kit_stop(&seen.kit);
	close_client(&c);
}

TEST(h2_producer_is_held_by_a_window)
{
	struct seen seen;
	struct h2_client c;
	start(&seen, NULL);
	open_client(&c, &seen.kit, 0);
	struct got *got = get(&c, "/stream?n=3000000");
	ms_h2_pause(c.s, c.streams[0]);
	struct got *other = get(&c, "/");
	WAIT_FOR(&c, other->closed);
	CHECK(seen.kit.streamed < 300000);
	CHECK_INT(got->bytes, 0);
	ms_h2_resume(c.s, c.streams[0]);
	WAIT_FOR(&c, got->closed);
	CHECK(got->end);
	CHECK_INT(got->bytes, 3000000);
	// The next is given up in the middle.
	got = get(&c, "/stream?n=3000000");
	WAIT_FOR(&c, got->bytes > 100000);
	ms_h2_reset(c.s, c.streams[2], H2_CANCEL);
	flush(&c);
	CHECK(KIT_WAIT(seen.kit.streams_gone == 1));
	close_client(&c);
	kit_stop(&seen.kit);
}

TEST(h2_large_answers_share_the_connection)
{
	struct seen seen;
	struct h2_client c;
	start(&seen, NULL);
	open_client(&c, &seen.kit, 0);
	for (int i = 0; i < 20; i++)
		(void)get(&c, "/big?n=400000");
	for (int i = 0; i < 20; i++) {
		WAIT_FOR(&c, c.got[i].closed);
		CHECK(c.got[i].end && c.got[i].bytes == 400000);
	}
	close_client(&c);
	kit_stop(&seen.kit);
}
