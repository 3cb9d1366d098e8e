// SPDX-License-Identifier: Apache-2.0
// mirror (ours): copies of requests go to another service too, and its answers are compared. This decides; the proxy sends.
#include "gateway/plugins/plugins.h"

static const char *const protocols[] = {"http", "https", NULL};
static const struct field fields[] = {
	GW_NUMBER(gw_mirror, percent, "100", 0, 100, "Percent of the requests"),
	GW_STRING(gw_mirror, service, NULL, "Service that gets the copies"),
	GW_STRING(gw_mirror, host, NULL, "Or: upstream or host that gets them"),
	GW_INTEGER(gw_mirror, port, "80", 1, GW_PORT_MAX, "Port of host"),
	GW_CHOICE(gw_mirror, protocol, "\"http\"", protocols, "Protocol of host"),
	GW_INTEGER(gw_mirror, timeout_ms, "10000", 1, 600000, "Longest wait for the answer"),
	GW_INTEGER(gw_mirror, max_body, "1048576", 1, 67108864, "Requests with larger bodies are not copied"),
	GW_BOOL(gw_mirror, compare_status, "true", "Count whether the status is the same"),
	GW_BOOL(gw_mirror, compare_body, "false", "Count whether the body is the same"),
	{0},
};

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct gw_mirror *m = config;
	const struct http_request *req = &r->x->req;
	(void)state;
	bool large = req->has_body && req->content_length != UINT64_MAX && req->content_length > (uint64_t)m->max_body;
	if (large || req->protocol.n > 0)
		return GW_NEXT;
	if (m->percent >= 100 || ms_rand_double(ms_loop_rand(r->x->loop)) * 100 < m->percent)
		r->out.mirror = m;
	return GW_NEXT;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	const struct gw_mirror *m = config;
	if ((m->service.n > 0) == (m->host.n > 0)) {
		ms_problem_add(problems, path, NULL, "exactly one of these must be given: service, host");
		return false;
	}
	if (m->host.n > 0)
		return true;
	for (size_t i = 0; i < plan->service_count; i++) {
		const struct gw_service *s = &plan->services[i];
		if (!ms_slice_eq(s->name, m->service) && !ms_slice_eq_cstr(m->service, s->id))
			continue;
		if (s->protocol != GW_LOCAL)
			return true;
		ms_problem_add(problems, path, NULL, "service: \"%.*s\" is local; copies go to other processes alone",
			       MS_SLICE_ARG(m->service));
		return false;
	}
	ms_problem_add(problems, path, NULL, "service: no service has the name or id \"%.*s\"",
		       MS_SLICE_ARG(m->service));
	return false;
}

const struct gw_plugin_kind ms_plugin_mirror = {
	.name = "mirror",
	.priority = 17,
	.fields = fields,
	.config_bytes = sizeof(struct gw_mirror),
	.per_consumer = true,
	.help = "Sends copies of requests to another service (ours)",
	.compile = compile,
	.access = access,
};
