// SPDX-License-Identifier: Apache-2.0
// Keywords that look at the items of arrays and the members of objects.
#include <stdlib.h>

#include "schema/internal.h"

#define UNUSED ((void)path, (void)scope, (void)seen)

static struct path item_path(const struct path *parent, size_t index)
{
	return (struct path){.parent = parent, .index = index};
}

static struct path member_path(const struct path *parent, const struct json_value *object, size_t index)
{
	struct slice key = object->object.members[index].key;
	if (key.p == NULL)
		key.p = "";
	return (struct path){.parent = parent, .key = key, .index = index};
}

// --- Arrays --------------------------------------------------------------------------------------------------------

bool ms_check_items(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		    const struct scope *scope, struct seen *seen)
{
	const struct items *items = op->array;
	bool valid = true;
	for (size_t i = 0; v->type == JSON_ARRAY && i < v->array.count && !ms_check_enough(c, valid); i++) {
		bool prefix = i < items->prefix_count;
		const struct node *node = prefix ? items->prefix[i] : items->rest;
		if (node == NULL)
			break;
		struct path at = item_path(path, i);
		valid &= ms_check_node(c, node, &v->array.items[i], &at, scope, NULL,
				       prefix ? items->prefix_keyword : items->rest_keyword);
		ms_seen_add(seen, i);
	}
	return valid;
}

bool ms_check_max_items(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			const struct scope *scope, struct seen *seen)
{
	UNUSED;
	return v->type != JSON_ARRAY || v->array.count <= op->count ||
	       ms_check_found(c, path, op->keyword, "has %zu items, must have at most %zu", v->array.count, op->count);
}

bool ms_check_min_items(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			const struct scope *scope, struct seen *seen)
{
	UNUSED;
	return v->type != JSON_ARRAY || v->array.count >= op->count ||
	       ms_check_found(c, path, op->keyword, "has %zu items, must have at least %zu", v->array.count, op->count);
}

bool ms_check_contains(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		       const struct scope *scope, struct seen *seen)
{
	size_t found = 0;
	const struct contains *k = &op->contains;
	if (v->type != JSON_ARRAY)
		return true;
	for (size_t i = 0; i < v->array.count && c->err == MS_OK; i++) {
		struct path at = item_path(path, i);
		if (!ms_check_quiet(c, k->node, &v->array.items[i], &at, scope, NULL))
			continue;
		found++;
		if (k->evaluates)
			ms_seen_add(seen, i);
	}
	if (c->err != MS_OK)
		return false;
	if (found < k->min)
		return ms_check_found(c, path, k->min == 1 ? op->keyword : "minContains",
				      "has %zu items that fit \"contains\", must have at least %zu", found, k->min);
	return found <= k->max ||
	       ms_check_found(c, path, "maxContains", "has %zu items that fit \"contains\", must have at most %zu",
			      found, k->max);
}

struct hashed {
	uint64_t hash;
	size_t index;
};

static int cmp_hashed(const void *a, const void *b)
{
	const struct hashed *x = a, *y = b;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

// Two equal items, the later one the earliest possible among its like.
static enum ms_err find_equal(struct check *c, const struct json_value *v, size_t *ret_a, size_t *ret_b,
			      bool *ret_found)
{
	size_t count = v->array.count;
	struct hashed *all = MS_ARENA_ARRAY(c->arena, struct hashed, count);
	*ret_found = false;
	if (all == NULL)
		return MS_ERR_NO_MEMORY;
	for (size_t i = 0; i < count; i++) {
		all[i].index = i;
		MS_TRY(ms_value_hash(&v->array.items[i], c->arena, &c->steps, &all[i].hash));
	}
	if (count > 1)
		qsort(all, count, sizeof(*all), cmp_hashed);
	for (size_t i = 0; i < count; i++) {
		for (size_t k = i + 1; k < count && all[k].hash == all[i].hash; k++) {
			*ret_a = all[i].index;
			*ret_b = all[k].index;
			MS_TRY(ms_value_equal(&v->array.items[*ret_a], &v->array.items[*ret_b], c->arena, &c->steps,
					      ret_found));
			if (*ret_found)
				return MS_OK;
		}
	}
	return MS_OK;
}

bool ms_check_unique_items(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			   const struct scope *scope, struct seen *seen)
{
	UNUSED;
	size_t a, b;
	bool found;
	if (v->type != JSON_ARRAY || v->array.count < 2)
		return true;
	struct arena_mark mark = ms_arena_mark(c->arena);
	enum ms_err err = find_equal(c, v, &a, &b, &found);
	ms_arena_rewind(c->arena, mark);
	if (err != MS_OK)
		return ms_check_stop(c, err,
				     err == MS_ERR_LIMIT ? "checking the value takes too many steps"
							 : "no memory to check the value");
	return !found || ms_check_found(c, path, op->keyword, "items %zu and %zu are equal, all must differ", a, b);
}

bool ms_check_unevaluated_items(struct check *c, const struct op *op, const struct json_value *v,
				const struct path *path, const struct scope *scope, struct seen *seen)
{
	bool valid = true;
	if (v->type != JSON_ARRAY)
		return true;
	for (size_t i = 0; i < v->array.count && !ms_check_enough(c, valid); i++) {
		struct path at = item_path(path, i);
		if (!ms_seen_has(seen, i))
			valid &= ms_check_node(c, op->node, &v->array.items[i], &at, scope, NULL, op->keyword);
	}
	seen->all = true;
	return valid;
}

// --- Objects -------------------------------------------------------------------------------------------------------

bool ms_check_max_properties(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			     const struct scope *scope, struct seen *seen)
{
	UNUSED;
	return v->type != JSON_OBJECT || v->object.count <= op->count ||
	       ms_check_found(c, path, op->keyword, "has %zu members, must have at most %zu", v->object.count,
			      op->count);
}

bool ms_check_min_properties(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			     const struct scope *scope, struct seen *seen)
{
	UNUSED;
	return v->type != JSON_OBJECT || v->object.count >= op->count ||
	       ms_check_found(c, path, op->keyword, "has %zu members, must have at least %zu", v->object.count,
			      op->count);
}

// Names of an object, sorted when many are looked up in many.
struct lookup {
	const struct json_value *object;
	struct slice *sorted;
};

static int cmp_names(const void *a, const void *b)
{
	return ms_name_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static bool lookup_start(struct check *c, const struct json_value *object, size_t lookups, struct lookup *ret)
{
	size_t count = object->object.count;
	*ret = (struct lookup){.object = object};
	if (count <= 16 || lookups <= 4)
		return ms_check_step(c, lookups * count / 16);
	ret->sorted = MS_ARENA_ARRAY(c->arena, struct slice, count);
	if (ret->sorted == NULL)
		return ms_check_stop(c, MS_ERR_NO_MEMORY, "no memory to check the value");
	for (size_t i = 0; i < count; i++)
		ret->sorted[i] = object->object.members[i].key;
	qsort(ret->sorted, count, sizeof(*ret->sorted), cmp_names);
	return ms_check_step(c, lookups + count);
}

static bool lookup_has(const struct lookup *l, struct slice name)
{
	if (l->sorted != NULL)
		return bsearch(&name, l->sorted, l->object->object.count, sizeof(name), cmp_names) != NULL;
	for (size_t i = 0; i < l->object->object.count; i++) {
		if (ms_slice_eq(l->object->object.members[i].key, name))
			return true;
	}
	return false;
}

static bool has_all(struct check *c, const struct op *op, const struct lookup *l, const struct slice *names,
		    size_t count, const struct path *path, struct slice because)
{
	bool valid = true;
	for (size_t i = 0; i < count && !ms_check_enough(c, valid); i++) {
		if (lookup_has(l, names[i]))
			continue;
		struct slice name = ms_slice_sub(names[i], 0, 100);
		if (because.p == NULL)
			valid = ms_check_found(c, path, op->keyword, "lacks the member \"%.*s\"", MS_SLICE_ARG(name));
		else
			valid = ms_check_found(c, path, op->keyword, "lacks the member \"%.*s\", which \"%.*s\" needs",
					       MS_SLICE_ARG(name), MS_SLICE_ARG(because));
	}
	return valid;
}

bool ms_check_required(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		       const struct scope *scope, struct seen *seen)
{
	UNUSED;
	struct lookup l;
	if (v->type != JSON_OBJECT)
		return true;
	return lookup_start(c, v, op->names.count, &l) &&
	       has_all(c, op, &l, op->names.items, op->names.count, path, MS_SLICE_EMPTY);
}

bool ms_check_dependents(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			 const struct scope *scope, struct seen *seen)
{
	struct lookup l;
	size_t lookups = 0;
	bool valid = true;
	if (v->type != JSON_OBJECT)
		return true;
	for (size_t i = 0; i < op->dependents.count; i++)
		lookups += 1 + op->dependents.items[i].required_count;
	if (!lookup_start(c, v, lookups, &l))
		return false;
	for (size_t i = 0; i < op->dependents.count && !ms_check_enough(c, valid); i++) {
		const struct dependent *d = &op->dependents.items[i];
		if (!lookup_has(&l, d->name))
			continue;
		if (d->node != NULL)
			valid &= ms_check_node(c, d->node, v, path, scope, seen, op->keyword);
		else
			valid &=
				has_all(c, op, &l, d->required, d->required_count, path, ms_slice_sub(d->name, 0, 100));
	}
	return valid;
}

static const struct node *named(const struct properties *p, struct slice name)
{
	size_t low = 0, high = p->name_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = ms_name_cmp(name, p->names[middle].name);
		if (order == 0)
			return p->names[middle].node;
		*(order < 0 ? &high : &low) = order < 0 ? middle : middle + 1;
	}
	return NULL;
}

static bool check_member(struct check *c, const struct properties *p, const struct json_value *v, size_t index,
			 const struct path *path, const struct scope *scope, struct seen *seen)
{
	const struct json_member *m = &v->object.members[index];
	struct path at = member_path(path, v, index);
	const struct node *node = named(p, m->key);
	bool known = node != NULL, valid = true;
	if (known)
		valid = ms_check_node(c, node, &m->value, &at, scope, NULL, "properties");
	for (size_t i = 0; i < p->pattern_count && !ms_check_enough(c, valid); i++) {
		bool fits = false;
		enum ms_err err = ms_pattern_match(&p->patterns[i].pattern, m->key, c->arena, &c->steps, &fits);
		if (err != MS_OK)
			return ms_check_stop(c, err, "a regular expression takes too many steps");
		if (fits)
			valid &=
				ms_check_node(c, p->patterns[i].node, &m->value, &at, scope, NULL, "patternProperties");
		known |= fits;
	}
	if (!known && p->additional != NULL && c->err == MS_OK) {
		valid &= ms_check_node(c, p->additional, &m->value, &at, scope, NULL, "additionalProperties");
		known = true;
	}
	if (known)
		ms_seen_add(seen, index);
	return valid;
}

bool ms_check_properties(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			 const struct scope *scope, struct seen *seen)
{
	bool valid = true;
	if (v->type != JSON_OBJECT)
		return true;
	if (!ms_check_step(c, v->object.count))
		return false;
	for (size_t i = 0; i < v->object.count && !ms_check_enough(c, valid); i++)
		valid &= check_member(c, op->properties, v, i, path, scope, seen);
	return valid;
}

bool ms_check_property_names(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			     const struct scope *scope, struct seen *seen)
{
	(void)seen;
	bool valid = true;
	for (size_t i = 0; v->type == JSON_OBJECT && i < v->object.count && !ms_check_enough(c, valid); i++) {
		struct json_value name = {.type = JSON_STRING, .str = v->object.members[i].key};
		struct path at = member_path(path, v, i);
		if (ms_check_quiet(c, op->node, &name, &at, scope, NULL) || c->err != MS_OK)
			continue;
		struct slice shown = ms_slice_sub(name.str, 0, 100);
		valid = ms_check_found(c, &at, op->keyword, "the name \"%.*s\" is not allowed here",
				       MS_SLICE_ARG(shown));
	}
	return valid && c->err == MS_OK;
}

bool ms_check_unevaluated_properties(struct check *c, const struct op *op, const struct json_value *v,
				     const struct path *path, const struct scope *scope, struct seen *seen)
{
	bool valid = true;
	if (v->type != JSON_OBJECT)
		return true;
	for (size_t i = 0; i < v->object.count && !ms_check_enough(c, valid); i++) {
		struct path at = member_path(path, v, i);
		if (!ms_seen_has(seen, i))
			valid &= ms_check_node(c, op->node, &v->object.members[i].value, &at, scope, NULL, op->keyword);
	}
	seen->all = true;
	return valid;
}
