// SPDX-License-Identifier: Apache-2.0
// `mainstay user mfa …`: for people who lost their second factor. Whoever runs this has to know that it is they.
#include <unistd.h>

#include "app/commands.h"
#include "app/state.h"
#include "json/json.h"

#define OUTPUT_MAX ((size_t)1 << 16)

struct task {
	struct cli *cli;
	struct state state;
	struct auth_actor actor;
	struct slice name;
	struct auth_factors factors;
	char username[MS_AUTH_NAME_MAX + 1];
};

static enum ms_err find(struct store_tx *tx, struct task *task, struct errinfo *info, struct auth_user *ret_user)
{
	MS_TRY(ms_auth_user_find(tx, task->name, info, ret_user));
	snprintf(task->username, sizeof(task->username), "%.*s", MS_SLICE_ARG(ret_user->username));
	return MS_OK;
}

static enum ms_err show(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_user user;
	MS_TRY(find(tx, task, info, &user));
	return ms_auth_factors(tx, user.id, info, &task->factors);
}

static enum ms_err reset(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_user user;
	const struct auth_authority authority = {.by = &task->actor};
	MS_TRY(find(tx, task, info, &user));
	return ms_auth_factors_reset(tx, task->state.auth, &authority, user.id, info, &task->factors);
}

static enum cli_exit print_json(struct task *task)
{
	struct buf out;
	struct json_writer w;
	ms_buf_init(&out, OUTPUT_MAX);
	ms_json_writer_init(&w, &out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "user");
	ms_json_cstr(&w, task->username);
	ms_json_key_lit(&w, "totp");
	ms_json_bool(&w, task->factors.totp);
	ms_json_key_lit(&w, "passkeys");
	ms_json_u64(&w, task->factors.passkeys);
	ms_json_key_lit(&w, "recovery_codes");
	ms_json_u64(&w, task->factors.recovery_codes);
	ms_json_end_object(&w);
	ms_buf_append_char(&out, '\n');
	enum cli_exit status = ms_cli_print(task->cli, &out);
	ms_buf_fini(&out);
	return status;
}

static void print_text(struct task *task, bool was_reset)
{
	const struct auth_factors *f = &task->factors;
	if (was_reset)
		fprintf(task->cli->out, "removed from user %s, whose sessions ended:\n", task->username);
	fprintf(task->cli->out, "TOTP:           %s\npasskeys:       %zu\nrecovery codes: %zu\n",
		f->totp ? "yes" : "no", f->passkeys, f->recovery_codes);
}

static enum cli_exit run_mfa(struct cli *cli)
{
	struct task task = {.cli = cli, .name = ms_slice_cstr(cli->arguments[0])};
	struct config *config = NULL;
	struct errinfo info;
	char who[32];
	ms_errinfo_init(&info);
	const char *what = cli->argument_count > 1 ? cli->arguments[1] : "show";
	bool is_reset = strcmp(what, "reset") == 0;
	if (!is_reset && strcmp(what, "show") != 0) {
		MS_IGNORE(ms_fail(&info, MS_ERR_INVALID, "'%s': show or reset", what));
		return ms_cli_fail(cli, &info);
	}
	enum cli_exit status = ms_state_of_command(cli, &config, &task.state);
	if (status != CLI_OK)
		return status;
	snprintf(who, sizeof(who), "uid %u", (unsigned)getuid());
	task.actor = ms_auth_actor_console(ms_slice_cstr(who));
	enum ms_err err = is_reset ? ms_store_write_wait(task.state.store, reset, &task, &info)
				   : ms_store_read_wait(task.state.store, show, &task, &info);
	if (err != MS_OK)
		status = ms_cli_fail(cli, &info);
	else if (ms_cli_option(cli, "json") != NULL)
		status = print_json(&task);
	else
		print_text(&task, is_reset);
	ms_state_close(&task.state);
	ms_config_free(config);
	return status;
}

static const struct cli_option options[] = {{.name = "json", .help = "For programs: JSON"}};

const struct cli_command ms_cmd_user_mfa = {
	.noun = "user",
	.verb = "mfa",
	.arguments = "NAME [show|reset]",
	.min_arguments = 1,
	.max_arguments = 2,
	.summary = "Show or remove a user's second factors",
	.details = "reset removes TOTP, passkeys and recovery codes and ends the user's sessions; his password stays. "
		   "It is recorded in the audit log.\n",
	.options = options,
	.option_count = MS_ARRAY_LEN(options),
	.settings = true,
	.run = run_mfa,
};
