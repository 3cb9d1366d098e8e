// SPDX-License-Identifier: Apache-2.0
// Roles: the built-in ones, which are the program's and never change while it runs, and own ones in the store.
#include "auth/gate.h"

#define ROLES_MAX 1000
#define ROLE_NAME_MAX 63
#define ROLE_DESCRIPTION_MAX 1000

struct built_in {
	const char *name, *description;
	struct slice grants[8];
	size_t count;
};
#define GRANT(text)                    \
	{                              \
		text, sizeof(text) - 1 \
	}

static const struct built_in built_ins[] = {
	{"admin", "Everything", {GRANT("*")}, 1},
	{"data-scientist",
	 "Brings models, tries them, runs tasks",
	 {GRANT("models.read"), GRANT("models.write"), GRANT("predict"), GRANT("tasks.*")},
	 4},
	{"operator",
	 "Keeps it running: models, tasks, metrics, the audit log",
	 {GRANT("models.*"), GRANT("predict"), GRANT("tasks.*"), GRANT("metrics.read"), GRANT("audit.read")},
	 5},
	{"service", "A program that predicts", {GRANT("predict")}, 1},
	{"viewer", "Looks at models and metrics", {GRANT("models.read"), GRANT("metrics.read")}, 2},
};

static const struct built_in *find_built_in(struct slice name)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(built_ins); i++) {
		if (ms_slice_eq_cstr(name, built_ins[i].name))
			return &built_ins[i];
	}
	return NULL;
}

size_t ms_role_built_in_count(void)
{
	return MS_ARRAY_LEN(built_ins);
}

struct slice ms_role_built_in_name(size_t index)
{
	return ms_slice_cstr(built_ins[index].name);
}

enum ms_err ms_role_built_in_grants(size_t index, struct arena *arena, struct errinfo *info,
				    const struct grants **ret_grants)
{
	return ms_grants_parse(built_ins[index].grants, built_ins[index].count, arena, info, ret_grants);
}

static enum ms_err describe(const struct built_in *b, struct arena *arena, struct errinfo *info,
			    struct auth_role *ret_role)
{
	*ret_role = (struct auth_role){
		.name = ms_slice_cstr(b->name), .description = ms_slice_cstr(b->description), .built_in = true};
	return ms_role_built_in_grants((size_t)(b - built_ins), arena, info, &ret_role->grants);
}

// --- Reading -----------------------------------------------------------------------------------------

// name, description, grants, created_us, updated_us
static enum ms_err read_row(struct store_tx *tx, const struct store_rows *rows, size_t row, struct errinfo *info,
			    struct auth_role *ret_role)
{
	*ret_role = (struct auth_role){
		.name = ms_store_get_text(rows, row, 0),
		.description = ms_store_get_text(rows, row, 1),
		.created_us = ms_store_get_int(rows, row, 3),
		.updated_us = ms_store_get_int(rows, row, 4),
	};
	return ms_grants_read_stored(ms_store_get_text(rows, row, 2), ms_store_arena(tx), info, &ret_role->grants);
}

static enum ms_err find_row(struct store_tx *tx, struct slice name, struct errinfo *info, struct store_rows *ret_rows)
{
	return ms_store_query(tx, "SELECT name, description, grants, created_us, updated_us FROM roles WHERE name = $1",
			      MS_STORE_PARAMS(ms_store_text(name)), 1, info, ret_rows);
}

enum ms_err ms_auth_role_list(struct store_tx *tx, struct errinfo *info, struct auth_role **ret_roles,
			      size_t *ret_count)
{
	struct store_rows rows;
	struct arena *arena = ms_store_arena(tx);
	MS_TRY(ms_store_query(tx, "SELECT name, description, grants, created_us, updated_us FROM roles ORDER BY name",
			      MS_STORE_NO_PARAMS, ROLES_MAX, info, &rows));
	struct auth_role *roles = MS_ARENA_ARRAY(arena, struct auth_role, MS_ARRAY_LEN(built_ins) + rows.count), read;
	if (roles == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the roles");
	for (size_t i = 0; i < MS_ARRAY_LEN(built_ins); i++)
		MS_TRY(describe(&built_ins[i], arena, info, &roles[i]));
	size_t count = MS_ARRAY_LEN(built_ins);
	for (size_t row = 0; row < rows.count; row++) {
		MS_TRY(read_row(tx, &rows, row, info, &read));
		size_t at = count++; // the databases sort by rules of their own
		for (; at > 0 && ms_slice_cmp(roles[at - 1].name, read.name) > 0; at--)
			roles[at] = roles[at - 1];
		roles[at] = read;
	}
	*ret_roles = roles;
	*ret_count = count;
	return MS_OK;
}

MS_COLD static enum ms_err unknown_role(struct store_tx *tx, struct slice name, struct errinfo *info)
{
	struct auth_role *roles;
	size_t count;
	struct buf list;
	MS_TRY(ms_auth_role_list(tx, info, &roles, &count));
	ms_buf_init(&list, 400);
	for (size_t i = 0; i < MS_MIN(count, (size_t)12); i++)
		ms_buf_printf(&list, "%s%.*s", i > 0 ? ", " : "", MS_SLICE_ARG(roles[i].name));
	enum ms_err err = ms_fail(info, MS_ERR_NOT_FOUND, "there is no role '%.*s'; there are: %.*s%s",
				  (int)MS_MIN(name.n, (size_t)ROLE_NAME_MAX), name.n > 0 ? name.p : "",
				  MS_SLICE_ARG(ms_buf_slice(&list)), count > 12 ? ", …" : "");
	ms_buf_fini(&list);
	return err;
}

enum ms_err ms_auth_role_get(struct store_tx *tx, struct slice name, struct errinfo *info, struct auth_role *ret_role)
{
	struct store_rows rows;
	const struct built_in *b = find_built_in(name);
	if (b != NULL)
		return describe(b, ms_store_arena(tx), info, ret_role);
	MS_TRY(find_row(tx, name, info, &rows));
	return rows.count > 0 ? read_row(tx, &rows, 0, info, ret_role) : unknown_role(tx, name, info);
}

enum ms_err ms_auth_user_grants(struct store_tx *tx, const struct auth_user *user, struct errinfo *info,
				const struct grants **ret_grants)
{
	const struct grants *own, *of_role;
	struct arena *arena = ms_store_arena(tx);
	MS_TRY(ms_role_grants(tx, user->role, arena, info, &of_role));
	MS_TRY(ms_grants_parse(user->grants, user->grant_count, arena, info, &own));
	return ms_grants_union(of_role, own, arena, info, ret_grants);
}

enum ms_err ms_role_grants(struct store_tx *tx, struct slice name, struct arena *arena, struct errinfo *info,
			   const struct grants **ret_grants)
{
	struct store_rows rows;
	const struct built_in *b = find_built_in(name);
	if (b != NULL)
		return ms_role_built_in_grants((size_t)(b - built_ins), arena, info, ret_grants);
	MS_TRY(find_row(tx, name, info, &rows));
	if (rows.count > 0)
		return ms_grants_read_stored(ms_store_get_text(&rows, 0, 2), arena, info, ret_grants);
	*ret_grants = MS_GRANTS_NONE;
	return MS_OK;
}

// --- Changing ----------------------------------------------------------------------------------------

static enum ms_err check_name(struct slice name, struct errinfo *info)
{
	bool good = name.n > 0 && name.n <= ROLE_NAME_MAX && name.p[0] >= 'a' && name.p[0] <= 'z';
	for (size_t i = 1; good && i < name.n; i++) {
		char c = name.p[i];
		good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
	}
	if (good)
		return MS_OK;
	ms_errinfo_set_field(info, MS_SLICE_LIT("name"));
	return ms_fail(info, MS_ERR_INVALID, "a role's name has 1 to %d of a-z, 0-9, - and _, and begins with a letter",
		       ROLE_NAME_MAX);
}

static enum ms_err check_own(struct slice name, struct errinfo *info)
{
	if (find_built_in(name) == NULL)
		return MS_OK;
	return ms_fail(info, MS_ERR_CONFLICT, "the role '%.*s' is built in; make one of your own with another name",
		       MS_SLICE_ARG(name));
}

static enum ms_err check_authority(const struct auth_authority *authority, const struct grants *grants,
				   struct errinfo *info)
{
	if (authority->limit == NULL || ms_grants_within(grants, authority->limit))
		return MS_OK;
	return ms_fail(info, MS_ERR_FORBIDDEN, "the role allows more than you may do yourself");
}

static enum ms_err record(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
			  struct slice name, const char *what, const struct grants *grants, struct errinfo *info)
{
	struct buf details;
	struct arena *arena = ms_store_arena(tx);
	char *target = ms_arena_printf(arena, "role:%.*s", MS_SLICE_ARG(name));
	ms_buf_init(&details, (size_t)64 << 10);
	ms_buf_printf(&details, "{\"change\":\"%s\"", what);
	if (grants != NULL) {
		ms_buf_append_cstr(&details, ",\"grants\":");
		ms_grants_write(grants, &details);
	}
	ms_buf_append_char(&details, '}');
	const struct audit_entry entry = {.event = AUTH_ROLE_CHANGED,
					  .actor = *authority->by,
					  .target = ms_slice_cstr(target),
					  .details = ms_arena_copy(arena, ms_buf_slice(&details))};
	bool whole = ms_buf_ok(&details) && target != NULL && entry.details.p != NULL;
	ms_buf_fini(&details);
	return whole ? ms_audit_append(tx, auth, &entry, info)
		     : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the audit entry");
}

static enum ms_err check_room(struct store_tx *tx, struct errinfo *info)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT count(*) FROM roles", MS_STORE_NO_PARAMS, 1, info, &rows));
	if (ms_store_get_int(&rows, 0, 0) < ROLES_MAX)
		return MS_OK;
	return ms_fail(info, MS_ERR_LIMIT, "there are %d roles already; remove one first", ROLES_MAX);
}

static enum ms_err write_role(struct store_tx *tx, const struct auth_role *role, struct errinfo *info)
{
	struct buf text;
	ms_buf_init(&text, (size_t)64 << 10);
	ms_grants_write(role->grants, &text);
	int64_t now = ms_store_now_us(tx);
	enum ms_err err =
		ms_buf_ok(&text) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the role's grants");
	if (err == MS_OK)
		err = ms_store_run(tx,
				   "INSERT INTO roles (name, description, grants, created_us, updated_us) VALUES ($1, "
				   "$2, $3, $4, $4) "
				   "ON CONFLICT (name) DO UPDATE SET description = $2, grants = $3, updated_us = $4",
				   MS_STORE_PARAMS(ms_store_text(role->name), ms_store_text(role->description),
						   ms_store_text(ms_buf_slice(&text)), ms_store_int(now)),
				   info, NULL);
	ms_buf_fini(&text);
	return err;
}

enum ms_err ms_auth_role_set(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
			     const struct auth_role *role, struct errinfo *info, bool *ret_created)
{
	struct store_rows rows;
	struct auth_role old;
	struct auth_role set = *role;
	MS_TRY(check_name(role->name, info));
	MS_TRY(check_own(role->name, info));
	if (set.description.p == NULL)
		set.description = MS_SLICE_LIT("");
	if (set.description.n > ROLE_DESCRIPTION_MAX)
		return ms_fail(info, MS_ERR_INVALID, "a role's description has at most %d bytes", ROLE_DESCRIPTION_MAX);
	MS_TRY(check_authority(authority, role->grants, info));
	MS_TRY(find_row(tx, role->name, info, &rows));
	if (rows.count > 0) {
		MS_TRY(read_row(tx, &rows, 0, info, &old));
		MS_TRY(check_authority(authority, old.grants, info));
	} else {
		MS_TRY(check_room(tx, info));
	}
	MS_TRY(write_role(tx, &set, info));
	MS_TRY(ms_change_record(tx, "role", role->name, info));
	*ret_created = rows.count == 0;
	return record(tx, auth, authority, role->name, rows.count == 0 ? "added" : "changed", role->grants, info);
}

enum ms_err ms_auth_role_remove(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
				struct slice name, struct errinfo *info)
{
	struct store_rows rows;
	struct auth_role old;
	MS_TRY(check_own(name, info));
	MS_TRY(ms_auth_role_get(tx, name, info, &old));
	MS_TRY(check_authority(authority, old.grants, info));
	MS_TRY(ms_store_query(tx, "SELECT username FROM users WHERE role = $1 ORDER BY id LIMIT 1",
			      MS_STORE_PARAMS(ms_store_text(name)), 1, info, &rows));
	if (rows.count > 0)
		return ms_fail(info, MS_ERR_CONFLICT,
			       "users have the role '%.*s', '%.*s' for one; give them another first",
			       MS_SLICE_ARG(name), MS_SLICE_ARG(ms_store_get_text(&rows, 0, 0)));
	MS_TRY(ms_store_run(tx, "DELETE FROM roles WHERE name = $1", MS_STORE_PARAMS(ms_store_text(name)), info, NULL));
	MS_TRY(ms_change_record(tx, "role", name, info));
	return record(tx, auth, authority, name, "removed", NULL, info);
}
