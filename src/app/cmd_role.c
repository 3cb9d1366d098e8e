// SPDX-License-Identifier: Apache-2.0
// `mainstay role …`: roles from the command line, on the store itself.
#include <stdlib.h>

#include "app/admin.h"
#include "app/commands.h"
#include "app/table.h"
#include "app/width.h"
#include "rt/rt.h"
#include "json/json.h"

#define OUTPUT_MAX ((size_t)1 << 28)

// One command: what it was asked for, and what came of it.
struct task {
	struct cli *cli;
	struct admin admin;
	struct auth_role wanted;
	struct table *table;
	struct buf out;
	bool created;
};

static enum cli_exit begin(struct cli *cli, struct task *task)
{
	*task = (struct task){.cli = cli};
	enum cli_exit status = ms_admin_begin(cli, &task->admin);
	if (status != CLI_OK)
		return status;
	task->wanted.name = cli->argument_count > 0 ? ms_slice_cstr(cli->arguments[0]) : MS_SLICE_EMPTY;
	ms_buf_init(&task->out, OUTPUT_MAX);
	return CLI_OK;
}

// Prints what is in task->out, or what went wrong.
static enum cli_exit end(struct task *task, enum ms_err err, const struct errinfo *info)
{
	enum cli_exit status = err == MS_OK ? ms_cli_print(task->cli, &task->out) : ms_cli_fail(task->cli, info);
	ms_buf_fini(&task->out);
	ms_admin_end(&task->admin);
	return status;
}

static void write_role(const struct task *task, const struct auth_role *role, struct buf *out)
{
	struct json_writer w;
	struct buf grants;
	ms_buf_clear(out); // the transaction may run again
	ms_buf_init(&grants, OUTPUT_MAX);
	ms_grants_write(role->grants, &grants);
	struct slice texts = ms_buf_ok(&grants) ? ms_buf_slice(&grants) : MS_SLICE_LIT("null");
	if (ms_cli_option(task->cli, "json") == NULL) {
		ms_buf_printf(out, "role:      %.*s%s\n", MS_SLICE_ARG(role->name),
			      role->built_in ? " (built in)" : "");
		if (role->description.n > 0)
			ms_buf_printf(out, "           %.*s\n", MS_SLICE_ARG(role->description));
		ms_buf_printf(out, "grants:    %.*s\n", MS_SLICE_ARG(texts));
	} else {
		ms_json_writer_init(&w, out);
		ms_json_begin_object(&w);
		ms_json_key_lit(&w, "name");
		ms_json_str(&w, role->name);
		ms_json_key_lit(&w, "description");
		ms_json_str(&w, role->description);
		ms_json_key_lit(&w, "grants");
		ms_json_raw(&w, texts);
		ms_json_key_lit(&w, "built_in");
		ms_json_bool(&w, role->built_in);
		ms_json_end_object(&w);
		ms_buf_append_char(out, '\n');
	}
	ms_buf_fini(&grants);
}

static const struct cli_option json_option[] = {{.name = "json", .help = "For programs: JSON"}};

// --- list, show --------------------------------------------------------------------------------------

static enum ms_err list(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct arena *arena = &task->cli->arena;
	struct auth_role *roles;
	size_t count;
	MS_TRY(ms_auth_role_list(tx, info, &roles, &count));
	for (size_t i = 0; i < count; i++) {
		struct buf grants;
		ms_buf_init(&grants, OUTPUT_MAX);
		ms_grants_write(roles[i].grants, &grants);
		const char *cells[] = {ms_arena_cstr(arena, roles[i].name), roles[i].built_in ? "true" : "false",
				       ms_buf_ok(&grants) ? ms_arena_cstr(arena, ms_buf_slice(&grants)) : NULL,
				       ms_arena_cstr(arena, roles[i].description)};
		ms_buf_fini(&grants);
		if (cells[0] == NULL || cells[2] == NULL || cells[3] == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
		MS_TRY(ms_table_add(task->table, cells));
	}
	return MS_OK;
}

static enum cli_exit run_list(struct cli *cli)
{
	static const struct table_column columns[] = {
		{"ROLE", "name", TABLE_TEXT},
		{"BUILT IN", "built_in", TABLE_BOOLEAN},
		{"GRANTS", "grants", TABLE_TEXT},
		{"DESCRIPTION", "description", TABLE_TEXT},
	};
	struct task task;
	struct errinfo info;
	struct table table;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	ms_table_init(&table, &cli->arena, columns, MS_ARRAY_LEN(columns));
	task.table = &table;
	enum ms_err err = ms_store_read_wait(task.admin.state.store, list, &task, &info);
	if (err == MS_OK && ms_cli_option(cli, "json") != NULL)
		ms_table_write_json(&table, &task.out);
	else if (err == MS_OK)
		ms_table_write_text(&table, ms_width_of_terminal(cli->out), &task.out);
	return end(&task, err, &info);
}

const struct cli_command ms_cmd_role_list = {
	.noun = "role",
	.verb = "list",
	.arguments = "",
	.summary = "List the roles and what they allow",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_list,
};

static enum ms_err show(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_role role;
	MS_TRY(ms_auth_role_get(tx, task->wanted.name, info, &role));
	write_role(task, &role, &task->out);
	return MS_OK;
}

static enum cli_exit run_show(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	return end(&task, ms_store_read_wait(task.admin.state.store, show, &task, &info), &info);
}

const struct cli_command ms_cmd_role_show = {
	.noun = "role",
	.verb = "show",
	.arguments = "NAME",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Show a role",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_show,
};

// --- set, remove -------------------------------------------------------------------------------------

static enum ms_err set(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	MS_TRY(ms_auth_role_set(tx, task->admin.state.auth, &task->admin.authority, &task->wanted, info,
				&task->created));
	return show(tx, task, info);
}

static enum cli_exit run_set(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	struct slice texts[MS_GRANTS_MAX];
	ms_errinfo_init(&info);
	if (cli->argument_count - 1 > MS_GRANTS_MAX)
		return ms_cli_usage(cli, "at most %d grants", MS_GRANTS_MAX);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	for (size_t i = 1; i < cli->argument_count; i++)
		texts[i - 1] = ms_slice_cstr(cli->arguments[i]);
	if (ms_cli_option(cli, "description") != NULL)
		task.wanted.description = ms_slice_cstr(ms_cli_option(cli, "description"));
	enum ms_err err = ms_grants_parse(texts, cli->argument_count - 1, &cli->arena, &info, &task.wanted.grants);
	if (err == MS_OK)
		err = ms_store_write_wait(task.admin.state.store, set, &task, &info);
	return end(&task, err, &info);
}

static const struct cli_option set_options[] = {
	{.name = "description", .value = "TEXT", .help = "For people"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_role_set = {
	.noun = "role",
	.verb = "set",
	.arguments = "NAME GRANT [GRANT ...]",
	.min_arguments = 2,
	.max_arguments = MS_GRANTS_MAX + 1,
	.summary = "Add or change a role",
	.details = "A grant is a permission (predict), a permission for an object (predict:churn, predict:churn-*), a "
		   "group\n"
		   "(models.*) or everything (*). Who has the role has it from then on, whatever his token says.\n",
	.options = set_options,
	.option_count = MS_ARRAY_LEN(set_options),
	.settings = true,
	.run = run_set,
};

static enum ms_err remove_role(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	return ms_auth_role_remove(tx, task->admin.state.auth, &task->admin.authority, task->wanted.name, info);
}

static enum cli_exit run_remove(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	enum ms_err err = ms_store_write_wait(task.admin.state.store, remove_role, &task, &info);
	if (err == MS_OK && ms_cli_option(cli, "json") != NULL)
		ms_buf_printf(&task.out, "{\"removed\":\"%.*s\"}\n",
			      MS_SLICE_ARG(task.wanted.name)); // it keeps to the name rules
	else if (err == MS_OK)
		ms_buf_printf(&task.out, "removed role %.*s\n", MS_SLICE_ARG(task.wanted.name));
	return end(&task, err, &info);
}

const struct cli_command ms_cmd_role_remove = {
	.noun = "role",
	.verb = "remove",
	.arguments = "NAME",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Remove a role that no user has",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_remove,
};
