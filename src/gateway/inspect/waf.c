// SPDX-License-Identifier: Apache-2.0
#include "gateway/inspect/waf.h"

#define TEXT_MAX ((size_t)1 << 20)
#define RANGES_MAX 10

const struct waf_rule ms_waf_rules[WAF_RULE_COUNT] = {
#define NOTICE WAF_NOTICE
#define WARNING WAF_WARNING
#define ERROR WAF_ERROR
#define CRITICAL WAF_CRITICAL
#define HEAD WAF_HEAD
#define BODY WAF_BODY
#define BOTH WAF_BOTH
#define WAF_RULE(index, rule_id, rule_name, rule_severity, rule_level, rule_phase, words) \
	[index] = {.id = rule_id,                                                         \
		   .name = rule_name,                                                     \
		   .severity = rule_severity,                                             \
		   .level = rule_level,                                                   \
		   .phase = rule_phase,                                                   \
		   .description = words},
#include "gateway/inspect/waf_rules.def"
#undef WAF_RULE
};

enum waf_rule_index ms_waf_rule_find(struct slice id_or_name)
{
	uint64_t id = 0;
	bool number = ms_slice_to_u64(id_or_name, &id);
	size_t i = 0;
	while (i < WAF_RULE_COUNT &&
	       (number ? ms_waf_rules[i].id != id : !ms_slice_eq_cstr(id_or_name, ms_waf_rules[i].name)))
		i++;
	return (enum waf_rule_index)i;
}

struct waf {
	const struct waf_settings *settings;
	struct arena *arena;
	struct waf_report *report;
	uint64_t on; // rules of this level that are not disabled
	size_t text; // left
	bool no_memory;
};

static bool name_fits(struct slice pattern, struct slice name)
{
	if (pattern.n == 0)
		return true;
	if (pattern.p[pattern.n - 1] != '*')
		return ms_slice_eq_nocase(pattern, name);
	struct slice start = ms_slice_sub(pattern, 0, pattern.n - 1);
	return name.n >= start.n && ms_slice_eq_nocase(ms_slice_sub(name, 0, start.n), start);
}

static void report(struct waf *w, uint64_t rules, enum waf_in in, struct slice name)
{
	rules &= w->on;
	for (size_t i = 0; rules != 0 && i < w->settings->exclusion_count; i++) {
		const struct waf_exclusion *e = &w->settings->exclusions[i];
		if ((e->in == WAF_IN_ANY || e->in == in) && name_fits(e->name, name))
			rules &= ~e->rules;
	}
	for (unsigned i = 0; rules != 0 && i < WAF_RULE_COUNT; i++) {
		if ((rules & WAF_BIT(i)) == 0)
			continue;
		if ((w->report->rules & WAF_BIT(i)) == 0)
			w->report->score += ms_waf_rules[i].severity;
		w->report->rules |= WAF_BIT(i);
		if (w->report->hit_count < MS_WAF_HITS_MAX)
			w->report->hits[w->report->hit_count++] = (struct waf_hit){(enum waf_rule_index)i, in, name};
	}
}

static uint64_t from_decoding(unsigned saw)
{
	uint64_t rules = 0;
	rules |= saw & WAF_SAW_NULL ? WAF_BIT(WAF_NULL_BYTE) : 0;
	rules |= saw & WAF_SAW_OVERLONG ? WAF_BIT(WAF_OVERLONG_UTF8) : 0;
	rules |= saw & WAF_SAW_BAD_UTF8 ? WAF_BIT(WAF_BAD_UTF8) : 0;
	rules |= saw & WAF_SAW_BAD_ESCAPE ? WAF_BIT(WAF_BAD_ESCAPE) : 0;
	rules |= saw & WAF_SAW_DOUBLE ? WAF_BIT(WAF_DOUBLE_ENCODING) : 0;
	return rules;
}

// A line break and the name of a header: in what may come to stand in the head of an answer.
static uint64_t look_for_splitting(struct slice t)
{
	static const char *const names[] = {
		"set-cookie:", "location:",          "content-type:",     "content-length:", "http/1.",
		"refresh:",    "transfer-encoding:", "x-xss-protection:", "access-control-", NULL};
	for (size_t i = 0; i < t.n; i++) {
		if (t.p[i] != '\n' && t.p[i] != '\r')
			continue;
		for (size_t k = 0; names[k] != NULL; k++) {
			if (!ms_waf_at(t, i + 1, names[k]))
				continue;
			// "Location: Berlin" is a line of a letter.
			struct slice value = ms_slice_trim(ms_slice_sub(t, i + 1 + strlen(names[k]), 100));
			if (*names[k] != 'l' || ms_waf_at(value, 0, "/") || ms_waf_at(value, 0, "http"))
				return WAF_BIT(WAF_SPLITTING);
		}
	}
	return 0;
}

// One text, whatever it may become. Nothing but letters and digits is nothing.
static void look(struct waf *w, struct slice text, enum waf_decode decode, enum waf_in in, struct slice name)
{
	unsigned saw;
	if (text.n == 0 || w->no_memory)
		return;
	if (text.n > w->text) {
		report(w, WAF_BIT(WAF_TOO_LONG), in, name);
		text.n = w->text;
	}
	w->text -= text.n;
	bool only_words = true;
	for (size_t i = 0; i < text.n && only_words; i++) {
		char lower = (char)(text.p[i] | 0x20);
		only_words = (lower >= 'a' && lower <= 'z') || (text.p[i] >= '0' && text.p[i] <= '9');
	}
	if (only_words && !(text.n > 6 && memcmp(text.p, "rO0AB", 5) == 0))
		return;
	struct arena_mark mark = ms_arena_mark(w->arena);
	struct slice t = ms_waf_normal(text, decode, w->arena, &saw);
	bool memory = t.p != NULL;
	uint64_t rules = from_decoding(saw);
	if (t.p != NULL && t.n > 0) {
		bool path = in == WAF_IN_PATH;
		if (!path)
			rules |= ms_waf_sql(t, w->arena, &memory);
		rules |= ms_waf_script(t) | ms_waf_files(t, path);
		if (!path || memchr(t.p, '$', t.n) != NULL || memchr(t.p, '`', t.n) != NULL ||
		    memchr(t.p, '|', t.n) != NULL)
			rules |= ms_waf_commands(t);
		if (in != WAF_IN_BODY)
			rules |= look_for_splitting(t);
		if (path) // quotes and words in paths are rare enough to look at them too
			rules |= memchr(t.p, '\'', t.n) != NULL || memchr(t.p, ' ', t.n) != NULL
					 ? ms_waf_sql(t, w->arena, &memory)
					 : 0;
	}
	w->no_memory |= !memory;
	ms_arena_rewind(w->arena, mark);
	report(w, rules, in, name);
}

// --- Where texts are ----------------------------------------------------------------------------------------------------

static void look_at_name(struct waf *w, struct slice name, enum waf_decode decode, enum waf_in in)
{
	static const char *const operators[] = {"[$", "%5b$", "[%24", "%5b%24", NULL};
	for (size_t k = 0; operators[k] != NULL; k++) {
		for (size_t i = 0; i + strlen(operators[k]) <= name.n; i++) {
			if (ms_slice_eq_nocase(ms_slice_sub(name, i, strlen(operators[k])),
					       ms_slice_cstr(operators[k])))
				report(w, WAF_BIT(WAF_NOSQL), in, name);
		}
	}
	look(w, name, decode, in, name);
}

static void look_at_pairs(struct waf *w, struct slice pairs, enum waf_in in)
{
	struct slice pair, rest = pairs;
	while (pairs.p != NULL && pairs.n > 0 && ms_slice_next(&rest, '&', &pair)) {
		size_t equals = ms_slice_find(pair, '=');
		struct slice name = ms_slice_sub(pair, 0, equals);
		look_at_name(w, name, WAF_FORM, in);
		look(w, ms_slice_sub(pair, equals + 1, pair.n), WAF_FORM, in, name);
	}
}

static void look_at_json(struct waf *w, const struct json_value *v, struct slice name, unsigned depth)
{
	if (v->type == JSON_STRING)
		look(w, v->str, WAF_PLAIN, WAF_IN_BODY, name);
	for (size_t i = 0; v->type == JSON_ARRAY && i < v->array.count; i++)
		look_at_json(w, &v->array.items[i], name, depth + 1);
	for (size_t i = 0; v->type == JSON_OBJECT && i < v->object.count; i++) {
		struct slice key = v->object.members[i].key;
		static const char *const operators[] = {"$ne",    "$gt",    "$gte",      "$lt",     "$lte",
							"$where", "$regex", "$nin",      "$exists", "$or",
							"$and",   "$expr",  "$function", NULL};
		for (size_t k = 0; operators[k] != NULL; k++) {
			if (ms_slice_eq_cstr(key, operators[k]))
				report(w, WAF_BIT(WAF_NOSQL), WAF_IN_BODY, key);
		}
		look(w, key, WAF_PLAIN, WAF_IN_BODY, key);
		look_at_json(w, &v->object.members[i].value, key, depth + 1);
	}
}

static struct slice header_of(const struct waf_request *r, const char *name)
{
	for (size_t i = 0; i < r->header_count; i++) {
		if (ms_slice_eq_nocase(r->headers[i].name, ms_slice_cstr(name)))
			return r->headers[i].value;
	}
	return MS_SLICE_EMPTY;
}

static bool contains_nocase(struct slice text, const char *word)
{
	size_t n = strlen(word);
	for (size_t i = 0; i + n <= text.n; i++) {
		if (ms_slice_eq_nocase(ms_slice_sub(text, i, n), ms_slice(word, n)))
			return true;
	}
	return false;
}

static void look_at_cookies(struct waf *w, struct slice cookies)
{
	struct slice pair;
	while (cookies.p != NULL && ms_slice_next(&cookies, ';', &pair)) {
		pair = ms_slice_trim(pair);
		size_t equals = ms_slice_find(pair, '=');
		struct slice name = ms_slice_sub(pair, 0, equals);
		look(w, name, WAF_PERCENT, WAF_IN_COOKIE, name);
		look(w, ms_slice_sub(pair, equals + 1, pair.n), WAF_PERCENT, WAF_IN_COOKIE, name);
	}
}

static void look_at_agent(struct waf *w, struct slice agent)
{
	static const char *const tools[] = {
		"sqlmap",    "nikto",    "acunetix",    "nessus",      "masscan", "zgrab", "nuclei",  "wpscan",
		"dirbuster", "gobuster", "ffuf/",       "fuzz faster", "w3af",    "havij", "openvas", "nmap scripting",
		"arachni",   "wfuzz",    "feroxbuster", "jorgee",      "commix",  "xsser", NULL};
	if (agent.n == 0)
		report(w, WAF_BIT(WAF_NO_AGENT), WAF_IN_HEADER, MS_SLICE_LIT("User-Agent"));
	for (size_t k = 0; tools[k] != NULL; k++) {
		if (contains_nocase(agent, tools[k]))
			report(w, WAF_BIT(WAF_SCANNER), WAF_IN_HEADER, MS_SLICE_LIT("User-Agent"));
	}
}

// Headers whose grammar the server or other plugins know, and that hold commas, semicolons and words of their own.
static bool is_own_grammar(struct slice name)
{
	static const char *const names[] = {"accept",
					    "accept-encoding",
					    "accept-language",
					    "authorization",
					    "cache-control",
					    "connection",
					    "content-length",
					    "content-type",
					    "cookie",
					    "date",
					    "dnt",
					    "etag",
					    "expect",
					    "if-match",
					    "if-modified-since",
					    "if-none-match",
					    "if-range",
					    "keep-alive",
					    "pragma",
					    "priority",
					    "range",
					    "te",
					    "traceparent",
					    "tracestate",
					    "transfer-encoding",
					    "upgrade",
					    "sec-ch-ua",
					    "sec-ch-ua-full-version-list",
					    "upgrade-insecure-requests",
					    "via",
					    "forwarded",
					    "permissions-policy",
					    NULL};
	for (size_t k = 0; names[k] != NULL; k++) {
		if (ms_slice_eq_nocase(name, ms_slice_cstr(names[k])))
			return true;
	}
	return false;
}

static void look_at_headers(struct waf *w, const struct waf_request *r)
{
	look_at_agent(w, header_of(r, "User-Agent"));
	for (size_t i = 0; i < r->header_count; i++) {
		struct slice name = r->headers[i].name, value = r->headers[i].value;
		if (ms_slice_eq_nocase(name, MS_SLICE_LIT("Cookie")))
			look_at_cookies(w, value);
		if (ms_slice_eq_nocase(name, MS_SLICE_LIT("Proxy")))
			report(w, WAF_BIT(WAF_HTTPOXY), WAF_IN_HEADER, name);
		if (ms_slice_eq_nocase(name, MS_SLICE_LIT("X-HTTP-Method-Override")) ||
		    ms_slice_eq_nocase(name, MS_SLICE_LIT("X-Method-Override")))
			report(w, WAF_BIT(WAF_METHOD_OVERRIDE), WAF_IN_HEADER, name);
		if (ms_slice_eq_nocase(name, MS_SLICE_LIT("Range"))) {
			size_t ranges = 1;
			for (size_t k = 0; k < value.n; k++)
				ranges += value.p[k] == ',';
			report(w, ranges > RANGES_MAX ? WAF_BIT(WAF_MANY_RANGES) : 0, WAF_IN_HEADER, name);
		}
		if (is_own_grammar(name)) { // of these the plainest attacks only
			unsigned saw;
			struct arena_mark mark = ms_arena_mark(w->arena);
			struct slice t =
				value.n > 0 ? ms_waf_normal(value, WAF_PERCENT, w->arena, &saw) : MS_SLICE_EMPTY;
			uint64_t rules = t.n > 0 ? (ms_waf_commands(t) | ms_waf_script(t)) &
							   (WAF_BIT(WAF_JNDI) | WAF_BIT(WAF_SHELLSHOCK) |
							    WAF_BIT(WAF_JAVA) | WAF_BIT(WAF_SCRIPT_TAG))
						 : 0;
			ms_arena_rewind(w->arena, mark);
			report(w, rules, WAF_IN_HEADER, name);
			continue;
		}
		look(w, value, WAF_PERCENT, WAF_IN_HEADER, name);
	}
}

// --- Bodies ----------------------------------------------------------------------------------------------------------------

static void look_at_json_body(struct waf *w, struct slice body)
{
	const struct json_value *value;
	struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
	limits.reject_duplicates = false; // a second key is looked at as well
	enum ms_err err = ms_json_parse(body, &limits, w->arena, NULL, &value);
	if (err == MS_OK)
		look_at_json(w, value, MS_SLICE_LIT("json"), 0);
	else if (err == MS_ERR_NO_MEMORY || err == MS_ERR_LIMIT)
		w->no_memory = true;
	else
		report(w, WAF_BIT(WAF_UNREADABLE_BODY), WAF_IN_BODY, MS_SLICE_EMPTY);
}

// Parts between the boundary's lines: their heads (file names) and, of those that are no files, their texts.
static void look_at_multipart(struct waf *w, struct slice body, struct slice type)
{
	size_t at = ms_waf_find(type, "boundary=", 0);
	struct slice boundary = ms_slice_sub(type, at + 9, type.n);
	boundary = ms_slice_sub(boundary, 0, ms_slice_find(boundary, ';'));
	if (boundary.n > 1 && boundary.p[0] == '"')
		boundary = ms_slice_sub(boundary, 1, boundary.n - 2);
	char line[80];
	if (at == type.n || boundary.n == 0 || boundary.n > 70) {
		report(w, WAF_BIT(WAF_UNREADABLE_BODY), WAF_IN_BODY, MS_SLICE_EMPTY);
		return;
	}
	memcpy(line, "--", 2);
	memcpy(line + 2, boundary.p, boundary.n);
	line[2 + boundary.n] = '\0';
	for (size_t i = ms_waf_find(body, line, 0); i < body.n;) {
		size_t start = i + 2 + boundary.n, end = ms_waf_find(body, line, start);
		struct slice part = ms_slice_sub(body, start, end - start);
		size_t head_end = ms_waf_find(part, "\r\n\r\n", 0);
		struct slice head = ms_slice_sub(part, 0, head_end);
		look(w, ms_slice_sub(head, ms_waf_find(head, "filename", 0), head.n), WAF_PLAIN, WAF_IN_BODY,
		     MS_SLICE_LIT("filename"));
		bool file = contains_nocase(head, "filename") && !contains_nocase(head, "content-type: text/");
		if (!file)
			look(w, ms_slice_sub(part, head_end + 4, part.n), WAF_PLAIN, WAF_IN_BODY, MS_SLICE_LIT("part"));
		i = end;
	}
}

static void look_at_body(struct waf *w, struct slice body, struct slice type)
{
	if (contains_nocase(type, "json"))
		look_at_json_body(w, body);
	else if (contains_nocase(type, "x-www-form-urlencoded"))
		look_at_pairs(w, body, WAF_IN_BODY);
	else if (contains_nocase(type, "multipart/"))
		look_at_multipart(w, body, type);
	else if (type.n == 0 || contains_nocase(type, "text/") || contains_nocase(type, "xml") ||
		 contains_nocase(type, "graphql"))
		look(w, body, WAF_PLAIN, WAF_IN_BODY, MS_SLICE_LIT("body"));
}

enum ms_err ms_waf_inspect(const struct waf_settings *settings, const struct waf_request *request, struct arena *arena,
			   struct waf_report *ret_report)
{
	struct waf w = {.settings = settings,
			.arena = arena,
			.report = ret_report,
			.text = settings->text_max > 0 ? settings->text_max : TEXT_MAX};
	unsigned level = settings->level > 0 ? settings->level : 1;
	*ret_report = (struct waf_report){0};
	for (unsigned i = 0; i < WAF_RULE_COUNT; i++)
		w.on |= ms_waf_rules[i].level <= level ? WAF_BIT(i) : 0;
	w.on &= ~settings->disabled;
	look(&w, request->path, WAF_PERCENT, WAF_IN_PATH, MS_SLICE_EMPTY);
	look_at_pairs(&w, request->query, WAF_IN_QUERY);
	look_at_headers(&w, request);
	if (request->body.n > 0)
		look_at_body(&w, request->body, header_of(request, "Content-Type"));
	return w.no_memory ? MS_ERR_NO_MEMORY : MS_OK;
}
