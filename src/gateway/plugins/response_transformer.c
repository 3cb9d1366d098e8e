// SPDX-License-Identifier: Apache-2.0
// response-transformer: removes, renames, replaces, adds and appends headers and members of JSON answers, in this order.
#include "gateway/plugins/plugins.h"

enum step { STEP_REMOVE, STEP_RENAME, STEP_REPLACE, STEP_ADD, STEP_APPEND, STEP_COUNT };
enum json_kind { KIND_BOOLEAN, KIND_NUMBER, KIND_STRING };
struct texts {
	struct text_list headers, json, json_types;
};
struct rule {
	struct slice name, value; // value: the new name of rename
	struct json_value json;
};
struct rules {
	struct rule *items;
	size_t count;
};
struct config {
	struct texts remove, rename, replace, add, append;
	bool dots_in_keys;
	struct rules headers[STEP_COUNT], json[STEP_COUNT]; // compiled
	bool has_json;
};
static const struct field plain_fields[] = {
	GW_STRINGS(texts, headers, NULL, "Headers"), GW_STRINGS(texts, json, NULL, "Members of JSON objects"), {0}};
static const struct field value_fields[] = {
	GW_STRINGS(texts, headers, NULL, "Headers, as name:value"),
	GW_STRINGS(texts, json, NULL, "Members of JSON objects, as name:value"),
	GW_STRINGS(texts, json_types, NULL, "Types of the values in `json`: boolean, number or string"),
	{0},
};
static const struct field fields[] = {
	GW_RECORD(config, remove, plain_fields, "What is taken away, by name"),
	GW_RECORD(config, rename, plain_fields, "What gets another name, as old:new"),
	GW_RECORD(config, replace, value_fields, "What is replaced when it is there"),
	GW_RECORD(config, add, value_fields, "What is added when it is not there"),
	GW_RECORD(config, append, value_fields, "What is added besides"),
	GW_BOOL(config, dots_in_keys, "true", "Dots belong to names of members; else they lead into objects"),
	{0},
};

static void header_rule(struct gw_headers *h, enum step step, const struct rule *rule)
{
	struct slice old = ms_gw_header(h, rule->name);
	// A head that is full goes as it is.
	switch (step) {
	case STEP_REMOVE:
		ms_gw_header_remove(h, rule->name);
		return;
	case STEP_RENAME:
		if (old.p == NULL)
			return;
		for (size_t i = 0; i < h->count; i++) {
			if (ms_slice_eq_nocase(h->items[i].name, rule->name))
				h->items[i].name = rule->value;
		}
		return;
	case STEP_REPLACE:
		if (old.p != NULL)
			MS_IGNORE(ms_gw_header_set(h, rule->name, rule->value));
		return;
	case STEP_ADD:
		if (old.p == NULL)
			MS_IGNORE(ms_gw_header_add(h, rule->name, rule->value));
		return;
	case STEP_APPEND:
		MS_IGNORE(ms_gw_header_add(h, rule->name, rule->value));
		return;
	case STEP_COUNT:
		return;
	}
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	(void)state;
	if (c->has_json) // what is compressed cannot be changed
		ms_gw_header_remove(&r->out.headers, MS_SLICE_LIT("Accept-Encoding"));
	return GW_NEXT;
}

static bool json_answer(const struct gw_request *r)
{
	struct slice encoding = ms_gw_header(&r->answer.headers, MS_SLICE_LIT("Content-Encoding"));
	return ms_gw_is_json(ms_gw_header(&r->answer.headers, MS_SLICE_LIT("Content-Type"))) &&
	       (encoding.n == 0 || ms_slice_eq_nocase(encoding, MS_SLICE_LIT("identity"))) &&
	       r->x->req.method != HTTP_HEAD && r->answer.status >= 200 && r->answer.status != 204 &&
	       r->answer.status != 304;
}

static void answer(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	(void)state;
	for (unsigned step = 0; step < STEP_COUNT; step++) {
		for (size_t i = 0; i < c->headers[step].count; i++)
			header_rule(&r->answer.headers, (enum step)step, &c->headers[step].items[i]);
	}
	if (c->has_json && json_answer(r))
		r->answer.wants_body = true;
}

static bool member_rule(const struct config *c, struct gw_members *m, enum step step, const struct rule *rule)
{
	bool nested = !c->dots_in_keys, there = ms_gw_members_has(m, rule->name, nested);
	switch (step) {
	case STEP_REMOVE:
		ms_gw_members_remove(m, rule->name, nested);
		return true;
	case STEP_RENAME:
		return ms_gw_members_rename(m, rule->name, rule->value, nested);
	case STEP_REPLACE:
		return !there || ms_gw_members_set(m, rule->name, nested, &rule->json);
	case STEP_ADD:
		return there || ms_gw_members_set(m, rule->name, nested, &rule->json);
	case STEP_APPEND:
		return ms_gw_members_append(m, rule->name, nested, &rule->json);
	case STEP_COUNT:
		break;
	}
	return true;
}

static enum gw_verdict answer_body(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	struct gw_members *m;
	(void)state;
	if (!json_answer(r) || !ms_gw_members_parse(r, r->answer.body, &m))
		return GW_NEXT;
	for (unsigned step = 0; step < STEP_COUNT; step++) {
		for (size_t i = 0; i < c->json[step].count; i++) {
			if (!member_rule(c, m, (enum step)step, &c->json[step].items[i]))
				goto failed;
		}
	}
	if (!ms_gw_members_write(m, &r->answer.body))
		goto failed;
	r->answer.body_changed = true;
	return GW_NEXT;
failed: // what should have been taken out must not go out
	ms_gw_fail(r, 503, ms_err_name(MS_ERR_NO_MEMORY), "The answer cannot be transformed");
	return GW_ANSWERED;
}

static bool wants_answer_body(const void *config)
{
	return ((const struct config *)config)->has_json;
}

// --- Configuration -------------------------------------------------------------------------------------------------

static bool cast(struct slice text, struct slice type, struct json_value *ret_value)
{
	double number;
	*ret_value = (struct json_value){.type = JSON_STRING, .str = text};
	if (type.n == 0 || ms_slice_eq_cstr(type, "string"))
		return true;
	if (ms_slice_eq_cstr(type, "number")) {
		ret_value->type = JSON_NUMBER;
		return ms_number_parse_f64(text, &number);
	}
	ret_value->type = ms_slice_eq_cstr(text, "true") ? JSON_TRUE : JSON_FALSE;
	return ms_slice_eq_cstr(type, "boolean") && (ms_slice_eq_cstr(text, "true") || ms_slice_eq_cstr(text, "false"));
}

static bool compile_rule(enum step step, bool header, struct slice text, struct slice type, const char *path,
			 struct problems *problems, struct rule *rule)
{
	size_t colon = ms_slice_find(text, ':');
	rule->name = ms_slice_sub(text, 0, step == STEP_REMOVE ? text.n : colon);
	rule->value = ms_slice_trim(ms_slice_sub(text, colon + 1, text.n));
	bool ok = rule->name.n > 0 && (step == STEP_REMOVE || colon < text.n) &&
		  (!header || (ms_gw_header_name_ok(rule->name) && ms_gw_header_value_ok(rule->value)));
	if (step == STEP_RENAME)
		ok = ok && rule->value.n > 0 && (!header || ms_gw_header_name_ok(rule->value));
	if (!ok)
		ms_problem_add(problems, path, NULL, "\"%.*s\": expected %s", MS_SLICE_ARG(text),
			       step == STEP_REMOVE   ? "a name"
			       : step == STEP_RENAME ? "old:new"
						     : "name:value");
	else if (!cast(rule->value, type, &rule->json))
		ms_problem_add(problems, path, NULL, "json_types: \"%.*s\" is no %.*s", MS_SLICE_ARG(rule->value),
			       MS_SLICE_ARG(type));
	else
		return true;
	return false;
}

static bool compile_rules(struct plan *plan, enum step step, const struct text_list *texts,
			  const struct text_list *types, const char *path, struct problems *problems,
			  struct rules *rules)
{
	bool ok = true;
	rules->items = MS_ARENA_ARRAY(&plan->arena, struct rule, texts->count);
	if (rules->items == NULL)
		return false;
	for (size_t i = 0; i < texts->count; i++) {
		struct slice type = types != NULL && i < types->count ? types->items[i] : MS_SLICE_EMPTY;
		ok = compile_rule(step, types == NULL, texts->items[i], type, path, problems, &rules->items[i]) && ok;
	}
	rules->count = texts->count;
	return ok;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	static const char *const names[] = {"remove", "rename", "replace", "add", "append"};
	struct config *c = config;
	const struct texts *texts[] = {&c->remove, &c->rename, &c->replace, &c->add, &c->append};
	bool ok = true;
	for (unsigned step = 0; step < STEP_COUNT; step++) {
		const char *where = ms_arena_printf(&plan->arena, "%s.%s", path, names[step]);
		if (where == NULL)
			return false;
		if (texts[step]->json_types.count > texts[step]->json.count) {
			ms_problem_add(problems, where, NULL, "json_types has more items than json");
			ok = false;
		}
		ok = compile_rules(plan, (enum step)step, &texts[step]->headers, NULL, where, problems,
				   &c->headers[step]) &&
		     ok;
		ok = compile_rules(plan, (enum step)step, &texts[step]->json, &texts[step]->json_types, where, problems,
				   &c->json[step]) &&
		     ok;
		c->has_json = c->has_json || texts[step]->json.count > 0;
	}
	return ok;
}

const struct gw_plugin_kind ms_plugin_response_transformer = {
	.name = "response-transformer",
	.priority = 800,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.per_consumer = true,
	.help = "Changes answers",
	.compile = compile,
	.wants_answer_body = wants_answer_body,
	.access = access,
	.answer = answer,
	.answer_body = answer_body,
};
