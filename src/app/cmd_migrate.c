// SPDX-License-Identifier: Apache-2.0
// `mainstay migrate …`: the steps of the database, and applying them.
#include "app/commands.h"
#include "app/store.h"
#include "app/table.h"
#include "app/width.h"

#define OUTPUT_MAX ((size_t)4 << 20)

static const char *const states[] = {
	[STORE_STEP_PENDING] = "pending",
	[STORE_STEP_APPLIED] = "applied",
	[STORE_STEP_CHANGED] = "changed",
	[STORE_STEP_UNKNOWN] = "unknown",
};

static const struct table_column columns[] = {
	{"MODULE", "module", TABLE_TEXT},   {"VERSION", "version", TABLE_NUMBER}, {"STATE", "state", TABLE_TEXT},
	{"APPLIED", "applied", TABLE_TEXT}, {"NAME", "name", TABLE_TEXT},
};

static enum ms_err add_step(struct table *table, const struct store_step_state *step)
{
	char version[16], applied[MS_RFC3339_SIZE];
	snprintf(version, sizeof(version), "%u", step->version);
	if (step->applied_us > 0)
		ms_text_rfc3339(step->applied_us * 1000, applied);
	return ms_table_add(table, (const char *const[]){step->module, version, states[step->state],
							 step->applied_us > 0 ? applied : NULL, step->name});
}

static enum ms_err make_table(struct cli *cli, struct store *store, struct errinfo *info, struct table *table)
{
	struct store_step_state *steps;
	size_t count;
	MS_TRY(ms_store_steps(store, &cli->arena, info, &steps, &count));
	ms_table_init(table, &cli->arena, columns, MS_ARRAY_LEN(columns));
	for (size_t i = 0; i < count; i++) {
		if (add_step(table, &steps[i]) != MS_OK)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the list");
	}
	return MS_OK;
}

typedef enum cli_exit with_store_fn(struct cli *cli, const struct settings *settings, struct store *store);

static enum cli_exit with_store(struct cli *cli, with_store_fn *fn)
{
	struct config *config;
	struct store *store;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = ms_cli_load_config(cli, &config);
	if (status != CLI_OK)
		return status;
	const struct settings *settings = ms_config_settings(config);
	if (ms_app_open_store(settings, APP_STORE_LOOK, NULL, NULL, &info, &store) == MS_OK) {
		status = fn(cli, settings, store);
		ms_store_free(store);
	} else {
		status = ms_cli_fail(cli, &info);
	}
	ms_config_free(config);
	return status;
}

static enum cli_exit show_status(struct cli *cli, const struct settings *settings, struct store *store)
{
	struct table table;
	struct errinfo info;
	struct buf out;
	(void)settings;
	ms_errinfo_init(&info);
	if (make_table(cli, store, &info, &table) != MS_OK)
		return ms_cli_fail(cli, &info);
	ms_buf_init(&out, OUTPUT_MAX);
	if (ms_cli_option(cli, "json") != NULL)
		ms_table_write_json(&table, &out);
	else
		ms_table_write_text(&table, ms_width_of_terminal(cli->out), &out);
	enum cli_exit status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	return status;
}

static enum cli_exit run_status(struct cli *cli)
{
	return with_store(cli, show_status);
}

static enum cli_exit apply(struct cli *cli, const struct settings *settings, struct store *store)
{
	struct errinfo info;
	size_t applied;
	char place[MS_STORE_PLACE_SIZE];
	ms_errinfo_init(&info);
	if (ms_app_prepare_store(settings, &info) != MS_OK || ms_app_store_place(settings, &info, place) != MS_OK ||
	    ms_store_migrate(store, &info, &applied) != MS_OK)
		return ms_cli_fail(cli, &info);
	if (ms_cli_option(cli, "json") != NULL)
		fprintf(cli->out, "{\"applied\":%zu}\n", applied);
	else if (applied == 0)
		fprintf(cli->out, "%s has all migrations\n", place);
	else
		fprintf(cli->out, "applied %zu migration%s to %s\n", applied, applied == 1 ? "" : "s", place);
	return CLI_OK;
}

static enum cli_exit run_up(struct cli *cli)
{
	return with_store(cli, apply);
}

static const struct cli_option json_option[] = {{.name = "json", .help = "For programs: JSON"}};

const struct cli_command ms_cmd_migrate_status = {
	.noun = "migrate",
	.verb = "status",
	.arguments = "",
	.summary = "List the migrations of the database: applied, pending, changed, unknown",
	.details = "Changes nothing. \"changed\": applied with another text than this program has; \"unknown\": made "
		   "by a newer\n"
		   "version. With either, and with pending ones on PostgreSQL (setting store.migrate), the server does "
		   "not start.\n",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_status,
};

const struct cli_command ms_cmd_migrate_up = {
	.noun = "migrate",
	.verb = "up",
	.arguments = "",
	.summary = "Apply the pending migrations to the database",
	.details = "Each in a transaction of its own. Several at once wait for each other.\n",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_up,
};
