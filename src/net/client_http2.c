// SPDX-License-Identifier: Apache-2.0
// Calls as streams of HTTP/2 connections. The session (net/http2) knows the protocol; here its events become those of calls.
#include "net/client_internal.h"

#define STREAM_WINDOW ((size_t)256 << 10)
#define CONNECTION_WINDOW ((size_t)8 << 20)

// --- Streams and calls -------------------------------------------------------------------------------

// The call has nothing to do with its stream any more, of which no event is passed on.
static void unlink_call(struct http_call *call)
{
	struct upstream *conn = call->conn;
	ms_h2_set_data(call->stream, NULL);
	ms_list_remove(&conn->streams, &call->way_node);
	ms_deadline_remove(&call->cl->call_deadlines, &call->deadline);
	call->stream = NULL;
	call->conn = NULL;
	ms_upstream_later(conn);
}

void ms_client_h2_detach(struct http_call *call, enum h2_error error)
{
	ms_h2_reset(call->conn->h2, call->stream, error);
	unlink_call(call);
}

void ms_client_h2_finish(struct http_call *call)
{
	unlink_call(call);
}

// No further streams on this one.
static void unlist(struct upstream *conn)
{
	if (conn->listed)
		ms_list_remove(&conn->pool->h2s, &conn->pool_node);
	conn->listed = false;
	ms_upstream_later(conn);
}

void ms_client_h2_fail_streams(struct upstream *conn, enum http_call_failure failure, const struct errinfo *info)
{
	for (size_t n = conn->streams.count; n > 0 && !ms_list_empty(&conn->streams); n--) {
		struct http_call *call = MS_CONTAINER_OF(conn->streams.head.next, struct http_call, way_node);
		bool stale = failure == CALL_BROKEN && call->kept && !call->answered;
		unlink_call(call);
		ms_call_fail(call, stale ? CALL_STALE : failure, info);
	}
}

// --- Events ------------------------------------------------------------------------------------------

// Content-Length is told beside the headers.
static const struct http_header *without_length(struct http_call *call, const struct h2_head *head, size_t *ret_count)
{
	*ret_count = head->header_count;
	if (head->content_length == UINT64_MAX)
		return head->headers;
	struct http_header *kept = MS_ARENA_ARRAY(&call->arena, struct http_header, head->header_count);
	if (kept == NULL)
		return head->headers; // twice is no harm
	*ret_count = 0;
	for (size_t i = 0; i < head->header_count; i++) {
		if (!ms_slice_eq(head->headers[i].name, MS_SLICE_LIT("content-length")))
			kept[(*ret_count)++] = head->headers[i];
	}
	return kept;
}

// An answer that ends with its head has length 0, though not what HEAD would have got. Where the length is said to be 0 and the stream goes
// on, trailers follow.
static uint64_t length_of(const struct http_call *call, const struct h2_head *head)
{
	bool no_content = ms_slice_eq_cstr(call->copy->method, "HEAD") || head->status == 204 || head->status == 304;
	if (no_content || head->status < 200)
		return head->content_length;
	if (head->end)
		return 0;
	return head->content_length == 0 ? UINT64_MAX : head->content_length;
}

static void on_head(struct h2_session *s, struct h2_stream *stream, const struct h2_head *head, void *arg)
{
	(void)s, (void)arg;
	struct http_call *call = ms_h2_data(stream);
	if (call == NULL)
		return;
	call->answered = true;
	if (head->status < 200 && ++call->interim > CLIENT_INTERIM_MAX) {
		ms_client_h2_detach(call, H2_ENHANCE_YOUR_CALM);
		ms_call_failed_here(call, CALL_BROKEN, MS_ERR_HTTP_FRAMING,
				    "the upstream sends 1xx answers without end");
		return;
	}
	if (call->upgrade && head->status >= 200 && head->status < 300) {
		call->stage = STAGE_TUNNEL;
		call->body_ended = false; // from now on the caller sends too
	}
	size_t count;
	ms_arena_rewind(&call->arena, call->arena_mark);
	call->answer.status = head->status;
	call->answer.content_length = length_of(call, head);
	const struct http_header *headers = without_length(call, head, &count);
	if (ms_call_head(call, headers, count))
		ms_client_h2_settle(call, true);
}

static void on_data(struct h2_session *s, struct h2_stream *stream, struct slice bytes, void *arg)
{
	(void)s, (void)arg;
	struct http_call *call = ms_h2_data(stream);
	if (call != NULL && ms_call_data(call, bytes))
		ms_client_h2_settle(call, true);
}

static void on_end(struct h2_session *s, struct h2_stream *stream, const struct http_header *trailers, size_t count,
		   void *arg)
{
	(void)s, (void)arg;
	struct http_call *call = ms_h2_data(stream);
	if (call == NULL)
		return;
	if (call->stage == STAGE_TUNNEL) {
		ms_call_tunnel_ended(call);
		return;
	}
	if (call->body_ended && ms_h2_sent_all(stream))
		unlink_call(call);
	else
		ms_client_h2_detach(call, H2_CANCEL); // answered before it had all: the rest is not sent
	ms_call_end(call, trailers, count);
}

static void on_drained(struct h2_session *s, struct h2_stream *stream, void *arg)
{
	(void)s, (void)arg;
	struct http_call *call = ms_h2_data(stream);
	if (call != NULL)
		(void)ms_call_wake(call);
}

static void on_closed(struct h2_session *s, struct h2_stream *stream, uint32_t error, void *arg)
{
	(void)s;
	struct upstream *conn = arg;
	struct http_call *call = ms_h2_data(stream);
	if (call != NULL) {
		struct errinfo info;
		ms_errinfo_init(&info);
		(void)ms_fail(&info, MS_ERR_HTTP_FRAMING, "the upstream reset the stream: %s", ms_h2_error_name(error));
		unlink_call(call);
		ms_call_fail(call, error == H2_REFUSED_STREAM ? CALL_REFUSED : CALL_BROKEN, &info);
	}
	ms_upstream_later(conn); // there may be room for one that waits
}

static void on_settings(struct h2_session *s, void *arg)
{
	(void)s;
	struct upstream *conn = arg;
	if (!ms_list_empty(&conn->pool->waiting))
		ms_client_serve_waiting(conn->pool);
}

static void on_goaway(struct h2_session *s, uint32_t error, void *arg)
{
	(void)s, (void)error;
	unlist(arg);
}

static const struct h2_events events = {.head = on_head,
					.data = on_data,
					.end = on_end,
					.drained = on_drained,
					.closed = on_closed,
					.settings = on_settings,
					.goaway = on_goaway};

// --- Connections -------------------------------------------------------------------------------------

bool ms_client_h2_open(struct upstream *conn)
{
	struct client_loop *cl = conn->cl;
	const struct h2_options o = {
		.side = H2_CLIENT,
		.limits = {.header_bytes = cl->client->options.header_bytes,
			   .header_count = 1000,
			   .stream_window = STREAM_WINDOW,
			   .connection_window = CONNECTION_WINDOW},
		.events = &events,
		.arg = conn,
		.now_ns = ms_loop_now_ns(cl->loop),
	};
	return ms_h2_new(&o, &conn->h2) == MS_OK;
}

static void session_over(struct upstream *conn)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	if (ms_h2_why(conn->h2, &info) == MS_OK)
		(void)ms_fail(&info, MS_ERR_HTTP_FRAMING, "the upstream ended the connection");
	ms_upstream_fail(conn, CALL_BROKEN, &info);
}

// The session counts a stream until its last event is over: room is looked for behind that.
static void serve_waiting(struct upstream *conn)
{
	if (conn->listed && !ms_list_empty(&conn->pool->waiting) && ms_h2_room(conn->h2) > 0)
		ms_client_serve_waiting(conn->pool);
}

void ms_client_h2_feed(struct upstream *conn, struct slice bytes)
{
	conn->received_ns = ms_loop_now_ns(conn->cl->loop);
	conn->h2_busy = true;
	enum ms_err err = ms_h2_feed(conn->h2, bytes, conn->received_ns, NULL);
	conn->h2_busy = false;
	if (conn->phase == UPSTREAM_CLOSED)
		return;
	serve_waiting(conn);
	ms_upstream_flush(conn);
	if (err != MS_OK && conn->phase != UPSTREAM_CLOSED)
		session_over(conn);
}

void ms_client_h2_output(struct upstream *conn)
{
	conn->h2_busy = true;
	(void)ms_h2_output(conn->h2, &conn->out, CLIENT_DRAIN_BYTES);
	conn->h2_busy = false;
	if (conn->phase == UPSTREAM_CLOSED || conn->out.n > 0)
		return;
	serve_waiting(conn);
	if (ms_h2_over(conn->h2))
		session_over(conn);
	else if (!conn->listed && !conn->for_waiting && ms_list_empty(&conn->streams))
		ms_upstream_close(conn); // it takes no further streams and has none
}

// --- Requests ----------------------------------------------------------------------------------------

// The caller's headers without those of the hop, and ours. NULL: memory is out.
static struct http_header *make_headers(struct http_call *call, size_t *ret_count)
{
	const struct http_call_options *o = call->copy;
	const char *agent = call->cl->client->user_agent;
	struct http1_head connection = ms_client_connection_of(o);
	struct http_header *headers = MS_ARENA_ARRAY(&call->arena, struct http_header, o->header_count + 3);
	size_t n = 0;
	for (size_t i = 0; headers != NULL && i < o->header_count; i++) {
		struct slice name = o->headers[i].name;
		if (agent != NULL && ms_slice_eq_nocase(name, MS_SLICE_LIT("user-agent")))
			agent = NULL;
		// RFC 8441 has no use for the key.
		bool key = call->upgrade && ms_slice_eq_nocase(name, MS_SLICE_LIT("sec-websocket-key"));
		if (!key && ms_client_passes(&connection, name))
			headers[n++] = o->headers[i];
	}
	if (headers == NULL)
		return NULL;
	if (agent != NULL)
		headers[n++] = (struct http_header){MS_SLICE_LIT("user-agent"), ms_slice_cstr(agent)};
	if (ms_client_takes_trailers(o))
		headers[n++] = (struct http_header){MS_SLICE_LIT("te"), MS_SLICE_LIT("trailers")};
	if (o->has_body && o->content_length != UINT64_MAX) {
		char *text = ms_arena_printf(&call->arena, "%llu", (unsigned long long)o->content_length);
		if (text == NULL)
			return NULL;
		headers[n++] = (struct http_header){MS_SLICE_LIT("content-length"), ms_slice_cstr(text)};
	}
	*ret_count = n;
	return headers;
}

static enum ms_err open_stream(struct upstream *conn, struct http_call *call)
{
	const struct http_call_options *o = call->copy;
	struct h2_message m = {.method = call->upgrade ? MS_SLICE_LIT("CONNECT") : o->method,
			       .scheme = conn->tls != NULL ? MS_SLICE_LIT("https") : MS_SLICE_LIT("http"),
			       .authority = o->authority,
			       .path = o->target,
			       .protocol = o->protocol,
			       .end = !o->has_body && !call->upgrade};
	m.headers = make_headers(call, &m.header_count);
	enum ms_err err = m.headers != NULL ? ms_h2_request(conn->h2, &m, call, &call->stream) : MS_ERR_NO_MEMORY;
	ms_arena_rewind(&call->arena, call->arena_mark);
	return err;
}

bool ms_client_h2_start(struct upstream *conn, struct http_call *call)
{
	if (call->upgrade && !ms_h2_peer_settings_seen(conn->h2))
		return false;
	if (call->upgrade && !ms_h2_peer_extended_connect(conn->h2)) {
		ms_client_unwait(call);
		ms_call_failed_here(call, CALL_NO_CONNECTION, MS_ERR_UNSUPPORTED,
				    "the upstream does not take extended CONNECT (RFC 8441)");
		return true;
	}
	enum ms_err err = open_stream(conn, call);
	if (err == MS_ERR_BUSY)
		return false;
	ms_client_unwait(call);
	if (err != MS_OK) {
		ms_call_failed_here(call, CALL_NO_CONNECTION, err, "out of memory for a request to an upstream");
		return true;
	}
	call->conn = conn;
	call->kept = conn->opened_ns <= call->start_ns;
	call->sent = true;
	if (!call->kept)
		call->connect_ns = MS_MAX(ms_clock_mono_ns() - call->start_ns, INT64_C(1));
	ms_call_set_address(call, conn);
	ms_list_append(&conn->streams, &call->way_node);
	ms_client_replay_early(call);
	if (call->paused)
		ms_http_call_pause(call);
	ms_client_h2_settle(call, true);
	ms_upstream_later(conn);
	return true;
}

size_t ms_client_h2_write(struct http_call *call, struct slice bytes)
{
	struct upstream *conn = call->conn;
	size_t waiting = ms_h2_send_data(conn->h2, call->stream, bytes);
	call->wants_drain = waiting >= MS_H2_DRAIN_BYTES;
	ms_upstream_later(conn);
	ms_client_h2_settle(call, false);
	return waiting;
}

void ms_client_h2_write_end(struct http_call *call, const struct http_header *trailers, size_t count)
{
	struct upstream *conn = call->conn;
	size_t good = 0;
	struct http_header *checked = MS_ARENA_ARRAY(&call->arena, struct http_header, count);
	for (size_t i = 0; checked != NULL && i < count; i++) {
		if (ms_client_check_headers(&trailers[i], 1, NULL) == MS_OK)
			checked[good++] = trailers[i];
	}
	ms_h2_send_end(conn->h2, call->stream, checked, good);
	ms_upstream_later(conn);
	ms_client_h2_settle(call, true);
}

// What was put off when the caller resumed: events come from within.
void ms_client_h2_later(struct http_call *call)
{
	struct upstream *conn = call->conn;
	// Both sides of a tunnel have ended: the peer's end came first.
	if (call->peer_ended && call->body_ended) {
		ms_call_tunnel_ended(call);
		return;
	}
	if (!ms_call_wake(call) || call->paused)
		return;
	ms_client_h2_settle(call, true);
	conn->h2_busy = true;
	ms_h2_resume(conn->h2, call->stream);
	conn->h2_busy = false;
	ms_upstream_later(conn);
}

// --- Deadlines ---------------------------------------------------------------------------------------

void ms_client_h2_settle(struct http_call *call, bool progress)
{
	enum upstream_wait wait = WAIT_NOTHING;
	if (call->stream == NULL)
		return;
	if (ms_h2_waiting(call->stream) > 0)
		wait = WAIT_SEND;
	else if (call->stage != STAGE_TUNNEL && call->body_ended && !call->paused)
		wait = WAIT_READ;
	if (wait == call->wait && !progress)
		return;
	call->wait = wait;
	call->send_progress = ms_h2_sent(call->stream);
	ms_deadline_set(&call->cl->call_deadlines, &call->deadline,
			wait == WAIT_SEND   ? call->send_ms
			: wait == WAIT_READ ? call->read_ms
					    : 0);
}

static void time_out(struct http_call *call, const char *what, unsigned ms)
{
	struct upstream *conn = call->conn;
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_HTTP_TIMEOUT, "the upstream %s within %u ms", what, ms);
	// A connection on which nothing at all came may be dead: others do not start on it.
	if (ms_loop_now_ns(call->cl->loop) - conn->received_ns >= (int64_t)ms * 1000000)
		unlist(conn);
	ms_client_h2_detach(call, H2_CANCEL);
	ms_call_fail(call, CALL_TIMED_OUT, &info);
}

void ms_client_h2_expired(struct http_call *call)
{
	if (call->wait == WAIT_SEND && ms_h2_sent(call->stream) > call->send_progress)
		ms_client_h2_settle(call, true);
	else if (call->wait == WAIT_SEND && ms_h2_waiting(call->stream) > 0)
		time_out(call, "took nothing of the request", call->send_ms);
	else if (call->wait == WAIT_SEND)
		ms_client_h2_settle(call, true); // all was taken meanwhile
	else if (call->wait == WAIT_READ)
		time_out(call, "sent nothing", call->read_ms);
}
