// SPDX-License-Identifier: Apache-2.0
// SQLite: one file beside the program, in WAL mode. A commit is on disk when it returns (synchronous=FULL). Other processes may use
// the file at the same time.
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/private.h"

#define SCHEME "sqlite:"
#define PATH_MAX_BYTES 4096
#define APPLICATION_ID 0x4D535459 // "MSTY": files of ours are told from those of other programs
#define FORMAT 1                  // of what is not in migrations
#define COUNTERS_MAX 10000
#define WAL_TRIES 500
#define WAL_PAUSE_MS 10

extern const struct store_driver ms_store_sqlite;

struct sqlite_conn {
	struct store_conn base;
	sqlite3 *db;
	struct store_cache cache;
	int64_t data_version; // for notices: the file's, when it was last looked at
};

static struct sqlite_conn *of(struct store_conn *conn)
{
	return MS_CONTAINER_OF(conn, struct sqlite_conn, base);
}

// --- Errors ------------------------------------------------------------------------------------------

static bool means_full(int error)
{
	return error == ENOSPC || error == EFBIG || error == EDQUOT;
}

// SQLite tells quotas and limits of a file's size as errors of writing. Why, only the files still know when it was the commit.
static bool is_full(const struct sqlite_conn *c, int code)
{
	sqlite3_file *wal = NULL;
	int of_wal = 0, of_file = 0;
	if ((code & 0xFF) == SQLITE_FULL)
		return true;
	if (code != SQLITE_IOERR_WRITE && code != SQLITE_IOERR_SHMSIZE && code != SQLITE_IOERR_TRUNCATE)
		return false;
	sqlite3_file_control(c->db, "main", SQLITE_FCNTL_LAST_ERRNO, &of_file);
	if (sqlite3_file_control(c->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) == SQLITE_OK && wal != NULL &&
	    wal->pMethods != NULL)
		wal->pMethods->xFileControl(wal, SQLITE_FCNTL_LAST_ERRNO, &of_wal);
	return means_full(sqlite3_system_errno(c->db)) || means_full(of_file) || means_full(of_wal);
}

static enum ms_err fail(struct sqlite_conn *c, int code, struct errinfo *info)
{
	snprintf(c->base.words, sizeof(c->base.words), "%s", sqlite3_errmsg(c->db));
	if (is_full(c, code))
		return ms_fail(info, MS_ERR_NO_SPACE, "there is no space left for the database; nothing was changed");
	switch (code & 0xFF) {
	case SQLITE_CONSTRAINT:
		return ms_fail(info, MS_ERR_STORE_CONFLICT,
			       "another entry has the same key, or an entry that this one refers to is missing");
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return ms_fail(info, MS_ERR_BUSY, "another process keeps the database for too long; try again later");
	case SQLITE_NOMEM:
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the database");
	case SQLITE_TOOBIG:
		return ms_fail(info, MS_ERR_LIMIT, "a value is too large for the database");
	case SQLITE_IOERR:
		return ms_fail(info, MS_ERR_IO, "the database file cannot be read or written: %.200s", c->base.words);
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return ms_fail(info, MS_ERR_PERMISSION, "the database file cannot be opened: %.200s", c->base.words);
	case SQLITE_NOTADB:
		return ms_fail(info, MS_ERR_STORE, "the file is not a database");
	case SQLITE_CORRUPT:
		return ms_fail(info, MS_ERR_STORE, "the database file is damaged: restore it from a backup");
	default:
		return ms_fail(info, MS_ERR_STORE, "the database refused a statement; the log has its words");
	}
}

// --- Statements --------------------------------------------------------------------------------------

static void drop_statements(struct sqlite_conn *c)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(c->cache.slots); i++) {
		sqlite3_finalize(c->cache.slots[i].statement);
		c->cache.slots[i] = (struct store_prepared){.sql = NULL};
	}
	c->cache.count = 0;
}

static enum ms_err prepare(struct sqlite_conn *c, const char *sql, struct errinfo *info, sqlite3_stmt **ret_statement)
{
	const struct store_kinds any = {{0, 0}}; // SQLite's statements do not depend on them
	struct store_prepared *slot = ms_store_cache_find(&c->cache, sql, any);
	if (slot->sql != NULL) {
		MS_ASSERT(strcmp(sqlite3_sql(slot->statement), sql) == 0); // else the text was not static
		*ret_statement = slot->statement;
		return MS_OK;
	}
	if (c->cache.count == STORE_PREPARED_MAX) {
		drop_statements(c);
		slot = ms_store_cache_find(&c->cache, sql, any);
	}
	sqlite3_stmt *statement;
	int rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
	if (rc != SQLITE_OK)
		return fail(c, rc, info);
	*slot = (struct store_prepared){.sql = sql, .statement = statement};
	c->cache.count++;
	*ret_statement = statement;
	return MS_OK;
}

// SQLite takes "$2" for a name and counts parameters in the order of their appearance: the number is read from the name.
static int bind_one(sqlite3_stmt *statement, int index, const struct store_value *params, size_t count)
{
	const char *name = sqlite3_bind_parameter_name(statement, index);
	uint64_t number;
	MS_ASSERT(name != NULL && ms_slice_to_u64(ms_slice_cstr(name + 1), &number) && number >= 1 && number <= count);
	const struct store_value *v = &params[number - 1];
	switch (v->kind) {
	case STORE_NULL:
		return sqlite3_bind_null(statement, index);
	case STORE_INT:
		return sqlite3_bind_int64(statement, index, v->integer);
	case STORE_REAL:
		return sqlite3_bind_double(statement, index, v->real);
	case STORE_TEXT: // a pointer of NULL would bind NULL
		return sqlite3_bind_text64(statement, index, v->bytes.n > 0 ? v->bytes.p : "", v->bytes.n,
					   SQLITE_STATIC, SQLITE_UTF8);
	case STORE_BLOB:
		return sqlite3_bind_blob64(statement, index, v->bytes.n > 0 ? v->bytes.p : "", v->bytes.n,
					   SQLITE_STATIC);
	}
	MS_UNREACHABLE();
}

static bool take_value(sqlite3_stmt *statement, int column, struct arena *arena, struct store_value *ret_value)
{
	switch (sqlite3_column_type(statement, column)) {
	case SQLITE_INTEGER:
		*ret_value = ms_store_int(sqlite3_column_int64(statement, column));
		return true;
	case SQLITE_FLOAT:
		*ret_value = ms_store_real(sqlite3_column_double(statement, column));
		return true;
	case SQLITE_NULL:
		*ret_value = ms_store_null();
		return true;
	default: {
		bool text = sqlite3_column_type(statement, column) == SQLITE_TEXT;
		const void *p = text ? (const void *)sqlite3_column_text(statement, column)
				     : sqlite3_column_blob(statement, column);
		struct slice bytes = ms_arena_copy(arena, ms_slice(p, (size_t)sqlite3_column_bytes(statement, column)));
		*ret_value = text ? ms_store_text(bytes) : ms_store_blob(bytes);
		return bytes.p != NULL;
	}
	}
}

// Grows by doubling; the values of a row stand one behind the other.
static bool take_row(sqlite3_stmt *statement, struct arena *arena, struct store_rows *rows, size_t *capacity)
{
	struct store_value *values = (struct store_value *)(uintptr_t)rows->values;
	if (rows->count == *capacity) {
		size_t grown = *capacity > 0 ? *capacity * 2 : 4, row_bytes, old_n, new_n;
		if (MS_MUL_OVERFLOWS(rows->columns, sizeof(*values), &row_bytes) ||
		    MS_MUL_OVERFLOWS(grown, row_bytes, &new_n))
			return false;
		old_n = *capacity * row_bytes;
		values = old_n > 0 ? ms_arena_grow(arena, values, old_n, new_n) : ms_arena_alloc(arena, new_n);
		if (values == NULL)
			return false;
		*capacity = grown;
		rows->values = values;
	}
	for (size_t i = 0; i < rows->columns; i++) {
		if (!take_value(statement, (int)i, arena, &values[rows->count * rows->columns + i]))
			return false;
	}
	rows->count++;
	return true;
}

static enum ms_err step_through(struct sqlite_conn *c, sqlite3_stmt *statement, size_t max_rows, struct arena *arena,
				struct errinfo *info, struct store_rows *ret_rows)
{
	struct store_rows rows = {.columns = (size_t)sqlite3_column_count(statement)};
	size_t capacity = 0;
	int rc;
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		if (ret_rows == NULL)
			continue;
		if (rows.count == max_rows)
			return ms_fail(info, MS_ERR_LIMIT,
				       "the database holds more than %zu rows of what was asked for", max_rows);
		if (!take_row(statement, arena, &rows, &capacity))
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for what the database holds");
	}
	if (rc != SQLITE_DONE)
		return fail(c, rc, info);
	if (ret_rows != NULL)
		*ret_rows = rows;
	return MS_OK;
}

static enum ms_err run(struct store_conn *conn, const char *sql, const struct store_value *params, size_t count,
		       size_t max_rows, struct arena *arena, struct errinfo *info, struct store_rows *ret_rows,
		       uint64_t *ret_changed)
{
	struct sqlite_conn *c = of(conn);
	sqlite3_stmt *statement;
	MS_TRY(prepare(c, sql, info, &statement));
	int rc = SQLITE_OK;
	for (int i = 1; i <= sqlite3_bind_parameter_count(statement) && rc == SQLITE_OK; i++)
		rc = bind_one(statement, i, params, count);
	int64_t before = sqlite3_total_changes64(c->db);
	enum ms_err err =
		rc == SQLITE_OK ? step_through(c, statement, max_rows, arena, info, ret_rows) : fail(c, rc, info);
	sqlite3_reset(statement); // its code is that of the step
	sqlite3_clear_bindings(statement);
	if (err == MS_OK && ret_changed != NULL)
		*ret_changed = sqlite3_total_changes64(c->db) > before ? (uint64_t)sqlite3_changes64(c->db) : 0;
	return err;
}

static enum ms_err script(struct store_conn *conn, const char *sql, struct errinfo *info)
{
	struct sqlite_conn *c = of(conn);
	int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
	return rc == SQLITE_OK ? MS_OK : fail(c, rc, info);
}

static enum ms_err simple(struct store_conn *conn, const char *sql, struct errinfo *info)
{
	return run(conn, sql, NULL, 0, 0, NULL, info, NULL, NULL);
}

// --- Transactions ------------------------------------------------------------------------------------

static enum ms_err begin(struct store_conn *conn, bool writes, struct errinfo *info)
{
	static const char write_sql[] = "BEGIN IMMEDIATE", read_sql[] = "BEGIN";
	return simple(conn, writes ? write_sql : read_sql, info);
}

static enum ms_err commit(struct store_conn *conn, struct errinfo *info)
{
	static const char sql[] = "COMMIT";
	return simple(conn, sql, info);
}

static bool is_open(struct store_conn *conn)
{
	return sqlite3_get_autocommit(of(conn)->db) == 0;
}

static void rollback(struct store_conn *conn)
{
	static const char sql[] = "ROLLBACK";
	if (is_open(conn))
		MS_IGNORE(simple(conn, sql, NULL)); // what cannot be undone now is undone when the file is opened next
}

static enum ms_err savepoint(struct store_conn *conn, struct errinfo *info)
{
	static const char sql[] = "SAVEPOINT one";
	return simple(conn, sql, info);
}

static enum ms_err release(struct store_conn *conn, struct errinfo *info)
{
	static const char sql[] = "RELEASE one";
	return simple(conn, sql, info);
}

static enum ms_err undo(struct store_conn *conn, struct errinfo *info)
{
	static const char sql[] = "ROLLBACK TO one";
	MS_TRY(simple(conn, sql, info));
	return release(conn, info);
}

// --- Opening -----------------------------------------------------------------------------------------

static bool accepts(struct slice url)
{
	return ms_slice_starts_with(url, MS_SLICE_LIT(SCHEME));
}

static const char *path_of(const char *url)
{
	return url + strlen(SCHEME);
}

static void place(const char *url, char dst[MS_STORE_PLACE_SIZE])
{
	const char *path = path_of(url), *slash = strrchr(path, '/');
	snprintf(dst, MS_STORE_PLACE_SIZE, "sqlite file %.200s", slash != NULL ? slash + 1 : path);
}

static void close_conn(struct store_conn *conn)
{
	struct sqlite_conn *c = of(conn);
	drop_statements(c);
	int rc = sqlite3_close(c->db);
	MS_ASSERT(rc == SQLITE_OK);
	free(c);
}

static enum ms_err pragma_int(struct sqlite_conn *c, const char *sql, struct errinfo *info, int64_t *ret_value)
{
	sqlite3_stmt *statement;
	int rc = sqlite3_prepare_v2(c->db, sql, -1, &statement, NULL);
	if (rc != SQLITE_OK)
		return fail(c, rc, info);
	rc = sqlite3_step(statement);
	if (rc == SQLITE_ROW)
		*ret_value = sqlite3_column_int64(statement, 0);
	enum ms_err err = rc == SQLITE_ROW || rc == SQLITE_DONE ? MS_OK : fail(c, rc, info);
	sqlite3_finalize(statement);
	return err;
}

struct owner {
	int64_t id, format, tables;
};

static enum ms_err read_owner(struct sqlite_conn *c, struct errinfo *info, struct owner *ret_owner)
{
	MS_TRY(pragma_int(c, "PRAGMA application_id", info, &ret_owner->id));
	MS_TRY(pragma_int(c, "PRAGMA user_version", info, &ret_owner->format));
	return pragma_int(c, "SELECT COUNT(*) FROM sqlite_master", info, &ret_owner->tables);
}

// Ours, empty, or somebody else's.
static enum ms_err check_owner(struct sqlite_conn *c, const char *name, struct errinfo *info, bool *ret_fresh)
{
	struct owner owner = {0, 0, 0};
	// One state: another process may be making the file ours right now.
	MS_TRY(begin(&c->base, false, info));
	enum ms_err err = read_owner(c, info, &owner);
	rollback(&c->base);
	MS_TRY(err);
	int64_t id = owner.id, format = owner.format, tables = owner.tables;
	*ret_fresh = id == 0 && tables == 0;
	if (id != APPLICATION_ID && !*ret_fresh)
		return ms_fail(info, MS_ERR_STORE, "the %s is a database of another program", name);
	if (format > FORMAT)
		return ms_fail(info, MS_ERR_STORE,
			       "the %s was made by a newer version of this program (format %lld; this one knows %d)",
			       name, (long long)format, FORMAT);
	return MS_OK;
}

// Changing the mode needs the file alone, and does not wait for it by itself.
static enum ms_err use_wal(struct sqlite_conn *c, struct errinfo *info)
{
	for (unsigned tries = 1;; tries++) {
		enum ms_err err = script(&c->base, "PRAGMA journal_mode=WAL", info);
		if (err != MS_ERR_BUSY || tries == WAL_TRIES)
			return err;
		(void)poll(NULL, 0, WAL_PAUSE_MS);
	}
}

static enum ms_err mark_as_ours(struct sqlite_conn *c, struct errinfo *info)
{
	char sql[160];
	snprintf(sql, sizeof(sql), "BEGIN IMMEDIATE; PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
		 APPLICATION_ID, FORMAT);
	MS_TRY(use_wal(c, info));
	enum ms_err err = script(&c->base, sql, info);
	rollback(&c->base); // of what an error left open
	return err;
}

static enum ms_err set_up(struct sqlite_conn *c, enum store_purpose purpose, unsigned busy_ms, const char *name,
			  struct errinfo *info)
{
	static const char common[] = "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF;"
				     "PRAGMA journal_size_limit=67108864; PRAGMA cache_size=-8192;";
	bool fresh;
	sqlite3_extended_result_codes(c->db, 1);
	sqlite3_busy_timeout(c->db, (int)MS_MIN(busy_ms, (unsigned)INT_MAX));
	sqlite3_db_config(c->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	MS_TRY(check_owner(c, name, info, &fresh));
	MS_TRY(script(&c->base, common, info));
	if (fresh && purpose != STORE_FOR_LOOKING)
		MS_TRY(mark_as_ours(c, info));
	return purpose == STORE_FOR_READS || purpose == STORE_FOR_LOOKING || purpose == STORE_FOR_NOTICES
		       ? script(&c->base, "PRAGMA query_only=ON", info)
		       : MS_OK;
}

// Made by us, so that it is nobody else's to read; the -wal and -shm files take its mode.
static enum ms_err create(const char *path, struct errinfo *info)
{
	struct errinfo why;
	ms_errinfo_init(&why);
	enum ms_err err = ms_file_write_new(path, MS_SLICE_EMPTY, 0600, &why);
	return err == MS_OK || err == MS_ERR_FILE_EXISTS ? MS_OK : ms_fail(info, err, "%s", why.message);
}

static enum ms_err open_conn(const struct store_target *target, enum store_purpose purpose, struct errinfo *info,
			     struct store_conn **ret_conn)
{
	const char *path = path_of(target->url);
	char name[MS_STORE_PLACE_SIZE];
	struct file_stat stat;
	place(target->url, name);
	if (path[0] == '\0' || path[0] == ':' || strlen(path) >= PATH_MAX_BYTES)
		return ms_fail(info, MS_ERR_CONFIG,
			       "sqlite: needs the path of a file, as in sqlite:/var/lib/mainstay/mainstay.db");
	if (purpose == STORE_FOR_LOOKING)
		MS_TRY(ms_file_stat(path, info, &stat));
	else
		MS_TRY(create(path, info));
	struct sqlite_conn *c = calloc(1, sizeof(*c));
	if (c == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for a connection to the database");
	c->base.driver = &ms_store_sqlite;
	int rc = sqlite3_open_v2(path, &c->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	enum ms_err err = rc == SQLITE_OK ? set_up(c, purpose, target->answer_ms, name, info) : fail(c, rc, info);
	if (err != MS_OK) {
		close_conn(&c->base);
		return err;
	}
	*ret_conn = &c->base;
	return MS_OK;
}

// --- Notices -----------------------------------------------------------------------------------------

static enum ms_err notify(struct store_conn *conn, const char *channel, struct arena *arena, struct errinfo *info,
			  int64_t *ret_count)
{
	static const char sql[] = "INSERT INTO store_channels (name, count) VALUES ($1, 1) "
				  "ON CONFLICT (name) DO UPDATE SET count = store_channels.count + 1 RETURNING count";
	const struct store_value name = ms_store_text(ms_slice_cstr(channel));
	struct store_rows rows;
	MS_TRY(run(conn, sql, &name, 1, 1, arena, info, &rows, NULL));
	*ret_count = ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

// The counters hold every notice since the watch began.
static enum ms_err listen_to(struct store_conn *conn, const char *channel, struct errinfo *info)
{
	(void)conn;
	(void)channel;
	(void)info;
	return MS_OK;
}

static enum ms_err read_counters(struct store_conn *conn, store_on_notice_fn *on_notice, void *arg,
				 struct errinfo *info)
{
	static const char sql[] = "SELECT name, count FROM store_channels";
	struct arena arena;
	struct store_rows rows;
	ms_arena_init(&arena, 4096, STORE_ARENA_MAX);
	enum ms_err err = run(conn, sql, NULL, 0, COUNTERS_MAX, &arena, info, &rows, NULL);
	for (size_t i = 0; err == MS_OK && i < rows.count; i++)
		on_notice(arg, ms_store_get_text(&rows, i, 0), ms_store_get_int(&rows, i, 1));
	ms_arena_fini(&arena);
	return err;
}

static enum ms_err wait_for_notices(struct store_conn *conn, int wake_fd, unsigned timeout_ms,
				    store_on_notice_fn *on_notice, void *arg, struct errinfo *info)
{
	struct sqlite_conn *c = of(conn);
	struct pollfd wake = {.fd = wake_fd, .events = POLLIN};
	(void)poll(&wake, 1, (int)timeout_ms); // woken or not: a look costs little
	int64_t version = 0;
	MS_TRY(pragma_int(c, "PRAGMA data_version", info, &version));
	if (version == c->data_version)
		return MS_OK;
	MS_TRY(read_counters(conn, on_notice, arg, info));
	c->data_version = version;
	return MS_OK;
}

const struct store_driver ms_store_sqlite = {
	.name = "sqlite",
	.embedded = true,
	.accepts = accepts,
	.place = place,
	.schema = "CREATE TABLE store_migrations (module TEXT NOT NULL, version BIGINT NOT NULL, name TEXT NOT NULL, "
		  "sha256 TEXT NOT NULL, applied_us BIGINT NOT NULL, PRIMARY KEY (module, version));"
		  "CREATE TABLE store_channels (name TEXT NOT NULL PRIMARY KEY, count BIGINT NOT NULL);",
	.has_schema = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = 'store_migrations'",
	.open = open_conn,
	.close = close_conn,
	.begin = begin,
	.commit = commit,
	.rollback = rollback,
	.savepoint = savepoint,
	.release = release,
	.undo = undo,
	.is_open = is_open,
	.run = run,
	.script = script,
	.notify = notify,
	.listen = listen_to,
	.wait = wait_for_notices,
};
