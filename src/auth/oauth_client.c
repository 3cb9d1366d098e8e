// SPDX-License-Identifier: Apache-2.0
// OAuth clients: who they are, where they may be answered, how they prove it.
#include "auth/grants.h"
#include "auth/oauth.h"

#define HINT_CHARACTERS 8
#define JWKS_BYTES_MAX ((size_t)16 << 10)
#define JWKS_KEYS_MAX 10
#define ASSERTION_LIFE_MAX_S 600
#define ASSERTION_SKEW_S 30

static const struct {
	enum oauth_grant_type type;
	const char *name;
} grant_names[] = {
	{OAUTH_CODE, "authorization_code"},
	{OAUTH_REFRESH, "refresh_token"},
	{OAUTH_CLIENT, "client_credentials"},
	{OAUTH_DEVICE, "urn:ietf:params:oauth:grant-type:device_code"},
};

const char *ms_oauth_grant_name(enum oauth_grant_type type)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(grant_names); i++) {
		if (grant_names[i].type == type)
			return grant_names[i].name;
	}
	MS_ASSERT(false);
	return "";
}

bool ms_oauth_grant_find(struct slice name, enum oauth_grant_type *ret_type)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(grant_names); i++) {
		if (ms_slice_eq_cstr(name, grant_names[i].name)) {
			*ret_type = grant_names[i].type;
			return true;
		}
	}
	return false;
}

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

// --- Addresses ---------------------------------------------------------------------------------------

static bool next_uri(struct slice *rest, struct slice *ret_uri)
{
	while (ms_slice_next(rest, '\n', ret_uri)) {
		if (ret_uri->n > 0)
			return true;
	}
	return false;
}

// The host with its port, of "scheme://host:port/…"; *ret_rest begins behind it.
static struct slice authority_of(struct slice uri, struct slice *ret_rest)
{
	size_t from = ms_slice_find(uri, ':') + 3, to = from;
	while (to < uri.n && uri.p[to] != '/' && uri.p[to] != '?')
		to++;
	*ret_rest = ms_slice_sub(uri, to, SIZE_MAX);
	return ms_slice_sub(uri, from, to > from ? to - from : 0);
}

static bool all_digits(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	}
	return s.n <= 5;
}

// The host without its port, when it is a literal address of the loopback or, `named`, "localhost"; else empty.
static struct slice loopback_host(struct slice authority, bool named)
{
	static const char *const hosts[] = {"127.0.0.1", "[::1]", "localhost"};
	for (size_t i = 0; i < MS_ARRAY_LEN(hosts) - !named; i++) {
		struct slice host = ms_slice_cstr(hosts[i]);
		struct slice rest = ms_slice_sub(authority, host.n, SIZE_MAX);
		if (ms_slice_starts_with(authority, host) &&
		    (rest.n == 0 || (rest.p[0] == ':' && all_digits(ms_slice_sub(rest, 1, SIZE_MAX)))))
			return host;
	}
	return MS_SLICE_EMPTY;
}

static bool is_uri_text(struct slice uri)
{
	for (size_t i = 0; i < uri.n; i++) {
		char c = uri.p[i];
		if (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^`{|}#", c) != NULL)
			return false;
	}
	return true;
}

// A scheme of one's own is a name in reverse ("com.example.app"), so that "javascript:" and its like cannot be one (RFC 8252, section 7.1).
static bool is_private_scheme(struct slice scheme)
{
	bool dot = false;
	for (size_t i = 0; i < scheme.n; i++) {
		char c = scheme.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '+';
		if (!letter && c != '.')
			return false;
		dot |= c == '.' && i > 0 && i + 1 < scheme.n;
	}
	return dot && scheme.p[0] >= 'a' && scheme.p[0] <= 'z';
}

// A host name or address with its port: nothing that means more in a URI (user@host) or in a header (a semicolon).
static bool is_authority(struct slice authority)
{
	for (size_t i = 0; i < authority.n; i++) {
		char c = authority.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && (c == '\0' || strchr(".-_:[]", c) == NULL))
			return false;
	}
	return authority.n > 0;
}

static bool is_redirect_uri(struct slice uri)
{
	struct slice rest, scheme = ms_slice_sub(uri, 0, ms_slice_find(uri, ':'));
	if (uri.n == 0 || uri.n > MS_OAUTH_URI_MAX || !is_uri_text(uri) || scheme.n == uri.n || scheme.n == 0)
		return false;
	bool https = ms_slice_eq_cstr(scheme, "https"), http = ms_slice_eq_cstr(scheme, "http");
	if (!https && !http)
		return is_private_scheme(scheme);
	if (!ms_slice_starts_with(ms_slice_sub(uri, scheme.n, 3), MS_SLICE_LIT("://")))
		return false;
	struct slice authority = authority_of(uri, &rest);
	return is_authority(authority) && (https || loopback_host(authority, true).n > 0);
}

// The same but for the port, on a literal address of the loopback.
static bool same_loopback(struct slice wanted, struct slice uri)
{
	struct slice rest_a, rest_b, http = MS_SLICE_LIT("http://");
	if (!ms_slice_starts_with(wanted, http) || !ms_slice_starts_with(uri, http))
		return false;
	struct slice host_a = loopback_host(authority_of(wanted, &rest_a), false);
	struct slice host_b = loopback_host(authority_of(uri, &rest_b), false);
	return host_a.n > 0 && ms_slice_eq(host_a, host_b) && ms_slice_eq(rest_a, rest_b);
}

bool ms_oauth_redirect_ok(const struct oauth_client *client, struct slice uri)
{
	struct slice one, rest = client->redirect_uris;
	while (next_uri(&rest, &one)) {
		if (ms_slice_eq(one, uri) || same_loopback(one, uri))
			return uri.n > 0;
	}
	return false;
}

bool ms_oauth_logout_uri_ok(const struct oauth_client *client, struct slice uri)
{
	struct slice one, rest = client->logout_uris;
	while (next_uri(&rest, &one)) {
		if (ms_slice_eq(one, uri))
			return uri.n > 0;
	}
	return false;
}

bool ms_oauth_client_is_assured(const struct oauth_client *client, struct slice redirect_uri)
{
	return client->confidential || ms_slice_starts_with(redirect_uri, MS_SLICE_LIT("https://"));
}

// --- Rows --------------------------------------------------------------------------------------------

#define COLUMNS                                                                                                      \
	"id, name, confidential, trusted, introspects, grant_types, redirect_uris, logout_uris, scope, jwks, hint, " \
	"epoch, "                                                                                                    \
	"created_us, secret_changed_us, secret"

static void read_row(const struct store_rows *rows, size_t row, struct oauth_client *client)
{
	*client = (struct oauth_client){
		.id = ms_store_get_text(rows, row, 0),
		.name = ms_store_get_text(rows, row, 1),
		.confidential = ms_store_get_int(rows, row, 2) != 0,
		.trusted = ms_store_get_int(rows, row, 3) != 0,
		.introspects = ms_store_get_int(rows, row, 4) != 0,
		.grant_types = (unsigned)ms_store_get_int(rows, row, 5),
		.redirect_uris = ms_store_get_text(rows, row, 6),
		.logout_uris = ms_store_get_text(rows, row, 7),
		.scope = ms_store_get_text(rows, row, 8),
		.jwks = ms_store_get_text(rows, row, 9),
		.hint = ms_store_get_text(rows, row, 10),
		.epoch = ms_store_get_text(rows, row, 11),
		.created_us = ms_store_get_int(rows, row, 12),
		.secret_changed_us = ms_store_get_int(rows, row, 13),
	};
}

static enum ms_err find(struct store_tx *tx, struct slice id, struct errinfo *info, bool *ret_found,
			struct oauth_client *ret_client, struct slice *ret_secret)
{
	struct store_rows rows;
	*ret_found = false;
	if (id.n != MS_AUTH_ID_SIZE - 1 || !is_uri_text(id))
		return MS_OK;
	MS_TRY(ms_store_query(tx, "SELECT " COLUMNS " FROM oauth_clients WHERE id = $1",
			      MS_STORE_PARAMS(ms_store_text(id)), 1, info, &rows));
	*ret_found = rows.count > 0;
	if (rows.count == 0)
		return MS_OK;
	read_row(&rows, 0, ret_client);
	*ret_secret = ms_store_get_blob(&rows, 0, 14);
	return MS_OK;
}

enum ms_err ms_oauth_client_find(struct store_tx *tx, struct slice id, struct errinfo *info, bool *ret_found,
				 struct oauth_client *ret_client)
{
	struct slice secret;
	return find(tx, id, info, ret_found, ret_client, &secret);
}

enum ms_err ms_oauth_client_get(struct store_tx *tx, struct slice id, struct errinfo *info,
				struct oauth_client *ret_client)
{
	bool found;
	MS_TRY(ms_oauth_client_find(tx, id, info, &found, ret_client));
	return found ? MS_OK
		     : ms_fail(info, MS_ERR_NOT_FOUND, "there is no OAuth client with the id '%.*s'",
			       (int)MS_MIN(id.n, (size_t)64), id.n > 0 ? id.p : "");
}

enum ms_err ms_oauth_client_list(struct store_tx *tx, struct slice after, size_t limit, struct errinfo *info,
				 struct oauth_client **ret_clients, size_t *ret_count)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT " COLUMNS " FROM oauth_clients WHERE id > $1 ORDER BY id LIMIT $2",
			      MS_STORE_PARAMS(ms_store_text(after.p != NULL ? after : MS_SLICE_LIT("")),
					      ms_store_int((int64_t)limit)),
			      limit, info, &rows));
	struct oauth_client *clients = MS_ARENA_ARRAY(ms_store_arena(tx), struct oauth_client, rows.count);
	if (clients == NULL)
		return no_memory(info);
	for (size_t i = 0; i < rows.count; i++)
		read_row(&rows, i, &clients[i]);
	*ret_clients = clients;
	*ret_count = rows.count;
	return MS_OK;
}

enum ms_err ms_oauth_client_copy(const struct oauth_client *client, struct arena *arena, struct errinfo *info,
				 struct oauth_client *ret_client)
{
	struct oauth_client copy = *client;
	struct slice *texts[] = {&copy.id,    &copy.name, &copy.redirect_uris, &copy.logout_uris,
				 &copy.scope, &copy.jwks, &copy.hint,          &copy.epoch};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		if (!ms_oauth_keep(arena, texts[i]))
			return no_memory(info);
	}
	*ret_client = copy;
	return MS_OK;
}

// --- Changes -----------------------------------------------------------------------------------------

static enum ms_err bad(struct errinfo *info, const char *field, const char *message)
{
	ms_errinfo_set_field(info, ms_slice_cstr(field));
	return ms_fail(info, MS_ERR_INVALID, "%s", message);
}

static enum ms_err check_uris(struct slice uris, const char *field, bool needed, struct errinfo *info)
{
	struct slice one;
	size_t count = 0;
	while (next_uri(&uris, &one)) {
		if (++count > MS_OAUTH_URIS_MAX)
			return bad(info, field, "a client has at most 20 of these addresses");
		if (is_redirect_uri(one))
			continue;
		ms_errinfo_set_field(info, ms_slice_cstr(field));
		return ms_fail(info, MS_ERR_INVALID,
			       "'%.*s' is no address a client may be answered at: https://…, http:// on 127.0.0.1, "
			       "[::1] or localhost, or a "
			       "scheme of its own with a dot (com.example.app:/callback), without '#'",
			       (int)MS_MIN(one.n, (size_t)200), one.p);
	}
	return count > 0 || !needed
		       ? MS_OK
		       : bad(info, field, "a client that signs people in needs an address to be answered at");
}

static enum ms_err check_jwks(struct slice jwks, struct arena *arena, struct errinfo *info)
{
	struct jose_keys keys;
	if (jwks.n > JWKS_BYTES_MAX)
		return bad(info, "jwks", "the keys have more than 16 KiB");
	MS_TRY(ms_jose_keys_parse(jwks, JWKS_KEYS_MAX, arena, info, &keys));
	bool good = keys.count > 0;
	for (size_t i = 0; i < keys.count; i++) {
		enum jose_alg alg = ms_jose_key_alg(keys.keys[i]);
		good = good && !ms_jose_key_is_private(keys.keys[i]) && alg != JOSE_HS256 && alg != JOSE_HS384 &&
		       alg != JOSE_HS512;
		ms_jose_key_unref(keys.keys[i]);
	}
	return good ? MS_OK : bad(info, "jwks", "the keys must be public ones, at least one");
}

static enum ms_err check_name(struct slice name, struct errinfo *info)
{
	bool good = name.n > 0 && name.n <= MS_OAUTH_NAME_MAX && ms_utf8_valid_prefix(name) == name.n;
	for (size_t i = 0; good && i < name.n; i++)
		good = (unsigned char)name.p[i] >= 0x20 && name.p[i] != 0x7f;
	return good ? MS_OK
		    : bad(info, "name",
			  "a client needs a name of 1 to 100 bytes, which people see when they are asked");
}

static enum ms_err check(struct store_tx *tx, const struct auth_authority *authority, const struct oauth_client *c,
			 struct errinfo *info, struct slice *ret_scope)
{
	const struct grants *grants;
	struct arena *arena = ms_store_arena(tx);
	MS_TRY(check_name(c->name, info));
	if (c->grant_types == 0)
		return bad(info, "grant_types", "a client needs at least one grant type");
	if (c->grant_types == OAUTH_REFRESH)
		return bad(info, "grant_types", "refresh_token needs another grant type that gives such tokens");
	if ((c->grant_types & OAUTH_CLIENT) != 0 && !c->confidential)
		return bad(info, "grant_types",
			   "client_credentials is for confidential clients: a public one cannot keep a secret");
	if (c->introspects && !c->confidential)
		return bad(info, "introspects", "only a confidential client may ask about tokens");
	MS_TRY(check_uris(c->redirect_uris, "redirect_uris", (c->grant_types & OAUTH_CODE) != 0, info));
	MS_TRY(check_uris(c->logout_uris, "logout_uris", false, info));
	if (c->jwks.n > 0 && !c->confidential)
		return bad(info, "jwks", "a client with keys is a confidential one");
	if (c->jwks.n > 0)
		MS_TRY(check_jwks(c->jwks, arena, info));
	ms_errinfo_set_field(info, MS_SLICE_LIT("scope"));
	MS_TRY(ms_oauth_scope_read(c->scope, arena, info, ret_scope));
	if (ret_scope->n == 0)
		return bad(info, "scope", "a client needs a scope: what it may ask for at most");
	MS_TRY(ms_oauth_scope_grants(*ret_scope, arena, info, &grants));
	if ((c->grant_types & OAUTH_CLIENT) != 0 && ms_grants_count(grants) == 0)
		return bad(info, "scope", "client_credentials needs a grant in the scope, such as \"predict\"");
	if (authority->limit != NULL && !ms_grants_within(grants, authority->limit))
		return ms_fail(info, MS_ERR_FORBIDDEN, "the scope allows more than you may do yourself");
	// Nobody is asked before it gets tokens of him, whoever he is.
	if (c->trusted && authority->limit != NULL && !ms_grants_within(MS_GRANTS_ALL, authority->limit)) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("trusted"));
		return ms_fail(info, MS_ERR_FORBIDDEN, "only who may do everything makes a client trusted");
	}
	ms_errinfo_set_field(info, MS_SLICE_EMPTY);
	return MS_OK;
}

static enum ms_err record(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
			  enum auth_event event, const struct oauth_client *client, struct errinfo *info)
{
	struct buf details;
	struct json_writer w;
	struct arena *arena = ms_store_arena(tx);
	ms_buf_init(&details, (size_t)64 << 10);
	ms_json_writer_init(&w, &details);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "name");
	ms_json_str(&w, client->name);
	if (event == AUTH_CLIENT_CREATED) {
		ms_json_key_lit(&w, "scope");
		ms_json_str(&w, client->scope);
		ms_json_key_lit(&w, "confidential");
		ms_json_bool(&w, client->confidential);
		ms_json_key_lit(&w, "trusted");
		ms_json_bool(&w, client->trusted);
	}
	ms_json_end_object(&w);
	struct slice text = ms_buf_ok(&details) ? ms_arena_copy(arena, ms_buf_slice(&details)) : MS_SLICE_EMPTY;
	ms_buf_fini(&details);
	if (text.p == NULL)
		return no_memory(info);
	const struct audit_entry entry = {.event = event,
					  .actor = *authority->by,
					  .target = ms_auth_target("client", client->id, arena),
					  .details = text};
	return ms_audit_append(tx, auth, &entry, info);
}

static struct slice fresh_id(struct arena *arena)
{
	char *id = ms_arena_alloc(arena, MS_AUTH_ID_SIZE);
	if (id == NULL)
		return MS_SLICE_EMPTY;
	ms_auth_id(id);
	return ms_slice(id, MS_AUTH_ID_SIZE - 1);
}

static struct slice or_empty(struct slice text)
{
	return text.p != NULL ? text : MS_SLICE_LIT("");
}

enum ms_err ms_oauth_client_add(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
				const struct oauth_client *fields, struct errinfo *info,
				struct oauth_client *ret_client, char ret_secret[MS_API_KEY_SIZE])
{
	struct oauth_client c = *fields;
	struct oauth_secret secret = {0};
	struct arena *arena = ms_store_arena(tx);
	MS_TRY(check(tx, authority, fields, info, &c.scope));
	bool has_secret = c.confidential && c.jwks.n == 0;
	if (has_secret)
		ms_oauth_secret_make(MS_OAUTH_SECRET_PREFIX, &secret);
	c.id = fresh_id(arena);
	c.epoch = fresh_id(arena);
	c.hint = has_secret ? ms_arena_copy(arena, ms_slice(secret.text, HINT_CHARACTERS)) : MS_SLICE_LIT("");
	c.redirect_uris = or_empty(c.redirect_uris);
	c.logout_uris = or_empty(c.logout_uris);
	c.jwks = or_empty(c.jwks);
	c.created_us = c.secret_changed_us = ms_store_now_us(tx);
	if (c.id.p == NULL || c.epoch.p == NULL || c.hint.p == NULL)
		return no_memory(info);
	MS_TRY(ms_store_run(
		tx,
		"INSERT INTO oauth_clients (" COLUMNS
		") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
		MS_STORE_PARAMS(ms_store_text(c.id), ms_store_text(c.name), ms_store_int(c.confidential),
				ms_store_int(c.trusted), ms_store_int(c.introspects), ms_store_int(c.grant_types),
				ms_store_text(c.redirect_uris), ms_store_text(c.logout_uris), ms_store_text(c.scope),
				ms_store_text(c.jwks), ms_store_text(c.hint), ms_store_text(c.epoch),
				ms_store_int(c.created_us), ms_store_int(c.secret_changed_us),
				has_secret ? ms_store_blob(ms_slice(secret.digest, MS_SHA256_SIZE)) : ms_store_null()),
		info, NULL));
	memcpy(ret_secret, secret.text, MS_API_KEY_SIZE);
	ms_wipe(&secret, sizeof(secret));
	*ret_client = c;
	return record(tx, auth, authority, AUTH_CLIENT_CREATED, &c, info);
}

// Who may not give a client what it has may not take its place either.
static enum ms_err check_limit(struct store_tx *tx, const struct auth_authority *authority,
			       const struct oauth_client *c, struct errinfo *info)
{
	const struct grants *grants;
	MS_TRY(ms_oauth_scope_grants(c->scope, ms_store_arena(tx), info, &grants));
	if (authority->limit == NULL || ms_grants_within(grants, authority->limit))
		return MS_OK;
	return ms_fail(info, MS_ERR_FORBIDDEN, "the client may do more than you may do yourself");
}

enum ms_err ms_oauth_client_remove(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
				   struct slice id, struct errinfo *info)
{
	struct oauth_client c;
	struct store_rows rows;
	MS_TRY(ms_oauth_client_get(tx, id, info, &c));
	MS_TRY(check_limit(tx, authority, &c, info));
	do {
		MS_TRY(ms_store_query(tx, "SELECT id FROM sessions WHERE client_id = $1 AND revoked_us = 0 LIMIT 1000",
				      MS_STORE_PARAMS(ms_store_text(id)), 1000, info, &rows));
		MS_TRY(ms_oauth_end_sessions(tx, &rows, info));
	} while (rows.count > 0);
	MS_TRY(ms_auth_void_session(tx, c.epoch, info));
	MS_TRY(ms_store_run(tx, "DELETE FROM oauth_clients WHERE id = $1", MS_STORE_PARAMS(ms_store_text(id)), info,
			    NULL));
	return record(tx, auth, authority, AUTH_CLIENT_REMOVED, &c, info);
}

enum ms_err ms_oauth_client_rotate(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
				   struct slice id, struct errinfo *info, struct oauth_client *ret_client,
				   char ret_secret[MS_API_KEY_SIZE])
{
	struct oauth_client c;
	struct oauth_secret secret;
	struct arena *arena = ms_store_arena(tx);
	MS_TRY(ms_oauth_client_get(tx, id, info, &c));
	MS_TRY(check_limit(tx, authority, &c, info));
	if (!c.confidential || c.jwks.n > 0)
		return ms_fail(info, MS_ERR_CONFLICT, "this client has no secret");
	MS_TRY(ms_auth_void_session(tx, c.epoch, info));
	ms_oauth_secret_make(MS_OAUTH_SECRET_PREFIX, &secret);
	c.epoch = fresh_id(arena);
	c.hint = ms_arena_copy(arena, ms_slice(secret.text, HINT_CHARACTERS));
	c.secret_changed_us = ms_store_now_us(tx);
	if (c.epoch.p == NULL || c.hint.p == NULL)
		return no_memory(info);
	MS_TRY(ms_store_run(
		tx, "UPDATE oauth_clients SET secret = $2, hint = $3, epoch = $4, secret_changed_us = $5 WHERE id = $1",
		MS_STORE_PARAMS(ms_store_text(id), ms_store_blob(ms_slice(secret.digest, MS_SHA256_SIZE)),
				ms_store_text(c.hint), ms_store_text(c.epoch), ms_store_int(c.secret_changed_us)),
		info, NULL));
	memcpy(ret_secret, secret.text, MS_API_KEY_SIZE);
	ms_wipe(&secret, sizeof(secret));
	*ret_client = c;
	return record(tx, auth, authority, AUTH_CLIENT_CHANGED, &c, info);
}

// --- Proof -------------------------------------------------------------------------------------------

static bool secret_fits(struct slice given, struct slice stored)
{
	uint8_t digest[MS_SHA256_SIZE];
	return stored.n == MS_SHA256_SIZE && ms_oauth_secret_digest(given, MS_OAUTH_SECRET_PREFIX, digest) &&
	       ms_equal_constant_time(ms_slice(digest, sizeof(digest)), stored);
}

static bool is_audience(struct auth *auth, const struct json_value *claims, struct arena *arena)
{
	struct slice aud;
	const struct json_value *value = ms_json_get(claims, "aud");
	if (value != NULL && value->type == JSON_ARRAY && value->array.count == 1)
		value = &value->array.items[0];
	if (!ms_json_as_str(value, &aud))
		return false;
	struct slice token = ms_oauth_endpoint(auth, "/oauth/token", arena);
	return ms_slice_eq_cstr(aud, auth->options.issuer) || (token.p != NULL && ms_slice_eq(aud, token));
}

// Each assertion counts once.
static enum ms_err use_up(struct store_tx *tx, struct slice client_id, struct slice jti, int64_t expires_s,
			  struct errinfo *info, bool *ret_new)
{
	uint64_t changed;
	MS_TRY(ms_store_run(tx,
			    "INSERT INTO oauth_assertions (client_id, jti, expires_us) VALUES ($1, $2, $3) ON CONFLICT "
			    "(client_id, jti) DO NOTHING",
			    MS_STORE_PARAMS(ms_store_text(client_id), ms_store_text(jti),
					    ms_store_int((expires_s + ASSERTION_SKEW_S) * 1000000)),
			    info, &changed));
	*ret_new = changed > 0;
	return MS_OK;
}

static enum ms_err assertion_fits(struct store_tx *tx, struct auth *auth, const struct oauth_client *client,
				  struct slice assertion, struct errinfo *info, bool *ret_fits)
{
	struct arena *arena = ms_store_arena(tx);
	struct jose_keys keys;
	struct jwt_claims jwt;
	struct errinfo ignored;
	int64_t now_s = ms_clock_wall_ns() / 1000000000;
	const struct jwt_policy policy = {.issuer = client->id,
					  .now_s = now_s,
					  .skew_s = ASSERTION_SKEW_S,
					  .needs_expiry = true,
					  .needs_subject = true};
	*ret_fits = false;
	ms_errinfo_init(&ignored);
	MS_TRY(ms_jose_keys_parse(client->jwks, JWKS_KEYS_MAX, arena, info, &keys));
	enum ms_err err = ms_jwt_verify(assertion, keys, &policy, arena, &ignored, &jwt);
	for (size_t i = 0; i < keys.count; i++)
		ms_jose_key_unref(keys.keys[i]);
	if (err == MS_ERR_NO_MEMORY)
		return no_memory(info);
	bool good = err == MS_OK && ms_slice_eq(jwt.subject, client->id) && jwt.id.n > 0 && jwt.id.n <= 256 &&
		    jwt.expires_s <= now_s + ASSERTION_LIFE_MAX_S && is_audience(auth, jwt.all, arena);
	return good ? use_up(tx, client->id, jwt.id, jwt.expires_s, info, ret_fits) : MS_OK;
}

// With `typ` "JWT", none, or as RFC 7523bis names it.
enum ms_err ms_oauth_client_check(struct store_tx *tx, struct auth *auth, const struct oauth_credentials *credentials,
				  struct errinfo *info, struct oauth_refusal *refusal, struct oauth_client *ret_client)
{
	struct slice stored = MS_SLICE_EMPTY;
	bool found, fits = false;
	MS_TRY(find(tx, credentials->id, info, &found, ret_client, &stored));
	if (found && credentials->assertion.p != NULL && ret_client->jwks.n > 0 && credentials->secret.p == NULL)
		MS_TRY(assertion_fits(tx, auth, ret_client, credentials->assertion, info, &fits));
	else if (found && credentials->secret.p != NULL && credentials->assertion.p == NULL)
		fits = secret_fits(credentials->secret, stored);
	else if (found && credentials->secret.p == NULL && credentials->assertion.p == NULL)
		fits = !ret_client->confidential;
	if (!fits)
		ms_oauth_refuse(refusal, "invalid_client", "the client is unknown, or did not prove who it is");
	return MS_OK;
}
