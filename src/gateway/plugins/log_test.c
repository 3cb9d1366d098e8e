// SPDX-License-Identifier: Apache-2.0
// http-log and prometheus.
#include <string.h>

#include "gateway/gateway_test_kit.h"

static void one_request(struct gw_kit *kit)
{
	kit_request(kit, HTTP_POST, "/a?x=1&flag");
	kit_header(kit, "Authorization", "Bearer secret-token");
	kit_header(kit, "User-Agent", "curl");
	kit_body(kit, "text/plain", "hello");
	CHECK_INT(kit_access(kit), GW_NEXT);
	kit->r.sent_ns = kit->r.start_ns + 1000000;
	kit->r.upstream_ns = kit->r.sent_ns + 2000000;
	kit->r.target = MS_SLICE_LIT("10.0.0.7:8080");
	kit->r.tries = 1;
	kit_upstream(kit, 201, "text/plain", "answer");
	kit_over(kit);
}

TEST(http_log_tells_of_each_request)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK_STR(kit_plugin(&kit, "http-log", "{\"http_endpoint\":\"https://user:pw@logs.example:8443/in?k=1\"}"),
		  NULL);
	one_request(&kit);
	CHECK_INT(kit_calls.count, 1); // a batch of one goes at once
	CHECK_STR(kit_calls.target, "/in?k=1");
	CHECK_STR(kit_calls.authorization, "Basic dXNlcjpwdw==");
	const char *b = kit_calls.body;
	CHECK_HAS(b, "{\"request\":{\"id\":\"req-1\",\"method\":\"POST\",\"uri\":\"/a?x=1&flag\",\"url\":\"http://"
		     "gateway.example/a?x=1&flag\",\"size\":5");
	CHECK_HAS(b, "\"querystring\":{\"x\":\"1\",\"flag\":true}");
	CHECK_HAS(b, "\"authorization\":\"REDACTED\",\"user-agent\":\"curl\"");
	CHECK(strstr(b, "secret-token") == NULL);
	CHECK_HAS(b, "\"response\":{\"status\":201,\"size\":6,\"headers\":{\"content-type\":\"text/plain\"}}");
	CHECK_HAS(b, "\"latencies\":{\"request\":3,\"kong\":1,\"proxy\":2,\"receive\":0}");
	CHECK_HAS(b, "\"service\":{\"id\":\"service-id\",\"name\":\"a-service\"");
	CHECK_HAS(b, "\"route\":{\"id\":\"route-id\"");
	CHECK_HAS(b, "\"tries\":[{\"ip\":\"10.0.0.7\",\"port\":8080,\"tries\":1}]");
	CHECK_HAS(b, "\"client_ip\":\"192.0.2.7\"");
	CHECK_HAS(b, "\"upstream_status\":\"201\"");
	CHECK_HAS(b, "\"started_at\":1800000000000}");
	const struct json_value *v;
	CHECK_OK(ms_json_parse(ms_slice_cstr(b), NULL, &kit.plan.arena, NULL, &v));
	kit_calls_run(&kit);
	kit_fini(&kit);
}

TEST(http_log_tells_no_secrets)
{
	struct gw_kit kit;
	struct gw_credential credential = {.kind = GW_KEYAUTH, .key = MS_SLICE_LIT("s3cret key")};
	kit_init(&kit);
	CHECK_STR(kit_plugin(&kit, "http-log", "{\"http_endpoint\":\"http://logs.example/\"}"), NULL);
	kit_request(&kit, HTTP_GET, "/a?x=%31&APIKEY=s3cret&jwt=s3cret.a.b&own=s3cret+key&last=2");
	kit_header(&kit, "X-Own-Key", "s3cret key");
	kit_header(&kit, "Cookie", "session=s3cret");
	CHECK_INT(kit_access(&kit), GW_NEXT);
	kit.r.credential = &credential;
	kit_upstream(&kit, 200, "text/plain", "x");
	kit_over(&kit);
	const char *b = kit_calls.body;
	CHECK(strstr(b, "s3cret") == NULL);
	CHECK_HAS(b, "\"uri\":\"/a?x=%31&APIKEY=REDACTED&jwt=REDACTED&own=REDACTED&last=2\"");
	CHECK_HAS(b, "\"querystring\":{\"x\":\"1\",\"APIKEY\":\"REDACTED\"");
	kit_calls_run(&kit);
	kit_fini(&kit);
}

TEST(http_log_sends_batches_and_tries_again)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK_STR(kit_plugin(&kit, "http-log",
			     "{\"http_endpoint\":\"http://[::1]:9/"
			     "\",\"queue\":{\"max_batch_size\":3,\"max_coalescing_delay\":0.002}}"),
		  NULL);
	one_request(&kit);
	one_request(&kit);
	CHECK_INT(kit_calls.count, 0); // waits for a third
	one_request(&kit);
	CHECK_INT(kit_calls.count, 1);
	CHECK_HAS(kit_calls.body, "[{\"request\"");
	one_request(&kit); // while the first batch is under way
	CHECK_INT(kit_calls.count, 1);
	kit_calls_run(&kit);
	CHECK_INT(kit_calls.count, 2); // the rest went after its delay
	kit_calls.status = 500;
	one_request(&kit);
	kit_calls_run(&kit);
	unsigned tried = kit_calls.count;
	CHECK(tried >= 4); // once and again
	kit_calls.status = 200;
	for (int i = 0; i < 5; i++)
		kit_calls_run(&kit);
	tried = kit_calls.count;
	kit_calls_run(&kit);
	CHECK_INT(kit_calls.count, tried); // it has it
	kit_fini(&kit);
}

TEST(http_log_drops_when_its_queue_is_full)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK_STR(
		kit_plugin(&kit, "http-log", "{\"http_endpoint\":\"http://l.example/\",\"queue\":{\"max_entries\":2}}"),
		NULL);
	kit_calls.fail = true;
	for (int i = 0; i < 10; i++)
		one_request(&kit);     // requests go on
	CHECK_INT(kit_calls.count, 1); // the others wait behind the first, which is to be tried again
	kit_calls.fail = false;
	for (int i = 0; i < 4; i++)
		kit_calls_run(&kit);
	CHECK_INT(kit_calls.count, 4); // the first again, and the two for which there was room
	kit_fini(&kit);
}

TEST(http_log_gives_a_batch_up_after_its_time)
{
	struct gw_kit kit;
	kit_init(&kit);
	CHECK_STR(kit_plugin(&kit, "http-log",
			     "{\"http_endpoint\":\"http://l.example/\",\"queue\":{\"max_retry_time\":0.005}}"),
		  NULL);
	kit_calls.fail = true;
	one_request(&kit);
	kit_calls_run(&kit);
	CHECK_INT(kit_calls.count, 1); // the next try would be too late
	kit_calls.fail = false;
	one_request(&kit);
	CHECK_INT(kit_calls.count, 2);
	kit_calls_run(&kit);
	kit_fini(&kit);
}

TEST(settings_of_http_log_are_checked)
{
	static const char *const bad[] = {"ftp://x/",        "logs.example", "http://",
					  "http://x:99999/", "http://x:0/",  "http://x y/"};
	struct gw_kit kit;
	kit_init(&kit);
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++) {
		const char *wrong = kit_plugin(&kit, "http-log",
					       ms_arena_printf(&kit.plan.arena, "{\"http_endpoint\":\"%s\"}", bad[i]));
		CHECK_HAS(wrong != NULL ? wrong : bad[i], "http_endpoint: expected a URL");
	}
	CHECK_HAS(kit_plugin(&kit, "http-log", "{}"), "http_endpoint");
	CHECK_HAS(kit_plugin(&kit, "http-log",
			     "{\"http_endpoint\":\"http://x/\",\"custom_fields_by_lua\":{\"a\":\"return 1\"}}"),
		  "no Lua");
	CHECK_HAS(kit_plugin(&kit, "http-log", "{\"http_endpoint\":\"http://x/\",\"headers\":{\"A B\":\"1\"}}"),
		  "headers");
	kit_fini(&kit);
}

TEST(metrics_have_the_names_of_kong)
{
	struct gw_kit kit;
	struct buf text;
	kit_init(&kit);
	CHECK_STR(kit_plugin(&kit, "prometheus",
			     "{\"per_consumer\":true,\"status_code_metrics\":true,\"latency_metrics\":true,\"bandwidth_"
			     "metrics\":true}"),
		  NULL);
	one_request(&kit);
	one_request(&kit);
	ms_buf_init(&text, 1 << 20);
	ms_metrics_write(kit.services.metrics, METRICS_PROMETHEUS_TEXT, &text);
	ms_buf_append_char(&text, '\0');
	CHECK_HAS(text.p, "kong_http_requests_total{service=\"a-service\",route=\"a-route\",code=\"201\",source="
			  "\"service\",workspace=\"default\",consumer=\"\"} 2\n");
	CHECK_HAS(text.p,
		  "kong_upstream_latency_ms_count{service=\"a-service\",route=\"a-route\",workspace=\"default\"} 2\n");
	CHECK_HAS(text.p, "kong_kong_latency_ms_sum{service=\"a-service\",route=\"a-route\",workspace=\"default\"} 2");
	CHECK_HAS(text.p,
		  "kong_request_latency_ms_sum{service=\"a-service\",route=\"a-route\",workspace=\"default\"} 6");
	CHECK_HAS(text.p, "kong_bandwidth_bytes{service=\"a-service\",route=\"a-route\",direction=\"egress\",workspace="
			  "\"default\",consumer=\"\"} 12");
	CHECK_HAS(text.p, "direction=\"ingress\",workspace=\"default\",consumer=\"\"} 10");
	ms_buf_fini(&text);
	kit_fini(&kit);
	kit_init(&kit);
	CHECK_STR(kit_plugin(&kit, "prometheus", "{}"), NULL);
	one_request(&kit);
	ms_buf_init(&text, 1 << 20);
	ms_metrics_write(kit.services.metrics, METRICS_PROMETHEUS_TEXT, &text);
	ms_buf_append_char(&text, '\0');
	CHECK(strstr(text.p, "kong_http_requests_total{") == NULL); // all are off
	ms_buf_fini(&text);
	kit_fini(&kit);
}
