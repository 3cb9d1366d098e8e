// SPDX-License-Identifier: Apache-2.0
// Private to gateway. The thinking of request-validator, apart from requests and plans: parameters as their texts say them, made values by
// their schema (styles of OpenAPI), and checked; bodies checked.
#ifndef MS_GATEWAY_INSPECT_VALIDATE_H
#define MS_GATEWAY_INSPECT_VALIDATE_H

#include "base/base.h"
#include "net/net.h"
#include "schema/schema.h"
#include "json/json.h"

enum rv_version { RV_KONG, RV_DRAFT4, RV_DRAFT6, RV_DRAFT7, RV_DRAFT201909, RV_DRAFT202012 };
enum rv_in { RV_HEADER, RV_PATH, RV_QUERY };
// RV_BY_PLACE: simple for headers and paths, form for queries.
enum rv_style {
	RV_BY_PLACE,
	RV_LABEL,
	RV_FORM,
	RV_MATRIX,
	RV_SIMPLE,
	RV_SPACE_DELIMITED,
	RV_PIPE_DELIMITED,
	RV_DEEP_OBJECT
};

// The JSON Schema of a text in version's language. Kong's own small language (an array of fields) is translated; its Lua patterns are refused.
// MS_ERR_INVALID says what is wrong.
MS_MUST_USE enum ms_err ms_rv_compile(enum rv_version version, struct slice text, struct errinfo *info,
				      struct schema **ret_schema);

enum rv_type { RV_TEXT, RV_NUMBER, RV_INTEGER, RV_BOOLEAN, RV_NULL, RV_ARRAY, RV_OBJECT };
struct rv_named_type {
	struct slice name;
	enum rv_type type;
};
struct rv_param {
	enum rv_in in;
	enum rv_style style;
	bool explode, required;
	struct slice name;
	struct schema *schema; // NULL: only whether it is there counts
	enum rv_type type, item_type;
	struct rv_named_type *members; // of an object
	size_t member_count;
};
// Fills schema and types from the text; memory besides the schema is in the arena. The caller frees the schema.
MS_MUST_USE enum ms_err ms_rv_param_compile(enum rv_version version, struct slice schema_text, struct arena *arena,
					    struct errinfo *info, struct rv_param *param);

struct rv_rules {
	const struct rv_param *params;
	size_t param_count;
	const struct schema *body; // NULL: not checked
	const struct slice *content_types;
	size_t content_type_count;    // 0: any
	bool content_type_parameters; // compared as well
};
struct rv_request {
	struct slice query; // raw
	const struct http_header *headers;
	size_t header_count;
	const struct slice *capture_names, *captures; // of the path
	size_t capture_count;
	struct slice body; // p NULL: none
};
// What is wrong, or *ret_message p NULL. `findings` is a JSON array for verbose answers. MS_ERR_LIMIT (a value too costly to check), MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_rv_check(const struct rv_rules *rules, const struct rv_request *request, struct arena *arena,
				    struct slice *ret_message, struct slice *ret_findings);

#endif
