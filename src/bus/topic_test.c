// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "bus/private.h"
#include "tests/lib/test.h"

TEST(topics_are_words_divided_by_dots)
{
	static const char *const good[] = {"auth", "auth.login", "a-b.c_d.9"};
	static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "Auth", "a b", "a.*", "#", "a.\xc3\xa4"};
	char longest[MS_BUS_TOPIC_MAX + 2];
	for (size_t i = 0; i < MS_ARRAY_LEN(good); i++)
		CHECK(ms_bus_topic_ok(ms_slice_cstr(good[i])));
	for (size_t i = 0; i < MS_ARRAY_LEN(bad); i++)
		CHECK(!ms_bus_topic_ok(ms_slice_cstr(bad[i])));
	memset(longest, 'a', sizeof(longest));
	CHECK(ms_bus_topic_ok(ms_slice(longest, MS_BUS_TOPIC_MAX)));
	CHECK(!ms_bus_topic_ok(ms_slice(longest, MS_BUS_TOPIC_MAX + 1)));
	CHECK(!ms_bus_topic_ok(MS_SLICE_EMPTY));
	CHECK(ms_bus_pattern_ok(MS_SLICE_LIT("a.*.#")) && !ms_bus_pattern_ok(MS_SLICE_LIT("a*")));
	CHECK_SLICE(ms_bus_topic_class(MS_SLICE_LIT("auth.login.failed")), "auth");
	CHECK_SLICE(ms_bus_topic_class(MS_SLICE_LIT("auth")), "auth");
}

TEST(patterns_match_as_a_topic_exchange_does)
{
	static const struct {
		const char *pattern, *topic;
		bool match;
	} cases[] = {
		{"a", "a", true},
		{"a", "b", false},
		{"a", "a.b", false},
		{"a.b", "a", false},
		{"*", "a", true},
		{"*", "a.b", false},
		{"*.b", "a.b", true},
		{"a.*", "a", false},
		{"#", "a", true},
		{"#", "a.b.c", true},
		{"a.#", "a", true},
		{"a.#", "a.b.c", true},
		{"a.#", "b.a", false},
		{"#.c", "c", true},
		{"#.c", "a.b.c", true},
		{"#.c", "c.a", false},
		{"a.#.c", "a.c", true},
		{"a.#.c", "a.b.c", true},
		{"a.#.c", "a.b", false},
		{"#.b.#", "a.b.c", true},
		{"#.b.#", "a.c", false},
		{"*.#", "a", true},
		{"#.#", "a", true},
		{"#.*", "a.b", true},
		{"#.a.b", "a.a.b", true},
		{"#.a.#.b", "a.c.a.b", true},
		{"a.*.#.d", "a.b.c.d", true},
		{"a.*.#.d", "a.d", false},
		{"#.*.*.*", "a.b", false},
		{"*.#.*", "a", false},
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		if (!CHECK_INT(ms_bus_topic_matches(ms_slice_cstr(cases[i].pattern), ms_slice_cstr(cases[i].topic)),
			       cases[i].match))
			printf("# pattern %s, topic %s\n", cases[i].pattern, cases[i].topic);
	}
	CHECK(ms_bus_topic_matches_any(MS_SLICE_LIT("a b.# c"), MS_SLICE_LIT("b.x")));
	CHECK(!ms_bus_topic_matches_any(MS_SLICE_LIT("a b.# c"), MS_SLICE_LIT("d")));
}

// What the definition says, word by word.
static bool naive(struct slice pattern, struct slice topic)
{
	struct slice want, word, rest = pattern, topic_rest = topic;
	if (!ms_slice_next(&rest, '.', &want))
		return topic.p == NULL;
	if (!ms_slice_eq_cstr(want, "#"))
		return ms_slice_next(&topic_rest, '.', &word) &&
		       (ms_slice_eq_cstr(want, "*") || ms_slice_eq(want, word)) && naive(rest, topic_rest);
	return naive(rest, topic) || (ms_slice_next(&topic_rest, '.', &word) && naive(pattern, topic_rest));
}

TEST(random_patterns_match_as_defined)
{
	static const char *const words[] = {"a", "b", "*", "#"};
	size_t matches = 0, rounds = ms_test_rounds(200000);
	for (size_t i = 0; i < rounds; i++) {
		char pattern[64] = "", topic[64] = "";
		for (size_t n = 1 + ms_rand_below(ms_test_rand(), 6); n > 0; n--)
			snprintf(pattern + strlen(pattern), 4, "%s.", words[ms_rand_below(ms_test_rand(), 4)]);
		for (size_t n = 1 + ms_rand_below(ms_test_rand(), 6); n > 0; n--)
			snprintf(topic + strlen(topic), 4, "%s.", words[ms_rand_below(ms_test_rand(), 2)]);
		struct slice p = ms_slice(pattern, strlen(pattern) - 1), t = ms_slice(topic, strlen(topic) - 1);
		bool want = naive(p, t);
		matches += want;
		if (!CHECK_INT(ms_bus_topic_matches(p, t), want))
			printf("# pattern %s, topic %s\n", pattern, topic);
	}
	CHECK(matches > rounds / 20 && matches < rounds);
}

TEST(addresses_are_made_of_parts)
{
	struct arena arena;
	struct errinfo info;
	const char *url;
	ms_errinfo_init(&info);
	ms_arena_init(&arena, 1024, 1 << 16);
	const struct bus_server all = {
		.host = "::1", .port = 1234, .user = "a:b", .password = "c@d/", .vhost = "e f", .tls = true};
	CHECK_OK(ms_bus_server_url(&all, &arena, NULL, &url));
	CHECK_STR(url, "amqps://a%3Ab:c%40d%2F@[::1]:1234/e%20f");
	CHECK_OK(ms_bus_check(url, "", NULL));
	CHECK_OK(ms_bus_server_url(&(struct bus_server){.host = "mq"}, &arena, NULL, &url));
	CHECK_STR(url, "amqp://mq/%2F");
	CHECK_OK(ms_bus_check(url, "a.b", NULL));
	CHECK_OK(ms_bus_check(NULL, "", NULL));
	CHECK_INT(ms_bus_check(url, "A", &info), MS_ERR_CONFIG);
	CHECK_INT(ms_bus_check("amqp:/me:secret@", "", &info), MS_ERR_CONFIG);
	CHECK(strstr(info.message, "secret") == NULL);
	ms_arena_fini(&arena);
}

TEST(ids_sort_by_time)
{
	char before[BUS_UUID_SIZE], after[BUS_UUID_SIZE];
	int64_t at_ns = 1700000000123456000;
	for (size_t i = 0; i < 1000; i++, at_ns += 250) {
		ms_bus_uuid7(at_ns, before);
		ms_bus_uuid7(at_ns + 250, after);
		CHECK(strcmp(before, after) < 0 || memcmp(before, after, 18) == 0);
		CHECK(before[14] == '7' && strchr("89ab", before[19]) != NULL);
	}
	ms_bus_uuid7(1700000000123456000, before);
	CHECK(memcmp(before, "018bcfe5-687b-7", 15) == 0);
	CHECK(ms_bus_id_ok(ms_slice_cstr(before)) && !ms_bus_id_ok(MS_SLICE_LIT("a b")) &&
	      !ms_bus_id_ok(MS_SLICE_EMPTY));
}
