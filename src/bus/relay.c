// SPDX-License-Identifier: Apache-2.0
// The relay: takes events out of the outbox in their order, as long as this process has the lease, and hands them on: to the queues of
// the store within the same transaction, or to the broker, whose confirmations let the next transaction forget them. On loop 0.
#include <stdlib.h>

#include "bus/private.h"
#include "bus/rabbitmq/rabbitmq.h"

#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS 10000
#define LEASE_SLACK_MS 200
#define BLOCKED_MS 1000  // another process takes the events: how often a notice makes this one look
#define FIGURES_MS 10000 // how often the outbox is counted while events wait
#define REFUSED_MS 1000  // the broker took none of a batch
#define COUNT_NS ((int64_t)1000000000)

struct relay {
	struct bus *bus;
	struct loop *home;
	struct store_work work, figures_work;
	struct outbox_turn turn;
	struct outbox_figures figures;
	struct timer *retry, *figures_timer;
	struct event *with_broker;
	bool running; // a transaction, or a batch with the broker
	bool again;   // something may have come meanwhile
	bool counting, connected, stopped;
	bool waiting_known; // events were seen waiting
	bool blocked;       // another process had the lease
	bool look_planned;
	unsigned failures;
	int64_t counted_ns;
};

static void kick(struct relay *relay);

// --- Figures -----------------------------------------------------------------------------------------

static void show(struct relay *relay, uint64_t waiting, int64_t oldest_us)
{
	ms_gauge_set(relay->bus->outbox_depth, (double)waiting);
	atomic_store(&relay->bus->oldest_us, waiting > 0 ? oldest_us : 0);
	relay->waiting_known = waiting > 0;
	if (waiting == 0)
		ms_timer_stop(relay->figures_timer);
}

static void counted(struct store_work *work)
{
	struct relay *relay = MS_CONTAINER_OF(work, struct relay, figures_work);
	relay->counting = false;
	if (work->err == MS_OK && !relay->stopped)
		show(relay, relay->figures.waiting, relay->figures.oldest_us);
}

static void on_figures(struct timer *timer, void *arg)
{
	struct relay *relay = arg;
	(void)timer;
	if (relay->counting)
		return;
	relay->counting = ms_store_read(relay->bus->store, &relay->figures_work, relay->home, ms_bus_outbox_figures,
					&relay->figures, counted) == MS_OK;
}

// Events wait and nobody here takes them: others do, or the broker is away.
static void watch_figures(struct relay *relay)
{
	if (!relay->waiting_known)
		ms_timer_start(relay->figures_timer, 0, FIGURES_MS);
	relay->waiting_known = true;
}

// --- Turns -------------------------------------------------------------------------------------------

static void turn_again(struct relay *relay, uint64_t after_ms)
{
	ms_timer_start(relay->retry, after_ms + ms_rand_below(ms_loop_rand(relay->home), after_ms / 2 + 1), 0);
}

static void count_published(const struct relay *relay)
{
	for (const struct event *e = relay->turn.events; e != NULL; e = e->next)
		ms_bus_count(relay->bus, STAGE_PUBLISHED, e->topic, relay->home);
}

static void turn_failed(struct relay *relay)
{
	uint64_t after_ms = MS_MIN((uint64_t)RETRY_FIRST_MS << MS_MIN(relay->failures, 10U), (uint64_t)RETRY_LAST_MS);
	if (relay->failures++ == 0)
		ms_log(relay->bus->log, LOG_WARN, "the outbox of events cannot be read; trying again",
		       MS_LOG_CSTR("error.message", relay->work.info.message));
	turn_again(relay, after_ms);
}

// To the broker; ms_bus_relay_published() goes on. In process they are where they belong already.
static bool hand_over(struct relay *relay)
{
	struct outbox_turn *turn = &relay->turn;
	struct known *known = turn->known;
	if (turn->events == NULL || relay->bus->rabbitmq == NULL)
		return false;
	relay->with_broker = turn->events;
	turn->events = NULL;
	turn->known = NULL;
	relay->running = true;
	ms_rabbitmq_publish(relay->bus->rabbitmq, relay->with_broker, known);
	return true;
}

static void look_at_figures(struct relay *relay)
{
	const struct outbox_turn *turn = &relay->turn;
	if (turn->take && turn->events == NULL && !turn->blocked)
		show(relay, 0, 0);
	else if (turn->take && turn->count) {
		relay->counted_ns = ms_loop_now_ns(relay->home);
		show(relay, turn->waiting, turn->oldest_us);
	}
}

static void turned(struct store_work *work)
{
	struct relay *relay = MS_CONTAINER_OF(work, struct relay, work);
	struct outbox_turn *turn = &relay->turn;
	relay->running = false;
	if (relay->stopped)
		return;
	if (work->err != MS_OK) {
		turn_failed(relay);
		return;
	}
	relay->failures = 0;
	ms_bus_events_free(turn->safe);
	turn->safe = NULL;
	look_at_figures(relay);
	if (hand_over(relay))
		return;
	relay->blocked = turn->blocked;
	if (turn->blocked) {
		// Another process takes them; when its lease ends it may be dead.
		int64_t wait_ms = (turn->until_us - ms_loop_wall_ns(relay->home) / 1000) / 1000;
		watch_figures(relay);
		turn_again(relay, (uint64_t)MS_MAX(wait_ms, 0) + LEASE_SLACK_MS);
	}
	count_published(relay);
	bool more = turn->events != NULL; // until the outbox is seen empty
	ms_bus_outbox_turn_clear(turn);
	if (more || relay->again)
		kick(relay);
}

static void kick(struct relay *relay)
{
	relay->again = true;
	if (relay->running || relay->stopped)
		return;
	relay->blocked = relay->look_planned = false;
	relay->turn.take = relay->bus->rabbitmq == NULL || relay->connected;
	if (!relay->turn.take)
		watch_figures(relay); // events wait until the broker is back
	if (!relay->turn.take && relay->turn.safe == NULL)
		return;
	relay->again = false;
	relay->running = true;
	ms_timer_stop(relay->retry);
	relay->turn.count = ms_loop_now_ns(relay->home) - relay->counted_ns >= COUNT_NS;
	enum ms_err err =
		ms_store_write(relay->bus->store, &relay->work, relay->home, ms_bus_outbox_turn, &relay->turn, turned);
	if (err == MS_OK)
		return;
	relay->running = false;
	relay->work.info = (struct errinfo){.code = err, .message = "the store takes no more work"};
	turn_failed(relay);
}

// Each event makes a notice in each process: those that do not take events look now and then, in case that the one that does ended.
static void on_notice(void *arg)
{
	struct relay *relay = arg;
	if (!relay->blocked) {
		kick(relay);
	} else if (!relay->look_planned && !relay->stopped) {
		relay->look_planned = true;
		turn_again(relay, BLOCKED_MS);
	}
}

static void on_retry(struct timer *timer, void *arg)
{
	(void)timer;
	kick(arg);
}

// --- The broker --------------------------------------------------------------------------------------

// Keeps the confirmed ones in `turn.safe`; the others are read again.
static bool sort_out(struct relay *relay, struct event *events)
{
	struct event **tail = &relay->turn.safe;
	bool all = true;
	while (events != NULL) {
		struct event *e = events;
		events = e->next;
		e->next = NULL;
		if (e->confirmed) {
			*tail = e;
			tail = &e->next;
		} else {
			all = false;
			ms_bus_events_free(e);
		}
	}
	return all;
}

void ms_bus_relay_published(struct relay *relay, struct event *events)
{
	if (relay->stopped)
		return; // the stop has looked at them
	MS_ASSERT(events == relay->with_broker && relay->turn.safe == NULL);
	relay->running = false;
	relay->with_broker = NULL;
	bool all = sort_out(relay, events);
	for (const struct event *e = relay->turn.safe; e != NULL; e = e->next)
		ms_bus_count(relay->bus, STAGE_PUBLISHED, e->topic, relay->home);
	if (all || relay->turn.safe != NULL || !relay->connected)
		kick(relay);
	else
		turn_again(relay, REFUSED_MS);
}

void ms_bus_relay_connected(struct relay *relay, bool connected)
{
	relay->connected = connected;
	if (connected)
		kick(relay);
}

// --- Life --------------------------------------------------------------------------------------------

enum ms_err ms_bus_relay_new(struct bus *bus, struct errinfo *info, struct relay **ret_relay)
{
	struct relay *relay = calloc(1, sizeof(*relay));
	if (relay == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the bus");
	relay->bus = bus;
	relay->home = ms_rt_loop(bus->rt, 0);
	relay->turn = (struct outbox_turn){
		.holder = bus->holder, .lease_us = bus->lease_us, .deliver = bus->rabbitmq == NULL};
	enum ms_err err = ms_timer_new(relay->home, on_retry, relay, &relay->retry);
	if (err == MS_OK)
		err = ms_timer_new(relay->home, on_figures, relay, &relay->figures_timer);
	if (err == MS_OK)
		err = ms_store_watch(bus->store, BUS_CHANNEL_OUTBOX, relay->home, on_notice, relay);
	if (err != MS_OK) {
		ms_bus_relay_stop(relay);
		ms_bus_relay_free(relay);
		return ms_fail(info, err, "the bus cannot watch its outbox");
	}
	*ret_relay = relay;
	return MS_OK;
}

void ms_bus_relay_start(struct relay *relay)
{
	turn_again(relay, 0); // what an earlier process left
}

// The loops and the broker's threads have ended: what was confirmed leaves the outbox, or it would be published again.
void ms_bus_relay_stop(struct relay *relay)
{
	relay->stopped = true;
	ms_timer_free(relay->retry);
	ms_timer_free(relay->figures_timer);
	relay->retry = relay->figures_timer = NULL;
	if (relay->with_broker != NULL && relay->turn.safe == NULL)
		sort_out(relay, relay->with_broker);
	relay->with_broker = NULL;
	struct outbox_turn last = {.safe = relay->turn.safe};
	if (last.safe != NULL && ms_store_healthy(relay->bus->store))
		MS_IGNORE(ms_store_write_wait(relay->bus->store, ms_bus_outbox_turn, &last,
					      NULL)); // else they come twice
}

void ms_bus_relay_free(struct relay *relay)
{
	if (relay == NULL)
		return;
	ms_bus_outbox_turn_clear(&relay->turn);
	ms_bus_events_free(relay->turn.safe);
	ms_bus_events_free(relay->with_broker);
	free(relay);
}
