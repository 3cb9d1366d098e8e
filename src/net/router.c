// SPDX-License-Identifier: Apache-2.0
#include "net/router.h"

#include <stdlib.h>

#include "net/url.h"

// Of a pattern. A path may have more; only a "{name...}" can match it then.
#define MAX_SEGMENTS ((size_t)16)
#define ARENA_MAX ((size_t)16 << 20)
#define ALL_METHODS ((1u << HTTP_METHOD_COUNT) - 1)

struct entry {
	const struct route *route;
	void *role;
};

// Where a pattern ends: its routes by method.
struct leaf {
	struct entry entries[HTTP_METHOD_COUNT];
	unsigned methods; // bit 1 << enum http_method, as for Allow: HEAD where there is GET, and OPTIONS
};

struct node {
	struct slice text;
	struct node **literals; // sorted by text
	size_t literal_count;
	size_t literal_cap;
	struct node *param; // "{name}"
	struct leaf *tail;  // "{name...}"
	struct leaf *end;   // the pattern ends with this segment
};

struct router {
	struct arena arena;
	const struct route_set *sets;
	size_t set_count;
	struct node *root;
	unsigned methods;                    // of all routes
	struct slice allow[ALL_METHODS + 1]; // text of each set of methods
};

// --- Patterns ----------------------------------------------------------------------------------------

enum segment_kind { SEGMENT_LITERAL, SEGMENT_PARAM, SEGMENT_TAIL };

struct pattern {
	const char *text;
	size_t count;
	enum segment_kind kinds[MAX_SEGMENTS];
	struct slice segments[MAX_SEGMENTS]; // text of a literal, name of a parameter
	size_t param_count;
};

static bool made_of(struct slice s, const char *punctuation)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!alnum && (c == '\0' || strchr(punctuation, c) == NULL))
			return false;
	}
	return true;
}

static enum ms_err add_param(struct pattern *p, struct slice segment, bool last, struct errinfo *info)
{
	static const struct slice dots = MS_SLICE_LIT("...");
	struct slice name = ms_slice_sub(segment, 1, segment.n - 2);
	bool tail = ms_slice_ends_with(name, dots);
	if (tail)
		name.n -= dots.n;
	if (name.n == 0 || !made_of(name, "_"))
		return ms_fail(info, MS_ERR_INVALID, "route '%s': a parameter is {name} with letters, digits and '_'",
			       p->text);
	if (tail && !last)
		return ms_fail(info, MS_ERR_INVALID, "route '%s': {%.*s...} must be the last segment", p->text,
			       MS_SLICE_ARG(name));
	for (size_t i = 0; i < p->count; i++) {
		if (p->kinds[i] != SEGMENT_LITERAL && ms_slice_eq(p->segments[i], name))
			return ms_fail(info, MS_ERR_INVALID, "route '%s': the parameter '%.*s' occurs twice", p->text,
				       MS_SLICE_ARG(name));
	}
	if (++p->param_count > MS_HTTP_MAX_PARAMS)
		return ms_fail(info, MS_ERR_INVALID, "route '%s': more than %d parameters", p->text,
			       MS_HTTP_MAX_PARAMS);
	p->kinds[p->count] = tail ? SEGMENT_TAIL : SEGMENT_PARAM;
	p->segments[p->count++] = name;
	return MS_OK;
}

static enum ms_err add_literal(struct pattern *p, struct slice segment, bool last, struct errinfo *info)
{
	bool dots = ms_slice_eq_cstr(segment, ".") || ms_slice_eq_cstr(segment, "..");
	if (!made_of(segment, "-._~:@") || dots || (segment.n == 0 && !last))
		return ms_fail(info, MS_ERR_INVALID,
			       "route '%s': segment '%.*s' is neither {name} nor made of letters, digits and -._~:@",
			       p->text, MS_SLICE_ARG(segment));
	p->kinds[p->count] = SEGMENT_LITERAL;
	p->segments[p->count++] = segment;
	return MS_OK;
}

static enum ms_err parse_pattern(const char *text, struct errinfo *info, struct pattern *ret_pattern)
{
	struct pattern p = {.text = text};
	if (text[0] != '/')
		return ms_fail(info, MS_ERR_INVALID, "route '%s' does not start with '/'", text);
	struct slice rest = ms_slice_cstr(text + 1), segment;
	while (ms_slice_next(&rest, '/', &segment)) {
		if (p.count == MAX_SEGMENTS)
			return ms_fail(info, MS_ERR_INVALID, "route '%s' has more than %zu segments", text,
				       MAX_SEGMENTS);
		bool last = rest.p == NULL;
		bool param = segment.n >= 2 && segment.p[0] == '{' && segment.p[segment.n - 1] == '}';
		MS_TRY(param ? add_param(&p, segment, last, info) : add_literal(&p, segment, last, info));
	}
	*ret_pattern = p;
	return MS_OK;
}

// --- Building ----------------------------------------------------------------------------------------

// Index of the literal child of that text, or where it belongs.
static size_t find_literal(const struct node *node, struct slice text, bool *ret_found)
{
	size_t low = 0, high = node->literal_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = ms_slice_cmp(text, node->literals[middle]->text);
		if (order == 0) {
			*ret_found = true;
			return middle;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	*ret_found = false;
	return low;
}

static struct node *literal_child(struct router *r, struct node *node, struct slice text)
{
	bool found;
	size_t at = find_literal(node, text, &found);
	if (found)
		return node->literals[at];
	if (node->literal_count == node->literal_cap) {
		size_t cap = MS_MAX(node->literal_cap * 2, (size_t)4);
		struct node **grown =
			ms_arena_grow(&r->arena, node->literals, node->literal_cap * sizeof(struct node *),
				      cap * sizeof(struct node *));
		if (grown == NULL)
			return NULL;
		node->literals = grown;
		node->literal_cap = cap;
	}
	struct node *child = MS_ARENA_NEW(&r->arena, struct node);
	if (child == NULL)
		return NULL;
	child->text = text;
	memmove(node->literals + at + 1, node->literals + at, (node->literal_count - at) * sizeof(struct node *));
	node->literals[at] = child;
	node->literal_count++;
	return child;
}

// The leaf of a pattern, made on the way; NULL when out of memory.
static struct leaf *pattern_leaf(struct router *r, const struct pattern *p)
{
	struct node *node = r->root;
	struct leaf **leaf = NULL;
	for (size_t i = 0; i < p->count && node != NULL; i++) {
		if (p->kinds[i] == SEGMENT_TAIL) {
			leaf = &node->tail;
			break;
		}
		if (p->kinds[i] == SEGMENT_LITERAL)
			node = literal_child(r, node, p->segments[i]);
		else if (node->param != NULL)
			node = node->param;
		else
			node = node->param = MS_ARENA_NEW(&r->arena, struct node);
	}
	if (node == NULL)
		return NULL;
	if (leaf == NULL)
		leaf = &node->end;
	if (*leaf == NULL)
		*leaf = MS_ARENA_NEW(&r->arena, struct leaf);
	return *leaf;
}

static enum ms_err add_route(struct router *r, const struct route *route, void *role, struct errinfo *info)
{
	struct pattern pattern = {0};
	MS_ASSERT(route->method < HTTP_METHOD_COUNT && route->pattern != NULL && route->handle != NULL);
	MS_TRY(parse_pattern(route->pattern, info, &pattern));
	struct leaf *leaf = pattern_leaf(r, &pattern);
	if (leaf == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "no memory for the routes");
	struct entry *entry = &leaf->entries[route->method];
	if (entry->route != NULL)
		return ms_fail(info, MS_ERR_CONFLICT, "routes '%s %s' and '%s %s' match the same requests",
			       ms_http_method_name(route->method), entry->route->pattern,
			       ms_http_method_name(route->method), route->pattern);
	*entry = (struct entry){route, role};
	leaf->methods |= 1u << route->method | 1u << HTTP_OPTIONS;
	if (route->method == HTTP_GET)
		leaf->methods |= 1u << HTTP_HEAD;
	r->methods |= leaf->methods;
	return MS_OK;
}

static enum ms_err write_allow_texts(struct router *r, struct errinfo *info)
{
	for (unsigned set = 0; set <= ALL_METHODS; set++) {
		char text[64]; // all seven: 46 characters
		size_t n = 0;
		for (unsigned m = 0; m < HTTP_METHOD_COUNT; m++) {
			if ((set & (1u << m)) == 0)
				continue;
			struct slice name = ms_slice_cstr(ms_http_method_name((enum http_method)m));
			if (n > 0) {
				memcpy(text + n, ", ", 2);
				n += 2;
			}
			memcpy(text + n, name.p, name.n);
			n += name.n;
		}
		r->allow[set] = ms_arena_copy(&r->arena, ms_slice(text, n));
		if (r->allow[set].p == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "no memory for the routes");
	}
	return MS_OK;
}

static enum ms_err fill_router(struct router *r, struct errinfo *info)
{
	r->root = MS_ARENA_NEW(&r->arena, struct node);
	if (r->root == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "no memory for the routes");
	for (size_t s = 0; s < r->set_count; s++) {
		for (size_t i = 0; i < r->sets[s].count; i++)
			MS_TRY(add_route(r, &r->sets[s].routes[i], r->sets[s].role, info));
	}
	return write_allow_texts(r, info);
}

enum ms_err ms_router_new(const struct route_set *sets, size_t count, struct errinfo *info, struct router **ret_router)
{
	struct router *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "no memory for the routes");
	ms_arena_init(&r->arena, (size_t)16 << 10, ARENA_MAX);
	r->sets = sets;
	r->set_count = count;
	enum ms_err err = fill_router(r, info);
	if (err != MS_OK) {
		ms_router_free(r);
		return err;
	}
	*ret_router = r;
	return MS_OK;
}

void ms_router_free(struct router *router)
{
	if (router == NULL)
		return;
	ms_arena_fini(&router->arena);
	free(router);
}

struct slice ms_router_allow_all(const struct router *router)
{
	return router->allow[router->methods | 1u << HTTP_OPTIONS];
}

const struct route *ms_router_route(const struct router *router, size_t index)
{
	for (size_t s = 0; s < router->set_count; s++) {
		if (index < router->sets[s].count)
			return &router->sets[s].routes[index];
		index -= router->sets[s].count;
	}
	return NULL;
}

// --- Looking up --------------------------------------------------------------------------------------

struct search {
	struct slice raw;                        // path without its first '/'
	struct slice segments[MAX_SEGMENTS + 1]; // decoded
	size_t starts[MAX_SEGMENTS + 1];         // offsets in raw
	size_t count;                            // MAX_SEGMENTS + 1 stands for any greater number
	enum http_method method;
	size_t param_segments[MS_HTTP_MAX_PARAMS];
	size_t param_count;
	size_t tail; // segment where "{name...}" starts, or SIZE_MAX
	const struct entry *found;
	unsigned methods; // of all patterns that match
};

static enum ms_err split_path(struct search *s, bool decode, struct arena *arena, struct errinfo *info)
{
	struct slice rest = s->raw, segment;
	while (s->count <= MAX_SEGMENTS && ms_slice_next(&rest, '/', &segment)) {
		s->starts[s->count] = (size_t)(segment.p - s->raw.p);
		// The whole path was found sound: only memory can be missing.
		if (decode && !ms_url_decode(arena, segment, URL_DECODE_TEXT, &segment))
			return ms_fail(info, MS_ERR_NO_MEMORY, "no memory to decode the path");
		s->segments[s->count++] = segment;
	}
	return MS_OK;
}

static bool try_leaf(struct search *s, const struct leaf *leaf)
{
	s->methods |= leaf->methods;
	const struct entry *entry = &leaf->entries[s->method];
	if (entry->route == NULL && s->method == HTTP_HEAD)
		entry = &leaf->entries[HTTP_GET];
	if (entry->route == NULL)
		return false;
	s->found = entry;
	return true;
}

// Best first. Each node is entered at most once a lookup, at the depth that it has in the trie, so the work
// is bounded by the size of the tables whatever the path; so is the recursion, by MAX_SEGMENTS.
static bool walk(struct search *s, const struct node *node, size_t depth)
{
	if (depth == s->count)
		return node->end != NULL && try_leaf(s, node->end);
	bool found;
	size_t at = find_literal(node, s->segments[depth], &found);
	if (found && walk(s, node->literals[at], depth + 1))
		return true;
	if (node->param != NULL && s->segments[depth].n > 0) {
		s->param_segments[s->param_count++] = depth;
		if (walk(s, node->param, depth + 1))
			return true;
		s->param_count--;
	}
	if (node->tail != NULL && try_leaf(s, node->tail)) {
		s->tail = depth;
		return true;
	}
	return false;
}

static enum ms_err take_params(const struct search *s, struct arena *arena, struct errinfo *info,
			       struct route_match *match)
{
	for (size_t i = 0; i < s->param_count; i++)
		match->params[i] = s->segments[s->param_segments[i]];
	match->param_count = s->param_count;
	if (s->tail == SIZE_MAX)
		return MS_OK;
	struct slice rest = ms_slice_sub(s->raw, s->starts[s->tail], SIZE_MAX);
	if (!ms_url_decode(arena, rest, URL_DECODE_TEXT, &match->params[match->param_count++]))
		return ms_fail(info, MS_ERR_NO_MEMORY, "no memory to decode the path");
	return MS_OK;
}

enum ms_err ms_router_find(const struct router *router, enum http_method method, struct slice path, struct arena *arena,
			   struct errinfo *info, struct route_match *match)
{
	MS_ASSERT(path.n > 0 && path.p[0] == '/' && method < HTTP_METHOD_COUNT);
	match->route = NULL;
	match->role = NULL;
	memset(match->params, 0, sizeof(match->params));
	match->param_count = 0;
	match->allow = MS_SLICE_EMPTY;
	MS_TRY(ms_url_decode_path(arena, path, info, &match->path));
	struct search s;
	s.raw = ms_slice_sub(path, 1, SIZE_MAX);
	s.count = s.param_count = 0;
	s.method = method;
	s.tail = SIZE_MAX;
	s.found = NULL;
	s.methods = 0;
	MS_TRY(split_path(&s, match->path.p != path.p, arena, info));
	bool found = walk(&s, router->root, 0);
	match->allow = router->allow[s.methods];
	if (found) {
		match->route = s.found->route;
		match->role = s.found->role;
		return take_params(&s, arena, info, match);
	}
	if (s.methods == 0)
		return ms_fail(info, MS_ERR_HTTP_NO_ROUTE, "there is nothing at '%.*s'", MS_SLICE_ARG(match->path));
	if (method == HTTP_OPTIONS)
		return MS_OK;
	return ms_fail(info, MS_ERR_HTTP_METHOD, "%s is not allowed at '%.*s'; allowed: %.*s",
		       ms_http_method_name(method), MS_SLICE_ARG(match->path), MS_SLICE_ARG(match->allow));
}
