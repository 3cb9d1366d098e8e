// SPDX-License-Identifier: Apache-2.0
// PostgreSQL through libpq. Answers are waited for with a deadline, so that a server which stands still, or a network that swallows
// what is sent, ends in an error and not in a thread that is lost.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/postgres/private.h"

#define HEARTBEAT_NS 10000000000LL
#define HEARTBEAT_ANSWER_MS 4000U
#define MIGRATION_LOCK "7953764129847125" // of pg_advisory_lock; any number, but always this one

static struct postgres_conn *of(struct store_conn *conn)
{
	return MS_CONTAINER_OF(conn, struct postgres_conn, base);
}

// --- Answers -----------------------------------------------------------------------------------------

// False when the connection is lost or the time is over.
static bool wait_for_answer(struct postgres_conn *c, int64_t until_ns)
{
	while (PQisBusy(c->pg)) {
		int64_t left_ms = (until_ns - ms_clock_mono_ns()) / 1000000;
		struct pollfd fd = {.fd = PQsocket(c->pg), .events = POLLIN};
		if (left_ms <= 0)
			return false;
		if (poll(&fd, 1, (int)MS_MIN(left_ms, (int64_t)3600000)) > 0 && PQconsumeInput(c->pg) == 0)
			return false;
	}
	return true;
}

static bool is_error(const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);
	return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY;
}

// All results of what was sent, up to the sync of a pipeline if it was one; the first error, or the last. `sent` is what the
// sending calls returned.
static enum ms_err collect(struct postgres_conn *c, int sent, struct errinfo *info, PGresult **ret_result)
{
	PGresult *kept = NULL;
	bool pipeline = PQpipelineStatus(c->pg) != PQ_PIPELINE_OFF, ended = false;
	int64_t until_ns = ms_clock_mono_ns() + (int64_t)c->answer_ms * 1250000; // a quarter more
	if (sent == 0)
		return PQstatus(c->pg) == CONNECTION_BAD || pipeline
			       ? ms_postgres_lost(c, "the statement could not be sent", info)
			       : ms_postgres_fail(c, NULL, info);
	while (true) {
		if (!wait_for_answer(c, until_ns)) {
			PQclear(kept);
			return ms_postgres_lost(c, "the server does not answer", info);
		}
		PGresult *result = PQgetResult(c->pg);
		// In a pipeline, one NULL ends the results of a statement; two in a row say that there is no connection.
		if (result == NULL && (!pipeline || ended))
			break;
		ended = result == NULL;
		if (ended)
			continue;
		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
			PQclear(result);
			break;
		}
		if (kept == NULL || !is_error(kept)) {
			PQclear(kept);
			kept = result;
		} else {
			PQclear(result);
		}
	}
	if (pipeline && PQexitPipelineMode(c->pg) == 0) {
		PQclear(kept);
		return ms_postgres_lost(c, "the server gave no whole answer", info);
	}
	if (kept == NULL)
		return ms_postgres_lost(c, "the server gave no result", info);
	if (is_error(kept)) {
		enum ms_err err = ms_postgres_fail(c, kept, info);
		PQclear(kept);
		return err;
	}
	*ret_result = kept;
	return MS_OK;
}

enum ms_err ms_postgres_simple(struct postgres_conn *c, const char *sql, struct errinfo *info, char ret_status[32])
{
	PGresult *result;
	MS_TRY(collect(c, PQsendQuery(c->pg, sql), info, &result));
	if (ret_status != NULL)
		snprintf(ret_status, 32, "%s", PQcmdStatus(result));
	PQclear(result);
	return MS_OK;
}

// --- Statements --------------------------------------------------------------------------------------

struct prepared {
	char name[16];
	char sql[];
};

static enum ms_err drop_statements(struct postgres_conn *c, struct errinfo *info)
{
	MS_TRY(ms_postgres_simple(c, "DEALLOCATE ALL", info, NULL));
	for (size_t i = 0; i < MS_ARRAY_LEN(c->cache.slots); i++) {
		free(c->cache.slots[i].statement);
		c->cache.slots[i] = (struct store_prepared){.sql = NULL};
	}
	c->cache.count = 0;
	return MS_OK;
}

// The kinds belong to the key: a parameter's type is that of its value, or, for NULL, what its place wants.
static enum ms_err prepare(struct postgres_conn *c, const char *sql, struct store_kinds kinds,
			   const struct postgres_params *params, size_t count, struct errinfo *info,
			   const char **ret_name)
{
	struct store_prepared *slot = ms_store_cache_find(&c->cache, sql, kinds);
	if (slot->sql != NULL) {
		struct prepared *known = slot->statement;
		MS_ASSERT(strcmp(known->sql, sql) == 0); // else the text was not static
		*ret_name = known->name;
		return MS_OK;
	}
	if (c->cache.count == STORE_PREPARED_MAX) {
		MS_TRY(drop_statements(c, info));
		slot = ms_store_cache_find(&c->cache, sql, kinds);
	}
	size_t n = strlen(sql) + 1;
	struct prepared *made = malloc(sizeof(*made) + n);
	if (made == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for a statement");
	memcpy(made->sql, sql, n);
	snprintf(made->name, sizeof(made->name), "s%u", c->prepared++);
	PGresult *result;
	enum ms_err err = collect(c, PQsendPrepare(c->pg, made->name, sql, (int)count, params->types), info, &result);
	if (err != MS_OK) {
		free(made);
		return err;
	}
	PQclear(result);
	*slot = (struct store_prepared){.sql = sql, .kinds = kinds, .statement = made};
	c->cache.count++;
	*ret_name = made->name;
	return MS_OK;
}

static const char *begin_sql(const struct postgres_conn *c)
{
	return c->writes ? "BEGIN ISOLATION LEVEL SERIALIZABLE READ WRITE"
			 : "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
}

static uint64_t changed_by(PGresult *result)
{
	uint64_t count;
	struct slice status = ms_slice_cstr(PQcmdStatus(result));
	if (ms_slice_starts_with(status, MS_SLICE_LIT("SELECT")))
		return 0; // rows that were read
	return ms_slice_to_u64(ms_slice_cstr(PQcmdTuples(result)), &count) ? count : 0;
}

static enum ms_err run(struct store_conn *conn, const char *sql, const struct store_value *params, size_t count,
		       size_t max_rows, struct arena *arena, struct errinfo *info, struct store_rows *ret_rows,
		       uint64_t *ret_changed)
{
	struct postgres_conn *c = of(conn);
	struct postgres_params p;
	const char *name;
	PGresult *result;
	MS_TRY(ms_postgres_params(params, count, info, &p));
	MS_TRY(prepare(c, sql, ms_store_kinds(params, count), &p, count, info, &name));
	// The beginning travels with the first statement, and costs no journey of its own.
	bool first = !c->begun;
	int sent = first ? PQenterPipelineMode(c->pg) &&
				   PQsendQueryParams(c->pg, begin_sql(c), 0, NULL, NULL, NULL, NULL, 0)
			 : 1;
	sent = sent && PQsendQueryPrepared(c->pg, name, (int)count, p.values, p.lengths, p.formats, 1);
	sent = sent && (!first || PQpipelineSync(c->pg));
	c->begun = true; // also when it failed: then a rollback finds nothing to do
	MS_TRY(collect(c, sent, info, &result));
	enum ms_err err = ret_rows != NULL ? ms_postgres_rows(c, result, max_rows, arena, info, ret_rows) : MS_OK;
	if (ret_changed != NULL)
		*ret_changed = changed_by(result);
	PQclear(result);
	return err;
}

// --- Transactions ------------------------------------------------------------------------------------

static enum ms_err script(struct store_conn *conn, const char *sql, struct errinfo *info)
{
	struct postgres_conn *c = of(conn);
	if (!c->begun) {
		MS_TRY(ms_postgres_simple(c, begin_sql(c), info, NULL));
		c->begun = true;
	}
	return ms_postgres_simple(c, sql, info, NULL);
}

static enum ms_err begin(struct store_conn *conn, bool writes, struct errinfo *info)
{
	struct postgres_conn *c = of(conn);
	(void)info;
	c->writes = writes;
	c->begun = false; // with the first statement
	return MS_OK;
}

static enum ms_err commit(struct store_conn *conn, struct errinfo *info)
{
	struct postgres_conn *c = of(conn);
	char status[32];
	if (!c->begun)
		return MS_OK; // nothing was asked
	MS_TRY(ms_postgres_simple(c, "COMMIT", info, status));
	if (strcmp(status, "COMMIT") == 0)
		return MS_OK;
	snprintf(c->base.words, sizeof(c->base.words), "COMMIT was answered by %s", status);
	return ms_fail(info, MS_ERR_STORE, "the database undid the transaction");
}

static void rollback(struct store_conn *conn)
{
	struct postgres_conn *c = of(conn);
	if (conn->fate == STORE_FATE_BROKEN || PQtransactionStatus(c->pg) == PQTRANS_IDLE)
		return;
	enum store_fate fate = conn->fate;
	if (ms_postgres_simple(c, "ROLLBACK", NULL, NULL) == MS_OK)
		conn->fate = fate;
	else
		conn->fate = STORE_FATE_BROKEN;
}

static enum ms_err lock(struct store_conn *conn, struct errinfo *info)
{
	return ms_postgres_simple(of(conn), "SELECT pg_advisory_lock(" MIGRATION_LOCK ")", info, NULL);
}

static void unlock(struct store_conn *conn)
{
	// The end of the connection, which follows, does it too.
	MS_IGNORE(ms_postgres_simple(of(conn), "SELECT pg_advisory_unlock(" MIGRATION_LOCK ")", NULL, NULL));
}

// --- Notices -----------------------------------------------------------------------------------------

#define CHANNEL_PREFIX "ms." // with 60 bytes behind it, a name of 63, the longest that there is

static enum ms_err notify(struct store_conn *conn, const char *channel, struct arena *arena, struct errinfo *info,
			  int64_t *ret_count)
{
	static const char sql[] = "SELECT pg_notify('" CHANNEL_PREFIX "' || $1, $2)";
	const struct store_value params[] = {ms_store_text(ms_slice_cstr(channel)),
					     ms_store_text(ms_slice_cstr(of(conn)->instance))};
	*ret_count = -1;
	return run(conn, sql, params, MS_ARRAY_LEN(params), 1, arena, info, NULL, NULL);
}

static enum ms_err listen_to(struct store_conn *conn, const char *channel, struct errinfo *info)
{
	char sql[STORE_CHANNEL_BYTES + 32];
	int n = snprintf(sql, sizeof(sql), "LISTEN \"" CHANNEL_PREFIX "%s\"", channel); // its bytes were checked
	MS_ASSERT(n > 0 && (size_t)n < sizeof(sql));
	return ms_postgres_simple(of(conn), sql, info, NULL);
}

static void take_notices(struct postgres_conn *c, store_on_notice_fn *on_notice, void *arg)
{
	struct slice prefix = MS_SLICE_LIT(CHANNEL_PREFIX);
	for (PGnotify *notice; (notice = PQnotifies(c->pg)) != NULL; PQfreemem(notice)) {
		struct slice channel = ms_slice_cstr(notice->relname);
		// Its own the store has told at the commit.
		if (strcmp(notice->extra, c->instance) != 0 && ms_slice_starts_with(channel, prefix))
			on_notice(arg, ms_slice_sub(channel, prefix.n, SIZE_MAX), -1);
	}
}

static enum ms_err wait_for_notices(struct store_conn *conn, int wake_fd, unsigned timeout_ms,
				    store_on_notice_fn *on_notice, void *arg, struct errinfo *info)
{
	struct postgres_conn *c = of(conn);
	struct pollfd fds[2] = {{.fd = PQsocket(c->pg), .events = POLLIN}, {.fd = wake_fd, .events = POLLIN}};
	take_notices(c, on_notice, arg); // those that came with another answer
	if (poll(fds, 2, (int)timeout_ms) > 0 && fds[0].revents != 0) {
		if (PQconsumeInput(c->pg) == 0 || PQstatus(c->pg) == CONNECTION_BAD)
			return ms_postgres_fail(c, NULL, info);
		c->heard_ns = ms_clock_mono_ns();
		take_notices(c, on_notice, arg);
	}
	if (ms_clock_mono_ns() - c->heard_ns < HEARTBEAT_NS)
		return MS_OK;
	c->answer_ms = MS_MIN(c->answer_ms, HEARTBEAT_ANSWER_MS);
	MS_TRY(ms_postgres_simple(c, "SELECT 1", info, NULL));
	c->heard_ns = ms_clock_mono_ns();
	take_notices(c, on_notice, arg);
	return MS_OK;
}

const struct store_driver ms_store_postgres = {
	.name = "postgres",
	.accepts = ms_postgres_accepts,
	.place = ms_postgres_place,
	.schema = "DO $$ BEGIN CREATE DOMAIN blob AS bytea; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
		  "CREATE TABLE store_migrations (module TEXT NOT NULL, version BIGINT NOT NULL, name TEXT NOT NULL, "
		  "sha256 TEXT NOT NULL, applied_us BIGINT NOT NULL, PRIMARY KEY (module, version));",
	.has_schema = "SELECT CASE WHEN to_regclass('store_migrations') IS NULL THEN 0 ELSE 1 END",
	.open = ms_postgres_open,
	.close = ms_postgres_close,
	.begin = begin,
	.commit = commit,
	.rollback = rollback,
	.run = run,
	.script = script,
	.lock = lock,
	.unlock = unlock,
	.notify = notify,
	.listen = listen_to,
	.wait = wait_for_notices,
};
