// SPDX-License-Identifier: Apache-2.0
// acl: who is in which group of consumers.
#include "gateway/plugins/plugins.h"

struct config {
	struct text_list allow, deny;
	bool hide_groups_header, always_use_authenticated_groups, include_consumer_groups;
};
static const struct field fields[] = {
	GW_FIELD(config, allow, FIELD_STRINGS, .alias = "whitelist", .help = "Groups that may; all others may not"),
	GW_FIELD(config, deny, FIELD_STRINGS, .alias = "blacklist", .help = "Groups that may not; all others may"),
	GW_BOOL(config, hide_groups_header, "false", "Do not send X-Consumer-Groups to the upstream"),
	GW_BOOL(config, include_consumer_groups, "false", "Accepted: groups of consumers are those of their acls here"),
	GW_BOOL(config, always_use_authenticated_groups, "false",
		"Use the groups that authentication found, even when there is a consumer"),
	{0},
};

static bool is_in(const struct text_list *groups, const struct text_list *list)
{
	for (size_t i = 0; i < groups->count; i++) {
		if (ms_gw_text_list_has(list, groups->items[i]))
			return true;
	}
	return false;
}

static enum gw_verdict forbid(struct gw_request *r)
{
	ms_gw_fail(r, 403, "gateway.forbidden", "You cannot consume this service");
	return GW_ANSWERED;
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	const struct text_list *groups = NULL;
	(void)state;
	bool authenticated = r->groups.count > 0 && (c->always_use_authenticated_groups || r->consumer == NULL);
	if (authenticated)
		groups = &r->groups;
	else if (r->consumer != NULL)
		groups = &r->consumer->groups;
	if (groups == NULL) { // nobody in particular
		if (r->credential_id.n > 0)
			return forbid(r);
		ms_gw_fail(r, 401, "gateway.unauthorized", "Unauthorized");
		return GW_ANSWERED;
	}
	if (c->deny.count > 0 ? is_in(groups, &c->deny) : !is_in(groups, &c->allow))
		return forbid(r);
	struct slice name = authenticated ? MS_SLICE_LIT("X-Authenticated-Groups") : MS_SLICE_LIT("X-Consumer-Groups");
	struct slice text = ms_gw_join(r, groups, ", ");
	if (!c->hide_groups_header && text.n > 0 && ms_gw_header_value_ok(text) &&
	    !ms_gw_header_set(&r->out.headers, name, text))
		return forbid(r); // an upstream may decide by it
	return GW_NEXT;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	const struct config *c = config;
	(void)plan;
	if ((c->allow.count > 0) != (c->deny.count > 0))
		return true;
	ms_problem_add(problems, path, NULL,
		       "exactly one of these must be given, with at least one group: allow, deny");
	return false;
}

const struct gw_plugin_kind ms_plugin_acl = {
	.name = "acl",
	.priority = 950,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.help = "Allows or denies groups of consumers",
	.compile = compile,
	.access = access,
};
