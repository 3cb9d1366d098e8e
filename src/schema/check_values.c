// SPDX-License-Identifier: Apache-2.0
// Keywords that look at one value: its type, its number, its text, its size.
#include "schema/internal.h"

#define UNUSED ((void)path, (void)scope, (void)seen)

static bool is_integer(struct check *c, const struct json_value *v, bool plain)
{
	struct decimal n;
	if (!ms_check_step(c, v->str.n / 64))
		return false;
	if (ms_decimal_parse(v->str, c->arena, &n) != MS_OK)
		return ms_check_stop(c, MS_ERR_NO_MEMORY, "no memory to check the value");
	return plain ? n.plain : ms_decimal_is_integer(&n);
}

static const char *types_shown(const struct op *op, char dst[MS_SHOWN_SIZE])
{
	size_t n = 0;
	static const enum json_type order[] = {JSON_NULL, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT};
	dst[0] = '\0';
	for (size_t i = 0; i <= MS_ARRAY_LEN(order); i++) {
		bool integer = i == MS_ARRAY_LEN(order);
		if (integer ? !op->type.integer : (op->type.types >> order[i] & 1) == 0)
			continue;
		const char *name = integer ? "integer" : ms_json_type_name(order[i]);
		size_t more = strlen(name);
		if (n > 0) {
			memcpy(dst + n, " or ", 4);
			n += 4;
		}
		memcpy(dst + n, name, more + 1); // all seven with " or " between them are 66 bytes
		n += more;
	}
	return dst;
}

bool ms_check_type(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		   const struct scope *scope, struct seen *seen)
{
	UNUSED;
	if ((op->type.types >> v->type & 1) != 0)
		return true;
	if (op->type.integer && v->type == JSON_NUMBER && is_integer(c, v, op->type.integer_plain))
		return true;
	char shown[MS_SHOWN_SIZE], types[MS_SHOWN_SIZE];
	bool scalar = v->type == JSON_STRING || v->type == JSON_NUMBER;
	return ms_check_found(c, path, op->keyword, "is %s%s%s%s, must be %s", ms_json_type_name(v->type),
			      scalar ? " (" : "", scalar ? ms_value_shown(v, shown) : "", scalar ? ")" : "",
			      types_shown(op, types));
}

static bool is_one_of(struct check *c, const struct value_set *set, const struct json_value *v, bool *ret_found)
{
	uint64_t hash = 0;
	*ret_found = false;
	struct arena_mark mark = ms_arena_mark(c->arena);
	enum ms_err err = ms_value_hash(v, c->arena, &c->steps, &hash);
	if (err == MS_OK && !ms_check_step(c, set->count / 8))
		return false;
	for (size_t i = 0; i < set->count && err == MS_OK && !*ret_found; i++) {
		if (set->hashes[i] == hash)
			err = ms_value_equal(&set->items[i], v, c->arena, &c->steps, ret_found);
	}
	ms_arena_rewind(c->arena, mark);
	return err == MS_OK || ms_check_stop(c, err, "checking the value takes too many steps");
}

bool ms_check_enum(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		   const struct scope *scope, struct seen *seen)
{
	UNUSED;
	bool found;
	if (!is_one_of(c, &op->values, v, &found) || found)
		return c->err == MS_OK;
	char shown[MS_SHOWN_SIZE], list[300];
	size_t n = 0;
	list[0] = '\0';
	for (size_t i = 0; i < op->values.count && i < 8; i++) {
		char one[MS_SHOWN_SIZE];
		ms_value_shown(&op->values.items[i], one);
		size_t more = strlen(one);
		if (n + more + 8 > sizeof(list) || i == 7) {
			memcpy(list + n, ", …", sizeof(", …"));
			break;
		}
		memcpy(list + n, ", ", 2);
		n += i > 0 ? 2 : 0;
		memcpy(list + n, one, more + 1);
		n += more;
	}
	return ms_check_found(c, path, op->keyword, "is %s, must be one of %s", ms_value_shown(v, shown), list);
}

bool ms_check_const(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		    const struct scope *scope, struct seen *seen)
{
	UNUSED;
	bool found;
	if (!is_one_of(c, &op->values, v, &found) || found)
		return c->err == MS_OK;
	char shown[MS_SHOWN_SIZE], want[MS_SHOWN_SIZE];
	return ms_check_found(c, path, op->keyword, "is %s, must be %s", ms_value_shown(v, shown),
			      ms_value_shown(op->values.items, want));
}

// --- Numbers -----------------------------------------------------------------------------------------------------

static bool read_number(struct check *c, const struct json_value *v, struct decimal *ret_number)
{
	if (!ms_check_step(c, v->str.n / 64))
		return false;
	return ms_decimal_parse(v->str, c->arena, ret_number) == MS_OK ||
	       ms_check_stop(c, MS_ERR_NO_MEMORY, "no memory to check the value");
}

// The keyword's value, as far as it is short.
static const char *number_shown(const struct decimal *n, char dst[MS_SHOWN_SIZE])
{
	int64_t whole = MS_MIN(MS_MAX(n->magnitude, 0), 40);
	size_t at = 0, i = 0;
	if (n->magnitude > 30 || n->magnitude < -10 || n->digits.n > 40)
		return "the limit";
	if (n->negative)
		dst[at++] = '-';
	if (whole == 0)
		dst[at++] = '0';
	for (; i < (size_t)whole; i++)
		dst[at++] = i < n->digits.n ? n->digits.p[i] : '0';
	if (n->digits.n > (size_t)whole)
		dst[at++] = '.';
	for (int64_t zeros = n->magnitude; zeros < 0; zeros++)
		dst[at++] = '0';
	for (; i < n->digits.n; i++)
		dst[at++] = n->digits.p[i];
	dst[at] = '\0';
	return dst;
}

static bool bad_number(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		       const char *must)
{
	char shown[MS_SHOWN_SIZE], limit[MS_SHOWN_SIZE];
	return ms_check_found(c, path, op->keyword, "is %s, must be %s %s", ms_value_shown(v, shown), must,
			      number_shown(&op->number, limit));
}

bool ms_check_multiple_of(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			  const struct scope *scope, struct seen *seen)
{
	UNUSED;
	struct decimal n;
	if (v->type != JSON_NUMBER)
		return true;
	if (!read_number(c, v, &n))
		return false;
	return ms_decimal_is_multiple(&n, &op->number) || bad_number(c, op, v, path, "a multiple of");
}

#define LIMIT_KEYWORD(name, fits, must)                                                             \
	bool ms_check_##name(struct check *c, const struct op *op, const struct json_value *v,      \
			     const struct path *path, const struct scope *scope, struct seen *seen) \
	{                                                                                           \
		UNUSED;                                                                             \
		struct decimal n;                                                                   \
		if (v->type != JSON_NUMBER)                                                         \
			return true;                                                                \
		if (!read_number(c, v, &n))                                                         \
			return false;                                                               \
		return ms_decimal_cmp(&n, &op->number) fits || bad_number(c, op, v, path, must);    \
	}
LIMIT_KEYWORD(maximum, <= 0, "at most")
LIMIT_KEYWORD(minimum, >= 0, "at least")
LIMIT_KEYWORD(exclusive_maximum, < 0, "less than")
LIMIT_KEYWORD(exclusive_minimum, > 0, "greater than")

// --- Text --------------------------------------------------------------------------------------------------------

static size_t code_points(struct slice s)
{
	size_t count = 0;
	for (size_t i = 0; i < s.n; i++)
		count += (s.p[i] & 0xc0) != 0x80;
	return count;
}

bool ms_check_max_length(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			 const struct scope *scope, struct seen *seen)
{
	UNUSED;
	if (v->type != JSON_STRING || v->str.n <= op->count)
		return true;
	if (!ms_check_step(c, v->str.n / 64))
		return false;
	size_t n = code_points(v->str);
	return n <= op->count ||
	       ms_check_found(c, path, op->keyword, "has %zu characters, must have at most %zu", n, op->count);
}

bool ms_check_min_length(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			 const struct scope *scope, struct seen *seen)
{
	UNUSED;
	if (v->type != JSON_STRING)
		return true;
	if (!ms_check_step(c, v->str.n / 64))
		return false;
	size_t n = code_points(v->str);
	return n >= op->count ||
	       ms_check_found(c, path, op->keyword, "has %zu characters, must have at least %zu", n, op->count);
}

bool ms_check_pattern(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		      const struct scope *scope, struct seen *seen)
{
	UNUSED;
	bool found = false;
	if (v->type != JSON_STRING)
		return true;
	enum ms_err err = ms_pattern_match(&op->pattern, v->str, c->arena, &c->steps, &found);
	if (err != MS_OK)
		return ms_check_stop(c, err, "a regular expression takes too many steps");
	char shown[MS_SHOWN_SIZE];
	struct slice pattern = ms_slice_sub(op->pattern.text, 0, 120);
	return found || ms_check_found(c, path, op->keyword, "is %s, must match %.*s", ms_value_shown(v, shown),
				       MS_SLICE_ARG(pattern));
}

bool ms_check_format(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		     const struct scope *scope, struct seen *seen)
{
	UNUSED;
	if (v->type != JSON_STRING)
		return true;
	if (!ms_check_step(c, v->str.n / 16))
		return false;
	char shown[MS_SHOWN_SIZE];
	return op->format->valid(v->str) ||
	       ms_check_found(c, path, op->keyword, "is %s, must be %s", ms_value_shown(v, shown), op->format->words);
}
