// SPDX-License-Identifier: Apache-2.0
// The seam with a transport made for the test, which keeps what it is told: many works of one connection, no wire, no socket.
#include <stdio.h>

#include "net/server.h"
#include "net/server_test_kit.h"

struct told {
	struct work *w;
	int status;
	uint64_t length;
	struct http_header *fields;
	size_t field_count;
	struct buf bytes;
	size_t waiting; // what write() says
	unsigned heads, bodies, ends, cuts, wants, dones;
};

static struct told *told_of(struct work *w)
{
	return w->stream;
}

static void fake_head(struct work *w, const struct answer_head *head)
{
	struct told *t = told_of(w);
	t->heads++;
	t->status = head->status;
	t->length = head->length;
	t->fields = ms_answer_fields(w, head, &t->field_count);
	CHECK(t->fields != NULL);
}

static void fake_interim(struct work *w, int status, const struct http_header *headers, size_t count)
{
	(void)w, (void)status, (void)headers, (void)count;
}

static void fake_body(struct work *w, const struct buf *body)
{
	struct told *t = told_of(w);
	t->bodies++;
	ms_buf_append_slice(&t->bytes, ms_buf_slice(body));
}

static size_t fake_write(struct work *w, struct slice bytes)
{
	struct told *t = told_of(w);
	ms_buf_append_slice(&t->bytes, bytes);
	t->waiting += bytes.n;
	return t->waiting;
}

static void fake_end(struct work *w, const struct http_header *trailers, size_t count)
{
	(void)trailers, (void)count;
	told_of(w)->ends++;
}

static void fake_cut(struct work *w)
{
	told_of(w)->cuts++;
	w->gone = true;
}

static void fake_tunnel(struct work *w, const struct http_header *headers, size_t count)
{
	(void)w, (void)headers, (void)count;
}

static void fake_want(struct work *w)
{
	told_of(w)->wants++;
}

static void fake_done(struct work *w)
{
	told_of(w)->dones++;
	CHECK(!w->open);
}

static const struct transport fake = {fake_head, fake_interim, fake_body, fake_write, fake_end,
				      fake_cut,  fake_tunnel,  fake_want, fake_done};

static struct conn conn; // what exchanges ask of one: loop and peer

static struct work *begin(struct kit *kit, struct told *t, enum http_method method, const char *path, const char *query,
			  bool body)
{
	struct net_loop *nl = &kit->server->loops[0];
	static const struct http_header headers[] = {{MS_SLICE_LIT("accept-encoding"), MS_SLICE_LIT("gzip")}};
	*t = (struct told){0};
	ms_buf_init(&t->bytes, 16 << 20);
	conn.nl = nl;
	memcpy(conn.peer, "fake", 5);
	struct work *w = ms_work_take(nl, &conn, &fake, t);
	REQUIRE(w != NULL);
	t->w = w;
	struct http_request *req = &w->x.req;
	req->method = method;
	req->path = req->target = ms_slice_cstr(path);
	req->query = query != NULL ? ms_slice_cstr(query) : MS_SLICE_EMPTY;
	req->headers = headers;
	req->header_count = 1;
	req->version = 20;
	req->authority = MS_SLICE_LIT("t");
	req->has_body = body;
	req->content_length = UINT64_MAX;
	w->marks = (struct request_marks){.request_id = MS_SLICE_LIT("id-of-client"), .accept_encoding = true};
	w->parsed = true;
	ms_exchange_begin(w);
	ms_exchange_start(w);
	return w;
}

static void end(struct told *t)
{
	CHECK_INT(t->dones, 1);
	ms_work_give(t->w);
	ms_buf_fini(&t->bytes);
}

static struct slice field(const struct told *t, const char *name)
{
	for (size_t i = 0; i < t->field_count; i++) {
		if (ms_slice_eq_cstr(t->fields[i].name, name))
			return t->fields[i].value;
	}
	return MS_SLICE_EMPTY;
}

static void answers(struct kit *kit, void *arg)
{
	(void)arg;
	struct told t;
	begin(kit, &t, HTTP_GET, "/items/7", "q=1", false);
	CHECK_INT(t.status, 201);
	CHECK_SLICE(field(&t, "x-test"), "yes");
	CHECK_SLICE(field(&t, "x-request-id"), "id-of-client");
	CHECK_SLICE(field(&t, "content-type"), "text/plain");
	CHECK_SLICE(field(&t, "server"), "ours");
	CHECK_SLICE(field(&t, "x-content-type-options"), "nosniff");
	CHECK_INT(field(&t, "date").n, 29);
	CHECK(ms_slice_starts_with(ms_buf_slice(&t.bytes), MS_SLICE_LIT("GET|7|1|")));
	uint64_t length = 0;
	CHECK(ms_slice_to_u64(field(&t, "content-length"), &length) && length == t.bytes.n && length == t.length);
	CHECK_INT(t.bodies, 1);
	CHECK_INT(t.ends, 0);
	end(&t);
	begin(kit, &t, HTTP_GET, "/big", "n=5000", false);
	CHECK_SLICE(field(&t, "content-encoding"), "gzip");
	CHECK_SLICE(field(&t, "vary"), "Accept-Encoding");
	CHECK(t.bytes.n > 18 && t.bytes.n < 1000 && (unsigned char)t.bytes.p[0] == 0x1f);
	end(&t);
	begin(kit, &t, HTTP_GET, "/none", NULL, false);
	CHECK_INT(t.status, 404);
	end(&t);
	begin(kit, &t, HTTP_HEAD, "/", NULL, false);
	CHECK_INT(t.length, 6);
	CHECK_INT(t.bodies, 0);
	end(&t);
}

// Several works of one connection at once, their bodies coming in turns.
static void bodies(struct kit *kit, void *arg)
{
	(void)arg;
	struct told t[3];
	for (size_t i = 0; i < MS_ARRAY_LEN(t); i++) {
		begin(kit, &t[i], HTTP_POST, "/echo", NULL, true);
		CHECK(ms_body_wanted(t[i].w));
		CHECK_INT(t[i].wants, 1);
		CHECK_INT(t[i].heads, 0);
	}
	CHECK_INT(conn.works, 3);
	for (char c = 'a'; c < 'e'; c++) {
		ms_body_data(t[0].w, ms_slice(&c, 1));
		ms_body_data(t[1].w, ms_slice(&c, 1));
	}
	ms_body_end(t[1].w, NULL, 0);
	CHECK_SLICE(ms_buf_slice(&t[1].bytes), "abcd");
	CHECK_INT(t[0].heads, 0);
	ms_body_data(t[0].w, MS_SLICE_LIT("!"));
	ms_body_end(t[0].w, NULL, 0);
	CHECK_SLICE(ms_buf_slice(&t[0].bytes), "abcd!");
	ms_exchange_gone(t[2].w); // its client went: over, unanswered
	CHECK_INT(t[2].heads, 0);
	for (size_t i = 0; i < MS_ARRAY_LEN(t); i++)
		end(&t[i]);
	CHECK_INT(conn.works, 0);
}

static void streams(struct kit *kit, void *arg)
{
	(void)arg;
	struct told t;
	struct work *w = begin(kit, &t, HTTP_GET, "/stream", "n=200000", false);
	CHECK_INT(t.length, LENGTH_STREAM);
	CHECK(field(&t, "content-length").p == NULL);
	while (t.dones == 0) {
		CHECK(w->wants_drain && t.waiting >= OUTPUT_HIGH && t.waiting < OUTPUT_HIGH + 5000);
		t.waiting = 0;
		ms_exchange_drained(w);
	}
	CHECK_INT(t.bytes.n, 200000);
	CHECK_INT(t.ends, 1);
	end(&t);
	w = begin(kit, &t, HTTP_GET, "/stream", "n=200000", false);
	w->gone = true;
	ms_exchange_gone(w);
	CHECK_INT(t.ends, 0);
	end(&t);
}

static void refusals(struct kit *kit, void *arg)
{
	(void)arg;
	struct told t = {0};
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_HTTP_SYNTAX, "a stream's own error");
	ms_buf_init(&t.bytes, 1 << 20);
	t.w = ms_work_take(&kit->server->loops[0], &conn, &fake, &t);
	REQUIRE(t.w != NULL);
	ms_exchange_refuse(t.w, &info);
	CHECK_INT(t.status, 400);
	CHECK_INT(t.bodies, 1);
	end(&t);
}

// Takes five bytes at most.
static void small_data(struct exchange *x, struct slice bytes, void *arg)
{
	(void)arg;
	ms_buf_append_slice(x->body, bytes);
	ms_http_body_pause(x);
}

static void small_end(struct exchange *x, const struct http_header *trailers, size_t count, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < count; i++)
		ms_buf_append_slice(x->body, trailers[i].value);
	ms_http_send(x, 200, "text/plain");
}

static void small_cut(struct exchange *x, const struct errinfo *info, void *arg)
{
	(void)arg;
	ms_http_fail(x, info);
}

static void post_small(struct exchange *x, void *role)
{
	static const struct http_body_reader reader = {small_data, small_end, small_cut, 5};
	ms_http_body_read(x, &reader, role);
}

static const struct route small_route = {
	.method = HTTP_POST, .pattern = "/small", .handle = post_small, .flags = ROUTE_STREAM | ROUTE_PUBLIC};

static void readers(struct kit *kit, void *arg)
{
	(void)arg;
	struct told t;
	static const struct http_header trailer = {MS_SLICE_LIT("x"), MS_SLICE_LIT("!")};
	struct work *w = begin(kit, &t, HTTP_POST, "/small", NULL, true);
	CHECK_INT(t.wants, 1);
	ms_body_data(w, MS_SLICE_LIT("abc"));
	CHECK(!ms_body_wanted(w));
	ms_http_body_resume(&w->x);
	CHECK_INT(t.wants, 2);
	ms_body_data(w, MS_SLICE_LIT("de"));
	ms_http_body_resume(&w->x);
	ms_body_end(w, &trailer, 1);
	CHECK_INT(t.status, 200);
	CHECK_SLICE(ms_buf_slice(&t.bytes), "abcde!");
	end(&t);
	w = begin(kit, &t, HTTP_POST, "/small", NULL, true);
	ms_body_data(w, MS_SLICE_LIT("abc"));
	ms_http_body_resume(&w->x);
	ms_body_data(w, MS_SLICE_LIT("def")); // one more than it takes
	CHECK_INT(t.status, 413);
	end(&t);
}

TEST(transport_of_another_kind_carries_exchanges)
{
	struct kit kit;
	kit_start(&kit, &(struct kit_options){.server_header = "ours", .routes = &small_route, .route_count = 1});
	kit_on_loop(&kit, readers, NULL);
	kit_on_loop(&kit, answers, NULL);
	kit_on_loop(&kit, bodies, NULL);
	kit_on_loop(&kit, streams, NULL);
	kit_on_loop(&kit, refusals, NULL);
	kit_stop(&kit);
}
