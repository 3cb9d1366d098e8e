// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "gateway/gateway_test_kit.h"

TEST(headers_keep_their_order_and_compare_without_case)
{
	struct arena arena;
	ms_arena_init(&arena, 4096, 1 << 20);
	struct gw_headers h = {.arena = &arena};
	CHECK(ms_gw_header_add(&h, MS_SLICE_LIT("A"), MS_SLICE_LIT("1")) &&
	      ms_gw_header_add(&h, MS_SLICE_LIT("B"), MS_SLICE_LIT("2")));
	CHECK(ms_gw_header_add(&h, MS_SLICE_LIT("a"), MS_SLICE_LIT("3")));
	CHECK_SLICE(ms_gw_header(&h, MS_SLICE_LIT("a")), "1");
	CHECK(ms_gw_header_set(&h, MS_SLICE_LIT("a"), MS_SLICE_LIT("4")));
	CHECK_INT(h.count, 2);
	CHECK_SLICE(h.items[0].value, "4");
	CHECK(ms_gw_header_remove(&h, MS_SLICE_LIT("b")) && !ms_gw_header_remove(&h, MS_SLICE_LIT("b")));
	CHECK(ms_gw_header(&h, MS_SLICE_LIT("b")).p == NULL);
	for (size_t i = h.count; i < 200; i++)
		CHECK(ms_gw_header_add(&h, MS_SLICE_LIT("x"), MS_SLICE_LIT("")));
	CHECK(!ms_gw_header_add(&h, MS_SLICE_LIT("x"), MS_SLICE_LIT("")));
	CHECK(ms_gw_header(&h, MS_SLICE_LIT("x")).p != NULL); // empty is not absent
	ms_arena_fini(&arena);
}

TEST(each_kind_has_a_name_and_a_priority_of_its_own)
{
	int before = INT32_MAX;
	size_t n = 0;
	for (const struct gw_plugin_kind *kind; (kind = ms_plugin_kind_at(n)) != NULL; n++) {
		CHECK(kind->priority < before);
		before = kind->priority;
		CHECK(ms_plugin_kind(ms_slice_cstr(kind->name)) == kind);
		CHECK(kind->fields != NULL && kind->config_bytes > 0 && kind->help != NULL);
	}
	CHECK_INT(n, 20);
	CHECK(ms_plugin_kind(MS_SLICE_LIT("nothing")) == NULL);
}

TEST(identity_headers_from_outside_are_stripped_in_every_spelling)
{
	static const char *const names[] = {"X-Consumer-ID",         "x-consumer-username",     "X_Consumer_Custom_ID",
					    "X-Consumer-Groups",     "X-Credential-Identifier", "X-Anonymous-Consumer",
					    "X-Authenticated-Groups"};
	struct gw_kit kit;
	kit_init(&kit);
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "X-Consumer", "stays");
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++)
		kit_header(&kit, names[i], "root");
	kit_header(&kit, "X-Other", "stays");
	CHECK_INT(kit_access(&kit), GW_NEXT);
	CHECK_INT(kit.r.out.headers.count, 2);
	kit_fini(&kit);
}

TEST(an_answer_ends_the_phase_and_still_passes_the_answer_phase)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "cors", "{\"origins\":[\"*\"]}") == NULL);
	CHECK(kit_plugin(&kit, "key-auth", "{}") == NULL);
	CHECK(kit_plugin(&kit, "rate-limiting", "{\"minute\":5}") == NULL);
	kit_request(&kit, HTTP_GET, "/");
	CHECK_INT(kit_status(&kit), 401);
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Origin"), "*"); // so that a browser may read the refusal
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Limit-Minute"), "");     // was not asked
	CHECK_SLICE(kit.r.answer.body,
		    "{\"message\":\"No API key found in request\",\"error\":\"No API key found in request\","
		    "\"code\":\"gateway.no_key\",\"request_id\":\"req-1\"}");
	kit_fini(&kit);
}

TEST(failures_of_grpc_are_heads_with_a_status)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "key-auth", "{}") == NULL);
	kit_request(&kit, HTTP_POST, "/a.B/C");
	kit.x.req.version = 20;
	kit_header(&kit, "Content-Type", "application/grpc+proto");
	CHECK_INT(kit_status(&kit), 200);
	CHECK_STR(kit_answer(&kit, "grpc-status"), "16");
	CHECK_STR(kit_answer(&kit, "grpc-message"), "No API key found in request");
	CHECK_INT(kit.r.answer.body.n, 0);
	kit_request(&kit, HTTP_POST, "/a.B/C"); // of HTTP/1.1: nobody reads a status of gRPC there
	kit_header(&kit, "Content-Type", "application/grpc+proto");
	CHECK_INT(kit_status(&kit), 401);
	kit_request(&kit, HTTP_GET, "/");
	ms_gw_fail(&kit.r, 500, "a.code", NULL); // text for which there was no memory
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "\"error\":\"out of memory\"");
	kit_fini(&kit);
}

TEST(plugins_of_a_consumer_run_once_he_is_known)
{
	struct gw_kit kit;
	const struct gw_plugin_use *order[3];
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "key-auth", "{}") == NULL);
	CHECK(kit_plugin(&kit, "rate-limiting", "{\"minute\":5}") == NULL);
	struct gw_consumer *anna = kit_consumer(&kit, "anna"), *ben = kit_consumer(&kit, "ben");
	CHECK(kit_credential(&kit, GW_KEYAUTH, anna, "key-of-anna", "", "") == NULL);
	CHECK(kit_credential(&kit, GW_KEYAUTH, ben, "key-of-ben", "", "") == NULL);
	kit.chain.count = 2;
	CHECK(kit_plugin(&kit, "request-termination", "{\"status_code\":418,\"message\":\"no\"}") == NULL);
	memcpy(order, kit.order, sizeof(order));
	kit.chain.count = 2; // the last one is Anna's alone
	const struct gw_chain own = {.uses = order, .count = 3};
	kit.consumer_chain = &own;
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "apikey", "key-of-anna");
	CHECK_INT(kit_status(&kit), 418);
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Remaining-Minute"), "4"); // once, not twice
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "apikey", "key-of-ben");
	CHECK_INT(kit_status(&kit), 0);
	kit_fini(&kit);
}

TEST(plugins_run_for_their_protocols_alone)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "request-termination", "{}") == NULL);
	kit.uses[0].protocols = UINT64_C(1) << GW_HTTPS;
	kit_request(&kit, HTTP_GET, "/");
	CHECK_INT(kit_status(&kit), 0);
	kit_request(&kit, HTTP_GET, "/");
	kit.r.tls = true;
	CHECK_INT(kit_status(&kit), 503);
	kit_fini(&kit);
}

static struct gw_kit *tortured;

// Whatever allocation fails: the request is answered or goes on, and nothing is left behind.
static void torture_request(void)
{
	struct gw_kit *kit = tortured;
	kit_request(kit, HTTP_POST, "/a?x=1&gone=2");
	kit_header(kit, "apikey", "key-of-anna");
	kit_body(kit, "application/json", "{\"a\":{\"b\":[1,2]},\"c\":\"d\"}");
	enum gw_verdict verdict = kit_access(kit);
	if (verdict == GW_NEXT)
		verdict = kit_run_body(kit);
	if (verdict == GW_NEXT)
		kit_upstream(kit, 200, "application/json", "{\"l\":[1]}");
	else
		ms_chain_answer(&kit->r);
	CHECK(kit->r.answer.status >= 200);
	if (!ms_test_allocation_failed())
		CHECK_SLICE(kit->r.answer.body, "{\"l\":[1],\"m\":\"1\"}");
	kit_over(kit);
}

TEST(memory_that_is_out_ends_requests_and_nothing_else)
{
	struct gw_kit kit;
	kit_init(&kit);
	tortured = &kit;
	CHECK(kit_plugin(&kit, "correlation-id", "{\"echo_downstream\":true}") == NULL);
	CHECK(kit_plugin(&kit, "cors", "{\"origins\":[\"https://a.*\"]}") == NULL);
	CHECK(kit_plugin(&kit, "key-auth", "{\"hide_credentials\":true,\"key_in_body\":true}") == NULL);
	CHECK(kit_plugin(&kit, "rate-limiting", "{\"year\":100000}") == NULL);
	CHECK(kit_plugin(&kit, "request-transformer",
			 "{\"remove\":{\"querystring\":[\"gone\"],\"body\":[\"c\"]},\"add\":{\"headers\":[\"X:$(query_"
			 "params.x)\"]}}") == NULL);
	CHECK(kit_plugin(&kit, "response-transformer", "{\"add\":{\"json\":[\"m:1\"]}}") == NULL);
	CHECK(kit_plugin(&kit, "prometheus", "{\"status_code_metrics\":true}") == NULL);
	CHECK(kit_plugin(&kit, "http-log",
			 "{\"http_endpoint\":\"http://l.example/\",\"queue\":{\"max_batch_size\":100}}") == NULL);
	CHECK(kit_credential(&kit, GW_KEYAUTH, kit_consumer(&kit, "anna"), "key-of-anna", "", "") == NULL);
	ms_test_torture(torture_request);
	kit_fini(&kit);
}
