// SPDX-License-Identifier: Apache-2.0
// /gateway/v1/*: the document, its entities, its history. A change is read, checked and compiled on a thread of the store, inside the transaction that
// writes it; then the plan is put in force here, and the notice brings it to the other processes.
#include "gateway/admin.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/document.h"
#include "gateway/history.h"
#include "gateway/plugin.h"
#include "gateway/proxy.h"
#include "gateway/versions.h"

#define ROUTES_MAX ((size_t)4 << 20)
#define WORDS_MAX ((size_t)1 << 20)

// --- The plan in force -----------------------------------------------------------------------------

// Plans come from several threads; one that is older than what is in force is dropped. Takes the reference.
static void put_in_force(struct gateway_admin *a, struct gw_snapshot *snapshot)
{
	pthread_mutex_lock(&a->lock);
	bool newer = snapshot->plan->version > a->version;
	if (newer) {
		a->version = snapshot->plan->version;
		ms_gateway_put(a->gateway, snapshot);
	}
	pthread_mutex_unlock(&a->lock);
	if (!newer)
		ms_gw_snapshot_unref(snapshot);
}

static enum ms_err load_newest(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct loading_state *l = arg;
	int64_t version;
	struct gateway_version row;
	struct slice text;
	struct problems problems;
	struct plan *plan;
	ms_gw_snapshot_unref(l->snapshot); // of an earlier run
	l->snapshot = NULL;
	MS_TRY(ms_history_newest(tx, info, &version));
	pthread_mutex_lock(&l->admin->lock);
	bool newer = version > l->admin->version;
	pthread_mutex_unlock(&l->admin->lock);
	if (!newer)
		return MS_OK;
	MS_TRY(ms_history_load(tx, ms_gateway_auth(l->admin->gateway), version, info, &row, &text));
	MS_TRY(ms_versions_plan(text, NULL, ms_store_arena(tx), &problems, info, &plan));
	plan->version = version;
	enum ms_err err = ms_gateway_prepare(l->admin->gateway, plan, info, &l->snapshot);
	ms_plan_unref(plan);
	return err;
}

static void loaded(struct store_work *work)
{
	struct gateway_admin *a = MS_CONTAINER_OF(work, struct gateway_admin, work);
	struct gw_snapshot *snapshot = a->loading.snapshot;
	a->loading.snapshot = NULL;
	a->busy = false;
	if (snapshot != NULL && work->err == MS_OK)
		put_in_force(a, snapshot);
	else
		ms_gw_snapshot_unref(snapshot);
	if (work->err != MS_OK)
		ms_log(ms_gateway_log(a->gateway), LOG_ERROR,
		       "the gateway's configuration could not be read again; the present one stays",
		       MS_LOG_CSTR("error.message", work->info.message));
	if (a->again)
		ms_gateway_admin_look(a);
}

// On loop 0.
void ms_gateway_admin_look(struct gateway_admin *a)
{
	a->again = a->busy && !a->stopped;
	if (a->busy || a->stopped)
		return;
	struct store *store = ms_gateway_store(a->gateway);
	struct loop *home = ms_rt_loop(ms_gateway_rt(a->gateway), 0);
	a->busy = ms_store_read(store, &a->work, home, load_newest, &a->loading, loaded) == MS_OK;
}

static void changed(void *arg)
{
	ms_gateway_admin_look(arg);
}

// --- Requests --------------------------------------------------------------------------------------

typedef void work_done_fn(struct admin_work *w);

// What is written can be put in force: it is made ready first.
static enum ms_err make_ready(void *arg, struct plan *plan, struct errinfo *info)
{
	struct admin_work *w = arg;
	return ms_gateway_prepare(w->admin->gateway, plan, info, &w->snapshot);
}

static struct admin_work *begin(struct exchange *x, void *role)
{
	struct admin_work *w = calloc(1, sizeof(*w)); // it ends after the answer, when the request's arena may be gone
	if (w == NULL) {
		ms_http_fail_code(x, MS_ERR_NO_MEMORY, "out of memory");
		return NULL;
	}
	*w = (struct admin_work){.x = x, .admin = role, .status = 200};
	ms_arena_init(&w->arena, 65536, (size_t)1 << 30);
	ms_buf_init(&w->edit.words, WORDS_MAX);
	w->edit.auth = ms_gateway_auth(w->admin->gateway);
	w->actor = ms_auth_actor_of(x);
	w->edit.by = &w->actor;
	w->edit.expected = -1;
	w->edit.accepts = make_ready;
	w->edit.accepts_arg = w;
	pthread_mutex_lock(&w->admin->lock);
	w->file = ms_plan_ref(w->admin->file);
	pthread_mutex_unlock(&w->admin->lock);
	return w;
}

static void end(struct admin_work *w)
{
	ms_gw_snapshot_unref(w->snapshot);
	ms_plan_unref(w->plan);
	ms_plan_unref(w->file);
	ms_buf_fini(&w->edit.words);
	ms_arena_fini(&w->arena);
	free(w);
}

static void write_problems(struct json_writer *w, const struct problems *problems)
{
	ms_json_key_lit(w, "problems");
	ms_json_begin_array(w);
	for (size_t i = 0; i < problems->count; i++) {
		const struct problem *p = &problems->items[i];
		ms_json_begin_object(w);
		ms_json_key_lit(w, "path");
		ms_json_str(w, p->path);
		ms_json_key_lit(w, "message");
		ms_json_str(w, p->message);
		ms_json_key_lit(w, "line");
		if (p->line > 0)
			ms_json_i64(w, p->line);
		else
			ms_json_null(w);
		ms_json_end_object(w);
	}
	ms_json_end_array(w);
}

static void write_words(struct json_writer *w, struct slice words)
{
	struct slice line;
	ms_json_key_lit(w, "changes");
	ms_json_begin_array(w);
	while (words.n > 0 && ms_slice_next(&words, '\n', &line)) {
		if (line.n > 0)
			ms_json_str(w, line);
	}
	ms_json_end_array(w);
}

// The error document, with all problems.
static void fail(struct admin_work *w, const struct errinfo *info)
{
	struct exchange *x = w->x;
	if (w->problems.count == 0) {
		ms_http_fail(x, info);
		return;
	}
	struct json_writer j;
	ms_buf_clear(x->body);
	ms_json_writer_init(&j, x->body);
	ms_json_begin_object(&j);
	ms_json_key_lit(&j, "error");
	ms_json_cstr(&j, info->message);
	ms_json_key_lit(&j, "code");
	ms_json_cstr(&j, ms_err_name(info->code));
	ms_json_key_lit(&j, "request_id");
	ms_json_str(&j, x->req.id);
	write_problems(&j, &w->problems);
	ms_json_end_object(&j);
	ms_http_send_json(x, 400);
}

static void set_etag(struct exchange *x, int64_t version)
{
	char etag[32];
	int n = snprintf(etag, sizeof(etag), "\"v%lld\"", (long long)version);
	ms_http_set_header(x, "ETag", ms_slice(etag, (size_t)n));
}

// If-Match: the version that the caller looked at. False: answered.
static bool read_match(struct admin_work *w)
{
	struct slice text = ms_http_header(&w->x->req, "If-Match");
	if (text.p == NULL || ms_slice_eq_cstr(text, "*"))
		return true;
	if (text.n > 3 && ms_slice_starts_with(text, MS_SLICE_LIT("\"v")) &&
	    ms_slice_to_i64(ms_slice_sub(text, 2, text.n - 3), &w->edit.expected))
		return true;
	ms_http_fail_code(w->x, MS_ERR_INVALID, "If-Match: expected the ETag of an earlier answer, such as \"v7\"");
	end(w);
	return false;
}

static bool has_store(struct admin_work *w)
{
	if (ms_gateway_store(w->admin->gateway) != NULL)
		return true;
	ms_http_fail_code(w->x, MS_ERR_UNSUPPORTED,
			  "The gateway runs without a store, from its file alone: change the file.");
	end(w);
	return false;
}

static void finish(struct store_work *work)
{
	struct admin_work *w = MS_CONTAINER_OF(work, struct admin_work, work);
	if (work->err != MS_OK) {
		fail(w, &work->info);
	} else {
		if (w->snapshot != NULL)
			put_in_force(w->admin, w->snapshot);
		w->snapshot = NULL;
		w->answer(w);
	}
	end(w);
}

static void submit(struct admin_work *w, bool writes, store_fn *fn, work_done_fn *answer)
{
	struct store *store = ms_gateway_store(w->admin->gateway);
	w->answer = answer;
	enum ms_err err = writes ? ms_store_write(store, &w->work, w->x->loop, fn, w, finish)
				 : ms_store_read(store, &w->work, w->x->loop, fn, w, finish);
	if (err == MS_OK)
		return;
	ms_http_fail_code(w->x, err, "The store takes no more work now.");
	end(w);
}

// --- Changing --------------------------------------------------------------------------------------

// What a change is made on: the newest version, or, before there is one, the file.
static enum ms_err current(struct store_tx *tx, struct admin_work *w, struct errinfo *info, int64_t *ret_version,
			   const struct json_value **ret_document)
{
	ms_arena_reset(&w->arena);
	ms_plan_unref(w->plan);
	w->plan = NULL;
	ms_gw_snapshot_unref(w->snapshot);
	w->snapshot = NULL;
	w->problems = (struct problems){.arena = &w->arena};
	MS_TRY(ms_versions_current(tx, w->edit.auth, info, ret_version, ret_document));
	if (*ret_document == NULL)
		*ret_document = w->file->source;
	if (w->edit.expected >= 0 && w->edit.expected != *ret_version)
		return ms_fail(
			info, MS_ERR_CONFLICT,
			"The gateway is at version %lld, not at %lld: somebody changed it meanwhile; look again.",
			(long long)*ret_version, (long long)w->edit.expected);
	return MS_OK;
}

static enum ms_err put_text(struct store_tx *tx, struct admin_work *w, struct slice text, int64_t before,
			    const struct json_value *old, struct errinfo *info)
{
	MS_TRY(ms_versions_plan(text, old, &w->arena, &w->problems, info, &w->plan));
	return ms_versions_add(tx, &w->edit, before, old, w->plan, info);
}

static enum ms_err put_document(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct admin_work *w = arg;
	int64_t before;
	const struct json_value *old;
	MS_TRY(current(tx, w, info, &before, &old));
	return put_text(tx, w, w->x->req.body, before, old, info);
}

static enum ms_err roll_back(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct admin_work *w = arg;
	int64_t before;
	const struct json_value *old;
	struct gateway_version ignored;
	struct slice text;
	MS_TRY(current(tx, w, info, &before, &old));
	MS_TRY(ms_history_load(tx, w->edit.auth, w->number, info, &ignored, &text));
	return put_text(tx, w, text, before, old, info);
}

static enum ms_err change_entity(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct admin_work *w = arg;
	int64_t before;
	const struct json_value *old;
	MS_TRY(current(tx, w, info, &before, &old));
	if (w->entity == NULL && ms_document_find(old, w->kind, w->name) == NULL)
		return ms_fail(info, MS_ERR_NOT_FOUND, "there is no such entry among the %s", w->kind);
	w->status = w->entity != NULL && ms_document_find(old, w->kind, w->name) == NULL ? 201 : 200;
	struct buf text;
	ms_buf_init(&text, (size_t)256 << 20);
	ms_document_change(old, w->kind, w->name, w->entity, &text);
	struct slice copy = ms_buf_ok(&text) ? ms_arena_copy(&w->arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	if (copy.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "not enough memory for this change");
	return put_text(tx, w, copy, before, old, info);
}

static void answer_change(struct admin_work *w)
{
	struct json_writer j;
	ms_buf_clear(w->x->body);
	ms_json_writer_init(&j, w->x->body);
	ms_json_begin_object(&j);
	ms_json_key_lit(&j, "version");
	ms_json_i64(&j, w->edit.version);
	ms_json_key_lit(&j, "changed");
	ms_json_bool(&j, w->edit.changed);
	write_words(&j, ms_buf_slice(&w->edit.words));
	ms_json_end_object(&j);
	set_etag(w->x, w->edit.version);
	ms_http_send_json(w->x, w->status);
}

static bool read_comment(struct admin_work *w)
{
	if (!ms_http_query(w->x, "comment", &w->edit.comment))
		w->edit.comment = MS_SLICE_EMPTY;
	return read_match(w) && has_store(w);
}

void ms_gateway_put_config(struct exchange *x, void *role)
{
	struct admin_work *w = begin(x, role);
	if (w != NULL && read_comment(w))
		submit(w, true, put_document, answer_change);
}

static enum ms_err look_document(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct admin_work *w = arg;
	w->edit.only_look = true;
	return put_document(tx, w, info);
}

// A body that is checked and compared, on a thread that may take its time; without a store here.
static void look(struct exchange *x, void *role, work_done_fn *answer)
{
	struct admin_work *w = begin(x, role);
	if (w == NULL)
		return;
	if (ms_gateway_store(w->admin->gateway) != NULL) {
		submit(w, false, look_document, answer);
		return;
	}
	struct errinfo info;
	ms_errinfo_init(&info);
	const struct json_value *old = w->file->source;
	if (ms_versions_plan(x->req.body, old, &w->arena, &w->problems, &info, &w->plan) != MS_OK) {
		fail(w, &info);
	} else {
		ms_document_diff(old, w->plan->source, &w->edit.words);
		answer(w);
	}
	end(w);
}

static void answer_check(struct admin_work *w)
{
	struct json_writer j;
	ms_json_writer_init(&j, w->x->body);
	ms_json_begin_object(&j);
	ms_json_key_lit(&j, "valid");
	ms_json_bool(&j, true);
	ms_json_key_lit(&j, "services");
	ms_json_u64(&j, w->plan->service_count);
	ms_json_key_lit(&j, "routes");
	ms_json_u64(&j, w->plan->route_count);
	ms_json_key_lit(&j, "consumers");
	ms_json_u64(&j, w->plan->consumer_count);
	ms_json_key_lit(&j, "plugins");
	ms_json_u64(&j, w->plan->use_count);
	ms_json_end_object(&j);
	ms_http_send_json(w->x, 200);
}

void ms_gateway_check_config(struct exchange *x, void *role)
{
	look(x, role, answer_check);
}

static void answer_diff(struct admin_work *w)
{
	struct json_writer j;
	ms_json_writer_init(&j, w->x->body);
	ms_json_begin_object(&j);
	write_words(&j, ms_buf_slice(&w->edit.words));
	ms_json_end_object(&j);
	ms_http_send_json(w->x, 200);
}

void ms_gateway_diff_config(struct exchange *x, void *role)
{
	look(x, role, answer_diff);
}

void ms_gateway_post_rollback(struct exchange *x, void *role)
{
	struct admin_work *w = begin(x, role);
	const struct json_value *body;
	struct errinfo info;
	ms_errinfo_init(&info);
	if (w == NULL)
		return;
	if (ms_json_parse(x->req.body, NULL, x->arena, &info, &body) != MS_OK) {
		ms_http_fail(x, &info);
		end(w);
		return;
	}
	if (!ms_json_as_i64(ms_json_get(body, "version"), &w->number) || w->number <= 0) {
		ms_http_fail_code(x, MS_ERR_INVALID, "'version' must be a version of the history, from 1");
		end(w);
		return;
	}
	if (read_match(w) && has_store(w)) {
		if (!ms_json_as_str(ms_json_get(body, "comment"), &w->edit.comment))
			w->edit.comment = MS_SLICE_EMPTY;
		submit(w, true, roll_back, answer_change);
	}
}

// --- Entities --------------------------------------------------------------------------------------

// "services" of "/gateway/v1/services/{id}".
static const char *kind_of(struct exchange *x)
{
	static const char prefix[] = "/gateway/v1/";
	struct slice rest = ms_slice_cstr(x->req.route->pattern + strlen(prefix));
	const char *kind = ms_arena_cstr(x->arena, ms_slice_sub(rest, 0, ms_slice_find(rest, '/')));
	if (kind == NULL)
		ms_http_fail_code(x, MS_ERR_NO_MEMORY, "out of memory");
	return kind;
}

void ms_gateway_list_entities(struct exchange *x, void *role)
{
	struct gateway_admin *a = role;
	const struct plan *plan = ms_gateway_plan(a->gateway, x->loop);
	const char *kind = kind_of(x);
	if (kind == NULL)
		return;
	const struct json_value *list = ms_document_list(plan->source, kind);
	struct json_writer j;
	ms_json_writer_init(&j, x->body);
	ms_json_begin_object(&j);
	ms_json_key_lit(&j, "items");
	ms_json_begin_array(&j);
	for (size_t i = 0; list != NULL && i < list->array.count; i++)
		ms_document_write_entity(kind, &list->array.items[i], true, &j);
	ms_json_end_array(&j);
	ms_json_key_lit(&j, "next_cursor");
	ms_json_null(&j);
	ms_json_end_object(&j);
	set_etag(x, plan->version);
	ms_http_send_json(x, 200);
}

void ms_gateway_get_entity(struct exchange *x, void *role)
{
	struct gateway_admin *a = role;
	const struct plan *plan = ms_gateway_plan(a->gateway, x->loop);
	const char *kind = kind_of(x);
	if (kind == NULL)
		return;
	const struct json_value *entity = ms_document_find(plan->source, kind, x->req.params[0]);
	if (entity == NULL) {
		ms_http_fail_code(x, MS_ERR_NOT_FOUND, "there is no such entry among the %s", kind);
		return;
	}
	struct json_writer j;
	ms_json_writer_init(&j, x->body);
	ms_document_write_entity(kind, entity, true, &j);
	set_etag(x, plan->version);
	ms_http_send_json(x, 200);
}

// The body, which gets the name (or id) of the path when it says none itself.
static const struct json_value *read_entity(struct admin_work *w)
{
	struct exchange *x = w->x;
	struct errinfo info;
	const struct json_value *body;
	ms_errinfo_init(&info);
	if (ms_yaml_parse(x->req.body, NULL, x->arena, &info, &body, NULL) != MS_OK) {
		ms_http_fail(x, &info);
		return NULL;
	}
	if (body->type != JSON_OBJECT) {
		ms_http_fail_code(x, MS_ERR_INVALID, "expected an object, found %s", ms_json_type_name(body->type));
		return NULL;
	}
	bool named =
		strcmp(w->kind, "services") == 0 || strcmp(w->kind, "routes") == 0 || strcmp(w->kind, "upstreams") == 0;
	const char *member = named ? "name" : strcmp(w->kind, "consumers") == 0 ? "username" : "id";
	if (ms_json_get(body, "id") != NULL || ms_json_get(body, member) != NULL)
		return body;
	struct json_member *members = MS_ARENA_ARRAY(x->arena, struct json_member, body->object.count + 1);
	struct json_value *copy = MS_ARENA_NEW(x->arena, struct json_value);
	if (members == NULL || copy == NULL) {
		ms_http_fail_code(x, MS_ERR_NO_MEMORY, "out of memory");
		return NULL;
	}
	members[0] = (struct json_member){ms_slice_cstr(member), {.type = JSON_STRING, .str = w->name}};
	if (body->object.count > 0)
		memcpy(members + 1, body->object.members, body->object.count * sizeof(members[0]));
	*copy = (struct json_value){.type = JSON_OBJECT, .object = {members, body->object.count + 1}};
	return copy;
}

static struct admin_work *begin_entity(struct exchange *x, void *role)
{
	struct admin_work *w = begin(x, role);
	if (w == NULL || !read_comment(w))
		return NULL;
	w->kind = kind_of(x);
	w->name = x->req.params[0];
	if (w->kind != NULL)
		return w;
	end(w);
	return NULL;
}

void ms_gateway_put_entity(struct exchange *x, void *role)
{
	struct admin_work *w = begin_entity(x, role);
	if (w == NULL)
		return;
	w->entity = read_entity(w);
	if (w->entity != NULL)
		submit(w, true, change_entity, answer_change);
	else
		end(w);
}

void ms_gateway_delete_entity(struct exchange *x, void *role)
{
	struct admin_work *w = begin_entity(x, role);
	if (w != NULL)
		submit(w, true, change_entity, answer_change);
}

// --- Reading ---------------------------------------------------------------------------------------

void ms_gateway_get_config(struct exchange *x, void *role)
{
	struct gateway_admin *a = role;
	const struct plan *plan = ms_gateway_plan(a->gateway, x->loop);
	struct json_writer j;
	ms_json_writer_init(&j, x->body);
	if (plan->source != NULL)
		ms_document_write(plan->source, true, &j);
	else
		ms_json_raw(&j, MS_SLICE_LIT("{\"_format_version\":\"3.0\"}"));
	set_etag(x, plan->version);
	ms_http_send_json(x, 200);
}

static void write_version(struct json_writer *j, const struct gateway_version *v)
{
	ms_json_begin_object(j);
	ms_json_key_lit(j, "version");
	ms_json_i64(j, v->version);
	ms_json_member_time(j, "time", v->time_us);
	ms_json_member_text(j, "by", v->by);
	ms_json_member_text(j, "comment", v->comment);
	write_words(j, v->changes);
	ms_json_end_object(j);
}

// Answers are built inside the transaction, which may run again.
static enum ms_err read_history(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct admin_work *w = arg;
	struct gateway_version *items;
	size_t count;
	struct json_writer j;
	MS_TRY(ms_gateway_versions(tx, w->number, w->limit, info, &items, &count));
	ms_buf_clear(w->x->body);
	ms_json_writer_init(&j, w->x->body);
	ms_json_begin_object(&j);
	ms_json_key_lit(&j, "items");
	ms_json_begin_array(&j);
	for (size_t i = 0; i < count; i++)
		write_version(&j, &items[i]);
	ms_json_end_array(&j);
	ms_json_key_lit(&j, "next_cursor");
	if (count == w->limit && items[count - 1].version > 1) {
		char cursor[24];
		snprintf(cursor, sizeof(cursor), "%lld", (long long)items[count - 1].version);
		ms_json_cstr(&j, cursor);
	} else {
		ms_json_null(&j);
	}
	ms_json_end_object(&j);
	return MS_OK;
}

static void answer_body(struct admin_work *w)
{
	ms_http_send_json(w->x, 200);
}

void ms_gateway_get_history(struct exchange *x, void *role)
{
	struct admin_work *w = begin(x, role);
	struct slice text;
	uint64_t limit = 50;
	if (w == NULL)
		return;
	bool good = !ms_http_query(x, "limit", &text) || (ms_slice_to_u64(text, &limit) && limit >= 1 && limit <= 1000);
	good &= !ms_http_query(x, "cursor", &text) || (ms_slice_to_i64(text, &w->number) && w->number > 0);
	w->limit = (size_t)limit;
	if (!good) {
		ms_http_fail_code(x, MS_ERR_INVALID, "'limit' must be 1 to 1000, 'cursor' that of an earlier answer");
		end(w);
	} else if (has_store(w)) {
		submit(w, false, read_history, answer_body);
	}
}

static enum ms_err read_old(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct admin_work *w = arg;
	return ms_gateway_export(tx, w->edit.auth, w->number, true, w->x->body, info);
}

void ms_gateway_get_version(struct exchange *x, void *role)
{
	struct admin_work *w = begin(x, role);
	if (w == NULL)
		return;
	if (!ms_slice_to_i64(x->req.params[0], &w->number) || w->number <= 0) {
		ms_http_fail_code(x, MS_ERR_NOT_FOUND, "versions count from 1");
		end(w);
	} else if (has_store(w)) {
		submit(w, false, read_old, answer_body);
	}
}

void ms_gateway_get_schema(struct exchange *x, void *role)
{
	(void)role;
	struct json_writer j;
	const struct field *fields = ms_document_fields(x->req.params[0]);
	if (fields == NULL) {
		ms_http_fail_code(x, MS_ERR_NOT_FOUND, "there is no list of entities and no plugin of that name");
		return;
	}
	ms_json_writer_init(&j, x->body);
	ms_record_write_schema(fields, &j);
	ms_http_send_json(x, 200);
}

// --- Life ------------------------------------------------------------------------------------------

static enum ms_err read_file(struct gateway_admin *a, struct slice file, const char *name, struct errinfo *info,
			     struct plan **ret_plan)
{
	struct arena arena;
	struct problems problems;
	name = name != NULL ? name : "gateway";
	ms_arena_init(&arena, 65536, (size_t)1 << 30);
	enum ms_err err =
		ms_versions_plan(file.n > 0 ? file : MS_SLICE_LIT("{}"), NULL, &arena, &problems, info, ret_plan);
	for (size_t i = 0; i < problems.count; i++) {
		const struct problem *p = &problems.items[i];
		ms_log(ms_gateway_log(a->gateway), LOG_ERROR, "the gateway's file is wrong",
		       MS_LOG_CSTR("file.path", name), MS_LOG_INT("line", p->line), MS_LOG_STR("path", p->path),
		       MS_LOG_STR("problem", p->message));
	}
	if (err != MS_OK && problems.count > 0)
		err = ms_fail(info, MS_ERR_CONFIG, "%.150s:%lld: %.*s: %.*s%s", name, (long long)problems.items[0].line,
			      MS_SLICE_ARG(problems.items[0].path), MS_SLICE_ARG(problems.items[0].message),
			      problems.count > 1 ? " (and more; see mainstay gateway check)" : "");
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_gateway_reload(struct gateway *gateway, struct slice text, const char *name, struct errinfo *info)
{
	struct gateway_admin *a = ms_gateway_admin(gateway);
	struct plan *plan, *old;
	MS_TRY(read_file(a, text, name, info, &plan));
	pthread_mutex_lock(&a->lock);
	bool overruled = a->version > 0;
	enum ms_err err = overruled ? MS_OK : ms_gateway_set_plan(gateway, plan, info);
	if (err == MS_OK) {
		old = a->file;
		a->file = plan; // what a first change at run time is made on
	} else {
		old = plan;
	}
	pthread_mutex_unlock(&a->lock);
	ms_plan_unref(old);
	if (err != MS_OK)
		return err;
	if (overruled)
		ms_log(ms_gateway_log(gateway), LOG_WARN,
		       "the gateway's file is not used: changes made at run time stand",
		       MS_LOG_CSTR("file.path", name));
	return MS_OK;
}

static enum ms_err start(struct gateway_admin *a, struct slice file, const char *name, struct errinfo *info)
{
	struct store *store = ms_gateway_store(a->gateway);
	MS_TRY(read_file(a, file, name, info, &a->file));
	MS_TRY(ms_gateway_set_plan(a->gateway, a->file, info));
	if (store == NULL)
		return MS_OK;
	a->loading.admin = a;
	MS_TRY(ms_store_read_wait(store, load_newest, &a->loading, info));
	if (a->loading.snapshot != NULL)
		put_in_force(a, a->loading.snapshot);
	a->loading.snapshot = NULL;
	return ms_store_watch(store, MS_GATEWAY_CHANGED, ms_rt_loop(ms_gateway_rt(a->gateway), 0), changed, a);
}

enum ms_err ms_gateway_admin_new(struct gateway *gateway, struct slice file, const char *file_name,
				 struct errinfo *info, struct gateway_admin **ret_admin)
{
	struct gateway_admin *a = calloc(1, sizeof(*a));
	if (a == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	a->gateway = gateway;
	pthread_mutex_init(&a->lock, NULL);
	ms_arena_init(&a->arena, 16384, ROUTES_MAX);
	enum ms_err err = start(a, file, file_name, info);
	if (err != MS_OK) {
		ms_gateway_admin_free(a);
		return err;
	}
	*ret_admin = a;
	return MS_OK;
}

void ms_gateway_admin_stop(struct gateway_admin *admin)
{
	if (admin != NULL)
		admin->stopped = true;
}

void ms_gateway_admin_free(struct gateway_admin *admin)
{
	if (admin == NULL)
		return;
	ms_gw_snapshot_unref(admin->loading.snapshot);
	ms_plan_unref(admin->file);
	pthread_mutex_destroy(&admin->lock);
	ms_arena_fini(&admin->arena);
	free(admin);
}
