// SPDX-License-Identifier: Apache-2.0
// Users, for those who may see and change them. Nobody gives away more than he has, and nobody touches a user who may more than himself.
#include "identity/private.h"

struct users_work {
	struct identity_work w;
	struct slice id;
	// What the body says.
	struct auth_user_fields fields;
	struct slice password;
	const struct json_value *grants;
	// What the store says.
	struct auth_user user;
	struct auth_user *users;
	size_t count, limit;
	struct slice cursor;
	bool created;
};

// --- Answers -----------------------------------------------------------------------------------------

static void write_user(struct json_writer *w, const struct auth_user *user)
{
	ms_json_begin_object(w);
	ms_json_key_lit(w, "id");
	ms_json_str(w, user->id);
	ms_json_key_lit(w, "username");
	ms_json_str(w, user->username);
	ms_json_member_text(w, "email", user->email);
	ms_json_member_text(w, "display_name", user->display_name);
	ms_json_key_lit(w, "role");
	ms_json_str(w, user->role);
	ms_json_key_lit(w, "grants");
	ms_json_begin_array(w);
	for (size_t i = 0; i < user->grant_count; i++)
		ms_json_str(w, user->grants[i]);
	ms_json_end_array(w);
	ms_json_key_lit(w, "state");
	ms_json_str(w, user->state);
	ms_json_key_lit(w, "has_password");
	ms_json_bool(w, user->has_password);
	ms_json_member_time(w, "created_at", user->created_us);
	ms_json_member_time(w, "updated_at", user->updated_us);
	ms_json_member_time(w, "password_changed_at", user->has_password ? user->password_changed_us : 0);
	ms_json_end_object(w);
}

static enum ms_err keep_user(struct users_work *s, const struct auth_user *user, struct errinfo *info,
			     struct auth_user *ret_user)
{
	return ms_auth_user_copy(user, s->w.x->arena, info, ret_user);
}

static void send_user(struct identity_work *work)
{
	struct users_work *s = MS_CONTAINER_OF(work, struct users_work, w);
	struct json_writer w;
	if (s->created) {
		const char *place =
			ms_arena_printf(work->x->arena, "/api/v1/auth/users/%.*s", MS_SLICE_ARG(s->user.id));
		if (place != NULL)
			ms_http_set_header(work->x, "Location", ms_slice_cstr(place));
	}
	ms_json_writer_init(&w, work->x->body);
	write_user(&w, &s->user);
	ms_http_send_json(work->x, s->created ? 201 : 200);
}

// --- List, show --------------------------------------------------------------------------------------

static enum ms_err read_list(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct users_work *s = arg;
	struct auth_user *found;
	MS_TRY(ms_auth_user_list(tx, s->cursor, s->limit, info, &found, &s->count));
	s->users = MS_ARENA_ARRAY(s->w.x->arena, struct auth_user, s->count);
	if (s->users == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
	for (size_t i = 0; i < s->count; i++)
		MS_TRY(keep_user(s, &found[i], info, &s->users[i]));
	return MS_OK;
}

static void send_list(struct identity_work *work)
{
	struct users_work *s = MS_CONTAINER_OF(work, struct users_work, w);
	struct json_writer w;
	ms_json_writer_init(&w, work->x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "users");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < s->count; i++)
		write_user(&w, &s->users[i]);
	ms_json_end_array(&w);
	ms_json_member_text(&w, "next_cursor", s->count == s->limit ? s->users[s->count - 1].id : MS_SLICE_EMPTY);
	ms_json_end_object(&w);
	ms_http_send_json(work->x, 200);
}

static void list(struct exchange *x, void *role)
{
	struct users_work *s = MS_IDENTITY_BEGIN(x, role, struct users_work);
	if (s != NULL && ms_identity_page(x, &s->limit, &s->cursor))
		ms_identity_read(&s->w, read_list, send_list);
}

static enum ms_err read_one(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct users_work *s = arg;
	struct auth_user user;
	MS_TRY(ms_auth_user_get(tx, s->id, info, &user));
	return keep_user(s, &user, info, &s->user);
}

static void show(struct exchange *x, void *role)
{
	struct users_work *s = MS_IDENTITY_BEGIN(x, role, struct users_work);
	if (s == NULL)
		return;
	s->id = x->req.params[0];
	ms_identity_read(&s->w, read_one, send_user);
}

// --- Add, change -------------------------------------------------------------------------------------

static enum ms_err take_grants(struct users_work *s)
{
	struct errinfo *info = &s->w.info;
	if (s->grants == NULL)
		return MS_OK;
	ms_errinfo_set_field(info, MS_SLICE_LIT("grants"));
	if (s->grants->type != JSON_ARRAY || s->grants->array.count > MS_AUTH_USER_GRANTS)
		return ms_fail(info, MS_ERR_INVALID, "'grants' must be a list of at most %d texts",
			       MS_AUTH_USER_GRANTS);
	size_t count = s->grants->array.count;
	struct slice *texts = MS_ARENA_ARRAY(s->w.x->arena, struct slice, count);
	if (texts == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for this request");
	for (size_t i = 0; i < count; i++) {
		if (!ms_json_as_str(&s->grants->array.items[i], &texts[i]))
			return ms_fail(info, MS_ERR_JSON_TYPE, "'grants' must be a list of texts");
	}
	s->fields.grants = texts;
	s->fields.grant_count = count;
	ms_errinfo_set_field(info, MS_SLICE_EMPTY);
	return MS_OK;
}

static enum ms_err check_stored(struct users_work *s)
{
	struct errinfo *info = &s->w.info;
	if (s->fields.password.p == NULL)
		return MS_OK;
	if (s->password.p != NULL)
		return ms_fail(info, MS_ERR_INVALID, "'password' and 'password_hash' exclude each other");
	ms_errinfo_set_field(info, MS_SLICE_LIT("password_hash"));
	MS_TRY(ms_password_check_stored(s->fields.password, info));
	ms_errinfo_set_field(info, MS_SLICE_EMPTY);
	return MS_OK;
}

static bool read_body(struct users_work *s, bool is_new)
{
	struct auth_user_fields *f = &s->fields;
	const struct identity_field fields[] = {
		{.name = "username", .kind = FIELD_TEXT, .required = is_new, .to = &f->username},
		{.name = "email", .kind = FIELD_TEXT, .nullable = true, .to = &f->email},
		{.name = "display_name", .kind = FIELD_TEXT, .nullable = true, .to = &f->display_name},
		{.name = "role", .kind = FIELD_TEXT, .to = &f->role},
		{.name = "grants", .kind = FIELD_VALUE, .to = &s->grants},
		{.name = "state", .kind = FIELD_TEXT, .to = &f->state},
		{.name = "password", .kind = FIELD_TEXT, .to = &s->password},
		{.name = "password_hash", .kind = FIELD_TEXT, .to = &f->password},
	};
	if (!ms_identity_body(s->w.x, fields, MS_ARRAY_LEN(fields)))
		return false;
	if (is_new && f->role.p == NULL)
		f->role = MS_SLICE_LIT("viewer");
	s->w.err = take_grants(s);
	if (s->w.err == MS_OK)
		s->w.err = check_stored(s);
	if (s->w.err == MS_OK)
		return true;
	ms_identity_fail(&s->w);
	return false;
}

static enum ms_err add_user(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct users_work *s = arg;
	struct auth_user user;
	MS_TRY(ms_auth_user_add(tx, s->w.identity->auth, &s->w.authority, &s->fields, info, &user));
	s->created = true;
	return keep_user(s, &user, info, &s->user);
}

static enum ms_err change_user(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct users_work *s = arg;
	struct auth_user user;
	MS_TRY(ms_auth_user_change(tx, s->w.identity->auth, &s->w.authority, s->id, &s->fields, s->w.actor.session,
				   info, &user));
	return keep_user(s, &user, info, &s->user);
}

static void store_user(struct users_work *s)
{
	bool is_new = s->id.n == 0;
	ms_identity_write(&s->w, is_new ? add_user : change_user, send_user, !is_new);
}

static void hash_password(struct job *job)
{
	struct users_work *s = MS_CONTAINER_OF(job, struct users_work, w.job);
	s->w.err =
		ms_auth_password_hash(s->w.identity->auth, s->password, s->w.x->arena, &s->w.info, &s->fields.password);
}

static void hashed(struct job *job)
{
	struct users_work *s = MS_CONTAINER_OF(job, struct users_work, w.job);
	if (s->w.err != MS_OK)
		ms_identity_fail(&s->w);
	else if (ms_identity_still_may(&s->w))
		store_user(s);
}

// With the names that the user has or is to have.
static void check_and_store(struct users_work *s, struct slice username, struct slice email)
{
	struct identity_work *w = &s->w;
	if (s->password.p == NULL) {
		store_user(s);
		return;
	}
	w->err = ms_auth_password_check(w->identity->auth, s->password, username, email, &w->info);
	if (w->err != MS_OK)
		ms_identity_fail(w);
	else
		ms_identity_away(w, ms_auth_password_pool(w->identity->auth), hash_password, hashed);
}

static void add(struct exchange *x, void *role)
{
	struct users_work *s = MS_IDENTITY_BEGIN(x, role, struct users_work);
	if (s != NULL && read_body(s, true))
		check_and_store(s, s->fields.username, s->fields.email);
}

static void found_for_change(struct identity_work *work)
{
	struct users_work *s = MS_CONTAINER_OF(work, struct users_work, w);
	// Who holds a token of somebody should not be able to keep the account by it.
	if (s->user.has_password && ms_slice_eq(s->user.id, ms_auth_user_of(work->x))) {
		work->err =
			ms_fail(&work->info, MS_ERR_FORBIDDEN,
				"one's own password is changed by POST /api/v1/auth/password, with the current one");
		ms_identity_fail(work);
		return;
	}
	check_and_store(s, s->fields.username.p != NULL ? s->fields.username : s->user.username,
			s->fields.email.p != NULL ? s->fields.email : s->user.email);
}

static void change(struct exchange *x, void *role)
{
	struct users_work *s = MS_IDENTITY_BEGIN(x, role, struct users_work);
	if (s == NULL || !read_body(s, false))
		return;
	s->id = x->req.params[0];
	if (s->password.p != NULL || s->fields.password.p != NULL)
		ms_identity_read(&s->w, read_one, found_for_change);
	else
		store_user(s);
}

// --- Remove, sessions --------------------------------------------------------------------------------

static enum ms_err remove_user(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct users_work *s = arg;
	return ms_auth_user_remove(tx, s->w.identity->auth, &s->w.authority, s->id, info);
}

static void remove_handler(struct exchange *x, void *role)
{
	struct users_work *s = MS_IDENTITY_BEGIN(x, role, struct users_work);
	if (s == NULL)
		return;
	s->id = x->req.params[0];
	ms_identity_write(&s->w, remove_user, ms_identity_send_nothing, true);
}

static enum ms_err end_sessions(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct users_work *s = arg;
	const struct grants *grants;
	struct auth_user user;
	size_t ended;
	MS_TRY(ms_auth_user_get(tx, s->id, info, &user));
	MS_TRY(ms_auth_user_grants(tx, &user, info, &grants));
	if (!ms_grants_within(grants, s->w.authority.limit))
		return ms_fail(info, MS_ERR_FORBIDDEN, "user '%.*s' has permissions that this caller does not have",
			       MS_SLICE_ARG(user.username));
	return ms_auth_session_end_all(tx, s->w.identity->auth, &s->w.actor, s->id, MS_SLICE_EMPTY, AUTH_SESSION_ENDED,
				       info, &ended);
}

static void sessions_end(struct exchange *x, void *role)
{
	struct users_work *s = MS_IDENTITY_BEGIN(x, role, struct users_work);
	if (s == NULL)
		return;
	s->id = x->req.params[0];
	ms_identity_write(&s->w, end_sessions, ms_identity_send_nothing, true);
}

// --- Routes ------------------------------------------------------------------------------------------

#define TEXT(name) "\"" name "\":{\"type\":\"string\"}"
#define TEXT_OR_NULL(name) "\"" name "\":{\"type\":[\"string\",\"null\"]}"
#define TIME(name) "\"" name "\":{\"type\":[\"string\",\"null\"],\"format\":\"date-time\"}"
#define GRANTS                                                                                                         \
	"\"grants\":{\"type\":\"array\",\"maxItems\":64,\"items\":{\"type\":\"string\"},\"description\":\"permission," \
	" permission:object, group.* or *\"}"
#define STATE "\"state\":{\"type\":\"string\",\"enum\":[\"active\",\"disabled\"]}"
#define USER                                                                                                                                            \
	"{\"type\":\"object\",\"required\":[\"id\",\"username\",\"role\",\"state\"],\"properties\":{" TEXT("id") "," TEXT("username") "," TEXT_OR_NULL( \
		"email") "," TEXT_OR_NULL("display_name") "," TEXT("role") "," GRANTS "," STATE                                                         \
									   ",\"has_password\":{\"type\":\"boolean\"}"                                   \
									   "," TIME("created_at") "," TIME(                                             \
										   "updated_at") "," TIME("password_"                                   \
													  "changed_"                                    \
													  "at") "}}"
#define FIELDS                                                                                                      \
	TEXT("username")                                                                                            \
	"," TEXT_OR_NULL("email") "," TEXT_OR_NULL("display_name") "," TEXT("role") "," GRANTS "," STATE "," TEXT(  \
		"password") ",\"password_hash\":{\"type\":\"string\",\"description\":\"Of another system: argon2, " \
			    "bcrypt or PBKDF2, replaced at the next sign-in\"}"
#define NEW_USER \
	"{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"username\"],\"properties\":{" FIELDS "}}"
#define CHANGED_USER "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{" FIELDS "}}"
#define USERS                                                                                                          \
	"{\"type\":\"object\",\"required\":[\"users\",\"next_cursor\"],\"properties\":{\"users\":{\"type\":\"array\"," \
	"\"items\":" USER "}," TEXT_OR_NULL("next_cursor") "}}"

#define PATH "/api/v1/auth/users"
#define ROW(verb, path, fn, id, text) \
	.method = verb, .pattern = PATH path, .handle = fn, .operation_id = id, .tag = "users", .summary = text

static const struct route routes[] = {
	{ROW(HTTP_GET, "", list, "list_users", "Users, in the order of their making"), .permission = "users.read",
	 .query = ms_identity_page_params, .response_schema = USERS},
	{ROW(HTTP_POST, "", add, "add_user", "Add a user"), .permission = "users.write", .request_type = IDENTITY_JSON,
	 .request_schema = NEW_USER, .response_schema = USER,
	 .request_example = "{\"username\":\"ada\",\"password\":\"correct horse battery "
			    "staple\",\"role\":\"data-scientist\",\"grants\":[\"predict:churn-*\"]}"},
	{ROW(HTTP_GET, "/{user}", show, "show_user", "One user"), .permission = "users.read", .response_schema = USER},
	{ROW(HTTP_PATCH, "/{user}", change, "change_user", "Change a user; what is left out stays"),
	 .permission = "users.write",
	 .description = "A new password or `disabled` ends the user's sessions; role and grants take effect at once. "
			"The last active administrator stays one.",
	 .request_type = IDENTITY_JSON, .request_schema = CHANGED_USER, .request_example = "{\"state\":\"disabled\"}",
	 .response_schema = USER},
	{ROW(HTTP_DELETE, "/{user}", remove_handler, "remove_user",
	     "Remove a user, his sessions and what his keys may"),
	 .permission = "users.write"},
	{ROW(HTTP_DELETE, "/{user}/sessions", sessions_end, "end_user_sessions", "End all sessions of a user"),
	 .permission = "users.write"},
};

struct identity_table ms_identity_users_table(void)
{
	return (struct identity_table){.routes = routes, .count = MS_ARRAY_LEN(routes)};
}
