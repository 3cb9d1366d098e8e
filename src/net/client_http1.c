// SPDX-License-Identifier: Apache-2.0
// Messages of HTTP/1.1 to and from an upstream. Requests are written from their parts with our own framing; of answers only what has one
// reading is taken, and a connection is kept only when the message was complete, exact, and nothing came behind it.
#include "net/client_internal.h"
#include "net/http1/head.h"
#include "net/http1/scan.h"

// --- Requests ----------------------------------------------------------------------------------------

enum ms_err ms_client_check_request(const struct http_call_options *o, struct errinfo *info)
{
	if (o->method.n == 0 || scan_token(o->method.p, 0, o->method.n) < o->method.n ||
	    ms_slice_eq_cstr(o->method, "CONNECT"))
		return ms_fail(info, MS_ERR_INVALID, "'%.*s' is no method that can be sent to an upstream",
			       MS_SLICE_ARG(o->method));
	if (o->target.n == 0 || scan_target(o->target.p, 0, o->target.n) < o->target.n ||
	    (o->target.p[0] != '/' && !ms_slice_eq_cstr(o->target, "*")))
		return ms_fail(info, MS_ERR_INVALID, "the target for the upstream is no path");
	if (o->authority.n == 0 || scan_target(o->authority.p, 0, o->authority.n) < o->authority.n)
		return ms_fail(info, MS_ERR_INVALID, "the Host for the upstream has bytes that none may have");
	if (scan_token(o->protocol.p, 0, o->protocol.n) < o->protocol.n)
		return ms_fail(info, MS_ERR_INVALID, "'%.*s' is no protocol to upgrade to", MS_SLICE_ARG(o->protocol));
	if (o->protocol.n > 0 && o->has_body)
		return ms_fail(info, MS_ERR_INVALID, "a request for an upgrade has no body");
	return ms_client_check_headers(o->headers, o->header_count, info);
}

enum ms_err ms_client_check_headers(const struct http_header *headers, size_t count, struct errinfo *info)
{
	for (size_t i = 0; i < count; i++) {
		struct slice name = headers[i].name, value = headers[i].value;
		if (name.n == 0 || scan_token(name.p, 0, name.n) < name.n)
			return ms_fail(info, MS_ERR_INVALID, "a header for the upstream has a name that is no token");
		if (scan_value(value.p, 0, value.n) < value.n)
			return ms_fail(info, MS_ERR_INVALID,
				       "the value of header '%.*s' for the upstream has control bytes",
				       MS_SLICE_ARG(name));
	}
	return MS_OK;
}

static void write_line(struct buf *out, struct slice name, struct slice value)
{
	if (!ms_buf_reserve(out, name.n + value.n + 4))
		return;
	char *at = out->p + out->n;
	memcpy(at, name.p, name.n);
	at += name.n;
	*at++ = ':';
	*at++ = ' ';
	if (value.n > 0)
		memcpy(at, value.p, value.n);
	at += value.n;
	*at++ = '\r';
	*at++ = '\n';
	out->n = (size_t)(at - out->p);
}

static void write_request_line(const struct http_call_options *o, struct buf *out)
{
	ms_buf_append_slice(out, o->method);
	ms_buf_append_char(out, ' ');
	ms_buf_append_slice(out, o->target);
	ms_buf_append_slice(out, MS_SLICE_LIT(" HTTP/1.1\r\n"));
	write_line(out, MS_SLICE_LIT("Host"), o->authority);
}

// What Connection says is for us and not for the upstream.
struct http1_head ms_client_connection_of(const struct http_call_options *o)
{
	struct http1_head head = {.headers = (struct http_header *)(uintptr_t)o->headers,
				  .header_count = o->header_count};
	for (size_t i = 0; i < o->header_count; i++) {
		if (ms_http1_known_header(o->headers[i].name) != HTTP1_CONNECTION)
			continue;
		if (head.known[HTTP1_CONNECTION].p != NULL)
			head.repeated |= UINT32_C(1) << HTTP1_CONNECTION;
		else
			head.known[HTTP1_CONNECTION] =
				o->headers[i].value.p != NULL ? o->headers[i].value : MS_SLICE_LIT("");
	}
	return head;
}

static bool names_trailers(struct slice te)
{
	struct slice part;
	while (ms_slice_next(&te, ',', &part)) {
		if (ms_slice_eq_nocase(ms_slice_trim(part), MS_SLICE_LIT("trailers")))
			return true;
	}
	return false;
}

bool ms_client_takes_trailers(const struct http_call_options *o)
{
	bool takes = false;
	for (size_t i = 0; i < o->header_count; i++) {
		if (o->headers[i].name.n == 2 && ms_slice_eq_nocase(o->headers[i].name, MS_SLICE_LIT("te")))
			takes |= names_trailers(o->headers[i].value);
	}
	return takes;
}

bool ms_client_passes(const struct http1_head *connection, struct slice name)
{
	enum http1_known known = ms_http1_known_header(name);
	return known != HTTP1_HOST && known != HTTP1_CONTENT_LENGTH && !ms_http1_is_hop_by_hop(connection, name);
}

static void write_framing(const struct http_call_options *o, bool takes_trailers, struct buf *out)
{
	if (o->has_body && o->content_length == UINT64_MAX) {
		write_line(out, MS_SLICE_LIT("Transfer-Encoding"), MS_SLICE_LIT("chunked"));
	} else if (o->has_body) {
		ms_http1_write_header_u64(out, "Content-Length", o->content_length);
	} else if (ms_slice_eq_cstr(o->method, "POST") || ms_slice_eq_cstr(o->method, "PUT") ||
		   ms_slice_eq_cstr(o->method, "PATCH")) {
		write_line(out, MS_SLICE_LIT("Content-Length"), MS_SLICE_LIT("0")); // RFC 9110 section 8.6
	}
	if (o->protocol.n > 0) {
		write_line(out, MS_SLICE_LIT("Connection"), MS_SLICE_LIT("Upgrade"));
		write_line(out, MS_SLICE_LIT("Upgrade"), o->protocol);
	} else if (takes_trailers) {
		write_line(out, MS_SLICE_LIT("Connection"), MS_SLICE_LIT("TE"));
		write_line(out, MS_SLICE_LIT("TE"), MS_SLICE_LIT("trailers"));
	}
}

enum ms_err ms_client_write_request(const struct http_call_options *o, const char *user_agent, struct buf *out,
				    struct errinfo *info)
{
	MS_TRY(ms_client_check_request(o, info));
	struct http1_head head = ms_client_connection_of(o);
	bool has_agent = user_agent == NULL;
	write_request_line(o, out);
	for (size_t i = 0; i < o->header_count; i++) {
		struct slice name = o->headers[i].name, value = o->headers[i].value;
		if (!ms_client_passes(&head, name))
			continue;
		if (!has_agent && ms_slice_eq_nocase(name, MS_SLICE_LIT("user-agent")))
			has_agent = true;
		write_line(out, name, value);
	}
	if (!has_agent)
		write_line(out, MS_SLICE_LIT("User-Agent"), ms_slice_cstr(user_agent));
	write_framing(o, ms_client_takes_trailers(o), out);
	ms_http1_write_end(out);
	return ms_buf_ok(out) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for a request to an upstream");
}

void ms_client_write_body(struct http_call *call, struct slice bytes)
{
	struct buf *out = &call->conn->out;
	if (bytes.n == 0)
		return;
	if (call->chunked_out)
		ms_http1_write_chunk_head(out, bytes.n);
	ms_buf_append_slice(out, bytes);
	if (call->chunked_out)
		ms_buf_append_slice(out, MS_HTTP1_CHUNK_TAIL);
}

void ms_client_write_trailers(struct http_call *call, const struct http_header *trailers, size_t count)
{
	struct buf *out = &call->conn->out;
	if (!call->chunked_out)
		return;
	const struct http1_head none = {0};
	ms_buf_append_slice(out, MS_SLICE_LIT("0\r\n"));
	for (size_t i = 0; i < count; i++) {
		if (ms_client_check_headers(&trailers[i], 1, NULL) == MS_OK &&
		    ms_client_passes(&none, trailers[i].name))
			write_line(out, trailers[i].name, trailers[i].value);
	}
	ms_http1_write_end(out);
}

// --- Heads of answers --------------------------------------------------------------------------------

void ms_client_expect_answer(struct http_call *call)
{
	struct http1_limits limits = {.header_bytes = call->cl->client->options.header_bytes, .header_count = 1000};
	ms_arena_rewind(&call->arena, call->arena_mark);
	ms_http1_answer_init(&call->answer, &limits, call->answer.to_head, &call->arena);
	call->stage = STAGE_HEAD;
}

static size_t broken(struct upstream *conn, enum ms_err code, const char *what)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, code, "%s", what);
	ms_upstream_fail(conn, CALL_BROKEN, &info);
	return 0;
}

// Brings the headers that are for the caller to the front: those of the connection and of the framing end here. None is
// overwritten, because further Connection lines are looked up in the table.
static size_t keep_headers(struct http1_head *head)
{
	size_t kept = 0;
	for (size_t i = 0; i < head->header_count; i++) {
		struct http_header h = head->headers[i];
		if (ms_http1_known_header(h.name) == HTTP1_CONTENT_LENGTH || ms_http1_is_hop_by_hop(head, h.name))
			continue;
		struct http_header other = head->headers[kept];
		head->headers[kept++] = h;
		head->headers[i] = other;
	}
	return kept;
}

// The upgrade that we asked for and no other.
static bool upgrades_to(const struct http1_head *head, struct slice protocol)
{
	unsigned count = 0;
	for (size_t i = 0; i < head->header_count; i++) {
		if (!ms_slice_eq_nocase(head->headers[i].name, MS_SLICE_LIT("upgrade")))
			continue;
		if (++count > 1 || !ms_slice_eq_nocase(head->headers[i].value, protocol))
			return false;
	}
	return count == 1;
}

static void start_body(struct http_call *call)
{
	struct http1_answer *a = &call->answer;
	switch (a->body) {
	case HTTP1_ANSWER_NONE:
		call->left = 0;
		call->stage = STAGE_LENGTH;
		return;
	case HTTP1_ANSWER_LENGTH:
		call->left = a->content_length;
		call->stage = STAGE_LENGTH;
		return;
	case HTTP1_ANSWER_CHUNKED:
		ms_chunked_init(&call->chunks, INT64_MAX);
		ms_buf_clear(&call->trailers);
		call->chunks.trailers = &call->trailers;
		call->stage = STAGE_CHUNKED;
		return;
	case HTTP1_ANSWER_UNTIL_CLOSE:
		call->stage = STAGE_UNTIL_CLOSE;
		return;
	}
	MS_UNREACHABLE();
}

// The head is whole. False when the call is over.
static bool take_head(struct upstream *conn, struct http_call *call)
{
	struct http1_answer *a = &call->answer;
	bool interim = a->status < 200 && a->status != 101;
	if (a->status == 101 && (!call->upgrade || !upgrades_to(&a->lines.head, call->protocol))) {
		(void)broken(conn, MS_ERR_HTTP_FRAMING, "the upstream switched to a protocol that nobody asked for");
		return false;
	}
	if (interim && ++call->interim > CLIENT_INTERIM_MAX) {
		(void)broken(conn, MS_ERR_HTTP_FRAMING, "the upstream sends 1xx answers without end");
		return false;
	}
	size_t count = keep_headers(&a->lines.head);
	if (a->status == 101) {
		call->stage = STAGE_TUNNEL;
		call->body_ended = false; // from now on the caller sends too
	} else if (!interim) {
		start_body(call);
	}
	if (!ms_call_head(call, a->lines.head.headers, count))
		return false;
	if (interim)
		ms_client_expect_answer(call);
	return true;
}

static bool read_head(struct upstream *conn, struct http_call *call, struct slice bytes, size_t *ret_used)
{
	struct errinfo info;
	size_t head_bytes;
	info.code = MS_OK;
	enum ms_err err = ms_http1_answer_parse(&call->answer, bytes, &info, &head_bytes);
	*ret_used = head_bytes;
	if (err != MS_OK) {
		struct errinfo why;
		ms_errinfo_init(&why);
		(void)ms_fail(&why, err, "the answer of the upstream cannot be read: %.400s", info.message);
		ms_upstream_fail(conn, CALL_BROKEN, &why);
		return false;
	}
	return head_bytes > 0 && take_head(conn, call);
}

// --- Bodies of answers -------------------------------------------------------------------------------

// The answer is complete; `behind`: bytes came after it.
static void complete(struct upstream *conn, struct http_call *call, bool behind)
{
	struct http_header *trailers = NULL;
	size_t count = 0;
	if (call->stage == STAGE_CHUNKED &&
	    (!ms_buf_ok(&call->trailers) ||
	     !ms_http1_trailers(ms_buf_slice(&call->trailers), &call->arena, &trailers, &count))) {
		(void)broken(conn, MS_ERR_NO_MEMORY, "out of memory for the trailers of an answer");
		return;
	}
	// An upstream that answers before it has the request whole is not waited for.
	bool whole = call->body_ended && ms_upstream_waiting(conn) == 0;
	call->conn = NULL;
	conn->call = NULL;
	ms_upstream_keep_or_close(conn, call->answer.keep_alive && whole && !behind);
	ms_call_end(call, trailers, count);
}

static bool read_length(struct upstream *conn, struct http_call *call, struct slice bytes, size_t *ret_used)
{
	struct slice data = ms_slice_sub(bytes, 0, (size_t)MS_MIN(call->left, (uint64_t)bytes.n));
	*ret_used = data.n;
	call->left -= data.n;
	if (data.n > 0 && !ms_call_data(call, data))
		return false;
	if (call->left > 0)
		return data.n > 0;
	if (call->paused && data.n > 0)
		return false; // the end comes after the pause
	complete(conn, call, data.n < bytes.n);
	return false;
}

static bool read_chunks(struct upstream *conn, struct http_call *call, struct slice bytes, size_t *ret_used)
{
	struct errinfo info;
	info.code = MS_OK;
	struct slice rest = bytes, data;
	bool done;
	enum ms_err err = ms_chunked_next(&call->chunks, &rest, &info, &data, &done);
	*ret_used = bytes.n - rest.n;
	if (err != MS_OK) {
		struct errinfo why;
		ms_errinfo_init(&why);
		(void)ms_fail(&why, err, "the body of the upstream's answer cannot be read: %.400s", info.message);
		ms_upstream_fail(conn, CALL_BROKEN, &why);
		return false;
	}
	if (data.n > 0)
		return ms_call_data(call, data);
	if (done)
		complete(conn, call, rest.n > 0);
	return false;
}

static bool read_some(struct upstream *conn, struct http_call *call, struct slice bytes, size_t *ret_used)
{
	*ret_used = 0;
	switch (call->stage) {
	case STAGE_HEAD:
		return read_head(conn, call, bytes, ret_used);
	case STAGE_LENGTH:
		return read_length(conn, call, bytes, ret_used);
	case STAGE_CHUNKED:
		return read_chunks(conn, call, bytes, ret_used);
	case STAGE_UNTIL_CLOSE:
	case STAGE_TUNNEL:
		*ret_used = bytes.n;
		if (bytes.n > 0)
			(void)ms_call_data(call, bytes);
		return false;
	}
	MS_UNREACHABLE();
}

size_t ms_client_read_answer(struct upstream *conn, struct slice bytes)
{
	struct http_call *call = conn->call;
	size_t used = 0, n;
	bool more = true;
	call->answered |= bytes.n > 0;
	while (more && !call->paused) {
		more = read_some(conn, call, ms_slice_sub(bytes, used, SIZE_MAX), &n);
		used += n;
	}
	return used;
}

void ms_client_end_of_input(struct upstream *conn, bool clean)
{
	struct http_call *call = conn->call;
	if (call->stage == STAGE_TUNNEL && clean) {
		ms_call_tunnel_ended(call);
		return;
	}
	if (call->stage == STAGE_UNTIL_CLOSE && clean) {
		complete(conn, call, false);
		return;
	}
	struct errinfo info;
	ms_errinfo_init(&info);
	bool stale = conn->kept && !call->answered;
	(void)ms_fail(&info, MS_ERR_HTTP_FRAMING, "%s",
		      stale             ? "the upstream closed the kept connection before it answered"
		      : !call->answered ? "the upstream closed the connection without an answer"
					: "the upstream closed the connection before its answer was complete");
	ms_upstream_fail(conn, stale ? CALL_STALE : CALL_BROKEN, &info);
}
