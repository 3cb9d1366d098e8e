// SPDX-License-Identifier: Apache-2.0
#include "gateway/gateway_test_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

struct kit_call kit_calls;

// --- Fakes of what stands outside ----------------------------------------------------------------------------------

const struct gw_consumer *ms_plan_consumer(const struct plan *plan, struct slice id_or_name)
{
	for (size_t i = 0; i < plan->consumer_count; i++) {
		if (ms_slice_eq(plan->consumers[i].username, id_or_name) ||
		    ms_slice_eq_cstr(id_or_name, plan->consumers[i].id))
			return &plan->consumers[i];
	}
	return NULL;
}

const struct gw_credential *ms_plan_credential(const struct plan *plan, enum gw_credential_kind kind, struct slice key)
{
	for (size_t i = 0; i < plan->credential_count; i++) {
		if (plan->credentials[i].kind == kind && ms_slice_eq(plan->credentials[i].key, key))
			return &plan->credentials[i];
	}
	return NULL;
}

const struct gw_chain *ms_plan_chain(const struct plan *plan, const struct gw_route *route,
				     const struct gw_consumer *consumer)
{
	const struct gw_kit *kit =
		(const struct gw_kit *)(const void *)((const char *)plan - offsetof(struct gw_kit, plan));
	return consumer == &kit->consumers[0] && kit->consumer_chain != NULL ? kit->consumer_chain : route->chain;
}

// What net does, as the plugins see it: the linker hands their calls to these.
void __wrap_ms_http_body_collect(struct exchange *x, size_t max_bytes, http_collected_fn *done, http_collected_fn *gone,
				 void *arg);
enum ms_err __wrap_ms_http_origin_new(struct http_client *client, const struct http_origin_options *options,
				      struct errinfo *info, struct http_origin **ret_origin);
void __wrap_ms_http_origin_unref(struct http_origin *origin);
enum ms_err __wrap_ms_http_call_start(struct http_client *client, const struct http_call_options *options,
				      struct errinfo *info, struct http_call **ret_call);
size_t __wrap_ms_http_call_write(struct http_call *call, struct slice bytes);
void __wrap_ms_http_call_write_end(struct http_call *call, const struct http_header *trailers, size_t count);
void __wrap_ms_http_call_cancel(struct http_call *call);

void __wrap_ms_http_body_collect(struct exchange *x, size_t max_bytes, http_collected_fn *done, http_collected_fn *gone,
				 void *arg)
{
	const struct gw_kit *kit = MS_CONTAINER_OF(x, struct gw_kit, x);
	(void)max_bytes;
	(void)gone;
	x->req.body = kit->body;
	done(x, arg);
}

enum ms_err __wrap_ms_http_origin_new(struct http_client *client, const struct http_origin_options *options,
				      struct errinfo *info, struct http_origin **ret_origin)
{
	(void)client;
	(void)options;
	(void)info;
	*ret_origin = (struct http_origin *)(void *)&kit_calls;
	return MS_OK;
}

void __wrap_ms_http_origin_unref(struct http_origin *origin)
{
	(void)origin;
}

static struct http_call_options the_call;

enum ms_err __wrap_ms_http_call_start(struct http_client *client, const struct http_call_options *options,
				      struct errinfo *info, struct http_call **ret_call)
{
	(void)client;
	kit_calls.count++;
	if (kit_calls.fail)
		return ms_fail(info, MS_ERR_BUSY, "the fake says no");
	the_call = *options;
	snprintf(kit_calls.target, sizeof(kit_calls.target), "%.*s", MS_SLICE_ARG(options->target));
	for (size_t i = 0; i < options->header_count; i++) {
		if (ms_slice_eq_cstr(options->headers[i].name, "Authorization"))
			snprintf(kit_calls.authorization, sizeof(kit_calls.authorization), "%.*s",
				 MS_SLICE_ARG(options->headers[i].value));
	}
	*ret_call = (struct http_call *)(void *)&kit_calls;
	return MS_OK;
}

size_t __wrap_ms_http_call_write(struct http_call *call, struct slice bytes)
{
	(void)call;
	snprintf(kit_calls.body, sizeof(kit_calls.body), "%.*s", MS_SLICE_ARG(bytes));
	return 0;
}

void __wrap_ms_http_call_write_end(struct http_call *call, const struct http_header *trailers, size_t count)
{
	(void)call;
	(void)trailers;
	(void)count;
}

void __wrap_ms_http_call_cancel(struct http_call *call)
{
	(void)call;
	the_call.handlers = NULL;
}

// --- Setting up ------------------------------------------------------------------------------------------------------

void kit_init(struct gw_kit *kit)
{
	struct errinfo info;
	const struct rt_options rt = {.loops = 1};
	const struct pool_options pool = {.name = "kit", .threads = 1, .depth = 8};
	memset(kit, 0, sizeof(*kit));
	memset(&kit_calls, 0, sizeof(kit_calls));
	memset(&the_call, 0, sizeof(the_call));
	kit_calls.status = 200;
	ms_errinfo_init(&info);
	REQUIRE(ms_rt_new(&rt, &info, &kit->rt) == MS_OK);
	kit->loop = ms_rt_loop(kit->rt, 0);
	kit->services.rt = kit->rt;
	kit->services.client = (struct http_client *)(void *)&kit_calls;
	REQUIRE(ms_metrics_new(1, &kit->services.metrics) == MS_OK);
	REQUIRE(ms_cache_new(&(struct cache_options){.url = "", .rt = kit->rt}, &info, &kit->services.cache) == MS_OK);
	REQUIRE(ms_pool_new(&pool, &info, &kit->services.pool) == MS_OK);
	REQUIRE(ms_gw_runtime_new(&kit->services, &kit->services.runtime) == MS_OK);
	ms_arena_init(&kit->plan.arena, 65536, (size_t)64 << 20);
	ms_arena_init(&kit->arena, 65536, (size_t)64 << 20);
	kit->problems.arena = &kit->plan.arena;
	kit->plan.consumers = kit->consumers;
	kit->plan.credentials = kit->credentials;
	kit->chain.uses = kit->order;
	kit->route = (struct gw_route){
		.id = "route-id", .name = MS_SLICE_LIT("a-route"), .service = &kit->service, .chain = &kit->chain};
	kit->service = (struct gw_service){.id = "service-id",
					   .name = MS_SLICE_LIT("a-service"),
					   .host = MS_SLICE_LIT("upstream.example"),
					   .port = 80};
}

static void turn(struct gw_kit *kit, unsigned ms)
{
	for (unsigned i = 0; i <= ms; i++) {
		uv_run(ms_loop_uv(kit->loop), UV_RUN_NOWAIT);
		if (ms > 0)
			usleep(1000);
	}
}

void kit_fini(struct gw_kit *kit)
{
	ms_arena_fini(&kit->arena);
	ms_gw_runtime_stop(kit->services.runtime);
	ms_cache_stop(kit->services.cache);
	turn(kit, 2);
	ms_pool_free(kit->services.pool);
	ms_gw_runtime_free(kit->services.runtime);
	ms_rt_free(kit->rt);
	ms_cache_free(kit->services.cache);
	ms_metrics_free(kit->services.metrics);
	for (size_t i = 0; i < kit->chain.count; i++) {
		if (kit->order[i]->kind->release != NULL)
			kit->order[i]->kind->release(kit->order[i]->config);
	}
	ms_arena_fini(&kit->plan.arena);
}

const char *kit_plugin(struct gw_kit *kit, const char *name, const char *config)
{
	const struct gw_plugin_kind *kind = ms_plugin_kind(ms_slice_cstr(name));
	const struct json_value *value;
	struct errinfo info;
	REQUIRE(kind != NULL && kit->chain.count < KIT_USES);
	ms_errinfo_init(&info);
	REQUIRE(ms_json_parse(ms_arena_copy(&kit->plan.arena, ms_slice_cstr(config)), NULL, &kit->plan.arena, &info,
			      &value) == MS_OK);
	void *record = ms_arena_calloc(&kit->plan.arena, 1, kind->config_bytes);
	REQUIRE(record != NULL);
	kit->problems.count = 0;
	if (!ms_record_read(kind->fields, value, "config", &kit->plan.arena, &kit->problems, record) ||
	    (kind->compile != NULL && !kind->compile(&kit->plan, record, "config", &kit->problems))) {
		REQUIRE(kit->problems.count > 0);
		return ms_arena_printf(&kit->plan.arena, "%.*s: %.*s", MS_SLICE_ARG(kit->problems.items[0].path),
				       MS_SLICE_ARG(kit->problems.items[0].message));
	}
	struct gw_plugin_use *use = &kit->uses[kit->chain.count];
	*use = (struct gw_plugin_use){.kind = kind, .enabled = true, .config = record};
	snprintf(use->id, sizeof(use->id), "use-%zu-%s", kit->chain.count, name);
	while (ms_plugin_kind_at(use->slot) != kind)
		use->slot++;
	REQUIRE(kit->chain.count == 0 || kit->order[kit->chain.count - 1]->kind->priority > kind->priority);
	kit->order[kit->chain.count++] = use;
	kit->chain.reads_body = kit->chain.reads_body || (kind->wants_body != NULL && kind->wants_body(record));
	kit->chain.rewrites_answer =
		kit->chain.rewrites_answer || (kind->wants_answer_body != NULL && kind->wants_answer_body(record));
	return NULL;
}

struct gw_consumer *kit_consumer(struct gw_kit *kit, const char *name)
{
	REQUIRE(kit->plan.consumer_count < MS_ARRAY_LEN(kit->consumers));
	struct gw_consumer *c = &kit->consumers[kit->plan.consumer_count++];
	snprintf(c->id, sizeof(c->id), "id-%s", name);
	c->username = ms_slice_cstr(name);
	return c;
}

const char *kit_credential(struct gw_kit *kit, enum gw_credential_kind kind, struct gw_consumer *consumer,
			   const char *key, const char *secret, const char *algorithm)
{
	REQUIRE(kit->plan.credential_count < MS_ARRAY_LEN(kit->credentials));
	struct gw_credential *c = &kit->credentials[kit->plan.credential_count++];
	*c = (struct gw_credential){.kind = kind,
				    .consumer = consumer,
				    .key = ms_slice_cstr(key),
				    .secret = ms_slice_cstr(secret),
				    .rsa_public_key = ms_slice_cstr(secret),
				    .algorithm = ms_slice_cstr(algorithm)};
	snprintf(c->id, sizeof(c->id), "cred-%zu", kit->plan.credential_count);
	kit->problems.count = 0;
	if (ms_gw_credential_compile(&kit->plan, c, "credential", NULL, &kit->problems))
		return NULL;
	kit->plan.credential_count--;
	return ms_arena_printf(&kit->plan.arena, "%.*s", MS_SLICE_ARG(kit->problems.items[0].message));
}

// --- Requests --------------------------------------------------------------------------------------------------------

void kit_request(struct gw_kit *kit, enum http_method method, const char *target)
{
	ms_arena_reset(&kit->arena);
	struct slice t = ms_arena_copy(&kit->arena, ms_slice_cstr(target));
	size_t mark = ms_slice_find(t, '?');
	kit->x = (struct exchange){.arena = &kit->arena, .loop = kit->loop};
	kit->x.req = (struct http_request){.method = method,
					   .target = t,
					   .path = ms_slice_sub(t, 0, mark),
					   .query = ms_slice_sub(t, mark + 1, t.n),
					   .id = MS_SLICE_LIT("req-1"),
					   .version = 11,
					   .peer = MS_SLICE_LIT("192.0.2.7"),
					   .authority = MS_SLICE_LIT("gateway.example")};
	kit->r = (struct gw_request){.x = &kit->x,
				     .services = &kit->services,
				     .arena = &kit->arena,
				     .plan = &kit->plan,
				     .route = &kit->route,
				     .service = &kit->service,
				     .chain = &kit->chain,
				     .client_ip = kit->x.req.peer,
				     .wall_ns = KIT_NOW_NS,
				     .start_ns = 1};
	kit->r.match.route = &kit->route;
	kit->r.match.path = kit->x.req.path;
	kit->r.out.headers.arena = kit->r.answer.headers.arena = &kit->arena;
	kit->r.out.method = ms_slice_cstr(ms_http_method_name(method));
	kit->r.out.path = kit->x.req.path;
	kit->r.out.query = kit->x.req.query;
	kit->r.out.authority = MS_SLICE_LIT("upstream.example");
	kit->body = MS_SLICE_EMPTY;
}

void kit_header(struct gw_kit *kit, const char *name, const char *value)
{
	REQUIRE(ms_gw_header_add(&kit->r.out.headers, ms_slice_cstr(name), ms_slice_cstr(value)));
	kit->x.req.headers = kit->r.out.headers.items;
	kit->x.req.header_count = kit->r.out.headers.count;
}

void kit_body(struct gw_kit *kit, const char *content_type, const char *text)
{
	if (content_type != NULL)
		kit_header(kit, "Content-Type", content_type);
	kit->body = ms_slice_cstr(text);
	kit->x.req.has_body = true;
	kit->x.req.content_length = kit->body.n;
}

static void phase_over(struct gw_request *r, enum gw_verdict verdict)
{
	struct gw_kit *kit = MS_CONTAINER_OF(r, struct gw_kit, r);
	REQUIRE(!kit->done);
	kit->done = true;
	kit->verdict = verdict;
}

static enum gw_verdict wait_for(struct gw_kit *kit)
{
	for (unsigned i = 0; i < 5000 && !kit->done; i++)
		turn(kit, 1);
	REQUIRE(kit->done);
	return kit->verdict;
}

enum gw_verdict kit_access(struct gw_kit *kit)
{
	kit->done = false;
	ms_chain_access(&kit->r, phase_over);
	return wait_for(kit);
}

enum gw_verdict kit_run_body(struct gw_kit *kit)
{
	if (!kit->r.chain->reads_body)
		return GW_NEXT;
	kit->r.out.body = kit->body;
	kit->done = false;
	ms_chain_body(&kit->r, phase_over);
	return wait_for(kit);
}

int kit_status(struct gw_kit *kit)
{
	if (kit_access(kit) == GW_NEXT)
		return 0;
	ms_chain_answer(&kit->r);
	return kit->r.answer.status;
}

void kit_upstream_header(struct gw_kit *kit, const char *name, const char *value)
{
	REQUIRE(ms_gw_header_add(&kit->r.answer.headers, ms_slice_cstr(name), ms_slice_cstr(value)));
}

void kit_upstream(struct gw_kit *kit, int status, const char *content_type, const char *body)
{
	kit->r.answer.status = kit->r.upstream_status = status;
	kit->r.answer.source = GW_FROM_UPSTREAM;
	if (content_type != NULL)
		kit_upstream_header(kit, "Content-Type", content_type);
	ms_chain_answer(&kit->r);
	kit->r.answer.body = ms_slice_cstr(body);
	if (!kit->r.answer.wants_body)
		return;
	kit->done = false;
	ms_chain_answer_body(&kit->r, phase_over);
	wait_for(kit);
}

void kit_over(struct gw_kit *kit)
{
	const struct http_outcome outcome = {
		.status = kit->r.answer.status, .body_bytes = kit->r.answer.body.n, .duration_ns = 3000000};
	ms_chain_over(&kit->r, &outcome);
}

const char *kit_text(struct gw_kit *kit, struct slice s)
{
	return s.p != NULL ? ms_arena_cstr(&kit->arena, s) : "";
}

const char *kit_out(struct gw_kit *kit, const char *name)
{
	return kit_text(kit, ms_gw_header(&kit->r.out.headers, ms_slice_cstr(name)));
}

const char *kit_answer(struct gw_kit *kit, const char *name)
{
	return kit_text(kit, ms_gw_header(&kit->r.answer.headers, ms_slice_cstr(name)));
}

void kit_calls_run(struct gw_kit *kit)
{
	for (unsigned i = 0; i < 30; i++) {
		turn(kit, 1);
		if (the_call.handlers == NULL)
			continue;
		struct http_call_options call = the_call;
		the_call.handlers = NULL;
		call.handlers->head((struct http_call *)(void *)&kit_calls, kit_calls.status, NULL, 0, 0, call.arg);
		call.handlers->end((struct http_call *)(void *)&kit_calls, NULL, 0, call.arg);
	}
}
