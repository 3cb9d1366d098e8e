// SPDX-License-Identifier: Apache-2.0
// What operations on the cache cost. In memory: nanoseconds each, one thread, then all cores on one key. On Redis (an address as argument):
// operations per second of one loop, so many under way at a time.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "cache/cache.h"

#define ROUNDS 5
#define ROUND_NS ((int64_t)100000000)
#define KEYS 100000
#define DEPTH_MAX 256
#define REDIS_NS ((int64_t)2000000000)

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench: %s failed\n", what);
	exit(1);
}

static const struct cache_quota window = {.kind = QUOTA_WINDOW, .limit = (uint64_t)1 << 40, .period_ms = 60000},
				month = {.kind = QUOTA_MONTH, .limit = (uint64_t)1 << 40},
				bucket = {.kind = QUOTA_GCRA,
					  .limit = (uint64_t)1 << 36,
					  .period_ms = 1000,
					  .burst = (uint64_t)1 << 36};
static char keys[KEYS][40];

// --- Memory ------------------------------------------------------------------------------------------

static void memory_row(struct cache *cache, struct loop *loop, const char *name, const struct cache_op *what,
		       size_t key_count)
{
	double best = 0;
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t calls = 0, at = 0;
		int64_t start = ms_clock_mono_ns(), spent;
		do {
			for (unsigned i = 0; i < 1000; i++, calls++) {
				struct cache_op op = *what;
				op.key = ms_slice_cstr(keys[at]);
				at = at + 1 < key_count ? at + 1 : 0;
				need(ms_cache_run(cache, loop, &op) && op.err == MS_OK, name);
				need(op.verb != CACHE_TAKE || op.admitted, name);
			}
			spent = ms_clock_mono_ns() - start;
		} while (spent < ROUND_NS);
		double each = (double)spent / (double)calls;
		best = best == 0 || each < best ? each : best;
	}
	printf("memory  %-44s %8.0f ns\n", name, best);
}

static struct cache_op take_of(const struct cache_quota *quotas, size_t count)
{
	return (struct cache_op){.verb = CACHE_TAKE, .quotas = quotas, .quota_count = count, .cost = 1};
}

static void memory_rows(void)
{
	static char value[1000];
	const struct cache_quota three[] = {window, month, bucket};
	const struct cache_op take = take_of(&window, 1), take_gcra = take_of(&bucket, 1),
			      take_month = take_of(&month, 1), take_three = take_of(three, 3),
			      get = {.verb = CACHE_GET},
			      set = {.verb = CACHE_SET, .value = {value, sizeof(value)}, .ttl_ms = 600000};
	struct rt *rt;
	struct cache *cache;
	need(ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &rt) == MS_OK, "loops");
	need(ms_cache_new(&(struct cache_options){.rt = rt, .memory_bytes = (size_t)256 << 20}, NULL, &cache) == MS_OK,
	     "cache");
	struct loop *loop = ms_rt_loop(rt, 0);
	memory_row(cache, loop, "TAKE, window, one key", &take, 1);
	memory_row(cache, loop, "TAKE, window, 100,000 keys", &take, KEYS);
	memory_row(cache, loop, "TAKE, GCRA, one key", &take_gcra, 1);
	memory_row(cache, loop, "TAKE, month, one key", &take_month, 1);
	memory_row(cache, loop, "TAKE, window + month + GCRA, one key", &take_three, 1);
	for (unsigned i = 0; i < KEYS; i++)
		keys[i][0] = 'v';
	memory_row(cache, loop, "SET of 1,000 bytes, 100,000 keys", &set, KEYS);
	memory_row(cache, loop, "GET of 1,000 bytes, 100,000 keys", &get, KEYS);
	ms_cache_stop(cache);
	ms_rt_free(rt);
	ms_cache_free(cache);
}

// --- All cores on one key ----------------------------------------------------------------------------

#define CROWD_CALLS 2000000
struct runner {
	struct mail mail;
	struct cache *cache;
	struct rt *rt;
	struct loop *loop;
	_Atomic unsigned *left;
};

static void run_crowd(struct mail *mail)
{
	struct runner *r = MS_CONTAINER_OF(mail, struct runner, mail);
	for (unsigned i = 0; i < CROWD_CALLS; i++) {
		struct cache_op op = take_of(&window, 1);
		op.key = ms_slice_cstr(keys[0]);
		need(ms_cache_run(r->cache, r->loop, &op) && op.admitted, "TAKE");
	}
	if (--*r->left == 0)
		ms_rt_stop(r->rt);
}

static void crowd_row(void)
{
	unsigned count = ms_process_cores();
	_Atomic unsigned left = count;
	struct rt *rt;
	struct cache *cache;
	struct runner *runners = calloc(count, sizeof(*runners));
	need(runners != NULL && ms_rt_new(&(struct rt_options){.loops = count}, NULL, &rt) == MS_OK, "loops");
	need(ms_cache_new(&(struct cache_options){.rt = rt}, NULL, &cache) == MS_OK, "cache");
	for (unsigned i = 0; i < count; i++) {
		runners[i] = (struct runner){.cache = cache, .rt = rt, .loop = ms_rt_loop(rt, i), .left = &left};
		ms_loop_post(runners[i].loop, &runners[i].mail, run_crowd);
	}
	int64_t start = ms_clock_mono_ns();
	need(ms_rt_run(rt, NULL) == MS_OK, "run");
	char name[64];
	snprintf(name, sizeof(name), "TAKE, window, %u threads on one key", count);
	printf("memory  %-44s %8.0f ns\n", name, (double)(ms_clock_mono_ns() - start) / CROWD_CALLS);
	ms_cache_stop(cache);
	ms_rt_free(rt);
	ms_cache_free(cache);
	free(runners);
}

// --- Redis -------------------------------------------------------------------------------------------

struct stream {
	struct cache *cache;
	struct loop *loop;
	struct cache_op what;
	struct cache_op ops[DEPTH_MAX];
	size_t done, at;
	unsigned under_way;
	bool over;
};

static void send_next(struct stream *s, struct cache_op *op);

static void on_done(struct cache_op *op)
{
	struct stream *s = op->arg;
	need(op->err == MS_OK, "an operation on Redis");
	s->done++;
	s->under_way--;
	if (!s->over)
		send_next(s, op);
}

static void send_next(struct stream *s, struct cache_op *op)
{
	*op = s->what;
	op->key = ms_slice_cstr(keys[s->at++ % KEYS]);
	op->done = on_done;
	op->arg = s;
	s->under_way++;
	need(!ms_cache_run(s->cache, s->loop, op), "Redis");
}

static void redis_row(const char *url, const char *name, const struct cache_op *what, unsigned depth)
{
	static struct stream s;
	struct rt *rt;
	need(ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &rt) == MS_OK, "loops");
	s = (struct stream){.what = *what, .loop = ms_rt_loop(rt, 0)};
	need(ms_cache_new(&(struct cache_options){.rt = rt, .url = url}, NULL, &s.cache) == MS_OK, "cache");
	for (unsigned i = 0; i < depth; i++)
		send_next(&s, &s.ops[i]);
	while (s.done < 1000)
		uv_run(ms_loop_uv(s.loop), UV_RUN_ONCE);
	size_t before = s.done;
	int64_t start = ms_clock_mono_ns(), spent;
	while ((spent = ms_clock_mono_ns() - start) < REDIS_NS)
		uv_run(ms_loop_uv(s.loop), UV_RUN_ONCE);
	printf("redis   %-37s %3u under way: %8.0f a second\n", name, depth,
	       (double)(s.done - before) * 1e9 / (double)spent);
	s.over = true;
	while (s.under_way > 0)
		uv_run(ms_loop_uv(s.loop), UV_RUN_ONCE);
	ms_cache_stop(s.cache);
	ms_rt_free(rt);
	ms_cache_free(s.cache);
}

int main(int argc, char **argv)
{
	static char value[100];
	static const unsigned depths[] = {1, 64, 256};
	const struct cache_quota three[] = {window, month, bucket};
	const struct cache_op ops[] = {{.verb = CACHE_SET, .value = {value, sizeof(value)}, .ttl_ms = 600000},
				       {.verb = CACHE_GET},
				       take_of(&window, 1),
				       take_of(three, 3)};
	static const char *const names[] = {"SET of 100 bytes", "GET of 100 bytes", "TAKE, window",
					    "TAKE, window + month + GCRA"};
	for (unsigned i = 0; i < KEYS; i++)
		snprintf(keys[i], sizeof(keys[i]), "limit:consumer-%05u:route-7", i);
	memory_rows();
	crowd_row();
	for (size_t i = 0; argc > 1 && i < MS_ARRAY_LEN(ops); i++) {
		for (size_t d = 0; d < MS_ARRAY_LEN(depths); d++) {
			for (unsigned k = 0; k < KEYS; k++) // values are no counters
				keys[k][0] = ops[i].verb == CACHE_TAKE ? 'T' : 'v';
			redis_row(argv[1], names[i], &ops[i], depths[d]);
		}
	}
	return 0;
}
