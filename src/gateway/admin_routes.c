// SPDX-License-Identifier: Apache-2.0
// The routes of /gateway/v1, and how the OpenAPI document tells of them.
#include "gateway/admin.h"
#include "gateway/document.h"

#include <string.h>

#define SCHEMA_MAX ((size_t)1 << 20)

static const struct route_param page[] = {{"limit", "integer", "How many at most: 1 to 1000, default 50", false},
					  {"cursor", "string", "next_cursor of the page before", false},
					  {0}};
static const struct route_param change[] = {{"comment", "string", "Why, for the history", false}, {0}};

#define DOCUMENT                                                                                                       \
	"{\"type\":\"object\",\"description\":\"Kong's declarative format, _format_version 3.0; secrets are shown as " \
	"…\"}"
#define CHANGE_ANSWER                                                                                                 \
	"{\"type\":\"object\",\"properties\":{\"version\":{\"type\":\"integer\"},\"changed\":{\"type\":\"boolean\"}," \
	"\"changes\":{\"type\":"                                                                                      \
	"\"array\",\"items\":{\"type\":\"string\"},\"description\":\"One line a change\"}}}"
#define DIFF_ANSWER \
	"{\"type\":\"object\",\"properties\":{\"changes\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}"
#define CHECK_ANSWER                                                                                                 \
	"{\"type\":\"object\",\"properties\":{\"valid\":{\"type\":\"boolean\"},\"services\":{\"type\":\"integer\"}," \
	"\"routes\":{\"type\":"                                                                                      \
	"\"integer\"},\"consumers\":{\"type\":\"integer\"},\"plugins\":{\"type\":\"integer\"}}}"
#define HISTORY_ANSWER                                                                                                 \
	"{\"type\":\"object\",\"properties\":{\"items\":{\"type\":\"array\",\"items\":{\"type\":\"object\","           \
	"\"properties\":{\"version\":{\"type\":"                                                                       \
	"\"integer\"},\"time\":{\"type\":\"string\",\"format\":\"date-time\"},\"by\":{\"type\":[\"string\",\"null\"]}" \
	",\"comment\":{\"type\":["                                                                                     \
	"\"string\",\"null\"]},\"changes\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}}},\"next_cursor\":{"  \
	"\"type\":[\"string\","                                                                                        \
	"\"null\"]}}}"
#define ROLLBACK_BODY                                                                                        \
	"{\"type\":\"object\",\"required\":[\"version\"],\"properties\":{\"version\":{\"type\":\"integer\"," \
	"\"minimum\":1},\"comment\":{\"type\":"                                                              \
	"\"string\"}}}"
#define LIST_ANSWER                                                                                                   \
	"{\"type\":\"object\",\"properties\":{\"items\":{\"type\":\"array\",\"items\":{\"type\":\"object\"}},\"next_" \
	"cursor\":{\"type\":\"null\"}}}"
#define YAML "application/yaml"
#define IF_MATCH "With If-Match (the ETag of an earlier answer) a change that somebody else made meanwhile is 409."

#define ENTITY(list, one, operation)                                                                               \
	{.method = HTTP_GET,                                                                                       \
	 .pattern = "/gateway/v1/" list,                                                                           \
	 .handle = ms_gateway_list_entities,                                                                       \
	 .permission = "gateway.read",                                                                             \
	 .operation_id = "gateway_list_" operation "s",                                                            \
	 .tag = "gateway",                                                                                         \
	 .summary = "The " list " of the gateway",                                                                 \
	 .response_schema = LIST_ANSWER},                                                                          \
		{.method = HTTP_GET,                                                                               \
		 .pattern = "/gateway/v1/" list "/{id}",                                                           \
		 .handle = ms_gateway_get_entity,                                                                  \
		 .permission = "gateway.read",                                                                     \
		 .operation_id = "gateway_get_" operation,                                                         \
		 .tag = "gateway",                                                                                 \
		 .summary = "One " one ", by name or id",                                                          \
		 .response_schema = "{\"type\":\"object\"}"},                                                      \
		{.method = HTTP_PUT,                                                                               \
		 .pattern = "/gateway/v1/" list "/{id}",                                                           \
		 .handle = ms_gateway_put_entity,                                                                  \
		 .permission = "gateway.write",                                                                    \
		 .operation_id = "gateway_put_" operation,                                                         \
		 .tag = "gateway",                                                                                 \
		 .summary = "Add or replace one " one,                                                             \
		 .description = IF_MATCH,                                                                          \
		 .query = change,                                                                                  \
		 .request_type = "application/json",                                                               \
		 .request_schema = "{\"type\":\"object\"}",                                                        \
		 .response_schema = CHANGE_ANSWER},                                                                \
	{                                                                                                          \
		.method = HTTP_DELETE, .pattern = "/gateway/v1/" list "/{id}", .handle = ms_gateway_delete_entity, \
		.permission = "gateway.write", .operation_id = "gateway_delete_" operation, .tag = "gateway",      \
		.summary = "Remove one " one " and what is its own", .description = IF_MATCH, .query = change,     \
		.response_schema = CHANGE_ANSWER                                                                   \
	}

static const struct route routes[] = {
	{.method = HTTP_GET,
	 .pattern = "/gateway/v1/config",
	 .handle = ms_gateway_get_config,
	 .permission = "gateway.read",
	 .operation_id = "gateway_config",
	 .tag = "gateway",
	 .summary = "The configuration in force",
	 .response_schema = DOCUMENT},
	{.method = HTTP_PUT,
	 .pattern = "/gateway/v1/config",
	 .handle = ms_gateway_put_config,
	 .permission = "gateway.write",
	 .operation_id = "gateway_put_config",
	 .tag = "gateway",
	 .summary = "Replace the whole configuration: a Kong file, YAML or JSON",
	 .description = IF_MATCH
	 " Checked whole and swapped whole; all problems are told at once. Secrets that are … stay as they were.",
	 .query = change,
	 .request_type = YAML,
	 .request_schema = DOCUMENT,
	 .response_schema = CHANGE_ANSWER},
	{.method = HTTP_POST,
	 .pattern = "/gateway/v1/config/check",
	 .handle = ms_gateway_check_config,
	 .permission = "gateway.read",
	 .operation_id = "gateway_check",
	 .tag = "gateway",
	 .summary = "Whether a configuration is right; nothing is changed",
	 .request_type = YAML,
	 .request_schema = DOCUMENT,
	 .response_schema = CHECK_ANSWER},
	{.method = HTTP_POST,
	 .pattern = "/gateway/v1/config/diff",
	 .handle = ms_gateway_diff_config,
	 .permission = "gateway.read",
	 .operation_id = "gateway_diff",
	 .tag = "gateway",
	 .summary = "What a configuration would change, in words",
	 .request_type = YAML,
	 .request_schema = DOCUMENT,
	 .response_schema = DIFF_ANSWER},
	{.method = HTTP_GET,
	 .pattern = "/gateway/v1/history",
	 .handle = ms_gateway_get_history,
	 .permission = "gateway.read",
	 .operation_id = "gateway_history",
	 .tag = "gateway",
	 .summary = "The versions of the configuration, newest first",
	 .query = page,
	 .response_schema = HISTORY_ANSWER},
	{.method = HTTP_GET,
	 .pattern = "/gateway/v1/history/{version}",
	 .handle = ms_gateway_get_version,
	 .permission = "gateway.read",
	 .operation_id = "gateway_version",
	 .tag = "gateway",
	 .summary = "The configuration of a version",
	 .response_schema = DOCUMENT},
	{.method = HTTP_POST,
	 .pattern = "/gateway/v1/rollback",
	 .handle = ms_gateway_post_rollback,
	 .permission = "gateway.write",
	 .operation_id = "gateway_rollback",
	 .tag = "gateway",
	 .summary = "Bring an earlier version back, as a new one",
	 .description = IF_MATCH,
	 .request_type = "application/json",
	 .request_schema = ROLLBACK_BODY,
	 .request_example = "{\"version\":3,\"comment\":\"4 was wrong\"}",
	 .response_schema = CHANGE_ANSWER},
	{.method = HTTP_GET,
	 .pattern = "/gateway/v1/schemas/{name}",
	 .handle = ms_gateway_get_schema,
	 .permission = "gateway.read",
	 .operation_id = "gateway_schema",
	 .tag = "gateway",
	 .summary = "JSON Schema of an entity (\"services\") or of a plugin's config (\"rate-limiting\")",
	 .response_schema = "{\"type\":\"object\"}"},
	ENTITY("services", "service", "service"),
	ENTITY("routes", "route", "route"),
	ENTITY("upstreams", "upstream", "upstream"),
	ENTITY("targets", "target", "target"),
	ENTITY("consumers", "consumer", "consumer"),
	ENTITY("keyauth_credentials", "key", "keyauth_credential"),
	ENTITY("jwt_secrets", "JWT credential", "jwt_secret"),
	ENTITY("basicauth_credentials", "name and password", "basicauth_credential"),
	ENTITY("acls", "membership of a group", "acl"),
	ENTITY("plugins", "plugin", "plugin"),
	ENTITY("certificates", "certificate", "certificate"),
	ENTITY("ca_certificates", "CA certificate", "ca_certificate"),
};

// Of the entity in "/gateway/v1/services/{id}", as its table of fields says; NULL: no such route, or no memory.
static const char *entity_schema(struct gateway_admin *admin, const struct route *route)
{
	struct slice name = ms_slice_sub(ms_slice_cstr(route->pattern), sizeof("/gateway/v1/") - 1, SIZE_MAX);
	size_t slash = ms_slice_find(name, '/');
	if (!ms_slice_eq_cstr(ms_slice_sub(name, slash, SIZE_MAX), "/{id}"))
		return NULL;
	const struct field *fields = ms_document_fields(ms_slice_sub(name, 0, slash));
	if (fields == NULL)
		return NULL;
	struct buf text;
	struct json_writer w;
	ms_buf_init(&text, SCHEMA_MAX);
	ms_json_writer_init(&w, &text);
	ms_record_write_schema(fields, &w);
	const char *schema = ms_buf_ok(&text) ? ms_arena_cstr(&admin->arena, ms_buf_slice(&text)) : NULL;
	ms_buf_fini(&text);
	return schema;
}

struct route_set ms_gateway_admin_routes(struct gateway_admin *admin)
{
	struct route *copy = MS_ARENA_ARRAY(&admin->arena, struct route, MS_ARRAY_LEN(routes));
	if (copy == NULL)
		return (struct route_set){.routes = routes, .count = MS_ARRAY_LEN(routes), .role = admin};
	memcpy(copy, routes, sizeof(routes));
	for (size_t i = 0; i < MS_ARRAY_LEN(routes); i++) {
		const char *schema = entity_schema(admin, &copy[i]);
		if (schema != NULL && copy[i].method == HTTP_PUT)
			copy[i].request_schema = schema;
		else if (schema != NULL && copy[i].method == HTTP_GET)
			copy[i].response_schema = schema;
	}
	return (struct route_set){.routes = copy, .count = MS_ARRAY_LEN(routes), .role = admin};
}
