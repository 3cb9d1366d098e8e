// SPDX-License-Identifier: Apache-2.0
// Any bytes as path, query, header and body of each type. The score is the sum of its rules, each once; hits name rules that were met.
#include "fuzz/fuzz.h"
#include "gateway/inspect/waf.h"

#define MEMORY ((size_t)32 << 20)

static void inspect(const struct waf_request *request, unsigned level)
{
	struct arena arena;
	struct waf_report report;
	struct waf_settings settings = {.level = level};
	ms_arena_init(&arena, 4096, MEMORY);
	if (ms_waf_inspect(&settings, request, &arena, &report) == MS_OK) {
		unsigned sum = 0;
		for (unsigned i = 0; i < WAF_RULE_COUNT; i++)
			sum += (report.rules & WAF_BIT(i)) != 0 ? ms_waf_rules[i].severity : 0;
		MS_ASSERT(sum == report.score && report.hit_count <= MS_WAF_HITS_MAX);
		for (size_t i = 0; i < report.hit_count; i++)
			MS_ASSERT((report.rules & WAF_BIT(report.hits[i].rule)) != 0);
	}
	ms_arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const types[] = {"application/json", "application/x-www-form-urlencoded",
					    "multipart/form-data; boundary=x", "text/plain"};
	struct slice text = ms_slice(data, size);
	for (size_t i = 0; i < MS_ARRAY_LEN(types); i++) {
		struct http_header headers[] = {{MS_SLICE_LIT("Content-Type"), ms_slice_cstr(types[i])}};
		struct waf_request request = {
			.path = MS_SLICE_LIT("/"), .headers = headers, .header_count = 1, .body = text};
		inspect(&request, (unsigned)(i + 1));
	}
	struct http_header headers[] = {{MS_SLICE_LIT("Cookie"), text}, {MS_SLICE_LIT("Referer"), text}};
	struct waf_request request = {.path = text, .query = text, .headers = headers, .header_count = 2};
	inspect(&request, 1);
	return 0;
}
