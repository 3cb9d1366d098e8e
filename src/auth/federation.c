// SPDX-License-Identifier: Apache-2.0
// Users and who they are at outside providers. Issuer and subject say who somebody is; his e-mail address and names are only what a new
// user begins with, and find nobody.
#include "auth/internal.h"

#define NAME_TRIES 20
#define NAME_KEPT 60

#define COLUMNS "id, issuer, subject, user_id, made, created_us, used_us"

static struct auth_identity read_row(const struct store_rows *rows, size_t row)
{
	return (struct auth_identity){.id = ms_store_get_text(rows, row, 0),
				      .issuer = ms_store_get_text(rows, row, 1),
				      .subject = ms_store_get_text(rows, row, 2),
				      .user_id = ms_store_get_text(rows, row, 3),
				      .made = ms_store_get_int(rows, row, 4) != 0,
				      .created_us = ms_store_get_int(rows, row, 5),
				      .used_us = ms_store_get_int(rows, row, 6)};
}

static enum ms_err find(struct store_tx *tx, struct slice issuer, struct slice subject, struct errinfo *info,
			bool *ret_found, struct auth_identity *ret_identity)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT " COLUMNS " FROM identities WHERE issuer = $1 AND subject = $2",
			      MS_STORE_PARAMS(ms_store_text(issuer), ms_store_text(subject)), 1, info, &rows));
	*ret_found = rows.count > 0;
	if (rows.count > 0)
		*ret_identity = read_row(&rows, 0);
	return MS_OK;
}

static enum ms_err record(struct store_tx *tx, struct auth *auth, const struct auth_actor *by, enum auth_event event,
			  const struct auth_identity *identity, struct errinfo *info)
{
	struct buf details;
	struct json_writer w;
	struct arena *arena = ms_store_arena(tx);
	ms_buf_init(&details, 8192);
	ms_json_writer_init(&w, &details);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "issuer");
	ms_json_str(&w, identity->issuer);
	ms_json_key_lit(&w, "subject");
	ms_json_str(&w, identity->subject);
	ms_json_end_object(&w);
	struct slice text = ms_buf_ok(&details) ? ms_arena_copy(arena, ms_buf_slice(&details)) : MS_SLICE_EMPTY;
	ms_buf_fini(&details);
	if (text.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	const struct audit_entry entry = {.event = event,
					  .actor = *by,
					  .target = ms_auth_target("user", identity->user_id, arena),
					  .details = text};
	return ms_audit_append(tx, auth, &entry, info);
}

static enum ms_err insert(struct store_tx *tx, const struct auth_identity *identity, struct errinfo *info)
{
	return ms_store_run(tx, "INSERT INTO identities (" COLUMNS ") VALUES ($1, $2, $3, $4, $5, $6, $7)",
			    MS_STORE_PARAMS(ms_store_text(identity->id), ms_store_text(identity->issuer),
					    ms_store_text(identity->subject), ms_store_text(identity->user_id),
					    ms_store_int(identity->made), ms_store_int(identity->created_us),
					    ms_store_int(identity->used_us)),
			    info, NULL);
}

static enum ms_err new_id(struct store_tx *tx, struct errinfo *info, struct slice *ret_id)
{
	char *id = ms_arena_alloc(ms_store_arena(tx), MS_AUTH_ID_SIZE);
	if (id == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_auth_id(id);
	*ret_id = ms_slice_cstr(id);
	return MS_OK;
}

// --- New users ---------------------------------------------------------------------------------------

// A name of ours from one of theirs. Without '@', so that nobody's name is another one's address.
static size_t plain_name(struct slice wanted, char dst[NAME_KEPT])
{
	size_t n = 0;
	wanted = ms_slice_sub(wanted, 0, ms_slice_find(wanted, '@'));
	for (size_t i = 0; i < wanted.n && n < NAME_KEPT - 1; i++) {
		char c = wanted.p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (alnum || (n > 0 && (c == '.' || c == '_' || c == '-')))
			dst[n++] = c;
		else if (n > 0 && dst[n - 1] != '-')
			dst[n++] = '-';
	}
	while (n > 0 && dst[n - 1] == '-')
		n--;
	dst[n] = '\0';
	return n;
}

static enum ms_err is_taken(struct store_tx *tx, struct slice name, struct errinfo *info, bool *ret_taken)
{
	struct slice key, password;
	struct auth_user user;
	*ret_taken = true;
	if (!ms_auth_name_key(name, ms_store_arena(tx), &key))
		return MS_OK;
	return ms_auth_user_look(tx, key, false, info, ret_taken, &user, &password);
}

static enum ms_err free_name(struct store_tx *tx, struct slice wanted, struct errinfo *info, struct slice *ret_name)
{
	char base[NAME_KEPT];
	uint8_t random[6];
	bool taken;
	struct arena *arena = ms_store_arena(tx);
	if (plain_name(wanted, base) == 0)
		memcpy(base, "user", 5);
	for (unsigned i = 1; i <= NAME_TRIES; i++) {
		const char *name =
			i == 1 ? ms_arena_printf(arena, "%s", base) : ms_arena_printf(arena, "%s-%u", base, i);
		if (name == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
		*ret_name = ms_slice_cstr(name);
		MS_TRY(is_taken(tx, *ret_name, info, &taken));
		if (!taken)
			return MS_OK;
	}
	ms_random_bytes(random, sizeof(random));
	const char *name = ms_arena_printf(arena, "%s-%02x%02x%02x%02x%02x%02x", base, random[0], random[1], random[2],
					   random[3], random[4], random[5]);
	*ret_name = ms_slice_cstr(name);
	return name != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static enum ms_err make(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
			const struct federation_person *person, struct errinfo *info, struct auth_user *ret_user)
{
	bool taken = true;
	const struct auth_authority authority = {.by = by};
	struct auth_user_fields fields = {.role = person->role, .display_name = person->name};
	struct auth_identity identity = {.issuer = person->issuer,
					 .subject = person->subject,
					 .made = true,
					 .created_us = ms_store_now_us(tx),
					 .used_us = ms_store_now_us(tx)};
	MS_TRY(free_name(tx, person->username, info, &fields.username));
	// An address that somebody here has stays his alone; it is no reason to be him.
	if (person->email.n > 0)
		MS_TRY(is_taken(tx, person->email, info, &taken));
	if (!taken)
		fields.email = person->email;
	MS_TRY(ms_auth_user_add(tx, auth, &authority, &fields, info, ret_user));
	MS_TRY(new_id(tx, info, &identity.id));
	identity.user_id = ret_user->id;
	MS_TRY(insert(tx, &identity, info));
	return record(tx, auth, by, AUTH_IDENTITY_LINKED, &identity, info);
}

// --- Signing in --------------------------------------------------------------------------------------

static enum ms_err no_role(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_FORBIDDEN, "none of the person's groups at the provider gives a role here");
}

// The role of a user who was made from there is what the provider's groups say today.
static enum ms_err follow_groups(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				 const struct federation_person *person, struct errinfo *info, struct auth_user *user)
{
	const struct auth_authority authority = {.by = by};
	const struct auth_user_fields fields = {.role = person->role};
	if (person->role.n == 0)
		return no_role(info);
	if (ms_slice_eq(person->role, user->role))
		return MS_OK;
	return ms_auth_user_change(tx, auth, &authority, user->id, &fields, MS_SLICE_EMPTY, info, user);
}

enum ms_err ms_federation_sign_in(struct store_tx *tx, struct auth *auth, const struct auth_actor *by,
				  const struct federation_person *person, struct errinfo *info,
				  struct auth_user *ret_user)
{
	struct auth_identity identity;
	struct slice password;
	struct auth_actor actor = *by;
	bool found;
	actor.id = MS_SLICE_LIT("provider:" MS_FEDERATION_ID);
	MS_TRY(find(tx, person->issuer, person->subject, info, &found, &identity));
	if (!found && person->role.n == 0)
		return person->grouped ? no_role(info)
				       : ms_fail(info, MS_ERR_AUTH_USER_UNKNOWN,
						 "nobody here is linked with this account at the provider");
	if (!found)
		return make(tx, auth, &actor, person, info, ret_user);
	MS_TRY(ms_auth_user_look(tx, identity.user_id, true, info, &found, ret_user, &password));
	if (!found || !ms_auth_user_is_active(ret_user))
		return ms_fail(info, MS_ERR_AUTH_CREDENTIALS, "the user is disabled");
	if (identity.made && person->grouped)
		MS_TRY(follow_groups(tx, auth, &actor, person, info, ret_user));
	return ms_store_run(tx, "UPDATE identities SET used_us = $2 WHERE id = $1",
			    MS_STORE_PARAMS(ms_store_text(identity.id), ms_store_int(ms_store_now_us(tx))), info, NULL);
}

void ms_federation_refused(struct auth *auth, const struct auth_actor *by, const char *reason)
{
	struct buf details;
	struct json_writer w;
	struct errinfo ignored;
	int64_t wait_s;
	ms_errinfo_init(&ignored);
	ms_auth_count_login(auth, "refused");
	// Strangers can make as many as they like: of one address they are recorded ever more seldom.
	if (ms_auth_slow_down(auth, "outside", by->address, &ignored, &wait_s) != MS_OK)
		return;
	ms_buf_init(&details, 4096);
	ms_json_writer_init(&w, &details);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "provider");
	ms_json_cstr(&w, MS_FEDERATION_ID);
	ms_json_key_lit(&w, "reason");
	ms_json_cstr(&w, reason);
	ms_json_end_object(&w);
	const struct audit_entry entry = {.event = AUTH_LOGIN,
					  .outcome = AUDIT_REFUSED,
					  .actor = *by,
					  .details = ms_buf_ok(&details) ? ms_buf_slice(&details) : MS_SLICE_EMPTY};
	ms_audit_later(auth, &entry);
	ms_buf_fini(&details);
	ms_log(auth->options.log, LOG_WARN, "a sign-in through the outside provider did not work",
	       MS_LOG_CSTR("error.message", reason));
}

// --- Links -------------------------------------------------------------------------------------------

static bool is_text(struct slice text, size_t max)
{
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return false;
	}
	return text.n > 0 && text.n <= max;
}

enum ms_err ms_auth_identity_list(struct store_tx *tx, struct slice user_id, struct errinfo *info,
				  struct auth_identity **ret_identities, size_t *ret_count)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT " COLUMNS " FROM identities WHERE user_id = $1 ORDER BY id",
			      MS_STORE_PARAMS(ms_store_text(user_id)), MS_FEDERATION_IDENTITIES_MAX, info, &rows));
	struct auth_identity *all = MS_ARENA_ARRAY(ms_store_arena(tx), struct auth_identity, rows.count + 1);
	if (all == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < rows.count; i++)
		all[i] = read_row(&rows, i);
	*ret_identities = all;
	*ret_count = rows.count;
	return MS_OK;
}

enum ms_err ms_auth_identity_link(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
				  struct slice user_id, struct slice issuer, struct slice subject, struct errinfo *info,
				  struct auth_identity *ret_identity)
{
	struct auth_user user;
	struct auth_identity identity, *others;
	size_t count;
	bool found;
	if (!is_text(issuer, 500) || !is_text(subject, 255))
		return ms_fail(info, MS_ERR_INVALID, "issuer and subject are texts of at most 500 and 255 bytes");
	MS_TRY(ms_auth_user_get(tx, user_id, info, &user));
	MS_TRY(ms_auth_check_authority(tx, authority, &user, info));
	MS_TRY(find(tx, issuer, subject, info, &found, &identity));
	if (found)
		return ms_fail(info, MS_ERR_CONFLICT, "this account at the provider is linked already");
	MS_TRY(ms_auth_identity_list(tx, user_id, info, &others, &count));
	if (count >= MS_FEDERATION_IDENTITIES_MAX)
		return ms_fail(info, MS_ERR_LIMIT, "a user has at most %d of them", MS_FEDERATION_IDENTITIES_MAX);
	identity = (struct auth_identity){
		.issuer = issuer, .subject = subject, .user_id = user.id, .created_us = ms_store_now_us(tx)};
	MS_TRY(new_id(tx, info, &identity.id));
	MS_TRY(insert(tx, &identity, info));
	*ret_identity = identity;
	return record(tx, auth, authority->by, AUTH_IDENTITY_LINKED, &identity, info);
}

// Whether he has something else to sign in with.
static enum ms_err has_another_way(struct store_tx *tx, const struct auth_user *user, size_t identities,
				   struct errinfo *info, bool *ret_has)
{
	struct auth_factors factors;
	MS_TRY(ms_auth_factors(tx, user->id, info, &factors));
	*ret_has = user->has_password || identities > 1 || factors.passkeys > 0;
	return MS_OK;
}

enum ms_err ms_auth_identity_unlink(struct store_tx *tx, struct auth *auth, const struct auth_authority *authority,
				    struct slice user_id, struct slice id, bool keep_last, struct errinfo *info)
{
	struct auth_user user;
	struct auth_identity *all;
	size_t count, i = 0;
	bool other;
	MS_TRY(ms_auth_user_get(tx, user_id, info, &user));
	MS_TRY(ms_auth_check_authority(tx, authority, &user, info));
	MS_TRY(ms_auth_identity_list(tx, user_id, info, &all, &count));
	while (i < count && !ms_slice_eq(all[i].id, id))
		i++;
	if (i == count)
		return ms_fail(info, MS_ERR_NOT_FOUND, "the user has no link '%.*s'", MS_SLICE_ARG(id));
	MS_TRY(has_another_way(tx, &user, count, info, &other));
	if (keep_last && !other)
		return ms_fail(info, MS_ERR_CONFLICT, "this is the only way to sign in: set a password first");
	MS_TRY(ms_store_run(tx, "DELETE FROM identities WHERE id = $1", MS_STORE_PARAMS(ms_store_text(id)), info,
			    NULL));
	return record(tx, auth, authority->by, AUTH_IDENTITY_UNLINKED, &all[i], info);
}
