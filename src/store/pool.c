// SPDX-License-Identifier: Apache-2.0
// Connections of a lane: taken and given back, opened when none is idle, tried again with growing pauses while the database is away.
#include <time.h>

#include "store/private.h"

#define FIRST_PAUSE_NS 50000000LL
#define LAST_PAUSE_NS 2000000000LL
#define STOP_PATIENCE_NS 2000000000LL

void ms_store_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attr);
	pthread_condattr_destroy(&attr);
}

void ms_store_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t mono_ns)
{
	const struct timespec until = {.tv_sec = mono_ns / 1000000000, .tv_nsec = mono_ns % 1000000000};
	pthread_cond_timedwait(cond, lock, &until);
}

void ms_store_pool_init(struct store_pool *pool, enum store_purpose purpose, unsigned max)
{
	*pool = (struct store_pool){.purpose = purpose, .max = max};
	pthread_mutex_init(&pool->lock, NULL);
	ms_store_cond_init(&pool->changed);
}

static struct store_conn *pop_idle(struct store_pool *pool)
{
	struct store_conn *conn = pool->idle;
	if (conn != NULL) {
		pool->idle = conn->next;
		pool->idle_count--;
		conn->next = NULL;
	}
	return conn;
}

void ms_store_pool_close(struct store_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	for (struct store_conn *conn; (conn = pop_idle(pool)) != NULL; pool->open--)
		conn->driver->close(conn);
	MS_ASSERT(pool->open == 0);
	pthread_mutex_unlock(&pool->lock);
}

void ms_store_pool_fini(struct store_pool *pool)
{
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->lock);
}

// The lock is held, and was let go meanwhile. Opens one; after a failure, nobody tries before the pause is over.
static enum ms_err open_one(struct store *store, struct store_pool *pool, struct errinfo *info,
			    struct store_conn **ret_conn)
{
	pool->open++;
	pool->probing = true;
	unsigned generation = pool->generation;
	pthread_mutex_unlock(&pool->lock);
	struct store_conn *conn = NULL;
	enum ms_err err = store->driver->open(&store->target, pool->purpose, info, &conn);
	pthread_mutex_lock(&pool->lock);
	pool->probing = false;
	if (err == MS_OK) {
		conn->generation = generation;
		pool->retry_ns = pool->pause_ns = 0;
		atomic_store(&store->healthy, true);
		*ret_conn = conn;
	} else {
		pool->open--;
		pool->pause_ns = MS_MIN(MS_MAX(pool->pause_ns * 2, FIRST_PAUSE_NS), LAST_PAUSE_NS);
		pool->retry_ns = ms_clock_mono_ns() + pool->pause_ns;
		// A server may refuse further connections and still serve those that there are.
		if (pool->open == 0)
			atomic_store(&store->healthy, false);
	}
	pthread_cond_broadcast(&pool->changed);
	return err;
}

// The newest idle connection that is not suspect. The lock is held, and let go while one is closed.
static struct store_conn *take_idle(struct store_pool *pool)
{
	for (struct store_conn *conn; (conn = pop_idle(pool)) != NULL;) {
		if (conn->generation == pool->generation)
			return conn;
		pool->open--;
		pthread_mutex_unlock(&pool->lock);
		conn->driver->close(conn);
		pthread_mutex_lock(&pool->lock);
	}
	return NULL;
}

// A store that stops waits for a database that is away, but not for long.
static int64_t earlier(const struct store *store, int64_t deadline_ns)
{
	return atomic_load(&store->stopping) ? MS_MIN(deadline_ns, store->stop_ns + STOP_PATIENCE_NS) : deadline_ns;
}

void ms_store_pool_wake(struct store_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
}

enum ms_err ms_store_pool_take(struct store *store, struct store_pool *pool, int64_t deadline_ns, struct errinfo *info,
			       struct store_conn **ret_conn)
{
	struct errinfo why;
	enum ms_err err = MS_ERR_STORE_GONE;
	ms_errinfo_init(&why);
	pthread_mutex_lock(&pool->lock);
	struct store_conn *conn;
	bool first = true;
	while ((conn = take_idle(pool)) == NULL) {
		int64_t now_ns = ms_clock_mono_ns();
		deadline_ns = earlier(store, deadline_ns);
		bool away = pool->retry_ns != 0;
		bool may_open = pool->open < pool->max && (!away || (!pool->probing && now_ns >= pool->retry_ns));
		// When the time is over for one who has not tried yet, there is still one try; not while the pause lasts.
		if (now_ns >= deadline_ns && !(first && may_open))
			break;
		if (may_open) {
			first = false;
			ms_errinfo_init(&why);
			err = open_one(store, pool, &why, &conn);
			if (err == MS_OK || err != MS_ERR_STORE_GONE)
				break;
			continue;
		}
		int64_t until_ns = away && !pool->probing ? MS_MIN(pool->retry_ns, deadline_ns) : deadline_ns;
		ms_store_cond_wait_until(&pool->changed, &pool->lock, until_ns);
	}
	pthread_mutex_unlock(&pool->lock);
	if (conn == NULL)
		return why.code == err
			       ? ms_fail(info, err, "%s", why.message)
			       : ms_fail(info, err, "the database cannot be reached at present; try again later");
	conn->fate = STORE_FATE_FINE;
	*ret_conn = conn;
	return MS_OK;
}

void ms_store_pool_give(struct store_pool *pool, struct store_conn *conn)
{
	bool broken = conn->fate == STORE_FATE_BROKEN;
	pthread_mutex_lock(&pool->lock);
	if (broken && conn->generation == pool->generation)
		pool->generation++;
	bool keep = !broken && conn->generation == pool->generation;
	if (keep) {
		conn->idle_since_ns = ms_clock_mono_ns();
		conn->next = pool->idle;
		pool->idle = conn;
		pool->idle_count++;
	} else {
		pool->open--;
	}
	pthread_cond_signal(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	if (!keep)
		conn->driver->close(conn);
}

// The connections at the end of the list were used longest ago. The lock is held; what is cut off is to be closed.
static struct store_conn *cut_old(struct store_pool *pool, unsigned min, int64_t before_ns)
{
	struct store_conn **at = &pool->idle;
	while (*at != NULL && (*at)->idle_since_ns >= before_ns && (*at)->generation == pool->generation)
		at = &(*at)->next;
	struct store_conn *old = NULL;
	while (*at != NULL) {
		struct store_conn *conn = *at;
		bool suspect = conn->generation != pool->generation;
		if (!suspect && (conn->idle_since_ns >= before_ns || pool->open <= min)) {
			at = &conn->next;
			continue;
		}
		*at = conn->next;
		conn->next = old;
		old = conn;
		pool->idle_count--;
		pool->open--;
	}
	return old;
}

void ms_store_pool_tend(struct store *store, struct store_pool *pool, unsigned min, uint64_t idle_ms)
{
	pthread_mutex_lock(&pool->lock);
	struct store_conn *old = cut_old(pool, min, ms_clock_mono_ns() - (int64_t)idle_ms * 1000000);
	pthread_mutex_unlock(&pool->lock);
	while (old != NULL) {
		struct store_conn *next = old->next;
		old->driver->close(old);
		old = next;
	}
	pthread_mutex_lock(&pool->lock);
	while (pool->open < min && !pool->probing && ms_clock_mono_ns() >= pool->retry_ns &&
	       !atomic_load(&store->stopping)) {
		struct store_conn *conn = NULL;
		if (open_one(store, pool, NULL, &conn) != MS_OK)
			break;
		pthread_mutex_unlock(&pool->lock);
		ms_store_pool_give(pool, conn);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
}

unsigned ms_store_pool_open(struct store_pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	unsigned open = pool->open;
	pthread_mutex_unlock(&pool->lock);
	return open;
}
