// SPDX-License-Identifier: Apache-2.0
// What is particular to PostgreSQL: a server that goes away and comes back, connections that break, the pool.
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/postgres/private.h"
#include "store/store_test_kit.h"

static void begin(struct fixture *f, const struct store_options *options)
{
	ms_store_test_begin(f, true);
	ms_store_test_open_as(f, options, &f->store);
}

// A loaded machine is given time; what is right happens at once.
#define LONG_NS 60000000000LL

static bool becomes_healthy(struct store *store, bool healthy)
{
	int64_t until_ns = ms_clock_mono_ns() + LONG_NS;
	while (ms_store_healthy(store) != healthy && ms_clock_mono_ns() < until_ns)
		usleep(10000);
	return ms_store_healthy(store) == healthy;
}

// --- Under load --------------------------------------------------------------------------------------

#define CLIENTS 40

struct client {
	struct store_work work;
	struct load *load;
	int64_t index;
	int64_t n; // the next row
	bool committed[20000];
};

struct load {
	struct fixture *f;
	struct client clients[CLIENTS];
	unsigned running;
	bool ending;
	unsigned committed, gone, unknown, other;
	unsigned notices;
};

static enum ms_err add_row(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct client *c = arg;
	char id[40];
	snprintf(id, sizeof(id), "%lld-%lld", (long long)c->index, (long long)c->n);
	return ms_store_run(tx, "INSERT INTO item (id, n, t) VALUES ($1, $2, $3)",
			    MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(id)), ms_store_int(c->index * 1000000 + c->n),
					    ms_store_null()),
			    info, NULL);
}

static void submit_next(struct client *c);

static void row_ended(struct store_work *work)
{
	struct client *c = MS_CONTAINER_OF(work, struct client, work);
	struct load *load = c->load;
	c->committed[c->n] = work->err == MS_OK;
	load->committed += work->err == MS_OK;
	load->gone += work->err == MS_ERR_STORE_GONE;
	load->unknown += work->err == MS_ERR_STORE_UNKNOWN;
	load->other += work->err != MS_OK && work->err != MS_ERR_STORE_GONE && work->err != MS_ERR_STORE_UNKNOWN;
	c->n++;
	if (!load->ending && c->n < (int64_t)MS_ARRAY_LEN(c->committed))
		submit_next(c);
	else if (--load->running == 0)
		ms_rt_stop(load->f->rt);
}

static void submit_next(struct client *c)
{
	struct load *load = c->load;
	CHECK_OK(ms_store_write(load->f->store, &c->work, ms_rt_loop(load->f->rt, 0), add_row, c, row_ended));
}

static enum ms_err find_rows(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct load *load = arg;
	struct store_rows rows;
	unsigned found = 0;
	MS_TRY(ms_store_query(tx, "SELECT n FROM item", MS_STORE_NO_PARAMS, 1000000, info, &rows));
	for (size_t i = 0; i < rows.count; i++) {
		int64_t n = ms_store_get_int(&rows, i, 0);
		found += load->clients[n / 1000000].committed[n % 1000000];
	}
	CHECK_INT(found, load->committed);
	return MS_OK;
}

// What happens to the server is done by a thread, while the loop goes on.
struct trouble {
	struct load *load;
	void (*make)(struct load *load);
	struct mail mail;
};

static void end_load(struct mail *mail)
{
	struct trouble *t = MS_CONTAINER_OF(mail, struct trouble, mail);
	t->load->ending = true;
}

static void trouble_main(void *arg)
{
	struct trouble *t = arg;
	usleep(300000);
	t->make(t->load);
	usleep(500000);
	ms_loop_post(ms_rt_loop(t->load->f->rt, 0), &t->mail, end_load);
}

static void run_load(struct load *load, void (*make)(struct load *load))
{
	struct trouble trouble = {.load = load, .make = make};
	struct thread *thread;
	for (int64_t i = 0; i < CLIENTS; i++) {
		load->clients[i].load = load;
		load->clients[i].index = i;
		load->running++;
		submit_next(&load->clients[i]);
	}
	REQUIRE(ms_thread_new("trouble", trouble_main, &trouble, NULL, &thread) == MS_OK);
	ms_store_test_run(load->f);
	ms_thread_join(thread);
	printf("# %u committed, %u gone, %u unknown\n", load->committed, load->gone, load->unknown);
	CHECK(load->committed > 100);
	CHECK_INT(load->other, 0);
	CHECK_OK(ms_store_read_wait(load->f->store, find_rows, load, NULL));
}

static void count_notice(void *arg)
{
	struct load *load = arg;
	load->notices++;
}

static void restart(struct load *load)
{
	(void)load;
	ms_test_postgres("restart");
}

TEST(a_restart_under_load_is_waited_for)
{
	struct fixture f;
	struct load *load = calloc(1, sizeof(*load));
	begin(&f, &(struct store_options){.connections_max = 10, .patience_ms = 60000});
	load->f = &f;
	CHECK_OK(ms_store_watch(f.store, "test.news", ms_rt_loop(f.rt, 0), count_notice, load));
	run_load(load, restart);
	CHECK_INT(load->gone, 0); // shorter than the patience
	CHECK(becomes_healthy(f.store, true));
	int64_t until_ns = ms_clock_mono_ns() + LONG_NS;
	while (load->notices == 0 && ms_clock_mono_ns() < until_ns) {
		usleep(10000);
		ms_rt_deliver(f.rt);
	}
	CHECK(load->notices >= 1); // some may have been missed meanwhile
	ms_store_test_end(&f);
	free(load);
}

static void crash(struct load *load)
{
	(void)load;
	ms_test_postgres("kill");
	usleep(1500000);
	ms_test_postgres("start");
	usleep(2500000); // the pause between two tries is at most 2 s
}

TEST(a_crash_loses_nothing_that_was_acknowledged)
{
	struct fixture f;
	struct load *load = calloc(1, sizeof(*load));
	begin(&f, &(struct store_options){.connections_max = 10, .patience_ms = 300});
	load->f = &f;
	run_load(load, crash);
	CHECK(load->gone > 0); // longer than the patience
	ms_store_test_end(&f);
	free(load);
}

static enum ms_err terminate_others(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	(void)arg;
	return ms_store_query(tx,
			      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
			      "AND datname = current_database() AND application_name = 'mainstay'",
			      MS_STORE_NO_PARAMS, 100, info, &rows);
}

static void cut_connections(struct load *load)
{
	for (int i = 0; i < 5; i++) {
		CHECK_OK(ms_store_write_wait(load->f->store, terminate_others, NULL, NULL));
		usleep(50000);
	}
}

TEST(broken_connections_are_replaced_unseen)
{
	struct fixture f;
	struct load *load = calloc(1, sizeof(*load));
	begin(&f, &(struct store_options){.connections_max = 10, .patience_ms = 60000});
	load->f = &f;
	run_load(load, cut_connections);
	CHECK_INT(load->gone, 0);
	ms_store_test_end(&f);
	free(load);
}

// --- Away --------------------------------------------------------------------------------------------

TEST(a_server_that_is_away_is_said_and_found_again)
{
	struct fixture f;
	struct errinfo info;
	struct store *second;
	begin(&f, &(struct store_options){.patience_ms = 500});
	CHECK_OK(ms_store_test_put(f.store, "a", 1));
	ms_test_postgres("stop");
	int64_t begun_ns = ms_clock_mono_ns();
	CHECK_INT(ms_store_test_put(f.store, "b", 1), MS_ERR_STORE_GONE);
	int64_t took_ms = (ms_clock_mono_ns() - begun_ns) / 1000000;
	CHECK(took_ms >= 400 && took_ms < 9000);
	CHECK(becomes_healthy(f.store, false));
	ms_errinfo_init(&info);
	CHECK_INT(ms_store_open(&(struct store_options){.url = f.url}, &info, &second), MS_ERR_STORE_GONE);
	CHECK_HAS(info.message, "127.0.0.1:");
	CHECK_HAS(info.message, "refused");
	CHECK(strstr(info.message, "se%cret") == NULL && strstr(info.message, "cret%2F") == NULL);
	ms_test_postgres("start");
	CHECK(becomes_healthy(f.store, true));
	CHECK_OK(ms_store_test_put(f.store, "b", 1));
	CHECK_INT(ms_store_test_count(f.store), 2);
	ms_store_test_end(&f);
}

static void count_end(struct store_work *work)
{
	struct client *c = MS_CONTAINER_OF(work, struct client, work);
	c->load->gone += work->err == MS_ERR_STORE_GONE;
	c->load->other += work->err != MS_ERR_STORE_GONE;
}

TEST(a_stop_does_not_wait_for_a_server_that_is_away)
{
	struct fixture f;
	struct load *load = calloc(1, sizeof(*load));
	begin(&f, &(struct store_options){.connections_max = 3, .patience_ms = 60000});
	load->f = &f;
	ms_test_postgres("stop");
	for (int64_t i = 0; i < CLIENTS; i++) {
		struct client *c = &load->clients[i];
		c->load = load;
		c->index = i;
		CHECK_OK(ms_store_write(f.store, &c->work, ms_rt_loop(f.rt, 0), add_row, c, count_end));
	}
	usleep(300000); // some wait already
	int64_t begun_ns = ms_clock_mono_ns();
	ms_store_stop(f.store);
	CHECK(ms_clock_mono_ns() - begun_ns < 30000000000LL);
	ms_rt_deliver(f.rt);
	CHECK_INT(load->gone, CLIENTS);
	CHECK_INT(load->other, 0);
	ms_test_postgres("start");
	ms_store_test_end(&f);
	free(load);
}

TEST(a_server_that_stands_still_holds_nobody)
{
	struct fixture f;
	begin(&f, &(struct store_options){.patience_ms = 500, .answer_ms = 400});
	CHECK_OK(ms_store_test_put(f.store, "a", 1));
	ms_test_postgres("freeze");
	int64_t begun_ns = ms_clock_mono_ns();
	CHECK_INT(ms_store_test_put(f.store, "b", 1), MS_ERR_STORE_GONE);
	CHECK(ms_clock_mono_ns() - begun_ns < 30000000000LL); // connecting again has its own limit of 5 s
	ms_test_postgres("thaw");
	CHECK(becomes_healthy(f.store, true));
	CHECK_OK(ms_store_test_put(f.store, "c", 1));
	ms_store_test_end(&f);
}

static enum ms_err sleep_long(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	(void)arg;
	return ms_store_query(tx, "SELECT pg_sleep(30)", MS_STORE_NO_PARAMS, 1, info, &rows);
}

TEST(a_statement_that_takes_too_long_ends)
{
	struct fixture f;
	begin(&f, &(struct store_options){.answer_ms = 300});
	int64_t begun_ns = ms_clock_mono_ns();
	CHECK_INT(ms_store_read_wait(f.store, sleep_long, NULL, NULL), MS_ERR_BUSY);
	CHECK(ms_clock_mono_ns() - begun_ns < 25000000000LL);
	CHECK_OK(ms_store_test_put(f.store, "a", 1));
	ms_store_test_end(&f);
}

// --- In doubt ----------------------------------------------------------------------------------------

static enum ms_err make_trap(struct store_tx *tx, void *arg, struct errinfo *info)
{
	(void)arg;
	MS_TRY(ms_store_run(tx,
			    "CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS "
			    "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
			    MS_STORE_NO_PARAMS, info, NULL));
	return ms_store_run(tx,
			    "CREATE CONSTRAINT TRIGGER trap AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED "
			    "FOR EACH ROW WHEN (NEW.n = 666) EXECUTE FUNCTION leave()",
			    MS_STORE_NO_PARAMS, info, NULL);
}

TEST(a_connection_that_breaks_in_the_commit_leaves_doubt)
{
	struct fixture f;
	begin(&f, &(struct store_options){.patience_ms = 500});
	CHECK_OK(ms_store_write_wait(f.store, make_trap, NULL, NULL));
	CHECK_INT(ms_store_test_put(f.store, "a", 666), MS_ERR_STORE_UNKNOWN);
	CHECK_OK(ms_store_test_put(f.store, "b", 1));
	CHECK_INT(ms_store_test_count(f.store), 1);
	ms_store_test_end(&f);
}

// --- The pool ----------------------------------------------------------------------------------------

static enum ms_err count_connections(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx,
			      "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() "
			      "AND application_name = 'mainstay'",
			      MS_STORE_NO_PARAMS, 1, info, &rows));
	*(int64_t *)arg = ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

static int64_t connections(struct store *store)
{
	int64_t n = -1;
	CHECK_OK(ms_store_read_wait(store, count_connections, &n, NULL));
	return n;
}

// Keeps a connection until all that may be there are there.
static enum ms_err stay_and_count(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	int64_t *seen = arg, until_ns = ms_clock_mono_ns() + LONG_NS / 2;
	do {
		MS_TRY(ms_store_query(tx, "SELECT pg_sleep(0.05)", MS_STORE_NO_PARAMS, 1, info, &rows));
		MS_TRY(ms_store_query(tx, "SELECT pg_stat_clear_snapshot()", MS_STORE_NO_PARAMS, 1, info, &rows));
		MS_TRY(count_connections(tx, seen, info));
	} while (*seen < 9 && ms_clock_mono_ns() < until_ns);
	return MS_OK;
}

struct stay {
	struct store_work work;
	struct fixture *f;
	int64_t seen;
	unsigned *left;
};

static void stay_ended(struct store_work *work)
{
	struct stay *s = MS_CONTAINER_OF(work, struct stay, work);
	CHECK_OK(work->err);
	if (--*s->left == 0)
		ms_rt_stop(s->f->rt);
}

static bool falls_to(struct store *store, int64_t want)
{
	int64_t until_ns = ms_clock_mono_ns() + LONG_NS;
	while (connections(store) != want && ms_clock_mono_ns() < until_ns)
		usleep(50000);
	return connections(store) == want;
}

TEST(connections_come_with_the_load_and_go_after_it)
{
	struct fixture f;
	struct stay all[8];
	unsigned left = 8;
	begin(&f, &(struct store_options){.connections_min = 2, .connections_max = 8, .idle_timeout_ms = 2000});
	CHECK(falls_to(f.store, 3)); // two, and the one that listens
	for (size_t i = 0; i < 8; i++) {
		all[i] = (struct stay){.f = &f, .left = &left};
		CHECK_OK(ms_store_read(f.store, &all[i].work, ms_rt_loop(f.rt, 0), stay_and_count, &all[i].seen,
				       stay_ended));
	}
	ms_store_test_run(&f);
	for (size_t i = 0; i < 8; i++)
		CHECK_INT(all[i].seen, 9);
	CHECK(falls_to(f.store, 3));
	ms_store_test_end(&f);
}

// One is enough to tell that all are lost.
TEST(a_restart_of_an_idle_server_costs_one_attempt)
{
	struct fixture f;
	struct metrics *metrics;
	REQUIRE(ms_metrics_new(1, &metrics) == MS_OK);
	begin(&f, &(struct store_options){.connections_min = 30, .connections_max = 30, .metrics = metrics});
	int64_t until_ns = ms_clock_mono_ns() + LONG_NS;
	while (connections(f.store) < 31 && ms_clock_mono_ns() < until_ns)
		usleep(10000);
	CHECK_INT(connections(f.store), 31);
	ms_test_postgres("restart");
	CHECK_OK(ms_store_test_put(f.store, "a", 1));
	CHECK_OK(ms_store_test_put(f.store, "b", 1));
	struct buf out;
	ms_buf_init(&out, 1 << 20);
	ms_metrics_write(metrics, METRICS_PROMETHEUS_TEXT, &out);
	ms_buf_append_char(&out, '\0');
	CHECK_HAS(out.p, "\nstore_retries_total 1\n");
	ms_buf_fini(&out);
	ms_store_test_end(&f);
	ms_metrics_free(metrics);
}

static enum ms_err change_column(struct store_tx *tx, void *arg, struct errinfo *info)
{
	(void)arg;
	return ms_store_run(tx, "ALTER TABLE item ADD COLUMN later TEXT", MS_STORE_NO_PARAMS, info, NULL);
}

static enum ms_err read_all_columns(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT * FROM item", MS_STORE_NO_PARAMS, 10, info, &rows));
	*(size_t *)arg = rows.columns;
	return MS_OK;
}

TEST(prepared_statements_outlive_a_change_of_their_table)
{
	struct fixture f;
	size_t columns = 0;
	begin(&f, &(struct store_options){.connections_max = 1});
	CHECK_OK(ms_store_read_wait(f.store, read_all_columns, &columns, NULL));
	CHECK_INT(columns, 5);
	CHECK_OK(ms_store_write_wait(f.store, change_column, NULL, NULL));
	CHECK_OK(ms_store_read_wait(f.store, read_all_columns, &columns, NULL));
	CHECK_INT(columns, 6);
	ms_store_test_end(&f);
}

// --- Opening -----------------------------------------------------------------------------------------

TEST(servers_that_will_not_do_are_refused)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK_OK(ms_postgres_check_server(150000, "UTF8", "here", &info));
	CHECK_INT(ms_postgres_check_server(140011, "UTF8", "postgres db:5432/m", &info), MS_ERR_STORE);
	CHECK_STR(info.message, "postgres db:5432/m is PostgreSQL 14.11; version 15 or later is needed");
	CHECK_INT(ms_postgres_check_server(90624, "UTF8", "here", &info), MS_ERR_STORE);
	CHECK_HAS(info.message, "PostgreSQL 9.6");
	CHECK_INT(ms_postgres_check_server(160002, "LATIN1", "here", &info), MS_ERR_STORE);
	CHECK_HAS(info.message, "LATIN1");
}

TEST(no_message_shows_the_password)
{
	static const char *const urls[] = {
		"postgres://user:hun%ter2@127.0.0.1:1/m",
		"postgres://user:hunter2/x@127.0.0.1:1/m",
		"postgres://user:hunter2@127.0.0.1:1/m?a=b",
		"postgres://user:hunter2@127.0.0.1:1/m",
		"postgres://user:hunter2@127.0.0.1:99999/m",
		"postgres://user:hunter2@[::1/m",
		"postgres://user:hunter2",
		"postgres://user:60754/hunter2@127.0.0.1:1/m",
		"postgres://user:60754?hunter2@127.0.0.1:1/m",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(urls); i++) {
		struct errinfo info;
		struct store *store;
		char place[MS_STORE_PLACE_SIZE];
		ms_errinfo_init(&info);
		CHECK(ms_store_open(&(struct store_options){.url = urls[i]}, &info, &store) != MS_OK);
		CHECK(info.message[0] != '\0');
		CHECK(strstr(info.message, "60754") == NULL && strstr(info.message, "ter2") == NULL);
		ms_store_place(urls[i], place);
		CHECK(strstr(place, "60754") == NULL && strstr(place, "ter2") == NULL);
	}
}
