// SPDX-License-Identifier: Apache-2.0
// /api/v1/auth/clients: OAuth clients for administrators; /api/v1/auth/consents: what a user allowed them.
#include <stdio.h>

#include "identity/private.h"

struct clients_work {
	struct identity_work w;
	struct slice id, cursor, user_id;
	size_t limit;
	struct oauth_client fields;
	const struct json_value *redirect_uris, *logout_uris, *grant_types, *jwks;
	char place[96];
};

// --- Writing -----------------------------------------------------------------------------------------

static void write_lines(struct json_writer *w, const char *name, struct slice lines)
{
	struct slice line;
	ms_json_key_lit(w, name);
	ms_json_begin_array(w);
	while (ms_slice_next(&lines, '\n', &line)) {
		if (line.n > 0)
			ms_json_str(w, line);
	}
	ms_json_end_array(w);
}

static void write_grant_types(struct json_writer *w, unsigned types)
{
	ms_json_key_lit(w, "grant_types");
	ms_json_begin_array(w);
	for (unsigned bit = OAUTH_CODE; bit <= OAUTH_DEVICE; bit <<= 1) {
		if ((types & bit) != 0)
			ms_json_cstr(w, ms_oauth_grant_name((enum oauth_grant_type)bit));
	}
	ms_json_end_array(w);
}

static void write_flag(struct json_writer *w, const char *name, bool flag)
{
	ms_json_key_lit(w, name);
	ms_json_bool(w, flag);
}

static void write_client(struct json_writer *w, const struct oauth_client *c, const char *secret)
{
	ms_json_begin_object(w);
	ms_json_key_lit(w, "id");
	ms_json_str(w, c->id);
	ms_json_key_lit(w, "name");
	ms_json_str(w, c->name);
	if (secret != NULL && secret[0] != '\0') {
		ms_json_key_lit(w, "secret");
		ms_json_cstr(w, secret);
	}
	ms_json_member_text(w, "hint", c->hint);
	write_flag(w, "confidential", c->confidential);
	write_flag(w, "trusted", c->trusted);
	write_flag(w, "introspects", c->introspects);
	write_grant_types(w, c->grant_types);
	write_lines(w, "redirect_uris", c->redirect_uris);
	write_lines(w, "post_logout_redirect_uris", c->logout_uris);
	ms_json_key_lit(w, "scope");
	ms_json_str(w, c->scope);
	ms_json_key_lit(w, "jwks");
	if (c->jwks.n > 0)
		ms_json_raw(w, c->jwks);
	else
		ms_json_null(w);
	ms_json_member_time(w, "created_at", c->created_us);
	ms_json_member_time(w, "secret_changed_at", c->secret_changed_us);
	ms_json_end_object(w);
}

// The answer is built inside the transaction, which may run again.
static struct json_writer fresh_body(struct clients_work *s)
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
	struct clients_work *s = MS_CONTAINER_OF(w, struct clients_work, w);
	ms_http_set_header(w->x, "Location", ms_slice_cstr(s->place));
	ms_http_send_json(w->x, 201);
}

// --- Reading -----------------------------------------------------------------------------------------

static enum ms_err read_list(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct clients_work *s = arg;
	struct oauth_client *clients;
	size_t count;
	MS_TRY(ms_oauth_client_list(tx, s->cursor, s->limit, info, &clients, &count));
	struct json_writer w = fresh_body(s);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "items");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < count; i++)
		write_client(&w, &clients[i], NULL);
	ms_json_end_array(&w);
	ms_json_member_text(&w, "next_cursor", count == s->limit ? clients[count - 1].id : MS_SLICE_EMPTY);
	ms_json_end_object(&w);
	return MS_OK;
}

static void list(struct exchange *x, void *role)
{
	struct clients_work *s = MS_IDENTITY_BEGIN(x, role, struct clients_work);
	if (s != NULL && ms_identity_page(x, &s->limit, &s->cursor))
		ms_identity_read(&s->w, read_list, send_body);
}

static struct clients_work *begin(struct exchange *x, void *role)
{
	struct clients_work *s = MS_IDENTITY_BEGIN(x, role, struct clients_work);
	if (s != NULL)
		s->id = x->req.params[0];
	return s;
}

static enum ms_err read_one(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct clients_work *s = arg;
	struct oauth_client client;
	MS_TRY(ms_oauth_client_get(tx, s->id, info, &client));
	struct json_writer w = fresh_body(s);
	write_client(&w, &client, NULL);
	return MS_OK;
}

static void show(struct exchange *x, void *role)
{
	struct clients_work *s = begin(x, role);
	if (s != NULL)
		ms_identity_read(&s->w, read_one, send_body);
}

// --- Adding ------------------------------------------------------------------------------------------

static enum ms_err take_lines(const struct json_value *list, const char *name, struct arena *arena,
			      struct errinfo *info, struct slice *ret_lines)
{
	struct buf lines;
	struct slice text;
	if (list == NULL)
		return MS_OK;
	ms_errinfo_set_field(info, ms_slice_cstr(name));
	if (list->type != JSON_ARRAY)
		return ms_fail(info, MS_ERR_JSON_TYPE, "'%s' must be an array of strings", name);
	ms_buf_init(&lines, (size_t)MS_OAUTH_URIS_MAX * 2 * MS_OAUTH_URI_MAX);
	bool good = true;
	for (size_t i = 0; good && i < list->array.count; i++) {
		good = ms_json_as_str(&list->array.items[i], &text) && ms_slice_find(text, '\n') == text.n &&
		       text.n > 0;
		ms_buf_append_slice(&lines, good ? text : MS_SLICE_EMPTY);
		ms_buf_append_char(&lines, '\n');
	}
	*ret_lines = good && ms_buf_ok(&lines) ? ms_arena_copy(arena, ms_buf_slice(&lines)) : MS_SLICE_EMPTY;
	bool whole = ms_buf_ok(&lines);
	ms_buf_fini(&lines);
	if (!good)
		return ms_fail(info, MS_ERR_JSON_TYPE, "'%s' must be an array of strings that are not empty", name);
	return whole && ret_lines->p != NULL ? MS_OK : ms_fail(info, MS_ERR_LIMIT, "'%s' is too long", name);
}

static enum ms_err take_grant_types(const struct json_value *list, struct errinfo *info, unsigned *ret_types)
{
	struct slice name;
	enum oauth_grant_type type;
	*ret_types = OAUTH_CODE | OAUTH_REFRESH;
	if (list == NULL)
		return MS_OK;
	*ret_types = 0;
	ms_errinfo_set_field(info, MS_SLICE_LIT("grant_types"));
	for (size_t i = 0; list->type == JSON_ARRAY && i < list->array.count; i++) {
		if (!ms_json_as_str(&list->array.items[i], &name) || !ms_oauth_grant_find(name, &type))
			return ms_fail(info, MS_ERR_INVALID,
				       "grant_types are authorization_code, refresh_token, client_credentials and "
				       "urn:ietf:params:oauth:grant-type:device_code");
		*ret_types |= type;
	}
	return list->type == JSON_ARRAY ? MS_OK : ms_fail(info, MS_ERR_JSON_TYPE, "'grant_types' must be an array");
}

static enum ms_err take_jwks(const struct json_value *jwks, struct arena *arena, struct errinfo *info,
			     struct slice *ret_jwks)
{
	struct buf text;
	struct json_writer w;
	if (jwks == NULL || jwks->type == JSON_NULL)
		return MS_OK;
	ms_buf_init(&text, (size_t)64 << 10);
	ms_json_writer_init(&w, &text);
	ms_json_value(&w, jwks);
	*ret_jwks = ms_buf_ok(&text) ? ms_arena_copy(arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	ms_errinfo_set_field(info, MS_SLICE_LIT("jwks"));
	return ret_jwks->p != NULL ? MS_OK : ms_fail(info, MS_ERR_LIMIT, "'jwks' is too long");
}

static void write_made(struct clients_work *s, const struct oauth_client *client, const char *secret)
{
	struct json_writer w = fresh_body(s);
	write_client(&w, client, secret);
	snprintf(s->place, sizeof(s->place), "/api/v1/auth/clients/%.*s", MS_SLICE_ARG(client->id));
}

static enum ms_err add_client(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct clients_work *s = arg;
	struct oauth_client client;
	char secret[MS_API_KEY_SIZE];
	MS_TRY(ms_oauth_client_add(tx, s->w.identity->auth, &s->w.authority, &s->fields, info, &client, secret));
	write_made(s, &client, secret);
	ms_wipe(secret, sizeof(secret));
	return MS_OK;
}

static void add(struct exchange *x, void *role)
{
	struct clients_work *s = MS_IDENTITY_BEGIN(x, role, struct clients_work);
	if (s == NULL)
		return;
	s->fields.confidential = true;
	const struct identity_field fields[] = {
		{.name = "name", .kind = FIELD_TEXT, .required = true, .to = &s->fields.name},
		{.name = "scope", .kind = FIELD_TEXT, .required = true, .to = &s->fields.scope},
		{.name = "confidential", .kind = FIELD_FLAG, .to = &s->fields.confidential},
		{.name = "trusted", .kind = FIELD_FLAG, .to = &s->fields.trusted},
		{.name = "introspects", .kind = FIELD_FLAG, .to = &s->fields.introspects},
		{.name = "grant_types", .kind = FIELD_VALUE, .to = &s->grant_types},
		{.name = "redirect_uris", .kind = FIELD_VALUE, .to = &s->redirect_uris},
		{.name = "post_logout_redirect_uris", .kind = FIELD_VALUE, .to = &s->logout_uris},
		{.name = "jwks", .kind = FIELD_VALUE, .to = &s->jwks},
	};
	if (!ms_identity_body(x, fields, MS_ARRAY_LEN(fields)))
		return;
	enum ms_err err = take_lines(s->redirect_uris, "redirect_uris", x->arena, &s->w.info, &s->fields.redirect_uris);
	if (err == MS_OK)
		err = take_lines(s->logout_uris, "post_logout_redirect_uris", x->arena, &s->w.info,
				 &s->fields.logout_uris);
	if (err == MS_OK)
		err = take_grant_types(s->grant_types, &s->w.info, &s->fields.grant_types);
	if (err == MS_OK)
		err = take_jwks(s->jwks, x->arena, &s->w.info, &s->fields.jwks);
	if (err != MS_OK)
		ms_http_fail(x, &s->w.info);
	else
		ms_identity_write(&s->w, add_client, send_created, false);
}

// --- Changing ----------------------------------------------------------------------------------------

static enum ms_err rotate_secret(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct clients_work *s = arg;
	struct oauth_client client;
	char secret[MS_API_KEY_SIZE];
	MS_TRY(ms_oauth_client_rotate(tx, s->w.identity->auth, &s->w.authority, s->id, info, &client, secret));
	write_made(s, &client, secret);
	ms_wipe(secret, sizeof(secret));
	return MS_OK;
}

static void rotate(struct exchange *x, void *role)
{
	struct clients_work *s = begin(x, role);
	if (s != NULL)
		ms_identity_write(&s->w, rotate_secret, send_body, true);
}

static enum ms_err remove_client(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct clients_work *s = arg;
	return ms_oauth_client_remove(tx, s->w.identity->auth, &s->w.authority, s->id, info);
}

static void remove_handler(struct exchange *x, void *role)
{
	struct clients_work *s = begin(x, role);
	if (s != NULL)
		ms_identity_write(&s->w, remove_client, ms_identity_send_nothing, true);
}

// --- Consents ----------------------------------------------------------------------------------------

static enum ms_err read_consents(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct clients_work *s = arg;
	struct oauth_consent *consents;
	size_t count;
	MS_TRY(ms_oauth_consent_list(tx, s->user_id, info, &consents, &count));
	struct json_writer w = fresh_body(s);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "items");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < count; i++) {
		ms_json_begin_object(&w);
		ms_json_key_lit(&w, "client_id");
		ms_json_str(&w, consents[i].client_id);
		ms_json_key_lit(&w, "client_name");
		ms_json_str(&w, consents[i].client_name);
		ms_json_key_lit(&w, "scope");
		ms_json_str(&w, consents[i].scope);
		ms_json_member_time(&w, "given_at", consents[i].given_us);
		ms_json_end_object(&w);
	}
	ms_json_end_array(&w);
	ms_json_key_lit(&w, "next_cursor");
	ms_json_null(&w);
	ms_json_end_object(&w);
	return MS_OK;
}

static void consents(struct exchange *x, void *role)
{
	struct clients_work *s = MS_IDENTITY_BEGIN(x, role, struct clients_work);
	if (s != NULL && ms_identity_own(x, &s->user_id))
		ms_identity_read(&s->w, read_consents, send_body);
}

static enum ms_err withdraw(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct clients_work *s = arg;
	return ms_oauth_consent_withdraw(tx, s->w.identity->auth, &s->w.actor, s->user_id, s->id, info);
}

static void consent_remove(struct exchange *x, void *role)
{
	struct clients_work *s = begin(x, role);
	if (s != NULL && ms_identity_own(x, &s->user_id))
		ms_identity_write(&s->w, withdraw, ms_identity_send_nothing, true);
}

// --- Routes ------------------------------------------------------------------------------------------

#define TEXT(name) "\"" name "\":{\"type\":\"string\"}"
#define TEXT_OR_NULL(name) "\"" name "\":{\"type\":[\"string\",\"null\"]}"
#define FLAG(name) "\"" name "\":{\"type\":\"boolean\"}"
#define TEXTS(name) "\"" name "\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}"
#define TIME(name) "\"" name "\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define FIELDS                                                                                                 \
	TEXT("name")                                                                                           \
	"," TEXT("scope") "," FLAG("confidential") "," FLAG("trusted") "," FLAG("introspects") "," TEXTS(      \
		"grant_types") "," TEXTS("redirect_uris") "," TEXTS("post_logout_redirect_uris") ",\"jwks\":{" \
												 "\"type\":["  \
												 "\"object\"," \
												 "\"null\"]}"
#define NEW_CLIENT                                                                                              \
	"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"name\",\"scope\"],\"properties\":" \
	"{" FIELDS "}}"
#define CLIENT                                                                                                      \
	"{\"type\":\"object\",\"required\":[\"id\",\"name\",\"confidential\",\"grant_types\",\"redirect_uris\","    \
	"\"scope\"],\"properties\":{" TEXT("id") "," TEXT_OR_NULL(                                                  \
		"hint") ",\"secret\":{\"type\":\"string\",\"description\":\"Shown once, when it is made\"}," FIELDS \
			"," TIME("created_at") "," TIME("secret_changed_at") "}}"
#define CLIENTS                                                                                                        \
	"{\"type\":\"object\",\"required\":[\"items\",\"next_cursor\"],\"properties\":{\"items\":{\"type\":\"array\"," \
	"\"items\":" CLIENT "}," TEXT_OR_NULL("next_cursor") "}}"
#define CONSENTS                                                                                                     \
	"{\"type\":\"object\",\"required\":[\"items\"],\"properties\":{\"items\":{\"type\":\"array\",\"items\":{"    \
	"\"type\":\"object\",\"properties\":{" TEXT("client_id") "," TEXT("client_name") "," TEXT("scope") "," TIME( \
		"given_at") "}}}}}"

#define PATH "/api/v1/auth/clients"
#define ROW(verb, path, fn, id, text) \
	.method = verb, .pattern = path, .handle = fn, .operation_id = id, .tag = "oauth", .summary = text

static const struct route routes[] = {
	{ROW(HTTP_GET, PATH, list, "list_clients", "OAuth clients, in the order of their making"),
	 .permission = "clients.write", .query = ms_identity_page_params, .response_schema = CLIENTS},
	{ROW(HTTP_POST, PATH, add, "add_client", "Register an OAuth client; its secret is shown once"),
	 .permission = "clients.write", .request_type = IDENTITY_JSON, .request_schema = NEW_CLIENT,
	 .response_schema = CLIENT,
	 .request_example = "{\"name\":\"Dashboard\",\"redirect_uris\":[\"https://dashboard.example/"
			    "callback\"],\"scope\":\"openid profile offline_access predict\"}"},
	{ROW(HTTP_GET, PATH "/{client}", show, "show_client", "One OAuth client"), .permission = "clients.write",
	 .response_schema = CLIENT},
	{ROW(HTTP_DELETE, PATH "/{client}", remove_handler, "remove_client",
	     "Remove an OAuth client; its sessions and tokens end"),
	 .permission = "clients.write"},
	{ROW(HTTP_POST, PATH "/{client}/secret", rotate, "rotate_client_secret",
	     "A new secret; the old one and the client's own tokens end at once"),
	 .permission = "clients.write", .response_schema = CLIENT},
	{ROW(HTTP_GET, "/api/v1/auth/consents", consents, "list_consents", "What the caller allowed which client"),
	 .permission = "self", .response_schema = CONSENTS},
	{ROW(HTTP_DELETE, "/api/v1/auth/consents/{client}", consent_remove, "withdraw_consent",
	     "Take a consent back; the client's sessions end"),
	 .permission = "self"},
};

struct identity_table ms_identity_clients_table(void)
{
	return (struct identity_table){.routes = routes, .count = MS_ARRAY_LEN(routes)};
}
