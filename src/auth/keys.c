// SPDX-License-Identifier: Apache-2.0
// API keys: for programs. A key is 160 random bits, so a plain hash of it may be stored: nobody guesses it.
#include "auth/gate.h"

#define KEY_NAME_MAX 128
#define KEYS_PAGE_MAX 1000
#define HINT_CHARACTERS 8 // "msk_" and four of the secret: enough to tell keys apart, of no use to a thief

#define IN_FORCE "(revoked_us = 0 OR revoked_us > $1) AND (expires_us = 0 OR expires_us > $1)"

// --- Reading -----------------------------------------------------------------------------------------

// In the order of read_row.
#define COLUMNS                                                                                                        \
	"k.id, k.name, k.owner_id, u.username, k.hint, k.scopes, k.created_us, k.expires_us, k.used_us, k.revoked_us " \
	"FROM api_keys k LEFT JOIN users u ON u.id = k.owner_id "

static enum ms_err read_row(struct store_tx *tx, const struct store_rows *rows, size_t row, struct errinfo *info,
			    struct auth_key *ret_key)
{
	*ret_key = (struct auth_key){
		.id = ms_store_get_text(rows, row, 0),
		.name = ms_store_get_text(rows, row, 1),
		.owner_id = ms_store_get_text(rows, row, 2),
		.owner_name = ms_store_get_text(rows, row, 3),
		.hint = ms_store_get_text(rows, row, 4),
		.created_us = ms_store_get_int(rows, row, 6),
		.expires_us = ms_store_get_int(rows, row, 7),
		.used_us = ms_store_get_int(rows, row, 8),
		.revoked_us = ms_store_get_int(rows, row, 9),
	};
	return ms_grants_read_stored(ms_store_get_text(rows, row, 5), ms_store_arena(tx), info, &ret_key->scopes);
}

enum ms_err ms_auth_key_get(struct store_tx *tx, struct slice id, struct errinfo *info, struct auth_key *ret_key)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT " COLUMNS "WHERE k.id = $1", MS_STORE_PARAMS(ms_store_text(id)), 1, info,
			      &rows));
	if (rows.count == 0)
		return ms_fail(info, MS_ERR_NOT_FOUND, "there is no API key with the id '%.*s'",
			       (int)MS_MIN(id.n, (size_t)64), id.n > 0 ? id.p : "");
	return read_row(tx, &rows, 0, info, ret_key);
}

static enum ms_err query_page(struct store_tx *tx, struct slice owner, struct slice before, size_t limit,
			      struct errinfo *info, struct store_rows *ret_rows)
{
	const struct store_value rows = ms_store_int((int64_t)limit), last = ms_store_text(before);
	if (owner.n == 0 && before.n == 0)
		return ms_store_query(tx, "SELECT " COLUMNS "ORDER BY k.id DESC LIMIT $1", MS_STORE_PARAMS(rows), limit,
				      info, ret_rows);
	if (owner.n == 0)
		return ms_store_query(tx, "SELECT " COLUMNS "WHERE k.id < $1 ORDER BY k.id DESC LIMIT $2",
				      MS_STORE_PARAMS(last, rows), limit, info, ret_rows);
	if (before.n == 0)
		return ms_store_query(tx, "SELECT " COLUMNS "WHERE k.owner_id = $1 ORDER BY k.id DESC LIMIT $2",
				      MS_STORE_PARAMS(ms_store_text(owner), rows), limit, info, ret_rows);
	return ms_store_query(tx, "SELECT " COLUMNS "WHERE k.owner_id = $1 AND k.id < $2 ORDER BY k.id DESC LIMIT $3",
			      MS_STORE_PARAMS(ms_store_text(owner), last, rows), limit, info, ret_rows);
}

enum ms_err ms_auth_key_list(struct store_tx *tx, struct slice owner, struct slice before, size_t limit,
			     struct errinfo *info, struct auth_key **ret_keys, size_t *ret_count)
{
	struct store_rows rows;
	MS_ASSERT(limit >= 1 && limit <= KEYS_PAGE_MAX);
	MS_TRY(query_page(tx, owner, before, limit, info, &rows));
	struct auth_key *keys = MS_ARENA_ARRAY(ms_store_arena(tx), struct auth_key, rows.count);
	if (keys == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the keys");
	for (size_t row = 0; row < rows.count; row++)
		MS_TRY(read_row(tx, &rows, row, info, &keys[row]));
	*ret_keys = keys;
	*ret_count = rows.count;
	return MS_OK;
}

// --- Changing ----------------------------------------------------------------------------------------

static enum ms_err record(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
			  enum auth_event event, const struct auth_key *key, struct slice replaced,
			  struct errinfo *info)
{
	struct buf details;
	struct json_writer w;
	struct arena *arena = ms_store_arena(tx);
	ms_buf_init(&details, (size_t)64 << 10);
	ms_json_writer_init(&w, &details);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "name");
	ms_json_str(&w, key->name);
	ms_json_key_lit(&w, "owner");
	ms_json_str(&w, key->owner_id);
	if (replaced.n > 0) {
		ms_json_key_lit(&w, "replaces");
		ms_json_str(&w, replaced);
	}
	ms_json_end_object(&w);
	char *target = ms_arena_printf(arena, "key:%.*s", MS_SLICE_ARG(key->id));
	const struct audit_entry entry = {.event = event,
					  .actor = *authority->by,
					  .target = ms_slice_cstr(target),
					  .details = ms_arena_copy(arena, ms_buf_slice(&details))};
	bool whole = ms_buf_ok(&details) && target != NULL && entry.details.p != NULL;
	ms_buf_fini(&details);
	return whole ? ms_audit_append(tx, auth, &entry, info)
		     : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the audit entry");
}

static enum ms_err check_name(struct slice name, struct errinfo *info)
{
	bool good = name.n > 0 && name.n <= KEY_NAME_MAX && ms_utf8_valid_prefix(name) == name.n;
	for (size_t i = 0; good && i < name.n; i++)
		good = (unsigned char)name.p[i] >= 0x20 && name.p[i] != 0x7f;
	if (good)
		return MS_OK;
	ms_errinfo_set_field(info, MS_SLICE_LIT("name"));
	return ms_fail(info, MS_ERR_INVALID,
		       "a key needs a name of 1 to %d bytes without control characters, which says what it is for",
		       KEY_NAME_MAX);
}

// All keys in force are in the snapshot: without a limit of his own a user could make so many that it could no longer be loaded, and
// with it no other change either.
static enum ms_err check_room(struct store_tx *tx, struct slice owner, struct errinfo *info)
{
	struct store_rows rows;
	const struct store_value now = ms_store_int(ms_store_now_us(tx));
	MS_TRY(ms_store_query(tx, "SELECT count(*) FROM api_keys WHERE " IN_FORCE, MS_STORE_PARAMS(now), 1, info,
			      &rows));
	if (ms_store_get_int(&rows, 0, 0) >= GATE_KEYS_MAX)
		return ms_fail(info, MS_ERR_LIMIT, "there are %d API keys in force; revoke those that nobody uses",
			       GATE_KEYS_MAX);
	if (owner.n == 0)
		return MS_OK;
	MS_TRY(ms_store_query(tx, "SELECT count(*) FROM api_keys WHERE owner_id = $2 AND " IN_FORCE,
			      MS_STORE_PARAMS(now, ms_store_text(owner)), 1, info, &rows));
	if (ms_store_get_int(&rows, 0, 0) < MS_AUTH_KEYS_OF_USER)
		return MS_OK;
	return ms_fail(info, MS_ERR_LIMIT, "this user has %d API keys in force; revoke those that nobody uses",
		       MS_AUTH_KEYS_OF_USER);
}

static enum ms_err check(struct store_tx *tx, const struct auth_authority *authority, const struct auth_key *key,
			 struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(check_name(key->name, info));
	if (ms_grants_count(key->scopes) == 0) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("scopes"));
		return ms_fail(info, MS_ERR_INVALID,
			       "a key needs at least one scope, such as \"predict\" or \"predict:churn\"");
	}
	if (authority->limit != NULL && !ms_grants_within(key->scopes, authority->limit)) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("scopes"));
		return ms_fail(info, MS_ERR_FORBIDDEN, "the scopes allow more than you may do yourself");
	}
	if (key->expires_us != 0 && key->expires_us <= ms_store_now_us(tx)) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("expires_in"));
		return ms_fail(info, MS_ERR_INVALID, "the key would have expired already");
	}
	MS_TRY(check_room(tx, key->owner_id, info));
	if (key->owner_id.n == 0)
		return MS_OK;
	MS_TRY(ms_store_query(tx, "SELECT state FROM users WHERE id = $1",
			      MS_STORE_PARAMS(ms_store_text(key->owner_id)), 1, info, &rows));
	if (rows.count > 0)
		return MS_OK;
	ms_errinfo_set_field(info, MS_SLICE_LIT("owner"));
	return ms_fail(info, MS_ERR_INVALID, "there is no user with the id '%.*s'",
		       (int)MS_MIN(key->owner_id.n, (size_t)64), key->owner_id.p);
}

static enum ms_err insert(struct store_tx *tx, const struct auth_key *key, struct slice secret, struct errinfo *info)
{
	uint8_t digest[MS_SHA256_SIZE];
	struct buf scopes;
	ms_sha256(secret, digest);
	ms_buf_init(&scopes, (size_t)64 << 10);
	ms_grants_write(key->scopes, &scopes);
	enum ms_err err =
		ms_buf_ok(&scopes) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the key's scopes");
	if (err == MS_OK)
		err = ms_store_run(tx,
				   "INSERT INTO api_keys (id, name, owner_id, hint, hash, scopes, created_us, "
				   "expires_us, used_us, revoked_us) "
				   "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)",
				   MS_STORE_PARAMS(ms_store_text(key->id), ms_store_text(key->name),
						   ms_store_text(key->owner_id), ms_store_text(key->hint),
						   ms_store_blob(ms_slice(digest, sizeof(digest))),
						   ms_store_text(ms_buf_slice(&scopes)), ms_store_int(key->created_us),
						   ms_store_int(key->expires_us)),
				   info, NULL);
	ms_buf_fini(&scopes);
	return err;
}

static enum ms_err make(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
			const struct auth_key *key, struct slice replaced, struct errinfo *info,
			struct auth_key *ret_key, char ret_secret[MS_API_KEY_SIZE])
{
	struct arena *arena = ms_store_arena(tx);
	uint8_t random[MS_API_KEY_RANDOM_SIZE];
	char id[MS_AUTH_ID_SIZE], secret[MS_API_KEY_SIZE];
	MS_TRY(check(tx, authority, key, info));
	ms_auth_id(id);
	ms_random_bytes(random, sizeof(random));
	size_t n = ms_api_key_make(MS_SLICE_LIT(MS_AUTH_KEY_PREFIX), random, secret);
	struct auth_key made = *key;
	if (made.owner_id.p == NULL)
		made.owner_id = MS_SLICE_LIT("");
	made.id = ms_arena_copy(arena, ms_slice_cstr(id));
	made.hint = ms_arena_copy(arena, ms_slice(secret, HINT_CHARACTERS));
	made.created_us = ms_store_now_us(tx);
	made.used_us = made.revoked_us = 0;
	if (made.id.p == NULL || made.hint.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the key");
	MS_TRY(insert(tx, &made, ms_slice(secret, n), info));
	MS_TRY(ms_change_record(tx, "key", made.id, info));
	MS_TRY(record(tx, auth, authority, AUTH_KEY_CREATED, &made, replaced, info));
	MS_TRY(ms_auth_key_get(tx, made.id, info, ret_key)); // with its owner's name
	memcpy(ret_secret, secret, n + 1);
	ms_wipe(random, sizeof(random));
	ms_wipe(secret, sizeof(secret));
	return MS_OK;
}

enum ms_err ms_auth_key_create(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
			       const struct auth_key *key, struct errinfo *info, struct auth_key *ret_key,
			       char ret_secret[MS_API_KEY_SIZE])
{
	return make(tx, auth, authority, key, MS_SLICE_EMPTY, info, ret_key, ret_secret);
}

enum ms_err ms_auth_key_revoke(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
			       struct slice id, struct errinfo *info)
{
	struct auth_key key;
	MS_TRY(ms_auth_key_get(tx, id, info, &key));
	int64_t now = ms_store_now_us(tx);
	if (key.revoked_us != 0 && key.revoked_us <= now)
		return MS_OK;
	MS_TRY(ms_store_run(tx, "UPDATE api_keys SET revoked_us = $1 WHERE id = $2",
			    MS_STORE_PARAMS(ms_store_int(now), ms_store_text(id)), info, NULL));
	MS_TRY(ms_change_record(tx, "key", id, info));
	return record(tx, auth, authority, AUTH_KEY_REVOKED, &key, MS_SLICE_EMPTY, info);
}

static bool has_ended(const struct auth_key *key, int64_t now_us)
{
	return (key->revoked_us != 0) || (key->expires_us != 0 && key->expires_us <= now_us);
}

enum ms_err ms_auth_key_rotate(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
			       struct slice id, int64_t overlap_us, struct errinfo *info, struct auth_key *ret_key,
			       char ret_secret[MS_API_KEY_SIZE])
{
	struct auth_key old;
	int64_t now = ms_store_now_us(tx), ends;
	MS_ASSERT(overlap_us >= 0);
	MS_TRY(ms_auth_key_get(tx, id, info, &old));
	if (has_ended(&old, now))
		return ms_fail(info, MS_ERR_CONFLICT,
			       "the key '%.*s' was revoked, rotated or has expired; make a new one",
			       MS_SLICE_ARG(old.name));
	if (MS_ADD_OVERFLOWS(now, overlap_us, &ends))
		return ms_fail(info, MS_ERR_INVALID, "the overlap is too long");
	struct auth_key fresh = old;
	if (old.expires_us != 0)
		fresh.expires_us = now + (old.expires_us - old.created_us);
	// It ends by itself: revoked_us in the future is when.
	MS_TRY(ms_store_run(tx, "UPDATE api_keys SET revoked_us = $1 WHERE id = $2",
			    MS_STORE_PARAMS(ms_store_int(ends), ms_store_text(id)), info, NULL));
	MS_TRY(ms_change_record(tx, "key", id, info));
	return make(tx, auth, authority, &fresh, old.id, info, ret_key, ret_secret);
}
