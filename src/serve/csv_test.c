// SPDX-License-Identifier: Apache-2.0
#include "serve/csv.h"

#include "tests/lib/test.h"

// Each record as its fields joined by '|', records by '/'; an error is '!'.
static void check(const char *text, const char *want)
{
	struct csv_reader csv;
	struct arena arena;
	struct buf got;
	bool more = true;
	ms_arena_init(&arena, 256, 1 << 20);
	ms_buf_init(&got, 1 << 16);
	ms_csv_init(&csv, ms_slice_cstr(text));
	for (;;) {
		struct slice *fields = NULL;
		size_t count = 0;
		enum ms_err err = ms_csv_next(&csv, &arena, NULL, &fields, &count, &more);
		if (err == MS_OK && !more)
			break;
		for (size_t i = 0; err == MS_OK && i < count; i++)
			ms_buf_printf(&got, "%s%.*s", i > 0 ? "|" : "", MS_SLICE_ARG(fields[i]));
		ms_buf_append_cstr(&got, err == MS_OK ? "/" : "!/");
	}
	CHECK_SLICE(ms_buf_slice(&got), want);
	ms_buf_fini(&got);
	ms_arena_fini(&arena);
}

TEST(csv_reads_rfc_4180)
{
	check("", "");
	check("a,b\n1,2\n", "a|b/1|2/");
	check("a,b\r\n1,2", "a|b/1|2/");
	check("\xef\xbb\xbfx,y\n", "x|y/");
	check("a,,c\n,\n", "a||c/|/");
	check("\"a,b\",\"c\"\"d\"\n\"two\nlines\",x\n", "a,b|c\"d/two\nlines|x/");
	check("a\n\n\nb\n", "a/b/");
	check("a\rb\n", "a\rb/");
}

TEST(csv_refuses_bad_quotes_and_goes_on)
{
	check("a\"b,c\nok\n", "!/ok/");
	check("\"a\"b\nok\n", "!/ok/");
	check("\"open\n", "!/");
}

TEST(csv_names_the_line)
{
	struct csv_reader csv;
	struct arena arena;
	struct errinfo info;
	struct slice *fields;
	size_t count;
	bool more;
	ms_arena_init(&arena, 256, 1 << 20);
	ms_errinfo_init(&info);
	ms_csv_init(&csv, MS_SLICE_LIT("\"1\n2\",x\n\nb\"\n"));
	CHECK_OK(ms_csv_next(&csv, &arena, &info, &fields, &count, &more));
	CHECK_INT(csv.last_line, 1);
	CHECK_INT(ms_csv_next(&csv, &arena, &info, &fields, &count, &more), MS_ERR_INVALID);
	CHECK_INT(info.line, 4);
	CHECK_HAS(info.message, "line 4");
	ms_arena_fini(&arena);
}

TEST(csv_writes_what_it_reads)
{
	struct buf out;
	ms_buf_init(&out, 1 << 10);
	ms_csv_write(&out, MS_SLICE_LIT("plain"));
	ms_csv_write(&out, MS_SLICE_LIT("a,b"));
	ms_csv_write(&out, MS_SLICE_LIT("q\"q"));
	CHECK_SLICE(ms_buf_slice(&out), "plain\"a,b\"\"q\"\"q\"");
	ms_buf_fini(&out);
}
