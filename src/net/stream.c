// SPDX-License-Identifier: Apache-2.0
// Answers in pieces, and tunnels.
#include "net/server.h"

// The handler gets to know it by ms_http_gone().
static void cut(struct work *w)
{
	if (!w->gone)
		w->transport->cut(w);
	w->wants_drain = false;
	MS_ASSERT(w->gone);
}

void ms_http_stream_start(struct exchange *x, int status, const char *content_type, http_drain_fn *on_drain, void *arg)
{
	struct work *w = ms_work_of(x);
	MS_ASSERT(w->open && !w->head_sent && status >= 200 && status <= 599 && !ms_has_no_content(status));
	struct http_local_answer local = {.status = status, .content_type = content_type};
	if (!w->gone)
		ms_answer_ask_front(w, &local);
	w->status = status = local.status;
	content_type = local.content_type;
	w->body_bytes = 0;
	w->left = LENGTH_STREAM;
	w->on_drain = on_drain;
	w->drain_arg = arg;
	w->head_sent = true;
	if (!w->gone)
		ms_answer_head(
			w, &(struct answer_head){
				   .status = status, .type = content_type, .length = LENGTH_STREAM, .in_pieces = true});
}

static void start_interim(struct work *w, const struct http_answer *answer)
{
	struct http_header *headers;
	size_t count;
	if (w->x.req.version < 11 || w->gone)
		return;
	// Without memory nobody is hurt: it only announces.
	if (!ms_answer_filter(w, answer->headers, answer->header_count, false, false, &headers, &count))
		return;
	w->continued |= answer->status == 100;
	w->transport->interim(w, answer->status, headers, count);
}

static void start_final(struct work *w, const struct http_answer *answer)
{
	struct http_header *headers;
	struct answer_head head = {
		.status = answer->status,
		.length = answer->content_length != UINT64_MAX ? answer->content_length : LENGTH_STREAM,
		.no_server_headers = answer->no_server_headers,
		.in_pieces = true,
	};
	w->left = head.length;
	w->head_sent = true;
	if (w->gone)
		return;
	if (!ms_answer_filter(w, answer->headers, answer->header_count, !answer->no_server_headers, false, &headers,
			      &head.header_count)) {
		cut(w); // memory is out
		return;
	}
	head.headers = headers;
	ms_answer_head(w, &head);
}

void ms_http_answer_start(struct exchange *x, const struct http_answer *answer, http_drain_fn *on_drain, void *arg)
{
	struct work *w = ms_work_of(x);
	int status = answer->status;
	MS_ASSERT(w->open && !w->head_sent && status >= 100 && status <= 599 && status != 101);
	if (status < 200) {
		start_interim(w, answer);
		return;
	}
	w->status = status;
	w->body_bytes = 0;
	w->on_drain = on_drain;
	w->drain_arg = arg;
	start_final(w, answer);
}

static size_t write_piece(struct work *w, struct slice bytes)
{
	if (w->left < LENGTH_STREAM) {
		if (bytes.n > w->left) { // longer than was said
			cut(w);
			return 0;
		}
		w->left -= bytes.n;
	}
	size_t waiting = w->transport->write(w, bytes);
	w->body_bytes += bytes.n;
	if (waiting > STREAM_BYTES_MAX) { // a producer that does not heed the back-pressure
		cut(w);
		return 0;
	}
	w->wants_drain = waiting >= OUTPUT_HIGH && !w->gone;
	return waiting;
}

size_t ms_http_stream_write(struct exchange *x, struct slice bytes)
{
	struct work *w = ms_work_of(x);
	MS_ASSERT(w->open);
	if (w->gone)
		return 0;
	MS_ASSERT(w->head_sent && !w->out_ended);
	if (bytes.n == 0 || w->no_content)
		return 0;
	return write_piece(w, bytes);
}

static void end_tunnel(struct work *w)
{
	MS_ASSERT(!w->out_ended);
	w->out_ended = true;
	w->wants_drain = false;
	if (!w->gone)
		w->transport->end(w, NULL, 0);
	if (w->gone || w->intake.state == BODY_NONE || w->intake.state == BODY_CUT)
		ms_exchange_answered(w);
}

void ms_http_stream_end_with(struct exchange *x, const struct http_header *trailers, size_t count)
{
	struct work *w = ms_work_of(x);
	MS_ASSERT(w->open);
	if (w->tunnel) {
		end_tunnel(w);
		return;
	}
	bool is_short = w->left != 0 && w->left < LENGTH_STREAM && !w->no_content;
	struct http_header *fields = NULL;
	if (!w->gone && is_short) {
		cut(w);
	} else if (!w->gone) {
		MS_ASSERT(w->head_sent);
		if (count > 0 && !ms_answer_filter(w, trailers, count, false, true, &fields, &count))
			count = 0;
		if (!w->no_content)
			w->transport->end(w, fields, count);
	}
	ms_exchange_answered(w);
}

void ms_http_stream_end(struct exchange *x)
{
	ms_http_stream_end_with(x, NULL, 0);
}

void ms_http_stream_cut(struct exchange *x)
{
	struct work *w = ms_work_of(x);
	MS_ASSERT(w->open);
	cut(w);
	ms_exchange_answered(w);
}

// --- Tunnels -----------------------------------------------------------------------------------------

void ms_http_tunnel_start(struct exchange *x, const struct http_header *headers, size_t count,
			  const struct http_body_reader *reader, http_drain_fn *on_drain, void *arg)
{
	struct work *w = ms_work_of(x);
	struct http_header *fields = NULL;
	MS_ASSERT(w->open && !w->head_sent && x->req.protocol.n > 0 && w->intake.reader.data == NULL);
	w->status = x->req.version >= 20 ? 200 : 101;
	w->body_bytes = 0;
	w->left = LENGTH_STREAM;
	w->on_drain = on_drain;
	w->drain_arg = arg;
	w->tunnel = w->head_sent = true;
	if (!ms_answer_filter(w, headers, count, true, false, &fields, &count) && !w->gone)
		cut(w); // memory is out
	if (!w->gone) {
		w->sent_status = w->status;
		w->transport->tunnel(w, fields, count);
	}
	w->intake.state = w->gone ? BODY_CUT : BODY_UNREAD;
	ms_http_body_read(x, reader, arg);
}
