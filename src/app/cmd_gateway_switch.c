// SPDX-License-Identifier: Apache-2.0
// `mainstay gateway switch`: blue and green from the command line, on the store itself; servers take it up within moments.
#include <stdlib.h>

#include "app/admin.h"
#include "app/commands.h"
#include "gateway/gateway.h"
#include "rt/rt.h"
#include "wire/wire.h"
#include "json/json.h"

#define FILE_MAX ((size_t)16 << 20)
#define OUTPUT_MAX ((size_t)1 << 24)
#define ANSWER_MAX ((size_t)1 << 20)
#define TIMEOUT_MS 10000
#define TIMEOUT_MAX_MS 60000

struct task {
	struct cli *cli;
	struct admin admin;
	struct gateway_edit edit;
	struct slice file; // malloc'd
	struct slice upstream, name, smoke;
	struct gateway_group group; // in the command's arena
	uint64_t status, timeout_ms;
	struct buf out, asked; // asked: members of a JSON array
};

// --- The smoke check ---------------------------------------------------------------------------------------

static void tell(struct task *task, struct slice target, int status, bool good, const char *problem)
{
	struct json_writer w;
	if (ms_cli_option(task->cli, "json") == NULL) {
		ms_buf_printf(&task->out, "%s %.*s%.*s: ", good ? "ok    " : "failed", MS_SLICE_ARG(target),
			      MS_SLICE_ARG(task->smoke));
		if (status > 0)
			ms_buf_printf(&task->out, "%d\n", status);
		else
			ms_buf_printf(&task->out, "%s\n", problem);
		return;
	}
	if (task->asked.n > 0)
		ms_buf_append_char(&task->asked, ',');
	ms_json_writer_init(&w, &task->asked);
	ms_json_begin_object(&w);
	ms_json_member_text(&w, "target", target);
	ms_json_key_lit(&w, "status");
	if (status > 0)
		ms_json_i64(&w, status);
	else
		ms_json_null(&w);
	ms_json_key_lit(&w, "ok");
	ms_json_bool(&w, good);
	ms_json_member_text(&w, "problem", ms_slice_cstr(problem));
	ms_json_end_object(&w);
}

static bool ask(struct task *task, const struct wire_client *client, struct slice origin)
{
	struct arena *arena = &task->cli->arena;
	struct errinfo info;
	struct wire_answer answer = {0};
	const char *url = ms_arena_printf(arena, "%.*s%.*s", MS_SLICE_ARG(origin), MS_SLICE_ARG(task->smoke));
	ms_errinfo_init(&info);
	if (url == NULL) {
		tell(task, origin, 0, false, "out of memory");
		return false;
	}
	const struct wire_request request = {
		.url = ms_slice_cstr(url), .host = task->group.host_header, .max_bytes = ANSWER_MAX};
	if (ms_wire_fetch(client, &request, arena, &info, &answer) != MS_OK) {
		tell(task, origin, 0, false, info.message);
		return false;
	}
	bool good = task->status > 0 ? (uint64_t)answer.status == task->status
				     : answer.status >= 200 && answer.status < 400;
	tell(task, origin, answer.status, good, good ? "" : "this status was not expected");
	return good;
}

static enum ms_err ask_all(struct task *task, struct errinfo *info)
{
	const struct wire_options options = {.user_agent = "mainstay/" MAINSTAY_VERSION,
					     .ca_file = "",
					     .proxy = "",
					     .timeout_ms = task->timeout_ms,
					     .allow_loopback = true,
					     .allow_plain = true};
	struct wire_client *client;
	bool good = true;
	if (task->smoke.n == 0)
		return MS_OK;
	if (task->group.unasked != NULL)
		return ms_fail(info, MS_ERR_UNSUPPORTED, "--smoke: %s", task->group.unasked);
	MS_TRY(ms_wire_new(&options, info, &client));
	for (size_t i = 0; i < task->group.count; i++)
		good &= ask(task, client, task->group.origins[i]);
	ms_wire_free(client);
	return good ? MS_OK : ms_fail(info, MS_ERR_CONFLICT, "the smoke check failed; nothing was switched");
}

// --- The switch --------------------------------------------------------------------------------------------

// The transaction's arena ends with it.
static enum ms_err look(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	struct arena *arena = &task->cli->arena;
	struct gateway_group *g = &task->group;
	MS_TRY(ms_gateway_group(tx, &task->edit, task->upstream, task->name, info, g));
	struct slice *origins = MS_ARENA_ARRAY(arena, struct slice, MS_MAX(g->count, (size_t)1));
	for (size_t i = 0; origins != NULL && i < g->count; i++)
		origins[i] = ms_arena_copy(arena, g->origins[i]);
	g->origins = origins;
	g->previous = ms_arena_copy(arena, g->previous);
	g->host_header = ms_arena_copy(arena, g->host_header);
	return origins != NULL ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
}

static enum ms_err change(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct task *task = arg;
	return ms_gateway_switch(tx, &task->edit, task->upstream, task->name, info);
}

static void write_outcome(struct task *task)
{
	const struct gateway_edit *e = &task->edit;
	struct slice previous = task->group.previous;
	struct json_writer w;
	if (ms_cli_option(task->cli, "json") == NULL) {
		if (!e->changed)
			ms_buf_printf(&task->out, "nothing changed; version %lld\n", (long long)e->version);
		else
			ms_buf_printf(&task->out, "%.*s: %.*s → %.*s, version %lld\n", MS_SLICE_ARG(task->upstream),
				      MS_SLICE_ARG(previous.n > 0 ? previous : MS_SLICE_LIT("all groups")),
				      MS_SLICE_ARG(task->name), (long long)e->version);
		return;
	}
	ms_json_writer_init(&w, &task->out);
	ms_json_begin_object(&w);
	ms_json_member_text(&w, "upstream", task->upstream);
	ms_json_member_text(&w, "group", task->name);
	ms_json_member_text(&w, "previous", previous);
	ms_json_key_lit(&w, "version");
	ms_json_i64(&w, e->version);
	ms_json_key_lit(&w, "changed");
	ms_json_bool(&w, e->changed);
	ms_json_end_object(&w);
	task->out.n--; // the brace comes after what was asked
	ms_buf_printf(&task->out, ",\"smoke\":[%.*s]}\n", MS_SLICE_ARG(ms_buf_slice(&task->asked)));
}

static enum ms_err run_steps(struct task *task, struct errinfo *info)
{
	struct store *store = task->admin.state.store;
	const struct settings *settings = ms_config_settings(task->admin.config);
	task->edit.name = settings->gateway_file;
	if (settings->gateway_file[0] != '\0')
		MS_TRY(ms_file_read(settings->gateway_file, FILE_MAX, info, &task->file));
	task->edit.text = task->file;
	MS_TRY(ms_store_read_wait(store, look, task, info));
	MS_TRY(ask_all(task, info));
	task->edit.expected = task->group.version; // what was asked is what is switched to
	return ms_store_write_wait(store, change, task, info);
}

static enum cli_exit finish(struct task *task, enum ms_err err, const struct errinfo *info)
{
	enum cli_exit status = CLI_OK;
	if (err == MS_OK)
		write_outcome(task);
	if (task->out.n > 0)
		status = ms_cli_print(task->cli, &task->out);
	if (err == MS_ERR_CONFIG && task->edit.words.n > 0)
		fwrite(task->edit.words.p, 1, task->edit.words.n, task->cli->err);
	if (err != MS_OK)
		status = ms_cli_fail(task->cli, info);
	free((void *)(uintptr_t)task->file.p);
	ms_buf_fini(&task->edit.words);
	ms_buf_fini(&task->out);
	ms_buf_fini(&task->asked);
	ms_admin_end(&task->admin);
	return status;
}

static bool read_number(struct cli *cli, const char *name, uint64_t low, uint64_t high, uint64_t *ret_value)
{
	const char *text = ms_cli_option(cli, name);
	return text == NULL ||
	       (ms_slice_to_u64(ms_slice_cstr(text), ret_value) && *ret_value >= low && *ret_value <= high);
}

static enum cli_exit run_switch(struct cli *cli)
{
	struct task task = {.cli = cli, .timeout_ms = TIMEOUT_MS};
	struct errinfo info;
	ms_errinfo_init(&info);
	task.upstream = ms_slice_cstr(cli->arguments[0]);
	task.name = ms_slice_cstr(cli->arguments[1]);
	if (ms_cli_option(cli, "smoke") != NULL)
		task.smoke = ms_cli_option_text(cli, "smoke");
	if (task.smoke.p != NULL && (task.smoke.n == 0 || task.smoke.p[0] != '/'))
		return ms_cli_usage(cli, "--smoke: expected a path that begins with /");
	if (!read_number(cli, "status", 100, 599, &task.status))
		return ms_cli_usage(cli, "--status: expected 100 to 599");
	if (!read_number(cli, "timeout", 1, TIMEOUT_MAX_MS, &task.timeout_ms))
		return ms_cli_usage(cli, "--timeout: expected 1 to %d milliseconds", TIMEOUT_MAX_MS);
	enum cli_exit status = ms_admin_begin(cli, &task.admin);
	if (status != CLI_OK)
		return status;
	// A server without auth could not read what is sealed.
	task.edit.auth = ms_config_settings(task.admin.config)->auth ? task.admin.state.auth : NULL;
	task.edit.by = &task.admin.op.actor;
	task.edit.comment = ms_cli_option_text(cli, "comment");
	task.edit.expected = -1;
	if (task.edit.comment.p == NULL) {
		const char *comment =
			ms_arena_printf(&cli->arena, "switch of %s to %s", cli->arguments[0], cli->arguments[1]);
		task.edit.comment = comment != NULL ? ms_slice_cstr(comment) : MS_SLICE_EMPTY;
	}
	ms_buf_init(&task.edit.words, OUTPUT_MAX);
	ms_buf_init(&task.out, OUTPUT_MAX);
	ms_buf_init(&task.asked, OUTPUT_MAX);
	enum ms_err err = run_steps(&task, &info);
	return finish(&task, err, &info);
}

static const struct cli_option options[] = {
	{.name = "smoke",
	 .value = "PATH",
	 .help = "Ask each target of the group for PATH first; one that fails stops the switch"},
	{.name = "status", .value = "N", .help = "Status that is expected; else any from 200 to 399"},
	{.name = "timeout", .value = "MS", .help = "Longest wait for an answer, default 10000"},
	{.name = "comment", .value = "TEXT", .help = "Why, for the history"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_gateway_switch = {
	.noun = "gateway",
	.verb = "switch",
	.arguments = "UPSTREAM GROUP",
	.min_arguments = 2,
	.max_arguments = 2,
	.summary = "Send the traffic of an upstream to another group of its targets",
	.details = "Blue and green: sets active_group, as a new version, in one step. Switching to the group before, "
		   "without "
		   "--smoke,\nis the way back; `mainstay gateway rollback` too.\n",
	.options = options,
	.option_count = MS_ARRAY_LEN(options),
	.settings = true,
	.run = run_switch,
};
