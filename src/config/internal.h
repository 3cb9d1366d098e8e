// SPDX-License-Identifier: Apache-2.0
// Between the files of this module (and its tests, which bring tables of their own).
#ifndef MS_CONFIG_INTERNAL_H
#define MS_CONFIG_INTERNAL_H

#include "config/config.h"

#define CONFIG_YAML_MAX ((size_t)1 << 20)  // bytes of a settings file
#define CONFIG_VALUE_MAX ((size_t)1 << 16) // bytes of one value
#define CONFIG_LIST_MAX 256                // items of a list
#define CONFIG_KEY_MAX 128                 // bytes of a key
#define CONFIG_ENV_NAME_MAX 96             // bytes of a variable's name, with the NUL
#define CONFIG_ARENA_MAX ((size_t)16 << 20)

struct setting_def {
	const char *key;
	enum setting_kind kind;
	const char *default_text;
	const char *range;
	const char *env;
	const char *flag;
	bool reloadable;
	const char *help;
	size_t offset; // of the value in the settings struct
};

struct setting_table {
	const struct setting_def *rows;
	size_t count;
	size_t values_size; // of the settings struct
};

extern const struct setting_table ms_setting_table;

struct config {
	struct arena arena; // holds everything below
	const struct setting_table *table;
	void *values;         // the settings struct of the table
	const char **sources; // one per row
	const char **texts;   // one per row: the value as text
};

// --- table.c: rows, names, nearest -----------------------------------------------------------------

// SIZE_MAX when there is no such row.
size_t ms_setting_find(const struct setting_table *table, struct slice key);
// With or without the leading dashes of its first column: "--port", "--http.port".
size_t ms_setting_find_flag(const struct setting_table *table, struct slice flag);
// Some key starts with `path` and a dot.
bool ms_setting_is_section(const struct setting_table *table, struct slice path);
// The n-th variable of a row: MAINSTAY_<KEY>, then each alias as MAINSTAY_<ALIAS> and as it is. False behind the last.
bool ms_setting_env_name(const struct setting_def *def, size_t n, char dst[CONFIG_ENV_NAME_MAX]);
// The name, or the name without a trailing _FILE, is one of the program's variables.
bool ms_setting_knows_variable(const struct setting_table *table, struct slice name);
// "; did you mean …?" or "" in `dst`. The nearest key to an unknown one; a bare last part ("port") counts as near.
#define CONFIG_HINT_MAX (CONFIG_KEY_MAX + 32)
void ms_setting_hint_key(const struct setting_table *table, struct slice key, char dst[CONFIG_HINT_MAX]);
void ms_setting_hint_flag(const struct setting_table *table, struct slice flag, char dst[CONFIG_HINT_MAX]);
void ms_setting_hint_env(const struct setting_table *table, struct slice name, char dst[CONFIG_HINT_MAX]);

// --- value.c: text and value -----------------------------------------------------------------------

const char *ms_setting_kind_name(enum setting_kind kind);
// "a whole number from 0 to 65535", for messages.
void ms_setting_describe(const struct setting_def *def, char dst[256]);
// Reads `text` into the value at `dst` (of the kind's C type). Lists are comma-separated. MS_ERR_CONFIG with the reason
// (not the place) in `info`, or MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_setting_parse(const struct setting_def *def, struct slice text, struct arena *arena,
					 struct errinfo *info, void *dst);
// The same for a list of ready items; they are copied.
MS_MUST_USE enum ms_err ms_setting_parse_items(const struct setting_def *def, const struct slice *items, size_t count,
					       struct arena *arena, struct errinfo *info, void *dst);
// The reverse, for people: "64KiB", "a,b", "[set]".
void ms_setting_format(const struct setting_def *def, const void *value, struct buf *out);
// The same as a JSON value that is also a YAML value.
void ms_setting_format_json(const struct setting_def *def, const void *value, struct buf *out);
// In double quotes, with escapes that JSON and YAML share.
void ms_setting_quote(struct buf *out, struct slice text);
// A copy fit for one line of text in YAML and JSON: what is not is shown as '?'. NULL when out of memory.
char *ms_setting_printable(struct arena *arena, struct slice text);
// What a plain scalar means to YAML readers (1.2 core schema, and the booleans of 1.1): "a boolean", "a number",
// "nothing"; NULL for text.
const char *ms_setting_plain_type(struct slice text);
bool ms_setting_equal(const struct setting_def *def, const void *a, const void *b);

// --- load.c and its readers ------------------------------------------------------------------------

struct loader {
	const struct config_input *input;
	struct config *config;
	struct errinfo *info; // of the caller: the first problem; may be NULL
	enum ms_err err;      // of the first problem
	size_t problems;
	bool stop;               // no further reading: memory is out, or nobody listens to further problems
	enum config_layer layer; // the one being read
	int64_t *lines;          // of the file, per row; 0 = not set there
};

// Notes a problem; `key` and `line` may be absent (empty, 0). Sets `stop` when reading on is of no use.
void ms_loader_problem(struct loader *l, struct slice key, int64_t line, const char *fmt, ...) MS_PRINTF(4, 5) MS_COLD;
void ms_loader_no_memory(struct loader *l) MS_COLD;
// Sets a row from text; a wrong value is a problem that names `place`. `source` lives as long as the config.
void ms_loader_set_text(struct loader *l, size_t row, struct slice text, int64_t line, const char *place,
			const char *source);
void ms_loader_set_items(struct loader *l, size_t row, const struct slice *items, size_t count, int64_t line,
			 const char *place, const char *source);

void ms_config_read_secrets(struct loader *l);
void ms_config_read_yaml(struct loader *l);
void ms_config_read_environment(struct loader *l);
void ms_config_read_flags(struct loader *l);

MS_MUST_USE enum ms_err ms_config_load_table(const struct setting_table *table, const struct config_input *input,
					     struct errinfo *info, struct config **ret_config);

#endif
