// SPDX-License-Identifier: Apache-2.0
// `mainstay audit …`: the audit log from the command line.
#include <errno.h>
#include <stdlib.h>

#include "app/commands.h"
#include "app/progress.h"
#include "app/state.h"
#include "app/table.h"
#include "app/width.h"
#include "rt/rt.h"
#include "json/json.h"

#define OUTPUT_MAX ((size_t)1 << 28)
#define HEADS_FILE_MAX ((size_t)1 << 30)
#define LIST_DEFAULT 50
#define LIST_MOST 100000

struct task {
	struct cli *cli;
	struct config *config;
	struct state state;
	struct audit_filter filter;
	size_t limit, listed; // rows asked for, and had
	struct table table;
	struct buf out; // JSON lines of a page
	size_t count;   // of the last page
	int64_t last;
};

static enum cli_exit begin(struct cli *cli, struct task *task)
{
	*task = (struct task){.cli = cli};
	return ms_state_of_command(cli, &task->config, &task->state);
}

static void end(struct task *task)
{
	ms_state_close(&task->state);
	ms_config_free(task->config);
}

// --- verify ------------------------------------------------------------------------------------------

static void show_progress(int64_t done, int64_t total, void *arg)
{
	struct progress *progress = arg;
	progress->total = (uint64_t)MS_MAX(total, (int64_t)0);
	ms_progress_update(progress, (uint64_t)done);
}

static void report_json(const struct audit_report *r, struct buf *out)
{
	struct json_writer w;
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "whole");
	ms_json_bool(&w, r->fault == AUDIT_WHOLE);
	ms_json_key_lit(&w, "entries");
	ms_json_i64(&w, r->entries);
	ms_json_key_lit(&w, "signed_heads");
	ms_json_i64(&w, r->heads);
	ms_json_key_lit(&w, "kept_heads");
	ms_json_i64(&w, r->kept);
	if (r->fault != AUDIT_WHOLE) {
		ms_json_key_lit(&w, "fault");
		ms_json_cstr(&w, ms_audit_fault_name(r->fault));
		ms_json_key_lit(&w, "seq");
		ms_json_i64(&w, r->seq);
		ms_json_key_lit(&w, "message");
		ms_json_cstr(&w, r->message);
	}
	ms_json_end_object(&w);
	ms_buf_append_char(out, '\n');
}

static void report_text(const struct audit_report *r, struct buf *out)
{
	if (r->fault == AUDIT_WHOLE) {
		ms_buf_printf(out, "The audit log is whole: %lld entries, %lld signed heads", (long long)r->entries,
			      (long long)r->heads);
		if (r->kept > 0)
			ms_buf_printf(out, ", %lld kept ones", (long long)r->kept);
		ms_buf_append_cstr(out, ".\n");
		return;
	}
	ms_buf_printf(out, "The audit log is not whole. First bad entry: %lld (%s)\n  ", (long long)r->seq,
		      ms_audit_fault_name(r->fault));
	ms_width_append(out, ms_slice_cstr(r->message), sizeof(r->message)); // a key's name in it may be anything
	ms_buf_printf(out, "\n  %lld entries before it are good.\n", (long long)r->entries);
}

static enum cli_exit say(struct cli *cli, const struct audit_report *report)
{
	struct buf out;
	ms_buf_init(&out, 8192);
	if (ms_cli_option(cli, "json") != NULL)
		report_json(report, &out);
	else
		report_text(report, &out);
	enum cli_exit status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	return status != CLI_OK || report->fault == AUDIT_WHOLE ? status : CLI_FAILED;
}

static enum ms_err verify(struct task *task, struct errinfo *info, struct audit_report *ret_report)
{
	const struct settings *s = ms_config_settings(task->config);
	const char *path = ms_cli_option(task->cli, "head");
	struct audit_verify_options options = {.store = task->state.store, .progress = show_progress};
	struct progress progress;
	struct vault *vault;
	struct slice kept = MS_SLICE_EMPTY;
	if (path != NULL)
		MS_TRY(ms_file_read(path, HEADS_FILE_MAX, info, &kept));
	enum ms_err err = ms_vault_open(
		&(struct vault_options){.data_dir = s->data_dir, .master_key = s->identity_master_key}, info, &vault);
	if (err == MS_OK) {
		ms_progress_begin(&progress, task->cli->err, "verify", PROGRESS_ITEMS, 0);
		options.vault = vault;
		options.kept = kept;
		options.arg = &progress;
		err = ms_audit_verify(&options, info, ret_report);
		ms_progress_end(&progress);
		ms_vault_free(vault);
	}
	free((void *)(uintptr_t)kept.p);
	return err;
}

static enum cli_exit run_verify(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	struct audit_report report;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	enum ms_err err = verify(&task, &info, &report);
	end(&task);
	return err == MS_OK ? say(cli, &report) : ms_cli_fail(cli, &info);
}

static const struct cli_option verify_options[] = {
	{.name = "head",
	 .value = "FILE",
	 .help = "Heads that were kept elsewhere (audit-heads.jsonl, GET /api/v1/auth/audit/head)"},
	{.name = "json", .help = "For programs: one JSON object"},
};

const struct cli_command ms_cmd_audit_verify = {
	.noun = "audit",
	.verb = "verify",
	.arguments = "",
	.summary = "Check the audit log from its first entry to its last",
	.details = "Names the first bad entry and what was done: changed, replaced, missing, inserted, reordered,\n"
		   "truncated, rewritten, signature. Exit status 1 when there is one. A log that was cut off together\n"
		   "with its heads shows only beside a head that was kept elsewhere: --head.\n",
	.options = verify_options,
	.option_count = MS_ARRAY_LEN(verify_options),
	.settings = true,
	.run = run_verify,
};

// --- list, export ------------------------------------------------------------------------------------

static enum cli_exit read_time(struct cli *cli, const char *name, int64_t *ret_us)
{
	const char *text = ms_cli_option(cli, name);
	int64_t ns;
	if (text == NULL)
		return CLI_OK;
	if (!ms_text_parse_time(ms_slice_cstr(text), &ns))
		return ms_cli_usage(cli, "--%s must be a date or a time such as 2026-11-20T08:30:00Z, not \"%.64s\"",
				    name, text);
	*ret_us = ns / 1000;
	return CLI_OK;
}

static enum cli_exit read_filter(struct cli *cli, struct audit_filter *filter)
{
	*filter = (struct audit_filter){.actor = ms_cli_option_text(cli, "actor"),
					.event = ms_cli_option_text(cli, "event"),
					.target = ms_cli_option_text(cli, "target"),
					.outcome = ms_cli_option_text(cli, "outcome")};
	enum cli_exit status = read_time(cli, "since", &filter->from_us);
	return status == CLI_OK ? read_time(cli, "until", &filter->until_us) : status;
}

static const char *text_of(struct arena *arena, struct slice text)
{
	return text.n > 0 ? ms_arena_cstr(arena, text) : NULL;
}

static enum ms_err add_row(struct task *task, const struct audit_record *r, struct errinfo *info)
{
	struct arena *arena = &task->cli->arena;
	char time[MS_RFC3339_SIZE], seq[24];
	snprintf(seq, sizeof(seq), "%lld", (long long)r->seq);
	bool plausible = r->time_us > 0 && r->time_us < INT64_MAX / 1000;
	ms_text_rfc3339(plausible ? r->time_us * 1000 : 0, time);
	struct slice actor = r->actor_name.n > 0 ? r->actor_name : r->actor_id.n > 0 ? r->actor_id : r->actor_kind;
	const char *cells[] = {seq,
			       time,
			       text_of(arena, r->event),
			       text_of(arena, r->outcome),
			       text_of(arena, actor),
			       text_of(arena, r->address),
			       text_of(arena, r->target),
			       text_of(arena, r->details)};
	enum ms_err err = ms_table_add(&task->table, cells);
	return err == MS_OK ? MS_OK : ms_fail(info, err, "the list is too large; give --limit or a filter");
}

// May run again, but a read does so only before its first row.
static enum ms_err list_page(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct audit_record *records;
	struct json_writer w;
	size_t max = MS_MIN(task->limit - task->listed, (size_t)MS_AUDIT_LIST_MAX);
	MS_TRY(ms_audit_list(tx, &task->filter, max, info, &records, &task->count));
	ms_buf_clear(&task->out);
	for (size_t i = 0; i < task->count; i++) {
		if (task->table.columns != NULL) {
			MS_TRY(add_row(task, &records[i], info));
			continue;
		}
		ms_json_writer_init(&w, &task->out);
		ms_audit_write(&w, &records[i]);
		ms_buf_append_char(&task->out, '\n');
	}
	task->last = task->count > 0 ? records[task->count - 1].seq : 0;
	return ms_buf_ok(&task->out) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

// Page after page; JSON lines are printed as they come.
static enum ms_err list_all(struct task *task, struct progress *progress, struct errinfo *info)
{
	do {
		MS_TRY(ms_store_read_wait(task->state.store, list_page, task, info));
		if (task->out.n > 0 && ms_cli_print(task->cli, &task->out) != CLI_OK)
			return ms_fail(info, MS_ERR_IO, "cannot write the output");
		task->listed += task->count;
		task->filter.cursor = task->last;
		if (progress != NULL)
			ms_progress_update(progress, task->listed);
	} while (task->count > 0 && task->listed < task->limit);
	return MS_OK;
}

static enum cli_exit print_table(struct task *task)
{
	struct buf out;
	ms_buf_init(&out, OUTPUT_MAX);
	if (task->table.row_count > 0)
		ms_table_write_text(&task->table, ms_width_of_terminal(task->cli->out), &out);
	else
		fputs("No entries.\n", task->cli->err);
	enum cli_exit status = ms_cli_print(task->cli, &out);
	ms_buf_fini(&out);
	return status;
}

static enum cli_exit run_list(struct cli *cli)
{
	static const struct table_column columns[] = {
		{"SEQ", "seq", TABLE_NUMBER},     {"TIME", "time", TABLE_TEXT},
		{"EVENT", "event", TABLE_TEXT},   {"OUTCOME", "outcome", TABLE_TEXT},
		{"ACTOR", "actor", TABLE_TEXT},   {"ADDRESS", "address", TABLE_TEXT},
		{"TARGET", "target", TABLE_TEXT}, {"DETAILS", "details", TABLE_TEXT},
	};
	struct task task;
	struct audit_filter filter;
	struct errinfo info;
	uint64_t limit = LIST_DEFAULT;
	const char *text = ms_cli_option(cli, "limit");
	ms_errinfo_init(&info);
	if (text != NULL && (!ms_slice_to_u64(ms_slice_cstr(text), &limit) || limit < 1 || limit > LIST_MOST))
		return ms_cli_usage(cli, "--limit must be a number from 1 to %d", LIST_MOST);
	enum cli_exit status = read_filter(cli, &filter);
	if (status == CLI_OK)
		status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.filter = filter;
	task.limit = (size_t)limit;
	bool json = ms_cli_option(cli, "json") != NULL;
	if (!json)
		ms_table_init(&task.table, &cli->arena, columns, MS_ARRAY_LEN(columns));
	ms_buf_init(&task.out, OUTPUT_MAX);
	enum ms_err err = list_all(&task, NULL, &info);
	ms_buf_fini(&task.out);
	end(&task);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	return json ? CLI_OK : print_table(&task);
}

static enum cli_exit run_export(struct cli *cli)
{
	struct task task;
	struct audit_filter filter;
	struct errinfo info;
	struct progress progress;
	ms_errinfo_init(&info);
	enum cli_exit status = read_filter(cli, &filter);
	if (status == CLI_OK)
		status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.filter = filter;
	task.filter.oldest_first = true;
	task.limit = SIZE_MAX;
	ms_buf_init(&task.out, OUTPUT_MAX);
	ms_progress_begin(&progress, cli->err, "export", PROGRESS_ITEMS, 0);
	enum ms_err err = list_all(&task, &progress, &info);
	ms_progress_end(&progress);
	ms_buf_fini(&task.out);
	end(&task);
	return err == MS_OK ? CLI_OK : ms_cli_fail(cli, &info);
}

#define FILTER_OPTIONS                                                                                         \
	{.name = "actor", .value = "NAME", .help = "Id or name of who did it"},                                \
		{.name = "event", .value = "EVENT", .help = "Such as login, key.created, model.changed"},      \
		{.name = "target", .value = "TARGET", .help = "Such as user:ID, model:NAME"},                  \
		{.name = "outcome", .value = "OUTCOME", .help = "ok, refused or failed"},                      \
		{.name = "since", .value = "TIME", .help = "The first moment: 2026-11-20, 2026-11-20T08:30Z"}, \
	{                                                                                                      \
		.name = "until", .value = "TIME", .help = "The moment behind the last one"                     \
	}

static const struct cli_option list_options[] = {
	FILTER_OPTIONS,
	{.name = "limit", .value = "COUNT", .help = "Most entries, the newest first; default 50"},
	{.name = "json", .help = "For programs: one JSON object a line"},
};

const struct cli_command ms_cmd_audit_list = {
	.noun = "audit",
	.verb = "list",
	.arguments = "",
	.summary = "List the newest entries of the audit log",
	.options = list_options,
	.option_count = MS_ARRAY_LEN(list_options),
	.settings = true,
	.run = run_list,
};

static const struct cli_option export_options[] = {FILTER_OPTIONS};

const struct cli_command ms_cmd_audit_export = {
	.noun = "audit",
	.verb = "export",
	.arguments = "",
	.summary = "Write the audit log, oldest entry first, as JSON lines",
	.details = "With the hashes, so that the copy can be checked elsewhere (docs/audit.md says how).\n",
	.options = export_options,
	.option_count = MS_ARRAY_LEN(export_options),
	.settings = true,
	.run = run_export,
};
