// SPDX-License-Identifier: Apache-2.0
// Users: rows of the store, the rules for their names, and who may change whom.
#include "auth/internal.h"

#define ADMIN_ROLE "admin"
#define DISPLAY_NAME_MAX 200

// --- Names -------------------------------------------------------------------------------------------

static bool is_one_of(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

static bool is_letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// ASCII alone, so that two names that look the same are the same.
static bool is_username(struct slice s)
{
	if (s.n == 0 || s.n > MS_AUTH_NAME_MAX || !is_letter_or_digit(s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_letter_or_digit(s.p[i]) && !is_one_of(s.p[i], "._-@+"))
			return false;
	}
	return true;
}

// One @ between a local part of atoms (RFC 5322) and a host name: what mail is really sent to.
static bool is_email(struct slice s)
{
	size_t at = ms_slice_find(s, '@');
	if (s.n > MS_AUTH_EMAIL_MAX || at == 0 || at > 64 || at + 1 >= s.n)
		return false;
	for (size_t i = 0; i < at; i++) {
		if (!is_letter_or_digit(s.p[i]) && !is_one_of(s.p[i], ".!#$%&'*+-/=?^_`{|}~"))
			return false;
	}
	for (size_t i = at + 1; i < s.n; i++) {
		if (!is_letter_or_digit(s.p[i]) && !is_one_of(s.p[i], ".-"))
			return false;
	}
	return is_letter_or_digit(s.p[at + 1]) && is_letter_or_digit(s.p[s.n - 1]);
}

static bool lower(struct slice text, struct arena *arena, struct slice *ret_key)
{
	char *key = ms_arena_alloc(arena, text.n);
	if (key == NULL)
		return false;
	for (size_t i = 0; i < text.n; i++)
		key[i] = (char)(text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] + ('a' - 'A') : text.p[i]);
	*ret_key = ms_slice(key, text.n);
	return true;
}

bool ms_auth_name_key(struct slice text, struct arena *arena, struct slice *ret_key)
{
	return (is_username(text) || is_email(text)) && lower(text, arena, ret_key);
}

struct slice ms_auth_target(const char *kind, struct slice id, struct arena *arena)
{
	return ms_slice_cstr(ms_arena_printf(arena, "%s:%.*s", kind, MS_SLICE_ARG(id)));
}

// --- Rows --------------------------------------------------------------------------------------------

#define COLUMNS                                                                                                 \
	"id, username, email, display_name, role, state, grants, created_us, updated_us, password_changed_us, " \
	"valid_after_us, password"

static enum ms_err read_grants(struct slice text, struct arena *arena, struct errinfo *info, struct auth_user *user)
{
	const struct json_value *list;
	MS_TRY(ms_json_parse(text, NULL, arena, info, &list));
	size_t count = list->type == JSON_ARRAY ? list->array.count : 0;
	struct slice *grants = MS_ARENA_ARRAY(arena, struct slice, count);
	if (grants == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		if (!ms_json_as_str(&list->array.items[i], &grants[i]))
			return ms_fail(info, MS_ERR_INTERNAL, "the grants of a user are damaged");
	}
	user->grants = grants;
	user->grant_count = count;
	return MS_OK;
}

static enum ms_err read_row(struct store_tx *tx, const struct store_rows *rows, size_t row, struct errinfo *info,
			    struct auth_user *ret_user)
{
	*ret_user = (struct auth_user){
		.id = ms_store_get_text(rows, row, 0),
		.username = ms_store_get_text(rows, row, 1),
		.email = ms_store_get_text(rows, row, 2),
		.display_name = ms_store_get_text(rows, row, 3),
		.role = ms_store_get_text(rows, row, 4),
		.state = ms_store_get_text(rows, row, 5),
		.created_us = ms_store_get_int(rows, row, 7),
		.updated_us = ms_store_get_int(rows, row, 8),
		.password_changed_us = ms_store_get_int(rows, row, 9),
		.valid_after_us = ms_store_get_int(rows, row, 10),
		.has_password = !ms_store_is_null(rows, row, 11),
	};
	return read_grants(ms_store_get_text(rows, row, 6), ms_store_arena(tx), info, ret_user);
}

enum ms_err ms_auth_user_look(struct store_tx *tx, struct slice key, bool by_id, struct errinfo *info, bool *ret_found,
			      struct auth_user *ret_user, struct slice *ret_password)
{
	static const char *const sql[] = {
		"SELECT " COLUMNS " FROM users WHERE username_key = $1 OR email_key = $1",
		"SELECT " COLUMNS " FROM users WHERE id = $1",
	};
	struct store_rows rows;
	// A name that is an address is its owner's own address, so that one row at most has it.
	MS_TRY(ms_store_query(tx, sql[by_id], MS_STORE_PARAMS(ms_store_text(key)), 2, info, &rows));
	*ret_found = rows.count > 0;
	if (rows.count == 0)
		return MS_OK;
	*ret_password = ms_store_get_text(&rows, 0, 11);
	return read_row(tx, &rows, 0, info, ret_user);
}

static enum ms_err unknown(struct slice name, struct errinfo *info)
{
	return ms_fail(info, MS_ERR_AUTH_USER_UNKNOWN, "there is no user '%.*s'", MS_SLICE_ARG(name));
}

enum ms_err ms_auth_user_get(struct store_tx *tx, struct slice id, struct errinfo *info, struct auth_user *ret_user)
{
	bool found;
	struct slice password;
	MS_TRY(ms_auth_user_look(tx, id, true, info, &found, ret_user, &password));
	return found ? MS_OK : unknown(id, info);
}

enum ms_err ms_auth_user_find(struct store_tx *tx, struct slice name, struct errinfo *info, struct auth_user *ret_user)
{
	struct slice key, password;
	bool found = false;
	if (ms_auth_name_key(name, ms_store_arena(tx), &key)) {
		MS_TRY(ms_auth_user_look(tx, key, true, info, &found, ret_user, &password));
		if (!found)
			MS_TRY(ms_auth_user_look(tx, key, false, info, &found, ret_user, &password));
	}
	return found ? MS_OK : unknown(name, info);
}

enum ms_err ms_auth_user_list(struct store_tx *tx, struct slice after, size_t limit, struct errinfo *info,
			      struct auth_user **ret_users, size_t *ret_count)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT " COLUMNS " FROM users WHERE id > $1 ORDER BY id LIMIT $2",
			      MS_STORE_PARAMS(ms_store_text(after.p != NULL ? after : MS_SLICE_LIT("")),
					      ms_store_int((int64_t)limit)),
			      limit, info, &rows));
	struct auth_user *users = MS_ARENA_ARRAY(ms_store_arena(tx), struct auth_user, rows.count);
	if (users == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < rows.count; i++)
		MS_TRY(read_row(tx, &rows, i, info, &users[i]));
	*ret_users = users;
	*ret_count = rows.count;
	return MS_OK;
}

enum ms_err ms_auth_user_copy(const struct auth_user *user, struct arena *arena, struct errinfo *info,
			      struct auth_user *ret_user)
{
	struct auth_user copy = *user;
	struct slice *texts[] = {&copy.id, &copy.username, &copy.email, &copy.display_name, &copy.role, &copy.state};
	struct slice *grants = MS_ARENA_ARRAY(arena, struct slice, user->grant_count);
	bool ok = grants != NULL;
	for (size_t i = 0; ok && i < MS_ARRAY_LEN(texts); i++) {
		if (texts[i]->p == NULL)
			continue;
		*texts[i] = ms_arena_copy(arena, *texts[i]);
		ok = texts[i]->p != NULL;
	}
	for (size_t i = 0; ok && i < user->grant_count; i++) {
		grants[i] = ms_arena_copy(arena, user->grants[i]);
		ok = grants[i].p != NULL;
	}
	if (!ok)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	copy.grants = grants;
	*ret_user = copy;
	return MS_OK;
}

// --- Rules -------------------------------------------------------------------------------------------

static enum ms_err wrong(struct errinfo *info, const char *field, const char *what)
{
	ms_errinfo_set_field(info, ms_slice_cstr(field));
	return ms_fail(info, MS_ERR_INVALID, "%s: %s", field, what);
}

static bool is_display_name(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	}
	return s.n <= DISPLAY_NAME_MAX;
}

// `user` as it would be. Its role must be there; its grants must be grants.
static enum ms_err check_fields(struct store_tx *tx, const struct auth_user *user, struct errinfo *info)
{
	struct auth_role role;
	const struct grants *own;
	if (!is_username(user->username))
		return wrong(info, "username",
			     "must be 1 to 128 of A-Z a-z 0-9 . _ - @ +, and begin with a letter or digit");
	if (user->email.n > 0 && !is_email(user->email))
		return wrong(info, "email", "is not an e-mail address");
	// Otherwise somebody could take another's address as his name, and with it his place at the login.
	if (ms_slice_find(user->username, '@') < user->username.n && !ms_slice_eq_nocase(user->username, user->email))
		return wrong(info, "username", "may hold an @ only when it is the user's own e-mail address");
	if (!is_display_name(user->display_name))
		return wrong(info, "display_name", "must be at most 200 bytes without control characters");
	if (!ms_slice_eq_cstr(user->state, "active") && !ms_slice_eq_cstr(user->state, "disabled"))
		return wrong(info, "state", "must be active or disabled");
	if (user->role.n == 0)
		return wrong(info, "role", "is missing");
	if (user->grant_count > MS_AUTH_USER_GRANTS)
		return wrong(info, "grants", "are more than 64");
	enum ms_err err = ms_auth_role_get(tx, user->role, info, &role);
	if (err == MS_ERR_NOT_FOUND) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("role"));
		info->code = MS_ERR_INVALID;
		return MS_ERR_INVALID;
	}
	MS_TRY(err);
	ms_errinfo_set_field(info, MS_SLICE_LIT("grants"));
	MS_TRY(ms_grants_parse(user->grants, user->grant_count, ms_store_arena(tx), info, &own));
	ms_errinfo_set_field(info, MS_SLICE_EMPTY);
	return MS_OK;
}

// All that the user may do is within the authority: nobody gives away more than he has, and nobody takes over an account that may
// more than his own.
enum ms_err ms_auth_check_authority(struct store_tx *tx, const struct auth_authority *authority,
				    const struct auth_user *user, struct errinfo *info)
{
	const struct grants *grants;
	if (authority->limit == NULL)
		return MS_OK;
	MS_TRY(ms_auth_user_grants(tx, user, info, &grants));
	if (ms_grants_within(grants, authority->limit))
		return MS_OK;
	return ms_fail(info, MS_ERR_FORBIDDEN,
		       "user '%.*s' has or would have permissions that this caller does not have",
		       MS_SLICE_ARG(user->username));
}

static bool is_working_admin(const struct auth_user *user)
{
	return ms_slice_eq_cstr(user->role, ADMIN_ROLE) && ms_auth_user_is_active(user);
}

// `now` may be NULL: the user goes.
static enum ms_err check_last_admin(struct store_tx *tx, const struct auth_user *was, const struct auth_user *now,
				    struct errinfo *info)
{
	struct store_rows rows;
	if (!is_working_admin(was) || (now != NULL && is_working_admin(now)))
		return MS_OK;
	MS_TRY(ms_store_query(tx, "SELECT id FROM users WHERE role = 'admin' AND state = 'active' AND id <> $1 LIMIT 1",
			      MS_STORE_PARAMS(ms_store_text(was->id)), 1, info, &rows));
	if (rows.count > 0)
		return MS_OK;
	return ms_fail(info, MS_ERR_AUTH_LAST_ADMIN,
		       "user '%.*s' is the last active administrator: give another user the role admin first",
		       MS_SLICE_ARG(was->username));
}

// --- Changes -----------------------------------------------------------------------------------------

static enum ms_err grants_text(struct store_tx *tx, const struct auth_user *user, struct errinfo *info,
			       struct slice *ret_text)
{
	struct buf out;
	struct json_writer w;
	ms_buf_init(&out, (size_t)1 << 20);
	ms_json_writer_init(&w, &out);
	ms_json_begin_array(&w);
	for (size_t i = 0; i < user->grant_count; i++)
		ms_json_str(&w, user->grants[i]);
	ms_json_end_array(&w);
	*ret_text = ms_buf_ok(&out) ? ms_arena_copy(ms_store_arena(tx), ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	return ret_text->p != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

struct keys {
	struct slice username, email;
};

// The keys, and that no other user has them.
static enum ms_err take_keys(struct store_tx *tx, const struct auth_user *user, struct errinfo *info,
			     struct keys *ret_keys)
{
	struct store_rows rows;
	struct arena *arena = ms_store_arena(tx);
	*ret_keys = (struct keys){0};
	if (!lower(user->username, arena, &ret_keys->username) ||
	    (user->email.n > 0 && !lower(user->email, arena, &ret_keys->email)))
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	MS_TRY(ms_store_query(tx, "SELECT id FROM users WHERE username_key = $1 AND id <> $2",
			      MS_STORE_PARAMS(ms_store_text(ret_keys->username), ms_store_text(user->id)), 1, info,
			      &rows));
	if (rows.count > 0) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("username"));
		return ms_fail(info, MS_ERR_AUTH_USER_EXISTS, "there is a user '%.*s' already",
			       MS_SLICE_ARG(user->username));
	}
	if (user->email.n == 0)
		return MS_OK;
	MS_TRY(ms_store_query(tx, "SELECT id FROM users WHERE email_key = $1 AND id <> $2",
			      MS_STORE_PARAMS(ms_store_text(ret_keys->email), ms_store_text(user->id)), 1, info,
			      &rows));
	if (rows.count == 0)
		return MS_OK;
	ms_errinfo_set_field(info, MS_SLICE_LIT("email"));
	return ms_fail(info, MS_ERR_AUTH_USER_EXISTS, "another user has the e-mail address '%.*s'",
		       MS_SLICE_ARG(user->email));
}

static struct store_value text_or_null(struct slice s)
{
	return s.n > 0 ? ms_store_text(s) : ms_store_null();
}

// What the audit log keeps: which members were changed and, where it matters later, to what. Never a password.
static enum ms_err record(struct store_tx *tx, struct auth *auth, const struct auth_actor *by, enum auth_event event,
			  const struct auth_user *user, const struct auth_user_fields *fields, struct errinfo *info)
{
	struct buf out;
	struct json_writer w;
	ms_buf_init(&out, (size_t)1 << 20);
	ms_json_writer_init(&w, &out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "username");
	ms_json_str(&w, user->username);
	if (fields != NULL && fields->role.p != NULL) {
		ms_json_key_lit(&w, "role");
		ms_json_str(&w, user->role);
	}
	if (fields != NULL && fields->state.p != NULL) {
		ms_json_key_lit(&w, "state");
		ms_json_str(&w, user->state);
	}
	if (fields != NULL && fields->email.p != NULL) {
		ms_json_key_lit(&w, "email");
		ms_json_str(&w, user->email);
	}
	if (fields != NULL && fields->grants != NULL) {
		ms_json_key_lit(&w, "grants");
		ms_json_begin_array(&w);
		for (size_t i = 0; i < user->grant_count && out.n < 3000; i++) // an entry's details have 4 KiB
			ms_json_str(&w, user->grants[i]);
		ms_json_end_array(&w);
	}
	ms_json_end_object(&w);
	const struct audit_entry entry = {.event = event,
					  .actor = *by,
					  .target = ms_auth_target("user", user->id, ms_store_arena(tx)),
					  .details = ms_buf_slice(&out)};
	enum ms_err err = ms_buf_ok(&out) ? ms_audit_append(tx, auth, &entry, info)
					  : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_buf_fini(&out);
	return err;
}

static void apply(struct auth_user *user, const struct auth_user_fields *fields)
{
	const struct {
		struct slice *to, from;
	} texts[] = {{&user->username, fields->username},
		     {&user->email, fields->email},
		     {&user->display_name, fields->display_name},
		     {&user->role, fields->role},
		     {&user->state, fields->state}};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		if (texts[i].from.p != NULL)
			*texts[i].to = texts[i].from;
	}
	if (fields->grants != NULL) {
		user->grants = fields->grants;
		user->grant_count = fields->grant_count;
	}
	user->has_password |= fields->password.n > 0;
}

enum ms_err ms_auth_user_add(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
			     const struct auth_user_fields *fields, struct errinfo *info, struct auth_user *ret_user)
{
	char *id = ms_arena_alloc(ms_store_arena(tx), MS_AUTH_ID_SIZE);
	struct slice grants;
	struct keys keys;
	int64_t now = ms_store_now_us(tx);
	if (id == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_auth_id(id);
	struct auth_user user = {.id = ms_slice_cstr(id),
				 .state = MS_SLICE_LIT("active"),
				 .display_name = MS_SLICE_LIT(""),
				 .created_us = now,
				 .updated_us = now,
				 .password_changed_us = now};
	apply(&user, fields);
	MS_TRY(check_fields(tx, &user, info));
	MS_TRY(ms_auth_check_authority(tx, authority, &user, info));
	MS_TRY(take_keys(tx, &user, info, &keys));
	MS_TRY(grants_text(tx, &user, info, &grants));
	MS_TRY(ms_store_run(tx,
			    "INSERT INTO users (id, username, username_key, email, email_key, display_name, password, "
			    "password_changed_us, state, role, grants, created_us, updated_us, valid_after_us) "
			    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $8, $8, 0)",
			    MS_STORE_PARAMS(ms_store_text(user.id), ms_store_text(user.username),
					    ms_store_text(keys.username), text_or_null(user.email),
					    text_or_null(keys.email), ms_store_text(user.display_name),
					    text_or_null(fields->password), ms_store_int(now),
					    ms_store_text(user.state), ms_store_text(user.role), ms_store_text(grants)),
			    info, NULL));
	*ret_user = user;
	return record(tx, auth, authority->by, AUTH_USER_CREATED, &user, fields, info);
}

static enum ms_err write_change(struct store_tx *tx, const struct auth_user *user, struct slice password,
				struct errinfo *info)
{
	struct slice grants;
	struct keys keys;
	MS_TRY(take_keys(tx, user, info, &keys));
	MS_TRY(grants_text(tx, user, info, &grants));
	MS_TRY(ms_store_run(tx,
			    "UPDATE users SET username = $2, username_key = $3, email = $4, email_key = $5, "
			    "display_name = $6, state = $7, role = $8, grants = $9, updated_us = $10 WHERE id = $1",
			    MS_STORE_PARAMS(ms_store_text(user->id), ms_store_text(user->username),
					    ms_store_text(keys.username), text_or_null(user->email),
					    text_or_null(keys.email), ms_store_text(user->display_name),
					    ms_store_text(user->state), ms_store_text(user->role),
					    ms_store_text(grants), ms_store_int(user->updated_us)),
			    info, NULL));
	if (password.n == 0)
		return MS_OK;
	return ms_store_run(tx, "UPDATE users SET password = $2, password_changed_us = $3 WHERE id = $1",
			    MS_STORE_PARAMS(ms_store_text(user->id), ms_store_text(password),
					    ms_store_int(user->password_changed_us)),
			    info, NULL);
}

enum ms_err ms_auth_user_change(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
				struct slice id, const struct auth_user_fields *fields, struct slice keep_session,
				struct errinfo *info, struct auth_user *ret_user)
{
	struct auth_user was, user;
	size_t ended;
	MS_TRY(ms_auth_user_get(tx, id, info, &was));
	MS_TRY(ms_auth_check_authority(tx, authority, &was, info));
	user = was;
	apply(&user, fields);
	user.updated_us = MS_MAX(ms_store_now_us(tx), was.updated_us + 1);
	if (fields->password.n > 0)
		user.password_changed_us = user.updated_us;
	MS_TRY(check_fields(tx, &user, info));
	MS_TRY(ms_auth_check_authority(tx, authority, &user, info));
	MS_TRY(check_last_admin(tx, &was, &user, info));
	MS_TRY(write_change(tx, &user, fields->password, info));
	bool disabled = ms_auth_user_is_active(&was) && !ms_auth_user_is_active(&user);
	if (disabled)
		keep_session = MS_SLICE_EMPTY;
	if (disabled || fields->password.n > 0)
		MS_TRY(ms_auth_session_end_all(tx, auth, authority->by, id, keep_session, AUTH_EVENT_COUNT, info,
					       &ended));
	if (disabled)
		MS_TRY(ms_auth_void_user(tx, id, info));
	MS_TRY(ms_auth_touch_user(tx, id, info));
	*ret_user = user;
	if (fields->password.n > 0)
		MS_TRY(record(tx, auth, authority->by, AUTH_PASSWORD_CHANGED, &user, NULL, info));
	bool others = fields->username.p != NULL || fields->email.p != NULL || fields->display_name.p != NULL ||
		      fields->role.p != NULL || fields->state.p != NULL || fields->grants != NULL;
	return others ? record(tx, auth, authority->by, AUTH_USER_CHANGED, &user, fields, info) : MS_OK;
}

enum ms_err ms_auth_user_remove(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
				struct slice id, struct errinfo *info)
{
	struct auth_user user;
	size_t ended;
	MS_TRY(ms_auth_user_get(tx, id, info, &user));
	MS_TRY(ms_auth_check_authority(tx, authority, &user, info));
	MS_TRY(check_last_admin(tx, &user, NULL, info));
	MS_TRY(ms_auth_session_end_all(tx, auth, authority->by, id, MS_SLICE_EMPTY, AUTH_EVENT_COUNT, info, &ended));
	MS_TRY(ms_auth_void_user(tx, id, info));
	MS_TRY(ms_store_run(tx, "DELETE FROM users WHERE id = $1", MS_STORE_PARAMS(ms_store_text(id)), info, NULL));
	MS_TRY(ms_auth_touch_user(tx, id, info));
	return record(tx, auth, authority->by, AUTH_USER_REMOVED, &user, NULL, info);
}
