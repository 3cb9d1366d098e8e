// SPDX-License-Identifier: Apache-2.0
#include "yaml/scalar.h"

#include <stdio.h>

#define CORE "tag:yaml.org,2002:"

static bool is_one_of(struct slice text, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (ms_slice_eq_cstr(text, *words))
			return true;
	}
	return false;
}

static bool is_null(struct slice text)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
	return is_one_of(text, words);
}

static bool is_true(struct slice text)
{
	static const char *const words[] = {"true", "True", "TRUE", NULL};
	return is_one_of(text, words);
}

static bool is_false(struct slice text)
{
	static const char *const words[] = {"false", "False", "FALSE", NULL};
	return is_one_of(text, words);
}

static bool is_not_finite(struct slice text)
{
	static const char *const words[] = {".inf",  ".Inf",  ".INF", "+.inf", "+.Inf", "+.INF", "-.inf",
					    "-.Inf", "-.INF", ".nan", ".NaN",  ".NAN",  NULL};
	return is_one_of(text, words);
}

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

static size_t count_digits(struct slice text, size_t from)
{
	size_t n = 0;
	while (from + n < text.n && text.p[from + n] >= '0' && text.p[from + n] <= '9')
		n++;
	return n;
}

// The parts of a decimal number; false when the text is none.
struct decimal {
	bool minus, point;
	struct slice whole, fraction, exponent; // exponent with its sign
};

static bool cut_decimal(struct slice text, struct decimal *d)
{
	*d = (struct decimal){0};
	size_t at = 0;
	if (text.n > 0 && (text.p[0] == '-' || text.p[0] == '+'))
		d->minus = text.p[at++] == '-';
	d->whole = ms_slice_sub(text, at, count_digits(text, at));
	at += d->whole.n;
	if (at < text.n && text.p[at] == '.') {
		d->point = true;
		d->fraction = ms_slice_sub(text, at + 1, count_digits(text, at + 1));
		at += 1 + d->fraction.n;
	}
	if (d->whole.n == 0 && d->fraction.n == 0)
		return false;
	if (at < text.n && (text.p[at] == 'e' || text.p[at] == 'E')) {
		size_t sign = at + 1 < text.n && (text.p[at + 1] == '-' || text.p[at + 1] == '+');
		size_t digits = count_digits(text, at + 1 + sign);
		if (digits == 0)
			return false;
		d->exponent = ms_slice_sub(text, at + 1, sign + digits);
		at += 1 + sign + digits;
	}
	return at == text.n;
}

// JSON's grammar: no plus, no leading zeros, digits on both sides of the point.
static bool write_decimal(const struct decimal *d, struct arena *arena, struct slice *ret_text)
{
	struct slice whole = d->whole;
	while (whole.n > 1 && whole.p[0] == '0')
		whole = ms_slice_sub(whole, 1, SIZE_MAX);
	char *p = ms_arena_alloc(arena, whole.n + d->fraction.n + d->exponent.n + 8);
	if (p == NULL)
		return false;
	size_t n = 0;
	if (d->minus)
		p[n++] = '-';
	if (whole.n == 0)
		p[n++] = '0';
	else
		memcpy(p + n, whole.p, whole.n);
	n += whole.n;
	if (d->point) {
		p[n++] = '.';
		if (d->fraction.n == 0)
			p[n++] = '0';
		else
			memcpy(p + n, d->fraction.p, d->fraction.n);
		n += d->fraction.n;
	}
	if (d->exponent.n > 0) {
		p[n++] = 'e';
		memcpy(p + n, d->exponent.p, d->exponent.n);
		n += d->exponent.n;
	}
	*ret_text = ms_slice(p, n);
	return true;
}

// "0x1f", "0o17". 0: not of that form; 1: a number; 2: too large for 64 bits.
static int read_based(struct slice text, uint64_t *ret_value)
{
	if (text.n < 3 || text.p[0] != '0' || (text.p[1] != 'x' && text.p[1] != 'o'))
		return 0;
	int base = text.p[1] == 'x' ? 16 : 8;
	uint64_t value = 0;
	bool over = false;
	for (size_t i = 2; i < text.n; i++) {
		int digit = digit_of(text.p[i]);
		if (digit >= base)
			return 0;
		over |= value >> (base == 16 ? 60 : 61) != 0;
		value = value * (unsigned)base + (unsigned)digit;
	}
	*ret_value = value;
	return over ? 2 : 1;
}

// MS_ERR_NOT_FOUND: no number.
static enum ms_err read_number(struct slice text, struct arena *arena, char *problem, size_t problem_size,
			       struct json_value *ret_value)
{
	struct decimal d;
	uint64_t value;
	*ret_value = (struct json_value){.type = JSON_NUMBER};
	if (cut_decimal(text, &d)) {
		double checked;
		if (!write_decimal(&d, arena, &ret_value->str))
			return MS_ERR_NO_MEMORY;
		if (ms_number_parse_f64(ret_value->str, &checked))
			return MS_OK;
		snprintf(problem, problem_size, "%.*s is too large a number", MS_SLICE_ARG(ms_slice_sub(text, 0, 40)));
		return MS_ERR_CONFIG;
	}
	int based = read_based(text, &value);
	if (based == 1) {
		const char *decimal = ms_arena_printf(arena, "%llu", (unsigned long long)value);
		if (decimal == NULL)
			return MS_ERR_NO_MEMORY;
		ret_value->str = ms_slice_cstr(decimal);
		return MS_OK;
	}
	if (based == 2 || is_not_finite(text)) {
		snprintf(problem, problem_size, "%.*s is %s; put it in quotes if text is meant",
			 MS_SLICE_ARG(ms_slice_sub(text, 0, 40)),
			 based == 2 ? "too large a number" : "not a number that JSON has");
		return MS_ERR_CONFIG;
	}
	return MS_ERR_NOT_FOUND;
}

static enum ms_err read_tagged(struct slice text, const char *type, struct arena *arena, char *problem,
			       size_t problem_size, struct json_value *ret_value)
{
	enum ms_err err = MS_ERR_NOT_FOUND;
	if (strcmp(type, "str") == 0) {
		*ret_value = (struct json_value){.type = JSON_STRING, .str = text};
		return MS_OK;
	}
	if (strcmp(type, "null") == 0 && is_null(text)) {
		*ret_value = (struct json_value){.type = JSON_NULL};
		return MS_OK;
	}
	if (strcmp(type, "bool") == 0 && (is_true(text) || is_false(text))) {
		*ret_value = (struct json_value){.type = is_true(text) ? JSON_TRUE : JSON_FALSE};
		return MS_OK;
	}
	if (strcmp(type, "int") == 0 || strcmp(type, "float") == 0)
		err = read_number(text, arena, problem, problem_size, ret_value);
	if (err == MS_ERR_NOT_FOUND) {
		snprintf(problem, problem_size, "\"%.*s\" is not what the tag !!%.16s says",
			 MS_SLICE_ARG(ms_slice_sub(text, 0, 40)), type);
		return MS_ERR_CONFIG;
	}
	return err;
}

enum ms_err ms_yaml_scalar(struct slice text, bool plain, const char *tag, struct arena *arena, char *problem,
			   size_t problem_size, struct json_value *ret_value)
{
	static const char *const types[] = {CORE "str", CORE "int", CORE "float", CORE "bool", CORE "null"};
	if (tag != NULL && strcmp(tag, "!") != 0) {
		for (size_t i = 0; i < MS_ARRAY_LEN(types); i++) {
			if (strcmp(tag, types[i]) == 0)
				return read_tagged(text, tag + strlen(CORE), arena, problem, problem_size, ret_value);
		}
		snprintf(problem, problem_size, "the tag %.64s is not supported; write the value without it", tag);
		return MS_ERR_CONFIG;
	}
	*ret_value = (struct json_value){.type = JSON_STRING, .str = text};
	if (!plain || tag != NULL)
		return MS_OK;
	if (is_null(text) || is_true(text) || is_false(text)) {
		*ret_value = (struct json_value){.type = is_null(text)   ? JSON_NULL
							 : is_true(text) ? JSON_TRUE
									 : JSON_FALSE};
		return MS_OK;
	}
	enum ms_err err = read_number(text, arena, problem, problem_size, ret_value);
	if (err != MS_ERR_NOT_FOUND)
		return err;
	*ret_value = (struct json_value){.type = JSON_STRING, .str = text};
	return MS_OK;
}
