// SPDX-License-Identifier: Apache-2.0
// What a request and a busy connection need while they are in progress, recycled by the loop.
#include <stdlib.h>

#include "net/server.h"

static struct work *work_new(void)
{
	struct work *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	ms_arena_init(&w->arena, ARENA_FIRST_BYTES, ARENA_MAX_BYTES);
	ms_buf_init(&w->body, ANSWER_BYTES_MAX);
	ms_buf_init(&w->packed, ANSWER_BYTES_MAX);
	ms_buf_init(&w->headers, OUTPUT_HIGH);
	ms_buf_init(&w->intake.bytes, ANSWER_BYTES_MAX);
	return w;
}

void ms_work_free(struct work *w)
{
	ms_arena_fini(&w->arena);
	ms_buf_fini(&w->body);
	ms_buf_fini(&w->packed);
	ms_buf_fini(&w->headers);
	ms_buf_fini(&w->intake.bytes);
	free(w);
}

// Empties a buffer; a large one goes back to the system, so that one big request does not stay in memory.
static void empty(struct buf *b)
{
	size_t max = b->max;
	if (b->cap > BODY_KEEP_BYTES) {
		ms_buf_fini(b);
		ms_buf_init(b, max);
	} else {
		ms_buf_clear(b);
	}
}

static void begin(struct work *w)
{
	w->x = (struct exchange){.arena = &w->arena, .loop = w->nl->loop, .body = &w->body};
}

struct work *ms_work_take(struct net_loop *nl, struct conn *c, const struct transport *transport, void *stream)
{
	struct work *w = nl->free_works;
	if (w != NULL) {
		nl->free_works = w->next_free;
		nl->free_work_count--;
	} else {
		w = work_new();
	}
	if (w == NULL)
		return NULL;
	w->nl = nl;
	w->conn = c;
	w->transport = transport;
	w->stream = stream;
	w->left = LENGTH_STREAM;
	c->works++;
	begin(w);
	return w;
}

// The last use of what the front keeps in the request's arena.
static void tell_front(struct work *w)
{
	const struct http_front *front = w->nl->server->options.front;
	if (w->x.front_data == NULL || front == NULL || front->over == NULL)
		return;
	const struct http_outcome outcome = {
		.status = w->sent_status,
		.body_bytes = w->body_bytes,
		.duration_ns = ms_clock_mono_ns() - w->x.req.start_mono_ns,
	};
	front->over(&w->x, &outcome, front->arg);
	w->x.front_data = NULL;
}

static void end_intake(struct intake *in)
{
	ms_inflater_give(in->inflater);
	empty(&in->bytes);
	in->inflater = NULL;
	in->reader.data = NULL;
	in->lost = NULL;
	in->state = BODY_NONE;
	in->collecting = in->collected = in->own = in->waited = false;
}

static void end_request(struct work *w)
{
	tell_front(w);
	end_intake(&w->intake);
	ms_arena_reset(&w->arena);
	empty(&w->body);
	empty(&w->packed);
	ms_buf_clear(&w->headers);
	w->marks = (struct request_marks){0};
	w->left = LENGTH_STREAM;
	w->body_bytes = 0;
	w->status = w->sent_status = 0;
	w->on_drain = w->on_gone = NULL;
	w->wants_drain = w->begun = w->parsed = w->open = w->gone = w->local = w->head_sent = w->is_head = false;
	w->no_content = w->tunnel = w->slim = w->out_ended = w->distrust = w->continued = w->answered =
		w->has_encoding = false;
}

void ms_work_next(struct work *w)
{
	end_request(w);
	begin(w);
}

void ms_work_give(struct work *w)
{
	struct net_loop *nl = w->nl;
	end_request(w);
	MS_ASSERT(w->conn->works > 0);
	w->conn->works--;
	w->conn = NULL;
	w->stream = NULL;
	if (nl->free_work_count >= FREE_WORKS_MAX) {
		ms_work_free(w);
		return;
	}
	w->next_free = nl->free_works;
	nl->free_works = w;
	nl->free_work_count++;
}

// --- Tunnels -----------------------------------------------------------------------------------------

static void drop(struct buf *b)
{
	size_t max = b->max;
	ms_buf_fini(b);
	ms_buf_init(b, max);
}

static void move(struct slice *s, const char *from, size_t n, const char *to)
{
	if (s->p != NULL && s->p >= from && s->p <= from + n)
		s->p = to + (s->p - from);
}

static void move_request(struct work *w, const char *from, size_t n, const char *to)
{
	struct http_request *req = &w->x.req;
	struct http_header *headers = (struct http_header *)(uintptr_t)req->headers; // of our arena
	struct slice *const slices[] = {
		&req->target,      &req->path,           &req->query,           &req->body,
		&req->id,          &req->peer,           &req->authority,       &req->sni,
		&req->protocol,    &w->marks.request_id, &w->marks.traceparent, &w->x.caller.id,
		&w->x.caller.name,
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(slices); i++)
		move(slices[i], from, n, to);
	for (size_t i = 0; i < MS_HTTP_MAX_PARAMS; i++)
		move(&req->params[i], from, n, to);
	for (size_t i = 0; i < req->header_count; i++) {
		move(&headers[i].name, from, n, to);
		move(&headers[i].value, from, n, to);
	}
}

void ms_work_slim(struct work *w)
{
	struct wire *wire = w->conn->wire;
	MS_ASSERT(w->tunnel);
	drop(&w->body);
	drop(&w->packed);
	drop(&w->headers);
	drop(&w->intake.bytes);
	if (w->x.front_data != NULL || w->transport != &ms_h1_transport || w->slim || wire == NULL)
		return;
	const char *head = wire->in + wire->in_request;
	size_t n = wire->h1.head_bytes;
	struct slice copy = ms_arena_copy(&w->arena, ms_slice(head, n));
	if (copy.p == NULL)
		return;
	move_request(w, head, n, copy.p);
	w->slim = true;
}

// --- Buffers of a connection -------------------------------------------------------------------------

static struct wire *wire_new(void)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	if (wire == NULL)
		return NULL;
	wire->in = malloc(INPUT_BYTES);
	if (wire->in == NULL) {
		free(wire);
		return NULL;
	}
	wire->in_cap = INPUT_BYTES;
	ms_buf_init(&wire->out, ANSWER_BYTES_MAX);
	ms_buf_init(&wire->flight, ANSWER_BYTES_MAX);
	ms_buf_init(&wire->h1.trailers, OUTPUT_HIGH);
	return wire;
}

void ms_conn_wire_free(struct wire *wire)
{
	ms_buf_fini(&wire->out);
	ms_buf_fini(&wire->flight);
	ms_buf_fini(&wire->h1.trailers);
	free(wire->in);
	free(wire);
}

struct wire *ms_conn_wire_take(struct net_loop *nl)
{
	struct wire *wire = nl->free_wires;
	if (wire == NULL)
		return wire_new();
	nl->free_wires = wire->next_free;
	nl->free_wire_count--;
	return wire;
}

void ms_conn_wire_give(struct net_loop *nl, struct wire *wire)
{
	empty(&wire->out);
	empty(&wire->flight);
	wire->tail = NULL;
	wire->out_sent = wire->tail_sent = wire->in_request = wire->in_pos = wire->in_end = 0;
	wire->read_ns = 0;
	if (nl->free_wire_count >= FREE_WORKS_MAX || wire->in_cap > INPUT_BYTES) {
		ms_conn_wire_free(wire);
		return;
	}
	wire->next_free = nl->free_wires;
	nl->free_wires = wire;
	nl->free_wire_count++;
}
