// SPDX-License-Identifier: Apache-2.0
// Entities are found wherever they stand, learn whose they are, and get an id.
#include <stdio.h>

#include "crypto/crypto.h"
#include "gateway/plan_private.h"
#include "rt/rt.h"

#define ENTITIES_MAX 1000000

bool ms_plan_no_memory(struct making *m)
{
	ms_problem_add(m->problems, "", NULL, "not enough memory for this configuration");
	return false;
}

const char *ms_plan_field(struct making *m, const struct entity *e, const char *field)
{
	return ms_problem_path(m->problems, e->path, ms_slice_cstr(field));
}

const struct json_value *ms_plan_value(const struct entity *e, const char *field)
{
	const struct json_value *value = ms_json_get(e->object, field);
	return value != NULL ? value : e->object;
}

struct entity *ms_plan_find(const struct making *m, enum entity_kind kind, struct slice name_or_id)
{
	struct entity *e = ms_map_get(&m->by_id[kind], name_or_id);
	return e != NULL ? e : ms_map_get(&m->by_name[kind], name_or_id);
}

void *ms_plan_array(struct making *m, enum entity_kind kind, size_t item_bytes, size_t *ret_count)
{
	char *items = ms_arena_calloc(&m->plan->arena, m->count[kind], item_bytes);
	if (items == NULL)
		return NULL;
	FOR_ENTITIES(m, kind, e)
	e->made = items + e->index * item_bytes;
	*ret_count = m->count[kind];
	return items;
}

// --- Gathering -------------------------------------------------------------------------------------

static bool gather_list(struct making *m, enum entity_kind kind, const struct json_value *list, const char *path,
			struct entity *owner);

static bool gather_nested(struct making *m, struct entity *e)
{
	const enum entity_kind *nested = ms_entity_defs[e->kind].nested;
	bool good = true;
	for (size_t i = 0; nested[i] != ENTITY_KINDS; i++) {
		const char *name = ms_entity_defs[nested[i]].list;
		const struct json_value *list = ms_json_get(e->object, name);
		if (list != NULL && list->type != JSON_NULL)
			good &= gather_list(m, nested[i], list, ms_plan_field(m, e, name), e);
	}
	return good;
}

static enum owner_kind owner_kind_of(enum entity_kind kind)
{
	for (int o = 0; o < OWNER_KINDS; o++) {
		if (ms_owner_entities[o] == kind)
			return o;
	}
	return OWNER_KINDS;
}

static bool gather_one(struct making *m, enum entity_kind kind, const struct json_value *object, const char *path,
		       struct entity *owner)
{
	if (object->type != JSON_OBJECT) {
		ms_problem_add(m->problems, path, object, "found %s; expected an object",
			       ms_json_type_name(object->type));
		return false;
	}
	struct entity *e = MS_ARENA_NEW(&m->plan->arena, struct entity);
	if (e == NULL || m->count[kind] >= ENTITIES_MAX)
		return ms_plan_no_memory(m);
	*e = (struct entity){.kind = kind, .object = object, .path = path, .index = m->count[kind]++};
	if (owner != NULL)
		e->owners[owner_kind_of(owner->kind)] = owner;
	const char *name = ms_entity_defs[kind].name;
	if (name != NULL && !ms_json_as_str(ms_json_get(object, name), &e->name))
		e->name = MS_SLICE_EMPTY;
	*m->end[kind] = e;
	m->end[kind] = &e->next;
	return gather_nested(m, e);
}

static bool gather_list(struct making *m, enum entity_kind kind, const struct json_value *list, const char *path,
			struct entity *owner)
{
	if (list->type != JSON_ARRAY) {
		ms_problem_add(m->problems, path, list, "found %s; expected a list", ms_json_type_name(list->type));
		return false;
	}
	bool good = true;
	for (size_t i = 0; i < list->array.count; i++)
		good &= gather_one(m, kind, &list->array.items[i], ms_problem_item(m->problems, path, i), owner);
	return good;
}

// --- The top level ---------------------------------------------------------------------------------

static bool check_format(struct making *m, const struct json_value *value)
{
	static const struct {
		const char *name;
		unsigned format;
	} formats[] = {{"1.1", 11}, {"2.1", 21}, {"3.0", 30}};
	for (size_t i = 0; i < MS_ARRAY_LEN(formats); i++) {
		if (value->type == JSON_STRING && ms_slice_eq_cstr(value->str, formats[i].name)) {
			m->format = formats[i].format;
			return true;
		}
	}
	bool number = value->type == JSON_NUMBER;
	ms_problem_add(m->problems, "_format_version", value, "found %s%.*s; expected \"1.1\", \"2.1\" or \"3.0\"%s",
		       number ? "the number " : "",
		       value->type == JSON_STRING || number ? (int)MS_MIN(value->str.n, (size_t)32) : 0,
		       value->type == JSON_STRING || number ? value->str.p : "", number ? ", in quotes" : "");
	return false;
}

static bool check_meta(struct making *m, const struct json_member *member)
{
	struct slice text;
	bool flag;
	if (ms_slice_eq_cstr(member->key, "_format_version"))
		return check_format(m, &member->value);
	if (ms_slice_eq_cstr(member->key, "_transform") && !ms_json_as_bool(&member->value, &flag)) {
		ms_problem_add(m->problems, "_transform", &member->value, "expected true or false");
		return false;
	}
	if (ms_slice_eq_cstr(member->key, "_comment") && !ms_json_as_str(&member->value, &text)) {
		ms_problem_add(m->problems, "_comment", &member->value, "expected text");
		return false;
	}
	if (ms_slice_eq_cstr(member->key, "_ignore") && member->value.type != JSON_ARRAY) {
		ms_problem_add(m->problems, "_ignore", &member->value, "expected a list");
		return false;
	}
	return true;
}

static bool is_meta(struct slice key)
{
	return ms_slice_eq_cstr(key, "_format_version") || ms_slice_eq_cstr(key, "_transform") ||
	       ms_slice_eq_cstr(key, "_comment") || ms_slice_eq_cstr(key, "_ignore");
}

// What Kong's files may hold besides.
static bool is_of_kong(struct slice key)
{
	static const char *const names[] = {"snis",
					    "vaults",
					    "keys",
					    "key_sets",
					    "consumer_groups",
					    "filter_chains",
					    "oauth2_credentials",
					    "hmacauth_credentials",
					    "mtls_auth_credentials",
					    "parameters",
					    "clustering_data_planes",
					    "workspaces",
					    "custom_plugins",
					    "partials",
					    "licenses"};
	for (size_t i = 0; i < MS_ARRAY_LEN(names); i++) {
		if (ms_slice_eq_cstr(key, names[i]))
			return true;
	}
	return false;
}

static bool refuse_unknown(struct making *m, const struct json_member *member)
{
	struct slice names[ENTITY_KINDS];
	for (size_t i = 0; i < ENTITY_KINDS; i++)
		names[i] = ms_slice_cstr(ms_entity_defs[i].list);
	const char *path = ms_problem_path(m->problems, "", member->key);
	size_t nearest = ms_text_nearest(member->key, names, ENTITY_KINDS);
	if (is_of_kong(member->key))
		ms_problem_add(m->problems, path, &member->value, "Kong has these, this gateway has not");
	else if (nearest != SIZE_MAX)
		ms_problem_add(m->problems, path, &member->value, "unknown field; did you mean %s?",
			       ms_entity_defs[nearest].list);
	else
		ms_problem_add(m->problems, path, &member->value, "unknown field");
	return false;
}

static bool gather_top(struct making *m, const struct json_value *document)
{
	bool good = true;
	for (size_t i = 0; i < document->object.count; i++) {
		const struct json_member *member = &document->object.members[i];
		size_t kind = 0;
		while (kind < ENTITY_KINDS && !ms_slice_eq_cstr(member->key, ms_entity_defs[kind].list))
			kind++;
		if (is_meta(member->key))
			good &= check_meta(m, member);
		else if (kind == ENTITY_KINDS)
			good &= refuse_unknown(m, member);
		else if (member->value.type != JSON_NULL)
			good &= gather_list(m, (enum entity_kind)kind, &member->value, ms_entity_defs[kind].list, NULL);
	}
	return good;
}

// --- Owners ----------------------------------------------------------------------------------------

// "my-service", or {"id": …}, or {"name": …}.
static bool reference_text(const struct json_value *value, struct slice *ret_text)
{
	return ms_json_as_str(value, ret_text) || ms_json_as_str(ms_json_get(value, "id"), ret_text) ||
	       ms_json_as_str(ms_json_get(value, "name"), ret_text) ||
	       ms_json_as_str(ms_json_get(value, "username"), ret_text);
}

static void suggest(struct making *m, const struct entity *e, const char *member, enum entity_kind kind,
		    const struct json_value *value, struct slice text)
{
	struct slice names[256];
	size_t count = 0;
	FOR_ENTITIES(m, kind, other)
	{
		if (other->name.n > 0 && count < MS_ARRAY_LEN(names))
			names[count++] = other->name;
	}
	size_t nearest = ms_text_nearest(text, names, count);
	const char *path = ms_plan_field(m, e, member);
	struct slice shown = ms_slice_sub(text, 0, 128);
	if (nearest != SIZE_MAX)
		ms_problem_add(m->problems, path, value, "no %s has the name or id \"%.*s\"; did you mean %.*s?",
			       member, MS_SLICE_ARG(shown), MS_SLICE_ARG(names[nearest]));
	else
		ms_problem_add(m->problems, path, value, "no %s has the name or id \"%.*s\"", member,
			       MS_SLICE_ARG(shown));
}

static bool resolve_owner(struct making *m, struct entity *e, enum owner_kind o)
{
	const char *member = ms_owner_names[o];
	const struct json_value *value = ms_json_get(e->object, member);
	if (value == NULL || value->type == JSON_NULL) {
		if (e->owners[o] != NULL || !(ms_entity_defs[e->kind].needs & 1U << o))
			return true;
		ms_problem_add(m->problems, ms_plan_field(m, e, member), e->object, "required, but it is missing");
		return false;
	}
	struct slice text;
	if (!reference_text(value, &text)) {
		ms_problem_add(m->problems, ms_plan_field(m, e, member), value, "found %s; expected a name or an id",
			       ms_json_type_name(value->type));
		return false;
	}
	struct entity *owner = ms_plan_find(m, ms_owner_entities[o], text);
	if (owner == NULL) {
		suggest(m, e, member, ms_owner_entities[o], value, text);
		return false;
	}
	if (e->owners[o] != NULL && e->owners[o] != owner) {
		ms_problem_add(m->problems, ms_plan_field(m, e, member), value,
			       "stands inside another %s than it names", member);
		return false;
	}
	e->owners[o] = owner;
	return true;
}

static bool resolve_owners(struct making *m, struct entity *e)
{
	bool good = true;
	for (int o = 0; o < OWNER_KINDS; o++) {
		if (ms_entity_defs[e->kind].owners & 1U << o)
			good &= resolve_owner(m, e, (enum owner_kind)o);
	}
	return good;
}

// --- Ids -------------------------------------------------------------------------------------------

static bool is_uuid(struct slice s)
{
	if (s.n != 36)
		return false;
	for (size_t i = 0; i < 36; i++) {
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;
		char c = s.p[i];
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
		if (dash ? c != '-' : !hex)
			return false;
	}
	return true;
}

// UUID of version 5 (RFC 9562) in a namespace of our own.
static void make_uuid(struct slice text, char dst[GW_ID_SIZE])
{
	static const char namespace[] = "\x6d\x61\x69\x6e\x73\x74\x51\x79\xa7\x67\x61\x74\x65\x77\x61\x79";
	uint8_t mac[MS_DIGEST_MAX], prefix[MS_DIGEST_MAX];
	// The digest of namespace and text is taken in two steps, so that texts of any length need no copy.
	ms_digest(CRYPTO_SHA1, text, prefix);
	char joined[16 + 20];
	memcpy(joined, namespace, 16);
	memcpy(joined + 16, prefix, 20);
	ms_digest(CRYPTO_SHA1, ms_slice(joined, sizeof(joined)), mac);
	mac[6] = (uint8_t)((mac[6] & 0x0f) | 0x50);
	mac[8] = (uint8_t)((mac[8] & 0x3f) | 0x80);
	snprintf(dst, GW_ID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", mac[0],
		 mac[1], mac[2], mac[3], mac[4], mac[5], mac[6], mac[7], mac[8], mac[9], mac[10], mac[11], mac[12],
		 mac[13], mac[14], mac[15]);
}

// What tells an entity without a name from its neighbours, and is no secret.
static void append_identity(const struct entity *e, struct buf *text)
{
	static const char *const members[] = {"name",  "instance_name", "target", "group",   "username", "custom_id",
					      "hosts", "methods",       "paths",  "headers", "snis",     "protocols"};
	struct json_writer w;
	for (size_t i = 0; i < MS_ARRAY_LEN(members); i++) {
		const struct json_value *value = ms_json_get(e->object, members[i]);
		if (value == NULL)
			continue;
		ms_buf_printf(text, "\n%s=", members[i]);
		ms_json_writer_init(&w, text);
		ms_json_value(&w, value);
	}
}

static bool set_id(struct making *m, struct entity *e, struct buf *text, unsigned again)
{
	struct slice given;
	const struct json_value *value = ms_json_get(e->object, "id");
	if (value != NULL && value->type != JSON_NULL) {
		if (ms_json_as_str(value, &given) && is_uuid(given)) {
			memcpy(e->id, given.p, 36);
			return true;
		}
		ms_problem_add(m->problems, ms_plan_field(m, e, "id"), value,
			       "expected a UUID, such as 123e4567-e89b-42d3-a456-426614174000");
		return false;
	}
	ms_buf_clear(text);
	ms_buf_append_cstr(text, ms_entity_defs[e->kind].list);
	if (e->name.n > 0) {
		ms_buf_append_char(text, ':');
		ms_buf_append_slice(text, e->name);
	} else {
		for (int o = 0; o < OWNER_KINDS; o++)
			ms_buf_printf(text, ":%s", e->owners[o] != NULL ? e->owners[o]->id : "");
		append_identity(e, text);
	}
	if (again > 0)
		ms_buf_printf(text, "#%u", again);
	if (!ms_buf_ok(text))
		return ms_plan_no_memory(m);
	make_uuid(ms_buf_slice(text), e->id);
	return true;
}

static bool has_id(const struct entity *e)
{
	const struct json_value *value = ms_json_get(e->object, "id");
	return value != NULL && value->type != JSON_NULL;
}

// Ids that are given go first, so that one that is made never takes theirs.
static bool identify(struct making *m, struct entity *e, struct buf *text)
{
	// Keys are secret, so nothing of them goes into an id: they are numbered within their consumer.
	struct entity *consumer = e->kind == ENTITY_KEYAUTH && !has_id(e) ? e->owners[OWNER_CONSUMER] : NULL;
	unsigned first = consumer != NULL ? consumer->keys++ : 0;
	for (unsigned again = first; again < first + 1000; again++) {
		if (!set_id(m, e, text, again))
			return false;
		struct entity *other = ms_map_get(&m->by_id[e->kind], ms_slice_cstr(e->id));
		if (other == NULL)
			return ms_map_put(&m->by_id[e->kind], ms_slice_cstr(e->id), e, NULL) || ms_plan_no_memory(m);
		if (has_id(e)) {
			ms_problem_add(m->problems, ms_plan_field(m, e, "id"), ms_plan_value(e, "id"),
				       "is the id of %s already", other->path);
			return false;
		}
	}
	ms_problem_add(m->problems, e->path, e->object, "stands here more than 1,000 times");
	return false;
}

static bool index_name(struct making *m, struct entity *e)
{
	if (e->name.n == 0)
		return true;
	struct entity *other = ms_map_get(&m->by_name[e->kind], e->name);
	const char *field = ms_entity_defs[e->kind].name;
	if (other != NULL) {
		ms_problem_add(m->problems, ms_plan_field(m, e, field), ms_plan_value(e, field),
			       "\"%.*s\" is the %s of %s already", MS_SLICE_ARG(e->name), field, other->path);
		return false;
	}
	return ms_map_put(&m->by_name[e->kind], e->name, e, NULL) || ms_plan_no_memory(m);
}

static bool identify_kind(struct making *m, enum entity_kind kind, struct buf *text)
{
	bool good = true;
	FOR_ENTITIES(m, kind, e)
	good &= resolve_owners(m, e);
	FOR_ENTITIES(m, kind, e)
	{
		if (has_id(e))
			good &= identify(m, e, text);
	}
	FOR_ENTITIES(m, kind, e)
	{
		if (!has_id(e))
			good &= identify(m, e, text);
		good &= index_name(m, e);
	}
	return good;
}

// --- Reading ---------------------------------------------------------------------------------------

static bool read_rows(struct making *m, enum entity_kind kind)
{
	const struct entity_def *def = &ms_entity_defs[kind];
	bool good = true;
	FOR_ENTITIES(m, kind, e)
	{
		e->row = ms_arena_calloc(&m->plan->arena, 1, def->row_bytes);
		if (e->row == NULL)
			return ms_plan_no_memory(m);
		good &= ms_record_read(def->fields, e->object, e->path, &m->plan->arena, m->problems, e->row);
	}
	return good;
}

bool ms_plan_gather(struct making *m, const struct json_value *document)
{
	if (document->type != JSON_OBJECT) {
		ms_problem_add(m->problems, "", document,
			       "found %s; expected an object with _format_version, services, routes and so on",
			       ms_json_type_name(document->type));
		return false;
	}
	bool good = gather_top(m, document);
	struct buf text;
	ms_buf_init(&text, (size_t)16 << 20);
	// Owners before what they own.
	static const enum entity_kind order[ENTITY_KINDS] = {
		ENTITY_CERTIFICATE, ENTITY_CA_CERTIFICATE, ENTITY_UPSTREAM, ENTITY_SERVICE,
		ENTITY_CONSUMER,    ENTITY_ROUTE,          ENTITY_TARGET,   ENTITY_KEYAUTH,
		ENTITY_JWT,         ENTITY_BASICAUTH,      ENTITY_ACL,      ENTITY_PLUGIN};
	for (size_t i = 0; i < ENTITY_KINDS; i++)
		good &= identify_kind(m, order[i], &text);
	for (size_t i = 0; i < ENTITY_KINDS; i++)
		good &= read_rows(m, order[i]);
	ms_buf_fini(&text);
	return good;
}
