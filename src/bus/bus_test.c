// SPDX-License-Identifier: Apache-2.0
// The bus in process, on each database: what is published arrives, once when it is acknowledged and again when it is not.
#include "bus/bus_test_kit.h"

static const char *const auth_topics[] = {"auth.#"};
static struct consumer first, second; // large

static void ack(struct consumer *c, struct bus_delivery *delivery)
{
	(void)c;
	ms_bus_ack(delivery);
}

static void hold(struct consumer *c, struct bus_delivery *delivery)
{
	c->held[c->held_count++] = delivery;
}

static void reject(struct consumer *c, struct bus_delivery *delivery)
{
	(void)c;
	ms_bus_reject(delivery, "not\tgood \xff");
}

static void publish_many(struct world *w, const char *topic, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char payload[32];
		snprintf(payload, sizeof(payload), "{\"n\":%zu}", i);
		CHECK_OK(ms_bus_test_publish(w, topic, "", payload));
	}
}

// Consumes all topics as "all".
static void open_one(struct world *w, struct consumer *c, consumer_fn *fn, size_t stop_after,
		     const struct bus_options *options, unsigned prefetch)
{
	*c = (struct consumer){.w = w, .fn = fn, .stop_after = stop_after};
	ms_bus_test_subscribe(ms_bus_test_open(w, options), c,
			      &(struct bus_subscription){.name = "all", .prefetch = prefetch});
}

static void check_empty(struct world *w)
{
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_outbox"), 0);
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_queue"), 0);
}

// The database as a process finds it that starts now.
static void down_and_up(struct world *w)
{
	ms_bus_test_down(w);
	ms_bus_test_up(w);
}

// --- Publishing and delivery -------------------------------------------------------------------------

BUS_TEST(events_arrive_in_order_where_they_are_wanted)
{
	open_one(w, &first, ack, 301, &(struct bus_options){0}, 1000);
	second = (struct consumer){.w = w, .fn = ack};
	ms_bus_test_subscribe(w->buses[0], &second,
			      &(struct bus_subscription){.name = "auth", .topics = auth_topics, .topic_count = 1});
	CHECK_OK(ms_bus_test_publish(w, "auth.login", "", "{\"n\":0}"));
	publish_many(w, "model.loaded", 300);
	ms_bus_test_run(w);
	CHECK_INT(first.count, 301);
	CHECK_STR(first.seen[0].topic, "auth.login");
	CHECK_INT(first.seen[0].attempt, 1);
	for (size_t i = 0; i < 300; i++) {
		char payload[32];
		snprintf(payload, sizeof(payload), "{\"n\":%zu}", i);
		CHECK_STR(first.seen[i + 1].payload, payload);
		CHECK(strcmp(first.seen[i].id, first.seen[i + 1].id) < 0);
	}
	down_and_up(w);
	CHECK_INT(second.count, 1);
	check_empty(w);
}

// Published by another process while this one runs: nothing is looked for, a notice comes.
static void publish_later(struct timer *timer, void *arg)
{
	(void)timer;
	CHECK_OK(ms_bus_test_publish(arg, "late", "", "1"));
}

BUS_TEST(an_event_of_a_running_process_arrives_at_once)
{
	struct timer *timer;
	open_one(w, &first, ack, 1, &(struct bus_options){0}, 10);
	REQUIRE(ms_timer_new(ms_rt_loop(w->rt, 0), publish_later, w, &timer) == MS_OK);
	ms_timer_start(timer, 300, 0);
	int64_t start_ns = ms_clock_mono_ns();
	ms_bus_test_run(w);
	CHECK_INT(first.count, 1);
	int64_t took_ms = (first.seen[0].at_ns - start_ns) / 1000000;
	CHECK(took_ms >= 300 && took_ms < 1300);
	ms_timer_free(timer);
}

static enum ms_err publish_and_fail(struct store_tx *tx, void *arg, struct errinfo *info)
{
	(void)arg;
	MS_TRY(ms_bus_publish(tx, &(struct bus_event){.topic = MS_SLICE_LIT("a"), .payload = MS_SLICE_LIT("1")}, info));
	return MS_ERR_CANCELLED;
}

BUS_TEST(an_event_is_published_with_its_transaction_or_not_at_all)
{
	open_one(w, &first, ack, 1, &(struct bus_options){0}, 10);
	CHECK_INT(ms_store_write_wait(w->store, publish_and_fail, NULL, NULL), MS_ERR_CANCELLED);
	CHECK_OK(ms_bus_test_publish(w, "b", "", "2"));
	ms_bus_test_run(w);
	CHECK_INT(first.count, 1);
	CHECK_STR(first.seen[0].topic, "b");
}

BUS_TEST(an_id_is_taken_once)
{
	open_one(w, &first, ack, 2, &(struct bus_options){0}, 10);
	CHECK_OK(ms_bus_test_publish(w, "a", "order-7", "1"));
	CHECK_OK(ms_bus_test_publish(w, "a", "order-7", "2"));
	CHECK_OK(ms_bus_test_publish(w, "a", "order-8", "3"));
	ms_bus_test_run(w);
	down_and_up(w);
	check_empty(w);
	// Remembered when the outbox has forgotten it.
	open_one(w, &second, ack, 1, &(struct bus_options){0}, 10);
	CHECK_OK(ms_bus_test_publish(w, "a", "order-7", "4"));
	CHECK_OK(ms_bus_test_publish(w, "a", "order-9", "5"));
	ms_bus_test_run(w);
	CHECK_STR(first.seen[0].id, "order-7");
	CHECK_STR(first.seen[0].payload, "1");
	CHECK_STR(first.seen[1].payload, "3");
	CHECK_INT(second.count, 1);
	CHECK_STR(second.seen[0].payload, "5");
}

BUS_TEST(what_is_no_event_is_refused)
{
	static char large[MS_BUS_PAYLOAD_MAX + 2];
	memset(large, '1', sizeof(large) - 1);
	CHECK_INT(ms_bus_test_publish(w, "a", "", large), MS_ERR_LIMIT);
	large[MS_BUS_PAYLOAD_MAX] = '\0';
	large[0] = large[MS_BUS_PAYLOAD_MAX - 1] = '"';
	CHECK_OK(ms_bus_test_publish(w, "a", "", large));
	CHECK_INT(ms_bus_test_publish(w, "A", "", "1"), MS_ERR_INVALID);
	CHECK_INT(ms_bus_test_publish(w, "a.#", "", "1"), MS_ERR_INVALID);
	CHECK_INT(ms_bus_test_publish(w, "a", "with blank", "1"), MS_ERR_INVALID);
	CHECK_INT(ms_bus_test_publish(w, "a", "", "{"), MS_ERR_INVALID);
	CHECK_INT(ms_bus_test_publish(w, "a", "", "1 2"), MS_ERR_INVALID);
	CHECK_INT(ms_bus_test_publish(w, "a", "", "\"\xff\""), MS_ERR_INVALID);
	CHECK_INT(ms_bus_test_publish(w, "a", "", ""), MS_ERR_INVALID);
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_outbox"), 1);
}

BUS_TEST(a_subscription_keeps_events_while_nobody_reads_it)
{
	open_one(w, &first, ack, 0, &(struct bus_options){0}, 10);
	down_and_up(w); // it never ran
	ms_bus_test_open(w, &(struct bus_options){0});
	publish_many(w, "a", 20);
	ms_bus_test_run_ms(w, 300); // a process that has the subscription not moves them on
	down_and_up(w);
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_queue WHERE subscription = 'all'"), 20);
	open_one(w, &first, ack, 20, &(struct bus_options){0}, 10);
	ms_bus_test_run(w);
	down_and_up(w);
	check_empty(w);
}

static void options_are_wrong(struct bus *bus, struct bus_subscription options)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	options.home = ms_rt_loop(bus->rt, 0);
	CHECK_INT(ms_bus_subscribe(bus, &options, &info), MS_ERR_INVALID);
	CHECK(info.message[0] != '\0');
}

BUS_TEST(subscriptions_are_checked)
{
	static const char *const bad[] = {"a", "b*"};
	struct bus *bus = ms_bus_test_open(w, &(struct bus_options){0});
	struct bus_subscription good = {.name = "s",
					.topics = auth_topics,
					.topic_count = 1,
					.prefetch = 1,
					.attempts = 1},
				wrong = good;
	wrong.name = "S";
	options_are_wrong(bus, wrong);
	wrong = good, wrong.topics = bad, wrong.topic_count = 2;
	options_are_wrong(bus, wrong);
	wrong = good, wrong.topic_count = 0;
	options_are_wrong(bus, wrong);
	wrong = good, wrong.prefetch = 1001;
	options_are_wrong(bus, wrong);
	wrong = good, wrong.attempts = 0;
	options_are_wrong(bus, wrong);
	good.home = ms_rt_loop(w->rt, 0);
	CHECK_OK(ms_bus_subscribe(bus, &good, NULL));
	CHECK_INT(ms_bus_subscribe(bus, &good, NULL), MS_ERR_CONFLICT);
}

// --- Acknowledgement ---------------------------------------------------------------------------------

static void hold_three(struct consumer *c, struct bus_delivery *delivery)
{
	hold(c, delivery);
	CHECK(c->held_count <= 3);
	if (c->count % 3 != 0)
		return;
	while (c->held_count > 0)
		ms_bus_ack(c->held[--c->held_count]);
}

BUS_TEST(no_more_than_the_prefetch_is_out)
{
	open_one(w, &first, hold_three, 30, &(struct bus_options){0}, 3);
	publish_many(w, "a", 30);
	ms_bus_test_run(w);
	ms_bus_test_down(w);
	ms_bus_test_up(w);
	open_one(w, &second, hold, 0, &(struct bus_options){0}, 3);
	publish_many(w, "a", 30);
	ms_bus_test_run_ms(w, 500);
	CHECK_INT(second.count, 3);
}

BUS_TEST(what_is_rejected_comes_again_and_ends_in_the_dead_letters)
{
	open_one(w, &first, reject, 3, &(struct bus_options){0}, 10);
	CHECK_OK(ms_bus_test_publish(w, "a", "poison", "1"));
	ms_bus_test_run(w);
	CHECK_INT(first.count, 3);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_STR(first.seen[i].id, "poison");
		CHECK_INT(first.seen[i].attempt, i + 1);
	}
	// 1 s and 2 s, a quarter more or less.
	int64_t pause_ms = (first.seen[1].at_ns - first.seen[0].at_ns) / 1000000;
	CHECK(pause_ms >= 750 && pause_ms < 2000);
	pause_ms = (first.seen[2].at_ns - first.seen[1].at_ns) / 1000000;
	CHECK(pause_ms >= 1500 && pause_ms < 3500);
	down_and_up(w);
	check_empty(w);
	CHECK_INT(ms_bus_test_number(
			  w,
			  "SELECT COUNT(*) FROM bus_dead WHERE id = 'poison' AND attempts = 3 AND subscription = 'all'"
			  " AND reason = 'not?good ?' AND topic = 'a' AND payload = '1'"),
		  1);
}

static enum ms_err redrive_all(struct store_tx *tx, void *arg, struct errinfo *info)
{
	uint64_t *count = arg;
	struct bus_dead *dead;
	size_t listed;
	MS_TRY(ms_bus_dead_list(tx, MS_SLICE_LIT("other"), 10, info, &dead, &listed));
	CHECK_INT(listed, 0);
	MS_TRY(ms_bus_dead_list(tx, MS_SLICE_EMPTY, 10, info, &dead, &listed));
	CHECK_INT(listed, 2);
	CHECK_SLICE(dead[0].id, "b"); // the newest first
	CHECK_SLICE(dead[1].reason, "r");
	CHECK_INT(dead[1].attempts, 3);
	MS_TRY(ms_bus_redrive(tx, MS_SLICE_LIT("all"), MS_SLICE_LIT("a"), info, count));
	CHECK_INT(*count, 1);
	return ms_bus_redrive(tx, MS_SLICE_LIT("all"), MS_SLICE_EMPTY, info, count);
}

static enum ms_err redrive_unknown(struct store_tx *tx, void *arg, struct errinfo *info)
{
	return ms_bus_redrive(tx, MS_SLICE_LIT("all"), MS_SLICE_LIT("a"), info, arg);
}

BUS_TEST(dead_letters_are_sent_again)
{
	uint64_t count = 0;
	open_one(w, &first, ack, 2, &(struct bus_options){0}, 10);
	ms_bus_test_sql(w, "INSERT INTO bus_dead (subscription, id, seq, topic, payload, attempts, reason, dead_us)"
			   " VALUES ('all', 'a', 1, 't', '1', 3, 'r', 1), ('all', 'b', 2, 't', '2', 3, 'r', 2)");
	CHECK_OK(ms_store_write_wait(w->store, redrive_all, &count, NULL));
	CHECK_INT(count, 1);
	CHECK_INT(ms_store_write_wait(w->store, redrive_unknown, &count, NULL), MS_ERR_NOT_FOUND);
	ms_bus_test_run(w);
	CHECK_INT(first.seen[0].attempt, 1);
	down_and_up(w);
	check_empty(w);
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_dead"), 0);
}

// --- Processes ---------------------------------------------------------------------------------------

static void ack_and_stop_at_200(struct consumer *c, struct bus_delivery *delivery)
{
	ms_bus_ack(delivery);
	if (first.count + second.count == 200)
		ms_rt_stop(c->w->rt);
}

BUS_TEST(processes_share_a_subscription)
{
	open_one(w, &first, ack_and_stop_at_200, 0, &(struct bus_options){.process = "one"}, 2);
	open_one(w, &second, ack_and_stop_at_200, 0, &(struct bus_options){.process = "two"}, 2);
	publish_many(w, "a", 200);
	ms_bus_test_run(w);
	CHECK(first.count > 0 && second.count > 0);
	for (size_t i = 0; i < first.count; i++) {
		for (size_t k = 0; k < second.count; k++)
			CHECK(strcmp(first.seen[i].id, second.seen[k].id) != 0);
	}
	down_and_up(w);
	check_empty(w);
}

BUS_TEST(what_a_dead_process_held_comes_back)
{
	open_one(w, &first, hold, 5, &(struct bus_options){.lease_ms = 600}, 5);
	publish_many(w, "a", 5);
	ms_bus_test_run(w);
	CHECK_INT(first.count, 5);
	ms_bus_test_crash(w);
	ms_bus_test_up(w);
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_queue WHERE holder <> '' AND attempt = 1"), 5);
	open_one(w, &second, ack, 5, &(struct bus_options){.lease_ms = 600}, 5);
	ms_bus_test_run(w);
	CHECK_INT(second.count, 5);
	CHECK_INT(second.seen[4].attempt, 2);
	down_and_up(w);
	check_empty(w);
}

BUS_TEST(what_kills_its_process_ends_in_the_dead_letters)
{
	open_one(w, &first, ack, 1, &(struct bus_options){0}, 5);
	ms_bus_test_sql(w,
			"INSERT INTO bus_queue (subscription, id, seq, topic, payload, attempt, due_us, holder, reason)"
			" VALUES ('all', 'a', 1, 't', '1', 3, 5, 'dead/1', 'before')");
	CHECK_OK(ms_bus_test_publish(w, "a", "b", "1"));
	ms_bus_test_run(w);
	CHECK_STR(first.seen[0].id, "b");
	down_and_up(w);
	check_empty(w);
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_dead WHERE id = 'a' AND attempts = 3 AND reason ="
					" 'the process ended during the last attempt; before: before'"),
		  1);
}

BUS_TEST(a_long_delivery_keeps_its_lease)
{
	open_one(w, &first, hold, 0, &(struct bus_options){.process = "one", .lease_ms = 300}, 10);
	ms_bus_test_sql(w,
			"INSERT INTO bus_queue (subscription, id, seq, topic, payload, attempt, due_us, holder, reason)"
			" VALUES ('all', 'a', 1, 't', '1', 0, 5, '', '')");
	open_one(w, &second, hold, 0, &(struct bus_options){.process = "two", .lease_ms = 300}, 10);
	ms_bus_test_run_ms(w, 1500);
	CHECK_INT(first.count + second.count, 1);
	down_and_up(w);
	// An end without an acknowledgement gives it back, as if it had not been delivered.
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_queue WHERE holder = '' AND attempt = 0"), 1);
}

BUS_TEST(the_outbox_is_taken_over_from_a_dead_process)
{
	open_one(w, &first, ack, 3, &(struct bus_options){0}, 10);
	publish_many(w, "a", 3);
	ms_bus_test_sql(w, w->postgres ? "UPDATE bus_relay SET holder = 'dead/1', until_us = CAST(EXTRACT(EPOCH FROM "
					 "now()) * 1000000 AS BIGINT) + 1500000"
				       : "UPDATE bus_relay SET holder = 'dead/1', until_us = strftime('%s', 'now') * "
					 "1000000 + 2000000");
	int64_t start_ns = ms_clock_mono_ns();
	ms_bus_test_run(w);
	CHECK_INT(first.count, 3);
	int64_t took_ms = (first.seen[0].at_ns - start_ns) / 1000000;
	CHECK(took_ms >= 500 && took_ms < 5000);
}

BUS_TEST(a_lease_of_a_wrong_clock_does_not_hold)
{
	open_one(w, &first, ack, 1, &(struct bus_options){0}, 10);
	CHECK_OK(ms_bus_test_publish(w, "a", "", "1"));
	ms_bus_test_sql(w, "UPDATE bus_relay SET holder = 'dead/1', until_us = 8000000000000000");
	ms_bus_test_run(w);
	CHECK_INT(first.count, 1);
}

// --- What is old -------------------------------------------------------------------------------------

BUS_TEST(old_things_are_removed)
{
	struct bus *bus = ms_bus_test_open(w, &(struct bus_options){.dead_hours = 1, .dead_limit = 2});
	CHECK_OK(ms_bus_test_publish(w, "a", "given", "1"));
	ms_bus_test_sql(w, "INSERT INTO bus_ids (id, at_us) VALUES ('old', 1)");
	ms_bus_test_sql(w,
			"INSERT INTO bus_subscriptions (name, topics, attempts, seen_us) VALUES ('gone', '#', 1, 1)");
	ms_bus_test_sql(w,
			"INSERT INTO bus_queue (subscription, id, seq, topic, payload, attempt, due_us, holder, reason)"
			" VALUES ('gone', 'a', 1, 't', '1', 0, 5, '', '')");
	ms_bus_test_sql(
		w,
		"INSERT INTO bus_dead (subscription, id, seq, topic, payload, attempts, reason, dead_us) VALUES"
		" ('x', 'a', 1, 't', '1', 3, 'r', 1), ('x', 'b', 1, 't', '1', 3, 'r', 8000000000000000),"
		" ('x', 'c', 1, 't', '1', 3, 'r', 8000000000000001), ('x', 'd', 1, 't', '1', 3, 'r', 8000000000000002),"
		" ('y', 'a', 1, 't', '1', 3, 'r', 8000000000000000)");
	CHECK_OK(ms_store_write_wait(w->store, ms_bus_queue_sweep, &bus->sweep, NULL));
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_ids WHERE id = 'given'"), 1);
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_ids"), 1);
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_subscriptions"), 0);
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_queue"), 0);
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_dead WHERE subscription = 'x' AND id IN ('c', 'd')"),
		  2);
	CHECK_INT(ms_bus_test_number(w, "SELECT COUNT(*) FROM bus_dead"), 3);
	CHECK_INT(bus->sweep.dropped, 2);
	CHECK_INT(bus->sweep.forgotten, 1);
}

// The first acknowledges two, the second rejects one.
static void end_and_stop_at_3(struct consumer *c, struct bus_delivery *delivery)
{
	if (c == &first)
		ack(c, delivery);
	else
		reject(c, delivery);
	if (first.count + second.count == 3)
		ms_rt_stop(c->w->rt);
}

BUS_TEST(metrics_count_by_stage_and_topic)
{
	struct metrics *metrics;
	struct buf text;
	ms_buf_init(&text, 1 << 16);
	REQUIRE(ms_metrics_new(1, &metrics) == MS_OK);
	open_one(w, &first, end_and_stop_at_3, 0, &(struct bus_options){.metrics = metrics}, 10);
	second = (struct consumer){.w = w, .fn = end_and_stop_at_3};
	ms_bus_test_subscribe(
		w->buses[0], &second,
		&(struct bus_subscription){.name = "auth", .topics = auth_topics, .topic_count = 1, .attempts = 1});
	CHECK_OK(ms_bus_test_publish(w, "auth.login", "", "1"));
	CHECK_OK(ms_bus_test_publish(w, "model", "", "1"));
	ms_bus_test_run(w);
	ms_metrics_write(metrics, METRICS_PROMETHEUS_TEXT, &text);
	ms_buf_append_char(&text, '\0');
	static const char *const lines[] = {
		"bus_events_total{stage=\"published\",topic=\"auth\"} 1\n",
		"bus_events_total{stage=\"published\",topic=\"model\"} 1\n",
		"bus_events_total{stage=\"acknowledged\",topic=\"auth\"} 1\n",
		"bus_events_total{stage=\"acknowledged\",topic=\"model\"} 1\n",
		"bus_connected 1\n",
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(lines); i++)
		CHECK_HAS(text.p, lines[i]);
	CHECK_INT(second.count, 1);
	CHECK_HAS(text.p, "bus_events_total{stage=\"dead\",topic=\"auth\"} 1\n");
	ms_bus_test_down(w);
	ms_metrics_free(metrics);
	ms_buf_fini(&text);
}

static enum ms_err look_at_status(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct bus_status status;
	(void)arg;
	MS_TRY(ms_bus_status(tx, info, &status));
	CHECK_INT(status.outbox, 1);
	CHECK(status.outbox_oldest_us > 0 && status.outbox_oldest_us <= ms_store_now_us(tx));
	CHECK_INT(status.relay.n, 0);
	REQUIRE(status.queue_count == 2);
	CHECK_SLICE(status.queues[0].name, "all");
	CHECK_SLICE(status.queues[0].topics, "#");
	CHECK_INT(status.queues[0].attempts, 3);
	CHECK_INT(status.queues[0].ready, 1);
	CHECK_INT(status.queues[0].later, 1);
	CHECK_INT(status.queues[0].held, 2);
	CHECK_INT(status.queues[0].oldest_us, 7);
	CHECK_INT(status.queues[0].dead, 0);
	CHECK(status.queues[1].topics.p == NULL);
	CHECK_INT(status.queues[1].dead, 1);
	return MS_OK;
}

BUS_TEST(status_says_what_waits)
{
	open_one(w, &first, ack, 1, &(struct bus_options){0}, 10);
	CHECK_OK(ms_bus_test_publish(w, "a", "", "1"));
	ms_bus_test_sql(
		w,
		"INSERT INTO bus_queue (subscription, id, seq, topic, payload, attempt, due_us, holder, reason) VALUES"
		" ('all', 'a', 9000, 't', '1', 0, 5, '', ''), ('all', 'b', 8000, 't', '1', 0, 8000000000000000, '', "
		"''),"
		" ('all', 'c', 7000, 't', '1', 0, 8000000000000000, 'h', ''),"
		" ('all', 'd', 7000, 't', '1', 0, 8000000000000000, 'h', '')");
	ms_bus_test_sql(w,
			"INSERT INTO bus_dead (subscription, id, seq, topic, payload, attempts, reason, dead_us) VALUES"
			" ('gone', 'a', 1, 't', '1', 3, 'r', 1)");
	CHECK_OK(ms_store_read_wait(w->store, look_at_status, NULL, NULL));
}

BUS_TEST(an_address_that_is_none_is_refused_without_its_password)
{
	struct bus *bus;
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct bus_options options = {.store = w->store, .rt = w->rt, .url = "http://me:secret@host"};
	CHECK_INT(ms_bus_new(&options, &info, &bus), MS_ERR_CONFIG);
	CHECK(strstr(info.message, "secret") == NULL);
}
