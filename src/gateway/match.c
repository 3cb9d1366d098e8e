// SPDX-License-Identifier: Apache-2.0
// Which route a request takes. The tables of its host, of wildcards that fit its host, and of no host are looked into; among what matches the smallest
// rank wins. Nothing of it depends on how many routes there are, but for those that share host and path.
#include "gateway/match_private.h"

#define HOST_MAX 256

struct matching {
	const struct gw_match_tree *tree;
	const struct exchange *x;
	struct slice path;
	const struct item *best;
	struct gw_match *match;
	char host[HOST_MAX]; // in lower case
	size_t host_n;
	unsigned port;
	bool failed; // an expression took too long
	bool no_memory;
};

// --- What else a rule asks -------------------------------------------------------------------------

static pcre2_match_data *scratch(struct matching *g)
{
	const struct loop *loop = g->x->loop;
	size_t index = loop != NULL ? (size_t)ms_loop_index(loop) + 1 : 0;
	MS_ASSERT(index < MATCH_LOOPS_MAX);
	// Each loop touches its own place alone, so the tree counts as not changed.
	pcre2_match_data **place = (pcre2_match_data **)(uintptr_t)&g->tree->scratch[index];
	if (*place == NULL)
		*place = pcre2_match_data_create(g->tree->scratch_pairs, NULL);
	g->no_memory |= *place == NULL;
	return *place;
}

static bool run_regex(struct matching *g, const struct gw_regex *regex, struct slice text, pcre2_match_data **ret_data)
{
	pcre2_match_data *data = scratch(g);
	if (data == NULL)
		return false;
	int n = pcre2_match(regex->code, (PCRE2_SPTR)(text.n > 0 ? text.p : ""), text.n, 0, 0, data, g->tree->context);
	if (n < 0 && n != PCRE2_ERROR_NOMATCH)
		g->failed = true; // not taken for "no": another route, with other rules, would get the request
	*ret_data = data;
	return n >= 0;
}

static bool header_has(struct matching *g, const struct header_rule *rule)
{
	const struct http_request *req = &g->x->req;
	for (size_t i = 0; i < req->header_count; i++) {
		if (!ms_slice_eq_nocase(req->headers[i].name, rule->name))
			continue;
		for (size_t k = 0; k < rule->count; k++) {
			pcre2_match_data *data;
			const struct header_value *v = &rule->values[k];
			if (v->regex != NULL ? run_regex(g, v->regex, req->headers[i].value, &data)
					     : ms_slice_eq_nocase(req->headers[i].value, v->text))
				return true;
		}
	}
	return false;
}

static bool sni_fits(const struct matching *g, const struct gw_route *route)
{
	if (route->snis.count == 0 || !g->x->req.tls)
		return true; // without TLS there is no name to look at, as Kong has it
	for (size_t i = 0; i < route->snis.count; i++) {
		if (ms_slice_eq_nocase(route->snis.items[i], g->x->req.sni))
			return true;
	}
	return false;
}

static bool rule_fits(struct matching *g, const struct item *item)
{
	const struct rule *rule = item->rule;
	if (!rule->any_method && !(rule->methods & 1U << g->x->req.method))
		return false;
	if (item->port != 0 && item->port != g->port)
		return false;
	for (size_t i = 0; i < rule->header_count; i++) {
		if (!header_has(g, &rule->headers[i]))
			return false;
	}
	return sni_fits(g, rule->route);
}

// --- Paths -----------------------------------------------------------------------------------------

static void take_captures(struct matching *g, const struct gw_regex *regex, pcre2_match_data *data)
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(data);
	struct gw_match *m = g->match;
	m->matched = ms_slice_sub(g->path, 0, at[1]);
	m->capture_count = regex->groups;
	for (size_t i = 0; i < regex->groups; i++) {
		bool set = at[2 * i + 2] != PCRE2_UNSET;
		m->captures[i] =
			set ? ms_slice_sub(g->path, at[2 * i + 2], at[2 * i + 3] - at[2 * i + 2]) : MS_SLICE_EMPTY;
		m->capture_names[i] = regex->names[i];
	}
}

static bool path_fits(struct matching *g, const struct item *item)
{
	pcre2_match_data *data;
	if (item->regex == NULL) {
		g->match->matched = ms_slice_sub(g->path, 0, item->prefix);
		g->match->capture_count = 0;
		return true;
	}
	if (!run_regex(g, item->regex, g->path, &data))
		return false;
	take_captures(g, item->regex, data);
	return true;
}

static void try_items(struct matching *g, const struct items *items)
{
	for (size_t i = 0; i < items->n; i++) {
		const struct item *item = &items->at[i];
		if (g->best != NULL && item->rule->rank >= g->best->rule->rank)
			return;
		if (rule_fits(g, item) && path_fits(g, item)) {
			g->best = item;
			return;
		}
	}
}

static void walk_prefixes(struct matching *g, const struct radix *node)
{
	struct slice rest = g->path;
	while (rest.n > 0) {
		unsigned child = node->child_of[(unsigned char)rest.p[0]];
		if (child == 0)
			return;
		node = node->children[child - 1];
		if (!ms_slice_starts_with(rest, node->label))
			return;
		rest = ms_slice_sub(rest, node->label.n, SIZE_MAX);
		try_items(g, &node->items);
	}
}

// `rest` begins with the slash before the next segment, or is empty. As deep as the expressions of the plan are.
static void walk_segments(struct matching *g, const struct segment *node, struct slice rest)
{
	try_items(g, &node->tail);
	if (rest.n == 0) {
		try_items(g, &node->end);
		return;
	}
	if (node->any == NULL && node->literals == NULL)
		return;
	struct slice name = ms_slice_sub(rest, 1, SIZE_MAX);
	name = ms_slice_sub(name, 0, ms_slice_find(name, '/'));
	rest = ms_slice_sub(rest, name.n + 1, SIZE_MAX);
	const struct segment *literal = node->literals != NULL ? ms_map_get(node->literals, name) : NULL;
	if (literal != NULL)
		walk_segments(g, literal, rest);
	if (node->any != NULL)
		walk_segments(g, node->any, rest);
}

static void try_bucket(struct matching *g, const struct bucket *bucket)
{
	if (bucket == NULL)
		return;
	walk_segments(g, &bucket->segments, g->path);
	walk_prefixes(g, &bucket->radix);
	try_items(g, &bucket->no_path);
}

// --- Hosts -----------------------------------------------------------------------------------------

static void read_host(struct matching *g)
{
	struct slice authority = g->x->req.authority;
	g->port = g->x->req.tls ? 443 : 80;
	size_t end = authority.n > 0 && authority.p[0] == '[' ? ms_slice_find(authority, ']') + 1
							      : ms_slice_find(authority, ':');
	struct slice host = ms_slice_sub(authority, 0, end);
	uint64_t port;
	if (end < authority.n && ms_slice_to_u64(ms_slice_sub(authority, end + 1, SIZE_MAX), &port) && port <= 65535)
		g->port = (unsigned)port;
	if (host.n > HOST_MAX)
		host.n = 0; // no host has so long a name
	for (size_t i = 0; i < host.n; i++)
		g->host[i] = (char)(host.p[i] >= 'A' && host.p[i] <= 'Z' ? host.p[i] + 32 : host.p[i]);
	g->host_n = host.n;
}

static void try_hosts(struct matching *g)
{
	const struct gw_match_tree *t = g->tree;
	struct slice host = ms_slice(g->host, g->host_n);
	if (t->exact.count > 0 && host.n > 0)
		try_bucket(g, ms_map_get(&t->exact, host));
	for (size_t i = 0; i < host.n && t->before.count + t->after.count > 0; i++) {
		if (host.p[i] != '.')
			continue;
		if (t->before.count > 0)
			try_bucket(g, ms_map_get(&t->before, ms_slice_sub(host, i, SIZE_MAX)));
		if (t->after.count > 0)
			try_bucket(g, ms_map_get(&t->after, ms_slice_sub(host, 0, i + 1)));
	}
	try_bucket(g, &t->any);
}

enum ms_err ms_plan_match(const struct plan *plan, const struct exchange *x, struct errinfo *info,
			  struct gw_match *ret_match)
{
	struct matching g = {.tree = plan->matcher, .x = x, .match = ret_match};
	if (!ms_path_normalize(x->req.path, x->arena, &g.path))
		return ms_fail(info, MS_ERR_HTTP_SYNTAX, "The path is no path of a URL, or hides dot segments.");
	if (g.path.p == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "Not enough memory for this path.");
	ret_match->path = g.path;
	ret_match->matched = MS_SLICE_EMPTY;
	ret_match->capture_count = 0;
	ret_match->route = NULL;
	if (g.tree == NULL)
		return ms_fail(info, MS_ERR_HTTP_NO_ROUTE, "no Route matched with those values");
	read_host(&g);
	try_hosts(&g);
	if (g.no_memory)
		return ms_fail(info, MS_ERR_NO_MEMORY, "Not enough memory to find a route.");
	if (g.failed)
		return ms_fail(info, MS_ERR_HTTP_SYNTAX,
			       "The path or a header takes too many steps to compare with the routes.");
	if (g.best == NULL)
		return ms_fail(info, MS_ERR_HTTP_NO_ROUTE, "no Route matched with those values");
	ret_match->route = g.best->rule->route;
	return MS_OK;
}

int ms_plan_protocol(const struct gw_route *route, bool tls, unsigned http_version)
{
	const uint64_t with_tls = 1U << GW_HTTPS | 1U << GW_GRPCS | 1U << GW_WSS, grpc = 1U << GW_GRPC | 1U << GW_GRPCS;
	if (!tls && (route->protocols & ~with_tls) == 0)
		return (int)route->https_redirect_status_code;
	return (route->protocols & grpc) != 0 && http_version < 20 ? 426 : 0;
}
