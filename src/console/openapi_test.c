// SPDX-License-Identifier: Apache-2.0
// The OpenAPI document of the console's own routes and of a table with every kind of route.
#include <stdio.h>

#include "console/private.h"
#include "tests/lib/test.h"

static void handle(struct exchange *x, void *role)
{
	(void)role;
	ms_http_send(x, 204, NULL);
}

static const struct route_param query[] = {
	{.name = "limit", .type = "integer", .description = "how many", .required = false},
	{.name = "q", .type = "string", .description = "what", .required = true},
	{0},
};

static const struct route table[] = {
	{.method = HTTP_GET,
	 .pattern = "/things/{thing}",
	 .handle = handle,
	 .tag = "things",
	 .operation_id = "thing_show",
	 .summary = "Shows \"it\"",
	 .description = "In *words*",
	 .permission = "things.read",
	 .object = 1,
	 .query = query,
	 .response_schema = "{\"type\":\"object\"}"},
	{.method = HTTP_GET, .pattern = "/secret", .handle = handle, .flags = ROUTE_HIDDEN, .tag = "t", .summary = "s"},
	{.method = HTTP_PUT,
	 .pattern = "/things/{thing}",
	 .handle = handle,
	 .tag = "things",
	 .operation_id = "thing_put",
	 .summary = "Keeps it",
	 .request_type = "application/json",
	 .request_schema = "{\"type\":\"object\",\"required\":[\"a\"]}",
	 .request_example = "{\"a\":1}"},
	{.method = HTTP_POST,
	 .pattern = "/things/{thing}/parts/{part}",
	 .handle = handle,
	 .tag = "things",
	 .operation_id = "part_make",
	 .summary = "Takes bytes",
	 .request_type = "application/octet-stream",
	 .response_type = "text/csv"},
	{.method = HTTP_GET,
	 .pattern = "/secret/too",
	 .handle = handle,
	 .flags = ROUTE_HIDDEN,
	 .tag = "t",
	 .summary = "s"},
	{.method = HTTP_DELETE,
	 .pattern = "/files/{path...}",
	 .handle = handle,
	 .flags = ROUTE_PUBLIC,
	 .tag = "files",
	 .operation_id = "file_remove",
	 .summary = "Removes it"},
};

static bool is_ready(void *arg)
{
	(void)arg;
	return true;
}

struct page {
	struct rt *rt;
	struct http_server *server;
	struct console *console;
	struct metrics *metrics;
	struct log *log;
	struct route_set sets[3]; // outlive the server
	struct arena arena;
	const struct json_value *document;
};

static void page_open(struct page *page)
{
	static const struct http_listen listen = {.address = "127.0.0.1:0"};
	static const size_t none = 0;
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &page->rt) == MS_OK);
	REQUIRE(ms_metrics_new(1, &page->metrics) == MS_OK);
	REQUIRE(ms_log_new(&(struct log_options){.level = LOG_ERROR, .fd = 2, .service = "t", .version = "1"}, NULL,
			   &page->log) == MS_OK);
	const struct console_options options = {.is_ready = is_ready, .check_count = &none, .metrics = page->metrics};
	REQUIRE(ms_console_new(&options, NULL, &page->console) == MS_OK);
	page->sets[0] = ms_console_routes(page->console);
	page->sets[1] = ms_console_docs_routes(page->console);
	page->sets[2] = (struct route_set){.routes = table, .count = MS_ARRAY_LEN(table)};
	REQUIRE(ms_http_server_new(&(struct http_server_options){.rt = page->rt,
								 .log = page->log,
								 .metrics = page->metrics,
								 .route_sets = page->sets,
								 .route_set_count = MS_ARRAY_LEN(page->sets),
								 .listens = &listen,
								 .listen_count = 1,
								 .limits = MS_HTTP_DEFAULT_LIMITS},
				   NULL, &page->server) == MS_OK);
	REQUIRE(ms_console_attach(page->console, page->server, NULL) == MS_OK);
	ms_arena_init(&page->arena, 4096, 1 << 20);
	struct errinfo info;
	ms_errinfo_init(&info);
	// The parser refuses keys that come twice: two routes of one path share one entry.
	enum ms_err err =
		ms_json_parse(ms_buf_slice(&page->console->openapi), NULL, &page->arena, &info, &page->document);
	CHECK_STR(info.message, "");
	REQUIRE(err == MS_OK);
}

static void page_close(struct page *page)
{
	ms_arena_fini(&page->arena);
	ms_rt_stop(page->rt);
	MS_IGNORE(ms_rt_run(page->rt, NULL));
	ms_http_server_free(page->server);
	ms_rt_free(page->rt);
	ms_console_free(page->console);
	ms_log_free(page->log);
	ms_metrics_free(page->metrics);
}

// The value at a path of keys and indexes that ends with NULL.
static const struct json_value *at(const struct json_value *v, const char *const *keys)
{
	for (; v != NULL && *keys != NULL; keys++) {
		size_t index = (size_t)(**keys - '0');
		if (v->type == JSON_ARRAY)
			v = index < v->array.count ? &v->array.items[index] : NULL;
		else
			v = ms_json_get(v, *keys);
	}
	return v;
}
#define AT(v, ...) at((v), (const char *const[]){__VA_ARGS__, NULL})

static struct slice text_of(const struct json_value *v)
{
	struct slice text = MS_SLICE_EMPTY;
	return ms_json_as_str(v, &text) ? text : MS_SLICE_LIT("(no string)");
}

// Every $ref below names something of the document. Returns how many there are.
static size_t count_references(const struct json_value *root, const struct json_value *v)
{
	size_t count = 0;
	for (size_t i = 0; v->type == JSON_ARRAY && i < v->array.count; i++)
		count += count_references(root, &v->array.items[i]);
	for (size_t i = 0; v->type == JSON_OBJECT && i < v->object.count; i++) {
		const struct json_member *member = &v->object.members[i];
		count += count_references(root, &member->value);
		if (!ms_slice_eq_cstr(member->key, "$ref"))
			continue;
		struct slice rest = text_of(&member->value), part;
		const struct json_value *target = root;
		REQUIRE(ms_slice_next(&rest, '/', &part));
		CHECK_SLICE(part, "#");
		while (ms_slice_next(&rest, '/', &part)) {
			char key[100];
			REQUIRE(ms_slice_to_cstr(part, key, sizeof(key)));
			target = ms_json_get(target, key);
		}
		CHECK(target != NULL && target->type == JSON_OBJECT);
		count++;
	}
	return count;
}

// Every {name} of the path is a required parameter in the path, and no other is.
static void check_path_parameters(struct slice path, const struct json_value *operation)
{
	size_t named = 0, described = 0;
	const struct json_value *parameters = ms_json_get(operation, "parameters");
	for (size_t i = 0; i < path.n; i++)
		named += path.p[i] == '{';
	for (size_t i = 0; parameters != NULL && i < parameters->array.count; i++) {
		const struct json_value *parameter = &parameters->array.items[i];
		char braced[200];
		bool required = false;
		if (!ms_slice_eq_cstr(text_of(ms_json_get(parameter, "in")), "path"))
			continue;
		snprintf(braced, sizeof(braced), "{%.*s}", MS_SLICE_ARG(text_of(ms_json_get(parameter, "name"))));
		CHECK(memmem(path.p, path.n, braced, strlen(braced)) != NULL);
		CHECK(ms_json_as_bool(ms_json_get(parameter, "required"), &required) && required);
		CHECK_SLICE(text_of(AT(parameter, "schema", "type")), "string");
		described++;
	}
	CHECK_INT(described, named);
}

TEST(openapi_is_a_document_of_version_3_1)
{
	struct page page;
	page_open(&page);
	CHECK_SLICE(text_of(AT(page.document, "openapi")), "3.1.0");
	CHECK_SLICE(text_of(AT(page.document, "info", "title")), "Mainstay");
	CHECK_SLICE(text_of(AT(page.document, "info", "version")), MAINSTAY_VERSION);
	CHECK(count_references(page.document, page.document) > 0);
	page_close(&page);
}

TEST(openapi_shows_every_route_that_is_not_hidden)
{
	struct page page;
	const struct route *route;
	size_t shown = 0, operations = 0;
	page_open(&page);
	const struct json_value *paths = AT(page.document, "paths");
	REQUIRE(paths != NULL);
	for (size_t i = 0; (route = ms_http_server_route(page.server, i)) != NULL; i++) {
		char path[200], method[16] = "";
		const char *tail = strstr(route->pattern, "...}");
		snprintf(path, sizeof(path), "%.*s%s",
			 tail != NULL ? (int)(tail - route->pattern) : (int)strlen(route->pattern), route->pattern,
			 tail != NULL ? "}" : "");
		for (size_t c = 0; ms_http_method_name(route->method)[c] != '\0'; c++)
			method[c] = (char)(ms_http_method_name(route->method)[c] | 0x20);
		const struct json_value *operation = AT(paths, path, method);
		CHECK((operation != NULL) == ((route->flags & ROUTE_HIDDEN) == 0));
		if (operation == NULL)
			continue;
		shown++;
		CHECK_SLICE(text_of(AT(operation, "operationId")), route->operation_id);
		CHECK_SLICE(text_of(AT(operation, "summary")), route->summary);
		CHECK_SLICE(text_of(AT(operation, "tags", "0")), route->tag);
		CHECK(AT(operation, "responses", "default") != NULL);
	}
	for (size_t p = 0; p < paths->object.count; p++) {
		const struct json_value *item = &paths->object.members[p].value;
		for (size_t o = 0; o < item->object.count; o++, operations++)
			check_path_parameters(paths->object.members[p].key, &item->object.members[o].value);
	}
	CHECK_INT(operations, shown);
	CHECK_INT(shown, 7 + MS_ARRAY_LEN(table) - 2);
	page_close(&page);
}

TEST(openapi_says_who_may_call)
{
	struct page page;
	page_open(&page);
	const struct json_value *guarded = AT(page.document, "paths", "/things/{thing}", "get");
	const struct json_value *open = AT(page.document, "paths", "/files/{path}", "delete");
	CHECK(AT(guarded, "security", "0", "bearer") != NULL && AT(guarded, "security", "1", "apiKey") != NULL);
	CHECK_SLICE(text_of(AT(guarded, "x-permission")), "things.read");
	CHECK_SLICE(text_of(AT(guarded, "responses", "401", "$ref")), "#/components/responses/Unauthenticated");
	CHECK_SLICE(text_of(AT(guarded, "responses", "403", "$ref")), "#/components/responses/Forbidden");
	REQUIRE(AT(open, "security") != NULL);
	CHECK_INT(AT(open, "security")->array.count, 0); // nobody has to be known
	CHECK(AT(open, "responses", "401") == NULL);
	CHECK_SLICE(text_of(AT(page.document, "components", "securitySchemes", "bearer", "scheme")), "bearer");
	CHECK_SLICE(text_of(AT(page.document, "components", "securitySchemes", "apiKey", "name")), "X-API-Key");
	page_close(&page);
}

TEST(openapi_describes_what_goes_in_and_out)
{
	struct page page;
	bool flag = true;
	page_open(&page);
	const struct json_value *thing = AT(page.document, "paths", "/things/{thing}");
	CHECK_SLICE(text_of(AT(thing, "get", "summary")), "Shows \"it\"");
	CHECK_SLICE(text_of(AT(thing, "get", "description")), "In *words*");
	CHECK_SLICE(text_of(AT(thing, "get", "parameters", "1", "name")), "limit");
	CHECK_SLICE(text_of(AT(thing, "get", "parameters", "1", "in")), "query");
	CHECK_SLICE(text_of(AT(thing, "get", "parameters", "1", "schema", "type")), "integer");
	CHECK(ms_json_as_bool(AT(thing, "get", "parameters", "1", "required"), &flag) && !flag);
	CHECK(ms_json_as_bool(AT(thing, "get", "parameters", "2", "required"), &flag) && flag);
	CHECK(AT(thing, "get", "requestBody") == NULL);
	CHECK_SLICE(text_of(AT(thing, "get", "responses", "2XX", "content", "application/json", "schema", "type")),
		    "object");
	CHECK_SLICE(text_of(AT(thing, "put", "requestBody", "content", "application/json", "schema", "required", "0")),
		    "a");
	CHECK(AT(thing, "put", "requestBody", "content", "application/json", "example", "a") != NULL);
	CHECK_SLICE(text_of(AT(thing, "put", "responses", "2XX", "description")), "Done; nothing comes back");
	CHECK(AT(thing, "put", "responses", "2XX", "content") == NULL);
	const struct json_value *part = AT(page.document, "paths", "/things/{thing}/parts/{part}", "post");
	CHECK(AT(part, "requestBody", "content", "application/octet-stream", "schema") != NULL);
	CHECK(AT(part, "responses", "2XX", "content", "text/csv", "schema") != NULL);
	const struct json_value *error = AT(page.document, "components", "responses", "Error");
	CHECK_SLICE(text_of(AT(error, "content", "application/json", "schema", "properties", "code", "type")),
		    "string");
	page_close(&page);
}
