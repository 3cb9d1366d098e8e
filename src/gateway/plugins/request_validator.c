// SPDX-License-Identifier: Apache-2.0
// request-validator: parameters and body against JSON Schema, before the request goes on. Field names are Kong's.
#include "gateway/inspect/validate.h"
#include "gateway/plugin.h"

extern const struct gw_plugin_kind ms_plugin_request_validator;

struct parameter {
	int in;
	struct slice name;
	bool required;
	struct slice schema;
	int style;
	bool explode;
};
struct config {
	int version;
	struct slice body_schema;
	struct record_list parameter_schema; // of struct parameter
	struct text_list allowed_content_types;
	bool content_type_parameter_validation, verbose_response;
	int enforcement_mode; // 0 block, 1 log_only
	// Compiled.
	struct schema *body;
	struct rv_param *params;
};

static const char *const versions[] = {"kong", "draft4", "draft6", "draft7", "draft201909", "draft202012", NULL};
static const char *const places[] = {"header", "path", "query", NULL};
static const char *const styles[] = {"default",        "label",         "form",       "matrix", "simple",
				     "spaceDelimited", "pipeDelimited", "deepObject", NULL};
static const char *const modes[] = {"block", "log_only", NULL};

#define AT(kind, member) offsetof(struct kind, member)
static const struct field parameter_fields[] = {
	{.name = "in",
	 .kind = FIELD_CHOICE,
	 .offset = AT(parameter, in),
	 .required = true,
	 .choices = places,
	 .help = "Where the parameter is."},
	{.name = "name",
	 .kind = FIELD_STRING,
	 .offset = AT(parameter, name),
	 .required = true,
	 .min = 1,
	 .max = 256,
	 .help = "Its name; of path parameters that of the capture in the route's path."},
	{.name = "required",
	 .kind = FIELD_BOOL,
	 .offset = AT(parameter, required),
	 .required = true,
	 .help = "It must be there."},
	{.name = "schema",
	 .kind = FIELD_STRING,
	 .offset = AT(parameter, schema),
	 .max = 65536,
	 .help = "JSON Schema, as a text."},
	{.name = "style",
	 .kind = FIELD_CHOICE,
	 .offset = AT(parameter, style),
	 .fallback = "\"default\"",
	 .choices = styles,
	 .help = "How arrays and objects are written (OpenAPI); default: form for queries, simple elsewhere."},
	{.name = "explode",
	 .kind = FIELD_BOOL,
	 .offset = AT(parameter, explode),
	 .fallback = "false",
	 .help = "Each part by itself."},
	{0},
};
static const struct field fields[] = {
	{.name = "version",
	 .kind = FIELD_CHOICE,
	 .offset = AT(config, version),
	 .fallback = "\"kong\"",
	 .choices = versions,
	 .help = "The language of the schemas."},
	{.name = "body_schema",
	 .kind = FIELD_STRING,
	 .offset = AT(config, body_schema),
	 .help = "The body's schema, as a text."},
	{.name = "parameter_schema",
	 .kind = FIELD_RECORDS,
	 .offset = AT(config, parameter_schema),
	 .fields = parameter_fields,
	 .record_bytes = sizeof(struct parameter),
	 .help = "Parameters of header, path and query."},
	{.name = "allowed_content_types",
	 .kind = FIELD_STRINGS,
	 .offset = AT(config, allowed_content_types),
	 .fallback = "[\"application/json\"]",
	 .help = "Types of bodies that are taken; those of JSON are checked."},
	{.name = "content_type_parameter_validation",
	 .kind = FIELD_BOOL,
	 .offset = AT(config, content_type_parameter_validation),
	 .fallback = "true",
	 .help = "Parameters of Content-Type are compared as well."},
	{.name = "verbose_response",
	 .kind = FIELD_BOOL,
	 .offset = AT(config, verbose_response),
	 .fallback = "false",
	 .help = "Say in the answer what is wrong."},
	{.name = "enforcement_mode",
	 .kind = FIELD_CHOICE,
	 .offset = AT(config, enforcement_mode),
	 .fallback = "\"block\"",
	 .choices = modes,
	 .help = "log_only: requests are logged, not refused."},
	{0},
};

static bool compile_params(struct plan *plan, struct config *c, const char *path, struct problems *problems)
{
	const struct parameter *given = c->parameter_schema.items;
	bool ok = true;
	c->params = MS_ARENA_ARRAY(&plan->arena, struct rv_param, c->parameter_schema.count);
	for (size_t i = 0; c->params != NULL && i < c->parameter_schema.count; i++) {
		struct rv_param *p = &c->params[i];
		struct errinfo info;
		ms_errinfo_init(&info);
		*p = (struct rv_param){.in = (enum rv_in)given[i].in,
				       .style = (enum rv_style)given[i].style,
				       .explode = given[i].explode,
				       .required = given[i].required,
				       .name = given[i].name};
		if (given[i].schema.p == NULL ||
		    ms_rv_param_compile((enum rv_version)c->version, given[i].schema, &plan->arena, &info, p) == MS_OK)
			continue;
		char *where = ms_arena_printf(&plan->arena, "%s.parameter_schema[%zu].schema", path, i);
		ms_problem_add(problems, where != NULL ? where : path, NULL, "%s", info.message);
		ok = false;
	}
	return ok && c->params != NULL;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	struct config *c = config;
	struct errinfo info;
	ms_errinfo_init(&info);
	if (c->body_schema.p == NULL && c->parameter_schema.count == 0) {
		ms_problem_add(problems, path, NULL,
			       "has neither body_schema nor parameter_schema, must have one of them");
		return false;
	}
	if (!compile_params(plan, c, path, problems))
		return false;
	if (c->body_schema.p == NULL ||
	    ms_rv_compile((enum rv_version)c->version, c->body_schema, &info, &c->body) == MS_OK)
		return true;
	char *where = ms_arena_printf(&plan->arena, "%s.body_schema", path);
	ms_problem_add(problems, where != NULL ? where : path, NULL, "%s", info.message);
	return false;
}

static void release(void *config)
{
	struct config *c = config;
	for (size_t i = 0; c->params != NULL && i < c->parameter_schema.count; i++)
		ms_schema_free(c->params[i].schema);
	ms_schema_free(c->body);
}

static bool wants_body(const void *config)
{
	return ((const struct config *)config)->body != NULL;
}

static void answer_verbose(struct gw_request *r, struct slice message, struct slice findings)
{
	struct buf out;
	struct json_writer w;
	ms_buf_init(&out, 131072);
	ms_json_writer_init(&w, &out);
	ms_json_begin_object(&w);
	ms_json_member_text(&w, "message", message);
	ms_json_member_text(&w, "error", message);
	ms_json_member_text(&w, "code", ms_slice_cstr(ms_err_name(MS_ERR_INVALID)));
	ms_json_member_text(&w, "request_id", r->x->req.id);
	ms_json_key_lit(&w, "details");
	ms_json_raw(&w, findings);
	ms_json_end_object(&w);
	if (ms_buf_ok(&out))
		ms_gw_answer(r, 400, MS_SLICE_LIT("application/json"), ms_buf_slice(&out));
	else
		ms_gw_fail(r, 503, ms_err_name(MS_ERR_NO_MEMORY), "out of memory");
	ms_buf_fini(&out);
}

static enum gw_verdict check(struct gw_request *r, const struct config *c)
{
	struct rv_rules rules = {.params = c->params,
				 .param_count = c->parameter_schema.count,
				 .body = c->body,
				 .content_types = c->allowed_content_types.items,
				 .content_type_count = c->allowed_content_types.count,
				 .content_type_parameters = c->content_type_parameter_validation};
	struct rv_request request = {.query = r->out.query,
				     .headers = r->out.headers.items,
				     .header_count = r->out.headers.count,
				     .capture_names = r->match.capture_names,
				     .captures = r->match.captures,
				     .capture_count = r->match.capture_count,
				     .body = r->out.body};
	struct slice message, findings;
	enum ms_err err = ms_rv_check(&rules, &request, r->arena, &message, &findings);
	if (c->enforcement_mode == 1 || (err == MS_OK && message.p == NULL)) {
		if (err != MS_OK || message.p != NULL)
			ms_log(r->services->log, LOG_WARN, "request does not conform to its schema",
			       MS_LOG_STR("request_id", r->x->req.id), MS_LOG_STR("details", findings));
		return GW_NEXT;
	}
	if (err == MS_ERR_LIMIT)
		ms_gw_fail(r, 413, ms_err_name(err), "the request is too costly to check against its schema");
	else if (err != MS_OK)
		ms_gw_fail(r, 503, ms_err_name(err), "out of memory");
	else if (c->verbose_response)
		answer_verbose(r, message, findings);
	else
		ms_gw_fail(r, 400, ms_err_name(MS_ERR_INVALID), ms_arena_cstr(r->arena, message));
	return GW_ANSWERED;
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	(void)state;
	return c->body != NULL ? GW_NEXT : check(r, c); // with a body schema all is checked at once, in the body phase
}

static enum gw_verdict body(struct gw_request *r, const void *config, void **state)
{
	(void)state;
	const struct config *c = config;
	return c->body != NULL ? check(r, c) : GW_NEXT;
}

const struct gw_plugin_kind ms_plugin_request_validator = {
	.name = "request-validator",
	.priority = 999,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.per_consumer = true,
	.help = "Refuses requests whose parameters or body do not conform to a schema.",
	.compile = compile,
	.release = release,
	.wants_body = wants_body,
	.access = access,
	.body = body,
};
