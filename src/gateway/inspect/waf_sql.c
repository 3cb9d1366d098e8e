// SPDX-License-Identifier: Apache-2.0
// SQL in a value. The text becomes tokens; then rules look for the places where a value ends and SQL begins. Words alone prove nothing: people write
// "select" and "union".
#include <stdlib.h>

#include "gateway/inspect/waf.h"

#define WINDOW 16384
#define OVERLAP 512
#define TAIL_MAX 200
#define SKIP_MAX 16 // brackets of one kind in a row

enum {
	T_END,
	T_QUOTE,
	T_NUMBER,
	T_WORD,
	T_CALL,   // a word with ( behind it
	T_LOGIC,  // and or xor && ||
	T_OP,     // = < > + - …
	T_OPWORD, // like between in is …
	T_UNION,
	T_SELECT,
	T_STATEMENT, // insert drop exec …
	T_OPEN,
	T_CLOSE,
	T_COMMA,
	T_SEMICOLON,
	T_COMMENT, // -- or #: to the end of the line
	T_VARIABLE,
	T_DOT,
	T_OTHER,
};
enum {
	F_BREAKS = 1,      // a quote that may close the value it is put into
	F_SHORT = 2,       // a comment with next to nothing behind it
	F_CONDITIONAL = 4, // || and &&
};
struct token {
	uint16_t at, n;
	uint8_t type, flags;
};
struct tokens {
	struct slice text;
	struct token *items;
	size_t count;
	unsigned inline_comments, conditional_comments;
	bool unclosed;
	bool split_word; // a comment right between two letters
};

struct keyword {
	const char *word;
	uint8_t type;
};
static const struct keyword keywords[] = {
	// sorted
	{"alter", T_STATEMENT},    {"and", T_LOGIC},         {"between", T_OPWORD},     {"call", T_STATEMENT},
	{"create", T_STATEMENT},   {"declare", T_STATEMENT}, {"delete", T_STATEMENT},   {"div", T_OPWORD},
	{"drop", T_STATEMENT},     {"exec", T_STATEMENT},    {"execute", T_STATEMENT},  {"glob", T_OPWORD},
	{"grant", T_STATEMENT},    {"in", T_OPWORD},         {"insert", T_STATEMENT},   {"is", T_OPWORD},
	{"like", T_OPWORD},        {"merge", T_STATEMENT},   {"mod", T_OPWORD},         {"or", T_LOGIC},
	{"regexp", T_OPWORD},      {"replace", T_STATEMENT}, {"rlike", T_OPWORD},       {"select", T_SELECT},
	{"shutdown", T_STATEMENT}, {"sounds", T_OPWORD},     {"truncate", T_STATEMENT}, {"union", T_UNION},
	{"update", T_STATEMENT},   {"waitfor", T_STATEMENT}, {"xor", T_LOGIC},
};

static int cmp_keyword(const void *key, const void *item)
{
	const struct slice *word = key;
	const struct keyword *k = item;
	return ms_slice_cmp(*word, ms_slice_cstr(k->word));
}

static struct slice word_of(const struct tokens *t, size_t i)
{
	return i < t->count ? ms_slice_sub(t->text, t->items[i].at, t->items[i].n) : MS_SLICE_EMPTY;
}

static bool is(const struct tokens *t, size_t i, const char *word)
{
	return ms_slice_eq_cstr(word_of(t, i), word);
}

static uint8_t type(const struct tokens *t, size_t i)
{
	return i < t->count ? t->items[i].type : (uint8_t)T_END;
}

static void add(struct tokens *t, size_t at, size_t n, uint8_t kind, uint8_t flags)
{
	t->items[t->count++] = (struct token){(uint16_t)at, (uint16_t)n, kind, flags};
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t take_number(struct slice s, size_t i)
{
	size_t start = i;
	if (s.p[i] == '0' && i + 1 < s.n && s.p[i + 1] == 'x') {
		for (i += 2; i < s.n && ms_waf_is_word(s.p[i]); i++)
			;
		return i - start;
	}
	while (i < s.n && (is_digit(s.p[i]) || (s.p[i] == '.' && i + 1 < s.n && is_digit(s.p[i + 1]))))
		i++;
	if (i + 1 < s.n && s.p[i] == 'e' && is_digit(s.p[i + 1])) { // 1e0union is a number and a word for MySQL
		for (i++; i < s.n && is_digit(s.p[i]); i++)
			;
	}
	return i - start;
}

static void take_word(struct tokens *t, size_t *i)
{
	struct slice s = t->text;
	size_t start = *i;
	while (*i < s.n && (ms_waf_is_word(s.p[*i]) || s.p[*i] == '$'))
		(*i)++;
	struct slice word = ms_slice_sub(s, start, *i - start);
	const struct keyword *k =
		word.n <= 8 ? bsearch(&word, keywords, MS_ARRAY_LEN(keywords), sizeof(*keywords), cmp_keyword) : NULL;
	size_t next = *i;
	while (next < s.n && next < *i + 2 && s.p[next] == ' ')
		next++;
	bool call = k == NULL && next < s.n && s.p[next] == '(' && next - *i <= 1;
	add(t, start, MS_MIN(word.n, UINT16_MAX), k != NULL ? k->type : call ? T_CALL : T_WORD, 0);
}

// The text behind a comment sign up to the line's end: short when nobody would write it so.
static bool is_short_tail(struct slice s, size_t i)
{
	size_t visible = 0, letters = 0;
	// A long tail is no short one: what stands far behind need not be read, so that many comment signs cost no square.
	for (size_t end = MS_MIN(s.n, i + TAIL_MAX); i < end && s.p[i] != '\n' && !(visible > 3 && letters > 0); i++) {
		visible += s.p[i] != ' ' && s.p[i] != '+';
		letters += ms_waf_is_word(s.p[i]);
	}
	return visible <= 3 || letters == 0;
}

static bool take_comment(struct tokens *t, size_t *i)
{
	struct slice s = t->text;
	if (ms_waf_at(s, *i, "/*")) {
		if (*i + 2 < s.n && s.p[*i + 2] == '!') { // MySQL runs what is inside
			t->conditional_comments++;
			for (*i += 3; *i < s.n && is_digit(s.p[*i]); (*i)++)
				;
			return true;
		}
		size_t end = t->unclosed ? s.n : ms_waf_find(s, "*/", *i + 2);
		t->unclosed |= end == s.n; // then none behind it is closed either
		if (end == s.n) {          // cuts off the rest
			add(t, *i, 2, T_COMMENT, is_short_tail(s, *i + 2) ? F_SHORT : 0);
			*i += 2;
			return true;
		}
		t->inline_comments++;
		t->split_word |= *i > 0 && ms_waf_is_word(s.p[*i - 1]) && end + 2 < s.n && ms_waf_is_word(s.p[end + 2]);
		*i = end + 2;
		return true;
	}
	if (ms_waf_at(s, *i, "*/")) {
		*i += 2;
		return true;
	}
	bool dashes = ms_waf_at(s, *i, "--"), hash = s.p[*i] == '#';
	if (!dashes && !hash)
		return false;
	add(t, *i, dashes ? 2 : 1, T_COMMENT, is_short_tail(s, *i + (dashes ? 2 : 1)) ? F_SHORT : 0);
	*i += dashes ? 2 : 1;
	return true;
}

struct quotes {
	unsigned counts[2]; // ' and ", those with a backslash left out
};

// A quote may close the value it is put into when those before it are paired, and nothing before it says that it opens one.
static void take_quote(struct tokens *t, size_t *i, struct quotes *q)
{
	struct slice s = t->text;
	char c = s.p[*i];
	unsigned *count = &q->counts[c == '"'];
	bool escaped = *i > 0 && s.p[*i - 1] == '\\';
	size_t before = *i;
	while (before > 0 && *i - before < SKIP_MAX && s.p[before - 1] == ' ')
		before--;
	bool opens = before > 0 && strchr(":,[{(=<>+", s.p[before - 1]) != NULL;
	if (c == '`') {
		add(t, *i, 1, T_QUOTE, 0);
		(*i)++;
		return;
	}
	add(t, *i, 1, T_QUOTE, (*count % 2 == 0 || escaped) && !opens ? F_BREAKS : 0);
	*count += !escaped;
	(*i)++;
}

static void take_sign(struct tokens *t, size_t *i)
{
	struct slice s = t->text;
	char c = s.p[*i];
	size_t n = 1;
	uint8_t kind = T_OTHER, flags = 0;
	if (ms_waf_at(s, *i, "||") || ms_waf_at(s, *i, "&&")) {
		n = 2;
		kind = T_LOGIC;
		flags = F_CONDITIONAL;
	} else if (c == '@') {
		while (*i + n < s.n && (s.p[*i + n] == '@' || ms_waf_is_word(s.p[*i + n])))
			n++;
		kind = n > 1 ? T_VARIABLE : T_OTHER;
	} else if (strchr("=<>!+-*/%^|&~", c) != NULL) {
		while (*i + n < s.n && strchr("=<>", s.p[*i + n]) != NULL && n < 3)
			n++;
		kind = T_OP;
	} else if (c == '(') {
		kind = T_OPEN;
	} else if (c == ')') {
		kind = T_CLOSE;
	} else if (c == ',') {
		kind = T_COMMA;
	} else if (c == ';') {
		kind = T_SEMICOLON;
	} else if (c == '.') {
		kind = T_DOT;
	}
	add(t, *i, n, kind, flags);
	*i += n;
}

static void tokenize(struct tokens *t)
{
	struct slice s = t->text;
	struct quotes quotes = {0};
	for (size_t i = 0; i < s.n;) {
		char c = s.p[i];
		if (c == ' ' || c == '\n' || c == '\r') {
			i++;
		} else if (is_digit(c)) {
			size_t n = take_number(s, i);
			add(t, i, n, T_NUMBER, 0);
			i += n;
		} else if (ms_waf_is_word(c)) {
			take_word(t, &i);
		} else if (c == '\'' || c == '"' || c == '`') {
			take_quote(t, &i, &quotes);
		} else if (!take_comment(t, &i)) {
			take_sign(t, &i);
		}
	}
}

// --- Rules -------------------------------------------------------------------------------------------------------------

static bool breaks(const struct tokens *t, size_t i)
{
	return type(t, i) == T_QUOTE && (t->items[i].flags & F_BREAKS) != 0;
}

static size_t skip(const struct tokens *t, size_t i, uint8_t kind)
{
	for (size_t end = i + SKIP_MAX; i < end && type(t, i) == kind;)
		i++;
	return i;
}

// Behind an operand at i; 0: there is none. *ret_literal: a number or quoted text.
static size_t operand(const struct tokens *t, size_t i, bool *ret_literal)
{
	*ret_literal = false;
	if (type(t, i) == T_OP && t->items[i].n == 1 && strchr("+-~!", t->text.p[t->items[i].at]) != NULL)
		i++;
	if (type(t, i) == T_NUMBER) {
		*ret_literal = true;
		return i + 1;
	}
	if (type(t, i) == T_QUOTE) { // 'a', '', or 'a to the end
		size_t end = i + 1;
		while (end < t->count && end < i + 4 && type(t, end) != T_QUOTE)
			end++;
		*ret_literal = true;
		return type(t, end) == T_QUOTE ? end + 1 : end == t->count ? end : 0;
	}
	if (type(t, i) == T_WORD || type(t, i) == T_VARIABLE) {
		i++;
		if (type(t, i) == T_DOT && type(t, i + 1) == T_WORD)
			i += 2;
		return i;
	}
	return 0;
}

static bool compares(const struct tokens *t, size_t i, bool *ret_sign)
{
	*ret_sign = type(t, i) == T_OP;
	if (*ret_sign) {
		char c = t->text.p[t->items[i].at];
		return strchr("=<>!", c) != NULL;
	}
	return type(t, i) == T_OPWORD;
}

// At a logic word: does a condition follow? `sure`: what stands before it closes a value.
static bool condition(const struct tokens *t, size_t i, bool sure, bool quoted)
{
	bool literal, literal2, sign, or_word = is(t, i, "or") || is(t, i, "||");
	i++;
	for (size_t end = i + SKIP_MAX;
	     i < end && (type(t, i) == T_OPEN || is(t, i, "not") || (type(t, i) == T_OP && is(t, i, "!")));)
		i++;
	if (sure && (type(t, i) == T_SELECT || type(t, i) == T_CALL || is(t, i, "exists") || is(t, i, "case")))
		return true;
	size_t next = operand(t, i, &literal);
	if (next == 0)
		return false;
	bool truth = literal || is(t, i, "true") || is(t, i, "false");
	if (sure && or_word && truth &&
	    ((quoted && type(t, next) == T_END) || type(t, next) == T_COMMENT)) // "1 or 2" is prose
		return type(t, i) != T_QUOTE || next > i + 1;
	if (!compares(t, next, &sign))
		return false;
	if (!sign && sure && is(t, next, "is"))
		return is(t, next + 1, "null") || (is(t, next + 1, "not") && is(t, next + 2, "null"));
	if (!sign) // prose: "or people like"
		return sure && (literal || type(t, next + 1) == T_QUOTE);
	size_t last = operand(t, next + 1, &literal2);
	if (type(t, next + 1) == T_OPEN && type(t, next + 2) == T_SELECT)
		return true;
	if (last == 0)
		return sure && type(t, next + 1) == T_CALL;
	if (sure)
		return literal || literal2;
	// Anywhere in a text: only what says nothing, as 1=1 does.
	struct slice a = word_of(t, i), b = word_of(t, next + 1);
	if (type(t, i) == T_QUOTE && literal2)
		return is(t, next, "=") && ms_slice_eq(word_of(t, i + 1), word_of(t, next + 2));
	return literal && literal2 && is(t, next, "=") && ms_slice_eq(a, b);
}

// A value at the very start that SQL may follow: a number, or a word with ) behind it.
static bool starts_with_value(const struct tokens *t, size_t i)
{
	size_t at = type(t, 0) == T_OP ? 1 : 0;
	if (type(t, at) == T_NUMBER)
		return skip(t, at + 1, T_CLOSE) == i;
	return (type(t, at) == T_WORD || type(t, at) == T_CLOSE) && type(t, i - 1) == T_CLOSE && i <= at + 3;
}

static uint64_t look_at_logic(const struct tokens *t, size_t i)
{
	size_t before = i;
	while (before > 0 && i - before < SKIP_MAX && type(t, before - 1) == T_CLOSE)
		before--;
	bool quoted = before > 0 && breaks(t, before - 1);
	return condition(t, i, quoted || (i > 0 && starts_with_value(t, i)), quoted) ? WAF_BIT(WAF_SQL_TAUTOLOGY) : 0;
}

// What a select list starts with, as it is written in attacks; words alone are prose.
static bool selects(const struct tokens *t, size_t i)
{
	for (size_t end = i + SKIP_MAX;
	     i < end && (is(t, i, "all") || is(t, i, "distinct") || is(t, i, "top") || type(t, i) == T_OPEN);)
		i++;
	uint8_t kind = type(t, i);
	if (kind == T_NUMBER || kind == T_QUOTE || kind == T_VARIABLE || kind == T_CALL || is(t, i, "null") ||
	    is(t, i, "*"))
		return true;
	if (kind != T_WORD)
		return false;
	size_t next = i + 1;
	for (size_t end = next + SKIP_MAX; next < end && type(t, next) == T_DOT;)
		next += 2;
	return type(t, next) == T_COMMA || type(t, next) == T_LOGIC ||
	       (is(t, next, "from") && type(t, next + 1) == T_WORD &&
		(type(t, next + 2) != T_WORD || is(t, next + 2, "where") || is(t, next + 2, "limit") ||
		 is(t, next + 2, "order")));
}

static uint64_t look_at_union(const struct tokens *t, size_t i)
{
	i++;
	for (size_t end = i + SKIP_MAX; i < end && (is(t, i, "all") || is(t, i, "distinct") || type(t, i) == T_OPEN);)
		i++;
	return type(t, i) == T_SELECT && selects(t, i + 1) ? WAF_BIT(WAF_SQL_UNION) : 0;
}

static uint64_t look_at_select(const struct tokens *t, size_t i)
{
	uint64_t found = 0;
	size_t before = i;
	while (before > 0 && i - before < SKIP_MAX && type(t, before - 1) == T_OPEN)
		before--;
	uint8_t kind = before > 0 ? type(t, before - 1) : (uint8_t)T_END;
	bool inside = before < i &&
		      (kind == T_OP || kind == T_LOGIC || kind == T_COMMA || kind == T_OPWORD || kind == T_CALL);
	if (inside && selects(t, i + 1))
		found |= WAF_BIT(WAF_SQL_SUBSELECT);
	if (type(t, i + 1) == T_OPEN && before < i) // (select(0)from(select(…)))
		found |= WAF_BIT(WAF_SQL_SUBSELECT);
	for (size_t k = i + 1; k < t->count && k < i + 24; k++) {
		if (is(t, k, "from") && selects(t, i + 1))
			found |= WAF_BIT(WAF_SQL_STATEMENT);
	}
	return found;
}

static bool is_any(const struct tokens *t, size_t i, const char *const *words)
{
	for (; *words != NULL; words++) {
		if (is(t, i, *words))
			return true;
	}
	return false;
}

// A statement with what belongs to it: "drop table x", not "drop me a line".
static bool statement(const struct tokens *t, size_t i)
{
	static const char *const things[] = {"table",     "database", "schema", "view", "user",  "index", "function",
					     "procedure", "trigger",  "column", "role", "login", "or",    NULL};
	static const char *const calls[] = {"exec", "execute", "call", NULL};
	if (type(t, i) == T_SELECT)
		return selects(t, i + 1);
	if (type(t, i) != T_STATEMENT)
		return false;
	if (is(t, i, "insert") || is(t, i, "merge") || is(t, i, "replace"))
		return is(t, i + 1, "into") && (type(t, i + 3) == T_OPEN || is(t, i + 3, "values") ||
						type(t, i + 2) == T_CALL || type(t, i + 3) == T_SELECT);
	if (is(t, i, "delete"))
		return is(t, i + 1, "from") && (type(t, i + 3) == T_END || type(t, i + 3) == T_COMMENT ||
						type(t, i + 3) == T_SEMICOLON || is(t, i + 3, "where"));
	if (is(t, i, "update"))
		return is(t, i + 2, "set") && is(t, i + 4, "=");
	if (is(t, i, "waitfor"))
		return is(t, i + 1, "delay") || is(t, i + 1, "time");
	if (is(t, i, "declare"))
		return type(t, i + 1) == T_VARIABLE;
	if (is(t, i, "shutdown"))
		return type(t, i + 1) == T_END || type(t, i + 1) == T_COMMENT || type(t, i + 1) == T_SEMICOLON;
	if (is_any(t, i, calls))
		return type(t, i + 1) == T_OPEN || type(t, i + 1) == T_VARIABLE || is(t, i + 1, "xp_cmdshell") ||
		       is(t, i + 1, "master") || is(t, i + 1, "sp_executesql") || type(t, i + 1) == T_CALL;
	return is_any(t, i + 1, things);
}

static uint64_t look_at_semicolon(const struct tokens *t, size_t i)
{
	if (!statement(t, i + 1))
		return 0;
	// Not a script of SQL: little before it, a value that is closed, or a comment that cuts off the rest.
	bool closed = i > 0 && (breaks(t, i - 1) || (type(t, i - 1) == T_CLOSE && i > 1 && breaks(t, i - 2)));
	bool cut = type(t, t->count - 1) == T_COMMENT && (t->items[t->count - 1].flags & F_SHORT) != 0;
	return i <= 3 || closed || cut ? WAF_BIT(WAF_SQL_STACKED) : 0;
}

static uint64_t look_at_quote(const struct tokens *t, size_t i)
{
	size_t next = skip(t, i + 1, T_CLOSE);
	uint64_t found = 0;
	if (type(t, skip(t, next, T_SEMICOLON)) == T_COMMENT &&
	    (t->items[skip(t, next, T_SEMICOLON)].flags & F_SHORT) != 0)
		found |= WAF_BIT(WAF_SQL_COMMENT);
	if (statement(t, next) && type(t, next) != T_SELECT)
		found |= WAF_BIT(WAF_SQL_STACKED);
	if (type(t, next) == T_OP || type(t, next) == T_OPWORD ||
	    (type(t, next) == T_LOGIC && (t->items[next].flags & F_CONDITIONAL) != 0)) {
		char c = t->text.p[t->items[next].at];
		size_t value = skip(t, next + 1, T_OPEN);
		bool literal, paren = value > next + 1;
		bool sum = strchr("+-/*%", c) != NULL;
		if (type(t, value) == T_SELECT || (type(t, value) == T_CALL && type(t, next) != T_OPWORD && c != '/'))
			found |= WAF_BIT(WAF_SQL_OPERATOR);
		else if (type(t, value) == T_QUOTE && !is(t, next, "in") && !is(t, next, "is") &&
			 (!sum || value + 2 >= t->count))
			found |= WAF_BIT(WAF_SQL_OPERATOR);
		else if (type(t, next) == T_OP && !sum && c != '>' && c != '<' && operand(t, value, &literal) != 0 &&
			 (literal || paren))
			found |= WAF_BIT(WAF_SQL_OPERATOR);
		else if (is(t, next, "in") && paren && type(t, value) == T_NUMBER)
			found |= WAF_BIT(WAF_SQL_OPERATOR);
		else if (is(t, next, "is") && (is(t, value, "null") || is(t, value, "not")))
			found |= WAF_BIT(WAF_SQL_OPERATOR);
	}
	if ((is(t, next, "order") || is(t, next, "group")) && is(t, next + 1, "by"))
		found |= WAF_BIT(WAF_SQL_ORDER);
	if (is(t, next, "having") || is(t, next, "procedure"))
		found |= WAF_BIT(WAF_SQL_ORDER);
	if (is(t, next, "limit") && type(t, next + 1) == T_NUMBER)
		found |= WAF_BIT(WAF_SQL_ORDER);
	return found;
}

static bool around_call(const struct tokens *t, size_t i)
{
	uint8_t kind = i > 0 ? type(t, i - 1) : (uint8_t)T_END;
	bool arithmetic = kind == T_OP && !is(t, i - 1, "=") && !is(t, i - 1, ">") && !is(t, i - 1, "=>");
	return kind == T_LOGIC || arithmetic || kind == T_COMMA || kind == T_SELECT ||
	       (kind == T_OPEN && i > 1 && type(t, i - 2) != T_WORD) || kind == T_NUMBER ||
	       (kind == T_SEMICOLON && i <= 3) || kind == T_QUOTE;
}

static uint64_t look_at_call(const struct tokens *t, size_t i)
{
	static const char *const timing[] = {"benchmark", "pg_sleep", "randomblob", "dbms_lock", NULL};
	if (is_any(t, i, timing))
		return WAF_BIT(WAF_SQL_TIMING);
	bool waits = is(t, i, "sleep") && type(t, i + 2) == T_NUMBER && around_call(t, i);
	bool branches = (is(t, i, "if") || is(t, i, "iif")) && type(t, i + 2) == T_NUMBER && is(t, i + 3, "=") &&
			type(t, i + 4) == T_NUMBER;
	return waits || branches ? WAF_BIT(WAF_SQL_TIMING) : 0;
}

static uint64_t look_at_word(const struct tokens *t, size_t i)
{
	static const char *const system[] = {
		"information_schema",
		"xp_cmdshell",
		"sqlite_master",
		"sqlite_schema",
		"pg_catalog",
		"pg_shadow",
		"sysobjects",
		"syscolumns",
		"load_file",
		"extractvalue",
		"updatexml",
		"dbms_pipe",
		"utl_http",
		"utl_inaddr",
		"sp_executesql",
		"xp_dirtree",
		"xp_regread",
		"sp_oacreate",
		"all_tables",
		"user_tables",
		"mysql",
		"pg_user",
		"pg_read_file",
		"lo_import",
		"dbms_xmlgen",
		"ctxsys",
		"group_concat",
		NULL,
	};
	if (type(t, i) == T_VARIABLE &&
	    (is(t, i, "@@version") || is(t, i, "@@hostname") || is(t, i, "@@datadir") || is(t, i, "@@servername")))
		return WAF_BIT(WAF_SQL_SYSTEM);
	if ((is(t, i, "outfile") || is(t, i, "dumpfile")) && is(t, i - 1, "into") && type(t, i + 1) == T_QUOTE)
		return WAF_BIT(WAF_SQL_SYSTEM_QUERY);
	if (is(t, i, "mysql") && !(type(t, i + 1) == T_DOT && is(t, i + 2, "user")))
		return 0;
	if (is(t, i, "order") && is(t, i + 1, "by") && type(t, i + 2) == T_NUMBER &&
	    (starts_with_value(t, i) || i == 0))
		return WAF_BIT(WAF_SQL_ORDER);
	if (is(t, i, "procedure") && is(t, i + 1, "analyse"))
		return WAF_BIT(WAF_SQL_ORDER);
	if ((is(t, i, "having") || is(t, i, "group")) && i > 0 && starts_with_value(t, i) &&
	    (is(t, i + 1, "by") || type(t, i + 1) == T_NUMBER))
		return WAF_BIT(WAF_SQL_ORDER);
	return is_any(t, i, system) ? WAF_BIT(WAF_SQL_SYSTEM) : 0;
}

static uint64_t look(const struct tokens *t)
{
	uint64_t found = 0;
	bool sql = false;
	for (size_t i = 0; i < t->count; i++) {
		uint8_t kind = t->items[i].type;
		if (kind == T_LOGIC)
			found |= look_at_logic(t, i);
		else if (kind == T_UNION)
			found |= look_at_union(t, i);
		else if (kind == T_SELECT)
			found |= look_at_select(t, i);
		else if (kind == T_SEMICOLON)
			found |= look_at_semicolon(t, i);
		else if (kind == T_QUOTE && breaks(t, i))
			found |= look_at_quote(t, i);
		else if (kind == T_CALL)
			found |= look_at_call(t, i) | look_at_word(t, i);
		else if (kind == T_WORD || kind == T_VARIABLE)
			found |= look_at_word(t, i);
		else if (kind == T_STATEMENT && is(t, i, "waitfor") && is(t, i + 1, "delay") &&
			 type(t, i + 2) == T_QUOTE)
			found |= WAF_BIT(WAF_SQL_TIMING);
		sql |= (kind == T_SELECT && selects(t, i + 1)) || (kind == T_LOGIC && i > 0 && starts_with_value(t, i));
		sql |= kind == T_STATEMENT && statement(t, i);
		sql |= kind == T_QUOTE && breaks(t, i) && (type(t, i + 1) == T_LOGIC || type(t, i + 1) == T_OP);
	}
	if ((found & WAF_BIT(WAF_SQL_SYSTEM)) != 0 && sql)
		found |= WAF_BIT(WAF_SQL_SYSTEM_QUERY);
	return found;
}

// Comments are taken out for tokens, so that "un/**/ion" would be two words: looked at once more without them.
static uint64_t look_without_comments(struct tokens *t, struct arena *arena)
{
	char *p = ms_arena_alloc(arena, t->text.n + 1);
	struct slice s = t->text;
	size_t n = 0;
	for (size_t i = 0; p != NULL && i < s.n;) {
		size_t end = ms_waf_at(s, i, "/*") ? ms_waf_find(s, "*/", i + 2) : s.n;
		if (end < s.n) {
			i = end + 2;
			continue;
		}
		p[n++] = s.p[i++];
	}
	if (p == NULL)
		return 0;
	struct tokens again = {.text = ms_slice(p, n), .items = t->items};
	tokenize(&again);
	uint64_t found = look(&again);
	return found != 0 ? found | WAF_BIT(WAF_SQL_HIDDEN) : 0;
}

uint64_t ms_waf_sql(struct slice text, struct arena *arena, bool *ret_memory)
{
	uint64_t found = 0;
	struct arena_mark mark = ms_arena_mark(arena);
	size_t room = MS_MIN(text.n, (size_t)WINDOW) + 2;
	struct token *items = ms_arena_alloc(arena, room * sizeof(*items));
	*ret_memory = items != NULL;
	for (size_t at = 0; items != NULL && at < text.n; at += WINDOW - OVERLAP) {
		struct tokens t = {.text = ms_slice_sub(text, at, WINDOW), .items = items};
		tokenize(&t);
		found |= look(&t);
		bool keywords_there = false;
		for (size_t i = 0; i < t.count; i++)
			keywords_there |=
				t.items[i].type == T_SELECT || t.items[i].type == T_UNION || t.items[i].type == T_LOGIC;
		if (t.conditional_comments > 0 && keywords_there)
			found |= WAF_BIT(WAF_SQL_HIDDEN);
		if (t.inline_comments > 0 && t.split_word)
			found |= look_without_comments(&t, arena);
		if (at + WINDOW >= text.n)
			break;
	}
	ms_arena_rewind(arena, mark);
	return found;
}
