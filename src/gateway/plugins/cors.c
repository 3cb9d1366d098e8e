// SPDX-License-Identifier: Apache-2.0
// cors: Cross-Origin Resource Sharing (Fetch standard), preflights answered here.
#include "gateway/plugins/plugins.h"

struct origin {                           // of the configuration, compiled
	const struct gw_pattern *pattern; // NULL: plain
	struct slice text;                // plain: scheme://host[:port] without the scheme's own port, or a host alone
	bool by_host;                     // names no scheme: compared with the host
};
struct config {
	struct text_list origins, headers, exposed_headers, methods;
	int64_t max_age; // -1: not set
	bool credentials, preflight_continue, private_network, allow_origin_absent;
	// compiled
	struct origin *compiled;
	bool any;           // "*", or none named
	struct slice fixed; // the one origin that is named, said to whoever asks
	struct slice methods_text, headers_text, exposed_text, max_age_text;
};
static const struct field fields[] = {
	GW_STRINGS(config, origins, NULL, "Origins that may ask, or PCRE patterns of them; none: all"),
	GW_STRINGS(config, headers, NULL, "Access-Control-Allow-Headers; none: those that were asked for"),
	GW_STRINGS(config, exposed_headers, NULL, "Access-Control-Expose-Headers"),
	GW_STRINGS(config, methods,
		   "[\"GET\",\"HEAD\",\"PUT\",\"PATCH\",\"POST\",\"DELETE\",\"OPTIONS\",\"TRACE\",\"CONNECT\"]",
		   "Access-Control-Allow-Methods"),
	GW_INTEGER(config, max_age, "-1", -1, 2147483647, "Seconds that a preflight may be kept"),
	GW_BOOL(config, credentials, "false", "Access-Control-Allow-Credentials"),
	GW_BOOL(config, private_network, "false", "Access-Control-Allow-Private-Network when asked for"),
	GW_BOOL(config, preflight_continue, "false", "Let the upstream answer preflights"),
	GW_BOOL(config, allow_origin_absent, "true", "Send the headers to requests without Origin, too"),
	{0},
};

// --- Origins -------------------------------------------------------------------------------------------

// Without the port that the scheme has anyway.
static struct slice normal(struct slice origin)
{
	if (ms_slice_starts_with(origin, MS_SLICE_LIT("http://")) && ms_slice_ends_with(origin, MS_SLICE_LIT(":80")))
		return ms_slice_sub(origin, 0, origin.n - 3);
	if (ms_slice_starts_with(origin, MS_SLICE_LIT("https://")) && ms_slice_ends_with(origin, MS_SLICE_LIT(":443")))
		return ms_slice_sub(origin, 0, origin.n - 4);
	return origin;
}

static struct slice host_of(struct slice origin)
{
	for (size_t i = 0; i + 3 <= origin.n; i++) {
		if (memcmp(origin.p + i, "://", 3) == 0) {
			origin = ms_slice_sub(origin, i + 3, origin.n);
			break;
		}
	}
	if (origin.n > 0 && origin.p[0] == '[')
		return ms_slice_sub(origin, 0, ms_slice_find(origin, ']') + 1);
	return ms_slice_sub(origin, 0, ms_slice_find(origin, ':'));
}

static bool is_plain(struct slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
		      c == ':' || c == '/' || c == '-'))
			return false;
	}
	return true;
}

static bool allowed(const struct config *c, struct slice origin)
{
	struct slice plain = normal(origin), host = host_of(origin);
	for (size_t i = 0; i < c->origins.count; i++) {
		const struct origin *o = &c->compiled[i];
		if (o->pattern != NULL ? ms_gw_pattern_matches_all(o->pattern, o->by_host ? host : plain)
				       : ms_slice_eq_nocase(o->text, o->by_host ? host : plain))
			return true;
	}
	return false;
}

// --- Headers -------------------------------------------------------------------------------------------

#define ALLOW_ORIGIN MS_SLICE_LIT("Access-Control-Allow-Origin")

static void put(struct gw_request *r, struct slice name, struct slice value)
{
	MS_IGNORE(ms_gw_header_set(&r->answer.headers, name, value)); // the answer counts more
}

static bool varies_by_origin(const struct gw_headers *headers)
{
	for (size_t i = 0; i < headers->count; i++) {
		struct slice rest = headers->items[i].value, part;
		if (!ms_slice_eq_nocase(headers->items[i].name, MS_SLICE_LIT("Vary")))
			continue;
		while (ms_slice_next(&rest, ',', &part)) {
			if (ms_slice_eq_nocase(ms_slice_trim(part), MS_SLICE_LIT("Origin")))
				return true;
		}
	}
	return false;
}

static void say_origin(struct gw_request *r, const struct config *c)
{
	struct slice origin = ms_gw_request_header(r, "Origin");
	if (!varies_by_origin(&r->answer.headers))
		MS_IGNORE(
			ms_gw_header_add(&r->answer.headers, MS_SLICE_LIT("Vary"), MS_SLICE_LIT("Origin"))); // the same
	if (c->any && (!c->credentials || origin.p == NULL)) {
		put(r, ALLOW_ORIGIN, MS_SLICE_LIT("*"));
		return;
	}
	if (!c->any && c->fixed.n > 0) {
		put(r, ALLOW_ORIGIN, c->fixed);
	} else if (origin.p != NULL && (c->any || allowed(c, origin))) {
		put(r, ALLOW_ORIGIN, origin);
	} else {
		ms_gw_header_remove(&r->answer.headers, ALLOW_ORIGIN);
		if (!c->any) // who is not allowed is not told of credentials either
			return;
	}
	if (c->credentials)
		put(r, MS_SLICE_LIT("Access-Control-Allow-Credentials"), MS_SLICE_LIT("true"));
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	static const char preflight = 1;
	const struct config *c = config;
	struct slice asked = ms_gw_request_header(r, "Access-Control-Request-Headers");
	if (!ms_gw_is_method(r, "OPTIONS") || ms_gw_request_header(r, "Origin").p == NULL ||
	    ms_gw_request_header(r, "Access-Control-Request-Method").p == NULL)
		return GW_NEXT;
	*state = (void *)(uintptr_t)&preflight; // its headers are said already, or are the upstream's business
	if (c->preflight_continue)
		return GW_NEXT;
	ms_gw_answer(r, 200, MS_SLICE_EMPTY, MS_SLICE_EMPTY);
	say_origin(r, c);
	if (c->headers_text.n > 0)
		put(r, MS_SLICE_LIT("Access-Control-Allow-Headers"), c->headers_text);
	else if (asked.p != NULL)
		put(r, MS_SLICE_LIT("Access-Control-Allow-Headers"), asked);
	put(r, MS_SLICE_LIT("Access-Control-Allow-Methods"), c->methods_text);
	if (c->max_age >= 0)
		put(r, MS_SLICE_LIT("Access-Control-Max-Age"), c->max_age_text);
	if (c->private_network &&
	    ms_slice_eq_cstr(ms_gw_request_header(r, "Access-Control-Request-Private-Network"), "true"))
		put(r, MS_SLICE_LIT("Access-Control-Allow-Private-Network"), MS_SLICE_LIT("true"));
	return GW_ANSWERED;
}

static void answer(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	if (*state != NULL || (!c->allow_origin_absent && ms_gw_request_header(r, "Origin").p == NULL))
		return;
	say_origin(r, c);
	if (c->exposed_text.n > 0)
		put(r, MS_SLICE_LIT("Access-Control-Expose-Headers"), c->exposed_text);
}

// --- Configuration ---------------------------------------------------------------------------------------

static bool join(struct plan *plan, const struct text_list *list, struct slice *ret_text)
{
	struct buf text;
	ms_buf_init(&text, 65536);
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			ms_buf_append_char(&text, ',');
		ms_buf_append_slice(&text, list->items[i]);
	}
	*ret_text = ms_buf_ok(&text) ? ms_arena_copy(&plan->arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	bool ok = ret_text->p != NULL && ms_gw_header_value_ok(*ret_text);
	ms_buf_fini(&text);
	return ok;
}

static bool compile_origin(struct plan *plan, struct slice text, const char *path, struct problems *problems,
			   struct origin *ret_origin)
{
	*ret_origin = (struct origin){.text = normal(text), .by_host = ms_slice_find(text, ':') == text.n};
	if (is_plain(text) || ms_slice_eq_cstr(text, "*"))
		return true;
	ret_origin->pattern = ms_gw_pattern_compile(plan, text, path, problems);
	return ret_origin->pattern != NULL;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	struct config *c = config;
	bool ok = true;
	c->any = c->origins.count == 0;
	c->compiled = MS_ARENA_ARRAY(&plan->arena, struct origin, c->origins.count);
	const char *where = ms_arena_printf(&plan->arena, "%s.origins", path);
	if (c->compiled == NULL || where == NULL || !join(plan, &c->methods, &c->methods_text) ||
	    !join(plan, &c->headers, &c->headers_text) || !join(plan, &c->exposed_headers, &c->exposed_text)) {
		ms_problem_add(problems, path, NULL, "methods, headers and exposed_headers are lists of names");
		return false;
	}
	for (size_t i = 0; i < c->origins.count; i++) {
		ok = compile_origin(plan, c->origins.items[i], where, problems, &c->compiled[i]) && ok;
		c->any = c->any || ms_slice_eq_cstr(c->origins.items[i], "*");
	}
	if (!c->any && c->origins.count == 1 && c->compiled[0].pattern == NULL)
		c->fixed = c->origins.items[0];
	const char *age = ms_arena_printf(&plan->arena, "%lld", (long long)c->max_age);
	c->max_age_text = ms_slice_cstr(age);
	return ok && age != NULL;
}

const struct gw_plugin_kind ms_plugin_cors = {
	.name = "cors",
	.priority = 2000,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.help = "Cross-Origin Resource Sharing",
	.compile = compile,
	.access = access,
	.answer = answer,
};
