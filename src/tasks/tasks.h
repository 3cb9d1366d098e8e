// SPDX-License-Identifier: Apache-2.0
// Tasks: a durable queue. What was accepted is completed or visibly failed, at least once; nothing acknowledged is lost by kill -9 of anything. No HTTP here.
//
// States (names as users of BullMQ know them):
//
//	            add ──► waiting | prioritized | delayed | waiting-children
//	delayed ──► waiting | prioritized        when due
//	waiting, prioritized ──► active          taken by a worker, under a lease with a token
//	active ──► completed | failed            by the holder of the token alone
//	active ──► delayed | waiting             failed with attempts left (back-off)
//	active ──► waiting (at the head)         lease or heartbeat over: the worker is gone ("stalled"); too often: failed
//	active ──► waiting-children              it added children and waits for them
//	waiting-children ──► waiting             all it depends on has ended as it wants
//	any but completed ──► failed (cancelled) from anywhere; a worker learns it with its next heartbeat
//	failed ──► waiting                       retry by hand, or redrive of a queue's dead letters
//
// Threads: everything that reads or changes state runs inside a driver on its own threads or connections and comes home to the loop that
// asked. Nothing blocks a loop. Operations of many callers are gathered into one transaction (SQLite, PostgreSQL) or pipeline (Redis).
#ifndef MS_TASKS_TASKS_H
#define MS_TASKS_TASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "observe/observe.h"
#include "rt/rt.h"
#include "store/store.h"
#include "tasks/policy.h"

#define MS_TASK_ID_MAX 128                    // [A-Za-z0-9._-]; made by us (UUIDv7) when not given
#define MS_TASK_NAME_MAX 128                  // of tasks and queues: [A-Za-z0-9._-]
#define MS_TASK_PAYLOAD_MAX ((size_t)1 << 20) // JSON; a queue may have a smaller limit
#define MS_TASK_PRIORITY_MAX 2097151          // 0: none, before all others; then the lower number first
#define MS_TASK_LOG_MAX ((size_t)64 << 10)    // bytes of a line; 1000 newest lines a task

enum task_state {
	TASK_WAITING,
	TASK_PRIORITIZED,
	TASK_DELAYED,
	TASK_WAITING_CHILDREN,
	TASK_ACTIVE,
	TASK_COMPLETED,
	TASK_FAILED,
	TASK_STATES
};
const char *ms_task_state_name(enum task_state state); // "waiting", "prioritized", "delayed", "waiting-children", …

enum task_backoff { BACKOFF_FIXED, BACKOFF_EXPONENTIAL }; // 2^(attempts made - 1) × delay
enum task_dedup {
	DEDUP_NONE,
	DEDUP_SIMPLE /* until it ended */,
	DEDUP_THROTTLE /* for ttl */,
	DEDUP_DEBOUNCE /* ttl from the last; newest data */,
	DEDUP_KEEP_LAST /* one active, one next */
};
enum task_child_failure {
	CHILD_FAIL_PARENT,
	CHILD_CONTINUE_PARENT,
	CHILD_IGNORE,
	CHILD_REMOVE
}; // fpof, cpof, idof, rdof

struct task_retention { // of ended tasks; bounded by default
	int64_t count;  // newest that are kept; -1: no limit by count. Default 1000 completed, 5000 failed per queue
	int64_t age_s;  // 0: no limit by age. Default 7 days, 30 days
};
struct task_spec {
	struct slice id;      // or empty. Known already: nothing is added, the known one is answered ("duplicated")
	struct slice queue;   // "default" when empty
	struct slice name;    // what handles it: "predict.dataset", "http", or the team's own
	struct slice payload; // JSON
	struct slice tenant;  // fairness: tenants of a queue are served in turn; empty: one tenant of its own
	int64_t priority;
	bool lifo;
	int64_t delay_ms, due_us; // at most one
	unsigned attempts;        // in all; default 1, at most 1000
	enum task_backoff backoff;
	int64_t backoff_ms, backoff_max_ms;
	double jitter;      // 0 to 1: uniform in [(1 - jitter) × d, d]
	int64_t timeout_ms; // of one run; 0: the queue's
	int64_t deadline_us; // not started by then: failed; scheduling policy `deadline` and admission look at it. 0: none
	int64_t heartbeat_ms; // silence after which the worker is taken for gone; 0: the queue's (default 15 s)
	uint64_t size_hint;   // for the prediction of its run time: rows, bytes; 0: of the payload
	struct slice dedup_id;
	enum task_dedup dedup;
	int64_t dedup_ttl_ms;
	const struct slice
		*depends_on; // ids; a DAG: cycles are refused. Runs when all have ended as on_child_failure wants
	size_t depends_count;
	enum task_child_failure on_child_failure;
	struct slice parent; // a running or waiting task that then waits for this one
	struct task_retention keep_completed, keep_failed;
	bool reject_late; // with a deadline that cannot be met by prediction: MS_ERR_TASK_TOO_LATE instead of a warning
};
struct task_estimate { // by the scheduler that predicts; 0: not known
	int64_t start_p50_us, start_p95_us, finish_p50_us, finish_p95_us;
};
struct task_view { // as answered; slices live until the callback returns
	struct slice id, queue, name, payload, tenant, worker, progress, result, error, parent;
	enum task_state state;
	int64_t priority, created_us, due_us, started_us, finished_us, deadline_us;
	unsigned attempts_made, attempts, stalled;
	bool cancelled, dead; // dead: failed for good
	struct task_estimate estimate;
};

// --- Life --------------------------------------------------------------------------------------------

struct tasks;
struct tasks_options {
	struct store *
		store; // SQLite or PostgreSQL; always: schedules, statistics of run times. The queue too, unless redis_url is set
	const char *redis_url; // "": the store. Else Redis in BullMQ's layout, prefix `redis_prefix` ("bull")
	const char *redis_prefix;
	struct rt *rt; // NULL: the command line (the calls with _wait)
	struct log *log;
	struct metrics *metrics;
	const char *process; // names this process in leases
	unsigned
		gather_us; // how long operations of a turn may wait for company before their transaction; default 0: only while another one runs
};
extern const struct store_migrations ms_tasks_migrations;
MS_MUST_USE enum ms_err ms_tasks_new(const struct tasks_options *options, struct errinfo *info,
				     struct tasks **ret_tasks);
MS_MUST_USE enum ms_err ms_tasks_start(struct tasks *tasks,
				       struct errinfo *info); // housekeeping: due tasks, leases, schedules, retention
void ms_tasks_stop(struct tasks *tasks);                      // on loop 0, loops run: long polls are answered empty
void ms_tasks_free(struct tasks *tasks);

// --- Operations --------------------------------------------------------------------------------------
// Embedded in the caller's object with an arena for the answer; `done` on the loop that asked. What fails as a whole sets err and info; what
// fails for one task among several sets that item's.

struct tasks_op;
typedef void tasks_done_fn(struct tasks_op *op);
struct tasks_op {
	struct tasks *tasks;
	struct loop *loop;
	struct arena *arena;
	tasks_done_fn *done;
	void *arg;
	enum ms_err err;
	struct errinfo info;
	struct tasks_op *next; // the engine's
	int verb;
	void *engine;
};

enum task_added {
	TASK_ADDED,
	TASK_DUPLICATED /* the id is known */,
	TASK_DEDUPLICATED,
	TASK_REPLACED /* debounce, keep last */
};
struct task_add_item {
	const struct task_spec *spec;
	// Answer.
	enum ms_err err; // MS_ERR_TASK_… with info
	struct errinfo info;
	enum task_added outcome;
	struct slice id;
	struct task_estimate estimate;
};
struct tasks_add {
	struct tasks_op op;
	struct task_add_item *items;
	size_t count;
};
void ms_tasks_add(struct tasks_add *add); // all or none of what is valid: one transaction
// Inside the caller's own transaction (store drivers; MS_ERR_UNSUPPORTED on Redis): there when it commits, not when it does not.
MS_MUST_USE enum ms_err ms_tasks_add_in(struct store_tx *tx, struct tasks *tasks, const struct task_spec *spec,
					struct errinfo *info, struct task_add_item *ret);

struct task_lease {
	struct task_view task;
	struct slice token;
	int64_t lease_until_us;
	int64_t timeout_ms;
};
struct tasks_take {
	struct tasks_op op;
	const struct slice *queues;
	size_t queue_count; // asked in this order
	const struct slice *names;
	size_t name_count; // that this worker handles; 0: all
	struct slice worker, worker_class;
	size_t max;      // 1 to 1000
	int64_t wait_ms; // long poll: until there is one; 0: at once
	struct task_lease *leases;
	size_t count;
};
void ms_tasks_take(struct tasks_take *take);
void ms_tasks_take_cancel(struct tasks_take *take); // the asker has gone: done comes with what was taken put back

struct task_beat_item {
	struct slice id, token;
	struct slice progress; /* JSON; p NULL: none */
	bool cancelled;        /* answer: stop it */
	enum ms_err err;
	int64_t lease_until_us;
};
struct tasks_beat {
	struct tasks_op op;
	struct task_beat_item *items;
	size_t count;
};
void ms_tasks_beat(struct tasks_beat *beat);

struct task_end_item {
	struct slice id, token;
	bool ok;
	struct slice result;    // JSON, at most MS_TASK_PAYLOAD_MAX
	struct slice error;     // for people
	bool final;             // no further attempt
	int64_t retry_after_ms; // -1: by back-off
	enum ms_err err;        // MS_ERR_TASK_LEASE: not the holder any more; nothing was done
};
struct tasks_end {
	struct tasks_op op;
	struct task_end_item *items;
	size_t count;
	struct tasks_take *next; /* taken in the same step; may be NULL */
};
void ms_tasks_end(struct tasks_end *end);

// --- Looking and changing ----------------------------------------------------------------------------

struct tasks_get {
	struct tasks_op op;
	struct slice id;
	struct task_view task;
}; // MS_ERR_TASK_UNKNOWN
void ms_tasks_get(struct tasks_get *get);
struct tasks_list { // newest first; by (queue, states, name), each optional
	struct tasks_op op;
	struct slice queue, name;
	unsigned states;    // bits of enum task_state; 0: all
	struct slice after; // cursor of the page before, or empty
	size_t limit;       // 1 to 1000
	struct task_view *tasks;
	size_t count;
	struct slice next; // p NULL: the last page
};
void ms_tasks_list(struct tasks_list *list);
enum task_change {
	TASK_CANCEL,
	TASK_RETRY /* failed or completed: from the start */,
	TASK_PROMOTE /* delayed: now */,
	TASK_REMOVE /* not while active */
};
struct tasks_change {
	struct tasks_op op;
	enum task_change change;
	struct slice id;
	struct slice reason;
	struct task_view task;
};
void ms_tasks_change(struct tasks_change *change); // MS_ERR_TASK_STATE says in which state it is
struct task_log_line {
	int64_t time_us;
	struct slice text;
};
struct tasks_log {
	struct tasks_op op;
	struct slice id, token;
	struct slice text; /* append; p NULL: read */
	int64_t from;
	struct task_log_line *lines;
	size_t count;
};
void ms_tasks_log(struct tasks_log *log);

struct queue_settings { // what a queue does by itself; absent ones keep their value
	struct slice name;
	bool paused;
	int64_t concurrency;                           // active at once over all workers; 0: no limit
	int64_t rate_max, rate_per_ms;                 // started per duration; 0: no limit
	int64_t size_limit;                            // of payloads
	int64_t timeout_ms, heartbeat_ms, stalled_max; // defaults of its tasks; stalled_max 1
	enum task_policy policy;
	double stretch;
	int64_t patience_ms;
	bool fair;               // tenants in turn
	struct slice dead_queue; // where what failed for good goes; empty: it stays in `failed`
	struct task_retention keep_completed, keep_failed;
	struct slice
		duration_model; // a served model that predicts the run time in seconds from the task's own fields; empty: what was learned
	int64_t workers_per; // seconds of work that one worker should have waiting (autoscaler); default 60
};
struct queue_stats {
	struct queue_settings settings;
	uint64_t counts[TASK_STATES];
	int64_t oldest_ready_us;
	double drain_s; // predicted, with the workers of now
	uint64_t workers_seen, workers_wanted;
	double waiting_s, error_p50; // work that waits; relative error of predictions of late
	uint64_t completed_minute, failed_minute;
};
struct tasks_queue { // one queue, or all when the name is empty
	struct tasks_op op;
	struct slice name;
	enum {
		QUEUE_STATS,
		QUEUE_SET,
		QUEUE_PAUSE,
		QUEUE_RESUME,
		QUEUE_DRAIN /* removes what waits */,
		QUEUE_REDRIVE /* failed ones again */,
		QUEUE_REMOVE
	} verb;
	const struct queue_settings *settings; // SET
	bool with_delayed;                     // DRAIN
	uint64_t changed;
	struct queue_stats *queues;
	size_t count;
};
void ms_tasks_queue(struct tasks_queue *queue);

struct schedule {
	struct slice id;         // [A-Za-z0-9._-]
	struct slice cron, zone; // or
	int64_t every_ms, offset_ms;
	int64_t start_us, end_us, limit;                     // 0: none
	enum { MISSED_SKIP, MISSED_ONE, MISSED_ALL } missed; // ticks while nobody ran
	bool paused;
	struct task_spec task; // id empty: "<schedule>:<tick ms>", so that any number of processes add it once
	int64_t next_us, last_us;
	uint64_t count; // answer
};
struct tasks_schedule {
	struct tasks_op op;
	enum { SCHEDULE_SET, SCHEDULE_GET, SCHEDULE_LIST, SCHEDULE_REMOVE, SCHEDULE_PREVIEW } verb;
	const struct schedule *schedule;
	struct slice id;
	struct schedule *schedules;
	size_t count;
};
void ms_tasks_schedule(struct tasks_schedule *schedule);

// --- Events ------------------------------------------------------------------------------------------
// What happens to a task, for long polls and server-sent events: state changes and progress, from any process (within a second or so).

struct task_watch;
typedef void task_watch_fn(const struct task_view *task, void *arg); // on the loop; also once at the start
MS_MUST_USE enum ms_err ms_tasks_watch(struct tasks *tasks, struct loop *loop, struct slice id, task_watch_fn *fn,
				       void *arg, struct errinfo *info, struct task_watch **ret_watch);
void ms_tasks_unwatch(struct task_watch *watch);

#endif
