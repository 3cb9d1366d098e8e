// SPDX-License-Identifier: Apache-2.0
// A picture of all roles and keys that never changes once it is published, and the search in it.
#include "auth/gate.h"

#include <stdlib.h>

#define SNAPSHOT_MAX_BYTES ((size_t)256 << 20)
#define KEYS_PAGE 1000
#define ROLES_MAX 2000
#define MINE_MAX 3

enum ms_err ms_grants_add_own(const struct grants *grants, struct slice user_id, struct arena *arena,
			      struct errinfo *info, const struct grants **ret_grants)
{
	const char *read = ms_arena_printf(arena, "keys.read:%.*s", MS_SLICE_ARG(user_id));
	const char *write = ms_arena_printf(arena, "keys.write:%.*s", MS_SLICE_ARG(user_id));
	if (read == NULL || write == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for grants");
	const struct slice texts[MINE_MAX] = {MS_SLICE_LIT("self"), ms_slice_cstr(read), ms_slice_cstr(write)};
	const struct grants *mine;
	MS_TRY(ms_grants_parse(texts, MINE_MAX, arena, info, &mine));
	return ms_grants_union(grants, mine, arena, info, ret_grants);
}

// --- Life --------------------------------------------------------------------------------------------

void ms_key_use_unref(struct key_use *use)
{
	if (use != NULL && atomic_fetch_sub_explicit(&use->refs, 1, memory_order_acq_rel) == 1)
		free(use);
}

struct auth_snapshot *ms_auth_snapshot_ref(struct auth_snapshot *snapshot)
{
	atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
	return snapshot;
}

void ms_auth_snapshot_unref(struct auth_snapshot *snapshot)
{
	if (snapshot == NULL || atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < snapshot->key_count; i++)
		ms_key_use_unref(snapshot->keys[i].use);
	free(snapshot->keys);
	free(snapshot->slots);
	ms_arena_fini(&snapshot->arena);
	free(snapshot);
}

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for roles and keys");
}

// --- Roles -------------------------------------------------------------------------------------------

static enum ms_err load_roles(struct store_tx *tx, struct auth_snapshot *s, struct errinfo *info)
{
	struct store_rows rows;
	size_t built_in = ms_role_built_in_count();
	MS_TRY(ms_store_query(tx, "SELECT name, grants, updated_us FROM roles ORDER BY name", MS_STORE_NO_PARAMS,
			      ROLES_MAX, info, &rows));
	s->roles = MS_ARENA_ARRAY(&s->arena, struct live_role, built_in + rows.count);
	if (s->roles == NULL)
		return no_memory(info);
	for (size_t i = 0; i < built_in; i++) {
		s->roles[i].name = ms_role_built_in_name(i);
		MS_TRY(ms_role_built_in_grants(i, &s->arena, info, &s->roles[i].grants));
	}
	s->role_count = built_in;
	for (size_t row = 0; row < rows.count; row++) {
		struct live_role role = {.name = ms_arena_copy(&s->arena, ms_store_get_text(&rows, row, 0)),
					 .changed_us = ms_store_get_int(&rows, row, 2)};
		if (role.name.p == NULL)
			return no_memory(info);
		MS_TRY(ms_grants_read_stored(ms_store_get_text(&rows, row, 1), &s->arena, info, &role.grants));
		size_t at = s->role_count++;
		for (; at > 0 && ms_slice_cmp(s->roles[at - 1].name, role.name) > 0; at--)
			s->roles[at] = s->roles[at - 1];
		s->roles[at] = role;
	}
	return MS_OK;
}

const struct live_role *ms_auth_snapshot_role(const struct auth_snapshot *snapshot, struct slice name)
{
	size_t low = 0, high = snapshot->role_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = ms_slice_cmp(snapshot->roles[middle].name, name);
		if (order == 0)
			return &snapshot->roles[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

// --- Keys --------------------------------------------------------------------------------------------

static size_t slot_of(const struct auth_snapshot *s, const uint8_t digest[MS_SHA256_SIZE])
{
	uint64_t head;
	memcpy(&head, digest, sizeof(head)); // a hash is its own hash
	return (size_t)head & (s->slot_count - 1);
}

const struct live_key *ms_auth_snapshot_key(const struct auth_snapshot *s, const uint8_t digest[MS_SHA256_SIZE])
{
	if (s->slot_count == 0)
		return NULL;
	for (size_t i = slot_of(s, digest); s->slots[i] != 0; i = (i + 1) & (s->slot_count - 1)) {
		const struct live_key *key = &s->keys[s->slots[i] - 1];
		if (memcmp(key->digest, digest, MS_SHA256_SIZE) == 0)
			return key;
	}
	return NULL;
}

static enum ms_err index_keys(struct auth_snapshot *s, struct errinfo *info)
{
	size_t slots = 16;
	while (slots < s->key_count * 2)
		slots *= 2;
	s->slots = calloc(slots, sizeof(*s->slots));
	if (s->slots == NULL)
		return no_memory(info);
	s->slot_count = slots;
	for (size_t k = 0; k < s->key_count; k++) {
		size_t i = slot_of(s, s->keys[k].digest);
		while (s->slots[i] != 0 &&
		       memcmp(s->keys[s->slots[i] - 1].digest, s->keys[k].digest, MS_SHA256_SIZE) != 0)
			i = (i + 1) & (slots - 1);
		if (s->slots[i] == 0) // a key of the environment comes first and stays
			s->slots[i] = (uint32_t)(k + 1);
	}
	return MS_OK;
}

static bool make_room(struct auth_snapshot *s, size_t more, size_t *capacity)
{
	size_t wanted = s->key_count + more;
	if (wanted <= *capacity)
		return true;
	size_t room = MS_MAX(wanted, *capacity * 2);
	struct live_key *keys = realloc(s->keys, room * sizeof(*keys));
	if (keys == NULL)
		return false;
	s->keys = keys;
	*capacity = room;
	return true;
}

// id, name, owner_id, hash, scopes, expires_us, used_us, revoked_us, and of the owner: id, role, grants, state
#define KEY_PAGE                                                                                                   \
	"SELECT k.id, k.name, k.owner_id, k.hash, k.scopes, k.expires_us, k.used_us, k.revoked_us, u.id, u.role, " \
	"u.grants, "                                                                                               \
	"u.state FROM api_keys k LEFT JOIN users u ON u.id = k.owner_id WHERE k.id > $1 AND (k.revoked_us = 0 OR " \
	"k.revoked_us "                                                                                            \
	"> $2) AND (k.expires_us = 0 OR k.expires_us > $2) ORDER BY k.id LIMIT $3"

static enum ms_err new_use(const struct auth_snapshot *last, const struct store_rows *rows, size_t row,
			   const uint8_t *digest, struct errinfo *info, struct key_use **ret_use)
{
	const struct live_key *before = last != NULL ? ms_auth_snapshot_key(last, digest) : NULL;
	if (before != NULL && before->use != NULL) {
		atomic_fetch_add_explicit(&before->use->refs, 1, memory_order_relaxed);
		*ret_use = before->use;
		return MS_OK;
	}
	struct key_use *use = calloc(1, sizeof(*use));
	if (use == NULL)
		return no_memory(info);
	atomic_init(&use->refs, 1);
	use->written_us = ms_store_get_int(rows, row, 6);
	atomic_init(&use->used_us, use->written_us);
	if (!ms_slice_to_cstr(ms_store_get_text(rows, row, 0), use->id, sizeof(use->id))) {
		free(use);
		return ms_fail(info, MS_ERR_STORE, "an API key in the store has an id that is none");
	}
	*ret_use = use;
	return MS_OK;
}

// What its scopes allow and, of an owned key, its owner may too.
static enum ms_err key_grants(const struct auth_snapshot *s, const struct store_rows *rows, size_t row,
			      struct arena *arena, struct arena *scratch, struct errinfo *info,
			      const struct grants **ret_grants)
{
	const struct grants *scopes, *own, *all;
	MS_TRY(ms_grants_read_stored(ms_store_get_text(rows, row, 4), scratch, info, &scopes));
	if (ms_store_get_text(rows, row, 2).n == 0)
		return ms_grants_union(scopes, MS_GRANTS_NONE, arena, info, ret_grants);
	const struct live_role *role = ms_auth_snapshot_role(s, ms_store_get_text(rows, row, 9));
	MS_TRY(ms_grants_read_stored(ms_store_get_text(rows, row, 10), scratch, info, &own));
	MS_TRY(ms_grants_union(role != NULL ? role->grants : MS_GRANTS_NONE, own, scratch, info, &all));
	MS_TRY(ms_grants_add_own(all, ms_store_get_text(rows, row, 2), scratch, info, &all));
	return ms_grants_intersect(scopes, all, arena, info, ret_grants);
}

static bool owner_is_gone(const struct store_rows *rows, size_t row)
{
	return ms_store_get_text(rows, row, 2).n > 0 &&
	       (ms_store_is_null(rows, row, 8) || !ms_slice_eq_cstr(ms_store_get_text(rows, row, 11), "active"));
}

static enum ms_err add_key(struct auth_snapshot *s, const struct auth_snapshot *last, const struct store_rows *rows,
			   size_t row, struct arena *scratch, struct errinfo *info)
{
	struct slice hash = ms_store_get_blob(rows, row, 3);
	int64_t expires = ms_store_get_int(rows, row, 5), revoked = ms_store_get_int(rows, row, 7);
	struct live_key key = {.expires_us = INT64_MAX};
	if (hash.n != MS_SHA256_SIZE)
		return ms_fail(info, MS_ERR_STORE, "an API key in the store has a hash of %zu bytes", hash.n);
	memcpy(key.digest, hash.p, MS_SHA256_SIZE);
	if (expires != 0)
		key.expires_us = expires;
	if (revoked != 0)
		key.expires_us = MS_MIN(key.expires_us, revoked); // it was rotated and ends soon
	key.who.kind = CALLER_KEY;
	key.who.id = ms_arena_copy(&s->arena, ms_store_get_text(rows, row, 0));
	key.who.name = ms_arena_copy(&s->arena, ms_store_get_text(rows, row, 1));
	key.who.user = ms_arena_copy(&s->arena, ms_store_get_text(rows, row, 2));
	if (key.who.id.p == NULL || key.who.name.p == NULL || key.who.user.p == NULL)
		return no_memory(info);
	MS_TRY(key_grants(s, rows, row, &s->arena, scratch, info, &key.who.grants));
	MS_TRY(new_use(last, rows, row, key.digest, info, &key.use));
	s->keys[s->key_count++] = key;
	return MS_OK;
}

static enum ms_err load_page(struct store_tx *tx, struct auth_snapshot *s, const struct environment_keys *environment,
			     const struct auth_snapshot *last, size_t *capacity, char cursor[MS_AUTH_ID_SIZE],
			     struct errinfo *info, size_t *ret_rows)
{
	struct store_rows rows;
	struct arena *arena = ms_store_arena(tx);
	MS_TRY(ms_store_query(tx, KEY_PAGE,
			      MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(cursor)), ms_store_int(ms_store_now_us(tx)),
					      ms_store_int(KEYS_PAGE)),
			      KEYS_PAGE, info, &rows));
	if (!make_room(s, rows.count, capacity))
		return no_memory(info);
	for (size_t row = 0; row < rows.count; row++) {
		struct arena_mark mark = ms_arena_mark(arena);
		if (!owner_is_gone(&rows, row))
			MS_TRY(add_key(s, last, &rows, row, arena, info));
		ms_arena_rewind(arena, mark);
	}
	if (s->key_count > GATE_KEYS_MAX + environment->count)
		return ms_fail(info, MS_ERR_LIMIT,
			       "there are more than %d API keys in force; revoke those that nobody uses",
			       GATE_KEYS_MAX);
	if (rows.count > 0 && !ms_slice_to_cstr(ms_store_get_text(&rows, rows.count - 1, 0), cursor, MS_AUTH_ID_SIZE))
		return ms_fail(info, MS_ERR_STORE, "an API key in the store has an id that is none");
	*ret_rows = rows.count;
	return MS_OK;
}

static enum ms_err load_keys(struct store_tx *tx, struct auth_snapshot *s, const struct environment_keys *environment,
			     const struct auth_snapshot *last, struct errinfo *info)
{
	char cursor[MS_AUTH_ID_SIZE] = "";
	size_t capacity = 0, rows;
	if (!make_room(s, environment->count, &capacity))
		return no_memory(info);
	for (size_t i = 0; i < environment->count; i++)
		s->keys[s->key_count++] = environment->keys[i];
	do {
		struct arena_mark mark = ms_arena_mark(ms_store_arena(tx));
		MS_TRY(load_page(tx, s, environment, last, &capacity, cursor, info, &rows));
		ms_arena_rewind(ms_store_arena(tx), mark);
	} while (rows == KEYS_PAGE);
	return index_keys(s, info);
}

enum ms_err ms_auth_snapshot_load(struct store_tx *tx, const struct environment_keys *environment,
				  const struct auth_snapshot *last, struct errinfo *info,
				  struct auth_snapshot **ret_snapshot)
{
	struct auth_snapshot *s = calloc(1, sizeof(*s));
	if (s == NULL)
		return no_memory(info);
	atomic_init(&s->refs, 1);
	ms_arena_init(&s->arena, 4096, SNAPSHOT_MAX_BYTES);
	enum ms_err err = load_roles(tx, s, info);
	if (err == MS_OK)
		err = load_keys(tx, s, environment, last, info);
	if (err == MS_OK)
		*ret_snapshot = s;
	else
		ms_auth_snapshot_unref(s);
	return err;
}
