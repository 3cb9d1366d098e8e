// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "gateway/plan_test_kit.h"
#include "tests/lib/test.h"

static void check_problems(const char *yaml, const char *want)
{
	char got[8192];
	ms_kit_problems(yaml, got, sizeof(got));
	CHECK_STR(got, want);
}

TEST(nested_and_flat_files_say_the_same)
{
	struct plan *nested = ms_kit_plan("_format_version: '3.0'\n_transform: true\n_comment: x\n_ignore: [{a: 1}]\n"
					  "services:\n- name: s\n  url: https://up.example:8443/base\n  routes:\n  - "
					  "name: r\n    paths: [/a]\n    plugins:\n"
					  "    - name: cors\n  plugins:\n  - name: key-auth\n"
					  "upstreams:\n- name: up.example\n  targets:\n  - target: 10.0.0.1\n  - "
					  "target: '[::1]:81'\n    weight: 0\n"
					  "consumers:\n- username: anna\n  keyauth_credentials:\n  - key: k1\n  "
					  "acls:\n  - group: g\n  plugins:\n  - name: rate-limiting\n"
					  "    config: {minute: 5}\n");
	struct plan *flat =
		ms_kit_plan("_format_version: '3.0'\n"
			    "services: [{name: s, protocol: https, host: up.example, port: 8443, path: /base}]\n"
			    "routes: [{name: r, service: s, paths: /a}]\n"
			    "upstreams: [{name: up.example}]\n"
			    "targets: [{upstream: up.example, target: '10.0.0.1'}, {upstream: {name: up.example}, "
			    "target: '[::1]:81', weight: 0}]\n"
			    "consumers: [{username: anna}]\n"
			    "keyauth_credentials: [{consumer: anna, key: k1}]\nacls: [{consumer: anna, group: g}]\n"
			    "plugins: [{name: cors, route: r}, {name: key-auth, service: s}, {name: rate-limiting, "
			    "consumer: anna, config: {minute: 5}}]\n");
	struct buf a, b;
	ms_buf_init(&a, 1 << 20);
	ms_buf_init(&b, 1 << 20);
	struct json_writer w;
	ms_json_writer_init(&w, &a);
	ms_json_value(&w, nested->source);
	ms_json_writer_init(&w, &b);
	ms_json_value(&w, flat->source);
	ms_buf_append_char(&a, '\0');
	ms_buf_append_char(&b, '\0');
	CHECK_STR(a.p, b.p);
	const struct gw_service *s = &nested->services[0];
	CHECK(s->protocol == GW_HTTPS && s->port == 8443 && s->retries == 5 && s->read_timeout_ms == 60000 &&
	      s->tls_verify && s->enabled);
	CHECK_SLICE(s->path, "/base");
	CHECK(s->upstream == &nested->upstreams[0]);
	CHECK_INT(nested->upstreams[0].target_count, 2);
	CHECK_SLICE(nested->upstreams[0].targets[0].host, "10.0.0.1");
	CHECK_INT(nested->upstreams[0].targets[0].port, 8000);
	CHECK_SLICE(nested->upstreams[0].targets[1].host, "::1");
	CHECK_INT(nested->upstreams[0].targets[1].weight, 0);
	CHECK_SLICE(nested->consumers[0].groups.items[0], "g");
	CHECK_STR(nested->routes[0].id, flat->routes[0].id);
	CHECK(nested->routes[0].id[14] == '5');
	ms_buf_fini(&a);
	ms_buf_fini(&b);
	ms_plan_unref(nested);
	ms_plan_unref(flat);
}

TEST(the_source_gives_the_same_plan_again)
{
	struct plan *plan =
		ms_kit_plan("_format_version: '1.1'\nservices:\n- name: s\n  host: h\n  routes:\n  - {name: r, paths: "
			    "['/a/\\d+', /b]}\n"
			    "  - {hosts: [x.example], protocols: [grpc]}\n- {name: l, protocol: local, routes: "
			    "[{paths: [/l], headers: {x: [a]}}]}\n"
			    "upstreams: [{name: u, hash_on: header, hash_on_header: x, targets: [{target: a:1, group: "
			    "blue}], active_group: blue}]\n"
			    "plugins: [{name: rate-limiting, config: {minute: 5, redis_password: secret}}]\n");
	CHECK_SLICE(plan->routes[0].paths.items[0], "~/a/\\d+");
	CHECK_SLICE(plan->routes[0].paths.items[1], "/b");
	CHECK(plan->upstreams[0].algorithm == GW_CONSISTENT_HASHING);
	CHECK(!plan->routes[1].strip_path && plan->routes[0].strip_path);
	struct buf a, b;
	ms_buf_init(&a, 1 << 20);
	ms_buf_init(&b, 1 << 20);
	struct json_writer w;
	ms_json_writer_init(&w, &a);
	ms_json_value(&w, plan->source);
	ms_buf_append_char(&a, '\0');
	struct plan *again = ms_kit_plan(a.p);
	ms_json_writer_init(&w, &b);
	ms_json_value(&w, again->source);
	ms_buf_append_char(&b, '\0');
	CHECK_STR(b.p, a.p);
	CHECK_HAS(a.p, "\"redis_password\":\"secret\"");
	ms_buf_fini(&a);
	ms_buf_fini(&b);
	ms_plan_unref(plan);
	ms_plan_unref(again);
}

TEST(all_problems_are_told_at_once)
{
	check_problems("_format_version: 3.0\nservices:\n- name: s\n  hots: h\n  routes:\n  - paths: [a]\n  - name: "
		       "empty\nroutes:\n- service: t\n  paths: [/x]\n"
		       "plugins:\n- name: core\n",
		       "1 _format_version: found the number 3.0; expected \"1.1\", \"2.1\" or \"3.0\", in quotes\n"
		       "9 routes[0].service: no service has the name or id \"t\"\n"
		       "4 services[0].hots: unknown field; did you mean host?\n"
		       "3 services[0].host: required, but it is missing (or give url)\n"
		       "6 services[0].routes[0].paths[0]: found \"a\"; expected it to begin with / (a prefix) or ~/ (a "
		       "regular expression)\n"
		       "7 services[0].routes[1]: must have one of methods, hosts, headers and paths\n"
		       "12 plugins[0].name: there is no plugin \"core\"; did you mean cors?\n");
}

TEST(what_kong_refuses_is_refused)
{
	check_problems("[]", "1 : found array; expected an object with _format_version, services, routes and so on\n");
	check_problems("servces: []", "1 servces: unknown field; did you mean services?\n");
	check_problems("_format_version: '4.0'",
		       "1 _format_version: found 4.0; expected \"1.1\", \"2.1\" or \"3.0\"\n");
	check_problems("services: [{name: a, host: h}, {name: a, host: h}]",
		       "1 services[1].name: \"a\" is the name of services[0] already\n");
	check_problems("services: [{name: s, url: 'http://h', port: 5}]",
		       "1 services[0].port: given twice: url says it too\n");
	check_problems("services: [{url: 'ftp://h'}]",
		       "1 services[0].url: found \"ftp://h\"; expected http://host:port/path, or https, grpc, grpcs\n");
	check_problems(
		"services: [{host: h, path: a}]",
		"1 services[0].path: found the path \"a\"; expected it to begin with /, without //, dot segments and "
		"characters that a URL encodes\n");
	check_problems("services: [{host: h, protocol: grpc, path: /a}]",
		       "1 services[0].path: a gRPC service has no path; expected none\n");
	check_problems("services: [{host: h, protocol: tcp}]",
		       "1 services[0].protocol: found \"tcp\"; expected http, https, grpc, grpcs, ws, wss or local\n");
	check_problems("services: [{host: h, tls_verify: false}]",
		       "1 services[0].tls_verify: only for https, grpcs and wss; the protocol is http\n");
	check_problems(
		"services: [{host: 'h:80'}]",
		"1 services[0].host: found \"h:80\"; expected a host or the name of an upstream, without a port\n");
	check_problems("services: [{host: h, id: x}]",
		       "1 services[0].id: expected a UUID, such as 123e4567-e89b-42d3-a456-426614174000\n");
	check_problems("services: [{host: '1::2::3'}]",
		       "1 services[0].host: the upstream host '1::2::3' is no name and no address\n");
	check_problems("services: [{host: h, protocol: https, client_certificate: "
		       "a1a1a1a1-0000-4000-8000-000000000001}]\n"
		       "certificates: [{id: a1a1a1a1-0000-4000-8000-000000000001, cert: x, key: y}]",
		       "1 services[0].client_certificate: the client certificate for an upstream is no usable PEM "
		       "certificate: no start line\n");
	check_problems("services: [{host: h, protocol: https, ca_certificates: [x]}]",
		       "1 services[0].ca_certificates: no CA certificate has the id \"x\"\n");
	check_problems("routes: [{protocols: [grpc], paths: [/a], strip_path: true}]",
		       "1 routes[0].strip_path: must be false for gRPC, whose paths name the method\n");
	check_problems("routes: [{protocols: [grpc], paths: [/a], methods: [GET]}]",
		       "1 routes[0].methods: cannot be set for gRPC, which knows POST alone\n");
	check_problems(
		"routes: [{protocols: [http, grpc], paths: [/a]}]",
		"1 routes[0].protocols: expected one or both of http and https, of grpc and grpcs, or of ws and wss\n");
	check_problems("routes: [{protocols: [http], snis: [a.example], paths: [/a]}]",
		       "1 routes[0].snis: only for https, grpcs and wss\n");
	check_problems("routes: [{paths: [/a], headers: {Host: [a]}}]",
		       "1 routes[0].headers: \"Host\" cannot be set here; use hosts\n");
	check_problems("routes: [{paths: [/a], methods: [get]}]",
		       "1 routes[0].methods: found \"get\"; expected capital letters\n");
	check_problems(
		"routes: [{hosts: ['a.*.b']}]",
		"1 routes[0].hosts: found \"a.*.b\"; expected a host, with a * as its first or last label at most: "
		"example.com, *.example.com, example.*\n");
	check_problems("routes: [{paths: ['~/(']}]",
		       "1 routes[0].paths[0]: not a regular expression: missing closing parenthesis, at character 3\n");
	check_problems("routes: [{paths: [/a], https_redirect_status_code: 303}]",
		       "1 routes[0].https_redirect_status_code: found 303; expected 426, 301, 302, 307 or 308\n");
	check_problems(
		"upstreams: [{name: '10.0.0.1'}]",
		"1 upstreams[0].name: found \"10.0.0.1\"; expected the form of a host name, no address, no port\n");
	check_problems("upstreams: [{name: u, hash_on: header}]",
		       "1 upstreams[0].hash_on_header: required when hash_on is header\n");
	check_problems("upstreams: [{name: u, hash_on: ip, hash_fallback: ip}]",
		       "1 upstreams[0].hash_fallback: is the same as hash_on; expected another input, or none\n");
	check_problems("upstreams: [{name: u, hash_fallback: ip}]",
		       "1 upstreams[0].hash_fallback: must be none when hash_on is none\n");
	check_problems("upstreams: [{name: u, targets: [{target: 'a:1'}, {target: 'A:1'}]}]",
		       "1 upstreams[0].targets[1].target: A:1 stands twice in the upstream u\n");
	check_problems("targets: [{target: 'a:1'}]", "1 targets[0].upstream: required, but it is missing\n");
	check_problems("upstreams: [{name: u, targets: [{target: 'a:0'}]}]",
		       "1 upstreams[0].targets[0].target: found \"a:0\"; expected host:port, such as 10.0.0.7:8080 or "
		       "[::1]:8080\n");
	check_problems("consumers: [{tags: [a]}]", "1 consumers[0]: must have a username or a custom_id\n");
	check_problems("consumers: [{username: a, custom_id: x}, {username: b, custom_id: x}]",
		       "1 consumers[1].custom_id: is the custom_id of consumers[0] already\n");
	check_problems("consumers: [{username: a, keyauth_credentials: [{key: k}]}, {username: b, keyauth_credentials: "
		       "[{key: k}]}]",
		       "1 consumers[1].keyauth_credentials[0].key: the same as that of another credential, of the "
		       "consumer a\n");
	check_problems("consumers: [{username: a, jwt_secrets: [{key: k}]}]",
		       "1 consumers[0].jwt_secrets[0].secret: required for the algorithm HS256\n");
	check_problems("consumers: [{username: a, jwt_secrets: [{key: k, algorithm: RS256}]}]",
		       "1 consumers[0].jwt_secrets[0].rsa_public_key: required for the algorithm RS256\n");
	check_problems("consumers: [{username: a, basicauth_credentials: [{username: a, password: refused}]}]",
		       "1 consumers[0].basicauth_credentials[0]: refused by its plugin\n");
	check_problems("plugins: [{name: rate-limiting}]",
		       "1 plugins[0].config: expected at least one of second, minute, hour, day\n");
	check_problems("plugins: [{name: rate-limiting, config: {minut: 1}}]",
		       "1 plugins[0].config.minut: unknown field; did you mean minute?\n");
	check_problems("plugins: [{name: cors}, {name: cors, instance_name: x}]",
		       "1 plugins[1].name: cors is configured for the same scope by plugins[0] already\n");
	check_problems(
		"consumers: [{username: a, plugins: [{name: cors}]}]",
		"1 consumers[0].plugins[0].consumer: cors cannot be set for a consumer: it runs before one is known\n");
	check_problems(
		"services: [{name: s, host: h, routes: [{name: r, paths: [/a], service: t}]}, {name: t, host: h}]",
		"1 services[0].routes[0].service: stands inside another service than it names\n");
}

TEST(credentials_are_found_by_their_key)
{
	struct plan *plan = ms_kit_plan("consumers:\n- username: a\n  keyauth_credentials: [{key: k1}, {key: k2}]\n  "
					"jwt_secrets: [{key: k1, secret: s}]\n"
					"- custom_id: b\n  basicauth_credentials: [{username: k1, password: p}]\n");
	const struct gw_credential *c = ms_plan_credential(plan, GW_KEYAUTH, MS_SLICE_LIT("k2"));
	REQUIRE(c != NULL);
	CHECK_SLICE(c->consumer->username, "a");
	CHECK(ms_plan_credential(plan, GW_KEYAUTH, MS_SLICE_LIT("k1")) != NULL &&
	      ms_plan_credential(plan, GW_KEYAUTH, MS_SLICE_LIT("k1")) != c);
	CHECK_SLICE(ms_plan_credential(plan, GW_JWT, MS_SLICE_LIT("k1"))->secret, "s");
	CHECK_SLICE(ms_plan_credential(plan, GW_BASICAUTH, MS_SLICE_LIT("k1"))->consumer->custom_id, "b");
	CHECK(ms_plan_credential(plan, GW_KEYAUTH, MS_SLICE_LIT("k3")) == NULL);
	CHECK(ms_plan_consumer(plan, MS_SLICE_LIT("a")) == &plan->consumers[0]);
	CHECK(ms_plan_consumer(plan, ms_slice_cstr(plan->consumers[1].id)) == &plan->consumers[1]);
	CHECK(ms_plan_consumer(plan, MS_SLICE_LIT("b")) == NULL);
	ms_plan_unref(plan);
}

// Which configuration of rate-limiting (its minute) runs.
static void check_minute(const struct plan *plan, const char *route, const char *consumer, int64_t minute)
{
	const struct gw_route *r = NULL;
	for (size_t i = 0; i < plan->route_count; i++) {
		if (ms_slice_eq_cstr(plan->routes[i].name, route))
			r = &plan->routes[i];
	}
	const struct gw_consumer *c = ms_plan_consumer(plan, ms_slice_cstr(consumer));
	const struct gw_chain *chain = ms_plan_chain(plan, r, c);
	int64_t got = 0;
	for (size_t i = 0; i < chain->count; i++) {
		if (strcmp(chain->uses[i]->kind->name, "rate-limiting") == 0)
			REQUIRE(ms_slice_to_i64(ms_slice_sub(chain->uses[i]->tags.items[0], 1, SIZE_MAX), &got));
	}
	CHECK_INT(got, minute);
}

TEST(the_most_specific_plugin_runs)
{
	struct plan *plan = ms_kit_plan(
		"services:\n- {name: s, host: h}\n- {name: t, host: h}\n- {name: off, host: h, plugins: [{name: "
		"rate-limiting, enabled: false, "
		"tags: [m9], config: {minute: 1}}]}\n"
		"routes:\n- {name: r1, service: s, paths: [/1]}\n- {name: r2, service: s, paths: [/2]}\n- {name: r3, "
		"service: t, paths: [/3]}\n"
		"- {name: r4, paths: [/4]}\n- {name: r5, service: off, paths: [/5]}\n"
		"consumers: [{username: a}, {username: b}, {username: c}]\n"
		"plugins:\n"
		"- {name: rate-limiting, tags: [m1], config: {minute: 1}}\n"
		"- {name: rate-limiting, service: s, tags: [m2], config: {minute: 1}}\n"
		"- {name: rate-limiting, route: r2, tags: [m3], config: {minute: 1}}\n"
		"- {name: rate-limiting, consumer: a, tags: [m4], config: {minute: 1}}\n"
		"- {name: rate-limiting, service: s, route: r2, tags: [m5], config: {minute: 1}}\n"
		"- {name: rate-limiting, service: s, consumer: b, tags: [m6], config: {minute: 1}}\n"
		"- {name: rate-limiting, route: r2, consumer: b, tags: [m7], config: {minute: 1}}\n"
		"- {name: rate-limiting, service: s, route: r1, consumer: b, tags: [m8], config: {minute: 1}}\n"
		"- {name: cors}\n- {name: response-transformer, route: r3}\n");
	check_minute(plan, "r1", "c", 2);
	check_minute(plan, "r1", "a", 4); // a consumer's goes before a service's
	check_minute(plan, "r2", "c", 5); // route and service before route
	check_minute(plan, "r2", "a", 5); // and before a consumer's
	check_minute(plan, "r1", "b", 8);
	check_minute(plan, "r2", "b", 7);
	check_minute(plan, "r3", "b", 1);
	check_minute(plan, "r3", "a", 4);
	check_minute(plan, "r4", "c", 1);
	check_minute(plan, "r5", "", 1); // what is switched off hides nothing
	check_minute(plan, "none", "a", 4);
	check_minute(plan, "none", "", 1);
	char names[128];
	ms_kit_chain(plan->routes[2].chain, names, sizeof(names));
	CHECK_STR(names, "cors rate-limiting response-transformer");
	CHECK(plan->routes[2].chain->rewrites_answer && !plan->routes[0].chain->rewrites_answer &&
	      !plan->routes[2].chain->reads_body);
	CHECK(plan->routes[0].chain != plan->routes[1].chain);
	ms_plan_unref(plan);
}

static void make_one(void)
{
	char problems[4096];
	ms_kit_problems("services:\n- name: s\n  host: u\n  routes:\n  - {name: r, paths: [/a, '~/b/(?<id>\\d+)$'], "
			"hosts: ['*.x.example', y.example]}\n"
			"upstreams: [{name: u, targets: [{target: 'a:1'}]}]\n"
			"consumers: [{username: a, keyauth_credentials: [{key: k}], plugins: [{name: prometheus}]}]\n",
			problems, sizeof(problems));
	if (!ms_test_allocation_failed())
		CHECK_STR(problems, "");
}

TEST(plans_cope_without_memory)
{
	ms_test_torture(make_one);
}
