// SPDX-License-Identifier: Apache-2.0
// Checking: one walk over value and schema together, its steps and depth counted, and what it finds in words.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "schema/internal.h"

#define DEFAULT_STEPS ((size_t)10 * 1000 * 1000)

bool ms_check_stop(struct check *c, enum ms_err err, const char *why)
{
	if (c->err == MS_OK)
		c->err = ms_fail(c->info, err, "%s", why);
	return false;
}

bool ms_check_step(struct check *c, size_t steps)
{
	if (c->steps < steps) {
		c->steps = 0;
		return ms_check_stop(c, MS_ERR_LIMIT, "checking the value takes too many steps");
	}
	c->steps -= steps;
	return true;
}

// --- Findings ------------------------------------------------------------------------------------------------

static bool write_path(struct arena *arena, const struct path *path, struct found *found)
{
	size_t depth = 0, bytes = 0;
	for (const struct path *p = path; p->parent != NULL; p = p->parent) {
		depth++;
		bytes += 1 + (p->key.p != NULL ? 2 * p->key.n : 20);
	}
	size_t *where = ms_arena_calloc(arena, depth, sizeof(*where));
	char *text = ms_arena_alloc(arena, bytes + 1);
	if (where == NULL || text == NULL)
		return false;
	size_t at = bytes, level = depth; // from the back
	for (const struct path *p = path; p->parent != NULL; p = p->parent) {
		where[--level] = p->index;
		char number[24];
		struct slice key = p->key;
		if (key.p == NULL)
			key = ms_slice(number, (size_t)snprintf(number, sizeof(number), "%zu", p->index));
		for (size_t i = key.n; i > 0; i--) {
			char c = key.p[i - 1];
			text[--at] = c == '~' ? '0' : c == '/' ? '1' : c;
			if (c == '~' || c == '/')
				text[--at] = '~';
		}
		text[--at] = '/';
	}
	found->where = where;
	found->depth = depth;
	found->finding.instance = ms_slice(text + at, bytes - at);
	return true;
}

static bool grow_found(struct check *c)
{
	if (c->found_count < c->found_room)
		return true;
	size_t room = c->found_room * 2 + 4;
	struct found *found = ms_arena_grow(c->arena, c->found, c->found_count * sizeof(*found), room * sizeof(*found));
	if (found == NULL)
		return false;
	c->found = found;
	c->found_room = room;
	return true;
}

bool ms_check_found(struct check *c, const struct path *path, const char *keyword, const char *fmt, ...)
{
	if (c->quiet > 0 || c->err != MS_OK || c->found_count >= c->max)
		return false;
	char message[320];
	va_list args;
	va_start(args, fmt);
	int n = vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	struct slice text = ms_slice(message, MS_MIN((size_t)MS_MAX(n, 0), sizeof(message) - 1));
	text.n = ms_utf8_valid_prefix(text); // a cut in the middle of a character
	struct found found = {.number = c->found_count,
			      .finding = {.keyword = ms_slice_cstr(keyword), .message = ms_arena_copy(c->arena, text)}};
	if (!grow_found(c) || found.finding.message.p == NULL || !write_path(c->arena, path, &found))
		return ms_check_stop(c, MS_ERR_NO_MEMORY, "no memory for what was found");
	c->found[c->found_count++] = found;
	return false;
}

static int cmp_found(const void *left, const void *right)
{
	const struct found *a = left, *b = right;
	for (size_t i = 0; i < a->depth && i < b->depth; i++) {
		if (a->where[i] != b->where[i])
			return a->where[i] < b->where[i] ? -1 : 1;
	}
	if (a->depth != b->depth)
		return a->depth < b->depth ? -1 : 1;
	return a->number < b->number ? -1 : 1;
}

const char *ms_value_shown(const struct json_value *v, char dst[MS_SHOWN_SIZE])
{
	struct slice s = v->type == JSON_STRING || v->type == JSON_NUMBER ? v->str : MS_SLICE_EMPTY;
	bool quoted = v->type == JSON_STRING, cut = s.n > 60;
	s.n = cut ? 60 : s.n;
	if (s.n > 0)
		s.n = ms_utf8_valid_prefix(s);
	if (quoted)
		snprintf(dst, MS_SHOWN_SIZE, "\"%.*s%s\"", MS_SLICE_ARG(s), cut ? "…" : "");
	else if (v->type == JSON_NUMBER)
		snprintf(dst, MS_SHOWN_SIZE, "%.*s%s", MS_SLICE_ARG(s), cut ? "…" : "");
	else if (v->type == JSON_TRUE || v->type == JSON_FALSE)
		snprintf(dst, MS_SHOWN_SIZE, "%s", v->type == JSON_TRUE ? "true" : "false");
	else
		snprintf(dst, MS_SHOWN_SIZE, "%s%s",
			 v->type == JSON_NULL    ? ""
			 : v->type == JSON_ARRAY ? "an "
						 : "an ",
			 ms_json_type_name(v->type));
	return dst;
}

// --- What was looked at -------------------------------------------------------------------------------------

void ms_seen_add(struct seen *seen, size_t index)
{
	if (seen != NULL && index < seen->count)
		seen->bits[index / 64] |= (uint64_t)1 << (index % 64);
}

bool ms_seen_has(const struct seen *seen, size_t index)
{
	return seen->all || (seen->bits[index / 64] >> (index % 64) & 1) != 0;
}

static bool seen_start(struct check *c, const struct json_value *v, struct seen *seen)
{
	seen->count = v->type == JSON_ARRAY ? v->array.count : v->type == JSON_OBJECT ? v->object.count : 0;
	seen->all = false;
	seen->bits = MS_ARENA_ARRAY(c->arena, uint64_t, seen->count / 64 + 1);
	if (seen->bits == NULL)
		return ms_check_stop(c, MS_ERR_NO_MEMORY, "no memory to check the value");
	return ms_check_step(c, seen->count / 64);
}

static void seen_join(struct seen *into, const struct seen *from)
{
	into->all |= from->all;
	for (size_t i = 0; i < into->count / 64 + 1; i++)
		into->bits[i] |= from->bits[i];
}

// --- The walk ---------------------------------------------------------------------------------------------------

static bool run_ops(struct check *c, const struct node *node, const struct json_value *v, const struct path *path,
		    const struct scope *scope, struct seen *seen)
{
	bool valid = true;
	for (size_t i = 0; i < node->op_count; i++) {
		const struct op *op = &node->ops[i];
		valid &= op->run(c, op, v, path, scope, seen);
		if (ms_check_enough(c, valid))
			break;
	}
	return valid && c->err == MS_OK;
}

bool ms_check_node(struct check *c, const struct node *node, const struct json_value *v, const struct path *path,
		   const struct scope *scope, struct seen *seen, const char *keyword)
{
	if (!ms_check_step(c, 1 + node->op_count))
		return false;
	if (node->never)
		return ms_check_found(c, path, keyword, "%s",
				      strcmp(keyword, "not") == 0 ? "is not allowed" : "nothing may be here");
	if (node->op_count == 0)
		return true;
	if (c->depth >= MS_CHECK_DEPTH)
		return ms_check_stop(c, MS_ERR_LIMIT, "value and schema go too deep into each other");
	struct scope entered = {.parent = scope, .resource = node->resource};
	if (scope == NULL || scope->resource != node->resource)
		scope = &entered;
	struct seen own;
	bool tracks = node->wants_seen || seen != NULL;
	if (tracks && !seen_start(c, v, &own))
		return false;
	c->depth++;
	bool valid = run_ops(c, node, v, path, scope, tracks ? &own : NULL);
	c->depth--;
	if (valid && seen != NULL)
		seen_join(seen, &own);
	return valid;
}

bool ms_check_quiet(struct check *c, const struct node *node, const struct json_value *v, const struct path *path,
		    const struct scope *scope, struct seen *seen)
{
	c->quiet++;
	bool valid = ms_check_node(c, node, v, path, scope, seen, "");
	c->quiet--;
	return valid;
}

bool ms_check_ref(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		  const struct scope *scope, struct seen *seen)
{
	return ms_check_node(c, op->node, v, path, scope, seen, op->keyword);
}

// The outermost resource that has the anchor, too.
bool ms_check_dynamic_ref(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
			  const struct scope *scope, struct seen *seen)
{
	const struct node *node = op->dynamic.node;
	size_t steps = 0;
	for (const struct scope *s = scope; op->dynamic.dynamic && s != NULL; s = s->parent, steps++) {
		if (op->dynamic.name.p == NULL && s->resource->root_node != NULL)
			node = s->resource->root_node;
		for (const struct anchor *a = s->resource->anchors; op->dynamic.name.p != NULL && a != NULL;
		     a = a->next, steps++) {
			if (a->dynamic && a->node != NULL && ms_slice_eq(a->name, op->dynamic.name))
				node = a->node;
		}
	}
	return ms_check_step(c, steps / 4) && ms_check_node(c, node, v, path, scope, seen, op->keyword);
}

bool ms_check_all_of(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		     const struct scope *scope, struct seen *seen)
{
	bool valid = true;
	for (size_t i = 0; i < op->nodes.count && !ms_check_enough(c, valid); i++)
		valid &= ms_check_node(c, op->nodes.items[i], v, path, scope, seen, op->keyword);
	return valid;
}

bool ms_check_any_of(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		     const struct scope *scope, struct seen *seen)
{
	bool valid = false;
	// All are asked only when it matters what they look at.
	for (size_t i = 0; i < op->nodes.count && c->err == MS_OK && (!valid || seen != NULL); i++)
		valid |= ms_check_quiet(c, op->nodes.items[i], v, path, scope, seen);
	if (op->nodes.count == 1 && !valid && c->err == MS_OK) // then its own words say more
		return ms_check_node(c, op->nodes.items[0], v, path, scope, NULL, op->keyword);
	char shown[MS_SHOWN_SIZE];
	return valid || ms_check_found(c, path, op->keyword, "%s fits none of the %zu alternatives",
				       ms_value_shown(v, shown), op->nodes.count);
}

bool ms_check_one_of(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		     const struct scope *scope, struct seen *seen)
{
	size_t fits = 0, first = 0, second = 0;
	for (size_t i = 0; i < op->nodes.count && c->err == MS_OK && fits < 2; i++) {
		if (ms_check_quiet(c, op->nodes.items[i], v, path, scope, seen)) {
			*(fits == 0 ? &first : &second) = i;
			fits++;
		}
	}
	char shown[MS_SHOWN_SIZE];
	if (fits == 0 && c->err == MS_OK)
		return ms_check_found(c, path, op->keyword, "%s fits none of the %zu alternatives, must fit one",
				      ms_value_shown(v, shown), op->nodes.count);
	return fits == 1 ||
	       ms_check_found(c, path, op->keyword, "fits alternatives %zu and %zu, must fit one only", first, second);
}

bool ms_check_not(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		  const struct scope *scope, struct seen *seen)
{
	(void)seen;
	bool fits = ms_check_quiet(c, op->node, v, path, scope, NULL);
	char shown[MS_SHOWN_SIZE];
	return c->err == MS_OK &&
	       (!fits || ms_check_found(c, path, op->keyword, "%s is what must not be here", ms_value_shown(v, shown)));
}

bool ms_check_if(struct check *c, const struct op *op, const struct json_value *v, const struct path *path,
		 const struct scope *scope, struct seen *seen)
{
	bool fits = ms_check_quiet(c, op->branch.condition, v, path, scope, seen);
	const struct node *next = fits ? op->branch.then : op->branch.otherwise;
	if (c->err != MS_OK)
		return false;
	return next == NULL || ms_check_node(c, next, v, path, scope, seen, fits ? "then" : "else");
}

enum ms_err ms_schema_check(const struct schema *schema, const struct json_value *value, size_t steps, size_t max,
			    struct arena *arena, struct errinfo *info, struct schema_finding **ret_findings,
			    size_t *ret_count)
{
	struct check c = {
		.arena = arena, .info = info, .steps = steps > 0 ? steps : DEFAULT_STEPS, .max = max > 0 ? max : 1};
	struct path top = {0};
	bool valid = ms_check_node(&c, schema->root, value, &top, NULL, NULL, "false");
	if (c.err != MS_OK)
		return c.err;
	MS_ASSERT(valid == (c.found_count == 0));
	struct schema_finding *findings = MS_ARENA_ARRAY(arena, struct schema_finding, c.found_count);
	if (findings == NULL)
		return ms_fail(info, MS_ERR_NO_MEMORY, "no memory for what was found");
	if (c.found_count > 1)
		qsort(c.found, c.found_count, sizeof(*c.found), cmp_found);
	for (size_t i = 0; i < c.found_count; i++)
		findings[i] = c.found[i].finding;
	*ret_findings = findings;
	*ret_count = c.found_count;
	return MS_OK;
}
