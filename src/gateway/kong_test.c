// SPDX-License-Identifier: Apache-2.0
// Files as Kong's users write them (tests/gateway/kong), and what becomes of requests.
#include <stdio.h>
#include <string.h>

#include "gateway/plan_test_kit.h"
#include "tests/lib/test.h"

struct expectation {
	struct slice method, host, path, sni, route, upstream, plugins, instance, consumer, key, groups, balanced;
	struct text_map headers, captures;
	bool tls;
	int64_t version, status;
};
#define TEXT(member)                                                                                  \
	{                                                                                             \
		.name = #member, .kind = FIELD_STRING, .offset = offsetof(struct expectation, member) \
	}
static const struct field fields[] = {
	{.name = "method", .kind = FIELD_STRING, .offset = offsetof(struct expectation, method), .fallback = "\"GET\""},
	{.name = "route", .kind = FIELD_STRING, .offset = offsetof(struct expectation, route), .required = true},
	{.name = "tls", .kind = FIELD_BOOL, .offset = offsetof(struct expectation, tls)},
	{.name = "version", .kind = FIELD_INTEGER, .offset = offsetof(struct expectation, version), .fallback = "11"},
	{.name = "status", .kind = FIELD_INTEGER, .offset = offsetof(struct expectation, status)},
	{.name = "headers", .kind = FIELD_MAP, .offset = offsetof(struct expectation, headers)},
	{.name = "captures", .kind = FIELD_MAP, .offset = offsetof(struct expectation, captures)},
	TEXT(host),
	TEXT(path),
	TEXT(sni),
	TEXT(upstream),
	TEXT(plugins),
	TEXT(instance),
	TEXT(consumer),
	TEXT(key),
	TEXT(groups),
	TEXT(balanced),
	{0},
};

static char place[128]; // of what is being checked, for the messages

#define CHECK_HERE(got, want)                                           \
	do {                                                            \
		struct slice got_ = (got), want_ = (want);              \
		if (!ms_slice_eq(got_, want_)) {                        \
			fprintf(stderr, "# %s\n", place);               \
			CHECK_SLICE(got_, ms_arena_cstr(arena, want_)); \
		}                                                       \
	} while (0)

static void check_consumer(const struct plan *plan, const struct expectation *e, struct arena *arena,
			   const struct gw_consumer **ret_consumer)
{
	*ret_consumer = ms_plan_consumer(plan, e->consumer);
	CHECK(e->consumer.n == 0 || *ret_consumer != NULL);
	if (e->key.n > 0) {
		const struct gw_credential *c = ms_plan_credential(plan, GW_KEYAUTH, e->key);
		CHECK((c != NULL) == (*ret_consumer != NULL) && (c == NULL || c->consumer == *ret_consumer));
	}
	if (e->groups.n == 0 || *ret_consumer == NULL)
		return;
	char groups[256] = "";
	size_t n = 0;
	for (size_t i = 0; i < (*ret_consumer)->groups.count; i++)
		n += (size_t)snprintf(groups + n, sizeof(groups) - n, "%s%.*s", i > 0 ? " " : "",
				      MS_SLICE_ARG((*ret_consumer)->groups.items[i]));
	CHECK_HERE(ms_slice_cstr(groups), e->groups);
}

static void check_captures(const struct gw_match *m, const struct text_map *want, struct arena *arena)
{
	for (size_t i = 0; i < want->count; i++) {
		struct slice got = MS_SLICE_EMPTY;
		for (size_t k = 0; k < m->capture_count; k++) {
			if (ms_slice_eq(m->capture_names[k], want->items[i].name))
				got = m->captures[k];
		}
		CHECK_HERE(got, want->items[i].values.items[0]);
	}
}

static void check_chain(const struct plan *plan, const struct gw_route *route, const struct gw_consumer *consumer,
			const struct expectation *e, struct arena *arena)
{
	const struct gw_chain *chain = ms_plan_chain(plan, route, consumer);
	char names[256];
	ms_kit_chain(chain, names, sizeof(names));
	if (e->plugins.p != NULL)
		CHECK_HERE(ms_slice_cstr(names), e->plugins);
	for (size_t i = 0; e->instance.n > 0 && i < chain->count; i++) {
		if (chain->uses[i]->instance_name.n > 0)
			CHECK_HERE(chain->uses[i]->instance_name, e->instance);
	}
}

static void check_request(const struct plan *plan, const struct expectation *e, struct arena *arena)
{
	struct kit_request q = {.method = ms_arena_cstr(arena, e->method),
				.host = ms_arena_cstr(arena, e->host),
				.path = ms_arena_cstr(arena, e->path),
				.sni = ms_arena_cstr(arena, e->sni),
				.tls = e->tls};
	for (size_t i = 0; i < e->headers.count; i++)
		q.headers[q.header_count++] =
			(struct http_header){e->headers.items[i].name, e->headers.items[i].values.items[0]};
	struct gw_match m;
	enum ms_err err = ms_kit_match(plan, &q, arena, &m);
	CHECK(err == MS_OK || err == MS_ERR_HTTP_NO_ROUTE);
	CHECK_HERE(err == MS_OK ? m.route->name : MS_SLICE_LIT("none"), e->route);
	const struct gw_consumer *consumer;
	check_consumer(plan, e, arena, &consumer);
	check_chain(plan, err == MS_OK ? m.route : NULL, consumer, e, arena);
	if (err != MS_OK)
		return;
	CHECK_INT(ms_plan_protocol(m.route, e->tls, (unsigned)e->version), e->status);
	const struct gw_service *service = m.route->service;
	if (e->upstream.n > 0)
		CHECK_HERE(ms_plan_upstream_path(&m, service != NULL ? service->path : MS_SLICE_EMPTY, arena),
			   e->upstream);
	if (e->balanced.n > 0)
		CHECK_HERE(service->upstream != NULL ? service->upstream->name : MS_SLICE_EMPTY, e->balanced);
	check_captures(&m, &e->captures, arena);
}

static const struct json_value *read_yaml(const char *name, const char *ending, struct arena *arena)
{
	char path[128];
	struct errinfo info;
	ms_errinfo_init(&info);
	snprintf(path, sizeof(path), "tests/gateway/kong/%s%s", name, ending);
	const struct json_value *value = NULL;
	if (ms_yaml_parse(ms_test_file(path), NULL, arena, &info, &value, NULL) != MS_OK)
		fprintf(stderr, "# %s:%lld: %s\n", path, (long long)info.line, info.message);
	REQUIRE(value != NULL);
	return value;
}

static void check_file(const char *name)
{
	struct arena arena;
	ms_arena_init(&arena, 65536, KIT_MEMORY);
	char path[128];
	snprintf(path, sizeof(path), "tests/gateway/kong/%s.yml", name);
	struct plan *plan = ms_kit_plan(ms_test_file(path).p);
	const struct json_value *requests = read_yaml(name, ".requests.yml", &arena);
	REQUIRE(requests->type == JSON_ARRAY && requests->array.count > 0);
	for (size_t i = 0; i < requests->array.count; i++) {
		struct expectation e = {0};
		struct problems problems = {.arena = &arena};
		snprintf(place, sizeof(place), "%s.requests.yml, request %zu", name, i + 1);
		bool read = ms_record_read(fields, &requests->array.items[i], place, &arena, &problems, &e);
		if (!read)
			CHECK_SLICE(problems.items[0].message, place);
		else
			check_request(plan, &e, &arena);
	}
	ms_plan_unref(plan);
	ms_arena_fini(&arena);
}

TEST(files_of_kongs_users_behave)
{
	static const char *const names[] = {"microservices", "regex_versions", "canary_by_header", "tenants",
					    "grpc",          "websocket",      "plugin_scopes",    "consumers",
					    "healthchecks",  "hashing",        "rate_limits",      "old_1_1",
					    "old_2_1",       "exported",       "blue_green"};
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++)
		check_file(names[i]);
}

TEST(values_of_upstreams_are_read)
{
	struct plan *plan = ms_kit_plan(ms_test_file("tests/gateway/kong/healthchecks.yml").p);
	const struct gw_upstream *u = &plan->upstreams[0];
	CHECK(u->algorithm == GW_LEAST_CONNECTIONS && u->slots == 100 && u->health_threshold == 50 &&
	      u->target_count == 3);
	CHECK(u->active.timeout_s == 0.5 && u->active.concurrency == 5 && u->active.healthy_interval_s == 5 &&
	      u->active.unhealthy_interval_s == 2.5);
	CHECK(u->active.healthy_statuses.count == 1 && u->active.unhealthy_statuses.count == 8 &&
	      u->active.unhealthy_http_failures == 3);
	CHECK(u->passive.healthy_statuses.count == 19 && u->passive.unhealthy_statuses.count == 3 &&
	      u->passive.healthy_successes == 5);
	CHECK(u->active.https_verify_certificate && !u->outlier.enabled && u->outlier.consecutive_5xx == 5 &&
	      u->breaker.max_connections == 1024);
	CHECK_SLICE(u->active.http_path, "/healthz");
	CHECK_SLICE(u->host_header, "web.internal");
	ms_plan_unref(plan);
	plan = ms_kit_plan(ms_test_file("tests/gateway/kong/hashing.yml").p);
	u = &plan->upstreams[0];
	CHECK(u->algorithm == GW_CONSISTENT_HASHING && u->hash_on == GW_HASH_URI_CAPTURE &&
	      u->hash_fallback == GW_HASH_IP);
	CHECK_SLICE(u->hash_on_uri_capture, "user");
	ms_plan_unref(plan);
}
