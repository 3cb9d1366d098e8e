// SPDX-License-Identifier: Apache-2.0
// `mainstay model …`: the model store from the command line. A running server on the same folder notices
// changes by itself (setting models.poll).
#include <errno.h>
#include <stdlib.h>

#include "app/commands.h"
#include "app/models.h"
#include "app/operator.h"
#include "app/table.h"
#include "app/width.h"
#include "registry/registry.h"
#include "rt/rt.h"
#include "json/json.h"

#define OUTPUT_MAX ((size_t)1 << 28)
#define METADATA_FILE_MAX ((size_t)4 << 20)

struct model_store {
	struct config *config;
	char dir[MS_MODELS_DIR_MAX];
	struct model_options model_options;
	struct progress loading; // of the model_options
};

static enum cli_exit open_store(struct cli *cli, struct model_store *store)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = ms_cli_load_config(cli, &store->config);
	if (status != CLI_OK)
		return status;
	store->model_options = ms_models_options(ms_config_settings(store->config));
	ms_models_show_loading(&store->model_options, &store->loading, cli->err);
	if (ms_models_dir(ms_config_settings(store->config), &info, store->dir) == MS_OK)
		return CLI_OK;
	ms_config_free(store->config);
	return ms_cli_fail(cli, &info);
}

// What changes the store of models is recorded in the audit log, where there is one; what could not be recorded is not done.
static enum ms_err begin_change(const struct model_store *store, struct operator* op, struct errinfo *info)
{
	return ms_operator_begin(op, ms_config_settings(store->config), info);
}

static enum ms_err record_change(struct operator* op, const char *model, const char *what, const char *version,
				 const char *alias, struct errinfo *info)
{
	struct buf details;
	struct json_writer w;
	char target[MS_MODEL_NAME_MAX + 16];
	snprintf(target, sizeof(target), "model:%.*s", MS_MODEL_NAME_MAX, model);
	ms_buf_init(&details, 4096);
	ms_json_writer_init(&w, &details);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "what");
	ms_json_cstr(&w, what);
	if (version != NULL) {
		ms_json_key_lit(&w, "version");
		ms_json_cstr(&w, version);
	}
	if (alias != NULL) {
		ms_json_key_lit(&w, "alias");
		ms_json_cstr(&w, alias);
	}
	ms_json_end_object(&w);
	ms_buf_append_char(&details, '\0');
	enum ms_err err = ms_buf_ok(&details) ? ms_operator_record(op, AUTH_MODEL_CHANGED, target, details.p, info)
					      : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_buf_fini(&details);
	return err;
}

static struct slice argument(const struct cli *cli, size_t index)
{
	return index < cli->argument_count ? ms_slice_cstr(cli->arguments[index]) : MS_SLICE_EMPTY;
}

static enum cli_exit read_format(struct cli *cli, enum model_format *ret_format)
{
	struct slice name = ms_cli_option_text(cli, "format");
	*ret_format = MODEL_FORMAT_AUTO;
	if (name.n == 0 || ms_model_format_parse(name, ret_format))
		return CLI_OK;
	return ms_cli_usage(
		cli,
		"--format must be auto, lightgbm-text, xgboost-json, xgboost-ubjson, catboost-json, onnx or "
		"linear-json, not \"%.64s\"",
		name.p);
}

static struct slice base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return ms_slice_cstr(slash != NULL ? slash + 1 : path);
}

// --- push --------------------------------------------------------------------------------------------

static enum ms_err push(struct cli *cli, struct model_store *store, enum model_format format, struct errinfo *info,
			char *ret_version)
{
	struct slice bytes, metadata = MS_SLICE_EMPTY;
	const char *metadata_path = ms_cli_option(cli, "metadata");
	MS_TRY(ms_file_read(cli->arguments[1], store->model_options.max_bytes, info, &bytes));
	enum ms_err err =
		metadata_path != NULL ? ms_file_read(metadata_path, METADATA_FILE_MAX, info, &metadata) : MS_OK;
	if (err == MS_OK) {
		const struct store_push what = {.model = argument(cli, 0),
						.version = ms_cli_option_text(cli, "version"),
						.file_name = base_name(cli->arguments[1]),
						.bytes = bytes,
						.metadata = metadata,
						.format = format,
						.model_options = &store->model_options};
		err = ms_store_push(store->dir, &what, info, ret_version);
		ms_progress_end(&store->loading);
	}
	free((void *)(uintptr_t)metadata.p);
	free((void *)(uintptr_t)bytes.p);
	return err;
}

static enum cli_exit run_push(struct cli *cli)
{
	struct model_store store;
	struct errinfo info;
	char version[MS_MODEL_VERSION_MAX + 1];
	enum model_format format;
	ms_errinfo_init(&info);
	enum cli_exit status = read_format(cli, &format);
	if (status == CLI_OK)
		status = open_store(cli, &store);
	if (status != CLI_OK)
		return status;
	struct operator op;
	enum ms_err err = begin_change(&store, &op, &info);
	if (err == MS_OK)
		err = push(cli, &store, format, &info, version);
	if (err == MS_OK)
		err = record_change(&op, cli->arguments[0], "version.pushed", version, NULL, &info);
	ms_operator_end(&op);
	ms_config_free(store.config);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	if (ms_cli_option(cli, "json") != NULL)
		fprintf(cli->out, "{\"name\":\"%s\",\"version\":\"%s\"}\n", cli->arguments[0],
			version); // both keep to the name rules
	else
		fprintf(cli->out, "pushed %s version %s\n", cli->arguments[0], version);
	return CLI_OK;
}

static const struct cli_option push_options[] = {
	{.name = "version", .value = "VERSION", .help = "Default: the one after the newest"},
	{.name = "metadata", .value = "FILE", .help = "JSON object to keep with the version"},
	{.name = "format", .value = "FORMAT", .help = "Default: recognised by content"},
	{.name = "json", .help = "For programs: one JSON object"},
};

const struct cli_command ms_cmd_model_push = {
	.noun = "model",
	.verb = "push",
	.arguments = "NAME FILE",
	.min_arguments = 2,
	.max_arguments = 2,
	.summary = "Check a model file and store it as a new version",
	.details = "A server that runs on the same store serves the version within models.poll (2 s).\n",
	.options = push_options,
	.option_count = MS_ARRAY_LEN(push_options),
	.settings = true,
	.run = run_push,
};

// --- list --------------------------------------------------------------------------------------------

static enum ms_err add_model(struct table *table, struct arena *arena, const struct store_model *model,
			     struct errinfo *info)
{
	struct buf versions, aliases;
	ms_buf_init(&versions, OUTPUT_MAX);
	ms_buf_init(&aliases, OUTPUT_MAX);
	for (size_t i = 0; i < model->version_count; i++)
		ms_buf_printf(&versions, "%s%.*s", i > 0 ? ", " : "", MS_SLICE_ARG(model->versions[i].version));
	for (size_t i = 0; i < model->alias_count; i++)
		ms_buf_printf(&aliases, "%s%.*s=%.*s", i > 0 ? ", " : "", MS_SLICE_ARG(model->aliases[i].alias),
			      MS_SLICE_ARG(model->aliases[i].version));
	const char *cells[] = {ms_arena_cstr(arena, model->name), ms_arena_cstr(arena, model->versions[0].version),
			       aliases.n > 0 ? ms_arena_cstr(arena, ms_buf_slice(&aliases)) : NULL,
			       ms_arena_cstr(arena, ms_buf_slice(&versions))};
	enum ms_err err = cells[0] != NULL && cells[1] != NULL && cells[3] != NULL
				  ? ms_table_add(table, cells)
				  : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	ms_buf_fini(&versions);
	ms_buf_fini(&aliases);
	return err;
}

static void list_json(const struct store_model *models, size_t count, struct buf *out)
{
	struct json_writer w;
	ms_json_writer_init(&w, out);
	ms_json_begin_array(&w);
	for (size_t m = 0; m < count; m++) {
		ms_json_begin_object(&w);
		ms_json_key_lit(&w, "name");
		ms_json_str(&w, models[m].name);
		ms_json_key_lit(&w, "newest");
		ms_json_str(&w, models[m].versions[0].version);
		ms_json_key_lit(&w, "versions");
		ms_json_begin_array(&w);
		for (size_t i = 0; i < models[m].version_count; i++)
			ms_json_str(&w, models[m].versions[i].version);
		ms_json_end_array(&w);
		ms_json_key_lit(&w, "aliases");
		ms_json_begin_object(&w);
		for (size_t i = 0; i < models[m].alias_count; i++) {
			ms_json_key(&w, models[m].aliases[i].alias);
			ms_json_str(&w, models[m].aliases[i].version);
		}
		ms_json_end_object(&w);
		ms_json_end_object(&w);
	}
	ms_json_end_array(&w);
	ms_buf_append_char(out, '\n');
}

static enum cli_exit run_list(struct cli *cli)
{
	static const struct table_column columns[] = {
		{"MODEL", "name", TABLE_TEXT},
		{"NEWEST", "newest", TABLE_TEXT},
		{"ALIASES", "aliases", TABLE_TEXT},
		{"VERSIONS", "versions", TABLE_TEXT},
	};
	struct model_store store;
	struct errinfo info;
	struct store_model *models;
	struct table table;
	struct buf out;
	size_t count;
	ms_errinfo_init(&info);
	enum cli_exit status = open_store(cli, &store);
	if (status != CLI_OK)
		return status;
	ms_table_init(&table, &cli->arena, columns, MS_ARRAY_LEN(columns));
	enum ms_err err = ms_store_list(store.dir, &cli->arena, &info, &models, &count);
	for (size_t i = 0; err == MS_OK && i < count; i++)
		err = add_model(&table, &cli->arena, &models[i], &info);
	bool json = ms_cli_option(cli, "json") != NULL;
	if (err == MS_OK && count == 0 && !json)
		fprintf(cli->err, "No models in %s yet: mainstay model push NAME FILE\n", store.dir);
	ms_config_free(store.config);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	ms_buf_init(&out, OUTPUT_MAX);
	if (json)
		list_json(models, count, &out);
	else if (count > 0)
		ms_table_write_text(&table, ms_width_of_terminal(cli->out), &out);
	status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	return status;
}

static const struct cli_option json_option[] = {{.name = "json", .help = "For programs: JSON"}};

const struct cli_command ms_cmd_model_list = {
	.noun = "model",
	.verb = "list",
	.arguments = "",
	.summary = "List the models of the store",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_list,
};

// --- show, check ---------------------------------------------------------------------------------------

static void describe_inputs(const struct served_model *served, struct buf *out)
{
	const struct model_info *mi = ms_model_info(served->model);
	ms_buf_printf(out, "inputs:     %zu\n", served->input_count);
	for (size_t i = 0; i < served->input_count; i++) {
		const struct model_feature *f = &mi->features[i];
		ms_buf_printf(out, "  %.*s%s", MS_SLICE_ARG(served->inputs[i].name),
			      f->categorical ? "  category" : "");
		for (size_t c = 0; c < MS_MIN(f->category_count, (size_t)8); c++)
			ms_buf_printf(out, "%s%.*s", c == 0 ? ": " : ", ", MS_SLICE_ARG(f->categories[c]));
		ms_buf_printf(out, "%s\n", f->category_count > 8 ? ", …" : "");
	}
}

static void describe_kernels(const struct model_info *mi, struct buf *out)
{
	ms_buf_printf(out, "kernel:     %s for one row, %s for many\n", mi->kernel_single, mi->kernel_batch);
	if (mi->kernel_reason[0] != '\0')
		ms_buf_printf(out, "            %s\n", mi->kernel_reason);
	ms_buf_printf(out, "row cost:   about %u ns\n", mi->estimated_row_ns);
}

static void describe_text(const struct served_model *served, struct buf *out)
{
	const struct model_info *mi = ms_model_info(served->model);
	uint64_t best;
	ms_buf_printf(out, "model:      %.*s\nversion:    %.*s\nformat:     %s", MS_SLICE_ARG(served->name),
		      MS_SLICE_ARG(served->version), ms_model_format_name(mi->format));
	if (mi->library_version.n > 0)
		ms_buf_printf(out, " (written by version %.*s)", MS_SLICE_ARG(mi->library_version));
	ms_buf_printf(out, "\ntask:       %s\nobjective:  %.*s\n", ms_model_task_name(mi->task),
		      MS_SLICE_ARG(mi->objective));
	if (mi->tree_count > 0)
		ms_buf_printf(out, "trees:      %zu (%zu nodes)\n", mi->tree_count, mi->node_count);
	if (mi->iteration_count > 0)
		ms_buf_printf(out, "iterations: %zu", mi->iteration_count);
	if (ms_model_best_iterations(served->model, NULL, &best) == MS_OK)
		ms_buf_printf(out, ", best of early stopping %llu", (unsigned long long)best);
	if (mi->iteration_count > 0)
		ms_buf_append_char(out, '\n');
	ms_buf_printf(out, "file:       %.*s, %llu bytes\nsha256:     %s\nmemory:     %zu bytes\nloaded in:  %.1f ms\n",
		      MS_SLICE_ARG(served->file_name), (unsigned long long)served->file_bytes, served->sha256,
		      mi->memory_bytes, (double)served->load_ns * 1e-6);
	describe_kernels(mi, out);
	ms_buf_append_cstr(out, "outputs:    ");
	const char *comma = "";
	for (int o = 0; o < MODEL_OUTPUT_COUNT; o++) {
		size_t width = ms_model_output_width(served->model, (enum model_output)o);
		if (width == 0)
			continue;
		ms_buf_printf(out, "%s%s[%zu]", comma, ms_model_output_name((enum model_output)o), width);
		comma = ", ";
	}
	ms_buf_append_char(out, '\n');
	for (size_t i = 0; i < served->label_count; i++)
		ms_buf_printf(out, "%s%.*s%s", i == 0 ? "labels:     " : ", ", MS_SLICE_ARG(served->labels[i]),
			      i + 1 == served->label_count ? "\n" : "");
	describe_inputs(served, out);
}

static void describe_json(const struct served_model *served, struct buf *out)
{
	const struct model_info *mi = ms_model_info(served->model);
	struct json_writer w;
	uint64_t best;
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "task");
	ms_json_cstr(&w, ms_model_task_name(mi->task));
	ms_json_key_lit(&w, "objective");
	ms_json_str(&w, mi->objective);
	ms_json_key_lit(&w, "trees");
	ms_json_u64(&w, mi->tree_count);
	if (mi->iteration_count > 0) {
		ms_json_key_lit(&w, "iterations");
		ms_json_u64(&w, mi->iteration_count);
	}
	if (ms_model_best_iterations(served->model, NULL, &best) == MS_OK) {
		ms_json_key_lit(&w, "best_iterations");
		ms_json_u64(&w, best);
	}
	ms_json_key_lit(&w, "nodes");
	ms_json_u64(&w, mi->node_count);
	ms_json_key_lit(&w, "file");
	ms_json_str(&w, served->file_name);
	ms_json_key_lit(&w, "file_bytes");
	ms_json_u64(&w, served->file_bytes);
	ms_json_key_lit(&w, "memory_bytes");
	ms_json_u64(&w, mi->memory_bytes);
	ms_json_key_lit(&w, "kernel_single");
	ms_json_cstr(&w, mi->kernel_single);
	ms_json_key_lit(&w, "kernel_batch");
	ms_json_cstr(&w, mi->kernel_batch);
	ms_json_key_lit(&w, "kernel_reason");
	ms_json_cstr(&w, mi->kernel_reason);
	ms_json_key_lit(&w, "row_ns");
	ms_json_u64(&w, mi->estimated_row_ns);
	ms_json_key_lit(&w, "metadata");
	ms_json_raw(&w, served->metadata);
	ms_json_end_object(&w);
	ms_buf_append_char(out, '\n');
}

static enum cli_exit describe(struct cli *cli, const struct served_model *served)
{
	struct buf out;
	ms_buf_init(&out, OUTPUT_MAX);
	if (ms_cli_option(cli, "json") != NULL)
		describe_json(served, &out);
	else
		describe_text(served, &out);
	enum cli_exit status = ms_cli_print(cli, &out);
	ms_buf_fini(&out);
	return status;
}

static enum cli_exit run_show(struct cli *cli)
{
	struct model_store store;
	struct errinfo info;
	struct served_model *served;
	ms_errinfo_init(&info);
	enum cli_exit status = open_store(cli, &store);
	if (status != CLI_OK)
		return status;
	enum ms_err err =
		ms_store_load(store.dir, argument(cli, 0), argument(cli, 1), &store.model_options, &info, &served);
	ms_progress_end(&store.loading);
	ms_config_free(store.config);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	status = describe(cli, served);
	ms_served_unref(served);
	return status;
}

const struct cli_command ms_cmd_model_show = {
	.noun = "model",
	.verb = "show",
	.arguments = "NAME [VERSION]",
	.min_arguments = 1,
	.max_arguments = 2,
	.summary = "Show a version: format, inputs, outputs, size",
	.details = "VERSION may be an alias; default is the newest.\n",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_show,
};

static enum cli_exit run_check(struct cli *cli)
{
	struct errinfo info;
	struct config *config;
	struct served_model *served;
	ms_errinfo_init(&info);
	enum cli_exit status = ms_cli_load_config(cli, &config);
	if (status != CLI_OK)
		return status;
	struct progress loading;
	struct model_options model_options = ms_models_options(ms_config_settings(config));
	ms_models_show_loading(&model_options, &loading, cli->err);
	enum ms_err err = ms_store_load_file(cli->arguments[0], &model_options, &info, &served);
	ms_progress_end(&loading);
	ms_config_free(config);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	status = describe(cli, served);
	ms_served_unref(served);
	return status;
}

const struct cli_command ms_cmd_model_check = {
	.noun = "model",
	.verb = "check",
	.arguments = "FILE",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Load a model file and say what it is, without storing it",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_check,
};

// --- alias, remove -------------------------------------------------------------------------------------

static enum cli_exit run_alias(struct cli *cli)
{
	struct model_store store;
	struct errinfo info;
	bool removing = ms_cli_option(cli, "remove") != NULL;
	ms_errinfo_init(&info);
	if (removing != (cli->argument_count == 2))
		return ms_cli_usage(cli, removing ? "--remove takes NAME and ALIAS alone"
						  : "the version that the alias names is missing");
	enum cli_exit status = open_store(cli, &store);
	if (status != CLI_OK)
		return status;
	struct operator op;
	enum ms_err err = begin_change(&store, &op, &info);
	if (err == MS_OK)
		err = ms_store_set_alias(store.dir, argument(cli, 0), argument(cli, 1), argument(cli, 2), &info);
	if (err == MS_OK)
		err = record_change(&op, cli->arguments[0], removing ? "alias.removed" : "alias.set",
				    removing ? NULL : cli->arguments[2], cli->arguments[1], &info);
	ms_operator_end(&op);
	ms_config_free(store.config);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	if (removing)
		fprintf(cli->out, "removed alias %s of %s\n", cli->arguments[1], cli->arguments[0]);
	else
		fprintf(cli->out, "%s of %s is now version %s\n", cli->arguments[1], cli->arguments[0],
			cli->arguments[2]);
	return CLI_OK;
}

static const struct cli_option alias_options[] = {{.name = "remove", .help = "Remove the alias"}};

const struct cli_command ms_cmd_model_alias = {
	.noun = "model",
	.verb = "alias",
	.arguments = "NAME ALIAS [VERSION]",
	.min_arguments = 2,
	.max_arguments = 3,
	.summary = "Let an alias such as champion name a version",
	.options = alias_options,
	.option_count = MS_ARRAY_LEN(alias_options),
	.settings = true,
	.run = run_alias,
};

static enum cli_exit run_remove(struct cli *cli)
{
	struct model_store store;
	struct errinfo info;
	ms_errinfo_init(&info);
	if (cli->argument_count == 1 && ms_cli_option(cli, "all") == NULL)
		return ms_cli_usage(cli, "name the version, or give --all to remove the model with all its versions");
	enum cli_exit status = open_store(cli, &store);
	if (status != CLI_OK)
		return status;
	struct operator op;
	bool whole = cli->argument_count == 1;
	enum ms_err err = begin_change(&store, &op, &info);
	if (err == MS_OK)
		err = ms_store_remove(store.dir, argument(cli, 0), argument(cli, 1), &info);
	if (err == MS_OK)
		err = record_change(&op, cli->arguments[0], whole ? "model.removed" : "version.removed",
				    whole ? NULL : cli->arguments[1], NULL, &info);
	ms_operator_end(&op);
	ms_config_free(store.config);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	fprintf(cli->out, "removed %s%s%s\n", cli->arguments[0], cli->argument_count > 1 ? " version " : "",
		cli->argument_count > 1 ? cli->arguments[1] : "");
	return CLI_OK;
}

static const struct cli_option remove_options[] = {{.name = "all", .help = "Remove the model with all its versions"}};

const struct cli_command ms_cmd_model_remove = {
	.noun = "model",
	.verb = "remove",
	.arguments = "NAME [VERSION]",
	.min_arguments = 1,
	.max_arguments = 2,
	.summary = "Remove a version, or with --all the model",
	.options = remove_options,
	.option_count = MS_ARRAY_LEN(remove_options),
	.settings = true,
	.run = run_remove,
};
