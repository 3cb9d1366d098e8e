// SPDX-License-Identifier: Apache-2.0
// Headers that can be changed: a plain array in the request's arena, in the order of the message.
#include "gateway/plugin.h"

#define HEADERS_MAX 200
#define FIRST_ROOM 32

static bool is_name(const struct http_header *h, struct slice name)
{
	return h->name.n == name.n && ms_slice_eq_nocase(h->name, name);
}

static char plain(char c)
{
	return c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool ms_gw_header_is_of(struct slice name, const struct slice *names, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t k = 0;
		if (names[i].n != name.n)
			continue;
		while (k < name.n && plain(name.p[k]) == names[i].p[k])
			k++;
		if (k == name.n)
			return true;
	}
	return false;
}

struct slice ms_gw_header(const struct gw_headers *h, struct slice name)
{
	for (size_t i = 0; i < h->count; i++) {
		if (is_name(&h->items[i], name))
			return h->items[i].value.p != NULL ? h->items[i].value : MS_SLICE_LIT("");
	}
	return MS_SLICE_EMPTY;
}

bool ms_gw_header_remove(struct gw_headers *h, struct slice name)
{
	size_t kept = 0, before = h->count;
	for (size_t i = 0; i < before; i++) {
		if (!is_name(&h->items[i], name))
			h->items[kept++] = h->items[i];
	}
	h->count = kept;
	return kept < before;
}

bool ms_gw_header_add(struct gw_headers *h, struct slice name, struct slice value)
{
	if (h->count >= HEADERS_MAX)
		return false;
	if (h->count == h->room) {
		size_t room = MS_MIN(MS_MAX(h->room * 2, (size_t)FIRST_ROOM), (size_t)HEADERS_MAX);
		struct http_header *items = MS_ARENA_ARRAY(h->arena, struct http_header, room);
		if (items == NULL)
			return false;
		if (h->count > 0)
			memcpy(items, h->items, h->count * sizeof(*items));
		h->items = items;
		h->room = room;
	}
	h->items[h->count++] = (struct http_header){name, value};
	return true;
}

bool ms_gw_header_set(struct gw_headers *h, struct slice name, struct slice value)
{
	size_t kept = 0, before = h->count;
	bool placed = false;
	for (size_t i = 0; i < before; i++) {
		if (!is_name(&h->items[i], name)) {
			h->items[kept++] = h->items[i];
		} else if (!placed) { // the first keeps its place
			h->items[kept++] = (struct http_header){name, value};
			placed = true;
		}
	}
	h->count = kept;
	return placed || ms_gw_header_add(h, name, value);
}
