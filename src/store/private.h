// SPDX-License-Identifier: Apache-2.0
// Private to store: what a driver is, and the store behind the public interface.
#ifndef MS_STORE_PRIVATE_H
#define MS_STORE_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "store/store.h"

// --- Drivers -----------------------------------------------------------------------------------------

struct store_driver;

// What the last call on a connection means for it and for the transaction in it.
enum store_fate {
	STORE_FATE_FINE,   // the connection goes on; an error is the answer
	STORE_FATE_RETRY,  // the database undid the transaction because of others: the same again may succeed
	STORE_FATE_BROKEN, // the connection is lost; so is the transaction, unless the commit was under way
};

// A driver's connection begins with this. Used by one thread at a time.
struct store_conn {
	const struct store_driver *driver;
	enum store_fate fate;
	char words[256]; // the database's own, of the last error; for the log
	// Of the pool.
	struct store_conn *next;
	int64_t idle_since_ns;
	unsigned generation;
};

enum store_purpose {
	STORE_FOR_WRITES,
	STORE_FOR_READS,
	STORE_FOR_NOTICES, // kept by the watching thread
	STORE_FOR_SCHEMA,  // migrations: statements may take long
	STORE_FOR_LOOKING, // as READS, and creates nothing: MS_ERR_FILE_MISSING
};

struct store_target {
	const char *url;
	struct log *log;
	unsigned answer_ms;
	const char *instance; // this store's own name among all that use the database: its notices carry it
};

// count: of the channel, or -1 when the database keeps none. `own`: sent by this store itself.
typedef void store_on_notice_fn(void *arg, struct slice channel, int64_t count);

struct store_driver {
	const char *name;
	bool embedded; // one writer, whose waiting transactions share a commit; readers of their own; counters of notices in a table
	bool (*accepts)(struct slice url);
	void (*place)(const char *url, char dst[MS_STORE_PLACE_SIZE]);
	// The store's own tables: its step 1.
	const char *schema;
	// One row, one number: 1 when those tables are there.
	const char *has_schema;
	// MS_ERR_STORE_GONE: later may be better. Everything else is final.
	enum ms_err (*open)(const struct store_target *target, enum store_purpose purpose, struct errinfo *info,
			    struct store_conn **ret_conn);
	void (*close)(struct store_conn *conn);
	enum ms_err (*begin)(struct store_conn *conn, bool writes, struct errinfo *info);
	enum ms_err (*commit)(struct store_conn *conn, struct errinfo *info);
	void (*rollback)(struct store_conn *conn);
	// Of the embedded driver: a transaction within a shared one. `undo` ends it too.
	enum ms_err (*savepoint)(struct store_conn *conn, struct errinfo *info);
	enum ms_err (*release)(struct store_conn *conn, struct errinfo *info);
	enum ms_err (*undo)(struct store_conn *conn, struct errinfo *info);
	// False when the database itself ended the shared transaction.
	bool (*is_open)(struct store_conn *conn);
	// ret_rows NULL: rows are not wanted. ret_changed may be NULL.
	enum ms_err (*run)(struct store_conn *conn, const char *sql, const struct store_value *params, size_t count,
			   size_t max_rows, struct arena *arena, struct errinfo *info, struct store_rows *ret_rows,
			   uint64_t *ret_changed);
	// Several statements without parameters, inside the present transaction.
	enum ms_err (*script)(struct store_conn *conn, const char *sql, struct errinfo *info);
	// Only one process at a time between these two. NULL: begin() with writes does it.
	enum ms_err (*lock)(struct store_conn *conn, struct errinfo *info);
	void (*unlock)(struct store_conn *conn);
	// Inside a transaction. ret_count: the channel's counter after it, or -1.
	enum ms_err (*notify)(struct store_conn *conn, const char *channel, struct arena *arena, struct errinfo *info,
			      int64_t *ret_count);
	// On a connection for notices. listen: from now on, notices of the channel arrive.
	enum ms_err (*listen)(struct store_conn *conn, const char *channel, struct errinfo *info);
	// Waits until there may be notices, `wake_fd` can be read, or the time is over; calls on_notice for each.
	enum ms_err (*wait)(struct store_conn *conn, int wake_fd, unsigned timeout_ms, store_on_notice_fn *on_notice,
			    void *arg, struct errinfo *info);
};

// NULL when no driver takes the URL.
const struct store_driver *ms_store_driver_for(const char *url);

// Statements of a connection, by address and kinds of parameters.
#define STORE_PREPARED_MAX 512 // then all are dropped and prepared anew
struct store_kinds {
	uint64_t words[2]; // three bits a parameter
};
struct store_prepared {
	const char *sql; // NULL: free
	struct store_kinds kinds;
	void *statement; // of the driver
};
struct store_cache {
	struct store_prepared slots[STORE_PREPARED_MAX * 2];
	size_t count;
};
struct store_kinds ms_store_kinds(const struct store_value *params, size_t count);
// The slot of the statement, or the free one where it belongs (sql == NULL).
struct store_prepared *ms_store_cache_find(struct store_cache *cache, const char *sql, struct store_kinds kinds);

// Values that either database would refuse or change: text that is not UTF-8 or has a NUL, reals that are no number.
MS_MUST_USE enum ms_err ms_store_check_values(const struct store_value *params, size_t count, struct errinfo *info);

// --- The store ---------------------------------------------------------------------------------------

#define STORE_THREADS_MAX 100
#define STORE_GROUP_MAX 256     // transactions that share a commit
#define STORE_GROUP_NS 50000000 // a group that took this long is committed
#define STORE_CHANNELS_MAX 16   // channels that one transaction may notify
#define STORE_CHANNEL_BYTES 60
#define STORE_WATCHES_MAX 64
#define STORE_ARENA_MAX ((size_t)256 << 20)
#define STORE_ATTEMPTS_MAX 100 // of a transaction that others disturb
#define STORE_BREAKS_MAX 20    // of a transaction whose connections break
#define STORE_LONELY_ATTEMPT 4 // from this one on, such transactions of a process go one after another

enum store_outcome { STORE_COMMITTED, STORE_FAILED, STORE_CONFLICTED, STORE_LOST, STORE_IN_DOUBT, STORE_OUTCOMES };

// The connections of a lane.
struct store_pool {
	pthread_mutex_t lock;
	pthread_cond_t changed; // a connection came back, or connecting may be tried again
	enum store_purpose purpose;
	unsigned max;
	struct store_conn *idle; // the one used last first
	unsigned idle_count;
	unsigned open;       // idle, in use, and being opened
	unsigned generation; // connections of older ones are suspect
	bool probing;        // somebody tries to connect while the database is away
	int64_t retry_ns;    // not before; 0: the database is there
	int64_t pause_ns;    // the present back-off
};

struct store_lane;
struct store_worker {
	struct store_lane *lane;
	struct thread *thread;
	struct arena arena;
	struct store_work *group[STORE_GROUP_MAX];
};

// A queue with its threads and connections. SQLite has one for writes and one for reads, PostgreSQL one for both.
struct store_lane {
	struct store *store;
	const char *name; // of threads
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct store_work *oldest, *newest;
	unsigned waiting;
	unsigned running;
	bool grouped;
	struct store_pool pool;
	unsigned worker_count;
	struct store_worker *workers;
};

enum store_watch_state { STORE_WATCH_NEW, STORE_WATCH_LATE, STORE_WATCH_ON };
struct store_watch {
	struct mail mail;
	atomic_bool posted;
	const char *channel;
	struct loop *home;
	store_notice_fn *fn;
	void *arg;
	int64_t seen; // counter of the channel
	enum store_watch_state state;
};

struct store_metrics {
	struct metric_series *transactions[2][STORE_OUTCOMES]; // [writes]
	struct metric_series *seconds[2];
	struct metric_series *wait_seconds[2];
	struct metric_series *commits;
	struct metric_series *retries;
	struct metric_series *rejected;
	struct metric_series *queue_depth;
	struct metric_series *connections;
	struct metric_series *healthy;
};

struct store {
	const struct store_driver *driver;
	struct store_options options; // with the defaults in place
	char *url;                    // own copies
	struct store_migrations *migrations;
	char instance[33];
	char place[MS_STORE_PLACE_SIZE];
	struct store_target target;
	struct store_lane lanes[2];
	size_t lane_count;
	atomic_bool stopping;
	int64_t stop_ns; // set before `stopping`
	bool stopped;
	atomic_bool healthy;
	pthread_mutex_t lonely; // held by a transaction that was disturbed often
	// Notices.
	struct thread *watcher;
	int wake[2]; // a pipe
	pthread_mutex_t watch_lock;
	pthread_cond_t watch_changed;
	struct store_watch watches[STORE_WATCHES_MAX];
	size_t watch_count;
	struct store_metrics metrics;
};

struct store_tx {
	struct store *store;
	struct store_conn *conn;
	struct arena *arena;
	int64_t now_us;
	bool writes;
	enum ms_err err; // the first; the transaction is over then
	struct {
		const char *name;
		int64_t count; // the counter after the last notice of this transaction
		int64_t own;   // notices of this transaction
	} channels[STORE_CHANNELS_MAX];
	size_t channel_count;
};

// pool.c
void ms_store_pool_init(struct store_pool *pool, enum store_purpose purpose, unsigned max);
// The store stops: who waits looks at the time again.
void ms_store_pool_wake(struct store_pool *pool);
// Closes what is idle; all must be.
void ms_store_pool_close(struct store_pool *pool);
void ms_store_pool_fini(struct store_pool *pool);
// A connection of one's own, waiting for it no longer than deadline_ns. MS_ERR_STORE_GONE, or the error of opening.
MS_MUST_USE enum ms_err ms_store_pool_take(struct store *store, struct store_pool *pool, int64_t deadline_ns,
					   struct errinfo *info, struct store_conn **ret_conn);
// Back again; a broken one is closed, and so are all that are as old, when it is their turn.
void ms_store_pool_give(struct store_pool *pool, struct store_conn *conn);
// Closes what was idle too long, and opens up to `min`. For the watching thread.
void ms_store_pool_tend(struct store *store, struct store_pool *pool, unsigned min, uint64_t idle_ms);
unsigned ms_store_pool_open(struct store_pool *pool);

// transaction.c: on a worker's thread.
// Runs, retries, and fills work->err and work->info.
void ms_store_transact(struct store_worker *worker, struct store_work *work);
// Several writes in one commit.
void ms_store_transact_group(struct store_worker *worker, size_t count);

bool ms_store_is_channel(const char *channel);

// lane.c
MS_MUST_USE enum ms_err ms_store_lane_start(struct store *store, struct store_lane *lane, const char *name,
					    enum store_purpose purpose, unsigned threads, struct errinfo *info);
// All threads end when the queue is empty.
void ms_store_lane_stop(struct store_lane *lane);
void ms_store_lane_fini(struct store_lane *lane);
MS_MUST_USE enum ms_err ms_store_lane_add(struct store_lane *lane, struct store_work *work);
// A further work that has waited since `before_ns` or longer, or NULL; never blocks.
struct store_work *ms_store_lane_more(struct store_lane *lane, int64_t before_ns);
void ms_store_work_finish(struct store *store, struct store_work *work);

// watch.c
MS_MUST_USE enum ms_err ms_store_watcher_start(struct store *store, struct errinfo *info);
void ms_store_watcher_stop(struct store *store);
// After a commit: wakes the watches of this process.
void ms_store_publish(struct store *store, const struct store_tx *tx);

// migrate.c
MS_MUST_USE enum ms_err ms_store_check_steps(struct store *store, struct errinfo *info);

// metrics.c
MS_MUST_USE bool ms_store_metrics_register(struct store *store);
void ms_store_count(struct store *store, const struct store_work *work, int64_t begun_ns);

// Monotonic waiting on a condition made by ms_store_cond_init.
void ms_store_cond_init(pthread_cond_t *cond);
void ms_store_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t mono_ns);

#endif
