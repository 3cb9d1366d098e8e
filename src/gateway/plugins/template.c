// SPDX-License-Identifier: Apache-2.0
// Values of the transformers with places for what the request says: $(headers.name), $(headers["name"]), $(query_params.name),
// $(uri_captures.name), $(uri_captures[1]), each with "or 'text'" behind it for when there is none. No other expressions: nothing is executed.
#include "gateway/plugins/plugins.h"

enum source { SOURCE_TEXT, SOURCE_HEADER, SOURCE_QUERY, SOURCE_CAPTURE };
struct part {
	enum source source;
	struct slice text; // the text, or a name
	uint64_t index;    // SOURCE_CAPTURE by number, from 1; 0: by name
	struct slice otherwise;
};
#define PARTS_MAX 64
struct gw_template {
	struct part *parts;
	size_t count;
};

static void skip_space(struct slice *s)
{
	while (s->n > 0 && (s->p[0] == ' ' || s->p[0] == '\t'))
		*s = ms_slice_sub(*s, 1, s->n);
}

static bool eat(struct slice *s, const char *word)
{
	if (!ms_slice_starts_with(*s, ms_slice_cstr(word)))
		return false;
	*s = ms_slice_sub(*s, strlen(word), s->n);
	return true;
}

static bool eat_quoted(struct slice *s, struct slice *ret_text)
{
	if (s->n < 2 || (s->p[0] != '"' && s->p[0] != '\''))
		return false;
	struct slice rest = ms_slice_sub(*s, 1, s->n);
	size_t end = ms_slice_find(rest, s->p[0]);
	if (end == rest.n)
		return false;
	*ret_text = ms_slice_sub(rest, 0, end);
	*s = ms_slice_sub(rest, end + 1, rest.n);
	return true;
}

static struct slice eat_name(struct slice *s)
{
	size_t n = 0;
	while (n < s->n && ((s->p[n] >= 'a' && s->p[n] <= 'z') || (s->p[n] >= 'A' && s->p[n] <= 'Z') ||
			    (s->p[n] >= '0' && s->p[n] <= '9') || s->p[n] == '_' || s->p[n] == '-'))
		n++;
	struct slice name = ms_slice_sub(*s, 0, n);
	*s = ms_slice_sub(*s, n, s->n);
	return name;
}

static bool read_key(struct slice *s, struct part *part)
{
	if (eat(s, ".")) {
		part->text = eat_name(s);
		return part->text.n > 0;
	}
	if (!eat(s, "["))
		return false;
	if (!eat_quoted(s, &part->text)) {
		struct slice digits = eat_name(s);
		if (part->source != SOURCE_CAPTURE || !ms_slice_to_u64(digits, &part->index) || part->index == 0 ||
		    part->index > MS_HTTP_MAX_PARAMS)
			return false;
	}
	return eat(s, "]");
}

// What stands between "$(" and ")".
static bool read_expression(struct slice s, struct part *ret_part)
{
	struct part part = {.otherwise = MS_SLICE_LIT("")};
	skip_space(&s);
	if (eat(&s, "headers"))
		part.source = SOURCE_HEADER;
	else if (eat(&s, "query_params"))
		part.source = SOURCE_QUERY;
	else if (eat(&s, "uri_captures"))
		part.source = SOURCE_CAPTURE;
	else
		return false;
	if (!read_key(&s, &part))
		return false;
	skip_space(&s);
	if (eat(&s, "or")) {
		skip_space(&s);
		if (!eat_quoted(&s, &part.otherwise))
			return false;
		skip_space(&s);
	}
	*ret_part = part;
	return s.n == 0;
}

// The end of the expression: the first ')' outside of quotes.
static size_t expression_end(struct slice s)
{
	char quote = '\0';
	for (size_t i = 0; i < s.n; i++) {
		if (quote != '\0')
			quote = s.p[i] == quote ? '\0' : quote;
		else if (s.p[i] == '"' || s.p[i] == '\'')
			quote = s.p[i];
		else if (s.p[i] == ')')
			return i;
	}
	return s.n;
}

static const struct gw_template *wrong(struct problems *problems, const char *path, struct slice text)
{
	ms_problem_add(problems, path, NULL,
		       "\"%.*s\": expected text with $(headers.NAME), $(query_params.NAME) or $(uri_captures.NAME), "
		       "each with \"or 'text'\" behind it or not",
		       MS_SLICE_ARG(text));
	return NULL;
}

const struct gw_template *ms_gw_template_compile(struct plan *plan, struct slice text, const char *path,
						 struct problems *problems)
{
	struct part parts[PARTS_MAX];
	size_t count = 0, plain = 0;
	for (size_t i = 0; i < text.n;) {
		if (text.p[i] != '$' || i + 1 >= text.n || text.p[i + 1] != '(') {
			i++;
			continue;
		}
		struct slice inner = ms_slice_sub(text, i + 2, text.n);
		size_t end = expression_end(inner);
		if (count + 3 > PARTS_MAX || end == inner.n)
			return wrong(problems, path, text);
		if (i > plain)
			parts[count++] = (struct part){.text = ms_slice_sub(text, plain, i - plain)};
		if (!read_expression(ms_slice_sub(inner, 0, end), &parts[count++]))
			return wrong(problems, path, text);
		i += 2 + end + 1;
		plain = i;
	}
	if (plain < text.n || count == 0)
		parts[count++] = (struct part){.text = ms_slice_sub(text, plain, text.n)};
	struct gw_template *t = MS_ARENA_NEW(&plan->arena, struct gw_template);
	if (t != NULL)
		t->parts = MS_ARENA_ARRAY(&plan->arena, struct part, count);
	if (t == NULL || t->parts == NULL) {
		ms_problem_add(problems, path, NULL, "there is no memory for it");
		return NULL;
	}
	memcpy(t->parts, parts, count * sizeof(*parts));
	t->count = count;
	return t;
}

// --- Filling in ----------------------------------------------------------------------------------------------

// By its name, or with '-' for '_', as Lua's names have it.
static struct slice header_value(struct gw_request *r, struct slice name)
{
	struct slice value = ms_gw_header(&r->out.headers, name);
	if (value.p != NULL || ms_slice_find(name, '_') == name.n)
		return value;
	char *dashed = ms_arena_alloc(r->arena, name.n);
	if (dashed == NULL)
		return MS_SLICE_EMPTY;
	for (size_t i = 0; i < name.n; i++)
		dashed[i] = name.p[i] == '_' ? '-' : name.p[i];
	return ms_gw_header(&r->out.headers, ms_slice(dashed, name.n));
}

static struct slice capture_value(const struct gw_request *r, const struct part *part)
{
	for (size_t i = 0; i < r->match.capture_count; i++) {
		if (part->index > 0 ? i + 1 == part->index : ms_slice_eq(r->match.capture_names[i], part->text))
			return r->match.captures[i];
	}
	return MS_SLICE_EMPTY;
}

static struct slice query_value(struct gw_request *r, struct slice name)
{
	struct gw_args args;
	if (r->out.query.n == 0 || !ms_gw_args_read(r, r->out.query, &args))
		return MS_SLICE_EMPTY;
	const struct gw_arg *arg = ms_gw_args_get(&args, name, NULL);
	return arg != NULL ? arg->value : MS_SLICE_EMPTY;
}

static struct slice value_of(struct gw_request *r, const struct part *part)
{
	switch (part->source) {
	case SOURCE_HEADER:
		return header_value(r, part->text);
	case SOURCE_QUERY:
		return query_value(r, part->text);
	case SOURCE_CAPTURE:
		return capture_value(r, part);
	case SOURCE_TEXT:
	default:
		return part->text;
	}
}

bool ms_gw_template_fill(struct gw_request *r, const struct gw_template *t, bool escape, struct slice *ret_text)
{
	struct buf text;
	if (t->count == 1 && t->parts[0].source == SOURCE_TEXT) {
		*ret_text = t->parts[0].text;
		return true;
	}
	ms_buf_init(&text, 65536);
	for (size_t i = 0; i < t->count; i++) {
		const struct part *part = &t->parts[i];
		struct slice value = value_of(r, part);
		if (value.n == 0 && part->source != SOURCE_TEXT)
			value = part->otherwise;
		if (escape && part->source != SOURCE_TEXT)
			ms_gw_percent_append(&text, value, true);
		else
			ms_buf_append_slice(&text, value);
	}
	struct slice copy = ms_buf_ok(&text) ? ms_arena_copy(r->arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	if (copy.p == NULL)
		return false;
	*ret_text = copy;
	return true;
}
