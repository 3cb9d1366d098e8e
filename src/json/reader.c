// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "json/number.h"
#include "json/scan.h"

const struct json_limits MS_JSON_DEFAULT_LIMITS = {
	.max_depth = 64,
	.max_bytes = (size_t)64 << 20,
	.reject_duplicates = true,
	.allow_nan = false,
};

const char *ms_json_type_name(enum json_type type)
{
	static const char *const names[] = {
		[JSON_NULL] = "null",     [JSON_FALSE] = "boolean",   [JSON_TRUE] = "boolean",
		[JSON_NUMBER] = "number", [JSON_STRING] = "string",   [JSON_ARRAY] = "array",
		[JSON_OBJECT] = "object", [JSON_INVALID] = "invalid",
	};
	MS_ASSERT(type <= JSON_INVALID);
	return names[type];
}

void ms_json_reader_init(struct json_reader *r, struct slice text, const struct json_limits *limits,
			 struct arena *arena, struct errinfo *info)
{
	if (limits == NULL)
		limits = &MS_JSON_DEFAULT_LIMITS;
	MS_ASSERT(limits->max_depth <= MS_JSON_MAX_DEPTH);
	const char *start = text.n > 0 ? text.p : "";
	*r = (struct json_reader){
		.p = start,
		.start = start,
		.end = start + text.n,
		.arena = arena,
		.info = info,
		.max_depth = limits->max_depth,
		.allow_nan = limits->allow_nan,
	};
	if (text.n > limits->max_bytes)
		(void)ms_json_fail_at(r, start, MS_ERR_JSON_SIZE, "the text has %zu bytes; the limit is %zu", text.n,
				      limits->max_bytes);
}

enum json_type ms_json_peek(struct json_reader *r)
{
	const char *p = skip_space(r->p, r->end);
	enum json_type type = p < r->end ? type_of(r, *p) : JSON_INVALID;
	r->p = p;
	if (MS_UNLIKELY(type == JSON_INVALID))
		(void)ms_json_fail_expected(r, p, "a value");
	return type;
}

bool ms_json_enter_array(struct json_reader *r)
{
	const char *p = skip_space(r->p, r->end);
	if (MS_UNLIKELY(p == r->end || *p != '['))
		return ms_json_fail_type(r, p, "an array");
	return enter(r, p);
}

bool ms_json_enter_object(struct json_reader *r)
{
	const char *p = skip_space(r->p, r->end);
	if (MS_UNLIKELY(p == r->end || *p != '{'))
		return ms_json_fail_type(r, p, "an object");
	return enter(r, p);
}

bool ms_json_next_item(struct json_reader *r)
{
	return next_item(r);
}

bool ms_json_next_key(struct json_reader *r, struct slice *ret_key)
{
	return next_key(r, true, ret_key);
}

// --- Numbers -------------------------------------------------------------------------------------------

// The tokens that allow_nan adds; returns what is behind, NULL when none is there.
static const char *scan_nan(const struct json_reader *r, const char *p, double *ret_value)
{
	static const struct {
		struct slice token;
		double value;
	} tokens[] = {
		{{"NaN", 3}, NAN},
		{{"Infinity", 8}, INFINITY},
		{{"-Infinity", 9}, -INFINITY},
	};
	struct slice rest = {p, (size_t)(r->end - p)};
	for (size_t i = 0; r->allow_nan && i < MS_ARRAY_LEN(tokens); i++) {
		if (ms_slice_starts_with(rest, tokens[i].token)) {
			*ret_value = tokens[i].value;
			return p + tokens[i].token.n;
		}
	}
	return NULL;
}

static inline bool starts_number(const char *p, const char *end)
{
	return p < end && (is_digit(*p) || *p == '-');
}

static bool fail_no_number(struct json_reader *r, const char *p)
{
	if (starts_number(p, r->end))
		return ms_json_fail_number(r, p);
	if (p < r->end && type_of(r, *p) == JSON_NUMBER) // the start of NaN or Infinity, but not all of it
		return ms_json_fail_expected(r, p, "a number");
	return ms_json_fail_type(r, p, "a number");
}

static bool fail_range(struct json_reader *r, const char *p, const char *behind, const char *type)
{
	struct slice text = {p, MS_MIN((size_t)(behind - p), (size_t)40)};
	return ms_json_fail_at(r, p, MS_ERR_JSON_TYPE, "the number %.*s%s is out of the range of %s",
			       MS_SLICE_ARG(text), text.n < (size_t)(behind - p) ? "…" : "", type);
}

const char *ms_json_scan_number_text(struct json_reader *r, const char *p)
{
	double unused;
	const char *behind = scan_decimal(p, r->end, false).behind;
	if (MS_UNLIKELY(behind == NULL)) {
		behind = scan_nan(r, p, &unused);
		if (behind == NULL)
			(void)fail_no_number(r, p);
	}
	return behind;
}

bool ms_json_read_f64(struct json_reader *r, double *ret_value)
{
	const char *p = skip_space(r->p, r->end);
	double value;
	const struct decimal d = scan_decimal(p, r->end, false);
	const char *behind = d.behind;
	if (MS_LIKELY(behind != NULL)) {
		value = decimal_to_f64(d);
		if (MS_UNLIKELY(isinf(value)))
			return fail_range(r, p, behind, "a 64-bit floating-point number");
	} else {
		behind = scan_nan(r, p, &value);
		if (behind == NULL)
			return fail_no_number(r, p);
	}
	r->p = behind;
	r->first = false;
	*ret_value = value;
	return true;
}

bool ms_json_read_f32(struct json_reader *r, float *ret_value)
{
	const char *p = skip_space(r->p, r->end);
	float value;
	const struct decimal d = scan_decimal(p, r->end, false);
	const char *behind = d.behind;
	if (MS_LIKELY(behind != NULL)) {
		value = decimal_to_f32(d);
		if (MS_UNLIKELY(isinf(value)))
			return fail_range(r, p, behind, "a 32-bit floating-point number");
	} else {
		double special;
		behind = scan_nan(r, p, &special);
		if (behind == NULL)
			return fail_no_number(r, p);
		value = (float)special;
	}
	r->p = behind;
	r->first = false;
	*ret_value = value;
	return true;
}

// Scans a number that must be an integer; returns what is behind it, NULL after an error.
static const char *scan_integer(struct json_reader *r, const char *p)
{
	const struct decimal d = scan_decimal(p, r->end, false);
	const char *behind = d.behind;
	if (MS_UNLIKELY(behind == NULL)) {
		(void)fail_no_number(r, p);
	} else if (MS_UNLIKELY(!d.integer)) {
		struct slice text = {p, MS_MIN((size_t)(behind - p), (size_t)40)};
		(void)ms_json_fail_at(r, p, MS_ERR_JSON_TYPE,
				      "expected an integer (digits without point or exponent), found the number %.*s",
				      MS_SLICE_ARG(text));
		behind = NULL;
	}
	return behind;
}

bool ms_json_read_i64(struct json_reader *r, int64_t *ret_value)
{
	const char *p = skip_space(r->p, r->end);
	const char *behind = scan_integer(r, p);
	if (MS_UNLIKELY(behind == NULL))
		return false;
	if (MS_UNLIKELY(!ms_slice_to_i64(ms_slice(p, (size_t)(behind - p)), ret_value)))
		return fail_range(r, p, behind, "a signed 64-bit integer");
	r->p = behind;
	r->first = false;
	return true;
}

bool ms_json_read_u64(struct json_reader *r, uint64_t *ret_value)
{
	const char *p = skip_space(r->p, r->end);
	const char *behind = scan_integer(r, p);
	if (MS_UNLIKELY(behind == NULL))
		return false;
	struct slice text = {p, (size_t)(behind - p)};
	if (ms_slice_eq_cstr(text, "-0"))
		text = MS_SLICE_LIT("0");
	if (MS_UNLIKELY(!ms_slice_to_u64(text, ret_value)))
		return fail_range(r, p, behind, "an unsigned 64-bit integer");
	r->p = behind;
	r->first = false;
	return true;
}

// Steps to the next item of an array, which is there; false at the array's end and after an error. Afterwards
// the reader waits for an item without a comma before it.
static inline bool step_to_item(struct json_reader *r, const char **p)
{
	const char *at = skip_space(*p, r->end);
	if (MS_UNLIKELY(at == r->end))
		return ms_json_fail_expected(r, at, "',' or ']' in an array");
	if (*at == ']') {
		leave(r, at);
		return false;
	}
	if (!r->first) {
		if (MS_UNLIKELY(*at != ','))
			return ms_json_fail_expected(r, at, "',' or ']' in an array");
		at = skip_space(at + 1, r->end);
		if (MS_UNLIKELY(at == r->end || *at == ']'))
			return ms_json_fail_expected(r, at, "a value after ','");
	}
	r->first = true;
	*p = at;
	return true;
}

bool ms_json_read_f64_items(struct json_reader *r, double *dst, size_t capacity, size_t *ret_count)
{
	size_t n = 0;
	const char *p = r->p;
	while (step_to_item(r, &p)) {
		r->p = p;
		if (n == capacity)
			break;
		double value;
		const struct decimal d = scan_decimal(p, r->end, false);
		const char *behind = d.behind;
		if (MS_LIKELY(behind != NULL)) {
			value = decimal_to_f64(d);
			if (MS_UNLIKELY(isinf(value))) {
				(void)fail_range(r, p, behind, "a 64-bit floating-point number");
				break;
			}
		} else if (take_literal(r, p, "null", 4)) {
			behind = r->p;
			value = NAN;
		} else {
			behind = scan_nan(r, p, &value);
			if (behind == NULL) {
				if (starts_number(p, r->end))
					(void)ms_json_fail_number(r, p);
				break;
			}
		}
		dst[n++] = value;
		r->first = false;
		p = behind;
	}
	*ret_count = n;
	return r->err == MS_OK && !r->first;
}

// --- Other values --------------------------------------------------------------------------------------

bool ms_json_read_bool(struct json_reader *r, bool *ret_value)
{
	const char *p = skip_space(r->p, r->end);
	bool value = take_literal(r, p, "true", 4);
	if (!value && MS_UNLIKELY(!take_literal(r, p, "false", 5)))
		return ms_json_fail_type(r, p, "true or false");
	r->first = false;
	*ret_value = value;
	return true;
}

bool ms_json_read_null(struct json_reader *r)
{
	const char *p = skip_space(r->p, r->end);
	if (MS_UNLIKELY(!take_literal(r, p, "null", 4)))
		return ms_json_fail_type(r, p, "null");
	r->first = false;
	return true;
}

bool ms_json_read_string(struct json_reader *r, struct slice *ret_value)
{
	const char *p = skip_space(r->p, r->end);
	if (MS_UNLIKELY(p == r->end || *p != '"'))
		return ms_json_fail_type(r, p, "a string");
	if (MS_UNLIKELY(!read_string_at(r, p, true, ret_value)))
		return false;
	r->first = false;
	return true;
}

enum ms_err ms_json_finish(struct json_reader *r)
{
	const char *p = skip_space(r->p, r->end);
	if (r->err == MS_OK && r->depth > 0)
		(void)ms_json_fail_expected(r, p, "the rest of an array or object");
	else if (r->err == MS_OK && p < r->end)
		(void)ms_json_fail_expected(r, p, "nothing more after the value");
	return r->err;
}
