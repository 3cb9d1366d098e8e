// SPDX-License-Identifier: Apache-2.0
// Sessions of HTTP/2. The first byte says which side the session is, whether it answers, and how the rest is cut into pieces; the rest comes
// from the peer, after the preface. What must hold: events come in their order, what is told is a valid message, memory stays within its
// limit, and a session that says nothing tells the same however the bytes were cut.
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "net/http2/http2.h"

#define STREAMS 10
#define HEADER_BYTES 2000
#define MEMORY_BYTES ((size_t)1 << 20)

struct seen { // of a stream
	bool head;
	bool end;
};

struct peer {
	struct h2_session *s;
	struct buf log;
	bool answers;
	enum ms_err err;
};

static bool holds(struct slice s, const char *bytes)
{
	for (size_t i = 0; i < s.n; i++) {
		if (strchr(bytes, s.p[i]) != NULL) // NUL too
			return true;
	}
	return false;
}

static void check_fields(const struct http_header *headers, size_t count)
{
	static const char *const never[] = {"connection", "transfer-encoding", "keep-alive", "upgrade",
					    "proxy-connection"};
	MS_ASSERT(count <= 21);
	for (size_t i = 0; i < count; i++) {
		MS_ASSERT(headers[i].name.n > 0 && !holds(headers[i].name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ: \r\n"));
		MS_ASSERT(!holds(headers[i].value, "\r\n"));
		for (size_t k = 0; k < MS_ARRAY_LEN(never); k++)
			MS_ASSERT(!ms_slice_eq_cstr(headers[i].name, never[k]));
	}
}

static void on_head(struct h2_session *s, struct h2_stream *stream, const struct h2_head *h, void *arg)
{
	struct peer *p = arg;
	struct seen *seen = ms_h2_data(stream);
	bool first = seen == NULL;
	if (first) {
		seen = calloc(1, sizeof(*seen));
		MS_ASSERT(seen != NULL);
		ms_h2_set_data(stream, seen);
	}
	MS_ASSERT(!seen->head && !seen->end);
	seen->head = h->status == 0 || h->status >= 200;
	check_fields(h->headers, h->header_count);
	if (h->status == 0 && !h->too_large) {
		MS_ASSERT(h->method.n > 0 && h->authority.n > 0 && !holds(h->authority, "\r\n "));
		MS_ASSERT((h->path.n > 0 && h->scheme.n > 0) || ms_slice_eq_cstr(h->method, "CONNECT"));
	}
	ms_buf_printf(&p->log, "head %d %d %zu %d\n", ms_h2_stream_id(stream), h->status, h->header_count, h->end);
	if (!p->answers || h->status != 0)
		return;
	if (h->header_count % 3 == 1)
		ms_h2_pause(s, stream);
	if (h->header_count % 5 == 2)
		ms_h2_reset(s, stream, H2_CANCEL);
}

static void on_data(struct h2_session *s, struct h2_stream *stream, struct slice bytes, void *arg)
{
	struct peer *p = arg;
	struct seen *seen = ms_h2_data(stream);
	MS_ASSERT(seen != NULL && seen->head && !seen->end && bytes.n > 0);
	if (p->answers && bytes.n % 4 == 1)
		ms_h2_pause(s, stream);
	// How a frame's bytes were cut is seen, and all the same.
	for (size_t i = 0; i < bytes.n; i++)
		ms_buf_printf(&p->log, "%d:%02x\n", ms_h2_stream_id(stream), (unsigned char)bytes.p[i]);
}

static void on_end(struct h2_session *s, struct h2_stream *stream, const struct http_header *trailers, size_t count,
		   void *arg)
{
	struct peer *p = arg;
	struct seen *seen = ms_h2_data(stream);
	MS_ASSERT(seen != NULL && seen->head && !seen->end);
	seen->end = true;
	check_fields(trailers, count);
	ms_buf_printf(&p->log, "end %d %zu\n", ms_h2_stream_id(stream), count);
	if (!p->answers || ms_h2_stream_id(stream) % 2 == 0)
		return;
	ms_h2_respond(s, stream, &(struct h2_message){.status = 200});
	ms_h2_send_data(s, stream, MS_SLICE_LIT("some bytes"));
	ms_h2_send_end(s, stream, trailers, count);
}

static void on_closed(struct h2_session *s, struct h2_stream *stream, uint32_t error, void *arg)
{
	struct peer *p = arg;
	(void)s;
	ms_buf_printf(&p->log, "closed %d %u\n", ms_h2_stream_id(stream), error);
	free(ms_h2_data(stream));
	ms_h2_set_data(stream, NULL);
}

static void on_client_end(struct h2_session *s, struct h2_stream *stream, const struct http_header *trailers,
			  size_t count, void *arg)
{
	struct peer *p = arg;
	struct seen *seen = ms_h2_data(stream);
	(void)s;
	MS_ASSERT(seen != NULL && seen->head && !seen->end);
	seen->end = true;
	check_fields(trailers, count);
	ms_buf_printf(&p->log, "end %d %zu\n", ms_h2_stream_id(stream), count);
}

static void ask(struct h2_session *s, bool post)
{
	struct h2_stream *stream;
	const struct h2_message message = {
		.method = post ? MS_SLICE_LIT("POST") : MS_SLICE_LIT("GET"),
		.scheme = MS_SLICE_LIT("http"),
		.authority = MS_SLICE_LIT("a"),
		.path = MS_SLICE_LIT("/"),
		.end = !post,
	};
	if (ms_h2_request(s, &message, NULL, &stream) == MS_OK && post)
		ms_h2_send_data(s, stream, MS_SLICE_LIT("some bytes"));
}

static void drain(struct peer *p)
{
	struct buf out;
	ms_buf_init(&out, 1 << 24);
	while (ms_h2_output(p->s, &out, 1 << 20))
		ms_buf_clear(&out);
	ms_buf_fini(&out);
}

static void run(struct slice bytes, bool client, bool answers, size_t step, struct peer *p)
{
	static const struct h2_events server = {.head = on_head, .data = on_data, .end = on_end, .closed = on_closed};
	static const struct h2_events asks = {
		.head = on_head, .data = on_data, .end = on_client_end, .closed = on_closed};
	const struct h2_options options = {
		.side = client ? H2_CLIENT : H2_SERVER,
		.limits = {.streams = STREAMS,
			   .header_bytes = HEADER_BYTES,
			   .header_count = 20,
			   .glitches = 50,
			   .memory_bytes = MEMORY_BYTES},
		.extended_connect = true,
		.events = client ? &asks : &server,
		.arg = p,
	};
	*p = (struct peer){.answers = answers};
	ms_buf_init(&p->log, 1 << 24);
	MS_ASSERT(ms_h2_new(&options, &p->s) == MS_OK);
	for (unsigned i = 0; client && i < 4; i++)
		ask(p->s, i % 2 == 1);
	if (client)
		drain(p);
	else
		p->err = ms_h2_feed(p->s, MS_H2_PREFACE, 0, NULL);
	while (bytes.n > 0 && p->err == MS_OK) {
		struct slice part = ms_slice_sub(bytes, 0, step);
		char *exact = malloc(part.n);
		MS_ASSERT(exact != NULL);
		memcpy(exact, part.p, part.n);
		p->err = ms_h2_feed(p->s, ms_slice(exact, part.n), 0, NULL);
		free(exact);
		bytes = ms_slice_sub(bytes, part.n, SIZE_MAX);
		MS_ASSERT(ms_h2_memory(p->s) < MEMORY_BYTES + 8 * HEADER_BYTES + 10000);
		MS_ASSERT(client || ms_h2_stream_count(p->s) <= STREAMS + 1);
		if (answers)
			drain(p);
	}
	drain(p);
	ms_h2_free(p->s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct peer whole, cut;
	if (size == 0)
		return 0;
	bool client = (data[0] & 1) != 0, answers = (data[0] & 2) != 0;
	struct slice bytes = ms_slice(data + 1, size - 1);
	run(bytes, client, answers, SIZE_MAX, &whole);
	run(bytes, client, answers, 1 + (data[0] >> 2), &cut);
	MS_ASSERT(answers || whole.err == cut.err);
	MS_ASSERT(answers || whole.err != MS_OK || ms_slice_eq(ms_buf_slice(&whole.log), ms_buf_slice(&cut.log)));
	ms_buf_fini(&whole.log);
	ms_buf_fini(&cut.log);
	return 0;
}
