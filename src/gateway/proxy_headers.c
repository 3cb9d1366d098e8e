// SPDX-License-Identifier: Apache-2.0
// What goes on to the upstream in the request's head: the path, and what is said about the client. Headers in which only the gateway or a
// trusted proxy may speak are taken away when anybody else sent them.
#include "gateway/proxy.h"

// --- Path --------------------------------------------------------------------------------------------

static bool join(struct arena *arena, struct slice a, struct slice b, struct slice *ret_path)
{
	char *p = ms_arena_alloc(arena, a.n + b.n + 1);
	if (p == NULL)
		return false;
	if (a.n > 0)
		memcpy(p, a.p, a.n);
	if (b.n > 0)
		memcpy(p + a.n, b.p, b.n);
	*ret_path = ms_slice(p, a.n + b.n);
	return true;
}

static bool begins_with_slash(struct slice s)
{
	return s.n > 0 && s.p[0] == '/';
}

static bool ends_with_slash(struct slice s)
{
	return s.n > 0 && s.p[s.n - 1] == '/';
}

// The service's path and the request's: Kong's rules (path_handling v0 joins with a slash, v1 as they are but for two slashes).
static bool upstream_path(struct proxy *p)
{
	struct gw_request *r = &p->r;
	struct slice whole = r->match.path, rest = whole;
	struct slice base = r->service != NULL ? r->service->path : MS_SLICE_EMPTY;
	bool strip = r->route != NULL && r->route->strip_path && r->match.matched.n > 0;
	if (strip)
		rest = ms_slice_sub(whole, r->match.matched.n, SIZE_MAX);
	if (base.n == 0 || ms_slice_eq_cstr(base, "/")) {
		if (begins_with_slash(rest)) {
			r->out.path = rest;
			return true;
		}
		return join(r->arena, MS_SLICE_LIT("/"), rest, &r->out.path);
	}
	if (rest.n == 0) {
		// "/api/" asked for and taken away whole: what is left is a slash if there was one.
		if (ends_with_slash(base) && !ends_with_slash(whole))
			base.n--;
		else if (!ends_with_slash(base) && ends_with_slash(whole) && whole.n > 1)
			return join(r->arena, base, MS_SLICE_LIT("/"), &r->out.path);
		r->out.path = base;
		return true;
	}
	if (!strip && ms_slice_eq_cstr(rest, "/") && !ends_with_slash(base)) {
		r->out.path = base;
		return true;
	}
	if (ends_with_slash(base) && begins_with_slash(rest))
		base.n--;
	else if (!ends_with_slash(base) && !begins_with_slash(rest) &&
		 (r->route == NULL || r->route->path_handling == 0) && !join(r->arena, base, MS_SLICE_LIT("/"), &base))
		return false;
	return join(r->arena, base, rest, &r->out.path);
}

// --- The client --------------------------------------------------------------------------------------

static bool is_trusted(const struct gateway *g, struct slice text)
{
	struct gw_address address;
	return g->trusted_count > 0 && ms_gw_address_parse(text, &address) &&
	       ms_gw_networks_has(g->trusted, g->trusted_count, address);
}

// Some proxies add the port, or brackets.
static struct slice address_of(struct slice text)
{
	text = ms_slice_trim(text);
	if (text.n > 0 && text.p[0] == '[') {
		size_t end = ms_slice_find(text, ']');
		return ms_slice_sub(text, 1, end - 1);
	}
	size_t colon = ms_slice_find(text, ':');
	if (ms_slice_find(text, '.') < text.n)
		return ms_slice_sub(text, 0, colon);
	return text;
}

// From the nearest proxy outwards, as long as they are trusted: the first that is not is the client.
static struct slice client_of(const struct gateway *g, const struct http_request *req)
{
	struct slice client = req->peer;
	for (size_t i = req->header_count; i-- > 0;) {
		if (!ms_slice_eq_nocase(req->headers[i].name, MS_SLICE_LIT("x-forwarded-for")))
			continue;
		struct slice rest = req->headers[i].value;
		while (rest.n > 0) {
			size_t comma = rest.n;
			while (comma > 0 && rest.p[comma - 1] != ',')
				comma--;
			struct slice one = address_of(ms_slice_sub(rest, comma, SIZE_MAX));
			struct gw_address address;
			if (!ms_gw_address_parse(one, &address))
				return client; // whatever stands before that is hearsay
			client = one;
			if (!is_trusted(g, one))
				return client;
			rest.n = comma > 0 ? comma - 1 : 0;
		}
	}
	return client;
}

// '_' as '-': some servers show both alike to their programs, so that X_Real_IP would pass for X-Real-IP.
static char lower(char c)
{
	return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_one_of(struct slice name, const struct slice *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;
		if (names[i].n != name.n)
			continue;
		while (k < name.n && lower(name.p[k]) == names[i].p[k])
			k++;
		if (k == name.n)
			return true;
	}
	return false;
}

static bool is_forwarding(struct slice name)
{
	static const struct slice names[] = {MS_SLICE_LIT("x-forwarded-for"),  MS_SLICE_LIT("x-forwarded-proto"),
					     MS_SLICE_LIT("x-forwarded-host"), MS_SLICE_LIT("x-forwarded-port"),
					     MS_SLICE_LIT("x-forwarded-path"), MS_SLICE_LIT("x-forwarded-prefix")};
	return is_one_of(name, names, MS_ARRAY_LEN(names));
}

// Set anew for every upstream, whoever sent them; Host and Content-Length are no fields of ours.
static bool is_ours(struct slice name)
{
	static const struct slice names[] = {MS_SLICE_LIT("x-request-id"),   MS_SLICE_LIT("traceparent"),
					     MS_SLICE_LIT("host"),           MS_SLICE_LIT("expect"),
					     MS_SLICE_LIT("content-length"), MS_SLICE_LIT("x-real-ip"),
					     MS_SLICE_LIT("forwarded")};
	return is_one_of(name, names, MS_ARRAY_LEN(names));
}

bool ms_proxy_trailer_passes(struct slice name)
{
	return !is_ours(name) && !is_forwarding(name) && !ms_chain_is_identity(name);
}

// What the client calls a matter of its connection ends here, before the gateway writes headers of its own: by naming X-Forwarded-For or
// X-Consumer-Username in Connection it must not rid itself of them. TE stays: it asks for trailers, and the upstream's client writes it anew.
static bool is_named(const struct http_request *req, struct slice name)
{
	for (size_t i = 0; i < req->header_count; i++) {
		struct slice rest = req->headers[i].value, option;
		if (req->headers[i].name.n != 10 ||
		    !ms_slice_eq_nocase(req->headers[i].name, MS_SLICE_LIT("connection")))
			continue;
		while (ms_slice_next(&rest, ',', &option)) {
			if (ms_slice_eq_nocase(ms_slice_trim(option), name))
				return !ms_slice_eq_nocase(name, MS_SLICE_LIT("te"));
		}
	}
	return false;
}

static bool is_of_connection(const struct http_request *req, struct slice name)
{
	return (name.n == 10 && ms_slice_eq_nocase(name, MS_SLICE_LIT("connection"))) || is_named(req, name);
}

bool ms_proxy_head(struct proxy *p)
{
	struct gw_request *r = &p->r;
	const struct http_request *req = &r->x->req;
	bool trusted = is_trusted(r->gateway, req->peer);
	r->client_ip = trusted ? client_of(r->gateway, req) : req->peer;
	r->out.method = ms_slice_cstr(ms_http_method_name(req->method));
	r->out.query = req->query;
	r->out.max_body = UINT64_MAX;
	r->out.headers.arena = r->answer.headers.arena = r->answer_extra.arena = r->arena;
	r->out.headers.room = req->header_count + 16;
	r->out.headers.items = MS_ARENA_ARRAY(r->arena, struct http_header, r->out.headers.room);
	if (r->out.headers.items == NULL)
		return false;
	bool lists = ms_http_header(req, "connection").p != NULL;
	for (size_t i = 0; i < req->header_count; i++) {
		const struct http_header *h = &req->headers[i];
		if (!is_ours(h->name) && (trusted || !is_forwarding(h->name)) &&
		    (!lists || !is_of_connection(req, h->name)))
			r->out.headers.items[r->out.headers.count++] = *h;
	}
	if (r->route != NULL && r->route->preserve_host)
		r->out.authority = req->authority;
	else if (r->service != NULL && r->service->upstream != NULL)
		r->out.authority = r->service->upstream->host_header;
	return upstream_path(p);
}

// --- Forwarding --------------------------------------------------------------------------------------

static bool keep_or_set(struct gw_headers *h, const char *name, struct slice value)
{
	struct slice n = ms_slice_cstr(name);
	return ms_gw_header(h, n).p != NULL || ms_gw_header_add(h, n, value);
}

static bool forwarded_for(struct gw_request *r)
{
	struct gw_headers *h = &r->out.headers;
	struct slice name = MS_SLICE_LIT("X-Forwarded-For"), list = MS_SLICE_EMPTY;
	// A trusted proxy may have sent several lines.
	for (size_t i = 0; i < h->count; i++) {
		if (!ms_slice_eq_nocase(h->items[i].name, name))
			continue;
		if (list.n > 0 && !join(r->arena, list, MS_SLICE_LIT(", "), &list))
			return false;
		if (!join(r->arena, list, h->items[i].value, &list))
			return false;
	}
	if (list.n > 0 && !join(r->arena, list, MS_SLICE_LIT(", "), &list))
		return false;
	return join(r->arena, list, r->x->req.peer, &list) && ms_gw_header_set(h, name, list);
}

static void split_authority(struct slice authority, bool tls, struct slice *ret_host, struct slice *ret_port)
{
	size_t colon = authority.n;
	while (colon > 0 && authority.p[colon - 1] != ':' && authority.p[colon - 1] != ']')
		colon--;
	bool has_port = colon > 0 && authority.p[colon - 1] == ':';
	*ret_host = has_port ? ms_slice_sub(authority, 0, colon - 1) : authority;
	*ret_port = has_port ? ms_slice_sub(authority, colon, SIZE_MAX)
		    : tls    ? MS_SLICE_LIT("443")
			     : MS_SLICE_LIT("80");
}

bool ms_proxy_forward(struct proxy *p)
{
	struct gw_request *r = &p->r;
	const struct http_request *req = &r->x->req;
	struct gw_headers *h = &r->out.headers;
	struct slice host, port;
	char *trace = ms_arena_alloc(r->arena, MS_TRACEPARENT_LEN + 1);
	if (trace == NULL || !forwarded_for(r))
		return false;
	ms_trace_format(&req->trace, trace);
	split_authority(req->authority, req->tls, &host, &port);
	if (!keep_or_set(h, "X-Forwarded-Proto", req->tls ? MS_SLICE_LIT("https") : MS_SLICE_LIT("http")) ||
	    !keep_or_set(h, "X-Forwarded-Host", host) || !keep_or_set(h, "X-Forwarded-Port", port) ||
	    !keep_or_set(h, "X-Forwarded-Path", req->path))
		return false;
	if (r->route != NULL && r->route->strip_path && r->match.matched.n > 0 &&
	    !keep_or_set(h, "X-Forwarded-Prefix", r->match.matched))
		return false;
	return ms_gw_header_set(h, MS_SLICE_LIT("X-Real-IP"), r->client_ip) &&
	       ms_gw_header_set(h, MS_SLICE_LIT("X-Request-ID"), req->id) &&
	       ms_gw_header_set(h, MS_SLICE_LIT("traceparent"), ms_slice(trace, MS_TRACEPARENT_LEN));
}

// --- Hashing -----------------------------------------------------------------------------------------

struct hash_source {
	enum gw_hash_on on;
	struct slice header, cookie, query_arg, capture;
};

static struct slice cookie_value(const struct http_request *req, struct slice name)
{
	for (size_t i = 0; i < req->header_count; i++) {
		if (!ms_slice_eq_nocase(req->headers[i].name, MS_SLICE_LIT("cookie")))
			continue;
		struct slice rest = req->headers[i].value, pair;
		while (ms_slice_next(&rest, ';', &pair)) {
			pair = ms_slice_trim(pair);
			size_t equals = ms_slice_find(pair, '=');
			if (equals < pair.n && ms_slice_eq(ms_slice_sub(pair, 0, equals), name))
				return ms_slice_sub(pair, equals + 1, SIZE_MAX);
		}
	}
	return MS_SLICE_EMPTY;
}

static struct slice query_value(struct slice query, struct slice name)
{
	struct slice pair;
	while (ms_slice_next(&query, '&', &pair)) {
		size_t equals = ms_slice_find(pair, '=');
		if (ms_slice_eq(ms_slice_sub(pair, 0, equals), name))
			return ms_slice_sub(pair, equals + 1, SIZE_MAX);
	}
	return MS_SLICE_EMPTY;
}

static struct slice capture_value(const struct gw_match *match, struct slice name)
{
	for (size_t i = 0; i < match->capture_count; i++) {
		if (ms_slice_eq(match->capture_names[i], name))
			return match->captures[i];
	}
	return MS_SLICE_EMPTY;
}

static struct slice hash_value(const struct gw_request *r, const struct hash_source *s)
{
	switch (s->on) {
	case GW_HASH_NONE:
		break;
	case GW_HASH_CONSUMER:
		return r->consumer != NULL ? ms_slice_cstr(r->consumer->id) : r->credential_id;
	case GW_HASH_IP:
		return r->client_ip;
	case GW_HASH_HEADER:
		return ms_gw_header(&r->out.headers, s->header);
	case GW_HASH_COOKIE:
		return cookie_value(&r->x->req, s->cookie);
	case GW_HASH_PATH:
		return r->match.path;
	case GW_HASH_QUERY_ARG:
		return query_value(r->x->req.query, s->query_arg);
	case GW_HASH_URI_CAPTURE:
		return capture_value(&r->match, s->capture);
	}
	return MS_SLICE_EMPTY;
}

bool ms_proxy_hash(const struct proxy *p, uint64_t *ret_hash)
{
	const struct gw_upstream *u = p->run->upstream;
	const struct hash_source first = {.on = u->hash_on,
					  .header = u->hash_on_header,
					  .cookie = u->hash_on_cookie,
					  .query_arg = u->hash_on_query_arg,
					  .capture = u->hash_on_uri_capture};
	const struct hash_source second = {.on = u->hash_fallback,
					   .header = u->hash_fallback_header,
					   .cookie = u->hash_on_cookie,
					   .query_arg = u->hash_fallback_query_arg,
					   .capture = u->hash_fallback_uri_capture};
	struct slice value = hash_value(&p->r, &first);
	if (value.n == 0)
		value = hash_value(&p->r, &second);
	*ret_hash = ms_gw_hash(value);
	return value.n > 0;
}
