// SPDX-License-Identifier: Apache-2.0
// The life of a session: made with limits and counted memory, drained, ended; and what its owner may ask.
#include <stdlib.h>

#include "net/http2/session.h"

// --- Memory ------------------------------------------------------------------------------------------
// nghttp2's memory is counted, so that a connection has a limit whatever a peer invents.

union memory_head {
	size_t n;
	max_align_t align;
};

static void *take_memory(size_t n, void *arg)
{
	struct h2_session *s = arg;
	size_t all;
	if (MS_ADD_OVERFLOWS(n, sizeof(union memory_head), &all) || all > s->limits.memory_bytes - s->memory)
		return NULL;
	union memory_head *head = malloc(all);
	if (head == NULL)
		return NULL;
	head->n = all;
	s->memory += all;
	return head + 1;
}

static void give_memory(void *p, void *arg)
{
	struct h2_session *s = arg;
	if (p == NULL)
		return;
	union memory_head *head = (union memory_head *)p - 1;
	s->memory -= head->n;
	free(head);
}

static void *take_zeroed(size_t count, size_t size, void *arg)
{
	size_t n;
	void *p = MS_MUL_OVERFLOWS(count, size, &n) ? NULL : take_memory(n, arg);
	return p != NULL ? memset(p, 0, n) : NULL;
}

static void *change_memory(void *old, size_t n, void *arg)
{
	void *p = take_memory(n, arg);
	if (p == NULL || old == NULL)
		return p;
	size_t old_n = ((union memory_head *)old - 1)->n - sizeof(union memory_head);
	memcpy(p, old, MS_MIN(n, old_n));
	give_memory(old, arg);
	return p;
}

// --- New ---------------------------------------------------------------------------------------------

#define DEFAULT_TO(field, value)           \
	do {                               \
		if ((field) == 0)          \
			(field) = (value); \
	} while (0)

static void fill_limits(struct h2_limits *l)
{
	DEFAULT_TO(l->streams, 100);
	DEFAULT_TO(l->header_bytes, (size_t)32 << 10);
	DEFAULT_TO(l->header_count, 100);
	DEFAULT_TO(l->glitches, 500);
	DEFAULT_TO(l->stream_window, NGHTTP2_INITIAL_WINDOW_SIZE);
	DEFAULT_TO(l->connection_window, (size_t)1 << 20);
	DEFAULT_TO(l->memory_bytes, ((size_t)8 << 20) + l->connection_window);
	l->stream_window = MS_MIN(l->stream_window, (size_t)16 << 20);
	l->connection_window =
		MS_MIN(MS_MAX(l->connection_window, NGHTTP2_INITIAL_CONNECTION_WINDOW_SIZE), (size_t)64 << 20);
	l->header_bytes = MS_MIN(l->header_bytes, (size_t)16 << 20);
}

static nghttp2_option *make_options(const struct h2_limits *limits)
{
	nghttp2_option *o;
	if (nghttp2_option_new(&o) != 0)
		return NULL;
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_outbound_ack(o, ACKS_MAX);
	nghttp2_option_set_max_continuations(o, (CONTINUATIONS_MAX + 1) * (FRAME_HEAD_BYTES + 1)); // see frames.c
	nghttp2_option_set_max_send_header_block_length(o, (size_t)256 << 10);
	// Resets are counted with the other glitches.
	nghttp2_option_set_stream_reset_rate_limit(o, (uint64_t)limits->glitches + 1, (uint64_t)limits->glitches + 1);
	return o;
}

static bool make_ng(struct h2_session *s)
{
	nghttp2_mem mem = {s, take_memory, give_memory, take_zeroed, change_memory};
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *option = make_options(&s->limits);
	if (option == NULL)
		return false;
	bool ok = ms_h2_make_callbacks(&callbacks);
	if (ok) {
		ok = (s->side == H2_SERVER ? nghttp2_session_server_new3(&s->ng, callbacks, s, option, &mem)
					   : nghttp2_session_client_new3(&s->ng, callbacks, s, option, &mem)) == 0;
		nghttp2_session_callbacks_del(callbacks);
	}
	nghttp2_option_del(option);
	return ok;
}

static bool submit_settings(struct h2_session *s, bool extended_connect)
{
	nghttp2_settings_entry iv[5];
	const struct h2_limits *l = &s->limits;
	size_t n = 0;
	if (s->side == H2_CLIENT)
		iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
	else
		iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, l->streams};
	iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, (uint32_t)l->stream_window};
	iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)l->header_bytes};
	if (extended_connect && s->side == H2_SERVER)
		iv[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
	return nghttp2_submit_settings(s->ng, NGHTTP2_FLAG_NONE, iv, n) == 0 &&
	       nghttp2_session_set_local_window_size(s->ng, NGHTTP2_FLAG_NONE, 0, (int32_t)l->connection_window) == 0;
}

enum ms_err ms_h2_new(const struct h2_options *options, struct h2_session **ret_session)
{
	struct h2_session *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return MS_ERR_NO_MEMORY;
	s->side = options->side;
	s->limits = options->limits;
	fill_limits(&s->limits);
	s->events = options->events;
	s->arg = options->arg;
	s->minute_ns = options->now_ns;
	s->credit = 16;
	s->preface_left = s->side == H2_SERVER ? MS_H2_PREFACE.n : 0;
	s->resets.size = 2 * s->limits.streams;
	s->closed.size = CLOSED_MAX;
	ms_list_init(&s->streams);
	ms_list_init(&s->drained);
	ms_h2_block_init(&s->block, &s->limits);
	if (!make_ng(s) || !submit_settings(s, options->extended_connect)) {
		ms_h2_free(s);
		return MS_ERR_NO_MEMORY;
	}
	*ret_session = s;
	return MS_OK;
}

void ms_h2_free(struct h2_session *s)
{
	if (s == NULL)
		return;
	MS_ASSERT(!s->busy);
	s->failed = true; // from now on nothing is sent
	for (struct list_node *node; (node = ms_list_first(&s->streams)) != NULL;) {
		struct h2_stream *stream = MS_CONTAINER_OF(node, struct h2_stream, node);
		if (!stream->gone || stream->close_error == H2_NO_ERROR)
			stream->close_error = H2_CANCEL;
		ms_h2_stream_drop(stream);
	}
	nghttp2_session_del(s->ng);
	MS_ASSERT(s->memory == 0);
	ms_h2_block_fini(&s->block);
	free(s->nv);
	free(s->resets.ids);
	free(s->closed.ids);
	free(s);
}

// --- The end -----------------------------------------------------------------------------------------

bool ms_h2_over(const struct h2_session *s)
{
	if (s->failed)
		return true;
	if (nghttp2_session_want_write(s->ng) != 0 || s->sweep)
		return false;
	if (s->goaway_failed || s->fault != MS_OK)
		return true;
	return ms_list_empty(&s->streams) && nghttp2_session_want_read(s->ng) == 0;
}

enum ms_err ms_h2_why(const struct h2_session *s, struct errinfo *info)
{
	if (s->fault != MS_OK)
		return ms_fail(info, s->fault, "%s", s->fault_reason);
	if (s->goaway_failed)
		return ms_fail(info, MS_ERR_HTTP_SYNTAX, "%s: %s", ms_h2_error_name(s->goaway_error), s->goaway_text);
	return MS_OK;
}

void ms_h2_ping(struct h2_session *s)
{
	if (s->failed || s->ping_waits)
		return;
	s->ping_waits = true;
	if (nghttp2_submit_ping(s->ng, NGHTTP2_FLAG_NONE, NULL) != 0)
		ms_h2_fail(s, MS_ERR_NO_MEMORY, "memory is out");
}

bool ms_h2_ping_waits(const struct h2_session *s)
{
	return s->ping_waits;
}

void ms_h2_drain(struct h2_session *s)
{
	if (s->failed || s->fault != MS_OK || s->last_word)
		return;
	int rc;
	if (s->side == H2_SERVER && !s->notice_sent) {
		s->notice_sent = s->drain_ping = true;
		rc = nghttp2_submit_shutdown_notice(s->ng);
		ms_h2_ping(s);
	} else {
		s->last_word = true;
		rc = nghttp2_submit_goaway(s->ng, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(s->ng),
					   NGHTTP2_NO_ERROR, NULL, 0);
	}
	if (rc != 0)
		ms_h2_fail(s, MS_ERR_NO_MEMORY, "memory is out");
}

void ms_h2_abort(struct h2_session *s, enum h2_error error)
{
	s->failed |= nghttp2_session_terminate_session(s->ng, error) != 0;
}

#define STREAMS_BEFORE_SETTINGS 100

// --- Questions ---------------------------------------------------------------------------------------

bool ms_h2_draining(const struct h2_session *s)
{
	return s->notice_sent || s->last_word || s->peer_goaway;
}

size_t ms_h2_stream_count(const struct h2_session *s)
{
	return s->streams.count;
}

bool ms_h2_reads_head(const struct h2_session *s)
{
	return s->in_block || (s->payload_left > 0 && s->reads_headers);
}

size_t ms_h2_memory(const struct h2_session *s)
{
	size_t tables = s->block.refs != NULL
				? s->limits.header_count * (sizeof(struct field_ref) + sizeof(struct http_header))
				: 0;
	return sizeof(*s) + s->memory + tables + s->block.bytes.cap + s->block.cookie.cap + s->nv_cap * sizeof(*s->nv);
}

unsigned ms_h2_glitches(const struct h2_session *s)
{
	return s->glitches;
}

bool ms_h2_peer_extended_connect(const struct h2_session *s)
{
	return s->settings_seen &&
	       nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

bool ms_h2_peer_settings_seen(const struct h2_session *s)
{
	return s->settings_seen;
}

// Before its SETTINGS a peer is believed to take a hundred.
size_t ms_h2_room(const struct h2_session *s)
{
	if (s->failed || s->fault != MS_OK || nghttp2_session_check_request_allowed(s->ng) == 0)
		return 0;
	size_t most = s->settings_seen
			      ? nghttp2_session_get_remote_settings(s->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS)
			      : STREAMS_BEFORE_SETTINGS;
	return most > s->streams.count ? most - s->streams.count : 0;
}

const char *ms_h2_error_name(uint32_t code)
{
	static const char *const names[] = {
		"NO_ERROR",
		"PROTOCOL_ERROR",
		"INTERNAL_ERROR",
		"FLOW_CONTROL_ERROR",
		"SETTINGS_TIMEOUT",
		"STREAM_CLOSED",
		"FRAME_SIZE_ERROR",
		"REFUSED_STREAM",
		"CANCEL",
		"COMPRESSION_ERROR",
		"CONNECT_ERROR",
		"ENHANCE_YOUR_CALM",
		"INADEQUATE_SECURITY",
		"HTTP_1_1_REQUIRED",
	};
	return code < MS_ARRAY_LEN(names) ? names[code] : "unknown error";
}
