// SPDX-License-Identifier: Apache-2.0
// What a new document changes, in words: one line an entity.
#include "gateway/document.h"

#include <stdio.h>

#include "gateway/plan_private.h"
#include "rt/rt.h"

#define SHOWN_MAX 60

struct differ {
	struct buf *out;
	size_t fields; // told of this entity so far
};

static bool equal(const struct json_value *a, const struct json_value *b)
{
	if (a == NULL || b == NULL || a->type != b->type)
		return a == b;
	if (a->type == JSON_STRING || a->type == JSON_NUMBER)
		return ms_slice_eq(a->str, b->str);
	if (a->type == JSON_ARRAY) {
		bool same = a->array.count == b->array.count;
		for (size_t i = 0; same && i < a->array.count; i++)
			same = equal(&a->array.items[i], &b->array.items[i]);
		return same;
	}
	if (a->type != JSON_OBJECT)
		return true;
	bool same = a->object.count == b->object.count;
	for (size_t i = 0; same && i < a->object.count; i++)
		same = ms_slice_eq(a->object.members[i].key, b->object.members[i].key) &&
		       equal(&a->object.members[i].value, &b->object.members[i].value);
	return same;
}

static void append_text(struct buf *out, struct slice text)
{
	char escaped[SHOWN_MAX * 2];
	size_t taken, n = ms_text_json_escape(ms_slice_sub(text, 0, SHOWN_MAX), escaped, sizeof(escaped), &taken);
	ms_buf_append(out, escaped, n);
	if (taken < text.n)
		ms_buf_append_cstr(out, "…");
}

static void append_value(struct buf *out, const struct json_value *value)
{
	if (value == NULL) {
		ms_buf_append_cstr(out, "nothing");
		return;
	}
	struct buf text;
	struct json_writer w;
	ms_buf_init(&text, (size_t)1 << 20);
	ms_json_writer_init(&w, &text);
	ms_json_value(&w, value);
	struct slice shown = ms_slice_sub(ms_buf_slice(&text), 0, SHOWN_MAX);
	while (shown.n > 0 && shown.n < text.n && ((unsigned char)text.p[shown.n] & 0xc0) == 0x80)
		shown.n--; // whole characters
	ms_buf_append_slice(out, shown);
	if (shown.n < text.n)
		ms_buf_append_cstr(out, "…");
	ms_buf_fini(&text);
}

static const struct field *find_field(const struct field *fields, struct slice name)
{
	for (const struct field *f = fields; f != NULL && f->name != NULL; f++) {
		if (ms_slice_eq_cstr(name, f->name))
			return f;
	}
	return NULL;
}

static void tell_objects(struct differ *d, const struct json_value *old, const struct json_value *new,
			 const struct field *fields, const char *prefix, const struct json_value *entity);

static void tell_field(struct differ *d, struct slice key, const struct json_value *old, const struct json_value *new,
		       const struct field *fields, const char *prefix, const struct json_value *entity)
{
	if (equal(old, new) || ms_slice_eq_cstr(key, "created_at") || ms_slice_eq_cstr(key, "updated_at"))
		return;
	const struct field *f = find_field(fields, key), *inner = f != NULL ? f->fields : NULL;
	struct slice name;
	if (ms_slice_eq_cstr(key, "config") && prefix[0] == '\0' &&
	    ms_json_as_str(ms_json_get(entity, "name"), &name) && ms_plugin_kind(name) != NULL)
		inner = ms_plugin_kind(name)->fields;
	if (inner != NULL && old != NULL && new != NULL && old->type == JSON_OBJECT &&new->type == JSON_OBJECT) {
		char path[256];
		snprintf(path, sizeof(path), "%s%.*s.", prefix, MS_SLICE_ARG(ms_slice_sub(key, 0, 64)));
		tell_objects(d, old, new, inner, path, entity);
		return;
	}
	ms_buf_printf(d->out, "%s%s%.*s ", d->fields++ > 0 ? ", " : ": ", prefix,
		      MS_SLICE_ARG(ms_slice_sub(key, 0, 64)));
	// Records that hold a secret somewhere are not shown when they come or go.
	if ((f != NULL && f->secret) || inner != NULL) {
		ms_buf_append_cstr(d->out, old == NULL ? "set" : new == NULL ? "removed" : "changed");
		return;
	}
	append_value(d->out, old);
	ms_buf_append_cstr(d->out, " → ");
	append_value(d->out, new);
}

static const struct json_value *get(const struct json_value *object, struct slice key)
{
	for (size_t i = 0; i < object->object.count; i++) {
		if (ms_slice_eq(object->object.members[i].key, key))
			return &object->object.members[i].value;
	}
	return NULL;
}

static void tell_objects(struct differ *d, const struct json_value *old, const struct json_value *new,
			 const struct field *fields, const char *prefix, const struct json_value *entity)
{
	for (size_t i = 0; i < new->object.count; i++) {
		const struct json_member *m = &new->object.members[i];
		tell_field(d, m->key, get(old, m->key), &m->value, fields, prefix, entity);
	}
	for (size_t i = 0; i < old->object.count; i++) {
		const struct json_member *m = &old->object.members[i];
		if (get(new, m->key) == NULL)
			tell_field(d, m->key, &m->value, NULL, fields, prefix, entity);
	}
}

// "plugin key-auth (route orders)"
static void append_entity(struct buf *out, size_t kind, const struct json_value *entity)
{
	static const char *const names[] = {"name", "username", "custom_id", "target", "group", "id"};
	const char *list = ms_entity_defs[kind].list;
	ms_buf_append(out, list, strlen(list) - 1); // without the s
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++) {
		struct slice text;
		if (!ms_json_as_str(ms_json_get(entity, names[i]), &text))
			continue;
		ms_buf_append_char(out, ' ');
		append_text(out, text);
		break;
	}
	bool first = true;
	for (int o = 0; o < OWNER_KINDS; o++) {
		struct slice owner;
		if (!ms_json_as_str(ms_json_get(entity, ms_owner_names[o]), &owner))
			continue;
		ms_buf_printf(out, "%s%s ", first ? " (" : ", ", ms_owner_names[o]);
		append_text(out, owner);
		first = false;
	}
	if (!first)
		ms_buf_append_char(out, ')');
}

static void tell_line(struct buf *out, const char *what, size_t kind, const struct json_value *entity)
{
	ms_buf_append_cstr(out, what);
	append_entity(out, kind, entity);
}

static void index_ids(const struct json_value *list, struct map *map)
{
	for (size_t i = 0; list != NULL && i < list->array.count; i++) {
		struct slice id;
		// Without memory for it the entity counts as new.
		if (ms_json_as_str(ms_json_get(&list->array.items[i], "id"), &id) &&
		    !ms_map_put(map, id, (void *)(uintptr_t)&list->array.items[i], NULL))
			return;
	}
}

static void tell_kind(struct buf *out, size_t kind, const struct json_value *old, const struct json_value *new)
{
	struct map before, after;
	ms_map_init(&before, 2000000, ms_random_hash_seed());
	ms_map_init(&after, 2000000, ms_random_hash_seed());
	index_ids(old, &before);
	index_ids(new, &after);
	for (size_t i = 0; new != NULL &&i < new->array.count; i++) {
		const struct json_value *entity = &new->array.items[i];
		struct slice id = MS_SLICE_EMPTY;
		const struct json_value *was =
			ms_json_as_str(ms_json_get(entity, "id"), &id) ? ms_map_get(&before, id) : NULL;
		if (was == NULL) {
			tell_line(out, "added ", kind, entity);
			ms_buf_append_char(out, '\n');
		} else if (!equal(was, entity)) {
			struct differ d = {.out = out};
			size_t start = out->n;
			tell_line(out, "changed ", kind, entity);
			tell_objects(&d, was, entity, ms_entity_defs[kind].fields, "", entity);
			if (d.fields == 0)
				out->n = start; // times alone
			else
				ms_buf_append_char(out, '\n');
		}
	}
	for (size_t i = 0; old != NULL && i < old->array.count; i++) {
		struct slice id = MS_SLICE_EMPTY;
		if (ms_json_as_str(ms_json_get(&old->array.items[i], "id"), &id) && ms_map_get(&after, id) != NULL)
			continue;
		tell_line(out, "removed ", kind, &old->array.items[i]);
		ms_buf_append_char(out, '\n');
	}
	ms_map_fini(&before);
	ms_map_fini(&after);
}

void ms_document_diff(const struct json_value *old, const struct json_value *new, struct buf *out)
{
	for (size_t kind = 0; kind < ENTITY_KINDS; kind++)
		tell_kind(out, kind, ms_document_list(old, ms_entity_defs[kind].list),
			  ms_document_list(new, ms_entity_defs[kind].list));
}
