// SPDX-License-Identifier: Apache-2.0
// The consumer's thread: a channel for each subscription with its prefetch, deliveries to the loops, answers back to the broker.
#include "bus/rabbitmq/internal.h"

#include <stdlib.h>

#include "json/json.h"

// --- Answers -----------------------------------------------------------------------------------------

bool ms_rabbitmq_is_current(const struct rabbitmq *r, const struct delivery *d)
{
	return d->generation == atomic_load(&r->generation);
}

void ms_rabbitmq_answer(struct rabbitmq *r, struct delivery *d)
{
	pthread_mutex_lock(&r->lock);
	bool first = r->answers == NULL;
	d->next = r->answers;
	r->answers = d;
	pthread_mutex_unlock(&r->lock);
	if (first)
		ms_link_wake(&r->consumer);
}

static struct delivery *take_answers(struct rabbitmq *r)
{
	struct delivery *newest, *in_order = NULL;
	pthread_mutex_lock(&r->lock);
	newest = r->answers;
	r->answers = NULL;
	pthread_mutex_unlock(&r->lock);
	while (newest != NULL) {
		struct delivery *next = newest->next;
		newest->next = in_order;
		in_order = newest;
		newest = next;
	}
	return in_order;
}

static amqp_channel_t channel_of(const struct subscription *s)
{
	return (amqp_channel_t)(s->index + 1);
}

// Answers to an earlier connection mean nothing to this one: its events come again.
static bool send_answers(struct rabbitmq *r)
{
	struct delivery *d = take_answers(r);
	int status = AMQP_STATUS_OK;
	while (d != NULL) {
		struct delivery *next = d->next;
		if (status == AMQP_STATUS_OK && r->consumer.state != NULL && ms_rabbitmq_is_current(r, d))
			status = amqp_basic_ack(r->consumer.state, channel_of(d->subscription), d->tag, 0);
		free(d);
		d = next;
	}
	return status == AMQP_STATUS_OK || ms_link_fail(&r->consumer, "acknowledging", status);
}

// While there is no connection.
static void drop_answers(struct rabbitmq *r)
{
	MS_ASSERT(r->consumer.state == NULL);
	MS_IGNORE(!send_answers(r)); // nothing is sent
}

// --- Deliveries --------------------------------------------------------------------------------------

static void on_delivery(struct mail *mail)
{
	struct delivery *d = MS_CONTAINER_OF(mail, struct delivery, mail);
	ms_bus_subscription_arrive(d->subscription, d);
}

static struct slice slice_of(amqp_bytes_t bytes)
{
	return ms_slice(bytes.bytes, bytes.len);
}

// Ours says when it was published; others have seconds, or nothing.
static int64_t published_ns(const amqp_basic_properties_t *p)
{
	for (int i = 0; (p->_flags & AMQP_BASIC_HEADERS_FLAG) != 0 && i < p->headers.num_entries; i++) {
		const amqp_table_entry_t *entry = &p->headers.entries[i];
		if (ms_slice_eq_cstr(slice_of(entry->key), "published-ns") &&
		    entry->value.kind == AMQP_FIELD_KIND_I64 && entry->value.value.i64 >= 0)
			return entry->value.value.i64;
	}
	if ((p->_flags & AMQP_BASIC_TIMESTAMP_FLAG) != 0 && p->timestamp < (uint64_t)INT64_MAX / 1000000000)
		return (int64_t)p->timestamp * 1000000000;
	return ms_clock_wall_ns();
}

static bool is_json(struct slice text)
{
	struct json_reader reader;
	ms_json_reader_init(&reader, text, NULL, NULL, NULL);
	return ms_json_skip(&reader, NULL) && ms_json_finish(&reader) == MS_OK;
}

// NULL with *ret_ours false: no event of ours; with true: out of memory.
static struct delivery *read_event(struct subscription *s, const amqp_basic_deliver_t *deliver,
				   const amqp_message_t *message, bool *ret_ours)
{
	const amqp_basic_properties_t *p = &message->properties;
	struct slice id = (p->_flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0 ? slice_of(p->message_id) : MS_SLICE_EMPTY;
	struct slice topic = slice_of(deliver->routing_key), payload = slice_of(message->body);
	*ret_ours = ms_bus_id_ok(id) && ms_bus_topic_ok(topic) && payload.n <= MS_BUS_PAYLOAD_MAX && is_json(payload);
	return *ret_ours ? ms_bus_delivery_new(s, id, topic, payload, published_ns(p), 1) : NULL;
}

static bool refuse(struct rabbitmq *r, amqp_channel_t channel, uint64_t tag, bool requeue)
{
	int status = amqp_basic_reject(r->consumer.state, channel, tag, requeue);
	return status == AMQP_STATUS_OK || ms_link_fail(&r->consumer, "rejecting", status);
}

static bool deliver(struct rabbitmq *r, struct subscription *s, const amqp_basic_deliver_t *head,
		    const amqp_message_t *message)
{
	bool ours;
	struct delivery *d = read_event(s, head, message, &ours);
	if (!ours)
		ms_log(r->bus->log, LOG_WARN,
		       "a message in the queue is no event; it went to the dead letters of the broker",
		       MS_LOG_CSTR("mainstay.subscription", s->name));
	if (d == NULL)
		return refuse(r, channel_of(s), head->delivery_tag, ours);
	d->broker = true;
	d->again = head->redelivered != 0;
	d->tag = head->delivery_tag;
	d->generation = atomic_load(&r->generation);
	ms_loop_post(s->home, &d->mail, on_delivery);
	return true;
}

static bool read_delivery(struct rabbitmq *r, const amqp_frame_t *frame)
{
	struct link *link = &r->consumer;
	// The frame's memory may go with the next frames: keep what is needed.
	amqp_basic_deliver_t head = *(const amqp_basic_deliver_t *)frame->payload.method.decoded;
	char topic[MS_BUS_TOPIC_MAX + 1];
	size_t n = MS_MIN(head.routing_key.len, sizeof(topic));
	amqp_message_t message;
	if (n > 0)
		memcpy(topic, head.routing_key.bytes, n);
	head.routing_key = (amqp_bytes_t){.len = n, .bytes = topic};
	amqp_rpc_reply_t reply = amqp_read_message(link->state, frame->channel, &message, 0);
	if (reply.reply_type != AMQP_RESPONSE_NORMAL)
		return ms_link_fail(link, "reading a message",
				    reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION ? reply.library_error
											: AMQP_STATUS_UNEXPECTED_STATE);
	bool ok = true;
	if (frame->channel >= 1 && frame->channel <= r->bus->subscription_count)
		ok = deliver(r, r->bus->subscriptions[frame->channel - 1], &head, &message);
	amqp_destroy_message(&message);
	return ok;
}

// --- The thread --------------------------------------------------------------------------------------

static bool open_subscription(struct rabbitmq *r, struct subscription *s)
{
	struct link *link = &r->consumer;
	amqp_channel_t channel = channel_of(s);
	char queue[RABBIT_NAME_MAX];
	ms_rabbit_queue_name(r, ms_slice_cstr(s->name), "", queue);
	if (channel != 1) {
		amqp_channel_open(link->state, channel);
		if (!ms_link_ok(link, "opening a channel"))
			return false;
	}
	amqp_basic_qos(link->state, channel, 0, (uint16_t)s->prefetch, 0);
	if (!ms_link_ok(link, "setting the prefetch") ||
	    !ms_rabbit_declare_queue(link, channel, ms_slice_cstr(s->name), ms_slice_cstr(s->topics)))
		return false;
	amqp_basic_consume(link->state, channel, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
			   amqp_empty_table);
	return ms_link_ok(link, "consuming");
}

static bool open_link(struct rabbitmq *r)
{
	struct link *link = &r->consumer;
	if (!ms_link_open(link))
		return false;
	bool ok = ms_rabbit_declare_exchanges(link);
	for (size_t i = 0; ok && i < r->bus->subscription_count; i++)
		ok = open_subscription(r, r->bus->subscriptions[i]);
	if (!ok)
		ms_link_close(link);
	return ok;
}

static bool work(struct rabbitmq *r)
{
	amqp_frame_t frame;
	if (!send_answers(r))
		return false;
	switch (ms_link_wait(&r->consumer, 60000, &frame)) {
	case LINK_QUIET:
		return true;
	case LINK_BROKEN:
		return false;
	case LINK_FRAME:
		break;
	}
	if (ms_link_is_end(&r->consumer, &frame))
		return false;
	bool is_delivery =
		frame.frame_type == AMQP_FRAME_METHOD && frame.payload.method.id == AMQP_BASIC_DELIVER_METHOD;
	return !is_delivery || read_delivery(r, &frame);
}

void ms_rabbit_consumer(void *arg)
{
	struct rabbitmq *r = arg;
	struct link *link = &r->consumer;
	while (!atomic_load(&r->stopping)) {
		if (open_link(r)) {
			link->failures = 0;
			ms_link_log(link, true);
			atomic_store(&link->up, true);
			while (!atomic_load(&r->stopping) && work(r))
				continue;
			atomic_store(&link->up, false);
			atomic_fetch_add(&r->generation, 1);
			ms_link_close(link);
		}
		drop_answers(r);
		ms_link_log(link, false);
		ms_link_back_off(link, drop_answers);
	}
	drop_answers(r);
}
