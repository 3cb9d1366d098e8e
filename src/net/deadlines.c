// SPDX-License-Identifier: Apache-2.0
#include "net/deadlines.h"

#define NS_PER_MS INT64_C(1000000)
#define TICK_NS (INT64_C(16) * NS_PER_MS)

static struct list *slot_of(struct deadlines *d, int64_t tick)
{
	return &d->slots[tick % MS_DEADLINE_SLOTS];
}

static void arm(struct deadlines *d, int64_t tick)
{
	if (tick >= d->armed_tick)
		return;
	d->armed_tick = tick;
	int64_t wait_ns = tick * TICK_NS - ms_loop_now_ns(d->loop);
	ms_timer_start(d->timer, wait_ns > 0 ? (uint64_t)(wait_ns / NS_PER_MS) + 1 : 1, 0);
}

// Into the slot of its time, or the last of this turn of the wheel when that is further away.
static void place(struct deadlines *d, struct deadline *entry)
{
	int64_t tick = entry->due_ns / TICK_NS + 1; // not before its time
	tick = MS_MAX(tick, d->tick + 1);
	tick = MS_MIN(tick, d->tick + MS_DEADLINE_SLOTS - 1);
	entry->slot_ns = tick * TICK_NS;
	ms_list_append(slot_of(d, tick), &entry->node);
	unsigned slot = (unsigned)(tick % MS_DEADLINE_SLOTS);
	d->used[slot / 64] |= UINT64_C(1) << slot % 64;
	arm(d, tick);
}

// Takes the entry out of its slot.
static void unplace(struct deadlines *d, struct deadline *entry)
{
	if (entry->slot_ns != 0)
		ms_list_remove(slot_of(d, entry->slot_ns / TICK_NS), &entry->node);
	entry->slot_ns = 0;
}

static void sweep_slot(struct deadlines *d, int64_t tick, int64_t now)
{
	struct list *slot = slot_of(d, tick);
	unsigned index = (unsigned)(tick % MS_DEADLINE_SLOTS);
	d->used[index / 64] &= ~(UINT64_C(1) << index % 64);
	// What is put back may come into this slot again, for the next turn of the wheel.
	for (size_t n = slot->count; n > 0 && !ms_list_empty(slot); n--) {
		struct deadline *entry = MS_CONTAINER_OF(ms_list_first(slot), struct deadline, node);
		unplace(d, entry);
		if (entry->due_ns > now) {
			place(d, entry);
		} else if (entry->due_ns != 0) {
			entry->due_ns = 0;
			d->expire(entry, d->arg);
		}
	}
}

static bool slot_used(const struct deadlines *d, int64_t tick)
{
	unsigned slot = (unsigned)(tick % MS_DEADLINE_SLOTS);
	return (d->used[slot / 64] >> slot % 64 & 1) != 0;
}

static void sweep(struct timer *timer, void *arg)
{
	(void)timer;
	struct deadlines *d = arg;
	int64_t now = ms_loop_now_ns(d->loop), until = now / TICK_NS, from = d->tick + 1;
	from = MS_MAX(from, until - MS_DEADLINE_SLOTS + 1);
	d->tick = MS_MAX(d->tick, until);
	d->armed_tick = INT64_MAX;
	for (int64_t tick = from; tick <= until; tick++) {
		if (slot_used(d, tick))
			sweep_slot(d, tick, now);
	}
	for (int64_t tick = d->tick + 1; tick < d->tick + MS_DEADLINE_SLOTS; tick++) {
		if (slot_used(d, tick)) {
			arm(d, tick);
			break;
		}
	}
}

enum ms_err ms_deadlines_init(struct deadlines *d, struct loop *loop, deadline_fn *expire, void *arg)
{
	*d = (struct deadlines){.loop = loop, .armed_tick = INT64_MAX, .expire = expire, .arg = arg};
	for (size_t i = 0; i < MS_DEADLINE_SLOTS; i++)
		ms_list_init(&d->slots[i]);
	d->tick = ms_loop_now_ns(loop) / TICK_NS;
	return ms_timer_new(loop, sweep, d, &d->timer);
}

void ms_deadlines_fini(struct deadlines *d)
{
	for (size_t i = 0; i < MS_DEADLINE_SLOTS; i++)
		MS_ASSERT(ms_list_empty(&d->slots[i]));
	ms_timer_free(d->timer);
	d->timer = NULL;
}

void ms_deadline_set(struct deadlines *d, struct deadline *entry, unsigned ms)
{
	if (ms == 0) {
		entry->due_ns = 0; // the slot comes up and drops it
		return;
	}
	int64_t now = ms_loop_now_ns(d->loop);
	entry->due_ns = now + (int64_t)ms * NS_PER_MS;
	if (entry->slot_ns != 0 && entry->slot_ns <= entry->due_ns + TICK_NS)
		return;
	unplace(d, entry);
	// After a pause without entries the wheel stands still.
	if (d->armed_tick == INT64_MAX)
		d->tick = MS_MAX(d->tick, now / TICK_NS);
	place(d, entry);
}

void ms_deadline_remove(struct deadlines *d, struct deadline *entry)
{
	unplace(d, entry);
	entry->due_ns = 0;
}
