// SPDX-License-Identifier: Apache-2.0
// The OpenAPI 3.1 document, written from the route table that serves the requests.
#include <stdio.h>
#include <stdlib.h>

#include "console/private.h"

#define OPENAPI_MAX_BYTES ((size_t)4 << 20)
#define PATH_MAX_BYTES 1024 // of the patterns in our tables

static const char error_schema[] =
	"{\"type\":\"object\",\"required\":[\"error\",\"code\",\"request_id\"],\"properties\":{"
	"\"error\":{\"type\":\"string\",\"description\":\"What is wrong, in words\"},"
	"\"code\":{\"type\":\"string\",\"description\":\"module.reason\"},\"request_id\":{\"type\":\"string\"},"
	"\"details\":{\"type\":\"object\",\"properties\":{\"field\":{\"type\":\"string\"},\"row\":{\"type\":"
	"\"integer\"},"
	"\"line\":{\"type\":\"integer\"},\"offset\":{\"type\":\"integer\"}}}}}";

static void write_parameter(struct json_writer *w, struct slice name, const char *place, const char *type,
			    const char *description, bool required)
{
	ms_json_begin_object(w);
	ms_json_key_lit(w, "name");
	ms_json_str(w, name);
	ms_json_key_lit(w, "in");
	ms_json_cstr(w, place);
	ms_json_key_lit(w, "required");
	ms_json_bool(w, required);
	if (description != NULL) {
		ms_json_key_lit(w, "description");
		ms_json_cstr(w, description);
	}
	ms_json_key_lit(w, "schema");
	ms_json_begin_object(w);
	ms_json_key_lit(w, "type");
	ms_json_cstr(w, type);
	ms_json_end_object(w);
	ms_json_end_object(w);
}

// "/files/{path...}" is "/files/{path}" in the document, which knows no rest of a path.
static struct slice path_of(const struct route *route, char *dst, size_t size)
{
	const char *tail = strstr(route->pattern, "...}");
	int head = (int)(tail != NULL ? (size_t)(tail - route->pattern) : strlen(route->pattern));
	int n = snprintf(dst, size, "%.*s%s", head, route->pattern, tail != NULL ? "}" : "");
	MS_ASSERT(n > 0 && (size_t)n < size);
	return ms_slice(dst, (size_t)n);
}

// The {names} of the path, then the query parameters.
static void write_parameters(struct json_writer *w, const struct route *route)
{
	char path[PATH_MAX_BYTES];
	struct slice rest = path_of(route, path, sizeof(path)), part;
	ms_json_key_lit(w, "parameters");
	ms_json_begin_array(w);
	while (ms_slice_next(&rest, '/', &part)) {
		if (part.n > 2 && part.p[0] == '{')
			write_parameter(w, ms_slice_sub(part, 1, part.n - 2), "path", "string", NULL, true);
	}
	for (const struct route_param *p = route->query; p != NULL && p->name != NULL; p++)
		write_parameter(w, ms_slice_cstr(p->name), "query", p->type, p->description, p->required);
	ms_json_end_array(w);
}

static void write_content(struct json_writer *w, const char *type, const char *schema, const char *example)
{
	ms_json_key_lit(w, "content");
	ms_json_begin_object(w);
	ms_json_key_lit(w, type);
	ms_json_begin_object(w);
	ms_json_key_lit(w, "schema");
	ms_json_raw(w, ms_slice_cstr(schema != NULL ? schema : "{}"));
	if (example != NULL) {
		ms_json_key_lit(w, "example");
		ms_json_raw(w, ms_slice_cstr(example));
	}
	ms_json_end_object(w);
	ms_json_end_object(w);
}

static void write_error(struct json_writer *w, const char *status, const char *name)
{
	char place[64];
	int n = snprintf(place, sizeof(place), "#/components/responses/%s", name);
	ms_json_key_lit(w, status);
	ms_json_begin_object(w);
	ms_json_key_lit(w, "$ref");
	ms_json_str(w, ms_slice(place, (size_t)n));
	ms_json_end_object(w);
}

// Whoever may call the route, by token or by key; nobody has to be known for a public one.
static void write_security(struct json_writer *w, const struct route *route)
{
	static const char *const schemes[] = {"bearer", "apiKey"};
	ms_json_key_lit(w, "security");
	ms_json_begin_array(w);
	for (size_t i = 0; i < MS_ARRAY_LEN(schemes) && (route->flags & ROUTE_PUBLIC) == 0; i++) {
		ms_json_begin_object(w);
		ms_json_key_lit(w, schemes[i]);
		ms_json_begin_array(w);
		ms_json_end_array(w);
		ms_json_end_object(w);
	}
	ms_json_end_array(w);
	if (route->permission != NULL) {
		ms_json_key_lit(w, "x-permission");
		ms_json_cstr(w, route->permission);
	}
}

static void write_responses(struct json_writer *w, const struct route *route)
{
	bool has_body = route->response_schema != NULL || route->response_type != NULL;
	ms_json_key_lit(w, "responses");
	ms_json_begin_object(w);
	ms_json_key_lit(w, "2XX"); // 200, 201 or, without a body, 204: as it happens to be
	ms_json_begin_object(w);
	ms_json_key_lit(w, "description");
	ms_json_cstr(w, has_body ? "Done" : "Done; nothing comes back");
	if (has_body)
		write_content(w, route->response_type != NULL ? route->response_type : "application/json",
			      route->response_schema, NULL);
	ms_json_end_object(w);
	if ((route->flags & ROUTE_PUBLIC) == 0) {
		write_error(w, "401", "Unauthenticated");
		write_error(w, "403", "Forbidden");
	}
	write_error(w, "default", "Error");
	ms_json_end_object(w);
}

static void write_operation(struct json_writer *w, const struct route *route)
{
	char method[16];
	const char *name = ms_http_method_name(route->method);
	size_t n = 0;
	for (; name[n] != '\0' && n < sizeof(method) - 1; n++)
		method[n] = (char)(name[n] + ('a' - 'A'));
	ms_json_key(w, ms_slice(method, n));
	ms_json_begin_object(w);
	ms_json_key_lit(w, "operationId");
	ms_json_cstr(w, route->operation_id);
	ms_json_key_lit(w, "tags");
	ms_json_begin_array(w);
	ms_json_cstr(w, route->tag);
	ms_json_end_array(w);
	ms_json_key_lit(w, "summary");
	ms_json_cstr(w, route->summary);
	if (route->description != NULL) {
		ms_json_key_lit(w, "description");
		ms_json_cstr(w, route->description);
	}
	write_parameters(w, route);
	if (route->request_type != NULL) {
		ms_json_key_lit(w, "requestBody");
		ms_json_begin_object(w);
		write_content(w, route->request_type, route->request_schema, route->request_example);
		ms_json_end_object(w);
	}
	write_security(w, route);
	write_responses(w, route);
	ms_json_end_object(w);
}

static bool is_shown(const struct route *route)
{
	return (route->flags & ROUTE_HIDDEN) == 0;
}

// The first shown route of its pattern writes the path with the methods of all of them.
static void write_path(struct json_writer *w, const struct http_server *server, size_t first)
{
	const struct route *route = ms_http_server_route(server, first), *other;
	struct slice pattern = ms_slice_cstr(route->pattern);
	for (size_t i = 0; i < first; i++) {
		other = ms_http_server_route(server, i);
		if (is_shown(other) && ms_slice_eq_cstr(pattern, other->pattern))
			return;
	}
	char path[PATH_MAX_BYTES];
	ms_json_key(w, path_of(route, path, sizeof(path)));
	ms_json_begin_object(w);
	for (size_t i = first; (other = ms_http_server_route(server, i)) != NULL; i++) {
		if (is_shown(other) && ms_slice_eq_cstr(pattern, other->pattern))
			write_operation(w, other);
	}
	ms_json_end_object(w);
}

static void write_error_response(struct json_writer *w, const char *name, const char *description)
{
	ms_json_key_lit(w, name);
	ms_json_begin_object(w);
	ms_json_key_lit(w, "description");
	ms_json_cstr(w, description);
	write_content(w, "application/json", error_schema, NULL);
	ms_json_end_object(w);
}

static const char security_schemes[] =
	"{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\",\"description\":\"An access token, or an API key\"},"
	"\"apiKey\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-API-Key\"}}";

static void write_components(struct json_writer *w)
{
	ms_json_key_lit(w, "components");
	ms_json_begin_object(w);
	ms_json_key_lit(w, "securitySchemes");
	ms_json_raw(w, ms_slice_cstr(security_schemes));
	ms_json_key_lit(w, "responses");
	ms_json_begin_object(w);
	write_error_response(w, "Error", "What was wrong, where, and what would be right");
	write_error_response(w, "Unauthenticated", "Credentials are missing, not valid, expired or revoked");
	write_error_response(w, "Forbidden", "The caller has no permission for this, or not for this object");
	ms_json_end_object(w);
	ms_json_end_object(w);
}

void ms_console_write_openapi(const struct http_server *server, struct buf *out)
{
	struct json_writer w;
	const struct route *route;
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "openapi");
	ms_json_cstr(&w, "3.1.0");
	ms_json_key_lit(&w, "info");
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "title");
	ms_json_cstr(&w, "Mainstay");
	ms_json_key_lit(&w, "version");
	ms_json_cstr(&w, MAINSTAY_VERSION);
	ms_json_key_lit(&w, "description");
	ms_json_cstr(&w, "Machine learning in production: model serving and what stands around it.");
	ms_json_end_object(&w);
	ms_json_key_lit(&w, "paths");
	ms_json_begin_object(&w);
	for (size_t i = 0; (route = ms_http_server_route(server, i)) != NULL; i++) {
		if (is_shown(route))
			write_path(&w, server, i);
	}
	ms_json_end_object(&w);
	write_components(&w);
	ms_json_end_object(&w);
}

static void openapi(struct exchange *x, void *role)
{
	const struct console *console = role;
	ms_buf_append_slice(x->body, ms_buf_slice(&console->openapi));
	ms_http_send_json(x, 200);
}

static void docs(struct exchange *x, void *role)
{
	(void)role;
	ms_buf_append(x->body, ms_console_docs_page, ms_console_docs_page_size);
	// The page holds its own script and style and talks to this server alone.
	ms_http_set_header(
		x, "Content-Security-Policy",
		MS_SLICE_LIT("default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src "
			     "'self'; "
			     "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"));
	ms_http_send(x, 200, "text/html; charset=utf-8");
}

static const struct route docs_routes[] = {
	{.method = HTTP_GET,
	 .pattern = "/openapi.json",
	 .handle = openapi,
	 .tag = "documentation",
	 .flags = ROUTE_PUBLIC,
	 .operation_id = "openapi",
	 .summary = "This document",
	 .response_schema = "{\"type\":\"object\"}"},
	{.method = HTTP_GET,
	 .pattern = "/docs",
	 .handle = docs,
	 .tag = "documentation",
	 .flags = ROUTE_PUBLIC,
	 .operation_id = "docs",
	 .summary = "This document as a page",
	 .response_type = "text/html"},
};

struct route_set ms_console_docs_routes(struct console *console)
{
	return (struct route_set){.routes = docs_routes, .count = MS_ARRAY_LEN(docs_routes), .role = console};
}

enum ms_err ms_console_new(const struct console_options *options, struct errinfo *info, struct console **ret_console)
{
	struct console *console = calloc(1, sizeof(*console));
	if (console == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the console");
	console->options = *options;
	atomic_init(&console->memory_limit, options->memory_limit);
	ms_buf_init(&console->openapi, OPENAPI_MAX_BYTES);
	*ret_console = console;
	return MS_OK;
}

enum ms_err ms_console_attach(struct console *console, const struct http_server *server, struct errinfo *info)
{
	ms_buf_clear(&console->openapi);
	ms_console_write_openapi(server, &console->openapi);
	return ms_buf_ok(&console->openapi) ? MS_OK
					    : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the OpenAPI document");
}

void ms_console_set_memory_limit(struct console *console, uint64_t bytes)
{
	atomic_store(&console->memory_limit, bytes);
}

void ms_console_free(struct console *console)
{
	if (console == NULL)
		return;
	ms_buf_fini(&console->openapi);
	free(console);
}
