// SPDX-License-Identifier: Apache-2.0
// Request heads. The first byte says how the rest is cut into pieces. The outcome must not depend on the cut,
// and a head that was accepted is written again from its parts and must be read as the same.
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "net/http1/http1.h"

static const struct http1_limits LIMITS = {.uri_bytes = 256, .header_bytes = 1024, .header_count = 20};

struct outcome {
	enum ms_err err;
	size_t head_bytes;
	struct errinfo info;
	struct arena arena;
	struct http1_parser parser;
	char *bytes;
};

// Each step gets the bytes in an allocation of exact size.
static void parse(struct slice request, size_t step, struct outcome *o)
{
	*o = (struct outcome){0};
	ms_errinfo_init(&o->info);
	ms_arena_init(&o->arena, 256, 1 << 20);
	ms_http1_parser_init(&o->parser, &LIMITS, &o->arena);
	for (size_t n = 0; n < request.n && o->err == MS_OK && o->head_bytes == 0;) {
		n = MS_MIN(request.n, n + step);
		char *moved = malloc(n);
		MS_ASSERT(moved != NULL);
		memcpy(moved, request.p, n);
		free(o->bytes);
		o->bytes = moved;
		o->err = ms_http1_parse(&o->parser, ms_slice(moved, n), &o->info, &o->head_bytes);
	}
}

static void end(struct outcome *o)
{
	ms_arena_fini(&o->arena);
	free(o->bytes);
}

static bool same_head(const struct http1_head *a, const struct http1_head *b)
{
	bool same = a->method == b->method && a->minor == b->minor && a->asterisk == b->asterisk &&
		    a->absolute_form == b->absolute_form && a->keep_alive == b->keep_alive &&
		    a->expect_continue == b->expect_continue && a->body == b->body &&
		    a->content_length == b->content_length && a->repeated == b->repeated &&
		    a->header_count == b->header_count && ms_slice_eq(a->target, b->target) &&
		    ms_slice_eq(a->path, b->path) && ms_slice_eq(a->query, b->query) && ms_slice_eq(a->host, b->host);
	for (size_t i = 0; same && i < HTTP1_KNOWN_COUNT; i++)
		same = ms_slice_eq(a->known[i], b->known[i]);
	for (size_t i = 0; same && i < a->header_count; i++)
		same = ms_slice_eq(a->headers[i].name, b->headers[i].name) &&
		       ms_slice_eq(a->headers[i].value, b->headers[i].value);
	return same;
}

static void check_head(const struct http1_head *h)
{
	MS_ASSERT(h->path.n > 0 && (h->path.p[0] == '/' || h->asterisk));
	MS_ASSERT(h->minor == 0 || h->host.n > 0);
	MS_ASSERT(h->header_count <= LIMITS.header_count && h->target.n <= LIMITS.uri_bytes);
	MS_ASSERT((h->body == HTTP1_BODY_LENGTH) == (h->content_length > 0));
	MS_ASSERT(h->body != HTTP1_BODY_CHUNKED || h->known[HTTP1_CONTENT_LENGTH].p == NULL);
	for (size_t i = 0; i < h->header_count; i++) {
		MS_ASSERT(h->headers[i].name.n > 0);
		MS_ASSERT(ms_slice_eq(h->headers[i].value, ms_slice_trim(h->headers[i].value)));
		MS_ASSERT(ms_slice_find(h->headers[i].value, '\n') == h->headers[i].value.n);
	}
}

static void write_again(const struct http1_head *h, struct buf *out)
{
	ms_buf_printf(out, "%s %.*s HTTP/1.%u\r\n", ms_http_method_name(h->method), MS_SLICE_ARG(h->target), h->minor);
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
	struct slice request = ms_slice(data + 1, size - 1);
	struct outcome whole, cut, again;
	parse(request, SIZE_MAX / 2, &whole);
	parse(request, 1 + data[0] % 16, &cut);
	MS_ASSERT(whole.err == cut.err && whole.head_bytes == cut.head_bytes && whole.info.offset == cut.info.offset);
	if (whole.err == MS_OK && whole.head_bytes > 0) {
		struct buf text;
		ms_buf_init(&text, 1 << 16);
		check_head(&whole.parser.head);
		MS_ASSERT(same_head(&whole.parser.head, &cut.parser.head));
		write_again(&whole.parser.head, &text);
		parse(ms_buf_slice(&text), SIZE_MAX / 2, &again);
		MS_ASSERT(again.err == MS_OK && again.head_bytes == text.n);
		MS_ASSERT(same_head(&whole.parser.head, &again.parser.head));
		end(&again);
		ms_buf_fini(&text);
	}
	end(&whole);
	end(&cut);
	return 0;
}
