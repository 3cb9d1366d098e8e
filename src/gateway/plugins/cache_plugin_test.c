// SPDX-License-Identifier: Apache-2.0
// proxy-cache.
#include "gateway/gateway_test_kit.h"
#include "gateway/plugins/proxy_cache_entry.h"

static void with_cache(struct gw_kit *kit, const char *config)
{
	kit_init(kit);
	CHECK_STR(kit_plugin(kit, "proxy-cache", config), NULL);
}

// Asks, and lets the upstream answer when it is asked. "" when the cache answered before the upstream was.
static const char *ask(struct gw_kit *kit, const char *target, const char *header, const char *value, const char *said,
		       const char *body)
{
	kit_request(kit, HTTP_GET, target);
	if (header != NULL)
		kit_header(kit, header, value);
	if (kit_access(kit) == GW_NEXT) {
		if (said != NULL)
			kit_upstream_header(kit, "Cache-Control", said);
		kit_upstream(kit, 200, "application/json", body);
	} else {
		ms_chain_answer(&kit->r);
	}
	return kit_answer(kit, "X-Cache-Status");
}

TEST(an_answer_is_given_again)
{
	struct gw_kit kit;
	with_cache(&kit, "{\"strategy\":\"memory\"}");
	CHECK_STR(ask(&kit, "/a?x=1&y=2", NULL, NULL, NULL, "{\"n\":1}"), "Miss");
	CHECK_INT(strlen(kit_answer(&kit, "X-Cache-Key")), 64);
	const char *key = ms_arena_cstr(&kit.plan.arena, ms_slice_cstr(kit_answer(&kit, "X-Cache-Key")));
	CHECK_STR(ask(&kit, "/a?y=2&x=1", NULL, NULL, NULL, "{\"n\":2}"),
		  "Hit"); // the order of the query does not count
	CHECK_STR(kit_answer(&kit, "X-Cache-Key"), key);
	CHECK_STR(kit_answer(&kit, "Age"), "0");
	CHECK_STR(kit_answer(&kit, "Content-Type"), "application/json");
	CHECK_SLICE(kit.r.answer.body, "{\"n\":1}");
	CHECK_INT(kit.r.answer.source, GW_FROM_CACHE);
	CHECK_STR(ask(&kit, "/a?x=1", NULL, NULL, NULL, "{}"), "Miss");
	CHECK_STR(ask(&kit, "/A?x=1&y=2", NULL, NULL, NULL, "{}"), "Miss");
	kit_request(&kit, HTTP_GET, "/a?x=1&y=2");
	kit.x.req.authority = MS_SLICE_LIT("other.example");
	CHECK_INT(kit_access(&kit), GW_NEXT); // another host
	kit_request(&kit, HTTP_GET, "/a?x=1&y=2");
	kit.r.consumer = kit_consumer(&kit, "anna");
	CHECK_INT(kit_access(&kit), GW_NEXT); // another consumer
	kit_fini(&kit);
}

TEST(who_asks_otherwise_is_answered_otherwise)
{
	struct gw_kit kit;
	with_cache(&kit, "{\"strategy\":\"memory\",\"vary_headers\":[\"X-Lang\"]}");
	// A parameter does not pass for a header.
	CHECK_STR(ask(&kit, "/a?x&de", NULL, NULL, NULL, "{}"), "Miss");
	CHECK_STR(ask(&kit, "/a?x", "X-Lang", "de", NULL, "{}"), "Miss");
	CHECK_STR(ask(&kit, "/a?x", "X-Lang", "de", NULL, "{}"), "Hit");
	// The order of values of one name counts, that of names does not.
	CHECK_STR(ask(&kit, "/a?id=1&id=2&z=3", NULL, NULL, NULL, "{}"), "Miss");
	CHECK_STR(ask(&kit, "/a?id=2&id=1&z=3", NULL, NULL, NULL, "{}"), "Miss");
	CHECK_STR(ask(&kit, "/a?z=3&id=1&id=2", NULL, NULL, NULL, "{}"), "Hit");
	// What a trusted proxy said of the client's request.
	CHECK_STR(ask(&kit, "/f", "X-Forwarded-Host", "a.example", NULL, "{}"), "Miss");
	CHECK_STR(ask(&kit, "/f", "X-Forwarded-Host", "b.example", NULL, "{}"), "Miss");
	// Plugins before have made another request of it.
	kit_request(&kit, HTTP_GET, "/f");
	kit.r.out.path = MS_SLICE_LIT("/other");
	CHECK_INT(kit_access(&kit), GW_NEXT);
	kit_upstream(&kit, 200, "application/json", "{}");
	CHECK_STR(kit_answer(&kit, "X-Cache-Status"), "Miss");
	CHECK_STR(ask(&kit, "/f", NULL, NULL, NULL, "{}"), "Miss");
	// What a canary says is for those alone who were sent there.
	for (int i = 0; i < 3; i++) {
		kit_request(&kit, HTTP_GET, "/g");
		CHECK_INT(kit_access(&kit), GW_NEXT);
		kit.r.out.host = i == 0 ? MS_SLICE_LIT("canary") : MS_SLICE_EMPTY;
		kit.r.out.port = i == 1 ? 8080 : 0;
		kit.r.out.path = i == 2 ? MS_SLICE_LIT("/new") : kit.r.out.path;
		kit_upstream(&kit, 200, "application/json", "{}");
		CHECK_STR(kit_answer(&kit, "X-Cache-Status"), "Bypass");
	}
	kit_fini(&kit);
}

// One consumer may be many people: whose token it is only the upstream knows.
TEST(tokens_for_the_upstream_share_no_answer)
{
	struct gw_kit kit;
	static const char *const tokens[] = {"Bearer anna", "Bearer ben", "Bearer anna"}, *const want[] = {"Miss",
													   "Miss",
													   "Hit"};
	with_cache(&kit, "{\"strategy\":\"memory\"}");
	struct gw_consumer *app = kit_consumer(&kit, "app");
	for (int anonymous = 0; anonymous < 2; anonymous++) {
		for (size_t i = 0; i < MS_ARRAY_LEN(tokens); i++) {
			kit_request(&kit, HTTP_GET, "/me");
			kit_header(&kit, "Authorization", tokens[i]);
			kit.r.consumer = app;
			kit.r.anonymous = anonymous == 1;
			if (kit_access(&kit) == GW_NEXT)
				kit_upstream(&kit, 200, "application/json", "{}");
			else
				ms_chain_answer(&kit.r);
			CHECK_STR(kit_answer(&kit, "X-Cache-Status"), anonymous == 1 ? "Bypass" : want[i]);
		}
	}
	kit_fini(&kit);
}

TEST(answers_grow_old)
{
	struct gw_kit kit;
	with_cache(&kit, "{\"strategy\":\"memory\",\"cache_ttl\":60,\"storage_ttl\":600}");
	CHECK_STR(ask(&kit, "/a", NULL, NULL, NULL, "{}"), "Miss");
	kit_request(&kit, HTTP_GET, "/a");
	kit.r.wall_ns += INT64_C(60) * 1000000000;
	CHECK_INT(kit_status(&kit), 200);
	CHECK_STR(kit_answer(&kit, "Age"), "60");
	kit_request(&kit, HTTP_GET, "/a");
	kit.r.wall_ns += INT64_C(61) * 1000000000;
	CHECK_INT(kit_access(&kit), GW_NEXT);
	kit_upstream(&kit, 200, "application/json", "{}");
	CHECK_STR(kit_answer(&kit, "X-Cache-Status"), "Refresh");
	kit_fini(&kit);
}

TEST(what_must_not_be_kept_is_not)
{
	struct gw_kit kit;
	with_cache(&kit, "{\"strategy\":\"memory\",\"max_size\":10}");
	CHECK_STR(ask(&kit, "/a", "Authorization", "Bearer x", NULL, "{}"),
		  "Bypass"); // whose it is only the upstream knows
	CHECK_STR(ask(&kit, "/a", "Range", "bytes=0-1", NULL, "{}"), "Bypass");
	kit_request(&kit, HTTP_POST, "/a");
	CHECK_INT(kit_access(&kit), GW_NEXT);
	kit_upstream(&kit, 200, "application/json", "{}");
	CHECK_STR(kit_answer(&kit, "X-Cache-Status"), "Bypass");
	static const struct {
		int status;
		const char *type, *header, *value, *body, *want;
	} cases[] = {
		{500, "application/json", NULL, NULL, "{}", "Bypass"},
		{200, "text/html", NULL, NULL, "{}", "Bypass"},
		{200, NULL, NULL, NULL, "{}", "Bypass"},
		{200, "application/json", "Set-Cookie", "a=b", "{}", "Bypass"},
		{200, "application/json", "Vary", "*", "{}", "Bypass"},
		{200, "application/json; charset=utf-8", NULL, NULL, "{}", "Bypass"},
		{200, "application/json", NULL, NULL, "[1,2,3,4,5,6]", "Miss"}, // too large: not kept
		{404, "application/json", NULL, NULL, "{}", "Miss"},
		{200, "application/json", NULL, NULL, "{}", "Hit"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		kit_request(&kit, HTTP_GET, "/b");
		if (kit_access(&kit) == GW_NEXT) {
			if (cases[i].header != NULL)
				kit_upstream_header(&kit, cases[i].header, cases[i].value);
			kit_upstream(&kit, cases[i].status, cases[i].type, cases[i].body);
		} else {
			ms_chain_answer(&kit.r);
		}
		if (!CHECK_STR(kit_answer(&kit, "X-Cache-Status"), cases[i].want))
			CHECK_INT(i, -1);
	}
	kit_fini(&kit);
}

TEST(cache_control_is_followed_when_told_to)
{
	struct gw_kit kit;
	with_cache(&kit, "{\"strategy\":\"memory\",\"cache_control\":true,\"storage_ttl\":1000}");
	CHECK_STR(ask(&kit, "/a", NULL, NULL, NULL, "{}"), "Bypass"); // says nothing of how long
	static const char *const no[] = {"no-store, max-age=60",
					 "private, max-age=60",
					 "no-cache=\"a, b\", max-age=60",
					 "max-age=0",
					 "max-age=x",
					 "max-age=60, s-maxage=0",
					 "max-age=60, max-age=0"};
	for (size_t i = 0; i < MS_ARRAY_LEN(no); i++)
		CHECK_STR(ask(&kit, "/a", NULL, NULL, no[i], "{}"), "Bypass");
	CHECK_STR(ask(&kit, "/a", "Cache-Control", "no-store", "max-age=60", "{}"), "Bypass");
	CHECK_STR(ask(&kit, "/a", "Cache-Control", "no-cache", "max-age=60", "{}"), "Bypass");
	CHECK_STR(ask(&kit, "/a", "Authorization", "x", "max-age=60", "{}"), "Bypass");
	CHECK_STR(ask(&kit, "/a", "Cache-Control", "only-if-cached", NULL, ""), "Bypass");
	CHECK_INT(kit.r.answer.status, 504);
	CHECK_STR(ask(&kit, "/a", NULL, NULL, "max-age=0, s-maxage=\"60\"", "{}"), "Miss");
	CHECK_STR(ask(&kit, "/a", NULL, NULL, NULL, "{}"), "Hit");
	CHECK_STR(ask(&kit, "/u", NULL, NULL, "no-store, must-understand, max-age=9", "{}"), "Miss");
	CHECK_STR(ask(&kit, "/u", NULL, NULL, NULL, "{}"), "Hit");
	kit_fini(&kit);
}

static const char *at(struct gw_kit *kit, int64_t after_s, const char *asked)
{
	kit_request(kit, HTTP_GET, "/a");
	kit->r.wall_ns += after_s * 1000000000;
	if (asked != NULL)
		kit_header(kit, "Cache-Control", asked);
	return kit_access(kit) == GW_ANSWERED ? "Hit" : "asked";
}

TEST(clients_say_how_old_an_answer_may_be)
{
	struct gw_kit kit;
	with_cache(&kit, "{\"strategy\":\"memory\",\"cache_control\":true,\"storage_ttl\":1000}");
	kit_request(&kit, HTTP_GET, "/a");
	CHECK_INT(kit_access(&kit), GW_NEXT);
	kit_upstream_header(&kit, "Cache-Control", "max-age=100");
	kit_upstream_header(&kit, "Age", "10"); // it was ten seconds on its way
	kit_upstream(&kit, 200, "text/plain", "x");
	CHECK_STR(at(&kit, 90, NULL), "Hit");
	CHECK_STR(kit_answer(&kit, "Age"), "100");
	CHECK_STR(at(&kit, 91, NULL), "asked");
	CHECK_STR(at(&kit, 20, "max-age=30"), "Hit");
	CHECK_STR(at(&kit, 21, "max-age=30"), "asked");
	CHECK_STR(at(&kit, 70, "min-fresh=20"), "Hit");
	CHECK_STR(at(&kit, 71, "min-fresh=20"), "asked");
	CHECK_STR(at(&kit, 100, "max-stale=10"), "Hit");
	CHECK_STR(at(&kit, 101, "max-stale=10"), "asked");
	CHECK_STR(at(&kit, 900, "max-stale"), "Hit");
	kit_fini(&kit);
	with_cache(&kit, "{\"strategy\":\"memory\",\"cache_control\":true,\"storage_ttl\":1000}");
	CHECK_STR(ask(&kit, "/a", NULL, NULL, "max-age=100, must-revalidate", "{}"), "Miss");
	CHECK_STR(at(&kit, 100, NULL), "Hit");
	CHECK_STR(at(&kit, 101, "max-stale"), "asked");
	kit_fini(&kit);
}

static const char *ask_vary(struct gw_kit *kit, const char *language, const char *body)
{
	kit_request(kit, HTTP_GET, "/v");
	kit_header(kit, "Accept-Language", language);
	if (kit_access(kit) == GW_NEXT) {
		kit_upstream_header(kit, "Vary", "Accept-Language");
		kit_upstream(kit, 200, "text/plain", body);
	}
	return kit_text(kit, kit->r.answer.body);
}

TEST(answers_that_differ_by_headers_are_told_apart)
{
	struct gw_kit kit;
	with_cache(&kit, "{\"strategy\":\"memory\"}");
	CHECK_STR(ask_vary(&kit, "de", "eins"), "eins");
	CHECK_STR(ask_vary(&kit, "en", "one"), "one");
	CHECK_STR(ask_vary(&kit, "de", "x"), "eins");
	CHECK_INT(kit.r.answer.source, GW_FROM_CACHE);
	CHECK_STR(ask_vary(&kit, "en", "x"), "one");
	CHECK_STR(ask_vary(&kit, "fr", "un"), "un");
	kit_fini(&kit);
	with_cache(&kit, "{\"strategy\":\"memory\",\"vary_headers\":[\"X-T\"],\"vary_query_params\":[\"q\"],\"ignore_"
			 "uri_case\":true}");
	CHECK_STR(ask(&kit, "/a?q=1&z=1", "X-T", "1", NULL, "{}"), "Miss");
	CHECK_STR(ask(&kit, "/A?q=1&z=2", "X-T", "1", NULL, "{}"), "Hit");
	CHECK_STR(ask(&kit, "/a?q=2&z=1", "X-T", "1", NULL, "{}"), "Miss");
	CHECK_STR(ask(&kit, "/a?q=1&z=1", "X-T", "2", NULL, "{}"), "Miss");
	kit_fini(&kit);
}

TEST(what_other_plugins_say_is_not_kept)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK(kit_plugin(&kit, "rate-limiting", "{\"year\":50}") == NULL);
	CHECK(kit_plugin(&kit, "response-transformer", "{\"append\":{\"headers\":[\"X-N:1\"],\"json\":[\"l:1\"]}}") ==
	      NULL);
	CHECK(kit_plugin(&kit, "proxy-cache", "{\"strategy\":\"memory\"}") == NULL);
	CHECK_STR(ask(&kit, "/a", NULL, NULL, NULL, "{\"l\":[]}"), "Miss");
	CHECK_SLICE(kit.r.answer.body, "{\"l\":[\"1\"]}");
	CHECK_STR(ask(&kit, "/a", NULL, NULL, NULL, "{}"), "Hit");
	CHECK_STR(kit_answer(&kit, "X-RateLimit-Remaining-Year"), "48");
	size_t n = 0;
	for (size_t i = 0; i < kit.r.answer.headers.count; i++)
		n += ms_slice_eq_cstr(kit.r.answer.headers.items[i].name, "X-N");
	CHECK_INT(n, 1);
	CHECK_SLICE(kit.r.answer.body, "{\"l\":[]}"); // as the upstream said it: the proxy runs the body phase
	CHECK(kit.r.answer.wants_body);
	kit_fini(&kit);
}

static void purge_done(enum ms_err err, void *arg)
{
	CHECK_OK(err);
	*(bool *)arg = true;
}

TEST(the_cache_can_be_purged)
{
	struct gw_kit kit;
	bool done = false;
	with_cache(&kit, "{\"strategy\":\"memory\"}");
	CHECK_STR(ask(&kit, "/a", NULL, NULL, NULL, "{}"), "Miss");
	ms_gw_cache_purge(&kit.services, kit.loop, MS_SLICE_LIT("another"), purge_done, &done);
	kit_calls_run(&kit);
	CHECK(done);
	CHECK_STR(ask(&kit, "/a", NULL, NULL, NULL, "{}"), "Hit");
	done = false;
	ms_gw_cache_purge(&kit.services, kit.loop, ms_slice_cstr(kit.uses[0].id), purge_done, &done);
	kit_calls_run(&kit);
	CHECK(done);
	CHECK_STR(ask(&kit, "/a", NULL, NULL, NULL, "{}"), "Miss");
	ms_gw_cache_purge(&kit.services, kit.loop, MS_SLICE_EMPTY, purge_done, &done);
	kit_calls_run(&kit);
	CHECK_STR(ask(&kit, "/a", NULL, NULL, NULL, "{}"), "Miss");
	kit_fini(&kit);
}

TEST(entries_are_read_as_they_were_written)
{
	struct arena arena;
	struct gw_cached e = {.kind = ENTRY_ANSWER,
			      .status = 404,
			      .stored_s = 5,
			      .age_s = 6,
			      .ttl_s = 7,
			      .no_stale = true,
			      .body = MS_SLICE_LIT("body")},
			 got;
	const struct http_header headers[] = {{MS_SLICE_LIT("A"), MS_SLICE_LIT("1")},
					      {MS_SLICE_LIT("B"), MS_SLICE_LIT("")}};
	ms_arena_init(&arena, 4096, 1 << 20);
	e.headers = headers;
	e.header_count = 2;
	struct slice bytes = ms_gw_cached_write(&e);
	REQUIRE(ms_gw_cached_read(&arena, bytes, &got));
	CHECK(got.status == 404 && got.stored_s == 5 && got.age_s == 6 && got.ttl_s == 7 && got.no_stale &&
	      got.header_count == 2);
	CHECK_SLICE(got.headers[0].value, "1");
	CHECK_SLICE(got.body, "body");
	for (size_t n = 0; n < bytes.n; n++) // what is cut short is no entry
		CHECK(!ms_gw_cached_read(&arena, ms_slice(bytes.p, n), &got));
	struct buf b = {.p = (char *)(uintptr_t)bytes.p, .n = bytes.n, .cap = bytes.n, .max = bytes.n};
	ms_buf_fini(&b);
	CHECK_INT(ms_gw_expires(MS_SLICE_LIT("Fri, 15 Jan 2027 08:01:00 GMT"), 1800000000), 60);
	CHECK_INT(ms_gw_expires(MS_SLICE_LIT("0"), 1800000000), 0);
	CHECK_INT(ms_gw_expires(MS_SLICE_LIT("Fri, 15 Jan 2027 07:59:00 GMT"), 1800000000), 0);
	ms_arena_fini(&arena);
}
