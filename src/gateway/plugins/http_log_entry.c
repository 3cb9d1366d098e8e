// SPDX-License-Identifier: Apache-2.0
// One request as http-log tells of it: JSON of the shape that readers of Kong's logs know.
#include "gateway/plugins/http_log.h"

#define REDACTED MS_SLICE_LIT("REDACTED")

// Names under which clients send secrets, in headers and in queries.
static bool is_secret_name(struct slice name)
{
	static const char *const names[] = {"Authorization", "Proxy-Authorization",
					    "Cookie",        "Set-Cookie",
					    "X-API-Key",     "apikey",
					    "api_key",       "access_token",
					    "id_token",      "refresh_token",
					    "jwt",           "token",
					    "client_secret", "password"};
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++) {
		if (ms_slice_eq_nocase(name, ms_slice_cstr(names[i])))
			return true;
	}
	return false;
}

// By its name, or because it is the key that let the caller in, under whatever name.
static bool is_secret(const struct gw_request *r, struct slice name, struct slice value)
{
	return is_secret_name(name) || (r->credential != NULL && r->credential->kind == GW_KEYAUTH && value.n > 0 &&
					ms_slice_eq(value, r->credential->key));
}

// Names in lower case; a name that is there twice: the first counts.
static void write_headers(struct json_writer *w, const struct gw_request *r, const struct http_header *items,
			  size_t count)
{
	ms_json_key_lit(w, "headers");
	ms_json_begin_object(w);
	for (size_t i = 0; i < count; i++) {
		char lower[128];
		struct slice name = ms_slice_sub(items[i].name, 0, sizeof(lower));
		bool seen = false;
		for (size_t j = 0; j < i && !seen; j++)
			seen = ms_slice_eq_nocase(items[j].name, items[i].name);
		if (seen)
			continue;
		for (size_t j = 0; j < name.n; j++)
			lower[j] = name.p[j] >= 'A' && name.p[j] <= 'Z' ? (char)(name.p[j] + 32) : name.p[j];
		ms_json_key(w, ms_slice(lower, name.n));
		ms_json_str(w, is_secret(r, items[i].name, items[i].value) ? REDACTED : items[i].value);
	}
	ms_json_end_object(w);
}

static void write_args(struct json_writer *w, const struct gw_args *args)
{
	ms_json_key_lit(w, "querystring");
	ms_json_begin_object(w);
	for (size_t i = 0; i < args->count; i++) {
		const struct gw_arg *arg = &args->items[i];
		if (arg->name.p == NULL || ms_gw_args_get(args, arg->name, NULL) != arg)
			continue; // the first of a name
		ms_json_key(w, arg->name);
		if (arg->bare)
			ms_json_bool(w, true);
		else
			ms_json_str(w, arg->value);
	}
	ms_json_end_object(w);
}

// The query without its secrets; as it came when there are none.
static struct slice read_query(struct gw_request *r, struct slice query, struct gw_args *ret_args)
{
	bool changed = false;
	*ret_args = (struct gw_args){.r = r};
	if (query.n == 0)
		return query;
	if (!ms_gw_args_read(r, query, ret_args)) {
		*ret_args = (struct gw_args){.r = r};
		return REDACTED;
	}
	for (size_t i = 0; i < ret_args->count; i++) {
		struct gw_arg *arg = &ret_args->items[i];
		if (arg->name.p == NULL || arg->bare || !is_secret(r, arg->name, arg->value))
			continue;
		arg->value = REDACTED;
		arg->raw = MS_SLICE_EMPTY;
		changed = true;
	}
	return !changed || ms_gw_args_write(ret_args, &query) ? query : REDACTED;
}

static void write_request(struct json_writer *w, struct gw_request *r)
{
	const struct http_request *req = &r->x->req;
	struct gw_args args;
	size_t mark = ms_slice_find(req->target, '?');
	struct slice query = read_query(r, ms_slice_sub(req->target, mark + 1, SIZE_MAX), &args);
	struct slice uri = ms_gw_text(r, "%.*s%s%.*s", MS_SLICE_ARG(ms_slice_sub(req->target, 0, mark)),
				      query.n > 0 ? "?" : "", MS_SLICE_ARG(query));
	struct slice url = ms_gw_text(r, "%s://%.*s%.*s", r->tls ? "https" : "http", MS_SLICE_ARG(req->authority),
				      MS_SLICE_ARG(uri));
	ms_json_key_lit(w, "request");
	ms_json_begin_object(w);
	ms_json_member_text(w, "id", req->id);
	ms_json_member_text(w, "method", ms_slice_cstr(ms_http_method_name(req->method)));
	ms_json_member_text(w, "uri", uri);
	ms_json_member_text(w, "url", url);
	ms_json_key_lit(w, "size");
	ms_json_u64(w, req->has_body && req->content_length != UINT64_MAX ? req->content_length : 0);
	write_args(w, &args);
	write_headers(w, r, req->headers, req->header_count);
	ms_json_end_object(w);
}

static void write_response(struct json_writer *w, const struct gw_request *r, const struct http_outcome *outcome)
{
	ms_json_key_lit(w, "response");
	ms_json_begin_object(w);
	ms_json_key_lit(w, "status");
	ms_json_i64(w, outcome->status);
	ms_json_key_lit(w, "size");
	ms_json_u64(w, outcome->body_bytes);
	write_headers(w, r, r->answer.headers.items, r->answer.headers.count);
	ms_json_end_object(w);
}

static void write_latencies(struct json_writer *w, const struct gw_request *r, const struct http_outcome *outcome)
{
	int64_t all = outcome->duration_ns / 1000000, proxy = -1, own = all;
	if (r->sent_ns > 0 && r->upstream_ns >= r->sent_ns) {
		proxy = (r->upstream_ns - r->sent_ns) / 1000000;
		own = MS_MAX(r->sent_ns - r->start_ns, (int64_t)0) / 1000000;
	}
	ms_json_key_lit(w, "latencies");
	ms_json_begin_object(w);
	ms_json_key_lit(w, "request");
	ms_json_i64(w, all);
	ms_json_key_lit(w, "kong");
	ms_json_i64(w, own);
	ms_json_key_lit(w, "proxy");
	ms_json_i64(w, proxy);
	ms_json_key_lit(w, "receive");
	ms_json_i64(w, proxy < 0 ? 0 : MS_MAX(all - own - proxy, (int64_t)0));
	ms_json_end_object(w);
}

static void write_service(struct json_writer *w, const struct gw_service *s)
{
	static const char *const protocols[] = {"http", "https", "grpc", "grpcs", "ws", "wss", "local"};
	ms_json_key_lit(w, "service");
	ms_json_begin_object(w);
	ms_json_member_text(w, "id", ms_slice_cstr(s->id));
	ms_json_member_text(w, "name", s->name);
	ms_json_member_text(w, "protocol", ms_slice_cstr(protocols[s->protocol]));
	ms_json_member_text(w, "host", s->host);
	ms_json_key_lit(w, "port");
	ms_json_i64(w, s->port);
	ms_json_member_text(w, "path", s->path);
	ms_json_end_object(w);
}

static void write_route(struct json_writer *w, const struct gw_route *route)
{
	ms_json_key_lit(w, "route");
	ms_json_begin_object(w);
	ms_json_member_text(w, "id", ms_slice_cstr(route->id));
	ms_json_member_text(w, "name", route->name);
	ms_json_key_lit(w, "paths");
	ms_json_begin_array(w);
	for (size_t i = 0; i < route->paths.count; i++)
		ms_json_str(w, route->paths.items[i]);
	ms_json_end_array(w);
	ms_json_end_object(w);
}

static void write_caller(struct json_writer *w, const struct gw_request *r)
{
	if (r->consumer != NULL) {
		ms_json_key_lit(w, "consumer");
		ms_json_begin_object(w);
		ms_json_member_text(w, "id", ms_slice_cstr(r->consumer->id));
		ms_json_member_text(w, "username", r->consumer->username);
		ms_json_member_text(w, "custom_id", r->consumer->custom_id);
		ms_json_end_object(w);
	}
	if (r->credential != NULL || r->credential_id.n > 0) {
		ms_json_key_lit(w, "authenticated_entity");
		ms_json_begin_object(w);
		ms_json_member_text(w, "id",
				    r->credential != NULL ? ms_slice_cstr(r->credential->id) : r->credential_id);
		ms_json_end_object(w);
	}
}

static void write_tries(struct json_writer *w, const struct gw_request *r)
{
	size_t colon = r->target.n;
	uint64_t port = 0;
	while (colon > 0 && r->target.p[colon - 1] != ':')
		colon--;
	ms_json_key_lit(w, "tries");
	ms_json_begin_array(w);
	if (colon > 0 && ms_slice_to_u64(ms_slice_sub(r->target, colon, r->target.n), &port)) {
		ms_json_begin_object(w);
		ms_json_member_text(w, "ip", ms_slice_sub(r->target, 0, colon - 1));
		ms_json_key_lit(w, "port");
		ms_json_u64(w, port);
		ms_json_key_lit(w, "tries");
		ms_json_u64(w, r->tries);
		ms_json_end_object(w);
	}
	ms_json_end_array(w);
}

void ms_http_log_entry(struct gw_request *r, const struct http_outcome *outcome, struct buf *out)
{
	static const char *const sources[] = {"error", "upstream", "exit", "exit", "upstream"};
	struct json_writer w;
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	write_request(&w, r);
	write_response(&w, r, outcome);
	write_latencies(&w, r, outcome);
	if (r->service != NULL)
		write_service(&w, r->service);
	if (r->route != NULL)
		write_route(&w, r->route);
	write_caller(&w, r);
	write_tries(&w, r);
	ms_json_member_text(&w, "client_ip", r->client_ip);
	ms_json_member_text(&w, "upstream_uri", r->out.path);
	if (r->upstream_status > 0) {
		struct slice text = ms_gw_text(r, "%d", r->upstream_status); // text, as in Kong: there may be several
		ms_json_member_text(&w, "upstream_status", text);
	}
	ms_json_member_text(&w, "source", ms_slice_cstr(sources[r->answer.source]));
	ms_json_member_text(&w, "workspace_name", MS_SLICE_LIT("default"));
	ms_json_key_lit(&w, "started_at");
	ms_json_i64(&w, r->wall_ns / 1000000);
	ms_json_end_object(&w);
}
