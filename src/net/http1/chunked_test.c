// SPDX-License-Identifier: Apache-2.0
#include "net/http1/http1.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/test.h"

#define MAX_TOTAL 1000

struct outcome {
	enum ms_err err;
	bool done;
	size_t used; // input bytes until done
	char message[MS_ERRINFO_MESSAGE_SIZE];
	struct buf data;
	struct buf trailers;
};

// Feeds the body in pieces of at most `step` bytes (0: random), each in an allocation of exact size.
static struct outcome decode(struct slice body, size_t step)
{
	struct outcome o = {0};
	struct chunked c;
	struct errinfo info;
	ms_errinfo_init(&info);
	ms_buf_init(&o.data, 1 << 16);
	ms_buf_init(&o.trailers, 1 << 16);
	ms_chunked_init(&c, MAX_TOTAL);
	c.trailers = &o.trailers;
	while (o.err == MS_OK && !o.done && o.used < body.n) {
		size_t n = step > 0 ? step : 1 + ms_rand_below(ms_test_rand(), 9);
		n = MS_MIN(n, body.n - o.used);
		char *piece = malloc(n);
		REQUIRE(piece != NULL);
		memcpy(piece, body.p + o.used, n);
		struct slice input = ms_slice(piece, n), data;
		do {
			o.err = ms_chunked_next(&c, &input, &info, &data, &o.done);
			if (o.err == MS_OK)
				ms_buf_append_slice(&o.data, data);
		} while (o.err == MS_OK && !o.done && data.n > 0);
		CHECK(o.err != MS_OK || o.done || input.n == 0);
		o.used += n - input.n;
		free(piece);
	}
	memcpy(o.message, info.message, sizeof(o.message));
	return o;
}

static struct outcome decode_all_ways(struct slice body)
{
	struct outcome whole = decode(body, SIZE_MAX);
	for (size_t step = 0; step <= 7; step++) {
		struct outcome o = decode(body, step);
		bool same = o.err == whole.err && o.done == whole.done && strcmp(o.message, whole.message) == 0 &&
			    (o.err != MS_OK || o.used == whole.used) &&
			    ms_slice_eq(ms_buf_slice(&o.data), ms_buf_slice(&whole.data)) &&
			    ms_slice_eq(ms_buf_slice(&o.trailers), ms_buf_slice(&whole.trailers));
		if (!CHECK(same))
			printf("# step %zu: %.*s: '%s' and '%s'\n", step, MS_SLICE_ARG(body), whole.message, o.message);
		ms_buf_fini(&o.data);
		ms_buf_fini(&o.trailers);
	}
	return whole;
}

TEST(chunked_refuses)
{
	static const struct {
		struct slice body;
		enum ms_err err;
		const char *message;
	} cases[] = {
		{MS_SLICE_LIT("\r\n"), MS_ERR_HTTP_FRAMING, "0x0d where a chunk size"},
		{MS_SLICE_LIT(" 5\r\n"), MS_ERR_HTTP_FRAMING, "0x20 where a chunk size"},
		{MS_SLICE_LIT("+5\r\n"), MS_ERR_HTTP_FRAMING, "0x2b where a chunk size"},
		{MS_SLICE_LIT("-5\r\n"), MS_ERR_HTTP_FRAMING, "0x2d where a chunk size"},
		{MS_SLICE_LIT(";a\r\n"), MS_ERR_HTTP_FRAMING, "0x3b where a chunk size"},
		{MS_SLICE_LIT("0x5\r\n"), MS_ERR_HTTP_FRAMING, "0x78 in a chunk size"},
		{MS_SLICE_LIT("5_0\r\n"), MS_ERR_HTTP_FRAMING, "0x5f in a chunk size"},
		{MS_SLICE_LIT("5 \r\n"), MS_ERR_HTTP_FRAMING, "0x20 in a chunk size"},
		{MS_SLICE_LIT("5\t;a\r\n"), MS_ERR_HTTP_FRAMING, "0x09 in a chunk size"},
		{MS_SLICE_LIT("g\r\n"), MS_ERR_HTTP_FRAMING, "0x67 where a chunk size"},
		{MS_SLICE_LIT("5\n"), MS_ERR_HTTP_FRAMING, "0x0a in a chunk size"},
		{MS_SLICE_LIT("5\rX"), MS_ERR_HTTP_FRAMING, "0x58 instead of LF after a chunk size"},
		{MS_SLICE_LIT("5\r\r\n"), MS_ERR_HTTP_FRAMING, "0x0d instead of LF after a chunk size"},
		{MS_SLICE_LIT("5;a\n"), MS_ERR_HTTP_FRAMING, "0x0a in a chunk extension"},
		{MS_SLICE_LIT("5;a\rb\r\n"), MS_ERR_HTTP_FRAMING, "0x62 instead of LF after a chunk size"},
		{MS_SLICE_LIT("5;a=\"\n\"\r\n"), MS_ERR_HTTP_FRAMING, "0x0a in a chunk extension"},
		{MS_SLICE_LIT("5;\0\r\n"), MS_ERR_HTTP_FRAMING, "0x00 in a chunk extension"},
		{MS_SLICE_LIT("00000000000000005\r\n"), MS_ERR_HTTP_FRAMING, "more than 16 digits"},
		{MS_SLICE_LIT("10000000000000005\r\n"), MS_ERR_HTTP_FRAMING, "more than 16 digits"},
		{MS_SLICE_LIT("5\r\nhelloX"), MS_ERR_HTTP_FRAMING, "0x58 instead of CR after the data"},
		{MS_SLICE_LIT("5\r\nhello\n"), MS_ERR_HTTP_FRAMING, "0x0a instead of CR after the data"},
		{MS_SLICE_LIT("5\r\nhello\rX"), MS_ERR_HTTP_FRAMING, "0x58 instead of LF after the data"},
		{MS_SLICE_LIT("5\r\nhello5\r\n"), MS_ERR_HTTP_FRAMING, "0x35 instead of CR after the data"},
		{MS_SLICE_LIT("5\r\nhello\r\n\r\n"), MS_ERR_HTTP_FRAMING, "0x0d where a chunk size"},
		{MS_SLICE_LIT("0\r\n\n"), MS_ERR_HTTP_FRAMING, "0x0a where a trailer"},
		{MS_SLICE_LIT("0\r\n\rX"), MS_ERR_HTTP_FRAMING, "0x58 instead of LF at the end"},
		{MS_SLICE_LIT("0\r\n a: b\r\n\r\n"), MS_ERR_HTTP_FRAMING, "0x20 where a trailer"},
		{MS_SLICE_LIT("0\r\n: b\r\n\r\n"), MS_ERR_HTTP_FRAMING, "0x3a where a trailer"},
		{MS_SLICE_LIT("0\r\na b\r\n\r\n"), MS_ERR_HTTP_FRAMING, "0x20 in the name of a trailer"},
		{MS_SLICE_LIT("0\r\na\r\n\r\n"), MS_ERR_HTTP_FRAMING, "0x0d in the name of a trailer"},
		{MS_SLICE_LIT("0\r\na: b\n"), MS_ERR_HTTP_FRAMING, "0x0a in the value of a trailer"},
		{MS_SLICE_LIT("0\r\na: b\r\n c\r\n\r\n"), MS_ERR_HTTP_FRAMING, "0x20 where a trailer"},
		{MS_SLICE_LIT("0\r\na: b\rc\r\n\r\n"), MS_ERR_HTTP_FRAMING, "0x63 instead of LF after a trailer"},
		{MS_SLICE_LIT("3e9\r\n"), MS_ERR_HTTP_BODY_TOO_LARGE, "larger than 1000 bytes"},
		{MS_SLICE_LIT("ffffffffffffffff\r\n"), MS_ERR_HTTP_BODY_TOO_LARGE, "larger than 1000 bytes"},
		{MS_SLICE_LIT("1\r\na\r\nFFFFFFFFFFFFFFFF\r\n"), MS_ERR_HTTP_BODY_TOO_LARGE, "larger than 1000 bytes"},
		{MS_SLICE_LIT("1\r\na\r\n3e8\r\n"), MS_ERR_HTTP_BODY_TOO_LARGE, "larger than 1000 bytes"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct outcome o = decode_all_ways(cases[i].body);
		if (!CHECK_INT(o.err, cases[i].err) || !CHECK_HAS(o.message, cases[i].message))
			printf("# case %zu\n", i);
		ms_buf_fini(&o.data);
		ms_buf_fini(&o.trailers);
	}
}

TEST(chunked_accepts)
{
	static const struct {
		struct slice body;
		const char *data;
		const char *next; // what belongs to the next request
		const char *trailers;
	} cases[] = {
		{MS_SLICE_LIT("0\r\n\r\n"), "", "", ""},
		{MS_SLICE_LIT("0000000000000000\r\n\r\nGET"), "", "GET", ""},
		{MS_SLICE_LIT("5\r\nhello\r\n0\r\n\r\n"), "hello", "", ""},
		{MS_SLICE_LIT("0000000000000005\r\nhello\r\n0\r\n\r\n\r\n"), "hello", "\r\n", ""},
		{MS_SLICE_LIT("A\r\n0123456789\r\nb\r\nabcdefghijk\r\n00\r\n\r\n0\r\n\r\n"), "0123456789abcdefghijk",
		 "0\r\n\r\n", ""},
		{MS_SLICE_LIT("2;a\r\n\r\n\r\n1;b=\"c;d\" ;\te=\xc3\xa9\r\nx\r\n0;last\r\n\r\nP"), "\r\nx", "P", ""},
		{MS_SLICE_LIT("1\r\nx\r\n0\r\nExpires: never\r\nX-A:\r\n\r\nPOST"), "x", "POST",
		 "Expires: never\r\nX-A:\r\n"},
		{MS_SLICE_LIT("1\r\nx\r\n0\r\nContent-Length: 7\r\n\r\n1234567"), "x", "1234567",
		 "Content-Length: 7\r\n"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct outcome o = decode_all_ways(cases[i].body);
		bool ok = CHECK_OK(o.err) && CHECK(o.done) && CHECK_SLICE(ms_buf_slice(&o.data), cases[i].data) &&
			  CHECK_SLICE(ms_slice_sub(cases[i].body, o.used, SIZE_MAX), cases[i].next) &&
			  CHECK_SLICE(ms_buf_slice(&o.trailers), cases[i].trailers);
		// Every prefix is unfinished and not wrong.
		for (size_t n = 0; n < o.used; n++) {
			struct outcome cut = decode(ms_slice_sub(cases[i].body, 0, n), SIZE_MAX);
			ok = ok && CHECK_OK(cut.err) && CHECK(!cut.done);
			ms_buf_fini(&cut.data);
			ms_buf_fini(&cut.trailers);
		}
		if (!ok)
			printf("# case %zu: %s\n", i, o.message);
		ms_buf_fini(&o.data);
		ms_buf_fini(&o.trailers);
	}
}

// Extensions and trailers may not grow without end, in one line or in many.
TEST(chunked_limits_what_it_drops)
{
	static const struct {
		const char *start;
		const char *filler;
		size_t fillers; // between line ends; 0: one endless line
		const char *line_end;
	} cases[] = {
		{"1;", "a", 0, ""},               // one extension
		{"1;", "a", 1000, "\r\nx\r\n1;"}, // many of them
		{"0\r\n", "a", 0, ""},            // the name of a trailer
		{"0\r\na:", "b", 0, ""},          // its value
		{"0\r\n", "a:", 1, "\r\n"},       // many trailers
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct buf body;
		ms_buf_init(&body, 1 << 20);
		ms_buf_append_cstr(&body, cases[i].start);
		for (size_t k = 1; body.n < 200000; k++) {
			ms_buf_append_cstr(&body, cases[i].filler);
			if (cases[i].fillers > 0 && k % cases[i].fillers == 0)
				ms_buf_append_cstr(&body, cases[i].line_end);
		}
		struct outcome o = decode(ms_buf_slice(&body), SIZE_MAX);
		CHECK_INT(o.err, MS_ERR_HTTP_HEADERS_TOO_LARGE);
		ms_buf_fini(&o.data);
		ms_buf_fini(&o.trailers);
		ms_buf_fini(&body);
	}
}

// What the writer makes, the decoder reads.
TEST(chunked_round_trip)
{
	for (unsigned round = 0; round < 200; round++) {
		struct buf data, body;
		ms_buf_init(&data, MAX_TOTAL);
		ms_buf_init(&body, 1 << 16);
		size_t total = ms_rand_below(ms_test_rand(), MAX_TOTAL + 1);
		while (data.n < total) {
			char bytes[300];
			size_t n = 1 + ms_rand_below(ms_test_rand(), sizeof(bytes));
			n = MS_MIN(n, total - data.n);
			for (size_t i = 0; i < n; i++)
				bytes[i] = (char)ms_rand_u64(ms_test_rand());
			ms_buf_append(&data, bytes, n);
			ms_http1_write_chunk_head(&body, n);
			ms_buf_append(&body, bytes, n);
			ms_buf_append_slice(&body, MS_HTTP1_CHUNK_TAIL);
		}
		ms_buf_append_slice(&body, MS_HTTP1_CHUNK_END);
		struct outcome o = decode(ms_buf_slice(&body), 0);
		CHECK_OK(o.err);
		CHECK(o.done);
		CHECK_INT(o.used, body.n);
		CHECK(ms_slice_eq(ms_buf_slice(&o.data), ms_buf_slice(&data)));
		ms_buf_fini(&o.data);
		ms_buf_fini(&o.trailers);
		ms_buf_fini(&body);
		ms_buf_fini(&data);
	}
}
