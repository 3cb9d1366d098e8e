// SPDX-License-Identifier: Apache-2.0
// `mainstay user …`: users from the command line, on the store itself. A running server on the same store follows within half a second.
#include <stdlib.h>
#include <unistd.h>

#include "app/admin.h"
#include "app/commands.h"
#include "app/import.h"
#include "app/passwords.h"
#include "app/table.h"
#include "app/width.h"
#include "rt/rt.h"
#include "json/json.h"

#define OUTPUT_MAX ((size_t)1 << 28)
#define PAGE 500
#define IMPORT_FILE_MAX ((size_t)256 << 20)

// One command: what it was asked for, and what came of it.
struct task {
	struct cli *cli;
	struct admin admin;
	struct slice name;
	struct auth_user_fields fields;
	struct auth_user user; // in cli->arena
	struct table *table;   // of a list
	struct buf *json;
	struct slice after;
	size_t listed;
	struct user_import import;
	bool skip_existing;
	size_t added, skipped;
};

static enum cli_exit begin(struct cli *cli, struct task *task)
{
	*task = (struct task){.cli = cli};
	enum cli_exit status = ms_admin_begin(cli, &task->admin);
	if (status != CLI_OK)
		return status;
	task->name = cli->argument_count > 0 ? ms_slice_cstr(cli->arguments[0]) : MS_SLICE_EMPTY;
	return CLI_OK;
}

static void end(struct task *task)
{
	ms_admin_end(&task->admin);
}

static enum cli_exit fail(struct task *task, const struct errinfo *info)
{
	end(task);
	return ms_cli_fail(task->cli, info);
}

// --- Output ------------------------------------------------------------------------------------------

static enum ms_err keep_user(struct task *task, const struct auth_user *user, struct errinfo *info)
{
	return ms_auth_user_copy(user, &task->cli->arena, info, &task->user);
}

static void write_user(struct json_writer *w, const struct auth_user *user)
{
	ms_json_begin_object(w);
	ms_json_member_text(w, "id", user->id);
	ms_json_member_text(w, "username", user->username);
	ms_json_member_text(w, "email", user->email);
	ms_json_member_text(w, "display_name", user->display_name);
	ms_json_member_text(w, "role", user->role);
	ms_json_key_lit(w, "grants");
	ms_json_begin_array(w);
	for (size_t i = 0; i < user->grant_count; i++)
		ms_json_str(w, user->grants[i]);
	ms_json_end_array(w);
	ms_json_member_text(w, "state", user->state);
	ms_json_key_lit(w, "has_password");
	ms_json_bool(w, user->has_password);
	ms_json_member_time(w, "created_at", user->created_us);
	ms_json_member_time(w, "updated_at", user->updated_us);
	ms_json_end_object(w);
}

static enum cli_exit print_json(struct task *task)
{
	struct buf out;
	struct json_writer w;
	ms_buf_init(&out, OUTPUT_MAX);
	ms_json_writer_init(&w, &out);
	write_user(&w, &task->user);
	ms_buf_append_char(&out, '\n');
	enum cli_exit status = ms_cli_print(task->cli, &out);
	ms_buf_fini(&out);
	return status;
}

// The end of a command that changed one user.
static enum cli_exit say(struct task *task, const char *what)
{
	enum cli_exit status = CLI_OK;
	if (ms_cli_option(task->cli, "json") != NULL)
		status = print_json(task);
	else
		fprintf(task->cli->out, "%s user %.*s (role %.*s)\n", what, MS_SLICE_ARG(task->user.username),
			MS_SLICE_ARG(task->user.role));
	end(task);
	return status;
}

static const struct cli_option json_option[] = {{.name = "json", .help = "For programs: JSON"}};

// --- add ---------------------------------------------------------------------------------------------

static enum ms_err take_password(struct task *task, struct slice username, struct slice email, struct errinfo *info)
{
	char password[MS_APP_PASSWORD_SIZE];
	MS_TRY(ms_password_ask(task->cli, "New password: ", info, password));
	enum ms_err err =
		ms_auth_password_check(task->admin.state.auth, ms_slice_cstr(password), username, email, info);
	if (err == MS_OK)
		err = ms_auth_password_hash(task->admin.state.auth, ms_slice_cstr(password), &task->cli->arena, info,
					    &task->fields.password);
	ms_wipe(password, sizeof(password));
	return err;
}

static enum ms_err take_grants(struct task *task, struct slice text, struct errinfo *info)
{
	struct slice *grants = MS_ARENA_ARRAY(&task->cli->arena, struct slice, MS_AUTH_USER_GRANTS + 1), part;
	size_t count = 0;
	if (grants == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	while (text.n > 0 && ms_slice_next(&text, ',', &part) && count <= MS_AUTH_USER_GRANTS)
		grants[count++] = ms_slice_trim(part);
	task->fields.grants = grants;
	task->fields.grant_count = count;
	return MS_OK;
}

static enum ms_err add(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_user user;
	MS_TRY(ms_auth_user_add(tx, task->admin.state.auth, &task->admin.authority, &task->fields, info, &user));
	return keep_user(task, &user, info);
}

static enum cli_exit run_add(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.fields.username = task.name;
	task.fields.email = ms_cli_option_text(cli, "email");
	task.fields.display_name = ms_cli_option_text(cli, "display-name");
	task.fields.role =
		ms_cli_option(cli, "role") != NULL ? ms_cli_option_text(cli, "role") : MS_SLICE_LIT("viewer");
	enum ms_err err = MS_OK;
	if (ms_cli_option(cli, "grants") != NULL)
		err = take_grants(&task, ms_cli_option_text(cli, "grants"), &info);
	if (err == MS_OK && ms_cli_option(cli, "no-password") == NULL)
		err = take_password(&task, task.name, task.fields.email, &info);
	if (err == MS_OK)
		err = ms_store_write_wait(task.admin.state.store, add, &task, &info);
	return err == MS_OK ? say(&task, "added") : fail(&task, &info);
}

static const struct cli_option add_options[] = {
	{.name = "role",
	 .value = "ROLE",
	 .help = "admin, operator, data-scientist, viewer, service or one of your own; default viewer"},
	{.name = "email", .value = "ADDRESS", .help = "Signs in with it too"},
	{.name = "display-name", .value = "TEXT", .help = "For people"},
	{.name = "grants", .value = "LIST", .help = "What he may besides his role: predict:churn,models.read"},
	{.name = "no-password", .help = "No password: the user works with API keys"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_user_add = {
	.noun = "user",
	.verb = "add",
	.arguments = "NAME",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Add a user",
	.details = "The password is asked for on the terminal, or is the first line of standard input.\n",
	.options = add_options,
	.option_count = MS_ARRAY_LEN(add_options),
	.settings = true,
	.run = run_add,
};

// --- list, show --------------------------------------------------------------------------------------

static enum ms_err list_page(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct arena *arena = &task->cli->arena;
	struct auth_user *users;
	MS_TRY(ms_auth_user_list(tx, task->after, PAGE, info, &users, &task->listed));
	for (size_t i = 0; i < task->listed; i++) {
		const struct auth_user *u = &users[i];
		const char *cells[] = {ms_arena_cstr(arena, u->username), ms_arena_cstr(arena, u->role),
				       ms_arena_cstr(arena, u->state),
				       u->email.n > 0 ? ms_arena_cstr(arena, u->email) : NULL,
				       ms_arena_cstr(arena, u->id)};
		if (cells[0] == NULL || cells[1] == NULL || cells[2] == NULL || cells[4] == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
		MS_TRY(ms_table_add(task->table, cells));
		task->after = ms_slice_cstr(cells[4]);
	}
	return MS_OK;
}

static enum cli_exit run_list(struct cli *cli)
{
	static const struct table_column columns[] = {
		{"USER", "username", TABLE_TEXT}, {"ROLE", "role", TABLE_TEXT}, {"STATE", "state", TABLE_TEXT},
		{"E-MAIL", "email", TABLE_TEXT},  {"ID", "id", TABLE_TEXT},
	};
	struct task task;
	struct errinfo info;
	struct table table;
	struct buf out;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	ms_table_init(&table, &cli->arena, columns, MS_ARRAY_LEN(columns));
	task.table = &table;
	enum ms_err err;
	do
		err = ms_store_read_wait(task.admin.state.store, list_page, &task, &info);
	while (err == MS_OK && task.listed == PAGE);
	if (err != MS_OK)
		return fail(&task, &info);
	ms_buf_init(&out, OUTPUT_MAX);
	if (ms_cli_option(cli, "json") != NULL)
		ms_table_write_json(&table, &out);
	else
		ms_table_write_text(&table, ms_width_of_terminal(cli->out), &out);
	status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	end(&task);
	return status;
}

const struct cli_command ms_cmd_user_list = {
	.noun = "user",
	.verb = "list",
	.arguments = "",
	.summary = "List the users",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_list,
};

static enum ms_err find(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_user user;
	MS_TRY(ms_auth_user_find(tx, task->name, info, &user));
	return keep_user(task, &user, info);
}

static void show_text(struct task *task)
{
	const struct auth_user *u = &task->user;
	char created[MS_RFC3339_SIZE], changed[MS_RFC3339_SIZE];
	FILE *out = task->cli->out;
	(void)ms_text_rfc3339(u->created_us * 1000, created);
	(void)ms_text_rfc3339(u->password_changed_us * 1000, changed);
	fprintf(out, "user:      %.*s\nid:        %.*s\nrole:      %.*s\nstate:     %.*s\n", MS_SLICE_ARG(u->username),
		MS_SLICE_ARG(u->id), MS_SLICE_ARG(u->role), MS_SLICE_ARG(u->state));
	if (u->email.n > 0)
		fprintf(out, "e-mail:    %.*s\n", MS_SLICE_ARG(u->email));
	for (size_t i = 0; i < u->grant_count; i++)
		fprintf(out, "%s%.*s%s", i == 0 ? "grants:    " : ", ", MS_SLICE_ARG(u->grants[i]),
			i + 1 == u->grant_count ? "\n" : "");
	fprintf(out, "created:   %s\npassword:  %s%s\n", created, u->has_password ? "set " : "none",
		u->has_password ? changed : "");
}

static enum cli_exit run_show(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	if (ms_store_read_wait(task.admin.state.store, find, &task, &info) != MS_OK)
		return fail(&task, &info);
	if (ms_cli_option(cli, "json") != NULL)
		status = print_json(&task);
	else
		show_text(&task);
	end(&task);
	return status;
}

const struct cli_command ms_cmd_user_show = {
	.noun = "user",
	.verb = "show",
	.arguments = "NAME",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Show a user, by name, e-mail address or id",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_show,
};

// --- password, disable, enable, role, remove -----------------------------------------------------------

static enum ms_err change(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_user user;
	MS_TRY(ms_auth_user_find(tx, task->name, info, &user));
	MS_TRY(ms_auth_user_change(tx, task->admin.state.auth, &task->admin.authority, user.id, &task->fields,
				   MS_SLICE_EMPTY, info, &user));
	return keep_user(task, &user, info);
}

static enum cli_exit apply(struct task *task, const char *done)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = ms_store_write_wait(task->admin.state.store, change, task, &info);
	return err == MS_OK ? say(task, done) : fail(task, &info);
}

static enum cli_exit run_password(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	enum ms_err err = ms_store_read_wait(task.admin.state.store, find, &task, &info);
	if (err == MS_OK)
		err = take_password(&task, task.user.username, task.user.email, &info);
	return err == MS_OK ? apply(&task, "set the password of") : fail(&task, &info);
}

static enum cli_exit run_state(struct cli *cli, const char *state, const char *done)
{
	struct task task;
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.fields.state = ms_slice_cstr(state);
	return apply(&task, done);
}

static enum cli_exit run_disable(struct cli *cli)
{
	return run_state(cli, "disabled", "disabled");
}

static enum cli_exit run_enable(struct cli *cli)
{
	return run_state(cli, "active", "enabled");
}

static enum cli_exit run_role(struct cli *cli)
{
	struct task task;
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.fields.role = ms_slice_cstr(cli->arguments[1]);
	return apply(&task, "changed");
}

static enum ms_err remove_one(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_user user;
	MS_TRY(ms_auth_user_find(tx, task->name, info, &user));
	MS_TRY(keep_user(task, &user, info));
	return ms_auth_user_remove(tx, task->admin.state.auth, &task->admin.authority, user.id, info);
}

static enum cli_exit run_remove(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	enum ms_err err = ms_store_write_wait(task.admin.state.store, remove_one, &task, &info);
	return err == MS_OK ? say(&task, "removed") : fail(&task, &info);
}

#define USER_COMMAND(member, word, args, count, text, more)                                         \
	const struct cli_command ms_cmd_user_##member = {.noun = "user",                            \
							 .verb = word,                              \
							 .arguments = args,                         \
							 .min_arguments = count,                    \
							 .max_arguments = count,                    \
							 .summary = text,                           \
							 .details = more,                           \
							 .options = json_option,                    \
							 .option_count = MS_ARRAY_LEN(json_option), \
							 .settings = true,                          \
							 .run = run_##member}

USER_COMMAND(password, "password", "NAME", 1, "Set a user's password; ends his sessions",
	     "The password is asked for on the terminal, or is the first line of standard input.\n");
USER_COMMAND(disable, "disable", "NAME", 1, "Let a user in no more; ends his sessions", NULL);
USER_COMMAND(enable, "enable", "NAME", 1, "Let a user in again", NULL);
USER_COMMAND(role, "role", "NAME ROLE", 2, "Give a user another role", NULL);
USER_COMMAND(remove, "remove", "NAME", 1, "Remove a user with his sessions", NULL);

// --- import ------------------------------------------------------------------------------------------

static enum ms_err import_all(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct user_import *import = &task->import;
	task->added = task->skipped = 0;
	import->at = 0;
	import->line = 0;
	for (;;) {
		struct auth_user_fields fields;
		struct auth_user user;
		bool more;
		MS_TRY(ms_import_next(import, ms_store_arena(tx), info, &more, &fields));
		if (!more)
			return MS_OK;
		if (fields.role.p == NULL)
			fields.role = ms_cli_option(task->cli, "role") != NULL ? ms_cli_option_text(task->cli, "role")
									       : MS_SLICE_LIT("viewer");
		enum ms_err err = MS_OK;
		if (task->skip_existing) {
			err = ms_auth_user_find(tx, fields.username, info, &user);
			if (err == MS_OK) {
				task->skipped++;
				continue;
			}
			if (err != MS_ERR_AUTH_USER_UNKNOWN)
				return err;
		}
		err = ms_auth_user_add(tx, task->admin.state.auth, &task->admin.authority, &fields, info, &user);
		if (err != MS_OK) {
			char why[MS_ERRINFO_MESSAGE_SIZE];
			memcpy(why, info->message, sizeof(why));
			return ms_fail(info, err, "line %llu: %.400s", (unsigned long long)import->line, why);
		}
		task->added++;
	}
}

static enum cli_exit run_import(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	struct slice bytes = MS_SLICE_EMPTY;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.skip_existing = ms_cli_option(cli, "skip-existing") != NULL;
	enum ms_err err = strcmp(cli->arguments[0], "-") == 0
				  ? ms_fd_read_all(STDIN_FILENO, IMPORT_FILE_MAX, &info, &bytes)
				  : ms_file_read(cli->arguments[0], IMPORT_FILE_MAX, &info, &bytes);
	if (err == MS_OK)
		err = ms_import_open(&task.import, bytes, &cli->arena, &info);
	if (err == MS_OK)
		err = ms_store_write_wait(task.admin.state.store, import_all, &task, &info);
	free((void *)(uintptr_t)bytes.p);
	if (err != MS_OK)
		return fail(&task, &info);
	if (ms_cli_option(cli, "json") != NULL)
		fprintf(cli->out, "{\"added\":%zu,\"skipped\":%zu}\n", task.added, task.skipped);
	else
		fprintf(cli->out, "added %zu users, skipped %zu\n", task.added, task.skipped);
	end(&task);
	return CLI_OK;
}

static const struct cli_option import_options[] = {
	{.name = "role", .value = "ROLE", .help = "Of users whose line names none; default viewer"},
	{.name = "skip-existing", .help = "Leave users alone that are there already; else they are an error"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_user_import = {
	.noun = "user",
	.verb = "import",
	.arguments = "FILE",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Add the users of a file, all or none",
	.details = "FILE holds one JSON object a line, or CSV with a header; - is standard input. Members: username, "
		   "and any of\n"
		   "email, display_name, role, state, password_hash (argon2, bcrypt $2a$ $2b$ $2y$, PBKDF2 of passlib "
		   "or Django).\n"
		   "A hash of another kind than ours is replaced when its user signs in.\n",
	.options = import_options,
	.option_count = MS_ARRAY_LEN(import_options),
	.settings = true,
	.run = run_import,
};
