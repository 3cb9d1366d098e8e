// SPDX-License-Identifier: Apache-2.0
// Changes to the model store: push, remove, aliases. Each runs on the loader's thread and is answered when
// every loop sees its result.
#include "serve/multipart.h"
#include "serve/private.h"

struct change_state {
	struct registry_change change;
	struct exchange *x;
	struct serve *serve;
	struct store_push push;
	const char *what; // as struct serve_change
	struct slice model, version, alias;
	char new_version[MS_MODEL_VERSION_MAX + 1];
	struct errinfo info;
};

static enum ms_err work_alias(struct registry_change *change, const char *dir);

void ms_serve_tell(const struct serve *serve, const struct serve_change *change)
{
	if (serve->options.changed != NULL)
		serve->options.changed(change, serve->options.changed_arg);
}

static void tell(const struct change_state *s)
{
	bool of_alias = s->change.work == work_alias, pushed = s->new_version[0] != '\0';
	const struct serve_change change = {.x = s->x,
					    .what = s->what,
					    .model = s->model,
					    .version = pushed ? ms_slice_cstr(s->new_version) : s->version,
					    .alias = of_alias ? s->x->req.params[1] : MS_SLICE_EMPTY,
					    .err = s->change.err};
	ms_serve_tell(s->serve, &change);
}

static void finish(struct registry_change *change)
{
	struct change_state *s = MS_CONTAINER_OF(change, struct change_state, change);
	struct exchange *x = s->x;
	struct json_writer w;
	tell(s);
	if (change->err != MS_OK) {
		if (change->info.code != change->err)
			MS_IGNORE(ms_fail(&change->info, change->err, "the change failed"));
		ms_http_fail(x, &change->info);
		return;
	}
	bool pushed = s->new_version[0] != '\0';
	if (!pushed && s->alias.n == 0) {
		ms_http_send(x, 204, NULL);
		return;
	}
	ms_json_writer_init(&w, x->body);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "name");
	ms_json_str(&w, s->model);
	if (s->alias.n > 0) {
		ms_json_key_lit(&w, "alias");
		ms_json_str(&w, s->alias);
	}
	ms_json_key_lit(&w, "version");
	ms_json_str(&w, pushed ? ms_slice_cstr(s->new_version) : s->version);
	ms_json_end_object(&w);
	if (pushed)
		ms_http_set_header(x, "Location",
				   ms_slice_cstr(ms_arena_printf(x->arena, "/api/v1/models/%.*s/versions/%s",
								 MS_SLICE_ARG(s->model), s->new_version)));
	ms_http_send_json(x, pushed ? 201 : 200);
}

// A model that models.path serves is not of the store: changing it there would change nothing that is served.
static bool is_read_only(struct change_state *s)
{
	const struct live_model *model =
		ms_snapshot_model(ms_registry_snapshot(s->serve->options.registry, s->x->loop), s->model);
	if (model == NULL || !model->single_file)
		return false;
	ms_http_fail_code(s->x, MS_ERR_MODEL_READ_ONLY,
			  "model '%.*s' is the single file of the setting models.path and cannot be changed here",
			  MS_SLICE_ARG(s->model));
	return true;
}

static struct change_state *start(struct exchange *x, void *role, registry_work_fn *work, const char *what)
{
	struct change_state *s = MS_SERVE_STATE(x, struct change_state);
	if (s == NULL)
		return NULL;
	s->x = x;
	s->serve = role;
	s->model = x->req.params[0];
	s->what = what;
	s->change.work = work;
	s->change.done = finish;
	return is_read_only(s) ? NULL : s;
}

static void submit(struct change_state *s)
{
	enum ms_err err = ms_registry_change(s->serve->options.registry, &s->change, s->x->loop);
	if (err != MS_OK)
		ms_http_fail_code(s->x, err, "too many changes to the model store are waiting: try again later");
}

// --- Push ------------------------------------------------------------------------------------------------

static enum ms_err work_push(struct registry_change *change, const char *dir)
{
	struct change_state *s = MS_CONTAINER_OF(change, struct change_state, change);
	return ms_store_push(dir, &s->push, &change->info, s->new_version);
}

static enum ms_err read_multipart(struct multipart *m, struct store_push *push, struct errinfo *info)
{
	struct multipart_part part;
	bool more;
	for (;;) {
		MS_TRY(ms_multipart_next(m, info, &part, &more));
		if (!more)
			break;
		if (ms_slice_eq_cstr(part.name, "model")) {
			push->bytes = part.content;
			push->file_name = part.file_name;
		} else if (ms_slice_eq_cstr(part.name, "metadata"))
			push->metadata = part.content;
		else {
			ms_errinfo_set_field(info, part.name);
			return ms_fail(info, MS_ERR_INVALID, "unknown part '%.*s'; there are: model, metadata",
				       MS_SLICE_ARG(part.name));
		}
	}
	return push->bytes.n > 0
		       ? MS_OK
		       : ms_fail(info, MS_ERR_INVALID, "the part 'model' with the model file is missing or empty");
}

static enum ms_err read_push(struct exchange *x, struct store_push *push, struct errinfo *info)
{
	struct multipart m;
	struct slice format, type = ms_http_header(&x->req, "Content-Type");
	if (ms_http_query(x, "format", &format) && !ms_model_format_parse(format, &push->format)) {
		ms_errinfo_set_field(info, MS_SLICE_LIT("format"));
		return ms_fail(info, MS_ERR_INVALID,
			       "format '%.*s' is not known; there are: auto, lightgbm-text, xgboost-json, "
			       "xgboost-ubjson, catboost-json, onnx, linear-json",
			       MS_SLICE_ARG(format));
	}
	if (ms_multipart_init(&m, type, x->req.body))
		return read_multipart(&m, push, info);
	push->bytes = x->req.body;
	if (push->bytes.n == 0)
		return ms_fail(info, MS_ERR_INVALID,
			       "the body must be the model file, or multipart/form-data with the parts 'model' and "
			       "'metadata'");
	return MS_OK;
}

void ms_serve_version_push(struct exchange *x, void *role)
{
	struct change_state *s = start(x, role, work_push, "version.pushed");
	if (s == NULL)
		return;
	ms_errinfo_init(&s->info);
	s->push = (struct store_push){.model = s->model,
				      .version = x->req.params[1], // empty at the route that numbers by itself
				      .model_options = ms_registry_model_options(s->serve->options.registry)};
	if (read_push(x, &s->push, &s->info) != MS_OK) {
		ms_http_fail(x, &s->info);
		return;
	}
	s->change.load = s->model; // a push brings an unloaded model back
	submit(s);
}

// --- Remove ----------------------------------------------------------------------------------------------

static enum ms_err work_remove(struct registry_change *change, const char *dir)
{
	struct change_state *s = MS_CONTAINER_OF(change, struct change_state, change);
	return ms_store_remove(dir, s->model, s->version, &change->info);
}

void ms_serve_version_remove(struct exchange *x, void *role)
{
	struct change_state *s = start(x, role, work_remove, "version.removed");
	if (s == NULL)
		return;
	s->version = x->req.params[1];
	submit(s);
}

void ms_serve_model_remove(struct exchange *x, void *role)
{
	struct change_state *s = start(x, role, work_remove, "model.removed");
	if (s != NULL)
		submit(s);
}

// --- Aliases ---------------------------------------------------------------------------------------------

static enum ms_err work_alias(struct registry_change *change, const char *dir)
{
	struct change_state *s = MS_CONTAINER_OF(change, struct change_state, change);
	// s->alias is set only where the answer shows it; the path names the alias either way.
	return ms_store_set_alias(dir, s->model, s->x->req.params[1], s->version, &change->info);
}

void ms_serve_alias_set(struct exchange *x, void *role)
{
	struct change_state *s = start(x, role, work_alias, "alias.set");
	if (s == NULL)
		return;
	ms_errinfo_init(&s->info);
	const struct json_value *body = ms_serve_json_body(x, &s->info);
	if (body == NULL)
		return;
	bool only_version = body->object.count == 1 && ms_json_as_str(ms_json_get(body, "version"), &s->version);
	if (!only_version || s->version.n == 0) {
		ms_errinfo_set_field(&s->info, MS_SLICE_LIT("version"));
		MS_IGNORE(ms_fail(&s->info, MS_ERR_INVALID,
				  "the body must be {\"version\": \"…\"}, the version that the alias names"));
		ms_http_fail(x, &s->info);
		return;
	}
	s->alias = x->req.params[1];
	submit(s);
}

void ms_serve_alias_remove(struct exchange *x, void *role)
{
	struct change_state *s = start(x, role, work_alias, "alias.removed");
	if (s != NULL)
		submit(s);
}
