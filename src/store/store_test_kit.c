// SPDX-License-Identifier: Apache-2.0
#include "store/store_test_kit.h"

static const struct store_migration steps[] = {
	{"test", 1, "items",
	 "CREATE TABLE item (id TEXT NOT NULL PRIMARY KEY, n BIGINT, r DOUBLE PRECISION, t TEXT, b BLOB);"
	 "CREATE INDEX item_n ON item (n);"},
	{"test", 2, "parts",
	 "CREATE TABLE part (id TEXT NOT NULL PRIMARY KEY, item TEXT NOT NULL REFERENCES item (id), "
	 "n BIGINT NOT NULL CHECK (n >= 0))"},
};
const struct store_migrations ms_store_test_migrations[1] = {{steps, MS_ARRAY_LEN(steps)}};

// --- Fixture -----------------------------------------------------------------------------------------

void ms_store_test_begin(struct fixture *f, bool postgres)
{
	*f = (struct fixture){.postgres = postgres, .url = ms_test_database(postgres)};
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &f->rt) == MS_OK);
}

void ms_store_test_end(struct fixture *f)
{
	ms_store_stop(f->store);
	ms_rt_free(f->rt);
	ms_store_free(f->store);
}

void ms_store_test_open_as(const struct fixture *f, const struct store_options *options, struct store **ret_store)
{
	struct store_options all = *options;
	struct errinfo info;
	ms_errinfo_init(&info);
	all.url = f->url;
	all.migrations = ms_store_test_migrations;
	all.migration_count = 1;
	all.migrate = true;
	enum ms_err err = ms_store_open(&all, &info, ret_store);
	CHECK_STR(info.message, "");
	REQUIRE(err == MS_OK);
}

void ms_store_test_open(struct fixture *f)
{
	ms_store_test_open_as(f, &(struct store_options){.poll_ms = 20}, &f->store);
}

void ms_store_test_run(struct fixture *f)
{
	CHECK_OK(ms_rt_run(f->rt, NULL));
}

struct item {
	const char *id;
	int64_t n;
};

static enum ms_err put(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct item *item = arg;
	return ms_store_run(tx, "INSERT INTO item (id, n) VALUES ($1, $2)",
			    MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(item->id)), ms_store_int(item->n)), info, NULL);
}

enum ms_err ms_store_test_put(struct store *store, const char *id, int64_t n)
{
	return ms_store_write_wait(store, put, &(struct item){id, n}, NULL);
}

static enum ms_err count(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT COUNT(*) FROM item", MS_STORE_NO_PARAMS, 1, info, &rows));
	*(int64_t *)arg = ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

int64_t ms_store_test_count(struct store *store)
{
	int64_t n = -1;
	CHECK_OK(ms_store_read_wait(store, count, &n, NULL));
	return n;
}
