// SPDX-License-Identifier: Apache-2.0
// Deadlines of any length for many objects of one loop: a wheel of slots, one timer. Moving a deadline further away, what every byte of
// traffic does, costs nothing but the store of the new time: the entry stays in its slot, and is put further when that comes up.
//
// Threads: everything belongs to one loop.
#ifndef MS_NET_DEADLINES_H
#define MS_NET_DEADLINES_H

#include "base/base.h"
#include "rt/rt.h"

#define MS_DEADLINE_SLOTS 256

// Zero-initialise before the first use.
struct deadline {
	struct list_node node;
	int64_t due_ns;  // 0: none
	int64_t slot_ns; // when its slot comes up, not after due_ns; 0: in no slot
};

// Called once for an entry whose time has come; it has no deadline any more.
typedef void deadline_fn(struct deadline *entry, void *arg);

struct deadlines {
	struct list slots[MS_DEADLINE_SLOTS];
	uint64_t used[MS_DEADLINE_SLOTS / 64]; // a bit for each slot that may have entries
	struct loop *loop;
	struct timer *timer;
	int64_t tick;       // all slots up to this one were swept
	int64_t armed_tick; // when the timer fires; INT64_MAX: it does not run
	deadline_fn *expire;
	void *arg;
};

MS_MUST_USE enum ms_err ms_deadlines_init(struct deadlines *d, struct loop *loop, deadline_fn *expire, void *arg);
void ms_deadlines_fini(struct deadlines *d); // no entry is in a slot
// In `ms` milliseconds from now, late by up to some 30; 0: never. Replaces what was set before.
void ms_deadline_set(struct deadlines *d, struct deadline *entry, unsigned ms);
// Ends it and takes the entry out, so that its memory may go.
void ms_deadline_remove(struct deadlines *d, struct deadline *entry);

#endif
