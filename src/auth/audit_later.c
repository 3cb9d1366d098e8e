// SPDX-License-Identifier: Apache-2.0
// Entries that loops hand over without waiting, and the life of the log: a queue that any thread pushes to, and one thread (the keeper) that
// writes what waits, signs heads and asks for new keys.
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/vault.h"

#define BATCH 200
#define GATHER_MS 50 // how long entries are gathered before a transaction
#define RETRY_MS 1000
#define TICK_MS 1000
#define ROTATION_TICKS 60
#define TEXT_MAX 1024
#define DETAILS_MAX 4096

// An entry with its texts behind it.
struct waiting {
	struct waiting *next;
	struct audit_entry entry;
	int64_t time_us;
	char text[];
};

struct audit {
	struct auth *auth;
	struct jose_key *key; // signs heads
	// Pushed to by any thread, newest first; taken whole by the keeper.
	_Atomic(struct waiting *) pushed;
	atomic_uint count; // that wait
	atomic_uint_fast64_t dropped;
	atomic_uint_fast64_t since_head; // entries of this process
	atomic_bool woken;               // the mail is on its way
	struct mail wake;
	struct waiting *queue; // the keeper's: oldest first
	// Loop 0's.
	struct timer *gather, *tick;
	struct job write, head;
	bool writing, signing, stopping;
	int64_t head_ns;
	unsigned ticks;
};

// --- Handing over ------------------------------------------------------------------------------------

static struct slice put(char **at, struct slice text, size_t max)
{
	struct slice copy = ms_slice(*at, MS_MIN(text.n, max));
	if (copy.n > 0)
		memcpy(*at, text.p, copy.n);
	*at += copy.n;
	return copy;
}

static size_t size_of(const struct audit_entry *e, struct slice details)
{
	const struct auth_actor *by = &e->actor;
	const struct slice texts[] = {by->id, by->name, by->address, by->session, by->request_id, e->target};
	size_t size = sizeof(struct waiting) + details.n;
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++)
		size += MS_MIN(texts[i].n, (size_t)TEXT_MAX);
	return size;
}

static struct waiting *copy_entry(const struct audit_entry *e)
{
	struct slice details = e->details.n > DETAILS_MAX ? MS_SLICE_LIT("{\"cut\":true}") : e->details;
	struct waiting *w = malloc(size_of(e, details)); // many may wait: no more than it takes
	if (w == NULL)
		return NULL;
	char *at = w->text;
	*w = (struct waiting){.entry = {.event = e->event, .outcome = e->outcome, .actor.kind = e->actor.kind},
			      .time_us = ms_clock_wall_ns() / 1000};
	w->entry.actor.id = put(&at, e->actor.id, TEXT_MAX);
	w->entry.actor.name = put(&at, e->actor.name, TEXT_MAX);
	w->entry.actor.address = put(&at, e->actor.address, TEXT_MAX);
	w->entry.actor.session = put(&at, e->actor.session, TEXT_MAX);
	w->entry.actor.request_id = put(&at, e->actor.request_id, TEXT_MAX);
	w->entry.target = put(&at, e->target, TEXT_MAX);
	w->entry.details = put(&at, details, DETAILS_MAX);
	return w;
}

static enum ms_err append_now(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct waiting *w = arg;
	return ms_audit_append_at(tx, NULL, &w->entry, w->time_us, info);
}

static void wake(struct mail *mail)
{
	struct audit *a = MS_CONTAINER_OF(mail, struct audit, wake);
	atomic_store(&a->woken, false);
	if (!a->stopping && !a->writing)
		ms_timer_start(a->gather, GATHER_MS, 0);
}

bool ms_audit_is_behind(const struct auth *auth)
{
	return atomic_load_explicit(&auth->vault->audit->count, memory_order_relaxed) >= AUDIT_QUEUE_MAX;
}

void ms_audit_later(struct auth *auth, const struct audit_entry *entry)
{
	if (auth == NULL)
		return;
	struct audit *a = auth->vault->audit;
	bool may_drop = entry->outcome == AUDIT_REFUSED;
	if (may_drop && ms_audit_is_behind(auth)) {
		atomic_fetch_add(&a->dropped, 1);
		return;
	}
	struct waiting *w = copy_entry(entry);
	if (w == NULL) {
		atomic_fetch_add(&a->dropped, 1);
		return;
	}
	if (auth->options.rt == NULL) { // the command line
		struct errinfo info;
		ms_errinfo_init(&info);
		if (ms_store_write_wait(auth->options.store, append_now, w, &info) != MS_OK)
			ms_log(auth->options.log, LOG_ERROR, "an entry of the audit log could not be written",
			       MS_LOG_CSTR("error.message", info.message));
		free(w);
		return;
	}
	atomic_fetch_add(&a->count, 1);
	struct waiting *first = atomic_load(&a->pushed);
	do
		w->next = first;
	while (!atomic_compare_exchange_weak(&a->pushed, &first, w));
	if (!atomic_exchange(&a->woken, true))
		ms_loop_post(ms_rt_loop(auth->options.rt, 0), &a->wake, wake);
}

void ms_audit_count(struct auth *auth)
{
	atomic_fetch_add_explicit(&auth->vault->audit->since_head, 1, memory_order_relaxed);
}

uint64_t ms_audit_dropped(const struct auth *auth)
{
	return atomic_load(&auth->vault->audit->dropped);
}

// --- Writing, on the keeper --------------------------------------------------------------------------

// Puts what was pushed behind the queue, in the order of pushing.
static void take_pushed(struct audit *a)
{
	struct waiting *list = atomic_exchange(&a->pushed, NULL), *ordered = NULL;
	while (list != NULL) {
		struct waiting *next = list->next;
		list->next = ordered;
		ordered = list;
		list = next;
	}
	struct waiting **end = &a->queue;
	while (*end != NULL)
		end = &(*end)->next;
	*end = ordered;
}

struct batch {
	struct auth *auth;
	const struct waiting *first;
	uint64_t dropped;
	size_t written;
};

static enum ms_err append_dropped(struct store_tx *tx, const struct batch *b, struct errinfo *info)
{
	char details[64];
	int n = snprintf(details, sizeof(details), "{\"count\":%llu}", (unsigned long long)b->dropped);
	const struct audit_entry entry = {.event = AUTH_AUDIT_DROPPED,
					  .outcome = AUDIT_FAILED,
					  .actor = ms_auth_actor_system(),
					  .details = ms_slice(details, (size_t)n)};
	return ms_audit_append(tx, b->auth, &entry, info);
}

static enum ms_err append_batch(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct batch *b = arg;
	b->written = 0;
	for (const struct waiting *w = b->first; w != NULL && b->written < BATCH; w = w->next, b->written++)
		MS_TRY(ms_audit_append_at(tx, b->auth, &w->entry, w->time_us, info));
	return b->dropped > 0 ? append_dropped(tx, b, info) : MS_OK;
}

// Writes what waits. A failure leaves it for the next time.
static enum ms_err write_waiting(struct audit *a, struct errinfo *info)
{
	take_pushed(a);
	while (a->queue != NULL || atomic_load(&a->dropped) > 0) {
		struct batch b = {.auth = a->auth, .first = a->queue, .dropped = atomic_load(&a->dropped)};
		MS_TRY(ms_store_write_wait(a->auth->options.store, append_batch, &b, info));
		atomic_fetch_sub(&a->dropped, b.dropped);
		atomic_fetch_sub(&a->count, (unsigned)b.written);
		for (; b.written > 0; b.written--) {
			struct waiting *w = a->queue;
			a->queue = w->next;
			free(w);
		}
		take_pushed(a);
	}
	return MS_OK;
}

static void write_work(struct job *job)
{
	struct audit *a = MS_CONTAINER_OF(job, struct audit, write);
	struct errinfo info;
	ms_errinfo_init(&info);
	if (write_waiting(a, &info) != MS_OK)
		ms_log(a->auth->options.log, LOG_ERROR, "the audit log cannot be written; its entries wait",
		       MS_LOG_CSTR("error.message", info.message),
		       MS_LOG_INT("mainstay.audit.waiting", (int64_t)atomic_load(&a->count)));
}

static void sign_head(struct audit *a)
{
	struct errinfo info;
	int64_t seq;
	ms_errinfo_init(&info);
	if (ms_audit_sign_head(a->auth, a->key, &info, &seq) != MS_OK)
		ms_log(a->auth->options.log, LOG_ERROR, "the audit log's head could not be signed",
		       MS_LOG_CSTR("error.message", info.message));
}

static void head_work(struct job *job)
{
	sign_head(MS_CONTAINER_OF(job, struct audit, head));
}

// --- Loop 0 ------------------------------------------------------------------------------------------

static void write_done(struct job *job)
{
	struct audit *a = MS_CONTAINER_OF(job, struct audit, write);
	a->writing = false;
	if (!a->stopping && (atomic_load(&a->count) > 0 || atomic_load(&a->dropped) > 0))
		ms_timer_start(a->gather, a->queue != NULL ? RETRY_MS : GATHER_MS, 0);
}

static void on_gather(struct timer *timer, void *arg)
{
	struct audit *a = arg;
	(void)timer;
	if (a->writing)
		return;
	a->writing = ms_pool_submit(a->auth->vault->keeper, &a->write, ms_rt_loop(a->auth->options.rt, 0), write_work,
				    write_done) == MS_OK;
	if (!a->writing)
		ms_timer_start(a->gather, RETRY_MS, 0);
}

static void head_done(struct job *job)
{
	MS_CONTAINER_OF(job, struct audit, head)->signing = false;
}

// Refusals of the last second that came too fast for entries of their own: their number is in the log, though no later one may come to tell it.
static void record_unrecorded(struct audit *a)
{
	uint64_t unrecorded = ms_auth_take_unrecorded(a->auth);
	if (unrecorded == 0)
		return;
	char details[80];
	int n = snprintf(details, sizeof(details), "{\"reason\":\"too many at once\",\"unrecorded\":%llu}",
			 (unsigned long long)unrecorded);
	const struct audit_entry entry = {.event = AUTH_DENIED,
					  .outcome = AUDIT_REFUSED,
					  .actor = ms_auth_actor_system(),
					  .details = ms_slice(details, (size_t)n)};
	ms_audit_later(a->auth, &entry);
}

static void on_tick(struct timer *timer, void *arg)
{
	struct audit *a = arg;
	(void)timer;
	record_unrecorded(a);
	struct loop *loop = ms_rt_loop(a->auth->options.rt, 0);
	int64_t now = ms_loop_now_ns(loop);
	bool due = now - a->head_ns >= AUDIT_HEAD_SECONDS * 1000000000LL ||
		   atomic_load(&a->since_head) >= AUDIT_HEAD_ENTRIES;
	if (due && !a->signing) {
		a->head_ns = now;
		atomic_store(&a->since_head, 0);
		a->signing = ms_pool_submit(a->auth->vault->keeper, &a->head, loop, head_work, head_done) == MS_OK;
	}
	if (++a->ticks % ROTATION_TICKS == 0)
		ms_signing_tick(a->auth);
}

// --- Life --------------------------------------------------------------------------------------------

static void record_life(struct audit *a, enum auth_event event)
{
	const struct audit_entry entry = {.event = event,
					  .actor = ms_auth_actor_system(),
					  .target = MS_SLICE_LIT("server"),
					  .details = MS_SLICE_LIT("{\"version\":\"" MAINSTAY_VERSION "\"}")};
	ms_audit_later(a->auth, &entry);
}

// The last entry must be the one that the chain ends with: says so early, in the log; `audit verify` says where.
static enum ms_err look_at_end(struct store_tx *tx, void *arg, struct errinfo *info)
{
	bool *ret_whole = arg;
	struct audit_chain chain;
	struct store_rows rows;
	MS_TRY(ms_audit_read_chain(tx, info, &chain));
	MS_TRY(ms_store_query(tx, "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", MS_STORE_NO_PARAMS, 1, info,
			      &rows));
	*ret_whole = rows.count == 0 ? chain.seq == 0
				     : ms_store_get_int(&rows, 0, 0) == chain.seq &&
					       ms_slice_eq(ms_store_get_blob(&rows, 0, 1), chain.hash);
	return MS_OK;
}

static enum ms_err start_timers(struct audit *a, struct errinfo *info)
{
	struct loop *loop = ms_rt_loop(a->auth->options.rt, 0);
	bool whole = true;
	MS_TRY(ms_store_read_wait(a->auth->options.store, look_at_end, &whole, info));
	if (!whole)
		ms_log(a->auth->options.log, LOG_ERROR,
		       "the end of the audit log was changed: mainstay audit verify says where");
	MS_TRY(ms_timer_new(loop, on_gather, a, &a->gather));
	MS_TRY(ms_timer_new(loop, on_tick, a, &a->tick));
	a->head_ns = ms_loop_now_ns(loop);
	ms_timer_start(a->tick, TICK_MS, TICK_MS);
	return MS_OK;
}

enum ms_err ms_audit_new(struct auth *auth, struct errinfo *info)
{
	struct audit *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	a->auth = auth;
	auth->vault->audit = a;
	if (auth->options.rt == NULL)
		return MS_OK;
	MS_TRY(ms_audit_key(auth->options.store, auth->vault->vault, info, &a->key));
	MS_TRY(start_timers(a, info));
	record_life(a, AUTH_SERVER_STARTED);
	return MS_OK;
}

// The keeper has ended.
void ms_audit_stop(struct auth *auth)
{
	struct audit *a = auth->vault->audit;
	struct errinfo info;
	if (a == NULL || auth->options.rt == NULL)
		return;
	a->stopping = true;
	ms_timer_free(a->gather);
	ms_timer_free(a->tick);
	if (a->tick == NULL)
		return; // the start failed before there was anything to end
	a->gather = a->tick = NULL;
	record_unrecorded(a);
	record_life(a, AUTH_SERVER_STOPPED);
	ms_errinfo_init(&info);
	if (write_waiting(a, &info) != MS_OK)
		ms_log(auth->options.log, LOG_ERROR, "entries of the audit log are lost: the store cannot be written",
		       MS_LOG_CSTR("error.message", info.message),
		       MS_LOG_INT("mainstay.audit.waiting", (int64_t)atomic_load(&a->count)));
	sign_head(a);
}

void ms_audit_free(struct auth *auth)
{
	struct audit *a = auth->vault->audit;
	if (a == NULL)
		return;
	take_pushed(a);
	while (a->queue != NULL) {
		struct waiting *next = a->queue->next;
		free(a->queue);
		a->queue = next;
	}
	ms_jose_key_unref(a->key);
	free(a);
}
