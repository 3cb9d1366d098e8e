// SPDX-License-Identifier: Apache-2.0
// The order of Kong's router, case by case, and random plans against a slow reading of the same rules.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "gateway/plan_test_kit.h"
#include "tests/lib/test.h"

static void check_route(const struct plan *plan, const struct kit_request *request, const char *want)
{
	struct arena arena;
	ms_arena_init(&arena, 4096, 1 << 20);
	struct gw_match match;
	enum ms_err err = ms_kit_match(plan, request, &arena, &match);
	CHECK_SLICE(err == MS_OK                  ? match.route->name
		    : err == MS_ERR_HTTP_NO_ROUTE ? MS_SLICE_LIT("none")
						  : MS_SLICE_LIT("bad"),
		    want);
	ms_arena_fini(&arena);
}
#define GET(plan, host_, path_, want) \
	check_route((plan), &(struct kit_request){.host = (host_), .path = (path_)}, (want))

TEST(more_attributes_go_first)
{
	struct plan *plan =
		ms_kit_plan("routes:\n- {name: path, paths: [/a/long/prefix]}\n- {name: host, hosts: [h.example]}\n"
			    "- {name: host_path, hosts: [h.example], paths: [/a]}\n- {name: all, hosts: [h.example], "
			    "paths: [/a], methods: [POST]}\n"
			    "- {name: method, methods: [DELETE]}\n");
	GET(plan, "h.example", "/a/long/prefix", "host_path");
	GET(plan, "H.Example:8080", "/a/long/prefix", "host_path");
	GET(plan, "h.example", "/b", "host");
	GET(plan, "x.example", "/a/long/prefix/y", "path");
	GET(plan, "x.example", "/a/long", "none");
	check_route(plan, &(struct kit_request){.method = "POST", .host = "h.example", .path = "/a"}, "all");
	check_route(plan, &(struct kit_request){.method = "DELETE", .path = "/zzz"}, "method");
	ms_plan_unref(plan);
}

TEST(plain_hosts_go_before_wildcards)
{
	struct plan *plan = ms_kit_plan(
		"routes:\n- {name: after, hosts: ['a.*']}\n- {name: before, hosts: ['*.example']}\n- {name: plain, "
		"hosts: [a.example]}\n"
		"- {name: mixed, hosts: [b.example, '*.b.example']}\n- {name: port, hosts: ['p.example:81']}\n"
		"- {name: wide_port, hosts: ['*.p.example:443']}\n- {name: b_only, hosts: [b.example]}\n");
	GET(plan, "a.example", "/", "plain");
	GET(plan, "a.other", "/", "after");
	GET(plan, "a.b.c", "/", "after");
	GET(plan, "c.example", "/", "before");
	GET(plan, "x.y.example", "/", "before");
	GET(plan, "example", "/", "none");
	GET(plan, "b.example", "/", "b_only"); // one wildcard among the hosts makes the whole route less than plain
	GET(plan, "x.b.example", "/", "before");
	GET(plan, "p.example:81", "/", "port");
	GET(plan, "p.example", "/", "before");
	check_route(plan, &(struct kit_request){.host = "x.p.example", .tls = true}, "before");
	check_route(plan, &(struct kit_request){.host = "y.p.example:443"}, "before");
	GET(plan, "", "/", "none");
	ms_plan_unref(plan);
}

TEST(expressions_go_before_prefixes_and_longer_prefixes_first)
{
	struct plan *plan = ms_kit_plan("_format_version: '3.0'\nroutes:\n- {name: short, paths: [/a]}\n- {name: long, "
					"paths: [/a/b/c]}\n- {name: regex, paths: ['~/a/b/\\w+$']}\n"
					"- {name: strong, paths: ['~/a/b/x'], regex_priority: 5}\n- {name: root, "
					"paths: [/]}\n- {name: weak, paths: ['~/a/b/x.*'], "
					"regex_priority: -1}\n- {name: several, paths: [/s, '~/s/\\d+', /s/1/long]}\n");
	GET(plan, "", "/a", "short");
	GET(plan, "", "/ab", "short"); // prefixes do not end at slashes
	GET(plan, "", "/a/b/c", "regex");
	GET(plan, "", "/a/b/c/d", "long");
	GET(plan, "", "/a/b/x", "strong");
	GET(plan, "", "/a/b/xyz", "strong");
	GET(plan, "", "/q", "root");
	GET(plan, "", "/s/1/long", "several");
	GET(plan, "", "//a//b/./c", "regex");
	GET(plan, "", "/a/b/%63", "regex");
	GET(plan, "", "/a%2Fb", "short");
	GET(plan, "", "/x/..;/a", "bad");
	ms_plan_unref(plan);
}

TEST(headers_and_names_of_tls_are_compared)
{
	struct plan *plan = ms_kit_plan(
		"routes:\n- {name: none, paths: [/]}\n- {name: one, paths: [/], headers: {X-Version: [v2, v3]}}\n"
		"- {name: two, paths: [/], headers: {x-version: [v2], x-other: ['~*^a+$']}}\n"
		"- {name: sni, snis: [S.example.], protocols: [https], paths: [/]}\n");
	struct kit_request r = {
		.path = "/", .headers = {{MS_SLICE_LIT("x-VERSION"), MS_SLICE_LIT("V2")}}, .header_count = 1};
	check_route(plan, &r, "one");
	r.headers[1] = (struct http_header){MS_SLICE_LIT("X-Other"), MS_SLICE_LIT("AAA")};
	r.header_count = 2;
	check_route(plan, &r, "two");
	r.headers[1].value = MS_SLICE_LIT("AAB");
	check_route(plan, &r, "one");
	r.headers[0].value = MS_SLICE_LIT("v4");
	check_route(plan, &r, "sni"); // without TLS the name is not looked at, as Kong has it
	r.tls = true;
	check_route(plan, &r, "none");
	r.sni = "s.EXAMPLE";
	check_route(plan, &r, "sni");
	ms_plan_unref(plan);
}

TEST(captures_and_what_is_stripped)
{
	struct plan *plan = ms_kit_plan(
		"routes:\n- {name: r, paths: ['~/users/(?<id>\\d+)/(\\w+)?']}\n- {name: p, paths: [/static/]}\n");
	struct arena arena;
	ms_arena_init(&arena, 4096, 1 << 20);
	struct gw_match m;
	REQUIRE(ms_kit_match(plan, &(struct kit_request){.path = "/users/42/posts/7"}, &arena, &m) == MS_OK);
	CHECK_SLICE(m.matched, "/users/42/posts");
	CHECK_INT(m.capture_count, 2);
	CHECK_SLICE(m.capture_names[0], "id");
	CHECK_SLICE(m.captures[0], "42");
	CHECK_SLICE(m.captures[1], "posts");
	CHECK(m.capture_names[1].n == 0);
	REQUIRE(ms_kit_match(plan, &(struct kit_request){.path = "/users/42/"}, &arena, &m) == MS_OK);
	CHECK(m.captures[1].p == NULL);
	REQUIRE(ms_kit_match(plan, &(struct kit_request){.path = "/static/x"}, &arena, &m) == MS_OK);
	CHECK_SLICE(m.matched, "/static/");
	CHECK_INT(m.capture_count, 0);
	ms_arena_fini(&arena);
	ms_plan_unref(plan);
}

TEST(expressions_that_take_too_long_are_no_answer)
{
	struct plan *plan = ms_kit_plan("routes:\n- {name: slow, paths: ['~/(a+)+$']}\n- {name: open, paths: [/]}\n");
	char path[64] = "/";
	memset(path + 1, 'a', 40);
	path[41] = '!';
	path[42] = '\0';
	GET(plan, "", path, "bad");
	GET(plan, "", "/aaa", "slow");
	GET(plan, "", "/aab", "open");
	ms_plan_unref(plan);
}

TEST(services_that_are_off_have_no_routes)
{
	struct plan *plan = ms_kit_plan("services: [{name: s, host: h, enabled: false, routes: [{name: off, paths: "
					"[/a]}]}]\nroutes: [{name: on, paths: [/]}]\n");
	GET(plan, "", "/a", "on");
	ms_plan_unref(plan);
}

TEST(protocols_decide_after_the_match)
{
	struct plan *plan = ms_kit_plan("routes:\n- {name: a, paths: [/a], protocols: [https]}\n- {name: b, paths: "
					"[/b], protocols: [https], https_redirect_status_code: 308}\n"
					"- {name: c, paths: [/c]}\n- {name: d, paths: [/d], protocols: [grpc]}\n- "
					"{name: e, paths: [/e], protocols: [grpcs]}\n");
	CHECK_INT(ms_plan_protocol(&plan->routes[0], false, 11), 426);
	CHECK_INT(ms_plan_protocol(&plan->routes[0], true, 11), 0);
	CHECK_INT(ms_plan_protocol(&plan->routes[1], false, 11), 308);
	CHECK_INT(ms_plan_protocol(&plan->routes[2], false, 11), 0);
	CHECK_INT(ms_plan_protocol(&plan->routes[3], false, 20), 0);
	CHECK_INT(ms_plan_protocol(&plan->routes[3], false, 11), 426);
	CHECK_INT(ms_plan_protocol(&plan->routes[4], false, 20), 426);
	ms_plan_unref(plan);
}

// --- Random plans ----------------------------------------------------------------------------------

static const char *const hosts[] = {"a.example",   "b.example",   "*.example",    "a.*",
				    "x.a.example", "*.a.example", "a.example:81", "*.example:81"};
static const char *const paths[] = {"/",
				    "/a",
				    "/a/b",
				    "/a/b/c",
				    "/ab",
				    "~/a",
				    "~/a$",
				    "~/a/\\w+$",
				    "~/a/b",
				    "~/a/[^/]+/c",
				    "~/a/(?<x>\\d+)/?$",
				    "~/a|/b",
				    "~/(a|b)/c$",
				    "~/a/b?/c",
				    "~/[a-c]+/b",
				    "/b/",
				    "~/a/.*c",
				    "~/a(/b)?$",
				    "~/a\\.b$",
				    "~/a/[^x]/c$",
				    "~/a/(?:b|c)$",
				    "~/\\w{1,2}/c$",
				    "~/a/[+-9]$",
				    "~/a/b+$",
				    "~/a/[^x]+/c$",
				    "~/a/(b.?)/c$"};
static const char *const ask_hosts[] = {"a.example",     "b.example",    "c.example",    "a.other", "x.a.example",
					"y.x.a.example", "a.example:81", "c.example:81", "z"};
static const char *const ask_paths[] = {"/",      "/a",    "/a/",     "/a/b",  "/a/b/c",  "/ab",   "/abc",
					"/a/7",   "/a/7/", "/a/7/c",  "/b",    "/b/c",    "/b/",   "/c/b",
					"/a.b",   "/axb",  "/a/bc",   "/a/c",  "/a//c",   "/ab/c", "/a/y/c",
					"/a/x/c", "/a/bb", "/a/b/cc", "/a/b/", "/a/b/7/c"};
static const char *const methods[] = {"GET", "POST", "PUT"};
static const char *const versions[] = {"v1", "v2"};

#define PICK(list) (list)[ms_rand_below(ms_test_rand(), MS_ARRAY_LEN(list))]

static void append_list(struct buf *out, const char *name, const char *const *from, size_t n, size_t most)
{
	size_t count = ms_rand_below(ms_test_rand(), most + 1);
	if (count == 0)
		return;
	ms_buf_printf(out, ", %s: [", name);
	for (size_t i = 0; i < count; i++)
		ms_buf_printf(out, "%s'%s'", i > 0 ? ", " : "", from[ms_rand_below(ms_test_rand(), n)]);
	ms_buf_append_cstr(out, "]");
}

static void write_random_routes(struct buf *out, size_t count)
{
	ms_buf_append_cstr(out, "routes:\n");
	for (size_t i = 0; i < count; i++) {
		ms_buf_printf(out, "- {name: r%zu", i);
		append_list(out, "hosts", hosts, MS_ARRAY_LEN(hosts), 2);
		append_list(out, "methods", methods, MS_ARRAY_LEN(methods), 1);
		append_list(out, "paths", paths, MS_ARRAY_LEN(paths), 3);
		if (ms_rand_below(ms_test_rand(), 4) == 0)
			ms_buf_printf(out, ", headers: {x-v: [%s]}", PICK(versions));
		else
			ms_buf_append_cstr(out, ", headers: {}");
		if (ms_rand_below(ms_test_rand(), 3) == 0)
			ms_buf_printf(out, ", regex_priority: %d", (int)ms_rand_below(ms_test_rand(), 3));
		ms_buf_append_cstr(out, "}\n");
	}
	ms_buf_append_char(out, '\0');
}

static bool host_matches(struct slice pattern, struct slice host, unsigned port)
{
	size_t colon = ms_slice_find(pattern, ':');
	uint64_t wanted = 0;
	if (colon < pattern.n &&
	    (!ms_slice_to_u64(ms_slice_sub(pattern, colon + 1, SIZE_MAX), &wanted) || wanted != port))
		return false;
	pattern = ms_slice_sub(pattern, 0, colon);
	if (pattern.p[0] == '*')
		return ms_slice_ends_with(host, ms_slice_sub(pattern, 1, SIZE_MAX));
	if (pattern.p[pattern.n - 1] == '*')
		return ms_slice_starts_with(host, ms_slice_sub(pattern, 0, pattern.n - 1));
	return ms_slice_eq(pattern, host);
}

static bool regex_matches(struct slice regex, struct slice path)
{
	int code;
	PCRE2_SIZE offset;
	pcre2_code *re = pcre2_compile((PCRE2_SPTR)regex.p, regex.n, PCRE2_ANCHORED | PCRE2_DOLLAR_ENDONLY, &code,
				       &offset, NULL);
	REQUIRE(re != NULL);
	pcre2_match_data *data = pcre2_match_data_create(16, NULL);
	int n = pcre2_match(re, (PCRE2_SPTR)path.p, path.n, 0, 0, data, NULL);
	pcre2_match_data_free(data);
	pcre2_code_free(re);
	return n >= 0;
}

// How good a match the route is: larger is better, in Kong's order; empty weight: none.
struct score {
	int64_t parts[6];
};

static bool best_path(const struct gw_route *r, struct slice path, struct score *s)
{
	bool found = r->paths.count == 0;
	for (size_t i = 0; i < r->paths.count; i++) {
		struct slice p = r->paths.items[i];
		bool regex = p.p[0] == '~';
		bool fits = regex ? regex_matches(ms_slice_sub(p, 1, SIZE_MAX), path) : ms_slice_starts_with(path, p);
		if (!fits || (found && (s->parts[3] || (!regex && (int64_t)p.n <= s->parts[5]))))
			continue;
		found = true;
		s->parts[3] = regex;
		s->parts[4] = regex ? r->regex_priority : 0;
		s->parts[5] = regex ? 0 : (int64_t)p.n;
	}
	return found;
}

static bool score_route(const struct gw_route *r, const struct kit_request *q, struct slice host, unsigned port,
			struct slice path, struct score *s)
{
	*s = (struct score){{0}};
	bool host_fits = r->hosts.count == 0, method_fits = r->methods.count == 0, plain = r->hosts.count > 0;
	for (size_t i = 0; i < r->hosts.count; i++) {
		host_fits |= host_matches(r->hosts.items[i], host, port);
		plain &= ms_slice_find(r->hosts.items[i], '*') == r->hosts.items[i].n;
	}
	for (size_t i = 0; i < r->methods.count; i++)
		method_fits |= ms_slice_eq_cstr(r->methods.items[i], q->method);
	for (size_t i = 0; i < r->headers.count; i++) {
		if (q->header_count == 0 || !ms_slice_eq(r->headers.items[i].values.items[0], q->headers[0].value))
			return false;
	}
	s->parts[0] = (r->hosts.count > 0) + (r->methods.count > 0) + (r->headers.count > 0) + (r->paths.count > 0);
	s->parts[1] = plain;
	s->parts[2] = (int64_t)r->headers.count;
	return host_fits && method_fits && best_path(r, path, s);
}

static const char *slow_match(const struct plan *plan, const struct kit_request *q, struct arena *arena)
{
	const struct gw_route *best = NULL;
	struct score best_score = {{0}};
	struct slice authority = ms_slice_cstr(q->host), path;
	size_t colon = ms_slice_find(authority, ':');
	uint64_t port = 80;
	if (colon < authority.n)
		REQUIRE(ms_slice_to_u64(ms_slice_sub(authority, colon + 1, SIZE_MAX), &port));
	REQUIRE(ms_path_normalize(ms_slice_cstr(q->path), arena, &path));
	for (size_t i = 0; i < plan->route_count; i++) {
		struct score s;
		if (!score_route(&plan->routes[i], q, ms_slice_sub(authority, 0, colon), (unsigned)port, path, &s))
			continue;
		int order = best == NULL ? 1 : 0;
		for (size_t k = 0; k < MS_ARRAY_LEN(s.parts) && order == 0; k++)
			order = (s.parts[k] > best_score.parts[k]) - (s.parts[k] < best_score.parts[k]);
		if (order > 0) {
			best = &plan->routes[i];
			best_score = s;
		}
	}
	return best != NULL ? ms_arena_cstr(arena, best->name) : "none";
}

static bool is_empty_route(const char *yaml)
{
	char problems[4096];
	ms_kit_problems(yaml, problems, sizeof(problems));
	return problems[0] != '\0';
}

TEST(random_plans_match_as_a_slow_reading_does)
{
	struct arena arena;
	ms_arena_init(&arena, 65536, 64 << 20);
	struct buf yaml;
	ms_buf_init(&yaml, 1 << 20);
	size_t asked = 0, found = 0;
	for (size_t round = 0; round < ms_test_rounds(300); round++) {
		ms_buf_clear(&yaml);
		write_random_routes(&yaml, 1 + ms_rand_below(ms_test_rand(), 25));
		if (is_empty_route(yaml.p))
			continue; // a route without any attribute is refused
		struct plan *plan = ms_kit_plan(yaml.p);
		for (int i = 0; i < 60; i++) {
			ms_arena_reset(&arena);
			struct kit_request q = {
				.method = PICK(methods), .host = PICK(ask_hosts), .path = PICK(ask_paths)};
			if (ms_rand_below(ms_test_rand(), 2) == 0)
				q.headers[q.header_count++] =
					(struct http_header){MS_SLICE_LIT("X-V"), ms_slice_cstr(PICK(versions))};
			const char *want = slow_match(plan, &q, &arena);
			struct gw_match match;
			enum ms_err err = ms_kit_match(plan, &q, &arena, &match);
			struct slice got = err == MS_OK ? match.route->name : MS_SLICE_LIT("none");
			asked++;
			found += err == MS_OK;
			if (!ms_slice_eq_cstr(got, want)) {
				fprintf(stderr, "# %s %s %s\n%s", q.method, q.host, q.path, yaml.p);
				CHECK_SLICE(got, want);
				round = SIZE_MAX - 1;
				break;
			}
		}
		ms_plan_unref(plan);
	}
	CHECK(found * 4 > asked || asked < 1000); // most of what is asked is about something
	ms_buf_fini(&yaml);
	ms_arena_fini(&arena);
}
