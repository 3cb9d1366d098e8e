// SPDX-License-Identifier: Apache-2.0
// The firewall against tests/waf: how many attacks it finds, how many everyday requests it disturbs, and how long it takes.
#include "gateway/inspect/waf.h"

#include <stdio.h>
#include <time.h>

#include "tests/lib/test.h"

#define MEMORY ((size_t)32 << 20)
#define THRESHOLD 5

static struct arena arena;

struct built {
	struct waf_request request;
	struct http_header headers[3];
};

static struct slice copy(struct buf *b)
{
	struct slice s = ms_arena_copy(&arena, ms_buf_slice(b));
	REQUIRE(s.p != NULL);
	ms_buf_clear(b);
	return s;
}

static struct slice with_lines(struct slice text, struct buf *b)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.n - i >= 3 && memcmp(text.p + i, "␤", 3) == 0) {
			ms_buf_append_char(b, '\n');
			i += 2;
		} else {
			ms_buf_append_char(b, text.p[i]);
		}
	}
	return copy(b);
}

static void build(char place, struct slice text, bool as_json, struct built *r)
{
	struct buf b;
	ms_buf_init(&b, MEMORY);
	*r = (struct built){0};
	r->headers[0] = (struct http_header){MS_SLICE_LIT("User-Agent"),
					     MS_SLICE_LIT("Mozilla/5.0 (X11; Linux x86_64) Firefox/121.0")};
	r->headers[1] = (struct http_header){MS_SLICE_LIT("Content-Type"), MS_SLICE_LIT("application/json")};
	r->request =
		(struct waf_request){.path = MS_SLICE_LIT("/api/v1/items"), .headers = r->headers, .header_count = 2};
	text = with_lines(text, &b);
	if (place == 'v' && as_json) {
		struct json_writer w;
		ms_json_writer_init(&w, &b);
		ms_json_begin_object(&w);
		ms_json_member_text(&w, "text", text);
		ms_json_end_object(&w);
		r->request.body = copy(&b);
	} else if (place == 'v') {
		ms_buf_append_cstr(&b, "page=2&text=");
		for (size_t i = 0; i < text.n; i++) {
			if (ms_waf_is_word((char)(text.p[i] | 0x20)) && (text.p[i] & 0x80) == 0 && text.p[i] > '/')
				ms_buf_append_char(&b, text.p[i]);
			else
				ms_buf_printf(&b, "%%%02X", (unsigned char)text.p[i]);
		}
		r->request.query = copy(&b);
	} else if (place == 'q') {
		r->request.query = text;
	} else if (place == 'p') {
		r->request.path = text;
	} else if (place == 'u') {
		r->headers[0].value = text;
	} else if (place == 'h') {
		size_t colon = ms_slice_find(text, ':');
		r->headers[2] = (struct http_header){ms_slice_sub(text, 0, colon),
						     ms_slice_trim(ms_slice_sub(text, colon + 1, text.n))};
		r->request.header_count = 3;
	} else if (place == 'c') {
		ms_buf_append_cstr(&b, "sid=1; data=");
		ms_buf_append_slice(&b, text);
		r->headers[2] = (struct http_header){MS_SLICE_LIT("Cookie"), copy(&b)};
		r->request.header_count = 3;
	} else {
		REQUIRE(place == 'j');
		r->request.body = text;
	}
	ms_buf_fini(&b);
}

static struct waf_report inspect(char place, struct slice text, bool as_json, unsigned level)
{
	struct waf_settings settings = {.level = level};
	struct waf_report report;
	struct built r;
	build(place, text, as_json, &r);
	CHECK_OK(ms_waf_inspect(&settings, &r.request, &arena, &report));
	return report;
}

// How many lines of the file reach the threshold; those that should and do not, or do and should not, are printed.
static size_t count_found(const char *file, bool attacks, unsigned level, size_t *ret_all)
{
	struct slice rest = ms_test_file(file), line;
	size_t found = 0, all = 0;
	ms_arena_init(&arena, 65536, MEMORY);
	while (ms_slice_next(&rest, '\n', &line)) {
		if (line.n < 2)
			continue;
		for (int json = 0; json <= (line.p[0] == 'v'); json++) {
			struct waf_report report = inspect(line.p[0], ms_slice_sub(line, 2, line.n), json == 1, level);
			bool hit = report.score >= THRESHOLD;
			all++;
			found += hit;
			if (hit != attacks && level == 1) {
				printf("# %s (score %u%s): %.*s", attacks ? "missed" : "disturbed", report.score,
				       json ? ", JSON" : "", MS_SLICE_ARG(line));
				for (size_t i = 0; i < report.hit_count; i++)
					printf(" [%s]", ms_waf_rules[report.hits[i].rule].name);
				printf("\n");
			}
			ms_arena_reset(&arena);
		}
	}
	ms_arena_fini(&arena);
	*ret_all = all;
	return found;
}

TEST(waf_finds_attacks)
{
	size_t all, found = count_found("tests/waf/attacks.txt", true, 1, &all);
	printf("# %zu of %zu attacks found (%.1f %%)\n", found, all, 100.0 * (double)found / (double)all);
	CHECK(all >= 300);
	CHECK(found * 100 >= all * 98);
}

TEST(waf_leaves_everyday_requests_alone)
{
	for (unsigned level = 1; level <= 3; level++) {
		size_t all, found = count_found("tests/waf/benign.txt", false, level, &all);
		printf("# level %u: %zu of %zu everyday requests disturbed (%.2f %%)\n", level, found, all,
		       100.0 * (double)found / (double)all);
		CHECK(all >= 300);
		CHECK(found * 100 <= all * level * level);
	}
}

TEST(waf_takes_microseconds)
{
	ms_arena_init(&arena, 65536, MEMORY);
	struct built r;
	build('v', MS_SLICE_LIT("Anna O'Brien ordered 3 items & wants them by Friday; thanks"), false, &r);
	r.headers[2] = (struct http_header){
		MS_SLICE_LIT("Cookie"),
		MS_SLICE_LIT("sid=0f8e7d6c5b4a39281706f5e4d3c2b1a0; theme=dark; ga=GA1.2.1234567890.1700000000")};
	r.request.header_count = 3;
	r.request.body = MS_SLICE_LIT("{\"model\":\"wine\",\"features\":[[7.4,0.7,0.0,1.9,0.076,11.0,34.0,0.9978,3.51,"
				      "0.56,9.4]],\"note\":\"it's a test\"}");
	struct waf_settings settings = {.level = 1};
	struct waf_report report;
	struct timespec start, end;
	size_t rounds = ms_test_rounds(20000);
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (size_t i = 0; i < rounds; i++) {
		struct arena_mark mark = ms_arena_mark(&arena);
		CHECK_OK(ms_waf_inspect(&settings, &r.request, &arena, &report));
		ms_arena_rewind(&arena, mark);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	double us = ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) / 1e3 /
		    (double)rounds;
	printf("# %.1f us for a typical request\n", us);
	CHECK(report.score == 0);
	ms_arena_fini(&arena);
}

static void check_linear(const char *piece)
{
	struct buf b;
	double took[2];
	for (int i = 0; i < 2; i++) {
		struct timespec start, end;
		struct waf_settings settings = {.level = 4};
		struct waf_report report;
		ms_arena_init(&arena, 65536, MEMORY);
		ms_buf_init(&b, MEMORY);
		for (size_t n = 0; n < (i == 0 ? 100000u : 400000u); n += strlen(piece))
			ms_buf_append_cstr(&b, piece);
		struct http_header type = {MS_SLICE_LIT("Content-Type"), MS_SLICE_LIT("text/plain")};
		struct waf_request request = {.headers = &type, .header_count = 1, .body = ms_buf_slice(&b)};
		clock_gettime(CLOCK_MONOTONIC, &start);
		CHECK_OK(ms_waf_inspect(&settings, &request, &arena, &report));
		clock_gettime(CLOCK_MONOTONIC, &end);
		took[i] = (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) / 1e6;
		ms_buf_fini(&b);
		ms_arena_fini(&arena);
	}
	if (!CHECK(took[1] < took[0] * 12 + 20))
		printf("# %s: %.1f ms, then %.1f ms\n", piece, took[0], took[1]);
}

// Four times the text may take four times as long, not sixteen; the bound leaves room for a busy machine.
TEST(waf_is_linear)
{
	static const char *const pieces[] = {
		"'",           "\"",    "<a ",      "/*",    "*/",  "../",     "`",  "{{", "$(", ";",          "|",
		"javascript:", "data:", "select (", "' or ", "on",  "%25",     "&#", "\n", "( ", "union all ", ") ",
		"<",           "/* ",   "-- ",      "or 1",  "..;", "j a v a", "=(", "#{", "<%"};
	for (size_t i = 0; i < MS_ARRAY_LEN(pieces); i++)
		check_linear(pieces[i]);
}

TEST(waf_rules_are_named_once)
{
	for (unsigned i = 0; i < WAF_RULE_COUNT; i++) {
		char id[16];
		snprintf(id, sizeof(id), "%u", ms_waf_rules[i].id);
		CHECK_INT(ms_waf_rule_find(ms_slice_cstr(id)), i);
		CHECK_INT(ms_waf_rule_find(ms_slice_cstr(ms_waf_rules[i].name)), i);
	}
	CHECK_INT(ms_waf_rule_find(MS_SLICE_LIT("nothing")), WAF_RULE_COUNT);
	CHECK_INT(ms_waf_rule_find(MS_SLICE_LIT("1")), WAF_RULE_COUNT);
}

TEST(waf_exclusions_and_levels)
{
	struct waf_request request = {.path = MS_SLICE_LIT("/"), .query = MS_SLICE_LIT("note=' or 1=1--&x=..%2fa")};
	struct waf_exclusion exclusion = {.rules = WAF_BIT(WAF_SQL_TAUTOLOGY) | WAF_BIT(WAF_SQL_COMMENT),
					  .in = WAF_IN_QUERY,
					  .name = MS_SLICE_LIT("no*")};
	struct waf_settings settings = {.level = 1};
	struct waf_report report;
	ms_arena_init(&arena, 4096, MEMORY);
	CHECK_OK(ms_waf_inspect(&settings, &request, &arena, &report));
	CHECK_INT(report.score, 5);
	CHECK_INT(report.hits[0].rule, WAF_SQL_TAUTOLOGY);
	CHECK_SLICE(report.hits[0].name, "note");
	CHECK_INT(report.hits[0].in, WAF_IN_QUERY);
	settings.exclusions = &exclusion;
	settings.exclusion_count = 1;
	CHECK_OK(ms_waf_inspect(&settings, &request, &arena, &report));
	CHECK_INT(report.score, 0);
	exclusion.in = WAF_IN_BODY;
	CHECK_OK(ms_waf_inspect(&settings, &request, &arena, &report));
	CHECK_INT(report.score, 5);
	settings.disabled = WAF_BIT(WAF_SQL_TAUTOLOGY);
	CHECK_OK(ms_waf_inspect(&settings, &request, &arena, &report));
	CHECK_INT(report.score, 0);
	settings.level = 2; // a single ../, and no User-Agent
	CHECK_OK(ms_waf_inspect(&settings, &request, &arena, &report));
	CHECK_INT(report.score, 4);
	ms_arena_fini(&arena);
}

static struct waf_report body_report(const char *type, const char *body, size_t text_max)
{
	struct http_header header = {MS_SLICE_LIT("Content-Type"), ms_slice_cstr(type)};
	struct waf_request request = {
		.path = MS_SLICE_LIT("/"), .headers = &header, .header_count = 1, .body = ms_slice_cstr(body)};
	struct waf_settings settings = {.level = 1, .text_max = text_max};
	struct waf_report report;
	ms_arena_init(&arena, 4096, MEMORY);
	CHECK_OK(ms_waf_inspect(&settings, &request, &arena, &report));
	ms_arena_fini(&arena);
	return report;
}

TEST(waf_reads_bodies_by_their_type)
{
	CHECK_INT(body_report("application/x-www-form-urlencoded", "a=1&b=%27+or+1%3D1--", 0).score, 5);
	CHECK_INT(body_report("application/json", "{\"a\":", 0).rules, WAF_BIT(WAF_UNREADABLE_BODY));
	CHECK_INT(body_report("multipart/form-data; boundary=xx",
			      "--xx\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n<script>x</script>\r\n--xx--",
			      0)
			  .score,
		  5);
	CHECK((body_report("multipart/form-data; boundary=xx",
			   "--xx\r\nContent-Disposition: form-data; name=\"a\"; "
			   "filename=\"../../../etc/passwd\"\r\n\r\nbytes\r\n--xx--",
			   0)
		       .rules &
	       WAF_BIT(WAF_TRAVERSAL)) != 0);
	CHECK_INT(body_report("application/octet-stream", "' or 1=1--", 0).score, 0);
	CHECK_INT(body_report("text/plain", "padding padding padding <script>x</script>", 10).rules,
		  WAF_BIT(WAF_TOO_LONG));
}
