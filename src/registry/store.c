// SPDX-License-Identifier: Apache-2.0
// The store folder: listing, and loading a version from it. Writing is in push.c.
#include <stdlib.h>

#include "registry/served.h"
#include "registry/store.h"
#include "json/json.h"

#define MAX_MODELS 100000
#define MAX_VERSIONS 100000
#define MAX_FILES 1000
#define ALIASES_MAX_BYTES ((size_t)1 << 20)
#define METADATA_MAX_BYTES ((size_t)4 << 20)

enum ms_err ms_store_path(struct errinfo *info, char dst[MS_STORE_PATH_MAX], const char *fmt, ...)
{
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(dst, MS_STORE_PATH_MAX, fmt, args);
	va_end(args);
	if (n < 0 || n >= MS_STORE_PATH_MAX)
		return ms_fail(info, MS_ERR_LIMIT, "a path of the model store is longer than %d bytes",
			       MS_STORE_PATH_MAX - 1);
	return MS_OK;
}

static uint64_t mix(uint64_t signature, const struct file_stat *st)
{
	const uint64_t parts[] = {signature, st->size, (uint64_t)st->mtime_ns, st->inode};
	return ms_hash(ms_slice(parts, sizeof(parts)), (struct hash_seed){0, 0});
}

// The one model file of a version folder.
static enum ms_err find_model_file(const char *version_dir, struct arena *arena, struct errinfo *info,
				   struct slice *ret_name)
{
	struct slice *names, found = MS_SLICE_EMPTY;
	size_t count;
	MS_TRY(ms_dir_list(version_dir, MAX_FILES, arena, info, &names, &count));
	for (size_t i = 0; i < count; i++) {
		if (names[i].p[0] == '.' || ms_slice_eq_cstr(names[i], "metadata.json"))
			continue;
		if (found.n > 0)
			return ms_fail(info, MS_ERR_MODEL_METADATA,
				       "the version's folder holds more than one model file: '%.*s' and '%.*s'",
				       MS_SLICE_ARG(found), MS_SLICE_ARG(names[i]));
		found = names[i];
	}
	if (found.n == 0)
		return ms_fail(info, MS_ERR_FILE_MISSING, "the version's folder holds no model file");
	*ret_name = found;
	return MS_OK;
}

// Changes when a file of the folder is changed, added or removed.
static uint64_t version_signature(const char *version_dir, struct arena *arena)
{
	struct slice *names;
	size_t count;
	uint64_t signature = 0;
	if (ms_dir_list(version_dir, MAX_FILES, arena, NULL, &names, &count) != MS_OK)
		return 0;
	for (size_t i = 0; i < count; i++) {
		char path[MS_STORE_PATH_MAX];
		struct file_stat st;
		if (ms_store_path(NULL, path, "%s/%s", version_dir, names[i].p) == MS_OK &&
		    ms_file_stat(path, NULL, &st) == MS_OK)
			signature = mix(signature, &st);
	}
	return signature;
}

static int by_version_newest_first(const void *a, const void *b)
{
	const struct store_version *x = a, *y = b;
	return ms_version_cmp(y->version, x->version);
}

static enum ms_err list_versions(const char *model_dir, struct store_model *model, struct arena *arena,
				 struct errinfo *info)
{
	struct slice *names;
	size_t count;
	MS_TRY(ms_dir_list(model_dir, MAX_VERSIONS, arena, info, &names, &count));
	model->versions = MS_ARENA_ARRAY(arena, struct store_version, count);
	if (model->versions == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for %zu versions", count);
	for (size_t i = 0; i < count; i++) {
		char path[MS_STORE_PATH_MAX];
		struct file_stat st;
		if (ms_store_check_version_name(names[i], NULL) != MS_OK ||
		    ms_store_path(NULL, path, "%s/%s", model_dir, names[i].p) != MS_OK ||
		    ms_file_stat(path, NULL, &st) != MS_OK || !st.is_dir)
			continue;
		model->versions[model->version_count++] =
			(struct store_version){.version = names[i], .signature = version_signature(path, arena)};
	}
	if (model->version_count > 1)
		qsort(model->versions, model->version_count, sizeof(*model->versions), by_version_newest_first);
	return MS_OK;
}

enum ms_err ms_store_read_aliases(const char *model_dir, struct arena *arena, struct errinfo *info,
				  struct store_alias **ret_aliases, size_t *ret_count)
{
	char path[MS_STORE_PATH_MAX];
	struct slice raw;
	MS_TRY(ms_store_path(info, path, "%s/aliases.json", model_dir));
	*ret_aliases = NULL;
	*ret_count = 0;
	enum ms_err err = ms_file_read(path, ALIASES_MAX_BYTES, info, &raw);
	if (err == MS_ERR_FILE_MISSING)
		return MS_OK;
	MS_TRY(err);
	struct slice text = ms_arena_copy(arena, raw);
	free((void *)(uintptr_t)raw.p);
	if (text.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for aliases.json");
	const struct json_value *root;
	MS_TRY(ms_json_parse(text, &MS_JSON_DEFAULT_LIMITS, arena, info, &root));
	if (root->type != JSON_OBJECT)
		return ms_fail(info, MS_ERR_MODEL_METADATA, "aliases.json must hold an object");
	struct store_alias *aliases = MS_ARENA_ARRAY(arena, struct store_alias, root->object.count);
	if (aliases == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for aliases.json");
	for (size_t i = 0; i < root->object.count; i++) {
		aliases[i].alias = root->object.members[i].key;
		if (!ms_json_as_str(&root->object.members[i].value, &aliases[i].version))
			return ms_fail(info, MS_ERR_MODEL_METADATA, "aliases.json: '%.*s' must name a version",
				       MS_SLICE_ARG(aliases[i].alias));
		MS_TRY(ms_store_check_version_name(aliases[i].alias, info));
	}
	*ret_aliases = aliases;
	*ret_count = root->object.count;
	return MS_OK;
}

static enum ms_err list_model(const char *dir, struct slice name, struct arena *arena, struct errinfo *info,
			      struct store_model *ret_model)
{
	char path[MS_STORE_PATH_MAX];
	MS_TRY(ms_store_path(info, path, "%s/%s", dir, name.p));
	*ret_model = (struct store_model){.name = name};
	MS_TRY(list_versions(path, ret_model, arena, info));
	struct errinfo why;
	ms_errinfo_init(&why);
	if (ms_store_read_aliases(path, arena, &why, &ret_model->aliases, &ret_model->alias_count) != MS_OK) {
		ret_model->alias_error = ms_arena_cstr(arena, ms_slice_cstr(why.message));
		if (ret_model->alias_error == NULL)
			ret_model->alias_error = "out of memory";
	}
	return MS_OK;
}

enum ms_err ms_store_list(const char *dir, struct arena *arena, struct errinfo *info, struct store_model **ret_models,
			  size_t *ret_count)
{
	struct slice *names;
	size_t count, used = 0;
	enum ms_err err = ms_dir_list(dir, MAX_MODELS, arena, info, &names, &count);
	*ret_models = NULL;
	*ret_count = 0;
	struct file_stat st;
	if (err == MS_ERR_FILE_MISSING && ms_file_stat(dir, NULL, &st) != MS_OK)
		return MS_OK;
	MS_TRY(err); // also where something else than a folder stands at its place
	struct store_model *models = MS_ARENA_ARRAY(arena, struct store_model, count);
	if (models == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for %zu models", count);
	for (size_t i = 0; i < count; i++) {
		char path[MS_STORE_PATH_MAX];
		if (ms_store_check_model_name(names[i], NULL) != MS_OK ||
		    ms_store_path(NULL, path, "%s/%s", dir, names[i].p) != MS_OK ||
		    ms_file_stat(path, NULL, &st) != MS_OK || !st.is_dir)
			continue;
		err = list_model(dir, names[i], arena, info, &models[used]);
		if (err == MS_ERR_FILE_MISSING)
			continue; // removed by somebody meanwhile
		MS_TRY(err);
		used += models[used].version_count > 0;
	}
	*ret_models = models;
	*ret_count = used;
	return MS_OK;
}

static enum ms_err read_and_make(const char *version_dir, const struct version_files *files, struct arena *arena,
				 struct errinfo *info, struct served_model **ret_served)
{
	char path[MS_STORE_PATH_MAX];
	struct slice file_name, bytes, metadata = MS_SLICE_EMPTY;
	MS_TRY(find_model_file(version_dir, arena, info, &file_name));
	MS_TRY(ms_store_path(info, path, "%s/metadata.json", version_dir));
	enum ms_err err = ms_file_read(path, METADATA_MAX_BYTES, info, &metadata);
	if (err != MS_OK && err != MS_ERR_FILE_MISSING)
		return err;
	err = ms_store_path(info, path, "%s/%s", version_dir, file_name.p);
	if (err == MS_OK)
		err = ms_file_read(path, files->model_options->max_bytes, info, &bytes);
	if (err == MS_OK) {
		const struct served_source source = {.name = files->model,
						     .version = files->version,
						     .file_name = file_name,
						     .bytes = bytes,
						     .metadata = metadata,
						     .signature = files->signature,
						     .loops = files->loops,
						     .model_options = files->model_options};
		err = ms_served_new(&source, info, ret_served);
		free((void *)(uintptr_t)bytes.p);
	}
	free((void *)(uintptr_t)metadata.p);
	return err;
}

struct slice ms_store_single_name(const char *path)
{
	struct slice name = ms_slice_cstr(path);
	for (size_t slash; (slash = ms_slice_find(name, '/')) < name.n;)
		name = ms_slice_sub(name, slash + 1, name.n);
	size_t dot = ms_slice_find(name, '.');
	return dot > 0 ? ms_slice_sub(name, 0, dot) : name;
}

enum ms_err ms_store_single_signature(const char *path, struct errinfo *info, uint64_t *ret_signature)
{
	struct file_stat st;
	MS_TRY(ms_file_stat(path, info, &st));
	*ret_signature = mix(0, &st);
	return MS_OK;
}

static enum ms_err load_single(const struct version_files *files, struct errinfo *info,
			       struct served_model **ret_served)
{
	struct slice bytes;
	MS_TRY(ms_store_check_model_name(files->model, info));
	MS_TRY(ms_file_read(files->single_file, files->model_options->max_bytes, info, &bytes));
	const struct served_source source = {.name = files->model,
					     .version = files->version,
					     .file_name = files->model,
					     .bytes = bytes,
					     .signature = files->signature,
					     .loops = files->loops,
					     .model_options = files->model_options};
	enum ms_err err = ms_served_new(&source, info, ret_served);
	free((void *)(uintptr_t)bytes.p);
	return err;
}

enum ms_err ms_store_load_version(const char *dir, const struct version_files *files, struct errinfo *info,
				  struct served_model **ret_served)
{
	char version_dir[MS_STORE_PATH_MAX];
	struct arena arena;
	if (files->single_file != NULL)
		return load_single(files, info, ret_served);
	MS_TRY(ms_store_path(info, version_dir, "%s/%.*s/%.*s", dir, MS_SLICE_ARG(files->model),
			     MS_SLICE_ARG(files->version)));
	ms_arena_init(&arena, 4096, (size_t)1 << 24);
	enum ms_err err = read_and_make(version_dir, files, &arena, info, ret_served);
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_store_load_file(const char *path, const struct model_options *model_options, struct errinfo *info,
			       struct served_model **ret_served)
{
	const struct version_files files = {.model = ms_store_single_name(path),
					    .version = MS_SLICE_LIT("1"),
					    .single_file = path,
					    .model_options = model_options};
	return load_single(&files, info, ret_served);
}

enum ms_err ms_store_load(const char *dir, struct slice model, struct slice version_or_alias,
			  const struct model_options *model_options, struct errinfo *info,
			  struct served_model **ret_served)
{
	char model_dir[MS_STORE_PATH_MAX];
	struct arena arena;
	struct store_model found = {.name = model};
	MS_TRY(ms_store_check_model_name(model, info));
	MS_TRY(ms_store_path(info, model_dir, "%s/%.*s", dir, MS_SLICE_ARG(model)));
	ms_arena_init(&arena, 4096, (size_t)1 << 26);
	enum ms_err err = list_versions(model_dir, &found, &arena, info);
	if (err == MS_OK)
		err = ms_store_read_aliases(model_dir, &arena, info, &found.aliases, &found.alias_count);
	if (err == MS_ERR_FILE_MISSING || (err == MS_OK && found.version_count == 0))
		err = ms_fail(info, MS_ERR_MODEL_UNKNOWN, "the store has no model '%.*s'", MS_SLICE_ARG(model));
	struct slice version = version_or_alias;
	if (err == MS_OK && version.n == 0)
		version = found.versions[0].version;
	for (size_t i = 0; i < found.alias_count; i++) {
		if (ms_slice_eq(found.aliases[i].alias, version_or_alias))
			version = found.aliases[i].version;
	}
	bool known = false;
	for (size_t i = 0; err == MS_OK && i < found.version_count; i++)
		known = known || ms_slice_eq(found.versions[i].version, version);
	if (err == MS_OK && !known)
		err = ms_fail(info, MS_ERR_MODEL_VERSION_UNKNOWN,
			      "model '%.*s' has no version or alias '%.*s'; its newest is '%.*s'", MS_SLICE_ARG(model),
			      MS_SLICE_ARG(version_or_alias), MS_SLICE_ARG(found.versions[0].version));
	if (err == MS_OK) {
		const struct version_files files = {.model = model, .version = version, .model_options = model_options};
		err = ms_store_load_version(dir, &files, info, ret_served);
	}
	ms_arena_fini(&arena);
	return err;
}
