// SPDX-License-Identifier: Apache-2.0
// What holds on every database: values, transactions, order, notices, limits.
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/store_test_kit.h"

// --- Values ------------------------------------------------------------------------------------------

static const char INSERT_ALL[] = "INSERT INTO item (id, n, r, t, b) VALUES ($1, $2, $3, $4, $5)";

struct round {
	struct store_value values[4]; // n, r, t, b
	char bytes[64];               // of what came back
	size_t bytes_n;
};

static enum ms_err write_values(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct round *round = arg;
	uint64_t changed = 0;
	MS_TRY(ms_store_run(tx, "DELETE FROM item", MS_STORE_NO_PARAMS, info, NULL));
	MS_TRY(ms_store_run(tx, INSERT_ALL,
			    MS_STORE_PARAMS(ms_store_text(MS_SLICE_LIT("a")), round->values[0], round->values[1],
					    round->values[2], round->values[3]),
			    info, &changed));
	CHECK_INT(changed, 1);
	return MS_OK;
}

static enum ms_err compare_values(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct round *round = arg;
	struct store_rows rows;
	// The numbers are in another order than they appear.
	MS_TRY(ms_store_query(tx, "SELECT n, r, t, b FROM item WHERE $2 = 7 AND id = $1",
			      MS_STORE_PARAMS(ms_store_text(MS_SLICE_LIT("a")), ms_store_int(7)), 1, info, &rows));
	CHECK_INT(rows.columns, 4);
	REQUIRE(rows.count == 1);
	for (size_t i = 0; i < 4; i++) {
		const struct store_value *want = &round->values[i], *got = &rows.values[i];
		REQUIRE(got->kind == want->kind);
		CHECK(ms_store_is_null(&rows, 0, i) == (want->kind == STORE_NULL));
		if (want->kind == STORE_INT)
			CHECK_INT(ms_store_get_int(&rows, 0, i), want->integer);
		else if (want->kind == STORE_REAL)
			CHECK_F64(ms_store_get_real(&rows, 0, i), want->real);
		else if (want->kind == STORE_TEXT)
			CHECK(ms_slice_eq(ms_store_get_text(&rows, 0, i), want->bytes) && got->bytes.p != NULL);
		else if (want->kind == STORE_BLOB)
			CHECK(ms_slice_eq(ms_store_get_blob(&rows, 0, i), want->bytes) && got->bytes.p != NULL);
	}
	return MS_OK;
}

STORE_TEST(values_come_back_as_they_went)
{
	static char large[300000];
	memset(large, 'x', sizeof(large));
	large[7] = '\0';
	const struct round rounds[] = {
		{.values = {ms_store_null(), ms_store_null(), ms_store_null(), ms_store_null()}},
		{.values = {ms_store_int(0), ms_store_real(0.5), ms_store_text(MS_SLICE_LIT("")),
			    ms_store_blob(MS_SLICE_EMPTY)}},
		{.values = {ms_store_int(INT64_MIN), ms_store_real(-1e308),
			    ms_store_text(MS_SLICE_LIT("\xC3\xA4\xF0\x9F\x98\x80'\\")),
			    ms_store_blob(MS_SLICE_LIT("\x00\xff\\x'"))}},
		{.values = {ms_store_int(INT64_MAX), ms_store_real(5e-324), ms_store_text(MS_SLICE_EMPTY),
			    ms_store_blob(ms_slice(large, sizeof(large)))}},
		{.values = {ms_store_int(-1), ms_store_real(INFINITY), ms_store_null(), ms_store_null()}},
		{.values = {ms_store_null(), ms_store_real(0.1), ms_store_null(), ms_store_null()}},
	};
	ms_store_test_open(f);
	for (size_t i = 0; i < MS_ARRAY_LEN(rounds); i++) {
		CHECK_OK(ms_store_write_wait(f->store, write_values, (void *)(uintptr_t)&rounds[i], NULL));
		CHECK_OK(ms_store_read_wait(f->store, compare_values, (void *)(uintptr_t)&rounds[i], NULL));
	}
}

STORE_TEST(values_that_no_database_keeps_are_refused)
{
	struct errinfo info;
	ms_store_test_open(f);
	struct round round = {.values = {ms_store_null(), ms_store_real(NAN), ms_store_null(), ms_store_null()}};
	CHECK_INT(ms_store_write_wait(f->store, write_values, &round, &info), MS_ERR_INVALID);
	round.values[1] = ms_store_null();
	round.values[2] = ms_store_text(MS_SLICE_LIT("a\0b"));
	CHECK_INT(ms_store_write_wait(f->store, write_values, &round, &info), MS_ERR_INVALID);
	CHECK_HAS(info.message, "U+0000");
	round.values[2] = ms_store_text(MS_SLICE_LIT("\xff"));
	CHECK_INT(ms_store_write_wait(f->store, write_values, &round, &info), MS_ERR_INVALID);
	CHECK_HAS(info.message, "UTF-8");
	CHECK_INT(ms_store_test_count(f->store), 0);
}

static enum ms_err aggregates(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	(void)arg;
	MS_TRY(ms_store_query(
		tx,
		"SELECT COUNT(*), SUM(n), AVG(n), MAX(r), SUM(r), n = 2, MIN(t), $1 + 5, SUM(n) * 1000000000 FROM item "
		"GROUP BY n = 2 ORDER BY 1 DESC",
		MS_STORE_PARAMS(ms_store_int(5000000000)), 10, info, &rows));
	REQUIRE(rows.count == 2);
	CHECK_INT(ms_store_get_int(&rows, 0, 0), 2);
	CHECK_INT(ms_store_get_int(&rows, 0, 1), 4);
	CHECK_F64(ms_store_get_real(&rows, 0, 2), 2.0);
	CHECK(ms_store_is_null(&rows, 0, 3) && ms_store_is_null(&rows, 0, 4) && ms_store_is_null(&rows, 0, 6));
	CHECK_INT(ms_store_get_int(&rows, 0, 5), 0);
	CHECK_INT(ms_store_get_int(&rows, 1, 5), 1);
	CHECK_INT(ms_store_get_int(&rows, 0, 7), 5000000005);
	CHECK_INT(ms_store_get_int(&rows, 0, 8), 4000000000);
	MS_TRY(ms_store_query(tx, "SELECT SUM(n), AVG(n) FROM item WHERE id <> 'c'", MS_STORE_NO_PARAMS, 1, info,
			      &rows));
	CHECK_INT(ms_store_get_int(&rows, 0, 0), 3);
	CHECK_F64(ms_store_get_real(&rows, 0, 1), 1.5);
	return MS_OK;
}

STORE_TEST(aggregates_have_the_kinds_of_the_dialect)
{
	ms_store_test_open(f);
	CHECK_OK(ms_store_test_put(f->store, "a", 1));
	CHECK_OK(ms_store_test_put(f->store, "b", 2));
	CHECK_OK(ms_store_test_put(f->store, "c", 3));
	CHECK_OK(ms_store_read_wait(f->store, aggregates, NULL, NULL));
}

static enum ms_err upsert(struct store_tx *tx, void *arg, struct errinfo *info)
{
	static const char sql[] =
		"INSERT INTO item (id, n) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET n = item.n + excluded.n "
		"RETURNING n, id";
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, sql, MS_STORE_PARAMS(ms_store_text(MS_SLICE_LIT("a")), ms_store_int(*(int64_t *)arg)),
			      1, info, &rows));
	*(int64_t *)arg = ms_store_get_int(&rows, 0, 0);
	uint64_t changed = 99;
	MS_TRY(ms_store_run(tx, "UPDATE item SET r = 1 WHERE id = 'nobody'", MS_STORE_NO_PARAMS, info, &changed));
	CHECK_INT(changed, 0);
	MS_TRY(ms_store_run(tx, "SELECT n FROM item", MS_STORE_NO_PARAMS, info, NULL)); // rows that nobody wants
	return MS_OK;
}

STORE_TEST(upserts_return_what_they_left)
{
	int64_t n = 40;
	ms_store_test_open(f);
	CHECK_OK(ms_store_write_wait(f->store, upsert, &n, NULL));
	CHECK_INT(n, 40);
	n = 2;
	CHECK_OK(ms_store_write_wait(f->store, upsert, &n, NULL));
	CHECK_INT(n, 42);
}

static enum ms_err ask_for_two(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	(void)arg;
	return ms_store_query(tx, "SELECT id FROM item", MS_STORE_NO_PARAMS, 2, info, &rows);
}

STORE_TEST(more_rows_than_asked_for_are_an_error)
{
	struct errinfo info;
	ms_store_test_open(f);
	CHECK_OK(ms_store_test_put(f->store, "a", 1));
	CHECK_OK(ms_store_test_put(f->store, "b", 1));
	CHECK_OK(ms_store_read_wait(f->store, ask_for_two, NULL, NULL));
	CHECK_OK(ms_store_test_put(f->store, "c", 1));
	CHECK_INT(ms_store_read_wait(f->store, ask_for_two, NULL, &info), MS_ERR_LIMIT);
	CHECK_HAS(info.message, "more than 2 rows");
}

// --- Transactions ------------------------------------------------------------------------------------

struct two_steps {
	const char *first, *second;
	enum ms_err end;   // returned when both statements were fine
	bool hide;         // returns MS_OK whatever happened
	enum ms_err after; // of a statement after the error
};

static enum ms_err two_steps(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct two_steps *s = arg;
	enum ms_err err = ms_store_run(tx, s->first, MS_STORE_NO_PARAMS, info, NULL);
	if (err == MS_OK)
		err = ms_store_run(tx, s->second, MS_STORE_NO_PARAMS, info, NULL);
	s->after = ms_store_run(tx, "INSERT INTO item (id) VALUES ('after')", MS_STORE_NO_PARAMS, NULL, NULL);
	if (s->hide)
		return MS_OK;
	return err != MS_OK ? err : s->end != MS_OK ? ms_fail(info, s->end, "own words") : MS_OK;
}

static const char ITEM_A[] = "INSERT INTO item (id) VALUES ('a')";

STORE_TEST(a_failed_transaction_leaves_nothing)
{
	static const struct {
		const char *second;
		enum ms_err err;
	} cases[] = {
		{ITEM_A, MS_ERR_STORE_CONFLICT},
		{"INSERT INTO part (id, item, n) VALUES ('p', 'missing', 1)", MS_ERR_STORE_CONFLICT},
		{"INSERT INTO part (id, item, n) VALUES ('p', 'a', -1)", MS_ERR_STORE_CONFLICT},
		{"INSERT INTO part (id, item) VALUES ('p', 'a')", MS_ERR_STORE_CONFLICT},
		{"INSERT INTO nothing (id) VALUES ('p')", MS_ERR_STORE},
		{"this is not SQL", MS_ERR_STORE},
	};
	ms_store_test_open(f);
	for (size_t i = 0; i < MS_ARRAY_LEN(cases); i++) {
		struct two_steps s = {.first = ITEM_A, .second = cases[i].second};
		struct errinfo info;
		CHECK_INT(ms_store_write_wait(f->store, two_steps, &s, &info), cases[i].err);
		CHECK_INT(info.code, cases[i].err);
		CHECK(info.message[0] != '\0' && strstr(info.message, "nothing (") == NULL);
		CHECK_INT(s.after, cases[i].err);
		s.hide = true; // the error stands even when the function does not hand it up
		CHECK_INT(ms_store_write_wait(f->store, two_steps, &s, NULL), cases[i].err);
		CHECK_INT(ms_store_test_count(f->store), 0);
	}
	struct two_steps own = {.first = ITEM_A, .second = "DELETE FROM part", .end = MS_ERR_NOT_FOUND};
	struct errinfo info;
	CHECK_INT(ms_store_write_wait(f->store, two_steps, &own, &info), MS_ERR_NOT_FOUND);
	CHECK_STR(info.message, "own words");
	CHECK_INT(ms_store_test_count(f->store), 0);
	own.end = MS_OK;
	CHECK_OK(ms_store_write_wait(f->store, two_steps, &own, NULL));
	CHECK_INT(ms_store_test_count(f->store), 2);
}

STORE_TEST(a_read_cannot_write)
{
	struct two_steps s = {.first = ITEM_A, .second = ITEM_A};
	ms_store_test_open(f);
	CHECK(ms_store_read_wait(f->store, two_steps, &s, NULL) != MS_OK);
	CHECK_INT(ms_store_test_count(f->store), 0);
	CHECK_OK(ms_store_test_put(f->store, "a", 1)); // and the connections still work
}

// --- Many at once ------------------------------------------------------------------------------------

#define CALLERS 400

struct caller {
	struct store_work work;
	struct fixture *f;
	char id[16];
	unsigned index;
	unsigned *left;
	unsigned *order; // of the end, NULL: not noted
	unsigned *ended;
};

static enum ms_err add_one(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct caller *c = arg;
	MS_TRY(ms_store_run(tx, "INSERT INTO item (id, n) VALUES ($1, $2)",
			    MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(c->id)), ms_store_int(c->index)), info, NULL));
	// Every tenth breaks off after it has written.
	return c->index % 10 == 3 ? ms_fail(info, MS_ERR_INVALID, "caller %u", c->index) : MS_OK;
}

static void one_ended(struct store_work *work)
{
	struct caller *c = MS_CONTAINER_OF(work, struct caller, work);
	if (c->order != NULL)
		c->order[(*c->ended)++] = c->index;
	if (--*c->left == 0)
		ms_rt_stop(c->f->rt);
}

STORE_TEST(callers_at_once_do_not_disturb_each_other)
{
	static struct caller callers[CALLERS];
	unsigned left = CALLERS, ended = 0, order[CALLERS];
	ms_store_test_open(f);
	for (unsigned i = 0; i < CALLERS; i++) {
		struct caller *c = &callers[i];
		*c = (struct caller){.f = f, .index = i, .left = &left, .order = order, .ended = &ended};
		snprintf(c->id, sizeof(c->id), "item-%u", i);
		CHECK_OK(ms_store_write(f->store, &c->work, ms_rt_loop(f->rt, 0), add_one, c, one_ended));
	}
	ms_store_test_run(f);
	CHECK_INT(left, 0);
	for (unsigned i = 0; i < CALLERS; i++) {
		CHECK_INT(callers[i].work.err, i % 10 == 3 ? MS_ERR_INVALID : MS_OK);
		if (i == 13)
			CHECK_STR(callers[i].work.info.message, "caller 13");
		if (!f->postgres)
			CHECK_INT(order[i], i);
	}
	CHECK_INT(ms_store_test_count(f->store), CALLERS - CALLERS / 10);
}

static enum ms_err look_then_write(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	(void)arg;
	MS_TRY(ms_store_query(tx, "SELECT n FROM item WHERE id = 'counter'", MS_STORE_NO_PARAMS, 1, info, &rows));
	return ms_store_run(tx, "UPDATE item SET n = $1 WHERE id = 'counter'",
			    MS_STORE_PARAMS(ms_store_int(ms_store_get_int(&rows, 0, 0) + 1)), info, NULL);
}

static enum ms_err read_counter(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT n FROM item WHERE id = 'counter'", MS_STORE_NO_PARAMS, 1, info, &rows));
	*(int64_t *)arg = ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

// Serialisable: no update is lost although nobody locks.
STORE_TEST(looking_and_then_writing_loses_nothing)
{
	static struct caller callers[CALLERS];
	unsigned left = CALLERS;
	int64_t n = -1;
	ms_store_test_open(f);
	CHECK_OK(ms_store_test_put(f->store, "counter", 0));
	for (unsigned i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){.f = f, .index = i, .left = &left};
		CHECK_OK(ms_store_write(f->store, &callers[i].work, ms_rt_loop(f->rt, 0), look_then_write, NULL,
					one_ended));
	}
	ms_store_test_run(f);
	for (unsigned i = 0; i < CALLERS; i++)
		CHECK_OK(callers[i].work.err);
	CHECK_OK(ms_store_read_wait(f->store, read_counter, &n, NULL));
	CHECK_INT(n, CALLERS);
}

// --- Limits and the end ------------------------------------------------------------------------------

struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool inside, open;
};

static enum ms_err stand_at(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct gate *gate = arg;
	(void)tx;
	(void)info;
	pthread_mutex_lock(&gate->lock);
	gate->inside = true;
	pthread_cond_broadcast(&gate->changed);
	while (!gate->open)
		pthread_cond_wait(&gate->changed, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
	return MS_OK;
}

STORE_TEST(a_full_queue_refuses_and_a_stop_finishes_what_was_taken)
{
	static struct caller callers[5];
	struct gate gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
	unsigned left = 99;
	ms_store_test_open_as(f, &(struct store_options){.queue_depth = 3, .connections_max = 1}, &f->store);
	struct loop *home = ms_rt_loop(f->rt, 0);
	for (unsigned i = 0; i < 5; i++) {
		callers[i] = (struct caller){.f = f, .index = i, .left = &left};
		snprintf(callers[i].id, sizeof(callers[i].id), "item-%u", i);
	}
	CHECK_OK(ms_store_write(f->store, &callers[0].work, home, stand_at, &gate, one_ended));
	pthread_mutex_lock(&gate.lock);
	while (!gate.inside)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	CHECK_OK(ms_store_write(f->store, &callers[1].work, home, add_one, &callers[1], one_ended));
	CHECK_OK(ms_store_write(f->store, &callers[2].work, home, add_one, &callers[2], one_ended));
	CHECK_OK(ms_store_write(f->store, &callers[4].work, home, add_one, &callers[4], one_ended));
	CHECK_INT(ms_store_write(f->store, &callers[3].work, home, add_one, &callers[3], one_ended), MS_ERR_BUSY);
	pthread_mutex_lock(&gate.lock);
	gate.open = true;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
	ms_store_stop(f->store);
	CHECK_INT(ms_store_write(f->store, &callers[3].work, home, add_one, &callers[3], one_ended), MS_ERR_DRAINING);
	CHECK_INT(left, 99); // nothing comes home before the loop runs
	ms_rt_deliver(f->rt);
	CHECK_INT(left, 95);
	CHECK_OK(callers[4].work.err);
	ms_store_free(f->store);
	ms_store_test_open(f);
	CHECK_INT(ms_store_test_count(f->store), 3);
}

// --- Notices -----------------------------------------------------------------------------------------

struct listener {
	struct fixture *f;
	unsigned calls;
	unsigned want;
	unsigned ticks;   // of 20 ms
	unsigned settled; // since what is wanted has come
	struct timer *timer;
};

static void on_notice(void *arg)
{
	struct listener *l = arg;
	l->calls++;
}

// Long enough for what should come, and then a little for what should not.
static void tick(struct timer *timer, void *arg)
{
	struct listener *l = arg;
	l->settled += l->calls >= l->want;
	if (++l->ticks < 3000 && l->settled < 15)
		return;
	ms_timer_free(timer);
	ms_rt_stop(l->f->rt);
}

static enum ms_err tell(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const enum ms_err *end = arg;
	MS_TRY(ms_store_notify(tx, "test.news", info));
	MS_TRY(ms_store_notify(tx, "test.news", info));
	MS_TRY(ms_store_notify(tx, "test.other", info));
	return *end == MS_OK ? MS_OK : ms_fail(info, *end, "broken off");
}

static unsigned calls_after(struct fixture *f, struct store *sender, enum ms_err end)
{
	struct listener news = {.f = f, .want = end == MS_OK};
	ms_store_test_open(f);
	CHECK_OK(ms_store_watch(f->store, "test.news", ms_rt_loop(f->rt, 0), on_notice, &news));
	CHECK_INT(ms_store_write_wait(sender != NULL ? sender : f->store, tell, &end, NULL), end);
	REQUIRE(ms_timer_new(ms_rt_loop(f->rt, 0), tick, &news, &news.timer) == MS_OK);
	ms_timer_start(news.timer, 20, 20);
	ms_store_test_run(f);
	ms_store_stop(f->store);
	return news.calls;
}

STORE_TEST(a_commit_calls_the_watches_of_this_process)
{
	CHECK_INT(calls_after(f, NULL, MS_OK), 1);
}

STORE_TEST(a_transaction_that_failed_calls_nobody)
{
	CHECK_INT(calls_after(f, NULL, MS_ERR_INVALID), 0);
}

STORE_TEST(notices_reach_other_processes)
{
	struct store *other;
	ms_store_test_open_as(f, &(struct store_options){.poll_ms = 20}, &other);
	enum ms_err fine = MS_OK;
	CHECK_OK(ms_store_write_wait(other, tell, &fine, NULL)); // before the watch: nobody's business
	CHECK_INT(calls_after(f, other, MS_OK), 1);
	ms_store_free(other);
}

// More channels than one commit takes: those who share it are told apart.
#define MANY_CHANNELS 40
static char channel_names[MANY_CHANNELS][16];

static enum ms_err add_and_tell(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct caller *c = arg;
	MS_TRY(ms_store_run(tx, "INSERT INTO item (id) VALUES ($1)",
			    MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(c->id))), info, NULL));
	return ms_store_notify(tx, channel_names[c->index], info);
}

STORE_TEST(many_channels_at_once_reach_their_watches)
{
	static struct caller callers[MANY_CHANNELS];
	unsigned left = MANY_CHANNELS;
	struct listener listeners[MANY_CHANNELS];
	ms_store_test_open(f);
	for (unsigned i = 0; i < MANY_CHANNELS; i++) {
		snprintf(channel_names[i], sizeof(channel_names[i]), "channel.%u", i);
		listeners[i] = (struct listener){.f = f};
		CHECK_OK(ms_store_watch(f->store, channel_names[i], ms_rt_loop(f->rt, 0), on_notice, &listeners[i]));
	}
	for (unsigned i = 0; i < MANY_CHANNELS; i++) {
		callers[i] = (struct caller){.f = f, .index = i, .left = &left};
		snprintf(callers[i].id, sizeof(callers[i].id), "item-%u", i);
		CHECK_OK(ms_store_write(f->store, &callers[i].work, ms_rt_loop(f->rt, 0), add_and_tell, &callers[i],
					one_ended));
	}
	ms_store_test_run(f);
	ms_store_stop(f->store);
	ms_rt_deliver(f->rt);
	for (unsigned i = 0; i < MANY_CHANNELS; i++) {
		CHECK_OK(callers[i].work.err);
		CHECK_INT(listeners[i].calls, 1);
	}
}

// More statements than a connection keeps prepared.
#define MANY_STATEMENTS 700

static enum ms_err ask_them_all(struct store_tx *tx, void *arg, struct errinfo *info)
{
	char(*statements)[48] = arg;
	for (int64_t i = 0; i < MANY_STATEMENTS; i++) {
		struct store_rows rows;
		MS_TRY(ms_store_query(tx, statements[i], MS_STORE_PARAMS(ms_store_int(i)), 1, info, &rows));
		CHECK_INT(ms_store_get_int(&rows, 0, 0), 2 * i);
	}
	return MS_OK;
}

STORE_TEST(more_statements_than_are_kept_prepared_work)
{
	static char statements[MANY_STATEMENTS][48];
	ms_store_test_open_as(f, &(struct store_options){.connections_max = 1}, &f->store);
	for (unsigned i = 0; i < MANY_STATEMENTS; i++)
		snprintf(statements[i], sizeof(statements[i]), "SELECT $1 + %u", i);
	CHECK_OK(ms_store_read_wait(f->store, ask_them_all, statements, NULL));
	CHECK_OK(ms_store_read_wait(f->store, ask_them_all, statements, NULL));
}

// --- Opening -----------------------------------------------------------------------------------------

TEST(addresses_of_unknown_kinds_are_refused_without_showing_them)
{
	struct store *store;
	struct errinfo info;
	ms_errinfo_init(&info);
	CHECK_INT(ms_store_open(&(struct store_options){.url = "mysql://user:hunter2@host/db"}, &info, &store),
		  MS_ERR_CONFIG);
	CHECK_HAS(info.message, "sqlite:");
	CHECK(strstr(info.message, "hunter2") == NULL);
}

TEST(server_urls_escape_their_parts)
{
	struct arena arena;
	const char *url;
	ms_arena_init(&arena, 1024, 65536);
	const struct store_server whole = {"db.example", 5433, "a/b", "u:s@r", "p@ss/w%rd "};
	CHECK_OK(ms_store_server_url(&whole, &arena, NULL, &url));
	CHECK_STR(url, "postgres://u%3As%40r:p%40ss%2Fw%25rd%20@db.example:5433/a%2Fb");
	CHECK_OK(ms_store_server_url(&(struct store_server){.host = "::1", .port = 1}, &arena, NULL, &url));
	CHECK_STR(url, "postgres://[::1]:1/");
	CHECK_OK(ms_store_server_url(&(struct store_server){.host = "/run/postgresql", .name = "m"}, &arena, NULL,
				     &url));
	CHECK_STR(url, "postgres://%2Frun%2Fpostgresql/m");
	ms_arena_fini(&arena);
}
