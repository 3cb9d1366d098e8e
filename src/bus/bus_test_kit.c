// SPDX-License-Identifier: Apache-2.0
#include "bus/bus_test_kit.h"

#include <stdio.h>

#include "tests/lib/database.h"

// --- The world ---------------------------------------------------------------------------------------

static void on_watchdog(struct timer *timer, void *arg)
{
	struct world *w = arg;
	(void)timer;
	CHECK_STR("the loops go on", "the loops have stopped");
	ms_rt_stop(w->rt);
}

static void on_time(struct timer *timer, void *arg)
{
	struct world *w = arg;
	(void)timer;
	ms_rt_stop(w->rt);
}

void ms_bus_test_begin(struct world *w, bool postgres)
{
	*w = (struct world){.postgres = postgres, .url = ms_test_database(postgres)};
	ms_bus_test_up(w);
}

void ms_bus_test_up(struct world *w)
{
	const struct store_options options = {
		.url = w->url, .migrations = &ms_bus_migrations, .migration_count = 1, .migrate = true, .poll_ms = 20};
	struct errinfo info;
	ms_errinfo_init(&info);
	REQUIRE(ms_rt_new(&(struct rt_options){.loops = 1}, NULL, &w->rt) == MS_OK);
	enum ms_err err = ms_store_open(&options, &info, &w->store);
	CHECK_STR(info.message, "");
	REQUIRE(err == MS_OK);
}

void ms_bus_test_down(struct world *w)
{
	if (w->rt == NULL)
		return;
	for (size_t i = 0; i < w->bus_count; i++)
		ms_bus_stop(w->buses[i]);
	ms_timer_free(w->timer);
	ms_store_stop(w->store);
	ms_rt_free(w->rt);
	for (size_t i = 0; i < w->bus_count; i++)
		ms_bus_free(w->buses[i]);
	ms_store_free(w->store);
	*w = (struct world){.postgres = w->postgres, .url = w->url};
}

void ms_bus_test_crash(struct world *w)
{
	for (size_t i = 0; i < w->bus_count; i++)
		w->buses[i]->started = false; // no release
	ms_bus_test_down(w);
}

struct bus *ms_bus_test_open(struct world *w, const struct bus_options *options)
{
	struct bus_options all = *options;
	struct errinfo info;
	ms_errinfo_init(&info);
	all.store = w->store;
	all.rt = w->rt;
	if (all.process == NULL)
		all.process = "test";
	enum ms_err err = ms_bus_new(&all, &info, &w->buses[w->bus_count]);
	CHECK_STR(info.message, "");
	REQUIRE(err == MS_OK);
	return w->buses[w->bus_count++];
}

static void write_down(struct bus_delivery *delivery, void *arg)
{
	struct consumer *c = arg;
	REQUIRE(c->count < SEEN_MAX);
	struct seen *seen = &c->seen[c->count++];
	snprintf(seen->id, sizeof(seen->id), "%.*s", MS_SLICE_ARG(delivery->id));
	snprintf(seen->topic, sizeof(seen->topic), "%.*s", MS_SLICE_ARG(delivery->topic));
	snprintf(seen->payload, sizeof(seen->payload), "%.*s", (int)MS_MIN(delivery->payload.n, 60U),
		 delivery->payload.p);
	seen->attempt = delivery->attempt;
	seen->at_ns = ms_clock_mono_ns();
	c->fn(c, delivery);
	if (c->count == c->stop_after)
		ms_rt_stop(c->w->rt);
}

void ms_bus_test_subscribe(struct bus *bus, struct consumer *c, const struct bus_subscription *options)
{
	static const char *const all_topics[] = {"#"};
	struct bus_subscription all = *options;
	struct errinfo info;
	ms_errinfo_init(&info);
	all.home = ms_rt_loop(bus->rt, 0);
	all.deliver = write_down;
	all.arg = c;
	if (all.topics == NULL) {
		all.topics = all_topics;
		all.topic_count = 1;
	}
	all.prefetch = all.prefetch > 0 ? all.prefetch : 10;
	all.attempts = all.attempts > 0 ? all.attempts : 3;
	enum ms_err err = ms_bus_subscribe(bus, &all, &info);
	CHECK_STR(info.message, "");
	REQUIRE(err == MS_OK);
}

static void run_until(struct world *w, timer_fn *fn, uint64_t ms)
{
	for (size_t i = 0; i < w->bus_count; i++)
		CHECK_OK(ms_bus_start(w->buses[i], NULL));
	REQUIRE(ms_timer_new(ms_rt_loop(w->rt, 0), fn, w, &w->timer) == MS_OK);
	ms_timer_start(w->timer, ms, 0);
	CHECK_OK(ms_rt_run(w->rt, NULL));
}

void ms_bus_test_run(struct world *w)
{
	run_until(w, on_watchdog, 30000);
}

void ms_bus_test_run_ms(struct world *w, uint64_t ms)
{
	run_until(w, on_time, ms);
}

// --- Statements --------------------------------------------------------------------------------------

static enum ms_err publish(struct store_tx *tx, void *arg, struct errinfo *info)
{
	return ms_bus_publish(tx, arg, info);
}

enum ms_err ms_bus_test_publish(struct world *w, const char *topic, const char *id, const char *payload)
{
	struct bus_event event = {
		.topic = ms_slice_cstr(topic), .id = ms_slice_cstr(id), .payload = ms_slice_cstr(payload)};
	return ms_store_write_wait(w->store, publish, &event, NULL);
}

struct statement {
	const char *sql;
	int64_t number;
};

static enum ms_err read_number(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct statement *s = arg;
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, s->sql, MS_STORE_NO_PARAMS, 1, info, &rows));
	REQUIRE(rows.count == 1);
	s->number = ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

int64_t ms_bus_test_number(struct world *w, const char *sql)
{
	struct statement s = {.sql = sql, .number = -1};
	CHECK_OK(ms_store_read_wait(w->store, read_number, &s, NULL));
	return s.number;
}

static enum ms_err run_sql(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct statement *s = arg;
	return ms_store_run(tx, s->sql, MS_STORE_NO_PARAMS, info, NULL);
}

void ms_bus_test_sql(struct world *w, const char *sql)
{
	CHECK_OK(ms_store_write_wait(w->store, run_sql, &(struct statement){.sql = sql}, NULL));
}
