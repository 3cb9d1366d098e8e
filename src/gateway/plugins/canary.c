// SPDX-License-Identifier: Apache-2.0
// canary: a part of the requests goes to another upstream: by percentage, growing with time, by header, or by group.
#include "gateway/canary_watch.h"
#include "gateway/plugins/plugins.h"

enum hash { HASH_CONSUMER, HASH_IP, HASH_HEADER, HASH_NONE, HASH_ALLOW, HASH_DENY };
struct config {
	struct gw_canary_rules analysis;    // first: canary_watch.c reads it
	double percentage, start, duration; // percentage, start: -1: not set
	int64_t steps, upstream_port;
	int hash;
	struct slice hash_header, upstream_host, upstream_uri, canary_by_header_name;
	struct text_list groups;
	bool upstream_fallback;
};
static const char *const hashes[] = {"consumer", "ip", "header", "none", "allow", "deny", NULL};
static const char *const analysis_modes[] = {"off", "report", "act", NULL};
#define RULE(m, k, ...)                                                                             \
	{                                                                                           \
		.name = #m, .kind = (k), .offset = offsetof(struct gw_canary_rules, m), __VA_ARGS__ \
	}
static const struct field analysis_fields[] = {
	RULE(mode, FIELD_CHOICE, .fallback = "\"off\"", .choices = analysis_modes,
	     .help = "report: figures and verdict; act: promotes to 100 percent or rolls back to 0 by itself"),
	RULE(minimum_requests, FIELD_INTEGER, .fallback = "500", .min = 1, .max = 1e9,
	     .help = "Requests of both that a verdict takes; a canary that fails clearly is rolled back before"),
	RULE(looks, FIELD_INTEGER, .fallback = "20", .min = 1, .max = 10000,
	     .help = "How often the figures are compared, at most: each time spends its part of the significance"),
	RULE(interval, FIELD_NUMBER, .fallback = "30", .min = 0.25, .max = 86400, .help = "Seconds between two looks"),
	RULE(significance, FIELD_NUMBER, .fallback = "0.01", .min = 1e-9, .max = 0.5,
	     .help = "Chance to roll back a canary that is not worse"),
	RULE(error_tolerance, FIELD_NUMBER, .fallback = "0.001", .max = 1,
	     .help = "So much more of the error rate is no harm"),
	RULE(latency_tolerance, FIELD_NUMBER, .fallback = "0.05", .max = 0.5,
	     .help = "So much more than a half of the pairs in which the canary is the slower one is no harm"),
	{0},
};

static const struct field fields[] = {
	GW_RECORD(config, analysis, analysis_fields, "Compares the canary with what it is to replace (ours)"),
	GW_NUMBER(config, percentage, "-1", -1, 100, "Percent of the requests"),
	GW_NUMBER(config, start, "-1", -1, 4102444800, "Unix time at which the part begins to grow from 0 to all"),
	GW_NUMBER(config, duration, "3600", 1, 315360000, "Seconds until it is all"),
	GW_INTEGER(config, steps, "1000", 1, 1000000, "Steps of the part"),
	GW_CHOICE(config, hash, "\"consumer\"", hashes,
		  "What decides: the same one always goes the same way; allow and deny: by groups"),
	GW_STRING(config, hash_header, NULL, "Header, for hash header"),
	GW_STRINGS(config, groups, NULL, "Groups that go to the canary (allow), or do not (deny)"),
	GW_STRING(config, upstream_host, NULL, "Upstream or host of the canary"),
	GW_INTEGER(config, upstream_port, "0", 0, GW_PORT_MAX, "Its port; 0: the service's"),
	GW_STRING(config, upstream_uri, NULL, "Path that the canary is asked for"),
	GW_BOOL(config, upstream_fallback, "false", "Go the usual way while the canary has no healthy target"),
	GW_STRING(config, canary_by_header_name, NULL, "Header whose value `always` or `never` decides"),
	{0},
};

static struct slice decider(const struct gw_request *r, const struct config *c)
{
	struct slice who = MS_SLICE_EMPTY;
	if (c->hash == HASH_CONSUMER)
		who = r->consumer != NULL ? ms_slice_cstr(r->consumer->id) : r->credential_id;
	else if (c->hash == HASH_HEADER)
		who = ms_gw_header(&r->out.headers, c->hash_header);
	return who.n > 0 ? who : r->client_ip;
}

// Steps of c->steps that go to the canary now.
static double part(const struct gw_request *r, const struct config *c)
{
	double now_s = (double)r->wall_ns / 1e9, steps = (double)c->steps;
	if (c->percentage >= 0)
		return steps * c->percentage / 100;
	if (now_s < c->start)
		return 0;
	return MS_MIN((now_s - c->start) / c->duration, 1.0) * steps;
}

static bool in_groups(const struct gw_request *r, const struct config *c)
{
	const struct text_list *groups = r->consumer != NULL ? &r->consumer->groups : &r->groups;
	for (size_t i = 0; i < groups->count; i++) {
		if (ms_gw_text_list_has(&c->groups, groups->items[i]))
			return true;
	}
	return false;
}

static bool chosen(struct gw_request *r, const struct config *c)
{
	static const struct hash_seed seed = {UINT64_C(0x63616e617279), 1}; // fixed: all processes decide alike
	struct slice said = c->canary_by_header_name.n > 0 ? ms_gw_header(&r->out.headers, c->canary_by_header_name)
							   : MS_SLICE_EMPTY;
	if (ms_slice_eq_nocase(said, MS_SLICE_LIT("always")))
		return true;
	if (ms_slice_eq_nocase(said, MS_SLICE_LIT("never")))
		return false;
	if (c->hash == HASH_ALLOW || c->hash == HASH_DENY)
		return in_groups(r, c) == (c->hash == HASH_ALLOW);
	uint64_t step = c->hash == HASH_NONE ? ms_rand_below(ms_loop_rand(r->x->loop), (uint64_t)c->steps)
					     : ms_hash(decider(r, c), seed) % (uint64_t)c->steps;
	return (double)step < part(r, c);
}

static enum gw_verdict access(struct gw_request *r, const void *config, void **state)
{
	const struct config *c = config;
	if (!chosen(r, c))
		return GW_NEXT;
	*state = r; // not NULL: it was chosen
	r->out.fallback_path = r->out.path;
	r->out.host_fallback = c->upstream_fallback && c->upstream_host.n > 0;
	if (c->upstream_host.n > 0)
		r->out.host = c->upstream_host;
	if (c->upstream_port > 0)
		r->out.port = (unsigned)c->upstream_port;
	if (c->upstream_uri.n > 0)
		r->out.path = c->upstream_uri;
	return GW_NEXT;
}

static bool compile(struct plan *plan, void *config, const char *path, struct problems *problems)
{
	const struct config *c = config;
	size_t before = problems->count;
	(void)plan;
	bool by_groups = c->hash == HASH_ALLOW || c->hash == HASH_DENY;
	if (!by_groups && (c->percentage >= 0) == (c->start >= 0))
		ms_problem_add(problems, path, NULL,
			       "exactly one of these must be given: percentage, start (with duration)");
	if (by_groups && c->groups.count == 0)
		ms_problem_add(problems, path, NULL, "groups: required with hash allow and deny");
	if (c->hash == HASH_HEADER && !ms_gw_header_name_ok(c->hash_header))
		ms_problem_add(problems, path, NULL, "hash_header: the name of a header is required with hash header");
	if (c->upstream_host.n == 0 && c->upstream_uri.n == 0 && c->upstream_port == 0)
		ms_problem_add(problems, path, NULL,
			       "at least one of these must be given: upstream_host, upstream_port, upstream_uri");
	if (c->upstream_fallback && c->upstream_host.n == 0)
		ms_problem_add(problems, path, NULL, "upstream_fallback: requires upstream_host");
	if (c->upstream_uri.n > 0 && c->upstream_uri.p[0] != '/')
		ms_problem_add(problems, path, NULL, "upstream_uri: \"%.*s\" does not begin with /",
			       MS_SLICE_ARG(c->upstream_uri));
	return problems->count == before;
}

const struct gw_plugin_kind ms_plugin_canary = {
	.name = "canary",
	.priority = 16,
	.fields = fields,
	.config_bytes = sizeof(struct config),
	.help = "Sends a part of the requests to another upstream",
	.compile = compile,
	.access = access,
};
