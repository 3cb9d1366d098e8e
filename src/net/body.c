// SPDX-License-Identifier: Apache-2.0
// Bodies of requests above the transport: handed to a reader piece by piece, or collected, decoded and bounded.
#include "net/negotiate.h"
#include "net/server.h"

void ms_body_begin(struct work *w)
{
	w->intake.state = w->x.req.has_body ? BODY_UNREAD : BODY_NONE;
}

void ms_body_forget(struct work *w)
{
	struct intake *in = &w->intake;
	if (in->state != BODY_NONE)
		in->state = BODY_CUT;
	in->collecting = false;
	in->reader.data = NULL;
}

// --- Readers -----------------------------------------------------------------------------------------

// Nothing more comes; the reader's last call.
static void tell_cut(struct work *w, const struct errinfo *info)
{
	struct intake *in = &w->intake;
	struct http_body_reader reader = in->reader;
	in->state = BODY_CUT;
	in->reader.data = NULL;
	bool tunnel_over = w->tunnel && w->out_ended;
	reader.cut(&w->x, info, in->arg);
	if (tunnel_over) // our side had ended before: this was the last call
		ms_exchange_answered(w);
}

static void tell_end(struct work *w, const struct http_header *trailers, size_t count)
{
	struct intake *in = &w->intake;
	struct http_body_reader reader = in->reader;
	in->state = BODY_NONE;
	in->reader.data = NULL;
	bool tunnel_over = w->tunnel && w->out_ended;
	reader.end(&w->x, trailers, count, in->arg);
	if (tunnel_over)
		ms_exchange_answered(w);
}

static void tell_too_large(struct work *w)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_HTTP_BODY_TOO_LARGE, "the body is larger than %llu bytes",
		      (unsigned long long)w->intake.reader.max_bytes);
	tell_cut(w, &info);
}

static void tell_gone(struct work *w)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	(void)ms_fail(&info, MS_ERR_CANCELLED, "the body of the request was cut before it was read");
	tell_cut(w, &info);
}

// A plugin of the front has collected it before.
static void tell_collected(struct work *w)
{
	struct intake *in = &w->intake;
	struct slice body = w->x.req.body;
	if (body.n > in->reader.max_bytes) {
		tell_too_large(w);
		return;
	}
	w->pinned++;
	if (body.n > 0)
		in->reader.data(&w->x, body, in->arg);
	if (w->open && in->reader.data != NULL)
		tell_end(w, NULL, 0);
	ms_exchange_unpin(w);
}

void ms_http_body_read(struct exchange *x, const struct http_body_reader *reader, void *arg)
{
	struct work *w = ms_work_of(x);
	struct intake *in = &w->intake;
	MS_ASSERT(w->open && in->reader.data == NULL && !in->collecting);
	MS_ASSERT(reader->data != NULL && reader->end != NULL && reader->cut != NULL);
	in->reader = *reader;
	in->arg = arg;
	in->taken = 0;
	if (in->collected) {
		tell_collected(w);
	} else if (in->state == BODY_NONE) {
		tell_end(w, NULL, 0);
	} else if (w->gone || in->state == BODY_CUT) {
		tell_gone(w);
	} else if (!w->tunnel && x->req.content_length != UINT64_MAX && x->req.content_length > reader->max_bytes) {
		tell_too_large(w);
	} else {
		in->max_bytes = (size_t)MS_MIN(reader->max_bytes, (uint64_t)INT64_MAX);
		in->state = BODY_WANTED;
		w->transport->want(w);
	}
}

void ms_http_body_pause(struct exchange *x)
{
	struct intake *in = &ms_work_of(x)->intake;
	if (in->state == BODY_WANTED && !in->collecting)
		in->state = BODY_PAUSED;
}

void ms_http_body_resume(struct exchange *x)
{
	struct work *w = ms_work_of(x);
	if (w->intake.state != BODY_PAUSED || w->gone)
		return;
	w->intake.state = BODY_WANTED;
	w->transport->want(w);
}

// --- Collecting --------------------------------------------------------------------------------------

// The exchange is answered with the failure; when only the server itself wanted the body and the client is gone, it is just over.
static void collect_failed(struct work *w, const struct errinfo *info)
{
	struct intake *in = &w->intake;
	http_collected_fn *lost = in->lost;
	in->state = BODY_CUT;
	in->collecting = false;
	if (lost != NULL)
		lost(&w->x, in->arg); // its last look at the exchange
	if (in->own && w->gone) {
		w->open = false;
		w->answered = true;
		ms_exchange_done(w);
		return;
	}
	if (info->code == MS_ERR_HTTP_ENCODING)
		ms_http_set_header(&w->x, "Accept-Encoding", MS_SLICE_LIT(MS_CODINGS_SUPPORTED));
	ms_http_fail(&w->x, info);
}

static void collected(struct work *w)
{
	struct intake *in = &w->intake;
	in->state = BODY_NONE;
	in->collecting = false;
	in->collected = true;
	in->done(&w->x, in->arg);
}

static enum ms_err open_intake(struct work *w, struct errinfo *info)
{
	struct intake *in = &w->intake;
	const struct http_request *req = &w->x.req;
	enum content_coding coding = CODING_IDENTITY;
	if (w->marks.content_encoding)
		MS_TRY(ms_request_coding(req->headers, req->header_count, info, &coding));
	if (req->content_length != UINT64_MAX && req->content_length > in->max_bytes)
		return ms_fail(info, MS_ERR_HTTP_BODY_TOO_LARGE,
			       "the body has %llu bytes; at most %zu are allowed here",
			       (unsigned long long)req->content_length, in->max_bytes);
	in->bytes.max = in->max_bytes;
	const struct inflate_limits inflate = {.max_bytes = in->max_bytes,
					       .max_ratio = w->nl->server->options.limits.inflated_ratio};
	if (in->state != BODY_NONE && coding != CODING_IDENTITY &&
	    ms_inflater_take(w->nl->codecs, coding, &inflate, &in->inflater) != MS_OK)
		return ms_fail(info, MS_ERR_NO_MEMORY, "the server is out of memory for this request");
	return MS_OK;
}

static void collect(struct work *w)
{
	struct intake *in = &w->intake;
	struct errinfo info;
	ms_errinfo_init(&info);
	in->collecting = true;
	enum ms_err err = open_intake(w, &info);
	if (err == MS_OK && (w->gone || in->state == BODY_CUT))
		err = ms_fail(&info, MS_ERR_CANCELLED, "the body of the request was cut before it was read");
	if (err != MS_OK) {
		collect_failed(w, &info);
	} else if (in->state == BODY_NONE) {
		collected(w);
	} else {
		in->state = BODY_WANTED;
		w->transport->want(w);
	}
}

void ms_body_collect_own(struct work *w, size_t max_bytes, http_collected_fn *done)
{
	struct intake *in = &w->intake;
	in->own = true;
	in->max_bytes = max_bytes;
	in->done = done;
	collect(w);
}

void ms_http_body_collect(struct exchange *x, size_t max_bytes, http_collected_fn *done, http_collected_fn *gone,
			  void *arg)
{
	struct work *w = ms_work_of(x);
	struct intake *in = &w->intake;
	MS_ASSERT(w->open && in->reader.data == NULL && !in->collecting);
	if (in->collected) {
		done(x, arg);
		return;
	}
	in->max_bytes = max_bytes != 0 ? max_bytes : w->nl->server->options.limits.body_bytes;
	in->done = done;
	in->lost = gone;
	in->arg = arg;
	collect(w);
}

static enum ms_err append(struct intake *in, struct slice bytes, struct errinfo *info)
{
	if (in->inflater != NULL)
		return ms_inflater_write(in->inflater, bytes, &in->bytes, info);
	if (bytes.n > in->max_bytes - in->bytes.n)
		return ms_fail(info, MS_ERR_HTTP_BODY_TOO_LARGE, "the body is larger than %zu bytes", in->max_bytes);
	ms_buf_append_slice(&in->bytes, bytes);
	return ms_buf_ok(&in->bytes) ? MS_OK
				     : ms_fail(info, MS_ERR_NO_MEMORY, "the server is out of memory for this request");
}

// --- From the transport ------------------------------------------------------------------------------

void ms_body_data(struct work *w, struct slice bytes)
{
	struct intake *in = &w->intake;
	MS_ASSERT(in->state == BODY_WANTED);
	if (in->collecting) {
		struct errinfo info;
		ms_errinfo_init(&info);
		if (append(in, bytes, &info) != MS_OK) {
			w->distrust = true;
			collect_failed(w, &info);
		}
		return;
	}
	in->taken += bytes.n;
	if (in->taken > in->reader.max_bytes)
		tell_too_large(w);
	else
		in->reader.data(&w->x, bytes, in->arg);
}

void ms_body_end(struct work *w, const struct http_header *trailers, size_t count)
{
	struct intake *in = &w->intake;
	MS_ASSERT(in->state == BODY_WANTED);
	if (!in->collecting) {
		tell_end(w, trailers, count);
		return;
	}
	struct errinfo info;
	ms_errinfo_init(&info);
	if (in->inflater != NULL && ms_inflater_end(in->inflater, &info) != MS_OK) {
		w->distrust = true;
		collect_failed(w, &info);
		return;
	}
	w->x.req.body = ms_buf_slice(&in->bytes);
	collected(w);
}

void ms_body_whole(struct work *w, struct slice bytes)
{
	MS_ASSERT(ms_body_wanted(w) && ms_body_plain(w) && w->intake.bytes.n == 0);
	w->x.req.body = bytes;
	collected(w);
}

void ms_body_cut(struct work *w, const struct errinfo *info)
{
	struct intake *in = &w->intake;
	MS_ASSERT(in->state == BODY_WANTED || in->state == BODY_PAUSED);
	if (in->collecting)
		collect_failed(w, info);
	else
		tell_cut(w, info);
}
