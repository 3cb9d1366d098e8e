// SPDX-License-Identifier: Apache-2.0
#include "gateway/plan_test_kit.h"

#include <stdio.h>
#include <string.h>

#include "tests/lib/test.h"

// --- A table of plugins ----------------------------------------------------------------------------

struct kit_config {
	const struct json_value *values[24];
	struct slice password;
	int64_t minute;
};
#define ANY(field_name, index)                                                                               \
	{                                                                                                    \
		.name = field_name, .kind = FIELD_JSON, .offset = offsetof(struct kit_config, values[index]) \
	}

static const struct field limit_fields[] = {
	{.name = "minute", .kind = FIELD_INTEGER, .offset = offsetof(struct kit_config, minute), .min = 1, .max = 1e9},
	ANY("second", 0),
	ANY("hour", 1),
	ANY("day", 2),
	ANY("policy", 3),
	ANY("limit_by", 4),
	ANY("header_name", 5),
	ANY("path", 6),
	ANY("fault_tolerant", 7),
	ANY("hide_client_headers", 8),
	ANY("error_code", 9),
	ANY("error_message", 10),
	ANY("redis", 11),
	{.name = "redis_password",
	 .kind = FIELD_STRING,
	 .offset = offsetof(struct kit_config, password),
	 .secret = true},
	ANY("redis_host", 12),
	ANY("month", 13),
	ANY("year", 14),
	{0},
};
static const struct field loose_fields[] = {
	ANY("anonymous", 0),
	ANY("key_names", 1),
	ANY("hide_credentials", 2),
	ANY("allow", 3),
	ANY("deny", 4),
	ANY("whitelist", 5),
	ANY("origins", 6),
	ANY("header_name", 7),
	ANY("generator", 8),
	ANY("status_code", 9),
	ANY("message", 10),
	ANY("add", 11),
	ANY("remove", 12),
	ANY("http_endpoint", 13),
	ANY("strategy", 14),
	ANY("allowed_payload_size", 15),
	ANY("claims_to_verify", 16),
	ANY("percentage", 17),
	ANY("upstream_host", 18),
	ANY("credentials", 19),
	ANY("methods", 20),
	ANY("max_age", 21),
	ANY("echo_downstream", 22),
	ANY("per_consumer", 23),
	{0},
};

static bool compile_limit(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	(void)plan;
	const struct kit_config *c = config;
	if (c->minute > 0 || c->values[0] != NULL || c->values[1] != NULL || c->values[2] != NULL)
		return true;
	ms_problem_add(problems, path, NULL, "expected at least one of second, minute, hour, day");
	return false;
}

static bool yes(const void *config)
{
	(void)config;
	return true;
}

#define KIND(kind_name, kind_priority, consumer)                                      \
	{                                                                             \
		.name = kind_name, .priority = kind_priority, .fields = loose_fields, \
		.config_bytes = sizeof(struct kit_config), .per_consumer = consumer   \
	}

static const struct gw_plugin_kind kinds[] = {
	KIND("correlation-id", 100001, true),
	KIND("cors", 2000, false),
	KIND("jwt", 1450, false),
	KIND("key-auth", 1250, false),
	KIND("basic-auth", 1100, false),
	KIND("ip-restriction", 990, true),
	KIND("request-size-limiting", 951, true),
	KIND("acl", 950, false),
	{.name = "rate-limiting",
	 .priority = 910,
	 .fields = limit_fields,
	 .config_bytes = sizeof(struct kit_config),
	 .per_consumer = true,
	 .compile = compile_limit},
	KIND("request-transformer", 801, true),
	{.name = "response-transformer",
	 .priority = 800,
	 .fields = loose_fields,
	 .config_bytes = sizeof(struct kit_config),
	 .per_consumer = true,
	 .wants_answer_body = yes},
	KIND("proxy-cache", 100, true),
	KIND("prometheus", 13, true),
	KIND("http-log", 12, true),
	KIND("request-termination", 2, true),
};

const struct gw_plugin_kind *ms_plugin_kind_at(size_t index)
{
	return index < MS_ARRAY_LEN(kinds) ? &kinds[index] : NULL;
}

const struct gw_plugin_kind *ms_plugin_kind(struct slice name)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(kinds); i++) {
		if (ms_slice_eq_cstr(name, kinds[i].name))
			return &kinds[i];
	}
	return NULL;
}

bool ms_gw_credential_compile(struct plan *plan, struct gw_credential *credential, const char *path,
			      const struct json_value *where, struct problems *problems)
{
	(void)plan;
	if (!ms_slice_eq_cstr(credential->secret, "refused"))
		return true;
	ms_problem_add(problems, path, where, "refused by its plugin");
	return false;
}

// --- Plans and requests ----------------------------------------------------------------------------

static struct plan *read_plan(const char *yaml, char *dst, size_t size)
{
	struct arena arena;
	ms_arena_init(&arena, 65536, KIT_MEMORY);
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct json_value *document;
	struct problems problems = {.arena = &arena};
	struct yaml_lines *lines;
	dst[0] = '\0';
	struct plan *plan = NULL;
	if (ms_yaml_parse(ms_slice_cstr(yaml), NULL, &arena, &info, &document, &lines) != MS_OK) {
		snprintf(dst, size, "%lld : %s\n", (long long)info.line, info.message);
	} else {
		problems.lines = lines;
		plan = ms_plan_new(document, &problems);
		CHECK(plan != NULL || problems.count > 0 || ms_test_allocation_failed());
	}
	size_t n = 0;
	for (size_t i = 0; i < problems.count && n < size; i++) {
		const struct problem *p = &problems.items[i];
		n += (size_t)snprintf(dst + n, size - n, "%lld %.*s: %.*s\n", (long long)p->line, MS_SLICE_ARG(p->path),
				      MS_SLICE_ARG(p->message));
	}
	ms_arena_fini(&arena);
	return plan;
}

struct plan *ms_kit_plan(const char *yaml)
{
	static char problems[65536];
	struct plan *plan = read_plan(yaml, problems, sizeof(problems));
	if (!ms_test_allocation_failed()) {
		CHECK_STR(problems, "");
		REQUIRE(plan != NULL);
	}
	return plan;
}

void ms_kit_problems(const char *yaml, char *dst, size_t size)
{
	ms_plan_unref(read_plan(yaml, dst, size));
}

static enum http_method method_of(const char *name)
{
	for (int i = 0; i < HTTP_METHOD_COUNT; i++) {
		if (strcmp(ms_http_method_name((enum http_method)i), name) == 0)
			return (enum http_method)i;
	}
	REQUIRE(false);
	return HTTP_GET;
}

enum ms_err ms_kit_match(const struct plan *plan, const struct kit_request *request, struct arena *arena,
			 struct gw_match *ret_match)
{
	struct exchange x = {.arena = arena};
	x.req.method = method_of(request->method != NULL ? request->method : "GET");
	x.req.authority = ms_slice_cstr(request->host != NULL ? request->host : "");
	x.req.path = ms_slice_cstr(request->path != NULL ? request->path : "/");
	x.req.sni = ms_slice_cstr(request->sni);
	x.req.tls = request->tls;
	x.req.headers = request->headers;
	x.req.header_count = request->header_count;
	return ms_plan_match(plan, &x, NULL, ret_match);
}

void ms_kit_chain(const struct gw_chain *chain, char *dst, size_t size)
{
	size_t n = 0;
	dst[0] = '\0';
	for (size_t i = 0; i < chain->count && n < size; i++)
		n += (size_t)snprintf(dst + n, size - n, "%s%s", i > 0 ? " " : "", chain->uses[i]->kind->name);
}
