// SPDX-License-Identifier: Apache-2.0
// The publisher's thread: one batch of the relay at a time, persistent messages, publisher confirms. An event counts as published when
// the broker confirmed it; whatever else happens, it stays in the outbox.
#include "bus/rabbitmq/internal.h"

#define CONFIRM_MS_MAX 20000 // for a whole batch; and never longer than two thirds of the lease

// --- State, seen by the relay ------------------------------------------------------------------------

static void on_state(struct mail *mail)
{
	struct rabbitmq *r = MS_CONTAINER_OF(mail, struct rabbitmq, state_mail);
	atomic_store(&r->state_posted, false);
	ms_bus_relay_connected(r->bus->relay, atomic_load(&r->publisher.up));
}

static void set_up(struct rabbitmq *r, bool up)
{
	if (atomic_exchange(&r->publisher.up, up) == up)
		return;
	if (!atomic_exchange(&r->state_posted, true))
		ms_loop_post(ms_rt_loop(r->bus->rt, 0), &r->state_mail, on_state);
}

// --- Batches -----------------------------------------------------------------------------------------

static void on_batch(struct mail *mail)
{
	struct rabbitmq *r = MS_CONTAINER_OF(mail, struct rabbitmq, batch_mail);
	pthread_mutex_lock(&r->lock);
	struct event *events = r->batch;
	r->batch = NULL;
	pthread_mutex_unlock(&r->lock);
	ms_bus_relay_published(r->bus->relay, events);
}

void ms_rabbitmq_publish(struct rabbitmq *r, struct event *events, struct known *known)
{
	pthread_mutex_lock(&r->lock);
	MS_ASSERT(!r->given && r->batch == NULL);
	r->batch = events;
	r->known = known;
	r->given = true;
	pthread_mutex_unlock(&r->lock);
	ms_link_wake(&r->publisher);
}

static bool take_batch(struct rabbitmq *r, struct event **ret_events, struct known **ret_known)
{
	pthread_mutex_lock(&r->lock);
	bool given = r->given;
	r->given = false;
	*ret_events = r->batch;
	*ret_known = r->known;
	if (given)
		r->known = NULL;
	pthread_mutex_unlock(&r->lock);
	return given;
}

// The batch goes home by mail; `r->batch` is the relay's again from here on.
static void give_back(struct rabbitmq *r)
{
	ms_loop_post(ms_rt_loop(r->bus->rt, 0), &r->batch_mail, on_batch);
}

// A subscription's queue has to be there before an event for it is published; the relay read both in one transaction.
static bool declare_known(struct rabbitmq *r, struct known *known)
{
	struct link *link = &r->publisher;
	for (struct known *k = known; k != NULL; k = k->next) {
		struct known *old = r->declared;
		while (old != NULL && !ms_slice_eq(old->name, k->name))
			old = old->next;
		if (old != NULL && ms_slice_eq(old->topics, k->topics))
			continue;
		if (!ms_rabbit_declare_queue(link, 1, k->name, k->topics) ||
		    (old != NULL && !ms_rabbit_unbind(link, 1, k->name, old->topics, k->topics)))
			return false;
	}
	ms_bus_known_free(r->declared);
	r->declared = known;
	return true;
}

static bool publish_one(struct rabbitmq *r, const struct event *e)
{
	amqp_table_entry_t seq = {.key = amqp_cstring_bytes("published-ns"),
				  .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = e->seq}};
	const amqp_basic_properties_t properties = {
		._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG |
			  AMQP_BASIC_TIMESTAMP_FLAG | AMQP_BASIC_APP_ID_FLAG | AMQP_BASIC_HEADERS_FLAG,
		.content_type = amqp_cstring_bytes("application/json"),
		.delivery_mode = AMQP_DELIVERY_PERSISTENT,
		.message_id = ms_rabbit_bytes(e->id),
		.timestamp = (uint64_t)e->seq / 1000000000,
		.app_id = amqp_cstring_bytes("mainstay"),
		.headers = {.num_entries = 1, .entries = &seq},
	};
	// Not mandatory: an event that nobody subscribed to is done with.
	int status = amqp_basic_publish(r->publisher.state, 1, amqp_cstring_bytes(r->exchange),
					ms_rabbit_bytes(e->topic), 0, 0, &properties, ms_rabbit_bytes(e->payload));
	return status == AMQP_STATUS_OK || ms_link_fail(&r->publisher, "publishing", status);
}

// --- Confirms ----------------------------------------------------------------------------------------

struct confirms {
	struct event *events[BUS_BATCH_EVENTS];
	bool answered[BUS_BATCH_EVENTS];
	size_t count, open;
	uint64_t first_tag;
};

static void answer(struct confirms *c, uint64_t tag, bool multiple, bool confirmed)
{
	if (tag < c->first_tag || tag - c->first_tag >= c->count)
		return;
	size_t last = (size_t)(tag - c->first_tag);
	for (size_t i = multiple ? 0 : last; i <= last; i++) {
		if (c->answered[i])
			continue;
		c->answered[i] = true;
		c->events[i]->confirmed = confirmed;
		c->open--;
	}
}

static void read_confirm(struct confirms *c, const amqp_frame_t *frame)
{
	if (frame->frame_type != AMQP_FRAME_METHOD)
		return;
	if (frame->payload.method.id == AMQP_BASIC_ACK_METHOD) {
		const amqp_basic_ack_t *ack = frame->payload.method.decoded;
		answer(c, ack->delivery_tag, ack->multiple, true);
	} else if (frame->payload.method.id == AMQP_BASIC_NACK_METHOD) {
		const amqp_basic_nack_t *nack = frame->payload.method.decoded;
		answer(c, nack->delivery_tag, nack->multiple, false);
	}
}

static bool wait_confirms(struct rabbitmq *r, struct confirms *c)
{
	int64_t wait_ms = MS_MIN(r->bus->lease_us / 1500, (int64_t)CONFIRM_MS_MAX);
	int64_t end_ns = ms_clock_mono_ns() + wait_ms * 1000000;
	amqp_frame_t frame;
	while (c->open > 0 && !atomic_load(&r->stopping)) {
		int64_t left_ns = end_ns - ms_clock_mono_ns();
		if (left_ns <= 0)
			return ms_link_fail(&r->publisher, "waiting for confirms", AMQP_STATUS_TIMEOUT);
		enum link_event event = ms_link_wait(&r->publisher, (int)(left_ns / 1000000) + 1, &frame);
		if (event == LINK_BROKEN || (event == LINK_FRAME && ms_link_is_end(&r->publisher, &frame)))
			return false;
		if (event == LINK_FRAME)
			read_confirm(c, &frame);
	}
	return true;
}

static bool publish_batch(struct rabbitmq *r, struct event *events)
{
	struct confirms c = {.first_tag = r->published + 1};
	for (struct event *e = events; e != NULL; e = e->next) {
		MS_ASSERT(c.count < BUS_BATCH_EVENTS);
		if (!publish_one(r, e))
			break;
		c.events[c.count++] = e;
	}
	bool all = c.count > 0 && c.events[c.count - 1]->next == NULL;
	r->published += c.count;
	c.open = c.count;
	return wait_confirms(r, &c) && all;
}

// --- The thread --------------------------------------------------------------------------------------

static bool open_link(struct rabbitmq *r)
{
	struct link *link = &r->publisher;
	ms_bus_known_free(r->declared);
	r->declared = NULL;
	r->published = 0;
	if (!ms_link_open(link))
		return false;
	amqp_confirm_select(link->state, 1);
	if (ms_link_ok(link, "asking for confirms") && ms_rabbit_declare_exchanges(link))
		return true;
	ms_link_close(link);
	return false;
}

static bool work(struct rabbitmq *r)
{
	struct event *events;
	struct known *known;
	amqp_frame_t frame;
	if (take_batch(r, &events, &known)) {
		bool declared = declare_known(r, known);
		if (!declared)
			ms_bus_known_free(known);
		bool ok = declared && publish_batch(r, events);
		if (!ok)
			set_up(r, false); // before the batch: the relay is not to send another
		give_back(r);
		return ok;
	}
	enum link_event event = ms_link_wait(&r->publisher, 60000, &frame);
	return event == LINK_QUIET || (event == LINK_FRAME && !ms_link_is_end(&r->publisher, &frame));
}

static void refuse_batch(struct rabbitmq *r)
{
	struct event *events;
	struct known *known;
	if (!take_batch(r, &events, &known))
		return;
	ms_bus_known_free(known);
	give_back(r);
}

void ms_rabbit_publisher(void *arg)
{
	struct rabbitmq *r = arg;
	struct link *link = &r->publisher;
	while (!atomic_load(&r->stopping)) {
		if (open_link(r)) {
			link->failures = 0;
			ms_link_log(link, true);
			set_up(r, true);
			while (!atomic_load(&r->stopping) && work(r))
				continue;
			set_up(r, false);
			ms_link_close(link);
		}
		refuse_batch(r);
		ms_link_log(link, false);
		ms_link_back_off(link, refuse_batch);
	}
	refuse_batch(r);
}
