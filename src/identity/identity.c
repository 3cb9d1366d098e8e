// SPDX-License-Identifier: Apache-2.0
// The module's life, its list of route tables, and what the handlers share.
#include <stdio.h>
#include <stdlib.h>

#include "identity/private.h"

static struct identity_table (*const tables[])(void) = {
	ms_identity_login_table,     ms_identity_users_table,   ms_identity_mfa_table,      ms_identity_webauthn_table,
	ms_identity_keys_table,      ms_identity_roles_table,   ms_identity_audit_table,    ms_identity_wellknown_table,
	ms_identity_authorize_table, ms_identity_signin_table,  ms_identity_device_table,   ms_identity_token_table,
	ms_identity_oidc_table,      ms_identity_clients_table, ms_identity_external_table,
};

struct route_set ms_identity_routes(struct identity *identity, size_t index)
{
	if (index >= MS_ARRAY_LEN(tables))
		return (struct route_set){0};
	struct identity_table table = tables[index]();
	return (struct route_set){.routes = table.routes, .count = table.count, .role = identity};
}

enum ms_err ms_identity_new(const struct identity_options *options, struct errinfo *info,
			    struct identity **ret_identity)
{
	struct identity *identity = calloc(1, sizeof(*identity));
	if (identity == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	*identity = (struct identity){.options = *options, .auth = options->auth, .store = options->store};
	*ret_identity = identity;
	return MS_OK;
}

void ms_identity_free(struct identity *identity)
{
	free(identity);
}

// --- Work --------------------------------------------------------------------------------------------

void *ms_identity_begin(struct exchange *x, void *role, size_t size)
{
	struct identity_work *w = ms_arena_calloc(x->arena, 1, size);
	if (w == NULL) {
		ms_http_fail_code(x, MS_ERR_NO_MEMORY, "out of memory for this request");
		return NULL;
	}
	w->x = x;
	w->identity = role;
	if (x->caller.kind != CALLER_UNKNOWN) {
		w->actor = ms_auth_actor_of(x);
		w->authority.limit = ms_auth_grants_of(x);
	} else {
		w->actor = (struct auth_actor){.kind = CALLER_UNKNOWN, .address = x->req.peer, .request_id = x->req.id};
		w->authority.limit = MS_GRANTS_NONE;
	}
	w->authority.by = &w->actor;
	ms_errinfo_init(&w->info);
	// A page that was posted to may begin another one: the header stands there once.
	if (x->role_data == NULL)
		ms_http_set_header(x, "Cache-Control", MS_SLICE_LIT("no-store"));
	x->role_data = w;
	return w;
}

void ms_identity_fail(struct identity_work *w)
{
	char seconds[24];
	MS_ASSERT(w->err != MS_OK);
	if (w->info.code != w->err)
		MS_IGNORE(ms_fail(&w->info, w->err, "the request failed"));
	if (w->err == MS_ERR_BUSY && w->retry_after_s == 0)
		w->retry_after_s = 1;
	if (w->retry_after_s > 0) {
		int n = snprintf(seconds, sizeof(seconds), "%lld", (long long)w->retry_after_s);
		ms_http_set_header(w->x, "Retry-After", ms_slice(seconds, (size_t)n));
	}
	ms_buf_clear(w->x->body);
	if (w->failed != NULL) {
		w->failed(w);
		return;
	}
	if (ms_err_http_status(w->err) == 401)
		ms_http_set_header(w->x, "WWW-Authenticate", MS_SLICE_LIT("Bearer realm=\"mainstay\""));
	ms_http_fail(w->x, &w->info);
}

bool ms_identity_still_may(struct identity_work *w)
{
	if (!ms_http_admit_again(w->x))
		return false;
	w->actor = ms_auth_actor_of(w->x);
	w->authority.limit = ms_auth_grants_of(w->x);
	return true;
}

void ms_identity_send_nothing(struct identity_work *w)
{
	ms_http_send(w->x, 204, NULL);
}

static void settled(void *arg)
{
	struct identity_work *w = arg;
	w->finish(w);
}

static void store_done(struct store_work *work)
{
	struct identity_work *w = work->arg;
	w->err = work->err;
	if (w->err != MS_OK) {
		w->info = work->info;
		ms_identity_fail(w);
	} else if (w->settles)
		ms_auth_settle(w->identity->auth, &w->settle, w->x->loop, settled, w);
	else
		w->finish(w);
}

static void submitted(struct identity_work *w, enum ms_err err)
{
	if (err == MS_OK)
		return;
	w->err = ms_fail(&w->info, err, "too many requests wait for the store: try again later");
	ms_identity_fail(w);
}

void ms_identity_write(struct identity_work *w, store_fn *tx, identity_fn *finish, bool settles)
{
	w->finish = finish;
	w->settles = settles;
	submitted(w, ms_store_write(w->identity->store, &w->store, w->x->loop, tx, w, store_done));
}

void ms_identity_read(struct identity_work *w, store_fn *tx, identity_fn *finish)
{
	w->finish = finish;
	w->settles = false;
	submitted(w, ms_store_read(w->identity->store, &w->store, w->x->loop, tx, w, store_done));
}

void ms_identity_away(struct identity_work *w, struct pool *pool, job_fn *work, job_fn *done)
{
	enum ms_err err = pool != NULL ? ms_pool_submit(pool, &w->job, w->x->loop, work, done)
				       : MS_ERR_DRAINING; // NULL: the server is ending
	if (err == MS_OK)
		return;
	w->err = ms_fail(&w->info, err, "too many requests wait for a thread: try again later");
	ms_identity_fail(w);
}

bool ms_identity_keep(struct identity_work *w, struct slice *text)
{
	if (text->p == NULL)
		return true;
	*text = ms_arena_copy(w->x->arena, *text);
	return text->p != NULL;
}

// --- Bodies and queries ------------------------------------------------------------------------------

static enum ms_err take(const struct identity_field *field, const struct json_value *value, struct errinfo *info)
{
	ms_errinfo_set_field(info, ms_slice_cstr(field->name));
	if (value->type == JSON_NULL && field->nullable) {
		if (field->kind == FIELD_TEXT)
			*(struct slice *)field->to = MS_SLICE_LIT("");
		return MS_OK;
	}
	switch (field->kind) {
	case FIELD_FLAG:
		if (!ms_json_as_bool(value, field->to))
			return ms_fail(info, MS_ERR_JSON_TYPE, "'%s' must be true or false", field->name);
		return MS_OK;
	case FIELD_TEXT:
		if (!ms_json_as_str(value, field->to))
			return ms_fail(info, MS_ERR_JSON_TYPE, "'%s' must be a string, not %s", field->name,
				       ms_json_type_name(value->type));
		return ((struct slice *)field->to)->n > 0 || !field->required
			       ? MS_OK
			       : ms_fail(info, MS_ERR_INVALID, "'%s' is empty", field->name);
	case FIELD_VALUE:
	default:
		*(const struct json_value **)field->to = value;
		return MS_OK;
	}
}

static enum ms_err take_all(const struct json_value *body, const struct identity_field *fields, size_t count,
			    struct errinfo *info)
{
	uint32_t seen = 0;
	for (size_t m = 0; m < body->object.count; m++) {
		const struct json_member *member = &body->object.members[m];
		size_t i = 0;
		while (i < count && !ms_slice_eq_cstr(member->key, fields[i].name))
			i++;
		if (i == count) {
			ms_errinfo_set_field(info, member->key);
			return ms_fail(info, MS_ERR_INVALID, "unknown member '%.*s'", MS_SLICE_ARG(member->key));
		}
		seen |= 1U << i;
		MS_TRY(take(&fields[i], &member->value, info));
	}
	for (size_t i = 0; i < count; i++) {
		if (!fields[i].required || (seen >> i & 1) != 0)
			continue;
		ms_errinfo_set_field(info, ms_slice_cstr(fields[i].name));
		return ms_fail(info, MS_ERR_INVALID, "'%s' is missing", fields[i].name);
	}
	ms_errinfo_set_field(info, MS_SLICE_EMPTY);
	return MS_OK;
}

bool ms_identity_body(struct exchange *x, const struct identity_field *fields, size_t count)
{
	static const struct json_limits limits = {.max_depth = 8, .max_bytes = 1 << 18, .reject_duplicates = true};
	struct errinfo info;
	const struct json_value *body;
	MS_ASSERT(count <= 32);
	ms_errinfo_init(&info);
	struct slice text = x->req.body.n > 0 ? x->req.body : MS_SLICE_LIT("{}");
	enum ms_err err = ms_json_parse(text, &limits, x->arena, &info, &body);
	if (err == MS_OK && body->type != JSON_OBJECT)
		err = ms_fail(&info, MS_ERR_JSON_TYPE, "the body must be a JSON object, not %s",
			      ms_json_type_name(body->type));
	if (err == MS_OK)
		err = take_all(body, fields, count, &info);
	if (err == MS_OK)
		return true;
	ms_http_fail(x, &info);
	return false;
}

const struct route_param ms_identity_page_params[] = {
	{"limit", "integer", "Most items in the answer, 1 to 1000 (default 100)", false},
	{"cursor", "string", "next_cursor of the answer before", false},
	{0},
};

bool ms_identity_page(struct exchange *x, size_t *ret_limit, struct slice *ret_cursor)
{
	struct slice text;
	uint64_t limit = 100;
	if (ms_http_query(x, "limit", &text) && (!ms_slice_to_u64(text, &limit) || limit < 1 || limit > 1000)) {
		ms_http_fail_code(x, MS_ERR_INVALID, "limit must be a number from 1 to 1000");
		return false;
	}
	*ret_limit = (size_t)limit;
	*ret_cursor = ms_http_query(x, "cursor", &text) ? text : MS_SLICE_EMPTY;
	return true;
}

bool ms_identity_own(struct exchange *x, struct slice *ret_user_id)
{
	struct slice id = x->caller.kind != CALLER_UNKNOWN ? ms_auth_user_of(x) : MS_SLICE_EMPTY;
	if (id.n == 0) {
		ms_http_fail_code(x, MS_ERR_FORBIDDEN, "this is for users, and the caller is none");
		return false;
	}
	*ret_user_id = id;
	return true;
}

// --- Answers -----------------------------------------------------------------------------------------
