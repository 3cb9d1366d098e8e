// SPDX-License-Identifier: Apache-2.0
// A document becomes a plan: gathered, read, joined, compiled. All problems of a step are told; a later step is tried as far as it makes sense.
#include "gateway/plan.h"

#include <stdlib.h>

#include "gateway/plan_private.h"
#include "rt/rt.h"

#define PLAN_MAX ((size_t)1 << 30)

struct plan *ms_plan_ref(struct plan *plan)
{
	atomic_fetch_add_explicit(&plan->refs, 1, memory_order_relaxed);
	return plan;
}

void ms_plan_unref(struct plan *plan)
{
	if (plan == NULL || atomic_fetch_sub_explicit(&plan->refs, 1, memory_order_acq_rel) != 1)
		return;
	ms_arena_fini(&plan->arena);
	free(plan);
}

static bool compile_credentials(struct making *m)
{
	static const enum entity_kind kinds[] = {ENTITY_KEYAUTH, ENTITY_JWT, ENTITY_BASICAUTH};
	bool good = true;
	for (size_t k = 0; k < MS_ARRAY_LEN(kinds); k++) {
		FOR_ENTITIES(m, kinds[k], e)
		good &= ms_gw_credential_compile(m->plan, e->made, e->path, e->object, m->problems);
	}
	return good;
}

static bool make(struct making *m, const struct json_value *document)
{
	const struct json_value *copy;
	struct yaml_lines *lines;
	if (!ms_yaml_copy(document, m->problems->lines, &m->plan->arena, &copy, &lines))
		return ms_plan_no_memory(m);
	m->problems->lines = lines;
	// What refers to others is looked at even if some of them are wrong: the more problems are told at once the better.
	bool good = ms_plan_gather(m, copy);
	for (size_t kind = 0; kind < ENTITY_KINDS; kind++) {
		FOR_ENTITIES(m, kind, e)
		{
			if (e->row == NULL)
				return false;
		}
	}
	good &= ms_plan_make_upstreams(m);
	good &= ms_plan_make_services(m);
	good &= ms_plan_make_routes(m);
	good &= ms_plan_make_consumers(m);
	bool joined = good;
	good &= ms_plan_make_plugins(m);
	good = good && ms_plan_make_source(m);
	// Plugins look at what they refer to: that must be right. Those whose own fields are wrong are passed over.
	if (joined) {
		good &= compile_credentials(m);
		good &= ms_plan_compile_plugins(m);
	}
	good = ms_match_new(m, good) && good;
	return good && ms_plan_make_chains(m);
}

struct plan *ms_plan_new(const struct json_value *document, struct problems *problems)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	if (plan == NULL)
		return NULL;
	atomic_init(&plan->refs, 1);
	ms_arena_init(&plan->arena, 16384, PLAN_MAX);
	const struct yaml_lines *lines = problems->lines;
	struct making m = {.plan = plan, .problems = problems, .format = 30};
	for (size_t i = 0; i < ENTITY_KINDS; i++) {
		m.end[i] = &m.first[i];
		ms_map_init(&m.by_name[i], 2000000, ms_random_hash_seed());
		ms_map_init(&m.by_id[i], 2000000, ms_random_hash_seed());
	}
	bool good = make(&m, document);
	for (size_t i = 0; i < ENTITY_KINDS; i++) {
		ms_map_fini(&m.by_name[i]);
		ms_map_fini(&m.by_id[i]);
	}
	problems->lines = lines;
	if (good && problems->count == 0)
		return plan;
	ms_plan_unref(plan);
	return NULL;
}
