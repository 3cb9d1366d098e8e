// SPDX-License-Identifier: Apache-2.0
// What the files of the RabbitMQ driver share.
#ifndef MS_BUS_RABBITMQ_INTERNAL_H
#define MS_BUS_RABBITMQ_INTERNAL_H

#include <amqp.h>
#include <pthread.h>

#include "bus/rabbitmq/rabbitmq.h"

#define RABBIT_NAME_MAX 192 // of an exchange or queue
#define RABBIT_ERROR_MAX 256
#define RABBIT_DEAD_QUEUE_LENGTH 10000

// One connection, used by its own thread alone but for `up` and `wake`.
struct link {
	struct rabbitmq *rabbit;
	const char *purpose; // "publisher"
	amqp_connection_state_t state;
	int wake; // eventfd, -1: none
	atomic_bool up;
	unsigned failures; // in a row
	struct rand jitter;
	char error[RABBIT_ERROR_MAX]; // why it is down
};

struct rabbitmq {
	struct bus *bus;
	char *url; // cut into the parts of `server` by the parser
	struct amqp_connection_info server;
	char *tls_ca;
	char exchange[128], dead_exchange[RABBIT_NAME_MAX];
	atomic_bool stopping;
	struct thread *publisher_thread, *consumer_thread;
	struct link publisher, consumer;
	pthread_mutex_t lock; // guards what threads hand each other
	// The batch of the relay; `given` until the publisher took it.
	struct event *batch;
	struct known *known;
	bool given;
	struct known *declared; // of the publisher's present connection
	uint64_t published;     // messages on the present channel: the tag of the last one
	struct mail batch_mail, state_mail;
	atomic_bool state_posted;
	// Answers to deliveries, newest first.
	struct delivery *answers;
	atomic_uint generation;
};

// --- link.c ------------------------------------------------------------------------------------------

enum link_event { LINK_FRAME, LINK_QUIET, LINK_BROKEN };

// Connects, logs in and opens channel 1. False: link->error says why, and nothing is open.
bool ms_link_open(struct link *link);
void ms_link_close(struct link *link);
// One frame, or LINK_QUIET after `timeout_ms`, a wake-up or a heartbeat.
enum link_event ms_link_wait(struct link *link, int timeout_ms, amqp_frame_t *ret_frame);
void ms_link_wake(struct link *link); // any thread
// Sleeps until it is time to try again; what others bring meanwhile, `woken` takes.
typedef void link_woken_fn(struct rabbitmq *r);
void ms_link_back_off(struct link *link, link_woken_fn *woken);
bool ms_link_ok(struct link *link, const char *what);               // of the last call to the server
bool ms_link_fail(struct link *link, const char *what, int status); // false; notes why
// A method that ends the connection or channel: notes the server's words.
bool ms_link_is_end(struct link *link, const amqp_frame_t *frame);
// The link went up or down: logs it once.
void ms_link_log(struct link *link, bool up);

// --- topology.c --------------------------------------------------------------------------------------

bool ms_rabbit_declare_exchanges(struct link *link);
bool ms_rabbit_declare_queue(struct link *link, amqp_channel_t channel, struct slice name, struct slice topics);
bool ms_rabbit_unbind(struct link *link, amqp_channel_t channel, struct slice name, struct slice topics,
		      struct slice keep);
void ms_rabbit_queue_name(const struct rabbitmq *r, struct slice name, const char *suffix, char dst[RABBIT_NAME_MAX]);

static inline amqp_bytes_t ms_rabbit_bytes(struct slice s)
{
	return (amqp_bytes_t){.len = s.n, .bytes = (void *)(uintptr_t)s.p};
}

// --- Threads -----------------------------------------------------------------------------------------

void ms_rabbit_publisher(void *rabbit);
void ms_rabbit_consumer(void *rabbit);

#endif
