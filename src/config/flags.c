// SPDX-License-Identifier: Apache-2.0
// Settings from flags: --port 8080, --port=8080, --http.port=8080.
#include <stdio.h>

#include "config/internal.h"

struct flag_reader {
	struct loader *l;
	int at; // next argument
	// Items of lists given so far: a list's flag may be repeated, each adds.
	struct slice items[CONFIG_LIST_MAX + 1];
	uint16_t rows[CONFIG_LIST_MAX + 1];
	size_t count;
};

// The value behind '=' or in the next argument; false (a problem was noted) when there is none.
static bool flag_value(struct flag_reader *f, const struct setting_def *def, struct slice flag, struct slice arg,
		       struct slice *ret_value)
{
	struct loader *l = f->l;
	if (flag.n < arg.n) {
		*ret_value = ms_slice_sub(arg, flag.n + 1, SIZE_MAX);
		return true;
	}
	if (def->kind == SETTING_BOOL) {
		*ret_value = MS_SLICE_LIT("true");
		return true;
	}
	char expected[256];
	ms_setting_describe(def, expected);
	struct slice next = f->at < l->input->argc ? ms_slice_cstr(l->input->argv[f->at]) : MS_SLICE_EMPTY;
	// What looks like a flag is one, so that a forgotten value does not swallow it; "--flag=--text" is possible.
	if (f->at >= l->input->argc || ms_slice_starts_with(next, MS_SLICE_LIT("--"))) {
		ms_loader_problem(l, ms_slice_cstr(def->key), 0, "%.*s needs a value: expected %s", MS_SLICE_ARG(flag),
				  expected);
		return false;
	}
	f->at++;
	*ret_value = next;
	return true;
}

// Adds to what earlier flags of the same list gave.
static void add_items(struct flag_reader *f, size_t row, struct slice value, const char *place, const char *source)
{
	struct slice mine[CONFIG_LIST_MAX + 1], item;
	size_t count = 0;
	while (f->count < MS_ARRAY_LEN(f->items) && value.n > 0 && ms_slice_next(&value, ',', &item)) {
		f->items[f->count] = ms_slice_trim(item);
		f->rows[f->count++] = (uint16_t)row;
	}
	for (size_t i = 0; i < f->count; i++) {
		if (f->rows[i] == row)
			mine[count++] = f->items[i];
	}
	if (f->count == MS_ARRAY_LEN(f->items))
		ms_loader_problem(f->l, ms_slice_cstr(f->l->config->table->rows[row].key), 0,
				  "%s: the flags hold more than %d list items", place, CONFIG_LIST_MAX);
	else
		ms_loader_set_items(f->l, row, mine, count, 0, place, source);
}

static void read_flag(struct flag_reader *f)
{
	struct loader *l = f->l;
	struct slice arg = ms_slice_cstr(l->input->argv[f->at++]);
	struct slice flag = ms_slice_sub(arg, 0, ms_slice_find(arg, '='));
	size_t row = ms_setting_find_flag(l->config->table, flag);
	if (row == SIZE_MAX) {
		char hint[CONFIG_HINT_MAX];
		ms_setting_hint_flag(l->config->table, flag, hint);
		ms_loader_problem(l, MS_SLICE_EMPTY, 0, "unknown flag %.*s%s",
				  (int)MS_MIN(flag.n, (size_t)CONFIG_KEY_MAX), flag.p, hint);
		return;
	}
	const struct setting_def *def = &l->config->table->rows[row];
	struct slice value;
	if (!flag_value(f, def, flag, arg, &value))
		return;
	if (def->kind == SETTING_SECRET) {
		char name[CONFIG_ENV_NAME_MAX];
		(void)ms_setting_env_name(def, 0, name); // the first is always there
		ms_loader_problem(
			l, ms_slice_cstr(def->key), 0,
			"%.*s: a secret on the command line is visible to every user of the machine; set %s or "
			"%s_FILE",
			MS_SLICE_ARG(flag), name, name);
		return;
	}
	char place[CONFIG_KEY_MAX + 8];
	snprintf(place, sizeof(place), "%.*s", MS_SLICE_ARG(flag));
	const char *source = ms_arena_printf(&l->config->arena, "flag %s", place);
	if (source == NULL)
		ms_loader_no_memory(l);
	else if (def->kind == SETTING_LIST)
		add_items(f, row, value, place, source);
	else
		ms_loader_set_text(l, row, value, 0, place, source);
}

void ms_config_read_flags(struct loader *l)
{
	struct flag_reader f = {.l = l};
	while (f.at < l->input->argc && !l->stop) {
		struct slice arg = ms_slice_cstr(l->input->argv[f.at]);
		bool separator = ms_slice_eq_cstr(arg, "--");
		bool flag = !separator && ms_slice_starts_with(arg, MS_SLICE_LIT("--"));
		if (flag) {
			read_flag(&f);
			continue;
		}
		f.at++;
		// Behind "--" nothing is a flag any more, and settings are flags only.
		if (separator && f.at == l->input->argc)
			return;
		struct slice extra = separator ? ms_slice_cstr(l->input->argv[f.at]) : arg;
		ms_loader_problem(l, MS_SLICE_EMPTY, 0,
				  "unexpected argument \"%.*s\"; settings are given as --name=value",
				  (int)MS_MIN(extra.n, (size_t)CONFIG_KEY_MAX), extra.p);
		if (separator)
			return;
	}
}
