// SPDX-License-Identifier: Apache-2.0
// The bus: its parts made, started and stopped; metrics; the hourly sweep.
#include <stdlib.h>

#include "bus/private.h"
#include "bus/rabbitmq/rabbitmq.h"

#define LEASE_MS 30000
#define DEAD_AGE_HOURS (30 * 24)
#define DEAD_LIMIT 10000
#define TOPIC_CLASSES_MAX 64

// --- Metrics -----------------------------------------------------------------------------------------

static const char *const stage_names[STAGE_COUNT] = {"published", "delivered", "acknowledged", "rejected", "dead"};

void ms_bus_count(const struct bus *bus, enum bus_stage stage, struct slice topic, const struct loop *loop)
{
	if (bus->events == NULL)
		return;
	const struct slice values[] = {ms_slice_cstr(stage_names[stage]), ms_bus_topic_class(topic)};
	ms_counter_add(ms_metrics_series(bus->events, values), ms_loop_index(loop), 1);
}

static void collect(void *arg)
{
	struct bus *bus = arg;
	int64_t oldest_us = atomic_load(&bus->oldest_us), now_us = ms_clock_wall_ns() / 1000;
	ms_gauge_set(bus->outbox_age, oldest_us > 0 && oldest_us < now_us ? (double)(now_us - oldest_us) / 1e6 : 0.0);
	ms_gauge_set(bus->connected, ms_bus_healthy(bus) ? 1.0 : 0.0);
}

static struct metric_series *gauge(struct metrics *metrics, const struct metric_options *options)
{
	struct metric_family *family = ms_metrics_family(metrics, options);
	return family != NULL ? ms_metrics_series(family, NULL) : NULL;
}

static enum ms_err make_metrics(struct bus *bus, struct metrics *metrics, struct errinfo *info)
{
	static const char *const labels[] = {"stage", "topic"};
	if (metrics == NULL)
		return MS_OK;
	bus->events = ms_metrics_family(
		metrics,
		&(struct metric_options){.name = "bus_events_total",
					 .help = "Events by what happened to them and the first word of their topic.",
					 .type = METRIC_COUNTER,
					 .labels = labels,
					 .label_count = MS_ARRAY_LEN(labels),
					 .max_series = STAGE_COUNT * TOPIC_CLASSES_MAX});
	bus->outbox_depth = gauge(metrics, &(struct metric_options){.name = "bus_outbox_events",
								    .help = "Events that wait in the outbox.",
								    .type = METRIC_GAUGE});
	bus->outbox_age =
		gauge(metrics, &(struct metric_options){.name = "bus_outbox_oldest_seconds",
							.help = "How long the oldest event waits in the outbox.",
							.unit = "seconds",
							.type = METRIC_GAUGE});
	bus->connected = gauge(
		metrics, &(struct metric_options){.name = "bus_connected",
						  .help = "1 while the broker is connected, or none is configured.",
						  .type = METRIC_GAUGE});
	if (bus->events == NULL || bus->outbox_depth == NULL || bus->outbox_age == NULL || bus->connected == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for metrics");
	return MS_OK;
}

// --- Sweep -------------------------------------------------------------------------------------------

static void swept(struct store_work *work)
{
	struct bus *bus = MS_CONTAINER_OF(work, struct bus, sweep_work);
	bus->sweeping = false;
	if (work->err != MS_OK && !bus->stopped)
		ms_log(bus->log, LOG_WARN, "old events could not be removed; trying again in an hour",
		       MS_LOG_CSTR("error.message", work->info.message));
	else if (work->err == MS_OK && (bus->sweep.dropped > 0 || bus->sweep.forgotten > 0))
		ms_log(bus->log, LOG_WARN, "old dead letters and unused subscriptions were removed",
		       MS_LOG_INT("mainstay.dead_letters", (int64_t)bus->sweep.dropped),
		       MS_LOG_INT("mainstay.subscriptions", (int64_t)bus->sweep.forgotten));
}

static void on_sweep(struct timer *timer, void *arg)
{
	struct bus *bus = arg;
	(void)timer;
	if (bus->sweeping)
		return;
	bus->sweeping = ms_store_write(bus->store, &bus->sweep_work, ms_rt_loop(bus->rt, 0), ms_bus_queue_sweep,
				       &bus->sweep, swept) == MS_OK;
}

// --- Life --------------------------------------------------------------------------------------------

static void name_holder(struct bus *bus, const char *process)
{
	uint64_t nonce;
	ms_random_bytes(&nonce, sizeof(nonce));
	snprintf(bus->holder, sizeof(bus->holder), "%.64s/%016llx", process != NULL ? process : "mainstay",
		 (unsigned long long)nonce);
}

static enum ms_err make_parts(struct bus *bus, const struct bus_options *options, struct errinfo *info)
{
	MS_TRY(make_metrics(bus, options->metrics, info));
	MS_TRY(ms_timer_new(ms_rt_loop(bus->rt, 0), on_sweep, bus, &bus->sweep_timer));
	if (options->url != NULL && options->url[0] != '\0')
		MS_TRY(ms_rabbitmq_new(bus, options, info, &bus->rabbitmq));
	MS_TRY(ms_bus_relay_new(bus, info, &bus->relay));
	// Last: nothing takes a collector back.
	if (options->metrics != NULL && !ms_metrics_on_collect(options->metrics, collect, bus))
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for metrics");
	return MS_OK;
}

enum ms_err ms_bus_new(const struct bus_options *options, struct errinfo *info, struct bus **ret_bus)
{
	struct bus *bus = calloc(1, sizeof(*bus));
	if (bus == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the bus");
	bus->store = options->store;
	bus->rt = options->rt;
	bus->log = options->log;
	bus->lease_us = (int64_t)(options->lease_ms > 0 ? options->lease_ms : LEASE_MS) * 1000;
	bus->skip_locked = strcmp(ms_store_kind(options->store), "postgres") == 0;
	bus->sweep = (struct queue_sweep){
		.bus = bus,
		.dead_age_us =
			(int64_t)(options->dead_hours > 0 ? options->dead_hours : DEAD_AGE_HOURS) * 3600 * 1000000,
		.dead_limit = options->dead_limit > 0 ? options->dead_limit : DEAD_LIMIT,
	};
	name_holder(bus, options->process);
	enum ms_err err = make_parts(bus, options, info);
	if (err != MS_OK) {
		ms_bus_stop(bus);
		ms_bus_free(bus);
		return err;
	}
	*ret_bus = bus;
	return MS_OK;
}

enum ms_err ms_bus_subscribe(struct bus *bus, const struct bus_subscription *subscription, struct errinfo *info)
{
	MS_ASSERT(!bus->started);
	for (size_t i = 0; i < bus->subscription_count; i++) {
		if (strcmp(bus->subscriptions[i]->name, subscription->name) == 0)
			return ms_fail(info, MS_ERR_CONFLICT, "subscription %s is there already", subscription->name);
	}
	if (bus->subscription_count == BUS_SUBSCRIPTIONS_MAX)
		return ms_fail(info, MS_ERR_LIMIT, "more than %d subscriptions", BUS_SUBSCRIPTIONS_MAX);
	struct subscription *s;
	MS_TRY(ms_bus_subscription_new(bus, subscription, info, &s));
	s->index = bus->subscription_count;
	bus->subscriptions[bus->subscription_count++] = s;
	return MS_OK;
}

enum ms_err ms_bus_start(struct bus *bus, struct errinfo *info)
{
	MS_ASSERT(!bus->started);
	bus->started = true;
	if (bus->rabbitmq != NULL)
		MS_TRY(ms_rabbitmq_start(bus->rabbitmq, info));
	for (size_t i = 0; i < bus->subscription_count; i++)
		ms_bus_subscription_start(bus->subscriptions[i]);
	ms_bus_relay_start(bus->relay);
	ms_timer_start(bus->sweep_timer, 1000, BUS_SWEEP_MS);
	return MS_OK;
}

void ms_bus_stop(struct bus *bus)
{
	bus->stopped = true;
	ms_timer_free(bus->sweep_timer);
	bus->sweep_timer = NULL;
	if (bus->rabbitmq != NULL)
		ms_rabbitmq_stop(bus->rabbitmq);
	if (bus->relay != NULL)
		ms_bus_relay_stop(bus->relay);
	for (size_t i = 0; i < bus->subscription_count; i++)
		ms_bus_subscription_stop(bus->subscriptions[i]);
	// Otherwise they come back when the leases end. A database that is away is not waited for.
	if (bus->started && ms_store_healthy(bus->store))
		MS_IGNORE(ms_store_write_wait(bus->store, ms_bus_queue_release, bus->holder, NULL));
}

void ms_bus_free(struct bus *bus)
{
	if (bus == NULL)
		return;
	for (size_t i = 0; i < bus->subscription_count; i++)
		ms_bus_subscription_free(bus->subscriptions[i]);
	ms_bus_relay_free(bus->relay);
	ms_rabbitmq_free(bus->rabbitmq);
	free(bus);
}

const char *ms_bus_kind(const struct bus *bus)
{
	return bus->rabbitmq == NULL ? "in process" : "rabbitmq";
}

bool ms_bus_healthy(const struct bus *bus)
{
	return bus->rabbitmq == NULL || ms_rabbitmq_connected(bus->rabbitmq);
}
