// SPDX-License-Identifier: Apache-2.0
// Routes: what Kong's rules ask of them beyond the single fields. Expressions are compiled by match.c.
#include "gateway/plan_private.h"

#define PROBLEM(m, e, field, ...) \
	ms_problem_add((m)->problems, ms_plan_field((m), (e), (field)), ms_plan_value((e), (field)), __VA_ARGS__)
#define BIT(protocol) ((uint64_t)1 << (protocol))
#define GRPC_BITS (BIT(GW_GRPC) | BIT(GW_GRPCS))
#define TLS_BITS (BIT(GW_HTTPS) | BIT(GW_GRPCS) | BIT(GW_WSS))

static bool check_protocols(struct making *m, struct entity *e, const struct gw_route *r)
{
	static const uint64_t families[] = {BIT(GW_HTTP) | BIT(GW_HTTPS), GRPC_BITS, BIT(GW_WS) | BIT(GW_WSS)};
	for (size_t i = 0; i < MS_ARRAY_LEN(families); i++) {
		if (r->protocols != 0 && (r->protocols & ~families[i]) == 0)
			return true;
	}
	PROBLEM(m, e, "protocols", "expected one or both of http and https, of grpc and grpcs, or of ws and wss");
	return false;
}

static bool is_set(const struct json_value *value)
{
	return value != NULL && value->type != JSON_NULL;
}

static bool check_grpc(struct making *m, struct entity *e, struct gw_route *r)
{
	if (!(r->protocols & GRPC_BITS))
		return true;
	bool good = true;
	if (!is_set(ms_json_get(e->object, "strip_path")))
		r->strip_path = false; // Kong's default for them
	if (r->strip_path) {
		PROBLEM(m, e, "strip_path", "must be false for gRPC, whose paths name the method");
		good = false;
	}
	if (r->methods.count > 0) {
		PROBLEM(m, e, "methods", "cannot be set for gRPC, which knows POST alone");
		good = false;
	}
	return good;
}

static bool check_something(struct making *m, struct entity *e, const struct gw_route *r)
{
	bool grpc = (r->protocols & GRPC_BITS) != 0;
	if (r->methods.count + r->hosts.count + r->headers.count + r->paths.count > 0 ||
	    (r->snis.count > 0 && (r->protocols & TLS_BITS) == r->protocols))
		return true;
	ms_problem_add(m->problems, e->path, e->object, "must have one of %shosts, headers and paths%s",
		       grpc ? "" : "methods, ", (r->protocols & TLS_BITS) == r->protocols ? ", or snis" : "");
	return false;
}

static bool check_methods(struct making *m, struct entity *e, const struct gw_route *r)
{
	for (size_t i = 0; i < r->methods.count; i++) {
		struct slice method = r->methods.items[i];
		for (size_t k = 0; k < method.n; k++) {
			if (method.p[k] < 'A' || method.p[k] > 'Z') {
				PROBLEM(m, e, "methods", "found \"%.*s\"; expected capital letters",
					MS_SLICE_ARG(method));
				return false;
			}
		}
	}
	return true;
}

// At most one '*', as the first or last label.
static bool is_host_pattern(struct slice host)
{
	size_t colon = ms_slice_find(host, ':');
	uint64_t port;
	if (colon < host.n &&
	    (!ms_slice_to_u64(ms_slice_sub(host, colon + 1, SIZE_MAX), &port) || port == 0 || port > 65535))
		return false;
	host = ms_slice_sub(host, 0, colon);
	if (ms_slice_starts_with(host, MS_SLICE_LIT("*.")))
		host = ms_slice_sub(host, 2, SIZE_MAX);
	else if (ms_slice_ends_with(host, MS_SLICE_LIT(".*")))
		host = ms_slice_sub(host, 0, host.n - 2);
	if (host.n == 0 || host.n > 253)
		return false;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' &&
		    c != '_' && c != '.')
			return false;
		if (c == '.' && (i == 0 || host.p[i - 1] == '.'))
			return false;
	}
	return true;
}

static bool check_hosts(struct making *m, struct entity *e, const struct gw_route *r)
{
	bool good = true;
	for (size_t i = 0; i < r->hosts.count; i++) {
		if (is_host_pattern(r->hosts.items[i]))
			continue;
		PROBLEM(m, e, "hosts",
			"found \"%.*s\"; expected a host, with a * as its first or last label at most: example.com, "
			"*.example.com, example.*",
			MS_SLICE_ARG(ms_slice_sub(r->hosts.items[i], 0, 64)));
		good = false;
	}
	return good;
}

static bool check_headers(struct making *m, struct entity *e, const struct gw_route *r)
{
	bool good = true;
	for (size_t i = 0; i < r->headers.count; i++) {
		const struct text_pair *pair = &r->headers.items[i];
		if (ms_slice_eq_nocase(pair->name, MS_SLICE_LIT("host"))) {
			PROBLEM(m, e, "headers", "\"%.*s\" cannot be set here; use hosts", MS_SLICE_ARG(pair->name));
			good = false;
		} else if (pair->values.count == 0 || pair->name.n == 0) {
			PROBLEM(m, e, "headers", "\"%.*s\" has no values; expected a list of at least one",
				MS_SLICE_ARG(ms_slice_sub(pair->name, 0, 64)));
			good = false;
		}
	}
	return good;
}

static bool check_snis(struct making *m, struct entity *e, struct gw_route *r)
{
	bool good = true;
	if (r->snis.count > 0 && !(r->protocols & TLS_BITS)) {
		PROBLEM(m, e, "snis", "only for https, grpcs and wss");
		good = false;
	}
	for (size_t i = 0; i < r->snis.count; i++) {
		struct slice *sni = &r->snis.items[i];
		if (sni->n > 1 && sni->p[sni->n - 1] == '.')
			sni->n--; // the root's dot is not sent
		if (is_host_pattern(*sni) && ms_slice_find(*sni, '*') == sni->n && ms_slice_find(*sni, ':') == sni->n)
			continue;
		PROBLEM(m, e, "snis", "found \"%.*s\"; expected a host name", MS_SLICE_ARG(ms_slice_sub(*sni, 0, 64)));
		good = false;
	}
	return good;
}

// --- Paths -----------------------------------------------------------------------------------------

// What Kong's own migration takes for plain: letters, digits and . - _ ~ / %.
static bool looks_plain(struct slice path)
{
	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!word && c != '.' && c != '-' && c != '_' && c != '~' && c != '/' && c != '%')
			return false;
	}
	return true;
}

static bool check_path(struct making *m, struct entity *e, size_t index, struct slice *path)
{
	struct arena *arena = &m->plan->arena;
	const char *place = ms_problem_item(m->problems, ms_plan_field(m, e, "paths"), index);
	const struct json_value *where = ms_plan_value(e, "paths");
	if (where->type == JSON_ARRAY && index < where->array.count)
		where = &where->array.items[index];
	if (m->format < 30 && path->n > 0 && path->p[0] == '/' && !looks_plain(*path)) {
		const char *regex =
			ms_arena_printf(arena, "~%.*s", (int)path->n, path->p); // at most 4096 bytes, see the table
		if (regex == NULL)
			return ms_plan_no_memory(m);
		*path = ms_slice_cstr(regex);
	}
	if (ms_slice_starts_with(*path, MS_SLICE_LIT("~/")))
		return true; // compiled in match.c
	if (path->n == 0 || path->p[0] != '/') {
		ms_problem_add(m->problems, place, where,
			       "found \"%.*s\"; expected it to begin with / (a prefix) or ~/ (a regular expression)",
			       MS_SLICE_ARG(ms_slice_sub(*path, 0, 128)));
		return false;
	}
	struct slice normal;
	if (!ms_path_normalize(*path, arena, &normal)) {
		ms_problem_add(m->problems, place, where, "\"%.*s\" is no path of a URL",
			       MS_SLICE_ARG(ms_slice_sub(*path, 0, 128)));
		return false;
	}
	if (normal.p == NULL)
		return ms_plan_no_memory(m);
	*path = normal;
	return true;
}

static bool check_paths(struct making *m, struct entity *e, struct gw_route *r)
{
	bool good = true;
	for (size_t i = 0; i < r->paths.count; i++)
		good &= check_path(m, e, i, &r->paths.items[i]);
	return good;
}

bool ms_plan_make_routes(struct making *m)
{
	m->plan->routes = ms_plan_array(m, ENTITY_ROUTE, sizeof(struct gw_route), &m->plan->route_count);
	if (m->plan->routes == NULL)
		return ms_plan_no_memory(m);
	bool good = true;
	FOR_ENTITIES(m, ENTITY_ROUTE, e)
	{
		struct gw_route *row = &((struct route_row *)e->row)->r;
		good &= check_protocols(m, e, row);
		good &= check_grpc(m, e, row);
		good &= check_something(m, e, row);
		good &= check_methods(m, e, row);
		good &= check_hosts(m, e, row);
		good &= check_headers(m, e, row);
		good &= check_snis(m, e, row);
		good &= check_paths(m, e, row);
		struct gw_route *r = e->made;
		*r = *row;
		memcpy(r->id, e->id, sizeof(r->id));
		r->service = e->owners[OWNER_SERVICE] != NULL ? e->owners[OWNER_SERVICE]->made : NULL;
	}
	return good;
}
