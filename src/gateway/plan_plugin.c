// SPDX-License-Identifier: Apache-2.0
// Configured plugins, and the chains of them that requests run.
#include <stdio.h>

#include "gateway/plan_private.h"
#include "rt/rt.h"

#define PROBLEM(m, e, field, ...) \
	ms_problem_add((m)->problems, ms_plan_field((m), (e), (field)), ms_plan_value((e), (field)), __VA_ARGS__)
#define CONSUMER_CHAINS_MAX 1000000

// --- Configs ---------------------------------------------------------------------------------------

static size_t slot_of(const struct gw_plugin_kind *kind)
{
	for (size_t i = 0; i < GW_SLOTS_MAX; i++) {
		if (ms_plugin_kind_at(i) == kind)
			return i;
	}
	MS_ASSERT(false); // a kind that is not of the table, or one too many
	return 0;
}

static const struct gw_plugin_kind *find_kind(struct making *m, struct entity *e, struct slice name)
{
	const struct gw_plugin_kind *kind = ms_plugin_kind(name);
	if (kind != NULL)
		return kind;
	struct slice names[GW_SLOTS_MAX];
	size_t count = 0;
	for (; count < GW_SLOTS_MAX && ms_plugin_kind_at(count) != NULL; count++)
		names[count] = ms_slice_cstr(ms_plugin_kind_at(count)->name);
	size_t nearest = ms_text_nearest(name, names, count);
	if (nearest != SIZE_MAX)
		PROBLEM(m, e, "name", "there is no plugin \"%.*s\"; did you mean %.*s?", MS_SLICE_ARG(name),
			MS_SLICE_ARG(names[nearest]));
	else
		PROBLEM(m, e, "name", "there is no plugin \"%.*s\" here", MS_SLICE_ARG(name));
	return NULL;
}

// Once for each scope.
static bool check_once(struct making *m, struct entity *e, struct map *seen, const struct plugin_row *row)
{
	const char *key = ms_arena_printf(&m->plan->arena, "%.*s:%s:%s:%s", MS_SLICE_ARG(row->name),
					  e->owners[OWNER_SERVICE] != NULL ? e->owners[OWNER_SERVICE]->id : "",
					  e->owners[OWNER_ROUTE] != NULL ? e->owners[OWNER_ROUTE]->id : "",
					  e->owners[OWNER_CONSUMER] != NULL ? e->owners[OWNER_CONSUMER]->id : "");
	if (key == NULL)
		return ms_plan_no_memory(m);
	const struct entity *other = ms_map_get(seen, ms_slice_cstr(key));
	if (other != NULL) {
		PROBLEM(m, e, "name", "%.*s is configured for the same scope by %s already", MS_SLICE_ARG(row->name),
			other->path);
		return false;
	}
	return ms_map_put(seen, ms_slice_cstr(key), e, NULL) || ms_plan_no_memory(m);
}

static void *made_of(const struct entity *e, enum owner_kind o)
{
	return e->owners[o] != NULL ? e->owners[o]->made : NULL;
}

// What spans several fields, or is missing, has no line of its own: it gets that of the config, or of the plugin.
static void give_lines(struct making *m, const struct entity *e, size_t before)
{
	const struct json_value *config = ms_plan_value(e, "config");
	for (size_t i = before; i < m->problems->count; i++) {
		if (m->problems->items[i].line < 0)
			m->problems->items[i].line =
				ms_yaml_line(m->problems->lines, config != NULL ? config : e->object);
	}
}

static bool make_use(struct making *m, struct entity *e, struct map *seen)
{
	static const struct json_value nothing = {.type = JSON_OBJECT};
	const struct plugin_row *row = e->row;
	struct gw_plugin_use *use = e->made;
	*use = (struct gw_plugin_use){.service = made_of(e, OWNER_SERVICE),
				      .route = made_of(e, OWNER_ROUTE),
				      .consumer = made_of(e, OWNER_CONSUMER),
				      .instance_name = row->instance_name,
				      .enabled = row->enabled,
				      .protocols = row->protocols,
				      .tags = row->tags};
	memcpy(use->id, e->id, sizeof(use->id));
	if (row->name.n == 0)
		return true; // a problem was told
	use->kind = find_kind(m, e, row->name);
	if (use->kind == NULL)
		return false;
	use->slot = slot_of(use->kind);
	bool good = check_once(m, e, seen, row);
	if (use->consumer != NULL && !use->kind->per_consumer) {
		PROBLEM(m, e, "consumer", "%s cannot be set for a consumer: it runs before one is known",
			use->kind->name);
		good = false;
	}
	if (use->route != NULL && use->service != NULL && use->route->service != use->service) {
		PROBLEM(m, e, "route", "belongs to another service than the plugin's");
		good = false;
	}
	use->config = ms_arena_calloc(&m->plan->arena, 1, MS_MAX(use->kind->config_bytes, (size_t)1));
	if (use->config == NULL)
		return ms_plan_no_memory(m);
	const struct json_value *config = row->config != NULL ? row->config : &nothing;
	size_t before = m->problems->count;
	good &= ms_record_read(use->kind->fields, config, ms_plan_field(m, e, "config"), &m->plan->arena, m->problems,
			       use->config);
	give_lines(m, e, before);
	e->config = good ? use->config : NULL;
	return good;
}

bool ms_plan_make_plugins(struct making *m)
{
	m->plan->uses = ms_plan_array(m, ENTITY_PLUGIN, sizeof(struct gw_plugin_use), &m->plan->use_count);
	if (m->plan->uses == NULL)
		return ms_plan_no_memory(m);
	struct map seen;
	ms_map_init(&seen, MS_MAX(m->count[ENTITY_PLUGIN], (size_t)1), ms_random_hash_seed());
	bool good = true;
	FOR_ENTITIES(m, ENTITY_PLUGIN, e)
	good &= make_use(m, e, &seen);
	ms_map_fini(&seen);
	return good;
}

static void release_use(void *object)
{
	const struct gw_plugin_use *use = object;
	use->kind->release(use->config);
}

bool ms_plan_compile_plugins(struct making *m)
{
	bool good = true;
	FOR_ENTITIES(m, ENTITY_PLUGIN, e)
	{
		struct gw_plugin_use *use = e->made;
		if (e->config == NULL)
			continue; // a problem was told
		if (use->kind->release != NULL && !ms_arena_defer(&m->plan->arena, release_use, use))
			return ms_plan_no_memory(m);
		if (use->kind->compile == NULL)
			continue;
		size_t before = m->problems->count;
		good &= use->kind->compile(m->plan, use->config, ms_plan_field(m, e, "config"), m->problems);
		give_lines(m, e, before);
	}
	return good;
}

// --- Chains ----------------------------------------------------------------------------------------

struct link {
	const struct gw_plugin_use *use;
	struct link *next;
};
struct chains {
	struct making *m;
	struct link *global, **of_service, **of_route,
		**of_consumer;                // by index; each use once, by the narrowest of its scopes
	bool *own_class;                      // of routes: a plugin names the route
	const struct gw_route **class_routes; // one of each class; [0]: none
};

// Kong's order of specificity, the most specific last.
static int specificity(const struct gw_plugin_use *use)
{
	int scopes = (use->consumer != NULL ? 4 : 0) | (use->route != NULL ? 2 : 0) | (use->service != NULL ? 1 : 0);
	static const int order[8] = {
		[0] = 0,         // every request
		[1] = 1,         // service
		[2] = 2,         // route
		[4] = 3,         // consumer
		[2 | 1] = 4,     // route and service
		[4 | 1] = 5,     // consumer and service
		[4 | 2] = 6,     // consumer and route
		[4 | 2 | 1] = 7, // all three
	};
	return order[scopes];
}

static bool link_use(struct chains *c, struct link **head, const struct gw_plugin_use *use)
{
	struct link *link = MS_ARENA_NEW(&c->m->plan->arena, struct link);
	if (link == NULL)
		return false;
	*link = (struct link){use, *head};
	*head = link;
	return true;
}

static bool link_uses(struct chains *c)
{
	struct plan *plan = c->m->plan;
	c->of_service = MS_ARENA_ARRAY(&plan->arena, struct link *, plan->service_count);
	c->of_route = MS_ARENA_ARRAY(&plan->arena, struct link *, plan->route_count);
	c->of_consumer = MS_ARENA_ARRAY(&plan->arena, struct link *, plan->consumer_count);
	c->own_class = MS_ARENA_ARRAY(&plan->arena, bool, plan->route_count);
	if (c->of_service == NULL || c->of_route == NULL || c->of_consumer == NULL || c->own_class == NULL)
		return false;
	for (size_t i = 0; i < plan->use_count; i++) {
		const struct gw_plugin_use *use = &plan->uses[i];
		if (!use->enabled)
			continue;
		struct link **head = use->consumer != NULL  ? &c->of_consumer[use->consumer - plan->consumers]
				     : use->route != NULL   ? &c->of_route[use->route - plan->routes]
				     : use->service != NULL ? &c->of_service[use->service - plan->services]
							    : &c->global;
		if (!link_use(c, head, use))
			return false;
		if (use->route != NULL)
			c->own_class[use->route - plan->routes] = true;
	}
	return true;
}

static void choose(const struct link *links, const struct gw_route *route,
		   const struct gw_plugin_use *best[GW_SLOTS_MAX])
{
	for (; links != NULL; links = links->next) {
		const struct gw_plugin_use *use = links->use;
		bool fits = (use->route == NULL || use->route == route) &&
			    (use->service == NULL || (route != NULL && use->service == route->service)) &&
			    (route == NULL || (use->protocols & route->protocols) != 0);
		if (fits && (best[use->slot] == NULL || specificity(use) > specificity(best[use->slot])))
			best[use->slot] = use;
	}
}

static const struct gw_chain *build(struct chains *c, const struct gw_route *route, const struct gw_consumer *consumer)
{
	struct plan *plan = c->m->plan;
	const struct gw_plugin_use *best[GW_SLOTS_MAX] = {NULL};
	choose(c->global, route, best);
	if (route != NULL && route->service != NULL)
		choose(c->of_service[route->service - plan->services], route, best);
	if (route != NULL)
		choose(c->of_route[route - plan->routes], route, best);
	if (consumer != NULL)
		choose(c->of_consumer[consumer - plan->consumers], route, best);
	size_t count = 0;
	for (size_t i = 0; i < GW_SLOTS_MAX; i++)
		count += best[i] != NULL;
	struct gw_chain *chain = MS_ARENA_NEW(&plan->arena, struct gw_chain);
	const struct gw_plugin_use **uses = MS_ARENA_ARRAY(&plan->arena, const struct gw_plugin_use *, count);
	if (chain == NULL || uses == NULL)
		return NULL;
	for (size_t i = 0; i < GW_SLOTS_MAX; i++) {
		const struct gw_plugin_use *use = best[i];
		if (use == NULL)
			continue;
		size_t at = chain->count++;
		for (; at > 0 && uses[at - 1]->kind->priority < use->kind->priority; at--)
			uses[at] = uses[at - 1];
		uses[at] = use;
		chain->reads_body |= use->kind->wants_body != NULL && use->kind->wants_body(use->config);
		chain->rewrites_answer |=
			use->kind->wants_answer_body != NULL && use->kind->wants_answer_body(use->config);
	}
	chain->uses = uses;
	return chain;
}

// Routes whose plugins cannot differ share a class: those of one service that no plugin names.
static bool classify(struct chains *c, struct map *classes)
{
	struct plan *plan = c->m->plan;
	c->class_routes = MS_ARENA_ARRAY(&plan->arena, const struct gw_route *, plan->route_count + 1);
	if (c->class_routes == NULL)
		return false;
	plan->class_count = 1;
	for (size_t i = 0; i < plan->route_count; i++) {
		struct gw_route *r = &plan->routes[i];
		char text[64];
		int n = snprintf(text, sizeof(text), "%zx:%llx",
				 r->service != NULL ? (size_t)(r->service - plan->services) + 1 : 0,
				 (unsigned long long)r->protocols);
		const struct gw_route *other = c->own_class[i] ? NULL : ms_map_get(classes, ms_slice(text, (size_t)n));
		if (other != NULL) {
			r->chain_class = other->chain_class;
			continue;
		}
		r->chain_class = plan->class_count;
		c->class_routes[plan->class_count++] = r;
		struct slice key = ms_arena_copy(&plan->arena, ms_slice(text, (size_t)n));
		if (!c->own_class[i] && (key.p == NULL || !ms_map_put(classes, key, r, NULL)))
			return false;
	}
	return true;
}

static bool make_route_chains(struct chains *c)
{
	struct plan *plan = c->m->plan;
	const struct gw_chain **of_class = MS_ARENA_ARRAY(&plan->arena, const struct gw_chain *, plan->class_count);
	for (size_t i = 0; of_class != NULL && i < plan->class_count; i++) {
		of_class[i] = build(c, c->class_routes[i], NULL);
		if (of_class[i] == NULL)
			return false;
	}
	if (of_class == NULL)
		return false;
	plan->global_chain = of_class[0];
	for (size_t i = 0; i < plan->route_count; i++)
		plan->routes[i].chain = of_class[plan->routes[i].chain_class];
	return true;
}

static bool make_consumer_chains(struct chains *c)
{
	struct plan *plan = c->m->plan;
	size_t rows = 0, total;
	for (size_t i = 0; i < plan->consumer_count; i++) {
		if (c->of_consumer[i] != NULL)
			plan->consumers[i].chain_row = rows++;
	}
	if (MS_MUL_OVERFLOWS(rows, plan->class_count, &total) || total > CONSUMER_CHAINS_MAX) {
		ms_problem_add(c->m->problems, "consumers", NULL,
			       "%zu consumers have plugins of their own, for %zu kinds of routes; together at most %d "
			       "are possible",
			       rows, plan->class_count, CONSUMER_CHAINS_MAX);
		return false;
	}
	plan->consumer_chains = MS_ARENA_ARRAY(&plan->arena, const struct gw_chain *, total);
	if (plan->consumer_chains == NULL)
		return ms_plan_no_memory(c->m);
	for (size_t i = 0; i < plan->consumer_count; i++) {
		const struct gw_consumer *consumer = &plan->consumers[i];
		for (size_t k = 0; consumer->chain_row != SIZE_MAX && k < plan->class_count; k++) {
			const struct gw_chain *chain = build(c, c->class_routes[k], consumer);
			if (chain == NULL)
				return ms_plan_no_memory(c->m);
			plan->consumer_chains[consumer->chain_row * plan->class_count + k] = chain;
		}
	}
	return true;
}

bool ms_plan_make_chains(struct making *m)
{
	struct chains c = {.m = m};
	struct map classes;
	ms_map_init(&classes, m->plan->route_count + 1, ms_random_hash_seed());
	bool good = link_uses(&c) && classify(&c, &classes) && make_route_chains(&c);
	ms_map_fini(&classes);
	return good ? make_consumer_chains(&c) : ms_plan_no_memory(m);
}

const struct gw_chain *ms_plan_chain(const struct plan *plan, const struct gw_route *route,
				     const struct gw_consumer *consumer)
{
	if (consumer != NULL && consumer->chain_row != SIZE_MAX)
		return plan->consumer_chains[consumer->chain_row * plan->class_count +
					     (route != NULL ? route->chain_class : 0)];
	return route != NULL ? route->chain : plan->global_chain;
}
