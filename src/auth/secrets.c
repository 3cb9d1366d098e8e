// SPDX-License-Identifier: Apache-2.0
// The secrets file: one line that says what it is, then a JSON object of names and values, sealed whole by the vault.
#include <stdio.h>
#include <stdlib.h>

#include "auth/auth.h"

#define HEADER "mainstay-secrets 1\n"
#define CONTEXT MS_SLICE_LIT("secrets file")
#define FILE_MAX_BYTES ((size_t)2 << 20)
#define PLAIN_MAX ((size_t)1 << 20)

static int by_name(const void *a, const void *b)
{
	return ms_slice_cmp(((const struct secret_item *)a)->name, ((const struct secret_item *)b)->name);
}

static enum ms_err parse_items(struct slice text, struct arena *arena, struct errinfo *info,
			       struct secret_item **ret_items, size_t *ret_count)
{
	const struct json_value *root;
	MS_TRY(ms_json_parse(text, NULL, arena, info, &root));
	if (root->type != JSON_OBJECT || root->object.count > MS_SECRETS_MAX)
		return ms_fail(info, MS_ERR_INVALID, "the secrets file does not hold names and values");
	struct secret_item *items = MS_ARENA_ARRAY(arena, struct secret_item, root->object.count + 1);
	if (items == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < root->object.count; i++) {
		items[i].name = root->object.members[i].key;
		if (!ms_json_as_str(&root->object.members[i].value, &items[i].value))
			return ms_fail(info, MS_ERR_INVALID, "the secrets file does not hold names and values");
	}
	qsort(items, root->object.count, sizeof(*items), by_name);
	*ret_items = items;
	*ret_count = root->object.count;
	return MS_OK;
}

enum ms_err ms_secrets_read(const char *path, const struct vault *vault, struct arena *arena, struct errinfo *info,
			    struct secret_item **ret_items, size_t *ret_count)
{
	struct slice bytes, header = MS_SLICE_LIT(HEADER), plain;
	MS_TRY(ms_file_read(path, FILE_MAX_BYTES, info, &bytes));
	enum ms_err err;
	if (!ms_slice_starts_with(bytes, header))
		err = ms_fail(info, MS_ERR_INVALID, "secrets file: does not begin as one; made by another program?");
	else
		err = ms_vault_open_sealed(vault, CONTEXT, ms_slice_sub(bytes, header.n, bytes.n), arena, info, &plain);
	free((void *)(uintptr_t)bytes.p);
	MS_TRY(err);
	return parse_items(plain, arena, info, ret_items, ret_count);
}

static enum ms_err write_items(const char *path, const struct vault *vault, const struct secret_item *items,
			       size_t count, struct arena *arena, struct errinfo *info)
{
	struct buf plain, file;
	struct json_writer w;
	struct slice sealed;
	ms_buf_init(&plain, PLAIN_MAX);
	ms_buf_init(&file, FILE_MAX_BYTES);
	enum ms_err err = ms_buf_reserve(&plain, PLAIN_MAX) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_json_writer_init(&w, &plain);
	ms_json_begin_object(&w);
	for (size_t i = 0; i < count && err == MS_OK; i++) {
		ms_json_key(&w, items[i].name);
		ms_json_str(&w, items[i].value);
	}
	ms_json_end_object(&w);
	if (err == MS_OK && !ms_buf_ok(&plain))
		err = ms_fail(info, MS_ERR_LIMIT, "the secrets file would hold more than 1 MiB");
	if (err == MS_OK)
		err = ms_vault_seal(vault, CONTEXT, ms_buf_slice(&plain), arena, info, &sealed);
	if (err == MS_OK) {
		ms_buf_append_cstr(&file, HEADER);
		ms_buf_append_slice(&file, sealed);
		err = ms_buf_ok(&file) ? ms_file_write_atomic(path, ms_buf_slice(&file), 0600, info)
				       : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	if (plain.cap > 0)
		ms_wipe(plain.p, plain.cap);
	ms_buf_fini(&plain);
	ms_buf_fini(&file);
	return err;
}

// The list with one item set (or taken out), in place: it has room for one more.
static enum ms_err change(struct secret_item *items, size_t *count, struct slice name, struct slice value,
			  struct errinfo *info)
{
	size_t at = 0;
	while (at < *count && !ms_slice_eq(items[at].name, name))
		at++;
	if (value.p == NULL) {
		if (at == *count)
			return ms_fail(info, MS_ERR_NOT_FOUND, "there is no secret %.*s", MS_SLICE_ARG(name));
		memmove(&items[at], &items[at + 1], (*count - at - 1) * sizeof(*items));
		(*count)--;
		return MS_OK;
	}
	if (at == *count && *count == MS_SECRETS_MAX)
		return ms_fail(info, MS_ERR_LIMIT, "the secrets file holds %d secrets already", MS_SECRETS_MAX);
	*count += at == *count ? 1 : 0;
	items[at] = (struct secret_item){name, value};
	return MS_OK;
}

// name.p == NULL: nothing changes but the seal.
static enum ms_err rewrite(const char *path, const struct vault *vault, struct slice name, struct slice value,
			   struct arena *arena, struct errinfo *info)
{
	struct secret_item *items = NULL;
	size_t count = 0;
	enum ms_err err = ms_secrets_read(path, vault, arena, info, &items, &count);
	if (err == MS_ERR_FILE_MISSING && name.p != NULL) {
		items = MS_ARENA_ARRAY(arena, struct secret_item, 1);
		err = items != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	MS_TRY(err);
	if (name.p != NULL)
		MS_TRY(change(items, &count, name, value, info));
	return write_items(path, vault, items, count, arena, info);
}

static enum ms_err rewrite_locked(const char *path, const struct vault *vault, struct slice name, struct slice value,
				  struct errinfo *info)
{
	struct arena arena;
	int lock;
	ms_arena_init(&arena, (size_t)1 << 16, (size_t)16 << 20);
	char *lock_path = ms_arena_printf(&arena, "%s.lock", path);
	enum ms_err err = lock_path != NULL ? ms_file_lock(lock_path, true, info, &lock)
					    : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	if (err == MS_OK) {
		err = rewrite(path, vault, name, value, &arena, info);
		ms_file_unlock(lock);
	}
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_secrets_set(const char *path, const struct vault *vault, struct slice name, struct slice value,
			   struct errinfo *info)
{
	MS_ASSERT(name.n > 0);
	if (value.n > MS_SECRET_VALUE_MAX)
		return ms_fail(info, MS_ERR_LIMIT, "the value has more than %zu bytes", MS_SECRET_VALUE_MAX);
	if (value.p != NULL && ms_utf8_valid_prefix(value) != value.n)
		return ms_fail(info, MS_ERR_INVALID, "the value is not UTF-8; encode what is not text (base64)");
	return rewrite_locked(path, vault, name, value, info);
}

enum ms_err ms_secrets_reseal(const char *path, const struct vault *vault, struct errinfo *info)
{
	return rewrite_locked(path, vault, MS_SLICE_EMPTY, MS_SLICE_EMPTY, info);
}
