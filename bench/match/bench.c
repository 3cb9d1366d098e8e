// SPDX-License-Identifier: Apache-2.0
// What finding a route costs, with 1, 36, 217 and 609 routes: the sizes at which gateways are compared. Half of them are expressions with parameters, a
// tenth has a host, as the interfaces of such sizes have it. Prints nanoseconds a match, the median of several rounds.
#include <stdio.h>
#include <stdlib.h>

#include "gateway/plan.h"
#include "gateway/plugin.h"

#define ROUNDS 9
#define MATCHES 20000
#define MEMORY ((size_t)256 << 20)

// No plugins here.
const struct gw_plugin_kind *ms_plugin_kind(struct slice name)
{
	(void)name;
	return NULL;
}
const struct gw_plugin_kind *ms_plugin_kind_at(size_t index)
{
	(void)index;
	return NULL;
}
bool ms_gw_credential_compile(struct plan *plan, struct gw_credential *credential, const char *path,
			      const struct json_value *where, struct problems *problems)
{
	(void)plan, (void)credential, (void)path, (void)where, (void)problems;
	return true;
}

enum shape { PREFIXES, EXPRESSIONS, MIXED };
static const char *const shape_names[] = {"prefixes", "expressions", "mixed"};

static void write_route(struct buf *out, enum shape shape, size_t i)
{
	bool regex = shape == EXPRESSIONS || (shape == MIXED && i % 2 == 1);
	ms_buf_printf(out, "- {name: r%zu", i);
	if (shape == MIXED && i % 10 == 0)
		ms_buf_printf(out, ", hosts: [h%zu.example]", i);
	if (regex)
		ms_buf_printf(out, ", paths: ['~/repos/(?<owner>[^/]+)/(?<repo>[^/]+)/part%zu/(?<id>\\d+)$']}\n", i);
	else
		ms_buf_printf(out, ", paths: [/api/v1/part%zu]}\n", i);
}

static void write_path(char *dst, size_t size, enum shape shape, size_t i)
{
	bool regex = shape == EXPRESSIONS || (shape == MIXED && i % 2 == 1);
	if (regex)
		snprintf(dst, size, "/repos/somebody/something/part%zu/4711", i);
	else
		snprintf(dst, size, "/api/v1/part%zu/items/4711", i);
}

static int by_value(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

static double measure(const struct plan *plan, enum shape shape, size_t count)
{
	static char paths[1024][96], hosts[1024][32];
	double rounds[ROUNDS];
	for (size_t i = 0; i < count; i++) {
		write_path(paths[i], sizeof(paths[i]), shape, i);
		snprintf(hosts[i], sizeof(hosts[i]), "h%zu.example", i);
	}
	for (size_t round = 0; round < ROUNDS; round++) {
		int64_t start = ms_clock_mono_ns();
		for (size_t k = 0; k < MATCHES; k++) {
			size_t i = k * 7919 % count;
			struct exchange x = {
				.req = {.path = ms_slice_cstr(paths[i]), .authority = ms_slice_cstr(hosts[i])}};
			struct gw_match match;
			if (ms_plan_match(plan, &x, NULL, &match) != MS_OK || match.route != &plan->routes[i]) {
				fprintf(stderr, "wrong route for %s\n", paths[i]);
				exit(1);
			}
		}
		rounds[round] = (double)(ms_clock_mono_ns() - start) / MATCHES;
	}
	qsort(rounds, ROUNDS, sizeof(rounds[0]), by_value);
	return rounds[ROUNDS / 2];
}

static struct plan *make(enum shape shape, size_t count, struct arena *arena)
{
	struct buf yaml;
	ms_buf_init(&yaml, MEMORY);
	ms_buf_append_cstr(&yaml, "routes:\n");
	for (size_t i = 0; i < count; i++)
		write_route(&yaml, shape, i);
	const struct json_value *document;
	struct problems problems = {.arena = arena};
	struct plan *plan = NULL;
	if (ms_yaml_parse(ms_buf_slice(&yaml), NULL, arena, NULL, &document, NULL) == MS_OK)
		plan = ms_plan_new(document, &problems);
	ms_buf_fini(&yaml);
	return plan;
}

int main(void)
{
	static const size_t counts[] = {1, 36, 217, 609};
	printf("%-12s", "ns a match");
	for (size_t i = 0; i < MS_ARRAY_LEN(counts); i++)
		printf("%8zu", counts[i]);
	printf("\n");
	for (int shape = PREFIXES; shape <= MIXED; shape++) {
		printf("%-12s", shape_names[shape]);
		for (size_t i = 0; i < MS_ARRAY_LEN(counts); i++) {
			struct arena arena;
			ms_arena_init(&arena, 65536, MEMORY);
			struct plan *plan = make((enum shape)shape, counts[i], &arena);
			if (plan == NULL)
				return 1;
			printf("%8.0f", measure(plan, (enum shape)shape, counts[i]));
			ms_plan_unref(plan);
			ms_arena_fini(&arena);
		}
		printf("\n");
	}
	return 0;
}
