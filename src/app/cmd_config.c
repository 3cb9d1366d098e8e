// SPDX-License-Identifier: Apache-2.0
// The settings: what is wrong with them, what is in force, what there is.
#include "app/commands.h"
#include "app/reference.h"
#include "app/table.h"
#include "app/width.h"
#include "json/json.h"

#define OUTPUT_MAX ((size_t)32 << 20)

// --- check -------------------------------------------------------------------------------------------

struct findings {
	struct cli *cli;
	struct json_writer *json; // NULL: lines on standard error
	enum config_layer first;
	size_t count;
};

static void note_problem(const struct config_problem *problem, void *arg)
{
	struct findings *f = arg;
	if (f->count++ == 0)
		f->first = problem->layer;
	if (f->json == NULL) {
		fprintf(f->cli->err, "%s\n", problem->message);
		return;
	}
	ms_json_begin_object(f->json);
	ms_json_key_lit(f->json, "line");
	if (problem->line > 0)
		ms_json_i64(f->json, problem->line);
	else
		ms_json_null(f->json);
	ms_json_key_lit(f->json, "key");
	if (problem->key[0] != '\0')
		ms_json_cstr(f->json, problem->key);
	else
		ms_json_null(f->json);
	ms_json_key_lit(f->json, "message");
	ms_json_cstr(f->json, problem->message);
	ms_json_end_object(f->json);
}

// Loads and throws away. A failure without a single problem (an unreadable file) is one too.
static enum ms_err find_problems(struct cli *cli, struct findings *f)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	struct config *config = NULL;
	enum ms_err err = ms_settings_load(&cli->origin, note_problem, f, &info, &config);
	ms_config_free(config);
	if (err != MS_OK && f->count == 0)
		note_problem(
			&(struct config_problem){.layer = CONFIG_FILE, .key = "", .line = -1, .message = info.message},
			f);
	return err;
}

static enum cli_exit check_status(const struct findings *f)
{
	if (f->count == 0)
		return CLI_OK;
	return f->first == CONFIG_FLAGS ? CLI_USAGE : CLI_FAILED;
}

static enum cli_exit check_json(struct cli *cli, const char *path)
{
	struct buf out;
	struct json_writer w;
	ms_buf_init(&out, OUTPUT_MAX);
	ms_json_writer_init(&w, &out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "file");
	if (path != NULL)
		ms_json_cstr(&w, path);
	else
		ms_json_null(&w);
	ms_json_key_lit(&w, "problems");
	ms_json_begin_array(&w);
	struct findings f = {.cli = cli, .json = &w};
	enum ms_err err = find_problems(cli, &f);
	ms_json_end_array(&w);
	ms_json_key_lit(&w, "valid");
	ms_json_bool(&w, err == MS_OK);
	ms_json_end_object(&w);
	ms_buf_append_char(&out, '\n');
	enum cli_exit status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	return status != CLI_OK ? status : check_status(&f);
}

static enum cli_exit run_check(struct cli *cli)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	if (cli->argument_count > 0 && cli->origin.config_path != NULL)
		return ms_cli_usage(cli, "the file is given twice, as argument and as --config");
	if (cli->argument_count > 0)
		cli->origin.config_path = cli->arguments[0];
	if (cli->origin.config_path != NULL && cli->origin.config_path[0] == '\0')
		return ms_cli_usage(cli, "the name of the file is empty");
	const char *path;
	if (ms_settings_locate(&cli->origin, &cli->arena, &info, &path) != MS_OK)
		return ms_cli_fail(cli, &info);
	if (ms_cli_option(cli, "json") != NULL)
		return check_json(cli, path);
	struct findings f = {.cli = cli};
	if (find_problems(cli, &f) != MS_OK) {
		fprintf(cli->err, "mainstay: %zu problem%s%s\n", f.count, f.count == 1 ? "" : "s",
			f.count >= MS_CONFIG_MAX_PROBLEMS ? "; there may be more" : "");
		return check_status(&f);
	}
	struct buf out;
	ms_buf_init(&out, 8192);
	ms_width_append(&out, ms_slice_cstr(path != NULL ? path : "no settings file"), 4096);
	ms_buf_append_cstr(&out, ": the settings are valid\n");
	enum cli_exit status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	return status;
}

static const struct cli_option check_options[] = {{.name = "json", .help = "For programs: one JSON object"}};

const struct cli_command ms_cmd_config_check = {
	.noun = "config",
	.verb = "check",
	.arguments = "[FILE]",
	.max_arguments = 1,
	.summary = "Look for mistakes without starting anything",
	.details =
		"Reads what `mainstay run` would read - the file, the environment, the flags - and prints every\n"
		"problem with its line. Exit status: 0 all is well, 1 there are problems, 2 the first is in a flag.\n",
	.options = check_options,
	.option_count = MS_ARRAY_LEN(check_options),
	.settings = true,
	.run = run_check,
};

// --- dump --------------------------------------------------------------------------------------------

static enum cli_exit run_dump(struct cli *cli)
{
	struct config *config;
	enum cli_exit status = ms_cli_load_config(cli, &config);
	if (status != CLI_OK)
		return status;
	struct buf out;
	ms_buf_init(&out, OUTPUT_MAX);
	if (ms_cli_option(cli, "json") != NULL)
		ms_config_dump_json(config, &out);
	else
		ms_config_dump_yaml(config, &out);
	status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	ms_config_free(config);
	return status;
}

static const struct cli_option dump_options[] = {
	{.name = "json", .help = "For programs: one JSON object, keyed by setting"}};

const struct cli_command ms_cmd_config_dump = {
	.noun = "config",
	.verb = "dump",
	.arguments = "",
	.summary = "Show every setting in force and where it comes from",
	.details =
		"The output is a settings file itself, with source and default of each value as comments. Secrets are\n"
		"not in it.\n",
	.options = dump_options,
	.option_count = MS_ARRAY_LEN(dump_options),
	.settings = true,
	.run = run_dump,
};

// --- reference ---------------------------------------------------------------------------------------

static enum ms_err fill_table(struct table *table)
{
	for (size_t i = 0; i < ms_config_count(); i++) {
		struct setting_view view;
		ms_config_view(NULL, i, &view);
		const char *cells[] = {view.key,
				       view.kind,
				       view.range[0] != '\0' ? view.range : NULL,
				       view.default_text,
				       view.flag[0] != '\0' ? view.flag : NULL,
				       view.env,
				       view.reloadable ? "true" : "false",
				       view.help};
		MS_TRY(ms_table_add(table, cells));
	}
	return MS_OK;
}

static enum cli_exit run_reference(struct cli *cli)
{
	static const struct table_column columns[] = {
		{"SETTING", "key", TABLE_TEXT},
		{"TYPE", "type", TABLE_TEXT},
		{"RANGE", "range", TABLE_TEXT},
		{"DEFAULT", "default", TABLE_TEXT},
		{"FLAG", "flag", TABLE_TEXT},
		{"VARIABLES", "variables", TABLE_TEXT},
		{"RELOAD", "reloadable", TABLE_BOOLEAN},
		{"MEANING", "help", TABLE_TEXT},
	};
	bool json = ms_cli_option(cli, "json") != NULL, markdown = ms_cli_option(cli, "markdown") != NULL;
	if (json && markdown)
		return ms_cli_usage(cli, "--json and --markdown exclude each other");
	struct buf out;
	ms_buf_init(&out, OUTPUT_MAX);
	struct table table;
	ms_table_init(&table, &cli->arena, columns, MS_ARRAY_LEN(columns));
	enum ms_err err = fill_table(&table);
	if (err != MS_OK)
		out.failed = true;
	else if (markdown)
		ms_reference_markdown(&out);
	else if (json)
		ms_table_write_json(&table, &out);
	else
		ms_table_write_text(&table, ms_width_of_terminal(cli->out), &out);
	enum cli_exit status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	return status;
}

static const struct cli_option reference_options[] = {
	{.name = "json", .help = "For programs: one JSON array"},
	{.name = "markdown", .help = "As docs/configuration.md", .hidden = true},
};

const struct cli_command ms_cmd_config_reference = {
	.noun = "config",
	.verb = "reference",
	.arguments = "",
	.summary = "List every setting there is: type, default, variables, flag",
	.options = reference_options,
	.option_count = MS_ARRAY_LEN(reference_options),
	.run = run_reference,
};
