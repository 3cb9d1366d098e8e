// SPDX-License-Identifier: Apache-2.0
#include "gateway/plugins/proxy_cache_entry.h"

#include <stdlib.h>
#include <time.h>

#define MAGIC 0x3147434d // "MCG1"
#define HEADERS_MAX 200

struct head { // fixed part; the same machine kind reads it
	uint32_t magic;
	uint16_t kind, status;
	int64_t stored_s, age_s, ttl_s;
	uint32_t header_count;
	uint32_t no_stale;
	uint64_t body_n;
};

struct slice ms_gw_cached_write(const struct gw_cached *e)
{
	struct head head = {.magic = MAGIC,
			    .kind = (uint16_t)e->kind,
			    .status = (uint16_t)e->status,
			    .stored_s = e->stored_s,
			    .age_s = e->age_s,
			    .ttl_s = e->ttl_s,
			    .header_count = (uint32_t)e->header_count,
			    .no_stale = e->no_stale,
			    .body_n = e->body.n};
	struct buf out;
	ms_buf_init(&out, (size_t)16 << 20);
	ms_buf_append(&out, &head, sizeof(head));
	for (size_t i = 0; i < e->header_count; i++) {
		uint32_t sizes[2] = {(uint32_t)e->headers[i].name.n, (uint32_t)e->headers[i].value.n};
		ms_buf_append(&out, sizes, sizeof(sizes));
		ms_buf_append_slice(&out, e->headers[i].name);
		ms_buf_append_slice(&out, e->headers[i].value);
	}
	ms_buf_append_slice(&out, e->body);
	if (!ms_buf_ok(&out)) {
		ms_buf_fini(&out);
		return MS_SLICE_EMPTY;
	}
	return ms_buf_slice(&out); // the buffer's memory goes to the caller
}

static bool take(struct slice *rest, void *dst, size_t n)
{
	if (rest->n < n)
		return false;
	memcpy(dst, rest->p, n);
	*rest = ms_slice_sub(*rest, n, rest->n);
	return true;
}

static bool take_slice(struct slice *rest, size_t n, struct slice *ret_part)
{
	if (rest->n < n)
		return false;
	*ret_part = ms_slice_sub(*rest, 0, n);
	*rest = ms_slice_sub(*rest, n, rest->n);
	return true;
}

bool ms_gw_cached_read(struct arena *arena, struct slice bytes, struct gw_cached *ret_entry)
{
	struct head head;
	struct slice rest = ms_arena_copy(arena, bytes);
	if (rest.p == NULL || !take(&rest, &head, sizeof(head)) || head.magic != MAGIC ||
	    head.header_count > HEADERS_MAX)
		return false;
	struct http_header *headers = MS_ARENA_ARRAY(arena, struct http_header, head.header_count);
	if (headers == NULL)
		return false;
	for (size_t i = 0; i < head.header_count; i++) {
		uint32_t sizes[2];
		if (!take(&rest, sizes, sizeof(sizes)) || !take_slice(&rest, sizes[0], &headers[i].name) ||
		    !take_slice(&rest, sizes[1], &headers[i].value))
			return false;
	}
	if (rest.n != head.body_n)
		return false;
	*ret_entry = (struct gw_cached){.kind = (enum entry_kind)head.kind,
					.status = head.status,
					.stored_s = head.stored_s,
					.age_s = head.age_s,
					.ttl_s = head.ttl_s,
					.no_stale = head.no_stale != 0,
					.headers = headers,
					.header_count = head.header_count,
					.body = rest};
	return true;
}

// --- Cache-Control ---------------------------------------------------------------------------------------------

static int64_t delta(struct slice text)
{
	uint64_t value;
	if (text.n >= 2 && text.p[0] == '"' && text.p[text.n - 1] == '"')
		text = ms_slice_sub(text, 1, text.n - 2);
	if (text.n == 0)
		return 0;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return 0;
	}
	return ms_slice_to_u64(text, &value) && value <= INT32_MAX ? (int64_t)value : INT32_MAX;
}

static void directive(struct gw_cache_control *cc, struct slice name, struct slice value, bool has_value)
{
	const struct {
		const char *name;
		bool *flag;
	} flags[] = {
		{"no-store", &cc->no_store},
		{"no-cache", &cc->no_cache},
		{"private", &cc->is_private},
		{"only-if-cached", &cc->only_if_cached},
		{"must-revalidate", &cc->must_revalidate},
		{"proxy-revalidate", &cc->must_revalidate},
		{"must-understand", &cc->must_understand},
	};
	const struct {
		const char *name;
		int64_t *seconds;
	} numbers[] = {{"max-age", &cc->max_age}, {"s-maxage", &cc->s_maxage}, {"min-fresh", &cc->min_fresh}};
	for (size_t i = 0; i < MS_ARRAY_LEN(flags); i++) {
		if (ms_slice_eq_nocase(name, ms_slice_cstr(flags[i].name)))
			*flags[i].flag = true;
	}
	for (size_t i = 0; i < MS_ARRAY_LEN(numbers); i++) {
		// Said twice, the shorter time counts.
		if (ms_slice_eq_nocase(name, ms_slice_cstr(numbers[i].name)))
			*numbers[i].seconds =
				*numbers[i].seconds < 0 ? delta(value) : MS_MIN(*numbers[i].seconds, delta(value));
	}
	if (ms_slice_eq_nocase(name, MS_SLICE_LIT("max-stale")))
		cc->max_stale = has_value ? delta(value) : INT64_MAX;
}

// The end of an item: a comma outside of quotes.
static size_t item_end(struct slice s)
{
	bool quoted = false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			quoted = !quoted;
		else if (s.p[i] == ',' && !quoted)
			return i;
	}
	return s.n;
}

struct gw_cache_control ms_gw_cache_control(const struct gw_headers *headers)
{
	struct gw_cache_control cc = {.max_age = -1, .s_maxage = -1, .max_stale = -1, .min_fresh = -1};
	for (size_t i = 0; i < headers->count; i++) {
		struct slice rest = headers->items[i].value;
		if (!ms_slice_eq_nocase(headers->items[i].name, MS_SLICE_LIT("Cache-Control")))
			continue;
		while (rest.n > 0) {
			size_t end = item_end(rest);
			struct slice item = ms_slice_trim(ms_slice_sub(rest, 0, end));
			size_t equals = ms_slice_find(item, '=');
			directive(&cc, ms_slice_trim(ms_slice_sub(item, 0, equals)),
				  ms_slice_trim(ms_slice_sub(item, equals + 1, item.n)), equals < item.n);
			rest = ms_slice_sub(rest, end + 1, rest.n);
		}
	}
	return cc;
}

int64_t ms_gw_expires(struct slice text, int64_t now_s)
{
	char copy[64];
	struct tm tm = {0};
	if (!ms_slice_to_cstr(text, copy, sizeof(copy)))
		return 0;
	const char *end = strptime(copy, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (end == NULL || *end != '\0')
		return 0;
	int64_t at = (int64_t)timegm(&tm);
	return at > now_s ? MS_MIN(at - now_s, INT32_MAX) : 0;
}
