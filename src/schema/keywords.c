// SPDX-License-Identifier: Apache-2.0
// The keywords: which draft and vocabulary knows them, and what operation they become. Rows stand in the order in which they are checked.
#include <stdlib.h>

#include "schema/internal.h"

#define NUMBERS (1u << JSON_NUMBER)
#define STRINGS (1u << JSON_STRING)
#define ARRAYS (1u << JSON_ARRAY)
#define OBJECTS (1u << JSON_OBJECT)
#define EVERY (~0u)

static enum ms_err wrong(const struct keyword_build *b, const char *must)
{
	return ms_compile_fail(b->c, b->object, MS_ERR_INVALID, "%s is %s, must be %s", b->keyword->name,
			       ms_json_type_name(b->value->type), must);
}

static enum ms_err no_memory(const struct keyword_build *b)
{
	return ms_compile_no_memory(b->c);
}

static enum ms_err subschema(const struct keyword_build *b, const struct json_value *value,
			     const struct node **ret_node)
{
	return ms_compile_node(b->c, value, b->resource, ret_node);
}

static const struct json_value *sibling(const struct keyword_build *b, const char *name)
{
	return ms_json_get(b->object, name);
}

// --- Any type ---------------------------------------------------------------------------------------------

static bool add_type(struct op *op, const struct json_value *name, bool draft4)
{
	static const struct {
		const char *name;
		unsigned bits;
	} types[] = {
		{"null", 1u << JSON_NULL},
		{"boolean", 1u << JSON_TRUE | 1u << JSON_FALSE},
		{"number", NUMBERS},
		{"string", STRINGS},
		{"array", ARRAYS},
		{"object", OBJECTS},
		{"integer", 0},
	};
	for (size_t i = 0; name->type == JSON_STRING && i < MS_ARRAY_LEN(types); i++) {
		if (ms_slice_eq_cstr(name->str, types[i].name)) {
			op->type.types |= types[i].bits;
			op->type.integer |= types[i].bits == 0;
			op->type.integer_plain = draft4;
			return true;
		}
	}
	return false;
}

static enum ms_err build_type(const struct keyword_build *b, struct op *op)
{
	bool draft4 = b->resource->draft == SCHEMA_DRAFT4, ok = b->value->type == JSON_ARRAY;
	op->run = ms_check_type;
	for (size_t i = 0; ok && i < b->value->array.count; i++)
		ok = add_type(op, &b->value->array.items[i], draft4);
	if (!ok && (b->value->type == JSON_ARRAY || !add_type(op, b->value, draft4)))
		return wrong(b, "null, boolean, object, array, number, integer or string, or an array of those");
	return MS_OK;
}

static enum ms_err set_values(const struct keyword_build *b, const struct json_value *items, size_t count,
			      struct op *op)
{
	op->values.items = items;
	op->values.count = count;
	op->values.hashes = MS_ARENA_ARRAY(b->c->arena, uint64_t, count);
	if (op->values.hashes == NULL)
		return no_memory(b);
	size_t steps = SIZE_MAX;
	for (size_t i = 0; i < count; i++) {
		if (ms_value_hash(&items[i], b->c->arena, &steps, &op->values.hashes[i]) != MS_OK)
			return no_memory(b);
	}
	return MS_OK;
}

static enum ms_err build_enum(const struct keyword_build *b, struct op *op)
{
	if (b->value->type != JSON_ARRAY)
		return wrong(b, "an array of values");
	op->run = ms_check_enum;
	return set_values(b, b->value->array.items, b->value->array.count, op);
}

static enum ms_err build_const(const struct keyword_build *b, struct op *op)
{
	op->run = ms_check_const;
	return set_values(b, b->value, 1, op);
}

// --- Numbers and sizes --------------------------------------------------------------------------------------

static enum ms_err read_number(const struct keyword_build *b, struct op *op)
{
	if (b->value->type != JSON_NUMBER)
		return wrong(b, "a number");
	return ms_decimal_parse(b->value->str, b->c->arena, &op->number) == MS_OK ? MS_OK : no_memory(b);
}

static enum ms_err build_multiple_of(const struct keyword_build *b, struct op *op)
{
	MS_TRY(read_number(b, op));
	if (op->number.negative || op->number.digits.n == 0)
		return ms_compile_fail(b->c, b->object, MS_ERR_INVALID, "multipleOf must be above 0");
	if (op->number.digits.n > MS_DIVISOR_DIGITS)
		return ms_compile_fail(b->c, b->object, MS_ERR_INVALID, "multipleOf must have at most %d digits",
				       MS_DIVISOR_DIGITS);
	op->run = ms_check_multiple_of;
	return MS_OK;
}

// Draft 4: "exclusiveMaximum": true beside "maximum".
static bool exclusive(const struct keyword_build *b, const char *name)
{
	const struct json_value *v = b->resource->draft == SCHEMA_DRAFT4 ? sibling(b, name) : NULL;
	return v != NULL && v->type == JSON_TRUE;
}

static enum ms_err build_maximum(const struct keyword_build *b, struct op *op)
{
	op->run = exclusive(b, "exclusiveMaximum") ? ms_check_exclusive_maximum : ms_check_maximum;
	return read_number(b, op);
}

static enum ms_err build_minimum(const struct keyword_build *b, struct op *op)
{
	op->run = exclusive(b, "exclusiveMinimum") ? ms_check_exclusive_minimum : ms_check_minimum;
	return read_number(b, op);
}

static enum ms_err build_exclusive_maximum(const struct keyword_build *b, struct op *op)
{
	op->run = ms_check_exclusive_maximum;
	return read_number(b, op);
}

static enum ms_err build_exclusive_minimum(const struct keyword_build *b, struct op *op)
{
	op->run = ms_check_exclusive_minimum;
	return read_number(b, op);
}

static enum ms_err build_exclusive_flag(const struct keyword_build *b, struct op *op)
{
	(void)op;
	return b->value->type == JSON_TRUE || b->value->type == JSON_FALSE ? MS_OK : wrong(b, "true or false");
}

// A whole number from 0; 2.0 is one.
static enum ms_err read_count(const struct keyword_build *b, const struct json_value *value, size_t *ret_count)
{
	struct decimal n;
	if (value->type != JSON_NUMBER)
		return wrong(b, "a whole number from 0");
	if (ms_decimal_parse(value->str, b->c->arena, &n) != MS_OK)
		return no_memory(b);
	if (n.negative || !ms_decimal_is_integer(&n))
		return wrong(b, "a whole number from 0");
	size_t count = 0;
	for (int64_t i = 0; i < n.magnitude && count < SIZE_MAX / 20; i++)
		count = count * 10 + ((size_t)i < n.digits.n ? (size_t)(n.digits.p[i] - '0') : 0);
	*ret_count = count;
	return MS_OK;
}

#define COUNT_KEYWORD(name, function)                                                 \
	static enum ms_err build_##name(const struct keyword_build *b, struct op *op) \
	{                                                                             \
		op->run = function;                                                   \
		return read_count(b, b->value, &op->count);                           \
	}
COUNT_KEYWORD(max_length, ms_check_max_length)
COUNT_KEYWORD(min_length, ms_check_min_length)
COUNT_KEYWORD(max_items, ms_check_max_items)
COUNT_KEYWORD(min_items, ms_check_min_items)
COUNT_KEYWORD(max_properties, ms_check_max_properties)
COUNT_KEYWORD(min_properties, ms_check_min_properties)

// --- Strings --------------------------------------------------------------------------------------------------

static enum ms_err compile_pattern(const struct keyword_build *b, struct slice text, struct pattern *ret_pattern)
{
	struct errinfo why;
	ms_errinfo_init(&why);
	enum ms_err err = ms_pattern_compile(text, b->c->memory, &why, ret_pattern);
	if (err == MS_ERR_INVALID)
		return ms_compile_fail(b->c, b->object, err, "%s: %.80s", why.message,
				       ms_arena_cstr(b->c->arena, text));
	return err == MS_OK ? MS_OK : no_memory(b);
}

static enum ms_err build_pattern(const struct keyword_build *b, struct op *op)
{
	if (b->value->type != JSON_STRING)
		return wrong(b, "a regular expression");
	op->run = ms_check_pattern;
	return compile_pattern(b, b->value->str, &op->pattern);
}

static enum ms_err build_format(const struct keyword_build *b, struct op *op)
{
	if (b->value->type != JSON_STRING)
		return wrong(b, "the name of a format");
	if (b->c->options->assert_format || (b->resource->vocabularies & VOCAB_FORMAT_ASSERTION) != 0)
		op->format = ms_format_find(b->value->str, b->resource->draft);
	op->run = op->format != NULL ? ms_check_format : NULL;
	return MS_OK;
}

// --- Arrays -----------------------------------------------------------------------------------------------------

static enum ms_err read_nodes(const struct keyword_build *b, const struct json_value *array,
			      const struct node ***ret_nodes, size_t *ret_count)
{
	const struct node **nodes = MS_ARENA_ARRAY(b->c->arena, const struct node *, array->array.count);
	if (nodes == NULL)
		return no_memory(b);
	for (size_t i = 0; i < array->array.count; i++)
		MS_TRY(subschema(b, &array->array.items[i], &nodes[i]));
	*ret_nodes = nodes;
	*ret_count = array->array.count;
	return MS_OK;
}

static enum ms_err new_items(const struct keyword_build *b, const char *prefix, const char *rest, struct op *op)
{
	op->run = ms_check_items;
	op->array = MS_ARENA_NEW(b->c->arena, struct items);
	if (op->array == NULL)
		return no_memory(b);
	op->array->prefix_keyword = prefix;
	op->array->rest_keyword = rest;
	return MS_OK;
}

// items and additionalItems up to 2019-09.
static enum ms_err build_items_or_prefix(const struct keyword_build *b, struct op *op)
{
	bool prefix = b->value->type == JSON_ARRAY;
	MS_TRY(new_items(b, "items", prefix ? "additionalItems" : "items", op));
	if (!prefix)
		return subschema(b, b->value, &op->array->rest);
	const struct json_value *rest = sibling(b, "additionalItems");
	if (rest != NULL)
		MS_TRY(subschema(b, rest, &op->array->rest));
	return read_nodes(b, b->value, &op->array->prefix, &op->array->prefix_count);
}

static enum ms_err build_prefix_items(const struct keyword_build *b, struct op *op)
{
	if (b->value->type != JSON_ARRAY)
		return wrong(b, "an array of schemas");
	MS_TRY(new_items(b, "prefixItems", "items", op));
	const struct json_value *rest = sibling(b, "items");
	if (rest != NULL)
		MS_TRY(subschema(b, rest, &op->array->rest));
	return read_nodes(b, b->value, &op->array->prefix, &op->array->prefix_count);
}

static enum ms_err build_items(const struct keyword_build *b, struct op *op)
{
	if (sibling(b, "prefixItems") != NULL) // taken care of there
		return MS_OK;
	MS_TRY(new_items(b, "prefixItems", "items", op));
	return subschema(b, b->value, &op->array->rest);
}

static enum ms_err build_contains(const struct keyword_build *b, struct op *op)
{
	op->run = ms_check_contains;
	op->contains = (struct contains){.min = 1, .max = SIZE_MAX, .evaluates = b->resource->draft >= SCHEMA_2020_12};
	if (b->resource->draft >= SCHEMA_2019_09 && (b->resource->vocabularies & VOCAB_VALIDATION) != 0) {
		const struct json_value *min = sibling(b, "minContains"), *max = sibling(b, "maxContains");
		if (min != NULL)
			MS_TRY(read_count(b, min, &op->contains.min));
		if (max != NULL)
			MS_TRY(read_count(b, max, &op->contains.max));
	}
	return subschema(b, b->value, &op->contains.node);
}

static enum ms_err build_unique_items(const struct keyword_build *b, struct op *op)
{
	op->run = b->value->type == JSON_TRUE ? ms_check_unique_items : NULL;
	return b->value->type == JSON_TRUE || b->value->type == JSON_FALSE ? MS_OK : wrong(b, "true or false");
}

// --- Objects ----------------------------------------------------------------------------------------------------

static enum ms_err read_names(const struct keyword_build *b, const struct json_value *array,
			      const struct slice **ret_names, size_t *ret_count)
{
	if (array->type != JSON_ARRAY)
		return wrong(b, "an array of names");
	struct slice *names = MS_ARENA_ARRAY(b->c->arena, struct slice, array->array.count);
	if (names == NULL)
		return no_memory(b);
	for (size_t i = 0; i < array->array.count; i++) {
		if (!ms_json_as_str(&array->array.items[i], &names[i]))
			return wrong(b, "an array of names");
	}
	*ret_names = names;
	*ret_count = array->array.count;
	return MS_OK;
}

static enum ms_err build_required(const struct keyword_build *b, struct op *op)
{
	op->run = ms_check_required;
	return read_names(b, b->value, &op->names.items, &op->names.count);
}

static int cmp_name_nodes(const void *a, const void *b)
{
	return ms_name_cmp(((const struct name_node *)a)->name, ((const struct name_node *)b)->name);
}

static enum ms_err read_properties(const struct keyword_build *b, const struct json_value *map, struct properties *p)
{
	p->names = MS_ARENA_ARRAY(b->c->arena, struct name_node, map->object.count);
	if (p->names == NULL)
		return no_memory(b);
	for (size_t i = 0; i < map->object.count; i++) {
		p->names[i].name = map->object.members[i].key;
		MS_TRY(subschema(b, &map->object.members[i].value, &p->names[i].node));
	}
	p->name_count = map->object.count;
	if (p->name_count > 1)
		qsort(p->names, p->name_count, sizeof(*p->names), cmp_name_nodes);
	return MS_OK;
}

static enum ms_err read_patterns(const struct keyword_build *b, const struct json_value *map, struct properties *p)
{
	p->patterns = MS_ARENA_ARRAY(b->c->arena, struct pattern_node, map->object.count);
	if (p->patterns == NULL)
		return no_memory(b);
	for (size_t i = 0; i < map->object.count; i++) {
		MS_TRY(compile_pattern(b, map->object.members[i].key, &p->patterns[i].pattern));
		MS_TRY(subschema(b, &map->object.members[i].value, &p->patterns[i].node));
	}
	p->pattern_count = map->object.count;
	return MS_OK;
}

// properties, patternProperties and additionalProperties become one operation, at the first of them.
static enum ms_err build_properties(const struct keyword_build *b, struct op *op)
{
	static const char *const trio[] = {"properties", "patternProperties", "additionalProperties"};
	for (size_t i = 0; strcmp(trio[i], b->keyword->name) != 0; i++) {
		if (sibling(b, trio[i]) != NULL)
			return MS_OK;
	}
	const struct json_value *names = sibling(b, trio[0]), *patterns = sibling(b, trio[1]),
				*additional = sibling(b, trio[2]);
	if ((names != NULL && names->type != JSON_OBJECT) || (patterns != NULL && patterns->type != JSON_OBJECT))
		return wrong(b, "an object of schemas");
	op->run = ms_check_properties;
	op->properties = MS_ARENA_NEW(b->c->arena, struct properties);
	if (op->properties == NULL)
		return no_memory(b);
	if (names != NULL)
		MS_TRY(read_properties(b, names, op->properties));
	if (patterns != NULL)
		MS_TRY(read_patterns(b, patterns, op->properties));
	return additional != NULL ? subschema(b, additional, &op->properties->additional) : MS_OK;
}

static enum ms_err build_one(const struct keyword_build *b, op_fn *run, struct op *op)
{
	op->run = run;
	return subschema(b, b->value, &op->node);
}

static enum ms_err build_property_names(const struct keyword_build *b, struct op *op)
{
	return build_one(b, ms_check_property_names, op);
}

// dependencies, dependentRequired, dependentSchemas: by name, names or a schema.
static enum ms_err build_dependents(const struct keyword_build *b, struct op *op)
{
	if (b->value->type != JSON_OBJECT)
		return wrong(b, "an object");
	op->run = ms_check_dependents;
	op->dependents.count = b->value->object.count;
	op->dependents.items = MS_ARENA_ARRAY(b->c->arena, struct dependent, op->dependents.count);
	if (op->dependents.items == NULL)
		return no_memory(b);
	bool names = strcmp(b->keyword->name, "dependentSchemas") != 0,
	     schemas = strcmp(b->keyword->name, "dependentRequired") != 0;
	for (size_t i = 0; i < op->dependents.count; i++) {
		struct dependent *d = &op->dependents.items[i];
		const struct json_value *v = &b->value->object.members[i].value;
		d->name = b->value->object.members[i].key;
		if (names && (!schemas || v->type == JSON_ARRAY))
			MS_TRY(read_names(b, v, &d->required, &d->required_count));
		else
			MS_TRY(subschema(b, v, &d->node));
	}
	return MS_OK;
}

// --- References and combinations ------------------------------------------------------------------------------------

static enum ms_err build_ref(const struct keyword_build *b, struct op *op)
{
	struct place *place;
	if (b->value->type != JSON_STRING)
		return wrong(b, "a URI reference");
	op->run = ms_check_ref;
	MS_TRY(ms_registry_find(b->c, b->resource, b->value->str, b->object, &place, NULL));
	return ms_compile_place(b->c, place, &op->node);
}

static enum ms_err build_dynamic_ref(const struct keyword_build *b, struct op *op)
{
	struct place *place;
	const struct anchor *anchor;
	if (b->value->type != JSON_STRING)
		return wrong(b, "a URI reference");
	MS_TRY(ms_registry_find(b->c, b->resource, b->value->str, b->object, &place, &anchor));
	op->run = ms_check_dynamic_ref;
	op->dynamic.dynamic = anchor != NULL && anchor->dynamic; // else it is a plain $ref
	op->dynamic.name = anchor != NULL ? anchor->name : MS_SLICE_EMPTY;
	return ms_compile_place(b->c, place, &op->dynamic.node);
}

static enum ms_err build_recursive_ref(const struct keyword_build *b, struct op *op)
{
	struct place *place;
	if (b->value->type != JSON_STRING || !ms_slice_eq_cstr(b->value->str, "#"))
		return wrong(b, "\"#\"");
	MS_TRY(ms_registry_find(b->c, b->resource, b->value->str, b->object, &place, NULL));
	op->run = ms_check_dynamic_ref;
	op->dynamic.dynamic = b->resource->recursive_anchor;
	return ms_compile_place(b->c, place, &op->dynamic.node);
}

static enum ms_err build_several(const struct keyword_build *b, op_fn *run, struct op *op)
{
	if (b->value->type != JSON_ARRAY || b->value->array.count == 0)
		return wrong(b, "an array of at least one schema");
	op->run = run;
	return read_nodes(b, b->value, &op->nodes.items, &op->nodes.count);
}

static enum ms_err build_all_of(const struct keyword_build *b, struct op *op)
{
	return build_several(b, ms_check_all_of, op);
}

static enum ms_err build_any_of(const struct keyword_build *b, struct op *op)
{
	return build_several(b, ms_check_any_of, op);
}

static enum ms_err build_one_of(const struct keyword_build *b, struct op *op)
{
	return build_several(b, ms_check_one_of, op);
}

static enum ms_err build_not(const struct keyword_build *b, struct op *op)
{
	return build_one(b, ms_check_not, op);
}

static enum ms_err build_if(const struct keyword_build *b, struct op *op)
{
	const struct json_value *then = sibling(b, "then"), *otherwise = sibling(b, "else");
	op->run = ms_check_if;
	MS_TRY(subschema(b, b->value, &op->branch.condition));
	if (then != NULL)
		MS_TRY(subschema(b, then, &op->branch.then));
	return otherwise != NULL ? subschema(b, otherwise, &op->branch.otherwise) : MS_OK;
}

static enum ms_err build_unevaluated_items(const struct keyword_build *b, struct op *op)
{
	b->node->wants_seen = true;
	return build_one(b, ms_check_unevaluated_items, op);
}

static enum ms_err build_unevaluated_properties(const struct keyword_build *b, struct op *op)
{
	b->node->wants_seen = true;
	return build_one(b, ms_check_unevaluated_properties, op);
}

#define D4 DRAFT_BIT(SCHEMA_DRAFT4)
#define FROM6 DRAFT_FROM(SCHEMA_DRAFT6)
#define FROM7 DRAFT_FROM(SCHEMA_DRAFT7)
#define FROM2019 DRAFT_FROM(SCHEMA_2019_09)
#define FROM2020 DRAFT_FROM(SCHEMA_2020_12)
#define TO2019 DRAFT_TO(SCHEMA_2019_09)

const struct keyword ms_keywords[] = {
	{"$ref", EVERY, VOCAB_CORE, HOLDS_NOTHING, build_ref},
	{"$dynamicRef", FROM2020, VOCAB_CORE, HOLDS_NOTHING, build_dynamic_ref},
	{"$recursiveRef", DRAFT_BIT(SCHEMA_2019_09), VOCAB_CORE, HOLDS_NOTHING, build_recursive_ref},
	{"$defs", FROM2019, VOCAB_CORE, HOLDS_MAP, NULL},
	{"definitions", EVERY, VOCAB_CORE, HOLDS_MAP, NULL},
	{"type", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_type},
	{"enum", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_enum},
	{"const", FROM6, VOCAB_VALIDATION, HOLDS_NOTHING, build_const},
	{"multipleOf", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_multiple_of},
	{"maximum", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_maximum},
	{"minimum", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_minimum},
	{"exclusiveMaximum", FROM6, VOCAB_VALIDATION, HOLDS_NOTHING, build_exclusive_maximum},
	{"exclusiveMinimum", FROM6, VOCAB_VALIDATION, HOLDS_NOTHING, build_exclusive_minimum},
	{"exclusiveMaximum", D4, VOCAB_VALIDATION, HOLDS_NOTHING, build_exclusive_flag},
	{"exclusiveMinimum", D4, VOCAB_VALIDATION, HOLDS_NOTHING, build_exclusive_flag},
	{"maxLength", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_max_length},
	{"minLength", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_min_length},
	{"pattern", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_pattern},
	{"format", EVERY, VOCAB_OTHER, HOLDS_NOTHING, build_format},
	{"maxItems", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_max_items},
	{"minItems", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_min_items},
	{"uniqueItems", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_unique_items},
	{"maxProperties", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_max_properties},
	{"minProperties", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_min_properties},
	{"required", EVERY, VOCAB_VALIDATION, HOLDS_NOTHING, build_required},
	{"dependentRequired", FROM2019, VOCAB_VALIDATION, HOLDS_NOTHING, build_dependents},
	{"dependencies", EVERY, VOCAB_APPLICATOR, HOLDS_MAP, build_dependents},
	{"dependentSchemas", FROM2019, VOCAB_APPLICATOR, HOLDS_MAP, build_dependents},
	{"propertyNames", FROM6, VOCAB_APPLICATOR, HOLDS_SCHEMA, build_property_names},
	{"properties", EVERY, VOCAB_APPLICATOR, HOLDS_MAP, build_properties},
	{"patternProperties", EVERY, VOCAB_APPLICATOR, HOLDS_MAP, build_properties},
	{"additionalProperties", EVERY, VOCAB_APPLICATOR, HOLDS_SCHEMA, build_properties},
	{"prefixItems", FROM2020, VOCAB_APPLICATOR, HOLDS_ARRAY, build_prefix_items},
	{"items", FROM2020, VOCAB_APPLICATOR, HOLDS_SCHEMA, build_items},
	{"items", TO2019, VOCAB_APPLICATOR, HOLDS_SCHEMA_OR_ARRAY, build_items_or_prefix},
	{"additionalItems", TO2019, VOCAB_APPLICATOR, HOLDS_SCHEMA, NULL},
	{"contains", FROM6, VOCAB_APPLICATOR, HOLDS_SCHEMA, build_contains},
	{"allOf", EVERY, VOCAB_APPLICATOR, HOLDS_ARRAY, build_all_of},
	{"anyOf", EVERY, VOCAB_APPLICATOR, HOLDS_ARRAY, build_any_of},
	{"oneOf", EVERY, VOCAB_APPLICATOR, HOLDS_ARRAY, build_one_of},
	{"not", EVERY, VOCAB_APPLICATOR, HOLDS_SCHEMA, build_not},
	{"if", FROM7, VOCAB_APPLICATOR, HOLDS_SCHEMA, build_if},
	{"then", FROM7, VOCAB_APPLICATOR, HOLDS_SCHEMA, NULL},
	{"else", FROM7, VOCAB_APPLICATOR, HOLDS_SCHEMA, NULL},
	{"contentSchema", FROM2019, VOCAB_OTHER, HOLDS_SCHEMA, NULL},
	// Last: they look at what the others left.
	{"unevaluatedItems", FROM2019, VOCAB_UNEVALUATED, HOLDS_SCHEMA, build_unevaluated_items},
	{"unevaluatedProperties", FROM2019, VOCAB_UNEVALUATED, HOLDS_SCHEMA, build_unevaluated_properties},
};
const size_t ms_keyword_count = MS_ARRAY_LEN(ms_keywords);
