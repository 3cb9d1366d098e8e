// SPDX-License-Identifier: Apache-2.0
// key-auth: a key in a header, the query or the body names the consumer.
#include "crypto/crypto.h"
#include "gateway/plugins/plugins.h"

struct config {
	struct text_list key_names;
	bool hide_credentials, key_in_header, key_in_query, key_in_body, run_on_preflight;
	struct slice anonymous, realm;
	const struct json_value *identity_realms; // accepted: there is one realm here
	struct slice challenge;                   // compiled
};
static const struct field fields[] = {
	GW_STRINGS(config, key_names, "[\"apikey\"]", "Names under which the key is looked for, in this order"),
	GW_BOOL(config, hide_credentials, "false", "Take the key out before the request is sent on"),
	GW_STRING(config, anonymous, NULL, "Consumer (name or id) of requests without a valid key"),
	GW_BOOL(config, key_in_header, "true", "Look for it in headers"),
	GW_BOOL(config, key_in_query, "true", "Look for it in the query"),
	GW_BOOL(config, key_in_body, "false", "Look for it in a body (form or JSON)"),
	GW_BOOL(config, run_on_preflight, "true", "Ask OPTIONS requests for a key, too"),
	GW_STRING(config, realm, NULL, "Realm of WWW-Authenticate"),
	GW_FIELD(config, identity_realms, FIELD_JSON, .help = "Accepted and not used: there is one realm"),
	{0},
};

enum found { FOUND_NONE, FOUND_KEY, FOUND_TWICE };

static enum found in_headers(const struct gw_request *r, struct slice name, struct slice *ret_key)
{
	enum found found = FOUND_NONE;
	for (size_t i = 0; i < r->out.headers.count; i++) {
		const struct http_header *h = &r->out.headers.items[i];
		if (!ms_slice_eq_nocase(h->name, name))
			continue;
		if (found != FOUND_NONE)
			return FOUND_TWICE;
		found = FOUND_KEY;
		*ret_key = h->value;
	}
	return found;
}

static enum found in_args(struct gw_request *r, struct slice raw, struct slice name, struct slice *ret_key)
{
	struct gw_args args;
	size_t count = 0;
	if (raw.n == 0 || !ms_gw_args_read(r, raw, &args))
		return FOUND_NONE;
	const struct gw_arg *arg = ms_gw_args_get(&args, name, &count);
	if (count > 1)
		return FOUND_TWICE;
	if (arg == NULL)
		return FOUND_NONE;
	*ret_key = arg->value;
	return FOUND_KEY;
}

static enum found in_json(struct gw_request *r, struct slice name, struct slice *ret_key)
{
	const struct json_value *body;
	if (ms_json_parse(r->out.body, NULL, r->arena, NULL, &body) != MS_OK || body->type != JSON_OBJECT)
		return FOUND_NONE;
	for (size_t i = 0; i < body->object.count; i++) {
		const struct json_member *m = &body->object.members[i];
		if (ms_slice_eq(m->key, name))
			return m->value.type == JSON_ARRAY          ? FOUND_TWICE
			       : ms_json_as_str(&m->value, ret_key) ? FOUND_KEY
								    : FOUND_NONE;
	}
	return FOUND_NONE;
}

static bool is_form(const struct gw_request *r)
{
	return ms_gw_media_type(ms_gw_request_header(r, "Content-Type"), "application/x-www-form-urlencoded");
}

static enum found in_body(struct gw_request *r, struct slice name, struct slice *ret_key)
{
	if (r->out.body.n == 0)
		return FOUND_NONE;
	if (is_form(r))
		return in_args(r, r->out.body, name, ret_key);
	return ms_gw_is_json(ms_gw_request_header(r, "Content-Type")) ? in_json(r, name, ret_key) : FOUND_NONE;
}

static enum found look(struct gw_request *r, const struct config *c, struct slice *ret_key)
{
	for (size_t i = 0; i < c->key_names.count; i++) {
		struct slice name = c->key_names.items[i];
		enum found found = c->key_in_header ? in_headers(r, name, ret_key) : FOUND_NONE;
		if (found == FOUND_NONE && c->key_in_query)
			found = in_args(r, r->out.query, name, ret_key);
		if (found == FOUND_NONE && c->key_in_body)
			found = in_body(r, name, ret_key);
		if (found != FOUND_NONE)
			return found;
	}
	return FOUND_NONE;
}

// --- Taking the key out ----------------------------------------------------------------------------------

static bool hide_in_args(struct gw_request *r, const struct config *c, struct slice *raw, bool *ret_changed)
{
	struct gw_args args;
	bool removed = false;
	*ret_changed = false;
	if (raw->n == 0)
		return true;
	if (!ms_gw_args_read(r, *raw, &args))
		return false;
	for (size_t i = 0; i < c->key_names.count; i++)
		removed = ms_gw_args_remove(&args, c->key_names.items[i]) || removed;
	*ret_changed = removed;
	return !removed || ms_gw_args_write(&args, raw);
}

static bool hide_in_json(struct gw_request *r, const struct config *c)
{
	struct gw_members *m;
	bool removed = false;
	if (!ms_gw_members_parse(r, r->out.body, &m))
		return true; // no object holds no key
	for (size_t i = 0; i < c->key_names.count; i++)
		removed = ms_gw_members_remove(m, c->key_names.items[i], false) || removed;
	r->out.body_changed = r->out.body_changed || removed;
	return !removed || ms_gw_members_write(m, &r->out.body);
}

// False: it could not be taken out, and must not be sent on then.
static bool hide(struct gw_request *r, const struct config *c)
{
	bool changed;
	if (!c->hide_credentials)
		return true;
	for (size_t i = 0; i < c->key_names.count; i++)
		ms_gw_header_remove(&r->out.headers, c->key_names.items[i]);
	if (!hide_in_args(r, c, &r->out.query, &changed))
		return false;
	if (!c->key_in_body || r->out.body.n == 0)
		return true;
	if (!is_form(r))
		return !ms_gw_is_json(ms_gw_request_header(r, "Content-Type")) || hide_in_json(r, c);
	bool ok = hide_in_args(r, c, &r->out.body, &changed);
	r->out.body_changed = r->out.body_changed || changed;
	return ok;
}

// --- Access ----------------------------------------------------------------------------------------------

static enum gw_verdict refuse(struct gw_request *r, const struct config *c, const char *code, const char *message)
{
	switch (ms_gw_unknown_caller(r, c->anonymous)) {
	case GW_UNKNOWN_PASS:
		return GW_NEXT;
	case GW_UNKNOWN_REFUSE:
		ms_gw_refuse(r, code, message, c->challenge);
		return GW_ANSWERED;
	case GW_UNKNOWN_ANSWERED:
	default:
		return GW_ANSWERED;
	}
}

static enum gw_verdict decide(struct gw_request *r, const struct config *c)
{
	struct slice key = MS_SLICE_EMPTY;
	enum found found = look(r, c, &key);
	if (found == FOUND_TWICE)
		return refuse(r, c, "gateway.duplicate_key", "Duplicate API key found");
	if (found == FOUND_NONE || key.n == 0)
		return refuse(r, c, "gateway.no_key", "No API key found in request");
	const struct gw_credential *credential = ms_plan_credential(r->plan, GW_KEYAUTH, key);
	if (credential == NULL || credential->consumer == NULL || !ms_equal_constant_time(credential->key, key))
		return refuse(r, c, "gateway.unauthorized", "Unauthorized");
	if (!hide(r, c)) {
		ms_gw_fail(r, 503, ms_err_name(MS_ERR_NO_MEMORY), "The credentials cannot be hidden");
		return GW_ANSWERED;
	}
	ms_gw_authenticate(r, credential->consumer, credential, ms_slice_cstr(credential->id), false);
	return GW_NEXT;
}

static void with_body(struct gw_request *r)
{
	ms_gw_resume(r, decide(r, ms_gw_use(r)->config));
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	(void)state;
	if ((!c->run_on_preflight && ms_gw_is_method(r, "OPTIONS")) || ms_gw_already_in(r, c->anonymous))
		return GW_NEXT;
	if (!c->key_in_body || !r->x->req.has_body)
		return decide(r, c);
	ms_gw_collect(r, with_body);
	return GW_WAIT;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	struct config *c = config;
	if (!c->key_in_header && !c->key_in_query && !c->key_in_body) {
		ms_problem_add(problems, path, NULL,
			       "at least one of these must be true: key_in_header, key_in_query, key_in_body");
		return false;
	}
	for (size_t i = 0; i < c->key_names.count; i++) {
		if (!ms_gw_header_name_ok(c->key_names.items[i])) {
			ms_problem_add(problems, path, NULL, "key_names: \"%.*s\" is no name of a header",
				       MS_SLICE_ARG(c->key_names.items[i]));
			return false;
		}
	}
	if (c->key_names.count == 0) {
		ms_problem_add(problems, path, NULL, "key_names: at least one name");
		return false;
	}
	if (!ms_gw_header_value_ok(c->realm) || ms_slice_find(c->realm, '"') < c->realm.n) {
		ms_problem_add(problems, path, NULL, "realm: text without quotes and control characters");
		return false;
	}
	const char *text =
		c->realm.n > 0 ? ms_arena_printf(&plan->arena, "Key realm=\"%.*s\"", MS_SLICE_ARG(c->realm)) : "Key";
	c->challenge = ms_slice_cstr(text);
	return text != NULL;
}

const struct gw_plugin_kind ms_plugin_key_auth = {
	.name = "key-auth",
	.priority = 1250,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.help = "API keys of consumers",
	.compile = compile,
	.access = access,
};
