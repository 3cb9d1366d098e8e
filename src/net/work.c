// SPDX-License-Identifier: Apache-2.0
// What a request needs while it is in progress, recycled by the loop.
#include <stdlib.h>

#include "net/server.h"

static struct work *work_new(void)
{
	struct work *w = calloc(1, sizeof(*w));
	if (w == NULL)
		return NULL;
	w->in = malloc(INPUT_BYTES);
	if (w->in == NULL) {
		free(w);
		return NULL;
	}
	w->in_cap = INPUT_BYTES;
	ms_arena_init(&w->arena, ARENA_FIRST_BYTES, ARENA_MAX_BYTES);
	ms_buf_init(&w->out, ANSWER_BYTES_MAX);
	ms_buf_init(&w->flight, ANSWER_BYTES_MAX);
	ms_buf_init(&w->body, ANSWER_BYTES_MAX);
	ms_buf_init(&w->packed, ANSWER_BYTES_MAX);
	ms_buf_init(&w->headers, OUTPUT_HIGH);
	ms_buf_init(&w->intake.bytes, ANSWER_BYTES_MAX);
	return w;
}

void ms_work_free(struct work *w)
{
	ms_arena_fini(&w->arena);
	ms_buf_fini(&w->out);
	ms_buf_fini(&w->flight);
	ms_buf_fini(&w->body);
	ms_buf_fini(&w->packed);
	ms_buf_fini(&w->headers);
	ms_buf_fini(&w->intake.bytes);
	free(w->in);
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
	const struct http_limits *limits = &w->conn->nl->server->options.limits;
	const struct http1_limits parse_limits = {
		.uri_bytes = limits->uri_bytes,
		.header_bytes = limits->header_bytes,
		.header_count = limits->header_count,
	};
	ms_http1_parser_init(&w->parser, &parse_limits, &w->arena);
	w->x = (struct exchange){.arena = &w->arena, .loop = w->conn->nl->loop, .body = &w->body};
}

struct work *ms_work_take(struct net_loop *nl, struct conn *c)
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
	w->conn = c;
	begin(w);
	return w;
}

static void end_request(struct work *w)
{
	ms_inflater_give(w->intake.inflater);
	ms_arena_reset(&w->arena);
	empty(&w->body);
	empty(&w->packed);
	empty(&w->intake.bytes);
	ms_buf_clear(&w->headers);
	w->intake.inflater = NULL;
	w->intake.left = 0;
	w->intake.direct = w->intake.waited = false;
	w->tail = NULL;
	w->tail_sent = 0;
	w->on_drain = NULL;
	w->wants_drain = w->begun = w->parsed = w->open = w->answered = w->chunked_out = w->has_encoding = false;
}

void ms_work_next_request(struct work *w)
{
	end_request(w);
	w->in_request = w->in_pos;
	if (w->in_pos == w->in_end)
		w->in_request = w->in_pos = w->in_end = 0;
	begin(w);
}

void ms_work_give(struct net_loop *nl, struct work *w)
{
	end_request(w);
	empty(&w->out);
	empty(&w->flight);
	w->out_sent = w->in_request = w->in_pos = w->in_end = 0;
	w->conn = NULL;
	if (nl->free_work_count >= FREE_WORKS_MAX || w->in_cap > INPUT_BYTES) {
		ms_work_free(w);
		return;
	}
	w->next_free = nl->free_works;
	nl->free_works = w;
	nl->free_work_count++;
}
