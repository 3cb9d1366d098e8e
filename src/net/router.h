// SPDX-License-Identifier: Apache-2.0
// From method and path to a route. The tables of the roles (struct route in net.h) are compiled once into a
// trie of segments; afterwards it never changes and any thread may look up.
//
// Among the patterns that match a path, a literal segment beats "{name}" beats "{name...}", decided at the
// first segment where they differ; the best one that has the method wins. "{name}" matches one segment that
// is not empty; "{name...}" matches the rest, which may be empty ("/files/{path...}" matches "/files/" and
// not "/files"). Paths are compared exactly: no merging of slashes, no added or dropped slash at the end.
// An encoded slash does not divide segments; it is part of the parameter ("%2F" arrives as '/').
#ifndef MS_NET_ROUTER_H
#define MS_NET_ROUTER_H

#include "net/net.h"

struct router;

// The route sets must outlive the router. MS_ERR_CONFLICT when two routes of one method match the same
// paths; MS_ERR_INVALID for a malformed pattern; MS_ERR_NO_MEMORY. The message names the patterns.
MS_MUST_USE enum ms_err ms_router_new(const struct route_set *sets, size_t count, struct errinfo *info,
				      struct router **ret_router);
// Accepts NULL.
void ms_router_free(struct router *router);

struct route_match {
	const struct route *route;               // NULL: OPTIONS that no route answers; send 204 with Allow
	void *role;                              // of the route's set
	struct slice path;                       // decoded; see ms_url_decode_path()
	struct slice params[MS_HTTP_MAX_PARAMS]; // those behind param_count are empty
	size_t param_count;
	struct slice allow; // "GET, HEAD, OPTIONS": the methods of this path; lives as long as the router
};

// `path` is still percent-encoded and starts with '/'. HEAD finds GET routes; OPTIONS without a route of its
// own succeeds with route == NULL. Decoded text comes from the arena; nothing is allocated when the path has
// no escapes. Errors: MS_ERR_HTTP_SYNTAX (400: as ms_url_decode_path), MS_ERR_HTTP_NO_ROUTE (404),
// MS_ERR_HTTP_METHOD (405: match->allow is set, for the Allow header), MS_ERR_NO_MEMORY.
MS_MUST_USE enum ms_err ms_router_find(const struct router *router, enum http_method method, struct slice path,
				       struct arena *arena, struct errinfo *info, struct route_match *match);

// For "OPTIONS *": the methods of all routes.
struct slice ms_router_allow_all(const struct router *router);

// All routes in the order of the sets; NULL past the end.
const struct route *ms_router_route(const struct router *router, size_t index);

#endif
