// SPDX-License-Identifier: Apache-2.0
// Threads, and pools of them: one queue, one lock. A job is milliseconds of work, so the lock is not where time goes.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "rt/internal.h"

#define MAX_THREADS 256
#define MAX_DEPTH 1000000

struct pool {
	pthread_mutex_t lock; // guards all but the constants
	pthread_cond_t work;  // a job was queued, or the pool ends
	struct job *oldest;
	struct job *newest;
	struct pool_stats stats;
	bool ending;
	const char *name;      // constant
	unsigned depth;        // constant
	unsigned thread_count; // constant once submissions can come
	pthread_t threads[];   // likewise
};

// --- Threads -----------------------------------------------------------------------------------------

int ms_thread_create(pthread_t *ret_thread, void *(*fn)(void *), void *arg)
{
	// Signals of faults stay open: the kernel would end the process without running a handler. SIGPROF too, for profilers.
	static const int open_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPROF};
	sigset_t blocked, before;
	sigfillset(&blocked);
	for (size_t i = 0; i < MS_ARRAY_LEN(open_signals); i++)
		sigdelset(&blocked, open_signals[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, &before); // the new thread inherits it
	int error = pthread_create(ret_thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return error;
}

struct thread {
	pthread_t id;
	thread_fn *fn;
	void *arg;
	char name[16];
};

static void *thread_main(void *arg)
{
	struct thread *thread = arg;
	pthread_setname_np(pthread_self(), thread->name);
	thread->fn(thread->arg);
	return NULL;
}

enum ms_err ms_thread_new(const char *name, thread_fn *fn, void *arg, struct errinfo *info, struct thread **ret_thread)
{
	struct thread *thread = calloc(1, sizeof(*thread));
	if (thread == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while starting the thread '%s'", name);
	thread->fn = fn;
	thread->arg = arg;
	snprintf(thread->name, sizeof(thread->name), "%s", name);
	int error = ms_thread_create(&thread->id, thread_main, thread);
	if (error != 0) {
		free(thread);
		return ms_fail_errno(info, "start the thread", name, error);
	}
	*ret_thread = thread;
	return MS_OK;
}

void ms_thread_join(struct thread *thread)
{
	if (thread == NULL)
		return;
	int error = pthread_join(thread->id, NULL);
	MS_ASSERT(error == 0);
	free(thread);
}

// --- Pools -------------------------------------------------------------------------------------------

static void come_home(struct mail *mail)
{
	struct job *job = MS_CONTAINER_OF(mail, struct job, mail);
	job->done(job);
}

// Waits for a job and takes it; NULL when the pool ends and none is left. The lock is held.
static struct job *take_job(struct pool *pool)
{
	while (pool->oldest == NULL && !pool->ending)
		pthread_cond_wait(&pool->work, &pool->lock);
	struct job *job = pool->oldest;
	if (job == NULL)
		return NULL;
	pool->oldest = job->next;
	if (pool->oldest == NULL)
		pool->newest = NULL;
	job->next = NULL;
	pool->stats.waiting--;
	pool->stats.running++;
	return job;
}

static void *pool_thread(void *arg)
{
	struct pool *pool = arg;
	char name[16];
	snprintf(name, sizeof(name), "%s", pool->name);
	pthread_setname_np(pthread_self(), name);
	pthread_mutex_lock(&pool->lock);
	for (struct job *job; (job = take_job(pool)) != NULL;) {
		pthread_mutex_unlock(&pool->lock);
		int64_t waited_ns = ms_clock_mono_ns() - job->queued_ns;
		job->work(job);
		pthread_mutex_lock(&pool->lock);
		pool->stats.running--;
		pool->stats.completed++;
		pool->stats.waited_ns += waited_ns;
		pthread_mutex_unlock(&pool->lock);
		if (job->home != NULL)
			ms_loop_post(job->home, &job->mail, come_home);
		else
			job->done(job);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

enum ms_err ms_pool_new(const struct pool_options *options, struct errinfo *info, struct pool **ret_pool)
{
	if (options->threads < 1 || options->threads > MAX_THREADS)
		return ms_fail(info, MS_ERR_INVALID, "the pool '%s' was given %u threads; 1 to %d are possible",
			       options->name, options->threads, MAX_THREADS);
	if (options->depth < 1 || options->depth > MAX_DEPTH)
		return ms_fail(info, MS_ERR_INVALID, "the pool '%s' was given a depth of %u; 1 to %d are possible",
			       options->name, options->depth, MAX_DEPTH);
	struct pool *pool = calloc(1, sizeof(*pool) + options->threads * sizeof(pool->threads[0]));
	if (pool == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory while making the pool '%s'", options->name);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->work, NULL);
	pool->name = options->name;
	pool->depth = options->depth;
	for (; pool->thread_count < options->threads; pool->thread_count++) {
		int error = ms_thread_create(&pool->threads[pool->thread_count], pool_thread, pool);
		if (error == 0)
			continue;
		ms_pool_free(pool);
		return ms_fail_errno(info, "start a thread of the pool", options->name, error);
	}
	*ret_pool = pool;
	return MS_OK;
}

void ms_pool_free(struct pool *pool)
{
	if (pool == NULL)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->ending = true;
	pthread_cond_broadcast(&pool->work);
	pthread_mutex_unlock(&pool->lock);
	for (unsigned i = 0; i < pool->thread_count; i++) {
		int error = pthread_join(pool->threads[i], NULL);
		MS_ASSERT(error == 0); // EDEADLK: called from a thread of the pool
	}
	MS_ASSERT(pool->oldest == NULL && pool->stats.running == 0);
	pthread_cond_destroy(&pool->work);
	pthread_mutex_destroy(&pool->lock);
	free(pool);
}

enum ms_err ms_pool_submit(struct pool *pool, struct job *job, struct loop *home, job_fn *work, job_fn *done)
{
	job->next = NULL;
	job->home = home;
	job->work = work;
	job->done = done;
	job->queued_ns = ms_clock_mono_ns();
	enum ms_err err = MS_OK;
	pthread_mutex_lock(&pool->lock);
	struct pool_stats *stats = &pool->stats;
	if (pool->ending)
		err = MS_ERR_DRAINING;
	else if (stats->waiting + stats->running >= pool->depth + pool->thread_count)
		err = MS_ERR_BUSY;
	if (err == MS_OK) {
		if (pool->newest != NULL)
			pool->newest->next = job;
		else
			pool->oldest = job;
		pool->newest = job;
		stats->waiting++;
		pthread_cond_signal(&pool->work);
	} else {
		stats->rejected++;
	}
	pthread_mutex_unlock(&pool->lock);
	return err;
}

struct pool_stats ms_pool_stats(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	struct pool_stats stats = pool->stats;
	pthread_mutex_unlock(&pool->lock);
	return stats;
}

unsigned ms_pool_threads(const struct pool *pool)
{
	return pool->thread_count;
}
