// SPDX-License-Identifier: Apache-2.0
// The RabbitMQ driver's life.
#include "bus/rabbitmq/internal.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static enum ms_err parse_url(struct rabbitmq *r, const struct bus_options *options, struct errinfo *info)
{
	r->url = strdup(options->url);
	if (r->url == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the bus");
	// The message has nothing of the address: it may hold a password.
	if (amqp_parse_url(r->url, &r->server) != AMQP_STATUS_OK)
		return ms_fail(
			info, MS_ERR_CONFIG,
			"bus.url: the address of RabbitMQ is not of the form amqp://user:password@host:port/vhost (or "
			"amqps://)");
	if (r->server.vhost[0] == '\0')
		r->server.vhost = (char *)(uintptr_t) "/"; // "amqp://host/" means the default one to most clients
	if (options->tls_ca != NULL && options->tls_ca[0] != '\0') {
		r->tls_ca = strdup(options->tls_ca);
		if (r->tls_ca == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the bus");
	}
	return MS_OK;
}

static enum ms_err name_exchanges(struct rabbitmq *r, const char *exchange, struct errinfo *info)
{
	struct slice name = ms_slice_cstr(exchange != NULL && exchange[0] != '\0' ? exchange : "mainstay");
	if (!ms_bus_topic_ok(name) || name.n > 100)
		return ms_fail(info, MS_ERR_CONFIG,
			       "bus.exchange \"%.128s\" is not made of words of a-z, 0-9, '_' and '-' divided by dots",
			       name.p);
	snprintf(r->exchange, sizeof(r->exchange), "%s", name.p);
	snprintf(r->dead_exchange, sizeof(r->dead_exchange), "%s.dead", name.p);
	return MS_OK;
}

enum ms_err ms_rabbitmq_check(const char *url, const char *exchange, struct errinfo *info)
{
	struct rabbitmq r = {0};
	const struct bus_options options = {.url = url};
	enum ms_err err = parse_url(&r, &options, info);
	if (err == MS_OK)
		err = name_exchanges(&r, exchange, info);
	free(r.url);
	return err;
}

static enum ms_err init_link(struct rabbitmq *r, struct link *link, const char *purpose, struct errinfo *info)
{
	link->rabbit = r;
	link->purpose = purpose;
	ms_random_bytes(&link->jitter, sizeof(link->jitter));
	link->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return link->wake >= 0 ? MS_OK : ms_fail(info, MS_ERR_LIMIT, "no descriptor left for the bus");
}

enum ms_err ms_rabbitmq_new(struct bus *bus, const struct bus_options *options, struct errinfo *info,
			    struct rabbitmq **ret_rabbitmq)
{
	struct rabbitmq *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the bus");
	r->bus = bus;
	r->publisher.wake = r->consumer.wake = -1;
	pthread_mutex_init(&r->lock, NULL);
	enum ms_err err = parse_url(r, options, info);
	if (err == MS_OK)
		err = name_exchanges(r, options->exchange, info);
	if (err == MS_OK)
		err = init_link(r, &r->publisher, "publisher", info);
	if (err == MS_OK)
		err = init_link(r, &r->consumer, "consumer", info);
	if (err != MS_OK) {
		ms_rabbitmq_free(r);
		return err;
	}
	*ret_rabbitmq = r;
	return MS_OK;
}

enum ms_err ms_rabbitmq_start(struct rabbitmq *r, struct errinfo *info)
{
	MS_TRY(ms_thread_new("bus-publisher", ms_rabbit_publisher, r, info, &r->publisher_thread));
	if (r->bus->subscription_count == 0)
		return MS_OK;
	return ms_thread_new("bus-consumer", ms_rabbit_consumer, r, info, &r->consumer_thread);
}

void ms_rabbitmq_stop(struct rabbitmq *r)
{
	atomic_store(&r->stopping, true);
	ms_link_wake(&r->publisher);
	ms_link_wake(&r->consumer);
	ms_thread_join(r->publisher_thread);
	ms_thread_join(r->consumer_thread);
	r->publisher_thread = r->consumer_thread = NULL;
}

static void close_wake(const struct link *link)
{
	if (link->wake >= 0)
		close(link->wake);
}

void ms_rabbitmq_free(struct rabbitmq *r)
{
	if (r == NULL)
		return;
	while (r->answers != NULL) {
		struct delivery *next = r->answers->next;
		free(r->answers);
		r->answers = next;
	}
	ms_bus_known_free(r->known);
	ms_bus_known_free(r->declared);
	close_wake(&r->publisher);
	close_wake(&r->consumer);
	pthread_mutex_destroy(&r->lock);
	free(r->tls_ca);
	free(r->url);
	free(r);
}

bool ms_rabbitmq_connected(const struct rabbitmq *r)
{
	return atomic_load(&r->publisher.up) && (r->bus->subscription_count == 0 || atomic_load(&r->consumer.up));
}
