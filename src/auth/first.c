// SPDX-License-Identifier: Apache-2.0
// The first start: an administrator, and a key to begin with.
#include "auth/internal.h"

struct first {
	struct auth *auth;
	bool made;
	char secret[MS_API_KEY_SIZE];
};

static enum ms_err make_admin(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct first *f = arg;
	struct store_rows rows;
	struct auth_user user;
	struct auth_key key;
	const struct auth_actor by = ms_auth_actor_system();
	const struct auth_authority authority = {.by = &by};
	f->made = false;
	MS_TRY(ms_store_query(tx, "SELECT id FROM users LIMIT 1", MS_STORE_NO_PARAMS, 1, info, &rows));
	if (rows.count > 0)
		return MS_OK;
	const struct auth_user_fields fields = {.username = MS_SLICE_LIT("admin"),
						.display_name = MS_SLICE_LIT("Administrator"),
						.role = MS_SLICE_LIT("admin")};
	MS_TRY(ms_auth_user_add(tx, f->auth, &authority, &fields, info, &user));
	const struct auth_key wanted = {
		.name = MS_SLICE_LIT("first start"), .owner_id = user.id, .scopes = MS_GRANTS_ALL};
	MS_TRY(ms_auth_key_create(tx, f->auth, &authority, &wanted, info, &key, f->secret));
	f->made = true;
	const struct audit_entry entry = {.event = AUTH_ADMIN_CREATED,
					  .actor = by,
					  .target = ms_auth_target("user", user.id, ms_store_arena(tx))};
	return ms_audit_append(tx, f->auth, &entry, info);
}

static enum ms_err write_key(const struct auth *auth, const struct first *f, struct errinfo *info)
{
	struct arena arena;
	struct errinfo why;
	ms_arena_init(&arena, 1024, 1 << 16);
	ms_errinfo_init(&why);
	const char *path = ms_arena_printf(&arena, "%s/" MS_AUTH_ADMIN_KEY_FILE, auth->options.data_dir);
	const char *line = ms_arena_printf(&arena, "%s\n", f->secret);
	enum ms_err err = path != NULL && line != NULL ? ms_file_write_atomic(path, ms_slice_cstr(line), 0600, &why)
						       : ms_fail(&why, MS_ERR_NO_MEMORY, "out of memory");
	if (err != MS_OK)
		err = ms_fail(info, err, "the key of the first administrator cannot be written: %.300s", why.message);
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_auth_first_start(struct auth *auth, struct arena *arena, struct errinfo *info, struct slice *ret_key)
{
	struct first f = {.auth = auth};
	*ret_key = MS_SLICE_EMPTY;
	MS_TRY(ms_store_write_wait(auth->options.store, make_admin, &f, info));
	if (!f.made)
		return MS_OK;
	// The user is there already: when the file cannot be written, the key is still shown.
	*ret_key = ms_arena_copy(arena, ms_slice_cstr(f.secret));
	enum ms_err err = write_key(auth, &f, info);
	ms_wipe(f.secret, sizeof(f.secret));
	if (err == MS_OK)
		err = ms_auth_gate_look(auth, info); // the key works from the first request on
	return ret_key->p != NULL ? err : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}
