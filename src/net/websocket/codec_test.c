// SPDX-License-Identifier: Apache-2.0
// The rules of RFC 6455 sections 5, 7 and 8, by section, each fed whole, by bytes and in pieces.
#include <stdio.h>

#include "net/websocket/codec_test_kit.h"

enum { F = 0x80, CONT = 0, TEXT = 1, BIN = 2, CLOSE = 8, PING = 9, PONG = 10, R1 = 0x40, R2 = 0x20, R3 = 0x10 };

struct part {
	unsigned first;
	struct slice payload;
};
#define P(first, text)                    \
	{                                 \
		first, MS_SLICE_LIT(text) \
	}

static void parts_expect(const char *file, int line, const struct part *parts, size_t count, const char *events)
{
	struct buf bytes;
	ms_buf_init(&bytes, 1 << 20);
	for (size_t i = 0; i < count; i++)
		kit_frame(&bytes, parts[i].first, parts[i].payload);
	kit_expect(file, line, ms_buf_slice(&bytes), false, events);
	ms_buf_fini(&bytes);
}
#define CASE(events, ...)                                                    \
	parts_expect(__FILE__, __LINE__, (const struct part[]){__VA_ARGS__}, \
		     sizeof((const struct part[]){__VA_ARGS__}) / sizeof(struct part), (events))

// --- 5.2 Base framing --------------------------------------------------------------------------------

TEST(websocket_5_2_reserved_bits_fail)
{
	static const unsigned opcodes[] = {TEXT, BIN, CLOSE, PING, PONG};
	for (size_t i = 0; i < MS_ARRAY_LEN(opcodes); i++) {
		for (unsigned bits = 1; bits < 8; bits++)
			CASE("failed(1002)", P(F | bits << 4 | opcodes[i], ""));
	}
	CASE("text(a) failed(1002)", P(F | TEXT, "a"), P(F | R2 | TEXT, "b"), P(F | TEXT, "c"));
	CASE("ping() failed(1002)", P(TEXT, "a"), P(F | PING, ""), P(F | R3 | CONT, "b"));
	CASE("failed(1002)", P(TEXT, "a"), P(F | R1 | CONT, "b"));
}

TEST(websocket_5_2_reserved_opcodes_fail)
{
	for (unsigned opcode = 3; opcode < 16; opcode++) {
		if (opcode >= CLOSE && opcode <= PONG)
			continue;
		CASE("failed(1002)", P(F | opcode, ""));
		CASE("failed(1002)", P(opcode, "abc"));
		CASE("text(x) failed(1002)", P(F | TEXT, "x"), P(F | opcode, "abc"), P(F | PING, ""));
	}
}

static void expect_odd(size_t n, unsigned length_bytes, const char *events)
{
	static char payload[70000];
	struct buf bytes;
	memset(payload, '*', sizeof(payload));
	ms_buf_init(&bytes, 1 << 20);
	kit_frame_odd(&bytes, F | BIN, ms_slice(payload, n), length_bytes, true);
	kit_frame(&bytes, F | PING, MS_SLICE_LIT("after"));
	EXPECT(ms_buf_slice(&bytes), false, events);
	ms_buf_fini(&bytes);
}

TEST(websocket_5_2_lengths_have_their_shortest_form)
{
	expect_odd(0, 2, "failed(1002)");
	expect_odd(125, 2, "failed(1002)");
	expect_odd(0, 8, "failed(1002)");
	expect_odd(126, 8, "failed(1002)");
	expect_odd(65535, 8, "failed(1002)");
	expect_odd(5, 0, "binary(*****) ping(after)");
}

TEST(websocket_5_2_lengths_at_their_borders)
{
	static const size_t sizes[] = {0, 1, 124, 125, 126, 127, 128, 65535, 65536, 65537, 70000};
	static char payload[70000];
	for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++) {
		struct buf bytes, whole, cut;
		ms_buf_init(&bytes, 1 << 20), ms_buf_init(&whole, 1 << 20), ms_buf_init(&cut, 1 << 20);
		for (size_t k = 0; k < sizeof(payload); k++)
			payload[k] = (char)(k * 7);
		kit_frame(&bytes, F | BIN, ms_slice(payload, sizes[i]));
		kit_run(ms_buf_slice(&bytes), false, SIZE_MAX, &whole);
		CHECK(whole.n > 0 && memcmp(whole.p, "binary", 6) == 0);
		for (size_t step = 1; step < 2000; step = step * 3 + 1) {
			kit_run(ms_buf_slice(&bytes), false, step, &cut);
			CHECK(ms_slice_eq(ms_buf_slice(&whole), ms_buf_slice(&cut)));
		}
		ms_buf_fini(&bytes), ms_buf_fini(&whole), ms_buf_fini(&cut);
	}
}

TEST(websocket_5_2_length_with_the_top_bit_fails)
{
	EXPECT(MS_SLICE_LIT("\x82\xff\x80\0\0\0\0\1\0\0abcd"), false, "failed(1002)");
	EXPECT(MS_SLICE_LIT("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff"
			    "abcd"),
	       false, "failed(1002)");
	EXPECT(MS_SLICE_LIT("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"
			    "abcd"),
	       false, "failed(1009)");
}

// --- 5.1, 5.3 Masks ----------------------------------------------------------------------------------

TEST(websocket_5_1_frames_without_mask_fail)
{
	static const unsigned first[] = {F | TEXT, F | BIN, F | PING, F | PONG, F | CLOSE, TEXT};
	for (size_t i = 0; i < MS_ARRAY_LEN(first); i++) {
		struct buf bytes;
		ms_buf_init(&bytes, 1 << 10);
		kit_frame_odd(&bytes, first[i], MS_SLICE_LIT(""), 0, false);
		EXPECT(ms_buf_slice(&bytes), false, "failed(1002)");
		ms_buf_fini(&bytes);
	}
}

TEST(websocket_5_3_masks_run_on)
{
	// Section 5.7 has this one.
	EXPECT(MS_SLICE_LIT("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), false, "text(Hello)");
	EXPECT(MS_SLICE_LIT("\x82\x86\0\0\0\0zeroes"), false, "binary(zeroes)");
	// A mask of its own for each frame of a message.
	EXPECT(MS_SLICE_LIT("\x01\x83\x01\x02\x03\x04`ay\x80\x83\x20\x20\x20\x20\x44\x45\x46"), false,
	       "text(acz"
	       "def)");
}

// --- 5.4 Fragments -----------------------------------------------------------------------------------

TEST(websocket_5_4_fragments_make_a_message)
{
	CASE("text(abc)", P(TEXT, "a"), P(CONT, "b"), P(F | CONT, "c"));
	CASE("binary(ab)", P(BIN, "a"), P(F | CONT, "b"));
	CASE("text()", P(TEXT, ""), P(CONT, ""), P(F | CONT, ""));
	CASE("text(mid)", P(TEXT, ""), P(CONT, "mid"), P(F | CONT, ""));
	CASE("text(ab) binary(cd)", P(TEXT, "a"), P(F | CONT, "b"), P(BIN, "c"), P(F | CONT, "d"));
}

TEST(websocket_5_4_nothing_to_continue_fails)
{
	CASE("failed(1002)", P(F | CONT, "a"), P(F | TEXT, "b"));
	CASE("failed(1002)", P(CONT, "a"), P(F | TEXT, "b"));
	CASE("text(ab) failed(1002)", P(TEXT, "a"), P(F | CONT, "b"), P(F | CONT, "c"));
	CASE("text(a) failed(1002)", P(F | TEXT, "a"), P(CONT, "c"));
}

TEST(websocket_5_4_messages_do_not_mix)
{
	CASE("failed(1002)", P(TEXT, "a"), P(F | TEXT, "b"));
	CASE("failed(1002)", P(TEXT, "a"), P(BIN, "b"), P(F | CONT, "c"));
	CASE("failed(1002)", P(BIN, "a"), P(CONT, "b"), P(F | BIN, "c"));
}

TEST(websocket_5_4_control_frames_stand_between_fragments)
{
	CASE("ping(p) text(ab)", P(TEXT, "a"), P(F | PING, "p"), P(F | CONT, "b"));
	CASE("pong(p) ping() text(abc)", P(TEXT, "a"), P(F | PONG, "p"), P(CONT, "b"), P(F | PING, ""),
	     P(F | CONT, "c"));
	CASE("close(1000,)", P(TEXT, "a"), P(F | CLOSE, "\x03\xe8"), P(F | CONT, "b"));
}

// --- 5.5 Control frames ------------------------------------------------------------------------------

TEST(websocket_5_5_control_frames_are_short_and_whole)
{
	static char payload[126];
	static const unsigned opcodes[] = {CLOSE, PING, PONG};
	memset(payload, 'x', sizeof(payload));
	for (size_t i = 0; i < MS_ARRAY_LEN(opcodes); i++) {
		struct buf bytes;
		ms_buf_init(&bytes, 1 << 10);
		kit_frame(&bytes, F | opcodes[i], ms_slice(payload, 126));
		EXPECT(ms_buf_slice(&bytes), false, "failed(1002)");
		ms_buf_clear(&bytes);
		kit_frame_odd(&bytes, F | opcodes[i], ms_slice(payload, 3), 2, true);
		EXPECT(ms_buf_slice(&bytes), false, "failed(1002)");
		ms_buf_clear(&bytes);
		kit_frame_odd(&bytes, F | opcodes[i], ms_slice(payload, 3), 8, true);
		EXPECT(ms_buf_slice(&bytes), false, "failed(1002)");
		ms_buf_fini(&bytes);
		CASE("failed(1002)", P(opcodes[i], ""));
		CASE("failed(1002)", P(opcodes[i], "ab"), P(F | CONT, "c"));
	}
}

TEST(websocket_5_5_2_pings_and_pongs)
{
	CASE("ping()", P(F | PING, ""));
	CASE("ping(Hello)", P(F | PING, "Hello"));
	CASE("pong()", P(F | PONG, "")); // 5.5.3: unasked, fine
	CASE("ping(\x01\xff\xfe) ping(2) pong(3)", P(F | PING, "\x01\xff\xfe"), P(F | PING, "2"), P(F | PONG, "3"));
}

TEST(websocket_5_5_1_close_frames)
{
	CASE("close(1005,)", P(F | CLOSE, ""));
	CASE("close(1000,)", P(F | CLOSE, "\x03\xe8"));
	CASE("close(1001,Hello)", P(F | CLOSE, "\x03\xe9Hello"));
	CASE("failed(1002)", P(F | CLOSE, "\x03")); // half a code
	CASE("failed(1007)", P(F | CLOSE, "\x03\xe8\xce\xba\xe1"));
	CASE("failed(1007)", P(F | CLOSE, "\x03\xe8\xff"));
	CASE("close(1000,\xce\xba)", P(F | CLOSE, "\x03\xe8\xce\xba"));
}

TEST(websocket_5_5_1_nothing_follows_a_close_frame)
{
	CASE("close(1000,)", P(F | CLOSE, "\x03\xe8"), P(F | TEXT, "a"), P(F | PING, ""), P(F | CLOSE, "\x03\xe8"));
	CASE("text(a) close(1000,)", P(F | TEXT, "a"), P(F | CLOSE, "\x03\xe8"), P(F | 3, ""));
}

TEST(websocket_5_5_1_longest_reason)
{
	char payload[125] = "\x03\xe8";
	struct buf bytes, want;
	memset(payload + 2, '*', 123);
	ms_buf_init(&bytes, 1 << 10), ms_buf_init(&want, 1 << 10);
	kit_frame(&bytes, F | CLOSE, ms_slice(payload, 125));
	ms_buf_printf(&want, "close(1000,%.123s)", payload + 2);
	ms_buf_append_char(&want, '\0');
	EXPECT(ms_buf_slice(&bytes), false, want.p);
	ms_buf_fini(&bytes), ms_buf_fini(&want);
}

// --- 7.4 Close codes ---------------------------------------------------------------------------------

TEST(websocket_7_4_close_codes)
{
	static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
					1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
	static const unsigned bad[] = {0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535};
	for (size_t i = 0; i < MS_ARRAY_LEN(good) + MS_ARRAY_LEN(bad); i++) {
		bool is_good = i < MS_ARRAY_LEN(good);
		unsigned code = is_good ? good[i] : bad[i - MS_ARRAY_LEN(good)];
		const char payload[2] = {(char)(code >> 8), (char)code};
		char want[40];
		struct buf bytes;
		ms_buf_init(&bytes, 1 << 10);
		kit_frame(&bytes, F | CLOSE, ms_slice(payload, 2));
		(void)snprintf(want, sizeof(want), is_good ? "close(%u,)" : "failed(1002)", code);
		EXPECT(ms_buf_slice(&bytes), false, want);
		CHECK_INT(ms_ws_close_code_valid(code), is_good);
		ms_buf_fini(&bytes);
	}
}

TEST(websocket_7_1_our_close_frames)
{
	char dst[MS_WS_CONTROL_MAX];
	char reason[200];
	CHECK_INT(ms_ws_write_close(1005, MS_SLICE_LIT("not sent"), dst), 0);
	CHECK_INT(ms_ws_write_close(1000, MS_SLICE_EMPTY, dst), 2);
	CHECK(memcmp(dst, "\x03\xe8", 2) == 0);
	CHECK_INT(ms_ws_write_close(4999, MS_SLICE_LIT("bye"), dst), 5);
	CHECK(memcmp(dst,
		     "\x13\x87"
		     "bye",
		     5) == 0);
	memset(reason, 'a', sizeof(reason));
	CHECK_INT(ms_ws_write_close(1000, ms_slice(reason, sizeof(reason)), dst), 125);
	memcpy(reason + 122, "\xce\xba", 2); // would be cut in the middle
	CHECK_INT(ms_ws_write_close(1000, ms_slice(reason, sizeof(reason)), dst), 124);
}

// --- 8.1 UTF-8 ---------------------------------------------------------------------------------------

static void expect_text(struct slice text, const char *events)
{
	struct buf bytes;
	ms_buf_init(&bytes, 1 << 16);
	kit_frame(&bytes, F | TEXT, text);
	EXPECT(ms_buf_slice(&bytes), false, events);
	ms_buf_clear(&bytes);
	for (size_t i = 0; i < text.n; i++) // a fragment for each byte
		kit_frame(&bytes, i == 0 ? TEXT : CONT, ms_slice_sub(text, i, 1));
	kit_frame(&bytes, F | (text.n == 0 ? TEXT : CONT), MS_SLICE_EMPTY);
	EXPECT(ms_buf_slice(&bytes), false, events);
	ms_buf_fini(&bytes);
}

TEST(websocket_8_1_text_is_utf8)
{
	static const char *const good[] = {
		"",
		"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
		"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
		"\x7f",
		"\xc2\x80",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xed\x9f\xbf",
		"\xee\x80\x80",
		"\xef\xbf\xbd",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf4\x8f\xbf\xbf",
		"\xf0\x9f\x98\x80",
	};
	static const char *const bad[] = {
		"\x80",
		"\xbf",
		"a\x80z",
		"\xc0\x80",
		"\xc1\xbf",
		"\xc2",
		"\xc2\x61",
		"\xe0\x80\xaf",
		"\xe0\x9f\xbf",
		"\xe0\xa0",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xf0\x80\x80\xaf",
		"\xf0\x8f\xbf\xbf",
		"\xf0\x90\x80",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xf8\x88\x80\x80\x80",
		"\xfc\x84\x80\x80\x80\x80",
		"\xfe",
		"\xff",
		"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(good); i++) {
		char want[100];
		(void)snprintf(want, sizeof(want), "text(%s)", good[i]);
		expect_text(ms_slice_cstr(good[i]), want);
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++)
		expect_text(ms_slice_cstr(bad[i]), "failed(1007)");
}

TEST(websocket_8_1_bad_text_fails_at_its_first_byte)
{
	struct buf bytes, got;
	ms_buf_init(&bytes, 1 << 10), ms_buf_init(&got, 1 << 10);
	// The message goes on, and never ends.
	kit_frame(&bytes, TEXT, MS_SLICE_LIT("\xce\xba\xe1\xbd\xb9\xf4\x90 and more"));
	kit_run(ms_slice(bytes.p, 2 + 4 + 7), false, SIZE_MAX, &got);
	CHECK_SLICE(ms_buf_slice(&got), "failed(1007)");
	kit_run(ms_slice(bytes.p, 2 + 4 + 6), false, SIZE_MAX, &got); // f4 alone may become something
	CHECK_SLICE(ms_buf_slice(&got), "");
	ms_buf_fini(&bytes), ms_buf_fini(&got);
	CASE("binary(\xff\xfe)", P(F | BIN, "\xff\xfe")); // nobody looks at these
	CASE("failed(1007)", P(F | TEXT, "\xe2\x82"));
	CASE("ping(\xff) text(\xe2\x82\xac)", P(TEXT, "\xe2\x82"), P(F | PING, "\xff"), P(F | CONT, "\xac"));
}

// --- 10.4 Limits -------------------------------------------------------------------------------------

TEST(websocket_10_4_messages_have_a_limit)
{
	static char payload[KIT_MAX_MESSAGE + 1];
	struct buf bytes, got;
	memset(payload, 'x', sizeof(payload));
	ms_buf_init(&bytes, 1 << 20), ms_buf_init(&got, 1 << 20);
	kit_frame(&bytes, F | BIN, ms_slice(payload, KIT_MAX_MESSAGE));
	kit_run(ms_buf_slice(&bytes), false, 1000, &got);
	CHECK(ms_slice_starts_with(ms_buf_slice(&got), MS_SLICE_LIT("binary[100000:")));
	ms_buf_clear(&bytes);
	kit_frame(&bytes, F | BIN, ms_slice(payload, KIT_MAX_MESSAGE + 1));
	kit_run(ms_slice(bytes.p, 14), false, SIZE_MAX, &got); // known from the head alone
	CHECK_SLICE(ms_buf_slice(&got), "failed(1009)");
	ms_buf_clear(&bytes);
	kit_frame(&bytes, BIN, ms_slice(payload, 60000));
	kit_frame(&bytes, CONT, ms_slice(payload, 40000));
	kit_frame(&bytes, F | CONT, ms_slice(payload, 1));
	kit_run(ms_buf_slice(&bytes), false, SIZE_MAX, &got);
	CHECK_SLICE(ms_buf_slice(&got), "failed(1009)");
	ms_buf_fini(&bytes), ms_buf_fini(&got);
}

TEST(websocket_announced_lengths_take_no_memory)
{
	struct ws_codec c;
	struct ws_event e;
	ms_ws_codec_init(&c, (size_t)1 << 30, NULL, KIT_RATIO);
	struct slice head = MS_SLICE_LIT("\x82\xff\0\0\0\0\x3f\xff\xff\xff\0\0\0\0abc");
	CHECK_INT(ms_ws_codec_next(&c, &head, &e), WS_EVENT_NONE);
	CHECK(c.message.n == 3 && c.message.cap < 10000);
	ms_ws_codec_fini(&c);
}

// --- Our frames --------------------------------------------------------------------------------------

TEST(websocket_5_2_our_heads_are_shortest_and_unmasked)
{
	uint8_t head[MS_WS_HEAD_MAX];
	CHECK_INT(ms_ws_write_head(WS_OP_TEXT, false, 0, head), 2);
	CHECK(head[0] == 0x81 && head[1] == 0);
	CHECK_INT(ms_ws_write_head(WS_OP_BINARY, false, 125, head), 2);
	CHECK(head[0] == 0x82 && head[1] == 125);
	CHECK_INT(ms_ws_write_head(WS_OP_BINARY, true, 126, head), 4);
	CHECK(head[0] == 0xc2 && head[1] == 126 && head[2] == 0 && head[3] == 126);
	CHECK_INT(ms_ws_write_head(WS_OP_BINARY, false, 65535, head), 4);
	CHECK(head[1] == 126 && head[2] == 255 && head[3] == 255);
	CHECK_INT(ms_ws_write_head(WS_OP_PING, false, 65536, head), 10);
	CHECK(memcmp(head, "\x89\x7f\0\0\0\0\0\1\0\0", 10) == 0);
}

static void some_messages(void)
{
	struct buf bytes;
	struct ws_event e;
	struct ws_codec c;
	struct ws_deflater *d = ms_ws_deflater_new();
	char packed[100];
	unsigned got = 0, failed = 0;
	if (d == NULL)
		return;
	ms_buf_init(&bytes, 1 << 16);
	kit_frame(&bytes, TEXT, MS_SLICE_LIT("some text"));
	kit_frame(&bytes, F | CONT, MS_SLICE_LIT(" and more"));
	if (!ms_test_allocation_failed())
		kit_frame(&bytes, F | R1 | TEXT, kit_deflate(MS_SLICE_LIT("packed packed packed"), 6, packed, 100));
	ms_ws_codec_init(&c, 1000, d, 100);
	struct slice input = ms_buf_slice(&bytes);
	for (enum ws_event_type type;
	     ms_buf_ok(&bytes) && (type = ms_ws_codec_next(&c, &input, &e)) != WS_EVENT_NONE;) {
		got += type == WS_EVENT_MESSAGE;
		failed += type == WS_EVENT_FAILED;
		CHECK(type == WS_EVENT_MESSAGE || (e.code == WS_CLOSE_SERVER && ms_test_allocation_failed()));
	}
	CHECK(ms_test_allocation_failed() || (got == 2 && failed == 0));
	(void)ms_ws_deflate(d, 15, MS_SLICE_LIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
	ms_ws_codec_fini(&c);
	ms_ws_deflater_free(d);
	ms_buf_fini(&bytes);
}

TEST(websocket_survives_missing_memory)
{
	ms_test_torture(some_messages);
}
