// SPDX-License-Identifier: Apache-2.0
// What comes in and what goes out. nghttp2 cuts frames, keeps the states of streams and answers breaches of the protocol; its
// callbacks here turn frames into events and count what a flood is made of.
#include "net/http2/session.h"

// Of a callback: tells nghttp2 to stop when the session has failed.
static int verdict(const struct h2_session *s)
{
	return s->fault == MS_OK && !s->failed ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int no_memory(struct h2_session *s)
{
	ms_h2_fail(s, MS_ERR_NO_MEMORY, "memory is out");
	return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *arg)
{
	struct h2_session *s = arg;
	(void)ng, (void)error;
	if (frame->hd.type == NGHTTP2_HEADERS)
		ms_h2_remember(&s->resets, frame->hd.stream_id); // refused before it became a stream
	ms_h2_count_glitch(s);
	return verdict(s);
}

// --- Heads -------------------------------------------------------------------------------------------

static struct h2_stream *stream_of(struct h2_session *s, int32_t id)
{
	return id > 0 ? nghttp2_session_get_stream_user_data(s->ng, id) : NULL;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_session *s = arg;
	(void)ng, (void)frame;
	ms_h2_block_start(&s->block);
	return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
		     const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct h2_session *s = arg;
	(void)ng, (void)frame, (void)flags;
	enum ms_err err = ms_h2_block_add(&s->block, &s->limits, ms_slice(name, name_n), ms_slice(value, value_n));
	if (err == MS_ERR_BUSY)
		ms_h2_fail(s, err, "a header block unpacks to many times the limit");
	else if (err != MS_OK)
		return no_memory(s);
	return verdict(s);
}

static int reset_malformed(struct h2_session *s, int32_t id)
{
	struct h2_stream *stream = stream_of(s, id);
	ms_h2_count_glitch(s);
	if (stream != NULL)
		ms_h2_reset(s, stream, H2_PROTOCOL_ERROR);
	else if (nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, id, H2_PROTOCOL_ERROR) != 0)
		return no_memory(s);
	return verdict(s);
}

// A field that may not be there makes the message malformed; nghttp2 alone would skip it.
static int on_invalid_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
			     const uint8_t *value, size_t value_n, uint8_t flags, void *arg)
{
	struct h2_session *s = arg;
	(void)ng, (void)name, (void)name_n, (void)value, (void)value_n, (void)flags;
	int rc = reset_malformed(s, frame->hd.stream_id);
	return rc != 0 ? rc : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static void tell_head(struct h2_stream *stream, struct h2_head *head, bool end)
{
	struct h2_session *s = stream->s;
	head->end = end;
	stream->remote_ended = end;
	if (s->events->head != NULL)
		s->events->head(s, stream, head, s->arg);
}

static int take_request(struct h2_session *s, int32_t id, bool end)
{
	struct h2_head head;
	if (!ms_h2_block_request(&s->block, &head))
		return reset_malformed(s, id);
	ms_h2_add_credit(s, 4);
	struct h2_stream *stream = ms_h2_stream_new(s, id);
	if (stream == NULL)
		return no_memory(s);
	stream->announced = true;
	stream->tunnel = head.protocol.n > 0;
	if (nghttp2_session_set_stream_user_data(s->ng, id, stream) != 0) { // closed in the meantime
		ms_h2_stream_free(stream);
		return 0;
	}
	tell_head(stream, &head, end);
	if (end && !ms_h2_stream_take_end(stream, NULL, 0))
		return no_memory(s);
	return verdict(s);
}

static int take_trailers(struct h2_session *s, struct h2_stream *stream)
{
	const struct http_header *headers;
	size_t count;
	if (s->block.too_large)
		return reset_malformed(s, stream->id);
	ms_h2_block_headers(&s->block, &headers, &count);
	return ms_h2_stream_take_end(stream, headers, count) ? verdict(s) : no_memory(s);
}

static int take_response(struct h2_session *s, struct h2_stream *stream, bool end)
{
	struct h2_head head;
	if (!ms_h2_block_response(&s->block, &head))
		return reset_malformed(s, stream->id);
	ms_h2_add_credit(s, 4);
	stream->final_seen = head.status >= 200;
	if (!stream->was_reset)
		tell_head(stream, &head, end);
	if (end && !ms_h2_stream_take_end(stream, NULL, 0))
		return no_memory(s);
	return verdict(s);
}

static int take_headers(struct h2_session *s, const nghttp2_frame *frame)
{
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		return take_request(s, frame->hd.stream_id, end);
	struct h2_stream *stream = stream_of(s, frame->hd.stream_id);
	if (stream == NULL)
		return 0; // malformed before, and reset
	if (s->side == H2_CLIENT && !stream->final_seen)
		return take_response(s, stream, end);
	return take_trailers(s, stream);
}

// --- Frames ------------------------------------------------------------------------------------------

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *stream = stream_of(s, id);
	(void)flags;
	s->data_came = true;
	if (stream == NULL)
		return nghttp2_session_consume(ng, id, n) == 0 ? 0 : no_memory(s);
	return ms_h2_stream_take(stream, ms_slice(p, n)) ? verdict(s) : no_memory(s);
}

static int take_data_end(struct h2_session *s, const nghttp2_frame *frame)
{
	struct h2_stream *stream = stream_of(s, frame->hd.stream_id);
	bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
	if (s->data_came)
		ms_h2_add_credit(s, 1);
	else if (frame->hd.length > 0 && !end)
		ms_h2_count_glitch(s); // padding alone
	if (end && stream != NULL && !ms_h2_stream_take_end(stream, NULL, 0))
		return no_memory(s);
	return verdict(s);
}

static void take_settings(struct h2_session *s, const nghttp2_frame *frame)
{
	if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
		return;
	s->settings_seen = true;
	if (s->events->settings != NULL)
		s->events->settings(s, s->arg);
}

static void take_ping(struct h2_session *s, const nghttp2_frame *frame)
{
	if ((frame->hd.flags & NGHTTP2_FLAG_ACK) == 0 || !s->ping_waits)
		return;
	s->ping_waits = false;
	if (s->drain_ping)
		ms_h2_drain(s);
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_session *s = arg;
	(void)ng;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		return take_headers(s, frame);
	case NGHTTP2_DATA:
		return take_data_end(s, frame);
	case NGHTTP2_SETTINGS:
		take_settings(s, frame);
		break;
	case NGHTTP2_PING:
		take_ping(s, frame);
		break;
	case NGHTTP2_GOAWAY:
		s->peer_goaway = true;
		if (s->events->goaway != NULL)
			s->events->goaway(s, frame->goaway.error_code, s->arg);
		break;
	default:
		break;
	}
	return verdict(s);
}

void ms_h2_stream_drop(struct h2_stream *stream)
{
	struct h2_session *s = stream->s;
	stream->gone = true;
	if (stream->announced && s->events->closed != NULL)
		s->events->closed(s, stream, stream->close_error, s->arg);
	ms_h2_stream_free(stream);
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *arg)
{
	struct h2_session *s = arg;
	struct h2_stream *stream = stream_of(s, id);
	(void)ng;
	ms_h2_remember(&s->closed, id);
	if (stream == NULL)
		return 0;
	stream->gone = true;
	// A request that never left may be sent again, whatever kept it here.
	bool unsent = s->side == H2_CLIENT && !stream->head_sent && !stream->was_reset;
	if (!stream->was_reset)
		stream->close_error = unsent ? (uint32_t)H2_REFUSED_STREAM : error;
	bool waits = stream->in.n > 0 || stream->end_waits;
	// All that the peer has said came; the owner has only not read it yet.
	if (waits && stream->remote_ended && error == H2_NO_ERROR)
		return 0;
	ms_h2_stream_drop(stream);
	return 0;
}

// --- Going -------------------------------------------------------------------------------------------

static void note_goaway(struct h2_session *s, const nghttp2_goaway *goaway)
{
	if (goaway->error_code == NGHTTP2_NO_ERROR)
		return;
	s->goaway_failed = true;
	s->goaway_error = goaway->error_code;
	size_t n = MS_MIN(goaway->opaque_data_len, sizeof(s->goaway_text) - 1);
	if (n > 0)
		memcpy(s->goaway_text, goaway->opaque_data, n);
	s->goaway_text[n] = '\0';
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *arg)
{
	struct h2_session *s = arg;
	(void)ng;
	if (frame->hd.type == NGHTTP2_GOAWAY)
		note_goaway(s, &frame->goaway);
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		ms_h2_remember(&s->resets, frame->hd.stream_id);
	if (frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	ms_h2_add_credit(s, 2);
	struct h2_stream *stream = stream_of(s, frame->hd.stream_id);
	if (stream == NULL)
		return 0;
	stream->head_sent = true;
	if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
		return 0;
	stream->sent_all = true;
	if (s->events->sent != NULL)
		s->events->sent(s, stream, s->arg);
	return 0;
}

static bool wake_owners(struct h2_session *s)
{
	bool woken = false;
	for (struct list_node *node; (node = ms_list_pop(&s->drained)) != NULL;) {
		struct h2_stream *stream = MS_CONTAINER_OF(node, struct h2_stream, drained_node);
		stream->draining = stream->wants_drain = false;
		if (stream->was_reset || stream->gone || s->events->drained == NULL)
			continue;
		s->events->drained(s, stream, s->arg);
		woken = true;
	}
	return woken;
}

// `closed` may touch any other stream, so each step begins at the front.
static void sweep(struct h2_session *s)
{
	struct list_node *node = s->sweep ? ms_list_first(&s->streams) : NULL;
	s->sweep = false;
	while (node != NULL && node != &s->streams.head) {
		struct h2_stream *stream = MS_CONTAINER_OF(node, struct h2_stream, node);
		node = node->next;
		if (!stream->gone || !stream->was_reset)
			continue;
		ms_h2_stream_drop(stream);
		node = ms_list_first(&s->streams);
	}
}

// False: nothing more to send.
static bool send_some(struct h2_session *s, struct buf *out, size_t enough)
{
	while (out->n < enough) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(s->ng, &p);
		if (n > 0)
			ms_buf_append(out, p, (size_t)n);
		if (n < 0 || !ms_buf_ok(out)) {
			s->failed = true;
			s->fault = s->fault != MS_OK ? s->fault : MS_ERR_NO_MEMORY;
		}
		if (n <= 0 || s->failed)
			return false;
	}
	return true;
}

bool ms_h2_output(struct h2_session *s, struct buf *out, size_t enough)
{
	MS_ASSERT(!s->busy);
	s->busy = true;
	bool more, again;
	do {
		sweep(s);
		more = !s->failed && send_some(s, out, enough);
		again = wake_owners(s); // who may write more at once
	} while (!more && again && !s->failed);
	s->busy = false;
	return more;
}

bool ms_h2_wants_output(const struct h2_session *s)
{
	return !s->failed && (s->sweep || nghttp2_session_want_write(s->ng) != 0);
}

// --- Coming ------------------------------------------------------------------------------------------

static void judge(struct h2_session *s, ssize_t rc)
{
	switch (rc) {
	case NGHTTP2_ERR_NOMEM:
	case NGHTTP2_ERR_CALLBACK_FAILURE: // without a reason of ours
		ms_h2_fail(s, MS_ERR_NO_MEMORY, "memory is out");
		break;
	case NGHTTP2_ERR_BAD_CLIENT_MAGIC:
		ms_h2_fail(s, MS_ERR_HTTP_SYNTAX, "the connection does not begin with the preface of HTTP/2");
		break;
	default:
		ms_h2_fail(s, MS_ERR_BUSY, "answers or pieces of a header block pile up");
		break;
	}
}

enum ms_err ms_h2_feed(struct h2_session *s, struct slice bytes, int64_t now_ns, struct errinfo *info)
{
	MS_ASSERT(!s->busy);
	if (now_ns - s->minute_ns >= MINUTE_NS) {
		s->minute_ns = now_ns;
		s->glitches = 0;
	}
	if (s->fault == MS_OK && !s->failed && bytes.n > 0) {
		s->busy = true;
		ssize_t rc = ms_h2_take_bytes(s, bytes);
		s->busy = false;
		if (rc < 0)
			judge(s, rc);
	}
	return s->fault == MS_OK ? MS_OK : ms_fail(info, s->fault, "%s", s->fault_reason);
}

// --- Callbacks ---------------------------------------------------------------------------------------

bool ms_h2_make_callbacks(nghttp2_session_callbacks **ret_callbacks)
{
	nghttp2_session_callbacks *c;
	if (nghttp2_session_callbacks_new(&c) != 0)
		return false;
	nghttp2_session_callbacks_set_on_begin_headers_callback(c, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(c, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(c, on_invalid_header);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, on_invalid_frame);
	nghttp2_session_callbacks_set_on_frame_recv_callback(c, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(c, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_send_callback(c, on_frame_send);
	*ret_callbacks = c;
	return true;
}
