// SPDX-License-Identifier: Apache-2.0
// The keys that sign and verify tokens, as each loop sees them: an immutable set, swapped by mail when the store says that keys
// changed.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "auth/vault.h"

#define JWKS_MAX ((size_t)256 << 10)
#define SECRET_MIN 32
#define SECRET_KID "jwt-secret"
#define KEEP_SLACK_US (300LL * 1000000) // clocks of others

struct key_set {
	atomic_uint refs;
	struct jose_key *keys[SIGNING_KEYS_MAX];
	size_t count;
	struct jose_key *active; // one of the keys, or NULL
	struct buf jwks;
};

struct swap {
	struct mail mail;
	struct key_set **slot;
	struct key_set *set;
};

struct signing {
	struct auth *auth;
	pthread_mutex_t lock; // of current
	struct key_set *current;
	struct key_set **slots; // by loop; each the loop's own
	unsigned slot_count;
	struct job step, reload;
	atomic_bool stale; // keys changed that could not be read, or not be told to every loop
	// Loop 0's.
	bool stepping, reloading, reload_again;
	bool own_keys; // not those of JWT_SECRET
};

// --- Sets --------------------------------------------------------------------------------------------

static struct key_set *set_new(void)
{
	struct key_set *set = calloc(1, sizeof(*set));
	if (set != NULL) {
		atomic_init(&set->refs, 1);
		ms_buf_init(&set->jwks, JWKS_MAX);
	}
	return set;
}

static struct key_set *set_ref(struct key_set *set)
{
	atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	return set;
}

static void set_unref(struct key_set *set)
{
	if (set == NULL || atomic_fetch_sub(&set->refs, 1) > 1)
		return;
	for (size_t i = 0; i < set->count; i++)
		ms_jose_key_unref(set->keys[i]);
	ms_buf_fini(&set->jwks);
	free(set);
}

static enum ms_err write_jwks(struct key_set *set, bool publish, struct errinfo *info)
{
	struct json_writer w;
	struct buf key;
	ms_buf_init(&key, JWKS_MAX);
	ms_json_writer_init(&w, &set->jwks);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "keys");
	ms_json_begin_array(&w);
	for (size_t i = 0; publish && i < set->count; i++) {
		ms_buf_clear(&key);
		ms_jose_key_write(set->keys[i], false, &key);
		if (!ms_buf_ok(&key))
			set->jwks.failed = true;
		else
			ms_json_raw(&w, ms_buf_slice(&key));
	}
	ms_json_end_array(&w);
	ms_json_end_object(&w);
	ms_buf_fini(&key);
	return ms_buf_ok(&set->jwks) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static enum ms_err parse_row(struct auth *auth, const struct signing_row *row, struct arena *arena,
			     struct errinfo *info, struct key_set *set)
{
	struct slice jwk = row->public_jwk;
	bool active = ms_slice_eq_cstr(row->state, "active");
	enum jose_alg alg;
	if (!ms_jose_alg_find(row->alg, &alg))
		return ms_fail(info, MS_ERR_INVALID, "signing key %.*s has an unknown algorithm",
			       MS_SLICE_ARG(row->kid));
	if (active) {
		char *context = ms_arena_printf(arena, "token-key:%.*s", MS_SLICE_ARG(row->kid));
		if (context == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
		MS_TRY(ms_auth_open(auth, ms_slice_cstr(context), row->sealed, arena, info, &jwk));
	}
	enum ms_err err = ms_jose_key_parse(jwk, alg, info, &set->keys[set->count]);
	if (active)
		ms_wipe((void *)(uintptr_t)jwk.p, jwk.n);
	MS_TRY(err);
	set->active = active ? set->keys[set->count] : set->active;
	set->count++;
	return MS_OK;
}

struct row_job {
	struct arena arena;
	struct signing_row *rows;
	size_t count;
};

static enum ms_err read_rows(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct row_job *job = arg;
	ms_arena_reset(&job->arena);
	return ms_signing_rows(tx, &job->arena, info, &job->rows, &job->count);
}

// Blocks.
static enum ms_err load_own(struct auth *auth, struct errinfo *info, struct key_set **ret_set)
{
	struct row_job job = {0};
	struct key_set *set = set_new();
	if (set == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_arena_init(&job.arena, 8192, (size_t)8 << 20);
	enum ms_err err = ms_store_read_wait(auth->options.store, read_rows, &job, info);
	for (size_t i = 0; err == MS_OK && i < job.count; i++)
		err = parse_row(auth, &job.rows[i], &job.arena, info, set);
	if (err == MS_OK)
		err = write_jwks(set, true, info);
	if (err == MS_OK && set->active == NULL)
		err = ms_fail(info, MS_ERR_INTERNAL, "no signing key is active");
	ms_arena_fini(&job.arena);
	if (err == MS_OK)
		*ret_set = set;
	else
		set_unref(set);
	return err;
}

static enum ms_err load_secret(const char *secret, struct errinfo *info, struct key_set **ret_set)
{
	size_t n = strlen(secret);
	if (n < SECRET_MIN)
		return ms_fail(info, MS_ERR_CONFIG,
			       "JWT_SECRET has %zu bytes; HS256 needs at least %d random ones: openssl rand -base64 "
			       "48. Without it "
			       "tokens are signed with keys that are made here",
			       n, SECRET_MIN);
	struct key_set *set = set_new();
	if (set == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	enum ms_err err =
		ms_jose_key_hmac(JOSE_HS256, ms_slice(secret, n), MS_SLICE_LIT(SECRET_KID), info, &set->keys[0]);
	if (err == MS_OK) {
		set->count = 1;
		set->active = set->keys[0];
		err = write_jwks(set, false, info);
	}
	if (err == MS_OK)
		*ret_set = set;
	else
		set_unref(set);
	return err;
}

// --- Swapping ----------------------------------------------------------------------------------------

static void take(struct mail *mail)
{
	struct swap *swap = MS_CONTAINER_OF(mail, struct swap, mail);
	set_unref(*swap->slot);
	*swap->slot = swap->set;
	free(swap);
}

// Takes over the reference.
static void install(struct signing *s, struct key_set *set)
{
	pthread_mutex_lock(&s->lock);
	struct key_set *old = s->current;
	s->current = set_ref(set);
	pthread_mutex_unlock(&s->lock);
	set_unref(old);
	for (unsigned i = 0; i < s->slot_count; i++) {
		struct swap *swap = malloc(sizeof(*swap));
		if (swap == NULL) {
			atomic_store(&s->stale, true);
			ms_log(s->auth->options.log, LOG_ERROR,
			       "out of memory: a loop keeps its old signing keys for now; it is tried again");
			continue;
		}
		*swap = (struct swap){.slot = &s->slots[i], .set = set_ref(set)};
		ms_loop_post(ms_rt_loop(s->auth->options.rt, i), &swap->mail, take);
	}
	set_unref(set);
}

static void reload_work(struct job *job)
{
	struct signing *s = MS_CONTAINER_OF(job, struct signing, reload);
	struct errinfo info;
	struct key_set *set;
	ms_errinfo_init(&info);
	if (load_own(s->auth, &info, &set) == MS_OK) {
		install(s, set);
		return;
	}
	atomic_store(&s->stale, true);
	ms_log(s->auth->options.log, LOG_ERROR, "signing keys cannot be read; the present ones stay until they can",
	       MS_LOG_CSTR("error.message", info.message));
}

static void reload(struct signing *s);
static void reload_done(struct job *job)
{
	struct signing *s = MS_CONTAINER_OF(job, struct signing, reload);
	s->reloading = false;
	if (s->reload_again)
		reload(s);
}

static void reload(struct signing *s)
{
	struct pool *keeper = s->auth->vault->keeper;
	s->reload_again = s->reloading;
	if (s->reloading || keeper == NULL) // NULL: a notice that comes home after the stop
		return;
	s->reloading = ms_pool_submit(keeper, &s->reload, ms_rt_loop(s->auth->options.rt, 0), reload_work,
				      reload_done) == MS_OK;
}

static void on_changed(void *arg)
{
	reload(arg);
}

// --- Rotation ----------------------------------------------------------------------------------------

static void fill_step(struct auth *auth, struct signing_step *step)
{
	int64_t life = (int64_t)auth->options.token_life_ms * 1000;
	int64_t lead = MS_MAX(SIGNING_LEAD_US, life);
	*step = (struct signing_step){.store = auth->options.store,
				      .vault = auth->vault->vault,
				      .policy = {.alg = ms_jose_alg_name(auth->options.algorithm),
						 .rotation_us = (int64_t)auth->options.key_rotation_ms * 1000,
						 .lead_us = lead,
						 .keep_us = lead + KEEP_SLACK_US,
						 .rotate = ROTATE_BY_AGE},
				      .algorithm = auth->options.algorithm,
				      .actor = ms_auth_actor_system()};
}

static void step_work(struct job *job)
{
	struct signing *s = MS_CONTAINER_OF(job, struct signing, step);
	struct signing_step step;
	struct errinfo info;
	ms_errinfo_init(&info);
	fill_step(s->auth, &step);
	if (ms_signing_do(&step, &info) != MS_OK)
		ms_log(s->auth->options.log, LOG_ERROR, "signing keys could not be rotated; it is tried again",
		       MS_LOG_CSTR("error.message", info.message));
}

static void step_done(struct job *job)
{
	MS_CONTAINER_OF(job, struct signing, step)->stepping = false;
}

void ms_signing_tick(struct auth *auth)
{
	struct signing *s = auth->vault->signing;
	// A key that was taken away must not go on only because the notice came while the store was away.
	if (s->own_keys && atomic_exchange(&s->stale, false))
		reload(s);
	if (!s->own_keys || s->stepping)
		return;
	s->stepping = ms_pool_submit(auth->vault->keeper, &s->step, ms_rt_loop(auth->options.rt, 0), step_work,
				     step_done) == MS_OK;
}

// --- Life --------------------------------------------------------------------------------------------

static enum ms_err start_own(struct auth *auth, struct errinfo *info)
{
	struct signing *s = auth->vault->signing;
	struct signing_step step;
	struct key_set *set;
	fill_step(auth, &step);
	MS_TRY(ms_signing_do(&step, info));
	MS_TRY(load_own(auth, info, &set));
	s->current = set;
	s->own_keys = true;
	if (auth->options.rt == NULL)
		return MS_OK;
	return ms_store_watch(auth->options.store, SIGNING_CHANGED, ms_rt_loop(auth->options.rt, 0), on_changed, s);
}

enum ms_err ms_signing_new(struct auth *auth, struct errinfo *info)
{
	struct signing *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	s->auth = auth;
	pthread_mutex_init(&s->lock, NULL);
	auth->vault->signing = s;
	if (auth->options.jwt_secret[0] != '\0')
		MS_TRY(load_secret(auth->options.jwt_secret, info, &s->current));
	else
		MS_TRY(start_own(auth, info));
	if (auth->options.rt == NULL)
		return MS_OK;
	unsigned loops = ms_rt_loop_count(auth->options.rt);
	s->slots = calloc(loops, sizeof(struct key_set *));
	if (s->slots == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	s->slot_count = loops;
	for (unsigned i = 0; i < loops; i++)
		s->slots[i] = set_ref(s->current);
	return MS_OK;
}

void ms_signing_free(struct auth *auth)
{
	struct signing *s = auth->vault->signing;
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->slot_count; i++)
		set_unref(s->slots[i]);
	set_unref(s->current);
	free(s->slots);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

// --- For the others ----------------------------------------------------------------------------------

static const struct key_set *set_of(const struct auth *auth, const struct loop *loop)
{
	const struct signing *s = auth->vault->signing;
	if (loop == NULL || s->slots == NULL)
		return s->current; // the command line: one thread
	return s->slots[ms_loop_index(loop)];
}

struct jose_keys ms_auth_verify_keys(const struct auth *auth, const struct loop *loop)
{
	const struct key_set *set = set_of(auth, loop);
	return (struct jose_keys){set->keys, set->count};
}

struct jose_key *ms_auth_signing_key(struct auth *auth)
{
	struct signing *s = auth->vault->signing;
	pthread_mutex_lock(&s->lock);
	struct jose_key *key = ms_jose_key_ref(s->current->active);
	pthread_mutex_unlock(&s->lock);
	return key;
}

void ms_auth_write_jwks(const struct auth *auth, const struct loop *loop, struct buf *out)
{
	ms_buf_append_slice(out, ms_buf_slice(&set_of(auth, loop)->jwks));
}
