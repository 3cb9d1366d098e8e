// SPDX-License-Identifier: Apache-2.0
// waf: the rules of inspect/waf_rules.def against common web attacks, in detect or block mode. Ours; Kong has no plugin of that name.
#include "gateway/inspect/waf.h"
#include "gateway/plugin.h"

extern const struct gw_plugin_kind ms_plugin_waf;

struct exclusion {
	struct text_list rules;
	int in;
	struct slice name;
};
struct config {
	int mode; // 0 block, 1 detect
	int64_t anomaly_threshold, paranoia_level, body_limit, status_code;
	bool inspect_body;
	struct slice message;
	struct text_list disabled_rules;
	struct record_list exclusions; // of struct exclusion
	// Compiled.
	struct waf_settings settings;
};

static const char *const modes[] = {"block", "detect", NULL};
static const char *const places[] = {"any", "path", "query", "header", "cookie", "body", NULL};

#define AT(kind, member) offsetof(struct kind, member)
static const struct field exclusion_fields[] = {
	{.name = "rules",
	 .kind = FIELD_STRINGS,
	 .offset = AT(exclusion, rules),
	 .required = true,
	 .help = "Ids or names of rules, or \"*\"."},
	{.name = "in",
	 .kind = FIELD_CHOICE,
	 .offset = AT(exclusion, in),
	 .fallback = "\"any\"",
	 .choices = places,
	 .help = "Where they do not count."},
	{.name = "name",
	 .kind = FIELD_STRING,
	 .offset = AT(exclusion, name),
	 .max = 256,
	 .help = "Of the parameter, header, cookie or member; \"a*\" for all that start so; absent: all."},
	{0},
};
static const struct field fields[] = {
	{.name = "mode",
	 .kind = FIELD_CHOICE,
	 .offset = AT(config, mode),
	 .fallback = "\"detect\"",
	 .choices = modes,
	 .help = "detect logs, block refuses."},
	{.name = "anomaly_threshold",
	 .kind = FIELD_INTEGER,
	 .offset = AT(config, anomaly_threshold),
	 .fallback = "5",
	 .min = 1,
	 .max = 1000,
	 .help = "Sum from which a request is an attack: critical rules count 5, errors 4, warnings 3, notices 2."},
	{.name = "paranoia_level",
	 .kind = FIELD_INTEGER,
	 .offset = AT(config, paranoia_level),
	 .fallback = "1",
	 .min = 1,
	 .max = 4,
	 .help = "Higher levels have more rules, and more false alarms."},
	{.name = "inspect_body",
	 .kind = FIELD_BOOL,
	 .offset = AT(config, inspect_body),
	 .fallback = "true",
	 .help = "Bodies are collected and looked into."},
	{.name = "body_limit",
	 .kind = FIELD_INTEGER,
	 .offset = AT(config, body_limit),
	 .fallback = "1048576",
	 .min = 1024,
	 .max = 67108864,
	 .help = "Bytes of text that are looked into."},
	{.name = "status_code",
	 .kind = FIELD_INTEGER,
	 .offset = AT(config, status_code),
	 .fallback = "403",
	 .min = 400,
	 .max = 599,
	 .help = "Of the answer to an attack."},
	{.name = "message",
	 .kind = FIELD_STRING,
	 .offset = AT(config, message),
	 .fallback = "\"Request blocked\"",
	 .min = 1,
	 .max = 256,
	 .help = "Of the answer to an attack."},
	{.name = "disabled_rules",
	 .kind = FIELD_STRINGS,
	 .offset = AT(config, disabled_rules),
	 .help = "Ids or names of rules that are off."},
	{.name = "exclusions",
	 .kind = FIELD_RECORDS,
	 .offset = AT(config, exclusions),
	 .fields = exclusion_fields,
	 .record_bytes = sizeof(struct exclusion),
	 .help = "Rules that do not count in some place."},
	{0},
};

static bool read_rules(const struct text_list *names, const char *path, struct problems *problems, uint64_t *ret_rules)
{
	bool ok = true;
	*ret_rules = 0;
	for (size_t i = 0; i < names->count; i++) {
		enum waf_rule_index rule = ms_waf_rule_find(names->items[i]);
		if (ms_slice_eq_cstr(names->items[i], "*")) {
			*ret_rules = UINT64_MAX;
		} else if (rule == WAF_RULE_COUNT) {
			ms_problem_add(problems, path, NULL, "\"%.*s\" is neither id nor name of a rule",
				       MS_SLICE_ARG(names->items[i]));
			ok = false;
		} else {
			*ret_rules |= WAF_BIT(rule);
		}
	}
	return ok;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	struct config *c = config;
	const struct exclusion *given = c->exclusions.items;
	struct waf_exclusion *exclusions = MS_ARENA_ARRAY(&plan->arena, struct waf_exclusion, c->exclusions.count);
	if (exclusions == NULL) {
		ms_problem_add(problems, path, NULL, "needs more memory than there is");
		return false;
	}
	bool ok = read_rules(&c->disabled_rules, path, problems, &c->settings.disabled);
	for (size_t i = 0; i < c->exclusions.count; i++) {
		ok &= read_rules(&given[i].rules, path, problems, &exclusions[i].rules);
		exclusions[i].in = (enum waf_in)given[i].in;
		exclusions[i].name = given[i].name;
	}
	c->settings.level = (unsigned)c->paranoia_level;
	c->settings.text_max = (size_t)c->body_limit;
	c->settings.exclusions = exclusions;
	c->settings.exclusion_count = c->exclusions.count;
	return ok;
}

static bool wants_body(const void *config)
{
	return ((const struct config *)config)->inspect_body;
}

static void log_hits(const struct gw_request *r, const struct config *c, const struct waf_report *report, bool attack)
{
	static const char *const where[] = {"any", "path", "query", "header", "cookie", "body"};
	for (size_t i = 0; i < report->hit_count; i++) {
		const struct waf_hit *hit = &report->hits[i];
		const struct waf_rule *rule = &ms_waf_rules[hit->rule];
		ms_log(r->services->log, attack ? LOG_WARN : LOG_INFO, "firewall rule met",
		       MS_LOG_INT("rule.id", rule->id), MS_LOG_CSTR("rule.name", rule->name),
		       MS_LOG_CSTR("rule.place", where[hit->in]),
		       MS_LOG_STR("rule.parameter", ms_slice_sub(hit->name, 0, 100)),
		       MS_LOG_INT("score", report->score), MS_LOG_BOOL("blocked", attack && c->mode == 0),
		       MS_LOG_STR("http.request.id", r->x->req.id), MS_LOG_STR("client.address", r->client_ip));
	}
}

static enum gw_verdict inspect(struct gw_request *r, const struct config *c, bool with_body)
{
	struct waf_request request = {.path = r->x->req.target,
				      .query = r->x->req.query,
				      .headers = r->x->req.headers,
				      .header_count = r->x->req.header_count};
	request.path = ms_slice_sub(request.path, 0, ms_slice_find(request.path, '?'));
	if (with_body)
		request.body = r->out.body;
	struct waf_report *report = MS_ARENA_NEW(r->arena, struct waf_report);
	if (report == NULL || ms_waf_inspect(&c->settings, &request, r->arena, report) != MS_OK) {
		if (c->mode == 1)
			return GW_NEXT;
		ms_gw_fail(r, 503, ms_err_name(MS_ERR_NO_MEMORY), "out of memory");
		return GW_ANSWERED;
	}
	bool attack = report->score >= c->anomaly_threshold;
	log_hits(r, c, report, attack);
	if (!attack || c->mode == 1)
		return GW_NEXT;
	ms_gw_fail(r, (int)c->status_code, "gateway.blocked", ms_arena_cstr(r->arena, c->message));
	return GW_ANSWERED;
}

// With a body all is looked at once it is there: what head and body say is one sum.
static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	(void)state;
	return c->inspect_body && r->x->req.has_body ? GW_NEXT : inspect(r, c, false);
}

static enum gw_verdict body(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	(void)state;
	return c->inspect_body && r->x->req.has_body ? inspect(r, c, true) : GW_NEXT;
}

const struct gw_plugin_kind ms_plugin_waf = {
	.name = "waf",
	.priority = 1007,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.per_consumer = true,
	.help = "Finds and refuses common web attacks.",
	.compile = compile,
	.wants_body = wants_body,
	.access = access,
	.body = body,
};
