// SPDX-License-Identifier: Apache-2.0
// Calls that wait in their pool: for a connection that tells which protocol the upstream speaks, or for one that has room for a stream.
#include "net/client_internal.h"

// How long an upstream that chose HTTP/1.1 is not asked again.
#define HTTP1_BELIEVED_NS (INT64_C(60) * 1000000000)

static struct http_call *first_waiting(struct client_pool *pool)
{
	return MS_CONTAINER_OF(pool->waiting.head.next, struct http_call, way_node);
}

void ms_client_unwait(struct http_call *call)
{
	if (!call->waiting)
		return;
	call->waiting = false;
	ms_list_remove(&call->pool->waiting, &call->way_node);
	ms_deadline_remove(&call->cl->call_deadlines, &call->deadline);
}

void ms_client_waiting_failed(struct client_pool *pool, enum http_call_failure failure, const struct errinfo *info)
{
	if (pool->pending > 0 || !ms_list_empty(&pool->h2s))
		return; // they may still come to a stream
	for (size_t n = pool->waiting.count; n > 0 && !ms_list_empty(&pool->waiting); n--) {
		struct http_call *call = first_waiting(pool);
		ms_client_unwait(call);
		ms_call_fail(call, failure, info);
	}
}

static void connect_for_waiting(struct client_pool *pool)
{
	struct errinfo info;
	struct upstream *conn = ms_upstream_new(pool);
	if (conn == NULL) {
		ms_errinfo_init(&info);
		(void)ms_fail(&info, MS_ERR_NO_MEMORY, "out of memory for a connection to an upstream");
		ms_client_waiting_failed(pool, CALL_NO_CONNECTION, &info);
		return;
	}
	conn->for_waiting = true;
	pool->pending++;
	ms_upstream_connect(conn, first_waiting(pool)->connect_ms);
}

static bool start_somewhere(struct client_pool *pool, struct http_call *call)
{
	MS_LIST_FOREACH (node, &pool->h2s) {
		struct upstream *conn = MS_CONTAINER_OF(node, struct upstream, pool_node);
		if (ms_client_h2_start(conn, call))
			return true;
	}
	return false;
}

void ms_client_serve_waiting(struct client_pool *pool)
{
	struct client_loop *cl = pool->cl;
	if (cl->stopped)
		return;
	cl->in_api++; // failures come at the end of the turn
	while (!ms_list_empty(&pool->waiting) && start_somewhere(pool, first_waiting(pool)))
		;
	if (!ms_list_empty(&pool->waiting) && pool->pending == 0) {
		if (pool->connections < cl->client->options.max_connections) {
			connect_for_waiting(pool);
		} else if (ms_list_empty(&pool->h2s)) {
			struct errinfo info;
			ms_errinfo_init(&info);
			(void)ms_fail(&info, MS_ERR_BUSY, "%u connections to the upstream '%s' are open already",
				      cl->client->options.max_connections, pool->origin->host);
			ms_client_waiting_failed(pool, CALL_FULL, &info);
		}
	}
	cl->in_api--;
}

void ms_client_wait(struct http_call *call)
{
	call->waiting = true;
	call->wait = WAIT_CONNECT;
	ms_list_append(&call->pool->waiting, &call->way_node);
	ms_deadline_set(&call->cl->call_deadlines, &call->deadline, call->connect_ms);
	ms_client_serve_waiting(call->pool);
}

void ms_client_waiting_established(struct upstream *conn)
{
	struct client_pool *pool = conn->pool;
	struct client_loop *cl = conn->cl;
	pool->pending -= conn->for_waiting;
	conn->for_waiting = false;
	conn->opened_ns = ms_clock_mono_ns();
	if (conn->h2 != NULL) {
		pool->http1_until_ns = 0;
		ms_list_append(&pool->h2s, &conn->pool_node);
		conn->listed = true;
		ms_client_serve_waiting(pool);
		return;
	}
	pool->http1_until_ns = ms_loop_now_ns(cl->loop) + HTTP1_BELIEVED_NS;
	if (ms_list_empty(&pool->waiting)) {
		ms_upstream_keep_or_close(conn, true);
		return;
	}
	cl->in_api++;
	for (struct upstream *own = conn; !ms_list_empty(&pool->waiting); own = NULL) {
		struct http_call *call = first_waiting(pool);
		ms_client_unwait(call);
		ms_call_send_http1(call, call->copy, own);
	}
	cl->in_api--;
}

void ms_client_call_expired(struct deadline *entry, void *arg)
{
	(void)arg;
	struct http_call *call = MS_CONTAINER_OF(entry, struct http_call, deadline);
	if (!call->waiting) {
		ms_client_h2_expired(call);
		return;
	}
	ms_client_unwait(call);
	ms_call_failed_here(call, CALL_NO_CONNECTION, MS_ERR_HTTP_TIMEOUT, "no connection to the upstream in time");
}

// --- What the caller sends meanwhile -----------------------------------------------------------------

size_t ms_client_write_early(struct http_call *call, struct slice bytes)
{
	ms_buf_append_slice(&call->early, bytes);
	if (!ms_buf_ok(&call->early)) {
		ms_client_unwait(call);
		call->cl->in_api++;
		ms_call_failed_here(call, CALL_NO_CONNECTION, MS_ERR_NO_MEMORY,
				    "out of memory for a request to an upstream");
		call->cl->in_api--;
		return 0;
	}
	call->wants_drain = call->early.n >= CLIENT_DRAIN_BYTES;
	return call->early.n;
}

void ms_client_end_early(struct http_call *call, const struct http_header *trailers, size_t count)
{
	struct http_header *copies = MS_ARENA_ARRAY(&call->arena, struct http_header, count);
	for (size_t i = 0; copies != NULL && i < count; i++) {
		struct http_header *to = &copies[call->early_trailer_count];
		to->name = ms_arena_copy(&call->arena, trailers[i].name);
		to->value = ms_arena_copy(&call->arena, trailers[i].value);
		call->early_trailer_count += to->name.p != NULL && to->value.p != NULL;
	}
	call->early_trailers = copies;
	call->arena_mark = ms_arena_mark(&call->arena);
}

void ms_client_replay_early(struct http_call *call)
{
	struct slice early = ms_buf_slice(&call->early);
	bool wants_drain = call->wants_drain;
	if (call->stream != NULL) {
		if (early.n > 0)
			(void)ms_client_h2_write(call, early);
		if (call->has_body && call->body_ended)
			ms_client_h2_write_end(call, call->early_trailers, call->early_trailer_count);
	} else {
		ms_client_write_body(call, early);
		if (call->has_body && call->body_ended)
			ms_client_write_trailers(call, call->early_trailers, call->early_trailer_count);
	}
	ms_buf_clear(&call->early);
	call->wants_drain = wants_drain;
	if (wants_drain)
		ms_call_later(call); // the caller waits for what may be gone already
}
