// SPDX-License-Identifier: Apache-2.0
// libyaml gives events; the tree is built here, with a stack of open collections in place of recursion. What an alias stands for is shared, not
// copied, but counted as if it were: whoever walks the tree meets no more than limits.nodes values.
#include "yaml/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "yaml/scalar.h"

#define DEPTH_MAX 64
#define ANCHORS_MAX 1000
#define ANCHOR_NAME_MAX 128

// A value that waits for its collection to end; of a mapping with its key.
struct item {
	struct slice key;
	struct json_value value;
	int64_t line, key_line;
	size_t order;
	bool merge; // key "<<": the members of the value join the mapping
};

struct frame {
	bool mapping, has_key, merge;
	struct slice key;
	int64_t key_line, line;
	size_t first;       // of the stack of items
	size_t nodes;       // counted before this collection
	unsigned deepest;   // levels below this collection
	const char *anchor; // in the arena, or NULL
};

struct anchor {
	struct json_value value;
	size_t nodes;
	unsigned levels;
};

struct line_entry {
	const struct json_value *value;
	int64_t line;
};

struct yaml_lines {
	const struct line_entry *entries; // by address
	size_t count;
};

struct builder {
	yaml_parser_t parser;
	struct slice text;
	struct yaml_limits limits;
	struct arena *arena;
	struct errinfo *info;
	struct item *items;
	size_t item_count, item_room;
	struct line_entry *lines;
	size_t line_count, line_room;
	struct frame frames[DEPTH_MAX];
	unsigned depth;
	size_t nodes;
	struct map anchors;
	struct json_value root;
	int64_t root_line;
	bool has_root;
};

// --- Errors ----------------------------------------------------------------------------------------

#define FAIL(b, at_line, code, ...) \
	((b)->info != NULL ? (void)((b)->info->line = (at_line)) : (void)0, ms_fail((b)->info, (code), __VA_ARGS__))

static enum ms_err no_memory(struct builder *b)
{
	return ms_fail(b->info, MS_ERR_NO_MEMORY, "Not enough memory for a YAML document of %zu bytes.", b->text.n);
}

// True when the line starts with a tab, the most frequent slip.
static bool line_has_tab(struct slice text, size_t line)
{
	struct slice current = MS_SLICE_EMPTY;
	for (size_t i = 0; i <= line; i++) {
		if (!ms_slice_next(&text, '\n', &current))
			return false;
	}
	for (size_t i = 0; i < current.n && (current.p[i] == ' ' || current.p[i] == '\t'); i++) {
		if (current.p[i] == '\t')
			return true;
	}
	return false;
}

static enum ms_err syntax_error(struct builder *b)
{
	const yaml_parser_t *p = &b->parser;
	if (p->error == YAML_MEMORY_ERROR)
		return no_memory(b);
	const char *problem = p->problem != NULL ? p->problem : "not readable";
	const char *context = p->context != NULL ? p->context : "";
	size_t line = p->problem_mark.line, column = p->problem_mark.column;
	if (p->error == YAML_READER_ERROR) { // a byte that is no text has an offset in place of a mark
		struct slice before = ms_slice_sub(b->text, 0, p->problem_offset);
		line = column = 0;
		for (size_t i = 0; i < before.n; i++) {
			line += before.p[i] == '\n';
			column = before.p[i] == '\n' ? 0 : column + 1;
		}
	}
	return FAIL(b, (int64_t)line + 1, MS_ERR_CONFIG, "not valid YAML: %s%s%s (column %zu)%s", context,
		    context[0] != '\0' ? ": " : "", problem, column + 1,
		    line_has_tab(b->text, line) ? "; indent with spaces, not with tabs" : "");
}

// --- Stacks ----------------------------------------------------------------------------------------

// Room for one more in a malloc'd array of at most limits.nodes items.
static bool grow(void **items, size_t item_size, size_t count, size_t *room)
{
	if (count < *room)
		return true;
	size_t new_room = *room == 0 ? 64 : *room * 2, bytes;
	if (MS_MUL_OVERFLOWS(new_room, item_size, &bytes))
		return false;
	void *bigger = realloc(*items, bytes);
	if (bigger == NULL)
		return false;
	*items = bigger;
	*room = new_room;
	return true;
}

static bool note_line(struct builder *b, const struct json_value *value, int64_t line)
{
	if (!grow((void **)&b->lines, sizeof(b->lines[0]), b->line_count, &b->line_room))
		return false;
	b->lines[b->line_count++] = (struct line_entry){value, line};
	return true;
}

// --- Keys ------------------------------------------------------------------------------------------

static int by_key(const void *a, const void *b)
{
	const struct item *left = a, *right = b;
	int order = ms_slice_cmp(left->key, right->key);
	return order != 0 ? order : (left->order > right->order) - (left->order < right->order);
}

static int by_order(const void *a, const void *b)
{
	const struct item *left = a, *right = b;
	return (left->order > right->order) - (left->order < right->order);
}

// The members of what stands under "<<" are put behind the mapping's own, which win.
static enum ms_err add_merged(struct builder *b, const struct json_value *value, int64_t line)
{
	if (value->type != JSON_OBJECT)
		return FAIL(b, line, MS_ERR_CONFIG, "\"<<\" takes a mapping or a list of mappings; found %s",
			    ms_json_type_name(value->type));
	for (size_t i = 0; i < value->object.count; i++) {
		const struct json_member *m = &value->object.members[i];
		if (!grow((void **)&b->items, sizeof(b->items[0]), b->item_count, &b->item_room))
			return no_memory(b);
		if (b->item_count >= b->limits.nodes)
			return FAIL(b, line, MS_ERR_LIMIT, "more than %zu values", b->limits.nodes);
		b->items[b->item_count] =
			(struct item){.key = m->key, .value = m->value, .line = line, .key_line = line, .merge = true};
		b->item_count++;
	}
	return MS_OK;
}

static enum ms_err expand_merges(struct builder *b, size_t first)
{
	size_t kept = first, end = b->item_count;
	struct item merges[16];
	size_t merge_count = 0;
	for (size_t i = first; i < end; i++) {
		if (!b->items[i].merge) {
			b->items[kept++] = b->items[i];
			continue;
		}
		if (merge_count == MS_ARRAY_LEN(merges))
			return FAIL(b, b->items[i].key_line, MS_ERR_LIMIT, "more than %zu times \"<<\" in one mapping",
				    MS_ARRAY_LEN(merges));
		merges[merge_count++] = b->items[i];
	}
	b->item_count = kept;
	for (size_t m = 0; m < merge_count; m++) {
		const struct json_value *value = &merges[m].value;
		if (value->type != JSON_ARRAY) {
			MS_TRY(add_merged(b, value, merges[m].key_line));
			continue;
		}
		for (size_t i = 0; i < value->array.count; i++)
			MS_TRY(add_merged(b, &value->array.items[i], merges[m].key_line));
	}
	return MS_OK;
}

// Sorted by key, so that any number of keys costs no more than a sort: duplicates are refused, merged ones give way.
static enum ms_err check_keys(struct builder *b, size_t first)
{
	bool merges = false;
	for (size_t i = first; i < b->item_count; i++)
		merges |= b->items[i].merge;
	if (merges)
		MS_TRY(expand_merges(b, first));
	for (size_t i = first; i < b->item_count; i++)
		b->items[i].order = i;
	if (b->item_count - first < 2)
		return MS_OK;
	struct item *items = &b->items[first];
	size_t count = b->item_count - first, kept = 1;
	qsort(items, count, sizeof(items[0]), by_key);
	for (size_t i = 1; i < count; i++) {
		const struct item *before = &items[kept - 1];
		if (!ms_slice_eq(before->key, items[i].key)) {
			items[kept++] = items[i];
		} else if (!items[i].merge) {
			return FAIL(b, items[i].key_line, MS_ERR_CONFIG,
				    "the key \"%.*s\" stands twice; the first time in line %lld",
				    MS_SLICE_ARG(ms_slice_sub(items[i].key, 0, 64)), (long long)before->key_line);
		}
	}
	b->item_count = first + kept;
	qsort(items, kept, sizeof(items[0]), by_order);
	return MS_OK;
}

// --- Building --------------------------------------------------------------------------------------

static enum ms_err count_nodes(struct builder *b, size_t n, int64_t line)
{
	if (n > b->limits.nodes - b->nodes)
		return FAIL(b, line, MS_ERR_LIMIT, "more than %zu values, aliases counted as often as they are used",
			    b->limits.nodes);
	b->nodes += n;
	return MS_OK;
}

// A finished value goes to the open collection, or is the document.
static enum ms_err put(struct builder *b, struct json_value value, int64_t line, unsigned levels)
{
	if (b->depth == 0) {
		b->root = value;
		b->root_line = line;
		b->has_root = true;
		return MS_OK;
	}
	struct frame *f = &b->frames[b->depth - 1];
	if (!grow((void **)&b->items, sizeof(b->items[0]), b->item_count, &b->item_room))
		return no_memory(b);
	b->items[b->item_count++] =
		(struct item){.key = f->key, .value = value, .line = line, .key_line = f->key_line, .merge = f->merge};
	f->has_key = f->merge = false;
	f->deepest = MS_MAX(f->deepest, levels);
	return MS_OK;
}

static enum ms_err set_anchor(struct builder *b, const char *name, struct json_value value, size_t nodes,
			      unsigned levels, int64_t line)
{
	if (name == NULL)
		return MS_OK;
	struct anchor *anchor = MS_ARENA_NEW(b->arena, struct anchor);
	if (anchor == NULL)
		return no_memory(b);
	*anchor = (struct anchor){value, nodes, levels};
	if (b->anchors.count >= ANCHORS_MAX)
		return FAIL(b, line, MS_ERR_LIMIT, "more than %d anchors", ANCHORS_MAX);
	return ms_map_put(&b->anchors, ms_slice_cstr(name), anchor, NULL) ? MS_OK : no_memory(b);
}

// A name that is given anew stops meaning the older value at once, so that nothing can hold itself.
static enum ms_err copy_anchor(struct builder *b, const yaml_char_t *name, int64_t line, const char **ret_name)
{
	*ret_name = NULL;
	if (name == NULL)
		return MS_OK;
	struct slice text = ms_slice_cstr((const char *)name);
	if (text.n > ANCHOR_NAME_MAX)
		return FAIL(b, line, MS_ERR_LIMIT, "the name of an anchor has more than %d bytes", ANCHOR_NAME_MAX);
	ms_map_remove(&b->anchors, text);
	*ret_name = ms_arena_cstr(b->arena, text);
	return *ret_name != NULL ? MS_OK : no_memory(b);
}

static bool key_is_next(const struct builder *b)
{
	return b->depth > 0 && b->frames[b->depth - 1].mapping && !b->frames[b->depth - 1].has_key;
}

static enum ms_err take_scalar(struct builder *b, const yaml_event_t *event, int64_t line)
{
	struct slice text = ms_arena_copy(b->arena, ms_slice(event->data.scalar.value, event->data.scalar.length));
	if (text.p == NULL)
		return no_memory(b);
	bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	const char *tag = (const char *)event->data.scalar.tag;
	if (key_is_next(b)) {
		struct frame *f = &b->frames[b->depth - 1];
		if (event->data.scalar.anchor != NULL ||
		    (tag != NULL && strcmp(tag, "tag:yaml.org,2002:str") != 0 && strcmp(tag, "!") != 0))
			return FAIL(b, line, MS_ERR_CONFIG,
				    "an anchor or a tag stands before a key; expected the key alone");
		f->key = text;
		f->key_line = line;
		f->has_key = true;
		f->merge = plain && tag == NULL && ms_slice_eq_cstr(text, "<<");
		return MS_OK;
	}
	const char *anchor;
	MS_TRY(copy_anchor(b, event->data.scalar.anchor, line, &anchor));
	MS_TRY(count_nodes(b, 1, line));
	struct json_value value;
	char problem[160];
	enum ms_err err = ms_yaml_scalar(text, plain, tag, b->arena, problem, sizeof(problem), &value);
	if (err != MS_OK)
		return err == MS_ERR_NO_MEMORY ? no_memory(b) : FAIL(b, line, err, "%s", problem);
	MS_TRY(set_anchor(b, anchor, value, 1, 0, line));
	return put(b, value, line, 0);
}

static enum ms_err take_alias(struct builder *b, const yaml_event_t *event, int64_t line)
{
	struct slice name = ms_slice_cstr((const char *)event->data.alias.anchor);
	if (key_is_next(b))
		return FAIL(b, line, MS_ERR_CONFIG, "an alias stands where a key is expected");
	const struct anchor *anchor = ms_map_get(&b->anchors, name);
	if (anchor == NULL)
		return FAIL(b, line, MS_ERR_CONFIG, "*%.*s: no anchor of that name is complete before this line",
			    MS_SLICE_ARG(ms_slice_sub(name, 0, 64)));
	if (b->depth + anchor->levels > b->limits.depth)
		return FAIL(b, line, MS_ERR_LIMIT, "nested deeper than %u levels", b->limits.depth);
	MS_TRY(count_nodes(b, anchor->nodes, line));
	return put(b, anchor->value, line, anchor->levels);
}

static enum ms_err open_collection(struct builder *b, const yaml_event_t *event, int64_t line)
{
	bool mapping = event->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *name = mapping ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
	const char *tag = (const char *)(mapping ? event->data.mapping_start.tag : event->data.sequence_start.tag);
	if (key_is_next(b))
		return FAIL(b, line, MS_ERR_CONFIG, "a key is %s; expected text", mapping ? "a mapping" : "a list");
	if (tag != NULL && strcmp(tag, mapping ? "tag:yaml.org,2002:map" : "tag:yaml.org,2002:seq") != 0)
		return FAIL(b, line, MS_ERR_CONFIG, "the tag %.64s is not supported; write the value without it", tag);
	if (b->depth >= b->limits.depth)
		return FAIL(b, line, MS_ERR_LIMIT, "nested deeper than %u levels", b->limits.depth);
	const char *anchor;
	MS_TRY(copy_anchor(b, name, line, &anchor));
	MS_TRY(count_nodes(b, 1, line));
	b->frames[b->depth++] = (struct frame){
		.mapping = mapping, .line = line, .first = b->item_count, .nodes = b->nodes - 1, .anchor = anchor};
	return MS_OK;
}

static enum ms_err build_mapping(struct builder *b, const struct frame *f, struct json_value *ret_value)
{
	MS_TRY(check_keys(b, f->first));
	size_t count = b->item_count - f->first;
	struct json_member *members = MS_ARENA_ARRAY(b->arena, struct json_member, count);
	if (members == NULL)
		return no_memory(b);
	for (size_t i = 0; i < count; i++) {
		const struct item *item = &b->items[f->first + i];
		members[i] = (struct json_member){item->key, item->value};
		if (!note_line(b, &members[i].value, item->line))
			return no_memory(b);
	}
	*ret_value = (struct json_value){.type = JSON_OBJECT, .object = {members, count}};
	return MS_OK;
}

static enum ms_err build_list(struct builder *b, const struct frame *f, struct json_value *ret_value)
{
	size_t count = b->item_count - f->first;
	struct json_value *items = MS_ARENA_ARRAY(b->arena, struct json_value, count);
	if (items == NULL)
		return no_memory(b);
	for (size_t i = 0; i < count; i++) {
		items[i] = b->items[f->first + i].value;
		if (!note_line(b, &items[i], b->items[f->first + i].line))
			return no_memory(b);
	}
	*ret_value = (struct json_value){.type = JSON_ARRAY, .array = {items, count}};
	return MS_OK;
}

static enum ms_err close_collection(struct builder *b)
{
	MS_ASSERT(b->depth > 0);
	struct frame f = b->frames[b->depth - 1];
	struct json_value value;
	size_t own = b->item_count - f.first;
	MS_TRY(f.mapping ? build_mapping(b, &f, &value) : build_list(b, &f, &value));
	// Merged members are counted with what they were merged from; shared twice they would not be.
	if (f.mapping && value.object.count > own)
		MS_TRY(count_nodes(b, value.object.count - own, f.line));
	b->item_count = f.first;
	b->depth--;
	MS_TRY(set_anchor(b, f.anchor, value, b->nodes - f.nodes, f.deepest + 1, f.line));
	return put(b, value, f.line, f.deepest + 1);
}

static enum ms_err take_event(struct builder *b, const yaml_event_t *event)
{
	int64_t line = (int64_t)event->start_mark.line + 1;
	switch ((int)event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return b->has_root ? FAIL(b, line, MS_ERR_CONFIG, "a second document starts here; expected one")
				   : MS_OK;
	case YAML_SCALAR_EVENT:
		return take_scalar(b, event, line);
	case YAML_ALIAS_EVENT:
		return take_alias(b, event, line);
	case YAML_MAPPING_START_EVENT:
	case YAML_SEQUENCE_START_EVENT:
		return open_collection(b, event, line);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		return close_collection(b);
	default:
		return MS_OK;
	}
}

static enum ms_err read_all(struct builder *b)
{
	while (true) {
		yaml_event_t event;
		if (yaml_parser_parse(&b->parser, &event) == 0)
			return syntax_error(b);
		bool end = event.type == YAML_STREAM_END_EVENT;
		enum ms_err err = take_event(b, &event);
		yaml_event_delete(&event);
		if (err != MS_OK || end)
			return err;
	}
}

// --- Lines -----------------------------------------------------------------------------------------

static int by_address(const void *a, const void *b)
{
	uintptr_t left = (uintptr_t)((const struct line_entry *)a)->value,
		  right = (uintptr_t)((const struct line_entry *)b)->value;
	return (left > right) - (left < right);
}

static enum ms_err finish(struct builder *b, const struct json_value **ret_value, struct yaml_lines **ret_lines)
{
	struct json_value *root = MS_ARENA_NEW(b->arena, struct json_value);
	if (root == NULL)
		return no_memory(b);
	*root = b->has_root ? b->root : (struct json_value){.type = JSON_NULL};
	if (ret_lines != NULL) {
		struct yaml_lines *lines = MS_ARENA_NEW(b->arena, struct yaml_lines);
		struct line_entry *entries = MS_ARENA_ARRAY(b->arena, struct line_entry, b->line_count + 1);
		if (lines == NULL || entries == NULL)
			return no_memory(b);
		if (b->line_count > 0)
			memcpy(entries, b->lines, b->line_count * sizeof(entries[0]));
		entries[b->line_count] = (struct line_entry){root, b->has_root ? b->root_line : 1};
		qsort(entries, b->line_count + 1, sizeof(entries[0]), by_address);
		*lines = (struct yaml_lines){entries, b->line_count + 1};
		*ret_lines = lines;
	}
	*ret_value = root;
	return MS_OK;
}

int64_t ms_yaml_line(const struct yaml_lines *lines, const struct json_value *value)
{
	if (lines == NULL || value == NULL)
		return -1;
	struct line_entry wanted = {value, 0};
	const struct line_entry *hit =
		lines->count == 0 ? NULL : bsearch(&wanted, lines->entries, lines->count, sizeof(wanted), by_address);
	return hit != NULL ? hit->line : -1;
}

static size_t count_values(const struct json_value *value)
{
	size_t n = 1;
	for (size_t i = 0; value->type == JSON_ARRAY && i < value->array.count; i++)
		n += count_values(&value->array.items[i]);
	for (size_t i = 0; value->type == JSON_OBJECT && i < value->object.count; i++)
		n += count_values(&value->object.members[i].value);
	return n;
}

struct copier {
	const struct yaml_lines *from;
	struct arena *arena;
	struct line_entry *entries;
	size_t count;
};

static bool copy_value(struct copier *c, const struct json_value *from, struct json_value *to);

static bool copy_members(struct copier *c, const struct json_value *from, struct json_value *to)
{
	struct json_member *members = MS_ARENA_ARRAY(c->arena, struct json_member, from->object.count);
	if (members == NULL)
		return false;
	for (size_t i = 0; i < from->object.count; i++) {
		members[i].key = ms_arena_copy(c->arena, from->object.members[i].key);
		if (members[i].key.p == NULL || !copy_value(c, &from->object.members[i].value, &members[i].value))
			return false;
	}
	to->object.members = members;
	return true;
}

static bool copy_items(struct copier *c, const struct json_value *from, struct json_value *to)
{
	struct json_value *items = MS_ARENA_ARRAY(c->arena, struct json_value, from->array.count);
	if (items == NULL)
		return false;
	for (size_t i = 0; i < from->array.count; i++) {
		if (!copy_value(c, &from->array.items[i], &items[i]))
			return false;
	}
	to->array.items = items;
	return true;
}

static bool copy_value(struct copier *c, const struct json_value *from, struct json_value *to)
{
	*to = *from;
	if (c->entries != NULL)
		c->entries[c->count++] = (struct line_entry){to, ms_yaml_line(c->from, from)};
	if (from->type == JSON_OBJECT)
		return copy_members(c, from, to);
	if (from->type == JSON_ARRAY)
		return copy_items(c, from, to);
	if (from->type == JSON_STRING || from->type == JSON_NUMBER) {
		to->str = ms_arena_copy(c->arena, from->str);
		return to->str.p != NULL;
	}
	return true;
}

bool ms_yaml_copy(const struct json_value *value, const struct yaml_lines *lines, struct arena *arena,
		  const struct json_value **ret_value, struct yaml_lines **ret_lines)
{
	struct copier c = {.from = lines, .arena = arena};
	struct json_value *root = MS_ARENA_NEW(arena, struct json_value);
	struct yaml_lines *copied = MS_ARENA_NEW(arena, struct yaml_lines);
	if (root == NULL || copied == NULL)
		return false;
	if (lines != NULL) {
		c.entries = MS_ARENA_ARRAY(arena, struct line_entry, count_values(value));
		if (c.entries == NULL)
			return false;
	}
	if (!copy_value(&c, value, root))
		return false;
	if (c.count > 0)
		qsort(c.entries, c.count, sizeof(c.entries[0]), by_address);
	*copied = (struct yaml_lines){c.entries, c.count};
	*ret_value = root;
	*ret_lines = copied;
	return true;
}

enum ms_err ms_yaml_parse(struct slice text, const struct yaml_limits *limits, struct arena *arena,
			  struct errinfo *info, const struct json_value **ret_value, struct yaml_lines **ret_lines)
{
	struct builder b = {.text = text, .arena = arena, .info = info};
	b.limits = limits != NULL ? *limits : (struct yaml_limits){0};
	if (b.limits.bytes == 0)
		b.limits.bytes = (size_t)16 << 20;
	if (b.limits.depth == 0 || b.limits.depth > DEPTH_MAX)
		b.limits.depth = DEPTH_MAX;
	if (b.limits.nodes == 0)
		b.limits.nodes = 1000000;
	if (text.n > b.limits.bytes)
		return ms_fail(info, MS_ERR_LIMIT, "the text has %zu bytes; the limit is %zu", text.n, b.limits.bytes);
	if (ms_slice_starts_with(text, MS_SLICE_LIT("\xef\xbb\xbf"))) // the mark that some editors put in front
		text = b.text = ms_slice_sub(text, 3, SIZE_MAX);
	if (yaml_parser_initialize(&b.parser) == 0)
		return no_memory(&b);
	// Seed zero: at most ANCHORS_MAX entries, so that chosen collisions gain nothing.
	ms_map_init(&b.anchors, ANCHORS_MAX, (struct hash_seed){0});
	yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&b.parser, (const unsigned char *)(text.n > 0 ? text.p : ""), text.n);
	enum ms_err err = read_all(&b);
	if (err == MS_OK)
		err = finish(&b, ret_value, ret_lines);
	yaml_parser_delete(&b.parser);
	ms_map_fini(&b.anchors);
	free(b.items);
	free(b.lines);
	return err;
}
