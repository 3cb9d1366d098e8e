// SPDX-License-Identifier: Apache-2.0
// Users, sessions and tokens on a real store, without loops.
#include <stdio.h>
#include <stdlib.h>

#include "auth/internal.h"
#include "store/store_test_kit.h"

// A test for each database.
#define BOTH(name)                               \
	static void suite_##name(bool postgres); \
	TEST(name##_sqlite)                      \
	{                                        \
		suite_##name(false);             \
	}                                        \
	TEST(name##_postgres)                    \
	{                                        \
		suite_##name(true);              \
	}                                        \
	static void suite_##name(bool postgres)

#define SECRET "0123456789abcdef0123456789abcdef"

struct people {
	struct fixture base; // of the store
	const char *dir;
	struct store *store;
	struct auth *auth;
	struct store_migrations migrations[2];
	struct arena arena;
	struct errinfo info;
	struct auth_actor by;
	struct auth_authority authority;
};

static void begin_with(struct people *f, bool postgres, const char *secret, enum jose_alg algorithm)
{
	*f = (struct people){.dir = ms_test_temp_dir()};
	ms_errinfo_init(&f->info);
	ms_arena_init(&f->arena, 4096, (size_t)16 << 20);
	ms_store_test_begin(&f->base, postgres);
	f->migrations[0] = ms_auth_migrations;
	f->migrations[1] = ms_bus_migrations;
	const struct store_options store = {
		.url = f->base.url, .migrations = f->migrations, .migration_count = 2, .migrate = true};
	if (ms_store_open(&store, &f->info, &f->store) != MS_OK)
		CHECK_STR(f->info.message, "");
	REQUIRE(f->store != NULL);
	f->base.store = f->store;
	const struct auth_options options = {.store = f->store,
					     .data_dir = f->dir,
					     .issuer = "https://id.example",
					     .audience = "mainstay",
					     .jwt_secret = secret,
					     .algorithm = algorithm,
					     .master_key = "",
					     .key_rotation_ms = 86400000,
					     .token_life_ms = 3600000,
					     .refresh_life_ms = 30ULL * 86400000,
					     .refresh_idle_ms = 7ULL * 86400000,
					     .refresh_grace_ms = 30000,
					     .password_threads = 1,
					     .password_depth = 16,
					     .password_memory_kib = 64,
					     .password_passes = 1,
					     .password_min_length = 15};
	if (ms_auth_new(&options, &f->info, &f->auth) != MS_OK)
		CHECK_STR(f->info.message, "");
	REQUIRE(f->auth != NULL);
	f->by = ms_auth_actor_system();
	f->authority.by = &f->by;
}

static void begin(struct people *f, bool postgres)
{
	begin_with(f, postgres, SECRET, JOSE_HS256);
}

static void end(struct people *f)
{
	ms_auth_stop(f->auth);
	ms_auth_free(f->auth);
	ms_store_test_end(&f->base);
	ms_arena_fini(&f->arena);
}

// --- Operations, each a transaction ------------------------------------------------------------------

struct op {
	struct people *f;
	struct auth_user_fields fields;
	struct slice id, refresh;
	struct auth_user user;
	struct auth_tokens tokens;
	struct slice permissions;
	struct slice rehashed;
	bool reused;
	const char *sql;
	int64_t number;
	size_t count;
};

static struct slice keep(struct people *f, struct slice s)
{
	return s.p != NULL ? ms_arena_copy(&f->arena, s) : s;
}

static enum ms_err do_add(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct op *op = arg;
	MS_TRY(ms_auth_user_add(tx, op->f->auth, &op->f->authority, &op->fields, info, &op->user));
	return ms_auth_user_copy(&op->user, &op->f->arena, info, &op->user);
}

static enum ms_err do_find(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct op *op = arg;
	MS_TRY(ms_auth_user_find(tx, op->id, info, &op->user));
	return ms_auth_user_copy(&op->user, &op->f->arena, info, &op->user);
}

static enum ms_err do_change(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct op *op = arg;
	MS_TRY(ms_auth_user_change(tx, op->f->auth, &op->f->authority, op->id, &op->fields, MS_SLICE_EMPTY, info,
				   &op->user));
	return ms_auth_user_copy(&op->user, &op->f->arena, info, &op->user);
}

static enum ms_err do_remove(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct op *op = arg;
	return ms_auth_user_remove(tx, op->f->auth, &op->f->authority, op->id, info);
}

static enum ms_err do_begin(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct op *op = arg;
	const struct auth_session session = {
		.address = MS_SLICE_LIT("192.0.2.1"), .agent = MS_SLICE_LIT("test"), .methods = MS_SLICE_LIT("pwd")};
	MS_TRY(ms_auth_session_begin(tx, op->f->auth, &op->f->by, &op->user, op->rehashed, &session, info, &op->tokens,
				     &op->permissions));
	op->tokens.refresh = keep(op->f, op->tokens.refresh);
	op->tokens.session = keep(op->f, op->tokens.session);
	op->permissions = keep(op->f, op->permissions);
	return ms_auth_user_copy(&op->tokens.user, &op->f->arena, info, &op->tokens.user);
}

static enum ms_err do_refresh(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct op *op = arg;
	MS_TRY(ms_auth_session_refresh(tx, op->f->auth, &op->f->by, op->refresh, MS_SLICE_LIT(""), info, &op->reused,
				       &op->tokens, &op->permissions));
	if (!op->reused)
		op->tokens.refresh = keep(op->f, op->tokens.refresh);
	return MS_OK;
}

static enum ms_err do_sql(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct op *op = arg;
	return ms_store_run(tx, op->sql, MS_STORE_NO_PARAMS, info, NULL);
}

static enum ms_err do_count(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct op *op = arg;
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, op->sql, MS_STORE_NO_PARAMS, 1, info, &rows));
	op->number = ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

static enum ms_err run(struct people *f, store_fn *fn, struct op *op)
{
	op->f = f;
	ms_errinfo_init(&f->info);
	return ms_store_write_wait(f->store, fn, op, &f->info);
}

static void sql(struct people *f, const char *text)
{
	CHECK_OK(run(f, do_sql, &(struct op){.sql = text}));
}

static int64_t count(struct people *f, const char *text)
{
	struct op op = {.sql = text};
	CHECK_OK(run(f, do_count, &op));
	return op.number;
}

static struct auth_user add_user(struct people *f, const char *name, const char *role)
{
	struct op op = {.fields = {.username = ms_slice_cstr(name), .role = ms_slice_cstr(role)}};
	if (run(f, do_add, &op) != MS_OK)
		CHECK_STR(f->info.message, "");
	return op.user;
}

static struct slice sign_in(struct people *f, const struct auth_user *user)
{
	struct op op = {.user = *user};
	if (run(f, do_begin, &op) != MS_OK)
		CHECK_STR(f->info.message, "");
	return op.tokens.refresh;
}

static enum ms_err refresh(struct people *f, struct slice token, struct op *ret_op)
{
	*ret_op = (struct op){.refresh = token};
	return run(f, do_refresh, ret_op);
}

// --- Users -------------------------------------------------------------------------------------------

BOTH(users_names_are_found_in_any_case)
{
	struct people f;
	begin(&f, postgres);
	struct op op = {.fields = {.username = MS_SLICE_LIT("Ada.L"),
				   .email = MS_SLICE_LIT("Ada@Example.org"),
				   .role = MS_SLICE_LIT("viewer")}};
	REQUIRE(run(&f, do_add, &op) == MS_OK);
	struct slice id = op.user.id;
	const char *names[] = {"ada.l", "ADA.L", "ada@example.org", "ADA@EXAMPLE.ORG"};
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++) {
		op = (struct op){.id = ms_slice_cstr(names[i])};
		CHECK_OK(run(&f, do_find, &op));
		CHECK(ms_slice_eq(op.user.id, id));
		CHECK_SLICE(op.user.username, "Ada.L"); // as it was written
	}
	op = (struct op){.id = id};
	CHECK_OK(run(&f, do_find, &op));
	op = (struct op){.id = MS_SLICE_LIT("ada")};
	CHECK_INT(run(&f, do_find, &op), MS_ERR_AUTH_USER_UNKNOWN);
	op = (struct op){.fields = {.username = MS_SLICE_LIT("ADA.l"), .role = MS_SLICE_LIT("viewer")}};
	CHECK_INT(run(&f, do_add, &op), MS_ERR_AUTH_USER_EXISTS);
	op = (struct op){.fields = {.username = MS_SLICE_LIT("bob"),
				    .email = MS_SLICE_LIT("ADA@example.ORG"),
				    .role = MS_SLICE_LIT("viewer")}};
	CHECK_INT(run(&f, do_add, &op), MS_ERR_AUTH_USER_EXISTS);
	end(&f);
}

BOTH(users_wrong_fields)
{
	static const struct {
		const char *username, *email, *role, *state, *field;
	} cases[] = {
		{"", "", "viewer", "active", "username"},
		{"a b", "", "viewer", "active", "username"},
		{".a", "", "viewer", "active", "username"},
		{"a\xc3\xa4", "", "viewer", "active", "username"},
		{"mallory@example.org", "", "viewer", "active", "username"}, // somebody's address
		{"mallory@example.org", "other@example.org", "viewer", "active", "username"},
		{"a", "nobody", "viewer", "active", "email"},
		{"a", "a@b@c", "viewer", "active", "email"},
		{"a", "a@-b.org", "viewer", "active", "email"},
		{"a", "<a@b.org>", "viewer", "active", "email"},
		{"a", "", "emperor", "active", "role"},
		{"a", "", "", "active", "role"},
		{"a", "", "viewer", "sleeping", "state"},
	};
	struct people f;
	begin(&f, postgres);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct op op = {.fields = {.username = ms_slice_cstr(cases[i].username),
					   .email = ms_slice_cstr(cases[i].email),
					   .role = ms_slice_cstr(cases[i].role),
					   .state = ms_slice_cstr(cases[i].state)}};
		if (run(&f, do_add, &op) != MS_ERR_INVALID)
			CHECK_STR(cases[i].username, cases[i].field);
		CHECK_STR(f.info.field, cases[i].field);
	}
	CHECK_INT(count(&f, "SELECT count(*) FROM users"), 0);
	struct op op = {.fields = {.username = MS_SLICE_LIT("m@example.org"),
				   .email = MS_SLICE_LIT("M@example.org"),
				   .role = MS_SLICE_LIT("viewer")}};
	CHECK_OK(run(&f, do_add, &op)); // his own address is fine as a name
	end(&f);
}

BOTH(users_last_administrator_stays)
{
	struct people f;
	begin(&f, postgres);
	struct auth_user root = add_user(&f, "root", "admin");
	struct op op = {.id = root.id};
	CHECK_INT(run(&f, do_remove, &op), MS_ERR_AUTH_LAST_ADMIN);
	op = (struct op){.id = root.id, .fields = {.state = MS_SLICE_LIT("disabled")}};
	CHECK_INT(run(&f, do_change, &op), MS_ERR_AUTH_LAST_ADMIN);
	op = (struct op){.id = root.id, .fields = {.role = MS_SLICE_LIT("viewer")}};
	CHECK_INT(run(&f, do_change, &op), MS_ERR_AUTH_LAST_ADMIN);
	struct auth_user second = add_user(&f, "second", "admin");
	op = (struct op){.id = second.id, .fields = {.state = MS_SLICE_LIT("disabled")}};
	CHECK_OK(run(&f, do_change, &op));
	op = (struct op){.id = root.id};
	CHECK_INT(run(&f, do_remove, &op), MS_ERR_AUTH_LAST_ADMIN); // a disabled one does not count
	op = (struct op){.id = second.id, .fields = {.state = MS_SLICE_LIT("active")}};
	CHECK_OK(run(&f, do_change, &op));
	op = (struct op){.id = root.id};
	CHECK_OK(run(&f, do_remove, &op));
	end(&f);
}

BOTH(users_nobody_gives_more_than_he_has)
{
	struct people f;
	const struct grants *few;
	begin(&f, postgres);
	struct auth_user root = add_user(&f, "root", "admin");
	const struct slice texts[] = {MS_SLICE_LIT("users.write"), MS_SLICE_LIT("models.read"),
				      MS_SLICE_LIT("metrics.read"), MS_SLICE_LIT("predict:churn-*"),
				      MS_SLICE_LIT("self")};
	REQUIRE(ms_grants_parse(texts, MS_ARRAY_LEN(texts), &f.arena, &f.info, &few) == MS_OK);
	f.authority.limit = few;
	struct op op = {.fields = {.username = MS_SLICE_LIT("eve"), .role = MS_SLICE_LIT("admin")}};
	CHECK_INT(run(&f, do_add, &op), MS_ERR_FORBIDDEN);
	const struct slice one[] = {MS_SLICE_LIT("predict:churn-eu")}, other[] = {MS_SLICE_LIT("predict:fraud")};
	op = (struct op){.fields = {.username = MS_SLICE_LIT("eve"),
				    .role = MS_SLICE_LIT("viewer"),
				    .grants = other,
				    .grant_count = 1}};
	CHECK_INT(run(&f, do_add, &op), MS_ERR_FORBIDDEN);
	op.fields.grants = one;
	CHECK_OK(run(&f, do_add, &op));
	struct slice eve = op.user.id;
	op = (struct op){.id = eve, .fields = {.role = MS_SLICE_LIT("operator")}};
	CHECK_INT(run(&f, do_change, &op), MS_ERR_FORBIDDEN);
	// Taking over an account that may more: its password, its state, its end.
	op = (struct op){.id = root.id,
			 .fields = {.password = MS_SLICE_LIT("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$dGFn")}};
	CHECK_INT(run(&f, do_change, &op), MS_ERR_FORBIDDEN);
	op = (struct op){.id = root.id, .fields = {.state = MS_SLICE_LIT("disabled")}};
	CHECK_INT(run(&f, do_change, &op), MS_ERR_FORBIDDEN);
	op = (struct op){.id = root.id};
	CHECK_INT(run(&f, do_remove, &op), MS_ERR_FORBIDDEN);
	// Making him less than oneself, too, while there is another administrator.
	f.authority.limit = NULL;
	(void)add_user(&f, "second", "admin");
	f.authority.limit = few;
	op = (struct op){.id = root.id, .fields = {.role = MS_SLICE_LIT("viewer")}};
	CHECK_INT(run(&f, do_change, &op), MS_ERR_FORBIDDEN);
	op = (struct op){.id = eve};
	CHECK_OK(run(&f, do_remove, &op));
	end(&f);
}

BOTH(users_changes_are_recorded_with_them)
{
	struct people f;
	begin(&f, postgres);
	struct auth_user root = add_user(&f, "root", "admin"), ada = add_user(&f, "ada", "viewer");
	(void)root;
	struct op op = {.id = ada.id,
			.fields = {.role = MS_SLICE_LIT("operator"),
				   .password = MS_SLICE_LIT("$2b$10$abcdefghijklmnopqrstuv")}};
	CHECK_OK(run(&f, do_change, &op));
	op = (struct op){.id = ada.id};
	CHECK_OK(run(&f, do_remove, &op));
	op = (struct op){.fields = {.username = MS_SLICE_LIT("x y"), .role = MS_SLICE_LIT("viewer")}};
	CHECK_INT(run(&f, do_add, &op), MS_ERR_INVALID); // what failed leaves nothing
	CHECK_INT(count(&f, "SELECT count(*) FROM audit WHERE action = 'user.created'"), 2);
	CHECK_INT(count(&f, "SELECT count(*) FROM audit WHERE action = 'user.changed'"), 1);
	CHECK_INT(count(&f, "SELECT count(*) FROM audit WHERE action = 'password.changed'"), 1);
	CHECK_INT(count(&f, "SELECT count(*) FROM audit WHERE action = 'user.removed'"), 1);
	CHECK_INT(count(&f, "SELECT count(*) FROM audit WHERE details LIKE '%$2b$%'"), 0);
	end(&f);
}

// --- Sessions ----------------------------------------------------------------------------------------

BOTH(session_refresh_rotates)
{
	struct people f;
	struct op op;
	begin(&f, postgres);
	struct auth_user ada = add_user(&f, "ada", "viewer");
	struct slice token = sign_in(&f, &ada);
	for (int i = 0; i < 5; i++) {
		CHECK_OK(refresh(&f, token, &op));
		CHECK(!op.reused && !ms_slice_eq(op.tokens.refresh, token));
		token = op.tokens.refresh;
	}
	CHECK_INT(count(&f, "SELECT count(*) FROM sessions WHERE revoked_us = 0"), 1);
	CHECK_INT(count(&f, "SELECT count(*) FROM refresh_tokens"), 6);
	end(&f);
}

BOTH(session_lost_reply_gets_the_same_successor)
{
	struct people f;
	struct op first, again;
	begin(&f, postgres);
	struct auth_user ada = add_user(&f, "ada", "viewer");
	struct slice token = sign_in(&f, &ada);
	CHECK_OK(refresh(&f, token, &first));
	for (int i = 0; i < 3; i++) {
		CHECK_OK(refresh(&f, token, &again));
		CHECK(!again.reused && ms_slice_eq(again.tokens.refresh, first.tokens.refresh));
	}
	CHECK_INT(count(&f, "SELECT count(*) FROM refresh_tokens"), 2);
	// Its successor was used: whoever comes with the old one now has a copy.
	CHECK_OK(refresh(&f, first.tokens.refresh, &again));
	CHECK(!again.reused);
	struct slice newest = again.tokens.refresh;
	CHECK_OK(refresh(&f, token, &again));
	CHECK(again.reused);
	CHECK_INT(count(&f, "SELECT count(*) FROM auth_changes WHERE kind = 'session'"), 1); // access tokens end with it
	CHECK_INT(refresh(&f, newest, &again), MS_ERR_TOKEN_REVOKED); // the whole family ended
	CHECK_INT(refresh(&f, token, &again), MS_ERR_TOKEN_REVOKED);
	CHECK_INT(count(&f, "SELECT count(*) FROM audit WHERE action = 'refresh.reused' AND outcome = 'refused'"), 1);
	end(&f);
}

BOTH(session_reuse_after_the_grace_ends_it)
{
	struct people f;
	struct op op, late;
	begin(&f, postgres);
	struct auth_user ada = add_user(&f, "ada", "viewer");
	struct slice token = sign_in(&f, &ada), other = sign_in(&f, &ada);
	CHECK_OK(refresh(&f, token, &op));
	sql(&f, "UPDATE refresh_tokens SET used_us = used_us - 29000000 WHERE used_us <> 0");
	CHECK_OK(refresh(&f, token, &late));
	CHECK(!late.reused);
	sql(&f, "UPDATE refresh_tokens SET used_us = used_us - 1500000 WHERE used_us <> 0");
	CHECK_OK(refresh(&f, token, &late));
	CHECK(late.reused);
	CHECK_INT(refresh(&f, op.tokens.refresh, &late), MS_ERR_TOKEN_REVOKED);
	CHECK_OK(refresh(&f, other, &late)); // another session of the same user goes on
	CHECK(!late.reused);
	end(&f);
}

BOTH(session_expires)
{
	struct people f;
	struct op op;
	begin(&f, postgres);
	struct auth_user ada = add_user(&f, "ada", "viewer");
	struct slice token = sign_in(&f, &ada);
	sql(&f, "UPDATE refresh_tokens SET expires_us = created_us - 1"); // unused for too long
	CHECK_INT(refresh(&f, token, &op), MS_ERR_TOKEN_EXPIRED);
	token = sign_in(&f, &ada);
	sql(&f, "UPDATE sessions SET expires_us = created_us - 1"); // too old altogether
	CHECK_INT(refresh(&f, token, &op), MS_ERR_TOKEN_EXPIRED);
	end(&f);
}

BOTH(session_rubbish_tokens)
{
	static const char *const tokens[] = {"",
					     "msr_",
					     "x",
					     "msk_BeDPbpAVEXAgRRG4bGRkZeZmvlw4D4EqV",
					     "msr_BeDPbpAVEXAgRRG4bGRkZeZmvlw4D4EqX",
					     "eyJhbGciOiJub25lIn0.e30."};
	struct people f;
	struct op op;
	begin(&f, postgres);
	for (size_t i = 0; i < MS_ARRAY_LEN(tokens); i++)
		CHECK_INT(refresh(&f, ms_slice_cstr(tokens[i]), &op), MS_ERR_TOKEN_INVALID);
	struct auth_user ada = add_user(&f, "ada", "viewer");
	struct slice token = sign_in(&f, &ada);
	CHECK_INT(refresh(&f, ms_slice_sub(token, 0, token.n - 1), &op), MS_ERR_TOKEN_INVALID);
	CHECK_OK(refresh(&f, token, &op));
	end(&f);
}

BOTH(session_ends_with_password_and_account)
{
	struct people f;
	struct op op;
	begin(&f, postgres);
	(void)add_user(&f, "root", "admin");
	struct auth_user ada = add_user(&f, "ada", "viewer");
	struct slice token = sign_in(&f, &ada);
	op = (struct op){.id = ada.id, .fields = {.password = MS_SLICE_LIT("$2b$10$abcdefghijklmnopqrstuv")}};
	CHECK_OK(run(&f, do_change, &op));
	CHECK_INT(refresh(&f, token, &op), MS_ERR_TOKEN_REVOKED);
	// Whose password was checked before it was changed does not get in.
	op = (struct op){.user = ada};
	CHECK_INT(run(&f, do_begin, &op), MS_ERR_AUTH_CREDENTIALS);
	op = (struct op){.id = ada.id};
	CHECK_OK(run(&f, do_find, &op));
	ada = op.user;
	token = sign_in(&f, &ada);
	op = (struct op){.id = ada.id, .fields = {.state = MS_SLICE_LIT("disabled")}};
	CHECK_OK(run(&f, do_change, &op));
	CHECK_INT(refresh(&f, token, &op), MS_ERR_TOKEN_REVOKED);
	op = (struct op){.user = ada};
	CHECK_INT(run(&f, do_begin, &op), MS_ERR_AUTH_CREDENTIALS);
	op = (struct op){.id = ada.id};
	CHECK_OK(run(&f, do_remove, &op));
	CHECK_INT(refresh(&f, token, &op), MS_ERR_TOKEN_INVALID);
	CHECK_INT(count(&f, "SELECT count(*) FROM sessions") + count(&f, "SELECT count(*) FROM refresh_tokens"), 0);
	end(&f);
}

BOTH(session_login_keeps_an_upgraded_hash)
{
	struct people f;
	begin(&f, postgres);
	struct auth_user ada = add_user(&f, "ada", "viewer");
	struct op op = {.user = ada, .rehashed = MS_SLICE_LIT("$argon2id$new")};
	CHECK_OK(run(&f, do_begin, &op));
	CHECK_INT(count(&f, "SELECT count(*) FROM users WHERE password = '$argon2id$new'"), 1);
	op = (struct op){.user = ada};
	CHECK_OK(run(&f, do_begin, &op)); // no change of password: other attempts on their way still count
	end(&f);
}

BOTH(session_there_is_a_limit)
{
	struct people f;
	struct op op;
	begin(&f, postgres);
	struct auth_user ada = add_user(&f, "ada", "viewer");
	struct slice first = sign_in(&f, &ada);
	sql(&f, "UPDATE sessions SET used_us = used_us - 1000000");
	for (int i = 1; i < MS_AUTH_SESSIONS_MAX; i++)
		(void)sign_in(&f, &ada);
	CHECK_INT(count(&f, "SELECT count(*) FROM sessions WHERE revoked_us = 0"), MS_AUTH_SESSIONS_MAX);
	struct slice last = sign_in(&f, &ada);
	CHECK_INT(count(&f, "SELECT count(*) FROM sessions WHERE revoked_us = 0"), MS_AUTH_SESSIONS_MAX);
	CHECK_INT(refresh(&f, first, &op), MS_ERR_TOKEN_REVOKED); // the one unused for longest went
	CHECK_OK(refresh(&f, last, &op));
	end(&f);
}

BOTH(session_used_tokens_are_bounded)
{
	struct people f;
	struct op op;
	begin(&f, postgres);
	struct auth_user ada = add_user(&f, "ada", "viewer");
	struct slice first = sign_in(&f, &ada), token = first;
	for (int i = 0; i < 150; i++) {
		CHECK_OK(refresh(&f, token, &op));
		token = op.tokens.refresh;
	}
	int64_t rows = count(&f, "SELECT count(*) FROM refresh_tokens");
	CHECK(rows >= 100 && rows <= 102);
	CHECK_INT(refresh(&f, first, &op), MS_ERR_TOKEN_INVALID); // too old to be recognised
	CHECK_OK(refresh(&f, token, &op));
	CHECK(!op.reused);
	end(&f);
}

// What has ended is swept away, a day later; what is open stays.
BOTH(session_sweep)
{
	struct people f;
	struct op op;
	begin(&f, postgres);
	struct auth_user ada = add_user(&f, "ada", "viewer");
	struct slice open = sign_in(&f, &ada);
	for (int i = 0; i < 3; i++)
		(void)sign_in(&f, &ada);
	sql(&f, "UPDATE sessions SET revoked_us = 1 WHERE id = (SELECT max(id) FROM sessions)");
	sql(&f, "UPDATE sessions SET expires_us = 1 WHERE id = (SELECT max(id) FROM sessions WHERE revoked_us = 0)");
	sql(&f, "UPDATE sessions SET revoked_us = used_us WHERE id = (SELECT max(id) FROM sessions WHERE revoked_us = "
		"0 AND expires_us > 1)");
	CHECK_OK(run(&f, ms_auth_sweep, &op));
	CHECK_INT(count(&f, "SELECT count(*) FROM sessions"), 2);
	CHECK_INT(count(&f, "SELECT count(*) FROM refresh_tokens"), 2);
	CHECK_OK(refresh(&f, open, &op));
	end(&f);
}

BOTH(session_token_does_not_outlive_it)
{
	struct people f;
	begin(&f, postgres);
	struct auth_user ada = add_user(&f, "ada", "viewer");
	struct op op = {.user = ada};
	CHECK_OK(run(&f, do_begin, &op));
	CHECK_INT(op.tokens.expires_in_s, 3600);
	sql(&f, "UPDATE sessions SET expires_us = created_us + 60000000");
	CHECK_OK(refresh(&f, op.tokens.refresh, &op));
	CHECK(op.tokens.expires_in_s > 50 && op.tokens.expires_in_s <= 60);
	end(&f);
}

static enum ms_err do_publish(struct store_tx *tx, void *arg, struct errinfo *info)
{
	(void)arg;
	const struct audit_entry entry = {.event = AUTH_LOGIN,
					  .outcome = AUDIT_REFUSED,
					  .actor = {.id = MS_SLICE_LIT("x"),
						    .name = MS_SLICE_LIT("typed by a stranger"),
						    .address = MS_SLICE_LIT("192.0.2.1")},
					  .target = MS_SLICE_LIT("user:1"),
					  .details = MS_SLICE_LIT("{\"reason\":\"x\"}")};
	return ms_auth_publish(tx, &entry, info);
}

BOTH(events_are_published)
{
	struct people f;
	struct op op;
	begin(&f, postgres);
	CHECK_OK(run(&f, do_publish, &op));
	CHECK_INT(count(&f, "SELECT count(*) FROM bus_outbox WHERE topic = 'auth.login' AND CAST(payload AS TEXT) LIKE "
			    "'{\"event\":\"login\",%\"outcome\":\"refused\",\"actor\":{\"kind\":\"unknown\",\"id\":"
			    "\"x\",\"address\":\"192.0.2.1\"}"
			    ",\"target\":\"user:1\",\"details\":{\"reason\":\"x\"}}'"),
		  1);
	end(&f);
}

// --- Tokens ------------------------------------------------------------------------------------------

static struct slice payload_of(struct people *f, struct slice token)
{
	struct slice rest = token, part, payload;
	REQUIRE(ms_slice_next(&rest, '.', &part) && ms_slice_next(&rest, '.', &part));
	REQUIRE(ms_base64url_decode(part, &f->arena, &payload));
	return ms_arena_copy(&f->arena, payload); // with a NUL behind it
}

BOTH(token_claims)
{
	static const struct {
		const char *secret;
		enum jose_alg algorithm;
	} ways[] = {{SECRET, JOSE_HS256}, {"", JOSE_ED25519}, {"", JOSE_ES256}};
	for (size_t i = 0; i < MS_ARRAY_LEN(ways); i++) {
		struct people f;
		struct buf out;
		struct jwt_claims claims;
		begin_with(&f, postgres, ways[i].secret, ways[i].algorithm);
		ms_buf_init(&out, MS_JWS_MAX);
		const struct auth_claims wanted = {.user_id = MS_SLICE_LIT("u-1"),
						   .username = MS_SLICE_LIT("ada \"x\""),
						   .role = MS_SLICE_LIT("viewer"),
						   .session = MS_SLICE_LIT("s-1"),
						   .permissions = MS_SLICE_LIT("[\"models.read\",\"predict:churn\"]"),
						   .issued_s = 1700000000};
		CHECK_OK(ms_auth_token_sign(f.auth, &wanted, &f.info, &out));
		struct jose_key *key = ms_auth_signing_key(f.auth);
		REQUIRE(key != NULL);
		CHECK_INT(ms_jose_key_alg(key), ways[i].algorithm);
		const struct jwt_policy policy = {.issuer = MS_SLICE_LIT("https://id.example"),
						  .audience = MS_SLICE_LIT("mainstay"),
						  .typ = MS_SLICE_LIT("at+jwt"),
						  .now_s = 1700000000,
						  .needs_expiry = true,
						  .needs_subject = true};
		REQUIRE(ms_jwt_verify(ms_buf_slice(&out), (struct jose_keys){&key, 1}, &policy, &f.arena, &f.info,
				      &claims) == MS_OK);
		CHECK_SLICE(claims.subject, "u-1");
		CHECK_INT(claims.id.n, MS_AUTH_ID_SIZE - 1);
		CHECK_INT(claims.issued_s, 1700000000);
		CHECK_INT(claims.not_before_s, 1700000000);
		CHECK_INT(claims.expires_s, 1700003600);
		struct slice text;
		CHECK(ms_json_as_str(ms_json_get(claims.all, "username"), &text) &&
		      ms_slice_eq_cstr(text, "ada \"x\""));
		CHECK(ms_json_as_str(ms_json_get(claims.all, "role"), &text) && ms_slice_eq_cstr(text, "viewer"));
		CHECK(ms_json_as_str(ms_json_get(claims.all, "sid"), &text) && ms_slice_eq_cstr(text, "s-1"));
		CHECK(ms_json_as_str(ms_json_get(claims.all, "user_id"), &text) && ms_slice_eq_cstr(text, "u-1"));
		CHECK(ms_json_get(claims.all, "client_id") == NULL && ms_json_get(claims.all, "scope") == NULL);
		CHECK_HAS(payload_of(&f, ms_buf_slice(&out)).p, "\"permissions\":[\"models.read\",\"predict:churn\"]");
		ms_jose_key_unref(key);
		ms_buf_fini(&out);
		end(&f);
	}
}

BOTH(token_that_is_too_large_is_refused)
{
	struct people f;
	struct buf permissions, out;
	begin(&f, postgres);
	ms_buf_init(&permissions, MS_JWS_MAX * 2);
	ms_buf_init(&out, MS_JWS_MAX * 2);
	ms_buf_append_cstr(&permissions, "[\"x\"");
	while (permissions.n < MS_JWS_MAX)
		ms_buf_append_cstr(&permissions, ",\"predict:a-model-with-a-name-that-is-rather-long\"");
	ms_buf_append_char(&permissions, ']');
	const struct auth_claims claims = {.user_id = MS_SLICE_LIT("u-1"), .permissions = ms_buf_slice(&permissions)};
	CHECK_INT(ms_auth_token_sign(f.auth, &claims, &f.info, &out), MS_ERR_LIMIT);
	ms_buf_fini(&permissions);
	ms_buf_fini(&out);
	end(&f);
}

// --- First start -------------------------------------------------------------------------------------

BOTH(first_start_makes_one_administrator)
{
	struct people f;
	struct slice key, prefix;
	char path[300];
	begin(&f, postgres);
	REQUIRE(ms_auth_first_start(f.auth, &f.arena, &f.info, &key) == MS_OK);
	CHECK(ms_api_key_parse(key, &prefix) && ms_slice_eq_cstr(prefix, "msk"));
	snprintf(path, sizeof(path), "%s/" MS_AUTH_ADMIN_KEY_FILE, f.dir);
	struct slice file;
	REQUIRE(ms_file_read(path, 1024, &f.info, &file) == MS_OK);
	CHECK(ms_slice_eq(ms_slice_sub(file, 0, file.n - 1), key));
	free((void *)(uintptr_t)file.p);
	REQUIRE(ms_auth_first_start(f.auth, &f.arena, &f.info, &key) == MS_OK);
	CHECK_INT(key.n, 0);
	CHECK_INT(count(&f, "SELECT count(*) FROM users"), 1);
	CHECK_INT(count(&f, "SELECT count(*) FROM users WHERE role = 'admin' AND password IS NULL"), 1);
	end(&f);
}
