// SPDX-License-Identifier: Apache-2.0
// A process for the tests of the bus, easy to kill. Says what happens, one line each, at once:
//
//	ready                    the loops run
//	committed ID             the event's transaction is on the disk
//	got ID ATTEMPT TOPIC     delivered
//	acked ID                 acknowledged, as far as the consumer knows
//	connected 0|1            after a change
//
// Ends well on SIGTERM. Arguments are name=value:
//
//	store=URL broker=URL exchange=NAME tls_ca=FILE lease_ms=N
//	publish=N prefix=TEXT topic=TOPIC at_once=N pause_ms=N    ids are PREFIX-0, PREFIX-1, …
//	consume=NAME topics=PATTERN prefetch=N attempts=N do=ack|hold|reject|kill delay_ms=N
//	kill_at=N                                                 do=kill: SIGKILL to itself at the N-th delivery; others are acknowledged
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/auth.h"
#include "bus/bus.h"
#include "gateway/gateway.h"

#define AT_ONCE_MAX 64

struct peer;
struct pending {
	struct store_work work;
	struct peer *peer;
	char id[64];
	bool busy;
};

struct peer {
	int argc;
	char **argv;
	struct rt *rt;
	struct log *log;
	struct store *store;
	struct bus *bus;
	struct timer *timer, *health;
	int64_t publish, next, done;
	struct pending pending[AT_ONCE_MAX];
	int64_t delivered, kill_at;
	const char *what;
	uint64_t delay_ms;
	bool connected;
};

static const char *text(const struct peer *peer, const char *name, const char *otherwise)
{
	size_t n = strlen(name);
	for (int i = 1; i < peer->argc; i++) {
		if (strncmp(peer->argv[i], name, n) == 0 && peer->argv[i][n] == '=')
			return peer->argv[i] + n + 1;
	}
	return otherwise;
}

static int64_t number(const struct peer *peer, const char *name, int64_t otherwise)
{
	const char *value = text(peer, name, NULL);
	return value != NULL ? strtoll(value, NULL, 10) : otherwise;
}

static void check(enum ms_err err, const struct errinfo *info)
{
	if (err == MS_OK)
		return;
	fprintf(stderr, "bus_peer: %s: %s\n", ms_err_name(err), info->message);
	exit(1);
}

// --- Publishing --------------------------------------------------------------------------------------

static enum ms_err publish(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct pending *p = arg;
	char payload[128];
	snprintf(payload, sizeof(payload), "{\"id\":\"%s\"}", p->id);
	const struct bus_event event = {.topic = ms_slice_cstr(text(p->peer, "topic", "test.event")),
					.payload = ms_slice_cstr(payload),
					.id = ms_slice_cstr(p->id)};
	return ms_bus_publish(tx, &event, info);
}

static void publish_next(struct pending *p);

static void published(struct store_work *work)
{
	struct pending *p = MS_CONTAINER_OF(work, struct pending, work);
	if (work->err == MS_OK)
		printf("committed %s\n", p->id);
	else
		printf("failed %s %s\n", p->id, ms_err_name(work->err));
	p->busy = false;
	if (p->peer->timer == NULL)
		publish_next(p);
}

static void publish_next(struct pending *p)
{
	struct peer *peer = p->peer;
	if (peer->next == peer->publish)
		return;
	snprintf(p->id, sizeof(p->id), "%s-%lld", text(peer, "prefix", "e"), (long long)peer->next++);
	p->busy = true;
	struct errinfo info = {.message = ""};
	check(ms_store_write(peer->store, &p->work, ms_rt_loop(peer->rt, 0), publish, p, published), &info);
}

static void on_pause(struct timer *timer, void *arg)
{
	struct peer *peer = arg;
	(void)timer;
	for (size_t i = 0; i < AT_ONCE_MAX; i++) {
		if (!peer->pending[i].busy) {
			publish_next(&peer->pending[i]);
			return;
		}
	}
}

static void start_publishing(struct peer *peer)
{
	uint64_t pause_ms = (uint64_t)number(peer, "pause_ms", 0);
	peer->publish = number(peer, "publish", 0);
	for (size_t i = 0; i < AT_ONCE_MAX; i++)
		peer->pending[i].peer = peer;
	if (pause_ms > 0) {
		check(ms_timer_new(ms_rt_loop(peer->rt, 0), on_pause, peer, &peer->timer),
		      &(struct errinfo){.message = "timer"});
		ms_timer_start(peer->timer, pause_ms, pause_ms);
		return;
	}
	for (int64_t i = 0; i < MS_MIN(number(peer, "at_once", 8), (int64_t)AT_ONCE_MAX); i++)
		publish_next(&peer->pending[i]);
}

// --- Consuming ---------------------------------------------------------------------------------------

struct later {
	struct bus_delivery *delivery;
	struct timer *timer;
};

static void acknowledge(struct bus_delivery *delivery)
{
	printf("acked %.*s\n", MS_SLICE_ARG(delivery->id));
	ms_bus_ack(delivery);
}

static void on_later(struct timer *timer, void *arg)
{
	struct later *later = arg;
	acknowledge(later->delivery);
	ms_timer_free(timer);
	free(later);
}

static void deliver(struct bus_delivery *delivery, void *arg)
{
	struct peer *peer = arg;
	printf("got %.*s %u %.*s\n", MS_SLICE_ARG(delivery->id), delivery->attempt, MS_SLICE_ARG(delivery->topic));
	if (++peer->delivered == peer->kill_at)
		kill(getpid(), SIGKILL);
	if (strcmp(peer->what, "hold") == 0)
		return;
	if (strcmp(peer->what, "reject") == 0) {
		ms_bus_reject(delivery, "the test says no");
		return;
	}
	struct later *later = peer->delay_ms > 0 ? calloc(1, sizeof(*later)) : NULL;
	if (later == NULL || ms_timer_new(ms_rt_loop(peer->rt, 0), on_later, later, &later->timer) != MS_OK) {
		acknowledge(delivery);
		return;
	}
	later->delivery = delivery;
	ms_timer_start(later->timer, peer->delay_ms, 0);
}

static void subscribe(struct peer *peer)
{
	static const char *topics[1];
	struct errinfo info;
	ms_errinfo_init(&info);
	topics[0] = text(peer, "topics", "#");
	const struct bus_subscription s = {.name = text(peer, "consume", ""),
					   .topics = topics,
					   .topic_count = 1,
					   .prefetch = (unsigned)number(peer, "prefetch", 20),
					   .attempts = (unsigned)number(peer, "attempts", 5),
					   .home = ms_rt_loop(peer->rt, 0),
					   .deliver = deliver,
					   .arg = peer};
	peer->what = text(peer, "do", "ack");
	peer->delay_ms = (uint64_t)number(peer, "delay_ms", 0);
	peer->kill_at = number(peer, "kill_at", 0);
	if (s.name[0] != '\0')
		check(ms_bus_subscribe(peer->bus, &s, &info), &info);
}

// --- Life --------------------------------------------------------------------------------------------

static void on_health(struct timer *timer, void *arg)
{
	struct peer *peer = arg;
	(void)timer;
	bool connected = ms_bus_healthy(peer->bus);
	if (connected != peer->connected)
		printf("connected %d\n", connected);
	peer->connected = connected;
}

static void on_terminate(int signum, void *arg)
{
	struct peer *peer = arg;
	(void)signum;
	ms_rt_stop(peer->rt);
}

static void set_up(struct peer *peer)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct log_options log = {
		.level = LOG_INFO, .format = LOG_FORMAT_JSON, .fd = 2, .service = "peer", .version = "0"};
	check(ms_rt_new(&(struct rt_options){.loops = 1}, &info, &peer->rt), &info);
	check(ms_log_new(&log, &info, &peer->log), &info);
	// The command line works on the same file, and knows the steps of identity too.
	const struct store_migrations migrations[] = {ms_bus_migrations, ms_auth_migrations, ms_gateway_migrations};
	const struct store_options store = {.url = text(peer, "store", ""),
					    .log = peer->log,
					    .migrations = migrations,
					    .migration_count = MS_ARRAY_LEN(migrations),
					    .migrate = true,
					    .poll_ms = 50};
	check(ms_store_open(&store, &info, &peer->store), &info);
	const struct bus_options bus = {.store = peer->store,
					.rt = peer->rt,
					.log = peer->log,
					.url = text(peer, "broker", ""),
					.exchange = text(peer, "exchange", ""),
					.tls_ca = text(peer, "tls_ca", ""),
					.process = text(peer, "process", "peer"),
					.lease_ms = (unsigned)number(peer, "lease_ms", 1000)};
	check(ms_bus_new(&bus, &info, &peer->bus), &info);
	subscribe(peer);
	check(ms_bus_start(peer->bus, &info), &info);
	check(ms_timer_new(ms_rt_loop(peer->rt, 0), on_health, peer, &peer->health), &info);
	ms_timer_start(peer->health, 10, 10);
	check(ms_signal_watch(ms_rt_loop(peer->rt, 0), SIGTERM, on_terminate, peer), &info);
}

int main(int argc, char **argv)
{
	struct peer peer = {.argc = argc, .argv = argv};
	struct errinfo info;
	ms_errinfo_init(&info);
	setvbuf(stdout, NULL, _IOLBF, 0);
	set_up(&peer);
	printf("ready\n");
	start_publishing(&peer);
	check(ms_rt_run(peer.rt, &info), &info);
	ms_timer_free(peer.timer);
	ms_timer_free(peer.health);
	ms_bus_stop(peer.bus);
	ms_store_stop(peer.store);
	ms_rt_free(peer.rt);
	ms_bus_free(peer.bus);
	ms_store_free(peer.store);
	ms_log_free(peer.log);
	return 0;
}
