// SPDX-License-Identifier: Apache-2.0
// Upstreams with their targets, and services.
#include "gateway/plan_private.h"
#include "net/net.h"
#include "rt/rt.h"

#define PROBLEM(m, e, field, ...) \
	ms_problem_add((m)->problems, ms_plan_field((m), (e), (field)), ms_plan_value((e), (field)), __VA_ARGS__)

// Labels of letters, digits, '-' and '_', with dots between.
static bool is_host_name(struct slice s)
{
	if (s.n == 0 || s.n > 253)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool dot = c == '.';
		if (!dot && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '-' &&
		    c != '_')
			return false;
		if (dot && (i == 0 || s.p[i - 1] == '.'))
			return false;
	}
	return true;
}

static bool is_ipv4(struct slice s)
{
	size_t parts = 0;
	struct slice part;
	while (ms_slice_next(&s, '.', &part)) {
		uint64_t value;
		if (!ms_slice_to_u64(part, &value) || value > 255 || part.n > 3)
			return false;
		parts++;
	}
	return parts == 4;
}

// "2001:db8::1", without brackets; its syntax in full is the resolver's business. One colon is that of a port.
static bool is_ipv6(struct slice s)
{
	size_t colons = 0;
	for (size_t i = 0; i < s.n; i++)
		colons += s.p[i] == ':';
	if (s.n > 45 || colons < 2)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F') && c != ':' &&
		    c != '.')
			return false;
	}
	return true;
}

static struct slice without_brackets(struct slice s)
{
	return s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']' ? ms_slice_sub(s, 1, s.n - 2) : s;
}

// "host", "host:80", "[::1]:80". False: none of these; port 0: none given.
static bool split_address(struct slice s, struct slice *ret_host, unsigned *ret_port)
{
	*ret_port = 0;
	if (is_ipv6(s)) {
		*ret_host = s;
		return true;
	}
	size_t end = s.n > 0 && s.p[0] == '[' ? ms_slice_find(s, ']') + 1 : ms_slice_find(s, ':');
	if (end > s.n)
		return false;
	struct slice host = ms_slice_sub(s, 0, end), rest = ms_slice_sub(s, end, SIZE_MAX);
	bool brackets = host.n > 0 && host.p[0] == '[';
	*ret_host = without_brackets(host);
	if (brackets ? !is_ipv6(*ret_host) : !is_host_name(host))
		return false;
	if (rest.n == 0)
		return true;
	uint64_t port;
	if (rest.p[0] != ':' || !ms_slice_to_u64(ms_slice_sub(rest, 1, SIZE_MAX), &port) || port == 0 || port > 65535)
		return false;
	*ret_port = (unsigned)port;
	return true;
}

// What the client of upstreams would refuse later on is refused here, where the place can be told.
static bool check_origin(struct making *m, struct entity *e, const char *field,
			 const struct http_origin_options *options)
{
	struct errinfo info;
	ms_errinfo_init(&info);
	if (ms_http_origin_check(options, &info) == MS_OK)
		return true;
	PROBLEM(m, e, field, "%s", info.message);
	return false;
}

// --- Targets ---------------------------------------------------------------------------------------

static bool make_target(struct making *m, struct entity *e, struct gw_target *t)
{
	const struct target_row *row = e->row;
	*t = row->t;
	memcpy(t->id, e->id, sizeof(t->id));
	t->weight = (unsigned)row->weight;
	if (!split_address(t->target, &t->host, &t->port)) {
		PROBLEM(m, e, "target", "found \"%.*s\"; expected host:port, such as 10.0.0.7:8080 or [::1]:8080",
			MS_SLICE_ARG(ms_slice_sub(t->target, 0, 64)));
		return false;
	}
	if (t->port == 0)
		t->port = 8000;
	return check_origin(m, e, "target", &(struct http_origin_options){.host = t->host, .port = t->port});
}

static bool same_target(const struct gw_target *a, const struct gw_target *b)
{
	return a->port == b->port && ms_slice_eq_nocase(a->host, b->host) && ms_slice_eq(a->group, b->group);
}

// Targets of all upstreams in one array, those of one upstream side by side.
static bool make_targets(struct making *m)
{
	struct gw_target *all = MS_ARENA_ARRAY(&m->plan->arena, struct gw_target, m->count[ENTITY_TARGET]);
	if (all == NULL)
		return ms_plan_no_memory(m);
	FOR_ENTITIES(m, ENTITY_TARGET, e)
	{
		if (e->owners[OWNER_UPSTREAM] != NULL)
			((struct gw_upstream *)e->owners[OWNER_UPSTREAM]->made)->target_count++;
	}
	FOR_ENTITIES(m, ENTITY_UPSTREAM, e)
	{
		struct gw_upstream *u = e->made;
		u->targets = all;
		all += u->target_count;
		u->target_count = 0;
	}
	bool good = true;
	FOR_ENTITIES(m, ENTITY_TARGET, e)
	{
		if (e->owners[OWNER_UPSTREAM] == NULL)
			continue;
		struct gw_upstream *u = e->owners[OWNER_UPSTREAM]->made;
		struct gw_target *t = &u->targets[u->target_count++];
		e->made = t;
		if (!make_target(m, e, t)) {
			good = false;
			continue;
		}
		for (size_t i = 0; i + 1 < u->target_count && i < 1000; i++) {
			if (same_target(&u->targets[i], t)) {
				PROBLEM(m, e, "target", "%.*s stands twice in the upstream %.*s",
					MS_SLICE_ARG(t->target), MS_SLICE_ARG(u->name));
				good = false;
				break;
			}
		}
	}
	return good;
}

// --- Upstreams -------------------------------------------------------------------------------------

static bool need_text(struct making *m, struct entity *e, struct slice text, const char *field, const char *when)
{
	if (text.n > 0)
		return true;
	PROBLEM(m, e, field, "required when %s", when);
	return false;
}

static bool check_hash_input(struct making *m, struct entity *e, const struct gw_upstream *u)
{
	bool good = true;
	if (u->hash_on == GW_HASH_HEADER)
		good &= need_text(m, e, u->hash_on_header, "hash_on_header", "hash_on is header");
	if (u->hash_on == GW_HASH_COOKIE || u->hash_fallback == GW_HASH_COOKIE)
		good &= need_text(m, e, u->hash_on_cookie, "hash_on_cookie", "hash_on or hash_fallback is cookie");
	if (u->hash_on == GW_HASH_QUERY_ARG)
		good &= need_text(m, e, u->hash_on_query_arg, "hash_on_query_arg", "hash_on is query_arg");
	if (u->hash_on == GW_HASH_URI_CAPTURE)
		good &= need_text(m, e, u->hash_on_uri_capture, "hash_on_uri_capture", "hash_on is uri_capture");
	if (u->hash_fallback == GW_HASH_HEADER)
		good &= need_text(m, e, u->hash_fallback_header, "hash_fallback_header", "hash_fallback is header");
	if (u->hash_fallback == GW_HASH_QUERY_ARG)
		good &= need_text(m, e, u->hash_fallback_query_arg, "hash_fallback_query_arg",
				  "hash_fallback is query_arg");
	if (u->hash_fallback == GW_HASH_URI_CAPTURE)
		good &= need_text(m, e, u->hash_fallback_uri_capture, "hash_fallback_uri_capture",
				  "hash_fallback is uri_capture");
	return good;
}

// A fallback to the very thing that was missing is none.
static bool same_input(const struct gw_upstream *u)
{
	if (u->hash_on != u->hash_fallback || u->hash_on == GW_HASH_NONE)
		return false;
	switch ((int)u->hash_on) {
	case GW_HASH_HEADER:
		return ms_slice_eq_nocase(u->hash_on_header, u->hash_fallback_header);
	case GW_HASH_QUERY_ARG:
		return ms_slice_eq(u->hash_on_query_arg, u->hash_fallback_query_arg);
	case GW_HASH_URI_CAPTURE:
		return ms_slice_eq(u->hash_on_uri_capture, u->hash_fallback_uri_capture);
	default:
		return true;
	}
}

static bool check_hash(struct making *m, struct entity *e, struct gw_upstream *u)
{
	if (u->algorithm == GW_LEAST_CONNECTIONS)
		u->hash_on = GW_HASH_NONE; // as Kong
	else if (u->hash_on != GW_HASH_NONE)
		u->algorithm = GW_CONSISTENT_HASHING;
	bool good = check_hash_input(m, e, u);
	if (u->hash_fallback != GW_HASH_NONE && u->hash_on == GW_HASH_NONE && u->algorithm != GW_LEAST_CONNECTIONS) {
		PROBLEM(m, e, "hash_fallback", "must be none when hash_on is none");
		good = false;
	}
	if ((u->hash_on == GW_HASH_COOKIE || u->hash_on == GW_HASH_PATH) && u->hash_fallback != GW_HASH_NONE) {
		PROBLEM(m, e, "hash_fallback", "must be none when hash_on is cookie or path, which are never missing");
		good = false;
	} else if (same_input(u)) {
		PROBLEM(m, e, "hash_fallback", "is the same as hash_on; expected another input, or none");
		good = false;
	}
	return good;
}

static bool check_upstream(struct making *m, struct entity *e, struct gw_upstream *u, const struct upstream_row *row)
{
	bool good = check_hash(m, e, u);
	if (!is_host_name(u->name) || is_ipv4(u->name)) {
		PROBLEM(m, e, "name", "found \"%.*s\"; expected the form of a host name, no address, no port",
			MS_SLICE_ARG(ms_slice_sub(u->name, 0, 64)));
		good = false;
	}
	if (row->use_srv_name) {
		PROBLEM(m, e, "use_srv_name", "SRV records are not supported; expected false");
		good = false;
	}
	if (u->active.http_path.n > 0 && u->active.http_path.p[0] != '/') {
		PROBLEM(m, e, "healthchecks", "active.http_path: found \"%.*s\"; expected it to begin with /",
			MS_SLICE_ARG(ms_slice_sub(u->active.http_path, 0, 64)));
		good = false;
	}
	return good;
}

bool ms_plan_make_upstreams(struct making *m)
{
	m->plan->upstreams = ms_plan_array(m, ENTITY_UPSTREAM, sizeof(struct gw_upstream), &m->plan->upstream_count);
	if (m->plan->upstreams == NULL)
		return ms_plan_no_memory(m);
	bool good = true;
	FOR_ENTITIES(m, ENTITY_UPSTREAM, e)
	{
		struct upstream_row *row = e->row;
		good &= check_upstream(m, e, &row->u, row);
		struct gw_upstream *u = e->made;
		*u = row->u;
		memcpy(u->id, e->id, sizeof(u->id));
	}
	good &= make_targets(m);
	FOR_ENTITIES(m, ENTITY_UPSTREAM, e)
	{
		const struct gw_upstream *u = e->made;
		bool found = u->active_group.n == 0;
		for (size_t i = 0; i < u->target_count; i++)
			found |= ms_slice_eq(u->targets[i].group, u->active_group);
		if (!found) {
			PROBLEM(m, e, "active_group", "no target of this upstream is in the group \"%.*s\"",
				MS_SLICE_ARG(u->active_group));
			good = false;
		}
	}
	return good;
}

// --- Services --------------------------------------------------------------------------------------

static bool has(const struct entity *e, const char *field)
{
	const struct json_value *value = ms_json_get(e->object, field);
	return value != NULL && value->type != JSON_NULL;
}

static bool read_scheme(struct slice *rest, enum gw_protocol *ret_protocol)
{
	for (size_t i = 0; ms_gw_protocol_names[i] != NULL; i++) {
		struct slice name = ms_slice_cstr(ms_gw_protocol_names[i]);
		if (ms_slice_starts_with(*rest, name) &&
		    ms_slice_starts_with(ms_slice_sub(*rest, name.n, SIZE_MAX), MS_SLICE_LIT("://"))) {
			*rest = ms_slice_sub(*rest, name.n + 3, SIZE_MAX);
			*ret_protocol = (enum gw_protocol)i;
			return true;
		}
	}
	return false;
}

// protocol://host:port/path, without user, query and fragment.
static bool read_url(struct making *m, struct entity *e, struct service_row *row)
{
	static const char *const parts[] = {"protocol", "host", "port", "path"};
	for (size_t i = 0; i < MS_ARRAY_LEN(parts); i++) {
		if (has(e, parts[i])) {
			PROBLEM(m, e, parts[i], "given twice: url says it too");
			return false;
		}
	}
	struct slice rest = row->url;
	unsigned port;
	bool good = read_scheme(&rest, &row->s.protocol);
	size_t slash = ms_slice_find(rest, '/');
	good = good && ms_slice_find(rest, '?') == rest.n && ms_slice_find(rest, '#') == rest.n;
	if (!good || !split_address(ms_slice_sub(rest, 0, slash), &row->s.host, &port)) {
		PROBLEM(m, e, "url", "found \"%.*s\"; expected http://host:port/path, or https, grpc, grpcs",
			MS_SLICE_ARG(ms_slice_sub(row->url, 0, 128)));
		return false;
	}
	bool tls = row->s.protocol == GW_HTTPS || row->s.protocol == GW_GRPCS || row->s.protocol == GW_WSS;
	row->port = port != 0 ? (int64_t)port : tls ? 443 : 80;
	row->s.path = slash < rest.n ? ms_slice_sub(rest, slash, SIZE_MAX) : MS_SLICE_EMPTY;
	return true;
}

static bool check_path(struct making *m, struct entity *e, const struct service_row *row)
{
	struct slice path = row->s.path;
	const char *field = row->url.n > 0 ? "url" : "path";
	if (path.n == 0)
		return true;
	if (row->s.protocol == GW_GRPC || row->s.protocol == GW_GRPCS) {
		PROBLEM(m, e, field, "a gRPC service has no path; expected none");
		return false;
	}
	struct slice normal;
	if (path.p[0] != '/' || !ms_path_normalize(path, &m->plan->arena, &normal) || !ms_slice_eq(normal, path)) {
		PROBLEM(m, e, field,
			"found the path \"%.*s\"; expected it to begin with /, without //, dot segments and characters "
			"that a URL encodes",
			MS_SLICE_ARG(ms_slice_sub(path, 0, 128)));
		return false;
	}
	return true;
}

static bool is_tls(enum gw_protocol protocol)
{
	return protocol == GW_HTTPS || protocol == GW_GRPCS || protocol == GW_WSS;
}

static bool read_certificates(struct making *m, struct entity *e, struct service_row *row)
{
	bool good = true;
	struct buf pem;
	ms_buf_init(&pem, (size_t)4 << 20);
	for (size_t i = 0; i < row->ca_certificates.count; i++) {
		struct slice id = row->ca_certificates.items[i];
		const struct entity *ca = ms_plan_find(m, ENTITY_CA_CERTIFICATE, id);
		if (ca == NULL) {
			PROBLEM(m, e, "ca_certificates", "no CA certificate has the id \"%.*s\"", MS_SLICE_ARG(id));
			good = false;
			continue;
		}
		ms_buf_append_slice(&pem, ((const struct certificate_row *)ca->row)->cert);
		ms_buf_append_char(&pem, '\n');
	}
	row->s.ca_pem = pem.n > 0 ? ms_arena_copy(&m->plan->arena, ms_buf_slice(&pem)) : MS_SLICE_EMPTY;
	good = good && (ms_buf_ok(&pem) && (pem.n == 0 || row->s.ca_pem.p != NULL) ? true : ms_plan_no_memory(m));
	ms_buf_fini(&pem);
	if (row->client_certificate == NULL)
		return good;
	struct slice id = MS_SLICE_EMPTY;
	bool named = ms_json_as_str(row->client_certificate, &id) ||
		     ms_json_as_str(ms_json_get(row->client_certificate, "id"), &id);
	const struct entity *certificate = named ? ms_plan_find(m, ENTITY_CERTIFICATE, id) : NULL;
	if (certificate == NULL) {
		PROBLEM(m, e, "client_certificate", "no certificate has the id \"%.*s\"",
			MS_SLICE_ARG(ms_slice_sub(id, 0, 64)));
		return false;
	}
	row->s.client_cert_pem = ((const struct certificate_row *)certificate->row)->cert;
	row->s.client_key_pem = ((const struct certificate_row *)certificate->row)->key;
	return good;
}

static bool check_tls(struct making *m, struct entity *e, const struct service_row *row)
{
	static const char *const fields[] = {"tls_verify", "tls_verify_depth", "ca_certificates", "client_certificate"};
	bool good = true;
	for (size_t i = 0; i < MS_ARRAY_LEN(fields) && !is_tls(row->s.protocol); i++) {
		// What an export writes for a plain service says nothing.
		if (!has(e, fields[i]) || (i == 0 && row->s.tls_verify))
			continue;
		PROBLEM(m, e, fields[i], "only for https, grpcs and wss; the protocol is %s",
			ms_gw_protocol_names[row->s.protocol]);
		good = false;
	}
	return good;
}

static bool check_host(struct making *m, struct entity *e, struct service_row *row)
{
	struct slice host;
	unsigned port;
	if (row->s.host.n == 0 && row->s.protocol == GW_LOCAL) {
		row->s.host = MS_SLICE_LIT("local");
		return true;
	}
	if (row->s.host.n == 0) {
		PROBLEM(m, e, "host", "required, but it is missing (or give url)");
		return false;
	}
	if (!split_address(row->s.host, &host, &port) || port != 0) {
		PROBLEM(m, e, "host", "found \"%.*s\"; expected a host or the name of an upstream, without a port",
			MS_SLICE_ARG(ms_slice_sub(row->s.host, 0, 64)));
		return false;
	}
	row->s.host = host;
	return true;
}

// Host and port, then authorities, then our own certificate: each problem at the field that has it.
static bool check_reach(struct making *m, struct entity *e, const struct service_row *row)
{
	const struct gw_service *s = &row->s;
	struct http_origin_options o = {.host = s->host, .port = (unsigned)row->port};
	if (s->protocol == GW_LOCAL)
		return true;
	if (!check_origin(m, e, row->url.n > 0 ? "url" : "host", &o))
		return false;
	bool good = true;
	o.tls = true;
	o.ca_pem = s->ca_pem;
	if (o.ca_pem.n > 0)
		good &= check_origin(m, e, "ca_certificates", &o);
	o.ca_pem = MS_SLICE_EMPTY;
	o.client_cert_pem = s->client_cert_pem;
	o.client_key_pem = s->client_key_pem;
	if (o.client_cert_pem.n > 0)
		good &= check_origin(m, e, "client_certificate", &o);
	return good;
}

static bool make_service(struct making *m, struct entity *e)
{
	struct service_row *row = e->row;
	bool good = row->url.n == 0 || read_url(m, e, row);
	good = good && check_host(m, e, row);
	good &= check_path(m, e, row);
	good &= check_tls(m, e, row);
	good &= read_certificates(m, e, row);
	good = good && check_reach(m, e, row);
	struct gw_service *s = e->made;
	*s = row->s;
	memcpy(s->id, e->id, sizeof(s->id));
	s->port = (unsigned)row->port;
	if (s->protocol == GW_WS || s->protocol == GW_WSS)
		s->protocol = s->protocol == GW_WS ? GW_HTTP : GW_HTTPS;
	const struct entity *upstream = good ? ms_map_get(&m->by_name[ENTITY_UPSTREAM], s->host) : NULL;
	s->upstream = upstream != NULL ? upstream->made : NULL;
	return good;
}

bool ms_plan_make_services(struct making *m)
{
	m->plan->services = ms_plan_array(m, ENTITY_SERVICE, sizeof(struct gw_service), &m->plan->service_count);
	if (m->plan->services == NULL)
		return ms_plan_no_memory(m);
	bool good = true;
	FOR_ENTITIES(m, ENTITY_SERVICE, e)
	good &= make_service(m, e);
	return good;
}
