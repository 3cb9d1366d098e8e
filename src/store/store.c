// SPDX-License-Identifier: Apache-2.0
// The life of a store, and its front door.
#include <stdio.h>
#include <stdlib.h>

#include "store/private.h"

static const struct store_options defaults = {
	.connections_min = 5,
	.connections_max = 20,
	.idle_timeout_ms = 3600000,
	.queue_depth = 10000,
	.poll_ms = 500,
	.patience_ms = 10000,
	.answer_ms = 60000,
};
#define EMBEDDED_READERS 4

// --- Life --------------------------------------------------------------------------------------------

static void take_defaults(struct store_options *options, bool embedded)
{
	if (options->connections_max == 0)
		options->connections_max = embedded ? EMBEDDED_READERS : defaults.connections_max;
	if (options->connections_min == 0)
		options->connections_min = defaults.connections_min;
	options->connections_max = MS_MIN(options->connections_max, (unsigned)STORE_THREADS_MAX);
	options->connections_min = MS_MIN(options->connections_min, options->connections_max);
	if (options->idle_timeout_ms == 0)
		options->idle_timeout_ms = defaults.idle_timeout_ms;
	if (options->queue_depth == 0)
		options->queue_depth = defaults.queue_depth;
	if (options->poll_ms == 0)
		options->poll_ms = defaults.poll_ms;
	if (options->patience_ms == 0)
		options->patience_ms = defaults.patience_ms;
	if (options->answer_ms == 0)
		options->answer_ms = defaults.answer_ms;
}

static enum ms_err store_new(const struct store_options *options, struct errinfo *info, struct store **ret_store)
{
	const struct store_driver *driver = ms_store_driver_for(options->url);
	if (driver == NULL)
		return ms_fail(
			info, MS_ERR_CONFIG,
			"the address of the database must begin with sqlite: or postgres:// (its text is not shown, "
			"because it may hold a password)");
	struct store *store = calloc(1, sizeof(*store));
	size_t n = strlen(options->url) + 1;
	char *url = malloc(n);
	struct store_migrations *sets = calloc(options->migration_count + 1, sizeof(*sets));
	if (store == NULL || url == NULL || sets == NULL) {
		free(store);
		free(url);
		free(sets);
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the store");
	}
	memcpy(url, options->url, n);
	store->driver = driver;
	store->options = *options;
	store->options.url = store->url = url;
	for (size_t i = 0; i < options->migration_count; i++)
		sets[i] = options->migrations[i];
	store->options.migrations = store->migrations = sets;
	take_defaults(&store->options, driver->embedded);
	driver->place(url, store->place);
	uint64_t random[2];
	ms_random_bytes(random, sizeof(random));
	snprintf(store->instance, sizeof(store->instance), "%016llx%016llx", (unsigned long long)random[0],
		 (unsigned long long)random[1]);
	store->target = (struct store_target){
		.url = url, .log = options->log, .answer_ms = store->options.answer_ms, .instance = store->instance};
	store->wake[0] = store->wake[1] = -1;
	atomic_store(&store->healthy, true);
	pthread_mutex_init(&store->lonely, NULL);
	pthread_mutex_init(&store->watch_lock, NULL);
	ms_store_cond_init(&store->watch_changed);
	*ret_store = store;
	return MS_OK;
}

static enum ms_err start_lanes(struct store *store, struct errinfo *info)
{
	unsigned threads = store->options.connections_max;
	store->lane_count = store->driver->embedded ? 2 : 1;
	if (!store->driver->embedded)
		return ms_store_lane_start(store, &store->lanes[0], "store", STORE_FOR_WRITES, threads, info);
	MS_TRY(ms_store_lane_start(store, &store->lanes[0], "store-write", STORE_FOR_WRITES, 1, info));
	return ms_store_lane_start(store, &store->lanes[1], "store-read", STORE_FOR_READS, threads, info);
}

static enum ms_err start(struct store *store, struct errinfo *info)
{
	size_t applied = 0;
	if (store->options.check_only)
		return MS_OK;
	if (store->options.migrate)
		MS_TRY(ms_store_migrate(store, info, &applied));
	else
		MS_TRY(ms_store_check_steps(store, info));
	if (!ms_store_metrics_register(store))
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the metrics of the store");
	MS_TRY(start_lanes(store, info));
	MS_TRY(ms_store_watcher_start(store, info));
	ms_log(store->options.log, LOG_INFO, "store open", MS_LOG_CSTR("mainstay.store", store->place),
	       MS_LOG_INT("mainstay.migrations_applied", (int64_t)applied));
	return MS_OK;
}

enum ms_err ms_store_open(const struct store_options *options, struct errinfo *info, struct store **ret_store)
{
	struct store *store;
	MS_TRY(store_new(options, info, &store));
	enum ms_err err = start(store, info);
	if (err == MS_OK)
		*ret_store = store;
	else
		ms_store_free(store);
	return err;
}

void ms_store_stop(struct store *store)
{
	if (store == NULL || store->stopped)
		return;
	store->stop_ns = ms_clock_mono_ns();
	atomic_store(&store->stopping, true);
	ms_store_watcher_stop(store);
	for (size_t i = 0; i < MS_ARRAY_LEN(store->lanes); i++)
		ms_store_lane_stop(&store->lanes[i]);
	store->stopped = true;
}

void ms_store_free(struct store *store)
{
	if (store == NULL)
		return;
	ms_store_stop(store);
	for (size_t i = 0; i < MS_ARRAY_LEN(store->lanes); i++)
		ms_store_lane_fini(&store->lanes[i]);
	pthread_cond_destroy(&store->watch_changed);
	pthread_mutex_destroy(&store->watch_lock);
	pthread_mutex_destroy(&store->lonely);
	// It may hold a password.
	explicit_bzero(store->url, strlen(store->url));
	free(store->url);
	free(store->migrations);
	free(store);
}

const char *ms_store_kind(const struct store *store)
{
	return store->driver->name;
}

bool ms_store_healthy(const struct store *store)
{
	return atomic_load(&store->healthy);
}

// --- Work --------------------------------------------------------------------------------------------

static enum ms_err submit(struct store *store, struct store_work *work, struct loop *home, bool writes, store_fn *fn,
			  void *arg, store_done_fn *done)
{
	work->home = home;
	work->fn = fn;
	work->arg = arg;
	work->done = done;
	work->writes = writes;
	work->queued_ns = ms_clock_mono_ns();
	work->err = MS_OK;
	enum ms_err err = ms_store_lane_add(&store->lanes[store->lane_count > 1 && !writes ? 1 : 0], work);
	if (err == MS_ERR_BUSY)
		ms_counter_add(store->metrics.rejected, MS_METRICS_SHARED_SHARD, 1);
	return err;
}

enum ms_err ms_store_write(struct store *store, struct store_work *work, struct loop *home, store_fn *fn, void *arg,
			   store_done_fn *done)
{
	MS_ASSERT(home != NULL);
	return submit(store, work, home, true, fn, arg, done);
}

enum ms_err ms_store_read(struct store *store, struct store_work *work, struct loop *home, store_fn *fn, void *arg,
			  store_done_fn *done)
{
	MS_ASSERT(home != NULL);
	return submit(store, work, home, false, fn, arg, done);
}

struct waiting {
	struct store_work work;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool is_done;
};

static void end_wait(struct store_work *work)
{
	struct waiting *w = MS_CONTAINER_OF(work, struct waiting, work);
	pthread_mutex_lock(&w->lock);
	w->is_done = true;
	pthread_cond_signal(&w->ended);
	pthread_mutex_unlock(&w->lock);
}

static enum ms_err run_and_wait(struct store *store, bool writes, store_fn *fn, void *arg, struct errinfo *info)
{
	struct waiting w = {.is_done = false};
	pthread_mutex_init(&w.lock, NULL);
	pthread_cond_init(&w.ended, NULL);
	enum ms_err err = submit(store, &w.work, NULL, writes, fn, arg, end_wait);
	if (err == MS_OK) {
		pthread_mutex_lock(&w.lock);
		while (!w.is_done)
			pthread_cond_wait(&w.ended, &w.lock);
		pthread_mutex_unlock(&w.lock);
		err = w.work.err;
		if (err != MS_OK && info != NULL)
			*info = w.work.info;
	} else {
		err = ms_fail(info, err, "%s",
			      err == MS_ERR_BUSY
				      ? "too many transactions are waiting (setting store.queue): try again later"
				      : "the store takes no more work");
	}
	pthread_cond_destroy(&w.ended);
	pthread_mutex_destroy(&w.lock);
	return err;
}

enum ms_err ms_store_write_wait(struct store *store, store_fn *fn, void *arg, struct errinfo *info)
{
	return run_and_wait(store, true, fn, arg, info);
}

enum ms_err ms_store_read_wait(struct store *store, store_fn *fn, void *arg, struct errinfo *info)
{
	return run_and_wait(store, false, fn, arg, info);
}
