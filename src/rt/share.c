// SPDX-License-Identifier: Apache-2.0
// Work in parts, on the calling thread and on threads of a pool that have nothing else to do.
#include <stdatomic.h>
#include <stdlib.h>

#include "rt/internal.h"

struct helper {
	struct job job;
	struct share *share;
};

// Lives until the caller and the last helper have left it: a helper may come late, when all is done and the caller is gone.
struct share {
	atomic_size_t next; // part
	atomic_uint refs;
	size_t count;
	pool_part_fn *part;
	void *context; // of the caller; read only while it waits
	pthread_mutex_t lock;
	pthread_cond_t all_done;
	size_t done; // under the lock
	struct helper helpers[];
};

static void leave(struct share *share)
{
	if (atomic_fetch_sub_explicit(&share->refs, 1, memory_order_acq_rel) > 1)
		return;
	pthread_cond_destroy(&share->all_done);
	pthread_mutex_destroy(&share->lock);
	free(share);
}

static void take_parts(struct share *share)
{
	size_t taken = 0;
	for (size_t i; (i = atomic_fetch_add_explicit(&share->next, 1, memory_order_relaxed)) < share->count; taken++)
		share->part(share->context, i);
	if (taken == 0)
		return;
	pthread_mutex_lock(&share->lock);
	share->done += taken;
	if (share->done == share->count)
		pthread_cond_signal(&share->all_done);
	pthread_mutex_unlock(&share->lock);
}

static void help(struct job *job)
{
	take_parts(MS_CONTAINER_OF(job, struct helper, job)->share);
}

static void helped(struct job *job)
{
	leave(MS_CONTAINER_OF(job, struct helper, job)->share);
}

// Threads that wait for work at this moment.
static size_t idle_threads(struct pool *pool)
{
	struct pool_stats stats = ms_pool_stats(pool);
	unsigned busy = stats.running + stats.waiting, all = ms_pool_threads(pool);
	return busy < all ? all - busy : 0;
}

void ms_pool_share(struct pool *pool, size_t count, pool_part_fn *part, void *context)
{
	size_t wanted = count > 1 ? MS_MIN(count - 1, idle_threads(pool)) : 0;
	struct share *share = wanted > 0 ? calloc(1, sizeof(*share) + wanted * sizeof(share->helpers[0])) : NULL;
	if (share == NULL) {
		for (size_t i = 0; i < count; i++)
			part(context, i);
		return;
	}
	share->count = count;
	share->part = part;
	share->context = context;
	atomic_init(&share->refs, 1);
	pthread_mutex_init(&share->lock, NULL);
	pthread_cond_init(&share->all_done, NULL);
	for (size_t i = 0; i < wanted; i++) {
		share->helpers[i].share = share;
		atomic_fetch_add_explicit(&share->refs, 1, memory_order_relaxed);
		if (ms_pool_submit(pool, &share->helpers[i].job, NULL, help, helped) != MS_OK)
			leave(share); // busy after all: fewer helpers
	}
	take_parts(share);
	pthread_mutex_lock(&share->lock);
	while (share->done < count)
		pthread_cond_wait(&share->all_done, &share->lock);
	pthread_mutex_unlock(&share->lock);
	leave(share);
}
