// SPDX-License-Identifier: Apache-2.0
// The queues of http-log: one for each loop and each place that is told. A queue outlives plans, so it has copies of all that it needs.
#include <stdlib.h>

#include "gateway/plugins/http_log.h"

#define HEADERS_MAX 40

struct entry {
	struct list_node node;
	struct slice text; // malloc
};
struct gw_log_queue {
	struct gw_kept kept;
	const struct gw_services *services;
	struct loop *loop;
	struct arena arena; // of the copies
	struct slice method, target, authority;
	struct http_header headers[HEADERS_MAX];
	size_t header_count;
	struct gw_log_queue_config config;
	unsigned timeout_ms;
	struct http_origin *origin;
	struct list entries;
	size_t bytes;
	struct timer *timer; // until a batch is sent: for others to come, or for the next try
	bool timing;
	struct buf batch; // under way, or waiting for its next try
	size_t batch_count;
	bool batch_waits;
	int64_t batch_since_ns;
	double retry_s;
	struct http_call *call;
	int status;
	uint64_t dropped;
	int64_t told_ns; // of drops, in the log
};

static void send_batch(struct gw_log_queue *q);

static void tell_dropped(struct gw_log_queue *q, size_t count, const char *why)
{
	int64_t now = ms_loop_now_ns(q->loop);
	q->dropped += count;
	if (q->told_ns != 0 && now - q->told_ns < 1000000000)
		return;
	q->told_ns = now;
	ms_log(q->services->log, LOG_WARN, "Entries of http-log were dropped",
	       MS_LOG_INT("mainstay.gateway.dropped", (int64_t)q->dropped), MS_LOG_CSTR("error.message", why));
}

static void drop_entry(struct gw_log_queue *q, struct entry *e)
{
	q->bytes -= e->text.n;
	free((void *)(uintptr_t)e->text.p);
	free(e);
}

// --- Sending -----------------------------------------------------------------------------------------------------------

static uint64_t to_ms(double seconds)
{
	return seconds > 0 ? (uint64_t)(seconds * 1000 + 0.5) : 0;
}

static void arm(struct gw_log_queue *q, double seconds)
{
	if (q->timer == NULL)
		return;
	q->timing = true;
	ms_timer_start(q->timer, to_ms(seconds), 0);
}

static void done_batch(struct gw_log_queue *q)
{
	ms_buf_clear(&q->batch);
	q->batch_waits = false;
	q->batch_count = 0;
	if (q->entries.count >= (size_t)q->config.max_batch_size)
		send_batch(q);
	else if (q->entries.count > 0 && !q->timing)
		arm(q, q->config.max_coalescing_delay);
}

static void retry_batch(struct gw_log_queue *q, const char *why)
{
	double since_s = (double)(ms_loop_now_ns(q->loop) - q->batch_since_ns) / 1e9;
	if (since_s + q->retry_s > q->config.max_retry_time) {
		tell_dropped(q, q->batch_count, why);
		done_batch(q);
		return;
	}
	q->batch_waits = true;
	arm(q, q->retry_s);
	q->retry_s = MS_MIN(q->retry_s * 2, q->config.max_retry_delay);
}

static void on_head(struct http_call *call, int status, const struct http_header *headers, size_t count,
		    uint64_t content_length, void *arg)
{
	(void)call;
	(void)headers;
	(void)count;
	(void)content_length;
	((struct gw_log_queue *)arg)->status = status;
}

static void on_data(struct http_call *call, struct slice bytes, void *arg)
{
	(void)call; // what it says is of no interest
	(void)bytes;
	(void)arg;
}

static void on_end(struct http_call *call, const struct http_header *trailers, size_t count, void *arg)
{
	struct gw_log_queue *q = arg;
	(void)call;
	(void)trailers;
	(void)count;
	q->call = NULL;
	if (q->status >= 200 && q->status < 400)
		done_batch(q);
	else
		retry_batch(q, "the server refused them");
}

static void on_failed(struct http_call *call, enum http_call_failure failure, bool sent, const struct errinfo *info,
		      void *arg)
{
	struct gw_log_queue *q = arg;
	(void)call;
	(void)failure;
	(void)sent;
	q->call = NULL;
	retry_batch(q, info != NULL ? info->message : "the server cannot be reached");
}

static void on_drained(struct http_call *call, void *arg)
{
	(void)call; // the whole batch was written at once
	(void)arg;
}

static void start_call(struct gw_log_queue *q)
{
	static const struct http_call_handlers handlers = {
		.head = on_head, .data = on_data, .end = on_end, .failed = on_failed, .drained = on_drained};
	const struct http_call_options options = {.origin = q->origin,
						  .loop = q->loop,
						  .method = q->method,
						  .target = q->target,
						  .authority = q->authority,
						  .headers = q->headers,
						  .header_count = q->header_count,
						  .has_body = true,
						  .content_length = q->batch.n,
						  .connect_timeout_ms = q->timeout_ms,
						  .send_timeout_ms = q->timeout_ms,
						  .read_timeout_ms = q->timeout_ms,
						  .handlers = &handlers,
						  .arg = q};
	struct errinfo info;
	ms_errinfo_init(&info);
	q->batch_waits = false;
	q->status = 0;
	if (ms_http_call_start(q->services->client, &options, &info, &q->call) != MS_OK) {
		q->call = NULL;
		retry_batch(q, info.message);
		return;
	}
	MS_IGNORE(ms_http_call_write(q->call, ms_buf_slice(&q->batch)) >
		  0); // the queue is the only back-pressure that there is
	ms_http_call_write_end(q->call, NULL, 0);
}

static void send_batch(struct gw_log_queue *q)
{
	bool array = q->config.max_batch_size > 1;
	if (q->call != NULL || q->batch_waits || q->entries.count == 0 || q->timer == NULL)
		return;
	if (q->timing)
		ms_timer_stop(q->timer);
	q->timing = false;
	ms_buf_clear(&q->batch);
	if (array)
		ms_buf_append_char(&q->batch, '[');
	while (q->batch_count < (size_t)q->config.max_batch_size && q->entries.count > 0) {
		struct entry *e = MS_CONTAINER_OF(ms_list_pop(&q->entries), struct entry, node);
		if (q->batch_count++ > 0)
			ms_buf_append_char(&q->batch, ',');
		ms_buf_append_slice(&q->batch, e->text);
		drop_entry(q, e);
	}
	if (array)
		ms_buf_append_char(&q->batch, ']');
	if (!ms_buf_ok(&q->batch)) {
		tell_dropped(q, q->batch_count, "there is no memory for them");
		done_batch(q);
		return;
	}
	q->batch_since_ns = ms_loop_now_ns(q->loop);
	q->retry_s = q->config.initial_retry_delay;
	start_call(q);
}

static void on_timer(struct timer *timer, void *arg)
{
	struct gw_log_queue *q = arg;
	(void)timer;
	q->timing = false;
	if (q->batch_waits)
		start_call(q);
	else
		send_batch(q);
}

void ms_http_log_put(struct gw_log_queue *q, struct slice text)
{
	struct entry *e =
		q->entries.count < (size_t)q->config.max_entries && q->bytes + text.n <= (size_t)q->config.max_bytes
			? malloc(sizeof(*e))
			: NULL;
	if (e == NULL || q->timer == NULL) {
		free(e);
		free((void *)(uintptr_t)text.p);
		tell_dropped(q, 1, "the queue is full");
		return;
	}
	*e = (struct entry){.text = text};
	q->bytes += text.n;
	ms_list_append(&q->entries, &e->node);
	if (q->entries.count >= (size_t)q->config.max_batch_size)
		send_batch(q);
	else if (q->call == NULL && !q->timing)
		arm(q, q->config.max_coalescing_delay);
}

// --- Life --------------------------------------------------------------------------------------------------------------

static void stop_queue(struct gw_kept *kept)
{
	struct gw_log_queue *q = MS_CONTAINER_OF(kept, struct gw_log_queue, kept);
	if (q->call != NULL)
		ms_http_call_cancel(q->call);
	q->call = NULL;
	ms_timer_free(q->timer);
	q->timer = NULL;
	if (q->entries.count + q->batch_count > 0)
		tell_dropped(q, q->entries.count + q->batch_count, "the server stops");
}

static void free_queue(struct gw_kept *kept)
{
	struct gw_log_queue *q = MS_CONTAINER_OF(kept, struct gw_log_queue, kept);
	struct list_node *node;
	while ((node = ms_list_pop(&q->entries)) != NULL)
		drop_entry(q, MS_CONTAINER_OF(node, struct entry, node));
	ms_timer_free(q->timer);
	ms_http_origin_unref(q->origin);
	ms_buf_fini(&q->batch);
	ms_arena_fini(&q->arena);
	free(q);
}

static bool add_header(struct gw_log_queue *q, struct slice name, struct slice value)
{
	if (q->header_count == HEADERS_MAX)
		return false;
	struct http_header *h = &q->headers[q->header_count++];
	h->name = ms_arena_copy(&q->arena, name);
	h->value = ms_arena_copy(&q->arena, value);
	return h->name.p != NULL && h->value.p != NULL;
}

static bool copy_config(struct gw_log_queue *q, const struct gw_log_config *c)
{
	static const char *const types[] = {"application/json", "application/json; charset=utf-8"};
	q->config = c->queue;
	q->timeout_ms = (unsigned)c->timeout;
	q->method = ms_arena_copy(&q->arena, c->method_text);
	q->target = ms_arena_copy(&q->arena, c->target);
	q->authority = ms_arena_copy(&q->arena, c->authority);
	bool ok = q->method.p != NULL && q->target.p != NULL && q->authority.p != NULL &&
		  add_header(q, MS_SLICE_LIT("Content-Type"), ms_slice_cstr(types[c->content_type])) &&
		  (c->authorization.n == 0 || add_header(q, MS_SLICE_LIT("Authorization"), c->authorization));
	for (size_t i = 0; ok && i < c->headers.count; i++) {
		for (size_t j = 0; ok && j < c->headers.items[i].values.count; j++)
			ok = add_header(q, c->headers.items[i].name, c->headers.items[i].values.items[j]);
	}
	return ok;
}

static struct gw_kept *make_queue(struct gw_request *r, const void *config)
{
	const struct gw_log_config *c = config;
	struct gw_log_queue *q = calloc(1, sizeof(*q));
	struct errinfo info;
	const struct http_origin_options origin = {.host = c->host, .port = c->port, .tls = c->tls, .tls_verify = true};
	ms_errinfo_init(&info);
	if (q == NULL)
		return NULL;
	q->kept = (struct gw_kept){stop_queue, free_queue};
	q->services = r->services;
	q->loop = r->x->loop;
	ms_arena_init(&q->arena, 1024, 262144);
	ms_list_init(&q->entries);
	ms_buf_init(&q->batch, (size_t)(c->queue.max_bytes + c->queue.max_batch_size) + 16);
	if (copy_config(q, c) && ms_timer_new(q->loop, on_timer, q, &q->timer) == MS_OK &&
	    ms_http_origin_new(r->services->client, &origin, &info, &q->origin) == MS_OK)
		return &q->kept;
	free_queue(&q->kept);
	return NULL;
}

struct gw_log_queue *ms_http_log_queue(struct gw_request *r, const struct gw_log_config *config)
{
	if (r->services->client == NULL)
		return NULL;
	struct gw_kept *kept = ms_gw_keep(r, config->name, make_queue, config);
	return kept != NULL ? MS_CONTAINER_OF(kept, struct gw_log_queue, kept) : NULL;
}
