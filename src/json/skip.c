// SPDX-License-Identifier: Apache-2.0
// Skipping a value: everything is checked, nothing is decoded or stored.
#include "json/scan.h"

// Which of the open levels are objects, a bit each.
struct levels {
	uint64_t is_object[MS_JSON_MAX_DEPTH / 64];
};

static bool open_level(struct json_reader *r, struct levels *levels, const char *p)
{
	if (!enter(r, p))
		return false;
	uint32_t level = r->depth - 1;
	uint64_t bit = 1ULL << level % 64;
	if (*p == '{')
		levels->is_object[level / 64] |= bit;
	else
		levels->is_object[level / 64] &= ~bit;
	return true;
}

// Skips a scalar, or enters an array or object.
static bool begin_value(struct json_reader *r, struct levels *levels)
{
	const char *p = skip_space(r->p, r->end);
	struct slice unused;
	switch (p < r->end ? type_of(r, *p) : JSON_INVALID) {
	case JSON_OBJECT:
	case JSON_ARRAY:
		return open_level(r, levels, p);
	case JSON_STRING:
		return read_string_at(r, p, false, &unused);
	case JSON_NUMBER: {
		const char *behind = ms_json_scan_number_text(r, p);
		if (behind == NULL)
			return false;
		r->p = behind;
		return true;
	}
	case JSON_NULL:
		return take_literal(r, p, "null", 4) || ms_json_fail_expected(r, p, "a value");
	case JSON_TRUE:
		return take_literal(r, p, "true", 4) || ms_json_fail_expected(r, p, "a value");
	case JSON_FALSE:
		return take_literal(r, p, "false", 5) || ms_json_fail_expected(r, p, "a value");
	case JSON_INVALID:
		break;
	}
	return ms_json_fail_expected(r, p, "a value");
}

static bool next_in_level(struct json_reader *r, const struct levels *levels)
{
	uint32_t level = r->depth - 1;
	struct slice unused;
	return levels->is_object[level / 64] >> level % 64 & 1 ? next_key(r, false, &unused) : next_item(r);
}

bool ms_json_skip(struct json_reader *r, struct slice *ret_raw)
{
	const uint32_t depth = r->depth;
	const char *start = skip_space(r->p, r->end);
	struct levels levels;
	do {
		if (!begin_value(r, &levels))
			return false;
		while (r->depth > depth && !next_in_level(r, &levels)) {
			if (r->err != MS_OK)
				return false;
		}
	} while (r->depth > depth);
	r->first = false;
	if (ret_raw != NULL)
		*ret_raw = (struct slice){start, (size_t)(r->p - start)};
	return true;
}
