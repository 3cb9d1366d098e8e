// SPDX-License-Identifier: Apache-2.0
// Chunked bodies. The first byte says how the rest is cut into pieces. The outcome must not depend on the cut,
// and the data of an accepted body is written again as chunks and must be read as the same.
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "net/http1/http1.h"

#define MAX_TOTAL 4096

struct outcome {
	enum ms_err err;
	bool done;
	size_t used;
	struct errinfo info;
	struct buf data;
	struct buf trailers;
};

static void decode(struct slice body, size_t step, struct outcome *o)
{
	struct chunked c;
	*o = (struct outcome){0};
	ms_errinfo_init(&o->info);
	ms_buf_init(&o->data, MAX_TOTAL);
	ms_buf_init(&o->trailers, 1 << 16);
	ms_chunked_init(&c, MAX_TOTAL);
	c.trailers = &o->trailers;
	while (o->err == MS_OK && !o->done && o->used < body.n) {
		size_t n = MS_MIN(step, body.n - o->used);
		char *piece = malloc(n);
		MS_ASSERT(piece != NULL);
		memcpy(piece, body.p + o->used, n);
		struct slice input = ms_slice(piece, n), data = MS_SLICE_EMPTY;
		do {
			o->err = ms_chunked_next(&c, &input, &o->info, &data, &o->done);
			if (o->err == MS_OK)
				ms_buf_append_slice(&o->data, data);
		} while (o->err == MS_OK && !o->done && data.n > 0);
		MS_ASSERT(o->err != MS_OK || o->done || input.n == 0);
		o->used += n - input.n;
		free(piece);
	}
	MS_ASSERT(ms_buf_ok(&o->data)); // never more than the limit
}

static void write_again(struct slice data, size_t step, struct buf *out)
{
	while (data.n > 0) {
		struct slice part = ms_slice_sub(data, 0, step);
		ms_http1_write_chunk_head(out, part.n);
		ms_buf_append_slice(out, part);
		ms_buf_append_slice(out, MS_HTTP1_CHUNK_TAIL);
		data = ms_slice_sub(data, part.n, SIZE_MAX);
	}
	ms_buf_append_slice(out, MS_HTTP1_CHUNK_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	struct slice body = ms_slice(data + 1, size - 1);
	size_t step = 1 + data[0] % 16;
	struct outcome whole, cut, again;
	decode(body, SIZE_MAX, &whole);
	decode(body, step, &cut);
	MS_ASSERT(whole.err == cut.err && whole.done == cut.done && whole.used == cut.used);
	MS_ASSERT(whole.info.offset == cut.info.offset);
	MS_ASSERT(ms_slice_eq(ms_buf_slice(&whole.data), ms_buf_slice(&cut.data)));
	MS_ASSERT(ms_slice_eq(ms_buf_slice(&whole.trailers), ms_buf_slice(&cut.trailers)));
	if (whole.done) {
		struct buf text;
		ms_buf_init(&text, 1 << 20);
		write_again(ms_buf_slice(&whole.data), step, &text);
		decode(ms_buf_slice(&text), step + 1, &again);
		MS_ASSERT(again.done && again.used == text.n);
		MS_ASSERT(ms_slice_eq(ms_buf_slice(&whole.data), ms_buf_slice(&again.data)));
		ms_buf_fini(&again.data);
		ms_buf_fini(&again.trailers);
		ms_buf_fini(&text);
	}
	ms_buf_fini(&whole.data);
	ms_buf_fini(&cut.data);
	ms_buf_fini(&whole.trailers);
	ms_buf_fini(&cut.trailers);
	return 0;
}
