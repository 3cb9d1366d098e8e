// SPDX-License-Identifier: Apache-2.0
#include "net/client_test_kit.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

// --- Peers -------------------------------------------------------------------------------------------

static bool send_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
		if (sent <= 0)
			return false;
		p += sent;
		n -= (size_t)sent;
	}
	return true;
}

static bool readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, PATIENCE_MS) == 1;
}

// False at the end of the stream and after a failure.
static bool read_some(struct peer *peer, int fd)
{
	char bytes[65536];
	if (!readable(fd))
		return false;
	ssize_t n = recv(fd, bytes, sizeof(bytes), 0);
	if (n <= 0)
		return false;
	ms_buf_append(&peer->got, bytes, (size_t)n);
	return true;
}

static int accept_one(struct peer *peer)
{
	if (!readable(peer->listen_fd))
		return -1;
	int fd = accept(peer->listen_fd, NULL, NULL), on = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	peer->accepted++;
	return fd;
}

static bool send_pieces(int fd, struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (!send_all(fd, text.p + i, 1))
			return false;
		if (i % 4 == 0)
			usleep(300);
	}
	return true;
}

static bool send_big(int fd, size_t n)
{
	char piece[26 * 1000];
	for (size_t i = 0; i < sizeof(piece); i++)
		piece[i] = (char)('a' + i % 26);
	for (size_t at = 0; at < n; at += sizeof(piece)) {
		if (!send_all(fd, piece, MS_MIN(sizeof(piece), n - at)))
			return false;
	}
	return true;
}

static bool do_step(struct peer *peer, const struct step *s, int *fd, size_t *from)
{
	struct slice text = s->n > 0 ? ms_slice(s->text, s->n) : ms_slice_cstr(s->text);
	struct linger hard = {.l_onoff = 1};
	switch (s->kind) {
	case STEP_ACCEPT:
		*fd = accept_one(peer);
		*from = peer->got.n;
		return *fd >= 0;
	case STEP_READ:
		while (!ms_slice_ends_with(ms_slice_sub(ms_buf_slice(&peer->got), *from, SIZE_MAX), text)) {
			if (!read_some(peer, *fd))
				return false;
		}
		*from = peer->got.n;
		return true;
	case STEP_SEND:
		return send_all(*fd, text.p, text.n);
	case STEP_PIECES:
		return send_pieces(*fd, text);
	case STEP_BIG:
		return send_big(*fd, s->n);
	case STEP_PAUSE:
		usleep((useconds_t)s->n * 1000);
		return true;
	case STEP_RESET:
		setsockopt(*fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		__attribute__((fallthrough));
	case STEP_CLOSE:
		close(*fd);
		*fd = -1;
		return true;
	case STEP_FINISH:
		return shutdown(*fd, SHUT_WR) == 0;
	case STEP_DRAIN:
		while (read_some(peer, *fd))
			;
		return true;
	case STEP_WAIT:
		if (!KIT_WAIT(peer->go > 0))
			return false;
		peer->go--;
		return true;
	case STEP_END:
		break;
	}
	return false;
}

static void *run_script(void *arg)
{
	struct peer *peer = arg;
	int fd = -1;
	size_t from = 0;
	for (const struct step *s = peer->steps; s->kind != STEP_END; s++, peer->step++) {
		if (!do_step(peer, s, &fd, &from)) {
			peer->failed = true;
			break;
		}
	}
	if (fd >= 0)
		close(fd);
	peer->over = true;
	return NULL;
}

void peer_start(struct peer *peer, const struct step *steps)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(address);
	*peer = (struct peer){.steps = steps};
	ms_buf_init(&peer->got, SIZE_MAX / 4);
	peer->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	REQUIRE(peer->listen_fd >= 0 && bind(peer->listen_fd, (struct sockaddr *)&address, n) == 0);
	REQUIRE(listen(peer->listen_fd, 64) == 0);
	REQUIRE(getsockname(peer->listen_fd, (struct sockaddr *)&address, &n) == 0);
	peer->port = ntohs(address.sin_port);
	REQUIRE(pthread_create(&peer->thread, NULL, run_script, peer) == 0);
}

void peer_stop(struct peer *peer)
{
	pthread_join(peer->thread, NULL);
	if (!CHECK(!peer->failed))
		printf("# step %u\n", (unsigned)peer->step);
	close(peer->listen_fd);
	ms_buf_fini(&peer->got);
}

// --- Calls -------------------------------------------------------------------------------------------

static void put_headers(struct buf *b, const struct http_header *headers, size_t count)
{
	ms_buf_clear(b);
	for (size_t i = 0; i < count; i++)
		ms_buf_printf(b, "%.*s: %.*s\n", MS_SLICE_ARG(headers[i].name), MS_SLICE_ARG(headers[i].value));
}

static void note_way(struct record *r, struct http_call *call)
{
	struct slice address = ms_http_call_address(call);
	snprintf(r->address, sizeof(r->address), "%.*s", MS_SLICE_ARG(address));
	r->connect_ns = ms_http_call_connect_ns(call);
}

static void on_head(struct http_call *call, int status, const struct http_header *headers, size_t count,
		    uint64_t content_length, void *arg)
{
	struct record *r = arg;
	MS_ASSERT(call == r->call && r->heads < MS_ARRAY_LEN(r->statuses));
	r->statuses[r->heads++] = status;
	r->content_length = content_length;
	put_headers(&r->headers, headers, count);
	note_way(r, call);
	r->head_seen++;
	if (r->cancel_in_head) {
		ms_http_call_cancel(call);
		r->call = NULL;
		r->done = true;
	}
}

static void on_data(struct http_call *call, struct slice bytes, void *arg)
{
	struct record *r = arg;
	MS_ASSERT(call == r->call && bytes.n > 0);
	ms_buf_append_slice(&r->data, bytes);
	r->bytes += bytes.n;
	r->pieces++;
	if (r->cancel_in_data) {
		ms_http_call_cancel(call);
		r->call = NULL;
		r->done = true;
	} else if (r->pieces == r->pause_after) {
		ms_http_call_pause(call);
	}
}

static void on_end(struct http_call *call, const struct http_header *trailers, size_t count, void *arg)
{
	struct record *r = arg;
	MS_ASSERT(call == r->call && !r->ended);
	put_headers(&r->trailers, trailers, count);
	r->ended = true;
	r->call = NULL;
	if (r->again_at_end)
		caller_begin(r->kit, r->next, r->options);
	r->done = true;
}

static void on_failed(struct http_call *call, enum http_call_failure failure, bool sent, const struct errinfo *info,
		      void *arg)
{
	struct record *r = arg;
	MS_ASSERT(call == r->call && !r->done);
	note_way(r, call);
	r->failed_too = true;
	r->failure = failure;
	r->sent = sent;
	r->code = info->code;
	memcpy(r->message, info->message, sizeof(r->message));
	r->call = NULL;
	r->done = true;
}

static void on_drained(struct http_call *call, void *arg)
{
	(void)call;
	((struct record *)arg)->drains++;
}

static void on_peer_ended(struct http_call *call, void *arg)
{
	(void)call;
	((struct record *)arg)->peer_ended = true;
}

static const struct http_call_handlers handlers = {on_head, on_data, on_end, on_failed, on_drained, on_peer_ended};

// --- Kit ---------------------------------------------------------------------------------------------

static void *run_caller(void *arg)
{
	struct caller_kit *kit = arg;
	enum ms_err err = ms_rt_run(kit->rt, NULL);
	MS_ASSERT(err == MS_OK);
	return NULL;
}

void caller_start(struct caller_kit *kit, const struct http_client_options *options)
{
	struct http_client_options o = {0};
	struct errinfo info;
	if (options != NULL)
		o = *options;
	*kit = (struct caller_kit){0};
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 1}, &info, &kit->rt) == MS_OK);
	REQUIRE(ms_metrics_new(1, &kit->metrics) == MS_OK);
	o.rt = kit->rt;
	o.metrics = kit->metrics;
	REQUIRE(ms_http_client_new(&o, &info, &kit->client) == MS_OK);
	REQUIRE(pthread_create(&kit->thread, NULL, run_caller, kit) == 0);
}

void caller_stop(struct caller_kit *kit)
{
	ms_rt_stop(kit->rt);
	pthread_join(kit->thread, NULL);
	ms_http_client_free(kit->client);
	ms_metrics_free(kit->metrics);
	ms_rt_free(kit->rt);
}

struct errand {
	struct mail mail;
	void (*fn)(void *arg);
	void *arg;
	atomic_bool done;
};

static void do_errand(struct mail *mail)
{
	struct errand *e = MS_CONTAINER_OF(mail, struct errand, mail);
	e->fn(e->arg);
	e->done = true;
}

void caller_on_loop(struct caller_kit *kit, void (*fn)(void *arg), void *arg)
{
	struct errand e = {.fn = fn, .arg = arg};
	ms_loop_post(ms_rt_loop(kit->rt, 0), &e.mail, do_errand);
	REQUIRE(KIT_WAIT((bool)e.done));
}

double caller_metric(struct caller_kit *kit, const char *series)
{
	struct buf page;
	ms_buf_init(&page, 1 << 20);
	ms_metrics_write(kit->metrics, METRICS_PROMETHEUS_TEXT, &page);
	ms_buf_append_char(&page, '\0');
	char line[200];
	snprintf(line, sizeof(line), "\n%s ", series);
	const char *at = strstr(page.p, line);
	double value = at != NULL ? strtod(at + strlen(line), NULL) : -1;
	ms_buf_fini(&page);
	return value;
}

struct http_origin *caller_origin(struct caller_kit *kit, unsigned port)
{
	struct http_origin *origin;
	struct errinfo info;
	const struct http_origin_options o = {.host = MS_SLICE_LIT("127.0.0.1"), .port = port};
	REQUIRE(ms_http_origin_new(kit->client, &o, &info, &origin) == MS_OK);
	return origin;
}

struct http_call_options caller_options(struct http_origin *origin)
{
	return (struct http_call_options){.origin = origin,
					  .method = MS_SLICE_LIT("GET"),
					  .target = MS_SLICE_LIT("/"),
					  .authority = MS_SLICE_LIT("test"),
					  .content_length = UINT64_MAX,
					  .connect_timeout_ms = 5000,
					  .send_timeout_ms = 5000,
					  .read_timeout_ms = 5000};
}

struct beginning {
	struct caller_kit *kit;
	struct record *record;
	const struct http_call_options *options;
};

static void begin(void *arg)
{
	struct beginning *b = arg;
	struct http_call_options o = *b->options;
	struct errinfo info;
	o.loop = ms_rt_loop(b->kit->rt, 0);
	o.handlers = &handlers;
	o.arg = b->record;
	ms_errinfo_init(&info);
	enum ms_err err = ms_http_call_start(b->kit->client, &o, &info, &b->record->call);
	CHECK_STR(info.message, "");
	MS_ASSERT(err == MS_OK && !b->record->done);
}

static void init_record(struct caller_kit *kit, struct record *r)
{
	r->kit = kit;
	ms_buf_init(&r->headers, 1 << 20);
	ms_buf_init(&r->data, (size_t)1 << 30);
	ms_buf_init(&r->trailers, 1 << 20);
}

void caller_begin(struct caller_kit *kit, struct record *r, const struct http_call_options *options)
{
	init_record(kit, r);
	struct beginning b = {kit, r, options};
	if (pthread_equal(pthread_self(), kit->thread))
		begin(&b); // from a handler
	else
		caller_on_loop(kit, begin, &b);
}

struct writing {
	struct record *record;
	struct slice bytes;
	bool end;
};

static void write_now(void *arg)
{
	struct writing *w = arg;
	if (w->record->call == NULL)
		return;
	if (w->bytes.n > 0)
		(void)ms_http_call_write(w->record->call, w->bytes);
	if (w->end)
		ms_http_call_write_end(w->record->call, NULL, 0);
}

void caller_write(struct record *r, const char *bytes, size_t n, bool end)
{
	struct writing w = {r, ms_slice(bytes, n), end};
	caller_on_loop(r->kit, write_now, &w);
}

bool caller_wait(struct record *r)
{
	return KIT_WAIT((bool)r->done);
}

void caller_forget(struct record *r)
{
	ms_buf_fini(&r->headers);
	ms_buf_fini(&r->data);
	ms_buf_fini(&r->trailers);
}

void caller_call(struct caller_kit *kit, struct record *r, const struct http_call_options *options, const char *body)
{
	caller_begin(kit, r, options);
	if (body != NULL)
		caller_write(r, body, strlen(body), true);
	REQUIRE(caller_wait(r));
}
