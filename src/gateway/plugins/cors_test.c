// SPDX-License-Identifier: Apache-2.0
#include "gateway/gateway_test_kit.h"

static void preflight(struct gw_kit *kit, const char *origin)
{
	kit_request(kit, HTTP_OPTIONS, "/a");
	kit_header(kit, "Origin", origin);
	kit_header(kit, "Access-Control-Request-Method", "PUT");
	kit_header(kit, "Access-Control-Request-Headers", "X-One, X-Two");
}

static const char *allowed(struct gw_kit *kit, const char *origin)
{
	kit_request(kit, HTTP_GET, "/a");
	if (origin != NULL)
		kit_header(kit, "Origin", origin);
	CHECK_INT(kit_access(kit), GW_NEXT);
	kit_upstream(kit, 200, "text/plain", "x");
	return kit_answer(kit, "Access-Control-Allow-Origin");
}

TEST(cors_without_settings_allows_all)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "cors", "{}") == NULL);
	preflight(&kit, "https://a.example");
	CHECK_INT(kit_status(&kit), 200);
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Origin"), "*");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Methods"),
		  "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Headers"), "X-One, X-Two");
	CHECK_STR(kit_answer(&kit, "Access-Control-Max-Age"), "");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Credentials"), "");
	CHECK_STR(kit_answer(&kit, "Vary"), "Origin");
	CHECK_INT(kit.r.answer.body.n, 0);
	CHECK_STR(allowed(&kit, NULL), "*");
	CHECK_STR(allowed(&kit, "https://b.example"), "*");
	// OPTIONS that is no preflight goes on.
	kit_request(&kit, HTTP_OPTIONS, "/a");
	kit_header(&kit, "Origin", "https://a.example");
	CHECK_INT(kit_status(&kit), 0);
	kit_fini(&kit);
}

TEST(cors_says_what_is_set)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(
		      &kit, "cors",
		      "{\"origins\":[\"https://"
		      "a.example\"],\"methods\":[\"GET\",\"PUT\"],\"headers\":[\"X-A\",\"X-B\"],"
		      "\"exposed_headers\":[\"X-C\"],\"max_age\":600,\"credentials\":true,\"private_network\":true}") ==
	      NULL);
	preflight(&kit, "https://a.example");
	kit_header(&kit, "Access-Control-Request-Private-Network", "true");
	CHECK_INT(kit_status(&kit), 200);
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Origin"), "https://a.example");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Methods"), "GET,PUT");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Headers"), "X-A,X-B");
	CHECK_STR(kit_answer(&kit, "Access-Control-Max-Age"), "600");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Credentials"), "true");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Private-Network"), "true");
	CHECK_STR(kit_answer(&kit, "Access-Control-Expose-Headers"), "");
	CHECK_STR(allowed(&kit, NULL), "https://a.example");
	CHECK_STR(kit_answer(&kit, "Access-Control-Expose-Headers"), "X-C");
	kit_fini(&kit);
}

TEST(cors_compares_several_origins_and_patterns_whole)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "cors",
			 "{\"origins\":[\"https://a.example\",\"https://b.example:443\",\"c.example\",\"https://"
			 "good.example|https://fine.example\","
			 "\"^https://.*\\\\.d\\\\.example$\"]}") == NULL);
	CHECK_STR(allowed(&kit, "https://a.example"), "https://a.example");
	CHECK_STR(allowed(&kit, "https://a.example:443"), "https://a.example:443"); // the scheme's own port
	CHECK_STR(allowed(&kit, "https://b.example"), "https://b.example");
	CHECK_STR(allowed(&kit, "http://c.example:8080"), "http://c.example:8080");
	CHECK_STR(allowed(&kit, "https://x.d.example"), "https://x.d.example");
	CHECK_STR(allowed(&kit, "https://good.example"), "https://good.example");
	CHECK_STR(allowed(&kit, "https://good.example.evil.example"), ""); // an alternative is no prefix
	CHECK_STR(allowed(&kit, "https://x.d.example.evil.example"), "");
	CHECK_STR(allowed(&kit, "http://a.example"), "");
	CHECK_STR(allowed(&kit, "null"), "");
	CHECK_STR(kit_answer(&kit, "Vary"), "Origin");
	kit_fini(&kit);
}

TEST(cors_never_sends_a_star_with_credentials)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "cors", "{\"credentials\":true}") == NULL);
	CHECK_STR(allowed(&kit, "https://a.example"), "https://a.example");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Credentials"), "true");
	CHECK_STR(allowed(&kit, NULL), "*");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Credentials"), "");
	kit_fini(&kit);
}

TEST(cors_tells_who_is_refused_nothing_of_credentials)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "cors",
			 "{\"origins\":[\"https://a.example\",\"https://b.example\"],\"credentials\":true}") == NULL);
	CHECK_STR(allowed(&kit, "https://b.example"), "https://b.example");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Credentials"), "true");
	CHECK_STR(allowed(&kit, "https://c.example"), "");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Credentials"), "");
	kit_fini(&kit);
}

TEST(cors_can_leave_preflights_to_the_upstream)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "cors", "{\"preflight_continue\":true,\"allow_origin_absent\":false}") == NULL);
	preflight(&kit, "https://a.example");
	CHECK_INT(kit_access(&kit), GW_NEXT);
	kit_upstream_header(&kit, "Access-Control-Allow-Origin", "https://own.example");
	kit_upstream(&kit, 204, NULL, "");
	CHECK_STR(kit_answer(&kit, "Access-Control-Allow-Origin"), "https://own.example");
	CHECK_STR(allowed(&kit, NULL), "");
	CHECK_STR(allowed(&kit, "https://a.example"), "*");
	kit_fini(&kit);
}

TEST(cors_tells_of_patterns_that_are_none)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK_HAS(kit_plugin(&kit, "cors", "{\"origins\":[\"https://(a\"]}"), "is no regular expression");
	CHECK_HAS(kit_plugin(&kit, "cors", "{\"max_age\":\"long\"}"), "max_age");
	CHECK_HAS(kit_plugin(&kit, "cors", "{\"origin\":[\"*\"]}"), "origin");
	kit_fini(&kit);
}
