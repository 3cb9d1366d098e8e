// SPDX-License-Identifier: Apache-2.0
// Grants: what may be done with what. A grant is a set of permissions (bits of the table) and a pattern of objects: one name, or all that
// begin with a prefix. Sets of permissions are one permission, a group or all, so that two of them are disjoint or nested, and so are
// patterns: what two grants allow together is always one grant again.
#include "auth/grants.h"

#define COMBINED_MAX 4096 // grants in a union or an intersection

struct grant {
	uint64_t permissions;
	struct slice head;   // "models.*", as text
	struct slice object; // without '*'
	bool has_object;     // it was given; otherwise every object
	bool prefix;         // every object that begins with `object`
};

struct grants {
	uint64_t any;  // permissions for every object
	uint64_t some; // permissions for at least one
	size_t count;
	const struct grant *items;
};

static const struct auth_permission permissions[] = {
#define MS_PERMISSION(id, name, object, help) {name, object, help},
#include "auth/permissions.def"
#undef MS_PERMISSION
};
_Static_assert(MS_ARRAY_LEN(permissions) < 64,
	       "a set of permissions is 64 bits, one of which stands for those to come");

static const struct slice names[] = {
#define MS_PERMISSION(id, name, object, help) {name, sizeof(name) - 1},
#include "auth/permissions.def"
#undef MS_PERMISSION
};

static const struct grant everything = {.permissions = UINT64_MAX, .head = {"*", 1}, .prefix = true};
static const struct grants all = {.any = UINT64_MAX, .some = UINT64_MAX, .count = 1, .items = &everything};
static const struct grants none = {0};
const struct grants *const MS_GRANTS_ALL = &all;
const struct grants *const MS_GRANTS_NONE = &none;

const struct auth_permission *ms_auth_permissions(size_t *ret_count)
{
	*ret_count = MS_ARRAY_LEN(permissions);
	return permissions;
}

static size_t find_permission(struct slice name)
{
	size_t i = 0;
	while (i < MS_ARRAY_LEN(names) && !ms_slice_eq(names[i], name))
		i++;
	return i;
}

// --- Text --------------------------------------------------------------------------------------------

static enum ms_err malformed(struct slice text, const char *why, struct errinfo *info)
{
	return ms_fail(info, MS_ERR_INVALID, "the grant '%.*s' %s", (int)MS_MIN(text.n, (size_t)80), text.p, why);
}

// Scopes of OAuth are words of these (RFC 6749, section 3.3); a comma divides grants on the command line.
static bool is_object_text(struct slice s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (c <= 0x20 || c > 0x7e || c == '"' || c == '\\' || c == '*' || c == ',')
			return false;
	}
	return true;
}

MS_COLD static enum ms_err unknown_permission(struct slice text, struct slice head, struct errinfo *info)
{
	size_t nearest = ms_text_nearest(head, names, MS_ARRAY_LEN(names));
	if (nearest == SIZE_MAX)
		return malformed(text, "names no permission; `GET /api/v1/auth/permissions` lists them", info);
	return ms_fail(info, MS_ERR_INVALID, "the grant '%.*s' names no permission; did you mean '%s'?",
		       (int)MS_MIN(text.n, (size_t)80), text.p, names[nearest].p);
}

// The permissions of a head such as "predict", "models.*" or "*"; `ret_objects`: all of them have objects.
static enum ms_err read_head(struct slice text, struct slice head, struct errinfo *info, uint64_t *ret_bits,
			     bool *ret_objects)
{
	*ret_bits = 0;
	*ret_objects = true;
	if (ms_slice_eq_cstr(head, "*")) {
		*ret_bits = UINT64_MAX;
		*ret_objects = false;
		return MS_OK;
	}
	bool group = ms_slice_ends_with(head, MS_SLICE_LIT(".*"));
	struct slice prefix = group ? ms_slice_sub(head, 0, head.n - 1) : head; // "models."
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++) {
		if (group ? !ms_slice_starts_with(names[i], prefix) : !ms_slice_eq(names[i], head))
			continue;
		*ret_bits |= UINT64_C(1) << i;
		*ret_objects = *ret_objects && permissions[i].object != NULL;
	}
	return *ret_bits != 0 ? MS_OK : unknown_permission(text, head, info);
}

static enum ms_err read_grant(struct slice text, struct errinfo *info, struct grant *ret_grant)
{
	struct grant g = {.prefix = true};
	bool objects;
	size_t colon = ms_slice_find(text, ':');
	if (text.n == 0)
		return ms_fail(info, MS_ERR_INVALID, "a grant is empty; expected permission, or permission:object");
	if (text.n > MS_GRANT_TEXT_MAX)
		return ms_fail(info, MS_ERR_INVALID, "a grant has %zu bytes; at most %d are allowed", text.n,
			       MS_GRANT_TEXT_MAX);
	g.head = ms_slice_sub(text, 0, colon);
	MS_TRY(read_head(text, g.head, info, &g.permissions, &objects));
	if (colon < text.n) {
		g.has_object = true;
		g.object = ms_slice_sub(text, colon + 1, SIZE_MAX);
		if (!objects)
			return malformed(text, "names an object, but what it permits has none", info);
		if (g.object.n == 0)
			return malformed(text, "names no object behind the colon", info);
		g.prefix = g.object.p[g.object.n - 1] == '*';
		g.object.n -= g.prefix;
		if (!is_object_text(g.object))
			return malformed(
				text,
				"has an object with a character that names do not have ('*' stands at the end only)",
				info);
	}
	*ret_grant = g;
	return MS_OK;
}

// --- Sets --------------------------------------------------------------------------------------------

static bool is_any(const struct grant *g)
{
	return g->prefix && g->object.n == 0;
}

static bool matches(const struct grant *g, struct slice object)
{
	return g->prefix ? ms_slice_starts_with(object, g->object) : ms_slice_eq(object, g->object);
}

// Every object of `inner` is one of `outer`.
static bool covers_objects(const struct grant *outer, const struct grant *inner)
{
	return outer->prefix ? ms_slice_starts_with(inner->object, outer->object)
			     : !inner->prefix && ms_slice_eq(inner->object, outer->object);
}

static void note(struct grants *set, const struct grant *g)
{
	set->some |= g->permissions;
	if (is_any(g))
		set->any |= g->permissions;
}

static bool grant_within(const struct grant *inner, const struct grants *outer)
{
	uint64_t left = inner->permissions & ~outer->any;
	for (size_t i = 0; i < outer->count && left != 0; i++) {
		if (covers_objects(&outer->items[i], inner))
			left &= ~outer->items[i].permissions;
	}
	return left == 0;
}

static enum ms_err no_memory(struct errinfo *info)
{
	return ms_fail(info, MS_ERR_NO_MEMORY, "out of memory for grants");
}

static enum ms_err copy_texts(struct grant *g, struct arena *arena, struct errinfo *info)
{
	g->head = ms_arena_copy(arena, g->head);
	g->object = ms_arena_copy(arena, g->object);
	return g->head.p != NULL && g->object.p != NULL ? MS_OK : no_memory(info);
}

static struct grants *combined(size_t max, struct arena *arena, struct grant **ret_items)
{
	struct grants *set = MS_ARENA_NEW(arena, struct grants);
	*ret_items = MS_ARENA_ARRAY(arena, struct grant, max);
	if (set == NULL || *ret_items == NULL)
		return NULL;
	set->items = *ret_items;
	return set;
}

enum ms_err ms_grants_parse(const struct slice *texts, size_t count, struct arena *arena, struct errinfo *info,
			    const struct grants **ret_grants)
{
	if (count > MS_GRANTS_MAX)
		return ms_fail(info, MS_ERR_INVALID, "there are %zu grants; at most %d are allowed", count,
			       MS_GRANTS_MAX);
	struct grants *set = MS_ARENA_NEW(arena, struct grants);
	struct grant *items = MS_ARENA_ARRAY(arena, struct grant, count);
	if (set == NULL || items == NULL)
		return no_memory(info);
	for (size_t i = 0; i < count; i++) {
		MS_TRY(read_grant(texts[i], info, &items[i]));
		MS_TRY(copy_texts(&items[i], arena, info));
		note(set, &items[i]);
	}
	set->items = items;
	set->count = count;
	*ret_grants = set;
	return MS_OK;
}

enum ms_err ms_grants_read(struct slice json, struct arena *arena, struct errinfo *info,
			   const struct grants **ret_grants)
{
	const struct json_value *root;
	struct slice texts[MS_GRANTS_MAX];
	MS_TRY(ms_json_parse(json, NULL, arena, info, &root));
	if (root->type != JSON_ARRAY)
		return ms_fail(info, MS_ERR_INVALID, "grants must be an array of texts, not %s",
			       ms_json_type_name(root->type));
	if (root->array.count > MS_GRANTS_MAX)
		return ms_fail(info, MS_ERR_INVALID, "there are %zu grants; at most %d are allowed", root->array.count,
			       MS_GRANTS_MAX);
	for (size_t i = 0; i < root->array.count; i++) {
		if (!ms_json_as_str(&root->array.items[i], &texts[i]))
			return ms_fail(info, MS_ERR_INVALID, "a grant must be a text such as \"predict:churn\", not %s",
				       ms_json_type_name(root->array.items[i].type));
	}
	return ms_grants_parse(texts, root->array.count, arena, info, ret_grants);
}

enum ms_err ms_grants_read_stored(struct slice json, struct arena *arena, struct errinfo *info,
				  const struct grants **ret_grants)
{
	const struct json_value *root;
	struct errinfo ignored;
	struct grant *items;
	size_t max = 0;
	enum ms_err err = ms_json_parse(json, NULL, arena, info, &root);
	if (err == MS_ERR_NO_MEMORY)
		return err;
	if (err == MS_OK && root->type == JSON_ARRAY)
		max = MS_MIN(root->array.count, (size_t)COMBINED_MAX);
	struct grants *set = combined(max, arena, &items);
	if (set == NULL)
		return no_memory(info);
	for (size_t i = 0; i < max; i++) {
		struct slice text;
		ms_errinfo_init(&ignored);
		if (!ms_json_as_str(&root->array.items[i], &text) ||
		    read_grant(text, &ignored, &items[set->count]) != MS_OK)
			continue;
		MS_TRY(copy_texts(&items[set->count], arena, info));
		note(set, &items[set->count++]);
	}
	*ret_grants = set;
	return MS_OK;
}

// Adds a grant unless what is there allows it already. `items` has room for `max`.
static enum ms_err add(struct grants *set, struct grant *items, size_t max, struct grant g, struct arena *arena,
		       struct errinfo *info)
{
	if (grant_within(&g, set))
		return MS_OK;
	if (set->count == max)
		return ms_fail(info, MS_ERR_LIMIT, "more than %zu grants together", max);
	MS_TRY(copy_texts(&g, arena, info));
	items[set->count++] = g;
	note(set, &g);
	return MS_OK;
}

enum ms_err ms_grants_union(const struct grants *a, const struct grants *b, struct arena *arena, struct errinfo *info,
			    const struct grants **ret_grants)
{
	struct grant *items;
	size_t max = MS_MIN(a->count + b->count, (size_t)COMBINED_MAX);
	struct grants *set = combined(max, arena, &items);
	if (set == NULL)
		return no_memory(info);
	for (size_t i = 0; i < a->count; i++)
		MS_TRY(add(set, items, max, a->items[i], arena, info));
	for (size_t i = 0; i < b->count; i++)
		MS_TRY(add(set, items, max, b->items[i], arena, info));
	*ret_grants = set;
	return MS_OK;
}

// What both allow; false when that is nothing.
static bool meet(const struct grant *a, const struct grant *b, struct grant *ret_grant)
{
	struct grant g = {.permissions = a->permissions & b->permissions};
	if (g.permissions == 0)
		return false;
	const struct grant *objects = covers_objects(a, b) ? b : covers_objects(b, a) ? a : NULL;
	if (objects == NULL)
		return false;
	MS_ASSERT(g.permissions == a->permissions || g.permissions == b->permissions);
	g.head = g.permissions == a->permissions ? a->head : b->head;
	g.object = objects->object;
	g.has_object = objects->has_object;
	g.prefix = objects->prefix;
	*ret_grant = g;
	return true;
}

enum ms_err ms_grants_intersect(const struct grants *a, const struct grants *b, struct arena *arena,
				struct errinfo *info, const struct grants **ret_grants)
{
	struct grant *items, g;
	size_t max = 0;
	for (size_t i = 0; i < a->count * b->count && max < COMBINED_MAX; i++)
		max += meet(&a->items[i / b->count], &b->items[i % b->count], &g);
	struct grants *set = combined(max, arena, &items);
	if (set == NULL)
		return no_memory(info);
	for (size_t i = 0; i < a->count; i++) {
		for (size_t k = 0; k < b->count; k++) {
			if (meet(&a->items[i], &b->items[k], &g))
				MS_TRY(add(set, items, max, g, arena, info));
		}
	}
	*ret_grants = set;
	return MS_OK;
}

bool ms_grants_allow(const struct grants *grants, const char *permission, struct slice object)
{
	size_t id = find_permission(ms_slice_cstr(permission));
	MS_ASSERT(id < MS_ARRAY_LEN(names));
	uint64_t bit = UINT64_C(1) << id;
	if ((grants->any & bit) != 0)
		return true;
	if ((grants->some & bit) == 0)
		return false;
	if (object.p == NULL)
		return true;
	for (size_t i = 0; i < grants->count; i++) {
		if ((grants->items[i].permissions & bit) != 0 && matches(&grants->items[i], object))
			return true;
	}
	return false;
}

bool ms_grants_within(const struct grants *inner, const struct grants *outer)
{
	for (size_t i = 0; i < inner->count; i++) {
		if (!grant_within(&inner->items[i], outer))
			return false;
	}
	return true;
}

void ms_grants_write(const struct grants *grants, struct buf *out)
{
	// Grants are of printable ASCII without quotes: nothing has to be escaped.
	ms_buf_append_char(out, '[');
	for (size_t i = 0; i < grants->count; i++) {
		const struct grant *g = &grants->items[i];
		ms_buf_append_cstr(out, i > 0 ? ",\"" : "\"");
		ms_buf_append_slice(out, g->head);
		if (g->has_object) {
			ms_buf_append_char(out, ':');
			ms_buf_append_slice(out, g->object);
			if (g->prefix)
				ms_buf_append_char(out, '*');
		}
		ms_buf_append_char(out, '"');
	}
	ms_buf_append_char(out, ']');
}

size_t ms_grants_count(const struct grants *grants)
{
	return grants->count;
}
