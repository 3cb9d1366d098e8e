// SPDX-License-Identifier: Apache-2.0
#include "gateway/inspect/validate.h"

#include <stdio.h>

#include "gateway/inspect/kong_schema.h"

#define SCHEMA_BYTES ((size_t)1 << 20)
#define STEPS ((size_t)2 * 1000 * 1000)
#define FINDINGS_MAX 20
#define PARTS_MAX 1000 // of one parameter

static const enum schema_draft drafts[] = {
	[RV_KONG] = SCHEMA_DRAFT4,   [RV_DRAFT4] = SCHEMA_DRAFT4,       [RV_DRAFT6] = SCHEMA_DRAFT6,
	[RV_DRAFT7] = SCHEMA_DRAFT7, [RV_DRAFT201909] = SCHEMA_2019_09, [RV_DRAFT202012] = SCHEMA_2020_12,
};

static enum ms_err parse_text(struct slice text, struct arena *arena, struct errinfo *info,
			      const struct json_value **ret_value)
{
	enum ms_err err = ms_json_parse(text, NULL, arena, info, ret_value);
	return err == MS_OK || err == MS_ERR_NO_MEMORY ? err : MS_ERR_INVALID;
}

static enum ms_err translate(struct arena *arena, struct errinfo *info, const struct json_value **value)
{
	struct buf out;
	ms_buf_init(&out, SCHEMA_BYTES);
	enum ms_err err = ms_kong_schema_translate(*value, &out, info);
	if (err == MS_OK && !ms_buf_ok(&out))
		err = ms_fail(info, MS_ERR_LIMIT, "the schema is too large");
	struct slice copy = err == MS_OK ? ms_arena_copy(arena, ms_buf_slice(&out)) : MS_SLICE_EMPTY;
	ms_buf_fini(&out);
	MS_TRY(err);
	return copy.p != NULL ? parse_text(copy, arena, info, value) : MS_ERR_NO_MEMORY;
}

enum ms_err ms_rv_compile(enum rv_version version, struct slice text, struct errinfo *info, struct schema **ret_schema)
{
	struct arena arena;
	const struct json_value *value;
	ms_arena_init(&arena, 8192, 16 * SCHEMA_BYTES);
	enum ms_err err = parse_text(text, &arena, info, &value);
	struct schema_options options = {.draft = drafts[version], .assert_format = true};
	if (err == MS_OK && version == RV_KONG) {
		err = translate(&arena, info, &value);
		options.draft = SCHEMA_2019_09; // the draft that knows "uuid"
	}
	if (err == MS_OK)
		err = ms_schema_compile(value, &options, info, ret_schema);
	ms_arena_fini(&arena);
	return err;
}

// --- Types of parameters -----------------------------------------------------------------------------------------------

// The first type that is not null; without one it is text.
static enum rv_type type_of(const struct json_value *schema)
{
	static const char *const names[] = {"string", "number", "integer", "boolean", "null", "array", "object"};
	const struct json_value *type = ms_json_get(schema, "type");
	for (size_t i = 0; type != NULL && type->type == JSON_ARRAY && i < type->array.count; i++) {
		if (type->array.items[i].type == JSON_STRING && !ms_slice_eq_cstr(type->array.items[i].str, "null")) {
			type = &type->array.items[i];
			break;
		}
	}
	for (size_t i = 0; type != NULL && type->type == JSON_STRING && i < MS_ARRAY_LEN(names); i++) {
		if (ms_slice_eq_cstr(type->str, names[i]))
			return (enum rv_type)i;
	}
	return RV_TEXT;
}

enum ms_err ms_rv_param_compile(enum rv_version version, struct slice schema_text, struct arena *arena,
				struct errinfo *info, struct rv_param *param)
{
	const struct json_value *value;
	version = version == RV_KONG ? RV_DRAFT4 : version; // Kong's parameters are JSON Schema in any case
	MS_TRY(parse_text(schema_text, arena, info, &value));
	param->type = type_of(value);
	param->item_type = type_of(ms_json_get(value, "items"));
	const struct json_value *properties = ms_json_get(value, "properties");
	if (properties != NULL && properties->type == JSON_OBJECT) {
		param->members = MS_ARENA_ARRAY(arena, struct rv_named_type, properties->object.count);
		if (param->members == NULL)
			return ms_fail(info, MS_ERR_NO_MEMORY, "no memory for a schema");
		for (size_t i = 0; i < properties->object.count; i++)
			param->members[i] = (struct rv_named_type){properties->object.members[i].key,
								   type_of(&properties->object.members[i].value)};
		param->member_count = properties->object.count;
	}
	return ms_rv_compile(version, schema_text, info, &param->schema);
}

// --- Values of parameters ----------------------------------------------------------------------------------------------

struct rv_parts { // name and value of each part, names empty in arrays
	struct json_member *items;
	size_t count;
	bool failed; // no memory, too many
};

static bool is_number(struct slice s)
{
	double f;
	return ms_number_parse_f64(s, &f) ||
	       (s.n > 0 && s.n < 400 && ms_number_parse_f64(ms_slice_sub(s, 0, ms_slice_find(s, 'e')), &f));
}

// A text that is none of its type stays text, and the schema says what is wrong.
static struct json_value scalar(struct slice s, enum rv_type type)
{
	struct json_value v = {.type = JSON_STRING, .str = s};
	if ((type == RV_NUMBER || type == RV_INTEGER) && is_number(s))
		v.type = JSON_NUMBER;
	else if (type == RV_BOOLEAN && ms_slice_eq_cstr(s, "true"))
		v.type = JSON_TRUE;
	else if (type == RV_BOOLEAN && ms_slice_eq_cstr(s, "false"))
		v.type = JSON_FALSE;
	else if (type == RV_NULL && s.n == 0)
		v.type = JSON_NULL;
	return v;
}

static enum rv_type member_type(const struct rv_param *p, struct slice name)
{
	for (size_t i = 0; i < p->member_count; i++) {
		if (ms_slice_eq(p->members[i].name, name))
			return p->members[i].type;
	}
	return RV_TEXT;
}

static void add_part(struct rv_parts *parts, struct arena *arena, struct slice name, struct json_value value)
{
	if (parts->count == PARTS_MAX) {
		parts->failed = true;
		return;
	}
	if (parts->count % 16 == 0) {
		size_t size = sizeof(*parts->items);
		struct json_member *grown =
			ms_arena_grow(arena, parts->items, parts->count * size, (parts->count + 16) * size);
		if (grown == NULL) {
			parts->failed = true;
			return;
		}
		parts->items = grown;
	}
	parts->items[parts->count++] = (struct json_member){name, value};
}

// "a,b,c" or, of an object, "k,v,k2,v2" or with explode "k=v,k2=v2".
static void split(const struct rv_param *p, struct arena *arena, struct slice text, char sep, struct rv_parts *parts)
{
	struct slice part, name;
	bool object = p->type == RV_OBJECT;
	while (text.p != NULL && ms_slice_next(&text, sep, &part)) {
		name = MS_SLICE_EMPTY;
		if (object && p->explode) {
			size_t equals = ms_slice_find(part, '=');
			name = ms_slice_sub(part, 0, equals);
			part = ms_slice_sub(part, equals + 1, part.n);
		} else if (object) {
			name = part;
			if (!ms_slice_next(&text, sep, &part))
				part = MS_SLICE_EMPTY;
		}
		add_part(parts, arena, name, scalar(part, object ? member_type(p, name) : p->item_type));
	}
}

static struct json_value *finish(const struct rv_param *p, struct arena *arena, const struct rv_parts *parts)
{
	struct json_value *v = MS_ARENA_NEW(arena, struct json_value);
	struct json_value *items = MS_ARENA_ARRAY(arena, struct json_value, parts->count);
	if (v == NULL || items == NULL || parts->failed)
		return NULL;
	if (p->type == RV_OBJECT) {
		v->type = JSON_OBJECT;
		v->object.members = parts->items;
		v->object.count = parts->count;
		return v;
	}
	for (size_t i = 0; i < parts->count; i++)
		items[i] = parts->items[i].value;
	v->type = JSON_ARRAY;
	v->array.items = items;
	v->array.count = parts->count;
	return v;
}

// One text as a value of the parameter's type. NULL: no memory, or too many parts.
static struct json_value *value_of(const struct rv_param *p, struct arena *arena, struct slice text)
{
	struct rv_parts parts = {0};
	char sep = ',';
	if (p->style == RV_LABEL && text.n > 0 && text.p[0] == '.') {
		text = ms_slice_sub(text, 1, text.n);
		sep = p->explode ? '.' : ',';
	} else if (p->style == RV_MATRIX && text.n > 0 && text.p[0] == ';') {
		text = ms_slice_sub(text, 1, text.n);
		bool named = text.n > p->name.n && ms_slice_starts_with(text, p->name) && text.p[p->name.n] == '=';
		if (p->type == RV_ARRAY && p->explode) { // ;a=1;a=2
			struct slice part;
			while (ms_slice_next(&text, ';', &part))
				add_part(&parts, arena, MS_SLICE_EMPTY,
					 scalar(ms_slice_sub(part, p->name.n + 1, part.n), p->item_type));
			return finish(p, arena, &parts);
		}
		sep = p->type == RV_OBJECT && p->explode ? ';' : ',';
		if (named)
			text = ms_slice_sub(text, p->name.n + 1, text.n);
	} else if (p->style == RV_SPACE_DELIMITED) {
		sep = ' ';
	} else if (p->style == RV_PIPE_DELIMITED) {
		sep = '|';
	}
	if (p->type == RV_ARRAY || p->type == RV_OBJECT) {
		split(p, arena, text, sep, &parts);
		return finish(p, arena, &parts);
	}
	struct json_value *v = MS_ARENA_NEW(arena, struct json_value);
	if (v != NULL)
		*v = scalar(text, p->type);
	return v;
}

// --- Where parameters are ----------------------------------------------------------------------------------------------

struct rv_found {
	bool there, bad; // bad: not to be decoded
	const struct json_value *value;
};

static int hex_value(char c)
{
	char lower = (char)(c | 0x20);
	return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// A piece of a query, decoded. False: a bad escape, not UTF-8, no memory.
static bool decode(struct arena *arena, struct slice raw, struct slice *ret)
{
	char *p = ms_arena_alloc(arena, raw.n + 1);
	size_t n = 0;
	for (size_t i = 0; p != NULL && i < raw.n; i++) {
		char c = raw.p[i] == '+' ? ' ' : raw.p[i];
		if (c == '%') {
			int high = i + 2 < raw.n ? hex_value(raw.p[i + 1]) : -1,
			    low = high >= 0 ? hex_value(raw.p[i + 2]) : -1;
			if (low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		p[n++] = c;
	}
	*ret = ms_slice(p, n);
	return p != NULL && ms_utf8_valid_prefix(*ret) == n;
}

// The member of "name[member]" in deepObject style.
static bool deep_member(const struct rv_param *p, struct slice name, struct slice *ret_member)
{
	if (!ms_slice_starts_with(name, p->name) || name.n < p->name.n + 2 || name.p[p->name.n] != '[' ||
	    name.p[name.n - 1] != ']')
		return false;
	*ret_member = ms_slice(name.p + p->name.n + 1, name.n - p->name.n - 2);
	return true;
}

static void find_in_query(const struct rv_param *p, struct slice query, struct arena *arena, struct rv_found *found)
{
	struct slice pair, name, value, member;
	struct rv_parts parts = {0};
	bool deep = p->style == RV_DEEP_OBJECT;
	bool repeated = p->explode && p->type == RV_ARRAY && p->style == RV_FORM;
	bool members = p->explode && p->type == RV_OBJECT && p->style == RV_FORM;
	while (query.p != NULL && !found->bad && ms_slice_next(&query, '&', &pair)) {
		size_t equals = ms_slice_find(pair, '=');
		if (pair.n == 0)
			continue;
		if (!decode(arena, ms_slice_sub(pair, 0, equals), &name) ||
		    !decode(arena, ms_slice_sub(pair, equals + 1, pair.n), &value)) {
			found->bad = true;
		} else if (deep && deep_member(p, name, &member)) {
			add_part(&parts, arena, member, scalar(value, member_type(p, member)));
		} else if (members) {
			for (size_t i = 0; i < p->member_count; i++) {
				if (ms_slice_eq(p->members[i].name, name))
					add_part(&parts, arena, name, scalar(value, p->members[i].type));
			}
		} else if (!deep && ms_slice_eq(name, p->name)) {
			if (repeated) {
				add_part(&parts, arena, MS_SLICE_EMPTY, scalar(value, p->item_type));
			} else if (!found->there) {
				found->there = true;
				found->value = value_of(p, arena, value);
			} else {
				found->bad = true; // twice: backends differ in which one counts
			}
		}
	}
	if (parts.count > 0) {
		found->there = true;
		found->value = finish(p, arena, &parts);
	}
}

static struct rv_found find_param(const struct rv_param *p, const struct rv_request *request, struct arena *arena)
{
	struct rv_found found = {0};
	struct slice text;
	if (p->in == RV_QUERY) {
		find_in_query(p, request->query, arena, &found);
		return found;
	}
	for (size_t i = 0; p->in == RV_HEADER && i < request->header_count; i++) {
		if (!ms_slice_eq_nocase(request->headers[i].name, p->name))
			continue;
		found.bad = found.there && p->type != RV_ARRAY;
		found.there = true;
		found.value = value_of(p, arena, ms_slice_trim(request->headers[i].value));
	}
	for (size_t i = 0; p->in == RV_PATH && i < request->capture_count && !found.there; i++) {
		if (!ms_slice_eq(request->capture_names[i], p->name))
			continue;
		found.there = true;
		found.bad = !decode(arena, request->captures[i], &text);
		found.value = found.bad ? NULL : value_of(p, arena, text);
	}
	return found;
}

// --- Checking ------------------------------------------------------------------------------------------------------------

struct rv_answer {
	struct buf text;
	struct json_writer w;
	size_t count;
};

static void add_finding(struct rv_answer *a, const char *in, struct slice name, struct slice path, struct slice keyword,
			struct slice message)
{
	a->count++;
	ms_json_begin_object(&a->w);
	ms_json_key_lit(&a->w, "in");
	ms_json_cstr(&a->w, in);
	if (name.p != NULL) {
		ms_json_key_lit(&a->w, "name");
		ms_json_str(&a->w, name);
	}
	ms_json_key_lit(&a->w, "path");
	ms_json_str(&a->w, path);
	ms_json_key_lit(&a->w, "keyword");
	ms_json_str(&a->w, keyword);
	ms_json_key_lit(&a->w, "message");
	ms_json_str(&a->w, message);
	ms_json_end_object(&a->w);
}

static enum ms_err check_value(struct rv_answer *a, const struct schema *schema, const struct json_value *value,
			       const char *in, struct slice name, struct arena *arena)
{
	struct schema_finding *findings;
	size_t count;
	MS_TRY(ms_schema_check(schema, value, STEPS, FINDINGS_MAX, arena, NULL, &findings, &count));
	for (size_t i = 0; i < count; i++)
		add_finding(a, in, name, findings[i].instance, findings[i].keyword, findings[i].message);
	return MS_OK;
}

static enum ms_err check_params(const struct rv_rules *rules, const struct rv_request *request, struct arena *arena,
				struct rv_answer *a)
{
	static const char *const places[] = {"header", "path", "query"};
	for (size_t i = 0; i < rules->param_count; i++) {
		struct rv_param p = rules->params[i];
		if (p.style == RV_BY_PLACE)
			p.style = p.in == RV_QUERY ? RV_FORM : RV_SIMPLE;
		struct rv_found found = find_param(&p, request, arena);
		if (found.bad)
			add_finding(a, places[p.in], p.name, MS_SLICE_LIT(""), MS_SLICE_LIT("style"),
				    MS_SLICE_LIT("cannot be decoded, or is there twice"));
		else if (!found.there && p.required)
			add_finding(a, places[p.in], p.name, MS_SLICE_LIT(""), MS_SLICE_LIT("required"),
				    MS_SLICE_LIT("is missing"));
		else if (found.there && found.value == NULL)
			return MS_ERR_LIMIT;
		else if (found.there && p.schema != NULL)
			MS_TRY(check_value(a, p.schema, found.value, places[p.in], p.name, arena));
	}
	return MS_OK;
}

static struct slice header_of(const struct rv_request *request, const char *name)
{
	for (size_t i = 0; i < request->header_count; i++) {
		if (ms_slice_eq_nocase(request->headers[i].name, ms_slice_cstr(name)))
			return ms_slice_trim(request->headers[i].value);
	}
	return MS_SLICE_EMPTY;
}

static struct slice without_parameters(struct slice type)
{
	return ms_slice_trim(ms_slice_sub(type, 0, ms_slice_find(type, ';')));
}

// "application/*" and "*/*" are taken, too.
static bool type_fits(struct slice type, struct slice allowed, bool parameters)
{
	struct slice bare = without_parameters(type), want = without_parameters(allowed);
	bool wild = want.n >= 2 && want.p[want.n - 1] == '*' && want.p[want.n - 2] == '/';
	struct slice prefix = ms_slice_sub(want, 0, want.n - 1);
	if (ms_slice_eq_cstr(want, "*/*"))
		return true;
	if (wild ? bare.n < prefix.n || !ms_slice_eq_nocase(ms_slice_sub(bare, 0, prefix.n), prefix)
		 : !ms_slice_eq_nocase(bare, want))
		return false;
	if (!parameters || wild)
		return true;
	struct slice a = ms_slice_trim(ms_slice_sub(type, ms_slice_find(type, ';') + 1, type.n));
	struct slice b = ms_slice_trim(ms_slice_sub(allowed, ms_slice_find(allowed, ';') + 1, allowed.n));
	return ms_slice_eq_nocase(a, b);
}

static bool content_type_fits(const struct rv_rules *rules, struct slice type)
{
	for (size_t i = 0; i < rules->content_type_count; i++) {
		if (type_fits(type, rules->content_types[i], rules->content_type_parameters))
			return true;
	}
	return rules->content_type_count == 0;
}

static enum ms_err check_body(const struct rv_rules *rules, const struct rv_request *request, struct slice type,
			      struct arena *arena, struct rv_answer *a)
{
	struct slice bare = without_parameters(type);
	bool json = bare.n == 0 || ms_slice_eq_nocase(bare, MS_SLICE_LIT("application/json")) ||
		    (bare.n > 5 && ms_slice_eq_nocase(ms_slice_sub(bare, bare.n - 5, 5), MS_SLICE_LIT("+json")));
	const struct json_value *value;
	struct errinfo info;
	ms_errinfo_init(&info);
	if (!json) // allowed by its type, and nothing that a schema could say something of
		return MS_OK;
	enum ms_err err = ms_json_parse(request->body, NULL, arena, &info, &value);
	if (err == MS_ERR_NO_MEMORY || err == MS_ERR_LIMIT)
		return err;
	if (err == MS_OK)
		return check_value(a, rules->body, value, "body", MS_SLICE_EMPTY, arena);
	add_finding(a, "body", MS_SLICE_EMPTY, MS_SLICE_LIT(""), MS_SLICE_LIT("json"), ms_slice_cstr(info.message));
	return MS_OK;
}

static enum ms_err check_all(const struct rv_rules *rules, const struct rv_request *request, struct arena *arena,
			     struct rv_answer *a, struct slice *ret_message)
{
	struct slice type = header_of(request, "Content-Type");
	MS_TRY(check_params(rules, request, arena, a));
	if (a->count > 0) {
		*ret_message = MS_SLICE_LIT("request param doesn't conform to schema");
		return MS_OK;
	}
	if (rules->body == NULL)
		return MS_OK;
	if (!content_type_fits(rules, type)) {
		add_finding(a, "header", MS_SLICE_LIT("Content-Type"), MS_SLICE_LIT(""),
			    MS_SLICE_LIT("allowed_content_types"), MS_SLICE_LIT("is none of the allowed types"));
		*ret_message = MS_SLICE_LIT("specified Content-Type is not allowed");
		return MS_OK;
	}
	MS_TRY(check_body(rules, request, type, arena, a));
	if (a->count > 0)
		*ret_message = MS_SLICE_LIT("request body doesn't conform to schema");
	return MS_OK;
}

enum ms_err ms_rv_check(const struct rv_rules *rules, const struct rv_request *request, struct arena *arena,
			struct slice *ret_message, struct slice *ret_findings)
{
	struct rv_answer a = {0};
	ms_buf_init(&a.text, 65536);
	ms_json_writer_init(&a.w, &a.text);
	ms_json_begin_array(&a.w);
	*ret_message = *ret_findings = MS_SLICE_EMPTY;
	enum ms_err err = check_all(rules, request, arena, &a, ret_message);
	if (err == MS_OK && a.count > 0) {
		ms_json_end_array(&a.w);
		*ret_findings = ms_buf_ok(&a.text) ? ms_arena_copy(arena, ms_buf_slice(&a.text)) : MS_SLICE_LIT("[]");
		err = ret_findings->p != NULL ? MS_OK : MS_ERR_NO_MEMORY;
	}
	ms_buf_fini(&a.text);
	return err;
}
