// SPDX-License-Identifier: Apache-2.0
// Private to tasks. How long will a task run? What was seen of its kind, kept as distributions: even good predictors are off by a factor of two for
// some tasks, so nothing is decided by a single number. No I/O, no clock; one owner at a time.
//
// A kind is (task name, size class, worker class). Little-seen kinds borrow from the same name on all workers, then from the nearest size class
// of the name, scaled by size, then from the whole queue.
#ifndef MS_TASKS_PREDICT_H
#define MS_TASKS_PREDICT_H

#include "base/base.h"
#include "tasks/policy.h"

// --- Distribution of run times -----------------------------------------------------------------------
// Four buckets an octave from 100 µs to 20 weeks; the newest few hundred runs count most.

#define RUNTIME_BUCKETS 144
#define RUNTIME_MIN_US 100
struct runtimes {
	double weights[RUNTIME_BUCKETS];
	double step;    // weight of the next run; 0: none yet
	uint64_t count; // runs ever
};
void ms_runtimes_add(struct runtimes *r, int64_t run_us);
// q in (0, 1); 0 when nothing was seen. Interpolated within the bucket on the logarithm.
int64_t ms_runtimes_quantile(const struct runtimes *r, double q);
int64_t ms_runtimes_mean(const struct runtimes *r);

// --- Predictor ---------------------------------------------------------------------------------------

struct predictor;
struct predictor_options {
	size_t kinds;     // kept at most, the least recently used go; 0: 4096
	unsigned trusted; // runs after which a kind speaks for itself; 0: 20
};
MS_MUST_USE enum ms_err ms_predictor_new(const struct predictor_options *options, struct errinfo *info,
					 struct predictor **ret_predictor);
void ms_predictor_free(struct predictor *predictor); // accepts NULL

struct task_kind {
	struct slice name;         // at most 128 bytes
	struct slice worker_class; // at most 64; empty: any
	uint64_t size;             // rows or bytes; 0: unknown
};
struct prediction {
	int64_t p50_us, p95_us, mean_us;
	uint64_t runs; // behind it; 0: nothing is known, a guess
};
void ms_predict(const struct predictor *predictor, const struct task_kind *kind, struct prediction *ret);
// A run that ended well. False when memory is out: nothing was learned.
bool ms_predictor_learn(struct predictor *predictor, const struct task_kind *kind, int64_t run_us);

unsigned ms_size_class(uint64_t size); // 0: unknown; else 1 + floor(log2(size))

// So that a restart forgets nothing: each kind as a row of the store. `cursor` starts at 0; false past the last.
struct kind_row {
	struct slice name, worker_class; // valid until the predictor learns
	unsigned size_class;
	const struct runtimes *runtimes;
};
bool ms_predictor_next(const struct predictor *predictor, size_t *cursor, struct kind_row *ret_row);
MS_MUST_USE bool ms_predictor_put(struct predictor *predictor, const struct kind_row *row); // false: no memory

// --- Order -------------------------------------------------------------------------------------------
// Each policy is one number that a task gets when it becomes ready: the lower goes first. It never changes while the task waits, so every driver
// can keep it in an index; ageing comes from the time that is in it.
//
//	fifo                 the time it became ready
//	priority             priority, then fifo (to the millisecond)
//	shortest expected    ready time + stretch × expected run time, at most `patience` later: a task is only ever overtaken by those that
//	                     become ready within its own stretched run time, and never by those more than `patience` after it
//	deadline             deadline - p95 of the run time: the latest safe start, at most 30 days after it became ready; without a deadline:
//	                     ready time + patience

struct order_options {
	enum task_policy policy;
	double stretch;      // 0: 30
	int64_t patience_us; // 0: 1 h
};
struct order_input {
	int64_t ready_us;
	int64_t priority;    // 0 to 2^21 - 1, for POLICY_PRIORITY; 0 goes first
	int64_t deadline_us; // 0: none
	struct prediction expected;
};
int64_t ms_task_order(const struct order_options *options, const struct order_input *input);

// --- When will it be its turn? -----------------------------------------------------------------------
// The expected work that waits, by order, in blocks of slots: mean and variance, so that p95 is more than a sum of p95s. What is in the same slot counts
// as earlier or later by halves. Memory is by the time that orders span, not by tasks: 4 KiB for each half hour in which there is one.

struct backlog {
	struct backlog_block **blocks; // by time
	size_t count, room;
	uint64_t tasks;
};
void ms_backlog_init(struct backlog *b);
void ms_backlog_fini(struct backlog *b);
// False when memory is out: nothing was added.
MS_MUST_USE bool ms_backlog_add(struct backlog *b, int64_t order, const struct prediction *p);
void ms_backlog_remove(struct backlog *b, int64_t order, const struct prediction *p); // what was added
struct turn {
	int64_t start_p50_us, start_p95_us, finish_p50_us, finish_p95_us; // from now
};
// What a task with that order and prediction may expect: `running_us` is the expected rest of what runs now, on `workers` (0: 1).
void ms_backlog_turn(const struct backlog *b, int64_t order, const struct prediction *p, double running_s,
		     unsigned workers, struct turn *ret);

#endif
