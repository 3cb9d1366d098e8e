// SPDX-License-Identifier: Apache-2.0
// `mainstay user identities|link|unlink`: users' accounts at outside providers.
#include "app/commands.h"
#include "app/operator.h"
#include "app/state.h"
#include "json/json.h"

#define OUTPUT_MAX ((size_t)1 << 18)

struct task {
	struct cli *cli;
	struct config *config;
	struct state state;
	struct operator op;
	struct auth_authority authority;
	struct slice name, issuer, subject;
	struct buf out; // what is printed
	bool json;
};

static void write_time(struct buf *out, int64_t unix_us)
{
	char text[MS_RFC3339_SIZE];
	if (unix_us == 0)
		ms_buf_append_cstr(out, "never");
	else
		ms_buf_append(out, text, ms_text_rfc3339(unix_us * 1000, text));
}

static void write_json(struct json_writer *w, const struct auth_identity *identity)
{
	char text[MS_RFC3339_SIZE];
	ms_json_begin_object(w);
	ms_json_key_lit(w, "id");
	ms_json_str(w, identity->id);
	ms_json_key_lit(w, "issuer");
	ms_json_str(w, identity->issuer);
	ms_json_key_lit(w, "subject");
	ms_json_str(w, identity->subject);
	ms_json_key_lit(w, "created_at");
	ms_json_str(w, ms_slice(text, ms_text_rfc3339(identity->created_us * 1000, text)));
	ms_json_key_lit(w, "last_used_at");
	if (identity->used_us == 0)
		ms_json_null(w);
	else
		ms_json_str(w, ms_slice(text, ms_text_rfc3339(identity->used_us * 1000, text)));
	ms_json_end_object(w);
}

static void write_list(struct task *task, const struct auth_identity *all, size_t count)
{
	struct json_writer w;
	if (task->json) {
		ms_json_writer_init(&w, &task->out);
		ms_json_begin_array(&w);
		for (size_t i = 0; i < count; i++)
			write_json(&w, &all[i]);
		ms_json_end_array(&w);
		ms_buf_append_char(&task->out, '\n');
		return;
	}
	for (size_t i = 0; i < count; i++) {
		ms_buf_printf(&task->out, "%.*s  %.*s  %.*s  last used: ", MS_SLICE_ARG(all[i].id),
			      MS_SLICE_ARG(all[i].issuer), MS_SLICE_ARG(all[i].subject));
		write_time(&task->out, all[i].used_us);
		ms_buf_append_char(&task->out, '\n');
	}
	if (count == 0)
		ms_buf_append_cstr(&task->out, "none\n");
}

static enum ms_err list(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_user user;
	struct auth_identity *all;
	size_t count;
	MS_TRY(ms_auth_user_find(tx, task->name, info, &user));
	MS_TRY(ms_auth_identity_list(tx, user.id, info, &all, &count));
	ms_buf_clear(&task->out);
	write_list(task, all, count);
	return MS_OK;
}

static enum ms_err add(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_user user;
	struct auth_identity identity;
	MS_TRY(ms_auth_user_find(tx, task->name, info, &user));
	MS_TRY(ms_auth_identity_link(tx, task->state.auth, &task->authority, user.id, task->issuer, task->subject, info,
				     &identity));
	ms_buf_clear(&task->out);
	ms_buf_printf(&task->out, "linked user %.*s with %.*s at %.*s (%.*s)\n", MS_SLICE_ARG(user.username),
		      MS_SLICE_ARG(identity.subject), MS_SLICE_ARG(identity.issuer), MS_SLICE_ARG(identity.id));
	return MS_OK;
}

static enum ms_err drop(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct auth_user user;
	MS_TRY(ms_auth_user_find(tx, task->name, info, &user));
	MS_TRY(ms_auth_identity_unlink(tx, task->state.auth, &task->authority, user.id, task->subject, false, info));
	ms_buf_clear(&task->out);
	ms_buf_printf(&task->out, "removed the link of user %.*s\n", MS_SLICE_ARG(user.username));
	return MS_OK;
}

static enum ms_err work(struct task *task, store_fn *fn, struct errinfo *info)
{
	const char *issuer = fn == add ? ms_cli_option(task->cli, "issuer") : NULL;
	if (issuer == NULL)
		issuer = ms_config_settings(task->config)->provider_issuer;
	if (fn == add && issuer[0] == '\0')
		return ms_fail(info, MS_ERR_INVALID, "which provider? Give --issuer, or set identity.provider.issuer");
	task->issuer = ms_slice_cstr(issuer);
	return fn == list ? ms_store_read_wait(task->state.store, fn, task, info)
			  : ms_store_write_wait(task->state.store, fn, task, info);
}

static enum cli_exit run(struct cli *cli, store_fn *fn)
{
	struct task task = {.cli = cli, .name = ms_slice_cstr(cli->arguments[0])};
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = ms_state_of_command(cli, &task.config, &task.state);
	if (status != CLI_OK)
		return status;
	ms_operator_init(&task.op);
	task.authority = (struct auth_authority){.by = &task.op.actor};
	task.subject = cli->argument_count > 1 ? ms_slice_cstr(cli->arguments[1]) : MS_SLICE_EMPTY;
	task.json = fn == list && ms_cli_option(cli, "json") != NULL;
	ms_buf_init(&task.out, OUTPUT_MAX);
	enum ms_err err = work(&task, fn, &info);
	status = err == MS_OK ? ms_cli_print(cli, &task.out) : ms_cli_fail(cli, &info);
	ms_buf_fini(&task.out);
	ms_state_close(&task.state);
	ms_config_free(task.config);
	return status;
}

static enum cli_exit run_list(struct cli *cli)
{
	return run(cli, list);
}

static enum cli_exit run_link(struct cli *cli)
{
	return run(cli, add);
}

static enum cli_exit run_unlink(struct cli *cli)
{
	return run(cli, drop);
}

static const struct cli_option list_options[] = {{.name = "json", .help = "For programs: JSON"}};
static const struct cli_option link_options[] = {
	{.name = "issuer", .value = "URL", .help = "The provider; default: identity.provider.issuer"}};

const struct cli_command ms_cmd_user_identities = {
	.noun = "user",
	.verb = "identities",
	.arguments = "NAME",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "List a user's accounts at outside providers",
	.options = list_options,
	.option_count = MS_ARRAY_LEN(list_options),
	.settings = true,
	.run = run_list,
};

const struct cli_command ms_cmd_user_link = {
	.noun = "user",
	.verb = "link",
	.arguments = "NAME SUBJECT",
	.min_arguments = 2,
	.max_arguments = 2,
	.summary = "Let somebody at an outside provider sign in as a user",
	.details = "SUBJECT is the claim `sub` of the provider, never an e-mail address: whoever has it there is this "
		   "user "
		   "here from now on.\n",
	.options = link_options,
	.option_count = MS_ARRAY_LEN(link_options),
	.settings = true,
	.run = run_link,
};

const struct cli_command ms_cmd_user_unlink = {
	.noun = "user",
	.verb = "unlink",
	.arguments = "NAME ID",
	.min_arguments = 2,
	.max_arguments = 2,
	.summary = "Remove such a link",
	.details =
		"ID is that of `mainstay user identities`. Open sessions go on; `mainstay user disable` ends them.\n",
	.settings = true,
	.run = run_unlink,
};
