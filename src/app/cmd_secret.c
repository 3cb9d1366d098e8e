// SPDX-License-Identifier: Apache-2.0
// `mainstay secret …`: the secrets file, and the master key that seals it. A value is never an argument: other processes see those.
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "app/commands.h"
#include "app/operator.h"
#include "app/passwords.h"
#include "app/table.h"
#include "app/width.h"
#include "gateway/gateway.h"
#include "rt/rt.h"

#define MASTER_KEY "identity.master_key"

struct task {
	struct cli *cli;
	struct config *config; // without the file, which is what this is about
	const struct settings *settings;
	char path[MS_SETTINGS_PATH_MAX];
	struct vault *vault;
};

// `create`: a master key is made when there is none, unless the file is there already, which then belongs to a lost one.
static enum ms_err open_vault(struct task *task, bool create, struct errinfo *info)
{
	struct file_stat stat;
	struct errinfo ignored;
	ms_errinfo_init(&ignored);
	MS_TRY(ms_settings_secrets_path(task->settings, info, task->path));
	if (create)
		MS_TRY(ms_dir_create(task->settings->data_dir, info));
	bool fresh = ms_file_stat(task->path, &ignored, &stat) == MS_ERR_FILE_MISSING;
	const struct vault_options options = {.data_dir = task->settings->data_dir,
					      .master_key = task->settings->identity_master_key,
					      .create = create && fresh};
	return ms_vault_open(&options, info, &task->vault);
}

static enum cli_exit begin(struct cli *cli, struct task *task, bool create)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	*task = (struct task){.cli = cli};
	cli->origin.without_secrets = true;
	enum cli_exit status = ms_cli_load_config(cli, &task->config);
	if (status != CLI_OK)
		return status;
	task->settings = ms_config_settings(task->config);
	if (open_vault(task, create, &info) == MS_OK)
		return CLI_OK;
	ms_config_free(task->config);
	return ms_cli_fail(cli, &info);
}

static void end(struct task *task)
{
	ms_vault_free(task->vault);
	ms_config_free(task->config);
}

// Recorded with all settings in force, those of the file included. The change is done by now.
static void record(struct cli *cli, const char *name, const char *what)
{
	struct config *config;
	struct operator op;
	struct errinfo info;
	char target[256], details[64];
	ms_errinfo_init(&info);
	cli->origin.without_secrets = false;
	snprintf(target, sizeof(target), "secret:%s", name);
	snprintf(details, sizeof(details), "{\"what\":\"%s\"}", what);
	enum ms_err err = ms_settings_load(&cli->origin, NULL, NULL, &info, &config);
	if (err == MS_OK) {
		err = ms_operator_begin(&op, ms_config_settings(config), &info);
		if (err == MS_OK)
			err = ms_operator_record(&op, AUTH_SECRET_CHANGED, target, details, &info);
		ms_operator_end(&op);
		ms_config_free(config);
	}
	if (err != MS_OK)
		fprintf(cli->err, "mainstay: warning: this is not in the audit log: %s\n", info.message);
}

// The key of the setting that the argument names.
static enum cli_exit setting_of(struct cli *cli, const char **ret_key)
{
	struct setting_view view;
	size_t row = ms_config_find_secret(ms_slice_cstr(cli->arguments[0]));
	if (row == SIZE_MAX)
		return ms_cli_usage(
			cli, "\"%.128s\" is no secret setting; `mainstay config reference` lists those of type secret",
			cli->arguments[0]);
	ms_config_view(NULL, row, &view);
	if (strcmp(view.key, MASTER_KEY) == 0)
		return ms_cli_usage(cli, MASTER_KEY " opens the secrets file, so it cannot be in it");
	*ret_key = view.key;
	return CLI_OK;
}

// --- set, get, remove, list ------------------------------------------------------------------------------

// From standard input all of it, but for one line end behind it; from a terminal one line, hidden.
static enum ms_err read_value(struct cli *cli, struct errinfo *info, struct slice *ret_value)
{
	if (isatty(STDIN_FILENO) == 0) {
		MS_TRY(ms_fd_read_all(STDIN_FILENO, MS_SECRET_VALUE_MAX, info, ret_value));
		if (ms_slice_ends_with(*ret_value, MS_SLICE_LIT("\n")))
			ret_value->n--;
		if (ms_slice_ends_with(*ret_value, MS_SLICE_LIT("\r")))
			ret_value->n--;
		return MS_OK;
	}
	char *line = malloc(MS_APP_PASSWORD_SIZE);
	if (line == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	enum ms_err err = ms_password_ask(cli, "Value: ", info, line);
	if (err == MS_OK)
		*ret_value = ms_slice_cstr(line);
	else
		free(line);
	return err;
}

static enum cli_exit run_set(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	struct slice value = MS_SLICE_EMPTY;
	const char *key;
	ms_errinfo_init(&info);
	enum cli_exit status = setting_of(cli, &key);
	if (status == CLI_OK)
		status = begin(cli, &task, true);
	if (status != CLI_OK)
		return status;
	enum ms_err err = read_value(cli, &info, &value);
	if (err == MS_OK)
		err = value.n > 0 ? ms_secrets_set(task.path, task.vault, ms_slice_cstr(key), value, &info)
				  : ms_fail(&info, MS_ERR_INVALID, "no value was given; it comes from standard input");
	if (value.p != NULL)
		ms_wipe((void *)(uintptr_t)value.p, value.n);
	free((void *)(uintptr_t)value.p);
	end(&task);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	record(cli, key, "set");
	fprintf(cli->out, "set %s in the secrets file\n", key);
	return CLI_OK;
}

static enum cli_exit run_remove(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	const char *key;
	ms_errinfo_init(&info);
	enum cli_exit status = setting_of(cli, &key);
	if (status == CLI_OK)
		status = begin(cli, &task, false);
	if (status != CLI_OK)
		return status;
	enum ms_err err = ms_secrets_set(task.path, task.vault, ms_slice_cstr(key), MS_SLICE_EMPTY, &info);
	end(&task);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	record(cli, key, "removed");
	fprintf(cli->out, "removed %s from the secrets file\n", key);
	return CLI_OK;
}

static enum ms_err read_items(struct task *task, struct errinfo *info, struct secret_item **ret_items,
			      size_t *ret_count)
{
	enum ms_err err = ms_secrets_read(task->path, task->vault, &task->cli->arena, info, ret_items, ret_count);
	if (err == MS_ERR_FILE_MISSING)
		*ret_count = 0;
	return err == MS_ERR_FILE_MISSING ? MS_OK : err;
}

static enum cli_exit run_get(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	struct secret_item *items;
	size_t count = 0, at = 0;
	const char *key;
	ms_errinfo_init(&info);
	enum cli_exit status = setting_of(cli, &key);
	if (status == CLI_OK && ms_cli_option(cli, "reveal") == NULL)
		status = ms_cli_usage(cli, "this shows the secret to whoever sees the screen: say --reveal");
	if (status == CLI_OK)
		status = begin(cli, &task, false);
	if (status != CLI_OK)
		return status;
	enum ms_err err = read_items(&task, &info, &items, &count);
	while (err == MS_OK && at < count && !ms_slice_eq_cstr(items[at].name, key))
		at++;
	end(&task);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	if (at == count)
		return ms_cli_failf(cli, "there is no %s in the secrets file", key);
	record(cli, key, "revealed");
	fwrite(items[at].value.p, 1, items[at].value.n, cli->out);
	fputc('\n', cli->out);
	return CLI_OK;
}

static enum cli_exit run_list(struct cli *cli)
{
	static const struct table_column columns[] = {{"SECRET", "name", TABLE_TEXT}, {"BYTES", "bytes", TABLE_NUMBER}};
	struct task task;
	struct errinfo info;
	struct secret_item *items;
	struct table table;
	struct buf out;
	char bytes[24];
	size_t count = 0;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task, false);
	if (status != CLI_OK)
		return status;
	enum ms_err err = read_items(&task, &info, &items, &count);
	end(&task);
	ms_table_init(&table, &cli->arena, columns, MS_ARRAY_LEN(columns));
	for (size_t i = 0; err == MS_OK && i < count; i++) {
		snprintf(bytes, sizeof(bytes), "%zu", items[i].value.n);
		const char *name = ms_arena_cstr(&cli->arena, items[i].name);
		err = name != NULL ? ms_table_add(&table, (const char *const[]){name, bytes}) : MS_ERR_NO_MEMORY;
		if (err != MS_OK)
			MS_IGNORE(ms_fail(&info, err, "out of memory"));
	}
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	ms_buf_init(&out, (size_t)1 << 22);
	bool json = ms_cli_option(cli, "json") != NULL;
	if (json)
		ms_table_write_json(&table, &out);
	else if (count > 0)
		ms_table_write_text(&table, ms_width_of_terminal(cli->out), &out);
	else
		fputs("No secrets yet: mainstay secret set NAME\n", cli->err);
	status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	return status;
}

// --- rekey -----------------------------------------------------------------------------------------------

// The file first or the store first: both keys are in master.key from the first step to the last, so an end in between loses nothing and this
// command is typed again.
static enum ms_err rekey(struct task *task, struct store *store, bool finish, struct errinfo *info,
			 size_t *ret_resealed)
{
	bool own_file = task->settings->identity_master_key[0] == '\0';
	struct vault_rekey job = {.add = own_file && !finish};
	struct file_stat stat;
	struct errinfo ignored;
	ms_errinfo_init(&ignored);
	MS_TRY(ms_vault_rekey(task->vault, store, &job, info));
	MS_TRY(ms_store_write_wait(store, ms_gateway_reseal, task->vault, info));
	if (ms_file_stat(task->path, &ignored, &stat) == MS_OK) {
		MS_TRY(ms_secrets_reseal(task->path, task->vault, info));
		job.resealed++;
	}
	*ret_resealed = job.resealed;
	return finish ? ms_vault_drop_old(task->vault, info) : MS_OK;
}

static enum ms_err rekey_recorded(struct task *task, bool finish, struct errinfo *info, size_t *ret_resealed)
{
	struct config *config;
	struct operator op;
	char details[128], id[MS_VAULT_KEY_ID_SIZE];
	task->cli->origin.without_secrets = false;
	MS_TRY(ms_settings_load(&task->cli->origin, NULL, NULL, info, &config));
	ms_operator_init(&op);
	enum ms_err err =
		ms_state_open(&(struct state_options){.settings = ms_config_settings(config)}, info, &op.state);
	op.records = err == MS_OK;
	if (err == MS_OK)
		err = rekey(task, op.state.store, finish, info, ret_resealed);
	if (err == MS_OK) {
		ms_vault_key_id(task->vault, id);
		snprintf(details, sizeof(details), "{\"key\":\"%s\",\"resealed\":%zu,\"finished\":%s}", id,
			 *ret_resealed, finish ? "true" : "false");
		err = ms_operator_record(&op, AUTH_SECRET_REKEYED, "master-key", details, info);
	}
	ms_operator_end(&op);
	ms_config_free(config);
	return err;
}

static enum cli_exit run_rekey(struct cli *cli)
{
	struct task task;
	struct errinfo info;
	size_t resealed = 0;
	char id[MS_VAULT_KEY_ID_SIZE];
	bool finish = ms_cli_option(cli, "finish") != NULL;
	ms_errinfo_init(&info);
	enum cli_exit status = begin(cli, &task, false);
	if (status != CLI_OK)
		return status;
	enum ms_err err = rekey_recorded(&task, finish, &info, &resealed);
	ms_vault_key_id(task.vault, id);
	size_t keys = ms_vault_key_count(task.vault);
	bool own_file = task.settings->identity_master_key[0] == '\0';
	end(&task);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	fprintf(cli->out, "%zu sealed with the master key %s\n", resealed, id);
	if (keys > 1)
		fprintf(cli->err,
			own_file ? "The old key still opens what it sealed. Forget it: mainstay secret rekey --finish\n"
				 : "Take the old keys out of identity.master_key when every server has the new one.\n");
	return CLI_OK;
}

static const struct cli_option json_option[] = {{.name = "json", .help = "For programs: one JSON array"}};
static const struct cli_option reveal_option[] = {{.name = "reveal", .help = "Yes, show it"}};
static const struct cli_option finish_option[] = {
	{.name = "finish", .help = "Seal what is left and forget the old keys"}};

const struct cli_command ms_cmd_secret_set = {
	.noun = "secret",
	.verb = "set",
	.arguments = "NAME",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Keep a secret setting in the encrypted secrets file",
	.details = "NAME is the setting (database.password) or its variable (DB_PASSWORD). The value comes from\n"
		   "standard input, or is asked for. It is used where neither the environment nor mainstay.yaml gives\n"
		   "one, from the next start on.\n",
	.settings = true,
	.run = run_set,
};

const struct cli_command ms_cmd_secret_get = {
	.noun = "secret",
	.verb = "get",
	.arguments = "NAME --reveal",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Show a secret of the secrets file",
	.options = reveal_option,
	.option_count = MS_ARRAY_LEN(reveal_option),
	.settings = true,
	.run = run_get,
};

const struct cli_command ms_cmd_secret_list = {
	.noun = "secret",
	.verb = "list",
	.arguments = "",
	.summary = "List the names in the secrets file",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_list,
};

const struct cli_command ms_cmd_secret_remove = {
	.noun = "secret",
	.verb = "remove",
	.arguments = "NAME",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Remove a secret from the secrets file",
	.settings = true,
	.run = run_remove,
};

const struct cli_command ms_cmd_secret_rekey = {
	.noun = "secret",
	.verb = "rekey",
	.arguments = "",
	.summary = "Seal everything anew with a new master key",
	.details = "Puts a new key into <data_dir>/master.key and seals the store's secrets and the secrets file with "
		   "it.\n"
		   "The old key stays in the file until --finish; running servers go on. With the setting\n"
		   "identity.master_key: put the new key in front of the old one there, restart, then run this.\n",
	.options = finish_option,
	.option_count = MS_ARRAY_LEN(finish_option),
	.settings = true,
	.run = run_rekey,
};
