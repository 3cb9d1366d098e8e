// SPDX-License-Identifier: Apache-2.0
// Records as JSON, and their tables as JSON Schema.
#include "gateway/record.h"

static void write_texts(const struct text_list *list, struct json_writer *w)
{
	ms_json_begin_array(w);
	for (size_t i = 0; i < list->count; i++)
		ms_json_str(w, list->items[i]);
	ms_json_end_array(w);
}

static void write_hidden(bool set, struct json_writer *w)
{
	if (set)
		ms_json_cstr(w, "…");
	else
		ms_json_null(w);
}

static void write_choices(const struct field *f, uint64_t bits, struct json_writer *w)
{
	ms_json_begin_array(w);
	for (size_t i = 0; f->choices[i] != NULL; i++) {
		if (bits & (uint64_t)1 << i)
			ms_json_cstr(w, f->choices[i]);
	}
	ms_json_end_array(w);
}

static void write_map(const struct text_map *map, bool hide, struct json_writer *w)
{
	ms_json_begin_object(w);
	for (size_t i = 0; i < map->count; i++) {
		ms_json_key(w, map->items[i].name);
		if (hide)
			ms_json_cstr(w, "…");
		else
			write_texts(&map->items[i].values, w);
	}
	ms_json_end_object(w);
}

static void write_records(const struct field *f, const struct record_list *list, bool hide, struct json_writer *w)
{
	ms_json_begin_array(w);
	for (size_t i = 0; i < list->count; i++)
		ms_record_write(f->fields, (const char *)list->items + i * f->record_bytes, hide, w);
	ms_json_end_array(w);
}

// Absent, where there is no value that could mean it.
static bool is_absent(const struct field *f, const void *place)
{
	bool off = f->fallback == NULL || f->nullable_only;
	switch (f->kind) {
	case FIELD_INTEGER:
		return off && *(const int64_t *)place == 0;
	case FIELD_NUMBER:
		return off && *(const double *)place == 0;
	case FIELD_STRING:
		return ((const struct slice *)place)->p == NULL;
	case FIELD_STRINGS:
		return ((const struct text_list *)place)->items == NULL;
	case FIELD_CHOICES:
		return off && *(const uint64_t *)place == 0;
	case FIELD_INTEGERS:
		return ((const struct integer_list *)place)->items == NULL;
	case FIELD_MAP:
		return ((const struct text_map *)place)->items == NULL;
	case FIELD_RECORDS:
		return ((const struct record_list *)place)->items == NULL;
	case FIELD_JSON:
		return *(const struct json_value *const *)place == NULL;
	case FIELD_BOOL:
	case FIELD_CHOICE:
	case FIELD_RECORD:
		break;
	}
	return false;
}

static void write_value(const struct field *f, const void *place, bool hide, struct json_writer *w)
{
	const struct integer_list *integers = place;
	switch (f->kind) {
	case FIELD_BOOL:
		ms_json_bool(w, *(const bool *)place);
		return;
	case FIELD_INTEGER:
		ms_json_i64(w, *(const int64_t *)place);
		return;
	case FIELD_NUMBER:
		ms_json_f64(w, *(const double *)place);
		return;
	case FIELD_STRING:
		ms_json_str(w, *(const struct slice *)place);
		return;
	case FIELD_CHOICE:
		ms_json_cstr(w, f->choices[*(const int *)place]);
		return;
	case FIELD_STRINGS:
		write_texts(place, w);
		return;
	case FIELD_CHOICES:
		write_choices(f, *(const uint64_t *)place, w);
		return;
	case FIELD_INTEGERS:
		ms_json_begin_array(w);
		for (size_t i = 0; i < integers->count; i++)
			ms_json_i64(w, integers->items[i]);
		ms_json_end_array(w);
		return;
	case FIELD_MAP:
		write_map(place, hide && f->secret, w);
		return;
	case FIELD_RECORD:
		ms_record_write(f->fields, place, hide, w);
		return;
	case FIELD_RECORDS:
		write_records(f, place, hide, w);
		return;
	case FIELD_JSON:
		ms_json_value(w, *(const struct json_value *const *)place);
		return;
	}
}

void ms_record_write(const struct field *fields, const void *record, bool hide, struct json_writer *w)
{
	ms_json_begin_object(w);
	for (const struct field *f = fields; f->name != NULL; f++) {
		const void *place = (const char *)record + f->offset;
		ms_json_key_lit(w, f->name);
		bool absent = is_absent(f, place);
		if (hide && f->secret && f->kind != FIELD_MAP)
			write_hidden(!absent, w);
		else if (absent)
			ms_json_null(w);
		else
			write_value(f, place, hide, w);
	}
	ms_json_end_object(w);
}

// --- Schema ----------------------------------------------------------------------------------------

static void write_type(const char *type, struct json_writer *w)
{
	ms_json_key_lit(w, "type");
	ms_json_cstr(w, type);
}

static void write_limits(const struct field *f, const char *min, const char *max, struct json_writer *w)
{
	if (f->min == 0 && f->max == 0)
		return;
	ms_json_key_lit(w, min);
	ms_json_f64(w, f->min);
	ms_json_key_lit(w, max);
	ms_json_f64(w, f->max);
}

static void write_string_type(const struct field *f, struct json_writer *w)
{
	write_type("string", w);
	write_limits(f, "minLength", "maxLength", w);
}

static void write_enum(const struct field *f, struct json_writer *w)
{
	ms_json_key_lit(w, "enum");
	ms_json_begin_array(w);
	for (size_t i = 0; f->choices[i] != NULL; i++)
		ms_json_cstr(w, f->choices[i]);
	ms_json_end_array(w);
}

static void write_fields_schema(const struct field *fields, struct json_writer *w);

static void write_items(const struct field *f, struct json_writer *w)
{
	write_type("array", w);
	ms_json_key_lit(w, "items");
	ms_json_begin_object(w);
	if (f->kind == FIELD_STRINGS) {
		write_string_type(f, w);
	} else if (f->kind == FIELD_CHOICES) {
		write_enum(f, w);
	} else if (f->kind == FIELD_INTEGERS) {
		write_type("integer", w);
		write_limits(f, "minimum", "maximum", w);
	} else {
		write_fields_schema(f->fields, w);
	}
	ms_json_end_object(w);
}

static void write_kind(const struct field *f, struct json_writer *w)
{
	switch (f->kind) {
	case FIELD_BOOL:
		write_type("boolean", w);
		return;
	case FIELD_INTEGER:
	case FIELD_NUMBER:
		write_type(f->kind == FIELD_INTEGER ? "integer" : "number", w);
		write_limits(f, "minimum", "maximum", w);
		return;
	case FIELD_STRING:
		write_string_type(f, w);
		return;
	case FIELD_CHOICE:
		write_enum(f, w);
		return;
	case FIELD_STRINGS:
	case FIELD_CHOICES:
	case FIELD_INTEGERS:
	case FIELD_RECORDS:
		write_items(f, w);
		return;
	case FIELD_MAP:
		write_type("object", w);
		ms_json_key_lit(w, "additionalProperties");
		ms_json_raw(w, MS_SLICE_LIT("{\"type\":[\"string\",\"array\"],\"items\":{\"type\":\"string\"}}"));
		return;
	case FIELD_RECORD:
		write_fields_schema(f->fields, w);
		return;
	case FIELD_JSON:
		return;
	}
}

static void write_fields_schema(const struct field *fields, struct json_writer *w)
{
	bool required = false;
	write_type("object", w);
	ms_json_key_lit(w, "additionalProperties");
	ms_json_bool(w, false);
	ms_json_key_lit(w, "properties");
	ms_json_begin_object(w);
	for (const struct field *f = fields; f->name != NULL; f++) {
		required |= f->required;
		ms_json_key_lit(w, f->name);
		ms_json_begin_object(w);
		write_kind(f, w);
		if (f->help != NULL) {
			ms_json_key_lit(w, "description");
			ms_json_cstr(w, f->help);
		}
		if (f->fallback != NULL) {
			ms_json_key_lit(w, "default");
			ms_json_raw(w, ms_slice_cstr(f->fallback));
		}
		if (f->secret) {
			ms_json_key_lit(w, "writeOnly");
			ms_json_bool(w, true);
		}
		if (f->alias != NULL) {
			ms_json_key_lit(w, "x-older-name");
			ms_json_cstr(w, f->alias);
		}
		ms_json_end_object(w);
	}
	ms_json_end_object(w);
	if (!required)
		return;
	ms_json_key_lit(w, "required");
	ms_json_begin_array(w);
	for (const struct field *f = fields; f->name != NULL; f++) {
		if (f->required)
			ms_json_cstr(w, f->name);
	}
	ms_json_end_array(w);
}

void ms_record_write_schema(const struct field *fields, struct json_writer *w)
{
	ms_json_begin_object(w);
	write_fields_schema(fields, w);
	ms_json_end_object(w);
}
