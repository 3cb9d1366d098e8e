// SPDX-License-Identifier: Apache-2.0
#include "net/server_test_kit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

// --- Routes ------------------------------------------------------------------------------------------

static void get_hello(struct exchange *x, void *role)
{
	struct kit *kit = role;
	kit->handled++;
	ms_buf_append_cstr(x->body, "hello\n");
	ms_http_send(x, 200, "text/plain");
}

static void post_echo(struct exchange *x, void *role)
{
	struct kit *kit = role;
	kit->handled++;
	ms_buf_append_slice(x->body, x->req.body);
	ms_http_send(x, 200, "application/octet-stream");
}

static void post_length(struct exchange *x, void *role)
{
	struct kit *kit = role;
	kit->handled++;
	ms_buf_printf(x->body, "%zu", x->req.body.n);
	ms_http_send(x, 200, "text/plain");
}

// What the handler sees of its request.
static void get_item(struct exchange *x, void *role)
{
	(void)role;
	struct slice q = MS_SLICE_LIT("-");
	(void)ms_http_query(x, "q", &q);
	struct slice token = ms_http_header(&x->req, "x-token");
	char trace[33];
	ms_trace_id_hex(&x->req.trace, trace);
	ms_buf_printf(x->body, "%s|%.*s|%.*s|%.*s|%.*s|%.*s|%s", ms_http_method_name(x->req.method),
		      MS_SLICE_ARG(x->req.params[0]), MS_SLICE_ARG(q), MS_SLICE_ARG(token), MS_SLICE_ARG(x->req.peer),
		      MS_SLICE_ARG(x->req.path), trace);
	ms_http_set_header(x, "X-Test", MS_SLICE_LIT("yes"));
	ms_http_send(x, 201, "text/plain");
}

static size_t query_size(struct exchange *x)
{
	struct slice text;
	uint64_t n = 0;
	if (ms_http_query(x, "n", &text) && !ms_slice_to_u64(text, &n))
		n = 0;
	return (size_t)n;
}

static void append_pattern(struct buf *b, size_t from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ms_buf_append_char(b, (char)('a' + (from + i) % 26));
}

static void get_big(struct exchange *x, void *role)
{
	(void)role;
	append_pattern(x->body, 0, query_size(x));
	ms_http_send(x, 200, "text/plain");
}

static void get_fail(struct exchange *x, void *role)
{
	(void)role;
	struct errinfo info;
	ms_errinfo_init(&info);
	info.row = 3;
	ms_errinfo_set_field(&info, MS_SLICE_LIT("petal \"width\""));
	(void)ms_fail(&info, MS_ERR_PREDICT_TYPE, "a \"number\" is needed");
	ms_http_fail(x, &info);
}

static void get_broken(struct exchange *x, void *role)
{
	(void)role;
	ms_http_fail_code(x, MS_ERR_INTERNAL, "something broke");
}

static void get_later(struct exchange *x, void *role)
{
	struct kit *kit = role;
	kit->handled++;
	MS_ASSERT(kit->held_count < MS_ARRAY_LEN(kit->held));
	kit->held[kit->held_count++] = x;
	kit->waiting++;
}

// Streams ?n= bytes, as fast as the client reads.
struct stream {
	struct kit *kit;
	size_t at;
	size_t n;
};

static void stream_on(struct exchange *x, void *arg)
{
	struct stream *s = arg;
	char piece[4096];
	while (s->at < s->n && !ms_http_gone(x)) {
		size_t n = MS_MIN(sizeof(piece), s->n - s->at);
		for (size_t i = 0; i < n; i++)
			piece[i] = (char)('a' + (s->at + i) % 26);
		s->at += n;
		s->kit->streamed += n;
		if (ms_http_stream_write(x, ms_slice(piece, n)) >= 65536)
			return;
	}
	s->kit->streams_gone += ms_http_gone(x);
	if (s->at == s->n || ms_http_gone(x))
		ms_http_stream_end(x);
}

static void get_stream(struct exchange *x, void *role)
{
	struct stream *s = MS_ARENA_NEW(x->arena, struct stream);
	MS_ASSERT(s != NULL);
	s->kit = role;
	s->n = query_size(x);
	ms_http_stream_start(x, 200, "text/plain", stream_on, s);
	stream_on(x, s);
}

// Asks the guard about an object that only the handler knows.
static void get_object(struct exchange *x, void *role)
{
	struct kit *kit = role;
	struct slice name = MS_SLICE_EMPTY;
	kit->handled++;
	(void)ms_http_query(x, "name", &name);
	if (!ms_http_require(x, name))
		return;
	ms_buf_printf(x->body, "%.*s", MS_SLICE_ARG(x->caller.name));
	ms_http_send(x, 200, "text/plain");
}

#define MAY .permission = "use"
static const struct route routes[] = {
	{.method = HTTP_GET, .pattern = "/", .handle = get_hello, .operation_id = "hello", MAY},
	{.method = HTTP_GET,
	 .pattern = "/health",
	 .handle = get_hello,
	 .flags = ROUTE_WHILE_DRAINING | ROUTE_QUIET | ROUTE_PUBLIC},
	{.method = HTTP_POST, .pattern = "/echo", .handle = post_echo, MAY},
	{.method = HTTP_POST, .pattern = "/length", .handle = post_length, MAY},
	{.method = HTTP_POST, .pattern = "/upload", .handle = post_length, .flags = ROUTE_UPLOAD, MAY},
	{.method = HTTP_GET, .pattern = "/items/{id}", .handle = get_item, MAY, .object = 1},
	{.method = HTTP_GET, .pattern = "/big", .handle = get_big, MAY},
	{.method = HTTP_GET, .pattern = "/fail", .handle = get_fail, MAY},
	{.method = HTTP_GET, .pattern = "/broken", .handle = get_broken, MAY},
	{.method = HTTP_GET, .pattern = "/later", .handle = get_later, MAY},
	{.method = HTTP_GET, .pattern = "/stream", .handle = get_stream, MAY},
	{.method = HTTP_GET, .pattern = "/object", .handle = get_object, MAY},
};

// --- Server ------------------------------------------------------------------------------------------

void kit_make(struct kit *kit, const struct kit_options *options)
{
	static const struct kit_options defaults;
	const struct kit_options *o = options != NULL ? options : &defaults;
	struct errinfo info;
	ms_errinfo_init(&info);
	*kit = (struct kit){.log_fd = -1};
	unsigned loops = o->loops > 0 ? o->loops : 1;
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = loops}, &info, &kit->rt) == MS_OK);
	REQUIRE(ms_metrics_new(loops, &kit->metrics) == MS_OK);
	if (!o->quiet) {
		char path[512];
		snprintf(path, sizeof(path), "%s/log.XXXXXX", ms_test_temp_dir());
		kit->log_fd = mkstemp(path);
		const struct log_options log = {.level = LOG_INFO,
						.format = LOG_FORMAT_JSON,
						.fd = kit->log_fd,
						.service = "test",
						.version = "0"};
		REQUIRE(kit->log_fd >= 0 && ms_log_new(&log, &info, &kit->log) == MS_OK);
	}
	kit->sets[0] = (struct route_set){routes, MS_ARRAY_LEN(routes), kit};
	kit->sets[1] = (struct route_set){o->routes, o->route_count, o->role};
	kit->listen = (struct http_listen){o->address != NULL ? o->address : "127.0.0.1:0", o->tls};
	kit->options = (struct http_server_options){
		.rt = kit->rt,
		.log = kit->log,
		.metrics = kit->metrics,
		.route_sets = kit->sets,
		.route_set_count = MS_ARRAY_LEN(kit->sets),
		.listens = &kit->listen,
		.listen_count = 1,
		.limits = o->limits != NULL ? *o->limits : MS_HTTP_DEFAULT_LIMITS,
		.access_log = o->access_log,
		.h2 = true,
		.server_header = o->server_header,
		.guard = o->guard,
		.front = o->front,
	};
	enum ms_err err = ms_http_server_new(&kit->options, &info, &kit->server);
	CHECK_STR(info.message, "");
	REQUIRE(err == MS_OK);
	kit->port = ms_http_server_port(kit->server, 0);
}

static void *run_loops(void *arg)
{
	struct kit *kit = arg;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_rt_run(kit->rt, &info);
	MS_ASSERT(err == MS_OK);
	return NULL;
}

void kit_run(struct kit *kit)
{
	REQUIRE(pthread_create(&kit->thread, NULL, run_loops, kit) == 0);
}

void kit_start(struct kit *kit, const struct kit_options *options)
{
	kit_make(kit, options);
	ms_http_server_start(kit->server);
	kit_run(kit);
}

void kit_stop(struct kit *kit)
{
	ms_rt_stop(kit->rt);
	pthread_join(kit->thread, NULL);
	ms_http_server_free(kit->server);
	ms_log_free(kit->log);
	ms_metrics_free(kit->metrics);
	ms_rt_free(kit->rt);
	if (kit->log_fd >= 0)
		close(kit->log_fd);
}

struct call {
	struct mail mail;
	struct kit *kit;
	void (*fn)(struct kit *kit, void *arg);
	void *arg;
	sem_t done;
};

static void make_call(struct mail *mail)
{
	struct call *call = MS_CONTAINER_OF(mail, struct call, mail);
	call->fn(call->kit, call->arg);
	sem_post(&call->done);
}

void kit_on_loop(struct kit *kit, void (*fn)(struct kit *kit, void *arg), void *arg)
{
	struct call call = {.kit = kit, .fn = fn, .arg = arg};
	sem_init(&call.done, 0, 0);
	ms_loop_post(ms_rt_loop(kit->rt, 0), &call.mail, make_call);
	while (sem_wait(&call.done) != 0)
		;
	sem_destroy(&call.done);
}

static void answer_held(struct kit *kit, void *arg)
{
	// Answering may start the next request of the same connection, which is held again.
	unsigned count = kit->held_count;
	struct exchange *held[MS_ARRAY_LEN(kit->held)];
	memcpy(held, kit->held, sizeof(held));
	kit->held_count = 0;
	kit->waiting -= count;
	for (unsigned i = 0; i < count; i++) {
		append_pattern(held[i]->body, 0, *(size_t *)arg);
		ms_http_send(held[i], 200, "text/plain");
	}
}

void kit_answer(struct kit *kit, size_t n)
{
	kit_on_loop(kit, answer_held, &n);
}

static void note_drained(void *arg)
{
	(*(atomic_uint *)arg)++;
}

struct drain {
	unsigned grace_ms;
	atomic_uint *done;
};

static void begin_drain(struct kit *kit, void *arg)
{
	struct drain *d = arg;
	ms_http_server_drain(kit->server, d->grace_ms, note_drained, d->done);
}

void kit_drain(struct kit *kit, unsigned grace_ms, atomic_uint *done)
{
	struct drain d = {grace_ms, done};
	kit_on_loop(kit, begin_drain, &d);
}

void kit_yield(void)
{
	poll(NULL, 0, 1);
}

double kit_metric(struct kit *kit, const char *series)
{
	struct buf page;
	ms_buf_init(&page, 1 << 20);
	ms_metrics_write(kit->metrics, METRICS_PROMETHEUS_TEXT, &page);
	ms_buf_append_char(&page, '\0');
	REQUIRE(ms_buf_ok(&page));
	char line[256];
	snprintf(line, sizeof(line), "\n%s ", series);
	const char *hit = strstr(page.p, line);
	double value = hit != NULL ? strtod(hit + strlen(line), NULL) : -1;
	ms_buf_fini(&page);
	return value;
}

bool kit_logged(struct kit *kit, const char *part)
{
	char text[65536];
	ms_log_flush(kit->log);
	ssize_t n = pread(kit->log_fd, text, sizeof(text), 0);
	return n > 0 && memmem(text, (size_t)n, part, strlen(part)) != NULL;
}

// --- Client ------------------------------------------------------------------------------------------

static void client_init(struct client *c, int fd)
{
	*c = (struct client){.fd = fd};
	ms_buf_init(&c->in, 64 << 20);
}

void client_connect(struct client *c, unsigned port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	REQUIRE(fd >= 0);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	REQUIRE(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	client_init(c, fd);
}

void client_connect_unix(struct client *c, const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	REQUIRE(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	client_init(c, fd);
}

void client_close(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	ms_buf_fini(&c->in);
}

void client_reset(struct client *c)
{
	struct linger hard = {.l_onoff = 1};
	setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	client_close(c);
}

void client_finish(struct client *c)
{
	shutdown(c->fd, SHUT_WR);
}

bool client_send(struct client *c, const void *p, size_t n)
{
	const char *at = p;
	while (n > 0) {
		ssize_t sent = send(c->fd, at, n, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		at += sent;
		n -= (size_t)sent;
	}
	return true;
}

bool client_send_text(struct client *c, const char *text)
{
	return client_send(c, text, strlen(text));
}

bool client_read(struct client *c)
{
	struct pollfd poll_fd = {.fd = c->fd, .events = POLLIN};
	if (c->eof || c->reset || poll(&poll_fd, 1, PATIENCE_MS) != 1)
		return false;
	REQUIRE(ms_buf_reserve(&c->in, 65536));
	ssize_t n = recv(c->fd, c->in.p + c->in.n, 65536, 0);
	c->eof = n == 0;
	c->reset = n < 0;
	c->in.n += n > 0 ? (size_t)n : 0;
	return n > 0;
}

bool client_read_to_end(struct client *c)
{
	while (client_read(c))
		;
	return c->eof;
}

void client_consume(struct client *c, size_t n)
{
	ms_buf_consume(&c->in, n);
}

struct slice answer_header(const struct answer *a, const char *name)
{
	struct slice rest = a->head, line, wanted = ms_slice_cstr(name);
	while (ms_slice_next(&rest, '\n', &line)) {
		size_t colon = ms_slice_find(line, ':');
		if (colon == wanted.n && ms_slice_eq_nocase(ms_slice_sub(line, 0, colon), wanted)) {
			line = ms_slice_sub(line, colon + 1, line.n);
			return ms_slice_trim(ms_slice_sub(line, 0, line.n - 1)); // without the CR
		}
	}
	return MS_SLICE_EMPTY;
}

static bool read_head(struct client *c, struct answer *ret_answer)
{
	const char *end;
	for (;;) {
		end = c->in.n > 0 ? memmem(c->in.p, c->in.n, "\r\n\r\n", 4) : NULL;
		if (end != NULL)
			break;
		if (!client_read(c))
			return false;
	}
	*ret_answer = (struct answer){.head = ms_slice(c->in.p, (size_t)(end - c->in.p) + 4)};
	if (!ms_slice_starts_with(ret_answer->head, MS_SLICE_LIT("HTTP/1.1 ")))
		return false;
	ret_answer->status = (int)strtol(ret_answer->head.p + 9, NULL, 10);
	ret_answer->bytes = ret_answer->head.n;
	return true;
}

static bool need(struct client *c, size_t n)
{
	while (c->in.n < n) {
		if (!client_read(c))
			return false;
	}
	return true;
}

// De-chunks in place; the body ends up behind the head.
static bool read_chunks(struct client *c, size_t head, size_t *ret_body, size_t *ret_bytes)
{
	size_t at = head, to = head;
	for (;;) {
		const char *eol;
		while ((eol = at < c->in.n ? memmem(c->in.p + at, c->in.n - at, "\r\n", 2) : NULL) == NULL) {
			if (!client_read(c))
				return false;
		}
		size_t line = (size_t)(eol - c->in.p) + 2;
		size_t n = strtoul(c->in.p + at, NULL, 16);
		if (!need(c, line + n + 2) || memcmp(c->in.p + line + n, "\r\n", 2) != 0)
			return false;
		memmove(c->in.p + to, c->in.p + line, n);
		to += n;
		at = line + n + 2;
		if (n == 0)
			break;
	}
	*ret_body = to - head;
	*ret_bytes = at;
	return true;
}

bool client_head(struct client *c, struct answer *ret_answer)
{
	return read_head(c, ret_answer);
}

bool client_answer(struct client *c, struct answer *ret_answer)
{
	struct answer a;
	if (!read_head(c, &a))
		return false;
	size_t head = a.head.n, body = 0, bytes = head;
	uint64_t length = 0;
	struct slice length_text = answer_header(&a, "Content-Length");
	if (ms_slice_eq_cstr(answer_header(&a, "Transfer-Encoding"), "chunked")) {
		if (!read_chunks(c, head, &body, &bytes))
			return false;
	} else if (length_text.p != NULL) {
		if (!ms_slice_to_u64(length_text, &length) || !need(c, head + (size_t)length))
			return false;
		body = (size_t)length;
		bytes = head + body;
	} else if (a.status != 204 && a.status != 304) {
		client_read_to_end(c); // ends with the connection
		body = c->in.n - head;
		bytes = c->in.n;
	}
	a.head.p = c->in.p;
	a.body = ms_slice(c->in.p + head, body);
	a.bytes = bytes;
	*ret_answer = a;
	return true;
}

int client_ask(struct client *c, const char *request, struct answer *ret_answer)
{
	if (!client_send_text(c, request) || !client_answer(c, ret_answer))
		return 0;
	return ret_answer->status;
}

int kit_ask(struct kit *kit, const char *request, char *body, size_t body_size)
{
	struct client c;
	struct answer a;
	client_connect(&c, kit->port);
	int status = client_ask(&c, request, &a);
	if (status != 0 && body != NULL)
		snprintf(body, body_size, "%.*s", MS_SLICE_ARG(a.body));
	client_close(&c);
	return status;
}
