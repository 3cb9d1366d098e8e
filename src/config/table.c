// SPDX-License-Identifier: Apache-2.0
// The rows of settings.def and the names under which a row is found.
#include <stdio.h>

#include "config/internal.h"

static const struct setting_def rows[] = {
#define MS_SETTING(member, key_, kind_, default_, range_, env_, flag_, reload_, help_) \
	{                                                                              \
		.key = (key_),                                                         \
		.kind = SETTING_##kind_,                                               \
		.default_text = (default_),                                            \
		.range = (range_),                                                     \
		.env = (env_),                                                         \
		.flag = (flag_),                                                       \
		.reloadable = (reload_),                                               \
		.help = (help_),                                                       \
		.offset = offsetof(struct settings, member),                           \
	},
#include "config/settings.def"
#undef MS_SETTING
};

const struct setting_table ms_setting_table = {rows, MS_ARRAY_LEN(rows), sizeof(struct settings)};

// Variables of the program that are not settings.
static const char *const other_variables[] = {MS_CONFIG_FILE_VARIABLE};

size_t ms_setting_find(const struct setting_table *table, struct slice key)
{
	for (size_t i = 0; i < table->count; i++) {
		if (ms_slice_eq_cstr(key, table->rows[i].key))
			return i;
	}
	return SIZE_MAX;
}

size_t ms_setting_find_flag(const struct setting_table *table, struct slice flag)
{
	if (!ms_slice_starts_with(flag, MS_SLICE_LIT("--")))
		return SIZE_MAX;
	for (size_t i = 0; i < table->count; i++) {
		if (ms_slice_eq_cstr(flag, table->rows[i].flag))
			return i;
	}
	return ms_setting_find(table, ms_slice_sub(flag, 2, SIZE_MAX));
}

bool ms_setting_is_section(const struct setting_table *table, struct slice path)
{
	for (size_t i = 0; i < table->count; i++) {
		struct slice key = ms_slice_cstr(table->rows[i].key);
		if (key.n > path.n && key.p[path.n] == '.' && ms_slice_starts_with(key, path))
			return true;
	}
	return false;
}

static char upper(char c)
{
	return (char)(c >= 'a' && c <= 'z' ? c - ('a' - 'A') : c == '.' ? '_' : c);
}

static void env_name(const char *prefix, struct slice name, char dst[CONFIG_ENV_NAME_MAX])
{
	size_t n = strlen(prefix);
	MS_ASSERT(n + name.n < CONFIG_ENV_NAME_MAX);
	memcpy(dst, prefix, n);
	for (size_t i = 0; i < name.n; i++)
		dst[n++] = upper(name.p[i]);
	dst[n] = '\0';
}

bool ms_setting_env_name(const struct setting_def *def, size_t n, char dst[CONFIG_ENV_NAME_MAX])
{
	char first[CONFIG_ENV_NAME_MAX];
	env_name(MS_CONFIG_ENV_PREFIX, ms_slice_cstr(def->key), first);
	size_t at = 0;
	memcpy(dst, first, sizeof(first));
	if (at++ == n)
		return true;
	struct slice rest = ms_slice_cstr(def->env), alias;
	while (rest.n > 0 && ms_slice_next(&rest, ',', &alias)) {
		env_name(MS_CONFIG_ENV_PREFIX, alias, dst);
		if (!ms_slice_starts_with(alias, MS_SLICE_LIT(MS_CONFIG_ENV_PREFIX)) && strcmp(dst, first) != 0 &&
		    at++ == n)
			return true;
		env_name("", alias, dst);
		if (at++ == n)
			return true;
	}
	return false;
}

bool ms_setting_knows_variable(const struct setting_table *table, struct slice name)
{
	for (size_t i = 0; i < MS_ARRAY_LEN(other_variables); i++) {
		if (ms_slice_eq_cstr(name, other_variables[i]))
			return true;
	}
	struct slice file_suffix = MS_SLICE_LIT("_FILE");
	struct slice stem =
		ms_slice_ends_with(name, file_suffix) ? ms_slice_sub(name, 0, name.n - file_suffix.n) : MS_SLICE_EMPTY;
	char known[CONFIG_ENV_NAME_MAX];
	for (size_t i = 0; i < table->count; i++) {
		for (size_t k = 0; ms_setting_env_name(&table->rows[i], k, known); k++) {
			if (ms_slice_eq_cstr(name, known) || ms_slice_eq_cstr(stem, known))
				return true;
		}
	}
	return false;
}

static void write_hint(char dst[CONFIG_HINT_MAX], const char *prefix, struct slice name)
{
	snprintf(dst, CONFIG_HINT_MAX, "; did you mean %s%.*s?", prefix, MS_SLICE_ARG(name));
}

// Keeps the nearest of the names offered one after the other: the better of it and the next, each time.
struct nearest {
	struct slice name;
	struct slice best;
};

static void offer(struct nearest *n, struct slice candidate)
{
	const struct slice both[] = {n->best, candidate};
	size_t hit = ms_text_nearest(n->name, both, MS_ARRAY_LEN(both));
	if (hit != SIZE_MAX)
		n->best = both[hit];
}

// The part behind the last dot.
static struct slice last_part(struct slice key)
{
	while (true) {
		size_t dot = ms_slice_find(key, '.');
		if (dot == key.n)
			return key;
		key = ms_slice_sub(key, dot + 1, SIZE_MAX);
	}
}

void ms_setting_hint_key(const struct setting_table *table, struct slice key, char dst[CONFIG_HINT_MAX])
{
	struct nearest n = {.name = key};
	for (size_t i = 0; i < table->count; i++) {
		struct slice candidate = ms_slice_cstr(table->rows[i].key);
		offer(&n, candidate);
		offer(&n, ms_slice_sub(candidate, 0, ms_slice_find(candidate, '.'))); // a section
	}
	// Else the section is wrong or missing, and the rest is right: "port", "tls.cert".
	for (size_t i = 0; i < table->count && n.best.n == 0; i++) {
		struct slice candidate = ms_slice_cstr(table->rows[i].key);
		if (ms_slice_eq(last_part(candidate), last_part(key)))
			n.best = candidate;
	}
	dst[0] = '\0';
	if (n.best.n > 0)
		write_hint(dst, "", n.best);
}

void ms_setting_hint_flag(const struct setting_table *table, struct slice flag, char dst[CONFIG_HINT_MAX])
{
	struct slice name = ms_slice_starts_with(flag, MS_SLICE_LIT("--")) ? ms_slice_sub(flag, 2, SIZE_MAX) : flag;
	struct nearest n = {.name = name};
	for (size_t i = 0; i < table->count; i++) {
		const struct setting_def *def = &table->rows[i];
		if (def->flag[0] != '\0')
			offer(&n, ms_slice_cstr(def->flag + 2));
	}
	for (size_t i = 0; i < table->count; i++) {
		struct slice key = ms_slice_cstr(table->rows[i].key);
		if (n.best.n == 0 && ms_slice_eq(last_part(key), name))
			n.best = key;
		offer(&n, key);
	}
	dst[0] = '\0';
	if (n.best.n > 0)
		write_hint(dst, "--", n.best);
}

void ms_setting_hint_env(const struct setting_table *table, struct slice name, char dst[CONFIG_HINT_MAX])
{
	// Names are compared behind the prefix, which all share; what is found is written at once, because the
	// candidate's text does not outlive the loop.
	const size_t prefix = sizeof(MS_CONFIG_ENV_PREFIX) - 1;
	char best[CONFIG_ENV_NAME_MAX] = "", candidate[CONFIG_ENV_NAME_MAX];
	struct nearest n = {.name = ms_slice_sub(name, prefix, SIZE_MAX)};
	for (size_t i = 0; i < table->count; i++) {
		for (size_t k = 0; ms_setting_env_name(&table->rows[i], k, candidate); k++) {
			if (!ms_slice_starts_with(ms_slice_cstr(candidate), MS_SLICE_LIT(MS_CONFIG_ENV_PREFIX)))
				continue;
			offer(&n, ms_slice_cstr(candidate + prefix));
			if (n.best.p == candidate + prefix) {
				memcpy(best, candidate, sizeof(best));
				n.best.p = best + prefix;
			}
		}
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(other_variables); i++)
		offer(&n, ms_slice_cstr(other_variables[i] + prefix));
	dst[0] = '\0';
	if (n.best.n > 0)
		write_hint(dst, MS_CONFIG_ENV_PREFIX, n.best);
}
