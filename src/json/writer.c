// SPDX-License-Identifier: Apache-2.0
#include <math.h>

#include "json/scan.h"

void ms_json_writer_init(struct json_writer *w, struct buf *out)
{
	*w = (struct json_writer){.out = out};
}

static inline bool in_object(const struct json_writer *w)
{
	return w->depth > 0 && (w->is_object >> (w->depth - 1) & 1);
}

// What goes before a value: a comma, unless the value follows a key or is the first.
static inline void begin_value(struct json_writer *w)
{
	MS_ASSERT(w->after_key == in_object(w)); // in an object each value follows a key, elsewhere there are none
	MS_ASSERT(w->depth > 0 || !w->comma);    // one value is the whole text
	if (w->comma && !w->after_key)
		ms_buf_append_char(w->out, ',');
	w->comma = true;
	w->after_key = false;
}

static void open_level(struct json_writer *w, bool is_object)
{
	begin_value(w);
	MS_ASSERT(w->depth < MS_JSON_WRITER_MAX_DEPTH);
	uint64_t bit = 1ULL << w->depth++;
	w->is_object = is_object ? w->is_object | bit : w->is_object & ~bit;
	w->comma = false;
	ms_buf_append_char(w->out, is_object ? '{' : '[');
}

static void close_level(struct json_writer *w, bool is_object)
{
	MS_ASSERT(w->depth > 0 && in_object(w) == is_object && !w->after_key);
	w->depth--;
	w->comma = true;
	ms_buf_append_char(w->out, is_object ? '}' : ']');
}

void ms_json_begin_object(struct json_writer *w)
{
	open_level(w, true);
}

void ms_json_end_object(struct json_writer *w)
{
	close_level(w, true);
}

void ms_json_begin_array(struct json_writer *w)
{
	open_level(w, false);
}

void ms_json_end_array(struct json_writer *w)
{
	close_level(w, false);
}

// --- Strings -------------------------------------------------------------------------------------------

static void write_escape(struct buf *out, unsigned char c)
{
	static const char short_names[32] = {['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};
	static const char hex[] = "0123456789abcdef";
	if (c == '"' || c == '\\')
		ms_buf_append(out, (char[]){'\\', (char)c}, 2);
	else if (short_names[c] != 0)
		ms_buf_append(out, (char[]){'\\', short_names[c]}, 2);
	else
		ms_buf_append(out, (char[]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
}

// A run of bytes that are not ASCII; each byte that starts no valid sequence becomes U+FFFD.
static void write_run(struct buf *out, struct slice run)
{
	for (;;) {
		size_t valid = ms_utf8_valid_prefix(run);
		ms_buf_append(out, run.p, valid);
		if (valid == run.n)
			return;
		ms_buf_append_cstr(out, "\xef\xbf\xbd");
		run = ms_slice_sub(run, valid + 1, run.n);
	}
}

static void write_string(struct buf *out, struct slice s)
{
	if (!ms_buf_reserve(out, s.n + 2))
		return;
	ms_buf_append_char(out, '"');
	const char *p = s.n > 0 ? s.p : "", *end = p + s.n;
	while (p < end) {
		const char *special = skip_plain(p, end);
		ms_buf_append(out, p, (size_t)(special - p));
		p = special;
		if (p < end && (unsigned char)*p < 0x80)
			write_escape(out, (unsigned char)*p++);
		while (special < end && (unsigned char)*special >= 0x80)
			special++;
		if (special > p) {
			write_run(out, (struct slice){p, (size_t)(special - p)});
			p = special;
		}
	}
	ms_buf_append_char(out, '"');
}

void ms_json_key(struct json_writer *w, struct slice key)
{
	MS_ASSERT(in_object(w) && !w->after_key);
	if (w->comma)
		ms_buf_append_char(w->out, ',');
	write_string(w->out, key);
	ms_buf_append_char(w->out, ':');
	w->after_key = true;
}

void ms_json_key_lit(struct json_writer *w, const char *key)
{
	ms_json_key(w, ms_slice_cstr(key));
}

void ms_json_str(struct json_writer *w, struct slice s)
{
	begin_value(w);
	write_string(w->out, s);
}

void ms_json_cstr(struct json_writer *w, const char *s)
{
	ms_json_str(w, ms_slice_cstr(s));
}

// --- Other values --------------------------------------------------------------------------------------

void ms_json_i64(struct json_writer *w, int64_t v)
{
	begin_value(w);
	ms_buf_append_i64(w->out, v);
}

void ms_json_u64(struct json_writer *w, uint64_t v)
{
	begin_value(w);
	ms_buf_append_u64(w->out, v);
}

void ms_json_f64(struct json_writer *w, double v)
{
	if (!isfinite(v)) {
		ms_json_null(w);
		return;
	}
	begin_value(w);
	if (ms_buf_reserve(w->out, MS_NUMBER_SIZE))
		w->out->n += ms_number_format_f64(v, w->out->p + w->out->n);
}

void ms_json_f32(struct json_writer *w, float v)
{
	if (!isfinite(v)) {
		ms_json_null(w);
		return;
	}
	begin_value(w);
	if (ms_buf_reserve(w->out, MS_NUMBER_SIZE))
		w->out->n += ms_number_format_f32(v, w->out->p + w->out->n);
}

void ms_json_bool(struct json_writer *w, bool v)
{
	begin_value(w);
	ms_buf_append_cstr(w->out, v ? "true" : "false");
}

void ms_json_null(struct json_writer *w)
{
	begin_value(w);
	ms_buf_append_cstr(w->out, "null");
}

void ms_json_raw(struct json_writer *w, struct slice json)
{
	begin_value(w);
	ms_buf_append_slice(w->out, json);
}

// A tree may be deeper than a writer; the parser's limit bounds the recursion.
static void write_tree(struct buf *out, const struct json_value *v, uint32_t depth)
{
	MS_ASSERT(depth <= MS_JSON_MAX_DEPTH);
	switch (v->type) {
	case JSON_NULL:
		ms_buf_append_cstr(out, "null");
		return;
	case JSON_FALSE:
		ms_buf_append_cstr(out, "false");
		return;
	case JSON_TRUE:
		ms_buf_append_cstr(out, "true");
		return;
	case JSON_NUMBER: {
		char last = v->str.p[v->str.n - 1];
		if (last >= '0' && last <= '9')
			ms_buf_append_slice(out, v->str);
		else
			ms_buf_append_cstr(out, "null"); // NaN and infinities, which JSON does not have
		return;
	}
	case JSON_STRING:
		write_string(out, v->str);
		return;
	case JSON_ARRAY:
		ms_buf_append_char(out, '[');
		for (size_t i = 0; i < v->array.count; i++) {
			if (i > 0)
				ms_buf_append_char(out, ',');
			write_tree(out, &v->array.items[i], depth + 1);
		}
		ms_buf_append_char(out, ']');
		return;
	case JSON_OBJECT:
		ms_buf_append_char(out, '{');
		for (size_t i = 0; i < v->object.count; i++) {
			if (i > 0)
				ms_buf_append_char(out, ',');
			write_string(out, v->object.members[i].key);
			ms_buf_append_char(out, ':');
			write_tree(out, &v->object.members[i].value, depth + 1);
		}
		ms_buf_append_char(out, '}');
		return;
	case JSON_INVALID:
		break;
	}
	MS_UNREACHABLE();
}

void ms_json_value(struct json_writer *w, const struct json_value *v)
{
	begin_value(w);
	write_tree(w->out, v, 0);
}

// --- Members -----------------------------------------------------------------------------------------

void ms_json_member_text(struct json_writer *w, const char *key, struct slice text)
{
	ms_json_key_lit(w, key);
	if (text.n == 0)
		ms_json_null(w);
	else
		ms_json_str(w, text);
}

void ms_json_member_time(struct json_writer *w, const char *key, int64_t unix_us)
{
	char text[MS_RFC3339_SIZE];
	ms_json_key_lit(w, key);
	if (unix_us == 0 || unix_us > INT64_MAX / 1000 || unix_us < INT64_MIN / 1000)
		ms_json_null(w);
	else
		ms_json_str(w, ms_slice(text, ms_text_rfc3339(unix_us * 1000, text)));
}
