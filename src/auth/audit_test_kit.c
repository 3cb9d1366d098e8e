// SPDX-License-Identifier: Apache-2.0
#include "auth/audit_test_kit.h"

#include <stdio.h>

#include "tests/lib/database.h"

// Second factors have sealed secrets too, and belong to users.
static const struct store_migration steps[] = {
	{.module = "auth-test", .version = 1, .name = "audit log, signing keys", .sql = ms_auth_schema_audit},
	{.module = "auth-test", .version = 2, .name = "users", .sql = ms_auth_schema_users},
	{.module = "auth-test", .version = 3, .name = "second factors", .sql = ms_auth_schema_mfa}};
const struct store_migrations ms_audit_test_migrations[1] = {{.steps = steps, .count = MS_ARRAY_LEN(steps)}};

void ms_audit_test_begin(struct audit_fixture *f)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	uint64_t random; // a test may have several
	ms_random_bytes(&random, sizeof(random));
	*f = (struct audit_fixture){0};
	ms_arena_init(&f->arena, 4096, (size_t)16 << 20);
	f->dir = ms_arena_printf(&f->arena, "%s/%llx", ms_test_temp_dir(), (unsigned long long)random);
	REQUIRE(ms_dir_create(f->dir, &info) == MS_OK);
	snprintf(f->url, sizeof(f->url), "sqlite:%s/test.db", f->dir);
	const struct store_options options = {
		.url = f->url, .migrations = ms_audit_test_migrations, .migration_count = 1, .migrate = true};
	if (ms_store_open(&options, &info, &f->store) != MS_OK)
		CHECK_STR(info.message, "");
	REQUIRE(f->store != NULL);
	const struct vault_options vault = {.data_dir = f->dir, .master_key = "", .create = true};
	REQUIRE(ms_vault_open(&vault, &info, &f->vault) == MS_OK);
}

void ms_audit_test_end(struct audit_fixture *f)
{
	ms_vault_free(f->vault);
	ms_store_stop(f->store);
	ms_store_free(f->store);
	ms_arena_fini(&f->arena);
}

struct statement {
	const char *sql;
	int64_t value;
};

static enum ms_err run(struct store_tx *tx, void *arg, struct errinfo *info)
{
	return ms_store_run(tx, ((struct statement *)arg)->sql, MS_STORE_NO_PARAMS, info, NULL);
}

void ms_audit_test_sql(struct audit_fixture *f, const char *sql)
{
	CHECK_OK(ms_store_write_wait(f->store, run, &(struct statement){.sql = sql}, NULL));
}

static enum ms_err query(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct statement *s = arg;
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, s->sql, MS_STORE_NO_PARAMS, 1, info, &rows));
	REQUIRE(rows.count == 1);
	s->value = ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

int64_t ms_audit_test_int(struct audit_fixture *f, const char *sql)
{
	struct statement s = {.sql = sql};
	CHECK_OK(ms_store_read_wait(f->store, query, &s, NULL));
	return s.value;
}

static enum ms_err append(struct store_tx *tx, void *arg, struct errinfo *info)
{
	char name[32];
	for (size_t i = 0; i < *(const size_t *)arg; i++) {
		int n = snprintf(name, sizeof(name), "user %zu", i);
		const struct audit_entry entry = {.event = AUTH_LOGIN,
						  .actor = {.kind = CALLER_USER,
							    .id = MS_SLICE_LIT("u1"),
							    .name = ms_slice(name, (size_t)n),
							    .address = MS_SLICE_LIT("192.0.2.1")},
						  .target = MS_SLICE_LIT("user:u1"),
						  .details = MS_SLICE_LIT("{\"methods\":\"pwd\"}")};
		MS_TRY(ms_audit_append(tx, NULL, &entry, info));
	}
	return MS_OK;
}

void ms_audit_test_append(struct audit_fixture *f, size_t count)
{
	CHECK_OK(ms_store_write_wait(f->store, append, &count, NULL));
}

// --- Both databases ------------------------------------------------------------------------------------

void ms_audit_store_begin(struct audit_store_fixture *f, bool postgres)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	*f = (struct audit_store_fixture){0};
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 1}, &info, &f->rt) == MS_OK);
	const struct store_options options = {.url = ms_test_database(postgres),
					      .migrations = ms_audit_test_migrations,
					      .migration_count = 1,
					      .migrate = true};
	if (ms_store_open(&options, &info, &f->store) != MS_OK)
		CHECK_STR(info.message, "");
	REQUIRE(f->store != NULL);
}

void ms_audit_store_end(struct audit_store_fixture *f)
{
	ms_store_stop(f->store);
	ms_rt_free(f->rt);
	ms_store_free(f->store);
}
