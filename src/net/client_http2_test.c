// SPDX-License-Identifier: Apache-2.0
// Calls over HTTP/2, against a peer that is a thread with a session of its own on a plain socket, and does what its script says.
#include "net/client_test_kit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http2/http2.h"

#define OPEN "mainstay_upstream_connections{state=\"open\"}"
#define IDLE "mainstay_upstream_connections{state=\"idle\"}"
#define CONNECTS "mainstay_upstream_connects_total"

// What the peer does is said by the path of a request.
struct h2_peer {
	int listen_fd;
	unsigned port;
	pthread_t thread;
	unsigned streams; // at once; 0: the session's default
	bool extended_connect;
	atomic_bool end;
	atomic_uint connections, requests, resets;
	char seen[2048]; // of the last request: its head
	struct h2_session *session;
	struct buf body;        // of the last request
	atomic_size_t received; // of bodies
	char trailers[256];
	bool cut; // closes the socket now
};

static void answer(struct h2_session *s, struct h2_stream *stream, int status, const struct http_header *headers,
		   size_t n, bool end)
{
	ms_h2_respond(s, stream,
		      &(struct h2_message){.status = status, .headers = headers, .header_count = n, .end = end});
}

static void note_request(struct h2_peer *p, const struct h2_head *h)
{
	size_t n = (size_t)snprintf(p->seen, sizeof(p->seen), "%.*s %.*s://%.*s%.*s %.*s\n", MS_SLICE_ARG(h->method),
				    MS_SLICE_ARG(h->scheme), MS_SLICE_ARG(h->authority), MS_SLICE_ARG(h->path),
				    MS_SLICE_ARG(h->protocol));
	for (size_t i = 0; i < h->header_count; i++)
		n += (size_t)snprintf(p->seen + n, sizeof(p->seen) - n, "%.*s: %.*s\n",
				      MS_SLICE_ARG(h->headers[i].name), MS_SLICE_ARG(h->headers[i].value));
}

static bool path_is(const struct h2_head *h, const char *path)
{
	return ms_slice_eq_cstr(h->path, path);
}

static void big_body(struct h2_session *s, struct h2_stream *stream, size_t n)
{
	static char piece[26000];
	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = (char)('a' + i % 26);
	for (size_t at = 0; at < n; at += sizeof(piece))
		(void)ms_h2_send_data(s, stream, ms_slice(piece, MS_MIN(sizeof(piece), n - at)));
	ms_h2_send_end(s, stream, NULL, 0);
}

static void peer_head(struct h2_session *s, struct h2_stream *stream, const struct h2_head *h, void *arg)
{
	static const struct http_header length[] = {{MS_SLICE_LIT("content-length"), MS_SLICE_LIT("2")},
						    {MS_SLICE_LIT("x-a"), MS_SLICE_LIT("b")}};
	struct h2_peer *p = arg;
	note_request(p, h);
	p->requests++;
	ms_buf_clear(&p->body);
	if (h->protocol.n > 0) {
		answer(s, stream, 200, NULL, 0, false);
		(void)ms_h2_send_data(s, stream, MS_SLICE_LIT("hello "));
	} else if (path_is(h, "/hang")) {
	} else if (path_is(h, "/refuse")) {
		ms_h2_reset(s, stream, H2_REFUSED_STREAM);
	} else if (path_is(h, "/reset")) {
		answer(s, stream, 200, NULL, 0, false);
		(void)ms_h2_send_data(s, stream, MS_SLICE_LIT("some"));
		ms_h2_reset(s, stream, H2_INTERNAL_ERROR);
	} else if (path_is(h, "/goaway")) {
		ms_h2_drain(s);
		ms_h2_drain(s);
		answer(s, stream, 200, length, 2, false);
		(void)ms_h2_send_data(s, stream, MS_SLICE_LIT("ok"));
		ms_h2_send_end(s, stream, NULL, 0);
	} else if (path_is(h, "/cut")) {
		p->cut = true;
	} else if (path_is(h, "/early")) {
		answer(s, stream, 413, length, 2, false);
		(void)ms_h2_send_data(s, stream, MS_SLICE_LIT("no"));
		ms_h2_send_end(s, stream, NULL, 0);
	} else if (path_is(h, "/hints")) {
		answer(s, stream, 103, length + 1, 1, false);
		answer(s, stream, 204, NULL, 0, true);
	} else if (path_is(h, "/big")) {
		answer(s, stream, 200, NULL, 0, false);
		big_body(s, stream, 26000 * 400);
	} else if (h->end) {
		static const struct http_header trailers[] = {{MS_SLICE_LIT("grpc-status"), MS_SLICE_LIT("0")}};
		answer(s, stream, 200, length, 2, false);
		(void)ms_h2_send_data(s, stream, MS_SLICE_LIT("ok"));
		ms_h2_send_end(s, stream, trailers, 1);
	}
}

static void peer_data(struct h2_session *s, struct h2_stream *stream, struct slice bytes, void *arg)
{
	struct h2_peer *p = arg;
	(void)s, (void)stream;
	p->received += bytes.n;
	ms_buf_append_slice(&p->body, bytes);
}

// Echoes the body once it is whole; a tunnel's too.
static void peer_end(struct h2_session *s, struct h2_stream *stream, const struct http_header *trailers, size_t count,
		     void *arg)
{
	struct h2_peer *p = arg;
	p->trailers[0] = '\0';
	for (size_t i = 0; i < count; i++)
		snprintf(p->trailers, sizeof(p->trailers), "%.*s: %.*s\n", MS_SLICE_ARG(trailers[i].name),
			 MS_SLICE_ARG(trailers[i].value));
	if (strncmp(p->seen, "POST", 4) == 0 && strstr(p->seen, "/early") == NULL) {
		answer(s, stream, 200, NULL, 0, false);
		(void)ms_h2_send_data(s, stream, ms_buf_slice(&p->body));
		ms_h2_send_end(s, stream, NULL, 0);
	} else if (strncmp(p->seen, "CONNECT", 7) == 0) {
		(void)ms_h2_send_data(s, stream, ms_buf_slice(&p->body));
		ms_h2_send_end(s, stream, NULL, 0);
	}
}

static void peer_closed(struct h2_session *s, struct h2_stream *stream, uint32_t error, void *arg)
{
	(void)s, (void)stream;
	((struct h2_peer *)arg)->resets += error == H2_CANCEL;
}

static const struct h2_events peer_events = {
	.head = peer_head, .data = peer_data, .end = peer_end, .closed = peer_closed};

// Writes what the session has to say; false when the connection is over.
static bool peer_flush(struct h2_session *s, int fd, struct buf *out)
{
	for (;;) {
		ms_buf_clear(out);
		(void)ms_h2_output(s, out, 65536);
		if (out->n == 0)
			return !ms_h2_over(s);
		for (size_t at = 0; at < out->n;) {
			ssize_t n = send(fd, out->p + at, out->n - at, MSG_NOSIGNAL);
			if (n <= 0)
				return false;
			at += (size_t)n;
		}
	}
}

static void peer_serve(struct h2_peer *p, int fd)
{
	struct h2_session *s;
	struct buf out;
	char bytes[65536];
	const struct h2_options o = {.side = H2_SERVER,
				     .limits = {.streams = p->streams},
				     .extended_connect = p->extended_connect,
				     .events = &peer_events,
				     .arg = p};
	ms_buf_init(&out, 1 << 24);
	REQUIRE(ms_h2_new(&o, &s) == MS_OK);
	while (!p->end && !p->cut && peer_flush(s, fd, &out)) {
		struct pollfd ready = {.fd = fd, .events = POLLIN};
		if (poll(&ready, 1, 20) == 0)
			continue;
		ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
		if (n <= 0 || ms_h2_feed(s, ms_slice(bytes, (size_t)n), ms_clock_mono_ns(), NULL) != MS_OK)
			break;
	}
	p->cut = false;
	ms_h2_free(s);
	ms_buf_fini(&out);
	close(fd);
}

static void *run_h2_peer(void *arg)
{
	struct h2_peer *p = arg;
	while (!p->end) {
		struct pollfd ready = {.fd = p->listen_fd, .events = POLLIN};
		if (poll(&ready, 1, 20) != 1)
			continue;
		p->connections++;
		peer_serve(p, accept(p->listen_fd, NULL, NULL));
	}
	return NULL;
}

struct h2_scene {
	struct caller_kit kit;
	struct h2_peer peer;
	struct http_origin *origin;
	struct http_call_options options;
	struct record r[8];
};

static struct h2_scene *h2_start_with(unsigned streams, bool extended_connect,
				      const struct http_client_options *options)
{
	struct h2_scene *s = calloc(1, sizeof(*s));
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	REQUIRE(s != NULL);
	struct h2_peer *p = &s->peer;
	p->streams = streams;
	p->extended_connect = extended_connect;
	ms_buf_init(&p->body, 1 << 28);
	p->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(bind(p->listen_fd, (struct sockaddr *)&a, n) == 0 && listen(p->listen_fd, 64) == 0);
	REQUIRE(getsockname(p->listen_fd, (struct sockaddr *)&a, &n) == 0);
	p->port = ntohs(a.sin_port);
	REQUIRE(pthread_create(&p->thread, NULL, run_h2_peer, p) == 0);
	caller_start(&s->kit, options);
	const struct http_origin_options o = {
		.host = MS_SLICE_LIT("127.0.0.1"), .port = p->port, .protocol = ORIGIN_H2};
	REQUIRE(ms_http_origin_new(s->kit.client, &o, NULL, &s->origin) == MS_OK);
	s->options = caller_options(s->origin);
	return s;
}

static struct h2_scene *h2_start(unsigned streams, bool extended_connect)
{
	return h2_start_with(streams, extended_connect, NULL);
}

static void h2_end(struct h2_scene *s)
{
	ms_http_origin_unref(s->origin);
	caller_stop(&s->kit);
	s->peer.end = true;
	pthread_join(s->peer.thread, NULL);
	close(s->peer.listen_fd);
	ms_buf_fini(&s->peer.body);
	for (size_t i = 0; i < MS_ARRAY_LEN(s->r); i++)
		caller_forget(&s->r[i]);
	free(s);
}

static void ask(struct h2_scene *s, struct record *r, const char *path)
{
	s->options.target = ms_slice_cstr(path);
	caller_call(&s->kit, r, &s->options, NULL);
}

static bool ok_2(const struct record *r)
{
	return CHECK_STR(r->message, "") && CHECK(r->ended) && CHECK_SLICE(ms_buf_slice(&r->data), "ok");
}

TEST(client_h2_asks_and_is_answered)
{
	static const struct http_header headers[] = {
		{MS_SLICE_LIT("X-Stays"), MS_SLICE_LIT("1")},
		{MS_SLICE_LIT("Connection"), MS_SLICE_LIT("x-hop")},
		{MS_SLICE_LIT("X-Hop"), MS_SLICE_LIT("2")},
		{MS_SLICE_LIT("Transfer-Encoding"), MS_SLICE_LIT("chunked")},
		{MS_SLICE_LIT("Host"), MS_SLICE_LIT("elsewhere")},
		{MS_SLICE_LIT("TE"), MS_SLICE_LIT("trailers, gzip")},
	};
	struct h2_scene *s = h2_start(0, false);
	s->options.headers = headers;
	s->options.header_count = MS_ARRAY_LEN(headers);
	ask(s, &s->r[0], "/a?b");
	ok_2(&s->r[0]);
	CHECK_STR(s->peer.seen, "GET http://test/a?b \nx-stays: 1\nte: trailers\n");
	CHECK_INT(s->r[0].statuses[0], 200);
	CHECK_INT(s->r[0].content_length, 2);
	CHECK_SLICE(ms_buf_slice(&s->r[0].headers), "x-a: b\n");
	CHECK_SLICE(ms_buf_slice(&s->r[0].trailers), "grpc-status: 0\n");
	CHECK(s->r[0].connect_ns > 0);
	CHECK(KIT_WAIT(caller_metric(&s->kit, IDLE) == 1));
	s->options.header_count = 0;
	ask(s, &s->r[1], "/hints");
	CHECK(s->r[1].ended && s->r[1].heads == 2 && s->r[1].statuses[0] == 103 && s->r[1].statuses[1] == 204);
	CHECK_INT(s->r[1].connect_ns, 0);
	CHECK_INT(caller_metric(&s->kit, CONNECTS), 1);
	h2_end(s);
}

TEST(client_h2_sends_bodies)
{
	struct h2_scene *s = h2_start(0, false);
	static const struct http_header trailers[] = {{MS_SLICE_LIT("x-sum"), MS_SLICE_LIT("7")}};
	(void)trailers;
	s->options.method = MS_SLICE_LIT("POST");
	s->options.has_body = true;
	// Written before there is a connection.
	caller_call(&s->kit, &s->r[0], &s->options, "early bird");
	CHECK_SLICE(ms_buf_slice(&s->r[0].data), "early bird");
	s->options.content_length = 5;
	caller_call(&s->kit, &s->r[1], &s->options, "12345");
	CHECK_SLICE(ms_buf_slice(&s->r[1].data), "12345");
	CHECK(strstr(s->peer.seen, "content-length: 5\n") != NULL);
	s->options.content_length = UINT64_MAX;
	static char piece[100000];
	memset(piece, 'x', sizeof(piece));
	caller_begin(&s->kit, &s->r[2], &s->options);
	for (int i = 0; i < 50; i++)
		caller_write(&s->r[2], piece, sizeof(piece), i == 49);
	REQUIRE(caller_wait(&s->r[2]));
	CHECK_INT(s->r[2].data.n, 5000000);
	CHECK_INT(caller_metric(&s->kit, CONNECTS), 1);
	h2_end(s);
}

TEST(client_h2_shares_a_connection)
{
	struct h2_scene *s = h2_start(0, false);
	s->options.target = MS_SLICE_LIT("/hang");
	for (int i = 0; i < 7; i++)
		caller_begin(&s->kit, &s->r[i], &s->options);
	REQUIRE(KIT_WAIT(s->peer.requests == 7));
	CHECK_INT(caller_metric(&s->kit, CONNECTS), 1);
	h2_end(s);
}

static void begin_and_fill(void *arg)
{
	static char piece[200000];
	struct h2_scene *s = arg;
	caller_begin(&s->kit, &s->r[0], &s->options);
	CHECK(ms_http_call_write(s->r[0].call, ms_slice(piece, sizeof(piece))) >= 65536);
}

TEST(client_h2_tells_when_early_bytes_have_gone)
{
	struct h2_scene *s = h2_start(0, false);
	s->options.method = MS_SLICE_LIT("POST");
	s->options.has_body = true;
	caller_on_loop(&s->kit, begin_and_fill, s);
	CHECK(KIT_WAIT(s->r[0].drains == 1));
	caller_write(&s->r[0], "end", 3, true);
	REQUIRE(caller_wait(&s->r[0]));
	CHECK_INT(s->r[0].data.n, 200003);
	h2_end(s);
}

static void cancel_call(void *arg)
{
	struct record *r = arg;
	ms_http_call_cancel(r->call);
	r->call = NULL;
}

// The peer takes two at once, and there may be one connection: the third waits until one has gone.
TEST(client_h2_waits_for_room)
{
	struct h2_scene *s = h2_start_with(2, false, &(struct http_client_options){.max_connections = 1});
	ask(s, &s->r[7], "/"); // the peer's limit is known from now on
	s->options.target = MS_SLICE_LIT("/hang");
	for (int i = 0; i < 2; i++)
		caller_begin(&s->kit, &s->r[i], &s->options);
	REQUIRE(KIT_WAIT(s->peer.requests == 3));
	s->options.target = MS_SLICE_LIT("/");
	caller_begin(&s->kit, &s->r[2], &s->options);
	usleep(100000);
	CHECK(!s->r[2].done);
	caller_on_loop(&s->kit, cancel_call, &s->r[0]);
	REQUIRE(caller_wait(&s->r[2]));
	ok_2(&s->r[2]);
	CHECK(KIT_WAIT(s->peer.resets == 1));
	h2_end(s);
}

TEST(client_h2_tells_failures_apart)
{
	struct h2_scene *s = h2_start(0, false);
	ask(s, &s->r[0], "/refuse");
	CHECK(s->r[0].failed_too && s->r[0].failure == CALL_REFUSED);
	ask(s, &s->r[1], "/reset");
	CHECK(s->r[1].failed_too && s->r[1].failure == CALL_BROKEN && s->r[1].sent);
	CHECK_HAS(s->r[1].message, "INTERNAL_ERROR");
	s->options.read_timeout_ms = 200;
	ask(s, &s->r[2], "/hang");
	CHECK(s->r[2].failed_too && s->r[2].failure == CALL_TIMED_OUT);
	// Nothing came on that connection: the next call makes another, the old one closes.
	s->options.read_timeout_ms = 5000;
	ask(s, &s->r[3], "/");
	ok_2(&s->r[3]);
	CHECK_INT(caller_metric(&s->kit, CONNECTS), 2);
	ask(s, &s->r[4], "/cut");
	CHECK(s->r[4].failed_too && s->r[4].failure == CALL_STALE);
	ask(s, &s->r[5], "/");
	ok_2(&s->r[5]);
	h2_end(s);
}

TEST(client_h2_minds_goaway)
{
	struct h2_scene *s = h2_start(0, false);
	ask(s, &s->r[0], "/goaway");
	ok_2(&s->r[0]);
	ask(s, &s->r[1], "/");
	ok_2(&s->r[1]);
	CHECK_INT(s->peer.connections, 2);
	CHECK(KIT_WAIT(caller_metric(&s->kit, OPEN) == 1));
	h2_end(s);
}

TEST(client_h2_takes_early_answers)
{
	struct h2_scene *s = h2_start(0, false);
	s->options.method = MS_SLICE_LIT("POST");
	s->options.has_body = true;
	s->options.target = MS_SLICE_LIT("/early");
	caller_begin(&s->kit, &s->r[0], &s->options);
	caller_write(&s->r[0], "abc", 3, false);
	REQUIRE(caller_wait(&s->r[0]));
	CHECK(s->r[0].ended && s->r[0].statuses[0] == 413);
	s->options.target = MS_SLICE_LIT("/");
	caller_call(&s->kit, &s->r[1], &s->options, "same connection");
	CHECK_SLICE(ms_buf_slice(&s->r[1].data), "same connection");
	CHECK_INT(caller_metric(&s->kit, CONNECTS), 1);
	h2_end(s);
}

static void resume_call(void *arg)
{
	struct record *r = arg;
	r->pause_after = 0;
	ms_http_call_resume(r->call);
}

TEST(client_h2_holds_peers_back_while_paused)
{
	struct h2_scene *s = h2_start(0, false);
	s->options.target = MS_SLICE_LIT("/big");
	s->options.read_timeout_ms = 700; // a loaded machine under a sanitizer stands still for a while
	s->r[0].pause_after = 2;
	caller_begin(&s->kit, &s->r[0], &s->options);
	REQUIRE(KIT_WAIT(s->r[0].pieces == 2));
	usleep(1000000);
	CHECK_INT(s->r[0].pieces, 2);
	s->options.read_timeout_ms = 5000;
	ask(s, &s->r[1], "/"); // another stream goes on meanwhile
	ok_2(&s->r[1]);
	caller_on_loop(&s->kit, resume_call, &s->r[0]);
	REQUIRE(caller_wait(&s->r[0]));
	CHECK_STR(s->r[0].message, "");
	CHECK_INT(s->r[0].data.n, 26000 * 400);
	for (size_t i = 0; i < s->r[0].data.n; i += 101)
		REQUIRE(s->r[0].data.p[i] == (char)('a' + i % 26));
	h2_end(s);
}

TEST(client_h2_tunnels)
{
	struct h2_scene *s = h2_start(0, true);
	struct record *r = &s->r[0];
	s->options.protocol = MS_SLICE_LIT("websocket");
	s->options.target = MS_SLICE_LIT("/chat");
	caller_begin(&s->kit, r, &s->options);
	REQUIRE(KIT_WAIT(r->bytes == 6));
	CHECK_INT(r->statuses[0], 200);
	CHECK_STR(s->peer.seen, "CONNECT http://test/chat websocket\n");
	caller_write(r, "world", 5, true);
	REQUIRE(caller_wait(r));
	CHECK(r->ended);
	CHECK_SLICE(ms_buf_slice(&r->data), "hello world");
	h2_end(s);
	s = h2_start(0, false);
	s->options.protocol = MS_SLICE_LIT("websocket");
	caller_call(&s->kit, &s->r[0], &s->options, NULL);
	CHECK(s->r[0].failed_too && s->r[0].failure == CALL_NO_CONNECTION && !s->r[0].sent);
	CHECK_HAS(s->r[0].message, "extended CONNECT");
	h2_end(s);
}

TEST(client_h2_cancels_and_ends)
{
	struct h2_scene *s = h2_start(0, false);
	s->r[0].cancel_in_head = true;
	ask(s, &s->r[0], "/big");
	s->r[1].cancel_in_data = true;
	ask(s, &s->r[1], "/big");
	ask(s, &s->r[2], "/");
	ok_2(&s->r[2]);
	CHECK_INT(caller_metric(&s->kit, CONNECTS), 1);
	s->options.target = MS_SLICE_LIT("/hang");
	caller_begin(&s->kit, &s->r[3], &s->options);
	h2_end(s);
	// While it waits for a connection.
	s = h2_start(0, false);
	caller_begin(&s->kit, &s->r[0], &s->options);
	h2_end(s);
}

// What does not speak HTTP/2 at all.
TEST(client_h2_refuses_other_protocols)
{
	static const struct step steps[] = {
		{.kind = STEP_ACCEPT},
		{STEP_SEND, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 0},
		{.kind = STEP_DRAIN},
		{.kind = STEP_END},
	};
	struct caller_kit kit;
	struct peer peer;
	struct record r = {0};
	struct http_origin *origin;
	caller_start(&kit, NULL);
	peer_start(&peer, steps);
	const struct http_origin_options o = {
		.host = MS_SLICE_LIT("127.0.0.1"), .port = peer.port, .protocol = ORIGIN_H2};
	REQUIRE(ms_http_origin_new(kit.client, &o, NULL, &origin) == MS_OK);
	struct http_call_options options = caller_options(origin);
	caller_call(&kit, &r, &options, NULL);
	CHECK(r.failed_too && r.failure == CALL_BROKEN);
	CHECK(KIT_WAIT(caller_metric(&kit, OPEN) == 0));
	ms_http_origin_unref(origin);
	caller_stop(&kit);
	peer_stop(&peer);
	caller_forget(&r);
}
