// SPDX-License-Identifier: Apache-2.0
// What the files of bus share. Nobody else includes this.
#ifndef MS_BUS_PRIVATE_H
#define MS_BUS_PRIVATE_H

#include <stdatomic.h>
#include <stdio.h>

#include "bus/bus.h"

#define BUS_SUBSCRIPTIONS_MAX 32   // of one process
#define BUS_KNOWN_MAX 1000         // subscriptions in the database
#define BUS_TOPICS_MAX 64          // patterns of a subscription
#define BUS_NAME_MAX 64            // of a subscription
#define BUS_ID_MAX 64              // of an event
#define BUS_HOLDER_MAX 96          // "process/nonce"
#define BUS_REASON_MAX 200         // of a rejection
#define BUS_BATCH_EVENTS 256       // that leave the outbox together
#define BUS_BATCH_BYTES (4 << 20)  // of payload, together; one event may be larger than that alone
#define BUS_CLAIM_EVENTS 64        // taken from a queue in one transaction
#define BUS_GROUP 32               // ids in one statement
#define BUS_ID_DAYS 7              // ids given by publishers are remembered this long
#define BUS_SUBSCRIPTION_DAYS 30   // a subscription that no process had for so long is forgotten
#define BUS_SWEEP_MS (3600 * 1000) // how often old things are removed
#define BUS_DAY_US ((int64_t)86400 * 1000000)

#define BUS_CHANNEL_OUTBOX "bus.outbox" // notice: events wait in the outbox
#define BUS_CHANNEL_QUEUE "bus.queue"   // notice: events wait in queues of the store

// --- topic.c: words and patterns; bytes in, values out -----------------------------------------------

bool ms_bus_topic_ok(struct slice topic);
bool ms_bus_pattern_ok(struct slice pattern);
bool ms_bus_topic_matches(struct slice pattern, struct slice topic);
// Any of the patterns, which are divided by blanks.
bool ms_bus_topic_matches_any(struct slice patterns, struct slice topic);
struct slice ms_bus_topic_class(struct slice topic); // the first word
bool ms_bus_id_ok(struct slice id);

#define BUS_UUID_SIZE 37
void ms_bus_uuid7(int64_t wall_ns, char dst[BUS_UUID_SIZE]);

// --- Events in memory --------------------------------------------------------------------------------

// One event on its way, one block of malloc: the texts stand behind it.
struct event {
	struct event *next;
	struct slice id, topic, payload;
	int64_t seq; // nanoseconds since the Unix epoch when it was published: the order
	bool confirmed;
	char bytes[];
};
struct event *ms_bus_event_new(struct slice id, struct slice topic, struct slice payload, int64_t seq);
void ms_bus_events_free(struct event *first);

// A subscription as the database knows it.
struct known {
	struct known *next;
	struct slice name, topics; // topics divided by blanks
	char bytes[];
};
void ms_bus_known_free(struct known *first);

// --- outbox.c: transactions of the relay -------------------------------------------------------------

// One turn of the relay; input above, what the transaction found below.
struct outbox_turn {
	const char *holder;
	int64_t lease_us;
	bool deliver;         // to the queues of the store, in this transaction; false: hand the events to the caller
	bool take;            // take events; false: only forget those that are safe
	bool count;           // look how many wait
	struct event *safe;   // of the turn before: they leave the outbox now
	bool blocked;         // events wait, and another process has the lease
	int64_t until_us;     // of the lease
	uint64_t waiting;     // when `count` was set
	int64_t oldest_us;    // 0: none waits
	struct event *events; // in order
	struct known *known;  // with events: all subscriptions
};
enum ms_err ms_bus_outbox_turn(struct store_tx *tx, void *turn, struct errinfo *info);
void ms_bus_outbox_turn_clear(struct outbox_turn *turn); // frees what was found

struct outbox_figures {
	uint64_t waiting;
	int64_t oldest_us;
};
enum ms_err ms_bus_outbox_figures(struct store_tx *tx, void *figures, struct errinfo *info);

// --- queue.c: transactions of the queues in the store ------------------------------------------------

enum delivery_end { END_NONE, END_ACK, END_RETRY, END_DEAD, END_PARK };

struct subscription;
// One delivery, one block of malloc: the texts stand behind it.
struct delivery {
	struct bus_delivery pub; // first: ms_bus_ack() gets its address
	struct list_node node;   // of a list of its subscription
	struct mail mail;        // brings it from the broker's thread
	struct delivery *next;   // of what goes back there
	struct subscription *subscription;
	int64_t seq;
	enum delivery_end end;
	int64_t due_us; // END_RETRY
	bool broker;    // it came from there: `tag` of connection number `generation` is to be answered
	bool again;     // the broker delivered it before
	bool refused;   // not one of our events: to the broker's own dead letters
	uint64_t tag;
	unsigned generation;
	char reason[BUS_REASON_MAX];
	char bytes[];
};
struct delivery *ms_bus_delivery_new(struct subscription *s, struct slice id, struct slice topic, struct slice payload,
				     int64_t seq, unsigned attempt);

struct queue_claim {
	const char *name, *holder;
	struct subscription *subscription;
	unsigned attempts;
	size_t count;
	int64_t lease_us;
	bool skip_locked;       // the database is PostgreSQL
	struct delivery *found; // in order
	size_t found_count;
	uint64_t died;  // went to the dead letters: the process ended during the last attempt
	int64_t due_us; // of the next that will be due; INT64_MAX: none
	int64_t now_us;
};
enum ms_err ms_bus_queue_claim(struct store_tx *tx, void *claim, struct errinfo *info);
void ms_bus_queue_claim_clear(struct queue_claim *claim);

struct queue_end {
	const char *name, *holder;
	struct list *deliveries; // untouched while the transaction runs
};
enum ms_err ms_bus_queue_end(struct store_tx *tx, void *end, struct errinfo *info);

struct queue_renew {
	const char *name, *holder;
	int64_t lease_us;
	struct slice *ids; // one block of malloc with the texts
	size_t count;
};
enum ms_err ms_bus_queue_renew(struct store_tx *tx, void *renew, struct errinfo *info);

enum ms_err ms_bus_queue_release(struct store_tx *tx, void *holder, struct errinfo *info); // at the end of the process

struct queue_register {
	const char *name;
	struct slice topics;
	unsigned attempts;
};
enum ms_err ms_bus_queue_register(struct store_tx *tx, void *what, struct errinfo *info);

struct queue_sweep {
	const struct bus *bus;
	int64_t dead_age_us;
	uint64_t dead_limit;
	uint64_t forgotten; // subscriptions
	uint64_t dropped;   // dead letters
};
enum ms_err ms_bus_queue_sweep(struct store_tx *tx, void *sweep, struct errinfo *info);

// --- The bus -----------------------------------------------------------------------------------------

enum bus_stage { STAGE_PUBLISHED, STAGE_DELIVERED, STAGE_ACKNOWLEDGED, STAGE_REJECTED, STAGE_DEAD, STAGE_COUNT };

struct relay;
struct rabbitmq;

struct bus {
	struct store *store;
	struct rt *rt;
	struct log *log;
	struct metric_family *events; // NULL: no metrics
	struct metric_series *outbox_depth, *outbox_age, *connected;
	_Atomic int64_t oldest_us; // in the outbox; 0: none
	int64_t lease_us;
	bool skip_locked;
	bool started, stopped;
	char holder[BUS_HOLDER_MAX]; // of leases: unique to this run of the process
	struct relay *relay;
	struct rabbitmq *rabbitmq; // NULL: in process
	struct subscription *subscriptions[BUS_SUBSCRIPTIONS_MAX];
	size_t subscription_count;
	struct timer *sweep_timer;
	struct store_work sweep_work;
	struct queue_sweep sweep;
	bool sweeping;
};

void ms_bus_count(const struct bus *bus, enum bus_stage stage, struct slice topic, const struct loop *loop);

// --- relay.c: from the outbox onwards, on loop 0 -----------------------------------------------------

MS_MUST_USE enum ms_err ms_bus_relay_new(struct bus *bus, struct errinfo *info, struct relay **ret_relay);
void ms_bus_relay_start(struct relay *relay); // before the loops run
void ms_bus_relay_stop(struct relay *relay);
void ms_bus_relay_free(struct relay *relay);
// The publisher has done what it could with the events: those that the broker has are marked. On the relay's loop.
void ms_bus_relay_published(struct relay *relay, struct event *events);
void ms_bus_relay_connected(struct relay *relay, bool connected); // on the relay's loop

// --- subscription.c: deliveries, on the loop of the subscription -------------------------------------

struct subscription {
	struct bus *bus;
	struct loop *home;
	const char *name;
	char *topics; // divided by blanks
	unsigned prefetch, attempts;
	size_t index;
	bus_deliver_fn *deliver;
	void *arg;
	// What is here, by state.
	struct list waiting; // from the broker, for room
	struct list out;     // with the consumer
	struct list ended;   // for the next transaction
	struct list ending;  // of the transaction that runs
	bool want_claim, pump_posted, stopped;
	bool claiming, end_running, renewing;
	size_t claim_room;
	unsigned failures; // of the store, in a row
	struct mail pump;
	struct timer *due, *renew_timer, *retry;
	bool renew_on;
	struct store_work claim_work, end_work, renew_work;
	struct queue_claim claim;
	struct queue_end end;
	struct queue_renew renew;
};

MS_MUST_USE enum ms_err ms_bus_subscription_new(struct bus *bus, const struct bus_subscription *options,
						struct errinfo *info, struct subscription **ret_subscription);
void ms_bus_subscription_start(struct subscription *s);
void ms_bus_subscription_stop(struct subscription *s);
void ms_bus_subscription_free(struct subscription *s);
// From the broker, on the loop of the subscription.
void ms_bus_subscription_arrive(struct subscription *s, struct delivery *d);

#endif
