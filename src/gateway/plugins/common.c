// SPDX-License-Identifier: Apache-2.0
// What several plugins need of a request.
#include <stdarg.h>

#include "gateway/plugins/plugins.h"

struct slice ms_gw_text(struct gw_request *r, const char *fmt, ...)
{
	va_list args;
	struct buf text;
	ms_buf_init(&text, 65536);
	va_start(args, fmt);
	ms_buf_vprintf(&text, fmt, args);
	va_end(args);
	struct slice copy = ms_buf_ok(&text) ? ms_arena_copy(r->arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	return copy;
}

struct slice ms_gw_copy(struct gw_request *r, struct slice s)
{
	return ms_arena_copy(r->arena, s);
}

struct slice ms_gw_request_header(const struct gw_request *r, const char *name)
{
	return ms_gw_header(&r->out.headers, ms_slice_cstr(name));
}

void ms_gw_extra_set(struct gw_request *r, struct slice name, struct slice value)
{
	if (value.p != NULL)
		MS_IGNORE(ms_gw_header_set(&r->answer_extra, name, value)); // the request counts more
}

void ms_gw_extra_add(struct gw_request *r, struct slice name, struct slice value)
{
	if (value.p != NULL)
		MS_IGNORE(ms_gw_header_add(&r->answer_extra, name, value)); // the same
}

bool ms_gw_is_method(const struct gw_request *r, const char *method)
{
	return ms_slice_eq_cstr(r->out.method, method);
}

bool ms_gw_media_type(struct slice content_type, const char *type)
{
	return ms_slice_eq_nocase(ms_slice_trim(ms_slice_sub(content_type, 0, ms_slice_find(content_type, ';'))),
				  ms_slice_cstr(type));
}

bool ms_gw_is_json(struct slice content_type)
{
	struct slice type = ms_slice_trim(ms_slice_sub(content_type, 0, ms_slice_find(content_type, ';')));
	return ms_slice_eq_nocase(type, MS_SLICE_LIT("application/json")) ||
	       (type.n > 5 && ms_slice_eq_nocase(ms_slice_sub(type, type.n - 5, 5), MS_SLICE_LIT("+json")));
}

bool ms_gw_is_grpc(const struct gw_request *r)
{
	struct slice type = ms_gw_request_header(r, "Content-Type");
	struct slice front = ms_slice_sub(type, 0, sizeof("application/grpc") - 1);
	return ms_slice_eq_nocase(front, MS_SLICE_LIT("application/grpc")) &&
	       (type.n == front.n || type.p[front.n] == '+' || type.p[front.n] == ';');
}

bool ms_gw_text_list_has(const struct text_list *list, struct slice text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (ms_slice_eq(list->items[i], text))
			return true;
	}
	return false;
}

bool ms_gw_text_list_has_nocase(const struct text_list *list, struct slice text)
{
	for (size_t i = 0; i < list->count; i++) {
		if (ms_slice_eq_nocase(list->items[i], text))
			return true;
	}
	return false;
}

bool ms_gw_header_value_ok(struct slice value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

bool ms_gw_header_name_ok(struct slice name)
{
	static const char others[] = "!#$%&'*+-.^_`|~";
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!alnum && memchr(others, c, sizeof(others) - 1) == NULL)
			return false;
	}
	return name.n > 0;
}

struct slice ms_gw_join(struct gw_request *r, const struct text_list *list, const char *between)
{
	struct buf text;
	ms_buf_init(&text, 65536);
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			ms_buf_append_cstr(&text, between);
		ms_buf_append_slice(&text, list->items[i]);
	}
	struct slice copy = ms_buf_ok(&text) ? ms_arena_copy(r->arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	return copy;
}

void ms_gw_uuid4(struct rand *rand, char ret_text[GW_UUID_SIZE])
{
	static const char hex[] = "0123456789abcdef";
	uint64_t words[2] = {ms_rand_u64(rand), ms_rand_u64(rand)};
	uint8_t bytes[16];
	memcpy(bytes, words, sizeof(bytes));
	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40); // version 4
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80); // variant of RFC 9562
	char *at = ret_text;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*at++ = '-';
		*at++ = hex[bytes[i] >> 4];
		*at++ = hex[bytes[i] & 15];
	}
	*at = '\0';
}

void ms_gw_percent_append(struct buf *out, struct slice text, bool path)
{
	static const char hex[] = "0123456789ABCDEF";
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			     c == '.' || c == '_' || c == '~' || (path && c == '/');
		if (plain) {
			ms_buf_append_char(out, (char)c);
			continue;
		}
		char escaped[3] = {'%', hex[c >> 4], hex[c & 15]};
		ms_buf_append(out, escaped, sizeof(escaped));
	}
}

// --- Authentication ------------------------------------------------------------------------------------

void ms_gw_refuse(struct gw_request *r, const char *code, const char *message, struct slice www_authenticate)
{
	ms_gw_fail(r, 401, code, message);
	if (www_authenticate.n > 0)
		MS_IGNORE(ms_gw_header_add(&r->answer.headers, MS_SLICE_LIT("WWW-Authenticate"),
					   www_authenticate)); // the refusal counts more
}

bool ms_gw_already_in(const struct gw_request *r, struct slice anonymous)
{
	return anonymous.n > 0 && (r->credential != NULL || r->credential_id.n > 0);
}

enum gw_unknown ms_gw_unknown_caller(struct gw_request *r, struct slice anonymous)
{
	if (anonymous.n == 0)
		return GW_UNKNOWN_REFUSE;
	const struct gw_consumer *consumer = ms_plan_consumer(r->plan, anonymous);
	if (consumer == NULL) {
		ms_log(r->services->log, LOG_ERROR, "The anonymous consumer of a plugin does not exist",
		       MS_LOG_STR("mainstay.gateway.consumer", anonymous));
		ms_gw_fail(r, 500, ms_err_name(MS_ERR_INTERNAL), "An unexpected error occurred");
		return GW_UNKNOWN_ANSWERED;
	}
	ms_gw_authenticate(r, consumer, NULL, MS_SLICE_EMPTY, true);
	return GW_UNKNOWN_PASS;
}
