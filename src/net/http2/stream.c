// SPDX-License-Identifier: Apache-2.0
// One stream: what waits to be sent, and what came while its owner had paused it.
#include <stdlib.h>

#include "net/http2/session.h"

#define OUT_MAX ((size_t)1 << 30)

struct h2_stream *ms_h2_stream_new(struct h2_session *s, int32_t id)
{
	struct h2_stream *stream = calloc(1, sizeof(*stream));
	if (stream == NULL)
		return NULL;
	stream->s = s;
	stream->id = id;
	ms_buf_init(&stream->in, s->limits.stream_window + 1);
	ms_buf_init(&stream->out, OUT_MAX);
	ms_list_append(&s->streams, &stream->node);
	return stream;
}

void ms_h2_stream_free(struct h2_stream *stream)
{
	ms_list_remove(&stream->s->streams, &stream->node);
	if (stream->draining)
		ms_list_remove(&stream->s->drained, &stream->drained_node);
	ms_buf_fini(&stream->in);
	ms_buf_fini(&stream->out);
	ms_h2_fields_free(&stream->in_trailers);
	ms_h2_fields_free(&stream->out_trailers);
	free(stream);
}

int32_t ms_h2_stream_id(const struct h2_stream *stream)
{
	return stream->id;
}

void ms_h2_set_data(struct h2_stream *stream, void *data)
{
	stream->data = data;
}

void *ms_h2_data(const struct h2_stream *stream)
{
	return stream->data;
}

// --- Coming ------------------------------------------------------------------------------------------

// The bytes were delivered or dropped: the peer may send as many more.
static void give_window(struct h2_stream *stream, size_t n)
{
	nghttp2_session *ng = stream->s->ng;
	// Only running out of memory makes these fail; then the next call into nghttp2 tells.
	if (nghttp2_session_consume_connection(ng, n) == 0 && !stream->gone)
		(void)nghttp2_session_consume_stream(ng, stream->id, n);
}

// The answer is complete and nobody looks at the rest of the request. Most clients end or reset it now; one that goes on is told to stop
// (RFC 9113 section 8.1).
static void drop_rest(struct h2_stream *stream, size_t n)
{
	stream->unread += n;
	give_window(stream, n);
	if (stream->unread > UNREAD_MAX)
		ms_h2_reset(stream->s, stream, H2_NO_ERROR);
}

bool ms_h2_stream_take(struct h2_stream *stream, struct slice bytes)
{
	struct h2_session *s = stream->s;
	if (stream->was_reset) {
		give_window(stream, bytes.n);
		return true;
	}
	if (s->side == H2_SERVER && stream->sent_all && !stream->tunnel) {
		drop_rest(stream, bytes.n);
		return true;
	}
	if (stream->paused || stream->delivering) {
		ms_buf_append_slice(&stream->in, bytes);
		return ms_buf_ok(&stream->in);
	}
	if (s->events->data != NULL)
		s->events->data(s, stream, bytes, s->arg);
	give_window(stream, bytes.n);
	return true;
}

static void tell_end(struct h2_stream *stream, const struct http_header *trailers, size_t count)
{
	struct h2_session *s = stream->s;
	if (s->events->end != NULL)
		s->events->end(s, stream, trailers, count, s->arg);
}

bool ms_h2_stream_take_end(struct h2_stream *stream, const struct http_header *trailers, size_t count)
{
	stream->remote_ended = true;
	if (stream->was_reset)
		return true;
	if (!stream->paused && !stream->delivering) {
		tell_end(stream, trailers, count);
		return true;
	}
	stream->end_waits = true;
	return ms_h2_fields_copy(trailers, count, &stream->in_trailers);
}

void ms_h2_pause(struct h2_session *s, struct h2_stream *stream)
{
	MS_ASSERT(stream->s == s);
	stream->paused = true;
}

// What was kept, in the order in which it came. The owner may pause or reset again at any event.
static void deliver(struct h2_stream *stream)
{
	struct h2_session *s = stream->s;
	stream->delivering = true;
	while (stream->in.n > 0 && !stream->paused && !stream->was_reset) {
		struct buf kept = stream->in;
		ms_buf_init(&stream->in, kept.max);
		if (s->events->data != NULL)
			s->events->data(s, stream, ms_buf_slice(&kept), s->arg);
		give_window(stream, kept.n);
		ms_buf_fini(&kept);
	}
	stream->delivering = false;
	if (stream->end_waits && stream->in.n == 0 && !stream->paused && !stream->was_reset) {
		stream->end_waits = false;
		tell_end(stream, stream->in_trailers.headers, stream->in_trailers.count);
	}
}

void ms_h2_resume(struct h2_session *s, struct h2_stream *stream)
{
	MS_ASSERT(stream->s == s);
	if (!stream->paused)
		return;
	stream->paused = false;
	if (stream->delivering || stream->was_reset)
		return; // the loop of deliver() is on the stack and goes on
	deliver(stream);
	if (stream->gone && stream->in.n == 0 && !stream->end_waits)
		ms_h2_stream_drop(stream);
}

// --- Going -------------------------------------------------------------------------------------------

size_t ms_h2_waiting(const struct h2_stream *stream)
{
	return stream->out.n - stream->out_sent + stream->last.n;
}

uint64_t ms_h2_sent(const struct h2_stream *stream)
{
	return stream->sent;
}

bool ms_h2_sent_all(const struct h2_stream *stream)
{
	return stream->sent_all;
}

bool ms_h2_received_all(const struct h2_stream *stream)
{
	return stream->remote_ended;
}

static nghttp2_data_provider provider(struct h2_stream *stream)
{
	return (nghttp2_data_provider){.source.ptr = stream, .read_callback = ms_h2_stream_read};
}

enum ms_err ms_h2_request(struct h2_session *s, const struct h2_message *message, void *data,
			  struct h2_stream **ret_stream)
{
	MS_ASSERT(s->side == H2_CLIENT);
	size_t n;
	if (ms_h2_room(s) == 0)
		return MS_ERR_BUSY;
	struct h2_stream *stream = ms_h2_message_nv(s, message, &n) ? ms_h2_stream_new(s, 0) : NULL;
	if (stream == NULL)
		return MS_ERR_NO_MEMORY;
	nghttp2_data_provider body = provider(stream);
	stream->ended = message->end;
	stream->data = data;
	stream->id = nghttp2_submit_request(s->ng, NULL, s->nv, n, message->end ? NULL : &body, stream);
	if (stream->id < 0) {
		bool memory = stream->id == NGHTTP2_ERR_NOMEM;
		ms_h2_stream_free(stream);
		return memory ? MS_ERR_NO_MEMORY : MS_ERR_BUSY;
	}
	stream->announced = true;
	*ret_stream = stream;
	return MS_OK;
}

void ms_h2_respond(struct h2_session *s, struct h2_stream *stream, const struct h2_message *message)
{
	MS_ASSERT(stream->s == s && s->side == H2_SERVER && !stream->responded);
	if (stream->gone || stream->was_reset || s->failed)
		return;
	size_t n;
	int rc = NGHTTP2_ERR_NOMEM;
	nghttp2_data_provider body = provider(stream);
	bool interim = message->status < 200;
	if (ms_h2_message_nv(s, message, &n)) {
		rc = interim ? nghttp2_submit_headers(s->ng, NGHTTP2_FLAG_NONE, stream->id, NULL, s->nv, n, NULL)
			     : nghttp2_submit_response(s->ng, stream->id, s->nv, n, message->end ? NULL : &body);
	}
	stream->responded = !interim;
	stream->tunnel &= interim || message->status < 300;
	stream->ended = !interim && message->end;
	if (rc != 0)
		ms_h2_reset(s, stream, H2_INTERNAL_ERROR);
}

static void wake(struct h2_stream *stream)
{
	if (!stream->deferred)
		return;
	stream->deferred = false;
	(void)nghttp2_session_resume_data(stream->s->ng, stream->id); // a stream that is closing by now has no data
}

static bool writable(const struct h2_stream *stream)
{
	return !stream->gone && !stream->was_reset && !stream->ended && !stream->s->failed;
}

size_t ms_h2_send_data(struct h2_session *s, struct h2_stream *stream, struct slice bytes)
{
	MS_ASSERT(stream->s == s);
	if (!writable(stream))
		return 0;
	ms_buf_append_slice(&stream->out, bytes);
	if (!ms_buf_ok(&stream->out)) {
		ms_h2_reset(s, stream, H2_INTERNAL_ERROR);
		return 0;
	}
	wake(stream);
	size_t waiting = ms_h2_waiting(stream);
	stream->wants_drain |= waiting >= MS_H2_DRAIN_BYTES;
	return waiting;
}

void ms_h2_send_last(struct h2_session *s, struct h2_stream *stream, struct slice bytes)
{
	MS_ASSERT(stream->s == s);
	if (!writable(stream))
		return;
	stream->last = bytes;
	stream->ended = true;
	wake(stream);
}

void ms_h2_send_end(struct h2_session *s, struct h2_stream *stream, const struct http_header *trailers, size_t count)
{
	MS_ASSERT(stream->s == s);
	if (!writable(stream))
		return;
	if (!ms_h2_fields_copy(trailers, count, &stream->out_trailers)) {
		ms_h2_reset(s, stream, H2_INTERNAL_ERROR);
		return;
	}
	stream->ended = true;
	wake(stream);
}

static size_t fill(struct h2_stream *stream, uint8_t *p, size_t n)
{
	struct slice part = ms_slice_sub(ms_h2_unsent(stream), 0, n);
	if (part.n > 0)
		memcpy(p, part.p, part.n);
	stream->out_sent += part.n;
	size_t more = MS_MIN(n - part.n, stream->last.n);
	if (more > 0)
		memcpy(p + part.n, stream->last.p, more);
	stream->last = ms_slice_sub(stream->last, more, SIZE_MAX);
	if (stream->out_sent == stream->out.n) {
		ms_buf_clear(&stream->out);
		stream->out_sent = 0;
	} else if (stream->out_sent >= MS_H2_DRAIN_BYTES && stream->out_sent >= stream->out.n / 2) {
		ms_buf_consume(&stream->out, stream->out_sent);
		stream->out_sent = 0;
	}
	return part.n + more;
}

// The end of the data; *ret_more when trailers follow.
static bool end_data(struct h2_stream *stream, bool *ret_more)
{
	struct h2_session *s = stream->s;
	const struct h2_message trailers = {.headers = stream->out_trailers.headers,
					    .header_count = stream->out_trailers.count};
	size_t n = 0;
	if (trailers.header_count > 0 && !ms_h2_message_nv(s, &trailers, &n))
		return false;
	*ret_more = n > 0;
	return n == 0 || nghttp2_submit_trailer(s->ng, stream->id, s->nv, n) == 0;
}

ssize_t ms_h2_stream_read(nghttp2_session *ng, int32_t id, uint8_t *p, size_t n, uint32_t *flags,
			  nghttp2_data_source *source, void *arg)
{
	(void)ng, (void)id;
	struct h2_stream *stream = source->ptr;
	struct h2_session *s = arg;
	if (stream->was_reset || (ms_h2_waiting(stream) == 0 && !stream->ended)) {
		stream->deferred = !stream->was_reset;
		return NGHTTP2_ERR_DEFERRED;
	}
	size_t filled = fill(stream, p, n);
	stream->sent += filled;
	size_t waiting = ms_h2_waiting(stream);
	if (stream->wants_drain && waiting < MS_H2_DRAIN_BYTES && !stream->draining) {
		stream->draining = true;
		ms_list_append(&s->drained, &stream->drained_node);
	}
	if (waiting > 0 || !stream->ended)
		return (ssize_t)filled;
	bool more;
	if (!end_data(stream, &more))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	*flags |= NGHTTP2_DATA_FLAG_EOF | (more ? NGHTTP2_DATA_FLAG_NO_END_STREAM : 0);
	return (ssize_t)filled;
}

void ms_h2_reset(struct h2_session *s, struct h2_stream *stream, enum h2_error error)
{
	MS_ASSERT(stream->s == s);
	if (stream->was_reset)
		return;
	stream->was_reset = true;
	stream->close_error = error;
	give_window(stream, stream->in.n);
	ms_buf_clear(&stream->in);
	stream->end_waits = false;
	stream->out_sent = 0;
	ms_buf_clear(&stream->out);
	stream->last = MS_SLICE_EMPTY;
	if (stream->gone) {
		s->sweep = true;
		return;
	}
	if (nghttp2_submit_rst_stream(s->ng, NGHTTP2_FLAG_NONE, stream->id, error) != 0)
		ms_h2_fail(s, MS_ERR_NO_MEMORY, "memory is out");
}
