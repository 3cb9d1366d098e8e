// SPDX-License-Identifier: Apache-2.0
#define ZLIB_CONST
#include "net/compress.h"

#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define GZIP_LEVEL 6
#define GZIP_WINDOW_BITS (15 + 16) // the largest window; + 16: gzip and not zlib framing
#define ZLIB_WINDOW_BITS 15
#define GZIP_MEM_LEVEL 8
#define ZSTD_LEVEL 3
// Streams of unknown length: 1 MiB, half of what the level would take.
#define ZSTD_WINDOW_LOG 20
// What RFC 9659 allows for the content coding; more would let a client make us reserve any amount.
#define ZSTD_MAX_WINDOW_LOG 23

// Output is made in steps, so that limits are met soon and small bodies take small buffers.
#define MIN_STEP ((size_t)1 << 10)
#define MAX_STEP ((size_t)64 << 10)
// zlib counts in unsigned int.
#define MAX_INPUT_STEP ((size_t)1 << 30)

struct compressor {
	struct compressor *next; // of the idle ones
	struct codec_pool *pool;
	enum content_coding coding;
	bool ended;
	z_stream gzip;
	ZSTD_CCtx *zstd;
};

struct inflater {
	struct inflater *next; // of the idle ones
	struct codec_pool *pool;
	enum content_coding coding;
	struct inflate_limits limits;
	uint64_t in_total;
	uint64_t out_total;
	bool complete; // the last member or frame has ended
	z_stream gzip;
	ZSTD_DCtx *zstd;
};

struct codec_pool {
	unsigned max_idle;
	unsigned idle_compressors[CODING_COUNT];
	unsigned idle_inflaters[CODING_COUNT];
	unsigned taken;
	struct compressor *compressors[CODING_COUNT];
	struct inflater *inflaters[CODING_COUNT];
};

const char *ms_coding_name(enum content_coding coding)
{
	static const char *const names[CODING_COUNT] = {[CODING_IDENTITY] = "identity",
							[CODING_GZIP] = "gzip",
							[CODING_ZSTD] = "zstd",
							[CODING_DEFLATE] = "deflate"};
	MS_ASSERT(coding < CODING_COUNT);
	return names[coding];
}

static const char *bytes_or_empty(struct slice s)
{
	return s.n > 0 ? s.p : "";
}

// Room behind out->n for `want` bytes, or fewer where the buffer's maximum is near: never 0 on success.
static enum ms_err make_room(struct buf *out, size_t want, size_t *ret_room)
{
	size_t room = MS_MIN(want, out->max - out->n);
	if (room == 0)
		return MS_ERR_LIMIT;
	if (!ms_buf_reserve(out, room))
		return MS_ERR_NO_MEMORY;
	*ret_room = MS_MIN(out->cap - out->n, MAX_STEP);
	return MS_OK;
}

// --- Compressing -------------------------------------------------------------------------------------

static void free_compressor(struct compressor *c)
{
	if (c->coding == CODING_GZIP)
		deflateEnd(&c->gzip);
	ZSTD_freeCCtx(c->zstd);
	free(c);
}

static struct compressor *new_compressor(struct codec_pool *pool, enum content_coding coding)
{
	struct compressor *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->pool = pool;
	c->coding = coding;
	bool ok;
	if (coding == CODING_GZIP) {
		ok = deflateInit2(&c->gzip, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEM_LEVEL,
				  Z_DEFAULT_STRATEGY) == Z_OK;
	} else {
		c->zstd = ZSTD_createCCtx();
		ok = c->zstd != NULL;
	}
	if (!ok) {
		free(c);
		return NULL;
	}
	return c;
}

static void start_compressor(struct compressor *c, uint64_t size)
{
	c->ended = false;
	if (c->coding == CODING_GZIP) {
		MS_ASSERT(deflateReset(&c->gzip) == Z_OK);
		return;
	}
	size_t failed = ZSTD_CCtx_reset(c->zstd, ZSTD_reset_session_and_parameters);
	failed |= ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_compressionLevel, ZSTD_LEVEL));
	failed |= ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd, ZSTD_c_windowLog, ZSTD_WINDOW_LOG));
	if (size != UINT64_MAX)
		failed |= ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(c->zstd, size));
	MS_ASSERT(failed == 0);
}

enum ms_err ms_compressor_take(struct codec_pool *pool, enum content_coding coding, uint64_t size,
			       struct compressor **ret_compressor)
{
	MS_ASSERT(coding == CODING_GZIP || coding == CODING_ZSTD);
	struct compressor *c = pool->compressors[coding];
	if (c != NULL) {
		pool->compressors[coding] = c->next;
		pool->idle_compressors[coding]--;
	} else {
		c = new_compressor(pool, coding);
		if (c == NULL)
			return MS_ERR_NO_MEMORY;
	}
	pool->taken++;
	start_compressor(c, size);
	*ret_compressor = c;
	return MS_OK;
}

static enum ms_err deflate_some(struct compressor *c, struct slice *in, int flush, struct buf *out, bool *ret_done)
{
	size_t room, in_step = MS_MIN(in->n, MAX_INPUT_STEP);
	MS_TRY(make_room(out, MS_MAX(MIN_STEP, MS_MIN(in->n / 4, MAX_STEP)), &room));
	bool last = in_step == in->n;
	c->gzip.next_in = (const Bytef *)bytes_or_empty(*in);
	c->gzip.avail_in = (uInt)in_step;
	c->gzip.next_out = (Bytef *)out->p + out->n;
	c->gzip.avail_out = (uInt)room;
	int status = deflate(&c->gzip, last ? flush : Z_NO_FLUSH);
	MS_ASSERT(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR);
	*in = ms_slice_sub(*in, in_step - c->gzip.avail_in, SIZE_MAX);
	out->n += room - c->gzip.avail_out;
	*ret_done = flush == Z_FINISH ? status == Z_STREAM_END : in->n == 0 && c->gzip.avail_out > 0;
	return MS_OK;
}

static enum ms_err zstd_some(struct compressor *c, struct slice *in, ZSTD_EndDirective step, struct buf *out,
			     bool *ret_done)
{
	size_t room;
	MS_TRY(make_room(out, MS_MAX(MIN_STEP, MS_MIN(in->n / 4, MAX_STEP)), &room));
	ZSTD_inBuffer from = {bytes_or_empty(*in), in->n, 0};
	ZSTD_outBuffer to = {out->p + out->n, room, 0};
	size_t left = ZSTD_compressStream2(c->zstd, &to, &from, step);
	if (ZSTD_isError(left)) {
		MS_ASSERT(ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation); // else: not the size announced
		return MS_ERR_NO_MEMORY;
	}
	*in = ms_slice_sub(*in, from.pos, SIZE_MAX);
	out->n += to.pos;
	*ret_done = in->n == 0 && (step == ZSTD_e_continue || left == 0);
	return MS_OK;
}

enum ms_err ms_compressor_write(struct compressor *c, struct slice in, enum compress_step step, struct buf *out)
{
	static const struct {
		int gzip;
		ZSTD_EndDirective zstd;
	} steps[] = {
		[COMPRESS_MORE] = {Z_NO_FLUSH, ZSTD_e_continue},
		[COMPRESS_FLUSH] = {Z_SYNC_FLUSH, ZSTD_e_flush},
		[COMPRESS_END] = {Z_FINISH, ZSTD_e_end},
	};
	MS_ASSERT(!c->ended && step < MS_ARRAY_LEN(steps));
	c->ended = step == COMPRESS_END;
	if (!ms_buf_ok(out))
		return MS_ERR_LIMIT;
	bool done = in.n == 0 && step == COMPRESS_MORE;
	while (!done)
		MS_TRY(c->coding == CODING_GZIP ? deflate_some(c, &in, steps[step].gzip, out, &done)
						: zstd_some(c, &in, steps[step].zstd, out, &done));
	return MS_OK;
}

void ms_compressor_give(struct compressor *c)
{
	if (c == NULL)
		return;
	struct codec_pool *pool = c->pool;
	pool->taken--;
	if (pool->idle_compressors[c->coding] == pool->max_idle) {
		free_compressor(c);
		return;
	}
	c->next = pool->compressors[c->coding];
	pool->compressors[c->coding] = c;
	pool->idle_compressors[c->coding]++;
}

// --- Inflating ---------------------------------------------------------------------------------------

static void free_inflater(struct inflater *f)
{
	if (f->coding != CODING_ZSTD)
		inflateEnd(&f->gzip);
	ZSTD_freeDCtx(f->zstd);
	free(f);
}

static struct inflater *new_inflater(struct codec_pool *pool, enum content_coding coding)
{
	struct inflater *f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	f->pool = pool;
	f->coding = coding;
	bool ok;
	if (coding != CODING_ZSTD) {
		ok = inflateInit2(&f->gzip, coding == CODING_GZIP ? GZIP_WINDOW_BITS : ZLIB_WINDOW_BITS) == Z_OK;
	} else {
		f->zstd = ZSTD_createDCtx();
		ok = f->zstd != NULL;
		MS_ASSERT(!ok ||
			  !ZSTD_isError(ZSTD_DCtx_setParameter(f->zstd, ZSTD_d_windowLogMax, ZSTD_MAX_WINDOW_LOG)));
	}
	if (!ok) {
		free(f);
		return NULL;
	}
	return f;
}

enum ms_err ms_inflater_take(struct codec_pool *pool, enum content_coding coding, const struct inflate_limits *limits,
			     struct inflater **ret_inflater)
{
	MS_ASSERT(coding != CODING_IDENTITY && limits->max_ratio > 0);
	struct inflater *f = pool->inflaters[coding];
	if (f != NULL) {
		pool->inflaters[coding] = f->next;
		pool->idle_inflaters[coding]--;
		if (coding != CODING_ZSTD)
			MS_ASSERT(inflateReset(&f->gzip) == Z_OK);
		else
			MS_ASSERT(!ZSTD_isError(ZSTD_DCtx_reset(f->zstd, ZSTD_reset_session_only)));
	} else {
		f = new_inflater(pool, coding);
		if (f == NULL)
			return MS_ERR_NO_MEMORY;
	}
	pool->taken++;
	f->limits = *limits;
	f->in_total = f->out_total = 0;
	f->complete = false;
	*ret_inflater = f;
	return MS_OK;
}

static MS_COLD enum ms_err fail_size(const struct inflater *f, struct errinfo *info)
{
	return ms_fail(info, MS_ERR_HTTP_BODY_TOO_LARGE, "the %s body inflates to more than %llu bytes",
		       ms_coding_name(f->coding), (unsigned long long)f->limits.max_bytes);
}

static MS_COLD enum ms_err fail_data(const struct inflater *f, const char *why, struct errinfo *info)
{
	if (info != NULL)
		info->offset = (int64_t)f->in_total;
	return ms_fail(info, MS_ERR_HTTP_SYNTAX, "the %s body is damaged near byte %llu: %s", ms_coding_name(f->coding),
		       (unsigned long long)f->in_total, why);
}

// One call of a decoder: what went in and came out.
struct progress {
	size_t in;
	size_t out;
	bool complete; // a member or frame ended here
};

static enum ms_err inflate_step(struct inflater *f, struct slice in, char *dst, size_t room, struct errinfo *info,
				struct progress *ret)
{
	bool next_member = f->complete;
	if (next_member && f->coding == CODING_DEFLATE)
		return fail_data(f, "bytes behind the end", info);
	if (next_member)
		MS_ASSERT(inflateReset(&f->gzip) == Z_OK);
	size_t in_step = MS_MIN(in.n, MAX_INPUT_STEP);
	f->gzip.next_in = (const Bytef *)bytes_or_empty(in);
	f->gzip.avail_in = (uInt)in_step;
	f->gzip.next_out = (Bytef *)dst;
	f->gzip.avail_out = (uInt)room;
	int status = inflate(&f->gzip, Z_NO_FLUSH);
	if (status == Z_MEM_ERROR)
		return ms_fail(info, MS_ERR_NO_MEMORY, "no memory to inflate the body");
	*ret = (struct progress){in_step - f->gzip.avail_in, room - f->gzip.avail_out, status == Z_STREAM_END};
	if (status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR)
		return MS_OK;
	f->in_total += ret->in;
	return fail_data(f, f->gzip.msg != NULL ? f->gzip.msg : "not data of this coding", info);
}

static enum ms_err zstd_step(struct inflater *f, struct slice in, char *dst, size_t room, struct errinfo *info,
			     struct progress *ret)
{
	ZSTD_inBuffer from = {bytes_or_empty(in), in.n, 0};
	ZSTD_outBuffer to = {dst, room, 0};
	size_t hint = ZSTD_decompressStream(f->zstd, &to, &from);
	if (!ZSTD_isError(hint)) {
		*ret = (struct progress){from.pos, to.pos, hint == 0};
		return MS_OK;
	}
	if (ZSTD_getErrorCode(hint) == ZSTD_error_memory_allocation)
		return ms_fail(info, MS_ERR_NO_MEMORY, "no memory to inflate the body");
	f->in_total += from.pos;
	return fail_data(f, ZSTD_getErrorName(hint), info);
}

// Where the next step may write: behind out->n, at most up to the limit. At the limit itself one byte is
// decoded into *spare: an honest stream ends there, another one gives itself away.
static enum ms_err find_room(const struct inflater *f, struct slice in, struct buf *out, char *spare,
			     struct errinfo *info, char **ret_dst, size_t *ret_room)
{
	size_t room = 1;
	uint64_t allowed = f->limits.max_bytes - f->out_total;
	*ret_dst = spare;
	if (allowed > 0 && out->n < out->max) {
		size_t want = (size_t)MS_MIN(allowed, (uint64_t)MS_MAX(MIN_STEP, MS_MIN(in.n, MAX_STEP / 4) * 4));
		if (make_room(out, want, &room) != MS_OK)
			return ms_fail(info, MS_ERR_NO_MEMORY, "no memory to inflate the body");
		room = (size_t)MS_MIN((uint64_t)room, allowed);
		*ret_dst = out->p + out->n;
	}
	*ret_room = room;
	return MS_OK;
}

static enum ms_err check_ratio(const struct inflater *f, struct errinfo *info)
{
	uint64_t allowed;
	if (f->out_total <= MS_INFLATE_FREE_BYTES || MS_MUL_OVERFLOWS(f->in_total, f->limits.max_ratio, &allowed) ||
	    f->out_total <= allowed)
		return MS_OK;
	return ms_fail(info, MS_ERR_HTTP_BODY_TOO_LARGE, "the %s body inflates to more than %llu times its size",
		       ms_coding_name(f->coding), (unsigned long long)f->limits.max_ratio);
}

enum ms_err ms_inflater_write(struct inflater *f, struct slice in, struct buf *out, struct errinfo *info)
{
	bool pending = false; // the last step filled its room: more may wait inside
	while (in.n > 0 || pending) {
		char spare, *dst;
		size_t room;
		struct progress step = {0};
		MS_TRY(find_room(f, in, out, &spare, info, &dst, &room));
		MS_TRY(f->coding != CODING_ZSTD ? inflate_step(f, in, dst, room, info, &step)
						: zstd_step(f, in, dst, room, info, &step));
		if (dst == &spare && step.out > 0)
			return fail_size(f, info);
		in = ms_slice_sub(in, step.in, SIZE_MAX);
		out->n += step.out;
		f->in_total += step.in;
		f->out_total += step.out;
		f->complete = step.complete;
		pending = !step.complete && step.out == room;
		MS_TRY(check_ratio(f, info));
	}
	return MS_OK;
}

enum ms_err ms_inflater_end(struct inflater *f, struct errinfo *info)
{
	return f->complete ? MS_OK : fail_data(f, "it is cut short", info);
}

void ms_inflater_give(struct inflater *f)
{
	if (f == NULL)
		return;
	struct codec_pool *pool = f->pool;
	pool->taken--;
	if (pool->idle_inflaters[f->coding] == pool->max_idle) {
		free_inflater(f);
		return;
	}
	f->next = pool->inflaters[f->coding];
	pool->inflaters[f->coding] = f;
	pool->idle_inflaters[f->coding]++;
}

// --- Pool --------------------------------------------------------------------------------------------

struct codec_pool *ms_codec_pool_new(unsigned max_idle)
{
	struct codec_pool *pool = calloc(1, sizeof(*pool));
	if (pool != NULL)
		pool->max_idle = max_idle;
	return pool;
}

void ms_codec_pool_free(struct codec_pool *pool)
{
	if (pool == NULL)
		return;
	MS_ASSERT(pool->taken == 0);
	for (unsigned i = 0; i < CODING_COUNT; i++) {
		for (struct compressor *c = pool->compressors[i], *next; c != NULL; c = next) {
			next = c->next;
			free_compressor(c);
		}
		for (struct inflater *f = pool->inflaters[i], *next; f != NULL; f = next) {
			next = f->next;
			free_inflater(f);
		}
	}
	free(pool);
}
