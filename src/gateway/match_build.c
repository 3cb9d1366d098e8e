// SPDX-License-Identifier: Apache-2.0
// The tables that matching walks, made from the routes of a plan.
#include <stdio.h>
#include <stdlib.h>

#include "gateway/match_private.h"
#include "rt/rt.h"

#define HOSTS_MAX 1000000

struct building {
	struct making *m;
	struct arena *arena;
	struct gw_match_tree *tree;
	struct rule_source *sources;
	size_t count, room;
};

// A route, or the part of it whose paths are of one kind: Kong ranks regular expressions, and prefixes of each length, apart.
struct rule_source {
	const struct entity *entity;
	const struct gw_route *route;
	unsigned weight;
	bool plain_hosts, regex;
	size_t length; // of the prefixes
	size_t order;
	struct rule rule;
};

// --- Expressions -----------------------------------------------------------------------------------

static void free_tree(void *object)
{
	struct gw_match_tree *t = object;
	for (size_t i = 0; i < t->regex_count; i++)
		pcre2_code_free(t->regexes[i]->code);
	for (size_t i = 0; i < MATCH_LOOPS_MAX; i++)
		pcre2_match_data_free(t->scratch[i]);
	pcre2_match_context_free(t->context);
	ms_map_fini(&t->exact);
	ms_map_fini(&t->before);
	ms_map_fini(&t->after);
}

static bool compile_failed(struct building *b, int code, size_t offset, const char *path,
			   const struct json_value *where)
{
	char message[128];
	if (pcre2_get_error_message(code, (PCRE2_UCHAR *)message, sizeof(message)) < 0)
		snprintf(message, sizeof(message), "error %d", code);
	ms_problem_add(b->m->problems, path, where, "not a regular expression: %s, at character %zu", message,
		       offset + 1);
	return false;
}

static void read_names(struct gw_regex *regex)
{
	uint32_t groups = 0, names = 0, size = 0;
	PCRE2_SPTR table = NULL;
	(void)pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &groups);
	(void)pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &names);
	(void)pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &size);
	(void)pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, &table);
	regex->groups = MS_MIN((size_t)groups, MS_ARRAY_LEN(regex->names));
	for (uint32_t i = 0; i < names; i++) {
		const unsigned char *entry = table + i * size;
		size_t group = ((size_t)entry[0] << 8) + entry[1]; // the names live in the compiled code
		if (group >= 1 && group <= regex->groups)
			regex->names[group - 1] = ms_slice_cstr((const char *)entry + 2);
	}
}

static const struct gw_regex *compile(struct building *b, struct slice pattern, bool caseless, const char *path,
				      const struct json_value *where)
{
	struct gw_match_tree *t = b->tree;
	struct gw_regex *regex = MS_ARENA_NEW(b->arena, struct gw_regex);
	if (t->regex_count == t->regex_room) {
		size_t room = MS_MAX(t->regex_room * 2, (size_t)16);
		struct gw_regex **bigger =
			ms_arena_grow(b->arena, t->regexes, t->regex_room * sizeof(struct gw_regex *),
				      room * sizeof(struct gw_regex *));
		if (bigger == NULL)
			regex = NULL;
		else
			t->regexes = bigger;
		t->regex_room = bigger == NULL ? t->regex_room : room;
	}
	if (regex == NULL) {
		(void)ms_plan_no_memory(b->m);
		return NULL;
	}
	int code;
	PCRE2_SIZE offset;
	uint32_t options = (caseless ? PCRE2_CASELESS : PCRE2_ANCHORED | PCRE2_DOLLAR_ENDONLY) | PCRE2_NEVER_UTF |
			   PCRE2_NEVER_BACKSLASH_C;
	regex->code = pcre2_compile((PCRE2_SPTR)pattern.p, pattern.n, options, &code, &offset, NULL);
	if (regex->code == NULL) {
		(void)compile_failed(b, code, offset, path, where);
		return NULL;
	}
	t->regexes[t->regex_count++] = regex;
	(void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); // without it the interpreter does it
	read_names(regex);
	t->scratch_pairs = MS_MAX(t->scratch_pairs, (uint32_t)regex->groups + 1);
	return regex;
}

// --- Rules -----------------------------------------------------------------------------------------

static bool is_regex(struct slice path)
{
	return path.n > 0 && path.p[0] == '~';
}

static unsigned method_bits(const struct text_list *methods)
{
	unsigned bits = 0;
	for (size_t i = 0; i < methods->count; i++) {
		for (int k = 0; k < HTTP_METHOD_COUNT; k++) {
			if (ms_slice_eq_cstr(methods->items[i], ms_http_method_name((enum http_method)k)))
				bits |= 1U << k;
		}
	}
	return bits;
}

static bool read_header_values(struct building *b, const struct entity *e, const struct text_pair *pair,
			       struct header_rule *ret_rule)
{
	struct header_value *values = MS_ARENA_ARRAY(b->arena, struct header_value, pair->values.count);
	if (values == NULL)
		return ms_plan_no_memory(b->m);
	bool good = true;
	for (size_t i = 0; i < pair->values.count; i++) {
		struct slice text = pair->values.items[i];
		values[i].text = text;
		if (!ms_slice_starts_with(text, MS_SLICE_LIT("~*")))
			continue;
		values[i].regex = compile(b, ms_slice_sub(text, 2, SIZE_MAX), true, ms_plan_field(b->m, e, "headers"),
					  ms_plan_value(e, "headers"));
		good &= values[i].regex != NULL;
	}
	*ret_rule = (struct header_rule){pair->name, values, pair->values.count};
	return good;
}

static bool add_source(struct building *b, const struct rule_source *source)
{
	if (b->count == b->room) {
		size_t room = MS_MAX(b->room * 2, (size_t)64);
		struct rule_source *bigger =
			ms_arena_grow(b->arena, b->sources, b->room * sizeof(*bigger), room * sizeof(*bigger));
		if (bigger == NULL)
			return ms_plan_no_memory(b->m);
		b->sources = bigger;
		b->room = room;
	}
	b->sources[b->count] = *source;
	b->sources[b->count].order = b->count;
	b->count++;
	return true;
}

// One source for the expressions, one for each length of prefix.
static bool split_paths(struct building *b, struct rule_source *source)
{
	const struct text_list *paths = &source->route->paths;
	if (paths->count == 0)
		return add_source(b, source);
	bool regex = false;
	for (size_t i = 0; i < paths->count; i++) {
		struct slice path = paths->items[i];
		bool seen = is_regex(path) && regex;
		for (size_t k = 0; k < i && !is_regex(path); k++)
			seen |= !is_regex(paths->items[k]) && paths->items[k].n == path.n;
		if (seen)
			continue;
		regex |= is_regex(path);
		source->regex = is_regex(path);
		source->length = source->regex ? 0 : path.n;
		if (!add_source(b, source))
			return false;
	}
	return true;
}

static bool add_route(struct building *b, const struct entity *e)
{
	const struct gw_route *r = e->made;
	struct header_rule *headers = MS_ARENA_ARRAY(b->arena, struct header_rule, r->headers.count);
	if (headers == NULL)
		return ms_plan_no_memory(b->m);
	bool good = true;
	for (size_t i = 0; i < r->headers.count; i++)
		good &= read_header_values(b, e, &r->headers.items[i], &headers[i]);
	struct rule_source source = {.entity = e, .route = r};
	source.rule = (struct rule){.route = r,
				    .methods = method_bits(&r->methods),
				    .any_method = r->methods.count == 0,
				    .headers = headers,
				    .header_count = r->headers.count};
	source.weight = (r->methods.count > 0) + (r->hosts.count > 0) + (r->headers.count > 0) + (r->snis.count > 0) +
			(r->paths.count > 0);
	source.plain_hosts = r->hosts.count > 0;
	for (size_t i = 0; i < r->hosts.count; i++)
		source.plain_hosts &= ms_slice_find(r->hosts.items[i], '*') == r->hosts.items[i].n;
	return split_paths(b, &source) && good;
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return (a < b) - (a > b); // the larger first
}

// Kong's order (traditional_compatible); what is equal stays in the order of the document.
static int by_rank(const void *left, const void *right)
{
	const struct rule_source *a = left, *b = right;
	int order = compare_u64(a->weight, b->weight);
	if (order == 0)
		order = compare_u64(a->plain_hosts, b->plain_hosts);
	if (order == 0)
		order = compare_u64(MS_MIN(a->route->headers.count, (size_t)255),
				    MS_MIN(b->route->headers.count, (size_t)255));
	if (order == 0)
		order = compare_u64(a->regex, b->regex);
	if (order == 0 && a->regex)
		order = (a->route->regex_priority < b->route->regex_priority) -
			(a->route->regex_priority > b->route->regex_priority);
	if (order == 0)
		order = compare_u64(a->length, b->length);
	return order != 0 ? order : compare_u64(b->order, a->order);
}

// --- Tables ----------------------------------------------------------------------------------------

static bool add_item(struct building *b, struct items *items, const struct item *item)
{
	if (items->n == items->room) {
		size_t room = MS_MAX(items->room * 2, (size_t)2);
		struct item *bigger =
			ms_arena_grow(b->arena, items->at, items->room * sizeof(*bigger), room * sizeof(*bigger));
		if (bigger == NULL)
			return ms_plan_no_memory(b->m);
		items->at = bigger;
		items->room = room;
	}
	items->at[items->n++] = *item;
	return true;
}

static struct radix *add_child(struct building *b, struct radix *node, struct slice label)
{
	struct radix *child = MS_ARENA_NEW(b->arena, struct radix);
	struct radix **bigger = ms_arena_grow(b->arena, node->children, node->child_count * sizeof(*bigger),
					      (node->child_count + 1) * sizeof(*bigger));
	if (child == NULL || bigger == NULL)
		return NULL;
	child->label = label;
	node->children = bigger;
	node->children[node->child_count++] = child;
	node->child_of[(unsigned char)label.p[0]] =
		(uint8_t)node->child_count; // first bytes differ and are no NUL: at most 255
	return child;
}

static size_t common_prefix(struct slice a, struct slice b)
{
	size_t n = 0;
	while (n < a.n && n < b.n && a.p[n] == b.p[n])
		n++;
	return n;
}

static bool split_label(struct building *b, struct radix *node, size_t at)
{
	struct radix *lower = MS_ARENA_NEW(b->arena, struct radix);
	if (lower == NULL)
		return false;
	*lower = *node;
	lower->label = ms_slice_sub(node->label, at, SIZE_MAX);
	*node = (struct radix){.label = ms_slice_sub(node->label, 0, at)};
	node->children = MS_ARENA_ARRAY(b->arena, struct radix *, 1);
	if (node->children == NULL)
		return false;
	node->children[0] = lower;
	node->child_count = 1;
	node->child_of[(unsigned char)lower->label.p[0]] = 1;
	return true;
}

static bool add_prefix(struct building *b, struct radix *node, struct slice prefix, const struct item *item)
{
	while (prefix.n > 0) {
		unsigned child = node->child_of[(unsigned char)prefix.p[0]];
		struct radix *next = child != 0 ? node->children[child - 1] : add_child(b, node, prefix);
		if (next == NULL)
			return ms_plan_no_memory(b->m);
		size_t n = common_prefix(next->label, prefix);
		if (n < next->label.n && !split_label(b, next, n))
			return ms_plan_no_memory(b->m);
		prefix = ms_slice_sub(prefix, n, SIZE_MAX);
		node = next;
	}
	return add_item(b, &node->items, item);
}

static void fini_map(void *map)
{
	ms_map_fini(map);
}

static struct segment *literal_child(struct building *b, struct segment *node, struct slice text)
{
	if (node->literals == NULL) {
		struct map *map = MS_ARENA_NEW(b->arena, struct map);
		if (map == NULL)
			return NULL;
		ms_map_init(map, HOSTS_MAX, ms_random_hash_seed());
		if (!ms_arena_defer(b->arena, fini_map, map))
			return NULL;
		node->literals = map;
	}
	struct segment *child = ms_map_get(node->literals, text);
	if (child != NULL)
		return child;
	child = MS_ARENA_NEW(b->arena, struct segment);
	return child != NULL && ms_map_put(node->literals, text, child, NULL) ? child : NULL;
}

static bool add_skeleton(struct building *b, struct segment *node, const struct skeleton *s, const struct item *item)
{
	for (size_t i = 0; i < s->count; i++) {
		struct segment *next = node->any;
		if (s->segments[i].p != NULL)
			next = literal_child(b, node, s->segments[i]);
		else if (next == NULL)
			next = node->any = MS_ARENA_NEW(b->arena, struct segment);
		if (next == NULL)
			return ms_plan_no_memory(b->m);
		node = next;
	}
	if (!add_item(b, s->end == SKELETON_TAIL ? &node->tail : &node->end, item))
		return false;
	if (s->end != SKELETON_END_OR_SLASH)
		return true;
	struct segment *slash = literal_child(b, node, MS_SLICE_LIT(""));
	return slash != NULL ? add_item(b, &slash->end, item) : ms_plan_no_memory(b->m);
}

static bool add_path(struct building *b, struct bucket *bucket, struct slice path, struct item *item)
{
	if (item->regex == NULL)
		return add_prefix(b, &bucket->radix, path, item);
	struct skeleton skeleton;
	if (!ms_regex_skeleton(ms_slice_sub(path, 1, SIZE_MAX), b->arena, &skeleton))
		return ms_plan_no_memory(b->m);
	return add_skeleton(b, &bucket->segments, &skeleton, item);
}

// The bucket of a host pattern in lower case, and its port.
static struct bucket *bucket_of(struct building *b, struct slice host, unsigned *ret_port)
{
	struct gw_match_tree *t = b->tree;
	size_t colon = ms_slice_find(host, ':');
	uint64_t port = 0;
	if (colon < host.n && !ms_slice_to_u64(ms_slice_sub(host, colon + 1, SIZE_MAX), &port))
		return NULL;
	*ret_port = (unsigned)port;
	char *lower = ms_arena_alloc(b->arena, colon);
	if (lower == NULL)
		return NULL;
	for (size_t i = 0; i < colon; i++)
		lower[i] = (char)(host.p[i] >= 'A' && host.p[i] <= 'Z' ? host.p[i] + 32 : host.p[i]);
	struct slice key = ms_slice(lower, colon);
	struct map *map = &t->exact;
	if (key.n > 0 && key.p[0] == '*') {
		map = &t->before;
		key = ms_slice_sub(key, 1, SIZE_MAX);
	} else if (key.n > 0 && key.p[key.n - 1] == '*') {
		map = &t->after;
		key = ms_slice_sub(key, 0, key.n - 1);
	}
	struct bucket *bucket = ms_map_get(map, key);
	if (bucket != NULL)
		return bucket;
	bucket = MS_ARENA_NEW(b->arena, struct bucket);
	return bucket != NULL && ms_map_put(map, key, bucket, NULL) ? bucket : NULL;
}

static bool add_paths(struct building *b, const struct rule_source *s, struct bucket *bucket, unsigned port,
		      const struct gw_regex *const *regexes)
{
	const struct text_list *paths = &s->route->paths;
	struct item item = {.rule = &s->rule, .port = port};
	if (paths->count == 0)
		return add_item(b, &bucket->no_path, &item);
	for (size_t i = 0; i < paths->count; i++) {
		struct slice path = paths->items[i];
		if (is_regex(path) != s->regex || (!s->regex && path.n != s->length))
			continue;
		item.regex = regexes[i];
		item.prefix = s->regex ? 0 : path.n;
		if (!add_path(b, bucket, path, &item))
			return false;
	}
	return true;
}

static bool add_rule(struct building *b, const struct rule_source *s)
{
	const struct text_list *hosts = &s->route->hosts;
	const struct gw_regex *const *regexes = s->entity->config;
	if (hosts->count == 0)
		return add_paths(b, s, &b->tree->any, 0, regexes);
	for (size_t i = 0; i < hosts->count; i++) {
		unsigned port;
		struct bucket *bucket = bucket_of(b, hosts->items[i], &port);
		if (bucket == NULL)
			return ms_plan_no_memory(b->m);
		if (!add_paths(b, s, bucket, port, regexes))
			return false;
	}
	return true;
}

// Of each path its expression, once; kept beside the entity until the tables are made.
static bool compile_paths(struct building *b, struct entity *e)
{
	const struct gw_route *r = e->made;
	const struct gw_regex **regexes = MS_ARENA_ARRAY(b->arena, const struct gw_regex *, r->paths.count);
	if (regexes == NULL)
		return ms_plan_no_memory(b->m);
	const char *path = ms_plan_field(b->m, e, "paths");
	const struct json_value *where = ms_plan_value(e, "paths");
	bool good = true;
	for (size_t i = 0; i < r->paths.count; i++) {
		struct slice text = r->paths.items[i];
		bool listed = where->type == JSON_ARRAY && i < where->array.count;
		if (!is_regex(text))
			continue;
		regexes[i] = compile(b, ms_slice_sub(text, 1, SIZE_MAX), false,
				     ms_problem_item(b->m->problems, path, i), listed ? &where->array.items[i] : where);
		good &= regexes[i] != NULL;
	}
	e->config = regexes;
	return good;
}

static bool new_tree(struct building *b)
{
	struct gw_match_tree *t = MS_ARENA_NEW(b->arena, struct gw_match_tree);
	if (t == NULL || !ms_arena_defer(b->arena, free_tree, t))
		return false;
	b->tree = t;
	t->scratch_pairs = 1;
	ms_map_init(&t->exact, HOSTS_MAX, ms_random_hash_seed());
	ms_map_init(&t->before, HOSTS_MAX, ms_random_hash_seed());
	ms_map_init(&t->after, HOSTS_MAX, ms_random_hash_seed());
	t->context = pcre2_match_context_create(NULL);
	if (t->context == NULL)
		return false;
	(void)pcre2_set_match_limit(t->context, MATCH_LIMIT);
	return true;
}

bool ms_match_new(struct making *m, bool all)
{
	struct building b = {.m = m, .arena = &m->plan->arena};
	if (!new_tree(&b))
		return ms_plan_no_memory(m);
	bool good = true;
	FOR_ENTITIES(m, ENTITY_ROUTE, e)
	{
		const struct gw_route *r = e->made;
		good &= compile_paths(&b, e);
		if (r->service == NULL || r->service->enabled)
			good &= add_route(&b, e);
	}
	if (!all || !good)
		return good;
	if (b.count > 0)
		qsort(b.sources, b.count, sizeof(b.sources[0]), by_rank);
	for (size_t i = 0; i < b.count; i++) {
		b.sources[i].rule.rank = (uint32_t)i;
		if (!add_rule(&b, &b.sources[i]))
			return false;
	}
	m->plan->matcher = b.tree;
	return true;
}
