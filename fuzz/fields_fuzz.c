// SPDX-License-Identifier: Apache-2.0
// Any bytes as an item, a list and a dictionary. What is read is written and read again, and writes the same text.
#include "fuzz/fuzz.h"
#include "net/fields.h"

#define MEMORY ((size_t)16 << 20)

typedef enum ms_err parse_fn(struct slice text, struct arena *arena, struct errinfo *info, struct sf_list *ret);
typedef bool write_fn(struct buf *out, const struct sf_list *list);

static enum ms_err parse_item(struct slice text, struct arena *arena, struct errinfo *info, struct sf_list *ret)
{
	struct sf_member *m = MS_ARENA_NEW(arena, struct sf_member);
	MS_ASSERT(m != NULL);
	*ret = (struct sf_list){m, 1};
	return ms_sf_parse_item(text, arena, info, &m->item);
}

static bool write_item(struct buf *out, const struct sf_list *list)
{
	return ms_sf_write_item(out, &list->members[0].item);
}

static void check(struct slice text, parse_fn *parse, write_fn *write)
{
	struct arena arena;
	struct errinfo info;
	struct sf_list list, again;
	struct buf first, second;
	ms_arena_init(&arena, 4096, MEMORY);
	ms_errinfo_init(&info);
	ms_buf_init(&first, MEMORY);
	ms_buf_init(&second, MEMORY);
	enum ms_err err = parse(text, &arena, &info, &list);
	MS_ASSERT(err == MS_OK || err == MS_ERR_HTTP_SYNTAX || err == MS_ERR_LIMIT || err == MS_ERR_NO_MEMORY);
	if (err == MS_OK) {
		MS_ASSERT(write(&first, &list));
		err = parse(ms_buf_slice(&first), &arena, &info, &again);
		MS_ASSERT(err == MS_OK || err == MS_ERR_NO_MEMORY);
		MS_ASSERT(err != MS_OK ||
			  (write(&second, &again) && ms_slice_eq(ms_buf_slice(&first), ms_buf_slice(&second))));
	}
	ms_buf_fini(&first);
	ms_buf_fini(&second);
	ms_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = ms_slice(data, size);
	check(text, parse_item, write_item);
	check(text, ms_sf_parse_list, ms_sf_write_list);
	check(text, ms_sf_parse_dictionary, ms_sf_write_dictionary);
	return 0;
}
