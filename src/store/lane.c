// SPDX-License-Identifier: Apache-2.0
// Queues and the threads that work on them.
#include <stdio.h>
#include <stdlib.h>

#include "store/private.h"

#define ARENA_FIRST ((size_t)64 << 10)

// The oldest that waits, or NULL. The lock is held.
static struct store_work *pop(struct store_lane *lane)
{
	struct store_work *work = lane->oldest;
	if (work == NULL)
		return NULL;
	lane->oldest = work->next;
	if (lane->oldest == NULL)
		lane->newest = NULL;
	work->next = NULL;
	lane->waiting--;
	lane->running++;
	return work;
}

struct store_work *ms_store_lane_more(struct store_lane *lane, int64_t before_ns)
{
	pthread_mutex_lock(&lane->lock);
	struct store_work *work = lane->oldest != NULL && lane->oldest->queued_ns <= before_ns ? pop(lane) : NULL;
	pthread_mutex_unlock(&lane->lock);
	return work;
}

// The next work, or NULL when the store stops and none is left. ret_alone: no other waits.
static struct store_work *wait_for_work(struct store_lane *lane, bool *ret_alone)
{
	pthread_mutex_lock(&lane->lock);
	while (lane->oldest == NULL && !atomic_load(&lane->store->stopping))
		pthread_cond_wait(&lane->work, &lane->lock);
	struct store_work *work = pop(lane);
	*ret_alone = lane->oldest == NULL;
	pthread_mutex_unlock(&lane->lock);
	return work;
}

static void come_home(struct mail *mail)
{
	struct store_work *work = MS_CONTAINER_OF(mail, struct store_work, mail);
	work->done(work);
}

void ms_store_work_finish(struct store *store, struct store_work *work)
{
	struct store_lane *lane = &store->lanes[store->lane_count > 1 && !work->writes ? 1 : 0];
	pthread_mutex_lock(&lane->lock);
	lane->running--;
	pthread_mutex_unlock(&lane->lock);
	if (work->home != NULL)
		ms_loop_post(work->home, &work->mail, come_home);
	else
		work->done(work);
}

static void worker_main(void *arg)
{
	struct store_worker *worker = arg;
	struct store_lane *lane = worker->lane;
	struct store_work *work;
	bool alone;
	ms_arena_init(&worker->arena, ARENA_FIRST, STORE_ARENA_MAX);
	while ((work = wait_for_work(lane, &alone)) != NULL) {
		if (lane->grouped && !alone) {
			worker->group[0] = work;
			ms_store_transact_group(worker, 1);
			continue;
		}
		int64_t begun_ns = ms_clock_mono_ns();
		ms_store_transact(worker, work);
		ms_store_count(lane->store, work, begun_ns);
		ms_store_work_finish(lane->store, work);
	}
	ms_arena_fini(&worker->arena);
}

enum ms_err ms_store_lane_start(struct store *store, struct store_lane *lane, const char *name,
				enum store_purpose purpose, unsigned threads, struct errinfo *info)
{
	MS_ASSERT(threads > 0 && threads <= STORE_THREADS_MAX);
	lane->store = store;
	lane->name = name;
	lane->grouped = store->driver->embedded && purpose == STORE_FOR_WRITES;
	pthread_mutex_init(&lane->lock, NULL);
	pthread_cond_init(&lane->work, NULL);
	ms_store_pool_init(&lane->pool, purpose, threads);
	lane->workers = calloc(threads, sizeof(lane->workers[0]));
	if (lane->workers == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the threads of the store");
	for (unsigned i = 0; i < threads; i++) {
		lane->workers[i].lane = lane;
		MS_TRY(ms_thread_new(name, worker_main, &lane->workers[i], info, &lane->workers[i].thread));
		lane->worker_count++;
	}
	return MS_OK;
}

void ms_store_lane_stop(struct store_lane *lane)
{
	if (lane->store == NULL)
		return; // was never started
	pthread_mutex_lock(&lane->lock);
	pthread_cond_broadcast(&lane->work);
	pthread_mutex_unlock(&lane->lock);
	ms_store_pool_wake(&lane->pool);
	for (unsigned i = 0; i < lane->worker_count; i++)
		ms_thread_join(lane->workers[i].thread);
	MS_ASSERT(lane->oldest == NULL && lane->running == 0);
	ms_store_pool_close(&lane->pool);
}

void ms_store_lane_fini(struct store_lane *lane)
{
	if (lane->store == NULL)
		return;
	ms_store_pool_fini(&lane->pool);
	free(lane->workers);
	pthread_cond_destroy(&lane->work);
	pthread_mutex_destroy(&lane->lock);
}

enum ms_err ms_store_lane_add(struct store_lane *lane, struct store_work *work)
{
	struct store *store = lane->store;
	if (store == NULL)
		return MS_ERR_DRAINING;
	enum ms_err err = MS_OK;
	work->next = NULL;
	pthread_mutex_lock(&lane->lock);
	if (atomic_load(&store->stopping))
		err = MS_ERR_DRAINING;
	else if (lane->waiting >= store->options.queue_depth)
		err = MS_ERR_BUSY;
	if (err == MS_OK) {
		if (lane->newest != NULL)
			lane->newest->next = work;
		else
			lane->oldest = work;
		lane->newest = work;
		lane->waiting++;
		pthread_cond_signal(&lane->work);
	}
	pthread_mutex_unlock(&lane->lock);
	return err;
}
