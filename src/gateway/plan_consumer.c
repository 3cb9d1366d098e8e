// SPDX-License-Identifier: Apache-2.0
// Consumers, their groups and credentials. A credential is found by the SHA-256 of its key, so that no comparison of the key itself takes longer the
// more of it is right.
#include <stdlib.h>

#include "crypto/crypto.h"
#include "gateway/plan_private.h"
#include "rt/rt.h"

#define PROBLEM(m, e, field, ...) \
	ms_problem_add((m)->problems, ms_plan_field((m), (e), (field)), ms_plan_value((e), (field)), __VA_ARGS__)
#define LOOKUP_SIZE (1 + MS_SHA256_SIZE)

static void lookup_key(enum gw_credential_kind kind, struct slice key, char dst[LOOKUP_SIZE])
{
	uint8_t digest[MS_SHA256_SIZE];
	ms_sha256(key, digest);
	dst[0] = (char)kind;
	memcpy(dst + 1, digest, sizeof(digest));
}

const struct gw_credential *ms_plan_credential(const struct plan *plan, enum gw_credential_kind kind, struct slice key)
{
	if (plan->credential_count == 0)
		return NULL;
	char lookup[LOOKUP_SIZE];
	lookup_key(kind, key, lookup);
	return ms_map_get(plan->credentials_by_key, ms_slice(lookup, sizeof(lookup)));
}

const struct gw_consumer *ms_plan_consumer(const struct plan *plan, struct slice id_or_name)
{
	return plan->consumer_count == 0 ? NULL : ms_map_get(plan->consumers_by_name, id_or_name);
}

static void fini_map(void *map)
{
	ms_map_fini(map);
}

static struct map *new_map(struct making *m, size_t max)
{
	struct map *map = MS_ARENA_NEW(&m->plan->arena, struct map);
	if (map == NULL)
		return NULL;
	ms_map_init(map, MS_MAX(max, (size_t)1), ms_random_hash_seed());
	return ms_arena_defer(&m->plan->arena, fini_map, map) ? map : NULL;
}

// --- Groups ----------------------------------------------------------------------------------------

static bool make_groups(struct making *m)
{
	struct slice *all = MS_ARENA_ARRAY(&m->plan->arena, struct slice, m->count[ENTITY_ACL]);
	if (all == NULL)
		return ms_plan_no_memory(m);
	FOR_ENTITIES(m, ENTITY_ACL, e)
	{
		if (e->owners[OWNER_CONSUMER] != NULL)
			((struct gw_consumer *)e->owners[OWNER_CONSUMER]->made)->groups.count++;
	}
	FOR_ENTITIES(m, ENTITY_CONSUMER, e)
	{
		struct gw_consumer *c = e->made;
		c->groups.items = all;
		all += c->groups.count;
		c->groups.count = 0;
	}
	bool good = true;
	FOR_ENTITIES(m, ENTITY_ACL, e)
	{
		if (e->owners[OWNER_CONSUMER] == NULL)
			continue;
		struct gw_consumer *c = e->owners[OWNER_CONSUMER]->made;
		struct slice group = ((const struct acl_row *)e->row)->group;
		for (size_t i = 0; i < c->groups.count && i < 1000; i++) {
			if (ms_slice_eq(c->groups.items[i], group)) {
				PROBLEM(m, e, "group", "the consumer is in the group \"%.*s\" already",
					MS_SLICE_ARG(ms_slice_sub(group, 0, 64)));
				good = false;
				break;
			}
		}
		c->groups.items[c->groups.count++] = group;
	}
	return good;
}

// --- Credentials -----------------------------------------------------------------------------------

static bool index_credential(struct making *m, struct entity *e, struct gw_credential *c)
{
	char *lookup = ms_arena_alloc(&m->plan->arena, LOOKUP_SIZE);
	if (lookup == NULL)
		return ms_plan_no_memory(m);
	lookup_key(c->kind, c->key, lookup);
	struct slice key = ms_slice(lookup, LOOKUP_SIZE);
	const struct gw_credential *other = ms_map_get(m->plan->credentials_by_key, key);
	if (other != NULL) {
		PROBLEM(m, e, c->kind == GW_BASICAUTH ? "username" : "key",
			"the same as that of another credential, of the consumer %.*s",
			MS_SLICE_ARG(other->consumer->username.n > 0 ? other->consumer->username
								     : other->consumer->custom_id));
		return false;
	}
	return ms_map_put(m->plan->credentials_by_key, key, c, NULL) || ms_plan_no_memory(m);
}

static bool make_credential(struct making *m, struct entity *e, struct gw_credential *c)
{
	*c = ((const struct credential_row *)e->row)->c;
	memcpy(c->id, e->id, sizeof(c->id));
	c->kind = e->kind == ENTITY_KEYAUTH ? GW_KEYAUTH : e->kind == ENTITY_JWT ? GW_JWT : GW_BASICAUTH;
	e->made = c;
	if (e->owners[OWNER_CONSUMER] == NULL)
		return true; // a problem was told
	c->consumer = e->owners[OWNER_CONSUMER]->made;
	bool good = true;
	if (c->kind == GW_JWT) {
		bool hmac = ms_slice_starts_with(c->algorithm, MS_SLICE_LIT("HS"));
		if (hmac ? c->secret.n == 0 : c->rsa_public_key.n == 0) {
			PROBLEM(m, e, hmac ? "secret" : "rsa_public_key", "required for the algorithm %.*s",
				MS_SLICE_ARG(c->algorithm));
			good = false;
		}
	}
	return good && index_credential(m, e, c);
}

static bool make_credentials(struct making *m)
{
	static const enum entity_kind kinds[] = {ENTITY_KEYAUTH, ENTITY_JWT, ENTITY_BASICAUTH};
	struct plan *plan = m->plan;
	size_t count = m->count[ENTITY_KEYAUTH] + m->count[ENTITY_JWT] + m->count[ENTITY_BASICAUTH];
	plan->credentials = MS_ARENA_ARRAY(&plan->arena, struct gw_credential, count);
	plan->credentials_by_key = new_map(m, count);
	if (plan->credentials == NULL || plan->credentials_by_key == NULL)
		return ms_plan_no_memory(m);
	bool good = true;
	for (size_t k = 0; k < MS_ARRAY_LEN(kinds); k++) {
		FOR_ENTITIES(m, kinds[k], e)
		good &= make_credential(m, e, &plan->credentials[plan->credential_count++]);
	}
	return good;
}

static bool index_consumers(struct making *m)
{
	struct plan *plan = m->plan;
	plan->consumers_by_name = new_map(m, plan->consumer_count * 2);
	if (plan->consumers_by_name == NULL)
		return ms_plan_no_memory(m);
	for (size_t i = 0; i < plan->consumer_count; i++) {
		struct gw_consumer *c = &plan->consumers[i];
		if ((c->username.n > 0 && !ms_map_put(plan->consumers_by_name, c->username, c, NULL)) ||
		    !ms_map_put(plan->consumers_by_name, ms_slice_cstr(c->id), c, NULL))
			return ms_plan_no_memory(m);
	}
	return true;
}

static bool check_custom_ids(struct making *m)
{
	struct map seen;
	ms_map_init(&seen, MS_MAX(m->count[ENTITY_CONSUMER], (size_t)1), ms_random_hash_seed());
	bool good = true;
	FOR_ENTITIES(m, ENTITY_CONSUMER, e)
	{
		struct gw_consumer *c = e->made;
		const struct entity *other = c->custom_id.n > 0 ? ms_map_get(&seen, c->custom_id) : NULL;
		if (other != NULL) {
			PROBLEM(m, e, "custom_id", "is the custom_id of %s already", other->path);
			good = false;
		} else if (c->custom_id.n > 0 && !ms_map_put(&seen, c->custom_id, e, NULL)) {
			good = ms_plan_no_memory(m);
		}
	}
	ms_map_fini(&seen);
	return good;
}

bool ms_plan_make_consumers(struct making *m)
{
	m->plan->consumers = ms_plan_array(m, ENTITY_CONSUMER, sizeof(struct gw_consumer), &m->plan->consumer_count);
	if (m->plan->consumers == NULL)
		return ms_plan_no_memory(m);
	bool good = true;
	FOR_ENTITIES(m, ENTITY_CONSUMER, e)
	{
		struct gw_consumer *c = e->made;
		*c = ((const struct consumer_row *)e->row)->c;
		c->chain_row = SIZE_MAX;
		memcpy(c->id, e->id, sizeof(c->id));
		if (c->username.n == 0 && c->custom_id.n == 0) {
			ms_problem_add(m->problems, e->path, e->object, "must have a username or a custom_id");
			good = false;
		}
	}
	good &= check_custom_ids(m);
	good &= make_groups(m);
	good &= make_credentials(m);
	return good && index_consumers(m);
}
