// SPDX-License-Identifier: Apache-2.0
#include "net/compress.h"

#include <stdio.h>
#include <stdlib.h>
#include <zlib.h>

#include "tests/lib/test.h"

static const enum content_coding codings[] = {CODING_GZIP, CODING_ZSTD};
static const struct inflate_limits GENEROUS = {.max_bytes = 16 << 20, .max_ratio = 1000000};

static struct codec_pool *new_pool(void)
{
	struct codec_pool *pool = ms_codec_pool_new(2);
	REQUIRE(pool != NULL);
	return pool;
}

static void pack(struct codec_pool *pool, enum content_coding coding, struct slice data, uint64_t size, bool pieces,
		 struct buf *out)
{
	struct compressor *c;
	REQUIRE(ms_compressor_take(pool, coding, size, &c) == MS_OK);
	while (pieces && data.n > 0) {
		size_t n = 1 + ms_rand_below(ms_test_rand(), 5000);
		enum compress_step step = ms_rand_below(ms_test_rand(), 4) == 0 ? COMPRESS_FLUSH : COMPRESS_MORE;
		CHECK_OK(ms_compressor_write(c, ms_slice_sub(data, 0, n), step, out));
		data = ms_slice_sub(data, n, SIZE_MAX);
	}
	CHECK_OK(ms_compressor_write(c, data, COMPRESS_END, out));
	ms_compressor_give(c);
}

// Inflates in pieces of at most `step` bytes, each in an allocation of exact size.
static enum ms_err inflate_steps(struct codec_pool *pool, enum content_coding coding, struct slice data,
				 const struct inflate_limits *limits, size_t step, struct buf *out,
				 struct errinfo *info)
{
	struct inflater *f;
	enum ms_err err = MS_OK;
	ms_errinfo_init(info);
	REQUIRE(ms_inflater_take(pool, coding, limits, &f) == MS_OK);
	while (err == MS_OK && data.n > 0) {
		size_t n = MS_MIN(step, data.n);
		char *piece = malloc(n);
		REQUIRE(piece != NULL);
		memcpy(piece, data.p, n);
		err = ms_inflater_write(f, ms_slice(piece, n), out, info);
		free(piece);
		data = ms_slice_sub(data, n, SIZE_MAX);
	}
	if (err == MS_OK)
		err = ms_inflater_end(f, info);
	ms_inflater_give(f);
	return err;
}

// JSON-like, noise, or a repeated byte.
static void fill(struct buf *b, size_t n, size_t kind)
{
	while (b->n < n) {
		uint64_t r = ms_rand_u64(ms_test_rand());
		if (kind == 0)
			ms_buf_printf(b, "{\"feature_%u\": %.3f},", (unsigned)(r % 30), (double)(r % 100000) / 7);
		else if (kind == 1)
			ms_buf_append(b, &r, sizeof(r));
		else
			ms_buf_append_char(b, 'x');
	}
	b->n = n;
}

TEST(compress_round_trip)
{
	static const size_t sizes[] = {0, 1, 100, 1024, 65535, 65536, 300000};
	static const size_t steps[] = {1, 1000, SIZE_MAX};
	struct codec_pool *pool = new_pool();
	for (size_t c = 0; c < MS_ARRAY_LEN(codings); c++) {
		for (size_t i = 0; i < MS_ARRAY_LEN(sizes) * 3; i++) {
			struct buf data, packed, back;
			struct errinfo info;
			ms_buf_init(&data, 1 << 20);
			ms_buf_init(&packed, 1 << 20);
			ms_buf_init(&back, 1 << 20);
			fill(&data, sizes[i / 3], i % 3);
			bool known = ms_rand_below(ms_test_rand(), 2) == 0;
			pack(pool, codings[c], ms_buf_slice(&data), known ? data.n : UINT64_MAX,
			     ms_rand_below(ms_test_rand(), 2) == 0, &packed);
			for (size_t s = 0; s < MS_ARRAY_LEN(steps); s++) {
				ms_buf_clear(&back);
				if (!CHECK_OK(inflate_steps(pool, codings[c], ms_buf_slice(&packed), &GENEROUS,
							    steps[s], &back, &info)))
					printf("# %s\n", info.message);
				CHECK(ms_slice_eq(ms_buf_slice(&data), ms_buf_slice(&back)));
			}
			if (sizes[i / 3] == 300000 && i % 3 == 0)
				CHECK(packed.n < data.n / 2);
			ms_buf_fini(&data);
			ms_buf_fini(&packed);
			ms_buf_fini(&back);
		}
	}
	ms_codec_pool_free(pool);
}

// What was flushed can be read without what follows: streams reach the client in time.
TEST(compress_flush_lets_everything_out)
{
	struct codec_pool *pool = new_pool();
	for (size_t c = 0; c < MS_ARRAY_LEN(codings); c++) {
		struct compressor *writer;
		struct inflater *reader;
		struct buf packed, back;
		ms_buf_init(&packed, 1 << 20);
		ms_buf_init(&back, 1 << 20);
		REQUIRE(ms_compressor_take(pool, codings[c], UINT64_MAX, &writer) == MS_OK);
		REQUIRE(ms_inflater_take(pool, codings[c], &GENEROUS, &reader) == MS_OK);
		for (unsigned i = 0; i < 50; i++) {
			char event[32];
			int n = snprintf(event, sizeof(event), "event %u\n", i);
			ms_buf_clear(&packed);
			ms_buf_clear(&back);
			CHECK_OK(ms_compressor_write(writer, ms_slice(event, (size_t)n), COMPRESS_FLUSH, &packed));
			CHECK_OK(ms_inflater_write(reader, ms_buf_slice(&packed), &back, NULL));
			CHECK_SLICE(ms_buf_slice(&back), event);
		}
		CHECK_INT(ms_inflater_end(reader, NULL), MS_ERR_HTTP_SYNTAX);
		ms_compressor_give(writer); // not ended: the client is gone
		ms_inflater_give(reader);
		ms_buf_fini(&packed);
		ms_buf_fini(&back);
	}
	ms_codec_pool_free(pool);
}

// A context that failed or was left half-way starts clean the next time.
TEST(compress_contexts_are_reused_clean)
{
	struct codec_pool *pool = ms_codec_pool_new(1);
	REQUIRE(pool != NULL);
	for (size_t c = 0; c < MS_ARRAY_LEN(codings); c++) {
		struct compressor *first, *second;
		struct inflater *f, *again;
		struct buf out, back;
		struct errinfo info;
		ms_buf_init(&out, 1 << 20);
		ms_buf_init(&back, 1 << 20);
		REQUIRE(ms_compressor_take(pool, codings[c], UINT64_MAX, &first) == MS_OK);
		CHECK_OK(ms_compressor_write(first, MS_SLICE_LIT("secret of another client"), COMPRESS_MORE, &out));
		ms_compressor_give(first);
		REQUIRE(ms_compressor_take(pool, codings[c], 5, &second) == MS_OK);
		CHECK(first == second);
		ms_buf_clear(&out);
		CHECK_OK(ms_compressor_write(second, MS_SLICE_LIT("hello"), COMPRESS_END, &out));
		ms_compressor_give(second);
		REQUIRE(ms_inflater_take(pool, codings[c], &GENEROUS, &f) == MS_OK);
		CHECK_INT(ms_inflater_write(f, MS_SLICE_LIT("neither gzip nor zstd"), &back, NULL), MS_ERR_HTTP_SYNTAX);
		ms_inflater_give(f);
		REQUIRE(ms_inflater_take(pool, codings[c], &GENEROUS, &again) == MS_OK);
		CHECK(f == again);
		ms_inflater_give(again);
		CHECK_OK(inflate_steps(pool, codings[c], ms_buf_slice(&out), &GENEROUS, 3, &back, &info));
		CHECK_SLICE(ms_buf_slice(&back), "hello");
		ms_buf_fini(&out);
		ms_buf_fini(&back);
	}
	ms_codec_pool_free(pool);
}

TEST(compress_stops_at_the_limit_of_its_buffer)
{
	struct codec_pool *pool = new_pool();
	for (size_t c = 0; c < MS_ARRAY_LEN(codings); c++) {
		struct buf noise, out;
		ms_buf_init(&noise, 1 << 20);
		ms_buf_init(&out, 5000);
		fill(&noise, 200000, 1);
		struct compressor *z;
		REQUIRE(ms_compressor_take(pool, codings[c], UINT64_MAX, &z) == MS_OK);
		CHECK_INT(ms_compressor_write(z, ms_buf_slice(&noise), COMPRESS_END, &out), MS_ERR_LIMIT);
		CHECK(out.n <= 5000);
		ms_compressor_give(z);
		ms_buf_fini(&noise);
		ms_buf_fini(&out);
	}
	ms_codec_pool_free(pool);
}

// --- Damaged input -----------------------------------------------------------------------------------

// Compressed "hello hello hello hello".
static void make_body(struct codec_pool *pool, enum content_coding coding, struct buf *out)
{
	pack(pool, coding, MS_SLICE_LIT("hello hello hello hello"), UINT64_MAX, false, out);
}

static void check_inflate(struct codec_pool *pool, enum content_coding coding, const struct buf *body, enum ms_err want,
			  const char *message, const char *text)
{
	static const size_t steps[] = {1, 2, 7, SIZE_MAX};
	for (size_t i = 0; i < MS_ARRAY_LEN(steps); i++) {
		struct buf back;
		struct errinfo info;
		ms_buf_init(&back, 1 << 20);
		enum ms_err err = inflate_steps(pool, coding, ms_buf_slice(body), &GENEROUS, steps[i], &back, &info);
		bool ok = CHECK_INT(err, want);
		if (want == MS_OK)
			ok &= CHECK_SLICE(ms_buf_slice(&back), text);
		else
			ok &= CHECK_HAS(info.message, message);
		if (!ok)
			printf("# %s in steps of %zu\n", ms_coding_name(coding), steps[i]);
		ms_buf_fini(&back);
	}
}

TEST(inflate_joins_members_and_refuses_garbage)
{
	struct codec_pool *pool = new_pool();
	for (size_t c = 0; c < MS_ARRAY_LEN(codings); c++) {
		struct buf body;
		ms_buf_init(&body, 1 << 16);
		make_body(pool, codings[c], &body);
		size_t one = body.n;
		make_body(pool, codings[c], &body);
		check_inflate(pool, codings[c], &body, MS_OK, "", "hello hello hello hellohello hello hello hello");
		for (size_t n = 1; n < one; n++) { // the second one is cut
			struct buf cut = body;
			cut.n = one + n;
			check_inflate(pool, codings[c], &cut, MS_ERR_HTTP_SYNTAX, "cut short", NULL);
			cut.n = n;
			check_inflate(pool, codings[c], &cut, MS_ERR_HTTP_SYNTAX, "cut short", NULL);
		}
		body.n = one;
		ms_buf_append_cstr(&body, "garbage");
		check_inflate(pool, codings[c], &body, MS_ERR_HTTP_SYNTAX, "is damaged near byte", NULL);
		body.n = one;
		ms_buf_append(&body, "\0\0\0\0\0\0\0\0\0\0\0\0", 12); // padding of tape blocks: refused as well
		check_inflate(pool, codings[c], &body, MS_ERR_HTTP_SYNTAX, "is damaged near byte", NULL);
		ms_buf_clear(&body);
		check_inflate(pool, codings[c], &body, MS_ERR_HTTP_SYNTAX, "cut short", NULL);
		ms_buf_fini(&body);
	}
	ms_codec_pool_free(pool);
}

// Any flipped bit is seen or harmless (in the gzip header); nothing crashes or hangs.
TEST(inflate_survives_every_flipped_bit)
{
	struct codec_pool *pool = new_pool();
	unsigned refused = 0;
	for (size_t c = 0; c < MS_ARRAY_LEN(codings); c++) {
		struct buf body;
		ms_buf_init(&body, 1 << 16);
		make_body(pool, codings[c], &body);
		for (size_t i = 0; i < body.n * 8; i++) {
			struct buf back;
			struct errinfo info;
			ms_buf_init(&back, 1 << 20);
			body.p[i / 8] = (char)(body.p[i / 8] ^ (1 << i % 8));
			enum ms_err err =
				inflate_steps(pool, codings[c], ms_buf_slice(&body), &GENEROUS, 5, &back, &info);
			CHECK(err == MS_OK || err == MS_ERR_HTTP_SYNTAX || err == MS_ERR_HTTP_BODY_TOO_LARGE);
			refused += err != MS_OK;
			body.p[i / 8] = (char)(body.p[i / 8] ^ (1 << i % 8));
			ms_buf_fini(&back);
		}
		ms_buf_fini(&body);
	}
	CHECK(refused > 200);
	ms_codec_pool_free(pool);
}

TEST(inflate_takes_gzip_only_as_gzip)
{
	struct codec_pool *pool = new_pool();
	struct buf body;
	Bytef packed[256];
	uLongf n = sizeof(packed);
	ms_buf_init(&body, 1 << 16);
	REQUIRE(compress2(packed, &n, (const Bytef *)"hello", 5, 6) == Z_OK); // zlib framing: HTTP's "deflate"
	ms_buf_append(&body, packed, n);
	check_inflate(pool, CODING_GZIP, &body, MS_ERR_HTTP_SYNTAX, "is damaged", NULL);
	check_inflate(pool, CODING_DEFLATE, &body, MS_OK, NULL, "hello");
	ms_buf_append_char(&body, 'x');
	check_inflate(pool, CODING_DEFLATE, &body, MS_ERR_HTTP_SYNTAX, "behind the end", NULL);
	ms_buf_clear(&body);
	make_body(pool, CODING_ZSTD, &body);
	check_inflate(pool, CODING_GZIP, &body, MS_ERR_HTTP_SYNTAX, "is damaged", NULL);
	ms_buf_clear(&body);
	make_body(pool, CODING_GZIP, &body);
	check_inflate(pool, CODING_ZSTD, &body, MS_ERR_HTTP_SYNTAX, "is damaged", NULL);
	ms_buf_fini(&body);
	ms_codec_pool_free(pool);
}

// A frame that asks for a window of 16 MiB, and one that needs a dictionary (RFC 8878 section 3.1.1).
TEST(inflate_refuses_zstd_frames_that_cost_too_much)
{
	static const struct {
		struct slice body;
		const char *message;
	} cases[] = {
		// magic, descriptor 0x00, window descriptor: exponent 14 → 16 MiB; raw last block of one byte
		{MS_SLICE_LIT("\x28\xb5\x2f\xfd\x00\x70\x09\x00\x00x"), "too much memory"},
		// the same with 8 MiB is accepted
		{MS_SLICE_LIT("\x28\xb5\x2f\xfd\x00\x68\x09\x00\x00x"), NULL},
		// descriptor 0x01: dictionary 7
		{MS_SLICE_LIT("\x28\xb5\x2f\xfd\x01\x00\x07\x09\x00\x00x"), "Dictionary"},
	};
	struct codec_pool *pool = new_pool();
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct buf body;
		ms_buf_init(&body, 1 << 16);
		ms_buf_append_slice(&body, cases[i].body);
		check_inflate(pool, CODING_ZSTD, &body, cases[i].message == NULL ? MS_OK : MS_ERR_HTTP_SYNTAX,
			      cases[i].message, "x");
		ms_buf_fini(&body);
	}
	ms_codec_pool_free(pool);
}

// --- Bombs -------------------------------------------------------------------------------------------

TEST(inflate_limit_is_exact)
{
	struct codec_pool *pool = new_pool();
	for (size_t c = 0; c < MS_ARRAY_LEN(codings); c++) {
		static const size_t sizes[] = {1, 1000, 65536, 200000};
		for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++) {
			struct buf data, packed, back;
			struct errinfo info;
			ms_buf_init(&data, 1 << 20);
			ms_buf_init(&packed, 1 << 20);
			ms_buf_init(&back, 1 << 20);
			fill(&data, sizes[i], 0);
			pack(pool, codings[c], ms_buf_slice(&data), UINT64_MAX, false, &packed);
			struct inflate_limits limits = {.max_bytes = sizes[i], .max_ratio = 1000};
			CHECK_OK(inflate_steps(pool, codings[c], ms_buf_slice(&packed), &limits, 100, &back, &info));
			CHECK(ms_slice_eq(ms_buf_slice(&data), ms_buf_slice(&back)));
			limits.max_bytes--;
			ms_buf_clear(&back);
			CHECK_INT(inflate_steps(pool, codings[c], ms_buf_slice(&packed), &limits, 100, &back, &info),
				  MS_ERR_HTTP_BODY_TOO_LARGE);
			CHECK_HAS(info.message, "inflates to more than");
			CHECK(back.n <= limits.max_bytes);
			ms_buf_fini(&data);
			ms_buf_fini(&packed);
			ms_buf_fini(&back);
		}
	}
	ms_codec_pool_free(pool);
}

// 10 GiB of zeros as deflate blocks that each end on a byte and need nothing before them.
static void make_gzip_bomb(struct buf *out)
{
	enum { BLOCK = 1 << 20 };
	static const char header[10] = {0x1f, (char)0x8b, 8};
	char *zeros = calloc(1, BLOCK), *block = malloc(BLOCK);
	REQUIRE(zeros != NULL && block != NULL);
	z_stream z = {0};
	REQUIRE(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = (Bytef *)zeros;
	z.avail_in = BLOCK;
	z.next_out = (Bytef *)block;
	z.avail_out = BLOCK;
	REQUIRE(deflate(&z, Z_FULL_FLUSH) == Z_OK);
	size_t n = BLOCK - z.avail_out;
	deflateEnd(&z);
	ms_buf_append(out, header, sizeof(header));
	for (unsigned i = 0; i < 10 * 1024; i++)
		ms_buf_append(out, block, n);
	REQUIRE(ms_buf_ok(out));
	free(zeros);
	free(block);
}

// 10 GiB as blocks that repeat one byte 128 Ki times: four bytes each (RFC 8878 section 3.1.1.2).
static void make_zstd_bomb(struct buf *out)
{
	ms_buf_append(out, "\x28\xb5\x2f\xfd\x00\x68", 6);
	for (unsigned i = 0; i < 10 * 1024 * 8; i++)
		ms_buf_append(out, "\x02\x00\x10\x00", 4);
	REQUIRE(ms_buf_ok(out));
}

TEST(inflate_stops_bombs_early)
{
	struct codec_pool *pool = new_pool();
	for (size_t c = 0; c < MS_ARRAY_LEN(codings); c++) {
		struct buf bomb, back;
		struct errinfo info;
		ms_buf_init(&bomb, 32 << 20);
		ms_buf_init(&back, 64 << 20);
		if (codings[c] == CODING_GZIP)
			make_gzip_bomb(&bomb);
		else
			make_zstd_bomb(&bomb);
		// By ratio: a multiple of what was read so far, and nothing worth naming came out.
		struct inflate_limits limits = {.max_bytes = UINT64_C(1) << 40, .max_ratio = 100};
		CHECK_INT(inflate_steps(pool, codings[c], ms_buf_slice(&bomb), &limits, SIZE_MAX, &back, &info),
			  MS_ERR_HTTP_BODY_TOO_LARGE);
		CHECK_HAS(info.message, "more than 100 times");
		CHECK(back.n < 1 << 20);
		// By size alone.
		ms_buf_clear(&back);
		limits = (struct inflate_limits){.max_bytes = 16 << 20, .max_ratio = UINT64_MAX};
		CHECK_INT(inflate_steps(pool, codings[c], ms_buf_slice(&bomb), &limits, 4096, &back, &info),
			  MS_ERR_HTTP_BODY_TOO_LARGE);
		CHECK_HAS(info.message, "more than 16777216 bytes");
		CHECK_INT(back.n, 16 << 20);
		// By the maximum of the buffer, whatever the limits say.
		struct buf small;
		ms_buf_init(&small, 100000);
		limits.max_bytes = UINT64_MAX;
		CHECK_INT(inflate_steps(pool, codings[c], ms_buf_slice(&bomb), &limits, 4096, &small, &info),
			  MS_ERR_HTTP_BODY_TOO_LARGE);
		CHECK_INT(small.n, 100000);
		ms_buf_fini(&small);
		ms_buf_fini(&bomb);
		ms_buf_fini(&back);
	}
	ms_codec_pool_free(pool);
}

// Small bodies that shrink well are not bombs.
TEST(inflate_allows_small_repetitive_bodies)
{
	struct codec_pool *pool = new_pool();
	for (size_t c = 0; c < MS_ARRAY_LEN(codings); c++) {
		struct buf data, packed, back;
		struct errinfo info;
		ms_buf_init(&data, 1 << 20);
		ms_buf_init(&packed, 1 << 20);
		ms_buf_init(&back, 1 << 20);
		fill(&data, MS_INFLATE_FREE_BYTES, 2);
		pack(pool, codings[c], ms_buf_slice(&data), data.n, false, &packed);
		struct inflate_limits limits = {.max_bytes = 1 << 20, .max_ratio = 2};
		CHECK(packed.n * 2 < data.n);
		CHECK_OK(inflate_steps(pool, codings[c], ms_buf_slice(&packed), &limits, SIZE_MAX, &back, &info));
		fill(&data, MS_INFLATE_FREE_BYTES + 1, 2);
		ms_buf_clear(&packed);
		ms_buf_clear(&back);
		pack(pool, codings[c], ms_buf_slice(&data), data.n, false, &packed);
		CHECK_INT(inflate_steps(pool, codings[c], ms_buf_slice(&packed), &limits, SIZE_MAX, &back, &info),
			  MS_ERR_HTTP_BODY_TOO_LARGE);
		ms_buf_fini(&data);
		ms_buf_fini(&packed);
		ms_buf_fini(&back);
	}
	ms_codec_pool_free(pool);
}

static void code_in_short_memory(void)
{
	struct codec_pool *pool = ms_codec_pool_new(1);
	if (pool == NULL) {
		CHECK(ms_test_allocation_failed());
		return;
	}
	for (size_t c = 0; c < MS_ARRAY_LEN(codings); c++) {
		struct compressor *z = NULL;
		struct inflater *f = NULL;
		struct buf out, back;
		ms_buf_init(&out, 1 << 16);
		ms_buf_init(&back, 1 << 16);
		enum ms_err err = ms_compressor_take(pool, codings[c], UINT64_MAX, &z);
		if (err == MS_OK)
			err = ms_compressor_write(z, MS_SLICE_LIT("hello"), COMPRESS_END, &out);
		if (err == MS_OK)
			err = ms_inflater_take(pool, codings[c], &GENEROUS, &f);
		if (err == MS_OK)
			err = ms_inflater_write(f, ms_buf_slice(&out), &back, NULL);
		CHECK(err == MS_OK || (err == MS_ERR_NO_MEMORY && ms_test_allocation_failed()));
		ms_compressor_give(z);
		ms_inflater_give(f);
		ms_buf_fini(&out);
		ms_buf_fini(&back);
	}
	ms_codec_pool_free(pool);
}

TEST(compress_survives_failing_memory)
{
	ms_test_torture(code_in_short_memory);
}
