// SPDX-License-Identifier: Apache-2.0
// Values of settings: from text, to text.
#include <inttypes.h>
#include <stdio.h>

#include "config/internal.h"

// Found text in messages is cut here; a message has room for it and for what would be right.
#define SHOWN_MAX 64
#define SHOWN(text) \
	(int)MS_MIN((text).n, (size_t)SHOWN_MAX), ((text).n > 0 ? (text).p : ""), ((text).n > SHOWN_MAX ? "..." : "")

static const struct {
	const char *name;
	const char *described; // in messages: expected …
} kinds[] = {
	[SETTING_STRING] = {"string", "text"},
	[SETTING_SECRET] = {"secret", "text"},
	[SETTING_BOOL] = {"boolean", "true or false"},
	[SETTING_INTEGER] = {"integer", "a whole number"},
	[SETTING_BYTES] = {"bytes", "a size such as 64KiB"},
	[SETTING_DURATION] = {"duration", "a duration such as 10s"},
	[SETTING_ENUM] = {"choice", "one of"},
	[SETTING_LIST] = {"list", "a list"},
};

const char *ms_setting_kind_name(enum setting_kind kind)
{
	return kinds[kind].name;
}

// "low..high" of the range column; false when the row has no range of that form.
static bool split_range(const struct setting_def *def, struct slice *ret_low, struct slice *ret_high)
{
	const char *dots = strstr(def->range, "..");
	if (dots == NULL)
		return false;
	*ret_low = ms_slice(def->range, (size_t)(dots - def->range));
	*ret_high = ms_slice_cstr(dots + 2);
	return true;
}

void ms_setting_describe(const struct setting_def *def, char dst[256])
{
	const char *described = kinds[def->kind].described;
	struct slice low, high;
	if (def->kind == SETTING_ENUM) {
		int at = snprintf(dst, 256, "%s", described);
		struct slice rest = ms_slice_cstr(def->range), choice;
		const char *separator = " ";
		while (at < 256 && ms_slice_next(&rest, '|', &choice)) {
			at += snprintf(dst + at, (size_t)(256 - at), "%s%.*s", separator, MS_SLICE_ARG(choice));
			separator = ", ";
		}
	} else if (split_range(def, &low, &high)) {
		snprintf(dst, 256, "%s from %.*s to %.*s", described, MS_SLICE_ARG(low), MS_SLICE_ARG(high));
	} else {
		snprintf(dst, 256, "%s", described);
	}
}

static enum ms_err wrong(const struct setting_def *def, struct slice text, struct errinfo *info, const char *what)
{
	char expected[256];
	ms_setting_describe(def, expected);
	return ms_fail(info, MS_ERR_CONFIG, "\"%.*s%s\" %s; expected %s", SHOWN(text), what, expected);
}

// --- Units -----------------------------------------------------------------------------------------

struct unit {
	const char *name; // compared without case
	uint64_t factor;
};

// The first of each factor is the one that is written.
static const struct unit byte_units[] = {
	{"PiB", 1ULL << 50},   {"TiB", 1ULL << 40},         {"GiB", 1ULL << 30},
	{"MiB", 1ULL << 20},   {"KiB", 1ULL << 10},         {"Pi", 1ULL << 50},
	{"Ti", 1ULL << 40},    {"Gi", 1ULL << 30},          {"Mi", 1ULL << 20},
	{"Ki", 1ULL << 10},    {"PB", 1000000000000000ULL}, {"TB", 1000000000000ULL},
	{"GB", 1000000000ULL}, {"MB", 1000000ULL},          {"KB", 1000ULL},
	{"B", 1ULL},
};
static const struct unit duration_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

// "12KiB", "12 KiB"; `ret_unit` gets the part behind the number. False when it does not start with digits.
static bool split_amount(struct slice text, uint64_t *ret_number, struct slice *ret_unit)
{
	size_t digits = 0;
	while (digits < text.n && text.p[digits] >= '0' && text.p[digits] <= '9')
		digits++;
	*ret_unit = ms_slice_trim(ms_slice_sub(text, digits, SIZE_MAX));
	return ms_slice_to_u64(ms_slice_sub(text, 0, digits), ret_number);
}

static bool scale(uint64_t number, struct slice unit, const struct unit *units, size_t count, uint64_t *ret_value)
{
	for (size_t i = 0; i < count; i++) {
		if (ms_slice_eq_nocase(unit, ms_slice_cstr(units[i].name)))
			return !MS_MUL_OVERFLOWS(number, units[i].factor, ret_value);
	}
	return false;
}

static bool parse_bytes(struct slice text, uint64_t *ret_value)
{
	uint64_t number;
	struct slice unit;
	if (!split_amount(text, &number, &unit))
		return false;
	return scale(number, unit.n > 0 ? unit : MS_SLICE_LIT("B"), byte_units, MS_ARRAY_LEN(byte_units), ret_value);
}

static bool parse_duration(struct slice text, uint64_t *ret_value)
{
	uint64_t number;
	struct slice unit;
	if (!split_amount(text, &number, &unit))
		return false;
	if (unit.n == 0 && number == 0)
		unit = MS_SLICE_LIT("ms");
	return scale(number, unit, duration_units, MS_ARRAY_LEN(duration_units), ret_value);
}

// The largest unit that divides the amount.
static void format_amount(uint64_t amount, const struct unit *units, size_t count, struct buf *out)
{
	for (size_t i = 0; i < count && amount > 0; i++) {
		if (amount % units[i].factor == 0 && units[i].factor > 1) {
			ms_buf_printf(out, "%" PRIu64 "%s", amount / units[i].factor, units[i].name);
			return;
		}
	}
	ms_buf_append_u64(out, amount);
	if (units == duration_units)
		ms_buf_append_cstr(out, amount > 0 ? "ms" : "s");
}

static enum ms_err amount_wrong(const struct setting_def *def, struct slice text, struct errinfo *info)
{
	uint64_t number;
	struct slice unit;
	bool digits = split_amount(text, &number, &unit);
	const char *rest = digits ? text.p + (text.n - unit.n) : NULL;
	if (digits && unit.n > 0 && (*rest == '.' || *rest == ','))
		return wrong(def, text, info, "has a fraction; use a smaller unit");
	if (digits && def->kind == SETTING_DURATION)
		return wrong(def, text, info,
			     unit.n == 0 ? "has no unit (ms, s, m, h)"
					 : "is not one number with one unit (ms, s, m, h)");
	if (digits && unit.n == 1 && ms_slice_find(MS_SLICE_LIT("kmgtpKMGTP"), *rest) < 10)
		return wrong(def, text, info,
			     "is ambiguous: write KiB, MiB, GiB for powers of 1024 or KB, MB, GB for powers of 1000");
	if (digits)
		return wrong(def, text, info, "has an unknown unit (B, KB, KiB, MB, MiB, GB, GiB, TB, TiB)");
	return wrong(def, text, info, def->kind == SETTING_BYTES ? "is not a size" : "is not a duration");
}

static enum ms_err parse_amount(const struct setting_def *def, struct slice text, struct errinfo *info, void *dst)
{
	bool (*parse)(struct slice, uint64_t *) = def->kind == SETTING_BYTES ? parse_bytes : parse_duration;
	uint64_t value, low, high;
	if (!parse(text, &value))
		return amount_wrong(def, text, info);
	struct slice low_text, high_text;
	if (split_range(def, &low_text, &high_text)) {
		MS_ASSERT(parse(low_text, &low) && parse(high_text, &high));
		if (value < low || value > high)
			return wrong(def, text, info, value < low ? "is too small" : "is too large");
	}
	memcpy(dst, &value, sizeof(value));
	return MS_OK;
}

// --- Other kinds -----------------------------------------------------------------------------------

static enum ms_err parse_integer(const struct setting_def *def, struct slice text, struct errinfo *info, void *dst)
{
	int64_t value, low, high;
	struct slice digits = ms_slice_starts_with(text, MS_SLICE_LIT("-")) ? ms_slice_sub(text, 1, SIZE_MAX) : text;
	if (digits.n > 1 && digits.p[0] == '0')
		return wrong(def, text, info, "starts with 0, which some readers take for octal");
	if (!ms_slice_to_i64(text, &value))
		return wrong(def, text, info, "is not a whole number within 64 bits");
	struct slice low_text, high_text;
	if (split_range(def, &low_text, &high_text)) {
		MS_ASSERT(ms_slice_to_i64(low_text, &low) && ms_slice_to_i64(high_text, &high));
		if (value < low || value > high)
			return wrong(def, text, info, value < low ? "is too small" : "is too large");
	}
	memcpy(dst, &value, sizeof(value));
	return MS_OK;
}

static enum ms_err parse_bool(const struct setting_def *def, struct slice text, struct errinfo *info, void *dst)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
	for (size_t i = 0; i < MS_ARRAY_LEN(words); i++) {
		if (ms_slice_eq_nocase(text, ms_slice_cstr(words[i]))) {
			bool value = i % 2 == 1;
			memcpy(dst, &value, sizeof(value));
			return MS_OK;
		}
	}
	return wrong(def, text, info, "is not a boolean");
}

static enum ms_err parse_enum(const struct setting_def *def, struct slice text, struct errinfo *info, void *dst)
{
	struct slice rest = ms_slice_cstr(def->range), choice, both[2] = {0};
	for (int value = 0; ms_slice_next(&rest, '|', &choice); value++) {
		if (ms_slice_eq_nocase(text, choice)) {
			memcpy(dst, &value, sizeof(value));
			return MS_OK;
		}
		both[1] = choice;
		size_t hit = ms_text_nearest(text, both, 2);
		both[0] = hit != SIZE_MAX ? both[hit] : both[0];
	}
	char expected[256], near[64] = "";
	ms_setting_describe(def, expected);
	if (both[0].n > 0)
		snprintf(near, sizeof(near), "; did you mean %.*s?", MS_SLICE_ARG(both[0]));
	return ms_fail(info, MS_ERR_CONFIG, "\"%.*s%s\" is not %s%s", SHOWN(text), expected, near);
}

static bool has_control(struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return true;
	}
	return false;
}

// Text that a string setting may hold, copied. Secrets may hold line ends (PEM) but no NUL; no message shows them.
static enum ms_err copy_text(const struct setting_def *def, struct slice text, struct arena *arena,
			     struct errinfo *info, const char **ret_text)
{
	bool secret = def->kind == SETTING_SECRET;
	struct slice shown = secret ? MS_SLICE_LIT("[hidden]") : text;
	if (text.n > CONFIG_VALUE_MAX)
		return ms_fail(info, MS_ERR_CONFIG, "the value has %zu bytes; the limit is %zu", text.n,
			       CONFIG_VALUE_MAX);
	if (ms_utf8_valid_prefix(text) < text.n)
		return wrong(def, shown, info, "is not valid UTF-8");
	if (ms_slice_find(text, '\0') < text.n || (!secret && has_control(text)))
		return wrong(def, shown, info, "holds a control character");
	const char *copy = ms_arena_cstr(arena, text);
	if (copy == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	*ret_text = copy;
	return MS_OK;
}

enum ms_err ms_setting_parse_items(const struct setting_def *def, const struct slice *items, size_t count,
				   struct arena *arena, struct errinfo *info, void *dst)
{
	MS_ASSERT(def->kind == SETTING_LIST);
	if (count > CONFIG_LIST_MAX)
		return ms_fail(info, MS_ERR_CONFIG, "the list has more than %d items", CONFIG_LIST_MAX);
	const char **copies = MS_ARENA_ARRAY(arena, const char *, count);
	if (copies == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory");
	for (size_t i = 0; i < count; i++) {
		if (items[i].n == 0)
			return ms_fail(info, MS_ERR_CONFIG, "item %zu of the list is empty", i + 1);
		MS_TRY(copy_text(def, items[i], arena, info, &copies[i]));
	}
	struct string_list list = {copies, count};
	memcpy(dst, &list, sizeof(list));
	return MS_OK;
}

static enum ms_err parse_list(const struct setting_def *def, struct slice text, struct arena *arena,
			      struct errinfo *info, void *dst)
{
	struct slice items[CONFIG_LIST_MAX + 1], rest = text;
	size_t count = 0;
	while (text.n > 0 && count < MS_ARRAY_LEN(items) && ms_slice_next(&rest, ',', &items[count])) {
		items[count] = ms_slice_trim(items[count]);
		count++;
	}
	return ms_setting_parse_items(def, items, count, arena, info, dst);
}

enum ms_err ms_setting_parse(const struct setting_def *def, struct slice text, struct arena *arena,
			     struct errinfo *info, void *dst)
{
	const char *copy;
	switch (def->kind) {
	case SETTING_STRING:
	case SETTING_SECRET:
		MS_TRY(copy_text(def, text, arena, info, &copy));
		memcpy(dst, &copy, sizeof(copy));
		return MS_OK;
	case SETTING_BOOL:
		return parse_bool(def, text, info, dst);
	case SETTING_INTEGER:
		return parse_integer(def, text, info, dst);
	case SETTING_BYTES:
	case SETTING_DURATION:
		return parse_amount(def, text, info, dst);
	case SETTING_ENUM:
		return parse_enum(def, text, info, dst);
	case SETTING_LIST:
		return parse_list(def, text, arena, info, dst);
	}
	MS_UNREACHABLE();
}

// --- To text ---------------------------------------------------------------------------------------

static struct slice enum_text(const struct setting_def *def, int value)
{
	struct slice rest = ms_slice_cstr(def->range), choice = MS_SLICE_EMPTY;
	for (int i = 0; i <= value; i++)
		MS_ASSERT(ms_slice_next(&rest, '|', &choice));
	return choice;
}

void ms_setting_format(const struct setting_def *def, const void *value, struct buf *out)
{
	switch (def->kind) {
	case SETTING_STRING:
		ms_buf_append_cstr(out, *(const char *const *)value);
		return;
	case SETTING_SECRET:
		ms_buf_append_cstr(out, **(const char *const *)value != '\0' ? "[set]" : "");
		return;
	case SETTING_BOOL:
		ms_buf_append_cstr(out, *(const bool *)value ? "true" : "false");
		return;
	case SETTING_INTEGER:
		ms_buf_append_i64(out, *(const int64_t *)value);
		return;
	case SETTING_BYTES:
		format_amount(*(const uint64_t *)value, byte_units, MS_ARRAY_LEN(byte_units), out);
		return;
	case SETTING_DURATION:
		format_amount(*(const uint64_t *)value, duration_units, MS_ARRAY_LEN(duration_units), out);
		return;
	case SETTING_ENUM:
		ms_buf_append_slice(out, enum_text(def, *(const int *)value));
		return;
	case SETTING_LIST: {
		const struct string_list *list = value;
		for (size_t i = 0; i < list->count; i++) {
			ms_buf_append_cstr(out, i > 0 ? "," : "");
			ms_buf_append_cstr(out, list->items[i]);
		}
		return;
	}
	}
	MS_UNREACHABLE();
}

// Code points that JSON or YAML readers do not take as they are, or that change how text looks.
static bool needs_escape(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069) || c == 0xfeff || c == 0xfffe || c == 0xffff;
}

// The code point at the front of valid UTF-8, and its length.
static size_t decode(struct slice text, uint32_t *ret_code)
{
	unsigned char c = (unsigned char)text.p[0];
	size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	uint32_t code = n == 1 ? c : n == 2 ? c & 0x1fU : n == 3 ? c & 0x0fU : c & 0x07U;
	for (size_t k = 1; k < n; k++)
		code = code << 6 | ((unsigned char)text.p[k] & 0x3fU);
	*ret_code = code;
	return n;
}

void ms_setting_quote(struct buf *out, struct slice text)
{
	MS_ASSERT(ms_utf8_valid_prefix(text) == text.n);
	ms_buf_append_char(out, '"');
	for (size_t i = 0, n; i < text.n; i += n) {
		uint32_t code;
		n = decode(ms_slice_sub(text, i, SIZE_MAX), &code);
		if (code == '"' || code == '\\')
			ms_buf_printf(out, "\\%c", (char)code);
		else if (code == '\n')
			ms_buf_append_cstr(out, "\\n");
		else if (needs_escape(code))
			ms_buf_printf(out, "\\u%04x", (unsigned)code);
		else
			ms_buf_append(out, text.p + i, n);
	}
	ms_buf_append_char(out, '"');
}

char *ms_setting_printable(struct arena *arena, struct slice text)
{
	char *copy = ms_arena_alloc(arena, text.n + 1);
	if (copy == NULL)
		return NULL;
	size_t at = 0;
	for (size_t i = 0, n; i < text.n; i += n) {
		struct slice rest = ms_slice_sub(text, i, SIZE_MAX);
		uint32_t code = 0;
		bool valid = ms_utf8_valid_prefix(ms_slice_sub(rest, 0, 4)) > 0;
		n = valid ? decode(rest, &code) : 1;
		if (needs_escape(code))
			copy[at++] = '?';
		else
			for (size_t k = 0; k < n; k++)
				copy[at++] = rest.p[k];
	}
	copy[at] = '\0';
	return copy;
}

void ms_setting_format_json(const struct setting_def *def, const void *value, struct buf *out)
{
	if (def->kind == SETTING_BOOL || def->kind == SETTING_INTEGER) {
		ms_setting_format(def, value, out);
		return;
	}
	if (def->kind == SETTING_LIST) {
		const struct string_list *list = value;
		ms_buf_append_char(out, '[');
		for (size_t i = 0; i < list->count; i++) {
			ms_buf_append_cstr(out, i > 0 ? ", " : "");
			ms_setting_quote(out, ms_slice_cstr(list->items[i]));
		}
		ms_buf_append_char(out, ']');
		return;
	}
	struct buf text;
	ms_buf_init(&text, CONFIG_VALUE_MAX + 1);
	ms_setting_format(def, value, &text);
	if (ms_buf_ok(&text))
		ms_setting_quote(out, ms_buf_slice(&text));
	else
		out->failed = true;
	ms_buf_fini(&text);
}

// --- YAML's own types ------------------------------------------------------------------------------

static bool one_of(struct slice text, const char *words)
{
	struct slice rest = ms_slice_cstr(words), word;
	while (ms_slice_next(&rest, ' ', &word)) {
		if (ms_slice_eq_nocase(text, word))
			return true;
	}
	return false;
}

static bool all_in(struct slice text, const char *set)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '\0' || strchr(set, text.p[i]) == NULL)
			return false;
	}
	return text.n > 0;
}

// [-+]? ( digits [. digits] | . digits ) ( [eE] [-+]? digits )?, 0x…, 0o…, .inf, .nan
static bool is_number(struct slice text)
{
	if (text.n > 0 && (text.p[0] == '-' || text.p[0] == '+'))
		text = ms_slice_sub(text, 1, SIZE_MAX);
	if (one_of(text, ".inf .nan"))
		return true;
	if (text.n > 2 && text.p[0] == '0' && (text.p[1] == 'x' || text.p[1] == 'o'))
		return all_in(ms_slice_sub(text, 2, SIZE_MAX), "0123456789abcdefABCDEF");
	size_t i = 0, digits = 0;
	for (bool dot = false;
	     i < text.n && (all_in(ms_slice_sub(text, i, 1), "0123456789") || (text.p[i] == '.' && !dot)); i++) {
		dot |= text.p[i] == '.';
		digits += text.p[i] != '.';
	}
	if (digits == 0 || i == text.n)
		return digits > 0;
	if (text.p[i] != 'e' && text.p[i] != 'E')
		return false;
	struct slice exponent = ms_slice_sub(text, i + 1, SIZE_MAX);
	if (exponent.n > 0 && (exponent.p[0] == '-' || exponent.p[0] == '+'))
		exponent = ms_slice_sub(exponent, 1, SIZE_MAX);
	return all_in(exponent, "0123456789");
}

const char *ms_setting_plain_type(struct slice text)
{
	if (text.n == 0 || one_of(text, "~ null"))
		return "nothing";
	if (one_of(text, "true false yes no on off"))
		return "a boolean";
	return is_number(text) ? "a number" : NULL;
}

static bool equal_lists(const struct string_list *a, const struct string_list *b)
{
	for (size_t i = 0; a->count == b->count && i < a->count; i++) {
		if (strcmp(a->items[i], b->items[i]) != 0)
			return false;
	}
	return a->count == b->count;
}

bool ms_setting_equal(const struct setting_def *def, const void *a, const void *b)
{
	switch (def->kind) {
	case SETTING_STRING:
	case SETTING_SECRET:
		return strcmp(*(const char *const *)a, *(const char *const *)b) == 0;
	case SETTING_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case SETTING_INTEGER:
	case SETTING_BYTES:
	case SETTING_DURATION:
		return memcmp(a, b, sizeof(uint64_t)) == 0;
	case SETTING_ENUM:
		return *(const int *)a == *(const int *)b;
	case SETTING_LIST:
		return equal_lists(a, b);
	}
	MS_UNREACHABLE();
}
