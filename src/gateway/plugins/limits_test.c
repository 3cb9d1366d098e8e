// SPDX-License-Identifier: Apache-2.0
// rate-limiting, ip-restriction, request-size-limiting.
#include <stdio.h>
#include <stdlib.h>

#include "gateway/gateway_test_kit.h"

static void with_limits(struct gw_kit *kit, const char *config)
{
	kit_init(kit);
	CHECK_STR(kit_plugin(kit, "rate-limiting", config), NULL);
}

static int ask(struct gw_kit *kit)
{
	kit_request(kit, HTTP_GET, "/a");
	return kit_status(kit);
}

TEST(exactly_as_many_requests_pass_as_the_limit_says)
{
	struct gw_kit kit;
	int passed = 0, refused = 0;
	with_limits(&kit, "{\"year\":7}");
	for (int i = 0; i < 20; i++)
		*(ask(&kit) == 0 ? &passed : &refused) += 1;
	CHECK_INT(passed, 7);
	CHECK_INT(refused, 13);
	CHECK_INT(kit.r.answer.status, 429);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "{\"message\":\"API rate limit exceeded\"");
	kit_fini(&kit);
}

TEST(limits_are_told_in_the_current_and_the_older_headers)
{
	struct gw_kit kit;
	with_limits(&kit, "{\"day\":10,\"year\":100}");
	CHECK_INT(ask(&kit), 0);
	kit_upstream(&kit, 200, "text/plain", "x");
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Limit-Day"), "10");
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Remaining-Day"), "9");
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Limit-Year"), "100");
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Remaining-Year"), "99");
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Limit-Minute"), "");
	CHECK_STR(kit_answer(&kit, "RateLimit-Limit"), "10"); // of the one with the least left
	CHECK_STR(kit_answer(&kit, "RateLimit-Remaining"), "9");
	int reset = atoi(kit_answer(&kit, "RateLimit-Reset"));
	CHECK(reset > 0 && reset <= 86400);
	CHECK_STR(kit_answer(&kit, "RateLimit-Policy"), "\"day\";q=10;w=86400, \"year\";q=100");
	const char *both = kit_answer(&kit, "RateLimit");
	CHECK_HAS(both, "\"day\";r=9;t=");
	CHECK_HAS(both, ", \"year\";r=99;t=");
	CHECK_STR(kit_answer(&kit, "Retry-After"), "");
	for (int i = 0; i < 9; i++)
		CHECK_INT(ask(&kit), 0);
	CHECK_INT(ask(&kit), 429);
	int retry = atoi(kit_answer(&kit, "Retry-After"));
	CHECK(retry > 0 && retry <= 86400);
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Remaining-Day"), "0");
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Remaining-Year"), "90"); // a refused request counts nowhere
	kit_fini(&kit);
}

TEST(ratelimit_fields_are_structured_fields)
{
	struct gw_kit kit;
	struct sf_list list;
	with_limits(&kit, "{\"day\":10,\"year\":100}");
	CHECK_INT(ask(&kit), 0);
	kit_upstream(&kit, 200, "text/plain", "x");
	REQUIRE(ms_sf_parse_list(ms_gw_header(&kit.r.answer.headers, MS_SLICE_LIT("RateLimit-Policy")), &kit.arena,
				 NULL, &list) == MS_OK);
	CHECK_INT(list.count, 2);
	CHECK_INT(list.members[0].item.value.type, SF_STRING);
	CHECK_INT(ms_sf_param(&list.members[1].item.params, "q")->integer, 100);
	REQUIRE(ms_sf_parse_list(ms_gw_header(&kit.r.answer.headers, MS_SLICE_LIT("RateLimit")), &kit.arena, NULL,
				 &list) == MS_OK);
	CHECK_INT(list.count, 2);
	CHECK_SLICE(list.members[0].item.value.text, "day");
	CHECK_INT(ms_sf_param(&list.members[0].item.params, "r")->integer, 9);
	CHECK(ms_sf_param(&list.members[1].item.params, "t")->integer > 0);
	kit_fini(&kit);
}

TEST(sets_of_headers_can_be_chosen)
{
	struct gw_kit kit;
	with_limits(&kit, "{\"hour\":1,\"ratelimit\":\"draft\"}");
	ask(&kit);
	CHECK_INT(ask(&kit), 429);
	CHECK_HAS(kit_answer(&kit, "RateLimit"), "\"hour\";r=0;t=");
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Limit-Hour"), "");
	kit_fini(&kit);
	with_limits(&kit,
		    "{\"hour\":1,\"ratelimit\":\"legacy\",\"error_code\":503,\"error_message\":\"slow \\\"down\\\"\"}");
	ask(&kit);
	CHECK_INT(ask(&kit), 503);
	CHECK_STR(kit_answer(&kit, "RateLimit"), "");
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Limit-Hour"), "1");
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "{\"message\":\"slow \\\"down\\\"\"");
	kit_fini(&kit);
	with_limits(&kit, "{\"hour\":1,\"hide_client_headers\":true}");
	ask(&kit);
	CHECK_INT(ask(&kit), 429);
	CHECK_INT(kit.r.answer.headers.count, 1); // Content-Type
	kit_fini(&kit);
}

TEST(requests_are_counted_by_what_is_said_else_by_address)
{
	struct gw_kit kit;
	char large[2000];
	with_limits(&kit, "{\"year\":1,\"limit_by\":\"header\",\"header_name\":\"X-Tenant\"}");
	memset(large, 'a', sizeof(large));
	large[sizeof(large) - 1] = '\0';
	const char *const tenants[] = {"a", "b", large};
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < MS_ARRAY_LEN(tenants); i++) {
			kit_request(&kit, HTTP_GET, "/");
			kit_header(&kit, "X-Tenant", tenants[i]);
			CHECK_INT(kit_status(&kit), round == 0 ? 0 : 429);
		}
		CHECK_INT(ask(&kit), round == 0 ? 0 : 429);
		kit_request(&kit, HTTP_GET, "/");
		kit.r.client_ip = MS_SLICE_LIT("2001:db8::9");
		CHECK_INT(kit_status(&kit), round == 0 ? 0 : 429);
	}
	kit_fini(&kit);
	// Who calls himself by an address in a header is not counted as that address.
	with_limits(&kit, "{\"year\":1,\"limit_by\":\"header\",\"header_name\":\"X-Tenant\"}");
	CHECK_INT(ask(&kit), 0);
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "X-Tenant", "192.0.2.7");
	CHECK_INT(kit_status(&kit), 0);
	kit_fini(&kit);
}

TEST(a_network_of_ipv6_is_one_caller)
{
	static const struct {
		const char *address;
		int want;
	} cases[] = {
		{"2001:db8:1:2::1", 0},    {"2001:db8:1:2:ffff::9", 429},
		{"2001:DB8:1:2::1", 429},  {"2001:db8:1:3::1", 0},
		{"192.0.2.1", 0},          {"192.0.2.2", 0},
		{"::ffff:192.0.2.1", 429},
	};
	struct gw_kit kit;
	with_limits(&kit, "{\"year\":1,\"limit_by\":\"ip\"}");
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		kit_request(&kit, HTTP_GET, "/");
		kit.r.client_ip = ms_slice_cstr(cases[i].address);
		if (!CHECK_INT(kit_status(&kit), cases[i].want))
			CHECK_STR(cases[i].address, "");
	}
	kit_fini(&kit);
}

TEST(paths_consumers_and_services_are_told_apart)
{
	struct gw_kit kit;
	with_limits(&kit, "{\"year\":1,\"limit_by\":\"path\",\"path\":\"/a\"}");
	CHECK_INT(ask(&kit), 0);
	CHECK_INT(ask(&kit), 429);
	kit_request(&kit, HTTP_GET, "/b");
	CHECK_INT(kit_status(&kit), 0); // by address
	kit_fini(&kit);
	with_limits(&kit, "{\"year\":1}");
	struct gw_consumer *anna = kit_consumer(&kit, "anna"), *ben = kit_consumer(&kit, "ben");
	struct gw_consumer *const who[] = {anna, ben, anna, NULL, NULL};
	static const int want[] = {0, 0, 429, 0, 429};
	for (size_t i = 0; i < MS_ARRAY_LEN(who); i++) {
		kit_request(&kit, HTTP_GET, "/");
		kit.r.consumer = who[i];
		CHECK_INT(kit_status(&kit), want[i]);
	}
	kit_fini(&kit);
	with_limits(&kit, "{\"year\":1,\"limit_by\":\"service\"}");
	CHECK_INT(ask(&kit), 0);
	kit_request(&kit, HTTP_GET, "/");
	kit.r.client_ip = MS_SLICE_LIT("198.51.100.1");
	CHECK_INT(kit_status(&kit), 429);
	kit_fini(&kit);
}

TEST(gcra_lets_a_burst_pass_and_then_evenly)
{
	struct gw_kit kit;
	int passed = 0;
	with_limits(&kit, "{\"hour\":60,\"algorithm\":\"gcra\",\"burst\":3}");
	for (int i = 0; i < 10; i++)
		passed += ask(&kit) == 0;
	CHECK_INT(passed, 3);
	int retry = atoi(kit_answer(&kit, "Retry-After"));
	CHECK(retry > 55 && retry <= 60);
	CHECK_STR(kit_answer(&kit, "RateLimit-Policy"), "\"hour\";q=60;w=3600");
	kit_fini(&kit);
	passed = 0;
	with_limits(&kit, "{\"hour\":1,\"algorithm\":\"gcra\",\"burst\":4}"); // slow, but several at once
	for (int i = 0; i < 10; i++)
		passed += ask(&kit) == 0;
	CHECK_INT(passed, 4);
	kit_fini(&kit);
}

TEST(without_redis_requests_pass_or_do_not_as_set)
{
	struct gw_kit kit;
	with_limits(&kit,
		    "{\"year\":1,\"policy\":\"redis\",\"redis\":{\"host\":\"127.0.0.1\",\"port\":1,\"timeout\":200}}");
	CHECK_INT(ask(&kit), 0);
	CHECK_INT(ask(&kit), 0);
	CHECK_INT(kit.r.answer_extra.count, 0);
	kit_fini(&kit);
	with_limits(&kit, "{\"year\":1,\"policy\":\"redis\",\"redis_host\":\"127.0.0.1\",\"redis_port\":1,\"redis_"
			  "timeout\":200,\"fault_tolerant\":false}");
	CHECK_INT(ask(&kit), 500);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "{\"message\":\"An unexpected error occurred\"");
	kit_fini(&kit);
}

TEST(settings_of_limits_are_checked)
{
	static const struct {
		const char *config, *says;
	} cases[] = {
		{"{}", "at least one of these must be given: second, minute"},
		{"{\"second\":10,\"minute\":5}",
		 "The limit for minute(5) cannot be lower than the limit for second(10)"},
		{"{\"minute\":0}", "minute"},
		{"{\"minute\":5,\"policy\":\"cluster\"}", "policy: \"cluster\" needs"},
		{"{\"minute\":5,\"limit_by\":\"header\"}", "header_name"},
		{"{\"minute\":5,\"limit_by\":\"path\"}", "path: required"},
		{"{\"minute\":5,\"sync_rate\":1}", "sync_rate"},
		{"{\"minute\":5,\"policy\":\"redis\",\"sync_rate\":0.01}", "sync_rate"},
		{"{\"minute\":5,\"burst\":2}", "burst: only with algorithm gcra"},
		{"{\"minute\":5,\"limit_by\":\"moon\"}", "limit_by"},
		{"{\"minutes\":5}", "minutes"},
		{"{\"year\":1099511627771,\"algorithm\":\"gcra\"}", "config: "},
	};
	struct gw_kit kit;
	kit_init(&kit);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		const char *wrong = kit_plugin(&kit, "rate-limiting", cases[i].config);
		CHECK_HAS(wrong != NULL ? wrong : "", cases[i].says);
	}
	CHECK_STR(kit_plugin(&kit, "rate-limiting", "{\"minute\":5,\"policy\":\"redis\",\"sync_rate\":0.5}"), NULL);
	kit_fini(&kit);
}

// --- ip-restriction ------------------------------------------------------------------------------------------------------

static int from(struct gw_kit *kit, const char *address)
{
	kit_request(kit, HTTP_GET, "/");
	kit->r.client_ip = ms_slice_cstr(address);
	return kit_status(kit);
}

TEST(addresses_are_allowed_and_denied)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "ip-restriction",
			 "{\"allow\":[\"10.0.0.0/8\",\"2001:db8::/32\"],\"deny\":[\"10.9.0.0/16\"]}") == NULL);
	CHECK_INT(from(&kit, "10.1.2.3"), 0);
	CHECK_INT(from(&kit, "2001:db8::5"), 0);
	CHECK_INT(from(&kit, "10.9.2.3"), 403); // deny wins
	CHECK_INT(from(&kit, "192.0.2.1"), 403);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "{\"message\":\"IP address not allowed: 192.0.2.1\"");
	CHECK_INT(from(&kit, "unix"), 403);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "Cannot identify the client IP address");
	kit_fini(&kit);
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "ip-restriction", "{\"deny\":[\"192.0.2.1\"],\"status\":404,\"message\":\"gone\"}") ==
	      NULL);
	CHECK_INT(from(&kit, "192.0.2.2"), 0);
	CHECK_INT(from(&kit, "::ffff:192.0.2.1"), 404);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "{\"message\":\"gone\"");
	kit_fini(&kit);
	kit_init(&kit);
	CHECK_HAS(kit_plugin(&kit, "ip-restriction", "{}"), "at least one");
	CHECK_HAS(kit_plugin(&kit, "ip-restriction", "{\"allow\":[\"10.0.0.1/8\"]}"), "allow[0]");
	CHECK_HAS(kit_plugin(&kit, "ip-restriction", "{\"deny\":[\"10.0.0.0/8\",\"here\"]}"), "deny[1]: \"here\"");
	kit_fini(&kit);
}

// --- request-size-limiting -----------------------------------------------------------------------------------------------

TEST(large_bodies_are_refused)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "request-size-limiting", "{\"allowed_payload_size\":1,\"size_unit\":\"kilobytes\"}") ==
	      NULL);
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, NULL, "x");
	kit.x.req.content_length = 1024;
	CHECK_INT(kit_status(&kit), 0);
	CHECK_INT(kit.r.out.max_body, 1024);
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, NULL, "x");
	kit.x.req.content_length = 1025;
	CHECK_INT(kit_status(&kit), 413);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "{\"message\":\"Request size limit exceeded\"");
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, NULL, "x");
	kit_header(&kit, "Expect", "100-continue");
	kit.x.req.content_length = 1025;
	CHECK_INT(kit_status(&kit), 417);
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, NULL, "x");
	kit.x.req.content_length = UINT64_MAX; // chunked: the proxy counts
	CHECK_INT(kit_status(&kit), 0);
	kit_fini(&kit);
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "request-size-limiting", "{\"require_content_length\":true}") == NULL);
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, NULL, "x");
	kit.x.req.content_length = UINT64_MAX;
	CHECK_INT(kit_status(&kit), 411);
	kit_request(&kit, HTTP_GET, "/");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_INT(kit.r.out.max_body, 128 << 20);
	kit_fini(&kit);
}
