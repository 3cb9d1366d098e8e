// SPDX-License-Identifier: Apache-2.0
// The ml role: model registry and predictions.
#include "app/app.h"
#include "app/models.h"

static void check_models(void *arg, const struct loop *loop, struct health_report *ret_report)
{
	struct registry *registry = arg;
	const struct snapshot *snapshot = ms_registry_snapshot(registry, loop);
	if (ms_registry_store_broken(registry)) {
		ret_report->health = HEALTH_DEGRADED;
		snprintf(ret_report->message, sizeof(ret_report->message),
			 "%zu ready; the model store cannot be read: see the log", snapshot->ready_count);
	} else if (snapshot->broken_count > 0) {
		ret_report->health = HEALTH_DEGRADED;
		snprintf(ret_report->message, sizeof(ret_report->message),
			 "%zu ready, %zu cannot be loaded: see GET /api/v1/models", snapshot->ready_count,
			 snapshot->broken_count);
	} else
		snprintf(ret_report->message, sizeof(ret_report->message), "%zu ready%s", snapshot->ready_count,
			 ms_registry_ready(registry) ? "" : ", the first load is going on");
}

// Into the audit log. Models are no rows of the store, so this is no part of the change: it is on its way there before the answer is.
static void record_change(const struct serve_change *change, void *arg)
{
	struct auth *auth = arg;
	struct buf details;
	struct json_writer w;
	char target[MS_MODEL_NAME_MAX + 16];
	snprintf(target, sizeof(target), "model:%.*s", MS_SLICE_ARG(ms_slice_sub(change->model, 0, MS_MODEL_NAME_MAX)));
	ms_buf_init(&details, 4096);
	ms_json_writer_init(&w, &details);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "what");
	ms_json_cstr(&w, change->what);
	if (change->version.n > 0) {
		ms_json_key_lit(&w, "version");
		ms_json_str(&w, ms_slice_sub(change->version, 0, MS_MODEL_VERSION_MAX));
	}
	if (change->alias.n > 0) {
		ms_json_key_lit(&w, "alias");
		ms_json_str(&w, ms_slice_sub(change->alias, 0, MS_MODEL_NAME_MAX));
	}
	if (change->err != MS_OK) {
		ms_json_key_lit(&w, "error");
		ms_json_cstr(&w, ms_err_name(change->err));
	}
	ms_json_end_object(&w);
	const struct audit_entry entry = {.event = AUTH_MODEL_CHANGED,
					  .outcome = change->err == MS_OK ? AUDIT_OK : AUDIT_FAILED,
					  .actor = ms_auth_actor_of(change->x),
					  .target = ms_slice_cstr(target),
					  .details = ms_buf_ok(&details) ? ms_buf_slice(&details) : MS_SLICE_EMPTY};
	ms_audit_later(auth, &entry);
	ms_buf_fini(&details);
}

static enum load_policy policy_of(const struct settings *s)
{
	static const enum load_policy by_choice[] = {LOAD_LATEST, LOAD_ALL, LOAD_GIVEN};
	MS_ASSERT((size_t)s->models_policy < MS_ARRAY_LEN(by_choice));
	return by_choice[s->models_policy]; // the order of the setting's range
}

static enum ms_err start(struct app *app, struct errinfo *info)
{
	const struct settings *s = app->settings;
	char dir[MS_MODELS_DIR_MAX];
	MS_TRY(ms_models_dir(s, info, dir));
	const struct registry_options registry = {.dir = dir,
						  .single_file = s->models_path[0] != '\0' ? s->models_path : NULL,
						  .policy = policy_of(s),
						  .given = s->models_versions.items,
						  .given_count = s->models_versions.count,
						  .model_options = ms_models_options(s),
						  .poll_ms = s->models_poll,
						  .rt = app->rt,
						  .log = app->log,
						  .metrics = app->metrics};
	MS_TRY(ms_registry_new(&registry, info, &app->registry));
	const struct serve_options serve = {
		.registry = app->registry,
		.rt = app->rt,
		.log = app->log,
		.metrics = app->metrics,
		.max_rows = (size_t)s->predict_max_rows,
		.pool_threads = s->predict_threads > 0 ? (unsigned)s->predict_threads : ms_process_cores(),
		.pool_depth = (unsigned)s->predict_queue,
		.start_unix_ns = app->start_unix_ns,
		.is_ready = ms_app_is_ready,
		.is_ready_arg = app,
		.changed = app->state.auth != NULL ? record_change : NULL,
		.changed_arg = app->state.auth,
	};
	MS_TRY(ms_serve_new(&serve, info, &app->serve));
	ms_app_add_routes(app, ms_serve_routes(app->serve));
	ms_app_add_check(app, (struct health_check){.name = "models", .fn = check_models, .arg = app->registry});
	return ms_registry_start(app->registry, info);
}

static void stop(struct app *app)
{
	if (app->serve != NULL)
		ms_serve_stop(app->serve);
	if (app->registry != NULL)
		ms_registry_stop(app->registry);
}

static void release(struct app *app)
{
	ms_serve_free(app->serve);
	ms_registry_free(app->registry);
}

const struct role ms_role_ml = {
	.name = "ml",
	.summary = "model store, predictions, Open Inference Protocol",
	.start = start,
	.stop = stop,
	.release = release,
};
