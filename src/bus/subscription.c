// SPDX-License-Identifier: Apache-2.0
// A subscription in this process: takes events from its queue in the store (and, with a broker, gets new ones from there), hands at
// most `prefetch` at a time to its consumer, and ends what the consumer ended. All on its own loop; nothing is polled: notices of the
// store and one timer for the next event that will be due say when to look.
#include <stdlib.h>

#include "bus/private.h"
#include "bus/rabbitmq/rabbitmq.h"

#define BACKOFF_FIRST_MS 1000
#define BACKOFF_LAST_MS 300000
#define STORE_RETRY_FIRST_MS 100 // after the store failed
#define STORE_RETRY_LAST_MS 10000
#define LOOK_AGAIN_MS 1000 // what was due was being taken by another process

static void pump(struct subscription *s);

static void on_pump(struct mail *mail)
{
	struct subscription *s = MS_CONTAINER_OF(mail, struct subscription, pump);
	s->pump_posted = false;
	pump(s);
}

// Later, not now: consumers end deliveries inside their own callback.
static void post_pump(struct subscription *s)
{
	if (s->pump_posted || s->stopped)
		return;
	s->pump_posted = true;
	ms_loop_post(s->home, &s->pump, on_pump);
}

static void free_list(struct list *list)
{
	struct list_node *node;
	while ((node = ms_list_pop(list)) != NULL)
		free(MS_CONTAINER_OF(node, struct delivery, node));
}

// --- The store fails ---------------------------------------------------------------------------------

static void on_retry(struct timer *timer, void *arg)
{
	(void)timer;
	pump(arg);
}

static void store_failed(struct subscription *s, const char *what, const struct errinfo *info)
{
	if (s->stopped)
		return;
	uint64_t after_ms =
		MS_MIN((uint64_t)STORE_RETRY_FIRST_MS << MS_MIN(s->failures, 10U), (uint64_t)STORE_RETRY_LAST_MS);
	if (s->failures++ == 0)
		ms_log(s->bus->log, LOG_WARN, "a subscription cannot reach its queue; trying again",
		       MS_LOG_CSTR("mainstay.subscription", s->name), MS_LOG_CSTR("mainstay.step", what),
		       MS_LOG_CSTR("error.message", info->message));
	ms_timer_start(s->retry, after_ms + ms_rand_below(ms_loop_rand(s->home), after_ms), 0);
}

// --- Leases ------------------------------------------------------------------------------------------

static size_t held(const struct list *list)
{
	size_t count = 0;
	MS_LIST_FOREACH (node, list)
		count += !MS_CONTAINER_OF(node, struct delivery, node)->broker;
	return count;
}

static size_t add_ids(struct slice *ids, size_t count, char **at, const struct list *list)
{
	MS_LIST_FOREACH (node, list) {
		const struct delivery *d = MS_CONTAINER_OF(node, struct delivery, node);
		if (d->broker)
			continue;
		memcpy(*at, d->pub.id.p, d->pub.id.n);
		ids[count++] = (struct slice){*at, d->pub.id.n};
		*at += d->pub.id.n;
	}
	return count;
}

static void renewed(struct store_work *work)
{
	struct subscription *s = MS_CONTAINER_OF(work, struct subscription, renew_work);
	s->renewing = false;
	free(s->renew.ids);
	s->renew.ids = NULL;
	if (work->err != MS_OK && !s->stopped)
		ms_log(s->bus->log, LOG_WARN, "the lease of events could not be renewed; they may be delivered again",
		       MS_LOG_CSTR("mainstay.subscription", s->name), MS_LOG_CSTR("error.message", work->info.message));
}

// While deliveries are with the consumer, or their end with the store.
static void on_renew(struct timer *timer, void *arg)
{
	struct subscription *s = arg;
	size_t count = held(&s->out) + held(&s->ended);
	if (count == 0) {
		ms_timer_stop(timer);
		s->renew_on = false;
		return;
	}
	if (s->renewing)
		return;
	// A copy: deliveries end while the transaction runs.
	s->renew.ids = malloc(count * (sizeof(*s->renew.ids) + BUS_ID_MAX));
	if (s->renew.ids == NULL)
		return; // the next turn of the timer comes before the lease ends
	char *at = (char *)(s->renew.ids + count);
	s->renew.count = add_ids(s->renew.ids, 0, &at, &s->out);
	s->renew.count = add_ids(s->renew.ids, s->renew.count, &at, &s->ended);
	s->renewing = true;
	if (ms_store_write(s->bus->store, &s->renew_work, s->home, ms_bus_queue_renew, &s->renew, renewed) != MS_OK) {
		s->renewing = false;
		free(s->renew.ids);
		s->renew.ids = NULL;
	}
}

static void keep_lease(struct subscription *s)
{
	uint64_t period_ms = (uint64_t)(s->bus->lease_us / 3000);
	if (!s->renew_on)
		ms_timer_start(s->renew_timer, period_ms, period_ms);
	s->renew_on = true;
}

// --- Delivery ----------------------------------------------------------------------------------------

static void deliver(struct subscription *s, struct delivery *d)
{
	ms_list_append(&s->out, &d->node);
	ms_bus_count(s->bus, STAGE_DELIVERED, d->pub.topic, s->home);
	if (!d->broker)
		keep_lease(s);
	s->deliver(&d->pub, s->arg);
}

static struct delivery *find(const struct list *list, struct slice id)
{
	MS_LIST_FOREACH (node, list) {
		struct delivery *d = MS_CONTAINER_OF(node, struct delivery, node);
		if (ms_slice_eq(d->pub.id, id))
			return d;
	}
	return NULL;
}

static struct delivery *find_here(const struct subscription *s, struct slice id)
{
	const struct list *const lists[] = {&s->waiting, &s->out, &s->ended, &s->ending};
	for (size_t i = 0; i < MS_ARRAY_LEN(lists); i++) {
		struct delivery *d = find(lists[i], id);
		if (d != NULL)
			return d;
	}
	return NULL;
}

static void claimed(struct store_work *work)
{
	struct subscription *s = MS_CONTAINER_OF(work, struct subscription, claim_work);
	struct queue_claim *claim = &s->claim;
	s->claiming = false;
	s->claim_room = 0;
	if (s->stopped || work->err != MS_OK) {
		// When the commit is unknown they may be leased to us: they come back when the lease ends.
		ms_bus_queue_claim_clear(claim);
		s->want_claim = true;
		store_failed(s, "claim", &work->info);
		return;
	}
	s->failures = 0;
	if (claim->died > 0)
		ms_log(s->bus->log, LOG_WARN,
		       "events went to the dead letters: the process ended during their last attempt",
		       MS_LOG_CSTR("mainstay.subscription", s->name),
		       MS_LOG_INT("mainstay.events", (int64_t)claim->died));
	bool all = claim->found_count + claim->died == claim->count;
	while (claim->found != NULL) {
		struct delivery *d = claim->found;
		claim->found = d->next;
		d->next = NULL;
		if (find_here(s, d->pub.id) != NULL)
			free(d); // its lease had ended while it is still handled here; now it is held again
		else
			deliver(s, d);
	}
	if (all)
		s->want_claim = true;
	else if (claim->due_us != INT64_MAX) {
		int64_t wait_us = claim->due_us - claim->now_us;
		ms_timer_start(s->due, wait_us > 0 ? (uint64_t)wait_us / 1000 + 1 : LOOK_AGAIN_MS, 0);
	}
	pump(s);
}

static void start_claim(struct subscription *s, size_t room)
{
	s->claim.count = MS_MIN(room, (size_t)BUS_CLAIM_EVENTS);
	s->claim_room = s->claim.count;
	s->claiming = true;
	s->want_claim = false;
	ms_timer_stop(s->due);
	enum ms_err err =
		ms_store_write(s->bus->store, &s->claim_work, s->home, ms_bus_queue_claim, &s->claim, claimed);
	if (err == MS_OK)
		return;
	s->claiming = false;
	s->claim_room = 0;
	s->want_claim = true;
	store_failed(s, "claim", &(struct errinfo){.code = err, .message = "the store takes no more work"});
}

static void on_notice(void *arg)
{
	struct subscription *s = arg;
	s->want_claim = true;
	if (!s->stopped)
		pump(s);
}

static void on_due(struct timer *timer, void *arg)
{
	(void)timer;
	on_notice(arg);
}

// --- From the broker ---------------------------------------------------------------------------------

void ms_bus_subscription_arrive(struct subscription *s, struct delivery *d)
{
	struct delivery *here = s->stopped ? NULL : find_here(s, d->pub.id);
	if (s->stopped || !ms_rabbitmq_is_current(s->bus->rabbitmq, d)) {
		free(d); // the broker delivers it again
		return;
	}
	if (here != NULL && here->broker) {
		// The connection broke while it was here: the end of the first delivery answers for this one.
		here->tag = d->tag;
		here->generation = d->generation;
		free(d);
		return;
	}
	if (d->again) {
		// A process or a connection may have died of it. The store counts attempts, the broker does not.
		d->end = END_PARK;
		d->pub.attempt = 0;
		d->due_us = ms_loop_wall_ns(s->home) / 1000;
		ms_list_append(&s->ended, &d->node);
	} else
		ms_list_append(&s->waiting, &d->node);
	post_pump(s);
}

// --- The end of a delivery ---------------------------------------------------------------------------

static struct delivery *take_out(struct bus_delivery *delivery)
{
	struct delivery *d = delivery->token;
	MS_ASSERT(d->end == END_NONE);
	ms_list_remove(&d->subscription->out, &d->node);
	return d;
}

static void set_reason(struct delivery *d, const char *reason)
{
	size_t i = 0;
	for (; reason != NULL && reason[i] != '\0' && i + 1 < sizeof(d->reason); i++)
		d->reason[i] = (char)(reason[i] >= ' ' && reason[i] <= '~' ? reason[i] : '?');
	d->reason[i] = '\0';
}

void ms_bus_ack(struct bus_delivery *delivery)
{
	struct delivery *d = take_out(delivery);
	struct subscription *s = d->subscription;
	ms_bus_count(s->bus, STAGE_ACKNOWLEDGED, d->pub.topic, s->home);
	d->end = END_ACK;
	if (d->broker)
		ms_rabbitmq_answer(s->bus->rabbitmq, d);
	else
		ms_list_append(&s->ended, &d->node);
	post_pump(s);
}

static int64_t backoff_us(struct subscription *s, unsigned attempt)
{
	uint64_t ms = MS_MIN((uint64_t)BACKOFF_FIRST_MS << MS_MIN(attempt - 1, 10U), (uint64_t)BACKOFF_LAST_MS);
	return (int64_t)(ms * 750 + ms_rand_below(ms_loop_rand(s->home), ms * 500)); // three quarters to five quarters
}

void ms_bus_reject(struct bus_delivery *delivery, const char *reason)
{
	struct delivery *d = take_out(delivery);
	struct subscription *s = d->subscription;
	bool dead = d->pub.attempt >= s->attempts;
	ms_bus_count(s->bus, dead ? STAGE_DEAD : STAGE_REJECTED, d->pub.topic, s->home);
	set_reason(d, reason);
	d->end = dead ? END_DEAD : END_RETRY;
	d->due_us = ms_loop_wall_ns(s->home) / 1000 + backoff_us(s, d->pub.attempt);
	if (dead)
		ms_log(s->bus->log, LOG_WARN, "an event went to the dead letters",
		       MS_LOG_CSTR("mainstay.subscription", s->name), MS_LOG_STR("event.id", d->pub.id),
		       MS_LOG_STR("mainstay.topic", d->pub.topic), MS_LOG_CSTR("event.reason", d->reason));
	ms_list_append(&s->ended, &d->node);
	post_pump(s);
}

static void ended(struct store_work *work)
{
	struct subscription *s = MS_CONTAINER_OF(work, struct subscription, end_work);
	struct list_node *node;
	s->end_running = false;
	if (work->err != MS_OK) {
		// Back in front; every statement of it may be repeated.
		while ((node = ms_list_pop(&s->ended)) != NULL)
			ms_list_append(&s->ending, node);
		while ((node = ms_list_pop(&s->ending)) != NULL)
			ms_list_append(&s->ended, node);
		store_failed(s, "end", &work->info);
		return;
	}
	s->failures = 0;
	while ((node = ms_list_pop(&s->ending)) != NULL) {
		struct delivery *d = MS_CONTAINER_OF(node, struct delivery, node);
		if (d->broker)
			ms_rabbitmq_answer(s->bus->rabbitmq, d); // safe in the store: the broker may forget it
		else
			free(d);
	}
	if (!s->stopped)
		pump(s);
}

static void start_end(struct subscription *s)
{
	struct list_node *node;
	while ((node = ms_list_pop(&s->ended)) != NULL)
		ms_list_append(&s->ending, node);
	s->end_running = true;
	enum ms_err err = ms_store_write(s->bus->store, &s->end_work, s->home, ms_bus_queue_end, &s->end, ended);
	if (err == MS_OK)
		return;
	s->end_work.err = err;
	s->end_work.info = (struct errinfo){.code = err, .message = "the store takes no more work"};
	ended(&s->end_work);
}

// --- The pump ----------------------------------------------------------------------------------------

static size_t room(const struct subscription *s)
{
	size_t taken = s->out.count + s->claim_room;
	return taken < s->prefetch ? s->prefetch - taken : 0;
}

static void pump(struct subscription *s)
{
	if (s->stopped)
		return;
	if (s->ended.count > 0 && !s->end_running)
		start_end(s);
	// Events in the store first: they have waited longer than what the broker brings.
	if (s->want_claim && !s->claiming && room(s) > 0)
		start_claim(s, room(s));
	while (room(s) > 0) {
		struct list_node *node = ms_list_pop(&s->waiting);
		if (node == NULL)
			break;
		struct delivery *d = MS_CONTAINER_OF(node, struct delivery, node);
		if (ms_rabbitmq_is_current(s->bus->rabbitmq, d))
			deliver(s, d);
		else
			free(d);
	}
}

// --- Life --------------------------------------------------------------------------------------------

static enum ms_err check_options(const struct bus_subscription *options, struct errinfo *info)
{
	struct slice name = ms_slice_cstr(options->name);
	if (!ms_bus_topic_ok(name) || name.n > BUS_NAME_MAX)
		return ms_fail(info, MS_ERR_INVALID, "\"%.*s\" is no name of a subscription", MS_SLICE_ARG(name));
	if (options->topic_count == 0 || options->topic_count > BUS_TOPICS_MAX)
		return ms_fail(info, MS_ERR_INVALID, "subscription %s has %zu topics; 1 to %d are allowed",
			       options->name, options->topic_count, BUS_TOPICS_MAX);
	for (size_t i = 0; i < options->topic_count; i++) {
		if (!ms_bus_pattern_ok(ms_slice_cstr(options->topics[i])))
			return ms_fail(info, MS_ERR_INVALID, "\"%.128s\" is no pattern of topics", options->topics[i]);
	}
	if (options->prefetch < 1 || options->prefetch > 1000 || options->attempts < 1 || options->attempts > 100)
		return ms_fail(info, MS_ERR_INVALID, "subscription %s: prefetch is 1 to 1000, attempts 1 to 100",
			       options->name);
	return MS_OK;
}

static enum ms_err join_topics(struct subscription *s, const struct bus_subscription *options, struct errinfo *info)
{
	struct buf text;
	ms_buf_init(&text, (size_t)BUS_TOPICS_MAX * (MS_BUS_TOPIC_MAX + 1) + 1);
	for (size_t i = 0; i < options->topic_count; i++)
		ms_buf_printf(&text, "%s%s", i > 0 ? " " : "", options->topics[i]);
	ms_buf_append_char(&text, '\0');
	if (!ms_buf_ok(&text)) {
		ms_buf_fini(&text);
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for subscriptions");
	}
	s->topics = text.p;
	return MS_OK;
}

static enum ms_err set_up(struct subscription *s, struct errinfo *info)
{
	MS_TRY(ms_timer_new(s->home, on_due, s, &s->due));
	MS_TRY(ms_timer_new(s->home, on_retry, s, &s->retry));
	MS_TRY(ms_timer_new(s->home, on_renew, s, &s->renew_timer));
	MS_TRY(ms_store_watch(s->bus->store, BUS_CHANNEL_QUEUE, s->home, on_notice, s));
	struct queue_register what = {.name = s->name, .topics = ms_slice_cstr(s->topics), .attempts = s->attempts};
	return ms_store_write_wait(s->bus->store, ms_bus_queue_register, &what, info);
}

enum ms_err ms_bus_subscription_new(struct bus *bus, const struct bus_subscription *options, struct errinfo *info,
				    struct subscription **ret_subscription)
{
	MS_TRY(check_options(options, info));
	struct subscription *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for subscriptions");
	s->bus = bus;
	s->home = options->home;
	s->name = options->name;
	s->prefetch = options->prefetch;
	s->attempts = options->attempts;
	s->deliver = options->deliver;
	s->arg = options->arg;
	s->want_claim = true;
	ms_list_init(&s->waiting);
	ms_list_init(&s->out);
	ms_list_init(&s->ended);
	ms_list_init(&s->ending);
	s->claim = (struct queue_claim){.name = s->name,
					.holder = bus->holder,
					.subscription = s,
					.attempts = s->attempts,
					.lease_us = bus->lease_us,
					.skip_locked = bus->skip_locked};
	s->end = (struct queue_end){.name = s->name, .holder = bus->holder, .deliveries = &s->ending};
	s->renew = (struct queue_renew){.name = s->name, .holder = bus->holder, .lease_us = bus->lease_us};
	enum ms_err err = join_topics(s, options, info);
	if (err == MS_OK)
		err = set_up(s, info);
	if (err != MS_OK) {
		ms_bus_subscription_stop(s);
		ms_bus_subscription_free(s);
		return err;
	}
	*ret_subscription = s;
	return MS_OK;
}

void ms_bus_subscription_start(struct subscription *s)
{
	post_pump(s);
}

// The loops have ended. What the consumer ended is ended in the store too; what it still has goes back with the
// release of the whole process.
void ms_bus_subscription_stop(struct subscription *s)
{
	s->stopped = true;
	ms_timer_free(s->due);
	ms_timer_free(s->retry);
	ms_timer_free(s->renew_timer);
	s->due = s->retry = s->renew_timer = NULL;
	if (s->ended.count == 0 || !ms_store_healthy(s->bus->store))
		return;
	struct queue_end rest = {.name = s->name, .holder = s->bus->holder, .deliveries = &s->ended};
	if (ms_store_write_wait(s->bus->store, ms_bus_queue_end, &rest, NULL) != MS_OK)
		return; // they are delivered again
	free_list(&s->ended);
}

void ms_bus_subscription_free(struct subscription *s)
{
	if (s == NULL)
		return;
	ms_bus_queue_claim_clear(&s->claim);
	free_list(&s->waiting);
	free_list(&s->out);
	free_list(&s->ended);
	free_list(&s->ending);
	free(s->renew.ids);
	free(s->topics);
	free(s);
}
