// SPDX-License-Identifier: Apache-2.0
// Calls as their makers see them. Handlers are called on the loop and never from within a function that a caller calls: what such a
// function finds out waits for the end of the turn.
#include "net/client_internal.h"

#include <stdlib.h>

#define ARENA_FIRST ((size_t)2 << 10)

// --- Life --------------------------------------------------------------------------------------------

static struct http_call *call_take(struct client_loop *cl)
{
	struct http_call *call = cl->free_calls;
	if (call != NULL) {
		cl->free_calls = call->next_free;
		cl->free_call_count--;
		memset(call, 0, offsetof(struct http_call, arena_mark));
		return call;
	}
	call = calloc(1, sizeof(*call));
	if (call == NULL)
		return NULL;
	size_t head = cl->client->options.header_bytes;
	ms_arena_init(&call->arena, ARENA_FIRST, 4 * head + ((size_t)256 << 10));
	ms_buf_init(&call->trailers, (size_t)64 << 10);
	ms_buf_init(&call->early, CLIENT_OUT_MAX);
	return call;
}

static void call_free(struct http_call *call)
{
	ms_arena_fini(&call->arena);
	ms_buf_fini(&call->trailers);
	ms_buf_fini(&call->early);
	free(call);
}

static void call_give(struct http_call *call)
{
	struct client_loop *cl = call->cl;
	ms_arena_reset(&call->arena);
	ms_buf_clear(&call->early);
	if (call->early.cap > CLIENT_KEEP_BYTES) {
		ms_buf_fini(&call->early);
		ms_buf_init(&call->early, CLIENT_OUT_MAX);
	}
	if (cl->free_call_count >= CLIENT_FREE_MAX) {
		call_free(call);
		return;
	}
	call->next_free = cl->free_calls;
	cl->free_calls = call;
	cl->free_call_count++;
}

void ms_call_free_all(struct client_loop *cl)
{
	for (struct http_call *call; (call = cl->free_calls) != NULL;) {
		cl->free_calls = call->next_free;
		call_free(call);
	}
}

// No handler is called for it any more. Its memory goes when no handler runs.
static void call_over(struct http_call *call)
{
	struct client_loop *cl = call->cl;
	call->over = true;
	ms_list_remove(&cl->calls, &call->node);
	if (call->later)
		ms_list_remove(&cl->due, &call->later_node);
	call->later = false;
	ms_client_unwait(call);
	ms_deadline_remove(&cl->call_deadlines, &call->deadline);
	ms_pool_unuse(call->pool);
}

void ms_call_detach(struct http_call *call)
{
	struct upstream *conn = call->conn;
	ms_client_unwait(call);
	if (call->stream != NULL) {
		ms_client_h2_detach(call, H2_CANCEL);
	} else if (conn != NULL) {
		call->conn = NULL;
		conn->call = NULL;
		ms_upstream_close(conn);
	}
}

static void wake_end_of_turn(struct client_loop *cl)
{
	if (ms_list_empty(&cl->due) && ms_list_empty(&cl->due_conns))
		uv_idle_start(&cl->end_of_turn, ms_call_end_of_turn);
}

void ms_upstream_later(struct upstream *conn)
{
	struct client_loop *cl = conn->cl;
	if (conn->later || conn->phase == UPSTREAM_CLOSED)
		return;
	wake_end_of_turn(cl);
	ms_list_append(&cl->due_conns, &conn->later_node);
	conn->later = true;
}

void ms_call_later(struct http_call *call)
{
	struct client_loop *cl = call->cl;
	if (call->later || call->over)
		return;
	wake_end_of_turn(cl);
	ms_list_append(&cl->due, &call->later_node);
	call->later = true;
}

// --- Handlers ----------------------------------------------------------------------------------------

// A handler has returned; it may have cancelled the call.
static bool returned(struct http_call *call)
{
	call->calling = false;
	if (call->over) {
		call_give(call);
		return false;
	}
	return call->conn != NULL;
}

bool ms_call_head(struct http_call *call, const struct http_header *headers, size_t count)
{
	call->calling = true;
	call->handlers->head(call, call->answer.status, headers, count, call->answer.content_length, call->arg);
	return returned(call);
}

bool ms_call_data(struct http_call *call, struct slice bytes)
{
	call->calling = true;
	call->handlers->data(call, bytes, call->arg);
	return returned(call);
}

void ms_call_end(struct http_call *call, const struct http_header *trailers, size_t count)
{
	MS_ASSERT(call->conn == NULL);
	call_over(call);
	call->calling = true;
	call->handlers->end(call, trailers, count, call->arg);
	call_give(call);
}

void ms_call_fail(struct http_call *call, enum http_call_failure failure, const struct errinfo *info)
{
	struct client_loop *cl = call->cl;
	if (cl->in_api > 0 || call->calling) {
		call->failing = true;
		call->failure = failure;
		call->problem = *info;
		ms_call_later(call);
		return;
	}
	ms_counter_add(cl->client->failures[failure], cl->index, 1);
	struct errinfo copy = *info;
	call_over(call);
	call->calling = true;
	call->handlers->failed(call, failure, call->sent, &copy, call->arg);
	call_give(call);
}

void ms_call_tunnel_ended(struct http_call *call)
{
	struct upstream *conn = call->conn;
	bool told = call->peer_ended;
	call->peer_ended = true;
	if (!call->body_ended && call->handlers->peer_ended != NULL) {
		if (told)
			return;
		call->calling = true;
		call->handlers->peer_ended(call, call->arg);
		(void)returned(call);
		return;
	}
	if (call->body_ended && call->stream == NULL && ms_upstream_waiting(conn) > 0)
		return; // on_written comes back to it
	if (call->stream != NULL && call->body_ended)
		ms_client_h2_finish(call); // what waits of ours is still sent
	else
		ms_call_detach(call);
	ms_call_end(call, NULL, 0);
}

bool ms_call_wake(struct http_call *call)
{
	if (!call->wants_drain || call->conn == NULL || call->conn->phase < UPSTREAM_OPEN)
		return true;
	size_t waiting = call->stream != NULL ? ms_h2_waiting(call->stream) : ms_upstream_waiting(call->conn);
	if (waiting >= CLIENT_DRAIN_BYTES)
		return true;
	call->wants_drain = false;
	if (call->handlers->drained == NULL || call->body_ended)
		return true;
	call->calling = true;
	call->handlers->drained(call, call->arg);
	return returned(call);
}

// --- End of the turn ---------------------------------------------------------------------------------

static void settle_later(struct http_call *call)
{
	struct upstream *conn = call->conn;
	if (call->failing) {
		struct errinfo info = call->problem;
		ms_call_fail(call, call->failure, &info);
		return;
	}
	if (call->stream != NULL) {
		ms_client_h2_later(call);
		return;
	}
	if (conn == NULL || conn->phase != UPSTREAM_OPEN)
		return;
	ms_upstream_flush(conn);
	if (conn->call != call)
		return;
	// Both sides of a tunnel have ended: the peer's end came first.
	if (call->peer_ended && call->body_ended) {
		ms_call_tunnel_ended(call);
		return;
	}
	ms_upstream_pump(conn);
	if (conn->phase != UPSTREAM_CLOSED)
		ms_upstream_settle(conn, false);
	if (conn->call == call)
		(void)ms_call_wake(call);
}

// What comes up meanwhile is for the next turn, after the sockets had theirs.
void ms_call_end_of_turn(uv_idle_t *idle)
{
	struct client_loop *cl = MS_CONTAINER_OF(idle, struct client_loop, end_of_turn);
	for (size_t n = cl->due.count; n > 0 && !ms_list_empty(&cl->due); n--) {
		struct http_call *call = MS_CONTAINER_OF(cl->due.head.next, struct http_call, later_node);
		ms_list_remove(&cl->due, &call->later_node);
		call->later = false;
		settle_later(call);
	}
	for (size_t n = cl->due_conns.count; n > 0 && !ms_list_empty(&cl->due_conns); n--) {
		struct upstream *conn = MS_CONTAINER_OF(cl->due_conns.head.next, struct upstream, later_node);
		ms_list_remove(&cl->due_conns, &conn->later_node);
		conn->later = false;
		ms_upstream_flush(conn);
		if (conn->phase != UPSTREAM_CLOSED)
			ms_upstream_settle(conn, false);
	}
	if (ms_list_empty(&cl->due) && ms_list_empty(&cl->due_conns))
		uv_idle_stop(idle);
}

void ms_call_set_address(struct http_call *call, const struct upstream *conn)
{
	memcpy(call->address, conn->address, conn->address_n);
	call->address_n = conn->address_n;
}

// --- Start -------------------------------------------------------------------------------------------

static void init_call(struct http_call *call, const struct http_call_options *o)
{
	call->handlers = o->handlers;
	call->arg = o->arg;
	call->has_body = o->has_body;
	call->chunked_out = o->has_body && o->content_length == UINT64_MAX;
	call->body_left = o->has_body ? o->content_length : 0;
	call->upgrade = o->protocol.n > 0;
	call->body_ended = !o->has_body;
	call->connect_ms = o->connect_timeout_ms;
	call->send_ms = o->send_timeout_ms;
	call->read_ms = o->read_timeout_ms;
	call->answer.to_head = ms_slice_eq_cstr(o->method, "HEAD");
}

void ms_call_failed_here(struct http_call *call, enum http_call_failure failure, enum ms_err code, const char *what)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, code, "%s", what);
	ms_call_fail(call, failure, &info);
}

static void fail_full(struct http_call *call)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_BUSY, "%u connections to the upstream '%s' are open already",
		      call->cl->client->options.max_connections, call->pool->origin->host);
	ms_call_fail(call, CALL_FULL, &info);
}

// A new connection, or a kept one; a failure is noted and NULL returned.
static struct upstream *find_connection(struct http_call *call, bool new_connection)
{
	struct client_loop *cl = call->cl;
	struct client_pool *pool = call->pool;
	struct upstream *conn = new_connection ? NULL : ms_upstream_take_idle(pool);
	if (conn != NULL)
		return conn;
	if (pool->connections >= cl->client->options.max_connections) {
		struct list_node *oldest = ms_list_first(&pool->idle);
		if (oldest == NULL) {
			fail_full(call);
			return NULL;
		}
		ms_upstream_close(MS_CONTAINER_OF(oldest, struct upstream, pool_node));
	}
	conn = ms_upstream_new(pool);
	if (conn == NULL)
		ms_call_failed_here(call, CALL_NO_CONNECTION, MS_ERR_NO_MEMORY,
				    "out of memory for a connection to an upstream");
	else
		conn->h1_only = true;
	return conn;
}

// The head that was written waits in cl->request, for the connection's empty output: the two change places.
static void attach(struct http_call *call, struct upstream *conn)
{
	struct client_loop *cl = call->cl;
	struct buf spare = conn->out;
	conn->call = call;
	call->conn = conn;
	conn->out = cl->request;
	conn->out.max = spare.max;
	spare.max = cl->request.max;
	cl->request = spare;
	ms_client_expect_answer(call);
}

static void send_head(struct http_call *call, struct upstream *conn)
{
	attach(call, conn);
	if (conn->phase != UPSTREAM_OPEN) {
		ms_upstream_connect(conn, call->connect_ms);
		return;
	}
	ms_call_set_address(call, conn);
	if (call->has_body)
		ms_call_later(call); // with what comes at once of the body
	else
		ms_upstream_flush(conn);
	if (call->conn == conn)
		ms_upstream_settle(conn, true);
}

void ms_call_send_http1(struct http_call *call, const struct http_call_options *o, struct upstream *conn)
{
	struct client_loop *cl = call->cl;
	struct errinfo info;
	bool own = conn != NULL;
	ms_errinfo_init(&info);
	ms_buf_clear(&cl->request);
	enum ms_err err = ms_client_write_request(o, cl->client->user_agent, &cl->request, &info);
	if (err == MS_OK && !own)
		conn = find_connection(call, o->new_connection);
	if (err != MS_OK) {
		ms_call_fail(call, CALL_NO_CONNECTION, &info); // it was checked: memory is out
		if (own)
			ms_upstream_close(conn);
		return;
	}
	if (conn == NULL)
		return;
	send_head(call, conn);
	if (own)
		call->connect_ns = MS_MAX(ms_clock_mono_ns() - call->start_ns, INT64_C(1));
	if (call->conn != NULL)
		ms_client_replay_early(call);
}

static bool copy_slice(struct arena *arena, struct slice *s)
{
	*s = ms_arena_copy(arena, *s);
	return s->p != NULL;
}

// For calls that have to wait until the protocol is known.
static bool copy_options(struct http_call *call, const struct http_call_options *o)
{
	struct arena *arena = &call->arena;
	struct http_call_options *copy = MS_ARENA_NEW(arena, struct http_call_options);
	struct http_header *headers = MS_ARENA_ARRAY(arena, struct http_header, o->header_count);
	if (copy == NULL || headers == NULL)
		return false;
	*copy = *o;
	bool ok = copy_slice(arena, &copy->method) && copy_slice(arena, &copy->target) &&
		  copy_slice(arena, &copy->authority) && copy_slice(arena, &copy->protocol);
	for (size_t i = 0; ok && i < o->header_count; i++) {
		headers[i] = o->headers[i];
		ok = copy_slice(arena, &headers[i].name) && copy_slice(arena, &headers[i].value);
	}
	copy->headers = headers;
	call->copy = copy;
	return ok;
}

// HTTP/2 is spoken, or may turn out to be. Upgrades of HTTP/1.1 work with every upstream that does not ask for HTTP/2 alone.
static bool may_be_http2(const struct client_loop *cl, const struct http_call_options *o)
{
	const struct http_origin *origin = o->origin;
	if (origin->protocol != ORIGIN_AUTO)
		return origin->protocol == ORIGIN_H2;
	return origin->tls && o->protocol.n == 0 &&
	       origin->pools[cl->index]->http1_until_ns <= ms_loop_now_ns(cl->loop);
}

static struct http_call *call_new(struct client_loop *cl, const struct http_call_options *o, bool wait)
{
	struct http_call *call = call_take(cl);
	if (call == NULL)
		return NULL;
	call->cl = cl;
	init_call(call, o);
	bool ok = !wait || copy_options(call, o);
	if (ok && call->upgrade) {
		call->protocol = ms_arena_copy(&call->arena, o->protocol);
		ok = call->protocol.p != NULL;
	}
	if (!ok) {
		call_give(call);
		return NULL;
	}
	call->arena_mark = ms_arena_mark(&call->arena);
	call->pool = o->origin->pools[cl->index];
	call->start_ns = ms_clock_mono_ns();
	ms_pool_use(call->pool);
	ms_list_append(&cl->calls, &call->node);
	return call;
}

enum ms_err ms_http_call_start(struct http_client *client, const struct http_call_options *o, struct errinfo *info,
			       struct http_call **ret_call)
{
	struct client_loop *cl = client->loops[ms_loop_index(o->loop)];
	if (cl->stopped)
		return ms_fail(info, MS_ERR_DRAINING, "the server is shutting down");
	bool wait = may_be_http2(cl, o);
	ms_buf_clear(&cl->request);
	MS_TRY(wait ? ms_client_check_request(o, info)
		    : ms_client_write_request(o, client->user_agent, &cl->request, info));
	struct http_call *call = call_new(cl, o, wait);
	if (call == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for a call to an upstream");
	cl->in_api++;
	if (wait) {
		ms_client_wait(call);
	} else {
		struct upstream *conn = find_connection(call, o->new_connection);
		if (conn != NULL)
			send_head(call, conn);
	}
	cl->in_api--;
	*ret_call = call;
	return MS_OK;
}

// --- Use ---------------------------------------------------------------------------------------------

size_t ms_http_call_write(struct http_call *call, struct slice bytes)
{
	struct upstream *conn = call->conn;
	MS_ASSERT(!call->over && !call->body_ended && (call->has_body || call->stage == STAGE_TUNNEL));
	if (call->has_body && !call->chunked_out) {
		MS_ASSERT(bytes.n <= call->body_left); // the caller knows the length that it gave
		call->body_left -= bytes.n;
	}
	if (call->waiting)
		return ms_client_write_early(call, bytes);
	if (call->stream != NULL)
		return ms_client_h2_write(call, bytes);
	if (conn == NULL || conn->write_broken)
		return 0;
	ms_client_write_body(call, bytes);
	size_t waiting = ms_upstream_waiting(conn);
	call->wants_drain = waiting >= CLIENT_DRAIN_BYTES;
	ms_call_later(call);
	return waiting;
}

void ms_http_call_write_end(struct http_call *call, const struct http_header *trailers, size_t count)
{
	struct upstream *conn = call->conn;
	MS_ASSERT(!call->over && !call->body_ended && (call->has_body || call->stage == STAGE_TUNNEL));
	MS_ASSERT(!call->has_body || call->chunked_out || call->body_left == 0);
	call->body_ended = true;
	call->wants_drain = false;
	if (call->waiting)
		ms_client_end_early(call, trailers, count);
	else if (call->stream != NULL)
		ms_client_h2_write_end(call, trailers, count);
	if (call->stream != NULL && call->peer_ended)
		ms_call_later(call);
	if (conn == NULL || call->stream != NULL)
		return;
	if (!conn->write_broken)
		ms_client_write_trailers(call, trailers, count);
	call->cl->in_api++;
	ms_upstream_flush(conn); // of a tunnel too: whoever has ended both sides may cancel the call at once
	if (call->stage == STAGE_TUNNEL)
		ms_call_later(call);
	else if (call->conn == conn && conn->phase == UPSTREAM_OPEN)
		ms_upstream_settle(conn, true);
	call->cl->in_api--;
}

void ms_http_call_pause(struct http_call *call)
{
	call->paused = true;
	if (call->stream != NULL) {
		ms_h2_pause(call->conn->h2, call->stream);
		ms_client_h2_settle(call, false);
	} else {
		ms_call_later(call);
	}
}

void ms_http_call_resume(struct http_call *call)
{
	call->paused = false;
	ms_call_later(call);
}

static void let_go(struct http_call *call)
{
	ms_call_detach(call);
	call_over(call);
}

void ms_http_call_cancel(struct http_call *call)
{
	MS_ASSERT(!call->over);
	let_go(call);
	if (!call->calling)
		call_give(call);
}

void ms_call_cancel_silently(struct http_call *call)
{
	let_go(call);
	call_give(call);
}

struct slice ms_http_call_address(const struct http_call *call)
{
	return ms_slice(call->address, call->address_n);
}

int64_t ms_http_call_connect_ns(const struct http_call *call)
{
	return call->connect_ns;
}

const char *ms_http_call_failure_name(enum http_call_failure failure)
{
	static const char *const names[] = {
		[CALL_NO_CONNECTION] = "no_connection", [CALL_STALE] = "stale",   [CALL_REFUSED] = "refused",
		[CALL_TIMED_OUT] = "timed_out",         [CALL_BROKEN] = "broken", [CALL_FULL] = "full",
	};
	MS_ASSERT(failure < MS_ARRAY_LEN(names));
	return names[failure];
}
