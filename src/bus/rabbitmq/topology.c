// SPDX-License-Identifier: Apache-2.0
// What stands at the broker: a topic exchange for events; per subscription a durable queue bound by its patterns; a direct exchange and
// per subscription a queue for messages that are no events of ours. Declared again on each connection: the same declaration
// changes nothing.
#include "bus/rabbitmq/internal.h"

void ms_rabbit_queue_name(const struct rabbitmq *r, struct slice name, const char *suffix, char dst[RABBIT_NAME_MAX])
{
	snprintf(dst, RABBIT_NAME_MAX, "%s.%.*s%s", r->exchange, MS_SLICE_ARG(name), suffix);
}

bool ms_rabbit_declare_exchanges(struct link *link)
{
	const struct rabbitmq *r = link->rabbit;
	amqp_exchange_declare(link->state, 1, amqp_cstring_bytes(r->exchange), amqp_cstring_bytes("topic"), 0, 1, 0, 0,
			      amqp_empty_table);
	if (!ms_link_ok(link, "declaring the exchange"))
		return false;
	amqp_exchange_declare(link->state, 1, amqp_cstring_bytes(r->dead_exchange), amqp_cstring_bytes("direct"), 0, 1,
			      0, 0, amqp_empty_table);
	return ms_link_ok(link, "declaring the exchange of dead letters");
}

static bool declare(struct link *link, amqp_channel_t channel, const char *queue, amqp_table_entry_t *entries,
		    int count)
{
	const amqp_table_t arguments = {.num_entries = count, .entries = entries};
	amqp_queue_declare(link->state, channel, amqp_cstring_bytes(queue), 0, 1, 0, 0, arguments);
	return ms_link_ok(link, "declaring a queue");
}

static amqp_table_entry_t text_entry(const char *key, const char *value)
{
	return (amqp_table_entry_t){.key = amqp_cstring_bytes(key),
				    .value = {.kind = AMQP_FIELD_KIND_UTF8, .value.bytes = amqp_cstring_bytes(value)}};
}

bool ms_rabbit_declare_queue(struct link *link, amqp_channel_t channel, struct slice name, struct slice topics)
{
	const struct rabbitmq *r = link->rabbit;
	char queue[RABBIT_NAME_MAX], dead[RABBIT_NAME_MAX];
	struct slice topic;
	ms_rabbit_queue_name(r, name, "", queue);
	ms_rabbit_queue_name(r, name, ".dead", dead);
	amqp_table_entry_t dead_arguments[] = {
		{.key = amqp_cstring_bytes("x-max-length"),
		 .value = {.kind = AMQP_FIELD_KIND_I64, .value.i64 = RABBIT_DEAD_QUEUE_LENGTH}},
	};
	if (!declare(link, channel, dead, dead_arguments, MS_ARRAY_LEN(dead_arguments)))
		return false;
	amqp_queue_bind(link->state, channel, amqp_cstring_bytes(dead), amqp_cstring_bytes(r->dead_exchange),
			amqp_cstring_bytes(queue), amqp_empty_table);
	if (!ms_link_ok(link, "binding a queue of dead letters"))
		return false;
	amqp_table_entry_t arguments[] = {text_entry("x-dead-letter-exchange", r->dead_exchange),
					  text_entry("x-dead-letter-routing-key", queue)};
	if (!declare(link, channel, queue, arguments, MS_ARRAY_LEN(arguments)))
		return false;
	while (ms_slice_next(&topics, ' ', &topic)) {
		amqp_queue_bind(link->state, channel, amqp_cstring_bytes(queue), amqp_cstring_bytes(r->exchange),
				ms_rabbit_bytes(topic), amqp_empty_table);
		if (!ms_link_ok(link, "binding a queue"))
			return false;
	}
	return true;
}

static bool is_listed(struct slice topics, struct slice wanted)
{
	struct slice topic;
	while (ms_slice_next(&topics, ' ', &topic)) {
		if (ms_slice_eq(topic, wanted))
			return true;
	}
	return false;
}

bool ms_rabbit_unbind(struct link *link, amqp_channel_t channel, struct slice name, struct slice topics,
		      struct slice keep)
{
	char queue[RABBIT_NAME_MAX];
	struct slice topic;
	ms_rabbit_queue_name(link->rabbit, name, "", queue);
	while (ms_slice_next(&topics, ' ', &topic)) {
		if (is_listed(keep, topic))
			continue;
		amqp_queue_unbind(link->state, channel, amqp_cstring_bytes(queue),
				  amqp_cstring_bytes(link->rabbit->exchange), ms_rabbit_bytes(topic), amqp_empty_table);
		if (!ms_link_ok(link, "removing a binding"))
			return false;
	}
	return true;
}
