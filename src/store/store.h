// SPDX-License-Identifier: Apache-2.0
// Relational state: SQLite beside the program, or PostgreSQL 15 and later. One interface, one dialect, one test suite.
//
// Everything happens in a transaction: a function of the caller that runs on a thread of the store, may block there, and talks
// to the database through its `struct store_tx`. Afterwards `done` runs on the loop that asked. Nothing here blocks a loop.
//
// A transaction's function may run more than once (a conflict, a connection that broke before the commit): it starts from the same
// argument each time and has no other effect than its statements and what it writes to its argument. When the connection breaks
// during the commit nobody knows whether it took place: MS_ERR_STORE_UNKNOWN, and the caller looks, or repeats what
// may be repeated.
//
// SQL is what both databases understand. Parameters are $1, $2, …; types are BIGINT, DOUBLE PRECISION, TEXT and BLOB (PostgreSQL gets
// BLOB as a domain of bytea), booleans are BIGINT 0 and 1, times are BIGINT microseconds since the Unix epoch, ids are TEXT made by the
// program, no AUTOINCREMENT. INSERT … ON CONFLICT … DO UPDATE and RETURNING are fine. No statement is built from input.
// A parameter that may be NULL stands where a column tells its type (VALUES, SET, a comparison). Writes are serialisable on both
// databases: a transaction that looks and then writes needs no lock of its own.
#ifndef MS_STORE_STORE_H
#define MS_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "observe/observe.h"
#include "rt/rt.h"

// --- Values ------------------------------------------------------------------------------------------

enum store_kind { STORE_NULL, STORE_INT, STORE_REAL, STORE_TEXT, STORE_BLOB };

struct store_value {
	enum store_kind kind;
	union {
		int64_t integer;
		double real;
		struct slice bytes; // of text (UTF-8 without NUL) and blobs; borrowed
	};
};

static inline struct store_value ms_store_int(int64_t value)
{
	return (struct store_value){.kind = STORE_INT, .integer = value};
}
static inline struct store_value ms_store_real(double value)
{
	return (struct store_value){.kind = STORE_REAL, .real = value};
}
static inline struct store_value ms_store_text(struct slice text)
{
	return (struct store_value){.kind = STORE_TEXT, .bytes = text};
}
static inline struct store_value ms_store_blob(struct slice bytes)
{
	return (struct store_value){.kind = STORE_BLOB, .bytes = bytes};
}
static inline struct store_value ms_store_null(void)
{
	return (struct store_value){.kind = STORE_NULL};
}

// The rows of a query, whole, in the transaction's arena: they live until the transaction's function returns (copy what must live
// longer). Large sets are read page by page, by key.
struct store_rows {
	const struct store_value *values; // row after row
	size_t count;                     // rows
	size_t columns;
};
// The accessors assert the bounds and the kind: the caller wrote the query. NULL reads as 0, 0.0, or a slice with p == NULL.
// ms_store_get_real takes integers too; an empty text or blob has a pointer.
int64_t ms_store_get_int(const struct store_rows *rows, size_t row, size_t column);
double ms_store_get_real(const struct store_rows *rows, size_t row, size_t column);
struct slice ms_store_get_text(const struct store_rows *rows, size_t row, size_t column);
struct slice ms_store_get_blob(const struct store_rows *rows, size_t row, size_t column);
bool ms_store_is_null(const struct store_rows *rows, size_t row, size_t column);

// --- Statements, inside a transaction ----------------------------------------------------------------

struct store_tx;

// `sql` is static text (statements are prepared once a connection and found again by its address), one statement with at most
// MS_STORE_PARAMS_MAX parameters, all of $1 to $count.
// Errors: MS_ERR_STORE_CONFLICT (a unique or foreign key, a NOT NULL or a CHECK; the transaction is still usable on neither
// database: return the error), MS_ERR_INVALID (text that is not UTF-8 or holds a NUL; a real that is not a number), MS_ERR_LIMIT (more rows than `max_rows`), MS_ERR_BUSY, MS_ERR_STORE (the database refused, with its words in
// the log and none in the message), MS_ERR_STORE_GONE (no connection), MS_ERR_NO_MEMORY, MS_ERR_NO_SPACE. Every error ends the transaction: hand it up.
MS_MUST_USE enum ms_err ms_store_run(struct store_tx *tx, const char *sql, const struct store_value *params,
				     size_t count, struct errinfo *info,
				     uint64_t *ret_changed); // ret_changed may be NULL
MS_MUST_USE enum ms_err ms_store_query(struct store_tx *tx, const char *sql, const struct store_value *params,
				       size_t count, size_t max_rows, struct errinfo *info,
				       struct store_rows *ret_rows);
#define MS_STORE_PARAMS_MAX 40
// ms_store_run(tx, SQL, MS_STORE_PARAMS(ms_store_text(id), ms_store_int(now)), info, NULL)
#define MS_STORE_PARAMS(...)                         \
	((const struct store_value[]){__VA_ARGS__}), \
		(sizeof((const struct store_value[]){__VA_ARGS__}) / sizeof(struct store_value))
#define MS_STORE_NO_PARAMS NULL, 0

// Memory that lives until the transaction's function returns.
struct arena *ms_store_arena(struct store_tx *tx);
// Microseconds since the Unix epoch when the transaction began (of this machine's clock).
int64_t ms_store_now_us(const struct store_tx *tx);
// Once the transaction is committed, every watcher of the channel, in this process and in others on the same database, is called.
// Several notices of one channel may become one call. `channel` is static text of at most 60 of [a-z0-9_.].
MS_MUST_USE enum ms_err ms_store_notify(struct store_tx *tx, const char *channel, struct errinfo *info);

// --- Transactions ------------------------------------------------------------------------------------

struct store;

typedef enum ms_err store_fn(struct store_tx *tx, void *arg, struct errinfo *info); // on a thread of the store
struct store_work;
typedef void store_done_fn(struct store_work *work); // on the loop `home`

// Lives in the caller's object until `done` was called; then it may be used again.
struct store_work {
	struct mail mail;
	struct store_work *next;
	struct loop *home;
	store_fn *fn;
	store_done_fn *done;
	void *arg;
	bool writes;
	int64_t queued_ns;
	enum ms_err err;     // how it ended: MS_OK = committed
	struct errinfo info; // when it did not
};

// From any thread; never blocks. Writes of one process are committed in the order of submission on SQLite (one writer, which
// commits several waiting ones together: each keeps its own savepoint, so that one that fails takes none along); on PostgreSQL
// they run on several connections, serialised by the database alone. An acknowledged write is on disk. Reads see one consistent state,
// and everything that was acknowledged before they were submitted. MS_ERR_BUSY when the queue is full, MS_ERR_DRAINING after
// ms_store_stop(): then done is not called.
MS_MUST_USE enum ms_err ms_store_write(struct store *store, struct store_work *work, struct loop *home, store_fn *fn,
				       void *arg, store_done_fn *done);
MS_MUST_USE enum ms_err ms_store_read(struct store *store, struct store_work *work, struct loop *home, store_fn *fn,
				      void *arg, store_done_fn *done);
// The same, waiting for the end: for the start of the program, pool threads and the command line; never on a loop thread, nor
// in the function of a transaction.
MS_MUST_USE enum ms_err ms_store_write_wait(struct store *store, store_fn *fn, void *arg, struct errinfo *info);
MS_MUST_USE enum ms_err ms_store_read_wait(struct store *store, store_fn *fn, void *arg, struct errinfo *info);

// --- Notices -----------------------------------------------------------------------------------------

// fn is called on `home`'s thread after a notice of the channel (its own process's within the turn after the commit, others' within
// `poll_ms` on SQLite and at once on PostgreSQL), and once more whenever notices may have been missed (a lost connection came back).
// At most 64 watches, made before the loops run; they end with the store.
typedef void store_notice_fn(void *arg);
MS_MUST_USE enum ms_err ms_store_watch(struct store *store, const char *channel, struct loop *home, store_notice_fn *fn,
				       void *arg);

// --- Migrations --------------------------------------------------------------------------------------

// The schema of a module, in steps that never change once released. Each runs in one transaction and may hold several
// statements. Versions of a module count 1, 2, 3, … without a gap. Recorded with the SHA-256 of the text: a step that was changed
// afterwards, or that the program does not know, stops the start with a message that says so.
struct store_migration {
	const char *module; // "auth"
	unsigned version;
	const char *name; // "users and sessions", for people
	const char *sql;
};
struct store_migrations {
	const struct store_migration *steps; // of one module, ascending
	size_t count;
};

struct store_step_state {
	const char *module;
	unsigned version;
	const char *name;
	enum { STORE_STEP_PENDING, STORE_STEP_APPLIED, STORE_STEP_CHANGED, STORE_STEP_UNKNOWN } state;
	int64_t applied_us; // 0 when pending
};

// --- Life --------------------------------------------------------------------------------------------

struct store_options {
	// "sqlite:PATH", or "postgres://user:password@host:port/name?sslmode=…" (postgresql:// too). Never shown or logged with its password.
	const char *url;
	struct log *log;
	struct metrics *metrics;                   // NULL: none
	const struct store_migrations *migrations; // of all modules; copied, the steps themselves outlive the store
	size_t migration_count;
	bool migrate; // apply pending steps at the open; otherwise pending ones are an error that names `mainstay migrate up`
	// 0 takes the default everywhere.
	unsigned connections_min; // PostgreSQL; 5
	unsigned connections_max; // PostgreSQL 20, and one that listens; readers of SQLite 4
	uint64_t idle_timeout_ms; // further connections close after this; 1 h
	unsigned queue_depth;     // transactions that may wait; 10000 (SQLite: writes and reads each)
	unsigned poll_ms;         // SQLite: how often the file is looked at for writes of other processes; 500
	unsigned patience_ms;     // how long a transaction waits for a database that is away (MS_ERR_STORE_GONE); 10 s
	unsigned
		answer_ms; // how long to wait for what others hold, and (PostgreSQL) for a statement: MS_ERR_BUSY; 60 s
	// Open without migrating, creating and complaining, for `mainstay migrate status`: only ms_store_steps() works.
	bool check_only;
};

// The address of a PostgreSQL server from its parts, each escaped as an URL wants it. `host` may be a folder with a Unix socket.
// `port` 0, `name`, `user`, `password` NULL or "": as libpq finds them.
struct store_server {
	const char *host;
	unsigned port;
	const char *name;
	const char *user;
	const char *password;
};
MS_MUST_USE enum ms_err ms_store_server_url(const struct store_server *server, struct arena *arena,
					    struct errinfo *info, const char **ret_url);
// Where it is, without user and password, for people: "sqlite file mainstay.db", "postgres db.example:5432/mainstay".
#define MS_STORE_PLACE_SIZE 256
void ms_store_place(const char *url, char dst[MS_STORE_PLACE_SIZE]);

// Opens (SQLite: creates with mode 0600, WAL, synchronous=FULL, foreign keys), migrates, starts the threads. Blocks; before the loops
// run. Two processes that migrate at once: one waits for the other. When PostgreSQL cannot be reached: MS_ERR_STORE_GONE, with host, port and reason.
MS_MUST_USE enum ms_err ms_store_open(const struct store_options *options, struct errinfo *info,
				      struct store **ret_store);
// Takes no more work, finishes what was taken, ends the threads.
void ms_store_stop(struct store *store);
// After the loops are gone. Accepts NULL.
void ms_store_free(struct store *store);
const char *ms_store_kind(const struct store *store); // "sqlite" or "postgres"
// Any thread: false while no connection to the database works.
bool ms_store_healthy(const struct store *store);
// The steps of the program and of the database, by module and version; blocks. In the arena.
MS_MUST_USE enum ms_err ms_store_steps(struct store *store, struct arena *arena, struct errinfo *info,
				       struct store_step_state **ret_steps, size_t *ret_count);
// Applies what is pending; blocks. `ret_applied`: how many.
MS_MUST_USE enum ms_err ms_store_migrate(struct store *store, struct errinfo *info, size_t *ret_applied);

#endif
