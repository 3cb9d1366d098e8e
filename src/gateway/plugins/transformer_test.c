// SPDX-License-Identifier: Apache-2.0
// request-transformer and response-transformer.
#include "gateway/gateway_test_kit.h"

static void with(struct gw_kit *kit, const char *name, const char *config)
{
	kit_init(kit);
	CHECK_STR(kit_plugin(kit, name, config), NULL);
}

TEST(headers_are_removed_renamed_replaced_added_and_appended_in_this_order)
{
	struct gw_kit kit;
	with(&kit, "request-transformer",
	     "{\"remove\":{\"headers\":[\"X-Gone\"]},\"rename\":{\"headers\":[\"X-Old:X-New\"]},"
	     "\"replace\":{\"headers\":[\"X-There:new\",\"X-Absent:no\",\"Host:inner.example\"]},"
	     "\"add\":{\"headers\":[\"X-There:not\",\"X-Added: "
	     "a:b\",\"X-Gone:again\"]},\"append\":{\"headers\":[\"X-There:more\",\"X-New:two\"]}}");
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "x-gone", "1");
	kit_header(&kit, "X-Old", "one");
	kit_header(&kit, "X-There", "old");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_STR(kit_out(&kit, "X-Gone"), "again");
	CHECK_STR(kit_out(&kit, "X-Old"), "");
	CHECK_STR(kit_out(&kit, "X-New"), "one");
	CHECK_STR(kit_out(&kit, "X-There"), "new");
	CHECK_STR(kit_out(&kit, "X-Absent"), "");
	CHECK_STR(kit_out(&kit, "X-Added"), "a:b");
	CHECK_SLICE(kit.r.out.authority, "inner.example");
	CHECK_INT(kit.r.out.headers.count, 6); // X-New and X-There are there twice
	kit_fini(&kit);
}

TEST(queries_are_transformed_and_the_rest_stays_as_it_was)
{
	struct gw_kit kit;
	with(&kit, "request-transformer",
	     "{\"remove\":{\"querystring\":[\"gone\"]},\"rename\":{\"querystring\":[\"old:new\"]},\"replace\":{"
	     "\"querystring\":[\"r:x y\",\"no:1\"]},"
	     "\"add\":{\"querystring\":[\"a:1\",\"keep:2\"]},\"append\":{\"querystring\":[\"keep:3&\"]}}");
	kit_request(&kit, HTTP_GET, "/p?keep=%7e+1&gone=1&old=5&gone&r=2&bare");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_SLICE(kit.r.out.query, "keep=%7e+1&new=5&r=x%20y&bare&a=1&keep=3%26");
	kit_request(&kit, HTTP_GET, "/p");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_SLICE(kit.r.out.query, "a=1&keep=2&keep=3%26");
	kit_fini(&kit);
}

TEST(bodies_of_json_and_forms_are_transformed)
{
	struct gw_kit kit;
	with(&kit, "request-transformer",
	     "{\"remove\":{\"body\":[\"gone\"]},\"rename\":{\"body\":[\"old:new\"]},\"replace\":{\"body\":[\"r:x\"]},"
	     "\"add\":{\"body\":[\"a:1\"]},"
	     "\"append\":{\"body\":[\"list:z\",\"fresh:1\"]}}");
	CHECK(kit.chain.reads_body);
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, "application/json", "{\"gone\":{\"x\":1},\"old\":[1e5],\"r\":2,\"list\":\"y\",\"n\":1.0}");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_INT(kit_run_body(&kit), GW_NEXT);
	CHECK(kit.r.out.body_changed);
	CHECK_SLICE(kit.r.out.body,
		    "{\"r\":\"x\",\"list\":[\"y\",\"z\"],\"n\":1.0,\"new\":[1e5],\"a\":\"1\",\"fresh\":[\"1\"]}");
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, "application/x-www-form-urlencoded", "gone=1&old=2&r=3&list=4");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_INT(kit_run_body(&kit), GW_NEXT);
	CHECK_SLICE(kit.r.out.body, "new=2&r=x&list=4&a=1&list=z&fresh=1");
	static const char *const untouched[] = {"[1]", "{\"a\":", "{\"a\":1,\"a\":2}"};
	for (size_t i = 0; i < MS_ARRAY_LEN(untouched); i++) {
		kit_request(&kit, HTTP_POST, "/");
		kit_body(&kit, "application/json", untouched[i]);
		CHECK_INT(kit_status(&kit), 0);
		CHECK_INT(kit_run_body(&kit), GW_NEXT);
		CHECK(!kit.r.out.body_changed);
		CHECK_SLICE(kit.r.out.body, untouched[i]);
	}
	kit_fini(&kit);
}

TEST(dots_lead_into_objects_when_they_are_not_of_the_name)
{
	struct gw_kit kit;
	with(&kit, "request-transformer",
	     "{\"dots_in_keys\":false,\"remove\":{\"body\":[\"a.b.c\",\"x.y\"]},\"rename\":{\"body\":[\"a.d:e.f\"]},"
	     "\"add\":{\"body\":[\"a.n:1\",\"s.t:2\"]}}");
	kit_request(&kit, HTTP_POST, "/");
	kit_body(&kit, "application/json", "{\"a\":{\"b\":{\"c\":1,\"k\":2},\"d\":3},\"x.y\":4,\"s\":5}");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_INT(kit_run_body(&kit), GW_NEXT);
	CHECK_SLICE(kit.r.out.body, "{\"a\":{\"b\":{\"k\":2},\"n\":\"1\"},\"x.y\":4,\"s\":5,\"e\":{\"f\":3}}");
	kit_fini(&kit);
}

TEST(templates_take_values_of_the_request)
{
	struct gw_kit kit;
	with(&kit, "request-transformer",
	     "{\"http_method\":\"PUT\",\"replace\":{\"uri\":\"/v2/$(uri_captures.user)/$(uri_captures[1])/"
	     "$(headers['x-part'])\"},"
	     "\"add\":{\"headers\":[\"X-A:<$(headers.user_agent)>\",\"X-B:$(query_params.q or "
	     "\\\"none\\\")\",\"X-C:$(query_params['empty'])\",\"X-D:a$b\"]}}");
	kit_request(&kit, HTTP_POST, "/users/anna?q=a%20b");
	kit.r.match.captures[0] = MS_SLICE_LIT("anna");
	kit.r.match.capture_names[0] = MS_SLICE_LIT("user");
	kit.r.match.capture_count = 1;
	kit_header(&kit, "User-Agent", "curl");
	kit_header(&kit, "X-Part", "a/b c?d#e");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_SLICE(kit.r.out.path, "/v2/anna/anna/a/b%20c%3Fd%23e");
	CHECK_SLICE(kit.r.out.method, "PUT");
	CHECK_STR(kit_out(&kit, "X-A"), "<curl>");
	CHECK_STR(kit_out(&kit, "X-B"), "a b");
	CHECK_STR(kit_out(&kit, "X-C"), "");
	CHECK_STR(kit_out(&kit, "X-D"), "a$b");
	// A value must not lead out of the path, nor make a second header.
	kit_request(&kit, HTTP_POST, "/users/anna");
	kit_header(&kit, "X-Part", "../../admin");
	CHECK_INT(kit_status(&kit), 400);
	kit_request(&kit, HTTP_POST, "/users/anna?q=a%0d%0aX-Evil:1");
	kit_header(&kit, "X-Part", "a");
	CHECK_INT(kit_status(&kit), 400);
	kit_request(&kit, HTTP_POST, "/users/anna");
	kit_header(&kit, "X-Part", "a");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_STR(kit_out(&kit, "X-B"), "none");
	kit_fini(&kit);
}

TEST(mistakes_in_transformers_are_told)
{
	static const struct {
		const char *config, *says;
	} cases[] = {
		{"{\"add\":{\"headers\":[\"X-A\"]}}", "expected name:value"},
		{"{\"rename\":{\"headers\":[\"X-A:\"]}}", "expected old:new"},
		{"{\"remove\":{\"headers\":[\"X A\"]}}", "expected a name"},
		{"{\"add\":{\"headers\":[\"X-A:$(os.execute('x'))\"]}}", "expected text with $(headers.NAME)"},
		{"{\"add\":{\"headers\":[\"X-A:$(headers.x\"]}}", "expected text with $(headers.NAME)"},
		{"{\"replace\":{\"uri\":\"/$(uri_captures[99])\"}}", "expected text with $(headers.NAME)"},
		{"{\"http_method\":\"get it\"}", "http_method"},
		{"{\"add\":{\"header\":[]}}", "header"},
	};
	struct gw_kit kit;
	kit_init(&kit);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		const char *wrong = kit_plugin(&kit, "request-transformer", cases[i].config);
		CHECK_HAS(wrong != NULL ? wrong : "", cases[i].says);
	}
	CHECK_HAS(
		kit_plugin(&kit, "response-transformer", "{\"add\":{\"json\":[\"a:x\"],\"json_types\":[\"number\"]}}"),
		"\"x\" is no number");
	CHECK_HAS(kit_plugin(&kit, "response-transformer", "{\"add\":{\"json\":[],\"json_types\":[\"number\"]}}"),
		  "more items");
	kit_fini(&kit);
}

TEST(answers_are_transformed)
{
	struct gw_kit kit;
	with(&kit, "response-transformer",
	     "{\"remove\":{\"headers\":[\"Server\"],\"json\":[\"secret\"]},\"rename\":{\"headers\":[\"X-Old:X-New\"],"
	     "\"json\":[\"o:p\"]},"
	     "\"replace\":{\"headers\":[\"X-R:2\",\"X-Absent:1\"],\"json\":[\"n:5\"],\"json_types\":[\"number\"]},"
	     "\"add\":{\"headers\":[\"X-R:3\",\"X-A:1\"],\"json\":[\"t:true\",\"u:true\"],\"json_types\":[\"boolean\"]}"
	     ","
	     "\"append\":{\"headers\":[\"X-R:4\"],\"json\":[\"l:1\"]}}");
	kit_request(&kit, HTTP_GET, "/");
	kit_header(&kit, "Accept-Encoding", "gzip");
	CHECK_INT(kit_status(&kit), 0);
	CHECK_STR(kit_out(&kit, "Accept-Encoding"), "");
	kit_upstream_header(&kit, "Server", "x");
	kit_upstream_header(&kit, "X-Old", "o");
	kit_upstream_header(&kit, "X-R", "1");
	kit_upstream(&kit, 200, "application/json", "{\"secret\":1,\"o\":2,\"n\":3,\"l\":[0]}");
	CHECK_STR(kit_answer(&kit, "Server"), "");
	CHECK_STR(kit_answer(&kit, "X-New"), "o");
	CHECK_STR(kit_answer(&kit, "X-R"), "2");
	CHECK_STR(kit_answer(&kit, "X-A"), "1");
	CHECK_STR(kit_answer(&kit, "X-Absent"), "");
	CHECK(kit.r.answer.body_changed);
	CHECK_SLICE(kit.r.answer.body, "{\"n\":5,\"l\":[0,\"1\"],\"p\":2,\"t\":true,\"u\":\"true\"}");
	// Whatever is no JSON object, or compressed, is not waited for.
	kit_request(&kit, HTTP_GET, "/");
	CHECK_INT(kit_status(&kit), 0);
	kit_upstream(&kit, 200, "text/plain", "{}");
	CHECK(!kit.r.answer.wants_body);
	kit_request(&kit, HTTP_GET, "/");
	CHECK_INT(kit_status(&kit), 0);
	kit_upstream_header(&kit, "Content-Encoding", "gzip");
	kit_upstream(&kit, 200, "application/json", "{}");
	CHECK(!kit.r.answer.wants_body);
	kit_fini(&kit);
}
