// SPDX-License-Identifier: Apache-2.0
// Answers that the upstream client gets from peers that send exact bytes: right ones, odd ones, wrong ones; and what becomes of the
// connection afterwards.
#include "net/client_test_kit.h"

#include <stdio.h>

#define HEAD_END "\r\n\r\n"

// One exchange on a connection of its own with a peer that then waits for the client to close.
struct one {
	struct caller_kit kit;
	struct peer peer;
	struct http_origin *origin;
	struct record record;
};

static void one_call(struct one *o, const char *method, const char *answer, size_t n, enum step_kind how,
		     enum step_kind then)
{
	static struct step steps[6];
	steps[0] = (struct step){.kind = STEP_ACCEPT};
	steps[1] = (struct step){STEP_READ, HEAD_END, 0};
	steps[2] = (struct step){how, answer, n};
	steps[3] = (struct step){.kind = then};
	steps[4] = (struct step){.kind = STEP_END};
	memset(&o->record, 0, sizeof(o->record));
	caller_start(&o->kit, NULL);
	peer_start(&o->peer, steps);
	o->origin = caller_origin(&o->kit, o->peer.port);
	struct http_call_options options = caller_options(o->origin);
	options.method = ms_slice_cstr(method);
	caller_call(&o->kit, &o->record, &options, NULL);
}

static void one_over(struct one *o)
{
	ms_http_origin_unref(o->origin);
	caller_stop(&o->kit);
	peer_stop(&o->peer);
	caller_forget(&o->record);
}

TEST(client_takes_answers)
{
	static const struct {
		const char *method, *answer;
		int status;
		const char *headers, *data, *trailers;
		int64_t length; // -1: not told
		bool kept;
		enum step_kind then;
	} cases[] = {
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b \r\n\r\nhello", 200, "X-A: b\n", "hello", "", 5,
		 true, STEP_DRAIN},
		{"GET", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, "", "", "", 0, true, STEP_DRAIN},
		{"GET", "HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n", 204, "", "", "", 0, true, STEP_DRAIN},
		{"GET", "HTTP/1.1 204 No\r\n\r\n", 204, "", "", "", 0, true, STEP_DRAIN},
		{"GET", "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", 204, "", "", "", 0, false, STEP_DRAIN},
		{"GET", "HTTP/1.1 304 Not\r\nContent-Length: 9\r\nETag: \"a\"\r\n\r\n", 304, "ETag: \"a\"\n", "", "", 9,
		 true, STEP_DRAIN},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", 200, "", "", "", 500, true, STEP_DRAIN},
		{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, "", "", "", -1, true,
		 STEP_DRAIN},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n1;x\r\n!\r\n0\r\n\r\n", 200,
		 "", "hello!", "", -1, true, STEP_DRAIN},
		{"GET",
		 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n1\r\na\r\n0\r\nX-T:  1 2 \r\n"
		 "Content-Length: 7\r\nConnection: close\r\nHost: x\r\n\r\n",
		 200, "", "a", "X-T: 1 2\n", -1, true, STEP_DRAIN},
		{"GET", "HTTP/1.1 200 OK\r\n\r\nall of it", 200, "", "all of it", "", -1, false, STEP_CLOSE},
		{"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "", "ok", "", 2, false, STEP_DRAIN},
		{"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, "", "ok", "",
		 2, true, STEP_DRAIN},
		{"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, "", "ok", "", 2,
		 false, STEP_DRAIN},
		{"GET",
		 "HTTP/1.1 200 OK\r\nConnection: x-hop, Keep-Alive\r\nConnection: x-two\r\nX-Hop: 1\r\nx-two: 2\r\n"
		 "Keep-Alive: timeout=5\r\nProxy-Connection: a\r\nUpgrade: h2c\r\nX-Stays: 3\r\nContent-Length: "
		 "2\r\n\r\nok",
		 200, "X-Stays: 3\n", "ok", "", 2, true, STEP_DRAIN},
		// A byte behind the message: the answer counts, the connection does not.
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokX", 200, "", "ok", "", 2, false, STEP_DRAIN},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", 200, "", "", "", -1, false,
		 STEP_DRAIN},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "", "", "", 2, false, STEP_DRAIN},
		{"GET", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		 200, "", "ok", "", 2, true, STEP_DRAIN},
	};
	for (size_t i = 0; i < 2 * MS_ARRAY_LEN(cases); i++) {
		size_t k = i / 2;
		struct one o;
		one_call(&o, cases[k].method, cases[k].answer, 0, i % 2 == 0 ? STEP_SEND : STEP_PIECES, cases[k].then);
		struct record *r = &o.record;
		bool ok = CHECK(r->ended) && CHECK_INT(r->statuses[r->heads - 1], cases[k].status) &&
			  CHECK_SLICE(ms_buf_slice(&r->headers), cases[k].headers) &&
			  CHECK_SLICE(ms_buf_slice(&r->data), cases[k].data) &&
			  CHECK_SLICE(ms_buf_slice(&r->trailers), cases[k].trailers) &&
			  CHECK_INT((int64_t)r->content_length, cases[k].length);
		double idle = cases[k].kept ? 1 : 0;
		// A byte that comes later finds the connection kept, and ends it.
		bool later = i % 2 == 1 && !cases[k].kept;
		ok = ok &&
		     (later || CHECK(caller_metric(&o.kit, "mainstay_upstream_connections{state=\"idle\"}") == idle));
		ok = ok &&
		     (cases[k].kept ||
		      CHECK(KIT_WAIT(caller_metric(&o.kit, "mainstay_upstream_connections{state=\"open\"}") == 0)));
		if (!ok)
			printf("# case %zu: %s\n", k, r->message);
		one_over(&o);
	}
}

TEST(client_refuses_answers)
{
#define LEN "Content-Length: 2\r\n"
	static const struct {
		struct slice answer;
		const char *message;
		enum step_kind then;
	} cases[] = {
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok"),
		 "ambiguous", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\n" LEN LEN "\r\nok"), "more than one Content-Length", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok"), "not a number", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"), "not a number", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok"), "not a number", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok"), "not a number", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nok"), "not a number", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), "exactly one",
		 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok"), "exactly one", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
			      "chunked\r\n\r\n0\r\n\r\n"),
		 "exactly one", 0},
		{MS_SLICE_LIT("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "HTTP/1.0", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n" LEN "\r\nok"), "folded", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nA : b\r\n" LEN "\r\nok"), "blank after the header name", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nA: b\n" LEN "\r\nok"), "LF without CR", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nA: b\rc\r\n" LEN "\r\nok"), "CR without LF", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nA: b\0c\r\n" LEN "\r\nok"), "control byte", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nNo colon\r\n" LEN "\r\nok"), "blank after the header name", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\n: b\r\n" LEN "\r\nok"), "without a name", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\n" LEN "\r\nok"), "status line", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 O\rK\r\n" LEN "\r\nok"), "CR without LF in the status line", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 O\0K\r\n" LEN "\r\nok"), "status line", 0},
		{MS_SLICE_LIT("HTTP/1.1  200 OK\r\n" LEN "\r\nok"), "status line", 0},
		{MS_SLICE_LIT("HTTP/1.1 20 OK\r\n" LEN "\r\nok"), "status line", 0},
		{MS_SLICE_LIT("HTTP/1.1 2000 OK\r\n" LEN "\r\nok"), "status line", 0},
		{MS_SLICE_LIT("HTTP/1.1 099 OK\r\n" LEN "\r\nok"), "100 to 599", 0},
		{MS_SLICE_LIT("HTTP/1.1 600 OK\r\n" LEN "\r\nok"), "100 to 599", 0},
		{MS_SLICE_LIT("HTTP/2.0 200 OK\r\n" LEN "\r\nok"), "HTTP/2.0", 0},
		{MS_SLICE_LIT("http/1.1 200 OK\r\n" LEN "\r\nok"), "status line", 0},
		{MS_SLICE_LIT("\r\nHTTP/1.1 200 OK\r\n" LEN "\r\nok"), "status line", 0},
		{MS_SLICE_LIT("ICY 200 OK\r\n\r\n"), "status line", 0},
		{MS_SLICE_LIT("HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), "nobody asked",
		 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell\r\n0\r\n\r\n"),
		 "chunked body", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n"),
		 "16 digits", 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"), "larger",
		 0},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nConnection: content-length\r\n" LEN "\r\nok"), "must not name", 0},
		// Cut.
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"), "before its answer was complete",
		 STEP_CLOSE},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"), "before its answer",
		 STEP_CLOSE},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"),
		 "before its answer", STEP_FINISH},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Le"), "before its answer was complete", STEP_CLOSE},
		{MS_SLICE_LIT("HTTP/1.1 100 Continue\r\n\r\n"), "before its answer was complete", STEP_CLOSE},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok"), "broke", STEP_RESET},
		{MS_SLICE_LIT("HTTP/1.1 200 OK\r\n\r\nsome of it"), "broke", STEP_RESET},
	};
	for (size_t i = 0; i < 2 * MS_ARRAY_LEN(cases); i++) {
		size_t k = i / 2;
		struct one o;
		bool sudden = cases[k].then == STEP_RESET;
		if (i % 2 == 1 && sudden)
			continue;
		enum step_kind then = cases[k].then != 0 ? cases[k].then : STEP_DRAIN;
		one_call(&o, "GET", cases[k].answer.p, cases[k].answer.n, i % 2 == 0 ? STEP_SEND : STEP_PIECES, then);
		struct record *r = &o.record;
		if (!CHECK(!r->ended && r->failed_too && r->sent) || !CHECK_INT(r->failure, CALL_BROKEN) ||
		    !CHECK_HAS(r->message, cases[k].message))
			printf("# case %zu: %s\n", k, r->message);
		CHECK(KIT_WAIT(caller_metric(&o.kit, "mainstay_upstream_connections{state=\"open\"}") == 0));
		KIT_WAIT((bool)o.peer.over);
		o.peer.failed = false; // it may have been cut while it sent
		one_over(&o);
	}
}
