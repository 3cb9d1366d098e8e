// SPDX-License-Identifier: Apache-2.0
// Commands of shells, and code of servers' languages.
#include <stdlib.h>

#include "gateway/inspect/waf.h"

#define SPACES_MAX 200 // in a row; each look is bounded, so that the whole is linear

struct command {
	const char *name;
	bool plain; // no word of English: enough by itself
};
static const struct command commands[] = {
	// sorted
	{"awk", true},        {"base64", true},
	{"bash", true},       {"busybox", true},
	{"cat", false},       {"certutil", true},
	{"chmod", true},      {"chown", true},
	{"cmd", true},        {"cmd.exe", true},
	{"cp", true},         {"curl", true},
	{"cut", false},       {"del", false},
	{"dig", false},       {"dir", false},
	{"echo", false},      {"env", false},
	{"expr", true},       {"find", false},
	{"grep", false},      {"head", false},
	{"hostname", true},   {"id", false},
	{"ifconfig", true},   {"ipconfig", true},
	{"kill", false},      {"less", false},
	{"ls", true},         {"lua", true},
	{"mkfifo", true},     {"more", false},
	{"mv", true},         {"nc", true},
	{"ncat", true},       {"net", false},
	{"netcat", true},     {"netstat", true},
	{"node", false},      {"nslookup", true},
	{"passwd", false},    {"perl", true},
	{"php", true},        {"ping", false},
	{"powershell", true}, {"powershell.exe", true},
	{"printenv", true},   {"ps", false},
	{"pwd", true},        {"python", true},
	{"python3", true},    {"rm", true},
	{"ruby", false},      {"sed", true},
	{"sh", true},         {"sleep", false},
	{"socat", true},      {"sort", false},
	{"ssh", true},        {"systeminfo", true},
	{"tail", false},      {"tasklist", true},
	{"tftp", true},       {"touch", false},
	{"type", false},      {"uname", true},
	{"ver", false},       {"wget", true},
	{"whoami", true},     {"xargs", true},
	{"zsh", true},
};

static int cmp_command(const void *key, const void *item)
{
	return ms_slice_cmp(*(const struct slice *)key, ms_slice_cstr(((const struct command *)item)->name));
}

static size_t skip_spaces(struct slice t, size_t i)
{
	for (size_t end = i + SPACES_MAX; i < end && i < t.n && (t.p[i] == ' ' || t.p[i] == '\n' || t.p[i] == '\r');)
		i++;
	return i;
}

// Does what stands at i look like a command's argument, and not like the next word of a sentence?
static bool is_argument(struct slice t, size_t i)
{
	i = skip_spaces(t, i);
	if (i == t.n)
		return false;
	if (strchr("-/$~*<>", t.p[i]) != NULL)
		return i + 1 < t.n && t.p[i + 1] != ' ';
	size_t end = i;
	bool dot = false, digits = true;
	while (end < t.n && end < i + 200 && strchr(" \n;|&`)", t.p[end]) == NULL) {
		dot |= t.p[end] == '.' && end + 1 < t.n && ms_waf_is_word(t.p[end + 1]);
		digits &= (t.p[end] >= '0' && t.p[end] <= '9') || t.p[end] == '.';
		end++;
	}
	bool last = skip_spaces(t, end) == t.n || strchr(";|&`)#", t.p[skip_spaces(t, end)]) != NULL;
	return (dot && last) || (digits && end > i && last) || ms_waf_at(t, i, "c:");
}

// The command at i (behind a separator), with quotes, backslashes and folders in its name undone: c'a't, /bin/cat. 0: none.
static size_t command_at(struct slice t, size_t i, const struct command **ret)
{
	char name[32];
	size_t n = 0;
	bool path = false;
	for (size_t end = i + 100; i < end && i < t.n && n < sizeof(name); i++) {
		char c = t.p[i];
		if (c == '/' && (n == 0 || path || ms_waf_at(t, i + 1, "bin/"))) {
			path = true;
			n = 0;
		} else if (ms_waf_is_word(c) || c == '.' || (c == '?' && path)) {
			name[n++] = c;
		} else if (!(c == '\\' || c == '\'' || c == '"' || (c == '$' && ms_waf_at(t, i, "$@")) ||
			     (c == '@' && i > 0 && t.p[i - 1] == '$'))) {
			break;
		}
	}
	struct slice word = ms_slice(name, n);
	*ret = bsearch(&word, commands, MS_ARRAY_LEN(commands), sizeof(*commands), cmp_command);
	if (*ret == NULL && path && n > 0 && memchr(name, '?', n) != NULL) // /???/c?t
		*ret = &commands[0];
	return *ret != NULL ? i : 0;
}

static uint64_t look_at_separator(struct slice t, size_t i, size_t count, bool table)
{
	const struct command *command;
	bool spaced = i > 0 && t.p[i - 1] == ' ';
	size_t start = i + 1;
	while (start < t.n && start < i + 8 && (strchr(";|&(", t.p[start]) != NULL))
		start++;
	bool doubled = start > i + 1;
	start = skip_spaces(t, start);
	size_t end = start < t.n ? command_at(t, start, &command) : 0;
	if (end == 0)
		return 0;
	bool over = skip_spaces(t, end) == t.n;
	bool next_separator = end < t.n && strchr(";|&`#", t.p[end]) != NULL;
	bool ends = over || next_separator || ms_waf_at(t, end, "${ifs}") || ms_waf_at(t, end, "$ifs");
	bool argument = is_argument(t, end) || (end < t.n && strchr("<>", t.p[end]) != NULL);
	if (table && !argument)
		return 0;
	if (t.p[i] == '&' && !doubled && spaced && !argument && !(over && command->plain)) // cats & dogs
		return 0;
	if (ends && !over && !next_separator)
		return WAF_BIT(WAF_COMMAND);
	bool glued = !spaced && start == i + 1;
	if (ends && (doubled || i == 0 || glued ||
		     (command->plain && count == 1))) // "more; less" and "perl; ruby; python" are lists
		return WAF_BIT(WAF_COMMAND);
	return argument || (command->plain && i == 0) ? WAF_BIT(WAF_COMMAND) : 0;
}

// `id`: in Markdown this is how code is quoted, so only where nothing else stands around.
static uint64_t look_at_backquote(struct slice t, size_t i)
{
	const struct command *command;
	struct slice near = ms_slice_sub(t, 0, i + 500);
	size_t close = ms_waf_find(near, "`", i + 1),
	       end = close < near.n && i + 1 < close ? command_at(t, skip_spaces(t, i + 1), &command) : 0;
	bool fence = i > 0 && t.p[i - 1] == '`';
	if (end == 0 || fence)
		return 0;
	bool glued =
		(i > 0 && t.p[i - 1] != ' ' && t.p[i - 1] != '\n' && t.p[i - 1] != '(') || (i == 0 && close + 1 == t.n);
	return glued ? WAF_BIT(WAF_COMMAND_SUBSTITUTION) : 0;
}

static uint64_t look_at_dollar(struct slice t, size_t i)
{
	const struct command *command;
	if (ms_waf_at(t, i, "${jndi:") || ms_waf_at(t, i, "${${") || ms_waf_at(t, i, "${lower:") ||
	    ms_waf_at(t, i, "${upper:") || ms_waf_at(t, i, "${::-") || ms_waf_at(t, i, "${env:") ||
	    ms_waf_at(t, i, "${sys:"))
		return WAF_BIT(WAF_JNDI);
	if (ms_waf_at(t, i, "${ifs") || ms_waf_at(t, i, "$ifs"))
		return WAF_BIT(WAF_SHELL_TRICK);
	if (ms_waf_at(t, i, "$(") && command_at(t, skip_spaces(t, i + 2), &command) != 0)
		return WAF_BIT(WAF_COMMAND_SUBSTITUTION);
	if (ms_waf_at(t, i, "${t(") || ms_waf_at(t, i, "${#") || ms_waf_at(t, i, "${class.") || ms_waf_at(t, i, "${@"))
		return WAF_BIT(WAF_TEMPLATE);
	if (ms_waf_at(t, i, "${") && i + 2 < t.n && t.p[i + 2] >= '0' && t.p[i + 2] <= '9') { // ${7*7}
		size_t k = i + 2;
		while (k < t.n && t.p[k] >= '0' && t.p[k] <= '9')
			k++;
		return k < t.n && (t.p[k] == '*' || t.p[k] == '+' || t.p[k] == '-') ? WAF_BIT(WAF_TEMPLATE) : 0;
	}
	return 0;
}

// {{7*7}}, {{config}}, <%= … %>, #{…}: arithmetic, calls and inner names; {{name}} is a template's own.
static uint64_t look_at_template(struct slice t, size_t i, const char *close)
{
	static const char *const inner[] = {"__",         "config", "self.",        "request.", "request|",
					    "lipsum",     "cycler", ".constructor", "process.", "system(",
					    "popen",      "exec(",  "|attr",        "['",       "range(",
					    "freemarker", "_self",  "dump(",        "$on",      "`",
					    "file.",      "io.",    "@import",      "class",    NULL};
	size_t end = ms_waf_find(ms_slice_sub(t, 0, i + 500), close, i + 2);
	if (end >= MS_MIN(t.n, i + 500))
		return 0;
	struct slice inside = ms_slice_trim(ms_slice_sub(t, i + 2, end - i - 2));
	for (size_t k = 0; inner[k] != NULL; k++) {
		if (ms_waf_has(inside, inner[k]))
			return WAF_BIT(WAF_TEMPLATE);
	}
	if (inside.n > 0 && (inside.p[0] == '=' || inside.p[0] == '-'))
		inside = ms_slice_trim(ms_slice_sub(inside, 1, inside.n));
	bool digit = inside.n > 2 && inside.p[0] >= '0' && inside.p[0] <= '9';
	return digit && (memchr(inside.p, '*', inside.n) != NULL || memchr(inside.p, '+', inside.n) != NULL)
		       ? WAF_BIT(WAF_TEMPLATE)
		       : 0;
}

static uint64_t look_at_words(struct slice t)
{
	static const struct {
		const char *text;
		enum waf_rule_index rule;
	} words[] = {
		{"() {", WAF_SHELLSHOCK},
		{"(){", WAF_SHELLSHOCK},
		{"/dev/tcp/", WAF_SHELL_TRICK},
		{"bash -i", WAF_SHELL_TRICK},
		{"bash -c", WAF_SHELL_TRICK},
		{"/bin/sh -", WAF_SHELL_TRICK},
		{"nc -e", WAF_SHELL_TRICK},
		{"cmd.exe /c", WAF_SHELL_TRICK},
		{"cmd /c", WAF_SHELL_TRICK},
		{"powershell -e", WAF_SHELL_TRICK},
		{"powershell.exe -", WAF_SHELL_TRICK},
		{"%comspec%", WAF_SHELL_TRICK},
		{"base64 -d|", WAF_SHELL_TRICK},
		{"base64 -d |", WAF_SHELL_TRICK},
		{"{cat,", WAF_SHELL_TRICK},
		{"{ls,", WAF_SHELL_TRICK},
		{"{curl,", WAF_SHELL_TRICK},
		{"{ping,", WAF_SHELL_TRICK},
		{"shell_exec(", WAF_PHP},
		{"passthru(", WAF_PHP},
		{"proc_open(", WAF_PHP},
		{"system($_", WAF_PHP},
		{"eval($_", WAF_PHP},
		{"assert($_", WAF_PHP},
		{"base64_decode($_", WAF_PHP},
		{"phpinfo()", WAF_PHP},
		{"allow_url_include", WAF_PHP},
		{"auto_prepend_file", WAF_PHP},
		{"call_user_func", WAF_PHP},
		{"eval(base64_decode", WAF_PHP},
		{"<?php", WAF_PHP_TAG},
		{"<?=", WAF_PHP_TAG},
		{"file_get_contents('/", WAF_PHP},
		{"java.lang.runtime", WAF_JAVA},
		{"getruntime(", WAF_JAVA},
		{"java.lang.processbuilder", WAF_JAVA},
		{"class.module.classloader", WAF_JAVA},
		{"ro0abx", WAF_JAVA},
		{"aced0005", WAF_JAVA},
		{"%{(#", WAF_JAVA},
		{"@ognl", WAF_JAVA},
		{"#_memberaccess", WAF_JAVA},
		{"javax.naming", WAF_JAVA},
		{"com.sun.rowset", WAF_JAVA},
		{"t(java.lang", WAF_JAVA},
		{"javax.script.scriptengine", WAF_JAVA},
		{"child_process", WAF_NODE},
		{"process.mainmodule", WAF_NODE},
		{"__proto__", WAF_NODE},
		{"constructor.prototype", WAF_NODE},
		{"constructor[prototype", WAF_NODE},
		{"process.binding", WAF_NODE},
		{"_$$nd_func$$_", WAF_NODE},
		{"__import__(", WAF_PYTHON},
		{"os.popen(", WAF_PYTHON},
		{"__globals__", WAF_PYTHON},
		{"__subclasses__", WAF_PYTHON},
		{"__builtins__", WAF_PYTHON},
		{"__class__", WAF_PYTHON},
		{"!!python/object", WAF_PYTHON},
		{"cos\nsystem", WAF_PYTHON},
		{"xi:include", WAF_XXE},
	};
	uint64_t found = 0;
	struct waf_chars chars = ms_waf_chars(t);
	for (size_t i = 0; i < MS_ARRAY_LEN(words); i++)
		found |= ms_waf_may_have(&chars, words[i].text) && ms_waf_has(t, words[i].text) ? WAF_BIT(words[i].rule)
												: 0;
	bool calls = ms_waf_has(t, "system(") || ms_waf_has(t, "exec(") || ms_waf_has(t, "eval(") ||
		     ms_waf_has(t, "include(");
	if ((found & WAF_BIT(WAF_PHP_TAG)) != 0 && calls)
		found |= WAF_BIT(WAF_PHP);
	if (ms_waf_has(t, "<!entity") || (ms_waf_has(t, "<!doctype") && ms_waf_has(t, "system \"")))
		found |= WAF_BIT(WAF_XXE);
	return found;
}

uint64_t ms_waf_commands(struct slice t)
{
	uint64_t found = 0;
	size_t separators = 0, pipes = 0;
	bool special = false;
	for (size_t i = 0; i < t.n; i++) {
		separators += t.p[i] == ';' || t.p[i] == '|' || t.p[i] == '&';
		pipes += t.p[i] == '|';
		special |= strchr("(){}<_.$/%&#;|`", t.p[i]) != NULL && t.p[i] != '\0';
	}
	if (ms_waf_has(t, "ro0abx"))
		found |= WAF_BIT(WAF_JAVA);
	if (!special && memchr(t.p, '\n', t.n) == NULL)
		return found;
	for (size_t i = 0; i < t.n; i++) {
		char c = t.p[i];
		if (c == ';' || c == '|' || c == '&')
			found |= look_at_separator(t, i, separators, pipes >= 3 && c == '|');
		else if (c == '\n' && i + 1 < t.n && separators == 0 && t.n < 200 &&
			 memchr(t.p + i + 1, '\n', t.n - i - 1) == NULL)
			found |= look_at_separator(t, i, 1, false);
		else if (c == '`')
			found |= look_at_backquote(t, i);
		else if (c == '$')
			found |= look_at_dollar(t, i);
		else if (c == '{' && ms_waf_at(t, i, "{{"))
			found |= look_at_template(t, i, "}}");
		else if (c == '{' && ms_waf_at(t, i, "{%"))
			found |= look_at_template(t, i, "%}");
		else if (c == '<' && ms_waf_at(t, i, "<%"))
			found |= look_at_template(t, i, "%>");
		else if (c == '#' && ms_waf_at(t, i, "#{"))
			found |= look_at_template(t, i, "}");
	}
	return found | look_at_words(t);
}
