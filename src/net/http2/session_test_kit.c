// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "net/http2/session_test_kit.h"

// --- Frames ------------------------------------------------------------------------------------------

uint32_t kit_read_u32(struct slice s, size_t at)
{
	const uint8_t *p = (const uint8_t *)s.p + at;
	return at + 4 > s.n ? 0 : (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool kit_next_frame(struct slice *bytes, struct frame *ret_frame)
{
	if (bytes->n < 9)
		return false;
	size_t n = kit_read_u32(*bytes, 0) >> 8;
	if (bytes->n < 9 + n)
		return false;
	*ret_frame = (struct frame){
		.type = (uint8_t)bytes->p[3],
		.flags = (uint8_t)bytes->p[4],
		.stream = kit_read_u32(*bytes, 5) & 0x7fffffff,
		.payload = ms_slice_sub(*bytes, 9, n),
	};
	*bytes = ms_slice_sub(*bytes, 9 + n, SIZE_MAX);
	return true;
}

void kit_u32(struct buf *out, uint32_t value)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		ms_buf_append_char(out, (char)(value >> shift));
}

void kit_frame(struct buf *out, unsigned type, unsigned flags, uint32_t stream, struct slice payload)
{
	for (int shift = 16; shift >= 0; shift -= 8)
		ms_buf_append_char(out, (char)(payload.n >> shift));
	ms_buf_append_char(out, (char)type);
	ms_buf_append_char(out, (char)flags);
	kit_u32(out, stream);
	ms_buf_append_slice(out, payload);
}

void kit_field(struct buf *out, struct slice name, struct slice value)
{
	REQUIRE(name.n < 127 && value.n < 127);
	ms_buf_append_char(out, 0);
	ms_buf_append_char(out, (char)name.n);
	ms_buf_append_slice(out, name);
	ms_buf_append_char(out, (char)value.n);
	ms_buf_append_slice(out, value);
}

void kit_request(struct buf *out, const char *method, const char *path)
{
	kit_field(out, MS_SLICE_LIT(":method"), ms_slice_cstr(method));
	kit_field(out, MS_SLICE_LIT(":scheme"), MS_SLICE_LIT("http"));
	kit_field(out, MS_SLICE_LIT(":authority"), MS_SLICE_LIT("a.test"));
	kit_field(out, MS_SLICE_LIT(":path"), ms_slice_cstr(path));
}

void kit_start(struct buf *out)
{
	ms_buf_append_slice(out, MS_H2_PREFACE);
	kit_frame(out, F_SETTINGS, 0, 0, MS_SLICE_EMPTY);
	kit_frame(out, F_SETTINGS, F_ACK, 0, MS_SLICE_EMPTY);
}

// --- Events ------------------------------------------------------------------------------------------

static void log_fields(struct buf *log, const struct http_header *headers, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ms_buf_printf(log, " %.*s=%.*s", MS_SLICE_ARG(headers[i].name), MS_SLICE_ARG(headers[i].value));
}

static void on_head(struct h2_session *s, struct h2_stream *stream, const struct h2_head *h, void *arg)
{
	struct kit *k = arg;
	(void)s;
	k->stream = stream;
	ms_buf_printf(&k->log, "head %d", ms_h2_stream_id(stream));
	if (h->status != 0)
		ms_buf_printf(&k->log, " %d", h->status);
	else
		ms_buf_printf(&k->log, " %.*s %.*s %.*s", MS_SLICE_ARG(h->method), MS_SLICE_ARG(h->authority),
			      MS_SLICE_ARG(h->path));
	if (h->protocol.n > 0)
		ms_buf_printf(&k->log, " protocol=%.*s", MS_SLICE_ARG(h->protocol));
	if (h->content_length != UINT64_MAX)
		ms_buf_printf(&k->log, " length=%llu", (unsigned long long)h->content_length);
	log_fields(&k->log, h->headers, h->header_count);
	ms_buf_append_cstr(&k->log, h->too_large ? " too_large" : "");
	ms_buf_append_cstr(&k->log, h->end ? " .\n" : "\n");
	ms_h2_set_data(stream, ms_slice_eq_cstr(h->method, "HEAD") ? k : NULL);
}

// Data of a stream make one line, however they were cut.
static void on_data(struct h2_session *s, struct h2_stream *stream, struct slice bytes, void *arg)
{
	struct kit *k = arg;
	char line[64];
	(void)s;
	snprintf(line, sizeof(line), "data %d ", ms_h2_stream_id(stream));
	struct slice log = ms_buf_slice(&k->log);
	size_t start = log.n;
	while (start >= 2 && log.p[start - 2] != '\n')
		start--;
	start = start >= 2 ? start - 1 : 0;
	CHECK(bytes.n > 0);
	if (log.n > 0 && ms_slice_starts_with(ms_slice_sub(log, start, SIZE_MAX), ms_slice_cstr(line)))
		k->log.n--;
	else
		ms_buf_append_cstr(&k->log, line);
	ms_buf_append_slice(&k->log, ms_slice_sub(bytes, 0, 100));
	ms_buf_append_char(&k->log, '\n');
}

static void on_end(struct h2_session *s, struct h2_stream *stream, const struct http_header *trailers, size_t count,
		   void *arg)
{
	struct kit *k = arg;
	ms_buf_printf(&k->log, "end %d", ms_h2_stream_id(stream));
	log_fields(&k->log, trailers, count);
	ms_buf_append_char(&k->log, '\n');
	if (k->silent)
		return;
	bool head = ms_h2_data(stream) == k;
	const struct http_header headers[] = {{MS_SLICE_LIT("Content-Length"), MS_SLICE_LIT("10")}};
	ms_h2_respond(s, stream,
		      &(struct h2_message){.status = 200, .headers = headers, .header_count = 1, .end = head});
	ms_h2_send_last(s, stream, MS_SLICE_LIT("ten bytes."));
}

static void on_client_end(struct h2_session *s, struct h2_stream *stream, const struct http_header *trailers,
			  size_t count, void *arg)
{
	struct kit *k = arg;
	(void)s;
	ms_buf_printf(&k->log, "end %d", ms_h2_stream_id(stream));
	log_fields(&k->log, trailers, count);
	ms_buf_append_char(&k->log, '\n');
}

static void on_drained(struct h2_session *s, struct h2_stream *stream, void *arg)
{
	struct kit *k = arg;
	(void)s;
	ms_buf_printf(&k->log, "drained %d\n", ms_h2_stream_id(stream));
}

static void on_closed(struct h2_session *s, struct h2_stream *stream, uint32_t error, void *arg)
{
	struct kit *k = arg;
	(void)s;
	ms_buf_printf(&k->log, "closed %d %s\n", ms_h2_stream_id(stream), ms_h2_error_name(error));
	if (k->stream == stream)
		k->stream = NULL;
}

static void on_settings(struct h2_session *s, void *arg)
{
	struct kit *k = arg;
	(void)s;
	ms_buf_append_cstr(&k->log, "settings\n");
}

static void on_goaway(struct h2_session *s, uint32_t error, void *arg)
{
	struct kit *k = arg;
	(void)s;
	ms_buf_printf(&k->log, "goaway %s\n", ms_h2_error_name(error));
}

static const struct h2_events client_events = {.head = on_head,
					       .data = on_data,
					       .end = on_client_end,
					       .drained = on_drained,
					       .closed = on_closed,
					       .settings = on_settings,
					       .goaway = on_goaway};
static const struct h2_events server_events = {.head = on_head,
					       .data = on_data,
					       .end = on_end,
					       .drained = on_drained,
					       .closed = on_closed,
					       .settings = on_settings,
					       .goaway = on_goaway};

// --- The kit -----------------------------------------------------------------------------------------

void kit_init(struct kit *k, enum h2_side side, const struct h2_limits *limits, size_t step)
{
	*k = (struct kit){.step = step};
	ms_buf_init(&k->out, 256 << 20);
	ms_buf_init(&k->log, 64 << 20);
	const struct h2_options options = {
		.side = side,
		.limits = limits != NULL ? *limits : (struct h2_limits){0},
		.extended_connect = true,
		.events = side == H2_SERVER ? &server_events : &client_events,
		.arg = k,
	};
	k->err = ms_h2_new(&options, &k->s);
}

void kit_fini(struct kit *k)
{
	ms_h2_free(k->s);
	ms_buf_fini(&k->out);
	ms_buf_fini(&k->log);
}

void kit_flush(struct kit *k)
{
	while (ms_h2_output(k->s, &k->out, k->out.n + 16384))
		;
}

void kit_feed(struct kit *k, struct slice bytes)
{
	while (bytes.n > 0) {
		struct slice part = ms_slice_sub(bytes, 0, k->step);
		bytes = ms_slice_sub(bytes, part.n, SIZE_MAX);
		k->err = ms_h2_feed(k->s, part, k->now_ns, NULL);
		kit_flush(k);
	}
}

bool kit_find(const struct kit *k, unsigned type, uint32_t stream, struct frame *ret_frame)
{
	struct slice bytes = ms_buf_slice(&k->out);
	struct frame frame;
	bool found = false;
	if (ms_slice_starts_with(bytes, MS_H2_PREFACE))
		bytes = ms_slice_sub(bytes, MS_H2_PREFACE.n, SIZE_MAX);
	while (kit_next_frame(&bytes, &frame)) {
		if (frame.type != type || frame.stream != stream)
			continue;
		*ret_frame = frame;
		found = true;
	}
	return found;
}

size_t kit_count(const struct kit *k, unsigned type)
{
	struct slice bytes = ms_buf_slice(&k->out);
	struct frame frame;
	size_t n = 0;
	if (ms_slice_starts_with(bytes, MS_H2_PREFACE))
		bytes = ms_slice_sub(bytes, MS_H2_PREFACE.n, SIZE_MAX);
	while (kit_next_frame(&bytes, &frame))
		n += frame.type == type;
	return n;
}

bool kit_goaway(const struct kit *k, uint32_t code)
{
	struct frame frame;
	return kit_find(k, F_GOAWAY, 0, &frame) && kit_read_u32(frame.payload, 4) == code;
}

bool kit_reset(const struct kit *k, uint32_t stream, uint32_t code)
{
	struct frame frame;
	return kit_find(k, F_RST, stream, &frame) && kit_read_u32(frame.payload, 0) == code;
}
