// SPDX-License-Identifier: Apache-2.0
// Heads of answers. The first byte says how the rest is cut into pieces, and whether it answers HEAD. The outcome must not depend on
// the cut, and a head that was accepted is written again from its parts and must be read as the same.
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "net/http1/http1.h"

static const struct http1_limits LIMITS = {.header_bytes = 1024, .header_count = 20};

struct outcome {
	enum ms_err err;
	size_t head_bytes;
	struct errinfo info;
	struct arena arena;
	struct http1_answer answer;
	char *bytes;
};

// Each step gets the bytes in an allocation of exact size.
static void parse(struct slice text, size_t step, bool to_head, struct outcome *o)
{
	*o = (struct outcome){0};
	ms_errinfo_init(&o->info);
	ms_arena_init(&o->arena, 256, 1 << 20);
	ms_http1_answer_init(&o->answer, &LIMITS, to_head, &o->arena);
	for (size_t n = 0; n < text.n && o->err == MS_OK && o->head_bytes == 0;) {
		n = MS_MIN(text.n, n + step);
		char *moved = malloc(n);
		MS_ASSERT(moved != NULL);
		memcpy(moved, text.p, n);
		free(o->bytes);
		o->bytes = moved;
		o->err = ms_http1_answer_parse(&o->answer, ms_slice(moved, n), &o->info, &o->head_bytes);
	}
}

static void end(struct outcome *o)
{
	ms_arena_fini(&o->arena);
	free(o->bytes);
}

static bool same(const struct http1_answer *a, const struct http1_answer *b)
{
	const struct http1_head *x = &a->lines.head, *y = &b->lines.head;
	bool equal = a->status == b->status && a->body == b->body && a->content_length == b->content_length &&
		     a->keep_alive == b->keep_alive && x->minor == y->minor && x->header_count == y->header_count;
	for (size_t i = 0; equal && i < x->header_count; i++)
		equal = ms_slice_eq(x->headers[i].name, y->headers[i].name) &&
			ms_slice_eq(x->headers[i].value, y->headers[i].value);
	return equal;
}

static void check(const struct http1_answer *a)
{
	const struct http1_head *h = &a->lines.head;
	MS_ASSERT(a->status >= 100 && a->status <= 599 && h->header_count <= LIMITS.header_count);
	MS_ASSERT(a->body != HTTP1_ANSWER_LENGTH || (a->content_length > 0 && a->content_length <= INT64_MAX));
	MS_ASSERT(a->body != HTTP1_ANSWER_UNTIL_CLOSE || !a->keep_alive);
	MS_ASSERT(a->body != HTTP1_ANSWER_CHUNKED || h->known[HTTP1_CONTENT_LENGTH].p == NULL);
	MS_ASSERT(a->body == HTTP1_ANSWER_NONE ||
		  (a->status >= 200 && a->status != 204 && a->status != 304 && !a->to_head));
}

static void write_again(const struct http1_answer *a, struct buf *out)
{
	const struct http1_head *h = &a->lines.head;
	ms_buf_printf(out, "HTTP/1.%u %d\r\n", h->minor, a->status);
	for (size_t i = 0; i < h->header_count; i++) {
		ms_buf_append_slice(out, h->headers[i].name);
		ms_buf_append_char(out, ':'); // no blank: it might pass the limit
		ms_buf_append_slice(out, h->headers[i].value);
		ms_http1_write_end(out);
	}
	ms_http1_write_end(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct slice text = ms_slice(data + 1, size - 1);
	bool to_head = (data[0] & 0x80) != 0;
	struct outcome whole, cut, again;
	parse(text, SIZE_MAX / 2, to_head, &whole);
	parse(text, 1 + data[0] % 16, to_head, &cut);
	MS_ASSERT(whole.err == cut.err && whole.head_bytes == cut.head_bytes && whole.info.offset == cut.info.offset);
	if (whole.err == MS_OK && whole.head_bytes > 0) {
		struct buf out;
		ms_buf_init(&out, 1 << 16);
		check(&whole.answer);
		MS_ASSERT(same(&whole.answer, &cut.answer));
		write_again(&whole.answer, &out);
		parse(ms_buf_slice(&out), SIZE_MAX / 2, to_head, &again);
		MS_ASSERT(again.err == MS_OK && again.head_bytes == out.n && same(&whole.answer, &again.answer));
		end(&again);
		ms_buf_fini(&out);
	}
	end(&whole);
	end(&cut);
	return 0;
}
