// SPDX-License-Identifier: Apache-2.0
#include "gateway/document.h"

#include "gateway/plan_private.h"
#include "rt/rt.h"

bool ms_document_parse(struct slice text, struct arena *arena, struct problems *problems,
		       const struct json_value **ret_document)
{
	struct errinfo info;
	struct yaml_lines *lines;
	ms_errinfo_init(&info);
	if (ms_yaml_parse(text, NULL, arena, &info, ret_document, &lines) == MS_OK) {
		problems->lines = lines;
		return true;
	}
	// JSON may hold characters as they are that YAML wants escaped (U+0080 to U+009F), and what we wrote ourselves may be longer than a file.
	const struct json_limits limits = {.max_depth = 64, .max_bytes = (size_t)256 << 20, .reject_duplicates = true};
	struct slice trimmed = ms_slice_trim(text);
	if (trimmed.n > 0 && trimmed.p[0] == '{' && ms_json_parse(text, &limits, arena, NULL, ret_document) == MS_OK)
		return true;
	ms_problem_add(problems, "", NULL, "%s", info.message);
	if (problems->count > 0)
		problems->items[problems->count - 1].line = info.line;
	return false;
}

static size_t kind_of(struct slice list)
{
	size_t kind = 0;
	while (kind < ENTITY_KINDS && !ms_slice_eq_cstr(list, ms_entity_defs[kind].list))
		kind++;
	return kind;
}

const struct field *ms_document_fields(struct slice name)
{
	size_t kind = kind_of(name);
	if (kind < ENTITY_KINDS)
		return ms_entity_defs[kind].fields;
	const struct gw_plugin_kind *plugin = ms_plugin_kind(name);
	return plugin != NULL ? plugin->fields : NULL;
}

const struct json_value *ms_document_list(const struct json_value *document, const char *kind)
{
	const struct json_value *list = ms_json_get(document, kind);
	return list != NULL && list->type == JSON_ARRAY ? list : NULL;
}

static bool is_named(size_t kind, const struct json_value *entity, struct slice name_or_id)
{
	struct slice text;
	if (ms_json_as_str(ms_json_get(entity, "id"), &text) && ms_slice_eq_nocase(text, name_or_id))
		return true;
	const char *name = ms_entity_defs[kind].name;
	return name != NULL && ms_json_as_str(ms_json_get(entity, name), &text) && ms_slice_eq(text, name_or_id);
}

const struct json_value *ms_document_find(const struct json_value *document, const char *kind, struct slice name_or_id)
{
	const struct json_value *list = ms_document_list(document, kind);
	for (size_t i = 0; list != NULL && i < list->array.count; i++) {
		if (is_named(kind_of(ms_slice_cstr(kind)), &list->array.items[i], name_or_id))
			return &list->array.items[i];
	}
	return NULL;
}

// --- Secrets ---------------------------------------------------------------------------------------

static const struct field *field_of(const struct field *fields, struct slice name)
{
	for (const struct field *f = fields; f != NULL && f->name != NULL; f++) {
		if (ms_slice_eq_cstr(name, f->name) || (f->alias != NULL && ms_slice_eq_cstr(name, f->alias)))
			return f;
		// Older names of what stands in a record.
		for (const struct field *inner = f->fields; f->kind == FIELD_RECORD && inner->name != NULL; inner++) {
			if (inner->alias != NULL && ms_slice_eq_cstr(name, inner->alias))
				return inner;
		}
	}
	return NULL;
}

// The fields of the config of a plugin entity.
static const struct field *config_fields(const struct json_value *entity)
{
	struct slice name;
	const struct gw_plugin_kind *kind =
		ms_json_as_str(ms_json_get(entity, "name"), &name) ? ms_plugin_kind(name) : NULL;
	return kind != NULL ? kind->fields : NULL;
}

static void write_hidden(const struct json_value *value, const struct field *fields, struct json_writer *w);

static void write_member(const struct json_value *object, const struct json_member *m, const struct field *fields,
			 struct json_writer *w)
{
	const struct field *f = field_of(fields, m->key);
	const struct field *inner = f == NULL                                             ? NULL
				    : f->kind == FIELD_RECORD || f->kind == FIELD_RECORDS ? f->fields
											  : NULL;
	if (ms_slice_eq_cstr(m->key, "config") && fields == ms_entity_defs[ENTITY_PLUGIN].fields)
		inner = config_fields(object);
	ms_json_key(w, m->key);
	if (f != NULL && f->secret && m->value.type != JSON_NULL)
		ms_json_cstr(w, MS_HIDDEN);
	else if (inner != NULL)
		write_hidden(&m->value, inner, w);
	else
		ms_json_value(w, &m->value);
}

static void write_hidden(const struct json_value *value, const struct field *fields, struct json_writer *w)
{
	if (value->type == JSON_ARRAY) {
		ms_json_begin_array(w);
		for (size_t i = 0; i < value->array.count; i++)
			write_hidden(&value->array.items[i], fields, w);
		ms_json_end_array(w);
	} else if (value->type == JSON_OBJECT) {
		ms_json_begin_object(w);
		for (size_t i = 0; i < value->object.count; i++)
			write_member(value, &value->object.members[i], fields, w);
		ms_json_end_object(w);
	} else {
		ms_json_value(w, value);
	}
}

void ms_document_write_entity(const char *kind, const struct json_value *entity, bool hide, struct json_writer *w)
{
	size_t index = kind_of(ms_slice_cstr(kind));
	if (hide && index < ENTITY_KINDS)
		write_hidden(entity, ms_entity_defs[index].fields, w);
	else
		ms_json_value(w, entity);
}

void ms_document_write(const struct json_value *document, bool hide, struct json_writer *w)
{
	ms_json_begin_object(w);
	for (size_t i = 0; i < document->object.count; i++) {
		const struct json_member *m = &document->object.members[i];
		size_t kind = kind_of(m->key);
		ms_json_key(w, m->key);
		if (hide && kind < ENTITY_KINDS)
			write_hidden(&m->value, ms_entity_defs[kind].fields, w);
		else
			ms_json_value(w, &m->value);
	}
	ms_json_end_object(w);
}

struct restoring {
	struct arena *arena;
	struct problems *problems;
	const struct json_value *old;
	bool good;
};

static struct json_value restore_value(struct restoring *r, const struct json_value *value,
				       const struct json_value *old, const struct field *fields, const char *path);

static struct json_value restore_list(struct restoring *r, size_t kind, const struct json_value *list);

static struct json_value restore_member(struct restoring *r, const struct json_value *object,
					const struct json_member *m, const struct json_value *old,
					const struct field *fields, const char *path)
{
	const struct field *f = field_of(fields, m->key);
	size_t nested = kind_of(m->key);
	if (nested < ENTITY_KINDS && m->value.type == JSON_ARRAY)
		return restore_list(r, nested, &m->value);
	const char *key = ms_arena_cstr(r->arena, m->key);
	const struct json_value *before = key != NULL ? ms_json_get(old, key) : NULL;
	const struct field *inner = f == NULL ? NULL : f->kind == FIELD_RECORD ? f->fields : NULL;
	if (ms_slice_eq_cstr(m->key, "config") && fields == ms_entity_defs[ENTITY_PLUGIN].fields)
		inner = config_fields(object);
	const char *place = ms_problem_path(r->problems, path, m->key);
	if (f != NULL && f->secret && m->value.type == JSON_STRING && ms_slice_eq_cstr(m->value.str, MS_HIDDEN)) {
		if (before != NULL)
			return *before;
		ms_problem_add(r->problems, place, &m->value,
			       "is hidden here, and there is none before to keep; expected the secret itself");
		r->good = false;
		return m->value;
	}
	return inner != NULL ? restore_value(r, &m->value, before, inner, place) : m->value;
}

static struct json_value restore_value(struct restoring *r, const struct json_value *value,
				       const struct json_value *old, const struct field *fields, const char *path)
{
	if (value->type != JSON_OBJECT)
		return *value;
	struct json_member *members = MS_ARENA_ARRAY(r->arena, struct json_member, value->object.count);
	if (members == NULL) {
		r->good = false;
		return *value;
	}
	for (size_t i = 0; i < value->object.count; i++) {
		const struct json_member *m = &value->object.members[i];
		members[i] = (struct json_member){m->key, restore_member(r, value, m, old, fields, path)};
	}
	return (struct json_value){.type = JSON_OBJECT, .object = {members, value->object.count}};
}

static struct json_value restore_list(struct restoring *r, size_t kind, const struct json_value *list)
{
	const struct entity_def *def = &ms_entity_defs[kind];
	struct json_value *items = MS_ARENA_ARRAY(r->arena, struct json_value, list->array.count);
	if (items == NULL) {
		r->good = false;
		return *list;
	}
	for (size_t i = 0; i < list->array.count; i++) {
		struct slice id = MS_SLICE_EMPTY;
		const struct json_value *entity = &list->array.items[i], *before = NULL;
		if (ms_json_as_str(ms_json_get(entity, "id"), &id))
			before = ms_document_find(r->old, def->list, id);
		items[i] = restore_value(r, entity, before, def->fields, ms_problem_item(r->problems, def->list, i));
	}
	return (struct json_value){.type = JSON_ARRAY, .array = {items, list->array.count}};
}

static bool holds_hidden(const struct json_value *value)
{
	if (value->type == JSON_STRING)
		return ms_slice_eq_cstr(value->str, MS_HIDDEN);
	bool found = false;
	for (size_t i = 0; value->type == JSON_ARRAY && i < value->array.count && !found; i++)
		found = holds_hidden(&value->array.items[i]);
	for (size_t i = 0; value->type == JSON_OBJECT && i < value->object.count && !found; i++)
		found = holds_hidden(&value->object.members[i].value);
	return found;
}

bool ms_document_restore(const struct json_value *document, const struct json_value *old, struct arena *arena,
			 struct problems *problems, const struct json_value **ret_document)
{
	*ret_document = document;
	if (document->type != JSON_OBJECT || !holds_hidden(document))
		return true; // as files are: their lines are kept
	struct restoring r = {arena, problems, old, true};
	struct json_member *members = MS_ARENA_ARRAY(arena, struct json_member, document->object.count);
	struct json_value *copy = MS_ARENA_NEW(arena, struct json_value);
	if (members == NULL || copy == NULL)
		return false;
	for (size_t i = 0; i < document->object.count; i++) {
		const struct json_member *m = &document->object.members[i];
		size_t kind = kind_of(m->key);
		bool list = kind < ENTITY_KINDS && m->value.type == JSON_ARRAY;
		members[i] = (struct json_member){m->key, list ? restore_list(&r, kind, &m->value) : m->value};
	}
	*copy = (struct json_value){.type = JSON_OBJECT, .object = {members, document->object.count}};
	*ret_document = copy;
	return r.good;
}

// --- One entity ------------------------------------------------------------------------------------

static bool is_own(size_t kind)
{
	return kind != ENTITY_SERVICE && kind != ENTITY_ROUTE && kind != ENTITY_UPSTREAM && kind != ENTITY_CONSUMER;
}

// Belongs to the entity that is removed, and goes with it.
static bool goes_along(size_t kind, const struct json_value *entity, size_t owner_kind, const struct json_value *owner)
{
	for (int o = 0; o < OWNER_KINDS; o++) {
		struct slice text;
		if (ms_owner_entities[o] == (enum entity_kind)owner_kind &&
		    ms_json_as_str(ms_json_get(entity, ms_owner_names[o]), &text))
			return is_own(kind) && is_named(owner_kind, owner, text);
	}
	return false;
}

static void write_changed_list(size_t kind, const struct json_value *list, size_t changed_kind,
			       const struct json_value *present, const struct json_value *entity, struct json_writer *w)
{
	ms_json_begin_array(w);
	for (size_t i = 0; list != NULL && i < list->array.count; i++) {
		const struct json_value *item = &list->array.items[i];
		if (item == present && entity != NULL)
			ms_json_value(w, entity);
		else if (item != present &&
			 !(entity == NULL && present != NULL && goes_along(kind, item, changed_kind, present)))
			ms_json_value(w, item);
	}
	if (kind == changed_kind && present == NULL && entity != NULL)
		ms_json_value(w, entity);
	ms_json_end_array(w);
}

void ms_document_change(const struct json_value *document, const char *kind, struct slice name_or_id,
			const struct json_value *entity, struct buf *out)
{
	struct json_writer w;
	size_t changed = kind_of(ms_slice_cstr(kind));
	const struct json_value *present = ms_document_find(document, kind, name_or_id);
	ms_json_writer_init(&w, out);
	ms_json_begin_object(&w);
	ms_json_key_lit(&w, "_format_version");
	ms_json_cstr(&w, "3.0");
	for (size_t k = 0; k < ENTITY_KINDS; k++) {
		const struct json_value *list = ms_document_list(document, ms_entity_defs[k].list);
		if (list == NULL && k != changed)
			continue;
		ms_json_key_lit(&w, ms_entity_defs[k].list);
		write_changed_list(k, list, changed, present, entity, &w);
	}
	ms_json_end_object(&w);
}
