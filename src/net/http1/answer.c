// SPDX-License-Identifier: Apache-2.0
// Heads of answers: the status line here, the header lines by the machine that cuts those of requests.
#include "net/http1/head.h"
#include "net/http1/scan.h"

enum state {
	STATE_VERSION,
	STATE_REASON, // or the CR that ends the line at once
	STATE_REASON_LF,
};

// "HTTP/1.1 200", then a blank and the reason, or the end of the line.
#define STATUS_SIZE ((size_t)12)
#define REASON_BYTES_MAX ((size_t)1024)

void ms_http1_answer_init(struct http1_answer *a, const struct http1_limits *limits, bool to_head, struct arena *arena)
{
	*a = (struct http1_answer){.to_head = to_head, .content_length = UINT64_MAX};
	ms_http1_parser_init(&a->lines, limits, arena);
	a->lines.state = STATE_VERSION;
}

static MS_COLD enum ms_err fail_status_line(const struct http1_parser *p, struct errinfo *info)
{
	return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
		       "byte 0x%02x at offset %zu of the answer: a status line is HTTP/1.1 SP status SP reason",
		       (unsigned char)p->base[p->at], p->at);
}

static enum ms_err end_status(struct http1_answer *a, struct errinfo *info)
{
	const char *b = a->lines.base;
	if (b[5] != '1' || b[7] > '1')
		return FAIL_AT(info, 5, MS_ERR_HTTP_VERSION, "the answer is HTTP/%c.%c, not HTTP/1.1 or 1.0", b[5],
			       b[7]);
	a->lines.head.minor = (unsigned)(b[7] - '0');
	a->status = (b[9] - '0') * 100 + (b[10] - '0') * 10 + (b[11] - '0');
	if (a->status < 100 || a->status > 599)
		return FAIL_AT(info, 9, MS_ERR_HTTP_SYNTAX, "the answer's status is %d; 100 to 599 are possible",
			       a->status);
	a->lines.state = STATE_REASON;
	return MS_OK;
}

static enum ms_err read_version(struct http1_answer *a, size_t n, struct errinfo *info)
{
	static const char pattern[] = "HTTP/0.0 000"; // 0 stands for any digit
	struct http1_parser *p = &a->lines;
	for (; p->at < n && p->at < STATUS_SIZE; p->at++) {
		char want = pattern[p->at], c = p->base[p->at];
		if (want == '0' ? !is_char(c, CHAR_DIGIT) : c != want)
			return fail_status_line(p, info);
	}
	return p->at == STATUS_SIZE ? end_status(a, info) : MS_OK;
}

// A server may leave out the reason, and its blank with it: there is one reading of that.
static enum ms_err read_reason(struct http1_answer *a, size_t n, struct errinfo *info)
{
	struct http1_parser *p = &a->lines;
	if (p->at == n)
		return MS_OK;
	if (p->at == STATUS_SIZE && p->base[p->at] != ' ' && p->base[p->at] != '\r')
		return fail_status_line(p, info);
	size_t max = STATUS_SIZE + REASON_BYTES_MAX;
	p->at = scan_value(p->base, p->at, MS_MIN(n, max));
	if (p->at == max)
		return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
			       "the reason in the status line is longer than %zu bytes", REASON_BYTES_MAX);
	if (p->at == n)
		return MS_OK;
	if (p->base[p->at] != '\r')
		return fail_status_line(p, info);
	p->at++;
	p->state = STATE_REASON_LF;
	return MS_OK;
}

// RFC 9112 section 6.3, the strict way.
static enum ms_err read_framing(struct http1_answer *a, struct errinfo *info)
{
	struct http1_head *head = &a->lines.head;
	MS_TRY(ms_http1_read_length(head, a->lines.base, info));
	MS_TRY(ms_http1_read_connection(head, a->lines.base, info));
	a->keep_alive = head->keep_alive;
	bool has_length = head->known[HTTP1_CONTENT_LENGTH].p != NULL;
	if (has_length)
		a->content_length = head->content_length;
	if (a->status < 200 || a->status == 204) {
		// These have no framing fields. A length of 0 is a habit of some servers; the rest may be meant as a body.
		if (head->body != HTTP1_BODY_NONE)
			a->keep_alive = false;
		a->content_length = a->status == 204 ? 0 : UINT64_MAX;
		a->body = HTTP1_ANSWER_NONE;
	} else if (a->status == 304 || a->to_head) {
		a->body = HTTP1_ANSWER_NONE;
	} else if (head->body == HTTP1_BODY_CHUNKED) {
		a->body = HTTP1_ANSWER_CHUNKED;
	} else if (has_length) {
		a->body = head->content_length > 0 ? HTTP1_ANSWER_LENGTH : HTTP1_ANSWER_NONE;
	} else {
		a->body = HTTP1_ANSWER_UNTIL_CLOSE;
		a->keep_alive = false;
	}
	return MS_OK;
}

static enum ms_err read_status_line(struct http1_answer *a, size_t n, struct errinfo *info)
{
	struct http1_parser *p = &a->lines;
	if (p->state == STATE_VERSION)
		MS_TRY(read_version(a, n, info));
	if (p->state == STATE_REASON)
		MS_TRY(read_reason(a, n, info));
	if (p->state == STATE_REASON_LF && p->at < n) {
		if (p->base[p->at] != '\n')
			return FAIL_AT(info, p->at, MS_ERR_HTTP_SYNTAX,
				       "a CR without LF in the status line of the answer");
		p->at++;
		ms_http1_start_headers(p);
	}
	return MS_OK;
}

enum ms_err ms_http1_answer_parse(struct http1_answer *a, struct slice bytes, struct errinfo *info,
				  size_t *ret_head_bytes)
{
	struct http1_parser *p = &a->lines;
	MS_ASSERT(bytes.n >= p->at);
	*ret_head_bytes = 0;
	if (bytes.n > 0)
		ms_http1_move(p, bytes.p);
	if (p->headers_start == 0)
		MS_TRY(read_status_line(a, bytes.n, info));
	if (p->headers_start == 0)
		return MS_OK;
	bool done;
	MS_TRY(ms_http1_cut_headers(p, bytes.n, info, &done));
	if (!done)
		return MS_OK;
	MS_TRY(read_framing(a, info));
	*ret_head_bytes = p->at;
	return MS_OK;
}
