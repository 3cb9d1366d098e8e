// SPDX-License-Identifier: Apache-2.0
// Sessions that are over and users who changed, since the oldest token that may be alive. Read from the store in batches that all loops
// share; each loop has its own map of them. A batch goes once all of it is older than the life of a token.
#include "auth/gate.h"

#include <stdlib.h>

#define BATCH_FIRST_BYTES 512
#define BATCH_MAX_BYTES ((size_t)512 << 20)
#define CHANGES_PAGE 1000
#define ROLE_USERS_MAX 100000

// --- Reading -----------------------------------------------------------------------------------------

void ms_change_batch_unref(struct change_batch *batch)
{
	if (batch == NULL || atomic_fetch_sub_explicit(&batch->refs, 1, memory_order_acq_rel) != 1)
		return;
	ms_arena_fini(&batch->arena);
	free(batch);
}

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for changes to users and sessions");
}

static enum ms_err need_batch(struct change_query *q, struct errinfo *info)
{
	if (q->batch != NULL)
		return MS_OK;
	q->batch = calloc(1, sizeof(*q->batch));
	if (q->batch == NULL)
		return no_memory(info);
	atomic_init(&q->batch->refs, 1);
	ms_arena_init(&q->batch->arena, BATCH_FIRST_BYTES, BATCH_MAX_BYTES);
	return MS_OK;
}

// Too many to keep: what they say holds for every token issued before this moment.
static void forget_all(struct change_batch *batch, int64_t time_us)
{
	ms_arena_reset(&batch->arena);
	batch->first = NULL;
	batch->count = 0;
	batch->floor_us = MS_MAX(batch->floor_us, time_us + 1);
}

static enum ms_err add(struct change_query *q, struct change change, struct errinfo *info)
{
	MS_TRY(need_batch(q, info));
	struct change_batch *batch = q->batch;
	batch->newest_us = MS_MAX(batch->newest_us, change.time_us);
	if (batch->count >= (size_t)q->max) {
		forget_all(batch, batch->newest_us);
		return MS_OK;
	}
	struct change *kept = MS_ARENA_NEW(&batch->arena, struct change);
	if (kept == NULL)
		return no_memory(info);
	*kept = change;
	kept->id = ms_arena_copy(&batch->arena, change.id);
	if (kept->id.p == NULL)
		return no_memory(info);
	kept->next = batch->first;
	batch->first = kept;
	batch->count++;
	return MS_OK;
}

// role, grants, state, valid_after_us from `column` on
static enum ms_err add_user(struct change_query *q, struct change change, const struct store_rows *rows, size_t row,
			    size_t column, struct errinfo *info)
{
	change.is_user = true;
	change.role = MS_SLICE_LIT("");
	change.own = MS_GRANTS_NONE;
	change.active = !ms_store_is_null(rows, row, column + 2) &&
			ms_slice_eq_cstr(ms_store_get_text(rows, row, column + 2), "active");
	if (change.active) {
		MS_TRY(need_batch(q, info));
		change.valid_after_us = ms_store_get_int(rows, row, column + 3);
		change.role = ms_arena_copy(&q->batch->arena, ms_store_get_text(rows, row, column));
		if (change.role.p == NULL)
			return no_memory(info);
		MS_TRY(ms_grants_read_stored(ms_store_get_text(rows, row, column + 1), &q->batch->arena, info,
					     &change.own));
	}
	return add(q, change, info);
}

// A role changed: tokens of users with grants of their own no longer say which of their permissions are the role's.
static enum ms_err add_users_of_role(struct store_tx *tx, struct change_query *q, struct slice role, int64_t seq,
				     int64_t time_us, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(
		tx, "SELECT role, grants, state, valid_after_us, id FROM users WHERE role = $1 AND grants <> '[]'",
		MS_STORE_PARAMS(ms_store_text(role)), ROLE_USERS_MAX, info, &rows));
	for (size_t row = 0; row < rows.count; row++) {
		const struct change change = {.id = ms_store_get_text(&rows, row, 4), .seq = seq, .time_us = time_us};
		MS_TRY(add_user(q, change, &rows, row, 0, info));
	}
	return MS_OK;
}

static enum ms_err add_row(struct store_tx *tx, struct change_query *q, const struct store_rows *rows, size_t row,
			   struct errinfo *info)
{
	struct slice kind = ms_store_get_text(rows, row, 1);
	const struct change change = {.seq = ms_store_get_int(rows, row, 0),
				      .id = ms_store_get_text(rows, row, 2),
				      .time_us = ms_store_get_int(rows, row, 3)};
	q->seq = change.seq;
	if (ms_slice_eq_cstr(kind, "session"))
		return add(q, change, info);
	q->snapshot = true;
	if (ms_slice_eq_cstr(kind, "user"))
		return add_user(q, change, rows, row, 4, info);
	if (ms_slice_eq_cstr(kind, "role"))
		return add_users_of_role(tx, q, change.id, change.seq, change.time_us, info);
	return MS_OK;
}

enum ms_err ms_changes_load(struct store_tx *tx, struct change_query *q, struct errinfo *info)
{
	struct store_rows rows;
	struct arena *arena = ms_store_arena(tx);
	do {
		struct arena_mark mark = ms_arena_mark(arena);
		MS_TRY(ms_store_query(
			tx,
			"SELECT c.seq, c.kind, c.id, c.time_us, u.role, u.grants, u.state, u.valid_after_us "
			"FROM auth_changes c LEFT JOIN users u ON c.kind = 'user' AND u.id = c.id "
			"WHERE c.seq > $1 ORDER BY c.seq LIMIT $2",
			MS_STORE_PARAMS(ms_store_int(q->seq), ms_store_int(CHANGES_PAGE)), CHANGES_PAGE, info, &rows));
		for (size_t row = 0; row < rows.count; row++)
			MS_TRY(add_row(tx, q, &rows, row, info));
		ms_arena_rewind(arena, mark);
	} while (rows.count == CHANGES_PAGE);
	return MS_OK;
}

// --- A loop's map ------------------------------------------------------------------------------------

struct revoked_batch {
	struct revoked_batch *next;
	struct change_batch *batch;
};

void ms_revoked_init(struct revoked *revoked, size_t max)
{
	*revoked = (struct revoked){.max = max};
	// Keys are ids that we made ourselves.
	ms_map_init(&revoked->by_id, max, (struct hash_seed){0, 0});
}

static void drop_oldest(struct revoked *revoked)
{
	struct revoked_batch *dead = revoked->first;
	for (struct change *c = dead->batch->first; c != NULL; c = c->next) {
		if (ms_map_get(&revoked->by_id, c->id) == c)
			ms_map_remove(&revoked->by_id, c->id);
	}
	revoked->first = dead->next;
	if (revoked->first == NULL)
		revoked->last = NULL;
	ms_change_batch_unref(dead->batch);
	free(dead);
}

void ms_revoked_fini(struct revoked *revoked)
{
	while (revoked->first != NULL)
		drop_oldest(revoked);
	ms_map_fini(&revoked->by_id);
}

void ms_revoked_forget(struct revoked *revoked, int64_t time_us)
{
	while (revoked->first != NULL && revoked->first->batch->newest_us < time_us)
		drop_oldest(revoked);
}

// There is no room to know each: nothing issued until now is believed any more.
static void give_up(struct revoked *revoked, int64_t time_us)
{
	while (revoked->first != NULL)
		drop_oldest(revoked);
	revoked->floor_us = MS_MAX(revoked->floor_us, time_us + 1);
}

// Newest change first, so an older one of the same id in the batch does not replace it.
static bool put_all(struct revoked *revoked, const struct change_batch *batch)
{
	for (struct change *c = batch->first; c != NULL; c = c->next) {
		const struct change *known = ms_map_get(&revoked->by_id, c->id);
		if (known != NULL && known->seq >= c->seq)
			continue;
		if (!ms_map_put(&revoked->by_id, c->id, c, NULL))
			return false;
	}
	return true;
}

void ms_revoked_feed(struct revoked *revoked, struct change_batch *batch)
{
	revoked->floor_us = MS_MAX(revoked->floor_us, batch->floor_us);
	if (batch->count == 0)
		return;
	struct revoked_batch *held = calloc(1, sizeof(*held));
	if (held == NULL) {
		give_up(revoked, batch->newest_us);
		return;
	}
	atomic_fetch_add_explicit(&batch->refs, 1, memory_order_relaxed);
	held->batch = batch;
	*(revoked->last != NULL ? &revoked->last->next : &revoked->first) = held;
	revoked->last = held;
	if (!put_all(revoked, batch))
		give_up(revoked, batch->newest_us);
}
