// SPDX-License-Identifier: Apache-2.0
// Another's codec at the other end: what wslay writes as a client is read here, and wslay reads what is written here.
#include <stdlib.h>
#include <wslay/wslay.h>

#include "net/websocket/codec_test_kit.h"

struct wire {
	struct buf to_us, to_wslay;
	struct buf got; // by wslay: opcode and bytes
	unsigned closed;
};

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *arg)
{
	struct wire *w = arg;
	(void)ctx, (void)flags;
	ms_buf_append(&w->to_us, data, len);
	return (ssize_t)len;
}

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *dst, size_t len, int flags, void *arg)
{
	struct wire *w = arg;
	size_t n = MS_MIN(len, w->to_wslay.n);
	(void)flags;
	if (n == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(dst, w->to_wslay.p, n);
	ms_buf_consume(&w->to_wslay, n);
	return (ssize_t)n;
}

static int on_mask(wslay_event_context_ptr ctx, uint8_t *dst, size_t len, void *arg)
{
	(void)ctx, (void)arg;
	for (size_t i = 0; i < len; i++)
		dst[i] = (uint8_t)ms_rand_u64(ms_test_rand());
	return 0;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
	struct wire *w = arg;
	(void)ctx;
	if (m->opcode == WSLAY_CONNECTION_CLOSE) {
		w->closed = m->status_code;
		return;
	}
	ms_buf_append_char(&w->got, (char)m->opcode);
	ms_buf_append(&w->got, m->msg, m->msg_length);
}

static wslay_event_context_ptr open_wslay(struct wire *w)
{
	const struct wslay_event_callbacks callbacks = {.send_callback = on_send,
							.recv_callback = on_recv,
							.genmask_callback = on_mask,
							.on_msg_recv_callback = on_message};
	wslay_event_context_ptr ctx;
	*w = (struct wire){0};
	ms_buf_init(&w->to_us, 1 << 24), ms_buf_init(&w->to_wslay, 1 << 24), ms_buf_init(&w->got, 1 << 24);
	REQUIRE(wslay_event_context_client_init(&ctx, &callbacks, w) == 0);
	return ctx;
}

static void close_wslay(wslay_event_context_ptr ctx, struct wire *w)
{
	wslay_event_context_free(ctx);
	ms_buf_fini(&w->to_us), ms_buf_fini(&w->to_wslay), ms_buf_fini(&w->got);
}

static const size_t sizes[] = {0, 1, 3, 125, 126, 1000, 65535, 65536, 90000};

TEST(websocket_reads_what_wslay_writes)
{
	static uint8_t payload[90000];
	struct wire w;
	wslay_event_context_ptr ctx = open_wslay(&w);
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)('a' + i % 26);
	for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++) {
		const struct wslay_event_msg message = {i % 2 == 0 ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME, payload,
							sizes[i]};
		const struct wslay_event_msg ping = {WSLAY_PING, payload, MS_MIN(sizes[i], (size_t)125)};
		REQUIRE(wslay_event_queue_msg(ctx, &message) == 0 && wslay_event_queue_msg(ctx, &ping) == 0);
	}
	REQUIRE(wslay_event_send(ctx) == 0);
	REQUIRE(wslay_event_queue_close(ctx, 4000, (const uint8_t *)"done", 4) == 0);
	REQUIRE(wslay_event_send(ctx) == 0);
	for (size_t step = 1; step < 100000; step = step * 7 + 1) {
		struct ws_codec c;
		struct ws_event e;
		struct slice bytes = ms_buf_slice(&w.to_us);
		size_t messages = 0, pings = 0, closes = 0;
		ms_ws_codec_init(&c, sizeof(payload), NULL, KIT_RATIO);
		for (; bytes.n > 0; bytes = ms_slice_sub(bytes, step, SIZE_MAX)) {
			struct slice part = ms_slice_sub(bytes, 0, step);
			for (enum ws_event_type type; (type = ms_ws_codec_next(&c, &part, &e)) != WS_EVENT_NONE;) {
				REQUIRE(type != WS_EVENT_FAILED && type != WS_EVENT_PONG);
				size_t n = type == WS_EVENT_PING      ? MS_MIN(sizes[pings], (size_t)125)
					   : type == WS_EVENT_MESSAGE ? sizes[messages]
								      : 4;
				CHECK(e.bytes.n == n);
				CHECK(type == WS_EVENT_CLOSE || n == 0 || memcmp(e.bytes.p, payload, n) == 0);
				messages += type == WS_EVENT_MESSAGE, pings += type == WS_EVENT_PING;
				closes += type == WS_EVENT_CLOSE && e.code == 4000;
			}
		}
		CHECK(messages == MS_ARRAY_LEN(sizes) && pings == MS_ARRAY_LEN(sizes) && closes == 1);
		ms_ws_codec_fini(&c);
	}
	close_wslay(ctx, &w);
}

TEST(websocket_wslay_reads_what_we_write)
{
	static char payload[90000];
	struct wire w;
	struct buf want;
	uint8_t head[MS_WS_HEAD_MAX];
	char close_payload[MS_WS_CONTROL_MAX];
	wslay_event_context_ptr ctx = open_wslay(&w);
	ms_buf_init(&want, 1 << 24);
	memset(payload, 'q', sizeof(payload));
	for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++) {
		enum ws_opcode opcode = i % 2 == 0 ? WS_OP_TEXT : WS_OP_BINARY;
		ms_buf_append(&w.to_wslay, head, ms_ws_write_head(opcode, false, sizes[i], head));
		ms_buf_append(&w.to_wslay, payload, sizes[i]);
		ms_buf_append_char(&want, (char)opcode);
		ms_buf_append(&want, payload, sizes[i]);
	}
	size_t n = ms_ws_write_close(1001, MS_SLICE_LIT("gone"), close_payload);
	ms_buf_append(&w.to_wslay, head, ms_ws_write_head(WS_OP_CLOSE, false, n, head));
	ms_buf_append(&w.to_wslay, close_payload, n);
	CHECK_INT(wslay_event_recv(ctx), 0);
	CHECK(ms_slice_eq(ms_buf_slice(&w.got), ms_buf_slice(&want)));
	CHECK_INT(w.closed, 1001);
	ms_buf_fini(&want);
	close_wslay(ctx, &w);
}
