// SPDX-License-Identifier: Apache-2.0
// Settings: one table (settings.def) from which the struct, the YAML keys, the environment variables, the
// flags, the help text, `config dump` and the documentation come. Precedence: default, secrets file, mainstay.yaml,
// environment, flags. Text in, values out: the caller reads files and the environment.
#ifndef MS_CONFIG_CONFIG_H
#define MS_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/base.h"

enum setting_kind {
	SETTING_STRING,   // no control characters
	SETTING_SECRET,   // like a string; shown as "[set]" in dumps; NAME_FILE reads it from a mounted file
	SETTING_BOOL,     // true false yes no on off 1 0
	SETTING_INTEGER,  // with a range
	SETTING_BYTES,    // 65536, 64KiB = 64Ki = 65536, 64KB = 64000, 1GiB
	SETTING_DURATION, // 250ms, 10s, 5m, 1h; kept in milliseconds
	SETTING_ENUM,     // one of a list; the value is the index in the order of the range column
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

#define MS_CONFIG_ENV_PREFIX "MAINSTAY_"
#define MS_CONFIG_FILE_VARIABLE "MAINSTAY_CONFIG" // names the settings file; read by the caller, not a setting

enum config_layer { CONFIG_DEFAULTS, CONFIG_SECRETS, CONFIG_FILE, CONFIG_ENVIRONMENT, CONFIG_FLAGS };

// One thing that is wrong. The texts live during the call only.
struct config_problem {
	enum config_layer layer;
	const char *key;     // of the setting, or ""
	int64_t line;        // of the file, or -1
	const char *message; // complete: place, what was found, what would be right
};
typedef void config_problem_fn(const struct config_problem *problem, void *arg);

// A secret that the caller found in the secrets file; the key is that of a setting of kind SETTING_SECRET.
struct config_secret {
	struct slice key, value;
};

// What the caller read. yaml.p == NULL: no file.
struct config_input {
	struct slice yaml;
	const char *yaml_name;          // for messages: "mainstay.yaml"
	const char *const *environment; // as environ(7), or NULL
	const struct config_secret *secrets;
	size_t secret_count;
	int argc; // flags only, after the verb: --port 8080, --port=8080
	const char *const *argv;
	// Reads a mounted secret for NAME_FILE; the caller implements it through rt. May be NULL.
	enum ms_err (*read_file)(const char *path, struct arena *arena, struct errinfo *info, struct slice *ret_text);
	// May be NULL: loading ends at the first problem. Else it is called for each problem, at most
	// MS_CONFIG_MAX_PROBLEMS times, and loading goes on as far as it can; it still fails with the first.
	config_problem_fn *on_problem;
	void *problem_arg;
};
#define MS_CONFIG_MAX_PROBLEMS 100

// Unknown keys and flags are refused with the nearest name and the line; so are wrong types and ranges.
// Unknown MAINSTAY_* variables are refused too (but for the addresses that Kubernetes sets for services whose
// name starts with "mainstay"); other variables are ignored. The value of a secret is in no message.
// MS_ERR_CONFIG or MS_ERR_NO_MEMORY. Any thread.
MS_MUST_USE enum ms_err ms_config_load(const struct config_input *input, struct errinfo *info,
				       struct config **ret_config);
void ms_config_free(struct config *config);
const struct settings *ms_config_settings(const struct config *config);

// Rows of the table, for dumps, help and documentation.
#define MS_SETTING_ENV_SIZE 256
struct setting_view {
	const char *key;
	const char *kind; // "string", "integer", …
	const char *default_text;
	const char *range;             // "1..65535", "json|text|auto", or ""
	char env[MS_SETTING_ENV_SIZE]; // all names, the strongest first: "MAINSTAY_HTTP_PORT,MAINSTAY_PORT,PORT"
	const char *flag;              // "--port" or ""
	const char *help;
	bool reloadable;
	const char *value;  // present value as text; secrets as "[set]" or ""
	const char *source; // "default", "mainstay.yaml:12", "environment PORT", "flag --port"
};
size_t ms_config_count(void);
// config may be NULL: then value and source are the default's.
void ms_config_view(const struct config *config, size_t index, struct setting_view *ret_view);
// Index of the setting that a flag ("--port", "--http.port", without "=value") names, or SIZE_MAX.
size_t ms_config_find_flag(struct slice flag);
// Index of the secret setting that a key ("database.password") or one of its variables ("DB_PASSWORD") names, or SIZE_MAX.
size_t ms_config_find_secret(struct slice name);
// The values of a setting differ between two loads; for a reload.
bool ms_config_differs(const struct config *a, const struct config *b, size_t index);
// YAML with value, source and default as comments; the output is a valid mainstay.yaml.
void ms_config_dump_yaml(const struct config *config, struct buf *out);
void ms_config_dump_json(const struct config *config, struct buf *out);

#endif
