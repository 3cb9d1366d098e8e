// SPDX-License-Identifier: Apache-2.0
// The heads of answers, whole bodies and their compression, error documents. Bodies in pieces: stream.c.
#include <stdarg.h>
#include <stdio.h>

#include "net/negotiate.h"
#include "net/server.h"

#define COMPRESS_MIN_BYTES 1024
// Compression runs on the loop: about a millisecond at most. Larger answers go out as they are.
#define GZIP_MAX_BYTES ((size_t)64 << 10)
#define ZSTD_MAX_BYTES ((size_t)256 << 10)

void ms_http_set_header(struct exchange *x, const char *name, struct slice value)
{
	struct work *w = ms_work_of(x);
	ms_http1_write_header(&w->headers, name, value);
	w->has_encoding |= ms_slice_eq_nocase(ms_slice_cstr(name), MS_SLICE_LIT("Content-Encoding"));
}

static bool pack(struct work *w, enum content_coding coding)
{
	struct compressor *packer;
	if (ms_compressor_take(w->nl->codecs, coding, w->body.n, &packer) != MS_OK)
		return false;
	enum ms_err err = ms_compressor_write(packer, ms_buf_slice(&w->body), COMPRESS_END, &w->packed);
	ms_compressor_give(packer);
	return err == MS_OK && ms_buf_ok(&w->packed) && w->packed.n < w->body.n;
}

// The coding of the body; when it is not identity, w->packed holds the body.
static enum content_coding compress(struct work *w, const char *type)
{
	if (w->body.n < COMPRESS_MIN_BYTES || w->has_encoding || !ms_media_type_compresses(ms_slice_cstr(type)))
		return CODING_IDENTITY;
	ms_http_set_header(&w->x, "Vary", MS_SLICE_LIT("Accept-Encoding"));
	if (!w->marks.accept_encoding)
		return CODING_IDENTITY;
	enum content_coding coding = ms_negotiate_coding(w->x.req.headers, w->x.req.header_count).coding;
	size_t max = coding == CODING_GZIP ? GZIP_MAX_BYTES : ZSTD_MAX_BYTES;
	if (coding == CODING_IDENTITY || w->body.n > max || !pack(w, coding))
		return CODING_IDENTITY;
	return coding;
}

void ms_answer_head(struct work *w, const struct answer_head *head)
{
	w->head_sent = true;
	w->sent_status = head->status;
	w->no_content = ms_has_no_content(head->status) || w->is_head;
	w->transport->head(w, head);
}

static void send_body(struct work *w, int status, const char *type)
{
	enum content_coding coding = type != NULL ? compress(w, type) : CODING_IDENTITY;
	const struct buf *body = coding != CODING_IDENTITY ? &w->packed : &w->body;
	size_t n = type != NULL && !ms_has_no_content(status) ? body->n : 0;
	ms_answer_head(w, &(struct answer_head){.status = status, .type = type, .coding = coding, .length = n});
	if (n == 0 || w->no_content || w->gone)
		return;
	w->body_bytes = n;
	w->transport->body(w, body);
}

// The front's say in answers of the server's own routes.
void ms_answer_ask_front(struct work *w, struct http_local_answer *answer)
{
	const struct http_front *front = w->nl->server->options.front;
	if (w->x.front_data != NULL && w->local && front->answer != NULL)
		front->answer(&w->x, answer, front->arg);
}

bool ms_http_set_headers(struct exchange *x, struct http_header **ret_headers, size_t *ret_count)
{
	struct work *w = ms_work_of(x);
	struct slice lines = ms_arena_copy(&w->arena, ms_buf_slice(&w->headers));
	if (lines.p == NULL && w->headers.n > 0)
		return false;
	size_t most = ms_answer_count_lines(lines);
	*ret_headers = MS_ARENA_ARRAY(&w->arena, struct http_header, most);
	*ret_count = 0;
	if (*ret_headers == NULL)
		return false;
	while (ms_answer_next_line(&lines, &(*ret_headers)[*ret_count]))
		(*ret_count)++;
	return true;
}

void ms_http_clear_headers(struct exchange *x)
{
	struct work *w = ms_work_of(x);
	ms_buf_clear(&w->headers);
	w->has_encoding = false;
}

static void fail_memory(struct work *w)
{
	ms_buf_clear(&w->headers);
	w->local = false; // not asked again
	ms_http_fail_code(&w->x, MS_ERR_NO_MEMORY, "the answer is too large for the server's memory");
}

void ms_http_send(struct exchange *x, int status, const char *content_type)
{
	struct work *w = ms_work_of(x);
	MS_ASSERT(w->open && !w->head_sent && status >= 200 && status <= 599);
	struct http_local_answer local = {.status = status, .content_type = content_type, .whole = true};
	if (!w->gone)
		ms_answer_ask_front(w, &local);
	w->status = status = local.status;
	content_type = local.content_type;
	w->body_bytes = 0;
	if (!w->gone) {
		if (!ms_buf_ok(&w->body) || !ms_buf_ok(&w->headers)) {
			fail_memory(w);
			return;
		}
		send_body(w, status, content_type);
	}
	ms_exchange_answered(w);
}

void ms_http_send_json(struct exchange *x, int status)
{
	ms_buf_append_char(x->body, '\n'); // so that a terminal's prompt starts on its own line
	ms_http_send(x, status, "application/json");
}

// --- Errors ------------------------------------------------------------------------------------------

// errinfo's text is valid UTF-8 without control bytes; ids are plain.
static void write_string(struct buf *b, const char *text)
{
	ms_buf_append_char(b, '"');
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			ms_buf_append_char(b, '\\');
		ms_buf_append_char(b, (unsigned char)*text < 0x20 ? '?' : *text);
	}
	ms_buf_append_char(b, '"');
}

static void write_details(struct buf *b, const struct errinfo *info)
{
	const struct {
		const char *name;
		int64_t value;
	} places[] = {{"row", info->row}, {"line", info->line}, {"offset", info->offset}};
	size_t before = b->n;
	if (info->field[0] != '\0') {
		ms_buf_append_cstr(b, ",\"details\":{\"field\":");
		write_string(b, info->field);
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(places); i++) {
		if (places[i].value < 0)
			continue;
		ms_buf_append_cstr(b, b->n == before ? ",\"details\":{" : ",");
		ms_buf_printf(b, "\"%s\":%lld", places[i].name, (long long)places[i].value);
	}
	if (b->n != before)
		ms_buf_append_char(b, '}');
}

void ms_http_fail(struct exchange *x, const struct errinfo *info)
{
	struct work *w = ms_work_of(x);
	MS_ASSERT(w->open && info->code != MS_OK);
	if (w->head_sent) { // the status is sent: only a cut body can tell that something went wrong
		ms_http_stream_cut(x);
		return;
	}
	struct buf *b = &w->body;
	ms_buf_clear(b);
	ms_buf_append_cstr(b, "{\"error\":");
	write_string(b, info->message);
	ms_buf_printf(b, ",\"code\":\"%s\",\"request_id\":\"%.*s\"", ms_err_name(info->code), MS_SLICE_ARG(x->req.id));
	write_details(b, info);
	ms_buf_append_cstr(b, "}\n");
	if (!ms_buf_ok(b)) { // not even memory for the message: the status alone
		ms_buf_clear(b);
		ms_http_send(x, ms_err_http_status(info->code), NULL);
		return;
	}
	ms_http_send(x, ms_err_http_status(info->code), "application/json");
}

void ms_http_fail_code(struct exchange *x, enum ms_err code, const char *fmt, ...)
{
	struct errinfo info;
	char message[MS_ERRINFO_MESSAGE_SIZE];
	ms_errinfo_init(&info);
	va_list args;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	(void)ms_fail(&info, code, "%s", message);
	ms_http_fail(x, &info);
}
