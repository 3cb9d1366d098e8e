// SPDX-License-Identifier: Apache-2.0
#include "store/store_test_kit.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct store_migration steps[] = {
	{"test", 1, "items",
	 "CREATE TABLE item (id TEXT NOT NULL PRIMARY KEY, n BIGINT, r DOUBLE PRECISION, t TEXT, b BLOB);"
	 "CREATE INDEX item_n ON item (n);"},
	{"test", 2, "parts",
	 "CREATE TABLE part (id TEXT NOT NULL PRIMARY KEY, item TEXT NOT NULL REFERENCES item (id), "
	 "n BIGINT NOT NULL CHECK (n >= 0))"},
};
const struct store_migrations ms_store_test_migrations[1] = {{steps, MS_ARRAY_LEN(steps)}};

// --- The server --------------------------------------------------------------------------------------

// Runs tests/lib/postgres, which ends, and takes the server with it, when its standard input does: also when this program is killed.
static struct {
	FILE *to, *from;
	char url[512];
} server;

static void start_server(void)
{
	int down[2], up[2];
	REQUIRE(pipe(down) == 0 && pipe(up) == 0);
	pid_t pid = fork();
	REQUIRE(pid >= 0);
	if (pid == 0) {
		dup2(down[0], 0);
		dup2(up[1], 1);
		close(down[1]);
		close(up[0]);
		execl("/usr/bin/python3", "python3", TEST_POSTGRES, (char *)NULL);
		_exit(127);
	}
	close(down[0]);
	close(up[1]);
	server.to = fdopen(down[1], "w");
	server.from = fdopen(up[0], "r");
	REQUIRE(server.to != NULL && server.from != NULL);
	setvbuf(server.from, NULL, _IONBF, 0);
	setvbuf(server.to, NULL, _IONBF, 0);
}

static void ask_server(const char *command, char *answer, int size)
{
	if (server.to == NULL)
		start_server();
	fprintf(server.to, "%s\n", command);
	if (fgets(answer, size, server.from) == NULL) {
		fprintf(stderr, "the PostgreSQL of the tests did not answer to '%s'\n", command);
		ms_test_bail_out();
	}
	answer[strcspn(answer, "\n")] = '\0';
}

void ms_store_test_server(const char *command)
{
	char answer[64];
	ask_server(command, answer, sizeof(answer));
	REQUIRE(strcmp(answer, "ok") == 0);
}

// --- Fixture -----------------------------------------------------------------------------------------

void ms_store_test_begin(struct fixture *f, bool postgres)
{
	static char url[600];
	static unsigned number;
	*f = (struct fixture){.postgres = postgres, .url = url};
	if (postgres)
		ask_server("database", url, sizeof(url));
	else
		snprintf(url, sizeof(url), "sqlite:%s/test-%u.db", ms_test_temp_dir(), number++);
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
