// SPDX-License-Identifier: Apache-2.0
// The hot path on a real store with three loops: what is changed is in force everywhere once settled, and not before it is known.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/gate.h"
#include "tests/lib/database.h"
#include "tests/lib/test.h"

#define LOOPS 3
#define ARENA_MAX ((size_t)16 << 20)
#define HASH_A "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // SHA-256 of "test"

static const char *const test_environment[] = {"ML_API_KEY_HASH=" HASH_A, NULL};

// --- A whole gate ------------------------------------------------------------------------------------

struct gated {
	char url[600];
	const char *dir;
	struct rt *rt;
	struct store *store;
	struct auth *auth;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t told;
	struct auth_actor by;
	struct auth_authority authority;
	struct arena arena;
	bool halted;
};

static void *run_loops(void *arg)
{
	struct gated *f = arg;
	CHECK_OK(ms_rt_run(f->rt, NULL));
	return NULL;
}

static void open_store(struct gated *f, struct store **ret_store)
{
	const struct store_migrations all[] = {ms_auth_migrations};
	const struct store_options options = {
		.url = f->url, .migrations = all, .migration_count = 1, .migrate = true, .poll_ms = 20};
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_store_open(&options, &info, ret_store);
	CHECK_STR(info.message, "");
	REQUIRE(err == MS_OK);
}

static void begin(struct gated *f, bool postgres, const char *const *environment)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	*f = (struct gated){.dir = ms_test_temp_dir(), .by = ms_auth_actor_system()};
	f->authority.by = &f->by;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->told, NULL);
	ms_arena_init(&f->arena, 4096, ARENA_MAX);
	snprintf(f->url, sizeof(f->url), "%s", ms_test_database(postgres));
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = LOOPS}, NULL, &f->rt) == MS_OK);
	open_store(f, &f->store);
	const struct auth_options options = {
		.store = f->store,
		.rt = f->rt,
		.data_dir = f->dir,
		.issuer = "http://test",
		.audience = "mainstay",
		.jwt_secret = "0123456789abcdef0123456789abcdef",
		.master_key = "",
		.token_life_ms = 3600000,
		.refresh_life_ms = 3600000,
		.refresh_idle_ms = 3600000,
		.password_threads = 1,
		.password_depth = 10,
		.password_memory_kib = 64,
		.password_passes = 1,
		.password_min_length = 8,
		.registration_role = "viewer",
	};
	enum ms_err err = ms_auth_new(&options, &info, &f->auth);
	if (err != MS_OK)
		CHECK_STR(info.message, "");
	REQUIRE(err == MS_OK);
	if (environment != NULL)
		CHECK_OK(ms_auth_take_environment(f->auth, environment, &info));
	REQUIRE(pthread_create(&f->thread, NULL, run_loops, f) == 0);
}

// Stops the loops early, to look at what is left; end() copes.
static void halt(struct gated *f)
{
	if (f->halted)
		return;
	f->halted = true;
	ms_rt_stop(f->rt);
	pthread_join(f->thread, NULL);
}

static void end(struct gated *f)
{
	halt(f);
	ms_auth_stop(f->auth);
	ms_store_stop(f->store);
	ms_rt_deliver(f->rt);
	ms_auth_free(f->auth);
	ms_rt_free(f->rt);
	ms_store_free(f->store);
	ms_arena_fini(&f->arena);
	pthread_cond_destroy(&f->told);
	pthread_mutex_destroy(&f->lock);
}

// --- Calls on loops

struct call {
	struct mail mail;
	struct gated *f;
	struct loop *loop;
	void (*fn)(struct call *call);
	void *arg;
	bool done;
	struct auth_settle settle;
};

static void tell(struct call *call)
{
	pthread_mutex_lock(&call->f->lock);
	call->done = true;
	pthread_cond_broadcast(&call->f->told);
	pthread_mutex_unlock(&call->f->lock);
}

static void deliver(struct mail *mail)
{
	struct call *call = MS_CONTAINER_OF(mail, struct call, mail);
	call->fn(call);
}

static void call_on(struct gated *f, unsigned loop, void (*fn)(struct call *call), void *arg)
{
	struct call call = {.f = f, .loop = ms_rt_loop(f->rt, loop), .fn = fn, .arg = arg};
	ms_loop_post(call.loop, &call.mail, deliver);
	pthread_mutex_lock(&f->lock);
	while (!call.done)
		pthread_cond_wait(&f->told, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static void settled(void *arg)
{
	tell(arg);
}

static void ask_to_settle(struct call *call)
{
	ms_auth_settle(call->f->auth, &call->settle, call->loop, settled, call);
}

static void settle(struct gated *f)
{
	call_on(f, 1, ask_to_settle, NULL);
}

struct asked {
	const char *credential, *permission, *object;
	enum auth_refusal refusal;
	bool allowed;
	char id[64];
};

static void ask(struct call *call)
{
	struct asked *a = call->arg;
	struct arena arena;
	struct gate_answer answer;
	ms_arena_init(&arena, 1024, ARENA_MAX);
	CHECK_OK(ms_gate_check(ms_gate_loop(call->f->auth->gate, call->loop), ms_slice_cstr(a->credential), true,
			       &arena, NULL, &answer));
	a->refusal = answer.refusal;
	a->allowed = answer.refusal == REFUSAL_NONE &&
		     ms_grants_allow(answer.who->grants, a->permission,
				     a->object != NULL ? ms_slice_cstr(a->object) : MS_SLICE_EMPTY);
	if (answer.refusal == REFUSAL_NONE)
		snprintf(a->id, sizeof(a->id), "%.*s", MS_SLICE_ARG(answer.who->id));
	ms_arena_fini(&arena);
	tell(call);
}

// What every loop says: REFUSAL_NONE, REFUSAL_FORBIDDEN, or why it is refused; -1 when they differ.
static int check(struct gated *f, const char *credential, const char *permission, const char *object)
{
	int said = -2;
	for (unsigned i = 0; i < LOOPS; i++) {
		struct asked a = {.credential = credential, .permission = permission, .object = object};
		call_on(f, i, ask, &a);
		int one = a.refusal == REFUSAL_NONE && !a.allowed ? REFUSAL_FORBIDDEN : (int)a.refusal;
		said = said == -2 || said == one ? one : -1;
	}
	return said;
}

// --- Changes

struct step {
	struct gated *f;
	struct slice id, owner, text;
	const struct grants *grants;
	int64_t us;
	struct auth_user_fields fields;
	char secret[MS_API_KEY_SIZE], made[MS_AUTH_ID_SIZE];
	enum ms_err err;
};

static const struct grants *grants_of(struct gated *f, const char *text)
{
	const struct grants *grants;
	struct slice one = ms_slice_cstr(text);
	REQUIRE(ms_grants_parse(&one, 1, &f->arena, NULL, &grants) == MS_OK);
	return grants;
}

static enum ms_err make_key(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct step *s = arg;
	struct auth_key made;
	const struct auth_key key = {.name = MS_SLICE_LIT("test"),
				     .owner_id = s->owner,
				     .scopes = s->grants,
				     .expires_us = s->us > 0 ? ms_store_now_us(tx) + s->us : 0};
	MS_TRY(ms_auth_key_create(tx, s->f->auth, &s->f->authority, &key, info, &made, s->secret));
	REQUIRE(ms_slice_to_cstr(made.id, s->made, sizeof(s->made)));
	return MS_OK;
}

static enum ms_err revoke_key(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct step *s = arg;
	return ms_auth_key_revoke(tx, s->f->auth, &s->f->authority, ms_slice_cstr(s->made), info);
}

static enum ms_err rotate_key(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct step *s = arg;
	struct auth_key made;
	MS_TRY(ms_auth_key_rotate(tx, s->f->auth, &s->f->authority, ms_slice_cstr(s->made), s->us, info, &made,
				  s->secret));
	REQUIRE(ms_slice_to_cstr(made.id, s->made, sizeof(s->made)));
	return MS_OK;
}

static enum ms_err set_role(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct step *s = arg;
	bool created;
	const struct auth_role role = {.name = s->id, .grants = s->grants};
	return ms_auth_role_set(tx, s->f->auth, &s->f->authority, &role, info, &created);
}

static enum ms_err add_user(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct step *s = arg;
	struct auth_user user;
	MS_TRY(ms_auth_user_add(tx, s->f->auth, &s->f->authority, &s->fields, info, &user));
	REQUIRE(ms_slice_to_cstr(user.id, s->made, sizeof(s->made)));
	return MS_OK;
}

static enum ms_err change_user(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct step *s = arg;
	struct auth_user user;
	return ms_auth_user_change(tx, s->f->auth, &s->f->authority, s->id, &s->fields, MS_SLICE_EMPTY, info, &user);
}

static enum ms_err remove_user(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct step *s = arg;
	return ms_auth_user_remove(tx, s->f->auth, &s->f->authority, s->id, info);
}

static enum ms_err void_user(struct store_tx *tx, void *arg, struct errinfo *info)
{
	return ms_auth_void_user(tx, ((struct step *)arg)->id, info);
}

static enum ms_err void_session(struct store_tx *tx, void *arg, struct errinfo *info)
{
	return ms_auth_void_session(tx, ((struct step *)arg)->id, info);
}

static enum ms_err read_used(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct step *s = arg;
	struct auth_key key;
	MS_TRY(ms_auth_key_get(tx, ms_slice_cstr(s->made), info, &key));
	s->us = key.used_us;
	return MS_OK;
}

static enum ms_err add_old_change(struct store_tx *tx, void *arg, struct errinfo *info)
{
	(void)arg;
	return ms_store_run(tx,
			    "INSERT INTO auth_changes (seq, kind, id, time_us) VALUES (0, 'session', 'long ago', 1)",
			    MS_STORE_NO_PARAMS, info, NULL);
}

static enum ms_err count_changes(struct store_tx *tx, void *arg, struct errinfo *info)
{
	int64_t *counts = arg;
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT count(*), min(time_us) FROM auth_changes", MS_STORE_NO_PARAMS, 1, info,
			      &rows));
	counts[0] = ms_store_get_int(&rows, 0, 0);
	counts[1] = ms_store_get_int(&rows, 0, 1);
	return MS_OK;
}

static void write_step(struct gated *f, store_fn *fn, struct step *s)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	s->f = f;
	s->err = ms_store_write_wait(f->store, fn, s, &info);
	if (s->err != MS_OK)
		CHECK_STR(info.message, "");
	REQUIRE(s->err == MS_OK);
	settle(f);
}

static void add(struct gated *f, const char *name, const char *role, const char *grant, char id[MS_AUTH_ID_SIZE])
{
	struct slice one = ms_slice_cstr(grant);
	struct step s = {.fields = {.username = ms_slice_cstr(name),
				    .role = ms_slice_cstr(role),
				    .grants = &one,
				    .grant_count = grant != NULL}};
	write_step(f, add_user, &s);
	memcpy(id, s.made, MS_AUTH_ID_SIZE);
}

static void sign(struct gated *f, const struct auth_claims *claims, char *token, size_t size)
{
	struct buf out;
	ms_buf_init(&out, 1 << 16);
	REQUIRE(ms_auth_token_sign(f->auth, claims, NULL, &out) == MS_OK);
	REQUIRE(ms_slice_to_cstr(ms_buf_slice(&out), token, size));
	ms_buf_fini(&out);
}

// Each on SQLite and on PostgreSQL.
#define GATE_TEST(test_name)                            \
	static void suite_##test_name(struct gated *f); \
	TEST(test_name##_sqlite)                        \
	{                                               \
		struct gated f;                         \
		begin(&f, false, test_environment);     \
		suite_##test_name(&f);                  \
		end(&f);                                \
	}                                               \
	TEST(test_name##_postgres)                      \
	{                                               \
		struct gated f;                         \
		begin(&f, true, test_environment);      \
		suite_##test_name(&f);                  \
		end(&f);                                \
	}                                               \
	static void suite_##test_name(struct gated *f)

// --- Keys

GATE_TEST(gate_keys_come_and_go)
{
	struct step key = {.f = f, .grants = grants_of(f, "predict:churn*")};
	CHECK_INT(check(f, "msk_00000000000000000000000000000000", "predict", NULL), REFUSAL_INVALID);
	write_step(f, make_key, &key);
	CHECK_INT(check(f, key.secret, "predict", "churn"), REFUSAL_NONE);
	CHECK_INT(check(f, key.secret, "predict", "wine"), REFUSAL_FORBIDDEN);
	CHECK_INT(check(f, key.secret, "models.read", NULL), REFUSAL_FORBIDDEN);
	CHECK_INT(check(f, key.secret, "self", NULL), REFUSAL_FORBIDDEN); // it is nobody's
	char wrong[MS_API_KEY_SIZE];
	memcpy(wrong, key.secret, sizeof(wrong));
	wrong[10] = wrong[10] == 'a' ? 'b' : 'a';
	CHECK_INT(check(f, wrong, "predict", "churn"), REFUSAL_INVALID);
	write_step(f, revoke_key, &key);
	CHECK_INT(check(f, key.secret, "predict", "churn"), REFUSAL_INVALID);
	write_step(f, revoke_key, &key); // again is fine
}

GATE_TEST(gate_every_change_is_in_force_once_settled)
{
	size_t rounds = ms_test_rounds(60);
	for (size_t i = 0; i < rounds; i++) {
		struct step key = {.f = f, .grants = grants_of(f, "predict")};
		write_step(f, make_key, &key);
		REQUIRE(check(f, key.secret, "predict", "m") == REFUSAL_NONE);
		write_step(f, revoke_key, &key);
		REQUIRE(check(f, key.secret, "predict", "m") == REFUSAL_INVALID);
	}
}

GATE_TEST(gate_keys_expire_and_overlap)
{
	struct step key = {.f = f, .grants = grants_of(f, "predict"), .us = 300000};
	write_step(f, make_key, &key);
	CHECK_INT(check(f, key.secret, "predict", "m"), REFUSAL_NONE);
	usleep(320000);
	CHECK_INT(check(f, key.secret, "predict", "m"), REFUSAL_EXPIRED);

	struct step old = {.f = f, .grants = grants_of(f, "predict")};
	write_step(f, make_key, &old);
	struct step fresh = old;
	fresh.us = 300000;
	write_step(f, rotate_key, &fresh);
	CHECK(strcmp(fresh.secret, old.secret) != 0 && strcmp(fresh.made, old.made) != 0);
	CHECK_INT(check(f, old.secret, "predict", "m"), REFUSAL_NONE);
	CHECK_INT(check(f, fresh.secret, "predict", "m"), REFUSAL_NONE);
	// What is on its way out is not rotated again.
	CHECK_INT(ms_store_write_wait(f->store, rotate_key, &old, NULL), MS_ERR_CONFLICT);
	usleep(320000);
	CHECK_INT(check(f, old.secret, "predict", "m"), REFUSAL_EXPIRED);
	CHECK_INT(check(f, fresh.secret, "predict", "m"), REFUSAL_NONE);
}

GATE_TEST(gate_keys_do_no_more_than_their_owners)
{
	char id[MS_AUTH_ID_SIZE];
	struct step role = {.f = f, .id = MS_SLICE_LIT("scorer"), .grants = grants_of(f, "predict")};
	write_step(f, set_role, &role);
	add(f, "anna", "scorer", NULL, id);
	struct step key = {.f = f, .grants = MS_GRANTS_ALL, .owner = ms_slice_cstr(id)};
	write_step(f, make_key, &key);
	CHECK_INT(check(f, key.secret, "predict", "m"), REFUSAL_NONE);
	CHECK_INT(check(f, key.secret, "models.write", NULL), REFUSAL_FORBIDDEN);
	CHECK_INT(check(f, key.secret, "keys.write", id), REFUSAL_NONE); // of his own
	CHECK_INT(check(f, key.secret, "keys.write", "another"), REFUSAL_FORBIDDEN);
	role.grants = grants_of(f, "models.*");
	write_step(f, set_role, &role);
	CHECK_INT(check(f, key.secret, "predict", "m"), REFUSAL_FORBIDDEN);
	CHECK_INT(check(f, key.secret, "models.write", "m"), REFUSAL_NONE);
	struct step change = {.id = ms_slice_cstr(id), .fields = {.role = MS_SLICE_LIT("service")}};
	write_step(f, change_user, &change);
	CHECK_INT(check(f, key.secret, "predict", "m"), REFUSAL_NONE);
	change.fields = (struct auth_user_fields){.state = MS_SLICE_LIT("disabled")};
	write_step(f, change_user, &change);
	CHECK_INT(check(f, key.secret, "predict", "m"), REFUSAL_INVALID);
	change.fields.state = MS_SLICE_LIT("active");
	write_step(f, change_user, &change);
	CHECK_INT(check(f, key.secret, "predict", "m"), REFUSAL_NONE);
	write_step(f, remove_user, &change);
	CHECK_INT(check(f, key.secret, "predict", "m"), REFUSAL_INVALID);
}

GATE_TEST(gate_writes_when_keys_were_used)
{
	struct step key = {.f = f, .grants = grants_of(f, "predict")};
	write_step(f, make_key, &key);
	CHECK_INT(check(f, key.secret, "predict", "m"), REFUSAL_NONE);
	struct step other = {.f = f, .grants = grants_of(f, "predict")};
	write_step(f, make_key, &other); // a new snapshot knows it too
	int64_t now_us = ms_clock_wall_ns() / 1000;
	int64_t before[2], after[2];
	halt(f);
	CHECK_OK(ms_store_write_wait(f->store, add_old_change, NULL, NULL));
	CHECK_OK(ms_store_read_wait(f->store, count_changes, before, NULL));
	f->auth->gate->minutes = 60; // an hour has passed: changes that no living token knows of go
	ms_auth_gate_stop(f->auth);  // the last minute is written at the end
	CHECK_OK(ms_store_read_wait(f->store, count_changes, after, NULL));
	CHECK(before[0] >= 3 && before[1] == 1 && after[0] == before[0] - 1 && after[1] > now_us - 60000000);
	CHECK_OK(ms_store_read_wait(f->store, read_used, &key, NULL));
	CHECK(key.us > now_us - 20000000 && key.us <= now_us);
	CHECK_OK(ms_store_read_wait(f->store, read_used, &other, NULL));
	CHECK_INT(other.us, 0);
}

// --- The end

struct late_proof {
	struct gated *f;
	struct auth_proof proof;
	struct arena arena;
	bool done;
};

static enum ms_err add_recovery_set(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct step *s = arg;
	static const char salt[MS_PASSWORD_SALT_SIZE];
	return ms_store_run(
		tx,
		"INSERT INTO recovery_sets (user_id, salt, memory_kib, passes, created_us) VALUES ($1, $2, 64, 1, 1)",
		MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(s->made)), ms_store_blob(ms_slice(salt, sizeof(salt)))),
		info, NULL);
}

static void late_done(struct auth_proof *proof, void *arg)
{
	(void)proof;
	((struct late_proof *)arg)->done = true;
}

// What is on its way when the loops end comes home when the pools are gone.
GATE_TEST(gate_refuses_codes_that_come_home_after_the_end)
{
	struct step user = {.f = f, .fields = {.username = MS_SLICE_LIT("late"), .role = MS_SLICE_LIT("viewer")}};
	struct late_proof late = {.f = f};
	write_step(f, add_user, &user);
	CHECK_OK(ms_store_write_wait(f->store, add_recovery_set, &user, NULL));
	ms_arena_init(&late.arena, 1024, ARENA_MAX);
	late.proof = (struct auth_proof){.user_id = ms_slice_cstr(user.made),
					 .method = AUTH_FACTOR_RECOVERY,
					 .code = MS_SLICE_LIT("01234-56789"),
					 .address = MS_SLICE_LIT("127.0.0.1"),
					 .arena = &late.arena,
					 .done = late_done,
					 .arg = &late};
	halt(f);
	ms_auth_prove(f->auth, ms_rt_loop(f->rt, 1), &late.proof);
	usleep(200000); // the store has answered, and nobody has heard it yet
	ms_auth_stop(f->auth);
	ms_store_stop(f->store);
	ms_rt_deliver(f->rt);
	CHECK(late.done);
	CHECK_INT(late.proof.err, MS_ERR_DRAINING);
	ms_arena_fini(&late.arena);
}

GATE_TEST(gate_takes_keys_of_the_environment)
{
	CHECK_INT(check(f, "test", "predict", "m"), REFUSAL_NONE);
	CHECK_INT(check(f, "test", "models.read", NULL), REFUSAL_FORBIDDEN);
	CHECK_INT(check(f, "test2", "predict", "m"), REFUSAL_INVALID);
	struct step key = {.f = f, .grants = grants_of(f, "predict")};
	write_step(f, make_key, &key); // it is in the next snapshot too
	CHECK_INT(check(f, "test", "predict", "m"), REFUSAL_NONE);
}

// --- Tokens

GATE_TEST(gate_tokens_are_worth_what_holds_now)
{
	char id[MS_AUTH_ID_SIZE], token[2048], own[2048];
	struct step role = {.f = f, .id = MS_SLICE_LIT("scorer"), .grants = grants_of(f, "predict:a")};
	write_step(f, set_role, &role);
	add(f, "berta", "scorer", "metrics.read", id);
	sign(f,
	     &(struct auth_claims){.user_id = ms_slice_cstr(id),
				   .username = MS_SLICE_LIT("berta"),
				   .role = MS_SLICE_LIT("scorer"),
				   .permissions = MS_SLICE_LIT("[\"predict:a\",\"metrics.read\"]")},
	     token, sizeof(token));
	// A user without grants of his own, whom only his role tells about.
	sign(f,
	     &(struct auth_claims){.user_id = MS_SLICE_LIT("0190f3a0-0000-7000-8000-000000000001"),
				   .role = MS_SLICE_LIT("scorer"),
				   .permissions = MS_SLICE_LIT("[\"predict:a\"]")},
	     own, sizeof(own));
	for (int i = 0; i < 2; i++) {
		CHECK_INT(check(f, token, "predict", "a"), REFUSAL_NONE);
		CHECK_INT(check(f, token, "predict", "b"), REFUSAL_FORBIDDEN);
		CHECK_INT(check(f, token, "metrics.read", NULL), REFUSAL_NONE);
		CHECK_INT(check(f, token, "self", NULL), REFUSAL_NONE);
		CHECK_INT(check(f, token, "keys.write", id), REFUSAL_NONE);
		CHECK_INT(check(f, own, "predict", "a"), REFUSAL_NONE);
	}
	role.grants = grants_of(f, "predict:b");
	write_step(f, set_role, &role);
	CHECK_INT(check(f, token, "predict", "a"), REFUSAL_FORBIDDEN);
	CHECK_INT(check(f, token, "predict", "b"), REFUSAL_NONE);
	CHECK_INT(check(f, token, "metrics.read", NULL), REFUSAL_NONE); // his own stays
	CHECK_INT(check(f, own, "predict", "a"), REFUSAL_FORBIDDEN);
	CHECK_INT(check(f, own, "predict", "b"), REFUSAL_NONE);
	// Signed after the change, with what was read before it.
	sign(f,
	     &(struct auth_claims){.user_id = MS_SLICE_LIT("0190f3a0-0000-7000-8000-000000000002"),
				   .role = MS_SLICE_LIT("scorer"),
				   .permissions = MS_SLICE_LIT("[\"predict:a\"]")},
	     own, sizeof(own));
	CHECK_INT(check(f, own, "predict", "a"), REFUSAL_FORBIDDEN);
	CHECK_INT(check(f, own, "predict", "b"), REFUSAL_NONE);
	struct slice grant = MS_SLICE_LIT("audit.read");
	struct step change = {.id = ms_slice_cstr(id), .fields = {.grants = &grant, .grant_count = 1}};
	write_step(f, change_user, &change);
	CHECK_INT(check(f, token, "metrics.read", NULL), REFUSAL_FORBIDDEN);
	CHECK_INT(check(f, token, "audit.read", NULL), REFUSAL_NONE);
}

GATE_TEST(gate_tokens_end_with_session_and_user)
{
	char id[MS_AUTH_ID_SIZE], session[MS_AUTH_ID_SIZE], one[2048], other[2048], fresh[2048];
	add(f, "clara", "viewer", NULL, id);
	ms_auth_id(session);
	const struct auth_claims claims = {.user_id = ms_slice_cstr(id),
					   .role = MS_SLICE_LIT("viewer"),
					   .permissions = MS_SLICE_LIT("[\"models.read\"]")};
	struct auth_claims with_session = claims;
	with_session.session = ms_slice_cstr(session);
	sign(f, &with_session, one, sizeof(one));
	sign(f, &claims, other, sizeof(other));
	CHECK_INT(check(f, one, "models.read", "m"), REFUSAL_NONE);
	write_step(f, void_session, &(struct step){.id = ms_slice_cstr(session)});
	for (int i = 0; i < 3; i++)
		CHECK_INT(check(f, one, "models.read", "m"), REFUSAL_REVOKED);
	CHECK_INT(check(f, other, "models.read", "m"), REFUSAL_NONE);
	usleep(2000);
	struct step user = {.id = ms_slice_cstr(id)};
	write_step(f, void_user, &user);
	CHECK_INT(check(f, other, "models.read", "m"), REFUSAL_REVOKED);
	sign(f, &claims, fresh, sizeof(fresh)); // within the same second
	CHECK_INT(check(f, fresh, "models.read", "m"), REFUSAL_NONE);
	user.fields.state = MS_SLICE_LIT("disabled");
	write_step(f, change_user, &user);
	CHECK_INT(check(f, fresh, "models.read", "m"), REFUSAL_REVOKED);
}

GATE_TEST(gate_tokens_expire_and_are_narrowed)
{
	char token[2048], narrow[2048], program[2048];
	struct auth_claims claims = {.user_id = MS_SLICE_LIT("0190f3a0-0000-7000-8000-000000000001"),
				     .role = MS_SLICE_LIT("operator"),
				     .permissions = MS_SLICE_LIT("[\"models.*\",\"predict\"]"),
				     .expires_s = ms_clock_wall_ns() / 1000000000 + 2};
	sign(f, &claims, token, sizeof(token));
	CHECK_INT(check(f, token, "models.write", "m"), REFUSAL_NONE);
	claims.expires_s = 0;
	claims.scope = MS_SLICE_LIT("openid predict:m profile");
	sign(f, &claims, narrow, sizeof(narrow));
	CHECK_INT(check(f, narrow, "models.write", "m"), REFUSAL_FORBIDDEN);
	CHECK_INT(check(f, narrow, "predict", "m"), REFUSAL_NONE);
	CHECK_INT(check(f, narrow, "predict", "n"), REFUSAL_FORBIDDEN);
	claims = (struct auth_claims){.client_id = MS_SLICE_LIT("app"), .permissions = MS_SLICE_LIT("[\"predict\"]")};
	sign(f, &claims, program, sizeof(program));
	CHECK_INT(check(f, program, "predict", "m"), REFUSAL_NONE);
	CHECK_INT(check(f, program, "self", NULL), REFUSAL_FORBIDDEN);
	write_step(f, void_session, &(struct step){.id = MS_SLICE_LIT("app")});
	CHECK_INT(check(f, program, "predict", "m"), REFUSAL_REVOKED);
	usleep(2100000);
	CHECK_INT(check(f, token, "models.write", "m"), REFUSAL_EXPIRED);
	CHECK_INT(check(f, token, "models.write", "m"), REFUSAL_EXPIRED);
	// One bit changed, and no signature at all.
	char bad[2048];
	snprintf(bad, sizeof(bad), "%s", narrow);
	size_t n = strlen(bad);
	bad[n - 5] = bad[n - 5] == 'A' ? 'B' : 'A';
	CHECK_INT(check(f, bad, "predict", "m"), REFUSAL_INVALID);
	CHECK_INT(check(f, bad, "predict", "m"), REFUSAL_INVALID);
	CHECK_INT(check(f, "a.b.c", "predict", "m"), REFUSAL_INVALID);
	CHECK_INT(check(f, "", "predict", "m"), REFUSAL_INVALID);
}

// --- Another process

GATE_TEST(gate_hears_of_changes_by_others)
{
	struct store *other;
	open_store(f, &other);
	struct step key = {.f = f, .grants = grants_of(f, "predict")};
	write_step(f, make_key, &key);
	CHECK_INT(check(f, key.secret, "predict", "m"), REFUSAL_NONE);
	CHECK_OK(ms_store_write_wait(other, revoke_key, &key, NULL));
	int said = REFUSAL_NONE;
	for (int i = 0; i < 500 && said != REFUSAL_INVALID; i++) {
		usleep(10000);
		said = check(f, key.secret, "predict", "m");
	}
	CHECK_INT(said, REFUSAL_INVALID);
	ms_store_stop(other);
	ms_store_free(other);
}

// --- The clock

GATE_TEST(gate_clock_does_not_follow_small_steps_back)
{
	halt(f);
	struct gate_loop *gl = &f->auth->gate->loops[0];
	int64_t wall_us = ms_loop_wall_ns(gl->loop) / 1000;
	gl->clock_mono_ns = ms_loop_now_ns(gl->loop);
	gl->clock_us = wall_us + 60000000; // the clock was a minute ahead, and was set back
	CHECK(ms_gate_now_us(gl) >= wall_us + 60000000);
	gl->clock_us = wall_us + (int64_t)3600 * 1000000; // an hour: it was wrong
	CHECK(ms_gate_now_us(gl) < wall_us + 60000000);
	CHECK(gl->clock_us < wall_us + 60000000);
}

// --- The heap

static struct hot {
	struct gate_loop *gl;
	const char *key, *token;
	struct arena arena;
	unsigned runs, admitted;
} hot;

static void check_known(void)
{
	const char *const credentials[] = {hot.key, hot.token};
	hot.runs++;
	for (size_t i = 0; i < MS_ARRAY_LEN(credentials); i++) {
		struct gate_answer answer;
		enum ms_err err = ms_gate_check(hot.gl, ms_slice_cstr(credentials[i]), true, &hot.arena, NULL, &answer);
		hot.admitted += err == MS_OK && answer.refusal == REFUSAL_NONE &&
				ms_grants_allow(answer.who->grants, "predict", MS_SLICE_LIT("m"));
		ms_arena_reset(&hot.arena);
	}
}

GATE_TEST(gate_known_credentials_take_no_heap)
{
	char token[2048];
	struct step key = {.f = f, .grants = grants_of(f, "predict")};
	write_step(f, make_key, &key);
	sign(f,
	     &(struct auth_claims){.user_id = MS_SLICE_LIT("0190f3a0-0000-7000-8000-000000000001"),
				   .role = MS_SLICE_LIT("service"),
				   .permissions = MS_SLICE_LIT("[\"predict\"]")},
	     token, sizeof(token));
	halt(f);
	hot = (struct hot){.gl = &f->auth->gate->loops[0], .key = key.secret, .token = token};
	ms_arena_init(&hot.arena, 16384, ARENA_MAX);
	check_known(); // the first time it is verified, and the arena takes its chunk
	CHECK_INT(hot.admitted, 2);
	hot.runs = hot.admitted = 0;
	ms_test_torture(check_known); // again for each allocation that it makes
	CHECK_INT(hot.runs, 1);
	CHECK_INT(hot.admitted, 2);
	ms_arena_fini(&hot.arena);
}
