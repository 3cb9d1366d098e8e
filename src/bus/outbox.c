// SPDX-License-Identifier: Apache-2.0
// The outbox: publishing, and the relay's transactions. One process at a time takes events from it (a lease in
// bus_relay), so that they leave in order.
#include <stdlib.h>

#include "bus/private.h"
#include "json/json.h"

#define LEASE_SANE_US ((int64_t)3600 * 1000000)

// seq: wall nanoseconds of the publishing, which orders events as far as clocks and transactions that overlap allow.
// bus_queue.due_us: when the event may be taken; taking moves it to the end of the lease.
static const struct store_migration steps[] = {
	{"bus", 1, "outbox, subscriptions, queues and dead letters",
	 "CREATE TABLE bus_outbox (id TEXT PRIMARY KEY, seq BIGINT NOT NULL, topic TEXT NOT NULL, size BIGINT NOT NULL,"
	 " payload TEXT NOT NULL);\n"
	 "CREATE INDEX bus_outbox_order ON bus_outbox (seq, id);\n"
	 "CREATE TABLE bus_ids (id TEXT PRIMARY KEY, at_us BIGINT NOT NULL);\n"
	 "CREATE INDEX bus_ids_at ON bus_ids (at_us);\n"
	 "CREATE TABLE bus_relay (name TEXT PRIMARY KEY, holder TEXT NOT NULL, until_us BIGINT NOT NULL);\n"
	 "INSERT INTO bus_relay (name, holder, until_us) VALUES ('outbox', '', 0);\n"
	 "CREATE TABLE bus_subscriptions (name TEXT PRIMARY KEY, topics TEXT NOT NULL, attempts BIGINT NOT NULL,"
	 " seen_us BIGINT NOT NULL);\n"
	 "CREATE TABLE bus_queue (subscription TEXT NOT NULL, id TEXT NOT NULL, seq BIGINT NOT NULL, topic TEXT NOT "
	 "NULL,"
	 " payload TEXT NOT NULL, attempt BIGINT NOT NULL, due_us BIGINT NOT NULL, holder TEXT NOT NULL,"
	 " reason TEXT NOT NULL, PRIMARY KEY (subscription, id));\n"
	 "CREATE INDEX bus_queue_due ON bus_queue (subscription, due_us, seq);\n"
	 "CREATE INDEX bus_queue_holder ON bus_queue (holder);\n"
	 "CREATE TABLE bus_dead (subscription TEXT NOT NULL, id TEXT NOT NULL, seq BIGINT NOT NULL, topic TEXT NOT "
	 "NULL,"
	 " payload TEXT NOT NULL, attempts BIGINT NOT NULL, reason TEXT NOT NULL, dead_us BIGINT NOT NULL,"
	 " PRIMARY KEY (subscription, id));\n"
	 "CREATE INDEX bus_dead_at ON bus_dead (subscription, dead_us);\n"},
};

const struct store_migrations ms_bus_migrations = {.steps = steps, .count = MS_ARRAY_LEN(steps)};

// --- Publishing --------------------------------------------------------------------------------------

static enum ms_err check_event(const struct bus_event *event, struct errinfo *info)
{
	struct json_reader reader;
	if (!ms_bus_topic_ok(event->topic))
		return ms_fail(info, MS_ERR_INVALID,
			       "\"%.*s\" is no topic: words of a-z, 0-9, '_' and '-' divided by dots, at most %d bytes",
			       MS_SLICE_ARG(event->topic), MS_BUS_TOPIC_MAX);
	if (event->id.n > 0 && !ms_bus_id_ok(event->id))
		return ms_fail(info, MS_ERR_INVALID,
			       "an event's id has at most %d printable ASCII characters and no blank", BUS_ID_MAX);
	if (event->payload.n > MS_BUS_PAYLOAD_MAX)
		return ms_fail(info, MS_ERR_LIMIT, "an event of %zu bytes; at most %zu", event->payload.n,
			       MS_BUS_PAYLOAD_MAX);
	ms_json_reader_init(&reader, event->payload, NULL, NULL, info);
	if (!ms_json_skip(&reader, NULL))
		return MS_ERR_INVALID;
	return ms_json_finish(&reader) == MS_OK ? MS_OK : MS_ERR_INVALID;
}

enum ms_err ms_bus_publish(struct store_tx *tx, const struct bus_event *event, struct errinfo *info)
{
	char made[BUS_UUID_SIZE];
	struct slice id = event->id;
	int64_t wall_ns = ms_clock_wall_ns();
	MS_TRY(check_event(event, info));
	if (id.n == 0) {
		ms_bus_uuid7(wall_ns, made);
		id = ms_slice_cstr(made);
	} else {
		// The outbox forgets; this remembers what was given, for repeated requests.
		uint64_t fresh;
		MS_TRY(ms_store_run(tx, "INSERT INTO bus_ids (id, at_us) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
				    MS_STORE_PARAMS(ms_store_text(id), ms_store_int(wall_ns / 1000)), info, &fresh));
		if (fresh == 0)
			return MS_OK;
	}
	MS_TRY(ms_store_run(tx,
			    "INSERT INTO bus_outbox (id, seq, topic, size, payload) VALUES ($1, $2, $3, $4, $5)"
			    " ON CONFLICT (id) DO NOTHING",
			    MS_STORE_PARAMS(ms_store_text(id), ms_store_int(wall_ns), ms_store_text(event->topic),
					    ms_store_int((int64_t)event->payload.n), ms_store_text(event->payload)),
			    info, NULL));
	return ms_store_notify(tx, BUS_CHANNEL_OUTBOX, info);
}

// --- Events in memory --------------------------------------------------------------------------------

// Copies `text` to `at`, with a NUL behind it; returns the place after that.
static char *put(char *at, struct slice text, struct slice *ret_copy)
{
	if (text.n > 0)
		memcpy(at, text.p, text.n);
	at[text.n] = '\0';
	*ret_copy = (struct slice){at, text.n};
	return at + text.n + 1;
}

struct event *ms_bus_event_new(struct slice id, struct slice topic, struct slice payload, int64_t seq)
{
	struct event *e = malloc(sizeof(*e) + id.n + topic.n + payload.n + 3);
	if (e == NULL)
		return NULL;
	e->next = NULL;
	e->seq = seq;
	e->confirmed = false;
	char *at = put(e->bytes, id, &e->id);
	at = put(at, topic, &e->topic);
	put(at, payload, &e->payload);
	return e;
}

void ms_bus_events_free(struct event *first)
{
	while (first != NULL) {
		struct event *next = first->next;
		free(first);
		first = next;
	}
}

static struct known *known_new(struct slice name, struct slice topics)
{
	struct known *k = malloc(sizeof(*k) + name.n + topics.n + 2);
	if (k == NULL)
		return NULL;
	k->next = NULL;
	put(put(k->bytes, name, &k->name), topics, &k->topics);
	return k;
}

void ms_bus_known_free(struct known *first)
{
	while (first != NULL) {
		struct known *next = first->next;
		free(first);
		first = next;
	}
}

// --- The turn of the relay ---------------------------------------------------------------------------

void ms_bus_outbox_turn_clear(struct outbox_turn *turn)
{
	ms_bus_events_free(turn->events);
	ms_bus_known_free(turn->known);
	turn->events = NULL;
	turn->known = NULL;
	turn->blocked = false;
}

static const char delete_group[] = "DELETE FROM bus_outbox WHERE id IN "
				   "($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,"
				   "$23,$24,$25,$26,$27,$28,$29,$30,$31,$32)";

// A statement has its number of parameters; a smaller group repeats its last id.
static enum ms_err delete_ids(struct store_tx *tx, struct store_value *ids, size_t count, struct errinfo *info)
{
	if (count == 0)
		return MS_OK;
	for (size_t i = count; i < BUS_GROUP; i++)
		ids[i] = ids[count - 1];
	return ms_store_run(tx, delete_group, ids, BUS_GROUP, info, NULL);
}

static enum ms_err forget(struct store_tx *tx, const struct event *events, struct errinfo *info)
{
	struct store_value ids[BUS_GROUP];
	size_t count = 0;
	for (const struct event *e = events; e != NULL; e = e->next) {
		ids[count++] = ms_store_text(e->id);
		if (count == BUS_GROUP) {
			MS_TRY(delete_ids(tx, ids, count, info));
			count = 0;
		}
	}
	return delete_ids(tx, ids, count, info);
}

// Nothing happens to a row that another process holds: a look comes first.
static enum ms_err take_lease(struct store_tx *tx, struct outbox_turn *turn, struct errinfo *info)
{
	struct store_rows rows;
	uint64_t changed;
	int64_t now_us = ms_store_now_us(tx);
	const struct store_value holder = ms_store_text(ms_slice_cstr(turn->holder));
	MS_TRY(ms_store_query(tx, "SELECT holder, until_us FROM bus_relay WHERE name = 'outbox'", MS_STORE_NO_PARAMS, 1,
			      info, &rows));
	if (rows.count == 0)
		return ms_fail(info, MS_ERR_BUS, "the row of the outbox's lease is missing from bus_relay");
	turn->until_us = ms_store_get_int(&rows, 0, 1);
	// A lease into the far future was written by a clock that was wrong.
	turn->blocked = turn->until_us > now_us && turn->until_us - now_us < LEASE_SANE_US &&
			!ms_slice_eq(ms_store_get_text(&rows, 0, 0), holder.bytes);
	if (turn->blocked)
		return MS_OK;
	const struct store_value was = ms_store_int(turn->until_us);
	turn->until_us = now_us + turn->lease_us;
	MS_TRY(ms_store_run(tx,
			    "UPDATE bus_relay SET holder = $1, until_us = $2 WHERE name = 'outbox' AND until_us = $3",
			    MS_STORE_PARAMS(holder, ms_store_int(turn->until_us), was), info, &changed));
	turn->blocked = changed == 0;
	return MS_OK;
}

// How many of the next events fit into a batch.
static enum ms_err measure(struct store_tx *tx, struct errinfo *info, size_t *ret_count)
{
	struct store_rows rows;
	size_t count = 0, bytes = 0;
	MS_TRY(ms_store_query(tx, "SELECT size FROM bus_outbox ORDER BY seq, id LIMIT $1",
			      MS_STORE_PARAMS(ms_store_int(BUS_BATCH_EVENTS)), BUS_BATCH_EVENTS, info, &rows));
	while (count < rows.count) {
		size_t size = (size_t)ms_store_get_int(&rows, count, 0);
		if (count > 0 && size > BUS_BATCH_BYTES - bytes)
			break;
		bytes += MS_MIN(size, (size_t)BUS_BATCH_BYTES - bytes);
		count++;
	}
	*ret_count = count;
	return MS_OK;
}

static enum ms_err read_events(struct store_tx *tx, struct outbox_turn *turn, size_t count, struct errinfo *info)
{
	struct store_rows rows;
	struct event **tail = &turn->events;
	MS_TRY(ms_store_query(tx, "SELECT id, topic, payload, seq FROM bus_outbox ORDER BY seq, id LIMIT $1",
			      MS_STORE_PARAMS(ms_store_int((int64_t)count)), count, info, &rows));
	for (size_t i = 0; i < rows.count; i++) {
		*tail = ms_bus_event_new(ms_store_get_text(&rows, i, 0), ms_store_get_text(&rows, i, 1),
					 ms_store_get_text(&rows, i, 2), ms_store_get_int(&rows, i, 3));
		if (*tail == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for events");
		tail = &(*tail)->next;
	}
	return MS_OK;
}

static enum ms_err read_known(struct store_tx *tx, struct outbox_turn *turn, struct errinfo *info)
{
	struct store_rows rows;
	struct known **tail = &turn->known;
	MS_TRY(ms_store_query(tx, "SELECT name, topics FROM bus_subscriptions ORDER BY name", MS_STORE_NO_PARAMS,
			      BUS_KNOWN_MAX, info, &rows));
	for (size_t i = 0; i < rows.count; i++) {
		*tail = known_new(ms_store_get_text(&rows, i, 0), ms_store_get_text(&rows, i, 1));
		if (*tail == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for subscriptions");
		tail = &(*tail)->next;
	}
	return MS_OK;
}

// Due at the time of publishing, so that a queue keeps the order of the outbox.
static enum ms_err fan_out(struct store_tx *tx, const struct outbox_turn *turn, struct errinfo *info)
{
	int64_t now_us = ms_store_now_us(tx);
	bool any = false;
	for (const struct event *e = turn->events; e != NULL; e = e->next) {
		for (const struct known *k = turn->known; k != NULL; k = k->next) {
			if (!ms_bus_topic_matches_any(k->topics, e->topic))
				continue;
			MS_TRY(ms_store_run(
				tx,
				"INSERT INTO bus_queue (subscription, id, seq, topic, payload, attempt, due_us, "
				"holder, reason)"
				" VALUES ($1, $2, $3, $4, $5, 0, $6, '', '') ON CONFLICT (subscription, id) DO NOTHING",
				MS_STORE_PARAMS(ms_store_text(k->name), ms_store_text(e->id), ms_store_int(e->seq),
						ms_store_text(e->topic), ms_store_text(e->payload),
						ms_store_int(MS_MIN(e->seq / 1000, now_us))),
				info, NULL));
			any = true;
		}
	}
	if (any)
		MS_TRY(ms_store_notify(tx, BUS_CHANNEL_QUEUE, info));
	return forget(tx, turn->events, info);
}

enum ms_err ms_bus_outbox_figures(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct outbox_figures *figures = arg;
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT COUNT(*), MIN(seq) FROM bus_outbox", MS_STORE_NO_PARAMS, 1, info, &rows));
	figures->waiting = (uint64_t)ms_store_get_int(&rows, 0, 0);
	figures->oldest_us = ms_store_get_int(&rows, 0, 1) / 1000;
	return MS_OK;
}

static enum ms_err count_waiting(struct store_tx *tx, struct outbox_turn *turn, struct errinfo *info)
{
	struct outbox_figures figures;
	if (!turn->count)
		return MS_OK;
	MS_TRY(ms_bus_outbox_figures(tx, &figures, info));
	turn->waiting = figures.waiting;
	turn->oldest_us = figures.oldest_us;
	return MS_OK;
}

enum ms_err ms_bus_outbox_turn(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct outbox_turn *turn = arg;
	size_t count;
	ms_bus_outbox_turn_clear(turn);
	MS_TRY(forget(tx, turn->safe, info));
	if (!turn->take)
		return MS_OK;
	MS_TRY(measure(tx, info, &count));
	MS_TRY(count_waiting(tx, turn, info));
	if (count == 0)
		return MS_OK; // nothing is written then: the transaction costs no write to the disk
	MS_TRY(take_lease(tx, turn, info));
	if (turn->blocked)
		return MS_OK;
	MS_TRY(read_known(tx, turn, info));
	MS_TRY(read_events(tx, turn, count, info));
	return turn->deliver ? fan_out(tx, turn, info) : MS_OK;
}
