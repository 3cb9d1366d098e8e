// SPDX-License-Identifier: Apache-2.0
// Work that may leave the loop thread, and the errors of all handlers.
#include "serve/private.h"

void *ms_serve_state(struct exchange *x, size_t size)
{
	void *state = ms_arena_calloc(x->arena, 1, size);
	if (state == NULL)
		ms_http_fail_code(x, MS_ERR_NO_MEMORY, "out of memory for this request");
	return state;
}

void ms_offload_init(struct offload *o, struct exchange *x, struct serve *serve, offload_fn *run, offload_fn *finish)
{
	*o = (struct offload){
		.x = x, .serve = serve, .run = run, .finish = finish, .unix_ns = ms_loop_wall_ns(x->loop)};
	ms_errinfo_init(&o->info);
}

const struct snapshot *ms_offload_snapshot(const struct offload *o)
{
	return o->snapshot != NULL ? o->snapshot : ms_registry_snapshot(o->serve->options.registry, o->x->loop);
}

struct pool *ms_offload_pool(const struct offload *o)
{
	return o->away ? o->serve->pool : NULL;
}

void ms_offload_here(struct offload *o)
{
	o->run(o);
	o->finish(o);
}

static void work(struct job *job)
{
	struct offload *o = MS_CONTAINER_OF(job, struct offload, job);
	o->queue_ns = ms_clock_mono_ns() - job->queued_ns;
	o->run(o);
}

static void come_home(struct job *job)
{
	struct offload *o = MS_CONTAINER_OF(job, struct offload, job);
	struct snapshot *snapshot = o->snapshot;
	o->finish(o); // the request's memory, and `o` with it, may be gone after this
	ms_snapshot_unref(snapshot);
}

void ms_offload_away(struct offload *o)
{
	// The snapshot keeps every model of this request alive, whatever is published meanwhile.
	o->snapshot = ms_snapshot_ref(ms_registry_snapshot(o->serve->options.registry, o->x->loop));
	o->away = true;
	enum ms_err err = ms_pool_submit(o->serve->pool, &o->job, o->x->loop, work, come_home);
	if (err == MS_OK)
		return;
	o->err = ms_fail(&o->info, MS_ERR_BUSY,
			 "too many large predictions are waiting (setting predict.queue): try again later");
	ms_http_set_header(o->x, "Retry-After", MS_SLICE_LIT("1"));
	struct snapshot *snapshot = o->snapshot;
	o->finish(o);
	ms_snapshot_unref(snapshot);
}

void ms_serve_count_error(struct serve *serve, const struct exchange *x, enum ms_err code)
{
	struct slice name = ms_slice_cstr(ms_err_name(code));
	struct metric_series *series = serve->errors != NULL ? ms_metrics_series(serve->errors, &name) : NULL;
	if (series != NULL)
		ms_counter_add(series, x != NULL ? ms_loop_index(x->loop) : MS_METRICS_SHARED_SHARD, 1);
}

void ms_offload_fail(struct offload *o)
{
	MS_ASSERT(o->err != MS_OK);
	if (o->info.code != o->err)
		MS_IGNORE(ms_fail(&o->info, o->err, "the request failed"));
	ms_serve_count_error(o->serve, o->x, o->err);
	ms_buf_clear(o->x->body);
	ms_http_fail(o->x, &o->info);
}

const struct json_value *ms_serve_json_body(struct exchange *x, struct errinfo *info)
{
	const struct json_value *root;
	enum ms_err err = ms_json_parse(x->req.body, &MS_JSON_DEFAULT_LIMITS, x->arena, info, &root);
	if (err == MS_OK && root->type != JSON_OBJECT)
		err = ms_fail(info, MS_ERR_JSON_TYPE, "the body must be a JSON object, not %s",
			      ms_json_type_name(root->type));
	if (err == MS_OK)
		return root;
	ms_http_fail(x, info);
	return NULL;
}

enum ms_err ms_serve_find(const struct exchange *x, const struct snapshot *snapshot, struct slice name,
			  struct slice version_or_alias, struct errinfo *info, struct served_model **ret_served)
{
	struct errinfo why;
	ms_errinfo_init(&why);
	enum ms_err err = ms_snapshot_find(snapshot, name, version_or_alias, &why, ret_served);
	if (err == MS_ERR_MODEL_UNKNOWN && !ms_http_may(x, x->req.route->permission, MS_SLICE_LIT("")))
		return ms_fail(info, err, "there is no model '%.*s'", MS_SLICE_ARG(name));
	return err == MS_OK ? MS_OK : ms_fail(info, err, "%s", why.message);
}
