// SPDX-License-Identifier: Apache-2.0
// Changes to the store folder. Each is one rename of something finished and synced, under the store's lock.
#include <stdlib.h>

#include "registry/served.h"
#include "registry/store.h"
#include "json/json.h"

#define INCOMING ".incoming-"
#define REMOVED ".removed-"

static void random_suffix(char dst[17])
{
	uint64_t r;
	ms_random_bytes(&r, sizeof(r));
	snprintf(dst, 17, "%016llx", (unsigned long long)r);
}

static enum ms_err lock_store(const char *dir, struct errinfo *info, int *ret_fd)
{
	char path[MS_STORE_PATH_MAX];
	MS_TRY(ms_dir_create(dir, info));
	MS_TRY(ms_store_path(info, path, "%s/.lock", dir));
	return ms_file_lock(path, true, info, ret_fd);
}

void ms_store_sweep(const char *dir)
{
	struct arena arena;
	struct slice *names;
	size_t count;
	ms_arena_init(&arena, 4096, (size_t)1 << 26);
	if (ms_dir_list(dir, 1000000, &arena, NULL, &names, &count) == MS_OK) {
		for (size_t i = 0; i < count; i++) {
			char path[MS_STORE_PATH_MAX];
			bool ours = ms_slice_starts_with(names[i], MS_SLICE_LIT(INCOMING)) ||
				    ms_slice_starts_with(names[i], MS_SLICE_LIT(REMOVED));
			if (ours && ms_store_path(NULL, path, "%s/%s", dir, names[i].p) == MS_OK)
				MS_IGNORE(ms_dir_remove(path, NULL)); // what stays is swept the next time
		}
	}
	ms_arena_fini(&arena);
}

// The version after `newest`: its last run of digits counts one up.
static enum ms_err next_version(struct slice newest, struct errinfo *info, char *ret_version)
{
	size_t end = newest.n;
	while (end > 0 && !(newest.p[end - 1] >= '0' && newest.p[end - 1] <= '9'))
		end--;
	size_t start = end;
	while (start > 0 && newest.p[start - 1] >= '0' && newest.p[start - 1] <= '9')
		start--;
	uint64_t number = 0;
	bool ok = end > 0 && ms_slice_to_u64(ms_slice_sub(newest, start, end - start), &number) && number < UINT64_MAX;
	int n = ok ? snprintf(ret_version, MS_MODEL_VERSION_MAX + 1, "%.*s%llu%.*s", (int)start, newest.p,
			      (unsigned long long)number + 1, (int)(newest.n - end), newest.p + end)
		   : -1;
	if (n > 0 && n <= MS_MODEL_VERSION_MAX)
		return MS_OK;
	return ms_fail(info, MS_ERR_MODEL_NAME, "no version follows '%.*s' by itself: name the new version",
		       MS_SLICE_ARG(newest));
}

static enum ms_err choose_version(const char *dir, const struct store_push *push, struct arena *arena,
				  struct errinfo *info, char *ret_version)
{
	if (push->version.n > 0) {
		MS_TRY(ms_store_check_version_name(push->version, info));
		bool fits = ms_slice_to_cstr(push->version, ret_version, MS_MODEL_VERSION_MAX + 1);
		MS_ASSERT(fits);
		return MS_OK;
	}
	struct store_model *models;
	size_t count;
	MS_TRY(ms_store_list(dir, arena, info, &models, &count));
	for (size_t i = 0; i < count; i++) {
		if (ms_slice_eq(models[i].name, push->model))
			return next_version(models[i].versions[0].version, info, ret_version);
	}
	snprintf(ret_version, MS_MODEL_VERSION_MAX + 1, "1");
	return MS_OK;
}

// A name for the model file that keeps to the store's rules, whatever the client called it.
static struct slice safe_file_name(const struct store_push *push, enum model_format format)
{
	static const char *const by_format[MODEL_FORMAT_COUNT] = {
		[MODEL_FORMAT_AUTO] = "model.bin",           [MODEL_FORMAT_LIGHTGBM_TEXT] = "model.txt",
		[MODEL_FORMAT_XGBOOST_JSON] = "model.json",  [MODEL_FORMAT_XGBOOST_UBJSON] = "model.ubj",
		[MODEL_FORMAT_CATBOOST_JSON] = "model.json", [MODEL_FORMAT_LINEAR_JSON] = "model.json",
		[MODEL_FORMAT_ONNX] = "model.onnx",
	};
	if (ms_store_check_model_name(push->file_name, NULL) == MS_OK &&
	    !ms_slice_eq_cstr(push->file_name, "metadata.json"))
		return push->file_name;
	return ms_slice_cstr(by_format[format]);
}

// `created` is what the metadata of a push may lack and a reader wants.
static enum ms_err finish_metadata(const struct served_model *served, struct arena *arena, struct errinfo *info,
				   struct slice *ret_text)
{
	const struct json_value *root;
	char now[MS_RFC3339_SIZE];
	struct buf text;
	struct json_writer w;
	MS_TRY(ms_json_parse(served->metadata, &MS_JSON_DEFAULT_LIMITS, arena, info, &root));
	ms_buf_init(&text, (size_t)1 << 26);
	ms_json_writer_init(&w, &text);
	ms_json_begin_object(&w);
	for (size_t i = 0; i < root->object.count; i++) {
		ms_json_key(&w, root->object.members[i].key);
		ms_json_value(&w, &root->object.members[i].value);
	}
	if (ms_json_get(root, "created") == NULL) {
		ms_text_rfc3339(ms_clock_wall_ns(), now);
		ms_json_key_lit(&w, "created");
		ms_json_cstr(&w, now);
	}
	ms_json_end_object(&w);
	ms_buf_append_char(&text, '\n');
	*ret_text = ms_buf_ok(&text) ? ms_arena_copy(arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	return ret_text->p != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the metadata");
}

static enum ms_err write_aside(const char *aside, const struct store_push *push, const struct served_model *served,
			       struct arena *arena, struct errinfo *info)
{
	char path[MS_STORE_PATH_MAX];
	struct slice metadata, name = safe_file_name(push, ms_model_info(served->model)->format);
	MS_TRY(finish_metadata(served, arena, info, &metadata));
	MS_TRY(ms_dir_create(aside, info));
	MS_TRY(ms_store_path(info, path, "%s/%.*s", aside, MS_SLICE_ARG(name)));
	MS_TRY(ms_file_write_new(path, push->bytes, 0640, info));
	MS_TRY(ms_store_path(info, path, "%s/metadata.json", aside));
	MS_TRY(ms_file_write_new(path, metadata, 0640, info));
	return ms_dir_sync(aside, info);
}

// The lock is held.
static enum ms_err push_locked(const char *dir, const struct store_push *push, struct arena *arena,
			       struct errinfo *info, char *ret_version)
{
	char aside[MS_STORE_PATH_MAX], model_dir[MS_STORE_PATH_MAX], place[MS_STORE_PATH_MAX], suffix[17];
	struct file_stat st;
	MS_TRY(choose_version(dir, push, arena, info, ret_version));
	MS_TRY(ms_store_path(info, model_dir, "%s/%.*s", dir, MS_SLICE_ARG(push->model)));
	MS_TRY(ms_store_path(info, place, "%s/%s", model_dir, ret_version));
	if (ms_file_stat(place, NULL, &st) == MS_OK)
		return ms_fail(info, MS_ERR_MODEL_VERSION_EXISTS,
			       "model '%.*s' has a version '%s' already; versions do not change: push a new one",
			       MS_SLICE_ARG(push->model), ret_version);
	const struct served_source source = {.name = push->model,
					     .version = ms_slice_cstr(ret_version),
					     .file_name = push->file_name,
					     .bytes = push->bytes,
					     .metadata = push->metadata,
					     .format = push->format,
					     .model_options = push->model_options};
	struct served_model *served;
	MS_TRY(ms_served_new(&source, info, &served));
	random_suffix(suffix);
	enum ms_err err = ms_store_path(info, aside, "%s/" INCOMING "%s", dir, suffix);
	if (err == MS_OK)
		err = write_aside(aside, push, served, arena, info);
	if (err == MS_OK)
		err = ms_dir_create(model_dir, info);
	if (err == MS_OK)
		err = ms_dir_sync(dir, info);
	if (err == MS_OK)
		err = ms_file_rename(aside, place, false, info);
	if (err != MS_OK)
		MS_IGNORE(ms_dir_remove(aside, NULL)); // a rest is swept by the next change
	ms_served_unref(served);
	return err;
}

enum ms_err ms_store_push(const char *dir, const struct store_push *push, struct errinfo *info, char *ret_version)
{
	int lock;
	struct arena arena;
	MS_TRY(ms_store_check_model_name(push->model, info));
	MS_TRY(lock_store(dir, info, &lock));
	ms_store_sweep(dir);
	ms_arena_init(&arena, 4096, (size_t)1 << 27);
	enum ms_err err = push_locked(dir, push, &arena, info, ret_version);
	ms_arena_fini(&arena);
	ms_file_unlock(lock);
	return err;
}

// The alias that names the version, or an empty slice.
static enum ms_err alias_of(const char *model_dir, struct slice version, struct arena *arena, struct errinfo *info,
			    struct slice *ret_alias)
{
	struct store_alias *aliases;
	size_t count;
	*ret_alias = MS_SLICE_EMPTY;
	MS_TRY(ms_store_read_aliases(model_dir, arena, info, &aliases, &count));
	for (size_t i = 0; i < count; i++) {
		if (ms_slice_eq(aliases[i].version, version))
			*ret_alias = aliases[i].alias;
	}
	return MS_OK;
}

static enum ms_err remove_locked(const char *dir, struct slice model, struct slice version, struct arena *arena,
				 struct errinfo *info)
{
	char model_dir[MS_STORE_PATH_MAX], place[MS_STORE_PATH_MAX], aside[MS_STORE_PATH_MAX], suffix[17];
	struct file_stat st;
	struct slice alias;
	MS_TRY(ms_store_path(info, model_dir, "%s/%.*s", dir, MS_SLICE_ARG(model)));
	if (ms_file_stat(model_dir, NULL, &st) != MS_OK || !st.is_dir)
		return ms_fail(info, MS_ERR_MODEL_UNKNOWN, "the store has no model '%.*s'", MS_SLICE_ARG(model));
	if (version.n > 0) {
		MS_TRY(alias_of(model_dir, version, arena, info, &alias));
		if (alias.n > 0)
			return ms_fail(info, MS_ERR_MODEL_IN_USE,
				       "alias '%.*s' names version '%.*s': point it elsewhere or remove it first",
				       MS_SLICE_ARG(alias), MS_SLICE_ARG(version));
		MS_TRY(ms_store_path(info, place, "%s/%.*s", model_dir, MS_SLICE_ARG(version)));
	} else
		MS_TRY(ms_store_path(info, place, "%s", model_dir));
	if (ms_file_stat(place, NULL, &st) != MS_OK)
		return ms_fail(info, MS_ERR_MODEL_VERSION_UNKNOWN, "model '%.*s' has no version '%.*s'",
			       MS_SLICE_ARG(model), MS_SLICE_ARG(version));
	random_suffix(suffix);
	MS_TRY(ms_store_path(info, aside, "%s/" REMOVED "%s", dir, suffix));
	MS_TRY(ms_file_rename(place, aside, false, info));
	MS_IGNORE(ms_dir_remove(aside, NULL)); // gone for every reader since the rename; a rest is swept later
	return MS_OK;
}

enum ms_err ms_store_remove(const char *dir, struct slice model, struct slice version, struct errinfo *info)
{
	int lock;
	struct arena arena;
	MS_TRY(ms_store_check_model_name(model, info));
	if (version.n > 0)
		MS_TRY(ms_store_check_version_name(version, info));
	MS_TRY(lock_store(dir, info, &lock));
	ms_store_sweep(dir);
	ms_arena_init(&arena, 4096, (size_t)1 << 24);
	enum ms_err err = remove_locked(dir, model, version, &arena, info);
	ms_arena_fini(&arena);
	ms_file_unlock(lock);
	return err;
}

static enum ms_err set_alias_locked(const char *dir, struct slice model, struct slice alias, struct slice version,
				    struct arena *arena, struct errinfo *info)
{
	char model_dir[MS_STORE_PATH_MAX], path[MS_STORE_PATH_MAX];
	struct file_stat st;
	struct store_alias *aliases;
	size_t count;
	struct buf text;
	struct json_writer w;
	MS_TRY(ms_store_path(info, model_dir, "%s/%.*s", dir, MS_SLICE_ARG(model)));
	if (ms_file_stat(model_dir, NULL, &st) != MS_OK)
		return ms_fail(info, MS_ERR_MODEL_UNKNOWN, "the store has no model '%.*s'", MS_SLICE_ARG(model));
	MS_TRY(ms_store_path(info, path, "%s/%.*s", model_dir, MS_SLICE_ARG(version.n > 0 ? version : alias)));
	bool is_version = ms_file_stat(path, NULL, &st) == MS_OK && st.is_dir;
	if (version.n > 0 && !is_version)
		return ms_fail(info, MS_ERR_MODEL_VERSION_UNKNOWN, "model '%.*s' has no version '%.*s'",
			       MS_SLICE_ARG(model), MS_SLICE_ARG(version));
	MS_TRY(ms_store_path(info, path, "%s/%.*s", model_dir, MS_SLICE_ARG(alias)));
	if (version.n > 0 && ms_file_stat(path, NULL, &st) == MS_OK)
		return ms_fail(info, MS_ERR_CONFLICT, "'%.*s' is a version of model '%.*s' and cannot be an alias too",
			       MS_SLICE_ARG(alias), MS_SLICE_ARG(model));
	MS_TRY(ms_store_read_aliases(model_dir, arena, info, &aliases, &count));
	ms_buf_init(&text, (size_t)1 << 20);
	ms_json_writer_init(&w, &text);
	ms_json_begin_object(&w);
	bool known = false;
	for (size_t i = 0; i < count; i++) {
		bool same = ms_slice_eq(aliases[i].alias, alias);
		known = known || same;
		if (same && version.n == 0)
			continue;
		ms_json_key(&w, aliases[i].alias);
		ms_json_str(&w, same ? version : aliases[i].version);
	}
	if (!known && version.n > 0) {
		ms_json_key(&w, alias);
		ms_json_str(&w, version);
	}
	ms_json_end_object(&w);
	ms_buf_append_char(&text, '\n');
	enum ms_err err;
	if (!known && version.n == 0)
		err = ms_fail(info, MS_ERR_NOT_FOUND, "model '%.*s' has no alias '%.*s'", MS_SLICE_ARG(model),
			      MS_SLICE_ARG(alias));
	else if (!ms_buf_ok(&text))
		err = ms_fail(info, MS_ERR_LIMIT, "model '%.*s' has too many aliases", MS_SLICE_ARG(model));
	else if ((err = ms_store_path(info, path, "%s/aliases.json", model_dir)) == MS_OK)
		err = ms_file_write_atomic(path, ms_buf_slice(&text), 0640, info);
	ms_buf_fini(&text);
	return err;
}

enum ms_err ms_store_set_alias(const char *dir, struct slice model, struct slice alias, struct slice version,
			       struct errinfo *info)
{
	int lock;
	struct arena arena;
	MS_TRY(ms_store_check_model_name(model, info));
	MS_TRY(ms_store_check_version_name(alias, info));
	if (version.n > 0)
		MS_TRY(ms_store_check_version_name(version, info));
	MS_TRY(lock_store(dir, info, &lock));
	ms_arena_init(&arena, 4096, (size_t)1 << 24);
	enum ms_err err = set_alias_locked(dir, model, alias, version, &arena, info);
	ms_arena_fini(&arena);
	ms_file_unlock(lock);
	return err;
}
