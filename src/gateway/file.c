// SPDX-License-Identifier: Apache-2.0
// The gateway's file, read again while the gateway runs.
#include "gateway/proxy.h"
#include "yaml/yaml.h"

#define FILE_ARENA_MAX ((size_t)256 << 20)

static enum ms_err first_problem(const struct problems *problems, const char *name, struct errinfo *info)
{
	if (problems->count == 0)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the plan of %.200s", name);
	const struct problem *p = &problems->items[0];
	return ms_fail(info, MS_ERR_CONFIG, "%.150s:%lld: %.*s: %.*s%s", name, (long long)p->line, MS_SLICE_ARG(p->path),
		       MS_SLICE_ARG(p->message), problems->count > 1 ? " (and more; see mainstay gateway check)" : "");
}

static enum ms_err parse(struct slice text, const char *name, struct arena *arena, struct errinfo *info, struct plan **ret_plan)
{
	const struct json_value *document;
	struct yaml_lines *lines = NULL;
	struct errinfo why;
	ms_errinfo_init(&why);
	enum ms_err err = ms_yaml_parse(text, NULL, arena, &why, &document, &lines);
	if (err != MS_OK)
		return ms_fail(info, err, "%.150s:%lld: %.300s", name, (long long)why.line, why.message);
	struct problems problems = {.arena = arena, .lines = lines};
	struct plan *plan = ms_plan_new(document, &problems);
	if (plan == NULL)
		return first_problem(&problems, name, info);
	*ret_plan = plan;
	return MS_OK;
}

enum ms_err ms_gateway_reload(struct gateway *g, struct slice text, const char *name, struct errinfo *info)
{
	struct gw_snapshot *present = ms_gateway_latest(g);
	bool changed = present != NULL && present->plan->version > 0;
	struct plan *plan;
	struct arena arena;
	ms_gw_snapshot_unref(present);
	if (changed) {
		ms_log(g->options.log, LOG_WARN, "the gateway's file is not read: changes made at run time stand",
		       MS_LOG_CSTR("file.path", name));
		return MS_OK;
	}
	ms_arena_init(&arena, (size_t)64 << 10, FILE_ARENA_MAX);
	enum ms_err err = parse(text, name, &arena, info, &plan);
	ms_arena_fini(&arena);
	if (err == MS_OK)
		ms_gateway_set_plan(g, plan);
	return err;
}
