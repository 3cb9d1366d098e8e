// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "auth/grants.h"
#include "base/base.h"
#include "tests/lib/test.h"

#define ARENA_MAX ((size_t)16 << 20)

static const struct grants *parse(struct arena *arena, const char *list)
{
	struct slice texts[MS_GRANTS_MAX], rest = ms_slice_cstr(list), part;
	size_t count = 0;
	const struct grants *grants;
	while (list[0] != '\0' && ms_slice_next(&rest, ' ', &part))
		texts[count++] = part;
	REQUIRE(ms_grants_parse(texts, count, arena, NULL, &grants) == MS_OK);
	return grants;
}

static bool allows(const char *list, const char *permission, const char *object)
{
	struct arena arena;
	ms_arena_init(&arena, 1024, ARENA_MAX);
	bool yes = ms_grants_allow(parse(&arena, list), permission,
				   object != NULL ? ms_slice_cstr(object) : MS_SLICE_EMPTY);
	ms_arena_fini(&arena);
	return yes;
}

TEST(grants_allow_what_they_name)
{
	CHECK(allows("*", "predict", "churn") && allows("*", "users.write", NULL) && allows("*", "predict", NULL));
	CHECK(allows("predict", "predict", "churn") && allows("predict", "predict", NULL));
	CHECK(!allows("predict", "models.read", "churn") && !allows("predict", "models.read", NULL));
	CHECK(allows("predict:churn", "predict", "churn") && allows("predict:churn", "predict", NULL));
	CHECK(!allows("predict:churn", "predict", "churn2") && !allows("predict:churn", "predict", "chur"));
	CHECK(!allows("predict:churn", "predict", "") && !allows("predict:churn", "predict", "CHURN"));
	CHECK(allows("predict:churn-*", "predict", "churn-") && allows("predict:churn-*", "predict", "churn-1"));
	CHECK(!allows("predict:churn-*", "predict", "churn"));
	CHECK(allows("predict:*", "predict", "") && allows("predict:*", "predict", "anything"));
	CHECK(allows("models.*", "models.read", "m") && allows("models.*", "models.write", "m") &&
	      !allows("models.*", "metrics.read", NULL));
	CHECK(allows("models.*:m", "models.write", "m") && !allows("models.*:m", "models.write", "n"));
	CHECK(!allows("", "predict", NULL) && !allows("", "self", NULL));
	CHECK(allows("metrics.read", "metrics.read", "whatever"));
}

static void check_refused(const char *text, const char *why)
{
	struct arena arena;
	struct errinfo info;
	const struct grants *grants;
	struct slice one = ms_slice_cstr(text);
	ms_arena_init(&arena, 1024, ARENA_MAX);
	ms_errinfo_init(&info);
	CHECK_INT(ms_grants_parse(&one, 1, &arena, &info, &grants), MS_ERR_INVALID);
	CHECK_HAS(info.message, why);
	ms_arena_fini(&arena);
}

TEST(grants_refuse_what_is_none)
{
	char long_one[MS_GRANT_TEXT_MAX + 2];
	check_refused("", "empty");
	check_refused("predct", "did you mean 'predict'?");
	check_refused("nothing-like-it-at-all", "names no permission");
	check_refused("Predict", "did you mean 'predict'?");
	check_refused("predict:", "no object behind the colon");
	check_refused("metrics.read:x", "names an object, but what it permits has none");
	check_refused("*:x", "names an object");
	check_refused("users.*:x", "names an object");
	check_refused("*.read", "names no permission");
	check_refused("mod*", "names no permission");
	check_refused(".*", "names no permission");
	check_refused("predict:a*b", "'*' stands at the end only");
	check_refused("predict:a b", "character");
	check_refused("predict:a\"b", "character");
	check_refused("predict:a,b", "character");
	check_refused("predict:\xc3\xa4", "character");
	memset(long_one, 'x', sizeof(long_one));
	memcpy(long_one, "predict:", 8);
	long_one[sizeof(long_one) - 1] = '\0';
	check_refused(long_one, "at most 256");
}

TEST(grants_of_the_store_forgive)
{
	struct arena arena;
	const struct grants *grants;
	ms_arena_init(&arena, 1024, ARENA_MAX);
	// What a later version knows grants nothing here, and takes nothing else away.
	CHECK_OK(ms_grants_read_stored(MS_SLICE_LIT("[\"predict:a\",\"teleport\",7,\"models.read\"]"), &arena, NULL,
				       &grants));
	CHECK(ms_grants_allow(grants, "predict", MS_SLICE_LIT("a")) &&
	      ms_grants_allow(grants, "models.read", MS_SLICE_LIT("x")));
	CHECK_INT(ms_grants_count(grants), 2);
	CHECK_OK(ms_grants_read_stored(MS_SLICE_LIT("[\"predict\""), &arena, NULL, &grants));
	CHECK(!ms_grants_allow(grants, "predict", MS_SLICE_EMPTY));
	CHECK_OK(ms_grants_read_stored(MS_SLICE_LIT("{}"), &arena, NULL, &grants));
	CHECK_INT(ms_grants_count(grants), 0);
	ms_arena_fini(&arena);
}

// --- Against brute force -----------------------------------------------------------------------------

// Patterns are of a and b; objects also of z, which stands for every name that no grant was made for.
#define OBJECTS 121
struct universe {
	char names[OBJECTS][5];
	size_t count;
};

// All words of up to four letters.
static void fill_universe(struct universe *u)
{
	*u = (struct universe){.count = 1};
	for (size_t from = 0; u->count < OBJECTS; from++) {
		for (size_t i = 0; i < 3; i++) {
			memcpy(u->names[u->count], u->names[from], sizeof(u->names[0]));
			u->names[u->count++][strlen(u->names[from])] = "abz"[i];
		}
	}
}

static void random_grant(struct rand *rand, char *dst, size_t size)
{
	static const char *const heads[] = {"predict",      "models.read", "models.write", "models.*",
					    "metrics.read", "tasks.*",     "tasks.run",    "*"};
	static const char *const patterns[] = {"a", "b", "ab", "ba", "a*", "b*", "ab*", "aa*", "*", "aab"};
	size_t head = (size_t)ms_rand_below(rand, ms_rand_below(rand, 6) == 0 ? 8 : 7);
	bool bare = head == 4 || head == 7 || ms_rand_below(rand, 4) == 0;
	snprintf(dst, size, "%s%s%s", heads[head], bare ? "" : ":",
		 bare ? "" : patterns[ms_rand_below(rand, MS_ARRAY_LEN(patterns))]);
}

static const struct grants *random_grants(struct rand *rand, struct arena *arena, bool *has_all)
{
	char texts[5][32];
	struct slice slices[5];
	size_t count = (size_t)ms_rand_below(rand, 6);
	const struct grants *grants;
	*has_all = false;
	for (size_t i = 0; i < count; i++) {
		random_grant(rand, texts[i], sizeof(texts[i]));
		slices[i] = ms_slice_cstr(texts[i]);
		*has_all = *has_all || strcmp(texts[i], "*") == 0;
	}
	REQUIRE(ms_grants_parse(slices, count, arena, NULL, &grants) == MS_OK);
	return grants;
}

enum relation { RELATION_WITHIN, RELATION_UNION, RELATION_INTERSECTION };

// Whether for every permission and object: inner implies outer; or `result` is what the relation says.
static bool brute(const struct universe *u, enum relation relation, const struct grants *a, const struct grants *b,
		  const struct grants *result)
{
	size_t count;
	const struct auth_permission *p = ms_auth_permissions(&count);
	for (size_t i = 0; i < count; i++) {
		for (size_t o = 0; o < u->count; o++) {
			struct slice object = ms_slice_cstr(u->names[o]);
			bool in_a = ms_grants_allow(a, p[i].name, object), in_b = ms_grants_allow(b, p[i].name, object);
			if (relation == RELATION_WITHIN && in_a && !in_b)
				return false;
			if (relation == RELATION_WITHIN)
				continue;
			bool want = relation == RELATION_UNION ? in_a || in_b : in_a && in_b;
			if (ms_grants_allow(result, p[i].name, object) != want)
				return false;
		}
	}
	return true;
}

static bool round_trip(const struct universe *u, const struct grants *grants, struct arena *arena)
{
	struct buf text;
	const struct grants *again;
	ms_buf_init(&text, 1 << 16);
	ms_grants_write(grants, &text);
	bool same = ms_grants_read(ms_buf_slice(&text), arena, NULL, &again) == MS_OK &&
		    brute(u, RELATION_UNION, grants, MS_GRANTS_NONE, again) && ms_grants_within(grants, again) &&
		    ms_grants_within(again, grants);
	ms_buf_fini(&text);
	return same;
}

TEST(grants_agree_with_brute_force)
{
	struct universe u;
	struct rand *rand = ms_test_rand();
	size_t within = 0, rounds = ms_test_rounds(3000);
	fill_universe(&u);
	CHECK_STR(u.names[OBJECTS - 1], "zzzz");
	for (size_t i = 0; i < rounds; i++) {
		struct arena arena;
		bool all_a, all_b;
		const struct grants *either, *both;
		ms_arena_init(&arena, 4096, ARENA_MAX);
		const struct grants *a = random_grants(rand, &arena, &all_a), *b = random_grants(rand, &arena, &all_b);
		// What "*" grants beyond the table, only "*" may give.
		bool want = brute(&u, RELATION_WITHIN, a, b, NULL) && (!all_a || all_b);
		REQUIRE(ms_grants_within(a, b) == want);
		within += want;
		REQUIRE(ms_grants_union(a, b, &arena, NULL, &either) == MS_OK &&
			brute(&u, RELATION_UNION, a, b, either));
		REQUIRE(ms_grants_intersect(a, b, &arena, NULL, &both) == MS_OK &&
			brute(&u, RELATION_INTERSECTION, a, b, both));
		REQUIRE(ms_grants_within(a, either) && ms_grants_within(b, either));
		REQUIRE(ms_grants_within(both, a) && ms_grants_within(both, b));
		REQUIRE(round_trip(&u, either, &arena) && round_trip(&u, both, &arena));
		ms_arena_fini(&arena);
	}
	CHECK(within > rounds / 20 && within < rounds / 2); // both answers were tried
}

static void torture(void)
{
	struct arena arena;
	struct slice texts[] = {MS_SLICE_LIT("predict:a*"), MS_SLICE_LIT("models.*")};
	const struct grants *a, *b, *c;
	ms_arena_init(&arena, 64, ARENA_MAX);
	bool whole = ms_grants_parse(texts, 2, &arena, NULL, &a) == MS_OK &&
		     ms_grants_read_stored(MS_SLICE_LIT("[\"predict:ab\"]"), &arena, NULL, &b) == MS_OK &&
		     ms_grants_intersect(a, b, &arena, NULL, &c) == MS_OK &&
		     ms_grants_union(a, b, &arena, NULL, &b) == MS_OK;
	CHECK(whole != ms_test_allocation_failed());
	if (whole)
		CHECK(ms_grants_allow(c, "predict", MS_SLICE_LIT("ab")) &&
		      !ms_grants_allow(c, "predict", MS_SLICE_LIT("a")));
	ms_arena_fini(&arena);
}

TEST(grants_survive_failing_allocations)
{
	ms_test_torture(torture);
}
