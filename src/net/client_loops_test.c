// SPDX-License-Identifier: Apache-2.0
// Several loops that share a client and its origins, which come and go meanwhile. Made for the thread sanitizer.
#include "net/client_test_kit.h"

#define LOOPS 3
#define CALLS 300

struct crowd;
struct lane {
	struct crowd *crowd;
	struct mail mail;
	unsigned index, left, good;
};
struct crowd {
	struct rt *rt;
	struct http_client *client;
	struct lane lanes[LOOPS];
	atomic_uint running;
	unsigned port;
};

static void next_call(struct lane *lane);

static void on_head(struct http_call *call, int status, const struct http_header *headers, size_t count,
		    uint64_t content_length, void *arg)
{
	(void)call, (void)headers, (void)count, (void)content_length;
	((struct lane *)arg)->good += status == 200;
}

static void on_data(struct http_call *call, struct slice bytes, void *arg)
{
	(void)call, (void)bytes, (void)arg;
}

static void on_end(struct http_call *call, const struct http_header *trailers, size_t count, void *arg)
{
	(void)call, (void)trailers, (void)count;
	next_call(arg);
}

static void on_failed(struct http_call *call, enum http_call_failure failure, bool sent, const struct errinfo *info,
		      void *arg)
{
	(void)call, (void)failure, (void)sent;
	CHECK_STR(info->message, "");
	next_call(arg);
}

static const struct http_call_handlers handlers = {
	.head = on_head, .data = on_data, .end = on_end, .failed = on_failed};

static void next_call(struct lane *lane)
{
	struct crowd *c = lane->crowd;
	if (lane->left-- == 0) {
		if (--c->running == 0)
			ms_http_client_stop(c->client);
		return;
	}
	// The call keeps its origin.
	struct http_origin *origin;
	struct errinfo info;
	const struct http_origin_options o = {
		.host = lane->left % 3 == 0 ? MS_SLICE_LIT("localhost") : MS_SLICE_LIT("127.0.0.1"), .port = c->port};
	enum ms_err err = ms_http_origin_new(c->client, &o, &info, &origin);
	MS_ASSERT(err == MS_OK);
	struct http_call_options call = caller_options(origin);
	struct http_call *started;
	call.loop = ms_rt_loop(c->rt, lane->index);
	call.handlers = &handlers;
	call.arg = lane;
	call.new_connection = lane->left % 10 == 0;
	err = ms_http_call_start(c->client, &call, &info, &started);
	MS_ASSERT(err == MS_OK);
	ms_http_origin_unref(origin);
}

static void begin(struct mail *mail)
{
	next_call(MS_CONTAINER_OF(mail, struct lane, mail));
}

static void *run(void *arg)
{
	enum ms_err err = ms_rt_run(arg, NULL);
	MS_ASSERT(err == MS_OK);
	return NULL;
}

TEST(client_serves_several_loops)
{
	struct kit server;
	struct crowd c = {.running = LOOPS};
	pthread_t thread;
	struct metrics *metrics;
	kit_start(&server, &(struct kit_options){.loops = 2});
	c.port = server.port;
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = LOOPS}, NULL, &c.rt) == MS_OK);
	REQUIRE(ms_metrics_new(LOOPS, &metrics) == MS_OK);
	const struct http_client_options options = {.rt = c.rt, .metrics = metrics};
	REQUIRE(ms_http_client_new(&options, NULL, &c.client) == MS_OK);
	for (unsigned i = 0; i < LOOPS; i++) {
		c.lanes[i] = (struct lane){.crowd = &c, .index = i, .left = CALLS};
		ms_loop_post(ms_rt_loop(c.rt, i), &c.lanes[i].mail, begin);
	}
	REQUIRE(pthread_create(&thread, NULL, run, c.rt) == 0);
	CHECK(KIT_WAIT(c.running == 0));
	ms_rt_stop(c.rt);
	pthread_join(thread, NULL);
	ms_http_client_free(c.client);
	ms_metrics_free(metrics);
	ms_rt_free(c.rt);
	for (unsigned i = 0; i < LOOPS; i++)
		CHECK_INT(c.lanes[i].good, CALLS);
	kit_stop(&server);
}
