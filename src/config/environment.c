// SPDX-License-Identifier: Apache-2.0
// Settings from environment variables, and from the files that NAME_FILE variables name.
#include <stdio.h>

#include "config/internal.h"

// The value of a variable; false when it is not there.
static bool variable(const char *const *environment, const char *name, struct slice *ret_value)
{
	size_t n = strlen(name);
	for (const char *const *e = environment; *e != NULL; e++) {
		if (strncmp(*e, name, n) == 0 && (*e)[n] == '=') {
			*ret_value = ms_slice_cstr(*e + n + 1);
			return true;
		}
	}
	return false;
}

// Kubernetes puts the address of every service of the namespace into the environment of every container: a
// service "mainstay" gives MAINSTAY_PORT=tcp://10.0.0.7:80, MAINSTAY_SERVICE_HOST, MAINSTAY_PORT_80_TCP_ADDR …
// (Kubernetes documentation, "Accessing the Service", environment variables). None of them is meant for us.
static bool is_service_link(struct slice name, struct slice value)
{
	static const char *const schemes[] = {"tcp://", "udp://", "sctp://"};
	bool address = false;
	for (size_t i = 0; i < MS_ARRAY_LEN(schemes); i++)
		address |= ms_slice_starts_with(value, ms_slice_cstr(schemes[i]));
	if (address && ms_slice_ends_with(name, MS_SLICE_LIT("_PORT")))
		return true;
	if (ms_slice_ends_with(name, MS_SLICE_LIT("_SERVICE_HOST")) ||
	    ms_slice_ends_with(name, MS_SLICE_LIT("_SERVICE_PORT")))
		return true;
	for (size_t i = 0; i < name.n; i++) {
		struct slice rest = ms_slice_sub(name, i, SIZE_MAX);
		if (ms_slice_starts_with(rest, MS_SLICE_LIT("_SERVICE_PORT_")))
			return true;
		if (ms_slice_starts_with(rest, MS_SLICE_LIT("_PORT_")) && rest.n > 6 && rest.p[6] >= '0' &&
		    rest.p[6] <= '9')
			return true;
	}
	return false;
}

static void read_named_file(struct loader *l, size_t row, const char *name, const char *path, const char *place,
			    const char *source)
{
	struct slice key = ms_slice_cstr(l->config->table->rows[row].key), text;
	if (l->input->read_file == NULL) {
		ms_loader_problem(l, key, 0, "%s: files are not read here; set %s", place, name);
		return;
	}
	struct errinfo info;
	ms_errinfo_init(&info);
	enum ms_err err = l->input->read_file(path, &l->config->arena, &info, &text);
	if (err == MS_ERR_NO_MEMORY) {
		ms_loader_no_memory(l);
		return;
	}
	if (err != MS_OK) {
		ms_loader_problem(l, key, 0, "%s: %s", place, info.message);
		return;
	}
	// Editors and echo end a file with a line end that is not part of the value.
	if (ms_slice_ends_with(text, MS_SLICE_LIT("\n")))
		text.n--;
	if (ms_slice_ends_with(text, MS_SLICE_LIT("\r")))
		text.n--;
	ms_loader_set_text(l, row, text, 0, place, source);
}

// One name of a setting. True when it set the value or was wrong, so that weaker names do not count.
static bool read_variable(struct loader *l, size_t row, const char *name)
{
	const struct setting_def *def = &l->config->table->rows[row];
	struct slice value, path;
	char file_name[CONFIG_ENV_NAME_MAX + 8];
	snprintf(file_name, sizeof(file_name), "%s_FILE", name);
	bool textual = def->kind == SETTING_STRING || def->kind == SETTING_SECRET;
	bool here = variable(l->input->environment, name, &value) && (value.n > 0 || textual) &&
		    !is_service_link(ms_slice_cstr(name), value);
	bool in_file = variable(l->input->environment, file_name, &path) && path.n > 0;
	if (here && in_file) {
		ms_loader_problem(l, ms_slice_cstr(def->key), 0,
				  "environment: %s and %s are both set; unset one of them (setting %s)", name,
				  file_name, def->key);
		return true;
	}
	if (!here && !in_file)
		return false;
	const char *used = in_file ? file_name : name;
	char place[2 * CONFIG_ENV_NAME_MAX + CONFIG_KEY_MAX];
	snprintf(place, sizeof(place), "environment variable %s (%s)", used, def->key);
	const char *source = ms_arena_printf(&l->config->arena, "environment %s", used);
	if (source == NULL)
		ms_loader_no_memory(l);
	else if (in_file)
		read_named_file(l, row, name, path.p, place, source);
	else
		ms_loader_set_text(l, row, value, 0, place, source);
	return true;
}

static void refuse_unknown(struct loader *l)
{
	const struct setting_table *table = l->config->table;
	for (const char *const *e = l->input->environment; *e != NULL && !l->stop; e++) {
		struct slice entry = ms_slice_cstr(*e);
		struct slice name = ms_slice_sub(entry, 0, ms_slice_find(entry, '='));
		struct slice value = ms_slice_sub(entry, name.n + 1, SIZE_MAX);
		if (!ms_slice_starts_with(name, MS_SLICE_LIT(MS_CONFIG_ENV_PREFIX)) ||
		    ms_setting_knows_variable(table, name) || is_service_link(name, value))
			continue;
		char hint[CONFIG_HINT_MAX];
		ms_setting_hint_env(table, name, hint);
		ms_loader_problem(l, MS_SLICE_EMPTY, 0, "environment: unknown variable %.*s%s", MS_SLICE_ARG(name),
				  hint);
	}
}

void ms_config_read_environment(struct loader *l)
{
	if (l->input->environment == NULL)
		return;
	refuse_unknown(l);
	for (size_t row = 0; row < l->config->table->count; row++) {
		char name[CONFIG_ENV_NAME_MAX];
		for (size_t k = 0; !l->stop && ms_setting_env_name(&l->config->table->rows[row], k, name); k++) {
			if (read_variable(l, row, name))
				break;
		}
	}
}
