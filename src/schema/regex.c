// SPDX-License-Identifier: Apache-2.0
// Regular expressions of ECMA-262 (flag u) as ones of PCRE2: read after the standard's grammar, written anew so that nothing of PCRE2's own
// language can be said. Where the standard's annex B is lenient and people count on it (a lone ']' or '{', '\-'), so is this.
#include "schema/internal.h"

#define GROUPS_MAX 200
#define NEST_MAX 100

struct translation {
	const char *at, *end;
	struct buf *out;
	struct errinfo *info;
	struct slice names[GROUPS_MAX]; // of groups; empty: without
	unsigned group_count;
	unsigned depth;
	bool failed;
};

// White space of ECMA-262: WhiteSpace and LineTerminator; and all but those.
#define SPACE                                                                                                      \
	"\\x{9}-\\x{d}\\x{20}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{" \
	"feff}"
#define NO_SPACE                                                                                                      \
	"\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-" \
	"\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}"
#define ANYTHING "[\\x{0}-\\x{10ffff}]"
#define NOTHING "[^\\x{0}-\\x{10ffff}]"

static bool fail(struct translation *t, const char *why)
{
	if (!t->failed)
		MS_IGNORE(ms_fail(t->info, MS_ERR_INVALID,
				  "not a regular expression of ECMA-262: %s, %d bytes before its end", why,
				  (int)MS_MIN(t->end - t->at, 100000))); // the caller has the code
	t->failed = true;
	return false;
}

static int peek(const struct translation *t)
{
	return t->at < t->end ? (unsigned char)*t->at : -1;
}

static bool take(struct translation *t, const char *text)
{
	size_t n = strlen(text);
	if ((size_t)(t->end - t->at) < n || memcmp(t->at, text, n) != 0)
		return false;
	t->at += n;
	return true;
}

static bool is_alnum(int c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static int hex_value(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Exactly `digits` hex digits; -1 and nothing taken when they are not there.
static int32_t take_hex(struct translation *t, int digits)
{
	int32_t value = 0;
	for (int i = 0; i < digits; i++) {
		int digit = t->end - t->at > i ? hex_value((unsigned char)t->at[i]) : -1;
		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	t->at += digits;
	return value;
}

static int32_t take_unicode(struct translation *t) // behind \u
{
	if (take(t, "{")) {
		int32_t value = 0;
		int count = 0;
		for (; hex_value(peek(t)) >= 0; count++) {
			value = MS_MIN(value * 16 + hex_value(peek(t)), 0x110000);
			t->at++;
		}
		return count > 0 && value <= 0x10ffff && take(t, "}") ? value : -1;
	}
	int32_t high = take_hex(t, 4);
	if (high < 0xd800 || high > 0xdbff)
		return high;
	const char *back = t->at;
	int32_t low = take(t, "\\u") ? take_hex(t, 4) : -1;
	if (low >= 0xdc00 && low <= 0xdfff)
		return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
	t->at = back;
	return high;
}

// One character of valid UTF-8.
static int32_t take_char(struct translation *t)
{
	unsigned char c = (unsigned char)*t->at++;
	if (c < 0x80)
		return c;
	int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
	int32_t value = c & (0x3f >> more);
	for (; more > 0 && t->at < t->end; more--)
		value = value << 6 | (*t->at++ & 0x3f);
	return value;
}

static void put_char(struct translation *t, int32_t c)
{
	if (is_alnum(c))
		ms_buf_append_char(t->out, (char)c);
	else
		ms_buf_printf(t->out, "\\x{%x}", (unsigned)c);
}

// The long names that ECMA-262 takes for general categories; PCRE2 knows the short ones.
static const char *const categories[][2] = {
	{"Letter", "L"},
	{"Cased_Letter", "L&"},
	{"LC", "L&"},
	{"Uppercase_Letter", "Lu"},
	{"Lowercase_Letter", "Ll"},
	{"Titlecase_Letter", "Lt"},
	{"Modifier_Letter", "Lm"},
	{"Other_Letter", "Lo"},
	{"Mark", "M"},
	{"Combining_Mark", "M"},
	{"Nonspacing_Mark", "Mn"},
	{"Spacing_Mark", "Mc"},
	{"Enclosing_Mark", "Me"},
	{"Number", "N"},
	{"Decimal_Number", "Nd"},
	{"digit", "Nd"},
	{"Letter_Number", "Nl"},
	{"Other_Number", "No"},
	{"Punctuation", "P"},
	{"punct", "P"},
	{"Connector_Punctuation", "Pc"},
	{"Dash_Punctuation", "Pd"},
	{"Open_Punctuation", "Ps"},
	{"Close_Punctuation", "Pe"},
	{"Initial_Punctuation", "Pi"},
	{"Final_Punctuation", "Pf"},
	{"Other_Punctuation", "Po"},
	{"Symbol", "S"},
	{"Math_Symbol", "Sm"},
	{"Currency_Symbol", "Sc"},
	{"Modifier_Symbol", "Sk"},
	{"Other_Symbol", "So"},
	{"Separator", "Z"},
	{"Space_Separator", "Zs"},
	{"Line_Separator", "Zl"},
	{"Paragraph_Separator", "Zp"},
	{"Other", "C"},
	{"Control", "Cc"},
	{"cntrl", "Cc"},
	{"Format", "Cf"},
	{"Surrogate", "Cs"},
	{"Private_Use", "Co"},
	{"Unassigned", "Cn"},
};

// \p{…} behind the p.
static bool property(struct translation *t, bool negated)
{
	if (!take(t, "{"))
		return fail(t, "\\p without {");
	const char *start = t->at;
	while (is_alnum(peek(t)) || peek(t) == '_' || peek(t) == '=')
		t->at++;
	struct slice name = ms_slice(start, (size_t)(t->at - start)), value;
	if (name.n == 0 || name.n > 60 || !take(t, "}"))
		return fail(t, "\\p{ without a property and }");
	size_t equals = ms_slice_find(name, '=');
	value = ms_slice_sub(name, equals + 1, name.n);
	name.n = MS_MIN(equals, name.n);
	const char *kind = "";
	if (value.n > 0 && (ms_slice_eq_cstr(name, "Script") || ms_slice_eq_cstr(name, "sc")))
		kind = "sc:";
	else if (value.n > 0 && (ms_slice_eq_cstr(name, "Script_Extensions") || ms_slice_eq_cstr(name, "scx")))
		kind = "scx:";
	else if (value.n > 0 && !ms_slice_eq_cstr(name, "General_Category") && !ms_slice_eq_cstr(name, "gc"))
		return fail(t, "an unknown kind of property");
	else if (value.n == 0)
		value = name;
	for (size_t i = 0; i < MS_ARRAY_LEN(categories) && *kind == '\0'; i++) {
		if (ms_slice_eq_cstr(value, categories[i][0]))
			value = ms_slice_cstr(categories[i][1]);
	}
	ms_buf_printf(t->out, "\\%c{%s%.*s}", negated ? 'P' : 'p', kind, MS_SLICE_ARG(value));
	return true;
}

// Classes of characters behind a backslash: \d \D \w \W \s \S \p \P. False: another escape, nothing taken.
static bool class_escape(struct translation *t, bool inside)
{
	int c = peek(t);
	if (c < 0 || strchr("dDwWsSpP", c) == NULL)
		return false;
	t->at++;
	if (c == 'p' || c == 'P')
		return property(t, c == 'P') || true;
	if (c == 's' || c == 'S') {
		ms_buf_append_cstr(t->out, inside ? "" : "[");
		ms_buf_append_cstr(t->out, c == 's' ? SPACE : NO_SPACE);
		ms_buf_append_cstr(t->out, inside ? "" : "]");
	} else { // without PCRE2_UCP these are ASCII, as in ECMA-262
		ms_buf_printf(t->out, "\\%c", c);
	}
	return true;
}

// One character behind a backslash; -1 when it is none.
static int32_t char_escape(struct translation *t, bool inside)
{
	int c = peek(t);
	if (c < 0) {
		fail(t, "a backslash at the end");
		return -1;
	}
	int32_t value = -1;
	if (c >= 0x80 || !is_alnum(c)) // itself; annex B for what is no syntax character
		return take_char(t);
	t->at++;
	switch (c) {
	case 't':
		return '\t';
	case 'n':
		return '\n';
	case 'v':
		return '\v';
	case 'f':
		return '\f';
	case 'r':
		return '\r';
	case 'b':
		value = inside ? '\b' : -1;
		break;
	case '0':
		value = peek(t) >= '0' && peek(t) <= '9' ? -1 : 0;
		break;
	case 'x':
		value = take_hex(t, 2);
		break;
	case 'u':
		value = take_unicode(t);
		break;
	case 'c':
		if (is_alnum(peek(t)) && peek(t) >= 'A')
			value = *t->at++ & 0x1f;
		break;
	default:
		break;
	}
	if (value < 0)
		fail(t, "an escape that does not exist");
	return value;
}

// An atom of a class: a character (returned), or a class (-1, already written).
static int32_t class_atom(struct translation *t)
{
	if (!take(t, "\\"))
		return take_char(t);
	if (class_escape(t, true))
		return -1;
	return char_escape(t, true);
}

static bool is_surrogate(int32_t c)
{
	return c >= 0xd800 && c <= 0xdfff;
}

static void put_range(struct translation *t, int32_t low, int32_t high)
{
	if (is_surrogate(low) && is_surrogate(high)) // no text holds them
		return;
	put_char(t, is_surrogate(low) ? 0xe000 : low);
	if (high != low) {
		ms_buf_append_char(t->out, '-');
		put_char(t, is_surrogate(high) ? 0xd7ff : high);
	}
}

static bool character_class(struct translation *t) // behind [
{
	bool negated = take(t, "^");
	if (take(t, "]")) {
		ms_buf_append_cstr(t->out, negated ? ANYTHING : NOTHING);
		return true;
	}
	ms_buf_append_cstr(t->out, negated ? "[^" : "[");
	size_t start = t->out->n;
	while (!t->failed && peek(t) >= 0 && peek(t) != ']') {
		int32_t low = class_atom(t), high = low;
		if (t->end - t->at >= 2 && t->at[0] == '-' && t->at[1] != ']') {
			if (low < 0 && !t->failed)
				return fail(t, "a range from a class");
			t->at++;
			high = class_atom(t);
			if (high < low && !t->failed)
				return fail(t, "a range that ends before it starts");
		}
		if (low >= 0 && !t->failed)
			put_range(t, low, high);
	}
	if (!take(t, "]"))
		return fail(t, "a class without ]");
	if (t->out->n == start) { // surrogates alone, which no text holds
		t->out->n -= negated ? 2 : 1;
		ms_buf_append_cstr(t->out, negated ? ANYTHING : NOTHING);
		return true;
	}
	ms_buf_append_char(t->out, ']');
	return true;
}

static bool take_number(struct translation *t, unsigned *ret_value)
{
	if (peek(t) < '0' || peek(t) > '9')
		return false;
	for (*ret_value = 0; peek(t) >= '0' && peek(t) <= '9'; t->at++)
		*ret_value = MS_MIN(*ret_value * 10 + (unsigned)(*t->at - '0'), 1000000u);
	return true;
}

// {n}, {n,}, {n,m}; false and nothing taken when it is none.
static bool braces(struct translation *t)
{
	const char *back = t->at;
	unsigned low, high = 0;
	if (take(t, "{") && take_number(t, &low)) {
		bool comma = take(t, ","), upper = comma && take_number(t, &high);
		if (take(t, "}")) {
			if (upper && high < low)
				return fail(t, "a count that ends before it starts");
			if (low > 65535 || (upper && high > 65535))
				return fail(t, "a count above 65535");
			if (upper)
				ms_buf_printf(t->out, "{%u,%u}", low, high);
			else
				ms_buf_printf(t->out, comma ? "{%u,}" : "{%u}", low);
			return true;
		}
	}
	t->at = back;
	return false;
}

static void quantifier(struct translation *t)
{
	int c = peek(t);
	if (c == '*' || c == '+' || c == '?') {
		ms_buf_append_char(t->out, (char)c);
		t->at++;
	} else if (c != '{' || !braces(t)) {
		return;
	}
	if (take(t, "?"))
		ms_buf_append_char(t->out, '?');
	c = peek(t);
	if (c == '*' || c == '+' || c == '?')
		fail(t, "nothing to repeat");
}

static bool take_name(struct translation *t, struct slice *ret_name) // behind <
{
	const char *start = t->at;
	while (peek(t) >= 0x80 || peek(t) == '_' || peek(t) == '$' ||
	       (is_alnum(peek(t)) && (t->at > start || peek(t) > '9')))
		t->at++;
	*ret_name = ms_slice(start, (size_t)(t->at - start));
	return ret_name->n > 0 && take(t, ">");
}

// Groups are counted and named before all else: they may be referred to from the left.
static void find_groups(struct translation *t)
{
	const char *back = t->at;
	for (bool in_class = false; t->at < t->end && !t->failed; t->at++) {
		if (*t->at == '\\') {
			t->at += t->end - t->at > 1;
		} else if (in_class || *t->at == '[') {
			in_class = *t->at != ']';
		} else if (*t->at == '(') {
			struct slice name = MS_SLICE_EMPTY;
			bool special = t->end - t->at > 1 && t->at[1] == '?',
			     named = special && t->end - t->at > 3 && t->at[2] == '<';
			if (special && (!named || t->at[3] == '=' || t->at[3] == '!'))
				continue;
			if (named) {
				t->at += 3;
				if (!take_name(t, &name)) {
					fail(t, "a bad name of a group");
					break;
				}
				t->at--;
			}
			for (unsigned i = 0; name.n > 0 && i < t->group_count; i++) {
				if (ms_slice_eq(t->names[i], name))
					fail(t, "two groups of one name");
			}
			if (t->group_count == GROUPS_MAX)
				fail(t, "more than 200 groups");
			else
				t->names[t->group_count++] = name;
		}
	}
	t->at = back;
}

static void back_reference(struct translation *t)
{
	unsigned number = 0;
	struct slice name;
	if (take(t, "k")) {
		if (!take(t, "<") || !take_name(t, &name)) {
			fail(t, "\\k without a name");
			return;
		}
		while (number < t->group_count && !ms_slice_eq(t->names[number], name))
			number++;
		number++;
	} else if (!take_number(t, &number)) {
		return;
	}
	if (number == 0 || number > t->group_count)
		fail(t, "a reference to a group that does not exist");
	else
		ms_buf_printf(t->out, "\\g{%u}", number);
}

static void escape(struct translation *t) // behind the backslash
{
	int c = peek(t);
	if (class_escape(t, false))
		return;
	if (c == 'b' || c == 'B') {
		t->at++;
		ms_buf_printf(t->out, "\\%c", c);
	} else if (c == 'k' || (c >= '1' && c <= '9')) {
		back_reference(t);
	} else {
		int32_t value = char_escape(t, false);
		if (is_surrogate(value))
			ms_buf_append_cstr(t->out, NOTHING);
		else if (!t->failed)
			put_char(t, value);
	}
}

static void group_start(struct translation *t) // behind (
{
	static const char *const kinds[] = {"?:", "?=", "?!", "?<=", "?<!"};
	struct slice name;
	ms_buf_append_char(t->out, '(');
	if (++t->depth > NEST_MAX)
		fail(t, "groups nested too deep");
	if (peek(t) != '?')
		return;
	for (size_t i = 0; i < MS_ARRAY_LEN(kinds); i++) {
		if (take(t, kinds[i])) {
			ms_buf_append_cstr(t->out, kinds[i]);
			return;
		}
	}
	if (!take(t, "?<") || !take_name(t, &name)) // named groups are written as numbered ones
		fail(t, "a group of an unknown kind");
}

static void term(struct translation *t)
{
	int c = peek(t);
	if (c == '\\' || c == '[' || c == '(' || c == ')' || c == '|' || c == '.' || c == '^' || c == '$')
		t->at++;
	if (c == '(') {
		group_start(t);
		return;
	}
	if (c == '|') {
		ms_buf_append_char(t->out, '|');
		return;
	}
	if (c == '^') {
		ms_buf_append_char(t->out, '^');
		return;
	}
	if (c == '$') { // PCRE2's own also matches before a newline at the end
		ms_buf_append_cstr(t->out, "\\z");
		return;
	}
	if (c == ')') {
		if (t->depth-- == 0) {
			fail(t, ") without (");
			return;
		}
		ms_buf_append_char(t->out, ')');
	} else if (c == '\\') {
		escape(t);
	} else if (c == '[') {
		character_class(t);
	} else if (c == '.') {
		ms_buf_append_cstr(t->out, "[^\\x{a}\\x{d}\\x{2028}\\x{2029}]");
	} else if (c == '*' || c == '+' || c == '?' || (c == '{' && braces(t))) {
		fail(t, "nothing to repeat");
		return;
	} else {
		put_char(t, take_char(t));
	}
	quantifier(t);
}

enum ms_err ms_pattern_translate(struct slice text, struct buf *out, struct errinfo *info)
{
	struct translation t = {.at = text.p, .end = text.p + text.n, .out = out, .info = info};
	if (ms_utf8_valid_prefix(text) != text.n)
		return ms_fail(info, MS_ERR_INVALID, "a regular expression that is not UTF-8");
	if (text.n > 0)
		find_groups(&t);
	while (!t.failed && t.at < t.end)
		term(&t);
	if (!t.failed && t.depth > 0)
		fail(&t, "( without )");
	if (t.failed)
		return MS_ERR_INVALID;
	return ms_buf_ok(out) ? MS_OK : ms_fail(info, MS_ERR_NO_MEMORY, "no memory for a regular expression");
}

static void *take_memory(size_t n, void *arena)
{
	return ms_arena_alloc(arena, n);
}

static void leave_memory(void *p, void *arena)
{
	(void)p, (void)arena;
}

pcre2_general_context *ms_pattern_memory(struct arena *arena)
{
	return pcre2_general_context_create(take_memory, leave_memory, arena);
}

#define TRANSLATED_MAX ((size_t)1 << 20)

static enum ms_err compile(struct slice text, pcre2_general_context *memory, struct errinfo *info,
			   struct pattern *pattern)
{
	pcre2_compile_context *context = pcre2_compile_context_create(memory);
	if (context == NULL)
		return MS_ERR_NO_MEMORY;
	pcre2_set_parens_nest_limit(context, NEST_MAX + 1);
	int code;
	PCRE2_SIZE offset;
	pattern->code =
		pcre2_compile((PCRE2_SPTR)text.p, text.n,
			      PCRE2_UTF | PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C, &code, &offset, context);
	if (pattern->code != NULL) {
		uint32_t options = 0;
		pcre2_pattern_info(pattern->code, PCRE2_INFO_ALLOPTIONS, &options);
		pattern->anchored = (options & PCRE2_ANCHORED) != 0;
		return MS_OK;
	}
	if (code == PCRE2_ERROR_HEAP_FAILED || code == PCRE2_ERROR_NOMEMORY)
		return MS_ERR_NO_MEMORY;
	char why[200];
	if (pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof(why)) < 0)
		why[0] = '\0';
	return ms_fail(info, MS_ERR_INVALID, "a regular expression that cannot be used: %s", why);
}

enum ms_err ms_pattern_compile(struct slice text, pcre2_general_context *memory, struct errinfo *info,
			       struct pattern *ret_pattern)
{
	struct buf out;
	ms_buf_init(&out, TRANSLATED_MAX);
	enum ms_err err = ms_pattern_translate(text, &out, info);
	ret_pattern->text = text;
	if (err == MS_OK)
		err = compile(ms_slice(out.n > 0 ? out.p : "", out.n), memory, info, ret_pattern);
	ms_buf_fini(&out);
	return err;
}

// PCRE2 counts its own steps, but does not tell how many it took: so it starts with few and gets more as long as there are any.
enum ms_err ms_pattern_match(const struct pattern *pattern, struct slice text, struct arena *arena, size_t *steps,
			     bool *ret_found)
{
	size_t limit = 64 + 4 * text.n, cost = 1 + text.n / 16;
	if (!pattern->anchored) // each place may scan the rest
		cost += text.n > 1024 ? (text.n / 16) * (text.n / 32) : 0;
	struct arena_mark mark = ms_arena_mark(arena);
	pcre2_general_context *memory = ms_pattern_memory(arena);
	pcre2_match_context *context = memory != NULL ? pcre2_match_context_create(memory) : NULL;
	pcre2_match_data *data = memory != NULL ? pcre2_match_data_create(1, memory) : NULL;
	enum ms_err err = context == NULL || data == NULL ? MS_ERR_NO_MEMORY : MS_OK;
	int result = PCRE2_ERROR_MATCHLIMIT;
	while (err == MS_OK && result == PCRE2_ERROR_MATCHLIMIT) {
		if (cost > *steps) {
			*steps = 0;
			err = MS_ERR_LIMIT;
			break;
		}
		*steps -= cost;
		pcre2_set_match_limit(context, (uint32_t)MS_MIN(limit, 1000000000));
		result =
			pcre2_match(pattern->code, (PCRE2_SPTR)(text.n > 0 ? text.p : ""), text.n, 0, 0, data, context);
		limit *= 8;
		cost = limit / 4;
	}
	ms_arena_rewind(arena, mark);
	if (err != MS_OK)
		return err;
	if (result == PCRE2_ERROR_HEAPLIMIT || result == PCRE2_ERROR_DEPTHLIMIT)
		return MS_ERR_LIMIT;
	if (result == PCRE2_ERROR_NOMEMORY)
		return MS_ERR_NO_MEMORY;
	*ret_found = result >= 0; // text that is not UTF-8 matches nothing
	return MS_OK;
}
