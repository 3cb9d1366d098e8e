// SPDX-License-Identifier: Apache-2.0
// The settings file: one YAML document that is a mapping. libyaml gives events; no tree is built and nothing
// is expanded: aliases, anchors and tags are refused, so a small file cannot become large.
#include <stdio.h>
#include <yaml.h>

#include "config/internal.h"

// Mappings and sequences within each other. Settings need three; what is deeper is unknown anyway.
#define DEPTH_MAX 16
#define SECTIONS_MAX 64

struct section {
	const char *path; // in the arena
	int64_t line;
};

struct reader {
	struct loader *l;
	const char *name; // of the file, fit for a line of text
	yaml_parser_t parser;
	struct section sections[SECTIONS_MAX]; // opened so far
	size_t section_count;
};

static int64_t line_of(const yaml_event_t *event)
{
	return (int64_t)event->start_mark.line + 1;
}

static struct slice scalar_text(const yaml_event_t *event)
{
	return ms_slice(event->data.scalar.value, event->data.scalar.length);
}

static bool is_plain(const yaml_event_t *event)
{
	return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
}

// Nothing where a value could be: "key:" and "key: ~".
static bool is_nothing(const yaml_event_t *event)
{
	const char *type =
		event->type == YAML_SCALAR_EVENT && is_plain(event) ? ms_setting_plain_type(scalar_text(event)) : NULL;
	return type != NULL && strcmp(type, "nothing") == 0;
}

// True when the line of the problem starts with a tab, the most frequent slip.
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

static void syntax_problem(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	if (p->error == YAML_MEMORY_ERROR) {
		ms_loader_no_memory(r->l);
		return;
	}
	const char *problem = p->problem != NULL ? p->problem : "not readable";
	const char *context = p->context != NULL ? p->context : "";
	// A reader error (a byte that is no text) has an offset in place of a mark.
	struct slice before = ms_slice_sub(r->l->input->yaml, 0, p->problem_offset);
	size_t line = p->problem_mark.line, column = p->problem_mark.column;
	if (p->error == YAML_READER_ERROR) {
		line = column = 0;
		for (size_t i = 0; i < before.n; i++) {
			line += before.p[i] == '\n';
			column = before.p[i] == '\n' ? 0 : column + 1;
		}
	}
	const char *advice = line_has_tab(r->l->input->yaml, line) ? "; indent with spaces, not with tabs" : "";
	ms_loader_problem(r->l, MS_SLICE_EMPTY, (int64_t)line + 1, "%s:%zu: not valid YAML: %s%s%s (column %zu)%s",
			  r->name, line + 1, context, context[0] != '\0' ? ": " : "", problem, column + 1, advice);
}

// The next event, which the caller deletes; false at the end of what can be read.
static bool next_event(struct reader *r, yaml_event_t *event)
{
	if (r->l->stop)
		return false;
	if (yaml_parser_parse(&r->parser, event) == 0) {
		syntax_problem(r);
		return false;
	}
	return true;
}

static const char *node_name(const yaml_event_t *event)
{
	switch ((int)event->type) {
	case YAML_MAPPING_START_EVENT:
		return "a mapping";
	case YAML_SEQUENCE_START_EVENT:
		return "a sequence";
	case YAML_ALIAS_EVENT:
		return "an alias";
	default:
		return "a value";
	}
}

// Aliases, anchors and tags; true when the node has one (a problem was noted).
static bool refuse_extras(struct reader *r, const yaml_event_t *event)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	if (event->type == YAML_SCALAR_EVENT) {
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
	} else if (event->type == YAML_MAPPING_START_EVENT) {
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
	} else if (event->type == YAML_SEQUENCE_START_EVENT) {
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
	}
	const char *what = event->type == YAML_ALIAS_EVENT ? "an alias (*name)"
			   : anchor != NULL                ? "an anchor (&name)"
			   : tag != NULL                   ? "a tag (!name)"
							   : NULL;
	if (what != NULL)
		ms_loader_problem(r->l, MS_SLICE_EMPTY, line_of(event),
				  "%s:%lld: %s is not supported in settings; write the value out", r->name,
				  (long long)line_of(event), what);
	return what != NULL;
}

// Skips the rest of the node that `event` started. False when reading cannot go on.
static bool skip_node(struct reader *r, const yaml_event_t *start)
{
	size_t depth = start->type == YAML_MAPPING_START_EVENT || start->type == YAML_SEQUENCE_START_EVENT;
	while (depth > 0) {
		yaml_event_t event;
		if (!next_event(r, &event))
			return false;
		depth += event.type == YAML_MAPPING_START_EVENT || event.type == YAML_SEQUENCE_START_EVENT;
		depth -= event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
		int64_t line = line_of(&event);
		yaml_event_delete(&event);
		if (depth > DEPTH_MAX) {
			ms_loader_problem(r->l, MS_SLICE_EMPTY, line, "%s:%lld: nested deeper than %d levels", r->name,
					  (long long)line, DEPTH_MAX);
			return false;
		}
	}
	return true;
}

// --- Settings --------------------------------------------------------------------------------------

#define PLACE_MAX (CONFIG_KEY_MAX + 160)

// "mainstay.yaml:12: http.port"
static void write_place(const struct reader *r, size_t row, const yaml_event_t *event, char dst[PLACE_MAX])
{
	snprintf(dst, PLACE_MAX, "%.120s:%lld: %s", r->name, (long long)line_of(event),
		 r->l->config->table->rows[row].key);
}

// A scalar's YAML type must fit the kind of the setting; true when it does.
static bool check_type(struct reader *r, size_t row, const yaml_event_t *event)
{
	char place[PLACE_MAX];
	write_place(r, row, event, place);
	const struct setting_def *def = &r->l->config->table->rows[row];
	struct slice text = scalar_text(event), key = ms_slice_cstr(def->key);
	const char *type = is_plain(event) ? ms_setting_plain_type(text) : NULL;
	char expected[256];
	ms_setting_describe(def, expected);
	bool textual = def->kind == SETTING_STRING || def->kind == SETTING_SECRET || def->kind == SETTING_LIST;
	if (is_nothing(event)) {
		ms_loader_problem(r->l, key, line_of(event), "%s: has no value; expected %s%s", place, expected,
				  textual ? " (\"\" for empty), or no line at all" : ", or no line at all");
		return false;
	}
	if (textual && type != NULL) {
		struct slice shown = def->kind == SETTING_SECRET ? MS_SLICE_LIT("[hidden]") : ms_slice_sub(text, 0, 64);
		ms_loader_problem(r->l, key, line_of(event), "%s: %.*s without quotes is %s in YAML; write \"%.*s\"",
				  place, MS_SLICE_ARG(shown), type, MS_SLICE_ARG(shown));
		return false;
	}
	if (!is_plain(event) && (def->kind == SETTING_BOOL || def->kind == SETTING_INTEGER)) {
		struct slice shown = ms_slice_sub(text, 0, 64);
		ms_loader_problem(r->l, key, line_of(event),
				  "%s: \"%.*s\" in quotes is text; expected %s, without quotes", place,
				  MS_SLICE_ARG(shown), expected);
		return false;
	}
	return true;
}

// The items of a sequence whose start was read.
static bool read_items(struct reader *r, size_t row, int64_t line, const char *place, const char *source)
{
	struct slice items[CONFIG_LIST_MAX + 1];
	size_t count = 0;
	bool good = true;
	while (true) {
		yaml_event_t event;
		if (!next_event(r, &event))
			return false;
		bool go_on = true;
		bool end = event.type == YAML_SEQUENCE_END_EVENT;
		if (!end && refuse_extras(r, &event)) {
			good = false;
			go_on = skip_node(r, &event);
		} else if (!end && event.type != YAML_SCALAR_EVENT) {
			char item_place[PLACE_MAX];
			write_place(r, row, &event, item_place);
			ms_loader_problem(r->l, ms_slice_cstr(r->l->config->table->rows[row].key), line_of(&event),
					  "%s: found %s in the list; expected text", item_place, node_name(&event));
			good = false;
			go_on = skip_node(r, &event);
		} else if (!end && !check_type(r, row, &event)) {
			good = false;
		} else if (!end && count < MS_ARRAY_LEN(items)) {
			items[count] = ms_arena_copy(&r->l->config->arena, scalar_text(&event));
			if (items[count++].p == NULL) {
				ms_loader_no_memory(r->l);
				go_on = false;
			}
		}
		yaml_event_delete(&event);
		if (end)
			break;
		if (!go_on)
			return false;
	}
	if (good)
		ms_loader_set_items(r->l, row, items, count, line, place, source);
	return true;
}

// The value of a known setting; false when reading cannot go on.
static bool read_setting(struct reader *r, size_t row, int64_t key_line, const yaml_event_t *event)
{
	struct loader *l = r->l;
	const struct setting_def *def = &l->config->table->rows[row];
	struct slice key = ms_slice_cstr(def->key);
	if (l->lines[row] > 0) {
		ms_loader_problem(l, key, key_line, "%s:%lld: %s is set twice; the first time in line %lld", r->name,
				  (long long)key_line, def->key, (long long)l->lines[row]);
		return skip_node(r, event);
	}
	l->lines[row] = key_line;
	char place[PLACE_MAX];
	write_place(r, row, event, place);
	const char *source = ms_arena_printf(&l->config->arena, "%s:%lld", r->name, (long long)key_line);
	if (source == NULL) {
		ms_loader_no_memory(l);
		return false;
	}
	if (event->type == YAML_SEQUENCE_START_EVENT && def->kind == SETTING_LIST)
		return read_items(r, row, line_of(event), place, source);
	if (event->type != YAML_SCALAR_EVENT) {
		char expected[256];
		ms_setting_describe(def, expected);
		ms_loader_problem(l, key, line_of(event), "%s: found %s; expected %s", place, node_name(event),
				  expected);
		return skip_node(r, event);
	}
	if (check_type(r, row, event))
		ms_loader_set_text(l, row, scalar_text(event), line_of(event), place, source);
	return true;
}

// --- Sections --------------------------------------------------------------------------------------

static bool read_mapping(struct reader *r, struct slice prefix);

// A section's mapping may be opened once, so that no setting hides in a second place.
static bool open_section(struct reader *r, struct slice path, int64_t line)
{
	for (size_t i = 0; i < r->section_count; i++) {
		if (ms_slice_eq_cstr(path, r->sections[i].path)) {
			ms_loader_problem(r->l, path, line,
					  "%s:%lld: the section %.*s appears twice, the first time in line %lld; put "
					  "its settings together",
					  r->name, (long long)line, MS_SLICE_ARG(path), (long long)r->sections[i].line);
			return false;
		}
	}
	const char *copy = ms_arena_cstr(&r->l->config->arena, path);
	if (copy == NULL) {
		ms_loader_no_memory(r->l);
		return false;
	}
	MS_ASSERT(r->section_count < SECTIONS_MAX); // each section of the table once
	r->sections[r->section_count++] = (struct section){copy, line};
	return true;
}

static bool read_section(struct reader *r, struct slice path, int64_t key_line, const yaml_event_t *event)
{
	bool mapping = event->type == YAML_MAPPING_START_EVENT;
	if (!mapping && !is_nothing(event)) {
		ms_loader_problem(r->l, path, line_of(event),
				  "%s:%lld: %.*s is a section, found %s; expected its settings, indented, in the "
				  "lines below",
				  r->name, (long long)line_of(event), MS_SLICE_ARG(path), node_name(event));
		return skip_node(r, event);
	}
	if (!open_section(r, path, key_line))
		return skip_node(r, event);
	return mapping ? read_mapping(r, path) : true;
}

static bool read_value(struct reader *r, struct slice path, int64_t key_line)
{
	const struct setting_table *table = r->l->config->table;
	yaml_event_t event;
	if (!next_event(r, &event))
		return false;
	bool go_on;
	size_t row = ms_setting_find(table, path);
	if (refuse_extras(r, &event)) {
		go_on = skip_node(r, &event);
	} else if (row != SIZE_MAX) {
		go_on = read_setting(r, row, key_line, &event);
	} else if (ms_setting_is_section(table, path)) {
		go_on = read_section(r, path, key_line, &event);
	} else {
		char hint[CONFIG_HINT_MAX];
		ms_setting_hint_key(table, path, hint);
		ms_loader_problem(r->l, path, key_line, "%s:%lld: unknown setting \"%.*s\"%s", r->name,
				  (long long)key_line, MS_SLICE_ARG(path), hint);
		go_on = skip_node(r, &event);
	}
	yaml_event_delete(&event);
	return go_on;
}

// prefix.key in `dst`; false (a problem was noted) when it is too long for any key.
static bool join_path(struct reader *r, struct slice prefix, const yaml_event_t *event, char dst[CONFIG_KEY_MAX],
		      struct slice *ret_path)
{
	struct slice key = scalar_text(event);
	size_t dot = prefix.n > 0;
	if (prefix.n + dot + key.n >= CONFIG_KEY_MAX) {
		ms_loader_problem(r->l, MS_SLICE_EMPTY, line_of(event), "%s:%lld: unknown setting \"%.*s...\"", r->name,
				  (long long)line_of(event), (int)MS_MIN(key.n, (size_t)64), key.p);
		return false;
	}
	if (prefix.n > 0)
		memcpy(dst, prefix.p, prefix.n);
	dst[prefix.n] = '.';
	memcpy(dst + prefix.n + dot, key.p, key.n);
	*ret_path = ms_slice(dst, prefix.n + dot + key.n);
	return true;
}

// Skips the value that follows a key of no use.
static bool skip_value(struct reader *r)
{
	yaml_event_t event;
	if (!next_event(r, &event))
		return false;
	bool go_on = skip_node(r, &event);
	yaml_event_delete(&event);
	return go_on;
}

// The pairs of a mapping whose start was read. Recursion ends where the table has no deeper section.
static bool read_mapping(struct reader *r, struct slice prefix)
{
	while (true) {
		yaml_event_t event;
		if (!next_event(r, &event))
			return false;
		bool end = event.type == YAML_MAPPING_END_EVENT, go_on = true;
		char dst[CONFIG_KEY_MAX];
		struct slice path;
		int64_t line = line_of(&event);
		if (!end && refuse_extras(r, &event)) {
			go_on = skip_node(r, &event) && skip_value(r);
		} else if (!end && event.type != YAML_SCALAR_EVENT) {
			ms_loader_problem(r->l, MS_SLICE_EMPTY, line,
					  "%s:%lld: found %s where a setting's name is expected", r->name,
					  (long long)line, node_name(&event));
			go_on = skip_node(r, &event) && skip_value(r);
		} else if (!end) {
			go_on = join_path(r, prefix, &event, dst, &path) ? read_value(r, path, line) : skip_value(r);
		}
		yaml_event_delete(&event);
		if (end || !go_on)
			return end;
	}
}

// The one document; its root is a mapping or nothing.
static bool read_root(struct reader *r)
{
	yaml_event_t event;
	if (!next_event(r, &event))
		return false;
	bool go_on = true;
	if (refuse_extras(r, &event)) {
		go_on = skip_node(r, &event);
	} else if (event.type == YAML_MAPPING_START_EVENT) {
		go_on = read_mapping(r, MS_SLICE_EMPTY);
	} else if (!is_nothing(&event)) {
		ms_loader_problem(r->l, MS_SLICE_EMPTY, line_of(&event),
				  "%s:%lld: found %s; expected a mapping of settings, such as \"http.port: 8080\"",
				  r->name, (long long)line_of(&event), node_name(&event));
		go_on = skip_node(r, &event);
	}
	yaml_event_delete(&event);
	return go_on;
}

static void read_stream(struct reader *r)
{
	size_t documents = 0;
	while (true) {
		yaml_event_t event;
		if (!next_event(r, &event))
			return;
		yaml_event_type_t type = event.type;
		int64_t line = line_of(&event);
		yaml_event_delete(&event);
		if (type == YAML_STREAM_END_EVENT)
			return;
		if (type != YAML_DOCUMENT_START_EVENT)
			continue;
		if (documents++ > 0) {
			ms_loader_problem(r->l, MS_SLICE_EMPTY, line,
					  "%s:%lld: a second document starts here; the settings are one document",
					  r->name, (long long)line);
			return;
		}
		if (!read_root(r))
			return;
	}
}

void ms_config_read_yaml(struct loader *l)
{
	struct slice text = l->input->yaml;
	if (text.p == NULL)
		return;
	const char *name = l->input->yaml_name != NULL ? l->input->yaml_name : "settings file";
	struct reader r = {.l = l, .name = ms_setting_printable(&l->config->arena, ms_slice_cstr(name))};
	if (r.name == NULL) {
		ms_loader_no_memory(l);
		return;
	}
	if (text.n > CONFIG_YAML_MAX) {
		ms_loader_problem(l, MS_SLICE_EMPTY, 0, "%s: has %zu bytes; the limit is %zu", r.name, text.n,
				  CONFIG_YAML_MAX);
		return;
	}
	l->lines = MS_ARENA_ARRAY(&l->config->arena, int64_t, l->config->table->count);
	if (l->lines == NULL || yaml_parser_initialize(&r.parser) == 0) {
		ms_loader_no_memory(l);
		return;
	}
	if (ms_slice_starts_with(text, MS_SLICE_LIT("\xef\xbb\xbf"))) // the mark that some editors put in front
		text = ms_slice_sub(text, 3, SIZE_MAX);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text.p, text.n);
	read_stream(&r);
	yaml_parser_delete(&r.parser);
}
