// SPDX-License-Identifier: Apache-2.0
// Messages by DEFLATE, each for itself (no context takeover).
#define ZLIB_CONST
#include <stdlib.h>
#include <zlib.h>

#include "net/websocket/codec.h"

#define LEVEL 1 // the loop waits
#define MEM_LEVEL 8
#define MAX_BITS 15
#define KEEP_BYTES ((size_t)64 << 10)
#define FREE_BYTES ((size_t)1 << 20) // not judged by ratio: repetitive messages are honest, and this costs little
#define MIN_STEP ((size_t)1 << 10)
#define MAX_STEP ((size_t)64 << 10)
#define TAIL_BYTES 4

static const char tail[TAIL_BYTES] = {0, 0, '\xff', '\xff'}; // an empty stored block but for its first bits; not sent

struct ws_deflater {
	z_stream out;
	unsigned out_bits; // 0: not made yet
	z_stream in;
	bool has_in;
	struct buf packed;
	struct buf inflated;
};

struct ws_deflater *ms_ws_deflater_new(void)
{
	struct ws_deflater *d = calloc(1, sizeof(*d));
	if (d == NULL)
		return NULL;
	ms_buf_init(&d->packed, SIZE_MAX / 2);
	ms_buf_init(&d->inflated, SIZE_MAX / 2);
	return d;
}

void ms_ws_deflater_free(struct ws_deflater *d)
{
	if (d == NULL)
		return;
	if (d->out_bits > 0)
		deflateEnd(&d->out);
	if (d->has_in)
		inflateEnd(&d->in);
	ms_buf_fini(&d->packed);
	ms_buf_fini(&d->inflated);
	free(d);
}

static void trim(struct buf *b)
{
	size_t max = b->max;
	if (b->cap > KEEP_BYTES) {
		ms_buf_fini(b);
		ms_buf_init(b, max);
	}
}

void ms_ws_deflater_trim(struct ws_deflater *d)
{
	trim(&d->packed);
	trim(&d->inflated);
}

// --- Out ---------------------------------------------------------------------------------------------

static bool ready_out(struct ws_deflater *d, unsigned bits)
{
	if (d->out_bits == bits)
		return deflateReset(&d->out) == Z_OK;
	if (d->out_bits > 0)
		deflateEnd(&d->out);
	d->out = (z_stream){0};
	bool ok = deflateInit2(&d->out, LEVEL, Z_DEFLATED, -(int)bits, MEM_LEVEL, Z_DEFAULT_STRATEGY) == Z_OK;
	d->out_bits = ok ? bits : 0;
	return ok;
}

struct slice ms_ws_deflate(struct ws_deflater *d, unsigned window_bits, struct slice message)
{
	MS_ASSERT(window_bits >= 9 && window_bits <= MAX_BITS && message.n <= UINT32_MAX / 2);
	trim(&d->packed);
	ms_buf_clear(&d->packed);
	// What does not fit into the message's own length is not worth sending.
	if (message.n == 0 || !ready_out(d, window_bits) || !ms_buf_reserve(&d->packed, message.n + TAIL_BYTES))
		return MS_SLICE_EMPTY;
	d->out.next_in = (const Bytef *)message.p;
	d->out.avail_in = (uInt)message.n;
	d->out.next_out = (Bytef *)d->packed.p;
	d->out.avail_out = (uInt)(message.n + TAIL_BYTES);
	int rc = deflate(&d->out, Z_SYNC_FLUSH);
	size_t n = message.n + TAIL_BYTES - d->out.avail_out;
	// A flush that was finished leaves room.
	if (rc != Z_OK || d->out.avail_in > 0 || d->out.avail_out == 0)
		return MS_SLICE_EMPTY;
	MS_ASSERT(n > TAIL_BYTES && memcmp(d->packed.p + n - TAIL_BYTES, tail, TAIL_BYTES) == 0);
	return ms_slice(d->packed.p, n - TAIL_BYTES);
}

// --- In ----------------------------------------------------------------------------------------------

static bool ready_in(struct ws_deflater *d)
{
	if (d->has_in)
		return inflateReset(&d->in) == Z_OK;
	d->in = (z_stream){0};
	d->has_in = inflateInit2(&d->in, -MAX_BITS) == Z_OK;
	return d->has_in;
}

// Room behind what is inflated. One byte over the limit is let in, to see that there is more.
static enum ms_err make_room(struct ws_deflater *d, size_t max)
{
	struct buf *out = &d->inflated;
	if (out->n > max)
		return MS_ERR_LIMIT;
	size_t most = max + 1 - out->n, step = MS_MIN(MS_MAX(out->n, MIN_STEP), MAX_STEP);
	if (!ms_buf_reserve(out, MS_MIN(step, most)))
		return MS_ERR_NO_MEMORY;
	d->in.next_out = (Bytef *)out->p + out->n;
	d->in.avail_out = (uInt)MS_MIN(MS_MIN(out->cap - out->n, most), MAX_STEP);
	return MS_OK;
}

// Until the bytes are used up. `flush` Z_BLOCK stops behind each block.
static enum ms_err inflate_some(struct ws_deflater *d, struct slice bytes, int flush, size_t max)
{
	d->in.next_in = (const Bytef *)bytes.p;
	d->in.avail_in = (uInt)bytes.n;
	for (;;) {
		MS_TRY(make_room(d, max));
		uInt room = d->in.avail_out, had = d->in.avail_in;
		int rc = inflate(&d->in, flush);
		d->inflated.n += room - d->in.avail_out;
		if (rc == Z_MEM_ERROR)
			return MS_ERR_NO_MEMORY;
		if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
			return MS_ERR_HTTP_SYNTAX;
		// A final block does not end the message (RFC 7692 section 7.2.3.4), nor what later ones may refer to.
		if (rc == Z_STREAM_END && inflateResetKeep(&d->in) != Z_OK)
			return MS_ERR_HTTP_SYNTAX;
		bool still = rc == Z_BUF_ERROR || (had == d->in.avail_in && room == d->in.avail_out);
		if (d->in.avail_in == 0 && (still || d->in.avail_out > 0 || flush == Z_BLOCK))
			return d->inflated.n > max ? MS_ERR_LIMIT : MS_OK;
	}
}

// Behind a block nothing is under way, and the stream may end.
static bool at_boundary(const struct ws_deflater *d)
{
	return (d->in.data_type & 128) != 0;
}

enum ms_err ms_ws_inflate(struct ws_deflater *d, struct slice payload, size_t max_bytes, size_t max_ratio,
			  struct slice *ret_message)
{
	size_t by_ratio;
	MS_ASSERT(payload.n <= UINT32_MAX / 2 && max_bytes < SIZE_MAX / 4);
	ms_buf_clear(&d->inflated);
	if (MS_MUL_OVERFLOWS(payload.n, max_ratio, &by_ratio))
		by_ratio = SIZE_MAX / 4;
	size_t max = MS_MIN(max_bytes, MS_MAX(by_ratio, FREE_BYTES));
	if (payload.n > 0) { // nothing at all is what some make of nothing
		if (!ready_in(d))
			return MS_ERR_NO_MEMORY;
		MS_TRY(inflate_some(d, payload, Z_SYNC_FLUSH, max));
		MS_TRY(inflate_some(d, ms_slice(tail, TAIL_BYTES), Z_BLOCK, max));
		if (!at_boundary(d))
			return MS_ERR_HTTP_SYNTAX;
	}
	*ret_message = ms_buf_slice(&d->inflated);
	return MS_OK;
}
