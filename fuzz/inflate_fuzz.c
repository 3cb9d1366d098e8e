// SPDX-License-Identifier: Apache-2.0
// Compressed bodies. Six characters of instructions, then text, so that the corpus is text too: the text is
// compressed, damaged as told, and inflated; or taken as it is. The limits must hold, the outcome must not
// depend on how the body is cut, and what was not damaged must come back.
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "net/compress.h"

#define MAX_BYTES ((size_t)1 << 20)
static const struct inflate_limits LIMITS = {.max_bytes = MAX_BYTES, .max_ratio = 100};

static enum ms_err inflate_body(struct codec_pool *pool, enum content_coding coding, struct slice body, size_t step,
				struct buf *out)
{
	struct inflater *f;
	enum ms_err err = ms_inflater_take(pool, coding, &LIMITS, &f);
	MS_ASSERT(err == MS_OK);
	while (err == MS_OK && body.n > 0) {
		size_t n = MS_MIN(step, body.n);
		char *piece = malloc(n);
		MS_ASSERT(piece != NULL);
		memcpy(piece, body.p, n);
		struct errinfo info;
		ms_errinfo_init(&info);
		err = ms_inflater_write(f, ms_slice(piece, n), out, &info);
		MS_ASSERT(err == MS_OK || info.message[0] != '\0');
		free(piece);
		body = ms_slice_sub(body, n, SIZE_MAX);
	}
	if (err == MS_OK)
		err = ms_inflater_end(f, NULL);
	ms_inflater_give(f);
	MS_ASSERT(out->n <= LIMITS.max_bytes);
	return err;
}

struct plan {
	enum content_coding coding;
	bool raw;       // the text is the compressed body
	size_t step;    // bytes a piece
	size_t members; // gzip members or zstd frames
	size_t repeats; // of the text, in each
	size_t cut;     // bytes taken off the end
	size_t flip_at; // from the end
	uint8_t flip;   // bits of that byte
};

// The characters count from '0', so that "000000" is the plain case.
static struct plan read_plan(const uint8_t *c)
{
	unsigned mode = (unsigned)(c[0] - '0');
	struct plan p = {
		.coding = mode & 1 ? CODING_ZSTD : CODING_GZIP,
		.raw = (mode & 2) != 0,
		.step = 1 + (mode >> 2 & 31),
		.members = 1 + (unsigned)(c[1] - '0') % 4,
		.repeats = 1 + (unsigned)(c[2] - '0') % 16 * 100,
		.cut = (uint8_t)(c[3] - '0'),
		.flip_at = (uint8_t)(c[4] - '0'),
		.flip = (uint8_t)(c[5] - '0'),
	};
	return p;
}

static void pack(struct codec_pool *pool, const struct plan *p, struct slice text, struct buf *out)
{
	struct compressor *c;
	enum ms_err err = ms_compressor_take(pool, p->coding, text.n * p->repeats, &c);
	MS_ASSERT(err == MS_OK);
	for (size_t i = 0; i < p->repeats; i++) {
		err = ms_compressor_write(c, text, p->step == 1 ? COMPRESS_FLUSH : COMPRESS_MORE, out);
		MS_ASSERT(err == MS_OK);
	}
	err = ms_compressor_write(c, MS_SLICE_EMPTY, COMPRESS_END, out);
	MS_ASSERT(err == MS_OK);
	ms_compressor_give(c);
}

static void damage(const struct plan *p, struct buf *body)
{
	body->n -= MS_MIN(p->cut, body->n);
	if (p->flip_at < body->n)
		body->p[body->n - 1 - p->flip_at] = (char)(body->p[body->n - 1 - p->flip_at] ^ p->flip);
}

static void check_text(const struct plan *p, struct slice text, struct slice back)
{
	MS_ASSERT(back.n == text.n * p->repeats * p->members);
	for (; back.n > 0; back = ms_slice_sub(back, text.n, SIZE_MAX))
		MS_ASSERT(ms_slice_starts_with(back, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 6 || size > 4096)
		return 0;
	struct plan p = read_plan(data);
	struct slice text = ms_slice(data + 6, size - 6);
	struct codec_pool *pool = ms_codec_pool_new(1);
	struct buf body, whole, cut;
	MS_ASSERT(pool != NULL);
	ms_buf_init(&body, 64 * MAX_BYTES);
	ms_buf_init(&whole, 2 * MAX_BYTES);
	ms_buf_init(&cut, 2 * MAX_BYTES);
	if (p.raw)
		ms_buf_append_slice(&body, text);
	else
		for (size_t i = 0; i < p.members; i++)
			pack(pool, &p, text, &body);
	damage(&p, &body);
	enum ms_err whole_err = inflate_body(pool, p.coding, ms_buf_slice(&body), SIZE_MAX, &whole);
	enum ms_err cut_err = inflate_body(pool, p.coding, ms_buf_slice(&body), p.step, &cut);
	// A body that is both damaged and too large may fail for either reason: a decoder that sees more of it at
	// once notices the damage before it gives out what lies before.
	MS_ASSERT((whole_err == MS_OK) == (cut_err == MS_OK));
	MS_ASSERT(whole_err != MS_OK || ms_slice_eq(ms_buf_slice(&whole), ms_buf_slice(&cut)));
	bool intact = !p.raw && p.cut == 0 && p.flip == 0;
	MS_ASSERT(!intact || whole_err == MS_OK || whole_err == MS_ERR_HTTP_BODY_TOO_LARGE);
	if (intact && whole_err == MS_OK)
		check_text(&p, text, ms_buf_slice(&whole));
	ms_buf_fini(&body);
	ms_buf_fini(&whole);
	ms_buf_fini(&cut);
	ms_codec_pool_free(pool);
	return 0;
}
