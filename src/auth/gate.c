// SPDX-License-Identifier: Apache-2.0
// The hot path's memory, kept up to date. Whatever changes in the store is read by a refresh, one at a time on loop 0, and published to
// every loop by mail; who waits for a change to be in force waits for a refresh that began after he asked.
#include "auth/gate.h"

#include <stdlib.h>

#define CHANGES_MAX 200000 // that a loop keeps
#define LIFE_MARGIN_US ((int64_t)3600 * 1000000)
#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 5000
#define MINUTE_MS 60000
#define SWEEP_MINUTES 60
#define CLOCK_PATIENCE_US ((int64_t)600 * 1000000)

static void refresh(struct auth_gate *gate);

// --- Loading (threads of the store) ------------------------------------------------------------------

static void drop_loaded(struct auth_gate *gate)
{
	ms_auth_snapshot_unref(gate->fresh);
	ms_change_batch_unref(gate->query.batch);
	gate->fresh = NULL;
	gate->query.batch = NULL;
}

static enum ms_err load(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct auth_gate *gate = arg;
	drop_loaded(gate); // of a run before this one
	gate->query = (struct change_query){.seq = gate->seq, .max = CHANGES_MAX, .snapshot = gate->force};
	MS_TRY(ms_changes_load(tx, &gate->query, info));
	if (!gate->query.snapshot)
		return MS_OK;
	return ms_auth_snapshot_load(tx, &gate->environment, gate->latest, info, &gate->fresh);
}

// --- Views -------------------------------------------------------------------------------------------

void ms_view_unref(void *arg)
{
	struct view *view = arg;
	if (view == NULL || --view->refs > 0)
		return;
	ms_auth_snapshot_unref(view->snapshot);
	free(view);
}

static enum ms_err make_views(struct auth_gate *gate, struct errinfo *info)
{
	for (unsigned i = 0; i < gate->loop_count; i++) {
		struct view *view = calloc(1, sizeof(*view));
		if (view == NULL) {
			while (i-- > 0) {
				ms_view_unref(gate->loops[i].next_view);
				gate->loops[i].next_view = NULL;
			}
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for roles and keys");
		}
		view->refs = 1;
		view->snapshot = ms_auth_snapshot_ref(gate->fresh);
		gate->loops[i].next_view = view;
	}
	return MS_OK;
}

// What was loaded, on the loop's own thread.
static void take(struct gate_loop *gl)
{
	if (gl->next_view != NULL) {
		ms_view_unref(gl->view);
		gl->view = gl->next_view;
		gl->next_view = NULL;
	}
	if (gl->gate->query.batch != NULL)
		ms_revoked_feed(&gl->revoked, gl->gate->query.batch);
	ms_revoked_forget(&gl->revoked, ms_loop_wall_ns(gl->loop) / 1000 - gl->gate->life_us - LIFE_MARGIN_US);
	gl->generation++;
}

static void keep_loaded(struct auth_gate *gate)
{
	gate->seq = gate->query.seq;
	gate->force = false;
	if (gate->fresh != NULL) {
		ms_auth_snapshot_unref(gate->latest);
		gate->latest = gate->fresh;
		gate->fresh = NULL;
	}
	ms_change_batch_unref(gate->query.batch);
	gate->query.batch = NULL;
}

// --- The refresh (loop 0) ----------------------------------------------------------------------------

static void tell_settled(struct mail *mail)
{
	struct auth_settle *settle = MS_CONTAINER_OF(mail, struct auth_settle, mail);
	settle->done(settle->arg);
}

static void end_refresh(struct auth_gate *gate)
{
	struct auth_settle *settle = gate->now;
	gate->now = NULL;
	gate->refreshing = false;
	while (settle != NULL) {
		struct auth_settle *next = settle->next;
		ms_loop_post(settle->loop, &settle->mail, tell_settled);
		settle = next;
	}
	if (gate->wanted || gate->next != NULL)
		refresh(gate);
}

static void on_published(struct mail *mail)
{
	struct auth_gate *gate = MS_CONTAINER_OF(mail, struct auth_gate, published);
	keep_loaded(gate);
	end_refresh(gate);
}

static void on_publication(struct mail *mail)
{
	struct gate_loop *gl = MS_CONTAINER_OF(mail, struct gate_loop, mail);
	struct auth_gate *gate = gl->gate;
	take(gl);
	if (atomic_fetch_sub(&gate->publishing, 1) == 1)
		ms_loop_post(gate->loops[0].loop, &gate->published, on_published);
}

static void fail_refresh(struct auth_gate *gate, const struct errinfo *info)
{
	drop_loaded(gate);
	while (gate->now != NULL) { // they wait on
		struct auth_settle *settle = gate->now;
		gate->now = settle->next;
		settle->next = gate->next;
		gate->next = settle;
	}
	gate->refreshing = false;
	if (gate->stopping)
		return;
	if (gate->failures++ % 16 == 0)
		ms_log(gate->auth->options.log, LOG_WARN,
		       "Changes to users, roles and keys cannot be read; trying again",
		       MS_LOG_CSTR("error.message", info->message));
	unsigned shift = MS_MIN(gate->failures, 6U);
	ms_timer_start(gate->retry, MS_MIN((uint64_t)RETRY_FIRST_MS << shift, (uint64_t)RETRY_MAX_MS), 0);
}

static void publish(struct auth_gate *gate)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	if (gate->fresh == NULL && gate->query.batch == NULL) {
		keep_loaded(gate);
		end_refresh(gate);
		return;
	}
	if (gate->fresh != NULL && make_views(gate, &info) != MS_OK) {
		fail_refresh(gate, &info);
		return;
	}
	atomic_store(&gate->publishing, gate->loop_count);
	for (unsigned i = 0; i < gate->loop_count; i++)
		ms_loop_post(gate->loops[i].loop, &gate->loops[i].mail, on_publication);
}

static void on_loaded(struct store_work *work)
{
	struct auth_gate *gate = MS_CONTAINER_OF(work, struct auth_gate, work);
	if (work->err != MS_OK) {
		fail_refresh(gate, &work->info);
		return;
	}
	gate->failures = 0;
	publish(gate);
}

static void refresh(struct auth_gate *gate)
{
	gate->wanted = true;
	if (gate->refreshing || gate->stopping)
		return;
	gate->refreshing = true;
	gate->wanted = false;
	MS_ASSERT(gate->now == NULL);
	gate->now = gate->next;
	gate->next = NULL;
	ms_timer_stop(gate->retry);
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err =
		ms_store_read(gate->auth->options.store, &gate->work, gate->loops[0].loop, load, gate, on_loaded);
	if (err == MS_OK)
		return;
	MS_IGNORE(ms_fail(&info, err, "the store takes no more work"));
	fail_refresh(gate, &info);
}

static void on_notice(void *arg)
{
	refresh(arg);
}

static void on_retry(struct timer *timer, void *arg)
{
	(void)timer;
	refresh(arg);
}

static void on_settle(struct mail *mail)
{
	struct auth_settle *settle = MS_CONTAINER_OF(mail, struct auth_settle, mail);
	struct auth_gate *gate = settle->gate;
	settle->next = gate->next;
	gate->next = settle;
	refresh(gate);
}

void ms_auth_settle(struct auth *auth, struct auth_settle *settle, struct loop *loop, auth_settled_fn *done, void *arg)
{
	*settle = (struct auth_settle){.gate = auth->gate, .loop = loop, .done = done, .arg = arg};
	ms_loop_post(auth->gate->loops[0].loop, &settle->mail, on_settle);
}

// --- When keys were used -----------------------------------------------------------------------------

static bool is_unwritten(const struct live_key *key)
{
	return key->use != NULL &&
	       atomic_load_explicit(&key->use->used_us, memory_order_relaxed) > key->use->written_us;
}

static enum ms_err write_uses(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct auth_gate *gate = arg;
	for (size_t i = 0; i < gate->uses->key_count; i++) {
		const struct live_key *key = &gate->uses->keys[i];
		if (!is_unwritten(key))
			continue;
		key->use->writing_us = atomic_load_explicit(&key->use->used_us, memory_order_relaxed);
		MS_TRY(ms_store_run(
			tx, "UPDATE api_keys SET used_us = $1 WHERE id = $2 AND used_us < $1",
			MS_STORE_PARAMS(ms_store_int(key->use->writing_us), ms_store_text(ms_slice_cstr(key->use->id))),
			info, NULL));
	}
	if (gate->minutes < SWEEP_MINUTES)
		return MS_OK;
	return ms_store_run(tx, "DELETE FROM auth_changes WHERE time_us < $1",
			    MS_STORE_PARAMS(ms_store_int(ms_store_now_us(tx) - gate->life_us - 2 * LIFE_MARGIN_US)),
			    info, NULL);
}

static void on_uses_written(struct store_work *work)
{
	struct auth_gate *gate = MS_CONTAINER_OF(work, struct auth_gate, uses_work);
	for (size_t i = 0; work->err == MS_OK && i < gate->uses->key_count; i++) {
		struct key_use *use = gate->uses->keys[i].use;
		if (use != NULL)
			use->written_us = MS_MAX(use->written_us, use->writing_us);
	}
	if (work->err == MS_OK && gate->minutes >= SWEEP_MINUTES)
		gate->minutes = 0;
	ms_auth_snapshot_unref(gate->uses);
	gate->uses = NULL;
	gate->writing_uses = false;
}

static bool has_uses(const struct auth_snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->key_count; i++) {
		if (is_unwritten(&snapshot->keys[i]))
			return true;
	}
	return false;
}

static void on_minute(struct timer *timer, void *arg)
{
	struct auth_gate *gate = arg;
	(void)timer;
	gate->minutes++;
	if (gate->writing_uses || (gate->minutes < SWEEP_MINUTES && !has_uses(gate->latest)))
		return;
	gate->uses = ms_auth_snapshot_ref(gate->latest);
	gate->writing_uses = true;
	if (ms_store_write(gate->auth->options.store, &gate->uses_work, gate->loops[0].loop, write_uses, gate,
			   on_uses_written) == MS_OK)
		return;
	ms_auth_snapshot_unref(gate->uses); // the next minute will do
	gate->uses = NULL;
	gate->writing_uses = false;
}

// --- Clock -------------------------------------------------------------------------------------------

int64_t ms_gate_now_us(struct gate_loop *gl)
{
	int64_t wall = ms_loop_wall_ns(gl->loop) / 1000, mono = ms_loop_now_ns(gl->loop);
	int64_t expected = gl->clock_us + (mono - gl->clock_mono_ns) / 1000;
	// A step back would bring what has expired to life again. Small ones are not followed; a large one corrects a clock that was wrong.
	if (wall < expected && expected - wall <= CLOCK_PATIENCE_US)
		return expected;
	gl->clock_us = wall;
	gl->clock_mono_ns = mono;
	return wall;
}

// --- Life --------------------------------------------------------------------------------------------

// The life of tokens may have been longer before this start, or is in another process.
static enum ms_err agree_on_life(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct auth_gate *gate = arg;
	struct store_rows rows;
	int64_t own = (int64_t)MS_MIN(gate->auth->options.token_life_ms, (uint64_t)INT64_MAX / 2000) * 1000;
	MS_TRY(ms_store_run(tx, "UPDATE auth_numbers SET value = $1 WHERE name = 'token_life_us' AND value < $1",
			    MS_STORE_PARAMS(ms_store_int(own)), info, NULL));
	MS_TRY(ms_store_query(tx, "SELECT value FROM auth_numbers WHERE name = 'token_life_us'", MS_STORE_NO_PARAMS, 1,
			      info, &rows));
	gate->life_us = rows.count > 0 ? MS_MAX(own, ms_store_get_int(&rows, 0, 0)) : own;
	return MS_OK;
}

// Before the loops run: everything belongs to this thread.
static enum ms_err load_now(struct auth_gate *gate, struct errinfo *info)
{
	gate->force = true;
	enum ms_err err = ms_store_read_wait(gate->auth->options.store, load, gate, info);
	if (err == MS_OK)
		err = make_views(gate, info);
	if (err != MS_OK) {
		drop_loaded(gate);
		return err;
	}
	for (unsigned i = 0; i < gate->loop_count; i++)
		take(&gate->loops[i]);
	keep_loaded(gate);
	return MS_OK;
}

static enum ms_err init_loops(struct auth_gate *gate, struct rt *rt, struct errinfo *info)
{
	gate->loops = calloc(ms_rt_loop_count(rt), sizeof(*gate->loops));
	if (gate->loops == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the guard");
	for (unsigned i = 0; i < ms_rt_loop_count(rt); i++) {
		struct gate_loop *gl = &gate->loops[i];
		gl->gate = gate;
		gl->loop = ms_rt_loop(rt, i);
		ms_revoked_init(&gl->revoked, CHANGES_MAX);
		if (ms_cache_init(&gl->cache, CACHE_TOKENS, CACHE_REFUSED) != MS_OK)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the cache of tokens");
		gate->loop_count++;
		if (ms_hasher_new(&gl->hasher) != MS_OK)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the guard");
	}
	return MS_OK;
}

static enum ms_err init(struct auth_gate *gate, struct errinfo *info)
{
	struct store *store = gate->auth->options.store;
	MS_TRY(init_loops(gate, gate->auth->options.rt, info));
	struct loop *home = gate->loops[0].loop;
	MS_TRY(ms_guard_init(gate, info));
	MS_TRY(ms_store_write_wait(store, agree_on_life, gate, info));
	MS_TRY(load_now(gate, info));
	MS_TRY(ms_store_watch(store, MS_AUTH_CHANGED, home, on_notice, gate));
	MS_TRY(ms_timer_new(home, on_retry, gate, &gate->retry));
	MS_TRY(ms_timer_new(home, on_minute, gate, &gate->minute));
	ms_timer_start(gate->minute, MINUTE_MS, MINUTE_MS);
	return MS_OK;
}

enum ms_err ms_auth_gate_new(struct auth *auth, struct errinfo *info)
{
	if (auth->options.rt == NULL)
		return MS_OK;
	struct auth_gate *gate = calloc(1, sizeof(*gate));
	if (gate == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the guard");
	auth->gate = gate;
	gate->auth = auth;
	ms_arena_init(&gate->arena, 1024, (size_t)16 << 20);
	return init(gate, info);
}

enum ms_err ms_auth_take_environment(struct auth *auth, const char *const *environment, struct errinfo *info)
{
	struct auth_gate *gate = auth->gate;
	if (gate == NULL)
		return MS_OK;
	MS_TRY(ms_environment_keys(environment, &gate->arena, info, &gate->environment));
	return load_now(gate, info);
}

enum ms_err ms_auth_gate_look(struct auth *auth, struct errinfo *info)
{
	return auth->gate != NULL ? load_now(auth->gate, info) : MS_OK;
}

void ms_auth_gate_stop(struct auth *auth)
{
	struct auth_gate *gate = auth->gate;
	if (gate == NULL || gate->stopping)
		return;
	gate->stopping = true;
	ms_timer_free(gate->retry);
	ms_timer_free(gate->minute);
	if (gate->latest == NULL || !has_uses(gate->latest) || gate->writing_uses)
		return;
	struct errinfo info;
	ms_errinfo_init(&info);
	gate->uses = ms_auth_snapshot_ref(gate->latest);
	if (ms_store_write_wait(gate->auth->options.store, write_uses, gate, &info) != MS_OK)
		ms_log(gate->auth->options.log, LOG_WARN, "When API keys were last used could not be written",
		       MS_LOG_CSTR("error.message", info.message));
	ms_auth_snapshot_unref(gate->uses);
	gate->uses = NULL;
}

void ms_auth_gate_free(struct auth *auth)
{
	struct auth_gate *gate = auth->gate;
	if (gate == NULL)
		return;
	auth->gate = NULL;
	for (unsigned i = 0; gate->loops != NULL && i < gate->loop_count; i++) {
		struct gate_loop *gl = &gate->loops[i];
		ms_cache_fini(&gl->cache);
		ms_hasher_free(gl->hasher);
		ms_revoked_fini(&gl->revoked);
		ms_view_unref(gl->view);
		ms_view_unref(gl->next_view);
		for (size_t k = 0; k < gl->verify_count; k++)
			ms_jose_key_unref(gl->verify[k]);
	}
	drop_loaded(gate);
	ms_auth_snapshot_unref(gate->uses);
	ms_auth_snapshot_unref(gate->latest);
	free(gate->loops);
	ms_arena_fini(&gate->arena);
	free(gate);
}
