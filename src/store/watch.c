// SPDX-License-Identifier: Apache-2.0
// Notices: who wants to know, the thread that listens to other processes, and the care of idle connections, which that thread
// takes besides.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "store/private.h"

#define TEND_MS 1000
#define FIRST_PAUSE_MS 50
#define LAST_PAUSE_MS 2000
#define LISTEN_WAIT_NS 5000000000LL

static void deliver(struct mail *mail)
{
	struct store_watch *watch = MS_CONTAINER_OF(mail, struct store_watch, mail);
	atomic_store(&watch->posted, false); // first: what happens from here on is a new notice
	watch->fn(watch->arg);
}

static void wake(struct store_watch *watch)
{
	if (!atomic_exchange(&watch->posted, true))
		ms_loop_post(watch->home, &watch->mail, deliver);
}

void ms_store_publish(struct store *store, const struct store_tx *tx)
{
	if (tx->channel_count == 0)
		return;
	pthread_mutex_lock(&store->watch_lock);
	for (size_t i = 0; i < store->watch_count; i++) {
		struct store_watch *watch = &store->watches[i];
		for (size_t k = 0; k < tx->channel_count; k++) {
			if (strcmp(watch->channel, tx->channels[k].name) != 0)
				continue;
			// Nobody else's was between: the look at the counters need not call again.
			if (watch->seen + tx->channels[k].own == tx->channels[k].count)
				watch->seen = tx->channels[k].count;
			wake(watch);
		}
	}
	pthread_mutex_unlock(&store->watch_lock);
}

static void on_notice(void *arg, struct slice channel, int64_t count)
{
	struct store *store = arg;
	pthread_mutex_lock(&store->watch_lock);
	for (size_t i = 0; i < store->watch_count; i++) {
		struct store_watch *watch = &store->watches[i];
		if (!ms_slice_eq_cstr(channel, watch->channel) || (count >= 0 && count <= watch->seen))
			continue;
		watch->seen = count;
		wake(watch);
	}
	pthread_mutex_unlock(&store->watch_lock);
}

// --- The thread --------------------------------------------------------------------------------------

static void drain_pipe(int fd)
{
	char bytes[64];
	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
}

static void poke(struct store *store)
{
	ssize_t n = write(store->wake[1], "", 1);
	MS_ASSERT(n == 1 || errno == EAGAIN || errno == EINTR); // full: it wakes anyway
}

// Asks the database for all watched channels. Those that were heard before, or whose caller did not wait, may have missed some.
static enum ms_err listen_all(struct store *store, struct store_conn *conn, bool fresh, struct errinfo *info)
{
	for (size_t i = 0;; i++) {
		pthread_mutex_lock(&store->watch_lock);
		bool more = i < store->watch_count;
		struct store_watch *watch = &store->watches[i];
		bool wanted = more && (fresh || watch->state != STORE_WATCH_ON);
		pthread_mutex_unlock(&store->watch_lock);
		if (!more)
			return MS_OK;
		if (!wanted)
			continue;
		MS_TRY(conn->driver->listen(conn, watch->channel, info));
		pthread_mutex_lock(&store->watch_lock);
		if (watch->state != STORE_WATCH_NEW)
			wake(watch);
		watch->state = STORE_WATCH_ON;
		pthread_cond_broadcast(&store->watch_changed);
		pthread_mutex_unlock(&store->watch_lock);
	}
}

static void tend(struct store *store)
{
	for (size_t i = 0; i < store->lane_count; i++)
		ms_store_pool_tend(store, &store->lanes[i].pool,
				   store->driver->embedded ? 0 : store->options.connections_min,
				   store->options.idle_timeout_ms);
}

struct watcher {
	struct store *store;
	struct store_conn *conn; // NULL: there is none at present
	int64_t pause_ms;        // the present back-off; 0: the database answers
	int64_t tended_ns;
};

static enum ms_err listen_and_wait(struct watcher *w, struct errinfo *info)
{
	struct store *store = w->store;
	const struct store_driver *driver = store->driver;
	unsigned timeout_ms = driver->embedded ? MS_MIN(store->options.poll_ms, (unsigned)TEND_MS) : TEND_MS;
	bool fresh = w->conn == NULL;
	if (fresh)
		MS_TRY(driver->open(&store->target, STORE_FOR_NOTICES, info, &w->conn));
	MS_TRY(listen_all(store, w->conn, fresh, info));
	if (w->pause_ms > 0)
		ms_log(store->options.log, LOG_INFO, "the database answers again",
		       MS_LOG_CSTR("mainstay.store", store->place));
	if (w->pause_ms > 0 || !driver->embedded)
		atomic_store(&store->healthy, true);
	w->pause_ms = 0;
	return driver->wait(w->conn, store->wake[0], timeout_ms, on_notice, store, info);
}

static void pause_after(struct watcher *w, const struct errinfo *info)
{
	struct store *store = w->store;
	atomic_store(&store->healthy, false);
	if (w->pause_ms == 0)
		ms_log(store->options.log, LOG_WARN, "the database does not answer",
		       MS_LOG_CSTR("mainstay.store", store->place), MS_LOG_CSTR("error.message", info->message));
	if (w->conn != NULL)
		w->conn->driver->close(w->conn);
	w->conn = NULL;
	w->pause_ms = MS_MIN(w->pause_ms * 2 + FIRST_PAUSE_MS, LAST_PAUSE_MS);
	pthread_mutex_lock(&store->watch_lock);
	if (!atomic_load(&store->stopping))
		ms_store_cond_wait_until(&store->watch_changed, &store->watch_lock,
					 ms_clock_mono_ns() + w->pause_ms * 1000000);
	pthread_mutex_unlock(&store->watch_lock);
}

// The connection that listens is the heartbeat too: it finds out that the database is away, or back, when nobody asks for anything.
static void watcher_main(void *arg)
{
	struct watcher w = {.store = arg};
	while (!atomic_load(&w.store->stopping)) {
		struct errinfo info;
		ms_errinfo_init(&info);
		if (ms_clock_mono_ns() - w.tended_ns >= (int64_t)TEND_MS * 1000000) {
			tend(w.store);
			w.tended_ns = ms_clock_mono_ns();
		}
		if (listen_and_wait(&w, &info) != MS_OK)
			pause_after(&w, &info);
		drain_pipe(w.store->wake[0]);
	}
	if (w.conn != NULL)
		w.conn->driver->close(w.conn);
}

enum ms_err ms_store_watcher_start(struct store *store, struct errinfo *info)
{
	if (pipe2(store->wake, O_CLOEXEC | O_NONBLOCK) != 0)
		return ms_fail(info, MS_ERR_LIMIT,
			       "cannot make a pipe for the store: the limit of open files is reached");
	return ms_thread_new("store-watch", watcher_main, store, info, &store->watcher);
}

void ms_store_watcher_stop(struct store *store)
{
	if (store->watcher != NULL) {
		pthread_mutex_lock(&store->watch_lock);
		pthread_cond_broadcast(&store->watch_changed);
		pthread_mutex_unlock(&store->watch_lock);
		poke(store);
		ms_thread_join(store->watcher);
		store->watcher = NULL;
	}
	for (size_t i = 0; i < 2; i++) {
		if (store->wake[i] >= 0)
			close(store->wake[i]);
		store->wake[i] = -1;
	}
}

// --- Watching ----------------------------------------------------------------------------------------

struct counter_query {
	const char *channel;
	int64_t count;
};

static enum ms_err read_counter(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct counter_query *query = arg;
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT count FROM store_channels WHERE name = $1",
			      MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(query->channel))), 1, info, &rows));
	query->count = rows.count > 0 ? ms_store_get_int(&rows, 0, 0) : 0;
	return MS_OK;
}

enum ms_err ms_store_watch(struct store *store, const char *channel, struct loop *home, store_notice_fn *fn, void *arg)
{
	struct counter_query query = {.channel = channel};
	MS_ASSERT(ms_store_is_channel(channel) && home != NULL);
	if (atomic_load(&store->stopping))
		return MS_ERR_DRAINING;
	if (store->driver->embedded)
		MS_TRY(ms_store_read_wait(store, read_counter, &query, NULL));
	pthread_mutex_lock(&store->watch_lock);
	if (store->watch_count == STORE_WATCHES_MAX) {
		pthread_mutex_unlock(&store->watch_lock);
		return MS_ERR_LIMIT;
	}
	struct store_watch *watch = &store->watches[store->watch_count++];
	watch->channel = channel;
	watch->home = home;
	watch->fn = fn;
	watch->arg = arg;
	watch->seen = query.count;
	watch->state = STORE_WATCH_NEW;
	poke(store);
	// From the return on nothing is missed; when the database is away, the call that follows its return makes up for it.
	int64_t until_ns = ms_clock_mono_ns() + LISTEN_WAIT_NS;
	while (watch->state == STORE_WATCH_NEW && ms_clock_mono_ns() < until_ns && atomic_load(&store->healthy))
		ms_store_cond_wait_until(&store->watch_changed, &store->watch_lock, until_ns);
	if (watch->state == STORE_WATCH_NEW)
		watch->state = STORE_WATCH_LATE;
	pthread_mutex_unlock(&store->watch_lock);
	return MS_OK;
}
