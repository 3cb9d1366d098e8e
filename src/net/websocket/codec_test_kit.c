// SPDX-License-Identifier: Apache-2.0
#include "net/websocket/codec_test_kit.h"

#include <stdlib.h>
#include <zlib.h>

void kit_frame_odd(struct buf *out, unsigned first, struct slice payload, unsigned length_bytes, bool masked)
{
	static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
	ms_buf_append_char(out, (char)first);
	unsigned length = length_bytes == 0 ? (unsigned)payload.n : length_bytes == 2 ? 126 : 127;
	ms_buf_append_char(out, (char)(length | (masked ? 0x80 : 0)));
	for (unsigned i = length_bytes; i > 0; i--)
		ms_buf_append_char(out, (char)((uint64_t)payload.n >> 8 * (i - 1)));
	if (masked)
		ms_buf_append(out, mask, sizeof(mask));
	for (size_t i = 0; i < payload.n; i++)
		ms_buf_append_char(out, (char)((uint8_t)payload.p[i] ^ (masked ? mask[i & 3] : 0)));
}

void kit_frame(struct buf *out, unsigned first, struct slice payload)
{
	kit_frame_odd(out, first, payload, payload.n < 126 ? 0 : payload.n < 65536 ? 2 : 8, true);
}

static void show(struct buf *out, const char *name, struct slice bytes)
{
	if (bytes.n > 60)
		ms_buf_printf(out, "%s[%zu:%016llx] ", name, bytes.n,
			      (unsigned long long)ms_hash(bytes, (struct hash_seed){0}));
	else
		ms_buf_printf(out, "%s(%.*s) ", name, MS_SLICE_ARG(bytes));
}

static void feed(struct ws_codec *c, struct slice part, struct buf *events)
{
	for (;;) {
		struct ws_event e;
		switch (ms_ws_codec_next(c, &part, &e)) {
		case WS_EVENT_NONE:
			CHECK_INT(part.n, 0);
			return;
		case WS_EVENT_MESSAGE:
			show(events, e.kind == WS_TEXT ? "text" : "binary", e.bytes);
			break;
		case WS_EVENT_PING:
			show(events, "ping", e.bytes);
			break;
		case WS_EVENT_PONG:
			show(events, "pong", e.bytes);
			break;
		case WS_EVENT_CLOSE:
			ms_buf_printf(events, "close(%u,%.*s) ", e.code, MS_SLICE_ARG(e.bytes));
			break;
		case WS_EVENT_FAILED:
			CHECK(e.bytes.n > 0);
			ms_buf_printf(events, "failed(%u) ", e.code);
			break;
		}
	}
}

void kit_run(struct slice bytes, bool deflate, size_t step, struct buf *ret_events)
{
	struct ws_deflater *d = deflate ? ms_ws_deflater_new() : NULL;
	struct ws_codec c;
	ms_ws_codec_init(&c, KIT_MAX_MESSAGE, d, KIT_RATIO);
	ms_buf_clear(ret_events);
	while (bytes.n > 0) {
		struct slice part = ms_slice_sub(bytes, 0, step);
		char *exact = malloc(part.n); // so that a byte too far is seen
		REQUIRE(exact != NULL);
		memcpy(exact, part.p, part.n);
		feed(&c, ms_slice(exact, part.n), ret_events);
		free(exact);
		bytes = ms_slice_sub(bytes, part.n, SIZE_MAX);
	}
	if (c.kind == 0)
		CHECK(c.message.p == NULL); // an idle codec holds nothing
	ms_ws_codec_fini(&c);
	ms_ws_deflater_free(d);
	while (ret_events->n > 0 && ret_events->p[ret_events->n - 1] == ' ')
		ret_events->n--;
}

void kit_expect(const char *file, int line, struct slice bytes, bool deflate, const char *events)
{
	struct buf got;
	ms_buf_init(&got, 1 << 20);
	for (size_t step = 0; step < 10; step++) {
		kit_run(bytes, deflate, step == 0 ? SIZE_MAX : step, &got);
		if (!ms_test_check_str(ms_buf_slice(&got), ms_slice_cstr(events), "events", file, line))
			break;
	}
	ms_buf_fini(&got);
}

struct slice kit_deflate(struct slice text, int level, char *dst, size_t size)
{
	z_stream z = {0};
	REQUIRE(deflateInit2(&z, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = (Bytef *)(uintptr_t)text.p;
	z.avail_in = (uInt)text.n;
	z.next_out = (Bytef *)dst;
	z.avail_out = (uInt)size;
	REQUIRE(deflate(&z, Z_SYNC_FLUSH) == Z_OK && z.avail_out > 0);
	size_t n = size - z.avail_out;
	deflateEnd(&z);
	return ms_slice(dst, n - 4);
}
