// SPDX-License-Identifier: Apache-2.0
// `mainstay model bench`: how fast a model is on this machine, with its own rows or with drawn ones.
#include <stdlib.h>

#include "app/commands.h"
#include "app/measure.h"
#include "app/models.h"
#include "app/rows.h"
#include "app/table.h"
#include "app/width.h"
#include "rt/rt.h"
#include "json/json.h"

#define ROWS_MAX 10000 // also the largest batch
#define ROWS_BYTES_MAX ((size_t)256 << 20)
#define KERNEL_BATCH 1000
#define OUTPUT_MAX ((size_t)1 << 24)
#define SEEN_MAX (MODEL_KERNEL_COUNT * MODEL_ISA_COUNT)

static const size_t batches[] = {1, 10, 100, 1000, 10000};

static const struct table_column batch_columns[] = {
	{"ROWS", "rows", TABLE_NUMBER},
	{"µs/ROW", "row_us", TABLE_NUMBER},
	{"ROWS/s, 1 THREAD", "rows_per_second", TABLE_NUMBER},
	{"ROWS/s, ALL CORES", "rows_per_second_all_cores", TABLE_NUMBER},
};

static const struct table_column kernel_columns[] = {
	{"KERNEL", "kernel", TABLE_TEXT},
	{"ISA", "isa", TABLE_TEXT},
	{"ONE ROW BY", "kernel_single", TABLE_TEXT},
	{"p50 µs", "p50_us", TABLE_NUMBER},
	{"p99 µs", "p99_us", TABLE_NUMBER},
	{"MANY BY", "kernel_batch", TABLE_TEXT},
	{"µs/ROW OF 1000", "row_us", TABLE_NUMBER},
	{"MEMORY", "memory_bytes", TABLE_NUMBER},
	{"SAME BITS", "same_bits", TABLE_BOOLEAN},
};

struct bench {
	struct cli *cli;
	const struct settings *settings;
	struct served_model *served;
	enum model_output output;
	struct feature_matrix rows;
	const char *data;  // file of the rows; NULL: drawn
	size_t rows_given; // by the file
	double seconds;
	unsigned cores;
	struct progress progress;
	uint64_t measured_ms;
	struct measure_latency latency;
	struct table table; // of batches, or of kernels
	// --kernels: what was measured already, and the scores that all must give.
	const char *seen[SEEN_MAX];
	size_t seen_count;
	double *want;
	size_t different;
};

static struct measure measure_of(struct bench *b, const struct model *model)
{
	return (struct measure){.model = model,
				.output = b->output,
				.rows = &b->rows,
				.progress = &b->progress,
				.before_ms = b->measured_ms};
}

static const char *number_cell(struct bench *b, int digits, double value)
{
	return ms_arena_printf(&b->cli->arena, "%.*f", digits, value);
}

static enum ms_err add_row(struct bench *b, const char *const *cells, struct errinfo *info)
{
	if (ms_table_add(&b->table, cells) != MS_OK)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	return MS_OK;
}

// --- Rows ------------------------------------------------------------------------------------------------

// Repeats the rows of a short file, so that large batches can be made of them.
static enum ms_err repeat_rows(struct feature_matrix *rows, size_t count, struct errinfo *info)
{
	size_t given = rows->rows, row = rows->columns * sizeof(double);
	if (given >= count || row == 0)
		return MS_OK;
	double *values = realloc(rows->values, count * row);
	if (values == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for %zu rows", count);
	for (size_t i = given; i < count; i++)
		memcpy(values + i * rows->columns, values + (i - given) * rows->columns, row);
	*rows = (struct feature_matrix){.values = values, .rows = count, .columns = rows->columns};
	return MS_OK;
}

static enum ms_err get_rows(struct bench *b, struct errinfo *info)
{
	size_t columns = b->served->input_count;
	size_t count = MS_MAX(MS_MIN(ROWS_BYTES_MAX / (MS_MAX(columns, (size_t)1) * sizeof(double)), ROWS_MAX), 1);
	if (b->data != NULL) {
		MS_TRY(ms_rows_read(b->served, b->data, count, info, &b->rows));
		b->rows_given = b->rows.rows;
		return repeat_rows(&b->rows, count, info);
	}
	b->rows = (struct feature_matrix){
		.values = malloc((count * columns + 1) * sizeof(double)), .rows = count, .columns = columns};
	if (b->rows.values == NULL || ms_model_draw_rows(b->served->model, 1, count, b->rows.values) != MS_OK)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for %zu rows", count);
	return MS_OK;
}

// --- Batches ---------------------------------------------------------------------------------------------

static enum ms_err measure_batch(struct bench *b, struct measure *m, size_t n, double seconds, struct errinfo *info)
{
	struct measure_throughput one, all = {0};
	bool takes_all = ms_measure_takes_batch(m, n, b->cores);
	if (!ms_measure_takes_batch(m, n, 1))
		return MS_OK; // too few rows, or predictions beyond all measure
	MS_TRY(ms_measure_throughput(m, n, 1, seconds, info, &one));
	if (takes_all)
		MS_TRY(ms_measure_throughput(m, n, b->cores, seconds, info, &all));
	const char *cells[] = {number_cell(b, 0, (double)n), number_cell(b, 4, one.median_row_ns / 1000),
			       number_cell(b, 0, one.rows_per_second),
			       takes_all ? number_cell(b, 0, all.rows_per_second) : NULL};
	return add_row(b, cells, info);
}

static enum ms_err run_batches(struct bench *b, struct errinfo *info)
{
	double share = b->seconds / (1 + 2 * MS_ARRAY_LEN(batches)); // of one measurement
	struct measure m = measure_of(b, b->served->model);
	ms_table_init(&b->table, &b->cli->arena, batch_columns, MS_ARRAY_LEN(batch_columns));
	MS_TRY(ms_measure_latency(&m, share, info, &b->latency));
	for (size_t i = 0; i < MS_ARRAY_LEN(batches); i++)
		MS_TRY(measure_batch(b, &m, batches[i], share, info));
	return MS_OK;
}

// --- Kernels ---------------------------------------------------------------------------------------------

// A kernel that does not take the model or the CPU gives way to another, which was or will be measured by its own name.
static bool seen_before(struct bench *b, const struct model_info *mi)
{
	const char *both = ms_arena_printf(&b->cli->arena, "%s, %s", mi->kernel_single, mi->kernel_batch);
	for (size_t i = 0; both != NULL && i < b->seen_count; i++)
		if (strcmp(b->seen[i], both) == 0)
			return true;
	if (both != NULL)
		b->seen[b->seen_count++] = both;
	return false;
}

// The reference is the first that is loaded: the plain walk, as far as the model has trees.
static enum ms_err keep_reference(struct bench *b, const struct model *model, struct errinfo *info)
{
	size_t width = ms_model_output_width(model, MODEL_OUTPUT_RAW);
	void *scratch = malloc(ms_model_scratch_size(model) + 1);
	b->want = malloc((b->rows.rows * width + 1) * sizeof(double));
	if (scratch == NULL || b->want == NULL) {
		free(scratch);
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for raw scores");
	}
	ms_model_predict(model, &MS_MODEL_QUERY(MODEL_OUTPUT_RAW), b->rows.values, b->rows.rows, scratch, b->want);
	free(scratch);
	return MS_OK;
}

static enum ms_err measure_kernel(struct bench *b, const struct model *model, const struct model_options *options,
				  struct errinfo *info)
{
	const struct model_info *mi = ms_model_info(model);
	struct measure m = measure_of(b, model);
	struct measure_latency latency;
	struct measure_throughput many = {0};
	bool same, takes_batch = ms_measure_takes_batch(&m, KERNEL_BATCH, 1);
	if (b->want == NULL)
		MS_TRY(keep_reference(b, model, info));
	MS_TRY(ms_measure_same_bits(&m, b->want, info, &same));
	MS_TRY(ms_measure_latency(&m, b->seconds / 2, info, &latency));
	if (takes_batch)
		MS_TRY(ms_measure_throughput(&m, KERNEL_BATCH, 1, b->seconds / 2, info, &many));
	b->different += !same;
	const char *cells[] = {ms_model_kernel_name(options->kernel),
			       ms_model_isa_name(options->isa),
			       mi->kernel_single,
			       number_cell(b, 3, latency.p50_ns / 1000),
			       number_cell(b, 3, latency.p99_ns / 1000),
			       mi->kernel_batch,
			       takes_batch ? number_cell(b, 4, many.median_row_ns / 1000) : NULL,
			       number_cell(b, 0, (double)mi->memory_bytes),
			       same ? "true" : "false"};
	return add_row(b, cells, info);
}

static enum ms_err run_kernels(struct bench *b, struct errinfo *info)
{
	struct model_options options = ms_models_options(b->settings);
	const char *name = b->cli->arguments[0], *version = ms_cli_option(b->cli, "version");
	ms_table_init(&b->table, &b->cli->arena, kernel_columns, MS_ARRAY_LEN(kernel_columns));
	for (int k = MODEL_KERNEL_WALK; k < MODEL_KERNEL_COUNT; k++)
		for (int i = MODEL_ISA_PLAIN; i < MODEL_ISA_COUNT; i++) {
			struct served_model *served;
			options.kernel = (enum model_kernel)k;
			options.isa = (enum model_isa)i;
			MS_TRY(ms_models_load(b->settings, name, version, &options, info, &served));
			enum ms_err err = MS_OK;
			if (!seen_before(b, ms_model_info(served->model)))
				err = measure_kernel(b, served->model, &options, info);
			ms_served_unref(served);
			MS_TRY(err);
			b->measured_ms += (uint64_t)(b->seconds * 1000); // also when it was left out
		}
	return MS_OK;
}

// --- Output ----------------------------------------------------------------------------------------------

static void write_text(struct bench *b, bool kernels, struct buf *out)
{
	const struct model_info *mi = ms_model_info(b->served->model);
	const struct measure_latency *l = &b->latency;
	ms_buf_printf(out, "model:      %.*s %.*s, %s, %zu trees\n", MS_SLICE_ARG(b->served->name),
		      MS_SLICE_ARG(b->served->version), ms_model_format_name(mi->format), mi->tree_count);
	ms_buf_printf(out, "kernel:     %s for one row, %s for many\nmemory:     %zu bytes\n", mi->kernel_single,
		      mi->kernel_batch, mi->memory_bytes);
	ms_buf_printf(out, "rows:       %zu, ", b->rows.rows);
	if (b->data == NULL)
		ms_buf_append_cstr(out, "drawn around the thresholds of the model");
	else
		ms_buf_printf(out, "made of the first %zu of the file", b->rows_given);
	ms_buf_printf(out, "\noutput:     %s\n", ms_model_output_name(b->output));
	if (!kernels) {
		ms_buf_printf(out, "cores:      %u\n", b->cores);
		ms_buf_printf(out,
			      "one row:    p50 %.3f µs, p99 %.3f µs, max %.1f µs (%zu rows; the clock's %.0f ns are "
			      "taken off)\n",
			      l->p50_ns / 1000, l->p99_ns / 1000, l->max_ns / 1000, l->count, l->clock_ns);
	}
	ms_buf_append_char(out, '\n');
	ms_table_write_text(&b->table, ms_width_of_terminal(b->cli->out), out);
}

static void write_latency(const struct measure_latency *l, struct json_writer *w)
{
	ms_json_key_lit(w, "one_row");
	ms_json_begin_object(w);
	ms_json_key_lit(w, "p50_us");
	ms_json_f64(w, l->p50_ns / 1000);
	ms_json_key_lit(w, "p99_us");
	ms_json_f64(w, l->p99_ns / 1000);
	ms_json_key_lit(w, "max_us");
	ms_json_f64(w, l->max_ns / 1000);
	ms_json_key_lit(w, "clock_ns");
	ms_json_f64(w, l->clock_ns);
	ms_json_key_lit(w, "count");
	ms_json_u64(w, l->count);
	ms_json_end_object(w);
}

static void write_json(struct bench *b, bool kernels, struct buf *out)
{
	const struct model_info *mi = ms_model_info(b->served->model);
	struct json_writer w;
	struct buf table;
	ms_buf_init(&table, OUTPUT_MAX);
	ms_table_write_json(&b->table, &table);
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "model");
	ms_json_str(&w, b->served->name);
	ms_json_key_lit(&w, "version");
	ms_json_str(&w, b->served->version);
	ms_json_key_lit(&w, "trees");
	ms_json_u64(&w, mi->tree_count);
	ms_json_key_lit(&w, "kernel_single");
	ms_json_cstr(&w, mi->kernel_single);
	ms_json_key_lit(&w, "kernel_batch");
	ms_json_cstr(&w, mi->kernel_batch);
	ms_json_key_lit(&w, "memory_bytes");
	ms_json_u64(&w, mi->memory_bytes);
	ms_json_key_lit(&w, "drawn");
	ms_json_bool(&w, b->data == NULL);
	ms_json_key_lit(&w, "row_count");
	ms_json_u64(&w, b->rows.rows);
	ms_json_key_lit(&w, "output");
	ms_json_cstr(&w, ms_model_output_name(b->output));
	ms_json_key_lit(&w, "cores");
	ms_json_u64(&w, b->cores);
	if (!kernels)
		write_latency(&b->latency, &w);
	ms_json_key(&w, kernels ? MS_SLICE_LIT("kernels") : MS_SLICE_LIT("batches"));
	struct slice rows = ms_buf_slice(&table);
	while (rows.n > 0 && rows.p[rows.n - 1] == '\n')
		rows.n--;
	ms_json_raw(&w, rows);
	ms_json_end_object(&w);
	ms_buf_append_char(out, '\n');
	ms_buf_fini(&table);
}

static enum cli_exit print(struct bench *b, bool kernels)
{
	struct buf out;
	ms_buf_init(&out, OUTPUT_MAX);
	if (ms_cli_option(b->cli, "json") != NULL)
		write_json(b, kernels, &out);
	else
		write_text(b, kernels, &out);
	enum cli_exit status = ms_cli_print(b->cli, &out);
	ms_buf_fini(&out);
	if (status == CLI_OK && b->different > 0)
		return ms_cli_failf(b->cli, "%zu kernels give other bits than the first; please report this model",
				    b->different);
	return status;
}

// --- The command -----------------------------------------------------------------------------------------

static enum ms_err run(struct bench *b, bool kernels, struct errinfo *info)
{
	struct model_options options = ms_models_options(b->settings);
	struct progress loading;
	ms_models_show_loading(&options, &loading, b->cli->err);
	enum ms_err err = ms_models_load(b->settings, b->cli->arguments[0], ms_cli_option(b->cli, "version"), &options,
					 info, &b->served);
	ms_progress_end(&loading);
	MS_TRY(err);
	MS_TRY(ms_output_check(b->served, &MS_MODEL_QUERY(b->output), info));
	MS_TRY(get_rows(b, info));
	b->cores = ms_process_cores();
	size_t runs = kernels ? (MODEL_KERNEL_COUNT - MODEL_KERNEL_WALK) * (MODEL_ISA_COUNT - MODEL_ISA_PLAIN) : 1;
	ms_progress_begin(&b->progress, b->cli->err, "bench", PROGRESS_SHARE, (uint64_t)(b->seconds * 1000) * runs);
	err = kernels ? run_kernels(b, info) : run_batches(b, info);
	ms_progress_end(&b->progress);
	return err;
}

static enum cli_exit read_options(struct cli *cli, bool kernels, struct bench *b)
{
	const char *output = ms_cli_option(cli, "output"), *seconds = ms_cli_option(cli, "seconds");
	b->seconds = kernels ? 1 : 5;
	b->data = ms_cli_option(cli, "data");
	if (output != NULL && !ms_model_output_parse(ms_slice_cstr(output), &b->output))
		return ms_cli_usage(cli, "--output must be default, raw, probability, label or leaf, not \"%.64s\"",
				    output);
	if (seconds != NULL) {
		char *end;
		b->seconds = strtod(seconds, &end);
		if (end == seconds || *end != '\0' || !(b->seconds >= 0.1 && b->seconds <= 3600))
			return ms_cli_usage(cli, "--seconds must be a number from 0.1 to 3600, not \"%.64s\"", seconds);
	}
	return CLI_OK;
}

static enum cli_exit run_bench(struct cli *cli)
{
	struct errinfo info;
	struct config *config;
	struct bench b = {.cli = cli, .output = MODEL_OUTPUT_DEFAULT};
	bool kernels = ms_cli_option(cli, "kernels") != NULL;
	ms_errinfo_init(&info);
	enum cli_exit status = read_options(cli, kernels, &b);
	if (status == CLI_OK)
		status = ms_cli_load_config(cli, &config);
	if (status != CLI_OK)
		return status;
	b.settings = ms_config_settings(config);
	enum ms_err err = run(&b, kernels, &info);
	status = err == MS_OK ? print(&b, kernels) : ms_cli_fail(cli, &info);
	free(b.want);
	free(b.rows.values);
	ms_served_unref(b.served);
	ms_config_free(config);
	return status;
}

static const struct cli_option options[] = {
	{.name = "version", .value = "VERSION", .help = "Version or alias; default the newest"},
	{.name = "data", .value = "FILE", .help = "CSV or JSON lines with rows; default: drawn"},
	{.name = "output", .value = "OUTPUT", .help = "default, raw, probability, label or leaf"},
	{.name = "seconds", .value = "SECONDS", .help = "Time of measuring; default 5, with --kernels 1 for each"},
	{.name = "kernels", .help = "Compare all kernels and instruction sets, and their bits"},
	{.name = "json", .help = "For programs: one JSON object"},
};

const struct cli_command ms_cmd_model_bench = {
	.noun = "model",
	.verb = "bench",
	.arguments = "MODEL",
	.min_arguments = 1,
	.max_arguments = 1,
	.summary = "Measure how fast a model predicts on this machine",
	.details =
		"MODEL is a name of the store, or the path of a file (with a '/'). Up to 10,000 rows of --data are\n"
		"used, repeated to 10,000 when there are fewer. Without it rows are drawn: numbers between the\n"
		"thresholds that the model compares with, one in 8 on one of them; categories of the model; one\n"
		"value in 32 missing. Only predictions are timed, no reading and no HTTP. µs/ROW is the median of\n"
		"many calls, ROWS/s what was done in the time that went by: where other programs run, the first says\n"
		"more of the model. With --kernels the exit status is 1 when a kernel gives other raw scores than\n"
		"the plain walk.\n",
	.options = options,
	.option_count = MS_ARRAY_LEN(options),
	.settings = true,
	.run = run_bench,
};
