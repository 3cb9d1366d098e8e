// SPDX-License-Identifier: Apache-2.0
// What is in force and where it comes from.
#include <stdio.h>

#include "config/internal.h"

size_t ms_config_count(void)
{
	return ms_setting_table.count;
}

size_t ms_config_find_flag(struct slice flag)
{
	return ms_setting_find_flag(&ms_setting_table, flag);
}

size_t ms_config_find_secret(struct slice name)
{
	const struct setting_table *table = &ms_setting_table;
	char variable[CONFIG_ENV_NAME_MAX];
	for (size_t i = 0; i < table->count; i++) {
		if (table->rows[i].kind != SETTING_SECRET)
			continue;
		if (ms_slice_eq_cstr(name, table->rows[i].key))
			return i;
		for (size_t k = 0; ms_setting_env_name(&table->rows[i], k, variable); k++) {
			if (ms_slice_eq_cstr(name, variable))
				return i;
		}
	}
	return SIZE_MAX;
}

static void join_env_names(const struct setting_def *def, char dst[MS_SETTING_ENV_SIZE])
{
	char name[CONFIG_ENV_NAME_MAX];
	int at = 0;
	for (size_t k = 0; ms_setting_env_name(def, k, name); k++) {
		at += snprintf(dst + at, (size_t)(MS_SETTING_ENV_SIZE - at), "%s%s", k > 0 ? "," : "", name);
		MS_ASSERT(at < MS_SETTING_ENV_SIZE);
	}
}

void ms_config_view(const struct config *config, size_t index, struct setting_view *ret_view)
{
	const struct setting_table *table = config != NULL ? config->table : &ms_setting_table;
	MS_ASSERT(index < table->count);
	const struct setting_def *def = &table->rows[index];
	*ret_view = (struct setting_view){
		.key = def->key,
		.kind = ms_setting_kind_name(def->kind),
		.default_text = def->default_text,
		.range = def->range,
		.flag = def->flag,
		.help = def->help,
		.reloadable = def->reloadable,
		.value = config != NULL ? config->texts[index] : def->default_text,
		.source = config != NULL ? config->sources[index] : "default",
	};
	join_env_names(def, ret_view->env);
}

// Sections that `key` shares with the line before stay open; the others are opened, each on its own line.
static size_t open_sections(struct slice before, struct slice key, struct buf *out)
{
	size_t level = 0;
	bool same = true;
	for (size_t at = 0;; level++) {
		size_t dot = at + ms_slice_find(ms_slice_sub(key, at, SIZE_MAX), '.');
		if (dot == key.n)
			return level;
		same = same && before.n > dot && before.p[dot] == '.' &&
		       ms_slice_eq(ms_slice_sub(before, 0, dot), ms_slice_sub(key, 0, dot));
		if (!same) {
			struct slice name = ms_slice_sub(key, at, dot - at);
			ms_buf_printf(out, "%*s%.*s:\n", (int)level * 2, "", MS_SLICE_ARG(name));
		}
		at = dot + 1;
	}
}

void ms_config_dump_yaml(const struct config *config, struct buf *out)
{
	struct slice before = MS_SLICE_EMPTY;
	for (size_t i = 0; i < config->table->count; i++) {
		const struct setting_def *def = &config->table->rows[i];
		const void *value = (const char *)config->values + def->offset;
		struct slice key = ms_slice_cstr(def->key);
		size_t level = open_sections(before, key, out);
		size_t name = key.n;
		while (name > 0 && key.p[name - 1] != '.')
			name--;
		// A secret stays out of the file: what is written must be fit to be shown and to be loaded.
		ms_buf_printf(out, "%*s%s%s: ", (int)level * 2, "", def->kind == SETTING_SECRET ? "# " : "",
			      def->key + name);
		ms_setting_format_json(def, value, out);
		ms_buf_append_cstr(out, "  # source: ");
		ms_buf_append_cstr(out, config->sources[i]);
		ms_buf_append_cstr(out, ", default: ");
		ms_buf_append_cstr(out, def->default_text[0] != '\0' ? def->default_text : "\"\"");
		ms_buf_append_char(out, '\n');
		before = key;
	}
}

static void default_json(const struct setting_def *def, struct buf *out)
{
	struct slice text = ms_slice_cstr(def->default_text);
	if (def->kind == SETTING_BOOL || def->kind == SETTING_INTEGER) {
		ms_buf_append_slice(out, text);
	} else if (def->kind == SETTING_LIST) {
		const char *separator = "[";
		struct slice item;
		while (text.n > 0 && ms_slice_next(&text, ',', &item)) {
			ms_buf_append_cstr(out, separator);
			ms_setting_quote(out, item);
			separator = ", ";
		}
		ms_buf_append_cstr(out, separator[0] == '[' ? "[]" : "]");
	} else {
		ms_setting_quote(out, text);
	}
}

void ms_config_dump_json(const struct config *config, struct buf *out)
{
	ms_buf_append_cstr(out, "{\n");
	for (size_t i = 0; i < config->table->count; i++) {
		const struct setting_def *def = &config->table->rows[i];
		ms_buf_append_cstr(out, "  ");
		ms_setting_quote(out, ms_slice_cstr(def->key));
		ms_buf_append_cstr(out, ": {\"value\": ");
		ms_setting_format_json(def, (const char *)config->values + def->offset, out);
		ms_buf_append_cstr(out, ", \"default\": ");
		default_json(def, out);
		ms_buf_append_cstr(out, ", \"source\": ");
		ms_setting_quote(out, ms_slice_cstr(config->sources[i]));
		ms_buf_append_cstr(out, i + 1 < config->table->count ? "},\n" : "}\n");
	}
	ms_buf_append_cstr(out, "}\n");
}
