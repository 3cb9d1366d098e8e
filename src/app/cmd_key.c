// SPDX-License-Identifier: Apache-2.0
// `mainstay key …`: API keys from the command line, on the store itself. A running server on the same store follows within half a second.
#include <stdlib.h>

#include "app/admin.h"
#include "app/commands.h"
#include "app/table.h"
#include "app/width.h"
#include "rt/rt.h"
#include "json/json.h"

#define OUTPUT_MAX ((size_t)1 << 28)
#define PAGE 500
#define OVERLAP_DEFAULT_US ((int64_t)86400 * 1000000)
#define DAYS_MAX 36600

// One command: what it was asked for, and what came of it.
struct task {
	struct cli *cli;
	struct admin admin;
	struct slice id, owner;
	struct auth_key wanted;
	int64_t us;          // life, or overlap
	struct auth_key key; // in cli->arena
	char secret[MS_API_KEY_SIZE];
	struct table *table;
	struct slice before;
	size_t listed;
};

static enum cli_exit begin(struct cli *cli, struct task *task)
{
	*task = (struct task){.cli = cli};
	enum cli_exit status = ms_admin_begin(cli, &task->admin);
	if (status != CLI_OK)
		return status;
	task->id = cli->argument_count > 0 ? ms_slice_cstr(cli->arguments[0]) : MS_SLICE_EMPTY;
	return CLI_OK;
}

static enum cli_exit end(struct task *task, enum ms_err err, const struct errinfo *info, enum cli_exit status)
{
	ms_wipe(task->secret, sizeof(task->secret));
	ms_admin_end(&task->admin);
	return err == MS_OK ? status : ms_cli_fail(task->cli, info);
}

// --- Output ------------------------------------------------------------------------------------------

static enum ms_err keep_key(struct task *task, const struct auth_key *key, struct errinfo *info)
{
	struct arena *arena = &task->cli->arena;
	struct auth_key copy = *key;
	struct slice *texts[] = {&copy.id, &copy.name, &copy.owner_id, &copy.owner_name, &copy.hint};
	for (size_t i = 0; i < MS_ARRAY_LEN(texts); i++) {
		*texts[i] = ms_arena_copy(arena, *texts[i]);
		if (texts[i]->p == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	}
	MS_TRY(ms_grants_union(key->scopes, MS_GRANTS_NONE, arena, info, &copy.scopes));
	task->key = copy;
	return MS_OK;
}

static void write_json(const struct task *task, struct buf *out)
{
	struct json_writer w;
	struct buf scopes;
	const struct auth_key *k = &task->key;
	ms_buf_init(&scopes, OUTPUT_MAX);
	ms_grants_write(k->scopes, &scopes);
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_member_text(&w, "id", k->id);
	ms_json_member_text(&w, "name", k->name);
	if (task->secret[0] != '\0')
		ms_json_member_text(&w, "key", ms_slice_cstr(task->secret));
	ms_json_member_text(&w, "hint", k->hint);
	ms_json_member_text(&w, "owner_id", k->owner_id);
	ms_json_member_text(&w, "owner", k->owner_name);
	ms_json_key_lit(&w, "scopes");
	ms_json_raw(&w, ms_buf_ok(&scopes) ? ms_buf_slice(&scopes) : MS_SLICE_LIT("null"));
	ms_json_member_time(&w, "created_at", k->created_us);
	ms_json_member_time(&w, "expires_at", k->expires_us);
	ms_json_member_time(&w, "last_used_at", k->used_us);
	ms_json_member_time(&w, "revoked_at", k->revoked_us);
	ms_json_end_object(&w);
	ms_buf_append_char(out, '\n');
	ms_buf_fini(&scopes);
}

static void text_line(struct buf *out, const char *name, struct slice text)
{
	if (text.n > 0)
		ms_buf_printf(out, "%-11s%.*s\n", name, MS_SLICE_ARG(text));
}

static void time_line(struct buf *out, const char *name, int64_t unix_us)
{
	char text[MS_RFC3339_SIZE];
	text_line(out, name,
		  unix_us != 0 ? ms_slice(text, ms_text_rfc3339(unix_us * 1000, text)) : MS_SLICE_LIT("never"));
}

static void write_text(const struct task *task, struct buf *out)
{
	const struct auth_key *k = &task->key;
	text_line(out, "key:", ms_slice_cstr(task->secret));
	text_line(out, "id:", k->id);
	text_line(out, "name:", k->name);
	text_line(out, "begins:", k->hint);
	text_line(out, "owner:", k->owner_name.n > 0 ? k->owner_name : k->owner_id);
	ms_buf_append_cstr(out, "scopes:    ");
	ms_grants_write(k->scopes, out);
	ms_buf_append_char(out, '\n');
	time_line(out, "created:", k->created_us);
	time_line(out, "expires:", k->expires_us);
	time_line(out, "last used:", k->used_us);
	if (k->revoked_us != 0)
		time_line(out, "revoked:", k->revoked_us);
	if (task->secret[0] != '\0')
		ms_buf_append_cstr(out, "The key is shown this once: keep it now.\n");
}

static enum cli_exit print_key(struct task *task)
{
	struct buf out;
	ms_buf_init(&out, OUTPUT_MAX);
	if (ms_cli_option(task->cli, "json") != NULL)
		write_json(task, &out);
	else
		write_text(task, &out);
	enum cli_exit status = ms_cli_print(task->cli, &out);
	if (out.p != NULL)
		ms_wipe(out.p, out.n);
	ms_buf_fini(&out);
	return status;
}

static const struct cli_option json_option[] = {{.name = "json", .help = "For programs: JSON"}};

// --- create ------------------------------------------------------------------------------------------

static enum ms_err create(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_key wanted = task->wanted, made;
	if (task->owner.n > 0) {
		struct auth_user user;
		MS_TRY(ms_auth_user_find(tx, task->owner, info, &user));
		wanted.owner_id = user.id;
	}
	wanted.expires_us = task->us > 0 ? ms_store_now_us(tx) + task->us : 0;
	MS_TRY(ms_auth_key_create(tx, task->admin.state.auth, &task->admin.authority, &wanted, info, &made,
				  task->secret));
	return keep_key(task, &made, info);
}

static enum ms_err take_scopes(struct task *task, struct errinfo *info)
{
	struct slice texts[MS_GRANTS_MAX], rest = ms_cli_option_text(task->cli, "scopes"), part;
	size_t count = 0;
	if (rest.n == 0)
		rest = MS_SLICE_LIT("predict");
	while (ms_slice_next(&rest, ',', &part)) {
		if (count == MS_GRANTS_MAX)
			return ms_fail(info, MS_ERR_INVALID, "--scopes: at most %d grants", MS_GRANTS_MAX);
		texts[count++] = ms_slice_trim(part);
	}
	return ms_grants_parse(texts, count, &task->cli->arena, info, &task->wanted.scopes);
}

// Whole days as microseconds; false: it was said what is wrong.
static bool read_days(struct cli *cli, const char *name, int64_t *ret_us)
{
	uint64_t days;
	const char *text = ms_cli_option(cli, name);
	if (text == NULL)
		return true;
	if (!ms_slice_to_u64(ms_slice_cstr(text), &days) || days > DAYS_MAX)
		return false;
	*ret_us = (int64_t)days * 86400 * 1000000;
	return true;
}

static enum cli_exit run_create(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	int64_t life_us = 0;
	ms_errinfo_init(&info);
	if (!read_days(cli, "days", &life_us) || (ms_cli_option(cli, "days") != NULL && life_us == 0))
		return ms_cli_usage(cli, "--days must be a whole number from 1 to %d", DAYS_MAX);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.us = life_us;
	task.owner = ms_cli_option_text(cli, "owner");
	task.wanted.name = task.id;
	enum ms_err err = take_scopes(&task, &info);
	if (err == MS_OK)
		err = ms_store_write_wait(task.admin.state.store, create, &task, &info);
	if (err == MS_OK)
		status = print_key(&task);
	return end(&task, err, &info, status);
}

static const struct cli_option create_options[] = {
	{.name = "scopes", .value = "LIST", .help = "What it may do: predict:churn,models.read; default predict"},
	{.name = "owner", .value = "USER", .help = "The key may never do more than this user; default nobody's"},
	{.name = "days", .value = "N", .help = "Expires after so many days; default never"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_key_create = {
	.noun = "key",
	.verb = "create",
	.arguments = "NAME",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Make an API key",
	.details = "NAME says what the key is for. The key itself is shown this once; its SHA-256 is stored.\n",
	.options = create_options,
	.option_count = MS_ARRAY_LEN(create_options),
	.settings = true,
	.run = run_create,
};

// --- list, show --------------------------------------------------------------------------------------

static const char *state_of(const struct auth_key *key, int64_t now_us)
{
	if (key->revoked_us != 0)
		return key->revoked_us <= now_us ? "revoked" : "rotated";
	return key->expires_us != 0 && key->expires_us <= now_us ? "expired" : "active";
}

static enum ms_err list_page(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct arena *arena = &task->cli->arena;
	struct auth_key *keys;
	struct slice owner = MS_SLICE_EMPTY;
	if (task->owner.n > 0) {
		struct auth_user user;
		MS_TRY(ms_auth_user_find(tx, task->owner, info, &user));
		owner = user.id;
	}
	MS_TRY(ms_auth_key_list(tx, owner, task->before, PAGE, info, &keys, &task->listed));
	for (size_t i = 0; i < task->listed; i++) {
		const struct auth_key *k = &keys[i];
		char used[MS_RFC3339_SIZE];
		(void)ms_text_rfc3339(k->used_us * 1000, used);
		const char *cells[] = {
			ms_arena_cstr(arena, k->name), k->owner_name.n > 0 ? ms_arena_cstr(arena, k->owner_name) : NULL,
			ms_arena_cstr(arena, k->hint), state_of(k, ms_store_now_us(tx)),
			k->used_us != 0 ? used : NULL, ms_arena_cstr(arena, k->id)};
		if (cells[0] == NULL || cells[2] == NULL || cells[5] == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
		MS_TRY(ms_table_add(task->table, cells));
		task->before = ms_slice_cstr(cells[5]);
	}
	return MS_OK;
}

static enum cli_exit run_list(struct cli *cli)
{
	static const struct table_column columns[] = {
		{"NAME", "name", TABLE_TEXT},
		{"OWNER", "owner", TABLE_TEXT},
		{"BEGINS", "hint", TABLE_TEXT},
		{"STATE", "state", TABLE_TEXT},
		{"LAST USED", "last_used_at", TABLE_TEXT},
		{"ID", "id", TABLE_TEXT},
	};
	struct task task;
	struct errinfo info;
	struct table table;
	struct buf out;
	enum ms_err err;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	ms_table_init(&table, &cli->arena, columns, MS_ARRAY_LEN(columns));
	task.table = &table;
	task.owner = ms_cli_option_text(cli, "owner");
	do
		err = ms_store_read_wait(task.admin.state.store, list_page, &task, &info);
	while (err == MS_OK && task.listed == PAGE);
	ms_buf_init(&out, OUTPUT_MAX);
	if (err == MS_OK && ms_cli_option(cli, "json") != NULL)
		ms_table_write_json(&table, &out);
	else if (err == MS_OK)
		ms_table_write_text(&table, ms_width_of_terminal(cli->out), &out);
	if (err == MS_OK)
		status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	return end(&task, err, &info, status);
}

static const struct cli_option list_options[] = {
	{.name = "owner", .value = "USER", .help = "Those of this user"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_key_list = {
	.noun = "key",
	.verb = "list",
	.arguments = "",
	.summary = "List the API keys, the newest first",
	.options = list_options,
	.option_count = MS_ARRAY_LEN(list_options),
	.settings = true,
	.run = run_list,
};

static enum ms_err show(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_key key;
	MS_TRY(ms_auth_key_get(tx, task->id, info, &key));
	return keep_key(task, &key, info);
}

static enum cli_exit run_show(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	enum ms_err err = ms_store_read_wait(task.admin.state.store, show, &task, &info);
	if (err == MS_OK)
		status = print_key(&task);
	return end(&task, err, &info, status);
}

const struct cli_command ms_cmd_key_show = {
	.noun = "key",
	.verb = "show",
	.arguments = "ID",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Show an API key (not its secret, which is nowhere)",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_show,
};

// --- rotate, revoke ----------------------------------------------------------------------------------

static enum ms_err rotate(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_key made;
	MS_TRY(ms_auth_key_rotate(tx, task->admin.state.auth, &task->admin.authority, task->id, task->us, info, &made,
				  task->secret));
	return keep_key(task, &made, info);
}

static enum cli_exit run_rotate(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	int64_t overlap_us = OVERLAP_DEFAULT_US;
	ms_errinfo_init(&info);
	if (!read_days(cli, "overlap-days", &overlap_us))
		return ms_cli_usage(cli, "--overlap-days must be a whole number from 0 to %d", DAYS_MAX);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.us = overlap_us;
	enum ms_err err = ms_store_write_wait(task.admin.state.store, rotate, &task, &info);
	if (err == MS_OK)
		status = print_key(&task);
	return end(&task, err, &info, status);
}

static const struct cli_option rotate_options[] = {
	{.name = "overlap-days", .value = "N", .help = "The old key works on for so many days; default 1"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_key_rotate = {
	.noun = "key",
	.verb = "rotate",
	.arguments = "ID",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Make a new key in place of this one, which works on for a while",
	.options = rotate_options,
	.option_count = MS_ARRAY_LEN(rotate_options),
	.settings = true,
	.run = run_rotate,
};

static enum ms_err revoke_key(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_key key;
	MS_TRY(ms_auth_key_revoke(tx, task->admin.state.auth, &task->admin.authority, task->id, info));
	MS_TRY(ms_auth_key_get(tx, task->id, info, &key));
	return keep_key(task, &key, info);
}

static enum cli_exit run_revoke(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	enum ms_err err = ms_store_write_wait(task.admin.state.store, revoke_key, &task, &info);
	if (err == MS_OK && ms_cli_option(cli, "json") != NULL)
		status = print_key(&task);
	else if (err == MS_OK)
		fprintf(cli->out, "revoked key %.*s (%.*s)\n", MS_SLICE_ARG(task.key.name), MS_SLICE_ARG(task.key.id));
	return end(&task, err, &info, status);
}

const struct cli_command ms_cmd_key_revoke = {
	.noun = "key",
	.verb = "revoke",
	.arguments = "ID",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "End an API key for good",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_revoke,
};
