// SPDX-License-Identifier: Apache-2.0
// The queues in the store, one a subscription: taking with a lease, ending, dead letters, removing what is old. All of these run in
// transactions, on threads of the store.
#include <stdlib.h>

#include "bus/private.h"

struct delivery *ms_bus_delivery_new(struct subscription *s, struct slice id, struct slice topic, struct slice payload,
				     int64_t seq, unsigned attempt)
{
	struct delivery *d = malloc(sizeof(*d) + id.n + topic.n + payload.n + 3);
	if (d == NULL)
		return NULL;
	memset(d, 0, sizeof(*d));
	const struct slice texts[] = {id, topic, payload};
	struct slice *const copies[] = {&d->pub.id, &d->pub.topic, &d->pub.payload};
	char *at = d->bytes;
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		if (texts[i].n > 0)
			memcpy(at, texts[i].p, texts[i].n);
		at[texts[i].n] = '\0';
		*copies[i] = (struct slice){at, texts[i].n};
		at += texts[i].n + 1;
	}
	d->subscription = s;
	d->seq = seq;
	d->pub.published_us = seq / 1000;
	d->pub.attempt = attempt;
	d->pub.token = d;
	return d;
}

// --- Dead letters ------------------------------------------------------------------------------------

struct dead {
	struct slice subscription, id, topic, payload, reason;
	int64_t seq, attempts;
};

static enum ms_err bury(struct store_tx *tx, const struct dead *dead, struct errinfo *info)
{
	MS_TRY(ms_store_run(tx, "DELETE FROM bus_queue WHERE subscription = $1 AND id = $2",
			    MS_STORE_PARAMS(ms_store_text(dead->subscription), ms_store_text(dead->id)), info, NULL));
	return ms_store_run(
		tx,
		"INSERT INTO bus_dead (subscription, id, seq, topic, payload, attempts, reason, dead_us)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (subscription, id)"
		" DO UPDATE SET attempts = excluded.attempts, reason = excluded.reason, dead_us = excluded.dead_us",
		MS_STORE_PARAMS(ms_store_text(dead->subscription), ms_store_text(dead->id), ms_store_int(dead->seq),
				ms_store_text(dead->topic), ms_store_text(dead->payload), ms_store_int(dead->attempts),
				ms_store_text(dead->reason), ms_store_int(ms_store_now_us(tx))),
		info, NULL);
}

// --- Claim -------------------------------------------------------------------------------------------

// The first picks what is due and not being picked by another process; where the database has no SKIP LOCKED, writers follow
// one another anyway.
#define CLAIM(lock)                                                                         \
	"WITH picked AS (SELECT id FROM bus_queue WHERE subscription = $1 AND due_us <= $2" \
	" ORDER BY due_us, seq LIMIT $3" lock ")"                                           \
	" UPDATE bus_queue SET holder = $4, due_us = $5, attempt = attempt + 1"             \
	" WHERE subscription = $1 AND due_us <= $2 AND id IN (SELECT id FROM picked)"       \
	" RETURNING id, seq, topic, payload, attempt, reason"
static const char claim_alone[] = CLAIM("");
static const char claim_shared[] = CLAIM(" FOR UPDATE SKIP LOCKED");

void ms_bus_queue_claim_clear(struct queue_claim *claim)
{
	while (claim->found != NULL) {
		struct delivery *next = claim->found->next;
		free(claim->found);
		claim->found = next;
	}
	claim->found_count = 0;
	claim->died = 0;
}

// RETURNING gives rows in no order.
static void insert_in_order(struct queue_claim *claim, struct delivery *d)
{
	struct delivery **at = &claim->found;
	while (*at != NULL &&
	       ((*at)->seq < d->seq || ((*at)->seq == d->seq && ms_slice_cmp((*at)->pub.id, d->pub.id) < 0)))
		at = &(*at)->next;
	d->next = *at;
	*at = d;
	claim->found_count++;
}

// An attempt beyond the last: the process ended during that one, maybe because of the event.
static enum ms_err bury_row(struct store_tx *tx, struct queue_claim *claim, const struct store_rows *rows, size_t row,
			    struct errinfo *info)
{
	char reason[BUS_REASON_MAX];
	struct slice before = ms_store_get_text(rows, row, 5);
	snprintf(reason, sizeof(reason), "the process ended during the last attempt%s%.*s",
		 before.n > 0 ? "; before: " : "", (int)MS_MIN(before.n, (size_t)100), before.n > 0 ? before.p : "");
	const struct dead dead = {.subscription = ms_slice_cstr(claim->name),
				  .id = ms_store_get_text(rows, row, 0),
				  .seq = ms_store_get_int(rows, row, 1),
				  .topic = ms_store_get_text(rows, row, 2),
				  .payload = ms_store_get_text(rows, row, 3),
				  .attempts = ms_store_get_int(rows, row, 4) - 1,
				  .reason = ms_slice_cstr(reason)};
	claim->died++;
	return bury(tx, &dead, info);
}

static enum ms_err look_ahead(struct store_tx *tx, struct queue_claim *claim, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT MIN(due_us) FROM bus_queue WHERE subscription = $1",
			      MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(claim->name))), 1, info, &rows));
	claim->due_us = ms_store_is_null(&rows, 0, 0) ? INT64_MAX : ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

enum ms_err ms_bus_queue_claim(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct queue_claim *claim = arg;
	struct store_rows rows;
	int64_t now_us = ms_store_now_us(tx);
	ms_bus_queue_claim_clear(claim);
	claim->now_us = now_us;
	MS_TRY(look_ahead(tx, claim, info));
	if (claim->due_us > now_us)
		return MS_OK;
	MS_TRY(ms_store_query(tx, claim->skip_locked ? claim_shared : claim_alone,
			      MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(claim->name)), ms_store_int(now_us),
					      ms_store_int((int64_t)claim->count),
					      ms_store_text(ms_slice_cstr(claim->holder)),
					      ms_store_int(now_us + claim->lease_us)),
			      claim->count, info, &rows));
	for (size_t i = 0; i < rows.count; i++) {
		int64_t attempt = ms_store_get_int(&rows, i, 4);
		if (attempt > claim->attempts) {
			MS_TRY(bury_row(tx, claim, &rows, i, info));
			continue;
		}
		struct delivery *d = ms_bus_delivery_new(claim->subscription, ms_store_get_text(&rows, i, 0),
							 ms_store_get_text(&rows, i, 2), ms_store_get_text(&rows, i, 3),
							 ms_store_get_int(&rows, i, 1), (unsigned)attempt);
		if (d == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for events");
		insert_in_order(claim, d);
	}
	return look_ahead(tx, claim, info);
}

// --- End of deliveries -------------------------------------------------------------------------------

static enum ms_err retry_later(struct store_tx *tx, const struct queue_end *end, const struct delivery *d,
			       struct errinfo *info)
{
	struct slice name = ms_slice_cstr(end->name), reason = ms_slice_cstr(d->reason);
	if (d->broker) // from now on it is ours
		return ms_store_run(
			tx,
			"INSERT INTO bus_queue (subscription, id, seq, topic, payload, attempt, due_us, holder, reason)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, '', $8) ON CONFLICT (subscription, id) DO NOTHING",
			MS_STORE_PARAMS(ms_store_text(name), ms_store_text(d->pub.id), ms_store_int(d->seq),
					ms_store_text(d->pub.topic), ms_store_text(d->pub.payload),
					ms_store_int(d->pub.attempt), ms_store_int(d->due_us), ms_store_text(reason)),
			info, NULL);
	// Only while it is held here: the lease may have ended, and another process may be busy with it.
	return ms_store_run(tx,
			    "UPDATE bus_queue SET holder = '', due_us = $3, reason = $4 WHERE subscription = $1 AND id "
			    "= $2 AND holder = $5",
			    MS_STORE_PARAMS(ms_store_text(name), ms_store_text(d->pub.id), ms_store_int(d->due_us),
					    ms_store_text(reason), ms_store_text(ms_slice_cstr(end->holder))),
			    info, NULL);
}

static enum ms_err end_one(struct store_tx *tx, const struct queue_end *end, const struct delivery *d,
			   struct errinfo *info)
{
	struct slice name = ms_slice_cstr(end->name);
	const struct dead dead = {.subscription = name,
				  .id = d->pub.id,
				  .topic = d->pub.topic,
				  .payload = d->pub.payload,
				  .seq = d->seq,
				  .attempts = d->pub.attempt,
				  .reason = ms_slice_cstr(d->reason)};
	switch (d->end) {
	case END_ACK: // whoever holds it now: it was handled
		return ms_store_run(tx, "DELETE FROM bus_queue WHERE subscription = $1 AND id = $2",
				    MS_STORE_PARAMS(ms_store_text(name), ms_store_text(d->pub.id)), info, NULL);
	case END_DEAD:
		return bury(tx, &dead, info);
	case END_RETRY:
	case END_PARK:
		return retry_later(tx, end, d, info);
	case END_NONE:
		break;
	}
	MS_UNREACHABLE();
}

enum ms_err ms_bus_queue_end(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct queue_end *end = arg;
	bool again = false;
	MS_LIST_FOREACH (node, end->deliveries) {
		const struct delivery *d = MS_CONTAINER_OF(node, struct delivery, node);
		again |= d->end == END_RETRY || d->end == END_PARK;
		MS_TRY(end_one(tx, end, d, info));
	}
	// Other processes plan their next look by what is due.
	return again ? ms_store_notify(tx, BUS_CHANNEL_QUEUE, info) : MS_OK;
}

static const char renew_group[] =
	"UPDATE bus_queue SET due_us = $1 WHERE subscription = $2 AND holder = $3 AND id IN "
	"($4,$5,$6,$7,$8,$9,$10,$11,$12,$13,"
	"$14,$15,$16,$17,$18,$19,$20,$21,$22,$23,$24,$25,$26,$27,$28,$29,$30,$31,$32,$33,$34,$35)";

enum ms_err ms_bus_queue_renew(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct queue_renew *renew = arg;
	struct store_value params[3 + BUS_GROUP] = {ms_store_int(ms_store_now_us(tx) + renew->lease_us),
						    ms_store_text(ms_slice_cstr(renew->name)),
						    ms_store_text(ms_slice_cstr(renew->holder))};
	for (size_t i = 0; i < renew->count; i += BUS_GROUP) {
		for (size_t k = 0; k < BUS_GROUP; k++)
			params[3 + k] = ms_store_text(renew->ids[MS_MIN(i + k, renew->count - 1)]);
		MS_TRY(ms_store_run(tx, renew_group, params, MS_ARRAY_LEN(params), info, NULL));
	}
	return MS_OK;
}

// What was held when the process ended well goes back without counting as an attempt.
enum ms_err ms_bus_queue_release(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct store_value holder = ms_store_text(ms_slice_cstr(arg));
	uint64_t changed;
	MS_TRY(ms_store_run(tx,
			    "UPDATE bus_queue SET holder = '', due_us = $2, attempt = attempt - 1 WHERE holder = $1",
			    MS_STORE_PARAMS(holder, ms_store_int(ms_store_now_us(tx))), info, &changed));
	if (changed > 0)
		MS_TRY(ms_store_notify(tx, BUS_CHANNEL_QUEUE, info));
	MS_TRY(ms_store_run(tx, "UPDATE bus_relay SET until_us = 0 WHERE holder = $1 AND until_us > 0", &holder, 1,
			    info, &changed));
	return changed > 0 ? ms_store_notify(tx, BUS_CHANNEL_OUTBOX, info) : MS_OK;
}

// --- Subscriptions and old things --------------------------------------------------------------------

enum ms_err ms_bus_queue_register(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct queue_register *what = arg;
	return ms_store_run(tx,
			    "INSERT INTO bus_subscriptions (name, topics, attempts, seen_us) VALUES ($1, $2, $3, $4)"
			    " ON CONFLICT (name) DO UPDATE SET topics = excluded.topics, attempts = excluded.attempts,"
			    " seen_us = excluded.seen_us",
			    MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(what->name)), ms_store_text(what->topics),
					    ms_store_int(what->attempts), ms_store_int(ms_store_now_us(tx))),
			    info, NULL);
}

static enum ms_err forget_subscriptions(struct store_tx *tx, struct queue_sweep *sweep, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "DELETE FROM bus_subscriptions WHERE seen_us < $1 RETURNING name",
			      MS_STORE_PARAMS(ms_store_int(ms_store_now_us(tx) - BUS_SUBSCRIPTION_DAYS * BUS_DAY_US)),
			      BUS_KNOWN_MAX, info, &rows));
	for (size_t i = 0; i < rows.count; i++)
		MS_TRY(ms_store_run(tx, "DELETE FROM bus_queue WHERE subscription = $1",
				    MS_STORE_PARAMS(ms_store_text(ms_store_get_text(&rows, i, 0))), info, NULL));
	sweep->forgotten = rows.count;
	return MS_OK;
}

// By age, and of each subscription by number: the newest stay.
static enum ms_err sweep_dead(struct store_tx *tx, struct queue_sweep *sweep, struct errinfo *info)
{
	struct store_rows rows;
	uint64_t changed;
	MS_TRY(ms_store_run(tx, "DELETE FROM bus_dead WHERE dead_us < $1",
			    MS_STORE_PARAMS(ms_store_int(ms_store_now_us(tx) - sweep->dead_age_us)), info,
			    &sweep->dropped));
	MS_TRY(ms_store_query(tx, "SELECT subscription FROM bus_dead GROUP BY subscription HAVING COUNT(*) > $1",
			      MS_STORE_PARAMS(ms_store_int((int64_t)sweep->dead_limit)), 10 * BUS_KNOWN_MAX, info,
			      &rows));
	for (size_t i = 0; i < rows.count; i++) {
		MS_TRY(ms_store_run(
			tx,
			"DELETE FROM bus_dead WHERE subscription = $1 AND id NOT IN (SELECT id FROM bus_dead"
			" WHERE subscription = $1 ORDER BY dead_us DESC, seq DESC, id DESC LIMIT $2)",
			MS_STORE_PARAMS(ms_store_text(ms_store_get_text(&rows, i, 0)),
					ms_store_int((int64_t)sweep->dead_limit)),
			info, &changed));
		sweep->dropped += changed;
	}
	return MS_OK;
}

enum ms_err ms_bus_queue_sweep(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct queue_sweep *sweep = arg;
	int64_t now_us = ms_store_now_us(tx);
	for (size_t i = 0; i < sweep->bus->subscription_count; i++)
		MS_TRY(ms_store_run(tx, "UPDATE bus_subscriptions SET seen_us = $2 WHERE name = $1",
				    MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(sweep->bus->subscriptions[i]->name)),
						    ms_store_int(now_us)),
				    info, NULL));
	MS_TRY(ms_store_run(tx, "DELETE FROM bus_ids WHERE at_us < $1",
			    MS_STORE_PARAMS(ms_store_int(now_us - BUS_ID_DAYS * BUS_DAY_US)), info, NULL));
	MS_TRY(forget_subscriptions(tx, sweep, info));
	return sweep_dead(tx, sweep, info);
}
