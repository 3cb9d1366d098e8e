// SPDX-License-Identifier: Apache-2.0
// Deadlines come neither early nor much too late, near and far, moved and removed.
#include "net/deadlines.h"

#include <stdatomic.h>
#include <stdio.h>

#include "tests/lib/test.h"

#define MANY 400
#define NS_PER_MS 1000000

struct item {
	struct deadline deadline;
	int64_t due_ns; // when it may come at the earliest; 0: never
	int64_t came_ns;
};
static struct item items[MANY];
struct bench {
	struct rt *rt;
	struct deadlines deadlines;
	unsigned left;
	struct mail mail;
};

static void on_expired(struct deadline *entry, void *arg)
{
	struct bench *b = arg;
	struct item *item = MS_CONTAINER_OF(entry, struct item, deadline);
	MS_ASSERT(item->came_ns == 0);
	item->came_ns = ms_clock_mono_ns();
	if (item->due_ns != 0 && --b->left == 0)
		ms_rt_stop(b->rt);
}

static void set(struct bench *b, struct item *item, unsigned ms)
{
	item->due_ns = ms_loop_now_ns(b->deadlines.loop) + (int64_t)ms * NS_PER_MS;
	ms_deadline_set(&b->deadlines, &item->deadline, ms);
}

static void plan(struct mail *mail)
{
	struct bench *b = MS_CONTAINER_OF(mail, struct bench, mail);
	for (unsigned i = 0; i < MANY; i++) {
		unsigned ms = 1 + (unsigned)ms_rand_below(ms_test_rand(), 400);
		set(b, &items[i], i % 2 == 0 ? ms : 100000);
		if (i % 4 == 1)
			set(b, &items[i], ms); // nearer
		if (i % 4 == 2)
			set(b, &items[i], ms + 100); // further
		if (i % 8 == 3)
			ms_deadline_set(&b->deadlines, &items[i].deadline, 0);
		if (i % 8 == 7)
			ms_deadline_remove(&b->deadlines, &items[i].deadline);
		if (i % 4 == 3)
			items[i].due_ns = 0;
		b->left += items[i].due_ns != 0;
	}
	set(b, &items[0], 4500); // beyond one turn of the wheel
}

TEST(deadlines_come_in_time)
{
	struct bench b = {0};
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &b.rt) == MS_OK);
	REQUIRE(ms_deadlines_init(&b.deadlines, ms_rt_loop(b.rt, 0), on_expired, &b) == MS_OK);
	memset(items, 0, sizeof(items));
	ms_loop_post(ms_rt_loop(b.rt, 0), &b.mail, plan);
	REQUIRE(ms_rt_run(b.rt, NULL) == MS_OK);
	for (unsigned i = 0; i < MANY; i++) {
		int64_t late = items[i].came_ns - items[i].due_ns;
		bool ok = items[i].due_ns == 0 ? items[i].came_ns == 0 : late >= 0 && late < 2000 * (int64_t)NS_PER_MS;
		if (!CHECK(ok))
			printf("# item %u is late by %lld ns\n", i, (long long)late);
		ms_deadline_remove(&b.deadlines, &items[i].deadline);
	}
	ms_deadlines_fini(&b.deadlines);
	ms_rt_free(b.rt);
}
