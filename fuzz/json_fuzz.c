// SPDX-License-Identifier: Apache-2.0
// Any bytes as JSON. The tree parser and the skipping reader must agree; what was accepted is written, read
// and written again, and must be equal.
#include "fuzz/fuzz.h"
#include "json/json.h"

#define MEMORY ((size_t)64 << 20)

static void write_tree(struct buf *out, const struct json_value *value)
{
	ms_buf_clear(out);
	struct json_writer w;
	ms_json_writer_init(&w, out);
	ms_json_value(&w, value);
	MS_ASSERT(ms_buf_ok(out));
}

static void check_round_trip(const struct json_value *value, const struct json_limits *limits, struct arena *arena)
{
	struct buf first, second;
	ms_buf_init(&first, MEMORY);
	ms_buf_init(&second, MEMORY);
	write_tree(&first, value);
	const struct json_value *again;
	MS_ASSERT(ms_json_parse(ms_buf_slice(&first), limits, arena, NULL, &again) == MS_OK);
	write_tree(&second, again);
	MS_ASSERT(ms_slice_eq(ms_buf_slice(&first), ms_buf_slice(&second)));
	ms_buf_fini(&first);
	ms_buf_fini(&second);
}

// Numbers of an array in one go and one by one.
static void check_items(struct slice text, const struct json_limits *limits)
{
	struct json_reader fast, slow;
	ms_json_reader_init(&fast, text, limits, NULL, NULL);
	ms_json_reader_init(&slow, text, limits, NULL, NULL);
	if (!ms_json_enter_array(&fast) || !ms_json_enter_array(&slow))
		return;
	double items[16];
	size_t count;
	bool end;
	do {
		end = ms_json_read_f64_items(&fast, items, MS_ARRAY_LEN(items), &count);
		for (size_t i = 0; i < count; i++) {
			MS_ASSERT(ms_json_next_item(&slow));
			double value = 0;
			if (ms_json_peek(&slow) == JSON_NULL)
				MS_ASSERT(ms_json_read_null(&slow) && items[i] != items[i]);
			else
				MS_ASSERT(ms_json_read_f64(&slow, &value) &&
					  (memcmp(&value, &items[i], sizeof(value)) == 0 || value != value));
		}
	} while (!end && count == MS_ARRAY_LEN(items));
	if (end)
		MS_ASSERT(!ms_json_next_item(&slow) && slow.err == MS_OK && slow.p == fast.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = {(const char *)data, size};
	struct arena arena;
	for (int i = 0; i < 2; i++) {
		struct json_limits limits = MS_JSON_DEFAULT_LIMITS;
		limits.reject_duplicates = false;
		limits.allow_nan = i == 1;
		ms_arena_init(&arena, 4096, MEMORY);
		struct errinfo skip_info, tree_info;
		ms_errinfo_init(&skip_info);
		ms_errinfo_init(&tree_info);
		struct json_reader r;
		ms_json_reader_init(&r, text, &limits, NULL, &skip_info);
		bool skipped = ms_json_skip(&r, NULL) && ms_json_finish(&r) == MS_OK;
		MS_ASSERT(skipped == (r.err == MS_OK));
		const struct json_value *value = NULL;
		enum ms_err err = ms_json_parse(text, &limits, &arena, &tree_info, &value);
		MS_ASSERT(err == r.err && tree_info.offset == skip_info.offset);
		MS_ASSERT(err == MS_OK || (tree_info.offset >= 0 && (size_t)tree_info.offset <= size));
		if (err == MS_OK)
			check_round_trip(value, &limits, &arena);
		check_items(text, &limits);
		limits.reject_duplicates = true;
		err = ms_json_parse(text, &limits, &arena, NULL, &value);
		MS_ASSERT(err == r.err || (r.err == MS_OK && err == MS_ERR_JSON_DUPLICATE_KEY) || r.err != MS_OK);
		ms_arena_fini(&arena);
	}
	return 0;
}
