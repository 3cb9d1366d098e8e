// SPDX-License-Identifier: Apache-2.0
// Settings: one table (settings.def) from which the struct, the YAML keys, the environment variables, the
// flags, the help text, `config dump` and the documentation come. Precedence: default, mainstay.yaml,
// environment, flags. Text in, values out: the caller reads files and the environment.
#ifndef MS_CONFIG_CONFIG_H
#define MS_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/base.h"

enum setting_kind {
	SETTING_STRING,
	SETTING_SECRET,   // like a string; shown as "[set]" in dumps; NAME_FILE reads it from a mounted file
	SETTING_BOOL,     // true false yes no on off 1 0
	SETTING_INTEGER,  // with a range
	SETTING_BYTES,    // 65536, 64KiB, 64KB, 1GiB
	SETTING_DURATION, // 250ms, 10s, 5m, 1h; kept in milliseconds
	SETTING_ENUM,     // one of a list
	SETTING_LIST,     // YAML sequence, or comma-separated text
};

struct string_list {
	const char *const *items;
	size_t count;
};

// One member per row of settings.def, named as the key with '.' replaced by '_': http_idle_timeout.
struct settings {
#define SETTING_CTYPE_STRING const char *
#define SETTING_CTYPE_SECRET const char *
#define SETTING_CTYPE_BOOL bool
#define SETTING_CTYPE_INTEGER int64_t
#define SETTING_CTYPE_BYTES uint64_t
#define SETTING_CTYPE_DURATION uint64_t
#define SETTING_CTYPE_ENUM int
#define SETTING_CTYPE_LIST struct string_list
#define MS_SETTING(member, key, kind, default_text, range, env, flag, reload, help) SETTING_CTYPE_##kind member;
#include "config/settings.def"
#undef MS_SETTING
};

struct config; // settings with their sources; immutable after loading

// What the caller read. yaml.p == NULL: no file.
struct config_input {
	struct slice yaml;
	const char *yaml_name;    // for messages: "mainstay.yaml"
	char *const *environment; // as environ(7), or NULL
	int argc;                 // flags only, after the verb: --port 8080, --port=8080
	char *const *argv;
	// Reads a mounted secret for NAME_FILE; the caller implements it through rt. May be NULL.
	enum ms_err (*read_file)(const char *path, struct arena *arena, struct errinfo *info, struct slice *ret_text);
};

// Unknown keys and flags are refused with the nearest name and the line; so are wrong types and ranges.
// Unknown MAINSTAY_* variables are refused too; other variables are ignored.
MS_MUST_USE enum ms_err ms_config_load(const struct config_input *input, struct errinfo *info,
				       struct config **ret_config);
void ms_config_free(struct config *config);
const struct settings *ms_config_settings(const struct config *config);

// Rows of the table, for dumps, help and documentation.
struct setting_view {
	const char *key;
	const char *kind; // "string", "integer", …
	const char *default_text;
	const char *range; // "1..65535", "json|text|auto", or ""
	const char *env;   // all names, comma-separated: "MAINSTAY_PORT,PORT"
	const char *flag;  // "--port" or ""
	const char *help;
	bool reloadable;
	const char *value;  // present value as text; secrets as "[set]" or ""
	const char *source; // "default", "mainstay.yaml:12", "environment MAINSTAY_PORT", "flag --port"
};
size_t ms_config_count(void);
// config may be NULL: then value and source are the default's.
void ms_config_view(const struct config *config, size_t index, struct setting_view *ret_view);
// YAML with value, source and default as comments; the output is a valid mainstay.yaml.
void ms_config_dump_yaml(const struct config *config, struct buf *out);
void ms_config_dump_json(const struct config *config, struct buf *out);

#endif
