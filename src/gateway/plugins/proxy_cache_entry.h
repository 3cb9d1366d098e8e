// SPDX-License-Identifier: Apache-2.0
// Private to proxy-cache. An answer as it lies in the cache, and what Cache-Control says (RFC 9111).
#ifndef MS_GATEWAY_PLUGINS_PROXY_CACHE_ENTRY_H
#define MS_GATEWAY_PLUGINS_PROXY_CACHE_ENTRY_H

#include "gateway/plugins/plugins.h"

enum entry_kind {
	ENTRY_ANSWER = 1,
	ENTRY_VARY = 2
}; // VARY: `body` holds the names of headers by which answers differ, "a,b"
struct gw_cached {
	enum entry_kind kind;
	int status;
	int64_t stored_s; // Unix time
	int64_t age_s;    // the Age that it came with
	int64_t ttl_s;    // how long it is fresh
	bool no_stale;    // must-revalidate, proxy-revalidate, s-maxage
	const struct http_header *headers;
	size_t header_count;
	struct slice body;
};
// A copy with a NUL behind it, from malloc; p NULL: no memory.
struct slice ms_gw_cached_write(const struct gw_cached *entry);
// Slices into a copy in the arena. False: it is none of ours, or no memory.
MS_MUST_USE bool ms_gw_cached_read(struct arena *arena, struct slice bytes, struct gw_cached *ret_entry);

struct gw_cache_control {
	bool no_store, no_cache, is_private, only_if_cached, must_revalidate, must_understand, has_max_stale;
	int64_t max_age, s_maxage, max_stale, min_fresh; // -1: not said; max_stale INT64_MAX: any
};
// Of all Cache-Control headers; a number that is none counts as 0 (RFC 9111, 4.2.1: stale).
struct gw_cache_control ms_gw_cache_control(const struct gw_headers *headers);
// Seconds from `now_s` to the date of Expires; 0 when it is no date.
int64_t ms_gw_expires(struct slice text, int64_t now_s);

#endif
