// SPDX-License-Identifier: Apache-2.0
#include "gateway/history.h"

#include <stdio.h>

#include "crypto/crypto.h"

#define DOCUMENT_MAX ((size_t)256 << 20)
#define RESEAL_PAGE 20

// `id` is the version with leading zeros: a text, as what seals wants it. `sealed` 0: plain, because there was no auth.
static const char schema[] = "CREATE TABLE gateway_versions (\n"
			     "  version BIGINT PRIMARY KEY,\n"
			     "  id TEXT NOT NULL UNIQUE,\n"
			     "  time_us BIGINT NOT NULL,\n"
			     "  by_id TEXT NOT NULL,\n"
			     "  by_name TEXT NOT NULL,\n"
			     "  comment TEXT NOT NULL,\n"
			     "  changes TEXT NOT NULL,\n"
			     "  sealed BIGINT NOT NULL,\n"
			     "  document BLOB NOT NULL\n"
			     ");\n";
static const struct store_migration steps[] = {
	{.module = "gateway", .version = 1, .name = "versions of the configuration", .sql = schema}};
const struct store_migrations ms_gateway_migrations = {.steps = steps, .count = MS_ARRAY_LEN(steps)};

static void write_id(int64_t version, char dst[24])
{
	snprintf(dst, 24, "%020lld", (long long)version);
}

static struct slice context_of(struct slice id, char dst[40])
{
	int n = snprintf(dst, 40, "gateway:%.*s", MS_SLICE_ARG(id));
	return ms_slice(dst, (size_t)n);
}

enum ms_err ms_history_newest(struct store_tx *tx, struct errinfo *info, int64_t *ret_version)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(tx, "SELECT version FROM gateway_versions ORDER BY version DESC LIMIT 1",
			      MS_STORE_NO_PARAMS, 1, info, &rows));
	*ret_version = rows.count > 0 ? ms_store_get_int(&rows, 0, 0) : 0;
	return MS_OK;
}

static void read_version(const struct store_rows *rows, size_t i, struct gateway_version *v)
{
	struct slice name = ms_store_get_text(rows, i, 3);
	*v = (struct gateway_version){.version = ms_store_get_int(rows, i, 0),
				      .time_us = ms_store_get_int(rows, i, 1),
				      .by = name.n > 0 ? name : ms_store_get_text(rows, i, 2),
				      .comment = ms_store_get_text(rows, i, 4),
				      .changes = ms_store_get_text(rows, i, 5)};
}

enum ms_err ms_gateway_versions(struct store_tx *tx, int64_t before, size_t limit, struct errinfo *info,
				struct gateway_version **ret_items, size_t *ret_count)
{
	struct store_rows rows;
	MS_TRY(ms_store_query(
		tx,
		"SELECT version, time_us, by_id, by_name, comment, changes FROM gateway_versions WHERE version < $1 "
		"ORDER BY version DESC LIMIT $2",
		MS_STORE_PARAMS(ms_store_int(before > 0 ? before : INT64_MAX), ms_store_int((int64_t)limit)), limit,
		info, &rows));
	struct gateway_version *items = MS_ARENA_ARRAY(ms_store_arena(tx), struct gateway_version, rows.count);
	if (items == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < rows.count; i++)
		read_version(&rows, i, &items[i]);
	*ret_items = items;
	*ret_count = rows.count;
	return MS_OK;
}

enum ms_err ms_history_load(struct store_tx *tx, struct auth *auth, int64_t version, struct errinfo *info,
			    struct gateway_version *ret_version, struct slice *ret_document)
{
	struct store_rows rows;
	bool newest = version == 0;
	if (newest)
		MS_TRY(ms_history_newest(tx, info, &version));
	MS_TRY(ms_store_query(tx,
			      "SELECT version, time_us, by_id, by_name, comment, changes, id, sealed, document FROM "
			      "gateway_versions WHERE version = $1",
			      MS_STORE_PARAMS(ms_store_int(version)), 1, info, &rows));
	if (rows.count == 0)
		return newest ? ms_fail(info, MS_ERR_NOT_FOUND, "the gateway has no versions yet")
			      : ms_fail(info, MS_ERR_NOT_FOUND, "the gateway has no version %lld", (long long)version);
	read_version(&rows, 0, ret_version);
	*ret_document = ms_store_get_blob(&rows, 0, 8);
	if (ms_store_get_int(&rows, 0, 7) == 0)
		return MS_OK;
	if (auth == NULL)
		return ms_fail(info, MS_ERR_CONFIG,
			       "version %lld of the gateway is sealed; it can be read with auth switched on",
			       (long long)version);
	char context[40];
	return ms_auth_open(auth, context_of(ms_store_get_text(&rows, 0, 6), context), *ret_document,
			    ms_store_arena(tx), info, ret_document);
}

static enum ms_err record(struct store_tx *tx, const struct gateway_edit *edit, int64_t version, struct errinfo *info)
{
	if (edit->auth == NULL || edit->by == NULL)
		return MS_OK;
	struct buf details;
	struct json_writer w;
	char target[48];
	snprintf(target, sizeof(target), "gateway:%lld", (long long)version);
	ms_buf_init(&details, 4096);
	ms_json_writer_init(&w, &details);
	ms_json_begin_object(&w);
	ms_json_member_text(&w, "comment", ms_slice_sub(edit->comment, 0, 200));
	ms_json_key_lit(&w, "changes");
	ms_json_str(&w, ms_slice_sub(ms_buf_slice(&edit->words), 0, 1000));
	ms_json_end_object(&w);
	const struct audit_entry entry = {.event = AUTH_GATEWAY_CHANGED,
					  .outcome = AUDIT_OK,
					  .actor = *edit->by,
					  .target = ms_slice_cstr(target),
					  .details = ms_buf_ok(&details) ? ms_buf_slice(&details) : MS_SLICE_EMPTY};
	enum ms_err err = ms_audit_append(tx, edit->auth, &entry, info);
	ms_buf_fini(&details);
	return err;
}

static enum ms_err insert(struct store_tx *tx, const struct gateway_edit *edit, int64_t version, struct slice document,
			  struct errinfo *info)
{
	char id[24], context[40];
	write_id(version, id);
	struct slice stored = document;
	if (edit->auth != NULL)
		MS_TRY(ms_auth_seal(edit->auth, context_of(ms_slice_cstr(id), context), document, ms_store_arena(tx),
				    info, &stored));
	struct slice by_id = edit->by != NULL && edit->by->id.n > 0 ? edit->by->id : MS_SLICE_LIT("");
	struct slice by_name = edit->by != NULL && edit->by->name.n > 0 ? edit->by->name : MS_SLICE_LIT("");
	struct slice words = edit->words.n > 0 ? ms_buf_slice(&edit->words) : MS_SLICE_LIT("");
	return ms_store_run(
		tx,
		"INSERT INTO gateway_versions (version, id, time_us, by_id, by_name, comment, changes, sealed, "
		"document) "
		"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		MS_STORE_PARAMS(ms_store_int(version), ms_store_text(ms_slice_cstr(id)),
				ms_store_int(ms_store_now_us(tx)), ms_store_text(by_id), ms_store_text(by_name),
				ms_store_text(edit->comment.n > 0 ? edit->comment : MS_SLICE_LIT("")),
				ms_store_text(words), ms_store_int(edit->auth != NULL), ms_store_blob(stored)),
		info, NULL);
}

enum ms_err ms_history_add(struct store_tx *tx, const struct gateway_edit *edit, int64_t before, struct plan *plan,
			   struct errinfo *info)
{
	struct buf document;
	struct json_writer w;
	ms_buf_init(&document, DOCUMENT_MAX);
	ms_json_writer_init(&w, &document);
	ms_json_value(&w, plan->source);
	enum ms_err err = ms_buf_ok(&document)
				  ? insert(tx, edit, before + 1, ms_buf_slice(&document), info)
				  : ms_fail(info, MS_ERR_NO_MEMORY, "the configuration is too large to be kept");
	if (document.p != NULL)
		ms_wipe(document.p, document.n);
	ms_buf_fini(&document);
	MS_TRY(err);
	plan->version = before + 1;
	MS_TRY(record(tx, edit, before + 1, info));
	return ms_store_notify(tx, MS_GATEWAY_CHANGED, info);
}

// --- After a change of the master key --------------------------------------------------------------

enum ms_err ms_gateway_reseal(struct store_tx *tx, void *arg, struct errinfo *info)
{
	const struct vault *vault = arg;
	struct store_rows rows;
	int64_t after = 0;
	do {
		MS_TRY(ms_store_query(tx,
				      "SELECT version, id, document FROM gateway_versions WHERE sealed = 1 AND version "
				      "> $1 ORDER BY version LIMIT 20",
				      MS_STORE_PARAMS(ms_store_int(after)), RESEAL_PAGE, info, &rows));
		for (size_t i = 0; i < rows.count; i++) {
			char context[40];
			struct slice name = context_of(ms_store_get_text(&rows, i, 1), context),
				     sealed = ms_store_get_blob(&rows, i, 2), plain, fresh;
			after = ms_store_get_int(&rows, i, 0);
			if (ms_vault_is_current(vault, sealed))
				continue;
			MS_TRY(ms_vault_open_sealed(vault, name, sealed, ms_store_arena(tx), info, &plain));
			enum ms_err err = ms_vault_seal(vault, name, plain, ms_store_arena(tx), info, &fresh);
			ms_wipe((void *)(uintptr_t)plain.p, plain.n);
			MS_TRY(err);
			MS_TRY(ms_store_run(tx, "UPDATE gateway_versions SET document = $1 WHERE version = $2",
					    MS_STORE_PARAMS(ms_store_blob(fresh), ms_store_int(after)), info, NULL));
		}
	} while (rows.count == RESEAL_PAGE);
	return MS_OK;
}
