// SPDX-License-Identifier: Apache-2.0
// What the files of rt share. Nobody else includes this.
#ifndef MS_RT_INTERNAL_H
#define MS_RT_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "rt/rt.h"

#define MAX_LOOPS 256
#define MAX_SIGNALS 8

struct signal_watch {
	uv_signal_t uv;
	signal_fn *fn;
	void *arg;
};

struct loop {
	uv_loop_t uv;
	uv_async_t wake;
	uv_prepare_t turn;            // forgets the cached times before each wait
	_Atomic(struct mail *) inbox; // newest first; reversed by the reader
	struct rt *rt;
	unsigned index;
	bool running;
	pthread_t thread; // while running
	int64_t now_ns;   // of the present turn; 0 = not read yet
	int64_t wall_ns;  // likewise
	struct rand rand;
	struct signal_watch signals[MAX_SIGNALS];
	unsigned signal_count;
};

// The calling thread may use the loop: it runs it, or nobody does.
void ms_loop_assert_own(const struct loop *loop);

// Fills `info` for a failed system call: "cannot <what> '<last part of path>': <reason>". `path` may be NULL.
enum ms_err ms_fail_errno(struct errinfo *info, const char *what, const char *path, int error) MS_COLD;

// read(2) that waits where the descriptor does not block, and is not interrupted.
ssize_t ms_read_some(int fd, char *p, size_t n);

// A thread with all signals blocked but those of faults and profilers. 0 or an errno value.
MS_MUST_USE int ms_thread_create(pthread_t *ret_thread, void *(*fn)(void *), void *arg);

// Cores that the cgroup quota allows, rounded up, or UINT_MAX without one. `proc_cgroup` is the text of
// /proc/self/cgroup, `root` the folder where the cgroup file systems are mounted.
unsigned ms_cgroup_cores(struct slice proc_cgroup, const char *root);

#endif
