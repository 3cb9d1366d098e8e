// SPDX-License-Identifier: Apache-2.0
// JSON values that mean the same: numbers by value, objects without order.
#include <stdlib.h>

#include "schema/internal.h"

int ms_name_cmp(struct slice a, struct slice b)
{
	if (a.n != b.n)
		return a.n < b.n ? -1 : 1;
	return a.n > 0 ? memcmp(a.p, b.p, a.n) : 0;
}

static bool take(size_t *steps, size_t n)
{
	if (*steps < n) {
		*steps = 0;
		return false;
	}
	*steps -= n;
	return true;
}

// A bijection of 64 bits that leaves no bit alone (the finaliser of SplitMix64).
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static uint64_t hash_text(struct slice s, uint64_t salt)
{
	return ms_hash(s, (struct hash_seed){salt, 0x6d61696e73746179u});
}

static enum ms_err hash_number(struct slice text, struct arena *arena, uint64_t *ret_hash)
{
	struct decimal n;
	MS_TRY(ms_decimal_parse(text, arena, &n));
	*ret_hash = mix(hash_text(n.digits, JSON_NUMBER) + (uint64_t)n.magnitude * 2 + n.negative);
	return MS_OK;
}

static enum ms_err hash_array(const struct json_value *v, struct arena *arena, size_t *steps, uint64_t *ret_hash)
{
	uint64_t h = JSON_ARRAY, item;
	for (size_t i = 0; i < v->array.count; i++) {
		MS_TRY(ms_value_hash(&v->array.items[i], arena, steps, &item));
		h = mix(h + item);
	}
	*ret_hash = h;
	return MS_OK;
}

enum ms_err ms_value_hash(const struct json_value *v, struct arena *arena, size_t *steps, uint64_t *ret_hash)
{
	uint64_t h = mix((uint64_t)v->type + 99), value;
	if (!take(steps, 1))
		return MS_ERR_LIMIT;
	if (v->type == JSON_STRING || v->type == JSON_NUMBER) {
		if (!take(steps, v->str.n / 64))
			return MS_ERR_LIMIT;
		if (v->type == JSON_NUMBER)
			return hash_number(v->str, arena, ret_hash);
		h = hash_text(v->str, JSON_STRING);
	} else if (v->type == JSON_ARRAY) {
		return hash_array(v, arena, steps, ret_hash);
	} else if (v->type == JSON_OBJECT) {
		for (size_t i = 0; i < v->object.count; i++) {
			MS_TRY(ms_value_hash(&v->object.members[i].value, arena, steps, &value));
			h += mix(value +
				 hash_text(v->object.members[i].key, JSON_OBJECT)); // a sum: order does not count
		}
	}
	*ret_hash = h;
	return MS_OK;
}

static int cmp_members(const void *a, const void *b)
{
	const struct json_member *const *x = a, *const *y = b;
	return ms_name_cmp((*x)->key, (*y)->key);
}

static const struct json_member **sorted(const struct json_value *v, struct arena *arena)
{
	const struct json_member **all = MS_ARENA_ARRAY(arena, const struct json_member *, v->object.count);
	for (size_t i = 0; all != NULL && i < v->object.count; i++)
		all[i] = &v->object.members[i];
	if (all != NULL && v->object.count > 1)
		qsort(all, v->object.count, sizeof(*all), cmp_members);
	return all;
}

static enum ms_err equal_objects(const struct json_value *a, const struct json_value *b, struct arena *arena,
				 size_t *steps, bool *ret_equal)
{
	*ret_equal = false;
	if (a->object.count != b->object.count)
		return MS_OK;
	if (!take(steps, a->object.count))
		return MS_ERR_LIMIT;
	const struct json_member **x = sorted(a, arena), **y = sorted(b, arena);
	if (x == NULL || y == NULL)
		return MS_ERR_NO_MEMORY;
	for (size_t i = 0; i < a->object.count; i++) {
		if (!ms_slice_eq(x[i]->key, y[i]->key))
			return MS_OK;
	}
	for (size_t i = 0; i < a->object.count; i++) {
		MS_TRY(ms_value_equal(&x[i]->value, &y[i]->value, arena, steps, ret_equal));
		if (!*ret_equal)
			return MS_OK;
	}
	*ret_equal = true;
	return MS_OK;
}

static enum ms_err equal_arrays(const struct json_value *a, const struct json_value *b, struct arena *arena,
				size_t *steps, bool *ret_equal)
{
	*ret_equal = a->array.count == b->array.count;
	for (size_t i = 0; *ret_equal && i < a->array.count; i++)
		MS_TRY(ms_value_equal(&a->array.items[i], &b->array.items[i], arena, steps, ret_equal));
	return MS_OK;
}

enum ms_err ms_value_equal(const struct json_value *a, const struct json_value *b, struct arena *arena, size_t *steps,
			   bool *ret_equal)
{
	*ret_equal = a->type == b->type;
	if (!take(steps, 1))
		return MS_ERR_LIMIT;
	if (!*ret_equal)
		return MS_OK;
	if (a->type == JSON_STRING) {
		*ret_equal = ms_slice_eq(a->str, b->str);
	} else if (a->type == JSON_NUMBER) {
		struct decimal x, y;
		MS_TRY(ms_decimal_parse(a->str, arena, &x));
		MS_TRY(ms_decimal_parse(b->str, arena, &y));
		*ret_equal = ms_decimal_cmp(&x, &y) == 0;
	} else if (a->type == JSON_ARRAY) {
		return equal_arrays(a, b, arena, steps, ret_equal);
	} else if (a->type == JSON_OBJECT) {
		return equal_objects(a, b, arena, steps, ret_equal);
	}
	return MS_OK;
}
