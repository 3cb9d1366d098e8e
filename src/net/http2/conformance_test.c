// SPDX-License-Identifier: Apache-2.0
// tests/vectors/http2.txt against a server's session, each case whole, byte by byte and in pieces. The file says how it is written.
#include <stdio.h>
#include <stdlib.h>

#include "net/http2/session_test_kit.h"

struct run {
	struct kit k;
	struct buf send;
	struct buf payload;
	const char *title;
	bool bare;
	bool started;
};

static bool word(struct slice *rest, struct slice *ret_word)
{
	*rest = ms_slice_trim(*rest);
	size_t n = ms_slice_find(*rest, ' ');
	*ret_word = ms_slice_sub(*rest, 0, n);
	*rest = ms_slice_sub(*rest, n, SIZE_MAX);
	return n > 0;
}

static unsigned long number(struct slice s, int base)
{
	char text[32], *end;
	REQUIRE(ms_slice_to_cstr(s, text, sizeof(text)));
	unsigned long value = strtoul(text, &end, base);
	REQUIRE(*end == '\0' && s.n > 0);
	return value;
}

// --- Parts -------------------------------------------------------------------------------------------

static void put_hex(struct buf *out, struct slice digits)
{
	REQUIRE(digits.n % 2 == 0);
	for (size_t i = 0; i < digits.n; i += 2)
		ms_buf_append_char(out, (char)number(ms_slice_sub(digits, i, 2), 16));
}

static void put_many(struct buf *out, char c, size_t n)
{
	while (n-- > 0)
		ms_buf_append_char(out, c);
}

static void put_field(struct buf *out, struct slice part)
{
	size_t eq = ms_slice_find(part, '=');
	REQUIRE(eq < part.n);
	kit_field(out, ms_slice_sub(part, 0, eq), ms_slice_sub(part, eq + 1, SIZE_MAX));
}

static bool put_request(struct buf *out, struct slice name)
{
	static const struct {
		const char *name, *method, *path;
	} requests[] = {{"get", "GET", "/"}, {"head", "HEAD", "/"}, {"post", "POST", "/"}, {"options", "OPTIONS", "*"}};
	for (size_t i = 0; i < MS_ARRAY_LEN(requests); i++) {
		if (!ms_slice_eq_cstr(name, requests[i].name))
			continue;
		kit_request(out, requests[i].method, requests[i].path);
		return true;
	}
	return false;
}

static void put_part(struct buf *out, struct slice part)
{
	size_t colon = ms_slice_find(part, ':');
	struct slice kind = ms_slice_sub(part, 0, colon), value = ms_slice_sub(part, colon + 1, SIZE_MAX);
	if (colon == part.n && put_request(out, part))
		return;
	if (colon == part.n)
		put_hex(out, part);
	else if (ms_slice_eq_cstr(kind, "h"))
		put_hex(out, value);
	else if (ms_slice_eq_cstr(kind, "s"))
		ms_buf_append_slice(out, value);
	else if (ms_slice_eq_cstr(kind, "z"))
		put_many(out, 0, number(value, 10));
	else if (ms_slice_eq_cstr(kind, "x"))
		put_many(out, 'x', number(value, 10));
	else if (ms_slice_eq_cstr(kind, "u32"))
		kit_u32(out, (uint32_t)number(value, 10));
	else if (ms_slice_eq_cstr(kind, "u16"))
		put_many(out, 0, 1), ms_buf_append_char(out, (char)number(value, 10));
	else
		put_field(out, value);
}

static struct slice payload(struct run *r, struct slice parts)
{
	struct slice part;
	ms_buf_clear(&r->payload);
	while (word(&parts, &part))
		put_part(&r->payload, part);
	return ms_buf_slice(&r->payload);
}

// --- Lines that send ---------------------------------------------------------------------------------

static unsigned frame_type(struct slice name)
{
	static const char *const names[] = {"data", "headers", "priority", "rst",    "settings",
					    "push", "ping",    "goaway",   "window", "cont"};
	for (unsigned i = 0; i < MS_ARRAY_LEN(names); i++) {
		if (ms_slice_eq_cstr(name, names[i]))
			return i;
	}
	REQUIRE(name.n > 1 && name.p[0] == 't');
	return (unsigned)number(ms_slice_sub(name, 1, SIZE_MAX), 16);
}

static void send_frame(struct run *r, struct slice name, struct slice rest)
{
	struct slice stream, flags;
	REQUIRE(word(&rest, &stream) && word(&rest, &flags));
	uint32_t id = (uint32_t)number(stream, stream.n == 8 ? 16 : 10);
	kit_frame(&r->send, frame_type(name), (unsigned)number(flags, 16), id, payload(r, rest));
}

static void send_streams(struct run *r, size_t n, bool reset)
{
	for (uint32_t i = 0; i < n; i++) {
		kit_frame(&r->send, F_HEADERS, F_END_HEADERS, 2 * i + 1, payload(r, MS_SLICE_LIT("post")));
		if (reset)
			kit_frame(&r->send, F_RST, 0, 2 * i + 1, payload(r, MS_SLICE_LIT("u32:8")));
	}
}

static void send_bomb(struct run *r, uint32_t stream)
{
	(void)payload(r, MS_SLICE_LIT("get"));
	put_many(&r->payload, (char)0xbe, 16000);
	kit_frame(&r->send, F_HEADERS, F_END_HEADERS | F_END_STREAM, stream, ms_buf_slice(&r->payload));
}

static void send_line(struct run *r, struct slice line)
{
	struct slice name, count = MS_SLICE_EMPTY, rest = line;
	REQUIRE(word(&rest, &name));
	if (ms_slice_eq_cstr(name, "bare")) {
		r->bare = true;
	} else if (ms_slice_eq_cstr(name, "bytes")) {
		ms_buf_append_slice(&r->send, payload(r, rest));
	} else if (ms_slice_eq_cstr(name, "repeat")) {
		REQUIRE(word(&rest, &count) && word(&rest, &name));
		for (unsigned long n = number(count, 10); n > 0; n--)
			send_frame(r, name, rest);
	} else if (ms_slice_eq_cstr(name, "many") || ms_slice_eq_cstr(name, "rapid")) {
		REQUIRE(word(&rest, &count));
		send_streams(r, number(count, 10), ms_slice_eq_cstr(name, "rapid"));
	} else if (ms_slice_eq_cstr(name, "malformed")) {
		REQUIRE(word(&rest, &count));
		for (uint32_t i = 0; i < number(count, 10); i++)
			kit_frame(&r->send, F_HEADERS, 5, 2 * i + 1, payload(r, MS_SLICE_LIT("f:x-a=1")));
	} else if (ms_slice_eq_cstr(name, "bomb")) {
		REQUIRE(word(&rest, &count));
		send_bomb(r, (uint32_t)number(count, 10));
	} else {
		send_frame(r, name, rest);
	}
}

// --- Lines that expect -------------------------------------------------------------------------------

static uint32_t code(struct slice name)
{
	uint32_t value = 0;
	while (!ms_slice_eq_cstr(name, ms_h2_error_name(value)))
		REQUIRE(++value < 14);
	return value;
}

static bool ended(const struct kit *k, uint32_t stream)
{
	struct frame frame;
	return (kit_find(k, F_DATA, stream, &frame) || kit_find(k, F_HEADERS, stream, &frame)) &&
	       (frame.flags & F_END_STREAM) != 0;
}

static bool first_data(const struct kit *k, uint32_t stream, size_t n)
{
	struct slice bytes = ms_buf_slice(&k->out);
	struct frame frame;
	while (kit_next_frame(&bytes, &frame)) {
		if (frame.type == F_DATA && frame.stream == stream)
			return frame.payload.n == n;
	}
	return false;
}

static bool answered_ping(struct run *r, struct slice hex)
{
	struct frame frame;
	return kit_find(&r->k, F_PING, 0, &frame) && (frame.flags & F_ACK) != 0 &&
	       ms_slice_eq(frame.payload, payload(r, hex));
}

static bool alive(struct run *r)
{
	kit_frame(&r->send, F_PING, 0, 0, MS_SLICE_LIT("are you?"));
	kit_feed(&r->k, ms_buf_slice(&r->send));
	ms_buf_clear(&r->send);
	return answered_ping(r, MS_SLICE_LIT("s:are h:20 s:you?"));
}

static bool expect_one(struct run *r, struct slice rest)
{
	struct slice what, a = MS_SLICE_EMPTY, b = MS_SLICE_EMPTY;
	struct kit *k = &r->k;
	struct frame frame;
	REQUIRE(word(&rest, &what));
	if (word(&rest, &a))
		(void)word(&rest, &b);
	if (ms_slice_eq_cstr(what, "goaway"))
		return kit_goaway(k, code(a)) && ms_h2_over(k->s);
	if (ms_slice_eq_cstr(what, "last"))
		return kit_find(k, F_GOAWAY, 0, &frame) && kit_read_u32(frame.payload, 0) == number(a, 10);
	if (ms_slice_eq_cstr(what, "reset"))
		return kit_reset(k, (uint32_t)number(a, 10), code(b));
	if (ms_slice_eq_cstr(what, "answer"))
		return kit_find(k, F_HEADERS, (uint32_t)number(a, 10), &frame);
	if (ms_slice_eq_cstr(what, "end"))
		return ended(k, (uint32_t)number(a, 10));
	if (ms_slice_eq_cstr(what, "data"))
		return first_data(k, (uint32_t)number(a, 10), number(b, 10));
	if (ms_slice_eq_cstr(what, "pong"))
		return answered_ping(r, a);
	if (ms_slice_eq_cstr(what, "onlypong"))
		return answered_ping(r, a) && kit_count(k, F_PING) == 1;
	if (ms_slice_eq_cstr(what, "ack"))
		return kit_find(k, F_SETTINGS, 0, &frame) && frame.flags == F_ACK;
	if (ms_slice_eq_cstr(what, "closed"))
		return ms_h2_over(k->s);
	REQUIRE(ms_slice_eq_cstr(what, "alive"));
	return alive(r);
}

static void expect_line(struct run *r, struct slice line)
{
	struct slice rest = line, one;
	bool met = false;
	kit_feed(&r->k, ms_buf_slice(&r->send));
	ms_buf_clear(&r->send);
	while (!met && ms_slice_next(&rest, '|', &one))
		met = expect_one(r, one);
	if (met)
		return;
	char text[400];
	snprintf(text, sizeof(text), "[%s] in steps of %zu: %.*s", r->title, r->k.step, MS_SLICE_ARG(line));
	(void)ms_test_check(false, text, __FILE__, __LINE__);
}

// --- Cases -------------------------------------------------------------------------------------------

static void run_case(const char *title, struct slice lines, size_t step)
{
	struct run r = {.title = title};
	struct slice line;
	ms_buf_init(&r.send, 64 << 20);
	ms_buf_init(&r.payload, 1 << 20);
	kit_init(&r.k, H2_SERVER, NULL, step);
	REQUIRE(r.k.s != NULL);
	while (ms_slice_next(&lines, '\n', &line)) {
		if (line.n < 2 || line.p[0] == '#')
			continue;
		bool bare = ms_slice_eq_cstr(line, "> bare");
		if (!r.started && !bare)
			kit_start(&r.send);
		r.started = true;
		if (line.p[0] == '>')
			send_line(&r, ms_slice_sub(line, 2, SIZE_MAX));
		else
			expect_line(&r, ms_slice_sub(line, 2, SIZE_MAX));
	}
	kit_fini(&r.k);
	ms_buf_fini(&r.send);
	ms_buf_fini(&r.payload);
}

static unsigned run_cases(size_t step)
{
	struct slice text = ms_test_file("tests/vectors/http2.txt");
	unsigned count = 0;
	for (size_t at = ms_slice_find(text, '['); at < text.n;) {
		char title[128];
		// The comment at the top shows a bracket too.
		if (text.p[at - 1] != '\n') {
			at += 1 + ms_slice_find(ms_slice_sub(text, at + 1, SIZE_MAX), '[');
			continue;
		}
		struct slice rest = ms_slice_sub(text, at + 1, SIZE_MAX);
		size_t close = ms_slice_find(rest, ']'), next = ms_slice_find(rest, '[');
		REQUIRE(ms_slice_to_cstr(ms_slice_sub(rest, 0, close), title, sizeof(title)));
		run_case(title, ms_slice_sub(rest, close + 1, next - close - 1), step);
		at += 1 + next;
		count++;
	}
	return count;
}

TEST(http2_conformance_whole)
{
	CHECK(run_cases(SIZE_MAX) >= 146);
}

TEST(http2_conformance_by_bytes)
{
	CHECK(run_cases(1) >= 146);
}

TEST(http2_conformance_in_pieces)
{
	CHECK(run_cases(7) >= 146);
}
