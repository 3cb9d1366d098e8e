// SPDX-License-Identifier: Apache-2.0
// `mainstay predict`: scores a CSV or JSON-lines file with a model, without a server. One line of output per
// row of input, in order; a row with an error leaves its place empty and is reported by number.
#include <math.h>
#include <stdlib.h>

#include "app/commands.h"
#include "app/models.h"
#include "app/progress.h"
#include "registry/registry.h"
#include "rt/rt.h"
#include "serve/serve.h"
#include "json/json.h"

#define ROW_BYTES_MAX ((size_t)16 << 20) // longest row; so much of the input is in memory, and once more
#define BLOCK_ROWS 512
#define BLOCK_VALUES ((size_t)1 << 24) // of the output; fewer rows when one is wide
#define ROW_ARENA_MAX ((size_t)1 << 30)
#define FLUSH_BYTES ((size_t)1 << 16)
#define ERRORS_SHOWN 20

struct scoring {
	struct cli *cli;
	struct served_model *served;
	struct model_query query;
	size_t width;
	bool json;
	struct file_reader *input;
	struct slice rest;  // of the input, as far as it is in memory
	struct arena arena; // of the present block
	struct buf out;
	struct progress progress;
	struct feature_matrix block; // rows that wait to be predicted
	size_t block_rows;           // as many as are predicted at once
	bool *ok;                    // per row of the block
	size_t *csv_columns;         // model column of each CSV column
	size_t csv_count;
	uint64_t rows, errors;
	bool write_failed;
};

static void report(struct scoring *s, uint64_t row, int64_t line, const char *message)
{
	s->errors++;
	if (s->errors > ERRORS_SHOWN)
		return;
	ms_progress_end(&s->progress);
	fprintf(s->cli->err, "mainstay: row %llu (line %lld): %s\n", (unsigned long long)row, (long long)line, message);
	if (s->errors == ERRORS_SHOWN)
		fprintf(s->cli->err, "mainstay: further rows with errors are counted, not shown\n");
}

// --- Output ------------------------------------------------------------------------------------------

static void flush_output(struct scoring *s, size_t at_least)
{
	if (s->out.n < at_least)
		return;
	if (!ms_buf_ok(&s->out) || fwrite(s->out.p, 1, s->out.n, s->cli->out) != s->out.n)
		s->write_failed = true;
	ms_buf_clear(&s->out);
}

static void write_json_row(struct scoring *s, bool ok, const double *values)
{
	struct json_writer w;
	ms_json_writer_init(&w, &s->out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "prediction");
	if (ok)
		ms_output_write_row(&w, s->served, s->query.output, values);
	else
		ms_json_null(&w);
	ms_json_end_object(&w);
	ms_buf_append_char(&s->out, '\n');
}

// A CSV cell is the JSON text of the value; a label loses its quotes and gains those of CSV.
static void write_csv_row(struct scoring *s, bool ok, const double *values)
{
	const struct model_info *mi = ms_model_info(s->served->model);
	char number[MS_NUMBER_SIZE];
	for (size_t i = 0; i < s->width; i++) {
		if (i > 0)
			ms_buf_append_char(&s->out, ',');
		if (!ok || isnan(values[i]))
			continue;
		if (s->query.output == MODEL_OUTPUT_LABEL && s->served->labels != NULL)
			ms_csv_write(&s->out, s->served->labels[(size_t)values[i]]);
		else if (s->query.output == MODEL_OUTPUT_LABEL || s->query.output == MODEL_OUTPUT_LEAF)
			ms_buf_append_i64(&s->out, (int64_t)values[i]);
		else if (isinf(values[i]))
			ms_buf_append_cstr(&s->out, values[i] < 0 ? "-inf" : "inf");
		else
			ms_buf_append(&s->out, number,
				      mi->single_precision && s->query.output != MODEL_OUTPUT_CONTRIBUTIONS
					      ? ms_number_format_f32((float)values[i], number)
					      : ms_number_format_f64(values[i], number));
	}
	ms_buf_append_char(&s->out, '\n');
}

// "base_value" or the feature; with several raw scores the label, or the number, and a colon stand before it.
static void write_contribution_name(struct scoring *s, size_t i)
{
	size_t count = ms_model_output_group(s->served->model, s->query.output), output = i / count,
	       feature = i % count;
	struct slice name = feature + 1 < count ? s->served->inputs[feature].name : MS_SLICE_LIT("base_value"),
		     whole = name;
	struct buf text;
	ms_buf_init(&text, (size_t)1 << 20);
	if (s->width > count) {
		if (s->served->labels != NULL && s->width / count == s->served->label_count)
			ms_buf_append_slice(&text, s->served->labels[output]);
		else
			ms_buf_printf(&text, "%zu", output);
		ms_buf_append_char(&text, ':');
		ms_buf_append_slice(&text, name);
		whole = ms_buf_slice(&text);
	}
	ms_csv_write(&s->out, whole);
	ms_buf_fini(&text);
}

// The tree; with vector leaves a colon and the number of the raw score follow.
static void write_tree_name(struct scoring *s, size_t i)
{
	size_t count = ms_model_output_group(s->served->model, s->query.output);
	if (count == s->width)
		ms_buf_printf(&s->out, "tree_%zu", i);
	else
		ms_buf_printf(&s->out, "tree_%zu:%zu", i / count, i % count);
}

static void write_csv_header(struct scoring *s)
{
	for (size_t i = 0; i < s->width; i++) {
		if (s->query.output == MODEL_OUTPUT_CONTRIBUTIONS)
			write_contribution_name(s, i);
		else if (s->query.output == MODEL_OUTPUT_TREE)
			write_tree_name(s, i);
		else if (s->width == 1)
			ms_buf_append_cstr(&s->out, "prediction");
		else if (s->served->labels != NULL && s->width == s->served->label_count)
			ms_csv_write(&s->out, s->served->labels[i]);
		else
			ms_buf_printf(&s->out, "prediction_%zu", i);
		ms_buf_append_char(&s->out, i + 1 < s->width ? ',' : '\n');
	}
}

// --- Rows --------------------------------------------------------------------------------------------

static enum ms_err finish_block(struct scoring *s, struct errinfo *info)
{
	double *values;
	if (s->block.rows == 0)
		return MS_OK;
	MS_TRY(ms_output_compute(s->served, &s->query, NULL, &s->block, &s->arena, info, &values));
	for (size_t row = 0; row < s->block.rows; row++) {
		if (s->json)
			write_json_row(s, s->ok[row], values + row * s->width);
		else
			write_csv_row(s, s->ok[row], values + row * s->width);
		flush_output(s, FLUSH_BYTES);
	}
	s->block.rows = 0;
	ms_arena_reset(&s->arena);
	return s->write_failed ? ms_fail(info, MS_ERR_IO, "the output cannot be written") : MS_OK;
}

// The place of the next row, all values missing.
static enum ms_err next_row(struct scoring *s, struct errinfo *info, double **ret_row)
{
	if (s->block.rows == s->block_rows)
		MS_TRY(finish_block(s, info));
	double *row = s->block.values + s->block.rows * s->block.columns;
	for (size_t i = 0; i < s->block.columns; i++)
		row[i] = (double)NAN;
	s->ok[s->block.rows++] = true;
	s->rows++;
	*ret_row = row;
	return MS_OK;
}

static void spoil_row(struct scoring *s, int64_t line, const char *message)
{
	s->ok[s->block.rows - 1] = false;
	report(s, s->rows, line, message);
}

// Makes sure that the next row is in memory, and shows how far this has come.
static enum ms_err read_on(struct scoring *s, struct slice *rest, struct errinfo *info)
{
	if (rest->n < ROW_BYTES_MAX && !ms_reader_ended(s->input))
		MS_TRY(ms_reader_fill(s->input, rest->n, info, rest));
	ms_progress_update(&s->progress, ms_reader_taken(s->input) - rest->n);
	return MS_OK;
}

// What comes behind a row that does not fit cannot be read; what came before it is predicted.
static enum ms_err check_row_ended(struct scoring *s, const struct slice *rest, struct errinfo *info)
{
	if (rest->n > 0 || ms_reader_ended(s->input))
		return MS_OK;
	s->ok[s->block.rows - 1] = false;
	MS_TRY(finish_block(s, info));
	return ms_fail(info, MS_ERR_LIMIT, "row %llu is longer than %zu MiB", (unsigned long long)s->rows,
		       ROW_BYTES_MAX >> 20);
}

// --- JSON lines --------------------------------------------------------------------------------------

static enum ms_err score_json_lines(struct scoring *s, struct errinfo *info)
{
	struct slice rest = s->rest, line;
	int64_t number = 0;
	for (;;) {
		MS_TRY(read_on(s, &rest, info));
		if (rest.n == 0 || !ms_slice_next(&rest, '\n', &line))
			break;
		struct errinfo why;
		struct json_reader r;
		struct feature_matrix one = {0};
		struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
		double *row;
		number++;
		struct slice trimmed = ms_slice_trim(
			line.n > 0 && line.p[line.n - 1] == '\r' ? ms_slice_sub(line, 0, line.n - 1) : line);
		if (trimmed.n == 0)
			continue;
		limits.max_bytes = SIZE_MAX; // bounded by ROW_BYTES_MAX
		MS_TRY(next_row(s, info, &row));
		MS_TRY(check_row_ended(s, &rest, info));
		ms_errinfo_init(&why);
		ms_json_reader_init(&r, trimmed, &limits, &s->arena, &why);
		enum ms_err err = ms_features_read(&r, s->served, 1, &s->arena, &why, &one);
		if (err == MS_OK)
			err = ms_json_finish(&r);
		if (err == MS_OK && one.rows == 1)
			memcpy(row, one.values, one.columns * sizeof(*row));
		else
			spoil_row(s, number, err != MS_OK ? why.message : "the line holds no row");
	}
	return finish_block(s, info);
}

// --- CSV ---------------------------------------------------------------------------------------------

static enum ms_err match_column(struct scoring *s, struct slice name, bool ignore_extra, struct errinfo *info,
				size_t *ret_column)
{
	*ret_column = ms_served_input_index(s->served, name);
	if (*ret_column != SIZE_MAX || ignore_extra)
		return MS_OK;
	struct slice *names = MS_ARENA_ARRAY(&s->cli->arena, struct slice, s->served->input_count);
	for (size_t i = 0; names != NULL && i < s->served->input_count; i++)
		names[i] = s->served->inputs[i].name;
	size_t nearest = names != NULL ? ms_text_nearest(name, names, s->served->input_count) : SIZE_MAX;
	if (nearest != SIZE_MAX)
		return ms_fail(info, MS_ERR_PREDICT_FEATURE,
			       "column '%.*s' is no input of the model; did you mean '%.*s'?", MS_SLICE_ARG(name),
			       MS_SLICE_ARG(names[nearest]));
	return ms_fail(info, MS_ERR_PREDICT_FEATURE,
		       "column '%.*s' is no input of the model (--ignore-extra leaves such columns out)",
		       MS_SLICE_ARG(name));
}

static void say_missing(struct scoring *s, const bool *seen)
{
	size_t missing = 0;
	for (size_t i = 0; i < s->served->input_count; i++) {
		if (seen[i])
			continue;
		fprintf(s->cli->err, "%s%.*s",
			missing++ == 0 ? "mainstay: note: not in the file, so missing in every row: " : ", ",
			MS_SLICE_ARG(s->served->inputs[i].name));
	}
	if (missing > 0)
		fprintf(s->cli->err, "\n");
}

static enum ms_err read_header(struct scoring *s, struct csv_reader *csv, struct errinfo *info)
{
	struct slice *fields;
	bool more, ignore_extra = ms_cli_option(s->cli, "ignore-extra") != NULL;
	MS_TRY(ms_csv_next(csv, &s->cli->arena, info, &fields, &s->csv_count, &more));
	if (!more)
		return ms_fail(info, MS_ERR_INVALID, "the input is empty: its first line must name the columns");
	s->csv_columns = MS_ARENA_ARRAY(&s->cli->arena, size_t, s->csv_count);
	bool *seen = MS_ARENA_ARRAY(&s->cli->arena, bool, s->served->input_count);
	if (s->csv_columns == NULL || seen == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for %zu columns", s->csv_count);
	for (size_t i = 0; i < s->csv_count; i++) {
		struct slice name = ms_slice_trim(fields[i]);
		MS_TRY(match_column(s, name, ignore_extra, info, &s->csv_columns[i]));
		if (s->csv_columns[i] == SIZE_MAX)
			continue;
		if (seen[s->csv_columns[i]])
			return ms_fail(info, MS_ERR_PREDICT_FEATURE, "column '%.*s' is there twice",
				       MS_SLICE_ARG(name));
		seen[s->csv_columns[i]] = true;
	}
	say_missing(s, seen);
	return MS_OK;
}

static enum ms_err read_cells(struct scoring *s, const struct slice *fields, size_t count, double *row,
			      struct errinfo *why)
{
	if (count != s->csv_count)
		return ms_fail(why, MS_ERR_PREDICT_SHAPE, "%zu fields, but the header names %zu", count, s->csv_count);
	for (size_t i = 0; i < count; i++) {
		if (s->csv_columns[i] != SIZE_MAX)
			MS_TRY(ms_features_from_text(s->served, s->csv_columns[i], fields[i], why,
						     &row[s->csv_columns[i]]));
	}
	return MS_OK;
}

static enum ms_err score_csv(struct scoring *s, struct errinfo *info)
{
	struct csv_reader csv;
	ms_csv_init(&csv, s->rest);
	MS_TRY(read_header(s, &csv, info));
	write_csv_header(s);
	for (;;) {
		struct slice *fields = NULL;
		size_t count = 0;
		bool more = false;
		struct errinfo why;
		double *row;
		ms_errinfo_init(&why);
		// The row is begun first: a full block is finished with it, which frees the memory of the fields.
		MS_TRY(next_row(s, info, &row));
		MS_TRY(read_on(s, &csv.rest, info));
		enum ms_err err = ms_csv_next(&csv, &s->arena, &why, &fields, &count, &more);
		MS_TRY(check_row_ended(s, &csv.rest, info));
		if (err == MS_OK && !more) {
			s->block.rows--;
			s->rows--;
			break;
		}
		if (err == MS_OK)
			err = read_cells(s, fields, count, row, &why);
		if (err != MS_OK)
			spoil_row(s, csv.last_line, why.message);
	}
	return finish_block(s, info);
}

// --- The command ---------------------------------------------------------------------------------------

static enum ms_err load_model(struct cli *cli, const struct settings *settings, struct errinfo *info,
			      struct served_model **ret_served)
{
	struct progress loading;
	struct model_options options = ms_models_options(settings);
	ms_models_show_loading(&options, &loading, cli->err);
	enum ms_err err = ms_models_load(settings, ms_cli_option(cli, "model"), ms_cli_option(cli, "version"), &options,
					 info, ret_served);
	ms_progress_end(&loading);
	return err;
}

// By option, by the file's name, or by its first character.
static bool is_json(const struct cli *cli, const char *path, struct slice text)
{
	const char *format = ms_cli_option(cli, "format");
	if (format != NULL)
		return strcmp(format, "jsonl") == 0;
	struct slice name = ms_slice_cstr(path), trimmed = ms_slice_trim(text);
	if (ms_slice_ends_with(name, MS_SLICE_LIT(".csv")))
		return false;
	if (ms_slice_ends_with(name, MS_SLICE_LIT(".jsonl")) || ms_slice_ends_with(name, MS_SLICE_LIT(".json")))
		return true;
	return trimmed.n > 0 && (trimmed.p[0] == '{' || trimmed.p[0] == '[');
}

static enum ms_err score(struct scoring *s, struct errinfo *info)
{
	size_t count;
	s->width = ms_model_output_width(s->served->model, s->query.output);
	s->block.columns = s->served->input_count;
	s->block_rows = MS_MAX(MS_MIN(BLOCK_VALUES / s->width, (size_t)BLOCK_ROWS), (size_t)1);
	if (MS_MUL_OVERFLOWS((size_t)BLOCK_ROWS, s->block.columns * sizeof(double), &count))
		return ms_fail(info, MS_ERR_LIMIT, "the model has too many inputs");
	s->block.values = malloc(count + 1);
	s->ok = calloc(BLOCK_ROWS, sizeof(*s->ok));
	if (s->block.values == NULL || s->ok == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for rows");
	ms_progress_begin(&s->progress, s->cli->err, "predict", PROGRESS_BYTES, ms_reader_size(s->input));
	enum ms_err err = s->json ? score_json_lines(s, info) : score_csv(s, info);
	ms_progress_end(&s->progress);
	flush_output(s, 1);
	if (err == MS_OK && (s->write_failed || fflush(s->cli->out) != 0))
		err = ms_fail(info, MS_ERR_IO, "the output cannot be written");
	return err;
}

static enum cli_exit score_input(struct cli *cli, struct served_model *served, const struct model_query *query,
				 const char *path)
{
	struct errinfo info;
	struct scoring s = {.cli = cli, .served = served, .query = *query};
	ms_errinfo_init(&info);
	ms_arena_init(&s.arena, 1 << 16, ROW_ARENA_MAX);
	ms_buf_init(&s.out, (size_t)1 << 28);
	enum ms_err err = ms_reader_open(strcmp(path, "-") == 0 ? NULL : path, ROW_BYTES_MAX, &info, &s.input);
	if (err == MS_OK)
		err = ms_reader_fill(s.input, 0, &info, &s.rest);
	s.json = is_json(cli, path, s.rest);
	if (err == MS_OK)
		err = score(&s, &info);
	ms_reader_close(s.input);
	ms_buf_fini(&s.out);
	ms_arena_fini(&s.arena);
	free(s.block.values);
	free(s.ok);
	if (err != MS_OK)
		return ms_cli_fail(cli, &info);
	if (s.errors == 0)
		return CLI_OK;
	return ms_cli_failf(cli, "%llu of %llu rows have errors; their predictions are empty",
			    (unsigned long long)s.errors, (unsigned long long)s.rows);
}

// --early-stop MARGIN or MARGIN:EVERY
static enum cli_exit read_early_stop(struct cli *cli, struct model_query *query)
{
	const char *text = ms_cli_option(cli, "early-stop");
	if (text == NULL)
		return CLI_OK;
	const char *colon = strchr(text, ':');
	struct slice margin = colon != NULL ? ms_slice(text, (size_t)(colon - text)) : ms_slice_cstr(text);
	query->early_stop_every = 10; // as in LightGBM
	if (ms_number_parse_f64(margin, &query->early_stop_margin) && query->early_stop_margin > 0 &&
	    (colon == NULL ||
	     (ms_slice_to_u64(ms_slice_cstr(colon + 1), &query->early_stop_every) && query->early_stop_every > 0)))
		return CLI_OK;
	return ms_cli_usage(cli,
			    "--early-stop takes a margin above 0, and after a colon how many iterations lie between "
			    "two looks: 10 or "
			    "10:5, not \"%.64s\"",
			    text);
}

static enum cli_exit read_iterations(struct cli *cli, struct model_query *query, bool *ret_best)
{
	const char *text = ms_cli_option(cli, "iterations");
	*ret_best = text != NULL && strcmp(text, "best") == 0;
	if (text == NULL || *ret_best ||
	    (ms_slice_to_u64(ms_slice_cstr(text), &query->iterations) && query->iterations > 0))
		return CLI_OK;
	return ms_cli_usage(cli, "--iterations takes a whole number, at least 1, or best, not \"%.64s\"", text);
}

static enum cli_exit run_predict(struct cli *cli)
{
	struct errinfo info;
	struct config *config;
	struct served_model *served = NULL;
	struct model_query query = {.output = MODEL_OUTPUT_DEFAULT};
	const char *path = cli->argument_count > 0 ? cli->arguments[0] : "-", *name = ms_cli_option(cli, "output");
	const char *format = ms_cli_option(cli, "format");
	ms_errinfo_init(&info);
	if (ms_cli_option(cli, "model") == NULL)
		return ms_cli_usage(
			cli,
			"--model is missing: a name of the store, or the path of a model file such as ./model.txt");
	if (name != NULL && !ms_model_output_parse(ms_slice_cstr(name), &query.output))
		return ms_cli_usage(cli, "--output must be " MS_MODEL_OUTPUT_NAMES ", not \"%.64s\"", name);
	if (format != NULL && strcmp(format, "csv") != 0 && strcmp(format, "jsonl") != 0)
		return ms_cli_usage(cli, "--format must be csv or jsonl, not \"%.64s\"", format);
	bool best;
	enum cli_exit status = read_iterations(cli, &query, &best);
	if (status == CLI_OK)
		status = read_early_stop(cli, &query);
	if (status == CLI_OK)
		status = ms_cli_load_config(cli, &config);
	if (status != CLI_OK)
		return status;
	enum ms_err err = load_model(cli, ms_config_settings(config), &info, &served);
	ms_config_free(config);
	if (err == MS_OK && best)
		err = ms_model_best_iterations(served->model, &info, &query.iterations);
	if (err == MS_OK)
		err = ms_output_check(served, &query, &info);
	status = err == MS_OK ? score_input(cli, served, &query, path) : ms_cli_fail(cli, &info);
	ms_served_unref(served);
	return status;
}

static const struct cli_option options[] = {
	{.name = "model", .value = "MODEL", .help = "Name in the store, or path of a model file (with a '/')"},
	{.name = "version", .value = "VERSION", .help = "Version or alias; default the newest"},
	{.name = "output", .value = "OUTPUT", .help = MS_MODEL_OUTPUT_NAMES},
	{.name = "iterations",
	 .value = "N",
	 .help = "Predict with the first N iterations of boosting, or with the best of early stopping: best"},
	{.name = "early-stop",
	 .value = "MARGIN",
	 .help = "Classifiers: end a row's sum once its class leads by more; MARGIN:N looks every N iterations (10)"},
	{.name = "format", .value = "FORMAT", .help = "csv or jsonl; default by the file's name or content"},
	{.name = "ignore-extra", .help = "Leave out CSV columns that the model does not know"},
};

const struct cli_command ms_cmd_predict = {
	.noun = "predict",
	.arguments = "[FILE]",
	.max_arguments = 1,
	.summary = "Score a CSV or JSON-lines file with a model",
	.details = "Without FILE, or with -, rows come from standard input. CSV has a header line with the names of "
		   "the inputs;\n"
		   "an empty field is a missing value. A JSON line is a record {\"name\": value, ...} or a row [...].\n"
		   "Predictions go to standard output, one line a row, in the same format. Rows with errors are "
		   "reported by\n"
		   "number, their lines stay empty, and the exit status is 1.\n",
	.options = options,
	.option_count = MS_ARRAY_LEN(options),
	.settings = true,
	.run = run_predict,
};
