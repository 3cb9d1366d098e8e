// SPDX-License-Identifier: Apache-2.0
// The normalised document: every entity at the top level, with its id, its owners by name, and its defaults. Reading it gives the same plan.
#include "gateway/plan_private.h"

static bool is_owner_or_nested(const struct entity_def *def, struct slice name)
{
	for (int o = 0; o < OWNER_KINDS; o++) {
		if (ms_slice_eq_cstr(name, ms_owner_names[o]))
			return true;
	}
	for (size_t i = 0; def->nested[i] != ENTITY_KINDS; i++) {
		if (ms_slice_eq_cstr(name, ms_entity_defs[def->nested[i]].list))
			return true;
	}
	return ms_slice_eq_cstr(name, "id") || ms_slice_eq_cstr(name, "config");
}

// Without what is null, at every level.
static void write_value(const struct json_value *value, struct json_writer *w)
{
	if (value->type == JSON_OBJECT) {
		ms_json_begin_object(w);
		for (size_t i = 0; i < value->object.count; i++) {
			if (value->object.members[i].value.type == JSON_NULL)
				continue;
			ms_json_key(w, value->object.members[i].key);
			write_value(&value->object.members[i].value, w);
		}
		ms_json_end_object(w);
	} else {
		ms_json_value(w, value);
	}
}

static bool is_shorthand(const struct entity *e, struct slice name)
{
	return e->kind == ENTITY_SERVICE && ms_slice_eq_cstr(name, "url");
}

// What Kong's rules refuse when it is said, though it is the default.
static bool is_implied(const struct entity *e, const struct json_member *member)
{
	static const char *const tls[] = {"tls_verify", "tls_verify_depth"};
	if (member->value.type == JSON_NUMBER && ms_slice_eq_cstr(member->value.str, "0") &&
	    (ms_slice_eq_cstr(member->key, "created_at") || ms_slice_eq_cstr(member->key, "updated_at")))
		return true;
	bool plain = e->kind == ENTITY_SERVICE && ((const struct gw_service *)e->made)->protocol != GW_HTTPS &&
		     ((const struct gw_service *)e->made)->protocol != GW_GRPCS;
	for (size_t i = 0; plain && i < MS_ARRAY_LEN(tls); i++) {
		if (ms_slice_eq_cstr(member->key, tls[i]))
			return true;
	}
	return e->kind == ENTITY_PLUGIN && ms_slice_eq_cstr(member->key, "run_on");
}

struct source_writer {
	struct making *m;
	struct json_writer *w;
	struct buf record; // an entity's fields, with nulls
};

static bool write_fields(struct source_writer *s, const struct entity *e, const struct field *fields, const void *row,
			 bool config)
{
	struct arena *arena = &s->m->plan->arena;
	struct json_writer inner;
	ms_buf_clear(&s->record);
	ms_json_writer_init(&inner, &s->record);
	ms_record_write(fields, row, false, &inner);
	const struct json_value *value;
	if (!ms_buf_ok(&s->record))
		return false;
	struct slice text = ms_arena_copy(arena, ms_buf_slice(&s->record));
	if (text.p == NULL || ms_json_parse(text, NULL, arena, NULL, &value) != MS_OK)
		return false;
	for (size_t i = 0; i < value->object.count; i++) {
		const struct json_member *member = &value->object.members[i];
		if (member->value.type == JSON_NULL)
			continue;
		if (!config && (is_owner_or_nested(&ms_entity_defs[e->kind], member->key) ||
				is_shorthand(e, member->key) || is_implied(e, member)))
			continue;
		ms_json_key(s->w, member->key);
		write_value(&member->value, s->w);
	}
	return true;
}

static bool write_entity(struct source_writer *s, const struct entity *e)
{
	struct json_writer *w = s->w;
	ms_json_begin_object(w);
	ms_json_key_lit(w, "id");
	ms_json_cstr(w, e->id);
	for (int o = 0; o < OWNER_KINDS; o++) {
		const struct entity *owner = e->owners[o];
		if (owner == NULL)
			continue;
		ms_json_key_lit(w, ms_owner_names[o]);
		if (owner->name.n > 0)
			ms_json_str(w, owner->name);
		else
			ms_json_cstr(w, owner->id);
	}
	bool good = write_fields(s, e, ms_entity_defs[e->kind].fields, e->row, false);
	if (good && e->kind == ENTITY_PLUGIN) {
		ms_json_key_lit(w, "config");
		ms_json_begin_object(w);
		good = write_fields(s, e, ((const struct gw_plugin_use *)e->made)->kind->fields, e->config, true);
		ms_json_end_object(w);
	}
	ms_json_end_object(w);
	return good;
}

static bool write_all(struct source_writer *s)
{
	struct json_writer *w = s->w;
	ms_json_begin_object(w);
	ms_json_key_lit(w, "_format_version");
	ms_json_cstr(w, "3.0");
	for (size_t kind = 0; kind < ENTITY_KINDS; kind++) {
		if (s->m->count[kind] == 0)
			continue;
		ms_json_key_lit(w, ms_entity_defs[kind].list);
		ms_json_begin_array(w);
		FOR_ENTITIES(s->m, kind, e)
		{
			if (!write_entity(s, e))
				return false;
		}
		ms_json_end_array(w);
	}
	ms_json_end_object(w);
	return true;
}

bool ms_plan_make_source(struct making *m)
{
	struct buf text;
	ms_buf_init(&text, (size_t)256 << 20);
	struct json_writer w;
	ms_json_writer_init(&w, &text);
	struct source_writer s = {.m = m, .w = &w};
	ms_buf_init(&s.record, (size_t)16 << 20);
	struct slice copy = MS_SLICE_EMPTY;
	const struct json_limits limits = {.max_depth = 128, .max_bytes = (size_t)256 << 20};
	bool good = write_all(&s) && ms_buf_ok(&text);
	if (good)
		copy = ms_arena_copy(&m->plan->arena, ms_buf_slice(&text));
	good = good && copy.p != NULL && ms_json_parse(copy, &limits, &m->plan->arena, NULL, &m->plan->source) == MS_OK;
	ms_buf_fini(&s.record);
	ms_buf_fini(&text);
	return good || ms_plan_no_memory(m);
}
