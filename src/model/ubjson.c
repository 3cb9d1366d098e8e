// SPDX-License-Identifier: Apache-2.0
#include "model/ubjson.h"

#include <stdarg.h>
#include <stdio.h>

enum ms_err ms_ubj_fail(struct ubj_reader *r, enum ms_err code, const char *fmt, ...)
{
	if (r->err != MS_OK)
		return r->err;
	char text[MS_ERRINFO_MESSAGE_SIZE];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	size_t offset = (size_t)(r->p - r->start);
	if (r->info != NULL)
		r->info->offset = (int64_t)offset;
	r->err = ms_fail(r->info, code, "%s (at byte %zu)", text, offset);
	return r->err;
}

void ms_ubj_reader_init(struct ubj_reader *r, struct slice bytes, struct errinfo *info)
{
	r->p = r->start = (const unsigned char *)bytes.p;
	r->end = r->start + bytes.n;
	r->info = info;
	r->err = MS_OK;
	r->depth = 0;
	r->item_type = 0;
}

static size_t bytes_left(const struct ubj_reader *r)
{
	return (size_t)(r->end - r->p);
}

static bool fail_end(struct ubj_reader *r)
{
	ms_ubj_fail(r, MS_ERR_MODEL_FORMAT, "the file ends in the middle of a value");
	return false;
}

static uint64_t load_be(const unsigned char *p, size_t size)
{
	uint64_t bits = 0;
	for (size_t i = 0; i < size; i++)
		bits = bits << 8 | p[i];
	return bits;
}

// Bytes of a number of that type; 0 for other types.
static size_t size_of(char type)
{
	switch (type) {
	case 'i':
	case 'U':
	case 'C':
		return 1;
	case 'I':
		return 2;
	case 'l':
	case 'd':
		return 4;
	case 'L':
	case 'D':
		return 8;
	default:
		return 0;
	}
}

// The number of that type at `p`, which has enough bytes.
static struct ubj_number decode(char type, const unsigned char *p)
{
	size_t size = size_of(type);
	uint64_t bits = load_be(p, size);
	struct ubj_number n = {.is_integer = type != 'd' && type != 'D'};
	if (type == 'd') {
		uint32_t low = (uint32_t)bits;
		float single;
		memcpy(&single, &low, sizeof(single));
		n.real = (double)single;
	} else if (type == 'D') {
		memcpy(&n.real, &bits, sizeof(n.real));
	} else {
		unsigned shift = 64 - 8 * (unsigned)size;
		bool is_unsigned = type == 'U' || type == 'C';
		n.integer = is_unsigned ? (int64_t)bits : (int64_t)(bits << shift) >> shift;
		n.real = (double)n.integer;
	}
	return n;
}

// The type of the next value without taking it; 0 at the end or after an error.
static char peek_type(const struct ubj_reader *r)
{
	if (r->err != MS_OK)
		return 0;
	if (r->item_type != 0)
		return r->item_type;
	return bytes_left(r) > 0 ? (char)*r->p : 0;
}

static void take_type(struct ubj_reader *r)
{
	if (r->item_type != 0)
		r->item_type = 0;
	else
		r->p++;
}

enum json_type ms_ubj_peek(struct ubj_reader *r)
{
	char type = peek_type(r);
	if (size_of(type) > 0)
		return JSON_NUMBER;
	switch (type) {
	case 'Z':
		return JSON_NULL;
	case 'T':
		return JSON_TRUE;
	case 'F':
		return JSON_FALSE;
	case 'S':
		return JSON_STRING;
	case '[':
		return JSON_ARRAY;
	case '{':
		return JSON_OBJECT;
	default:
		return JSON_INVALID;
	}
}

static bool fail_type(struct ubj_reader *r, const char *wanted)
{
	enum json_type found = ms_ubj_peek(r);
	if (r->err != MS_OK)
		return false;
	if (bytes_left(r) == 0 && r->item_type == 0)
		return fail_end(r);
	if (found == JSON_INVALID)
		ms_ubj_fail(r, MS_ERR_MODEL_FORMAT, "expected %s, found the byte 0x%02x, which starts no value", wanted,
			    *r->p);
	else
		ms_ubj_fail(r, MS_ERR_MODEL_FORMAT, "expected %s, found %s", wanted, ms_json_type_name(found));
	return false;
}

static bool push_level(struct ubj_reader *r)
{
	if (r->depth == UBJ_MAX_DEPTH) {
		ms_ubj_fail(r, MS_ERR_MODEL_FORMAT, "values are nested deeper than %d levels", UBJ_MAX_DEPTH);
		return false;
	}
	r->levels[r->depth++] = (struct ubj_level){.left = UBJ_NO_COUNT};
	return true;
}

// A length or count: an integer of any width, not negative.
static bool read_length(struct ubj_reader *r, uint64_t *ret_length)
{
	char type = bytes_left(r) > 0 ? (char)*r->p : 0;
	size_t size = type == 'd' || type == 'D' || type == 'C' ? 0 : size_of(type);
	if (size == 0)
		return fail_type(r, "a length as an integer");
	if (bytes_left(r) - 1 < size)
		return fail_end(r);
	int64_t length = decode(type, r->p + 1).integer;
	if (length < 0) {
		ms_ubj_fail(r, MS_ERR_MODEL_FORMAT, "a length is negative: %lld", (long long)length);
		return false;
	}
	r->p += 1 + size;
	*ret_length = (uint64_t)length;
	return true;
}

bool ms_ubj_enter_object(struct ubj_reader *r)
{
	if (peek_type(r) != '{')
		return fail_type(r, "an object");
	if (!push_level(r))
		return false;
	r->p++;
	if (bytes_left(r) > 0 && (*r->p == '$' || *r->p == '#')) {
		ms_ubj_fail(r, MS_ERR_MODEL_FORMAT, "counted objects are not part of XGBoost's UBJSON");
		return false;
	}
	return true;
}

bool ms_ubj_next_key(struct ubj_reader *r, struct slice *ret_key)
{
	if (r->err != MS_OK)
		return false;
	if (bytes_left(r) == 0)
		return fail_end(r);
	if (*r->p == '}') {
		r->p++;
		r->depth--;
		return false;
	}
	uint64_t length;
	if (!read_length(r, &length))
		return false;
	if (length > bytes_left(r))
		return fail_end(r);
	*ret_key = ms_slice(r->p, (size_t)length);
	r->p += length;
	return true;
}

// Behind '[': "$type#count", "#count" or nothing.
static bool read_array_head(struct ubj_reader *r, struct ubj_level *level)
{
	size_t item_size = 1; // at the least: a type byte
	if (bytes_left(r) > 0 && *r->p == '$') {
		if (bytes_left(r) < 3)
			return fail_end(r);
		level->type = (char)r->p[1];
		item_size = size_of(level->type);
		if (item_size == 0) {
			ms_ubj_fail(r, MS_ERR_MODEL_FORMAT,
				    "an array is declared to hold items of type 0x%02x; only numbers are allowed there",
				    r->p[1]);
			return false;
		}
		r->p += 2;
		if (*r->p != '#') {
			ms_ubj_fail(r, MS_ERR_MODEL_FORMAT, "a typed array has no count: expected '#'");
			return false;
		}
	}
	if (bytes_left(r) == 0 || *r->p != '#')
		return true;
	r->p++;
	if (!read_length(r, &level->left))
		return false;
	if (level->left > bytes_left(r) / item_size) {
		ms_ubj_fail(r, MS_ERR_MODEL_FORMAT,
			    "an array says that it holds %llu items of %zu bytes or more, but only %zu bytes follow",
			    (unsigned long long)level->left, item_size, bytes_left(r));
		return false;
	}
	return true;
}

bool ms_ubj_enter_array(struct ubj_reader *r)
{
	if (peek_type(r) != '[')
		return fail_type(r, "an array");
	if (!push_level(r))
		return false;
	r->p++;
	return read_array_head(r, &r->levels[r->depth - 1]);
}

bool ms_ubj_next_item(struct ubj_reader *r)
{
	if (r->err != MS_OK)
		return false;
	struct ubj_level *level = &r->levels[r->depth - 1];
	if (level->left == UBJ_NO_COUNT) {
		if (bytes_left(r) == 0)
			return fail_end(r);
		if (*r->p != ']')
			return true;
		r->p++;
		r->depth--;
		return false;
	}
	if (level->left == 0) {
		r->depth--;
		return false;
	}
	level->left--;
	r->item_type = level->type;
	return true;
}

size_t ms_ubj_count_hint(const struct ubj_reader *r)
{
	uint64_t left = r->err == MS_OK ? r->levels[r->depth - 1].left : 0;
	return left == UBJ_NO_COUNT ? 0 : (size_t)left;
}

bool ms_ubj_read_number(struct ubj_reader *r, struct ubj_number *ret_value)
{
	char type = peek_type(r);
	size_t size = size_of(type);
	if (size == 0)
		return fail_type(r, "a number");
	if (bytes_left(r) < size + (r->item_type == 0))
		return fail_end(r);
	take_type(r);
	*ret_value = decode(type, r->p);
	r->p += size;
	return true;
}

bool ms_ubj_read_bool(struct ubj_reader *r, bool *ret_value)
{
	char type = peek_type(r);
	if (type != 'T' && type != 'F')
		return fail_type(r, "a boolean");
	r->p++;
	*ret_value = type == 'T';
	return true;
}

bool ms_ubj_read_string(struct ubj_reader *r, struct slice *ret_value)
{
	if (peek_type(r) != 'S')
		return fail_type(r, "a string");
	r->p++;
	uint64_t length;
	if (!read_length(r, &length))
		return false;
	if (length > bytes_left(r))
		return fail_end(r);
	struct slice text = ms_slice(r->p, (size_t)length);
	if (ms_utf8_valid_prefix(text) != text.n) {
		ms_ubj_fail(r, MS_ERR_MODEL_FORMAT, "a string is not valid UTF-8");
		return false;
	}
	r->p += length;
	*ret_value = text;
	return true;
}

static bool skip_array(struct ubj_reader *r)
{
	if (!ms_ubj_enter_array(r))
		return false;
	struct ubj_level *level = &r->levels[r->depth - 1];
	if (level->type != 0) { // read_array_head made sure that all of it is there
		r->p += level->left * size_of(level->type);
		level->left = 0;
	}
	while (ms_ubj_next_item(r))
		if (!ms_ubj_skip(r))
			return false;
	return r->err == MS_OK;
}

static bool skip_object(struct ubj_reader *r)
{
	struct slice key;
	if (!ms_ubj_enter_object(r))
		return false;
	while (ms_ubj_next_key(r, &key))
		if (!ms_ubj_skip(r))
			return false;
	return r->err == MS_OK;
}

bool ms_ubj_skip(struct ubj_reader *r)
{
	struct ubj_number number;
	struct slice text;
	switch (ms_ubj_peek(r)) {
	case JSON_NULL:
	case JSON_TRUE:
	case JSON_FALSE:
		r->p++;
		return true;
	case JSON_NUMBER:
		return ms_ubj_read_number(r, &number);
	case JSON_STRING:
		return ms_ubj_read_string(r, &text);
	case JSON_ARRAY:
		return skip_array(r);
	case JSON_OBJECT:
		return skip_object(r);
	case JSON_INVALID:
		break;
	}
	return fail_type(r, "a value");
}

enum ms_err ms_ubj_finish(struct ubj_reader *r)
{
	if (r->err == MS_OK && bytes_left(r) > 0)
		ms_ubj_fail(r, MS_ERR_MODEL_FORMAT, "%zu bytes follow the end of the model", bytes_left(r));
	return r->err;
}
