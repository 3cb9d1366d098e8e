// SPDX-License-Identifier: Apache-2.0
// From JSON to the graph of nodes.
#include <stdlib.h>

#include "schema/internal.h"

#define DEFAULT_MAX_BYTES ((size_t)16 << 20)
#define IN_PLACE_MAX 400 // schemas that look at one value one inside the other

enum ms_err ms_compile_place(struct compiler *c, struct place *place, const struct node **ret_node)
{
	*ret_node = place->node;
	if (place->node != NULL)
		return MS_OK;
	if (c->node_count == c->node_room) {
		size_t room = c->node_room * 2 + 64;
		struct node **nodes = realloc(c->nodes, room * sizeof(*nodes));
		if (nodes == NULL)
			return ms_compile_no_memory(c);
		c->nodes = nodes;
		c->node_room = room;
	}
	struct node *node = MS_ARENA_NEW(c->arena, struct node);
	if (node == NULL)
		return ms_compile_no_memory(c);
	node->source = place->value;
	node->resource = place->resource;
	place->resource->used = true;
	place->node = node;
	*c->queue_end = place;
	c->queue_end = &place->next;
	c->nodes[c->node_count++] = node;
	*ret_node = node;
	return MS_OK;
}

enum ms_err ms_compile_node(struct compiler *c, const struct json_value *value, struct resource *resource,
			    const struct node **ret_node)
{
	struct place *place;
	MS_TRY(ms_registry_place(c, value, resource, &place));
	return ms_compile_place(c, place, ret_node);
}

static enum ms_err build_ops(struct compiler *c, const struct place *place)
{
	struct node *node = place->node;
	struct resource *r = place->resource;
	bool hidden = r->draft <= SCHEMA_DRAFT7 && ms_json_get(place->value, "$ref") != NULL;
	struct op ops[64];
	MS_ASSERT(ms_keyword_count <= MS_ARRAY_LEN(ops));
	size_t count = 0;
	for (size_t i = 0; i < ms_keyword_count; i++) {
		const struct keyword *k = &ms_keywords[i];
		if (k->build == NULL || (k->drafts & DRAFT_BIT(r->draft)) == 0 ||
		    (k->vocabulary & r->vocabularies) == 0)
			continue;
		if (hidden && strcmp(k->name, "$ref") != 0)
			continue;
		struct keyword_build b = {.c = c, .resource = r, .object = place->value, .keyword = k, .node = node};
		b.value = ms_json_get(place->value, k->name);
		if (b.value == NULL)
			continue;
		ops[count] = (struct op){.keyword = k->name};
		MS_TRY(k->build(&b, &ops[count]));
		count += ops[count].run != NULL;
	}
	node->ops = MS_ARENA_ARRAY(c->arena, struct op, count);
	if (node->ops == NULL)
		return ms_compile_no_memory(c);
	if (count > 0)
		memcpy(node->ops, ops, count * sizeof(*ops));
	node->op_count = count;
	return MS_OK;
}

static enum ms_err build_node(struct compiler *c, const struct place *place)
{
	enum json_type type = place->value->type;
	if (type == JSON_OBJECT)
		return build_ops(c, place);
	if (type != JSON_TRUE && type != JSON_FALSE)
		return ms_compile_fail(c, place->value, MS_ERR_INVALID,
				       "is %s, must be a schema: an object, true or false", ms_json_type_name(type));
	place->node->never = type == JSON_FALSE;
	return MS_OK;
}

// Compiles what is waiting, and dynamic anchors of resources that came in by it.
static enum ms_err run_queue(struct compiler *c)
{
	for (bool more = true; more;) {
		for (; c->queue != NULL; c->queue = c->queue->next) {
			MS_TRY(build_node(c, c->queue));
		}
		c->queue_end = &c->queue;
		more = false;
		for (struct resource *r = c->all; r != NULL; r = r->next) {
			if (r->used && r->recursive_anchor && r->root_node == NULL) {
				MS_TRY(ms_compile_node(c, r->root, r, &r->root_node));
				more = true;
			}
			for (struct anchor *a = r->anchors; r->used && a != NULL; a = a->next) {
				if (a->dynamic && a->node == NULL) {
					MS_TRY(ms_compile_node(c, a->value, r, &a->node));
					more = true;
				}
			}
		}
	}
	return MS_OK;
}

// --- Circles ---------------------------------------------------------------------------------------------

enum { WHITE, GREY, BLACK };

static enum ms_err look_for_circle(struct compiler *c, const struct node *seen, unsigned depth);

static enum ms_err look_at(struct compiler *c, const struct node *const *nodes, size_t count, unsigned depth)
{
	for (size_t i = 0; i < count; i++) {
		if (nodes[i] != NULL)
			MS_TRY(look_for_circle(c, nodes[i], depth));
	}
	return MS_OK;
}

// A schema that comes back to itself at the same value would never end.
static enum ms_err look_for_circle(struct compiler *c, const struct node *seen, unsigned depth)
{
	struct node *node = (struct node *)(uintptr_t)seen; // ours, still being made
	if (node->color == BLACK)
		return MS_OK;
	if (node->color == GREY)
		return ms_compile_fail(c, node->source, MS_ERR_INVALID,
				       "the schema refers to itself without going into the value");
	if (depth > IN_PLACE_MAX)
		return ms_compile_fail(c, node->source, MS_ERR_LIMIT,
				       "more than %d schemas one inside the other look at one value", IN_PLACE_MAX);
	node->color = GREY;
	for (size_t i = 0; i < node->op_count; i++) {
		const struct op *op = &node->ops[i];
		if (op->run == ms_check_ref || op->run == ms_check_not)
			MS_TRY(look_at(c, &op->node, 1, depth + 1));
		else if (op->run == ms_check_all_of || op->run == ms_check_any_of || op->run == ms_check_one_of)
			MS_TRY(look_at(c, op->nodes.items, op->nodes.count, depth + 1));
		else if (op->run == ms_check_if)
			MS_TRY(look_at(c,
				       (const struct node *const[]){op->branch.condition, op->branch.then,
								    op->branch.otherwise},
				       3, depth + 1));
		for (size_t k = 0; op->run == ms_check_dependents && k < op->dependents.count; k++)
			MS_TRY(look_at(c, (const struct node *const[]){op->dependents.items[k].node}, 1, depth + 1));
	}
	node->color = BLACK;
	return MS_OK;
}

static enum ms_err compile(struct compiler *c)
{
	c->memory = ms_pattern_memory(c->arena);
	if (c->memory == NULL)
		return ms_compile_no_memory(c);
	MS_TRY(ms_registry_init(c));
	struct resource *root;
	MS_TRY(ms_registry_add(c, MS_SLICE_LIT(""), c->root, &root));
	MS_TRY(ms_compile_node(c, c->root, root, &c->schema->root));
	// Definitions that nothing refers to are checked as well.
	size_t cursor = 0;
	void *value;
	struct slice key;
	struct place *unused = NULL; // the map must not change while it is walked
	while (ms_map_next(&c->places, &cursor, &key, &value)) {
		struct place *place = value;
		if (place->node == NULL) {
			place->next = unused;
			unused = place;
		}
	}
	while (unused != NULL) {
		struct place *place = unused;
		const struct node *node;
		unused = place->next;
		place->next = NULL;
		MS_TRY(ms_compile_place(c, place, &node));
	}
	MS_TRY(run_queue(c));
	for (size_t i = 0; i < c->node_count; i++)
		MS_TRY(look_for_circle(c, c->nodes[i], 0));
	return MS_OK;
}

enum ms_err ms_schema_compile(const struct json_value *value, const struct schema_options *options,
			      struct errinfo *info, struct schema **ret_schema)
{
	static const struct schema_options defaults = {0};
	options = options != NULL ? options : &defaults;
	struct schema *schema = calloc(1, sizeof(*schema));
	if (schema == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "no memory for a schema");
	ms_arena_init(&schema->arena, 8192, options->max_bytes > 0 ? options->max_bytes : DEFAULT_MAX_BYTES);
	struct compiler c = {
		.schema = schema, .arena = &schema->arena, .options = options, .info = info, .root = value};
	c.default_draft = options->draft != SCHEMA_BY_ITSELF ? options->draft : SCHEMA_2020_12;
	c.queue_end = &c.queue;
	enum ms_err err = compile(&c);
	ms_registry_fini(&c);
	free(c.nodes);
	if (err != MS_OK)
		ms_schema_free(schema);
	else
		*ret_schema = schema;
	return err;
}

void ms_schema_free(struct schema *schema)
{
	if (schema == NULL)
		return;
	ms_arena_fini(&schema->arena);
	free(schema);
}
