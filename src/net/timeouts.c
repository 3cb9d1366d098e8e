// SPDX-License-Identifier: Apache-2.0
#include "net/timeouts.h"

#define NS_PER_MS INT64_C(1000000)
// Expiries this close together share one wake-up.
#define SLACK_NS (20 * NS_PER_MS)

static void arm(struct timeouts *t, int64_t at_ns)
{
	if (at_ns >= t->armed_ns)
		return;
	int64_t wait_ns = at_ns - ms_loop_now_ns(t->loop);
	t->armed_ns = at_ns;
	ms_timer_start(t->timer, wait_ns > 0 ? (uint64_t)(wait_ns / NS_PER_MS) + 1 : 1, 0);
}

static int64_t expiry(const struct timeouts *t, const struct timeout *entry)
{
	return entry->since_ns + t->limit_ns[entry->class];
}

static void sweep(struct timer *timer, void *arg)
{
	(void)timer;
	struct timeouts *t = arg;
	int64_t now = ms_loop_now_ns(t->loop);
	int64_t next = INT64_MAX;
	t->armed_ns = INT64_MAX;
	for (enum timeout_class class = TIMEOUT_HEADER; class < TIMEOUT_CLASSES; class ++) {
		// Entries that the callback starts again have the present time and end the loop.
		for (struct list_node *node; (node = ms_list_first(&t->lists[class])) != NULL;) {
			struct timeout *entry = MS_CONTAINER_OF(node, struct timeout, node);
			if (expiry(t, entry) > now) {
				next = MS_MIN(next, expiry(t, entry));
				break;
			}
			ms_timeout_start(t, entry, TIMEOUT_NONE);
			t->expire(entry, class, t->arg);
		}
	}
	if (next != INT64_MAX)
		arm(t, MS_MAX(next, now + SLACK_NS));
}

enum ms_err ms_timeouts_init(struct timeouts *t, struct loop *loop, timeout_fn *expire, void *arg)
{
	*t = (struct timeouts){.loop = loop, .armed_ns = INT64_MAX, .expire = expire, .arg = arg};
	for (enum timeout_class class = TIMEOUT_NONE; class < TIMEOUT_CLASSES; class ++) {
		ms_list_init(&t->lists[class]);
		t->limit_ns[class] = 1000 * NS_PER_MS;
	}
	return ms_timer_new(loop, sweep, t, &t->timer);
}

void ms_timeouts_fini(struct timeouts *t)
{
	for (enum timeout_class class = TIMEOUT_NONE; class < TIMEOUT_CLASSES; class ++)
		MS_ASSERT(ms_list_empty(&t->lists[class]));
	ms_timer_free(t->timer);
	t->timer = NULL;
}

void ms_timeouts_set_limit(struct timeouts *t, enum timeout_class class, unsigned ms)
{
	MS_ASSERT(class > TIMEOUT_NONE && class < TIMEOUT_CLASSES && ms > 0);
	t->limit_ns[class] = (int64_t)ms * NS_PER_MS;
	struct list_node *first = ms_list_first(&t->lists[class]);
	if (first != NULL)
		arm(t, expiry(t, MS_CONTAINER_OF(first, struct timeout, node)));
}

void ms_timeout_start(struct timeouts *t, struct timeout *entry, enum timeout_class class)
{
	if (entry->class != TIMEOUT_NONE)
		ms_list_remove(&t->lists[entry->class], &entry->node);
	entry->class = class;
	if (class == TIMEOUT_NONE)
		return;
	entry->since_ns = ms_loop_now_ns(t->loop);
	ms_list_append(&t->lists[class], &entry->node);
	arm(t, expiry(t, entry));
}
