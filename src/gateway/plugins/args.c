// SPDX-License-Identifier: Apache-2.0
// Queries and forms (application/x-www-form-urlencoded) that are changed: what is not touched stays byte for byte.
#include "gateway/plugins/plugins.h"
#include "net/net.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// False: a bad escape, or no memory.
static bool decode(struct arena *arena, struct slice raw, struct slice *ret_text)
{
	if (ms_slice_find(raw, '%') == raw.n && ms_slice_find(raw, '+') == raw.n) {
		*ret_text = raw.p != NULL ? raw : MS_SLICE_LIT("");
		return true;
	}
	char *text = ms_arena_alloc(arena, raw.n);
	size_t n = 0;
	if (text == NULL)
		return false;
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] != '%') {
			text[n++] = raw.p[i] == '+' ? ' ' : raw.p[i];
			continue;
		}
		int high = i + 2 < raw.n ? hex_digit(raw.p[i + 1]) : -1,
		    low = i + 2 < raw.n ? hex_digit(raw.p[i + 2]) : -1;
		if (high < 0 || low < 0)
			return false;
		text[n++] = (char)(high << 4 | low);
		i += 2;
	}
	*ret_text = ms_slice(text, n);
	return true;
}

static bool push(struct gw_args *args, struct gw_arg arg)
{
	if (args->count >= GW_ARGS_MAX)
		return false;
	if (args->count == args->room) {
		size_t room = MS_MAX(args->room * 2, (size_t)16);
		struct gw_arg *items = MS_ARENA_ARRAY(args->r->arena, struct gw_arg, room);
		if (items == NULL)
			return false;
		if (args->count > 0)
			memcpy(items, args->items, args->count * sizeof(*items));
		args->items = items;
		args->room = room;
	}
	args->items[args->count++] = arg;
	return true;
}

bool ms_gw_args_read(struct gw_request *r, struct slice raw, struct gw_args *ret_args)
{
	struct gw_args args = {.r = r};
	struct slice rest = raw, pair;
	while (rest.p != NULL && ms_slice_next(&rest, '&', &pair)) {
		size_t equals = ms_slice_find(pair, '=');
		struct gw_arg arg = {.raw = pair, .bare = equals == pair.n};
		if (pair.n == 0)
			continue;
		if (!decode(r->arena, ms_slice_sub(pair, 0, equals), &arg.name) ||
		    !decode(r->arena, ms_slice_sub(pair, equals + 1, pair.n), &arg.value))
			arg.name = arg.value = MS_SLICE_EMPTY;
		if (!push(&args, arg))
			return false;
	}
	*ret_args = args;
	return true;
}

bool ms_gw_args_write(const struct gw_args *args, struct slice *ret_raw)
{
	struct buf text;
	ms_buf_init(&text, (size_t)16 << 20);
	for (size_t i = 0; i < args->count; i++) {
		const struct gw_arg *arg = &args->items[i];
		if (i > 0)
			ms_buf_append_char(&text, '&');
		if (arg->raw.p != NULL) {
			ms_buf_append_slice(&text, arg->raw);
			continue;
		}
		ms_gw_percent_append(&text, arg->name, false);
		if (!arg->bare) {
			ms_buf_append_char(&text, '=');
			ms_gw_percent_append(&text, arg->value, false);
		}
	}
	struct slice copy = ms_buf_ok(&text) ? ms_arena_copy(args->r->arena, ms_buf_slice(&text)) : MS_SLICE_EMPTY;
	ms_buf_fini(&text);
	if (copy.p == NULL)
		return false;
	*ret_raw = copy;
	return true;
}

const struct gw_arg *ms_gw_args_get(const struct gw_args *args, struct slice name, size_t *ret_count)
{
	const struct gw_arg *first = NULL;
	size_t count = 0;
	for (size_t i = 0; i < args->count; i++) {
		if (args->items[i].name.p == NULL || !ms_slice_eq(args->items[i].name, name))
			continue;
		first = first != NULL ? first : &args->items[i];
		count++;
	}
	if (ret_count != NULL)
		*ret_count = count;
	return first;
}

bool ms_gw_args_remove(struct gw_args *args, struct slice name)
{
	size_t kept = 0, before = args->count;
	for (size_t i = 0; i < before; i++) {
		if (args->items[i].name.p == NULL || !ms_slice_eq(args->items[i].name, name))
			args->items[kept++] = args->items[i];
	}
	args->count = kept;
	return kept < before;
}

bool ms_gw_args_add(struct gw_args *args, struct slice name, struct slice value)
{
	return push(args, (struct gw_arg){.name = name, .value = value});
}

bool ms_gw_args_set(struct gw_args *args, struct slice name, struct slice value)
{
	size_t kept = 0, before = args->count;
	bool placed = false;
	for (size_t i = 0; i < before; i++) {
		if (args->items[i].name.p == NULL || !ms_slice_eq(args->items[i].name, name)) {
			args->items[kept++] = args->items[i];
		} else if (!placed) {
			args->items[kept++] = (struct gw_arg){.name = name, .value = value};
			placed = true;
		}
	}
	args->count = kept;
	return placed || ms_gw_args_add(args, name, value);
}
