// SPDX-License-Identifier: Apache-2.0
// One event to one line. Everything that is written comes from the caller's stack to a buffer of fixed size: what does
// not fit is cut, and the line stays well-formed.
#include <math.h>
#include <stdio.h>

#include "observe/internal.h"

#define REDACTED "[redacted]"
// Room that is kept for what ends a line: the longer of the two markers.
#define TAIL_ROOM ((size_t)40)
// A value leaves this much for the fields behind it, unless the line is nearly full anyway.
#define MESSAGE_MAX ((size_t)2048)
#define VALUE_MAX ((size_t)4096)

// Bytes of a text that are looked at; more cannot show, whatever redaction removes.
#define SCAN_MAX ((size_t)65536)

#define BOLD_RED "\033[1;31m"
#define YELLOW "\033[33m"
#define GREEN "\033[32m"
#define DIM "\033[2m"
#define PLAIN "\033[0m"

static const struct {
	const char *name, *label, *colour;
} levels[] = {
	[LOG_TRACE] = {"trace", "TRACE", DIM},      [LOG_DEBUG] = {"debug", "DEBUG", DIM},
	[LOG_INFO] = {"info", "INFO ", GREEN},      [LOG_WARN] = {"warn", "WARN ", YELLOW},
	[LOG_ERROR] = {"error", "ERROR", BOLD_RED},
};

struct line {
	char *p;
	size_t n;
	size_t end; // bytes that may be used, without the tail
	bool cut;
};

// --- Redaction ---------------------------------------------------------------------------------------

// By first letter, lower case, without separators: "X-Api-Key", "api_key" and "apiKey" are all found by "apikey".
#define LETTER(c) ((c) - 'a')
static const char *const secret_words[26][6] = {
	[LETTER('a')] = {"authorization", "apikey", "accesskey"},
	[LETTER('c')] = {"cookie", "credential"},
	[LETTER('e')] = {"encryptionkey"},
	[LETTER('k')] = {"keymaterial"},
	[LETTER('m')] = {"masterkey"},
	[LETTER('p')] = {"password", "passwd", "passphrase", "privatekey"},
	[LETTER('s')] = {"secret", "secretkey", "sessionid", "signature", "signingkey"},
	[LETTER('t')] = {"token"},
};

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool is_separator(char c)
{
	return c == '.' || c == '_' || c == '-';
}

// The name goes on with the word at its start; `ret_last`: nothing but a plural s follows.
static bool starts_with_word(struct slice name, const char *word, bool *ret_last)
{
	size_t i = 0;
	for (; *word != '\0'; i++) {
		if (i == name.n)
			return false;
		if (is_separator(name.p[i]))
			continue;
		if (lower(name.p[i]) != *word++)
			return false;
	}
	*ret_last = i == name.n || (i + 1 == name.n && lower(name.p[i]) == 's');
	return true;
}

static bool names_secret(struct slice name, bool only_at_end)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = lower(name.p[i]);
		if (c < 'a' || c > 'z')
			continue;
		for (const char *const *word = secret_words[LETTER(c)]; *word != NULL; word++) {
			bool last;
			if (starts_with_word(ms_slice_sub(name, i, name.n), *word, &last) && (last || !only_at_end))
				return true;
		}
	}
	return false;
}

static bool ends_url(char c)
{
	return (unsigned char)c <= ' ' || c == '"' || c == '\'' || c == '<' || c == '>' || c == 0x7f;
}

// Bytes up to the first of `stops` or the end of the URL.
static size_t url_part(struct slice s, const char *stops)
{
	size_t n = 0;
	while (n < s.n && !ends_url(s.p[n]) && strchr(stops, s.p[n]) == NULL)
		n++;
	return n;
}

// Bytes of a quoted value with its quotes; all when the second is missing.
static size_t quoted_part(struct slice s)
{
	size_t n = ms_slice_find(ms_slice_sub(s, 1, s.n), s.p[0]) + 2;
	return MS_MIN(n, s.n);
}

// Where the name of a "name=value" may start: a query, a connection string, a list of settings.
static bool starts_name(struct slice text, size_t i)
{
	return i == 0 || strchr("?& ;,", text.p[i - 1]) != NULL;
}

// Finds the next credential in `text`: [*ret_from, *ret_to).
static bool find_credential(struct slice text, size_t *ret_from, size_t *ret_to)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == ':' && i + 2 < text.n && text.p[i + 1] == '/' && text.p[i + 2] == '/') {
			struct slice authority = ms_slice_sub(text, i + 3, text.n);
			authority.n = url_part(authority, "/?#");
			const char *at = authority.n > 0 ? memrchr(authority.p, '@', authority.n) : NULL;
			if (at == NULL || at == authority.p)
				continue;
			*ret_from = i + 3;
			*ret_to = (size_t)(at - text.p);
			return true;
		}
		if (!starts_name(text, i))
			continue;
		struct slice name = ms_slice_sub(text, i, text.n);
		name.n = url_part(name, "=&#?;,");
		size_t value_at = i + name.n + 1;
		if (value_at >= text.n || text.p[value_at - 1] != '=' || !names_secret(name, false))
			continue;
		struct slice value = ms_slice_sub(text, value_at, text.n);
		value.n = value.p[0] == '"' || value.p[0] == '\'' ? quoted_part(value) : url_part(value, "&#;");
		*ret_from = value_at;
		*ret_to = value_at + value.n;
		if (value.n > 0)
			return true;
	}
	return false;
}

// --- Pieces ------------------------------------------------------------------------------------------

static size_t room(const struct line *line)
{
	return line->end - line->n;
}

static void put(struct line *line, const char *text)
{
	size_t n = strlen(text);
	if (n > room(line)) {
		line->cut = true;
		return;
	}
	memcpy(line->p + line->n, text, n);
	line->n += n;
}

// Escaped, at most `max` bytes; a cut shows as an ellipsis. False when cut.
static bool put_escaped(struct line *line, struct slice text, size_t max)
{
	static const char ellipsis[] = "\xe2\x80\xa6";
	size_t n = MS_MIN(max, room(line)), taken;
	n = n > sizeof(ellipsis) - 1 ? n - (sizeof(ellipsis) - 1) : 0;
	line->n += ms_text_json_escape(text, line->p + line->n, n, &taken);
	if (taken == text.n)
		return true;
	line->cut = true;
	put(line, ellipsis);
	return false;
}

// The same, credentials of URLs replaced.
static void put_text(struct line *line, struct slice text, size_t max)
{
	size_t start = line->n, from, to;
	if (text.n > SCAN_MAX) {
		line->cut = true;
		text.n = SCAN_MAX;
	}
	// Most texts hold neither of what a credential needs.
	bool may_hold = text.n > 0 && (memchr(text.p, '=', text.n) != NULL || memmem(text.p, text.n, "://", 3) != NULL);
	while (may_hold && find_credential(text, &from, &to)) {
		if (!put_escaped(line, ms_slice_sub(text, 0, from), max - MS_MIN(max, line->n - start)))
			return;
		put(line, REDACTED);
		text = ms_slice_sub(text, to, text.n);
	}
	put_escaped(line, text, max - MS_MIN(max, line->n - start));
}

static void put_number(struct line *line, const struct log_field *field, bool json)
{
	char text[NUMBER_SIZE];
	if (field->type == LOG_FIELD_BOOL) {
		put(line, field->i != 0 ? "true" : "false");
		return;
	}
	if (field->type == LOG_FIELD_INT)
		snprintf(text, sizeof(text), "%lld", (long long)field->i);
	else
		ms_format_double(field->f, 15, text);
	bool quote = json && field->type == LOG_FIELD_FLOAT && !isfinite(field->f); // JSON has no such numbers
	put(line, quote ? "\"" : "");
	put(line, text);
	put(line, quote ? "\"" : "");
}

static void put_quoted(struct line *line, const struct log_field *field, bool secret)
{
	put(line, "\"");
	line->end--; // for the closing quote
	if (secret)
		put(line, REDACTED);
	else
		put_text(line, field->str, VALUE_MAX);
	line->end++;
	put(line, "\"");
}

// In the text form a value without blanks and the like stands without quotes.
static bool is_plain_word(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c == '\0' || (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) &&
				  strchr("._:/@+-,%", c) == NULL))
			return false;
	}
	return s.n > 0;
}

// --- Lines -------------------------------------------------------------------------------------------

static void put_json_field(struct line *line, const struct log_field *field)
{
	struct slice key = ms_slice_cstr(field->key);
	bool string = field->type == LOG_FIELD_STR;
	bool secret = names_secret(key, !string);
	// A field is whole or, when it is a string, cut inside its value.
	if (key.n + 2 * NUMBER_SIZE > room(line)) {
		line->cut = true;
		return;
	}
	put(line, ",\"");
	put_escaped(line, key, SIZE_MAX);
	put(line, "\":");
	if (string || secret)
		put_quoted(line, field, secret);
	else
		put_number(line, field, true);
}

static void put_text_field(struct line *line, const struct log_field *field, bool colour)
{
	struct slice key = ms_slice_cstr(field->key);
	bool string = field->type == LOG_FIELD_STR;
	bool secret = names_secret(key, !string);
	if (key.n + 2 * NUMBER_SIZE > room(line)) {
		line->cut = true;
		return;
	}
	put(line, colour ? " " DIM : " ");
	put_escaped(line, key, SIZE_MAX);
	put(line, colour ? "=" PLAIN : "=");
	if (secret)
		put(line, REDACTED);
	else if (!string)
		put_number(line, field, false);
	else if (is_plain_word(field->str))
		put_text(line, field->str, VALUE_MAX);
	else
		put_quoted(line, field, false);
}

static void put_json(struct line *line, const struct log_style *style, const struct log_event *event, const char *time)
{
	put(line, "{\"@timestamp\":\"");
	put(line, time);
	put(line, "\",\"log.level\":\"");
	put(line, levels[event->level].name);
	put(line, "\",\"message\":\"");
	put_text(line, ms_slice_cstr(event->message), MESSAGE_MAX);
	put(line, "\"");
	memcpy(line->p + line->n, style->constants.p, style->constants.n);
	line->n += style->constants.n;
	for (size_t i = 0; i < event->count; i++)
		put_json_field(line, &event->fields[i]);
	line->end = LOG_LINE_MAX;
	put(line, line->cut ? ",\"log.truncated\":true}\n" : "}\n");
}

static void put_readable(struct line *line, const struct log_style *style, const struct log_event *event,
			 const char *time)
{
	bool colour = style->colour;
	put(line, colour ? DIM : "");
	put(line, time);
	put(line, colour ? PLAIN " " : " ");
	put(line, colour ? levels[event->level].colour : "");
	put(line, levels[event->level].label);
	put(line, colour ? PLAIN " " : " ");
	put_text(line, ms_slice_cstr(event->message), MESSAGE_MAX);
	for (size_t i = 0; i < event->count; i++)
		put_text_field(line, &event->fields[i], colour);
	line->end = LOG_LINE_MAX;
	put(line, line->cut ? " [cut]\n" : "\n");
}

size_t ms_log_format(const struct log_style *style, const struct log_event *event, char dst[LOG_LINE_MAX])
{
	MS_ASSERT(style->constants.n < LOG_LINE_MAX / 4);
	struct line line = {.p = dst, .end = LOG_LINE_MAX - TAIL_ROOM};
	char time[MS_RFC3339_SIZE];
	ms_text_rfc3339(event->unix_ns, time);
	if (style->json)
		put_json(&line, style, event, time);
	else
		put_readable(&line, style, event, time);
	return line.n;
}
