// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "gateway/plan.h"
#include "tests/lib/test.h"

static void check_path(const char *path, const char *normal)
{
	struct arena arena;
	ms_arena_init(&arena, 1024, 1 << 20);
	struct slice got;
	bool good = ms_path_normalize(ms_slice_cstr(path), &arena, &got);
	CHECK_SLICE(good ? got : MS_SLICE_LIT("refused"), normal);
	if (good) { // what is in the one form stays as it is, without a copy
		struct slice again;
		CHECK(ms_path_normalize(got, &arena, &again));
		CHECK_SLICE(again, normal);
		if (strcmp(path, normal) == 0 && strstr(path, "/.") == NULL)
			CHECK(got.p == path);
	}
	ms_arena_fini(&arena);
}

TEST(paths_have_one_form)
{
	check_path("/", "/");
	check_path("/a/b", "/a/b");
	check_path("/a/b/", "/a/b/");
	check_path("/%61/%7Eb", "/a/~b");
	check_path("/%2fa", "/%2Fa");
	check_path("/a%2Fb", "/a%2Fb");
	check_path("/a%20b%c3%a9", "/a%20b%C3%A9");
	check_path("/a b\"<\xc3\xa9", "/a%20b%22%3C%C3%A9");
	check_path("/!$&'()*+,;=:@", "/!$&'()*+,;=:@");
	check_path("/%21%24", "/%21%24");
	check_path("//a///b//", "/a/b/");
	check_path("/a/./b/../c", "/a/c");
	check_path("/a/..", "/");
	check_path("/a/.", "/a/");
	check_path("/a/b/..", "/a/");
	check_path("/../../a", "/a");
	check_path("/..", "/");
	check_path("/.", "/");
	check_path("/a/%2e%2E/b", "/b");
	check_path("/a/.%2e/b", "/b");
	check_path("/.a/..b/...", "/.a/..b/...");
	check_path("/a//../b", "/b");
	check_path("/.well-known/x", "/.well-known/x");
	check_path("/a\\b", "/a%5Cb");
	check_path("/a;v=1/b", "/a;v=1/b");
	check_path("/%252e%252e/a", "/%252e%252e/a");
}

TEST(paths_that_others_may_read_otherwise_are_refused)
{
	check_path("", "refused");
	check_path("a", "refused");
	check_path("*", "refused");
	check_path("/%", "refused");
	check_path("/%4", "refused");
	check_path("/%zz", "refused");
	check_path("/%00", "refused");
	check_path("/a/..;/b", "refused");
	check_path("/a/..;x=1/b", "refused");
	check_path("/a/.;/b", "refused");
	check_path("/a/%2e%2e;/b", "refused");
	check_path("/..%2fa", "refused");
	check_path("/a%2f..%2fb", "refused");
	check_path("/a%2F..", "refused");
	check_path("/a%5c..%5cb", "refused");
	check_path("/a\\..\\b", "refused");
	check_path("/a%2f..;/b", "refused");
	check_path("/a%2f...;/b%2f", "/a%2F...;/b%2F");
}

static void check_upstream(const char *service, const char *matched, bool strip, int handling, const char *path,
			   const char *want)
{
	struct arena arena;
	ms_arena_init(&arena, 1024, 1 << 20);
	const struct gw_route route = {.strip_path = strip, .path_handling = handling};
	struct gw_match match = {.route = &route, .path = ms_slice_cstr(path), .matched = ms_slice_cstr(matched)};
	CHECK_SLICE(ms_plan_upstream_path(&match, ms_slice_cstr(service), &arena), want);
	ms_arena_fini(&arena);
}

TEST(upstreams_get_the_path_that_kong_would_send)
{
	// The table of Kong's documentation.
	check_upstream("/s", "/fv0", false, 0, "/fv0req", "/s/fv0req");
	check_upstream("/s", "/fv1", false, 1, "/fv1req", "/sfv1req");
	check_upstream("/s", "/tv0", true, 0, "/tv0req", "/s/req");
	check_upstream("/s", "/tv1", true, 1, "/tv1req", "/sreq");
	check_upstream("/s/", "/fv0", false, 0, "/fv0req", "/s/fv0req");
	check_upstream("/s/", "/fv1", false, 1, "/fv1req", "/s/fv1req");
	check_upstream("/s/", "/tv0", true, 0, "/tv0req", "/s/req");
	check_upstream("/s/", "/tv1", true, 1, "/tv1req", "/s/req");
	// Without a path of the service, and at the ends.
	check_upstream("", "/a", false, 0, "/a/b", "/a/b");
	check_upstream("", "/a", true, 0, "/a/b", "/b");
	check_upstream("", "/a", true, 0, "/a", "/");
	check_upstream("", "/a", true, 0, "/a/", "/");
	check_upstream("", "/a/", true, 0, "/a/", "/");
	check_upstream("/s", "/a", true, 0, "/a", "/s");
	check_upstream("/s", "/a", true, 0, "/a/", "/s/");
	check_upstream("/s", "/a/", true, 0, "/a/", "/s/");
	check_upstream("/s/", "/a", true, 0, "/a", "/s");
	check_upstream("/s/", "/a/", true, 0, "/a/", "/s/");
	check_upstream("/s", "/a", true, 0, "/a/b", "/s/b");
	check_upstream("/s/", "/a", true, 0, "/a/b", "/s/b");
	check_upstream("/s", "/", false, 0, "/", "/s");
	check_upstream("/s/", "/", false, 0, "/", "/s/");
	check_upstream("/s", "", true, 0, "/x", "/s/x");
	// What is left of a name cannot climb.
	check_upstream("/s", "/a", true, 0, "/a../b", "/s/b");
	check_upstream("/s", "/a", true, 0, "/a..", "/s/");
	check_upstream("/s", "/a", true, 1, "/a../b", "/sb");
	check_upstream("/s", "/a", true, 0, "/a..%2Fb/c", "/s/c");
	check_upstream("/s", "/a", true, 0, "/a..%5Cb", "/s/");
	check_upstream("/s", "/a", true, 0, "/a..;/b", "/s/b");
	check_upstream("/s", "/a", true, 0, "/a...%2Fb", "/s/...%2Fb");
}
