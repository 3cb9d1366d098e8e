// SPDX-License-Identifier: Apache-2.0
// Events between the modules and between processes: topics, subscriptions, delivery at least once.
//
// An event is published inside the store's transaction that makes it true, into the outbox: both are committed or
// neither. From there a relay hands it on, to the subscriptions of this process or to RabbitMQ, and forgets it once it
// is safe there. A subscription is a durable queue with a name: events wait in it while nobody reads it, come again when they were not acknowledged, and
// after `attempts` failures go to its dead letters, from where an operator sends them again. A consumer may see an event twice (ids tell), never not at all.
#ifndef MS_BUS_BUS_H
#define MS_BUS_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "observe/observe.h"
#include "rt/rt.h"
#include "store/store.h"

struct bus;

#define MS_BUS_TOPIC_MAX 128                   // words of [a-z0-9_-] divided by dots: "auth.login"
#define MS_BUS_PAYLOAD_MAX ((size_t)256 << 10) // JSON

struct bus_options {
	struct store *store;
	struct rt *rt;
	struct log *log;
	struct metrics *metrics;
	// "amqp://user:password@host:port/vhost" or amqps://; NULL or "": in process. Never shown or logged with its password.
	const char *url;
	const char *exchange; // of RabbitMQ, a topic exchange; "mainstay"
	const char *process;  // names this process in leases and logs
	const char *tls_ca;   // PEM file of the authorities that amqps:// trusts; NULL or "": the system's
	unsigned lease_ms;    // what a process has taken comes back this long after it died; 0: 30 s
	unsigned dead_hours;  // dead letters are kept this long; 0: 30 days
	uint64_t dead_limit;  // and of each subscription this many, the newest; 0: 10,000
};

extern const struct store_migrations ms_bus_migrations;

// Blocks for the store alone; a broker that cannot be reached now is tried again in the background.
MS_MUST_USE enum ms_err ms_bus_new(const struct bus_options *options, struct errinfo *info, struct bus **ret_bus);
// After the subscriptions were made, before the loops run. MS_ERR_LIMIT when a thread cannot be made.
MS_MUST_USE enum ms_err ms_bus_start(struct bus *bus, struct errinfo *info);
void ms_bus_stop(struct bus *bus);          // the loops have ended, the store has not; once, also when the start failed
void ms_bus_free(struct bus *bus);          // after ms_rt_free(); accepts NULL
bool ms_bus_healthy(const struct bus *bus); // any thread: the broker is connected (always true in process)

const char *ms_bus_kind(const struct bus *bus); // "in process" or "rabbitmq"

// The address of a RabbitMQ server from its parts, each escaped as an URL wants it. `port` 0, the rest NULL or "": the default.
struct bus_server {
	const char *host;
	unsigned port;
	const char *user;
	const char *password;
	const char *vhost;
	bool tls;
};
MS_MUST_USE enum ms_err ms_bus_server_url(const struct bus_server *server, struct arena *arena, struct errinfo *info,
					  const char **ret_url);
// Options are possible, for `config check`: MS_ERR_CONFIG. The address may be NULL.
MS_MUST_USE enum ms_err ms_bus_check(const char *url, const char *exchange, struct errinfo *info);

// --- Publishing --------------------------------------------------------------------------------------

struct bus_event {
	struct slice topic;
	struct slice payload; // JSON
	struct slice id;      // made by publish (UUIDv7, RFC 9562) when empty; the same id is taken once
};
// Inside a write transaction; works without a bus running in this process (the command line). MS_ERR_INVALID for a bad topic, MS_ERR_LIMIT, and the store's errors.
MS_MUST_USE enum ms_err ms_bus_publish(struct store_tx *tx, const struct bus_event *event, struct errinfo *info);

// --- Subscriptions -----------------------------------------------------------------------------------

struct bus_delivery {
	struct slice topic, payload, id;
	int64_t published_us;
	unsigned attempt; // from 1
	void *token;
};
// On the subscription's loop. The delivery lives until it is ended by one of the two calls below, from the same loop.
typedef void bus_deliver_fn(struct bus_delivery *delivery, void *arg);
void ms_bus_ack(struct bus_delivery *delivery);
// Comes again after a back-off (1 s doubling to 5 min, with jitter), or goes to the dead letters after the last attempt. `reason` is for people.
void ms_bus_reject(struct bus_delivery *delivery, const char *reason);

struct bus_subscription {
	const char *name; // of the durable queue: "webhooks"; shared by all processes: each event goes to one of them
	const char *const *topics; // patterns: '*' is one word, '#' any number
	size_t topic_count;
	unsigned prefetch; // deliveries not ended at a time; 1 to 1000
	unsigned attempts; // 1 to 100
	struct loop *home;
	bus_deliver_fn *deliver;
	void *arg;
};
// Before ms_bus_start(). The options are copied, the strings borrowed.
MS_MUST_USE enum ms_err ms_bus_subscribe(struct bus *bus, const struct bus_subscription *subscription,
					 struct errinfo *info);

// --- For operators: inside a transaction, without a bus running in this process -----------------------------

// Texts live as long as the transaction's rows.
struct bus_queue_status {
	struct slice name;
	struct slice topics; // divided by blanks; p == NULL: there is no such subscription any more
	unsigned attempts;
	int64_t seen_us;   // when a process last said that it has the subscription
	uint64_t ready;    // in the store's queue (new events wait at the broker when there is one)
	uint64_t later;    // for their next attempt
	uint64_t held;     // delivered and not ended
	uint64_t dead;     // dead letters
	int64_t oldest_us; // of those in the queue; 0: none
};
struct bus_status {
	uint64_t outbox;
	int64_t outbox_oldest_us; // 0: none waits
	struct slice relay;       // the process that takes events from the outbox now; empty: none
	struct bus_queue_status *queues;
	size_t queue_count;
};
MS_MUST_USE enum ms_err ms_bus_status(struct store_tx *tx, struct errinfo *info, struct bus_status *ret_status);

struct bus_dead {
	struct slice subscription, id, topic, payload, reason;
	int64_t published_us, dead_us;
	unsigned attempts;
};
// The newest `max`; of all subscriptions when the name is empty.
MS_MUST_USE enum ms_err ms_bus_dead_list(struct store_tx *tx, struct slice subscription, size_t max,
					 struct errinfo *info, struct bus_dead **ret_dead, size_t *ret_count);
// Sends dead letters to their subscription again, with all attempts: one, or all when `id` is empty. MS_ERR_NOT_FOUND for an
// id that is none.
MS_MUST_USE enum ms_err ms_bus_redrive(struct store_tx *tx, struct slice subscription, struct slice id,
				       struct errinfo *info, uint64_t *ret_count);

#endif
