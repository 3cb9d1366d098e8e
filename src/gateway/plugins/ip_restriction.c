// SPDX-License-Identifier: Apache-2.0
// ip-restriction: addresses and networks that may, or may not.
#include "gateway/address.h"
#include "gateway/plugins/plugins.h"

struct networks {
	struct gw_network *items;
	size_t count;
};
struct config {
	struct text_list allow, deny;
	int64_t status;
	struct slice message;
	struct networks allowed, denied; // compiled
};
static const struct field fields[] = {
	GW_FIELD(config, allow, FIELD_STRINGS, .alias = "whitelist",
		 .help = "Addresses and networks that may; no others"),
	GW_FIELD(config, deny, FIELD_STRINGS, .alias = "blacklist", .help = "Addresses and networks that may not"),
	GW_INTEGER(config, status, "403", 400, 599, "Status of refusals"),
	GW_STRING(config, message, NULL, "Message of refusals"),
	{0},
};

static enum gw_verdict refuse(struct gw_request *r, const struct config *c)
{
	struct slice text = c->message.n > 0
				    ? ms_gw_text(r, "%.*s", MS_SLICE_ARG(c->message))
				    : ms_gw_text(r, "IP address not allowed: %.*s", MS_SLICE_ARG(r->client_ip));
	ms_gw_fail(r, (int)c->status, "gateway.address", text.p != NULL ? text.p : "IP address not allowed");
	return GW_ANSWERED;
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	struct gw_address address;
	(void)state;
	if (!ms_gw_address_parse(r->client_ip, &address)) {
		ms_gw_fail(r, 403, "gateway.address",
			   "Cannot identify the client IP address, unix domain sockets are not supported.");
		return GW_ANSWERED;
	}
	if (ms_gw_networks_has(c->denied.items, c->denied.count, address))
		return refuse(r, c);
	if (c->allow.count > 0 && !ms_gw_networks_has(c->allowed.items, c->allowed.count, address))
		return refuse(r, c);
	return GW_NEXT;
}

static bool read_list(struct plan *plan, const struct text_list *texts, const char *name, const char *path,
		      struct problems *problems, struct networks *ret_networks)
{
	bool ok = true;
	struct gw_network *items = MS_ARENA_ARRAY(&plan->arena, struct gw_network, texts->count);
	if (items == NULL)
		return false;
	for (size_t i = 0; i < texts->count; i++) {
		if (ms_gw_network_parse(texts->items[i], &items[i]))
			continue;
		ms_problem_add(problems, path, NULL,
			       "%s[%zu]: \"%.*s\" is no IP address and no network such as 10.0.0.0/8 or 2001:db8::/32 "
			       "(with no bit set behind the prefix)",
			       name, i, MS_SLICE_ARG(texts->items[i]));
		ok = false;
	}
	*ret_networks = (struct networks){items, ok ? ms_gw_networks_sort(items, texts->count) : 0};
	return ok;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	struct config *c = config;
	if (c->allow.count + c->deny.count == 0) {
		ms_problem_add(problems, path, NULL, "at least one of these must be non-empty: allow, deny");
		return false;
	}
	bool ok = read_list(plan, &c->allow, "allow", path, problems, &c->allowed);
	return read_list(plan, &c->deny, "deny", path, problems, &c->denied) && ok;
}

const struct gw_plugin_kind ms_plugin_ip_restriction = {
	.name = "ip-restriction",
	.priority = 990,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.per_consumer = true,
	.help = "Allows or denies IP addresses and networks",
	.compile = compile,
	.access = access,
};
