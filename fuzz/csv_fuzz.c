// SPDX-License-Identifier: Apache-2.0
// CSV: what was read is written and read again, and must be the same fields.
#include "fuzz/fuzz.h"
#include "serve/csv.h"

static void check_again(struct slice field)
{
	struct buf text;
	struct arena arena;
	struct csv_reader csv;
	struct slice *fields;
	size_t count;
	bool more;
	ms_buf_init(&text, (size_t)1 << 24);
	ms_arena_init(&arena, 1024, (size_t)1 << 24);
	ms_csv_write(&text, MS_SLICE_LIT("x")); // a lone empty field would be a blank line
	ms_buf_append_char(&text, ',');
	ms_csv_write(&text, field);
	ms_buf_append_char(&text, '\n');
	ms_csv_init(&csv, ms_buf_slice(&text));
	MS_ASSERT(ms_csv_next(&csv, &arena, NULL, &fields, &count, &more) == MS_OK && more);
	MS_ASSERT(count == 2 && ms_slice_eq(fields[1], field));
	ms_arena_fini(&arena);
	ms_buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct csv_reader csv;
	struct arena arena;
	bool more = true;
	ms_arena_init(&arena, 1024, (size_t)1 << 24);
	ms_csv_init(&csv, ms_slice(data, size));
	while (more) {
		struct slice *fields;
		size_t count;
		if (ms_csv_next(&csv, &arena, NULL, &fields, &count, &more) != MS_OK)
			continue;
		for (size_t i = 0; more && i < MS_MIN(count, (size_t)8); i++)
			check_again(fields[i]);
	}
	ms_arena_fini(&arena);
	return 0;
}
