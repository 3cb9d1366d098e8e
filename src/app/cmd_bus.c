// SPDX-License-Identifier: Apache-2.0
// `mainstay bus …`: what waits, the dead letters, sending them again. Looks into the database; a server may run meanwhile or not.
#include "app/commands.h"
#include "app/store.h"
#include "app/table.h"
#include "app/width.h"
#include "bus/bus.h"
#include "json/json.h"

#define OUTPUT_MAX ((size_t)1 << 29)
#define LIMIT_MAX 1000
#define PAYLOAD_SHOWN 60 // bytes, in the table for people

// One command: its transaction writes to `out`, which starts empty each time it runs.
struct bus_command {
	struct cli *cli;
	bool json;
	uint64_t limit;
	struct slice subscription, id;
	struct buf out;
};

static enum ms_err print_table(struct bus_command *c, const struct table *table, struct errinfo *info)
{
	if (c->json)
		ms_table_write_json(table, &c->out);
	else
		ms_table_write_text(table, ms_width_of_terminal(c->cli->out), &c->out);
	return ms_buf_ok(&c->out) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the list");
}

static const char *time_text(int64_t at_us, char dst[MS_RFC3339_SIZE])
{
	if (at_us <= 0)
		return NULL;
	ms_text_rfc3339(at_us * 1000, dst);
	return dst;
}

static const char *text_of(struct arena *arena, struct slice text)
{
	return text.p != NULL ? ms_arena_cstr(arena, text) : NULL;
}

// --- status ------------------------------------------------------------------------------------------

static enum ms_err add_queue(struct table *table, const struct bus_queue_status *q)
{
	char numbers[5][24], oldest[MS_RFC3339_SIZE], seen[MS_RFC3339_SIZE];
	const uint64_t values[] = {q->ready, q->later, q->held, q->dead, q->attempts};
	for (size_t i = 0; i < MS_ARRAY_LEN(values); i++)
		snprintf(numbers[i], sizeof(numbers[i]), "%llu", (unsigned long long)values[i]);
	return ms_table_add(table,
			    (const char *const[]){text_of(table->arena, q->name), numbers[0], numbers[1], numbers[2],
						  numbers[3], time_text(q->oldest_us, oldest),
						  q->topics.p != NULL ? numbers[4] : NULL, time_text(q->seen_us, seen),
						  text_of(table->arena, q->topics)});
}

static enum ms_err queue_table(struct table *table, struct arena *arena, const struct bus_status *status,
			       struct errinfo *info)
{
	static const struct table_column columns[] = {
		{"SUBSCRIPTION", "subscription", TABLE_TEXT},
		{"READY", "ready", TABLE_NUMBER},
		{"LATER", "later", TABLE_NUMBER},
		{"HELD", "held", TABLE_NUMBER},
		{"DEAD", "dead", TABLE_NUMBER},
		{"OLDEST", "oldest", TABLE_TEXT},
		{"ATTEMPTS", "attempts", TABLE_NUMBER},
		{"SEEN", "seen", TABLE_TEXT},
		{"TOPICS", "topics", TABLE_TEXT},
	};
	ms_table_init(table, arena, columns, MS_ARRAY_LEN(columns));
	for (size_t i = 0; i < status->queue_count; i++) {
		if (add_queue(table, &status->queues[i]) != MS_OK)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the list");
	}
	return MS_OK;
}

static void status_json(const struct bus_status *status, const struct table *table, struct buf *out)
{
	struct json_writer w;
	struct buf queues;
	char oldest[MS_RFC3339_SIZE];
	ms_buf_init(&queues, OUTPUT_MAX);
	ms_table_write_json(table, &queues);
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "outbox");
	ms_json_u64(&w, status->outbox);
	ms_json_key_lit(&w, "oldest");
	if (time_text(status->outbox_oldest_us, oldest) != NULL)
		ms_json_cstr(&w, oldest);
	else
		ms_json_null(&w);
	ms_json_key_lit(&w, "relay");
	if (status->relay.n > 0)
		ms_json_str(&w, status->relay);
	else
		ms_json_null(&w);
	ms_json_key_lit(&w, "subscriptions");
	ms_json_raw(&w, ms_slice_trim(ms_slice(queues.p, queues.n > 0 ? queues.n - 1 : 0)));
	ms_json_end_object(&w);
	ms_buf_append_char(out, '\n');
	if (!ms_buf_ok(&queues))
		out->failed = true;
	ms_buf_fini(&queues);
}

static enum ms_err show_status(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct bus_command *c = arg;
	struct bus_status status;
	struct table table;
	char oldest[MS_RFC3339_SIZE];
	ms_buf_clear(&c->out);
	MS_TRY(ms_bus_status(tx, info, &status));
	MS_TRY(queue_table(&table, &c->cli->arena, &status, info));
	if (c->json) {
		status_json(&status, &table, &c->out);
		return ms_buf_ok(&c->out) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the list");
	}
	ms_buf_printf(&c->out, "outbox:  %llu", (unsigned long long)status.outbox);
	if (time_text(status.outbox_oldest_us, oldest) != NULL)
		ms_buf_printf(&c->out, ", the oldest of %s", oldest);
	if (status.relay.n > 0)
		ms_buf_printf(&c->out, "\nrelay:   %.*s", MS_SLICE_ARG(status.relay));
	ms_buf_append_char(&c->out, '\n');
	if (status.queue_count == 0)
		return MS_OK;
	ms_buf_append_char(&c->out, '\n');
	return print_table(c, &table, info);
}

// --- dead --------------------------------------------------------------------------------------------

static enum ms_err add_dead(struct table *table, const struct bus_dead *d, bool whole)
{
	char attempts[16], published[MS_RFC3339_SIZE], dead[MS_RFC3339_SIZE];
	struct slice payload = whole ? d->payload : ms_slice_sub(d->payload, 0, PAYLOAD_SHOWN);
	snprintf(attempts, sizeof(attempts), "%u", d->attempts);
	return ms_table_add(table,
			    (const char *const[]){text_of(table->arena, d->subscription), text_of(table->arena, d->id),
						  text_of(table->arena, d->topic), attempts,
						  time_text(d->published_us, published), time_text(d->dead_us, dead),
						  text_of(table->arena, d->reason), text_of(table->arena, payload)});
}

static enum ms_err show_dead(struct store_tx *tx, void *arg, struct errinfo *info)
{
	static const struct table_column columns[] = {
		{"SUBSCRIPTION", "subscription", TABLE_TEXT},
		{"ID", "id", TABLE_TEXT},
		{"TOPIC", "topic", TABLE_TEXT},
		{"ATTEMPTS", "attempts", TABLE_NUMBER},
		{"PUBLISHED", "published", TABLE_TEXT},
		{"DEAD", "dead", TABLE_TEXT},
		{"REASON", "reason", TABLE_TEXT},
		{"PAYLOAD", "payload", TABLE_TEXT},
	};
	struct bus_command *c = arg;
	struct bus_dead *dead;
	size_t count;
	struct table table;
	ms_buf_clear(&c->out);
	MS_TRY(ms_bus_dead_list(tx, c->subscription, (size_t)c->limit, info, &dead, &count));
	ms_table_init(&table, ms_store_arena(tx), columns, MS_ARRAY_LEN(columns));
	for (size_t i = 0; i < count; i++) {
		if (add_dead(&table, &dead[i], c->json) != MS_OK)
			return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for the list; try a smaller --limit");
	}
	if (count == 0 && !c->json) {
		ms_buf_append_cstr(&c->out, "no dead letters\n");
		return MS_OK;
	}
	return print_table(c, &table, info);
}

// --- redrive -----------------------------------------------------------------------------------------

static enum ms_err redrive(struct store_tx *tx, void *arg, struct errinfo *info)
{
	struct bus_command *c = arg;
	uint64_t count;
	ms_buf_clear(&c->out);
	MS_TRY(ms_bus_redrive(tx, c->subscription, c->id, info, &count));
	if (c->json)
		ms_buf_printf(&c->out, "{\"redriven\":%llu}\n", (unsigned long long)count);
	else
		ms_buf_printf(&c->out, "%llu dead letter%s of %.*s sent again\n", (unsigned long long)count,
			      count == 1 ? "" : "s", MS_SLICE_ARG(c->subscription));
	return MS_OK;
}

// --- The commands ------------------------------------------------------------------------------------

static enum cli_exit run_in_store(struct bus_command *c, store_fn *fn, bool writes)
{
	struct config *config;
	struct store *store = NULL;
	struct errinfo info;
	ms_errinfo_init(&info);
	enum cli_exit status = ms_cli_load_config(c->cli, &config);
	if (status != CLI_OK)
		return status;
	const struct settings *settings = ms_config_settings(config);
	ms_buf_init(&c->out, OUTPUT_MAX);
	enum ms_err err = ms_app_prepare_store(settings, &info);
	if (err == MS_OK)
		err = ms_app_open_store(settings, APP_STORE_SERVE, NULL, NULL, &info, &store);
	if (err == MS_OK)
		err = writes ? ms_store_write_wait(store, fn, c, &info) : ms_store_read_wait(store, fn, c, &info);
	status = err == MS_OK ? ms_cli_print(c->cli, &c->out) : ms_cli_fail(c->cli, &info);
	if (store != NULL)
		ms_store_stop(store);
	ms_store_free(store);
	ms_buf_fini(&c->out);
	ms_config_free(config);
	return status;
}

static struct bus_command begin(struct cli *cli)
{
	return (struct bus_command){
		.cli = cli,
		.json = ms_cli_option(cli, "json") != NULL,
		.limit = 50,
		.subscription = cli->argument_count > 0 ? ms_slice_cstr(cli->arguments[0]) : MS_SLICE_EMPTY,
		.id = cli->argument_count > 1 ? ms_slice_cstr(cli->arguments[1]) : MS_SLICE_EMPTY,
	};
}

static enum cli_exit run_status(struct cli *cli)
{
	struct bus_command c = begin(cli);
	return run_in_store(&c, show_status, false);
}

static enum cli_exit run_dead(struct cli *cli)
{
	struct bus_command c = begin(cli);
	const char *limit = ms_cli_option(cli, "limit");
	if (limit != NULL && (!ms_slice_to_u64(ms_slice_cstr(limit), &c.limit) || c.limit < 1 || c.limit > LIMIT_MAX))
		return ms_cli_usage(cli, "--limit is a number from 1 to %d, not \"%.64s\"", LIMIT_MAX, limit);
	return run_in_store(&c, show_dead, false);
}

static enum cli_exit run_redrive(struct cli *cli)
{
	struct bus_command c = begin(cli);
	bool all = ms_cli_option(cli, "all") != NULL;
	if (all == (c.id.n > 0))
		return ms_cli_usage(cli, "name the ID of one dead letter, or --all");
	return run_in_store(&c, redrive, true);
}

static const struct cli_option json_option[] = {{.name = "json", .help = "For programs: JSON"}};
static const struct cli_option dead_options[] = {
	{.name = "limit", .value = "NUMBER", .help = "How many, the newest first; default 50, at most 1000"},
	{.name = "json", .help = "For programs: JSON, with whole payloads"},
};
static const struct cli_option redrive_options[] = {
	{.name = "all", .help = "Every dead letter of the subscription"},
	{.name = "json", .help = "For programs: JSON"},
};

const struct cli_command ms_cmd_bus_status = {
	.noun = "bus",
	.verb = "status",
	.arguments = "",
	.summary = "What waits in the outbox and in the queues of the subscriptions",
	.details = "READY: may be delivered now; LATER: waits for its next attempt; HELD: delivered, not yet "
		   "acknowledged;\n"
		   "DEAD: given up, see `mainstay bus dead`. With RabbitMQ new events wait there and are not counted "
		   "here.\n",
	.options = json_option,
	.option_count = MS_ARRAY_LEN(json_option),
	.settings = true,
	.run = run_status,
};

const struct cli_command ms_cmd_bus_dead = {
	.noun = "bus",
	.verb = "dead",
	.arguments = "[SUBSCRIPTION]",
	.max_arguments = 1,
	.summary = "List the events that a subscription gave up, and why",
	.options = dead_options,
	.option_count = MS_ARRAY_LEN(dead_options),
	.settings = true,
	.run = run_dead,
};

const struct cli_command ms_cmd_bus_redrive = {
	.noun = "bus",
	.verb = "redrive",
	.arguments = "SUBSCRIPTION [ID]",
	.min_arguments = 1,
	.max_arguments = 2,
	.summary = "Send dead letters to their subscription again",
	.details = "With all attempts, as if they were new. A running server notices by itself.\n",
	.options = redrive_options,
	.option_count = MS_ARRAY_LEN(redrive_options),
	.settings = true,
	.run = run_redrive,
};
