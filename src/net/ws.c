// SPDX-License-Identifier: Apache-2.0
// WebSockets on tunnels: messages, back-pressure, pings, closing, draining.
//
// A struct ws lies in the arena of its exchange, which may end within each call of ms_http_stream_end() or _cut(), and so within finish()
// and what calls it: nothing is touched after those. The arena's release takes it out of the lists of its loop.
#include "net/ws.h"

#include <stdlib.h>

#define CLOSE_NS \
	(5 * INT64_C(1000000000)) // for the peer's part of the closing handshake, and then for its end of the tunnel
#define TICK_NS (WS_TICK_MS * INT64_C(1000000))
#define DEFLATE_MIN ((size_t)128)
#define DEFLATE_MAX ((size_t)256 << 10) // more would hold up the loop
#define TURN_BYTES \
	((size_t)1 << 20) // of messages, before other connections have their turn: little input may inflate to much
#define DEFAULT_MESSAGE ((size_t)1 << 20)
#define DEFAULT_WAITING ((size_t)4 << 20)
#define DEFAULT_PING_MS 30000

static void on_tick(struct timer *timer, void *arg);
static void on_soon(struct timer *timer, void *arg);

// --- Loops -------------------------------------------------------------------------------------------

void ms_ws_loop_free(struct ws_loop *wl)
{
	if (wl == NULL)
		return;
	MS_ASSERT(wl->count == 0 && ms_list_empty(&wl->ready));
	ms_timer_free(wl->tick);
	ms_timer_free(wl->soon);
	ms_ws_deflater_free(wl->deflater);
	free(wl);
}

struct ws_loop *ms_ws_loop(struct net_loop *nl)
{
	struct ws_loop *wl = nl->ws;
	if (wl != NULL)
		return wl;
	wl = calloc(1, sizeof(*wl));
	if (wl == NULL)
		return NULL;
	wl->nl = nl;
	ms_list_init(&wl->ready);
	for (unsigned i = 0; i < WS_SLOTS; i++)
		ms_list_init(&wl->slots[i]);
	wl->deflater = ms_ws_deflater_new();
	bool ok = wl->deflater != NULL && ms_timer_new(nl->loop, on_tick, wl, &wl->tick) == MS_OK &&
		  ms_timer_new(nl->loop, on_soon, wl, &wl->soon) == MS_OK;
	if (!ok) {
		ms_ws_loop_free(wl);
		return NULL;
	}
	nl->ws = wl;
	return wl;
}

static int64_t now_ns(const struct ws_loop *wl)
{
	return ms_loop_now_ns(wl->nl->loop);
}

static void unset_due(struct ws *ws)
{
	if (!ws->in_slot)
		return;
	ws->in_slot = false;
	ms_list_remove(&ws->wl->slots[ws->slot], &ws->slot_node);
	if (--ws->wl->count == 0)
		ms_timer_stop(ws->wl->tick);
}

// Deadlines beyond the wheel's turn are looked at once in between.
static void set_due(struct ws *ws, int64_t due_ns)
{
	struct ws_loop *wl = ws->wl;
	unset_due(ws);
	if (wl->count++ == 0) {
		wl->turned = now_ns(wl) / TICK_NS;
		ms_timer_start(wl->tick, WS_TICK_MS, WS_TICK_MS);
	}
	int64_t tick = MS_MIN(MS_MAX(due_ns / TICK_NS + 1, wl->turned + 1), wl->turned + WS_SLOTS - 1);
	ws->due_ns = due_ns;
	ws->slot = (uint16_t)(tick % WS_SLOTS);
	ws->in_slot = true;
	ms_list_append(&wl->slots[ws->slot], &ws->slot_node);
}

static void set_ready(struct ws *ws)
{
	if (ws->in_ready)
		return;
	ws->in_ready = true;
	ms_list_append(&ws->wl->ready, &ws->ready_node);
	ms_timer_start(ws->wl->soon, 0, 0);
}

static void unset_ready(struct ws *ws)
{
	if (ws->in_ready)
		ms_list_remove(&ws->wl->ready, &ws->ready_node);
	ws->in_ready = false;
}

// The arena's: the exchange is over.
static void release(void *object)
{
	struct ws *ws = object;
	unset_due(ws);
	unset_ready(ws);
	ms_ws_codec_fini(&ws->codec);
	ms_buf_fini(&ws->rest);
}

// --- Out ---------------------------------------------------------------------------------------------

// A frame; the bytes that wait now.
static size_t write_frame(struct ws *ws, enum ws_opcode opcode, bool compressed, struct slice payload)
{
	uint8_t head[MS_WS_HEAD_MAX];
	size_t n = ms_ws_write_head(opcode, compressed, payload.n, head);
	size_t waiting = ms_http_stream_write(ws->x, ms_slice(head, n));
	if (payload.n > 0)
		waiting = ms_http_stream_write(ws->x, payload);
	ws->congested = waiting >= OUTPUT_HIGH;
	if (waiting > ws->max_waiting && waiting - n - payload.n > ws->max_waiting) {
		ws->slow = true; // closed() is not called from within a call of the handler's
		set_due(ws, 0);
	}
	return waiting;
}

size_t ms_ws_send(struct ws *ws, enum ws_kind kind, struct slice bytes)
{
	if (ws->state != WS_OPEN || ws->slow || ms_http_gone(ws->x))
		return SIZE_MAX;
	struct slice packed = MS_SLICE_EMPTY;
	if (ws->window_bits > 0 && bytes.n >= DEFLATE_MIN && bytes.n <= DEFLATE_MAX)
		packed = ms_ws_deflate(ws->wl->deflater, ws->window_bits, bytes);
	return write_frame(ws, kind == WS_TEXT ? WS_OP_TEXT : WS_OP_BINARY, packed.p != NULL,
			   packed.p != NULL ? packed : bytes);
}

static void send_close(struct ws *ws, unsigned code, struct slice reason)
{
	char payload[MS_WS_CONTROL_MAX];
	size_t n = ms_ws_write_close(code, reason, payload);
	(void)write_frame(ws, WS_OP_CLOSE, false, ms_slice(payload, n));
}

void ms_ws_close(struct ws *ws, unsigned code, struct slice reason)
{
	if (ws->state != WS_OPEN)
		return;
	send_close(ws, code, reason);
	ws->state = WS_CLOSING;
	set_due(ws, now_ns(ws->wl) + CLOSE_NS);
	ms_http_body_resume(ws->x); // its Close frame is waited for, however much waits
}

struct slice ms_ws_subprotocol(const struct ws *ws)
{
	return ws->subprotocol;
}

// --- The end -----------------------------------------------------------------------------------------

static void tell_closed(struct ws *ws, unsigned code, struct slice reason)
{
	bool told = ws->state == WS_OVER || ws->state == WS_OPENING;
	ws->state = WS_OVER;
	unset_ready(ws);
	if (!told)
		ws->handlers->closed(ws, code, reason, ws->arg);
}

// Our side ends in order; the peer's end is waited for, so that what we sent is not reset away.
static void finish(struct ws *ws, unsigned code, struct slice reason)
{
	tell_closed(ws, code, reason);
	ms_buf_fini(&ws->rest);
	ms_buf_init(&ws->rest, SIZE_MAX / 2);
	set_due(ws, now_ns(ws->wl) + CLOSE_NS);
	struct exchange *x = ws->x;
	ms_http_body_resume(x);
	ms_http_stream_end(x);
}

static void cut(struct ws *ws, const char *why)
{
	tell_closed(ws, WS_CLOSE_ABNORMAL, ms_slice_cstr(why));
	ms_http_stream_cut(ws->x);
}

// --- In ----------------------------------------------------------------------------------------------

static void keep_rest(struct ws *ws, struct slice input)
{
	ms_buf_append_slice(&ws->rest, input);
	ms_http_body_pause(ws->x);
}

static void take_ping(struct ws *ws, struct slice payload)
{
	if (ws->state == WS_OPEN && !ws->slow)
		(void)write_frame(ws, WS_OP_PONG, false, payload);
}

static void take_close(struct ws *ws, unsigned code, struct slice reason)
{
	if (ws->state == WS_OPEN)
		send_close(ws, code, MS_SLICE_EMPTY);
	finish(ws, code, reason);
}

static void fail(struct ws *ws, unsigned code, struct slice why)
{
	if (ws->state == WS_OPEN)
		send_close(ws, code, why);
	finish(ws, WS_CLOSE_ABNORMAL, why);
}

// False: over, and perhaps gone.
static bool take_input(struct ws *ws, struct slice input)
{
	struct ws_event event;
	size_t taken = 0;
	for (;;) {
		bool enough = taken >= TURN_BYTES && input.n > 0;
		if (ws->state == WS_OPEN && (ws->congested || enough)) {
			keep_rest(ws, input);
			if (enough)
				set_ready(ws);
			return true;
		}
		switch (ms_ws_codec_next(&ws->codec, &input, &event)) {
		case WS_EVENT_NONE:
			return true;
		case WS_EVENT_MESSAGE:
			taken += event.bytes.n;
			if (ws->state == WS_OPEN)
				ws->handlers->message(ws, event.kind, event.bytes, ws->arg);
			break;
		case WS_EVENT_PING:
			take_ping(ws, event.bytes);
			break;
		case WS_EVENT_PONG:
			break;
		case WS_EVENT_CLOSE:
			take_close(ws, event.code, event.bytes);
			return false;
		case WS_EVENT_FAILED:
			fail(ws, event.code, event.bytes);
			return false;
		}
	}
}

static void read_data(struct exchange *x, struct slice bytes, void *arg)
{
	struct ws *ws = arg;
	(void)x;
	ws->heard_ns = now_ns(ws->wl);
	ws->pinged = false;
	if (ws->state == WS_OVER)
		return;
	if (ws->state == WS_OPENING || ws->rest.n > 0)
		keep_rest(ws, bytes);
	else
		(void)take_input(ws, bytes);
}

// What was kept. False: over.
static bool take_rest(struct ws *ws)
{
	struct buf rest = ws->rest;
	if (!ms_buf_ok(&rest)) {
		cut(ws, "out of memory");
		return false;
	}
	ms_buf_init(&ws->rest, SIZE_MAX / 2);
	bool open = rest.n == 0 || take_input(ws, ms_buf_slice(&rest));
	ms_buf_fini(&rest);
	return open;
}

static void go_on(struct ws *ws)
{
	if (ws->congested && ws->state == WS_OPEN)
		return;
	if (take_rest(ws) && ws->rest.n == 0 && !ws->congested)
		ms_http_body_resume(ws->x);
}

static void on_drained(struct exchange *x, void *arg)
{
	struct ws *ws = arg;
	(void)x;
	ws->congested = false;
	if (ws->state != WS_OPEN && ws->state != WS_CLOSING)
		return;
	if (ws->state == WS_OPEN && ws->handlers->drained != NULL)
		ws->handlers->drained(ws, ws->arg);
	go_on(ws);
}

// The tunnel is over but for our side, if that is still open.
static void tunnel_over(struct ws *ws, unsigned code, struct slice why)
{
	struct exchange *x = ws->x;
	bool ended = ws->state == WS_OVER;
	if (ws->lost != NULL)
		*ws->lost = true;
	tell_closed(ws, code, why);
	if (!ended)
		ms_http_stream_end(x);
}

static void read_end(struct exchange *x, const struct http_header *trailers, size_t count, void *arg)
{
	struct ws *ws = arg;
	(void)x, (void)trailers, (void)count;
	if (ws->wl->nl->stopping && ws->state == WS_OPEN) {
		send_close(ws, WS_CLOSE_GOING_AWAY, MS_SLICE_LIT("the server is shutting down"));
		tunnel_over(ws, WS_CLOSE_GOING_AWAY, MS_SLICE_LIT("the server is shutting down"));
		return;
	}
	tunnel_over(ws, WS_CLOSE_ABNORMAL, MS_SLICE_LIT("the client's side ended without a Close frame"));
}

static void read_cut(struct exchange *x, const struct errinfo *info, void *arg)
{
	(void)x;
	tunnel_over(arg, WS_CLOSE_ABNORMAL, ms_slice_cstr(info->message));
}

// --- Time --------------------------------------------------------------------------------------------

static void look_alive(struct ws *ws, int64_t now)
{
	if (ws->congested) // we do not read; that the peer does is the transport's care
		ws->heard_ns = now;
	if (ws->heard_ns + ws->ping_ns > now) {
		set_due(ws, ws->heard_ns + ws->ping_ns);
	} else if (!ws->pinged) {
		ws->pinged = true;
		set_due(ws, now + ws->ping_ns);
		(void)write_frame(ws, WS_OP_PING, false, MS_SLICE_EMPTY);
	} else {
		cut(ws, "the client does not answer pings");
	}
}

static void expire(struct ws *ws, int64_t now)
{
	if (ws->due_ns > now)
		set_due(ws, ws->due_ns);
	else if (ws->slow)
		cut(ws, "the client is too slow");
	else if (ws->state == WS_OPEN && ws->wl->nl->stopping)
		ms_ws_close(ws, WS_CLOSE_GOING_AWAY, MS_SLICE_LIT("the server is shutting down"));
	else if (ws->state == WS_OPEN)
		look_alive(ws, now);
	else if (ws->state == WS_CLOSING)
		cut(ws, "the client does not answer the Close frame");
	else
		cut(ws, "");
}

// Over HTTP/2 nothing else says that the server drains.
static void go_away(struct ws_loop *wl)
{
	wl->told_draining = true;
	for (unsigned i = 0; i < WS_SLOTS; i++) {
		MS_LIST_FOREACH (node, &wl->slots[i]) {
			struct ws *ws = MS_CONTAINER_OF(node, struct ws, slot_node);
			if (ws->state == WS_OPEN)
				ms_ws_close(ws, WS_CLOSE_GOING_AWAY, MS_SLICE_LIT("the server is shutting down"));
		}
	}
}

static void on_tick(struct timer *timer, void *arg)
{
	struct ws_loop *wl = arg;
	int64_t now = now_ns(wl), tick = now / TICK_NS;
	(void)timer;
	if (wl->nl->stopping && !wl->told_draining)
		go_away(wl);
	wl->turned = MS_MAX(wl->turned, tick - WS_SLOTS);
	while (wl->turned < tick) {
		wl->turned++;
		struct list *slot = &wl->slots[wl->turned % WS_SLOTS];
		for (size_t n = slot->count; n > 0 && !ms_list_empty(slot); n--) {
			struct ws *ws = MS_CONTAINER_OF(ms_list_first(slot), struct ws, slot_node);
			unset_due(ws);
			expire(ws, now);
		}
	}
}

static void on_soon(struct timer *timer, void *arg)
{
	struct ws_loop *wl = arg;
	(void)timer;
	for (size_t n = wl->ready.count; n > 0 && !ms_list_empty(&wl->ready); n--) {
		struct ws *ws = MS_CONTAINER_OF(ms_list_first(&wl->ready), struct ws, ready_node);
		unset_ready(ws);
		go_on(ws);
	}
}

// --- The beginning -----------------------------------------------------------------------------------

static struct ws *ws_new(struct exchange *x, const struct ws_options *options, const struct ws_deflate_choice *choice)
{
	struct net_loop *nl = ms_work_of(x)->nl;
	struct ws_loop *wl = ms_ws_loop(nl);
	struct ws *ws = wl != NULL ? MS_ARENA_NEW(x->arena, struct ws) : NULL;
	if (ws == NULL)
		return NULL;
	size_t max_message = options->max_message != 0 ? options->max_message : DEFAULT_MESSAGE;
	ws->x = x;
	ws->wl = wl;
	ws->handlers = options->handlers;
	ws->arg = options->arg;
	ws->max_waiting = options->max_waiting != 0 ? options->max_waiting : DEFAULT_WAITING;
	ws->ping_ns = (options->ping_ms != 0 ? options->ping_ms : DEFAULT_PING_MS) * INT64_C(1000000);
	ws->heard_ns = now_ns(wl);
	ws->window_bits = choice != NULL ? (uint8_t)choice->server_bits : 0;
	ms_buf_init(&ws->rest, SIZE_MAX / 2); // the transport bounds it: what it holds before it pauses
	ms_ws_codec_init(&ws->codec, max_message, choice != NULL ? wl->deflater : NULL,
			 nl->server->options.limits.inflated_ratio);
	if (!ms_arena_defer(x->arena, release, ws))
		return NULL;
	return ws;
}

struct ws *ms_ws_start(struct exchange *x, const struct ws_options *options, const struct ws_deflate_choice *choice,
		       struct slice subprotocol, const struct http_header *headers, size_t count)
{
	static const struct http_body_reader reader = {read_data, read_end, read_cut, UINT64_MAX};
	struct ws *ws = ws_new(x, options, choice);
	bool lost = false;
	if (ws == NULL) {
		ms_http_fail_code(x, MS_ERR_NO_MEMORY, "the server is out of memory for this WebSocket");
		return NULL;
	}
	ws->subprotocol = subprotocol;
	ws->lost = &lost;
	ms_http_tunnel_start(x, headers, count, &reader, on_drained, ws);
	if (lost)
		return NULL;
	ws->lost = NULL;
	ws->state = WS_OPEN;
	ms_work_slim(ms_work_of(x));
	set_due(ws, ws->heard_ns + ws->ping_ns);
	if (ws->rest.n > 0)
		set_ready(ws);
	return ws;
}
