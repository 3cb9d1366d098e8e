// SPDX-License-Identifier: Apache-2.0
// Processes that die while they write, and several that write at once.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store_test_kit.h"

// A transaction writes an item and its part: never one without the other.
struct pair {
	int process;
	unsigned n;
};

static enum ms_err add_pair(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct pair *pair = arg;
	char id[40];
	snprintf(id, sizeof(id), "%d-%u", pair->process, pair->n);
	const struct store_value key = ms_store_text(ms_slice_cstr(id));
	MS_TRY(ms_store_run(tx, "INSERT INTO item (id, n) VALUES ($1, 0)", MS_STORE_PARAMS(key), info, NULL));
	MS_TRY(ms_store_run(tx, "INSERT INTO part (id, item, n) VALUES ($1, $1, 1)", MS_STORE_PARAMS(key), info, NULL));
	return ms_store_run(tx, "UPDATE item SET n = 1 WHERE id = $1", MS_STORE_PARAMS(key), info, NULL);
}

#define WRITERS 4
struct writer {
	struct store *store;
	int process, to;
	unsigned count;
	unsigned failed;
};

static void write_pairs(void *arg)
{
	struct writer *w = arg;
	for (struct pair pair = {w->process, 0}; pair.n < w->count; pair.n++) {
		enum ms_err err = ms_store_write_wait(w->store, add_pair, &pair, NULL);
		w->failed += err != MS_OK;
		if (err == MS_OK && w->to >= 0 && write(w->to, &pair, sizeof(pair)) != sizeof(pair))
			return;
	}
}

// In a process of its own: several threads write; each acknowledged pair is told through the pipe.
static pid_t start_process(const struct fixture *f, int first, unsigned count, int to)
{
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	struct store *store;
	struct writer writers[WRITERS];
	struct thread *threads[WRITERS];
	unsigned failed = 0;
	ms_store_test_open_as(f, &(struct store_options){.connections_max = 4}, &store);
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){store, first + i, to, count, 0};
		REQUIRE(ms_thread_new("writer", write_pairs, &writers[i], NULL, &threads[i]) == MS_OK);
	}
	for (int i = 0; i < WRITERS; i++) {
		ms_thread_join(threads[i]);
		failed += writers[i].failed;
	}
	ms_store_free(store);
	_exit(failed > 0);
}

struct audit {
	const struct pair *acknowledged;
	size_t count;
	int64_t missing, items, halves;
};

static enum ms_err audit(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct audit *a = arg;
	struct store_rows rows;
	a->missing = 0;
	for (size_t i = 0; i < a->count; i++) {
		char id[40];
		snprintf(id, sizeof(id), "%d-%u", a->acknowledged[i].process, a->acknowledged[i].n);
		MS_TRY(ms_store_query(tx, "SELECT n FROM item WHERE id = $1",
				      MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(id))), 1, info, &rows));
		a->missing += rows.count == 0;
	}
	MS_TRY(ms_store_query(tx,
			      "SELECT COUNT(*), (SELECT COUNT(*) FROM item WHERE n <> 1) + (SELECT COUNT(*) FROM item "
			      "WHERE NOT EXISTS (SELECT 1 FROM part WHERE part.id = item.id)) FROM item",
			      MS_STORE_NO_PARAMS, 1, info, &rows));
	a->items = ms_store_get_int(&rows, 0, 0);
	a->halves = ms_store_get_int(&rows, 0, 1);
	return MS_OK;
}

static size_t read_pairs(int from, struct pair *pairs, size_t max)
{
	size_t n = 0;
	while (n < max && read(from, &pairs[n], sizeof(pairs[n])) == sizeof(pairs[n]))
		n++;
	return n;
}

#define ROUND_PAIRS 20000

STORE_TEST(what_was_acknowledged_survives_a_kill)
{
	static struct pair pairs[4 * ROUND_PAIRS];
	size_t n = 0;
	ms_store_test_open(f);
	ms_store_free(f->store);
	f->store = NULL;
	for (int round = 0; round < 4; round++) {
		int ends[2];
		REQUIRE(pipe(ends) == 0);
		pid_t pid = start_process(f, round * 100, 1000000, ends[1]);
		close(ends[1]);
		// After some have been acknowledged, at whatever moment it is.
		n += read_pairs(ends[0], pairs + n, 100 + (size_t)round * 77);
		REQUIRE(kill(pid, SIGKILL) == 0);
		n += read_pairs(ends[0], pairs + n, ROUND_PAIRS);
		close(ends[0]);
		waitpid(pid, NULL, 0);
	}
	CHECK(n > 800);
	struct audit a = {.acknowledged = pairs, .count = n};
	ms_store_test_open(f);
	CHECK_OK(ms_store_read_wait(f->store, audit, &a, NULL));
	CHECK_INT(a.missing, 0);
	CHECK_INT(a.halves, 0);
	CHECK(a.items >= (int64_t)n);
}

STORE_TEST(several_processes_write_to_one_database)
{
	pid_t pids[3];
	int status;
	ms_store_test_open(f);
	ms_store_free(f->store);
	f->store = NULL;
	for (int i = 0; i < 3; i++)
		pids[i] = start_process(f, i * 100, 100, -1);
	for (int i = 0; i < 3; i++) {
		waitpid(pids[i], &status, 0);
		CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	struct audit a = {.count = 0};
	ms_store_test_open(f);
	CHECK_OK(ms_store_read_wait(f->store, audit, &a, NULL));
	CHECK_INT(a.items, 3 * WRITERS * 100);
	CHECK_INT(a.halves, 0);
}
