// SPDX-License-Identifier: Apache-2.0
// Deadlines of connections. Every class has one constant limit, so each is a list in order of expiry: setting
// and clearing a deadline is a list operation, and one timer a loop serves all of them.
//
// Threads: everything belongs to one loop.
#ifndef MS_NET_TIMEOUTS_H
#define MS_NET_TIMEOUTS_H

#include "base/base.h"
#include "rt/rt.h"

enum timeout_class {
	TIMEOUT_NONE,
	TIMEOUT_HEADER,      // from the first byte of a request, or of a TLS handshake, to the end of the headers
	TIMEOUT_BODY,        // without a new byte of the body
	TIMEOUT_TUNNEL,      // without a byte either way
	TIMEOUT_IDLE,        // between requests
	TIMEOUT_WRITE,       // without progress of pending output
	TIMEOUT_STREAM_BODY, // likewise of one stream of HTTP/2
	TIMEOUT_STREAM_TUNNEL,
	TIMEOUT_STREAM_WRITE,
	TIMEOUT_STREAM_LINGER, // after its answer, waiting for the end of its request
	TIMEOUT_LINGER,        // after our last byte, waiting for the client to close
	TIMEOUT_CLASSES
};

struct timeout {
	struct list_node node;
	int64_t since_ns;
	enum timeout_class class;
};

// Called once for each expired entry, which is in no class any more.
typedef void timeout_fn(struct timeout *entry, enum timeout_class class, void *arg);

struct timeouts {
	struct list lists[TIMEOUT_CLASSES];
	int64_t limit_ns[TIMEOUT_CLASSES];
	struct loop *loop;
	struct timer *timer;
	int64_t armed_ns; // when the timer fires; INT64_MAX: it does not run
	timeout_fn *expire;
	void *arg;
};

MS_MUST_USE enum ms_err ms_timeouts_init(struct timeouts *t, struct loop *loop, timeout_fn *expire, void *arg);
// No entry is left.
void ms_timeouts_fini(struct timeouts *t);
void ms_timeouts_set_limit(struct timeouts *t, enum timeout_class class, unsigned ms);
// (Re)starts the entry's time in the class; TIMEOUT_NONE ends it. Zero-initialise an entry before its first use.
void ms_timeout_start(struct timeouts *t, struct timeout *entry, enum timeout_class class);
// The same, but leaves the time running when the entry is in that class already.
static inline void ms_timeout_enter(struct timeouts *t, struct timeout *entry, enum timeout_class class)
{
	if (entry->class != class)
		ms_timeout_start(t, entry, class);
}

#endif
