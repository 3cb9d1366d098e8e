// SPDX-License-Identifier: Apache-2.0
// Each frame is looked at before nghttp2 gets it: floods are counted, also those of frames that nghttp2 drops without a word, and
// frames on streams that are over are told from those that crossed our RST_STREAM.
#include <stdlib.h>

#include "net/http2/session.h"

struct frame_head {
	size_t length;
	unsigned type;
	unsigned flags;
	int32_t stream;
};

// --- Faults ------------------------------------------------------------------------------------------

static void fail_with(struct h2_session *s, enum ms_err fault, enum h2_error code, const char *reason)
{
	if (s->fault != MS_OK)
		return;
	s->fault = fault;
	s->fault_reason = reason;
	s->failed |= nghttp2_session_terminate_session(s->ng, code) != 0;
}

void ms_h2_fail(struct h2_session *s, enum ms_err fault, const char *reason)
{
	bool syntax = fault == MS_ERR_HTTP_SYNTAX;
	fail_with(s, fault,
		  fault == MS_ERR_BUSY ? H2_ENHANCE_YOUR_CALM
		  : syntax             ? H2_PROTOCOL_ERROR
				       : H2_INTERNAL_ERROR,
		  reason);
}

void ms_h2_count_glitch(struct h2_session *s)
{
	if (++s->glitches > s->limits.glitches)
		ms_h2_fail(s, MS_ERR_BUSY, "the peer sent too many frames that an honest one does not send");
}

void ms_h2_add_credit(struct h2_session *s, unsigned n)
{
	s->credit = MS_MIN(s->credit + n, CREDIT_MAX);
}

// Frames that our own data or the peer's explain, up to a point.
static void count_explained(struct h2_session *s)
{
	if (s->credit > 0)
		s->credit--;
	else
		ms_h2_count_glitch(s);
}

static void count_frame(struct h2_session *s, const struct frame_head *f)
{
	bool ack = (f->flags & NGHTTP2_FLAG_ACK) != 0;
	bool end_stream = (f->flags & NGHTTP2_FLAG_END_STREAM) != 0;
	switch (f->type) {
	case NGHTTP2_DATA:
		if (f->length == 0 && !end_stream)
			ms_h2_count_glitch(s);
		break;
	case NGHTTP2_HEADERS:
	case NGHTTP2_CONTINUATION:
		if (f->length == 0)
			ms_h2_count_glitch(s);
		break;
	case NGHTTP2_SETTINGS:
		if (!ack && s->settings_seen)
			ms_h2_count_glitch(s);
		break;
	case NGHTTP2_PING:
		if (!ack || !s->ping_waits)
			count_explained(s);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		count_explained(s);
		break;
	default: // PRIORITY, RST_STREAM, GOAWAY, PUSH_PROMISE and unknown ones
		ms_h2_count_glitch(s);
		break;
	}
}

// nghttp2 has such a limit too, but counts the reads of a frame's head and not the frames.
static void count_continuation(struct h2_session *s, const struct frame_head *f)
{
	if (f->type == NGHTTP2_HEADERS)
		s->continuations = 0;
	else if (f->type == NGHTTP2_CONTINUATION && ++s->continuations > CONTINUATIONS_MAX)
		ms_h2_fail(s, MS_ERR_BUSY, "a header block comes in too many pieces");
}

// --- Streams that are over ---------------------------------------------------------------------------

void ms_h2_remember(struct ring *ring, int32_t id)
{
	if (ring->ids == NULL)
		ring->ids = calloc(ring->size, sizeof(*ring->ids));
	if (ring->ids == NULL)
		return; // then a late frame is taken for a mistake of the peer's
	ring->ids[ring->next] = id;
	ring->next = (ring->next + 1) % ring->size;
}

static bool remembers(const struct ring *ring, int32_t id)
{
	for (unsigned i = 0; ring->ids != NULL && i < ring->size; i++) {
		if (ring->ids[i] == id)
			return true;
	}
	return false;
}

static void forget(struct ring *ring, int32_t id)
{
	for (unsigned i = 0; ring->ids != NULL && i < ring->size; i++)
		ring->ids[i] = ring->ids[i] == id ? 0 : ring->ids[i];
}

// A server's: nghttp2 ignores frames on closed streams, sections 5.1 and 5.1.1 call them errors.
static void check_stream(struct h2_session *s, const struct frame_head *f)
{
	bool headers = f->type == NGHTTP2_HEADERS;
	if (f->type == NGHTTP2_RST_STREAM) // from now on the peer knows, whoever was first
		forget(&s->resets, f->stream);
	if ((!headers && f->type != NGHTTP2_DATA) || s->in_block || s->last_word || f->stream % 2 == 0)
		return;
	if (f->stream > s->last_stream) {
		s->last_stream = headers ? f->stream : s->last_stream;
		return;
	}
	if (nghttp2_session_find_stream(s->ng, f->stream) != NULL || remembers(&s->resets, f->stream))
		return;
	if (headers && !remembers(&s->closed, f->stream))
		fail_with(s, MS_ERR_HTTP_SYNTAX, H2_PROTOCOL_ERROR, "the number of a stream is lower than one before");
	else
		fail_with(s, MS_ERR_HTTP_SYNTAX, H2_STREAM_CLOSED, "a frame came for a stream that is closed");
}

// --- Cutting -----------------------------------------------------------------------------------------

// The head is complete. False: the session has failed.
static bool check_head(struct h2_session *s)
{
	const uint8_t *p = s->head;
	const struct frame_head f = {
		.length = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2],
		.type = p[3],
		.flags = p[4],
		.stream = (int32_t)((uint32_t)(p[5] & 0x7f) << 24 | (uint32_t)p[6] << 16 | (uint32_t)p[7] << 8 | p[8]),
	};
	s->payload_left = f.length;
	s->data_came = false;
	count_frame(s, &f);
	count_continuation(s, &f);
	if (s->side == H2_SERVER && s->fault == MS_OK)
		check_stream(s, &f);
	s->reads_headers = f.type == NGHTTP2_HEADERS || f.type == NGHTTP2_CONTINUATION;
	if (s->reads_headers)
		s->in_block = (f.flags & NGHTTP2_FLAG_END_HEADERS) == 0;
	return s->fault == MS_OK;
}

static ssize_t give(struct h2_session *s, const void *p, size_t n)
{
	ssize_t rc = nghttp2_session_mem_recv(s->ng, p, n);
	return rc < 0 ? rc : s->fault == MS_OK ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

// Preface or payload.
static ssize_t give_counted(struct h2_session *s, struct slice *bytes, size_t *left)
{
	struct slice part = ms_slice_sub(*bytes, 0, *left);
	*left -= part.n;
	*bytes = ms_slice_sub(*bytes, part.n, SIZE_MAX);
	return give(s, part.p, part.n);
}

// A head, with its payload behind it as far as it is here when the head is in one piece.
static ssize_t give_head(struct h2_session *s, struct slice *bytes)
{
	struct slice part = ms_slice_sub(*bytes, 0, FRAME_HEAD_BYTES - s->head_n);
	bool one_piece = part.n == FRAME_HEAD_BYTES;
	memcpy(s->head + s->head_n, part.p, part.n);
	s->head_n += (unsigned)part.n;
	if (s->head_n < FRAME_HEAD_BYTES) {
		*bytes = MS_SLICE_EMPTY;
		return 0;
	}
	s->head_n = 0;
	if (!check_head(s))
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	size_t payload = one_piece ? MS_MIN(s->payload_left, bytes->n - FRAME_HEAD_BYTES) : 0;
	struct slice whole =
		one_piece ? ms_slice(bytes->p, FRAME_HEAD_BYTES + payload) : ms_slice(s->head, FRAME_HEAD_BYTES);
	s->payload_left -= payload;
	*bytes = ms_slice_sub(*bytes, part.n + payload, SIZE_MAX);
	return give(s, whole.p, whole.n);
}

ssize_t ms_h2_take_bytes(struct h2_session *s, struct slice bytes)
{
	ssize_t rc = 0;
	while (bytes.n > 0 && rc == 0) {
		if (s->preface_left > 0)
			rc = give_counted(s, &bytes, &s->preface_left);
		else if (s->payload_left > 0)
			rc = give_counted(s, &bytes, &s->payload_left);
		else
			rc = give_head(s, &bytes);
	}
	return rc;
}
