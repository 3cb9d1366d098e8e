// SPDX-License-Identifier: Apache-2.0
// request-transformer: removes, renames, replaces, adds and appends headers, parameters of the query and members of the body, in this order; and
// the method and the path.
#include "gateway/plugins/plugins.h"

enum step { STEP_REMOVE, STEP_RENAME, STEP_REPLACE, STEP_ADD, STEP_APPEND, STEP_COUNT };
struct texts {
	struct text_list headers, querystring, body;
	struct slice uri; // of replace
};
struct rule {
	struct slice name;
	struct slice to;                 // rename
	const struct gw_template *value; // replace, add, append
};
struct rules {
	struct rule *items;
	size_t count;
};
struct config {
	struct slice http_method;
	struct texts remove, rename, replace, add, append;
	bool dots_in_keys;
	// compiled
	struct rules headers[STEP_COUNT], query[STEP_COUNT], body[STEP_COUNT];
	const struct gw_template *uri;
	bool has_query, has_body;
};
#define LISTS(what)                                                                    \
	GW_STRINGS(texts, headers, NULL, "Headers " what),                             \
		GW_STRINGS(texts, querystring, NULL, "Parameters of the query " what), \
		GW_STRINGS(texts, body, NULL, "Members of a JSON or form body " what)
static const struct field name_fields[] = {LISTS("by name"), {0}};
static const struct field rename_fields[] = {LISTS("as old:new"), {0}};
static const struct field value_fields[] = {LISTS("as name:value"), {0}};
static const struct field replace_fields[] = {
	LISTS("as name:value"), GW_STRING(texts, uri, NULL, "Path that the upstream is asked for"), {0}};
static const struct field fields[] = {
	GW_STRING(config, http_method, NULL, "Method that the upstream is asked with"),
	GW_RECORD(config, remove, name_fields, "What is taken away"),
	GW_RECORD(config, rename, rename_fields, "What gets another name"),
	GW_RECORD(config, replace, replace_fields, "What is replaced when it is there"),
	GW_RECORD(config, add, value_fields, "What is added when it is not there"),
	GW_RECORD(config, append, value_fields, "What is added besides"),
	GW_BOOL(config, dots_in_keys, "true", "Dots belong to names of members; else they lead into objects"),
	{0},
};

static enum gw_verdict fail(struct gw_request *r, int status, const char *code, const char *message)
{
	ms_gw_fail(r, status, code, message);
	return GW_ANSWERED;
}

static enum gw_verdict bad_value(struct gw_request *r)
{
	return fail(r, 400, "gateway.transform",
		    "A value of the request cannot be used where the gateway is to put it");
}

static enum gw_verdict no_memory(struct gw_request *r)
{
	return fail(r, 503, ms_err_name(MS_ERR_NO_MEMORY), "The request cannot be transformed");
}

// --- Headers -----------------------------------------------------------------------------------------------------

static bool is_host(struct slice name)
{
	return ms_slice_eq_nocase(name, MS_SLICE_LIT("Host"));
}

static bool rename_header(struct gw_request *r, const struct rule *rule)
{
	struct gw_headers *h = &r->out.headers;
	struct slice value = ms_gw_header(h, rule->name);
	if (value.p == NULL || is_host(rule->name) || is_host(rule->to))
		return true;
	ms_gw_header_remove(h, rule->name);
	return ms_gw_header_set(h, rule->to, value);
}

static enum gw_verdict header_rule(struct gw_request *r, enum step step, const struct rule *rule)
{
	struct gw_headers *h = &r->out.headers;
	struct slice value = MS_SLICE_EMPTY;
	bool there = ms_gw_header(h, rule->name).p != NULL;
	if (step == STEP_REMOVE) {
		ms_gw_header_remove(h, rule->name);
		return GW_NEXT;
	}
	if (step == STEP_RENAME)
		return rename_header(r, rule) ? GW_NEXT : no_memory(r);
	bool host = is_host(rule->name);
	if ((step == STEP_REPLACE && !there && !host) || (step == STEP_ADD && (there || host)) ||
	    (step == STEP_APPEND && host))
		return GW_NEXT;
	if (!ms_gw_template_fill(r, rule->value, false, &value))
		return no_memory(r);
	if (!ms_gw_header_value_ok(value))
		return bad_value(r);
	if (host) {
		if (value.n == 0 || ms_slice_find(value, '/') < value.n || ms_slice_find(value, ' ') < value.n)
			return bad_value(r);
		r->out.authority = value;
		return GW_NEXT;
	}
	bool ok = step == STEP_APPEND ? ms_gw_header_add(h, rule->name, value) : ms_gw_header_set(h, rule->name, value);
	return ok ? GW_NEXT : no_memory(r);
}

// --- Queries and forms -------------------------------------------------------------------------------------------

static bool rename_arg(struct gw_args *args, const struct rule *rule)
{
	const struct gw_arg *old = ms_gw_args_get(args, rule->name, NULL);
	if (old == NULL || ms_slice_eq(rule->name, rule->to))
		return true;
	ms_gw_args_remove(args, rule->to);
	for (size_t i = 0; i < args->count; i++) {
		struct gw_arg *arg = &args->items[i];
		if (arg->name.p == NULL || !ms_slice_eq(arg->name, rule->name))
			continue;
		arg->name = rule->to;
		arg->raw = MS_SLICE_EMPTY;
	}
	return true;
}

static bool arg_rule(struct gw_request *r, struct gw_args *args, enum step step, const struct rule *rule)
{
	struct slice value;
	bool there = ms_gw_args_get(args, rule->name, NULL) != NULL;
	if (step == STEP_REMOVE)
		ms_gw_args_remove(args, rule->name);
	if (step == STEP_RENAME && !rename_arg(args, rule))
		return false;
	if (step < STEP_REPLACE || (step == STEP_REPLACE && !there) || (step == STEP_ADD && there))
		return true;
	if (!ms_gw_template_fill(r, rule->value, false, &value))
		return false;
	return step == STEP_APPEND ? ms_gw_args_add(args, rule->name, value) : ms_gw_args_set(args, rule->name, value);
}

static bool transform_args(struct gw_request *r, const struct rules *steps, struct slice *text)
{
	struct gw_args args;
	if (!ms_gw_args_read(r, *text, &args))
		return false;
	for (unsigned step = 0; step < STEP_COUNT; step++) {
		for (size_t i = 0; i < steps[step].count; i++) {
			if (!arg_rule(r, &args, (enum step)step, &steps[step].items[i]))
				return false;
		}
	}
	return ms_gw_args_write(&args, text);
}

// --- Path and method ---------------------------------------------------------------------------------------------

// What values made of it: a path, without segments that lead elsewhere.
static bool path_ok(struct slice path)
{
	struct slice rest = path, part;
	if (path.n == 0 || path.p[0] != '/')
		return false;
	for (size_t i = 0; i < path.n; i++) {
		if ((unsigned char)path.p[i] <= ' ' || path.p[i] == 0x7f || path.p[i] == '?' || path.p[i] == '#' ||
		    path.p[i] == '\\')
			return false;
	}
	while (ms_slice_next(&rest, '/', &part)) {
		if (ms_slice_eq_cstr(part, ".") || ms_slice_eq_cstr(part, ".."))
			return false;
	}
	return true;
}

static enum gw_verdict replace_path(struct gw_request *r, const struct config *c)
{
	struct slice path;
	if (!ms_gw_template_fill(r, c->uri, true, &path))
		return no_memory(r);
	if (!path_ok(path))
		return bad_value(r);
	r->out.path = path;
	return GW_NEXT;
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	struct slice query = r->out.query;
	enum gw_verdict verdict = GW_NEXT;
	(void)state;
	// The path is made of what came, before the rest is changed.
	if (c->uri != NULL)
		verdict = replace_path(r, c);
	for (unsigned step = 0; step < STEP_COUNT && verdict == GW_NEXT; step++) {
		for (size_t i = 0; i < c->headers[step].count && verdict == GW_NEXT; i++)
			verdict = header_rule(r, (enum step)step, &c->headers[step].items[i]);
	}
	if (verdict != GW_NEXT)
		return verdict;
	if (c->has_query && !transform_args(r, c->query, &query))
		return no_memory(r);
	r->out.query = query;
	if (c->http_method.n > 0)
		r->out.method = c->http_method;
	return GW_NEXT;
}

// --- Bodies --------------------------------------------------------------------------------------------------------

static bool member_rule(struct gw_request *r, const struct config *c, struct gw_members *m, enum step step,
			const struct rule *rule)
{
	bool nested = !c->dots_in_keys, there = ms_gw_members_has(m, rule->name, nested);
	struct json_value value = {.type = JSON_STRING};
	if (step == STEP_REMOVE)
		ms_gw_members_remove(m, rule->name, nested);
	if (step == STEP_RENAME)
		return ms_gw_members_rename(m, rule->name, rule->to, nested);
	if (step < STEP_REPLACE || (step == STEP_REPLACE && !there) || (step == STEP_ADD && there))
		return true;
	if (!ms_gw_template_fill(r, rule->value, false, &value.str))
		return false;
	return step == STEP_APPEND ? ms_gw_members_append(m, rule->name, nested, &value)
				   : ms_gw_members_set(m, rule->name, nested, &value);
}

static bool transform_json(struct gw_request *r, const struct config *c)
{
	struct gw_members *m;
	if (!ms_gw_members_parse(r, r->out.body, &m))
		return true; // no object: it is not ours to judge
	for (unsigned step = 0; step < STEP_COUNT; step++) {
		for (size_t i = 0; i < c->body[step].count; i++) {
			if (!member_rule(r, c, m, (enum step)step, &c->body[step].items[i]))
				return false;
		}
	}
	r->out.body_changed = true;
	return ms_gw_members_write(m, &r->out.body);
}

static enum gw_verdict body(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	struct slice type = ms_gw_request_header(r, "Content-Type");
	bool ok = true;
	(void)state;
	if (ms_gw_is_json(type)) {
		ok = transform_json(r, c);
	} else if (ms_gw_media_type(type, "application/x-www-form-urlencoded")) {
		ok = transform_args(r, c->body, &r->out.body);
		r->out.body_changed = true;
	}
	return ok ? GW_NEXT : no_memory(r);
}

static bool wants_body(const void *config)
{
	return ((const struct config *)config)->has_body;
}

// --- Configuration -------------------------------------------------------------------------------------------------

static bool compile_rule(struct plan *plan, enum step step, bool header, struct slice text, const char *path,
			 struct problems *problems, struct rule *rule)
{
	size_t colon = ms_slice_find(text, ':');
	struct slice rest = ms_slice_trim(ms_slice_sub(text, colon + 1, text.n));
	rule->name = ms_slice_sub(text, 0, step == STEP_REMOVE ? text.n : colon);
	bool ok = rule->name.n > 0 && (step == STEP_REMOVE || colon < text.n) &&
		  (!header || ms_gw_header_name_ok(rule->name));
	if (step == STEP_RENAME) {
		rule->to = rest;
		ok = ok && rest.n > 0 && (!header || ms_gw_header_name_ok(rest));
	}
	if (!ok) {
		ms_problem_add(problems, path, NULL, "\"%.*s\": expected %s", MS_SLICE_ARG(text),
			       step == STEP_REMOVE   ? "a name"
			       : step == STEP_RENAME ? "old:new"
						     : "name:value");
		return false;
	}
	if (step < STEP_REPLACE)
		return true;
	rule->value = ms_gw_template_compile(plan, rest, path, problems);
	return rule->value != NULL;
}

static bool compile_rules(struct plan *plan, enum step step, bool header, const struct text_list *texts,
			  const char *path, struct problems *problems, struct rules *rules)
{
	bool ok = true;
	rules->items = MS_ARENA_ARRAY(&plan->arena, struct rule, texts->count);
	if (rules->items == NULL)
		return false;
	for (size_t i = 0; i < texts->count; i++)
		ok = compile_rule(plan, step, header, texts->items[i], path, problems, &rules->items[i]) && ok;
	rules->count = texts->count;
	return ok;
}

static bool compile_method(const struct config *c, const char *path, struct problems *problems)
{
	for (size_t i = 0; i < c->http_method.n; i++) {
		if (c->http_method.p[i] < 'A' || c->http_method.p[i] > 'Z') {
			ms_problem_add(problems, path, NULL, "http_method: \"%.*s\" is no method such as POST",
				       MS_SLICE_ARG(c->http_method));
			return false;
		}
	}
	return true;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	static const char *const names[] = {"remove", "rename", "replace", "add", "append"};
	struct config *c = config;
	const struct texts *texts[] = {&c->remove, &c->rename, &c->replace, &c->add, &c->append};
	bool ok = compile_method(c, path, problems);
	for (unsigned step = 0; step < STEP_COUNT; step++) {
		const char *where = ms_arena_printf(&plan->arena, "%s.%s", path, names[step]);
		if (where == NULL)
			return false;
		ok = compile_rules(plan, (enum step)step, true, &texts[step]->headers, where, problems,
				   &c->headers[step]) &&
		     ok;
		ok = compile_rules(plan, (enum step)step, false, &texts[step]->querystring, where, problems,
				   &c->query[step]) &&
		     ok;
		ok = compile_rules(plan, (enum step)step, false, &texts[step]->body, where, problems, &c->body[step]) &&
		     ok;
		c->has_query = c->has_query || texts[step]->querystring.count > 0;
		c->has_body = c->has_body || texts[step]->body.count > 0;
	}
	if (c->replace.uri.n > 0) {
		c->uri = ms_gw_template_compile(plan, c->replace.uri, path, problems);
		ok = ok && c->uri != NULL;
	}
	return ok;
}

const struct gw_plugin_kind ms_plugin_request_transformer = {
	.name = "request-transformer",
	.priority = 801,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.per_consumer = true,
	.help = "Changes requests",
	.compile = compile,
	.wants_body = wants_body,
	.access = access,
	.body = body,
};
