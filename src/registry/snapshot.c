// SPDX-License-Identifier: Apache-2.0
// Snapshots: pictures of all models that never change once published, and the search in them.
#include "registry/snapshot.h"

#include <stdlib.h>

#define SNAPSHOT_MAX_BYTES ((size_t)1 << 30)
#define NAMES_IN_MESSAGE 8

struct snapshot *ms_snapshot_new(void)
{
	struct snapshot *snapshot = calloc(1, sizeof(*snapshot));
	if (snapshot == NULL)
		return NULL;
	atomic_init(&snapshot->refs, 1);
	ms_arena_init(&snapshot->arena, 4096, SNAPSHOT_MAX_BYTES);
	return snapshot;
}

struct snapshot *ms_snapshot_ref(const struct snapshot *shared)
{
	// Only the count changes; the picture itself stays constant.
	struct snapshot *snapshot = (struct snapshot *)(uintptr_t)shared;
	atomic_fetch_add_explicit(&snapshot->refs, 1, memory_order_relaxed);
	return snapshot;
}

void ms_snapshot_unref(struct snapshot *snapshot)
{
	if (snapshot == NULL || atomic_fetch_sub_explicit(&snapshot->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t m = 0; m < snapshot->model_count; m++) {
		for (size_t v = 0; v < snapshot->models[m].version_count; v++)
			ms_served_unref(snapshot->models[m].versions[v].served);
	}
	ms_arena_fini(&snapshot->arena);
	free(snapshot);
}

const char *ms_version_state_name(enum version_state state)
{
	static const char *const names[] = {
		[VERSION_READY] = "READY",
		[VERSION_LOADING] = "LOADING",
		[VERSION_UNAVAILABLE] = "UNAVAILABLE",
		[VERSION_NOT_LOADED] = "UNAVAILABLE",
	};
	return names[state];
}

const struct live_model *ms_snapshot_model(const struct snapshot *snapshot, struct slice name)
{
	size_t low = 0, high = snapshot->model_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = ms_slice_cmp(snapshot->models[middle].name, name);
		if (order == 0)
			return &snapshot->models[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

MS_COLD static enum ms_err unknown_model(const struct snapshot *snapshot, struct slice name, struct errinfo *info)
{
	struct slice names[NAMES_IN_MESSAGE * 8];
	size_t count = MS_MIN(snapshot->model_count, MS_ARRAY_LEN(names));
	if (count == 0)
		return ms_fail(info, MS_ERR_MODEL_UNKNOWN,
			       "there is no model '%.*s': none is in the store yet (mainstay model push)",
			       MS_SLICE_ARG(name));
	for (size_t i = 0; i < count; i++)
		names[i] = snapshot->models[i].name;
	size_t nearest = ms_text_nearest(name, names, count);
	if (nearest != SIZE_MAX)
		return ms_fail(info, MS_ERR_MODEL_UNKNOWN, "there is no model '%.*s'; did you mean '%.*s'?",
			       MS_SLICE_ARG(name), MS_SLICE_ARG(names[nearest]));
	struct buf list;
	ms_buf_init(&list, 4096);
	for (size_t i = 0; i < MS_MIN(count, (size_t)NAMES_IN_MESSAGE); i++)
		ms_buf_printf(&list, "%s%.*s", i > 0 ? ", " : "", MS_SLICE_ARG(names[i]));
	enum ms_err err =
		ms_fail(info, MS_ERR_MODEL_UNKNOWN, "there is no model '%.*s'; there are: %.*s%s", MS_SLICE_ARG(name),
			MS_SLICE_ARG(ms_buf_slice(&list)), snapshot->model_count > NAMES_IN_MESSAGE ? ", …" : "");
	ms_buf_fini(&list);
	return err;
}

MS_COLD static enum ms_err unknown_version(const struct live_model *model, struct slice version, struct errinfo *info)
{
	struct buf list;
	ms_buf_init(&list, 4096);
	for (size_t i = 0; i < MS_MIN(model->version_count, (size_t)NAMES_IN_MESSAGE); i++)
		ms_buf_printf(&list, "%s%.*s", i > 0 ? ", " : "", MS_SLICE_ARG(model->versions[i].version));
	for (size_t i = 0; i < MS_MIN(model->alias_count, (size_t)NAMES_IN_MESSAGE); i++)
		ms_buf_printf(&list, ", %.*s (alias)", MS_SLICE_ARG(model->aliases[i].alias));
	enum ms_err err = ms_fail(info, MS_ERR_MODEL_VERSION_UNKNOWN,
				  "model '%.*s' has no version or alias '%.*s'; there are: %.*s",
				  MS_SLICE_ARG(model->name), MS_SLICE_ARG(version), MS_SLICE_ARG(ms_buf_slice(&list)));
	ms_buf_fini(&list);
	return err;
}

MS_COLD static enum ms_err not_ready(const struct live_model *model, const struct live_version *version,
				     struct errinfo *info)
{
	return ms_fail(info, MS_ERR_MODEL_NOT_READY, "model '%.*s' version '%.*s' is not ready: %.*s",
		       MS_SLICE_ARG(model->name), MS_SLICE_ARG(version->version), MS_SLICE_ARG(version->reason));
}

enum ms_err ms_snapshot_find(const struct snapshot *snapshot, struct slice name, struct slice version_or_alias,
			     struct errinfo *info, struct served_model **ret_served)
{
	const struct live_model *model = ms_snapshot_model(snapshot, name);
	if (model == NULL)
		return unknown_model(snapshot, name, info);
	if (version_or_alias.n == 0) {
		if (model->current == NULL)
			return not_ready(model, &model->versions[0], info);
		*ret_served = model->current;
		return MS_OK;
	}
	struct slice wanted = version_or_alias;
	for (size_t i = 0; i < model->alias_count; i++) {
		if (ms_slice_eq(model->aliases[i].alias, version_or_alias))
			wanted = model->aliases[i].version;
	}
	for (size_t i = 0; i < model->version_count; i++) {
		if (!ms_slice_eq(model->versions[i].version, wanted))
			continue;
		if (model->versions[i].served == NULL)
			return not_ready(model, &model->versions[i], info);
		*ret_served = model->versions[i].served;
		return MS_OK;
	}
	return unknown_version(model, version_or_alias, info);
}
