// SPDX-License-Identifier: Apache-2.0
// Markup and scripts in a value (normal text: small letters, entities undone).
#include "gateway/inspect/waf.h"

#define TAG_MAX 1500
#define SPACES_MAX 200 // in a row; each look is bounded, so that the whole is linear

// Beginnings of the names of events, behind "on".
static const char *const events[] = {
	"abort",          "activate",    "afterprint", "animation",  "auxclick",   "before",   "begin",
	"blur",           "bounce",      "cancel",     "canplay",    "change",     "click",    "close",
	"contextmenu",    "copy",        "cuechange",  "cut",        "dblclick",   "drag",     "drop",
	"durationchange", "emptied",     "end",        "error",      "fetch",      "finish",   "focus",
	"formdata",       "fullscreen",  "gotpointer", "hashchange", "input",      "invalid",  "key",
	"load",           "lostpointer", "message",    "mouse",      "offline",    "online",   "page",
	"paste",          "pause",       "play",       "pointer",    "popstate",   "progress", "propertychange",
	"ratechange",     "readystate",  "repeat",     "reset",      "resize",     "scroll",   "search",
	"securitypolicy", "seek",        "select",     "show",       "slotchange", "stalled",  "start",
	"storage",        "submit",      "suspend",    "timeupdate", "toggle",     "touch",    "transition",
	"unhandled",      "unload",      "visibility", "volume",     "waiting",    "webkit",   "wheel",
};

static bool is_letter(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_space(char c)
{
	return c == ' ' || c == '\n' || c == '\r';
}

static size_t skip_spaces(struct slice t, size_t i)
{
	for (size_t end = i + SPACES_MAX; i < end && i < t.n && is_space(t.p[i]);)
		i++;
	return i;
}

// "onclick =" at i.
static bool is_event(struct slice t, size_t i)
{
	if (!ms_waf_at(t, i, "on"))
		return false;
	size_t end = i + 2;
	while (end < t.n && end - i <= 30 && is_letter(t.p[end]))
		end++;
	size_t sign = skip_spaces(t, end);
	if (sign >= t.n || t.p[sign] != '=' || end - i > 30)
		return false;
	for (size_t k = 0; k < MS_ARRAY_LEN(events); k++) {
		if (ms_waf_at(t, i + 2, events[k]))
			return true;
	}
	return false;
}

static bool is_url_start(struct slice t, size_t i)
{
	return i == 0 || strchr(" '\"`=(<>\n,:", t.p[i - 1]) != NULL;
}

// Code behind "javascript:": a call, or something odd at once. Prose goes on with words.
static bool is_script_code(struct slice t, size_t i)
{
	i = skip_spaces(t, i);
	size_t end = MS_MIN(t.n, i + 120);
	if (i < t.n && strchr("/*'\"`\\%;!+-([{", t.p[i]) != NULL) {
		for (size_t k = i; k < end; k++) {
			if (t.p[k] == '(' || t.p[k] == '`' || t.p[k] == '=')
				return true;
		}
		return false;
	}
	size_t name = i;
	while (i < end && (ms_waf_is_word(t.p[i]) || t.p[i] == '.' || t.p[i] == '$'))
		i++;
	return i > name && i < t.n && strchr("(`[=", t.p[i]) != NULL;
}

// Letters of a scheme may have spaces and line breaks between them: browsers take them out.
static size_t scheme_at(struct slice t, size_t i, const char *scheme)
{
	for (size_t end = i + SPACES_MAX; *scheme != '\0'; scheme++, i++) {
		while (i < t.n && i < end &&
		       (t.p[i] == '\n' || t.p[i] == '\r' || (unsigned char)t.p[i] < ' ' ||
			(t.p[i] == ' ' && scheme[1] != '\0')))
			i++;
		if (i >= t.n || t.p[i] != *scheme)
			return 0;
	}
	return i;
}

static uint64_t look_at_scheme(struct slice t, size_t i)
{
	if (!is_url_start(t, i))
		return 0;
	size_t end = t.p[i] == 'j' ? scheme_at(t, i, "javascript:") : t.p[i] == 'v' ? scheme_at(t, i, "vbscript:") : 0;
	if (end != 0 && is_script_code(t, end))
		return WAF_BIT(WAF_SCRIPT_URL);
	return ms_waf_at(t, i, "data:text/html") || ms_waf_at(t, i, "data:image/svg+xml,<") ? WAF_BIT(WAF_SCRIPT_URL)
											    : 0;
}

static bool is_tag(struct slice t, size_t i, const char *name)
{
	size_t n = strlen(name);
	return ms_waf_at(t, i, name) && (i + n >= t.n || !(ms_waf_is_word(t.p[i + n]) || t.p[i + n] == '-'));
}

// An element at '<': its name, then its attributes up to '>'.
static uint64_t look_at_tag(struct slice t, size_t i)
{
	static const char *const active[] = {"iframe", "object", "embed", "applet", "base", "frameset", "frame", NULL};
	static const char *const attributes[] = {"srcdoc", "formaction", "xlink:href=\"javascript", "http-equiv", NULL};
	uint64_t found = 0;
	size_t name = i + 1;
	while (name < t.n && name < i + SPACES_MAX && (t.p[name] == '/' || is_space(t.p[name])))
		name++;
	if (name >= t.n || !(is_letter(t.p[name]) || t.p[name] == '?' || t.p[name] == '!') ||
	    (is_space(t.p[i + 1]) && !is_tag(t, name, "script")))
		return 0;
	size_t colon = name;
	while (colon < t.n && colon < name + 32 && is_letter(t.p[colon]))
		colon++;
	if (colon < t.n && t.p[colon] == ':') // <svg:script>
		name = colon + 1;
	if (is_tag(t, name, "script") || is_tag(t, name, "xss"))
		found |= WAF_BIT(WAF_SCRIPT_TAG);
	for (size_t k = 0; active[k] != NULL; k++)
		found |= is_tag(t, name, active[k]) ? WAF_BIT(WAF_ACTIVE_TAG) : 0;
	size_t end = MS_MIN(t.n, name + TAG_MAX);
	for (size_t k = name; k < end && t.p[k] != '>'; k++) {
		if (t.p[k] == '<' && k > name && k > name + 200) // the next one is looked at by itself
			break;
		bool starts = k > name && !is_letter(t.p[k - 1]);
		if (starts && t.p[k] == 'o' && is_event(t, k))
			found |= WAF_BIT(WAF_EVENT_HANDLER);
		for (size_t a = 0; starts && attributes[a] != NULL; a++)
			found |= ms_waf_at(t, k, attributes[a]) ? WAF_BIT(WAF_DANGEROUS_ATTRIBUTE) : 0;
		if (starts && ms_waf_at(t, k, "style") &&
		    (ms_waf_has(ms_slice_sub(t, k, 300), "expression(") ||
		     ms_waf_has(ms_slice_sub(t, k, 300), "-moz-binding")))
			found |= WAF_BIT(WAF_DANGEROUS_ATTRIBUTE);
	}
	return found | WAF_BIT(WAF_MARKUP);
}

// Names that attacks call; `args`: what must stand behind.
static bool is_call(struct slice t, size_t i)
{
	static const char *const names[] = {"alert",      "prompt",      "confirm",  "eval", "fetch", "import",
					    "settimeout", "setinterval", "function", "atob", "print", NULL};
	static const char *const objects[] = {"document",   "window",   "self", "top",    "parent",
					      "globalthis", "location", "this", "frames", NULL};
	for (size_t k = 0; names[k] != NULL; k++) {
		size_t end = i + strlen(names[k]);
		if (ms_waf_at(t, i, names[k]) && end < t.n && (t.p[end] == '(' || t.p[end] == '`'))
			return true;
	}
	for (size_t k = 0; objects[k] != NULL; k++) {
		size_t end = i + strlen(objects[k]);
		if (ms_waf_at(t, i, objects[k]) && end < t.n &&
		    (t.p[end] == '[' || (t.p[end] == '.' && end + 1 < t.n && is_letter(t.p[end + 1]))))
			return true;
	}
	return false;
}

// ';alert(1)// and "-alert(1)-": the first quote of the text or one right at its start.
static uint64_t look_at_breakout(struct slice t, size_t i, bool first)
{
	uint64_t found = 0;
	size_t k = i + 1;
	size_t spaces = skip_spaces(t, k);
	while (spaces < t.n && spaces < i + SPACES_MAX &&
	       (t.p[spaces] == '/' || is_space(t.p[spaces]) || t.p[spaces] == '>'))
		spaces++;
	for (int words = 0; first && spaces > k && words < 4; words++) { // " autofocus onfocus=
		if (is_event(t, spaces))
			found |= WAF_BIT(WAF_EVENT_HANDLER);
		size_t end = spaces;
		while (end < t.n && end < spaces + 20 && is_letter(t.p[end]))
			end++;
		spaces = end > spaces && end < t.n && is_space(t.p[end]) ? skip_spaces(t, end) : t.n;
	}
	bool sign = false;
	while (k < t.n && k < i + 16 && strchr(";-+*/,)}]&|^?:> \n", t.p[k]) != NULL) {
		sign |= strchr(";-+*/^|&?", t.p[k]) != NULL;
		k++;
	}
	if (first && sign && is_call(t, k))
		found |= WAF_BIT(WAF_SCRIPT_BREAKOUT);
	return found;
}

uint64_t ms_waf_script(struct slice t)
{
	static const char *const calls[] = {"alert(",
					    "prompt(",
					    "confirm(1",
					    "document.cookie",
					    "document.domain",
					    "document.write(",
					    "string.fromcharcode",
					    "innerhtml",
					    "onerror=",
					    "window.location",
					    NULL};
	uint64_t found = 0;
	unsigned quotes = 0;
	bool specials = false;
	for (size_t i = 0; i < t.n; i++) {
		char c = t.p[i];
		specials |= c == '(' || c == '=' || c == '.';
		if (c == '<')
			found |= look_at_tag(t, i);
		else if ((c == 'j' || c == 'v' || c == 'd'))
			found |= look_at_scheme(t, i);
		else if (c == '\'' || c == '"' || c == '`')
			found |= look_at_breakout(t, i, quotes++ % 2 == 0 || (i > 0 && t.p[i - 1] == '\\'));
	}
	struct waf_chars chars = ms_waf_chars(t);
	for (size_t k = 0; specials && calls[k] != NULL; k++)
		found |= ms_waf_may_have(&chars, calls[k]) && ms_waf_has(t, calls[k]) ? WAF_BIT(WAF_SCRIPT_CALL) : 0;
	return found;
}
