// SPDX-License-Identifier: Apache-2.0
// A YAML document (1.1 as libyaml reads it, core schema of 1.2 for scalars) as a tree of JSON values. JSON is YAML, so this reads both.
#ifndef MS_YAML_YAML_H
#define MS_YAML_YAML_H

#include "base/base.h"
#include "json/json.h"

struct yaml_limits {
	size_t bytes;   // of the text; 0: 16 MiB
	unsigned depth; // 0: 64
	size_t nodes; // aliases counted as often as they are used, so that a small file cannot become large; 0: 1,000,000
};
// One document, UTF-8. Anchors and aliases are followed, tags other than the core ones and duplicate keys are refused. Numbers are those of the
// core schema (no octal by a leading 0; yes/no/on/off are strings). Errors carry the line. *ret_lines, when not NULL, finds lines again:
// ms_yaml_line(). Errors: MS_ERR_CONFIG, MS_ERR_LIMIT, MS_ERR_NO_MEMORY.
struct yaml_lines;
MS_MUST_USE enum ms_err ms_yaml_parse(struct slice text, const struct yaml_limits *limits, struct arena *arena,
				      struct errinfo *info, const struct json_value **ret_value,
				      struct yaml_lines **ret_lines);
// The line (from 1) at which a value of this document began; -1: not known.
int64_t ms_yaml_line(const struct yaml_lines *lines, const struct json_value *value);
// A copy of the value, its texts and (when `lines` is not NULL) the lines that are known of it, in another arena. Aliases are written out. False: no memory.
MS_MUST_USE bool ms_yaml_copy(const struct json_value *value, const struct yaml_lines *lines, struct arena *arena,
			      const struct json_value **ret_value, struct yaml_lines **ret_lines);

#endif
