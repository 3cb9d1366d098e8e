// SPDX-License-Identifier: Apache-2.0
// Transactions: statements, one attempt, the next attempt, and several in one commit.
#include <stdio.h>

#include "store/private.h"

// --- Statements --------------------------------------------------------------------------------------

// Every error ends the transaction; what comes after it gets the same answer, on every database.
static enum ms_err end_with(struct store_tx *tx, enum ms_err err)
{
	if (tx->err == MS_OK)
		tx->err = err;
	return err;
}

static enum ms_err run(struct store_tx *tx, const char *sql, const struct store_value *params, size_t count,
		       size_t max_rows, struct errinfo *info, struct store_rows *ret_rows, uint64_t *ret_changed)
{
	MS_ASSERT(count <= MS_STORE_PARAMS_MAX);
	if (tx->err != MS_OK)
		return ms_fail(info, tx->err, "the transaction has ended with an error before");
	MS_TRY(end_with(tx, ms_store_check_values(params, count, info)));
	struct store_conn *conn = tx->conn;
	enum ms_err err = conn->driver->run(conn, sql, params, count, max_rows, tx->arena, info, ret_rows, ret_changed);
	if (err == MS_ERR_STORE)
		ms_log(tx->store->options.log, LOG_ERROR, "the database refused a statement",
		       MS_LOG_CSTR("error.message", conn->words), MS_LOG_CSTR("mainstay.statement", sql));
	return end_with(tx, err);
}

enum ms_err ms_store_run(struct store_tx *tx, const char *sql, const struct store_value *params, size_t count,
			 struct errinfo *info, uint64_t *ret_changed)
{
	return run(tx, sql, params, count, 0, info, NULL, ret_changed);
}

enum ms_err ms_store_query(struct store_tx *tx, const char *sql, const struct store_value *params, size_t count,
			   size_t max_rows, struct errinfo *info, struct store_rows *ret_rows)
{
	return run(tx, sql, params, count, max_rows, info, ret_rows, NULL);
}

struct arena *ms_store_arena(struct store_tx *tx)
{
	return tx->arena;
}

int64_t ms_store_now_us(const struct store_tx *tx)
{
	return tx->now_us;
}

bool ms_store_is_channel(const char *channel)
{
	size_t n = strlen(channel);
	return n > 0 && n <= STORE_CHANNEL_BYTES && strspn(channel, "abcdefghijklmnopqrstuvwxyz0123456789_.") == n;
}

enum ms_err ms_store_notify(struct store_tx *tx, const char *channel, struct errinfo *info)
{
	MS_ASSERT(ms_store_is_channel(channel) && tx->writes);
	if (tx->err != MS_OK)
		return ms_fail(info, tx->err, "the transaction has ended with an error before");
	for (size_t i = 0; i < tx->channel_count; i++) {
		if (strcmp(tx->channels[i].name, channel) == 0)
			return MS_OK;
	}
	MS_ASSERT(tx->channel_count < STORE_CHANNELS_MAX);
	int64_t count;
	MS_TRY(end_with(tx, tx->conn->driver->notify(tx->conn, channel, tx->arena, info, &count)));
	tx->channels[tx->channel_count].name = channel;
	tx->channels[tx->channel_count].own = 1;
	tx->channels[tx->channel_count++].count = count;
	return MS_OK;
}

// --- One transaction ---------------------------------------------------------------------------------

// Calls the work's function; the outcome is in `work`.
static enum ms_err call(struct store_worker *worker, struct store_work *work, struct store_conn *conn,
			struct store_tx *tx)
{
	ms_arena_reset(&worker->arena);
	ms_errinfo_init(&work->info);
	*tx = (struct store_tx){.store = worker->lane->store,
				.conn = conn,
				.arena = &worker->arena,
				.writes = work->writes,
				.now_us = ms_clock_wall_ns() / 1000};
	enum ms_err err = work->fn(tx, work->arg, &work->info);
	if (err == MS_OK && tx->err != MS_OK)
		err = tx->err; // the function did not hand it up
	if (err != MS_OK && work->info.code != err)
		MS_IGNORE(ms_fail(&work->info, err, "the transaction failed")); // for its text only
	return err;
}

static enum ms_err attempt(struct store_worker *worker, struct store_work *work, struct store_conn *conn)
{
	struct store *store = worker->lane->store;
	const struct store_driver *driver = conn->driver;
	struct store_tx tx;
	ms_errinfo_init(&work->info);
	MS_TRY(driver->begin(conn, work->writes, &work->info));
	enum ms_err err = call(worker, work, conn, &tx);
	if (err != MS_OK) {
		driver->rollback(conn);
		return err;
	}
	err = driver->commit(conn, &work->info);
	if (err == MS_OK) {
		ms_store_publish(store, &tx);
		return MS_OK;
	}
	if (conn->fate != STORE_FATE_BROKEN) {
		driver->rollback(conn);
		return err;
	}
	// What was read was one state, whatever became of the connection.
	return work->writes ? ms_fail(&work->info, MS_ERR_STORE_UNKNOWN,
				      "the connection to the database broke while the change was being committed: "
				      "look whether it took place before you repeat it")
			    : MS_OK;
}

static void pause_before(struct store *store, unsigned attempts)
{
	uint16_t random;
	ms_random_bytes(&random, sizeof(random));
	int64_t most_ns = (int64_t)500000 << MS_MIN(attempts, 7U); // 1 ms to 64 ms
	int64_t until_ns = ms_clock_mono_ns() + most_ns * random / UINT16_MAX;
	pthread_mutex_lock(&store->watch_lock);
	while (ms_clock_mono_ns() < until_ns)
		ms_store_cond_wait_until(&store->watch_changed, &store->watch_lock, until_ns);
	pthread_mutex_unlock(&store->watch_lock);
}

// Until when work waits for a database that is away.
static int64_t deadline_of(const struct store *store, const struct store_work *work)
{
	return work->queued_ns + (int64_t)store->options.patience_ms * 1000000;
}

void ms_store_transact(struct store_worker *worker, struct store_work *work)
{
	struct store *store = worker->lane->store;
	struct store_pool *pool = &worker->lane->pool;
	bool lonely = false;
	unsigned breaks = 0;
	for (unsigned attempts = 1;; attempts++) {
		struct store_conn *conn;
		ms_errinfo_init(&work->info);
		work->err = ms_store_pool_take(store, pool, deadline_of(store, work), &work->info, &conn);
		if (work->err != MS_OK)
			break;
		work->err = attempt(worker, work, conn);
		enum store_fate fate = conn->fate;
		ms_store_pool_give(pool, conn);
		bool again = fate != STORE_FATE_FINE && work->err != MS_OK && work->err != MS_ERR_STORE_UNKNOWN;
		breaks += fate == STORE_FATE_BROKEN;
		if (!again || attempts == STORE_ATTEMPTS_MAX || breaks == STORE_BREAKS_MAX)
			break;
		ms_counter_add(store->metrics.retries, MS_METRICS_SHARED_SHARD, 1);
		if (fate == STORE_FATE_BROKEN && breaks == 1)
			continue; // at once: most often it is one that was idle while the server restarted
		// Those that meet each other often go one after another, so that each comes through.
		if (!lonely && fate == STORE_FATE_RETRY && attempts >= STORE_LONELY_ATTEMPT) {
			pthread_mutex_lock(&store->lonely);
			lonely = true;
		}
		pause_before(store, attempts);
	}
	if (lonely)
		pthread_mutex_unlock(&store->lonely);
	if (store->driver->embedded && (work->err == MS_OK || work->err == MS_ERR_IO))
		atomic_store(&store->healthy, work->err == MS_OK);
	if (work->err == MS_OK)
		ms_counter_add(store->metrics.commits, MS_METRICS_SHARED_SHARD, work->writes ? 1 : 0);
}

// --- Several in one commit ---------------------------------------------------------------------------

// One of the group, in a savepoint of its own. False when the shared transaction is over.
static bool member(struct store_worker *worker, struct store_work *work, struct store_conn *conn, struct store_tx *tx)
{
	const struct store_driver *driver = conn->driver;
	if (driver->savepoint(conn, NULL) != MS_OK)
		return false;
	work->err = call(worker, work, conn, tx);
	bool fine = work->err == MS_OK;
	if (!driver->is_open(conn))
		return false;
	return (fine ? driver->release(conn, NULL) : driver->undo(conn, NULL)) == MS_OK;
}

// What the members notified; one notice of a channel each. False when there is no room.
static bool gather(struct store_tx *all, const struct store_tx *tx)
{
	for (size_t i = 0; i < tx->channel_count; i++) {
		size_t k = 0;
		while (k < all->channel_count && strcmp(all->channels[k].name, tx->channels[i].name) != 0)
			k++;
		if (k == STORE_CHANNELS_MAX)
			return false;
		int64_t before = k < all->channel_count ? all->channels[k].own : 0;
		all->channels[k] = tx->channels[i];
		all->channels[k].own += before;
		all->channel_count = MS_MAX(all->channel_count, k + 1);
	}
	return true;
}

// Runs the members in the transaction that has begun; *count grows by those who come along. False when it cannot be committed.
static bool run_members(struct store_worker *worker, size_t *count, struct store_conn *conn, struct store_tx *all)
{
	struct store_tx tx;
	int64_t begun_ns = ms_clock_mono_ns();
	for (size_t i = 0; i < *count; i++) {
		struct store_work *work = worker->group[i];
		if (!member(worker, work, conn, &tx))
			return false;
		if (work->err == MS_OK && !gather(all, &tx))
			return false;
		// Who arrived meanwhile comes along, as long as those who were first do not wait too long.
		if (i + 1 < *count || *count == STORE_GROUP_MAX || ms_clock_mono_ns() - begun_ns >= STORE_GROUP_NS)
			continue;
		worker->group[*count] = ms_store_lane_more(worker->lane, INT64_MAX);
		*count += worker->group[*count] != NULL;
	}
	return true;
}

// Nobody could begin for as long as one waits. Who has waited for half of that gets the answer too: one after the other they would
// wait for hours.
static void refuse_waiting(struct store_worker *worker, size_t *count, enum ms_err err, const struct errinfo *info)
{
	int64_t before_ns = ms_clock_mono_ns() - (int64_t)worker->lane->store->options.answer_ms * 500000;
	struct store_work *work = worker->group[0];
	for (size_t n = 1; work != NULL; n++) {
		work->err = err;
		work->info = *info;
		*count = n;
		work = n < STORE_GROUP_MAX ? ms_store_lane_more(worker->lane, before_ns) : NULL;
		if (work != NULL)
			worker->group[n] = work;
	}
}

// True when each member has its answer: the group is committed, or nobody can begin. Else nothing of it took place.
static bool try_group(struct store_worker *worker, size_t *count, struct store_conn *conn)
{
	struct store *store = worker->lane->store;
	struct store_tx all = {.store = store};
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = conn->driver->begin(conn, true, &info);
	if (err == MS_ERR_BUSY)
		refuse_waiting(worker, count, err, &info);
	if (err != MS_OK)
		return err == MS_ERR_BUSY;
	if (!run_members(worker, count, conn, &all) || conn->driver->commit(conn, NULL) != MS_OK) {
		conn->driver->rollback(conn);
		return false;
	}
	ms_store_publish(store, &all);
	atomic_store(&store->healthy, true);
	ms_counter_add(store->metrics.commits, MS_METRICS_SHARED_SHARD, 1);
	return true;
}

void ms_store_transact_group(struct store_worker *worker, size_t count)
{
	struct store *store = worker->lane->store;
	struct store_pool *pool = &worker->lane->pool;
	struct store_conn *conn;
	int64_t begun_ns = ms_clock_mono_ns();
	bool done = false;
	if (ms_store_pool_take(store, pool, deadline_of(store, worker->group[0]), NULL, &conn) == MS_OK) {
		done = try_group(worker, &count, conn);
		ms_store_pool_give(pool, conn);
	}
	for (size_t i = 0; i < count; i++) {
		// The shared transaction failed as a whole: each alone gets its own answer.
		if (!done)
			ms_store_transact(worker, worker->group[i]);
		ms_store_count(store, worker->group[i], begun_ns);
		ms_store_work_finish(store, worker->group[i]);
	}
}
