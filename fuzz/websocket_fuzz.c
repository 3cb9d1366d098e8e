// SPDX-License-Identifier: Apache-2.0
// Frames of a client. The first byte says whether permessage-deflate is on, whether the rest are offers of extensions, and how it is cut. What
// must hold: the same events however it is cut, messages within their limit, text that is UTF-8, nothing after the end, and no memory between
// messages.
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "net/websocket/codec.h"

#define MAX_MESSAGE 5000

static void check_event(enum ws_event_type type, const struct ws_event *e)
{
	MS_ASSERT(e->bytes.n <= (type == WS_EVENT_MESSAGE ? MAX_MESSAGE : MS_WS_CONTROL_MAX));
	if ((type == WS_EVENT_MESSAGE && e->kind == WS_TEXT) || type == WS_EVENT_CLOSE)
		MS_ASSERT(ms_utf8_valid_prefix(e->bytes) == e->bytes.n);
	if (type == WS_EVENT_CLOSE)
		MS_ASSERT(e->code == WS_CLOSE_NONE || ms_ws_close_code_valid(e->code));
	if (type == WS_EVENT_FAILED)
		MS_ASSERT(ms_ws_close_code_valid(e->code));
}

static void run(struct slice bytes, bool deflate, size_t step, struct buf *log)
{
	struct ws_deflater *d = deflate ? ms_ws_deflater_new() : NULL;
	struct ws_codec c;
	bool ended = false;
	MS_ASSERT(!deflate || d != NULL);
	ms_ws_codec_init(&c, MAX_MESSAGE, d, 100);
	ms_buf_init(log, 1 << 26);
	while (bytes.n > 0) {
		struct slice part = ms_slice_sub(bytes, 0, step);
		bytes = ms_slice_sub(bytes, part.n, SIZE_MAX);
		char *exact = malloc(part.n);
		MS_ASSERT(exact != NULL);
		memcpy(exact, part.p, part.n);
		part.p = exact;
		struct ws_event e;
		for (enum ws_event_type type; (type = ms_ws_codec_next(&c, &part, &e)) != WS_EVENT_NONE;) {
			MS_ASSERT(!ended);
			check_event(type, &e);
			ended = type == WS_EVENT_CLOSE || type == WS_EVENT_FAILED;
			ms_buf_printf(log, "%d %d %u %zu ", type, e.kind, e.code, e.bytes.n);
			ms_buf_append_slice(log, e.bytes);
		}
		MS_ASSERT(part.n == 0 && (c.kind != 0 || c.message.p == NULL));
		free(exact);
	}
	ms_ws_codec_fini(&c);
	ms_ws_deflater_free(d);
	MS_ASSERT(ms_buf_ok(log));
}

static void negotiate(struct slice text)
{
	const struct http_header header = {MS_SLICE_LIT("Sec-WebSocket-Extensions"), text};
	struct ws_deflate_choice choice;
	char value[MS_WS_EXTENSION_MAX];
	if (ms_ws_negotiate(&header, 1, &choice) != WS_OFFER_TAKEN)
		return;
	MS_ASSERT(choice.server_bits >= 9 && choice.server_bits <= 15);
	// What we answer with would be taken as an offer.
	const struct http_header again = {MS_SLICE_LIT("Sec-WebSocket-Extensions"),
					  ms_slice(value, ms_ws_write_extension(&choice, value))};
	MS_ASSERT(ms_ws_negotiate(&again, 1, &choice) == WS_OFFER_TAKEN);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole, cut;
	if (size == 0)
		return 0;
	struct slice bytes = ms_slice(data + 1, size - 1);
	if ((data[0] & 2) != 0) {
		negotiate(bytes);
		return 0;
	}
	bool deflate = (data[0] & 1) != 0;
	run(bytes, deflate, SIZE_MAX, &whole);
	run(bytes, deflate, 1 + (data[0] >> 2), &cut);
	MS_ASSERT(ms_slice_eq(ms_buf_slice(&whole), ms_buf_slice(&cut)));
	ms_buf_fini(&whole);
	ms_buf_fini(&cut);
	return 0;
}
