// SPDX-License-Identifier: Apache-2.0
// The layers one over the other: defaults, file, environment, flags.
#include <stdio.h>
#include <stdlib.h>

#include "config/internal.h"

void ms_loader_no_memory(struct loader *l)
{
	l->err = ms_fail(l->info, MS_ERR_NO_MEMORY, "out of memory, or the settings take more than %zu MiB",
			 CONFIG_ARENA_MAX >> 20);
	l->stop = true;
}

void ms_loader_problem(struct loader *l, struct slice key, int64_t line, const char *fmt, ...)
{
	char text[MS_ERRINFO_MESSAGE_SIZE];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	struct errinfo info;
	ms_errinfo_init(&info);
	info.line = line > 0 ? line : -1;
	ms_errinfo_set_field(&info, key);
	enum ms_err err = ms_fail(&info, MS_ERR_CONFIG, "%s", text);
	if (l->err == MS_OK) {
		l->err = err;
		if (l->info != NULL)
			*l->info = info;
	}
	l->problems++;
	if (l->input->on_problem != NULL) {
		const struct config_problem problem = {l->layer, info.field, info.line, info.message};
		l->input->on_problem(&problem, l->input->problem_arg);
	}
	l->stop = l->input->on_problem == NULL || l->problems >= MS_CONFIG_MAX_PROBLEMS;
}

static void *value_at(const struct config *config, size_t row)
{
	return (char *)config->values + config->table->rows[row].offset;
}

// After parsing: keeps the source, or turns the reason into a problem.
static void finish_set(struct loader *l, size_t row, enum ms_err err, const struct errinfo *reason, int64_t line,
		       const char *place, const char *source)
{
	struct config *config = l->config;
	if (err == MS_ERR_NO_MEMORY)
		ms_loader_no_memory(l);
	else if (err != MS_OK)
		ms_loader_problem(l, ms_slice_cstr(config->table->rows[row].key), line, "%s: %s", place,
				  reason->message);
	else
		config->sources[row] = source;
}

void ms_loader_set_text(struct loader *l, size_t row, struct slice text, int64_t line, const char *place,
			const char *source)
{
	struct errinfo reason;
	ms_errinfo_init(&reason);
	enum ms_err err = ms_setting_parse(&l->config->table->rows[row], text, &l->config->arena, &reason,
					   value_at(l->config, row));
	finish_set(l, row, err, &reason, line, place, source);
}

void ms_loader_set_items(struct loader *l, size_t row, const struct slice *items, size_t count, int64_t line,
			 const char *place, const char *source)
{
	struct errinfo reason;
	ms_errinfo_init(&reason);
	enum ms_err err = ms_setting_parse_items(&l->config->table->rows[row], items, count, &l->config->arena, &reason,
						 value_at(l->config, row));
	finish_set(l, row, err, &reason, line, place, source);
}

// The table's own defaults are no input: that they parse is ours to guarantee, and a unit test holds it.
static void read_defaults(struct loader *l)
{
	const struct setting_table *table = l->config->table;
	for (size_t i = 0; i < table->count && !l->stop; i++) {
		ms_loader_set_text(l, i, ms_slice_cstr(table->rows[i].default_text), 0, "default", "default");
		MS_ASSERT(l->err == MS_OK || l->err == MS_ERR_NO_MEMORY);
	}
}

void ms_config_read_secrets(struct loader *l)
{
	const struct setting_table *table = l->config->table;
	for (size_t i = 0; i < l->input->secret_count && !l->stop; i++) {
		const struct config_secret *secret = &l->input->secrets[i];
		size_t row = ms_setting_find(table, secret->key);
		char place[CONFIG_KEY_MAX + 32], hint[CONFIG_HINT_MAX];
		if (row == SIZE_MAX) {
			ms_setting_hint_key(table, secret->key, hint);
			ms_loader_problem(l, MS_SLICE_EMPTY, 0, "secrets file: unknown setting %.*s%s",
					  MS_SLICE_ARG(secret->key), hint);
			continue;
		}
		if (table->rows[row].kind != SETTING_SECRET) {
			ms_loader_problem(l, secret->key, 0,
					  "secrets file: %s is no secret; set it in the settings file",
					  table->rows[row].key);
			continue;
		}
		snprintf(place, sizeof(place), "secrets file: %s", table->rows[row].key);
		ms_loader_set_text(l, row, secret->value, 0, place, "secrets file");
	}
}

static void keep_texts(struct loader *l)
{
	struct config *config = l->config;
	struct buf text;
	ms_buf_init(&text, CONFIG_ARENA_MAX);
	for (size_t i = 0; i < config->table->count && !l->stop; i++) {
		ms_buf_clear(&text);
		ms_setting_format(&config->table->rows[i], value_at(config, i), &text);
		config->texts[i] = ms_buf_ok(&text) ? ms_arena_cstr(&config->arena, ms_buf_slice(&text)) : NULL;
		if (config->texts[i] == NULL)
			ms_loader_no_memory(l);
	}
	ms_buf_fini(&text);
}

static struct config *config_new(const struct setting_table *table)
{
	struct config *config = calloc(1, sizeof(*config));
	if (config == NULL)
		return NULL;
	ms_arena_init(&config->arena, 8192, CONFIG_ARENA_MAX);
	config->table = table;
	config->values = ms_arena_calloc(&config->arena, 1, table->values_size);
	config->sources = MS_ARENA_ARRAY(&config->arena, const char *, table->count);
	config->texts = MS_ARENA_ARRAY(&config->arena, const char *, table->count);
	if (config->values != NULL && config->sources != NULL && config->texts != NULL)
		return config;
	ms_config_free(config);
	return NULL;
}

enum ms_err ms_config_load_table(const struct setting_table *table, const struct config_input *input,
				 struct errinfo *info, struct config **ret_config)
{
	struct config *config = config_new(table);
	if (config == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	struct loader l = {.input = input, .config = config, .info = info, .layer = CONFIG_DEFAULTS};
	static void (*const readers[])(struct loader *) = {
		[CONFIG_DEFAULTS] = read_defaults,     [CONFIG_SECRETS] = ms_config_read_secrets,
		[CONFIG_FILE] = ms_config_read_yaml,   [CONFIG_ENVIRONMENT] = ms_config_read_environment,
		[CONFIG_FLAGS] = ms_config_read_flags,
	};
	for (size_t i = 0; i < MS_ARRAY_LEN(readers) && !l.stop; i++) {
		l.layer = (enum config_layer)i;
		readers[i](&l);
	}
	if (l.err == MS_OK)
		keep_texts(&l);
	if (l.err != MS_OK) {
		ms_config_free(config);
		return l.err;
	}
	*ret_config = config;
	return MS_OK;
}

enum ms_err ms_config_load(const struct config_input *input, struct errinfo *info, struct config **ret_config)
{
	return ms_config_load_table(&ms_setting_table, input, info, ret_config);
}

void ms_config_free(struct config *config)
{
	if (config == NULL)
		return;
	ms_arena_fini(&config->arena);
	free(config);
}

const struct settings *ms_config_settings(const struct config *config)
{
	MS_ASSERT(config->table == &ms_setting_table);
	return config->values;
}

bool ms_config_differs(const struct config *a, const struct config *b, size_t index)
{
	MS_ASSERT(a->table == b->table && index < a->table->count);
	return !ms_setting_equal(&a->table->rows[index], value_at(a, index), value_at(b, index));
}
