// SPDX-License-Identifier: Apache-2.0
// The driver in memory: its budget, its clock of second chances, sweeping, speed.
#include <stdio.h>
#include <stdlib.h>

#include "cache/cache_test_kit.h"

#define BUDGET ((size_t)2 << 20)

static struct cache_op set_bytes(struct fixture *f, const char *key, const char *bytes, size_t n)
{
	struct cache_op op = {
		.verb = CACHE_SET, .key = ms_slice_cstr(key), .value = ms_slice(bytes, n), .ttl_ms = 600000};
	ms_cache_test_do(f, &op);
	return op;
}

TEST(memory_keeps_its_budget_and_what_is_used)
{
	static const char bytes[700000];
	const struct cache_quota quota = {.kind = QUOTA_YEAR, .limit = 1000000};
	struct fixture f;
	char key[32];
	ms_cache_test_begin(&f, false, 1, &(struct cache_options){.memory_bytes = BUDGET});
	size_t empty = ms_cache_memory_figures(f.cache->memory).bytes;
	CHECK(empty < BUDGET / 20);
	for (unsigned i = 0; i < 200000; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		CHECK_OK(set_bytes(&f, key, bytes, i % 1000).err);
		CHECK(ms_cache_memory_figures(f.cache->memory).bytes <= BUDGET);
		if (i % 50 == 0) { // a counter that is in use stays, whatever comes
			struct cache_op op = ms_cache_test_take(&f, "counter", &quota, 1, 1);
			CHECK_INT(op.results[0].remaining, 1000000 - 1 - i / 50);
		}
	}
	struct cache_memory_figures figures = ms_cache_memory_figures(f.cache->memory);
	CHECK(figures.bytes > BUDGET * 9 / 10);
	CHECK(figures.evictions > 190000);
	CHECK(ms_cache_test_get(&f, "key 199999").found);
	CHECK(!ms_cache_test_get(&f, "key 100").found);
	// Counters that nobody uses go like everything else.
	for (unsigned i = 0; i < 50000; i++) {
		snprintf(key, sizeof(key), "one-time %u", i);
		CHECK(ms_cache_test_take(&f, key, &quota, 1, 1).admitted);
		CHECK(ms_cache_memory_figures(f.cache->memory).bytes <= BUDGET);
	}
	CHECK_INT(set_bytes(&f, "too large", bytes, sizeof(bytes)).err, MS_ERR_LIMIT);
	CHECK_OK(set_bytes(&f, "large", bytes, 500000).err);
	ms_cache_test_end(&f);
}

TEST(memory_of_ended_things_is_given_back)
{
	struct fixture f;
	char key[32];
	const struct cache_quota quota = {.kind = QUOTA_WINDOW, .limit = 10, .period_ms = 20};
	ms_cache_test_begin(&f, false, 1, &(struct cache_options){.memory_bytes = BUDGET});
	size_t empty = ms_cache_memory_figures(f.cache->memory).bytes;
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(key, sizeof(key), "key %u", i);
		ms_cache_test_set(&f, key, "value", 10 + i % 100);
		CHECK(ms_cache_test_take(&f, key + 1, &quota, 1, 1).admitted);
	}
	CHECK_INT(ms_cache_memory_figures(f.cache->memory).items, 4000);
	for (unsigned i = 0; i < 600 && ms_cache_memory_figures(f.cache->memory).items > 0; i++)
		ms_cache_test_turn(&f, 100);
	CHECK_INT(ms_cache_memory_figures(f.cache->memory).items, 0);
	CHECK_INT(ms_cache_memory_figures(f.cache->memory).bytes, empty);
	CHECK_INT(ms_cache_memory_figures(f.cache->memory).evictions, 0);
	ms_cache_test_end(&f);
}

TEST(memory_value_outlives_its_replacement)
{
	struct fixture f;
	ms_cache_test_begin(&f, false, 2, NULL);
	struct cache_op op = {.verb = CACHE_GET, .key = MS_SLICE_LIT("a")},
			other = {.verb = CACHE_REMOVE, .key = MS_SLICE_LIT("a")};
	ms_cache_test_set(&f, "a", "the value", 60000);
	REQUIRE(ms_cache_run(f.cache, f.loop, &op) && op.found);
	REQUIRE(ms_cache_run(f.cache, ms_rt_loop(f.rt, 1), &other) && other.found);
	CHECK_SLICE(op.value, "the value");
	// Setting a key to what was just read of it.
	ms_cache_test_set(&f, "a", "again", 60000);
	REQUIRE(ms_cache_run(f.cache, f.loop, &op) && op.found);
	struct cache_op back = {.verb = CACHE_SET, .key = MS_SLICE_LIT("a"), .value = op.value, .ttl_ms = 60000};
	REQUIRE(ms_cache_run(f.cache, f.loop, &back));
	CHECK_SLICE(ms_cache_test_get(&f, "a").value, "again");
	ms_cache_test_end(&f);
}

static void in_short_memory(void)
{
	struct rt *rt;
	struct cache *cache;
	const struct cache_quota quota = {.kind = QUOTA_YEAR, .limit = 10};
	if (ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &rt) != MS_OK)
		return;
	if (ms_cache_new(&(struct cache_options){.rt = rt}, NULL, &cache) == MS_OK) {
		struct loop *loop = ms_rt_loop(rt, 0);
		struct cache_op set = {.verb = CACHE_SET,
				       .key = MS_SLICE_LIT("a"),
				       .value = MS_SLICE_LIT("x"),
				       .ttl_ms = 1000},
				take = {.verb = CACHE_TAKE,
					.key = MS_SLICE_LIT("b"),
					.quotas = &quota,
					.quota_count = 1,
					.cost = 1},
				get = {.verb = CACHE_GET, .key = MS_SLICE_LIT("a")};
		CHECK(ms_cache_run(cache, loop, &set) && (set.err == MS_OK || set.err == MS_ERR_NO_MEMORY));
		CHECK(ms_cache_run(cache, loop, &take) && (take.err == MS_OK || take.err == MS_ERR_NO_MEMORY));
		CHECK(ms_cache_run(cache, loop, &get) && get.err == MS_OK && get.found == (set.err == MS_OK));
		ms_cache_stop(cache);
		ms_rt_free(rt);
		ms_cache_free(cache);
		return;
	}
	ms_rt_free(rt);
}

TEST(memory_that_is_short_is_an_error)
{
	ms_test_torture(in_short_memory);
}
