// SPDX-License-Identifier: Apache-2.0
// Acknowledged writes per second: the store at several numbers of callers, and the databases' own libraries that commit each write
// by itself. Each write is one row of some hundred bytes in a transaction. Arguments: URL SECONDS.
#include <libpq-fe.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/store.h"

#define ROW "INSERT INTO event (id, at, body) VALUES ($1, $2, $3)"
static const char body[] =
	"{\"user\":\"4711\",\"action\":\"predict\",\"model\":\"wine\",\"version\":\"v12\",\"rows\":1,\"took_us\":183}";
static const struct store_migration steps[] = {
	{"bench", 1, "events",
	 "CREATE TABLE event (id TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, body TEXT NOT NULL)"},
};
static const struct store_migrations sets[] = {{steps, 1}};

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

static void make_id(char dst[40], const char *run, uint64_t n)
{
	snprintf(dst, 40, "%s-%llu", run, (unsigned long long)n);
}

// --- The store ---------------------------------------------------------------------------------------

struct load {
	struct rt *rt;
	struct store *store;
	const char *run;
	uint64_t next, done;
	unsigned running;
	int64_t until_ns;
};

struct caller {
	struct store_work work;
	struct load *load;
	uint64_t n;
};

static enum ms_err add(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct caller *c = arg;
	char id[40];
	make_id(id, c->load->run, c->n);
	return ms_store_run(tx, ROW,
			    MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(id)), ms_store_int(ms_store_now_us(tx)),
					    ms_store_text(MS_SLICE_LIT(body))),
			    info, NULL);
}

static void ended(struct store_work *work)
{
	struct caller *c = MS_CONTAINER_OF(work, struct caller, work);
	struct load *load = c->load;
	check(work->err == MS_OK, work->info.message);
	load->done++;
	c->n = load->next++;
	if (ms_clock_mono_ns() < load->until_ns)
		check(ms_store_write(load->store, work, ms_rt_loop(load->rt, 0), add, c, ended) == MS_OK,
		      "the queue is full");
	else if (--load->running == 0)
		ms_rt_stop(load->rt);
}

static double with_store(const char *url, unsigned count, double seconds, int round)
{
	struct load load = {.running = count};
	struct errinfo info;
	char run[32];
	struct caller *all = calloc(count, sizeof(*all));
	snprintf(run, sizeof(run), "s%u-%d", count, round);
	load.run = run;
	ms_errinfo_init(&info);
	check(ms_rt_new(&(struct rt_options){.loops = 1}, &info, &load.rt) == MS_OK, info.message);
	const struct store_options options = {.url = url, .migrations = sets, .migration_count = 1, .migrate = true};
	check(ms_store_open(&options, &info, &load.store) == MS_OK, info.message);
	usleep(300000);
	int64_t begun_ns = ms_clock_mono_ns();
	load.until_ns = begun_ns + (int64_t)(seconds * 1e9);
	for (unsigned i = 0; i < count; i++) {
		all[i].load = &load;
		all[i].n = load.next++;
		check(ms_store_write(load.store, &all[i].work, ms_rt_loop(load.rt, 0), add, &all[i], ended) == MS_OK,
		      "queue");
	}
	check(ms_rt_run(load.rt, &info) == MS_OK, info.message);
	double rate = (double)load.done / ((double)(ms_clock_mono_ns() - begun_ns) * 1e-9);
	ms_store_stop(load.store);
	ms_rt_free(load.rt);
	ms_store_free(load.store);
	free(all);
	return rate;
}

// --- The libraries alone -----------------------------------------------------------------------------

static void sqlite_do(sqlite3 *db, const char *sql)
{
	check(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, sqlite3_errmsg(db));
}

static double with_sqlite(const char *path, double seconds)
{
	sqlite3 *db;
	sqlite3_stmt *statement;
	char id[40];
	uint64_t n = 0;
	check(sqlite3_open(path, &db) == SQLITE_OK, "sqlite3_open");
	sqlite_do(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
		      "CREATE TABLE event (id TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, body TEXT NOT NULL)");
	check(sqlite3_prepare_v2(db, ROW, -1, &statement, NULL) == SQLITE_OK, sqlite3_errmsg(db));
	int64_t begun_ns = ms_clock_mono_ns(), until_ns = begun_ns + (int64_t)(seconds * 1e9);
	for (; ms_clock_mono_ns() < until_ns; n++) {
		make_id(id, "raw", n);
		sqlite3_bind_text(statement, 1, id, -1, SQLITE_STATIC);
		sqlite3_bind_int64(statement, 2, (sqlite3_int64)n);
		sqlite3_bind_text(statement, 3, body, -1, SQLITE_STATIC);
		check(sqlite3_step(statement) == SQLITE_DONE, sqlite3_errmsg(db)); // a transaction of its own
		sqlite3_reset(statement);
	}
	double rate = (double)n / ((double)(ms_clock_mono_ns() - begun_ns) * 1e-9);
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return rate;
}

struct peer {
	pthread_t thread;
	const char *url;
	unsigned index;
	int64_t until_ns;
	uint64_t done;
};

static void *write_with_libpq(void *arg)
{
	struct peer *p = arg;
	PGconn *pg = PQconnectdb(p->url);
	char run[32], id[40];
	snprintf(run, sizeof(run), "raw%lld-%u", (long long)p->until_ns, p->index);
	check(PQstatus(pg) == CONNECTION_OK, PQerrorMessage(pg));
	PQclear(PQprepare(pg, "row", ROW, 3, NULL));
	for (; ms_clock_mono_ns() < p->until_ns; p->done++) {
		make_id(id, run, p->done);
		PGresult *result = PQexecPrepared(pg, "row", 3, (const char *const[]){id, "1", body}, NULL, NULL, 0);
		check(PQresultStatus(result) == PGRES_COMMAND_OK, PQerrorMessage(pg));
		PQclear(result);
	}
	PQfinish(pg);
	return NULL;
}

static double with_libpq(const char *url, unsigned connections, double seconds)
{
	struct peer peers[64];
	uint64_t done = 0;
	int64_t begun_ns = ms_clock_mono_ns();
	for (unsigned i = 0; i < connections; i++) {
		peers[i] = (struct peer){.url = url, .index = i, .until_ns = begun_ns + (int64_t)(seconds * 1e9)};
		check(pthread_create(&peers[i].thread, NULL, write_with_libpq, &peers[i]) == 0, "pthread_create");
	}
	for (unsigned i = 0; i < connections; i++) {
		pthread_join(peers[i].thread, NULL);
		done += peers[i].done;
	}
	return (double)done / ((double)(ms_clock_mono_ns() - begun_ns) * 1e-9);
}

// --- All of them -------------------------------------------------------------------------------------

#define ROUNDS 3
enum { STORE_1, STORE_16, STORE_256, RAW, RAW_16, KINDS };
static const unsigned callers[] = {1, 16, 256};
static const char *const names[2][KINDS] = {
	{"store, 1 caller", "store, 16 callers", "store, 256 callers", "libpq, one commit after another",
	 "libpq, 16 connections"},
	{"store, 1 caller", "store, 16 callers", "store, 256 callers", "sqlite3, one commit after another", NULL},
};

static double measure(const char *url, bool sqlite, int kind, int round, double seconds)
{
	char path[4096];
	if (kind < RAW)
		return with_store(url, callers[kind], seconds, round);
	if (!sqlite)
		return with_libpq(url, kind == RAW ? 1 : 16, seconds);
	snprintf(path, sizeof(path), "%s.raw-%d", url + strlen("sqlite:"), round);
	return with_sqlite(path, seconds);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	check(argc == 3, "arguments: URL SECONDS");
	double seconds = strtod(argv[2], NULL), rates[KINDS][ROUNDS];
	bool sqlite = strncmp(argv[1], "sqlite:", 7) == 0;
	// Round by round, so that what else the machine does falls on all alike.
	for (int round = 0; round < ROUNDS; round++) {
		for (int kind = 0; kind < KINDS && names[sqlite][kind] != NULL; kind++)
			rates[kind][round] = measure(argv[1], sqlite, kind, round, seconds);
	}
	for (int kind = 0; kind < KINDS && names[sqlite][kind] != NULL; kind++)
		qsort(rates[kind], ROUNDS, sizeof(double), compare);
	for (int kind = 0; kind < KINDS && names[sqlite][kind] != NULL; kind++)
		printf("%-10s  %-35s %8.0f writes/s (%.0f to %.0f)  %6.2f of one after another\n",
		       sqlite ? "SQLite" : "PostgreSQL", names[sqlite][kind], rates[kind][ROUNDS / 2], rates[kind][0],
		       rates[kind][ROUNDS - 1], rates[kind][ROUNDS / 2] / rates[RAW][ROUNDS / 2]);
	return 0;
}
