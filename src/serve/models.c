// SPDX-License-Identifier: Apache-2.0
// GET /api/v1/models and below: what is served.
#include "serve/private.h"

#define LIST_DEFAULT 100
#define LIST_MAX 1000

static const struct snapshot *snapshot_of(struct exchange *x, void *role)
{
	struct serve *serve = role;
	return ms_registry_snapshot(serve->options.registry, x->loop);
}

static void write_time(struct json_writer *w, const char *key, int64_t unix_ns)
{
	char text[MS_RFC3339_SIZE];
	ms_json_key_lit(w, key);
	ms_json_str(w, ms_slice(text, ms_text_rfc3339(unix_ns, text)));
}

static void write_aliases(struct json_writer *w, const struct live_model *model)
{
	ms_json_key_lit(w, "aliases");
	ms_json_begin_object(w);
	for (size_t i = 0; i < model->alias_count; i++) {
		ms_json_key(w, model->aliases[i].alias);
		ms_json_str(w, model->aliases[i].version);
	}
	ms_json_end_object(w);
}

static void write_version_head(struct json_writer *w, const struct live_version *version)
{
	ms_json_key_lit(w, "version");
	ms_json_str(w, version->version);
	ms_json_key_lit(w, "state");
	ms_json_cstr(w, ms_version_state_name(version->state));
	if (version->reason.n > 0) {
		ms_json_key_lit(w, "reason");
		ms_json_str(w, version->reason);
	}
}

static void write_served(struct json_writer *w, const struct served_model *served)
{
	const struct model_info *info = ms_model_info(served->model);
	uint64_t best;
	ms_json_key_lit(w, "task");
	ms_json_cstr(w, ms_model_task_name(info->task));
	ms_json_key_lit(w, "objective");
	ms_json_str(w, info->objective);
	ms_json_key_lit(w, "trees");
	ms_json_u64(w, info->tree_count);
	if (info->iteration_count > 0) {
		ms_json_key_lit(w, "iterations");
		ms_json_u64(w, info->iteration_count);
	}
	if (ms_model_best_iterations(served->model, NULL, &best) == MS_OK) {
		ms_json_key_lit(w, "best_iterations");
		ms_json_u64(w, best);
	}
	ms_json_key_lit(w, "nodes");
	ms_json_u64(w, info->node_count);
	ms_json_key_lit(w, "file");
	ms_json_str(w, served->file_name);
	ms_json_key_lit(w, "file_bytes");
	ms_json_u64(w, served->file_bytes);
	ms_json_key_lit(w, "memory_bytes");
	ms_json_u64(w, info->memory_bytes);
	ms_json_key_lit(w, "load_seconds");
	ms_json_f64(w, (double)served->load_ns * 1e-9);
	write_time(w, "loaded_at", served->loaded_unix_ns);
	ms_json_key_lit(w, "metadata");
	ms_json_raw(w, served->metadata);
}

// Of the model as a whole: whether it predicts when no version is named.
static void write_state(struct json_writer *w, const struct live_model *model)
{
	ms_json_key_lit(w, "state");
	ms_json_cstr(w, model->current != NULL ? "READY" : ms_version_state_name(model->versions[0].state));
}

static void write_summary(struct json_writer *w, const struct live_model *model)
{
	ms_json_begin_object(w);
	ms_json_key_lit(w, "name");
	ms_json_str(w, model->name);
	ms_json_key_lit(w, "current_version");
	if (model->current != NULL)
		ms_json_str(w, model->current->version);
	else
		ms_json_null(w);
	write_state(w, model);
	ms_json_key_lit(w, "versions");
	ms_json_begin_array(w);
	for (size_t i = 0; i < model->version_count; i++)
		ms_json_str(w, model->versions[i].version);
	ms_json_end_array(w);
	write_aliases(w, model);
	ms_json_end_object(w);
}

// "limit" and "cursor" of a list; false and answered when they are wrong. The cursor is the last name shown.
static bool read_page(struct exchange *x, uint64_t *ret_limit, struct slice *ret_cursor)
{
	struct slice text;
	*ret_limit = LIST_DEFAULT;
	if (ms_http_query(x, "limit", &text) &&
	    (!ms_slice_to_u64(text, ret_limit) || *ret_limit < 1 || *ret_limit > LIST_MAX)) {
		ms_http_fail_code(x, MS_ERR_INVALID, "'limit' must be a number from 1 to %d, not '%.*s'", LIST_MAX,
				  MS_SLICE_ARG(text));
		return false;
	}
	*ret_cursor = MS_SLICE_EMPTY;
	(void)ms_http_query(x, "cursor", ret_cursor); // absent: from the start
	return true;
}

void ms_serve_models_list(struct exchange *x, void *role)
{
	const struct snapshot *snapshot = snapshot_of(x, role);
	uint64_t limit;
	struct slice cursor;
	struct json_writer w;
	if (!read_page(x, &limit, &cursor))
		return;
	size_t at = 0;
	while (cursor.n > 0 && at < snapshot->model_count && ms_slice_cmp(snapshot->models[at].name, cursor) <= 0)
		at++;
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "items");
	ms_json_begin_array(&w);
	struct slice last = MS_SLICE_EMPTY;
	for (; at < snapshot->model_count && limit > 0; at++) {
		if (!ms_http_may(x, "models.read", snapshot->models[at].name))
			continue;
		write_summary(&w, &snapshot->models[at]);
		last = snapshot->models[at].name;
		limit--;
	}
	ms_json_end_array(&w);
	ms_json_key_lit(&w, "next_cursor");
	if (at < snapshot->model_count && last.n > 0)
		ms_json_str(&w, last);
	else
		ms_json_null(&w);
	ms_json_end_object(&w);
	ms_http_send_json(x, 200);
}

// The model of the path; NULL and answered when there is none.
static const struct live_model *find_model(struct exchange *x, const struct snapshot *snapshot)
{
	const struct live_model *model = ms_snapshot_model(snapshot, x->req.params[0]);
	if (model != NULL)
		return model;
	struct errinfo info;
	struct served_model *none;
	ms_errinfo_init(&info);
	enum ms_err err = ms_serve_find(x, snapshot, x->req.params[0], MS_SLICE_EMPTY, &info, &none);
	MS_ASSERT(err != MS_OK); // it has the words for what there is instead
	ms_http_fail(x, &info);
	return NULL;
}

void ms_serve_model_show(struct exchange *x, void *role)
{
	const struct live_model *model = find_model(x, snapshot_of(x, role));
	struct json_writer w;
	if (model == NULL)
		return;
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "name");
	ms_json_str(&w, model->name);
	ms_json_key_lit(&w, "current_version");
	if (model->current != NULL)
		ms_json_str(&w, model->current->version);
	else
		ms_json_null(&w);
	write_state(&w, model);
	write_aliases(&w, model);
	ms_json_key_lit(&w, "versions");
	ms_json_begin_array(&w);
	for (size_t i = 0; i < model->version_count; i++) {
		ms_json_begin_object(&w);
		write_version_head(&w, &model->versions[i]);
		ms_json_end_object(&w);
	}
	ms_json_end_array(&w);
	if (model->current != NULL)
		write_served(&w, model->current);
	ms_json_end_object(&w);
	ms_http_send_json(x, 200);
}

void ms_serve_version_show(struct exchange *x, void *role)
{
	const struct live_model *model = find_model(x, snapshot_of(x, role));
	struct json_writer w;
	if (model == NULL)
		return;
	struct slice wanted = x->req.params[1];
	for (size_t i = 0; i < model->alias_count; i++) {
		if (ms_slice_eq(model->aliases[i].alias, x->req.params[1]))
			wanted = model->aliases[i].version;
	}
	for (size_t i = 0; i < model->version_count; i++) {
		if (!ms_slice_eq(model->versions[i].version, wanted))
			continue;
		ms_json_writer_init(&w, x->body);
		ms_json_begin_object(&w);
		ms_json_key_lit(&w, "name");
		ms_json_str(&w, model->name);
		write_version_head(&w, &model->versions[i]);
		if (model->versions[i].served != NULL)
			write_served(&w, model->versions[i].served);
		ms_json_end_object(&w);
		ms_http_send_json(x, 200);
		return;
	}
	ms_http_fail_code(x, MS_ERR_MODEL_VERSION_UNKNOWN, "model '%.*s' has no version or alias '%.*s'",
			  MS_SLICE_ARG(model->name), MS_SLICE_ARG(x->req.params[1]));
}
