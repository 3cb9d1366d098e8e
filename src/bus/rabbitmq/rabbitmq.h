// SPDX-License-Identifier: Apache-2.0
// RabbitMQ: two connections, each on a thread of its own, because the broker may stop reading from one that publishes. The publisher
// takes batches from the relay; the consumer brings deliveries to the loops of their subscriptions and takes their answers.
#ifndef MS_BUS_RABBITMQ_RABBITMQ_H
#define MS_BUS_RABBITMQ_RABBITMQ_H

#include "bus/private.h"

struct rabbitmq;

// Parses the address; connects nothing yet.
MS_MUST_USE enum ms_err ms_rabbitmq_new(struct bus *bus, const struct bus_options *options, struct errinfo *info,
					struct rabbitmq **ret_rabbitmq);
MS_MUST_USE enum ms_err ms_rabbitmq_start(struct rabbitmq *r, struct errinfo *info); // the subscriptions are known
void ms_rabbitmq_stop(struct rabbitmq *r);                                           // ends the threads
void ms_rabbitmq_free(struct rabbitmq *r);
bool ms_rabbitmq_connected(const struct rabbitmq *r); // any thread

MS_MUST_USE enum ms_err ms_rabbitmq_check(const char *url, const char *exchange, struct errinfo *info);

// From the relay's loop, one batch at a time; ms_bus_relay_published() gives the events back. `known` are the
// subscriptions whose queues have to be there before.
void ms_rabbitmq_publish(struct rabbitmq *r, struct event *events, struct known *known);

// From any loop: the delivery's end is safe, tell the broker and free it.
void ms_rabbitmq_answer(struct rabbitmq *r, struct delivery *d);
// The connection that brought it is still the present one.
bool ms_rabbitmq_is_current(const struct rabbitmq *r, const struct delivery *d);

#endif
