// SPDX-License-Identifier: Apache-2.0
// Passkeys in the store: registration, assertion, list.
#include "auth/passkey.h"

#define TRANSPORTS_MAX 10
#define TRANSPORT_MAX 32

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

// --- Rows --------------------------------------------------------------------------------------------

#define COLUMNS \
	"id, user_id, name, credential_id, transports, aaguid, sign_count, verified, backed_up, created_us, used_us"

static void read_row(const struct store_rows *rows, size_t row, struct auth_passkey *ret_passkey)
{
	*ret_passkey = (struct auth_passkey){
		.id = ms_store_get_text(rows, row, 0),
		.user_id = ms_store_get_text(rows, row, 1),
		.name = ms_store_get_text(rows, row, 2),
		.credential_id = ms_store_get_blob(rows, row, 3),
		.transports = ms_store_get_text(rows, row, 4),
		.aaguid = ms_store_get_blob(rows, row, 5),
		.sign_count = ms_store_get_int(rows, row, 6),
		.verified = ms_store_get_int(rows, row, 7) != 0,
		.backed_up = ms_store_get_int(rows, row, 8) != 0,
		.created_us = ms_store_get_int(rows, row, 9),
		.used_us = ms_store_get_int(rows, row, 10),
	};
}

enum ms_err ms_auth_passkey_list(struct store_tx *tx, struct slice user_id, struct errinfo *info,
				 struct auth_passkey **ret_passkeys, size_t *ret_count)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT " COLUMNS " FROM passkeys WHERE user_id = $1 ORDER BY id LIMIT $2",
			      MS_STORE_PARAMS(ms_store_text(user_id), ms_store_int(MS_AUTH_PASSKEYS_MAX)),
			      MS_AUTH_PASSKEYS_MAX, info, &rows));
	struct auth_passkey *passkeys = MS_ARENA_ARRAY(ms_store_arena(tx), struct auth_passkey, rows.count);
	if (passkeys == NULL)
		return no_memory(info);
	for (size_t i = 0; i < rows.count; i++)
		read_row(&rows, i, &passkeys[i]);
	*ret_passkeys = passkeys;
	*ret_count = rows.count;
	return MS_OK;
}

static enum ms_err get(struct store_tx *tx, struct slice user_id, struct slice id, struct errinfo *info,
		       struct auth_passkey *ret_passkey)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT " COLUMNS " FROM passkeys WHERE user_id = $1 AND id = $2",
			      MS_STORE_PARAMS(ms_store_text(user_id), ms_store_text(id)), 1, info, &rows));
	if (rows.count == 0)
		return ms_fail(info, MS_ERR_NOT_FOUND, "this user has no passkey '%.*s'", MS_SLICE_ARG(id));
	read_row(&rows, 0, ret_passkey);
	return MS_OK;
}

static enum ms_err check_name(struct slice name, struct errinfo *info)
{
	bool ok = name.n > 0 && name.n <= MS_AUTH_PASSKEY_NAME_MAX;
	for (size_t i = 0; ok && i < name.n; i++)
		ok = (unsigned char)name.p[i] >= 0x20 && name.p[i] != 0x7f;
	if (ok)
		return MS_OK;
	ms_errinfo_set_field(info, MS_SLICE_LIT("name"));
	return ms_fail(info, MS_ERR_INVALID, "the name of a passkey must be 1 to %d bytes without control characters",
		       MS_AUTH_PASSKEY_NAME_MAX);
}

enum ms_err ms_auth_passkey_rename(struct store_tx *tx, struct slice user_id, struct slice id, struct slice name,
				   struct errinfo *info, struct auth_passkey *ret_passkey)
{
	MS_TRY(check_name(name, info));
	MS_TRY(ms_store_run(tx, "UPDATE passkeys SET name = $3 WHERE user_id = $1 AND id = $2",
			    MS_STORE_PARAMS(ms_store_text(user_id), ms_store_text(id), ms_store_text(name)), info,
			    NULL));
	return get(tx, user_id, id, info, ret_passkey);
}

static const char *details_of(struct slice id, struct arena *arena)
{
	// An id of ours: nothing to escape.
	const char *details =
		ms_arena_printf(arena, "{\"factor\":\"webauthn\",\"passkey\":\"%.*s\"}", MS_SLICE_ARG(id));
	return details != NULL ? details : "{\"factor\":\"webauthn\"}";
}

enum ms_err ms_auth_passkey_remove(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				   struct slice user_id, struct slice id, struct errinfo *info)
{
	struct auth_passkey passkey;
	MS_TRY(get(tx, user_id, id, info, &passkey));
	MS_TRY(ms_store_run(tx, "DELETE FROM passkeys WHERE user_id = $1 AND id = $2",
			    MS_STORE_PARAMS(ms_store_text(user_id), ms_store_text(id)), info, NULL));
	MS_TRY(ms_factor_removed(tx, auth, user_id, info));
	return ms_factor_record(tx, auth, by, AUTH_FACTOR_REMOVED, user_id, details_of(passkey.id, ms_store_arena(tx)),
				info);
}

// --- Registration (7.1) ------------------------------------------------------------------------------

static enum ms_err refused(struct errinfo *info, const char *why)
{
	ms_errinfo_set_field(info, MS_SLICE_LIT("credential"));
	return ms_fail(info, MS_ERR_INVALID, "the passkey cannot be registered: %s", why);
}

// As a JSON array; what is not a transport's name is left out.
static enum ms_err transports_text(const struct json_value *list, struct arena *arena, struct errinfo *info,
				   struct slice *ret_text)
{
	struct buf out;
	struct json_writer w;
	size_t count = list != NULL && list->type == JSON_ARRAY ? MS_MIN(list->array.count, (size_t)TRANSPORTS_MAX) : 0;
	ms_buf_init(&out, 1024);
	ms_json_writer_init(&w, &out);
	ms_json_begin_array(&w);
	for (size_t i = 0; i < count; i++) {
		struct slice name;
		bool ok = ms_json_as_str(&list->array.items[i], &name) && name.n > 0 && name.n <= TRANSPORT_MAX;
		for (size_t c = 0; ok && c < name.n; c++)
			ok = (name.p[c] >= 'a' && name.p[c] <= 'z') || name.p[c] == '-';
		if (ok)
			ms_json_str(&w, name);
	}
	ms_json_end_array(&w);
	*ret_text = ms_buf_ok(&out) ? ms_arena_copy(arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	return ret_text->p != NULL ? MS_OK : no_memory(info);
}

static enum ms_err check_room(struct store_tx *tx, struct slice user_id, struct slice credential_id,
			      struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT count(*) FROM passkeys WHERE user_id = $1",
			      MS_STORE_PARAMS(ms_store_text(user_id)), 1, info, &rows));
	if (ms_store_get_int(&rows, 0, 0) >= MS_AUTH_PASSKEYS_MAX)
		return ms_fail(info, MS_ERR_CONFLICT, "a user may have %d passkeys: remove one first",
			       MS_AUTH_PASSKEYS_MAX);
	MS_TRY(ms_store_query(tx, "SELECT id FROM passkeys WHERE credential_id = $1",
			      MS_STORE_PARAMS(ms_store_blob(credential_id)), 1, info, &rows));
	return rows.count == 0 ? MS_OK : ms_fail(info, MS_ERR_CONFLICT, "this passkey is registered already");
}

// The authenticator data of a registration, all of whose rules hold.
static enum ms_err read_registration(struct store_tx *tx, const struct auth *auth, struct slice user_id,
				     const struct json_value *json, struct errinfo *info,
				     struct passkey_response *ret_response, struct authenticator_data *ret_data)
{
	const struct passkey_ceremony ceremony = {.use = PASSKEY_REGISTER, .user_id = user_id};
	struct arena *arena = ms_store_arena(tx);
	struct slice bytes;
	struct cose_key key;
	uint8_t challenge[MS_SHA256_SIZE];
	const char *wrong = ms_passkey_read_response(json, true, arena, ret_response);
	if (wrong == NULL)
		MS_TRY(ms_passkey_check_client(tx, auth, &ceremony, ret_response->client_data, info, &wrong,
					       challenge));
	if (wrong == NULL)
		MS_TRY(ms_passkey_spend(tx, challenge, info, &wrong));
	if (wrong != NULL)
		return refused(info, wrong);
	ms_errinfo_set_field(info, MS_SLICE_LIT("credential"));
	MS_TRY(ms_attestation_read(ret_response->object, arena, info, &bytes));
	MS_TRY(ms_authenticator_data_read(bytes, arena, info, ret_data));
	wrong = ms_passkey_check_data(auth, &ceremony, ret_data);
	if (wrong == NULL && (ret_data->flags & AUTHENTICATOR_ATTESTED) == 0)
		wrong = "the authenticator made no key";
	if (wrong == NULL && !ms_slice_eq(ret_data->credential_id, ret_response->credential_id))
		wrong = "its id is not the one that the authenticator gave it";
	if (wrong != NULL)
		return refused(info, wrong);
	struct slice rest = ret_data->public_key;
	MS_TRY(ms_cose_key_read(&rest, arena, info, &key));
	ms_crypto_key_unref(key.key);
	ms_errinfo_set_field(info, MS_SLICE_EMPTY);
	return MS_OK;
}

enum ms_err ms_auth_passkey_add(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				struct slice user_id, const struct json_value *response, struct slice name,
				struct errinfo *info, struct auth_passkey *ret_passkey)
{
	struct passkey_response r;
	struct authenticator_data data;
	struct slice transports;
	struct arena *arena = ms_store_arena(tx);
	char *id = ms_arena_alloc(arena, MS_AUTH_ID_SIZE);
	if (id == NULL)
		return no_memory(info);
	ms_auth_id(id);
	MS_TRY(check_name(name, info));
	MS_TRY(read_registration(tx, auth, user_id, response, info, &r, &data));
	MS_TRY(transports_text(r.transports, arena, info, &transports));
	MS_TRY(check_room(tx, user_id, data.credential_id, info));
	MS_TRY(ms_store_run(tx,
			    "INSERT INTO passkeys (id, user_id, credential_id, public_key, name, transports, aaguid, "
			    "sign_count, verified, "
			    "eligible, backed_up, created_us, used_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, "
			    "$10, $11, $12, 0)",
			    MS_STORE_PARAMS(ms_store_text(ms_slice_cstr(id)), ms_store_text(user_id),
					    ms_store_blob(data.credential_id), ms_store_blob(data.public_key),
					    ms_store_text(name), ms_store_text(transports), ms_store_blob(data.aaguid),
					    ms_store_int(data.sign_count),
					    ms_store_int((data.flags & AUTHENTICATOR_VERIFIED) != 0),
					    ms_store_int((data.flags & AUTHENTICATOR_ELIGIBLE) != 0),
					    ms_store_int((data.flags & AUTHENTICATOR_BACKED_UP) != 0),
					    ms_store_int(ms_store_now_us(tx))),
			    info, NULL));
	MS_TRY(get(tx, user_id, ms_slice_cstr(id), info, ret_passkey));
	return ms_factor_added(tx, auth, by, user_id, details_of(ret_passkey->id, arena), info);
}

// --- Assertion (7.2) ---------------------------------------------------------------------------------

struct stored {
	struct slice id, user_id, public_key;
	int64_t sign_count;
	bool eligible;
};

static enum ms_err find(struct store_tx *tx, struct slice credential_id, struct errinfo *info, bool *ret_found,
			struct stored *ret_stored)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(
		tx, "SELECT id, user_id, public_key, sign_count, eligible FROM passkeys WHERE credential_id = $1",
		MS_STORE_PARAMS(ms_store_blob(credential_id)), 1, info, &rows));
	*ret_found = rows.count > 0;
	if (rows.count > 0)
		*ret_stored = (struct stored){.id = ms_store_get_text(&rows, 0, 0),
					      .user_id = ms_store_get_text(&rows, 0, 1),
					      .public_key = ms_store_get_blob(&rows, 0, 2),
					      .sign_count = ms_store_get_int(&rows, 0, 3),
					      .eligible = ms_store_get_int(&rows, 0, 4) != 0};
	return MS_OK;
}

static enum ms_err verify(const struct stored *stored, const struct passkey_response *r, struct arena *arena,
			  struct errinfo *info, bool *ret_match)
{
	struct cose_key key;
	struct slice rest = stored->public_key;
	char *message = ms_arena_alloc(arena, r->object.n + MS_SHA256_SIZE);
	if (message == NULL)
		return no_memory(info);
	memcpy(message, r->object.p, r->object.n);
	ms_sha256(r->client_data, (uint8_t *)message + r->object.n);
	if (ms_cose_key_read(&rest, arena, info, &key) != MS_OK)
		return ms_fail(info, MS_ERR_INTERNAL, "a stored passkey is damaged");
	*ret_match = ms_cose_verify(&key, ms_slice(message, r->object.n + MS_SHA256_SIZE), r->signature);
	ms_crypto_key_unref(key.key);
	return MS_OK;
}

// What is known of the passkey against what it says. `whose`: the user that it must belong to, or empty.
static enum ms_err check_stored(struct store_tx *tx, const struct stored *stored, const struct passkey_response *r,
				const struct authenticator_data *data, const uint8_t challenge[MS_SHA256_SIZE],
				struct errinfo *info, struct passkey_check *check, const char **ret_refusal)
{
	bool match = false;
	bool foreign = check->user_id.n > 0 && !ms_slice_eq(check->user_id, stored->user_id);
	// The handle names the user where nobody else did; where somebody did, it may be missing.
	if (foreign || (r->user_handle.n > 0 ? !ms_slice_eq(r->user_handle, stored->user_id) : check->user_id.n == 0)) {
		*ret_refusal = "the passkey is another user's";
		return MS_OK;
	}
	MS_TRY(verify(stored, r, ms_store_arena(tx), info, &match));
	if (!match) {
		*ret_refusal = "the signature is wrong";
		return MS_OK;
	}
	MS_TRY(ms_passkey_spend(tx, challenge, info, ret_refusal));
	if (*ret_refusal != NULL)
		return MS_OK;
	if (((data->flags & AUTHENTICATOR_ELIGIBLE) != 0) != stored->eligible)
		*ret_refusal = "the authenticator changed what it said of backups";
	else if ((data->sign_count != 0 || stored->sign_count != 0) &&
		 (int64_t)data->sign_count <= stored->sign_count) {
		check->copied = true;
		*ret_refusal = "the counter of the passkey went back: there may be a copy of it";
	}
	return MS_OK;
}

static enum ms_err check_assertion(struct store_tx *tx, const struct auth *auth,
				   const struct passkey_ceremony *ceremony, const struct passkey_response *r,
				   struct errinfo *info, struct passkey_check *check, const char **ret_refusal)
{
	struct arena *arena = ms_store_arena(tx);
	struct authenticator_data data;
	struct errinfo ignored;
	struct stored stored;
	uint8_t challenge[MS_SHA256_SIZE];
	bool found;
	ms_errinfo_init(&ignored);
	MS_TRY(ms_passkey_check_client(tx, auth, ceremony, r->client_data, info, ret_refusal, challenge));
	if (*ret_refusal != NULL)
		return MS_OK;
	if (ms_authenticator_data_read(r->object, arena, &ignored, &data) != MS_OK)
		*ret_refusal = "the authenticator data are malformed";
	else
		*ret_refusal = ms_passkey_check_data(auth, ceremony, &data);
	if (*ret_refusal != NULL)
		return MS_OK;
	MS_TRY(find(tx, r->credential_id, info, &found, &stored));
	if (!found) {
		*ret_refusal = "the passkey is not known";
		return MS_OK;
	}
	check->owner = stored.user_id;
	check->passkey = stored.id;
	check->verified = (data.flags & AUTHENTICATOR_VERIFIED) != 0;
	MS_TRY(check_stored(tx, &stored, r, &data, challenge, info, check, ret_refusal));
	if (*ret_refusal != NULL)
		return MS_OK;
	return ms_store_run(tx, "UPDATE passkeys SET sign_count = $2, backed_up = $3, used_us = $4 WHERE id = $1",
			    MS_STORE_PARAMS(ms_store_text(stored.id), ms_store_int(data.sign_count),
					    ms_store_int((data.flags & AUTHENTICATOR_BACKED_UP) != 0),
					    ms_store_int(ms_store_now_us(tx))),
			    info, NULL);
}

enum ms_err ms_passkey_check(struct store_tx *tx, const struct auth *auth, struct passkey_check *check,
			     struct errinfo *info, const char **ret_refusal)
{
	const struct passkey_ceremony ceremony = {
		.use = PASSKEY_SIGN_IN, .user_id = check->user_id, .needs_verified = check->user_id.n == 0};
	struct passkey_response r;
	check->owner = check->passkey = MS_SLICE_EMPTY;
	check->verified = check->copied = false;
	*ret_refusal = ms_passkey_read_response(check->assertion, false, ms_store_arena(tx), &r);
	return *ret_refusal != NULL ? MS_OK : check_assertion(tx, auth, &ceremony, &r, info, check, ret_refusal);
}
