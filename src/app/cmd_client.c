// SPDX-License-Identifier: Apache-2.0
// `mainstay client …`: OAuth clients from the command line, on the store itself. A running server on the same store follows within half a second.
#include <stdlib.h>

#include "app/admin.h"
#include "app/commands.h"
#include "app/table.h"
#include "app/width.h"
#include "rt/rt.h"
#include "json/json.h"

#define OUTPUT_MAX ((size_t)1 << 28)
#define PAGE 500
#define JWKS_FILE_MAX ((size_t)64 << 10)

// One command: what it was asked for, and what came of it.
struct task {
	struct cli *cli;
	struct admin admin;
	struct slice id;
	struct oauth_client wanted;
	struct oauth_client client; // in cli->arena
	char secret[MS_API_KEY_SIZE];
	struct table *table;
	struct slice after;
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

static void json_flag(struct json_writer *w, const char *key, bool flag)
{
	ms_json_key_lit(w, key);
	ms_json_bool(w, flag);
}

static void json_lines(struct json_writer *w, const char *key, struct slice lines)
{
	struct slice line;
	ms_json_key_lit(w, key);
	ms_json_begin_array(w);
	while (ms_slice_next(&lines, '\n', &line)) {
		if (line.n > 0)
			ms_json_str(w, line);
	}
	ms_json_end_array(w);
}

static void write_json(const struct task *task, struct buf *out)
{
	struct json_writer w;
	const struct oauth_client *c = &task->client;
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_member_text(&w, "id", c->id);
	ms_json_member_text(&w, "name", c->name);
	if (task->secret[0] != '\0')
		ms_json_member_text(&w, "secret", ms_slice_cstr(task->secret));
	ms_json_member_text(&w, "hint", c->hint);
	json_flag(&w, "confidential", c->confidential);
	json_flag(&w, "trusted", c->trusted);
	json_flag(&w, "introspects", c->introspects);
	ms_json_key_lit(&w, "grant_types");
	ms_json_begin_array(&w);
	for (unsigned bit = OAUTH_CODE; bit <= OAUTH_DEVICE; bit <<= 1) {
		if ((c->grant_types & bit) != 0)
			ms_json_cstr(&w, ms_oauth_grant_name((enum oauth_grant_type)bit));
	}
	ms_json_end_array(&w);
	json_lines(&w, "redirect_uris", c->redirect_uris);
	json_lines(&w, "post_logout_redirect_uris", c->logout_uris);
	ms_json_member_text(&w, "scope", c->scope);
	ms_json_member_time(&w, "created_at", c->created_us);
	ms_json_member_time(&w, "secret_changed_at", c->secret_changed_us);
	ms_json_end_object(&w);
	ms_buf_append_char(out, '\n');
}

static void text_line(struct buf *out, const char *name, struct slice text)
{
	if (text.n > 0)
		ms_buf_printf(out, "%-14s%.*s\n", name, MS_SLICE_ARG(text));
}

static void text_lines(struct buf *out, const char *name, struct slice lines)
{
	struct slice line;
	while (ms_slice_next(&lines, '\n', &line))
		text_line(out, name, line);
}

static void time_line(struct buf *out, const char *name, int64_t unix_us)
{
	char text[MS_RFC3339_SIZE];
	text_line(out, name, ms_slice(text, ms_text_rfc3339(unix_us * 1000, text)));
}

static const char *kind_of(const struct oauth_client *c)
{
	return !c->confidential ? "public" : c->jwks.n > 0 ? "confidential, with keys" : "confidential";
}

static const char *short_name(unsigned bit)
{
	static const char *const names[] = {"code", "refresh", "client", "", "device"};
	return bit == OAUTH_DEVICE ? names[4] : names[bit / 2];
}

static void write_grants(struct buf *out, unsigned types)
{
	bool first = true;
	for (unsigned bit = OAUTH_CODE; bit <= OAUTH_DEVICE; bit <<= 1) {
		if ((types & bit) == 0)
			continue;
		ms_buf_append_cstr(out, first ? "" : ",");
		ms_buf_append_cstr(out, short_name(bit));
		first = false;
	}
}

static void write_text(const struct task *task, struct buf *out)
{
	const struct oauth_client *c = &task->client;
	text_line(out, "id:", c->id);
	text_line(out, "secret:", ms_slice_cstr(task->secret));
	text_line(out, "name:", c->name);
	text_line(out, "kind:", ms_slice_cstr(kind_of(c)));
	ms_buf_append_cstr(out, "grants:       ");
	write_grants(out, c->grant_types);
	ms_buf_append_char(out, '\n');
	text_line(out, "scope:", c->scope);
	text_lines(out, "redirect:", c->redirect_uris);
	text_lines(out, "after logout:", c->logout_uris);
	if (c->trusted)
		ms_buf_append_cstr(out, "trusted:      nobody is asked for consent\n");
	if (c->introspects)
		ms_buf_append_cstr(out, "introspects:  tokens of every client\n");
	text_line(out, "begins:", c->hint);
	time_line(out, "created:", c->created_us);
	if (c->secret_changed_us != c->created_us)
		time_line(out, "new secret:", c->secret_changed_us);
	if (task->secret[0] != '\0')
		ms_buf_append_cstr(out, "The secret is shown this once: keep it now.\n");
}

static enum cli_exit print_client(struct task *task)
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

// --- add ---------------------------------------------------------------------------------------------

static enum ms_err add(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct oauth_client made;
	MS_TRY(ms_oauth_client_add(tx, task->admin.state.auth, &task->admin.authority, &task->wanted, info, &made,
				   task->secret));
	return ms_oauth_client_copy(&made, &task->cli->arena, info, &task->client);
}

// Commas of the command line become lines.
static enum ms_err take_list(struct task *task, const char *name, struct errinfo *info, struct slice *ret_lines)
{
	struct slice text = ms_cli_option_text(task->cli, name);
	char *lines = ms_arena_cstr(&task->cli->arena, text);
	if (lines == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < text.n; i++)
		lines[i] = lines[i] == ',' ? '\n' : lines[i];
	*ret_lines = ms_slice(lines, text.n);
	return MS_OK;
}

static enum ms_err take_grants(struct task *task, struct errinfo *info)
{
	struct slice rest = ms_cli_option_text(task->cli, "grants"), part;
	if (rest.n == 0)
		rest = MS_SLICE_LIT("code,refresh");
	while (ms_slice_next(&rest, ',', &part)) {
		unsigned bit = OAUTH_CODE;
		part = ms_slice_trim(part);
		while (bit <= OAUTH_DEVICE && !ms_slice_eq_cstr(part, short_name(bit)))
			bit <<= 1;
		if (bit > OAUTH_DEVICE)
			return ms_fail(info, MS_ERR_INVALID,
				       "--grants: '%.*s' is none of code, refresh, client, device", MS_SLICE_ARG(part));
		task->wanted.grant_types |= bit;
	}
	return MS_OK;
}

static enum ms_err take_jwks(struct task *task, struct errinfo *info)
{
	struct slice bytes;
	const char *path = ms_cli_option(task->cli, "jwks");
	if (path == NULL)
		return MS_OK;
	MS_TRY(ms_file_read(path, JWKS_FILE_MAX, info, &bytes));
	task->wanted.jwks = ms_arena_copy(&task->cli->arena, bytes);
	free((void *)(uintptr_t)bytes.p);
	return task->wanted.jwks.p != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static enum cli_exit run_add(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	task.wanted.name = task.id;
	task.wanted.confidential = ms_cli_option(cli, "public") == NULL;
	task.wanted.trusted = ms_cli_option(cli, "trusted") != NULL;
	task.wanted.introspects = ms_cli_option(cli, "introspects") != NULL;
	task.wanted.scope = ms_cli_option(cli, "scope") != NULL ? ms_cli_option_text(cli, "scope")
								: MS_SLICE_LIT("openid profile email offline_access");
	enum ms_err err = take_list(&task, "redirect", &info, &task.wanted.redirect_uris);
	if (err == MS_OK)
		err = take_list(&task, "after-logout", &info, &task.wanted.logout_uris);
	if (err == MS_OK)
		err = take_grants(&task, &info);
	if (err == MS_OK)
		err = take_jwks(&task, &info);
	if (err == MS_OK)
		err = ms_store_write_wait(task.admin.state.store, add, &task, &info);
	if (err == MS_OK)
		status = print_client(&task);
	return end(&task, err, &info, status);
}

static const struct cli_option add_options[] = {
	{.name = "redirect", .value = "LIST", .help = "Addresses it may be answered at: https://app.example/callback"},
	{.name = "scope",
	 .value = "WORDS",
	 .help = "What it may ask for: \"openid predict:churn\"; default openid profile email offline_access"},
	{.name = "grants", .value = "LIST", .help = "Of code, refresh, client, device; default code,refresh"},
	{.name = "public", .help = "A program on people's machines, or a page: it has no secret"},
	{.name = "trusted",
	 .help = "The operator's own: nobody is asked for consent, if no other program can pose as it"},
	{.name = "introspects", .help = "A resource server: may ask about every token"},
	{.name = "after-logout", .value = "LIST", .help = "Addresses to go on to after signing out"},
	{.name = "jwks", .value = "FILE", .help = "Its public keys, instead of a secret (private_key_jwt)"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_client_add = {
	.noun = "client",
	.verb = "add",
	.arguments = "NAME",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Register an OAuth client",
	.details = "NAME is what people see when they are asked for consent. The secret is shown this once; its "
		   "SHA-256 is stored.\n",
	.options = add_options,
	.option_count = MS_ARRAY_LEN(add_options),
	.settings = true,
	.run = run_add,
};

// --- list, show --------------------------------------------------------------------------------------

static enum ms_err add_row(struct task *task, const struct oauth_client *c)
{
	struct arena *arena = &task->cli->arena;
	struct buf grants;
	ms_buf_init(&grants, 256);
	write_grants(&grants, c->grant_types);
	const char *cells[] = {ms_arena_cstr(arena, c->name), c->confidential ? "confidential" : "public",
			       ms_arena_cstr(arena, ms_buf_slice(&grants)), ms_arena_cstr(arena, c->scope),
			       ms_arena_cstr(arena, c->id)};
	ms_buf_fini(&grants);
	if (cells[0] == NULL || cells[2] == NULL || cells[3] == NULL || cells[4] == NULL)
		return MS_ERR_NO_MEMORY;
	task->after = ms_slice_cstr(cells[4]);
	return ms_table_add(task->table, cells);
}

static enum ms_err list_page(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct oauth_client *clients;
	MS_TRY(ms_oauth_client_list(tx, task->after, PAGE, info, &clients, &task->listed));
	for (size_t i = 0; i < task->listed; i++) {
		enum ms_err err = add_row(task, &clients[i]);
		if (err != MS_OK)
			return ms_fail(info, err, "out of memory");
	}
	return MS_OK;
}

static enum cli_exit run_list(struct cli *cli)
{
	static const struct table_column columns[] = {{"NAME", "name", TABLE_TEXT},
						      {"KIND", "kind", TABLE_TEXT},
						      {"GRANTS", "grants", TABLE_TEXT},
						      {"SCOPE", "scope", TABLE_TEXT},
						      {"ID", "id", TABLE_TEXT}};
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

const struct cli_command ms_cmd_client_list = {
	.noun = "client",
	.verb = "list",
	.arguments = "",
	.summary = "List the OAuth clients",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_list,
};

static enum ms_err show(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct oauth_client client;
	MS_TRY(ms_oauth_client_get(tx, task->id, info, &client));
	return ms_oauth_client_copy(&client, &task->cli->arena, info, &task->client);
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
		status = print_client(&task);
	return end(&task, err, &info, status);
}

#define ONE_ID                                                                             \
	.arguments = "ID", .min_arguments = 1, .max_arguments = 1, .options = json_option, \
	.option_count = MS_ARRAY_LEN(json_option), .settings = true

const struct cli_command ms_cmd_client_show = {
	.noun = "client",
	.verb = "show",
	.summary = "Show an OAuth client (not its secret, which is nowhere)",
	ONE_ID,
	.run = run_show,
};

// --- rotate-secret, remove ---------------------------------------------------------------------------

static enum ms_err rotate(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct oauth_client made;
	MS_TRY(ms_oauth_client_rotate(tx, task->admin.state.auth, &task->admin.authority, task->id, info, &made,
				      task->secret));
	return ms_oauth_client_copy(&made, &task->cli->arena, info, &task->client);
}

static enum cli_exit run_rotate(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	enum ms_err err = ms_store_write_wait(task.admin.state.store, rotate, &task, &info);
	if (err == MS_OK)
		status = print_client(&task);
	return end(&task, err, &info, status);
}

const struct cli_command ms_cmd_client_rotate_secret = {
	.noun = "client",
	.verb = "rotate-secret",
	.summary = "Make a new secret; the old one and the client's own tokens end at once",
	ONE_ID,
	.run = run_rotate,
};

static enum ms_err remove_client(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	MS_TRY(show(tx, task, info));
	return ms_oauth_client_remove(tx, task->admin.state.auth, &task->admin.authority, task->id, info);
}

static enum cli_exit run_remove(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task);
	if (status != CLI_OK)
		return status;
	enum ms_err err = ms_store_write_wait(task.admin.state.store, remove_client, &task, &info);
	if (err == MS_OK && ms_cli_option(cli, "json") != NULL)
		status = print_client(&task);
	else if (err == MS_OK)
		fprintf(cli->out, "removed client %.*s (%.*s)\n", MS_SLICE_ARG(task.client.name),
			MS_SLICE_ARG(task.client.id));
	return end(&task, err, &info, status);
}

const struct cli_command ms_cmd_client_remove = {
	.noun = "client",
	.verb = "remove",
	.summary = "Remove an OAuth client; its sessions and tokens end",
	ONE_ID,
	.run = run_remove,
};
