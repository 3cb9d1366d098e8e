// SPDX-License-Identifier: Apache-2.0
// Vault, audit log and signing keys as one part of auth, and sealing everything anew with another master key.
#include <stdio.h>
#include <stdlib.h>

#include "auth/vault.h"

// --- Life --------------------------------------------------------------------------------------------

static enum ms_err count_sealed(struct store_tx *tx, void *arg, struct errinfo *info)
{
	int64_t *ret_count = arg;
	struct store_rows rows;
	MS_TRY(ms_store_query(
		tx, "SELECT (SELECT COUNT(*) FROM signing_keys WHERE length(sealed) > 0) + (SELECT COUNT(*) FROM totp)",
		MS_STORE_NO_PARAMS, 1, info, &rows));
	*ret_count = ms_store_get_int(&rows, 0, 0);
	return MS_OK;
}

enum ms_err ms_auth_vault_new(struct auth *auth, struct errinfo *info)
{
	int64_t sealed = 0;
	auth->vault = calloc(1, sizeof(*auth->vault));
	if (auth->vault == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	MS_TRY(ms_store_read_wait(auth->options.store, count_sealed, &sealed, info));
	// A new key beside things that another one sealed would only hide that it is lost.
	const struct vault_options options = {
		.data_dir = auth->options.data_dir, .master_key = auth->options.master_key, .create = sealed == 0};
	MS_TRY(ms_vault_open(&options, info, &auth->vault->vault));
	if (auth->options.rt != NULL)
		MS_TRY(ms_pool_new(&(struct pool_options){.name = "keeper", .threads = 1, .depth = 16}, info,
				   &auth->vault->keeper));
	MS_TRY(ms_audit_new(auth, info));
	return ms_signing_new(auth, info);
}

void ms_auth_vault_stop(struct auth *auth)
{
	if (auth->vault == NULL)
		return;
	ms_pool_free(auth->vault->keeper);
	auth->vault->keeper = NULL;
	ms_audit_stop(auth);
}

void ms_auth_vault_free(struct auth *auth)
{
	if (auth->vault == NULL)
		return;
	ms_signing_free(auth);
	ms_audit_free(auth);
	ms_vault_free(auth->vault->vault);
	free(auth->vault);
	auth->vault = NULL;
}

// --- A new master key ----------------------------------------------------------------------------------

// Every column of the store that holds sealed secrets: rows as (id, context, sealed), and how one is written back. Who seals
// something new in the store adds a row.
static const struct sealed_column {
	const char *select; // ids behind $1, at most 500, by id
	const char *update; // sealed $1 of id $2
} sealed_columns[] = {
	{"SELECT kid, purpose || '-key:' || kid, sealed FROM signing_keys WHERE length(sealed) > 0 AND kid > $1 ORDER "
	 "BY kid LIMIT 500",
	 "UPDATE signing_keys SET sealed = $1 WHERE kid = $2"},
	{"SELECT user_id, 'totp:' || user_id, sealed FROM totp WHERE user_id > $1 ORDER BY user_id LIMIT 500",
	 "UPDATE totp SET sealed = $1 WHERE user_id = $2"},
};
#define RESEAL_PAGE 500

struct reseal {
	const struct vault *vault;
	size_t count;
};

static enum ms_err reseal_row(struct store_tx *tx, struct reseal *job, const struct sealed_column *column,
			      const struct store_rows *rows, size_t i, struct errinfo *info)
{
	struct slice id = ms_store_get_text(rows, i, 0), context = ms_store_get_text(rows, i, 1);
	struct slice sealed = ms_store_get_blob(rows, i, 2), plain, fresh;
	if (ms_vault_is_current(job->vault, sealed))
		return MS_OK;
	struct arena *arena = ms_store_arena(tx);
	MS_TRY(ms_vault_open_sealed(job->vault, context, sealed, arena, info, &plain));
	enum ms_err err = ms_vault_seal(job->vault, context, plain, arena, info, &fresh);
	ms_wipe((void *)(uintptr_t)plain.p, plain.n);
	MS_TRY(err);
	job->count++;
	return ms_store_run(tx, column->update, MS_STORE_PARAMS(ms_store_blob(fresh), ms_store_text(id)), info, NULL);
}

// All in one transaction: afterwards nothing needs the old key, or nothing has changed.
static enum ms_err reseal_all(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct reseal *job = arg;
	job->count = 0;
	for (size_t c = 0; c < MS_ARRAY_LEN(sealed_columns); c++) {
		struct slice after = MS_SLICE_LIT("");
		struct store_rows rows;
		do {
			MS_TRY(ms_store_query(tx, sealed_columns[c].select, MS_STORE_PARAMS(ms_store_text(after)),
					      RESEAL_PAGE, info, &rows));
			for (size_t i = 0; i < rows.count; i++)
				MS_TRY(reseal_row(tx, job, &sealed_columns[c], &rows, i, info));
			if (rows.count > 0)
				after = ms_store_get_text(&rows, rows.count - 1, 0);
		} while (rows.count == RESEAL_PAGE);
	}
	return MS_OK;
}

enum ms_err ms_vault_rekey(struct vault *vault, struct store *store, struct vault_rekey *rekey, struct errinfo *info)
{
	struct reseal job = {.vault = vault};
	if (rekey->add)
		MS_TRY(ms_vault_add_key(vault, info));
	MS_TRY(ms_store_write_wait(store, reseal_all, &job, info));
	rekey->resealed = job.count;
	return MS_OK;
}
