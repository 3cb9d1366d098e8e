// SPDX-License-Identifier: Apache-2.0
// `mainstay gateway …`: the gateway's configuration, on the store itself; servers take a change up within moments.
#include <stdio.h>
#include <stdlib.h>

#include "app/admin.h"
#include "app/commands.h"
#include "app/table.h"
#include "app/width.h"
#include "gateway/gateway.h"
#include "rt/rt.h"
#include "json/json.h"

#define FILE_MAX ((size_t)16 << 20)
#define OUTPUT_MAX ((size_t)1 << 28)
#define HISTORY_MAX 1000
#define LINE_MAX_WIDTH 1000

// One command: what it was asked for, and what came of it.
struct task {
	struct cli *cli;
	struct admin admin;
	struct gateway_edit edit;
	struct slice file; // malloc'd
	int64_t version;
	size_t limit;
	struct table *table;
	bool with_secrets;
	struct buf out;
};

// One a line. They hold names of the file, which may be anything.
static void print_problems(struct cli *cli, const struct buf *problems)
{
	struct slice rest = ms_buf_slice(problems), line;
	struct buf out;
	ms_buf_init(&out, OUTPUT_MAX);
	while (rest.n > 0 && ms_slice_next(&rest, '\n', &line)) {
		if (line.n == 0)
			continue;
		ms_width_append(&out, line, LINE_MAX_WIDTH);
		ms_buf_append_char(&out, '\n');
	}
	fwrite(out.n > 0 ? out.p : "", 1, out.n, cli->err);
	ms_buf_fini(&out);
}

static enum cli_exit begin(struct cli *cli, struct task *task)
{
	*task = (struct task){.cli = cli};
	enum cli_exit status = ms_admin_begin(cli, &task->admin);
	if (status != CLI_OK)
		return status;
	// A server without auth could not read what is sealed.
	task->edit.auth = ms_config_settings(task->admin.config)->auth ? task->admin.state.auth : NULL;
	task->edit.by = &task->admin.op.actor;
	task->edit.expected = -1;
	ms_buf_init(&task->edit.words, OUTPUT_MAX);
	ms_buf_init(&task->out, OUTPUT_MAX);
	return CLI_OK;
}

// Prints what is in task->out, or what went wrong: all problems of a file.
static enum cli_exit end(struct task *task, enum ms_err err, const struct errinfo *info)
{
	enum cli_exit status = CLI_FAILED;
	if (err == MS_OK)
		status = ms_cli_print(task->cli, &task->out);
	else if (err == MS_ERR_CONFIG && task->edit.words.n > 0)
		print_problems(task->cli, &task->edit.words);
	else
		status = ms_cli_fail(task->cli, info);
	free((void *)(uintptr_t)task->file.p);
	ms_buf_fini(&task->edit.words);
	ms_buf_fini(&task->out);
	ms_admin_end(&task->admin);
	return status;
}

static const struct cli_option json_option[] = {{.name = "json", .help = "For programs: JSON"}};

static bool wants_json(const struct task *task)
{
	return ms_cli_option(task->cli, "json") != NULL;
}

// --- check -------------------------------------------------------------------------------------------

static enum cli_exit run_check(struct cli *cli)
{
	struct errinfo info;
	struct slice text;
	struct buf problems;
	ms_errinfo_init(&info);
	if (ms_file_read(cli->arguments[0], FILE_MAX, &info, &text) != MS_OK)
		return ms_cli_fail(cli, &info);
	ms_buf_init(&problems, OUTPUT_MAX);
	bool json = ms_cli_option(cli, "json") != NULL;
	enum ms_err err = ms_gateway_check(text, cli->arguments[0], json, &problems, &info);
	enum cli_exit status = err == MS_OK ? CLI_OK : CLI_FAILED;
	if (json)
		status = ms_cli_print(cli, &problems) == CLI_OK ? status : CLI_FAILED;
	else if (err == MS_OK)
		fprintf(cli->out, "%s: no problems\n", cli->arguments[0]);
	else if (problems.n > 0)
		print_problems(cli, &problems);
	else
		status = ms_cli_fail(cli, &info);
	ms_buf_fini(&problems);
	free((void *)(uintptr_t)text.p);
	return status;
}

const struct cli_command ms_cmd_gateway_check = {
	.noun = "gateway",
	.verb = "check",
	.arguments = "FILE",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Check a Kong declarative file",
	.details = "Every problem is one line with file, line, place, what was found and what would be right.\nNothing "
		   "is changed, no server is asked.\n",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.run = run_check,
};

// --- apply, diff, rollback -----------------------------------------------------------------------------

static enum ms_err apply(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	return ms_gateway_apply(tx, &task->edit, info);
}

static enum ms_err roll_back(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	return ms_gateway_rollback(tx, task->version, &task->edit, info);
}

static void write_lines(struct json_writer *w, struct slice words)
{
	struct slice line;
	ms_json_begin_array(w);
	while (words.n > 0 && ms_slice_next(&words, '\n', &line)) {
		if (line.n > 0)
			ms_json_str(w, line);
	}
	ms_json_end_array(w);
}

static void write_outcome(struct task *task)
{
	const struct gateway_edit *e = &task->edit;
	if (!wants_json(task)) {
		ms_buf_append_slice(&task->out, ms_buf_slice(&e->words));
		if (e->only_look)
			ms_buf_append_cstr(&task->out, e->changed ? "" : "nothing would change\n");
		else if (e->changed)
			ms_buf_printf(&task->out, "version %lld\n", (long long)e->version);
		else
			ms_buf_printf(&task->out, "nothing changed; version %lld\n", (long long)e->version);
		return;
	}
	struct json_writer w;
	ms_json_writer_init(&w, &task->out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "version");
	ms_json_i64(&w, e->version);
	ms_json_key_lit(&w, "changed");
	ms_json_bool(&w, e->changed);
	ms_json_key_lit(&w, "changes");
	write_lines(&w, ms_buf_slice(&e->words));
	ms_json_end_object(&w);
	ms_buf_append_char(&task->out, '\n');
}

// Of the commands that change something.
static enum ms_err read_change_options(struct task *task, struct errinfo *info)
{
	task->edit.comment = ms_cli_option_text(task->cli, "comment");
	const char *text = ms_cli_option(task->cli, "if-version");
	if (text == NULL || (ms_slice_to_i64(ms_slice_cstr(text), &task->edit.expected) && task->edit.expected >= 0))
		return MS_OK;
	return ms_fail(info, MS_ERR_INVALID, "--if-version: \"%.40s\" is no version", text);
}

static enum cli_exit run_with_file(struct cli *cli, bool only_look)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.edit.name = cli->arguments[0];
	task.edit.only_look = only_look;
	enum ms_err err = ms_file_read(cli->arguments[0], FILE_MAX, &info, &task.file);
	if (err == MS_OK && !only_look)
		err = read_change_options(&task, &info);
	task.edit.text = task.file;
	if (err == MS_OK)
		err = only_look ? ms_store_read_wait(task.admin.state.store, apply, &task, &info)
				: ms_store_write_wait(task.admin.state.store, apply, &task, &info);
	if (err == MS_OK)
		write_outcome(&task);
	return end(&task, err, &info);
}

static enum cli_exit run_apply(struct cli *cli)
{
	return run_with_file(cli, false);
}

static const struct cli_option change_options[] = {
	{.name = "comment", .value = "TEXT", .help = "Why, for the history"},
	{.name = "if-version", .value = "N", .help = "Only if version N is in force"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_gateway_apply = {
	.noun = "gateway",
	.verb = "apply",
	.arguments = "FILE",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Put a Kong declarative file in force",
	.details = "The file is the whole configuration: what it does not name is removed. It is checked and swapped "
		   "whole.\n"
		   "Servers on the same store take it up within moments; from then on it stands in place of "
		   "gateway.file.\n",
	.options = change_options,
	.option_count = MS_ARRAY_LEN(change_options),
	.settings = true,
	.run = run_apply,
};

static enum cli_exit run_diff(struct cli *cli)
{
	return run_with_file(cli, true);
}

const struct cli_command ms_cmd_gateway_diff = {
	.noun = "gateway",
	.verb = "diff",
	.arguments = "FILE",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "What a Kong declarative file would change",
	.details = "Compared with the newest version of the store. Secrets are not shown.\n",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_diff,
};

static enum cli_exit run_rollback(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	int64_t version;
	ms_errinfo_init(&info);
	if (!ms_slice_to_i64(ms_slice_cstr(cli->arguments[0]), &version) || version <= 0)
		return ms_cli_usage(cli, "\"%.40s\" is no version; `mainstay gateway history` lists them",
				    cli->arguments[0]);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.version = version;
	enum ms_err err = read_change_options(&task, &info);
	if (err == MS_OK)
		err = ms_store_write_wait(task.admin.state.store, roll_back, &task, &info);
	if (err == MS_OK)
		write_outcome(&task);
	return end(&task, err, &info);
}

const struct cli_command ms_cmd_gateway_rollback = {
	.noun = "gateway",
	.verb = "rollback",
	.arguments = "VERSION",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Bring an earlier version back, as a new one",
	.options = change_options,
	.option_count = MS_ARRAY_LEN(change_options),
	.settings = true,
	.run = run_rollback,
};

// --- switch --------------------------------------------------------------------------------------------

struct switch_task {
	struct task task;
	struct gateway_switch sw;
};

static enum ms_err look(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct switch_task *t = arg;
	return ms_gateway_switch_look(tx, &t->sw, info);
}

static enum ms_err do_switch(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct switch_task *t = arg;
	return ms_gateway_switch(tx, &t->sw, info);
}

static const char *name_of(const struct switch_task *t, struct slice group)
{
	const char *text = group.n > 0 ? ms_arena_cstr(&t->task.cli->arena, group) : "all targets";
	return text != NULL ? text : "";
}

static enum ms_err switch_now(struct switch_task *t, struct errinfo *info)
{
	struct cli *cli = t->task.cli;
	struct store *store = t->task.admin.state.store;
	MS_TRY(ms_store_read_wait(store, look, t, info));
	const char *to = name_of(t, t->sw.group);
	if (!t->sw.back && ms_cli_option(cli, "no-check") == NULL) {
		struct buf findings;
		ms_buf_init(&findings, OUTPUT_MAX);
		enum ms_err err = ms_gateway_switch_check(&t->sw, ms_cli_option_text(cli, "path"), &findings, info);
		print_problems(cli, &findings);
		ms_buf_fini(&findings);
		MS_TRY(err);
	}
	if (t->sw.edit.comment.n == 0) {
		const char *comment =
			ms_arena_printf(&cli->arena, "switch of %.*s to %s", MS_SLICE_ARG(t->sw.upstream), to);
		t->sw.edit.comment = ms_slice_cstr(comment != NULL ? comment : "switch");
	}
	MS_TRY(ms_store_write_wait(store, do_switch, t, info));
	if (wants_json(&t->task))
		return MS_OK;
	ms_buf_printf(&t->task.out, "%.*s: %s -> %s\n", MS_SLICE_ARG(t->sw.upstream), name_of(t, t->sw.previous), to);
	return MS_OK;
}

static enum cli_exit run_switch(struct cli *cli)
{
	struct switch_task t = {0};
	struct errinfo info;
	bool back = ms_cli_option(cli, "back") != NULL;
	ms_errinfo_init(&info);
	if (cli->argument_count != (back ? 1 : 2))
		return ms_cli_usage(cli, back ? "--back knows the group itself: name the upstream alone"
					      : "expected an upstream and the group that is to get its traffic");
	if (ms_cli_option(cli, "path") != NULL && (back || ms_cli_option(cli, "no-check") != NULL))
		return ms_cli_usage(cli, "--path is for the check, which is not made");
	if (ms_cli_option(cli, "path") != NULL && ms_cli_option(cli, "path")[0] != '/')
		return ms_cli_usage(cli, "--path: expected a path that begins with /");
	enum cli_exit status = begin(cli, &t.task);
	if (status != CLI_OK)
		return status;
	enum ms_err err = read_change_options(&t.task, &info);
	// The task's edit is given over: it holds the words of the outcome.
	t.sw = (struct gateway_switch){.upstream = ms_slice_cstr(cli->arguments[0]),
				       .group = back ? MS_SLICE_EMPTY : ms_slice_cstr(cli->arguments[1]),
				       .back = back,
				       .edit = t.task.edit,
				       .arena = &cli->arena};
	t.sw.edit.name = "switch";
	if (err == MS_OK)
		err = switch_now(&t, &info);
	t.task.edit = t.sw.edit;
	if (err == MS_OK)
		write_outcome(&t.task);
	ms_gateway_switch_fini(&t.sw);
	return end(&t.task, err, &info);
}

static const struct cli_option switch_options[] = {
	{.name = "back", .help = "To the group before, at once and without a check"},
	{.name = "no-check", .help = "Switch without asking the targets"},
	{.name = "path",
	 .value = "PATH",
	 .help = "What they are asked for; default: the path of the active health check"},
	{.name = "comment", .value = "TEXT", .help = "Why, for the history"},
	{.name = "if-version", .value = "N", .help = "Only if version N is in force"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_gateway_switch = {
	.noun = "gateway",
	.verb = "switch",
	.arguments = "UPSTREAM [GROUP]",
	.min_arguments = 1,
	.max_arguments = 2,
	.summary = "Send an upstream's traffic to another group of its targets",
	.details =
		"Each target of the group is asked first, from this machine: a status below 400 within 5 s is well. "
		"One "
		"that is not\n"
		"stops the switch. It is a new version of the configuration, which servers on the same store take up "
		"within moments,\n"
		"for all requests at once; --back is the way back, as another version.\n",
	.options = switch_options,
	.option_count = MS_ARRAY_LEN(switch_options),
	.settings = true,
	.run = run_switch,
};

// --- history -------------------------------------------------------------------------------------------

static enum ms_err list(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct arena *arena = &task->cli->arena;
	struct gateway_version *items;
	size_t count;
	MS_TRY(ms_gateway_versions(tx, 0, task->limit, info, &items, &count));
	for (size_t i = 0; i < count; i++) {
		char time[MS_RFC3339_SIZE];
		(void)ms_text_rfc3339(items[i].time_us * 1000, time);
		struct slice changes = items[i].changes, first = MS_SLICE_EMPTY;
		size_t lines = 0;
		for (struct slice line; changes.n > 0 && ms_slice_next(&changes, '\n', &line) && line.n > 0; lines++)
			first = lines == 0 ? line : first;
		const char *more = lines > 1 ? ms_arena_printf(arena, " (and %zu more)", lines - 1) : "";
		const char *cells[] = {ms_arena_printf(arena, "%lld", (long long)items[i].version),
				       ms_arena_cstr(arena, ms_slice_cstr(time)), ms_arena_cstr(arena, items[i].by),
				       ms_arena_cstr(arena, items[i].comment),
				       more != NULL ? ms_arena_printf(arena, "%.*s%s", MS_SLICE_ARG(first), more)
						    : NULL};
		for (size_t k = 0; k < MS_ARRAY_LEN(cells); k++) {
			if (cells[k] == NULL)
				return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
		}
		MS_TRY(ms_table_add(task->table, cells));
	}
	return MS_OK;
}

static enum cli_exit run_history(struct cli *cli)
{
	static const struct table_column columns[] = {
		{"VERSION", "version", TABLE_NUMBER}, {"TIME", "time", TABLE_TEXT},       {"BY", "by", TABLE_TEXT},
		{"COMMENT", "comment", TABLE_TEXT},   {"CHANGES", "changes", TABLE_TEXT},
	};
	struct task task;
	struct errinfo info;
	struct table table;
	uint64_t limit = 20;
	const char *text = ms_cli_option(cli, "limit");
	ms_errinfo_init(&info);
	if (text != NULL && (!ms_slice_to_u64(ms_slice_cstr(text), &limit) || limit < 1 || limit > HISTORY_MAX))
		return ms_cli_usage(cli, "--limit: expected 1 to %d", HISTORY_MAX);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	ms_table_init(&table, &cli->arena, columns, MS_ARRAY_LEN(columns));
	task.table = &table;
	task.limit = (size_t)limit;
	enum ms_err err = ms_store_read_wait(task.admin.state.store, list, &task, &info);
	if (err == MS_OK && wants_json(&task))
		ms_table_write_json(&table, &task.out);
	else if (err == MS_OK)
		ms_table_write_text(&table, ms_width_of_terminal(cli->out), &task.out);
	return end(&task, err, &info);
}

static const struct cli_option history_options[] = {
	{.name = "limit", .value = "N", .help = "How many at most: 1 to 1000, default 20"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_gateway_history = {
	.noun = "gateway",
	.verb = "history",
	.arguments = "",
	.summary = "List the versions of the configuration, newest first",
	.options = history_options,
	.option_count = MS_ARRAY_LEN(history_options),
	.settings = true,
	.run = run_history,
};

// --- export --------------------------------------------------------------------------------------------

static enum ms_err export_document(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	return ms_gateway_export(tx, task->edit.auth, task->version, !task->with_secrets, &task->out, info);
}

static enum cli_exit run_export(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	int64_t version = 0;
	const char *text = ms_cli_option(cli, "version");
	ms_errinfo_init(&info);
	if (text != NULL && (!ms_slice_to_i64(ms_slice_cstr(text), &version) || version <= 0))
		return ms_cli_usage(cli, "--version: \"%.40s\" is no version; `mainstay gateway history` lists them",
				    text);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.version = version;
	task.with_secrets = ms_cli_option(cli, "secrets") != NULL;
	enum ms_err err = ms_store_read_wait(task.admin.state.store, export_document, &task, &info);
	ms_buf_append_char(&task.out, '\n');
	return end(&task, err, &info);
}

static const struct cli_option export_options[] = {
	{.name = "version", .value = "N", .help = "An earlier version"},
	{.name = "secrets", .help = "With keys and passwords, which are hidden else"},
};

const struct cli_command ms_cmd_gateway_export = {
	.noun = "gateway",
	.verb = "export",
	.arguments = "",
	.summary = "Print the configuration as a Kong declarative file (JSON)",
	.options = export_options,
	.option_count = MS_ARRAY_LEN(export_options),
	.settings = true,
	.run = run_export,
};
