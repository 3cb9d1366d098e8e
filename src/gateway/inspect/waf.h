// SPDX-License-Identifier: Apache-2.0
// Private to gateway. A small web application firewall: looks into path, query, headers, cookies and body, decodes as backends do, and adds up what rules
// find. Linear in the text: tokens and fixed words, no expressions that backtrack.
#ifndef MS_GATEWAY_INSPECT_WAF_H
#define MS_GATEWAY_INSPECT_WAF_H

#include "base/base.h"
#include "net/net.h"
#include "json/json.h"

enum waf_severity { WAF_NOTICE = 2, WAF_WARNING = 3, WAF_ERROR = 4, WAF_CRITICAL = 5 }; // and what it adds to the score
enum waf_phase { WAF_HEAD = 1, WAF_BODY = 2, WAF_BOTH = 3 };
enum waf_rule_index {
#define WAF_RULE(index, id, name, severity, level, phase, description) index,
#include "gateway/inspect/waf_rules.def"
#undef WAF_RULE
	WAF_RULE_COUNT
};
struct waf_rule {
	unsigned id;
	const char *name;
	enum waf_severity severity;
	unsigned level; // of paranoia, from which it is on
	enum waf_phase phase;
	const char *description;
};
extern const struct waf_rule ms_waf_rules[WAF_RULE_COUNT];
_Static_assert(WAF_RULE_COUNT <= 64, "a set of rules is one word");
#define WAF_BIT(rule) ((uint64_t)1 << (rule))
// By id ("5001") or name ("sql-tautology"); WAF_RULE_COUNT: unknown.
enum waf_rule_index ms_waf_rule_find(struct slice id_or_name);

enum waf_in { WAF_IN_ANY, WAF_IN_PATH, WAF_IN_QUERY, WAF_IN_HEADER, WAF_IN_COOKIE, WAF_IN_BODY };
struct waf_exclusion {
	uint64_t rules; // not these
	enum waf_in in;
	struct slice
		name; // of the parameter, header, cookie, form field, or a body's JSON pointer; "a*": all that start so; empty: all
};
struct waf_settings {
	unsigned level; // 1 to 4
	uint64_t disabled;
	const struct waf_exclusion *exclusions;
	size_t exclusion_count;
	size_t text_max; // bytes of text that are looked into; 0: 1 MiB
};
struct waf_request {
	struct slice path, query; // as received
	const struct http_header *headers;
	size_t header_count;
	struct slice body; // p NULL: not there, or not to be looked into
};
struct waf_hit {
	enum waf_rule_index rule;
	enum waf_in in;
	struct slice name;
};
#define MS_WAF_HITS_MAX 32
struct waf_report {
	unsigned score; // each rule counts once
	uint64_t rules;
	struct waf_hit hits[MS_WAF_HITS_MAX];
	size_t hit_count;
};
// MS_ERR_NO_MEMORY: the arena is full.
MS_MUST_USE enum ms_err ms_waf_inspect(const struct waf_settings *settings, const struct waf_request *request,
				       struct arena *arena, struct waf_report *ret_report);

// --- The parts (for tests) -------------------------------------------------------------------------------------------

enum {
	WAF_SAW_NULL = 1,
	WAF_SAW_OVERLONG = 2,
	WAF_SAW_BAD_UTF8 = 4,
	WAF_SAW_BAD_ESCAPE = 8,
	WAF_SAW_DOUBLE = 16, // percent encoding under percent encoding
};
enum waf_decode { WAF_PLAIN, WAF_PERCENT, WAF_FORM }; // FORM: '+' is a space
// Lower case, escapes undone (percent, %u, HTML, \u and \x) again and again up to three times, odd spaces and widths made plain.
// p NULL: the arena is full.
struct slice ms_waf_normal(struct slice text, enum waf_decode decode, struct arena *arena, unsigned *ret_saw);
// Rules that a normal text meets.
uint64_t ms_waf_sql(struct slice text, struct arena *arena, bool *ret_memory);
uint64_t ms_waf_script(struct slice text);
uint64_t ms_waf_files(struct slice text, bool is_path);
uint64_t ms_waf_commands(struct slice text);

// Helpers on normal text.
static inline bool ms_waf_is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || (c & 0x80) != 0;
}
// First place of `word` at or behind `from`; text.n: none.
size_t ms_waf_find(struct slice text, const char *word, size_t from);
// Which ASCII characters a text holds: most words are ruled out by that alone.
struct waf_chars {
	uint64_t bits[2];
};
static inline struct waf_chars ms_waf_chars(struct slice text)
{
	struct waf_chars c = {{0}};
	for (size_t i = 0; i < text.n; i++)
		c.bits[(text.p[i] & 0x7f) >> 6] |= (uint64_t)1 << (text.p[i] & 0x3f);
	return c;
}
static inline bool ms_waf_may_have(const struct waf_chars *c, const char *word)
{
	for (; *word != '\0'; word++) {
		if ((c->bits[(*word & 0x7f) >> 6] >> (*word & 0x3f) & 1) == 0)
			return false;
	}
	return true;
}
static inline bool ms_waf_has(struct slice text, const char *word)
{
	return ms_waf_find(text, word, 0) < text.n;
}
static inline bool ms_waf_at(struct slice text, size_t at, const char *word)
{
	size_t n = strlen(word);
	return at <= text.n && text.n - at >= n && memcmp(text.p + at, word, n) == 0;
}

#endif
