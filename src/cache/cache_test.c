// SPDX-License-Identifier: Apache-2.0
// What holds on every driver.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cache/cache_test_kit.h"

CACHE_TEST(values_come_back_until_they_end)
{
	CHECK(!ms_cache_test_get(f, "a").found);
	ms_cache_test_set(f, "a", "one", 60000);
	struct cache_op op = ms_cache_test_get(f, "a");
	CHECK(op.found);
	CHECK_SLICE(op.value, "one");
	ms_cache_test_set(f, "a", "two", 60000);
	CHECK_SLICE(ms_cache_test_get(f, "a").value, "two");
	ms_cache_test_set(f, "a", "three", 250);
	CHECK_SLICE(ms_cache_test_get(f, "a").value, "three");
	ms_cache_test_turn(f, 300);
	op = ms_cache_test_get(f, "a");
	CHECK_OK(op.err);
	CHECK(!op.found);
	ms_cache_test_set(f, "a", "", UINT64_MAX);
	op = ms_cache_test_get(f, "a");
	CHECK(op.found && op.value.n == 0);
}

CACHE_TEST(keys_and_values_are_bytes)
{
	const struct slice keys[] = {MS_SLICE_LIT("a\0b"), MS_SLICE_LIT("a\0c"), MS_SLICE_LIT("a"), MS_SLICE_LIT(""),
				     MS_SLICE_LIT("\r\n$5\r\n*?[x]{y}\\\xff")};
	char large[MS_CACHE_KEY_MAX + 1];
	struct cache_op op;
	for (size_t i = 0; i < MS_ARRAY_LEN(keys); i++) {
		op = (struct cache_op){.verb = CACHE_SET, .key = keys[i], .value = keys[i], .ttl_ms = 60000};
		ms_cache_test_do(f, &op);
		CHECK_OK(op.err);
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(keys); i++) {
		op = (struct cache_op){.verb = CACHE_GET, .key = keys[i]};
		ms_cache_test_do(f, &op);
		CHECK(op.found && ms_slice_eq(op.value, keys[i]));
	}
	memset(large, 'k', sizeof(large));
	op = (struct cache_op){.verb = CACHE_GET, .key = ms_slice(large, sizeof(large))};
	ms_cache_test_do(f, &op);
	CHECK_INT(op.err, MS_ERR_LIMIT);
	op.key.n--;
	ms_cache_test_do(f, &op);
	CHECK_OK(op.err);
}

CACHE_TEST(large_values_come_back_whole)
{
	static const size_t sizes[] = {1, 65535, 65536, 1000000, MS_CACHE_VALUE_MAX, MS_CACHE_VALUE_MAX + 1};
	char *bytes = malloc(MS_CACHE_VALUE_MAX + 1);
	REQUIRE(bytes != NULL);
	for (size_t i = 0; i <= MS_CACHE_VALUE_MAX; i++)
		bytes[i] = (char)(i * 31 >> 3);
	for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++) {
		struct cache_op op = {.verb = CACHE_SET,
				      .key = MS_SLICE_LIT("large"),
				      .value = ms_slice(bytes, sizes[i]),
				      .ttl_ms = 60000};
		ms_cache_test_do(f, &op);
		CHECK_INT(op.err, sizes[i] > MS_CACHE_VALUE_MAX ? MS_ERR_LIMIT : MS_OK);
		op = ms_cache_test_get(f, "large");
		CHECK(op.found && ms_slice_eq(op.value, ms_slice(bytes, MS_MIN(sizes[i], MS_CACHE_VALUE_MAX))));
	}
	free(bytes);
}

CACHE_TEST(add_does_not_replace)
{
	struct cache_op op = {
		.verb = CACHE_ADD, .key = MS_SLICE_LIT("a"), .value = MS_SLICE_LIT("first"), .ttl_ms = 250};
	ms_cache_test_do(f, &op);
	CHECK(op.err == MS_OK && !op.found);
	op.value = MS_SLICE_LIT("second");
	op.ttl_ms = 60000;
	ms_cache_test_do(f, &op);
	CHECK(op.err == MS_OK && op.found);
	CHECK_SLICE(op.value, "first");
	ms_cache_test_turn(f, 300);
	op.value = MS_SLICE_LIT("third");
	ms_cache_test_do(f, &op);
	CHECK(op.err == MS_OK && !op.found);
	CHECK_SLICE(ms_cache_test_get(f, "a").value, "third");
}

CACHE_TEST(what_is_removed_is_gone)
{
	struct cache_op op = {.verb = CACHE_REMOVE, .key = MS_SLICE_LIT("a")};
	ms_cache_test_do(f, &op);
	CHECK(op.err == MS_OK && !op.found);
	ms_cache_test_set(f, "a", "x", 60000);
	ms_cache_test_do(f, &op);
	CHECK(op.err == MS_OK && op.found);
	CHECK(!ms_cache_test_get(f, "a").found);
}

CACHE_TEST(clear_takes_what_begins_so)
{
	char key[32];
	struct cache_op op = {.verb = CACHE_CLEAR, .key = MS_SLICE_LIT("p*[a]:")};
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "%s%u", i % 2 == 0 ? "p*[a]:" : "pxa:", i);
		ms_cache_test_set(f, key, "v", 60000);
	}
	ms_cache_test_do(f, &op);
	CHECK_OK(op.err);
	unsigned left = 0;
	for (unsigned i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "%s%u", i % 2 == 0 ? "p*[a]:" : "pxa:", i);
		bool found = ms_cache_test_get(f, key).found;
		CHECK(found == (i % 2 == 1));
		left += found;
	}
	CHECK_INT(left, 1500);
	op.key = MS_SLICE_EMPTY;
	ms_cache_test_do(f, &op);
	CHECK(!ms_cache_test_get(f, "pxa:1").found);
}

CACHE_TEST(values_and_counters_are_not_mixed)
{
	const struct cache_quota quota = {.kind = QUOTA_WINDOW, .limit = 5, .period_ms = 60000};
	struct cache_op op;
	ms_cache_test_set(f, "value", "x", 60000);
	CHECK_INT(ms_cache_test_take(f, "value", &quota, 1, 1).err, MS_ERR_CACHE);
	CHECK_OK(ms_cache_test_take(f, "counter", &quota, 1, 1).err);
	CHECK_INT(ms_cache_test_get(f, "counter").err, MS_ERR_CACHE);
	op = (struct cache_op){
		.verb = CACHE_ADD, .key = MS_SLICE_LIT("counter"), .value = MS_SLICE_LIT("x"), .ttl_ms = 1000};
	ms_cache_test_do(f, &op);
	CHECK_INT(op.err, MS_ERR_CACHE);
	CHECK_INT(ms_cache_test_take(f, "counter", &quota, 1, 1).results[0].remaining, 3);
	ms_cache_test_set(f, "counter", "y", 60000); // SET replaces whatever is there
	CHECK_SLICE(ms_cache_test_get(f, "counter").value, "y");
}

CACHE_TEST(windows_of_the_real_clock_end)
{
	const struct cache_quota quota = {.kind = QUOTA_WINDOW, .limit = 2, .period_ms = 200};
	const struct cache_quota bucket = {.kind = QUOTA_GCRA, .limit = 10, .period_ms = 1000, .burst = 1};
	struct cache_op op;
	unsigned passed = 0;
	do {
		op = ms_cache_test_take(f, "w", &quota, 1, 1);
		passed += op.admitted;
	} while (op.admitted && passed < 10);
	CHECK(passed >= 2 && passed <= 4);
	CHECK(op.results[0].retry_ms > 0 && op.results[0].retry_ms <= 200);
	ms_cache_test_turn(f, (unsigned)op.results[0].retry_ms + 2);
	CHECK(ms_cache_test_take(f, "w", &quota, 1, 1).admitted);
	CHECK(ms_cache_test_take(f, "b", &bucket, 1, 1).admitted);
	op = ms_cache_test_take(f, "b", &bucket, 1, 1);
	CHECK(!op.admitted);
	ms_cache_test_turn(f, (unsigned)op.results[0].retry_ms + 2);
	CHECK(ms_cache_test_take(f, "b", &bucket, 1, 1).admitted);
}

CACHE_TEST(nothing_runs_after_the_stop)
{
	ms_cache_stop(f->cache);
	ms_cache_stop(f->cache);
	CHECK_INT(ms_cache_test_get(f, "a").err, MS_ERR_CANCELLED);
}

CACHE_TEST(the_stop_ends_what_is_under_way)
{
	struct cache_op op = {.verb = CACHE_CLEAR, .key = MS_SLICE_LIT("a")};
	ms_cache_test_start(f, &op);
	CHECK(op.arg == NULL);
	ms_cache_stop(f->cache);
	ms_rt_deliver(f->rt);
	CHECK(op.arg != NULL);
	CHECK_INT(op.err, MS_ERR_CANCELLED);
}

CACHE_TEST(operations_are_counted)
{
	struct cache_options options = {.url = f->url, .rt = f->rt};
	struct cache *cache = f->cache;
	struct buf page;
	ms_buf_init(&page, 1 << 20);
	REQUIRE(ms_metrics_new(1, &options.metrics) == MS_OK);
	REQUIRE(ms_cache_new(&options, NULL, &f->cache) == MS_OK);
	const struct cache_quota quota = {.kind = QUOTA_YEAR, .limit = 2};
	for (unsigned i = 0; i < 5; i++)
		(void)ms_cache_test_take(f, "k", &quota, 1, 1);
	ms_cache_test_set(f, "a", "x", 60000);
	CHECK(ms_cache_test_get(f, "a").found && !ms_cache_test_get(f, "b").found);
	CHECK_INT(ms_cache_test_get(f, "k").err, MS_ERR_CACHE);
	ms_metrics_write(options.metrics, METRICS_PROMETHEUS_TEXT, &page);
	ms_buf_append_char(&page, '\0');
	CHECK_HAS(page.p, "cache_operations_total{verb=\"take\",outcome=\"ok\"} 2\n");
	CHECK_HAS(page.p, "cache_operations_total{verb=\"take\",outcome=\"refused\"} 3\n");
	CHECK_HAS(page.p, "cache_operations_total{verb=\"get\",outcome=\"ok\"} 1\n");
	CHECK_HAS(page.p, "cache_operations_total{verb=\"get\",outcome=\"miss\"} 1\n");
	CHECK_HAS(page.p, "cache_operations_total{verb=\"get\",outcome=\"error\"} 1\n");
	CHECK_HAS(page.p, "cache_up 1\n");
	CHECK_HAS(page.p,
		  f->redis ? "cache_operation_duration_seconds_count{verb=\"take\"} 5\n" : "cache_memory_items 2\n");
	ms_buf_fini(&page);
	ms_cache_stop(cache);
	ms_cache_stop(f->cache);
	ms_rt_free(f->rt);
	ms_cache_free(f->cache);
	ms_metrics_free(options.metrics);
	*f = (struct fixture){.cache = cache}; // the rest is taken down by the caller
}

// --- Exact over threads ------------------------------------------------------------------------------

#define LOOPS 4
#define LIMIT 1000
#define PER_LOOP 1500

struct crowd;
struct taker {
	struct mail mail;
	struct crowd *crowd;
	struct loop *loop;
	struct cache_op ops[PER_LOOP];
	unsigned left, admitted, failed;
};
struct crowd {
	struct cache *caches[2]; // loops take turns: two processes that share a server
	struct rt *rt;
	const struct cache_quota *quotas;
	size_t quota_count;
	atomic_uint left;
	struct taker takers[LOOPS];
};

static void taken(struct cache_op *op)
{
	struct taker *t = op->arg;
	t->admitted += op->err == MS_OK && op->admitted;
	t->failed += op->err != MS_OK;
	if (--t->left == 0 && atomic_fetch_sub(&t->crowd->left, 1) == 1)
		ms_rt_stop(t->crowd->rt);
}

static void take_all(struct mail *mail)
{
	struct taker *t = MS_CONTAINER_OF(mail, struct taker, mail);
	t->left = PER_LOOP;
	for (unsigned i = 0; i < PER_LOOP; i++) {
		struct cache_op *op = &t->ops[i];
		*op = (struct cache_op){.verb = CACHE_TAKE,
					.key = MS_SLICE_LIT("crowd"),
					.quotas = t->crowd->quotas,
					.quota_count = t->crowd->quota_count,
					.cost = 1,
					.done = taken,
					.arg = t};
		if (ms_cache_run(t->crowd->caches[ms_loop_index(t->loop) % 2], t->loop, op))
			taken(op);
	}
}

static void let_crowd_take(bool redis, const struct cache_quota *quotas, size_t count)
{
	struct fixture f;
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	REQUIRE(crowd != NULL);
	ms_cache_test_begin(&f, redis, LOOPS, &(struct cache_options){.timeout_ms = 60000});
	*crowd = (struct crowd){.caches = {f.cache, f.cache}, .rt = f.rt, .quotas = quotas, .quota_count = count};
	const struct cache_options second = {.url = f.url, .rt = f.rt, .timeout_ms = 60000};
	if (redis)
		CHECK_OK(ms_cache_new(&second, NULL, &crowd->caches[1]));
	else
		atomic_store(&f.cache->test_now_ms, (int64_t)1795000000000);
	atomic_store(&crowd->left, LOOPS);
	for (unsigned i = 0; i < LOOPS; i++) {
		crowd->takers[i].crowd = crowd;
		crowd->takers[i].loop = ms_rt_loop(f.rt, i);
		ms_loop_post(crowd->takers[i].loop, &crowd->takers[i].mail, take_all);
	}
	CHECK_OK(ms_rt_run(f.rt, NULL));
	unsigned admitted = 0, failed = 0;
	for (unsigned i = 0; i < LOOPS; i++) {
		admitted += crowd->takers[i].admitted;
		failed += crowd->takers[i].failed;
	}
	CHECK_INT(failed, 0);
	CHECK_INT(admitted, LIMIT);
	if (redis)
		ms_cache_stop(crowd->caches[1]);
	ms_cache_test_end(&f);
	if (redis)
		ms_cache_free(crowd->caches[1]);
	free(crowd);
}

static const struct cache_quota crowd_quotas[] = {
	{.kind = QUOTA_YEAR, .limit = LIMIT},
	{.kind = QUOTA_GCRA, .limit = 1, .period_ms = 86400000, .burst = LIMIT + 5},
	{.kind = QUOTA_MONTH, .limit = LIMIT + 1},
};

TEST(many_threads_take_exactly_the_limit_memory)
{
	let_crowd_take(false, crowd_quotas, 1);
	let_crowd_take(false, crowd_quotas, MS_ARRAY_LEN(crowd_quotas));
}

TEST(many_threads_take_exactly_the_limit_redis)
{
	let_crowd_take(true, crowd_quotas, 1);
	let_crowd_take(true, crowd_quotas, MS_ARRAY_LEN(crowd_quotas));
}
