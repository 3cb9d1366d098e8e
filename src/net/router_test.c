// SPDX-License-Identifier: Apache-2.0
#include "net/router.h"

#include <stdio.h>

#include "tests/lib/test.h"

static void no_handler(struct exchange *x, void *role)
{
	(void)x;
	(void)role;
}

#define ROUTE(route_method, route_pattern)                                                    \
	{                                                                                     \
		.method = HTTP_##route_method, .pattern = route_pattern, .handle = no_handler \
	}

static const struct route api_routes[] = {
	ROUTE(GET, "/"),
	ROUTE(GET, "/api/v1/models"),
	ROUTE(POST, "/api/v1/models"),
	ROUTE(GET, "/api/v1/models/{model}"),
	ROUTE(DELETE, "/api/v1/models/{model}"),
	ROUTE(POST, "/api/v1/models/{model}/predict"),
	ROUTE(GET, "/api/v1/models/{model}/versions/{version}"),
	ROUTE(POST, "/api/v1/models/search"),
	ROUTE(GET, "/api/v1/models/latest/{rest...}"),
	ROUTE(PUT, "/api/v1/files/{path...}"),
	ROUTE(GET, "/slash/"),
	ROUTE(OPTIONS, "/own/options"),
	ROUTE(HEAD, "/own/head"),
	ROUTE(GET, "/own/head"),
};
static const struct route console_routes[] = {
	ROUTE(GET, "/console/{path...}"),
	ROUTE(GET, "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}"),
};
static int api_role, console_role;
static const struct route_set sets[] = {
	{api_routes, MS_ARRAY_LEN(api_routes), &api_role},
	{console_routes, MS_ARRAY_LEN(console_routes), &console_role},
};

static struct router *new_router(void)
{
	struct router *router = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	if (!CHECK_OK(ms_router_new(sets, MS_ARRAY_LEN(sets), &info, &router)))
		printf("# %s\n", info.message);
	REQUIRE(router != NULL);
	return router;
}

TEST(router_finds)
{
	static const struct {
		enum http_method method;
		const char *path;
		enum ms_err err;
		const char *pattern; // of the route found, NULL: automatic OPTIONS; or the Allow text of a 405
		const char *params[3];
	} cases[] = {
		{HTTP_GET, "/", MS_OK, "/", {0}},
		{HTTP_HEAD, "/", MS_OK, "/", {0}},
		{HTTP_POST, "/", MS_ERR_HTTP_METHOD, "GET, HEAD, OPTIONS", {0}},
		{HTTP_OPTIONS, "/", MS_OK, NULL, {0}},
		{HTTP_GET, "/api/v1/models", MS_OK, "/api/v1/models", {0}},
		{HTTP_PUT, "/api/v1/models", MS_ERR_HTTP_METHOD, "GET, HEAD, POST, OPTIONS", {0}},
		{HTTP_GET, "/api/v1/models/churn", MS_OK, "/api/v1/models/{model}", {"churn"}},
		{HTTP_POST, "/api/v1/models/churn/predict", MS_OK, "/api/v1/models/{model}/predict", {"churn"}},
		{HTTP_GET, "/api/v1/models/churn/predict", MS_ERR_HTTP_METHOD, "POST, OPTIONS", {0}},
		{HTTP_GET,
		 "/api/v1/models/a/versions/2",
		 MS_OK,
		 "/api/v1/models/{model}/versions/{version}",
		 {"a", "2"}},
		// A literal beats a parameter, but only for the methods that it has.
		{HTTP_POST, "/api/v1/models/search", MS_OK, "/api/v1/models/search", {0}},
		{HTTP_GET, "/api/v1/models/search", MS_OK, "/api/v1/models/{model}", {"search"}},
		{HTTP_PUT, "/api/v1/models/search", MS_ERR_HTTP_METHOD, "GET, HEAD, POST, DELETE, OPTIONS", {0}},
		{HTTP_POST, "/api/v1/models/search/predict", MS_OK, "/api/v1/models/{model}/predict", {"search"}},
		{HTTP_GET, "/api/v1/models/latest/a/b", MS_OK, "/api/v1/models/latest/{rest...}", {"a/b"}},
		{HTTP_GET, "/api/v1/models/latest/", MS_OK, "/api/v1/models/latest/{rest...}", {""}},
		{HTTP_GET, "/api/v1/models/latest", MS_OK, "/api/v1/models/{model}", {"latest"}},
		{HTTP_POST, "/api/v1/models/latest/predict", MS_OK, "/api/v1/models/{model}/predict", {"latest"}},
		// Slashes count.
		{HTTP_GET, "/api/v1/models/", MS_ERR_HTTP_NO_ROUTE, NULL, {0}},
		{HTTP_GET, "/api//v1/models", MS_ERR_HTTP_NO_ROUTE, NULL, {0}},
		{HTTP_GET, "//", MS_ERR_HTTP_NO_ROUTE, NULL, {0}},
		{HTTP_GET, "/slash/", MS_OK, "/slash/", {0}},
		{HTTP_GET, "/slash", MS_ERR_HTTP_NO_ROUTE, NULL, {0}},
		{HTTP_GET, "/console/", MS_OK, "/console/{path...}", {""}},
		{HTTP_GET, "/console", MS_ERR_HTTP_NO_ROUTE, NULL, {0}},
		{HTTP_GET, "/console//a", MS_OK, "/console/{path...}", {"/a"}},
		{HTTP_GET,
		 "/console/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r",
		 MS_OK,
		 "/console/{path...}",
		 {"a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r"}},
		{HTTP_GET, "/x/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r", MS_ERR_HTTP_NO_ROUTE, NULL, {0}},
		{HTTP_GET, "/1/2/3/4/5/6/7/8", MS_OK, "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}", {"1", "2", "3"}},
		{HTTP_GET, "/1/2/3/4/5/6/7/", MS_ERR_HTTP_NO_ROUTE, NULL, {0}},
		{HTTP_GET, "/nothing", MS_ERR_HTTP_NO_ROUTE, NULL, {0}},
		{HTTP_OPTIONS, "/nothing", MS_ERR_HTTP_NO_ROUTE, NULL, {0}},
		// Escapes: an encoded slash stays inside its segment.
		{HTTP_GET, "/api/v1/models/a%2Fb", MS_OK, "/api/v1/models/{model}", {"a/b"}},
		{HTTP_GET, "/api/v1/models/a%2fversions%2f2", MS_OK, "/api/v1/models/{model}", {"a/versions/2"}},
		{HTTP_GET, "/api/v1/models/%63hurn%20x", MS_OK, "/api/v1/models/{model}", {"churn x"}},
		{HTTP_GET, "/%61pi/v1/m%6Fdels", MS_OK, "/api/v1/models", {0}},
		{HTTP_GET, "/api%2Fv1/models", MS_ERR_HTTP_NO_ROUTE, NULL, {0}},
		{HTTP_PUT, "/api/v1/files/a%2Fb/c%20d", MS_OK, "/api/v1/files/{path...}", {"a/b/c d"}},
		{HTTP_GET, "/api/v1/models/a%00b", MS_ERR_HTTP_SYNTAX, NULL, {0}},
		{HTTP_GET, "/api/v1/models/%zz", MS_ERR_HTTP_SYNTAX, NULL, {0}},
		{HTTP_GET, "/api/v1/models/..", MS_ERR_HTTP_SYNTAX, NULL, {0}},
		{HTTP_GET, "/api/v1/models/%2e%2e%2f", MS_ERR_HTTP_SYNTAX, NULL, {0}},
		{HTTP_PUT, "/api/v1/files/../../etc/passwd", MS_ERR_HTTP_SYNTAX, NULL, {0}},
		{HTTP_GET, "/nothing/%", MS_ERR_HTTP_SYNTAX, NULL, {0}},
		// Own OPTIONS and HEAD routes.
		{HTTP_OPTIONS, "/own/options", MS_OK, "/own/options", {0}},
		{HTTP_GET, "/own/options", MS_ERR_HTTP_METHOD, "OPTIONS", {0}},
		{HTTP_HEAD, "/own/head", MS_OK, "/own/head", {0}},
	};
	struct router *router = new_router();
	struct arena arena;
	ms_arena_init(&arena, 1024, 1 << 20);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct route_match m;
		struct errinfo info;
		ms_errinfo_init(&info);
		enum ms_err err =
			ms_router_find(router, cases[i].method, ms_slice_cstr(cases[i].path), &arena, &info, &m);
		bool ok = CHECK_INT(err, cases[i].err);
		if (ok && err == MS_ERR_HTTP_METHOD) {
			ok = CHECK_SLICE(m.allow, cases[i].pattern) && CHECK_HAS(info.message, cases[i].pattern);
		} else if (ok && err == MS_OK && cases[i].pattern == NULL) {
			ok = CHECK(m.route == NULL) && CHECK(m.allow.n > 0);
		} else if (ok && err == MS_OK) {
			ok = CHECK(m.route != NULL) && CHECK_STR(m.route->pattern, cases[i].pattern);
			for (size_t k = 0; ok && k < 3 && cases[i].params[k] != NULL; k++)
				ok = CHECK(k < m.param_count) && CHECK_SLICE(m.params[k], cases[i].params[k]);
			for (size_t k = m.param_count; ok && k < MS_HTTP_MAX_PARAMS; k++)
				ok = CHECK(m.params[k].n == 0);
			bool console =
				strcmp(cases[i].pattern, "/console/{path...}") == 0 || cases[i].pattern[1] == '{';
			ok = ok && CHECK(m.role == (console ? &console_role : &api_role));
		}
		if (!ok)
			printf("# case %zu: %s %s\n", i, ms_http_method_name(cases[i].method), cases[i].path);
	}
	// The own HEAD route is another than the GET route of the same pattern.
	struct route_match m;
	CHECK_OK(ms_router_find(router, HTTP_HEAD, MS_SLICE_LIT("/own/head"), &arena, NULL, &m));
	CHECK_INT(m.route->method, HTTP_HEAD);
	CHECK_SLICE(ms_router_allow_all(router), "GET, HEAD, POST, PUT, DELETE, OPTIONS");
	CHECK(ms_router_route(router, 0) == &api_routes[0]);
	CHECK(ms_router_route(router, MS_ARRAY_LEN(api_routes)) == &console_routes[0]);
	CHECK(ms_router_route(router, MS_ARRAY_LEN(api_routes) + MS_ARRAY_LEN(console_routes)) == NULL);
	ms_arena_fini(&arena);
	ms_router_free(router);
}

TEST(router_allocates_nothing_without_escapes)
{
	struct router *router = new_router();
	struct arena arena;
	struct route_match m;
	ms_arena_init(&arena, 16, 16);
	CHECK_OK(ms_router_find(router, HTTP_GET, MS_SLICE_LIT("/api/v1/models/a/versions/2"), &arena, NULL, &m));
	CHECK_OK(ms_router_find(router, HTTP_GET, MS_SLICE_LIT("/console/a/b"), &arena, NULL, &m));
	CHECK_INT(arena.used, 0);
	CHECK_INT(
		ms_router_find(router, HTTP_GET, MS_SLICE_LIT("/console/a%20b/cccccccccccccccccccc"), &arena, NULL, &m),
		MS_ERR_NO_MEMORY);
	ms_arena_fini(&arena);
	ms_router_free(router);
}

// --- Tables that must not pass -----------------------------------------------------------------------

TEST(router_refuses_bad_tables)
{
	static const struct {
		const char *a;
		const char *b;
		enum ms_err err;
		const char *message;
	} cases[] = {
		{"/a", "/a", MS_ERR_CONFLICT, "'GET /a' and 'GET /a' match the same"},
		{"/a/{b}", "/a/{c}", MS_ERR_CONFLICT, "'GET /a/{b}' and 'GET /a/{c}'"},
		{"/a/{b}/c/{d...}", "/a/{x}/c/{y...}", MS_ERR_CONFLICT, "match the same"},
		{"/a/{b}", "/a/b", MS_OK, ""},
		{"/a/{b}", "/a/{b...}", MS_OK, ""},
		{"/a/{b...}", "/a", MS_OK, ""},
		{"/a", "a", MS_ERR_INVALID, "does not start with '/'"},
		{"/a", "", MS_ERR_INVALID, "does not start with '/'"},
		{"/a", "/a//b", MS_ERR_INVALID, "segment ''"},
		{"/a", "/a/../b", MS_ERR_INVALID, "segment '..'"},
		{"/a", "/a/%41", MS_ERR_INVALID, "segment '%41'"},
		{"/a", "/a/b c", MS_ERR_INVALID, "segment 'b c'"},
		{"/a", "/a/x{b}", MS_ERR_INVALID, "segment 'x{b}'"},
		{"/a", "/a/{b", MS_ERR_INVALID, "segment '{b'"},
		{"/a", "/a/{}", MS_ERR_INVALID, "a parameter is {name}"},
		{"/a", "/a/{...}", MS_ERR_INVALID, "a parameter is {name}"},
		{"/a", "/a/{b-c}", MS_ERR_INVALID, "a parameter is {name}"},
		{"/a", "/a/{b}/{b}", MS_ERR_INVALID, "'b' occurs twice"},
		{"/a", "/a/{b...}/c", MS_ERR_INVALID, "must be the last"},
		{"/a", "/a/{b...}/", MS_ERR_INVALID, "must be the last"},
		{"/a", "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}", MS_ERR_INVALID, "more than 8 parameters"},
		{"/a", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", MS_OK, ""},
		{"/a", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17", MS_ERR_INVALID, "more than 16 segments"},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		const struct route routes[] = {{.method = HTTP_GET, .pattern = cases[i].a, .handle = no_handler},
					       {.method = HTTP_GET, .pattern = cases[i].b, .handle = no_handler}};
		// In one table and in two.
		const struct route_set one[] = {{routes, 2, NULL}}, two[] = {{routes, 1, NULL}, {routes + 1, 1, NULL}};
		for (unsigned k = 1; k <= 2; k++) {
			struct router *router = NULL;
			struct errinfo info;
			ms_errinfo_init(&info);
			CHECK_INT(ms_router_new(k == 1 ? one : two, k, &info, &router), cases[i].err);
			CHECK(cases[i].err == MS_OK || router == NULL);
			if (cases[i].err != MS_OK)
				CHECK_HAS(info.message, cases[i].message);
			ms_router_free(router);
		}
	}
	// Another method is no conflict.
	const struct route both[] = {ROUTE(GET, "/a/{b}"), ROUTE(POST, "/a/{c}")};
	const struct route_set set = {both, 2, NULL};
	struct router *router = NULL;
	CHECK_OK(ms_router_new(&set, 1, NULL, &router));
	ms_router_free(router);
}

static void build_in_short_memory(void)
{
	struct router *router = NULL;
	enum ms_err err = ms_router_new(sets, MS_ARRAY_LEN(sets), NULL, &router);
	CHECK_INT(err, ms_test_allocation_failed() ? MS_ERR_NO_MEMORY : MS_OK);
	if (err == MS_OK)
		ms_router_free(router);
}

TEST(router_survives_failing_memory)
{
	ms_test_torture(build_in_short_memory);
}

// --- Against a naive matcher -------------------------------------------------------------------------

#define MAX_ROUTES 24

static size_t split(const char *text, struct slice parts[16])
{
	struct slice rest = ms_slice_cstr(text + 1), part;
	size_t n = 0;
	while (ms_slice_next(&rest, '/', &part)) {
		REQUIRE(n < 16);
		parts[n++] = part;
	}
	return n;
}

// 0: literal, 1: parameter, 2: tail; by the text of a pattern's segment.
static unsigned kind_of(struct slice segment)
{
	return segment.n == 0 || segment.p[0] != '{' ? 0 : segment.p[segment.n - 2] == '.' ? 2 : 1;
}

static bool naive_match(const char *pattern, const char *path)
{
	struct slice want[16], have[16];
	size_t n = split(pattern, want), m = split(path, have);
	for (size_t i = 0; i < n; i++) {
		if (i >= m)
			return false;
		unsigned kind = kind_of(want[i]);
		if (kind == 2)
			return true;
		if (kind == 0 ? !ms_slice_eq(want[i], have[i]) : have[i].n == 0)
			return false;
	}
	return n == m;
}

// True when pattern a is to be preferred to b; both match one path.
static bool naive_better(const char *a, const char *b)
{
	struct slice x[16], y[16];
	size_t n = split(a, x), m = split(b, y);
	for (size_t i = 0; i < n && i < m; i++) {
		if (kind_of(x[i]) != kind_of(y[i]))
			return kind_of(x[i]) < kind_of(y[i]);
	}
	return false;
}

static const struct route *naive_find(const struct route *routes, size_t count, enum http_method method,
				      const char *path, unsigned *ret_matches)
{
	const struct route *best = NULL;
	*ret_matches = 0;
	for (size_t i = 0; i < count; i++) {
		if (!naive_match(routes[i].pattern, path))
			continue;
		++*ret_matches;
		bool fits = routes[i].method == method || (method == HTTP_HEAD && routes[i].method == HTTP_GET);
		if (!fits)
			continue;
		bool better = best == NULL || naive_better(routes[i].pattern, best->pattern);
		bool same_place = best != NULL && !better && !naive_better(best->pattern, routes[i].pattern);
		if (better || (same_place && routes[i].method == method))
			best = &routes[i];
	}
	return best;
}

static void random_text(char *text, bool pattern)
{
	static const char *const literals[] = {"a", "b", "ab", ""};
	size_t n = 1 + ms_rand_below(ms_test_rand(), 5), at = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned kind = pattern ? (unsigned)ms_rand_below(ms_test_rand(), 3) : 0;
		bool last = i + 1 == n;
		text[at++] = '/';
		if (kind == 1)
			at += (size_t)sprintf(text + at, "{p%zu}", i);
		else if (kind == 2 && last)
			at += (size_t)sprintf(text + at, "{p%zu...}", i);
		else
			at += (size_t)sprintf(text + at, "%s",
					      literals[ms_rand_below(ms_test_rand(), pattern && !last ? 3 : 4)]);
	}
	text[at] = '\0';
}

// Random tables without conflicts.
static size_t random_routes(struct route *routes, char texts[][64])
{
	size_t count = 0;
	for (size_t i = 0; i < MAX_ROUTES; i++) {
		random_text(texts[count], true);
		routes[count] = (struct route){.method = (enum http_method)ms_rand_below(ms_test_rand(), 3),
					       .pattern = texts[count],
					       .handle = no_handler};
		struct route_set set = {routes, count + 1, NULL};
		struct router *router = NULL;
		if (ms_router_new(&set, 1, NULL, &router) == MS_OK)
			count++; // else it conflicts with another one: dropped
		ms_router_free(router);
	}
	return count;
}

TEST(router_agrees_with_a_naive_matcher)
{
	unsigned found = 0, refused = 0, missing = 0;
	for (unsigned round = 0; round < 60; round++) {
		struct route routes[MAX_ROUTES + 1];
		char texts[MAX_ROUTES + 1][64];
		struct router *router = NULL;
		struct route_set set = {routes, random_routes(routes, texts), NULL};
		struct arena arena;
		ms_arena_init(&arena, 256, 1 << 16);
		REQUIRE(ms_router_new(&set, 1, NULL, &router) == MS_OK);
		for (unsigned k = 0; k < 300; k++) {
			char path[64];
			unsigned matches;
			struct route_match m;
			enum http_method method = (enum http_method)ms_rand_below(ms_test_rand(), 3);
			random_text(path, false);
			const struct route *want = naive_find(routes, set.count, method, path, &matches);
			enum ms_err err = ms_router_find(router, method, ms_slice_cstr(path), &arena, NULL, &m);
			enum ms_err want_err = want != NULL  ? MS_OK
					       : matches > 0 ? MS_ERR_HTTP_METHOD
							     : MS_ERR_HTTP_NO_ROUTE;
			if (!CHECK_INT(err, want_err) || !CHECK(m.route == want))
				printf("# %s %s: %s, want %s\n", ms_http_method_name(method), path,
				       m.route != NULL ? m.route->pattern : "-", want != NULL ? want->pattern : "-");
			found += want != NULL;
			refused += want == NULL && matches > 0;
			missing += matches == 0;
		}
		ms_arena_fini(&arena);
		ms_router_free(router);
	}
	CHECK(found > 1000 && refused > 1000 && missing > 1000); // the test meets every outcome
}
