// SPDX-License-Identifier: Apache-2.0
// JSON Schema: draft 4, 6, 7, 2019-09 and 2020-12 (json-schema.org), compiled once, then checked on any thread without locks. Nothing is fetched:
// $ref goes into the document, into the metaschemas of the five drafts, and into `documents`.
#ifndef MS_SCHEMA_SCHEMA_H
#define MS_SCHEMA_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/base.h"
#include "json/json.h"

enum schema_draft {
	SCHEMA_BY_ITSELF /* $schema, else 2020-12 */,
	SCHEMA_DRAFT4,
	SCHEMA_DRAFT6,
	SCHEMA_DRAFT7,
	SCHEMA_2019_09,
	SCHEMA_2020_12
};

struct schema_document {
	struct slice uri;
	const struct json_value *value;
};
struct schema_options {
	enum schema_draft draft;
	const struct schema_document *documents; // may be referred to by their URI
	size_t document_count;
	bool assert_format; // "format" is checked (date-time, date, time, duration, email, hostname, ipv4, ipv6, uri, uuid, regex, json-pointer …)
	size_t max_bytes;   // of the compiled schema; 0: 16 MiB
};
struct schema; // immutable; owns copies of all it needs
// MS_ERR_INVALID: not a schema (says where, as a JSON pointer), a reference that leads nowhere, a bad pattern. MS_ERR_LIMIT, MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_schema_compile(const struct json_value *schema, const struct schema_options *options,
					  struct errinfo *info, struct schema **ret_schema);
void ms_schema_free(struct schema *schema); // accepts NULL

struct schema_finding {
	struct slice instance; // JSON pointer into the value: "/items/3/price"; "" is the whole
	struct slice keyword;  // "maximum"
	struct slice message;  // in words: what was found, what would be right
};
// Findings (at most `max`, in document order) are in the arena; *ret_count 0: the value is valid. Work is bounded: MS_ERR_LIMIT when a schema
// makes more than `steps` steps of a value (0: 10 million), so that a hostile value or schema cannot hold up a thread for long.
MS_MUST_USE enum ms_err ms_schema_check(const struct schema *schema, const struct json_value *value, size_t steps,
					size_t max, struct arena *arena, struct errinfo *info,
					struct schema_finding **ret_findings, size_t *ret_count);

#endif
