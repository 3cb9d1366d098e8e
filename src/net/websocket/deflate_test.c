// SPDX-License-Identifier: Apache-2.0
// permessage-deflate on messages: RFC 7692 sections 5, 6, 7.2 and 8.
#include <stdio.h>
#include <zlib.h>

#include "net/websocket/codec_test_kit.h"

enum { F = 0x80, CONT = 0, TEXT = 1, BIN = 2, PING = 9, R1 = 0x40 };

static void expect_payload(struct slice payload, const char *events)
{
	struct buf bytes;
	ms_buf_init(&bytes, 1 << 20);
	kit_frame(&bytes, F | R1 | TEXT, payload);
	EXPECT(ms_buf_slice(&bytes), true, events);
	ms_buf_clear(&bytes);
	for (size_t i = 0; i < payload.n; i++) {
		kit_frame(&bytes, i == 0 ? R1 | TEXT : CONT, ms_slice_sub(payload, i, 1));
		if (i == 0 && payload.n > 1)
			kit_frame(&bytes, F | PING, MS_SLICE_LIT("between"));
	}
	kit_frame(&bytes, F | (payload.n == 0 ? R1 | TEXT : CONT), MS_SLICE_EMPTY);
	char want[200];
	(void)snprintf(want, sizeof(want), "%s%s", payload.n > 1 ? "ping(between) " : "", events);
	EXPECT(ms_buf_slice(&bytes), true, want);
	ms_buf_fini(&bytes);
}

// The examples of section 7.2.3.
TEST(websocket_deflate_7_2_3_examples)
{
	expect_payload(MS_SLICE_LIT("\xf2\x48\xcd\xc9\xc9\x07\x00"), "text(Hello)");
	expect_payload(MS_SLICE_LIT("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), "text(Hello)"); // stored
	expect_payload(MS_SLICE_LIT("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), "text(Hello)");             // BFINAL
	expect_payload(MS_SLICE_LIT("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"),
		       "text(Hello)"); // two blocks
	expect_payload(MS_SLICE_LIT("\x00"), "text()");
	expect_payload(MS_SLICE_EMPTY, "text()");
}

// A context of the message before is not there (7.1.1.2: the client agreed to take none over).
TEST(websocket_deflate_7_1_1_no_context_is_taken_over)
{
	struct buf bytes;
	ms_buf_init(&bytes, 1 << 10);
	kit_frame(&bytes, F | R1 | TEXT, MS_SLICE_LIT("\xf2\x48\xcd\xc9\xc9\x07\x00"));
	kit_frame(&bytes, F | R1 | TEXT, MS_SLICE_LIT("\xf2\x00\x11\x00\x00")); // refers back by five
	EXPECT(ms_buf_slice(&bytes), true, "text(Hello) failed(1007)");
	ms_buf_fini(&bytes);
}

TEST(websocket_deflate_6_rsv1_marks_first_frames_alone)
{
	struct buf bytes;
	ms_buf_init(&bytes, 1 << 10);
	kit_frame(&bytes, R1 | TEXT, MS_SLICE_LIT("\xf2\x48\xcd"));
	kit_frame(&bytes, F | R1 | CONT, MS_SLICE_LIT("\xc9\xc9\x07\x00"));
	EXPECT(ms_buf_slice(&bytes), true, "failed(1002)");
	ms_buf_clear(&bytes);
	kit_frame(&bytes, F | R1 | PING, MS_SLICE_EMPTY);
	EXPECT(ms_buf_slice(&bytes), true, "failed(1002)");
	ms_buf_clear(&bytes);
	// Messages that are not compressed may stand between.
	kit_frame(&bytes, F | TEXT, MS_SLICE_LIT("plain"));
	kit_frame(&bytes, F | R1 | TEXT, MS_SLICE_LIT("\xf2\x48\xcd\xc9\xc9\x07\x00"));
	kit_frame(&bytes, F | BIN, MS_SLICE_LIT("plain"));
	EXPECT(ms_buf_slice(&bytes), true, "text(plain) text(Hello) binary(plain)");
	ms_buf_clear(&bytes);
	kit_frame(&bytes, F | R1 | 8, MS_SLICE_LIT("\x03\xe8"));
	EXPECT(ms_buf_slice(&bytes), true, "failed(1002)");
	ms_buf_fini(&bytes);
}

TEST(websocket_deflate_5_without_negotiation_fails)
{
	struct buf bytes;
	ms_buf_init(&bytes, 1 << 10);
	kit_frame(&bytes, F | R1 | TEXT, MS_SLICE_LIT("\xf2\x48\xcd\xc9\xc9\x07\x00"));
	EXPECT(ms_buf_slice(&bytes), false, "failed(1002)");
	ms_buf_fini(&bytes);
}

TEST(websocket_deflate_bad_data_fails)
{
	expect_payload(MS_SLICE_LIT("\xff\xff\xff\xff"), "failed(1007)");                 // reserved block type
	expect_payload(MS_SLICE_LIT("\x00\x05\x00\x05\x00\x48"), "failed(1007)");         // length and complement
	expect_payload(MS_SLICE_LIT("\x00\x05\x00\xfa\xff\x48\x65"), "failed(1007)");     // ends within a block
	expect_payload(MS_SLICE_LIT("\xf2\x48\xcd\xc9"), "failed(1007)");                 // likewise
	expect_payload(MS_SLICE_LIT("\x00\x02\x00\xfd\xff\xff\xfe\x00"), "failed(1007)"); // text that is not UTF-8
	expect_payload(MS_SLICE_LIT("\x00\x02\x00\xfd\xff\xe2\x82\x00"), "failed(1007)"); // cut within a character
	expect_payload(MS_SLICE_LIT("\x00\x03\x00\xfc\xff\xe2\x82\xac\x00"), "text(\xe2\x82\xac)");
}

// --- 8 Bombs -----------------------------------------------------------------------------------------

static void inflate_zeros(size_t n, size_t max, size_t ratio, enum ms_err want)
{
	static char text[20 << 20], packed[1 << 20];
	struct ws_deflater *d = ms_ws_deflater_new();
	struct slice got;
	REQUIRE(d != NULL && n <= sizeof(text));
	struct slice payload = kit_deflate(ms_slice(text, n), 9, packed, sizeof(packed));
	enum ms_err err = ms_ws_inflate(d, payload, max, ratio, &got);
	CHECK_INT(err, want);
	if (err == MS_OK)
		CHECK_INT(got.n, n);
	ms_ws_deflater_free(d);
}

TEST(websocket_deflate_8_bombs_stop)
{
	inflate_zeros(10 << 20, 20 << 20, 2000, MS_OK);
	inflate_zeros(10 << 20, 10 << 20, 2000, MS_OK);
	inflate_zeros((10 << 20) + 1, 10 << 20, 2000, MS_ERR_LIMIT);
	inflate_zeros(20 << 20, 1 << 20, 2000, MS_ERR_LIMIT);
	inflate_zeros(10 << 20, 20 << 20, 100, MS_ERR_LIMIT); // a thousand to one
	inflate_zeros(1 << 20, 20 << 20, 100, MS_OK);         // little is not judged
	inflate_zeros((1 << 20) + 1, 20 << 20, 100, MS_ERR_LIMIT);
	inflate_zeros(1000, 1000, 100, MS_OK);
	inflate_zeros(1001, 1000, 100, MS_ERR_LIMIT);
	// SIZE_MAX by the product
	inflate_zeros(1000, 1000, SIZE_MAX, MS_OK);
}

// --- Ours --------------------------------------------------------------------------------------------

static char noise(struct rand *r, size_t i)
{
	return (char)(i % 7 == 0 ? ms_rand_u64(r) : 'a' + i % 23);
}

TEST(websocket_deflate_7_2_1_what_we_send_inflates)
{
	static char text[200000];
	struct ws_deflater *d = ms_ws_deflater_new(), *other = ms_ws_deflater_new();
	REQUIRE(d != NULL && other != NULL);
	for (unsigned bits = 9; bits <= 15; bits++) {
		for (size_t n = 1; n < sizeof(text); n = n * 3 + 1) {
			for (size_t i = 0; i < n; i++)
				text[i] = noise(ms_test_rand(), i);
			struct slice packed = ms_ws_deflate(d, bits, ms_slice(text, n)), got = MS_SLICE_EMPTY;
			CHECK(packed.p == NULL || packed.n <= n);
			CHECK(packed.p != NULL || n < 1000);
			if (packed.p == NULL)
				continue;
			CHECK_OK(ms_ws_inflate(other, packed, n, 1000, &got));
			CHECK(ms_slice_eq(got, ms_slice(text, n)));
		}
	}
	CHECK(ms_ws_deflate(d, 15, MS_SLICE_EMPTY).p == NULL);
	ms_ws_deflater_free(d);
	ms_ws_deflater_free(other);
}

// A client that keeps 512 bytes only must be able to read it (7.1.2.1).
TEST(websocket_deflate_7_1_2_1_window_is_kept)
{
	static char text[8000];
	struct ws_deflater *d = ms_ws_deflater_new();
	REQUIRE(d != NULL);
	for (unsigned bits = 9; bits <= 15; bits += 3) {
		uint64_t r = 1;
		for (size_t i = 0; i < sizeof(text); i++) {
			r = r * 6364136223846793005u + 1442695040888963407u;
			text[i] = i < 4000 ? (char)('a' + (r >> 60)) : text[i - 4000]; // repeats at a distance of 4,000
		}
		struct slice packed = ms_ws_deflate(d, bits, ms_slice(text, sizeof(text)));
		char out[8000 + 100];
		z_stream z = {0};
		REQUIRE(packed.p != NULL && inflateInit2(&z, -(int)bits) == Z_OK);
		z.next_in = (Bytef *)(uintptr_t)packed.p;
		z.avail_in = (uInt)packed.n;
		z.next_out = (Bytef *)out;
		while (z.total_out < sizeof(text)) { // in pieces: what is in the window alone can be referred to
			z.avail_out = 100;
			if (inflate(&z, Z_SYNC_FLUSH) != Z_OK)
				break;
		}
		CHECK_INT(z.total_out, sizeof(text));
		CHECK(memcmp(out, text, sizeof(text)) == 0);
		inflateEnd(&z);
	}
	ms_ws_deflater_free(d);
}

TEST(websocket_deflate_random_messages)
{
	static char text[50000], packed[60000];
	struct rand *r = ms_test_rand();
	for (size_t round = 0; round < ms_test_rounds(200); round++) {
		size_t n = ms_rand_u64(r) % sizeof(text);
		struct buf bytes, whole, cut;
		ms_buf_init(&bytes, 1 << 20), ms_buf_init(&whole, 1 << 20), ms_buf_init(&cut, 1 << 20);
		for (size_t i = 0; i < n; i++)
			text[i] = noise(r, i);
		struct slice payload =
			kit_deflate(ms_slice(text, n), (int)(ms_rand_u64(r) % 10), packed, sizeof(packed));
		size_t at = payload.n > 0 ? ms_rand_u64(r) % payload.n : 0;
		kit_frame(&bytes, R1 | BIN, ms_slice_sub(payload, 0, at));
		kit_frame(&bytes, F | CONT, ms_slice_sub(payload, at, SIZE_MAX));
		kit_frame(&whole, F | BIN, ms_slice(text, n)); // the same, plain
		kit_run(ms_buf_slice(&whole), true, SIZE_MAX, &cut);
		kit_run(ms_buf_slice(&bytes), true, 1 + ms_rand_u64(r) % 5000, &whole);
		CHECK(ms_slice_eq(ms_buf_slice(&whole), ms_buf_slice(&cut)));
		ms_buf_fini(&bytes), ms_buf_fini(&whole), ms_buf_fini(&cut);
	}
}
