// SPDX-License-Identifier: Apache-2.0
// Heads of answers, however they are cut. What is refused and why is also in client_answer_test.c, over sockets.
#include <stdio.h>
#include <stdlib.h>

#include "net/http1/http1.h"
#include "tests/lib/test.h"

static const struct http1_limits LIMITS = {.header_bytes = 200, .header_count = 4};

struct outcome {
	enum ms_err err;
	size_t head_bytes;
	struct errinfo info;
	struct arena arena;
	struct http1_answer a;
	char *bytes;
};

static void parse(struct slice text, size_t step, bool to_head, struct outcome *o)
{
	*o = (struct outcome){0};
	ms_errinfo_init(&o->info);
	ms_arena_init(&o->arena, 256, 1 << 20);
	ms_http1_answer_init(&o->a, &LIMITS, to_head, &o->arena);
	for (size_t n = 0; n < text.n && o->err == MS_OK && o->head_bytes == 0;) {
		n = MS_MIN(text.n, n + step);
		char *moved = malloc(n); // of exact size
		REQUIRE(moved != NULL);
		memcpy(moved, text.p, n);
		free(o->bytes);
		o->bytes = moved;
		o->err = ms_http1_answer_parse(&o->a, ms_slice(moved, n), &o->info, &o->head_bytes);
	}
}

static void end(struct outcome *o)
{
	ms_arena_fini(&o->arena);
	free(o->bytes);
}

TEST(answer_heads)
{
	static const struct {
		const char *text;
		bool to_head;
		int status;
		enum http1_answer_body body;
		int64_t length;
		bool keep_alive;
	} cases[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 200, HTTP1_ANSWER_LENGTH, 5, true},
		{"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", false, 200, HTTP1_ANSWER_NONE, 0, true},
		{"HTTP/1.1 200\r\ncontent-length: 5\r\n\r\n", true, 200, HTTP1_ANSWER_NONE, 5, true},
		{"HTTP/1.1 404 Nicht da: \xe4\r\n\r\n", false, 404, HTTP1_ANSWER_UNTIL_CLOSE, -1, false},
		{"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", false, 200, HTTP1_ANSWER_UNTIL_CLOSE, -1, false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, 200, HTTP1_ANSWER_CHUNKED, -1, true},
		{"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", false, 304, HTTP1_ANSWER_NONE, 5, true},
		{"HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n", false, 304, HTTP1_ANSWER_NONE, -1, true},
		{"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", false, 204, HTTP1_ANSWER_NONE, 0, false},
		{"HTTP/1.1 100 Continue\r\n\r\n", false, 100, HTTP1_ANSWER_NONE, -1, true},
		{"HTTP/1.1 199 x\r\nContent-Length: 5\r\n\r\n", false, 199, HTTP1_ANSWER_NONE, -1, false},
		{"HTTP/1.1 599 x\r\nConnection: close\r\nContent-Length: 1\r\n\r\n", false, 599, HTTP1_ANSWER_LENGTH, 1,
		 false},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct slice text = ms_slice_cstr(cases[i].text);
		for (size_t step = 1; step <= text.n; step++) {
			struct outcome o;
			parse(text, step, cases[i].to_head, &o);
			bool ok = CHECK_OK(o.err) && CHECK_INT(o.head_bytes, text.n) &&
				  CHECK_INT(o.a.status, cases[i].status) && CHECK_INT(o.a.body, cases[i].body) &&
				  CHECK_INT((int64_t)o.a.content_length, cases[i].length) &&
				  CHECK_INT(o.a.keep_alive, cases[i].keep_alive);
			if (!ok)
				printf("# case %zu, step %zu: %s\n", i, step, o.info.message);
			end(&o);
		}
		// Every prefix is unfinished and not wrong.
		for (size_t n = 0; n < text.n; n++) {
			struct outcome o;
			parse(ms_slice(text.p, n), SIZE_MAX / 2, cases[i].to_head, &o);
			CHECK_OK(o.err);
			CHECK_INT(o.head_bytes, 0);
			end(&o);
		}
	}
}

TEST(answer_heads_have_limits)
{
	struct buf text;
	struct outcome o;
	ms_buf_init(&text, 1 << 20);
	ms_buf_append_cstr(&text, "HTTP/1.1 200 ");
	for (int i = 0; i < 2000; i++)
		ms_buf_append_char(&text, 'r');
	for (size_t step = 1; step < 3000; step += 731) {
		parse(ms_buf_slice(&text), step, false, &o);
		CHECK_INT(o.err, MS_ERR_HTTP_SYNTAX);
		CHECK_HAS(o.info.message, "reason in the status line is longer");
		end(&o);
	}
	ms_buf_clear(&text);
	ms_buf_append_cstr(&text, "HTTP/1.1 200 OK\r\na: ");
	for (int i = 0; i < 200; i++)
		ms_buf_append_char(&text, 'v');
	parse(ms_buf_slice(&text), 7, false, &o);
	CHECK_INT(o.err, MS_ERR_HTTP_HEADERS_TOO_LARGE);
	end(&o);
	parse(MS_SLICE_LIT("HTTP/1.1 200 OK\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\n\r\n"), 7, false, &o);
	CHECK_INT(o.err, MS_ERR_HTTP_HEADERS_TOO_LARGE);
	end(&o);
	ms_buf_fini(&text);
}

TEST(answer_trailers)
{
	struct arena arena;
	struct http_header *headers;
	size_t count;
	ms_arena_init(&arena, 256, 1 << 16);
	REQUIRE(ms_http1_trailers(MS_SLICE_LIT("A: 1\r\nContent-Length: 3\r\nb:\t x y \r\nTE: q\r\nHost: h\r\nC:\r\n"),
				  &arena, &headers, &count));
	REQUIRE(count == 3);
	CHECK_SLICE(headers[0].name, "A");
	CHECK_SLICE(headers[0].value, "1");
	CHECK_SLICE(headers[1].name, "b");
	CHECK_SLICE(headers[1].value, "x y");
	CHECK_SLICE(headers[2].name, "C");
	CHECK_SLICE(headers[2].value, "");
	REQUIRE(ms_http1_trailers(MS_SLICE_EMPTY, &arena, &headers, &count));
	CHECK_INT(count, 0);
	ms_arena_fini(&arena);
}
