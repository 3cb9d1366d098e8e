// SPDX-License-Identifier: Apache-2.0
// Any bytes as what the gateway's plugins read: queries, addresses, Cache-Control, entries of the cache, templates, bodies that are changed.
#include <stdlib.h>

#include "fuzz/fuzz.h"
#include "gateway/address.h"
#include "gateway/plugins/proxy_cache_entry.h"

#define MEMORY ((size_t)32 << 20)

// What is not touched stays; what is set is read again as it was set.
static void fuzz_args(struct gw_request *r, struct slice text)
{
	struct gw_args args, again;
	struct slice raw;
	size_t count;
	if (!ms_gw_args_read(r, text, &args) || !ms_gw_args_write(&args, &raw))
		return;
	MS_ASSERT(raw.n <= text.n && ms_gw_args_read(r, raw, &again) && again.count == args.count);
	for (size_t i = 0; i < args.count; i++)
		MS_ASSERT(ms_slice_eq(args.items[i].name, again.items[i].name) &&
			  ms_slice_eq(args.items[i].value, again.items[i].value));
	if (!ms_gw_args_set(&args, MS_SLICE_LIT("a b&c"), text) || !ms_gw_args_write(&args, &raw) ||
	    !ms_gw_args_read(r, raw, &again))
		return;
	const struct gw_arg *arg = ms_gw_args_get(&again, MS_SLICE_LIT("a b&c"), &count);
	MS_ASSERT(arg != NULL && count == 1 && ms_slice_eq(arg->value, text));
}

static void fuzz_members(struct gw_request *r, struct slice text)
{
	static const struct json_value value = {.type = JSON_TRUE};
	struct gw_members *m, *again;
	struct slice out;
	if (!ms_gw_members_parse(r, text, &m))
		return;
	MS_ASSERT(ms_gw_members_set(m, MS_SLICE_LIT("a.b.c"), true, &value) &&
		  ms_gw_members_append(m, MS_SLICE_LIT("l"), false, &value));
	ms_gw_members_remove(m, MS_SLICE_LIT("x.y"), true);
	MS_ASSERT(ms_gw_members_rename(m, MS_SLICE_LIT("a.b"), MS_SLICE_LIT("q.r.s"), true));
	MS_ASSERT(ms_gw_members_write(m, &out) && ms_gw_members_parse(r, out, &again));
}

static void fuzz_template(struct gw_request *r, struct plan *plan, struct slice text)
{
	struct problems problems = {.arena = &plan->arena};
	struct slice filled;
	const struct gw_template *t = ms_gw_template_compile(plan, text, "config", &problems);
	MS_ASSERT((t == NULL) == (problems.count > 0));
	if (t != NULL)
		MS_ASSERT(ms_gw_template_fill(r, t, true, &filled) && ms_gw_template_fill(r, t, false, &filled));
}

static void fuzz_cached(struct arena *arena, struct slice text)
{
	struct gw_cached entry, again;
	if (!ms_gw_cached_read(arena, text, &entry))
		return;
	struct slice written = ms_gw_cached_write(&entry);
	MS_ASSERT(written.n == text.n && ms_gw_cached_read(arena, written, &again) &&
		  ms_slice_eq(again.body, entry.body));
	free((void *)(uintptr_t)written.p);
}

static void fuzz_numbers(struct slice text)
{
	struct http_header header = {MS_SLICE_LIT("Cache-Control"), text};
	const struct gw_headers headers = {.items = &header, .count = 1};
	struct gw_network network;
	struct gw_cache_control cc = ms_gw_cache_control(&headers);
	MS_ASSERT(cc.max_age >= -1 && cc.s_maxage >= -1 && cc.min_fresh >= -1 && cc.max_stale >= -1);
	MS_ASSERT(ms_gw_expires(text, 1800000000) >= 0);
	if (ms_gw_network_parse(text, &network)) {
		MS_ASSERT(ms_gw_networks_sort(&network, 1) == 1);
		MS_ASSERT(ms_gw_networks_has(&network, 1, network.first) &&
			  ms_gw_networks_has(&network, 1, network.last));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct slice text = ms_slice(data, size);
	struct arena arena;
	struct plan plan = {0};
	if (size > 65536)
		return 0;
	ms_arena_init(&arena, 4096, MEMORY);
	ms_arena_init(&plan.arena, 4096, MEMORY);
	struct exchange x = {.arena = &arena};
	struct gw_request r = {.x = &x, .arena = &arena, .plan = &plan};
	r.out.headers.arena = &arena;
	r.out.query = text;
	MS_ASSERT(ms_gw_header_add(&r.out.headers, MS_SLICE_LIT("x-a"), text));
	fuzz_args(&r, text);
	fuzz_members(&r, text);
	fuzz_template(&r, &plan, text);
	fuzz_cached(&arena, text);
	fuzz_numbers(text);
	ms_arena_fini(&plan.arena);
	ms_arena_fini(&arena);
	return 0;
}
