// SPDX-License-Identifier: Apache-2.0
// http-log: tells a server of each request, in batches, behind a bounded queue; requests never wait for it.
#include <stdlib.h>

#include "crypto/crypto.h"
#include "gateway/plugins/http_log.h"

#define ENTRY_MAX ((size_t)256 << 10)

static const char *const methods[] = {"POST", "PUT", "PATCH", NULL};
static const char *const types[] = {"application/json", "application/json; charset=utf-8", NULL};
static const struct field queue_fields[] = {
	GW_INTEGER(gw_log_queue_config, max_batch_size, "1", 1, 1000000,
		   "Entries sent together, as an array when more than 1"),
	GW_NUMBER(gw_log_queue_config, max_coalescing_delay, "1", 0, 3600, "Seconds that an entry waits for others"),
	GW_INTEGER(gw_log_queue_config, max_entries, "10000", 1, 1000000,
		   "Entries that may wait on each loop; more are dropped"),
	GW_INTEGER(gw_log_queue_config, max_bytes, "67108864", 1024, 4294967296, "Bytes that may wait on each loop"),
	GW_NUMBER(gw_log_queue_config, max_retry_time, "60", 0, 86400, "Seconds until a batch is given up"),
	GW_NUMBER(gw_log_queue_config, initial_retry_delay, "0.01", 0.001, 1000000,
		  "Seconds before the first retry, doubled each time"),
	GW_NUMBER(gw_log_queue_config, max_retry_delay, "60", 0.001, 1000000, "Longest wait before a retry"),
	GW_INTEGER(gw_log_queue_config, concurrency_limit, "1", -1, 1, "Accepted: each loop sends one batch at a time"),
	{0},
};
static const struct field fields[] = {
	GW_FIELD(gw_log_config, http_endpoint, FIELD_STRING, .required = true, .secret = true,
		 .help = "URL that is told"),
	GW_CHOICE(gw_log_config, method, "\"POST\"", methods, "Method"),
	GW_CHOICE(gw_log_config, content_type, "\"application/json\"", types, "Content type"),
	GW_INTEGER(gw_log_config, timeout, "10000", 1, 600000, "Milliseconds for an answer"),
	GW_INTEGER(gw_log_config, keepalive, "60000", 0, 2147483647,
		   "Accepted: connections are kept by the gateway's own rule"),
	GW_INTEGER(gw_log_config, retry_count, "10", 0, 1000000, "Accepted: queue.max_retry_time counts"),
	GW_INTEGER(gw_log_config, queue_size, "0", 0, 1000000, "Older name of queue.max_batch_size"),
	GW_NUMBER(gw_log_config, flush_timeout, "0", 0, 3600, "Older name of queue.max_coalescing_delay"),
	GW_FIELD(gw_log_config, headers, FIELD_MAP, .secret = true, .help = "Headers that are sent"),
	GW_RECORD(gw_log_config, queue, queue_fields, "The queue"),
	GW_FIELD(gw_log_config, custom_fields_by_lua, FIELD_MAP, .help = "Refused: no Lua is run here"),
	{0},
};

static void over(struct gw_request *r, const void *config, void **state, const struct http_outcome *outcome)
{
	struct buf entry;
	(void)state;
	struct gw_log_queue *queue = ms_http_log_queue(r, config);
	if (queue == NULL)
		return;
	ms_buf_init(&entry, ENTRY_MAX);
	ms_http_log_entry(r, outcome, &entry);
	if (ms_buf_ok(&entry))
		ms_http_log_put(queue, ms_buf_slice(&entry));
	else
		ms_buf_fini(&entry);
}

// --- Configuration -------------------------------------------------------------------------------------------------

// "http://user:password@host:port/path?query"
static bool read_url(struct gw_log_config *c, struct slice *ret_user)
{
	struct slice url = c->http_endpoint, rest;
	uint64_t port = 0;
	c->tls = ms_slice_starts_with(url, MS_SLICE_LIT("https://"));
	if (!c->tls && !ms_slice_starts_with(url, MS_SLICE_LIT("http://")))
		return false;
	rest = ms_slice_sub(url, c->tls ? 8 : 7, url.n);
	size_t slash = MS_MIN(ms_slice_find(rest, '/'), ms_slice_find(rest, '?'));
	struct slice authority = ms_slice_sub(rest, 0, slash);
	c->target = slash < rest.n ? ms_slice_sub(rest, slash, rest.n) : MS_SLICE_LIT("/");
	size_t at = authority.n;
	while (at > 0 && authority.p[at - 1] != '@')
		at--;
	*ret_user = at > 0 ? ms_slice_sub(authority, 0, at - 1) : MS_SLICE_EMPTY;
	c->authority = authority = ms_slice_sub(authority, at, authority.n);
	bool bracketed = authority.n > 0 && authority.p[0] == '[';
	size_t end = bracketed ? ms_slice_find(authority, ']') : ms_slice_find(authority, ':');
	c->host = bracketed ? ms_slice_sub(authority, 1, end - 1) : ms_slice_sub(authority, 0, end);
	struct slice tail = ms_slice_sub(authority, bracketed ? end + 1 : end, authority.n);
	c->port = c->tls ? 443 : 80;
	if (tail.n > 0) {
		if (tail.p[0] != ':' || !ms_slice_to_u64(ms_slice_sub(tail, 1, tail.n), &port) || port == 0 ||
		    port > GW_PORT_MAX)
			return false;
		c->port = (unsigned)port;
	}
	for (size_t i = 0; i < url.n; i++) {
		if ((unsigned char)url.p[i] <= ' ' || (unsigned char)url.p[i] >= 0x7f)
			return false;
	}
	return c->host.n > 0 && c->target.p[0] == '/';
}

static void digest_map(struct buf *text, const struct text_map *map)
{
	for (size_t i = 0; i < map->count; i++) {
		ms_buf_append_slice(text, map->items[i].name);
		for (size_t j = 0; j < map->items[i].values.count; j++) {
			ms_buf_append_char(text, '\n');
			ms_buf_append_slice(text, map->items[i].values.items[j]);
		}
		ms_buf_append_char(text, '\0');
	}
}

static bool make_name(struct plan *plan, struct gw_log_config *c)
{
	struct buf text;
	char hex[MS_SHA256_HEX_SIZE];
	ms_buf_init(&text, 1 << 20);
	ms_buf_append_slice(&text, c->http_endpoint);
	ms_buf_printf(&text, "\n%d %d %lld %lld %lld %lld %g %g %g %g\n", c->method, c->content_type,
		      (long long)c->timeout, (long long)c->queue.max_batch_size, (long long)c->queue.max_entries,
		      (long long)c->queue.max_bytes, c->queue.max_coalescing_delay, c->queue.max_retry_time,
		      c->queue.initial_retry_delay, c->queue.max_retry_delay);
	digest_map(&text, &c->headers);
	bool ok = ms_buf_ok(&text);
	ms_sha256_hex(ok ? ms_buf_slice(&text) : MS_SLICE_EMPTY, hex);
	ms_buf_fini(&text);
	c->name = ms_slice_cstr(ms_arena_printf(&plan->arena, "http-log:%s", hex));
	return ok && c->name.p != NULL;
}

static bool make_authorization(struct plan *plan, struct gw_log_config *c, struct slice user)
{
	struct buf text;
	if (user.n == 0)
		return true;
	ms_buf_init(&text, 8192);
	ms_buf_append_cstr(&text, "Basic ");
	ms_base64_append(&text, user);
	c->authorization = ms_buf_ok(&text) ? ms_arena_copy(&plan->arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	return c->authorization.p != NULL;
}

static bool headers_ok(const struct text_map *headers)
{
	for (size_t i = 0; i < headers->count; i++) {
		if (!ms_gw_header_name_ok(headers->items[i].name))
			return false;
		for (size_t j = 0; j < headers->items[i].values.count; j++) {
			if (!ms_gw_header_value_ok(headers->items[i].values.items[j]))
				return false;
		}
	}
	return true;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	struct gw_log_config *c = config;
	struct slice user = MS_SLICE_EMPTY;
	if (c->custom_fields_by_lua.count > 0) {
		ms_problem_add(problems, path, NULL, "custom_fields_by_lua: no Lua is run here; leave it out");
		return false;
	}
	if (!read_url(c, &user)) {
		ms_problem_add(problems, path, NULL,
			       "http_endpoint: expected a URL such as https://logs.example:8443/path");
		return false;
	}
	if (!headers_ok(&c->headers)) {
		ms_problem_add(problems, path, NULL,
			       "headers: expected names and values of headers, without control characters");
		return false;
	}
	if (c->queue_size > 0)
		c->queue.max_batch_size = c->queue_size;
	if (c->flush_timeout > 0)
		c->queue.max_coalescing_delay = c->flush_timeout;
	c->method_text = ms_slice_cstr(methods[c->method]);
	return make_authorization(plan, c, user) && make_name(plan, c);
}

const struct gw_plugin_kind ms_plugin_http_log = {
	.name = "http-log",
	.priority = 12,
	.fields = fields,
	.config_bytes = sizeof(struct gw_log_config),
	.per_consumer = true,
	.help = "Tells a server of each request",
	.compile = compile,
	.over = over,
};
