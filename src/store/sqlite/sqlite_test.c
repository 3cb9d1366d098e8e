// SPDX-License-Identifier: Apache-2.0
// What is particular to SQLite: the file, its mode, other people's files, one commit for many, a full disk.
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store_test_kit.h"

static const char *path_of(const struct fixture *f)
{
	return f->url + strlen("sqlite:");
}

static void make_file(const struct fixture *f, const char *sql)
{
	sqlite3 *db;
	REQUIRE(sqlite3_open(path_of(f), &db) == SQLITE_OK);
	REQUIRE(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(db);
}

static void check_refused(const struct fixture *f, const char *words)
{
	struct store *store;
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK_INT(ms_store_open(&(struct store_options){.url = f->url, .migrate = true}, &info, &store), MS_ERR_STORE);
	CHECK_HAS(info.message, words);
}

TEST(files_of_others_are_left_alone)
{
	static const char text[] =
		"This is a letter, and not a database, although it has a name like one's. It is longer than "
		"the head of a database, so that nobody takes it for an empty file.";
	struct fixture f;
	ms_store_test_begin(&f, false);
	REQUIRE(ms_file_write_new(path_of(&f), ms_slice_cstr(text), 0644, NULL) == MS_OK);
	check_refused(&f, "not a database");
	struct slice after;
	REQUIRE(ms_file_read(path_of(&f), 4096, NULL, &after) == MS_OK);
	CHECK_SLICE(after, text);
	free((void *)(uintptr_t)after.p);
	ms_store_test_end(&f);

	ms_store_test_begin(&f, false);
	make_file(&f, "CREATE TABLE letters (id INTEGER)");
	check_refused(&f, "of another program");
	ms_store_test_end(&f);

	ms_store_test_begin(&f, false);
	make_file(&f, "PRAGMA application_id=0x4D535459; PRAGMA user_version=2; CREATE TABLE t (id INTEGER)");
	check_refused(&f, "newer version");
	ms_store_test_end(&f);
}

TEST(the_file_is_nobody_elses_to_read)
{
	struct fixture f;
	struct stat stat_of;
	char path[700];
	ms_store_test_begin(&f, false);
	mode_t before = umask(0);
	ms_store_test_open(&f);
	CHECK_OK(ms_store_test_put(f.store, "a", 1));
	umask(before);
	for (size_t i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s%s", path_of(&f), ((const char *[]){"", "-wal", "-shm"})[i]);
		REQUIRE(stat(path, &stat_of) == 0);
		CHECK_INT(stat_of.st_mode & 0777, 0600);
	}
	ms_store_test_end(&f);
}

// --- One commit for many -----------------------------------------------------------------------------

#define MANY 10000

struct many {
	struct store_work works[MANY];
	struct fixture *f;
	unsigned left;
};

static enum ms_err add_row(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_work *work = arg;
	char id[32];
	snprintf(id, sizeof(id), "%p", (void *)work);
	return ms_store_run(tx, "INSERT INTO item (id) VALUES ($1)", MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(id))),
			    info, NULL);
}

static struct many *all_of_them; // the works are one array; its owner is found through this

static void count_down(struct store_work *work)
{
	CHECK_OK(work->err);
	if (--all_of_them->left == 0)
		ms_rt_stop(all_of_them->f->rt);
}

static double metric(struct metrics *metrics, const char *line)
{
	struct buf out;
	ms_buf_init(&out, 1 << 20);
	ms_metrics_write(metrics, METRICS_PROMETHEUS_TEXT, &out);
	ms_buf_append_char(&out, '\0');
	char *at = strstr(out.p, line);
	double value = at != NULL ? strtod(at + strlen(line), NULL) : -1;
	ms_buf_fini(&out);
	return value;
}

TEST(writes_that_wait_share_a_commit)
{
	struct fixture f;
	struct metrics *metrics;
	ms_store_test_begin(&f, false);
	REQUIRE(ms_metrics_new(1, &metrics) == MS_OK);
	ms_store_test_open_as(&f, &(struct store_options){.metrics = metrics}, &f.store);
	all_of_them = calloc(1, sizeof(*all_of_them));
	REQUIRE(all_of_them != NULL);
	all_of_them->f = &f;
	all_of_them->left = MANY;
	for (size_t i = 0; i < MANY; i++) {
		struct store_work *work = &all_of_them->works[i];
		CHECK_OK(ms_store_write(f.store, work, ms_rt_loop(f.rt, 0), add_row, work, count_down));
	}
	ms_store_test_run(&f);
	CHECK_INT(all_of_them->left, 0);
	CHECK_INT(ms_store_test_count(f.store), MANY);
	double commits = metric(metrics, "\nstore_commits_total ");
	CHECK(commits >= MANY / 256 && commits <= MANY / 20);
	CHECK_F64(metric(metrics, "store_transactions_total{kind=\"write\",outcome=\"committed\"} "), MANY);
	ms_store_test_end(&f);
	free(all_of_them);
	ms_metrics_free(metrics);
}

// --- A full disk -------------------------------------------------------------------------------------

static enum ms_err add_large(struct store_tx *tx, void *arg, struct errinfo *info)
{
	static const char zeros[20000];
	char id[32];
	snprintf(id, sizeof(id), "%u", *(unsigned *)arg);
	MS_TRY(ms_store_run(
		tx, "INSERT INTO item (id, b) VALUES ($1, $2)",
		MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(id)), ms_store_blob(ms_slice(zeros, sizeof(zeros)))), info,
		NULL));
	return ms_store_run(tx, "INSERT INTO part (id, item, n) VALUES ($1, $1, 1)",
			    MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(id))), info, NULL);
}

static enum ms_err count_parts(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT COUNT(*) FROM part", MS_STORE_NO_PARAMS, 1, info, &rows));
	*(int64_t *)arg = ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;
	REQUIRE(getrlimit(RLIMIT_FSIZE, &limit) == 0);
	limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
	REQUIRE(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

TEST(a_full_disk_loses_nothing_and_ends)
{
	struct fixture f;
	struct errinfo info;
	int64_t parts = -1;
	unsigned done = 0, n = 0;
	ms_store_test_begin(&f, false);
	signal(SIGXFSZ, SIG_IGN);
	ms_store_test_open(&f);
	limit_files(300000);
	enum ms_err err = MS_OK;
	for (; n < 100 && err == MS_OK; n++) {
		err = ms_store_write_wait(f.store, add_large, &n, &info);
		done += err == MS_OK;
	}
	CHECK(done > 3);
	CHECK_INT(err, MS_ERR_NO_SPACE);
	CHECK_HAS(info.message, "no space");
	CHECK_INT(ms_store_write_wait(f.store, add_large, &n, NULL), MS_ERR_NO_SPACE);
	CHECK_INT(ms_store_test_count(f.store), done); // what was acknowledged can be read meanwhile
	limit_files(RLIM_INFINITY);
	CHECK_OK(ms_store_write_wait(f.store, add_large, &n, NULL)); // and it goes on by itself
	CHECK_INT(ms_store_test_count(f.store), done + 1);
	CHECK_OK(ms_store_read_wait(f.store, count_parts, &parts, NULL));
	CHECK_INT(parts, done + 1);
	ms_store_free(f.store);
	ms_store_test_open(&f);
	CHECK_INT(ms_store_test_count(f.store), done + 1);
	ms_store_test_end(&f);
	signal(SIGXFSZ, SIG_DFL);
}

// A group in which one is too large for the disk: the others are committed.
struct sized {
	struct store_work work;
	struct fixture *f;
	unsigned *left;
	unsigned index;
	size_t bytes;
};

static enum ms_err add_sized(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct sized *s = arg;
	char id[32];
	snprintf(id, sizeof(id), "%u", s->index);
	char *bytes = ms_arena_calloc(ms_store_arena(tx), 1, s->bytes);
	REQUIRE(bytes != NULL);
	return ms_store_run(tx, "INSERT INTO item (id, b) VALUES ($1, $2)",
			    MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(id)), ms_store_blob(ms_slice(bytes, s->bytes))),
			    info, NULL);
}

static void sized_ended(struct store_work *work)
{
	struct sized *s = MS_CONTAINER_OF(work, struct sized, work);
	if (--*s->left == 0)
		ms_rt_stop(s->f->rt);
}

TEST(one_that_does_not_fit_takes_none_along)
{
	static struct sized all[50];
	struct fixture f;
	unsigned left = 50;
	ms_store_test_begin(&f, false);
	signal(SIGXFSZ, SIG_IGN);
	ms_store_test_open(&f);
	limit_files(2000000);
	for (unsigned i = 0; i < 50; i++) {
		all[i] = (struct sized){.f = &f, .left = &left, .index = i, .bytes = i == 20 ? 30000000 : 100};
		CHECK_OK(ms_store_write(f.store, &all[i].work, ms_rt_loop(f.rt, 0), add_sized, &all[i], sized_ended));
	}
	ms_store_test_run(&f);
	for (unsigned i = 0; i < 50; i++)
		CHECK_INT(all[i].work.err, i == 20 ? MS_ERR_NO_SPACE : MS_OK);
	CHECK_INT(ms_store_test_count(f.store), 49);
	limit_files(RLIM_INFINITY);
	ms_store_test_end(&f);
	signal(SIGXFSZ, SIG_DFL);
}

// --- Other processes ---------------------------------------------------------------------------------

TEST(a_process_that_keeps_the_file_is_waited_for_but_not_for_ever)
{
	static struct sized all[20];
	struct fixture f;
	sqlite3 *other;
	unsigned left = 20;
	ms_store_test_begin(&f, false);
	ms_store_test_open_as(&f, &(struct store_options){.answer_ms = 200}, &f.store);
	CHECK_OK(ms_store_test_put(f.store, "first", 1));
	REQUIRE(sqlite3_open(path_of(&f), &other) == SQLITE_OK);
	REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
	for (unsigned i = 0; i < 20; i++) {
		all[i] = (struct sized){.f = &f, .left = &left, .index = i, .bytes = 10};
		CHECK_OK(ms_store_write(f.store, &all[i].work, ms_rt_loop(f.rt, 0), add_sized, &all[i], sized_ended));
	}
	ms_store_test_run(&f);
	for (unsigned i = 0; i < 20; i++) {
		CHECK_INT(all[i].work.err, MS_ERR_BUSY);
		CHECK_HAS(all[i].work.info.message, "another process");
	}
	CHECK_INT(ms_store_test_count(f.store), 1); // who reads is not held up
	REQUIRE(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(other);
	CHECK_OK(ms_store_test_put(f.store, "second", 1));
	ms_store_test_end(&f);
}
