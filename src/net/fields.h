// SPDX-License-Identifier: Apache-2.0
// Structured fields (RFC 9651): items, lists and dictionaries of HTTP headers such as RateLimit, read and written strictly.
#ifndef MS_NET_FIELDS_H
#define MS_NET_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"

enum sf_type { SF_INTEGER, SF_DECIMAL, SF_STRING, SF_TOKEN, SF_BINARY, SF_BOOLEAN, SF_DATE, SF_DISPLAY };

#define MS_SF_INTEGER_MAX 999999999999999 // 15 digits, for dates too
struct sf_bare {
	enum sf_type type;
	union {
		int64_t integer; // SF_INTEGER; SF_DATE: seconds since the Unix epoch; SF_DECIMAL: thousandths
		bool boolean;
		struct slice text; // SF_STRING (ASCII), SF_TOKEN, SF_BINARY (the bytes), SF_DISPLAY (UTF-8)
	};
};
struct sf_param {
	struct slice key;
	struct sf_bare value;
};
struct sf_params {
	const struct sf_param *items;
	size_t count;
};
struct sf_item {
	struct sf_bare value;
	struct sf_params params;
};
// A member of a list or dictionary: an item, or an inner list of items.
struct sf_member {
	struct slice key; // of dictionaries
	bool inner;
	struct sf_item item;         // not inner; of an inner list the parameters only
	const struct sf_item *items; // inner
	size_t count;
};
struct sf_list { // a list, or a dictionary
	const struct sf_member *members;
	size_t count;
};

// `text` is the field's value; several lines of one field are joined with ", " before (section 4.2). MS_ERR_HTTP_SYNTAX says what was wrong and where
// (info->offset); such a field is to be ignored whole. MS_ERR_LIMIT: more than 1024 members, items or parameters in one place. Values are in the arena
// or in `text`. Of equal keys the last value counts, at the first one's place.
MS_MUST_USE enum ms_err ms_sf_parse_item(struct slice text, struct arena *arena, struct errinfo *info,
					 struct sf_item *ret_item);
MS_MUST_USE enum ms_err ms_sf_parse_list(struct slice text, struct arena *arena, struct errinfo *info,
					 struct sf_list *ret_list);
MS_MUST_USE enum ms_err ms_sf_parse_dictionary(struct slice text, struct arena *arena, struct errinfo *info,
					       struct sf_list *ret_dictionary);

// Appends the canonical text; false when a value cannot be written: a string that is not printable ASCII, a bad token or key, a number out of range, text
// that is not UTF-8. Then `out` holds a part of it. An empty list or dictionary writes nothing: the field is to be left out.
MS_MUST_USE bool ms_sf_write_item(struct buf *out, const struct sf_item *item);
MS_MUST_USE bool ms_sf_write_list(struct buf *out, const struct sf_list *list);
MS_MUST_USE bool ms_sf_write_dictionary(struct buf *out, const struct sf_list *dictionary);

// NULL when absent.
const struct sf_bare *ms_sf_param(const struct sf_params *params, const char *key);
const struct sf_member *ms_sf_member(const struct sf_list *dictionary, const char *key);

#endif
