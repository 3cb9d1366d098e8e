// SPDX-License-Identifier: Apache-2.0
// /api/v1/auth/api-keys. Whoever may see the keys of a user sees those of this user; everyone may see his own. Of other keys nobody is
// told that they are there.
#include <stdio.h>

#include "identity/private.h"

#define OVERLAP_DEFAULT_S 86400
#define OVERLAP_MAX_S (30 * 86400)
#define LIFE_MAX_S ((int64_t)100 * 366 * 86400)

struct keys_work {
	struct identity_work w;
	struct slice id, owner, cursor;
	struct slice own; // the caller's own user id
	size_t limit;
	struct slice name;
	const struct json_value *scopes, *expires_in, *overlap;
	const struct grants *grants;
	int64_t seconds;
	char place[96];
};

static void write_key(struct json_writer *w, const struct auth_key *key, const char *secret)
{
	ms_json_begin_object(w);
	ms_json_key_lit(w, "id");
	ms_json_str(w, key->id);
	ms_json_key_lit(w, "name");
	ms_json_str(w, key->name);
	if (secret != NULL) {
		ms_json_key_lit(w, "key");
		ms_json_cstr(w, secret);
	}
	ms_json_key_lit(w, "hint");
	ms_json_str(w, key->hint);
	ms_json_member_text(w, "owner_id", key->owner_id);
	ms_json_member_text(w, "owner", key->owner_name);
	ms_identity_grants(w, "scopes", key->scopes);
	ms_json_member_time(w, "created_at", key->created_us);
	ms_json_member_time(w, "expires_at", key->expires_us);
	ms_json_member_time(w, "last_used_at", key->used_us);
	ms_json_member_time(w, "revoked_at", key->revoked_us);
	ms_json_end_object(w);
}

// The answer is built inside the transaction, which may run again.
static struct json_writer fresh_body(struct keys_work *s)
{
	struct json_writer w;
	ms_buf_clear(s->w.x->body);
	ms_json_writer_init(&w, s->w.x->body);
	return w;
}

static void send_body(struct identity_work *w)
{
	ms_http_send_json(w->x, 200);
}

static void send_created(struct identity_work *w)
{
	struct keys_work *s = MS_CONTAINER_OF(w, struct keys_work, w);
	ms_http_set_header(w->x, "Location", ms_slice_cstr(s->place));
	ms_http_send_json(w->x, 201);
}

// The key of the path, for who may see or change it.
static enum ms_err find_key(struct store_tx *tx, struct keys_work *s, const char *permission, struct errinfo *info,
			    struct auth_key *ret_key)
{
	MS_TRY(ms_auth_key_get(tx, s->id, info, ret_key));
	if (ms_grants_allow(s->w.authority.limit, permission, ret_key->owner_id))
		return MS_OK;
	return ms_fail(info, MS_ERR_NOT_FOUND, "there is no API key with the id '%.*s'",
		       (int)MS_MIN(s->id.n, (size_t)64), s->id.p);
}

static bool is_own(const struct keys_work *s, struct slice owner)
{
	return owner.n > 0 && ms_slice_eq(owner, s->own);
}

// A key with the scope "self" acts as its owner in his own account: only who may do all that he may gets one that is not his own.
static enum ms_err check_owner(struct store_tx *tx, const struct keys_work *s, struct slice owner,
			       const struct grants *scopes, struct errinfo *info)
{
	const struct grants *grants;
	struct auth_user user;
	if (owner.n == 0 || is_own(s, owner) || !ms_grants_allow(scopes, "self", MS_SLICE_EMPTY))
		return MS_OK;
	enum ms_err err = ms_auth_user_get(tx, owner, info, &user);
	if (err == MS_ERR_AUTH_USER_UNKNOWN)
		return MS_OK; // said where the key is made
	MS_TRY(err);
	MS_TRY(ms_auth_user_grants(tx, &user, info, &grants));
	if (ms_grants_within(grants, s->w.authority.limit))
		return MS_OK;
	ms_errinfo_set_field(info, MS_SLICE_LIT("scopes"));
	return ms_fail(info, MS_ERR_FORBIDDEN, "user '%.*s' has permissions that this caller does not have",
		       MS_SLICE_ARG(user.username));
}

// --- List, show --------------------------------------------------------------------------------------

static enum ms_err read_list(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct keys_work *s = arg;
	struct auth_key *keys;
	size_t count;
	MS_TRY(ms_auth_key_list(tx, s->owner, s->cursor, s->limit, info, &keys, &count));
	struct json_writer w = fresh_body(s);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "items");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < count; i++)
		write_key(&w, &keys[i], NULL);
	ms_json_end_array(&w);
	ms_json_member_text(&w, "next_cursor", count == s->limit ? keys[count - 1].id : MS_SLICE_EMPTY);
	ms_json_end_object(&w);
	return MS_OK;
}

static void list(struct exchange *x, void *role)
{
	struct keys_work *s = MS_IDENTITY_BEGIN(x, role, struct keys_work);
	if (s == NULL || !ms_identity_page(x, &s->limit, &s->cursor))
		return;
	bool all = ms_http_may(x, "keys.read", MS_SLICE_LIT(""));
	if (ms_http_query(x, "owner", &s->owner) && s->owner.n > 0) {
		if (!ms_http_require(x, s->owner))
			return;
	} else if (!all) {
		s->owner = ms_auth_user_of(x);
		if (s->owner.n == 0) {
			ms_http_fail_code(x, MS_ERR_FORBIDDEN, "name the user whose keys these are: ?owner=ID");
			return;
		}
	}
	ms_identity_read(&s->w, read_list, send_body);
}

static enum ms_err read_one(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct keys_work *s = arg;
	struct auth_key key;
	MS_TRY(find_key(tx, s, "keys.read", info, &key));
	struct json_writer w = fresh_body(s);
	write_key(&w, &key, NULL);
	return MS_OK;
}

static void show(struct exchange *x, void *role)
{
	struct keys_work *s = MS_IDENTITY_BEGIN(x, role, struct keys_work);
	if (s == NULL)
		return;
	s->id = x->req.params[0];
	ms_identity_read(&s->w, read_one, send_body);
}

// --- Create, rotate ----------------------------------------------------------------------------------

static void write_made(struct keys_work *s, const struct auth_key *key, const char *secret)
{
	struct json_writer w = fresh_body(s);
	write_key(&w, key, secret);
	snprintf(s->place, sizeof(s->place), "/api/v1/auth/api-keys/%.*s", MS_SLICE_ARG(key->id));
}

static enum ms_err create_key(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct keys_work *s = arg;
	struct auth_key made;
	char secret[MS_API_KEY_SIZE];
	MS_TRY(check_owner(tx, s, s->owner, s->grants, info));
	const struct auth_key wanted = {
		.name = s->name,
		.owner_id = s->owner,
		.scopes = s->grants,
		.expires_us = s->seconds > 0 ? ms_store_now_us(tx) + s->seconds * 1000000 : 0,
	};
	MS_TRY(ms_auth_key_create(tx, s->w.identity->auth, &s->w.authority, &wanted, info, &made, secret));
	write_made(s, &made, secret);
	ms_wipe(secret, sizeof(secret));
	return MS_OK;
}

static enum ms_err read_seconds(const struct json_value *value, const char *name, int64_t least, int64_t most,
				struct errinfo *info, int64_t *seconds)
{
	if (value == NULL || value->type == JSON_NULL ||
	    (ms_json_as_i64(value, seconds) && *seconds >= least && *seconds <= most))
		return MS_OK;
	ms_errinfo_set_field(info, ms_slice_cstr(name));
	return ms_fail(info, MS_ERR_INVALID, "'%s' must be a number of seconds from %lld to %lld", name,
		       (long long)least, (long long)most);
}

static void create(struct exchange *x, void *role)
{
	struct keys_work *s = MS_IDENTITY_BEGIN(x, role, struct keys_work);
	if (s == NULL)
		return;
	const struct identity_field fields[] = {
		{.name = "name", .kind = FIELD_TEXT, .required = true, .to = &s->name},
		{.name = "scopes", .kind = FIELD_VALUE, .required = true, .to = &s->scopes},
		{.name = "expires_in", .kind = FIELD_VALUE, .to = &s->expires_in},
		{.name = "owner", .kind = FIELD_TEXT, .to = &s->owner},
	};
	if (!ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		return;
	s->w.err = ms_identity_read_grants(s->scopes, "scopes", x->arena, &s->w.info, &s->grants);
	if (s->w.err == MS_OK)
		s->w.err = read_seconds(s->expires_in, "expires_in", 1, LIFE_MAX_S, &s->w.info, &s->seconds);
	if (s->w.err != MS_OK) {
		ms_identity_fail(&s->w);
		return;
	}
	s->own = ms_auth_user_of(x);
	if (s->owner.n == 0)
		s->owner = s->own;
	if (ms_http_require(x, s->owner))
		ms_identity_write(&s->w, create_key, send_created, true);
}

static enum ms_err rotate_key(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct keys_work *s = arg;
	struct auth_key old, made;
	char secret[MS_API_KEY_SIZE];
	MS_TRY(find_key(tx, s, "keys.write", info, &old));
	MS_TRY(check_owner(tx, s, old.owner_id, old.scopes, info));
	MS_TRY(ms_auth_key_rotate(tx, s->w.identity->auth, &s->w.authority, s->id, s->seconds * 1000000, info, &made,
				  secret));
	write_made(s, &made, secret);
	ms_wipe(secret, sizeof(secret));
	return MS_OK;
}

static void rotate(struct exchange *x, void *role)
{
	struct keys_work *s = MS_IDENTITY_BEGIN(x, role, struct keys_work);
	if (s == NULL)
		return;
	const struct identity_field fields[] = {{.name = "overlap", .kind = FIELD_VALUE, .to = &s->overlap}};
	if (!ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		return;
	s->id = x->req.params[0];
	s->own = ms_auth_user_of(x);
	s->seconds = OVERLAP_DEFAULT_S;
	s->w.err = read_seconds(s->overlap, "overlap", 0, OVERLAP_MAX_S, &s->w.info, &s->seconds);
	if (s->w.err != MS_OK)
		ms_identity_fail(&s->w);
	else
		ms_identity_write(&s->w, rotate_key, send_created, true);
}

// --- Revoke ------------------------------------------------------------------------------------------

static enum ms_err revoke_key(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct keys_work *s = arg;
	struct auth_key key;
	MS_TRY(find_key(tx, s, "keys.write", info, &key));
	if (!is_own(s, key.owner_id) && !ms_grants_within(key.scopes, s->w.authority.limit))
		return ms_fail(info, MS_ERR_FORBIDDEN, "the key may do more than you may do yourself");
	return ms_auth_key_revoke(tx, s->w.identity->auth, &s->w.authority, s->id, info);
}

static void revoke(struct exchange *x, void *role)
{
	struct keys_work *s = MS_IDENTITY_BEGIN(x, role, struct keys_work);
	if (s == NULL)
		return;
	s->id = x->req.params[0];
	s->own = ms_auth_user_of(x);
	ms_identity_write(&s->w, revoke_key, ms_identity_send_nothing, true);
}

// --- Routes ------------------------------------------------------------------------------------------

static const struct route_param list_params[] = {
	{"limit", "integer", "Most items in the answer, 1 to 1000 (default 100)", false},
	{"cursor", "string", "next_cursor of the answer before", false},
	{"owner", "string", "Id of the user whose keys are shown; default all that the caller may see, or his own",
	 false},
	{0},
};

#define TEXT(name) "\"" name "\":{\"type\":\"string\"}"
#define TEXT_OR_NULL(name) "\"" name "\":{\"type\":[\"string\",\"null\"]}"
#define TIME(name) "\"" name "\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define SCOPES                                                                                            \
	"\"scopes\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":100,\"items\":{\"type\":\"string\"}," \
	"\"description\":"                                                                                \
	"\"Grants: permission, permission:object, group.* or *\"}"
#define KEY_MEMBERS                                                                                                   \
	TEXT("id")                                                                                                    \
	"," TEXT("name") "," TEXT("hint") "," TEXT_OR_NULL("owner_id") "," TEXT_OR_NULL("owner") "," SCOPES "," TIME( \
		"created_at") "," TIME("expires_at") "," TIME("last_used_at") "," TIME("revoked_at")
#define KEY "{\"type\":\"object\",\"properties\":{" KEY_MEMBERS "}}"
#define MADE_KEY                                                                                           \
	"{\"type\":\"object\",\"required\":[\"id\",\"key\"],\"properties\":{\"key\":{\"type\":\"string\"," \
	"\"description\":\"Shown "                                                                         \
	"this once\"}," KEY_MEMBERS "}}"
#define KEY_LIST                                                                            \
	"{\"type\":\"object\",\"properties\":{\"items\":{\"type\":\"array\",\"items\":" KEY \
	"}," TEXT_OR_NULL("next_cursor") "}}"
#define CREATE_REQUEST                                                                                            \
	"{\"type\":\"object\",\"required\":[\"name\",\"scopes\"],\"additionalProperties\":false,\"properties\":{" \
	"\"name\":{"                                                                                              \
	"\"type\":\"string\",\"minLength\":1,\"maxLength\":128}," SCOPES                                          \
	",\"expires_in\":{\"type\":[\"integer\",\"null\"],"                                                       \
	"\"minimum\":1,\"description\":\"Seconds; default "                                                       \
	"never\"},\"owner\":{\"type\":\"string\",\"description\":\"Id of a "                                      \
	"user; default the caller's\"}}}"
#define ROTATE_REQUEST                                                                                           \
	"{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"overlap\":{\"type\":\"integer\"," \
	"\"minimum\":0,"                                                                                         \
	"\"maximum\":2592000,\"default\":86400,\"description\":\"Seconds for which the old key works on\"}}}"

#define PATH "/api/v1/auth/api-keys"
#define ROW(verb, path, fn, id, text) \
	.method = verb, .pattern = PATH path, .handle = fn, .operation_id = id, .tag = "API keys", .summary = text

static const struct route routes[] = {
	{ROW(HTTP_GET, "", list, "list_api_keys", "API keys, the newest first"), .permission = "keys.read",
	 .query = list_params, .response_schema = KEY_LIST},
	{ROW(HTTP_POST, "", create, "create_api_key", "Make an API key; it is shown in this answer only"),
	 .permission = "keys.write", .request_type = IDENTITY_JSON, .request_schema = CREATE_REQUEST,
	 .request_example = "{\"name\":\"batch scoring\",\"scopes\":[\"predict:churn\"],\"expires_in\":7776000}",
	 .response_schema = MADE_KEY},
	{ROW(HTTP_GET, "/{key}", show, "show_api_key", "One API key"), .permission = "keys.read",
	 .response_schema = KEY},
	{ROW(HTTP_DELETE, "/{key}", revoke, "revoke_api_key", "Revoke an API key at once"), .permission = "keys.write"},
	{ROW(HTTP_POST, "/{key}/rotate", rotate, "rotate_api_key",
	     "Make a new key in place of this one, which works on for a while"),
	 .permission = "keys.write", .request_type = IDENTITY_JSON, .request_schema = ROTATE_REQUEST,
	 .request_example = "{\"overlap\":3600}", .response_schema = MADE_KEY},
};

struct identity_table ms_identity_keys_table(void)
{
	return (struct identity_table){routes, MS_ARRAY_LEN(routes)};
}
