// SPDX-License-Identifier: Apache-2.0
// Streaming gzip (RFC 1952) and zstd (RFC 8878) for bodies, both ways; zlib (RFC 1950, HTTP's "deflate") is read only.
//
// Contexts are costly to make, so each loop keeps a codec_pool of idle ones. A pool and what was taken from
// it belong to one thread.
#ifndef MS_NET_COMPRESS_H
#define MS_NET_COMPRESS_H

#include "base/base.h"

enum content_coding { CODING_IDENTITY, CODING_GZIP, CODING_ZSTD, CODING_DEFLATE, CODING_COUNT };
// "gzip"; "identity".
const char *ms_coding_name(enum content_coding coding);
// For the Accept-Encoding header of a 415 answer.
#define MS_CODINGS_SUPPORTED "gzip, zstd, deflate"

struct codec_pool;
struct compressor;
struct inflater;

// Keeps at most max_idle contexts of each kind (gzip and zstd, in and out). NULL when out of memory.
MS_MUST_USE struct codec_pool *ms_codec_pool_new(unsigned max_idle);
// Everything taken was given back. Accepts NULL.
void ms_codec_pool_free(struct codec_pool *pool);

// One body to compress, gzip level 6 or zstd level 3. coding is gzip or zstd. `size` is the number of bytes
// to come, or UINT64_MAX when unknown (saves memory when known and small; then exactly that many must come).
// MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_compressor_take(struct codec_pool *pool, enum content_coding coding, uint64_t size,
					   struct compressor **ret_compressor);
enum compress_step {
	COMPRESS_MORE,  // output may stay inside
	COMPRESS_FLUSH, // everything so far comes out, so that the client can read it
	COMPRESS_END,   // ends the stream; only ms_compressor_give() may follow
};
// Appends to `out`. MS_ERR_LIMIT when `out` reached its maximum, MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_compressor_write(struct compressor *c, struct slice in, enum compress_step step,
					    struct buf *out);
// Back to the pool, whether ended or not. Accepts NULL.
void ms_compressor_give(struct compressor *c);

// A body being inflated stops with MS_ERR_HTTP_BODY_TOO_LARGE before more than max_bytes came out, or once
// the output passes max_ratio times the input read so far (outputs up to MS_INFLATE_FREE_BYTES are not
// judged by ratio: small repetitive bodies are honest).
#define MS_INFLATE_FREE_BYTES ((uint64_t)64 << 10)
struct inflate_limits {
	uint64_t max_bytes;
	uint64_t max_ratio;
};
MS_MUST_USE enum ms_err ms_inflater_take(struct codec_pool *pool, enum content_coding coding,
					 const struct inflate_limits *limits, struct inflater **ret_inflater);
// Appends what `in` inflates to. Several gzip members or zstd frames in a row are one body. Errors:
// MS_ERR_HTTP_BODY_TOO_LARGE (also when `out` reached its maximum), MS_ERR_HTTP_SYNTAX (damaged data, bytes
// behind the end, a zstd window above 8 MiB, a dictionary), MS_ERR_NO_MEMORY. After an error only give.
MS_MUST_USE enum ms_err ms_inflater_write(struct inflater *f, struct slice in, struct buf *out, struct errinfo *info);
// The body is over: MS_ERR_HTTP_SYNTAX when the stream is cut short.
MS_MUST_USE enum ms_err ms_inflater_end(struct inflater *f, struct errinfo *info);
// Accepts NULL.
void ms_inflater_give(struct inflater *f);

#endif
