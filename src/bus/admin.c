// SPDX-License-Identifier: Apache-2.0
// For operators: what waits where, and the dead letters. All in transactions of the caller, without a running bus.
#include "bus/private.h"

// --- Status ------------------------------------------------------------------------------------------

static enum ms_err outbox_status(struct store_tx *tx, struct bus_status *status, struct errinfo *info)
{
	struct outbox_figures figures;
	struct store_rows rows;
	MS_TRY(ms_bus_outbox_figures(tx, &figures, info));
	status->outbox = figures.waiting;
	status->outbox_oldest_us = figures.oldest_us;
	MS_TRY(ms_store_query(tx, "SELECT holder, until_us FROM bus_relay WHERE name = 'outbox'", MS_STORE_NO_PARAMS, 1,
			      info, &rows));
	if (rows.count > 0 && ms_store_get_int(&rows, 0, 1) > ms_store_now_us(tx))
		status->relay = ms_store_get_text(&rows, 0, 0);
	return MS_OK;
}

static struct bus_queue_status *find_queue(struct bus_status *status, struct slice name)
{
	for (size_t i = 0; i < status->queue_count; i++) {
		if (ms_slice_eq(status->queues[i].name, name))
			return &status->queues[i];
	}
	return NULL;
}

// Of what stands in the database with no subscription (any more) too: dead letters outlive it.
static enum ms_err list_queues(struct store_tx *tx, struct bus_status *status, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(
		tx,
		"SELECT n.name, s.topics, s.attempts, s.seen_us FROM (SELECT name FROM bus_subscriptions UNION"
		" SELECT subscription FROM bus_queue UNION SELECT subscription FROM bus_dead) n"
		" LEFT JOIN bus_subscriptions s ON s.name = n.name ORDER BY n.name",
		MS_STORE_NO_PARAMS, BUS_KNOWN_MAX, info, &rows));
	status->queues = MS_ARENA_ARRAY(ms_store_arena(tx), struct bus_queue_status, rows.count);
	if (status->queues == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < rows.count; i++)
		status->queues[i] = (struct bus_queue_status){.name = ms_store_get_text(&rows, i, 0),
							      .topics = ms_store_get_text(&rows, i, 1),
							      .attempts = (unsigned)ms_store_get_int(&rows, i, 2),
							      .seen_us = ms_store_get_int(&rows, i, 3)};
	status->queue_count = rows.count;
	return MS_OK;
}

enum ms_err ms_bus_status(struct store_tx *tx, struct errinfo *info, struct bus_status *ret_status)
{
	struct bus_status status = {0};
	struct store_rows rows;
	MS_TRY(outbox_status(tx, &status, info));
	MS_TRY(list_queues(tx, &status, info));
	MS_TRY(ms_store_query(
		tx,
		"SELECT subscription, COUNT(*), SUM(CASE WHEN holder <> '' AND due_us > $1 THEN 1 ELSE 0 END),"
		" SUM(CASE WHEN holder = '' AND due_us > $1 THEN 1 ELSE 0 END), MIN(seq)"
		" FROM bus_queue GROUP BY subscription",
		MS_STORE_PARAMS(ms_store_int(ms_store_now_us(tx))), BUS_KNOWN_MAX, info, &rows));
	for (size_t i = 0; i < rows.count; i++) {
		struct bus_queue_status *q = find_queue(&status, ms_store_get_text(&rows, i, 0));
		if (q == NULL)
			continue;
		uint64_t all = (uint64_t)ms_store_get_int(&rows, i, 1);
		q->held = (uint64_t)ms_store_get_int(&rows, i, 2);
		q->later = (uint64_t)ms_store_get_int(&rows, i, 3);
		q->ready = all - q->held - q->later;
		q->oldest_us = ms_store_get_int(&rows, i, 4) / 1000;
	}
	MS_TRY(ms_store_query(tx, "SELECT subscription, COUNT(*) FROM bus_dead GROUP BY subscription",
			      MS_STORE_NO_PARAMS, BUS_KNOWN_MAX, info, &rows));
	for (size_t i = 0; i < rows.count; i++) {
		struct bus_queue_status *q = find_queue(&status, ms_store_get_text(&rows, i, 0));
		if (q != NULL)
			q->dead = (uint64_t)ms_store_get_int(&rows, i, 1);
	}
	*ret_status = status;
	return MS_OK;
}

// --- Dead letters ------------------------------------------------------------------------------------

enum ms_err ms_bus_dead_list(struct store_tx *tx, struct slice subscription, size_t max, struct errinfo *info,
			     struct bus_dead **ret_dead, size_t *ret_count)
{
	struct store_rows rows;
	struct slice any = subscription.n > 0 ? subscription : MS_SLICE_LIT("");
	MS_TRY(ms_store_query(tx,
			      "SELECT subscription, id, topic, payload, reason, seq, dead_us, attempts FROM bus_dead"
			      " WHERE subscription = $1 OR $1 = '' ORDER BY dead_us DESC, subscription, id LIMIT $2",
			      MS_STORE_PARAMS(ms_store_text(any), ms_store_int((int64_t)max)), max, info, &rows));
	struct bus_dead *dead = MS_ARENA_ARRAY(ms_store_arena(tx), struct bus_dead, rows.count);
	if (dead == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < rows.count; i++)
		dead[i] = (struct bus_dead){.subscription = ms_store_get_text(&rows, i, 0),
					    .id = ms_store_get_text(&rows, i, 1),
					    .topic = ms_store_get_text(&rows, i, 2),
					    .payload = ms_store_get_text(&rows, i, 3),
					    .reason = ms_store_get_text(&rows, i, 4),
					    .published_us = ms_store_get_int(&rows, i, 5) / 1000,
					    .dead_us = ms_store_get_int(&rows, i, 6),
					    .attempts = (unsigned)ms_store_get_int(&rows, i, 7)};
	*ret_dead = dead;
	*ret_count = rows.count;
	return MS_OK;
}

enum ms_err ms_bus_redrive(struct store_tx *tx, struct slice subscription, struct slice id, struct errinfo *info,
			   uint64_t *ret_count)
{
	const struct store_value name = ms_store_text(subscription);
	const struct store_value one = ms_store_text(id.n > 0 ? id : MS_SLICE_LIT(""));
	uint64_t count;
	MS_TRY(ms_store_run(
		tx,
		"INSERT INTO bus_queue (subscription, id, seq, topic, payload, attempt, due_us, holder, reason)"
		" SELECT subscription, id, seq, topic, payload, 0, $3, '', reason FROM bus_dead"
		" WHERE subscription = $1 AND (id = $2 OR $2 = '') ON CONFLICT (subscription, id) DO NOTHING",
		MS_STORE_PARAMS(name, one, ms_store_int(ms_store_now_us(tx))), info, NULL));
	MS_TRY(ms_store_run(tx, "DELETE FROM bus_dead WHERE subscription = $1 AND (id = $2 OR $2 = '')",
			    MS_STORE_PARAMS(name, one), info, &count));
	if (count == 0 && id.n > 0)
		return ms_fail(info, MS_ERR_NOT_FOUND, "subscription %.*s has no dead letter %.*s",
			       MS_SLICE_ARG(subscription), MS_SLICE_ARG(id));
	*ret_count = count;
	return count > 0 ? ms_store_notify(tx, BUS_CHANNEL_QUEUE, info) : MS_OK;
}
