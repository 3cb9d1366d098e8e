// SPDX-License-Identifier: Apache-2.0
// Kong's own schema language as JSON Schema (draft 7): [{"name": {"type": "string", "required": true, "len_min": 1}}, …].
#include "gateway/inspect/kong_schema.h"

#define NEST_MAX 32

struct kong {
	struct json_writer w;
	struct errinfo *info;
	unsigned depth;
};

static enum ms_err write_field(struct kong *k, const struct json_value *field, bool required);

static enum ms_err write_object(struct kong *k, const struct json_value *fields);

static enum ms_err unknown(struct kong *k, struct slice name, const char *why)
{
	return ms_fail(k->info, MS_ERR_INVALID, "the schema's \"%.*s\": %s", MS_SLICE_ARG(name), why);
}

// The length rules mean another keyword for each type.
static const char *length_keyword(struct slice type, bool min)
{
	if (ms_slice_eq_cstr(type, "array") || ms_slice_eq_cstr(type, "set"))
		return min ? "minItems" : "maxItems";
	if (ms_slice_eq_cstr(type, "map"))
		return min ? "minProperties" : "maxProperties";
	return min ? "minLength" : "maxLength";
}

static void write_limit(struct kong *k, const char *keyword, const struct json_value *value)
{
	ms_json_key_lit(&k->w, keyword);
	ms_json_value(&k->w, value);
}

static void write_starts_with(struct kong *k, struct slice text)
{
	char pattern[512];
	size_t n = 0;
	pattern[n++] = '^';
	for (size_t i = 0; i < text.n && n + 3 < sizeof(pattern); i++) {
		if (strchr("^$\\.*+?()[]{}|/", text.p[i]) != NULL)
			pattern[n++] = '\\';
		pattern[n++] = text.p[i];
	}
	ms_json_key_lit(&k->w, "pattern");
	ms_json_str(&k->w, ms_slice(pattern, n));
}

static bool write_text_rule(struct kong *k, struct slice name, const struct json_value *v)
{
	if (ms_slice_eq_cstr(name, "uuid") && v->type == JSON_TRUE) {
		ms_json_key_lit(&k->w, "format");
		ms_json_cstr(&k->w, "uuid");
		return true;
	}
	if (ms_slice_eq_cstr(name, "starts_with") && v->type == JSON_STRING && v->str.n <= 200 &&
	    memchr(v->str.p, '\0', v->str.n) == NULL) {
		write_starts_with(k, v->str);
		return true;
	}
	return false;
}

static enum ms_err write_nested(struct kong *k, const char *keyword, const struct json_value *field)
{
	ms_json_key_lit(&k->w, keyword);
	return write_field(k, field, true);
}

static enum ms_err write_rule(struct kong *k, struct slice type, struct slice name, const struct json_value *v)
{
	if (ms_slice_eq_cstr(name, "between") && v->type == JSON_ARRAY && v->array.count == 2) {
		write_limit(k, "minimum", &v->array.items[0]);
		write_limit(k, "maximum", &v->array.items[1]);
	} else if (ms_slice_eq_cstr(name, "gt")) {
		write_limit(k, "exclusiveMinimum", v);
	} else if (ms_slice_eq_cstr(name, "one_of")) {
		write_limit(k, "enum", v);
	} else if (ms_slice_eq_cstr(name, "eq")) {
		write_limit(k, "const", v);
	} else if (ms_slice_eq_cstr(name, "len_min") || ms_slice_eq_cstr(name, "len_eq") ||
		   ms_slice_eq_cstr(name, "len_max")) {
		if (name.p[4] != 'm' || name.p[5] == 'i')
			write_limit(k, length_keyword(type, true), v);
		if (name.p[4] != 'm' || name.p[5] == 'a')
			write_limit(k, length_keyword(type, false), v);
	} else if (ms_slice_eq_cstr(name, "contains")) {
		ms_json_key_lit(&k->w, "contains");
		ms_json_begin_object(&k->w);
		write_limit(k, "const", v);
		ms_json_end_object(&k->w);
	} else if (ms_slice_eq_cstr(name, "elements")) {
		return write_nested(k, "items", v);
	} else if (ms_slice_eq_cstr(name, "keys")) {
		return write_nested(k, "propertyNames", v);
	} else if (ms_slice_eq_cstr(name, "values")) {
		return write_nested(k, "additionalProperties", v);
	} else if (ms_slice_starts_with(name, MS_SLICE_LIT("match"))) {
		return unknown(k, name,
			       "is a Lua pattern, which is not understood here; write the schema as draft4 to "
			       "draft202012 with \"pattern\"");
	} else if (!write_text_rule(k, name, v)) {
		return unknown(k, name,
			       "is not understood; known are type, required, between, gt, eq, one_of, len_min, "
			       "len_max, len_eq, contains, uuid, "
			       "starts_with, elements, keys, values and fields");
	}
	return MS_OK;
}

static enum ms_err write_type(struct kong *k, struct slice type, bool required)
{
	static const char *const types[][2] = {{"string", "string"},   {"number", "number"}, {"integer", "integer"},
					       {"boolean", "boolean"}, {"array", "array"},   {"set", "array"},
					       {"map", "object"},      {"record", "object"}};
	size_t i = 0;
	while (i < MS_ARRAY_LEN(types) && !ms_slice_eq_cstr(type, types[i][0]))
		i++;
	if (i == MS_ARRAY_LEN(types))
		return unknown(k, type,
			       "is no type; known are string, number, integer, boolean, array, set, map and record");
	ms_json_key_lit(&k->w, "type");
	ms_json_begin_array(&k->w);
	ms_json_cstr(&k->w, types[i][1]);
	if (!required) // null is the same as absent
		ms_json_cstr(&k->w, "null");
	ms_json_end_array(&k->w);
	if (ms_slice_eq_cstr(type, "set")) {
		ms_json_key_lit(&k->w, "uniqueItems");
		ms_json_bool(&k->w, true);
	}
	return MS_OK;
}

static enum ms_err write_field(struct kong *k, const struct json_value *field, bool required)
{
	struct slice type;
	if (field->type != JSON_OBJECT || !ms_json_as_str(ms_json_get(field, "type"), &type))
		return ms_fail(k->info, MS_ERR_INVALID, "a field of the schema is no object with a type");
	if (++k->depth > NEST_MAX)
		return ms_fail(k->info, MS_ERR_INVALID, "the schema is nested too deep");
	if (ms_slice_eq_cstr(type, "record")) {
		const struct json_value *fields = ms_json_get(field, "fields");
		if (fields == NULL)
			return ms_fail(k->info, MS_ERR_INVALID, "a record of the schema has no fields");
		MS_TRY(write_object(k, fields));
		k->depth--;
		return MS_OK;
	}
	ms_json_begin_object(&k->w);
	MS_TRY(write_type(k, type, required));
	for (size_t i = 0; i < field->object.count; i++) {
		const struct json_member *m = &field->object.members[i];
		if (ms_slice_eq_cstr(m->key, "type") || ms_slice_eq_cstr(m->key, "required") ||
		    ms_slice_eq_cstr(m->key, "description") || ms_slice_eq_cstr(m->key, "default"))
			continue;
		MS_TRY(write_rule(k, type, m->key, &m->value));
	}
	ms_json_end_object(&k->w);
	k->depth--;
	return MS_OK;
}

static bool is_required(const struct json_value *field)
{
	const struct json_value *v = ms_json_get(field, "required");
	return v != NULL && v->type == JSON_TRUE;
}

// Fields as properties: no others may be there.
static enum ms_err write_object(struct kong *k, const struct json_value *fields)
{
	if (fields->type != JSON_ARRAY)
		return ms_fail(k->info, MS_ERR_INVALID,
			       "the schema must be an array of fields, like [{\"name\":{\"type\":\"string\"}}]");
	ms_json_begin_object(&k->w);
	ms_json_key_lit(&k->w, "type");
	ms_json_cstr(&k->w, "object");
	ms_json_key_lit(&k->w, "additionalProperties");
	ms_json_bool(&k->w, false);
	ms_json_key_lit(&k->w, "properties");
	ms_json_begin_object(&k->w);
	for (size_t i = 0; i < fields->array.count; i++) {
		const struct json_value *f = &fields->array.items[i];
		if (f->type != JSON_OBJECT || f->object.count != 1)
			return ms_fail(k->info, MS_ERR_INVALID,
				       "a field of the schema must be an object of one member, its name");
		ms_json_key(&k->w, f->object.members[0].key);
		MS_TRY(write_field(k, &f->object.members[0].value, is_required(&f->object.members[0].value)));
	}
	ms_json_end_object(&k->w);
	ms_json_key_lit(&k->w, "required");
	ms_json_begin_array(&k->w);
	for (size_t i = 0; i < fields->array.count; i++) {
		if (is_required(&fields->array.items[i].object.members[0].value))
			ms_json_str(&k->w, fields->array.items[i].object.members[0].key);
	}
	ms_json_end_array(&k->w);
	ms_json_end_object(&k->w);
	return MS_OK;
}

enum ms_err ms_kong_schema_translate(const struct json_value *source, struct buf *out, struct errinfo *info)
{
	struct kong k = {.info = info};
	ms_json_writer_init(&k.w, out);
	return write_object(&k, source);
}
