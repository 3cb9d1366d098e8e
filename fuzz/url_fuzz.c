// SPDX-License-Identifier: Apache-2.0
// Paths and queries. A path that was accepted holds nothing that the contract excludes, and escaped whole it
// must decode to the same.
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "net/url.h"

static void escape(struct slice text, struct buf *out)
{
	for (size_t i = 0; i < text.n; i++)
		ms_buf_printf(out, i % 2 == 0 ? "%%%02x" : "%%%02X", (unsigned char)text.p[i]);
}

static void check_path(struct arena *arena, struct slice raw)
{
	struct slice path, again, segment;
	struct errinfo info;
	ms_errinfo_init(&info);
	if (ms_url_decode_path(arena, raw, &info, &path) != MS_OK) {
		MS_ASSERT(info.message[0] != '\0');
		return;
	}
	MS_ASSERT(path.n <= raw.n && ms_utf8_valid_prefix(path) == path.n);
	for (size_t i = 0; i < path.n; i++)
		MS_ASSERT((unsigned char)path.p[i] >= 0x20 && path.p[i] != 0x7f && path.p[i] != '\\');
	for (struct slice rest = path; ms_slice_next(&rest, '/', &segment);)
		MS_ASSERT(!ms_slice_eq_cstr(segment, ".") && !ms_slice_eq_cstr(segment, ".."));
	struct buf escaped;
	ms_buf_init(&escaped, 1 << 20);
	escape(path, &escaped);
	MS_ASSERT(ms_url_decode_path(arena, ms_buf_slice(&escaped), NULL, &again) == MS_OK && ms_slice_eq(path, again));
	ms_buf_fini(&escaped);
}

static void check_query(struct arena *arena, struct slice query)
{
	struct slice rest = query, name, value, text, found;
	bool good = true; // every pair so far decodes
	while (ms_url_query_next(&rest, &name, &value)) {
		good = good && ms_url_decode(arena, name, URL_DECODE_FORM, &text);
		if (!good)
			continue;
		enum url_query q = ms_url_query_get(arena, query, text, &found);
		MS_ASSERT(q != URL_QUERY_ABSENT); // at least this pair has that name
	}
	MS_ASSERT(ms_url_query_get(arena, query, MS_SLICE_LIT("a name\x01that none has"), &found) != URL_QUERY_FOUND ||
		  ms_slice_find(query, 'a') < query.n || ms_slice_find(query, '%') < query.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 4096)
		return 0;
	char *bytes = malloc(size > 0 ? size : 1); // exact size
	MS_ASSERT(bytes != NULL);
	if (size > 0)
		memcpy(bytes, data, size);
	struct arena arena;
	ms_arena_init(&arena, 4096, 64 << 20);
	check_path(&arena, ms_slice(bytes, size));
	check_query(&arena, ms_slice(bytes, size));
	ms_arena_fini(&arena);
	free(bytes);
	return 0;
}
