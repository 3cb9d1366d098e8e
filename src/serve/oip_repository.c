// SPDX-License-Identifier: Apache-2.0
// Open Inference Protocol v2: the model repository extension.
#include "crypto/crypto.h"
#include "serve/private.h"

#define MAX_FILES 16
#define LOAD_BODY_DEPTH 16

struct repository_file {
	struct slice version;
	struct slice file_name;
	struct slice base64;
};

struct repository_state {
	struct registry_change change;
	struct exchange *x;
	struct serve *serve;
	struct slice model;
	struct repository_file files[MAX_FILES];
	size_t file_count;
	bool has_config;
	struct errinfo info;
};

// --- Index -------------------------------------------------------------------------------------------

static void write_entry(struct json_writer *w, const struct live_model *model, const struct live_version *version)
{
	ms_json_begin_object(w);
	ms_json_key_lit(w, "name");
	ms_json_str(w, model->name);
	ms_json_key_lit(w, "version");
	ms_json_str(w, version->version);
	ms_json_key_lit(w, "state");
	ms_json_cstr(w, ms_version_state_name(version->state));
	ms_json_key_lit(w, "reason");
	ms_json_str(w, version->reason);
	ms_json_end_object(w);
}

void ms_oip_index(struct exchange *x, void *role)
{
	struct serve *serve = role;
	const struct snapshot *snapshot = ms_registry_snapshot(serve->options.registry, x->loop);
	bool ready_only = false;
	struct errinfo info;
	struct json_writer w;
	ms_errinfo_init(&info);
	if (x->req.body.n > 0) {
		const struct json_value *body = ms_serve_json_body(x, &info);
		if (body == NULL)
			return;
		const struct json_value *ready = ms_json_get(body, "ready");
		if (ready != NULL && !ms_json_as_bool(ready, &ready_only)) {
			ms_http_fail_code(x, MS_ERR_INVALID, "'ready' must be true or false, not %s",
					  ms_json_type_name(ready->type));
			return;
		}
	}
	ms_json_writer_init(&w, x->body);
	ms_json_begin_array(&w);
	for (size_t m = 0; m < snapshot->model_count; m++) {
		const struct live_model *model = &snapshot->models[m];
		if (!ms_http_may(x, "models.read", model->name))
			continue;
		for (size_t v = 0; v < model->version_count; v++) {
			if (!ready_only || model->versions[v].served != NULL)
				write_entry(&w, model, &model->versions[v]);
		}
	}
	ms_json_end_array(&w);
	ms_http_send_json(x, 200);
}

// --- Load and unload ---------------------------------------------------------------------------------

static void finish(struct registry_change *change)
{
	struct repository_state *s = MS_CONTAINER_OF(change, struct repository_state, change);
	struct served_model *served;
	const struct serve_change told = {.x = s->x,
					  .what = change->load.n > 0 ? "model.loaded" : "model.unloaded",
					  .model = s->model,
					  .err = change->err};
	ms_serve_tell(s->serve, &told);
	for (size_t i = 0; change->err == MS_OK && i < s->file_count; i++) {
		const struct serve_change pushed = {
			.x = s->x, .what = "version.pushed", .model = s->model, .version = s->files[i].version};
		ms_serve_tell(s->serve, &pushed);
	}
	if (change->err != MS_OK) {
		if (change->info.code != change->err)
			MS_IGNORE(ms_fail(&change->info, change->err, "the change failed"));
		ms_http_fail(s->x, &change->info);
		return;
	}
	// Loading is done when the model can predict; if it cannot, the answer says why.
	if (change->load.n > 0 && ms_serve_find(s->x, ms_registry_snapshot(s->serve->options.registry, s->x->loop),
						s->model, MS_SLICE_EMPTY, &change->info, &served) != MS_OK) {
		ms_http_fail(s->x, &change->info);
		return;
	}
	ms_http_send(s->x, 200, NULL);
}

static struct repository_state *start(struct exchange *x, void *role)
{
	struct repository_state *s = MS_SERVE_STATE(x, struct repository_state);
	if (s == NULL)
		return NULL;
	s->x = x;
	s->serve = role;
	s->model = x->req.params[0];
	s->change.done = finish;
	ms_errinfo_init(&s->info);
	return s;
}

static void submit(struct repository_state *s)
{
	enum ms_err err = ms_registry_change(s->serve->options.registry, &s->change, s->x->loop);
	if (err != MS_OK)
		ms_http_fail_code(s->x, err, "too many changes to the model store are waiting: try again later");
}

// Files given inline become versions of the store.
static enum ms_err work_load(struct registry_change *change, const char *dir)
{
	struct repository_state *s = MS_CONTAINER_OF(change, struct repository_state, change);
	for (size_t i = 0; i < s->file_count; i++) {
		char version[MS_MODEL_VERSION_MAX + 1];
		struct store_push push = {.model = s->model,
					  .version = s->files[i].version,
					  .file_name = s->files[i].file_name,
					  .model_options = ms_registry_model_options(s->serve->options.registry)};
		if (!ms_base64_decode(s->files[i].base64, s->x->arena, &push.bytes))
			return ms_fail(&change->info, MS_ERR_INVALID, "the file of version '%.*s' is no base64 text",
				       MS_SLICE_ARG(s->files[i].version));
		MS_TRY(ms_store_push(dir, &push, &change->info, version));
	}
	return MS_OK;
}

// "file:<version>/<file>": base64, and "config": a JSON text, which has to come with files.
static enum ms_err read_parameters(struct repository_state *s, const struct json_value *parameters)
{
	for (size_t i = 0; i < parameters->object.count; i++) {
		const struct json_member *m = &parameters->object.members[i];
		struct slice rest = m->key, kind, text;
		if (!ms_json_as_str(&m->value, &text))
			return ms_fail(&s->info, MS_ERR_INVALID, "parameter '%.*s' must be a string",
				       MS_SLICE_ARG(m->key));
		if (ms_slice_eq_cstr(m->key, "config")) {
			s->has_config = true;
			continue;
		}
		struct repository_file *file = &s->files[s->file_count];
		bool ok = ms_slice_next(&rest, ':', &kind) && ms_slice_eq_cstr(kind, "file") && rest.p != NULL &&
			  ms_slice_next(&rest, '/', &file->version) && rest.n > 0;
		if (!ok)
			return ms_fail(&s->info, MS_ERR_INVALID,
				       "unknown parameter '%.*s'; there are: config, file:<version>/<file>",
				       MS_SLICE_ARG(m->key));
		file->file_name = rest;
		file->base64 = text;
		if (++s->file_count == MAX_FILES)
			return ms_fail(&s->info, MS_ERR_LIMIT, "more than %d files in one load request", MAX_FILES - 1);
	}
	if (s->file_count > 0 && !s->has_config)
		return ms_fail(&s->info, MS_ERR_INVALID, "'config' must be given with files (it may be \"{}\")");
	return MS_OK;
}

// The "parameters" object of the body, or NULL; false when answered.
static bool read_body(struct repository_state *s, const struct json_value **ret_parameters)
{
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	const struct json_value *root;
	*ret_parameters = NULL;
	if (s->x->req.body.n == 0)
		return true;
	limits.max_bytes = SIZE_MAX; // net bounded the body; files come in it
	limits.max_depth = LOAD_BODY_DEPTH;
	enum ms_err err = ms_json_parse(s->x->req.body, &limits, s->x->arena, &s->info, &root);
	if (err == MS_OK && root->type != JSON_OBJECT)
		err = ms_fail(&s->info, MS_ERR_JSON_TYPE, "the body must be a JSON object, not %s",
			      ms_json_type_name(root->type));
	const struct json_value *parameters = err == MS_OK ? ms_json_get(root, "parameters") : NULL;
	if (parameters != NULL && parameters->type != JSON_OBJECT)
		err = ms_fail(&s->info, MS_ERR_JSON_TYPE, "'parameters' must be an object");
	if (err != MS_OK) {
		ms_http_fail(s->x, &s->info);
		return false;
	}
	*ret_parameters = parameters;
	return true;
}

void ms_oip_load(struct exchange *x, void *role)
{
	struct repository_state *s = start(x, role);
	const struct json_value *parameters;
	if (s == NULL || !read_body(s, &parameters))
		return;
	if (parameters != NULL && read_parameters(s, parameters) != MS_OK) {
		ms_http_fail(x, &s->info);
		return;
	}
	s->change.work = work_load;
	s->change.load = s->model;
	submit(s);
}

void ms_oip_unload(struct exchange *x, void *role)
{
	struct repository_state *s = start(x, role);
	const struct json_value *parameters; // unload_dependents: no model depends on another
	if (s == NULL || !read_body(s, &parameters))
		return;
	const struct snapshot *snapshot = ms_registry_snapshot(s->serve->options.registry, x->loop);
	struct served_model *served;
	enum ms_err err = ms_serve_find(x, snapshot, s->model, MS_SLICE_EMPTY, &s->info, &served);
	if (err != MS_OK && err != MS_ERR_MODEL_NOT_READY) {
		ms_http_fail(x, &s->info);
		return;
	}
	s->change.unload = s->model;
	submit(s);
}
