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

bool ms_gw_is_grpc(const struct gw_request *r)
{
	struct slice type = ms_gw_request_header(r, "Content-Type");
	struct slice front = ms_slice_sub(type, 0, sizeof("application/grpc") - 1);
	return ms_slice_eq_nocase(front, MS_SLICE_LIT("application/grpc")) &&
	       (type.n == front.n || type.p[front.n] == '+' || type.p[front.n] == ';');
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
