// SPDX-License-Identifier: Apache-2.0
// correlation-id, request-termination, canary, mirror; and that request-validator and waf have their place in the chain.
#include <stdio.h>
#include <string.h>

#include "gateway/gateway_test_kit.h"

static void with(struct gw_kit *kit, const char *name, const char *config)
{
	kit_init(kit);
	CHECK_STR(kit_plugin(kit, name, config), NULL);
	kit_request(kit, HTTP_GET, "/a");
}

TEST(correlation_ids_are_made_kept_and_echoed)
{
	struct gw_kit kit;
	with(&kit, "correlation-id", "{}");
	CHECK_INT(kit_status(&kit), 0);
	const char *first = ms_arena_cstr(&kit.plan.arena, ms_slice_cstr(kit_out(&kit, "Kong-Request-ID")));
	CHECK_INT(strlen(first), 38); // UUID, '#', 1
	CHECK_STR(first + 36, "#1");
	CHECK(first[14] == '4' && first[8] == '-' && first[23] == '-');
	kit_upstream(&kit, 200, "text/plain", "");
	CHECK_STR(kit_answer(&kit, "Kong-Request-ID"), "");
	kit_request(&kit, HTTP_GET, "/a");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_STR(kit_out(&kit, "Kong-Request-ID") + 36, "#2");
	CHECK(memcmp(kit_out(&kit, "Kong-Request-ID"), first, 36) == 0);
	kit_fini(&kit);
	with(&kit, "correlation-id", "{\"generator\":\"uuid\",\"header_name\":\"X-Id\",\"echo_downstream\":true}");
	kit_header(&kit, "X-ID", "mine");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_STR(kit_out(&kit, "X-Id"), "mine");
	kit_upstream(&kit, 200, "text/plain", "");
	CHECK_STR(kit_answer(&kit, "X-Id"), "mine");
	kit_request(&kit, HTTP_GET, "/a");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_INT(strlen(kit_out(&kit, "X-Id")), 36);
	kit_fini(&kit);
	with(&kit, "correlation-id", "{\"header_name\":\"X-Request-ID\",\"echo_downstream\":true}");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_STR(kit_out(&kit, "X-Request-ID"), ""); // the gateway's own, and no second one
	kit_upstream(&kit, 200, "text/plain", "");
	CHECK_STR(kit_answer(&kit, "X-Request-ID"), "");
	kit_fini(&kit);
	with(&kit, "correlation-id", "{\"generator\":\"tracker\"}");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_HAS(kit_out(&kit, "Kong-Request-ID"), "192.0.2.7-0-");
	CHECK_HAS(kit_plugin(&kit, "cors", "{\"methods\":[\"a\\nb\"]}"), "lists of names");
	kit_fini(&kit);
}

TEST(requests_are_terminated)
{
	struct gw_kit kit;
	with(&kit, "request-termination", "{}");
	CHECK_INT(kit_status(&kit), 503);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "{\"message\":\"Service unavailable\"");
	kit_fini(&kit);
	with(&kit, "request-termination", "{\"status_code\":404,\"message\":\"So long\"}");
	CHECK_INT(kit_status(&kit), 404);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "{\"message\":\"So long\"");
	kit_fini(&kit);
	with(&kit, "request-termination", "{\"status_code\":200,\"body\":\"<p>\",\"content_type\":\"text/html\"}");
	CHECK_INT(kit_status(&kit), 200);
	CHECK_SLICE(kit.r.answer.body, "<p>");
	CHECK_STR(kit_answer(&kit, "Content-Type"), "text/html");
	kit_fini(&kit);
	with(&kit, "request-termination", "{\"status_code\":204}");
	CHECK_INT(kit_status(&kit), 204);
	CHECK_INT(kit.r.answer.body.n + kit.r.answer.headers.count, 0);
	kit_fini(&kit);
}

TEST(termination_waits_for_its_trigger_and_echoes)
{
	struct gw_kit kit;
	with(&kit, "request-termination", "{\"trigger\":\"X-Stop\",\"echo\":true,\"status_code\":200}");
	CHECK_INT(kit_status(&kit), 0);
	kit_request(&kit, HTTP_GET, "/a");
	kit_header(&kit, "x-stop", "");
	CHECK_INT(kit_status(&kit), 200);
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "\"headers\":{\"x-stop\":\"\"}");
	CHECK_HAS(kit_text(&kit, kit.r.answer.body), "\"matched_route\":{\"id\":\"route-id\",\"name\":\"a-route\"}");
	kit_request(&kit, HTTP_GET, "/a?b=1&X-Stop");
	CHECK_INT(kit_status(&kit), 200);
	CHECK_HAS(kit_plugin(&kit, "request-termination", "{\"message\":\"a\",\"body\":\"b\"}"),
		  "message cannot be used with");
	CHECK_HAS(kit_plugin(&kit, "request-termination", "{\"content_type\":\"text/html\"}"),
		  "content_type requires a body");
	CHECK_HAS(kit_plugin(&kit, "request-termination", "{\"status_code\":101}"), "status_code");
	kit_fini(&kit);
}

// --- canary ------------------------------------------------------------------------------------------------------------

static int canaries(struct gw_kit *kit, int count, int64_t after_s)
{
	int hits = 0;
	for (int i = 0; i < count; i++) {
		char address[32];
		snprintf(address, sizeof(address), "10.0.%d.%d", i / 256, i % 256);
		kit_request(kit, HTTP_GET, "/a");
		kit->r.client_ip = ms_slice_cstr(address);
		kit->r.wall_ns += after_s * 1000000000;
		CHECK_INT(kit_status(kit), 0);
		hits += kit->r.out.host.n > 0;
	}
	return hits;
}

TEST(a_part_goes_to_the_canary_and_the_same_ones_always)
{
	struct gw_kit kit;
	with(&kit, "canary",
	     "{\"percentage\":20,\"upstream_host\":\"canary.example\",\"upstream_port\":8081,\"hash\":\"ip\"}");
	int hits = canaries(&kit, 2000, 0);
	CHECK(hits > 320 && hits < 480);
	CHECK_INT(canaries(&kit, 2000, 0), hits);
	kit_fini(&kit);
	with(&kit, "canary", "{\"percentage\":0,\"upstream_host\":\"canary.example\"}");
	CHECK_INT(canaries(&kit, 200, 0), 0);
	kit_fini(&kit);
	with(&kit, "canary",
	     "{\"percentage\":100,\"upstream_host\":\"canary.example\",\"upstream_uri\":\"/"
	     "new\",\"upstream_fallback\":true,\"upstream_port\":81}");
	CHECK_INT(canaries(&kit, 200, 0), 200);
	CHECK_SLICE(kit.r.out.host, "canary.example");
	CHECK_INT(kit.r.out.port, 81);
	CHECK_SLICE(kit.r.out.path, "/new");
	CHECK_SLICE(kit.r.out.fallback_path, "/a");
	CHECK(kit.r.out.host_fallback);
	kit_fini(&kit);
	with(&kit, "canary", "{\"percentage\":50,\"upstream_host\":\"canary.example\",\"hash\":\"none\"}");
	hits = canaries(&kit, 1000, 0);
	CHECK(hits > 400 && hits < 600);
	kit_fini(&kit);
}

TEST(the_part_grows_with_time)
{
	struct gw_kit kit;
	with(&kit, "canary",
	     "{\"start\":1800000000,\"duration\":1000,\"upstream_host\":\"canary.example\",\"hash\":\"ip\"}");
	CHECK_INT(canaries(&kit, 500, -10), 0);
	CHECK_INT(canaries(&kit, 500, 0), 0);
	int quarter = canaries(&kit, 2000, 250), half = canaries(&kit, 2000, 500);
	CHECK(quarter > 400 && quarter < 600 && half > 900 && half < 1100);
	CHECK_INT(canaries(&kit, 500, 1000), 500);
	CHECK_INT(canaries(&kit, 500, 5000), 500);
	kit_fini(&kit);
}

TEST(headers_and_groups_decide_about_the_canary)
{
	struct slice groups[] = {MS_SLICE_LIT("testers")};
	struct gw_kit kit;
	with(&kit, "canary",
	     "{\"percentage\":0,\"upstream_host\":\"canary.example\",\"canary_by_header_name\":\"X-Canary\"}");
	kit_header(&kit, "x-canary", "always");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_INT(kit.r.out.host.n, 14);
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "x-canary", "perhaps");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_INT(kit.r.out.host.n, 0);
	kit_fini(&kit);
	for (int deny = 0; deny < 2; deny++) {
		with(&kit, "canary",
		     deny ? "{\"hash\":\"deny\",\"groups\":[\"testers\"],\"upstream_host\":\"canary.example\",\"canary_"
			    "by_header_name\":\"X-C\"}"
			  : "{\"hash\":\"allow\",\"groups\":[\"testers\"],\"upstream_host\":\"canary.example\","
			    "\"canary_by_header_name\":\"X-C\"}");
		CHECK_INT(kit_status(&kit), 0);
		CHECK_INT(kit.r.out.host.n > 0, deny);
		struct gw_consumer *anna = kit_consumer(&kit, "anna");
		anna->groups = (struct text_list){groups, 1};
		kit_request(&kit, HTTP_GET, "/");
		kit.r.consumer = anna;
		CHECK_INT(kit_status(&kit), 0);
		CHECK_INT(kit.r.out.host.n > 0, !deny);
		kit_request(&kit, HTTP_GET, "/");
		kit_header(&kit, "X-C", deny ? "never" : "always");
		CHECK_INT(kit_status(&kit), 0);
		CHECK_INT(kit.r.out.host.n > 0, !deny);
		kit_fini(&kit);
	}
}

TEST(settings_of_the_canary_are_checked)
{
	static const struct {
		const char *config, *says;
	} cases[] = {
		{"{\"upstream_host\":\"a\"}", "exactly one of these must be given: percentage, start"},
		{"{\"upstream_host\":\"a\",\"percentage\":5,\"start\":5}", "exactly one of these"},
		{"{\"percentage\":5}", "at least one of these must be given: upstream_host"},
		{"{\"percentage\":101,\"upstream_host\":\"a\"}", "percentage"},
		{"{\"hash\":\"allow\",\"upstream_host\":\"a\"}", "groups: required"},
		{"{\"hash\":\"header\",\"percentage\":5,\"upstream_host\":\"a\"}", "hash_header"},
		{"{\"percentage\":5,\"upstream_uri\":\"a\"}", "does not begin with /"},
		{"{\"percentage\":5,\"upstream_uri\":\"/a\",\"upstream_fallback\":true}",
		 "upstream_fallback: requires"},
	};
	struct gw_kit kit;
	kit_init(&kit);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		const char *wrong = kit_plugin(&kit, "canary", cases[i].config);
		CHECK_HAS(wrong != NULL ? wrong : "", cases[i].says);
	}
	kit_fini(&kit);
}

// --- mirror --------------------------------------------------------------------------------------------------------------

TEST(copies_are_decided_about)
{
	struct gw_kit kit;
	int copies = 0;
	struct gw_service shadow = {.name = MS_SLICE_LIT("shadow")};
	kit_init(&kit);
	kit.plan.services = &shadow;
	kit.plan.service_count = 1;
	CHECK_STR(kit_plugin(&kit, "mirror", "{\"service\":\"shadow\",\"percent\":25,\"max_body\":10}"), NULL);
	CHECK_HAS(kit_plugin(&kit, "mirror", "{\"service\":\"other\"}"), "no service has the name or id \"other\"");
	shadow.protocol = GW_LOCAL;
	CHECK_HAS(kit_plugin(&kit, "mirror", "{\"service\":\"shadow\"}"), "is local");
	kit_request(&kit, HTTP_GET, "/a");
	for (int i = 0; i < 2000; i++) {
		kit_request(&kit, HTTP_GET, "/");
		CHECK_INT(kit_status(&kit), 0);
		copies += kit.r.out.mirror != NULL;
	}
	CHECK(copies > 400 && copies < 600);
	kit_fini(&kit);
	with(&kit, "mirror", "{\"host\":\"shadow.example\",\"max_body\":10}");
	CHECK_INT(kit_status(&kit), 0);
	REQUIRE(kit.r.out.mirror != NULL);
	CHECK_SLICE(kit.r.out.mirror->host, "shadow.example");
	CHECK_INT(kit.r.out.mirror->port, 80);
	CHECK(kit.r.out.mirror->compare_status && !kit.r.out.mirror->compare_body);
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, NULL, "eleven bytes");
	CHECK_INT(kit_status(&kit), 0);
	CHECK(kit.r.out.mirror == NULL);
	CHECK_HAS(kit_plugin(&kit, "mirror", "{}"), "exactly one");
	CHECK_HAS(kit_plugin(&kit, "mirror", "{\"host\":\"a\",\"service\":\"b\"}"), "exactly one");
	kit_fini(&kit);
}

TEST(bodies_are_validated_and_attacks_refused_in_the_chain)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK_STR(kit_plugin(&kit, "waf", "{}"), NULL);
	CHECK_STR(kit_plugin(&kit, "request-validator",
			     "{\"version\":\"draft202012\",\"body_schema\":\"{\\\"type\\\":\\\"object\\\","
			     "\\\"required\\\":[\\\"a\\\"]}\"}"),
		  NULL);
	CHECK(kit.chain.reads_body);
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, "application/json", "{\"a\":1}");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_INT(kit_run_body(&kit), GW_NEXT);
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, "application/json", "{\"b\":1}");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_INT(kit_run_body(&kit), GW_ANSWERED);
	CHECK_INT(kit.r.answer.status, 400);
	kit_fini(&kit);
}
