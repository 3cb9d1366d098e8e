// SPDX-License-Identifier: Apache-2.0
// Migrations on every database: pending, applied, changed, unknown, broken, two at once.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/store_test_kit.h"

static const struct store_migration steps[] = {
	{"test", 1, "first",
	 "CREATE TABLE one (id TEXT NOT NULL PRIMARY KEY); CREATE TABLE two (id TEXT NOT NULL PRIMARY KEY)"},
	{"test", 2, "second", "ALTER TABLE one ADD COLUMN n BIGINT"},
};
static const struct store_migration changed_steps[] = {
	{"test", 1, "first", "CREATE TABLE one (id TEXT NOT NULL PRIMARY KEY)"},
};
static const struct store_migration other_steps[] = {{"other", 1, "others", "CREATE TABLE three (id TEXT)"}};
static const struct store_migration broken_steps[] = {
	{"test", 1, "first",
	 "CREATE TABLE one (id TEXT NOT NULL PRIMARY KEY); CREATE TABLE two (id TEXT NOT NULL PRIMARY KEY)"},
	{"test", 2, "second", "CREATE TABLE four (id TEXT); INSERT INTO nowhere (id) VALUES ('a')"},
};

enum mode { MIGRATE, CHECK_STEPS, LOOK };

static enum ms_err open_with(const struct fixture *f, const struct store_migrations *sets, size_t count, enum mode mode,
			     struct errinfo *info, struct store **ret_store)
{
	ms_errinfo_init(info);
	return ms_store_open(&(struct store_options){.url = f->url,
						     .migrations = sets,
						     .migration_count = count,
						     .migrate = mode == MIGRATE,
						     .check_only = mode == LOOK},
			     info, ret_store);
}

static void check_states(const struct fixture *f, const struct store_migrations *sets, size_t count, const char *want)
{
	struct store *store;
	struct errinfo info;
	struct arena arena;
	struct store_step_state *states;
	size_t n;
	char got[256] = "";
	static const char letters[] = {[STORE_STEP_PENDING] = 'p',
				       [STORE_STEP_APPLIED] = 'a',
				       [STORE_STEP_CHANGED] = 'c',
				       [STORE_STEP_UNKNOWN] = 'u'};
	REQUIRE(open_with(f, sets, count, LOOK, &info, &store) == MS_OK);
	ms_arena_init(&arena, 1024, 1 << 20);
	REQUIRE(ms_store_steps(store, &arena, &info, &states, &n) == MS_OK);
	for (size_t i = 0; i < n; i++) {
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%u%c ", states[i].module, states[i].version,
			 letters[states[i].state]);
		CHECK((states[i].applied_us > 1700000000000000) == (states[i].state != STORE_STEP_PENDING));
	}
	CHECK_STR(got, want);
	ms_arena_fini(&arena);
	ms_store_free(store);
}

STORE_TEST(steps_are_applied_once)
{
	const struct store_migrations set = {steps, 2};
	struct errinfo info;
	struct store *store;
	size_t applied = 9;
	check_states(f, &set, 1, "store1p test1p test2p ");
	if (!f->postgres)
		CHECK(access(f->url + strlen("sqlite:"), F_OK) != 0); // looking creates nothing
	CHECK_INT(open_with(f, &set, 1, CHECK_STEPS, &info, &store), MS_ERR_STORE);
	CHECK_HAS(info.message, "lacks 3 migrations");
	CHECK_HAS(info.message, "mainstay migrate up");
	REQUIRE(open_with(f, &(struct store_migrations){steps, 1}, 1, MIGRATE, &info, &store) == MS_OK);
	ms_store_free(store);
	check_states(f, &set, 1, "store1a test1a test2p ");
	REQUIRE(open_with(f, &set, 1, LOOK, &info, &store) == MS_OK);
	CHECK_OK(ms_store_migrate(store, &info, &applied));
	CHECK_INT(applied, 1);
	CHECK_OK(ms_store_migrate(store, &info, &applied));
	CHECK_INT(applied, 0);
	ms_store_free(store);
	check_states(f, &set, 1, "store1a test1a test2a ");
	REQUIRE(open_with(f, &set, 1, CHECK_STEPS, &info, &store) == MS_OK);
	ms_store_free(store);
}

STORE_TEST(changed_and_unknown_steps_stop_the_start)
{
	const struct store_migrations both[2] = {{steps, 2}, {other_steps, 1}};
	const struct store_migrations changed = {changed_steps, 1};
	struct errinfo info;
	struct store *store;
	REQUIRE(open_with(f, both, 2, MIGRATE, &info, &store) == MS_OK);
	ms_store_free(store);
	for (enum mode mode = MIGRATE; mode <= CHECK_STEPS; mode++) {
		CHECK_INT(open_with(f, both, 1, mode, &info, &store), MS_ERR_STORE);
		CHECK_HAS(info.message, "other 1 (others)");
		CHECK_HAS(info.message, "newer");
		CHECK_INT(open_with(f, &changed, 1, mode, &info, &store), MS_ERR_STORE);
		CHECK_HAS(info.message, "test 1 (first)");
		CHECK_HAS(info.message, "another text");
	}
	check_states(f, &changed, 1, "store1a test1c other1u test2u ");
}

STORE_TEST(a_step_that_fails_leaves_those_before_it)
{
	const struct store_migrations broken = {broken_steps, 2}, right = {steps, 2};
	struct errinfo info;
	struct store *store;
	CHECK_INT(open_with(f, &broken, 1, MIGRATE, &info, &store), MS_ERR_STORE);
	CHECK_HAS(info.message, "test 2 (second) failed");
	CHECK_HAS(info.message, "nowhere");
	check_states(f, &right, 1, "store1a test1a test2p ");
	REQUIRE(open_with(f, &right, 1, MIGRATE, &info, &store) == MS_OK);
	ms_store_free(store);
}

struct opener {
	const struct fixture *f;
	const struct store_migrations *sets;
	enum ms_err err;
};

static void open_and_close(void *arg)
{
	struct opener *o = arg;
	struct store *store;
	struct errinfo info;
	o->err = open_with(o->f, o->sets, 2, MIGRATE, &info, &store);
	if (o->err == MS_OK)
		ms_store_free(store);
	else
		printf("# %s\n", info.message);
}

STORE_TEST(several_processes_may_migrate_at_once)
{
	const struct store_migrations both[2] = {{steps, 2}, {other_steps, 1}};
	struct opener openers[6];
	struct thread *threads[6];
	for (size_t i = 0; i < 6; i++) {
		openers[i] = (struct opener){.f = f, .sets = both, .err = MS_ERR_INTERNAL};
		REQUIRE(ms_thread_new("opener", open_and_close, &openers[i], NULL, &threads[i]) == MS_OK);
	}
	for (size_t i = 0; i < 6; i++) {
		ms_thread_join(threads[i]);
		CHECK_OK(openers[i].err);
	}
	check_states(f, both, 2, "store1a test1a test2a other1a ");
}
