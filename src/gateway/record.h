// SPDX-License-Identifier: Apache-2.0
// Private to gateway. Reading JSON objects into C structs by tables: one row a field, with type, default, range and place. From the same tables
// come the messages for what is wrong, the defaults, GET /gateway/v1/schemas and the export. Entities and the plugins' config use it.
#ifndef MS_GATEWAY_RECORD_H
#define MS_GATEWAY_RECORD_H

#include "base/base.h"
#include "yaml/yaml.h"
#include "json/json.h"

enum field_kind {
	FIELD_BOOL,     // bool
	FIELD_INTEGER,  // int64_t
	FIELD_NUMBER,   // double
	FIELD_STRING,   // struct slice (p NULL: absent)
	FIELD_CHOICE,   // int: index into choices
	FIELD_STRINGS,  // struct text_list: array of strings (a single string is taken as an array of one)
	FIELD_CHOICES,  // uint64_t: bits of the choices named in an array
	FIELD_INTEGERS, // struct integer_list
	FIELD_MAP,      // struct text_map: object of name → string or array of strings
	FIELD_RECORD,   // a struct in place, by `fields`
	FIELD_RECORDS,  // struct record_list: array of structs of `record_bytes`, by `fields`
	FIELD_JSON,     // const struct json_value *: taken as it is
};
struct text_list {
	struct slice *items;
	size_t count;
};
struct integer_list {
	int64_t *items;
	size_t count;
};
struct text_pair {
	struct slice name;
	struct text_list values;
};
struct text_map {
	struct text_pair *items;
	size_t count;
};
struct record_list {
	void *items;
	size_t count;
};

struct field {
	const char *name;
	enum field_kind kind;
	size_t offset;        // in the struct
	const char *fallback; // JSON text of the default; NULL: absent (zeros)
	bool required,
		nullable_only; // nullable_only: null is the same as absent for all; set when null means "off" and differs from the default
	double min, max;            // of numbers, of each item, of string lengths; both 0: not limited (strings: 1 MiB)
	const char *const *choices; // NULL-terminated
	const struct field *fields; // of records; the table ends with a row without a name
	size_t record_bytes;
	// An older name, or NULL. It may stand beside the new one's place, or, of a field in a FIELD_RECORD, in the object around that record: the row
	// "host" of "redis" with the alias "redis_host" reads the flat field of old files.
	const char *alias;
	const char *help; // one line, for the schema
	bool secret;      // shown as "…" by the admin interface
	// Further check of one value; says what would be right. May be NULL. Of lists (strings, choices, integers) it is asked for each item, of maps and
	// records for the whole.
	enum ms_err (*check)(const struct json_value *value, struct errinfo *info);
};

// What is wrong is gathered: all problems of a file are told at once.
struct problem {
	struct slice path;    // "services[2].routes[0].paths[1]"
	struct slice message; // what was found, what would be right
	int64_t line;         // or -1
};
struct problems {
	struct arena *arena;
	const struct yaml_lines *lines; // may be NULL
	struct problem *items;
	size_t count; // at most MS_PROBLEMS_MAX are kept
};
#define MS_PROBLEMS_MAX 100
void ms_problem_add(struct problems *problems, const char *path, const struct json_value *where, const char *fmt, ...)
	MS_PRINTF(4, 5);

// The paths of what is inside: "services[2]" + "name", "paths" + 1. In the problems' arena; "" when memory is out.
const char *ms_problem_path(struct problems *problems, const char *path, struct slice name);
const char *ms_problem_item(struct problems *problems, const char *path, size_t index);

// Reads `object` into `record` (zeroed by the caller): defaults, unknown names (with the nearest known one), types, ranges, required ones. Slices
// and arrays are in the arena, or borrowed from the object's tree. False when problems were added (or, without one, when memory is out). `path` is
// that of the object. NULL for `object`: the defaults alone, nothing is required.
MS_MUST_USE bool ms_record_read(const struct field *fields, const struct json_value *object, const char *path,
				struct arena *arena, struct problems *problems, void *record);
// The record as JSON, defaults included; secrets hidden when `hide`.
void ms_record_write(const struct field *fields, const void *record, bool hide, struct json_writer *w);
// Its description as JSON Schema.
void ms_record_write_schema(const struct field *fields, struct json_writer *w);

#endif
