// SPDX-License-Identifier: Apache-2.0
// /api/v1/auth/roles and /permissions.
#include "identity/private.h"

struct roles_work {
	struct identity_work w;
	struct slice name, description;
	const struct json_value *texts;
	const struct grants *grants;
	bool only_new; // a role of that name must not be there
	bool created;
};

void ms_identity_grants(struct json_writer *w, const char *key, const struct grants *grants)
{
	struct buf text;
	ms_buf_init(&text, (size_t)4 << 20);
	ms_grants_write(grants, &text);
	ms_json_key_lit(w, key);
	if (ms_buf_ok(&text))
		ms_json_raw(w, ms_buf_slice(&text));
	else
		ms_json_null(w);
	ms_buf_fini(&text);
}

enum ms_err ms_identity_read_grants(const struct json_value *value, const char *field, struct arena *arena,
				    struct errinfo *info, const struct grants **ret_grants)
{
	struct slice texts[MS_GRANTS_MAX];
	ms_errinfo_set_field(info, ms_slice_cstr(field));
	if (value->type != JSON_ARRAY)
		return ms_fail(info, MS_ERR_JSON_TYPE, "'%s' must be an array of grants, not %s", field,
			       ms_json_type_name(value->type));
	if (value->array.count > MS_GRANTS_MAX)
		return ms_fail(info, MS_ERR_INVALID, "'%s' has %zu grants; at most %d are allowed", field,
			       value->array.count, MS_GRANTS_MAX);
	for (size_t i = 0; i < value->array.count; i++) {
		if (!ms_json_as_str(&value->array.items[i], &texts[i]))
			return ms_fail(info, MS_ERR_JSON_TYPE, "'%s' must hold texts such as \"predict:churn\", not %s",
				       field, ms_json_type_name(value->array.items[i].type));
	}
	MS_TRY(ms_grants_parse(texts, value->array.count, arena, info, ret_grants));
	ms_errinfo_set_field(info, MS_SLICE_EMPTY);
	return MS_OK;
}

static void write_role(struct json_writer *w, const struct auth_role *role)
{
	ms_json_begin_object(w);
	ms_json_key_lit(w, "name");
	ms_json_str(w, role->name);
	ms_json_key_lit(w, "description");
	ms_json_str(w, role->description);
	ms_identity_grants(w, "grants", role->grants);
	ms_json_key_lit(w, "built_in");
	ms_json_bool(w, role->built_in);
	ms_json_member_time(w, "created_at", role->created_us);
	ms_json_member_time(w, "updated_at", role->updated_us);
	ms_json_end_object(w);
}

// The answer is built inside the transaction, which may run again.
static struct json_writer fresh_body(struct roles_work *s)
{
	struct json_writer w;
	ms_buf_clear(s->w.x->body);
	ms_json_writer_init(&w, s->w.x->body);
	return w;
}

static void send_body(struct identity_work *w)
{
	struct roles_work *s = MS_CONTAINER_OF(w, struct roles_work, w);
	ms_http_send_json(w->x, s->created ? 201 : 200);
}

// --- Reading -----------------------------------------------------------------------------------------

static enum ms_err read_list(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct roles_work *s = arg;
	struct auth_role *roles;
	size_t count;
	MS_TRY(ms_auth_role_list(tx, info, &roles, &count));
	struct json_writer w = fresh_body(s);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "items");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < count; i++)
		write_role(&w, &roles[i]);
	ms_json_end_array(&w);
	ms_json_key_lit(&w, "next_cursor");
	ms_json_null(&w);
	ms_json_end_object(&w);
	return MS_OK;
}

static void list(struct exchange *x, void *role)
{
	struct roles_work *s = MS_IDENTITY_BEGIN(x, role, struct roles_work);
	if (s != NULL)
		ms_identity_read(&s->w, read_list, send_body);
}

static enum ms_err read_one(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct roles_work *s = arg;
	struct auth_role role;
	MS_TRY(ms_auth_role_get(tx, s->name, info, &role));
	struct json_writer w = fresh_body(s);
	write_role(&w, &role);
	return MS_OK;
}

static void show(struct exchange *x, void *role)
{
	struct roles_work *s = MS_IDENTITY_BEGIN(x, role, struct roles_work);
	if (s == NULL)
		return;
	s->name = x->req.params[0];
	ms_identity_read(&s->w, read_one, send_body);
}

static void permissions(struct exchange *x, void *role)
{
	struct json_writer w;
	size_t count;
	const struct auth_permission *p = ms_auth_permissions(&count);
	(void)role;
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "items");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < count; i++) {
		ms_json_begin_object(&w);
		ms_json_key_lit(&w, "name");
		ms_json_cstr(&w, p[i].name);
		ms_json_member_text(&w, "object", ms_slice_cstr(p[i].object));
		ms_json_key_lit(&w, "description");
		ms_json_cstr(&w, p[i].help);
		ms_json_end_object(&w);
	}
	ms_json_end_array(&w);
	ms_json_key_lit(&w, "next_cursor");
	ms_json_null(&w);
	ms_json_end_object(&w);
	ms_http_send_json(x, 200);
}

// --- Changing ----------------------------------------------------------------------------------------

static enum ms_err set_role(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct roles_work *s = arg;
	struct auth_role role = {.name = s->name, .description = s->description, .grants = s->grants};
	struct errinfo ignored;
	ms_errinfo_init(&ignored);
	if (s->only_new) {
		enum ms_err err = ms_auth_role_get(tx, s->name, &ignored, &role);
		if (err == MS_OK)
			return ms_fail(info, MS_ERR_CONFLICT, "there is a role '%.*s' already; PUT changes it",
				       MS_SLICE_ARG(s->name));
		if (err != MS_ERR_NOT_FOUND) {
			*info = ignored;
			return err;
		}
	}
	MS_TRY(ms_auth_role_set(tx, s->w.identity->auth, &s->w.authority, &role, info, &s->created));
	MS_TRY(ms_auth_role_get(tx, s->name, info, &role));
	struct json_writer w = fresh_body(s);
	write_role(&w, &role);
	return MS_OK;
}

static void set(struct exchange *x, void *role, bool only_new)
{
	struct roles_work *s = MS_IDENTITY_BEGIN(x, role, struct roles_work);
	if (s == NULL)
		return;
	const struct identity_field fields[] = {
		{.name = "grants", .kind = FIELD_VALUE, .required = true, .to = &s->texts},
		{.name = "description", .kind = FIELD_TEXT, .nullable = true, .to = &s->description},
		{.name = "name", .kind = FIELD_TEXT, .required = true, .to = &s->name},
	};
	if (!ms_identity_body(x, fields, MS_ARRAY_LEN(fields) - !only_new))
		return;
	if (!only_new)
		s->name = x->req.params[0];
	s->only_new = only_new;
	s->w.err = ms_identity_read_grants(s->texts, "grants", x->arena, &s->w.info, &s->grants);
	if (s->w.err != MS_OK)
		ms_identity_fail(&s->w);
	else
		ms_identity_write(&s->w, set_role, send_body, true);
}

static void create(struct exchange *x, void *role)
{
	set(x, role, true);
}

static void put(struct exchange *x, void *role)
{
	set(x, role, false);
}

static enum ms_err remove_role(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct roles_work *s = arg;
	return ms_auth_role_remove(tx, s->w.identity->auth, &s->w.authority, s->name, info);
}

static void remove_handler(struct exchange *x, void *role)
{
	struct roles_work *s = MS_IDENTITY_BEGIN(x, role, struct roles_work);
	if (s == NULL)
		return;
	s->name = x->req.params[0];
	ms_identity_write(&s->w, remove_role, ms_identity_send_nothing, true);
}

// --- Routes ------------------------------------------------------------------------------------------

#define TEXT(name) "\"" name "\":{\"type\":\"string\"}"
#define TIME(name) "\"" name "\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define GRANTS                                                                                             \
	"\"grants\":{\"type\":\"array\",\"maxItems\":100,\"items\":{\"type\":\"string\"},\"description\":" \
	"\"permission, "                                                                                   \
	"permission:object, group.* or *\"}"
#define ROLE                                                           \
	"{\"type\":\"object\",\"properties\":{" TEXT("name") "," TEXT( \
		"description") "," GRANTS ",\"built_in\":{\"type\":"   \
			       "\"boolean\"}," TIME("created_at") "," TIME("updated_at") "}}"
#define LIST(of)                                                                           \
	"{\"type\":\"object\",\"properties\":{\"items\":{\"type\":\"array\",\"items\":" of \
	"},\"next_cursor\":{\"type\":\"null\"}}}"
#define PERMISSION                                                                                                 \
	"{\"type\":\"object\",\"properties\":{" TEXT("name") ",\"object\":{\"type\":[\"string\",\"null\"]}," TEXT( \
		"description") "}}"
#define CREATE_REQUEST                                                                                           \
	"{\"type\":\"object\",\"required\":[\"name\",\"grants\"],\"additionalProperties\":false,\"properties\":" \
	"{" TEXT("name") "," TEXT("description") "," GRANTS "}}"
#define PUT_REQUEST                                                                                            \
	"{\"type\":\"object\",\"required\":[\"grants\"],\"additionalProperties\":false,\"properties\":{" TEXT( \
		"description") "," GRANTS "}}"
#define EXAMPLE "\"description\":\"Scores churn\",\"grants\":[\"predict:churn-*\",\"models.read:churn-*\"]}"

#define PATH "/api/v1/auth/"
#define ROW(verb, path, fn, id, text) \
	.method = verb, .pattern = PATH path, .handle = fn, .operation_id = id, .tag = "roles", .summary = text

static const struct route routes[] = {
	{ROW(HTTP_GET, "permissions", permissions, "list_permissions", "What may be granted"), .permission = "self",
	 .response_schema = LIST(PERMISSION)},
	{ROW(HTTP_GET, "roles", list, "list_roles", "Roles and what they allow"), .permission = "roles.read",
	 .response_schema = LIST(ROLE)},
	{ROW(HTTP_POST, "roles", create, "create_role", "Add a role"), .permission = "roles.write",
	 .request_type = IDENTITY_JSON, .request_schema = CREATE_REQUEST,
	 .request_example = "{\"name\":\"churn-scorer\"," EXAMPLE, .response_schema = ROLE},
	{ROW(HTTP_GET, "roles/{role}", show, "show_role", "One role"), .permission = "roles.read",
	 .response_schema = ROLE},
	{ROW(HTTP_PUT, "roles/{role}", put, "set_role", "Add or change a role; in force before the answer"),
	 .permission = "roles.write", .request_type = IDENTITY_JSON, .request_schema = PUT_REQUEST,
	 .request_example = "{" EXAMPLE, .response_schema = ROLE},
	{ROW(HTTP_DELETE, "roles/{role}", remove_handler, "remove_role", "Remove a role that no user has"),
	 .permission = "roles.write"},
};

struct identity_table ms_identity_roles_table(void)
{
	return (struct identity_table){routes, MS_ARRAY_LEN(routes)};
}
