// SPDX-License-Identifier: Apache-2.0
// What URIs mean: documents, the resources inside them ($id), and their anchors. A document is read when something first refers to it.
#include <stdarg.h>
#include <stdio.h>

#include "schema/internal.h"

#define PLACES_MAX ((size_t)1 << 22)

// --- Messages -----------------------------------------------------------------------------------------

// The JSON pointer of `at` below `from`, into dst; SIZE_MAX when it is not there.
static size_t point_at(const struct json_value *from, const struct json_value *at, char *dst, size_t n, size_t size)
{
	if (from == at)
		return n;
	size_t count = from->type == JSON_ARRAY    ? from->array.count
		       : from->type == JSON_OBJECT ? from->object.count
						   : 0;
	for (size_t i = 0; i < count; i++) {
		bool array = from->type == JSON_ARRAY;
		const struct json_value *part = array ? &from->array.items[i] : &from->object.members[i].value;
		int wrote = array ? snprintf(dst + n, size - n, "/%zu", i)
				  : snprintf(dst + n, size - n, "/%.*s", MS_SLICE_ARG(from->object.members[i].key));
		size_t end = point_at(part, at, dst, MS_MIN(n + (size_t)MS_MAX(wrote, 0), size - 1), size);
		if (end != SIZE_MAX)
			return end;
	}
	return SIZE_MAX;
}

enum ms_err ms_compile_fail(struct compiler *c, const struct json_value *at, enum ms_err code, const char *fmt, ...)
{
	char why[300], where[200] = "";
	va_list args;
	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	size_t n = SIZE_MAX;
	struct slice uri = MS_SLICE_EMPTY;
	if (c->root != NULL && at != NULL)
		n = point_at(c->root, at, where, 0, sizeof(where));
	for (const struct resource *r = c->all; r != NULL && n == SIZE_MAX && at != NULL; r = r->next) {
		n = point_at(r->root, at, where, 0, sizeof(where));
		uri = n != SIZE_MAX ? r->uri : uri;
	}
	where[n != SIZE_MAX ? n : 0] = '\0';
	if (c->info != NULL)
		ms_errinfo_set_field(c->info, ms_slice_cstr(where));
	return ms_fail(c->info, code, "at %.*s%s%s: %s", MS_SLICE_ARG(uri), uri.n > 0 ? "#" : "",
		       *where != '\0' || uri.n > 0 ? where : "the top", why);
}

enum ms_err ms_compile_no_memory(struct compiler *c)
{
	// The arena does not say whether its own limit or the machine's was met; the limit is the likely one.
	return ms_fail(c->info, MS_ERR_LIMIT, "the schema needs more memory than it may have");
}

// --- Copies -----------------------------------------------------------------------------------------------

static bool copy_value(struct arena *arena, const struct json_value *from, struct json_value *to)
{
	*to = *from;
	if (from->type == JSON_STRING || from->type == JSON_NUMBER) {
		to->str = ms_arena_copy(arena, from->str);
		return to->str.p != NULL;
	}
	if (from->type == JSON_ARRAY) {
		struct json_value *items = MS_ARENA_ARRAY(arena, struct json_value, from->array.count);
		for (size_t i = 0; items != NULL && i < from->array.count; i++) {
			if (!copy_value(arena, &from->array.items[i], &items[i]))
				return false;
		}
		to->array.items = items;
		return items != NULL;
	}
	if (from->type == JSON_OBJECT) {
		struct json_member *members = MS_ARENA_ARRAY(arena, struct json_member, from->object.count);
		for (size_t i = 0; members != NULL && i < from->object.count; i++) {
			members[i].key = ms_arena_copy(arena, from->object.members[i].key);
			if (members[i].key.p == NULL ||
			    !copy_value(arena, &from->object.members[i].value, &members[i].value))
				return false;
		}
		to->object.members = members;
		return members != NULL;
	}
	return true;
}

static enum ms_err load_document(struct compiler *c, struct document *d, struct resource **ret_resource)
{
	d->loaded = true;
	const struct json_value *value = NULL;
	if (d->source != NULL) {
		struct json_value *copy = MS_ARENA_NEW(c->arena, struct json_value);
		if (copy != NULL && copy_value(c->arena, d->source, copy))
			value = copy;
	} else if (ms_json_parse(ms_slice_cstr(d->text), NULL, c->arena, NULL, &value) != MS_OK) {
		value = NULL;
	}
	return value != NULL ? ms_registry_add(c, d->uri, value, ret_resource) : ms_compile_no_memory(c);
}

// --- Places and resources ---------------------------------------------------------------------------------

static struct place *place_of(struct compiler *c, const struct json_value *value)
{
	return ms_map_get(&c->places, ms_slice(&value, sizeof(value)));
}

enum ms_err ms_registry_place(struct compiler *c, const struct json_value *value, struct resource *resource,
			      struct place **ret_place)
{
	struct place *place = place_of(c, value);
	if (place == NULL) {
		place = MS_ARENA_NEW(c->arena, struct place);
		if (place == NULL)
			return ms_compile_no_memory(c);
		place->value = value;
		place->resource = resource;
		if (!ms_map_put(&c->places, ms_slice(&place->value, sizeof(place->value)), place, NULL))
			return ms_compile_no_memory(c);
	}
	*ret_place = place;
	return MS_OK;
}

static struct slice without_fragment(struct slice uri)
{
	return ms_slice_sub(uri, 0, ms_slice_find(uri, '#'));
}

// A URI that is taken already keeps its first meaning.
static enum ms_err name_resource(struct compiler *c, struct resource *resource, struct slice uri)
{
	if (ms_map_get(&c->resources, uri) == NULL && !ms_map_put(&c->resources, uri, resource, NULL))
		return ms_compile_no_memory(c);
	return MS_OK;
}

static enum ms_err new_resource(struct compiler *c, struct slice uri, const struct json_value *root,
				const struct resource *parent, struct resource **ret_resource)
{
	struct resource *r = MS_ARENA_NEW(c->arena, struct resource);
	if (r == NULL)
		return ms_compile_no_memory(c);
	r->uri = uri;
	r->root = root;
	r->draft = parent != NULL ? parent->draft : c->default_draft;
	r->vocabularies = parent != NULL ? parent->vocabularies : VOCAB_ALL;
	r->next = c->all;
	c->all = r;
	*ret_resource = r;
	return name_resource(c, r, uri);
}

static enum ms_err add_anchor(struct compiler *c, struct resource *r, struct slice name, const struct json_value *value,
			      bool dynamic)
{
	struct anchor *a = MS_ARENA_NEW(c->arena, struct anchor);
	if (a == NULL)
		return ms_compile_no_memory(c);
	*a = (struct anchor){.name = name, .value = value, .resource = r, .dynamic = dynamic, .next = r->anchors};
	r->anchors = a;
	return MS_OK;
}

static struct resource *find_resource(struct compiler *c, struct slice uri, enum ms_err *ret_err)
{
	struct resource *r = ms_map_get(&c->resources, uri);
	*ret_err = MS_OK;
	for (int exact = 1; exact >= 0 && r == NULL; exact--) { // by its URI, else one that names itself so
		for (size_t i = 0; i < c->document_count && r == NULL && *ret_err == MS_OK; i++) {
			struct document *d = &c->documents[i];
			struct resource *loaded;
			if (d->loaded || (exact ? !ms_slice_eq(d->uri, uri) : d->source == NULL))
				continue;
			*ret_err = load_document(c, d, &loaded);
			r = ms_map_get(&c->resources, uri);
		}
	}
	return *ret_err == MS_OK ? r : NULL;
}

// --- Drafts and vocabularies --------------------------------------------------------------------------------

static const struct {
	const char *uri;
	enum schema_draft draft;
} drafts[] = {
	{"http://json-schema.org/draft-04/schema", SCHEMA_DRAFT4},
	{"http://json-schema.org/draft-06/schema", SCHEMA_DRAFT6},
	{"http://json-schema.org/draft-07/schema", SCHEMA_DRAFT7},
	{"https://json-schema.org/draft/2019-09/schema", SCHEMA_2019_09},
	{"https://json-schema.org/draft/2020-12/schema", SCHEMA_2020_12},
};

static enum ms_err read_vocabularies(struct compiler *c, const struct json_value *list, struct resource *r)
{
	static const struct {
		const char *name;
		unsigned bit;
	} known[] = {
		{"core", VOCAB_CORE},
		{"applicator", VOCAB_APPLICATOR},
		{"unevaluated", VOCAB_UNEVALUATED},
		{"validation", VOCAB_VALIDATION},
		{"format-assertion", VOCAB_FORMAT_ASSERTION},
		{"format-annotation", VOCAB_OTHER},
		{"format", VOCAB_OTHER},
		{"meta-data", VOCAB_OTHER},
		{"content", VOCAB_OTHER},
	};
	r->vocabularies = VOCAB_CORE | VOCAB_OTHER;
	for (size_t i = 0; i < list->object.count; i++) {
		struct slice uri = list->object.members[i].key;
		bool required = list->object.members[i].value.type == JSON_TRUE, found = false;
		bool ours = ms_slice_starts_with(uri, MS_SLICE_LIT("https://json-schema.org/draft/20"));
		size_t slash = uri.n;
		while (slash > 0 && uri.p[slash - 1] != '/')
			slash--;
		for (size_t k = 0; ours && !found && k < MS_ARRAY_LEN(known); k++) {
			found = ms_slice_eq_cstr(ms_slice_sub(uri, slash, uri.n), known[k].name);
			r->vocabularies |= found ? known[k].bit : 0;
		}
		if (!found && required)
			return ms_compile_fail(c, r->root, MS_ERR_INVALID,
					       "its metaschema demands the vocabulary %.*s, which is not known",
					       MS_SLICE_ARG(uri));
	}
	if (r->draft == SCHEMA_2019_09 && (r->vocabularies & VOCAB_APPLICATOR) != 0)
		r->vocabularies |= VOCAB_UNEVALUATED;
	return MS_OK;
}

static enum ms_err read_draft(struct compiler *c, struct resource *r, const struct json_value *value)
{
	struct slice uri;
	if (!ms_json_as_str(ms_json_get(value, "$schema"), &uri))
		return MS_OK;
	uri = without_fragment(uri);
	for (size_t i = 0; i < MS_ARRAY_LEN(drafts); i++) {
		if (ms_slice_eq_cstr(uri, drafts[i].uri)) {
			r->draft = drafts[i].draft;
			r->vocabularies = VOCAB_ALL;
			return MS_OK;
		}
	}
	if (ms_slice_eq(uri, r->uri)) // a metaschema that describes itself
		return MS_OK;
	enum ms_err err;
	const struct resource *meta = find_resource(c, uri, &err);
	MS_TRY(err);
	if (meta == NULL)
		return ms_compile_fail(c, value, MS_ERR_INVALID,
				       "$schema is %.*s; known are drafts 4, 6, 7, 2019-09 and 2020-12",
				       MS_SLICE_ARG(uri));
	r->draft = meta->draft;
	r->vocabularies = VOCAB_ALL;
	const struct json_value *list = ms_json_get(meta->root, "$vocabulary");
	return list != NULL && list->type == JSON_OBJECT && r->draft >= SCHEMA_2019_09 ? read_vocabularies(c, list, r)
										       : MS_OK;
}

// --- Looking for $id and anchors ------------------------------------------------------------------------------

static enum ms_err scan(struct compiler *c, const struct json_value *value, struct resource *r, bool top);

static enum ms_err scan_map(struct compiler *c, const struct json_value *map, struct resource *r)
{
	for (size_t i = 0; map->type == JSON_OBJECT && i < map->object.count; i++) {
		const struct json_value *v = &map->object.members[i].value;
		if (v->type != JSON_ARRAY) // dependencies: names
			MS_TRY(scan(c, v, r, false));
	}
	return MS_OK;
}

static enum ms_err scan_children(struct compiler *c, const struct json_value *value, struct resource *r)
{
	for (size_t i = 0; i < ms_keyword_count; i++) {
		const struct keyword *k = &ms_keywords[i];
		const struct json_value *v = k->holds != HOLDS_NOTHING && (k->drafts & DRAFT_BIT(r->draft)) != 0
						     ? ms_json_get(value, k->name)
						     : NULL;
		if (v == NULL)
			continue;
		if (k->holds == HOLDS_MAP)
			MS_TRY(scan_map(c, v, r));
		else if (v->type != JSON_ARRAY && k->holds != HOLDS_ARRAY)
			MS_TRY(scan(c, v, r, false));
		for (size_t n = 0;
		     v->type == JSON_ARRAY && k->holds != HOLDS_MAP && k->holds != HOLDS_SCHEMA && n < v->array.count;
		     n++)
			MS_TRY(scan(c, &v->array.items[n], r, false));
	}
	return MS_OK;
}

static enum ms_err scan_id(struct compiler *c, const struct json_value *value, struct resource **r, bool top)
{
	struct slice id;
	if (!ms_json_as_str(ms_json_get(value, (*r)->draft == SCHEMA_DRAFT4 ? "id" : "$id"), &id))
		return MS_OK;
	struct uri u = ms_uri_split(id);
	if (u.fragment.n > 0) {
		if ((*r)->draft >= SCHEMA_2019_09)
			return ms_compile_fail(c, value, MS_ERR_INVALID, "$id must have no fragment");
	}
	if (without_fragment(id).n > 0) {
		u.fragment = MS_SLICE_EMPTY;
		struct slice uri = ms_uri_resolve(c->arena, (*r)->uri, u);
		if (uri.p == NULL)
			return ms_compile_no_memory(c);
		if (top) {
			(*r)->uri = uri;
			MS_TRY(name_resource(c, *r, uri));
		} else {
			MS_TRY(new_resource(c, uri, value, *r, r));
			MS_TRY(read_draft(c, *r, value));
		}
	}
	u = ms_uri_split(id);
	return u.fragment.n > 0 ? add_anchor(c, *r, u.fragment, value, false) : MS_OK;
}

static enum ms_err scan(struct compiler *c, const struct json_value *value, struct resource *r, bool top)
{
	if (value->type != JSON_OBJECT || place_of(c, value) != NULL)
		return MS_OK;
	bool hidden = r->draft <= SCHEMA_DRAFT7 && ms_json_get(value, "$ref") != NULL; // beside $ref nothing counts
	if (!hidden)
		MS_TRY(scan_id(c, value, &r, top));
	struct place *place;
	MS_TRY(ms_registry_place(c, value, r, &place));
	struct slice name;
	if (r->draft >= SCHEMA_2019_09 && ms_json_as_str(ms_json_get(value, "$anchor"), &name))
		MS_TRY(add_anchor(c, r, name, value, false));
	if (r->draft >= SCHEMA_2020_12 && ms_json_as_str(ms_json_get(value, "$dynamicAnchor"), &name))
		MS_TRY(add_anchor(c, r, name, value, true));
	const struct json_value *recursive = ms_json_get(value, "$recursiveAnchor");
	if (r->draft == SCHEMA_2019_09 && value == r->root && recursive != NULL && recursive->type == JSON_TRUE)
		r->recursive_anchor = true;
	return scan_children(c, value, r);
}

enum ms_err ms_registry_add(struct compiler *c, struct slice uri, const struct json_value *value,
			    struct resource **ret_resource)
{
	MS_TRY(new_resource(c, uri, value, NULL, ret_resource));
	MS_TRY(read_draft(c, *ret_resource, value));
	return scan(c, value, *ret_resource, true);
}

// --- References ---------------------------------------------------------------------------------------------

static int hex_value(char c)
{
	char lower = (char)(c | 0x20);
	return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Percent escapes of a fragment; what is no escape stays. p NULL: no memory.
static struct slice decode(struct arena *arena, struct slice text)
{
	char *dst = ms_arena_alloc(arena, text.n + 1);
	size_t n = 0;
	for (size_t i = 0; dst != NULL && i < text.n; i++) {
		int high = i + 2 < text.n && text.p[i] == '%' ? hex_value(text.p[i + 1]) : -1,
		    low = high >= 0 ? hex_value(text.p[i + 2]) : -1;
		dst[n++] = low >= 0 ? (char)(high << 4 | low) : text.p[i];
		i += low >= 0 ? 2 : 0;
	}
	return dst != NULL ? ms_slice(dst, n) : MS_SLICE_EMPTY;
}

// One reference token against a member's name: ~0 is '~', ~1 is '/'.
static bool token_is(struct slice token, struct slice name)
{
	size_t n = 0;
	for (size_t i = 0; i < token.n; i++, n++) {
		char c = token.p[i];
		if (c == '~' && i + 1 < token.n && (token.p[i + 1] == '0' || token.p[i + 1] == '1'))
			c = token.p[++i] == '0' ? '~' : '/';
		if (n >= name.n || name.p[n] != c)
			return false;
	}
	return n == name.n;
}

static const struct json_value *step(const struct json_value *v, struct slice token)
{
	uint64_t index;
	if (v->type == JSON_ARRAY)
		return ms_slice_to_u64(token, &index) && index < v->array.count ? &v->array.items[index] : NULL;
	for (size_t i = 0; v->type == JSON_OBJECT && i < v->object.count; i++) {
		if (token_is(token, v->object.members[i].key))
			return &v->object.members[i].value;
	}
	return NULL;
}

static enum ms_err find_pointer(struct compiler *c, struct resource *r, struct slice pointer, struct place **ret_place)
{
	const struct json_value *v = r->root;
	struct slice token, rest = ms_slice_sub(pointer, 1, pointer.n);
	while (v != NULL && ms_slice_next(&rest, '/', &token)) {
		const struct place *place = place_of(c, v);
		if (place != NULL)
			r = place->resource;
		v = step(v, token);
	}
	*ret_place = NULL;
	if (v == NULL)
		return MS_OK;
	MS_TRY(scan(c, v, r, false)); // a place that no keyword leads to
	return ms_registry_place(c, v, r, ret_place);
}

static enum ms_err find_fragment(struct compiler *c, struct resource *r, struct slice fragment,
				 struct place **ret_place, const struct anchor **ret_anchor)
{
	*ret_place = NULL;
	if (fragment.n == 0)
		return ms_registry_place(c, r->root, r, ret_place);
	fragment = decode(c->arena, fragment);
	if (fragment.p == NULL)
		return ms_compile_no_memory(c);
	if (fragment.p[0] == '/')
		return find_pointer(c, r, fragment, ret_place);
	for (const struct anchor *a = r->anchors; a != NULL; a = a->next) {
		if (ms_slice_eq(a->name, fragment)) {
			if (ret_anchor != NULL && (*ret_anchor == NULL || a->dynamic))
				*ret_anchor = a;
			MS_TRY(ms_registry_place(c, a->value, r, ret_place));
		}
	}
	return MS_OK;
}

enum ms_err ms_registry_find(struct compiler *c, const struct resource *from, struct slice reference,
			     const struct json_value *at, struct place **ret_place, const struct anchor **ret_anchor)
{
	struct uri u = ms_uri_split(reference);
	struct slice fragment = u.fragment;
	struct resource *r = NULL;
	if (ret_anchor != NULL)
		*ret_anchor = NULL;
	if (without_fragment(reference).n == 0) {
		r = ms_map_get(&c->resources, from->uri);
		if (r == NULL || r->root != from->root) { // its URI belongs to another
			for (r = c->all; r != from; r = r->next)
				;
		}
	} else {
		u.fragment = MS_SLICE_EMPTY;
		struct slice uri = ms_uri_resolve(c->arena, from->uri, u);
		enum ms_err err = uri.p == NULL ? ms_compile_no_memory(c) : MS_OK;
		if (err == MS_OK)
			r = find_resource(c, uri, &err);
		MS_TRY(err);
		if (r == NULL)
			return ms_compile_fail(c, at, MS_ERR_INVALID,
					       "refers to %.*s, which is not known; nothing is fetched",
					       MS_SLICE_ARG(uri));
	}
	MS_TRY(find_fragment(c, r, fragment, ret_place, ret_anchor));
	if (*ret_place == NULL)
		return ms_compile_fail(c, at, MS_ERR_INVALID, "refers to %.*s, where nothing is",
				       MS_SLICE_ARG(reference));
	return MS_OK;
}

enum ms_err ms_registry_init(struct compiler *c)
{
	struct hash_seed seed = {0};
	ms_map_init(&c->places, PLACES_MAX, seed);
	ms_map_init(&c->resources, PLACES_MAX, seed);
	size_t given = c->options->document_count;
	c->documents = MS_ARENA_ARRAY(c->arena, struct document, given + ms_meta_document_count);
	if (c->documents == NULL)
		return ms_compile_no_memory(c);
	for (size_t i = 0; i < given; i++) {
		struct slice uri = ms_arena_copy(c->arena, without_fragment(c->options->documents[i].uri));
		if (uri.p == NULL)
			return ms_compile_no_memory(c);
		c->documents[i] = (struct document){.uri = uri, .source = c->options->documents[i].value};
	}
	for (size_t i = 0; i < ms_meta_document_count; i++)
		c->documents[given + i] = (struct document){.uri = ms_slice_cstr(ms_meta_documents[i].uri),
							    .text = ms_meta_documents[i].text};
	c->document_count = given + ms_meta_document_count;
	struct json_value *copy = MS_ARENA_NEW(c->arena, struct json_value);
	if (copy == NULL || !copy_value(c->arena, c->root, copy))
		return ms_compile_no_memory(c);
	c->root = copy;
	return MS_OK;
}

void ms_registry_fini(struct compiler *c)
{
	ms_map_fini(&c->places);
	ms_map_fini(&c->resources);
}
