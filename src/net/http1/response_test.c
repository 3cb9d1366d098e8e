// SPDX-License-Identifier: Apache-2.0
#include "net/http1/http1.h"

#include <time.h>

#include "tests/lib/test.h"

TEST(response_head_is_written)
{
	struct buf out;
	ms_buf_init(&out, 1 << 12);
	ms_http1_write_status(&out, 200);
	ms_http1_write_header(&out, "Content-Type", MS_SLICE_LIT("application/json"));
	ms_http1_write_header(&out, "X-Empty", MS_SLICE_EMPTY);
	ms_http1_write_header_u64(&out, "Content-Length", UINT64_MAX);
	ms_http1_write_end(&out);
	CHECK_SLICE(ms_buf_slice(&out), "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Empty: \r\n"
					"Content-Length: 18446744073709551615\r\n\r\n");
	ms_buf_clear(&out);
	ms_http1_write_status(&out, 431);
	ms_http1_write_status(&out, 599);
	CHECK_SLICE(ms_buf_slice(&out), "HTTP/1.1 431 Request Header Fields Too Large\r\nHTTP/1.1 599 Unknown\r\n");
	ms_buf_clear(&out);
	static const size_t sizes[] = {1, 10, 255, 4096, SIZE_MAX};
	for (size_t i = 0; i < MS_ARRAY_LEN(sizes); i++)
		ms_http1_write_chunk_head(&out, sizes[i]);
	CHECK_SLICE(ms_buf_slice(&out), "1\r\na\r\nff\r\n1000\r\nffffffffffffffff\r\n");
	ms_buf_fini(&out);
}

// The table is searched by halving: each status of our error codes must be found.
TEST(response_knows_the_reasons)
{
	for (unsigned i = 0; i < MS_ERR_COUNT; i++)
		CHECK(strcmp(ms_http1_reason(ms_err_http_status((enum ms_err)i)), "Unknown") != 0);
	CHECK_STR(ms_http1_reason(100), "Continue");
	CHECK_STR(ms_http1_reason(404), "Not Found");
	CHECK_STR(ms_http1_reason(511), "Network Authentication Required");
	CHECK_STR(ms_http1_reason(299), "Unknown");
}

static void check_date(struct http1_date *cache, int64_t wall_ns, const char *want)
{
	struct buf out;
	ms_buf_init(&out, 256);
	ms_http1_write_date(&out, cache, wall_ns);
	CHECK_SLICE(ms_buf_slice(&out), want);
	ms_buf_fini(&out);
}

TEST(response_date_is_cached_by_second)
{
	const int64_t second = 1000000000;
	struct http1_date cache = {0};
	check_date(&cache, 784111777 * second, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
	check_date(&cache, 784111777 * second + 999999999, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
	check_date(&cache, 784111778 * second, "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
	check_date(&cache, 784111777 * second, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"); // the clock stepped back
	cache = (struct http1_date){0};
	check_date(&cache, 0, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
	check_date(&cache, -1, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
	check_date(&cache, INT64_MAX, "Date: Fri, 11 Apr 2262 23:47:16 GMT\r\n");
}

// Against the C library, over leap days, centuries and random seconds.
TEST(response_date_agrees_with_the_calendar)
{
	for (unsigned i = 0; i < 20000; i++) {
		int64_t second = i < 1000 ? 951782400 - 43200 + (int64_t)i * 86400 // from the leap day of 2000 on
					  : (int64_t)ms_rand_below(ms_test_rand(), 9000000000u);
		time_t t = (time_t)second;
		struct tm tm;
		char want[64];
		REQUIRE(gmtime_r(&t, &tm) != NULL);
		size_t n = strftime(want, sizeof(want), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
		REQUIRE(n > 0);
		struct http1_date cache = {0};
		check_date(&cache, second * 1000000000, want);
	}
}
