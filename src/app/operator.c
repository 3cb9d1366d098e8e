// SPDX-License-Identifier: Apache-2.0
#include "app/operator.h"

#include "app/store.h"

#include <stdio.h>
#include <unistd.h>

#include "rt/rt.h"

void ms_operator_init(struct operator* op)
{
	*op = (struct operator){0};
	snprintf(op->who, sizeof(op->who), "uid %u", (unsigned)getuid());
	op->actor = ms_auth_actor_console(ms_slice_cstr(op->who));
}

// A file of SQLite that is not there was made by nobody yet.
static enum ms_err store_exists(const struct settings *settings, struct errinfo *info, bool *ret_exists)
{
	struct arena arena;
	struct file_stat stat;
	struct errinfo ignored;
	const char *url;
	ms_arena_init(&arena, 1024, (size_t)1 << 20);
	ms_errinfo_init(&ignored);
	enum ms_err err = ms_app_store_url(settings, &arena, info, &url);
	if (err == MS_OK)
		*ret_exists = strncmp(url, "sqlite:", 7) != 0 || ms_file_stat(url + 7, &ignored, &stat) == MS_OK;
	ms_arena_fini(&arena);
	return err;
}

enum ms_err ms_operator_begin(struct operator* op, const struct settings *settings, struct errinfo *info)
{
	bool exists = false;
	ms_operator_init(op);
	if (!settings->auth)
		return MS_OK;
	MS_TRY(store_exists(settings, info, &exists));
	if (!exists)
		return MS_OK;
	struct errinfo why;
	ms_errinfo_init(&why);
	enum ms_err err = ms_state_open(&(struct state_options){.settings = settings}, &why, &op->state);
	if (err != MS_OK)
		return ms_fail(info, err,
			       "nothing was changed, because it could not be recorded in the audit log: %.400s",
			       why.message);
	op->records = true;
	return MS_OK;
}

static enum ms_err append(struct store_tx *tx, void *arg, struct errinfo *info)
{
	return ms_audit_append(tx, NULL, arg, info);
}

enum ms_err ms_operator_record(struct operator* op, enum auth_event event, const char *target, const char *details,
			       struct errinfo *info)
{
	struct audit_entry entry = {
		.event = event, .actor = op->actor, .target = ms_slice_cstr(target), .details = ms_slice_cstr(details)};
	struct errinfo why;
	if (!op->records)
		return MS_OK;
	ms_errinfo_init(&why);
	enum ms_err err = ms_store_write_wait(op->state.store, append, &entry, &why);
	return err == MS_OK
		       ? MS_OK
		       : ms_fail(info, err, "the change is done, but could not be recorded in the audit log: %.400s",
				 why.message);
}

void ms_operator_end(struct operator* op)
{
	if (op->records)
		ms_state_close(&op->state);
	op->records = false;
}
