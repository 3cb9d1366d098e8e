// SPDX-License-Identifier: Apache-2.0
// JSON objects whose members are changed. Values that nobody touches are written as they were read.
#include "gateway/plugins/plugins.h"

#define DEPTH_MAX 32

struct member {
	struct slice key;
	struct json_value value;
	struct gw_members *opened; // the value is an object that was looked into: this counts
};
struct gw_members {
	struct gw_request *r;
	struct member *items;
	size_t count, room;
};

static bool push(struct gw_members *m, struct member member)
{
	if (m->count == m->room) {
		size_t room = MS_MAX(m->room * 2, (size_t)8);
		struct member *items = MS_ARENA_ARRAY(m->r->arena, struct member, room);
		if (items == NULL)
			return false;
		if (m->count > 0)
			memcpy(items, m->items, m->count * sizeof(*items));
		m->items = items;
		m->room = room;
	}
	m->items[m->count++] = member;
	return true;
}

bool ms_gw_members_read(struct gw_request *r, const struct json_value *object, struct gw_members **ret_members)
{
	struct gw_members *m = MS_ARENA_NEW(r->arena, struct gw_members);
	if (m == NULL || (object != NULL && object->type != JSON_OBJECT))
		return false;
	m->r = r;
	for (size_t i = 0; object != NULL && i < object->object.count; i++) {
		const struct json_member *from = &object->object.members[i];
		if (!push(m, (struct member){.key = from->key, .value = from->value}))
			return false;
	}
	*ret_members = m;
	return true;
}

bool ms_gw_members_parse(struct gw_request *r, struct slice text, struct gw_members **ret_members)
{
	const struct json_value *object;
	if (ms_slice_trim(text).n == 0)
		return ms_gw_members_read(r, NULL, ret_members);
	return ms_json_parse(text, NULL, r->arena, NULL, &object) == MS_OK && object->type == JSON_OBJECT &&
	       ms_gw_members_read(r, object, ret_members);
}

static struct member *find(struct gw_members *m, struct slice key)
{
	for (size_t i = 0; i < m->count; i++) {
		if (ms_slice_eq(m->items[i].key, key))
			return &m->items[i];
	}
	return NULL;
}

static struct gw_members *open_member(struct member *member, struct gw_request *r)
{
	if (member->opened == NULL && member->value.type == JSON_OBJECT &&
	    !ms_gw_members_read(r, &member->value, &member->opened))
		return NULL;
	return member->opened;
}

// The object that holds the last part of a name with dots. NULL: there is none (with `make`: it could not be made).
static struct gw_members *parent_of(struct gw_members *m, struct slice *name, bool nested, bool make)
{
	for (size_t depth = 0; nested && depth < DEPTH_MAX; depth++) {
		size_t dot = ms_slice_find(*name, '.');
		if (dot == name->n)
			return m;
		struct slice part = ms_slice_sub(*name, 0, dot);
		struct member *member = find(m, part);
		if (member == NULL && make) {
			static const struct json_value empty = {.type = JSON_OBJECT};
			if (!push(m, (struct member){.key = part, .value = empty}))
				return NULL;
			member = &m->items[m->count - 1];
		}
		if (member == NULL || (m = open_member(member, m->r)) == NULL)
			return NULL;
		*name = ms_slice_sub(*name, dot + 1, name->n);
	}
	return nested ? NULL : m;
}

bool ms_gw_members_has(struct gw_members *m, struct slice name, bool nested)
{
	m = parent_of(m, &name, nested, false);
	return m != NULL && find(m, name) != NULL;
}

bool ms_gw_members_remove(struct gw_members *m, struct slice name, bool nested)
{
	m = parent_of(m, &name, nested, false);
	struct member *member = m != NULL ? find(m, name) : NULL;
	if (member == NULL)
		return false;
	size_t at = (size_t)(member - m->items);
	memmove(member, member + 1, (m->count - at - 1) * sizeof(*member));
	m->count--;
	return true;
}

bool ms_gw_members_rename(struct gw_members *m, struct slice from, struct slice to, bool nested)
{
	struct slice name = from;
	struct gw_members *parent = parent_of(m, &name, nested, false);
	struct member *member = parent != NULL ? find(parent, name) : NULL;
	if (member == NULL || ms_slice_eq(from, to))
		return true;
	struct member moved = *member;
	ms_gw_members_remove(parent, name, false);
	struct gw_members *target = parent_of(m, &to, nested, true);
	if (target == NULL)
		return false;
	ms_gw_members_remove(target, to, false);
	moved.key = to;
	return push(target, moved);
}

bool ms_gw_members_set(struct gw_members *m, struct slice name, bool nested, const struct json_value *value)
{
	m = parent_of(m, &name, nested, true);
	if (m == NULL)
		return true; // on the way stands something that is no object
	struct member *member = find(m, name);
	if (member == NULL)
		return push(m, (struct member){.key = name, .value = *value});
	member->value = *value;
	member->opened = NULL;
	return true;
}

bool ms_gw_members_append(struct gw_members *m, struct slice name, bool nested, const struct json_value *value)
{
	m = parent_of(m, &name, nested, true);
	if (m == NULL)
		return true;
	struct member *member = find(m, name);
	size_t count = member == NULL ? 0 : member->value.type == JSON_ARRAY ? member->value.array.count : 1;
	if (member != NULL && member->value.type == JSON_OBJECT)
		return true; // an object has no end
	struct json_value *items = MS_ARENA_ARRAY(m->r->arena, struct json_value, count + 1);
	if (items == NULL)
		return false;
	if (member != NULL && member->value.type == JSON_ARRAY && count > 0)
		memcpy(items, member->value.array.items, count * sizeof(*items));
	else if (member != NULL && count > 0)
		items[0] = member->value;
	items[count] = *value;
	struct json_value array = {.type = JSON_ARRAY};
	array.array.items = items;
	array.array.count = count + 1;
	return ms_gw_members_set(m, name, false, &array);
}

static void write_members(const struct gw_members *m, struct json_writer *w)
{
	ms_json_begin_object(w);
	for (size_t i = 0; i < m->count; i++) {
		ms_json_key(w, m->items[i].key);
		if (m->items[i].opened != NULL)
			write_members(m->items[i].opened, w);
		else
			ms_json_value(w, &m->items[i].value);
	}
	ms_json_end_object(w);
}

bool ms_gw_members_write(const struct gw_members *m, struct slice *ret_text)
{
	struct buf text;
	struct json_writer w;
	ms_buf_init(&text, (size_t)64 << 20);
	ms_json_writer_init(&w, &text);
	write_members(m, &w);
	struct slice copy = ms_buf_ok(&text) ? ms_arena_copy(m->r->arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	if (copy.p == NULL)
		return false;
	*ret_text = copy;
	return true;
}
