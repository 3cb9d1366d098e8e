// SPDX-License-Identifier: Apache-2.0
// request-termination: an answer of fixed status and text.
#include "gateway/plugins/plugins.h"

struct config {
	int64_t status_code;
	struct slice message, content_type, body, trigger;
	bool echo;
};
static const struct field fields[] = {
	GW_INTEGER(config, status_code, "503", 100, 599, "Status of the answer"),
	GW_STRING(config, message, NULL, "Message of the answer; not with body or content_type"),
	GW_STRING(config, content_type, NULL, "Content-Type of `body`; application/json when not given"),
	GW_STRING(config, body, NULL, "Body of the answer"),
	GW_BOOL(config, echo, "false", "Answer with what was asked, for tests"),
	GW_STRING(config, trigger, NULL, "Only requests with this header or parameter of the query"),
	{0},
};

static const char *default_message(int64_t status)
{
	switch (status) {
	case 401:
		return "Unauthorized";
	case 404:
		return "Not found";
	case 405:
		return "Method not allowed";
	case 500:
		return "An unexpected error occurred";
	case 502:
		return "Bad Gateway";
	case 503:
		return "Service unavailable";
	default:
		return "";
	}
}

static bool triggered(struct gw_request *r, struct slice trigger)
{
	struct gw_args args;
	if (trigger.n == 0 || ms_gw_header(&r->out.headers, trigger).p != NULL)
		return true;
	return r->out.query.n > 0 && ms_gw_args_read(r, r->out.query, &args) &&
	       ms_gw_args_get(&args, trigger, NULL) != NULL;
}

// What came, to the one who sent it.
static void write_request(struct json_writer *w, const struct gw_request *r)
{
	ms_json_key_lit(w, "request");
	ms_json_begin_object(w);
	ms_json_member_text(w, "scheme", r->x->req.tls ? MS_SLICE_LIT("https") : MS_SLICE_LIT("http"));
	ms_json_member_text(w, "host", r->x->req.authority);
	ms_json_member_text(w, "method", r->out.method);
	ms_json_member_text(w, "path", r->match.path);
	ms_json_member_text(w, "raw_query", r->out.query);
	ms_json_key_lit(w, "headers");
	ms_json_begin_object(w);
	for (size_t i = 0; i < r->out.headers.count; i++) {
		const struct http_header *h = &r->out.headers.items[i];
		ms_json_key(w, h->name);
		ms_json_str(w, h->value);
	}
	ms_json_end_object(w);
	ms_json_end_object(w);
	ms_json_key_lit(w, "matched_route");
	ms_json_begin_object(w);
	if (r->route != NULL) {
		ms_json_member_text(w, "id", ms_slice_cstr(r->route->id));
		ms_json_member_text(w, "name", r->route->name);
	}
	ms_json_end_object(w);
}

static enum gw_verdict echo(struct gw_request *r, const struct config *c, const char *message)
{
	struct buf text;
	struct json_writer w;
	ms_buf_init(&text, 262144);
	ms_json_writer_init(&w, &text);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "message");
	if (c->message.n > 0)
		ms_json_str(&w, c->message);
	else
		ms_json_cstr(&w, message);
	write_request(&w, r);
	ms_json_end_object(&w);
	ms_gw_answer(r, (int)c->status_code, MS_SLICE_LIT("application/json; charset=utf-8"), ms_buf_slice(&text));
	ms_buf_fini(&text);
	return GW_ANSWERED;
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	const char *message = default_message(c->status_code);
	(void)state;
	if (!triggered(r, c->trigger))
		return GW_NEXT;
	if (c->echo)
		return echo(r, c, message);
	bool bare = c->status_code < 200 || c->status_code == 204 || c->status_code == 304;
	if (bare || c->body.n > 0) {
		struct slice type =
			c->content_type.n > 0 ? c->content_type : MS_SLICE_LIT("application/json; charset=utf-8");
		ms_gw_answer(r, (int)c->status_code, bare ? MS_SLICE_EMPTY : type, bare ? MS_SLICE_EMPTY : c->body);
		return GW_ANSWERED;
	}
	struct slice own = c->message.n > 0 ? ms_gw_text(r, "%.*s", MS_SLICE_ARG(c->message)) : MS_SLICE_EMPTY;
	ms_gw_fail(r, (int)c->status_code, "gateway.terminated", own.p != NULL ? own.p : message);
	return GW_ANSWERED;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	const struct config *c = config;
	(void)plan;
	if (c->message.n > 0 && (c->content_type.n > 0 || c->body.n > 0)) {
		ms_problem_add(problems, path, NULL, "message cannot be used with content_type or body");
		return false;
	}
	if (c->content_type.n > 0 && c->body.n == 0) {
		ms_problem_add(problems, path, NULL, "content_type requires a body");
		return false;
	}
	if (c->status_code < 200) {
		ms_problem_add(problems, path, NULL, "status_code: %lld would promise another answer; 200 to 599",
			       (long long)c->status_code);
		return false;
	}
	if (!ms_gw_header_value_ok(c->content_type)) {
		ms_problem_add(problems, path, NULL, "content_type: no control characters");
		return false;
	}
	return true;
}

const struct gw_plugin_kind ms_plugin_request_termination = {
	.name = "request-termination",
	.priority = 2,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.per_consumer = true,
	.help = "Answers with a fixed status and text",
	.compile = compile,
	.access = access,
};
